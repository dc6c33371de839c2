/* tlk_ref_normalise.h: layer norm, and local response normalisation across channels. */
#ifndef TLK_REF_NORMALISE_H
#define TLK_REF_NORMALISE_H

#include "tlk_ref.h"

typedef struct tlk_ref_layer_norm {
    int64_t batch, outer, size; /* a picture is `outer` rows of `size` values that are normalised */
    double epsilon;
} tlk_ref_layer_norm;

/* An item is a row. */
static inline int64_t tlk_ref_layer_norm_items(const tlk_ref_layer_norm *s, int64_t n)
{
    return tlk_ref_pictures(s->batch, n) * s->outer;
}

static inline void tlk_ref_layer_norm_item(const tlk_ref_layer_norm *s, int64_t item, int64_t n,
                                           const tlk_real *x, const tlk_real *scale,
                                           const tlk_real *bias, tlk_real *y)
{
    (void)n;
    double mean = 0, variance = 0;
    x += item * s->size;
    y += item * s->size;
    for (int64_t i = 0; i < s->size; ++i)
        mean += (double)x[i];
    mean /= (double)s->size;
    for (int64_t i = 0; i < s->size; ++i)
        variance += ((double)x[i] - mean) * ((double)x[i] - mean);
    double factor = 1 / sqrt(variance / (double)s->size + s->epsilon);
    for (int64_t i = 0; i < s->size; ++i)
        y[i] = (tlk_real)(((double)x[i] - mean) * factor * (scale ? (double)scale[i] : 1) +
                          (bias ? (double)bias[i] : 0));
}

typedef struct tlk_ref_lrn {
    int64_t batch, c, plane;
    int64_t size;
    double alpha, beta, bias;
} tlk_ref_lrn;

/* An item is one channel of one picture. */
static inline int64_t tlk_ref_lrn_items(const tlk_ref_lrn *s, int64_t n)
{
    return tlk_ref_pictures(s->batch, n) * s->c;
}

static inline void tlk_ref_lrn_item(const tlk_ref_lrn *s, int64_t item, int64_t n,
                                    const tlk_real *x, tlk_real *y)
{
    (void)n;
    int64_t c = item % s->c, first = c - (s->size - 1) / 2, last = c + s->size / 2;
    const tlk_real *picture = x + (item - c) * s->plane;
    first = first < 0 ? 0 : first;
    last = last < s->c ? last : s->c - 1;
    for (int64_t i = 0; i < s->plane; ++i) {
        double sum = 0;
        for (int64_t k = first; k <= last; ++k)
            sum += (double)picture[k * s->plane + i] * (double)picture[k * s->plane + i];
        y[item * s->plane + i] =
            (tlk_real)((double)x[item * s->plane + i] /
                       pow(s->bias + s->alpha / (double)s->size * sum, s->beta));
    }
}

#endif
