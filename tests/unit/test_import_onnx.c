/* test_import_onnx.c: what each ONNX operator becomes, on fixtures of one or two nodes, for
 * the forms that differ between opsets; and whole models where TLC_MODELS names a folder.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "import_expect.h"

#include <math.h>
#include <unistd.h>

/* --- convolution and pools ----------------------------------------------- */

static net conv_net(const char *auto_pad, int64_t stride, int64_t k)
{
    pb conv = node_of("Conv", "conv", "x,w", "y");
    attr_text(&conv, "auto_pad", auto_pad);
    attr_ints(&conv, "strides", INTS(stride, stride));
    net m = with(image_net(11), conv);
    net_init(&m, tensor_ramp("w", 4, (int64_t[]){ 4, 3, k, k }, 0, 1));
    return m;
}

static void test_auto_pad(void **state)
{
    (void)state;
    expect(conv_net("SAME_UPPER", 2, 3), "f32[n,4,4,4]|pad=[0,0,1,1]");
    expect(conv_net("SAME_LOWER", 2, 3), "f32[n,4,4,4]|pad=[1,1,0,0]");
    expect(conv_net("SAME_UPPER", 1, 3), "f32[n,4,8,8]|pad=[1,1,1,1]");
    expect(conv_net("SAME_UPPER", 4, 1), "f32[n,4,2,2] = conv2d");
    expect(conv_net("VALID", 1, 3), "f32[n,4,6,6]");
    expect(conv_net("NOTSET", 1, 3), "f32[n,4,6,6]");
}

static void test_conv_forms(void **state)
{
    (void)state;
    pb conv = node_of("Conv", "conv", "x,w", "y");
    attr_int(&conv, "group", 3);
    attr_ints(&conv, "dilations", INTS(2, 1));
    attr_ints(&conv, "pads", INTS(0, 1, 2, 3));
    net m = with(image_net(7), conv);
    net_init(&m, tensor_ramp("w", 4, (int64_t[]){ 6, 1, 3, 3 }, 0, 1));
    expect(m, "f32[n,6,6,10]|pad=[0,1,2,3]|dilation=[2,1]|groups=3");
    m = with(input_net(11, 3, (int64_t[]){ -1, 3, 8 }), node_of("Conv", "conv", "x,w", "y"));
    net_init(&m, tensor_ramp("w", 3, (int64_t[]){ 6, 3, 3 }, 0, 1));
    expect_fail(m, TLC_E_UNSUPPORTED, "Conv of rank 3");
}

static pb pool_of(const char *op, int64_t k, int64_t stride)
{
    pb pool = node_of(op, "pool", "x", "y");
    attr_ints(&pool, "kernel_shape", INTS(k, k));
    attr_ints(&pool, "strides", INTS(stride, stride));
    return pool;
}

static void test_pools(void **state)
{
    (void)state;
    pb pool = pool_of("MaxPool", 3, 2);
    attr_int(&pool, "ceil_mode", 1);
    expect(with(image_net(12), pool), "f32[n,3,4,4] = max_pool2d|ceil_mode=true");
    pool = pool_of("MaxPool", 3, 2);
    attr_ints(&pool, "dilations", INTS(2, 2));
    expect(with(image_net(12), pool), "f32[n,3,2,2]|dilation=[2,2]");
    pool = pool_of("AveragePool", 3, 2);
    attr_ints(&pool, "pads", INTS(1, 1, 1, 1));
    attr_int(&pool, "count_include_pad", 1);
    expect(with(image_net(19), pool), "f32[n,3,4,4] = avg_pool2d|count_include_pad=true");
    pool = pool_of("AveragePool", 2, 1);
    attr_text(&pool, "auto_pad", "SAME_LOWER");
    expect(with(image_net(7), pool), "f32[n,3,8,8]|pad=[1,1,0,0]");
    expect(with(image_net(7), node_of("GlobalAveragePool", "g", "x", "y")),
           "f32[n,3,1,1] = reduce_mean|axes=[2,3]");
    expect_fail(with(image_net(7), node_of("MaxPool", "p", "x", "y")), TLC_E_MALFORMED,
                "kernel_shape is absent");
    net m = with(image_net(12), pool_of("MaxPool", 2, 2));
    net_set(&m.node[0], node_of("MaxPool", "p", "x", "v,y"));
    attr_ints(&m.node[0], "kernel_shape", INTS(2, 2));
    expect_fail(m, TLC_E_UNSUPPORTED, "result \"y\" is not supported");
}

