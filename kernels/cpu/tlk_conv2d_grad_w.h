/* tlk_conv2d_grad_w.h: gradient of a convolution by its weight.
 *
 * The microkernel of tlk_conv2d.h with positions of a filter (tap, input channel) in the place of
 * pixels and the pixels of a row in the place of input channels: 16 output channels times 6
 * positions in registers.  An item is a block of output channels and some of the input's, over all
 * pixels of all pictures: no thread's sum is part of another's.
 *
 * Invariant: a chain runs over a band of some hundred pixels and starts from zero; bands are added
 * in the order of pictures and rows.  Short chains are why sums of 50000 terms keep their digits.
 *
 * dy C16; x C16 and dw OI16, or x plain and dw STEM16, or both C16 and dw DW16.  x has a halo of
 * at least the padding.
 */
#ifndef TLK_CONV2D_GRAD_W_H
#define TLK_CONV2D_GRAD_W_H

#include "tlk_conv2d.h"

typedef tlk_conv2d tlk_conv2d_grad_w_direct;
typedef tlk_conv2d tlk_conv2d_grad_w_stem;
typedef tlk_conv2d tlk_conv2d_grad_w_depthwise;

/* What an item makes of dw: `runs` runs of `count` floats, the first at `at`, `step` apart. */
typedef struct tlk_dw_piece {
    int64_t at, step, count;
    int runs;
} tlk_dw_piece;

/* How x is read: `channels` of a tap `step` floats apart, pixels `lanes` apart. */
typedef struct tlk_dw_input {
    int channels, lanes;
    int64_t step;
} tlk_dw_input;

/* Rows of dy in a band: their pixels and what they read of x stay in the first-level cache. */
TLK_INLINE int tlk_dw_rows(const tlk_conv2d *s)
{
    enum { BAND_PIXELS = 128 };
    const int rows = BAND_PIXELS / s->y.w;
    return rows < 1 ? 1 : rows < s->y.h ? rows : s->y.h;
}

/* Floats from the first pixel of dy's block to row `h`. */
TLK_INLINE int64_t tlk_dw_row_at(tlk_plane p, int h)
{
    return ((int64_t)(p.top + h) * tlk_plane_cols(p) + p.left) * TLK_BLOCK;
}

/* Where tap `tap` of pixel 0 lies, in pixels. */
TLK_INLINE int64_t tlk_dw_tap(const tlk_conv2d *s, int tap)
{
    return (int64_t)(tap / s->kw) * s->dh * tlk_plane_cols(s->x) + tap % s->kw * s->dw;
}

TLK_INLINE void tlk_dw_add(float *dw, int64_t wb, tlk_v acc[TLK_PIX][TLK_TV], int nb, int m)
{
    TLK_UNROLL
    for (int p = 0; p < m; ++p) {
        TLK_UNROLL
        for (int j = 0; j < nb * TLK_VPB; ++j) {
            float *at = dw + (j / TLK_VPB) * wb + p * TLK_BLOCK + (j % TLK_VPB) * TLK_W;
            tlk_store(at, tlk_load(at) + acc[p][j]);
        }
    }
}

/* Fetch a share of `count` rows of 16: the tiles of one tap do it all between them. */
TLK_INLINE void tlk_dw_fetch(const float *x, int first, int count)
{
    enum { TILES = 3 }; /* of 16 channels */
    const int part = first / TLK_PIX % TILES;
    for (int i = part * count / TILES; i < (part + 1) * count / TILES; ++i)
        __builtin_prefetch(x + (int64_t)i * TLK_BLOCK, 0, 2);
}

