/* onnx_lift.h: values whose batch is not in front, alone.
 *
 * Attention as exporters write it moves the batch: [S,n,C], [n*heads,S,D], [n*windows,..].  Such a
 * value is `lifted`: in the graph it is [n, its shape where n is 1], the batch in front, and beside
 * it stands where the file has the batch: dimension `axis` is outer * n * inner.  Since every
 * picture's part is whole behind n, operators work on it as on any value, their axes one further;
 * what would mix pictures is an operator along `axis` and refused.
 *
 * A file with a batch of 1 is a function of one picture, and that is applied to each: it has no
 * `axis` (-1), and no operator can mix anything.
 */
#ifndef TLC_ONNX_LIFT_H
#define TLC_ONNX_LIFT_H

#include "onnx_map.h"

/* Is an operand of the node lifted? */
bool tlc_onnx_reads_lifted(const tlc_onnx_node *n);
/* Can values of this file be lifted?  Not with a fixed batch above 1: which number is it? */
bool tlc_onnx_can_lift(const tlc_onnx *o);
/* The node over lifted operands; those that have the batch in front are lifted first. */
TLC_MUST_USE tlc_status tlc_onnx_map_lifted(tlc_onnx_node *n);
/* Does Reshape to `to` move the batch of operand 0, which is in front, and can that be followed? */
bool tlc_onnx_lifts_reshape(const tlc_onnx_node *n, const tlc_ints *to, bool allow_zero);
bool tlc_onnx_is_lifted(const tlc_onnx *o, const tlc_value *v);

#endif
