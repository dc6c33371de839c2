/* canonicalise.c: one spelling for each thing, so that later passes know one pattern each.
 *
 * A table gives each operator its rule; one forward walk applies them to nodes whose operands
 * have been rewritten already.  A rule may send a node's readers elsewhere, put nodes before
 * it, or change attributes of the node; it keeps the result's shape and, in exact arithmetic,
 * its value.
 *
 * Dropout: an exported one does nothing in inference and goes.  When training, one that lies in
 * the classifier (reached from the output through linear, elementwise and view nodes alone)
 * stays, as in PyTorch, where replacing the last layer keeps the dropout before it.
 */
#include "pass_util.h"

#include <string.h>

typedef struct work {
    tlc_ctx *ctx;
    tlc_module *m;
    tlc_rewrite rw;
    bool *keeps_dropout; /* by value id: results of dropouts in the trained classifier */
} work;

typedef tlc_status rule_fn(work *w, tlc_node *n);

/* --- nodes that do nothing ---------------------------------------------------- */

static tlc_status bypass(work *w, tlc_node *n, tlc_value *x)
{
    if (x->kind == TLC_RESULT && !x->name)
        x->name = n->out[0]->name;
    tlc_rewrite_value(&w->rw, n->out[0], x);
    tlc_rewrite_drop(&w->rw, n);
    return TLC_OK;
}

static tlc_status drop_node(work *w, tlc_node *n)
{
    return bypass(w, n, n->in[0]);
}

static bool same_type(const tlc_value *a, const tlc_value *b)
{
    return a->type == b->type && tlc_shape_equal(&a->shape, &b->shape);
}

static tlc_status drop_if_same_type(work *w, tlc_node *n)
{
    return same_type(n->in[0], n->out[0]) ? drop_node(w, n) : TLC_OK;
}

static tlc_status drop_dropout(work *w, tlc_node *n)
{
    return w->keeps_dropout[n->out[0]->id] ? TLC_OK : drop_node(w, n);
}

static tlc_status drop_single_concat(work *w, tlc_node *n)
{
    return n->n_in == 1 ? drop_node(w, n) : TLC_OK;
}

static tlc_status drop_ordered_transpose(work *w, tlc_node *n)
{
    const tlc_ints *perm = &TLC_ATTRS(n, tlc_perm_attrs)->perm;
    for (int i = 0; i < perm->n; ++i)
        if (perm->v[i] != i)
            return TLC_OK;
    return drop_node(w, n);
}

static tlc_status drop_whole_slice(work *w, tlc_node *n)
{
    const tlc_ints *steps = &TLC_ATTRS(n, tlc_slice_attrs)->steps;
    for (int i = 0; i < steps->n; ++i)
        if (steps->v[i] != 1)
            return TLC_OK;
    return drop_if_same_type(w, n);
}

/* --- views ---------------------------------------------------------------------- */

/* Put a node of `op` in the place of `n`, whose name and readers it takes. */
static tlc_status replace_node(work *w, tlc_node *n, tlc_node *by)
{
    TLC_TRY(tlc_node_infer(w->ctx, by));
    by->out[0]->name = n->out[0]->name;
    tlc_rewrite_value(&w->rw, n->out[0], by->out[0]);
    tlc_rewrite_drop(&w->rw, n);
    return TLC_OK;
}

static bool is_flat_of(const tlc_shape *to, const tlc_shape *from)
{
    return to->rank == 2 && from->rank > 2 && to->dim[0] == from->dim[0];
}

