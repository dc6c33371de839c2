/* shape_ops.c: shape and constant_of_shape, between shapes and values.  Both are gone after
 * folding: no kernel serves them.
 */
#include "op_attrs.h"
#include "op_fold.h"
#include "op_infer.h"

#include <inttypes.h>
#include <math.h>

/* --- shape: folds from its operand's shape, whatever its elements --------------- */

static tlc_status infer_shape(tlc_ctx *ctx, tlc_node *n)
{
    (void)ctx;
    int64_t rank = n->in[0]->shape.rank;
    tlc_set_result(n, TLC_I64, tlc_shape_make(1, &rank));
    return TLC_OK;
}

static tlc_status fold_shape(tlc_ctx *ctx, const tlc_node *n, tlc_value **out)
{
    const tlc_shape *x = &n->in[0]->shape;
    tlc_folded f;
    TLC_TRY(tlc_fold_begin(ctx, n, &f));
    for (int i = 0; i < x->rank; ++i)
        tlc_fold_put_i64(&f, i, x->dim[i] == TLC_DIM_N ? TLC_DIM_SYMBOL : x->dim[i]);
    *out = tlc_fold_end(&f);
    return TLC_OK;
}

const tlc_op_def tlc_op_shape = { .infer = infer_shape, .fold = fold_shape };

/* --- constant_of_shape ------------------------------------------------------------ */

static const tlc_attr_def attrs[] = {
    TLC_ATTR_TYPE_ROW(tlc_constant_of_shape_attrs, type, "f32"),
    TLC_ATTR_FLOAT_ROW(tlc_constant_of_shape_attrs, value, -HUGE_VAL, HUGE_VAL, "0"),
    TLC_ATTR_END
};

/* An integer type holds `value` only if it is whole and within the type's range. */
static tlc_status check_value(tlc_ctx *ctx, tlc_type t, double x)
{
    bool fits = tlc_is_float(t) || (x > -0x1p63 && x < 0x1p63 && x == floor(x) &&
                                    tlc_fold_fits(t, (int64_t)x));
    if (fits)
        return TLC_OK;
    return tlc_fail(ctx, TLC_E_MALFORMED, "E_ATTR", "value is %g, which %s does not hold", x,
                    tlc_type_name(t));
}

static tlc_status read_dims(tlc_ctx *ctx, const tlc_value *shape, tlc_shape *out)
{
    if (shape->kind != TLC_CONST || !shape->data)
        return tlc_fail(ctx, TLC_E_UNSUPPORTED, "E_CONSTANT", "shape is not constant");
    if (shape->shape.dim[0] > TLC_MAX_RANK)
        return tlc_fail(ctx, TLC_E_LIMIT, "E_LIMIT_RANK",
                        "shape has rank %" PRId64 ", at most %d", shape->shape.dim[0],
                        TLC_MAX_RANK);
    out->rank = (int)shape->shape.dim[0];
    for (int i = 0; i < out->rank; ++i) {
        out->dim[i] = tlc_data_i64(shape, i);
        if (tlc_dim_multiple(out->dim[i]))
            return tlc_fail_batch(ctx, "constant_of_shape would grow with");
        if (out->dim[i] < 0)
            return tlc_fail(ctx, TLC_E_MALFORMED, "E_SHAPE",
                            "dimension %d of shape is %" PRId64 ", at least 0", i, out->dim[i]);
    }
    return TLC_OK;
}

/* As if each use were written out, though a splat takes no memory: what reads it would. */
static tlc_status check_weight(tlc_ctx *ctx, const tlc_shape *s, tlc_type t)
{
    int64_t bytes, most = ctx->limits.max[TLB_LIMIT_WEIGHTS];
    if (!tlc_dims_product(s, 0, s->rank, &bytes) ||
        __builtin_mul_overflow(bytes, tlc_type_bytes(t), &bytes))
        return tlc_fail(ctx, TLC_E_MALFORMED, "E_OVERFLOW", "constant of shape %s: size overflows",
                        tlc_dims_text(ctx, s));
    if (bytes > most)
        return tlc_fail(ctx, TLC_E_LIMIT, "E_LIMIT_WEIGHTS",
                        "constant of shape %s: %" PRId64 " bytes, limit weights is %" PRId64,
                        tlc_dims_text(ctx, s), bytes, most);
    return TLC_OK;
}

static tlc_status infer_constant_of_shape(tlc_ctx *ctx, tlc_node *n)
{
    const tlc_constant_of_shape_attrs *a = n->attrs;
    tlc_shape y = { 0 };
    TLC_TRY(tlc_want_type(ctx, n->in[0], TLC_I64, "shape"));
    TLC_TRY(tlc_want_rank(ctx, n->in[0], 1, "shape"));
    TLC_TRY(check_value(ctx, a->type, a->value));
    TLC_TRY(read_dims(ctx, n->in[0], &y));
    TLC_TRY(check_weight(ctx, &y, a->type));
    tlc_set_result(n, a->type, y);
    return TLC_OK;
}

static tlc_status count_weights(tlc_ctx *ctx, const tlc_value *y)
{
    int64_t bytes = tlc_shape_elems(&y->shape) * tlc_type_bytes(y->type);
    int64_t most = ctx->limits.max[TLB_LIMIT_WEIGHTS];
    if (bytes > most - ctx->weights_bytes)
        return tlc_fail(ctx, TLC_E_LIMIT, "E_LIMIT_WEIGHTS",
                        "constants are %" PRId64 " bytes, limit weights is %" PRId64,
                        ctx->weights_bytes + bytes, most);
    ctx->weights_bytes += bytes;
    return TLC_OK;
}

static tlc_status fold_constant_of_shape(tlc_ctx *ctx, const tlc_node *n, tlc_value **out)
{
    const tlc_value *y = n->out[0];
    double value = TLC_ATTRS(n, tlc_constant_of_shape_attrs)->value;
    tlc_folded one = { .node = n, .type = y->type };
    TLC_TRY(count_weights(ctx, y));
    one.bytes = tlc_arena_alloc(&ctx->arena, (size_t)tlc_type_bytes(y->type));
    if (tlc_is_float(y->type))
        tlc_fold_put_f64(&one, 0, value);
    else
        tlc_fold_put_i64(&one, 0, (int64_t)value);
    *out = tlc_fold_end(&one);
    (*out)->splat = true;
    return TLC_OK;
}

const tlc_op_def tlc_op_constant_of_shape = {
    .attrs = attrs,
    .attrs_size = sizeof(tlc_constant_of_shape_attrs),
    .infer = infer_constant_of_shape,
    .fold = fold_constant_of_shape,
};
