/* tlk_cuda_depthwise.h: convolutions whose groups have one input channel: a tile of a product
 * would stand almost empty, so each thread makes one element from its few taps. */
#ifndef TLK_CUDA_DEPTHWISE_H
#define TLK_CUDA_DEPTHWISE_H

#include "tlk_cuda_conv2d.h"

typedef tlk_cuda_conv2d tlk_cuda_depthwise;
typedef tlk_cuda_conv2d_grad_x tlk_cuda_depthwise_grad_x;
typedef tlk_cuda_conv2d_grad_w tlk_cuda_depthwise_grad_w;

/* A thread is an element of y. */
TLK_DEVICE void tlk_cuda_depthwise_run(const tlk_cuda_depthwise &s, const tlk_cuda_frame &f,
                                       tlk_ptr<const float> x, tlk_ptr<const float> w,
                                       tlk_ptr<const float> bias, tlk_ptr<const float> residual,
                                       tlk_ptr<float> y)
{
    int64_t i = tlk_cuda_index(), picture = (int64_t)s.oc * s.oh * s.ow;
    if (i >= tlk_cuda_pictures(s.batch, f.n) * picture)
        return;
    int in = (int)(i % picture), oc = in / (s.oh * s.ow), at = in % (s.oh * s.ow);
    int64_t plane = i / picture * s.ic + oc / (s.oc / s.groups);
    const tlk_part window = tlk_conv_window(s, plane, at / s.ow, at % s.ow);
    float sum = 0;
    for (int tap = 0; tap < s.kh * s.kw; ++tap)
        sum = fmaf(tlk_conv_x(s, x, window, tlk_conv_tap(s, 0, tap)),
                   w[oc * (s.kh * s.kw) + tap], sum);
    tlk_conv_store(s, i, oc, sum, bias, residual, y);
}

/* A thread is an element of dx. */
TLK_DEVICE void tlk_cuda_depthwise_grad_x_run(const tlk_cuda_depthwise_grad_x &s,
                                              const tlk_cuda_frame &f, tlk_ptr<const float> dy,
                                              tlk_ptr<const float> w, tlk_ptr<float> dx)
{
    int64_t i = tlk_cuda_index(), picture = (int64_t)s.ic * s.h * s.w;
    if (i >= tlk_cuda_pictures(s.batch, f.n) * picture)
        return;
    int in = (int)(i % picture), ic = in / (s.h * s.w), at = in % (s.h * s.w);
    int each = s.oc / s.groups;
    const tlk_part pixel = tlk_conv_pixel(s, i / picture * s.oc, at / s.w, at % s.w);
    float sum = 0;
    for (int oc = ic * each; oc < (ic + 1) * each; ++oc)
        for (int tap = 0; tap < s.kh * s.kw; ++tap)
            sum = fmaf(tlk_conv_dy(s, dy, pixel, tlk_conv_tap_back(s, oc, tap)),
                       w[oc * (s.kh * s.kw) + tap], sum);
    dx[i] = sum;
}

/* A block is a tap of an output channel. */
TLK_DEVICE void tlk_cuda_depthwise_grad_w_run(const tlk_cuda_depthwise_grad_w &s,
                                              const tlk_cuda_frame &f, tlk_ptr<const float> dy,
                                              tlk_ptr<const float> x, tlk_ptr<float> dw)
{
    int oc = (int)blockIdx.x / (s.kh * s.kw), tap = (int)blockIdx.x % (s.kh * s.kw);
    int count = (int)tlk_cuda_pictures(s.batch, f.n) * s.oh * s.ow;
    const tlk_part met = tlk_conv_tap(s, oc / (s.oc / s.groups), tap);
    float sum = 0;
    for (int i = (int)threadIdx.x; i < count; i += TLK_CUDA_THREADS) {
        int64_t p = i / (s.oh * s.ow);
        int at = i % (s.oh * s.ow);
        sum = fmaf(dy[(p * s.oc + oc) * (s.oh * s.ow) + at],
                   tlk_conv_x(s, x, tlk_conv_window(s, p * s.ic, at / s.ow, at % s.ow), met),
                   sum);
    }
    sum = tlk_cuda_sum(sum);
    if (threadIdx.x == 0)
        dw[blockIdx.x] = sum;
}

#endif
