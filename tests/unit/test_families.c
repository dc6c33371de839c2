/* test_families.c: kernels of the families' activations, normalisations and concatenation, tuned
 * ones against the formulas, on planes with halos and a last block that is not full. */
#include "tlk_concat.h"
#include "tlk_families.h"
#include "tlk_ref_normalise.h"
#include "tlk_ref_unary.h"

#include "cpu_kernel_buffers.h"

static const tlk_plane bare = { 5, 6, 0, 0, 0, 0 };
static const tlk_plane haloed = { 5, 6, 2, 1, 1, 3 };
static const tlk_plane pixel_plane = { 1, 1, 0, 0, 0, 0 };
enum { PIXELS = 30, PICTURES = 3, CHANNELS = 21, ELEMS = PICTURES * CHANNELS * PIXELS };

static void exp_is_within_two_units(void **state)
{
    (void)state;
    for (float x = -86.5f; x < 87.5f; x += 0.0137f) {
        tlk_v v = tlk_exp(tlk_splat(x));
        double want = exp((double)x);
        assert_true(fabs((double)v[0] - want) <= 2.5e-7 * want);
    }
    assert_true(isnan(tlk_exp(tlk_splat(NAN))[0]));
    assert_true(tlk_exp(tlk_splat(-INFINITY))[0] < 1e-37f);
    assert_true(tlk_exp(tlk_splat(INFINITY))[0] > 1e38f);
}

/* The tuned activation of `op` against the reference's, result in `y` with lanes and halo zero. */
static void check_unary(tlk_unary_c16_op op, tlk_unary ref_op, float alpha, float beta)
{
    const tlk_unary_c16 s = { CHANNELS, op, alpha, beta, bare, haloed };
    const tlk_ref_unary r = { .elems = 1, .op = ref_op, .alpha = alpha, .beta = beta };
    float *x = random_floats(ELEMS), *got = random_floats(ELEMS);
    for (int i = 0; i < ELEMS; ++i)
        x[i] *= 6;
    buffer px = map_make(PICTURES, CHANNELS, true, bare, x);
    buffer y = buffer_make(map_elems(PICTURES, CHANNELS, true, haloed));
    for (int64_t i = tlk_unary_c16_items(&s, PICTURES); i-- > 0;)
        tlk_unary_c16_item(&s, i, PICTURES, px.at, y.at);
    for (int i = 0; i < ELEMS; ++i) {
        int pixel = i % PIXELS;
        got[i] = y.at[map_at(CHANNELS, true, haloed, i / (CHANNELS * PIXELS),
                             i / PIXELS % CHANNELS, pixel / 6, pixel % 6)];
        double want = tlk_ref_unary_value(&r, (double)x[i]);
        assert_true(fabs((double)got[i] - want) <= 1e-6);
    }
    map_check("unary_c16", &y, PICTURES, CHANNELS, true, haloed, got); /* all else is zero */
    buffer_free(&px), buffer_free(&y);
    free(x), free(got);
}

static void activations_are_the_formulas(void **state)
{
    (void)state;
    check_unary(TLK_C16_SIGMOID, TLK_SIGMOID, 0, 0);
    check_unary(TLK_C16_HARD_SIGMOID, TLK_HARD_SIGMOID, 0.2f, 0.5f);
    check_unary(TLK_C16_HARD_SWISH, TLK_HARD_SWISH, 0, 0);
    check_unary(TLK_C16_LEAKY_RELU, TLK_LEAKY_RELU, 0.01f, 0);
}

/* Squeeze and excitation: a pixel for each channel, on either side. */
static void binary_repeats_a_pixel(void **state)
{
    (void)state;
    float *a = random_floats(ELEMS), *b = random_floats(PICTURES * CHANNELS);
    float *want = random_floats(ELEMS);
    const tlk_binary_c16 s = { CHANNELS, TLK_C16_MUL, bare, pixel_plane, haloed };
    const tlk_binary_c16 t = { CHANNELS, TLK_C16_SUB, pixel_plane, bare, haloed };
    buffer pa = map_make(PICTURES, CHANNELS, true, bare, a);
    buffer pb = map_make(PICTURES, CHANNELS, true, pixel_plane, b);
    buffer y = buffer_make(map_elems(PICTURES, CHANNELS, true, haloed));
    for (int64_t i = tlk_binary_c16_items(&s, PICTURES); i-- > 0;)
        tlk_binary_c16_item(&s, i, PICTURES, pa.at, pb.at, y.at);
    for (int i = 0; i < ELEMS; ++i)
        want[i] = a[i] * b[i / PIXELS];
    map_check("mul", &y, PICTURES, CHANNELS, true, haloed, want);
    for (int64_t i = tlk_binary_c16_items(&t, PICTURES); i-- > 0;)
        tlk_binary_c16_item(&t, i, PICTURES, pb.at, pa.at, y.at);
    for (int i = 0; i < ELEMS; ++i)
        want[i] = b[i / PIXELS] - a[i];
    map_check("sub", &y, PICTURES, CHANNELS, true, haloed, want);
    buffer_free(&pa), buffer_free(&pb), buffer_free(&y);
    free(a), free(b), free(want);
}