/* Positions [first, first + m) of the filters over rows [row0, row1). */
TLK_INLINE void tlk_dw_tile(const tlk_conv2d *s, tlk_dw_input in, int row0, int row1,
                                int first, int m, int nb, const float *x, const float *dy,
                                float *dw, int64_t wb)
{
    const int64_t yb = tlk_plane_elems(s->y) * TLK_BLOCK;
    const int64_t row = tlk_plane_cols(s->x) * (int64_t)s->sh * in.lanes;
    tlk_v acc[TLK_PIX][TLK_TV];
    tlk_tile t;
    TLK_UNROLL
    for (int p = 0; p < m; ++p) {
        const int tap = (first + p) / in.channels;
        t.x[p] = x + tlk_dw_tap(s, tap) * in.lanes + (first + p) % in.channels * in.step;
        TLK_UNROLL
        for (int j = 0; j < nb * TLK_VPB; ++j)
            acc[p][j] = tlk_zero();
    }
    for (int h = row0; h < row1; ++h) {
        const float *dy_row = dy + tlk_dw_row_at(s->y, h);
        if (in.lanes == TLK_BLOCK) /* the same rows of the next block of x */
            tlk_dw_fetch(x + tlk_plane_elems(s->x) * TLK_BLOCK + h * row, first, s->y.w * s->sw);
        tlk_mac(acc, &t, h * row, s->sw * in.lanes, dy_row, yb, nb, m, s->y.w);
    }
    tlk_dw_add(dw + first * TLK_BLOCK, wb, acc, nb, m);
}

/* Filters' positions [from, to) over one band. */
TLK_INLINE void tlk_dw_band(const tlk_conv2d *s, tlk_dw_input in, int row0, int from,
                                int count, int nb, const float *x, const float *dy, float *dw,
                                int64_t wb)
{
    const int row1 = row0 + tlk_dw_rows(s) < s->y.h ? row0 + tlk_dw_rows(s) : s->y.h;
    const int rest = count % TLK_PIX;
    const int to = from + count - rest;
    for (int p = from; p < to; p += TLK_PIX)
        tlk_dw_tile(s, in, row0, row1, p, TLK_PIX, nb, x, dy, dw, wb);
    if (rest)
        tlk_dw_tile(s, in, row0, row1, to, rest, nb, x, dy, dw, wb);
}

/* --- blocked input --------------------------- */

TLK_INLINE int tlk_dw_in_blocks(const tlk_conv2d *s) { return tlk_blocks(s->ic / s->groups); }

/* Input blocks of an item: 1x1 filters do little with a pixel, so dy's band serves several. */
TLK_INLINE int tlk_dw_group(const tlk_conv2d *s)
{
    enum { TAPS = 8 };
    const int group = (int)tlk_div_up(TAPS, (int64_t)s->kh * s->kw);
    return group < tlk_dw_in_blocks(s) ? group : tlk_dw_in_blocks(s);
}

static inline int64_t tlk_conv2d_grad_w_direct_items(const tlk_conv2d_grad_w_direct *s, int64_t n)
{
    (void)n;
    return tlk_blocks(s->oc) / tlk_conv2d_tile_blocks(s) *
           tlk_div_up(tlk_dw_in_blocks(s), tlk_dw_group(s));
}

/* One picture: `blocks` of the input with one tile of dy blocks. */
TLK_INLINE void tlk_dw_picture(const tlk_conv2d *s, int blocks, const float *x, const float *dy,
                               float *dw, int64_t wb)
{
    const tlk_dw_input in = { TLK_BLOCK, TLK_BLOCK, 1 };
    const int64_t xb = tlk_plane_elems(s->x) * TLK_BLOCK;
    const int count = s->kh * s->kw * TLK_BLOCK;
    for (int row = 0; row < s->y.h; row += tlk_dw_rows(s))
        for (int b = 0; b < blocks; ++b)
            tlk_dw_band(s, in, row, 0, count, tlk_conv2d_tile_blocks(s), x + b * xb, dy,
                            dw + (int64_t)b * count * TLK_BLOCK, wb);
}

/* Output blocks from `o` on, input blocks [b0, b1). */
typedef struct tlk_dw_blocks {
    int o, b0, b1;
} tlk_dw_blocks;

TLK_INLINE tlk_dw_blocks tlk_dw_locate(const tlk_conv2d *s, int64_t item)
{
    const int in_blocks = tlk_dw_in_blocks(s), group = tlk_dw_group(s);
    const int parts = (int)tlk_div_up(in_blocks, group);
    tlk_dw_blocks b = { .o = (int)(item / parts) * tlk_conv2d_tile_blocks(s),
                        .b0 = (int)(item % parts) * group };
    b.b1 = b.b0 + group < in_blocks ? b.b0 + group : in_blocks;
    return b;
}

