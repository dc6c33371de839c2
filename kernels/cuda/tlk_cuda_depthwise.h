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
    float sum = 0;
    for (int tap = 0; tap < s.kh * s.kw; ++tap)
        sum = fmaf(tlk_conv_tap(s, x, plane, at / s.ow, at % s.ow, tap / s.kw, tap % s.kw),
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
    float sum = 0;
    for (int oc = ic * each; oc < (ic + 1) * each; ++oc)
        for (int tap = 0; tap < s.kh * s.kw; ++tap)
            sum = fmaf(tlk_conv_met(s, dy, i / picture * s.oc + oc, at / s.w, at % s.w,
                                    tap / s.kw, tap % s.kw),
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
    float sum = 0;
    for (int i = (int)threadIdx.x; i < count; i += TLK_CUDA_THREADS) {
        int64_t p = i / (s.oh * s.ow);
        int at = i % (s.oh * s.ow);
        sum = fmaf(dy[(p * s.oc + oc) * (s.oh * s.ow) + at],
                   tlk_conv_tap(s, x, p * s.ic + oc / (s.oc / s.groups), at / s.ow, at % s.ow,
                                tap / s.kw, tap % s.kw),
                   sum);
    }
    sum = tlk_cuda_sum(sum);
    if (threadIdx.x == 0)
        dw[blockIdx.x] = sum;
}

#endif
