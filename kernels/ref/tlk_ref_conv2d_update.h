/* tlk_ref_conv2d_update.h: conv2d_grad_w and an optimizer's update in one, element by element. */
#ifndef TLK_REF_CONV2D_UPDATE_H
#define TLK_REF_CONV2D_UPDATE_H

#include "tlk_ref_conv2d.h"
#include "tlk_ref_update.h"

typedef struct tlk_ref_conv2d_sgd {
    tlk_ref_conv2d_grad_w grad;
    bool nesterov;
} tlk_ref_conv2d_sgd;

static inline int64_t tlk_ref_conv2d_sgd_items(const tlk_ref_conv2d_sgd *s, int64_t n)
{
    return tlk_ref_conv2d_grad_w_items(&s->grad, n);
}

static inline void tlk_ref_conv2d_sgd_item(const tlk_ref_conv2d_sgd *s, int64_t item, int64_t n,
                                           const tlk_step *step, tlk_real *w, tlk_real *buffer,
                                           const tlk_real *dy, const tlk_real *x)
{
    int taps = s->grad.kh * s->grad.kw;
    for (int tap = 0; tap < taps; ++tap) {
        tlk_real g = (tlk_real)tlk_ref_conv2d_grad_w_sum(&s->grad, item, n, tap, dy, x);
        tlk_ref_sgd_element(step, s->nesterov, &w[item * taps + tap], &buffer[item * taps + tap],
                            g);
    }
}

typedef struct tlk_ref_conv2d_adam {
    tlk_ref_conv2d_grad_w grad;
    bool decoupled;
} tlk_ref_conv2d_adam;

static inline int64_t tlk_ref_conv2d_adam_items(const tlk_ref_conv2d_adam *s, int64_t n)
{
    return tlk_ref_conv2d_grad_w_items(&s->grad, n);
}

static inline void tlk_ref_conv2d_adam_item(const tlk_ref_conv2d_adam *s, int64_t item, int64_t n,
                                            const tlk_step *step, tlk_real *w, tlk_real *m,
                                            tlk_real *v, const tlk_real *dy, const tlk_real *x)
{
    tlk_ref_adam_scalars scalars = tlk_ref_adam_prepare(step, s->decoupled);
    int taps = s->grad.kh * s->grad.kw;
    for (int tap = 0; tap < taps; ++tap) {
        int64_t at = item * taps + tap;
        tlk_real g = (tlk_real)tlk_ref_conv2d_grad_w_sum(&s->grad, item, n, tap, dy, x);
        tlk_ref_adam_element(&scalars, &w[at], &m[at], &v[at], g);
    }
}

#endif
