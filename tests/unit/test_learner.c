/* test_learner.c: training inside an application: the same bits however it is run, stopped and
 * saved; memory from the caller; what is refused, and that nothing is lost by it. */
#define _GNU_SOURCE
#include "tiny_model.h"
#include "tlr_run.h"
#include "tlr_session.h"
#include "tlr_train.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PICTURES = 23, CHECKED = 7, ALL = PICTURES + CHECKED, EPOCHS = 3, STEPS = 15, ROOM = 4096 };

/* tiny_model as a network of pictures of 2 x 1: six inputs. */
typedef struct world {
    _Alignas(64) char weights[TINY_WEIGHTS_BYTES];
    tlr_model model;
    uint8_t rgb[ALL][6];
    tlr_picture picture[ALL];
    tlr_learner *l;
    int calls, stop_at, epochs_done, in_callback;
    const char *params;       /* of a trainer under way */
    char best[TINY_PARAMS];
    int64_t best_epoch, last_epoch;
} world;

static void seal(world *w)
{
    tlr_weights_header h;
    tlr_weights_header_make(&h, &w->model, w->weights + TLR_WEIGHTS_CONSTS_AT,
                            tlr_weights_params(&w->model, w->weights), NULL, 0, 0);
    memcpy(w->weights, &h, sizeof h);
}

static int open_world(void **state)
{
    world *w = aligned_alloc(64, (sizeof *w + 63) / 64 * 64);
    memset(w, 0, sizeof *w);
    w->model = tiny_model;
    w->model.preprocess = tiny_pictures;
    tiny_weights(w->weights);
    seal(w);
    for (int i = 0; i < ALL; ++i) {
        for (int k = 0; k < 6; ++k)
            w->rgb[i][k] = (uint8_t)((i * 31 + k * 17) % 97 + 100 * (k == i % TINY_K));
        w->picture[i] = (tlr_picture){ w->rgb[i], 2, 1, 6, TLR_RGB };
    }
    *state = w;
    return 0;
}

/* tiny_kept on the same pictures. */
static tlr_model tiny_kept_pictures(const world *w)
{
    tlr_model m = tiny_kept();
    m.preprocess = w->model.preprocess;
    return m;
}

static int close_world(void **state)
{
    free(*state);
    return 0;
}

static tlr_learner *opened(world *w, const tlr_learner_config *c)
{
    tlr_learner *l = NULL;
    assert_int_equal(tlr_learner_open_memory(&w->model, w->weights, sizeof w->weights, c, &l), 0);
    return w->l = l;
}

static void add_all(world *w, tlr_learner *l)
{
    for (int i = 0; i < ALL; ++i)
        assert_int_equal(tlr_learner_add(l, &w->picture[i], i % TINY_K,
                                         i < PICTURES ? TLR_TRAINING : TLR_VALIDATION), TLR_OK);
}

static size_t save(tlr_learner *l, tlr_saved what, char to[ROOM])
{
    size_t n = 0, wanted = 0;
    assert_int_equal(tlr_learner_save(l, what, NULL, 0, &wanted), TLR_OK);
    assert_true(wanted <= ROOM);
    assert_int_equal(tlr_learner_save(l, what, to, ROOM, &n), TLR_OK);
    assert_int_equal(n, wanted);
    return n;
}

/* State after a run of all epochs, in one go. */
static size_t whole_run(world *w, const tlr_learner_config *c, char to[ROOM])
{
    tlr_learner *l = opened(w, c);
    add_all(w, l);
    assert_int_equal(tlr_learner_train(l, EPOCHS), TLR_OK);
    size_t n = save(l, TLR_SAVED_STATE, to);
    tlr_learner_close(l);
    return n;
}

/* --- the same bits ------------------------------------------------------------------------ */

static void test_learns(void **state)
{
    world *w = *state;
    tlr_result before, after, valid;
    tlr_learner *l = opened(w, &(tlr_learner_config){ .lr = 0.05 });
    add_all(w, l);
    assert_int_equal(tlr_learner_evaluate(l, TLR_TRAINING, &before), TLR_OK);
    assert_int_equal(tlr_learner_train(l, 20), TLR_OK);
    assert_int_equal(tlr_learner_evaluate(l, TLR_TRAINING, &after), TLR_OK);
    assert_int_equal(tlr_learner_evaluate(l, TLR_VALIDATION, &valid), TLR_OK);
    assert_int_equal(after.n, PICTURES);
    assert_int_equal(valid.n, CHECKED);
    assert_true(after.loss < 0.7 * before.loss);
    assert_true(after.accuracy == (double)after.correct / PICTURES);
    tlr_learner_close(l);
}

static int stop_at(void *self, const tlr_learning *now)
{
    world *w = self;
    w->epochs_done += now->epoch_done;
    assert_true(now->epoch >= 1 && now->epoch <= now->epochs && now->step >= 1);
    assert_int_equal(now->steps, (PICTURES + TINY_BATCH - 1) / TINY_BATCH);
    assert_int_equal(now->valid_n, now->epoch_done ? CHECKED : 0);
    return ++w->calls == w->stop_at;
}

