/* kernels_cuda_nhwc.c: see the header. */
#include "kernels_cuda_nhwc.h"

#include <string.h>

/* Channels a group from which a convolution wants its operand in NHWC: neighbours along k are then
 * whole fours, within a tap and a group, and a pixel's run is 32 bytes, the least that a device's
 * memory moves at once. */
enum { RUN = 8 };

/* --- layouts ------------------------------------------------------------------------- */

/* Would NHWC be other bytes than NCHW?  A part of a weight's gradient has rank 5. */
static bool has_two_orders(const tlc_value *v)
{
    const tlc_shape *s = &v->shape;
    return s->rank >= 4 && s->rank <= 5 && s->dim[s->rank - 3] > 1 &&
           s->dim[s->rank - 2] * s->dim[s->rank - 1] > 1;
}

static tlc_layout layout_of(const tlc_value *v, bool nhwc)
{
    return (tlc_layout){ .kind = v && nhwc && has_two_orders(v) ? TLC_NHWC : TLC_PLAIN };
}

static void lay_all(const tlc_node *n, bool nhwc, tlc_layout *in, tlc_layout *out)
{
    for (int i = 0; i < n->n_in; ++i)
        in[i] = layout_of(n->in[i], nhwc);
    for (int i = 0; i < n->n_out; ++i)
        out[i] = layout_of(n->out[i], nhwc);
}

/* Is an operand NHWC, or wished a result? */
static bool is_any(const tlc_node *n, const tlc_layout *in, const tlc_layout *out)
{
    bool any = false;
    for (int i = 0; i < n->n_in; ++i)
        any = any || in[i].kind == TLC_NHWC;
    for (int i = 0; i < n->n_out; ++i)
        any = any || out[i].kind == TLC_NHWC;
    return any;
}

void tlc_nhwc_alike(const tlc_node *n, tlc_layout *in, tlc_layout *out)
{
    lay_all(n, is_any(n, in, out), in, out);
}

/* Does the value meet axes of rank 4 as if it had that rank, whichever way they lie? */
static bool is_bendable(const tlc_value *v)
{
    const tlc_shape *s = &v->shape;
    int longer = 0;
    for (int i = 0; i < s->rank; ++i)
        longer += s->dim[i] != 1;
    return s->rank == 4 || (s->rank < 4 && longer <= 1);
}

void tlc_nhwc_broadcast(const tlc_node *n, tlc_layout *in, tlc_layout *out)
{
    bool nhwc = is_any(n, in, out) && is_bendable(n->out[0]);
    for (int i = 0; i < n->n_in; ++i)
        nhwc = nhwc && is_bendable(n->in[i]);
    lay_all(n, nhwc, in, out);
}

void tlc_nhwc_of_max_pool2d_grad(const tlc_node *n, tlc_layout *in, tlc_layout *out)
{
    lay_all(n, in[1].kind == TLC_NHWC || out[0].kind == TLC_NHWC, in, out);
}

static const tlc_ints *axes_of_mean(const tlc_node *n)
{
    return n->op == TLC_OP_REDUCE_MEAN ? &TLC_ATTRS(n, tlc_axes_attrs)->axes
                                       : &TLC_ATTRS(n, tlc_reduce_grad_attrs)->reduce.axes;
}

void tlc_nhwc_of_mean(const tlc_node *n, tlc_layout *in, tlc_layout *out)
{
    const tlc_ints *axes = axes_of_mean(n);
    bool of_planes = axes->n == 2 && axes->v[0] + axes->v[1] == 2 + 3 &&
                     axes->v[0] * axes->v[1] == 2 * 3;
    lay_all(n, of_planes && is_any(n, in, out), in, out);
}

/* Of x or dy, as an operand of a product. */
static bool is_worth_it(const tlc_node *n, const tlc_value *v)
{
    return has_two_orders(v) && v->shape.dim[1] / groups_of(n) % RUN == 0;
}

/* The weight lies as x; the result as its readers wish, or as the residual that is added. */
void tlc_nhwc_of_conv2d(const tlc_node *n, tlc_layout *in, tlc_layout *out)
{
    enum { X, W, BIAS, RESIDUAL };
    bool x = is_worth_it(n, n->in[X]);
    bool y = out[0].kind == TLC_NHWC ||
             (n->n_in > RESIDUAL && in[RESIDUAL].kind == TLC_NHWC);
    lay_all(n, y, in, out);
    in[X] = layout_of(n->in[X], x);
    in[W] = layout_of(n->in[W], x);
}

