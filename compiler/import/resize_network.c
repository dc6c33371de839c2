/* resize_network.c: another number of classes, another size of input, before weights are given.
 *
 * Only what will be initialised changes its shape: values of one size say nothing about another.
 */
#include "import_util.h"
#include "import.h"

#include <inttypes.h>

static bool has_values(const tlc_value *v)
{
    return v && v->data && !v->splat;
}

static tlc_status refuse(tlc_ctx *ctx, const tlc_node *n, const char *hint)
{
    (void)tlc_fail(ctx, TLC_E_UNSUPPORTED, "E_RESIZE",
                   "layer %s would change its size, and its weights have values",
                   tlc_quote_name(ctx, n->name));
    return tlc_hint(ctx, "%s", hint);
}

/* --- classes ------------------------------------------------------------- */

/* The last linear: from the output back along first operands. */
static tlc_node *find_last_linear(const tlc_func *f)
{
    tlc_node *n = f->n_out ? f->out[0]->def : NULL;
    while (n && n->op != TLC_OP_LINEAR)
        n = n->in[0]->def;
    return n;
}

static tlc_status infer_all(tlc_ctx *ctx, tlc_func *f)
{
    for (tlc_node *n = f->first; n; n = n->next) {
        tlc_at(ctx, "node %s", tlc_quote_name(ctx, n->name));
        TLC_TRY(tlc_node_infer(ctx, n));
    }
    tlc_at(ctx, "%s", "");
    return TLC_OK;
}

tlc_status tlc_set_classes(tlc_ctx *ctx, tlc_module *m, int64_t classes)
{
    tlc_func *f = tlc_func_find(m, "forward");
    tlc_node *n = f ? find_last_linear(f) : NULL;
    if (classes > ctx->limits.max[TLB_LIMIT_CLASSES])
        return tlc_over_limit(ctx, TLB_LIMIT_CLASSES, classes);
    if (!n)
        return tlc_fail(ctx, TLC_E_UNSUPPORTED, "E_NO_HEAD",
                        "--classes: no linear layer leads to the output");
    tlc_value *w = n->in[1], *b = n->n_in > 2 ? n->in[2] : NULL;
    if (classes == w->shape.dim[0])
        return TLC_OK;
    if (has_values(w) || has_values(b))
        return refuse(ctx, n, "--replace-head N puts a new layer in its place");
    w->shape.dim[0] = classes;
    TLC_TRY(tlc_check_shape(ctx, &w->shape, "--classes"));
    if (b)
        b->shape.dim[0] = classes;
    return infer_all(ctx, f);
}

/* --- input --------------------------------------------------------------- */

/* Fan-in of the initial values follows the weight's shape. */
static void resize(tlc_value *w, tlc_value *b, int64_t inputs)
{
    int64_t fan_in = 1;
    w->shape.dim[1] = inputs;
    for (int i = 1; i < w->shape.rank; ++i)
        fan_in *= w->shape.dim[i];
    if (w->init == TLC_INIT_UNIFORM_FAN_IN)
        w->init_value = (double)fan_in;
    if (b && b->init == TLC_INIT_UNIFORM_FAN_IN)
        b->init_value = (double)fan_in;
}

/* Make the weight of a linear or a convolution fit what the layer reads now. */
static tlc_status fit(tlc_ctx *ctx, tlc_node *n)
{
    bool linear = n->op == TLC_OP_LINEAR;
    if (!linear && (n->op != TLC_OP_CONV2D || TLC_ATTRS(n, tlc_conv2d_attrs)->groups != 1))
        return TLC_OK;
    const tlc_shape *x = &n->in[0]->shape;
    tlc_value *w = n->in[1], *b = n->n_in > 2 ? n->in[2] : NULL;
    if (x->rank != w->shape.rank || x->dim[1] == w->shape.dim[1])
        return TLC_OK; /* ranks that do not fit are told by infer */
    if (has_values(w))
        return refuse(ctx, n, "a network without values, such as a built-in one, can change");
    resize(w, b, x->dim[1]);
    return tlc_check_shape(ctx, &w->shape, "--input");
}

bool tlc_channels_last(const tlc_shape *s)
{
    return s->rank == 4 && s->dim[1] != 3 && s->dim[3] == 3;
}

tlc_status tlc_set_input(tlc_ctx *ctx, tlc_module *m, const int64_t chw[3])
{
    tlc_func *f = tlc_func_find(m, "forward");
    if (!f || f->n_in != 1 || f->in[0]->shape.rank != 4)
        return tlc_fail(ctx, TLC_E_UNSUPPORTED, "E_RESIZE",
                        "--input: the network's input is no picture of channels, height, width");
    tlc_shape *s = &f->in[0]->shape;
    bool last = tlc_channels_last(s);
    for (int i = 0; i < 3; ++i)
        s->dim[1 + (last ? (i + 2) % 3 : i)] = chw[i];
    TLC_TRY(tlc_check_shape(ctx, s, "--input"));
    for (tlc_node *n = f->first; n; n = n->next) {
        tlc_at(ctx, "node %s", tlc_quote_name(ctx, n->name));
        TLC_TRY(fit(ctx, n));
        TLC_TRY(tlc_node_infer(ctx, n));
    }
    tlc_at(ctx, "%s", "");
    return TLC_OK;
}
