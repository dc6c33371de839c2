/* tlk_conv2d_grad_x.h: gradient of a convolution by its input, for any stride.
 *
 * Pixels of dx fall into sh x sw classes by the remainder of their position; those of one class
 * read the same taps, and neighbours in it read neighbours of dy.  So a class is a convolution of
 * stride 1 over dy with some of the taps, and the tiles and the microkernel of tlk_conv2d.h serve.
 * A class without a tap is zero.
 *
 * dy C16 with a halo as far as any class reads; dx C16.  In the structure x is the plane of dx and
 * y that of dy.  Order of an element's chain: block of output channels, kh, kw, channel.
 */
#ifndef TLK_CONV2D_GRAD_X_H
#define TLK_CONV2D_GRAD_X_H

#include "tlk_conv2d.h"

typedef tlk_conv2d tlk_conv2d_grad_x_direct;
typedef tlk_conv2d tlk_conv2d_grad_x_depthwise;

/* The pixels (row + sh i, col + sw j), i < h, j < w, of dx. */
typedef struct tlk_dx_class {
    int row, col, h, w;
} tlk_dx_class;

TLK_INLINE tlk_dx_class tlk_dx_class_at(const tlk_conv2d *s, int row, int col)
{
    const int h = (s->x.h - row + s->sh - 1) / s->sh, w = (s->x.w - col + s->sw - 1) / s->sw;
    return (tlk_dx_class){ row, col, h > 0 ? h : 0, w > 0 ? w : 0 };
}

/* Pixels [first, first + m) of a class: where they read dy and write dx. */
TLK_INLINE void tlk_dx_tile_at(tlk_tile *t, const tlk_conv2d *s, tlk_dx_class c,
                                   const float *dy, int64_t first, int m)
{
    const int64_t dy_cols = tlk_plane_cols(s->y), dx_cols = tlk_plane_cols(s->x);
    int i = (int)(first / c.w);
    int j = (int)(first % c.w);
    TLK_UNROLL
    for (int p = 0; p < m; ++p) {
        t->x[p] = dy + (i * dy_cols + j) * TLK_BLOCK;
        t->y[p] = ((i * s->sh + c.row + s->x.top) * dx_cols + j * s->sw + c.col + s->x.left)
                  * TLK_BLOCK;
        const bool wraps = ++j == c.w;
        j = wraps ? 0 : j;
        i += wraps;
    }
}

/* How far from its own row of dy a class reads for a tap; false: the tap misses the class. */
TLK_INLINE bool tlk_dx_reach(int remainder, int pad, int tap, int stride, int *out)
{
    const int reach = remainder + pad - tap;
    *out = reach / stride;
    return reach % stride == 0;
}

TLK_INLINE void tlk_dx_store(float *dx, int64_t xb, const tlk_tile *t,
                                 tlk_v acc[TLK_PIX][TLK_TV], int nb, int m)
{
    TLK_UNROLL
    for (int p = 0; p < m; ++p) {
        TLK_UNROLL
        for (int j = 0; j < nb * TLK_VPB; ++j)
            tlk_store(dx + (j / TLK_VPB) * xb + t->y[p] + (j % TLK_VPB) * TLK_W, acc[p][j]);
    }
}

TLK_INLINE void tlk_dx_zero(tlk_v acc[TLK_PIX][TLK_TV])
{
    TLK_UNROLL
    for (int p = 0; p < TLK_PIX; ++p) {
        TLK_UNROLL
        for (int j = 0; j < TLK_TV; ++j)
            acc[p][j] = tlk_zero();
    }
}

/* --- all channels of a group --------------------------- */

/* Blocks of input channels that one tile makes. */
TLK_INLINE int tlk_dx_tile_blocks(const tlk_conv2d *s)
{
    return tlk_tile_blocks(tlk_blocks(s->ic / s->groups));
}

TLK_INLINE int tlk_dx_out_blocks(const tlk_conv2d *s) { return tlk_blocks(s->oc / s->groups); }

/* An item is a tile of blocks of input channels and some of the pictures. */
TLK_INLINE int64_t tlk_dx_parts(const tlk_conv2d *s, int64_t n)
{
    enum { ITEMS = 16 };
    const int64_t parts = tlk_div_up(ITEMS, tlk_blocks(s->ic) / tlk_dx_tile_blocks(s));
    return parts < n ? parts : n;
}

static inline int64_t tlk_conv2d_grad_x_direct_items(const tlk_conv2d_grad_x_direct *s, int64_t n)
{
    return tlk_blocks(s->ic) / tlk_dx_tile_blocks(s) * tlk_dx_parts(s, n);
}

