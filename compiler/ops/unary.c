/* unary.c: elementwise functions of one operand: sigmoid and its piecewise kin, exp, log, sqrt,
 * erf, tanh, power, and what drops a sign or a fraction.  Floor, ceil and round have no gradient.
 *
 * Gradients are written with operators that exist; where a function tells its slope from its
 * result (exp, sqrt, sigmoid, tanh), the operand need not be kept.
 */
#include "op_attrs.h"
#include "op_fold.h"
#include "op_grad.h"
#include "op_infer.h"

/* --- attributes --------------------------------------------------------------- */

static const tlc_attr_def hard_sigmoid_attrs[] = {
    TLC_ATTR_FLOAT_ROW(tlc_unary_attrs, alpha, -HUGE_VAL, HUGE_VAL, "0.2"),
    TLC_ATTR_FLOAT_ROW(tlc_unary_attrs, beta, -HUGE_VAL, HUGE_VAL, "0.5"),
    TLC_ATTR_END
};
static const tlc_attr_def leaky_relu_attrs[] = {
    TLC_ATTR_FLOAT_ROW(tlc_unary_attrs, alpha, -HUGE_VAL, HUGE_VAL, "0.01"),
    TLC_ATTR_END
};
static const tlc_attr_def elu_attrs[] = {
    TLC_ATTR_FLOAT_ROW(tlc_unary_attrs, alpha, -HUGE_VAL, HUGE_VAL, "1"),
    TLC_ATTR_END
};
static const tlc_attr_def pow_attrs[] = {
    TLC_ATTR_FLOAT_ROW(tlc_unary_attrs, alpha, -HUGE_VAL, HUGE_VAL, NULL),
    TLC_ATTR_END
};

/* --- folding -------------------------------------------------------------------- */

static double hard_sigmoid(double x, double alpha, double beta)
{
    double y = alpha * x + beta;
    return y < 0 ? 0 : y > 1 ? 1 : y;
}

static double value_of(tlc_op op, const tlc_unary_attrs *a, double x)
{
    switch (op) {
    case TLC_OP_SIGMOID:
        return 1 / (1 + exp(-x));
    case TLC_OP_HARD_SIGMOID:
        return hard_sigmoid(x, a->alpha, a->beta);
    case TLC_OP_HARD_SWISH:
        return x * hard_sigmoid(x, 1.0 / 6, 0.5);
    case TLC_OP_LEAKY_RELU:
        return x < 0 ? a->alpha * x : x;
    case TLC_OP_ELU:
        return x < 0 ? a->alpha * expm1(x) : x;
    case TLC_OP_EXP:
        return exp(x);
    case TLC_OP_LOG:
        return log(x);
    case TLC_OP_SQRT:
        return sqrt(x);
    case TLC_OP_ERF:
        return erf(x);
    case TLC_OP_TANH:
        return tanh(x);
    case TLC_OP_ABS:
        return fabs(x);
    case TLC_OP_FLOOR:
        return floor(x);
    case TLC_OP_CEIL:
        return ceil(x);
    case TLC_OP_ROUND:
        return rint(x);
    default:
        return pow(x, a->alpha);
    }
}

static tlc_status fold(tlc_ctx *ctx, const tlc_node *n, tlc_value **out)
{
    const tlc_value *x = n->in[0];
    tlc_folded f;
    TLC_TRY(tlc_fold_begin(ctx, n, &f));
    for (int64_t i = 0; i < tlc_shape_elems(&x->shape); ++i)
        tlc_fold_put_f64(&f, i, value_of(n->op, n->attrs, tlc_data_f64(x, i)));
    *out = tlc_fold_end(&f);
    return TLC_OK;
}

/* --- gradients ------------------------------------------------------------------- */

static tlc_status emit(tlc_grad *g, tlc_op op, tlc_value *a, tlc_value *b, tlc_value **out)
{
    return tlc_grad_emit(g, op, NULL, (tlc_value *[]){ a, b }, 2, out);
}

static tlc_status times(tlc_grad *g, tlc_value *v, double factor, tlc_value **out)
{
    return emit(g, TLC_OP_MUL, v, tlc_grad_number(g, v, factor), out);
}

/* dy where 0 < y < 1, as hard_sigmoid's result says. */
static tlc_status inside(tlc_grad *g, tlc_value *dy, tlc_value *y, tlc_value **out)
{
    const tlc_clip_attrs unit = { 0, 1 };
    return tlc_grad_emit(g, TLC_OP_CLIP_GRAD, &unit, (tlc_value *[]){ dy, y }, 2, out);
}

