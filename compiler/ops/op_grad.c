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
    if (g->at)
        n->gradient_of = tlc_node_label(g->at);
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

tlc_status tlc_grad_accumulate_repeated(tlc_grad *g, tlc_value *v, tlc_value *d)
{
    const tlc_shape *s = &v->shape;
    if (tlc_shape_equal(s, &d->shape))
        return tlc_grad_accumulate(g, v, d);
    if (s->rank == 1 && d->shape.rank == 2 && s->dim[0] == d->shape.dim[1])
        return tlc_grad_add(g, v, TLC_OP_BIAS_GRAD, NULL, &d, 1);
    tlc_reshape_attrs to = { .shape = { .n = s->rank } };
    for (int i = 0; i < s->rank; ++i)
        to.shape.v[i] = s->dim[i];
    return tlc_grad_add(g, v, TLC_OP_SUM_TO, &to, &d, 1);
}

tlc_value *tlc_grad_number(tlc_grad *g, const tlc_value *like, double x)
{
    void *bytes;
    tlc_value *v = tlc_const_make(g->func->module, NULL, like->type, (tlc_shape){ 0 }, &bytes);
    if (like->type == TLC_F64)
        *(double *)bytes = x;
    else
        *(float *)bytes = (float)x;
    return v;
}
