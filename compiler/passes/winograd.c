/* winograd.c: in @step, trained 3x3 convolutions of stride 1 and their gradients by Winograd's
 * transform (4x4 outputs of a tile: 36 multiply-adds in the place of 144).
 *
 *     y  = conv2d x, w         becomes   u  = winograd_filter w;          y  = conv2d x, u
 *     dx = conv2d_grad_x dy, w           ut = winograd_filter w {flip};   dx = conv2d dy, ut
 *     dw = conv2d_grad_w dy, x           du = winograd_grad_u dy, x;      dw = winograd_grad_w du
 *
 * Frozen weights are transformed once, by assign_layouts.  @head is left alone: it answers for
 * pictures one by one, and one picture is too little to make a weight's u for.
 */
#include "pass_util.h"

enum {
    FILTER = 3,
    BLOCK = 16,
    TILE = 4,
    TILE_TERMS = 36,
    LEAST_TILES = 32, /* of a batch: making u costs as much as a few tiles */
    OUT_PIECE = 128,  /* channels of a work item of winograd_grad_u */
    IN_PIECE = 64,
    ITEMS = 8
};

static int64_t div_up(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

static bool is_ones(const tlc_ints *v)
{
    return v->v[0] == 1 && v->v[1] == 1;
}

/* Padding by more than the filter's reach would turn into a negative one by x. */
static bool fits_window(const tlc_ints *stride, const tlc_ints *dilation, const tlc_ints *pad,
                        int64_t groups)
{
    for (int i = 0; i < 4; ++i)
        if (pad->v[i] >= FILTER)
            return false;
    return is_ones(stride) && is_ones(dilation) && groups == 1;
}

/* Tiles reach over the edge of a plane they do not divide: half of the gain must be left. */
static bool pays(const tlc_shape *y, int64_t batch)
{
    if (!tlc_shape_has_n(y))
        return false;
    int64_t tiles = div_up(y->dim[2], TILE) * div_up(y->dim[3], TILE);
    return 2 * TILE_TERMS * tiles <= FILTER * FILTER * y->dim[2] * y->dim[3] &&
           tiles * batch >= LEAST_TILES;
}

static bool fits_weight(const tlc_shape *w)
{
    return w->rank == 4 && w->dim[0] % BLOCK == 0 && w->dim[1] % BLOCK == 0 &&
           w->dim[2] == FILTER && w->dim[3] == FILTER;
}

static tlc_status add_filter(tlc_ctx *ctx, tlc_rewrite *rw, tlc_node *before, tlc_value *w,
                             bool flip, tlc_value **out)
{
    tlc_node *n = tlc_rewrite_add(rw, before, TLC_OP_WINOGRAD_FILTER, NULL, &w, 1);
    TLC_ATTRS(n, tlc_winograd_filter_attrs)->flip = flip;
    *out = n->out[0];
    return tlc_node_infer(ctx, n);
}

/* `by` computes what `n` did. */
static void replace(tlc_rewrite *rw, tlc_node *n, tlc_node *by)
{
    by->out[0]->name = n->out[0]->name;
    tlc_rewrite_value(rw, n->out[0], by->out[0]);
    tlc_rewrite_drop(rw, n);
}

static tlc_status rewrite_conv2d(tlc_ctx *ctx, tlc_rewrite *rw, tlc_node *n, int64_t batch)
{
    const tlc_conv2d_attrs *a = n->attrs;
    tlc_value *w = n->in[1], *u;
    if (w->kind != TLC_PARAM || !fits_weight(&w->shape) || !pays(&n->out[0]->shape, batch) ||
        !fits_window(&a->stride, &a->dilation, &a->pad, a->groups))
        return TLC_OK;
    TLC_TRY(add_filter(ctx, rw, n, w, false, &u));
    tlc_rewrite_operand(rw, n, 1, u);
    return TLC_OK;
}

static tlc_status rewrite_grad_x(tlc_ctx *ctx, tlc_rewrite *rw, tlc_node *n, int64_t batch)
{
    const tlc_conv2d_grad_attrs *a = n->attrs;
    tlc_value *dy = n->in[0], *w = n->in[1], *u;
    if (w->kind != TLC_PARAM || !fits_weight(&w->shape) || !pays(&dy->shape, batch) ||
        !fits_window(&a->stride, &a->dilation, &a->pad, a->groups))
        return TLC_OK;
    TLC_TRY(add_filter(ctx, rw, n, w, true, &u));
    tlc_node *conv = tlc_rewrite_add(rw, n, TLC_OP_CONV2D, NULL, (tlc_value *[]){ dy, u }, 2);
    for (int i = 0; i < 4; ++i)
        TLC_ATTRS(conv, tlc_conv2d_attrs)->pad.v[i] = FILTER - 1 - a->pad.v[i];
    TLC_TRY(tlc_node_infer(ctx, conv));
    replace(rw, n, conv);
    return TLC_OK;
}

/* A layer of few channels has few work items, unless its tiles are cut as well. */
static int64_t parts(const tlc_shape *w)
{
    int64_t pieces = div_up(w->dim[0], OUT_PIECE) * div_up(w->dim[1], IN_PIECE);
    return div_up(ITEMS, pieces);
}

static tlc_status rewrite_grad_w(tlc_ctx *ctx, tlc_rewrite *rw, tlc_node *n, int64_t batch)
{
    const tlc_conv2d_grad_attrs *a = n->attrs;
    const tlc_shape *w = &n->out[0]->shape;
    if (!fits_weight(w) || !pays(&n->in[0]->shape, batch) ||
        !fits_window(&a->stride, &a->dilation, &a->pad, a->groups))
        return TLC_OK;
    tlc_node *du = tlc_rewrite_add(rw, n, TLC_OP_WINOGRAD_GRAD_U, NULL, n->in, 2);
    *TLC_ATTRS(du, tlc_winograd_grad_attrs) =
        (tlc_winograd_grad_attrs){ .pad = a->pad, .parts = parts(w) };
    TLC_TRY(tlc_node_infer(ctx, du));
    tlc_node *dw = tlc_rewrite_add(rw, n, TLC_OP_WINOGRAD_GRAD_W, NULL, du->out, 1);
    TLC_TRY(tlc_node_infer(ctx, dw));
    replace(rw, n, dw);
    return TLC_OK;
}

static tlc_status rewrite(tlc_ctx *ctx, tlc_rewrite *rw, tlc_node *n, int64_t batch)
{
    switch (n->op) {
    case TLC_OP_CONV2D: return rewrite_conv2d(ctx, rw, n, batch);
    case TLC_OP_CONV2D_GRAD_X: return rewrite_grad_x(ctx, rw, n, batch);
    case TLC_OP_CONV2D_GRAD_W: return rewrite_grad_w(ctx, rw, n, batch);
    default: return TLC_OK;
    }
}

tlc_status tlc_pass_winograd(tlc_ctx *ctx, tlc_module *m, tlc_pass_env *env)
{
    const tlc_options *o = env->options;
    tlc_func *step = tlc_func_find(m, "step");
    if (!step || o->target != TLC_TARGET_CPU || o->precision != TLC_PRECISION_FP32)
        return TLC_OK;
    tlc_rewrite rw = tlc_rewrite_begin(step);
    tlc_status status = TLC_OK;
    for (tlc_node *n = step->first; n && status == TLC_OK; n = n->next) {
        tlc_rewrite_visit(&rw, n);
        status = rewrite(ctx, &rw, n, o->batch);
    }
    tlc_rewrite_end(&rw);
    return status;
}
