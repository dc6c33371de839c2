/* tlk_ref_update.h: SGD, Adam and AdamW, alone and joined to a linear layer's gradient.
 *
 * Arithmetic in the element type and in the order of torch.optim with foreach=False on a CPU,
 * fused multiply-adds included: there lerp_, addcmul_ and add with alpha fuse, addcdiv_ does not.
 * m, v and SGD's w have its bits; Adam's w nearly, because torch's vector sqrt is not always
 * rounded correctly.  Scalars are computed in double and then rounded.  t counts from 1.
 */
#ifndef TLK_REF_UPDATE_H
#define TLK_REF_UPDATE_H

#include "tlk_ref.h"

enum { TLK_REF_UPDATE_CHUNK = 4096 };

/* --- kept gradients --------------------------------------------------------- */

/* sum = dw of a step's first batch, sum += dw of the others; an item is a chunk of elements. */
typedef struct tlk_ref_accumulate {
    int64_t elems;
} tlk_ref_accumulate;

static inline int64_t tlk_ref_accumulate_items(const tlk_ref_accumulate *s, int64_t n)
{
    (void)n;
    return tlk_div_up(s->elems, TLK_REF_UPDATE_CHUNK);
}

static inline void tlk_ref_accumulate_item(const tlk_ref_accumulate *s, int64_t item, int64_t n,
                                           const tlk_step *step, tlk_real *sum, const tlk_real *dw)
{
    (void)n;
    int64_t end = (item + 1) * TLK_REF_UPDATE_CHUNK;
    for (int64_t i = item * TLK_REF_UPDATE_CHUNK; i < end && i < s->elems; ++i)
        sum[i] = step->batch == 0 ? dw[i] : sum[i] + dw[i];
}

/* --- SGD -------------------------------------------------------------------- */

/* One element with gradient `g`; without momentum the buffer is not used. */
static inline void tlk_ref_sgd_element(const tlk_step *step, bool nesterov, tlk_real *w,
                                       tlk_real *buffer, tlk_real g)
{
    tlk_real momentum = (tlk_real)step->momentum;
    if (step->weight_decay != 0)
        g = tlk_ref_fma(*w, (tlk_real)step->weight_decay, g);
    tlk_real d = g;
    if (step->momentum != 0) {
        tlk_real share = (tlk_real)(1.0 - step->dampening);
        *buffer = step->t == 1 ? g : tlk_ref_fma(g, share, *buffer * momentum);
        d = nesterov ? tlk_ref_fma(*buffer, momentum, g) : *buffer;
    }
    *w = tlk_ref_fma(d, (tlk_real)-step->lr, *w);
}

typedef struct tlk_ref_sgd {
    int64_t elems;
    bool nesterov;
} tlk_ref_sgd;

/* An item is a chunk of elements. */
static inline int64_t tlk_ref_sgd_items(const tlk_ref_sgd *s, int64_t n)
{
    (void)n;
    return tlk_div_up(s->elems, TLK_REF_UPDATE_CHUNK);
}

static inline void tlk_ref_sgd_item(const tlk_ref_sgd *s, int64_t item, int64_t n,
                                    const tlk_step *step, tlk_real *w, tlk_real *buffer,
                                    const tlk_real *dw)
{
    (void)n;
    int64_t end = (item + 1) * TLK_REF_UPDATE_CHUNK;
    for (int64_t i = item * TLK_REF_UPDATE_CHUNK; i < end && i < s->elems; ++i)
        tlk_ref_sgd_element(step, s->nesterov, &w[i], &buffer[i], dw[i]);
}

/* linear_grad_w and sgd_update in one; an item is an output. */
typedef struct tlk_ref_linear_sgd {
    int64_t batch;
    int in, out;
    bool nesterov;
} tlk_ref_linear_sgd;

static inline int64_t tlk_ref_linear_sgd_items(const tlk_ref_linear_sgd *s, int64_t n)
{
    (void)n;
    return s->out;
}

static inline void tlk_ref_linear_sgd_item(const tlk_ref_linear_sgd *s, int64_t item, int64_t n,
                                           const tlk_step *step, tlk_real *w, tlk_real *buffer,
                                           const tlk_real *dy, const tlk_real *x)
{
    for (int i = 0; i < s->in; ++i) {
        int64_t at = item * s->in + i;
        double sum = 0;
        for (int64_t p = 0; p < tlk_ref_pictures(s->batch, n); ++p)
            sum += (double)dy[p * s->out + item] * x[p * s->in + i];
        tlk_ref_sgd_element(step, s->nesterov, &w[at], &buffer[at], (tlk_real)sum);
    }
}

