/* fuse.c: put what rides on a kernel onto the node whose kernel it is.
 *
 *   conv2d + add          the other addend becomes the residual operand
 *   conv2d, linear + relu, clip      the activation becomes an attribute
 *   linear_grad_w + update           one node that never stores the gradient
 *
 * A kernel applies bias, then residual, then activation; nodes are fused in that order alone,
 * and only where the fused value has no other reader.  Values that cross a function's end are
 * returns, which count as readers: nothing is fused across the cut.
 *
 * --no-fuse keeps every forward value, to be compared one by one; gradients are none, and
 * their updates are fused all the same.
 */
#include "pass_util.h"

enum { CONV_RESIDUAL = 3, CONV_OPERANDS = 4 };

static tlc_act act_of(const tlc_node *n)
{
    if (n->op == TLC_OP_CONV2D)
        return TLC_ATTRS(n, tlc_conv2d_attrs)->act;
    return TLC_ATTRS(n, tlc_linear_attrs)->act;
}

/* The node behind `v`, if it is of `op`, has no activation yet, and `v` has one reader. */
static tlc_node *host(tlc_rewrite *rw, const tlc_value *v, tlc_op op)
{
    tlc_node *n = v->def;
    bool free = n && n->op == op && tlc_rewrite_uses(rw, v) == 1 && act_of(n) == TLC_ACT_NONE;
    return free ? n : NULL;
}

/* `by` computes what `n` did: it takes the name and the readers. */
static void absorb(tlc_rewrite *rw, tlc_node *by, tlc_node *n)
{
    by->out[0]->name = n->out[0]->name;
    tlc_rewrite_value(rw, n->out[0], by->out[0]);
    tlc_rewrite_drop(rw, n);
}

/* --- activations ----------------------------------------------------------------- */

static void set_activation(tlc_node *host, const tlc_node *n)
{
    bool clips = n->op == TLC_OP_CLIP, conv = host->op == TLC_OP_CONV2D;
    *(conv ? &TLC_ATTRS(host, tlc_conv2d_attrs)->act : &TLC_ATTRS(host, tlc_linear_attrs)->act) =
        clips ? TLC_ACT_CLIP : TLC_ACT_RELU;
    if (!clips)
        return; /* bounds keep their defaults */
    const tlc_clip_attrs *bounds = TLC_ATTRS(n, tlc_clip_attrs);
    *(conv ? &TLC_ATTRS(host, tlc_conv2d_attrs)->lo : &TLC_ATTRS(host, tlc_linear_attrs)->lo) =
        bounds->lo;
    *(conv ? &TLC_ATTRS(host, tlc_conv2d_attrs)->hi : &TLC_ATTRS(host, tlc_linear_attrs)->hi) =
        bounds->hi;
}

static void fuse_activation(tlc_rewrite *rw, tlc_node *n)
{
    tlc_node *h = host(rw, n->in[0], TLC_OP_CONV2D);
    if (!h)
        h = host(rw, n->in[0], TLC_OP_LINEAR);
    if (!h)
        return;
    set_activation(h, n);
    absorb(rw, h, n);
}

/* --- residuals -------------------------------------------------------------------- */

static tlc_node *residual_host(tlc_rewrite *rw, const tlc_node *add, int side)
{
    const tlc_value *y = add->in[side], *other = add->in[1 - side];
    tlc_node *c = host(rw, y, TLC_OP_CONV2D);
    if (!c || tlc_is_global(other) || !tlc_shape_equal(&y->shape, &other->shape) ||
        (c->n_in > CONV_RESIDUAL && c->in[CONV_RESIDUAL]))
        return NULL;
    return c;
}

/* Of two convolutions the one that runs later takes the other's result. */
static void fuse_residual(tlc_rewrite *rw, int *position, tlc_node *add)
{
    tlc_node *c[2] = { residual_host(rw, add, 0), residual_host(rw, add, 1) };
    int side = !c[0] || (c[1] && position[c[1]->out[0]->id] > position[c[0]->out[0]->id]);
    tlc_node *conv = c[side];
    if (!conv)
        return;
    tlc_value **in = TLC_NEW_ARRAY(&rw->func->module->ctx->arena, tlc_value *, CONV_OPERANDS);
    for (int i = 0; i < conv->n_in; ++i)
        in[i] = conv->in[i];
    conv->in = in;
    conv->n_in = CONV_OPERANDS;
    tlc_value *residual = add->in[1 - side];
    tlc_rewrite_operand(rw, conv, CONV_RESIDUAL, residual);
    if (position[residual->id] > position[conv->out[0]->id]) { /* it must be defined before */
        tlc_node_move_before(conv, add);
        position[conv->out[0]->id] = position[add->out[0]->id];
    }
    absorb(rw, conv, add);
}

/* --- updates ------------------------------------------------------------------------ */

static tlc_status fuse_update(tlc_ctx *ctx, tlc_rewrite *rw, tlc_node *n)
{
    int n_written = n->n_in - 1;
    tlc_node *g = n->in[n_written]->def;
    if (!g || g->op != TLC_OP_LINEAR_GRAD_W || tlc_rewrite_uses(rw, g->out[0]) != 1)
        return TLC_OK;
    bool adam = n->op == TLC_OP_ADAM_UPDATE;
    tlc_value *in[5] = { n->in[0], n->in[1], n->in[2] };
    in[n_written] = g->in[0];
    in[n_written + 1] = g->in[1];
    tlc_node *fused = tlc_rewrite_add(rw, n, adam ? TLC_OP_LINEAR_ADAM : TLC_OP_LINEAR_SGD, NULL,
                                      in, n_written + 2);
    if (adam)
        *TLC_ATTRS(fused, tlc_adam_attrs) = *TLC_ATTRS(n, tlc_adam_attrs);
    else
        *TLC_ATTRS(fused, tlc_sgd_attrs) = *TLC_ATTRS(n, tlc_sgd_attrs);
    tlc_rewrite_drop(rw, g);
    tlc_rewrite_drop(rw, n);
    return tlc_node_infer(ctx, fused);
}

/* --- the walk ------------------------------------------------------------------------ */

static int *positions(const tlc_func *f)
{
    int *position = TLC_NEW_ARRAY(&f->module->ctx->arena, int, f->module->n_values), p = 0;
    for (const tlc_node *n = f->first; n; n = n->next, ++p)
        for (int i = 0; i < n->n_out; ++i)
            position[n->out[i]->id] = p;
    return position;
}

static tlc_status fuse_func(tlc_ctx *ctx, tlc_func *f, bool forward)
{
    int *position = positions(f);
    tlc_rewrite rw = tlc_rewrite_begin(f);
    for (tlc_node *n = f->first; n; n = n->next) {
        tlc_rewrite_visit(&rw, n);
        switch (n->op) {
        case TLC_OP_RELU:
        case TLC_OP_CLIP:
            if (forward)
                fuse_activation(&rw, n);
            break;
        case TLC_OP_ADD:
            if (forward)
                fuse_residual(&rw, position, n);
            break;
        case TLC_OP_SGD_UPDATE:
        case TLC_OP_ADAM_UPDATE:
            TLC_TRY(fuse_update(ctx, &rw, n));
            break;
        default:
            break;
        }
    }
    tlc_rewrite_end(&rw);
    return TLC_OK;
}

tlc_status tlc_pass_fuse(tlc_ctx *ctx, tlc_module *m, tlc_pass_env *env)
{
    for (tlc_func *f = m->first_func; f; f = f->next)
        TLC_TRY(fuse_func(ctx, f, !env->options->no_fuse));
    return TLC_OK;
}
