/* tlk_cuda_softmax.h: softmax, cross entropy of logits, and gradients.  A block is a row; its largest
 * is taken away before exp.  Labels lie in 0 .. classes-1: the runtime checks them. */
#ifndef TLK_CUDA_SOFTMAX_H
#define TLK_CUDA_SOFTMAX_H

#include "tlk_cuda.h"

/* The largest of z[first + i * stride], to all of the block. */
TLK_DEVICE float tlk_row_most(tlk_ptr<const float> z, int64_t first, int64_t count, int64_t stride)
{
    float most = -INFINITY;
    for (int64_t i = threadIdx.x; i < count; i += TLK_CUDA_THREADS)
        most = tlk_cuda_larger(most, z[first + i * stride]);
    return tlk_cuda_most(most);
}

/* Sum of exp(z - most) over a row, to all of the block. */
TLK_DEVICE float tlk_row_exps(tlk_ptr<const float> z, int64_t first, int64_t count,
                              int64_t stride, float most)
{
    float sum = 0;
    for (int64_t i = threadIdx.x; i < count; i += TLK_CUDA_THREADS)
        sum += expf(z[first + i * stride] - most);
    return tlk_cuda_sum(sum);
}

/* Along the middle one of [outer][size][inner], for each picture. */
struct tlk_cuda_softmax {
    int64_t batch, outer, size, inner;
};

TLK_DEVICE void tlk_cuda_softmax_run(const tlk_cuda_softmax &s, const tlk_cuda_frame &,
                                     tlk_ptr<const float> x, tlk_ptr<float> y)
{
    int64_t row = blockIdx.x, first = row / s.inner * s.size * s.inner + row % s.inner;
    float most = tlk_row_most(x, first, s.size, s.inner);
    float sum = tlk_row_exps(x, first, s.size, s.inner, most);
    for (int64_t i = threadIdx.x; i < s.size; i += TLK_CUDA_THREADS)
        y[first + i * s.inner] = expf(x[first + i * s.inner] - most) / sum;
}

/* dx = y * (dy - sum of dy * y) along the same axis. */
struct tlk_cuda_softmax_grad {
    int64_t batch, outer, size, inner;
};

TLK_DEVICE void tlk_cuda_softmax_grad_run(const tlk_cuda_softmax_grad &s, const tlk_cuda_frame &,
                                          tlk_ptr<const float> dy, tlk_ptr<const float> y,
                                          tlk_ptr<float> dx)
{
    int64_t row = blockIdx.x, first = row / s.inner * s.size * s.inner + row % s.inner;
    float dot = 0;
    for (int64_t i = threadIdx.x; i < s.size; i += TLK_CUDA_THREADS)
        dot = fmaf(dy[first + i * s.inner], y[first + i * s.inner], dot);
    dot = tlk_cuda_sum(dot);
    for (int64_t i = threadIdx.x; i < s.size; i += TLK_CUDA_THREADS) {
        int64_t at = first + i * s.inner;
        dx[at] = y[at] * (dy[at] - dot);
    }
}

/* loss[n] of z[n,classes] and labels; with smoothing e the target is (1-e) onehot + e/K. */
struct tlk_cuda_cross_entropy {
    int64_t batch;
    int classes;
    double smoothing;
};

TLK_DEVICE void tlk_cuda_cross_entropy_run(const tlk_cuda_cross_entropy &s,
                                           const tlk_cuda_frame &, const tlk_cuda_step &,
                                           tlk_ptr<const float> z, tlk_ptr<const int64_t> label,
                                           tlk_ptr<float> loss)
{
    int64_t first = (int64_t)blockIdx.x * s.classes;
    float most = tlk_row_most(z, first, s.classes, 1);
    float log_sum = logf(tlk_row_exps(z, first, s.classes, 1, most)), rest = 0;
    if (s.smoothing > 0) { /* the mean distance of all classes */
        for (int i = (int)threadIdx.x; i < s.classes; i += TLK_CUDA_THREADS)
            rest += log_sum - (z[first + i] - most);
        rest = tlk_cuda_sum(rest) * (float)(s.smoothing / s.classes);
    }
    if (threadIdx.x == 0)
        loss[blockIdx.x] =
            (float)(1 - s.smoothing) * (log_sum - (z[first + label[blockIdx.x]] - most)) + rest;
}

/* Gradient by z of the mean over the batch: (softmax(z) - target) / divisor. */
struct tlk_cuda_cross_entropy_grad {
    int64_t batch;
    int classes;
    double smoothing;
};

TLK_DEVICE void tlk_cuda_cross_entropy_grad_run(const tlk_cuda_cross_entropy_grad &s,
                                                const tlk_cuda_frame &f,
                                                const tlk_cuda_step &step,
                                                tlk_ptr<const float> z,
                                                tlk_ptr<const int64_t> label, tlk_ptr<float> dz)
{
    int64_t first = (int64_t)blockIdx.x * s.classes;
    float divisor = step.divisor;
    if (divisor == 0)
        divisor = (float)tlk_cuda_pictures(s.batch, f.n);
    float most = tlk_row_most(z, first, s.classes, 1);
    float sum = tlk_row_exps(z, first, s.classes, 1, most);
    for (int i = (int)threadIdx.x; i < s.classes; i += TLK_CUDA_THREADS) {
        float target = (float)(s.smoothing / s.classes);
        if (i == label[blockIdx.x])
            target += (float)(1 - s.smoothing);
        dz[first + i] = (expf(z[first + i] - most) / sum - target) / divisor;
    }
}

#endif