/* dy y (1 - y) */
static tlc_status backward_sigmoid(tlc_grad *g, const tlc_node *n)
{
    tlc_value *dy = tlc_grad_of_result(g, n), *y = n->out[0], *d, *slope;
    TLC_TRY(emit(g, TLC_OP_SUB, tlc_grad_number(g, y, 1), y, &slope));
    TLC_TRY(emit(g, TLC_OP_MUL, slope, y, &slope));
    TLC_TRY(emit(g, TLC_OP_MUL, dy, slope, &d));
    return tlc_grad_accumulate(g, n->in[0], d);
}

/* dy (1 - y y) */
static tlc_status backward_tanh(tlc_grad *g, const tlc_node *n)
{
    tlc_value *dy = tlc_grad_of_result(g, n), *y = n->out[0], *d, *slope;
    TLC_TRY(emit(g, TLC_OP_MUL, y, y, &slope));
    TLC_TRY(emit(g, TLC_OP_SUB, tlc_grad_number(g, y, 1), slope, &slope));
    TLC_TRY(emit(g, TLC_OP_MUL, dy, slope, &d));
    return tlc_grad_accumulate(g, n->in[0], d);
}

static tlc_status backward_hard_sigmoid(tlc_grad *g, const tlc_node *n)
{
    tlc_value *d;
    TLC_TRY(inside(g, tlc_grad_of_result(g, n), n->out[0], &d));
    TLC_TRY(times(g, d, TLC_ATTRS(n, tlc_unary_attrs)->alpha, &d));
    return tlc_grad_accumulate(g, n->in[0], d);
}

/* y = x s, s = hard_sigmoid(x): dy s + dy x / 6 where 0 < s < 1 */
static tlc_status backward_hard_swish(tlc_grad *g, const tlc_node *n)
{
    const tlc_unary_attrs sixth = { .alpha = 1.0 / 6, .beta = 0.5 };
    tlc_value *dy = tlc_grad_of_result(g, n), *x = n->in[0], *s, *first, *second;
    TLC_TRY(tlc_grad_emit(g, TLC_OP_HARD_SIGMOID, &sixth, &x, 1, &s));
    TLC_TRY(emit(g, TLC_OP_MUL, dy, s, &first));
    TLC_TRY(tlc_grad_accumulate(g, x, first));
    TLC_TRY(inside(g, dy, s, &second));
    TLC_TRY(emit(g, TLC_OP_MUL, second, x, &second));
    TLC_TRY(times(g, second, 1.0 / 6, &second));
    return tlc_grad_accumulate(g, x, second);
}

/* alpha dy + (1 - alpha) dy where x > 0 */
static tlc_status backward_leaky_relu(tlc_grad *g, const tlc_node *n)
{
    double alpha = TLC_ATTRS(n, tlc_unary_attrs)->alpha;
    tlc_value *dy = tlc_grad_of_result(g, n), *all, *above;
    TLC_TRY(times(g, dy, alpha, &all));
    TLC_TRY(emit(g, TLC_OP_RELU_GRAD, dy, n->in[0], &above));
    TLC_TRY(times(g, above, 1 - alpha, &above));
    TLC_TRY(tlc_grad_accumulate(g, n->in[0], all));
    return tlc_grad_accumulate(g, n->in[0], above);
}

/* dy where x > 0, the rest of dy times alpha exp(min(x, 0)): the slope at 0 is alpha */
static tlc_status backward_elu(tlc_grad *g, const tlc_node *n)
{
    const tlc_clip_attrs below_zero = { -HUGE_VAL, 0 };
    tlc_value *dy = tlc_grad_of_result(g, n), *x = n->in[0], *above, *rest, *slope;
    TLC_TRY(emit(g, TLC_OP_RELU_GRAD, dy, x, &above));
    TLC_TRY(emit(g, TLC_OP_SUB, dy, above, &rest));
    TLC_TRY(tlc_grad_emit(g, TLC_OP_CLIP, &below_zero, &x, 1, &slope));
    TLC_TRY(tlc_grad_emit(g, TLC_OP_EXP, NULL, &slope, 1, &slope));
    TLC_TRY(times(g, slope, TLC_ATTRS(n, tlc_unary_attrs)->alpha, &slope));
    TLC_TRY(emit(g, TLC_OP_MUL, rest, slope, &rest));
    TLC_TRY(tlc_grad_accumulate(g, x, above));
    return tlc_grad_accumulate(g, x, rest);
}

