/* loop.c: epochs.
 *
 * The state is progress alone: epoch, position, step.  Every turn of the loop is either one
 * step or the end of an epoch, and a checkpoint may be taken between any two turns; so a run
 * resumed from one does the same turns with the same numbers.  What is kept of them, and where,
 * is the keeper's: a folder (tlr_run.h) or nothing (tlr_train.h).
 */
#include "tlr_trainer.h"

#include <math.h>

typedef struct loop {
    tlr_trainer *t;
    const tlr_keeper *keeper;
    double epoch_began;
} loop;

/* Counts are held to what a double, and so JSON, has to the last unit: one more never overflows. */
static bool count_fine(int64_t n)
{
    return n >= 0 && n <= INT64_C(1) << 53;
}

bool tlr_progress_fine(const tlr_progress *p, int64_t n_train)
{
    bool best_fine = count_fine(p->best_epoch) && p->best_epoch > 0 && p->best_step > 0 &&
                     p->best_step <= p->step && isfinite(p->best_accuracy) &&
                     isfinite(p->best_loss);
    return count_fine(p->epoch) && count_fine(p->step) && p->head_steps >= 0 &&
           p->head_steps <= p->step && p->position >= 0 && p->position <= n_train &&
           p->correct >= 0 && p->correct <= p->position && isfinite(p->loss_sum) &&
           (!p->has_best || best_fine);
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
    if (r.best && l->keeper->best)
        status = l->keeper->best(l->keeper->self);
    if (status != TLB_OK) {
        *p = before;
        return status;
    }
    double now = tlr_seconds();
    r.seconds = now - t->started;
    r.epoch_seconds = now - l->epoch_began;
    l->epoch_began = now;
    if (l->keeper->epoch)
        status = l->keeper->epoch(l->keeper->self, &r);
    if (status != TLB_OK)
        return status;
    if (t->hooks.epoch)
        t->hooks.epoch(t->hooks.self, &r);
    tlr_trainer_next_epoch(t);
    return TLB_OK;
}

static tlb_status one_step(loop *l)
{
    tlr_step_report r;
    tlb_status status = tlr_trainer_step(l->t, &r);
    if (status == TLB_OK && l->keeper->step)
        status = l->keeper->step(l->keeper->self, &r);
    if (status != TLB_OK)
        return status;
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
        if (status == TLB_OK && l->keeper->turn)
            status = l->keeper->turn(l->keeper->self);
        if (status != TLB_OK)
            return status;
    }
    return TLB_OK;
}

tlb_status tlr_trainer_loop(tlr_trainer *t, const tlr_keeper *keeper)
{
    loop l = { .t = t, .keeper = keeper, .epoch_began = tlr_seconds() };
    tlb_status status = turns(&l);
    tlr_features_cancel(t);
    return status;
}
