/* slice.c: x[start:end:step] along every axis, resolved as ONNX clamps them: no negative
 * number counts from the end any more.
 *
 *     step > 0    0 <= start <= size, 0 <= end <= size
 *     step < 0    0 <= start < size, -1 <= end < size; -1 is "down to the first, included"
 *     the batch   start 0, end -1 (`n`), step 1: all of it
 */
#include "op_attrs.h"
#include "op_fold.h"
#include "op_grad.h"
#include "op_infer.h"

#include <inttypes.h>

#define SLICE_ROWS                                                      \
    TLC_ATTR_INTS_ROW(tlc_slice_attrs, starts, 0, TLC_ATTR_MOST, -1, NULL), \
    TLC_ATTR_INTS_ROW(tlc_slice_attrs, ends, -1, TLC_ATTR_MOST, -1, NULL),  \
    TLC_ATTR_INTS_ROW(tlc_slice_attrs, steps, -TLC_ATTR_MOST, TLC_ATTR_MOST, -1, NULL)

static const tlc_attr_def attrs[] = { SLICE_ROWS, TLC_ATTR_END };
/* slice's struct comes first in the gradient's, so its rows serve. */
static const tlc_attr_def grad_attrs[] = {
    SLICE_ROWS,
    TLC_ATTR_INTS_ROW(tlc_slice_grad_attrs, shape, TLC_DIM_N, TLC_ATTR_MOST, -1, NULL),
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

/* The slice of an x of shape *io. */
static tlc_status cut(tlc_ctx *ctx, const tlc_slice_attrs *a, tlc_shape *io)
{
    if (a->starts.n != io->rank || a->ends.n != io->rank || a->steps.n != io->rank)
        return tlc_fail(ctx, TLC_E_MALFORMED, "E_ATTR",
                        "starts, ends, steps have %d, %d, %d numbers, %d wanted", a->starts.n,
                        a->ends.n, a->steps.n, io->rank);
    for (int i = 0; i < io->rank; ++i)
        TLC_TRY(extent(ctx, a, i, &io->dim[i]));
    return TLC_OK;
}

static tlc_status infer(tlc_ctx *ctx, tlc_node *n)
{
    tlc_shape s = n->in[0]->shape;
    TLC_TRY(cut(ctx, n->attrs, &s));
    tlc_set_result(n, n->in[0]->type, s);
    return TLC_OK;
}

static tlc_status backward(tlc_grad *g, const tlc_node *n)
{
    const tlc_shape *x = &n->in[0]->shape;
    tlc_value *dy = tlc_grad_of_result(g, n);
    tlc_slice_grad_attrs a = { .slice = *TLC_ATTRS(n, tlc_slice_attrs), .shape = { .n = x->rank } };
    for (int i = 0; i < x->rank; ++i)
        a.shape.v[i] = x->dim[i];
    return tlc_grad_add(g, n->in[0], TLC_OP_SLICE_GRAD, &a, &dy, 1);
}

static tlc_status infer_grad(tlc_ctx *ctx, tlc_node *n)
{
    const tlc_slice_grad_attrs *a = n->attrs;
    TLC_TRY(tlc_want_float(ctx, n->in[0], "dy"));
    TLC_TRY(tlc_want_axis(ctx, a->shape.n, TLC_MAX_RANK));
    tlc_shape x = tlc_shape_make(a->shape.n, a->shape.v), dy = x;
    TLC_TRY(cut(ctx, &a->slice, &dy));
    TLC_TRY(tlc_want_shape(ctx, n->in[0], &dy, "dy"));
    tlc_set_result(n, n->in[0]->type, x);
    return TLC_OK;
}

const tlc_op_def tlc_op_slice_grad = {
    .attrs = grad_attrs,
    .attrs_size = sizeof(tlc_slice_grad_attrs),
    .infer = infer_grad,
};

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
    .backward = backward,
};
