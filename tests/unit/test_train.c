/* test_train.c: the trainer on a tiny network: order, the same bits however it is run or
 * interrupted, failures, metrics. */
#define _GNU_SOURCE
#include "train_run.h"

#include "tlk_philox.h"

/* --- order and initial values ------------------------------------------------------------- */

static void test_order(void **state)
{
    world *w = *state;
    setup s = plain;
    int64_t order[N_TRAIN];
    s.streaming = true;
    s.seed = 5;
    assert_int_equal(train(w, &s), TLB_OK);
    for (int epoch = 0, at = 0; epoch < EPOCHS; ++epoch, at += N_VALID) {
        tlk_epoch_order(5, epoch, N_TRAIN, order);
        for (int i = 0; i < N_TRAIN; ++i)
            assert_int_equal(w->read_order[at++], order[i]);
        for (int i = 0; i < N_VALID; ++i)
            assert_int_equal(w->read_order[at + i], N_TRAIN + i);
    }
    assert_int_equal(w->reads, EPOCHS * N);
}

static void test_initial_values(void **state)
{
    setup s = plain;
    float wanted[TINY_K * TINY_F];
    s.seed = 9;
    tlr_trainer *t = make(*state, &s);
    tlk_init_uniform(9, 0, 0.5, TINY_K * TINY_F, wanted);
    assert_memory_equal(tlr_trainer_params(t) + TINY_W, wanted, sizeof wanted);
    tlk_init_uniform(9, 1, 0.5, TINY_K, wanted);
    assert_memory_equal(tlr_trainer_params(t) + TINY_B, wanted, TINY_K * sizeof(float));
    tlr_trainer_destroy(t);
}

static void test_split(void **state)
{
    bool valid[10];
    int64_t order[10];
    (void)state;
    assert_int_equal(tlr_split(3, 10, 0.3, valid), TLB_OK);
    tlk_split_order(3, 10, order);
    for (int i = 0; i < 10; ++i)
        assert_int_equal(valid[order[i]], i < 3);
}

/* --- the same bits ------------------------------------------------------------------------ */

static void test_learns(void **state)
{
    world *w = *state;
    setup s = plain;
    char *a = outcome_of(w, &s);
    s.lr = 0.01;
    char *b = outcome_of(w, &s);
    assert_string_not_equal(a, b); /* the comparison can tell runs apart */
    free(a);
    free(b);
    json_t *last = read_json(w, "last.json");
    assert_int_equal(tlb_json_int(last, "step", 0), STEPS);
    assert_int_equal(tlb_json_int(last, "epoch", 0), EPOCHS);
    json_decref(last);
    assert_int_equal(count_files(w->run), 5); /* two pairs, metrics.jsonl */
}

static void test_same_bits(void **state)
{
    static const setup others[] = {
        { .threads = 2, .readers = 1 },
        { .threads = 3, .readers = 3 },
        { .threads = 1, .readers = 2, .streaming = true },
        { .threads = 2, .readers = 2, .cache = true },
        { .threads = 1, .readers = 1, .cache = true }, /* finds the cache */
    };
    world *w = *state;
    char *wanted = outcome_of(w, &plain);
    for (size_t i = 0; i < sizeof others / sizeof *others; ++i) {
        setup s = plain;
        s.threads = others[i].threads;
        s.readers = others[i].readers;
        s.cache = others[i].cache;
        s.streaming = others[i].streaming;
        char *got = outcome_of(w, &s);
        assert_string_equal(got, wanted);
        free(got);
    }
    assert_int_equal(w->reads, 0);
    assert_int_equal(w->notes, 0);
    free(wanted);
}

/* Stop at every poll there is, go on, and end with the same bits. */
static void interrupt_everywhere(world *w, setup s)
{
    char *wanted = outcome_of(w, &s);
    int stops = 0;
    for (int k = 0;; ++k) {
        fresh_run(w);
        s.stop_after = k;
        tlb_status status = train(w, &s);
        s.stop_after = NEVER;
        if (status == TLB_OK)
            break;
        assert_int_equal(status, TLB_E_INTERRUPTED);
        ++stops;
        assert_int_equal(train(w, &s), TLB_OK);
        char *got = outcome(w);
        assert_string_equal(got, wanted);
        free(got);
        assert_int_equal(count_files(w->run), 5);
    }
    assert_true(stops > STEPS + EPOCHS);
    free(wanted);
}

/* With two views the third epoch sees the first one's again; however they are kept, same bits. */
static void test_views(void **state)
{
    world *w = *state;
    setup s = plain;
    s.views = 2;
    char *wanted = outcome_of(w, &s), *got;
    assert_int_equal(w->reads, 2 * N_TRAIN + N_VALID);
    for (int i = 0; i < 3; ++i) {
        s.streaming = i == 0;
        s.cache = i > 0;
        got = outcome_of(w, &s);
        assert_string_equal(got, wanted);
        free(got);
    }
    assert_int_equal(w->reads, 0); /* the second time the cache has all */
    got = outcome_of(w, &plain);
    assert_true(strcmp(got, wanted) != 0);
    free(got);
    free(wanted);
    s = plain;
    s.views = 2;
    interrupt_everywhere(w, s);
}

static void test_interrupted(void **state)
{
    setup s = plain;
    interrupt_everywhere(*state, s);
    s.streaming = true;
    s.readers = 2;
    interrupt_everywhere(*state, s);
}

