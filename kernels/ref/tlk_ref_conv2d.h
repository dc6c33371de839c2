/* tlk_ref_conv2d.h: 2-D cross-correlation with groups, dilation and any padding (ONNX Conv),
 * and its gradients.
 *
 * y[oc][oh][ow] = act(b[oc] + residual + sum over ic, kh, kw of x * w);
 * w is [oc][ic/groups][kh][kw].
 */
#ifndef TLK_REF_CONV2D_H
#define TLK_REF_CONV2D_H

#include "tlk_ref.h"

typedef struct tlk_ref_conv2d {
    int64_t batch;
    int ic, h, w;
    int oc, oh, ow;
    int kh, kw, groups;
    int stride_h, stride_w, dilation_h, dilation_w;
    int pad_top, pad_left;
    tlk_act act;
    double lo, hi;
} tlk_ref_conv2d;

/* An item is one output channel of one picture. */
static inline int64_t tlk_ref_conv2d_items(const tlk_ref_conv2d *s, int64_t n)
{
    return tlk_ref_pictures(s->batch, n) * s->oc;
}

/* Products of one window of one input channel. */
static inline double tlk_ref_conv2d_window(const tlk_ref_conv2d *s, const tlk_real *x,
                                           const tlk_real *w, int oh, int ow)
{
    double sum = 0;
    for (int kh = 0; kh < s->kh; ++kh)
        for (int kw = 0; kw < s->kw; ++kw) {
            int h = oh * s->stride_h - s->pad_top + kh * s->dilation_h;
            int col = ow * s->stride_w - s->pad_left + kw * s->dilation_w;
            if (h >= 0 && h < s->h && col >= 0 && col < s->w)
                sum += (double)x[(int64_t)h * s->w + col] * w[kh * s->kw + kw];
        }
    return sum;
}

static inline void tlk_ref_conv2d_item(const tlk_ref_conv2d *s, int64_t item, int64_t n,
                                       const tlk_real *x, const tlk_real *w, const tlk_real *b,
                                       const tlk_real *residual, tlk_real *y)
{
    (void)n;
    int64_t picture = item / s->oc;
    int oc = (int)(item % s->oc), ic_group = s->ic / s->groups;
    int first = oc / (s->oc / s->groups) * ic_group;
    int64_t in_plane = (int64_t)s->h * s->w, at = item * s->oh * s->ow;
    x += (picture * s->ic + first) * in_plane;
    w += (int64_t)oc * ic_group * s->kh * s->kw;
    for (int oh = 0; oh < s->oh; ++oh)
        for (int ow = 0; ow < s->ow; ++ow, ++at) {
            double sum = b ? (double)b[oc] : 0.0;
            for (int ic = 0; ic < ic_group; ++ic)
                sum += tlk_ref_conv2d_window(s, x + ic * in_plane, w + ic * s->kh * s->kw, oh, ow);
            if (residual)
                sum += (double)residual[at];
            y[at] = tlk_ref_activate(s->act, s->lo, s->hi, (tlk_real)sum);
        }
}

/* --- gradients ---------------------------------------------------------------- */

#define TLK_REF_CONV2D_GRAD_FIELDS                         \
    int64_t batch;                                         \
    int ic, h, w, oc, oh, ow, kh, kw, groups;              \
    int stride_h, stride_w, dilation_h, dilation_w;        \
    int pad_top, pad_left

typedef struct tlk_ref_conv2d_grad_x {
    TLK_REF_CONV2D_GRAD_FIELDS;
} tlk_ref_conv2d_grad_x;

/* An item is one input channel of one picture. */
static inline int64_t tlk_ref_conv2d_grad_x_items(const tlk_ref_conv2d_grad_x *s, int64_t n)
{
    return tlk_ref_pictures(s->batch, n) * s->ic;
}

