/* replace_head.c: cut the classifier off and put a new one in its place.
 *
 * The classifier is found from the output back, through linear, softmax, elementwise and view
 * nodes that read one value each:
 *   - for a number of classes, the last linear alone is replaced (and what follows it: the new
 *     one gives logits);
 *   - for a list of layers, everything from the first value of rank 2 on, the features.
 * Where a 1x1 convolution classifies instead (SqueezeNet: convolution, relu, mean over the
 * plane), the new head reads the mean of what that convolution read.
 * --head NODE overrides: everything from that node on goes.
 *
 * New parameters take the names that PyTorch would give them: those of the layer replaced, or
 * of a Sequential of the same name that counts every layer of the list.  Their initial values
 * are PyTorch's default of a linear layer.
 *
 * Whether or not a head is replaced, dropouts are numbered here: an index is the position in
 * the graph as it is now, and later pruning does not change it.
 */
#include "pass_util.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* --- what the option says -------------------------------------------------------- */

typedef struct layer {
    tlc_op op;   /* linear, relu, dropout */
    int64_t out; /* of a linear */
    double p;    /* of a dropout */
} layer;

typedef struct head_spec {
    layer *layers;
    size_t n, cap;
} head_spec;

enum { LEAST_CLASSES = 2 };

static const char vgg_layers[] = "4096,relu,dropout=0.5,4096,relu,dropout=0.5,2";

static bool is_digits(const char *s)
{
    return *s && strspn(s, "0123456789") == strlen(s);
}

/* A layer's width: `least` at least, over `limit` is a limit error. */
static tlc_status parse_width(tlc_ctx *ctx, const char *text, int64_t least, tlb_limit limit,
                              int64_t *out)
{
    if (!is_digits(text))
        return tlc_fail(ctx, TLC_E_USAGE, "E_HEAD",
                        "--replace-head %s: a whole number is wanted, at least %lld",
                        tlc_quote_name(ctx, text), (long long)least);
    errno = 0;
    long long v = strtoll(text, NULL, 10);
    if (v < least)
        return tlc_fail(ctx, TLC_E_USAGE, "E_HEAD", "--replace-head %lld, at least %lld", v,
                        (long long)least);
    if (errno == ERANGE || v > ctx->limits.max[limit])
        return tlc_fail(ctx, TLC_E_LIMIT, "E_LIMIT", "--replace-head %s, limit %s is %lld", text,
                        tlb_limit_name(limit), (long long)ctx->limits.max[limit]);
    *out = v;
    return TLC_OK;
}

static tlc_status parse_dropout(tlc_ctx *ctx, const char *text, layer *out)
{
    char *end = NULL;
    out->op = TLC_OP_DROPOUT;
    out->p = strtod(text, &end);
    if (*text && !*end && out->p >= 0 && out->p < 1)
        return TLC_OK;
    return tlc_fail(ctx, TLC_E_USAGE, "E_HEAD", "--replace-head: dropout=%s, from 0 to below 1",
                    tlc_quote_name(ctx, text));
}

static tlc_status parse_layer(tlc_ctx *ctx, const char *text, bool last, layer *out)
{
    static const char dropout[] = "dropout=";
    if (!last && strcmp(text, "relu") == 0) {
        out->op = TLC_OP_RELU;
        return TLC_OK;
    }
    if (!last && strncmp(text, dropout, sizeof dropout - 1) == 0)
        return parse_dropout(ctx, text + sizeof dropout - 1, out);
    out->op = TLC_OP_LINEAR;
    return last ? parse_width(ctx, text, LEAST_CLASSES, TLB_LIMIT_CLASSES, &out->out)
                : parse_width(ctx, text, 1, TLB_LIMIT_DIM, &out->out);
}

static tlc_status parse_spec(tlc_ctx *ctx, const char *text, head_spec *spec)
{
    if (strcmp(text, "vgg") == 0)
        text = vgg_layers;
    for (const char *at = text; at;) {
        const char *comma = strchr(at, ',');
        size_t len = comma ? (size_t)(comma - at) : strlen(at);
        layer l = { 0 };
        TLC_TRY(parse_layer(ctx, tlc_arena_strndup(&ctx->arena, at, len), !comma, &l));
        TLC_PUSH(&ctx->arena, spec->layers, spec->n, spec->cap, l);
        at = comma ? comma + 1 : NULL;
    }
    return TLC_OK;
}