TLK_INLINE tlk_dw_piece tlk_dw_direct_piece(const tlk_conv2d *s, int64_t item)
{
    const tlk_dw_blocks b = tlk_dw_locate(s, item);
    const int64_t block = (int64_t)s->kh * s->kw * TLK_BLOCK * TLK_BLOCK;
    const int64_t wb = tlk_dw_in_blocks(s) * block;
    return (tlk_dw_piece){ b.o * wb + b.b0 * block, wb, (b.b1 - b.b0) * block,
                           tlk_conv2d_tile_blocks(s) };
}

TLK_INLINE void tlk_dw_clear(tlk_dw_piece p, float *dw, int64_t wb)
{
    for (int i = 0; i < p.runs; ++i)
        memset(dw + i * wb, 0, sizeof(float) * (size_t)p.count);
}

/* The piece's first run to dw, the others wb apart. */
TLK_INLINE void tlk_dw_direct_sum(const tlk_conv2d *s, int64_t item, int64_t n, const float *dy,
                                  const float *x, float *dw, int64_t wb)
{
    const tlk_dw_blocks b = tlk_dw_locate(s, item);
    const int in_blocks = tlk_dw_in_blocks(s), blocks = tlk_blocks(s->oc);
    const int of_group = b.o / (blocks / s->groups); /* the convolution's group */
    const int64_t xb = tlk_plane_elems(s->x) * TLK_BLOCK;
    const int64_t yb = tlk_plane_elems(s->y) * TLK_BLOCK;
    x += ((s->x.top - s->pad_top) * tlk_plane_cols(s->x) + s->x.left - s->pad_left) * TLK_BLOCK;
    tlk_dw_clear(tlk_dw_direct_piece(s, item), dw, wb);
    for (int64_t p = 0; p < n; ++p)
        tlk_dw_picture(s, b.b1 - b.b0, x + ((p * s->groups + of_group) * in_blocks + b.b0) * xb,
                       dy + (p * blocks + b.o) * yb, dw, wb);
}

TLK_INLINE void tlk_conv2d_grad_w_direct_item(const tlk_conv2d_grad_w_direct *s, int64_t item,
                                              int64_t n, const float *dy, const float *x,
                                              float *dw)
{
    const tlk_dw_piece p = tlk_dw_direct_piece(s, item);
    tlk_dw_direct_sum(s, item, n, dy, x, dw + p.at, p.step);
}

/* --- plain input of few channels --------------------------- */

/* An item is a block of output channels and a row of taps. */
static inline int64_t tlk_conv2d_grad_w_stem_items(const tlk_conv2d_grad_w_stem *s, int64_t n)
{
    (void)n;
    return (int64_t)(tlk_blocks(s->oc) / tlk_conv2d_tile_blocks(s)) * s->kh;
}

TLK_INLINE tlk_dw_piece tlk_dw_stem_piece(const tlk_conv2d *s, int64_t item)
{
    const int nb = tlk_conv2d_tile_blocks(s);
    const int64_t count = (int64_t)s->kw * s->ic * TLK_BLOCK, wb = s->kh * count;
    return (tlk_dw_piece){ item / s->kh * nb * wb + item % s->kh * count, wb, count, nb };
}

TLK_INLINE void tlk_dw_stem_sum(const tlk_conv2d *s, int64_t item, int64_t n, const float *dy,
                                const float *x, float *dw, int64_t wb)
{
    const tlk_dw_input in = { s->ic, 1, tlk_plane_elems(s->x) };
    const int nb = tlk_conv2d_tile_blocks(s), count = s->kw * s->ic;
    const int o = (int)(item / s->kh) * nb, kh = (int)(item % s->kh);
    const int64_t yb = tlk_plane_elems(s->y) * TLK_BLOCK;
    x += (s->x.top - s->pad_top) * tlk_plane_cols(s->x) + s->x.left - s->pad_left;
    x += tlk_dw_tap(s, kh * s->kw);
    tlk_dw_clear(tlk_dw_stem_piece(s, item), dw, wb);
    for (int64_t p = 0; p < n; ++p)
        for (int row = 0; row < s->y.h; row += tlk_dw_rows(s))
            tlk_dw_band(s, in, row, 0, count, nb, x + p * s->ic * tlk_plane_elems(s->x),
                            dy + (p * tlk_blocks(s->oc) + o) * yb, dw, wb);
}

