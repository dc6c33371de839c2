/* split.c: cut @forward into @features and @head, and make @step.
 *
 *     @features(x) -> features            the frozen prefix: a function of one picture
 *     @head(features) -> logits           the rest, for evaluation and inference
 *     @step(features, labels) -> loss, logits     the rest again, dropouts active, with its loss
 *
 * In @step a batch norm whose running statistics move goes by the batch's (batch_norm_train), and
 * they are moved beside it.
 *
 * A node is frozen if it depends on inputs and constants alone and on no random number.  Frozen
 * nodes are put before the others (they depend on none of them); then a cut is a boundary in
 * that list over which exactly one value is alive, so everything after it reads only that.  The
 * last such boundary among the frozen nodes gives the largest prefix.  Without training all is
 * frozen, and the cut stands before the classifier's first linear, so that its features can be had.  Where no
 * boundary serves, @features is left out and @head takes the input.
 */
#include "pass_util.h"

typedef struct work {
    tlc_ctx *ctx;
    tlc_module *m;
    tlc_func *f;
    tlc_node **order;   /* frozen nodes, then the others */
    tlc_value **result; /* by value id, of those nodes */
    int n, n_frozen;
    int cut;             /* nodes before it make the features; 0: no @features */
    tlc_value *features; /* NULL: no @features */
} work;

/* --- what is frozen -------------------------------------------------------------- */

static bool is_frozen_node(const tlc_node *n, const bool *frozen)
{
    if (tlc_op_has(n->op, TLC_T_RANDOM) || tlc_op_has(n->op, TLC_T_WRITES))
        return false;
    for (int i = 0; i < n->n_in; ++i) {
        const tlc_value *v = n->in[i];
        if (!v)
            continue;
        if (tlc_is_global(v) ? v->kind != TLC_CONST : v->kind == TLC_RESULT && !frozen[v->id])
            return false;
    }
    return true;
}

static void order_nodes(work *w)
{
    bool *frozen = TLC_NEW_ARRAY(&w->ctx->arena, bool, w->m->n_values);
    tlc_node **rest = TLC_NEW_ARRAY(&w->ctx->arena, tlc_node *, w->f->n_nodes);
    int n_rest = 0;
    w->order = TLC_NEW_ARRAY(&w->ctx->arena, tlc_node *, w->f->n_nodes);
    for (tlc_node *n = w->f->first; n; n = n->next) {
        if (!is_frozen_node(n, frozen)) {
            rest[n_rest++] = n;
            continue;
        }
        w->order[w->n_frozen++] = n;
        for (int i = 0; i < n->n_out; ++i)
            frozen[n->out[i]->id] = true;
    }
    for (int i = 0; i < n_rest; ++i)
        w->order[w->n_frozen + i] = rest[i];
    w->n = w->n_frozen + n_rest;
    w->result = TLC_NEW_ARRAY(&w->ctx->arena, tlc_value *, w->m->n_values);
    for (int p = 0; p < w->n; ++p)
        for (int i = 0; i < w->order[p]->n_out; ++i)
            w->result[w->order[p]->out[i]->id] = w->order[p]->out[i];
}

/* --- what is alive over each boundary ----------------------------------------------- */

/* Boundary p lies before order[p]; the last one, n, before the return. */
typedef struct boundary {
    int alive;        /* values defined before it and read after it */
    int64_t id_sum;   /* of their ids: where one is alive, its id */
} boundary;

static void add_life(boundary *b, const tlc_value *v, int from, int to)
{
    if (from > to)
        return;
    b[from].alive += 1;
    b[from].id_sum += v->id;
    b[to + 1].alive -= 1;
    b[to + 1].id_sum -= v->id;
}

/* Last reader of each value as a position in the order; -1: none. */
static int *last_reads(const work *w)
{
    int *last = TLC_NEW_ARRAY(&w->ctx->arena, int, w->m->n_values);
    for (int i = 0; i < w->m->n_values; ++i)
        last[i] = -1;
    for (int p = 0; p < w->n; ++p)
        for (int i = 0; i < w->order[p]->n_in; ++i)
            if (w->order[p]->in[i])
                last[w->order[p]->in[i]->id] = p;
    for (size_t i = 0; i < w->f->n_out; ++i)
        last[w->f->out[i]->id] = w->n;
    return last;
}

static boundary *boundaries(const work *w)
{
    const int *last = last_reads(w);
    boundary *b = TLC_NEW_ARRAY(&w->ctx->arena, boundary, w->n + 2);
    for (size_t i = 0; i < w->f->n_in; ++i)
        add_life(b, w->f->in[i], 0, last[w->f->in[i]->id]);
    for (int p = 0; p < w->n; ++p)
        for (int i = 0; i < w->order[p]->n_out; ++i)
            add_life(b, w->order[p]->out[i], p + 1, last[w->order[p]->out[i]->id]);
    for (int p = 1; p <= w->n; ++p) { /* differences to sums */
        b[p].alive += b[p - 1].alive;
        b[p].id_sum += b[p - 1].id_sum;
    }
    return b;
}

