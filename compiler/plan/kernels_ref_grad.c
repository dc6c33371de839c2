/* kernels_ref_grad.c: the rows of the reference kernels of the backward pass. */
#include "kernels_ref.h"

/* --- convolution ----------------------------------------------------------------- */

/* x, w and dy as the forward convolution has them; kernel: kh, kw. */
static void w_conv2d_grad(tlc_cwriter *w, const tlc_value *dy, const tlc_conv2d_grad_attrs *a,
                          const tlc_value *x, const int64_t *kernel)
{
    const int64_t *i = x->shape.dim, *k = kernel, *o = dy->shape.dim;
    tlc_w(w, "{ .batch = %" PRId64 ", .ic = %" PRId64 ", .h = %" PRId64 ", .w = %" PRId64,
          batch_of(&x->shape), i[1], i[2], i[3]);
    tlc_w(w, ", .oc = %" PRId64 ", .oh = %" PRId64 ", .ow = %" PRId64, o[1], o[2], o[3]);
    tlc_w(w, ", .kh = %" PRId64 ", .kw = %" PRId64 ", .groups = %" PRId64, k[0], k[1], a->groups);
    tlc_w(w, ", .stride_h = %" PRId64 ", .stride_w = %" PRId64, a->stride.v[0], a->stride.v[1]);
    tlc_w(w, ", .dilation_h = %" PRId64 ", .dilation_w = %" PRId64, a->dilation.v[0],
          a->dilation.v[1]);
    tlc_w(w, ", .pad_top = %" PRId64 ", .pad_left = %" PRId64, a->pad.v[0], a->pad.v[1]);
    w_nhwc(w, "x_nhwc", x);
    w_nhwc(w, "y_nhwc", dy);
    tlc_w(w, " }");
}

static void conv2d_grad_x_literal(tlc_cwriter *w, const tlc_node *n)
{
    w_conv2d_grad(w, n->in[0], TLC_ATTRS(n, tlc_conv2d_grad_attrs), n->out[0], n->in[1]->shape.dim + 2);
}
REF_KERNEL(conv2d_grad_x, serves_all);

static void conv2d_grad_w_literal(tlc_cwriter *w, const tlc_node *n)
{
    const tlc_conv2d_grad_attrs *a = TLC_ATTRS(n, tlc_conv2d_grad_attrs);
    w_conv2d_grad(w, n->in[0], a, n->in[1], a->size.v);
}
REF_KERNEL(conv2d_grad_w, serves_all);

static void conv2d_grad_w_parts_literal(tlc_cwriter *w, const tlc_node *n)
{
    const tlc_conv2d_parts_attrs *a = TLC_ATTRS(n, tlc_conv2d_parts_attrs);
    tlc_w(w, "{ .conv = ");
    w_conv2d_grad(w, n->in[0], &a->conv, n->in[1], a->conv.size.v);
    tlc_w(w, ", .parts = %" PRId64 " }", a->parts);
}
REF_KERNEL(conv2d_grad_w_parts, serves_all);

/* Joined to an update: w first, dy and x last. */
static void w_conv2d_update(tlc_cwriter *w, const tlc_node *n, const char *flag, bool set)
{
    const tlc_conv2d_grad_attrs *a = TLC_ATTRS(n, tlc_conv2d_grad_attrs);
    tlc_w(w, "{ .grad = ");
    w_conv2d_grad(w, n->in[n->n_in - 2], a, n->in[n->n_in - 1], a->size.v);
    tlc_w(w, ", .%s = %s }", flag, w_bool(set));
}

static void conv2d_sgd_literal(tlc_cwriter *w, const tlc_node *n)
{
    w_conv2d_update(w, n, "nesterov", TLC_ATTRS(n, tlc_conv2d_sgd_attrs)->update.nesterov);
}
REF_KERNEL(conv2d_sgd, serves_all);

static void conv2d_adam_literal(tlc_cwriter *w, const tlc_node *n)
{
    w_conv2d_update(w, n, "decoupled", TLC_ATTRS(n, tlc_conv2d_adam_attrs)->update.decoupled);
}
REF_KERNEL(conv2d_adam, serves_all);

/* --- batch norm --------------------------------------------------------------------- */

