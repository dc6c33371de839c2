/* batch_norm_train.c: batch normalisation by the statistics of the batch, and its gradient.
 *
 *     mean, variance     of x over batch and plane, a number a channel; variance is the biased one
 *     y = (x - mean) / sqrt(variance + epsilon) * scale + bias
 *
 *     xhat   = (x - mean) / sqrt(variance + epsilon)
 *     dbias  = sum of dy,  dscale = sum of dy * xhat
 *     dx     = scale / sqrt(variance + epsilon) * (dy - (dbias + xhat * dscale) / count)
 *
 * The sums are an operator of their own: the lowest trained batch norm needs nothing else, and
 * what is left for dx is elementwise.  batch_norm_stats moves the running statistics by the
 * batch's, with the unbiased variance, as PyTorch does.
 */
#include "op_attrs.h"
#include "op_grad.h"
#include "op_infer.h"

#include <float.h>

static const tlc_attr_def attrs[] = {
    TLC_ATTR_FLOAT_ROW(tlc_batch_norm_attrs, epsilon, 0, DBL_MAX, "1e-05"),
    TLC_ATTR_END
};
static const tlc_attr_def stats_attrs[] = {
    TLC_ATTR_FLOAT_ROW(tlc_batch_norm_attrs, momentum, 0, 1, "0.1"),
    TLC_ATTR_END
};

static tlc_status want_maps(tlc_ctx *ctx, const tlc_value *x, const char *what)
{
    TLC_TRY(tlc_want_float(ctx, x, what));
    if (x->shape.rank >= 2)
        return TLC_OK;
    return tlc_fail(ctx, TLC_E_MALFORMED, "E_RANK", "shape of %s is %s: rank %d, at least 2", what,
                    tlc_dims_text(ctx, &x->shape), x->shape.rank);
}

/* Operands from `first` on are numbers a channel of operand `x`; names by operand. */
static tlc_status want_vectors(tlc_ctx *ctx, const tlc_node *n, const tlc_value *x, int first,
                               int end, const char *const *names)
{
    for (int i = first; i < end; ++i)
        TLC_TRY(tlc_want_vector(ctx, n->in[i], x->type, x->shape.dim[1], names[i]));
    return TLC_OK;
}

static void set_vector(tlc_value *v, const tlc_value *x)
{
    v->type = x->type;
    v->shape = tlc_shape_make(1, &x->shape.dim[1]);
}

static tlc_status infer(tlc_ctx *ctx, tlc_node *n)
{
    static const char *const names[] = { "x", "scale", "bias" };
    const tlc_value *x = n->in[0];
    TLC_TRY(want_maps(ctx, x, "x"));
    TLC_TRY(want_vectors(ctx, n, x, 1, 3, names));
    tlc_set_result(n, x->type, x->shape);
    set_vector(n->out[1], x);
    set_vector(n->out[2], x);
    return TLC_OK;
}

static tlc_status backward(tlc_grad *g, const tlc_node *n)
{
    tlc_value *dy = tlc_grad_of_result(g, n), *x = n->in[0], *scale = n->in[1], *bias = n->in[2];
    tlc_value *mean = n->out[1], *variance = n->out[2];
    tlc_node *sums = tlc_node_add(g->func, NULL, TLC_OP_BATCH_NORM_TRAIN_GRAD_SCALE, NULL,
                                  (tlc_value *[]){ dy, x, mean, variance }, 4);
    *TLC_ATTRS(sums, tlc_batch_norm_attrs) = *TLC_ATTRS(n, tlc_batch_norm_attrs);
    TLC_TRY(tlc_node_infer(g->ctx, sums));
    if (tlc_grad_wanted(g, scale))
        TLC_TRY(tlc_grad_accumulate(g, scale, sums->out[0]));
    if (tlc_grad_wanted(g, bias))
        TLC_TRY(tlc_grad_accumulate(g, bias, sums->out[1]));
    tlc_value *in[] = { dy, x, scale, mean, variance, sums->out[0], sums->out[1] };
    return tlc_grad_add(g, x, TLC_OP_BATCH_NORM_TRAIN_GRAD_X, n->attrs, in, 7);
}

const tlc_op_def tlc_op_batch_norm_train = {
    .attrs = attrs,
    .attrs_size = sizeof(tlc_batch_norm_attrs),
    .infer = infer,
    .backward = backward,
};

static tlc_status infer_grad_scale(tlc_ctx *ctx, tlc_node *n)
{
    static const char *const names[] = { "dy", "x", "mean", "variance" };
    const tlc_value *dy = n->in[0];
    TLC_TRY(want_maps(ctx, dy, "dy"));
    TLC_TRY(tlc_want_like(ctx, n->in[1], dy, "x"));
    TLC_TRY(want_vectors(ctx, n, dy, 2, 4, names));
    set_vector(n->out[0], dy);
    set_vector(n->out[1], dy);
    return TLC_OK;
}

const tlc_op_def tlc_op_batch_norm_train_grad_scale = {
    .attrs = attrs,
    .attrs_size = sizeof(tlc_batch_norm_attrs),
    .infer = infer_grad_scale,
};

static tlc_status infer_grad_x(tlc_ctx *ctx, tlc_node *n)
{
    static const char *const names[] = { "dy",       "x",      "scale", "mean",
                                         "variance", "dscale", "dbias" };
    const tlc_value *dy = n->in[0];
    TLC_TRY(want_maps(ctx, dy, "dy"));
    TLC_TRY(tlc_want_like(ctx, n->in[1], dy, "x"));
    TLC_TRY(want_vectors(ctx, n, dy, 2, 7, names));
    tlc_set_result(n, dy->type, dy->shape);
    return TLC_OK;
}

const tlc_op_def tlc_op_batch_norm_train_grad_x = {
    .attrs = attrs,
    .attrs_size = sizeof(tlc_batch_norm_attrs),
    .infer = infer_grad_x,
};

/* x says over how many numbers the batch's statistics ran; its elements are not read. */
static tlc_status infer_stats(tlc_ctx *ctx, tlc_node *n)
{
    static const char *const names[] = { "running mean", "running variance", "mean", "variance" };
    TLC_TRY(want_maps(ctx, n->in[4], "x"));
    for (int i = 0; i < 2; ++i)
        if (n->in[i]->kind != TLC_PARAM)
            return tlc_fail(ctx, TLC_E_MALFORMED, "E_WRITES", "%s is overwritten, a param wanted",
                            names[i]);
    return want_vectors(ctx, n, n->in[4], 0, 4, names);
}

const tlc_op_def tlc_op_batch_norm_stats = {
    .attrs = stats_attrs,
    .attrs_size = sizeof(tlc_batch_norm_attrs),
    .infer = infer_stats,
};
