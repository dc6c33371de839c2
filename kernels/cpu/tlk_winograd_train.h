/* tlk_winograd_train.h: Winograd's convolution where the weight is trained.
 *
 *     tlk_winograd_filter    U = G w Gt, made again in every step; turned, it is the weight of the
 *                            convolution that gives the gradient by x
 *     tlk_winograd_grad_u    dU = sum over tiles of (A dY At) times (Bt x B), place by place
 *     tlk_winograd_grad_w    dw = Gt dU G
 *
 * Weights and their gradients OI16, activations C16; U is [36][oc/16][ic][16], as
 * tlk_conv2d_winograd.h reads it.  dU is [parts][36][oc/16][ic][16]: each part is the sum over its
 * share of the tiles, so that a layer of few channels has items enough.
 *
 * Invariant: within a part a chain runs over a chunk of tiles and starts from zero; chunks are
 * added in order, then parts in order.
 */
#ifndef TLK_WINOGRAD_TRAIN_H
#define TLK_WINOGRAD_TRAIN_H

#include "tlk_conv2d_winograd.h"

enum { TLK_WINO_TAPS = 9, TLK_WINO_SQUARE = TLK_BLOCK * TLK_BLOCK };

/* --- U ----------------------------------------------------------------------------- */

typedef struct tlk_winograd_filter {
    int oc, ic; /* of w: multiples of 16 */
    bool flip;  /* taps turned round, channels exchanged: [36][ic/16][oc][16] */
} tlk_winograd_filter;

static inline int64_t tlk_winograd_filter_items(const tlk_winograd_filter *s, int64_t n)
{
    (void)n;
    return (int64_t)tlk_blocks(s->oc) * tlk_blocks(s->ic);
}

/* One block of w with outputs in the place of inputs and the taps in reverse. */
TLK_INLINE void tlk_wino_turn(const float *w, float *out)
{
    for (int k = 0; k < TLK_WINO_TAPS; ++k) {
        const float *from = w + (TLK_WINO_TAPS - 1 - k) * TLK_WINO_SQUARE;
        for (int o = 0; o < TLK_BLOCK; ++o)
            for (int i = 0; i < TLK_BLOCK; ++i)
                out[k * TLK_WINO_SQUARE + o * TLK_BLOCK + i] = from[i * TLK_BLOCK + o];
    }
}

TLK_INLINE void tlk_winograd_filter_item(const tlk_winograd_filter *s, int64_t item, int64_t n,
                                         const float *w, float *u)
{
    (void)n;
    float turned[TLK_WINO_TAPS * TLK_WINO_SQUARE];
    const int in_blocks = tlk_blocks(s->ic);
    const int ob = (int)(item / in_blocks), ib = (int)(item % in_blocks);
    const int lanes = s->flip ? ib : ob, rows = s->flip ? ob : ib; /* blocks of u */
    const int64_t length = s->flip ? s->oc : s->ic;
    w += item * TLK_WINO_TAPS * TLK_WINO_SQUARE;
    if (s->flip) {
        tlk_wino_turn(w, turned);
        w = turned;
    }
    u += (lanes * length + rows * TLK_BLOCK) * TLK_BLOCK;
    for (int c = 0; c < TLK_WINO_SQUARE; c += TLK_W)
        tlk_wino_filter(w + c, TLK_WINO_SQUARE, u + c, (int64_t)s->oc * s->ic);
}

/* --- dU ---------------------------------------------------------------------------- */

typedef struct tlk_winograd_grad_u {
    tlk_conv2d conv; /* y: the plane of dy */
    int tiles;       /* of a chunk at most */
    int out_group, in_group; /* blocks of an item: of output, of input channels */
    int parts;
} tlk_winograd_grad_u;

/* What an item makes: a part's sums of output blocks [o0, o1) and input blocks [i0, i1). */
typedef struct tlk_wino_du {
    int64_t first, end; /* tiles of all pictures */
    int part, o0, o1, i0, i1;
} tlk_wino_du;

static inline int64_t tlk_winograd_grad_u_items(const tlk_winograd_grad_u *s, int64_t n)
{
    (void)n;
    return tlk_div_up(tlk_blocks(s->conv.oc), s->out_group) *
           tlk_div_up(tlk_blocks(s->conv.ic), s->in_group) * s->parts;
}

TLK_INLINE tlk_wino_du tlk_wino_du_at(const tlk_winograd_grad_u *s, int64_t item, int64_t n)
{
    const int ob = tlk_blocks(s->conv.oc), ib = tlk_blocks(s->conv.ic);
    const int in_groups = (int)tlk_div_up(ib, s->in_group);
    const int64_t total = n * tlk_wino_tiles(&s->conv);
    tlk_wino_du d = { .part = (int)(item % s->parts) };
    item /= s->parts;
    d.first = d.part * total / s->parts;
    d.end = (d.part + 1) * total / s->parts;
    d.o0 = (int)(item / in_groups) * s->out_group;
    d.i0 = (int)(item % in_groups) * s->in_group;
    d.o1 = d.o0 + s->out_group < ob ? d.o0 + s->out_group : ob;
    d.i1 = d.i0 + s->in_group < ib ? d.i0 + s->in_group : ib;
    return d;
}

