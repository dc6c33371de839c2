/* trainer.c: making a trainer; evaluation.
 *
 * A trainer is a block of parameters and activations, a pool of threads, and lists of samples.
 * step.c has a step, loop.c the epochs.
 */
#define _GNU_SOURCE
#include "tlr_trainer.h"

#include "tlk_philox.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* --- shared ------------------------------------------------------------------------------- */

double tlr_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

tlb_status tlr_trouble_set(tlr_trainer *t, tlb_status status, const char *id, const char *file,
                           const char *fmt, ...)
{
    va_list args;
    t->trouble = (tlr_trouble){ .id = id, .sample = -1 };
    snprintf(t->trouble.file, sizeof t->trouble.file, "%s", file ? file : "");
    va_start(args, fmt);
    vsnprintf(t->trouble.what, sizeof t->trouble.what, fmt, args);
    va_end(args);
    return status;
}

bool tlr_stop_wanted(const tlr_trainer *t)
{
    return t->hooks.stop && t->hooks.stop(t->hooks.self);
}

void tlr_note(const tlr_trainer *t, const char *id, const char *file, const char *what)
{
    if (t->hooks.note)
        t->hooks.note(t->hooks.self, id, file, what);
}

char *tlr_path(const char *dir, const char *name)
{
    size_t n = strlen(dir) + strlen(name) + 2;
    char *path = malloc(n);
    if (path)
        snprintf(path, n, "%s/%s", dir, name);
    return path;
}

/* --- making one --------------------------------------------------------------------------- */

void tlr_train_config_init(tlr_train_config *c, const tlr_model *m)
{
    *c = (tlr_train_config){ .epochs = 10, .threads = 1, .readers = 1, .batch = m->max_batch,
                             .accumulate = 1, .train = true, .cache = true,
                             .memory_bytes = INT64_C(1) << 30 };
    c->rates = (tlr_rates){ .lr = 1e-3, .lr_backbone = -1, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8,
                            .weight_decay = m->optimizer == TLR_ADAMW ? 0.01 : 0 };
    c->schedule = (tlr_schedule){ .gamma = 0.1 };
    tlb_limits_init(&c->limits);
}

bool tlr_has_backbone(const tlr_model *m)
{
    for (int i = 0; i < m->n_tensors; ++i)
        if (m->tensors[i].kind == TLR_PARAM && m->tensors[i].backbone)
            return true;
    return false;
}

static tlb_status start_pool(tlr_trainer *t)
{
    t->pool_memory = tlr_get(&t->config.heap, tlr_pool_bytes(t->config.threads));
    if (!t->pool_memory)
        return TLB_E_LIMIT;
    if (tlr_pool_start(t->pool_memory, t->config.threads) != TLR_OK)
        return TLB_E_LIMIT;
    t->pool = t->pool_memory;
    return TLB_OK;
}

static size_t list_bytes(int64_t n_samples)
{
    return ((size_t)n_samples + 1) * sizeof(int64_t);
}

static size_t probabilities_bytes(const tlr_model *m, const tlr_train_config *c)
{
    return (size_t)c->batch * (size_t)m->n_classes * sizeof(float);
}

static size_t squares_bytes(const tlr_model *m, const tlr_train_config *c)
{
    return c->train && c->clip_norm > 0 ? tlr_gradients_bytes(m) : sizeof(double);
}

static tlb_status get_tables(tlr_trainer *t)
{
    const tlr_heap *h = &t->config.heap;
    t->order = tlr_get(h, list_bytes(t->n_samples));
    t->identity = tlr_get(h, list_bytes(t->n_samples));
    t->probabilities = tlr_get(h, probabilities_bytes(t->model, &t->config));
    t->squares = tlr_get(h, squares_bytes(t->model, &t->config));
    if (!t->order || !t->identity || !t->probabilities || !t->squares)
        return TLB_E_LIMIT;
    for (int64_t i = 0; i < t->n_samples; ++i)
        t->identity[i] = i;
    return TLB_OK;
}

