/* freeze.c: turn what is not trained into constants.
 *
 * In order: --freeze-backbone freezes what is no parameter of a new head, --freeze-until what
 * nodes before NODE read, then each --freeze and --unfreeze as typed; later ones win.  Without
 * training everything is constant.  Parameters that nothing reads are never trained.
 *
 * Batch norms: --bn says which go by the batch's statistics in training.  Those have running
 * statistics that move: they become parameters that no gradient reaches, which is how later
 * passes know such a batch norm.  Every other batch norm's statistics become constants.
 */
#include "pass_util.h"

#include <fnmatch.h>

typedef struct work {
    tlc_ctx *ctx;
    tlc_module *m;
    tlc_func *f;
    const tlc_options *options;
    bool *frozen; /* by value id */
    bool *moves;  /* by value id: a running statistic that training moves */
    const char **because; /* by value id: the option that decided; NULL: none did */
} work;

static tlc_status matches_nothing(tlc_ctx *ctx, const char *option, const char *what)
{
    return tlc_fail(ctx, TLC_E_USAGE, "E_NO_MATCH", "%s %s matches nothing", option,
                    tlc_quote_name(ctx, what));
}

static void decide_value(work *w, int id, bool frozen, const char *because)
{
    w->frozen[id] = frozen;
    w->because[id] = because;
}

static void freeze_before_id(work *w, int id, const char *because)
{
    for (size_t i = 0; i < w->m->n_globals; ++i)
        if (w->m->globals[i]->id < id)
            decide_value(w, w->m->globals[i]->id, true, because);
}

static tlc_status freeze_until(work *w, const char *name)
{
    const tlc_node *until = tlc_node_by_name(w->f, name);
    if (!until)
        return matches_nothing(w->ctx, "--freeze-until", name);
    const char *shown = tlc_escaped(w->ctx, name);
    const char *before = tlc_arena_printf(&w->ctx->arena, "before %s", shown);
    const char *from = tlc_arena_printf(&w->ctx->arena, "from %s", shown);
    for (size_t i = 0; i < w->m->n_globals; ++i)
        if (!w->frozen[w->m->globals[i]->id])
            w->because[w->m->globals[i]->id] = from;
    for (const tlc_node *n = w->f->first; n != until; n = n->next)
        for (int i = 0; i < n->n_in; ++i)
            if (n->in[i])
                decide_value(w, n->in[i]->id, true, before);
    return TLC_OK;
}

static tlc_status apply_rule(work *w, const tlc_freeze_rule *r)
{
    bool matched = false;
    const char *because =
        tlc_arena_printf(&w->ctx->arena, "%s %s", r->freeze ? "--freeze" : "--unfreeze",
                         tlc_escaped(w->ctx, r->glob));
    for (size_t i = 0; i < w->m->n_globals; ++i) {
        const tlc_value *v = w->m->globals[i];
        if (v->kind != TLC_PARAM || !v->name || fnmatch(r->glob, v->name, 0) != 0)
            continue;
        matched = true;
        decide_value(w, v->id, r->freeze, because);
    }
    return matched ? TLC_OK
                   : matches_nothing(w->ctx, r->freeze ? "--freeze" : "--unfreeze", r->glob);
}

/* --- batch norms -------------------------------------------------------------------- */

enum { BN_SCALE = 1, BN_BIAS, BN_MEAN, BN_VARIANCE }; /* operands of batch_norm */

static bool is_trained(const work *w, const tlc_value *v)
{
    return v->kind == TLC_PARAM && !w->frozen[v->id];
}

/* Does `n` go by the statistics of the batch in training? */
static bool uses_batch(const work *w, const tlc_node *n)
{
    bool trained = is_trained(w, n->in[BN_SCALE]) || is_trained(w, n->in[BN_BIAS]);
    switch (w->options->bn) {
    case TLC_BN_FROZEN:
        return false;
    case TLC_BN_STATS:
        return true;
    default:
        return trained;
    }
}

/* A statistic moves once a step, so it belongs to one batch norm alone. */
static tlc_status move_statistics(work *w, const tlc_node *n)
{
    tlc_at_node(w->ctx, n);
    for (int i = BN_MEAN; i <= BN_VARIANCE; ++i) {
        tlc_value *v = n->in[i];
        if (!tlc_is_global(v) || w->moves[v->id])
            return tlc_fail(w->ctx, TLC_E_UNSUPPORTED, "E_STATISTICS",
                            "two batch norms share running statistics that would move");
        w->moves[v->id] = true;
        v->kind = TLC_PARAM;
    }
    tlc_at(w->ctx, "%s", "");
    return TLC_OK;
}

