/* tlk_cuda_depthwise.h: convolutions whose groups have one input channel: a tile of a product
 * would stand almost empty, so each thread makes one element from its few taps. */
#ifndef TLK_CUDA_DEPTHWISE_H
#define TLK_CUDA_DEPTHWISE_H

#include "tlk_cuda_conv2d.h"

typedef tlk_cuda_conv2d tlk_cuda_depthwise;
typedef tlk_cuda_conv2d_grad_x tlk_cuda_depthwise_grad_x;
typedef tlk_cuda_conv2d_grad_w tlk_cuda_depthwise_grad_w;

/* --- weights for neighbouring channels ------------------------------------------------ */

/* In NHWC a block's threads have channels one after another, and a tap of theirs is strided by the
 * taps.  So some taps at a time pass through shared memory, read as they lie; their number is odd:
 * no two lanes meet in a bank. */
constexpr int TLK_DEPTHWISE_TAPS = 9;

/* Taps from `tap0` on, of filter ((first + thread) % channels) * each + e for each thread.  Every
 * thread of the block calls it. */
template <class S, class Shared>
TLK_DEVICE void tlk_depthwise_stage(const S &s, tlk_ptr<const float> w, int first, int channels,
                                    int each, int e, int tap0, Shared &staged)
{
    const int taps = s.kh * s.kw;
    __syncthreads(); /* nobody reads the taps before any more */
    for (int i = (int)threadIdx.x; i < TLK_CUDA_THREADS * TLK_DEPTHWISE_TAPS;
         i += TLK_CUDA_THREADS) {
        int filter = (first + i / TLK_DEPTHWISE_TAPS) % channels * each + e;
        int tap = tap0 + i % TLK_DEPTHWISE_TAPS;
        if (tap < taps)
            staged[i] = w[filter * taps + tap];
    }
    __syncthreads();
}

/* Sum over the taps of value(tap) times the thread's filter; a thread that is not `in` helps to
 * stage. */
template <class S, class Value>
TLK_DEVICE float tlk_depthwise_staged(const S &s, tlk_ptr<const float> w, bool in, int first,
                                      int channels, int each, int e, float sum,
                                      const Value &value)
{
    TLK_SHARED(float, staged, TLK_CUDA_THREADS * TLK_DEPTHWISE_TAPS);
    const int taps = s.kh * s.kw, own = (int)threadIdx.x * TLK_DEPTHWISE_TAPS;
    for (int tap0 = 0; tap0 < taps; tap0 += TLK_DEPTHWISE_TAPS) {
        tlk_depthwise_stage(s, w, first, channels, each, e, tap0, staged);
        for (int tap = tap0; in && tap < taps && tap < tap0 + TLK_DEPTHWISE_TAPS; ++tap)
            sum = fmaf(value(tap), staged[own + tap - tap0], sum);
    }
    return sum;
}

/* --- kernels ------------------------------------------------------------------------------ */

/* A thread is an element of y. */
TLK_DEVICE void tlk_cuda_depthwise_run(const tlk_cuda_depthwise &s, const tlk_cuda_frame &f,
                                       tlk_ptr<const float> x, tlk_ptr<const float> w,
                                       tlk_ptr<const float> bias, tlk_ptr<const float> residual,
                                       tlk_ptr<float> y)
{
    int64_t i = tlk_cuda_index(), picture = (int64_t)s.oc * s.oh * s.ow;
    const bool in = i < tlk_cuda_pictures(s.batch, f.n) * picture;
    if (!s.y_nhwc && !in)
        return;
    int at = (int)(i % picture), oc = (int)tlk_channel_of(s.y_nhwc, s.oc, s.oh * s.ow, at);
    const tlk_part window =
        tlk_conv_window(s, i / picture, oc / (s.oc / s.groups),
                        (int)tlk_pixel_of(s.y_nhwc, s.oc, s.oh * s.ow, at));
    auto met = [&](int tap) { return tlk_conv_x(s, x, window, tlk_conv_tap(s, 0, tap)); };
    float sum = 0;
    if (s.y_nhwc) {
        int first = (int)((i - threadIdx.x) % s.oc);
        sum = tlk_depthwise_staged(s, w, in, first, s.oc, 1, 0, sum, met);
    } else {
        for (int tap = 0; tap < s.kh * s.kw; ++tap)
            sum = fmaf(met(tap), w[oc * (s.kh * s.kw) + tap], sum);
    }
    if (in)
        tlk_conv_store(s, i, oc, sum, bias, residual, y);
}