static tlb_status fill(tlr_trainer *t)
{
    tlb_status status = start_pool(t);
    if (status == TLB_OK)
        status = get_tables(t);
    return status == TLB_OK ? tlr_features_init(t) : status;
}

tlb_status tlr_trainer_create(const tlr_model *m, const void *weights, const tlr_samples *samples,
                              const tlr_train_config *config, const tlr_train_hooks *hooks,
                              tlr_trainer **out)
{
    bool keeps = config->clip_norm > 0 || config->accumulate > 1;
    if (config->train && (!m->step.run || (keeps && !m->update)))
        return TLB_E_UNSUPPORTED;
    tlr_trainer *t = tlr_get(&config->heap, sizeof *t);
    if (!t)
        return TLB_E_LIMIT;
    t->model = m;
    t->weights = weights;
    t->samples = *samples;
    t->n_samples = samples->n_train + samples->n_valid;
    t->config = *config;
    if (hooks)
        t->hooks = *hooks;
    t->order_epoch = -1;
    t->started = tlr_seconds();
    tlr_trouble_set(t, TLB_OK, "E_MEMORY", NULL, "out of memory");
    tlb_status status = fill(t);
    if (status != TLB_OK) {
        tlr_trainer_destroy(t);
        return status;
    }
    *out = t;
    return TLB_OK;
}

void tlr_trainer_destroy(tlr_trainer *t)
{
    if (!t)
        return;
    const tlr_heap h = t->config.heap;
    tlr_memory_fini(t);
    tlr_features_fini(t);
    if (t->pool)
        tlr_pool_stop(t->pool);
    tlr_give(&h, t->squares, squares_bytes(t->model, &t->config));
    tlr_give(&h, t->probabilities, probabilities_bytes(t->model, &t->config));
    tlr_give(&h, t->identity, list_bytes(t->n_samples));
    tlr_give(&h, t->order, list_bytes(t->n_samples));
    tlr_give(&h, t->pool_memory, tlr_pool_bytes(t->config.threads));
    tlr_give(&h, t, sizeof *t);
}

size_t tlr_trainer_bytes(const tlr_model *m, int64_t n_samples, const tlr_train_config *c)
{
    return tlr_round64(sizeof(tlr_trainer)) + tlr_round64(tlr_pool_bytes(c->threads)) +
           4 * tlr_round64(list_bytes(n_samples)) + tlr_round64(probabilities_bytes(m, c)) +
           tlr_round64(squares_bytes(m, c)) +
           tlr_round64(tlr_memory_bytes(m, c));
}

/* PyTorch refuses such a batch when it comes to it; here an epoch's last one is known before. */
static tlb_status check_batches(tlr_trainer *t)
{
    int64_t last = t->samples.n_train % t->config.batch;
    if (!t->config.train || t->model->min_train_batch < 2 || (last != 1 && t->config.batch > 1))
        return TLB_OK;
    return tlr_trouble_set(t, TLB_E_USAGE, "E_BATCH_NORM", NULL,
                           "a batch of 1 sample, at least 2: a batch norm would have one value a "
                           "channel (%lld samples by %lld)", (long long)t->samples.n_train,
                           (long long)t->config.batch);
}

tlb_status tlr_trainer_prepare(tlr_trainer *t)
{
    double began = tlr_seconds();
    tlb_status status = check_batches(t);
    if (status == TLB_OK)
        status = tlr_features_prepare(t);
    t->costs.features_s += tlr_seconds() - began;
    return status;
}

static int64_t min64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

bool tlr_params_finite(const tlr_trainer *t)
{
    const tlr_model *m = t->model;
    for (int i = 0; i < m->n_tensors; ++i) {
        const tlr_tensor *p = &m->tensors[i];
        if (p->kind != TLR_PARAM || (p->type != TLR_F32 && p->type != TLR_F64))
            continue;
        int64_t n = p->bytes / tlr_type_bytes(p->type);
        double sum = 0; /* NaN and infinity survive a sum of x - x */
        for (int64_t k = 0; k < n; ++k) {
            double x = tlr_value_at(p->type, t->params + p->offset, k);
            sum += x - x;
        }
        if (sum != 0)
            return false;
    }
    return true;
}

