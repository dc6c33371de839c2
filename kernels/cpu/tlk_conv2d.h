/* tlk_conv2d.h: what the convolution kernels share: shape, tiles, the one microkernel.
 *
 * A tile is 16 output channels (64 where a register holds 16) times up to TLK_PIX pixels of the
 * flattened output plane, one accumulator register for each; tiles cross rows, so that every
 * plane is cut evenly (49 pixels: 5 5 5 5 5 6 6 6 6) and none is small.  Each pixel has its own
 * base pointer into the input and all share one offset: no edge code for any stride, dilation or
 * padding, because the input carries a halo of zeros.
 *
 * Invariant: an output element is one chain of fused multiply-adds over (input block, kh, kw,
 * input channel in the block), which starts from the bias; then residual, then activation.
 * A chain may be cut: it goes on from what was stored, with the same bits.
 */
#ifndef TLK_CONV2D_H
#define TLK_CONV2D_H

#include "tlk_simd.h"

typedef struct tlk_conv2d {
    int ic, oc, groups;
    int kh, kw, sh, sw, dh, dw;
    int pad_top, pad_left; /* of the convolution; the halo of x may be larger */
    tlk_plane x, y, r;     /* r: residual */
    tlk_act act;
    float lo, hi;
} tlk_conv2d;

/* Vectors in an accumulator row.  Where a register holds a whole block there are 32 of them: room
 * for four output blocks times six pixels, and a pixel's value serves four multiply-adds. */
enum { TLK_TV = TLK_VPB < 2 ? TLK_TILE_BLOCKS : TLK_VPB };

/* Pixels [first, first + m) of a plane: where they read and write. */
typedef struct tlk_tile {
    const float *x[TLK_PIX];
    int64_t y[TLK_PIX], r[TLK_PIX]; /* offsets into a plane, in floats */
    const float *ahead;             /* weights to fetch meanwhile: tlk_mac_ahead */
} tlk_tile;

TLK_INLINE int64_t tlk_conv2d_pixels(const tlk_conv2d *s) { return (int64_t)s->y.h * s->y.w; }
TLK_INLINE int64_t tlk_conv2d_tiles(const tlk_conv2d *s)
{
    return tlk_div_up(tlk_conv2d_pixels(s), TLK_PIX);
}
TLK_INLINE int64_t tlk_conv2d_first_pixel(const tlk_conv2d *s, int64_t tile)
{
    return tile * tlk_conv2d_pixels(s) / tlk_conv2d_tiles(s);
}

/* Multiply-adds behind one output element. */
TLK_INLINE int64_t tlk_conv2d_terms(const tlk_conv2d *s)
{
    return (int64_t)(s->ic / s->groups) * s->kh * s->kw;
}

/* Blocks of output channels in one tile: as many as divide `blocks` and fit. */
TLK_INLINE int tlk_tile_blocks(int blocks)
{
    return TLK_VPB > 1 || blocks % 2 ? 1 : blocks % 4 ? 2 : TLK_TILE_BLOCKS;
}
TLK_INLINE int tlk_conv2d_tile_blocks(const tlk_conv2d *s)
{
    return tlk_tile_blocks(tlk_blocks(s->oc / s->groups));
}

/* Base pointers of `m` pixels.  x points at tap (0,0) of pixel 0; lanes: 16 blocked, 1 plain. */
TLK_INLINE void tlk_tile_at(tlk_tile *t, const tlk_conv2d *s, const float *x, int64_t first, int m,
                            int lanes)
{
    int oy = (int)(first / s->y.w);
    int ox = (int)(first % s->y.w);
    const int64_t xcols = tlk_plane_cols(s->x);
    const int64_t ycols = tlk_plane_cols(s->y);
    const int64_t rcols = tlk_plane_cols(s->r);
    TLK_UNROLL
    for (int p = 0; p < m; ++p) {
        t->x[p] = x + (oy * s->sh * xcols + ox * s->sw) * lanes;
        t->y[p] = ((oy + s->y.top) * ycols + ox + s->y.left) * TLK_BLOCK;
        t->r[p] = ((oy + s->r.top) * rcols + ox + s->r.left) * TLK_BLOCK;
        const bool wraps = ++ox == s->y.w;
        ox = wraps ? 0 : ox;
        oy += wraps;
    }
}

/* Fetch a tile's pixels `off` floats on: blocks lie a plane apart, where no prefetcher looks. */
TLK_INLINE void tlk_tile_fetch(const tlk_tile *t, int64_t off, int m)
{
    TLK_UNROLL
    for (int p = 0; p < m; ++p)
        __builtin_prefetch(t->x[p] + off);
}

/* acc[p] += w[0] * x[p][off]: further blocks of w lie wb floats apart. */
TLK_INLINE void tlk_mac_term(tlk_v acc[TLK_PIX][TLK_TV], const tlk_tile *t, int64_t off,
                             const float *w, int64_t wb, int nb, int m)
{
    tlk_v wv[TLK_TV];
    TLK_UNROLL
    for (int j = 0; j < nb * TLK_VPB; ++j)
        wv[j] = tlk_load(w + (j / TLK_VPB) * wb + (j % TLK_VPB) * TLK_W);
    TLK_UNROLL
    for (int p = 0; p < m; ++p) {
        const tlk_v b = tlk_splat(t->x[p][off]);
        TLK_UNROLL
        for (int j = 0; j < nb * TLK_VPB; ++j)
            tlk_fma_into(&acc[p][j], b, wv[j]);
    }
}

/* acc[p] += w[c] * x[p][off + c * xs] for c in [0, terms): weights in rows of 16.  Not unrolled:
 * gcc then moves loads about, and even without spills three terms at once run at 73 % of the peak
 * where one runs at 92. */
