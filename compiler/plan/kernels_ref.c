/* kernels_ref.c: the reference kernels' rows: what each serves, and its literals.
 *
 * They serve every shape in plain layout; what they decline is an operator that mixes pictures
 * along the batch axis (a mean over it, a slice of it), which has no meaning for a symbolic n.
 * kernels_ref_grad.c has those of the backward pass.
 */
#include "kernels_ref.h"

/* --- convolution, linear ------------------------------------------------------- */

static void conv2d_literal(tlc_cwriter *w, const tlc_node *n)
{
    const tlc_conv2d_attrs *a = TLC_ATTRS(n, tlc_conv2d_attrs);
    const int64_t *x = n->in[0]->shape.dim, *k = n->in[1]->shape.dim, *y = n->out[0]->shape.dim;
    tlc_w(w, "{ .batch = %" PRId64 ", .ic = %" PRId64 ", .h = %" PRId64 ", .w = %" PRId64,
          batch_of(&n->in[0]->shape), x[1], x[2], x[3]);
    tlc_w(w, ", .oc = %" PRId64 ", .oh = %" PRId64 ", .ow = %" PRId64, y[1], y[2], y[3]);
    tlc_w(w, ", .kh = %" PRId64 ", .kw = %" PRId64 ", .groups = %" PRId64, k[2], k[3], a->groups);
    tlc_w(w, ", .stride_h = %" PRId64 ", .stride_w = %" PRId64, a->stride.v[0], a->stride.v[1]);
    tlc_w(w, ", .dilation_h = %" PRId64 ", .dilation_w = %" PRId64, a->dilation.v[0],
          a->dilation.v[1]);
    tlc_w(w, ", .pad_top = %" PRId64 ", .pad_left = %" PRId64, a->pad.v[0], a->pad.v[1]);
    w_nhwc(w, "x_nhwc", n->in[0]);
    w_nhwc(w, "y_nhwc", n->out[0]);
    w_act(w, a->act, a->lo, a->hi);
    tlc_w(w, " }");
}
REF_KERNEL(conv2d, serves_all);

static void linear_literal(tlc_cwriter *w, const tlc_node *n)
{
    const tlc_linear_attrs *a = TLC_ATTRS(n, tlc_linear_attrs);
    const int64_t *k = n->in[1]->shape.dim;
    tlc_w(w, "{ .batch = %" PRId64 ", .in = %" PRId64 ", .out = %" PRId64,
          batch_of(&n->in[0]->shape), k[1], k[0]);
    w_act(w, a->act, a->lo, a->hi);
    tlc_w(w, " }");
}
REF_KERNEL(linear, serves_all);

static void matmul_literal(tlc_cwriter *w, const tlc_node *n)
{
    const int64_t *b = n->in[1]->shape.dim;
    tlc_w(w, "{ .batch = %" PRId64 ", .inner = %" PRId64 ", .cols = %" PRId64 " }",
          batch_of(&n->in[0]->shape), b[0], b[1]);
}
/* With n as the inner dimension the sum would run over the batch. */
static bool serves_matmul(const tlc_node *n)
{
    return !tlc_shape_has_n(&n->in[1]->shape);
}
REF_KERNEL(matmul, serves_matmul);

static void batch_matmul_literal(tlc_cwriter *w, const tlc_node *n)
{
    const tlc_batch_matmul_attrs *t = TLC_ATTRS(n, tlc_batch_matmul_attrs);
    const tlc_shape *a = &n->in[0]->shape, *y = &n->out[0]->shape;
    int first = batch_axes(y), rank = y->rank;
    tlc_w(w, "{ .batch = %" PRId64 ", .matrices = %" PRId64 ", .rows = %" PRId64
          ", .inner = %" PRId64 ", .cols = %" PRId64, picture_batch(y),
          product(y->dim + first, rank - 2 - first), y->dim[rank - 2],
          a->dim[rank - 1 - t->trans_a], y->dim[rank - 1]);
    tlc_w(w, ", .trans_a = %s, .trans_b = %s }", w_bool(t->trans_a), w_bool(t->trans_b));
}
REF_KERNEL(batch_matmul, serves_all);

static void linear_grad_x_literal(tlc_cwriter *w, const tlc_node *n)
{
    const int64_t *k = n->in[1]->shape.dim;
    tlc_w(w, "{ .batch = %" PRId64 ", .in = %" PRId64 ", .out = %" PRId64 " }",
          batch_of(&n->in[0]->shape), k[1], k[0]);
}
REF_KERNEL(linear_grad_x, serves_all);

