/* learner.c: the functions of tlr_train.h but saving and loading.
 *
 * The engine does the work; a learner makes rows of pictures, keeps its memory, and guards who
 * may call what while a thread of its own trains.  Main invariant: rows and labels that the
 * engine sees are arranged anew before every use, training pictures first.
 */
#define _GNU_SOURCE
#include "tlr_learner.h"
#include "tlr_pixels.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_SIDE = 65500, DEFAULT_PICTURES = 1000 };

/* Which learner this thread trains: what tells the progress callback from other threads. */
static _Thread_local const tlr_learner *training_here;

tlr_status tlr_learner_fail(tlr_learner *l, tlr_status status, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(l->message, sizeof l->message, fmt, args);
    va_end(args);
    return status;
}

tlr_status tlr_learner_refuse(tlr_learner *l, tlr_status status, const char *why)
{
    if (!tlr_learner_usable(l, true))
        return TLR_E_USAGE;
    return tlr_learner_fail(l, status, "%s", why ? why : tlr_status_text(status));
}

static bool is_busy(const tlr_learner *l)
{
    return __atomic_load_n(&l->busy, __ATOMIC_ACQUIRE);
}

bool tlr_learner_usable(tlr_learner *l, bool alone)
{
    if (!l)
        return false;
    if (!is_busy(l))
        return true;
    return !alone && training_here == l;
}

const char *tlr_learner_message(const tlr_learner *l)
{
    if (!l)
        return "no learner";
    /* The text is being written by the thread that trains. */
    if (is_busy(l) && training_here != l)
        return "training is under way";
    return l->message;
}

/* --- memory ------------------------------------------------------------------------------- */

static void *heap_get(void *self, size_t bytes)
{
    tlr_learner *l = self;
    size_t n = tlr_round64(bytes);
    if (n > l->heap.bytes - l->heap.used)
        return NULL;
    void *p = l->heap.base + l->heap.used;
    l->heap.used += n;
    return memset(p, 0, n);
}

static void heap_give(void *self, void *p, size_t bytes)
{
    tlr_learner *l = self;
    if ((char *)p + tlr_round64(bytes) == l->heap.base + l->heap.used)
        l->heap.used -= tlr_round64(bytes);
}

/* A checked configuration and how the block is cut. */
typedef struct layout {
    tlr_train_config engine;
    int64_t capacity;
    size_t set_at, label_at, sorted_at, class_weights_at, best_at, rows_at, pixels_at, heap_at,
        bytes;
} layout;

static const tlr_io *row_of(const tlr_model *m)
{
    return m->features.run ? &m->features.out[0] : &m->head.in[0];
}

static tlr_type input_type(const tlr_model *m)
{
    return m->features.run ? m->features.in[0].type : m->head.in[0].type;
}

static size_t row_bytes(const tlr_model *m)
{
    return (size_t)row_of(m)->elems * (size_t)tlr_type_bytes(row_of(m)->type);
}

static tlr_status lay_out(const tlr_model *m, const tlr_learner_config *c, layout *out)
{
    static const tlr_learner_config defaults;
    c = c ? c : &defaults;
    if (m->abi != TLR_ABI || !m->step.run || m->preprocess.kind != TLR_PREPROCESS_PICTURE)
        return TLR_E_UNSUPPORTED;
    layout l = { .capacity = c->max_pictures ? c->max_pictures : DEFAULT_PICTURES };
    tlr_status st = tlr_learner_engine(m, c, &l.engine);
    if (st != TLR_OK || l.capacity < 1)
        return st != TLR_OK ? st : TLR_E_USAGE;
    if ((size_t)l.capacity > SIZE_MAX / 4 / (row_bytes(m) + 64))
        return TLR_E_LIMIT;
    size_t n = (size_t)l.capacity;
    l.set_at = sizeof(tlr_learner);
    l.label_at = l.set_at + tlr_round64(n);
    l.sorted_at = l.label_at + tlr_round64(n * sizeof(int32_t));
    l.class_weights_at = l.sorted_at + tlr_round64(n * sizeof(int32_t));
    l.best_at = l.class_weights_at + tlr_round64((size_t)m->n_classes * sizeof(double));
    l.rows_at = l.best_at + (c->keep_best ? tlr_round64((size_t)m->params_bytes) : 0);
    l.pixels_at = l.rows_at + tlr_round64(n * row_bytes(m));
    l.heap_at = l.pixels_at + tlr_round64(tlr_pixels_scratch_max(&m->preprocess));
    l.bytes = l.heap_at + tlr_trainer_bytes(m, l.capacity, &l.engine);
    *out = l;
    return TLR_OK;
}