static tlc_status freeze_batch_norms(work *w, tlc_findings *found)
{
    found->bn_frozen = found->bn_stats = found->bn_train = 0;
    for (const tlc_node *n = w->f->first; n; n = n->next) {
        if (n->op != TLC_OP_BATCH_NORM)
            continue;
        bool trained = is_trained(w, n->in[BN_SCALE]) || is_trained(w, n->in[BN_BIAS]);
        w->frozen[n->in[BN_MEAN]->id] = w->frozen[n->in[BN_VARIANCE]->id] = true;
        if (uses_batch(w, n)) {
            ++*(trained ? &found->bn_train : &found->bn_stats);
            TLC_TRY(move_statistics(w, n));
            continue;
        }
        ++found->bn_frozen;
        for (int i = BN_SCALE; i <= BN_BIAS; ++i)
            if (!w->frozen[n->in[i]->id])
                decide_value(w, n->in[i]->id, true, "--bn frozen");
    }
    return TLC_OK;
}

/* --- deciding -------------------------------------------------------------------------- */

static void freeze_unread(work *w)
{
    const bool *reads = tlc_module_reads(w->m);
    for (int i = 0; i < w->m->n_values; ++i)
        w->frozen[i] |= !reads[i];
}

static tlc_status decide(work *w, tlc_findings *found)
{
    const tlc_options *o = w->options;
    if (!o->train) {
        freeze_before_id(w, w->m->n_values, "inference alone");
        return TLC_OK;
    }
    if (o->freeze_backbone)
        freeze_before_id(w, found->new_from_id, "--freeze-backbone");
    if (o->freeze_until)
        TLC_TRY(freeze_until(w, o->freeze_until));
    for (size_t i = 0; i < o->n_freeze_rules; ++i)
        TLC_TRY(apply_rule(w, &o->freeze_rules[i]));
    TLC_TRY(freeze_batch_norms(w, found));
    freeze_unread(w);
    return TLC_OK;
}

/* A constant has bytes.  A parameter that would start at one number becomes a splat of it;
 * random initial values are made where training starts, so without training there are none. */
static tlc_status give_bytes(tlc_ctx *ctx, tlc_value *v)
{
    if (v->data)
        return TLC_OK;
    if (v->init != TLC_INIT_CONSTANT) {
        (void)tlc_fail(ctx, TLC_E_USAGE, "E_NO_WEIGHTS", "parameter %s is frozen and has no values",
                       tlc_quote_name(ctx, v->name));
        return tlc_hint(ctx, "--weights FILE gives them, --unfreeze trains it");
    }
    float *bytes = TLC_NEW(&ctx->arena, float);
    *bytes = (float)v->init_value;
    v->data = bytes;
    v->splat = true;
    v->init = TLC_INIT_NONE;
    return TLC_OK;
}

static tlc_status apply(work *w, tlc_findings *found)
{
    const char **names = TLC_NEW_ARRAY(&w->ctx->arena, const char *, w->m->n_globals);
    found->n_trained = 0;
    found->params_trained = 0;
    for (size_t i = 0; i < w->m->n_globals; ++i) {
        tlc_value *v = w->m->globals[i];
        if (v->kind != TLC_PARAM)
            continue;
        if (w->frozen[v->id]) {
            TLC_TRY(give_bytes(w->ctx, v));
            v->kind = w->moves[v->id] ? TLC_PARAM : TLC_CONST;
            continue;
        }
        names[found->n_trained++] = tlc_escaped(w->ctx, v->name ? v->name : "");
        found->params_trained += tlc_shape_elems(&v->shape);
    }
    found->trained_names = names;
    return TLC_OK;
}

static bool trains_any(const work *w)
{
    for (size_t i = 0; i < w->m->n_globals; ++i)
        if (is_trained(w, w->m->globals[i]))
            return true;
    return false;
}

tlc_status tlc_pass_freeze(tlc_ctx *ctx, tlc_module *m, tlc_pass_env *env)
{
    work w = { .ctx = ctx, .m = m, .f = tlc_func_find(m, "forward"), .options = env->options };
    w.frozen = TLC_NEW_ARRAY(&ctx->arena, bool, m->n_values);
    w.moves = TLC_NEW_ARRAY(&ctx->arena, bool, m->n_values);
    w.because = TLC_NEW_ARRAY(&ctx->arena, const char *, m->n_values);
    env->findings->because = w.because;
    if (!w.f)
        return TLC_OK;
    TLC_TRY(decide(&w, env->findings));
    if (env->options->train && !trains_any(&w))
        return tlc_fail(ctx, TLC_E_USAGE, "E_NOTHING_LEFT",
                        "everything is frozen, nothing left to train");
    TLC_TRY(apply(&w, env->findings));
    env->facts |= TLC_FACT_FROZEN;
    return TLC_OK;
}
