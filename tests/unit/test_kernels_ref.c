/* The rows of the reference kernels: literals for each operator, and what they decline. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kernel.h"
#include "text.h"

#include <string.h>

#define TLC_KERNEL(name, OP, TARGET, flags, header, report) \
    extern const tlc_kernel_fns tlc_kernel_fns_##name;
#include "kernels.def"
#undef TLC_KERNEL

static tlc_ctx ctx;

static int setup(void **state)
{
    (void)state;
    tlc_ctx_init(&ctx, NULL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    tlc_ctx_fini(&ctx);
    return 0;
}

#define GLOBALS                                                               \
    "const %w : f32[6,2,3,3] = splat 1 const %m : f32[4,5] = splat 1"         \
    " const %v : f32[4] = splat 1 const %c : f32[4,1,1] = splat 1"            \
    " const %k : f32[4,1,3,3] = splat 1"                                      \
    " param %rm : f32[4] = splat 0 param %rv : f32[4] = splat 1"              \
    " param %p : f32[3,4] init constant 0 state %s : f32[3,4] zero"           \
    " state %t : f32[3,4] zero "

/* The first node of a function with this body; inputs of several shapes are at hand. */
static const tlc_node *node(const char *body)
{
    const char *text = tlc_arena_printf(
        &ctx.arena,
        "%sfunc @f(%%x: f32[n,4,6,5], %%r: f32[n,4], %%y: i64[n], %%d: f32[n,3], "
        "%%fixed: f32[2,4,6]) { %s return }",
        GLOBALS, body);
    tlc_module *m = NULL;
    if (tlc_parse_module(&ctx, text, strlen(text), NULL, &m) != TLC_OK)
        fail_msg("%s", ctx.diags[ctx.n_diags - 1].what);
    return m->first_func->first;
}

static void expect(const tlc_kernel_fns *fns, const char *body, const char *want)
{
    const tlc_node *n = node(body);
    tlc_cwriter w = tlc_cwriter_make(&ctx.arena);
    tlc_layout in[8], out[8];
    memset(in, 0xff, sizeof in);
    assert_true(fns->serves(n));
    fns->literal(&w, n);
    assert_string_equal(w.text, want);
    fns->layouts(n, in, out);
    for (int i = 0; i < n->n_in; ++i)
        assert_true(in[i].kind == TLC_PLAIN && in[i].halo[3] == 0);
    assert_null(fns->scratch_bytes);
}
#define EXPECT(kernel, body, want) expect(&tlc_kernel_fns_ref_##kernel, body, want)

static void test_linear_algebra(void **state)
{
    (void)state;
    EXPECT(conv2d, "%1 : f32[n,6,3,4] = conv2d %x, %w {stride=[2,1], pad=[1,1,1,0], groups=2, "
                   "act=clip, lo=-1, hi=inf}",
           "{ .batch = 0, .ic = 4, .h = 6, .w = 5, .oc = 6, .oh = 3, .ow = 4, .kh = 3, .kw = 3, "
           ".groups = 2, .stride_h = 2, .stride_w = 1, .dilation_h = 1, .dilation_w = 1, "
           ".pad_top = 1, .pad_left = 1, .act = TLK_ACT_CLIP, .lo = -1, .hi = INFINITY }");
    EXPECT(linear, "%1 : f32[n,3] = linear %r, %p {act=relu}",
           "{ .batch = 0, .in = 4, .out = 3, .act = TLK_ACT_RELU }");
    EXPECT(matmul, "%1 : f32[n,5] = matmul %r, %m", "{ .batch = 0, .inner = 4, .cols = 5 }");
    EXPECT(linear_grad_x, "%1 : f32[n,4] = linear_grad_x %d, %p",
           "{ .batch = 0, .in = 4, .out = 3 }");
    EXPECT(linear_grad_w, "%1 : f32[3,4] = linear_grad_w %d, %r",
           "{ .batch = 0, .in = 4, .out = 3 }");
    EXPECT(bias_grad, "%1 : f32[3] = bias_grad %d", "{ .batch = 0, .out = 3, .plane = 1 }");
    EXPECT(bias_grad, "%1 : f32[4] = bias_grad %x", "{ .batch = 0, .out = 4, .plane = 30 }");
    EXPECT(batch_norm, "%1 : f32[n,4,6,5] = batch_norm %x, %v, %v, %v, %v {epsilon=0.5}",
           "{ .batch = 0, .c = 4, .plane = 30, .epsilon = 0.5 }");
}

