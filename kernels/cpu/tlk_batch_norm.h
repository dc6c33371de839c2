/* tlk_batch_norm.h: batch norms of blocked activations, by given statistics or by the batch's.
 *
 * Maps and vectors C16.  The batch's statistics: mean and squared deviations of a chunk of rows in
 * float, about the chunk's own mean, then chunks joined in double in the order of pictures and
 * rows (Chan, Golub and LeVeque 1983), so that a large mean costs no digits.  The other sums are
 * of a row in float, of rows in double.  What sums over the batch has one item a channel block.
 */
#ifndef TLK_BATCH_NORM_H
#define TLK_BATCH_NORM_H

#include "tlk_elementwise.h"

typedef struct tlk_batch_norm_c16 {
    int c;
    tlk_plane x, dy, y; /* y: of the result, which may be dx */
    double epsilon, momentum;
} tlk_batch_norm_c16;
typedef tlk_batch_norm_c16 tlk_batch_norm_grad_c16;
typedef tlk_batch_norm_c16 tlk_batch_norm_train_c16;
typedef tlk_batch_norm_c16 tlk_batch_norm_train_grad_scale_c16;
typedef tlk_batch_norm_c16 tlk_batch_norm_train_grad_x_c16;
typedef tlk_batch_norm_c16 tlk_batch_norm_stats_c16;

/* Numbers of the 16 channels of a block, as vectors: y = (x - centre) * factor + offset. */
typedef struct tlk_bn_affine {
    float centre[TLK_BLOCK], factor[TLK_BLOCK], offset[TLK_BLOCK];
} tlk_bn_affine;

/* One plane of a block. */
TLK_INLINE void tlk_bn_apply(tlk_plane xp, tlk_plane yp, const tlk_bn_affine *a, const float *x,
                             float *y)
{
    tlk_halo_zero(y, yp, TLK_BLOCK);
    for (int h = 0; h < yp.h; ++h) {
        const float *xr = x + tlk_row_at(xp, 0, h);
        float *yr = y + tlk_row_at(yp, 0, h);
        for (int i = 0; i < yp.w * TLK_BLOCK; i += TLK_BLOCK) {
            TLK_UNROLL
            for (int j = 0; j < TLK_BLOCK; j += TLK_W)
                tlk_store(yr + i + j,
                          tlk_fma(tlk_load(xr + i + j) - tlk_load(a->centre + j),
                                  tlk_load(a->factor + j), tlk_load(a->offset + j)));
        }
    }
}

/* --- by given statistics --------------------------- */

static inline int64_t tlk_batch_norm_c16_items(const tlk_batch_norm_c16 *s, int64_t n)
{
    return n * tlk_blocks(s->c);
}

TLK_INLINE void tlk_batch_norm_c16_item(const tlk_batch_norm_c16 *s, int64_t item, int64_t n,
                                        const float *x, const float *scale, const float *bias,
                                        const float *mean, const float *variance, float *y)
{
    (void)n;
    const int64_t at = item % tlk_blocks(s->c) * TLK_BLOCK;
    tlk_bn_affine a;
    for (int l = 0; l < TLK_BLOCK; ++l) {
        a.centre[l] = mean[at + l];
        a.factor[l] = (float)((double)scale[at + l] / sqrt((double)variance[at + l] + s->epsilon));
        a.offset[l] = bias[at + l];
    }
    tlk_bn_apply(s->x, s->y, &a, x + item * tlk_plane_elems(s->x) * TLK_BLOCK,
                 y + item * tlk_plane_elems(s->y) * TLK_BLOCK);
}

static inline int64_t tlk_batch_norm_grad_c16_items(const tlk_batch_norm_grad_c16 *s, int64_t n)
{
    return n * tlk_blocks(s->c);
}

TLK_INLINE void tlk_batch_norm_grad_c16_item(const tlk_batch_norm_grad_c16 *s, int64_t item,
                                             int64_t n, const float *dy, const float *scale,
                                             const float *variance, float *dx)
{
    (void)n;
    const int64_t at = item % tlk_blocks(s->c) * TLK_BLOCK;
    tlk_bn_affine a = { .centre = { 0 }, .offset = { 0 } };
    for (int l = 0; l < TLK_BLOCK; ++l)
        a.factor[l] = (float)((double)scale[at + l] / sqrt((double)variance[at + l] + s->epsilon));
    tlk_bn_apply(s->dy, s->y, &a, dy + item * tlk_plane_elems(s->dy) * TLK_BLOCK,
                 dx + item * tlk_plane_elems(s->y) * TLK_BLOCK);
}

/* --- by the batch's --------------------------- */

/* Of `count` numbers a channel: their mean, and the sum of squares about it. */
typedef struct tlk_bn_moments {
    double count, mean[TLK_BLOCK], squares[TLK_BLOCK];
} tlk_bn_moments;