static void test_reduce_mean(void **state)
{
    (void)state;
    pb mean = node_of("ReduceMean", "mean", "x", "y");
    attr_ints(&mean, "axes", INTS(-1, 2));
    attr_int(&mean, "keepdims", 0);
    expect(with(image_net(11), mean), "f32[n,3] = reduce_mean|keepdims=false");
    net m = with(image_net(18), node_of("ReduceMean", "mean", "x,a", "y"));
    net_init(&m, tensor_ints("a", INTS(-1, -2)));
    expect(m, "f32[n,3,1,1] = reduce_mean");
    mean = node_of("ReduceMean", "mean", "x", "y");
    attr_int(&mean, "noop_with_empty_axes", 1);
    expect(with(image_net(18), mean), "identity");
    expect_fail(with(image_net(18), node_of("ReduceMean", "mean", "x", "y")), TLC_E_UNSUPPORTED,
                "batch");
    mean = node_of("ReduceMean", "mean", "x", "y");
    attr_ints(&mean, "axes", INTS(2, 3));
    expect_fail(with(image_net(18), mean), TLC_E_MALFORMED, "ends before opset 18");
}

/* --- linear layers ------------------------------------------------------- */

static void test_gemm(void **state)
{
    (void)state;
    run r;
    pb gemm = node_of("Gemm", "fc", "x,b,c", "y");
    attr_float(&gemm, "alpha", 2);
    attr_float(&gemm, "beta", 3);
    net m = with(vector_net(7), gemm);
    net_init(&m, tensor_ramp("b", 2, (int64_t[]){ 6, 2 }, 0, 1));
    net_init(&m, tensor_ramp("c", 2, (int64_t[]){ 1, 2 }, 1, 1));
    run_net(&r, &m);
    assert_int_equal(r.status, TLC_OK);
    const tlc_node *n = run_forward(&r)->first;
    assert_int_equal(n->op, TLC_OP_LINEAR);
    assert_int_equal(n->in[1]->kind, TLC_PARAM);
    /* b is [6,2] = 0..11: w[o][i] = 2 b[i][o]; c = 1, 2 */
    assert_true(tlc_data_f64(n->in[1], 1) == 2 * 2);
    assert_true(tlc_data_f64(n->in[1], 6) == 2 * 1);
    assert_true(tlc_data_f64(n->in[2], 0) == 3 && tlc_data_f64(n->in[2], 1) == 6);
    assert_int_equal(r.info.param_elems, 14);
    run_end(&r);
    gemm = node_of("Gemm", "fc", "x,b", "y");
    attr_int(&gemm, "transA", 1);
    m = with_init(with(vector_net(11), gemm), tensor_ramp("b", 2, (int64_t[]){ 6, 2 }, 0, 1));
    expect_fail(m, TLC_E_UNSUPPORTED, "transA");
}

static void test_matmul_sum(void **state)
{
    (void)state;
    net m = with(vector_net(13), node_of("MatMul", "mm", "x,w", "z"));
    net_init(&m, tensor_ramp("w", 2, (int64_t[]){ 6, 2 }, 0, 1));
    net_init(&m, tensor_ramp("b", 1, (int64_t[]){ 2 }, 0, 1));
    net_node(&m, node_of("Sum", "sum", "z,b,z", "y"));
    expect(m, "f32[n,2] = matmul|f32[n,2] = add|f32[n,2] = add");
    m = with(vector_net(13), node_of("Sum", "sum", "x", "y"));
    expect(m, "identity");
    m = with(vector_net(13), node_of("MatMul", "mm", "x,x", "y"));
    expect_fail(m, TLC_E_UNSUPPORTED, "not constant");
}

/* --- elementwise, normalisation ------------------------------------------ */

static void test_clip(void **state)
{
    (void)state;
    pb clip = node_of("Clip", "clip", "x", "y");
    attr_float(&clip, "min", 0);
    attr_float(&clip, "max", 6);
    expect(with(image_net(6 + 1), clip), "clip|lo=0, hi=6");
    net m = with(image_net(11), node_of("Clip", "clip", "x,,hi", "y"));
    net_init(&m, float_scalar("hi", 6));
    expect(m, "clip|hi=6");
    m = with(image_net(11), node_of("Clip", "clip", "x,lo,hi", "y"));
    net_init(&m, float_scalar("lo", -3.402823466e38f));
    net_init(&m, float_scalar("hi", 1));
    expect(m, "{hi=1}");
    m = with(image_net(11), node_of("Clip", "clip", "x,lo,hi", "y"));
    net_init(&m, float_scalar("lo", 0));
    net_init(&m, float_scalar("hi", 3.402823466e38f));
    expect(m, "{lo=0}");
    clip = node_of("Clip", "clip", "x", "y");
    attr_float(&clip, "min", 0);
    expect_fail(with(image_net(11), clip), TLC_E_MALFORMED, "ends before opset 11");
}

