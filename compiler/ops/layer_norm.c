/* layer_norm.c: normalise each picture's values over the axes from `axis` on:
 * (x - mean) / sqrt(variance + epsilon) * scale + bias, the variance biased, scale and bias of
 * the shape of those axes.
 *
 * The gradient is written with operators that exist, from the operand: with h = (x - mean) / d,
 * d = sqrt(variance + epsilon) and s = dy * scale it is (s - mean(s) - h mean(h s)) / d.
 */
#include "op_attrs.h"
#include "op_grad.h"
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

/* --- gradients ----------------------------------------------------------------- */

typedef struct norm { /* one layer norm's gradient while it is written */
    tlc_grad *g;
    tlc_axes_attrs axes;
    tlc_value *h, *d;
} norm;

static tlc_status emit(const norm *w, tlc_op op, tlc_value *a, tlc_value *b, tlc_value **out)
{
    return tlc_grad_emit(w->g, op, NULL, (tlc_value *[]){ a, b }, 2, out);
}

static tlc_status mean_of(const norm *w, tlc_value *v, tlc_value **out)
{
    return tlc_grad_emit(w->g, TLC_OP_REDUCE_MEAN, &w->axes, &v, 1, out);
}

static tlc_status normalise(norm *w, const tlc_node *n)
{
    double epsilon = TLC_ATTRS(n, tlc_layer_norm_attrs)->epsilon;
    tlc_value *v;
    TLC_TRY(mean_of(w, n->in[0], &v));
    TLC_TRY(emit(w, TLC_OP_SUB, n->in[0], v, &w->h));
    TLC_TRY(emit(w, TLC_OP_MUL, w->h, w->h, &v));
    TLC_TRY(mean_of(w, v, &v));
    TLC_TRY(emit(w, TLC_OP_ADD, v, tlc_grad_number(w->g, v, epsilon), &v));
    TLC_TRY(tlc_grad_emit(w->g, TLC_OP_SQRT, NULL, &v, 1, &w->d));
    return emit(w, TLC_OP_DIV, w->h, w->d, &w->h);
}

static tlc_status by_x(const norm *w, const tlc_node *n, tlc_value *s)
{
    tlc_value *mean, *along;
    if (n->n_in > 1 && n->in[1])
        TLC_TRY(emit(w, TLC_OP_MUL, s, n->in[1], &s));
    TLC_TRY(mean_of(w, s, &mean));
    TLC_TRY(emit(w, TLC_OP_MUL, s, w->h, &along));
    TLC_TRY(mean_of(w, along, &along));
    TLC_TRY(emit(w, TLC_OP_MUL, w->h, along, &along));
    TLC_TRY(emit(w, TLC_OP_SUB, s, mean, &s));
    TLC_TRY(emit(w, TLC_OP_SUB, s, along, &s));
    TLC_TRY(emit(w, TLC_OP_DIV, s, w->d, &s));
    return tlc_grad_accumulate(w->g, n->in[0], s);
}

static tlc_status backward(tlc_grad *g, const tlc_node *n)
{
    tlc_value *dy = tlc_grad_of_result(g, n), *scaled;
    tlc_value *scale = n->n_in > 1 ? n->in[1] : NULL, *bias = n->n_in > 2 ? n->in[2] : NULL;
    norm w = { .g = g, .axes.keepdims = true };
    for (int i = (int)TLC_ATTRS(n, tlc_layer_norm_attrs)->axis; i < dy->shape.rank; ++i)
        w.axes.axes.v[w.axes.axes.n++] = i;
    if (tlc_grad_wanted(g, bias))
        TLC_TRY(tlc_grad_accumulate_repeated(g, bias, dy));
    if (!tlc_grad_wanted(g, n->in[0]) && !tlc_grad_wanted(g, scale))
        return TLC_OK;
    TLC_TRY(normalise(&w, n));
    if (tlc_grad_wanted(g, scale)) {
        TLC_TRY(emit(&w, TLC_OP_MUL, dy, w.h, &scaled));
        TLC_TRY(tlc_grad_accumulate_repeated(g, scale, scaled));
    }
    return tlc_grad_wanted(g, n->in[0]) ? by_x(&w, n, dy) : TLC_OK;
}

const tlc_op_def tlc_op_layer_norm = {
    .attrs = attrs,
    .attrs_size = sizeof(tlc_layer_norm_attrs),
    .infer = infer,
    .backward = backward,
};
