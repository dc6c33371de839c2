/* step.c: one update of the parameters.
 *
 * A step takes `accumulate` batches (fewer at the end of an epoch), as if they were one: what they
 * have in common, its numbers, says by what their losses are divided, and the gradients add up.
 * Progress stands between steps alone, so that no checkpoint holds a gradient.  Rows and labels
 * are copied to their places in act; nothing is allocated.
 */
#include "tlr_trainer.h"

#include <math.h>

/* Samples of a step, from where progress stands. */
static int64_t step_samples(const tlr_trainer *t)
{
    int64_t left = t->samples.n_train - t->progress.position;
    int64_t whole = t->config.accumulate * t->config.batch;
    return whole < left ? whole : left;
}

int64_t tlr_steps_in_epoch(const tlr_trainer *t)
{
    return tlk_div_up(t->samples.n_train, t->config.accumulate * t->config.batch);
}

double tlr_rate(const tlr_trainer *t, int64_t step)
{
    const tlr_train_config *c = &t->config;
    return tlr_rate_at(&c->schedule, c->rates.lr, step, tlr_steps_in_epoch(t), c->epochs);
}

/* Of the labels of the n samples from progress on. */
static double sum_of_weights(const tlr_trainer *t, int64_t n)
{
    const int64_t *samples = t->order + t->progress.position;
    double sum = 0;
    if (!t->config.class_weights)
        return (double)n;
    for (int64_t i = 0; i < n; ++i)
        sum += t->config.class_weights[t->samples.labels[samples[i]]];
    return sum;
}

/* The head's numbers; the backbone counts its own updates, from when it is trained. */
static void set_numbers(tlr_trainer *t, int64_t n)
{
    const tlr_train_config *c = &t->config;
    const tlr_rates *r = &c->rates;
    int64_t step = t->progress.step;
    bool waits = t->progress.epoch < c->head_epochs;
    tlk_step *head = &t->numbers[TLK_GROUP_HEAD], *backbone = &t->numbers[TLK_GROUP_BACKBONE];
    *head = (tlk_step){ .seed = c->seed, .epoch = t->progress.epoch, .t = step + 1,
                        .class_weights = c->class_weights, .divisor = sum_of_weights(t, n),
                        .lr = tlr_rate(t, step), .weight_decay = r->weight_decay,
                        .momentum = r->momentum, .dampening = r->dampening,
                        .beta1 = r->beta1, .beta2 = r->beta2, .epsilon = r->epsilon };
    *backbone = *head;
    backbone->t = waits ? 0 : step + 1 - t->progress.head_steps;
    if (r->lr_backbone >= 0)
        backbone->lr = tlr_rate_at(&c->schedule, r->lr_backbone, step, tlr_steps_in_epoch(t),
                                   c->epochs);
}

/* Rows and labels of the n samples at `position` of the epoch to where @step wants them. */
static tlb_status place_batch(tlr_trainer *t, int64_t position, int64_t n)
{
    const tlr_func *step = &t->model->step;
    const int64_t *samples = t->order + position;
    if (position == 0 || tlr_ring_left(t->ring) == 0)
        tlr_features_begin(t, samples, t->samples.n_train - position);
    tlb_status status =
        tlr_features_take(t, samples, n, t->frame.act + step->in[0].offset * n);
    int64_t *labels = (int64_t *)(t->frame.act + step->in[1].offset * n);
    for (int64_t i = 0; status == TLB_OK && i < n; ++i)
        labels[i] = t->samples.labels[samples[i]];
    return status;
}

