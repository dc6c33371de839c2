/* tlk_cuda_conv2d.h: convolution and its gradients as products (implicit GEMM): the matrix of
 * patches is never stored, its elements are read where they lie.  Block z is the group.
 *
 *                 m                 n                    k
 *     forward     output channel    output pixel         input channel, tap
 *     grad x      input channel     input pixel          output channel, tap
 *     grad w      output channel    input channel, tap   output pixel
 *
 * Pixels of all pictures are one axis.  Of a gradient by w in parts, block z is part and group, and
 * a part has its share of that axis.
 *
 * Channel and tap are one axis too, in the order in which channels lie: channel first where planes
 * are NCHW, tap first where they are NHWC.  A weight lies as its x: [oc][ic][kh][kw] beside NCHW,
 * [oc][kh][kw][ic] beside NHWC.  So with channels a group in fours, four neighbours along every
 * axis but the pixels' lie together in NHWC, under padding and stride too.
 */
#ifndef TLK_CUDA_CONV2D_H
#define TLK_CUDA_CONV2D_H

#include "tlk_cuda_gemm.h"

#define TLK_CUDA_CONV2D_FIELDS                             \
    int64_t batch;                                         \
    int ic, h, w, oc, oh, ow, kh, kw, groups;              \
    int stride_h, stride_w, dilation_h, dilation_w;        \
    int pad_top, pad_left;                                 \
    bool x_nhwc, y_nhwc /* x and w, or their gradients; y and the residual, or dy */

struct tlk_cuda_conv2d {
    TLK_CUDA_CONV2D_FIELDS;
    tlk_act act;
    double lo, hi;
};

/* --- places in a plane ------------------------------------------------------------- */

/* Index `k` of an axis of channels and taps. */
TLK_DEVICE int tlk_conv_channel(bool nhwc, int channels, int taps, int k)
{
    return nhwc ? k % channels : k / taps;
}

TLK_DEVICE int tlk_conv_tap_of(bool nhwc, int channels, int taps, int k)
{
    return nhwc ? k / channels : k % taps;
}

/* The window at pixel `at` of y in a plane of x, and a tap of the windows, the two parts of a
 * place. */
template <class S>
TLK_DEVICE tlk_part tlk_conv_place(const S &s, int64_t p, int64_t channel, int h, int w)
{
    const int64_t step = tlk_pixel_step(s.x_nhwc, s.ic);
    return tlk_part{ tlk_channel_at(s.x_nhwc, s.ic, s.h * s.w, p, channel) + h * s.w * step +
                         w * step,
                     h, w };
}

template <class S>
TLK_DEVICE tlk_part tlk_conv_window(const S &s, int64_t p, int64_t channel, int at)
{
    return tlk_conv_place(s, p, channel, at / s.ow * s.stride_h - s.pad_top,
                          at % s.ow * s.stride_w - s.pad_left);
}

template <class S> TLK_DEVICE tlk_part tlk_conv_tap(const S &s, int64_t channel, int tap)
{
    return tlk_conv_place(s, 0, channel, tap / s.kw * s.dilation_h, tap % s.kw * s.dilation_w);
}

template <class S> TLK_DEVICE bool tlk_conv_inside(const S &s, tlk_part window, tlk_part tap)
{
    int h = window.h + tap.h, w = window.w + tap.w;
    return h >= 0 && h < s.h && w >= 0 && w < s.w;
}

/* x there; 0 in the padding. */
template <class S>
TLK_DEVICE float tlk_conv_x(const S &s, tlk_ptr<const float> x, tlk_part window, tlk_part tap)
{
    return tlk_conv_inside(s, window, tap) ? x[window.at + tap.at] : 0.0f;
}

/* The other way round: pixel `at` of x and the tap that met it tell the window, whose dy is looked
 * up. */
template <class S>
TLK_DEVICE tlk_part tlk_conv_pixel(const S &s, int64_t p, int64_t channel, int at)
{
    return tlk_part{ tlk_channel_at(s.y_nhwc, s.oc, s.oh * s.ow, p, channel),
                     at / s.w + s.pad_top, at % s.w + s.pad_left };
}

