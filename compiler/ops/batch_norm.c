/* batch_norm.c: (x - mean) / sqrt(variance + epsilon) * scale + bias, a number a channel.
 *
 * Running statistics alone: what a frozen batch norm does, so that it folds into the
 * convolution before it.
 */
#include "op_attrs.h"
#include "op_infer.h"

#include <float.h>
#include <inttypes.h>

static const tlc_attr_def attrs[] = {
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

const tlc_op_def tlc_op_batch_norm = {
    .attrs = attrs,
    .attrs_size = sizeof(tlc_batch_norm_attrs),
    .infer = infer,
};
