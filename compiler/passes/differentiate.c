/* differentiate.c: append gradients and the optimizer's updates to @step.
 *
 * The reverse walk is compiler/grad's.  Here each trained parameter gets its optimizer's state,
 * which starts as zero, and one update node at the end of @step: there no other node reads the
 * parameter any more, which is what a write in place needs.
 *
 * --keep-gradients: @step ends with gradients kept in states instead, which add up over the
 * batches of a step, and the updates stand in a function of their own, @update.  Between the two
 * the runtime clips them.
 */
#include "pass_util.h"

#include "grad.h"

typedef struct optimizer_row {
    tlc_op op;
    const char *states[2]; /* endings of their names; NULL: none */
} optimizer_row;

static const optimizer_row optimizers[] = {
    [TLC_ADAM] = { TLC_OP_ADAM_UPDATE, { "m", "v" } },
    [TLC_ADAMW] = { TLC_OP_ADAM_UPDATE, { "m", "v" } },
    [TLC_SGD] = { TLC_OP_SGD_UPDATE, { "momentum", NULL } },
};

typedef struct work {
    tlc_ctx *ctx;
    tlc_func *step, *update; /* the same function where gradients are not kept */
    const tlc_options *o;
    int new_from_id;         /* of the new head's parameters; 0: none */
} work;

/* Where no head is new there is one group. */
static bool is_backbone(const work *w, const tlc_value *param)
{
    return param->id < w->new_from_id;
}

static void set_attrs(const work *w, tlc_node *n)
{
    bool backbone = is_backbone(w, n->in[0]);
    if (n->op == TLC_OP_ADAM_UPDATE)
        *TLC_ATTRS(n, tlc_adam_attrs) =
            (tlc_adam_attrs){ .decoupled = w->o->optimizer == TLC_ADAMW, .backbone = backbone };
    else
        *TLC_ATTRS(n, tlc_sgd_attrs) =
            (tlc_sgd_attrs){ .nesterov = w->o->nesterov, .backbone = backbone };
}

static tlc_value *add_state(const work *w, const tlc_value *param, const char *ending)
{
    const char *name = param->name ? param->name : "";
    return tlc_global_add(w->step->module, TLC_STATE,
                          tlc_arena_printf(&w->ctx->arena, "%s.%s", name, ending), param->type,
                          param->shape);
}

/* The end of @step for one parameter; *grad becomes what @update reads. */
static tlc_status keep_gradient(const work *w, const tlc_value *param, tlc_value **grad)
{
    tlc_value *in[] = { add_state(w, param, "gradient"), *grad };
    tlc_node *n = tlc_node_add(w->step, NULL, TLC_OP_ACCUMULATE, NULL, in, 2);
    TLC_ATTRS(n, tlc_accumulate_attrs)->backbone = is_backbone(w, param);
    *grad = in[0];
    return tlc_node_infer(w->ctx, n);
}

static tlc_status add_update(const work *w, tlc_value *param, tlc_value *grad)
{
    const optimizer_row *row = &optimizers[w->o->optimizer];
    tlc_value *in[4] = { param };
    int n = 1;
    for (int i = 0; i < 2 && row->states[i]; ++i)
        in[n++] = add_state(w, param, row->states[i]);
    if (w->update != w->step)
        TLC_TRY(keep_gradient(w, param, &grad));
    in[n++] = grad;
    tlc_node *update = tlc_node_add(w->update, NULL, row->op, NULL, in, n);
    set_attrs(w, update);
    return tlc_node_infer(w->ctx, update);
}

tlc_status tlc_pass_differentiate(tlc_ctx *ctx, tlc_module *m, tlc_pass_env *env)
{
    tlc_func *f = tlc_func_find(m, "step");
    tlc_value **grads;
    size_t n_params = m->n_globals, updated = 0; /* states are added behind them */
    if (!f)
        return TLC_OK;
    work w = { .ctx = ctx, .step = f, .update = f, .o = env->options,
               .new_from_id = env->findings->new_from_id };
    if (env->options->keep_gradients)
        w.update = tlc_func_add(m, "update");
    TLC_TRY(tlc_differentiate(ctx, f, f->out[0], &grads));
    for (size_t i = 0; i < n_params; ++i) {
        if (m->globals[i]->kind != TLC_PARAM || !grads[i])
            continue;
        TLC_TRY(add_update(&w, m->globals[i], grads[i]));
        ++updated;
    }
    if (!updated)
        return tlc_fail(ctx, TLC_E_USAGE, "E_NOTHING_LEFT",
                        "nothing left to train: no gradient reaches a trained parameter");
    return TLC_OK;
}