TLK_INLINE void tlk_mac(tlk_v acc[TLK_PIX][TLK_TV], const tlk_tile *t, int64_t off, int64_t xs,
                        const float *w, int64_t wb, int nb, int m, int terms)
{
    TLK_ROLLED
    for (int c = 0; c < terms; ++c)
        tlk_mac_term(acc, t, off + c * xs, w + c * TLK_BLOCK, wb, nb, m);
}

/* The same for x side by side; beside each term `rows` rows of t->ahead are fetched. */
TLK_INLINE void tlk_mac_ahead(tlk_v acc[TLK_PIX][TLK_TV], tlk_tile *t, int64_t off, const float *w,
                              int64_t wb, int nb, int m, int terms, int rows)
{
    TLK_ROLLED
    for (int c = 0; c < terms; ++c) {
        TLK_UNROLL
        for (int i = 0; i < rows; ++i)
            __builtin_prefetch(t->ahead + (c * rows + i) * TLK_BLOCK, 0, 2);
        tlk_mac_term(acc, t, off + c, w + c * TLK_BLOCK, wb, nb, m);
    }
    t->ahead += terms * rows * TLK_BLOCK;
}

/* The chain's start: the bias (absent: zero), or what an earlier pass stored. */
TLK_INLINE void tlk_tile_start(tlk_v acc[TLK_PIX][TLK_TV], const tlk_tile *t, const float *b,
                               const float *y, int64_t yb, bool first, int nb, int m)
{
    TLK_UNROLL
    for (int p = 0; p < m; ++p) {
        TLK_UNROLL
        for (int j = 0; j < nb * TLK_VPB; ++j) {
            if (!first)
                acc[p][j] = tlk_load(y + (j / TLK_VPB) * yb + t->y[p] + (j % TLK_VPB) * TLK_W);
            else
                acc[p][j] = b ? tlk_load(b + j * TLK_W) : tlk_zero();
        }
    }
}

/* Fetch the residual of a tile, which is wanted when its chain is done. */
TLK_INLINE void tlk_tile_fetch_residual(const tlk_conv2d *s, const tlk_tile *t, const float *r,
                                        int nb, int m)
{
    const int64_t rb = tlk_plane_elems(s->r) * TLK_BLOCK;
    TLK_UNROLL
    for (int p = 0; p < m; ++p) {
        TLK_UNROLL
        for (int j = 0; j < nb; ++j)
            __builtin_prefetch(r + j * rb + t->r[p]);
    }
}

/* Store; on the last pass residual and activation first.  rb, yb: from block to block. */
TLK_INLINE void tlk_tile_finish(const tlk_conv2d *s, tlk_v acc[TLK_PIX][TLK_TV], const tlk_tile *t,
                                const float *r, float *y, bool last, int nb, int m)
{
    const int64_t yb = tlk_plane_elems(s->y) * TLK_BLOCK;
    const int64_t rb = tlk_plane_elems(s->r) * TLK_BLOCK;
    TLK_UNROLL
    for (int p = 0; p < m; ++p) {
        TLK_UNROLL
        for (int j = 0; j < nb * TLK_VPB; ++j) {
            const int64_t lane = (j % TLK_VPB) * TLK_W;
            tlk_v a = acc[p][j];
            if (last && r)
                a = a + tlk_load(r + (j / TLK_VPB) * rb + t->r[p] + lane);
            if (last)
                a = tlk_activate(a, s->act, s->lo, s->hi);
            tlk_store(y + (j / TLK_VPB) * yb + t->y[p] + lane, a);
        }
    }
}

/* --- how the work is cut: tiles into bands, output blocks into groups --------- */

typedef struct tlk_conv2d_cut {
    int64_t band;   /* tiles of a band */
    int64_t bands;
    int group;      /* output blocks of an item */
    int groups;
    int chunk;      /* input blocks of one pass over a band */
    bool weights_outside; /* item order: group, picture, band; else picture, band, group */
} tlk_conv2d_cut;

/* Where an item stands. */
typedef struct tlk_conv2d_where {
    int64_t picture, tile0, tile1;
    int block0, block1;
} tlk_conv2d_where;

TLK_INLINE tlk_conv2d_where tlk_conv2d_locate(const tlk_conv2d *s, tlk_conv2d_cut c, int64_t item,
                                              int64_t n)
{
    int64_t group, band, picture;
    if (c.weights_outside) {
        band = item % c.bands;
        picture = item / c.bands % n;
        group = item / c.bands / n;
    } else {
        group = item % c.groups;
        band = item / c.groups % c.bands;
        picture = item / c.groups / c.bands;
    }
    const int blocks = tlk_blocks(s->oc);
    tlk_conv2d_where at = { .picture = picture };
    at.tile0 = band * tlk_conv2d_tiles(s) / c.bands;
    at.tile1 = (band + 1) * tlk_conv2d_tiles(s) / c.bands;
    at.block0 = (int)(group * c.group);
    at.block1 = at.block0 + c.group < blocks ? at.block0 + c.group : blocks;
    return at;
}

/* The halo of the blocks of an item; done once a plane, by the item of the first band. */
TLK_INLINE void tlk_conv2d_halo(const tlk_conv2d *s, const tlk_conv2d_where *at, float *y)
{
    const int64_t yb = tlk_plane_elems(s->y) * TLK_BLOCK;
    if (at->tile0 == 0)
        for (int b = at->block0; b < at->block1; ++b)
            tlk_halo_zero(y + b * yb, s->y, TLK_BLOCK);
}

#endif
