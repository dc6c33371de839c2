/* split_sums.c: on a device, the weights' gradient of a convolution of few filters over a large
 * plane as a sum of parts.
 *
 *     dw = conv2d_grad_w dy, x     becomes    p = conv2d_grad_w_parts dy, x {parts=26}
 *                                             dw = sum_to p
 *
 * The product behind it has as many tiles as the weight has, five for 64x64x3x3, and each goes over
 * all pixels of the batch: a device of a hundred processors would stand idle.  Parts are planned
 * like any value and added in order.  Their number follows from the shape, so the bits depend on no
 * device: enough for BLOCKS tiles, each with LEAST pixels of a picture.
 */
#include "pass_util.h"

enum {
    TILE_ROWS = 64,     /* output channels */
    TILE_COLUMNS = 128, /* input channels x taps */
    BLOCKS = 128,
    LEAST = 64
};

static int64_t div_up(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

static int64_t parts(const tlc_node *n)
{
    const int64_t *w = n->out[0]->shape.dim, *dy = n->in[0]->shape.dim;
    int64_t groups = TLC_ATTRS(n, tlc_conv2d_grad_attrs)->groups;
    int64_t tiles = groups * div_up(w[0] / groups, TILE_ROWS) *
                    div_up(w[1] * w[2] * w[3], TILE_COLUMNS);
    int64_t wanted = div_up(BLOCKS, tiles), most = dy[2] * dy[3] / LEAST;
    return wanted < most ? wanted : most;
}

/* Where groups have one input channel another kernel serves, a block for each tap. */
static bool splits(const tlc_node *n)
{
    if (n->op != TLC_OP_CONV2D_GRAD_W)
        return false;
    bool depthwise = n->out[0]->shape.dim[1] == 1 &&
                     TLC_ATTRS(n, tlc_conv2d_grad_attrs)->groups > 1;
    return !depthwise && parts(n) > 1;
}

static tlc_status split(tlc_ctx *ctx, tlc_rewrite *rw, tlc_node *n)
{
    tlc_value *old = n->out[0];
    tlc_node *p = tlc_rewrite_add(rw, n, TLC_OP_CONV2D_GRAD_W_PARTS, NULL, n->in, 2);
    *TLC_ATTRS(p, tlc_conv2d_parts_attrs) = (tlc_conv2d_parts_attrs){
        .conv = *TLC_ATTRS(n, tlc_conv2d_grad_attrs), .parts = parts(n)
    };
    TLC_TRY(tlc_node_infer(ctx, p));
    tlc_node *sum = tlc_rewrite_add(rw, n, TLC_OP_SUM_TO, NULL, p->out, 1);
    tlc_ints *to = &TLC_ATTRS(sum, tlc_reshape_attrs)->shape;
    to->n = old->shape.rank;
    for (int i = 0; i < to->n; ++i)
        to->v[i] = old->shape.dim[i];
    TLC_TRY(tlc_node_infer(ctx, sum));
    sum->out[0]->name = old->name;
    tlc_rewrite_value(rw, old, sum->out[0]);
    tlc_rewrite_drop(rw, n);
    return TLC_OK;
}

tlc_status tlc_pass_split_sums(tlc_ctx *ctx, tlc_module *m, tlc_pass_env *env)
{
    tlc_func *step = tlc_func_find(m, "step");
    if (!step || env->options->target != TLC_TARGET_CUDA)
        return TLC_OK;
    tlc_rewrite rw = tlc_rewrite_begin(step);
    tlc_status status = TLC_OK;
    for (tlc_node *n = step->first; n && status == TLC_OK; n = n->next) {
        tlc_rewrite_visit(&rw, n);
        if (splits(n))
            status = split(ctx, &rw, n);
    }
    tlc_rewrite_end(&rw);
    return status;
}
