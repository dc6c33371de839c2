/* kernels_cuda.c: the rows of the CUDA kernels: what each serves, and how many blocks it takes.
 *
 * They take the fields of the reference kernels, so a row borrows the reference's literal and its
 * conditions.  What is added is the launch, one of a few shapes, and where convolutions run on
 * matrix units, values in NHWC (kernels_cuda_nhwc.h).  Elements are float; labels and the positions
 * of maxima are the integers that go with them.
 */
#include "kernels_cuda_nhwc.h"
#include "kernels_ref.h"

enum {
    THREADS = 256, /* TLK_CUDA_THREADS */
    TILE = 64,     /* TLK_GEMM_TILE */
    MMA_AREA = 8192, MMA_CONV2D_ROWS = 64, MMA_LINEAR_ROWS = 128, /* TLK_MMA_AREA, mma_rows */
    RELAYOUT_TILE = 32, /* TLK_RELAYOUT_TILE */
    RUN = 8, /* TLK_CUDA_RUN */
    MOST_ALONG_YZ = 65535
};

/* --- launches --------------------------------------------------------------------- */

/* A thread for each of `elems` elements of a value like `v`: of a picture, if it has n. */
static tlc_launch elements(const tlc_value *v)
{
    int64_t elems = tlc_shape_elems(&v->shape);
    bool has_n = tlc_shape_has_n(&v->shape);
    return (tlc_launch){ has_n ? elems : 0, has_n ? 0 : elems, THREADS, 1, 1 };
}

static tlc_launch each_result(const tlc_node *n)
{
    return elements(n->out[0]);
}

static tlc_launch each_weight(const tlc_node *n)
{
    return elements(n->in[0]);
}

static tlc_launch blocks(int64_t count)
{
    return (tlc_launch){ 0, count, 1, 1, 1 };
}

/* A block for each element of the first result, which has no n. */
static tlc_launch block_a_result(const tlc_node *n)
{
    tlc_launch l = elements(n->out[0]);
    l.per_block = 1;
    return l;
}

/* Channels that a block takes of a value that its sums run over. */
static int64_t channels_a_block(const tlc_value *v)
{
    return v->layout.kind == TLC_NHWC && v->shape.dim[1] % RUN == 0 ? RUN : 1;
}

/* A block for each channel of operand 0, or each run of them. */
static tlc_launch block_a_channel(const tlc_node *n)
{
    return blocks(n->in[0]->shape.dim[1] / channels_a_block(n->in[0]));
}

/* A block for each row along `axis` of operand 0. */
static tlc_launch block_a_row(const tlc_node *n, int64_t row)
{
    tlc_launch l = elements(n->in[0]);
    l.a_picture /= row;
    l.fixed /= row;
    l.per_block = 1;
    return l;
}

/* Tiles of a product of `rows` by a_picture * n + fixed columns. */
static tlc_launch tiles(int64_t rows, int64_t a_picture, int64_t fixed, int64_t groups)
{
    return (tlc_launch){ a_picture, fixed, TILE, (rows + TILE - 1) / TILE, groups };
}

/* The columns are the rows of `v`, pictures or what stands for them, each `pixels` wide. */
static tlc_launch tiles_by_picture(const tlc_value *v, int64_t rows, int64_t pixels,
                                   int64_t groups)
{
    bool has_n = tlc_shape_has_n(&v->shape);
    return tiles(rows, has_n ? pixels : 0, has_n ? 0 : v->shape.dim[0] * pixels, groups);
}

/* --- what is served ------------------------------------------------------------------ */

static bool is_float(const tlc_value *v)
{
    return v->type == TLC_F32;
}

static bool all_float(const tlc_node *n)
{
    for (int i = 0; i < n->n_in; ++i)
        if (n->in[i] && !is_float(n->in[i]))
            return false;
    for (int i = 0; i < n->n_out; ++i)
        if (!is_float(n->out[i]))
            return false;
    return true;
}

/* Float but for one operand or result that is of integers by its nature. */
static bool first_float(const tlc_node *n)
{
    return is_float(n->in[0]);
}

static bool fits(tlc_launch l)
{
    return l.y <= MOST_ALONG_YZ && l.z <= MOST_ALONG_YZ;
}

/* The same product on matrix units, in tiles of rows x (MMA_AREA / rows). */
static tlc_launch on_matrix_units(tlc_launch l, int64_t rows, int64_t tile_rows)
{
    l.per_block = MMA_AREA / tile_rows;
    l.y = (rows + tile_rows - 1) / tile_rows;
    return l;
}

