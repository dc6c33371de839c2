/* test_tlr.c: the embedding API with a model written by hand: what it computes, what it refuses
 * (hostile-inputs 4.9), threads, memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "hand_model.h"
#include "tlr_pixels.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

/* Allocations are counted where the C library lets malloc be wrapped; not under a sanitizer. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define COUNTS_MALLOC 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define COUNTS_MALLOC 0
#endif
#endif
#ifndef COUNTS_MALLOC
#define COUNTS_MALLOC 1
#endif

static int allocations;

#if COUNTS_MALLOC
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_memalign(size_t align, size_t n);

void *malloc(size_t n)
{
    ++allocations;
    return __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
    ++allocations;
    return __libc_calloc(n, size);
}

void *aligned_alloc(size_t align, size_t n)
{
    ++allocations;
    return __libc_memalign(align, n);
}
#endif

static float *make_input(int n)
{
    float *x = malloc((size_t)n * 48 * sizeof *x);
    for (int i = 0; i < n * 48; ++i)
        x[i] = (float)((i * 37 + i / 48 * 11) % 101) / 50.0f - 1.0f;
    return x;
}

/* The model in double. */
static void expect(const float *x, double features[3], double logits[2])
{
    static const double w[2][3] = { { 1, -1, 0.5 }, { -0.5, 2, 1 } }, b[2] = { 0.1, -0.2 };
    for (int c = 0; c < 3; ++c) {
        double sum = 0;
        for (int i = 0; i < 16; ++i)
            sum += x[c * 16 + i];
        features[c] = sum / 16 * 2 * (c + 1);
    }
    for (int k = 0; k < 2; ++k)
        logits[k] = b[k] + w[k][0] * features[0] + w[k][1] * features[1] + w[k][2] * features[2];
}

static tlr_session *open_hand(const unsigned char *file, int max_batch, int threads)
{
    tlr_config config = { .max_batch = max_batch, .threads = threads };
    tlr_session *s = NULL;
    assert_int_equal(tlr_open_memory(&hand_model, file, hand_weights_bytes(1), &config, &s),
                     TLR_OK);
    return s;
}

static void computes(void **state)
{
    (void)state;
    unsigned char *file = hand_weights(1);
    float *x = make_input(8), z[16], f[24];
    for (int threads = 1; threads <= 3; ++threads) {
        tlr_session *s = open_hand(file, 8, threads);
        for (int n = 1; n <= 8; ++n) {
            assert_int_equal(tlr_run(s, n, x, z), TLR_OK);
            assert_int_equal(tlr_run_features(s, n, x, f), TLR_OK);
            for (int i = 0; i < n; ++i) {
                double want_f[3], want_z[2];
                expect(x + i * 48, want_f, want_z);
                for (int c = 0; c < 3; ++c)
                    assert_true(fabs(f[i * 3 + c] - want_f[c]) < 1e-5);
                for (int k = 0; k < 2; ++k)
                    assert_true(fabs(z[i * 2 + k] - want_z[k]) < 1e-5);
            }
        }
        tlr_close(s);
    }
    free(x);
    free(file);
}

static void classifies(void **state)
{
    (void)state;
    unsigned char *file = hand_weights(1), px[2][6 * 5 * 3];
    float p[4], z[4], x[96];
    tlr_picture pics[2] = { { px[0], 6, 5, 18, TLR_RGB }, { px[1], 5, 6, 15, TLR_RGB } };
    for (int i = 0; i < 180; ++i)
        px[i / 90][i % 90] = (unsigned char)(i * 91);
    char *scratch =
        aligned_alloc(64, (tlr_pixels_scratch_max(&hand_model.preprocess) + 63) / 64 * 64);
    for (int i = 0; i < 2; ++i)
        tlr_pixels_to_input(&hand_model.preprocess, &pics[i], TLR_F32, x + 48 * i, scratch);
    tlr_session *s = open_hand(file, 2, 2);
    assert_int_equal(tlr_classify(s, pics, 2, p), TLR_OK);
    assert_int_equal(tlr_run(s, 2, x, z), TLR_OK);
    for (int i = 0; i < 2; ++i)
        assert_true(fabs(p[i * 2] - 1 / (1 + exp((double)z[i * 2 + 1] - z[i * 2]))) < 1e-6);
    assert_string_equal(tlr_label(s, 0), "cat");
    assert_string_equal(tlr_label(s, 1), "dog");
    assert_null(tlr_label(s, 2));
    assert_null(tlr_label(s, -1));
    tlr_close(s);
    free(scratch);
    free(file);
}