/* m = A y */
TLK_INLINE void tlk_wino_a(const tlk_v y[TLK_WINO_OUT], tlk_v m[TLK_WINO_IN])
{
    const tlk_v even1 = tlk_fma(tlk_splat(0.5f), y[2], y[0]);
    const tlk_v even2 = tlk_fma(tlk_splat(2.0f), y[2], y[0]);
    const tlk_v odd1 = tlk_fma(tlk_splat(0.5f * TLK_R12), y[3], tlk_splat(TLK_R12) * y[1]);
    const tlk_v odd2 = tlk_fma(tlk_splat(2.0f * TLK_R2), y[3], tlk_splat(TLK_R2) * y[1]);
    m[0] = y[0];
    m[1] = even1 + odd1;
    m[2] = even1 - odd1;
    m[3] = even2 + odd2;
    m[4] = even2 - odd2;
    m[5] = y[3];
}

/* A dY At of a register's lanes: dy at the tile's first pixel, rows `step` floats apart; what lies
 * beyond rows x cols counts as zero. */
TLK_INLINE void tlk_wino_grad_input(const float *dy, int64_t step, int rows, int cols, float *m,
                                    int64_t pos_step)
{
    tlk_v half[TLK_WINO_IN][TLK_WINO_OUT], col[TLK_WINO_OUT], t[TLK_WINO_IN];
    TLK_UNROLL
    for (int x = 0; x < TLK_WINO_OUT; ++x) {
        TLK_UNROLL
        for (int y = 0; y < TLK_WINO_OUT; ++y)
            col[y] = y < rows && x < cols ? tlk_load(dy + y * step + x * TLK_BLOCK) : tlk_zero();
        tlk_wino_a(col, t);
        TLK_UNROLL
        for (int y = 0; y < TLK_WINO_IN; ++y)
            half[y][x] = t[y];
    }
    TLK_UNROLL
    for (int y = 0; y < TLK_WINO_IN; ++y) {
        tlk_wino_a(half[y], t);
        TLK_UNROLL
        for (int x = 0; x < TLK_WINO_IN; ++x)
            tlk_store(m + (y * TLK_WINO_IN + x) * pos_step, t[x]);
    }
}

/* One tile, output blocks [o0, o1); dy at block o0 of its picture; m is
 * [36][block][tiles][16]. */
static inline void tlk_wino_tile_grad(const tlk_conv2d *s, int tile, int blocks, int tiles,
                                      const float *dy, float *m)
{
    const int row = tile / tlk_wino_cols(s) * TLK_WINO_OUT;
    const int col = tile % tlk_wino_cols(s) * TLK_WINO_OUT;
    const int rows = s->y.h - row < TLK_WINO_OUT ? s->y.h - row : TLK_WINO_OUT;
    const int cols = s->y.w - col < TLK_WINO_OUT ? s->y.w - col : TLK_WINO_OUT;
    const int64_t step = tlk_plane_cols(s->y) * (int64_t)TLK_BLOCK;
    const int64_t pos_step = tlk_wino_step(tiles, blocks * TLK_BLOCK);
    dy += ((row + s->y.top) * (int64_t)tlk_plane_cols(s->y) + col + s->y.left) * TLK_BLOCK;
    for (int b = 0; b < blocks; ++b)
        for (int j = 0; j < TLK_BLOCK; j += TLK_W) {
            const float *from = dy + b * tlk_plane_elems(s->y) * TLK_BLOCK + j;
            float *to = m + (int64_t)b * tiles * TLK_BLOCK + j;
            if (rows == TLK_WINO_OUT && cols == TLK_WINO_OUT)
                tlk_wino_grad_input(from, step, TLK_WINO_OUT, TLK_WINO_OUT, to, pos_step);
            else
                tlk_wino_grad_input(from, step, rows, cols, to, pos_step);
        }
}