/* `dy` and `x` are operands of shape [n,out] and [n,in]. */
static void w_linear_shape(tlc_cwriter *w, const tlc_value *dy, const tlc_value *x)
{
    tlc_w(w, "{ .batch = %" PRId64 ", .in = %" PRId64 ", .out = %" PRId64, batch_of(&dy->shape),
          x->shape.dim[1], dy->shape.dim[1]);
}

static void linear_grad_w_literal(tlc_cwriter *w, const tlc_node *n)
{
    w_linear_shape(w, n->in[0], n->in[1]);
    tlc_w(w, " }");
}
REF_KERNEL(linear_grad_w, serves_all);

static void bias_grad_literal(tlc_cwriter *w, const tlc_node *n)
{
    const tlc_shape *dy = &n->in[0]->shape;
    tlc_w(w, "{ .batch = %" PRId64 ", .out = %" PRId64 ", .plane = %" PRId64, batch_of(dy),
          dy->dim[1], product(dy->dim + 2, dy->rank - 2));
    w_nhwc(w, "nhwc", n->in[0]);
    tlc_w(w, " }");
}
REF_KERNEL(bias_grad, serves_all);

static void batch_norm_literal(tlc_cwriter *w, const tlc_node *n)
{
    const tlc_shape *x = &n->in[0]->shape;
    tlc_w(w, "{ .batch = %" PRId64 ", .c = %" PRId64 ", .plane = %" PRId64 ", .epsilon = ",
          batch_of(x), x->dim[1], product(x->dim + 2, x->rank - 2));
    w_number(w, TLC_ATTRS(n, tlc_batch_norm_attrs)->epsilon);
    w_nhwc(w, "nhwc", n->in[0]);
    tlc_w(w, " }");
}
REF_KERNEL(batch_norm, serves_all);

/* --- elementwise --------------------------------------------------------------- */

static void w_elems(tlc_cwriter *w, const tlc_shape *s)
{
    tlc_w(w, "{ .batch = %" PRId64 ", .elems = %" PRId64, picture_batch(s), tlc_shape_elems(s));
}

static void act_literal(tlc_cwriter *w, const tlc_node *n)
{
    w_elems(w, &n->in[0]->shape);
    if (n->op == TLC_OP_RELU || n->op == TLC_OP_RELU_GRAD) {
        w_act(w, TLC_ACT_RELU, 0, 0);
    } else {
        const tlc_clip_attrs *a = TLC_ATTRS(n, tlc_clip_attrs);
        w_act(w, TLC_ACT_CLIP, a->lo, a->hi);
    }
    tlc_w(w, " }");
}
REF_KERNEL(act, serves_all);

static void act_grad_literal(tlc_cwriter *w, const tlc_node *n)
{
    act_literal(w, n);
}
REF_KERNEL(act_grad, serves_all);

/* Strides of operand `v` by the axes of one picture of the result `y`; 0 where it is repeated.
 * Axes are matched from the last, as NumPy does. */
static void broadcast(const tlc_value *v, const tlc_shape *y, int64_t stride[TLC_MAX_RANK],
                      int64_t *out_picture)
{
    tlc_shape own = picture(&v->shape), want = picture(y);
    int64_t dense[TLC_MAX_RANK];
    row_major(&own, dense);
    for (int i = 0; i < want.rank; ++i) {
        int from = i - (want.rank - own.rank);
        stride[i] = from < 0 || own.dim[from] == 1 ? 0 : dense[from];
    }
    *out_picture = tlc_shape_has_n(&v->shape) ? tlc_shape_elems(&v->shape) : 0;
}

/* An operand without n but of the result's rank has 1 in front: drop it with the batch axis. */
static tlc_value without_front(const tlc_value *v, const tlc_shape *y)
{
    tlc_value copy = *v;
    if (tlc_shape_has_n(y) && !tlc_shape_has_n(&v->shape) && v->shape.rank == y->rank)
        copy.shape = tlc_shape_make(v->shape.rank - 1, v->shape.dim + 1);
    return copy;
}

