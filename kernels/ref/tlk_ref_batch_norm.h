/* tlk_ref_batch_norm.h: normalise each channel by its running statistics. */
#ifndef TLK_REF_BATCH_NORM_H
#define TLK_REF_BATCH_NORM_H

#include "tlk_ref.h"

typedef struct tlk_ref_batch_norm {
    int64_t batch;
    int c;
    int64_t plane; /* elements of a channel of a picture */
    double epsilon;
} tlk_ref_batch_norm;

/* An item is one channel of one picture. */
static inline int64_t tlk_ref_batch_norm_items(const tlk_ref_batch_norm *s, int64_t n)
{
    return tlk_ref_pictures(s->batch, n) * s->c;
}

static inline void tlk_ref_batch_norm_item(const tlk_ref_batch_norm *s, int64_t item, int64_t n,
                                           const tlk_real *x, const tlk_real *scale,
                                           const tlk_real *bias, const tlk_real *mean,
                                           const tlk_real *variance, tlk_real *y)
{
    (void)n;
    int c = (int)(item % s->c);
    double factor = (double)scale[c] / sqrt((double)variance[c] + s->epsilon);
    for (int64_t i = item * s->plane; i < (item + 1) * s->plane; ++i)
        y[i] = (tlk_real)(((double)x[i] - (double)mean[c]) * factor + (double)bias[c]);
}

#endif