size_t tlr_learner_bytes(const struct tlr_model *model, const tlr_learner_config *config)
{
    layout l;
    return model && lay_out(model, config, &l) == TLR_OK ? l.bytes : 0;
}

/* --- the engine's hooks ------------------------------------------------------------------- */

static bool stop_wanted(void *self)
{
    const tlr_learner *l = self;
    return __atomic_load_n(&l->stop, __ATOMIC_RELAXED);
}

static void tell(tlr_learner *l, const tlr_learning *now)
{
    if (l->progress && l->progress(l->progress_self, now))
        tlr_learner_stop(l);
}

static void on_step(void *self, const tlr_step_report *r)
{
    tlr_learner *l = self;
    tell(l, &(tlr_learning){ .epoch = r->epoch, .epochs = l->epochs, .step = r->step_in_epoch,
                             .steps = r->steps_in_epoch, .loss = r->loss,
                             .accuracy = (double)r->correct / (double)r->n, .lr = r->lr,
                             .seconds = r->seconds });
}

static void on_epoch(void *self, const tlr_epoch_report *r)
{
    tlr_learner *l = self;
    int64_t steps = tlr_steps_in_epoch(l->t);
    tell(l, &(tlr_learning){ .epoch_done = 1, .epoch = r->epoch, .epochs = l->epochs,
                             .step = steps, .steps = steps, .loss = r->train.loss,
                             .accuracy = r->train.accuracy, .valid_n = r->valid.n,
                             .valid_loss = r->valid.loss, .valid_accuracy = r->valid.accuracy,
                             .best = r->best, .lr = r->lr, .seconds = r->seconds });
}

/* --- opening ------------------------------------------------------------------------------ */

static void place_tables(tlr_learner *l, const layout *a)
{
    char *block = (char *)l;
    l->class_weights = (double *)(void *)(block + a->class_weights_at);
    l->best = a->best_at < a->rows_at ? block + a->best_at : NULL;
    l->capacity = a->capacity;
    l->set = (uint8_t *)block + a->set_at;
    l->label = (int32_t *)(void *)(block + a->label_at);
    l->sorted = (int32_t *)(void *)(block + a->sorted_at);
    l->rows = block + a->rows_at;
    l->pixels = block + a->pixels_at;
    l->heap.base = block + a->heap_at;
    l->heap.bytes = a->bytes - a->heap_at;
}

static void copy_class_weights(tlr_learner *l, int n_classes, tlr_train_config *engine)
{
    if (!engine->class_weights)
        return;
    memcpy(l->class_weights, engine->class_weights, (size_t)n_classes * sizeof(double));
    engine->class_weights = l->class_weights;
}

/* Fill the block; the weights are checked. */
static tlr_status build(const tlr_model *m, const void *weights, const tlr_learner_config *c,
                        layout *a, tlr_learner *l)
{
    tlr_weights_header h;
    memset(l, 0, sizeof *l);
    place_tables(l, a);
    l->progress = c ? c->progress : NULL;
    l->progress_self = c ? c->progress_self : NULL;
    a->engine.heap = (tlr_heap){ l, heap_get, heap_give };
    copy_class_weights(l, m->n_classes, &a->engine);
    const tlr_samples samples = { .n_train = a->capacity, .labels = l->sorted };
    const tlr_train_hooks hooks = { .self = l, .stop = stop_wanted, .step = on_step,
                                    .epoch = on_epoch };
    tlb_status st = tlr_trainer_create(m, weights, &samples, &a->engine, &hooks, &l->t);
    if (st == TLB_OK)
        st = tlr_memory_ready(l->t);
    if (st != TLB_OK) {
        tlr_trainer_destroy(l->t);
        return (tlr_status)st;
    }
    memcpy(&h, weights, sizeof h);
    if (h.trained)
        memcpy(l->t->params, tlr_weights_params(m, weights), (size_t)m->params_bytes);
    return tlr_learner_fail(l, TLR_OK, "done");
}