static tlb_status read_input(void *self, int64_t sample, int64_t view, int reader, void *input)
{
    const world *w = self;
    float *x = input;
    (void)view, (void)reader;
    for (int c = 0; c < 3; ++c)
        for (int i = 0; i < 2; ++i)
            x[c * 2 + i] = ((float)w->rgb[sample][i * 3 + c] / 255.0f - 0.5f) / 0.25f;
    return TLB_OK;
}

/* What `trainer` computes with `c`: the first `bytes` of its parameters and states. */
static void trainer_run(world *w, const tlr_train_config *c, const tlr_keeper *keeper, char *to,
                        size_t bytes)
{
    int32_t labels[ALL];
    tlr_trainer *t = NULL;
    for (int i = 0; i < ALL; ++i)
        labels[i] = i % TINY_K;
    const tlr_samples samples = { .self = w, .n_train = PICTURES, .n_valid = CHECKED,
                                  .labels = labels, .read = read_input };
    assert_int_equal(tlr_trainer_create(&w->model, w->weights, &samples, c, NULL, &t), TLB_OK);
    assert_int_equal(tlr_trainer_prepare(t), TLB_OK);
    w->params = tlr_trainer_params(t);
    assert_int_equal(tlr_trainer_loop(t, keeper), TLB_OK);
    memcpy(to, tlr_trainer_params(t), bytes);
    tlr_trainer_destroy(t);
}

static const tlr_keeper keeps_nothing;

/* The engine under `trainer` and the learner are one: the same weights, bit for bit. */
static void test_same_as_trainer(void **state)
{
    world *w = *state;
    char saved[ROOM], wanted[TINY_VARS];
    tlr_train_config c;
    tlr_train_config_init(&c, &w->model);
    c.epochs = EPOCHS;
    c.seed = 7;
    trainer_run(w, &c, &keeps_nothing, wanted, TINY_VARS);
    size_t n = whole_run(w, &(tlr_learner_config){ .seed = 7 }, saved);
    assert_memory_equal(saved + n - TINY_VARS, wanted, TINY_VARS);
}

/* One option more than the run before, as the learner and as the trainer are told of it. */
typedef struct option_case {
    tlr_learner_config asked;
    void (*tell)(tlr_train_config *c);
} option_case;

static const double class_weights[TINY_K] = { 1, 2.5, 0.5 };

static void tell_weights(tlr_train_config *c)
{
    c->class_weights = class_weights;
}

static void tell_accumulate(tlr_train_config *c)
{
    c->accumulate = 3;
}

static void tell_clip(tlr_train_config *c)
{
    c->clip_norm = 0.1;
}

static void tell_rate(tlr_train_config *c)
{
    c->rates.lr_backbone = 0.004;
}

static void tell_still(tlr_train_config *c)
{
    c->rates.lr_backbone = 0;
}

static void tell_stages(tlr_train_config *c)
{
    c->head_epochs = 1;
}

static void tell_steps(tlr_train_config *c)
{
    c->schedule.kind = TLR_STEP;
    c->schedule.step_epochs = 2;
}

static const option_case option_cases[] = {
    { { .class_weights = class_weights }, tell_weights },
    { { .accumulate = 3 }, tell_accumulate },
    { { .clip_norm = 0.1 }, tell_clip },
    { { .lr_backbone = 0.004 }, tell_rate },
    { { .lr_backbone = -1 }, tell_still },
    { { .head_epochs = 1 }, tell_stages },
    { { .schedule = "step", .step_epochs = 2 }, tell_steps },
};
enum { N_OPTIONS = sizeof option_cases / sizeof *option_cases };

static void test_options_as_trainer(void **state)
{
    world *w = *state;
    char plain[ROOM], saved[ROOM], wanted[TINY_KEPT_VARS];
    w->model = tiny_kept_pictures(w);
    size_t n = whole_run(w, NULL, plain);
    for (int i = 0; i < N_OPTIONS; ++i) {
        tlr_train_config c;
        tlr_train_config_init(&c, &w->model);
        c.epochs = EPOCHS;
        option_cases[i].tell(&c);
        trainer_run(w, &c, &keeps_nothing, wanted, TINY_KEPT_VARS);
        assert_int_equal(whole_run(w, &option_cases[i].asked, saved), n);
        assert_memory_equal(saved + n - TINY_KEPT_VARS, wanted, TINY_KEPT_VARS);
        assert_memory_not_equal(saved + n - TINY_KEPT_VARS, plain + n - TINY_KEPT_VARS,
                                TINY_PARAMS);
    }
}

/* What the caller said is copied. */
static void test_class_weights_are_copied(void **state)
{
    world *w = *state;
    char wanted[ROOM], got[ROOM];
    double mine[TINY_K] = { 1, 2.5, 0.5 };
    size_t n = whole_run(w, &(tlr_learner_config){ .class_weights = class_weights }, wanted);
    tlr_learner *l = opened(w, &(tlr_learner_config){ .class_weights = mine });
    memset(mine, 0, sizeof mine);
    add_all(w, l);
    assert_int_equal(tlr_learner_train(l, EPOCHS), TLR_OK);
    save(l, TLR_SAVED_STATE, got);
    assert_memory_equal(got, wanted, n);
    tlr_learner_close(l);
}

static int stop_in_second_epoch(void *self, const tlr_learning *now)
{
    (void)self;
    return now->epoch == 2;
}

/* Pictures added after the first stage: the second begins with its epoch all the same, and its
 * updates count from 1, when Adam moves each weight by the rate. */