/* A row of kernels.def whose literal and conditions are those of reference kernel `ref`. */
#define CUDA_ROW(name, ref, type_ok, launch_fn, layouts_fn, scratch_fn)              \
    static bool name##_serves(const tlc_node *n)                                     \
    {                                                                                \
        return type_ok(n) && tlc_kernel_fns_ref_##ref.serves(n) &&                   \
               fits(launch_fn(n));                                                   \
    }                                                                                \
    static void name##_literal(tlc_cwriter *w, const tlc_node *n)                    \
    {                                                                                \
        tlc_nhwc_view view;                                                          \
        tlc_kernel_fns_ref_##ref.literal(w, tlc_nhwc_as_stored(n, &view));           \
    }                                                                                \
    const tlc_kernel_fns tlc_kernel_fns_cuda_##name = {                              \
        .serves = name##_serves,                                                     \
        .layouts = layouts_fn,                                                       \
        .literal = name##_literal,                                                   \
        .launch = launch_fn,                                                         \
        .scratch_bytes = scratch_fn,                                                 \
    }
#define CUDA_KERNEL_OF(name, ref, type_ok, launch_fn) \
    CUDA_ROW(name, ref, type_ok, launch_fn, plain_layouts, NULL)
#define CUDA_KERNEL(name, launch_fn) CUDA_KERNEL_OF(name, name, all_float, launch_fn)
/* On matrix units, of the fields of kernel `ref`. */
#define CUDA_PRODUCT(name, ref, launch_fn, layouts_fn) \
    CUDA_ROW(name, ref, all_float, launch_fn, layouts_fn, NULL)
/* One that takes either layout. */
#define CUDA_KERNEL_ALIKE(name, launch_fn) \
    CUDA_ROW(name, name, all_float, launch_fn, tlc_nhwc_alike, NULL)

#define TLC_KERNEL(name, OP, TARGET, flags, header, report) TLC_DECLARE_##TARGET(name)
#define TLC_DECLARE_CPU(name)
#define TLC_DECLARE_CUDA(name)
#define TLC_DECLARE_REF(name) extern const tlc_kernel_fns tlc_kernel_fns_##name;
#include "kernels.def"
#undef TLC_KERNEL

/* --- convolution ------------------------------------------------------------------------ */

static int64_t pixels(const tlc_value *v)
{
    return v->shape.dim[2] * v->shape.dim[3];
}

static tlc_launch conv2d_launch(const tlc_node *n)
{
    const tlc_value *y = n->out[0];
    int64_t groups = groups_of(n);
    return tiles_by_picture(y, y->shape.dim[1] / groups, pixels(y), groups);
}
CUDA_KERNEL(conv2d, conv2d_launch);

/* Rows of the product are the channels of the result, or of the gradient's weight. */
static tlc_launch mma_conv2d_launch(const tlc_node *n)
{
    return on_matrix_units(conv2d_launch(n), n->out[0]->shape.dim[1] / groups_of(n),
                           MMA_CONV2D_ROWS);
}
CUDA_PRODUCT(tf32_conv2d, conv2d, mma_conv2d_launch, tlc_nhwc_of_conv2d);
CUDA_PRODUCT(bf16_conv2d, conv2d, mma_conv2d_launch, tlc_nhwc_of_conv2d);

static tlc_launch conv2d_grad_x_launch(const tlc_node *n)
{
    return conv2d_launch(n); /* the result is dx, its channels are x's */
}
CUDA_KERNEL(conv2d_grad_x, conv2d_grad_x_launch);
CUDA_PRODUCT(tf32_conv2d_grad_x, conv2d_grad_x, mma_conv2d_launch, tlc_nhwc_of_conv2d_grad_x);
CUDA_PRODUCT(bf16_conv2d_grad_x, conv2d_grad_x, mma_conv2d_launch, tlc_nhwc_of_conv2d_grad_x);

static tlc_launch conv2d_grad_w_launch(const tlc_node *n)
{
    const int64_t *w = n->out[0]->shape.dim;
    int64_t groups = groups_of(n);
    return tiles(w[0] / groups, 0, w[1] * w[2] * w[3], groups);
}
CUDA_KERNEL(conv2d_grad_w, conv2d_grad_w_launch);

static tlc_launch mma_conv2d_grad_w_launch(const tlc_node *n)
{
    return on_matrix_units(conv2d_grad_w_launch(n), n->out[0]->shape.dim[0] / groups_of(n),
                           MMA_CONV2D_ROWS);
}
CUDA_PRODUCT(tf32_conv2d_grad_w, conv2d_grad_w, mma_conv2d_grad_w_launch,
             tlc_nhwc_of_conv2d_grad_w);