static void test_dropout(void **state)
{
    (void)state;
    pb drop = node_of("Dropout", "drop", "x", "z,mask");
    attr_float(&drop, "ratio", 0.25f);
    net m = with(vector_net(7), drop);
    net_node(&m, node_of("Dropout", "again", "z", "y"));
    expect(m, "dropout|p=0.25|dropout|index=1");
    m = with(vector_net(13), node_of("Dropout", "drop", "x,r", "y"));
    net_init(&m, float_scalar("r", 0.125f));
    expect(m, "p=0.125");
    m = with(vector_net(13), node_of("Dropout", "drop", "x,r", "y"));
    net_init(&m, float_scalar("r", 1));
    expect_fail(m, TLC_E_MALFORMED, "ratio");
}

static void test_softmax(void **state)
{
    (void)state;
    expect(with(vector_net(7), node_of("Softmax", "s", "x", "y")), "f32[n,6] = softmax");
    expect(with(image_net(7), node_of("Softmax", "s", "x", "y")),
           "f32[n,192] = flatten|f32[n,192] = softmax|f32[n,3,8,8] = reshape");
    expect(with(image_net(13), node_of("Softmax", "s", "x", "y")), "f32[n,3,8,8] = softmax|axis=3");
}

static void test_batch_norm(void **state)
{
    (void)state;
    net m = base_net();
    attr_int(&m.node[BASE_BN], "training_mode", 1);
    expect_fail(m, TLC_E_UNSUPPORTED, "training_mode");
    m = base_net();
    m.opset = 7;
    attr_int(&m.node[BASE_BN], "spatial", 0);
    expect_fail(m, TLC_E_UNSUPPORTED, "spatial");
    m = base_net();
    expect(m, "conv2d|batch_norm|relu|reduce_mean|flatten|linear");
}

/* --- data movement and shapes -------------------------------------------- */

static void test_pad(void **state)
{
    (void)state;
    pb pad = node_of("Pad", "pad", "x", "y");
    attr_ints(&pad, "pads", INTS(0, 0, 1, 2, 0, 0, 3, 4));
    attr_float(&pad, "value", 2);
    expect(with(image_net(10), pad), "f32[n,3,12,14] = pad|pads=[0,0,1,2,0,0,3,4]|value=2");
    net m = with(image_net(18), node_of("Pad", "pad", "x,p,,a", "y"));
    net_init(&m, tensor_ints("p", INTS(1, 2)));
    net_init(&m, tensor_ints("a", INTS(-1)));
    expect(m, "f32[n,3,8,11] = pad");
    pad = node_of("Pad", "pad", "x", "y");
    attr_text(&pad, "mode", "reflect");
    expect_fail(with(image_net(10), pad), TLC_E_UNSUPPORTED, "reflect");
    m = with(image_net(13), node_of("Pad", "pad", "x,p", "y"));
    net_init(&m, tensor_ints("p", INTS(1, 0, 0, 0, 0, 0, 0, 0)));
    expect_fail(m, TLC_E_UNSUPPORTED, "batch");
}

static net reshape_net(int64_t batch, int n, const int64_t *to)
{
    net m =
        with(input_net(14, 4, (int64_t[]){ batch, 3, 8, 8 }), node_of("Reshape", "r", "x,s", "y"));
    net_init(&m, tensor_ints("s", n, to));
    return m;
}

static void test_reshape(void **state)
{
    (void)state;
    expect(reshape_net(-1, INTS(0, -1)), "f32[n,192] = flatten");
    expect(reshape_net(-1, INTS(-1, 192)), "f32[n,192] = flatten");
    expect(reshape_net(1, INTS(1, 192)), "f32[n,192] = flatten");
    expect(reshape_net(4, INTS(4, -1, 8)), "f32[n,24,8] = reshape");
    expect(reshape_net(-1, INTS(0, 0, 64)), "f32[n,3,64] = reshape");
    expect_fail(reshape_net(-1, INTS(1, 192)), TLC_E_UNSUPPORTED, "fixed first dimension");
    expect_fail(reshape_net(4, INTS(1, 768)), TLC_E_UNSUPPORTED, "fixed first dimension");
    expect_fail(reshape_net(-1, INTS(-1, 0, 0, 0, 0)), TLC_E_MALFORMED, "Reshape");
    expect_fail(reshape_net(-1, INTS(0, 5, 5)), TLC_E_MALFORMED, "Reshape");
}