TLK_INLINE void tlk_conv2d_grad_w_stem_item(const tlk_conv2d_grad_w_stem *s, int64_t item,
                                            int64_t n, const float *dy, const float *x, float *dw)
{
    const tlk_dw_piece p = tlk_dw_stem_piece(s, item);
    tlk_dw_stem_sum(s, item, n, dy, x, dw + p.at, p.step);
}

/* --- one filter a channel --------------------------- */

static inline int64_t tlk_conv2d_grad_w_depthwise_items(const tlk_conv2d_grad_w_depthwise *s,
                                                        int64_t n)
{
    (void)n;
    return tlk_blocks(s->oc);
}

/* Taps [first, first + m) over rows [row0, row1) of one block. */
TLK_INLINE void tlk_dw_depthwise_tile(const tlk_conv2d *s, int row0, int row1, int first,
                                          int m, const float *x, const float *dy, float *dw)
{
    const int64_t row = tlk_plane_cols(s->x) * (int64_t)s->sh * TLK_BLOCK;
    tlk_v acc[TLK_PIX][TLK_TV];
    const float *at[TLK_PIX];
    TLK_UNROLL
    for (int p = 0; p < m; ++p) {
        at[p] = x + tlk_dw_tap(s, first + p) * TLK_BLOCK;
        TLK_UNROLL
        for (int j = 0; j < TLK_VPB; ++j)
            acc[p][j] = tlk_zero();
    }
    for (int h = row0; h < row1; ++h) {
        const float *d = dy + tlk_dw_row_at(s->y, h);
        TLK_ROLLED
        for (int c = 0; c < s->y.w; ++c) {
            TLK_UNROLL
            for (int p = 0; p < m; ++p) {
                TLK_UNROLL
                for (int j = 0; j < TLK_VPB; ++j)
                    tlk_fma_into(&acc[p][j], tlk_load(d + c * TLK_BLOCK + j * TLK_W),
                                 tlk_load(at[p] + h * row + (int64_t)c * s->sw * TLK_BLOCK +
                                          j * TLK_W));
            }
        }
    }
    tlk_dw_add(dw + first * TLK_BLOCK, 0, acc, 1, m);
}

TLK_INLINE tlk_dw_piece tlk_dw_depthwise_piece(const tlk_conv2d *s, int64_t item)
{
    const int64_t count = (int64_t)s->kh * s->kw * TLK_BLOCK;
    return (tlk_dw_piece){ item * count, count, count, 1 };
}

TLK_INLINE void tlk_dw_depthwise_sum(const tlk_conv2d *s, int64_t item, int64_t n,
                                     const float *dy, const float *x, float *dw, int64_t wb)
{
    const int taps = s->kh * s->kw, rest = taps % TLK_PIX, rows = tlk_dw_rows(s);
    const int64_t xb = tlk_plane_elems(s->x) * TLK_BLOCK;
    const int64_t yb = tlk_plane_elems(s->y) * TLK_BLOCK;
    x += ((s->x.top - s->pad_top) * tlk_plane_cols(s->x) + s->x.left - s->pad_left) * TLK_BLOCK;
    tlk_dw_clear(tlk_dw_depthwise_piece(s, item), dw, wb);
    for (int64_t p = 0; p < n; ++p) {
        const float *xp = x + (p * tlk_blocks(s->ic) + item) * xb;
        const float *dp = dy + (p * tlk_blocks(s->oc) + item) * yb;
        for (int h = 0; h < s->y.h; h += rows) {
            const int end = h + rows < s->y.h ? h + rows : s->y.h;
            for (int k = 0; k < taps - rest; k += TLK_PIX)
                tlk_dw_depthwise_tile(s, h, end, k, TLK_PIX, xp, dp, dw);
            if (rest)
                tlk_dw_depthwise_tile(s, h, end, taps - rest, rest, xp, dp, dw);
        }
    }
}

TLK_INLINE void tlk_conv2d_grad_w_depthwise_item(const tlk_conv2d_grad_w_depthwise *s,
                                                 int64_t item, int64_t n, const float *dy,
                                                 const float *x, float *dw)
{
    const tlk_dw_piece p = tlk_dw_depthwise_piece(s, item);
    tlk_dw_depthwise_sum(s, item, n, dy, x, dw + p.at, p.step);
}

#endif