/* --- Adam, AdamW -------------------------------------------------------------- */

/* The scalars of a step, in the element type. */
typedef struct tlk_ref_adam_scalars {
    tlk_real decay;                 /* weight decay in the gradient; 0: none */
    tlk_real shrink;                /* AdamW: factor of w; 1: none */
    tlk_real share1, beta2, share2; /* 1 - beta1, beta2, 1 - beta2 */
    tlk_real correction2, epsilon, rate;
} tlk_ref_adam_scalars;

static inline tlk_ref_adam_scalars tlk_ref_adam_prepare(const tlk_step *step, bool decoupled)
{
    double t = (double)step->t;
    return (tlk_ref_adam_scalars){
        .decay = decoupled ? 0 : (tlk_real)step->weight_decay,
        .shrink = decoupled ? (tlk_real)(1.0 - step->lr * step->weight_decay) : 1,
        .share1 = (tlk_real)(1.0 - step->beta1),
        .beta2 = (tlk_real)step->beta2,
        .share2 = (tlk_real)(1.0 - step->beta2),
        .correction2 = (tlk_real)sqrt(1.0 - pow(step->beta2, t)),
        .epsilon = (tlk_real)step->epsilon,
        .rate = (tlk_real)(-step->lr / (1.0 - pow(step->beta1, t))),
    };
}

static inline void tlk_ref_adam_element(const tlk_ref_adam_scalars *a, tlk_real *w, tlk_real *m,
                                        tlk_real *v, tlk_real g)
{
    *w *= a->shrink;
    if (a->decay != 0)
        g = tlk_ref_fma(*w, a->decay, g);
    /* lerp_ goes from the nearer end. */
    if (a->share1 < (tlk_real)0.5)
        *m = tlk_ref_fma(a->share1, g - *m, *m);
    else
        *m = tlk_ref_fma(a->share1 - 1, g - *m, g);
    *v = tlk_ref_fma(a->share2 * g, g, *v * a->beta2);
    tlk_real root = (tlk_real)(sizeof(tlk_real) == sizeof(float) ? sqrtf((float)*v) : sqrt(*v));
    tlk_real denominator = root / a->correction2 + a->epsilon;
    *w = *w + a->rate * *m / denominator;
}

typedef struct tlk_ref_adam {
    int64_t elems;
    bool decoupled; /* AdamW */
} tlk_ref_adam;

/* An item is a chunk of elements. */
static inline int64_t tlk_ref_adam_items(const tlk_ref_adam *s, int64_t n)
{
    (void)n;
    return tlk_div_up(s->elems, TLK_REF_UPDATE_CHUNK);
}

static inline void tlk_ref_adam_item(const tlk_ref_adam *s, int64_t item, int64_t n,
                                     const tlk_step *step, tlk_real *w, tlk_real *m, tlk_real *v,
                                     const tlk_real *dw)
{
    (void)n;
    tlk_ref_adam_scalars scalars = tlk_ref_adam_prepare(step, s->decoupled);
    int64_t end = (item + 1) * TLK_REF_UPDATE_CHUNK;
    for (int64_t i = item * TLK_REF_UPDATE_CHUNK; i < end && i < s->elems; ++i)
        tlk_ref_adam_element(&scalars, &w[i], &m[i], &v[i], dw[i]);
}

/* linear_grad_w and adam_update in one; an item is an output. */
typedef struct tlk_ref_linear_adam {
    int64_t batch;
    int in, out;
    bool decoupled;
} tlk_ref_linear_adam;

static inline int64_t tlk_ref_linear_adam_items(const tlk_ref_linear_adam *s, int64_t n)
{
    (void)n;
    return s->out;
}

static inline void tlk_ref_linear_adam_item(const tlk_ref_linear_adam *s, int64_t item, int64_t n,
                                            const tlk_step *step, tlk_real *w, tlk_real *m,
                                            tlk_real *v, const tlk_real *dy, const tlk_real *x)
{
    tlk_ref_adam_scalars scalars = tlk_ref_adam_prepare(step, s->decoupled);
    for (int i = 0; i < s->in; ++i) {
        int64_t at = item * s->in + i;
        double sum = 0;
        for (int64_t p = 0; p < tlk_ref_pictures(s->batch, n); ++p)
            sum += (double)dy[p * s->out + item] * x[p * s->in + i];
        tlk_ref_adam_element(&scalars, &w[at], &m[at], &v[at], (tlk_real)sum);
    }
}

#endif
