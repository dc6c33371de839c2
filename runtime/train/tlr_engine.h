/* tlr_engine.h: train a compiled network: epochs, metrics, feature cache.  The engine below
 * tlr_train.h (for applications) and tlr_run.h (the program `trainer`).
 *
 * A trainer is one model, its parameters, and labelled samples that come from a callback as
 * the network's input; it knows no pictures, prints nothing and never exits.  Samples have
 * numbers: training ones first, from 0, then validation ones.
 *
 *     tlr_train_config_init(&config, model);
 *     tlr_trainer_create(model, weights, n_bytes, &samples, &config, &hooks, &t);
 *     tlr_trainer_prepare(t);                 features of the frozen prefix, cached
 *     tlr_trainer_loop(t, &keeper);           epochs
 *     tlr_trainer_destroy(t);
 *
 * What a run computes is a function of model, samples and config: threads, cache, interruption
 * and resume do not change a bit of it (semantics: step and time).  Nothing is allocated in a
 * step.  Functions return a status; tlr_trainer_trouble says more about the last failure.
 */
#ifndef TLR_ENGINE_H
#define TLR_ENGINE_H

#include "tlb_limits.h"
#include "tlb_status.h"
#include "tlr_model.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct tlr_trainer tlr_trainer;

/* Hash of what a sample's input is made from: same key, same input. */
typedef struct tlr_content_key { uint64_t low, high; } tlr_content_key;

typedef struct tlr_samples {
    void *self;
    int64_t n_train, n_valid;
    const int32_t *labels;       /* of all, in [0, classes); kept by the caller */
    const tlr_content_key *keys; /* of all; NULL: features are not cached on disk */
    /* NULL: the caller makes the rows himself (tlr_trainer.h, features), without a ring or a cache.
     * Write the network's input of one sample: row-major, the model's element type.  Called by
     * `config.readers` threads at once, `reader` in [0, readers).  A failure ends the run.
     * view: 0 but for training samples that differ from view to view. */
    tlb_status (*read)(void *self, int64_t sample, int64_t view, int reader, void *input);
    /* 0: a sample is always the same.  Else an epoch trains on view `epoch mod views` where there
     * is a frozen prefix, whose features are kept for each view, and on view `epoch` where not. */
    int64_t views;
    /* Key of a training sample's view; wanted where keys are and views is not 0. */
    tlr_content_key (*view_key)(void *self, int64_t sample, int64_t view);
} tlr_samples;

typedef struct tlr_rates { /* semantics: optimizers */
    double lr, weight_decay;
    double lr_backbone;       /* of what is no new head's; below 0, NaN: lr */
    double momentum, dampening;
    double beta1, beta2, epsilon;
} tlr_rates;

/* How the learning rate goes over the run: schedule.c. */
typedef enum tlr_schedule_kind { TLR_CONSTANT, TLR_STEP, TLR_COSINE } tlr_schedule_kind;
typedef struct tlr_schedule {
    tlr_schedule_kind kind;
    int64_t warmup_epochs;    /* the rate grows linearly over them */
    int64_t step_epochs;      /* STEP: epochs between drops; 0: a third of the run */
    double gamma;             /* STEP: what a drop multiplies by */
} tlr_schedule;
bool tlr_schedule_find(const char *name, tlr_schedule_kind *out); /* "cosine" */
/* Rate of step `step`, from 0, of a run of `epochs`. */
double tlr_rate_at(const tlr_schedule *s, double lr, int64_t step, int64_t steps_in_epoch,
                   int64_t epochs);

/* Is more than a new head trained?  config.head_epochs and rates.lr_backbone are for such a model. */
bool tlr_has_backbone(const tlr_model *m);

/* Where a trainer's memory comes from.  get: zeroed, 64-byte aligned; NULL: no more.  give: what was
 * got last comes back first.  Both NULL: the system's. */
typedef struct tlr_heap {
    void *self;
    void *(*get)(void *self, size_t bytes);
    void (*give)(void *self, void *p, size_t bytes);
} tlr_heap;

