/* grad.h: what an operator's `backward` may ask and add. */
#ifndef TLC_GRAD_H
#define TLC_GRAD_H

#include "op.h"

typedef struct tlc_grad {
    tlc_ctx *ctx;
    tlc_func *func;
    bool *wanted;         /* by value id: does a trained parameter lie at or below it? */
    tlc_value **adjoint;  /* by value id: gradient summed so far; NULL none yet */
    int n_ids;            /* length of both; ids beyond it were made by the derivation itself */
} tlc_grad;

/* Is the gradient by `v` needed?  NULL (an absent operand) is not. */
bool tlc_grad_wanted(const tlc_grad *g, const tlc_value *v);
/* The gradient by result 0 of `n`. Never NULL inside backward. */
tlc_value *tlc_grad_of_result(const tlc_grad *g, const tlc_node *n);
/* Add `d` to the gradient by `v` (an add node where there is one already). */
TLC_MUST_USE tlc_status tlc_grad_accumulate(tlc_grad *g, tlc_value *v, tlc_value *d);
/* Append a node of `op` over `in` and infer it; attributes copied from `attrs` if not NULL. */
TLC_MUST_USE tlc_status tlc_grad_emit(tlc_grad *g, tlc_op op, const void *attrs,
                                      tlc_value *const *in, int n_in, tlc_value **out);

/**
 * Append the backward pass of `f` to it: reverse walk from `loss` (its gradient is already in
 * g->adjoint by seeding through cross_entropy's backward), asking each operator; nothing is
 * added below the lowest trained parameter.
 *
 * out_grads  by global index of the module: the gradient by that parameter, NULL where there is none.
 * fails      E_UNSUPPORTED: an operator on the way has no gradient (named).
 */
TLC_MUST_USE tlc_status tlc_differentiate(tlc_ctx *ctx, tlc_func *f, tlc_value *loss,
                                          tlc_value ***out_grads);

#endif