static void w_norm(tlc_cwriter *w, const tlc_value *value, const char *field, double number)
{
    const tlc_shape *x = &value->shape;
    tlc_w(w, "{ .batch = %" PRId64 ", .c = %" PRId64 ", .plane = %" PRId64 ", .%s = ", batch_of(x),
          x->dim[1], product(x->dim + 2, x->rank - 2), field);
    w_number(w, number);
    w_nhwc(w, "nhwc", value);
    tlc_w(w, " }");
}

/* Operand 0 is x or dy. */
static void w_norm_epsilon(tlc_cwriter *w, const tlc_node *n)
{
    w_norm(w, n->in[0], "epsilon", TLC_ATTRS(n, tlc_batch_norm_attrs)->epsilon);
}

static void batch_norm_grad_literal(tlc_cwriter *w, const tlc_node *n)
{
    w_norm_epsilon(w, n);
}
REF_KERNEL(batch_norm_grad, serves_all);

static void batch_norm_train_literal(tlc_cwriter *w, const tlc_node *n)
{
    w_norm_epsilon(w, n);
}
REF_KERNEL(batch_norm_train, serves_all);

static void batch_norm_train_grad_scale_literal(tlc_cwriter *w, const tlc_node *n)
{
    w_norm_epsilon(w, n);
}
REF_KERNEL(batch_norm_train_grad_scale, serves_all);

static void batch_norm_train_grad_x_literal(tlc_cwriter *w, const tlc_node *n)
{
    w_norm_epsilon(w, n);
}
REF_KERNEL(batch_norm_train_grad_x, serves_all);

static void batch_norm_stats_literal(tlc_cwriter *w, const tlc_node *n)
{
    enum { X = 4 };
    w_norm(w, n->in[X], "momentum", TLC_ATTRS(n, tlc_batch_norm_attrs)->momentum);
}
REF_KERNEL(batch_norm_stats, serves_all);

/* --- pools ---------------------------------------------------------------------------- */

static void max_pool2d_positions_literal(tlc_cwriter *w, const tlc_node *n)
{
    w_pool(w, TLC_ATTRS(n, tlc_pool2d_attrs), n->in[0], n->out[0]);
    tlc_w(w, ", .wide = %s }", w_bool(n->out[0]->type == TLC_I32));
}
REF_KERNEL(max_pool2d_positions, serves_all);

static void max_pool2d_grad_literal(tlc_cwriter *w, const tlc_node *n)
{
    w_pool(w, &TLC_ATTRS(n, tlc_pool2d_grad_attrs)->pool, n->out[0], n->in[0]);
    tlc_w(w, ", .wide = %s }", w_bool(n->in[1]->type == TLC_I32));
}
REF_KERNEL(max_pool2d_grad, serves_all);

static void avg_pool2d_grad_literal(tlc_cwriter *w, const tlc_node *n)
{
    const tlc_pool2d_attrs *a = &TLC_ATTRS(n, tlc_pool2d_grad_attrs)->pool;
    w_pool(w, a, n->out[0], n->in[0]);
    tlc_w(w, ", .count_include_pad = %s }", w_bool(a->count_include_pad));
}
REF_KERNEL(avg_pool2d_grad, serves_all);

static void resize_grad_literal(tlc_cwriter *w, const tlc_node *n)
{
    w_resize(w, &TLC_ATTRS(n, tlc_resize_grad_attrs)->resize, n->out[0], n->in[0]);
}
REF_KERNEL(resize_grad, serves_all);

/* --- reductions ------------------------------------------------------------------------- */

static bool is_averaged(const tlc_node *n, int axis)
{
    const tlc_ints *axes = &TLC_ATTRS(n, tlc_reduce_grad_attrs)->reduce.axes;
    for (int i = 0; i < axes->n; ++i)
        if (axes->v[i] == axis)
            return true;
    return false;
}

static bool serves_reduce_mean_grad(const tlc_node *n)
{
    return !tlc_shape_has_n(&n->out[0]->shape) || !is_averaged(n, 0);
}