/* The value that alone crosses boundary `p` and may be stored as features; NULL: none. */
static tlc_value *sole_value(const work *w, const boundary *b, int p)
{
    if (b[p].alive != 1)
        return NULL;
    tlc_value *v = w->result[b[p].id_sum];
    if (!v || v->type != TLC_F32 || !tlc_shape_has_n(&v->shape))
        return NULL; /* no result: the function's input, nothing lies before the cut */
    return v;
}

/* --- where to cut --------------------------------------------------------------------- */

static const char *node_label(tlc_ctx *ctx, const tlc_node *n)
{
    return n->name ? tlc_escaped(ctx, n->name) : tlc_ops[n->op].name;
}

enum { BN_X, BN_SCALE, BN_BIAS, BN_MEAN, BN_VARIANCE }; /* operands of batch_norm */

static const char *reason(const tlc_node *n)
{
    if (tlc_op_has(n->op, TLC_T_RANDOM))
        return "which is random";
    for (int i = 0; i < n->n_in; ++i) {
        bool statistic = n->op == TLC_OP_BATCH_NORM && i >= BN_MEAN;
        if (n->in[i] && n->in[i]->kind == TLC_PARAM)
            return statistic ? "which goes by the statistics of the batch"
                             : "the first trained layer";
    }
    return "which depends on what is trained";
}

static void cut_for_training(work *w, tlc_findings *found)
{
    const boundary *b = boundaries(w);
    const tlc_node *first = w->n_frozen < w->n ? w->order[w->n_frozen] : NULL;
    for (w->cut = w->n_frozen; w->cut > 0; --w->cut) {
        w->features = sole_value(w, b, w->cut);
        if (w->features)
            break;
    }
    const char *label = first ? node_label(w->ctx, first) : "the output";
    const char *why = first ? reason(first) : "which nothing trained leads to";
    if (!w->features)
        found->cut_because = tlc_arena_printf(
            &w->ctx->arena, "no single frozen value leads to %s, %s", label, why);
    else
        found->cut_because = tlc_arena_printf(
            &w->ctx->arena, w->cut == w->n_frozen ? "ends before %s, %s"
                                                  : "ends where one value leads to %s, %s",
            label, why);
}

/* The first linear layer of the classifier: from the output back through nodes that read one
 * value of rank 2 each.  NULL: there is none. */
static const tlc_node *first_of_classifier(const work *w)
{
    const tlc_node *first = NULL;
    const tlc_value *v = w->f->out[0];
    while (v->def && tlc_is_head_op(v->def)) {
        const tlc_value *x = tlc_single_operand(v->def);
        if (x->shape.rank != 2)
            break;
        if (v->def->op == TLC_OP_LINEAR)
            first = v->def;
        v = x;
    }
    return first;
}

static void cut_for_inference(work *w, tlc_findings *found)
{
    const boundary *b = boundaries(w);
    const tlc_node *first = first_of_classifier(w);
    int p = first ? w->n - 1 : 0;
    while (p > 0 && w->order[p] != first)
        --p;
    tlc_value *v = p > 0 ? sole_value(w, b, p) : NULL;
    if (!v || v != first->in[0]) {
        found->cut_because = "nothing is trained, and no linear layer reads features alone";
        return;
    }
    w->cut = p;
    w->features = v;
    found->cut_because = tlc_arena_printf(&w->ctx->arena, "ends before %s, the classifier",
                                          node_label(w->ctx, first));
}

/* --- the new functions ------------------------------------------------------------------ */

static void clone_inputs(const work *w, tlc_func *to, tlc_value **map)
{
    for (size_t i = 0; i < w->f->n_in; ++i) {
        tlc_value *x = w->f->in[i];
        map[x->id] = tlc_input_add(to, x->name, x->type, x->shape);
    }
}

static bool moves_statistics(const tlc_node *n)
{
    return n->op == TLC_OP_BATCH_NORM && n->in[BN_MEAN]->kind == TLC_PARAM;
}

static tlc_status add_stats(tlc_ctx *ctx, const tlc_node *bn, const tlc_node *train)
{
    tlc_value *in[] = { bn->in[BN_MEAN], bn->in[BN_VARIANCE], train->out[1], train->out[2],
                        train->in[0] };
    tlc_node *n = tlc_node_add(train->func, NULL, TLC_OP_BATCH_NORM_STATS, NULL, in, 5);
    *TLC_ATTRS(n, tlc_batch_norm_attrs) = *TLC_ATTRS(bn, tlc_batch_norm_attrs);
    return tlc_node_infer(ctx, n);
}