/* 16 channels and 21 join to 37. */
static void concat_joins_blocks(void **state)
{
    (void)state;
    enum { FIRST = 16 * PIXELS, SECOND = CHANNELS * PIXELS };
    const tlk_concat_c16 s = { .parts = 2, .blocks = { 1, 2 }, .x = { haloed, bare }, .y = haloed };
    float *a = random_floats(PICTURES * FIRST), *b = random_floats(PICTURES * SECOND);
    float *want = random_floats(PICTURES * (FIRST + SECOND));
    buffer pa = map_make(PICTURES, 16, true, haloed, a);
    buffer pb = map_make(PICTURES, CHANNELS, true, bare, b);
    buffer y = buffer_make(map_elems(PICTURES, 16 + CHANNELS, true, haloed));
    for (int64_t i = tlk_concat_c16_items(&s, PICTURES); i-- > 0;)
        tlk_concat_c16_item(&s, i, PICTURES, (const void *)pa.at, (const void *)pb.at,
                            (void *)y.at);
    for (int p = 0; p < PICTURES; ++p) {
        memcpy(want + p * (FIRST + SECOND), a + p * FIRST, FIRST * sizeof *a);
        memcpy(want + p * (FIRST + SECOND) + FIRST, b + p * SECOND, SECOND * sizeof *b);
    }
    map_check("concat", &y, PICTURES, 16 + CHANNELS, true, haloed, want);
    buffer_free(&pa), buffer_free(&pb), buffer_free(&y);
    free(a), free(b), free(want);
}

/* Two rows: 1 2 3 6 has mean 3 and variance 3.5. */
static void layer_norm_is_the_formula(void **state)
{
    (void)state;
    const tlk_ref_layer_norm s = { .batch = 0, .outer = 1, .size = 4, .epsilon = 0.5 };
    const float x[8] = { 1, 2, 3, 6, 5, 5, 5, 5 }, scale[4] = { 1, 1, 2, 2 }, bias[4] = { 0, 1, 0, 1 };
    const float want[8] = { -1, 0.5f, 0, 4, 0, 1, 0, 1 };
    float y[8];
    assert_int_equal(tlk_ref_layer_norm_items(&s, 2), 2);
    for (int i = 0; i < 2; ++i)
        tlk_ref_layer_norm_item(&s, i, 2, x, scale, bias, y);
    assert_memory_equal(y, want, sizeof y);
    tlk_ref_layer_norm_item(&s, 0, 2, x, NULL, NULL, y);
    assert_true(y[3] == 1.5f);
}

/* Four channels of one pixel, windows of three: the channel itself and one on each side. */
static void lrn_squares_its_neighbours(void **state)
{
    (void)state;
    const tlk_ref_lrn s = { .batch = 0, .c = 4, .plane = 1, .size = 3, .alpha = 3, .beta = 1,
                            .bias = 1 };
    const float x[4] = { 1, 2, 3, 4 };
    const float want[4] = { 1.0f / 6, 2.0f / 15, 0.1f, 4.0f / 26 };
    float y[4];
    for (int i = 0; i < 4; ++i)
        tlk_ref_lrn_item(&s, i, 1, x, y);
    for (int i = 0; i < 4; ++i)
        assert_true(fabsf(y[i] - want[i]) < 1e-7f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exp_is_within_two_units),
        cmocka_unit_test(activations_are_the_formulas),
        cmocka_unit_test(binary_repeats_a_pixel),
        cmocka_unit_test(concat_joins_blocks),
        cmocka_unit_test(layer_norm_is_the_formula),
        cmocka_unit_test(lrn_squares_its_neighbours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
