/* metrics_lines.c: the lines of metrics.jsonl. */
#include "tlr_run.h"

#include <inttypes.h>
#include <math.h>

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