/* All that can be said before the weights are seen. */
static tlr_status check_config(const tlr_model *m, const tlr_learner_config *c, layout *a)
{
    tlr_status st = lay_out(m, c, a);
    if (st == TLR_OK && c && c->memory && (uintptr_t)c->memory % 64 != 0)
        st = TLR_E_USAGE;
    else if (st == TLR_OK && c && c->memory && c->memory_bytes < a->bytes)
        st = TLR_E_LIMIT;
    return st;
}

static tlr_status open_bytes(const tlr_model *m, const void *weights, size_t n,
                             const tlr_learner_config *c, layout *a, tlr_learner **out)
{
    tlr_status st = tlr_weights_check(m, weights, n, 0);
    if (st != TLR_OK)
        return st;
    bool allocated = !(c && c->memory);
    tlr_learner *l = allocated ? aligned_alloc(64, tlr_round64(a->bytes)) : c->memory;
    if (!l)
        return TLR_E_LIMIT;
    st = build(m, weights, c, a, l);
    l->allocated = allocated;
    if (st == TLR_OK)
        *out = l;
    else if (allocated)
        free(l);
    return st;
}

tlr_status tlr_learner_open_memory(const struct tlr_model *model, const void *weights,
                                   size_t weights_bytes, const tlr_learner_config *config,
                                   tlr_learner **out)
{
    layout a;
    if (!model || !weights || !out || (uintptr_t)weights % 64 != 0)
        return TLR_E_USAGE;
    tlr_status st = check_config(model, config, &a);
    return st == TLR_OK ? open_bytes(model, weights, weights_bytes, config, &a, out) : st;
}

tlr_status tlr_learner_open_file(const struct tlr_model *model, const char *weights_path,
                                 const tlr_learner_config *config, tlr_learner **out)
{
    layout a;
    tlb_map map;
    if (!model || !weights_path || !out)
        return TLR_E_USAGE;
    tlr_status st = check_config(model, config, &a);
    if (st == TLR_OK)
        st = (tlr_status)tlb_map_file(weights_path, &map, NULL);
    if (st != TLR_OK)
        return st;
    st = map.bytes ? open_bytes(model, map.bytes, map.n_bytes, config, &a, out) : TLR_E_MALFORMED;
    if (st == TLR_OK)
        (*out)->weights = map;
    else
        tlb_unmap(&map);
    return st;
}

void tlr_learner_close(tlr_learner *l)
{
    if (!l)
        return;
    tlr_learner_stop(l);
    tlr_learner_wait(l);
    tlr_trainer_destroy(l->t);
    tlb_unmap(&l->weights);
    if (l->allocated)
        free(l);
}

/* --- pictures ----------------------------------------------------------------------------- */

static bool picture_fine(const tlr_picture *p)
{
    return p && p->pixels && p->width >= 1 && p->width <= MAX_SIDE && p->height >= 1 &&
           p->height <= MAX_SIDE && (unsigned)p->format <= TLR_GRAY;
}

/* n pictures, at most a batch, to rows in the engine's memory. */
static const char *make_rows(tlr_learner *l, const tlr_picture *pictures, int64_t n)
{
    const tlr_model *m = l->t->model;
    char *at = tlr_features_input(l->t, n);
    for (int64_t i = 0; i < n; ++i)
        tlr_pixels_to_input(&m->preprocess, &pictures[i], input_type(m),
                            at + (size_t)i * l->t->features.input_bytes, l->pixels);
    return tlr_features_run(l->t, n);
}