/* dy is dense over the axes that were kept, in their order. */
static void reduce_mean_grad_literal(tlc_cwriter *w, const tlc_node *n)
{
    const tlc_shape *x = &n->out[0]->shape;
    tlc_shape p = picture(x);
    int64_t stride[TLC_MAX_RANK], dense = 1, count = 1;
    for (int i = p.rank - 1; i >= 0; --i) {
        bool averaged = is_averaged(n, i + batch_axes(x));
        stride[i] = averaged ? 0 : dense;
        *(averaged ? &count : &dense) *= p.dim[i];
    }
    tlc_w(w, "{ .batch = %" PRId64 ", .rank = %d", picture_batch(x), p.rank);
    w_list(w, "dim", p.dim, p.rank);
    w_list(w, "stride_dy", stride, p.rank);
    tlc_w(w, ", .picture_dy = %" PRId64 ", .count = %" PRId64 " }", dense, count);
}
REF_KERNEL(reduce_mean_grad, serves_reduce_mean_grad);

/* Axes that the result lacks, or has as 1 where x has more, are summed over. */
static void sum_to_literal(tlc_cwriter *w, const tlc_node *n)
{
    const tlc_shape *x = &n->in[0]->shape, *y = &n->out[0]->shape;
    tlc_shape p = picture(x);
    int64_t stride[TLC_MAX_RANK], dims[2][TLC_MAX_RANK], strides[2][TLC_MAX_RANK];
    int count[2] = { 0, 0 };
    row_major(&p, stride);
    for (int i = 0; i < p.rank; ++i) {
        int own = i + batch_axes(x) - (x->rank - y->rank);
        int which = own < 0 || y->dim[own] != p.dim[i];
        dims[which][count[which]] = p.dim[i];
        strides[which][count[which]++] = stride[i];
    }
    bool sum_pictures = tlc_shape_has_n(x) && !tlc_shape_has_n(y);
    tlc_w(w, "{ .batch = %" PRId64 ", .sum_pictures = %s, .kept = %d, .reduced = %d",
          picture_batch(x), w_bool(sum_pictures), count[0], count[1]);
    w_list(w, "kept_dim", dims[0], count[0]);
    w_list(w, "kept_stride", strides[0], count[0]);
    w_list(w, "reduced_dim", dims[1], count[1]);
    w_list(w, "reduced_stride", strides[1], count[1]);
    tlc_w(w, " }");
}
REF_KERNEL(sum_to, serves_all);

/* --- movement, softmax --------------------------------------------------------------------- */

static bool serves_slice_grad(const tlc_node *n)
{
    return tlc_shape_has_n(&n->in[0]->shape) == tlc_shape_has_n(&n->out[0]->shape);
}

static void slice_grad_literal(tlc_cwriter *w, const tlc_node *n)
{
    const tlc_slice_attrs *a = &TLC_ATTRS(n, tlc_slice_grad_attrs)->slice;
    const tlc_shape *x = &n->out[0]->shape;
    tlc_shape p = picture(x), q = picture(&n->in[0]->shape);
    int64_t dense[TLC_MAX_RANK], stride[TLC_MAX_RANK], offset = 0;
    row_major(&p, dense);
    for (int i = 0; i < p.rank; ++i) {
        int axis = i + batch_axes(x);
        stride[i] = dense[i] * a->steps.v[axis];
        offset += dense[i] * a->starts.v[axis];
    }
    tlc_w(w, "{ .batch = %" PRId64 ", .rank = %d", picture_batch(x), q.rank);
    w_list(w, "dim", q.dim, q.rank);
    w_list(w, "stride", stride, q.rank);
    tlc_w(w, ", .offset = %" PRId64 ", .out_elems = %" PRId64 " }", offset, tlc_shape_elems(x));
}
REF_KERNEL(slice_grad, serves_slice_grad);

static bool serves_softmax_grad(const tlc_node *n)
{
    return TLC_ATTRS(n, tlc_axis_attrs)->axis >= batch_axes(&n->in[0]->shape);
}

static void softmax_grad_literal(tlc_cwriter *w, const tlc_node *n)
{
    const tlc_shape *x = &n->in[0]->shape;
    int axis = (int)TLC_ATTRS(n, tlc_axis_attrs)->axis, first = batch_axes(x);
    tlc_w(w, "{ .batch = %" PRId64 ", .outer = %" PRId64 ", .size = %" PRId64 ", .inner = %" PRId64
          " }", picture_batch(x), product(x->dim + first, axis - first), x->dim[axis],
          product(x->dim + axis + 1, x->rank - axis - 1));
}
REF_KERNEL(softmax_grad, serves_softmax_grad);
