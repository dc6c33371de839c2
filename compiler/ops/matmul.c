/* matmul.c: a[m,k] times b[k,n].  Canonicalise makes linears of those it can. */
#include "op_grad.h"
#include "op_infer.h"

static tlc_status infer(tlc_ctx *ctx, tlc_node *n)
{
    const tlc_value *a = n->in[0], *b = n->in[1];
    TLC_TRY(tlc_want_matrix(ctx, a, "a"));
    TLC_TRY(tlc_want_matrix(ctx, b, "b"));
    TLC_TRY(tlc_want_type(ctx, b, a->type, "b"));
    TLC_TRY(tlc_want_fixed(ctx, b, "b"));
    if (a->shape.dim[1] != b->shape.dim[0])
        return tlc_fail(ctx, TLC_E_MALFORMED, "E_SHAPE", "shapes %s of a and %s of b do not fit",
                        tlc_dims_text(ctx, &a->shape), tlc_dims_text(ctx, &b->shape));
    tlc_set_result(n, a->type, tlc_shape2(a->shape.dim[0], b->shape.dim[1]));
    return TLC_OK;
}

static int64_t cost(const tlc_node *n)
{
    return tlc_shape_elems(&n->out[0]->shape) * n->in[0]->shape.dim[1];
}

/* By a: dy b^T, which is what linear computes; by b: a^T dy, summed over the rows. */
static tlc_status backward(tlc_grad *g, const tlc_node *n)
{
    tlc_value *dy = tlc_grad_of_result(g, n), *a = n->in[0], *b = n->in[1];
    TLC_TRY(tlc_grad_add(g, a, TLC_OP_LINEAR, NULL, (tlc_value *[]){ dy, b }, 2));
    return tlc_grad_add(g, b, TLC_OP_LINEAR_GRAD_W, NULL, (tlc_value *[]){ a, dy }, 2);
}

const tlc_op_def tlc_op_matmul = { .infer = infer, .backward = backward, .cost = cost };
