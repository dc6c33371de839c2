/* The rows of the CUDA kernels: which is chosen, the blocks of its launch, and what is declined. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kernel.h"
#include "text.h"

#include <string.h>

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

#define GLOBALS                                                                           \
    "const %w : f32[70,4,3,3] = splat 1 const %g : f32[6,2,3,3] = splat 1"                \
    " const %o : f32[8,4,3,3] = splat 1"                                                  \
    " const %k : f32[4,1,3,3] = splat 1 const %m : f32[130,4] = splat 1"                  \
    " const %v : f32[4] = splat 1 param %p : f32[3,4] init constant 0"                    \
    " state %s : f32[3,4] zero state %t : f32[3,4] zero "

static const tlc_node *node(const char *body)
{
    const char *text = tlc_arena_printf(
        &ctx.arena,
        "%sfunc @f(%%x: f32[n,4,6,5], %%r: f32[n,4], %%y: i64[n], %%d: f32[n,3], %%i: i64[n,4], "
        "%%e: f32[n,70,6,5]) { %s return }",
        GLOBALS, body);
    tlc_module *m = NULL;
    if (tlc_parse_module(&ctx, text, strlen(text), NULL, &m) != TLC_OK)
        fail_msg("%s", ctx.diags[ctx.n_diags - 1].what);
    return m->first_func->last;
}

static const tlc_options cuda = { .target = TLC_TARGET_CUDA, .batch = 4 };

static const struct row {
    const char *body, *kernel;
    tlc_launch launch;
} rows[] = {
    /* 30 pixels a picture, 70 channels: two tiles of rows */
    { "%z : f32[n,70,6,5] = conv2d %x, %w {pad=[1,1,1,1]}", "cuda_conv2d", { 30, 0, 64, 2, 1 } },
    { "%z : f32[n,6,4,3] = conv2d %x, %g {groups=2}", "cuda_conv2d", { 12, 0, 64, 1, 2 } },
    { "%z : f32[n,4,4,3] = conv2d %x, %k {groups=4}", "cuda_depthwise", { 48, 0, 256, 1, 1 } },
    { "%z : f32[5,70,2,3,3] = conv2d_grad_w_parts %e, %x {groups=2, pad=[1,1,1,1], size=[3,3], "
      "parts=5}", "cuda_conv2d_grad_w_parts", { 0, 18, 64, 1, 10 } },
    { "%z : f32[3,3] = sum_to %w {shape=[3,3]}", "cuda_sum_to", { 0, 9, 1, 1, 1 } },
    { "%z : f32[4,3,3] = sum_to %w {shape=[4,3,3]}", "cuda_sum_parts", { 0, 36, 256, 1, 1 } },
    { "%z : f32[n,130] = linear %r, %m", "cuda_linear", { 1, 0, 64, 3, 1 } },
    { "%z : f32[n,4,6,5] = relu %x", "cuda_act", { 120, 0, 256, 1, 1 } },
    { "%z : f32[4] = bias_grad %x", "cuda_bias_grad", { 0, 4, 1, 1, 1 } },
    { "%z : f32[n,4,6,5] = softmax %x {axis=2}", "cuda_softmax", { 20, 0, 1, 1, 1 } },
    { "%z : f32[n] = cross_entropy %d, %y", "cuda_cross_entropy", { 1, 0, 1, 1, 1 } },
    { "adam_update %p, %s, %t, %p", "cuda_adam", { 0, 12, 256, 1, 1 } },
};

static void check_row(const struct row *r, const tlc_options *o)
{
    const tlc_node *n = node(r->body);
    const tlc_kernel *k = tlc_kernel_choose(n, o);
    assert_non_null(k);
    assert_string_equal(k->name, r->kernel);
    tlc_launch got = k->launch(n), want = r->launch;
    if (memcmp(&got, &want, sizeof got) != 0)
        fail_msg("%s: %lld %lld / %lld, %lld, %lld", r->body, (long long)got.a_picture,
                 (long long)got.fixed, (long long)got.per_block, (long long)got.y,
                 (long long)got.z);
}

