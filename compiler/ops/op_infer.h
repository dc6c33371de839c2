/* op_infer.h: what the infer functions of operators share: checks of operands, each with
 * one message, and setters of results.
 *
 * `what` names the operand as ops.def does ("x", "w").  Bad operands are the user's model
 * or IR text, so every check is a diagnostic and none is an assert.
 */
#ifndef TLC_OP_INFER_H
#define TLC_OP_INFER_H

#include "op.h"

/* Numbers of one transformed 3x3 filter: 6x6, for the 4x4 tile of Winograd's algorithm. */
enum { TLC_WINOGRAD_TILE = 36 };

/* "[n,64,56,56]", in the arena. */
const char *tlc_dims_text(tlc_ctx *ctx, const tlc_shape *s);

TLC_MUST_USE tlc_status tlc_want_float(tlc_ctx *ctx, const tlc_value *v, const char *what);
TLC_MUST_USE tlc_status tlc_want_type(tlc_ctx *ctx, const tlc_value *v, tlc_type t,
                                      const char *what);
/* i64 or i32: labels and indices. */
TLC_MUST_USE tlc_status tlc_want_index(tlc_ctx *ctx, const tlc_value *v, const char *what);
TLC_MUST_USE tlc_status tlc_want_rank(tlc_ctx *ctx, const tlc_value *v, int rank,
                                      const char *what);
TLC_MUST_USE tlc_status tlc_want_shape(tlc_ctx *ctx, const tlc_value *v, const tlc_shape *s,
                                       const char *what);
/* Floating point of type `t` and exactly [extent]. */
TLC_MUST_USE tlc_status tlc_want_vector(tlc_ctx *ctx, const tlc_value *v, tlc_type t,
                                        int64_t extent, const char *what);
/* Type and shape of `v` are those of `like`. */
TLC_MUST_USE tlc_status tlc_want_like(tlc_ctx *ctx, const tlc_value *v, const tlc_value *like,
                                      const char *what);
/* No dimension of `v` is the batch: weights and statistics. */
/* What an optimizer overwrites: the parameter in[0], then `n_states` states like it. */
TLC_MUST_USE tlc_status tlc_want_written(tlc_ctx *ctx, const tlc_node *n, int n_states);
TLC_MUST_USE tlc_status tlc_want_fixed(tlc_ctx *ctx, const tlc_value *v, const char *what);
/* A floating-point matrix: dy, x (batch allowed in front). */
TLC_MUST_USE tlc_status tlc_want_matrix(tlc_ctx *ctx, const tlc_value *v, const char *what);

/* Refuse what would take the batch out of the front or mix pictures; `what` says the act. */
TLC_MUST_USE tlc_status tlc_fail_batch(tlc_ctx *ctx, const char *what);

/* Every axis of the list inside [0, rank) and none twice. */
TLC_MUST_USE tlc_status tlc_want_axes(tlc_ctx *ctx, const tlc_ints *axes, int rank,
                                      const char *attr);
TLC_MUST_USE tlc_status tlc_want_axis(tlc_ctx *ctx, int64_t axis, int64_t most);
/* The bounds of an activation that rides on an operator. */
TLC_MUST_USE tlc_status tlc_want_bounds(tlc_ctx *ctx, double lo, double hi);

void tlc_set_result(tlc_node *n, tlc_type t, tlc_shape s);
tlc_shape tlc_shape2(int64_t a, int64_t b);

/* Product of dim[from..to), the batch counting 1; false where it overflows. */
bool tlc_dims_product(const tlc_shape *s, int from, int to, int64_t *out);

/* The shape of both, as in NumPy: trailing axes are matched, 1 or none is repeated.  The batch
 * stays in front. */
TLC_MUST_USE tlc_status tlc_broadcast_shape(tlc_ctx *ctx, const tlc_shape *a, const tlc_shape *b,
                                            tlc_shape *out);

/* The result is operand 0's type and shape: elementwise operators of one float operand. */
tlc_status tlc_infer_same_float(tlc_ctx *ctx, tlc_node *n);

#endif
