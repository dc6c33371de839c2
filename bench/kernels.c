/* kernels.c: the tuned kernels beside the processor's measured peak of fused multiply-adds.
 *
 *     cc -std=gnu11 -O2 -ffp-contract=off -march=native -Ikernels -Ikernels/cpu \
 *        bench/kernels.c -o bench-kernels -lm && ./bench-kernels [seconds a row]
 *
 * One thread, warm data, the best of the runs; shapes are layers of ResNet, VGG and EfficientNet.
 * Convolutions are rated by the multiply-adds of the direct method, so Winograd passes 100 %.
 * Kernels that are bound by memory are rated in GB/s beside a copy of 64 MiB.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "tlk_conv2d_depthwise.h"
#include "tlk_conv2d_direct.h"
#include "tlk_conv2d_stem.h"
#include "tlk_conv2d_winograd.h"
#include "tlk_linear_update.h"
#include "tlk_pool2d.h"

/* Operands of any kernel here: large enough for the largest row. */
typedef struct pool {
    float *x, *w, *m, *v, *b, *y, *scratch;
} pool;

typedef struct row {
    const char *name;
    double multiply_adds; /* of one run; 0: rated by bytes */
    double bytes;
    void (*run)(const pool *p);
} row;

static double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static float *floats(size_t count)
{
    float *p = aligned_alloc(4096, (count * sizeof(float) + 4095) / 4096 * 4096);
    if (!p)
        exit(1);
    for (size_t i = 0; i < count; ++i)
        p[i] = (float)(i % 251) / 251.0f - 0.5f;
    return p;
}

/* Twelve independent chains: what the microkernel has. */
static __attribute__((noinline)) void peak_run(const pool *p)
{
    enum { CHAINS = 12, STEPS = 100000 };
    tlk_v a[CHAINS];
    const tlk_v scale = tlk_load(p->b), add = tlk_load(p->b + TLK_BLOCK);
    TLK_UNROLL
    for (int i = 0; i < CHAINS; ++i)
        a[i] = add;
    TLK_ROLLED
    for (int k = 0; k < STEPS; ++k) {
        TLK_UNROLL
        for (int i = 0; i < CHAINS; ++i) {
            a[i] = tlk_fma(a[i], scale, add);
            TLK_IN_REGISTER(a[i]);
        }
    }
    TLK_UNROLL
    for (int i = 0; i < CHAINS; ++i)
        tlk_store(p->y + i * TLK_W, a[i]);
}

static void copy_run(const pool *p)
{
    memcpy(p->m, p->w, (size_t)64 << 20);
}

/* --- rows -------------------------------------------------------------------------- */

#define ITEMS(kernel, n, ...)                                                          \
    const int64_t items = tlk_##kernel##_items(&s, n);                                 \
    for (int64_t i = 0; i < items; ++i)                                                \
        tlk_##kernel##_item(&s, i, n, __VA_ARGS__)

#define SHAPE(ci, co, g, k, stride, pad, in, out)                                      \
    .ic = ci, .oc = co, .groups = g, .kh = k, .kw = k, .sh = stride, .sw = stride,     \
    .dh = 1, .dw = 1, .pad_top = pad, .pad_left = pad,                                 \
    .x = { in, in, pad, pad, pad, pad }, .y = { out, out, 1, 1, 1, 1 }, .act = TLK_ACT_RELU

#define CONV(kernel, id, ...)                                                          \
    static __attribute__((noinline)) void id(const pool *p)                            \
    {                                                                                  \
        static const tlk_conv2d s = { SHAPE(__VA_ARGS__) };                            \
        ITEMS(kernel, 1, p->x, p->w, p->b, NULL, p->y);                                \
    }

#define WINO(id, chunk, blocks, ...)                                                   \
    static __attribute__((noinline)) void id(const pool *p)                            \
    {                                                                                  \
        static const tlk_conv2d_winograd s = { .conv = { SHAPE(__VA_ARGS__) },         \
                                               .tiles = chunk, .group = blocks };      \
        ITEMS(conv2d_winograd, 1, p->scratch, p->x, p->w, p->b, NULL, p->y);           \
    }

