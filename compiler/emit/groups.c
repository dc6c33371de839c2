/* groups.c: what of a function serves the training of the backbone alone.
 *
 * A step may leave the backbone's parameters as they are (trainer train --head-epochs); then
 * their updates do not run, nor the gradients that only they want.
 */
#include "emit_parts.h"

static bool trains_backbone(const tlc_func *f)
{
    for (const tlc_node *n = f->first; n; n = n->next)
        if (tlc_trains_backbone(n))
            return true;
    return false;
}

/* By value id: does anything else want it? */
static bool *wanted_values(const tlc_emission *e, const tlc_func *f)
{
    bool *wanted = TLC_NEW_ARRAY(&e->ctx->arena, bool, e->m->n_values);
    for (size_t i = 0; i < f->n_out; ++i)
        wanted[f->out[i]->id] = true;
    for (const tlc_node *n = f->last; n; n = n->prev) {
        bool runs = tlc_op_has(n->op, TLC_T_WRITES) && !tlc_trains_backbone(n);
        for (int i = 0; i < n->n_out; ++i)
            runs |= wanted[n->out[i]->id];
        for (int i = 0; runs && i < n->n_in; ++i)
            if (n->in[i])
                wanted[n->in[i]->id] = true;
    }
    return wanted;
}

const bool *tlc_emit_backbone_part(const tlc_emission *e, const tlc_func *f)
{
    bool *part = TLC_NEW_ARRAY(&e->ctx->arena, bool, f->n_nodes + 1);
    if (!trains_backbone(f))
        return part;
    const bool *wanted = wanted_values(e, f);
    int at = 0;
    for (const tlc_node *n = f->first; n; n = n->next, ++at) {
        part[at] = n->n_out > 0 || tlc_trains_backbone(n);
        for (int i = 0; i < n->n_out; ++i)
            part[at] &= !wanted[n->out[i]->id];
    }
    return part;
}