/* A view of a view reads what the first one read; [n, rest] is spelled flatten. */
static tlc_status simplify_view(work *w, tlc_node *n)
{
    tlc_value *x = n->in[0];
    while (x->def && tlc_op_has(x->def->op, TLC_T_VIEW))
        x = x->def->in[0];
    if (same_type(x, n->out[0]))
        return bypass(w, n, x);
    bool flat = n->op == TLC_OP_FLATTEN && TLC_ATTRS(n, tlc_axis_attrs)->axis == 1;
    if (!is_flat_of(&n->out[0]->shape, &x->shape) || (flat && x == n->in[0]))
        return TLC_OK;
    tlc_node *f = tlc_rewrite_add(&w->rw, n, TLC_OP_FLATTEN, n->name, &x, 1);
    TLC_ATTRS(f, tlc_axis_attrs)->axis = 1;
    return replace_node(w, n, f);
}

/* --- linear ----------------------------------------------------------------------- */

enum { F32_BYTES = 4 };

/* A global [cols, rows] with the bytes of `v` [rows, cols] transposed. */
static tlc_value *transposed(work *w, const tlc_value *v)
{
    int64_t rows = v->shape.dim[0], cols = v->shape.dim[1];
    tlc_value *t = tlc_global_reshaped(w->m, v, tlc_shape_make(2, (int64_t[]){ cols, rows }));
    if (v->splat)
        return t;
    char *to = tlc_arena_array(&w->ctx->arena, (size_t)(rows * cols), F32_BYTES);
    const char *from = tlc_data_bytes(&w->ctx->arena, v);
    for (int64_t i = 0; i < rows; ++i)
        for (int64_t j = 0; j < cols; ++j)
            memcpy(to + (j * rows + i) * F32_BYTES, from + (i * cols + j) * F32_BYTES, F32_BYTES);
    t->data = to;
    t->scale = NULL;
    t->file = NULL;
    return t;
}

static tlc_status matmul_to_linear(work *w, tlc_node *n)
{
    const tlc_value *x = n->in[0], *b = n->in[1];
    if (tlc_is_global(x) || x->shape.rank != 2 || b->shape.rank != 2 || !tlc_has_data(b) ||
        b->type != TLC_F32 || tlc_rewrite_uses(&w->rw, b) != 1)
        return TLC_OK; /* a weight read twice stays one global */
    tlc_value *in[] = { n->in[0], transposed(w, b) };
    return replace_node(w, n, tlc_rewrite_add(&w->rw, n, TLC_OP_LINEAR, n->name, in, 2));
}

/* --- bias --------------------------------------------------------------------------- */

/* Does `v` hold one number for each of `channels`, axis 1 of a result of `rank`? */
static bool is_channel_vector(const tlc_value *v, int rank, int64_t channels)
{
    if (!v || (v->kind != TLC_CONST && v->kind != TLC_PARAM) || v->type != TLC_F32 ||
        v->shape.rank > rank)
        return false;
    int at = 1 - (rank - v->shape.rank); /* broadcasting aligns last axes */
    if (at < 0 || v->shape.dim[at] != channels)
        return false;
    return tlc_shape_elems(&v->shape) == channels;
}

/* A linear or convolution that nothing rides on yet, not even a bias. */
static bool is_bare(const tlc_node *p)
{
    if (p->op == TLC_OP_LINEAR && TLC_ATTRS(p, tlc_linear_attrs)->act == TLC_ACT_NONE)
        return p->n_in < 3 || !p->in[2];
    if (p->op == TLC_OP_CONV2D && TLC_ATTRS(p, tlc_conv2d_attrs)->act == TLC_ACT_NONE)
        return (p->n_in < 3 || !p->in[2]) && (p->n_in < 4 || !p->in[3]);
    return false;
}

