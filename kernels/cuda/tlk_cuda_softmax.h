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

/* Weights of the classes; NULL: all 1. */
TLK_DEVICE tlk_ptr<const float> tlk_class_weights(const tlk_cuda_step &step, int classes)
{
    if (!step.class_weights)
        return nullptr;
    return tlk_view(step.class_weights, classes);
}

TLK_DEVICE float tlk_class_weight(tlk_ptr<const float> weight, int64_t k)
{
    return weight ? weight[k] : 1.0f;
}

/* loss[n] of z[n,classes] and labels; with smoothing e the target is (1-e) onehot + e/K, and each
 * class's share of it is times its weight. */
struct tlk_cuda_cross_entropy {
    int64_t batch;
    int classes;
    double smoothing;
};

TLK_DEVICE void tlk_cuda_cross_entropy_run(const tlk_cuda_cross_entropy &s,
                                           const tlk_cuda_frame &, const tlk_cuda_step &step,
                                           tlk_ptr<const float> z, tlk_ptr<const int64_t> label,
                                           tlk_ptr<float> loss)
{
    int64_t first = (int64_t)blockIdx.x * s.classes;
    tlk_ptr<const float> weight = tlk_class_weights(step, s.classes);
    float most = tlk_row_most(z, first, s.classes, 1);
    float log_sum = logf(tlk_row_exps(z, first, s.classes, 1, most)), rest = 0;
    if (s.smoothing > 0) { /* the mean distance of all classes */
        for (int i = (int)threadIdx.x; i < s.classes; i += TLK_CUDA_THREADS)
            rest += tlk_class_weight(weight, i) * (log_sum - (z[first + i] - most));
        rest = tlk_cuda_sum(rest) * (float)(s.smoothing / s.classes);
    }
    if (threadIdx.x == 0) {
        int64_t is = label[blockIdx.x];
        float share = (float)(1 - s.smoothing) * tlk_class_weight(weight, is);
        loss[blockIdx.x] = share * (log_sum - (z[first + is] - most)) + rest;
    }
}

/* Gradient by z of the mean: (softmax(z) sum of target - target) / divisor. */
struct tlk_cuda_cross_entropy_grad {
    int64_t batch;
    int classes;
    double smoothing;
};

/* Sum over the classes of the weighted target, to all of the block; 1 where none has a weight. */
TLK_DEVICE float tlk_target_mass(const tlk_cuda_cross_entropy_grad &s,
                                 tlk_ptr<const float> weight, int64_t is)
{
    float rest = 0;
    if (!weight)
        return 1;
    if (s.smoothing > 0) {
        for (int i = (int)threadIdx.x; i < s.classes; i += TLK_CUDA_THREADS)
            rest += weight[i];
        rest = tlk_cuda_sum(rest) * (float)(s.smoothing / s.classes);
    }
    return (float)(1 - s.smoothing) * weight[is] + rest;
}

/* Weights of the labels of n pictures, to all of the block. */
TLK_DEVICE float tlk_label_weights(tlk_ptr<const float> weight, tlk_ptr<const int64_t> label,
                                   int64_t n)
{
    float sum = 0;
    if (!weight)
        return (float)n;
    for (int64_t i = threadIdx.x; i < n; i += TLK_CUDA_THREADS)
        sum += weight[label[i]];
    return tlk_cuda_sum(sum);
}

TLK_DEVICE void tlk_cuda_cross_entropy_grad_run(const tlk_cuda_cross_entropy_grad &s,
                                                const tlk_cuda_frame &f,
                                                const tlk_cuda_step &step,
                                                tlk_ptr<const float> z,
                                                tlk_ptr<const int64_t> label, tlk_ptr<float> dz)
{
    int64_t first = (int64_t)blockIdx.x * s.classes, is = label[blockIdx.x];
    tlk_ptr<const float> weight = tlk_class_weights(step, s.classes);
    float divisor = step.divisor, mass = tlk_target_mass(s, weight, is);
    if (divisor == 0)
        divisor = tlk_label_weights(weight, label, tlk_cuda_pictures(s.batch, f.n));
    float most = tlk_row_most(z, first, s.classes, 1);
    float sum = tlk_row_exps(z, first, s.classes, 1, most);
    for (int i = (int)threadIdx.x; i < s.classes; i += TLK_CUDA_THREADS) {
        float target = (float)(s.smoothing / s.classes);
        if (i == is)
            target += (float)(1 - s.smoothing);
        float share = expf(z[first + i] - most) / sum * mass;
        dz[first + i] = (share - target * tlk_class_weight(weight, i)) / divisor;
    }
}

#endif
