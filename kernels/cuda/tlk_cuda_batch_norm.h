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

/* Sum of fn(offset) over the batch's elements of a channel, to all of the block. */
template <class S, class Fn>
TLK_DEVICE float tlk_norm_over_channel(const S &s, int64_t n, int c, const Fn &fn)
{
    int64_t count = tlk_cuda_pictures(s.batch, n) * s.plane;
    float sum = 0;
    for (int64_t i = threadIdx.x; i < count; i += TLK_CUDA_THREADS)
        sum += fn(tlk_norm_at(s, i, c));
    return tlk_cuda_sum(sum);
}

/* A block is a channel.  The variance is that around the mean, in a second look at x. */
TLK_DEVICE void tlk_cuda_batch_norm_train_run(const tlk_cuda_batch_norm_train &s,
                                              const tlk_cuda_frame &f, tlk_ptr<const float> x,
                                              tlk_ptr<const float> scale,
                                              tlk_ptr<const float> bias, tlk_ptr<float> y,
                                              tlk_ptr<float> mean, tlk_ptr<float> variance)
{
    int c = (int)blockIdx.x;
    int64_t count = tlk_cuda_pictures(s.batch, f.n) * s.plane;
    float centre = tlk_norm_over_channel(s, f.n, c, [&](int64_t at) { return x[at] + 0.0f; });
    centre /= (float)count;
    float spread = tlk_norm_over_channel(s, f.n, c, [&](int64_t at) {
        float d = x[at] - centre;
        return d * d;
    });
    spread /= (float)count;
    float factor = scale[c] * tlk_norm_inverse(spread, s.epsilon);
    for (int64_t i = threadIdx.x; i < count; i += TLK_CUDA_THREADS) {
        int64_t at = tlk_norm_at(s, i, c);
        y[at] = fmaf(x[at] - centre, factor, bias[c]);
    }
    if (threadIdx.x == 0) {
        mean[c] = centre;
        variance[c] = spread;
    }
}

/* dscale, dbias: sums over the batch of dy * xhat and dy; a block is a channel. */
TLK_DEVICE void tlk_cuda_batch_norm_train_grad_scale_run(
    const tlk_cuda_batch_norm_train_grad_scale &s, const tlk_cuda_frame &f,
    tlk_ptr<const float> dy, tlk_ptr<const float> x, tlk_ptr<const float> mean,
    tlk_ptr<const float> variance, tlk_ptr<float> dscale, tlk_ptr<float> dbias)
{
    int c = (int)blockIdx.x;
    float centre = mean[c];
    float sum = tlk_norm_over_channel(s, f.n, c, [&](int64_t at) { return dy[at] + 0.0f; });
    float dot =
        tlk_norm_over_channel(s, f.n, c, [&](int64_t at) { return dy[at] * (x[at] - centre); });
    if (threadIdx.x == 0) {
        dscale[c] = dot * tlk_norm_inverse(variance[c], s.epsilon);
        dbias[c] = sum;
    }
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