static void test_stages_with_more_pictures(void **state)
{
    world *w = *state;
    char first[ROOM], before[ROOM], after[ROOM];
    w->model = tiny_kept_pictures(w);
    tlr_learner *l = opened(w, &(tlr_learner_config){ .head_epochs = 1,
                                                      .progress = stop_in_second_epoch });
    size_t at = save(l, TLR_SAVED_STATE, first) - TINY_KEPT_VARS;
    for (int i = 0; i < 3; ++i)
        assert_int_equal(tlr_learner_add(l, &w->picture[i], i, TLR_TRAINING), TLR_OK);
    assert_int_equal(tlr_learner_train(l, 1), TLR_OK);
    save(l, TLR_SAVED_STATE, before);
    assert_memory_equal(before + at + TINY_W, first + at + TINY_W, TINY_B - TINY_W);
    assert_memory_not_equal(before + at + TINY_B, first + at + TINY_B, TINY_PARAMS - TINY_B);
    add_all(w, l);
    assert_int_equal(tlr_learner_train(l, 2), TLR_E_STOPPED);
    save(l, TLR_SAVED_STATE, after);
    const float *old = (const float *)(const void *)(before + at + TINY_W);
    const float *new = (const float *)(const void *)(after + at + TINY_W);
    const float *m = (const float *)(const void *)(after + at + TINY_WM);
    int moved = 0;
    for (int i = 0; i < TINY_K * TINY_F; ++i) {
        assert_true(m[i] == 0 || fabs(fabs((double)new[i] - old[i]) - 0.001) < 2e-5);
        moved += m[i] != 0;
    }
    assert_true(moved > 0);
    tlr_learner_close(l);
}

/* --- the best weights --------------------------------------------------------------------- */

static tlb_status keep_params(void *self)
{
    world *w = self;
    memcpy(w->best, w->params, TINY_PARAMS);
    return TLB_OK;
}

static int note_best(void *self, const tlr_learning *now)
{
    world *w = self;
    if (now->epoch_done && now->best)
        w->best_epoch = now->epoch;
    w->last_epoch = now->epoch;
    return 0;
}

/* So high a rate that later epochs are worse; patience ends them. */
static const tlr_learner_config restless = { .lr = 3, .patience = 4, .keep_best = 1 };

static void test_best_as_trainer(void **state)
{
    world *w = *state;
    char saved[ROOM], last[TINY_VARS];
    tlr_train_config c;
    tlr_train_config_init(&c, &w->model);
    c.epochs = 40;
    c.rates.lr = restless.lr;
    c.patience = restless.patience;
    trainer_run(w, &c, &(tlr_keeper){ .self = w, .best = keep_params }, last, TINY_VARS);
    tlr_learner_config asked = restless;
    asked.progress = note_best;
    asked.progress_self = w;
    tlr_learner *l = opened(w, &asked);
    add_all(w, l);
    assert_int_equal(tlr_learner_train(l, 40), TLR_OK);
    assert_int_equal(w->last_epoch, w->best_epoch + restless.patience);
    assert_true(w->last_epoch < 40);
    size_t n = save(l, TLR_SAVED_WEIGHTS, saved);
    assert_memory_equal(saved + n - TINY_PARAMS, last, TINY_PARAMS);
    assert_memory_not_equal(saved + n - TINY_PARAMS, w->best, TINY_PARAMS);
    assert_int_equal(tlr_learner_take_best(l), TLR_OK);
    save(l, TLR_SAVED_WEIGHTS, saved);
    assert_memory_equal(saved + n - TINY_PARAMS, w->best, TINY_PARAMS);
    assert_int_equal(tlr_learner_train(l, 1), TLR_OK); /* anew from them */
    tlr_learner_close(l);
}

/* Stopped, saved and loaded at every report: the same best weights are kept. */
static void test_best_is_saved(void **state)
{
    world *w = *state;
    char wanted[ROOM], half[ROOM], got[ROOM];
    tlr_learner_config c = { .lr = 3, .keep_best = 1 };
    size_t n = whole_run(w, &c, wanted);
    assert_int_equal(n, whole_run(w, &(tlr_learner_config){ .lr = 3 }, half) + TINY_PARAMS);
    c.progress = stop_at;
    c.progress_self = w;
    for (int k = 1; k < STEPS + EPOCHS; ++k) {
        w->calls = 0;
        w->stop_at = k;
        tlr_learner *l = opened(w, &c);
        add_all(w, l);
        assert_int_equal(tlr_learner_train(l, EPOCHS), TLR_E_STOPPED);
        size_t bytes = save(l, TLR_SAVED_STATE, half);
        tlr_learner_close(l);
        l = opened(w, &c);
        add_all(w, l);
        assert_int_equal(tlr_learner_load(l, half, bytes), TLR_OK);
        assert_int_equal(tlr_learner_train(l, EPOCHS), TLR_OK);
        assert_int_equal(save(l, TLR_SAVED_STATE, got), n);
        assert_memory_equal(got, wanted, n);
        tlr_learner_close(l);
    }
}