CUDA_PRODUCT(bf16_conv2d_grad_w, conv2d_grad_w, mma_conv2d_grad_w_launch,
             tlc_nhwc_of_conv2d_grad_w);

/* The same for each part: z counts parts of groups. */
static tlc_launch conv2d_parts_launch(const tlc_node *n)
{
    const tlc_conv2d_parts_attrs *a = TLC_ATTRS(n, tlc_conv2d_parts_attrs);
    const int64_t *w = n->out[0]->shape.dim + 1, groups = groups_of(n);
    return tiles(w[0] / groups, 0, w[1] * w[2] * w[3], groups * a->parts);
}
CUDA_KERNEL(conv2d_grad_w_parts, conv2d_parts_launch);

static tlc_launch mma_conv2d_parts_launch(const tlc_node *n)
{
    return on_matrix_units(conv2d_parts_launch(n), n->out[0]->shape.dim[1] / groups_of(n),
                           MMA_CONV2D_ROWS);
}
CUDA_PRODUCT(tf32_conv2d_grad_w_parts, conv2d_grad_w_parts, mma_conv2d_parts_launch,
             tlc_nhwc_of_conv2d_grad_w);
CUDA_PRODUCT(bf16_conv2d_grad_w_parts, conv2d_grad_w_parts, mma_conv2d_parts_launch,
             tlc_nhwc_of_conv2d_grad_w);

/* One input channel a group: the weight's second axis. */
static bool is_depthwise(const tlc_node *n)
{
    const tlc_value *w = n->op == TLC_OP_CONV2D_GRAD_W ? n->out[0] : n->in[1];
    return all_float(n) && groups_of(n) > 1 && w->shape.dim[1] == 1;
}
CUDA_ROW(depthwise, conv2d, is_depthwise, each_result, tlc_nhwc_alike, NULL);
CUDA_ROW(depthwise_grad_x, conv2d_grad_x, is_depthwise, each_result, tlc_nhwc_alike, NULL);

/* A block for each tap of a channel, or of a run of them. */
static tlc_launch depthwise_grad_w_launch(const tlc_node *n)
{
    const tlc_value *dy = n->in[0], *x = n->in[1];
    tlc_launch l = block_a_result(n);
    if (x->layout.kind == TLC_NHWC && x->shape.dim[1] == dy->shape.dim[1])
        l.fixed /= channels_a_block(dy);
    return l;
}
CUDA_ROW(depthwise_grad_w, conv2d_grad_w, is_depthwise, depthwise_grad_w_launch, tlc_nhwc_alike,
         NULL);

/* --- linear -------------------------------------------------------------------------------- */

/* Rows of the product are the result's second axis, its columns the first. */
static tlc_launch linear_launch(const tlc_node *n)
{
    return tiles_by_picture(n->out[0], n->out[0]->shape.dim[1], 1, 1);
}
CUDA_KERNEL(linear, linear_launch);
CUDA_KERNEL(matmul, linear_launch);
CUDA_KERNEL(linear_grad_x, linear_launch);

static tlc_launch mma_linear_launch(const tlc_node *n)
{
    return on_matrix_units(linear_launch(n), n->out[0]->shape.dim[1], MMA_LINEAR_ROWS);
}
CUDA_KERNEL_OF(tf32_linear, linear, all_float, mma_linear_launch);
CUDA_KERNEL_OF(bf16_linear, linear, all_float, mma_linear_launch);
CUDA_KERNEL_OF(tf32_matmul, matmul, all_float, mma_linear_launch);
CUDA_KERNEL_OF(bf16_matmul, matmul, all_float, mma_linear_launch);
CUDA_KERNEL_OF(tf32_linear_grad_x, linear_grad_x, all_float, mma_linear_launch);
CUDA_KERNEL_OF(bf16_linear_grad_x, linear_grad_x, all_float, mma_linear_launch);

static tlc_launch weight_tiles(const tlc_value *w)
{
    return tiles(w->shape.dim[0], 0, w->shape.dim[1], 1);
}

static tlc_launch linear_grad_w_launch(const tlc_node *n)
{
    return weight_tiles(n->out[0]);
}
CUDA_KERNEL(linear_grad_w, linear_grad_w_launch);

static tlc_launch linear_update_launch(const tlc_node *n)
{
    return weight_tiles(n->in[0]);
}
CUDA_KERNEL(linear_sgd, linear_update_launch);
CUDA_KERNEL(linear_adam, linear_update_launch);

