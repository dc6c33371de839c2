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
 */
#ifndef TLK_CUDA_CONV2D_H
#define TLK_CUDA_CONV2D_H

#include "tlk_cuda_gemm.h"

#define TLK_CUDA_CONV2D_FIELDS                             \
    int64_t batch;                                         \
    int ic, h, w, oc, oh, ow, kh, kw, groups;              \
    int stride_h, stride_w, dilation_h, dilation_w;        \
    int pad_top, pad_left

struct tlk_cuda_conv2d {
    TLK_CUDA_CONV2D_FIELDS;
    tlk_act act;
    double lo, hi;
};

/* --- places in a plane ------------------------------------------------------------- */

/* The window at (oh, ow) of a plane of x, and a tap of the windows, the two parts of a place. */
template <class S> TLK_DEVICE tlk_part tlk_conv_window(const S &s, int64_t plane, int oh, int ow)
{
    int h = oh * s.stride_h - s.pad_top, w = ow * s.stride_w - s.pad_left;
    return tlk_part{ plane * (s.h * s.w) + h * s.w + w, h, w };
}

template <class S> TLK_DEVICE tlk_part tlk_conv_tap(const S &s, int64_t plane, int tap)
{
    int h = tap / s.kw * s.dilation_h, w = tap % s.kw * s.dilation_w;
    return tlk_part{ plane * (s.h * s.w) + h * s.w + w, h, w };
}

/* x there; 0 in the padding. */
template <class S>
TLK_DEVICE float tlk_conv_x(const S &s, tlk_ptr<const float> x, tlk_part window, tlk_part tap)
{
    int h = window.h + tap.h, w = window.w + tap.w;
    bool inside = h >= 0 && h < s.h && w >= 0 && w < s.w;
    return inside ? x[window.at + tap.at] : 0.0f;
}

/* The other way round: x(h, w) and the tap that met it tell the window, whose dy is looked up. */
template <class S> TLK_DEVICE tlk_part tlk_conv_pixel(const S &s, int64_t plane, int h, int w)
{
    return tlk_part{ plane * (s.oh * s.ow), h + s.pad_top, w + s.pad_left };
}

template <class S> TLK_DEVICE tlk_part tlk_conv_tap_back(const S &s, int64_t plane, int tap)
{
    return tlk_part{ plane * (s.oh * s.ow), -(tap / s.kw * s.dilation_h),
                     -(tap % s.kw * s.dilation_w) };
}

/* The window that begins at `at` of the padded axis; -1: none. */
TLK_DEVICE int tlk_conv_begins(int at, int stride, int windows)
{
    return at >= 0 && at % stride == 0 && at / stride < windows ? at / stride : -1;
}

/* dy of the window where the tap met the pixel; 0: there is none. */
template <class S>
TLK_DEVICE float tlk_conv_dy(const S &s, tlk_ptr<const float> dy, tlk_part pixel, tlk_part tap)
{
    int oh = tlk_conv_begins(pixel.h + tap.h, s.stride_h, s.oh);
    int ow = tlk_conv_begins(pixel.w + tap.w, s.stride_w, s.ow);
    return oh >= 0 && ow >= 0 ? dy[pixel.at + tap.at + oh * s.ow + ow] : 0.0f;
}

