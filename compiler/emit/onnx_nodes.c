/* onnx_nodes.c: the IR's operators as ONNX nodes: import/onnx_ops.def read backwards.
 *
 * What the importer makes of a file is written so that the importer makes the same of it again.
 * Where ONNX takes as an operand what is an attribute here, the constant goes into the graph.
 */
#include "onnx_out.h"

#include "cwriter.h"
#include "op.h"
#include "resize_axis.h"

#include <math.h>
#include <string.h>

/* --- attributes and constants -------------------------------------------------------- */

static void attribute(tlc_onnx_out *o, const tlb_proto *body)
{
    tlb_proto_message(&o->node, ONNX_NODE_ATTRIBUTE, body);
}

static void attr_int(tlc_onnx_out *o, const char *name, int64_t value)
{
    tlb_proto a = tlc_onnx_message(o->ctx);
    tlb_proto_text(&a, ONNX_ATTR_NAME, name);
    tlb_proto_int(&a, ONNX_ATTR_I, value);
    tlb_proto_int(&a, ONNX_ATTR_TYPE, ONNX_ATTR_TYPE_INT);
    attribute(o, &a);
}

static void attr_float(tlc_onnx_out *o, const char *name, double value)
{
    tlb_proto a = tlc_onnx_message(o->ctx);
    tlb_proto_text(&a, ONNX_ATTR_NAME, name);
    tlb_proto_float(&a, ONNX_ATTR_F, (float)value);
    tlb_proto_int(&a, ONNX_ATTR_TYPE, ONNX_ATTR_TYPE_FLOAT);
    attribute(o, &a);
}

static void attr_list(tlc_onnx_out *o, const char *name, const int64_t *v, int n)
{
    tlb_proto a = tlc_onnx_message(o->ctx);
    tlb_proto_text(&a, ONNX_ATTR_NAME, name);
    for (int i = 0; i < n; ++i)
        tlb_proto_int(&a, ONNX_ATTR_INTS, v[i]);
    tlb_proto_int(&a, ONNX_ATTR_TYPE, ONNX_ATTR_TYPE_INTS);
    attribute(o, &a);
}

static void attr_text(tlc_onnx_out *o, const char *name, const char *text)
{
    tlb_proto a = tlc_onnx_message(o->ctx);
    tlb_proto_text(&a, ONNX_ATTR_NAME, name);
    tlb_proto_text(&a, ONNX_ATTR_S, text);
    tlb_proto_int(&a, ONNX_ATTR_TYPE, ONNX_ATTR_TYPE_STRING);
    attribute(o, &a);
}

static void attr_ints(tlc_onnx_out *o, const char *name, const tlc_ints *x)
{
    attr_list(o, name, x->v, x->n);
}

/* A small constant as the node's next operand: "RESULT.pads"; `count` below 0: a scalar. */
static void constant(tlc_onnx_out *o, const char *what, int type, int count, const void *bytes,
                     size_t n_bytes)
{
    const char *name = tlc_arena_printf(&o->ctx->arena, "%s.%s", o->node_name, what);
    tlb_proto t = tlc_onnx_message(o->ctx);
    if (count >= 0)
        tlb_proto_int(&t, ONNX_TENSOR_DIMS, count);
    tlb_proto_int(&t, ONNX_TENSOR_DATA_TYPE, type);
    tlb_proto_text(&t, ONNX_TENSOR_NAME, name);
    tlb_proto_bytes(&t, ONNX_TENSOR_RAW_DATA, bytes, n_bytes);
    tlb_proto_message(&o->graph, ONNX_GRAPH_INITIALIZER, &t);
    tlb_proto_text(&o->node, ONNX_NODE_INPUT, name);
}

static void const_ints(tlc_onnx_out *o, const char *what, const tlc_ints *x)
{
    constant(o, what, TLC_ONNX_INT64, x->n, x->v, (size_t)x->n * sizeof x->v[0]);
}

static void const_float(tlc_onnx_out *o, const char *what, double x)
{
    float narrow = (float)x;
    constant(o, what, TLC_ONNX_FLOAT, -1, &narrow, sizeof narrow);
}

static void no_operand(tlc_onnx_out *o)
{
    tlb_proto_text(&o->node, ONNX_NODE_INPUT, "");
}

/* --- operators ------------------------------------------------------------------------- */

