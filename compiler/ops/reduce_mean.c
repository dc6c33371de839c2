/* reduce_mean.c: mean over axes; a global average pool is the mean over [2,3].  Its gradient gives
 * every element that was averaged an equal share. */
#include "op_attrs.h"
#include "op_grad.h"
#include "op_infer.h"

#define MEAN_ROWS                                                          \
    TLC_ATTR_INTS_ROW(tlc_axes_attrs, axes, 0, TLC_MAX_RANK - 1, -1, NULL), \
    TLC_ATTR_BOOL_ROW(tlc_axes_attrs, keepdims, "true")

static const tlc_attr_def attrs[] = { MEAN_ROWS, TLC_ATTR_END };
/* reduce_mean's struct comes first in the gradient's, so its rows serve. */
static const tlc_attr_def grad_attrs[] = {
    MEAN_ROWS,
    TLC_ATTR_INTS_ROW(tlc_reduce_grad_attrs, shape, TLC_DIM_N, TLC_ATTR_MOST, -1, NULL),
    TLC_ATTR_END
};

static tlc_shape reduced(const tlc_shape *x, const tlc_axes_attrs *a)
{
    bool gone[TLC_MAX_RANK] = { false };
    tlc_shape y = { 0 };
    for (int i = 0; i < a->axes.n; ++i)
        gone[a->axes.v[i]] = true;
    for (int i = 0; i < x->rank; ++i)
        if (!gone[i])
            y.dim[y.rank++] = x->dim[i];
        else if (a->keepdims)
            y.dim[y.rank++] = 1;
    return y;
}

static tlc_status check_axes(tlc_ctx *ctx, const tlc_axes_attrs *a, const tlc_shape *x)
{
    TLC_TRY(tlc_want_axes(ctx, &a->axes, x->rank, "axes"));
    for (int i = 0; i < a->axes.n; ++i)
        if (a->axes.v[i] == 0 && tlc_shape_has_n(x))
            return tlc_fail_batch(ctx, "reduce_mean over axis 0 would sum over");
    return TLC_OK;
}

static tlc_status infer(tlc_ctx *ctx, tlc_node *n)
{
    const tlc_axes_attrs *a = n->attrs;
    const tlc_value *x = n->in[0];
    TLC_TRY(tlc_want_float(ctx, x, "x"));
    TLC_TRY(check_axes(ctx, a, &x->shape));
    tlc_set_result(n, x->type, reduced(&x->shape, a));
    return TLC_OK;
}

static tlc_status backward(tlc_grad *g, const tlc_node *n)
{
    const tlc_shape *x = &n->in[0]->shape;
    tlc_value *dy = tlc_grad_of_result(g, n);
    tlc_reduce_grad_attrs a = { .reduce = *TLC_ATTRS(n, tlc_axes_attrs), .shape = { .n = x->rank } };
    for (int i = 0; i < x->rank; ++i)
        a.shape.v[i] = x->dim[i];
    return tlc_grad_add(g, n->in[0], TLC_OP_REDUCE_MEAN_GRAD, &a, &dy, 1);
}

static tlc_status infer_grad(tlc_ctx *ctx, tlc_node *n)
{
    const tlc_reduce_grad_attrs *a = n->attrs;
    TLC_TRY(tlc_want_float(ctx, n->in[0], "dy"));
    TLC_TRY(tlc_want_axis(ctx, a->shape.n, TLC_MAX_RANK));
    tlc_shape x = tlc_shape_make(a->shape.n, a->shape.v);
    TLC_TRY(check_axes(ctx, &a->reduce, &x));
    tlc_shape dy = reduced(&x, &a->reduce);
    TLC_TRY(tlc_want_shape(ctx, n->in[0], &dy, "dy"));
    tlc_set_result(n, n->in[0]->type, x);
    return TLC_OK;
}

const tlc_op_def tlc_op_reduce_mean_grad = {
    .attrs = grad_attrs,
    .attrs_size = sizeof(tlc_reduce_grad_attrs),
    .infer = infer_grad,
};

const tlc_op_def tlc_op_reduce_mean = {
    .attrs = attrs,
    .attrs_size = sizeof(tlc_axes_attrs),
    .infer = infer,
    .backward = backward,
};
