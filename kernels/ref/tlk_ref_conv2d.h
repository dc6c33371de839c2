/* tlk_ref_conv2d.h: 2-D cross-correlation with groups, dilation and any padding (ONNX Conv).
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

#endif
