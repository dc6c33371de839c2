/* cross_entropy.c: logsumexp(z) - z[y] of each picture, and the gradient of its mean.
 *
 * z [n,k], y [n] class numbers.  cross_entropy_grad is (softmax(z) - target) / n, so the mean
 * over the batch needs no operator of its own: the loss that is reported sums the pictures'.
 */
#include "op_attrs.h"
#include "op_grad.h"
#include "op_infer.h"

static const tlc_attr_def attrs[] = {
    TLC_ATTR_FLOAT_ROW(tlc_loss_attrs, label_smoothing, 0, 1, "0"),
    TLC_ATTR_END
};

static tlc_status check(tlc_ctx *ctx, const tlc_node *n)
{
    const tlc_value *z = n->in[0], *y = n->in[1];
    TLC_TRY(tlc_want_matrix(ctx, z, "z"));
    TLC_TRY(tlc_want_index(ctx, y, "y"));
    tlc_shape s = tlc_shape_make(1, z->shape.dim);
    return tlc_want_shape(ctx, y, &s, "y");
}

static tlc_status infer(tlc_ctx *ctx, tlc_node *n)
{
    TLC_TRY(check(ctx, n));
    tlc_set_result(n, n->in[0]->type, n->in[1]->shape);
    return TLC_OK;
}

/* The walk begins here: the loss has no gradient above it. */
static tlc_status backward(tlc_grad *g, const tlc_node *n)
{
    return tlc_grad_add(g, n->in[0], TLC_OP_CROSS_ENTROPY_GRAD, n->attrs, n->in, 2);
}

const tlc_op_def tlc_op_cross_entropy = {
    .attrs = attrs,
    .attrs_size = sizeof(tlc_loss_attrs),
    .infer = infer,
    .backward = backward,
};

static tlc_status infer_grad(tlc_ctx *ctx, tlc_node *n)
{
    TLC_TRY(check(ctx, n));
    tlc_set_result(n, n->in[0]->type, n->in[0]->shape);
    return TLC_OK;
}

const tlc_op_def tlc_op_cross_entropy_grad = {
    .attrs = attrs,
    .attrs_size = sizeof(tlc_loss_attrs),
    .infer = infer_grad,
};
