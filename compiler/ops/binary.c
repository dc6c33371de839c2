/* binary.c: add, sub, mul, div, min, max, broadcast as in NumPy: trailing axes are matched, an
 * axis of size 1 (or none) is repeated.  The batch meets the batch or 1, in front.
 *
 * The gradient by an operand that was repeated is summed over its repetitions (sum_to).
 */
#include "op_fold.h"
#include "op_grad.h"
#include "op_infer.h"

#include <math.h>

static tlc_status infer(tlc_ctx *ctx, tlc_node *n)
{
    const tlc_value *a = n->in[0], *b = n->in[1];
    tlc_shape s = { 0 };
    TLC_TRY(tlc_want_type(ctx, b, a->type, "b"));
    if (a->type == TLC_BOOL)
        return tlc_fail(ctx, TLC_E_MALFORMED, "E_TYPE", "a is bool, a number wanted");
    TLC_TRY(tlc_broadcast_shape(ctx, &a->shape, &b->shape, &s));
    tlc_set_result(n, a->type, s);
    return TLC_OK;
}

/* --- folding ---------------------------------------------------------------- */

static double compute_f64(tlc_op op, double a, double b)
{
    switch (op) {
    case TLC_OP_ADD:
        return a + b;
    case TLC_OP_SUB:
        return a - b;
    case TLC_OP_MUL:
        return a * b;
    case TLC_OP_DIV:
        return a / b;
    case TLC_OP_MIN: /* NaN passes through both */
        return isnan(b) || b < a ? b : a;
    default:
        return isnan(b) || b > a ? b : a;
    }
}

/* False: the result does not fit 64 bits. */
static bool compute_i64(tlc_op op, int64_t a, int64_t b, int64_t *out)
{
    switch (op) {
    case TLC_OP_ADD:
        return !__builtin_add_overflow(a, b, out);
    case TLC_OP_SUB:
        return !__builtin_sub_overflow(a, b, out);
    case TLC_OP_MUL:
        return !__builtin_mul_overflow(a, b, out);
    case TLC_OP_DIV:
        *out = a / b; /* b is not 0, a not the least number: that is the symbol */
        return true;
    case TLC_OP_MIN:
        *out = a < b ? a : b;
        return true;
    default:
        *out = a > b ? a : b;
        return true;
    }
}

/* The batch's multiples times a number, over one that divides them, plus 0, minus 0; nothing else
 * is known of them. */
static bool compute_symbol(tlc_op op, int64_t a, int64_t b, int64_t *out)
{
    int64_t times = tlc_dim_multiple(a), k = b;
    if (!times && (op == TLC_OP_ADD || op == TLC_OP_MUL)) {
        times = tlc_dim_multiple(b);
        k = a;
    }
    *out = a;
    if (a == b && (op == TLC_OP_MIN || op == TLC_OP_MAX))
        return true;
    if (!times || tlc_dim_multiple(k))
        return false;
    if (op == TLC_OP_MUL && (k < 1 || k > TLC_DIM_TIMES_MOST / times))
        return false;
    if (op == TLC_OP_DIV && (k < 1 || times % k))
        return false;
    if ((op == TLC_OP_ADD || op == TLC_OP_SUB) && k != 0)
        return false;
    *out = tlc_dim_times(op == TLC_OP_MUL ? times * k : op == TLC_OP_DIV ? times / k : times);
    return op != TLC_OP_MIN && op != TLC_OP_MAX;
}

static tlc_status fold_integer(tlc_ctx *ctx, const tlc_folded *f, int64_t i, int64_t a, int64_t b,
                               bool *declined)
{
    tlc_op op = f->node->op;
    int64_t result;
    if (f->type == TLC_I64 && (tlc_dim_multiple(a) || tlc_dim_multiple(b))) {
        *declined = !compute_symbol(op, a, b, &result);
        tlc_fold_put_i64(f, i, result);
        return TLC_OK;
    }
    if (op == TLC_OP_DIV && b == 0)
        return tlc_fail(ctx, TLC_E_MALFORMED, "E_DIVISION", "integer division by 0");
    if (!compute_i64(op, a, b, &result) || !tlc_fold_fits(f->type, result))
        return tlc_fail(ctx, TLC_E_MALFORMED, "E_OVERFLOW", "integer %s: size overflows %s",
                        tlc_ops[op].name, tlc_type_name(f->type));
    tlc_fold_put_i64(f, i, result);
    return TLC_OK;
}

static tlc_status fold(tlc_ctx *ctx, const tlc_node *n, tlc_value **out)
{
    const tlc_value *a = n->in[0], *b = n->in[1];
    const tlc_shape *y = &n->out[0]->shape;
    int64_t a_stride[TLC_MAX_RANK], b_stride[TLC_MAX_RANK];
    bool declined = false;
    tlc_folded f;
    TLC_TRY(tlc_fold_begin(ctx, n, &f));
    tlc_broadcast_strides(a, y, a_stride);
    tlc_broadcast_strides(b, y, b_stride);
    for (int64_t i = 0; i < tlc_shape_elems(y) && !declined; ++i) {
        int64_t from_a = tlc_strided_at(y, a_stride, i), from_b = tlc_strided_at(y, b_stride, i);
        if (tlc_is_float(f.type))
            tlc_fold_put_f64(&f, i, compute_f64(n->op, tlc_data_f64(a, from_a),
                                                tlc_data_f64(b, from_b)));
        else
            TLC_TRY(fold_integer(ctx, &f, i, tlc_data_i64(a, from_a), tlc_data_i64(b, from_b),
                                 &declined));
    }
    if (!declined)
        *out = tlc_fold_end(&f);
    return TLC_OK;
}

