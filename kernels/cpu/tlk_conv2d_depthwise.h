/* tlk_conv2d_depthwise.h: one filter a channel (groups = channels in = channels out).
 *
 * x, r, y C16; w DW16; b C16.  The tile of tlk_conv2d.h with 16 channels of its pixels side by
 * side: one load and one multiply-add for each vector of the input, two loads a tap for weights.
 * Order of an element's chain: bias, kh, kw.
 */
#ifndef TLK_CONV2D_DEPTHWISE_H
#define TLK_CONV2D_DEPTHWISE_H

#include "tlk_conv2d.h"

typedef tlk_conv2d tlk_conv2d_depthwise;

/* A whole plane of one block, as many blocks as make some 10 us of work; large planes in bands. */
TLK_INLINE tlk_conv2d_cut tlk_conv2d_depthwise_cut(const tlk_conv2d *s)
{
    enum { BAND_TAPS = 18432, ITEM_TAPS = 6144 }; /* taps of tiles: some 7 cycles each */
    const int64_t taps = tlk_conv2d_tiles(s) * s->kh * s->kw;
    tlk_conv2d_cut c;
    c.bands = tlk_div_up(taps, BAND_TAPS);
    c.band = tlk_div_up(tlk_conv2d_tiles(s), c.bands);
    c.group = taps < ITEM_TAPS ? (int)tlk_div_up(ITEM_TAPS, taps) : 1;
    c.groups = (int)tlk_div_up(tlk_blocks(s->oc), c.group);
    c.chunk = 1;
    c.weights_outside = false;
    return c;
}

static inline int64_t tlk_conv2d_depthwise_items(const tlk_conv2d_depthwise *s, int64_t n)
{
    const tlk_conv2d_cut c = tlk_conv2d_depthwise_cut(s);
    return n * c.bands * c.groups;
}

TLK_INLINE void tlk_conv2d_depthwise_tap(tlk_v acc[TLK_PIX][TLK_TV], const tlk_tile *t, int64_t off,
                                         const float *w, int m)
{
    tlk_v wv[TLK_VPB];
    TLK_UNROLL
    for (int j = 0; j < TLK_VPB; ++j)
        wv[j] = tlk_load(w + j * TLK_W);
    TLK_UNROLL
    for (int p = 0; p < m; ++p) {
        TLK_UNROLL
        for (int j = 0; j < TLK_VPB; ++j)
            tlk_fma_into(&acc[p][j], tlk_load(t->x[p] + off + j * TLK_W), wv[j]);
    }
}

TLK_INLINE void tlk_conv2d_depthwise_tile(const tlk_conv2d *s, int64_t first, int m,
                                          const float *x, const float *w, const float *b,
                                          const float *r, float *y)
{
    const int64_t cols = tlk_plane_cols(s->x);
    tlk_v acc[TLK_PIX][TLK_TV];
    tlk_tile t;
    tlk_tile_at(&t, s, x, first, m, TLK_BLOCK);
    tlk_tile_start(acc, &t, b, y, 0, true, 1, m);
    for (int kh = 0; kh < s->kh; ++kh)
        for (int kw = 0; kw < s->kw; ++kw)
            tlk_conv2d_depthwise_tap(acc, &t, (kh * s->dh * cols + kw * s->dw) * TLK_BLOCK,
                                     w + (kh * s->kw + kw) * TLK_BLOCK, m);
    tlk_tile_finish(s, acc, &t, r, y, true, 1, m);
}

TLK_INLINE void tlk_conv2d_depthwise_item(const tlk_conv2d_depthwise *s, int64_t item, int64_t n,
                                          const float *x, const float *w, const float *b,
                                          const float *r, float *y)
{
    const tlk_conv2d_where at = tlk_conv2d_locate(s, tlk_conv2d_depthwise_cut(s), item, n);
    const int64_t xb = tlk_plane_elems(s->x) * TLK_BLOCK;
    const int64_t yb = tlk_plane_elems(s->y) * TLK_BLOCK;
    const int64_t rb = tlk_plane_elems(s->r) * TLK_BLOCK;
    const int blocks = tlk_blocks(s->oc);
    const int most = (int)tlk_div_up(tlk_conv2d_pixels(s), tlk_conv2d_tiles(s));
    const int least = (int)(tlk_conv2d_pixels(s) / tlk_conv2d_tiles(s));
    x += ((s->x.top - s->pad_top) * tlk_plane_cols(s->x) + s->x.left - s->pad_left) * TLK_BLOCK;
    y += at.picture * blocks * yb;
    tlk_conv2d_halo(s, &at, y);
    for (int o = at.block0; o < at.block1; ++o) {
        const float *xo = x + (at.picture * blocks + o) * xb;
        const float *ro = r ? r + (at.picture * blocks + o) * rb : NULL;
        const float *bo = b ? b + o * TLK_BLOCK : NULL;
        const float *wo = w + (int64_t)o * s->kh * s->kw * TLK_BLOCK;
        for (int64_t tile = at.tile0; tile < at.tile1; ++tile) {
            const int64_t first = tlk_conv2d_first_pixel(s, tile);
            if (most == least || tlk_conv2d_first_pixel(s, tile + 1) - first == most)
                tlk_conv2d_depthwise_tile(s, first, most, xo, wo, bo, ro, y + o * yb);
            else
                tlk_conv2d_depthwise_tile(s, first, least, xo, wo, bo, ro, y + o * yb);
        }
    }
}

#endif