static void write_conv(tlc_onnx_out *o, const tlc_node *n)
{
    const tlc_conv2d_attrs *a = n->attrs;
    attr_list(o, "kernel_shape", &n->in[1]->shape.dim[2], 2);
    attr_ints(o, "strides", &a->stride);
    attr_ints(o, "pads", &a->pad);
    attr_ints(o, "dilations", &a->dilation);
    attr_int(o, "group", a->groups);
}

static void write_gemm(tlc_onnx_out *o, const tlc_node *n)
{
    (void)n;
    attr_int(o, "transB", 1);
}

static void write_batch_norm(tlc_onnx_out *o, const tlc_node *n)
{
    const tlc_batch_norm_attrs *a = n->attrs;
    attr_float(o, "epsilon", a->epsilon);
    attr_float(o, "momentum", 1 - a->momentum);
}

/* An absent bound is infinite. */
static void write_clip(tlc_onnx_out *o, const tlc_node *n)
{
    const tlc_clip_attrs *a = n->attrs;
    if (isfinite(a->lo))
        const_float(o, "min", a->lo);
    else if (isfinite(a->hi))
        no_operand(o);
    if (isfinite(a->hi))
        const_float(o, "max", a->hi);
}

static void write_dropout(tlc_onnx_out *o, const tlc_node *n)
{
    const_float(o, "ratio", TLC_ATTRS(n, tlc_dropout_attrs)->p);
}

static void write_cast(tlc_onnx_out *o, const tlc_node *n)
{
    attr_int(o, "to", tlc_onnx_type_number(TLC_ATTRS(n, tlc_cast_attrs)->to));
}

static void write_pool(tlc_onnx_out *o, const tlc_node *n)
{
    const tlc_pool2d_attrs *a = n->attrs;
    attr_ints(o, "kernel_shape", &a->kernel);
    attr_ints(o, "strides", &a->stride);
    attr_ints(o, "pads", &a->pad);
    attr_int(o, "ceil_mode", a->ceil_mode);
    if (n->op == TLC_OP_AVG_POOL2D)
        attr_int(o, "count_include_pad", a->count_include_pad);
    if (n->op == TLC_OP_MAX_POOL2D || a->dilation.v[0] != 1 || a->dilation.v[1] != 1)
        attr_ints(o, "dilations", &a->dilation);
}

/* Over the planes of pictures; kept as axes of one element. */
static bool is_global_pool(const tlc_node *n)
{
    const tlc_axes_attrs *a = n->attrs;
    return n->in[0]->shape.rank == 4 && a->keepdims && a->axes.n == 2 && a->axes.v[0] == 2 &&
           a->axes.v[1] == 3;
}

static void write_mean(tlc_onnx_out *o, const tlc_node *n)
{
    const tlc_axes_attrs *a = n->attrs;
    if (is_global_pool(n))
        return;
    if (o->opset < 18)
        attr_ints(o, "axes", &a->axes);
    else
        const_ints(o, "axes", &a->axes);
    attr_int(o, "keepdims", a->keepdims);
}

/* How ONNX says what a resize does: a name for the positions, and sizes or scales of axes 2, 3. */
typedef struct resize_form {
    const tlc_resize_row *by;
    bool by_sizes;
    float scale[2];
} resize_form;

/* Does `by` give the positions that axis `i` (0: h, 1: w) has?  The scale as it will be read. */
static bool resize_fits(const tlc_node *n, int i, resize_form *f)
{
    const tlc_resize_attrs *a = n->attrs;
    double step = i ? a->step_w : a->step_h, offset = i ? a->offset_w : a->offset_h;
    int64_t from = n->in[0]->shape.dim[2 + i], to = a->size.v[i];
    tlc_resize_axis axis = { from, to, (double)to / (double)from, (double)from / (double)to };
    if (!f->by_sizes) {
        f->scale[i] = step > 0 ? (float)(1 / step) : 0;
        axis.scale = tlc_meant((double)f->scale[i]);
        axis.step = 1 / axis.scale;
        if (floor((double)(float)((double)from * axis.scale)) != (double)to)
            return false;
    }
    tlc_resize_line line = f->by->of(&axis);
    return line.step == step && line.offset == offset;
}

/* Scales rather than sizes, which leave out the batch since opset 18 alone. */
static bool find_resize(const tlc_node *n, resize_form *f)
{
    for (int by_sizes = 0; by_sizes < 2; ++by_sizes)
        for (f->by = tlc_resize_rows; f->by->name; ++f->by) {
            f->by_sizes = by_sizes;
            if (!f->by->until && resize_fits(n, 0, f) && resize_fits(n, 1, f))
                return true;
        }
    return false;
}

