/* linear.c: linear layers of VGG16's classifier, ours beside OpenBLAS, in turns.
 *
 *     cc -std=gnu11 -O2 -ffp-contract=off -march=native -Ikernels -Ikernels/cpu \
 *        bench/linear.c -o bench-linear -lopenblas -lm && ./bench-linear [rounds]
 *
 * One thread, the median of the rounds in milliseconds, forward and gradient by the input:
 *   ours      the kernels of tlk_linear.h
 *   blocks    those of `--blas openblas`: the same packed weights, eight pictures a call
 *   whole     one sgemm over plain weights and all pictures: OpenBLAS as it likes it best, with bits
 *             that depend on the batch
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "tlk_linear_blas.h"

enum { WAYS = 3, MOST_ROUNDS = 101, MOST_IN = 25088, MOST_OUT = 4096, MOST_N = 16 };

typedef struct layer {
    int in, out;
} layer;

typedef struct data {
    float *x, *w, *b, *y, *scratch;
} data;

#define ITEMS(kernel, s, n, ...)                                                       \
    for (int64_t i = 0; i < tlk_##kernel##_items(s, n); ++i)                           \
    tlk_##kernel##_item(s, i, n, __VA_ARGS__)

static void forward(int way, layer l, int n, const data *d)
{
    const tlk_linear_packed ours = { .in = l.in, .out = l.out };
    const tlk_linear_blas blocks = { .in = l.in, .out = l.out };
    if (way == 0)
        ITEMS(linear_packed, &ours, n, d->x, d->w, d->b, d->y);
    else if (way == 1)
        ITEMS(linear_blas, &blocks, n, d->scratch, d->x, d->w, d->b, d->y);
    else
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, n, l.out, l.in, 1.0f, d->x, l.in, d->w,
                    l.in, 0.0f, d->y, l.out);
}

static void grad_x(int way, layer l, int n, const data *d)
{
    const tlk_linear_grad_x_packed ours = { .in = l.in, .out = l.out };
    const tlk_linear_grad_x_blas blocks = { .in = l.in, .out = l.out };
    if (way == 0)
        ITEMS(linear_grad_x_packed, &ours, n, d->y, d->w, d->x);
    else if (way == 1)
        ITEMS(linear_grad_x_blas, &blocks, n, d->scratch, d->y, d->w, d->x);
    else
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n, l.in, l.out, 1.0f, d->y, l.out,
                    d->w, l.in, 0.0f, d->x, l.in);
}

static double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void measure(const char *name, void (*run)(int, layer, int, const data *), layer l, int n,
                    const data *d, int rounds)
{
    static double took[WAYS][MOST_ROUNDS];
    for (int r = 0; r < rounds; ++r)
        for (int way = 0; way < WAYS; ++way) {
            const double t = seconds_now();
            run(way, l, n, d);
            took[way][r] = seconds_now() - t;
        }
    for (int way = 0; way < WAYS; ++way)
        qsort(took[way], (size_t)rounds, sizeof **took, by_size);
    const double ours = took[0][rounds / 2], blocks = took[1][rounds / 2],
                 whole = took[2][rounds / 2];
    printf("%-8s %5d -> %4d %5d %8.2f %8.2f %8.2f   %5.2f %5.2f\n", name, l.in, l.out, n,
           1e3 * ours, 1e3 * blocks, 1e3 * whole, blocks / ours, whole / ours);
    fflush(stdout);
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

int main(int argc, char **argv)
{
    static const layer layers[] = { { 25088, 4096 }, { 4096, 4096 }, { 4096, 1000 } };
    static const int batches[] = { 1, 8, 16 };
    const int asked = argc > 1 ? atoi(argv[1]) : 7;
    const int rounds = asked < 1 ? 1 : asked < MOST_ROUNDS ? asked : MOST_ROUNDS;
    const data d = { floats((size_t)MOST_N * MOST_IN), floats((size_t)MOST_IN * MOST_OUT),
                     floats(MOST_OUT), floats((size_t)MOST_N * MOST_IN),
                     floats((size_t)MOST_N * (MOST_IN + TLK_BLAS_IN)) };
    puts("ms               layer batch     ours   blocks    whole   of ours");
    for (size_t l = 0; l < sizeof layers / sizeof *layers; ++l)
        for (size_t n = 0; n < sizeof batches / sizeof *batches; ++n) {
            measure("forward", forward, layers[l], batches[n], &d, rounds);
            measure("grad x", grad_x, layers[l], batches[n], &d, rounds);
        }
    free(d.x), free(d.w), free(d.b), free(d.y), free(d.scratch);
    return 0;
}