/* A learner that keeps none takes such a state too; one that keeps some has none of another's. */
static void test_best_of_others(void **state)
{
    world *w = *state;
    char with[ROOM], without[ROOM];
    size_t n = whole_run(w, &(tlr_learner_config){ .keep_best = 1 }, with);
    size_t less = whole_run(w, NULL, without);
    tlr_learner *l = opened(w, NULL);
    assert_int_equal(tlr_learner_take_best(l), TLR_E_USAGE);
    assert_string_equal(tlr_learner_message(l), "config.keep_best was not set");
    assert_int_equal(tlr_learner_load(l, with, n), TLR_OK);
    assert_int_equal(tlr_learner_take_best(l), TLR_E_USAGE);
    tlr_learner_close(l);
    l = opened(w, &(tlr_learner_config){ .keep_best = 1 });
    assert_int_equal(tlr_learner_load(l, with, n), TLR_OK);
    assert_int_equal(tlr_learner_take_best(l), TLR_OK);
    assert_int_equal(tlr_learner_load(l, without, less), TLR_OK);
    assert_int_equal(tlr_learner_take_best(l), TLR_E_USAGE);
    assert_string_equal(tlr_learner_message(l), "no epoch is done");
    tlr_learner_close(l);
    assert_int_equal(tlr_learner_take_best(NULL), TLR_E_USAGE);
}

static void test_threads(void **state)
{
    char one[ROOM], three[ROOM], other[ROOM];
    size_t n = whole_run(*state, &(tlr_learner_config){ .threads = 1 }, one);
    whole_run(*state, &(tlr_learner_config){ .threads = 3 }, three);
    whole_run(*state, &(tlr_learner_config){ .seed = 1 }, other);
    assert_memory_equal(one, three, n);
    assert_memory_not_equal(one, other, n); /* the comparison can tell runs apart */
}

/* Stop at the k-th report; go on in the same learner, or in a new one from the saved state. */
static void stop_and_go(world *w, int k, bool anew, bool add_first, char to[ROOM])
{
    char half[ROOM];
    tlr_learner_config c = { .progress = stop_at, .progress_self = w };
    w->calls = 0;
    w->stop_at = k;
    tlr_learner *l = opened(w, &c);
    add_all(w, l);
    assert_int_equal(tlr_learner_train(l, EPOCHS), TLR_E_STOPPED);
    assert_non_null(strstr(tlr_learner_message(l), "stopped"));
    if (anew) {
        size_t n = save(l, TLR_SAVED_STATE, half);
        tlr_learner_close(l);
        c.seed = 99; /* the saved one counts */
        l = opened(w, &c);
        if (add_first)
            add_all(w, l);
        assert_int_equal(tlr_learner_load(l, half, n), TLR_OK);
        if (!add_first)
            add_all(w, l);
    }
    assert_int_equal(tlr_learner_train(l, EPOCHS), TLR_OK);
    save(l, TLR_SAVED_STATE, to);
    tlr_learner_close(l);
}

static void test_stop_and_go(void **state)
{
    world *w = *state;
    char wanted[ROOM], got[ROOM];
    size_t n = whole_run(w, NULL, wanted);
    for (int k = 1; k < STEPS + EPOCHS; ++k)
        for (int way = 0; way < 3; ++way) {
            stop_and_go(w, k, way > 0, way > 1, got);
            assert_memory_equal(got, wanted, n);
        }
}

static void test_own_thread(void **state)
{
    world *w = *state;
    char wanted[ROOM], got[ROOM];
    size_t n = whole_run(w, NULL, wanted);
    tlr_learner *l = opened(w, NULL);
    add_all(w, l);
    assert_int_equal(tlr_learner_start(l, EPOCHS), TLR_OK);
    assert_int_equal(tlr_learner_add(l, &w->picture[0], 0, TLR_TRAINING), TLR_E_USAGE);
    assert_int_equal(tlr_learner_start(l, EPOCHS), TLR_E_USAGE);
    assert_string_equal(tlr_learner_message(l), "training is under way");
    assert_int_equal(tlr_learner_wait(l), TLR_OK);
    assert_int_equal(tlr_learner_wait(l), TLR_OK); /* nothing is started */
    save(l, TLR_SAVED_STATE, got);
    assert_memory_equal(got, wanted, n);
    assert_int_equal(tlr_learner_start(l, INT64_C(1) << 40), TLR_OK);
    tlr_learner_stop(l);
    assert_int_equal(tlr_learner_wait(l), TLR_E_STOPPED);
    assert_int_equal(tlr_learner_start(l, INT64_C(1) << 40), TLR_OK);
    tlr_learner_close(l); /* stops and waits */
}

/* What the progress callback may do, and what it may not. */
static int use_from_inside(void *self, const tlr_learning *now)
{
    world *w = self;
    char saved[ROOM];
    float p[TINY_K];
    tlr_result r;
    w->in_callback += now->epoch_done;
    save(w->l, TLR_SAVED_STATE, saved);
    assert_int_equal(tlr_learner_classify(w->l, w->picture, 1, p), TLR_OK);
    assert_int_equal(tlr_learner_evaluate(w->l, TLR_VALIDATION, &r), TLR_OK);
    assert_int_equal(tlr_learner_train(w->l, 1), TLR_E_USAGE);
    assert_int_equal(tlr_learner_load(w->l, saved, sizeof saved), TLR_E_USAGE);
    assert_int_equal(tlr_learner_add(w->l, w->picture, 0, TLR_TRAINING), TLR_E_USAGE);
    return 0;
}