/* The weights of one block of input channels, with input channels side by side:
 * [oc/16][kh][kw][16 oc][16 ic].  w at that block of the group's first block of outputs. */
TLK_INLINE void tlk_dx_weights(const tlk_conv2d *s, const float *w, float *wt)
{
    const int taps = s->kh * s->kw;
    const int64_t next = (int64_t)tlk_blocks(s->ic / s->groups) * taps * TLK_BLOCK * TLK_BLOCK;
    for (int o = 0; o < tlk_dx_out_blocks(s); ++o)
        for (int k = 0; k < taps; ++k, wt += TLK_BLOCK * TLK_BLOCK) {
            const float *from = w + o * next + (int64_t)k * TLK_BLOCK * TLK_BLOCK;
            for (int i = 0; i < TLK_BLOCK; ++i)
                for (int l = 0; l < TLK_BLOCK; ++l)
                    wt[i * TLK_BLOCK + l] = from[l * TLK_BLOCK + i];
        }
}

TLK_INLINE void tlk_dx_tile(const tlk_conv2d *s, tlk_dx_class c, int64_t first, int m,
                                int nb, const float *dy, const float *wt, float *dx)
{
    const int out_blocks = tlk_dx_out_blocks(s);
    const int tail = (s->oc / s->groups - 1) % TLK_BLOCK + 1;
    const int64_t cols = tlk_plane_cols(s->y);
    const int64_t wb = (int64_t)out_blocks * s->kh * s->kw * TLK_BLOCK * TLK_BLOCK;
    enum { AHEAD = 2 }; /* blocks */
    tlk_v acc[TLK_PIX][TLK_TV];
    tlk_tile t;
    tlk_dx_tile_at(&t, s, c, dy, first, m);
    tlk_dx_zero(acc);
    for (int o = 0; o < out_blocks; ++o) {
        const int terms = tail < TLK_BLOCK && o == out_blocks - 1 ? tail : TLK_BLOCK;
        const float *w = wt + (int64_t)o * s->kh * s->kw * TLK_BLOCK * TLK_BLOCK;
        tlk_tile_fetch(&t, (o + AHEAD) * tlk_plane_elems(s->y) * TLK_BLOCK, m);
        for (int kh = 0; kh < s->kh; ++kh) {
            int i, j;
            if (!tlk_dx_reach(c.row, s->pad_top, kh * s->dh, s->sh, &i))
                continue;
            for (int kw = 0; kw < s->kw; ++kw)
                if (tlk_dx_reach(c.col, s->pad_left, kw * s->dw, s->sw, &j))
                    tlk_mac(acc, &t, (o * tlk_plane_elems(s->y) + i * cols + j) * TLK_BLOCK, 1,
                            w + (kh * s->kw + kw) * TLK_BLOCK * TLK_BLOCK, wb, nb, m, terms);
        }
    }
    tlk_dx_store(dx, tlk_plane_elems(s->x) * TLK_BLOCK, &t, acc, nb, m);
}

/* The pixels of one class of one picture; where tiles do not fit, the last goes over pixels again
 * and finds the same values. */
TLK_INLINE void tlk_dx_pixels(const tlk_conv2d *s, tlk_dx_class c, int nb, const float *dy,
                                  const float *wt, float *dx)
{
    const int64_t pixels = (int64_t)c.h * c.w;
    if (pixels < TLK_PIX) {
        for (int64_t p = 0; p < pixels; ++p)
            tlk_dx_tile(s, c, p, 1, nb, dy, wt, dx);
        return;
    }
    for (int64_t p = 0; p < pixels; p += TLK_PIX)
        tlk_dx_tile(s, c, p + TLK_PIX < pixels ? p : pixels - TLK_PIX, TLK_PIX, nb, dy, wt,
                        dx);
}

TLK_INLINE void tlk_dx_picture(const tlk_conv2d *s, int nb, const float *dy, const float *wt,
                                   float *dx)
{
    for (int i = 0; i < nb; ++i)
        tlk_halo_zero(dx + i * tlk_plane_elems(s->x) * TLK_BLOCK, s->x, TLK_BLOCK);
    for (int row = 0; row < s->sh; ++row)
        for (int col = 0; col < s->sw; ++col)
            tlk_dx_pixels(s, tlk_dx_class_at(s, row, col), nb, dy, wt, dx);
}

