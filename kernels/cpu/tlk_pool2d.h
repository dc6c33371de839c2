/* tlk_pool2d.h: pooling and the mean over a plane, blocked by 16 channels.
 *
 * Windows are clipped at the edges, so the input needs no halo.  A sum is taken row by row, rows
 * added in order: fixed, whatever the width of a register.
 */
#ifndef TLK_POOL2D_H
#define TLK_POOL2D_H

#include "tlk_simd.h"

typedef struct tlk_pool2d {
    int c;
    int kh, kw, sh, sw, dh, dw;
    int pad_top, pad_left, pad_bottom, pad_right;
    bool count_include_pad; /* avg */
    tlk_plane x, y;
} tlk_pool2d;
typedef tlk_pool2d tlk_max_pool2d_c16;
typedef tlk_pool2d tlk_avg_pool2d_c16;

/* The taps [from, to) of a window that fall on [0, extent), and how many on the padded axis. */
typedef struct tlk_span {
    int start, from, to, padded;
} tlk_span;

TLK_INLINE tlk_span tlk_window_span(int out, int k, int stride, int dilation, int extent,
                                    int pad_begin, int pad_end)
{
    tlk_span w = { .start = out * stride - pad_begin };
    w.from = w.start < 0 ? (-w.start + dilation - 1) / dilation : 0;
    const int room = extent - w.start;
    const int fit = room > 0 ? (room + dilation - 1) / dilation : 0;
    w.to = fit < k ? fit : k;
    const int padded = (room + pad_end + dilation - 1) / dilation;
    w.padded = padded < k ? padded : k;
    return w;
}

TLK_INLINE int64_t tlk_pool2d_items(const tlk_pool2d *s, int64_t n) { return n * tlk_blocks(s->c); }
static inline int64_t tlk_max_pool2d_c16_items(const tlk_pool2d *s, int64_t n)
{
    return tlk_pool2d_items(s, n);
}
static inline int64_t tlk_avg_pool2d_c16_items(const tlk_pool2d *s, int64_t n)
{
    return tlk_pool2d_items(s, n);
}

/* Maximum that keeps a NaN, as in PyTorch. */
TLK_INLINE tlk_v tlk_max_nan(tlk_v best, tlk_v x)
{
    return tlk_select((x > best) | (x != x), x, best);
}

TLK_INLINE void tlk_pool2d_max_at(const tlk_pool2d *s, tlk_span h, tlk_span w, const float *x,
                                  float *y)
{
    tlk_v best[TLK_VPB];
    TLK_UNROLL
    for (int j = 0; j < TLK_VPB; ++j)
        best[j] = tlk_splat(-INFINITY);
    for (int i = h.from; i < h.to; ++i) {
        const int64_t row = (h.start + i * s->dh + s->x.top) * (int64_t)tlk_plane_cols(s->x);
        for (int k = w.from; k < w.to; ++k) {
            const float *v = x + (row + w.start + k * s->dw + s->x.left) * TLK_BLOCK;
            TLK_UNROLL
            for (int j = 0; j < TLK_VPB; ++j)
                best[j] = tlk_max_nan(best[j], tlk_load(v + j * TLK_W));
        }
    }
    TLK_UNROLL
    for (int j = 0; j < TLK_VPB; ++j)
        tlk_store(y + j * TLK_W, best[j]);
}