static void test_inside_callback(void **state)
{
    world *w = *state;
    char wanted[ROOM], got[ROOM];
    size_t n = whole_run(w, NULL, wanted);
    whole_run(w, &(tlr_learner_config){ .progress = use_from_inside, .progress_self = w }, got);
    assert_int_equal(w->in_callback, EPOCHS);
    assert_memory_equal(got, wanted, n);
}

/* More epochs go on; more pictures end the epoch that was left in its midst. */
static void test_goes_on(void **state)
{
    world *w = *state;
    tlr_learner *l = opened(w, &(tlr_learner_config){ .progress = stop_at, .progress_self = w });
    add_all(w, l);
    assert_int_equal(tlr_learner_train(l, 1), TLR_OK);
    assert_int_equal(tlr_learner_train(l, 1), TLR_OK); /* it is done */
    assert_int_equal(w->epochs_done, 1);
    assert_int_equal(tlr_learner_train(l, 2), TLR_OK);
    assert_int_equal(w->epochs_done, 2);
    w->stop_at = w->calls + 2;
    assert_int_equal(tlr_learner_train(l, 3), TLR_E_STOPPED);
    assert_int_equal(tlr_learner_add(l, w->picture, 0, TLR_TRAINING), TLR_OK);
    int before = w->calls;
    assert_int_equal(tlr_learner_train(l, 3), TLR_OK);
    assert_int_equal(w->calls - before, 5 + 1); /* a whole epoch of steps, and its end */
    tlr_learner_close(l);
}

/* Sets may come mixed; back at the beginning with one picture more, it is as if it had always been
 * there. */
static void test_order_of_adding(void **state)
{
    world *w = *state;
    char beginning[ROOM], wanted[ROOM], got[ROOM];
    size_t n = whole_run(w, NULL, wanted);
    tlr_learner *l = opened(w, NULL);
    save(l, TLR_SAVED_STATE, beginning);
    for (int i = 0; i < PICTURES - 1; ++i) {
        assert_int_equal(tlr_learner_add(l, &w->picture[i], i % TINY_K, TLR_TRAINING), TLR_OK);
        int k = PICTURES + i;
        if (i < CHECKED)
            assert_int_equal(tlr_learner_add(l, &w->picture[k], k % TINY_K, TLR_VALIDATION), 0);
    }
    assert_int_equal(tlr_learner_train(l, 1), TLR_OK);
    assert_int_equal(tlr_learner_load(l, beginning, n), TLR_OK);
    assert_int_equal(tlr_learner_add(l, &w->picture[PICTURES - 1], (PICTURES - 1) % TINY_K,
                                     TLR_TRAINING), TLR_OK);
    assert_int_equal(tlr_learner_train(l, EPOCHS), TLR_OK);
    save(l, TLR_SAVED_STATE, got);
    assert_memory_equal(got, wanted, n);
    tlr_learner_close(l);
}

/* --- saving and loading ------------------------------------------------------------------- */

static void predictions(world *w, tlr_learner *l, float p[ALL * TINY_K])
{
    assert_int_equal(tlr_learner_classify(l, w->picture, ALL, p), TLR_OK);
}

static void test_weights_alone(void **state)
{
    world *w = *state;
    char saved[ROOM], state_bytes[ROOM];
    float p[ALL * TINY_K], q[ALL * TINY_K], fresh[ALL * TINY_K];
    tlr_learner *l = opened(w, NULL);
    add_all(w, l);
    assert_int_equal(tlr_learner_train(l, EPOCHS), TLR_OK);
    predictions(w, l, p);
    size_t n = save(l, TLR_SAVED_WEIGHTS, saved), all = save(l, TLR_SAVED_STATE, state_bytes);
    assert_int_equal(all - n, TINY_VARS - TINY_PARAMS);
    tlr_learner_close(l);
    l = opened(w, NULL);
    predictions(w, l, fresh);
    assert_int_equal(tlr_learner_load(l, saved, n), TLR_OK);
    predictions(w, l, q);
    assert_memory_equal(p, q, sizeof p);
    assert_memory_not_equal(p, fresh, sizeof p);
    tlr_learner_close(l);
}

/* NETWORK is a weights file: for a session, and for a learner that goes on from there. */
static void test_network(void **state)
{
    world *w = *state;
    static _Alignas(64) char saved[2 * ROOM];
    size_t n = 0;
    float p[ALL * TINY_K], q[ALL * TINY_K];
    tlr_session *s = NULL;
    tlr_learner *l = opened(w, NULL);
    add_all(w, l);
    assert_int_equal(tlr_learner_train(l, EPOCHS), TLR_OK);
    predictions(w, l, p);
    assert_int_equal(tlr_learner_save(l, TLR_SAVED_NETWORK, saved, sizeof saved, &n), TLR_OK);
    tlr_learner_close(l);
    assert_int_equal(tlr_open_memory(&w->model, saved, n, NULL, &s), TLR_OK);
    for (int i = 0; i < ALL; ++i)
        assert_int_equal(tlr_classify(s, &w->picture[i], 1, q + i * TINY_K), TLR_OK);
    tlr_close(s);
    assert_memory_equal(p, q, sizeof p);
    assert_int_equal(tlr_learner_open_memory(&w->model, saved, n, NULL, &l), TLR_OK);
    predictions(w, l, q);
    tlr_learner_close(l);
    assert_memory_equal(p, q, sizeof p);
}