static void write_resize_mode(tlc_onnx_out *o, const tlc_resize_attrs *a)
{
    static const char *const rounding[] = { "round_prefer_floor", "round_prefer_ceil", "floor",
                                            "ceil" };
    bool nearest = a->mode < TLC_RESAMPLE_LINEAR, cubic = a->mode == TLC_RESAMPLE_CUBIC;
    attr_text(o, "mode", nearest ? "nearest" : cubic ? "cubic" : "linear");
    if (nearest)
        attr_text(o, "nearest_mode", rounding[a->mode]);
    if (cubic) {
        attr_float(o, "cubic_coeff_a", a->cubic);
        attr_int(o, "exclude_outside", a->inside);
    }
}

static void write_resize(tlc_onnx_out *o, const tlc_node *n)
{
    static const int64_t plane[] = { 2, 3 };
    const tlc_resize_attrs *a = n->attrs;
    resize_form f;
    if (!find_resize(n, &f))
        return; /* resize_version refused it */
    attr_text(o, "coordinate_transformation_mode", f.by->name);
    write_resize_mode(o, a);
    no_operand(o);
    if (f.by_sizes) {
        attr_list(o, "axes", plane, 2);
        no_operand(o);
        const_ints(o, "sizes", &a->size);
    } else {
        const float scales[] = { 1, 1, f.scale[0], f.scale[1] };
        constant(o, "scales", TLC_ONNX_FLOAT, 4, scales, sizeof scales);
    }
}

static void write_pad(tlc_onnx_out *o, const tlc_node *n)
{
    const tlc_pad_attrs *a = n->attrs;
    const_ints(o, "pads", &a->pads);
    const_float(o, "value", a->value);
}

static void write_axis(tlc_onnx_out *o, const tlc_node *n)
{
    attr_int(o, "axis", TLC_ATTRS(n, tlc_axis_attrs)->axis);
}

static void write_axes(tlc_onnx_out *o, const tlc_node *n)
{
    const_ints(o, "axes", &TLC_ATTRS(n, tlc_axes_attrs)->axes);
}

/* The batch is copied from the operand: 0 where ONNX would have a number. */
static void write_reshape(tlc_onnx_out *o, const tlc_node *n)
{
    tlc_ints to = TLC_ATTRS(n, tlc_reshape_attrs)->shape;
    if (to.n > 0 && to.v[0] == TLC_DIM_N)
        to.v[0] = 0;
    const_ints(o, "shape", &to);
}

static void write_perm(tlc_onnx_out *o, const tlc_node *n)
{
    attr_ints(o, "perm", &TLC_ATTRS(n, tlc_perm_attrs)->perm);
}

/* Axes that are kept whole are not named.  Backwards to the front, the end lies before the first
 * element: as a number, below minus the size. */
static void write_slice(tlc_onnx_out *o, const tlc_node *n)
{
    const tlc_slice_attrs *a = n->attrs;
    const tlc_shape *x = &n->in[0]->shape;
    tlc_ints starts = { 0 }, ends = { 0 }, axes = { 0 }, steps = { 0 };
    for (int i = 0; i < x->rank; ++i) {
        if (x->dim[i] == TLC_DIM_N ||
            (a->steps.v[i] == 1 && a->starts.v[i] == 0 && a->ends.v[i] == x->dim[i]))
            continue;
        starts.v[starts.n++] = a->starts.v[i];
        ends.v[ends.n++] = a->ends.v[i] < 0 ? -x->dim[i] - 1 : a->ends.v[i];
        axes.v[axes.n++] = i;
        steps.v[steps.n++] = a->steps.v[i];
    }
    const_ints(o, "starts", &starts);
    const_ints(o, "ends", &ends);
    const_ints(o, "axes", &axes);
    const_ints(o, "steps", &steps);
}

static void write_alpha(tlc_onnx_out *o, const tlc_node *n)
{
    attr_float(o, "alpha", TLC_ATTRS(n, tlc_unary_attrs)->alpha);
}

static void write_hard_sigmoid(tlc_onnx_out *o, const tlc_node *n)
{
    write_alpha(o, n);
    attr_float(o, "beta", TLC_ATTRS(n, tlc_unary_attrs)->beta);
}

