/* Every reference kernel against PyTorch's numbers (ref_vectors.h) or worked-out ones.
 *
 * Buffers end in guards; items run from the last to the first, since their order must not
 * matter.  test_ref_kernels_f64.c builds the same for double.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ref_vectors.h"
#include "tlk_ref_batch_norm.h"
#include "tlk_ref_conv2d.h"
#include "tlk_ref_dropout.h"
#include "tlk_ref_elementwise.h"
#include "tlk_ref_linear.h"
#include "tlk_ref_move.h"
#include "tlk_ref_pool2d.h"
#include "tlk_ref_reduce.h"
#include "tlk_ref_softmax.h"
#include "tlk_ref_conv2d_update.h"
#include "tlk_ref_update.h"

#include <stdlib.h>
#include <string.h>

/* --- buffers -------------------------------------------------------------- */

enum { GUARD = 16, MOST_BUFFERS = 64 };
static const tlk_real guard_value = (tlk_real)-12345.5;

static struct {
    tlk_real *start;
    int64_t elems;
} buffers[MOST_BUFFERS];
static int n_buffers;

static tlk_real *buffer(int64_t elems)
{
    tlk_real *p = malloc((size_t)(elems + 2 * GUARD) * sizeof *p);
    assert_true(p && n_buffers < MOST_BUFFERS);
    for (int64_t i = 0; i < elems + 2 * GUARD; ++i)
        p[i] = guard_value;
    buffers[n_buffers].start = p;
    buffers[n_buffers++].elems = elems;
    return p + GUARD;
}

static void check_guards(void)
{
    for (int b = 0; b < n_buffers; ++b)
        for (int i = 0; i < GUARD; ++i) {
            assert_true(buffers[b].start[i] == guard_value);
            assert_true(buffers[b].start[GUARD + buffers[b].elems + i] == guard_value);
        }
}

static int free_buffers(void **state)
{
    (void)state;
    while (n_buffers > 0)
        free(buffers[--n_buffers].start);
    return 0;
}

/* Multiples of 1/8 between -11/8 and 11/8: sums of their products are exact. */
static tlk_real *filled(int64_t elems, int seed)
{
    tlk_real *p = buffer(elems);
    for (int64_t i = 0; i < elems; ++i)
        p[i] = (tlk_real)((i * 37 + seed * 11) % 23 - 11) / 8;
    return p;
}

static void expect(const tlk_real *got, const float *want, int64_t elems, double tolerance)
{
    for (int64_t i = 0; i < elems; ++i)
        if (!(fabs((double)got[i] - (double)want[i]) <= tolerance * (fabs((double)want[i]) + 1e-3)))
            fail_msg("element %d is %.9g, not %.9g", (int)i, (double)got[i], (double)want[i]);
    check_guards();
}
#define EXPECT(got, want, tolerance) \
    expect(got, want, (int64_t)(sizeof(want) / sizeof(want)[0]), tolerance)

/* One rounding to float: of the result and of PyTorch's number. */
static const double ulp = 1.2e-7;

