/* tlk_relayout.h: the same tensor in another physical layout: plain or blocked, any halo.
 *
 * An item is one block of 16 channels of one picture.  Blocked results get zeros in the lanes
 * past the last channel; every result gets its halo.
 */
#ifndef TLK_RELAYOUT_H
#define TLK_RELAYOUT_H

#include "tlk_simd.h"

typedef struct tlk_relayout {
    int c;
    bool x_blocked, y_blocked;
    tlk_plane x, y;
} tlk_relayout;

static inline int64_t tlk_relayout_items(const tlk_relayout *s, int64_t n)
{
    return n * tlk_blocks(s->c);
}

/* Distance of channel lanes and of pixels of one stored tensor. */
TLK_INLINE int64_t tlk_lane_step(bool blocked, tlk_plane p)
{
    return blocked ? 1 : tlk_plane_elems(p);
}

/* `lanes` channels of a row of pixels, where either side is blocked. */
TLK_INLINE void tlk_relayout_row(const tlk_relayout *s, int lanes, const float *x, float *y)
{
    const int64_t xl = tlk_lane_step(s->x_blocked, s->x);
    const int64_t yl = tlk_lane_step(s->y_blocked, s->y);
    const int xp = s->x_blocked ? TLK_BLOCK : 1;
    const int yp = s->y_blocked ? TLK_BLOCK : 1;
    for (int l = 0; l < lanes; ++l)
        for (int p = 0; p < s->x.w; ++p)
            y[l * yl + p * yp] = x[l * xl + p * xp];
    for (int l = lanes; s->y_blocked && l < TLK_BLOCK; ++l)
        for (int p = 0; p < s->x.w; ++p)
            y[l + p * yp] = 0.0f;
}

/* One block's plane, or `lanes` plain ones. */
TLK_INLINE void tlk_relayout_halo(const tlk_relayout *s, int lanes, float *y)
{
    if (s->y_blocked) {
        tlk_halo_zero(y, s->y, TLK_BLOCK);
        return;
    }
    for (int l = 0; l < lanes; ++l)
        tlk_halo_zero(y + l * tlk_plane_elems(s->y), s->y, 1);
}

TLK_INLINE void tlk_relayout_item(const tlk_relayout *s, int64_t item, int64_t n, const float *x,
                                  float *y)
{
    (void)n;
    const int blocks = tlk_blocks(s->c);
    const int64_t picture = item / blocks;
    const int block = (int)(item % blocks);
    const int left = s->c - block * TLK_BLOCK;
    const int lanes = left < TLK_BLOCK ? left : TLK_BLOCK;
    const int64_t xc = picture * (s->x_blocked ? blocks * TLK_BLOCK : s->c) + block * TLK_BLOCK;
    const int64_t yc = picture * (s->y_blocked ? blocks * TLK_BLOCK : s->c) + block * TLK_BLOCK;
    x += xc * tlk_plane_elems(s->x);
    y += yc * tlk_plane_elems(s->y);
    tlk_relayout_halo(s, lanes, y);
    const int xp = s->x_blocked ? TLK_BLOCK : 1;
    const int yp = s->y_blocked ? TLK_BLOCK : 1;
    for (int h = 0; h < s->x.h; ++h) {
        const int64_t xr = (int64_t)(s->x.top + h) * tlk_plane_cols(s->x) + s->x.left;
        const int64_t yr = (int64_t)(s->y.top + h) * tlk_plane_cols(s->y) + s->y.left;
        tlk_relayout_row(s, lanes, x + xr * xp, y + yr * yp);
    }
}

#endif
