/* lrn.c: local response normalisation across channels, as AlexNet and GoogLeNet have it:
 * x / (bias + alpha / size * sum of squares of the `size` channels around it) ^ beta. */
#include "op_attrs.h"
#include "op_infer.h"

static const tlc_attr_def attrs[] = {
    TLC_ATTR_INT_ROW(tlc_lrn_attrs, size, 1, TLC_ATTR_MOST, NULL),
    TLC_ATTR_FLOAT_ROW(tlc_lrn_attrs, alpha, -HUGE_VAL, HUGE_VAL, "0.0001"),
    TLC_ATTR_FLOAT_ROW(tlc_lrn_attrs, beta, -HUGE_VAL, HUGE_VAL, "0.75"),
    TLC_ATTR_FLOAT_ROW(tlc_lrn_attrs, bias, -HUGE_VAL, HUGE_VAL, "1"),
    TLC_ATTR_END
};

static tlc_status infer(tlc_ctx *ctx, tlc_node *n)
{
    if (n->in[0]->shape.rank < 2)
        return tlc_fail(ctx, TLC_E_MALFORMED, "E_SHAPE", "shape of x has rank %d, at least 2",
                        n->in[0]->shape.rank);
    return tlc_infer_same_float(ctx, n);
}

const tlc_op_def tlc_op_lrn = {
    .attrs = attrs,
    .attrs_size = sizeof(tlc_lrn_attrs),
    .infer = infer,
};
