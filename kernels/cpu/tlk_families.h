/* tlk_families.h: elementwise work on blocked activations as in MobileNetV3 and EfficientNet: a
 * binary operator that may repeat a plane (squeeze and excitation), smooth and hard activations.
 *
 * An item is one plane of 16 channels of one picture.  Lanes past the last channel are written as
 * zeros, halos too.  Results may lie where an operand of the same layout lay.
 */
#ifndef TLK_FAMILIES_H
#define TLK_FAMILIES_H

#include "tlk_elementwise.h"

/* Bits set in the lanes of block plane `item` that are channels. */
TLK_INLINE void tlk_channel_mask(int c, int64_t item, int32_t mask[TLK_BLOCK])
{
    const int left = c - (int)(item % tlk_blocks(c)) * TLK_BLOCK;
    for (int l = 0; l < TLK_BLOCK; ++l)
        mask[l] = l < left ? -1 : 0;
}

typedef int32_t tlk_mask_mem __attribute__((vector_size(TLK_W * 4), aligned(4), may_alias));

/* Vector i of a row under the mask; i counts floats. */
TLK_INLINE tlk_v tlk_masked(tlk_v v, const int32_t *mask, int i)
{
    return (tlk_v)((tlk_mask)v & *(const tlk_mask_mem *)(mask + i % TLK_BLOCK));
}

/* --- a + b, a - b, a * b ----------------------------------------------------------- */

typedef enum tlk_binary_c16_op { TLK_C16_ADD, TLK_C16_SUB, TLK_C16_MUL } tlk_binary_c16_op;

/* A plane of one pixel is repeated over the other's, as in squeeze and excitation. */
typedef struct tlk_binary_c16 {
    int c;
    tlk_binary_c16_op op;
    tlk_plane a, b, y;
} tlk_binary_c16;

static inline int64_t tlk_binary_c16_items(const tlk_binary_c16 *s, int64_t n)
{
    return n * tlk_blocks(s->c);
}

TLK_INLINE tlk_v tlk_binary_c16_value(tlk_binary_c16_op op, tlk_v a, tlk_v b)
{
    return op == TLK_C16_ADD ? a + b : op == TLK_C16_SUB ? a - b : a * b;
}

TLK_INLINE void tlk_binary_c16_item(const tlk_binary_c16 *s, int64_t item, int64_t n,
                                    const float *a, const float *b, float *y)
{
    (void)n;
    const bool one_a = s->a.h * s->a.w == 1, one_b = s->b.h * s->b.w == 1;
    for (int h = 0; h < s->y.h; ++h) {
        const float *ar = a + tlk_row_at(s->a, item, one_a ? 0 : h);
        const float *br = b + tlk_row_at(s->b, item, one_b ? 0 : h);
        float *yr = y + tlk_row_at(s->y, item, h);
        for (int i = 0; i < s->y.w * TLK_BLOCK; i += TLK_W)
            tlk_store(yr + i,
                      tlk_binary_c16_value(s->op, tlk_load(ar + (one_a ? i % TLK_BLOCK : i)),
                                           tlk_load(br + (one_b ? i % TLK_BLOCK : i))));
    }
    tlk_halo_zero(y + item * tlk_plane_elems(s->y) * TLK_BLOCK, s->y, TLK_BLOCK);
}

/* --- activations ---------------------------------------------------------------------- */

typedef enum tlk_unary_c16_op {
    TLK_C16_SIGMOID, TLK_C16_HARD_SIGMOID, TLK_C16_HARD_SWISH, TLK_C16_LEAKY_RELU
} tlk_unary_c16_op;

typedef struct tlk_unary_c16 {
    int c;
    tlk_unary_c16_op op;
    float alpha, beta;
    tlk_plane x, y;
} tlk_unary_c16;

static inline int64_t tlk_unary_c16_items(const tlk_unary_c16 *s, int64_t n)
{
    return n * tlk_blocks(s->c);
}

TLK_INLINE tlk_v tlk_hard_sigmoid(tlk_v x, float alpha, float beta)
{
    tlk_v y = tlk_fma(x, tlk_splat(alpha), tlk_splat(beta));
    return tlk_min(tlk_max(y, tlk_zero()), tlk_splat(1.0f));
}

TLK_INLINE tlk_v tlk_unary_c16_value(const tlk_unary_c16 *s, tlk_v x)
{
    const tlk_v one = tlk_splat(1.0f);
    switch (s->op) {
    case TLK_C16_SIGMOID:
        return one / (one + tlk_exp(tlk_zero() - x));
    case TLK_C16_HARD_SIGMOID:
        return tlk_hard_sigmoid(x, s->alpha, s->beta);
    case TLK_C16_HARD_SWISH:
        return x * tlk_hard_sigmoid(x, 1.0f / 6, 0.5f);
    case TLK_C16_LEAKY_RELU:
        return tlk_select(x < tlk_zero(), x * tlk_splat(s->alpha), x);
    }
    return x;
}

TLK_INLINE void tlk_unary_c16_item(const tlk_unary_c16 *s, int64_t item, int64_t n, const float *x,
                                   float *y)
{
    (void)n;
    int32_t mask[TLK_BLOCK];
    tlk_channel_mask(s->c, item, mask);
    for (int h = 0; h < s->y.h; ++h) {
        const float *xr = x + tlk_row_at(s->x, item, h);
        float *yr = y + tlk_row_at(s->y, item, h);
        for (int i = 0; i < s->y.w * TLK_BLOCK; i += TLK_W)
            tlk_store(yr + i, tlk_masked(tlk_unary_c16_value(s, tlk_load(xr + i)), mask, i));
    }
    tlk_halo_zero(y + item * tlk_plane_elems(s->y) * TLK_BLOCK, s->y, TLK_BLOCK);
}

#endif
