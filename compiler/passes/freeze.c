/* freeze.c: turn what is not trained into constants.
 *
 * In order: --freeze-backbone freezes what is no parameter of a new head, --freeze-until what
 * nodes before NODE read, then each --freeze and --unfreeze as typed; later ones win.  Without
 * training everything is constant.  Statistics of a batch norm and parameters that nothing
 * reads are never trained.
 */
#include "pass_util.h"

#include <fnmatch.h>

typedef struct work {
    tlc_ctx *ctx;
    tlc_module *m;
    tlc_func *f;
    const tlc_options *options;
    bool *frozen; /* by value id */
} work;

static tlc_status matches_nothing(tlc_ctx *ctx, const char *option, const char *what)
{
    return tlc_fail(ctx, TLC_E_USAGE, "E_NO_MATCH", "%s %s matches nothing", option,
                    tlc_quote_name(ctx, what));
}

static void freeze_before_id(work *w, int id)
{
    for (size_t i = 0; i < w->m->n_globals; ++i)
        if (w->m->globals[i]->id < id)
            w->frozen[w->m->globals[i]->id] = true;
}

static tlc_status freeze_until(work *w, const char *name)
{
    const tlc_node *until = tlc_node_by_name(w->f, name);
    if (!until)
        return matches_nothing(w->ctx, "--freeze-until", name);
    for (const tlc_node *n = w->f->first; n != until; n = n->next)
        for (int i = 0; i < n->n_in; ++i)
            if (n->in[i])
                w->frozen[n->in[i]->id] = true;
    return TLC_OK;
}

static tlc_status apply_rule(work *w, const tlc_freeze_rule *r)
{
    bool matched = false;
    for (size_t i = 0; i < w->m->n_globals; ++i) {
        const tlc_value *v = w->m->globals[i];
        if (v->kind != TLC_PARAM || !v->name || fnmatch(r->glob, v->name, 0) != 0)
            continue;
        matched = true;
        w->frozen[v->id] = r->freeze;
    }
    return matched ? TLC_OK
                   : matches_nothing(w->ctx, r->freeze ? "--freeze" : "--unfreeze", r->glob);
}

enum { BN_MEAN = 3, BN_VARIANCE = 4 }; /* operands of batch_norm */

static void freeze_statistics(work *w)
{
    for (const tlc_node *n = w->f->first; n; n = n->next)
        if (n->op == TLC_OP_BATCH_NORM)
            w->frozen[n->in[BN_MEAN]->id] = w->frozen[n->in[BN_VARIANCE]->id] = true;
}

static void freeze_unread(work *w)
{
    const bool *reads = tlc_module_reads(w->m);
    for (int i = 0; i < w->m->n_values; ++i)
        w->frozen[i] |= !reads[i];
}

static tlc_status decide(work *w, const tlc_findings *found)
{
    const tlc_options *o = w->options;
    if (!o->train) {
        freeze_before_id(w, w->m->n_values);
        return TLC_OK;
    }
    if (o->freeze_backbone)
        freeze_before_id(w, found->new_from_id);
    if (o->freeze_until)
        TLC_TRY(freeze_until(w, o->freeze_until));
    for (size_t i = 0; i < o->n_freeze_rules; ++i)
        TLC_TRY(apply_rule(w, &o->freeze_rules[i]));
    freeze_statistics(w);
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
            v->kind = TLC_CONST;
            continue;
        }
        names[found->n_trained++] = tlc_escaped(w->ctx, v->name ? v->name : "");
        found->params_trained += tlc_shape_elems(&v->shape);
    }
    found->trained_names = names;
    return TLC_OK;
}

tlc_status tlc_pass_freeze(tlc_ctx *ctx, tlc_module *m, tlc_pass_env *env)
{
    work w = { .ctx = ctx, .m = m, .f = tlc_func_find(m, "forward"), .options = env->options };
    w.frozen = TLC_NEW_ARRAY(&ctx->arena, bool, m->n_values);
    if (!w.f)
        return TLC_OK;
    TLC_TRY(decide(&w, env->findings));
    TLC_TRY(apply(&w, env->findings));
    if (env->options->train && !env->findings->n_trained)
        return tlc_fail(ctx, TLC_E_USAGE, "E_NOTHING_LEFT",
                        "everything is frozen, nothing left to train");
    env->facts |= TLC_FACT_FROZEN;
    return TLC_OK;
}
