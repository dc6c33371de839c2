/* tlk_cuda_reduce.h: means, the sums that undo a broadcast, gradients of biases, and
 * normalisations across features or channels. */
#ifndef TLK_CUDA_REDUCE_H
#define TLK_CUDA_REDUCE_H

#include "tlk_cuda.h"

#define TLK_CUDA_REDUCE_FIELDS                                               \
    int kept, reduced; /* axes of each kind of a picture of x */             \
    int64_t kept_dim[TLK_CUDA_RANK], kept_stride[TLK_CUDA_RANK];             \
    int64_t reduced_dim[TLK_CUDA_RANK], reduced_stride[TLK_CUDA_RANK]

struct tlk_cuda_reduce_mean {
    int64_t batch;
    TLK_CUDA_REDUCE_FIELDS;
};

/* A thread is a mean. */
TLK_DEVICE void tlk_cuda_reduce_mean_run(const tlk_cuda_reduce_mean &s, const tlk_cuda_frame &f,
                                         tlk_ptr<const float> x, tlk_ptr<float> y)
{
    int64_t i = tlk_cuda_index(), results = tlk_cuda_product(s.kept, s.kept_dim);
    int64_t count = tlk_cuda_product(s.reduced, s.reduced_dim);
    if (i >= tlk_cuda_pictures(s.batch, f.n) * results)
        return;
    int64_t first = i / results * results * count +
                    tlk_cuda_offset(i % results, s.kept, s.kept_dim, s.kept_stride);
    float sum = 0;
    for (int64_t k = 0; k < count; ++k)
        sum += x[first + tlk_cuda_offset(k, s.reduced, s.reduced_dim, s.reduced_stride)];
    y[i] = sum / (float)count;
}

/* Each element gets its mean's divided by the number of elements in it. */
struct tlk_cuda_reduce_mean_grad {
    int64_t batch;
    int rank;                                             /* of a picture of dx */
    int64_t dim[TLK_CUDA_RANK], stride_dy[TLK_CUDA_RANK]; /* 0 along the axes averaged over */
    int64_t picture_dy, count;                            /* elements of dy a picture, of a mean */
};

/* A thread is an element of dx. */
TLK_DEVICE void tlk_cuda_reduce_mean_grad_run(const tlk_cuda_reduce_mean_grad &s,
                                              const tlk_cuda_frame &f, tlk_ptr<const float> dy,
                                              tlk_ptr<float> dx)
{
    int64_t i = tlk_cuda_index(), elems = tlk_cuda_product(s.rank, s.dim);
    if (i < tlk_cuda_pictures(s.batch, f.n) * elems)
        dx[i] = dy[i / elems * s.picture_dy +
                   tlk_cuda_offset(i % elems, s.rank, s.dim, s.stride_dy)] / (float)s.count;
}

/* Sum over the axes that a broadcast repeated, the batch perhaps among them. */
struct tlk_cuda_sum_to {
    int64_t batch;
    bool sum_pictures;
    TLK_CUDA_REDUCE_FIELDS;
};

/* A block is an element of the result. */
TLK_DEVICE void tlk_cuda_sum_to_run(const tlk_cuda_sum_to &s, const tlk_cuda_frame &f,
                                    tlk_ptr<const float> x, tlk_ptr<float> y)
{
    int64_t item = blockIdx.x, results = tlk_cuda_product(s.kept, s.kept_dim);
    int64_t count = tlk_cuda_product(s.reduced, s.reduced_dim);
    int64_t pictures = s.sum_pictures ? tlk_cuda_pictures(s.batch, f.n) : 1;
    int64_t first = item / results * results * count +
                    tlk_cuda_offset(item % results, s.kept, s.kept_dim, s.kept_stride);
    float sum = 0;
    for (int64_t k = threadIdx.x; k < pictures * count; k += TLK_CUDA_THREADS)
        sum += x[first + k / count * (results * count) +
                 tlk_cuda_offset(k % count, s.reduced, s.reduced_dim, s.reduced_stride)];
    sum = tlk_cuda_sum(sum);
    if (threadIdx.x == 0)
        y[item] = sum;
}

/* The sum of `parts` arrays that lie one after another, in their order; a thread is an element. */
struct tlk_cuda_sum_parts {
    int64_t elems;
    int parts;
};

TLK_DEVICE void tlk_cuda_sum_parts_run(const tlk_cuda_sum_parts &s, const tlk_cuda_frame &,
                                       tlk_ptr<const float> x, tlk_ptr<float> y)
{
    int64_t i = tlk_cuda_index();
    if (i >= s.elems)
        return;
    float sum = x[i];
    for (int part = 1; part < s.parts; ++part)
        sum += x[part * s.elems + i];
    y[i] = sum;
}