static void test_gradients(void **state)
{
    (void)state;
    EXPECT(conv2d_grad_x,
           "%1 : f32[n,2,13,6] = conv2d_grad_x %x, %k {stride=[2,1], pad=[0,1,1,0], groups=2, "
           "size=[13,6]}",
           "{ .batch = 0, .ic = 2, .h = 13, .w = 6, .oc = 4, .oh = 6, .ow = 5, .kh = 3, .kw = 3, "
           ".groups = 2, .stride_h = 2, .stride_w = 1, .dilation_h = 1, .dilation_w = 1, "
           ".pad_top = 0, .pad_left = 1 }");
    EXPECT(batch_norm_stats, "batch_norm_stats %rm, %rv, %v, %v, %x {momentum=0.5}",
           "{ .batch = 0, .c = 4, .plane = 30, .momentum = 0.5 }");
    EXPECT(reduce_mean_grad,
           "%1 : f32[n,4,7] = reduce_mean_grad %r {axes=[2], keepdims=false, shape=[n,4,7]}",
           "{ .batch = 0, .rank = 2, .dim = { 4, 7 }, .stride_dy = { 1, 0 }, .picture_dy = 4, "
           ".count = 7 }");
    EXPECT(sum_to, "%1 : f32[6,1] = sum_to %x {shape=[6,1]}",
           "{ .batch = 0, .sum_pictures = true, .kept = 1, .reduced = 2, .kept_dim = { 6 }, "
           ".kept_stride = { 5 }, .reduced_dim = { 4, 5 }, .reduced_stride = { 30, 1 } }");
    EXPECT(sum_to, "%1 : f32[n,4,1,1] = sum_to %x {shape=[n,4,1,1]}",
           "{ .batch = 0, .sum_pictures = false, .kept = 1, .reduced = 2, .kept_dim = { 4 }, "
           ".kept_stride = { 30 }, .reduced_dim = { 6, 5 }, .reduced_stride = { 5, 1 } }");
    EXPECT(slice_grad,
           "%1 : f32[n,9] = slice_grad %r {starts=[0,1], ends=[n,9], steps=[1,2], shape=[n,9]}",
           "{ .batch = 0, .rank = 1, .dim = { 4 }, .stride = { 2 }, .offset = 1, .out_elems = 9 }");
}

static void test_elementwise(void **state)
{
    (void)state;
    EXPECT(act, "%1 : f32[n,4] = relu %r", "{ .batch = 0, .elems = 4, .act = TLK_ACT_RELU }");
    EXPECT(act, "%1 : f32[2,4,6] = clip %fixed {lo=0, hi=6}",
           "{ .batch = 1, .elems = 48, .act = TLK_ACT_CLIP, .lo = 0, .hi = 6 }");
    EXPECT(act_grad, "%1 : f32[n,4] = relu_grad %r, %r",
           "{ .batch = 0, .elems = 4, .act = TLK_ACT_RELU }");
    EXPECT(binary, "%1 : f32[n,4,6,5] = sub %c, %x",
           "{ .batch = 0, .op = TLK_SUB, .rank = 3, .dim = { 4, 6, 5 }, .stride_a = { 1, 0, 0 }, "
           ".stride_b = { 30, 5, 1 }, .picture_a = 0, .picture_b = 120 }");
    EXPECT(binary, "%1 : f32[2,4,6] = mul %fixed, %fixed",
           "{ .batch = 1, .op = TLK_MUL, .rank = 3, .dim = { 2, 4, 6 }, .stride_a = { 24, 6, 1 }, "
           ".stride_b = { 24, 6, 1 }, .picture_a = 0, .picture_b = 0 }");
    EXPECT(dropout, "%1 : f32[n,4,6,5] = dropout %x {p=0.25, index=2}",
           "{ .batch = 0, .elems = 120, .p = 0.25, .index = 2 }");
}

static void test_loss(void **state)
{
    (void)state;
    EXPECT(softmax, "%1 : f32[n,4,6,5] = softmax %x {axis=2}",
           "{ .batch = 0, .outer = 4, .size = 6, .inner = 5 }");
    EXPECT(softmax, "%1 : f32[2,4,6] = softmax %fixed {axis=0}",
           "{ .batch = 1, .outer = 1, .size = 2, .inner = 24 }");
    EXPECT(cross_entropy, "%1 : f32[n] = cross_entropy %d, %y {label_smoothing=0.1}",
           "{ .batch = 0, .classes = 3, .smoothing = 0.1 }");
    EXPECT(cross_entropy_grad, "%1 : f32[n,3] = cross_entropy_grad %d, %y",
           "{ .batch = 0, .classes = 3, .smoothing = 0 }");
}