static void binary_literal(tlc_cwriter *w, const tlc_node *n)
{
    static const char *const names[] = { "TLK_ADD", "TLK_SUB", "TLK_MUL",
                                         "TLK_DIV", "TLK_MIN", "TLK_MAX" };
    const tlc_shape *y = &n->out[0]->shape;
    tlc_shape p = picture(y);
    tlc_value a = without_front(n->in[0], y), b = without_front(n->in[1], y);
    int64_t stride_a[TLC_MAX_RANK], stride_b[TLC_MAX_RANK], picture_a, picture_b;
    broadcast(&a, y, stride_a, &picture_a);
    broadcast(&b, y, stride_b, &picture_b);
    tlc_w(w, "{ .batch = %" PRId64 ", .op = %s, .rank = %d", picture_batch(y),
          names[n->op - TLC_OP_ADD], p.rank);
    w_list(w, "dim", p.dim, p.rank);
    w_list(w, "stride_a", stride_a, p.rank);
    w_list(w, "stride_b", stride_b, p.rank);
    tlc_w(w, ", .picture_a = %" PRId64 ", .picture_b = %" PRId64 " }", picture_a, picture_b);
}
REF_KERNEL(binary, serves_all);

/* `stride` and `picture` of one operand of where. */
static void w_where_operand(tlc_cwriter *w, const char *of, const tlc_value *v, const tlc_shape *y)
{
    tlc_value own = without_front(v, y);
    int64_t stride[TLC_MAX_RANK], apart;
    broadcast(&own, y, stride, &apart);
    tlc_w(w, ", .%s = { .picture = %" PRId64, of, apart);
    w_list(w, "stride", stride, y->rank - batch_axes(y));
    tlc_w(w, " }");
}

static void where_literal(tlc_cwriter *w, const tlc_node *n)
{
    static const char *const names[] = { "c", "a", "b" };
    const tlc_shape *y = &n->out[0]->shape;
    tlc_shape p = picture(y);
    tlc_w(w, "{ .batch = %" PRId64 ", .rank = %d", picture_batch(y), p.rank);
    w_list(w, "dim", p.dim, p.rank);
    for (int i = 0; i < 3; ++i)
        w_where_operand(w, names[i], n->in[i], y);
    tlc_w(w, " }");
}
static bool serves_where(const tlc_node *n)
{
    return tlc_is_float(n->out[0]->type);
}
REF_KERNEL(where, serves_where);

/* The mask is drawn by sample: without n the leading axis is the samples'. */
static void dropout_literal(tlc_cwriter *w, const tlc_node *n)
{
    const tlc_dropout_attrs *a = TLC_ATTRS(n, tlc_dropout_attrs);
    const tlc_shape *x = &n->in[0]->shape;
    tlc_w(w, "{ .batch = %" PRId64 ", .elems = %" PRId64 ", .p = ", batch_of(x),
          product(x->dim + 1, x->rank - 1));
    w_number(w, a->p);
    tlc_w(w, ", .index = %" PRId64, a->index);
    if (n->in[0]->layout.kind == TLC_NHWC) /* of target cuda, which borrows the literal */
        tlc_w(w, ", .nhwc_channels = %" PRId64, x->dim[1]);
    tlc_w(w, " }");
}
static bool serves_dropout(const tlc_node *n)
{
    return n->in[0]->shape.rank >= 1;
}
REF_KERNEL(dropout, serves_dropout);

/* --- softmax, loss --------------------------------------------------------------- */

static bool serves_softmax(const tlc_node *n)
{
    return TLC_ATTRS(n, tlc_axis_attrs)->axis >= batch_axes(&n->in[0]->shape);
}

static void softmax_literal(tlc_cwriter *w, const tlc_node *n)
{
    const tlc_shape *x = &n->in[0]->shape;
    int axis = (int)TLC_ATTRS(n, tlc_axis_attrs)->axis, first = batch_axes(x);
    tlc_w(w, "{ .batch = %" PRId64 ", .outer = %" PRId64 ", .size = %" PRId64 ", .inner = %" PRId64
          " }", picture_batch(x), product(x->dim + first, axis - first), x->dim[axis],
          product(x->dim + axis + 1, x->rank - axis - 1));
}
REF_KERNEL(softmax, serves_softmax);

static void cross_entropy_literal(tlc_cwriter *w, const tlc_node *n)
{
    tlc_w(w, "{ .batch = %" PRId64 ", .classes = %" PRId64 ", .smoothing = ",
          batch_of(&n->in[0]->shape), n->in[0]->shape.dim[1]);
    w_number(w, TLC_ATTRS(n, tlc_loss_attrs)->label_smoothing);
    tlc_w(w, " }");
}
REF_KERNEL(cross_entropy, serves_all);

static void cross_entropy_grad_literal(tlc_cwriter *w, const tlc_node *n)
{
    cross_entropy_literal(w, n);
}
REF_KERNEL(cross_entropy_grad, serves_all);

/* --- pooling, reduction -------------------------------------------------------------- */

