/* loop.c: epochs, their metrics and checkpoints.
 *
 * The state is progress alone: epoch, position, step.  Every turn of the loop is either one
 * step or the end of an epoch, and a checkpoint may be taken between any two turns; so a run
 * resumed from one does the same turns with the same numbers.
 */
#include "tlr_trainer.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A checkpoint is due when the last one cost less than this share of the time since, and not
 * more often than every half second: a lost hour is worse than 5 % more time. */
static const double SAVE_SHARE = 0.05, SAVE_LEAST_S = 0.5;

typedef struct loop {
    tlr_trainer *t;
    const char *run;
    FILE *metrics;
    double saved_at, save_cost_s, epoch_began;
    int64_t saved_step, saved_position; /* what last.json stands for; -1: unknown */
} loop;

static const char METRICS[] = "metrics.jsonl";

static tlb_status metrics_failed(tlr_trainer *t, int error)
{
    return tlr_trouble_set(t, TLB_E_OUTPUT, "E_OUTPUT", METRICS, "cannot write: %s",
                           strerror(error));
}

/* Open for going on: what came after the checkpoint is cut off. */
static tlb_status open_metrics(loop *l)
{
    tlr_trainer *t = l->t;
    char *path = tlr_path(l->run, METRICS);
    if (!path)
        return TLB_E_LIMIT;
    bool begins = t->progress.metrics_bytes == 0;
    l->metrics = fopen(path, begins ? "w" : "r+");
    int error = errno;
    free(path);
    if (!l->metrics)
        return begins ? metrics_failed(t, error)
                      : tlr_trouble_set(t, TLB_E_INPUT, "E_INPUT", METRICS, "cannot read: %s",
                                        strerror(error));
    if (fseek(l->metrics, 0, SEEK_END) != 0 || ftell(l->metrics) < t->progress.metrics_bytes)
        return tlr_trouble_set(t, TLB_E_MALFORMED, "E_METRICS", METRICS,
                               "shorter than last.json says");
    if (ftruncate(fileno(l->metrics), t->progress.metrics_bytes) != 0 ||
        fseek(l->metrics, 0, SEEK_END) != 0)
        return metrics_failed(t, errno);
    return TLB_OK;
}

/* Its bytes must be on disk before a checkpoint counts on them. */
static tlb_status sync_metrics(loop *l)
{
    if (fflush(l->metrics) != 0 || fsync(fileno(l->metrics)) != 0)
        return metrics_failed(l->t, errno);
    l->t->progress.metrics_bytes = ftell(l->metrics);
    return TLB_OK;
}

static tlb_status save_last(loop *l)
{
    tlr_progress *p = &l->t->progress;
    if (l->saved_step == p->step && l->saved_position == p->position)
        return TLB_OK;
    double began = tlr_seconds();
    tlb_status status = sync_metrics(l);
    if (status == TLB_OK)
        status = tlr_checkpoint_save(l->t, l->run, TLR_LAST);
    if (status != TLB_OK)
        return status;
    l->saved_step = p->step;
    l->saved_position = p->position;
    l->saved_at = tlr_seconds();
    l->save_cost_s = l->saved_at - began;
    return TLB_OK;
}

static tlb_status save_if_due(loop *l)
{
    double since = tlr_seconds() - l->saved_at;
    bool due = since >= SAVE_LEAST_S && l->save_cost_s < SAVE_SHARE * since;
    return due ? save_last(l) : TLB_OK;
}

/* Without validation pictures the latest weights are the best there are. */
static bool note_best(tlr_progress *p, const tlr_score *valid)
{
    if (valid->n > 0 && !tlr_is_better(p, valid->accuracy, valid->loss))
        return false;
    p->has_best = true;
    p->best_epoch = p->epoch + 1;
    p->best_step = p->step;
    p->best_accuracy = valid->accuracy;
    p->best_loss = valid->loss;
    return true;
}

static tlb_status end_epoch(loop *l)
{
    tlr_trainer *t = l->t;
    tlr_progress *p = &t->progress;
    double n = (double)t->samples.n_train;
    tlr_epoch_report r = { .epoch = p->epoch + 1, .step = p->step, .lr = tlr_rate(t, p->step - 1) };
    r.train = (tlr_score){ t->samples.n_train, p->correct, p->loss_sum / n,
                           (double)p->correct / n };
    tlb_status status = tlr_trainer_evaluate(t, t->samples.n_train, t->samples.n_valid, NULL, NULL,
                                             &r.valid);
    if (status == TLB_OK && !isfinite(r.valid.loss))
        status = tlr_trouble_set(t, TLB_E_NUMERIC, "E_LOSS", NULL,
                                 "step %lld, epoch %lld: validation loss is not finite",
                                 (long long)p->step, (long long)r.epoch);
    if (status != TLB_OK)
        return status;
    tlr_progress before = *p;
    r.best = note_best(p, &r.valid);
    if (r.best)
        status = tlr_checkpoint_save(t, l->run, TLR_BEST);
    if (status != TLB_OK) {
        *p = before;
        return status;
    }
    double now = tlr_seconds();
    r.seconds = now - t->started;
    r.epoch_seconds = now - l->epoch_began;
    l->epoch_began = now;
    if (tlr_metrics_epoch(l->metrics, &r) != TLB_OK)
        return metrics_failed(t, errno);
    if (t->hooks.epoch)
        t->hooks.epoch(t->hooks.self, &r);
    tlr_trainer_next_epoch(t);
    return TLB_OK;
}

static tlb_status one_step(loop *l)
{
    tlr_step_report r;
    tlb_status status = tlr_trainer_step(l->t, &r);
    if (status != TLB_OK)
        return status;
    if (tlr_metrics_step(l->metrics, &r) != TLB_OK)
        return metrics_failed(l->t, errno);
    if (l->t->hooks.step)
        l->t->hooks.step(l->t->hooks.self, &r);
    return TLB_OK;
}

bool tlr_trainer_out_of_patience(const tlr_trainer *t)
{
    const tlr_progress *p = &t->progress;
    return t->config.patience > 0 && p->has_best && p->epoch < t->config.epochs &&
           p->epoch - p->best_epoch >= t->config.patience;
}

/* Turns until the last epoch is done, or patience is at its end, a stop, or a failure. */
static tlb_status turns(loop *l)
{
    tlr_trainer *t = l->t;
    while (t->progress.epoch < t->config.epochs && !tlr_trainer_out_of_patience(t)) {
        if (tlr_stop_wanted(t))
            return TLB_E_INTERRUPTED;
        bool steps = t->progress.position < t->samples.n_train;
        tlb_status status = steps ? one_step(l) : end_epoch(l);
        if (status == TLB_OK)
            status = save_if_due(l);
        if (status != TLB_OK)
            return status;
    }
    return TLB_OK;
}

tlb_status tlr_trainer_run(tlr_trainer *t, const char *run)
{
    loop l = { .t = t, .run = run, .saved_step = -1 };
    l.saved_at = l.epoch_began = tlr_seconds();
    tlb_status status = open_metrics(&l);
    if (status == TLB_OK) {
        status = turns(&l);
        if (status == TLB_OK || status == TLB_E_INTERRUPTED) {
            tlb_status saved = save_last(&l);
            status = saved == TLB_OK ? status : saved;
        }
    }
    tlr_features_cancel(t);
    if (l.metrics && fclose(l.metrics) != 0 && status == TLB_OK)
        status = metrics_failed(t, errno);
    return status;
}
