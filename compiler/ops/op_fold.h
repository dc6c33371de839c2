/* op_fold.h: what the fold functions of operators share.
 *
 * Folding serves shape arithmetic: small integer tensors, and the odd constant beside them.
 * In it TLC_DIM_SYMBOL stands for the batch size: moving it is fine, computing with it is not
 * (the fold declines, and the operator that needed a number says so).
 */
#ifndef TLC_OP_FOLD_H
#define TLC_OP_FOLD_H

#include "op.h"

/* A constant in the making: the result of `node`.  It joins the module when it is whole, so
 * that a fold that declines half way leaves nothing behind. */
typedef struct tlc_folded {
    const tlc_node *node;
    tlc_type type;
    unsigned char *bytes;
} tlc_folded;

/* Room for n's result; refuses more bytes than the limit `folded` leaves. */
TLC_MUST_USE tlc_status tlc_fold_begin(tlc_ctx *ctx, const tlc_node *n, tlc_folded *out);
/* The constant, once every element is put. */
tlc_value *tlc_fold_end(const tlc_folded *f);

/* The result of `n` as a view of operand 0's bytes: same elements in the same order. */
tlc_status tlc_fold_view(tlc_ctx *ctx, const tlc_node *n, tlc_value **out);

/* result[to] = src[from], converted where the types differ. */
void tlc_fold_copy(const tlc_folded *f, int64_t to, const tlc_value *src, int64_t from);
void tlc_fold_put_i64(const tlc_folded *f, int64_t to, int64_t x);
void tlc_fold_put_f64(const tlc_folded *f, int64_t to, double x);
/* Does `x` fit the integer type `t`?  Numbers alone: not the symbol. */
bool tlc_fold_fits(tlc_type t, int64_t x);

/* Row-major strides of `s` in elements. */
void tlc_row_strides(const tlc_shape *s, int64_t *stride);
/* Where element `i` of `s` (row-major) lies under `stride`. */
int64_t tlc_strided_at(const tlc_shape *s, const int64_t *stride, int64_t i);
/* Strides of `v` along the axes of `y`: 0 where it is repeated. */
void tlc_broadcast_strides(const tlc_value *v, const tlc_shape *y, int64_t *stride);
/* All of n's result: element i is operand 0's at base + (i under stride). */
TLC_MUST_USE tlc_status tlc_fold_strided(tlc_ctx *ctx, const tlc_node *n, int64_t base,
                                         const int64_t *stride, tlc_value **out);

#endif
