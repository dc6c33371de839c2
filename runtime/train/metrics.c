/* metrics.c: what is counted, and the lines of metrics.jsonl. */
#include "tlr_trainer.h"

#include <errno.h>
#include <inttypes.h>
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

/* A JSON number with all digits of the double; what is not finite has none: null. */
static const char *number(char buf[32], double x)
{
    if (!isfinite(x))
        return "null";
    snprintf(buf, 32, "%.17g", x);
    return buf;
}

static tlb_status written(int n)
{
    return n > 0 ? TLB_OK : TLB_E_OUTPUT;
}

tlb_status tlr_metrics_step(FILE *f, const tlr_step_report *r)
{
    char loss[32], rate[32];
    return written(fprintf(f,
                           "{\"schema\":\"tlc.metrics/1\",\"type\":\"step\",\"epoch\":%" PRId64
                           ",\"step\":%" PRId64 ",\"n\":%" PRId64 ",\"correct\":%" PRId64
                           ",\"loss\":%s,\"lr\":%s,\"time_s\":%.6f}\n",
                           r->epoch, r->step, r->n, r->correct, number(loss, r->loss),
                           number(rate, r->lr), r->seconds));
}

tlb_status tlr_metrics_epoch(FILE *f, const tlr_epoch_report *r)
{
    char tl[32], ta[32], vl[32], va[32], rate[32];
    bool valid = r->valid.n > 0;
    return written(fprintf(f,
                           "{\"schema\":\"tlc.metrics/1\",\"type\":\"epoch\",\"epoch\":%" PRId64
                           ",\"step\":%" PRId64 ",\"valid_n\":%" PRId64
                           ",\"valid_correct\":%" PRId64 ",\"train_loss\":%s,\"train_accuracy\":%s,"
                           "\"valid_loss\":%s,\"valid_accuracy\":%s,\"lr\":%s,\"time_s\":%.6f,"
                           "\"best\":%s}\n",
                           r->epoch, r->step, r->valid.n, r->valid.correct,
                           number(tl, r->train.loss), number(ta, r->train.accuracy),
                           valid ? number(vl, r->valid.loss) : "null",
                           valid ? number(va, r->valid.accuracy) : "null", number(rate, r->lr),
                           r->seconds, r->best ? "true" : "false"));
}