tlr_status tlr_learner_add(tlr_learner *l, const tlr_picture *picture, int label, tlr_set set)
{
    if (!tlr_learner_usable(l, true))
        return TLR_E_USAGE;
    if (!picture_fine(picture))
        return tlr_learner_fail(l, TLR_E_USAGE,
                                "picture is NULL, or its size or format is out of range");
    if (label < 0 || label >= l->t->model->n_classes)
        return tlr_learner_fail(l, TLR_E_USAGE, "label %d, the network has classes 0 to %d", label,
                                l->t->model->n_classes - 1);
    if (set != TLR_TRAINING && set != TLR_VALIDATION)
        return tlr_learner_fail(l, TLR_E_USAGE, "no such set of pictures: %d", (int)set);
    int64_t at = l->n[0] + l->n[1];
    if (at == l->capacity)
        return tlr_learner_fail(l, TLR_E_LIMIT, "%lld pictures are there, at most %lld",
                                (long long)at, (long long)l->capacity);
    size_t bytes = l->t->features.row_bytes;
    memcpy(l->rows + (size_t)at * bytes, make_rows(l, picture, 1), bytes);
    l->set[at] = (uint8_t)set;
    l->label[at] = label;
    ++l->n[set];
    return TLR_OK;
}

/* The engine's samples: training pictures, then validation ones, each in the order of adding. */
static void arrange(tlr_learner *l)
{
    tlr_trainer *t = l->t;
    int64_t next[2] = { 0, l->n[TLR_TRAINING] }, n = l->n[0] + l->n[1];
    for (int64_t i = 0; i < n; ++i) {
        int64_t at = next[l->set[i]]++;
        l->sorted[at] = l->label[i];
        t->features.row[at] = l->rows + (size_t)i * t->features.row_bytes;
    }
    t->samples.n_train = l->n[TLR_TRAINING];
    t->samples.n_valid = l->n[TLR_VALIDATION];
    t->order_epoch = -1;
}

/* --- training ----------------------------------------------------------------------------- */

/* An epoch over other pictures than those it began with begins anew. */
static void settle_epoch(tlr_learner *l)
{
    tlr_progress *p = &l->t->progress;
    if (p->position > 0 && l->epoch_n != l->n[TLR_TRAINING]) {
        p->position = p->correct = 0;
        p->loss_sum = 0;
    }
    l->epoch_n = l->n[TLR_TRAINING];
}

static tlb_status on_best(void *self)
{
    tlr_learner *l = self;
    if (l->best)
        memcpy(l->best, l->t->params, (size_t)l->t->model->params_bytes);
    l->has_best = l->best != NULL;
    return TLB_OK;
}

/* The calling thread trains; `busy` is set. */
static tlr_status train(tlr_learner *l)
{
    const tlr_keeper keeper = { .self = l, .best = on_best };
    const tlr_learner *outer = training_here; /* whose callback this may be */
    tlr_trainer *t = l->t;
    training_here = l;
    arrange(l);
    settle_epoch(l);
    t->config.epochs = l->epochs;
    t->started = tlr_seconds();
    tlb_status st = tlr_trainer_prepare(t);
    if (st == TLB_OK)
        st = tlr_trainer_loop(t, &keeper);
    if (st == TLB_E_INTERRUPTED)
        tlr_learner_fail(l, TLR_E_STOPPED, "stopped after step %lld",
                         (long long)t->progress.step);
    else if (st != TLB_OK)
        tlr_learner_fail(l, (tlr_status)st, "%s", t->trouble.what);
    training_here = outer;
    return (tlr_status)st;
}

