/* conv2d_grad.c: the gradients of conv2d by its input and by its weight, and the latter with an
 * optimizer's update in one.
 *
 *     dx[n,ic,h,w]       from dy[n,oc,oh,ow] and w[oc,ic/groups,kh,kw]
 *     dw[oc,ic/groups,kh,kw]    from dy and x, summed over the batch
 *     parts[p,oc,ic/groups,kh,kw]    dw, its sum cut in p: part i sums over windows
 *                                    [i * share, (i + 1) * share) of the batch, in order of
 *                                    picture, row, column; share is n * oh * ow / p, rounded up to
 *                                    a multiple of 64
 *
 * Stride rounds extents down, so neither h, w nor kh, kw follow from the operands: `size` has
 * them, and the forward extents are computed from it again to check dy.
 */
#include "op_attrs.h"
#include "op_infer.h"

#include <inttypes.h>

enum { MOST_PARTS = 4096 };

#define CONV_ROWS                                                                    \
    TLC_ATTR_INTS_ROW(tlc_conv2d_grad_attrs, stride, 1, TLC_ATTR_MOST, 2, "[1,1]"),  \
    TLC_ATTR_INTS_ROW(tlc_conv2d_grad_attrs, pad, 0, TLC_ATTR_MOST, 4, "[0,0,0,0]"), \
    TLC_ATTR_INTS_ROW(tlc_conv2d_grad_attrs, dilation, 1, TLC_ATTR_MOST, 2, "[1,1]"), \
    TLC_ATTR_INT_ROW(tlc_conv2d_grad_attrs, groups, 1, TLC_ATTR_MOST, "1"),          \
    TLC_ATTR_INTS_ROW(tlc_conv2d_grad_attrs, size, 1, TLC_ATTR_MOST, 2, NULL)

static const tlc_attr_def attrs[] = { CONV_ROWS, TLC_ATTR_END };

