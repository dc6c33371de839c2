/* tlk_cuda_update.h: SGD, Adam and AdamW: one element's arithmetic, and sweeps over a tensor.
 * Operation by operation that of ref/tlk_ref_update.h, which says where torch fuses. */
#ifndef TLK_CUDA_UPDATE_H
#define TLK_CUDA_UPDATE_H

#include "tlk_cuda.h"

/* One element with gradient `g`; without momentum the buffer is not used. */
TLK_DEVICE void tlk_cuda_sgd_element(const tlk_cuda_step &step, bool nesterov,
                                     tlk_ptr<float> w, tlk_ptr<float> buffer, int64_t at, float g)
{
    float weight = w[at];
    if (step.weight_decay != 0)
        g = fmaf(weight, step.weight_decay, g);
    float d = g;
    if (step.momentum != 0) {
        float moved = step.t == 1 ? g : fmaf(g, step.share, buffer[at] * step.momentum);
        buffer[at] = moved;
        d = nesterov ? fmaf(moved, step.momentum, g) : moved;
    }
    w[at] = fmaf(d, -step.lr, weight);
}

TLK_DEVICE void tlk_cuda_adam_element(const tlk_cuda_step &step, bool decoupled,
                                      tlk_ptr<float> w, tlk_ptr<float> m, tlk_ptr<float> v,
                                      int64_t at, float g)
{
    float weight = decoupled ? w[at] * step.shrink : w[at], first = m[at];
    if (!decoupled && step.weight_decay != 0)
        g = fmaf(weight, step.weight_decay, g);
    /* lerp_ goes from the nearer end. */
    first = step.share1 < 0.5f ? fmaf(step.share1, g - first, first)
                               : fmaf(step.share1 - 1, g - first, g);
    float second = fmaf(step.share2 * g, g, v[at] * step.beta2);
    m[at] = first;
    v[at] = second;
    float denominator = sqrtf(second) / step.correction2 + step.epsilon;
    w[at] = weight + step.rate * first / denominator;
}

/* sum = dw of a step's first batch, sum += dw of the others. */
struct tlk_cuda_accumulate {
    int64_t elems;
};

TLK_DEVICE void tlk_cuda_accumulate_run(const tlk_cuda_accumulate &s, const tlk_cuda_frame &,
                                        const tlk_cuda_step &step, tlk_ptr<float> sum,
                                        tlk_ptr<const float> dw)
{
    int64_t i = tlk_cuda_index();
    if (i < s.elems)
        sum[i] = step.batch == 0 ? dw[i] : sum[i] + dw[i];
}

struct tlk_cuda_sgd {
    int64_t elems;
    bool nesterov;
};

TLK_DEVICE void tlk_cuda_sgd_run(const tlk_cuda_sgd &s, const tlk_cuda_frame &,
                                 const tlk_cuda_step &step, tlk_ptr<float> w,
                                 tlk_ptr<float> buffer, tlk_ptr<const float> dw)
{
    int64_t i = tlk_cuda_index();
    if (i < s.elems)
        tlk_cuda_sgd_element(step, s.nesterov, w, buffer, i, dw[i]);
}

struct tlk_cuda_adam {
    int64_t elems;
    bool decoupled; /* AdamW */
};

TLK_DEVICE void tlk_cuda_adam_run(const tlk_cuda_adam &s, const tlk_cuda_frame &,
                                  const tlk_cuda_step &step, tlk_ptr<float> w, tlk_ptr<float> m,
                                  tlk_ptr<float> v, tlk_ptr<const float> dw)
{
    int64_t i = tlk_cuda_index();
    if (i < s.elems)
        tlk_cuda_adam_element(step, s.decoupled, w, m, v, i, dw[i]);
}

#endif
