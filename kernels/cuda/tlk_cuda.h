/* tlk_cuda.h: what the CUDA kernels share: types, pointers, sums over a block.
 *
 * A kernel K is a struct of literals (fields as those of the reference's, ref/) and one function
 * for every thread:
 *
 *     TLK_DEVICE void tlk_cuda_K_run(const tlk_cuda_K &s, const tlk_cuda_frame &f, OPERANDS..., RESULTS...);
 *
 * The emitted __global__ function passes a constexpr literal, so that everything about the shape
 * folds.  Values lie in plain NCHW order, or in NHWC where a literal says so.  Sums run in an order
 * that follows from the shape alone and nothing is added atomically: the same bits on two runs, and
 * a picture's values do not depend on n.
 *
 * The same text compiles as plain C++ where tlk_cuda_emu.h stands in for the device: there
 * pointers and shared memory check every access.  So kernels name them by tlk_ptr and
 * TLK_SHARED, and index them; several numbers at once go by tlk_load4, tlk_store4 and tlk_store.
 */
#ifndef TLK_CUDA_H
#define TLK_CUDA_H

#if defined(__CUDACC_RTC__) /* no headers of the system there */
typedef signed char int8_t;
typedef unsigned char uint8_t;
typedef int int32_t;
typedef unsigned int uint32_t;
typedef long int64_t;
typedef unsigned long uint64_t;
#define INFINITY __builtin_bit_cast(float, 0x7f800000)
#else
#include <math.h>
#include <stdint.h>
#endif

#include "tlk_cuda_frame.h"

#if defined(__CUDACC__)
#define TLK_DEVICE static __device__ __forceinline__
#define TLK_METHOD __device__ __forceinline__
#define TLK_UNROLL _Pragma("unroll")
/* An array that the block's threads share. */
#define TLK_SHARED(type, name, count) __shared__ alignas(16) type name[count]
template <class T> using tlk_ptr = T *;
/* `elems` values at `at`: known bounds, for the emulation to check. */
template <class T> TLK_DEVICE T *tlk_view(T *at, int64_t) { return at; }
/* The same, and every one of them is written by the kernel before anything reads it. */
template <class T> TLK_DEVICE T *tlk_fresh(T *at, int64_t) { return at; }
template <class T> TLK_DEVICE T *tlk_writable(const T *p) { return const_cast<T *>(p); }
/* v[0..3] = p[i..i + 3], which is aligned to sixteen bytes. */
TLK_DEVICE void tlk_load4(const float *p, int64_t i, float *v)
{
    float4 four = *reinterpret_cast<const float4 *>(p + i);
    v[0] = four.x, v[1] = four.y, v[2] = four.z, v[3] = four.w;
}
TLK_DEVICE void tlk_store4(float *p, int64_t i, const float *v)
{
    *reinterpret_cast<float4 *>(p + i) = make_float4(v[0], v[1], v[2], v[3]);
}
/* to[at..] = two or four words at once, aligned to as many. */
template <int words> TLK_DEVICE void tlk_store(uint32_t *to, int at, const uint32_t *word)
{
    if constexpr (words == 4)
        *reinterpret_cast<uint4 *>(to + at) = make_uint4(word[0], word[1], word[2], word[3]);
    else
        *reinterpret_cast<uint2 *>(to + at) = make_uint2(word[0], word[1]);
}
#else
#include "tlk_cuda_emu.h"
#endif

constexpr int TLK_CUDA_THREADS = 256; /* of a block, in every kernel */
constexpr int TLK_CUDA_WARP = 32;
constexpr int TLK_CUDA_RANK = 8;

enum tlk_act { TLK_ACT_NONE, TLK_ACT_RELU, TLK_ACT_CLIP };

TLK_DEVICE int64_t tlk_cuda_pictures(int64_t batch, int64_t n) { return batch ? batch : n; }

/* This thread's element where each thread has one. */
TLK_DEVICE int64_t tlk_cuda_index()
{
    return (int64_t)blockIdx.x * TLK_CUDA_THREADS + threadIdx.x;
}

/* --- NCHW and NHWC: pictures of `channels` planes of `pixels`, channels first or last ------- */

/* Where channel `c` of picture `p` begins, and from there on, how far pixels are apart. */
TLK_DEVICE int64_t tlk_channel_at(bool nhwc, int64_t channels, int64_t pixels, int64_t p, int64_t c)
{
    return nhwc ? p * pixels * channels + c : (p * channels + c) * pixels;
}

TLK_DEVICE int64_t tlk_pixel_step(bool nhwc, int64_t channels)
{
    return nhwc ? channels : 1;
}

/* Channel and pixel of element `i`, which lies in picture i / (channels * pixels). */
TLK_DEVICE int64_t tlk_channel_of(bool nhwc, int64_t channels, int64_t pixels, int64_t i)
{
    return nhwc ? i % channels : i / pixels % channels;
}

