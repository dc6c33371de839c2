/* tlk_conv2d_winograd.h: 3x3 convolution of stride 1 by F(4x4, 3x3): 36 multiply-adds for 144.
 *
 * Points 0, +-1/sqrt2, +-sqrt2, infinity: rounding error about twice that of the direct chain
 * (Lavin and Gray 2016).    An item is a
 * chunk of tiles of 4x4 outputs and a group of output blocks, all phases in one thread:
 *
 *     V[36][tile][ic] = Bt d B        of every tile of the chunk
 *     M[block][36][tile][16] = U V    the microkernel, with tiles in the place of pixels
 *     y = At M A + bias + residual, activation
 *
 * V and M lie in the scratch of the worker.  x, r, y C16 (x with a halo of the padding; tiles that
 * reach beyond it are copied and filled with zeros); U is [36][oc/16][ic][16], made once from the
 * weights by tlk_winograd_weights.  Chunk and group are the compiler's choice, for scratch.
 */
#ifndef TLK_CONV2D_WINOGRAD_H
#define TLK_CONV2D_WINOGRAD_H

#include "tlk_conv2d.h"

enum {
    TLK_WINO_OUT = 4,  /* outputs of a tile along an axis */
    TLK_WINO_IN = 6,   /* inputs */
    TLK_WINO_POS = 36
};

typedef struct tlk_conv2d_winograd {
    tlk_conv2d conv;
    int tiles; /* of a chunk at most: a multiple of 6 */
    int group; /* output blocks of an item */
} tlk_conv2d_winograd;

/* A chunk: tiles [first, last) of one picture, and output blocks [block0, block1). */
typedef struct tlk_wino_chunk {
    int64_t picture;
    int64_t sub0, sub1; /* sub-tiles: up to TLK_PIX tiles that share a pass of the microkernel */
    int first;          /* tile */
    int block0, block1;
} tlk_wino_chunk;

TLK_INLINE int tlk_wino_cols(const tlk_conv2d *s) { return (int)tlk_div_up(s->y.w, TLK_WINO_OUT); }
TLK_INLINE int tlk_wino_tiles(const tlk_conv2d *s)
{
    return (int)tlk_div_up(s->y.h, TLK_WINO_OUT) * tlk_wino_cols(s);
}
TLK_INLINE int64_t tlk_wino_subs(const tlk_conv2d *s)
{
    return tlk_div_up(tlk_wino_tiles(s), TLK_PIX);
}
TLK_INLINE int tlk_wino_first(const tlk_conv2d *s, int64_t sub)
{
    return (int)(sub * tlk_wino_tiles(s) / tlk_wino_subs(s));
}
TLK_INLINE int64_t tlk_wino_chunks(const tlk_conv2d_winograd *s)
{
    return tlk_div_up(tlk_wino_subs(&s->conv), s->tiles / TLK_PIX);
}
TLK_INLINE int64_t tlk_wino_groups(const tlk_conv2d_winograd *s)
{
    return tlk_div_up(tlk_blocks(s->conv.oc), s->group);
}

static inline int64_t tlk_conv2d_winograd_items(const tlk_conv2d_winograd *s, int64_t n)
{
    return n * tlk_wino_chunks(s) * tlk_wino_groups(s);
}

/* Groups outside: a group's part of U, which is large, serves all pictures in turn. */
TLK_INLINE tlk_wino_chunk tlk_wino_locate(const tlk_conv2d_winograd *s, int64_t item, int64_t n)
{
    const int64_t chunks = tlk_wino_chunks(s);
    const int64_t subs = tlk_wino_subs(&s->conv);
    const int64_t chunk = item % chunks;
    const int blocks = tlk_blocks(s->conv.oc);
    tlk_wino_chunk c = { .picture = item / chunks % n };
    c.sub0 = chunk * subs / chunks;
    c.sub1 = (chunk + 1) * subs / chunks;
    c.first = tlk_wino_first(&s->conv, c.sub0);
    c.block0 = (int)(item / chunks / n) * s->group;
    c.block1 = c.block0 + s->group < blocks ? c.block0 + s->group : blocks;
    return c;
}

/* --- the three one-dimensional transforms --------------------------- */

