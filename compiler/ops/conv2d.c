/* conv2d.c: 2-D cross-correlation with groups, dilation and asymmetric pads.
 *
 * x [n,ic,h,w], w [oc,ic/groups,kh,kw], b [oc], residual like the result.  Bias, residual
 * and activation are applied in this order (PyTorch's conv, then add, then relu).
 * Later w may be [36,oc,ic]: a state that winograd_weights made of it, or a winograd_filter.
 */
#include "op_attrs.h"
#include "op_grad.h"
#include "op_infer.h"

#include <inttypes.h>

static const tlc_attr_def attrs[] = {
    TLC_ATTR_INTS_ROW(tlc_conv2d_attrs, stride, 1, TLC_ATTR_MOST, 2, "[1,1]"),
    TLC_ATTR_INTS_ROW(tlc_conv2d_attrs, pad, 0, TLC_ATTR_MOST, 4, "[0,0,0,0]"),
    TLC_ATTR_INTS_ROW(tlc_conv2d_attrs, dilation, 1, TLC_ATTR_MOST, 2, "[1,1]"),
    TLC_ATTR_INT_ROW(tlc_conv2d_attrs, groups, 1, TLC_ATTR_MOST, "1"),
    TLC_ATTR_ACT_ROW(tlc_conv2d_attrs, act),
    TLC_ATTR_FLOAT_ROW(tlc_conv2d_attrs, lo, -HUGE_VAL, HUGE_VAL, "-inf"),
    TLC_ATTR_FLOAT_ROW(tlc_conv2d_attrs, hi, -HUGE_VAL, HUGE_VAL, "inf"),
    TLC_ATTR_END
};

/* What the weight says of the filters. */
typedef struct filter {
    int64_t oc, ic, kh, kw; /* ic: of one group */
} filter;

/* Made at open, or in the step that trains it. */
static bool is_transformed(const tlc_value *w)
{
    return w->shape.rank == 3 &&
           (w->kind == TLC_STATE || (w->def && w->def->op == TLC_OP_WINOGRAD_FILTER));
}

/* Winograd's transformed weight stands for 3x3 filters; its tiles lie edge to edge. */
static tlc_status read_transformed(tlc_ctx *ctx, const tlc_node *n, filter *out)
{
    const tlc_conv2d_attrs *a = n->attrs;
    const tlc_shape *w = &n->in[1]->shape;
    bool unit = a->stride.v[0] == 1 && a->stride.v[1] == 1 && a->dilation.v[0] == 1 &&
                a->dilation.v[1] == 1 && a->groups == 1;
    if (w->dim[0] != TLC_WINOGRAD_TILE || !unit)
        return tlc_fail(ctx, TLC_E_MALFORMED, "E_SHAPE",
                        "shape of w is %s: a transformed weight is [%d,oc,ic], with stride, "
                        "dilation and groups 1",
                        tlc_dims_text(ctx, w), TLC_WINOGRAD_TILE);
    *out = (filter){ w->dim[1], w->dim[2], 3, 3 };
    return TLC_OK;
}

static tlc_status read_filter(tlc_ctx *ctx, const tlc_node *n, filter *out)
{
    const tlc_value *w = n->in[1];
    TLC_TRY(tlc_want_type(ctx, w, n->in[0]->type, "w"));
    TLC_TRY(tlc_want_fixed(ctx, w, "w"));
    if (is_transformed(w))
        return read_transformed(ctx, n, out);
    TLC_TRY(tlc_want_rank(ctx, w, 4, "w"));
    *out = (filter){ w->shape.dim[0], w->shape.dim[1], w->shape.dim[2], w->shape.dim[3] };
    return TLC_OK;
}

static tlc_status check_groups(tlc_ctx *ctx, const tlc_node *n, const filter *w)
{
    const tlc_shape *x = &n->in[0]->shape;
    int64_t groups = TLC_ATTRS(n, tlc_conv2d_attrs)->groups;
    if (x->dim[1] % groups != 0 || w->oc % groups != 0)
        return tlc_fail(ctx, TLC_E_MALFORMED, "E_GROUPS",
                        "groups is %" PRId64 ", which divides not %" PRId64 " input and %" PRId64
                        " output channels",
                        groups, x->dim[1], w->oc);
    if (x->dim[1] / groups != w->ic)
        return tlc_fail(ctx, TLC_E_MALFORMED, "E_SHAPE",
                        "input shape %s has %" PRId64 " channels a group, weight takes %" PRId64
                        " (groups is %" PRId64 ")",
                        tlc_dims_text(ctx, x), x->dim[1] / groups, w->ic, groups);
    return TLC_OK;
}

