/* tlk_cuda_linear.h: x[n,in] times w[out,in] transposed, its gradients, and the plain product.
 * Where the optimizer's update is joined to the weights' gradient, it is the product's epilogue:
 * the gradient is never stored. */
#ifndef TLK_CUDA_LINEAR_H
#define TLK_CUDA_LINEAR_H

#include "tlk_cuda_gemm.h"
#include "tlk_cuda_update.h"

/* y = act(x w^T + b); m: output, n: picture, k: input. */
struct tlk_cuda_linear {
    int64_t batch;
    int in, out;
    tlk_act act;
    double lo, hi;
};

struct tlk_linear_job {
    const tlk_cuda_linear &s;
    int64_t pictures;
    tlk_ptr<const float> x, w, bias;
    tlk_ptr<float> y;
    TLK_METHOD bool a_by_k() const { return true; }
    TLK_METHOD bool b_by_k() const { return true; }
    static constexpr int mma_rows = 128;

    TLK_METHOD int rows() const { return s.out; }
    TLK_METHOD int columns() const { return (int)pictures; }
    TLK_METHOD int depth() const { return s.in; }
    TLK_METHOD tlk_part a_side(int m) const { return tlk_part{ (int64_t)m * s.in, 0, 0 }; }
    TLK_METHOD tlk_part a_along(int k) const { return tlk_part{ k, 0, 0 }; }
    TLK_METHOD float a(tlk_part side, tlk_part along) const
    {
        return w[side.at + along.at];
    }
    TLK_METHOD bool a_fours() const { return s.in % 4 == 0; }
    TLK_METHOD void a_four(tlk_part side, tlk_part along, float *v) const
    {
        tlk_load4(w, side.at + along.at, v);
    }
    TLK_METHOD tlk_part b_side(int n) const { return tlk_part{ (int64_t)n * s.in, 0, 0 }; }
    TLK_METHOD tlk_part b_along(int k) const { return tlk_part{ k, 0, 0 }; }
    TLK_METHOD float b(tlk_part side, tlk_part along) const
    {
        return x[side.at + along.at];
    }
    TLK_METHOD bool b_fours() const { return s.in % 4 == 0; }
    TLK_METHOD void b_four(tlk_part side, tlk_part along, float *v) const
    {
        tlk_load4(x, side.at + along.at, v);
    }
    TLK_METHOD void put(int m, int n, float sum) const
    {
        if (bias)
            sum += bias[m];
        y[(int64_t)n * s.out + m] = tlk_cuda_activate(s.act, s.lo, s.hi, sum);
    }
};

TLK_DEVICE tlk_linear_job tlk_cuda_job(const tlk_cuda_linear &s, const tlk_cuda_frame &f,
                                       tlk_ptr<const float> x, tlk_ptr<const float> w,
                                       tlk_ptr<const float> bias, tlk_ptr<float> y)
{
    return tlk_linear_job{ s, tlk_cuda_pictures(s.batch, f.n), x, w, bias, y };
}

TLK_DEVICE void tlk_cuda_linear_run(const tlk_cuda_linear &s, const tlk_cuda_frame &f,
                                    tlk_ptr<const float> x, tlk_ptr<const float> w,
                                    tlk_ptr<const float> bias, tlk_ptr<float> y)
{
    tlk_cuda_gemm(tlk_cuda_job(s, f, x, w, bias, y));
}

/* y[rows,cols] = a[rows,inner] b[inner,cols]; m: column, n: row. */
struct tlk_cuda_matmul {
    int64_t batch;
    int inner, cols;
};

struct tlk_matmul_job {
    const tlk_cuda_matmul &s;
    int64_t pictures;
    tlk_ptr<const float> left, right;
    tlk_ptr<float> y;
    TLK_METHOD bool a_by_k() const { return false; }
    TLK_METHOD bool b_by_k() const { return true; }
    static constexpr int mma_rows = 128;

    TLK_METHOD int rows() const { return s.cols; }
    TLK_METHOD int columns() const { return (int)pictures; }
    TLK_METHOD int depth() const { return s.inner; }
    TLK_METHOD tlk_part a_side(int m) const { return tlk_part{ m, 0, 0 }; }
    TLK_METHOD tlk_part a_along(int k) const { return tlk_part{ (int64_t)k * s.cols, 0, 0 }; }
    TLK_METHOD float a(tlk_part side, tlk_part along) const
    {
        return right[side.at + along.at];
    }
    TLK_METHOD bool a_fours() const { return s.cols % 4 == 0; }
    TLK_METHOD void a_four(tlk_part side, tlk_part along, float *v) const
    {
        tlk_load4(right, side.at + along.at, v);
    }
    TLK_METHOD tlk_part b_side(int n) const { return tlk_part{ (int64_t)n * s.inner, 0, 0 }; }
    TLK_METHOD tlk_part b_along(int k) const { return tlk_part{ k, 0, 0 }; }
    TLK_METHOD float b(tlk_part side, tlk_part along) const
    {
        return left[side.at + along.at];
    }
    TLK_METHOD bool b_fours() const { return s.inner % 4 == 0; }
    TLK_METHOD void b_four(tlk_part side, tlk_part along, float *v) const
    {
        tlk_load4(left, side.at + along.at, v);
    }
    TLK_METHOD void put(int m, int n, float sum) const { y[(int64_t)n * s.cols + m] = sum; }
};

