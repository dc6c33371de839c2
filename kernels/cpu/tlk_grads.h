/* tlk_grads.h: gradients of activations, biases, pools and means, blocked by 16 channels.
 *
 * An item is one plane of 16 channels of one picture; of bias_grad, a block over all pictures,
 * rows summed in float and added in double.  Windows write over each other, so a pool's item
 * starts from zeros and adds window by window, in order.
 */
#ifndef TLK_GRADS_H
#define TLK_GRADS_H

#include "tlk_elementwise.h"
#include "tlk_pool2d.h"

/* --- activations --------------------------- */

typedef struct tlk_act_grad_c16 {
    int c;
    tlk_plane dy, y, dx;
    tlk_act act;
    float lo, hi;
} tlk_act_grad_c16;

static inline int64_t tlk_act_grad_c16_items(const tlk_act_grad_c16 *s, int64_t n)
{
    return n * tlk_blocks(s->c);
}

/* Which elements the gradient passes, from the activation's result. */
TLK_INLINE tlk_mask tlk_act_passes(const tlk_act_grad_c16 *s, tlk_v y)
{
    if (s->act == TLK_ACT_RELU)
        return y > tlk_zero();
    return (y > tlk_splat(s->lo)) & (y < tlk_splat(s->hi));
}

TLK_INLINE void tlk_act_grad_c16_item(const tlk_act_grad_c16 *s, int64_t item, int64_t n,
                                      const float *dy, const float *y, float *dx)
{
    (void)n;
    for (int h = 0; h < s->dx.h; ++h) {
        const float *dr = dy + tlk_row_at(s->dy, item, h);
        const float *yr = y + tlk_row_at(s->y, item, h);
        float *xr = dx + tlk_row_at(s->dx, item, h);
        for (int i = 0; i < s->dx.w * TLK_BLOCK; i += TLK_W)
            tlk_store(xr + i, tlk_select(tlk_act_passes(s, tlk_load(yr + i)), tlk_load(dr + i),
                                         tlk_zero()));
    }
    tlk_halo_zero(dx + item * tlk_plane_elems(s->dx) * TLK_BLOCK, s->dx, TLK_BLOCK);
}

/* --- bias --------------------------- */

typedef struct tlk_bias_grad_c16 {
    int c;
    tlk_plane dy;
} tlk_bias_grad_c16;

static inline int64_t tlk_bias_grad_c16_items(const tlk_bias_grad_c16 *s, int64_t n)
{
    (void)n;
    return tlk_blocks(s->c);
}

TLK_INLINE void tlk_bias_grad_c16_item(const tlk_bias_grad_c16 *s, int64_t item, int64_t n,
                                       const float *dy, float *db)
{
    double sum[TLK_BLOCK] = { 0 };
    for (int64_t p = item; p < n * tlk_blocks(s->c); p += tlk_blocks(s->c))
        for (int h = 0; h < s->dy.h; ++h) {
            const float *row = dy + tlk_row_at(s->dy, p, h);
            float some[TLK_BLOCK];
            TLK_UNROLL
            for (int j = 0; j < TLK_BLOCK; j += TLK_W) {
                tlk_v a = tlk_zero();
                for (int i = j; i < s->dy.w * TLK_BLOCK; i += TLK_BLOCK)
                    a += tlk_load(row + i);
                tlk_store(some + j, a);
            }
            for (int l = 0; l < TLK_BLOCK; ++l)
                sum[l] += (double)some[l];
        }
    for (int l = 0; l < TLK_BLOCK; ++l)
        db[item * TLK_BLOCK + l] = (float)sum[l];
}

/* --- maximum --------------------------- */

typedef tlk_pool2d tlk_max_pool2d_positions_c16; /* windows of up to 256 elements */
typedef tlk_pool2d tlk_max_pool2d_grad_c16;      /* x: plane of dx, y: of dy */
typedef tlk_pool2d tlk_avg_pool2d_grad_c16;

