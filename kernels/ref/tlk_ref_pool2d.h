/* tlk_ref_pool2d.h: maximum and mean of windows.
 *
 * The padding of max_pool2d is minus infinity, and a NaN wins.  avg_pool2d divides by the taps
 * inside the picture, or with count_include_pad inside picture and padding: taps of a
 * ceil-mode window that lie beyond the padding never count, as in PyTorch.
 */
#ifndef TLK_REF_POOL2D_H
#define TLK_REF_POOL2D_H

#include "tlk_ref.h"

#define TLK_REF_POOL2D_FIELDS                                  \
    int64_t batch;                                             \
    int c, h, w, oh, ow;                                       \
    int kh, kw, stride_h, stride_w, dilation_h, dilation_w;    \
    int pad_top, pad_left, pad_bottom, pad_right

/* An item is one channel of one picture. */
typedef struct tlk_ref_max_pool2d {
    TLK_REF_POOL2D_FIELDS;
} tlk_ref_max_pool2d;

static inline int64_t tlk_ref_max_pool2d_items(const tlk_ref_max_pool2d *s, int64_t n)
{
    return tlk_ref_pictures(s->batch, n) * s->c;
}

static inline tlk_real tlk_ref_max_window(const tlk_ref_max_pool2d *s, const tlk_real *x, int top,
                                          int left)
{
    tlk_real largest = (tlk_real)-INFINITY;
    for (int kh = 0; kh < s->kh; ++kh)
        for (int kw = 0; kw < s->kw; ++kw) {
            int h = top + kh * s->dilation_h, w = left + kw * s->dilation_w;
            if (h < 0 || h >= s->h || w < 0 || w >= s->w)
                continue;
            tlk_real v = x[(int64_t)h * s->w + w];
            if (v > largest || isnan(v))
                largest = v;
        }
    return largest;
}

static inline void tlk_ref_max_pool2d_item(const tlk_ref_max_pool2d *s, int64_t item, int64_t n,
                                           const tlk_real *x, tlk_real *y)
{
    (void)n;
    x += item * s->h * s->w;
    y += item * s->oh * s->ow;
    for (int oh = 0; oh < s->oh; ++oh)
        for (int ow = 0; ow < s->ow; ++ow)
            *y++ = tlk_ref_max_window(s, x, oh * s->stride_h - s->pad_top,
                                      ow * s->stride_w - s->pad_left);
}

typedef struct tlk_ref_avg_pool2d {
    TLK_REF_POOL2D_FIELDS;
    bool count_include_pad;
} tlk_ref_avg_pool2d;

static inline int64_t tlk_ref_avg_pool2d_items(const tlk_ref_avg_pool2d *s, int64_t n)
{
    return tlk_ref_pictures(s->batch, n) * s->c;
}

static inline tlk_real tlk_ref_avg_window(const tlk_ref_avg_pool2d *s, const tlk_real *x, int top,
                                          int left)
{
    double sum = 0;
    int taps = 0;
    for (int kh = 0; kh < s->kh; ++kh)
        for (int kw = 0; kw < s->kw; ++kw) {
            int h = top + kh * s->dilation_h, w = left + kw * s->dilation_w;
            bool inside = h >= 0 && h < s->h && w >= 0 && w < s->w;
            if (inside)
                sum += (double)x[(int64_t)h * s->w + w];
            bool padded = h < s->h + s->pad_bottom && w < s->w + s->pad_right;
            taps += inside || (s->count_include_pad && padded);
        }
    return (tlk_real)(sum / taps);
}

static inline void tlk_ref_avg_pool2d_item(const tlk_ref_avg_pool2d *s, int64_t item, int64_t n,
                                           const tlk_real *x, tlk_real *y)
{
    (void)n;
    x += item * s->h * s->w;
    y += item * s->oh * s->ow;
    for (int oh = 0; oh < s->oh; ++oh)
        for (int ow = 0; ow < s->ow; ++ow)
            *y++ = tlk_ref_avg_window(s, x, oh * s->stride_h - s->pad_top,
                                      ow * s->stride_w - s->pad_left);
}

#endif