/* add(linear or conv2d without bias, vector): the vector is its bias. */
static tlc_status add_to_bias(work *w, tlc_node *n)
{
    for (int side = 0; side < 2; ++side) {
        tlc_node *p = n->in[side]->def;
        if (!p || !is_bare(p) || tlc_rewrite_uses(&w->rw, p->out[0]) != 1)
            continue;
        const tlc_value *y = p->out[0], *b = n->in[1 - side];
        int64_t channels = y->shape.dim[1];
        if (!same_type(y, n->out[0]) || !is_channel_vector(b, y->shape.rank, channels) ||
            (b->shape.rank != 1 && tlc_rewrite_uses(&w->rw, b) != 1))
            continue;
        tlc_shape flat = tlc_shape_make(1, &channels);
        tlc_value *bias = b->shape.rank == 1 ? n->in[1 - side] : tlc_global_reshaped(w->m, b, flat);
        tlc_value *in[] = { p->in[0], p->in[1], bias };
        tlc_node *q = tlc_rewrite_add(&w->rw, n, p->op, p->name, in, 3);
        memcpy(q->attrs, p->attrs, tlc_ops[p->op].def->attrs_size);
        tlc_rewrite_drop(&w->rw, p);
        return replace_node(w, n, q);
    }
    return TLC_OK;
}

/* --- padding --------------------------------------------------------------------------- */

/* The pad node of zeros on height and width alone that makes `x` for its one reader. */
static tlc_node *zero_pad_of(work *w, const tlc_value *x)
{
    tlc_node *p = x->def;
    if (!p || p->op != TLC_OP_PAD || x->shape.rank != 4 || tlc_rewrite_uses(&w->rw, x) != 1)
        return NULL;
    const tlc_pad_attrs *a = TLC_ATTRS(p, tlc_pad_attrs);
    if (a->value != 0 || a->pads.n != 8)
        return NULL;
    for (int i = 0; i < 8; ++i)
        if (a->pads.v[i] < 0 || (i % 4 < 2 && a->pads.v[i] != 0))
            return NULL;
    return p;
}

/* pads of ONNX's Pad: n c h w begins, then ends; of a window: top, left, bottom, right. */
static const int window_pad_at[4] = { 2, 3, 6, 7 };

static void merge_pad(work *w, tlc_node *n, tlc_node *pad, tlc_ints *into)
{
    const tlc_ints *pads = &TLC_ATTRS(pad, tlc_pad_attrs)->pads;
    for (int i = 0; i < 4; ++i)
        into->v[i] += pads->v[window_pad_at[i]];
    tlc_rewrite_operand(&w->rw, n, 0, pad->in[0]);
    tlc_rewrite_drop(&w->rw, pad);
}

static tlc_status pad_into_conv(work *w, tlc_node *n)
{
    tlc_node *pad = zero_pad_of(w, n->in[0]);
    if (pad)
        merge_pad(w, n, pad, &TLC_ATTRS(n, tlc_conv2d_attrs)->pad);
    return TLC_OK;
}

static bool all_equal(const tlc_ints *l, int64_t v)
{
    for (int i = 0; i < l->n; ++i)
        if (l->v[i] != v)
            return false;
    return true;
}

/* A mean over windows counts padding that Pad wrote; so only a pool that counts its own, or
 * has none, can take it over; and no operator takes padding as wide as its window. */
static bool pool_takes_pad(const tlc_pool2d_attrs *a, const tlc_node *pad)
{
    const tlc_ints *pads = &TLC_ATTRS(pad, tlc_pad_attrs)->pads;
    if (a->ceil_mode || (!a->count_include_pad && !all_equal(&a->pad, 0)))
        return false;
    for (int i = 0; i < 4; ++i)
        if (a->pad.v[i] + pads->v[window_pad_at[i]] >= a->kernel.v[i % 2])
            return false;
    return true;
}

static bool covers_plane(const tlc_node *n)
{
    const tlc_pool2d_attrs *a = TLC_ATTRS(n, tlc_pool2d_attrs);
    const int64_t *x = n->in[0]->shape.dim, *y = n->out[0]->shape.dim;
    return a->kernel.v[0] == x[2] && a->kernel.v[1] == x[3] && y[2] == 1 && y[3] == 1 &&
           all_equal(&a->pad, 0) && all_equal(&a->dilation, 1);
}