/* --- gradients -------------------------------------------------------------- */

static tlc_status emit(tlc_grad *g, tlc_op op, tlc_value *a, tlc_value *b, tlc_value **out)
{
    return tlc_grad_emit(g, op, NULL, (tlc_value *[]){ a, b }, 2, out);
}

static tlc_status negate(tlc_grad *g, tlc_value *v, tlc_value **out)
{
    return emit(g, TLC_OP_MUL, v, tlc_grad_number(g, v, -1), out);
}

static tlc_status backward_add(tlc_grad *g, const tlc_node *n)
{
    tlc_value *dy = tlc_grad_of_result(g, n);
    for (int i = 0; i < 2; ++i)
        if (tlc_grad_wanted(g, n->in[i]))
            TLC_TRY(tlc_grad_accumulate_repeated(g, n->in[i], dy));
    return TLC_OK;
}

static tlc_status backward_sub(tlc_grad *g, const tlc_node *n)
{
    tlc_value *dy = tlc_grad_of_result(g, n), *d;
    if (tlc_grad_wanted(g, n->in[0]))
        TLC_TRY(tlc_grad_accumulate_repeated(g, n->in[0], dy));
    if (!tlc_grad_wanted(g, n->in[1]))
        return TLC_OK;
    TLC_TRY(negate(g, dy, &d));
    return tlc_grad_accumulate_repeated(g, n->in[1], d);
}

static tlc_status backward_mul(tlc_grad *g, const tlc_node *n)
{
    tlc_value *dy = tlc_grad_of_result(g, n), *d;
    for (int i = 0; i < 2; ++i) {
        if (!tlc_grad_wanted(g, n->in[i]))
            continue;
        TLC_TRY(emit(g, TLC_OP_MUL, dy, n->in[1 - i], &d));
        TLC_TRY(tlc_grad_accumulate_repeated(g, n->in[i], d));
    }
    return TLC_OK;
}

/* y = a / b: by a it is dy / b, by b it is -y dy / b. */
static tlc_status backward_div(tlc_grad *g, const tlc_node *n)
{
    tlc_value *dy = tlc_grad_of_result(g, n), *share, *d;
    TLC_TRY(emit(g, TLC_OP_DIV, dy, n->in[1], &share));
    if (tlc_grad_wanted(g, n->in[0]))
        TLC_TRY(tlc_grad_accumulate_repeated(g, n->in[0], share));
    if (!tlc_grad_wanted(g, n->in[1]))
        return TLC_OK;
    TLC_TRY(emit(g, TLC_OP_MUL, share, n->out[0], &d));
    TLC_TRY(negate(g, d, &d));
    return tlc_grad_accumulate_repeated(g, n->in[1], d);
}

/* By a, dy where a is chosen and half of it where both are equal: (dy + more - less) / 2, dy where
 * the difference is above and below zero.  By b the same from the other side. */
static tlc_status backward_choice(tlc_grad *g, const tlc_node *n)
{
    tlc_value *dy = tlc_grad_of_result(g, n), *difference, *more, *less, *d;
    for (int i = 0; i < 2; ++i) {
        tlc_value *own = n->in[i], *other = n->in[1 - i];
        bool larger = n->op == TLC_OP_MAX;
        if (!tlc_grad_wanted(g, own))
            continue;
        TLC_TRY(emit(g, TLC_OP_SUB, larger ? own : other, larger ? other : own, &difference));
        TLC_TRY(emit(g, TLC_OP_RELU_GRAD, dy, difference, &more));
        TLC_TRY(negate(g, difference, &difference));
        TLC_TRY(emit(g, TLC_OP_RELU_GRAD, dy, difference, &less));
        TLC_TRY(emit(g, TLC_OP_ADD, dy, more, &d));
        TLC_TRY(emit(g, TLC_OP_SUB, d, less, &d));
        TLC_TRY(emit(g, TLC_OP_MUL, d, tlc_grad_number(g, d, 0.5), &d));
        TLC_TRY(tlc_grad_accumulate_repeated(g, own, d));
    }
    return TLC_OK;
}

const tlc_op_def tlc_op_add = { .infer = infer, .fold = fold, .backward = backward_add };
const tlc_op_def tlc_op_sub = { .infer = infer, .fold = fold, .backward = backward_sub };
const tlc_op_def tlc_op_mul = { .infer = infer, .fold = fold, .backward = backward_mul };
const tlc_op_def tlc_op_div = { .infer = infer, .fold = fold, .backward = backward_div };
const tlc_op_def tlc_op_min = { .infer = infer, .fold = fold, .backward = backward_choice };
const tlc_op_def tlc_op_max = { .infer = infer, .fold = fold, .backward = backward_choice };
