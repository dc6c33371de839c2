/* tlk_ref_unary.h: elementwise functions of one operand, computed in double. */
#ifndef TLK_REF_UNARY_H
#define TLK_REF_UNARY_H

#include "tlk_ref.h"

/* In the order of their rows in ops.def. */
typedef enum tlk_unary {
    TLK_SIGMOID, TLK_HARD_SIGMOID, TLK_HARD_SWISH, TLK_LEAKY_RELU, TLK_ELU, TLK_TANH, TLK_EXP,
    TLK_LOG, TLK_SQRT, TLK_ERF, TLK_POW, TLK_ABS, TLK_FLOOR, TLK_CEIL, TLK_ROUND
} tlk_unary;

typedef struct tlk_ref_unary {
    int64_t batch, elems; /* elements of a picture */
    tlk_unary op;
    double alpha, beta;
} tlk_ref_unary;

static inline int64_t tlk_ref_unary_items(const tlk_ref_unary *s, int64_t n)
{
    return tlk_ref_pictures(s->batch, n);
}

static inline double tlk_ref_hard_sigmoid(double x, double alpha, double beta)
{
    double y = alpha * x + beta;
    return y < 0 ? 0 : y > 1 ? 1 : y;
}

static inline double tlk_ref_unary_value(const tlk_ref_unary *s, double x)
{
    switch (s->op) {
    case TLK_SIGMOID:
        return 1 / (1 + exp(-x));
    case TLK_HARD_SIGMOID:
        return tlk_ref_hard_sigmoid(x, s->alpha, s->beta);
    case TLK_HARD_SWISH:
        return x * tlk_ref_hard_sigmoid(x, 1.0 / 6, 0.5);
    case TLK_LEAKY_RELU:
        return x < 0 ? s->alpha * x : x;
    case TLK_ELU:
        return x < 0 ? s->alpha * expm1(x) : x;
    case TLK_TANH:
        return tanh(x);
    case TLK_EXP:
        return exp(x);
    case TLK_LOG:
        return log(x);
    case TLK_SQRT:
        return sqrt(x);
    case TLK_ERF:
        return erf(x);
    case TLK_POW:
        return pow(x, s->alpha);
    case TLK_ABS:
        return fabs(x);
    case TLK_FLOOR:
        return floor(x);
    case TLK_CEIL:
        return ceil(x);
    case TLK_ROUND:
        return rint(x);
    }
    return x;
}

static inline void tlk_ref_unary_item(const tlk_ref_unary *s, int64_t item, int64_t n,
                                      const tlk_real *x, tlk_real *y)
{
    (void)n;
    for (int64_t i = item * s->elems; i < (item + 1) * s->elems; ++i)
        y[i] = (tlk_real)tlk_ref_unary_value(s, (double)x[i]);
}

#endif