TLK_INLINE void tlk_pool2d_avg_at(const tlk_pool2d *s, tlk_span h, tlk_span w, const float *x,
                                  float *y)
{
    const int count = s->count_include_pad ? h.padded * w.padded
                                           : (h.to - h.from) * (w.to - w.from);
    tlk_v sum[TLK_VPB];
    TLK_UNROLL
    for (int j = 0; j < TLK_VPB; ++j)
        sum[j] = tlk_zero();
    for (int i = h.from; i < h.to; ++i) {
        const int64_t row = (h.start + i * s->dh + s->x.top) * (int64_t)tlk_plane_cols(s->x);
        for (int k = w.from; k < w.to; ++k) {
            const float *v = x + (row + w.start + k * s->dw + s->x.left) * TLK_BLOCK;
            TLK_UNROLL
            for (int j = 0; j < TLK_VPB; ++j)
                sum[j] += tlk_load(v + j * TLK_W);
        }
    }
    TLK_UNROLL
    for (int j = 0; j < TLK_VPB; ++j)
        tlk_store(y + j * TLK_W, sum[j] / tlk_splat((float)count));
}

TLK_INLINE void tlk_pool2d_item(const tlk_pool2d *s, int64_t item, bool max, const float *x,
                                float *y)
{
    x += item * tlk_plane_elems(s->x) * TLK_BLOCK;
    y += item * tlk_plane_elems(s->y) * TLK_BLOCK;
    tlk_halo_zero(y, s->y, TLK_BLOCK);
    for (int oy = 0; oy < s->y.h; ++oy) {
        const tlk_span h = tlk_window_span(oy, s->kh, s->sh, s->dh, s->x.h, s->pad_top,
                                           s->pad_bottom);
        float *row = y + ((oy + s->y.top) * (int64_t)tlk_plane_cols(s->y) + s->y.left) * TLK_BLOCK;
        for (int ox = 0; ox < s->y.w; ++ox) {
            const tlk_span w = tlk_window_span(ox, s->kw, s->sw, s->dw, s->x.w, s->pad_left,
                                               s->pad_right);
            if (max)
                tlk_pool2d_max_at(s, h, w, x, row + ox * TLK_BLOCK);
            else
                tlk_pool2d_avg_at(s, h, w, x, row + ox * TLK_BLOCK);
        }
    }
}

TLK_INLINE void tlk_max_pool2d_c16_item(const tlk_pool2d *s, int64_t item, int64_t n,
                                        const float *x, float *y)
{
    (void)n;
    tlk_pool2d_item(s, item, true, x, y);
}

TLK_INLINE void tlk_avg_pool2d_c16_item(const tlk_pool2d *s, int64_t item, int64_t n,
                                        const float *x, float *y)
{
    (void)n;
    tlk_pool2d_item(s, item, false, x, y);
}

/* Mean over h and w; y plain [n][c]. */
typedef struct tlk_mean_c16 {
    int c;
    tlk_plane x;
} tlk_mean_c16;

static inline int64_t tlk_mean_c16_items(const tlk_mean_c16 *s, int64_t n)
{
    return n * tlk_blocks(s->c);
}

TLK_INLINE void tlk_mean_c16_item(const tlk_mean_c16 *s, int64_t item, int64_t n, const float *x,
                                  float *y)
{
    (void)n;
    const int blocks = tlk_blocks(s->c);
    const int block = (int)(item % blocks);
    const int left = s->c - block * TLK_BLOCK;
    const int lanes = left < TLK_BLOCK ? left : TLK_BLOCK;
    const int64_t cols = tlk_plane_cols(s->x);
    float out[TLK_BLOCK];
    x += item * tlk_plane_elems(s->x) * TLK_BLOCK + (s->x.top * cols + s->x.left) * TLK_BLOCK;
    TLK_UNROLL
    for (int j = 0; j < TLK_VPB; ++j) {
        tlk_v sum = tlk_zero();
        for (int h = 0; h < s->x.h; ++h) {
            tlk_v row = tlk_zero();
            for (int w = 0; w < s->x.w; ++w)
                row += tlk_load(x + (h * cols + w) * TLK_BLOCK + j * TLK_W);
            sum += row;
        }
        tlk_store(out + j * TLK_W, sum / tlk_splat((float)s->x.h * (float)s->x.w));
    }
    memcpy(y + item / blocks * s->c + block * TLK_BLOCK, out, sizeof(float) * (size_t)lanes);
}

#endif
