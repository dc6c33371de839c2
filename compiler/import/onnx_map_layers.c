/* onnx_map_layers.c: convolution, pooling, linear layers, normalisation, elementwise. */
#include "onnx_map.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

/* --- windows: what Conv and the pools share ------------------------------ */

typedef struct window {
    tlc_ints kernel, stride, pad, dilation; /* pad in ONNX's order: begins, then ends */
} window;

static tlc_status want_image(const tlc_onnx_node *n, const tlc_value *x)
{
    if (x->shape.rank == 4)
        return TLC_OK;
    return tlc_onnx_unsupported(n, "%s of rank %d is not supported, 4 is", n->row->op,
                                x->shape.rank);
}

/* SAME_UPPER and SAME_LOWER: as many outputs as strides fit; the odd pad after, or before. */
static void pad_same(const tlc_value *x, window *w, bool lower)
{
    for (int i = 0; i < 2; ++i) {
        int64_t in = x->shape.dim[2 + i], stride = w->stride.v[i];
        int64_t reach = (w->kernel.v[i] - 1) * w->dilation.v[i] + 1;
        int64_t total = ((in - 1) / stride) * stride + reach - in;
        total = total > 0 ? total : 0;
        w->pad.v[i] = lower ? (total + 1) / 2 : total / 2;
        w->pad.v[2 + i] = total - w->pad.v[i];
    }
}

static tlc_status read_pads(const tlc_onnx_node *n, const tlc_value *x, window *w)
{
    const char *how;
    TLC_TRY(tlc_onnx_text(n, "auto_pad", &how));
    TLC_TRY(tlc_onnx_ints(n, "pads", 4, 0, 0, &w->pad));
    if (!how || !how[0] || !strcmp(how, "NOTSET"))
        return TLC_OK;
    for (int i = 0; i < 4; ++i)
        if (w->pad.v[i])
            return TLC_ONNX_BAD(n, "pads beside auto_pad %s", tlc_quote_name(n->o->ctx, how));
    bool lower = !strcmp(how, "SAME_LOWER");
    if (lower || !strcmp(how, "SAME_UPPER"))
        pad_same(x, w, lower);
    else if (strcmp(how, "VALID") != 0)
        return TLC_ONNX_BAD(n, "auto_pad is %s, NOTSET, VALID, SAME_UPPER or SAME_LOWER wanted",
                            tlc_quote_name(n->o->ctx, how));
    return TLC_OK;
}

/* w->kernel is set. */
static tlc_status read_window(const tlc_onnx_node *n, const tlc_value *x, window *w)
{
    TLC_TRY(tlc_onnx_ints(n, "strides", 2, 1, 1, &w->stride));
    TLC_TRY(tlc_onnx_ints(n, "dilations", 2, 1, 1, &w->dilation));
    return read_pads(n, x, w);
}

/* --- Conv ---------------------------------------------------------------- */

static tlc_status check_kernel_shape(const tlc_onnx_node *n, const tlc_value *w, window *win)
{
    if (w->shape.rank != 4)
        return TLC_ONNX_BAD(n, "shape of the weight has rank %d, 4 wanted", w->shape.rank);
    TLC_TRY(tlc_onnx_ints(n, "kernel_shape", 2, 1, 1, &win->kernel));
    for (int i = 0; i < 2; ++i) {
        int64_t k = w->shape.dim[2 + i];
        if (tlc_onnx_attr(n, "kernel_shape") && win->kernel.v[i] != k)
            return TLC_ONNX_BAD(n, "kernel_shape[%d] is %" PRId64 ", the weight's is %" PRId64, i,
                                win->kernel.v[i], k);
        win->kernel.v[i] = k;
    }
    return TLC_OK;
}

static tlc_status check_group(const tlc_onnx_node *n, int64_t group)
{
    const tlc_shape *x = &n->in[0]->shape, *w = &n->in[1]->shape;
    int64_t channels;
    if (w->dim[0] % group || __builtin_mul_overflow(w->dim[1], group, &channels) ||
        x->dim[1] != channels)
        return TLC_ONNX_BAD(n,
                            "group is %" PRId64 ": input of %" PRId64 " channels does not fit "
                            "weight of shape [%" PRId64 ",%" PRId64 ",..]",
                            group, x->dim[1], w->dim[0], w->dim[1]);
    return TLC_OK;
}