/* What tlr_classify gives the network is what tlr_pixels_to_input writes in the model's order. */
static void classifies_channels_last(void **state)
{
    (void)state;
    unsigned char *file = hand_weights(1), px[48];
    float x[48], z[2], p[2], planes[2];
    tlr_model last = hand_model;
    tlr_session *s, *t;
    tlr_picture pic = { px, 4, 4, 12, TLR_RGB };
    last.preprocess.channels_last = 1;
    for (int i = 0; i < 48; ++i) {
        px[i] = (unsigned char)(i * 91);
        x[i] = ((float)px[i] / 255.0f - 0.5f) / 0.25f;
    }
    assert_int_equal(tlr_open_memory(&last, file, HAND_FILE, NULL, &s), TLR_OK);
    assert_int_equal(tlr_open_memory(&hand_model, file, HAND_FILE, NULL, &t), TLR_OK);
    assert_int_equal(tlr_classify(s, &pic, 1, p), TLR_OK);
    assert_int_equal(tlr_classify(t, &pic, 1, planes), TLR_OK);
    assert_int_equal(tlr_run(s, 1, x, z), TLR_OK);
    assert_true(fabs(p[0] - 1 / (1 + exp((double)z[1] - z[0]))) < 1e-6);
    assert_true(fabs((double)p[0] - planes[0]) > 1e-3);
    tlr_close(s);
    tlr_close(t);
    free(file);
}

static void describes(void **state)
{
    (void)state;
    tlr_info info;
    tlr_model_info(&hand_model, &info);
    assert_string_equal(info.name, "hand");
    assert_int_equal(info.input_rank, 3);
    assert_int_equal(info.input_dim[0], 3);
    assert_int_equal(info.input_elems, 48);
    assert_int_equal(info.feature_elems, 3);
    assert_int_equal(info.output_elems, 2);
    assert_int_equal(info.element_bytes, 4);
    assert_true(info.is_picture);
    for (int st = 0; st < 9; ++st)
        assert_non_null(tlr_status_text((tlr_status)st));
}

/* --- what is refused ------------------------------------------------------- */

static void refuses_calls(void **state)
{
    (void)state;
    unsigned char *file = hand_weights(1), px[48] = { 0 };
    float *x = make_input(8), z[16] = { 7 };
    tlr_picture pic = { px, 4, 4, 12, TLR_RGB }, bad = { px, 0, 4, 12, TLR_RGB };
    tlr_session *s = open_hand(file, 2, 1);
    assert_int_equal(tlr_run(NULL, 1, x, z), TLR_E_USAGE);
    assert_int_equal(tlr_run(s, 1, NULL, z), TLR_E_USAGE);
    assert_int_equal(tlr_run(s, 1, x, NULL), TLR_E_USAGE);
    assert_int_equal(tlr_run(s, 0, x, z), TLR_E_USAGE);
    assert_int_equal(tlr_run(s, -1, x, z), TLR_E_USAGE);
    assert_int_equal(tlr_run(s, 3, x, z), TLR_E_USAGE);
    assert_int_equal(tlr_run_features(s, 3, x, z), TLR_E_USAGE);
    assert_int_equal(tlr_classify(s, NULL, 1, z), TLR_E_USAGE);
    assert_int_equal(tlr_classify(s, &pic, 0, z), TLR_E_USAGE);
    assert_int_equal(tlr_classify(s, &bad, 1, z), TLR_E_USAGE);
    assert_true(z[0] == 7);
    tlr_close(s);
    tlr_close(NULL);
    free(x);
    free(file);
}