static void test_choice_and_launch(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; ++i)
        check_row(&rows[i], &cuda);
}

/* Products go to matrix units where asked for, in tiles of their own; nothing else does. */
static void test_matrix_units(void **state)
{
    static const tlc_options tf32 = { .target = TLC_TARGET_CUDA, .precision = TLC_PRECISION_TF32 };
    static const tlc_options bf16 = { .target = TLC_TARGET_CUDA, .precision = TLC_PRECISION_BF16 };
    static const struct row on_tf32[] = {
        { "%z : f32[n,70,6,5] = conv2d %x, %w {pad=[1,1,1,1]}", "cuda_tf32_conv2d",
          { 30, 0, 128, 2, 1 } },
        { "%z : f32[n,4,6,5] = conv2d_grad_x %e, %w {pad=[1,1,1,1], size=[6,5]}",
          "cuda_tf32_conv2d_grad_x", { 30, 0, 128, 1, 1 } },
        { "%z : f32[70,4,3,3] = conv2d_grad_w %e, %x {pad=[1,1,1,1], size=[3,3]}",
          "cuda_tf32_conv2d_grad_w", { 0, 36, 128, 2, 1 } },
        { "%z : f32[n,130] = linear %r, %m", "cuda_tf32_linear", { 1, 0, 64, 2, 1 } },
        { "%z : f32[n,4,4,3] = conv2d %x, %k {groups=4}", "cuda_depthwise", { 48, 0, 256, 1, 1 } },
        { "%z : f32[n,4,6,5] = relu %x", "cuda_act", { 120, 0, 256, 1, 1 } },
        /* sums over channels: eight a block in NHWC, if they are whole eights */
        { "%u : f32[n,8,6,5]{nhwc} = conv2d %x, %o {pad=[1,1,1,1]} %z : f32[8] = bias_grad %u",
          "cuda_bias_grad", { 0, 1, 1, 1, 1 } },
        { "%u : f32[n,8,6,5] = conv2d %x, %o {pad=[1,1,1,1]} %z : f32[8] = bias_grad %u",
          "cuda_bias_grad", { 0, 8, 1, 1, 1 } },
        { "%u : f32[n,70,6,5]{nhwc} = conv2d %x, %w {pad=[1,1,1,1]} %z : f32[70] = bias_grad %u",
          "cuda_bias_grad", { 0, 70, 1, 1, 1 } },
        /* tiles of 32 x 32: 70 channels by 30 pixels, of each picture and of each filter */
        { "%z : f32[n,70,6,5]{nhwc} = relayout %e", "cuda_relayout", { 3, 0, 1, 1, 1 } },
        { "%z : f32[70,4,3,3]{nhwc} = relayout %w", "cuda_relayout", { 0, 70, 1, 1, 1 } },
    };
    static const struct row on_bf16[] = {
        { "%z : f32[n,130] = linear %r, %m", "cuda_bf16_linear", { 1, 0, 64, 2, 1 } },
        { "adam_update %p, %s, %t, %p", "cuda_adam", { 0, 12, 256, 1, 1 } },
    };
    (void)state;
    for (size_t i = 0; i < sizeof on_tf32 / sizeof *on_tf32; ++i)
        check_row(&on_tf32[i], &tf32);
    for (size_t i = 0; i < sizeof on_bf16 / sizeof *on_bf16; ++i)
        check_row(&on_bf16[i], &bf16);
}

/* No kernel of the host's stands in for one that is missing. */
static void test_declined(void **state)
{
    (void)state;
    const tlc_node *n = node("%z : i64[n,4] = add %i, %i");
    static const tlc_options ref = { .target = TLC_TARGET_REF, .batch = 4 };
    assert_non_null(tlc_kernel_choose(n, &ref));
    assert_null(tlc_kernel_choose(n, &cuda));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_choice_and_launch, setup, teardown),
        cmocka_unit_test_setup_teardown(test_matrix_units, setup, teardown),
        cmocka_unit_test_setup_teardown(test_declined, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
