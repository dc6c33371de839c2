/* pool2d.c: maximum and mean of windows, and their gradients.
 *
 * For its gradient a maximum keeps where in its window it stands: one byte where the window has
 * up to 256 elements.  That is an operator of its own, made beside the pool when it is
 * differentiated, so that evaluation does without.
 *
 * A window lies at least partly on the input: pads are smaller than the kernel, and in ceil
 * mode a window that would start after the input is dropped (tlc_window_extent).
 */
#include "op_attrs.h"
#include "op_grad.h"
#include "op_infer.h"

#include <inttypes.h>

#define POOL_ROWS                                                                  \
    TLC_ATTR_INTS_ROW(tlc_pool2d_attrs, kernel, 1, TLC_ATTR_MOST, 2, NULL),        \
    TLC_ATTR_INTS_ROW(tlc_pool2d_attrs, stride, 1, TLC_ATTR_MOST, 2, "[1,1]"),     \
    TLC_ATTR_INTS_ROW(tlc_pool2d_attrs, pad, 0, TLC_ATTR_MOST, 4, "[0,0,0,0]"),    \
    TLC_ATTR_INTS_ROW(tlc_pool2d_attrs, dilation, 1, TLC_ATTR_MOST, 2, "[1,1]"),   \
    TLC_ATTR_BOOL_ROW(tlc_pool2d_attrs, ceil_mode, "false")

static const tlc_attr_def max_attrs[] = { POOL_ROWS, TLC_ATTR_END };
static const tlc_attr_def avg_attrs[] = {
    POOL_ROWS,
    TLC_ATTR_BOOL_ROW(tlc_pool2d_attrs, count_include_pad, "false"),
    TLC_ATTR_END
};

/* After tlc_window_extent, so the reach of the kernel does not overflow. */
static tlc_status check_pads(tlc_ctx *ctx, const tlc_pool2d_attrs *a)
{
    for (int i = 0; i < 4; ++i) {
        int64_t reach = (a->kernel.v[i % 2] - 1) * a->dilation.v[i % 2] + 1;
        if (a->pad.v[i] >= reach)
            return tlc_fail(ctx, TLC_E_MALFORMED, "E_ATTR",
                            "pad[%d] is %" PRId64 ", less than the kernel's %" PRId64 " wanted", i,
                            a->pad.v[i], reach);
    }
    return TLC_OK;
}

static tlc_status infer(tlc_ctx *ctx, tlc_node *n)
{
    const tlc_pool2d_attrs *a = n->attrs;
    tlc_shape s = n->in[0]->shape;
    TLC_TRY(tlc_want_float(ctx, n->in[0], "x"));
    TLC_TRY(tlc_want_rank(ctx, n->in[0], 4, "x"));
    for (int i = 0; i < 2; ++i)
        TLC_TRY(tlc_window_extent(ctx, s.dim[2 + i], a->kernel.v[i], a->stride.v[i],
                                  a->dilation.v[i], a->pad.v[i], a->pad.v[2 + i], a->ceil_mode,
                                  &s.dim[2 + i]));
    TLC_TRY(check_pads(ctx, a));
    tlc_set_result(n, n->in[0]->type, s);
    return TLC_OK;
}

static tlc_pool2d_grad_attrs grad_attrs(const tlc_node *n)
{
    const int64_t *x = n->in[0]->shape.dim;
    return (tlc_pool2d_grad_attrs){
        .pool = *TLC_ATTRS(n, tlc_pool2d_attrs),
        .size = { .n = 2, .v = { x[2], x[3] } },
    };
}

/* Positions are taken right behind the pool, so that x need not be kept. */
static tlc_status backward_max(tlc_grad *g, const tlc_node *n)
{
    tlc_pool2d_grad_attrs a = grad_attrs(n);
    if (!tlc_grad_wanted(g, n->in[0]))
        return TLC_OK;
    tlc_node *positions =
        tlc_node_add(g->func, n->next, TLC_OP_MAX_POOL2D_POSITIONS, NULL, n->in, 1);
    *TLC_ATTRS(positions, tlc_pool2d_attrs) = a.pool;
    TLC_TRY(tlc_node_infer(g->ctx, positions));
    tlc_value *in[] = { tlc_grad_of_result(g, n), positions->out[0] };
    return tlc_grad_add(g, n->in[0], TLC_OP_MAX_POOL2D_GRAD, &a, in, 2);
}

