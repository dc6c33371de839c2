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
    static constexpr bool a_by_k = true, b_by_k = true;

    TLK_METHOD int rows() const { return s.out; }
    TLK_METHOD int columns() const { return (int)pictures; }
    TLK_METHOD int depth() const { return s.in; }
    TLK_METHOD float a(int m, int k) const { return w[(int64_t)m * s.in + k]; }
    TLK_METHOD float b(int k, int n) const { return x[(int64_t)n * s.in + k]; }
    TLK_METHOD void put(int m, int n, float sum) const
    {
        if (bias)
            sum += bias[m];
        y[(int64_t)n * s.out + m] = tlk_cuda_activate(s.act, s.lo, s.hi, sum);
    }
};

TLK_DEVICE void tlk_cuda_linear_run(const tlk_cuda_linear &s, const tlk_cuda_frame &f,
                                    tlk_ptr<const float> x, tlk_ptr<const float> w,
                                    tlk_ptr<const float> bias, tlk_ptr<float> y)
{
    tlk_cuda_gemm(tlk_linear_job{ s, tlk_cuda_pictures(s.batch, f.n), x, w, bias, y });
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
    static constexpr bool a_by_k = false, b_by_k = true;

    TLK_METHOD int rows() const { return s.cols; }
    TLK_METHOD int columns() const { return (int)pictures; }
    TLK_METHOD int depth() const { return s.inner; }
    TLK_METHOD float a(int m, int k) const { return right[(int64_t)k * s.cols + m]; }
    TLK_METHOD float b(int k, int n) const { return left[(int64_t)n * s.inner + k]; }
    TLK_METHOD void put(int m, int n, float sum) const { y[(int64_t)n * s.cols + m] = sum; }
};

TLK_DEVICE void tlk_cuda_matmul_run(const tlk_cuda_matmul &s, const tlk_cuda_frame &f,
                                    tlk_ptr<const float> a, tlk_ptr<const float> b,
                                    tlk_ptr<float> y)
{
    tlk_cuda_gemm(tlk_matmul_job{ s, tlk_cuda_pictures(s.batch, f.n), a, b, y });
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
    static constexpr bool a_by_k = false, b_by_k = true;

    TLK_METHOD int rows() const { return s.in; }
    TLK_METHOD int columns() const { return (int)pictures; }
    TLK_METHOD int depth() const { return s.out; }
    TLK_METHOD float a(int m, int k) const { return w[(int64_t)k * s.in + m]; }
    TLK_METHOD float b(int k, int n) const { return dy[(int64_t)n * s.out + k]; }
    TLK_METHOD void put(int m, int n, float sum) const { dx[(int64_t)n * s.in + m] = sum; }
};

TLK_DEVICE void tlk_cuda_linear_grad_x_run(const tlk_cuda_linear_grad_x &s,
                                           const tlk_cuda_frame &f, tlk_ptr<const float> dy,
                                           tlk_ptr<const float> w, tlk_ptr<float> dx)
{
    tlk_cuda_gemm(tlk_linear_grad_x_job{ s, tlk_cuda_pictures(s.batch, f.n), dy, w, dx });
}

/* --- gradient of the weights ---------------------------------------------------- */

/* dw[out,in] = dy^T x, what becomes of it left to `Use`; m: output, n: input, k: picture. */
template <class Use> struct tlk_linear_grad_w_job {
    int in, out, pictures;
    tlk_ptr<const float> dy, x;
    Use use;
    static constexpr bool a_by_k = false, b_by_k = false;

    TLK_METHOD int rows() const { return out; }
    TLK_METHOD int columns() const { return in; }
    TLK_METHOD int depth() const { return pictures; }
    TLK_METHOD float a(int m, int k) const { return dy[(int64_t)k * out + m]; }
    TLK_METHOD float b(int k, int n) const { return x[(int64_t)k * in + n]; }
    TLK_METHOD void put(int m, int n, float sum) const { use((int64_t)m * in + n, sum); }
};

template <class S, class Use>
TLK_DEVICE void tlk_linear_grad_w(const S &s, const tlk_cuda_frame &f, tlk_ptr<const float> dy,
                                  tlk_ptr<const float> x, const Use &use)
{
    tlk_cuda_gemm(tlk_linear_grad_w_job<Use>{
        s.in, s.out, (int)tlk_cuda_pictures(s.batch, f.n), dy, x, use });
}

struct tlk_cuda_linear_grad_w {
    int64_t batch;
    int in, out;
};

struct tlk_linear_store {
    tlk_ptr<float> dw;
    TLK_METHOD void operator()(int64_t at, float g) const { dw[at] = g; }
};

TLK_DEVICE void tlk_cuda_linear_grad_w_run(const tlk_cuda_linear_grad_w &s,
                                           const tlk_cuda_frame &f, tlk_ptr<const float> dy,
                                           tlk_ptr<const float> x, tlk_ptr<float> dw)
{
    tlk_linear_grad_w(s, f, dy, x, tlk_linear_store{ dw });
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

TLK_DEVICE void tlk_cuda_linear_sgd_run(const tlk_cuda_linear_sgd &s, const tlk_cuda_frame &f,
                                        const tlk_cuda_step &step, tlk_ptr<float> w,
                                        tlk_ptr<float> buffer, tlk_ptr<const float> dy,
                                        tlk_ptr<const float> x)
{
    tlk_linear_grad_w(s, f, dy, x, tlk_linear_sgd_use{ step, s.nesterov, w, buffer });
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

TLK_DEVICE void tlk_cuda_linear_adam_run(const tlk_cuda_linear_adam &s, const tlk_cuda_frame &f,
                                         const tlk_cuda_step &step, tlk_ptr<float> w,
                                         tlk_ptr<float> m, tlk_ptr<float> v,
                                         tlk_ptr<const float> dy, tlk_ptr<const float> x)
{
    tlk_linear_grad_w(s, f, dy, x, tlk_linear_adam_use{ step, s.decoupled, w, m, v });
}

#endif
