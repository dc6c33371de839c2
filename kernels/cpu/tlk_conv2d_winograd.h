/* tlk_conv2d_winograd.h: 3x3 convolution of stride 1 by F(4x4, 3x3): 36 multiply-adds for 144.
 *
 * Points 0, +-1/sqrt2, +-sqrt2, infinity: rounding error about twice that of the direct chain
 * (Lavin and Gray 2016).  An item is a chunk of tiles of 4x4 outputs and a group of output blocks,
 * all phases in one thread:
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
    int tiles;   /* of a chunk at most: a multiple of 6 */
    int group;   /* output blocks of an item: even, or all, as a wide register takes two at once */
    bool across; /* chunks go on from picture to picture */
} tlk_conv2d_winograd;

/* A chunk: some of the tiles from the first of `picture` on, and output blocks [block0, block1). */
typedef struct tlk_wino_chunk {
    int64_t picture;
    int64_t total;      /* tiles from that one on that chunks are cut from */
    int64_t sub0, sub1; /* sub-tiles: up to TLK_PIX tiles that share a pass of the microkernel */
    int64_t first, end; /* tiles */
    int block0, block1;
} tlk_wino_chunk;

/* Floats from position to position of V, or of one block of M: an odd number of cache lines, as an
 * even one maps the 36 that a tile writes onto few sets of the cache. */
TLK_INLINE int64_t tlk_wino_step(int tiles, int channels)
{
    return ((int64_t)tiles * channels / TLK_BLOCK | 1) * TLK_BLOCK;
}

TLK_INLINE int tlk_wino_cols(const tlk_conv2d *s) { return (int)tlk_div_up(s->y.w, TLK_WINO_OUT); }
TLK_INLINE int tlk_wino_tiles(const tlk_conv2d *s)
{
    return (int)tlk_div_up(s->y.h, TLK_WINO_OUT) * tlk_wino_cols(s);
}
/* Tiles that chunks are cut from: a picture's, or all there are. */
TLK_INLINE int64_t tlk_wino_total(const tlk_conv2d_winograd *s, int64_t n)
{
    return tlk_wino_tiles(&s->conv) * (s->across ? n : 1);
}
TLK_INLINE int64_t tlk_wino_subs(int64_t total) { return tlk_div_up(total, TLK_PIX); }
TLK_INLINE int64_t tlk_wino_first(int64_t total, int64_t sub)
{
    return sub * total / tlk_wino_subs(total);
}
TLK_INLINE int64_t tlk_wino_chunks(int64_t total, int tiles)
{
    return tlk_div_up(tlk_wino_subs(total), tiles / TLK_PIX);
}
TLK_INLINE int64_t tlk_wino_groups(const tlk_conv2d_winograd *s)
{
    return tlk_div_up(tlk_blocks(s->conv.oc), s->group);
}

static inline int64_t tlk_conv2d_winograd_items(const tlk_conv2d_winograd *s, int64_t n)
{
    return (s->across ? 1 : n) * tlk_wino_chunks(tlk_wino_total(s, n), s->tiles) *
           tlk_wino_groups(s);
}