static void test_reshape_allowzero(void **state)
{
    (void)state;
    net m = reshape_net(-1, INTS(0, 192));
    attr_int(&m.node[0], "allowzero", 1);
    expect_fail(m, TLC_E_UNSUPPORTED, "fixed first dimension");
    m = reshape_net(1, INTS(1, 192));
    attr_int(&m.node[0], "allowzero", 1);
    expect(m, "f32[n,192] = flatten");
}

/* Flatten as TensorFlow and old PyTorch write it: Shape, Gather or Slice, Concat, Reshape. */
static void test_shape_arithmetic(void **state)
{
    (void)state;
    net m = image_net(13);
    net_init(&m, tensor_raw("zero", ELEM_INT64, 0, NULL, &(int64_t){ 0 }, 8));
    net_init(&m, tensor_ints("axis", INTS(0)));
    net_init(&m, tensor_ints("rest", INTS(-1)));
    net_node(&m, node_of("Shape", "shape", "x", "s"));
    net_node(&m, node_of("Gather", "gather", "s,zero", "b"));
    net_node(&m, node_of("Unsqueeze", "up", "b,axis", "b1"));
    pb concat = node_of("Concat", "concat", "b1,rest", "to");
    attr_int(&concat, "axis", 0);
    net_node(&m, concat);
    net_node(&m, node_of("Reshape", "reshape", "x,to", "y"));
    expect(m, "f32[n,192] = flatten");
    m = image_net(15);
    pb shape = node_of("Shape", "shape", "x", "s");
    attr_int(&shape, "end", -2);
    net_init(&m, tensor_ints("rest", INTS(-1)));
    net_node(&m, shape);
    concat = node_of("Concat", "concat", "s,rest", "to");
    attr_int(&concat, "axis", 0);
    net_node(&m, concat);
    net_node(&m, node_of("Reshape", "reshape", "x,to", "y"));
    expect(m, "f32[n,3,64] = reshape");
}

/* Keras' Flatten by tf2onnx: the shape of a transposed value, counted in INT32; `kept` numbers of
 * the shape are joined with `rest`. */
static net keras_flatten(int64_t kept, pb rest)
{
    net m = image_net(15);
    pb nhwc = node_of("Transpose", "nhwc", "x", "t"), narrow = node_of("Cast", "narrow", "g", "i");
    pb concat = node_of("Concat", "concat", "b,rest", "j");
    pb wide = node_of("Cast", "wide", "j", "to");
    attr_ints(&nhwc, "perm", INTS(0, 2, 3, 1));
    attr_int(&narrow, "to", ELEM_INT32);
    attr_int(&concat, "axis", 0);
    attr_int(&wide, "to", ELEM_INT64);
    net_init(&m, tensor_ints("perm", INTS(0, 2, 3, 1)));
    net_init(&m, tensor_ints("zero", INTS(0)));
    net_init(&m, tensor_ints("kept", INTS(kept)));
    net_init(&m, rest);
    net_node(&m, nhwc);
    net_node(&m, node_of("Shape", "shape", "x", "s"));
    net_node(&m, node_of("Gather", "gather", "s,perm", "g"));
    net_node(&m, narrow);
    net_node(&m, node_of("Slice", "slice", "i,zero,kept,zero", "b"));
    net_node(&m, concat);
    net_node(&m, wide);
    return with(m, node_of("Reshape", "reshape", "t,to", "y"));
}

static void test_shape_in_int32(void **state)
{
    (void)state;
    pb typed = tensor_head("rest", ELEM_INT32, 1, &(int64_t){ 1 });
    pb_int(&typed, 5, -1);
    int64_t one = 1, two = 2;
    expect(keras_flatten(1, tensor_raw("rest", ELEM_INT32, 1, &one, (int32_t[]){ 192 }, 4)),
           "f32[n,8,8,3] = transpose|f32[n,192] = flatten");
    expect(keras_flatten(1, typed), "f32[n,192] = flatten");
    expect(keras_flatten(2, tensor_raw("rest", ELEM_INT32, 1, &two, (int32_t[]){ -1, 3 }, 8)),
           "f32[n,8,8,3] = reshape");
    expect_fail(keras_flatten(1, tensor_raw("rest", ELEM_INT32, 1, &one, (int32_t[]){ 191 }, 4)),
                TLC_E_MALFORMED, "not the same number of elements");
}

