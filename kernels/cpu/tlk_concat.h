/* tlk_concat.h: join blocked activations along channels: whole planes of 16 are copied.
 *
 * Every operand but the last is a whole number of blocks.  An item is one plane of the result.
 */
#ifndef TLK_CONCAT_H
#define TLK_CONCAT_H

#include "tlk_elementwise.h"

#include <stdarg.h>

enum { TLK_CONCAT_PARTS = 64 };

typedef struct tlk_concat_c16 {
    int parts;
    int blocks[TLK_CONCAT_PARTS]; /* planes of each operand in a picture */
    tlk_plane x[TLK_CONCAT_PARTS];
    tlk_plane y;
} tlk_concat_c16;

static inline int64_t tlk_concat_c16_blocks(const tlk_concat_c16 *s)
{
    int64_t sum = 0;
    for (int k = 0; k < s->parts; ++k)
        sum += s->blocks[k];
    return sum;
}

static inline int64_t tlk_concat_c16_items(const tlk_concat_c16 *s, int64_t n)
{
    return n * tlk_concat_c16_blocks(s);
}

/* After n: s->parts operands, then the result, each a pointer to floats. */
static inline void tlk_concat_c16_item(const tlk_concat_c16 *s, int64_t item, int64_t n, ...)
{
    const int64_t picture = item / tlk_concat_c16_blocks(s);
    int64_t plane = item % tlk_concat_c16_blocks(s);
    const float *x = NULL;
    float *y = NULL;
    int from = 0;
    va_list operands;
    while (plane >= s->blocks[from])
        plane -= s->blocks[from++];
    va_start(operands, n);
    for (int k = 0; k <= s->parts; ++k) {
        void *operand = va_arg(operands, void *);
        if (k == from)
            x = operand;
        y = operand;
    }
    va_end(operands);
    plane += picture * s->blocks[from];
    for (int h = 0; h < s->y.h; ++h)
        memcpy(y + tlk_row_at(s->y, item, h), x + tlk_row_at(s->x[from], plane, h),
               sizeof(float) * TLK_BLOCK * (size_t)s->y.w);
    tlk_halo_zero(y + item * tlk_plane_elems(s->y) * TLK_BLOCK, s->y, TLK_BLOCK);
}

#endif