/* Sums over rows [h0, h1) of d = x - centre and of d squared; a row's apart. */
TLK_INLINE void tlk_bn_sums(tlk_plane p, int h0, int h1, const float *x, const float *centre,
                            float *sum, float *squares)
{
    TLK_UNROLL
    for (int j = 0; j < TLK_BLOCK; j += TLK_W) {
        tlk_v all = tlk_zero(), all2 = tlk_zero();
        const tlk_v c = tlk_load(centre + j);
        for (int h = h0; h < h1; ++h) {
            const float *row = x + tlk_row_at(p, 0, h) + j;
            tlk_v some = tlk_zero(), some2 = tlk_zero();
            for (int i = 0; i < p.w * TLK_BLOCK; i += TLK_BLOCK) {
                const tlk_v d = tlk_load(row + i) - c;
                some += d;
                some2 = tlk_fma(d, d, some2);
            }
            all += some;
            all2 += some2;
        }
        tlk_store(sum + j, all);
        tlk_store(squares + j, all2);
    }
}

/* Join rows [h0, h1), which then are in the first-level cache, to what was before. */
TLK_INLINE void tlk_bn_join(tlk_bn_moments *m, tlk_plane p, int h0, int h1, const float *x)
{
    const double count = (double)(h1 - h0) * p.w, all = m->count + count;
    const double share = count / all, weight = m->count * share;
    float centre[TLK_BLOCK] = { 0 }, sum[TLK_BLOCK], squares[TLK_BLOCK];
    tlk_bn_sums(p, h0, h1, x, centre, sum, squares);
    for (int l = 0; l < TLK_BLOCK; ++l)
        centre[l] = sum[l] * (float)(1 / count);
    tlk_bn_sums(p, h0, h1, x, centre, sum, squares);
    for (int l = 0; l < TLK_BLOCK; ++l) {
        const double off = (double)sum[l] / count; /* what rounding left in the centre */
        const double step = (double)centre[l] + off - m->mean[l];
        m->squares[l] += (double)squares[l] - off * (double)sum[l] + step * step * weight;
        m->mean[l] += step * share;
    }
    m->count = all;
}

/* Rows of a chunk. */
TLK_INLINE int tlk_bn_rows(tlk_plane p)
{
    enum { CHUNK_PIXELS = 256 };
    return p.w < CHUNK_PIXELS ? CHUNK_PIXELS / p.w : 1;
}

static inline int64_t tlk_batch_norm_train_c16_items(const tlk_batch_norm_train_c16 *s, int64_t n)
{
    (void)n;
    return tlk_blocks(s->c);
}

TLK_INLINE void tlk_batch_norm_train_c16_item(const tlk_batch_norm_train_c16 *s, int64_t item,
                                              int64_t n, const float *x, const float *scale,
                                              const float *bias, float *y, float *mean,
                                              float *variance)
{
    const int64_t xb = tlk_plane_elems(s->x) * TLK_BLOCK, yb = tlk_plane_elems(s->y) * TLK_BLOCK;
    const int64_t blocks = tlk_blocks(s->c), at = item * TLK_BLOCK;
    const int rows = tlk_bn_rows(s->x);
    tlk_bn_moments m = { 0 };
    tlk_bn_affine a;
    for (int64_t p = item; p < n * blocks; p += blocks)
        for (int h = 0; h < s->x.h; h += rows)
            tlk_bn_join(&m, s->x, h, h + rows < s->x.h ? h + rows : s->x.h, x + p * xb);
    for (int l = 0; l < TLK_BLOCK; ++l) {
        const double spread = m.squares[l] / m.count;
        mean[at + l] = a.centre[l] = (float)m.mean[l];
        variance[at + l] = (float)spread;
        a.factor[l] = (float)((double)scale[at + l] / sqrt(spread + s->epsilon));
        a.offset[l] = bias[at + l];
    }
    for (int64_t p = item; p < n * blocks; p += blocks)
        tlk_bn_apply(s->x, s->y, &a, x + p * xb, y + p * yb);
}

static inline int64_t
tlk_batch_norm_train_grad_scale_c16_items(const tlk_batch_norm_train_grad_scale_c16 *s, int64_t n)
{
    (void)n;
    return tlk_blocks(s->c);
}

/* One row of a block: add its sums of dy and of dy * (x - centre). */
TLK_INLINE void tlk_bn_grad_row(int w, const float *dy, const float *x, const float *centre,
                                double *sum, double *dot)
{
    float some[TLK_BLOCK], products[TLK_BLOCK];
    TLK_UNROLL
    for (int j = 0; j < TLK_BLOCK; j += TLK_W) {
        tlk_v a = tlk_zero(), b = tlk_zero();
        const tlk_v c = tlk_load(centre + j);
        for (int i = j; i < w * TLK_BLOCK; i += TLK_BLOCK) {
            const tlk_v d = tlk_load(dy + i);
            a += d;
            b = tlk_fma(d, tlk_load(x + i) - c, b);
        }
        tlk_store(some + j, a);
        tlk_store(products + j, b);
    }
    for (int l = 0; l < TLK_BLOCK; ++l) {
        sum[l] += (double)some[l];
        dot[l] += (double)products[l];
    }
}