static void test_pooling(void **state)
{
    (void)state;
    EXPECT(max_pool2d, "%1 : f32[n,4,3,2] = max_pool2d %x {kernel=[2,3], stride=[2,2], "
                       "pad=[0,1,1,0]}",
           "{ .batch = 0, .c = 4, .h = 6, .w = 5, .oh = 3, .ow = 2, .kh = 2, .kw = 3, "
           ".stride_h = 2, .stride_w = 2, .dilation_h = 1, .dilation_w = 1, .pad_top = 0, "
           ".pad_left = 1, .pad_bottom = 1, .pad_right = 0 }");
    EXPECT(avg_pool2d, "%1 : f32[n,4,5,4] = avg_pool2d %x {kernel=[2,2], count_include_pad=true}",
           "{ .batch = 0, .c = 4, .h = 6, .w = 5, .oh = 5, .ow = 4, .kh = 2, .kw = 2, "
           ".stride_h = 1, .stride_w = 1, .dilation_h = 1, .dilation_w = 1, .pad_top = 0, "
           ".pad_left = 0, .pad_bottom = 0, .pad_right = 0, .count_include_pad = true }");
    EXPECT(reduce_mean, "%1 : f32[n,6] = reduce_mean %x {axes=[1,3], keepdims=false}",
           "{ .batch = 0, .kept = 1, .reduced = 2, .kept_dim = { 6 }, .kept_stride = { 5 }, "
           ".reduced_dim = { 4, 5 }, .reduced_stride = { 30, 1 } }");
    EXPECT(reduce_mean, "%1 : f32[n] = reduce_mean %r {axes=[1], keepdims=false}",
           "{ .batch = 0, .kept = 0, .reduced = 1, .kept_dim = { 0 }, .kept_stride = { 0 }, "
           ".reduced_dim = { 4 }, .reduced_stride = { 1 } }");
}

static void test_movement(void **state)
{
    (void)state;
    EXPECT(pad, "%1 : f32[n,7] = pad %r {pads=[0,1,0,2], value=-inf}",
           "{ .batch = 0, .rank = 1, .dim = { 4 }, .out_dim = { 7 }, .begin = { 1 }, "
           ".value = -INFINITY }");
    EXPECT(transpose, "%1 : f32[n,5,4,6] = transpose %x {perm=[0,3,1,2]}",
           "{ .batch = 0, .rank = 3, .dim = { 5, 4, 6 }, .stride = { 1, 30, 5 }, .offset = 0, "
           ".in_elems = 120 }");
    EXPECT(slice, "%1 : f32[1,2,6] = slice %fixed {starts=[1,0,0], ends=[2,4,6], steps=[1,2,1]}",
           "{ .batch = 1, .rank = 3, .dim = { 1, 2, 6 }, .stride = { 24, 12, 1 }, .offset = 24, "
           ".in_elems = 48 }");
    EXPECT(concat, "%1 : f32[n,7] = concat %r, %d {axis=1}",
           "{ .batch = 0, .outer = 1, .inner = 1, .parts = 2, .part = { 4, 3 } }");
    EXPECT(copy, "%1 : f32[n,4] = identity %r", "{ .batch = 0, .elems = 4 }");
}

static void test_updates(void **state)
{
    (void)state;
    EXPECT(accumulate, "accumulate %s, %t", "{ .elems = 12 }");
    EXPECT(sgd, "sgd_update %p, %s, %t {nesterov=true}", "{ .elems = 12, .nesterov = true }");
    EXPECT(adam, "adam_update %p, %s, %t, %t", "{ .elems = 12, .decoupled = false }");
    EXPECT(linear_sgd, "linear_sgd %p, %s, %d, %r",
           "{ .batch = 0, .in = 4, .out = 3, .nesterov = false }");
    EXPECT(linear_adam, "linear_adam %p, %s, %t, %d, %r {decoupled=true}",
           "{ .batch = 0, .in = 4, .out = 3, .decoupled = true }");
}

/* Nothing mixes pictures along a symbolic batch, whatever an operator's infer lets pass. */
static void test_declined(void **state)
{
    (void)state;
    const tlc_node *n = node("%1 : f32[n,4] = softmax %r {axis=1}");
    TLC_ATTRS(n, tlc_axis_attrs)->axis = 0;
    assert_false(tlc_kernel_fns_ref_softmax.serves(n));
    n = node("%1 : f32[n] = reduce_mean %r {axes=[1], keepdims=false}");
    TLC_ATTRS(n, tlc_axes_attrs)->axes.v[0] = 0;
    assert_false(tlc_kernel_fns_ref_reduce_mean.serves(n));
    n = node("%1 : f32[n,4] = transpose %r {perm=[0,1]}");
    TLC_ATTRS(n, tlc_perm_attrs)->perm = (tlc_ints){ 2, { 1, 0 } };
    assert_false(tlc_kernel_fns_ref_transpose.serves(n));
    n = node("%1 : f32[n,4] = pad %r {pads=[0,0,0,0]}");
    TLC_ATTRS(n, tlc_pad_attrs)->pads.v[2] = 1;
    assert_false(tlc_kernel_fns_ref_pad.serves(n));
    n = node("%1 : f32[n,7] = concat %r, %d {axis=1}");
    TLC_ATTRS(n, tlc_axis_attrs)->axis = 0;
    assert_false(tlc_kernel_fns_ref_concat.serves(n));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_linear_algebra), TEST(test_gradients), TEST(test_elementwise), TEST(test_loss), TEST(test_pooling),
        TEST(test_movement), TEST(test_updates), TEST(test_declined),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