static void max_pool2d_literal(tlc_cwriter *w, const tlc_node *n)
{
    w_pool(w, TLC_ATTRS(n, tlc_pool2d_attrs), n->in[0], n->out[0]);
    tlc_w(w, " }");
}
REF_KERNEL(max_pool2d, serves_all);

static void avg_pool2d_literal(tlc_cwriter *w, const tlc_node *n)
{
    w_pool(w, TLC_ATTRS(n, tlc_pool2d_attrs), n->in[0], n->out[0]);
    tlc_w(w, ", .count_include_pad = %s }",
          w_bool(TLC_ATTRS(n, tlc_pool2d_attrs)->count_include_pad));
}
REF_KERNEL(avg_pool2d, serves_all);

static void resize_literal(tlc_cwriter *w, const tlc_node *n)
{
    w_resize(w, TLC_ATTRS(n, tlc_resize_attrs), n->in[0], n->out[0]);
}
REF_KERNEL(resize, serves_all);

static bool is_reduced(const tlc_node *n, int axis)
{
    const tlc_ints *axes = &TLC_ATTRS(n, tlc_axes_attrs)->axes;
    for (int i = 0; i < axes->n; ++i)
        if (axes->v[i] == axis)
            return true;
    return false;
}

static bool serves_reduce_mean(const tlc_node *n)
{
    return !tlc_shape_has_n(&n->in[0]->shape) || !is_reduced(n, 0);
}

static void reduce_mean_literal(tlc_cwriter *w, const tlc_node *n)
{
    const tlc_shape *x = &n->in[0]->shape;
    tlc_shape p = picture(x);
    int64_t stride[TLC_MAX_RANK], dims[2][TLC_MAX_RANK], strides[2][TLC_MAX_RANK];
    int count[2] = { 0, 0 };
    row_major(&p, stride);
    for (int i = 0; i < p.rank; ++i) {
        int which = is_reduced(n, i + batch_axes(x));
        dims[which][count[which]] = p.dim[i];
        strides[which][count[which]++] = stride[i];
    }
    tlc_w(w, "{ .batch = %" PRId64 ", .kept = %d, .reduced = %d", picture_batch(x), count[0],
          count[1]);
    w_list(w, "kept_dim", dims[0], count[0]);
    w_list(w, "kept_stride", strides[0], count[0]);
    w_list(w, "reduced_dim", dims[1], count[1]);
    w_list(w, "reduced_stride", strides[1], count[1]);
    tlc_w(w, " }");
}
REF_KERNEL(reduce_mean, serves_reduce_mean);

/* --- data movement ----------------------------------------------------------------- */

static bool serves_pad(const tlc_node *n)
{
    const tlc_shape *x = &n->in[0]->shape;
    const int64_t *pads = TLC_ATTRS(n, tlc_pad_attrs)->pads.v;
    return !tlc_shape_has_n(x) || (pads[0] == 0 && pads[x->rank] == 0);
}

static void pad_literal(tlc_cwriter *w, const tlc_node *n)
{
    const tlc_shape *x = &n->in[0]->shape;
    const tlc_pad_attrs *a = TLC_ATTRS(n, tlc_pad_attrs);
    tlc_shape p = picture(x), q = picture(&n->out[0]->shape);
    tlc_w(w, "{ .batch = %" PRId64 ", .rank = %d", picture_batch(x), p.rank);
    w_list(w, "dim", p.dim, p.rank);
    w_list(w, "out_dim", q.dim, q.rank);
    w_list(w, "begin", a->pads.v + batch_axes(x), p.rank);
    tlc_w(w, ", .value = ");
    w_number(w, a->value);
    tlc_w(w, " }");
}
REF_KERNEL(pad, serves_pad);

/* `stride` and `offset` of the operand's picture, by axis of the result's. */
static void w_strided(tlc_cwriter *w, const tlc_node *n, const int64_t *stride, int64_t offset)
{
    const tlc_shape *y = &n->out[0]->shape;
    tlc_shape q = picture(y);
    tlc_w(w, "{ .batch = %" PRId64 ", .rank = %d", picture_batch(y), q.rank);
    w_list(w, "dim", q.dim, q.rank);
    w_list(w, "stride", stride, q.rank);
    tlc_w(w, ", .offset = %" PRId64 ", .in_elems = %" PRId64 " }", offset,
          tlc_shape_elems(&n->in[0]->shape));
}

static bool serves_transpose(const tlc_node *n)
{
    return !tlc_shape_has_n(&n->in[0]->shape) || TLC_ATTRS(n, tlc_perm_attrs)->perm.v[0] == 0;
}

