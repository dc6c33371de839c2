/* run.c: what a run leaves in its folder while it trains: metrics and checkpoints. */
#include "tlr_run.h"
#include "tlr_trainer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A checkpoint is due when the last one cost less than this share of the time since, and not
 * more often than every half second: a lost hour is worse than 5 % more time. */
static const double SAVE_SHARE = 0.05, SAVE_LEAST_S = 0.5;

typedef struct keeping {
    tlr_trainer *t;
    const char *run;
    FILE *metrics;
    double saved_at, save_cost_s;
    int64_t saved_step, saved_position; /* what last.json stands for; -1: unknown */
} keeping;

static const char METRICS[] = "metrics.jsonl";

static tlb_status metrics_failed(tlr_trainer *t, int error)
{
    if (error == ENOMEM)
        return TLB_E_LIMIT;
    return tlr_trouble_set(t, TLB_E_OUTPUT, "E_OUTPUT", METRICS, "cannot write: %s",
                           strerror(error));
}

/* Open for going on: what came after the checkpoint is cut off. */
static tlb_status open_metrics(keeping *k)
{
    tlr_trainer *t = k->t;
    char *path = tlr_path(k->run, METRICS);
    if (!path)
        return TLB_E_LIMIT;
    bool begins = t->progress.metrics_bytes == 0;
    k->metrics = fopen(path, begins ? "w" : "r+");
    int error = errno;
    free(path);
    if (!k->metrics)
        return begins || error == ENOMEM
                   ? metrics_failed(t, error)
                   : tlr_trouble_set(t, TLB_E_INPUT, "E_INPUT", METRICS, "cannot read: %s",
                                     strerror(error));
    if (fseek(k->metrics, 0, SEEK_END) != 0 || ftell(k->metrics) < t->progress.metrics_bytes)
        return tlr_trouble_set(t, TLB_E_MALFORMED, "E_METRICS", METRICS,
                               "shorter than last.json says");
    if (ftruncate(fileno(k->metrics), t->progress.metrics_bytes) != 0 ||
        fseek(k->metrics, 0, SEEK_END) != 0)
        return metrics_failed(t, errno);
    return TLB_OK;
}

/* Its bytes must be on disk before a checkpoint counts on them. */
static tlb_status sync_metrics(keeping *k)
{
    if (fflush(k->metrics) != 0 || fsync(fileno(k->metrics)) != 0)
        return metrics_failed(k->t, errno);
    k->t->progress.metrics_bytes = ftell(k->metrics);
    return TLB_OK;
}

static tlb_status save_last(keeping *k)
{
    tlr_progress *p = &k->t->progress;
    if (k->saved_step == p->step && k->saved_position == p->position)
        return TLB_OK;
    double began = tlr_seconds();
    tlb_status status = sync_metrics(k);
    if (status == TLB_OK)
        status = tlr_checkpoint_save(k->t, k->run, TLR_LAST);
    if (status != TLB_OK)
        return status;
    k->saved_step = p->step;
    k->saved_position = p->position;
    k->saved_at = tlr_seconds();
    k->save_cost_s = k->saved_at - began;
    return TLB_OK;
}

static tlb_status save_if_due(void *self)
{
    keeping *k = self;
    double since = tlr_seconds() - k->saved_at;
    bool due = since >= SAVE_LEAST_S && k->save_cost_s < SAVE_SHARE * since;
    return due ? save_last(k) : TLB_OK;
}

static tlb_status save_best(void *self)
{
    const keeping *k = self;
    return tlr_checkpoint_save(k->t, k->run, TLR_BEST);
}

static tlb_status write_step(void *self, const tlr_step_report *r)
{
    const keeping *k = self;
    return tlr_metrics_step(k->metrics, r) == TLB_OK ? TLB_OK : metrics_failed(k->t, errno);
}

static tlb_status write_epoch(void *self, const tlr_epoch_report *r)
{
    const keeping *k = self;
    return tlr_metrics_epoch(k->metrics, r) == TLB_OK ? TLB_OK : metrics_failed(k->t, errno);
}

tlb_status tlr_trainer_run(tlr_trainer *t, const char *run)
{
    keeping k = { .t = t, .run = run, .saved_step = -1, .saved_at = tlr_seconds() };
    const tlr_keeper keeper = { &k, write_step, save_best, write_epoch, save_if_due };
    tlb_status status = open_metrics(&k);
    if (status == TLB_OK) {
        status = tlr_trainer_loop(t, &keeper);
        if (status == TLB_OK || status == TLB_E_INTERRUPTED) {
            tlb_status saved = save_last(&k);
            status = saved == TLB_OK ? status : saved;
        }
    }
    if (k.metrics && fclose(k.metrics) != 0 && status == TLB_OK)
        status = metrics_failed(t, errno);
    return status;
}
