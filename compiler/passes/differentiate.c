/* differentiate.c: append gradients and the optimizer's updates to @step.
 *
 * The reverse walk is compiler/grad's.  Here each trained parameter gets its optimizer's state,
 * which starts as zero, and one update node at the end of @step: there no other node reads the
 * parameter any more, which is what a write in place needs.
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

static void set_attrs(tlc_node *n, const tlc_options *o)
{
    if (n->op == TLC_OP_ADAM_UPDATE)
        TLC_ATTRS(n, tlc_adam_attrs)->decoupled = o->optimizer == TLC_ADAMW;
    else
        TLC_ATTRS(n, tlc_sgd_attrs)->nesterov = o->nesterov;
}

static tlc_status add_update(tlc_ctx *ctx, tlc_func *f, const tlc_options *o, tlc_value *param,
                             tlc_value *grad)
{
    const optimizer_row *row = &optimizers[o->optimizer];
    tlc_value *in[4] = { param };
    int n = 1;
    for (int i = 0; i < 2 && row->states[i]; ++i) {
        const char *name = param->name ? param->name : "";
        in[n++] = tlc_global_add(f->module, TLC_STATE,
                                 tlc_arena_printf(&ctx->arena, "%s.%s", name, row->states[i]),
                                 param->type, param->shape);
    }
    in[n++] = grad;
    tlc_node *update = tlc_node_add(f, NULL, row->op, NULL, in, n);
    set_attrs(update, o);
    return tlc_node_infer(ctx, update);
}

tlc_status tlc_pass_differentiate(tlc_ctx *ctx, tlc_module *m, tlc_pass_env *env)
{
    tlc_func *f = tlc_func_find(m, "step");
    tlc_value **grads;
    size_t n_params = m->n_globals, updated = 0; /* states are added behind them */
    if (!f)
        return TLC_OK;
    TLC_TRY(tlc_differentiate(ctx, f, f->out[0], &grads));
    for (size_t i = 0; i < n_params; ++i) {
        if (m->globals[i]->kind != TLC_PARAM || !grads[i])
            continue;
        TLC_TRY(add_update(ctx, f, env->options, m->globals[i], grads[i]));
        ++updated;
    }
    if (!updated)
        return tlc_fail(ctx, TLC_E_USAGE, "E_NOTHING_LEFT",
                        "nothing left to train: no gradient reaches a trained parameter");
    return TLC_OK;
}
