/* tlk_ref_resize.h: planes of another size, and the gradient.
 *
 * A result's element is a sum over taps of either axis, rows times columns; an axis has one tap
 * (nearest), two (linear) or four (cubic: Keys 1981, eq. 4 to 6, with `cubic` for a).  The tap of
 * an element beyond the border is the border's, or has no weight where `inside`.
 */
#ifndef TLK_REF_RESIZE_H
#define TLK_REF_RESIZE_H

#include "tlk_ref.h"

typedef enum tlk_resample {
    TLK_RESAMPLE_HALF_DOWN,
    TLK_RESAMPLE_HALF_UP,
    TLK_RESAMPLE_FLOOR,
    TLK_RESAMPLE_CEIL,
    TLK_RESAMPLE_LINEAR,
    TLK_RESAMPLE_CUBIC
} tlk_resample;

/* An item is one channel of one picture.  h, w: of x; oh, ow: of y. */
#define TLK_REF_RESIZE_FIELDS                              \
    int64_t batch;                                         \
    int c, h, w, oh, ow;                                   \
    double step_h, offset_h, step_w, offset_w;             \
    tlk_resample mode;                                     \
    double cubic;                                          \
    bool inside

typedef struct tlk_ref_resize {
    TLK_REF_RESIZE_FIELDS;
} tlk_ref_resize;

typedef struct tlk_ref_resize_grad {
    TLK_REF_RESIZE_FIELDS;
} tlk_ref_resize_grad;

typedef struct tlk_ref_taps {
    int count;
    int64_t at[4];
    double weight[4];
} tlk_ref_taps;

static inline int64_t tlk_ref_within(int64_t i, int64_t extent)
{
    return i < 0 ? 0 : i >= extent ? extent - 1 : i;
}

/* In float, so that 3 / 0.6 is 5 for a step that is the nearest double to 1 / 0.6. */
static inline int64_t tlk_ref_nearest(tlk_resample mode, double position)
{
    float at = (float)position;
    switch (mode) {
    case TLK_RESAMPLE_HALF_DOWN:
        return (int64_t)ceilf(at - 0.5f);
    case TLK_RESAMPLE_HALF_UP:
        return (int64_t)floorf(at + 0.5f);
    case TLK_RESAMPLE_CEIL:
        return (int64_t)ceilf(at);
    default:
        return (int64_t)floorf(at);
    }
}

/* Weight of an element `d` away, |d| < 2. */
static inline double tlk_ref_cubic(double a, double d)
{
    d = fabs(d);
    if (d <= 1)
        return ((a + 2) * d - (a + 3)) * d * d + 1;
    return a * (((d - 5) * d + 8) * d - 4);
}

static inline tlk_ref_taps tlk_ref_resize_taps(tlk_resample mode, double cubic, bool inside,
                                               int64_t extent, double position)
{
    tlk_ref_taps t = { .count = mode == TLK_RESAMPLE_CUBIC    ? 4
                                : mode == TLK_RESAMPLE_LINEAR ? 2
                                                              : 1 };
    double before = floor(position), sum = 0;
    int64_t first = (int64_t)before - (t.count == 4);
    if (t.count == 1) {
        t.at[0] = tlk_ref_within(tlk_ref_nearest(mode, position), extent);
        t.weight[0] = 1;
        return t;
    }
    for (int k = 0; k < t.count; ++k) {
        double d = position - (double)(first + k);
        t.at[k] = tlk_ref_within(first + k, extent);
        t.weight[k] = t.count == 4 ? tlk_ref_cubic(cubic, d) : 1 - fabs(d);
        if (inside && t.at[k] != first + k)
            t.weight[k] = 0;
        sum += t.weight[k];
    }
    for (int k = 0; inside && k < t.count; ++k)
        t.weight[k] /= sum;
    return t;
}

static inline int64_t tlk_ref_resize_items(const tlk_ref_resize *s, int64_t n)
{
    return tlk_ref_pictures(s->batch, n) * s->c;
}

/* An element without weight is not read: it may be no number. */
static inline double tlk_ref_resize_sum(const tlk_ref_taps *rows, const tlk_ref_taps *cols,
                                        int64_t width, const tlk_real *x)
{
    double sum = 0;
    for (int i = 0; i < rows->count; ++i)
        for (int k = 0; k < cols->count; ++k) {
            double weight = rows->weight[i] * cols->weight[k];
            if (weight != 0)
                sum += weight * (double)x[rows->at[i] * width + cols->at[k]];
        }
    return sum;
}

static inline void tlk_ref_resize_item(const tlk_ref_resize *s, int64_t item, int64_t n,
                                       const tlk_real *x, tlk_real *y)
{
    (void)n;
    x += item * s->h * s->w;
    y += item * s->oh * s->ow;
    for (int oh = 0; oh < s->oh; ++oh) {
        tlk_ref_taps rows = tlk_ref_resize_taps(s->mode, s->cubic, s->inside, s->h,
                                                s->step_h * oh + s->offset_h);
        for (int ow = 0; ow < s->ow; ++ow) {
            tlk_ref_taps cols = tlk_ref_resize_taps(s->mode, s->cubic, s->inside, s->w,
                                                    s->step_w * ow + s->offset_w);
            *y++ = (tlk_real)tlk_ref_resize_sum(&rows, &cols, s->w, x);
        }
    }
}

/* --- gradient ----------------------------------------------------------------- */

static inline int64_t tlk_ref_resize_grad_items(const tlk_ref_resize_grad *s, int64_t n)
{
    return tlk_ref_pictures(s->batch, n) * s->c;
}

static inline void tlk_ref_resize_spread(const tlk_ref_taps *rows, const tlk_ref_taps *cols,
                                         int64_t width, double dy, tlk_real *dx)
{
    for (int i = 0; i < rows->count; ++i)
        for (int k = 0; k < cols->count; ++k)
            dx[rows->at[i] * width + cols->at[k]] +=
                (tlk_real)(rows->weight[i] * cols->weight[k] * dy);
}

static inline void tlk_ref_resize_grad_item(const tlk_ref_resize_grad *s, int64_t item, int64_t n,
                                            const tlk_real *dy, tlk_real *dx)
{
    (void)n;
    dx += item * s->h * s->w;
    dy += item * s->oh * s->ow;
    for (int64_t i = 0; i < (int64_t)s->h * s->w; ++i)
        dx[i] = 0;
    for (int oh = 0; oh < s->oh; ++oh) {
        tlk_ref_taps rows = tlk_ref_resize_taps(s->mode, s->cubic, s->inside, s->h,
                                                s->step_h * oh + s->offset_h);
        for (int ow = 0; ow < s->ow; ++ow) {
            tlk_ref_taps cols = tlk_ref_resize_taps(s->mode, s->cubic, s->inside, s->w,
                                                    s->step_w * ow + s->offset_w);
            tlk_ref_resize_spread(&rows, &cols, s->w, (double)*dy++, dx);
        }
    }
}

#endif
