/* tlk_cuda_move.h: operators that only move elements: pad, transpose, slice, concat, copy.
 * A thread is an element of the result. */
#ifndef TLK_CUDA_MOVE_H
#define TLK_CUDA_MOVE_H

#include "tlk_cuda.h"

/* Constant border; begin[k] below 0 would crop. */
struct tlk_cuda_pad {
    int64_t batch;
    int rank; /* of a picture */
    int64_t dim[TLK_CUDA_RANK], out_dim[TLK_CUDA_RANK], begin[TLK_CUDA_RANK];
    double value;
};

/* Where element `i` of the result lies in the operand; -1: in the border. */
TLK_DEVICE int64_t tlk_cuda_pad_source(const tlk_cuda_pad &s, int64_t i)
{
    int64_t at = 0, stride = 1;
    bool inside = true;
    TLK_UNROLL
    for (int k = TLK_CUDA_RANK - 1; k >= 0; --k)
        if (k < s.rank) {
            int64_t from = i % s.out_dim[k] - s.begin[k];
            inside = inside && from >= 0 && from < s.dim[k];
            at += from * stride;
            stride *= s.dim[k];
            i /= s.out_dim[k];
        }
    return inside ? at : -1;
}

TLK_DEVICE void tlk_cuda_pad_run(const tlk_cuda_pad &s, const tlk_cuda_frame &f,
                                 tlk_ptr<const float> x, tlk_ptr<float> y)
{
    int64_t i = tlk_cuda_index(), results = tlk_cuda_product(s.rank, s.out_dim);
    if (i >= tlk_cuda_pictures(s.batch, f.n) * results)
        return;
    int64_t from = tlk_cuda_pad_source(s, i % results);
    y[i] = from < 0 ? (float)s.value : x[i / results * tlk_cuda_product(s.rank, s.dim) + from];
}

/* Elements of the operand in another order: the operand's strides by axis of the result. */
#define TLK_CUDA_STRIDED(name)                                               \
    struct name {                                                            \
        int64_t batch;                                                       \
        int rank;                                                            \
        int64_t dim[TLK_CUDA_RANK], stride[TLK_CUDA_RANK];                   \
        int64_t offset, in_elems; /* of a picture of the operand */          \
    }
TLK_CUDA_STRIDED(tlk_cuda_transpose);
TLK_CUDA_STRIDED(tlk_cuda_slice);

template <class S>
TLK_DEVICE void tlk_cuda_gather(const S &s, const tlk_cuda_frame &f, tlk_ptr<const float> x,
                                tlk_ptr<float> y)
{
    int64_t i = tlk_cuda_index(), results = tlk_cuda_product(s.rank, s.dim);
    if (i < tlk_cuda_pictures(s.batch, f.n) * results)
        y[i] = x[i / results * s.in_elems + s.offset +
                 tlk_cuda_offset(i % results, s.rank, s.dim, s.stride)];
}

TLK_DEVICE void tlk_cuda_transpose_run(const tlk_cuda_transpose &s, const tlk_cuda_frame &f,
                                       tlk_ptr<const float> x, tlk_ptr<float> y)
{
    tlk_cuda_gather(s, f, x, y);
}

TLK_DEVICE void tlk_cuda_slice_run(const tlk_cuda_slice &s, const tlk_cuda_frame &f,
                                   tlk_ptr<const float> x, tlk_ptr<float> y)
{
    tlk_cuda_gather(s, f, x, y);
}

/* The gradient of a slice: dy in its places of x, zero elsewhere. */
struct tlk_cuda_slice_grad {
    int64_t batch;
    int rank; /* of a picture */
    int64_t dim[TLK_CUDA_RANK], dy_dim[TLK_CUDA_RANK]; /* of x, and of dy */
    int64_t start[TLK_CUDA_RANK], step[TLK_CUDA_RANK];
};

/* Which element of dy stands at element `i` of x; -1: none. */
TLK_DEVICE int64_t tlk_cuda_slice_place(const tlk_cuda_slice_grad &s, int64_t i)
{
    int64_t place = 0, stride = 1;
    bool inside = true;
    TLK_UNROLL
    for (int k = TLK_CUDA_RANK - 1; k >= 0; --k)
        if (k < s.rank) {
            int64_t from = i % s.dim[k] - s.start[k], index = from / s.step[k];
            inside = inside && from % s.step[k] == 0 && index >= 0 && index < s.dy_dim[k];
            place += index * stride;
            stride *= s.dy_dim[k];
            i /= s.dim[k];
        }
    return inside ? place : -1;
}

TLK_DEVICE void tlk_cuda_slice_grad_run(const tlk_cuda_slice_grad &s, const tlk_cuda_frame &f,
                                        tlk_ptr<const float> dy, tlk_ptr<float> dx)
{
    int64_t i = tlk_cuda_index(), elems = tlk_cuda_product(s.rank, s.dim);
    if (i >= tlk_cuda_pictures(s.batch, f.n) * elems)
        return;
    int64_t place = tlk_cuda_slice_place(s, i % elems);
    dx[i] = place < 0 ? 0.0f : dy[i / elems * tlk_cuda_product(s.rank, s.dy_dim) + place];
}

/* Join: operand k is [outer][part[k]][inner] of a picture, the result [outer][sum][inner]. */
constexpr int TLK_CUDA_CONCAT_PARTS = 64;

struct tlk_cuda_concat {
    int64_t batch, outer, inner;
    int parts;
    int64_t part[TLK_CUDA_CONCAT_PARTS];
};

/* s.parts operands, then the result. */
template <class... P>
TLK_DEVICE void tlk_cuda_concat_run(const tlk_cuda_concat &s, const tlk_cuda_frame &f, P... p)
{
    tlk_ptr<const float> all[] = { p... };
    int64_t total = 0;
    TLK_UNROLL
    for (int k = 0; k < (int)sizeof...(p) - 1; ++k)
        total += s.part[k] * s.inner;
    int64_t i = tlk_cuda_index(), row = i / total, column = i % total;
    if (i >= tlk_cuda_pictures(s.batch, f.n) * s.outer * total)
        return;
TLK_UNROLL
    for (int k = 0; k < (int)sizeof...(p) - 1; ++k) {
        int64_t own = s.part[k] * s.inner;
        if (column >= 0 && column < own)
            tlk_writable(all[sizeof...(p) - 1])[i] = all[k][row * own + column];
        column -= own;
    }
}

struct tlk_cuda_copy {
    int64_t batch, elems; /* elements of a picture */
};

TLK_DEVICE void tlk_cuda_copy_run(const tlk_cuda_copy &s, const tlk_cuda_frame &f,
                                  tlk_ptr<const float> x, tlk_ptr<float> y)
{
    int64_t i = tlk_cuda_index();
    if (i < tlk_cuda_pictures(s.batch, f.n) * s.elems)
        y[i] = x[i];
}

#endif