static tlc_status backward_avg(tlc_grad *g, const tlc_node *n)
{
    tlc_pool2d_grad_attrs a = grad_attrs(n);
    tlc_value *dy = tlc_grad_of_result(g, n);
    return tlc_grad_add(g, n->in[0], TLC_OP_AVG_POOL2D_GRAD, &a, &dy, 1);
}

const tlc_op_def tlc_op_max_pool2d = {
    .attrs = max_attrs,
    .attrs_size = sizeof(tlc_pool2d_attrs),
    .infer = infer,
    .backward = backward_max,
};

const tlc_op_def tlc_op_avg_pool2d = {
    .attrs = avg_attrs,
    .attrs_size = sizeof(tlc_pool2d_attrs),
    .infer = infer,
    .backward = backward_avg,
};

/* --- positions ------------------------------------------------------------------- */

static tlc_type position_type(const tlc_pool2d_attrs *a)
{
    return a->kernel.v[0] * a->kernel.v[1] <= 256 ? TLC_U8 : TLC_I32;
}

static tlc_status infer_positions(tlc_ctx *ctx, tlc_node *n)
{
    TLC_TRY(infer(ctx, n));
    n->out[0]->type = position_type(TLC_ATTRS(n, tlc_pool2d_attrs));
    return TLC_OK;
}

const tlc_op_def tlc_op_max_pool2d_positions = {
    .attrs = max_attrs,
    .attrs_size = sizeof(tlc_pool2d_attrs),
    .infer = infer_positions,
};

/* --- gradients ------------------------------------------------------------------- */

/* The pool's struct comes first in theirs, so its rows serve. */
#define SIZE_ROW TLC_ATTR_INTS_ROW(tlc_pool2d_grad_attrs, size, 1, TLC_ATTR_MOST, 2, NULL)

static const tlc_attr_def max_grad_attrs[] = { POOL_ROWS, SIZE_ROW, TLC_ATTR_END };
static const tlc_attr_def avg_grad_attrs[] = {
    POOL_ROWS,
    TLC_ATTR_BOOL_ROW(tlc_pool2d_attrs, count_include_pad, "false"),
    SIZE_ROW,
    TLC_ATTR_END
};

/* dy is what the pool gives for an input of `size`. */
static tlc_status infer_grad(tlc_ctx *ctx, tlc_node *n)
{
    const tlc_pool2d_grad_attrs *g = n->attrs;
    const tlc_pool2d_attrs *a = &g->pool;
    TLC_TRY(tlc_want_float(ctx, n->in[0], "dy"));
    TLC_TRY(tlc_want_rank(ctx, n->in[0], 4, "dy"));
    tlc_shape dx = n->in[0]->shape, want = dx;
    for (int i = 0; i < 2; ++i) {
        dx.dim[2 + i] = g->size.v[i];
        TLC_TRY(tlc_window_extent(ctx, dx.dim[2 + i], a->kernel.v[i], a->stride.v[i],
                                  a->dilation.v[i], a->pad.v[i], a->pad.v[2 + i], a->ceil_mode,
                                  &want.dim[2 + i]));
    }
    TLC_TRY(check_pads(ctx, a));
    TLC_TRY(tlc_want_shape(ctx, n->in[0], &want, "dy"));
    tlc_set_result(n, n->in[0]->type, dx);
    return TLC_OK;
}

static tlc_status infer_max_grad(tlc_ctx *ctx, tlc_node *n)
{
    TLC_TRY(infer_grad(ctx, n));
    TLC_TRY(tlc_want_type(ctx, n->in[1],
                          position_type(&TLC_ATTRS(n, tlc_pool2d_grad_attrs)->pool), "positions"));
    return tlc_want_shape(ctx, n->in[1], &n->in[0]->shape, "positions");
}

const tlc_op_def tlc_op_max_pool2d_grad = {
    .attrs = max_grad_attrs,
    .attrs_size = sizeof(tlc_pool2d_grad_attrs),
    .infer = infer_max_grad,
};

const tlc_op_def tlc_op_avg_pool2d_grad = {
    .attrs = avg_grad_attrs,
    .attrs_size = sizeof(tlc_pool2d_grad_attrs),
    .infer = infer_grad,
};
