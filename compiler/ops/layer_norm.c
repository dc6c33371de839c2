/* layer_norm.c: normalise each picture's values over the axes from `axis` on:
 * (x - mean) / sqrt(variance + epsilon) * scale + bias, the variance biased, scale and bias of
 * the shape of those axes. */
#include "op_attrs.h"
#include "op_infer.h"

static const tlc_attr_def attrs[] = {
    TLC_ATTR_INT_ROW(tlc_layer_norm_attrs, axis, 0, TLC_MAX_RANK - 1, NULL),
    TLC_ATTR_FLOAT_ROW(tlc_layer_norm_attrs, epsilon, 0, HUGE_VAL, "1e-05"),
    TLC_ATTR_END
};

static tlc_status infer(tlc_ctx *ctx, tlc_node *n)
{
    const tlc_shape *x = &n->in[0]->shape;
    int axis = (int)TLC_ATTRS(n, tlc_layer_norm_attrs)->axis;
    TLC_TRY(tlc_infer_same_float(ctx, n));
    TLC_TRY(tlc_want_axis(ctx, axis, x->rank - 1));
    if (axis == 0 && tlc_shape_has_n(x))
        return tlc_fail_batch(ctx, "layer_norm would mix");
    tlc_shape part = tlc_shape_make(x->rank - axis, x->dim + axis);
    for (int i = 1; i < n->n_in; ++i) {
        const char *what = i == 1 ? "scale" : "bias";
        if (!n->in[i])
            continue;
        TLC_TRY(tlc_want_type(ctx, n->in[i], n->in[0]->type, what));
        TLC_TRY(tlc_want_shape(ctx, n->in[i], &part, what));
    }
    return TLC_OK;
}

const tlc_op_def tlc_op_layer_norm = {
    .attrs = attrs,
    .attrs_size = sizeof(tlc_layer_norm_attrs),
    .infer = infer,
};