void tlc_nhwc_of_conv2d_grad_x(const tlc_node *n, tlc_layout *in, tlc_layout *out)
{
    enum { DY, W };
    bool x = is_worth_it(n, n->out[0]);
    in[DY] = layout_of(n->in[DY], is_worth_it(n, n->in[DY]));
    in[W] = layout_of(n->in[W], x);
    out[0] = layout_of(n->out[0], x);
}

void tlc_nhwc_of_conv2d_grad_w(const tlc_node *n, tlc_layout *in, tlc_layout *out)
{
    enum { DY, X };
    bool x = is_worth_it(n, n->in[X]);
    in[DY] = layout_of(n->in[DY], is_worth_it(n, n->in[DY]));
    in[X] = layout_of(n->in[X], x);
    out[0] = layout_of(n->out[0], x);
}

/* --- literals ---------------------------------------------------------------------------- */

/* By axis as it lies: the logical one; and the other way round. */
static const int logical[] = { 0, 2, 3, 1 }, stored[] = { 0, 3, 1, 2 };

/* A list with a number for each axis, or two such lists. */
static void turn_list(tlc_ints *list)
{
    tlc_ints was = *list;
    for (int i = 0; i < list->n; ++i)
        list->v[i] = was.v[i / 4 * 4 + logical[i % 4]];
}

static void turn_axes(tlc_ints *axes)
{
    for (int i = 0; i < axes->n; ++i)
        axes->v[i] = stored[axes->v[i]];
}

static void turn_slice(tlc_slice_attrs *a)
{
    turn_list(&a->starts);
    turn_list(&a->ends);
    turn_list(&a->steps);
}

/* With axes of one element in front as far as they lack. */
static void turn_shape(tlc_shape *s)
{
    int64_t dim[4];
    for (int i = 0; i < 4; ++i) {
        int own = logical[i] - (4 - s->rank);
        dim[i] = own < 0 ? 1 : s->dim[own];
    }
    *s = tlc_shape_make(4, dim);
}

/* Attributes of the copy, or false: the kernel is not one of axes. */
static bool turn_attrs(tlc_nhwc_view *view)
{
    switch (view->node.op) {
    case TLC_OP_ADD:
    case TLC_OP_SUB:
    case TLC_OP_MUL:
    case TLC_OP_DIV:
    case TLC_OP_MIN:
    case TLC_OP_MAX:
    case TLC_OP_SUM_TO:
        return true;
    case TLC_OP_REDUCE_MEAN:
        turn_axes(&view->attrs.axes.axes);
        return true;
    case TLC_OP_REDUCE_MEAN_GRAD:
        turn_axes(&view->attrs.reduce_grad.reduce.axes);
        return true;
    case TLC_OP_CONCAT:
        view->attrs.axis.axis = stored[view->attrs.axis.axis];
        return true;
    case TLC_OP_PAD:
        turn_list(&view->attrs.pad.pads);
        return true;
    case TLC_OP_SLICE:
        turn_slice(&view->attrs.slice);
        return true;
    case TLC_OP_SLICE_GRAD:
        turn_slice(&view->attrs.slice_grad.slice);
        return true;
    default:
        return false;
    }
}

static bool lies_in_nhwc(const tlc_node *n)
{
    bool any = n->out[0]->layout.kind == TLC_NHWC;
    for (int i = 0; i < n->n_in; ++i)
        any = any || (n->in[i] && n->in[i]->layout.kind == TLC_NHWC);
    return any;
}

const tlc_node *tlc_nhwc_as_stored(const tlc_node *n, tlc_nhwc_view *view)
{
    if (n->n_out != 1 || !lies_in_nhwc(n))
        return n;
    view->node = *n;
    view->node.attrs = &view->attrs;
    view->node.in = view->in;
    view->node.out = &view->out;
    if (tlc_ops[n->op].def->attrs_size <= sizeof view->attrs)
        memcpy(&view->attrs, n->attrs, tlc_ops[n->op].def->attrs_size);
    if (!turn_attrs(view))
        return n;
    for (int i = 0; i <= n->n_in; ++i) {
        tlc_value *v = &view->value[i];
        *v = *(i < n->n_in ? n->in[i] : n->out[0]);
        turn_shape(&v->shape);
        *(i < n->n_in ? &view->in[i] : &view->out) = v;
    }
    return &view->node;
}