CONV(conv2d_direct, d64_56, 64, 64, 1, 3, 1, 1, 56, 56)
CONV(conv2d_direct, d128_28, 128, 128, 1, 3, 1, 1, 28, 28)
CONV(conv2d_direct, d256_14, 256, 256, 1, 3, 1, 1, 14, 14)
CONV(conv2d_direct, d512_7, 512, 512, 1, 3, 1, 1, 7, 7)
CONV(conv2d_direct, d128_56s2, 128, 128, 1, 3, 2, 1, 56, 28)
CONV(conv2d_direct, p64_256, 64, 256, 1, 1, 1, 0, 56, 56)
CONV(conv2d_direct, p256_64, 256, 64, 1, 1, 1, 0, 56, 56)
CONV(conv2d_direct, p512_128, 512, 128, 1, 1, 1, 0, 28, 28)
CONV(conv2d_direct, p128_512, 128, 512, 1, 1, 1, 0, 28, 28)
CONV(conv2d_direct, p256_1024, 256, 1024, 1, 1, 1, 0, 14, 14)
CONV(conv2d_direct, p1024_256, 1024, 256, 1, 1, 1, 0, 14, 14)
CONV(conv2d_direct, p512_2048, 512, 2048, 1, 1, 1, 0, 7, 7)
CONV(conv2d_direct, p2048_512, 2048, 512, 1, 1, 1, 0, 7, 7)
CONV(conv2d_direct, p16_96, 16, 96, 1, 1, 1, 0, 112, 112)
CONV(conv2d_direct, p144_24, 144, 24, 1, 1, 1, 0, 56, 56)
CONV(conv2d_direct, p672_112, 672, 112, 1, 1, 1, 0, 14, 14)
WINO(w64_56, 18, 4, 64, 64, 1, 3, 1, 1, 56, 56)
WINO(w128_28, 12, 8, 128, 128, 1, 3, 1, 1, 28, 28)
WINO(w256_14, 6, 8, 256, 256, 1, 3, 1, 1, 14, 14)
WINO(w512_14, 18, 8, 512, 512, 1, 3, 1, 1, 14, 14)
WINO(w32_56, 18, 2, 32, 32, 1, 3, 1, 1, 56, 56)
CONV(conv2d_stem, s7x7, 3, 64, 1, 7, 2, 3, 224, 112)
CONV(conv2d_stem, s3x3, 3, 64, 1, 3, 1, 1, 224, 224)
CONV(conv2d_stem, s3x3s2, 3, 32, 1, 3, 2, 1, 224, 112)
CONV(conv2d_depthwise, w3_32_112, 32, 32, 32, 3, 1, 1, 112, 112)
CONV(conv2d_depthwise, w3_96_112s2, 96, 96, 96, 3, 2, 1, 112, 56)
CONV(conv2d_depthwise, w3_144_56, 144, 144, 144, 3, 1, 1, 56, 56)
CONV(conv2d_depthwise, w5_240_28, 240, 240, 240, 5, 1, 2, 28, 28)
CONV(conv2d_depthwise, w5_672_14, 672, 672, 672, 5, 1, 2, 14, 14)
CONV(conv2d_depthwise, w3_1152_7, 1152, 1152, 1152, 3, 1, 1, 7, 7)

#define LINEAR(id, inputs, outputs, n)                                                 \
    static __attribute__((noinline)) void id(const pool *p)                            \
    {                                                                                  \
        static const tlk_linear_packed s = { .in = inputs, .out = outputs };           \
        ITEMS(linear_packed, n, p->x, p->w, p->b, p->y);                               \
    }
LINEAR(l_4096_1, 4096, 4096, 1)
LINEAR(l_4096_16, 4096, 4096, 16)

static __attribute__((noinline)) void grad_x_16(const pool *p)
{
    static const tlk_linear_grad_x_packed s = { .in = 4096, .out = 4096 };
    ITEMS(linear_grad_x_packed, 16, p->x, p->w, p->y);
}

static __attribute__((noinline)) void adam_16(const pool *p)
{
    static const tlk_linear_adam_packed s = { .in = 4096, .out = 4096 };
    static const tlk_step step = { .t = 7, .lr = 1e-3, .beta1 = 0.9, .beta2 = 0.999,
                                   .epsilon = 1e-8 };
    ITEMS(linear_adam_packed, 16, &step, p->w, p->m, p->v, p->y, p->x);
}

static __attribute__((noinline)) void max_3_112(const pool *p)
{
    static const tlk_pool2d s = { .c = 64, .kh = 3, .kw = 3, .sh = 2, .sw = 2, .dh = 1,
                                  .dw = 1, .pad_top = 1, .pad_left = 1, .pad_bottom = 1,
                                  .pad_right = 1, .x = { 112, 112, 0, 0, 0, 0 },
                                  .y = { 56, 56, 1, 1, 1, 1 } };
    ITEMS(max_pool2d_c16, 1, p->x, p->y);
}

#define ADDS(ci, co, k, out) ((double)(ci) * (co) * (k) * (k) * (out) * (out))
#define WEIGHTS_4096 (4096.0 * 4096.0)