static tlc_status backward_exp(tlc_grad *g, const tlc_node *n)
{
    return tlc_grad_add(g, n->in[0], TLC_OP_MUL, NULL,
                        (tlc_value *[]){ tlc_grad_of_result(g, n), n->out[0] }, 2);
}

static tlc_status backward_log(tlc_grad *g, const tlc_node *n)
{
    return tlc_grad_add(g, n->in[0], TLC_OP_DIV, NULL,
                        (tlc_value *[]){ tlc_grad_of_result(g, n), n->in[0] }, 2);
}

/* dy / 2 / y */
static tlc_status backward_sqrt(tlc_grad *g, const tlc_node *n)
{
    tlc_value *d;
    TLC_TRY(times(g, tlc_grad_of_result(g, n), 0.5, &d));
    TLC_TRY(emit(g, TLC_OP_DIV, d, n->out[0], &d));
    return tlc_grad_accumulate(g, n->in[0], d);
}

/* 2 / sqrt(pi) exp(-x x) dy */
static tlc_status backward_erf(tlc_grad *g, const tlc_node *n)
{
    tlc_value *x = n->in[0], *d;
    TLC_TRY(emit(g, TLC_OP_MUL, x, x, &d));
    TLC_TRY(times(g, d, -1, &d));
    TLC_TRY(tlc_grad_emit(g, TLC_OP_EXP, NULL, &d, 1, &d));
    TLC_TRY(times(g, d, 1.1283791670955126, &d));
    TLC_TRY(emit(g, TLC_OP_MUL, d, tlc_grad_of_result(g, n), &d));
    return tlc_grad_accumulate(g, x, d);
}

/* alpha x^(alpha - 1) dy */
static tlc_status backward_pow(tlc_grad *g, const tlc_node *n)
{
    double alpha = TLC_ATTRS(n, tlc_unary_attrs)->alpha;
    const tlc_unary_attrs less = { .alpha = alpha - 1 };
    tlc_value *d;
    TLC_TRY(tlc_grad_emit(g, TLC_OP_POW, &less, &n->in[0], 1, &d));
    TLC_TRY(times(g, d, alpha, &d));
    TLC_TRY(emit(g, TLC_OP_MUL, d, tlc_grad_of_result(g, n), &d));
    return tlc_grad_accumulate(g, n->in[0], d);
}

/* dy where x > 0, less dy where x < 0 */
static tlc_status backward_abs(tlc_grad *g, const tlc_node *n)
{
    tlc_value *dy = tlc_grad_of_result(g, n), *x = n->in[0], *above, *below;
    TLC_TRY(emit(g, TLC_OP_RELU_GRAD, dy, x, &above));
    TLC_TRY(times(g, x, -1, &below));
    TLC_TRY(emit(g, TLC_OP_RELU_GRAD, dy, below, &below));
    TLC_TRY(emit(g, TLC_OP_SUB, above, below, &above));
    return tlc_grad_accumulate(g, x, above);
}

/* --- descriptors ---------------------------------------------------------------- */

#define PLAIN_OP(name, grad)                \
    const tlc_op_def tlc_op_##name = {      \
        .infer = tlc_infer_same_float,      \
        .fold = fold,                       \
        .backward = grad,                   \
    }
#define ATTRS_OP(name, table, grad)            \
    const tlc_op_def tlc_op_##name = {         \
        .attrs = table,                        \
        .attrs_size = sizeof(tlc_unary_attrs), \
        .infer = tlc_infer_same_float,         \
        .fold = fold,                          \
        .backward = grad,                      \
    }

PLAIN_OP(sigmoid, backward_sigmoid);
PLAIN_OP(tanh, backward_tanh);
PLAIN_OP(hard_swish, backward_hard_swish);
PLAIN_OP(exp, backward_exp);
PLAIN_OP(log, backward_log);
PLAIN_OP(sqrt, backward_sqrt);
PLAIN_OP(erf, backward_erf);
PLAIN_OP(abs, backward_abs);
PLAIN_OP(floor, NULL);
PLAIN_OP(ceil, NULL);
PLAIN_OP(round, NULL);
ATTRS_OP(hard_sigmoid, hard_sigmoid_attrs, backward_hard_sigmoid);
ATTRS_OP(leaky_relu, leaky_relu_attrs, backward_leaky_relu);
ATTRS_OP(elu, elu_attrs, backward_elu);
ATTRS_OP(pow, pow_attrs, backward_pow);
