/* tlk_cuda_batch_norm.h: normalise each channel by running statistics or the batch's; gradients. */
#ifndef TLK_CUDA_BATCH_NORM_H
#define TLK_CUDA_BATCH_NORM_H

#include "tlk_cuda.h"

#define TLK_CUDA_BATCH_NORM(name, number)                                   \
    struct name {                                                           \
        int64_t batch;                                                      \
        int c;                                                              \
        int64_t plane; /* elements of a channel of a picture */             \
        double number;                                                      \
        bool nhwc; /* x, y and their gradients */                           \
    }

TLK_CUDA_BATCH_NORM(tlk_cuda_batch_norm, epsilon);
TLK_CUDA_BATCH_NORM(tlk_cuda_batch_norm_grad, epsilon);
TLK_CUDA_BATCH_NORM(tlk_cuda_batch_norm_train, epsilon);
TLK_CUDA_BATCH_NORM(tlk_cuda_batch_norm_train_grad_scale, epsilon);
TLK_CUDA_BATCH_NORM(tlk_cuda_batch_norm_train_grad_x, epsilon);
TLK_CUDA_BATCH_NORM(tlk_cuda_batch_norm_stats, momentum);

/* Elements of x; the channel of element i. */
template <class S> TLK_DEVICE int64_t tlk_norm_elems(const S &s, int64_t n)
{
    return tlk_cuda_pictures(s.batch, n) * s.c * s.plane;
}

template <class S> TLK_DEVICE int tlk_norm_channel(const S &s, int64_t i)
{
    return (int)tlk_channel_of(s.nhwc, s.c, s.plane, i);
}

TLK_DEVICE float tlk_norm_inverse(float variance, double epsilon)
{
    return 1.0f / sqrtf(variance + (float)epsilon);
}

/* A thread is an element. */
TLK_DEVICE void tlk_cuda_batch_norm_run(const tlk_cuda_batch_norm &s, const tlk_cuda_frame &f,
                                        tlk_ptr<const float> x, tlk_ptr<const float> scale,
                                        tlk_ptr<const float> bias, tlk_ptr<const float> mean,
                                        tlk_ptr<const float> variance, tlk_ptr<float> y)
{
    int64_t i = tlk_cuda_index();
    if (i >= tlk_norm_elems(s, f.n))
        return;
    int c = tlk_norm_channel(s, i);
    float factor = scale[c] * tlk_norm_inverse(variance[c], s.epsilon);
    y[i] = fmaf(x[i] - mean[c], factor, bias[c]);
}

/* dx of the same: running statistics do not depend on x. */
TLK_DEVICE void tlk_cuda_batch_norm_grad_run(const tlk_cuda_batch_norm_grad &s,
                                             const tlk_cuda_frame &f, tlk_ptr<const float> dy,
                                             tlk_ptr<const float> scale,
                                             tlk_ptr<const float> variance, tlk_ptr<float> dx)
{
    int64_t i = tlk_cuda_index();
    if (i >= tlk_norm_elems(s, f.n))
        return;
    int c = tlk_norm_channel(s, i);
    dx[i] = dy[i] * (scale[c] * tlk_norm_inverse(variance[c], s.epsilon));
}

/* --- by the statistics of the batch --------------------------------------------- */

/* Where the i-th of the batch's elements of a channel lies. */
template <class S> TLK_DEVICE int64_t tlk_norm_at(const S &s, int64_t i, int c)
{
    return s.nhwc ? i * s.c + c : (i / s.plane * s.c + c) * s.plane + i % s.plane;
}

template <class S> TLK_DEVICE bool tlk_norm_in_runs(const S &s)
{
    return s.nhwc && s.c % TLK_CUDA_RUN == 0;
}

/* sum[j] over the batch's elements of channel c + j of what fn(offset, v) puts into v[j], to all of
 * the block. */
