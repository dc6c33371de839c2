/* tlk_cuda_relayout.h: from NCHW to NHWC or back: each picture's matrix, of channels and pixels, is
 * transposed.  A block takes a tile of 32 x 32 through shared memory, so that a warp reads and
 * writes 32 neighbours; rows have 33 words there, so that no two lanes meet in a bank. */
#ifndef TLK_CUDA_RELAYOUT_H
#define TLK_CUDA_RELAYOUT_H

#include "tlk_cuda.h"

constexpr int TLK_RELAYOUT_TILE = TLK_CUDA_WARP;
constexpr int TLK_RELAYOUT_WARPS = TLK_CUDA_THREADS / TLK_CUDA_WARP;

struct tlk_cuda_relayout {
    int rows, columns; /* of a matrix of x */
};

TLK_DEVICE void tlk_cuda_relayout_run(const tlk_cuda_relayout &s, const tlk_cuda_frame &,
                                      tlk_ptr<const float> x, tlk_ptr<float> y)
{
    constexpr int TILE = TLK_RELAYOUT_TILE;
    TLK_SHARED(float, tile, TILE * (TILE + 1));
    const int across = (s.columns + TILE - 1) / TILE, down = (s.rows + TILE - 1) / TILE;
    const int row0 = (int)blockIdx.x / across % down * TILE;
    const int column0 = (int)blockIdx.x % across * TILE;
    const int64_t picture = (int64_t)(blockIdx.x / (across * down)) * s.rows * s.columns;
    const int lane = (int)threadIdx.x % TILE, warp = (int)threadIdx.x / TILE;
    TLK_UNROLL
    for (int i = warp; i < TILE; i += TLK_RELAYOUT_WARPS)
        if (row0 + i < s.rows && column0 + lane < s.columns)
            tile[i * (TILE + 1) + lane] =
                x[picture + (int64_t)(row0 + i) * s.columns + column0 + lane];
    __syncthreads();
    TLK_UNROLL
    for (int i = warp; i < TILE; i += TLK_RELAYOUT_WARPS)
        if (column0 + i < s.columns && row0 + lane < s.rows)
            y[picture + (int64_t)(column0 + i) * s.rows + row0 + lane] =
                tile[lane * (TILE + 1) + i];
}

#endif
