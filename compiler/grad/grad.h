/* grad.h: the backward pass of a function.  What an operator's `backward` may ask and add is
 * op_grad.h, beside the operators. */
#ifndef TLC_GRAD_H
#define TLC_GRAD_H

#include "op_grad.h"

/**
 * Append the backward pass of `f` to it: reverse walk from `loss` (a cross_entropy, whose
 * backward starts the sums), asking each operator; nothing is added below the lowest trained
 * parameter.
 *
 * out_grads  by global index of the module: the gradient by that parameter, NULL where there
 *            is none.
 * fails      E_UNSUPPORTED: the loss is no cross_entropy, or an operator on the way has no
 *            gradient (named).
 */
TLC_MUST_USE tlc_status tlc_differentiate(tlc_ctx *ctx, tlc_func *f, tlc_value *loss,
                                          tlc_value ***out_grads);

#endif
