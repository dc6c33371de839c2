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

/* --- gradients ---------------------------------------------------------------- */

/* Where in its window, row by row, each maximum stands; the first of equals, the last NaN. */
typedef struct tlk_ref_max_pool2d_positions {
    TLK_REF_POOL2D_FIELDS;
    bool wide; /* windows of more than 256 elements: int32_t instead of uint8_t */
} tlk_ref_max_pool2d_positions;

static inline int64_t tlk_ref_max_pool2d_positions_items(const tlk_ref_max_pool2d_positions *s,
                                                         int64_t n)
{
    return tlk_ref_pictures(s->batch, n) * s->c;
}

static inline int tlk_ref_max_position(const tlk_ref_max_pool2d_positions *s, const tlk_real *x,
                                       int top, int left)
{
    tlk_real largest = 0;
    int found = -1;
    for (int k = 0; k < s->kh * s->kw; ++k) {
        int h = top + k / s->kw * s->dilation_h, w = left + k % s->kw * s->dilation_w;
        if (h < 0 || h >= s->h || w < 0 || w >= s->w)
            continue;
        tlk_real v = x[(int64_t)h * s->w + w];
        if (found < 0 || v > largest || isnan(v)) {
            largest = v;
            found = k;
        }
    }
    return found;
}

static inline void tlk_ref_max_pool2d_positions_item(const tlk_ref_max_pool2d_positions *s,
                                                     int64_t item, int64_t n, const tlk_real *x,
                                                     void *positions)
{
    (void)n;
    x += item * s->h * s->w;
    for (int64_t i = 0, at = item * s->oh * s->ow; i < (int64_t)s->oh * s->ow; ++i, ++at) {
        int position = tlk_ref_max_position(s, x, (int)(i / s->ow) * s->stride_h - s->pad_top,
                                            (int)(i % s->ow) * s->stride_w - s->pad_left);
        if (s->wide)
            ((int32_t *)positions)[at] = position;
        else
            ((uint8_t *)positions)[at] = (uint8_t)position;
    }
}

typedef struct tlk_ref_max_pool2d_grad {
    TLK_REF_POOL2D_FIELDS;
    bool wide;
} tlk_ref_max_pool2d_grad;

static inline int64_t tlk_ref_max_pool2d_grad_items(const tlk_ref_max_pool2d_grad *s, int64_t n)
{
    return tlk_ref_pictures(s->batch, n) * s->c;
}

static inline void tlk_ref_max_pool2d_grad_item(const tlk_ref_max_pool2d_grad *s, int64_t item,
                                                int64_t n, const tlk_real *dy,
                                                const void *positions, tlk_real *dx)
{
    (void)n;
    dx += item * s->h * s->w;
    for (int64_t i = 0; i < (int64_t)s->h * s->w; ++i)
        dx[i] = 0;
    for (int64_t i = 0, at = item * s->oh * s->ow; i < (int64_t)s->oh * s->ow; ++i, ++at) {
        int k = s->wide ? ((const int32_t *)positions)[at] : ((const uint8_t *)positions)[at];
        int h = (int)(i / s->ow) * s->stride_h - s->pad_top + k / s->kw * s->dilation_h;
        int w = (int)(i % s->ow) * s->stride_w - s->pad_left + k % s->kw * s->dilation_w;
        dx[(int64_t)h * s->w + w] += dy[at];
    }
}

typedef struct tlk_ref_avg_pool2d_grad {
    TLK_REF_POOL2D_FIELDS;
    bool count_include_pad;
} tlk_ref_avg_pool2d_grad;

static inline int64_t tlk_ref_avg_pool2d_grad_items(const tlk_ref_avg_pool2d_grad *s, int64_t n)
{
    return tlk_ref_pictures(s->batch, n) * s->c;
}

/* Taps of a window that count, as in the forward kernel. */
static inline int tlk_ref_avg_taps(const tlk_ref_avg_pool2d_grad *s, int top, int left)
{
    int taps = 0;
    for (int k = 0; k < s->kh * s->kw; ++k) {
        int h = top + k / s->kw * s->dilation_h, w = left + k % s->kw * s->dilation_w;
        bool inside = h >= 0 && h < s->h && w >= 0 && w < s->w;
        bool padded = h < s->h + s->pad_bottom && w < s->w + s->pad_right;
        taps += inside || (s->count_include_pad && padded);
    }
    return taps;
}

/* Give every element under the window its share. */
static inline void tlk_ref_avg_spread(const tlk_ref_avg_pool2d_grad *s, int top, int left,
                                      double dy, tlk_real *dx)
{
    tlk_real share = (tlk_real)(dy / tlk_ref_avg_taps(s, top, left));
    for (int k = 0; k < s->kh * s->kw; ++k) {
        int h = top + k / s->kw * s->dilation_h, w = left + k % s->kw * s->dilation_w;
        if (h >= 0 && h < s->h && w >= 0 && w < s->w)
            dx[(int64_t)h * s->w + w] += share;
    }
}

static inline void tlk_ref_avg_pool2d_grad_item(const tlk_ref_avg_pool2d_grad *s, int64_t item,
                                                int64_t n, const tlk_real *dy, tlk_real *dx)
{
    (void)n;
    dx += item * s->h * s->w;
    dy += item * s->oh * s->ow;
    for (int64_t i = 0; i < (int64_t)s->h * s->w; ++i)
        dx[i] = 0;
    for (int oh = 0; oh < s->oh; ++oh)
        for (int ow = 0; ow < s->ow; ++ow)
            tlk_ref_avg_spread(s, oh * s->stride_h - s->pad_top, ow * s->stride_w - s->pad_left,
                               (double)*dy++, dx);
}

#endif
