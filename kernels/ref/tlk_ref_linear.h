/* tlk_ref_linear.h: x[n,in] times w[out,in] transposed, its gradients, and the plain product. */
#ifndef TLK_REF_LINEAR_H
#define TLK_REF_LINEAR_H

#include "tlk_ref.h"

/* Sum of a[i * da] * b[i * db], in the order of i. */
static inline double tlk_ref_dot(int64_t count, const tlk_real *a, int64_t da, const tlk_real *b,
                                 int64_t db)
{
    double sum = 0;
    for (int64_t i = 0; i < count; ++i)
        sum += (double)a[i * da] * b[i * db];
    return sum;
}

/* y = act(x w^T + b); an item is a picture. */
typedef struct tlk_ref_linear {
    int64_t batch;
    int in, out;
    tlk_act act;
    double lo, hi;
} tlk_ref_linear;

static inline int64_t tlk_ref_linear_items(const tlk_ref_linear *s, int64_t n)
{
    return tlk_ref_pictures(s->batch, n);
}

static inline void tlk_ref_linear_item(const tlk_ref_linear *s, int64_t item, int64_t n,
                                       const tlk_real *x, const tlk_real *w, const tlk_real *b,
                                       tlk_real *y)
{
    (void)n;
    x += item * s->in;
    y += item * s->out;
    for (int o = 0; o < s->out; ++o) {
        double sum = tlk_ref_dot(s->in, x, 1, w + (int64_t)o * s->in, 1);
        y[o] = tlk_ref_activate(s->act, s->lo, s->hi, (tlk_real)(b ? sum + (double)b[o] : sum));
    }
}

/* y[rows,cols] = a[rows,inner] b[inner,cols]; `batch` is rows; an item is a row. */
typedef struct tlk_ref_matmul {
    int64_t batch;
    int inner, cols;
} tlk_ref_matmul;

static inline int64_t tlk_ref_matmul_items(const tlk_ref_matmul *s, int64_t n)
{
    return tlk_ref_pictures(s->batch, n);
}

static inline void tlk_ref_matmul_item(const tlk_ref_matmul *s, int64_t item, int64_t n,
                                       const tlk_real *a, const tlk_real *b, tlk_real *y)
{
    (void)n;
    for (int col = 0; col < s->cols; ++col)
        y[item * s->cols + col] =
            (tlk_real)tlk_ref_dot(s->inner, a + item * s->inner, 1, b + col, s->cols);
}

/* y = a b for each of `matrices` of a picture, either perhaps transposed; an item is a matrix. */
typedef struct tlk_ref_batch_matmul {
    int64_t batch, matrices;
    int rows, inner, cols;
    bool trans_a, trans_b;
} tlk_ref_batch_matmul;

static inline int64_t tlk_ref_batch_matmul_items(const tlk_ref_batch_matmul *s, int64_t n)
{
    return tlk_ref_pictures(s->batch, n) * s->matrices;
}

static inline void tlk_ref_batch_matmul_item(const tlk_ref_batch_matmul *s, int64_t item, int64_t n,
                                             const tlk_real *a, const tlk_real *b, tlk_real *y)
{
    (void)n;
    int64_t next_row = s->trans_a ? 1 : s->inner, along_a = s->trans_a ? s->rows : 1;
    int64_t next_col = s->trans_b ? s->inner : 1, along_b = s->trans_b ? 1 : s->cols;
    a += item * s->rows * s->inner;
    b += item * s->inner * s->cols;
    y += item * s->rows * s->cols;
    for (int row = 0; row < s->rows; ++row)
        for (int col = 0; col < s->cols; ++col)
            *y++ = (tlk_real)tlk_ref_dot(s->inner, a + row * next_row, along_a, b + col * next_col,
                                         along_b);
}

/* dx[n,in] = dy[n,out] w[out,in]; an item is a picture. */
typedef struct tlk_ref_linear_grad_x {
    int64_t batch;
    int in, out;
} tlk_ref_linear_grad_x;

static inline int64_t tlk_ref_linear_grad_x_items(const tlk_ref_linear_grad_x *s, int64_t n)
{
    return tlk_ref_pictures(s->batch, n);
}

static inline void tlk_ref_linear_grad_x_item(const tlk_ref_linear_grad_x *s, int64_t item,
                                              int64_t n, const tlk_real *dy, const tlk_real *w,
                                              tlk_real *dx)
{
    (void)n;
    for (int i = 0; i < s->in; ++i)
        dx[item * s->in + i] = (tlk_real)tlk_ref_dot(s->out, dy + item * s->out, 1, w + i, s->in);
}

/* dw[out,in] = dy^T x, summed over the batch in its order; an item is an output. */
typedef struct tlk_ref_linear_grad_w {
    int64_t batch;
    int in, out;
} tlk_ref_linear_grad_w;

static inline int64_t tlk_ref_linear_grad_w_items(const tlk_ref_linear_grad_w *s, int64_t n)
{
    (void)n;
    return s->out;
}

static inline void tlk_ref_linear_grad_w_item(const tlk_ref_linear_grad_w *s, int64_t item,
                                              int64_t n, const tlk_real *dy, const tlk_real *x,
                                              tlk_real *dw)
{
    int64_t pictures = tlk_ref_pictures(s->batch, n);
    for (int i = 0; i < s->in; ++i)
        dw[item * s->in + i] =
            (tlk_real)tlk_ref_dot(pictures, dy + item, s->out, x + i, s->in);
}

/* db[out] = dy[n][out][plane] summed over batch and plane; an item is an output. */
typedef struct tlk_ref_bias_grad {
    int64_t batch;
    int out;
    int64_t plane; /* 1 for a linear layer's */
} tlk_ref_bias_grad;

static inline int64_t tlk_ref_bias_grad_items(const tlk_ref_bias_grad *s, int64_t n)
{
    (void)n;
    return s->out;
}

static inline void tlk_ref_bias_grad_item(const tlk_ref_bias_grad *s, int64_t item, int64_t n,
                                          const tlk_real *dy, tlk_real *db)
{
    double sum = 0;
    for (int64_t i = 0; i < tlk_ref_pictures(s->batch, n); ++i)
        for (int64_t k = 0; k < s->plane; ++k)
            sum += (double)dy[(i * s->out + item) * s->plane + k];
    db[item] = (tlk_real)sum;
}

#endif