template <int run, class S, class Fn>
TLK_DEVICE void tlk_norm_over_channels(const S &s, int64_t n, int c, float (&sum)[run],
                                       const Fn &fn)
{
    int64_t count = tlk_cuda_pictures(s.batch, n) * s.plane;
    TLK_UNROLL
    for (int j = 0; j < run; ++j)
        sum[j] = 0;
    for (int64_t i = threadIdx.x; i < count; i += TLK_CUDA_THREADS) {
        float v[run];
        fn(tlk_norm_at(s, i, c), v);
        TLK_UNROLL
        for (int j = 0; j < run; ++j)
            sum[j] += v[j];
    }
    tlk_cuda_sums(sum);
}

/* A block is a channel, or a run of them.  The variance is that around the mean, in a second look
 * at x. */
template <int run>
TLK_DEVICE void tlk_norm_train(const tlk_cuda_batch_norm_train &s, const tlk_cuda_frame &f,
                               tlk_ptr<const float> x, tlk_ptr<const float> scale,
                               tlk_ptr<const float> bias, tlk_ptr<float> y, tlk_ptr<float> mean,
                               tlk_ptr<float> variance)
{
    const int c = (int)blockIdx.x * run;
    int64_t count = tlk_cuda_pictures(s.batch, f.n) * s.plane;
    float centre[run], spread[run], factor[run], shift[run];
    tlk_norm_over_channels<run>(s, f.n, c, centre,
                                [&](int64_t at, float (&v)[run]) { tlk_cuda_read(x, at, v); });
    TLK_UNROLL
    for (int j = 0; j < run; ++j)
        centre[j] /= (float)count;
    tlk_norm_over_channels<run>(s, f.n, c, spread, [&](int64_t at, float (&v)[run]) {
        tlk_cuda_read(x, at, v);
        TLK_UNROLL
        for (int j = 0; j < run; ++j)
            v[j] = (v[j] - centre[j]) * (v[j] - centre[j]);
    });
    TLK_UNROLL
    for (int j = 0; j < run; ++j) {
        spread[j] /= (float)count;
        factor[j] = scale[c + j] * tlk_norm_inverse(spread[j], s.epsilon);
        shift[j] = bias[c + j];
    }
    for (int64_t i = threadIdx.x; i < count; i += TLK_CUDA_THREADS) {
        int64_t at = tlk_norm_at(s, i, c);
        float v[run];
        tlk_cuda_read(x, at, v);
        TLK_UNROLL
        for (int j = 0; j < run; ++j)
            v[j] = fmaf(v[j] - centre[j], factor[j], shift[j]);
        tlk_cuda_write(y, at, v);
    }
    TLK_UNROLL
    for (int j = 0; j < run; ++j)
        if (threadIdx.x == 0) {
            mean[c + j] = centre[j];
            variance[c + j] = spread[j];
        }
}

TLK_DEVICE void tlk_cuda_batch_norm_train_run(const tlk_cuda_batch_norm_train &s,
                                              const tlk_cuda_frame &f, tlk_ptr<const float> x,
                                              tlk_ptr<const float> scale,
                                              tlk_ptr<const float> bias, tlk_ptr<float> y,
                                              tlk_ptr<float> mean, tlk_ptr<float> variance)
{
    if (tlk_norm_in_runs(s))
        tlk_norm_train<TLK_CUDA_RUN>(s, f, x, scale, bias, y, mean, variance);
    else
        tlk_norm_train<1>(s, f, x, scale, bias, y, mean, variance);
}

