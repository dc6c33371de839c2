/* lrn.c: local response normalisation across channels, as AlexNet and GoogLeNet have it:
 * x / (bias + alpha / size * sum of squares of the `size` channels around it) ^ beta.
 *
 * The gradient is written with operators that exist.  With y = x s^-beta it is
 * dy s^-beta - 2 alpha beta x times the windows' mean of dy y / s, where the mean over
 * neighbouring channels is an average pool of [1, channels, the rest] that counts its padding,
 * and the windows that hold a channel are the mirror images of those it holds.
 */
#include "op_attrs.h"
#include "op_grad.h"
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

/* --- gradients ----------------------------------------------------------------- */

static tlc_status emit(tlc_grad *g, tlc_op op, tlc_value *a, tlc_value *b, tlc_value **out)
{
    return tlc_grad_emit(g, op, NULL, (tlc_value *[]){ a, b }, 2, out);
}

static tlc_status times(tlc_grad *g, tlc_value *v, double factor, tlc_value **out)
{
    return emit(g, TLC_OP_MUL, v, tlc_grad_number(g, v, factor), out);
}

static tlc_status reshape(tlc_grad *g, tlc_value *v, const tlc_shape *to, tlc_value **out)
{
    tlc_reshape_attrs a = { .shape.n = to->rank };
    for (int i = 0; i < to->rank; ++i)
        a.shape.v[i] = to->dim[i];
    return tlc_grad_emit(g, TLC_OP_RESHAPE, &a, &v, 1, out);
}

/* Sums over windows of `size` channels, divided by size; mirrored: `more` before, not behind. */
static tlc_status mean_of_windows(tlc_grad *g, tlc_value *v, int64_t size, bool mirrored,
                                  tlc_value **out)
{
    int64_t few = (size - 1) / 2, more = size - 1 - few, rest = 1;
    const tlc_shape own = v->shape;
    for (int i = 2; i < own.rank; ++i)
        rest *= own.dim[i];
    tlc_shape flat = { .rank = 4, .dim = { own.dim[0], 1, own.dim[1], rest } };
    const tlc_pool2d_attrs pool = {
        .kernel = { 2, { size, 1 } },
        .stride = { 2, { 1, 1 } },
        .dilation = { 2, { 1, 1 } },
        .pad = { 4, { mirrored ? more : few, 0, mirrored ? few : more, 0 } },
        .count_include_pad = true,
    };
    TLC_TRY(reshape(g, v, &flat, &v));
    TLC_TRY(tlc_grad_emit(g, TLC_OP_AVG_POOL2D, &pool, &v, 1, &v));
    return reshape(g, v, &own, out);
}

static tlc_status backward(tlc_grad *g, const tlc_node *n)
{
    const tlc_lrn_attrs *a = n->attrs;
    const tlc_unary_attrs power = { .alpha = -a->beta };
    tlc_value *dy = tlc_grad_of_result(g, n), *x = n->in[0], *s, *own, *others;
    TLC_TRY(emit(g, TLC_OP_MUL, x, x, &s));
    TLC_TRY(mean_of_windows(g, s, a->size, false, &s));
    TLC_TRY(times(g, s, a->alpha, &s));
    TLC_TRY(emit(g, TLC_OP_ADD, s, tlc_grad_number(g, s, a->bias), &s));
    TLC_TRY(tlc_grad_emit(g, TLC_OP_POW, &power, &s, 1, &own));
    TLC_TRY(emit(g, TLC_OP_MUL, own, dy, &own));
    TLC_TRY(tlc_grad_accumulate(g, x, own));
    TLC_TRY(emit(g, TLC_OP_MUL, dy, n->out[0], &others));
    TLC_TRY(emit(g, TLC_OP_DIV, others, s, &others));
    TLC_TRY(mean_of_windows(g, others, a->size, true, &others));
    TLC_TRY(emit(g, TLC_OP_MUL, others, x, &others));
    TLC_TRY(times(g, others, -2 * a->alpha * a->beta, &others));
    return tlc_grad_accumulate(g, x, others);
}

const tlc_op_def tlc_op_lrn = {
    .attrs = attrs,
    .attrs_size = sizeof(tlc_lrn_attrs),
    .infer = infer,
    .backward = backward,
};
