/* compare.c: where, which also runs, and mod, equal, greater, and: shape arithmetic alone.
 *
 * The batch symbol stands for a number of at least 1: it is equal to itself, above every number
 * below 1, and nothing is known of it beside others (the fold declines).
 */
#include "op_fold.h"
#include "op_grad.h"
#include "op_infer.h"

/* --- mod, equal, greater, and ---------------------------------------------------- */

static tlc_status infer_two(tlc_ctx *ctx, tlc_node *n)
{
    const tlc_value *a = n->in[0], *b = n->in[1];
    tlc_shape s = { 0 };
    TLC_TRY(tlc_want_type(ctx, b, a->type, "b"));
    if (n->op == TLC_OP_MOD)
        TLC_TRY(tlc_want_index(ctx, a, "a"));
    if (n->op == TLC_OP_AND)
        TLC_TRY(tlc_want_type(ctx, a, TLC_BOOL, "a"));
    TLC_TRY(tlc_broadcast_shape(ctx, &a->shape, &b->shape, &s));
    tlc_set_result(n, n->op == TLC_OP_MOD ? a->type : TLC_BOOL, s);
    return TLC_OK;
}

/* Of the divisor's sign; b is not 0, a not the symbol, which is the least number. */
static int64_t modulo(int64_t a, int64_t b)
{
    int64_t r = b == -1 ? 0 : a % b;
    return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}

/* False: not known. */
static bool compare_symbol(tlc_op op, int64_t a, int64_t b, int64_t *out)
{
    int64_t times_a = tlc_dim_multiple(a), times_b = tlc_dim_multiple(b);
    if (op != TLC_OP_EQUAL && op != TLC_OP_GREATER)
        return false;
    *out = op == TLC_OP_EQUAL ? times_a == times_b : times_a > times_b;
    return times_a && times_b ? true : (times_a ? b : a) < 1;
}

static tlc_status compute(tlc_ctx *ctx, const tlc_node *n, int64_t a, int64_t b, int64_t *out,
                          bool *known)
{
    if (n->in[0]->type == TLC_I64 && (tlc_dim_multiple(a) || tlc_dim_multiple(b))) {
        *known = compare_symbol(n->op, a, b, out);
        return TLC_OK;
    }
    if (n->op == TLC_OP_MOD && b == 0)
        return tlc_fail(ctx, TLC_E_MALFORMED, "E_DIVISION", "integer division by 0");
    *out = n->op == TLC_OP_MOD     ? modulo(a, b)
           : n->op == TLC_OP_EQUAL ? a == b
           : n->op == TLC_OP_AND   ? a && b
                                   : a > b;
    return TLC_OK;
}

static tlc_status fold_two(tlc_ctx *ctx, const tlc_node *n, tlc_value **out)
{
    const tlc_value *a = n->in[0], *b = n->in[1];
    const tlc_shape *y = &n->out[0]->shape;
    int64_t sa[TLC_MAX_RANK], sb[TLC_MAX_RANK];
    bool known = true;
    tlc_folded f;
    TLC_TRY(tlc_fold_begin(ctx, n, &f));
    tlc_broadcast_strides(a, y, sa);
    tlc_broadcast_strides(b, y, sb);
    for (int64_t i = 0; known && i < tlc_shape_elems(y); ++i) {
        int64_t at_a = tlc_strided_at(y, sa, i), at_b = tlc_strided_at(y, sb, i), result = 0;
        if (tlc_is_float(a->type)) {
            double left = tlc_data_f64(a, at_a), right = tlc_data_f64(b, at_b);
            result = n->op == TLC_OP_EQUAL ? left == right : left > right;
        } else {
            TLC_TRY(compute(ctx, n, tlc_data_i64(a, at_a), tlc_data_i64(b, at_b), &result,
                            &known));
        }
        tlc_fold_put_i64(&f, i, result);
    }
    if (known)
        *out = tlc_fold_end(&f);
    return TLC_OK;
}

const tlc_op_def tlc_op_mod = { .infer = infer_two, .fold = fold_two };
const tlc_op_def tlc_op_equal = { .infer = infer_two, .fold = fold_two };
const tlc_op_def tlc_op_greater = { .infer = infer_two, .fold = fold_two };
const tlc_op_def tlc_op_and = { .infer = infer_two, .fold = fold_two };

/* --- where -------------------------------------------------------------------- */

static tlc_status infer_where(tlc_ctx *ctx, tlc_node *n)
{
    const tlc_value *c = n->in[0], *a = n->in[1], *b = n->in[2];
    tlc_shape values = { 0 }, s = { 0 };
    TLC_TRY(tlc_want_type(ctx, c, TLC_BOOL, "condition"));
    TLC_TRY(tlc_want_type(ctx, b, a->type, "b"));
    TLC_TRY(tlc_broadcast_shape(ctx, &a->shape, &b->shape, &values));
    TLC_TRY(tlc_broadcast_shape(ctx, &c->shape, &values, &s));
    tlc_set_result(n, a->type, s);
    return TLC_OK;
}

static tlc_status fold_where(tlc_ctx *ctx, const tlc_node *n, tlc_value **out)
{
    const tlc_shape *y = &n->out[0]->shape;
    int64_t stride[3][TLC_MAX_RANK];
    tlc_folded f;
    TLC_TRY(tlc_fold_begin(ctx, n, &f));
    for (int k = 0; k < 3; ++k)
        tlc_broadcast_strides(n->in[k], y, stride[k]);
    for (int64_t i = 0; i < tlc_shape_elems(y); ++i) {
        int k = tlc_data_i64(n->in[0], tlc_strided_at(y, stride[0], i)) ? 1 : 2;
        tlc_fold_copy(&f, i, n->in[k], tlc_strided_at(y, stride[k], i));
    }
    *out = tlc_fold_end(&f);
    return TLC_OK;
}

/* dy where the operand was chosen, else 0. */
static tlc_status backward_where(tlc_grad *g, const tlc_node *n)
{
    tlc_value *dy = tlc_grad_of_result(g, n), *d;
    for (int k = 1; k < 3; ++k) {
        tlc_value *zero = tlc_grad_number(g, dy, 0);
        if (!tlc_grad_wanted(g, n->in[k]))
            continue;
        TLC_TRY(tlc_grad_emit(g, TLC_OP_WHERE, NULL,
                              (tlc_value *[]){ n->in[0], k == 1 ? dy : zero, k == 1 ? zero : dy },
                              3, &d));
        TLC_TRY(tlc_grad_accumulate_repeated(g, n->in[k], d));
    }
    return TLC_OK;
}

const tlc_op_def tlc_op_where = {
    .infer = infer_where,
    .fold = fold_where,
    .backward = backward_where,
};
