/* tlk_ref_move.h: operators that only move elements: pad, transpose, slice, concat, copy.
 * An item is a picture. */
#ifndef TLK_REF_MOVE_H
#define TLK_REF_MOVE_H

#include "tlk_ref.h"

#include <stdarg.h>

/* Constant border; begin[k] below 0 would crop. */
typedef struct tlk_ref_pad {
    int64_t batch;
    int rank; /* of a picture */
    int64_t dim[TLK_REF_RANK], out_dim[TLK_REF_RANK], begin[TLK_REF_RANK];
    double value;
} tlk_ref_pad;

static inline int64_t tlk_ref_pad_items(const tlk_ref_pad *s, int64_t n)
{
    return tlk_ref_pictures(s->batch, n);
}

/* Where element `i` of the result lies in the operand; -1: in the border. */
static inline int64_t tlk_ref_pad_source(const tlk_ref_pad *s, int64_t i)
{
    int64_t at = 0, stride = 1;
    for (int k = s->rank - 1; k >= 0; --k) {
        int64_t from = i % s->out_dim[k] - s->begin[k];
        if (from < 0 || from >= s->dim[k])
            return -1;
        at += from * stride;
        stride *= s->dim[k];
        i /= s->out_dim[k];
    }
    return at;
}

static inline void tlk_ref_pad_item(const tlk_ref_pad *s, int64_t item, int64_t n,
                                    const tlk_real *x, tlk_real *y)
{
    (void)n;
    int64_t results = tlk_ref_product(s->rank, s->out_dim);
    x += item * tlk_ref_product(s->rank, s->dim);
    y += item * results;
    for (int64_t i = 0; i < results; ++i) {
        int64_t from = tlk_ref_pad_source(s, i);
        y[i] = from < 0 ? (tlk_real)s->value : x[from];
    }
}

/* Elements of the operand in another order: the strides of the operand by axis of the result. */
#define TLK_REF_STRIDED_FIELDS                             \
    int64_t batch;                                         \
    int rank;                                              \
    int64_t dim[TLK_REF_RANK], stride[TLK_REF_RANK];       \
    int64_t offset, in_elems /* of a picture of the operand */

typedef struct tlk_ref_transpose {
    TLK_REF_STRIDED_FIELDS;
} tlk_ref_transpose;

static inline int64_t tlk_ref_transpose_items(const tlk_ref_transpose *s, int64_t n)
{
    return tlk_ref_pictures(s->batch, n);
}

static inline void tlk_ref_transpose_item(const tlk_ref_transpose *s, int64_t item, int64_t n,
                                          const tlk_real *x, tlk_real *y)
{
    (void)n;
    int64_t results = tlk_ref_product(s->rank, s->dim);
    x += item * s->in_elems + s->offset;
    for (int64_t i = 0; i < results; ++i)
        y[item * results + i] = x[tlk_ref_offset(i, s->rank, s->dim, s->stride)];
}

typedef struct tlk_ref_slice {
    TLK_REF_STRIDED_FIELDS;
} tlk_ref_slice;

static inline int64_t tlk_ref_slice_items(const tlk_ref_slice *s, int64_t n)
{
    return tlk_ref_pictures(s->batch, n);
}

static inline void tlk_ref_slice_item(const tlk_ref_slice *s, int64_t item, int64_t n,
                                      const tlk_real *x, tlk_real *y)
{
    (void)n;
    int64_t results = tlk_ref_product(s->rank, s->dim);
    x += item * s->in_elems + s->offset;
    for (int64_t i = 0; i < results; ++i)
        y[item * results + i] = x[tlk_ref_offset(i, s->rank, s->dim, s->stride)];
}

/* Join: operand k is [outer][part[k]][inner] of a picture, the result [outer][sum][inner]. */
enum { TLK_REF_CONCAT_PARTS = 64 };

typedef struct tlk_ref_concat {
    int64_t batch, outer, inner;
    int parts;
    int64_t part[TLK_REF_CONCAT_PARTS];
} tlk_ref_concat;

static inline int64_t tlk_ref_concat_items(const tlk_ref_concat *s, int64_t n)
{
    return tlk_ref_pictures(s->batch, n);
}

/* After n: s->parts operands, then the result, each a pointer to elements. */
static inline void tlk_ref_concat_item(const tlk_ref_concat *s, int64_t item, int64_t n, ...)
{
    va_list operands, again;
    int64_t total = 0, before = 0;
    va_start(operands, n);
    va_copy(again, operands);
    for (int k = 0; k < s->parts; ++k) {
        (void)va_arg(again, const void *);
        total += s->part[k] * s->inner;
    }
    tlk_real *y = (tlk_real *)va_arg(again, void *) + item * s->outer * total;
    for (int k = 0; k < s->parts; ++k) {
        int64_t row = s->part[k] * s->inner;
        const tlk_real *x = va_arg(operands, const void *);
        x += item * s->outer * row;
        for (int64_t i = 0; i < s->outer * row; ++i)
            y[i / row * total + before + i % row] = x[i];
        before += row;
    }
    va_end(again);
    va_end(operands);
}

typedef struct tlk_ref_copy {
    int64_t batch, elems; /* elements of a picture */
} tlk_ref_copy;

static inline int64_t tlk_ref_copy_items(const tlk_ref_copy *s, int64_t n)
{
    return tlk_ref_pictures(s->batch, n);
}

static inline void tlk_ref_copy_item(const tlk_ref_copy *s, int64_t item, int64_t n,
                                     const tlk_real *x, tlk_real *y)
{
    (void)n;
    for (int64_t i = item * s->elems; i < (item + 1) * s->elems; ++i)
        y[i] = x[i];
}

/* The gradient of slice: dy in its places of x, zero elsewhere. */
typedef struct tlk_ref_slice_grad {
    int64_t batch;
    int rank;
    int64_t dim[TLK_REF_RANK], stride[TLK_REF_RANK]; /* of dy, and of its places in x */
    int64_t offset, out_elems;                       /* of a picture of x */
} tlk_ref_slice_grad;

static inline int64_t tlk_ref_slice_grad_items(const tlk_ref_slice_grad *s, int64_t n)
{
    return tlk_ref_pictures(s->batch, n);
}

static inline void tlk_ref_slice_grad_item(const tlk_ref_slice_grad *s, int64_t item, int64_t n,
                                           const tlk_real *dy, tlk_real *dx)
{
    (void)n;
    int64_t elems = tlk_ref_product(s->rank, s->dim);
    dx += item * s->out_elems;
    for (int64_t i = 0; i < s->out_elems; ++i)
        dx[i] = 0;
    for (int64_t i = 0; i < elems; ++i)
        dx[s->offset + tlk_ref_offset(i, s->rank, s->dim, s->stride)] = dy[item * elems + i];
}

#endif