/* --- evaluation --------------------------------------------------------------------------- */

/* The head's logits of n rows that lie at head.in[0]; a model without a head ends in features. */
static const char *run_head(tlr_trainer *t, int64_t n)
{
    const tlr_model *m = t->model;
    t->frame.n = n;
    if (!m->head.run)
        return t->frame.act + m->features.out[0].offset * n;
    m->head.run(&t->frame);
    return t->frame.act + m->head.out[0].offset * n;
}

static const tlr_io *row_place(const tlr_model *m)
{
    return m->head.run ? &m->head.in[0] : &m->features.out[0];
}

static const tlr_io *logits_io(const tlr_model *m)
{
    return m->head.run ? &m->head.out[0] : &m->features.out[0];
}

const char *tlr_logits_of(tlr_trainer *t, int64_t n, const char *rows)
{
    const tlr_io *at = row_place(t->model);
    char *to = t->frame.act + at->offset * n;
    if (rows != to)
        memmove(to, rows, (size_t)n * t->features.row_bytes);
    return run_head(t, n);
}

static void score_rows(tlr_trainer *t, const int64_t *samples, int64_t n, const char *logits,
                       tlr_each_fn *each, void *self, tlr_score *sum)
{
    tlr_type type = logits_io(t->model)->type;
    int64_t k = t->model->n_classes, row = k * tlr_type_bytes(type);
    if (each)
        tlr_softmax(n, k, type, logits, t->probabilities);
    for (int64_t i = 0; i < n; ++i) {
        int64_t label = t->samples.labels ? t->samples.labels[samples[i]] : 0;
        int predicted = tlr_best_class(type, logits + i * row, k);
        double loss = tlr_cross_entropy(type, logits + i * row, k, label);
        sum->loss += loss;
        sum->correct += predicted == label;
        if (each)
            each(self, samples[i], predicted, loss, t->probabilities + i * k);
    }
    sum->n += n;
}

tlb_status tlr_trainer_evaluate(tlr_trainer *t, int64_t first, int64_t n, tlr_each_fn *each,
                                void *self, tlr_score *out)
{
    tlr_score sum = { 0 };
    double began = tlr_seconds();
    tlb_status status = tlr_memory_ready(t);
    if (status != TLB_OK)
        return status;
    tlr_features_begin(t, t->identity + first, n);
    for (int64_t done = 0; status == TLB_OK && done < n;) {
        const int64_t *samples = t->identity + first + done;
        int64_t k = min64(t->config.batch, n - done);
        if (tlr_stop_wanted(t)) {
            status = TLB_E_INTERRUPTED;
            break;
        }
        status = tlr_features_take(t, samples, k, t->frame.act + row_place(t->model)->offset * k);
        const char *logits = status == TLB_OK ? run_head(t, k) : NULL;
        if (status == TLB_OK)
            status = tlr_device_check(t);
        if (status == TLB_OK)
            score_rows(t, samples, k, logits, each, self, &sum);
        done += k;
    }
    tlr_features_cancel(t);
    t->costs.valid_s += tlr_seconds() - began;
    if (status != TLB_OK)
        return status;
    sum.loss = n > 0 ? sum.loss / (double)n : 0;
    sum.accuracy = n > 0 ? (double)sum.correct / (double)n : 0;
    *out = sum;
    return TLB_OK;
}

/* --- what is where ------------------------------------------------------------------------ */

const tlr_progress *tlr_trainer_progress(const tlr_trainer *t)
{
    return &t->progress;
}

const tlr_trouble *tlr_trainer_trouble(const tlr_trainer *t)
{
    return &t->trouble;
}

const tlr_costs *tlr_trainer_costs(const tlr_trainer *t)
{
    return &t->costs;
}

char *tlr_trainer_params(tlr_trainer *t)
{
    return tlr_memory_ready(t) == TLB_OK ? t->params : NULL;
}

int64_t tlr_trainer_peak_bytes(const tlr_trainer *t)
{
    return t->peak_bytes;
}
