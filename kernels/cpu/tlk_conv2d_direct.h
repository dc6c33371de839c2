/* tlk_conv2d_direct.h: convolution of blocked input by the microkernel of tlk_conv2d.h.
 *
 * x, r, y C16 (x with a halo of at least the padding); w OI16; b C16.  Groups whose channels are
 * whole blocks are served too.  Within a band of tiles the loop runs over passes of input blocks
 * outside and tiles inside, so that one pass's weights stay in the first-level cache while the
 * band's tiles go by; sums wait in y between passes.
 */
#ifndef TLK_CONV2D_DIRECT_H
#define TLK_CONV2D_DIRECT_H

#include "tlk_conv2d.h"

typedef tlk_conv2d tlk_conv2d_direct;

TLK_INLINE int tlk_conv2d_in_blocks(const tlk_conv2d *s) { return tlk_blocks(s->ic / s->groups); }

TLK_INLINE int64_t tlk_conv2d_weight_bytes(const tlk_conv2d *s)
{
    return tlk_conv2d_terms(s) * s->oc * 4;
}

/* Of `stride` rows (columns) of the input, those that a filter of `taps` reads: a 1x1 one skips. */
TLK_INLINE int tlk_conv2d_read(int taps, int stride) { return taps < stride ? taps : stride; }

/* Bands of 16 tiles (96 pixels).  One pass over all input blocks where a band's input and the
 * weights of an output block fit in the second-level cache (97 % of the peak at 64 to 256
 * channels); else passes whose weights fit in the first-level one (512@7: 92 % instead of 82). */
TLK_INLINE tlk_conv2d_cut tlk_conv2d_direct_cut(const tlk_conv2d *s)
{
    enum { BAND_TILES = 16, L2_BYTES = 384 << 10, PASS_BYTES = 16 << 10, ITEM_TERMS = 24576 };
    const int nb = tlk_conv2d_tile_blocks(s);
    const int64_t tiles = tlk_conv2d_tiles(s);
    const int64_t block_bytes = (int64_t)s->kh * s->kw * nb * TLK_BLOCK * TLK_BLOCK * 4;
    const int in_blocks = tlk_conv2d_in_blocks(s);
    tlk_conv2d_cut c;
    c.bands = tlk_div_up(tiles, BAND_TILES);
    c.band = tlk_div_up(tiles, c.bands);
    const int64_t read = (int64_t)tlk_conv2d_read(s->kh, s->sh) * tlk_conv2d_read(s->kw, s->sw);
    const int64_t band_bytes = c.band * TLK_PIX * read * in_blocks * TLK_BLOCK * 4;
    c.chunk = in_blocks;
    if (band_bytes + in_blocks * block_bytes > L2_BYTES) {
        const int64_t most = PASS_BYTES > block_bytes ? PASS_BYTES / block_bytes : 1;
        c.chunk = (int)tlk_div_up(in_blocks, tlk_div_up(in_blocks, most));
    }
    const int64_t cost = c.band * tlk_conv2d_terms(s) * nb; /* one output block: in 6 cycles */
    c.group = nb * (int)(cost < ITEM_TERMS ? tlk_div_up(ITEM_TERMS, cost) : 1);
    c.groups = (int)tlk_div_up(tlk_blocks(s->oc), c.group);
    const int64_t x_bytes = (int64_t)s->ic * s->x.h * s->x.w * 4;
    /* Pictures pass by each group's weights, or all weights by each picture: what moves less. */
    c.weights_outside = c.groups * x_bytes < tlk_conv2d_weight_bytes(s) + x_bytes;
    return c;
}

static inline int64_t tlk_conv2d_direct_items(const tlk_conv2d_direct *s, int64_t n)
{
    const tlk_conv2d_cut c = tlk_conv2d_direct_cut(s);
    return n * c.bands * c.groups;
}

/* Are the weights too many to wait in the second-level cache? */
TLK_INLINE bool tlk_conv2d_direct_far(const tlk_conv2d *s)
{
    enum { NEAR_BYTES = 512 << 10 };
    return tlk_conv2d_weight_bytes(s) > NEAR_BYTES;
}

/* Input blocks [b0, b1) of one tile of m pixels; x at tap (0,0) of block 0, w at (0, 0, 0).
 * ahead: weights of one output block to be fetched meanwhile. */
