/* tlk_conv2d_update.h: gradient of a convolution by its weight and the optimizer's step in one.
 *
 * An item's piece of the gradient is summed over all pictures in scratch, which fits the first two
 * cache levels, and used at once: the gradient of a whole weight is never in memory.  Sums as
 * tlk_conv2d_grad_w.h makes them, updates as tlk_update.h: the bits are those of the two in turn.
 */
#ifndef TLK_CONV2D_UPDATE_H
#define TLK_CONV2D_UPDATE_H

#include "tlk_conv2d_grad_w.h"
#include "tlk_update.h"

/* How the weight lies, and with it what sums its gradient. */
typedef enum tlk_dw_form { TLK_DW_DIRECT, TLK_DW_STEM, TLK_DW_DEPTHWISE } tlk_dw_form;

typedef struct tlk_conv2d_adam_c16 {
    tlk_conv2d conv;
    tlk_dw_form form;
    bool decoupled; /* AdamW */
} tlk_conv2d_adam_c16;

typedef struct tlk_conv2d_sgd_c16 {
    tlk_conv2d conv;
    tlk_dw_form form;
    bool nesterov;
} tlk_conv2d_sgd_c16;

TLK_INLINE int64_t tlk_dw_form_items(const tlk_conv2d *s, tlk_dw_form form, int64_t n)
{
    return form == TLK_DW_STEM        ? tlk_conv2d_grad_w_stem_items(s, n)
           : form == TLK_DW_DEPTHWISE ? tlk_conv2d_grad_w_depthwise_items(s, n)
                                      : tlk_conv2d_grad_w_direct_items(s, n);
}

/* An item's piece, summed into g, run after run. */
TLK_INLINE tlk_dw_piece tlk_dw_form_sum(const tlk_conv2d *s, tlk_dw_form form, int64_t item,
                                        int64_t n, const float *dy, const float *x, float *g)
{
    tlk_dw_piece p;
    switch (form) {
    case TLK_DW_STEM:
        p = tlk_dw_stem_piece(s, item);
        tlk_dw_stem_sum(s, item, n, dy, x, g, p.count);
        break;
    case TLK_DW_DEPTHWISE:
        p = tlk_dw_depthwise_piece(s, item);
        tlk_dw_depthwise_sum(s, item, n, dy, x, g, p.count);
        break;
    default:
        p = tlk_dw_direct_piece(s, item);
        tlk_dw_direct_sum(s, item, n, dy, x, g, p.count);
        break;
    }
    return p;
}

static inline int64_t tlk_conv2d_adam_c16_items(const tlk_conv2d_adam_c16 *s, int64_t n)
{
    return tlk_dw_form_items(&s->conv, s->form, n);
}

TLK_INLINE void tlk_conv2d_adam_c16_item(const tlk_conv2d_adam_c16 *s, int64_t item, int64_t n,
                                         void *scratch, const tlk_step *step, float *w, float *m,
                                         float *v, const float *dy, const float *x)
{
    const tlk_adam_rates rates = tlk_adam_rates_of(step, s->decoupled);
    const float *g = scratch;
    const tlk_dw_piece p = tlk_dw_form_sum(&s->conv, s->form, item, n, dy, x, scratch);
    for (int i = 0; i < p.runs; ++i) {
        const int64_t at = p.at + i * p.step;
        tlk_adam_sweep(&rates, p.count, g + i * p.count, w + at, m + at, v + at);
    }
}

static inline int64_t tlk_conv2d_sgd_c16_items(const tlk_conv2d_sgd_c16 *s, int64_t n)
{
    return tlk_dw_form_items(&s->conv, s->form, n);
}

TLK_INLINE void tlk_conv2d_sgd_c16_item(const tlk_conv2d_sgd_c16 *s, int64_t item, int64_t n,
                                        void *scratch, const tlk_step *step, float *w,
                                        float *buffer, const float *dy, const float *x)
{
    const float *g = scratch;
    const tlk_dw_piece p = tlk_dw_form_sum(&s->conv, s->form, item, n, dy, x, scratch);
    for (int i = 0; i < p.runs; ++i) {
        const int64_t at = p.at + i * p.step;
        tlk_sgd_sweep(step, s->nesterov, p.count, g + i * p.count, w + at, buffer + at);
    }
}

#endif