#define TLK_R2 1.41421356237309504880f  /* sqrt 2 */
#define TLK_R12 0.70710678118654752440f /* 1 / sqrt 2 */

/* t = Bt d */
TLK_INLINE void tlk_wino_bt(const tlk_v d[TLK_WINO_IN], tlk_v t[TLK_WINO_IN])
{
    const tlk_v r2 = tlk_splat(TLK_R2), r12 = tlk_splat(TLK_R12), c = tlk_splat(-2.5f);
    const tlk_v even1 = tlk_fma(tlk_splat(-2.0f), d[2], d[4]);
    const tlk_v odd1 = tlk_fma(r12, d[3], -(r2 * d[1]));
    const tlk_v even2 = tlk_fma(tlk_splat(-0.5f), d[2], d[4]);
    const tlk_v odd2 = tlk_fma(r2, d[3], -(r12 * d[1]));
    t[0] = tlk_fma(c, d[2], d[0] + d[4]);
    t[1] = even1 + odd1;
    t[2] = even1 - odd1;
    t[3] = even2 + odd2;
    t[4] = even2 - odd2;
    t[5] = tlk_fma(c, d[3], d[1] + d[5]);
}

/* y = At m */
TLK_INLINE void tlk_wino_at(const tlk_v m[TLK_WINO_IN], tlk_v y[TLK_WINO_OUT])
{
    const tlk_v sum1 = m[1] + m[2], sum2 = m[3] + m[4];
    const tlk_v dif1 = m[1] - m[2], dif2 = m[3] - m[4];
    y[0] = m[0] + (sum1 + sum2);
    y[1] = tlk_fma(tlk_splat(TLK_R2), dif2, tlk_splat(TLK_R12) * dif1);
    y[2] = tlk_fma(tlk_splat(2.0f), sum2, tlk_splat(0.5f) * sum1);
    y[3] = tlk_fma(tlk_splat(2.0f * TLK_R2), dif2,
                   tlk_fma(tlk_splat(0.5f * TLK_R12), dif1, m[5]));
}

/* u = G g */
TLK_INLINE void tlk_wino_g(const tlk_v g[3], tlk_v u[TLK_WINO_IN])
{
    const tlk_v even1 = tlk_fma(tlk_splat(0.5f), g[2], g[0]);
    const tlk_v even2 = tlk_fma(tlk_splat(2.0f), g[2], g[0]);
    const tlk_v odd1 = tlk_splat(TLK_R12) * g[1], odd2 = tlk_splat(TLK_R2) * g[1];
    u[0] = g[0];
    u[1] = (even1 + odd1) * tlk_splat(-2.0f / 3.0f);
    u[2] = (even1 - odd1) * tlk_splat(-2.0f / 3.0f);
    u[3] = (even2 + odd2) * tlk_splat(1.0f / 6.0f);
    u[4] = (even2 - odd2) * tlk_splat(1.0f / 6.0f);
    u[5] = g[2];
}

/* --- V --------------------------------------------------------------------------------- */

/* One register's lanes of a 6x6 tile: d at its first pixel, rows `step` floats apart; results
 * `pos_step` floats apart. */
TLK_INLINE void tlk_wino_input(const float *d, int64_t step, float *v, int64_t pos_step)
{
    tlk_v half[TLK_WINO_IN][TLK_WINO_IN], col[TLK_WINO_IN], t[TLK_WINO_IN];
    TLK_UNROLL
    for (int x = 0; x < TLK_WINO_IN; ++x) {
        TLK_UNROLL
        for (int y = 0; y < TLK_WINO_IN; ++y)
            col[y] = tlk_load(d + y * step + x * TLK_BLOCK);
        tlk_wino_bt(col, t);
        TLK_UNROLL
        for (int y = 0; y < TLK_WINO_IN; ++y)
            half[y][x] = t[y];
    }
    TLK_UNROLL
    for (int y = 0; y < TLK_WINO_IN; ++y) {
        tlk_wino_bt(half[y], t);
        TLK_UNROLL
        for (int x = 0; x < TLK_WINO_IN; ++x)
            tlk_store(v + (y * TLK_WINO_IN + x) * pos_step, t[x]);
    }
}