static void refuses_opening(void **state)
{
    (void)state;
    unsigned char *file = hand_weights(1);
    size_t n = hand_weights_bytes(1), need = tlr_session_bytes(&hand_model, NULL);
    char *block = aligned_alloc(64, need + 64);
    tlr_session *s = NULL;
    const struct {
        tlr_config config;
        tlr_status want;
    } cases[] = {
        { { .memory = block + 1, .memory_bytes = need }, TLR_E_USAGE },
        { { .memory = block, .memory_bytes = need - 1 }, TLR_E_LIMIT },
        { { .max_batch = 9 }, TLR_E_USAGE },
        { { .max_batch = -1 }, TLR_E_USAGE },
        { { .threads = -1 }, TLR_E_USAGE },
        { { .threads = 1025 }, TLR_E_USAGE },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i)
        assert_int_equal(tlr_open_memory(&hand_model, file, n, &cases[i].config, &s),
                         cases[i].want);
    assert_int_equal(tlr_open_memory(NULL, file, n, NULL, &s), TLR_E_USAGE);
    assert_int_equal(tlr_open_memory(&hand_model, NULL, n, NULL, &s), TLR_E_USAGE);
    assert_int_equal(tlr_open_memory(&hand_model, file, n, NULL, NULL), TLR_E_USAGE);
    assert_int_equal(tlr_open_memory(&hand_model, file + 1, n - 1, NULL, &s), TLR_E_USAGE);
    assert_int_equal(tlr_open_file(&hand_model, NULL, NULL, &s), TLR_E_USAGE);
    assert_int_equal(tlr_open_file(&hand_model, "/nonexistent/weights.bin", NULL, &s), TLR_E_INPUT);
    assert_int_equal(tlr_open_file(&hand_model, "/dev/null", NULL, &s), TLR_E_INPUT);
    assert_int_equal(tlr_session_bytes(&hand_model, &cases[2].config), 0);
    assert_null(s);
    free(block);
    free(file);
}

/* Every byte but those that say whose the file is; and every length. */
static void refuses_damage(void **state)
{
    (void)state;
    unsigned char *file = hand_weights(1);
    size_t n = hand_weights_bytes(1);
    tlr_session *s = NULL;
    for (size_t i = 0; i < n; ++i) {
        file[i] ^= 1u << i % 8;
        tlr_status st = tlr_open_memory(&hand_model, file, n, NULL, &s);
        int other = (i >= 8 && i < 12) || (i >= 56 && i < 64); /* abi, graph */
        assert_int_equal(st, other ? TLR_E_UNSUPPORTED : TLR_E_MALFORMED);
        file[i] ^= 1u << i % 8;
    }
    for (size_t i = 0; i < n; i += i < 100 || i > 4000 ? 1 : 97)
        assert_int_equal(tlr_open_memory(&hand_model, file, i, NULL, &s), TLR_E_MALFORMED);
    file[12] ^= 1; /* "trained" */
    assert_int_equal(tlr_open_memory(&hand_model, file, n, NULL, &s), TLR_E_MALFORMED);
    assert_null(s);
    free(file);
}

static void asks_for_a_trained_head(void **state)
{
    (void)state;
    unsigned char *file = hand_weights(0), px[48] = { 0 };
    float *x = make_input(1), z[3] = { 7, 7, 7 };
    tlr_picture pic = { px, 4, 4, 12, TLR_RGB };
    tlr_session *s = NULL;
    assert_int_equal(tlr_open_memory(&hand_model, file, hand_weights_bytes(0), NULL, &s), TLR_OK);
    assert_int_equal(tlr_run(s, 1, x, z), TLR_E_UNSUPPORTED);
    assert_int_equal(tlr_classify(s, &pic, 1, z), TLR_E_UNSUPPORTED);
    assert_true(z[0] == 7 && z[1] == 7);
    assert_int_equal(tlr_run_features(s, 1, x, z), TLR_OK);
    assert_null(tlr_label(s, 0));
    tlr_close(s);
    free(x);
    free(file);
}

static void opens_a_file(void **state)
{
    (void)state;
    unsigned char *file = hand_weights(1);
    char path[] = "/tmp/test_tlr-XXXXXX";
    int fd = mkstemp(path);
    float *x = make_input(1), a[2], b[2];
    tlr_session *s = open_hand(file, 1, 1);
    assert_int_equal(write(fd, file, hand_weights_bytes(1)), (ssize_t)hand_weights_bytes(1));
    close(fd);
    assert_int_equal(tlr_run(s, 1, x, a), TLR_OK);
    tlr_close(s);
    assert_int_equal(tlr_open_file(&hand_model, path, NULL, &s), TLR_OK);
    assert_int_equal(tlr_run(s, 1, x, b), TLR_OK);
    assert_memory_equal(a, b, sizeof a);
    tlr_close(s);
    unlink(path);
    free(x);
    free(file);
}