template <class S> TLK_DEVICE tlk_part tlk_conv_tap_back(const S &s, int64_t channel, int tap)
{
    return tlk_part{ tlk_channel_at(s.y_nhwc, s.oc, s.oh * s.ow, 0, channel),
                     -(tap / s.kw * s.dilation_h), -(tap % s.kw * s.dilation_w) };
}

/* The window that begins at `at` of the padded axis; -1: none. */
TLK_DEVICE int tlk_conv_begins(int at, int stride, int windows)
{
    return at >= 0 && at % stride == 0 && at / stride < windows ? at / stride : -1;
}

/* The window whose tap met the pixel, and where its dy lies; h or w of -1: there is none. */
template <class S> TLK_DEVICE tlk_part tlk_conv_met(const S &s, tlk_part pixel, tlk_part tap)
{
    const int64_t step = tlk_pixel_step(s.y_nhwc, s.oc);
    int oh = tlk_conv_begins(pixel.h + tap.h, s.stride_h, s.oh);
    int ow = tlk_conv_begins(pixel.w + tap.w, s.stride_w, s.ow);
    return tlk_part{ pixel.at + tap.at + oh * s.ow * step + ow * step, oh, ow };
}

template <class S>
TLK_DEVICE float tlk_conv_dy(const S &s, tlk_ptr<const float> dy, tlk_part pixel, tlk_part tap)
{
    tlk_part met = tlk_conv_met(s, pixel, tap);
    return met.h >= 0 && met.w >= 0 ? dy[met.at] : 0.0f;
}

/* Does each pixel meet itself alone?  Then neighbours along the plane stay neighbours. */
template <class S> TLK_DEVICE bool tlk_conv_is_pointwise(const S &s)
{
    return s.kh == 1 && s.kw == 1 && s.stride_h == 1 && s.stride_w == 1 && s.pad_top == 0 &&
           s.pad_left == 0 && s.h == s.oh && s.w == s.ow;
}

/* Four from `at` on if `inside`, else zeros. */
TLK_DEVICE void tlk_conv_four(tlk_ptr<const float> from, bool inside, int64_t at, float *v)
{
    if (inside)
        tlk_load4(from, at, v);
    else
        v[0] = v[1] = v[2] = v[3] = 0;
}

/* Four of x: channels in NHWC, pixels that meet themselves alone in NCHW. */
template <class S>
TLK_DEVICE void tlk_conv_x4(const S &s, tlk_ptr<const float> x, tlk_part window, tlk_part tap,
                            float *v)
{
    bool inside = tlk_conv_is_pointwise(s) || tlk_conv_inside(s, window, tap);
    tlk_conv_four(x, inside, window.at + tap.at, v);
}

template <class S> TLK_DEVICE bool tlk_conv_x_in_fours(const S &s)
{
    return s.x_nhwc ? s.ic / s.groups % 4 == 0 : tlk_conv_is_pointwise(s) && s.h * s.w % 4 == 0;
}

/* --- forward ------------------------------------------------------------------- */

/* Bias, residual and activation, and the store. */
TLK_DEVICE void tlk_conv_store(const tlk_cuda_conv2d &s, int64_t at, int oc, float sum,
                               tlk_ptr<const float> bias, tlk_ptr<const float> residual,
                               tlk_ptr<float> y)
{
    if (bias)
        sum += bias[oc];
    if (residual)
        sum += residual[at];
    y[at] = tlk_cuda_activate(s.act, s.lo, s.hi, sum);
}

struct tlk_conv_job {
    const tlk_cuda_conv2d &s;
    int64_t pictures;
    int group;
    tlk_ptr<const float> x, w, bias, residual;
    tlk_ptr<float> y;
    static constexpr int mma_rows = 64;

