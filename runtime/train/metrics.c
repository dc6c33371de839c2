/* metrics.c: what is counted. */
#include "tlr_trainer.h"

#include <math.h>

double tlr_value_at(tlr_type type, const void *p, int64_t i)
{
    return type == TLR_F64 ? ((const double *)p)[i] : (double)((const float *)p)[i];
}

int tlr_best_class(tlr_type type, const void *logits, int64_t k)
{
    int64_t best = 0;
    for (int64_t i = 1; i < k; ++i)
        if (tlr_value_at(type, logits, i) > tlr_value_at(type, logits, best))
            best = i;
    return (int)best;
}

double tlr_cross_entropy(tlr_type type, const void *logits, int64_t k, int64_t y)
{
    double most = tlr_value_at(type, logits, tlr_best_class(type, logits, k)), sum = 0;
    for (int64_t i = 0; i < k; ++i)
        sum += exp(tlr_value_at(type, logits, i) - most);
    return log(sum) + most - tlr_value_at(type, logits, y);
}

bool tlr_is_better(const tlr_progress *p, double accuracy, double loss)
{
    if (!p->has_best || accuracy != p->best_accuracy)
        return !p->has_best || accuracy > p->best_accuracy;
    return loss < p->best_loss;
}

void tlr_wilson(int64_t correct, int64_t n, double *low, double *high)
{
    const double z = 1.959963984540054; /* quantile 0.975 of the normal distribution */
    *low = 0;
    *high = 1;
    if (n <= 0)
        return;
    double share = (double)correct / (double)n, z2 = z * z / (double)n;
    double middle = share + z2 / 2;
    double half = z * sqrt(share * (1 - share) / (double)n + z2 / (4 * (double)n));
    *low = fmax(0, (middle - half) / (1 + z2));
    *high = fmin(1, (middle + half) / (1 + z2));
}