tlc_status tlc_onnx_map_conv(tlc_onnx_node *n)
{
    window w = { 0 };
    int64_t group;
    TLC_TRY(tlc_onnx_want_const(n, 1, "weight"));
    if (tlc_onnx_in(n, 2))
        TLC_TRY(tlc_onnx_want_const(n, 2, "bias"));
    TLC_TRY(want_image(n, n->in[0]));
    TLC_TRY(check_kernel_shape(n, n->in[1], &w));
    TLC_TRY(read_window(n, n->in[0], &w));
    TLC_TRY(tlc_onnx_int(n, "group", 1, 1, INT32_MAX, &group));
    TLC_TRY(check_group(n, group));
    tlc_node *node = tlc_onnx_add(n, TLC_OP_CONV2D, n->in, n->n_in);
    tlc_conv2d_attrs *a = node->attrs;
    a->stride = w.stride;
    a->pad = w.pad;
    a->dilation = w.dilation;
    a->groups = group;
    return tlc_onnx_finish(n, node);
}

/* --- pools --------------------------------------------------------------- */

static tlc_status map_pool(tlc_onnx_node *n, tlc_op op)
{
    window w = { 0 };
    bool ceil_mode, include = false;
    TLC_TRY(want_image(n, n->in[0]));
    if (!tlc_onnx_attr(n, "kernel_shape"))
        return TLC_ONNX_BAD(n, "kernel_shape is absent");
    TLC_TRY(tlc_onnx_ints(n, "kernel_shape", 2, 1, 1, &w.kernel));
    TLC_TRY(read_window(n, n->in[0], &w));
    TLC_TRY(tlc_onnx_bool(n, "ceil_mode", false, &ceil_mode));
    if (op == TLC_OP_AVG_POOL2D)
        TLC_TRY(tlc_onnx_bool(n, "count_include_pad", false, &include));
    tlc_node *node = tlc_onnx_add(n, op, n->in, 1);
    tlc_pool2d_attrs *a = node->attrs;
    a->kernel = w.kernel;
    a->stride = w.stride;
    a->pad = w.pad;
    a->dilation = w.dilation;
    a->ceil_mode = ceil_mode;
    a->count_include_pad = include;
    return tlc_onnx_finish(n, node);
}

tlc_status tlc_onnx_map_max_pool(tlc_onnx_node *n)
{
    return map_pool(n, TLC_OP_MAX_POOL2D);
}

tlc_status tlc_onnx_map_average_pool(tlc_onnx_node *n)
{
    return map_pool(n, TLC_OP_AVG_POOL2D);
}

static tlc_status finish_mean(tlc_onnx_node *n, const tlc_ints *axes, bool keepdims)
{
    tlc_node *node = tlc_onnx_add(n, TLC_OP_REDUCE_MEAN, n->in, 1);
    tlc_axes_attrs *a = node->attrs;
    a->axes = *axes;
    a->keepdims = keepdims;
    return tlc_onnx_finish(n, node);
}

static tlc_ints axes_from(int first, int rank)
{
    tlc_ints axes = { 0 };
    for (int i = first; i < rank; ++i)
        axes.v[axes.n++] = i;
    return axes;
}

tlc_status tlc_onnx_map_global_average_pool(tlc_onnx_node *n)
{
    int rank = n->in[0]->shape.rank;
    if (rank < 3)
        return TLC_ONNX_BAD(n, "shape of the input has rank %d, at least 3", rank);
    tlc_ints axes = axes_from(2, rank);
    return finish_mean(n, &axes, true);
}

tlc_status tlc_onnx_map_reduce_mean(tlc_onnx_node *n)
{
    int rank = n->in[0]->shape.rank;
    bool given, keepdims, noop;
    tlc_ints axes;
    TLC_TRY(tlc_onnx_axes(n, 18, 1, &axes, &given));
    TLC_TRY(tlc_onnx_bool(n, "keepdims", true, &keepdims));
    TLC_TRY(tlc_onnx_bool(n, "noop_with_empty_axes", false, &noop));
    if (axes.n == 0 && noop)
        return tlc_onnx_map_identity(n);
    if (axes.n == 0)
        axes = axes_from(0, rank);
    TLC_TRY(tlc_onnx_wrap_axes(n, &axes, rank));
    return finish_mean(n, &axes, keepdims);
}

