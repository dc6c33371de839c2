/* tlk_elementwise.h: addition, activation and padding of blocked activations.
 *
 * An item is one plane of 16 channels of one picture.  Results may lie where an operand of the
 * same layout lay: each element is read before it is written.
 */
#ifndef TLK_ELEMENTWISE_H
#define TLK_ELEMENTWISE_H

#include "tlk_simd.h"

typedef struct tlk_add_c16 {
    int c;
    tlk_plane a, b, y;
} tlk_add_c16;

typedef struct tlk_act_c16 {
    int c;
    tlk_plane x, y;
    tlk_act act;
    float lo, hi;
} tlk_act_c16;

typedef struct tlk_pad_c16 {
    int c;
    int top, left; /* rows and columns of `value` before x; those after follow from the planes */
    float value;
    tlk_plane x, y;
} tlk_pad_c16;

/* Where row h of block plane `item` begins, in floats. */
TLK_INLINE int64_t tlk_row_at(tlk_plane p, int64_t item, int h)
{
    return (item * tlk_plane_elems(p) + (p.top + h) * (int64_t)tlk_plane_cols(p) + p.left)
           * TLK_BLOCK;
}

static inline int64_t tlk_add_c16_items(const tlk_add_c16 *s, int64_t n)
{
    return n * tlk_blocks(s->c);
}

TLK_INLINE void tlk_add_c16_item(const tlk_add_c16 *s, int64_t item, int64_t n, const float *a,
                                 const float *b, float *y)
{
    (void)n;
    for (int h = 0; h < s->y.h; ++h) {
        const float *ar = a + tlk_row_at(s->a, item, h);
        const float *br = b + tlk_row_at(s->b, item, h);
        float *yr = y + tlk_row_at(s->y, item, h);
        for (int i = 0; i < s->y.w * TLK_BLOCK; i += TLK_W)
            tlk_store(yr + i, tlk_load(ar + i) + tlk_load(br + i));
    }
    tlk_halo_zero(y + item * tlk_plane_elems(s->y) * TLK_BLOCK, s->y, TLK_BLOCK);
}

static inline int64_t tlk_act_c16_items(const tlk_act_c16 *s, int64_t n)
{
    return n * tlk_blocks(s->c);
}

TLK_INLINE void tlk_act_c16_item(const tlk_act_c16 *s, int64_t item, int64_t n, const float *x,
                                 float *y)
{
    (void)n;
    for (int h = 0; h < s->y.h; ++h) {
        const float *xr = x + tlk_row_at(s->x, item, h);
        float *yr = y + tlk_row_at(s->y, item, h);
        for (int i = 0; i < s->y.w * TLK_BLOCK; i += TLK_W)
            tlk_store(yr + i, tlk_activate(tlk_load(xr + i), s->act, s->lo, s->hi));
    }
    tlk_halo_zero(y + item * tlk_plane_elems(s->y) * TLK_BLOCK, s->y, TLK_BLOCK);
}

static inline int64_t tlk_pad_c16_items(const tlk_pad_c16 *s, int64_t n)
{
    return n * tlk_blocks(s->c);
}

/* `count` pixels of `fill`. */
TLK_INLINE void tlk_pad_c16_fill(float *y, int64_t count, const float *fill)
{
    for (int64_t p = 0; p < count; ++p)
        memcpy(y + p * TLK_BLOCK, fill, sizeof(float) * TLK_BLOCK);
}

TLK_INLINE void tlk_pad_c16_item(const tlk_pad_c16 *s, int64_t item, int64_t n, const float *x,
                                 float *y)
{
    (void)n;
    const int left = s->c - (int)(item % tlk_blocks(s->c)) * TLK_BLOCK;
    float fill[TLK_BLOCK]; /* lanes past the last channel stay zero */
    for (int l = 0; l < TLK_BLOCK; ++l)
        fill[l] = l < left ? s->value : 0.0f;
    for (int h = 0; h < s->y.h; ++h) {
        float *yr = y + tlk_row_at(s->y, item, h);
        if (h < s->top || h >= s->top + s->x.h) {
            tlk_pad_c16_fill(yr, s->y.w, fill);
            continue;
        }
        tlk_pad_c16_fill(yr, s->left, fill);
        memcpy(yr + s->left * TLK_BLOCK, x + tlk_row_at(s->x, item, h - s->top),
               sizeof(float) * TLK_BLOCK * (size_t)s->x.w);
        tlk_pad_c16_fill(yr + (s->left + s->x.w) * TLK_BLOCK, s->y.w - s->left - s->x.w, fill);
    }
    tlk_halo_zero(y + item * tlk_plane_elems(s->y) * TLK_BLOCK, s->y, TLK_BLOCK);
}

#endif
