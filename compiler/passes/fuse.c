/* fuse.c: put what rides on a kernel onto the node whose kernel it is.
 *
 *   conv2d + add          the other addend becomes the residual operand
 *   conv2d, linear + relu, clip      the activation becomes an attribute
 *   linear_grad_w, conv2d_grad_w, winograd_grad_w + update      one node that never stores the
 *                         gradient
 *
 * A kernel applies bias, then residual, then activation; nodes are fused in that order alone,
 * and only where the fused value has no other reader.  Values that cross a function's end are
 * returns, which count as readers: nothing is fused across the cut.
 *
 * An update stands behind the last reader of its parameter; joined to the gradient it moves there
 * from the end of @step, so that neither dy nor x has to stay until then.  It is joined where a
 * kernel of the target does both: then the bits are those of the two in turn.
 *
 * --no-fuse leaves every operator alone, so that values can be compared one by one.
 */
#include "pass_util.h"

#include "kernel.h"

#include <string.h>

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

typedef struct joined_row {
    tlc_op grad, sgd, adam;
} joined_row;

static const joined_row joined[] = {
    { TLC_OP_LINEAR_GRAD_W, TLC_OP_LINEAR_SGD, TLC_OP_LINEAR_ADAM },
    { TLC_OP_CONV2D_GRAD_W, TLC_OP_CONV2D_SGD, TLC_OP_CONV2D_ADAM },
    { TLC_OP_WINOGRAD_GRAD_W, TLC_OP_WINOGRAD_SGD, TLC_OP_WINOGRAD_ADAM },
};

enum { MOST_JOINED = 5 }; /* w, m, v, dy, x */

typedef struct walk {
    tlc_ctx *ctx;
    tlc_rewrite rw;
    const tlc_options *options;
    int *position;          /* by value id: of the node that makes it */
    tlc_node **last_reader; /* by id of a global: the last that reads and does not write it */
} walk;

/* The joined operator's attributes: the gradient's, if it has any, and the update's. */
static void set_joined_attrs(tlc_node *fused, const tlc_node *grad, const tlc_node *update)
{
    void *own = fused->attrs;
    if (grad->op == TLC_OP_CONV2D_GRAD_W)
        memcpy(own, grad->attrs, sizeof(tlc_conv2d_grad_attrs)); /* their first member */
    if (fused->op == TLC_OP_CONV2D_SGD)
        own = &TLC_ATTRS(fused, tlc_conv2d_sgd_attrs)->update;
    else if (fused->op == TLC_OP_CONV2D_ADAM)
        own = &TLC_ATTRS(fused, tlc_conv2d_adam_attrs)->update;
    memcpy(own, update->attrs, tlc_ops[update->op].def->attrs_size);
}

/* The node before which parameter `w` may be overwritten with the gradient that `grad` makes. */
static tlc_node *earliest(const walk *w, const tlc_value *param, tlc_node *grad)
{
    tlc_node *reader = w->last_reader[param->id];
    bool later = reader && w->position[reader->out[0]->id] > w->position[grad->out[0]->id];
    return later ? reader->next : grad->next;
}

static tlc_status fuse_update(walk *w, tlc_node *n)
{
    const int n_written = n->n_in - 1;
    tlc_node *g = n->in[n_written]->def;
    const joined_row *row = joined, *end = joined + sizeof joined / sizeof *joined;
    while (row < end && !(g && g->op == row->grad))
        ++row;
    if (row == end || tlc_rewrite_uses(&w->rw, g->out[0]) != 1)
        return TLC_OK;
    tlc_value *in[MOST_JOINED];
    memcpy(in, n->in, (size_t)n_written * sizeof *in);
    memcpy(in + n_written, g->in, (size_t)g->n_in * sizeof *in);
    tlc_node *fused = tlc_rewrite_add(&w->rw, earliest(w, n->in[0], g),
                                      n->op == TLC_OP_ADAM_UPDATE ? row->adam : row->sgd, NULL, in,
                                      n_written + g->n_in);
    set_joined_attrs(fused, g, n);
    TLC_TRY(tlc_node_infer(w->ctx, fused));
    const tlc_kernel *k = tlc_kernel_choose(fused, w->options);
    if (!k || k->target != w->options->target) {
        tlc_rewrite_drop(&w->rw, fused);
        return TLC_OK;
    }
    tlc_rewrite_drop(&w->rw, g);
    tlc_rewrite_drop(&w->rw, n);
    return TLC_OK;
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

static tlc_node **last_readers(const tlc_func *f)
{
    tlc_node **last = TLC_NEW_ARRAY(&f->module->ctx->arena, tlc_node *, f->module->n_values);
    for (tlc_node *n = f->first; n; n = n->next)
        for (int i = 0; i < n->n_in && !tlc_op_has(n->op, TLC_T_WRITES); ++i)
            if (n->in[i] && tlc_is_global(n->in[i]))
                last[n->in[i]->id] = n;
    return last;
}

static tlc_status fuse_func(tlc_ctx *ctx, tlc_func *f, const tlc_options *o)
{
    walk w = { .ctx = ctx, .options = o, .position = positions(f),
               .last_reader = last_readers(f), .rw = tlc_rewrite_begin(f) };
    for (tlc_node *n = f->first; n; n = n->next) {
        tlc_rewrite_visit(&w.rw, n);
        switch (n->op) {
        case TLC_OP_RELU:
        case TLC_OP_CLIP:
            fuse_activation(&w.rw, n);
            break;
        case TLC_OP_ADD:
            fuse_residual(&w.rw, w.position, n);
            break;
        case TLC_OP_SGD_UPDATE:
        case TLC_OP_ADAM_UPDATE:
            TLC_TRY(fuse_update(&w, n));
            break;
        default:
            break;
        }
    }
    tlc_rewrite_end(&w.rw);
    return TLC_OK;
}

tlc_status tlc_pass_fuse(tlc_ctx *ctx, tlc_module *m, tlc_pass_env *env)
{
    for (tlc_func *f = m->first_func; f && !env->options->no_fuse; f = f->next)
        TLC_TRY(fuse_func(ctx, f, env->options));
    return TLC_OK;
}
