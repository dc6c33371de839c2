/* dropout.c: keep an element where u >= p, then times 1/(1-p).
 *
 * The mask is never stored: `index` names the random stream, and backward draws it again.
 */
#include "op_attrs.h"
#include "op_grad.h"
#include "op_infer.h"

static const tlc_attr_def attrs[] = {
    TLC_ATTR_FLOAT_ROW(tlc_dropout_attrs, p, 0, 1, "0.5"),
    TLC_ATTR_INT_ROW(tlc_dropout_attrs, index, 0, TLC_ATTR_MOST, "0"),
    TLC_ATTR_END
};

static tlc_status infer(tlc_ctx *ctx, tlc_node *n)
{
    if (TLC_ATTRS(n, tlc_dropout_attrs)->p >= 1)
        return tlc_fail(ctx, TLC_E_MALFORMED, "E_ATTR", "p is 1, less than 1 wanted");
    return tlc_infer_same_float(ctx, n);
}

static tlc_status backward(tlc_grad *g, const tlc_node *n)
{
    tlc_value *dy = tlc_grad_of_result(g, n);
    return tlc_grad_add(g, n->in[0], TLC_OP_DROPOUT_GRAD, n->attrs, &dy, 1);
}

const tlc_op_def tlc_op_dropout = {
    .attrs = attrs,
    .attrs_size = sizeof(tlc_dropout_attrs),
    .infer = infer,
    .backward = backward,
};

const tlc_op_def tlc_op_dropout_grad = {
    .attrs = attrs,
    .attrs_size = sizeof(tlc_dropout_attrs),
    .infer = infer,
};
