/* tlk_linear.h: the classifier's layer: forward, gradient by its input, and update in one sweep.
 *
 * Weights (and Adam's m and v) lie as LIN16 [out/16][in][16], so that each sweep reads them once,
 * in order, prefetched: at small batches memory is the limit.  Activations are plain [n][features].
 *
 * Chains: forward over the inputs from the bias; gradient of a weight over the pictures from 0;
 * gradient by the input over blocks of 16 outputs, lane by lane, then one fixed tree over the 16
 * lanes.  None depends on n, threads or register width, except that a weight's gradient is a sum
 * over all n pictures.
 */
#ifndef TLK_LINEAR_H
#define TLK_LINEAR_H

#include "tlk_conv2d.h"

typedef struct tlk_linear_packed {
    int in, out;
    tlk_act act;
    float lo, hi;
} tlk_linear_packed;

enum {
    TLK_LINEAR_CHUNK = 64,     /* inputs of a pass: 4 KiB of weights for all pictures */
    TLK_LINEAR_PICTURES = 96,  /* pictures that pass over them: 6 KiB of sums */
    TLK_LINEAR_AHEAD = 96      /* rows of 64 bytes to prefetch ahead: 6 KiB */
};

/* 16 values of row `block`; zeros past the last of `count`. */
TLK_INLINE void tlk_block_read(const float *row, int count, int block, float *out)
{
    const int left = count - block * TLK_BLOCK;
    if (left >= TLK_BLOCK) {
        memcpy(out, row + block * TLK_BLOCK, sizeof(float) * TLK_BLOCK);
        return;
    }
    memset(out, 0, sizeof(float) * TLK_BLOCK);
    memcpy(out, row + block * TLK_BLOCK, sizeof(float) * (size_t)left);
}

/* Rows [from, to): part of what is read a pass later.  Few at a time, or the core's list of
 * outstanding lines overflows. */
TLK_INLINE void tlk_prefetch_rows(const float *w, int from, int to)
{
    for (int c = from; c < to; ++c)
        __builtin_prefetch(w + (int64_t)c * TLK_BLOCK);
}

static inline int64_t tlk_linear_packed_items(const tlk_linear_packed *s, int64_t n)
{
    (void)n;
    return tlk_blocks(s->out);
}

/* sums[p][16] += w[c] x[p][c] for m pictures and `terms` inputs. */
TLK_INLINE void tlk_linear_tile(int64_t x_step, const float *x, const float *w, int terms,
                                float *sums, int m)
{
    tlk_v acc[TLK_PIX][TLK_TV];
    tlk_tile t;
    TLK_UNROLL
    for (int p = 0; p < m; ++p) {
        t.x[p] = x + p * x_step;
        TLK_UNROLL
        for (int j = 0; j < TLK_VPB; ++j)
            acc[p][j] = tlk_load(sums + p * TLK_BLOCK + j * TLK_W);
    }
    tlk_mac(acc, &t, 0, 1, w, 0, 1, m, terms);
    TLK_UNROLL
    for (int p = 0; p < m; ++p) {
        TLK_UNROLL
        for (int j = 0; j < TLK_VPB; ++j)
            tlk_store(sums + p * TLK_BLOCK + j * TLK_W, acc[p][j]);
    }
}

/* The batch is known when it runs: one body for each size of a tile. */
static inline void tlk_linear_tile_of(int m, int64_t x_step, const float *x, const float *w,
                                      int terms, float *sums)
{
    if (m == 1)
        tlk_linear_tile(x_step, x, w, terms, sums, 1);
    else if (m == 2)
        tlk_linear_tile(x_step, x, w, terms, sums, 2);
    else if (m == 3)
        tlk_linear_tile(x_step, x, w, terms, sums, 3);
#if TLK_PIX == 6
    else if (m == 4)
        tlk_linear_tile(x_step, x, w, terms, sums, 4);
    else if (m == 5)
        tlk_linear_tile(x_step, x, w, terms, sums, 5);
    else
        tlk_linear_tile(x_step, x, w, terms, sums, 6);
#endif
}

TLK_INLINE void tlk_linear_store(const tlk_linear_packed *s, int block, const float *sums, float *y)
{
    const int left = s->out - block * TLK_BLOCK;
    for (int l = 0; l < TLK_BLOCK && l < left; ++l)
        y[block * TLK_BLOCK + l] = tlk_activate1(sums[l], s->act, s->lo, s->hi);
}

