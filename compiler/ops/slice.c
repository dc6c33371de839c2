/* slice.c: x[start:end:step] along every axis, resolved as ONNX clamps them: no negative
 * number counts from the end any more.
 *
 *     step > 0    0 <= start <= size, 0 <= end <= size
 *     step < 0    0 <= start < size, -1 <= end < size; -1 is "down to the first, included"
 *     the batch   start 0, end -1 (`n`), step 1: all of it
 */
#include "op_attrs.h"
#include "op_fold.h"
#include "op_infer.h"

#include <inttypes.h>

static const tlc_attr_def attrs[] = {
    TLC_ATTR_INTS_ROW(tlc_slice_attrs, starts, 0, TLC_ATTR_MOST, -1, NULL),
    TLC_ATTR_INTS_ROW(tlc_slice_attrs, ends, -1, TLC_ATTR_MOST, -1, NULL),
    TLC_ATTR_INTS_ROW(tlc_slice_attrs, steps, -TLC_ATTR_MOST, TLC_ATTR_MOST, -1, NULL),
    TLC_ATTR_END
};

static tlc_status want_within(tlc_ctx *ctx, const char *attr, int axis, int64_t x, int64_t least,
                              int64_t most)
{
    if (x < least)
        return tlc_fail(ctx, TLC_E_MALFORMED, "E_ATTR", "%s[%d] is %" PRId64 ", at least %" PRId64,
                        attr, axis, x, least);
    if (x > most)
        return tlc_fail(ctx, TLC_E_MALFORMED, "E_ATTR", "%s[%d] is %" PRId64 ", at most %" PRId64,
                        attr, axis, x, most);
    return TLC_OK;
}

static tlc_status extent(tlc_ctx *ctx, const tlc_slice_attrs *a, int axis, int64_t *io_dim)
{
    int64_t start = a->starts.v[axis], end = a->ends.v[axis], step = a->steps.v[axis];
    int64_t back = step < 0 ? 1 : 0, span;
    if (step == 0)
        return tlc_fail(ctx, TLC_E_MALFORMED, "E_ATTR", "steps[%d] is 0, not 0 wanted", axis);
    if (*io_dim == TLC_DIM_N) {
        if (start == 0 && end == TLC_DIM_N && step == 1)
            return TLC_OK;
        return tlc_fail_batch(ctx, "slice of axis 0 would take a part of");
    }
    TLC_TRY(want_within(ctx, "starts", axis, start, 0, *io_dim - back));
    TLC_TRY(want_within(ctx, "ends", axis, end, -back, *io_dim - back));
    span = back ? start - end : end - start;
    *io_dim = span <= 0 ? 0 : (span - 1) / (back ? -step : step) + 1;
    return TLC_OK;
}

static tlc_status infer(tlc_ctx *ctx, tlc_node *n)
{
    const tlc_slice_attrs *a = n->attrs;
    tlc_shape s = n->in[0]->shape;
    if (a->starts.n != s.rank || a->ends.n != s.rank || a->steps.n != s.rank)
        return tlc_fail(ctx, TLC_E_MALFORMED, "E_ATTR",
                        "starts, ends, steps have %d, %d, %d numbers, %d wanted", a->starts.n,
                        a->ends.n, a->steps.n, s.rank);
    for (int i = 0; i < s.rank; ++i)
        TLC_TRY(extent(ctx, a, i, &s.dim[i]));
    tlc_set_result(n, n->in[0]->type, s);
    return TLC_OK;
}

static tlc_status fold(tlc_ctx *ctx, const tlc_node *n, tlc_value **out)
{
    const tlc_slice_attrs *a = n->attrs;
    int64_t own[TLC_MAX_RANK], stride[TLC_MAX_RANK], base = 0;
    tlc_row_strides(&n->in[0]->shape, own);
    for (int i = 0; i < n->in[0]->shape.rank; ++i) {
        base += a->starts.v[i] * own[i];
        stride[i] = a->steps.v[i] * own[i];
    }
    return tlc_fold_strided(ctx, n, base, stride, out);
}

const tlc_op_def tlc_op_slice = {
    .attrs = attrs,
    .attrs_size = sizeof(tlc_slice_attrs),
    .infer = infer,
    .fold = fold,
};