static void write_pow(tlc_onnx_out *o, const tlc_node *n)
{
    const_float(o, "exponent", TLC_ATTRS(n, tlc_unary_attrs)->alpha);
}

static void write_layer_norm(tlc_onnx_out *o, const tlc_node *n)
{
    const tlc_layer_norm_attrs *a = n->attrs;
    attr_int(o, "axis", a->axis);
    attr_float(o, "epsilon", a->epsilon);
}

static void write_lrn(tlc_onnx_out *o, const tlc_node *n)
{
    const tlc_lrn_attrs *a = n->attrs;
    attr_int(o, "size", a->size);
    attr_float(o, "alpha", a->alpha);
    attr_float(o, "beta", a->beta);
    attr_float(o, "bias", a->bias);
}

/* --- what has no form ---------------------------------------------------------------------- */

/* A fused activation or residual, which only IR text brings before the pass fuse. */
static bool plain_conv(const tlc_node *n, int64_t *opset)
{
    (void)opset;
    return TLC_ATTRS(n, tlc_conv2d_attrs)->act == TLC_ACT_NONE && (n->n_in < 4 || !n->in[3]);
}

static bool plain_product(const tlc_node *n, int64_t *opset)
{
    const tlc_batch_matmul_attrs *t = n->attrs;
    (void)opset;
    return !t->trans_a && !t->trans_b;
}

static bool plain_linear(const tlc_node *n, int64_t *opset)
{
    (void)opset;
    return TLC_ATTRS(n, tlc_linear_attrs)->act == TLC_ACT_NONE;
}

static bool pool_version(const tlc_node *n, int64_t *opset)
{
    enum { DILATED_SINCE = 19 };
    const tlc_pool2d_attrs *a = n->attrs;
    bool dilated = a->dilation.v[0] != 1 || a->dilation.v[1] != 1;
    if (dilated && *opset < DILATED_SINCE)
        *opset = DILATED_SINCE;
    return true;
}

static bool resize_version(const tlc_node *n, int64_t *opset)
{
    enum { AXES_SINCE = 18 };
    resize_form f;
    if (!find_resize(n, &f))
        return false;
    int64_t since = f.by_sizes && f.by->since < AXES_SINCE ? AXES_SINCE : f.by->since;
    if (*opset < since)
        *opset = since;
    return true;
}

static bool has_scale(const tlc_node *n, int64_t *opset)
{
    (void)opset;
    return n->n_in > 1 && n->in[1];
}

/* --- the table ------------------------------------------------------------------------------- */

enum { OPSET = 13 }; /* axes of Squeeze as an operand; what most tools read */

typedef struct row {
    const char *name; /* NULL: no such operator in ONNX */
    int64_t since;    /* opset; 0: OPSET */
    void (*write)(tlc_onnx_out *o, const tlc_node *n); /* attributes; NULL: none */
    bool (*fits)(const tlc_node *n, int64_t *opset);   /* NULL: always */
} row;

