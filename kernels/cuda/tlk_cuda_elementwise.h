/* tlk_cuda_elementwise.h: activations, their gradients, broadcast arithmetic, functions of one
 * operand, dropout.  A thread is an element; each may run in place. */
#ifndef TLK_CUDA_ELEMENTWISE_H
#define TLK_CUDA_ELEMENTWISE_H

#include "tlk_cuda.h"

/* relu and clip. */
struct tlk_cuda_act {
    int64_t batch, elems; /* elements of a picture */
    tlk_act act;
    double lo, hi;
};

TLK_DEVICE void tlk_cuda_act_run(const tlk_cuda_act &s, const tlk_cuda_frame &f,
                                 tlk_ptr<const float> x, tlk_ptr<float> y)
{
    int64_t i = tlk_cuda_index();
    if (i < tlk_cuda_pictures(s.batch, f.n) * s.elems)
        y[i] = tlk_cuda_activate(s.act, s.lo, s.hi, x[i]);
}

/* dy where the result y lies inside, else 0; at the bounds 0, as PyTorch. */
struct tlk_cuda_act_grad {
    int64_t batch, elems;
    tlk_act act;
    double lo, hi;
};

TLK_DEVICE void tlk_cuda_act_grad_run(const tlk_cuda_act_grad &s, const tlk_cuda_frame &f,
                                      tlk_ptr<const float> dy, tlk_ptr<const float> y,
                                      tlk_ptr<float> dx)
{
    int64_t i = tlk_cuda_index();
    if (i >= tlk_cuda_pictures(s.batch, f.n) * s.elems)
        return;
    bool relu = s.act == TLK_ACT_RELU;
    float lo = relu ? 0.0f : (float)s.lo, at = y[i], slope = dy[i];
    dx[i] = at > lo && (relu || at < (float)s.hi) ? slope : 0.0f;
}

/* a + b, a - b, a * b, a / b with broadcasting: a stride of 0 repeats an element. */
enum tlk_binary { TLK_ADD, TLK_SUB, TLK_MUL, TLK_DIV, TLK_MIN, TLK_MAX };

struct tlk_cuda_binary {
    int64_t batch;
    tlk_binary op;
    int rank; /* of one picture of the result */
    int64_t dim[TLK_CUDA_RANK], stride_a[TLK_CUDA_RANK], stride_b[TLK_CUDA_RANK];
    int64_t picture_a, picture_b; /* elements from picture to picture; 0: the same for all */
};

TLK_DEVICE float tlk_cuda_apply(tlk_binary op, float a, float b)
{
    switch (op) {
    case TLK_ADD: return a + b;
    case TLK_SUB: return a - b;
    case TLK_MUL: return a * b;
    case TLK_DIV: return a / b;
    case TLK_MIN: return isnan(b) || b < a ? b : a;
    case TLK_MAX: return isnan(b) || b > a ? b : a;
    }
    return 0;
}

TLK_DEVICE void tlk_cuda_binary_run(const tlk_cuda_binary &s, const tlk_cuda_frame &f,
                                    tlk_ptr<const float> a, tlk_ptr<const float> b,
                                    tlk_ptr<float> y)
{
    int64_t i = tlk_cuda_index(), elems = tlk_cuda_product(s.rank, s.dim);
    if (i >= tlk_cuda_pictures(s.batch, f.n) * elems)
        return;
    int64_t p = i / elems, in = i % elems;
    float left = a[p * s.picture_a + tlk_cuda_offset(in, s.rank, s.dim, s.stride_a)];
    float right = b[p * s.picture_b + tlk_cuda_offset(in, s.rank, s.dim, s.stride_b)];
    y[i] = tlk_cuda_apply(s.op, left, right);
}

/* In the order of their rows in ops.def. */
enum tlk_unary {
    TLK_SIGMOID, TLK_HARD_SIGMOID, TLK_HARD_SWISH, TLK_LEAKY_RELU, TLK_ELU, TLK_TANH, TLK_EXP,
    TLK_LOG, TLK_SQRT, TLK_ERF, TLK_POW, TLK_ABS, TLK_FLOOR, TLK_CEIL, TLK_ROUND
};

struct tlk_cuda_unary {
    int64_t batch, elems; /* elements of a picture */
    tlk_unary op;
    double alpha, beta;
};

TLK_DEVICE float tlk_cuda_hard_sigmoid(float x, float alpha, float beta)
{
    float y = alpha * x + beta;
    return y < 0 ? 0 : y > 1 ? 1 : y;
}

TLK_DEVICE float tlk_cuda_unary_value(tlk_unary op, float alpha, float beta, float x)
{
    switch (op) {
    case TLK_SIGMOID: return 1 / (1 + expf(-x));
    case TLK_HARD_SIGMOID: return tlk_cuda_hard_sigmoid(x, alpha, beta);
    case TLK_HARD_SWISH: return x * tlk_cuda_hard_sigmoid(x, 1.0f / 6, 0.5f);
    case TLK_LEAKY_RELU: return x < 0 ? alpha * x : x;
    case TLK_ELU: return x < 0 ? alpha * expm1f(x) : x;
    case TLK_TANH: return tanhf(x);
    case TLK_EXP: return expf(x);
    case TLK_LOG: return logf(x);
    case TLK_SQRT: return sqrtf(x);
    case TLK_ERF: return erff(x);
    case TLK_POW: return powf(x, alpha);
    case TLK_ABS: return fabsf(x);
    case TLK_FLOOR: return floorf(x);
    case TLK_CEIL: return ceilf(x);
    case TLK_ROUND: return rintf(x);
    }
    return x;
}

TLK_DEVICE void tlk_cuda_unary_run(const tlk_cuda_unary &s, const tlk_cuda_frame &f,
                                   tlk_ptr<const float> x, tlk_ptr<float> y)
{
    int64_t i = tlk_cuda_index();
    if (i < tlk_cuda_pictures(s.batch, f.n) * s.elems)
        y[i] = tlk_cuda_unary_value(s.op, (float)s.alpha, (float)s.beta, x[i]);
}

#endif