static void test_slice_forms(void **state)
{
    (void)state;
    pb slice = node_of("Slice", "slice", "x", "y");
    attr_ints(&slice, "starts", INTS(1, -3));
    attr_ints(&slice, "ends", INTS(INT64_MAX, -1));
    attr_ints(&slice, "axes", INTS(1, 3));
    expect(with(image_net(9), slice), "f32[n,2,8,2] = slice");
    net m = with(image_net(13), node_of("Slice", "slice", "x,s,e,a,t", "y"));
    net_init(&m, tensor_ints("s", INTS(0, -1)));
    net_init(&m, tensor_ints("e", INTS(INT64_MAX, INT64_MIN)));
    net_init(&m, tensor_ints("a", INTS(0, 2)));
    net_init(&m, tensor_ints("t", INTS(1, -3)));
    expect(m, "f32[n,3,3,8] = slice");
    m = with(image_net(13), node_of("Slice", "slice", "x,s,e", "y"));
    net_init(&m, tensor_ints("s", INTS(1)));
    net_init(&m, tensor_ints("e", INTS(2)));
    expect_fail(m, TLC_E_UNSUPPORTED, "batch");
}

static void test_axes_forms(void **state)
{
    (void)state;
    pb node = node_of("Unsqueeze", "up", "x", "y");
    attr_ints(&node, "axes", INTS(2, 3));
    expect(with(vector_net(11), node), "f32[n,6,1,1] = unsqueeze");
    net m = with(vector_net(13), node_of("Unsqueeze", "up", "x,a", "y"));
    net_init(&m, tensor_ints("a", INTS(-1)));
    expect(m, "f32[n,6,1] = unsqueeze");
    expect(with(input_net(13, 4, (int64_t[]){ -1, 6, 1, 1 }), node_of("Squeeze", "s", "x", "y")),
           "f32[n,6] = squeeze");
    node = node_of("Transpose", "t", "x", "y");
    attr_ints(&node, "perm", INTS(0, 2, 3, 1));
    expect(with(image_net(13), node), "f32[n,8,8,3] = transpose");
    expect_fail(with(image_net(13), node_of("Transpose", "t", "x", "y")), TLC_E_UNSUPPORTED,
                "batch");
    expect(with(image_net(13), node_of("Identity", "i", "x", "y")), "identity");
    node = node_of("Concat", "c", "x,x", "y");
    attr_int(&node, "axis", -3);
    expect(with(image_net(13), node), "f32[n,6,8,8] = concat");
}

static void test_gelu(void **state)
{
    (void)state;
    pb gelu = node_of("Gelu", "g", "x", "y");
    expect(with(vector_net(20), gelu), "mul|erf|add|mul|mul");
    gelu = node_of("Gelu", "g", "x", "y");
    attr_text(&gelu, "approximate", "tanh");
    expect(with(vector_net(20), gelu), "mul|mul|add|mul|tanh|add|mul|mul");
    gelu = node_of("Gelu", "g", "x", "y");
    attr_text(&gelu, "approximate", "fast");
    expect_fail(with(vector_net(20), gelu), TLC_E_MALFORMED, "approximate is");
}

static void test_swish(void **state)
{
    (void)state;
    pb swish = node_of("Swish", "s", "x", "y");
    expect(with(vector_net(24), swish), "sigmoid|mul");
    swish = node_of("Swish", "s", "x", "y");
    attr_float(&swish, "alpha", 2);
    expect(with(vector_net(28), swish), "mul|sigmoid|mul");
}

/* Both were found by fuzzing: numbers that are no integers, and many out of a few bytes. */
static void test_gather_and_expand(void **state)
{
    (void)state;
    net m = image_net(13);
    net_init(&m, tensor_raw("at", ELEM_DOUBLE, 1, (int64_t[]){ 1 }, &(double){ NAN }, 8));
    expect_fail(with(m, node_of("Gather", "g", "x,at", "y")), TLC_E_MALFORMED,
                "the indices are f32, integers wanted");
    m = vector_net(13);
    net_init(&m, tensor_ints("to", INTS(1, 1, 1, 2000000000)));
    expect_fail(with(m, node_of("Expand", "e", "x,to", "y")), TLC_E_LIMIT, "limit folded");
}

/* A batch of one, flattened whole and gathered under another shape; `last` is the position of
 * the last value. */
static net strided_net(int64_t last)
{
    net m = input_net(18, 4, (int64_t[]){ 1, 2, 1, 1 });
    net_node(&m, node_of("Reshape", "flat", "x,whole", "f"));
    net_node(&m, node_of("Gather", "strided", "f,at", "y"));
    net_init(&m, tensor_ints("whole", INTS(-1)));
    net_init(&m, tensor_raw("at", ELEM_INT64, 3, (int64_t[]){ 1, 1, 2 }, (int64_t[]){ 0, last },
                            2 * sizeof(int64_t)));
    return m;
}