/* --- threads and memory ------------------------------------------------------ */

typedef struct racer {
    const unsigned char *file;
    const float *x;
    float z[16];
} racer;

static void *race(void *arg)
{
    racer *r = arg;
    tlr_session *s = NULL;
    tlr_config config = { .max_batch = 8, .threads = 2 };
    tlr_open_memory(&hand_model, r->file, hand_weights_bytes(1), &config, &s);
    for (int i = 0; i < 200; ++i)
        tlr_run(s, 8, r->x, r->z);
    tlr_close(s);
    return NULL;
}

static void two_sessions_two_threads(void **state)
{
    (void)state;
    unsigned char *file = hand_weights(1);
    float *x = make_input(8);
    racer r[2] = { { .file = file, .x = x }, { .file = file, .x = x } };
    pthread_t t[2];
    for (int i = 0; i < 2; ++i)
        assert_int_equal(pthread_create(&t[i], NULL, race, &r[i]), 0);
    for (int i = 0; i < 2; ++i)
        pthread_join(t[i], NULL);
    assert_memory_equal(r[0].z, r[1].z, sizeof r[0].z);
    tlr_session *s = open_hand(file, 8, 1);
    assert_int_equal(tlr_run(s, 8, x, r[1].z), TLR_OK);
    assert_memory_equal(r[0].z, r[1].z, sizeof r[0].z);
    tlr_close(s);
    free(x);
    free(file);
}

/* An application's own "threads": backwards, on workers in turn. */
static void app_for(void *self, int64_t items, void (*item)(void *arg, int64_t i, int worker),
                    void *arg)
{
    for (int64_t i = items - 1; i >= 0; --i)
        item(arg, i, (int)(i % 3));
    ++*(int *)self;
}

static void application_threads(void **state)
{
    (void)state;
    unsigned char *file = hand_weights(1);
    float *x = make_input(8), a[16], b[16];
    int calls = 0;
    tlr_config config = { .max_batch = 8, .parallel_for = app_for, .parallel_self = &calls };
    tlr_session *s = NULL, *own = open_hand(file, 8, 1);
    assert_int_equal(tlr_open_memory(&hand_model, file, hand_weights_bytes(1), &config, &s),
                     TLR_E_USAGE);
    config.workers = 3;
    assert_int_equal(tlr_open_memory(&hand_model, file, hand_weights_bytes(1), &config, &s),
                     TLR_OK);
    assert_int_equal(tlr_run(s, 8, x, a), TLR_OK);
    assert_int_equal(tlr_run(own, 8, x, b), TLR_OK);
    assert_memory_equal(a, b, sizeof a);
    assert_int_equal(calls, 2);
    tlr_close(s);
    tlr_close(own);
    free(x);
    free(file);
}

/* The given block is enough to the byte, nothing past it is touched, nothing is allocated. */
static void memory_of_the_application(void **state)
{
    (void)state;
    enum { GUARD = 256 };
    unsigned char *file = hand_weights(1), px[48] = { 0 };
    float *x = make_input(8), z[24];
    tlr_picture pic = { px, 4, 4, 12, TLR_RGB };
    tlr_config config = { .max_batch = 8, .threads = 1 };
    size_t need = tlr_session_bytes(&hand_model, &config);
    unsigned char *block = aligned_alloc(64, (need + GUARD + 63) / 64 * 64);
    memset(block, 0xa5, need + GUARD);
    config.memory = block;
    config.memory_bytes = need;
    tlr_session *s = NULL;
    int before = allocations;
    assert_int_equal(tlr_open_memory(&hand_model, file, hand_weights_bytes(1), &config, &s),
                     TLR_OK);
    assert_int_equal(tlr_run(s, 8, x, z), TLR_OK);
    assert_int_equal(tlr_run_features(s, 8, x, z), TLR_OK);
    assert_int_equal(tlr_classify(s, &pic, 1, z), TLR_OK);
    tlr_close(s);
    assert_int_equal(allocations, before);
    for (size_t i = need; i < need + GUARD; ++i)
        assert_int_equal(block[i], 0xa5);
    free(block);
    free(x);
    free(file);
}

