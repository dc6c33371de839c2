/* offsets.c: give each buffer an offset so that buffers alive at one time do not overlap.
 *
 * First fit, largest first: a buffer takes the lowest gap that no buffer alive with it uses.
 * On networks, whose lifetimes are mostly short and nested, this lands within a few per cent of
 * the sum of what is alive at the worst moment; an exact search is exponential.
 *
 * Invariant: `placed` is sorted by offset, so the search ends at the first gap that is wide enough.
 */
#include "plan.h"
#include "plan_parts.h"

#include <stdlib.h>
#include <string.h>

typedef struct ordered {
    const tlc_buffer *b;
    size_t index;
} ordered;

/* Largest first; then the earlier; then as given: a total order, so the plan is reproducible. */
static int by_size(const void *pa, const void *pb)
{
    const ordered *a = pa, *b = pb;
    if (a->b->bytes != b->b->bytes)
        return a->b->bytes > b->b->bytes ? -1 : 1;
    if (a->b->from != b->b->from)
        return a->b->from < b->b->from ? -1 : 1;
    return a->index < b->index ? -1 : 1;
}

static int64_t round_up(int64_t bytes)
{
    return (bytes + TLC_PLAN_ALIGN - 1) / TLC_PLAN_ALIGN * TLC_PLAN_ALIGN;
}

/* What is placed, side by side in memory: the search reads all of it for every buffer, and graphs
 * of tens of thousands of nodes must not take long. */
typedef struct span {
    int from, to;
    int64_t offset, end;
} span;

/* Lowest offset at which `b` meets nobody alive with it. */
static int64_t first_fit(const span *placed, size_t count, const tlc_buffer *b)
{
    int64_t at = 0, need = round_up(b->bytes);
    for (size_t i = 0; i < count; ++i) {
        const span *p = &placed[i];
        if (p->from > b->to || b->from > p->to)
            continue;
        if (p->offset - at >= need)
            break;
        at = p->end > at ? p->end : at;
    }
    return at;
}

static void insert_sorted(span *placed, size_t count, span s)
{
    size_t lo = 0, hi = count;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (placed[mid].offset <= s.offset)
            lo = mid + 1;
        else
            hi = mid;
    }
    memmove(&placed[lo + 1], &placed[lo], (count - lo) * sizeof *placed);
    placed[lo] = s;
}

static int64_t one_after_another(tlc_buffer *buffers, size_t count)
{
    int64_t total = 0;
    for (size_t i = 0; i < count; ++i) {
        buffers[i].offset = total;
        total += round_up(buffers[i].bytes);
    }
    return total;
}

int64_t tlc_plan_offsets(tlc_arena *scratch, tlc_buffer *buffers, size_t count, bool reuse)
{
    if (!reuse)
        return one_after_another(buffers, count);
    tlc_arena_mark mark = tlc_arena_save(scratch);
    ordered *order = TLC_NEW_ARRAY(scratch, ordered, count);
    span *placed = TLC_NEW_ARRAY(scratch, span, count + 1);
    int64_t total = 0;
    for (size_t i = 0; i < count; ++i)
        order[i] = (ordered){ &buffers[i], i };
    qsort(order, count, sizeof *order, by_size);
    for (size_t i = 0; i < count; ++i) {
        tlc_buffer *b = &buffers[order[i].index];
        b->offset = first_fit(placed, i, b);
        int64_t end = b->offset + round_up(b->bytes);
        insert_sorted(placed, i, (span){ b->from, b->to, b->offset, end });
        total = end > total ? end : total;
    }
    tlc_arena_rewind(scratch, mark);
    return total;
}