static void test_as_strided(void **state)
{
    (void)state;
    expect(strided_net(1), "f32[n,2] = flatten|f32[n,1,2] = reshape");
    expect_fail(strided_net(0), TLC_E_UNSUPPORTED, "in another order");
    net m = strided_net(1); /* another reader sees one list of all pictures' values */
    net_node(&m, node_of("Relu", "other", "f", "r"));
    expect_fail(m, TLC_E_UNSUPPORTED, "Gather by i64[1,1,2]");
}

/* --- constants ----------------------------------------------------------- */

/* `c` is added to x; its first elements are looked at. */
static void expect_constant(net m, double first, double last)
{
    run r;
    net_node(&m, node_of("Add", "add", "x,c", "y"));
    run_net(&r, &m);
    if (r.status != TLC_OK)
        run_show(&r);
    assert_int_equal(r.status, TLC_OK);
    const tlc_value *c = run_forward(&r)->first->in[1];
    assert_int_equal(c->type, TLC_F32);
    assert_true(tlc_data_f64(c, 0) == first);
    assert_true(tlc_data_f64(c, tlc_shape_elems(&c->shape) - 1) == last);
    run_end(&r);
}

static pb constant_node(const char *form, pb attr_value)
{
    pb node = node_of("Constant", "c", "", "c"), a = { 0 };
    pb_text(&a, 1, form);
    pb_put(&a, attr_value.bytes, attr_value.n);
    pb_free(&attr_value);
    pb_message(&node, 5, a);
    return node;
}

static void test_constants(void **state)
{
    (void)state;
    pb value = { 0 };
    pb_int(&value, 20, 1);
    pb_float(&value, 2, 1.5f);
    expect_constant(with(vector_net(13), constant_node("value_float", value)), 1.5, 1.5);
    value = (pb){ 0 };
    pb_int(&value, 20, 6);
    for (int i = 0; i < 6; ++i)
        pb_float(&value, 7, (float)i);
    expect_constant(with(vector_net(13), constant_node("value_floats", value)), 0, 5);
    pb node = node_of("Constant", "c", "", "c");
    attr_tensor(&node, "value", tensor_ramp("", 1, (int64_t[]){ 6 }, 2, 1));
    expect_constant(with(vector_net(13), node), 2, 7);
    value = (pb){ 0 };
    pb_text(&value, 4, "text");
    expect_fail(with(vector_net(13), constant_node("value_string", value)), TLC_E_UNSUPPORTED,
                "value_string");
}

static void test_element_types(void **state)
{
    (void)state;
    static const uint16_t halves[6] = { 0x3c00, 0xc000, 0x0001, 0x7bff, 0, 0x3555 };
    static const uint16_t bfloats[6] = { 0x3f80, 0, 0, 0, 0, 0xc040 };
    const double doubles[6] = { 0.1, 0, 0, 0, 0, 7 };
    int64_t six = 6;
    net m = with_init(vector_net(13), tensor_raw("c", ELEM_HALF, 1, &six, halves, sizeof halves));
    expect_constant(m, 1, 0x1.554p-2);
    m = with_init(vector_net(13), tensor_raw("c", 16, 1, &six, bfloats, sizeof bfloats));
    expect_constant(m, 1, -3);
    m = with_init(vector_net(13), tensor_raw("c", ELEM_DOUBLE, 1, &six, doubles, sizeof doubles));
    expect_constant(m, (double)0.1f, 7);
    pb t = tensor_head("c", ELEM_FLOAT, 1, &six);
    for (int i = 0; i < 6; ++i)
        pb_float(&t, 4, (float)i);
    expect_constant(with_init(vector_net(13), t), 0, 5);
    t = tensor_head("c", ELEM_HALF, 1, &six);
    for (int i = 0; i < 6; ++i)
        pb_int(&t, 5, halves[i]);
    expect_constant(with_init(vector_net(13), t), 1, 0x1.554p-2);
}

static void test_cast_and_splat(void **state)
{
    (void)state;
    net m = vector_net(13);
    pb cast = node_of("Cast", "cast", "i", "c");
    attr_int(&cast, "to", ELEM_FLOAT);
    net_init(&m, tensor_ints("i", INTS(3, 0, 0, 0, 0, 9)));
    expect_constant(with(m, cast), 3, 9);
    m = vector_net(13);
    pb splat = node_of("ConstantOfShape", "splat", "s", "c");
    attr_tensor(&splat, "value", tensor_ramp("", 1, (int64_t[]){ 1 }, 0.5f, 0));
    net_init(&m, tensor_ints("s", INTS(6)));
    expect_constant(with(m, splat), 0.5, 0.5);
}

/* An initialiser that is read twice, once through Identity, is two parameters, and a statistic of
 * its own; all have names, and the bytes are there once. */