/* V and M of tiles [first, end) for the channels of an item. */
TLK_INLINE void tlk_wino_du_read(const tlk_winograd_grad_u *g, const tlk_wino_du *d, int64_t first,
                                 int64_t end, const float *dy, const float *x, float *v, float *m)
{
    const int64_t xb = tlk_plane_elems(g->conv.x) * TLK_BLOCK;
    const int64_t yb = tlk_plane_elems(g->conv.y) * TLK_BLOCK;
    const int in = (d->i1 - d->i0) * TLK_BLOCK, per = tlk_wino_tiles(&g->conv);
    tlk_conv2d s = g->conv;
    s.ic = in;
    for (int64_t t = first; t < end; ++t) {
        const int64_t picture = t / per;
        tlk_wino_tile_in(&s, (int)(t % per), x + (picture * tlk_blocks(g->conv.ic) + d->i0) * xb,
                         v + (t - first) * in, tlk_wino_step(g->tiles, in));
        tlk_wino_tile_grad(&s, (int)(t % per), d->o1 - d->o0, g->tiles,
                           dy + (picture * tlk_blocks(g->conv.oc) + d->o0) * yb,
                           m + (t - first) * TLK_BLOCK);
    }
}

/* Some output blocks of one position: M's lie m_block floats apart, those of dU du_block. */
typedef struct tlk_wino_du_blocks {
    int count;
    int64_t m_block, du_block;
} tlk_wino_du_blocks;

/* du[c][16] += sum over `tiles` of v[t][c] m[t][16], for p input channels; `fresh`: = */
TLK_INLINE void tlk_wino_du_tile(tlk_wino_du_blocks k, int in, int tiles, bool fresh,
                                 const float *v, const float *m, float *du, int p)
{
    tlk_v acc[TLK_PIX][TLK_TV];
    tlk_tile t;
    TLK_UNROLL
    for (int c = 0; c < p; ++c) {
        t.x[c] = v + c;
        TLK_UNROLL
        for (int j = 0; j < k.count * TLK_VPB; ++j)
            acc[c][j] = tlk_zero();
    }
    tlk_mac(acc, &t, 0, in, m, k.m_block, k.count, p, tiles);
    TLK_UNROLL
    for (int c = 0; c < p; ++c) {
        TLK_UNROLL
        for (int j = 0; j < k.count * TLK_VPB; ++j) {
            float *to = du + (j / TLK_VPB) * k.du_block + c * TLK_BLOCK + (j % TLK_VPB) * TLK_W;
            tlk_store(to, fresh ? acc[c][j] : tlk_load(to) + acc[c][j]);
        }
    }
}

/* All positions of one chunk of `tiles` for output blocks that `nb` divides; du at position 0 of
 * the item's first blocks.  Of blocks of 16 channels passes of 6 leave 4, 2 or none, passes of 3
 * leave 1, 2 or none: each a literal, so that the loops over them unroll. */
TLK_INLINE void tlk_wino_du_add(const tlk_winograd_grad_u *s, const tlk_wino_du *d, int tiles,
                                bool fresh, int nb, const float *v, const float *m, float *du)
{
    const int in = (d->i1 - d->i0) * TLK_BLOCK, blocks = d->o1 - d->o0, rest = in % TLK_PIX;
    const int64_t row = (int64_t)tlk_blocks(s->conv.ic) * TLK_WINO_SQUARE;
    const int64_t pos_step = row * tlk_blocks(s->conv.oc);
    const tlk_wino_du_blocks k = { nb, (int64_t)s->tiles * TLK_BLOCK, row };
    for (int pos = 0; pos < TLK_WINO_POS; ++pos)
        for (int o = 0; o < blocks; o += nb) {
            const float *vp = v + pos * tlk_wino_step(s->tiles, in);
            const float *mp = m + pos * tlk_wino_step(s->tiles, blocks * TLK_BLOCK) + o * k.m_block;
            float *to = du + pos * pos_step + o * row;
            for (int c = 0; c + TLK_PIX <= in; c += TLK_PIX)
                tlk_wino_du_tile(k, in, tiles, fresh, vp + c, mp, to + c * TLK_BLOCK, TLK_PIX);
            vp += in - rest;
            to += (in - rest) * TLK_BLOCK;
            if (TLK_PIX > 4 && rest == 4)
                tlk_wino_du_tile(k, in, tiles, fresh, vp, mp, to, TLK_PIX > 4 ? 4 : 1);
            else if (rest == 2)
                tlk_wino_du_tile(k, in, tiles, fresh, vp, mp, to, 2);
            else if (rest == 1)
                tlk_wino_du_tile(k, in, tiles, fresh, vp, mp, to, 1);
        }
}

/* Output blocks of one tile: they divide those of every item. */
TLK_INLINE int tlk_wino_du_tile_blocks(const tlk_winograd_grad_u *s)
{
    const int all = tlk_conv2d_tile_blocks(&s->conv), of_item = tlk_tile_blocks(s->out_group);
    return all < of_item ? all : of_item;
}

