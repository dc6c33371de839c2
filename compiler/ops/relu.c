/* relu.c: max(x, 0).  Backward asks the sign of the result, so x need not be kept. */
#include "op_grad.h"
#include "op_infer.h"

static tlc_status backward(tlc_grad *g, const tlc_node *n)
{
    tlc_value *dy = tlc_grad_of_result(g, n);
    return tlc_grad_add(g, n->in[0], TLC_OP_RELU_GRAD, NULL, (tlc_value *[]){ dy, n->out[0] }, 2);
}

const tlc_op_def tlc_op_relu = { .infer = tlc_infer_same_float, .backward = backward };

static tlc_status infer_grad(tlc_ctx *ctx, tlc_node *n)
{
    TLC_TRY(tlc_infer_same_float(ctx, n));
    return tlc_want_like(ctx, n->in[1], n->in[0], "y");
}

const tlc_op_def tlc_op_relu_grad = { .infer = infer_grad };