/* A tile that reaches past the stored plane: what there is, and zeros. */
static inline void tlk_wino_copy(const float *plane, tlk_plane p, int row, int col, float *out)
{
    const int cols = tlk_plane_cols(p);
    const int rows = tlk_plane_rows(p) - row < TLK_WINO_IN ? tlk_plane_rows(p) - row : TLK_WINO_IN;
    const int width = cols - col < TLK_WINO_IN ? cols - col : TLK_WINO_IN;
    memset(out, 0, sizeof(float) * TLK_WINO_POS * TLK_BLOCK);
    for (int y = 0; y < rows; ++y)
        memcpy(out + y * TLK_WINO_IN * TLK_BLOCK,
               plane + ((int64_t)(row + y) * cols + col) * TLK_BLOCK,
               sizeof(float) * TLK_BLOCK * (size_t)width);
}

/* V of one tile, all input channels. */
static inline void tlk_wino_tile_in(const tlk_conv2d *s, int tile, const float *x, float *v,
                                    int64_t pos_step)
{
    float edge[TLK_WINO_POS * TLK_BLOCK];
    const int cols = tlk_plane_cols(s->x);
    const int row = tile / tlk_wino_cols(s) * TLK_WINO_OUT + s->x.top - s->pad_top;
    const int col = tile % tlk_wino_cols(s) * TLK_WINO_OUT + s->x.left - s->pad_left;
    const bool whole = row + TLK_WINO_IN <= tlk_plane_rows(s->x) && col + TLK_WINO_IN <= cols;
    for (int b = 0; b < tlk_blocks(s->ic); ++b) {
        const float *plane = x + b * tlk_plane_elems(s->x) * TLK_BLOCK;
        const float *d = edge;
        if (whole)
            d = plane + ((int64_t)row * cols + col) * TLK_BLOCK;
        else
            tlk_wino_copy(plane, s->x, row, col, edge);
        for (int j = 0; j < TLK_BLOCK; j += TLK_W)
            tlk_wino_input(d + j, (whole ? cols : TLK_WINO_IN) * TLK_BLOCK,
                           v + b * TLK_BLOCK + j, pos_step);
    }
}

/* --- M ------------------------------------------------------------------------------------ */

/* One position, one block (pair), m tiles: v at the first, `ic` floats from tile to tile. */
TLK_INLINE void tlk_wino_product(int ic, int nb, int m, const float *v, const float *u, float *out,
                                 int64_t block_step)
{
    tlk_v acc[TLK_PIX][TLK_TV];
    tlk_tile t;
    TLK_UNROLL
    for (int p = 0; p < m; ++p) {
        t.x[p] = v + (int64_t)p * ic;
        TLK_UNROLL
        for (int j = 0; j < nb * TLK_VPB; ++j)
            acc[p][j] = tlk_zero();
    }
    tlk_mac(acc, &t, 0, 1, u, (int64_t)ic * TLK_BLOCK, nb, m, ic);
    TLK_UNROLL
    for (int p = 0; p < m; ++p) {
        TLK_UNROLL
        for (int j = 0; j < nb * TLK_VPB; ++j)
            tlk_store(out + (j / TLK_VPB) * block_step + p * TLK_BLOCK + (j % TLK_VPB) * TLK_W,
                      acc[p][j]);
    }
}

/* All positions of a chunk; `stride` tiles from position to position in V and M. */
TLK_INLINE void tlk_wino_products(const tlk_conv2d *s, const tlk_wino_chunk *c, int stride,
                                  const float *v, const float *u, float *out)
{
    const int ic = tlk_blocks(s->ic) * TLK_BLOCK;
    const int nb = tlk_conv2d_pair(s);
    const int blocks = tlk_blocks(s->oc);
    const int most = (int)tlk_div_up(tlk_wino_tiles(s), tlk_wino_subs(s));
    const int least = (int)(tlk_wino_tiles(s) / tlk_wino_subs(s));
    const int64_t block_step = (int64_t)TLK_WINO_POS * stride * TLK_BLOCK;
    for (int pos = 0; pos < TLK_WINO_POS; ++pos)
        for (int o = c->block0; o < c->block1; o += nb) {
            const float *uo = u + ((int64_t)pos * blocks + o) * ic * TLK_BLOCK;
            for (int64_t sub = c->sub0; sub < c->sub1; ++sub) {
                const int first = tlk_wino_first(s, sub);
                const int64_t at = (int64_t)pos * stride + first - c->first;
                const float *vt = v + at * ic;
                float *to = out + (o - c->block0) * block_step + at * TLK_BLOCK;
                if (most == least || tlk_wino_first(s, sub + 1) - first == most)
                    tlk_wino_product(ic, nb, most, vt, uo, to, block_step);
                else
                    tlk_wino_product(ic, nb, least, vt, uo, to, block_step);
            }
        }
}

