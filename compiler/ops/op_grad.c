/* op_grad.c: the few verbs that backward functions are written in. */
#include "op_grad.h"

#include <assert.h>
#include <string.h>

bool tlc_grad_wanted(const tlc_grad *g, const tlc_value *v)
{
    return v && v->id < g->n_ids && g->wanted[v->id];
}

tlc_value *tlc_grad_of_result(const tlc_grad *g, const tlc_node *n)
{
    assert(n->out[0]->id < g->n_ids);
    return g->adjoint[n->out[0]->id];
}

tlc_status tlc_grad_emit(tlc_grad *g, tlc_op op, const void *attrs, tlc_value *const *in, int n_in,
                         tlc_value **out)
{
    tlc_node *n = tlc_node_add(g->func, NULL, op, NULL, in, n_in);
    if (attrs)
        memcpy(n->attrs, attrs, tlc_ops[op].def->attrs_size);
    TLC_TRY(tlc_node_infer(g->ctx, n));
    *out = n->out[0];
    return TLC_OK;
}

tlc_status tlc_grad_accumulate(tlc_grad *g, tlc_value *v, tlc_value *d)
{
    tlc_value **sum = &g->adjoint[v->id];
    assert(tlc_shape_equal(&v->shape, &d->shape));
    if (!*sum) {
        *sum = d;
        return TLC_OK;
    }
    return tlc_grad_emit(g, TLC_OP_ADD, NULL, (tlc_value *[]){ *sum, d }, 2, sum);
}

tlc_status tlc_grad_add(tlc_grad *g, tlc_value *v, tlc_op op, const void *attrs,
                        tlc_value *const *in, int n_in)
{
    tlc_value *d;
    if (!tlc_grad_wanted(g, v))
        return TLC_OK;
    TLC_TRY(tlc_grad_emit(g, op, attrs, in, n_in, &d));
    return tlc_grad_accumulate(g, v, d);
}