typedef struct tlr_train_config {
    uint64_t seed;
    int64_t epochs;
    int64_t patience;         /* end after so many epochs without a better one; 0: never */
    tlr_rates rates;
    tlr_schedule schedule;
    int threads, readers;     /* workers of the kernels; threads that read samples */
    int batch;                /* at most the model's max_batch */
    /* The next two want a model that keeps gradients (tlr_model.update). */
    int64_t accumulate;       /* batches to a step, at least 1 */
    double clip_norm;         /* of all gradients, as torch.nn.utils.clip_grad_norm_; 0: not clipped */
    int64_t head_epochs;      /* epochs, first, that leave the backbone's parameters as they are */
    const double *class_weights; /* of training, one a class; kept by the caller; NULL: all 1 */
    bool train;               /* false: evaluation alone, no optimizer state */
    bool cache;               /* false: features are computed again in every epoch */
    const char *cache_dir;    /* made if absent; NULL: features are kept in memory alone */
    int64_t memory_bytes;     /* most that features may take in memory */
    const char *const *names; /* of model->tensors, for checkpoints; NULL: made from numbers */
    tlb_limits limits;
    tlr_heap heap;
} tlr_train_config;

/* Defaults: seed 0, 10 epochs, lr 1e-3, Adam's betas, the model's batch, one thread. */
void tlr_train_config_init(tlr_train_config *c, const tlr_model *m);

typedef struct tlr_step_report {
    int64_t epoch, step;      /* from 1 */
    int64_t n, correct;
    double loss;              /* mean over the step's pictures, weighted by class weights */
    double lr;                /* the step's */
    double seconds;           /* since the run began in this process */
    int64_t steps_in_epoch, step_in_epoch;
} tlr_step_report;

typedef struct tlr_score { /* means over pictures; ties of argmax to the lowest class */
    int64_t n, correct;
    double loss, accuracy;
} tlr_score;

typedef struct tlr_epoch_report {
    int64_t epoch, step;      /* from 1 */
    tlr_score train, valid;   /* valid.n 0: none */
    double lr;                /* of the last step */
    bool best;
    double epoch_seconds, seconds;
} tlr_epoch_report;

typedef struct tlr_train_hooks { /* each may be NULL; called in the thread that calls the trainer */
    void *self;
    bool (*stop)(void *self); /* true: finish the step, save, return TLB_E_INTERRUPTED */
    void (*features)(void *self, int64_t done, int64_t total);
    void (*step)(void *self, const tlr_step_report *r);
    void (*epoch)(void *self, const tlr_epoch_report *r);
    /* Something odd that changes no result: stable id, file or NULL, what. */
    void (*note)(void *self, const char *id, const char *file, const char *what);
} tlr_train_hooks;

/* Where a run stands: all that a resumed one needs besides parameters and optimizer state. */
typedef struct tlr_progress {
    int64_t epoch;            /* finished ones */
    int64_t position;         /* samples trained on in the epoch under way */
    int64_t step;             /* finished ones */
    int64_t head_steps;       /* of them, those that left the backbone alone */
    double loss_sum;          /* over the epoch under way */
    int64_t correct;
    bool has_best;
    int64_t best_epoch, best_step; /* from 1 */
    double best_accuracy, best_loss;
    int64_t metrics_bytes;    /* of metrics.jsonl that belong to it */
} tlr_progress;

typedef struct tlr_trouble {  /* of the last failure */
    const char *id;           /* "E_CHECKSUM"; never NULL */
    char file[512];           /* below the folder given; "": none */
    char what[256];
    int64_t sample;           /* whose read failed; -1 */
} tlr_trouble;

typedef struct tlr_costs { double features_s, train_s, valid_s; } tlr_costs;

/**
 * Make a trainer; parameters get their initial values from the weights file and the seed.
 * weights   bytes of weights.bin, 64-byte aligned, checked by the caller; kept by him.
 * fails     TLB_E_LIMIT (memory, threads), TLB_E_UNSUPPORTED (config->train and the model has no
 *           step).  Samples, labels, names and hooks are the caller's until destroy.
 */
tlb_status tlr_trainer_create(const tlr_model *m, const void *weights, const tlr_samples *samples,
                              const tlr_train_config *config, const tlr_train_hooks *hooks,
                              tlr_trainer **out);
