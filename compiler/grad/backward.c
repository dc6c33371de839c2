/* backward.c: reverse-mode differentiation of a function, once, at compile time.
 *
 * Two walks.  Forwards: a value is wanted if a trained parameter lies at or below it.
 * Backwards from the loss: each node whose result has a gradient hands it on to its wanted
 * operands.  The nodes' order is a topological one, so when the walk comes to a node, every
 * reader of its result has already added its share.
 *
 * Invariant: gradients are only ever made for wanted values, so nothing is computed below the
 * lowest trained parameter.
 */
#include "grad.h"

static void mark_wanted(tlc_grad *g)
{
    const tlc_module *m = g->func->module;
    for (size_t i = 0; i < m->n_globals; ++i)
        g->wanted[m->globals[i]->id] = m->globals[i]->kind == TLC_PARAM;
    for (const tlc_node *n = g->func->first; n; n = n->next)
        for (int i = 0; i < n->n_in; ++i)
            if (tlc_grad_wanted(g, n->in[i]))
                for (int k = 0; k < n->n_out; ++k)
                    g->wanted[n->out[k]->id] = true;
}

static tlc_status ask(tlc_grad *g, const tlc_node *n)
{
    const tlc_op_row *row = &tlc_ops[n->op];
    g->at = n;
    if (row->def->backward)
        return row->def->backward(g, n);
    const char *name = n->name ? tlc_quote_name(g->ctx, n->name) : "made by the compiler";
    tlc_fail(g->ctx, TLC_E_UNSUPPORTED, "E_GRADIENT",
             "%s (%s) has no gradient, and what is trained lies before it", row->name, name);
    return tlc_hint(g->ctx, "freeze up to it: --freeze-until, --freeze-backbone");
}

/* From the loss's own node to the first; what backward appends lies behind the loss. */
static tlc_status walk(tlc_grad *g, const tlc_value *loss)
{
    for (const tlc_node *n = loss->def; n; n = n->prev) {
        bool has_gradient = n == loss->def || (n->n_out > 0 && tlc_grad_of_result(g, n));
        if (has_gradient && tlc_grad_wanted(g, n->out[0]))
            TLC_TRY(ask(g, n));
    }
    return TLC_OK;
}

static tlc_value **collect(const tlc_grad *g)
{
    const tlc_module *m = g->func->module;
    tlc_value **grads = TLC_NEW_ARRAY(&g->ctx->arena, tlc_value *, m->n_globals);
    for (size_t i = 0; i < m->n_globals; ++i)
        if (m->globals[i]->kind == TLC_PARAM)
            grads[i] = g->adjoint[m->globals[i]->id];
    return grads;
}

tlc_status tlc_differentiate(tlc_ctx *ctx, tlc_func *f, tlc_value *loss, tlc_value ***out_grads)
{
    int n_ids = f->module->n_values;
    tlc_grad g = {
        .ctx = ctx,
        .func = f,
        .wanted = TLC_NEW_ARRAY(&ctx->arena, bool, n_ids),
        .adjoint = TLC_NEW_ARRAY(&ctx->arena, tlc_value *, n_ids),
        .n_ids = n_ids,
    };
    if (!loss->def || loss->def->op != TLC_OP_CROSS_ENTROPY)
        return tlc_fail(ctx, TLC_E_UNSUPPORTED, "E_GRADIENT",
                        "the loss is %s, cross_entropy wanted",
                        loss->def ? tlc_ops[loss->def->op].name : "no result of an operator");
    mark_wanted(&g);
    TLC_TRY(walk(&g, loss));
    *out_grads = collect(&g);
    return TLC_OK;
}
