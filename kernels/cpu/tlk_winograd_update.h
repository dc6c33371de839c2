/* tlk_winograd_update.h: Winograd's gradient of a weight and the optimizer's step in one.
 *
 * An item is one block of output by one of input channels: its nine taps are made from the sums in
 * the transformed domain and used at once.  Bits as of tlk_winograd_train.h, then tlk_update.h.
 */
#ifndef TLK_WINOGRAD_UPDATE_H
#define TLK_WINOGRAD_UPDATE_H

#include "tlk_update.h"
#include "tlk_winograd_train.h"

typedef struct tlk_winograd_adam {
    tlk_winograd_grad_w grad;
    bool decoupled; /* AdamW */
} tlk_winograd_adam;

typedef struct tlk_winograd_sgd {
    tlk_winograd_grad_w grad;
    bool nesterov;
} tlk_winograd_sgd;

enum { TLK_WINO_FILTERS = TLK_WINO_TAPS * TLK_WINO_SQUARE }; /* floats of an item */

static inline int64_t tlk_winograd_adam_items(const tlk_winograd_adam *s, int64_t n)
{
    return tlk_winograd_grad_w_items(&s->grad, n);
}

TLK_INLINE void tlk_winograd_adam_item(const tlk_winograd_adam *s, int64_t item, int64_t n,
                                       const tlk_step *step, float *w, float *m, float *v,
                                       const float *du)
{
    (void)n;
    float g[TLK_WINO_FILTERS];
    const tlk_adam_rates rates = tlk_adam_rates_of(step, s->decoupled);
    const int64_t at = item * TLK_WINO_FILTERS;
    tlk_wino_dw(&s->grad, item, du, g);
    tlk_adam_sweep(&rates, TLK_WINO_FILTERS, g, w + at, m + at, v + at);
}

static inline int64_t tlk_winograd_sgd_items(const tlk_winograd_sgd *s, int64_t n)
{
    return tlk_winograd_grad_w_items(&s->grad, n);
}

TLK_INLINE void tlk_winograd_sgd_item(const tlk_winograd_sgd *s, int64_t item, int64_t n,
                                      const tlk_step *step, float *w, float *buffer,
                                      const float *du)
{
    (void)n;
    float g[TLK_WINO_FILTERS];
    const int64_t at = item * TLK_WINO_FILTERS;
    tlk_wino_dw(&s->grad, item, du, g);
    tlk_sgd_sweep(step, s->nesterov, TLK_WINO_FILTERS, g, w + at, buffer + at);
}

#endif