/* A window of output (oy, ox), clipped at the edges. */
typedef struct tlk_window {
    tlk_span h, w;
} tlk_window;

TLK_INLINE tlk_window tlk_window_at(const tlk_pool2d *s, int oy, int ox)
{
    return (tlk_window){
        tlk_window_span(oy, s->kh, s->sh, s->dh, s->x.h, s->pad_top, s->pad_bottom),
        tlk_window_span(ox, s->kw, s->sw, s->dw, s->x.w, s->pad_left, s->pad_right),
    };
}

/* Floats from a block's first to tap (i, k) of a window of x. */
TLK_INLINE int64_t tlk_window_tap(const tlk_pool2d *s, const tlk_window *v, int i, int k)
{
    const int64_t row = v->h.start + i * s->dh + s->x.top;
    return (row * tlk_plane_cols(s->x) + v->w.start + k * s->dw + s->x.left) * TLK_BLOCK;
}

static inline int64_t tlk_max_pool2d_positions_c16_items(const tlk_pool2d *s, int64_t n)
{
    return tlk_pool2d_items(s, n);
}

/* The first of equals, the last NaN. */
TLK_INLINE void tlk_positions_at(const tlk_pool2d *s, tlk_window v, const float *x, uint8_t *out)
{
    TLK_UNROLL
    for (int j = 0; j < TLK_BLOCK; j += TLK_W) {
        const int first = v.h.from * s->kw + v.w.from;
        tlk_v best = tlk_load(x + tlk_window_tap(s, &v, v.h.from, v.w.from) + j);
        tlk_mask at = (tlk_mask){ 0 } + first;
        for (int i = v.h.from; i < v.h.to; ++i)
            for (int k = v.w.from; k < v.w.to; ++k) {
                const tlk_v t = tlk_load(x + tlk_window_tap(s, &v, i, k) + j);
                const tlk_mask wins = (t > best) | (t != t);
                best = tlk_select(wins, t, best);
                at = (((tlk_mask){ 0 } + (i * s->kw + k)) & wins) | (at & ~wins);
            }
        for (int l = 0; l < TLK_W; ++l)
            out[j + l] = (uint8_t)at[l];
    }
}

TLK_INLINE void tlk_max_pool2d_positions_c16_item(const tlk_pool2d *s, int64_t item, int64_t n,
                                                  const float *x, uint8_t *positions)
{
    (void)n;
    x += item * tlk_plane_elems(s->x) * TLK_BLOCK;
    positions += item * tlk_plane_elems(s->y) * TLK_BLOCK;
    for (int oy = 0; oy < s->y.h; ++oy)
        for (int ox = 0; ox < s->y.w; ++ox)
            tlk_positions_at(s, tlk_window_at(s, oy, ox), x,
                             positions + ((int64_t)oy * s->y.w + ox) * TLK_BLOCK);
}

static inline int64_t tlk_max_pool2d_grad_c16_items(const tlk_pool2d *s, int64_t n)
{
    return tlk_pool2d_items(s, n);
}

/* Add dy to the taps that won. */
TLK_INLINE void tlk_max_grad_at(const tlk_pool2d *s, tlk_window v, const float *dy,
                                const uint8_t *positions, float *dx)
{
    TLK_UNROLL
    for (int j = 0; j < TLK_BLOCK; j += TLK_W) {
        const tlk_v d = tlk_load(dy + j);
        tlk_mask at = { 0 };
        for (int l = 0; l < TLK_W; ++l)
            at[l] = positions[j + l];
        for (int i = v.h.from; i < v.h.to; ++i)
            for (int k = v.w.from; k < v.w.to; ++k) {
                float *to = dx + tlk_window_tap(s, &v, i, k) + j;
                const tlk_mask won = at == i * s->kw + k;
                tlk_store(to, tlk_load(to) + tlk_select(won, d, tlk_zero()));
            }
    }
}

