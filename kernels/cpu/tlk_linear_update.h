/* tlk_linear_update.h: gradient of a linear weight and the optimizer's step, in one sweep.
 *
 * w, m, v (or the momentum buffer) are LIN16; dy and x plain.  In chunks of 48 inputs the gradient
 * is made in the first-level cache and used at once, so each array is read and written once a
 * step.  Formulas as torch.optim; scalars in double, then rounded to float.
 */
#ifndef TLK_LINEAR_UPDATE_H
#define TLK_LINEAR_UPDATE_H

#include "tlk_linear.h"

typedef struct tlk_linear_adam_packed {
    int in, out;
    bool decoupled; /* AdamW */
} tlk_linear_adam_packed;

typedef struct tlk_linear_sgd_packed {
    int in, out;
    bool nesterov;
} tlk_linear_sgd_packed;

enum {
    TLK_UPDATE_CHUNK = 48,    /* inputs: a multiple of every tile */
    TLK_UPDATE_ITEM = 960,    /* inputs of an item: 180 KiB of w, m, v */
    TLK_UPDATE_PICTURES = 64, /* whose dy is kept beside the gradient */
    TLK_UPDATE_AHEAD = 32     /* rows of 64 bytes to prefetch ahead: 2 KiB */
};

TLK_INLINE int64_t tlk_update_items(int in, int out)
{
    return tlk_blocks(out) * tlk_div_up(in, TLK_UPDATE_ITEM);
}

/* The inputs [from, to) of one output block that an item updates. */
typedef struct tlk_update_range {
    int block, from, to;
} tlk_update_range;

TLK_INLINE tlk_update_range tlk_update_locate(int in, int64_t item)
{
    const int64_t parts = tlk_div_up(in, TLK_UPDATE_ITEM);
    tlk_update_range r = { .block = (int)(item / parts) };
    r.from = (int)(item % parts) * TLK_UPDATE_ITEM;
    r.to = in - r.from < TLK_UPDATE_ITEM ? in : r.from + TLK_UPDATE_ITEM;
    return r;
}

/* g[i][16] += dy[p][16] x[p][i] for m inputs: the microkernel with inputs in the place of pixels
 * and pictures in the place of input channels. */
TLK_INLINE void tlk_update_tile(int64_t in, int pictures, const float *dy, const float *x,
                                float *g, int m)
{
    tlk_v acc[TLK_PIX][TLK_TV];
    tlk_tile t;
    TLK_UNROLL
    for (int p = 0; p < m; ++p) {
        t.x[p] = x + p;
        TLK_UNROLL
        for (int j = 0; j < TLK_VPB; ++j)
            acc[p][j] = tlk_load(g + p * TLK_BLOCK + j * TLK_W);
    }
    tlk_mac(acc, &t, 0, in, dy, 0, 1, m, pictures);
    TLK_UNROLL
    for (int p = 0; p < m; ++p) {
        TLK_UNROLL
        for (int j = 0; j < TLK_VPB; ++j)
            tlk_store(g + p * TLK_BLOCK + j * TLK_W, acc[p][j]);
    }
}

/* Gradient of the weights of `inputs` inputs from `from` on. */
static inline void tlk_update_gradient(int in, int from, int inputs, int64_t pictures,
                                       const float *dy, const float *x, float *g)
{
    memset(g, 0, sizeof(float) * (size_t)inputs * TLK_BLOCK);
    int i = 0;
    for (; i + TLK_PIX <= inputs; i += TLK_PIX)
        tlk_update_tile(in, (int)pictures, dy, x + from + i, g + i * TLK_BLOCK, TLK_PIX);
    for (; i < inputs; ++i)
        tlk_update_tile(in, (int)pictures, dy, x + from + i, g + i * TLK_BLOCK, 1);
}

/* dy of one output block for up to TLK_UPDATE_PICTURES pictures. */
TLK_INLINE void tlk_update_read(int out, int block, int pictures, const float *dy, float *to)
{
    for (int p = 0; p < pictures; ++p)
        tlk_block_read(dy + (int64_t)p * out, out, block, to + p * TLK_BLOCK);
}