/* Without a block of the application: one allocation, at open. */
static void allocates_once(void **state)
{
    (void)state;
    unsigned char *file = hand_weights(1);
    float *x = make_input(8), z[16];
    int before = allocations;
    tlr_session *s = open_hand(file, 8, 1);
    assert_int_equal(tlr_run(s, 8, x, z), TLR_OK);
    assert_int_equal(allocations - before, COUNTS_MALLOC);
    tlr_close(s);
    free(x);
    free(file);
}

/* --- layouts ----------------------------------------------------------------- */

/* Where element (a, b, y, x) stands, written out by hand for each layout. */
static int64_t stored_at(const tlr_tensor *t, int64_t a, int64_t b, int64_t y, int64_t x)
{
    int64_t I = t->dim[1], H = t->dim[2], W = t->dim[3], i16 = (I + 15) / 16;
    switch (t->layout) {
    case TLR_OI16:
        return ((((a / 16 * i16 + b / 16) * H + y) * W + x) * 16 + b % 16) * 16 + a % 16;
    case TLR_STEM16:
        return (((a / 16 * H + y) * W + x) * I + b) * 16 + a % 16;
    case TLR_DW16:
        return ((a / 16 * H + y) * W + x) * 16 + a % 16;
    case TLR_LIN16:
        return (a / 16 * I + b) * 16 + a % 16;
    case TLR_NHWC:
        return ((a * H + y) * W + x) * I + b;
    case TLR_C16:
        return (((a * i16 + b / 16) * H + y) * W + x) * 16 + b % 16;
    default:
        return ((a * I + b) * H + y) * W + x;
    }
}

static void packs_and_unpacks(void **state)
{
    (void)state;
    static const struct {
        tlr_layout layout;
        int64_t dim[4], stored;
    } cases[] = {
        { TLR_PLAIN, { 5, 3, 2, 2 }, 60 },        { TLR_OI16, { 18, 17, 3, 2 }, 32 * 32 * 6 },
        { TLR_STEM16, { 17, 3, 2, 3 }, 32 * 18 }, { TLR_DW16, { 20, 1, 3, 3 }, 32 * 9 },
        { TLR_LIN16, { 18, 7, 1, 1 }, 32 * 7 },   { TLR_C16, { 2, 18, 3, 2 }, 2 * 32 * 6 },
        { TLR_NHWC, { 5, 3, 2, 4 }, 120 },
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; ++k) {
        tlr_tensor t = { .type = TLR_F32,
                         .layout = cases[k].layout,
                         .rank = cases[k].layout == TLR_LIN16 ? 2 : 4,
                         .bytes = cases[k].stored * 4 };
        memcpy(t.dim, cases[k].dim, sizeof cases[k].dim);
        int64_t n = tlr_tensor_elems(&t), at = 0;
        float *plain = malloc((size_t)n * 4), *back = malloc((size_t)n * 4),
              *packed = malloc((size_t)t.bytes);
        for (int64_t i = 0; i < n; ++i)
            plain[i] = (float)(i + 1);
        tlr_pack(&t, plain, packed);
        double sum = 0;
        for (int64_t i = 0; i < cases[k].stored; ++i)
            sum += packed[i];
        assert_true(sum == (double)n * ((double)n + 1) / 2); /* the padding is zero */
        for (int64_t a = 0; a < t.dim[0]; ++a)
            for (int64_t b = 0; b < t.dim[1]; ++b)
                for (int64_t y = 0; y < t.dim[2]; ++y)
                    for (int64_t x = 0; x < t.dim[3]; ++x)
                        assert_true(packed[stored_at(&t, a, b, y, x)] == plain[at++]);
        tlr_unpack(&t, packed, back);
        assert_memory_equal(plain, back, (size_t)n * 4);
        free(plain);
        free(back);
        free(packed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(computes),
        cmocka_unit_test(classifies),
        cmocka_unit_test(classifies_channels_last),
        cmocka_unit_test(describes),
        cmocka_unit_test(refuses_calls),
        cmocka_unit_test(refuses_opening),
        cmocka_unit_test(refuses_damage),
        cmocka_unit_test(asks_for_a_trained_head),
        cmocka_unit_test(opens_a_file),
        cmocka_unit_test(two_sessions_two_threads),
        cmocka_unit_test(application_threads),
        cmocka_unit_test(memory_of_the_application),
        cmocka_unit_test(allocates_once),
        cmocka_unit_test(packs_and_unpacks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