/* Scratch: the weights of the blocks, [oc of a group, padded][kh][kw][16] floats each. */
TLK_INLINE void tlk_conv2d_grad_x_direct_item(const tlk_conv2d_grad_x_direct *s, int64_t item,
                                              int64_t n, void *scratch, const float *dy,
                                              const float *w, float *dx)
{
    const int nb = tlk_dx_tile_blocks(s), out_blocks = tlk_dx_out_blocks(s);
    const int in_blocks = tlk_blocks(s->ic / s->groups);
    const int64_t parts = tlk_dx_parts(s, n), part = item % parts;
    const int b = (int)(item / parts) * nb, group = b / in_blocks;
    const int64_t xb = tlk_plane_elems(s->x) * TLK_BLOCK;
    const int64_t yb = tlk_plane_elems(s->y) * TLK_BLOCK;
    const int64_t block = (int64_t)s->kh * s->kw * TLK_BLOCK * TLK_BLOCK;
    float *wt = scratch;
    w += ((int64_t)group * out_blocks * in_blocks + b % in_blocks) * block;
    for (int i = 0; i < nb; ++i)
        tlk_dx_weights(s, w + i * block, wt + i * out_blocks * block);
    dy += (s->y.top * (int64_t)tlk_plane_cols(s->y) + s->y.left) * TLK_BLOCK;
    for (int64_t p = part * n / parts; p < (part + 1) * n / parts; ++p)
        tlk_dx_picture(s, nb, dy + (p * s->groups + group) * out_blocks * yb, wt,
                           dx + (p * tlk_blocks(s->ic) + b) * xb);
}

/* --- one filter a channel --------------------------- */

/* An item is a block of channels of one picture. */
static inline int64_t tlk_conv2d_grad_x_depthwise_items(const tlk_conv2d_grad_x_depthwise *s,
                                                        int64_t n)
{
    return n * tlk_blocks(s->ic);
}

TLK_INLINE void tlk_dx_depthwise_tap(tlk_v acc[TLK_PIX][TLK_TV], const tlk_tile *t,
                                   int64_t off, const float *w, int m)
{
    TLK_UNROLL
    for (int p = 0; p < m; ++p) {
        TLK_UNROLL
        for (int j = 0; j < TLK_VPB; ++j)
            tlk_fma_into(&acc[p][j], tlk_load(t->x[p] + off + j * TLK_W),
                         tlk_load(w + j * TLK_W));
    }
}

TLK_INLINE void tlk_dx_depthwise_tile(const tlk_conv2d *s, tlk_dx_class c, int64_t first,
                                          int m, const float *dy, const float *w, float *dx)
{
    const int64_t cols = tlk_plane_cols(s->y);
    tlk_v acc[TLK_PIX][TLK_TV];
    tlk_tile t;
    tlk_dx_tile_at(&t, s, c, dy, first, m);
    tlk_dx_zero(acc);
    for (int kh = 0; kh < s->kh; ++kh) {
        int i, j;
        if (!tlk_dx_reach(c.row, s->pad_top, kh * s->dh, s->sh, &i))
            continue;
        for (int kw = 0; kw < s->kw; ++kw)
            if (tlk_dx_reach(c.col, s->pad_left, kw * s->dw, s->sw, &j))
                tlk_dx_depthwise_tap(acc, &t, (i * cols + j) * TLK_BLOCK,
                                         w + (kh * s->kw + kw) * TLK_BLOCK, m);
    }
    tlk_dx_store(dx, 0, &t, acc, 1, m);
}

TLK_INLINE void tlk_conv2d_grad_x_depthwise_item(const tlk_conv2d_grad_x_depthwise *s,
                                                 int64_t item, int64_t n, const float *dy,
                                                 const float *w, float *dx)
{
    (void)n;
    w += item % tlk_blocks(s->ic) * s->kh * s->kw * TLK_BLOCK;
    dy += item * tlk_plane_elems(s->y) * TLK_BLOCK;
    dy += (s->y.top * (int64_t)tlk_plane_cols(s->y) + s->y.left) * TLK_BLOCK;
    dx += item * tlk_plane_elems(s->x) * TLK_BLOCK;
    tlk_halo_zero(dx, s->x, TLK_BLOCK);
    for (int row = 0; row < s->sh; ++row)
        for (int col = 0; col < s->sw; ++col) {
            const tlk_dx_class c = tlk_dx_class_at(s, row, col);
            const int64_t pixels = (int64_t)c.h * c.w;
            int64_t p = 0;
            for (; p + TLK_PIX <= pixels; p += TLK_PIX)
                tlk_dx_depthwise_tile(s, c, p, TLK_PIX, dy, w, dx);
            for (; p < pixels; ++p)
                tlk_dx_depthwise_tile(s, c, p, 1, dy, w, dx);
        }
}

#endif