#define RUN(K, s, n, ...)                                              \
    do {                                                               \
        for (int64_t item_ = K##_items(s, n); item_-- > 0;)            \
            K##_item(s, item_, n, __VA_ARGS__);                        \
    } while (0)

/* --- convolution, linear -------------------------------------------------- */

static tlk_ref_conv2d grouped_conv(void)
{
    return (tlk_ref_conv2d){
        .ic = 4, .h = 5, .w = 4, .oc = 6, .oh = 2, .ow = 5, .kh = 3, .kw = 2, .groups = 2,
        .stride_h = 2, .stride_w = 1, .dilation_h = 1, .dilation_w = 2, .pad_top = 1,
        .pad_left = 1,
    };
}

static void test_conv2d(void **state)
{
    (void)state;
    tlk_ref_conv2d s = grouped_conv();
    tlk_real *x = filled(2 * 4 * 5 * 4, 1), *w = filled(6 * 2 * 3 * 2, 2);
    tlk_real *y = buffer(2 * 6 * 2 * 5);
    RUN(tlk_ref_conv2d, &s, 2, x, w, filled(6, 3), NULL, y);
    EXPECT(y, want_conv2d, 0);
    s.act = TLK_ACT_CLIP;
    s.lo = -0.5;
    s.hi = 1.5;
    s.batch = 2; /* in the shape: n is not asked */
    RUN(tlk_ref_conv2d, &s, 1, x, w, filled(6, 3), filled(2 * 6 * 2 * 5, 4), y);
    EXPECT(y, want_conv2d_fused, 0);
}

/* 130 windows: shares of 64, 64, 2 and none. */
static void test_conv2d_grad_w_parts(void **state)
{
    (void)state;
    enum { N = 13, PARTS = 4, ELEMS = 6 * 2 * 3 * 2, PICTURE = 6 * 2 * 5 };
    tlk_ref_conv2d c = grouped_conv();
    tlk_ref_conv2d_grad_w_parts s = {
        .conv = { .ic = c.ic, .h = c.h, .w = c.w, .oc = c.oc, .oh = c.oh, .ow = c.ow, .kh = c.kh,
                  .kw = c.kw, .groups = c.groups, .stride_h = c.stride_h, .stride_w = c.stride_w,
                  .dilation_h = c.dilation_h, .dilation_w = c.dilation_w, .pad_top = c.pad_top,
                  .pad_left = c.pad_left },
        .parts = PARTS,
    };
    tlk_real *dy = filled(N * PICTURE, 4), *x = filled(N * 4 * 5 * 4, 1);
    tlk_real *parts = buffer(PARTS * ELEMS), *whole = buffer(ELEMS);
    RUN(tlk_ref_conv2d_grad_w_parts, &s, N, dy, x, parts);
    RUN(tlk_ref_conv2d_grad_w, &s.conv, N, dy, x, whole);
    for (int i = 0; i < ELEMS; ++i) {
        assert_true(parts[i] + parts[ELEMS + i] + parts[2 * ELEMS + i] == whole[i]);
        assert_true(parts[2 * ELEMS + i] != whole[i] && parts[3 * ELEMS + i] == 0);
    }
    check_guards();
}

/* The first picture's bits do not depend on n. */
static void test_batch_does_not_matter(void **state)
{
    (void)state;
    tlk_ref_conv2d s = grouped_conv();
    tlk_real *x = filled(4 * 5 * 4, 1), *w = filled(6 * 2 * 3 * 2, 2), *y = buffer(6 * 2 * 5);
    RUN(tlk_ref_conv2d, &s, 1, x, w, filled(6, 3), NULL, y);
    expect(y, want_conv2d, 6 * 2 * 5, 0);
}

static void test_linear(void **state)
{
    (void)state;
    tlk_ref_linear s = { .in = 5, .out = 4 };
    tlk_real *x = filled(15, 1), *w = filled(20, 2), *y = buffer(12);
    RUN(tlk_ref_linear, &s, 3, x, w, filled(4, 3), y);
    EXPECT(y, want_linear, 0);
    s.act = TLK_ACT_RELU;
    RUN(tlk_ref_linear, &s, 3, x, w, NULL, y);
    EXPECT(y, want_linear_relu, 0);
}

static void test_linear_gradients(void **state)
{
    (void)state;
    tlk_ref_linear_grad_x gx = { .in = 5, .out = 4 };
    tlk_ref_linear_grad_w gw = { .in = 5, .out = 4 };
    tlk_ref_bias_grad gb = { .out = 4, .plane = 1 };
    tlk_real *dy = filled(12, 4), *dx = buffer(15), *dw = buffer(20), *db = buffer(4);
    RUN(tlk_ref_linear_grad_x, &gx, 3, dy, filled(20, 2), dx);
    RUN(tlk_ref_linear_grad_w, &gw, 3, dy, filled(15, 1), dw);
    RUN(tlk_ref_bias_grad, &gb, 3, dy, db);
    EXPECT(dx, want_linear_dx, 0);
    EXPECT(dw, want_linear_dw, 0);
    EXPECT(db, want_linear_db, 0);
}

static void test_matmul(void **state)
{
    (void)state;
    tlk_ref_matmul s = { .inner = 4, .cols = 2 };
    tlk_real *y = buffer(6);
    RUN(tlk_ref_matmul, &s, 3, filled(12, 1), filled(8, 2), y);
    EXPECT(y, want_matmul, 0);
}

static void test_batch_norm(void **state)
{
    (void)state;
    tlk_ref_batch_norm s = { .c = 3, .plane = 4, .epsilon = 1e-3 };
    tlk_real *variance = filled(3, 5), *y = buffer(24);
    for (int i = 0; i < 3; ++i)
        variance[i] = (tlk_real)fabs((double)variance[i]) + (tlk_real)0.5;
    RUN(tlk_ref_batch_norm, &s, 2, filled(24, 1), filled(3, 2), filled(3, 3), filled(3, 4),
        variance, y);
    EXPECT(y, want_batch_norm, ulp);
}

/* --- elementwise ---------------------------------------------------------- */

static void copy_in(tlk_real *to, const double *from, int n)
{
    for (int i = 0; i < n; ++i)
        to[i] = (tlk_real)from[i];
}

static void test_activations(void **state)
{
    (void)state;
    static const double in[6] = { -1, 0, 0.5, 6, 7, NAN };
    static const float relu[5] = { 0, 0, 0.5f, 6, 7 }, clip[5] = { 0, 0, 0.5f, 6, 6 };
    tlk_ref_act s = { .elems = 3, .act = TLK_ACT_RELU };
    tlk_real *x = buffer(6), *y = buffer(6);
    copy_in(x, in, 6);
    RUN(tlk_ref_act, &s, 2, x, y);
    EXPECT(y, relu, 0);
    assert_true(isnan(y[5]));
    s = (tlk_ref_act){ .elems = 3, .act = TLK_ACT_CLIP, .lo = 0, .hi = 6 };
    RUN(tlk_ref_act, &s, 2, x, x); /* in place */
    EXPECT(x, clip, 0);
    assert_true(isnan(x[5]));
}

static void test_activation_gradients(void **state)
{
    (void)state;
    static const double result[6] = { 0, 0.5, 6, INFINITY, -1, 7 };
    static const float relu[6] = { 0, 2, 3, 4, 0, 6 }, clip[6] = { 0, 2, 0, 0, 0, 0 };
    tlk_ref_act_grad s = { .elems = 6, .act = TLK_ACT_RELU };
    tlk_real *y = buffer(6), *dy = buffer(6), *dx = buffer(6);
    copy_in(y, result, 6);
    for (int i = 0; i < 6; ++i)
        dy[i] = (tlk_real)(i + 1);
    RUN(tlk_ref_act_grad, &s, 1, dy, y, dx);
    EXPECT(dx, relu, 0);
    s = (tlk_ref_act_grad){ .elems = 6, .act = TLK_ACT_CLIP, .lo = 0, .hi = 6 };
    RUN(tlk_ref_act_grad, &s, 1, dy, y, dx);
    EXPECT(dx, clip, 0);
}

static void test_binary(void **state)
{
    (void)state;
    tlk_ref_binary s = { .op = TLK_ADD, .rank = 2, .dim = { 2, 3 }, .stride_a = { 3, 1 },
                         .stride_b = { 0, 1 }, .picture_a = 6 };
    tlk_real *a = filled(12, 1), *y = buffer(12), *divisor = filled(12, 2);
    RUN(tlk_ref_binary, &s, 2, a, filled(3, 2), y);
    EXPECT(y, want_add, 0);
    s = (tlk_ref_binary){ .op = TLK_SUB, .rank = 2, .dim = { 2, 3 }, .stride_a = { 1, 0 },
                          .stride_b = { 3, 1 }, .picture_b = 6 };
    RUN(tlk_ref_binary, &s, 2, filled(2, 2), a, y);
    EXPECT(y, want_sub, 0);
    s = (tlk_ref_binary){ .op = TLK_MUL, .rank = 2, .dim = { 2, 3 }, .stride_a = { 3, 1 },
                          .stride_b = { 1, 0 }, .picture_a = 6, .picture_b = 2 };
    RUN(tlk_ref_binary, &s, 2, a, filled(4, 2), y);
    EXPECT(y, want_mul, 0);
    s = (tlk_ref_binary){ .batch = 1, .op = TLK_DIV, .rank = 1, .dim = { 12 }, .stride_a = { 1 },
                          .stride_b = { 1 } };
    for (int i = 0; i < 12; ++i)
        divisor[i] += 3;
    RUN(tlk_ref_binary, &s, 1, a, divisor, a); /* in place */
    EXPECT(a, want_div, ulp);
}

static void test_dropout(void **state)
{
    (void)state;
    tlk_ref_dropout s = { .elems = 7, .p = 0.3, .index = 1 };
    tlk_step step = { .seed = 3, .epoch = 2, .position = 5 };
    tlk_real *x = filled(14, 1), *y = buffer(14);
    RUN(tlk_ref_dropout, &s, 2, &step, x, y);
    EXPECT(y, want_dropout, 2 * ulp);
    /* The second picture alone, a batch later, draws the same. */
    step.position = 6;
    RUN(tlk_ref_dropout, &s, 1, &step, x + 7, y);
    expect(y, want_dropout + 7, 7, 2 * ulp);
    s.p = 1;
    RUN(tlk_ref_dropout, &s, 2, &step, x, x);
    for (int i = 0; i < 14; ++i)
        assert_true(x[i] == 0);
}

/* --- softmax, loss -------------------------------------------------------- */

static void test_softmax(void **state)
{
    (void)state;
    tlk_ref_softmax s = { .outer = 2, .size = 3, .inner = 4 };
    tlk_real *y = buffer(48), *x = filled(48, 1);
    RUN(tlk_ref_softmax, &s, 2, x, y);
    EXPECT(y, want_softmax, ulp);
    RUN(tlk_ref_softmax, &s, 2, x, x);
    EXPECT(x, want_softmax, ulp);
}

static void test_softmax_of_large(void **state)
{
    (void)state;
    tlk_ref_softmax s = { .outer = 1, .size = 2, .inner = 1 };
    static const float want[2] = { 1, 0 };
    tlk_real *x = buffer(2);
    x[0] = 1e30f;
    x[1] = -1e30f;
    RUN(tlk_ref_softmax, &s, 1, x, x);
    EXPECT(x, want, 0);
}

static void test_cross_entropy(void **state)
{
    (void)state;
    static const int64_t label[3] = { 4, 0, 2 };
    static const tlk_step step = { 0 };
    tlk_ref_cross_entropy s = { .classes = 5 };
    tlk_ref_cross_entropy_grad g = { .classes = 5 };
    tlk_real *z = filled(15, 1), *loss = buffer(3), *dz = buffer(15);
    RUN(tlk_ref_cross_entropy, &s, 3, &step, z, label, loss);
    RUN(tlk_ref_cross_entropy_grad, &g, 3, &step, z, label, dz);
    EXPECT(loss, want_loss, ulp);
    EXPECT(dz, want_dz, ulp);
    s.smoothing = g.smoothing = 0.1;
    RUN(tlk_ref_cross_entropy, &s, 3, &step, z, label, loss);
    RUN(tlk_ref_cross_entropy_grad, &g, 3, &step, z, label, dz);
    EXPECT(loss, want_loss_smooth, ulp);
    EXPECT(dz, want_dz_smooth, ulp);
}

/* Weights that are all the same change the loss alone; the gradient of unlike ones is that of the
 * weighted mean, by central differences. */
static void test_class_weights(void **state)
{
    (void)state;
    static const int64_t label[2] = { 1, 2 };
    static const double weights[3] = { 1, 2.5, 0.5 }, h = 1.0 / 256;
    const tlk_step step = { .class_weights = weights };
    tlk_ref_cross_entropy s = { .classes = 3, .smoothing = 0.1 };
    tlk_ref_cross_entropy_grad g = { .classes = 3, .smoothing = 0.1 };
    tlk_real *z = filled(6, 1), *loss = buffer(2), *dz = buffer(6);
    RUN(tlk_ref_cross_entropy_grad, &g, 2, &step, z, label, dz);
    for (int i = 0; i < 6; ++i) {
        double mean[2];
        for (int side = 0; side < 2; ++side) {
            tlk_real kept = z[i];
            z[i] = (tlk_real)((double)kept + (side ? h : -h));
            RUN(tlk_ref_cross_entropy, &s, 2, &step, z, label, loss);
            z[i] = kept;
            mean[side] = ((double)loss[0] + (double)loss[1]) / (2.5 + 0.5);
        }
        assert_true(fabs((mean[1] - mean[0]) / (2 * h) - (double)dz[i]) < 1e-4);
    }
    double sum = (double)dz[0];
    const tlk_step larger = { .class_weights = weights, .divisor = 6 };
    RUN(tlk_ref_cross_entropy_grad, &g, 2, &larger, z, label, dz);
    assert_true(fabs((double)dz[0] - sum / 2) < 1e-6);
}

static void test_accumulate(void **state)
{
    (void)state;
    tlk_ref_accumulate s = { .elems = 6 };
    tlk_step step = { .batch = 0 };
    tlk_real *sum = filled(6, 3), *g = filled(6, 1);
    RUN(tlk_ref_accumulate, &s, 1, &step, sum, g);
    step.batch = 1;
    RUN(tlk_ref_accumulate, &s, 1, &step, sum, g);
    for (int i = 0; i < 6; ++i)
        assert_true(sum[i] == g[i] + g[i]);
}

/* --- pooling, reduction --------------------------------------------------- */

static void test_max_pool2d(void **state)
{
    (void)state;
    tlk_ref_max_pool2d s = { .c = 2, .h = 6, .w = 5, .oh = 4, .ow = 3, .kh = 3, .kw = 2,
                             .stride_h = 2, .stride_w = 2, .dilation_h = 1, .dilation_w = 2,
                             .pad_top = 1, .pad_left = 1, .pad_bottom = 1, .pad_right = 1 };
    tlk_real *x = filled(120, 1), *y = buffer(48);
    RUN(tlk_ref_max_pool2d, &s, 2, x, y);
    EXPECT(y, want_max_pool, 0);
    x[1] = (tlk_real)NAN; /* not the last of its window: it must not be passed over later */
    RUN(tlk_ref_max_pool2d, &s, 1, x, y);
    assert_true(isnan(y[0]));
}

static void test_avg_pool2d(void **state)
{
    (void)state;
    tlk_ref_avg_pool2d s = { .c = 2, .h = 6, .w = 5, .oh = 4, .ow = 3, .kh = 3, .kw = 2,
                             .stride_h = 2, .stride_w = 2, .dilation_h = 1, .dilation_w = 1,
                             .pad_top = 1, .pad_left = 1, .pad_bottom = 1, .pad_right = 1 };
    tlk_real *x = filled(120, 1), *y = buffer(48);
    RUN(tlk_ref_avg_pool2d, &s, 2, x, y);
    EXPECT(y, want_avg_pool, ulp);
    s.count_include_pad = true;
    RUN(tlk_ref_avg_pool2d, &s, 2, x, y);
    EXPECT(y, want_avg_pool_padded, ulp);
}

static void test_reduce_mean(void **state)
{
    (void)state;
    tlk_ref_reduce_mean s = { .kept = 1, .reduced = 2, .kept_dim = { 4 }, .kept_stride = { 2 },
                              .reduced_dim = { 3, 2 }, .reduced_stride = { 8, 1 } };
    tlk_real *y = buffer(8);
    RUN(tlk_ref_reduce_mean, &s, 2, filled(48, 1), y);
    EXPECT(y, want_reduce_mean, ulp);
}

/* --- data movement -------------------------------------------------------- */

static void test_pad(void **state)
{
    (void)state;
    tlk_ref_pad s = { .rank = 2, .dim = { 2, 3 }, .out_dim = { 2, 6 }, .begin = { -1, 1 },
                      .value = 7 };
    tlk_real *y = buffer(24);
    RUN(tlk_ref_pad, &s, 2, filled(12, 1), y);
    EXPECT(y, want_pad, 0);
}

static void test_transpose(void **state)
{
    (void)state;
    tlk_ref_transpose s = { .rank = 3, .dim = { 4, 2, 3 }, .stride = { 1, 12, 4 }, .in_elems = 24 };
    tlk_real *y = buffer(48);
    RUN(tlk_ref_transpose, &s, 2, filled(48, 1), y);
    EXPECT(y, want_transpose, 0);
}

static void test_slice(void **state)
{
    (void)state;
    tlk_ref_slice s = { .rank = 2, .dim = { 2, 2 }, .stride = { 10, 3 }, .offset = 5,
                        .in_elems = 20 };
    tlk_real *y = buffer(8);
    RUN(tlk_ref_slice, &s, 2, filled(40, 1), y);
    EXPECT(y, want_slice, 0);
}

static void test_concat(void **state)
{
    (void)state;
    tlk_ref_concat s = { .outer = 2, .inner = 3, .parts = 3, .part = { 1, 2, 1 } };
    tlk_real *a = filled(12, 1), *b = filled(24, 2), *c = filled(12, 3), *y = buffer(48);
    RUN(tlk_ref_concat, &s, 2, a, b, c, y);
    EXPECT(y, want_concat, 0);
}

static void test_copy(void **state)
{
    (void)state;
    tlk_ref_copy s = { .elems = 5 };
    tlk_real *x = filled(10, 1), *y = buffer(10);
    RUN(tlk_ref_copy, &s, 2, x, y);
    assert_memory_equal(x, y, 10 * sizeof *x);
    check_guards();
}

/* --- optimizers ----------------------------------------------------------- */

/* The gradient of step t as PyTorch had it: float. */
static tlk_real *gradient(int t)
{
    tlk_real *g = filled(6, t + 1);
    for (int i = 0; i < 6; ++i)
        g[i] = (tlk_real)((float)g[i] * 0.3f);
    return g;
}

static tlk_real *zeros(int64_t elems)
{
    tlk_real *p = buffer(elems);
    for (int64_t i = 0; i < elems; ++i)
        p[i] = 0;
    return p;
}

static tlk_real *run_sgd(tlk_step step, bool nesterov)
{
    tlk_ref_sgd s = { .elems = 6, .nesterov = nesterov };
    tlk_real *w = filled(6, 1), *momentum = zeros(6);
    for (step.t = 1; step.t <= 3; ++step.t)
        RUN(tlk_ref_sgd, &s, 1, &step, w, momentum, gradient((int)step.t));
    return w;
}

/* PyTorch's bits in float; in double its float rounding is the difference. */
static const double of_float32 = sizeof(tlk_real) == 4 ? 0 : 3e-7;

static void test_sgd(void **state)
{
    (void)state;
    tlk_step step = { .lr = 0.05 };
    EXPECT(run_sgd(step, false), want_sgd, of_float32);
    step.momentum = 0.9;
    step.weight_decay = 0.01;
    EXPECT(run_sgd(step, true), want_sgd_nesterov, of_float32);
    step.dampening = 0.1;
    EXPECT(run_sgd(step, false), want_sgd_momentum, of_float32);
}

static tlk_real *run_adam(tlk_step step, bool decoupled)
{
    tlk_ref_adam s = { .elems = 6, .decoupled = decoupled };
    tlk_real *w = filled(6, 1), *m = zeros(6), *v = zeros(6);
    for (step.t = 1; step.t <= 3; ++step.t)
        RUN(tlk_ref_adam, &s, 1, &step, w, m, v, gradient((int)step.t));
    return w;
}

static void test_adam(void **state)
{
    (void)state;
    tlk_step step = { .lr = 0.01, .weight_decay = 0.1, .beta1 = 0.9, .beta2 = 0.999,
                      .epsilon = 1e-8 };
    EXPECT(run_adam(step, false), want_adam, 3e-7);
    EXPECT(run_adam(step, true), want_adamw, 3e-7);
    step = (tlk_step){ .lr = 0.01, .beta1 = 0.3, .beta2 = 0.9, .epsilon = 1e-8 };
    EXPECT(run_adam(step, false), want_adam_far, 3e-7);
}

/* With beta1 0 the first moment is the gradient, however large it was: lerp_'s far end. */
static void test_adam_far_end(void **state)
{
    (void)state;
    tlk_ref_adam s = { .elems = 1 };
    tlk_step step = { .t = 1, .lr = 0.01, .beta2 = 0.9, .epsilon = 1e-8 };
    tlk_real *w = filled(1, 1), *m = zeros(1), *v = zeros(1), *g = filled(1, 2);
    m[0] = (tlk_real)1e30;
    RUN(tlk_ref_adam, &s, 1, &step, w, m, v, g);
    assert_true(m[0] == g[0]);
    check_guards();
}

/* More elements than a chunk, the last chunk cut. */
static void test_update_chunks(void **state)
{
    (void)state;
    enum { N = 2 * TLK_REF_UPDATE_CHUNK + 3 };
    tlk_ref_sgd s = { .elems = N };
    tlk_step step = { .lr = 0.5, .t = 1 };
    tlk_real *w = filled(N, 1), *was = filled(N, 1), *g = filled(N, 2);
    assert_int_equal(tlk_ref_sgd_items(&s, 1), 3);
    RUN(tlk_ref_sgd, &s, 1, &step, w, zeros(N), g);
    for (int i = 0; i < N; ++i)
        assert_true(w[i] == was[i] - g[i] / 2);
    check_guards();
}

/* The joined kernels have the bits of gradient, then update. */
static void test_linear_updates(void **state)
{
    (void)state;
    tlk_ref_linear_grad_w gw = { .in = 5, .out = 4 };
    tlk_ref_sgd sgd = { .elems = 20, .nesterov = true };
    tlk_ref_adam adam = { .elems = 20, .decoupled = true };
    tlk_ref_linear_sgd linear_sgd = { .in = 5, .out = 4, .nesterov = true };
    tlk_ref_linear_adam linear_adam = { .in = 5, .out = 4, .decoupled = true };
    tlk_step step = { .t = 2, .lr = 0.01, .weight_decay = 0.1, .momentum = 0.9, .beta1 = 0.9,
                      .beta2 = 0.999, .epsilon = 1e-8 };
    tlk_real *dy = filled(12, 4), *x = filled(15, 1), *dw = buffer(20);
    tlk_real *w[2] = { filled(20, 2), filled(20, 2) }, *m[2] = { filled(20, 3), filled(20, 3) };
    tlk_real *v[2] = { zeros(20), zeros(20) };
    RUN(tlk_ref_linear_grad_w, &gw, 3, dy, x, dw);
    RUN(tlk_ref_sgd, &sgd, 3, &step, w[0], m[0], dw);
    RUN(tlk_ref_linear_sgd, &linear_sgd, 3, &step, w[1], m[1], dy, x);
    assert_memory_equal(w[0], w[1], 20 * sizeof *dw);
    assert_memory_equal(m[0], m[1], 20 * sizeof *dw);
    RUN(tlk_ref_adam, &adam, 3, &step, w[0], m[0], v[0], dw);
    RUN(tlk_ref_linear_adam, &linear_adam, 3, &step, w[1], m[1], v[1], dy, x);
    assert_memory_equal(w[0], w[1], 20 * sizeof *dw);
    assert_memory_equal(v[0], v[1], 20 * sizeof *dw);
    check_guards();
}

static void test_conv2d_updates(void **state)
{
    (void)state;
    enum { W = 4 * 2 * 3 * 3 };
    tlk_ref_conv2d_grad_w gw = { .ic = 4, .h = 5, .w = 6, .oc = 4, .oh = 3, .ow = 3, .kh = 3,
                                 .kw = 3, .groups = 2, .stride_h = 2, .stride_w = 2,
                                 .dilation_h = 1, .dilation_w = 1, .pad_top = 1, .pad_left = 1 };
    tlk_ref_sgd sgd = { .elems = W, .nesterov = true };
    tlk_ref_adam adam = { .elems = W, .decoupled = true };
    tlk_ref_conv2d_sgd conv2d_sgd = { .grad = gw, .nesterov = true };
    tlk_ref_conv2d_adam conv2d_adam = { .grad = gw, .decoupled = true };
    tlk_step step = { .t = 2, .lr = 0.01, .weight_decay = 0.1, .momentum = 0.9, .beta1 = 0.9,
                      .beta2 = 0.999, .epsilon = 1e-8 };
    tlk_real *dy = filled(3 * 36, 4), *x = filled(3 * 120, 1), *dw = buffer(W);
    tlk_real *w[2] = { filled(W, 2), filled(W, 2) }, *m[2] = { filled(W, 3), filled(W, 3) };
    tlk_real *v[2] = { zeros(W), zeros(W) };
    RUN(tlk_ref_conv2d_grad_w, &gw, 3, dy, x, dw);
    RUN(tlk_ref_sgd, &sgd, 3, &step, w[0], m[0], dw);
    RUN(tlk_ref_conv2d_sgd, &conv2d_sgd, 3, &step, w[1], m[1], dy, x);
    assert_memory_equal(w[0], w[1], W * sizeof *dw);
    assert_memory_equal(m[0], m[1], W * sizeof *dw);
    RUN(tlk_ref_adam, &adam, 3, &step, w[0], m[0], v[0], dw);
    RUN(tlk_ref_conv2d_adam, &conv2d_adam, 3, &step, w[1], m[1], v[1], dy, x);
    assert_memory_equal(w[0], w[1], W * sizeof *dw);
    assert_memory_equal(v[0], v[1], W * sizeof *dw);
    check_guards();
}

#define TEST(name) cmocka_unit_test_teardown(name, free_buffers)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_conv2d), TEST(test_conv2d_grad_w_parts), TEST(test_batch_does_not_matter), TEST(test_linear),
        TEST(test_linear_gradients), TEST(test_matmul), TEST(test_batch_norm),
        TEST(test_activations), TEST(test_activation_gradients), TEST(test_binary),
        TEST(test_dropout), TEST(test_softmax), TEST(test_softmax_of_large),
        TEST(test_cross_entropy), TEST(test_class_weights), TEST(test_accumulate),
        TEST(test_max_pool2d), TEST(test_avg_pool2d),
        TEST(test_reduce_mean), TEST(test_pad), TEST(test_transpose), TEST(test_slice),
        TEST(test_concat), TEST(test_copy), TEST(test_sgd), TEST(test_adam),
        TEST(test_adam_far_end),
        TEST(test_update_chunks), TEST(test_linear_updates), TEST(test_conv2d_updates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