/* Stopped again and again after a single turn. */
static void test_interrupted_often(void **state)
{
    world *w = *state;
    setup s = plain;
    s.cache = true; /* so that features are not computed again each time */
    char *wanted = outcome_of(w, &s);
    fresh_run(w);
    s.stop_after = 3;
    int runs = 1;
    while (train(w, &s) == TLB_E_INTERRUPTED)
        ++runs;
    char *got = outcome(w);
    assert_string_equal(got, wanted);
    assert_true(runs > EPOCHS);
    free(got);
    free(wanted);
}

/* --- failures ----------------------------------------------------------------------------- */

static void test_nan(void **state)
{
    world *w = *state;
    setup s = plain;
    s.lr = 1e38;
    tlr_trainer *t = make(w, &s);
    assert_int_equal(tlr_checkpoint_begin(t, w->run), TLB_OK);
    assert_int_equal(tlr_trainer_prepare(t), TLB_OK);
    assert_int_equal(tlr_trainer_run(t, w->run), TLB_E_NUMERIC);
    assert_non_null(strstr(tlr_trainer_trouble(t)->what, "epoch 1: loss is"));
    assert_int_equal(tlr_checkpoint_save(t, w->run, TLR_LAST), TLB_E_NUMERIC);
    tlr_trainer_destroy(t);
    json_t *last = read_json(w, "last.json");
    assert_true(json_is_null(json_object_get(last, "file"))); /* the last good one: the start */
    json_decref(last);
}

static void test_bad_sample(void **state)
{
    world *w = *state;
    for (int streaming = 0; streaming < 2; ++streaming) {
        setup s = plain;
        s.streaming = streaming;
        s.readers = 2;
        w->broken = 11;
        tlr_trainer *t = make(w, &s);
        tlb_status status = tlr_trainer_prepare(t);
        if (streaming && status == TLB_OK)
            status = tlr_trainer_run(t, w->run);
        assert_int_equal(status, TLB_E_MALFORMED);
        assert_int_equal(tlr_trainer_trouble(t)->sample, 11);
        tlr_trainer_destroy(t);
    }
}

static void test_no_folder(void **state)
{
    world *w = *state;
    tlr_trainer *t = make(w, &plain);
    assert_int_equal(tlr_checkpoint_begin(t, "/nonexistent/run"), TLB_E_OUTPUT);
    assert_int_equal(tlr_trainer_run(t, "/nonexistent/run"), TLB_E_OUTPUT);
    tlr_trainer_destroy(t);
}

/* --- numbers ------------------------------------------------------------------------------ */

static void test_numbers(void **state)
{
    double low, high;
    const float ties[] = { 1, 3, 3, 2 };
    const double z[] = { 0, log(3) };
    (void)state;
    assert_int_equal(tlr_best_class(TLR_F32, ties, 4), 1);
    assert_true(fabs(tlr_cross_entropy(TLR_F64, z, 2, 0) - log(4)) < 1e-15);
    /* The ends are the roots of (p - t)^2 = z^2 t (1 - t) / n, solved in 30 digits elsewhere. */
    tlr_wilson(987, 1000, &low, &high);
    assert_true(fabs(low - 0.977885557624420) < 1e-12);
    assert_true(fabs(high - 0.992387179610649) < 1e-12);
    tlr_wilson(0, 0, &low, &high);
    assert_true(low == 0 && high == 1);
}

static void test_better(void **state)
{
    tlr_progress p = { .has_best = true, .best_accuracy = 0.5, .best_loss = 1 };
    (void)state;
    assert_true(tlr_is_better(&p, 0.6, 2));
    assert_false(tlr_is_better(&p, 0.4, 0.1));
    assert_true(tlr_is_better(&p, 0.5, 0.9));
    assert_false(tlr_is_better(&p, 0.5, 1)); /* the earliest stays */
    p.has_best = false;
    assert_true(tlr_is_better(&p, 0, 9));
}

/* The epoch's line is the mean over pictures of what the steps say. */
static void test_metrics(void **state)
{
    world *w = *state;
    assert_int_equal(train(w, &plain), TLB_OK);
    char *text = slurp(w, "metrics.jsonl"), *rest = NULL;
    double sum = 0;
    int64_t n = 0, correct = 0;
    int epochs = 0, steps = 0;
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        json_t *j = json_loads(line, 0, NULL);
        assert_non_null(j);
        if (strcmp(tlb_json_text(j, "type"), "step") == 0) {
            sum += tlb_json_number(j, "loss", -1) * (double)tlb_json_int(j, "n", 0);
            n += tlb_json_int(j, "n", 0);
            correct += tlb_json_int(j, "correct", 0);
            assert_int_equal(tlb_json_int(j, "step", 0), ++steps);
        } else {
            assert_int_equal(n, N_TRAIN);
            assert_true(fabs(tlb_json_number(j, "train_loss", 0) - sum / N_TRAIN) < 1e-12);
            assert_true(fabs(tlb_json_number(j, "train_accuracy", 0) -
                             (double)correct / N_TRAIN) < 1e-12);
            assert_int_equal(tlb_json_int(j, "epoch", 0), ++epochs);
            sum = 0;
            n = correct = 0;
        }
        json_decref(j);
    }
    assert_int_equal(epochs, EPOCHS);
    assert_int_equal(steps, STEPS);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_order),
        TEST(test_initial_values),
        TEST(test_split),
        TEST(test_learns),
        TEST(test_same_bits),
        TEST(test_views),
        TEST(test_interrupted),
        TEST(test_interrupted_often),
        TEST(test_nan),
        TEST(test_bad_sample),
        TEST(test_no_folder),
        TEST(test_numbers),
        TEST(test_better),
        TEST(test_metrics),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