TLK_INLINE void tlk_batch_norm_train_grad_scale_c16_item(
    const tlk_batch_norm_train_grad_scale_c16 *s, int64_t item, int64_t n, const float *dy,
    const float *x, const float *mean, const float *variance, float *dscale, float *dbias)
{
    const int64_t blocks = tlk_blocks(s->c), at = item * TLK_BLOCK;
    double sum[TLK_BLOCK] = { 0 }, dot[TLK_BLOCK] = { 0 };
    for (int64_t p = item; p < n * blocks; p += blocks)
        for (int h = 0; h < s->x.h; ++h)
            tlk_bn_grad_row(s->x.w, dy + tlk_row_at(s->dy, p, h), x + tlk_row_at(s->x, p, h),
                            mean + at, sum, dot);
    for (int l = 0; l < TLK_BLOCK; ++l) {
        dscale[at + l] = (float)(dot[l] / sqrt((double)variance[at + l] + s->epsilon));
        dbias[at + l] = (float)sum[l];
    }
}

static inline int64_t
tlk_batch_norm_train_grad_x_c16_items(const tlk_batch_norm_train_grad_x_c16 *s, int64_t n)
{
    return n * tlk_blocks(s->c);
}

/* dx = dy * gain + (x - centre) * factor + offset, with offset and factor from the sums. */
TLK_INLINE void tlk_bn_grad_x_plane(const tlk_batch_norm_c16 *s, const tlk_bn_affine *a,
                                    const float *gain, const float *dy, const float *x, float *dx)
{
    tlk_halo_zero(dx, s->y, TLK_BLOCK);
    for (int h = 0; h < s->y.h; ++h) {
        const float *xr = x + tlk_row_at(s->x, 0, h), *dr = dy + tlk_row_at(s->dy, 0, h);
        float *yr = dx + tlk_row_at(s->y, 0, h);
        for (int i = 0; i < s->y.w * TLK_BLOCK; i += TLK_BLOCK) {
            TLK_UNROLL
            for (int j = 0; j < TLK_BLOCK; j += TLK_W) {
                const tlk_v d = tlk_load(xr + i + j) - tlk_load(a->centre + j);
                const tlk_v rest = tlk_fma(d, tlk_load(a->factor + j), tlk_load(a->offset + j));
                tlk_store(yr + i + j, tlk_fma(tlk_load(dr + i + j), tlk_load(gain + j), rest));
            }
        }
    }
}

TLK_INLINE void tlk_batch_norm_train_grad_x_c16_item(
    const tlk_batch_norm_train_grad_x_c16 *s, int64_t item, int64_t n, const float *dy,
    const float *x, const float *scale, const float *mean, const float *variance,
    const float *dscale, const float *dbias, float *dx)
{
    const int64_t at = item % tlk_blocks(s->c) * TLK_BLOCK;
    const double count = (double)n * s->x.h * s->x.w;
    tlk_bn_affine a;
    float gain[TLK_BLOCK];
    for (int l = 0; l < TLK_BLOCK; ++l) {
        const double inverse = 1 / sqrt((double)variance[at + l] + s->epsilon);
        const double k = (double)scale[at + l] * inverse;
        gain[l] = (float)k;
        a.centre[l] = mean[at + l];
        a.factor[l] = (float)(-k * inverse * (double)dscale[at + l] / count);
        a.offset[l] = (float)(-k * (double)dbias[at + l] / count);
    }
    tlk_bn_grad_x_plane(s, &a, gain, dy + item * tlk_plane_elems(s->dy) * TLK_BLOCK,
                        x + item * tlk_plane_elems(s->x) * TLK_BLOCK,
                        dx + item * tlk_plane_elems(s->y) * TLK_BLOCK);
}

/* --- running statistics --------------------------- */

/* One item: a number a channel is little. */
static inline int64_t tlk_batch_norm_stats_c16_items(const tlk_batch_norm_stats_c16 *s, int64_t n)
{
    (void)s;
    (void)n;
    return 1;
}

/* The variance that moves the running one is unbiased.  x is not read. */
TLK_INLINE void tlk_batch_norm_stats_c16_item(const tlk_batch_norm_stats_c16 *s, int64_t item,
                                              int64_t n, float *running_mean,
                                              float *running_variance, const float *mean,
                                              const float *variance, const float *x)
{
    (void)item;
    (void)x;
    const double count = (double)n * s->x.h * s->x.w;
    for (int c = 0; c < s->c; ++c) {
        const double unbiased = (double)variance[c] * count / (count - 1);
        running_mean[c] = (float)((1 - s->momentum) * (double)running_mean[c] +
                                  s->momentum * (double)mean[c]);
        running_variance[c] = (float)((1 - s->momentum) * (double)running_variance[c] +
                                      s->momentum * unbiased);
    }
}

#endif