    TLK_METHOD bool a_by_k() const { return true; }
    TLK_METHOD bool b_by_k() const { return s.x_nhwc; }
    TLK_METHOD int rows() const { return s.oc / s.groups; }
    TLK_METHOD int columns() const { return (int)pictures * s.oh * s.ow; }
    TLK_METHOD int depth() const { return s.ic / s.groups * s.kh * s.kw; }
    TLK_METHOD tlk_part a_side(int m) const
    {
        return tlk_part{ (int64_t)(group * rows() + m) * depth(), 0, 0 };
    }
    TLK_METHOD tlk_part a_along(int k) const { return tlk_part{ k, 0, 0 }; }
    TLK_METHOD float a(tlk_part side, tlk_part along) const { return w[side.at + along.at]; }
    TLK_METHOD bool a_fours() const { return depth() % 4 == 0; }
    TLK_METHOD void a_four(tlk_part side, tlk_part along, float *v) const
    {
        tlk_load4(w, side.at + along.at, v);
    }
    TLK_METHOD tlk_part b_side(int n) const
    {
        return tlk_conv_window(s, n / (s.oh * s.ow), group * (s.ic / s.groups),
                               n % (s.oh * s.ow));
    }
    TLK_METHOD tlk_part b_along(int k) const
    {
        int channels = s.ic / s.groups, taps = s.kh * s.kw;
        return tlk_conv_tap(s, tlk_conv_channel(s.x_nhwc, channels, taps, k),
                            tlk_conv_tap_of(s.x_nhwc, channels, taps, k));
    }
    TLK_METHOD float b(tlk_part side, tlk_part along) const
    {
        return tlk_conv_x(s, x, side, along);
    }
    TLK_METHOD bool b_fours() const { return tlk_conv_x_in_fours(s); }
    TLK_METHOD void b_four(tlk_part side, tlk_part along, float *v) const
    {
        tlk_conv_x4(s, x, side, along, v);
    }
    TLK_METHOD void put(int m, int n, float sum) const
    {
        int oc = group * rows() + m, plane = s.oh * s.ow;
        int64_t at = tlk_channel_at(s.y_nhwc, s.oc, plane, n / plane, oc) +
                     n % plane * tlk_pixel_step(s.y_nhwc, s.oc);
        tlk_conv_store(s, at, oc, sum, bias, residual, y);
    }
};

TLK_DEVICE tlk_conv_job tlk_cuda_job(const tlk_cuda_conv2d &s, const tlk_cuda_frame &f,
                                     tlk_ptr<const float> x, tlk_ptr<const float> w,
                                     tlk_ptr<const float> bias, tlk_ptr<const float> residual,
                                     tlk_ptr<float> y)
{
    return tlk_conv_job{ s, tlk_cuda_pictures(s.batch, f.n), (int)blockIdx.z, x, w, bias,
                         residual, y };
}

TLK_DEVICE void tlk_cuda_conv2d_run(const tlk_cuda_conv2d &s, const tlk_cuda_frame &f,
                                    tlk_ptr<const float> x, tlk_ptr<const float> w,
                                    tlk_ptr<const float> bias, tlk_ptr<const float> residual,
                                    tlk_ptr<float> y)
{
    tlk_cuda_gemm(tlk_cuda_job(s, f, x, w, bias, residual, y));
}

/* --- gradients ------------------------------------------------------------------ */

struct tlk_cuda_conv2d_grad_x {
    TLK_CUDA_CONV2D_FIELDS;
};

struct tlk_conv_grad_x_job {
    const tlk_cuda_conv2d_grad_x &s;
    int64_t pictures;
    int group;
    tlk_ptr<const float> dy, w;
    tlk_ptr<float> dx;
    static constexpr int mma_rows = 64;

