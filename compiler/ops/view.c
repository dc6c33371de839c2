/* view.c: identity, flatten, reshape, squeeze, unsqueeze: the same bytes under another shape.
 *
 * They fold into views and differentiate into a reshape back; all that tells them apart is
 * the rule for the result's shape.  The batch stays in front, alone.
 */
#include "op_attrs.h"
#include "op_fold.h"
#include "op_grad.h"
#include "op_infer.h"

#include <inttypes.h>

static tlc_status backward(tlc_grad *g, const tlc_node *n)
{
    tlc_value *dy = tlc_grad_of_result(g, n);
    const tlc_shape *x = &n->in[0]->shape;
    tlc_reshape_attrs back = { .shape = { .n = x->rank } };
    for (int i = 0; i < x->rank; ++i)
        back.shape.v[i] = x->dim[i];
    return tlc_grad_add(g, n->in[0], TLC_OP_RESHAPE, &back, &dy, 1);
}

/* --- identity --------------------------------------------------------------- */

static tlc_status infer_identity(tlc_ctx *ctx, tlc_node *n)
{
    (void)ctx;
    tlc_set_result(n, n->in[0]->type, n->in[0]->shape);
    return TLC_OK;
}

static tlc_status backward_identity(tlc_grad *g, const tlc_node *n)
{
    if (!tlc_grad_wanted(g, n->in[0]))
        return TLC_OK;
    return tlc_grad_accumulate(g, n->in[0], tlc_grad_of_result(g, n));
}

const tlc_op_def tlc_op_identity = {
    .infer = infer_identity,
    .fold = tlc_fold_view,
    .backward = backward_identity,
};

/* --- flatten ---------------------------------------------------------------- */

static const tlc_attr_def flatten_attrs[] = {
    TLC_ATTR_INT_ROW(tlc_axis_attrs, axis, 0, TLC_MAX_RANK, "1"),
    TLC_ATTR_END
};

static tlc_status infer_flatten(tlc_ctx *ctx, tlc_node *n)
{
    const tlc_shape *x = &n->in[0]->shape;
    int axis = (int)TLC_ATTRS(n, tlc_axis_attrs)->axis;
    int64_t rows, cols;
    TLC_TRY(tlc_want_axis(ctx, axis, x->rank));
    if (tlc_shape_has_n(x) && axis != 1)
        return tlc_fail_batch(ctx, "flatten with an axis other than 1 would join pictures across");
    if (!tlc_dims_product(x, 0, axis, &rows) || !tlc_dims_product(x, axis, x->rank, &cols))
        return tlc_fail(ctx, TLC_E_MALFORMED, "E_OVERFLOW", "flatten of %s: size overflows",
                        tlc_dims_text(ctx, x));
    tlc_set_result(n, n->in[0]->type, tlc_shape2(tlc_shape_has_n(x) ? TLC_DIM_N : rows, cols));
    return TLC_OK;
}

const tlc_op_def tlc_op_flatten = {
    .attrs = flatten_attrs,
    .attrs_size = sizeof(tlc_axis_attrs),
    .infer = infer_flatten,
    .fold = tlc_fold_view,
    .backward = backward,
};

/* --- reshape ---------------------------------------------------------------- */

static const tlc_attr_def reshape_attrs[] = {
    TLC_ATTR_INTS_ROW(tlc_reshape_attrs, shape, TLC_DIM_N, TLC_ATTR_MOST, -1, NULL),
    TLC_ATTR_END
};

/* -1 stands for the batch: in front, exactly where x has it. */
static tlc_status check_reshape(tlc_ctx *ctx, const tlc_shape *x, const tlc_shape *y)
{
    int64_t elems;
    for (int i = 1; i < y->rank; ++i)
        if (y->dim[i] < 0)
            return tlc_fail(ctx, TLC_E_MALFORMED, "E_ATTR", "shape[%d] is %" PRId64 ", at least 0",
                            i, y->dim[i]);
    if (tlc_shape_has_n(x) != tlc_shape_has_n(y))
        return tlc_fail_batch(ctx, tlc_shape_has_n(x) ? "reshape would drop"
                                                      : "reshape would invent");
    if (!tlc_dims_product(y, 0, y->rank, &elems) || elems != tlc_shape_elems(x))
        return tlc_fail(ctx, TLC_E_MALFORMED, "E_SHAPE",
                        "reshape of shape %s to %s: not the same number of elements",
                        tlc_dims_text(ctx, x), tlc_dims_text(ctx, y));
    return TLC_OK;
}