static void transpose_literal(tlc_cwriter *w, const tlc_node *n)
{
    const tlc_ints *perm = &TLC_ATTRS(n, tlc_perm_attrs)->perm;
    const tlc_shape *x = &n->in[0]->shape;
    tlc_shape p = picture(x);
    int64_t dense[TLC_MAX_RANK], stride[TLC_MAX_RANK];
    int skip = batch_axes(x);
    row_major(&p, dense);
    for (int i = 0; i < p.rank; ++i)
        stride[i] = dense[perm->v[i + skip] - skip];
    w_strided(w, n, stride, 0);
}
REF_KERNEL(transpose, serves_transpose);

static bool serves_slice(const tlc_node *n)
{
    return tlc_shape_has_n(&n->in[0]->shape) == tlc_shape_has_n(&n->out[0]->shape);
}

static void slice_literal(tlc_cwriter *w, const tlc_node *n)
{
    const tlc_slice_attrs *a = TLC_ATTRS(n, tlc_slice_attrs);
    const tlc_shape *x = &n->in[0]->shape;
    tlc_shape p = picture(x);
    int64_t dense[TLC_MAX_RANK], stride[TLC_MAX_RANK], offset = 0;
    row_major(&p, dense);
    for (int i = 0; i < p.rank; ++i) {
        int axis = i + batch_axes(x);
        stride[i] = dense[i] * a->steps.v[axis];
        offset += dense[i] * a->starts.v[axis];
    }
    w_strided(w, n, stride, offset);
}
REF_KERNEL(slice, serves_slice);

static bool serves_concat(const tlc_node *n)
{
    return TLC_ATTRS(n, tlc_axis_attrs)->axis >= batch_axes(&n->in[0]->shape);
}

static void concat_literal(tlc_cwriter *w, const tlc_node *n)
{
    const tlc_shape *y = &n->out[0]->shape;
    int axis = (int)TLC_ATTRS(n, tlc_axis_attrs)->axis, first = batch_axes(y);
    int64_t part[64]; /* the most operands that ops.def allows */
    for (int i = 0; i < n->n_in; ++i)
        part[i] = n->in[i]->shape.dim[axis];
    tlc_w(w, "{ .batch = %" PRId64 ", .outer = %" PRId64 ", .inner = %" PRId64 ", .parts = %d",
          picture_batch(y), product(y->dim + first, axis - first),
          product(y->dim + axis + 1, y->rank - axis - 1), n->n_in);
    w_list(w, "part", part, n->n_in);
    tlc_w(w, " }");
}
REF_KERNEL(concat, serves_concat);

static void copy_literal(tlc_cwriter *w, const tlc_node *n)
{
    w_elems(w, &n->in[0]->shape);
    tlc_w(w, " }");
}
REF_KERNEL(copy, serves_all);

/* --- optimizers ---------------------------------------------------------------------- */

static void accumulate_literal(tlc_cwriter *w, const tlc_node *n)
{
    tlc_w(w, "{ .elems = %" PRId64 " }", tlc_shape_elems(&n->in[0]->shape));
}
REF_KERNEL(accumulate, serves_all);

static void sgd_literal(tlc_cwriter *w, const tlc_node *n)
{
    tlc_w(w, "{ .elems = %" PRId64 ", .nesterov = %s }", tlc_shape_elems(&n->in[0]->shape),
          w_bool(TLC_ATTRS(n, tlc_sgd_attrs)->nesterov));
}
REF_KERNEL(sgd, serves_all);

static void adam_literal(tlc_cwriter *w, const tlc_node *n)
{
    tlc_w(w, "{ .elems = %" PRId64 ", .decoupled = %s }", tlc_shape_elems(&n->in[0]->shape),
          w_bool(TLC_ATTRS(n, tlc_adam_attrs)->decoupled));
}
REF_KERNEL(adam, serves_all);

static void linear_sgd_literal(tlc_cwriter *w, const tlc_node *n)
{
    w_linear_shape(w, n->in[2], n->in[3]);
    tlc_w(w, ", .nesterov = %s }", w_bool(TLC_ATTRS(n, tlc_sgd_attrs)->nesterov));
}
REF_KERNEL(linear_sgd, serves_all);

static void linear_adam_literal(tlc_cwriter *w, const tlc_node *n)
{
    w_linear_shape(w, n->in[3], n->in[4]);
    tlc_w(w, ", .decoupled = %s }", w_bool(TLC_ATTRS(n, tlc_adam_attrs)->decoupled));
}
REF_KERNEL(linear_adam, serves_all);