/* What both ways to train ask first, and then settle. */
static tlr_status begin(tlr_learner *l, int64_t epochs)
{
    if (!tlr_learner_usable(l, true))
        return TLR_E_USAGE;
    if (l->started)
        return tlr_learner_fail(l, TLR_E_USAGE, "a started training is to be waited for first");
    if (l->n[TLR_TRAINING] == 0 || epochs < 0)
        return tlr_learner_fail(l, TLR_E_USAGE, epochs < 0 ? "a negative number of epochs"
                                                           : "no training pictures");
    l->epochs = epochs;
    __atomic_store_n(&l->stop, 0, __ATOMIC_RELAXED);
    return TLR_OK;
}

static void set_busy(tlr_learner *l, int busy)
{
    __atomic_store_n(&l->busy, busy, __ATOMIC_RELEASE);
}

tlr_status tlr_learner_train(tlr_learner *l, int64_t epochs)
{
    tlr_status st = begin(l, epochs);
    if (st != TLR_OK)
        return st;
    set_busy(l, 1);
    st = train(l);
    set_busy(l, 0);
    return st;
}

static void *train_alone(void *arg)
{
    tlr_learner *l = arg;
    l->outcome = train(l);
    return NULL;
}

tlr_status tlr_learner_start(tlr_learner *l, int64_t epochs)
{
    tlr_status st = begin(l, epochs);
    if (st != TLR_OK)
        return st;
    set_busy(l, 1);
    l->started = pthread_create(&l->thread, NULL, train_alone, l) == 0;
    if (l->started)
        return TLR_OK;
    set_busy(l, 0);
    return tlr_learner_fail(l, TLR_E_LIMIT, "no thread to be had");
}

tlr_status tlr_learner_wait(tlr_learner *l)
{
    if (!l)
        return TLR_E_USAGE;
    if (!l->started)
        return TLR_OK;
    pthread_join(l->thread, NULL);
    l->started = false;
    set_busy(l, 0);
    return l->outcome;
}

void tlr_learner_stop(tlr_learner *l)
{
    if (l)
        __atomic_store_n(&l->stop, 1, __ATOMIC_RELAXED);
}

/* --- with the weights as they are --------------------------------------------------------- */

tlr_status tlr_learner_evaluate(tlr_learner *l, tlr_set set, tlr_result *out)
{
    tlr_score score = { 0 };
    if (!tlr_learner_usable(l, false))
        return TLR_E_USAGE;
    if (!out || (set != TLR_TRAINING && set != TLR_VALIDATION))
        return tlr_learner_fail(l, TLR_E_USAGE, "no result, or no such set of pictures");
    /* While training the samples are arranged, and a stop is the training's alone. */
    if (!is_busy(l)) {
        arrange(l);
        __atomic_store_n(&l->stop, 0, __ATOMIC_RELAXED);
    }
    int64_t first = set == TLR_TRAINING ? 0 : l->n[TLR_TRAINING];
    tlb_status st = tlr_trainer_evaluate(l->t, first, l->n[set], NULL, NULL, &score);
    if (st != TLB_OK)
        return tlr_learner_fail(l, (tlr_status)st, "stopped");
    *out = (tlr_result){ score.n, score.correct, score.loss, score.accuracy };
    return TLR_OK;
}

tlr_status tlr_learner_classify(tlr_learner *l, const tlr_picture *pictures, int n,
                                float *probabilities)
{
    if (!tlr_learner_usable(l, false))
        return TLR_E_USAGE;
    bool fine = pictures && probabilities && n >= 1;
    for (int i = 0; fine && i < n; ++i)
        fine = picture_fine(&pictures[i]);
    if (!fine)
        return tlr_learner_fail(l, TLR_E_USAGE, "an argument is NULL, or a picture's size or "
                                                "format is out of range");
    const tlr_model *m = l->t->model;
    tlr_type type = m->head.run ? m->head.out[0].type : m->features.out[0].type;
    int k;
    for (int done = 0; done < n; done += k) {
        k = n - done < l->t->config.batch ? n - done : l->t->config.batch;
        const char *logits = tlr_logits_of(l->t, k, make_rows(l, pictures + done, k));
        tlr_softmax(k, m->n_classes, type, logits,
                    probabilities + (size_t)done * (size_t)m->n_classes);
    }
    return TLR_OK;
}
