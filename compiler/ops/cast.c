/* cast.c: another element type; floats to integers towards zero, anything not 0 to true. */
#include "op_attrs.h"
#include "op_fold.h"
#include "op_infer.h"

static const tlc_attr_def attrs[] = {
    TLC_ATTR_TYPE_ROW(tlc_cast_attrs, to, NULL),
    TLC_ATTR_END
};

static tlc_status infer(tlc_ctx *ctx, tlc_node *n)
{
    (void)ctx;
    tlc_set_result(n, TLC_ATTRS(n, tlc_cast_attrs)->to, n->in[0]->shape);
    return TLC_OK;
}

static tlc_status fail_range(tlc_ctx *ctx, double x, tlc_type to)
{
    return tlc_fail(ctx, TLC_E_MALFORMED, "E_OVERFLOW", "cast of %g: not in the range of %s", x,
                    tlc_type_name(to));
}

static tlc_status from_float(tlc_ctx *ctx, const tlc_folded *f, int64_t i, double x)
{
    if (tlc_is_float(f->type)) {
        tlc_fold_put_f64(f, i, x);
        return TLC_OK;
    }
    if (f->type == TLC_BOOL) {
        tlc_fold_put_i64(f, i, x != 0);
        return TLC_OK;
    }
    if (!(x > -0x1p63 && x < 0x1p63) || !tlc_fold_fits(f->type, (int64_t)x))
        return fail_range(ctx, x, f->type);
    tlc_fold_put_i64(f, i, (int64_t)x);
    return TLC_OK;
}

/* The symbol only survives as i64; *declined where it would not. */
static tlc_status from_integer(tlc_ctx *ctx, const tlc_folded *f, int64_t i, int64_t x,
                               bool is_symbol, bool *declined)
{
    if (is_symbol && f->type != TLC_I64) {
        *declined = true;
        return TLC_OK;
    }
    if (tlc_is_float(f->type)) {
        tlc_fold_put_f64(f, i, (double)x);
        return TLC_OK;
    }
    if (f->type == TLC_BOOL)
        x = x != 0;
    if (!is_symbol && !tlc_fold_fits(f->type, x))
        return fail_range(ctx, (double)x, f->type);
    tlc_fold_put_i64(f, i, x);
    return TLC_OK;
}

static tlc_status fold(tlc_ctx *ctx, const tlc_node *n, tlc_value **out)
{
    const tlc_value *x = n->in[0];
    bool declined = false;
    tlc_folded f;
    if (x->type == n->out[0]->type)
        return tlc_fold_view(ctx, n, out);
    TLC_TRY(tlc_fold_begin(ctx, n, &f));
    for (int64_t i = 0; i < tlc_shape_elems(&x->shape) && !declined; ++i) {
        if (tlc_is_float(x->type)) {
            TLC_TRY(from_float(ctx, &f, i, tlc_data_f64(x, i)));
            continue;
        }
        int64_t value = tlc_data_i64(x, i);
        bool is_symbol = x->type == TLC_I64 && tlc_dim_multiple(value);
        TLC_TRY(from_integer(ctx, &f, i, value, is_symbol, &declined));
    }
    if (!declined)
        *out = tlc_fold_end(&f);
    return TLC_OK;
}

const tlc_op_def tlc_op_cast = {
    .attrs = attrs,
    .attrs_size = sizeof(tlc_cast_attrs),
    .infer = infer,
    .fold = fold,
};