static tlc_launch mma_weight_tiles(const tlc_value *w)
{
    return on_matrix_units(weight_tiles(w), w->shape.dim[0], MMA_LINEAR_ROWS);
}

static tlc_launch mma_linear_grad_w_launch(const tlc_node *n)
{
    return mma_weight_tiles(n->out[0]);
}
CUDA_KERNEL_OF(tf32_linear_grad_w, linear_grad_w, all_float, mma_linear_grad_w_launch);
CUDA_KERNEL_OF(bf16_linear_grad_w, linear_grad_w, all_float, mma_linear_grad_w_launch);

static tlc_launch mma_linear_update_launch(const tlc_node *n)
{
    return mma_weight_tiles(n->in[0]);
}
CUDA_KERNEL_OF(tf32_linear_sgd, linear_sgd, all_float, mma_linear_update_launch);
CUDA_KERNEL_OF(bf16_linear_sgd, linear_sgd, all_float, mma_linear_update_launch);
CUDA_KERNEL_OF(tf32_linear_adam, linear_adam, all_float, mma_linear_update_launch);
CUDA_KERNEL_OF(bf16_linear_adam, linear_adam, all_float, mma_linear_update_launch);

/* --- the rest --------------------------------------------------------------------------------- */

CUDA_KERNEL_ALIKE(batch_norm, each_result);
CUDA_KERNEL_ALIKE(batch_norm_grad, each_result);
CUDA_KERNEL_ALIKE(batch_norm_train, block_a_channel);
CUDA_KERNEL_ALIKE(batch_norm_train_grad_scale, block_a_channel);
CUDA_KERNEL_ALIKE(batch_norm_train_grad_x, each_result);
CUDA_KERNEL_ALIKE(batch_norm_stats, each_weight);

CUDA_KERNEL_ALIKE(act, each_result);
CUDA_KERNEL_ALIKE(act_grad, each_result);
CUDA_ROW(binary, binary, all_float, each_result, tlc_nhwc_broadcast, NULL);
CUDA_KERNEL_ALIKE(unary, each_result);
CUDA_KERNEL_ALIKE(dropout, each_result);

static tlc_launch along_axis(const tlc_node *n)
{
    return block_a_row(n, n->in[0]->shape.dim[TLC_ATTRS(n, tlc_axis_attrs)->axis]);
}
CUDA_KERNEL(softmax, along_axis);
CUDA_KERNEL(softmax_grad, along_axis);

static tlc_launch over_classes(const tlc_node *n)
{
    return block_a_row(n, n->in[0]->shape.dim[1]);
}

/* Where the host puts the classes' weights. */
static int64_t class_weight_bytes(const tlc_node *n)
{
    return n->in[0]->shape.dim[1] * (int64_t)sizeof(float);
}
CUDA_ROW(cross_entropy, cross_entropy, first_float, over_classes, plain_layouts,
         class_weight_bytes);
CUDA_ROW(cross_entropy_grad, cross_entropy_grad, first_float, over_classes, plain_layouts,
         class_weight_bytes);

CUDA_KERNEL_ALIKE(max_pool2d, each_result);
CUDA_KERNEL_ALIKE(avg_pool2d, each_result);
CUDA_ROW(max_pool2d_positions, max_pool2d_positions, first_float, each_result, tlc_nhwc_alike,
         NULL);
CUDA_ROW(max_pool2d_grad, max_pool2d_grad, first_float, each_result, tlc_nhwc_of_max_pool2d_grad,
         NULL);
CUDA_KERNEL_ALIKE(avg_pool2d_grad, each_result);

CUDA_ROW(reduce_mean, reduce_mean, all_float, each_result, tlc_nhwc_of_mean, NULL);
CUDA_ROW(reduce_mean_grad, reduce_mean_grad, all_float, each_result, tlc_nhwc_of_mean, NULL);
CUDA_ROW(sum_to, sum_to, all_float, block_a_result, tlc_nhwc_broadcast, NULL);
CUDA_KERNEL_ALIKE(bias_grad, block_a_channel);

/* Of a sum over the leading axis alone the terms are whole arrays.  Where they are many a block for
 * each element has more threads (cuda_sum_to). */
static bool sum_parts_serves(const tlc_node *n)
{
    const tlc_shape *x = &n->in[0]->shape, *y = &n->out[0]->shape;
    if (!all_float(n) || tlc_shape_has_n(x) || x->rank != y->rank + 1 || x->dim[0] > THREADS)
        return false;
    return product(x->dim + 1, y->rank) == product(y->dim, y->rank);
}