/* The gradient over all pictures, in order; `first` holds those that fit, read once an item. */
static inline void tlk_update_all(int in, int out, int block, int from, int inputs, int64_t n,
                                  const float *first, const float *dy, const float *x, float *g)
{
    float more[TLK_UPDATE_PICTURES * TLK_BLOCK];
    const int64_t now = n < TLK_UPDATE_PICTURES ? n : TLK_UPDATE_PICTURES;
    tlk_update_gradient(in, from, inputs, now, first, x, g);
    for (int64_t p = now; p < n; p += TLK_UPDATE_PICTURES) {
        const int rest = n - p < TLK_UPDATE_PICTURES ? (int)(n - p) : TLK_UPDATE_PICTURES;
        tlk_update_read(out, block, rest, dy + p * out, more);
        int i = 0;
        for (; i + TLK_PIX <= inputs; i += TLK_PIX)
            tlk_update_tile(in, rest, more, x + p * in + from + i, g + i * TLK_BLOCK, TLK_PIX);
        for (; i < inputs; ++i)
            tlk_update_tile(in, rest, more, x + p * in + from + i, g + i * TLK_BLOCK, 1);
    }
}

/* --- the gradient alone, where it is kept --- */

typedef struct tlk_linear_grad_w_packed {
    int in, out;
} tlk_linear_grad_w_packed;

static inline int64_t tlk_linear_grad_w_packed_items(const tlk_linear_grad_w_packed *s, int64_t n)
{
    (void)n;
    return tlk_update_items(s->in, s->out);
}

TLK_INLINE void tlk_linear_grad_w_packed_item(const tlk_linear_grad_w_packed *s, int64_t item,
                                              int64_t n, const float *dy, const float *x,
                                              float *dw)
{
    float d[TLK_UPDATE_PICTURES * TLK_BLOCK];
    const tlk_update_range r = tlk_update_locate(s->in, item);
    tlk_update_read(s->out, r.block, n < TLK_UPDATE_PICTURES ? (int)n : TLK_UPDATE_PICTURES, dy,
                    d);
    for (int i = r.from; i < r.to; i += TLK_UPDATE_CHUNK) {
        const int inputs = r.to - i < TLK_UPDATE_CHUNK ? r.to - i : TLK_UPDATE_CHUNK;
        tlk_update_all(s->in, s->out, r.block, i, inputs, n, d, dy, x,
                       dw + ((int64_t)r.block * s->in + i) * TLK_BLOCK);
    }
}

/* --- Adam --------------------------- */

typedef struct tlk_adam_rates {
    float decay, shrink, rate, mix1, keep2, mix2, root, epsilon;
} tlk_adam_rates;

TLK_INLINE tlk_adam_rates tlk_adam_rates_of(const tlk_step *step, bool decoupled)
{
    const double t = (double)step->t;
    tlk_adam_rates r;
    r.decay = decoupled ? 0.0f : (float)step->weight_decay;
    r.shrink = decoupled ? (float)(1.0 - step->lr * step->weight_decay) : 1.0f;
    r.rate = (float)(step->lr / (1.0 - pow(step->beta1, t)));
    r.mix1 = (float)(1.0 - step->beta1);
    r.keep2 = (float)step->beta2;
    r.mix2 = (float)(1.0 - step->beta2);
    r.root = (float)sqrt(1.0 - pow(step->beta2, t));
    r.epsilon = (float)step->epsilon;
    return r;
}

TLK_INLINE void tlk_adam_apply(const tlk_adam_rates *r, int64_t count, const float *g, float *w,
                               float *m, float *v)
{
    for (int64_t i = 0; i < count; i += TLK_W) {
        if (i % TLK_BLOCK == 0) {
            __builtin_prefetch(w + i + TLK_UPDATE_AHEAD * TLK_BLOCK, 1);
            __builtin_prefetch(m + i + TLK_UPDATE_AHEAD * TLK_BLOCK, 1);
            __builtin_prefetch(v + i + TLK_UPDATE_AHEAD * TLK_BLOCK, 1);
        }
        const tlk_v w0 = tlk_load(w + i);
        const tlk_v m0 = tlk_load(m + i);
        const tlk_v gi = tlk_load(g + i) + tlk_splat(r->decay) * w0;
        const tlk_v m1 = m0 + tlk_splat(r->mix1) * (gi - m0);
        const tlk_v v1 = tlk_splat(r->keep2) * tlk_load(v + i) + tlk_splat(r->mix2) * gi * gi;
        const tlk_v scale = tlk_sqrt(v1) / tlk_splat(r->root) + tlk_splat(r->epsilon);
        tlk_store(m + i, m1);
        tlk_store(v + i, v1);
        tlk_store(w + i, tlk_splat(r->shrink) * w0 - tlk_splat(r->rate) * (m1 / scale));
    }
}

