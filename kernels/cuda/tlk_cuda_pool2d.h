/* tlk_cuda_pool2d.h: maximum and mean of windows, and their gradients.  A thread is an element of the
 * result; a gradient looks up the windows that its element lay in, so nothing is added from two
 * sides.  Padding as in ref/tlk_ref_pool2d.h. */
#ifndef TLK_CUDA_POOL2D_H
#define TLK_CUDA_POOL2D_H

#include "tlk_cuda.h"

#define TLK_CUDA_POOL2D_FIELDS                                 \
    int64_t batch;                                             \
    int c, h, w, oh, ow;                                       \
    int kh, kw, stride_h, stride_w, dilation_h, dilation_w;    \
    int pad_top, pad_left, pad_bottom, pad_right;              \
    bool nhwc /* x and y, or their gradients, and the positions */

struct tlk_cuda_max_pool2d {
    TLK_CUDA_POOL2D_FIELDS;
};

/* Tap k of the window at (oh, ow): its place in x's plane, -1 outside. */
template <class S> TLK_DEVICE int tlk_pool_tap(const S &s, int oh, int ow, int k)
{
    int h = oh * s.stride_h - s.pad_top + k / s.kw * s.dilation_h;
    int w = ow * s.stride_w - s.pad_left + k % s.kw * s.dilation_w;
    return h >= 0 && h < s.h && w >= 0 && w < s.w ? h * s.w + w : -1;
}

template <class S> TLK_DEVICE int64_t tlk_pool_results(const S &s, int64_t n)
{
    return tlk_cuda_pictures(s.batch, n) * s.c * s.oh * s.ow;
}

/* Element i of planes of `pixels`: its pixel, and where its channel begins in those of `others`. */
template <class S> TLK_DEVICE int tlk_pool_pixel(const S &s, int64_t i, int pixels)
{
    return (int)tlk_pixel_of(s.nhwc, s.c, pixels, i);
}

template <class S> TLK_DEVICE int64_t tlk_pool_plane(const S &s, int64_t i, int pixels, int others)
{
    return s.nhwc ? i / s.c / pixels * others * s.c + i % s.c : i / pixels * others;
}

/* Pixel `at` of the plane of x in which the windows of result i lie. */
template <class S> TLK_DEVICE int64_t tlk_pool_in_x(const S &s, int64_t i, int at)
{
    return tlk_pool_plane(s, i, s.oh * s.ow, s.h * s.w) + at * tlk_pixel_step(s.nhwc, s.c);
}

/* Window `at` of the plane of results for which element i of x counts. */
template <class S> TLK_DEVICE int64_t tlk_pool_in_y(const S &s, int64_t i, int at)
{
    return tlk_pool_plane(s, i, s.h * s.w, s.oh * s.ow) + at * tlk_pixel_step(s.nhwc, s.c);
}

TLK_DEVICE void tlk_cuda_max_pool2d_run(const tlk_cuda_max_pool2d &s, const tlk_cuda_frame &f,
                                        tlk_ptr<const float> x, tlk_ptr<float> y)
{
    int64_t i = tlk_cuda_index();
    if (i >= tlk_pool_results(s, f.n))
        return;
    int in = tlk_pool_pixel(s, i, s.oh * s.ow);
    float largest = -INFINITY;
    for (int k = 0; k < s.kh * s.kw; ++k) {
        int at = tlk_pool_tap(s, in / s.ow, in % s.ow, k);
        if (at < 0)
            continue;
        float v = x[tlk_pool_in_x(s, i, at)];
        if (v > largest || v != v)
            largest = v;
    }
    y[i] = largest;
}

struct tlk_cuda_avg_pool2d {
    TLK_CUDA_POOL2D_FIELDS;
    bool count_include_pad;
};

/* Does tap k count in the window's mean though it lies outside x? */
template <class S> TLK_DEVICE bool tlk_pool_counts(const S &s, int oh, int ow, int k)
{
    int h = oh * s.stride_h - s.pad_top + k / s.kw * s.dilation_h;
    int w = ow * s.stride_w - s.pad_left + k % s.kw * s.dilation_w;
    return s.count_include_pad && h < s.h + s.pad_bottom && w < s.w + s.pad_right;
}

TLK_DEVICE void tlk_cuda_avg_pool2d_run(const tlk_cuda_avg_pool2d &s, const tlk_cuda_frame &f,
                                        tlk_ptr<const float> x, tlk_ptr<float> y)
{
    int64_t i = tlk_cuda_index();
    if (i >= tlk_pool_results(s, f.n))
        return;
    int in = tlk_pool_pixel(s, i, s.oh * s.ow), taps = 0;
    float sum = 0;
    for (int k = 0; k < s.kh * s.kw; ++k) {
        int at = tlk_pool_tap(s, in / s.ow, in % s.ow, k);
        if (at >= 0)
            sum += x[tlk_pool_in_x(s, i, at)];
        taps += at >= 0 || tlk_pool_counts(s, in / s.ow, in % s.ow, k);
    }
    y[i] = sum / taps;
}

