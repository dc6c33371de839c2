/* Philox and what stands on it, against numbers of a NumPy program (semantics in docs). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tlk_philox.h"

#include <string.h>

static const struct {
    tlk_stream stream;
    uint64_t first;
    uint32_t word[8];
} words[] = {
    /* seed 0, all zero: the published known answer */
    { { UINT64_C(0x0), 0u, 0u, (tlk_purpose)0 }, UINT64_C(0), {
        0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u, 0xf8e4cca4u, 0x5cb200dbu,
        0xb1a574ebu, 0x097eff67u } },
    /* seed 1, purpose init */
    { { UINT64_C(0x1), 0u, 0u, (tlk_purpose)1 }, UINT64_C(0), {
        0x127bee41u, 0x1e047488u, 0x48842b20u, 0x0a393496u, 0x10cc6764u, 0xa9634a04u,
        0x4506ae51u, 0xf15e1f53u } },
    /* a seed of 64 bits, a, b */
    { { UINT64_C(0x123456789abcdef0), 7u, 11u, (tlk_purpose)3 }, UINT64_C(5), {
        0xc867485du, 0x5c1ed655u, 0x298f9c69u, 0xc9a543f6u, 0x122d3b3du, 0x365b2cf0u,
        0x3bfa6e2au, 0xe74a2db6u } },
    /* elements around 2^32 words */
    { { UINT64_C(0x3), 1u, 2u, (tlk_purpose)3 }, UINT64_C(4294967292), {
        0xe36c51e2u, 0xe974a496u, 0xad802d35u, 0x000cf3aau, 0xdff2f016u, 0x645407dbu,
        0xd5fd49d3u, 0xb964dd8du } },
    /* elements around 34 bits: the counter wraps and a takes the excess */
    { { UINT64_C(0x3), 1u, 2u, (tlk_purpose)3 }, UINT64_C(17179869180), {
        0xd115a132u, 0x1c1e1abeu, 0x14d379b5u, 0xb6b1252du, 0x956322deu, 0xa306b216u,
        0x0cb4011au, 0xe454e3a4u } },
    /* elements far beyond 34 bits */
    { { UINT64_C(0x5), 65535u, 2u, (tlk_purpose)3 }, UINT64_C(51539619897), {
        0x52598e60u, 0x1685a7c4u, 0x0fb11252u, 0x0616ccdbu, 0x670534fau, 0x1a945d69u,
        0x4a475aa9u, 0x1ade9d4fu } },
};

static void test_words(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; ++i)
        for (uint64_t k = 0; k < 8; ++k)
            assert_int_equal(tlk_random_word(words[i].stream, words[i].first + k),
                             words[i].word[k]);
}

/* Another published answer: counter and key of ones (Random123, kat_vectors). */
static void test_known_answer(void **state)
{
    (void)state;
    uint32_t counter[4] = { 0xffffffffu, 0xffffffffu, 0xffffffffu, 0xffffffffu };
    tlk_philox(UINT64_MAX, counter);
    assert_int_equal(counter[0], 0x408f276du);
    assert_int_equal(counter[1], 0x41c83b0eu);
    assert_int_equal(counter[2], 0xa20bc7c6u);
    assert_int_equal(counter[3], 0x6d5451fdu);
}

static void test_uniform(void **state)
{
    (void)state;
    assert_true(tlk_word_uniform(0) == 0.0);
    assert_true(tlk_word_uniform(0xffu) == 0.0);
    assert_true(tlk_word_uniform(0x100u) == 0x1p-24);
    assert_true(tlk_word_uniform(0xffffffffu) == 1.0 - 0x1p-24);
    assert_true((float)tlk_word_uniform(0xffffffffu) < 1.0f);
    tlk_stream s = { 0, 0, 0, (tlk_purpose)0 };
    assert_true(tlk_random_uniform(s, 0) == (0x6627e8d5u >> 8) * 0x1p-24);
}

static void expect_order(const int64_t *got, const int64_t *want, size_t n)
{
    assert_memory_equal(got, want, n * sizeof *want);
}

static void test_orders(void **state)
{
    (void)state;
    static const int64_t first[10] = { 3, 6, 4, 5, 0, 7, 9, 8, 1, 2 };
    static const int64_t second[10] = { 0, 9, 3, 7, 1, 8, 2, 5, 4, 6 };
    static const int64_t third[23] = { 10, 12, 20, 7, 21, 5, 6, 0, 3, 19, 1, 9,
                                       4, 16, 18, 15, 17, 2, 14, 13, 22, 11, 8 };
    static const int64_t split[10] = { 4, 3, 0, 1, 9, 8, 2, 5, 6, 7 };
    int64_t order[23];
    tlk_epoch_order(1, 0, 10, order);
    expect_order(order, first, 10);
    tlk_epoch_order(1, 1, 10, order);
    expect_order(order, second, 10);
    tlk_epoch_order(UINT64_C(0x123456789abcdef0), 4, 23, order);
    expect_order(order, third, 23);
    tlk_split_order(9, 10, order);
    expect_order(order, split, 10);
    order[0] = 7;
    tlk_epoch_order(1, 0, 1, order);
    assert_int_equal(order[0], 0);
}

/* An odd count ends in half a pair; the guard behind it stays. */
static void test_initial_values(void **state)
{
    (void)state;
    static const float uniform[7] = {
        0x1.3ef3960000000p-4f, -0x1.0b63a20000000p-4f, -0x1.0fa1be0000000p-4f,
        -0x1.4b24900000000p-3f, -0x1.85b4ec0000000p-3f, 0x1.9135620000000p-3f,
        0x1.4bacd00000000p-4f };
    static const float normal[7] = {
        -0x1.b78d380000000p-5f, 0x1.1eef120000000p-4f, 0x1.21d7440000000p-5f,
        0x1.577bbc0000000p-5f, 0x1.5f7fac0000000p-6f, -0x1.2057500000000p-7f,
        -0x1.164fb20000000p-4f };
    float out[8];
    out[7] = 42;
    tlk_init_uniform(4, 3, 1 / sqrt(20.0), 7, out);
    assert_memory_equal(out, uniform, sizeof uniform);
    /* cos, sin and log of two C libraries may differ in the last bit of a double, and so
     * seldom of a float after rounding. */
    tlk_init_normal(4, 3, sqrt(2.0 / 576), 7, out);
    for (int i = 0; i < 7; ++i)
        assert_true(fabsf(out[i] - normal[i]) <= 1.2e-7f * fabsf(normal[i]));
    assert_true(out[7] == 42);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words), cmocka_unit_test(test_known_answer),
        cmocka_unit_test(test_uniform), cmocka_unit_test(test_orders),
        cmocka_unit_test(test_initial_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
