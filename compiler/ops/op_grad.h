/* op_grad.h: what an operator's `backward` may ask and add.
 *
 * Backward is given the gradient by the operator's result and adds, for each operand whose
 * gradient is wanted, the nodes that compute it, at the end of the function:
 *
 *     static tlc_status backward(tlc_grad *g, const tlc_node *n)
 *     {
 *         tlc_value *dy = tlc_grad_of_result(g, n);
 *         return tlc_grad_add(g, n->in[0], TLC_OP_RELU_GRAD, NULL,
 *                             (tlc_value *[]){ dy, n->out[0] }, 2);
 *     }
 *
 * An operator with several operands makes one such call for each; one that needs more than
 * one node for a gradient asks tlc_grad_wanted, emits them, and accumulates the last.
 */
#ifndef TLC_OP_GRAD_H
#define TLC_OP_GRAD_H

#include "op.h"

typedef struct tlc_grad {
    tlc_ctx *ctx;
    tlc_func *func;
    bool *wanted;         /* by value id: does a trained parameter lie at or below it? */
    tlc_value **adjoint;  /* by value id: gradient summed so far; NULL none yet */
    const tlc_node *at;   /* whose gradient is being written */
    int n_ids;            /* length of both; ids beyond it were made by the derivation itself */
} tlc_grad;

/* Is the gradient by `v` needed?  NULL (an absent operand) is not. */
bool tlc_grad_wanted(const tlc_grad *g, const tlc_value *v);
/* The gradient by result 0 of `n`. Never NULL inside backward. */
tlc_value *tlc_grad_of_result(const tlc_grad *g, const tlc_node *n);
/* Add `d` to the gradient by `v` (an add node where there is one already). */
TLC_MUST_USE tlc_status tlc_grad_accumulate(tlc_grad *g, tlc_value *v, tlc_value *d);
/* The same where broadcasting repeated `v`: `d` is summed over the repetitions. */
TLC_MUST_USE tlc_status tlc_grad_accumulate_repeated(tlc_grad *g, tlc_value *v, tlc_value *d);
/* A constant scalar of the type of `like`. */
tlc_value *tlc_grad_number(tlc_grad *g, const tlc_value *like, double x);
/* Append a node of `op` over `in` and infer it; attributes copied from `attrs` if not NULL. */
TLC_MUST_USE tlc_status tlc_grad_emit(tlc_grad *g, tlc_op op, const void *attrs,
                                      tlc_value *const *in, int n_in, tlc_value **out);
/* If the gradient by `v` is wanted: emit it and accumulate it. */
TLC_MUST_USE tlc_status tlc_grad_add(tlc_grad *g, tlc_value *v, tlc_op op, const void *attrs,
                                     tlc_value *const *in, int n_in);

#endif