TLK_INLINE void tlk_linear_packed_item(const tlk_linear_packed *s, int64_t item, int64_t n,
                                       const float *x, const float *w, const float *b, float *y)
{
    float sums[TLK_LINEAR_PICTURES * TLK_BLOCK];
    const int block = (int)item;
    w += item * s->in * TLK_BLOCK;
    for (int64_t n0 = 0; n0 < n; n0 += TLK_LINEAR_PICTURES) {
        const int pictures = n - n0 < TLK_LINEAR_PICTURES ? (int)(n - n0) : TLK_LINEAR_PICTURES;
        const int tiles = (int)tlk_div_up(pictures, TLK_PIX);
        for (int p = 0; p < pictures; ++p)
            for (int l = 0; l < TLK_BLOCK; ++l)
                sums[p * TLK_BLOCK + l] = b ? b[block * TLK_BLOCK + l] : 0.0f;
        for (int c = 0; c < s->in; c += TLK_LINEAR_CHUNK) {
            const int terms = s->in - c < TLK_LINEAR_CHUNK ? s->in - c : TLK_LINEAR_CHUNK;
            const float *wc = w + (int64_t)c * TLK_BLOCK;
            for (int t = 0; t < tiles; ++t) {
                const int p = t * pictures / tiles;
                tlk_prefetch_rows(wc + TLK_LINEAR_AHEAD * TLK_BLOCK, t * terms / tiles,
                                  (t + 1) * terms / tiles);
                tlk_linear_tile_of((t + 1) * pictures / tiles - p, s->in,
                                   x + (n0 + p) * s->in + c, wc, terms, sums + p * TLK_BLOCK);
            }
        }
        for (int p = 0; p < pictures; ++p)
            tlk_linear_store(s, block, sums + p * TLK_BLOCK, y + (n0 + p) * s->out);
    }
}

/* --- gradient by the input --------------------------- */

typedef struct tlk_linear_grad_x_packed {
    int in, out;
} tlk_linear_grad_x_packed;

enum {
    TLK_GRAD_X_IN = 16,      /* inputs of an item */
    TLK_GRAD_X_PICTURES = 16,
    TLK_GRAD_X_BLOCKS = 4,   /* output blocks of a pass: their rows share cache sets */
    TLK_GRAD_X_TILE = 3      /* pictures whose sums are in registers */
};

static inline int64_t tlk_linear_grad_x_packed_items(const tlk_linear_grad_x_packed *s, int64_t n)
{
    (void)n;
    return tlk_div_up(s->in, TLK_GRAD_X_IN);
}

/* The fixed tree over 16 lanes. */
TLK_INLINE float tlk_tree16(const float *v)
{
    float a[8];
    for (int l = 0; l < 8; ++l)
        a[l] = v[l] + v[l + 8];
    for (int l = 0; l < 4; ++l)
        a[l] = a[l] + a[l + 4];
    return (a[0] + a[2]) + (a[1] + a[3]);
}

/* Two inputs by m pictures over `blocks` output blocks: sums[p][input][16]. */
TLK_INLINE void tlk_grad_x_tile(int64_t wb, int blocks, const float *w, const float *dy,
                                float *sums, int m)
{
    enum { P = TLK_GRAD_X_IN * TLK_BLOCK, D = TLK_GRAD_X_BLOCKS * TLK_BLOCK };
    TLK_ROLLED
    for (int j = 0; j < TLK_BLOCK; j += TLK_W) {
        tlk_v acc[TLK_GRAD_X_TILE][2];
        TLK_UNROLL
        for (int p = 0; p < m; ++p) {
            acc[p][0] = tlk_load(sums + p * P + j);
            acc[p][1] = tlk_load(sums + p * P + TLK_BLOCK + j);
        }
        for (int o = 0; o < blocks; ++o) {
            const tlk_v w0 = tlk_load(w + o * wb + j);
            const tlk_v w1 = tlk_load(w + o * wb + TLK_BLOCK + j);
            TLK_UNROLL
            for (int p = 0; p < m; ++p) {
                const tlk_v d = tlk_load(dy + p * D + o * TLK_BLOCK + j);
                tlk_fma_into(&acc[p][0], d, w0);
                tlk_fma_into(&acc[p][1], d, w1);
            }
        }
        TLK_UNROLL
        for (int p = 0; p < m; ++p) {
            tlk_store(sums + p * P + j, acc[p][0]);
            tlk_store(sums + p * P + TLK_BLOCK + j, acc[p][1]);
        }
    }
}

