/* tlk_cuda_gemm.h: the product under convolutions and linear layers, its operands read by a job.
 *
 * c[m][n] = sum over k of a(m, k) * b(k, n).  A block makes a tile of 64 x 64, a thread 4 x 4 of
 * it; sixteen of k at a time pass through shared memory.  Multiply-adds are fused, in the order of
 * k; every 512 the sum is put aside, so that long sums lose no more than short ones.
 *
 * A job says:
 *     int rows(), columns(), depth();        m, n, k
 *     tlk_part a_side(int m), a_along(int k);
 *     tlk_part b_side(int n), b_along(int k);
 *     float a(tlk_part side, tlk_part along), b(tlk_part side, tlk_part along);
 *     bool a_by_k(), b_by_k();               neighbours along k are neighbours in memory
 *     void put(int m, int n, float sum);     epilogue and store
 * Block x is the tile's column, block y its row.
 */
#ifndef TLK_CUDA_GEMM_H
#define TLK_CUDA_GEMM_H

#include "tlk_cuda.h"

constexpr int TLK_GEMM_TILE = 64;
constexpr int TLK_GEMM_STEP = 16;
constexpr int TLK_GEMM_SIDE = 16;  /* threads along each side of a tile */
constexpr int TLK_GEMM_PER = TLK_GEMM_TILE / TLK_GEMM_SIDE;
constexpr int TLK_GEMM_LOADS = TLK_GEMM_TILE * TLK_GEMM_STEP / TLK_CUDA_THREADS;
constexpr int TLK_GEMM_ASIDE = 32; /* steps until the sum is put aside */
constexpr int TLK_GEMM_ROW = TLK_GEMM_TILE + 1; /* in shared memory: another bank each row */

/* What an index along a side or along k has in the place of an element.  Two of them add up, so
 * that what belongs to the side is worked out once and not in every step. */
struct tlk_part {
    int64_t at;
    int h, w; /* where being inside a plane is asked */
};

/* Place of this thread's i-th load in a tile: along the side, and in k.  Neighbouring threads
 * take what lies together in memory. */
TLK_DEVICE int tlk_gemm_load_side(bool by_k, int i)
{
    int t = (int)threadIdx.x;
    return by_k ? t / TLK_GEMM_STEP + i * (TLK_CUDA_THREADS / TLK_GEMM_STEP) : t % TLK_GEMM_TILE;
}

TLK_DEVICE int tlk_gemm_load_k(bool by_k, int i)
{
    int t = (int)threadIdx.x;
    return by_k ? t % TLK_GEMM_STEP : t / TLK_GEMM_TILE + i * (TLK_CUDA_THREADS / TLK_GEMM_TILE);
}

/* One step of this thread's 4 x 4. */
template <class Shared>
TLK_DEVICE void tlk_gemm_multiply(const Shared &a, const Shared &b, int row, int column,
                                  float acc[TLK_GEMM_PER][TLK_GEMM_PER])
{
TLK_UNROLL
    for (int k = 0; k < TLK_GEMM_STEP; ++k) {
        float x[TLK_GEMM_PER], y[TLK_GEMM_PER];
TLK_UNROLL
        for (int i = 0; i < TLK_GEMM_PER; ++i) {
            x[i] = a[k * TLK_GEMM_ROW + row + i * TLK_GEMM_SIDE];
            y[i] = b[k * TLK_GEMM_ROW + column + i * TLK_GEMM_SIDE];
        }
TLK_UNROLL
        for (int i = 0; i < TLK_GEMM_PER; ++i)
TLK_UNROLL
            for (int j = 0; j < TLK_GEMM_PER; ++j)
                acc[i][j] = fmaf(x[i], y[j], acc[i][j]);
    }
}

/* sum += acc; acc = 0. */
TLK_DEVICE void tlk_gemm_put_aside(float sum[TLK_GEMM_PER][TLK_GEMM_PER],
                                   float acc[TLK_GEMM_PER][TLK_GEMM_PER])
{
TLK_UNROLL
    for (int i = 0; i < TLK_GEMM_PER; ++i)
TLK_UNROLL
        for (int j = 0; j < TLK_GEMM_PER; ++j) {
            sum[i][j] += acc[i][j];
            acc[i][j] = 0;
        }
}

template <class Job> TLK_DEVICE void tlk_cuda_gemm(const Job &job)
{
    TLK_SHARED(float, a, TLK_GEMM_STEP * TLK_GEMM_ROW);
    TLK_SHARED(float, b, TLK_GEMM_STEP * TLK_GEMM_ROW);
    const int m0 = (int)blockIdx.y * TLK_GEMM_TILE, n0 = (int)blockIdx.x * TLK_GEMM_TILE;
    const int row = (int)threadIdx.x / TLK_GEMM_SIDE, column = (int)threadIdx.x % TLK_GEMM_SIDE;
    const int rows = job.rows(), columns = job.columns(), depth = job.depth();
    float sum[TLK_GEMM_PER][TLK_GEMM_PER] = {}, acc[TLK_GEMM_PER][TLK_GEMM_PER] = {};
    for (int k0 = 0, step = 1; k0 < depth; k0 += TLK_GEMM_STEP, ++step) {
TLK_UNROLL
        for (int i = 0; i < TLK_GEMM_LOADS; ++i) {
            int m = tlk_gemm_load_side(job.a_by_k(), i), k = tlk_gemm_load_k(job.a_by_k(), i);
            bool inside = m0 + m < rows && k0 + k < depth;
            a[k * TLK_GEMM_ROW + m] =
                inside ? job.a(job.a_side(m0 + m), job.a_along(k0 + k)) : 0.0f;
            int n = tlk_gemm_load_side(job.b_by_k(), i);
            k = tlk_gemm_load_k(job.b_by_k(), i);
            inside = n0 + n < columns && k0 + k < depth;
            b[k * TLK_GEMM_ROW + n] =
                inside ? job.b(job.b_side(n0 + n), job.b_along(k0 + k)) : 0.0f;
        }
        __syncthreads();
        tlk_gemm_multiply(a, b, row, column, acc);
        if (step % TLK_GEMM_ASIDE == 0)
            tlk_gemm_put_aside(sum, acc);
        __syncthreads();
    }
    tlk_gemm_put_aside(sum, acc);
TLK_UNROLL
    for (int i = 0; i < TLK_GEMM_PER; ++i)
TLK_UNROLL
        for (int j = 0; j < TLK_GEMM_PER; ++j) {
            int m = m0 + row + i * TLK_GEMM_SIDE, n = n0 + column + j * TLK_GEMM_SIDE;
            if (m < rows && n < columns)
                job.put(m, n, sum[i][j]);
        }
}

#endif