static tlc_status infer_reshape(tlc_ctx *ctx, tlc_node *n)
{
    const tlc_ints *to = &TLC_ATTRS(n, tlc_reshape_attrs)->shape;
    if (to->n > TLC_MAX_RANK)
        return tlc_fail(ctx, TLC_E_LIMIT, "E_LIMIT_RANK", "shape has rank %d, at most %d", to->n,
                        TLC_MAX_RANK);
    tlc_shape y = tlc_shape_make(to->n, to->v);
    TLC_TRY(check_reshape(ctx, &n->in[0]->shape, &y));
    tlc_set_result(n, n->in[0]->type, y);
    return TLC_OK;
}

const tlc_op_def tlc_op_reshape = {
    .attrs = reshape_attrs,
    .attrs_size = sizeof(tlc_reshape_attrs),
    .infer = infer_reshape,
    .fold = tlc_fold_view,
    .backward = backward,
};

/* --- squeeze, unsqueeze ------------------------------------------------------ */

static const tlc_attr_def axes_attrs[] = {
    TLC_ATTR_INTS_ROW(tlc_axes_attrs, axes, 0, TLC_MAX_RANK - 1, -1, NULL),
    TLC_ATTR_END
};

static bool listed(const tlc_ints *axes, int axis)
{
    for (int i = 0; i < axes->n; ++i)
        if (axes->v[i] == axis)
            return true;
    return false;
}

static tlc_status infer_squeeze(tlc_ctx *ctx, tlc_node *n)
{
    const tlc_ints *axes = &TLC_ATTRS(n, tlc_axes_attrs)->axes;
    const tlc_shape *x = &n->in[0]->shape;
    tlc_shape y = { 0 };
    TLC_TRY(tlc_want_axes(ctx, axes, x->rank, "axes"));
    for (int i = 0; i < x->rank; ++i) {
        if (!listed(axes, i))
            y.dim[y.rank++] = x->dim[i];
        else if (x->dim[i] == TLC_DIM_N)
            return tlc_fail_batch(ctx, "squeeze of axis 0 would drop");
        else if (x->dim[i] != 1)
            return tlc_fail(ctx, TLC_E_MALFORMED, "E_SHAPE",
                            "squeeze of axis %d: shape is %s, size 1 wanted", i,
                            tlc_dims_text(ctx, x));
    }
    tlc_set_result(n, n->in[0]->type, y);
    return TLC_OK;
}

const tlc_op_def tlc_op_squeeze = {
    .attrs = axes_attrs,
    .attrs_size = sizeof(tlc_axes_attrs),
    .infer = infer_squeeze,
    .fold = tlc_fold_view,
    .backward = backward,
};

/* `axes` count in the result, as in ONNX. */
static tlc_status infer_unsqueeze(tlc_ctx *ctx, tlc_node *n)
{
    const tlc_ints *axes = &TLC_ATTRS(n, tlc_axes_attrs)->axes;
    const tlc_shape *x = &n->in[0]->shape;
    tlc_shape y = { .rank = x->rank + axes->n };
    if (y.rank > TLC_MAX_RANK)
        return tlc_fail(ctx, TLC_E_LIMIT, "E_LIMIT_RANK", "result has rank %d, at most %d", y.rank,
                        TLC_MAX_RANK);
    TLC_TRY(tlc_want_axes(ctx, axes, y.rank, "axes"));
    if (tlc_shape_has_n(x) && listed(axes, 0))
        return tlc_fail_batch(ctx, "unsqueeze at axis 0 would move");
    for (int i = 0, from = 0; i < y.rank; ++i)
        y.dim[i] = listed(axes, i) ? 1 : x->dim[from++];
    tlc_set_result(n, n->in[0]->type, y);
    return TLC_OK;
}

const tlc_op_def tlc_op_unsqueeze = {
    .attrs = axes_attrs,
    .attrs_size = sizeof(tlc_axes_attrs),
    .infer = infer_unsqueeze,
    .fold = tlc_fold_view,
    .backward = backward,
};
