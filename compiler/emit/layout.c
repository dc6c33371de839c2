/* layout.c: a tensor's bytes as its physical layout wants them.
 *
 * A layout is a list of loops, outermost first.  Each loop runs over one axis of the logical
 * tensor with a step: [oc/16][ic/16][kh][kw][16 ic][16 oc] is axis 0 by 16, axis 1 by 16, axes 2
 * and 3, axis 1 by 1, axis 0 by 1.  An element whose logical index lies outside the tensor is
 * zero: that is the padding of channels, and of halos.
 */
#include "emit_parts.h"

#include <string.h>

typedef struct loop {
    int64_t extent;
    int axis;
    int64_t step;
} loop;

enum { MAX_LOOPS = TLC_MAX_RANK + 2 };

typedef struct packing {
    const tlc_value *v;
    loop loops[MAX_LOOPS];
    int n_loops;
    int64_t dim[TLC_MAX_RANK];    /* of the logical tensor; a scalar counts as [1] */
    int64_t stride[TLC_MAX_RANK]; /* in elements */
    int64_t first[TLC_MAX_RANK];  /* logical index of the first stored element: minus the halo */
} packing;

static void add_loop(packing *p, int axis, int64_t extent, int64_t step)
{
    p->loops[p->n_loops++] = (loop){ extent, axis, step };
}

static void add_blocks(packing *p, int axis)
{
    add_loop(p, axis, (p->v->shape.dim[axis] + TLK_BLOCK - 1) / TLK_BLOCK, TLK_BLOCK);
}

/* Axes [from, rank), whole; the last two with the halo. */
static void add_axes(packing *p, int from, int to)
{
    int rank = p->v->shape.rank;
    const int *halo = p->v->layout.halo;
    for (int axis = from; axis < to; ++axis) {
        int side = rank == 4 && axis >= 2 ? axis - 2 : -1; /* 0 rows, 1 columns */
        int64_t before = side < 0 ? 0 : halo[side], after = side < 0 ? 0 : halo[side + 2];
        p->first[axis] = -before;
        add_loop(p, axis, before + p->v->shape.dim[axis] + after, 1);
    }
}

static void describe(packing *p)
{
    int rank = p->v->shape.rank, channel = rank > 1;
    switch (p->v->layout.kind) {
    case TLC_C16: /* [n] [c/16] ... [16] */
        add_axes(p, 0, channel);
        add_blocks(p, channel);
        add_axes(p, channel + 1, rank);
        add_loop(p, channel, TLK_BLOCK, 1);
        break;
    case TLC_OI16:
        add_blocks(p, 0);
        add_blocks(p, 1);
        add_axes(p, 2, rank);
        add_loop(p, 1, TLK_BLOCK, 1);
        add_loop(p, 0, TLK_BLOCK, 1);
        break;
    case TLC_STEM16:
        add_blocks(p, 0);
        add_axes(p, 2, rank);
        add_axes(p, 1, 2);
        add_loop(p, 0, TLK_BLOCK, 1);
        break;
    case TLC_DW16:
    case TLC_LIN16: /* the first axis in blocks, the others whole */
        add_blocks(p, 0);
        add_axes(p, 1, rank);
        add_loop(p, 0, TLK_BLOCK, 1);
        break;
    case TLC_NHWC: /* the third axis from the end last */
        add_axes(p, 0, rank - 3);
        add_axes(p, rank - 2, rank);
        add_axes(p, rank - 3, rank - 2);
        break;
    default:
        add_axes(p, 0, rank);
        break;
    }
}

static packing make_packing(const tlc_value *v)
{
    packing p = { .v = v };
    int64_t stride = 1;
    for (int axis = v->shape.rank - 1; axis >= 0; --axis) {
        p.stride[axis] = stride;
        stride *= v->shape.dim[axis];
    }
    memcpy(p.dim, v->shape.dim, sizeof p.dim);
    describe(&p);
    if (v->shape.rank == 0) {
        p.dim[0] = 1;
        add_loop(&p, 0, 1, 1);
    }
    return p;
}