static void sum_parts_literal(tlc_cwriter *w, const tlc_node *n)
{
    tlc_w(w, "{ .elems = %" PRId64 ", .parts = %" PRId64 " }", tlc_shape_elems(&n->out[0]->shape),
          n->in[0]->shape.dim[0]);
}

const tlc_kernel_fns tlc_kernel_fns_cuda_sum_parts = {
    .serves = sum_parts_serves,
    .layouts = tlc_nhwc_alike,
    .literal = sum_parts_literal,
    .launch = each_result,
};

static tlc_launch layer_norm_launch(const tlc_node *n)
{
    const tlc_shape *x = &n->in[0]->shape;
    int axis = (int)TLC_ATTRS(n, tlc_layer_norm_attrs)->axis;
    return block_a_row(n, product(x->dim + axis, x->rank - axis));
}
CUDA_KERNEL(layer_norm, layer_norm_launch);
CUDA_KERNEL_ALIKE(lrn, each_result);

CUDA_KERNEL_ALIKE(pad, each_result);
CUDA_KERNEL(transpose, each_result);
CUDA_KERNEL_ALIKE(slice, each_result);
CUDA_KERNEL_ALIKE(concat, each_result);
CUDA_KERNEL(copy, each_result);

/* From plain to NHWC or back; a picture is a matrix of channels and pixels. */
static bool relayout_serves(const tlc_node *n)
{
    return all_float(n) &&
           (n->in[0]->layout.kind == TLC_NHWC) != (n->out[0]->layout.kind == TLC_NHWC);
}

static void relayout_literal(tlc_cwriter *w, const tlc_node *n)
{
    const tlc_shape *s = &n->in[0]->shape;
    int64_t c = s->dim[s->rank - 3], plane = product(s->dim + s->rank - 2, 2);
    bool from_nhwc = n->in[0]->layout.kind == TLC_NHWC;
    tlc_w(w, "{ .rows = %" PRId64 ", .columns = %" PRId64 " }", from_nhwc ? plane : c,
          from_nhwc ? c : plane);
}

/* A block for each tile of each matrix. */
static tlc_launch relayout_launch(const tlc_node *n)
{
    const tlc_shape *s = &n->in[0]->shape;
    int64_t c = s->dim[s->rank - 3], plane = product(s->dim + s->rank - 2, 2);
    int64_t tiles = ((c + RELAYOUT_TILE - 1) / RELAYOUT_TILE) *
                    ((plane + RELAYOUT_TILE - 1) / RELAYOUT_TILE);
    tlc_launch l = elements(n->in[0]);
    l.a_picture = l.a_picture / (c * plane) * tiles;
    l.fixed = l.fixed / (c * plane) * tiles;
    l.per_block = 1;
    return l;
}

const tlc_kernel_fns tlc_kernel_fns_cuda_relayout = {
    .serves = relayout_serves,
    .literal = relayout_literal,
    .launch = relayout_launch,
};

/* Threads stand at x and look for their place in dy, so the fields are others than the
 * reference's, which walks dy. */
static bool slice_grad_serves(const tlc_node *n)
{
    return all_float(n) && tlc_kernel_fns_ref_slice_grad.serves(n);
}

static void slice_grad_literal(tlc_cwriter *w, const tlc_node *n)
{
    tlc_nhwc_view view;
    n = tlc_nhwc_as_stored(n, &view);
    const tlc_slice_attrs *a = &TLC_ATTRS(n, tlc_slice_grad_attrs)->slice;
    const tlc_shape *x = &n->out[0]->shape;
    tlc_shape p = picture(x), q = picture(&n->in[0]->shape);
    int skip = batch_axes(x);
    tlc_w(w, "{ .batch = %" PRId64 ", .rank = %d", picture_batch(x), p.rank);
    w_list(w, "dim", p.dim, p.rank);
    w_list(w, "dy_dim", q.dim, q.rank);
    w_list(w, "start", a->starts.v + skip, p.rank);
    w_list(w, "step", a->steps.v + skip, p.rank);
    tlc_w(w, " }");
}

const tlc_kernel_fns tlc_kernel_fns_cuda_slice_grad = {
    .serves = slice_grad_serves,
    .layouts = tlc_nhwc_alike,
    .literal = slice_grad_literal,
    .launch = each_result,
};

CUDA_KERNEL_ALIKE(accumulate, each_weight);
CUDA_KERNEL_ALIKE(sgd, each_weight);
CUDA_KERNEL_ALIKE(adam, each_weight);