/* --- y -------------------------------------------------------------------------------------- */

/* One register's lanes of a tile: m at position 0, pos_step floats apart, into 4x4 numbers. */
TLK_INLINE void tlk_wino_output(const float *m, int64_t pos_step,
                                tlk_v y[TLK_WINO_OUT][TLK_WINO_OUT])
{
    tlk_v half[TLK_WINO_OUT][TLK_WINO_IN], col[TLK_WINO_IN], t[TLK_WINO_OUT];
    TLK_UNROLL
    for (int x = 0; x < TLK_WINO_IN; ++x) {
        TLK_UNROLL
        for (int i = 0; i < TLK_WINO_IN; ++i)
            col[i] = tlk_load(m + (i * TLK_WINO_IN + x) * pos_step);
        tlk_wino_at(col, t);
        TLK_UNROLL
        for (int i = 0; i < TLK_WINO_OUT; ++i)
            half[i][x] = t[i];
    }
    TLK_UNROLL
    for (int i = 0; i < TLK_WINO_OUT; ++i)
        tlk_wino_at(half[i], y[i]);
}

/* Outputs of one tile and block that lie in the plane; b, r and y at lane 0 of the block. */
static inline void tlk_wino_tile_out(const tlk_conv2d *s, int tile, const float *m,
                                     int64_t pos_step, const float *b, const float *r, float *y)
{
    const int oy = tile / tlk_wino_cols(s) * TLK_WINO_OUT;
    const int ox = tile % tlk_wino_cols(s) * TLK_WINO_OUT;
    const int rows = s->y.h - oy < TLK_WINO_OUT ? s->y.h - oy : TLK_WINO_OUT;
    const int cols = s->y.w - ox < TLK_WINO_OUT ? s->y.w - ox : TLK_WINO_OUT;
    for (int j = 0; j < TLK_BLOCK; j += TLK_W) {
        tlk_v out[TLK_WINO_OUT][TLK_WINO_OUT];
        tlk_wino_output(m + j, pos_step, out);
        const tlk_v bias = b ? tlk_load(b + j) : tlk_zero();
        for (int i = 0; i < rows; ++i) {
            const int64_t ry = (oy + i + s->r.top) * (int64_t)tlk_plane_cols(s->r) + s->r.left;
            const int64_t yy = (oy + i + s->y.top) * (int64_t)tlk_plane_cols(s->y) + s->y.left;
            for (int k = 0; k < cols; ++k) {
                tlk_v a = out[i][k] + bias;
                if (r)
                    a = a + tlk_load(r + (ry + ox + k) * TLK_BLOCK + j);
                tlk_store(y + (yy + ox + k) * TLK_BLOCK + j,
                          tlk_activate(a, s->act, s->lo, s->hi));
            }
        }
    }
}