TLK_DEVICE tlk_matmul_job tlk_cuda_job(const tlk_cuda_matmul &s, const tlk_cuda_frame &f,
                                       tlk_ptr<const float> a, tlk_ptr<const float> b,
                                       tlk_ptr<float> y)
{
    return tlk_matmul_job{ s, tlk_cuda_pictures(s.batch, f.n), a, b, y };
}

TLK_DEVICE void tlk_cuda_matmul_run(const tlk_cuda_matmul &s, const tlk_cuda_frame &f,
                                    tlk_ptr<const float> a, tlk_ptr<const float> b,
                                    tlk_ptr<float> y)
{
    tlk_cuda_gemm(tlk_cuda_job(s, f, a, b, y));
}

/* dx[n,in] = dy[n,out] w[out,in]; m: input, n: picture, k: output. */
struct tlk_cuda_linear_grad_x {
    int64_t batch;
    int in, out;
};

struct tlk_linear_grad_x_job {
    const tlk_cuda_linear_grad_x &s;
    int64_t pictures;
    tlk_ptr<const float> dy, w;
    tlk_ptr<float> dx;
    TLK_METHOD bool a_by_k() const { return false; }
    TLK_METHOD bool b_by_k() const { return true; }
    static constexpr int mma_rows = 128;

    TLK_METHOD int rows() const { return s.in; }
    TLK_METHOD int columns() const { return (int)pictures; }
    TLK_METHOD int depth() const { return s.out; }
    TLK_METHOD tlk_part a_side(int m) const { return tlk_part{ m, 0, 0 }; }
    TLK_METHOD tlk_part a_along(int k) const { return tlk_part{ (int64_t)k * s.in, 0, 0 }; }
    TLK_METHOD float a(tlk_part side, tlk_part along) const
    {
        return w[side.at + along.at];
    }
    TLK_METHOD bool a_fours() const { return s.in % 4 == 0; }
    TLK_METHOD void a_four(tlk_part side, tlk_part along, float *v) const
    {
        tlk_load4(w, side.at + along.at, v);
    }
    TLK_METHOD tlk_part b_side(int n) const { return tlk_part{ (int64_t)n * s.out, 0, 0 }; }
    TLK_METHOD tlk_part b_along(int k) const { return tlk_part{ k, 0, 0 }; }
    TLK_METHOD float b(tlk_part side, tlk_part along) const
    {
        return dy[side.at + along.at];
    }
    TLK_METHOD bool b_fours() const { return s.out % 4 == 0; }
    TLK_METHOD void b_four(tlk_part side, tlk_part along, float *v) const
    {
        tlk_load4(dy, side.at + along.at, v);
    }
    TLK_METHOD void put(int m, int n, float sum) const { dx[(int64_t)n * s.in + m] = sum; }
};

TLK_DEVICE tlk_linear_grad_x_job tlk_cuda_job(const tlk_cuda_linear_grad_x &s,
                                              const tlk_cuda_frame &f, tlk_ptr<const float> dy,
                                              tlk_ptr<const float> w, tlk_ptr<float> dx)
{
    return tlk_linear_grad_x_job{ s, tlk_cuda_pictures(s.batch, f.n), dy, w, dx };
}

TLK_DEVICE void tlk_cuda_linear_grad_x_run(const tlk_cuda_linear_grad_x &s, const tlk_cuda_frame &f,
                                           tlk_ptr<const float> dy, tlk_ptr<const float> w,
                                           tlk_ptr<float> dx)
{
    tlk_cuda_gemm(tlk_cuda_job(s, f, dy, w, dx));
}

/* --- gradient of the weights ---------------------------------------------------- */

/* dw[out,in] = dy^T x, what becomes of it left to `Use`; m: output, n: input, k: picture. */
template <class Use> struct tlk_linear_grad_w_job {
    int in, out, pictures;
    tlk_ptr<const float> dy, x;
    Use use;
    TLK_METHOD bool a_by_k() const { return false; }
    TLK_METHOD bool b_by_k() const { return false; }
    static constexpr int mma_rows = 128;

    TLK_METHOD int rows() const { return out; }
    TLK_METHOD int columns() const { return in; }
    TLK_METHOD int depth() const { return pictures; }
    TLK_METHOD tlk_part a_side(int m) const { return tlk_part{ m, 0, 0 }; }
    TLK_METHOD tlk_part a_along(int k) const { return tlk_part{ (int64_t)k * out, 0, 0 }; }
    TLK_METHOD float a(tlk_part side, tlk_part along) const
    {
        return dy[side.at + along.at];
    }
    TLK_METHOD bool a_fours() const { return out % 4 == 0; }
    TLK_METHOD void a_four(tlk_part side, tlk_part along, float *v) const
    {
        tlk_load4(dy, side.at + along.at, v);
    }
    TLK_METHOD tlk_part b_side(int n) const { return tlk_part{ n, 0, 0 }; }
    TLK_METHOD tlk_part b_along(int k) const { return tlk_part{ (int64_t)k * in, 0, 0 }; }
    TLK_METHOD float b(tlk_part side, tlk_part along) const
    {
        return x[side.at + along.at];
    }
    TLK_METHOD bool b_fours() const { return in % 4 == 0; }
    TLK_METHOD void b_four(tlk_part side, tlk_part along, float *v) const
    {
        tlk_load4(x, side.at + along.at, v);
    }
    TLK_METHOD void put(int m, int n, float sum) const { use((int64_t)m * in + n, sum); }
};