/* What @step left: the sum of (weighted) losses, how many were right. */
static double read_batch(const tlr_trainer *t, int64_t position, int64_t n, int64_t *correct)
{
    const tlr_func *step = &t->model->step;
    const int64_t *samples = t->order + position;
    const char *loss = t->frame.act + step->out[0].offset * n;
    const char *logits = t->frame.act + step->out[1].offset * n;
    tlr_type type = step->out[1].type;
    int64_t k = t->model->n_classes, row = k * tlr_type_bytes(type);
    double sum = 0;
    for (int64_t i = 0; i < n; ++i) {
        sum += tlr_value_at(step->out[0].type, loss, i);
        *correct += tlr_best_class(type, logits + i * row, k) == t->samples.labels[samples[i]];
    }
    return sum;
}

/* @step on `n` samples at `position`, adding to the sums. */
static tlb_status run_batch(tlr_trainer *t, int64_t position, int64_t n, double *sum,
                            int64_t *correct)
{
    const tlr_progress *p = &t->progress;
    tlb_status status = place_batch(t, position, n);
    if (status != TLB_OK)
        return status;
    for (int g = 0; g < TLK_GROUPS; ++g) {
        t->numbers[g].position = position;
        t->numbers[g].batch = (position - p->position) / t->config.batch;
    }
    t->frame.n = n;
    t->model->step.run(&t->frame);
    status = tlr_device_check(t);
    if (status != TLB_OK)
        return status;
    double loss = read_batch(t, position, n, correct);
    if (!isfinite(loss))
        return tlr_trouble_set(t, TLB_E_NUMERIC, "E_LOSS", NULL,
                               "step %lld, epoch %lld: loss is %s", (long long)p->step + 1,
                               (long long)p->epoch + 1, isnan(loss) ? "NaN" : "infinite");
    *sum += loss;
    return TLB_OK;
}

/* The batches of a step of n samples, then the update where @step kept the gradients. */
static tlb_status run_batches(tlr_trainer *t, int64_t n, double *sum, int64_t *correct)
{
    tlb_status status = TLB_OK;
    int64_t batch = t->config.batch;
    t->frame.step = t->numbers;
    for (int64_t done = 0; status == TLB_OK && done < n; done += batch)
        status = run_batch(t, t->progress.position + done, n - done < batch ? n - done : batch,
                           sum, correct);
    if (status == TLB_OK && t->model->update) {
        if (t->config.clip_norm > 0)
            tlr_gradients_clip(t);
        t->model->update(&t->frame);
        status = tlr_device_check(t);
    }
    t->frame.step = NULL;
    return status;
}

tlb_status tlr_trainer_step(tlr_trainer *t, tlr_step_report *out)
{
    tlr_progress *p = &t->progress;
    double began = tlr_seconds(), sum = 0;
    int64_t n = step_samples(t), correct = 0;
    tlr_order_use(t);
    tlb_status status = tlr_memory_ready(t);
    if (status != TLB_OK)
        return status;
    set_numbers(t, n);
    const tlk_step *numbers = &t->numbers[TLK_GROUP_HEAD];
    status = run_batches(t, n, &sum, &correct);
    if (status != TLB_OK)
        return status;
    /* An epoch's loss is the mean over pictures: a step's weighted mean counts for each of them. */
    p->loss_sum += t->config.class_weights ? sum / numbers->divisor * (double)n : sum;
    p->correct += correct;
    p->position += n;
    ++p->step;
    p->head_steps += p->epoch < t->config.head_epochs;
    double now = tlr_seconds();
    t->costs.train_s += now - began;
    int64_t batch = t->config.batch * t->config.accumulate;
    *out = (tlr_step_report){ .epoch = p->epoch + 1, .step = p->step, .n = n, .correct = correct,
                              .loss = sum / numbers->divisor, .lr = numbers->lr,
                              .seconds = now - t->started,
                              .steps_in_epoch = tlr_steps_in_epoch(t),
                              .step_in_epoch = tlk_div_up(p->position, batch) };
    return TLB_OK;
}

void tlr_trainer_next_epoch(tlr_trainer *t)
{
    ++t->progress.epoch;
    t->progress.position = 0;
    t->progress.loss_sum = 0;
    t->progress.correct = 0;
}
