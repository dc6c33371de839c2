/* batch_norm.c: (x - mean) / sqrt(variance + epsilon) * scale + bias, a number a channel.
 *
 * By running statistics: what a frozen batch norm does, so that it folds into the convolution
 * before it.  Its gradient is a factor a channel.  Where the running statistics are parameters,
 * training goes by the batch's: split puts batch_norm_train in its place.
 */
#include "op_attrs.h"
#include "op_grad.h"
#include "op_infer.h"

#include <float.h>
#include <inttypes.h>

static const tlc_attr_def attrs[] = {
    TLC_ATTR_FLOAT_ROW(tlc_batch_norm_attrs, epsilon, 0, DBL_MAX, "1e-05"),
    TLC_ATTR_FLOAT_ROW(tlc_batch_norm_attrs, momentum, 0, 1, "0.1"),
    TLC_ATTR_END
};
static const tlc_attr_def grad_attrs[] = {
    TLC_ATTR_FLOAT_ROW(tlc_batch_norm_attrs, epsilon, 0, DBL_MAX, "1e-05"),
    TLC_ATTR_END
};

/* A NaN passes: weights that are not finite are a warning of the importer. */
static tlc_status check_variance(tlc_ctx *ctx, const tlc_value *v, double epsilon)
{
    for (int64_t i = 0; v->data && i < v->shape.dim[0]; ++i) {
        double variance = tlc_data_f64(v, i);
        if (variance < 0 || variance + epsilon <= 0)
            return tlc_fail(ctx, TLC_E_MALFORMED, "E_VARIANCE",
                            "variance[%" PRId64 "] is %g and epsilon %g: no square root above 0",
                            i, variance, epsilon);
    }
    return TLC_OK;
}

static tlc_status infer(tlc_ctx *ctx, tlc_node *n)
{
    static const char *const names[] = { "x", "scale", "bias", "mean", "variance" };
    const tlc_value *x = n->in[0];
    TLC_TRY(tlc_want_float(ctx, x, "x"));
    if (x->shape.rank < 2)
        return tlc_fail(ctx, TLC_E_MALFORMED, "E_RANK", "shape of x is %s: rank %d, at least 2",
                        tlc_dims_text(ctx, &x->shape), x->shape.rank);
    for (int i = 1; i < 5; ++i)
        TLC_TRY(tlc_want_vector(ctx, n->in[i], x->type, x->shape.dim[1], names[i]));
    TLC_TRY(check_variance(ctx, n->in[4], TLC_ATTRS(n, tlc_batch_norm_attrs)->epsilon));
    tlc_set_result(n, x->type, x->shape);
    return TLC_OK;
}

static tlc_status backward(tlc_grad *g, const tlc_node *n)
{
    tlc_value *dy = tlc_grad_of_result(g, n);
    for (int i = 1; i < 5; ++i)
        if (tlc_grad_wanted(g, n->in[i]))
            return tlc_fail(g->ctx, TLC_E_UNSUPPORTED, "E_GRADIENT",
                            "a batch_norm by running statistics has no gradient by operand %d", i);
    return tlc_grad_add(g, n->in[0], TLC_OP_BATCH_NORM_GRAD, n->attrs,
                        (tlc_value *[]){ dy, n->in[1], n->in[4] }, 3);
}

const tlc_op_def tlc_op_batch_norm = {
    .attrs = attrs,
    .attrs_size = sizeof(tlc_batch_norm_attrs),
    .infer = infer,
    .backward = backward,
};

static tlc_status infer_grad(tlc_ctx *ctx, tlc_node *n)
{
    const tlc_value *dy = n->in[0];
    TLC_TRY(tlc_want_float(ctx, dy, "dy"));
    if (dy->shape.rank < 2)
        return tlc_fail(ctx, TLC_E_MALFORMED, "E_RANK", "shape of dy is %s: rank %d, at least 2",
                        tlc_dims_text(ctx, &dy->shape), dy->shape.rank);
    TLC_TRY(tlc_want_vector(ctx, n->in[1], dy->type, dy->shape.dim[1], "scale"));
    TLC_TRY(tlc_want_vector(ctx, n->in[2], dy->type, dy->shape.dim[1], "variance"));
    tlc_set_result(n, dy->type, dy->shape);
    return TLC_OK;
}

const tlc_op_def tlc_op_batch_norm_grad = {
    .attrs = grad_attrs,
    .attrs_size = sizeof(tlc_batch_norm_attrs),
    .infer = infer_grad,
};
