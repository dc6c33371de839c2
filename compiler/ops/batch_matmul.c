/* batch_matmul.c: a[..,m,k] times b[..,k,n] for each matrix of the axes before, the batch first.
 *
 * Either may be given transposed, so that the gradients are products too: with y = A B, A and B as
 * they are multiplied, that by A is dy B^T and that by B is A^T dy.
 */
#include "op_attrs.h"
#include "op_grad.h"
#include "op_infer.h"

static const tlc_attr_def attrs[] = {
    TLC_ATTR_BOOL_ROW(tlc_batch_matmul_attrs, trans_a, "false"),
    TLC_ATTR_BOOL_ROW(tlc_batch_matmul_attrs, trans_b, "false"),
    TLC_ATTR_END
};

static tlc_status infer(tlc_ctx *ctx, tlc_node *n)
{
    const tlc_batch_matmul_attrs *t = n->attrs;
    const tlc_value *a = n->in[0], *b = n->in[1];
    int rank = a->shape.rank;
    tlc_shape y = a->shape, want = a->shape;
    TLC_TRY(tlc_want_float(ctx, a, "a"));
    TLC_TRY(tlc_want_type(ctx, b, a->type, "b"));
    if (rank < 3)
        return tlc_fail(ctx, TLC_E_MALFORMED, "E_RANK", "shape of a is %s: rank %d, at least 3",
                        tlc_dims_text(ctx, &a->shape), rank);
    TLC_TRY(tlc_want_rank(ctx, b, rank, "b"));
    int64_t rows = y.dim[rank - 1 - !t->trans_a], inner = y.dim[rank - 1 - t->trans_a];
    int64_t cols = b->shape.dim[rank - 1 - t->trans_b];
    want.dim[rank - 1 - !t->trans_b] = inner;
    want.dim[rank - 1 - t->trans_b] = cols;
    TLC_TRY(tlc_want_shape(ctx, b, &want, "b"));
    y.dim[rank - 2] = rows;
    y.dim[rank - 1] = cols;
    tlc_set_result(n, a->type, y);
    return TLC_OK;
}

static int64_t cost(const tlc_node *n)
{
    const tlc_shape *a = &n->in[0]->shape;
    bool trans_a = TLC_ATTRS(n, tlc_batch_matmul_attrs)->trans_a;
    return tlc_shape_elems(&n->out[0]->shape) * a->dim[a->rank - 1 - trans_a];
}

static tlc_status product(tlc_grad *g, tlc_value *of, tlc_value *a, bool trans_a, tlc_value *b,
                          bool trans_b)
{
    const tlc_batch_matmul_attrs t = { trans_a, trans_b };
    return tlc_grad_add(g, of, TLC_OP_BATCH_MATMUL, &t, (tlc_value *[]){ a, b }, 2);
}

static tlc_status backward(tlc_grad *g, const tlc_node *n)
{
    const tlc_batch_matmul_attrs *t = n->attrs;
    tlc_value *dy = tlc_grad_of_result(g, n), *a = n->in[0], *b = n->in[1];
    TLC_TRY(t->trans_a ? product(g, a, b, t->trans_b, dy, true)
                       : product(g, a, dy, false, b, !t->trans_b));
    return t->trans_b ? product(g, b, dy, true, a, t->trans_a)
                      : product(g, b, a, !t->trans_a, dy, false);
}

const tlc_op_def tlc_op_batch_matmul = {
    .attrs = attrs,
    .attrs_size = sizeof(tlc_batch_matmul_attrs),
    .infer = infer,
    .backward = backward,
    .cost = cost,
};
