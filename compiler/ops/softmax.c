/* softmax.c: exp(x) / sum exp(x) along one axis, and its gradient y * (dy - sum of dy * y). */
#include "op_attrs.h"
#include "op_grad.h"
#include "op_infer.h"

static const tlc_attr_def attrs[] = {
    TLC_ATTR_INT_ROW(tlc_axis_attrs, axis, 0, TLC_MAX_RANK - 1, "1"),
    TLC_ATTR_END
};

static tlc_status infer(tlc_ctx *ctx, tlc_node *n)
{
    const tlc_shape *x = &n->in[0]->shape;
    int64_t axis = TLC_ATTRS(n, tlc_axis_attrs)->axis;
    TLC_TRY(tlc_want_axis(ctx, axis, x->rank - 1));
    if (axis == 0 && tlc_shape_has_n(x))
        return tlc_fail_batch(ctx, "softmax along axis 0 would sum over");
    return tlc_infer_same_float(ctx, n);
}

static tlc_status backward(tlc_grad *g, const tlc_node *n)
{
    tlc_value *dy = tlc_grad_of_result(g, n);
    return tlc_grad_add(g, n->in[0], TLC_OP_SOFTMAX_GRAD, n->attrs,
                        (tlc_value *[]){ dy, n->out[0] }, 2);
}

const tlc_op_def tlc_op_softmax = {
    .attrs = attrs,
    .attrs_size = sizeof(tlc_axis_attrs),
    .infer = infer,
    .backward = backward,
};

static tlc_status infer_grad(tlc_ctx *ctx, tlc_node *n)
{
    TLC_TRY(infer(ctx, n));
    return tlc_want_like(ctx, n->in[1], n->in[0], "y");
}

const tlc_op_def tlc_op_softmax_grad = {
    .attrs = attrs,
    .attrs_size = sizeof(tlc_axis_attrs),
    .infer = infer_grad,
};