static void test_files(void **state)
{
    world *w = *state;
    char dir[] = "/tmp/tlc-learner-XXXXXX", path[64], weights[64];
    float p[ALL * TINY_K], q[ALL * TINY_K];
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/learned", dir);
    snprintf(weights, sizeof weights, "%s/weights.bin", dir);
    tlr_learner *l = opened(w, NULL);
    add_all(w, l);
    assert_int_equal(tlr_learner_train(l, EPOCHS), TLR_OK);
    predictions(w, l, p);
    assert_int_equal(tlr_learner_save_file(l, TLR_SAVED_STATE, path), TLR_OK);
    assert_int_equal(tlr_learner_save_file(l, TLR_SAVED_NETWORK, weights), TLR_OK);
    assert_int_equal(tlr_learner_save_file(l, TLR_SAVED_STATE, "/nowhere/at/all"), TLR_E_OUTPUT);
    assert_non_null(strstr(tlr_learner_message(l), "/nowhere/at/all"));
    assert_int_equal(tlr_learner_load_file(l, "/nowhere/at/all"), TLR_E_INPUT);
    assert_int_equal(tlr_learner_load_file(l, dir), TLR_E_INPUT);
    assert_int_equal(tlr_learner_load_file(l, weights), TLR_E_MALFORMED);
    tlr_learner_close(l);
    assert_int_equal(tlr_learner_open_file(&w->model, weights, NULL, &l), TLR_OK);
    predictions(w, l, q);
    assert_memory_equal(p, q, sizeof p);
    assert_int_equal(tlr_learner_load_file(l, path), TLR_OK);
    assert_int_equal(truncate(path, 0), 0);
    assert_int_equal(tlr_learner_load_file(l, path), TLR_E_MALFORMED);
    tlr_learner_close(l);
    assert_int_equal(tlr_learner_open_file(&w->model, path, NULL, &l), TLR_E_MALFORMED);
    assert_int_equal(tlr_learner_open_file(&w->model, "/nowhere", NULL, &l), TLR_E_INPUT);
    unlink(path);
    unlink(weights);
    assert_int_equal(rmdir(dir), 0); /* no temporary file is left */
}

/* Every byte turned, and every length: refused with a reason, and the learner is as before. */
static void test_damaged(void **state)
{
    world *w = *state;
    char saved[ROOM], now[ROOM];
    tlr_learner *l = opened(w, &(tlr_learner_config){ .keep_best = 1 });
    add_all(w, l);
    assert_int_equal(tlr_learner_train(l, 1), TLR_OK);
    size_t n = save(l, TLR_SAVED_STATE, saved);
    for (size_t i = 0; i < n; ++i) {
        saved[i] ^= 0x10;
        tlr_status st = tlr_learner_load(l, saved, n);
        assert_true(st == TLR_E_MALFORMED || st == TLR_E_UNSUPPORTED);
        assert_true(strlen(tlr_learner_message(l)) > 10);
        saved[i] ^= 0x10;
    }
    for (size_t i = 0; i < n; ++i)
        assert_int_equal(tlr_learner_load(l, saved, i), TLR_E_MALFORMED);
    assert_int_equal(save(l, TLR_SAVED_STATE, now), n);
    assert_memory_equal(now, saved, n);
    w->model.code_sha256 = "ff112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
    assert_int_equal(tlr_learner_load(l, saved, n), TLR_E_UNSUPPORTED);
    assert_non_null(strstr(tlr_learner_message(l), "another network"));
    tlr_learner_close(l);
}

/* What a file may claim of a run over five pictures; the corpus of fuzz_learner.c goes through load. */
static void test_progress_fine(void **state)
{
    const tlr_progress fine = { .epoch = 2, .position = 2, .step = 7, .correct = 1, .loss_sum = 0.5,
                                .has_best = true, .best_epoch = 2, .best_step = 6,
                                .best_accuracy = 0.5, .best_loss = 1.25 };
    tlr_progress p[14];
    (void)state;
    for (int i = 0; i < 14; ++i)
        p[i] = fine;
    p[0].epoch = -1, p[1].epoch = INT64_MAX, p[2].step = -1, p[3].step = INT64_MAX;
    p[4].position = -1, p[5].position = 6, p[6].correct = 3, p[7].correct = -1;
    p[8].loss_sum = NAN, p[9].best_epoch = 0, p[10].best_step = 8, p[11].best_accuracy = NAN;
    p[12].best_loss = INFINITY, p[13].best_epoch = INT64_MAX;
    assert_true(tlr_progress_fine(&fine, 5));
    for (int i = 0; i < 14; ++i)
        if (tlr_progress_fine(&p[i], 5))
            fail_msg("row %d is taken", i);
    p[9].has_best = false;
    assert_true(tlr_progress_fine(&p[9], 5));
}

