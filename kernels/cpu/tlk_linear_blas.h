/* tlk_linear_blas.h: the classifier's layer by OpenBLAS (`tlc compile --blas openblas`).
 *
 * Weights lie as for tlk_linear.h, LIN16 [out/16][in][16]: each block is a matrix that sgemm takes
 * as it is, so that the optimizer's kernels find them where they were.
 *
 * How a gemm orders its sums may follow from its size, from its threads, and from the row: OpenBLAS
 * takes twelve or four rows at a time on some cores and rounds the two apart.  So every call has one
 * of few sizes that follow from the layer's shape, and always eight rows, zeros where there are
 * fewer pictures: eight are taken alike on every core that was tried, sixteen are not.
 */
#ifndef TLK_LINEAR_BLAS_H
#define TLK_LINEAR_BLAS_H

#include <cblas.h>

#include "tlk_linear.h"

enum {
    TLK_BLAS_PICTURES = 8, /* rows of every call */
    TLK_BLAS_BLOCKS = 16,  /* blocks of 16 outputs of an item */
    TLK_BLAS_IN = 512      /* inputs of an item of the gradient */
};

typedef struct tlk_linear_blas {
    int in, out;
    tlk_act act;
    float lo, hi;
} tlk_linear_blas;

/* Once, when the program begins: it is the whole process's setting, and not safe beside a call. */
__attribute__((constructor)) static void tlk_blas_one_thread(void)
{
    openblas_set_num_threads(1);
}

/* `rows` rows of `count` values as TLK_BLAS_PICTURES rows of `stride`, zeros for what is not there. */
static inline void tlk_blas_rows(const float *x, int64_t rows, int count, int stride, float *out)
{
    memset(out, 0, sizeof(float) * TLK_BLAS_PICTURES * (size_t)stride);
    for (int64_t p = 0; p < rows; ++p)
        memcpy(out + p * stride, x + p * count, sizeof(float) * (size_t)count);
}

static inline int64_t tlk_linear_blas_items(const tlk_linear_blas *s, int64_t n)
{
    (void)n;
    return tlk_div_up(tlk_blocks(s->out), TLK_BLAS_BLOCKS);
}

/* One block of outputs of `rows` pictures; `x` has all its TLK_BLAS_PICTURES rows. */
static inline void tlk_blas_block(const tlk_linear_blas *s, int block, int64_t rows, const float *x,
                                  const float *w, const float *b, float *y)
{
    const tlk_linear_packed store = { s->in, s->out, s->act, s->lo, s->hi };
    float sums[TLK_BLAS_PICTURES * TLK_BLOCK];
    for (int i = 0; i < TLK_BLAS_PICTURES * TLK_BLOCK; ++i)
        sums[i] = b ? b[block * TLK_BLOCK + i % TLK_BLOCK] : 0.0f;
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, TLK_BLAS_PICTURES, TLK_BLOCK, s->in,
                1.0f, x, s->in, w + (int64_t)block * s->in * TLK_BLOCK, TLK_BLOCK, 1.0f, sums,
                TLK_BLOCK);
    for (int64_t p = 0; p < rows; ++p)
        tlk_linear_store(&store, block, sums + p * TLK_BLOCK, y + p * s->out);
}

TLK_INLINE void tlk_linear_blas_item(const tlk_linear_blas *s, int64_t item, int64_t n,
                                     void *scratch, const float *x, const float *w, const float *b,
                                     float *y)
{
    const int first = (int)item * TLK_BLAS_BLOCKS, all = tlk_blocks(s->out);
    const int end = first + TLK_BLAS_BLOCKS < all ? first + TLK_BLAS_BLOCKS : all;
    for (int64_t n0 = 0; n0 < n; n0 += TLK_BLAS_PICTURES) {
        const int64_t rows = n - n0 < TLK_BLAS_PICTURES ? n - n0 : TLK_BLAS_PICTURES;
        const float *xs = x + n0 * s->in;
        if (rows < TLK_BLAS_PICTURES) {
            tlk_blas_rows(xs, rows, s->in, s->in, scratch);
            xs = scratch;
        }
        for (int block = first; block < end; ++block)
            tlk_blas_block(s, block, rows, xs, w, b, y + n0 * s->out);
    }
}

/* --- gradient by the input --------------------------- */

typedef struct tlk_linear_grad_x_blas {
    int in, out;
} tlk_linear_grad_x_blas;

static inline int64_t tlk_linear_grad_x_blas_items(const tlk_linear_grad_x_blas *s, int64_t n)
{
    (void)n;
    return tlk_div_up(s->in, TLK_BLAS_IN);
}

/* Scratch: dy with whole blocks of outputs, then the sums. */
TLK_INLINE void tlk_linear_grad_x_blas_item(const tlk_linear_grad_x_blas *s, int64_t item,
                                            int64_t n, void *scratch, const float *dy,
                                            const float *w, float *dx)
{
    const int i0 = (int)item * TLK_BLAS_IN, blocks = tlk_blocks(s->out);
    const int inputs = s->in - i0 < TLK_BLAS_IN ? s->in - i0 : TLK_BLAS_IN;
    const int stride = blocks * TLK_BLOCK;
    float *d = scratch, *sums = d + TLK_BLAS_PICTURES * stride;
    for (int64_t n0 = 0; n0 < n; n0 += TLK_BLAS_PICTURES) {
        const int64_t rows = n - n0 < TLK_BLAS_PICTURES ? n - n0 : TLK_BLAS_PICTURES;
        tlk_blas_rows(dy + n0 * s->out, rows, s->out, stride, d);
        memset(sums, 0, sizeof(float) * TLK_BLAS_PICTURES * (size_t)inputs);
        for (int o = 0; o < blocks; ++o)
            cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, TLK_BLAS_PICTURES, inputs,
                        TLK_BLOCK, 1.0f, d + o * TLK_BLOCK, stride,
                        w + ((int64_t)o * s->in + i0) * TLK_BLOCK, TLK_BLOCK, 1.0f, sums, inputs);
        for (int64_t p = 0; p < rows; ++p)
            memcpy(dx + (n0 + p) * s->in + i0, sums + p * inputs, sizeof(float) * (size_t)inputs);
    }
}

#endif