/* The window whose tap lies at `at` of the padded axis; -1: none. */
static inline int tlk_ref_window_of(int at, int stride, int windows)
{
    return at >= 0 && at % stride == 0 && at / stride < windows ? at / stride : -1;
}

/* dx[h][w]: every tap of every filter of the group that met x[h][w].  `w` is the first filter's
 * for this input channel, `dy` the first output channel of the group. */
static inline double tlk_ref_conv2d_grad_x_at(const tlk_ref_conv2d_grad_x *s, const tlk_real *dy,
                                              const tlk_real *w, int h, int col)
{
    int64_t plane = (int64_t)s->oh * s->ow;
    int64_t filter = (int64_t)(s->ic / s->groups) * s->kh * s->kw;
    double sum = 0;
    for (int kh = 0; kh < s->kh; ++kh) {
        int oh = tlk_ref_window_of(h + s->pad_top - kh * s->dilation_h, s->stride_h, s->oh);
        for (int kw = 0; kw < s->kw && oh >= 0; ++kw) {
            int ow = tlk_ref_window_of(col + s->pad_left - kw * s->dilation_w, s->stride_w, s->ow);
            if (ow < 0)
                continue;
            const tlk_real *d = dy + (int64_t)oh * s->ow + ow, *tap = w + kh * s->kw + kw;
            for (int oc = 0; oc < s->oc / s->groups; ++oc)
                sum += (double)d[oc * plane] * tap[oc * filter];
        }
    }
    return sum;
}

static inline void tlk_ref_conv2d_grad_x_item(const tlk_ref_conv2d_grad_x *s, int64_t item,
                                              int64_t n, const tlk_real *dy, const tlk_real *w,
                                              tlk_real *dx)
{
    (void)n;
    int ic = (int)(item % s->ic), ic_group = s->ic / s->groups, oc_group = s->oc / s->groups;
    int first = ic / ic_group * oc_group; /* output channel */
    dy += (item / s->ic * s->oc + first) * s->oh * s->ow;
    w += ((int64_t)first * ic_group + ic % ic_group) * s->kh * s->kw;
    dx += item * s->h * s->w;
    for (int h = 0; h < s->h; ++h)
        for (int col = 0; col < s->w; ++col)
            *dx++ = (tlk_real)tlk_ref_conv2d_grad_x_at(s, dy, w, h, col);
}

typedef struct tlk_ref_conv2d_grad_w {
    TLK_REF_CONV2D_GRAD_FIELDS;
} tlk_ref_conv2d_grad_w;

/* An item is one filter's window over one input channel. */
static inline int64_t tlk_ref_conv2d_grad_w_items(const tlk_ref_conv2d_grad_w *s, int64_t n)
{
    (void)n;
    return (int64_t)s->oc * (s->ic / s->groups);
}

/* Windows of a part, of `windows` of the batch. */
static inline int64_t tlk_ref_conv2d_share(int64_t windows, int parts)
{
    return ((windows + 63) / 64 + parts - 1) / parts * 64;
}

/* The share of one picture in dw[kh][kw]: dy[oh][ow] times what that tap met. */
static inline double tlk_ref_conv2d_grad_w_at(const tlk_ref_conv2d_grad_w *s, const tlk_real *dy,
                                              const tlk_real *x, int kh, int kw)
{
    double sum = 0;
    for (int oh = 0; oh < s->oh; ++oh) {
        int h = oh * s->stride_h - s->pad_top + kh * s->dilation_h;
        for (int ow = 0; ow < s->ow && h >= 0 && h < s->h; ++ow) {
            int col = ow * s->stride_w - s->pad_left + kw * s->dilation_w;
            if (col >= 0 && col < s->w)
                sum += (double)dy[(int64_t)oh * s->ow + ow] * x[(int64_t)h * s->w + col];
        }
    }
    return sum;
}

