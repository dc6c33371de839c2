/* onnx_attr.h: attributes and constant operands of a node, checked; and how a row of the
 * operator table adds nodes to the graph.
 *
 * Messages use ONNX's names for attributes, the user's view of his file.
 */
#ifndef TLC_ONNX_ATTR_H
#define TLC_ONNX_ATTR_H

#include "onnx_import.h"

/* --- attributes ---------------------------------------------------------- */

const Onnx__AttributeProto *tlc_onnx_attr(const tlc_onnx_node *n,
                                          const char *name); /* NULL: none */

/* An integer from `least` to `most`, or `fallback`. */
TLC_MUST_USE tlc_status tlc_onnx_int(const tlc_onnx_node *n, const char *name, int64_t fallback,
                                     int64_t least, int64_t most, int64_t *out);
TLC_MUST_USE tlc_status tlc_onnx_bool(const tlc_onnx_node *n, const char *name, bool fallback,
                                      bool *out);
TLC_MUST_USE tlc_status tlc_onnx_float(const tlc_onnx_node *n, const char *name, double fallback,
                                       double *out);
/* `count` integers (-1: any number), each at least `least` and below 2^31; or `fallback`s. */
TLC_MUST_USE tlc_status tlc_onnx_ints(const tlc_onnx_node *n, const char *name, int count,
                                      int64_t least, int64_t fallback, tlc_ints *out);
/* A list without range: starts, ends. */
TLC_MUST_USE tlc_status tlc_onnx_any_ints(const tlc_onnx_node *n, const char *name, tlc_ints *out);
/* A string, in the arena; NULL: absent. */
TLC_MUST_USE tlc_status tlc_onnx_text(const tlc_onnx_node *n, const char *name, const char **out);
/* axis as ONNX counts it (negative from the end), at most `most`; made at least 0. */
TLC_MUST_USE tlc_status tlc_onnx_axis(const tlc_onnx_node *n, int64_t fallback, int rank, int most,
                                      int64_t *out);
/* The same for each of a list. */
TLC_MUST_USE tlc_status tlc_onnx_wrap_axes(const tlc_onnx_node *n, tlc_ints *axes, int rank);

/* --- operands ------------------------------------------------------------ */

tlc_value *tlc_onnx_in(const tlc_onnx_node *n, int i); /* NULL: absent */
/* Operand `i` (`role` in messages) must be known now: E_UNSUPPORTED "not constant". */
TLC_MUST_USE tlc_status tlc_onnx_want_const(const tlc_onnx_node *n, int i, const char *role);
/* A constant list of at most 16 integers (a scalar counts as one). */
TLC_MUST_USE tlc_status tlc_onnx_const_ints(const tlc_onnx_node *n, int i, const char *role,
                                            tlc_ints *out);
/* A constant of one element, or `fallback` if absent. */
TLC_MUST_USE tlc_status tlc_onnx_const_number(const tlc_onnx_node *n, int i, const char *role,
                                              double fallback, double *out);
/* A constant list of 1 to `most` floating-point numbers. */
TLC_MUST_USE tlc_status tlc_onnx_const_numbers(const tlc_onnx_node *n, int i, const char *role,
                                               int most, double *out, int *count);
/* axes: an attribute before opset `since`, operand `i` from it on; *given tells whether any. */
TLC_MUST_USE tlc_status tlc_onnx_axes(const tlc_onnx_node *n, int64_t since, int i, tlc_ints *out,
                                      bool *given);

/* --- nodes --------------------------------------------------------------- */

/* A node at the end of the graph, named as the ONNX node; set its attributes, then finish. */
tlc_node *tlc_onnx_add(const tlc_onnx_node *n, tlc_op op, tlc_value *const *in, int n_in);
/* Infer and fold `node`; *out is its result, or the constant that replaces it. */
TLC_MUST_USE tlc_status tlc_onnx_step(const tlc_onnx_node *n, tlc_node *node, tlc_value **out);
/* The same, and its result is result 0 of the ONNX node. */
TLC_MUST_USE tlc_status tlc_onnx_finish(const tlc_onnx_node *n, tlc_node *node);
/* File E_MALFORMED against the node; "E_ATTR". */
#define TLC_ONNX_BAD(n, ...) tlc_fail((n)->o->ctx, TLC_E_MALFORMED, "E_ATTR", __VA_ARGS__)

#endif