template <class S, class Use>
TLK_DEVICE tlk_linear_grad_w_job<Use> tlk_linear_grad_w(const S &s, const tlk_cuda_frame &f,
                                                        tlk_ptr<const float> dy,
                                                        tlk_ptr<const float> x, const Use &use)
{
    return tlk_linear_grad_w_job<Use>{ s.in, s.out, (int)tlk_cuda_pictures(s.batch, f.n), dy, x,
                                       use };
}

struct tlk_cuda_linear_grad_w {
    int64_t batch;
    int in, out;
};

struct tlk_linear_store {
    tlk_ptr<float> dw;
    TLK_METHOD void operator()(int64_t at, float g) const { dw[at] = g; }
};

TLK_DEVICE auto tlk_cuda_job(const tlk_cuda_linear_grad_w &s, const tlk_cuda_frame &f,
                             tlk_ptr<const float> dy, tlk_ptr<const float> x, tlk_ptr<float> dw)
{
    return tlk_linear_grad_w(s, f, dy, x, tlk_linear_store{ dw });
}

TLK_DEVICE void tlk_cuda_linear_grad_w_run(const tlk_cuda_linear_grad_w &s, const tlk_cuda_frame &f,
                                           tlk_ptr<const float> dy, tlk_ptr<const float> x,
                                           tlk_ptr<float> dw)
{
    tlk_cuda_gemm(tlk_cuda_job(s, f, dy, x, dw));
}

struct tlk_cuda_linear_sgd {
    int64_t batch;
    int in, out;
    bool nesterov;
};

struct tlk_linear_sgd_use {
    const tlk_cuda_step &step;
    bool nesterov;
    tlk_ptr<float> w, buffer;
    TLK_METHOD void operator()(int64_t at, float g) const
    {
        tlk_cuda_sgd_element(step, nesterov, w, buffer, at, g);
    }
};

TLK_DEVICE auto tlk_cuda_job(const tlk_cuda_linear_sgd &s, const tlk_cuda_frame &f,
                             const tlk_cuda_step &step, tlk_ptr<float> w, tlk_ptr<float> buffer,
                             tlk_ptr<const float> dy, tlk_ptr<const float> x)
{
    return tlk_linear_grad_w(s, f, dy, x, tlk_linear_sgd_use{ step, s.nesterov, w, buffer });
}

TLK_DEVICE void tlk_cuda_linear_sgd_run(const tlk_cuda_linear_sgd &s, const tlk_cuda_frame &f,
                                        const tlk_cuda_step &step, tlk_ptr<float> w,
                                        tlk_ptr<float> buffer, tlk_ptr<const float> dy,
                                        tlk_ptr<const float> x)
{
    tlk_cuda_gemm(tlk_cuda_job(s, f, step, w, buffer, dy, x));
}

struct tlk_cuda_linear_adam {
    int64_t batch;
    int in, out;
    bool decoupled;
};

struct tlk_linear_adam_use {
    const tlk_cuda_step &step;
    bool decoupled;
    tlk_ptr<float> w, m, v;
    TLK_METHOD void operator()(int64_t at, float g) const
    {
        tlk_cuda_adam_element(step, decoupled, w, m, v, at, g);
    }
};

TLK_DEVICE auto tlk_cuda_job(const tlk_cuda_linear_adam &s, const tlk_cuda_frame &f,
                             const tlk_cuda_step &step, tlk_ptr<float> w, tlk_ptr<float> m,
                             tlk_ptr<float> v, tlk_ptr<const float> dy, tlk_ptr<const float> x)
{
    return tlk_linear_grad_w(s, f, dy, x, tlk_linear_adam_use{ step, s.decoupled, w, m, v });
}

TLK_DEVICE void tlk_cuda_linear_adam_run(const tlk_cuda_linear_adam &s, const tlk_cuda_frame &f,
                                         const tlk_cuda_step &step, tlk_ptr<float> w,
                                         tlk_ptr<float> m, tlk_ptr<float> v,
                                         tlk_ptr<const float> dy, tlk_ptr<const float> x)
{
    tlk_cuda_gemm(tlk_cuda_job(s, f, step, w, m, v, dy, x));
}

#endif