/* Scratch: V of in_group blocks, then M of out_group. */
TLK_INLINE void tlk_winograd_grad_u_item(const tlk_winograd_grad_u *s, int64_t item, int64_t n,
                                         void *scratch, const float *dy, const float *x, float *du)
{
    const tlk_wino_du d = tlk_wino_du_at(s, item, n);
    const int64_t square = (int64_t)tlk_blocks(s->conv.ic) * TLK_WINO_SQUARE;
    const int nb = tlk_wino_du_tile_blocks(s);
    float *v = scratch;
    float *m = v + TLK_WINO_POS * tlk_wino_step(s->tiles, s->in_group * TLK_BLOCK);
    du += ((int64_t)d.part * TLK_WINO_POS * tlk_blocks(s->conv.oc) + d.o0) * square;
    du += (int64_t)d.i0 * TLK_WINO_SQUARE;
    const int64_t chunks = tlk_div_up(d.end - d.first, s->tiles);
    if (chunks == 0)
        tlk_wino_du_add(s, &d, 0, true, nb, v, m, du);
    for (int64_t c = 0; c < chunks; ++c) {
        const int64_t first = d.first + c * (d.end - d.first) / chunks;
        const int64_t end = d.first + (c + 1) * (d.end - d.first) / chunks;
        tlk_wino_du_read(s, &d, first, end, dy, x, v, m);
        tlk_wino_du_add(s, &d, (int)(end - first), c == 0, nb, v, m, du);
    }
}

/* --- dw ---------------------------------------------------------------------------- */

typedef struct tlk_winograd_grad_w {
    int oc, ic, parts;
} tlk_winograd_grad_w;

static inline int64_t tlk_winograd_grad_w_items(const tlk_winograd_grad_w *s, int64_t n)
{
    (void)n;
    return (int64_t)tlk_blocks(s->oc) * tlk_blocks(s->ic);
}

/* g = Gt u */
TLK_INLINE void tlk_wino_gt(const tlk_v u[TLK_WINO_IN], tlk_v g[3])
{
    const tlk_v sum1 = (u[1] + u[2]) * tlk_splat(-2.0f / 3.0f);
    const tlk_v sum2 = (u[3] + u[4]) * tlk_splat(1.0f / 6.0f);
    const tlk_v dif1 = (u[1] - u[2]) * tlk_splat(-2.0f / 3.0f * TLK_R12);
    const tlk_v dif2 = (u[3] - u[4]) * tlk_splat(1.0f / 6.0f * TLK_R2);
    g[0] = u[0] + (sum1 + sum2);
    g[1] = dif1 + dif2;
    g[2] = tlk_fma(tlk_splat(0.5f), sum1, tlk_fma(tlk_splat(2.0f), sum2, u[5]));
}

/* Taps of a register's filters, a square apart. */
TLK_INLINE void tlk_wino_taps(const tlk_v u[TLK_WINO_POS], float *dw)
{
    tlk_v half[3][TLK_WINO_IN], col[TLK_WINO_IN], t[3];
    TLK_UNROLL
    for (int x = 0; x < TLK_WINO_IN; ++x) {
        TLK_UNROLL
        for (int y = 0; y < TLK_WINO_IN; ++y)
            col[y] = u[y * TLK_WINO_IN + x];
        tlk_wino_gt(col, t);
        TLK_UNROLL
        for (int y = 0; y < 3; ++y)
            half[y][x] = t[y];
    }
    TLK_UNROLL
    for (int y = 0; y < 3; ++y) {
        tlk_wino_gt(half[y], t);
        TLK_UNROLL
        for (int x = 0; x < 3; ++x)
            tlk_store(dw + (y * 3 + x) * TLK_WINO_SQUARE, t[x]);
    }
}

/* Taps of one block of output by one of input channels. */
TLK_INLINE void tlk_wino_dw(const tlk_winograd_grad_w *s, int64_t item, const float *du, float *dw)
{
    const int64_t pos_step = (int64_t)tlk_winograd_grad_w_items(s, 1) * TLK_WINO_SQUARE;
    du += item * TLK_WINO_SQUARE;
    for (int c = 0; c < TLK_WINO_SQUARE; c += TLK_W) {
        tlk_v u[TLK_WINO_POS];
        TLK_UNROLL
        for (int pos = 0; pos < TLK_WINO_POS; ++pos)
            u[pos] = tlk_load(du + pos * pos_step + c);
        for (int p = 1; p < s->parts; ++p) {
            const float *more = du + p * TLK_WINO_POS * pos_step + c;
            for (int pos = 0; pos < TLK_WINO_POS; ++pos)
                u[pos] += tlk_load(more + pos * pos_step);
        }
        tlk_wino_taps(u, dw + c);
    }
}

TLK_INLINE void tlk_winograd_grad_w_item(const tlk_winograd_grad_w *s, int64_t item, int64_t n,
                                         const float *du, float *dw)
{
    (void)n;
    tlk_wino_dw(s, item, du, dw + item * TLK_WINO_TAPS * TLK_WINO_SQUARE);
}

#endif