/* --- Gemm, MatMul -------------------------------------------------------- */

/* y = alpha A B + beta C becomes linear, whose weight is [out, in]: a B that is [in, out] is
 * transposed here, once, and alpha and beta are multiplied into copies. */
static tlc_status gemm_weight(const tlc_onnx_node *n, bool transposed, double alpha,
                              tlc_value **out)
{
    tlc_value *b = n->in[1];
    if (b->shape.rank != 2 || !tlc_is_float(b->type))
        return TLC_ONNX_BAD(n, "shape of B has rank %d, 2 wanted", b->shape.rank);
    if (transposed && alpha == 1) {
        *out = b;
        return TLC_OK;
    }
    int64_t rows = b->shape.dim[0], cols = b->shape.dim[1];
    float *to;
    tlc_shape s = transposed ? b->shape : tlc_shape_make(2, (int64_t[]){ cols, rows });
    TLC_TRY(tlc_onnx_copy(n->o, b, s, &to, out));
    for (int64_t r = 0; r < rows; ++r)
        for (int64_t c = 0; c < cols; ++c)
            to[transposed ? r * cols + c : c * rows + r] =
                (float)(alpha * tlc_data_f64(b, r * cols + c));
    tlc_onnx_mark_weight(n->o, *out, b);
    return TLC_OK;
}

/* C as a vector of `extent` numbers: it may be a scalar, [1], [extent] or [1, extent]. */
static tlc_status gemm_bias(const tlc_onnx_node *n, int64_t extent, double beta, tlc_value **out)
{
    *out = NULL;
    if (!tlc_onnx_in(n, 2) || beta == 0)
        return TLC_OK;
    TLC_TRY(tlc_onnx_want_const(n, 2, "C"));
    tlc_value *c = n->in[2];
    int64_t elems = tlc_shape_elems(&c->shape);
    int64_t last = c->shape.rank ? c->shape.dim[c->shape.rank - 1] : 1;
    if (c->shape.rank > 2 || elems != last || (elems != 1 && elems != extent))
        return TLC_ONNX_BAD(n, "shape of C is %s, [%" PRId64 "] wanted",
                            tlc_type_text(n->o->ctx, c), extent);
    if (beta == 1 && c->shape.rank == 1 && elems == extent) {
        *out = c;
        return TLC_OK;
    }
    float *to;
    TLC_TRY(tlc_onnx_copy(n->o, c, tlc_shape_make(1, &extent), &to, out));
    for (int64_t i = 0; i < extent; ++i)
        to[i] = (float)(beta * tlc_data_f64(c, elems == 1 ? 0 : i));
    tlc_onnx_mark_weight(n->o, *out, c);
    return TLC_OK;
}

static tlc_status check_gemm(const tlc_onnx_node *n, const tlc_value *w)
{
    const tlc_value *a = n->in[0];
    if (a->shape.rank == 2 && a->shape.dim[1] == w->shape.dim[1])
        return TLC_OK;
    return tlc_fail(n->o->ctx, TLC_E_MALFORMED, "E_SHAPE",
                    "shape of A is %s, [rows,%" PRId64 "] wanted by B", tlc_type_text(n->o->ctx, a),
                    w->shape.dim[1]);
}

tlc_status tlc_onnx_map_gemm(tlc_onnx_node *n)
{
    double alpha, beta;
    bool trans_a, trans_b;
    tlc_value *in[3] = { n->in[0] };
    TLC_TRY(tlc_onnx_want_const(n, 1, "B"));
    TLC_TRY(tlc_onnx_float(n, "alpha", 1, &alpha));
    TLC_TRY(tlc_onnx_float(n, "beta", 1, &beta));
    TLC_TRY(tlc_onnx_bool(n, "transA", false, &trans_a));
    TLC_TRY(tlc_onnx_bool(n, "transB", false, &trans_b));
    if (trans_a)
        return tlc_onnx_unsupported(n, "Gemm with transA 1 is not supported");
    TLC_TRY(gemm_weight(n, trans_b, alpha, &in[1]));
    bool rows = n->lift.lifted; /* of each picture */
    if (!rows)
        TLC_TRY(check_gemm(n, in[1]));
    TLC_TRY(gemm_bias(n, in[1]->shape.dim[0], beta, &in[2]));
    if (!rows)
        return tlc_onnx_finish(n, tlc_onnx_add(n, TLC_OP_LINEAR, in, 3));
    tlc_node *w = tlc_onnx_add(n, TLC_OP_UNSQUEEZE, &in[1], 1);
    TLC_ATTRS(w, tlc_axes_attrs)->axes = (tlc_ints){ .n = 2, .v = { 2, 3 } };
    TLC_TRY(tlc_onnx_step(n, w, &in[1]));
    return tlc_onnx_conv_last(n, in[1], in[2]);
}

