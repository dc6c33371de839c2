/* tlk_ref_softmax.h: softmax, cross entropy of logits, and its gradient.
 *
 * exp and log in double, after taking the largest logit away.  With label smoothing e the
 * target is (1-e) onehot + e/K; with class weights each class's share of it is times its weight,
 * and the mean divides by the weights of the labels met, as in PyTorch.  Labels lie in
 * 0 .. classes-1: the runtime checks them.
 */
#ifndef TLK_REF_SOFTMAX_H
#define TLK_REF_SOFTMAX_H

#include "tlk_ref.h"

/* log(sum of exp(z[i * stride])). */
static inline double tlk_ref_logsumexp(int64_t count, const tlk_real *z, int64_t stride)
{
    double largest = (double)z[0], sum = 0;
    for (int64_t i = 1; i < count; ++i)
        if ((double)z[i * stride] > largest)
            largest = (double)z[i * stride];
    for (int64_t i = 0; i < count; ++i)
        sum += exp((double)z[i * stride] - largest);
    return largest + log(sum);
}

/* Along the middle one of [outer][size][inner], for each picture; an item is a picture. */
typedef struct tlk_ref_softmax {
    int64_t batch;
    int64_t outer, size, inner;
} tlk_ref_softmax;

static inline int64_t tlk_ref_softmax_items(const tlk_ref_softmax *s, int64_t n)
{
    return tlk_ref_pictures(s->batch, n);
}

static inline void tlk_ref_softmax_item(const tlk_ref_softmax *s, int64_t item, int64_t n,
                                        const tlk_real *x, tlk_real *y)
{
    (void)n;
    for (int64_t row = 0; row < s->outer * s->inner; ++row) {
        int64_t at = (item * s->outer + row / s->inner) * s->size * s->inner + row % s->inner;
        const tlk_real *first = x + at;
        double largest = (double)first[0], sum = 0;
        for (int64_t i = 1; i < s->size; ++i)
            largest = (double)first[i * s->inner] > largest ? (double)first[i * s->inner] : largest;
        for (int64_t i = 0; i < s->size; ++i)
            sum += exp((double)first[i * s->inner] - largest);
        /* Not exp(x - logsumexp): beside logits of 1e20 the logarithm of the sum would be lost. */
        for (int64_t i = 0; i < s->size; ++i, at += s->inner)
            y[at] = (tlk_real)(exp((double)x[at] - largest) / sum);
    }
}

/* dx = y * (dy - sum of dy * y) along the same axis; an item is a picture. */
typedef struct tlk_ref_softmax_grad {
    int64_t batch;
    int64_t outer, size, inner;
} tlk_ref_softmax_grad;

static inline int64_t tlk_ref_softmax_grad_items(const tlk_ref_softmax_grad *s, int64_t n)
{
    return tlk_ref_pictures(s->batch, n);
}

static inline void tlk_ref_softmax_grad_item(const tlk_ref_softmax_grad *s, int64_t item,
                                             int64_t n, const tlk_real *dy, const tlk_real *y,
                                             tlk_real *dx)
{
    (void)n;
    for (int64_t row = 0; row < s->outer * s->inner; ++row) {
        int64_t at = (item * s->outer + row / s->inner) * s->size * s->inner + row % s->inner;
        double dot = 0;
        for (int64_t i = 0; i < s->size; ++i)
            dot += (double)dy[at + i * s->inner] * y[at + i * s->inner];
        for (int64_t i = 0; i < s->size; ++i, at += s->inner)
            dx[at] = (tlk_real)((double)y[at] * ((double)dy[at] - dot));
    }
}

static inline double tlk_ref_class_weight(const tlk_step *step, int64_t k)
{
    return step->class_weights ? step->class_weights[k] : 1;
}

/* loss[n] of z[n,classes] and labels, each times its weight; an item is a picture. */
typedef struct tlk_ref_cross_entropy {
    int64_t batch;
    int classes;
    double smoothing;
} tlk_ref_cross_entropy;

static inline int64_t tlk_ref_cross_entropy_items(const tlk_ref_cross_entropy *s, int64_t n)
{
    return tlk_ref_pictures(s->batch, n);
}

static inline void tlk_ref_cross_entropy_item(const tlk_ref_cross_entropy *s, int64_t item,
                                              int64_t n, const tlk_step *step, const tlk_real *z,
                                              const int64_t *label, tlk_real *loss)
{
    (void)n;
    z += item * s->classes;
    double log_total = tlk_ref_logsumexp(s->classes, z, 1);
    double value = (1 - s->smoothing) * tlk_ref_class_weight(step, label[item]) *
                   (log_total - (double)z[label[item]]);
    if (s->smoothing > 0)
        for (int k = 0; k < s->classes; ++k)
            value += s->smoothing / s->classes * tlk_ref_class_weight(step, k) *
                     (log_total - (double)z[k]);
    loss[item] = (tlk_real)value;
}

/* Gradient by z of the mean: (softmax(z) sum of target - target) / divisor. */
typedef struct tlk_ref_cross_entropy_grad {
    int64_t batch;
    int classes;
    double smoothing;
} tlk_ref_cross_entropy_grad;

static inline int64_t tlk_ref_cross_entropy_grad_items(const tlk_ref_cross_entropy_grad *s,
                                                       int64_t n)
{
    return tlk_ref_pictures(s->batch, n);
}

/* Weights of the labels met. */
static inline double tlk_ref_label_weights(const tlk_step *step, int64_t pictures,
                                           const int64_t *label)
{
    double sum = 0;
    for (int64_t i = 0; i < pictures; ++i)
        sum += tlk_ref_class_weight(step, label[i]);
    return sum;
}

/* Sum over the classes of the weighted target; 1 where no class has a weight. */
static inline double tlk_ref_target_mass(const tlk_ref_cross_entropy_grad *s, const tlk_step *step,
                                         int64_t label)
{
    double sum = 0;
    for (int k = 0; k < s->classes; ++k)
        sum += s->smoothing / s->classes * tlk_ref_class_weight(step, k);
    return sum + (1 - s->smoothing) * tlk_ref_class_weight(step, label);
}

static inline void tlk_ref_cross_entropy_grad_item(const tlk_ref_cross_entropy_grad *s,
                                                   int64_t item, int64_t n, const tlk_step *step,
                                                   const tlk_real *z, const int64_t *label,
                                                   tlk_real *dz)
{
    double mass = 1, divisor = step->divisor;
    if (divisor == 0)
        divisor = tlk_ref_label_weights(step, tlk_ref_pictures(s->batch, n), label);
    if (step->class_weights)
        mass = tlk_ref_target_mass(s, step, label[item]);
    z += item * s->classes;
    dz += item * s->classes;
    double log_total = tlk_ref_logsumexp(s->classes, z, 1);
    for (int k = 0; k < s->classes; ++k) {
        double target = s->smoothing / s->classes + (k == label[item] ? 1 - s->smoothing : 0);
        double share = exp((double)z[k] - log_total) * mass;
        dz[k] = (tlk_real)((share - target * tlk_ref_class_weight(step, k)) / divisor);
    }
}

#endif
