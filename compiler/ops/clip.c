/* clip.c: min(max(x, lo), hi); relu6 is the clip to [0, 6].
 *
 * Backward asks whether the result lies strictly between the bounds, as PyTorch's hardtanh
 * does, so x need not be kept.
 */
#include "op_attrs.h"
#include "op_grad.h"
#include "op_infer.h"

static const tlc_attr_def attrs[] = {
    TLC_ATTR_FLOAT_ROW(tlc_clip_attrs, lo, -HUGE_VAL, HUGE_VAL, "-inf"),
    TLC_ATTR_FLOAT_ROW(tlc_clip_attrs, hi, -HUGE_VAL, HUGE_VAL, "inf"),
    TLC_ATTR_END
};

static tlc_status infer(tlc_ctx *ctx, tlc_node *n)
{
    const tlc_clip_attrs *a = n->attrs;
    TLC_TRY(tlc_want_bounds(ctx, a->lo, a->hi));
    return tlc_infer_same_float(ctx, n);
}

static tlc_status backward(tlc_grad *g, const tlc_node *n)
{
    tlc_value *dy = tlc_grad_of_result(g, n);
    return tlc_grad_add(g, n->in[0], TLC_OP_CLIP_GRAD, n->attrs,
                        (tlc_value *[]){ dy, n->out[0] }, 2);
}

const tlc_op_def tlc_op_clip = {
    .attrs = attrs,
    .attrs_size = sizeof(tlc_clip_attrs),
    .infer = infer,
    .backward = backward,
};

static tlc_status infer_grad(tlc_ctx *ctx, tlc_node *n)
{
    TLC_TRY(infer(ctx, n));
    return tlc_want_like(ctx, n->in[1], n->in[0], "y");
}

const tlc_op_def tlc_op_clip_grad = {
    .attrs = attrs,
    .attrs_size = sizeof(tlc_clip_attrs),
    .infer = infer_grad,
};
