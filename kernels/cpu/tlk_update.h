/* tlk_update.h: the optimizer's step on stored arrays, whatever layout they share.
 *
 * w, its state and the gradient lie alike, so that an update is one sweep over floats; zeros that
 * pad channels stay zeros.  An item is a chunk.  Formulas as in tlk_linear_update.h.
 */
#ifndef TLK_UPDATE_H
#define TLK_UPDATE_H

#include "tlk_linear_update.h"

typedef struct tlk_adam {
    int64_t elems; /* as stored */
    bool decoupled; /* AdamW */
} tlk_adam;

typedef struct tlk_sgd {
    int64_t elems;
    bool nesterov;
} tlk_sgd;

enum { TLK_UPDATE_FLOATS = 16384 }; /* of an item: a multiple of TLK_BLOCK */

/* Sum of gradients over a step's batches: the first sets it. */
typedef struct tlk_accumulate {
    int64_t elems;
} tlk_accumulate;

static inline int64_t tlk_accumulate_items(const tlk_accumulate *s, int64_t n)
{
    (void)n;
    return tlk_div_up(s->elems, TLK_UPDATE_FLOATS);
}

static inline void tlk_accumulate_item(const tlk_accumulate *s, int64_t item, int64_t n,
                                       const tlk_step *step, float *sum, const float *g)
{
    (void)n;
    const int64_t at = item * TLK_UPDATE_FLOATS, left = s->elems - at;
    const int64_t count = left < TLK_UPDATE_FLOATS ? left : TLK_UPDATE_FLOATS;
    if (step->batch == 0)
        memcpy(sum + at, g + at, sizeof(float) * (size_t)count);
    else
        for (int64_t i = at; i < at + count; ++i)
            sum[i] += g[i];
}

/* The sweeps are called, not inlined: a network has one an array, all alike. */
static __attribute__((noinline, unused)) void
tlk_adam_sweep(const tlk_adam_rates *r, int64_t count, const float *g, float *w, float *m,
               float *v)
{
    tlk_adam_apply(r, count, g, w, m, v);
}

static __attribute__((noinline, unused)) void
tlk_sgd_sweep(const tlk_step *step, bool nesterov, int64_t count, const float *g, float *w,
              float *buffer)
{
    tlk_sgd_apply(step, nesterov, count, g, w, buffer);
}

static inline int64_t tlk_adam_items(const tlk_adam *s, int64_t n)
{
    (void)n;
    return tlk_div_up(s->elems, TLK_UPDATE_FLOATS);
}

/* The floats of an item: whole vectors, and what is left of the last at the end of an array. */
TLK_INLINE int64_t tlk_update_whole(int64_t elems, int64_t item, int *rest)
{
    const int64_t left = elems - item * TLK_UPDATE_FLOATS;
    const int64_t count = left < TLK_UPDATE_FLOATS ? left : TLK_UPDATE_FLOATS;
    *rest = (int)(count % TLK_BLOCK);
    return count - *rest;
}

TLK_INLINE void tlk_adam_item(const tlk_adam *s, int64_t item, int64_t n, const tlk_step *step,
                              float *w, float *m, float *v, const float *g)
{
    (void)n;
    int rest;
    const tlk_adam_rates rates = tlk_adam_rates_of(step, s->decoupled);
    const int64_t at = item * TLK_UPDATE_FLOATS;
    const int64_t whole = tlk_update_whole(s->elems, item, &rest);
    tlk_adam_sweep(&rates, whole, g + at, w + at, m + at, v + at);
    if (!rest)
        return;
    const size_t bytes = sizeof(float) * (size_t)rest;
    float tail[4][TLK_BLOCK] = { { 0 } };
    float *const from[] = { w + at + whole, m + at + whole, v + at + whole };
    for (int i = 0; i < 3; ++i)
        memcpy(tail[i], from[i], bytes);
    memcpy(tail[3], g + at + whole, bytes);
    tlk_adam_sweep(&rates, TLK_BLOCK, tail[3], tail[0], tail[1], tail[2]);
    for (int i = 0; i < 3; ++i)
        memcpy(from[i], tail[i], bytes);
}

static inline int64_t tlk_sgd_items(const tlk_sgd *s, int64_t n)
{
    (void)n;
    return tlk_div_up(s->elems, TLK_UPDATE_FLOATS);
}

TLK_INLINE void tlk_sgd_item(const tlk_sgd *s, int64_t item, int64_t n, const tlk_step *step,
                             float *w, float *buffer, const float *g)
{
    (void)n;
    int rest;
    const int64_t at = item * TLK_UPDATE_FLOATS;
    const int64_t whole = tlk_update_whole(s->elems, item, &rest);
    tlk_sgd_sweep(step, s->nesterov, whole, g + at, w + at, buffer + at);
    if (!rest)
        return;
    const size_t bytes = sizeof(float) * (size_t)rest;
    float tail[3][TLK_BLOCK] = { { 0 } };
    float *const from[] = { w + at + whole, buffer + at + whole };
    for (int i = 0; i < 2; ++i)
        memcpy(tail[i], from[i], bytes);
    memcpy(tail[2], g + at + whole, bytes);
    tlk_sgd_sweep(step, s->nesterov, TLK_BLOCK, tail[2], tail[0], tail[1]);
    for (int i = 0; i < 2; ++i)
        memcpy(from[i], tail[i], bytes);
}

#endif
