/* check.c: a second, naive opinion on a plan.
 *
 * It compares every pair of buffers and shares no code with the search that placed them, so that
 * one mistake cannot be in both.
 */
#include "plan.h"

static bool alive_together(const tlc_buffer *a, const tlc_buffer *b)
{
    int later_start = a->from > b->from ? a->from : b->from;
    int earlier_end = a->to < b->to ? a->to : b->to;
    return later_start <= earlier_end;
}

static bool share_bytes(const tlc_buffer *a, const tlc_buffer *b)
{
    return a->offset < b->offset + b->bytes && b->offset < a->offset + a->bytes;
}

bool tlc_plan_check(const tlc_buffer *buffers, size_t count, int64_t total)
{
    for (size_t i = 0; i < count; ++i) {
        const tlc_buffer *b = &buffers[i];
        if (b->offset < 0 || b->offset % 64 != 0 || b->to < b->from)
            return false;
        if (b->bytes < 0 || b->bytes > total || b->offset > total - b->bytes)
            return false;
        for (size_t j = 0; j < i; ++j)
            if (alive_together(b, &buffers[j]) && share_bytes(b, &buffers[j]))
                return false;
    }
    return true;
}