tlc_status tlc_onnx_map_matmul(tlc_onnx_node *n)
{
    const tlc_shape *a = &n->in[0]->shape, *b = &n->in[1]->shape;
    if (tlc_shape_has_n(a) && tlc_shape_has_n(b) && a->rank > 2)
        return tlc_onnx_finish(n, tlc_onnx_add(n, TLC_OP_BATCH_MATMUL, n->in, 2));
    TLC_TRY(tlc_onnx_want_const(n, 1, "B"));
    if (a->rank > 2 && tlc_shape_has_n(a) && b->rank == 2)
        return tlc_onnx_matmul_map(n);
    for (int i = 0; i < 2; ++i)
        if (n->in[i]->shape.rank != 2)
            return tlc_onnx_unsupported(n, "MatMul of rank %d is not supported, 2 is",
                                        n->in[i]->shape.rank);
    return tlc_onnx_finish(n, tlc_onnx_add(n, TLC_OP_MATMUL, n->in, 2));
}

/* --- normalisation, dropout, softmax ------------------------------------- */

/* ONNX's momentum is what a running statistic keeps, as a float: 0.9 there is 0.1 here, not
 * 0.100000024.  Only training reads it. */
static double batch_share(double kept)
{
    double share = round((1 - kept) * 1e6) / 1e6;
    return share >= 0 && share <= 1 ? share : 0.1;
}

tlc_status tlc_onnx_map_batch_norm(tlc_onnx_node *n)
{
    static const char *const roles[] = { "input", "scale", "bias", "mean", "variance" };
    double epsilon, kept;
    int64_t spatial, training;
    for (int i = 1; i < 5; ++i)
        TLC_TRY(tlc_onnx_want_const(n, i, roles[i]));
    TLC_TRY(tlc_onnx_float(n, "epsilon", 1e-5, &epsilon));
    TLC_TRY(tlc_onnx_float(n, "momentum", 0.9, &kept));
    TLC_TRY(tlc_onnx_int(n, "spatial", 1, 0, 1, &spatial));
    TLC_TRY(tlc_onnx_int(n, "training_mode", 0, 0, 1, &training));
    if (!spatial)
        return tlc_onnx_unsupported(n, "BatchNormalization with spatial 0 is not supported");
    if (training)
        return tlc_onnx_unsupported(n, "BatchNormalization with training_mode 1 is not supported");
    tlc_node *node = tlc_onnx_add(n, TLC_OP_BATCH_NORM, n->in, 5);
    TLC_ATTRS(node, tlc_batch_norm_attrs)->epsilon = epsilon;
    TLC_ATTRS(node, tlc_batch_norm_attrs)->momentum = batch_share(kept);
    return tlc_onnx_finish(n, node);
}

/* What a trained head keeps and inference drops (canonicalise). */
tlc_status tlc_onnx_map_dropout(tlc_onnx_node *n)
{
    double ratio;
    if (n->o->opset < 12)
        TLC_TRY(tlc_onnx_float(n, "ratio", 0.5, &ratio));
    else
        TLC_TRY(tlc_onnx_const_number(n, 1, "ratio", 0.5, &ratio));
    if (!(ratio >= 0 && ratio < 1))
        return TLC_ONNX_BAD(n, "ratio is %g, at least 0 and less than 1 wanted", ratio);
    tlc_node *node = tlc_onnx_add(n, TLC_OP_DROPOUT, n->in, 1);
    tlc_dropout_attrs *a = node->attrs;
    a->p = ratio;
    a->index = n->o->n_dropouts++;
    return tlc_onnx_finish(n, node);
}

static tlc_node *add_axis(const tlc_onnx_node *n, tlc_op op, tlc_value *x, int64_t axis)
{
    tlc_node *node = tlc_onnx_add(n, op, &x, 1);
    TLC_ATTRS(node, tlc_axis_attrs)->axis = axis;
    return node;
}