/* --- gradients ---------------------------------------------------------------- */

/* Where in its window, row by row, each maximum stands; the first of equals, the last NaN. */
struct tlk_cuda_max_pool2d_positions {
    TLK_CUDA_POOL2D_FIELDS;
    bool wide; /* windows of more than 256 elements */
};

template <class T>
TLK_DEVICE void tlk_cuda_max_pool2d_positions_run(const tlk_cuda_max_pool2d_positions &s,
                                                  const tlk_cuda_frame &f, tlk_ptr<const float> x,
                                                  tlk_ptr<T> positions)
{
    int64_t i = tlk_cuda_index();
    if (i >= tlk_pool_results(s, f.n))
        return;
    int in = tlk_pool_pixel(s, i, s.oh * s.ow), found = -1;
    float largest = 0;
    for (int k = 0; k < s.kh * s.kw; ++k) {
        int at = tlk_pool_tap(s, in / s.ow, in % s.ow, k);
        if (at < 0)
            continue;
        float v = x[tlk_pool_in_x(s, i, at)];
        if (found < 0 || v > largest || v != v) {
            largest = v;
            found = k;
        }
    }
    positions[i] = (T)found;
}

/* The window whose tap `k` of a row lies at `at` of the padded axis; -1: none. */
TLK_DEVICE int tlk_pool_window(int at, int stride, int windows)
{
    return at >= 0 && at % stride == 0 && at / stride < windows ? at / stride : -1;
}

/* The window of which element (h, w) of x is tap k, as its place in the result's plane; -1. */
template <class S> TLK_DEVICE int tlk_pool_window_of(const S &s, int h, int w, int k)
{
    int oh = tlk_pool_window(h + s.pad_top - k / s.kw * s.dilation_h, s.stride_h, s.oh);
    int ow = tlk_pool_window(w + s.pad_left - k % s.kw * s.dilation_w, s.stride_w, s.ow);
    return oh >= 0 && ow >= 0 ? oh * s.ow + ow : -1;
}

struct tlk_cuda_max_pool2d_grad {
    TLK_CUDA_POOL2D_FIELDS;
    bool wide;
};

template <class T>
TLK_DEVICE void tlk_cuda_max_pool2d_grad_run(const tlk_cuda_max_pool2d_grad &s,
                                             const tlk_cuda_frame &f, tlk_ptr<const float> dy,
                                             tlk_ptr<T> positions, tlk_ptr<float> dx)
{
    int64_t i = tlk_cuda_index();
    if (i >= tlk_cuda_pictures(s.batch, f.n) * s.c * s.h * s.w)
        return;
    int in = tlk_pool_pixel(s, i, s.h * s.w);
    float sum = 0;
    for (int k = s.kh * s.kw - 1; k >= 0; --k) { /* the windows in their order */
        int at = tlk_pool_window_of(s, in / s.w, in % s.w, k);
        if (at >= 0 && (int)positions[tlk_pool_in_y(s, i, at)] == k)
            sum += dy[tlk_pool_in_y(s, i, at)];
    }
    dx[i] = sum;
}

struct tlk_cuda_avg_pool2d_grad {
    TLK_CUDA_POOL2D_FIELDS;
    bool count_include_pad;
};

/* Taps of a window that count, as in the forward kernel. */
TLK_DEVICE int tlk_cuda_avg_taps(const tlk_cuda_avg_pool2d_grad &s, int oh, int ow)
{
    int taps = 0;
    for (int k = 0; k < s.kh * s.kw; ++k)
        taps += tlk_pool_tap(s, oh, ow, k) >= 0 || tlk_pool_counts(s, oh, ow, k);
    return taps;
}

TLK_DEVICE void tlk_cuda_avg_pool2d_grad_run(const tlk_cuda_avg_pool2d_grad &s,
                                             const tlk_cuda_frame &f, tlk_ptr<const float> dy,
                                             tlk_ptr<float> dx)
{
    int64_t i = tlk_cuda_index();
    if (i >= tlk_cuda_pictures(s.batch, f.n) * s.c * s.h * s.w)
        return;
    int in = tlk_pool_pixel(s, i, s.h * s.w);
    float sum = 0;
    for (int k = s.kh * s.kw - 1; k >= 0; --k) {
        int at = tlk_pool_window_of(s, in / s.w, in % s.w, k);
        if (at >= 0)
            sum += dy[tlk_pool_in_y(s, i, at)] / tlk_cuda_avg_taps(s, at / s.ow, at % s.ow);
    }
    dx[i] = sum;
}

#endif