TLK_INLINE void tlk_conv2d_winograd_item(const tlk_conv2d_winograd *w, int64_t item, int64_t n,
                                         void *scratch, const float *x, const float *u,
                                         const float *b, const float *r, float *y)
{
    const tlk_conv2d *s = &w->conv;
    const tlk_wino_chunk c = tlk_wino_locate(w, item, n);
    const int ic = tlk_blocks(s->ic) * TLK_BLOCK;
    const int tiles = tlk_wino_first(s, c.sub1) - c.first;
    const int64_t yb = tlk_plane_elems(s->y) * TLK_BLOCK;
    const int64_t rb = tlk_plane_elems(s->r) * TLK_BLOCK;
    const int64_t first = c.picture * tlk_blocks(s->oc); /* block of y */
    float *v = scratch;
    float *m = v + (int64_t)TLK_WINO_POS * w->tiles * ic;
    x += c.picture * tlk_blocks(s->ic) * tlk_plane_elems(s->x) * TLK_BLOCK;
    for (int t = 0; t < tiles; ++t)
        tlk_wino_tile_in(s, c.first + t, x, v + (int64_t)t * ic, (int64_t)w->tiles * ic);
    tlk_wino_products(s, &c, w->tiles, v, u, m);
    for (int o = c.block0; o < c.block1; ++o) {
        float *yo = y + (first + o) * yb;
        const float *mo = m + (int64_t)(o - c.block0) * TLK_WINO_POS * w->tiles * TLK_BLOCK;
        if (c.sub0 == 0)
            tlk_halo_zero(yo, s->y, TLK_BLOCK);
        for (int t = 0; t < tiles; ++t)
            tlk_wino_tile_out(s, c.first + t, mo + t * TLK_BLOCK, w->tiles * TLK_BLOCK,
                              b ? b + o * TLK_BLOCK : NULL, r ? r + (first + o) * rb : NULL, yo);
    }
}

/* --- U ----------------------------------------------------------------------------- */

typedef struct tlk_winograd_weights {
    int oc, ic;
} tlk_winograd_weights;

static inline int64_t tlk_winograd_weights_items(const tlk_winograd_weights *s, int64_t n)
{
    (void)n;
    return (int64_t)tlk_blocks(s->oc) * tlk_blocks(s->ic);
}

/* Taps of 16 filters of one input channel, lane by lane: g[9][16]. */
static inline void tlk_wino_filters(const tlk_winograd_weights *s, int o, int c, const float *w,
                                    float *g)
{
    memset(g, 0, sizeof(float) * 9 * TLK_BLOCK);
    for (int l = 0; l < TLK_BLOCK && o + l < s->oc && c < s->ic; ++l)
        for (int k = 0; k < 9; ++k)
            g[k * TLK_BLOCK + l] = w[((int64_t)(o + l) * s->ic + c) * 9 + k];
}

/* u = G g Gt for a register's filters; positions pos_step floats apart. */
TLK_INLINE void tlk_wino_filter(const float *g, float *u, int64_t pos_step)
{
    tlk_v half[TLK_WINO_IN][3], col[3], t[TLK_WINO_IN];
    TLK_UNROLL
    for (int x = 0; x < 3; ++x) {
        TLK_UNROLL
        for (int y = 0; y < 3; ++y)
            col[y] = tlk_load(g + (y * 3 + x) * TLK_BLOCK);
        tlk_wino_g(col, t);
        TLK_UNROLL
        for (int y = 0; y < TLK_WINO_IN; ++y)
            half[y][x] = t[y];
    }
    TLK_UNROLL
    for (int y = 0; y < TLK_WINO_IN; ++y) {
        tlk_wino_g(half[y], t);
        TLK_UNROLL
        for (int x = 0; x < TLK_WINO_IN; ++x)
            tlk_store(u + (y * TLK_WINO_IN + x) * pos_step, t[x]);
    }
}

/* One block of output by one of input channels; w plain [oc][ic][3][3]. */
TLK_INLINE void tlk_winograd_weights_item(const tlk_winograd_weights *s, int64_t item, int64_t n,
                                          float *u, const float *w)
{
    (void)n;
    const int in_blocks = tlk_blocks(s->ic);
    const int ob = (int)(item / in_blocks);
    const int first = (int)(item % in_blocks) * TLK_BLOCK;
    const int64_t ic = (int64_t)in_blocks * TLK_BLOCK;
    float g[9 * TLK_BLOCK];
    for (int c = first; c < first + TLK_BLOCK; ++c) {
        tlk_wino_filters(s, ob * TLK_BLOCK, c, w, g);
        for (int j = 0; j < TLK_BLOCK; j += TLK_W)
            tlk_wino_filter(g + j, u + (ob * ic + c) * TLK_BLOCK + j,
                            tlk_blocks(s->oc) * ic * TLK_BLOCK);
    }
}

#endif