/* Before opset 13 the axes from `axis` on are one: flatten, softmax, and back. */
static tlc_status softmax_flat(tlc_onnx_node *n, int64_t axis)
{
    const tlc_shape shape = n->in[0]->shape;
    tlc_value *v;
    TLC_TRY(tlc_onnx_step(n, add_axis(n, TLC_OP_FLATTEN, n->in[0], axis), &v));
    TLC_TRY(tlc_onnx_step(n, add_axis(n, TLC_OP_SOFTMAX, v, 1), &v));
    tlc_node *back = tlc_onnx_add(n, TLC_OP_RESHAPE, &v, 1);
    tlc_ints *to = &TLC_ATTRS(back, tlc_reshape_attrs)->shape;
    to->n = shape.rank;
    memcpy(to->v, shape.dim, (size_t)shape.rank * sizeof *shape.dim);
    return tlc_onnx_finish(n, back);
}

tlc_status tlc_onnx_map_softmax(tlc_onnx_node *n)
{
    int rank = n->in[0]->shape.rank;
    bool flat = n->o->opset < 13;
    int64_t axis;
    TLC_TRY(tlc_onnx_axis(n, flat ? 1 : -1, rank, rank - 1, &axis));
    if (flat && axis != rank - 1)
        return softmax_flat(n, axis);
    return tlc_onnx_finish(n, add_axis(n, TLC_OP_SOFTMAX, n->in[0], axis));
}

/* --- elementwise --------------------------------------------------------- */

tlc_status tlc_onnx_map_relu(tlc_onnx_node *n)
{
    return tlc_onnx_finish(n, tlc_onnx_add(n, TLC_OP_RELU, n->in, 1));
}

/* Exporters write the largest float where they mean no bound. */
static double unbounded(double x)
{
    return x >= (double)FLT_MAX ? HUGE_VAL : x <= -(double)FLT_MAX ? -HUGE_VAL : x;
}

tlc_status tlc_onnx_map_clip(tlc_onnx_node *n)
{
    double lo, hi;
    if (n->o->opset < 11) {
        TLC_TRY(tlc_onnx_float(n, "min", -HUGE_VAL, &lo));
        TLC_TRY(tlc_onnx_float(n, "max", HUGE_VAL, &hi));
    } else {
        TLC_TRY(tlc_onnx_const_number(n, 1, "min", -HUGE_VAL, &lo));
        TLC_TRY(tlc_onnx_const_number(n, 2, "max", HUGE_VAL, &hi));
    }
    tlc_node *node = tlc_onnx_add(n, TLC_OP_CLIP, n->in, 1);
    tlc_clip_attrs *a = node->attrs;
    a->lo = unbounded(lo);
    a->hi = unbounded(hi);
    return tlc_onnx_finish(n, node);
}

static tlc_status map_binary(tlc_onnx_node *n, tlc_op op)
{
    return tlc_onnx_finish(n, tlc_onnx_add(n, op, n->in, 2));
}

tlc_status tlc_onnx_map_add(tlc_onnx_node *n)
{
    return map_binary(n, TLC_OP_ADD);
}
tlc_status tlc_onnx_map_sub(tlc_onnx_node *n)
{
    return map_binary(n, TLC_OP_SUB);
}
tlc_status tlc_onnx_map_mul(tlc_onnx_node *n)
{
    return map_binary(n, TLC_OP_MUL);
}
tlc_status tlc_onnx_map_div(tlc_onnx_node *n)
{
    return map_binary(n, TLC_OP_DIV);
}

tlc_status tlc_onnx_map_sum(tlc_onnx_node *n)
{
    tlc_value *sum = n->in[0];
    for (int i = 1; i < n->n_in; ++i) {
        if (!n->in[i])
            return TLC_ONNX_BAD(n, "operand %d is absent", i);
        tlc_node *add = tlc_onnx_add(n, TLC_OP_ADD, (tlc_value *[]){ sum, n->in[i] }, 2);
        if (i + 1 == n->n_in)
            return tlc_onnx_finish(n, add);
        TLC_TRY(tlc_onnx_step(n, add, &sum));
    }
    return tlc_onnx_map_identity(n);
}
