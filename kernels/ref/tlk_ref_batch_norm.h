/* tlk_ref_batch_norm.h: normalise each channel by running statistics or the batch's; gradients. */
#ifndef TLK_REF_BATCH_NORM_H
#define TLK_REF_BATCH_NORM_H

#include "tlk_ref.h"

#define TLK_REF_BATCH_NORM_FIELDS \
    int64_t batch;                \
    int c;                        \
    int64_t plane /* elements of a channel of a picture */

typedef struct tlk_ref_batch_norm {
    TLK_REF_BATCH_NORM_FIELDS;
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

/* dx of the same: running statistics do not depend on x. */
typedef struct tlk_ref_batch_norm_grad {
    TLK_REF_BATCH_NORM_FIELDS;
    double epsilon;
} tlk_ref_batch_norm_grad;

static inline int64_t tlk_ref_batch_norm_grad_items(const tlk_ref_batch_norm_grad *s, int64_t n)
{
    return tlk_ref_pictures(s->batch, n) * s->c;
}

static inline void tlk_ref_batch_norm_grad_item(const tlk_ref_batch_norm_grad *s, int64_t item,
                                                int64_t n, const tlk_real *dy,
                                                const tlk_real *scale, const tlk_real *variance,
                                                tlk_real *dx)
{
    (void)n;
    int c = (int)(item % s->c);
    double factor = (double)scale[c] / sqrt((double)variance[c] + s->epsilon);
    for (int64_t i = item * s->plane; i < (item + 1) * s->plane; ++i)
        dx[i] = (tlk_real)((double)dy[i] * factor);
}

/* --- by the statistics of the batch ------------------------------------------- */

typedef struct tlk_ref_batch_norm_train {
    TLK_REF_BATCH_NORM_FIELDS;
    double epsilon;
} tlk_ref_batch_norm_train;

/* An item is a channel. */
static inline int64_t tlk_ref_batch_norm_train_items(const tlk_ref_batch_norm_train *s, int64_t n)
{
    (void)n;
    return s->c;
}

/* Mean over the batch of (x - shift)^power of the channel that begins at x. */
static inline double tlk_ref_moment(const tlk_ref_batch_norm_train *s, int64_t pictures,
                                    const tlk_real *x, double shift, bool squared)
{
    double sum = 0;
    for (int64_t p = 0; p < pictures; ++p, x += s->c * s->plane)
        for (int64_t i = 0; i < s->plane; ++i) {
            double d = (double)x[i] - shift;
            sum += squared ? d * d : d;
        }
    return sum / ((double)pictures * (double)s->plane);
}

static inline void tlk_ref_batch_norm_train_item(const tlk_ref_batch_norm_train *s, int64_t item,
                                                 int64_t n, const tlk_real *x,
                                                 const tlk_real *scale, const tlk_real *bias,
                                                 tlk_real *y, tlk_real *mean, tlk_real *variance)
{
    int64_t pictures = tlk_ref_pictures(s->batch, n), step = s->c * s->plane;
    x += item * s->plane;
    y += item * s->plane;
    double centre = tlk_ref_moment(s, pictures, x, 0, false);
    double spread = tlk_ref_moment(s, pictures, x, centre, true);
    double factor = (double)scale[item] / sqrt(spread + s->epsilon);
    for (int64_t p = 0; p < pictures; ++p, x += step, y += step)
        for (int64_t i = 0; i < s->plane; ++i)
            y[i] = (tlk_real)(((double)x[i] - centre) * factor + (double)bias[item]);
    mean[item] = (tlk_real)centre;
    variance[item] = (tlk_real)spread;
}

/* dscale, dbias: sums over the batch of dy * xhat and dy. */
typedef struct tlk_ref_batch_norm_train_grad_scale {
    TLK_REF_BATCH_NORM_FIELDS;
    double epsilon;
} tlk_ref_batch_norm_train_grad_scale;

/* An item is a channel. */
static inline int64_t
tlk_ref_batch_norm_train_grad_scale_items(const tlk_ref_batch_norm_train_grad_scale *s, int64_t n)
{
    (void)n;
    return s->c;
}

static inline void tlk_ref_batch_norm_train_grad_scale_item(
    const tlk_ref_batch_norm_train_grad_scale *s, int64_t item, int64_t n, const tlk_real *dy,
    const tlk_real *x, const tlk_real *mean, const tlk_real *variance, tlk_real *dscale,
    tlk_real *dbias)
{
    double sum = 0, dot = 0;
    for (int64_t p = 0; p < tlk_ref_pictures(s->batch, n); ++p) {
        int64_t at = (p * s->c + item) * s->plane;
        for (int64_t i = at; i < at + s->plane; ++i) {
            sum += (double)dy[i];
            dot += (double)dy[i] * ((double)x[i] - (double)mean[item]);
        }
    }
    dscale[item] = (tlk_real)(dot / sqrt((double)variance[item] + s->epsilon));
    dbias[item] = (tlk_real)sum;
}

/* dx from dy and those sums. */
typedef struct tlk_ref_batch_norm_train_grad_x {
    TLK_REF_BATCH_NORM_FIELDS;
    double epsilon;
} tlk_ref_batch_norm_train_grad_x;

/* An item is one channel of one picture. */
static inline int64_t
tlk_ref_batch_norm_train_grad_x_items(const tlk_ref_batch_norm_train_grad_x *s, int64_t n)
{
    return tlk_ref_pictures(s->batch, n) * s->c;
}

static inline void tlk_ref_batch_norm_train_grad_x_item(
    const tlk_ref_batch_norm_train_grad_x *s, int64_t item, int64_t n, const tlk_real *dy,
    const tlk_real *x, const tlk_real *scale, const tlk_real *mean, const tlk_real *variance,
    const tlk_real *dscale, const tlk_real *dbias, tlk_real *dx)
{
    int c = (int)(item % s->c);
    double count = (double)tlk_ref_pictures(s->batch, n) * (double)s->plane;
    double inverse = 1 / sqrt((double)variance[c] + s->epsilon);
    for (int64_t i = item * s->plane; i < (item + 1) * s->plane; ++i) {
        double xhat = ((double)x[i] - (double)mean[c]) * inverse;
        double share = ((double)dbias[c] + xhat * (double)dscale[c]) / count;
        dx[i] = (tlk_real)((double)scale[c] * inverse * ((double)dy[i] - share));
    }
}

/* running = (1 - momentum) running + momentum batch; the variance that moves it is unbiased. */
typedef struct tlk_ref_batch_norm_stats {
    TLK_REF_BATCH_NORM_FIELDS;
    double momentum;
} tlk_ref_batch_norm_stats;

/* One item: a number a channel is little. */
static inline int64_t tlk_ref_batch_norm_stats_items(const tlk_ref_batch_norm_stats *s, int64_t n)
{
    (void)s;
    (void)n;
    return 1;
}

/* x is there for the operator's shape alone. */
static inline void tlk_ref_batch_norm_stats_item(const tlk_ref_batch_norm_stats *s, int64_t item,
                                                 int64_t n, tlk_real *running_mean,
                                                 tlk_real *running_variance, const tlk_real *mean,
                                                 const tlk_real *variance, const tlk_real *x)
{
    (void)item;
    (void)x;
    double count = (double)tlk_ref_pictures(s->batch, n) * (double)s->plane;
    for (int c = 0; c < s->c; ++c) {
        double unbiased = (double)variance[c] * count / (count - 1);
        running_mean[c] = (tlk_real)((1 - s->momentum) * (double)running_mean[c] +
                                     s->momentum * (double)mean[c]);
        running_variance[c] = (tlk_real)((1 - s->momentum) * (double)running_variance[c] +
                                         s->momentum * unbiased);
    }
}

#endif