/* --- where the head begins ---------------------------------------------------------- */

typedef struct cut {
    tlc_value *features; /* what the new head reads */
    tlc_node *node;      /* the first node that goes */
    tlc_value *old_out;  /* its result or, of several layers, the function's */
    bool pool;           /* features are maps, and the new head reads their means */
} cut;

static tlc_status no_head(tlc_ctx *ctx)
{
    (void)tlc_fail(ctx, TLC_E_UNSUPPORTED, "E_NO_HEAD",
                   "no linear layer leads to the output through elementwise nodes alone");
    return tlc_hint(ctx, "--head NODE says where the head begins");
}

/* A convolution that is a linear layer of every pixel. */
static bool is_pixelwise(const tlc_node *n)
{
    if (n->op != TLC_OP_CONV2D)
        return false;
    const tlc_conv2d_attrs *a = TLC_ATTRS(n, tlc_conv2d_attrs);
    const int64_t *k = n->in[1]->shape.dim;
    bool padded = a->pad.v[0] || a->pad.v[1] || a->pad.v[2] || a->pad.v[3];
    return k[2] == 1 && k[3] == 1 && a->stride.v[0] == 1 && a->stride.v[1] == 1 &&
           a->groups == 1 && !padded;
}

/* A mean over whole planes, written either way. */
static bool is_plane_mean(const tlc_node *n)
{
    if (n->op == TLC_OP_AVG_POOL2D)
        return n->out[0]->shape.dim[2] == 1 && n->out[0]->shape.dim[3] == 1;
    if (n->op != TLC_OP_REDUCE_MEAN || n->in[0]->shape.rank != 4)
        return false;
    const tlc_ints *axes = &TLC_ATTRS(n, tlc_axes_attrs)->axes;
    return axes->n == 2 && axes->v[0] + axes->v[1] == 5 && axes->v[0] >= 2 && axes->v[1] >= 2;
}

/* From the output back through elementwise nodes, views and a mean to a 1x1 convolution. */
static bool find_conv_head(tlc_func *f, cut *out)
{
    tlc_node *n = f->out[0]->def;
    while (n && !is_pixelwise(n)) {
        if (n->op == TLC_OP_LINEAR || (!tlc_is_head_op(n) && !is_plane_mean(n)))
            return false;
        n = tlc_single_operand(n)->def;
    }
    if (!n)
        return false;
    *out = (cut){ .features = n->in[0], .node = n, .old_out = f->out[0], .pool = true };
    return true;
}

/* The chain of head nodes from the output back; stops at the first value that is not of rank 2. */
static tlc_status find_head(tlc_ctx *ctx, tlc_func *f, bool last_linear_alone, cut *out)
{
    tlc_value *v = f->out[0];
    bool has_linear = false;
    while (v->def && tlc_is_head_op(v->def)) {
        tlc_node *n = v->def;
        tlc_value *x = tlc_single_operand(n);
        if (x->shape.rank != 2)
            break;
        has_linear |= n->op == TLC_OP_LINEAR;
        *out = (cut){ .features = x, .node = n, .old_out = f->out[0] };
        if (n->op == TLC_OP_LINEAR && last_linear_alone)
            break;
        v = x;
    }
    return has_linear || find_conv_head(f, out) ? TLC_OK : no_head(ctx);
}

static tlc_status named_head(tlc_ctx *ctx, tlc_func *f, const char *name, cut *out)
{
    tlc_node *n = tlc_node_by_name(f, name);
    if (!n)
        return tlc_fail(ctx, TLC_E_USAGE, "E_NO_MATCH", "--head %s matches nothing",
                        tlc_quote_name(ctx, name));
    tlc_value *x = tlc_single_operand(n);
    if (!x || x->shape.rank < 2 || !tlc_shape_has_n(&x->shape))
        return tlc_fail(ctx, TLC_E_USAGE, "E_HEAD",
                        "--head %s: a head begins at a node that reads one value of the batch",
                        tlc_quote_name(ctx, name));
    *out = (cut){ .features = x, .node = n, .old_out = f->out[0] };
    return TLC_OK;
}