/* A loss that is not finite ends the training; what was saved before brings it back. */
static void test_numeric(void **state)
{
    world *w = *state;
    char saved[ROOM], now[ROOM];
    tlr_learner *l = opened(w, &(tlr_learner_config){ .lr = 1e38 });
    add_all(w, l);
    size_t n = save(l, TLR_SAVED_STATE, saved);
    assert_int_equal(tlr_learner_train(l, 50), TLR_E_NUMERIC);
    assert_non_null(strstr(tlr_learner_message(l), "loss"));
    assert_int_equal(tlr_learner_load(l, saved, n), TLR_OK);
    save(l, TLR_SAVED_STATE, now);
    assert_memory_equal(now + n - TINY_VARS, saved + n - TINY_VARS, TINY_VARS);
    tlr_learner_close(l);
}

/* --- memory ------------------------------------------------------------------------------- */

static void test_memory(void **state)
{
    world *w = *state;
    char wanted[ROOM], got[ROOM];
    size_t n = whole_run(w, NULL, wanted);
    tlr_learner_config c = { .max_pictures = ALL, .threads = 2 };
    size_t bytes = tlr_learner_bytes(&w->model, &c);
    char *block = aligned_alloc(64, bytes + 128);
    memset(block, 0x5A, bytes + 128); /* what lies there does not matter */
    c.memory = block;
    c.memory_bytes = bytes;
    assert_int_equal(whole_run(w, &c, got), n);
    assert_memory_equal(got, wanted, n);
    for (size_t i = 0; i < 128 - 64; ++i)
        assert_int_equal(block[bytes + i], 0x5A);
    tlr_learner *l = NULL;
    c.memory_bytes = bytes - 1;
    assert_int_equal(tlr_learner_open_memory(&w->model, w->weights, sizeof w->weights, &c, &l),
                     TLR_E_LIMIT);
    c.memory_bytes = bytes;
    c.memory = block + 32;
    assert_int_equal(tlr_learner_open_memory(&w->model, w->weights, sizeof w->weights, &c, &l),
                     TLR_E_USAGE);
    assert_null(l);
    free(block);
}

/* --- what is refused ---------------------------------------------------------------------- */

static void refuses_open(world *w, tlr_status wanted, tlr_learner_config c)
{
    tlr_learner *l = NULL;
    assert_int_equal(tlr_learner_open_memory(&w->model, w->weights, sizeof w->weights, &c, &l),
                     wanted);
    assert_null(l);
    assert_int_equal(tlr_learner_bytes(&w->model, &c), 0);
}

static void test_refuses_open(void **state)
{
    world *w = *state;
    tlr_learner *l = NULL;
    refuses_open(w, TLR_E_USAGE, (tlr_learner_config){ .batch = TINY_BATCH + 1 });
    refuses_open(w, TLR_E_USAGE, (tlr_learner_config){ .batch = -1 });
    refuses_open(w, TLR_E_USAGE, (tlr_learner_config){ .threads = -1 });
    refuses_open(w, TLR_E_USAGE, (tlr_learner_config){ .max_pictures = -1 });
    refuses_open(w, TLR_E_LIMIT, (tlr_learner_config){ .max_pictures = INT64_MAX });
    refuses_open(w, TLR_E_USAGE, (tlr_learner_config){ .lr = -1 });
    refuses_open(w, TLR_E_USAGE, (tlr_learner_config){ .lr = NAN });
    refuses_open(w, TLR_E_USAGE, (tlr_learner_config){ .schedule = "sideways" });
    refuses_open(w, TLR_E_USAGE, (tlr_learner_config){ .lr_backbone = NAN });
    refuses_open(w, TLR_E_USAGE, (tlr_learner_config){ .clip_norm = -1 });
    refuses_open(w, TLR_E_USAGE, (tlr_learner_config){ .accumulate = -1 });
    refuses_open(w, TLR_E_USAGE, (tlr_learner_config){ .head_epochs = -1 });
    refuses_open(w, TLR_E_USAGE, (tlr_learner_config){ .step_epochs = -1 });
    refuses_open(w, TLR_E_USAGE,
                 (tlr_learner_config){ .class_weights = (double[]){ 1, 0, 1 } });
    /* tiny_model keeps no gradients, and trains a head alone. */
    refuses_open(w, TLR_E_UNSUPPORTED, (tlr_learner_config){ .clip_norm = 1 });
    refuses_open(w, TLR_E_UNSUPPORTED, (tlr_learner_config){ .accumulate = 2 });
    refuses_open(w, TLR_E_UNSUPPORTED, (tlr_learner_config){ .lr_backbone = 0.1 });
    refuses_open(w, TLR_E_UNSUPPORTED, (tlr_learner_config){ .head_epochs = 1 });
    assert_int_equal(tlr_learner_open_memory(NULL, w->weights, sizeof w->weights, NULL, &l),
                     TLR_E_USAGE);
    assert_int_equal(tlr_learner_open_memory(&w->model, NULL, 0, NULL, &l), TLR_E_USAGE);
    assert_int_equal(tlr_learner_open_memory(&w->model, w->weights, sizeof w->weights, NULL, NULL),
                     TLR_E_USAGE);
    w->weights[TLR_WEIGHTS_CONSTS_AT] ^= 1;
    assert_int_equal(tlr_learner_open_memory(&w->model, w->weights, sizeof w->weights, NULL, &l),
                     TLR_E_MALFORMED);
    w->weights[TLR_WEIGHTS_CONSTS_AT] ^= 1;
    w->model.step.run = NULL;
    refuses_open(w, TLR_E_UNSUPPORTED, (tlr_learner_config){ 0 });
    w->model.step = tiny_model.step;
    w->model.preprocess.kind = TLR_PREPROCESS_NONE;
    refuses_open(w, TLR_E_UNSUPPORTED, (tlr_learner_config){ 0 });
    assert_null(l);
}