/* Does each pixel meet itself alone?  Then neighbours along the plane stay neighbours. */
template <class S> TLK_DEVICE bool tlk_conv_is_pointwise(const S &s)
{
    return s.kh == 1 && s.kw == 1 && s.stride_h == 1 && s.stride_w == 1 && s.pad_top == 0 &&
           s.pad_left == 0 && s.h == s.oh && s.w == s.ow;
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
    static constexpr bool a_by_k = true, b_by_k = false;
    static constexpr int mma_rows = 64;

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
        int p = n / (s.oh * s.ow), at = n % (s.oh * s.ow);
        int64_t plane = (int64_t)p * s.ic + group * (s.ic / s.groups);
        return tlk_conv_window(s, plane, at / s.ow, at % s.ow);
    }
    TLK_METHOD tlk_part b_along(int k) const
    {
        return tlk_conv_tap(s, k / (s.kh * s.kw), k % (s.kh * s.kw));
    }
    TLK_METHOD float b(tlk_part side, tlk_part along) const
    {
        return tlk_conv_x(s, x, side, along);
    }
    TLK_METHOD bool b_fours() const { return tlk_conv_is_pointwise(s) && s.h * s.w % 4 == 0; }
    TLK_METHOD void b_four(tlk_part side, tlk_part along, float *v) const
    {
        tlk_load4(x, side.at + along.at, v);
    }
    TLK_METHOD void put(int m, int n, float sum) const
    {
        int oc = group * rows() + m, p = n / (s.oh * s.ow), at = n % (s.oh * s.ow);
        tlk_conv_store(s, ((int64_t)p * s.oc + oc) * (s.oh * s.ow) + at, oc, sum, bias, residual, y);
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
    static constexpr bool a_by_k = false, b_by_k = false;
    static constexpr int mma_rows = 64;

    TLK_METHOD int rows() const { return s.ic / s.groups; }
    TLK_METHOD int columns() const { return (int)pictures * s.h * s.w; }
    TLK_METHOD int depth() const { return s.oc / s.groups * s.kh * s.kw; }
    TLK_METHOD tlk_part a_side(int m) const
    {
        return tlk_part{ (int64_t)m * (s.kh * s.kw), 0, 0 };
    }
    TLK_METHOD tlk_part a_along(int k) const
    {
        int taps = s.kh * s.kw, oc = group * (s.oc / s.groups) + k / taps;
        return tlk_part{ (int64_t)oc * rows() * taps + k % taps, 0, 0 };
    }
    TLK_METHOD float a(tlk_part side, tlk_part along) const { return w[side.at + along.at]; }
    TLK_METHOD bool a_fours() const { return s.kh * s.kw == 1 && rows() % 4 == 0; }
    TLK_METHOD void a_four(tlk_part side, tlk_part along, float *v) const
    {
        tlk_load4(w, side.at + along.at, v);
    }
    TLK_METHOD tlk_part b_side(int n) const
    {
        int p = n / (s.h * s.w), at = n % (s.h * s.w);
        int64_t plane = (int64_t)p * s.oc + group * (s.oc / s.groups);
        return tlk_conv_pixel(s, plane, at / s.w, at % s.w);
    }
    TLK_METHOD tlk_part b_along(int k) const
    {
        return tlk_conv_tap_back(s, k / (s.kh * s.kw), k % (s.kh * s.kw));
    }
    TLK_METHOD float b(tlk_part side, tlk_part along) const
    {
        return tlk_conv_dy(s, dy, side, along);
    }
    TLK_METHOD bool b_fours() const { return tlk_conv_is_pointwise(s) && s.h * s.w % 4 == 0; }
    TLK_METHOD void b_four(tlk_part side, tlk_part along, float *v) const
    {
        tlk_load4(dy, side.at + along.at + side.h * s.ow + side.w, v);
    }
    TLK_METHOD void put(int m, int n, float sum) const
    {
        int p = n / (s.h * s.w), at = n % (s.h * s.w);
        dx[((int64_t)p * s.ic + group * rows() + m) * (s.h * s.w) + at] = sum;
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
    static constexpr bool a_by_k = true, b_by_k = true;
    static constexpr int mma_rows = 64;

    TLK_METHOD int rows() const { return s.oc / s.groups; }
    TLK_METHOD int columns() const { return s.ic / s.groups * s.kh * s.kw; }
    TLK_METHOD int depth() const { return end - first; }
    TLK_METHOD tlk_part a_side(int m) const
    {
        return tlk_part{ (int64_t)(group * rows() + m) * (s.oh * s.ow), 0, 0 };
    }
    TLK_METHOD tlk_part a_along(int k) const
    {
        int p = (first + k) / (s.oh * s.ow), at = (first + k) % (s.oh * s.ow);
        return tlk_part{ (int64_t)p * s.oc * (s.oh * s.ow) + at, 0, 0 };
    }
    TLK_METHOD float a(tlk_part side, tlk_part along) const { return dy[side.at + along.at]; }
    TLK_METHOD bool a_fours() const { return s.oh * s.ow % 4 == 0; }
    TLK_METHOD void a_four(tlk_part side, tlk_part along, float *v) const
    {
        tlk_load4(dy, side.at + along.at, v);
    }
    TLK_METHOD tlk_part b_side(int n) const
    {
        int ic = group * (s.ic / s.groups) + n / (s.kh * s.kw);
        return tlk_conv_tap(s, ic, n % (s.kh * s.kw));
    }
    TLK_METHOD tlk_part b_along(int k) const
    {
        int p = (first + k) / (s.oh * s.ow), at = (first + k) % (s.oh * s.ow);
        return tlk_conv_window(s, (int64_t)p * s.ic, at / s.ow, at % s.ow);
    }
    TLK_METHOD float b(tlk_part side, tlk_part along) const
    {
        return tlk_conv_x(s, x, along, side);
    }
    TLK_METHOD bool b_fours() const { return tlk_conv_is_pointwise(s) && s.h * s.w % 4 == 0; }
    TLK_METHOD void b_four(tlk_part side, tlk_part along, float *v) const
    {
        tlk_load4(x, side.at + along.at, v);
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