static tlc_status check_operands(tlc_ctx *ctx, const tlc_node *n, filter *out)
{
    const tlc_value *x = n->in[0], *b = n->n_in > 2 ? n->in[2] : NULL;
    TLC_TRY(tlc_want_float(ctx, x, "x"));
    TLC_TRY(tlc_want_rank(ctx, x, 4, "x"));
    TLC_TRY(read_filter(ctx, n, out));
    TLC_TRY(check_groups(ctx, n, out));
    return b ? tlc_want_vector(ctx, b, x->type, out->oc, "b") : TLC_OK;
}

static tlc_status extent(tlc_ctx *ctx, const tlc_node *n, int axis, int64_t kernel, int64_t *out)
{
    const tlc_conv2d_attrs *a = n->attrs;
    return tlc_window_extent(ctx, n->in[0]->shape.dim[2 + axis], kernel, a->stride.v[axis],
                             a->dilation.v[axis], a->pad.v[axis], a->pad.v[2 + axis], false, out);
}

static tlc_status infer(tlc_ctx *ctx, tlc_node *n)
{
    const tlc_conv2d_attrs *a = n->attrs;
    const tlc_value *x = n->in[0], *residual = n->n_in > 3 ? n->in[3] : NULL;
    filter w = { 0 };
    int64_t oh = 0, ow = 0;
    TLC_TRY(check_operands(ctx, n, &w));
    TLC_TRY(tlc_want_bounds(ctx, a->lo, a->hi));
    TLC_TRY(extent(ctx, n, 0, w.kh, &oh));
    TLC_TRY(extent(ctx, n, 1, w.kw, &ow));
    tlc_set_result(n, x->type, tlc_shape_make(4, (int64_t[]){ x->shape.dim[0], w.oc, oh, ow }));
    return residual ? tlc_want_like(ctx, residual, n->out[0], "residual") : TLC_OK;
}

/* Each result element is a sum over one filter, however a kernel computes it. */
static int64_t cost(const tlc_node *n)
{
    const tlc_shape *w = &n->in[1]->shape;
    int64_t taps = w->rank == 4 ? w->dim[1] * w->dim[2] * w->dim[3] : w->dim[2] * 3 * 3;
    return tlc_shape_elems(&n->out[0]->shape) * taps;
}

static tlc_conv2d_grad_attrs grad_attrs(const tlc_conv2d_attrs *a, const tlc_shape *by)
{
    return (tlc_conv2d_grad_attrs){
        .stride = a->stride,
        .pad = a->pad,
        .dilation = a->dilation,
        .groups = a->groups,
        .size = { .n = 2, .v = { by->dim[2], by->dim[3] } },
    };
}

static tlc_status backward(tlc_grad *g, const tlc_node *n)
{
    const tlc_conv2d_attrs *a = n->attrs;
    tlc_value *x = n->in[0], *w = n->in[1], *b = n->n_in > 2 ? n->in[2] : NULL;
    tlc_value *dy = tlc_grad_of_result(g, n);
    if (a->act != TLC_ACT_NONE || (n->n_in > 3 && n->in[3]))
        return tlc_fail(g->ctx, TLC_E_UNSUPPORTED, "E_GRADIENT",
                        "a conv2d with a fused activation or residual has no gradient; "
                        "differentiate first");
    tlc_conv2d_grad_attrs by_x = grad_attrs(a, &x->shape), by_w = grad_attrs(a, &w->shape);
    TLC_TRY(tlc_grad_add(g, x, TLC_OP_CONV2D_GRAD_X, &by_x, (tlc_value *[]){ dy, w }, 2));
    TLC_TRY(tlc_grad_add(g, w, TLC_OP_CONV2D_GRAD_W, &by_w, (tlc_value *[]){ dy, x }, 2));
    return tlc_grad_add(g, b, TLC_OP_BIAS_GRAD, NULL, &dy, 1);
}

const tlc_op_def tlc_op_conv2d = {
    .attrs = attrs,
    .attrs_size = sizeof(tlc_conv2d_attrs),
    .infer = infer,
    .backward = backward,
    .cost = cost,
};