/* Of all pictures, for tap `tap` of the item's window. */
static inline double tlk_ref_conv2d_grad_w_sum(const tlk_ref_conv2d_grad_w *s, int64_t item,
                                               int64_t n, int tap, const tlk_real *dy,
                                               const tlk_real *x)
{
    int ic_group = s->ic / s->groups;
    int64_t oc = item / ic_group, ic = oc / (s->oc / s->groups) * ic_group + item % ic_group;
    int64_t in_plane = (int64_t)s->h * s->w, out_plane = (int64_t)s->oh * s->ow;
    double sum = 0;
    for (int64_t p = 0; p < tlk_ref_pictures(s->batch, n); ++p)
        sum += tlk_ref_conv2d_grad_w_at(s, dy + (p * s->oc + oc) * out_plane,
                                        x + (p * s->ic + ic) * in_plane, tap / s->kw,
                                        tap % s->kw);
    return sum;
}

static inline void tlk_ref_conv2d_grad_w_item(const tlk_ref_conv2d_grad_w *s, int64_t item,
                                              int64_t n, const tlk_real *dy, const tlk_real *x,
                                              tlk_real *dw)
{
    dw += item * s->kh * s->kw;
    for (int tap = 0; tap < s->kh * s->kw; ++tap)
        dw[tap] = (tlk_real)tlk_ref_conv2d_grad_w_sum(s, item, n, tap, dy, x);
}

/* The same sums cut in parts, over shares of the batch's windows. */
typedef struct tlk_ref_conv2d_grad_w_parts {
    tlk_ref_conv2d_grad_w conv;
    int parts;
} tlk_ref_conv2d_grad_w_parts;

/* An item is a part of a filter's window over one input channel. */
static inline int64_t tlk_ref_conv2d_grad_w_parts_items(const tlk_ref_conv2d_grad_w_parts *s,
                                                        int64_t n)
{
    return s->parts * tlk_ref_conv2d_grad_w_items(&s->conv, n);
}

/* dy[window] times what tap kh, kw met there. */
static inline double tlk_ref_conv2d_grad_w_window(const tlk_ref_conv2d_grad_w *s,
                                                  const tlk_real *dy, const tlk_real *x,
                                                  int64_t window, int kh, int kw)
{
    int h = (int)(window / s->ow) * s->stride_h - s->pad_top + kh * s->dilation_h;
    int col = (int)(window % s->ow) * s->stride_w - s->pad_left + kw * s->dilation_w;
    bool inside = h >= 0 && h < s->h && col >= 0 && col < s->w;
    return inside ? (double)dy[window] * x[(int64_t)h * s->w + col] : 0;
}

static inline void tlk_ref_conv2d_grad_w_parts_item(const tlk_ref_conv2d_grad_w_parts *parts,
                                                    int64_t item, int64_t n, const tlk_real *dy,
                                                    const tlk_real *x, tlk_real *dw)
{
    const tlk_ref_conv2d_grad_w *s = &parts->conv;
    int64_t filters = tlk_ref_conv2d_grad_w_items(s, n), ic_group = s->ic / s->groups;
    int64_t oc = item % filters / ic_group;
    int64_t ic = oc / (s->oc / s->groups) * ic_group + item % filters % ic_group;
    int64_t plane = (int64_t)s->oh * s->ow, windows = tlk_ref_pictures(s->batch, n) * plane;
    int64_t share = tlk_ref_conv2d_share(windows, parts->parts), first = item / filters * share;
    int64_t end = first + share < windows ? first + share : windows;
    dw += item * s->kh * s->kw;
    for (int tap = 0; tap < s->kh * s->kw; ++tap) {
        double sum = 0;
        for (int64_t i = first; i < end; ++i)
            sum += tlk_ref_conv2d_grad_w_window(s, dy + (i / plane * s->oc + oc) * plane,
                                                x + (i / plane * s->ic + ic) * s->h * s->w,
                                                i % plane, tap / s->kw, tap % s->kw);
        *dw++ = (tlk_real)sum;
    }
}

#endif
