/* transpose.c: axis i of the result is axis perm[i] of x.  The batch stays in front. */
#include "op_attrs.h"
#include "op_fold.h"
#include "op_grad.h"
#include "op_infer.h"

static const tlc_attr_def attrs[] = {
    TLC_ATTR_INTS_ROW(tlc_perm_attrs, perm, 0, TLC_MAX_RANK - 1, -1, NULL),
    TLC_ATTR_END
};

static tlc_status infer(tlc_ctx *ctx, tlc_node *n)
{
    const tlc_ints *perm = &TLC_ATTRS(n, tlc_perm_attrs)->perm;
    const tlc_shape *x = &n->in[0]->shape;
    tlc_shape y = { .rank = x->rank };
    if (perm->n != x->rank)
        return tlc_fail(ctx, TLC_E_MALFORMED, "E_ATTR", "perm has %d numbers, %d wanted", perm->n,
                        x->rank);
    TLC_TRY(tlc_want_axes(ctx, perm, x->rank, "perm"));
    if (tlc_shape_has_n(x) && perm->v[0] != 0)
        return tlc_fail_batch(ctx, "transpose would move");
    for (int i = 0; i < y.rank; ++i)
        y.dim[i] = x->dim[perm->v[i]];
    tlc_set_result(n, n->in[0]->type, y);
    return TLC_OK;
}

static tlc_status fold(tlc_ctx *ctx, const tlc_node *n, tlc_value **out)
{
    const tlc_ints *perm = &TLC_ATTRS(n, tlc_perm_attrs)->perm;
    int64_t own[TLC_MAX_RANK], stride[TLC_MAX_RANK];
    tlc_row_strides(&n->in[0]->shape, own);
    for (int i = 0; i < perm->n; ++i)
        stride[i] = own[perm->v[i]];
    return tlc_fold_strided(ctx, n, 0, stride, out);
}

/* The gradient goes back by the inverse permutation. */
static tlc_status backward(tlc_grad *g, const tlc_node *n)
{
    const tlc_ints *perm = &TLC_ATTRS(n, tlc_perm_attrs)->perm;
    tlc_value *dy = tlc_grad_of_result(g, n);
    tlc_perm_attrs back = { .perm.n = perm->n };
    for (int i = 0; i < perm->n; ++i)
        back.perm.v[perm->v[i]] = i;
    return tlc_grad_add(g, n->in[0], TLC_OP_TRANSPOSE, &back, &dy, 1);
}

const tlc_op_def tlc_op_transpose = {
    .attrs = attrs,
    .attrs_size = sizeof(tlc_perm_attrs),
    .infer = infer,
    .fold = fold,
    .backward = backward,
};
