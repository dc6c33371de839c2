/* tlk_ref_reduce.h: mean over any axes of a picture, its gradient, and the sum that undoes a
 * broadcast. */
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

/* Its gradient: each element gets its mean's divided by the number of elements in it. */
typedef struct tlk_ref_reduce_mean_grad {
    int64_t batch;
    int rank;                                            /* of a picture of dx */
    int64_t dim[TLK_REF_RANK], stride_dy[TLK_REF_RANK];  /* 0 along the axes averaged over */
    int64_t picture_dy, count;                           /* elements of dy a picture, of a mean */
} tlk_ref_reduce_mean_grad;

/* An item is a picture. */
static inline int64_t tlk_ref_reduce_mean_grad_items(const tlk_ref_reduce_mean_grad *s, int64_t n)
{
    return tlk_ref_pictures(s->batch, n);
}

static inline void tlk_ref_reduce_mean_grad_item(const tlk_ref_reduce_mean_grad *s, int64_t item,
                                                 int64_t n, const tlk_real *dy, tlk_real *dx)
{
    (void)n;
    int64_t elems = tlk_ref_product(s->rank, s->dim);
    dy += item * s->picture_dy;
    for (int64_t i = 0; i < elems; ++i)
        dx[item * elems + i] = (tlk_real)(
            (double)dy[tlk_ref_offset(i, s->rank, s->dim, s->stride_dy)] / (double)s->count);
}

/* Sum over the axes that a broadcast repeated, the batch perhaps among them. */
typedef struct tlk_ref_sum_to {
    int64_t batch;
    bool sum_pictures;
    int kept, reduced; /* axes of each kind of a picture of x */
    int64_t kept_dim[TLK_REF_RANK], kept_stride[TLK_REF_RANK];
    int64_t reduced_dim[TLK_REF_RANK], reduced_stride[TLK_REF_RANK];
} tlk_ref_sum_to;

/* An item is one element of the result. */
static inline int64_t tlk_ref_sum_to_items(const tlk_ref_sum_to *s, int64_t n)
{
    return tlk_ref_product(s->kept, s->kept_dim) *
           (s->sum_pictures ? 1 : tlk_ref_pictures(s->batch, n));
}

static inline void tlk_ref_sum_to_item(const tlk_ref_sum_to *s, int64_t item, int64_t n,
                                       const tlk_real *x, tlk_real *y)
{
    int64_t results = tlk_ref_product(s->kept, s->kept_dim);
    int64_t count = tlk_ref_product(s->reduced, s->reduced_dim);
    int64_t pictures = s->sum_pictures ? tlk_ref_pictures(s->batch, n) : 1;
    double sum = 0;
    x += item / results * results * count +
         tlk_ref_offset(item % results, s->kept, s->kept_dim, s->kept_stride);
    for (int64_t p = 0; p < pictures; ++p, x += results * count)
        for (int64_t k = 0; k < count; ++k)
            sum += (double)x[tlk_ref_offset(k, s->reduced, s->reduced_dim, s->reduced_stride)];
    y[item] = (tlk_real)sum;
}

#endif
