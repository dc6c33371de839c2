/* kernels_cuda_nhwc.h: which values of target cuda lie in NHWC, and what that makes of a literal.
 *
 * Convolutions on matrix units want it, and say so.  All other kernels that stand between two of
 * them take both layouts and go by their operands, or by what readers wish of the result, so that
 * no relayout stands inside a chain.  In fp32 nobody wants it, and everything stays plain.
 *
 * A value whose planes have one pixel, or that has one channel, is the same bytes in both layouts:
 * it counts as plain.
 */
#ifndef TLC_KERNELS_CUDA_NHWC_H
#define TLC_KERNELS_CUDA_NHWC_H

#include "kernel.h"

/* Of a convolution, its gradients, and the gradient in parts. */
static inline int64_t groups_of(const tlc_node *n)
{
    switch (n->op) {
    case TLC_OP_CONV2D:
        return TLC_ATTRS(n, tlc_conv2d_attrs)->groups;
    case TLC_OP_CONV2D_GRAD_W_PARTS:
        return TLC_ATTRS(n, tlc_conv2d_parts_attrs)->conv.groups;
    default:
        return TLC_ATTRS(n, tlc_conv2d_grad_attrs)->groups;
    }
}

/* --- `layouts` of rows -------------------------------------------------------------- */

/* Convolution and its gradients on matrix units. */
void tlc_nhwc_of_conv2d(const tlc_node *n, tlc_layout *in, tlc_layout *out);
void tlc_nhwc_of_conv2d_grad_x(const tlc_node *n, tlc_layout *in, tlc_layout *out);
void tlc_nhwc_of_conv2d_grad_w(const tlc_node *n, tlc_layout *in, tlc_layout *out);

/* All operands and results alike. */
void tlc_nhwc_alike(const tlc_node *n, tlc_layout *in, tlc_layout *out);
/* The same where shapes of operand and result meet from the last axis, as in NumPy. */
void tlc_nhwc_broadcast(const tlc_node *n, tlc_layout *in, tlc_layout *out);
/* The gradient of a maximum: positions are no floats, which alone are laid out anew. */
void tlc_nhwc_of_max_pool2d_grad(const tlc_node *n, tlc_layout *in, tlc_layout *out);
/* Means over whole planes read NHWC, their gradients write it. */
void tlc_nhwc_of_mean(const tlc_node *n, tlc_layout *in, tlc_layout *out);

/* --- literals ----------------------------------------------------------------------- */

enum { TLC_NHWC_MOST_OPERANDS = 64 }; /* of concat: the most in ops.def */

typedef struct tlc_nhwc_view {
    tlc_node node;
    tlc_value *in[TLC_NHWC_MOST_OPERANDS], *out;
    tlc_value value[TLC_NHWC_MOST_OPERANDS + 1];
    union {
        tlc_axis_attrs axis;
        tlc_axes_attrs axes;
        tlc_reduce_grad_attrs reduce_grad;
        tlc_pad_attrs pad;
        tlc_slice_attrs slice;
        tlc_slice_grad_attrs slice_grad;
    } attrs;
} tlc_nhwc_view;

/* A node of axes (add .. max, sum_to, mean, pad, concat, slice) as its values lie: shapes and
 * attributes with the channels' axis last, so that the literal of a row-major kernel holds.  `n`
 * itself where nothing is NHWC, and for kernels that are told by a field of their own. */
const tlc_node *tlc_nhwc_as_stored(const tlc_node *n, tlc_nhwc_view *view);

#endif
