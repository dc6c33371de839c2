/* winograd_train.c: Winograd's convolution, 4x4 outputs of a 3x3 filter, of a trained weight.
 *
 *     u  [36,oc,ic]         from w [oc,ic,3,3]; with `flip` [36,ic,oc], the weight of the
 *                           convolution of dy that is the gradient by x
 *     du [parts,36,oc,ic]   from dy [n,oc,h,w] and x [n,ic,..], summed over each part's tiles
 *     dw [oc,ic,3,3]        from du, or used for the optimizer's update at once
 *
 * Kernels lay them out in whole blocks of 16 channels, so only such weights are transformed.
 */
#include "op_attrs.h"
#include "op_infer.h"

#include <inttypes.h>

enum { BLOCK = 16, FILTER = 3, MOST_PARTS = 64 };

static const tlc_attr_def filter_attrs[] = {
    TLC_ATTR_BOOL_ROW(tlc_winograd_filter_attrs, flip, "false"),
    TLC_ATTR_END
};
static const tlc_attr_def grad_attrs[] = {
    TLC_ATTR_INTS_ROW(tlc_winograd_grad_attrs, pad, 0, TLC_ATTR_MOST, 4, "[0,0,0,0]"),
    TLC_ATTR_INT_ROW(tlc_winograd_grad_attrs, parts, 1, MOST_PARTS, "1"),
    TLC_ATTR_END
};

static tlc_status check_channels(tlc_ctx *ctx, int64_t oc, int64_t ic)
{
    if (oc % BLOCK == 0 && ic % BLOCK == 0)
        return TLC_OK;
    return tlc_fail(ctx, TLC_E_MALFORMED, "E_SHAPE",
                    "channels are %" PRId64 " and %" PRId64 ", blocks of %d wanted", ic, oc,
                    BLOCK);
}

static tlc_status infer_filter(tlc_ctx *ctx, tlc_node *n)
{
    const tlc_value *w = n->in[0];
    const int64_t *d = w->shape.dim;
    TLC_TRY(tlc_want_float(ctx, w, "w"));
    TLC_TRY(tlc_want_rank(ctx, w, 4, "w"));
    TLC_TRY(tlc_want_fixed(ctx, w, "w"));
    tlc_shape want = tlc_shape_make(4, (int64_t[]){ d[0], d[1], FILTER, FILTER });
    TLC_TRY(tlc_want_shape(ctx, w, &want, "w"));
    TLC_TRY(check_channels(ctx, d[0], d[1]));
    bool flip = TLC_ATTRS(n, tlc_winograd_filter_attrs)->flip;
    tlc_set_result(n, w->type,
                   tlc_shape_make(3, (int64_t[]){ TLC_WINOGRAD_TILE, d[flip], d[!flip] }));
    return TLC_OK;
}

static tlc_status infer_grad_u(tlc_ctx *ctx, tlc_node *n)
{
    const tlc_winograd_grad_attrs *a = n->attrs;
    const tlc_value *dy = n->in[0], *x = n->in[1];
    TLC_TRY(tlc_want_float(ctx, dy, "dy"));
    TLC_TRY(tlc_want_rank(ctx, dy, 4, "dy"));
    TLC_TRY(tlc_want_type(ctx, x, dy->type, "x"));
    TLC_TRY(tlc_want_rank(ctx, x, 4, "x"));
    tlc_shape want = dy->shape;
    want.dim[0] = x->shape.dim[0];
    for (int i = 0; i < 2; ++i)
        TLC_TRY(tlc_window_extent(ctx, x->shape.dim[2 + i], FILTER, 1, 1, a->pad.v[i],
                                  a->pad.v[2 + i], false, &want.dim[2 + i]));
    TLC_TRY(tlc_want_shape(ctx, dy, &want, "dy"));
    TLC_TRY(check_channels(ctx, dy->shape.dim[1], x->shape.dim[1]));
    tlc_set_result(n, dy->type,
                   tlc_shape_make(4, (int64_t[]){ a->parts, TLC_WINOGRAD_TILE,
                                                  dy->shape.dim[1], x->shape.dim[1] }));
    return TLC_OK;
}

/* What the direct gradient would take, as for the convolution. */
static int64_t cost_grad_u(const tlc_node *n)
{
    return tlc_shape_elems(&n->in[0]->shape) * n->in[1]->shape.dim[1] * FILTER * FILTER;
}

static tlc_status shape_of_dw(tlc_ctx *ctx, const tlc_value *du, tlc_shape *out)
{
    const int64_t *d = du->shape.dim;
    TLC_TRY(tlc_want_float(ctx, du, "du"));
    TLC_TRY(tlc_want_rank(ctx, du, 4, "du"));
    TLC_TRY(tlc_want_fixed(ctx, du, "du"));
    tlc_shape want = tlc_shape_make(4, (int64_t[]){ d[0], TLC_WINOGRAD_TILE, d[2], d[3] });
    TLC_TRY(tlc_want_shape(ctx, du, &want, "du"));
    TLC_TRY(check_channels(ctx, d[2], d[3]));
    *out = tlc_shape_make(4, (int64_t[]){ d[2], d[3], FILTER, FILTER });
    return TLC_OK;
}

static tlc_status infer_grad_w(tlc_ctx *ctx, tlc_node *n)
{
    tlc_shape dw;
    TLC_TRY(shape_of_dw(ctx, n->in[0], &dw));
    tlc_set_result(n, n->in[0]->type, dw);
    return TLC_OK;
}

/* w and its states, then du. */
static tlc_status infer_update(tlc_ctx *ctx, tlc_node *n)
{
    const tlc_value *w = n->in[0], *du = n->in[n->n_in - 1];
    tlc_shape dw;
    TLC_TRY(tlc_want_written(ctx, n, n->n_in - 2));
    TLC_TRY(tlc_want_type(ctx, du, w->type, "du"));
    TLC_TRY(shape_of_dw(ctx, du, &dw));
    return tlc_want_shape(ctx, w, &dw, "w");
}

const tlc_op_def tlc_op_winograd_filter = {
    .attrs = filter_attrs,
    .attrs_size = sizeof(tlc_winograd_filter_attrs),
    .infer = infer_filter,
};

const tlc_op_def tlc_op_winograd_grad_u = {
    .attrs = grad_attrs,
    .attrs_size = sizeof(tlc_winograd_grad_attrs),
    .infer = infer_grad_u,
    .cost = cost_grad_u,
};

const tlc_op_def tlc_op_winograd_grad_w = { .infer = infer_grad_w };

const tlc_op_def tlc_op_winograd_sgd = {
    .attrs = tlc_sgd_attr_rows,
    .attrs_size = sizeof(tlc_sgd_attrs),
    .infer = infer_update,
};

const tlc_op_def tlc_op_winograd_adam = {
    .attrs = tlc_adam_attr_rows,
    .attrs_size = sizeof(tlc_adam_attrs),
    .infer = infer_update,
};
