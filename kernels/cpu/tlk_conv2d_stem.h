/* tlk_conv2d_stem.h: convolution of a plain input of few channels (a picture).
 *
 * x plain NCHW with a halo of at least the padding; w STEM16; b, r, y C16.  The same microkernel:
 * a pixel's channels lie a plane apart instead of side by side.  Order of an element's chain:
 * kh, kw, input channel.
 */
#ifndef TLK_CONV2D_STEM_H
#define TLK_CONV2D_STEM_H

#include "tlk_conv2d.h"

typedef tlk_conv2d tlk_conv2d_stem;

/* All output blocks of a band in one item: the input band is read while it is warm. */
TLK_INLINE tlk_conv2d_cut tlk_conv2d_stem_cut(const tlk_conv2d *s)
{
    enum { BAND_TILES = 32 };
    tlk_conv2d_cut c;
    c.bands = tlk_div_up(tlk_conv2d_tiles(s), BAND_TILES);
    c.band = tlk_div_up(tlk_conv2d_tiles(s), c.bands);
    c.group = tlk_blocks(s->oc);
    c.groups = 1;
    c.chunk = 1;
    c.weights_outside = false;
    return c;
}

static inline int64_t tlk_conv2d_stem_items(const tlk_conv2d_stem *s, int64_t n)
{
    const tlk_conv2d_cut c = tlk_conv2d_stem_cut(s);
    return n * c.bands * c.groups;
}

TLK_INLINE void tlk_conv2d_stem_tile(const tlk_conv2d *s, int64_t first, int m, const float *x,
                                     const float *w, const float *b, const float *r, float *y)
{
    const int nb = tlk_conv2d_tile_blocks(s);
    const int64_t wb = tlk_conv2d_terms(s) * TLK_BLOCK;
    const int64_t cols = tlk_plane_cols(s->x);
    tlk_v acc[TLK_PIX][TLK_TV];
    tlk_tile t;
    tlk_tile_at(&t, s, x, first, m, 1);
    tlk_tile_start(acc, &t, b, y, 0, true, nb, m);
    for (int kh = 0; kh < s->kh; ++kh) {
        int64_t off = kh * s->dh * cols;
        for (int kw = 0; kw < s->kw; ++kw) {
            tlk_mac(acc, &t, off, tlk_plane_elems(s->x), w, wb, nb, m, s->ic);
            w += s->ic * TLK_BLOCK;
            off += s->dw;
        }
    }
    tlk_tile_finish(s, acc, &t, r, y, true, nb, m);
}

TLK_INLINE void tlk_conv2d_stem_item(const tlk_conv2d_stem *s, int64_t item, int64_t n,
                                     const float *x, const float *w, const float *b,
                                     const float *r, float *y)
{
    const tlk_conv2d_where at = tlk_conv2d_locate(s, tlk_conv2d_stem_cut(s), item, n);
    const int64_t yb = tlk_plane_elems(s->y) * TLK_BLOCK;
    const int64_t rb = tlk_plane_elems(s->r) * TLK_BLOCK;
    const int64_t wb = tlk_conv2d_terms(s) * TLK_BLOCK;
    const int blocks = tlk_blocks(s->oc);
    const int most = (int)tlk_div_up(tlk_conv2d_pixels(s), tlk_conv2d_tiles(s));
    const int least = (int)(tlk_conv2d_pixels(s) / tlk_conv2d_tiles(s));
    x += at.picture * s->ic * tlk_plane_elems(s->x);
    x += (s->x.top - s->pad_top) * tlk_plane_cols(s->x) + s->x.left - s->pad_left;
    y += at.picture * blocks * yb;
    r = r ? r + at.picture * blocks * rb : NULL;
    tlk_conv2d_halo(s, &at, y);
    for (int o = at.block0; o < at.block1; o += tlk_conv2d_tile_blocks(s)) {
        const float *ro = r ? r + o * rb : NULL;
        const float *bo = b ? b + o * TLK_BLOCK : NULL;
        for (int64_t tile = at.tile0; tile < at.tile1; ++tile) {
            const int64_t first = tlk_conv2d_first_pixel(s, tile);
            if (most == least || tlk_conv2d_first_pixel(s, tile + 1) - first == most)
                tlk_conv2d_stem_tile(s, first, most, x, w + o * wb, bo, ro, y + o * yb);
            else
                tlk_conv2d_stem_tile(s, first, least, x, w + o * wb, bo, ro, y + o * yb);
        }
    }
}

#endif