    TLK_METHOD bool a_by_k() const { return false; }
    TLK_METHOD bool b_by_k() const { return s.y_nhwc; }
    TLK_METHOD int rows() const { return s.ic / s.groups; }
    TLK_METHOD int columns() const { return (int)pictures * s.h * s.w; }
    TLK_METHOD int depth() const { return s.oc / s.groups * s.kh * s.kw; }
    TLK_METHOD tlk_part a_side(int m) const
    {
        return tlk_part{ tlk_channel_at(s.x_nhwc, rows(), s.kh * s.kw, 0, m), 0, 0 };
    }
    TLK_METHOD tlk_part a_along(int k) const
    {
        int taps = s.kh * s.kw, channels = s.oc / s.groups;
        int oc = group * channels + tlk_conv_channel(s.y_nhwc, channels, taps, k);
        return tlk_part{ tlk_channel_at(s.x_nhwc, rows(), taps, oc, 0) +
                             tlk_conv_tap_of(s.y_nhwc, channels, taps, k) *
                                 tlk_pixel_step(s.x_nhwc, rows()),
                         0, 0 };
    }
    TLK_METHOD float a(tlk_part side, tlk_part along) const { return w[side.at + along.at]; }
    TLK_METHOD bool a_fours() const
    {
        return (s.x_nhwc || s.kh * s.kw == 1) && rows() % 4 == 0;
    }
    TLK_METHOD void a_four(tlk_part side, tlk_part along, float *v) const
    {
        tlk_load4(w, side.at + along.at, v);
    }
    TLK_METHOD tlk_part b_side(int n) const
    {
        return tlk_conv_pixel(s, n / (s.h * s.w), group * (s.oc / s.groups), n % (s.h * s.w));
    }
    TLK_METHOD tlk_part b_along(int k) const
    {
        int channels = s.oc / s.groups, taps = s.kh * s.kw;
        return tlk_conv_tap_back(s, tlk_conv_channel(s.y_nhwc, channels, taps, k),
                                 tlk_conv_tap_of(s.y_nhwc, channels, taps, k));
    }
    TLK_METHOD float b(tlk_part side, tlk_part along) const
    {
        return tlk_conv_dy(s, dy, side, along);
    }
    TLK_METHOD bool b_fours() const
    {
        return s.y_nhwc ? s.oc / s.groups % 4 == 0
                        : tlk_conv_is_pointwise(s) && s.h * s.w % 4 == 0;
    }
    TLK_METHOD void b_four(tlk_part side, tlk_part along, float *v) const
    {
        if (tlk_conv_is_pointwise(s)) {
            const int64_t step = tlk_pixel_step(s.y_nhwc, s.oc);
            tlk_load4(dy, side.at + along.at + side.h * s.ow * step + side.w * step, v);
            return;
        }
        tlk_part met = tlk_conv_met(s, side, along);
        tlk_conv_four(dy, met.h >= 0 && met.w >= 0, met.at, v);
    }
    TLK_METHOD void put(int m, int n, float sum) const
    {
        int plane = s.h * s.w;
        dx[tlk_channel_at(s.x_nhwc, s.ic, plane, n / plane, group * rows() + m) +
           n % plane * tlk_pixel_step(s.x_nhwc, s.ic)] = sum;
    }
};

TLK_DEVICE tlk_conv_grad_x_job tlk_cuda_job(const tlk_cuda_conv2d_grad_x &s,
                                            const tlk_cuda_frame &f, tlk_ptr<const float> dy,
                                            tlk_ptr<const float> w, tlk_ptr<float> dx)
{
    return tlk_conv_grad_x_job{ s, tlk_cuda_pictures(s.batch, f.n), (int)blockIdx.z, dy, w, dx };
}

TLK_DEVICE void tlk_cuda_conv2d_grad_x_run(const tlk_cuda_conv2d_grad_x &s,
                                           const tlk_cuda_frame &f, tlk_ptr<const float> dy,
                                           tlk_ptr<const float> w, tlk_ptr<float> dx)
{
    tlk_cuda_gemm(tlk_cuda_job(s, f, dy, w, dx));
}

struct tlk_cuda_conv2d_grad_w {
    TLK_CUDA_CONV2D_FIELDS;
};

struct tlk_cuda_conv2d_grad_w_parts {
    tlk_cuda_conv2d_grad_w conv;
    int parts;
};

struct tlk_conv_grad_w_job {
    const tlk_cuda_conv2d_grad_w &s;
    int first, end; /* of the output pixels */
    int group;
    int64_t to; /* where the part begins */
    tlk_ptr<const float> dy, x;
    tlk_ptr<float> dw;
    static constexpr int mma_rows = 64;

