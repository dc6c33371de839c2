/* tlk_cuda_dropout.h: keep where u >= p, times 1/(1-p); the same numbers as ref/tlk_ref_dropout.h,
 * whose stream (tlk_philox.h) is written again here for the device.  A thread is an element. */
#ifndef TLK_CUDA_DROPOUT_H
#define TLK_CUDA_DROPOUT_H

#include "tlk_cuda.h"

struct tlk_cuda_dropout {
    int64_t batch, elems; /* elements of a picture */
    double p;
    uint32_t index;       /* of the dropout in the graph */
    int nhwc_channels;    /* of x in NHWC; 0: plain */
};

/* Random numbers are drawn in logical order: the number of element `i` of the batch. */
TLK_DEVICE int64_t tlk_cuda_dropout_place(const tlk_cuda_dropout &s, int64_t i)
{
    if (s.nhwc_channels == 0)
        return i;
    int64_t plane = s.elems / s.nhwc_channels;
    return tlk_channel_at(false, s.nhwc_channels, plane, i / s.elems, i % s.nhwc_channels) +
           i / s.nhwc_channels % plane;
}

/* Philox4x32-10 over `counter`, in place: it becomes the four random words. */
TLK_DEVICE void tlk_cuda_philox(uint64_t key, uint32_t counter[4])
{
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    for (int round = 0; round < 10; ++round) {
        uint64_t p0 = (uint64_t)0xD2511F53u * counter[0], p1 = (uint64_t)0xCD9E8D57u * counter[2];
        uint32_t c1 = counter[1], c3 = counter[3];
        counter[0] = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        counter[1] = (uint32_t)p1;
        counter[2] = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        counter[3] = (uint32_t)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
}

/* Word e of the dropout's stream in this epoch. */
TLK_DEVICE uint32_t tlk_cuda_dropout_word(const tlk_cuda_step &step, uint32_t index, uint64_t e)
{
    const uint32_t purpose = 3; /* TLK_RANDOM_DROPOUT */
    uint64_t quad = e / 4;
    uint32_t word[4] = { (uint32_t)quad, (uint32_t)step.epoch + (uint32_t)((quad >> 32) << 16),
                         index, purpose };
    tlk_cuda_philox(step.seed, word);
    return e % 4 == 0 ? word[0] : e % 4 == 1 ? word[1] : e % 4 == 2 ? word[2] : word[3];
}

TLK_DEVICE void tlk_cuda_dropout_run(const tlk_cuda_dropout &s, const tlk_cuda_frame &f,
                                     const tlk_cuda_step &step, tlk_ptr<const float> x,
                                     tlk_ptr<float> y)
{
    int64_t i = tlk_cuda_index();
    if (i >= tlk_cuda_pictures(s.batch, f.n) * s.elems)
        return;
    uint64_t first = (uint64_t)step.position * (uint64_t)s.elems;
    uint32_t word =
        tlk_cuda_dropout_word(step, s.index, first + (uint64_t)tlk_cuda_dropout_place(s, i));
    float value = x[i], u = (float)(word >> 8) * 0x1p-24f;
    y[i] = (double)u >= s.p ? value * (float)(1.0 / (1.0 - s.p)) : 0.0f;
}

#endif
