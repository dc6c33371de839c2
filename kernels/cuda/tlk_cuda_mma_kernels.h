/* tlk_cuda_mma_kernels.h: convolutions, linear layers and their gradients on matrix units: the jobs
 * of the fp32 kernels, handed to another product. */
#ifndef TLK_CUDA_MMA_KERNELS_H
#define TLK_CUDA_MMA_KERNELS_H

#include "tlk_cuda_conv2d.h"
#include "tlk_cuda_linear.h"
#include "tlk_cuda_mma.h"

#define TLK_MMA_KERNEL(format, kernel)                                                         \
    typedef tlk_cuda_##kernel tlk_cuda_##format##_##kernel;                                    \
    template <class... Operand>                                                                \
    TLK_DEVICE void tlk_cuda_##format##_##kernel##_run(                                        \
        const tlk_cuda_##kernel &s, const tlk_cuda_frame &f, const Operand &...operand)        \
    {                                                                                          \
        tlk_cuda_mma<tlk_##format>(tlk_cuda_job(s, f, operand...));                            \
    }

#define TLK_MMA_KERNELS(format)                                                                \
    TLK_MMA_KERNEL(format, conv2d)                                                             \
    TLK_MMA_KERNEL(format, conv2d_grad_x)                                                      \
    TLK_MMA_KERNEL(format, conv2d_grad_w)                                                      \
    TLK_MMA_KERNEL(format, conv2d_grad_w_parts)                                                \
    TLK_MMA_KERNEL(format, linear)                                                             \
    TLK_MMA_KERNEL(format, matmul)                                                             \
    TLK_MMA_KERNEL(format, linear_grad_x)                                                      \
    TLK_MMA_KERNEL(format, linear_grad_w)                                                      \
    TLK_MMA_KERNEL(format, linear_sgd)                                                         \
    TLK_MMA_KERNEL(format, linear_adam)

TLK_MMA_KERNELS(tf32)
TLK_MMA_KERNELS(bf16)

#endif
