/* tlk_ref_reduce.h: mean over any axes of a picture. */
#ifndef TLK_REF_REDUCE_H
#define TLK_REF_REDUCE_H

#include "tlk_ref.h"

typedef struct tlk_ref_reduce_mean {
    int64_t batch;
    int kept, reduced; /* axes of each kind */
    int64_t kept_dim[TLK_REF_RANK], kept_stride[TLK_REF_RANK];
    int64_t reduced_dim[TLK_REF_RANK], reduced_stride[TLK_REF_RANK];
} tlk_ref_reduce_mean;

/* An item is a picture. */
static inline int64_t tlk_ref_reduce_mean_items(const tlk_ref_reduce_mean *s, int64_t n)
{
    return tlk_ref_pictures(s->batch, n);
}

static inline void tlk_ref_reduce_mean_item(const tlk_ref_reduce_mean *s, int64_t item, int64_t n,
                                            const tlk_real *x, tlk_real *y)
{
    (void)n;
    int64_t results = tlk_ref_product(s->kept, s->kept_dim);
    int64_t count = tlk_ref_product(s->reduced, s->reduced_dim);
    x += item * results * count;
    for (int64_t i = 0; i < results; ++i) {
        const tlk_real *first = x + tlk_ref_offset(i, s->kept, s->kept_dim, s->kept_stride);
        double sum = 0;
        for (int64_t k = 0; k < count; ++k)
            sum += (double)first[tlk_ref_offset(k, s->reduced, s->reduced_dim, s->reduced_stride)];
        y[item * results + i] = (tlk_real)(sum / (double)count);
    }
}

#endif