/* Groups outside: a group's part of U, which is large, serves all pictures in turn. */
TLK_INLINE tlk_wino_chunk tlk_wino_locate(const tlk_conv2d_winograd *s, int64_t item, int64_t n)
{
    const int64_t total = tlk_wino_total(s, n), subs = tlk_wino_subs(total);
    const int64_t chunks = tlk_wino_chunks(total, s->tiles);
    const int64_t chunk = item % chunks, pictures = s->across ? 1 : n;
    const int blocks = tlk_blocks(s->conv.oc);
    tlk_wino_chunk c = { .picture = item / chunks % pictures, .total = total };
    c.sub0 = chunk * subs / chunks;
    c.sub1 = (chunk + 1) * subs / chunks;
    c.first = tlk_wino_first(total, c.sub0);
    c.end = tlk_wino_first(total, c.sub1);
    c.block0 = (int)(item / chunks / pictures) * s->group;
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

/* U of one position and some output blocks; what is fetched beside it, in how many rows a term. */
typedef struct tlk_wino_factors {
    int ic, blocks;
    const float *u, *ahead;
    int rows;
} tlk_wino_factors;

/* One position, some output blocks, m tiles: v at the first, `ic` floats from tile to tile. */
TLK_INLINE void tlk_wino_product(const tlk_wino_factors *f, int m, const float *v, float *out,
                                 int64_t block_step)
{
    const int ic = f->ic, nb = f->blocks;
    tlk_v acc[TLK_PIX][TLK_TV];
    tlk_tile t;
    TLK_UNROLL
    for (int p = 0; p < m; ++p) {
        t.x[p] = v + (int64_t)p * ic;
        TLK_UNROLL
        for (int j = 0; j < nb * TLK_VPB; ++j)
            acc[p][j] = tlk_zero();
    }
    t.ahead = f->ahead;
    tlk_mac_ahead(acc, &t, 0, f->u, (int64_t)ic * TLK_BLOCK, nb, m, ic, f->rows);
    TLK_UNROLL
    for (int p = 0; p < m; ++p) {
        TLK_UNROLL
        for (int j = 0; j < nb * TLK_VPB; ++j)
            tlk_store(out + (j / TLK_VPB) * block_step + p * TLK_BLOCK + (j % TLK_VPB) * TLK_W,
                      acc[p][j]);
    }
}

/* m tiles, for m known when compiled.  Sub-tiles of a picture have two sizes, as a rule the two largest
 * or the second and third; whatever else there is goes tile by tile.  The sizes are literals: clang
 * unrolls loops before it has worked out what they are for this convolution. */
TLK_INLINE void tlk_wino_product_of(const tlk_conv2d_winograd *w, const tlk_wino_factors *f, int m,
                                    const float *v, float *out, int64_t block_step)
{
    enum { MOST = TLK_PIX, LESS = MOST - 1, LEAST = MOST - 2 };
    const int64_t total = tlk_wino_tiles(&w->conv), least = total / tlk_wino_subs(total);
    if (m == MOST)
        tlk_wino_product(f, MOST, v, out, block_step);
    else if (m == LESS)
        tlk_wino_product(f, LESS, v, out, block_step);
    else if (!w->across && least == LEAST)
        tlk_wino_product(f, LEAST, v, out, block_step);
    else if (w->across || least < LEAST)
        for (int p = 0; p < m; ++p)
            tlk_wino_product(f, 1, v + (int64_t)p * f->ic, out + p * TLK_BLOCK, block_step);
}

/* Output blocks of one product: they divide those of an item. */
TLK_INLINE int tlk_wino_tile_blocks(const tlk_conv2d_winograd *w)
{
    const int all = tlk_conv2d_tile_blocks(&w->conv), of_item = tlk_tile_blocks(w->group);
    return all < of_item ? all : of_item;
}

/* All positions of a chunk.  U comes from afar: the next blocks' is fetched beside these. */
TLK_INLINE void tlk_wino_products(const tlk_conv2d_winograd *w, const tlk_wino_chunk *c,
                                  const float *v, const float *u, float *out)
{
    const tlk_conv2d *s = &w->conv;
    const int ic = tlk_blocks(s->ic) * TLK_BLOCK;
    const int nb = tlk_wino_tile_blocks(w), blocks = tlk_blocks(s->oc);
    const int64_t v_step = tlk_wino_step(w->tiles, ic), m_step = tlk_wino_step(w->tiles, TLK_BLOCK);
    const int rows = (int)tlk_div_up(nb, w->tiles / TLK_PIX);
    for (int pos = 0; pos < TLK_WINO_POS; ++pos)
        for (int o = c->block0; o < c->block1; o += nb) {
            const int64_t next_o = o + nb < c->block1 ? o + nb : c->block0 + blocks;
            const float *at_pos = u + (int64_t)pos * blocks * ic * TLK_BLOCK;
            tlk_wino_factors f = { ic, nb, at_pos + (int64_t)o * ic * TLK_BLOCK,
                                   at_pos + next_o * ic * TLK_BLOCK, rows };
            int64_t first = c->first;
            for (int64_t sub = c->sub0; sub < c->sub1; ++sub) {
                const int64_t next = tlk_wino_first(c->total, sub + 1), at = first - c->first;
                tlk_wino_product_of(w, &f, (int)(next - first), v + pos * v_step + at * ic,
                                    out + ((o - c->block0) * TLK_WINO_POS + pos) * m_step +
                                        at * TLK_BLOCK,
                                    TLK_WINO_POS * m_step);
                if ((sub - c->sub0 + 1) * rows < nb)
                    f.ahead += (int64_t)rows * ic * TLK_BLOCK;
                first = next;
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

/* Where a chunk's tile lies: its picture, and which it is in it. */
TLK_INLINE int64_t tlk_wino_picture(const tlk_conv2d *s, const tlk_wino_chunk *c, int64_t tile)
{
    return c->picture + tile / tlk_wino_tiles(s);
}

/* V of a chunk. */
TLK_INLINE void tlk_wino_read(const tlk_conv2d *s, const tlk_wino_chunk *c, int tiles,
                              const float *x, float *v)
{
    const int64_t ic = tlk_blocks(s->ic) * TLK_BLOCK;
    for (int64_t t = c->first; t < c->end; ++t)
        tlk_wino_tile_in(s, (int)(t % tlk_wino_tiles(s)),
                         x + tlk_wino_picture(s, c, t) * ic * tlk_plane_elems(s->x),
                         v + (t - c->first) * ic, tlk_wino_step(tiles, (int)ic));
}

/* One output block of a chunk; y and r at that block of the first picture. */
TLK_INLINE void tlk_wino_write(const tlk_conv2d *s, const tlk_wino_chunk *c, int tiles,
                               const float *m, const float *b, const float *r, float *y)
{
    const int64_t oc = tlk_blocks(s->oc) * TLK_BLOCK;
    for (int64_t t = c->first; t < c->end; ++t) {
        const int tile = (int)(t % tlk_wino_tiles(s));
        const int64_t picture = tlk_wino_picture(s, c, t);
        float *yp = y + picture * oc * tlk_plane_elems(s->y);
        if (tile == 0)
            tlk_halo_zero(yp, s->y, TLK_BLOCK);
        tlk_wino_tile_out(s, tile, m + (t - c->first) * TLK_BLOCK,
                          tlk_wino_step(tiles, TLK_BLOCK), b,
                          r ? r + picture * oc * tlk_plane_elems(s->r) : NULL, yp);
    }
}

TLK_INLINE void tlk_conv2d_winograd_item(const tlk_conv2d_winograd *w, int64_t item, int64_t n,
                                         void *scratch, const float *x, const float *u,
                                         const float *b, const float *r, float *y)
{
    const tlk_conv2d *s = &w->conv;
    const tlk_wino_chunk c = tlk_wino_locate(w, item, n);
    const int64_t yb = tlk_plane_elems(s->y) * TLK_BLOCK;
    const int64_t rb = tlk_plane_elems(s->r) * TLK_BLOCK;
    float *v = scratch;
    const int64_t m_step = TLK_WINO_POS * tlk_wino_step(w->tiles, TLK_BLOCK);
    float *m = v + TLK_WINO_POS * tlk_wino_step(w->tiles, tlk_blocks(s->ic) * TLK_BLOCK);
    tlk_wino_read(s, &c, w->tiles, x, v);
    tlk_wino_products(w, &c, v, u, m);
    for (int o = c.block0; o < c.block1; ++o)
        tlk_wino_write(s, &c, w->tiles, m + (o - c.block0) * m_step,
                       b ? b + o * TLK_BLOCK : NULL, r ? r + o * rb : NULL, y + o * yb);
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

/* u = G g Gt for a register's filters; taps tap_step floats apart, positions pos_step. */
TLK_INLINE void tlk_wino_filter(const float *g, int64_t tap_step, float *u, int64_t pos_step)
{
    tlk_v half[TLK_WINO_IN][3], col[3], t[TLK_WINO_IN];
    TLK_UNROLL
    for (int x = 0; x < 3; ++x) {
        TLK_UNROLL
        for (int y = 0; y < 3; ++y)
            col[y] = tlk_load(g + (y * 3 + x) * tap_step);
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
            tlk_wino_filter(g + j, TLK_BLOCK, u + (ob * ic + c) * TLK_BLOCK + j,
                            tlk_blocks(s->oc) * ic * TLK_BLOCK);
    }
}

#endif