static tlc_status pool_to_mean(work *w, tlc_node *n)
{
    tlc_node *r = tlc_rewrite_add(&w->rw, n, TLC_OP_REDUCE_MEAN, n->name, n->in, 1);
    tlc_axes_attrs *a = TLC_ATTRS(r, tlc_axes_attrs);
    a->axes = (tlc_ints){ .n = 2, .v = { 2, 3 } };
    a->keepdims = true;
    return replace_node(w, n, r);
}

static tlc_status simplify_avg_pool(work *w, tlc_node *n)
{
    tlc_pool2d_attrs *a = TLC_ATTRS(n, tlc_pool2d_attrs);
    if (all_equal(&a->kernel, 1) && all_equal(&a->stride, 1) && all_equal(&a->pad, 0))
        return drop_node(w, n);
    if (covers_plane(n))
        return pool_to_mean(w, n);
    tlc_node *pad = zero_pad_of(w, n->in[0]);
    if (pad && pool_takes_pad(a, pad)) {
        merge_pad(w, n, pad, &a->pad);
        a->count_include_pad = true;
    }
    return TLC_OK;
}

/* --- the walk ---------------------------------------------------------------------------- */

static rule_fn *const rules[TLC_OP_COUNT] = {
    [TLC_OP_IDENTITY] = drop_node,
    [TLC_OP_CAST] = drop_if_same_type,
    [TLC_OP_PAD] = drop_if_same_type,
    [TLC_OP_DROPOUT] = drop_dropout,
    [TLC_OP_CONCAT] = drop_single_concat,
    [TLC_OP_TRANSPOSE] = drop_ordered_transpose,
    [TLC_OP_SLICE] = drop_whole_slice,
    [TLC_OP_FLATTEN] = simplify_view,
    [TLC_OP_RESHAPE] = simplify_view,
    [TLC_OP_SQUEEZE] = simplify_view,
    [TLC_OP_UNSQUEEZE] = simplify_view,
    [TLC_OP_MATMUL] = matmul_to_linear,
    [TLC_OP_ADD] = add_to_bias,
    [TLC_OP_CONV2D] = pad_into_conv,
    [TLC_OP_AVG_POOL2D] = simplify_avg_pool,
};

static void find_kept_dropouts(work *w, const tlc_func *f)
{
    for (size_t i = 0; i < f->n_out; ++i) {
        const tlc_value *v = f->out[i];
        while (v->def && tlc_is_head_op(v->def)) {
            w->keeps_dropout[v->id] = v->def->op == TLC_OP_DROPOUT;
            v = tlc_single_operand(v->def);
        }
    }
}

/* Cross entropy takes logits: a softmax before the return goes. */
static void drop_trailing_softmax(tlc_func *f)
{
    for (size_t i = 0; i < f->n_out; ++i)
        while (f->out[i]->def && f->out[i]->def->op == TLC_OP_SOFTMAX)
            f->out[i] = f->out[i]->def->in[0];
}

static tlc_status canonicalise_func(tlc_ctx *ctx, tlc_func *f, bool train)
{
    work w = { .ctx = ctx, .m = f->module };
    w.keeps_dropout = TLC_NEW_ARRAY(&ctx->arena, bool, f->module->n_values);
    if (train)
        find_kept_dropouts(&w, f);
    w.rw = tlc_rewrite_begin(f);
    for (tlc_node *n = f->first; n; n = n->next) {
        tlc_rewrite_visit(&w.rw, n);
        tlc_at_node(ctx, n);
        if (rules[n->op])
            TLC_TRY(rules[n->op](&w, n));
    }
    tlc_rewrite_end(&w.rw);
    if (train)
        drop_trailing_softmax(f);
    tlc_func_prune(f);
    return TLC_OK;
}

tlc_status tlc_pass_canonicalise(tlc_ctx *ctx, tlc_module *m, tlc_pass_env *env)
{
    for (tlc_func *f = m->first_func; f; f = f->next)
        TLC_TRY(canonicalise_func(ctx, f, env->options->train));
    tlc_globals_prune(m);
    return TLC_OK;
}