/* db[out] = dy[n][out][plane] summed over batch and plane; a block is an output, or a run of them
 * where they are neighbours. */
struct tlk_cuda_bias_grad {
    int64_t batch;
    int out;
    int64_t plane; /* 1 for a linear layer's */
    bool nhwc;
};

template <int run>
TLK_DEVICE void tlk_bias_grad(const tlk_cuda_bias_grad &s, const tlk_cuda_frame &f,
                              tlk_ptr<const float> dy, tlk_ptr<float> db)
{
    const int64_t count = tlk_cuda_pictures(s.batch, f.n) * s.plane, first = blockIdx.x * run;
    float sum[run] = {};
    for (int64_t i = threadIdx.x; i < count; i += TLK_CUDA_THREADS) {
        float v[run];
        tlk_cuda_read(dy,
                      s.nhwc ? i * s.out + first
                             : (i / s.plane * s.out + first) * s.plane + i % s.plane,
                      v);
        TLK_UNROLL
        for (int j = 0; j < run; ++j)
            sum[j] += v[j];
    }
    tlk_cuda_sums(sum);
    TLK_UNROLL
    for (int j = 0; j < run; ++j)
        if (threadIdx.x == 0)
            db[first + j] = sum[j];
}

TLK_DEVICE void tlk_cuda_bias_grad_run(const tlk_cuda_bias_grad &s, const tlk_cuda_frame &f,
                                       tlk_ptr<const float> dy, tlk_ptr<float> db)
{
    if (s.nhwc && s.out % TLK_CUDA_RUN == 0)
        tlk_bias_grad<TLK_CUDA_RUN>(s, f, dy, db);
    else
        tlk_bias_grad<1>(s, f, dy, db);
}

/* --- normalisations ---------------------------------------------------------------- */

struct tlk_cuda_layer_norm {
    int64_t batch, outer, size; /* a picture is `outer` rows of `size` values that are normalised */
    double epsilon;
};

/* A block is a row. */
TLK_DEVICE void tlk_cuda_layer_norm_run(const tlk_cuda_layer_norm &s, const tlk_cuda_frame &,
                                        tlk_ptr<const float> x, tlk_ptr<const float> scale,
                                        tlk_ptr<const float> bias, tlk_ptr<float> y)
{
    int64_t first = (int64_t)blockIdx.x * s.size;
    float sum = 0, square = 0;
    for (int64_t i = threadIdx.x; i < s.size; i += TLK_CUDA_THREADS)
        sum += x[first + i];
    float mean = tlk_cuda_sum(sum) / (float)s.size;
    for (int64_t i = threadIdx.x; i < s.size; i += TLK_CUDA_THREADS)
        square = fmaf(x[first + i] - mean, x[first + i] - mean, square);
    float factor = 1 / sqrtf(tlk_cuda_sum(square) / (float)s.size + (float)s.epsilon);
    for (int64_t i = threadIdx.x; i < s.size; i += TLK_CUDA_THREADS) {
        float v = (x[first + i] - mean) * factor;
        if (scale)
            v *= scale[i];
        if (bias)
            v += bias[i];
        y[first + i] = v;
    }
}

struct tlk_cuda_lrn {
    int64_t batch, c, plane, size;
    double alpha, beta, bias;
    bool nhwc;
};

/* A thread is an element. */
TLK_DEVICE void tlk_cuda_lrn_run(const tlk_cuda_lrn &s, const tlk_cuda_frame &f,
                                 tlk_ptr<const float> x, tlk_ptr<float> y)
{
    int64_t i = tlk_cuda_index();
    if (i >= tlk_cuda_pictures(s.batch, f.n) * s.c * s.plane)
        return;
    const int64_t step = s.nhwc ? 1 : s.plane; /* from channel to channel */
    int64_t c = tlk_channel_of(s.nhwc, s.c, s.plane, i), first = c - (s.size - 1) / 2, last = c + s.size / 2;
    first = first < 0 ? 0 : first;
    last = last < s.c ? last : s.c - 1;
    float sum = 0;
    for (int64_t k = first; k <= last; ++k) {
        float v = x[i + (k - c) * step];
        sum = fmaf(v, v, sum);
    }
    y[i] = x[i] / powf((float)s.bias + (float)(s.alpha / (double)s.size) * sum, (float)s.beta);
}

#endif