    TLK_METHOD bool a_by_k() const { return !s.y_nhwc; }
    TLK_METHOD bool b_by_k() const { return !s.x_nhwc; }
    TLK_METHOD int rows() const { return s.oc / s.groups; }
    TLK_METHOD int columns() const { return s.ic / s.groups * s.kh * s.kw; }
    TLK_METHOD int depth() const { return end - first; }
    TLK_METHOD tlk_part a_side(int m) const
    {
        return tlk_part{ tlk_channel_at(s.y_nhwc, s.oc, s.oh * s.ow, 0, group * rows() + m), 0, 0 };
    }
    TLK_METHOD tlk_part a_along(int k) const
    {
        int plane = s.oh * s.ow, p = (first + k) / plane, at = (first + k) % plane;
        return tlk_part{ tlk_channel_at(s.y_nhwc, s.oc, plane, p, 0) +
                             at * tlk_pixel_step(s.y_nhwc, s.oc),
                         0, 0 };
    }
    TLK_METHOD float a(tlk_part side, tlk_part along) const { return dy[side.at + along.at]; }
    TLK_METHOD bool a_fours() const
    {
        return (s.y_nhwc ? rows() : s.oh * s.ow) % 4 == 0;
    }
    TLK_METHOD void a_four(tlk_part side, tlk_part along, float *v) const
    {
        tlk_load4(dy, side.at + along.at, v);
    }
    TLK_METHOD tlk_part b_side(int n) const
    {
        int channels = s.ic / s.groups, taps = s.kh * s.kw;
        return tlk_conv_tap(s,
                            group * channels + tlk_conv_channel(s.x_nhwc, channels, taps, n),
                            tlk_conv_tap_of(s.x_nhwc, channels, taps, n));
    }
    TLK_METHOD tlk_part b_along(int k) const
    {
        int plane = s.oh * s.ow;
        return tlk_conv_window(s, (first + k) / plane, 0, (first + k) % plane);
    }
    TLK_METHOD float b(tlk_part side, tlk_part along) const
    {
        return tlk_conv_x(s, x, along, side);
    }
    TLK_METHOD bool b_fours() const { return tlk_conv_x_in_fours(s); }
    TLK_METHOD void b_four(tlk_part side, tlk_part along, float *v) const
    {
        tlk_conv_x4(s, x, along, side, v);
    }
    TLK_METHOD void put(int m, int n, float sum) const
    {
        dw[to + (int64_t)(group * rows() + m) * columns() + n] = sum;
    }
};

TLK_DEVICE tlk_conv_grad_w_job tlk_cuda_job(const tlk_cuda_conv2d_grad_w &s,
                                            const tlk_cuda_frame &f, tlk_ptr<const float> dy,
                                            tlk_ptr<const float> x, tlk_ptr<float> dw)
{
    int pixels = (int)tlk_cuda_pictures(s.batch, f.n) * s.oh * s.ow;
    return tlk_conv_grad_w_job{ s, 0, pixels, (int)blockIdx.z, 0, dy, x, dw };
}

TLK_DEVICE void tlk_cuda_conv2d_grad_w_run(const tlk_cuda_conv2d_grad_w &s,
                                           const tlk_cuda_frame &f, tlk_ptr<const float> dy,
                                           tlk_ptr<const float> x, tlk_ptr<float> dw)
{
    tlk_cuda_gemm(tlk_cuda_job(s, f, dy, x, dw));
}

/* The share is the reference's; a multiple of 64, so that fours stay whole and aligned. */
TLK_DEVICE tlk_conv_grad_w_job tlk_cuda_job(const tlk_cuda_conv2d_grad_w_parts &s,
                                            const tlk_cuda_frame &f, tlk_ptr<const float> dy,
                                            tlk_ptr<const float> x, tlk_ptr<float> dw)
{
    const tlk_cuda_conv2d_grad_w &c = s.conv;
    int pixels = (int)tlk_cuda_pictures(c.batch, f.n) * c.oh * c.ow;
    int part = (int)blockIdx.z / c.groups, group = (int)blockIdx.z % c.groups;
    int share = ((pixels + 63) / 64 + s.parts - 1) / s.parts * 64;
    int first = part * share < pixels ? part * share : pixels;
    int end = pixels - first < share ? pixels : first + share;
    int64_t elems = (int64_t)c.oc * (c.ic / c.groups) * c.kh * c.kw;
    return tlk_conv_grad_w_job{ c, first, end, group, part * elems, dy, x, dw };
}

TLK_DEVICE void tlk_cuda_conv2d_grad_w_parts_run(const tlk_cuda_conv2d_grad_w_parts &s,
                                                 const tlk_cuda_frame &f, tlk_ptr<const float> dy,
                                                 tlk_ptr<const float> x, tlk_ptr<float> dw)
{
    tlk_cuda_gemm(tlk_cuda_job(s, f, dy, x, dw));
}

#endif
