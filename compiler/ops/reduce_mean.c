/* reduce_mean.c: mean over axes; a global average pool is the mean over [2,3]. */
#include "op_attrs.h"
#include "op_infer.h"

static const tlc_attr_def attrs[] = {
    TLC_ATTR_INTS_ROW(tlc_axes_attrs, axes, 0, TLC_MAX_RANK - 1, -1, NULL),
    TLC_ATTR_BOOL_ROW(tlc_axes_attrs, keepdims, "true"),
    TLC_ATTR_END
};

static tlc_shape reduced(const tlc_shape *x, const tlc_axes_attrs *a)
{
    bool gone[TLC_MAX_RANK] = { false };
    tlc_shape y = { 0 };
    for (int i = 0; i < a->axes.n; ++i)
        gone[a->axes.v[i]] = true;
    for (int i = 0; i < x->rank; ++i)
        if (!gone[i])
            y.dim[y.rank++] = x->dim[i];
        else if (a->keepdims)
            y.dim[y.rank++] = 1;
    return y;
}

static tlc_status infer(tlc_ctx *ctx, tlc_node *n)
{
    const tlc_axes_attrs *a = n->attrs;
    const tlc_value *x = n->in[0];
    TLC_TRY(tlc_want_float(ctx, x, "x"));
    TLC_TRY(tlc_want_axes(ctx, &a->axes, x->shape.rank, "axes"));
    for (int i = 0; i < a->axes.n; ++i)
        if (a->axes.v[i] == 0 && tlc_shape_has_n(&x->shape))
            return tlc_fail_batch(ctx, "reduce_mean over axis 0 would sum over");
    tlc_set_result(n, x->type, reduced(&x->shape, a));
    return TLC_OK;
}

const tlc_op_def tlc_op_reduce_mean = {
    .attrs = attrs,
    .attrs_size = sizeof(tlc_axes_attrs),
    .infer = infer,
};