void tlr_trainer_destroy(tlr_trainer *t); /* NULL is allowed */
/* Bytes that a trainer of samples without `read` asks of its heap, each piece rounded up to 64. */
size_t tlr_trainer_bytes(const tlr_model *m, int64_t n_samples, const tlr_train_config *config);

/* Features of all samples: from the cache, or computed and kept.  Does nothing where config says
 * to compute them in every epoch.  fails  TLB_E_INTERRUPTED; what samples->read returned. */
tlb_status tlr_trainer_prepare(tlr_trainer *t);

/* One step on the next batch; the last, smaller one of an epoch too.  Not to be called when the
 * epoch's samples are all used: tlr_trainer_next_epoch comes first.  fails  TLB_E_NUMERIC. */
tlb_status tlr_trainer_step(tlr_trainer *t, tlr_step_report *out);
void tlr_trainer_next_epoch(tlr_trainer *t);

/* What the network says of one sample; probabilities of all classes. */
typedef void tlr_each_fn(void *self, int64_t sample, int predicted, double loss,
                         const float *probabilities);
/* Run samples [first, first + n) through the network as it stands.  Plain cross entropy. */
tlb_status tlr_trainer_evaluate(tlr_trainer *t, int64_t first, int64_t n, tlr_each_fn *each,
                                void *self, tlr_score *out);

/* What keeps a run; any of them may be NULL, and a status that is not TLB_OK ends the run. */
typedef struct tlr_keeper {
    void *self;
    tlb_status (*step)(void *self, const tlr_step_report *r);
    tlb_status (*best)(void *self);   /* the weights are the best so far, as progress says */
    tlb_status (*epoch)(void *self, const tlr_epoch_report *r);
    tlb_status (*turn)(void *self);   /* between two turns: a checkpoint may be taken */
} tlr_keeper;

/**
 * Train from where the trainer stands to the last epoch.  A turn is one step or the end of an
 * epoch; hooks->step and hooks->epoch are called after the keeper's.
 * fails   TLB_E_INTERRUPTED, TLB_E_NUMERIC; what the keeper returned.
 */
tlb_status tlr_trainer_loop(tlr_trainer *t, const tlr_keeper *keeper);

/* --- what is where ------------------------------------------------------------------------ */

/* Did the run end early, config.patience epochs after its best? */
bool tlr_trainer_out_of_patience(const tlr_trainer *t);
const tlr_progress *tlr_trainer_progress(const tlr_trainer *t);
const tlr_trouble *tlr_trainer_trouble(const tlr_trainer *t);
const tlr_costs *tlr_trainer_costs(const tlr_trainer *t);
/* Parameters as stored (packed): m->params_bytes bytes; NULL: no memory. */
char *tlr_trainer_params(tlr_trainer *t);
/* Constants mapped and the largest block used with this batch, one worker's scratch: what the
 * compiler prints.  cache: features are computed once, before the first step. */
int64_t tlr_train_peak_bytes(const tlr_model *m, int64_t batch, bool cache);
/* The same of this trainer so far, every worker's scratch counted. */
int64_t tlr_trainer_peak_bytes(const tlr_trainer *t);

/* --- numbers ------------------------------------------------------------------------------ */

/* Mark round(n*share) of n samples as validation, seeded (Philox purpose 5). */
tlb_status tlr_split(uint64_t seed, int64_t n, double share, bool *is_valid);
/* Can a run over n training samples have come to stand so?  Of what was read from a file. */
bool tlr_progress_fine(const tlr_progress *p, int64_t n_train);
/* Is `a` better than the best of `p`?  Accuracy, then loss, then earliest. */
bool tlr_is_better(const tlr_progress *p, double accuracy, double loss);
/* Wilson's interval of 95 % for correct of n. */
void tlr_wilson(int64_t correct, int64_t n, double *low, double *high);
/* Index of the largest of k logits; the first of equals. */
int tlr_best_class(tlr_type type, const void *logits, int64_t k);
/* logsumexp(z) - z[y], in double. */
double tlr_cross_entropy(tlr_type type, const void *logits, int64_t k, int64_t y);

#endif