static void test_refuses_calls(void **state)
{
    world *w = *state;
    char saved[ROOM];
    float p[TINY_K];
    size_t n;
    tlr_picture bad = w->picture[0];
    tlr_learner *l = opened(w, &(tlr_learner_config){ .max_pictures = 1 });
    bad.width = 0;
    assert_int_equal(tlr_learner_train(l, 1), TLR_E_USAGE);
    assert_string_equal(tlr_learner_message(l), "no training pictures");
    assert_int_equal(tlr_learner_add(l, NULL, 0, TLR_TRAINING), TLR_E_USAGE);
    assert_int_equal(tlr_learner_add(l, &bad, 0, TLR_TRAINING), TLR_E_USAGE);
    assert_int_equal(tlr_learner_add(l, w->picture, 0, (tlr_set)2), TLR_E_USAGE);
    assert_int_equal(tlr_learner_add(l, w->picture, -1, TLR_TRAINING), TLR_E_USAGE);
    assert_int_equal(tlr_learner_add(l, w->picture, TINY_K, TLR_TRAINING), TLR_E_USAGE);
    assert_string_equal(tlr_learner_message(l), "label 3, the network has classes 0 to 2");
    assert_int_equal(tlr_learner_add(l, w->picture, 0, TLR_TRAINING), TLR_OK);
    assert_int_equal(tlr_learner_add(l, w->picture, 0, TLR_TRAINING), TLR_E_LIMIT);
    assert_int_equal(tlr_learner_train(l, -1), TLR_E_USAGE);
    assert_int_equal(tlr_learner_classify(l, w->picture, 0, p), TLR_E_USAGE);
    assert_int_equal(tlr_learner_classify(l, &bad, 1, p), TLR_E_USAGE);
    assert_int_equal(tlr_learner_classify(l, w->picture, 1, NULL), TLR_E_USAGE);
    assert_int_equal(tlr_learner_evaluate(l, TLR_TRAINING, NULL), TLR_E_USAGE);
    memset(saved, 7, sizeof saved);
    assert_int_equal(tlr_learner_save(l, TLR_SAVED_STATE, saved, 10, &n), TLR_E_LIMIT);
    assert_int_equal(saved[0], 7);
    assert_int_equal(tlr_learner_save(l, TLR_SAVED_STATE, NULL, 0, NULL), TLR_E_USAGE);
    assert_int_equal(tlr_learner_save(l, (tlr_saved)9, saved, sizeof saved, &n), TLR_E_USAGE);
    assert_int_equal(tlr_learner_save_file(l, TLR_SAVED_STATE, NULL), TLR_E_USAGE);
    assert_int_equal(tlr_learner_load(l, NULL, 10), TLR_E_USAGE);
    assert_int_equal(tlr_learner_load_file(l, NULL), TLR_E_USAGE);
    tlr_learner_close(l);
    tlr_learner_close(NULL);
    tlr_learner_stop(NULL);
    assert_int_equal(tlr_learner_add(NULL, w->picture, 0, TLR_TRAINING), TLR_E_USAGE);
    assert_int_equal(tlr_learner_train(NULL, 1), TLR_E_USAGE);
    assert_int_equal(tlr_learner_wait(NULL), TLR_E_USAGE);
    assert_int_equal(tlr_learner_save(NULL, TLR_SAVED_STATE, saved, sizeof saved, &n), TLR_E_USAGE);
    assert_non_null(tlr_learner_message(NULL));
}

static void test_picture_files(void **state)
{
    world *w = *state;
    tlr_learner *l = opened(w, NULL);
    assert_int_equal(tlr_learner_add_file(l, "data/pictures/baseline.jpg", 0, TLR_TRAINING), TLR_OK);
    assert_int_equal(tlr_learner_add_file(l, "data/pictures/none.png", 0, TLR_TRAINING),
                     TLR_E_INPUT);
    assert_int_equal(tlr_learner_add_file(l, "unit/test_learner.c", 0, TLR_TRAINING),
                     TLR_E_MALFORMED);
    assert_true(strlen(tlr_learner_message(l)) > 5);
    assert_int_equal(tlr_learner_add_file(l, NULL, 0, TLR_TRAINING), TLR_E_USAGE);
    tlr_learner_close(l);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, open_world, close_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_learns),        TEST(test_same_as_trainer), TEST(test_threads),
        TEST(test_stop_and_go),   TEST(test_own_thread),      TEST(test_inside_callback),
        TEST(test_goes_on),       TEST(test_weights_alone),   TEST(test_network),
        TEST(test_files),         TEST(test_damaged),         TEST(test_numeric),
        TEST(test_memory),        TEST(test_refuses_open),    TEST(test_refuses_calls),
        TEST(test_order_of_adding), TEST(test_picture_files),  TEST(test_progress_fine),
        TEST(test_options_as_trainer), TEST(test_class_weights_are_copied),
        TEST(test_stages_with_more_pictures), TEST(test_best_as_trainer),
        TEST(test_best_is_saved), TEST(test_best_of_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