static tlc_status clone_batch_norm(tlc_ctx *ctx, tlc_func *to, const tlc_node *n, tlc_value **map)
{
    tlc_value *x = n->in[BN_X];
    tlc_value *in[] = { map[x->id] ? map[x->id] : x, n->in[BN_SCALE], n->in[BN_BIAS] };
    tlc_node *train = tlc_node_add(to, NULL, TLC_OP_BATCH_NORM_TRAIN, n->name, in, 3);
    *TLC_ATTRS(train, tlc_batch_norm_attrs) = *TLC_ATTRS(n, tlc_batch_norm_attrs);
    TLC_TRY(tlc_node_infer(ctx, train));
    train->out[0]->name = n->out[0]->name;
    map[n->out[0]->id] = train->out[0];
    return add_stats(ctx, n, train);
}

static tlc_status clone_nodes(const work *w, tlc_func *to, int from, int end, bool train,
                              tlc_value **map)
{
    for (int p = from; p < end; ++p) {
        const tlc_node *n = w->order[p];
        if (n->op == TLC_OP_DROPOUT && !train) { /* the identity in evaluation */
            map[n->out[0]->id] = map[n->in[0]->id];
            continue;
        }
        if (train && moves_statistics(n))
            TLC_TRY(clone_batch_norm(w->ctx, to, n, map));
        else
            TLC_TRY(tlc_node_clone(w->ctx, to, n, map));
    }
    return TLC_OK;
}

static tlc_value **new_map(const work *w)
{
    return TLC_NEW_ARRAY(&w->ctx->arena, tlc_value *, w->m->n_values);
}

static tlc_status make_features(const work *w)
{
    tlc_func *f = tlc_func_add(w->m, "features");
    tlc_value **map = new_map(w);
    clone_inputs(w, f, map);
    TLC_TRY(clone_nodes(w, f, 0, w->cut, false, map));
    tlc_return_add(f, map[w->features->id]);
    return TLC_OK;
}

/* What lies after the cut, in a new function; *out gets the network's output there. */
static tlc_status make_rest(const work *w, const char *name, bool train, tlc_func **out_func,
                            tlc_value **out)
{
    tlc_func *f = tlc_func_add(w->m, name);
    tlc_value **map = new_map(w);
    if (w->features)
        map[w->features->id] =
            tlc_input_add(f, "features", w->features->type, w->features->shape);
    else
        clone_inputs(w, f, map);
    TLC_TRY(clone_nodes(w, f, w->cut, w->n, train, map));
    const tlc_value *y = w->f->out[0];
    *out_func = f;
    *out = map[y->id] ? map[y->id] : w->f->out[0];
    return TLC_OK;
}

static tlc_status make_head(const work *w)
{
    tlc_func *f;
    tlc_value *logits;
    TLC_TRY(make_rest(w, "head", false, &f, &logits));
    tlc_return_add(f, logits);
    return TLC_OK;
}

static tlc_status make_step(const work *w, const tlc_options *o)
{
    tlc_func *f;
    tlc_value *logits;
    TLC_TRY(make_rest(w, "step", true, &f, &logits));
    if (logits->shape.rank != 2 || !tlc_shape_has_n(&logits->shape))
        return tlc_fail(w->ctx, TLC_E_UNSUPPORTED, "E_LOGITS",
                        "the output is %s; training takes [n, classes]",
                        tlc_type_text(w->ctx, logits));
    tlc_shape labels = tlc_shape_make(1, (int64_t[]){ TLC_DIM_N });
    tlc_value *in[] = { logits, tlc_input_add(f, "labels", TLC_I64, labels) };
    tlc_node *n = tlc_node_add(f, NULL, TLC_OP_CROSS_ENTROPY, NULL, in, 2);
    TLC_ATTRS(n, tlc_loss_attrs)->label_smoothing = o->label_smoothing;
    TLC_TRY(tlc_node_infer(w->ctx, n));
    n->out[0]->name = "loss";
    tlc_return_add(f, n->out[0]);
    tlc_return_add(f, logits);
    return TLC_OK;
}

tlc_status tlc_pass_split(tlc_ctx *ctx, tlc_module *m, tlc_pass_env *env)
{
    work w = { .ctx = ctx, .m = m, .f = tlc_func_find(m, "forward") };
    if (!w.f)
        return TLC_OK;
    if (w.f->n_out != 1)
        return tlc_fail(ctx, TLC_E_UNSUPPORTED, "E_OUTPUTS",
                        "the network has %zu outputs; 1 is served", w.f->n_out);
    tlc_func_prune(w.f);
    order_nodes(&w);
    if (env->options->train)
        cut_for_training(&w, env->findings);
    else
        cut_for_inference(&w, env->findings);
    if (w.features)
        TLC_TRY(make_features(&w));
    TLC_TRY(make_head(&w));
    if (env->options->train)
        TLC_TRY(make_step(&w, env->options));
    tlc_func_remove(m, w.f);
    env->facts |= TLC_FACT_SPLIT;
    return TLC_OK;
}