static tlc_status find_cut(tlc_ctx *ctx, tlc_func *f, const char *head, bool single, cut *out)
{
    if (f->n_out != 1)
        return tlc_fail(ctx, TLC_E_UNSUPPORTED, "E_OUTPUTS",
                        "the network has %zu outputs; a head is replaced where there is 1",
                        f->n_out);
    return head ? named_head(ctx, f, head, out) : find_head(ctx, f, single, out);
}

/* --- names of the new parameters -------------------------------------------------------- */

/* Does `name` begin with the component, "classifier" of "classifier.0.weight"? */
static size_t component_len(const char *name)
{
    const char *dot = strchr(name, '.');
    return dot ? (size_t)(dot - name) : 0;
}

/* The first path component that all parameters marked in `gone` share; NULL: none. */
static const char *common_component(tlc_ctx *ctx, const tlc_module *m, const bool *before,
                                    const bool *after)
{
    const char *first = NULL;
    size_t len = 0;
    for (size_t i = 0; i < m->n_globals; ++i) {
        const tlc_value *v = m->globals[i];
        if (!before[v->id] || after[v->id] || !v->name || !tlc_is_float(v->type))
            continue;
        if (!first) {
            first = v->name;
            len = component_len(first);
        }
        if (!len || component_len(v->name) != len || strncmp(v->name, first, len) != 0)
            return NULL;
    }
    return first ? tlc_arena_strndup(&ctx->arena, first, len) : NULL;
}

/* "fc" of a linear (or of a convolution that stood for one) whose weight is fc.weight. */
static const char *linear_stem(tlc_ctx *ctx, const tlc_node *n)
{
    bool weighted = n->op == TLC_OP_LINEAR || n->op == TLC_OP_CONV2D;
    return weighted ? tlc_name_stem(ctx, n->in[1]->name, "weight") : NULL;
}

static bool is_taken(const tlc_module *m, const char *stem)
{
    size_t len = strlen(stem);
    for (size_t i = 0; i < m->n_globals; ++i) {
        const char *name = m->globals[i]->name;
        if (name && strncmp(name, stem, len) == 0 && name[len] == '.')
            return true;
    }
    return false;
}

/* `stem`, or it with a number where parameters that stay are named so. */
static const char *free_stem(tlc_module *m, const char *stem)
{
    const char *s = stem;
    for (int i = 2; is_taken(m, s); ++i)
        s = tlc_arena_printf(&m->ctx->arena, "%s_%d", stem, i);
    return s;
}

/* --- building ----------------------------------------------------------------------------- */

static tlc_value *new_param(tlc_module *m, const char *stem, const char *what, tlc_shape shape,
                            int64_t fan_in)
{
    const char *name = tlc_arena_printf(&m->ctx->arena, "%s.%s", stem, what);
    tlc_value *v = tlc_global_add(m, TLC_PARAM, name, TLC_F32, shape);
    v->init = TLC_INIT_UNIFORM_FAN_IN;
    v->init_value = (double)fan_in;
    return v;
}

static tlc_status add_linear(tlc_ctx *ctx, tlc_func *f, const char *stem, int64_t out,
                             tlc_value **x)
{
    int64_t in = (*x)->shape.dim[1];
    tlc_shape weight = tlc_shape_make(2, (int64_t[]){ out, in });
    TLC_TRY(tlc_check_shape(ctx, &weight, "--replace-head"));
    tlc_value *operands[] = {
        *x,
        new_param(f->module, stem, "weight", weight, in),
        new_param(f->module, stem, "bias", tlc_shape_make(1, &out), in),
    };
    tlc_node *n = tlc_node_add(f, NULL, TLC_OP_LINEAR, stem, operands, 3);
    TLC_TRY(tlc_node_infer(ctx, n));
    *x = n->out[0];
    return TLC_OK;
}