TLK_DEVICE int64_t tlk_pixel_of(bool nhwc, int64_t channels, int64_t pixels, int64_t i)
{
    return nhwc ? i / channels % pixels : i % pixels;
}

/* Sums over a channel are a block's affair.  In NHWC it takes this many neighbouring channels, if
 * they are whole runs: 32 bytes, the least that memory moves at once. */
constexpr int TLK_CUDA_RUN = 8;

/* Neighbours from `at` on; a whole run is aligned. */
template <int count>
TLK_DEVICE void tlk_cuda_read(tlk_ptr<const float> p, int64_t at, float (&v)[count])
{
    TLK_UNROLL
    for (int j = 0; j < count; j += count % 4 == 0 ? 4 : 1)
        if constexpr (count % 4 == 0)
            tlk_load4(p, at + j, v + j);
        else
            v[j] = p[at + j];
}

template <int count>
TLK_DEVICE void tlk_cuda_write(tlk_ptr<float> p, int64_t at, const float (&v)[count])
{
    TLK_UNROLL
    for (int j = 0; j < count; j += count % 4 == 0 ? 4 : 1)
        if constexpr (count % 4 == 0)
            tlk_store4(p, at + j, v + j);
        else
            p[at + j] = v[j];
}

/* NaN passes through both, as in PyTorch. */
TLK_DEVICE float tlk_cuda_activate(tlk_act act, double lo, double hi, float v)
{
    if (act == TLK_ACT_RELU)
        return v < 0 ? 0 : v;
    if (act == TLK_ACT_CLIP)
        return v < (float)lo ? (float)lo : v > (float)hi ? (float)hi : v;
    return v;
}

/* Loops over axes have a fixed length and unroll: then a shape's numbers are constants in the code
 * and not an array in memory. */

/* Offset of flat row-major index `i` over dim[rank] in an array of other strides. */
TLK_DEVICE int64_t tlk_cuda_offset(int64_t i, int rank, const int64_t *dim, const int64_t *stride)
{
    int64_t at = 0;
TLK_UNROLL
    for (int k = TLK_CUDA_RANK - 1; k >= 0; --k)
        if (k < rank) {
            at += i % dim[k] * stride[k];
            i /= dim[k];
        }
    return at;
}

TLK_DEVICE constexpr int64_t tlk_cuda_product(int rank, const int64_t *dim)
{
    int64_t product = 1;
    TLK_UNROLL
    for (int k = 0; k < TLK_CUDA_RANK; ++k)
        product *= k < rank ? dim[k] : 1;
    return product;
}

TLK_DEVICE float tlk_cuda_larger(float a, float b)
{
    return b > a ? b : a;
}

/* Sums of each of v[] over the block's threads, to all of them: within each warp by halves, then
 * the warps in order.  Every thread of the block calls it. */
template <int count> TLK_DEVICE void tlk_cuda_sums(float (&v)[count])
{
    constexpr int WARPS = TLK_CUDA_THREADS / TLK_CUDA_WARP;
    TLK_SHARED(float, part, WARPS * count);
    TLK_UNROLL
    for (int j = 0; j < count; ++j) {
        for (int d = TLK_CUDA_WARP / 2; d > 0; d /= 2)
            v[j] += __shfl_down_sync(0xffffffffu, v[j], d);
        if (threadIdx.x % TLK_CUDA_WARP == 0)
            part[threadIdx.x / TLK_CUDA_WARP * count + j] = v[j];
    }
    __syncthreads();
    TLK_UNROLL
    for (int j = 0; j < count; ++j) {
        v[j] = 0;
        for (int w = 0; w < WARPS; ++w)
            v[j] += part[w * count + j];
    }
    __syncthreads(); /* before the next call writes there */
}

TLK_DEVICE float tlk_cuda_sum(float v)
{
    float sum[1] = { v };
    tlk_cuda_sums(sum);
    return sum[0];
}

/* The largest over the block's threads, to all of them. */
TLK_DEVICE float tlk_cuda_most(float v)
{
    TLK_SHARED(float, part, TLK_CUDA_THREADS / TLK_CUDA_WARP);
    for (int d = TLK_CUDA_WARP / 2; d > 0; d /= 2)
        v = tlk_cuda_larger(v, __shfl_down_sync(0xffffffffu, v, d));
    if (threadIdx.x % TLK_CUDA_WARP == 0)
        part[threadIdx.x / TLK_CUDA_WARP] = v;
    __syncthreads();
    float most = part[0];
    for (int w = 1; w < TLK_CUDA_THREADS / TLK_CUDA_WARP; ++w)
        most = tlk_cuda_larger(most, part[w]);
    __syncthreads();
    return most;
}

#endif
