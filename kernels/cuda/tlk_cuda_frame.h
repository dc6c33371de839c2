/* tlk_cuda_frame.h: what every CUDA kernel gets, one structure by value; host C and device C++
 * read the same text, so it includes nothing: whoever includes it has the fixed-width types. */
#ifndef TLK_CUDA_FRAME_H
#define TLK_CUDA_FRAME_H

/* Numbers of a step: tlk_step, and what optimizers derive from it, computed once on the host in
 * double and rounded, as the reference kernels do. */
typedef struct tlk_cuda_step {
    uint64_t seed;
    int64_t epoch, position, t, batch;
    float divisor;                   /* of the loss's gradient; 0: the pictures of the batch */
    float lr, weight_decay;
    float momentum, share;           /* SGD; share is 1 - dampening */
    float shrink;                    /* AdamW: 1 - lr * weight_decay */
    float share1, beta2, share2;     /* Adam: 1 - beta1, beta2, 1 - beta2 */
    float correction2, epsilon, rate;
    const float *class_weights;      /* one a class; null: all 1 */
} tlk_cuda_step;

/* Groups of parameters with numbers of their own, as in tlk.h. */
enum { TLK_CUDA_HEAD, TLK_CUDA_BACKBONE, TLK_CUDA_GROUPS };

/* Regions as in tlr_model.h, in memory of the device.  The numbers lie there too, so that a frame is
 * the same from step to step and launches can be kept with it. */
typedef struct tlk_cuda_frame {
    int64_t n;
    const char *consts;
    char *vars, *act, *fix;
    const tlk_cuda_step *step;       /* [TLK_CUDA_GROUPS]; null unless training */
} tlk_cuda_frame;

#endif
