/* tlk_ref_dropout.h: keep where u >= p, times 1/(1-p).
 *
 * u depends on seed, epoch, dropout, position of the sample in the epoch and element, so the
 * backward pass draws the same mask again instead of keeping it: one kernel serves both.
 */
#ifndef TLK_REF_DROPOUT_H
#define TLK_REF_DROPOUT_H

#include "tlk_philox.h"
#include "tlk_ref.h"

typedef struct tlk_ref_dropout {
    int64_t batch, elems; /* elements of a picture */
    double p;
    uint32_t index;       /* of the dropout in the graph */
} tlk_ref_dropout;

/* An item is a picture. */
static inline int64_t tlk_ref_dropout_items(const tlk_ref_dropout *s, int64_t n)
{
    return tlk_ref_pictures(s->batch, n);
}

static inline void tlk_ref_dropout_item(const tlk_ref_dropout *s, int64_t item, int64_t n,
                                        const tlk_step *step, const tlk_real *x, tlk_real *y)
{
    (void)n;
    tlk_stream stream = { step->seed, (uint32_t)step->epoch, s->index, TLK_RANDOM_DROPOUT };
    uint64_t first = (uint64_t)(step->position + item) * (uint64_t)s->elems;
    tlk_real factor = (tlk_real)(1.0 / (1.0 - s->p));
    uint32_t word[4];
    for (int64_t i = 0; i < s->elems; ++i) {
        uint64_t e = first + (uint64_t)i;
        if (i == 0 || e % 4 == 0)
            tlk_random_quad(stream, e / 4, word);
        int64_t at = item * s->elems + i;
        y[at] = tlk_word_uniform(word[e % 4]) >= s->p ? x[at] * factor : 0;
    }
}

#endif