/* A thread is an element of dx. */
TLK_DEVICE void tlk_cuda_depthwise_grad_x_run(const tlk_cuda_depthwise_grad_x &s,
                                              const tlk_cuda_frame &f, tlk_ptr<const float> dy,
                                              tlk_ptr<const float> w, tlk_ptr<float> dx)
{
    int64_t i = tlk_cuda_index(), picture = (int64_t)s.ic * s.h * s.w;
    const bool in = i < tlk_cuda_pictures(s.batch, f.n) * picture;
    if (!s.x_nhwc && !in)
        return;
    int at = (int)(i % picture), ic = (int)tlk_channel_of(s.x_nhwc, s.ic, s.h * s.w, at);
    const tlk_part pixel = tlk_conv_pixel(s, i / picture, 0,
                                          (int)tlk_pixel_of(s.x_nhwc, s.ic, s.h * s.w, at));
    const int each = s.oc / s.groups, first = (int)((i - threadIdx.x) % s.ic);
    float sum = 0;
    for (int e = 0; e < each; ++e) {
        int oc = ic * each + e;
        auto met = [&](int tap) {
            return tlk_conv_dy(s, dy, pixel, tlk_conv_tap_back(s, oc, tap));
        };
        if (s.x_nhwc) {
            sum = tlk_depthwise_staged(s, w, in, first, s.ic, each, e, sum, met);
            continue;
        }
        for (int tap = 0; tap < s.kh * s.kw; ++tap)
            sum = fmaf(met(tap), w[oc * (s.kh * s.kw) + tap], sum);
    }
    if (in)
        dx[i] = sum;
}

/* x and dy both in NHWC, a channel of one for a channel of the other. */
TLK_DEVICE bool tlk_depthwise_in_runs(const tlk_cuda_depthwise_grad_w &s)
{
    return s.x_nhwc && s.y_nhwc && s.ic == s.oc && s.oc % TLK_CUDA_RUN == 0;
}

/* A block is a tap of an output channel, or of a run of them. */
template <int run>
TLK_DEVICE void tlk_depthwise_grad_w(const tlk_cuda_depthwise_grad_w &s, const tlk_cuda_frame &f,
                                     tlk_ptr<const float> dy, tlk_ptr<const float> x,
                                     tlk_ptr<float> dw)
{
    const int taps = s.kh * s.kw, oc = (int)blockIdx.x / taps * run, tap = (int)blockIdx.x % taps;
    int count = (int)tlk_cuda_pictures(s.batch, f.n) * s.oh * s.ow;
    const tlk_part met = tlk_conv_tap(s, oc / (s.oc / s.groups), tap);
    float sum[run] = {};
    for (int i = (int)threadIdx.x; i < count; i += TLK_CUDA_THREADS) {
        int p = i / (s.oh * s.ow), at = i % (s.oh * s.ow);
        const tlk_part window = tlk_conv_window(s, p, 0, at);
        float slope[run], value[run] = {};
        tlk_cuda_read(dy,
                      tlk_channel_at(s.y_nhwc, s.oc, s.oh * s.ow, p, oc) +
                          at * tlk_pixel_step(s.y_nhwc, s.oc),
                      slope);
        if (tlk_conv_inside(s, window, met))
            tlk_cuda_read(x, window.at + met.at, value);
        TLK_UNROLL
        for (int j = 0; j < run; ++j)
            sum[j] = fmaf(slope[j], value[j], sum[j]);
    }
    tlk_cuda_sums(sum);
    TLK_UNROLL
    for (int j = 0; j < run; ++j)
        if (threadIdx.x == 0)
            dw[(oc + j) * taps + tap] = sum[j];
}

TLK_DEVICE void tlk_cuda_depthwise_grad_w_run(const tlk_cuda_depthwise_grad_w &s,
                                              const tlk_cuda_frame &f, tlk_ptr<const float> dy,
                                              tlk_ptr<const float> x, tlk_ptr<float> dw)
{
    if (tlk_depthwise_in_runs(s))
        tlk_depthwise_grad_w<TLK_CUDA_RUN>(s, f, dy, x, dw);
    else
        tlk_depthwise_grad_w<1>(s, f, dy, x, dw);
}

#endif