static void test_shared(void **state)
{
    (void)state;
    run r;
    net m = base_net();
    net_node(&m, node_of("Relu", "last", "y", "last"));
    net_set(&m.node[BASE_BN], node_of("BatchNormalization", "bn", "x,sc,bn.bias,sc,sc", "d"));
    net_set(&m.node[BASE_CONV], node_of("Identity", "same", "sc", "bn.bias"));
    net_set(&m.init[BASE_FC], tensor_ramp("fc.weight", 2, (int64_t[]){ 10, 3 }, 0, 1));
    net_init(&m, tensor_ramp("sc", 1, (int64_t[]){ 3 }, 1, 0));
    run_net(&r, &m);
    assert_int_equal(r.status, TLC_OK);
    static const char *const names[] = { "sc", "bn.bias", "sc.2", "sc.3" };
    const tlc_node *bn = run_forward(&r)->first;
    for (int i = 1; i <= 4; ++i) {
        assert_string_equal(bn->in[i]->name, names[i - 1]);
        assert_int_equal(bn->in[i]->kind, i <= 2 ? TLC_PARAM : TLC_CONST);
        assert_ptr_equal(bn->in[i]->data, bn->in[1]->data);
        for (int k = 1; k < i; ++k)
            assert_ptr_not_equal(bn->in[i], bn->in[k]);
    }
    assert_int_equal(r.info.n_untied, 3);
    assert_int_equal(r.info.n_params, 4);
    run_end(&r);
}

/* IR version 3: initialisers are inputs too. */
static void test_initialisers_as_inputs(void **state)
{
    (void)state;
    net m = base_net();
    m.ir_version = 3;
    m.opset = 9;
    net_input(&m, value_info("w", ELEM_FLOAT, 4, (int64_t[]){ 4, 3, 3, 3 }));
    expect(m, "conv2d");
}

/* Keras' exports keep inputs that constant folding left without a reader. */
static void test_unread_inputs(void **state)
{
    (void)state;
    run r;
    net m = with(image_net(13), node_of("Relu", "r", "x", "y"));
    net_input(&m, value_info("left", ELEM_FLOAT, 2, (int64_t[]){ 1, 3 }));
    run_net(&r, &m);
    assert_int_equal(r.status, TLC_OK);
    assert_int_equal(run_forward(&r)->n_in, 1);
    assert_string_equal(run_forward(&r)->in[0]->name, "x");
    assert_false(r.info.generalised); /* by an input that is gone */
    assert_int_equal(run_count(&r, TLB_WARNING, "no node reads it"), 1);
    assert_string_equal(r.ctx.diags[0].where, "input \"left\"");
    run_end(&r);
    m = with(image_net(13), node_of("Add", "a", "x,other", "y"));
    net_input(&m, value_info("other", ELEM_FLOAT, 4, (int64_t[]){ -1, 3, 8, 8 }));
    run_net(&r, &m);
    assert_int_equal(r.status, TLC_OK);
    assert_int_equal(run_forward(&r)->n_in, 2);
    assert_int_equal(r.ctx.n_diags, 0);
    run_end(&r);
    m = with(image_net(13), node_of("Relu", "r", "x", "y"));
    net_input(&m, value_info("y", ELEM_FLOAT, 1, (int64_t[]){ 1 }));
    expect_fail(m, TLC_E_MALFORMED, "\"y\" is defined twice");
}

static void test_generalised(void **state)
{
    (void)state;
    run r;
    net m = base_net();
    net_set(&m.input[0], value_info("x", ELEM_FLOAT, 4, (int64_t[]){ 1, 3, 8, 8 }));
    run_net(&r, &m);
    assert_int_equal(r.status, TLC_OK);
    assert_true(r.info.generalised);
    assert_int_equal(run_forward(&r)->out[0]->shape.dim[0], TLC_DIM_N);
    run_end(&r);
}

/* An operator that needs the fixed batch is named, and the hint says what became of it. */
static void test_not_generalised(void **state)
{
    (void)state;
    run r;
    pb node = node_of("Softmax", "t", "x", "y");
    attr_int(&node, "axis", 0);
    net m = with(input_net(13, 2, (int64_t[]){ 1, 6 }), node);
    run_net(&r, &m);
    assert_int_equal(r.status, TLC_E_UNSUPPORTED);
    assert_string_equal(r.ctx.diags[0].where, "node 0 \"t\"");
    assert_non_null(strstr(r.ctx.diags[0].hint, "batch of 1 was read as n"));
    run_end(&r);
}

