/* tlk_ref_elementwise.h: activations, their gradients, and broadcast arithmetic.
 *
 * An item is a picture.  Each function may run in place: element i of the result depends on
 * element i of an operand of the same shape alone.
 */
#ifndef TLK_REF_ELEMENTWISE_H
#define TLK_REF_ELEMENTWISE_H

#include "tlk_ref.h"

/* relu and clip. */
typedef struct tlk_ref_act {
    int64_t batch, elems; /* elements of a picture */
    tlk_act act;
    double lo, hi;
} tlk_ref_act;

static inline int64_t tlk_ref_act_items(const tlk_ref_act *s, int64_t n)
{
    return tlk_ref_pictures(s->batch, n);
}

static inline void tlk_ref_act_item(const tlk_ref_act *s, int64_t item, int64_t n,
                                    const tlk_real *x, tlk_real *y)
{
    (void)n;
    for (int64_t i = item * s->elems; i < (item + 1) * s->elems; ++i)
        y[i] = tlk_ref_activate(s->act, s->lo, s->hi, x[i]);
}

/* dy where the result y lies inside, else 0; at the bounds 0, as PyTorch. */
typedef struct tlk_ref_act_grad {
    int64_t batch, elems;
    tlk_act act;
    double lo, hi;
} tlk_ref_act_grad;

static inline int64_t tlk_ref_act_grad_items(const tlk_ref_act_grad *s, int64_t n)
{
    return tlk_ref_pictures(s->batch, n);
}

static inline void tlk_ref_act_grad_item(const tlk_ref_act_grad *s, int64_t item, int64_t n,
                                         const tlk_real *dy, const tlk_real *y, tlk_real *dx)
{
    (void)n;
    tlk_real lo = s->act == TLK_ACT_RELU ? 0 : (tlk_real)s->lo;
    tlk_real hi = s->act == TLK_ACT_RELU ? (tlk_real)INFINITY : (tlk_real)s->hi;
    for (int64_t i = item * s->elems; i < (item + 1) * s->elems; ++i)
        dx[i] = y[i] > lo && (y[i] < hi || s->act == TLK_ACT_RELU) ? dy[i] : 0;
}

/* a + b, a - b, a * b, a / b, the smaller, the larger, with broadcasting: a stride of 0 repeats an
 * element. */
typedef enum tlk_binary { TLK_ADD, TLK_SUB, TLK_MUL, TLK_DIV, TLK_MIN, TLK_MAX } tlk_binary;

typedef struct tlk_ref_binary {
    int64_t batch;
    tlk_binary op;
    int rank;                        /* of one picture of the result */
    int64_t dim[TLK_REF_RANK];
    int64_t stride_a[TLK_REF_RANK], stride_b[TLK_REF_RANK];
    int64_t picture_a, picture_b;    /* elements from picture to picture; 0: the same for all */
} tlk_ref_binary;

static inline int64_t tlk_ref_binary_items(const tlk_ref_binary *s, int64_t n)
{
    return tlk_ref_pictures(s->batch, n);
}

static inline tlk_real tlk_ref_apply(tlk_binary op, tlk_real a, tlk_real b)
{
    switch (op) {
    case TLK_ADD:
        return a + b;
    case TLK_SUB:
        return a - b;
    case TLK_MUL:
        return a * b;
    case TLK_DIV:
        return a / b;
    case TLK_MIN: /* NaN passes through both */
        return isnan(b) || b < a ? b : a;
    case TLK_MAX:
        return isnan(b) || b > a ? b : a;
    }
    return 0;
}

static inline void tlk_ref_binary_item(const tlk_ref_binary *s, int64_t item, int64_t n,
                                       const tlk_real *a, const tlk_real *b, tlk_real *y)
{
    (void)n;
    int64_t elems = tlk_ref_product(s->rank, s->dim);
    a += item * s->picture_a;
    b += item * s->picture_b;
    y += item * elems;
    for (int64_t i = 0; i < elems; ++i)
        y[i] = tlk_ref_apply(s->op, a[tlk_ref_offset(i, s->rank, s->dim, s->stride_a)],
                             b[tlk_ref_offset(i, s->rank, s->dim, s->stride_b)]);
}

/* a where the condition holds, else b, with broadcasting as above. */
typedef struct tlk_ref_repeated {
    int64_t picture; /* elements from picture to picture; 0: the same for all */
    int64_t stride[TLK_REF_RANK];
} tlk_ref_repeated;

typedef struct tlk_ref_where {
    int64_t batch;
    int rank; /* of one picture of the result */
    int64_t dim[TLK_REF_RANK];
    tlk_ref_repeated c, a, b;
} tlk_ref_where;

static inline int64_t tlk_ref_where_items(const tlk_ref_where *s, int64_t n)
{
    return tlk_ref_pictures(s->batch, n);
}

static inline int64_t tlk_ref_repeated_at(const tlk_ref_where *s, const tlk_ref_repeated *r,
                                          int64_t item, int64_t i)
{
    return item * r->picture + tlk_ref_offset(i, s->rank, s->dim, r->stride);
}

static inline void tlk_ref_where_item(const tlk_ref_where *s, int64_t item, int64_t n,
                                      const uint8_t *c, const tlk_real *a, const tlk_real *b,
                                      tlk_real *y)
{
    (void)n;
    int64_t elems = tlk_ref_product(s->rank, s->dim);
    for (int64_t i = 0; i < elems; ++i)
        y[item * elems + i] = c[tlk_ref_repeated_at(s, &s->c, item, i)]
                                  ? a[tlk_ref_repeated_at(s, &s->a, item, i)]
                                  : b[tlk_ref_repeated_at(s, &s->b, item, i)];
}

#endif