/* All pairs of an item's inputs over one pass of output blocks; the next pass's rows, too far
 * away for the processor to guess, are asked for meanwhile. */
static inline void tlk_grad_x_pass(int inputs, int pictures, int64_t wb, int blocks,
                                   const float *w, const float *dy, float *sums)
{
    enum { P = TLK_GRAD_X_IN * TLK_BLOCK, D = TLK_GRAD_X_BLOCKS * TLK_BLOCK };
    for (int i = 0; i < inputs; i += 2) {
        int p = 0;
        for (int o = TLK_GRAD_X_BLOCKS; o < 2 * TLK_GRAD_X_BLOCKS; ++o)
            tlk_prefetch_rows(w + o * wb, i, i + 2);
        for (; p + TLK_GRAD_X_TILE <= pictures; p += TLK_GRAD_X_TILE)
            tlk_grad_x_tile(wb, blocks, w + i * TLK_BLOCK, dy + p * D,
                            sums + p * P + i * TLK_BLOCK, TLK_GRAD_X_TILE);
        for (; p < pictures; ++p)
            tlk_grad_x_tile(wb, blocks, w + i * TLK_BLOCK, dy + p * D,
                            sums + p * P + i * TLK_BLOCK, 1);
    }
}

/* Up to TLK_GRAD_X_PICTURES pictures of an item. */
static inline void tlk_grad_x_pictures(const tlk_linear_grad_x_packed *s, int i0, int pictures,
                                       const float *dy, const float *w, float *dx)
{
    enum { P = TLK_GRAD_X_IN * TLK_BLOCK, D = TLK_GRAD_X_BLOCKS * TLK_BLOCK };
    float sums[TLK_GRAD_X_PICTURES * P];
    float d[TLK_GRAD_X_PICTURES * D];
    float last[TLK_GRAD_X_BLOCKS * 2 * TLK_BLOCK]; /* an odd last input: its pair is zero */
    const int inputs = s->in - i0 < TLK_GRAD_X_IN ? s->in - i0 : TLK_GRAD_X_IN;
    const int all = tlk_blocks(s->out);
    const int64_t wb = (int64_t)s->in * TLK_BLOCK;
    memset(sums, 0, sizeof sums);
    memset(d, 0, sizeof d); /* written before it is read, which gcc cannot follow */
    memset(last, 0, sizeof last);
    for (int o0 = 0; o0 < all; o0 += TLK_GRAD_X_BLOCKS) {
        const int blocks = all - o0 < TLK_GRAD_X_BLOCKS ? all - o0 : TLK_GRAD_X_BLOCKS;
        const float *wo = w + o0 * wb + (int64_t)i0 * TLK_BLOCK;
        for (int p = 0; p < pictures; ++p)
            for (int o = 0; o < blocks; ++o)
                tlk_block_read(dy + (int64_t)p * s->out, s->out, o0 + o,
                               d + p * D + o * TLK_BLOCK);
        tlk_grad_x_pass(inputs / 2 * 2, pictures, wb, blocks, wo, d, sums);
        if (inputs % 2 == 0)
            continue;
        for (int o = 0; o < blocks; ++o)
            memcpy(last + o * 2 * TLK_BLOCK, wo + o * wb + (inputs - 1) * TLK_BLOCK,
                   sizeof(float) * TLK_BLOCK);
        tlk_grad_x_pass(1, pictures, 2 * TLK_BLOCK, blocks, last, d,
                        sums + (inputs - 1) * TLK_BLOCK);
    }
    for (int p = 0; p < pictures; ++p)
        for (int i = 0; i < inputs; ++i)
            dx[(int64_t)p * s->in + i0 + i] = tlk_tree16(sums + p * P + i * TLK_BLOCK);
}

TLK_INLINE void tlk_linear_grad_x_packed_item(const tlk_linear_grad_x_packed *s, int64_t item,
                                              int64_t n, const float *dy, const float *w,
                                              float *dx)
{
    for (int64_t n0 = 0; n0 < n; n0 += TLK_GRAD_X_PICTURES) {
        const int pictures = n - n0 < TLK_GRAD_X_PICTURES ? (int)(n - n0) : TLK_GRAD_X_PICTURES;
        tlk_grad_x_pictures(s, (int)item * TLK_GRAD_X_IN, pictures, dy + n0 * s->out, w,
                            dx + n0 * s->in);
    }
}

#endif