static void test_constant_output(void **state)
{
    (void)state;
    net m = image_net(13);
    pb value = { 0 };
    pb_float(&value, 2, 1);
    net_set(&m.output[0], (pb){ 0 });
    pb_text(&m.output[0], 1, "c");
    expect_fail(with(m, constant_node("value_float", value)), TLC_E_UNSUPPORTED, "does not depend");
}

/* The line that a user sees. */
static void test_unsupported_line(void **state)
{
    (void)state;
    run r;
    net m = base_net();
    net_set(&m.node[BASE_RELU], node_of("Softplus", "/act", "d", "e"));
    run_net(&r, &m);
    const tlb_diag *d = &r.ctx.diags[0];
    assert_int_equal(d->code, TLC_E_UNSUPPORTED);
    assert_string_equal(d->file, "net.onnx");
    assert_string_equal(d->where, "node 2 \"/act\", opset 17");
    assert_string_equal(d->what, "operator Softplus is not supported");
    assert_string_equal(d->hint, "docs/operators.md");
    run_end(&r);
}

/* --- whole models -------------------------------------------------------- */

static void import_model(const char *path, int nodes, int64_t params)
{
    run r;
    run_begin(&r);
    r.status = setjmp(r.exhausted) ? TLC_E_LIMIT
                                   : tlc_import_file(&r.ctx, path, &r.file, &r.module, &r.info);
    if (r.status != TLC_OK)
        run_show(&r);
    assert_int_equal(r.status, TLC_OK);
    const tlc_func *f = run_forward(&r);
    assert_int_equal(f->n_nodes, nodes);
    assert_int_equal(r.info.param_elems, params);
    assert_int_equal(f->out[0]->shape.rank, 2);
    assert_int_equal(f->out[0]->shape.dim[0], TLC_DIM_N);
    assert_int_equal(f->out[0]->shape.dim[1], 1000);
    assert_in_range(r.ctx.arena.total_bytes, 1, 100 << 20);
    tlc_file_unmap(&r.file);
    tlc_ctx_fini(&r.ctx);
}

static void test_models(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int nodes;
        int64_t params;
    } models[] = {
        { "resnet18", 69, 11689512 },
        { "resnet18-folded", 49, 11684712 },
        { "resnet18-dynamo", 49, 11684712 },
        { "resnet50", 175, 25557032 },
        { "resnet50-folded", 122, 25530472 },
        { "resnet50-dynamo", 122, 25530472 },
        { "efficientnet_lite0", 160, 4652008 },
        { "efficientnet_lite0-folded", 111, 4631000 },
        { "efficientnet_lite0-dynamo", 94, 4631000 },
        { "vgg16", 38, 138357544 },
        { "vgg16-dynamo", 38, 138357544 },
    };
    const char *folder = getenv("TLC_MODELS");
    int found = 0;
    for (size_t i = 0; folder && i < sizeof models / sizeof *models; ++i) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s.onnx", folder, models[i].name);
        if (access(path, R_OK) != 0)
            continue;
        ++found;
        import_model(path, models[i].nodes, models[i].params);
    }
    if (!found) {
        printf("skipped: TLC_MODELS names no folder of models\n");
        skip();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_auto_pad),
        cmocka_unit_test(test_conv_forms),
        cmocka_unit_test(test_pools),
        cmocka_unit_test(test_reduce_mean),
        cmocka_unit_test(test_gemm),
        cmocka_unit_test(test_matmul_sum),
        cmocka_unit_test(test_clip),
        cmocka_unit_test(test_dropout),
        cmocka_unit_test(test_softmax),
        cmocka_unit_test(test_batch_norm),
        cmocka_unit_test(test_pad),
        cmocka_unit_test(test_reshape),
        cmocka_unit_test(test_reshape_allowzero),
        cmocka_unit_test(test_constant_output),
        cmocka_unit_test(test_shape_arithmetic),
        cmocka_unit_test(test_shape_in_int32),
        cmocka_unit_test(test_slice_forms),
        cmocka_unit_test(test_axes_forms),
        cmocka_unit_test(test_constants),
        cmocka_unit_test(test_element_types),
        cmocka_unit_test(test_cast_and_splat),
        cmocka_unit_test(test_shared),
        cmocka_unit_test(test_gelu),
        cmocka_unit_test(test_swish),
        cmocka_unit_test(test_gather_and_expand),
        cmocka_unit_test(test_as_strided),
        cmocka_unit_test(test_initialisers_as_inputs),
        cmocka_unit_test(test_unread_inputs),
        cmocka_unit_test(test_generalised),
        cmocka_unit_test(test_not_generalised),
        cmocka_unit_test(test_unsupported_line),
        cmocka_unit_test(test_models),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