static const row rows[TLC_OP_COUNT] = {
    [TLC_OP_CONV2D] = { "Conv", 0, write_conv, plain_conv },
    [TLC_OP_LINEAR] = { "Gemm", 0, write_gemm, plain_linear },
    [TLC_OP_MATMUL] = { "MatMul", 0, NULL, NULL },
    [TLC_OP_BATCH_MATMUL] = { "MatMul", 0, NULL, plain_product },
    [TLC_OP_BATCH_NORM] = { "BatchNormalization", 0, write_batch_norm, NULL },
    [TLC_OP_RELU] = { "Relu", 0, NULL, NULL },
    [TLC_OP_CLIP] = { "Clip", 0, write_clip, NULL },
    [TLC_OP_ADD] = { "Add", 0, NULL, NULL },
    [TLC_OP_SUB] = { "Sub", 0, NULL, NULL },
    [TLC_OP_MUL] = { "Mul", 0, NULL, NULL },
    [TLC_OP_DIV] = { "Div", 0, NULL, NULL },
    [TLC_OP_MIN] = { "Min", 0, NULL, NULL },
    [TLC_OP_MAX] = { "Max", 0, NULL, NULL },
    [TLC_OP_WHERE] = { "Where", 0, NULL, NULL },
    [TLC_OP_DROPOUT] = { "Dropout", 0, write_dropout, NULL },
    [TLC_OP_IDENTITY] = { "Identity", 0, NULL, NULL },
    [TLC_OP_CAST] = { "Cast", 0, write_cast, NULL },
    [TLC_OP_SOFTMAX] = { "Softmax", 0, write_axis, NULL },
    [TLC_OP_MAX_POOL2D] = { "MaxPool", 0, write_pool, NULL },
    [TLC_OP_AVG_POOL2D] = { "AveragePool", 0, write_pool, pool_version },
    [TLC_OP_RESIZE] = { "Resize", 0, write_resize, resize_version },
    [TLC_OP_REDUCE_MEAN] = { "ReduceMean", 0, write_mean, NULL },
    [TLC_OP_PAD] = { "Pad", 0, write_pad, NULL },
    [TLC_OP_FLATTEN] = { "Flatten", 0, write_axis, NULL },
    [TLC_OP_RESHAPE] = { "Reshape", 0, write_reshape, NULL },
    [TLC_OP_SQUEEZE] = { "Squeeze", 0, write_axes, NULL },
    [TLC_OP_UNSQUEEZE] = { "Unsqueeze", 0, write_axes, NULL },
    [TLC_OP_TRANSPOSE] = { "Transpose", 0, write_perm, NULL },
    [TLC_OP_CONCAT] = { "Concat", 0, write_axis, NULL },
    [TLC_OP_SLICE] = { "Slice", 0, write_slice, NULL },
    [TLC_OP_SIGMOID] = { "Sigmoid", 0, NULL, NULL },
    [TLC_OP_HARD_SIGMOID] = { "HardSigmoid", 0, write_hard_sigmoid, NULL },
    [TLC_OP_HARD_SWISH] = { "HardSwish", 14, NULL, NULL },
    [TLC_OP_LEAKY_RELU] = { "LeakyRelu", 0, write_alpha, NULL },
    [TLC_OP_ELU] = { "Elu", 0, write_alpha, NULL },
    [TLC_OP_TANH] = { "Tanh", 0, NULL, NULL },
    [TLC_OP_EXP] = { "Exp", 0, NULL, NULL },
    [TLC_OP_LOG] = { "Log", 0, NULL, NULL },
    [TLC_OP_SQRT] = { "Sqrt", 0, NULL, NULL },
    [TLC_OP_ERF] = { "Erf", 0, NULL, NULL },
    [TLC_OP_POW] = { "Pow", 0, write_pow, NULL },
    [TLC_OP_ABS] = { "Abs", 0, NULL, NULL },
    [TLC_OP_FLOOR] = { "Floor", 0, NULL, NULL },
    [TLC_OP_CEIL] = { "Ceil", 0, NULL, NULL },
    [TLC_OP_ROUND] = { "Round", 0, NULL, NULL },
    [TLC_OP_LAYER_NORM] = { "LayerNormalization", 17, write_layer_norm, has_scale },
    [TLC_OP_LRN] = { "LRN", 0, write_lrn, NULL },
};

const char *tlc_onnx_op_type(tlc_op op)
{
    return rows[op].name;
}

bool tlc_onnx_has(const tlc_node *n, int64_t *opset)
{
    const row *r = &rows[n->op];
    int64_t since = r->since ? r->since : OPSET;
    if (!r->name)
        return false;
    if (*opset < since)
        *opset = since;
    return !r->fits || r->fits(n, opset);
}

static const char *op_type(const tlc_node *n)
{
    bool pool = n->op == TLC_OP_REDUCE_MEAN && is_global_pool(n);
    return pool ? "GlobalAveragePool" : rows[n->op].name;
}

void tlc_onnx_write_node(tlc_onnx_out *o, const tlc_node *n)
{
    o->node = tlc_onnx_message(o->ctx);
    o->node_name = o->names[n->out[0]->id];
    for (int i = 0; i < n->n_in; ++i)
        if (n->in[i])
            tlb_proto_text(&o->node, ONNX_NODE_INPUT, o->names[n->in[i]->id]);
        else if (i + 1 < n->n_in)
            no_operand(o);
    if (rows[n->op].write)
        rows[n->op].write(o, n);
    tlb_proto_text(&o->node, ONNX_NODE_OUTPUT, o->node_name);
    const char *name = o->node_names[n->out[0]->id];
    if (name)
        tlb_proto_text(&o->node, ONNX_NODE_NAME, name);
    tlb_proto_text(&o->node, ONNX_NODE_OP_TYPE, op_type(n));
    tlb_proto_message(&o->graph, ONNX_GRAPH_NODE, &o->node);
}