/* Positions lie without a halo. */
TLK_INLINE void tlk_max_pool2d_grad_c16_item(const tlk_pool2d *s, int64_t item, int64_t n,
                                             const float *dy, const uint8_t *positions, float *dx)
{
    (void)n;
    dx += item * tlk_plane_elems(s->x) * TLK_BLOCK;
    positions += item * s->y.h * s->y.w * TLK_BLOCK;
    memset(dx, 0, sizeof(float) * (size_t)tlk_plane_elems(s->x) * TLK_BLOCK);
    for (int oy = 0; oy < s->y.h; ++oy)
        for (int ox = 0; ox < s->y.w; ++ox)
            tlk_max_grad_at(s, tlk_window_at(s, oy, ox),
                            dy + tlk_row_at(s->y, item, oy) + ox * TLK_BLOCK,
                            positions + ((int64_t)oy * s->y.w + ox) * TLK_BLOCK, dx);
}

/* --- means --------------------------- */

static inline int64_t tlk_avg_pool2d_grad_c16_items(const tlk_pool2d *s, int64_t n)
{
    return tlk_pool2d_items(s, n);
}

TLK_INLINE void tlk_avg_grad_at(const tlk_pool2d *s, tlk_window v, const float *dy, float *dx)
{
    const int count = s->count_include_pad ? v.h.padded * v.w.padded
                                           : (v.h.to - v.h.from) * (v.w.to - v.w.from);
    TLK_UNROLL
    for (int j = 0; j < TLK_BLOCK; j += TLK_W) {
        const tlk_v share = tlk_load(dy + j) / tlk_splat((float)count);
        for (int i = v.h.from; i < v.h.to; ++i)
            for (int k = v.w.from; k < v.w.to; ++k) {
                float *to = dx + tlk_window_tap(s, &v, i, k) + j;
                tlk_store(to, tlk_load(to) + share);
            }
    }
}

TLK_INLINE void tlk_avg_pool2d_grad_c16_item(const tlk_pool2d *s, int64_t item, int64_t n,
                                             const float *dy, float *dx)
{
    (void)n;
    dx += item * tlk_plane_elems(s->x) * TLK_BLOCK;
    memset(dx, 0, sizeof(float) * (size_t)tlk_plane_elems(s->x) * TLK_BLOCK);
    for (int oy = 0; oy < s->y.h; ++oy)
        for (int ox = 0; ox < s->y.w; ++ox)
            tlk_avg_grad_at(s, tlk_window_at(s, oy, ox),
                            dy + tlk_row_at(s->y, item, oy) + ox * TLK_BLOCK, dx);
}

/* Of the mean over h and w; dy plain [n][c]. */
typedef struct tlk_mean_grad_c16 {
    int c;
    tlk_plane x;
} tlk_mean_grad_c16;

static inline int64_t tlk_mean_grad_c16_items(const tlk_mean_grad_c16 *s, int64_t n)
{
    return n * tlk_blocks(s->c);
}

TLK_INLINE void tlk_mean_grad_c16_item(const tlk_mean_grad_c16 *s, int64_t item, int64_t n,
                                       const float *dy, float *dx)
{
    (void)n;
    const int blocks = tlk_blocks(s->c), block = (int)(item % blocks);
    const int left = s->c - block * TLK_BLOCK;
    float share[TLK_BLOCK] = { 0 };
    for (int l = 0; l < TLK_BLOCK && l < left; ++l)
        share[l] = dy[item / blocks * s->c + block * TLK_BLOCK + l] /
                   ((float)s->x.h * (float)s->x.w);
    dx += item * tlk_plane_elems(s->x) * TLK_BLOCK;
    tlk_halo_zero(dx, s->x, TLK_BLOCK);
    for (int h = 0; h < s->x.h; ++h)
        for (int w = 0; w < s->x.w; ++w)
            memcpy(dx + tlk_row_at(s->x, 0, h) + w * TLK_BLOCK, share, sizeof share);
}

#endif