/* dscale, dbias: sums over the batch of dy * xhat and dy; a block as above. */
template <int run>
TLK_DEVICE void tlk_norm_grad_scale(const tlk_cuda_batch_norm_train_grad_scale &s,
                                    const tlk_cuda_frame &f, tlk_ptr<const float> dy,
                                    tlk_ptr<const float> x, tlk_ptr<const float> mean,
                                    tlk_ptr<const float> variance, tlk_ptr<float> dscale,
                                    tlk_ptr<float> dbias)
{
    const int c = (int)blockIdx.x * run;
    float centre[run], sum[run], dot[run];
    TLK_UNROLL
    for (int j = 0; j < run; ++j)
        centre[j] = mean[c + j];
    tlk_norm_over_channels<run>(s, f.n, c, sum,
                                [&](int64_t at, float (&v)[run]) { tlk_cuda_read(dy, at, v); });
    tlk_norm_over_channels<run>(s, f.n, c, dot, [&](int64_t at, float (&v)[run]) {
        float slope[run];
        tlk_cuda_read(dy, at, slope);
        tlk_cuda_read(x, at, v);
        TLK_UNROLL
        for (int j = 0; j < run; ++j)
            v[j] = slope[j] * (v[j] - centre[j]);
    });
    TLK_UNROLL
    for (int j = 0; j < run; ++j)
        if (threadIdx.x == 0) {
            dscale[c + j] = dot[j] * tlk_norm_inverse(variance[c + j], s.epsilon);
            dbias[c + j] = sum[j];
        }
}

TLK_DEVICE void tlk_cuda_batch_norm_train_grad_scale_run(
    const tlk_cuda_batch_norm_train_grad_scale &s, const tlk_cuda_frame &f,
    tlk_ptr<const float> dy, tlk_ptr<const float> x, tlk_ptr<const float> mean,
    tlk_ptr<const float> variance, tlk_ptr<float> dscale, tlk_ptr<float> dbias)
{
    if (tlk_norm_in_runs(s))
        tlk_norm_grad_scale<TLK_CUDA_RUN>(s, f, dy, x, mean, variance, dscale, dbias);
    else
        tlk_norm_grad_scale<1>(s, f, dy, x, mean, variance, dscale, dbias);
}

/* dx from dy and those sums; a thread is an element. */
TLK_DEVICE void tlk_cuda_batch_norm_train_grad_x_run(
    const tlk_cuda_batch_norm_train_grad_x &s, const tlk_cuda_frame &f, tlk_ptr<const float> dy,
    tlk_ptr<const float> x, tlk_ptr<const float> scale, tlk_ptr<const float> mean,
    tlk_ptr<const float> variance, tlk_ptr<const float> dscale, tlk_ptr<const float> dbias,
    tlk_ptr<float> dx)
{
    int64_t i = tlk_cuda_index();
    if (i >= tlk_norm_elems(s, f.n))
        return;
    int c = tlk_norm_channel(s, i);
    float count = (float)(tlk_cuda_pictures(s.batch, f.n) * s.plane);
    float inverse = tlk_norm_inverse(variance[c], s.epsilon);
    float xhat = (x[i] - mean[c]) * inverse;
    dx[i] = scale[c] * inverse * (dy[i] - (dbias[c] + xhat * dscale[c]) / count);
}

/* running = (1 - momentum) running + momentum batch; the variance that moves it is unbiased.  A
 * thread is a channel; x is there for the operator's shape alone. */
TLK_DEVICE void tlk_cuda_batch_norm_stats_run(const tlk_cuda_batch_norm_stats &s,
                                              const tlk_cuda_frame &f,
                                              tlk_ptr<float> running_mean,
                                              tlk_ptr<float> running_variance,
                                              tlk_ptr<const float> mean,
                                              tlk_ptr<const float> variance, tlk_ptr<const float>)
{
    int64_t c = tlk_cuda_index();
    if (c >= s.c)
        return;
    float count = (float)(tlk_cuda_pictures(s.batch, f.n) * s.plane);
    float keep = (float)(1 - s.momentum), take = (float)s.momentum;
    running_mean[c] = keep * running_mean[c] + take * mean[c];
    running_variance[c] = keep * running_variance[c] + take * (variance[c] * count / (count - 1));
}

#endif