TLK_INLINE void tlk_conv2d_direct_tile(const tlk_conv2d *s, int64_t first, int m, int b0, int b1,
                                       const float *x, const float *w, const float *b,
                                       const float *r, float *y, const float *ahead)
{
    const int nb = tlk_conv2d_tile_blocks(s);
    const int in_blocks = tlk_conv2d_in_blocks(s);
    const int tail = (s->ic / s->groups - 1) % TLK_BLOCK + 1;
    const int64_t wb = (int64_t)in_blocks * s->kh * s->kw * TLK_BLOCK * TLK_BLOCK;
    const int64_t cols = tlk_plane_cols(s->x);
    const int64_t xb = tlk_plane_elems(s->x) * TLK_BLOCK;
    enum { AHEAD = 2, LONG_CHAIN = 256 }; /* blocks of input; terms that pay for fetching r */
    tlk_v acc[TLK_PIX][TLK_TV];
    tlk_tile t;
    tlk_tile_at(&t, s, x, first, m, TLK_BLOCK);
    t.ahead = ahead;
    tlk_tile_start(acc, &t, b, y, tlk_plane_elems(s->y) * TLK_BLOCK, b0 == 0, nb, m);
    if (r && b1 == in_blocks && tlk_conv2d_terms(s) >= LONG_CHAIN)
        tlk_tile_fetch_residual(s, &t, r, nb, m);
    w += (int64_t)b0 * s->kh * s->kw * TLK_BLOCK * TLK_BLOCK;
    for (int i = b0; i < b1; ++i) {
        const int terms = tail < TLK_BLOCK && i == in_blocks - 1 ? tail : TLK_BLOCK;
        if (s->kh * s->kw == 1)
            tlk_tile_fetch(&t, (i + AHEAD) * xb, m);
        for (int kh = 0; kh < s->kh; ++kh) {
            int64_t off = i * xb + kh * s->dh * cols * TLK_BLOCK;
            for (int kw = 0; kw < s->kw; ++kw) {
                if (tlk_conv2d_direct_far(s))
                    tlk_mac_ahead(acc, &t, off, w, wb, nb, m, terms, 1);
                else
                    tlk_mac(acc, &t, off, 1, w, wb, nb, m, terms);
                w += TLK_BLOCK * TLK_BLOCK;
                off += s->dw * TLK_BLOCK;
            }
        }
    }
    tlk_tile_finish(s, acc, &t, r, y, b1 == in_blocks, nb, m);
}

/* The tiles of a band for one tile of output blocks.  While the first go by, the next
 * pass's weights are fetched, a block beside each. */
TLK_INLINE void tlk_conv2d_direct_band(const tlk_conv2d *s, const tlk_conv2d_where *at, int chunk,
                                       const float *x, const float *w, const float *b,
                                       const float *r, float *y)
{
    const int in_blocks = tlk_conv2d_in_blocks(s);
    const int most = (int)tlk_div_up(tlk_conv2d_pixels(s), tlk_conv2d_tiles(s));
    const int least = (int)(tlk_conv2d_pixels(s) / tlk_conv2d_tiles(s));
    const int nb = tlk_conv2d_tile_blocks(s);
    const int64_t block = (int64_t)s->kh * s->kw * TLK_BLOCK * TLK_BLOCK, wb = in_blocks * block;
    for (int b0 = 0; b0 < in_blocks; b0 += chunk) {
        const int b1 = b0 + chunk < in_blocks ? b0 + chunk : in_blocks;
        const float *next_pass = w + (b1 < in_blocks ? b1 * block : nb * wb);
        int64_t first = tlk_conv2d_first_pixel(s, at->tile0);
        for (int64_t tile = at->tile0; tile < at->tile1; ++tile) {
            const int64_t next = tlk_conv2d_first_pixel(s, tile + 1);
            const int64_t j = tile - at->tile0 < nb ? tile - at->tile0 : nb - 1;
            const float *ahead = next_pass + j * wb;
            if (most == least || next - first == most)
                tlk_conv2d_direct_tile(s, first, most, b0, b1, x, w, b, r, y, ahead);
            else
                tlk_conv2d_direct_tile(s, first, least, b0, b1, x, w, b, r, y, ahead);
            first = next;
        }
    }
}

TLK_INLINE void tlk_conv2d_direct_item(const tlk_conv2d_direct *s, int64_t item, int64_t n,
                                       const float *x, const float *w, const float *b,
                                       const float *r, float *y)
{
    const tlk_conv2d_cut c = tlk_conv2d_direct_cut(s);
    const tlk_conv2d_where at = tlk_conv2d_locate(s, c, item, n);
    const int64_t xb = tlk_plane_elems(s->x) * TLK_BLOCK;
    const int64_t yb = tlk_plane_elems(s->y) * TLK_BLOCK;
    const int64_t rb = tlk_plane_elems(s->r) * TLK_BLOCK;
    const int in_blocks = tlk_conv2d_in_blocks(s);
    const int64_t wb = (int64_t)in_blocks * s->kh * s->kw * TLK_BLOCK * TLK_BLOCK;
    const int blocks = tlk_blocks(s->oc);
    const int blocks_of_group = blocks / s->groups;
    x += at.picture * (s->groups > 1 ? in_blocks * s->groups : in_blocks) * xb;
    x += ((s->x.top - s->pad_top) * tlk_plane_cols(s->x) + s->x.left - s->pad_left) * TLK_BLOCK;
    y += at.picture * blocks * yb;
    r = r ? r + at.picture * blocks * rb : NULL;
    tlk_conv2d_halo(s, &at, y);
    for (int o = at.block0; o < at.block1; o += tlk_conv2d_tile_blocks(s)) {
        const float *xg = s->groups > 1 ? x + (int64_t)(o / blocks_of_group) * in_blocks * xb : x;
        tlk_conv2d_direct_band(s, &at, c.chunk, xg, w + o * wb, b ? b + o * TLK_BLOCK : NULL,
                               r ? r + o * rb : NULL, y + o * yb);
    }
}

#endif