static inline int64_t tlk_linear_adam_packed_items(const tlk_linear_adam_packed *s, int64_t n)
{
    (void)n;
    return tlk_update_items(s->in, s->out);
}

TLK_INLINE void tlk_linear_adam_packed_item(const tlk_linear_adam_packed *s, int64_t item,
                                            int64_t n, const tlk_step *step, float *w, float *m,
                                            float *v, const float *dy, const float *x)
{
    float g[TLK_UPDATE_CHUNK * TLK_BLOCK];
    float d[TLK_UPDATE_PICTURES * TLK_BLOCK];
    const tlk_update_range r = tlk_update_locate(s->in, item);
    const tlk_adam_rates rates = tlk_adam_rates_of(step, s->decoupled);
    tlk_update_read(s->out, r.block, n < TLK_UPDATE_PICTURES ? (int)n : TLK_UPDATE_PICTURES, dy,
                    d);
    for (int i = r.from; i < r.to; i += TLK_UPDATE_CHUNK) {
        const int inputs = r.to - i < TLK_UPDATE_CHUNK ? r.to - i : TLK_UPDATE_CHUNK;
        const int64_t at = ((int64_t)r.block * s->in + i) * TLK_BLOCK;
        tlk_update_all(s->in, s->out, r.block, i, inputs, n, d, dy, x, g);
        tlk_adam_apply(&rates, (int64_t)inputs * TLK_BLOCK, g, w + at, m + at, v + at);
    }
}

/* --- SGD --------------------------- */

/* The momentum buffer is not touched where there is no momentum, as in torch.optim. */
TLK_INLINE void tlk_sgd_apply(const tlk_step *step, bool nesterov, int64_t count, const float *g,
                              float *w, float *buffer)
{
    const tlk_v decay = tlk_splat((float)step->weight_decay);
    const tlk_v lr = tlk_splat((float)step->lr);
    const tlk_v momentum = tlk_splat((float)step->momentum);
    const tlk_v damp = tlk_splat((float)(1.0 - step->dampening));
    const bool plain = step->momentum == 0.0;
    for (int64_t i = 0; i < count; i += TLK_W) {
        if (i % TLK_BLOCK == 0) {
            __builtin_prefetch(w + i + TLK_UPDATE_AHEAD * TLK_BLOCK, 1);
            __builtin_prefetch(buffer + i + TLK_UPDATE_AHEAD * TLK_BLOCK, 1);
        }
        const tlk_v w0 = tlk_load(w + i);
        const tlk_v gi = tlk_load(g + i) + decay * w0;
        tlk_v d = gi;
        if (!plain) {
            const tlk_v b = step->t == 1 ? gi : momentum * tlk_load(buffer + i) + damp * gi;
            tlk_store(buffer + i, b);
            d = nesterov ? gi + momentum * b : b;
        }
        tlk_store(w + i, w0 - lr * d);
    }
}

static inline int64_t tlk_linear_sgd_packed_items(const tlk_linear_sgd_packed *s, int64_t n)
{
    (void)n;
    return tlk_update_items(s->in, s->out);
}

TLK_INLINE void tlk_linear_sgd_packed_item(const tlk_linear_sgd_packed *s, int64_t item, int64_t n,
                                           const tlk_step *step, float *w, float *buffer,
                                           const float *dy, const float *x)
{
    float g[TLK_UPDATE_CHUNK * TLK_BLOCK];
    float d[TLK_UPDATE_PICTURES * TLK_BLOCK];
    const tlk_update_range r = tlk_update_locate(s->in, item);
    tlk_update_read(s->out, r.block, n < TLK_UPDATE_PICTURES ? (int)n : TLK_UPDATE_PICTURES, dy,
                    d);
    for (int i = r.from; i < r.to; i += TLK_UPDATE_CHUNK) {
        const int inputs = r.to - i < TLK_UPDATE_CHUNK ? r.to - i : TLK_UPDATE_CHUNK;
        const int64_t at = ((int64_t)r.block * s->in + i) * TLK_BLOCK;
        tlk_update_all(s->in, s->out, r.block, i, inputs, n, d, dy, x, g);
        tlk_sgd_apply(step, s->nesterov, (int64_t)inputs * TLK_BLOCK, g, w + at, buffer + at);
    }
}

#endif