/* Element `i` of the data as v->type, into `out`. */
static void element(const tlc_value *v, int64_t i, unsigned char *out)
{
    size_t bytes = (size_t)tlc_type_bytes(v->type);
    if (v->data_type == v->type && !v->scale) {
        const char *data = v->data;
        memcpy(out, data + (v->splat ? 0 : (size_t)i * bytes), bytes);
        return;
    }
    double x = tlc_data_f64(v, i);
    float narrow = (float)x;
    memcpy(out, v->type == TLC_F64 ? (const void *)&x : (const void *)&narrow, bytes);
}

/* Logical index of the element at the loops' counters. */
static void index_at(const packing *p, const int64_t *count, int64_t index[TLC_MAX_RANK])
{
    memcpy(index, p->first, sizeof p->first);
    for (int i = 0; i < p->n_loops; ++i)
        index[p->loops[i].axis] += count[i] * p->loops[i].step;
}

/* `n` elements along the innermost loop, from its counter on; zero outside the tensor. */
static void fetch_run(const packing *p, const int64_t *count, int64_t n, unsigned char *out)
{
    const loop *inner = &p->loops[p->n_loops - 1];
    int64_t index[TLC_MAX_RANK], at = 0;
    size_t bytes = (size_t)tlc_type_bytes(p->v->type);
    bool outside = false;
    index_at(p, count, index);
    for (int axis = 0; axis < p->v->shape.rank; ++axis) {
        at += index[axis] * p->stride[axis];
        outside |= axis != inner->axis && (index[axis] < 0 || index[axis] >= p->dim[axis]);
    }
    for (int64_t k = 0; k < n; ++k, out += bytes) {
        int64_t i = index[inner->axis] + k * inner->step;
        if (outside || i < 0 || i >= p->dim[inner->axis])
            memset(out, 0, bytes);
        else
            element(p->v, at + k * inner->step * p->stride[inner->axis], out);
    }
}

/* Move `n` on along the innermost loop, which does not pass its end, and carry outwards. */
static bool advance(const packing *p, int64_t *count, int64_t n)
{
    count[p->n_loops - 1] += n - 1;
    for (int i = p->n_loops - 1; i >= 0; --i) {
        if (++count[i] < p->loops[i].extent)
            return true;
        count[i] = 0;
    }
    return false;
}

static bool is_as_stored(const tlc_value *v)
{
    static const int none[4] = { 0 };
    return v->layout.kind == TLC_PLAIN && !v->splat && !v->scale &&
           v->data_type == v->type && memcmp(v->layout.halo, none, sizeof none) == 0;
}

/* Elements that the next run may take: to the end of the innermost loop or of the room. */
static int64_t run_length(const packing *p, const int64_t *count, size_t room_bytes)
{
    const int last = p->n_loops - 1;
    int64_t left = p->loops[last].extent - count[last];
    int64_t room = (int64_t)room_bytes / tlc_type_bytes(p->v->type);
    return left < room ? left : room;
}

bool tlc_emit_pack(const tlc_value *v, tlc_sink *sink, void *self)
{
    if (is_as_stored(v))
        return sink(self, v->data, (size_t)tlc_value_bytes(v));
    unsigned char piece[8192];
    int64_t count[MAX_LOOPS] = { 0 };
    size_t held = 0;
    packing p = make_packing(v);
    bool more = tlc_value_bytes(v) > 0;
    while (more) {
        int64_t n = run_length(&p, count, sizeof piece - held);
        fetch_run(&p, count, n, piece + held);
        held += (size_t)n * (size_t)tlc_type_bytes(v->type);
        more = advance(&p, count, n);
        if (held == sizeof piece || !more) {
            if (!sink(self, piece, held))
                return false;
            held = 0;
        }
    }
    return true;
}
