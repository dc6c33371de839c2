/* tlk_relayout_weight.h: a weight between its plain layout and one packed by 16 outputs.
 *
 * For weights that are trained: their optimizer keeps them plain, and the kernels that read them
 * in a step want them packed.  All packed layouts are one form: blocks of 16 outputs, then groups
 * of inputs, then taps, then the inputs of a group, each with its 16 outputs.  OI16 has groups of
 * 16, the others one group of all inputs.
 */
#ifndef TLK_RELAYOUT_WEIGHT_H
#define TLK_RELAYOUT_WEIGHT_H

#include "tlk.h"

typedef struct tlk_relayout_weight {
    int oc, ic, taps; /* of the plain [oc][ic][taps] */
    int group;        /* inputs to a group */
    bool pack;        /* plain to packed; else back */
} tlk_relayout_weight;

/* An item is a block of 16 outputs. */
static inline int64_t tlk_relayout_weight_items(const tlk_relayout_weight *s, int64_t n)
{
    (void)n;
    return tlk_blocks(s->oc);
}

/* One group of inputs of a block; lanes and inputs past the ends are zero. */
static inline void tlk_pack_group(const tlk_relayout_weight *s, int block, int first,
                                  const float *plain, float *packed)
{
    for (int tap = 0; tap < s->taps; ++tap)
        for (int i = first; i < first + s->group; ++i)
            for (int lane = 0; lane < TLK_BLOCK; ++lane) {
                int oc = block * TLK_BLOCK + lane;
                bool inside = oc < s->oc && i < s->ic;
                *packed++ = inside ? plain[((int64_t)oc * s->ic + i) * s->taps + tap] : 0.0f;
            }
}

static inline void tlk_unpack_group(const tlk_relayout_weight *s, int block, int first,
                                    const float *packed, float *plain)
{
    for (int tap = 0; tap < s->taps; ++tap)
        for (int i = first; i < first + s->group; ++i, packed += TLK_BLOCK)
            for (int lane = 0; lane < TLK_BLOCK; ++lane) {
                int oc = block * TLK_BLOCK + lane;
                if (oc < s->oc && i < s->ic)
                    plain[((int64_t)oc * s->ic + i) * s->taps + tap] = packed[lane];
            }
}

static inline void tlk_relayout_weight_item(const tlk_relayout_weight *s, int64_t item, int64_t n,
                                            const float *x, float *y)
{
    (void)n;
    int groups = (s->ic + s->group - 1) / s->group;
    int64_t size = (int64_t)s->taps * s->group * TLK_BLOCK;
    for (int g = 0; g < groups; ++g) {
        int64_t at = (item * groups + g) * size;
        if (s->pack)
            tlk_pack_group(s, (int)item, g * s->group, x, y + at);
        else
            tlk_unpack_group(s, (int)item, g * s->group, x + at, y);
    }
}

#endif