static const row rows[] = {
    { "3x3 64@56", ADDS(64, 64, 3, 56), 0, d64_56 },
    { "3x3 128@28", ADDS(128, 128, 3, 28), 0, d128_28 },
    { "3x3 256@14", ADDS(256, 256, 3, 14), 0, d256_14 },
    { "3x3 512@7", ADDS(512, 512, 3, 7), 0, d512_7 },
    { "3x3 stride 2, 128@28", ADDS(128, 128, 3, 28), 0, d128_56s2 },
    { "1x1 64->256@56", ADDS(64, 256, 1, 56), 0, p64_256 },
    { "1x1 256->64@56", ADDS(256, 64, 1, 56), 0, p256_64 },
    { "1x1 512->128@28", ADDS(512, 128, 1, 28), 0, p512_128 },
    { "1x1 128->512@28", ADDS(128, 512, 1, 28), 0, p128_512 },
    { "1x1 256->1024@14", ADDS(256, 1024, 1, 14), 0, p256_1024 },
    { "1x1 1024->256@14", ADDS(1024, 256, 1, 14), 0, p1024_256 },
    { "1x1 512->2048@7", ADDS(512, 2048, 1, 7), 0, p512_2048 },
    { "1x1 2048->512@7", ADDS(2048, 512, 1, 7), 0, p2048_512 },
    { "1x1 16->96@112", ADDS(16, 96, 1, 112), 0, p16_96 },
    { "1x1 144->24@56", ADDS(144, 24, 1, 56), 0, p144_24 },
    { "1x1 672->112@14", ADDS(672, 112, 1, 14), 0, p672_112 },
    { "winograd 64@56", ADDS(64, 64, 3, 56), 0, w64_56 },
    { "winograd 128@28", ADDS(128, 128, 3, 28), 0, w128_28 },
    { "winograd 256@14", ADDS(256, 256, 3, 14), 0, w256_14 },
    { "winograd 512@14", ADDS(512, 512, 3, 14), 0, w512_14 },
    { "winograd 32@56", ADDS(32, 32, 3, 56), 0, w32_56 },
    { "stem 7x7 stride 2, 64@112", ADDS(3, 64, 7, 112), 0, s7x7 },
    { "stem 3x3, 64@224", ADDS(3, 64, 3, 224), 0, s3x3 },
    { "stem 3x3 stride 2, 32@112", ADDS(3, 32, 3, 112), 0, s3x3s2 },
    { "depthwise 3x3 32@112", ADDS(1, 32, 3, 112), 0, w3_32_112 },
    { "depthwise 3x3 s2 96@56", ADDS(1, 96, 3, 56), 0, w3_96_112s2 },
    { "depthwise 3x3 144@56", ADDS(1, 144, 3, 56), 0, w3_144_56 },
    { "depthwise 5x5 240@28", ADDS(1, 240, 5, 28), 0, w5_240_28 },
    { "depthwise 5x5 672@14", ADDS(1, 672, 5, 14), 0, w5_672_14 },
    { "depthwise 3x3 1152@7", ADDS(1, 1152, 3, 7), 0, w3_1152_7 },
    { "linear 4096->4096 b16", 16 * WEIGHTS_4096, 0, l_4096_16 },
    { "linear grad x 4096, b16", 16 * WEIGHTS_4096, 0, grad_x_16 },
    { "linear 4096->4096 b1", 0, 4 * WEIGHTS_4096, l_4096_1 },
    { "gradient + adam 4096, b16", 0, 24 * WEIGHTS_4096, adam_16 },
    { "max pool 3x3 s2 64@56", 0, 4.0 * 64 * (112 * 112 + 56 * 56), max_3_112 },
    { "copy 64 MiB", 0, 2.0 * (64 << 20), copy_run },
};

static double best_of(const row *r, const pool *p, double seconds)
{
    const double start = seconds_now();
    double best = 1e9;
    for (int runs = 0; runs < 3 || seconds_now() - start < seconds; ++runs) {
        const double t = seconds_now();
        r->run(p);
        const double took = seconds_now() - t;
        best = took < best ? took : best;
    }
    return best;
}

int main(int argc, char **argv)
{
    const double seconds = argc > 1 ? atof(argv[1]) : 0.1;
    const row peak_row = { "peak", 12e5 * TLK_W, 0, peak_run };
    const pool p = { .x = floats(4 << 20), .w = floats(17 << 20), .m = floats(17 << 20),
                     .v = floats(17 << 20), .b = floats(8192), .y = floats(4 << 20),
                     .scratch = floats(4 << 20) };
    for (int i = 0; i < 17 << 20; ++i)
        p.v[i] *= p.v[i];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; ++i) {
        /* Beside every row: the clock moves. */
        const double peak = peak_row.multiply_adds / best_of(&peak_row, &p, seconds / 4);
        const double took = best_of(&rows[i], &p, seconds);
        if (rows[i].multiply_adds > 0)
            printf("%-28s %9.3f ms  %5.1f %% of %.0f GFLOP/s\n", rows[i].name, took * 1e3,
                   100 * rows[i].multiply_adds / took / peak, 2e-9 * peak);
        else
            printf("%-28s %9.3f ms  %5.1f GB/s\n", rows[i].name, took * 1e3,
                   1e-9 * rows[i].bytes / took);
    }
    free(p.x), free(p.w), free(p.m), free(p.v), free(p.b), free(p.y), free(p.scratch);
    return 0;
}