static tlc_status add_layer(tlc_ctx *ctx, tlc_func *f, const char *stem, const layer *l,
                            tlc_value **x)
{
    if (l->op == TLC_OP_LINEAR)
        return add_linear(ctx, f, stem, l->out, x);
    tlc_node *n = tlc_node_add(f, NULL, l->op, stem, x, 1);
    if (l->op == TLC_OP_DROPOUT)
        TLC_ATTRS(n, tlc_dropout_attrs)->p = l->p;
    TLC_TRY(tlc_node_infer(ctx, n));
    *x = n->out[0];
    return TLC_OK;
}

static tlc_status flatten_features(tlc_ctx *ctx, tlc_func *f, tlc_value **x)
{
    if ((*x)->shape.rank == 2)
        return TLC_OK;
    tlc_node *n = tlc_node_add(f, NULL, TLC_OP_FLATTEN, NULL, x, 1);
    TLC_ATTRS(n, tlc_axis_attrs)->axis = 1;
    TLC_TRY(tlc_node_infer(ctx, n));
    *x = n->out[0];
    return TLC_OK;
}

static tlc_status pool_features(tlc_ctx *ctx, tlc_func *f, tlc_value **x)
{
    tlc_node *n = tlc_node_add(f, NULL, TLC_OP_REDUCE_MEAN, NULL, x, 1);
    tlc_axes_attrs *a = n->attrs;
    a->axes = (tlc_ints){ .n = 2, .v = { 2, 3 } };
    a->keepdims = false;
    TLC_TRY(tlc_node_infer(ctx, n));
    *x = n->out[0];
    return TLC_OK;
}

static tlc_status build_head(tlc_ctx *ctx, tlc_func *f, const head_spec *spec, const char *stem,
                             const cut *c)
{
    tlc_value *x = f->out[0];
    if (c->pool)
        TLC_TRY(pool_features(ctx, f, &x));
    TLC_TRY(flatten_features(ctx, f, &x));
    for (size_t i = 0; i < spec->n; ++i) {
        const char *name =
            spec->n == 1 ? stem : tlc_arena_printf(&ctx->arena, "%s.%zu", stem, i);
        TLC_TRY(add_layer(ctx, f, name, &spec->layers[i], &x));
    }
    x->name = c->old_out->name;
    f->out[0] = x;
    return TLC_OK;
}

static void report(tlc_ctx *ctx, const cut *c, tlc_findings *found)
{
    const char *name = c->node->name;
    found->head_node = tlc_escaped(ctx, name ? name : tlc_ops[c->node->op].name);
    found->head_in = c->features->shape;
    found->head_out_old = c->old_out->shape;
}

static tlc_status replace(tlc_ctx *ctx, tlc_func *f, const tlc_options *o, tlc_findings *found)
{
    tlc_module *m = f->module;
    head_spec spec = { 0 };
    cut c = { 0 };
    TLC_TRY(parse_spec(ctx, o->replace_head, &spec));
    TLC_TRY(find_cut(ctx, f, o->head, spec.n == 1, &c));
    report(ctx, &c, found);
    const bool *before = tlc_module_reads(m);
    f->out[0] = c.features;
    tlc_func_prune(f);
    const bool *after = tlc_module_reads(m);
    const char *stem = spec.n == 1 ? linear_stem(ctx, c.node) : NULL;
    if (!stem)
        stem = common_component(ctx, m, before, after);
    tlc_globals_prune(m);
    found->new_from_id = m->n_values;
    return build_head(ctx, f, &spec, free_stem(m, stem ? stem : "classifier"), &c);
}

static void number_dropouts(tlc_func *f)
{
    int64_t index = 0;
    for (tlc_node *n = f->first; n; n = n->next)
        if (n->op == TLC_OP_DROPOUT)
            TLC_ATTRS(n, tlc_dropout_attrs)->index = index++;
}

tlc_status tlc_pass_replace_head(tlc_ctx *ctx, tlc_module *m, tlc_pass_env *env)
{
    tlc_func *f = tlc_func_find(m, "forward");
    if (!f)
        return TLC_OK;
    if (env->options->replace_head)
        TLC_TRY(replace(ctx, f, env->options, env->findings));
    number_dropouts(f);
    return TLC_OK;
}