/* The gradient's struct comes first in these, so its rows and checks serve. */
static const tlc_attr_def parts_attrs[] = {
    CONV_ROWS,
    TLC_ATTR_INT_ROW(tlc_conv2d_parts_attrs, parts, 1, MOST_PARTS, NULL),
    TLC_ATTR_END
};
#define UPDATE_ROW(type, name) \
    { #name, TLC_ATTR_BOOL, offsetof(type, update.name), 0, 1, 0, "false", NULL }

static const tlc_attr_def sgd_attrs[] = {
    CONV_ROWS,
    UPDATE_ROW(tlc_conv2d_sgd_attrs, nesterov),
    UPDATE_ROW(tlc_conv2d_sgd_attrs, backbone),
    TLC_ATTR_END
};
static const tlc_attr_def adam_attrs[] = {
    CONV_ROWS,
    UPDATE_ROW(tlc_conv2d_adam_attrs, decoupled),
    UPDATE_ROW(tlc_conv2d_adam_attrs, backbone),
    TLC_ATTR_END
};

/* Two maps of one type: dy and w, dy and x. */
static tlc_status check_maps(tlc_ctx *ctx, const tlc_value *dy, const tlc_value *other,
                             const char *what)
{
    TLC_TRY(tlc_want_float(ctx, dy, "dy"));
    TLC_TRY(tlc_want_rank(ctx, dy, 4, "dy"));
    TLC_TRY(tlc_want_type(ctx, other, dy->type, what));
    return tlc_want_rank(ctx, other, 4, what);
}

/* dy is what a convolution of h x w by kh x kw gives. */
static tlc_status check_extents(tlc_ctx *ctx, const tlc_conv2d_grad_attrs *a, const tlc_value *dy,
                                const int64_t *input, const int64_t *kernel)
{
    tlc_shape want = dy->shape;
    for (int i = 0; i < 2; ++i)
        TLC_TRY(tlc_window_extent(ctx, input[i], kernel[i], a->stride.v[i], a->dilation.v[i],
                                  a->pad.v[i], a->pad.v[2 + i], false, &want.dim[2 + i]));
    return tlc_want_shape(ctx, dy, &want, "dy");
}

static tlc_status check_channels(tlc_ctx *ctx, int64_t oc, int64_t ic, int64_t groups)
{
    if (oc % groups == 0 && ic % groups == 0)
        return TLC_OK;
    return tlc_fail(ctx, TLC_E_MALFORMED, "E_GROUPS",
                    "groups is %" PRId64 ", which divides not %" PRId64 " input and %" PRId64
                    " output channels",
                    groups, ic, oc);
}

static tlc_status infer_x(tlc_ctx *ctx, tlc_node *n)
{
    const tlc_conv2d_grad_attrs *a = n->attrs;
    TLC_TRY(check_maps(ctx, n->in[0], n->in[1], "w"));
    TLC_TRY(tlc_want_fixed(ctx, n->in[1], "w"));
    const tlc_shape *dy = &n->in[0]->shape, *w = &n->in[1]->shape;
    int64_t ic;
    if (dy->dim[1] != w->dim[0])
        return tlc_fail(ctx, TLC_E_MALFORMED, "E_SHAPE", "shapes %s of dy and %s of w do not fit",
                        tlc_dims_text(ctx, dy), tlc_dims_text(ctx, w));
    if (__builtin_mul_overflow(w->dim[1], a->groups, &ic))
        return tlc_fail(ctx, TLC_E_MALFORMED, "E_OVERFLOW", "channels of x: size overflows");
    TLC_TRY(check_channels(ctx, w->dim[0], ic, a->groups));
    TLC_TRY(check_extents(ctx, a, n->in[0], a->size.v, w->dim + 2));
    tlc_set_result(n, n->in[0]->type,
                   tlc_shape_make(4, (int64_t[]){ dy->dim[0], ic, a->size.v[0], a->size.v[1] }));
    return TLC_OK;
}

/* The gradient's shape, from dy and x. */
static tlc_status shape_of_dw(tlc_ctx *ctx, const tlc_conv2d_grad_attrs *a,
                              const tlc_value *dy_value, const tlc_value *x_value, tlc_shape *out)
{
    TLC_TRY(check_maps(ctx, dy_value, x_value, "x"));
    const tlc_shape *dy = &dy_value->shape, *x = &x_value->shape;
    if (dy->dim[0] != x->dim[0])
        return tlc_fail(ctx, TLC_E_MALFORMED, "E_SHAPE", "shapes %s of dy and %s of x do not fit",
                        tlc_dims_text(ctx, dy), tlc_dims_text(ctx, x));
    TLC_TRY(check_channels(ctx, dy->dim[1], x->dim[1], a->groups));
    TLC_TRY(check_extents(ctx, a, dy_value, x->dim + 2, a->size.v));
    *out = tlc_shape_make(4, (int64_t[]){ dy->dim[1], x->dim[1] / a->groups, a->size.v[0],
                                          a->size.v[1] });
    return TLC_OK;
}

static tlc_status infer_w(tlc_ctx *ctx, tlc_node *n)
{
    tlc_shape dw;
    TLC_TRY(shape_of_dw(ctx, n->attrs, n->in[0], n->in[1], &dw));
    tlc_set_result(n, n->in[0]->type, dw);
    return TLC_OK;
}

static tlc_status infer_parts(tlc_ctx *ctx, tlc_node *n)
{
    TLC_TRY(infer_w(ctx, n));
    const tlc_shape dw = n->out[0]->shape;
    tlc_set_result(n, n->in[0]->type,
                   tlc_shape_make(5, (int64_t[]){ TLC_ATTRS(n, tlc_conv2d_parts_attrs)->parts,
                                                  dw.dim[0], dw.dim[1], dw.dim[2], dw.dim[3] }));
    return TLC_OK;
}

/* w and its states, then dy and x. */
static tlc_status infer_update(tlc_ctx *ctx, tlc_node *n)
{
    int n_states = n->n_in - 3;
    const tlc_value *w = n->in[0], *dy = n->in[n->n_in - 2], *x = n->in[n->n_in - 1];
    tlc_shape dw;
    TLC_TRY(tlc_want_written(ctx, n, n_states));
    TLC_TRY(tlc_want_type(ctx, dy, w->type, "dy"));
    TLC_TRY(shape_of_dw(ctx, n->attrs, dy, x, &dw));
    return tlc_want_shape(ctx, w, &dw, "w");
}

static int64_t cost_update(const tlc_node *n)
{
    const int64_t *w = n->in[0]->shape.dim;
    return tlc_shape_elems(&n->in[n->n_in - 2]->shape) * w[1] * w[2] * w[3];
}

/* As the convolution: each element of dy meets one filter. */
static int64_t cost_x(const tlc_node *n)
{
    const int64_t *w = n->in[1]->shape.dim;
    return tlc_shape_elems(&n->in[0]->shape) * w[1] * w[2] * w[3];
}

static int64_t cost_w(const tlc_node *n)
{
    const tlc_shape *dw = &n->out[0]->shape;
    const int64_t *last = dw->dim + dw->rank - 3; /* ic/groups, kh, kw, with parts or without */
    return tlc_shape_elems(&n->in[0]->shape) * last[0] * last[1] * last[2];
}

const tlc_op_def tlc_op_conv2d_grad_x = {
    .attrs = attrs,
    .attrs_size = sizeof(tlc_conv2d_grad_attrs),
    .infer = infer_x,
    .cost = cost_x,
};

const tlc_op_def tlc_op_conv2d_grad_w = {
    .attrs = attrs,
    .attrs_size = sizeof(tlc_conv2d_grad_attrs),
    .infer = infer_w,
    .cost = cost_w,
};

const tlc_op_def tlc_op_conv2d_grad_w_parts = {
    .attrs = parts_attrs,
    .attrs_size = sizeof(tlc_conv2d_parts_attrs),
    .infer = infer_parts,
    .cost = cost_w,
};

const tlc_op_def tlc_op_conv2d_sgd = {
    .attrs = sgd_attrs,
    .attrs_size = sizeof(tlc_conv2d_sgd_attrs),
    .infer = infer_update,
    .cost = cost_update,
};

const tlc_op_def tlc_op_conv2d_adam = {
    .attrs = adam_attrs,
    .attrs_size = sizeof(tlc_conv2d_adam_attrs),
    .infer = infer_update,
    .cost = cost_update,
};
