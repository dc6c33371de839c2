/* test_train.c: the trainer on a tiny network: order, the same bits however it is run or
 * interrupted, checkpoints and cache that were damaged, metrics. */
#define _GNU_SOURCE
#include "tiny_model.h"
#include "tlk_philox.h"
#include "tlr_run.h"

#include "tlb_json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { N_TRAIN = 23, N_VALID = 7, N = N_TRAIN + N_VALID, EPOCHS = 3, STEPS = 15, NEVER = 1 << 30 };

/* --- a run, and what may differ between runs ---------------------------------------------- */

typedef struct setup {
    int threads, readers;
    bool cache;               /* on disk */
    bool streaming;
    int64_t views;            /* training samples differ from view to view */
    int stop_after;           /* polls of the stop hook until it says so */
    double lr;
    int64_t n_train;
    uint64_t seed;
} setup;

typedef struct world {
    char dir[64], run[80], cache[80];
    _Alignas(64) char weights[TINY_WEIGHTS_BYTES];
    int32_t labels[N];
    tlr_content_key keys[N];
    int polls, stop_after, notes, reads;
    int64_t read_order[4096];
    int64_t broken;           /* sample that cannot be read; -1: none */
} world;

static const setup plain = { .threads = 1, .readers = 1, .stop_after = NEVER, .lr = 0.05,
                             .n_train = N_TRAIN };

static tlb_status read_sample(void *self, int64_t sample, int64_t view, int reader, void *input)
{
    world *w = self;
    float *x = input;
    (void)reader;
    int at = __atomic_fetch_add(&w->reads, 1, __ATOMIC_RELAXED);
    if (at < 4096)
        w->read_order[at] = sample;
    for (int i = 0; i < TINY_IN; ++i)
        x[i] = (float)((sample * 31 + i * 17 + view * 5) % 23) / 11 - 1 + (i == sample % TINY_K);
    return sample == w->broken ? TLB_E_MALFORMED : TLB_OK;
}

static tlr_content_key view_key(void *self, int64_t sample, int64_t view)
{
    const world *w = self;
    return (tlr_content_key){ w->keys[sample].low, w->keys[sample].high + 1000 * (uint64_t)(view + 1) };
}

static bool stop_wanted(void *self)
{
    world *w = self;
    return w->polls++ >= w->stop_after;
}

static void count_note(void *self, const char *id, const char *file, const char *what)
{
    (void)id, (void)file, (void)what;
    ++((world *)self)->notes;
}

static tlr_trainer *make(world *w, const setup *s)
{
    tlr_train_config c;
    tlr_trainer *t = NULL;
    tlr_samples samples = { w, s->n_train, N_VALID, w->labels, w->keys, read_sample,
                            s->views, view_key };
    tlr_train_hooks hooks = { .self = w, .stop = stop_wanted, .note = count_note };
    tlr_train_config_init(&c, &tiny_model);
    c.threads = s->threads;
    c.readers = s->readers;
    c.epochs = EPOCHS;
    c.rates.lr = s->lr;
    c.seed = s->seed;
    c.cache = !s->streaming;
    c.cache_dir = s->cache ? w->cache : NULL;
    c.names = tiny_names;
    w->polls = w->reads = w->notes = 0;
    w->stop_after = s->stop_after;
    assert_int_equal(tlr_trainer_create(&tiny_model, w->weights, &samples, &c, &hooks, &t), TLB_OK);
    return t;
}

/* One process's worth: from the last checkpoint, or from the start. */
static tlb_status train(world *w, const setup *s)
{
    tlr_trainer *t = make(w, s);
    char path[96];
    snprintf(path, sizeof path, "%s/last.json", w->run);
    tlb_status status = access(path, F_OK) == 0 ? tlr_checkpoint_load(t, w->run, TLR_LAST)
                                                : tlr_checkpoint_begin(t, w->run);
    assert_int_equal(status, TLB_OK);
    status = tlr_trainer_prepare(t);
    if (status == TLB_OK)
        status = tlr_trainer_run(t, w->run);
    tlr_trainer_destroy(t);
    return status;
}

static void empty_folder(const char *path)
{
    DIR *d = opendir(path);
    for (struct dirent *e; d && (e = readdir(d));) {
        char file[400];
        snprintf(file, sizeof file, "%s/%s", path, e->d_name);
        unlink(file);
    }
    if (d)
        closedir(d);
    rmdir(path);
}

static void fresh_run(world *w)
{
    empty_folder(w->run);
    assert_int_equal(mkdir(w->run, 0777), 0);
}

static int open_world(void **state)
{
    world *w = calloc(1, sizeof *w + 64);
    *state = w;
    /* In memory where there is such a folder: these tests force many small files to disk. */
    bool shm = access("/dev/shm", W_OK) == 0;
    strcpy(w->dir, shm ? "/dev/shm/tlc-train-XXXXXX" : "/tmp/tlc-train-XXXXXX");
    if (!mkdtemp(w->dir))
        return -1;
    snprintf(w->run, sizeof w->run, "%s/run", w->dir);
    snprintf(w->cache, sizeof w->cache, "%s/cache", w->dir);
    tiny_weights(w->weights);
    w->broken = -1;
    for (int i = 0; i < N; ++i) {
        w->labels[i] = i % TINY_K;
        w->keys[i] = (tlr_content_key){ (uint64_t)i * 0x9E3779B97F4A7C15u, (uint64_t)i };
    }
    fresh_run(w);
    return 0;
}

static int close_world(void **state)
{
    world *w = *state;
    empty_folder(w->run);
    empty_folder(w->cache);
    rmdir(w->dir);
    free(w);
    return 0;
}

/* --- what a run leaves, as one text: metrics without times, hashes of both checkpoints ---- */

static char *slurp(const world *w, const char *name)
{
    char path[96], *text = NULL;
    size_t capacity = 0;
    snprintf(path, sizeof path, "%s/%s", w->run, name);
    FILE *f = fopen(path, "r");
    if (!f)
        fail_msg("%s is missing", path);
    if (getdelim(&text, &capacity, EOF, f) < 0)
        fail_msg("%s is empty", path);
    fclose(f);
    return text;
}

static void strip_times(char *text)
{
    for (char *at = text; (at = strstr(at, "\"time_s\":"));) {
        char *end = at + strcspn(at, ",}");
        memmove(at, end, strlen(end) + 1);
    }
}

static json_t *read_json(const world *w, const char *name)
{
    char *text = slurp(w, name);
    json_t *j = json_loads(text, 0, NULL);
    assert_non_null(j);
    free(text);
    return j;
}

static char *outcome(const world *w)
{
    char *metrics = slurp(w, "metrics.jsonl"), *all = NULL;
    json_t *best = read_json(w, "best.json"), *last = read_json(w, "last.json");
    json_object_del(last, "metrics_bytes"); /* times have lengths */
    char *a = json_dumps(best, JSON_SORT_KEYS), *b = json_dumps(last, JSON_SORT_KEYS);
    strip_times(metrics);
    assert_true(asprintf(&all, "%s%s\n%s\n", metrics, a, b) > 0);
    json_decref(best);
    json_decref(last);
    free(metrics);
    free(a);
    free(b);
    return all;
}

static char *outcome_of(world *w, const setup *s)
{
    fresh_run(w);
    assert_int_equal(train(w, s), TLB_OK);
    return outcome(w);
}

static int count_files(const char *path)
{
    DIR *d = opendir(path);
    int n = 0;
    for (struct dirent *e; d && (e = readdir(d));)
        n += e->d_name[0] != '.' || strlen(e->d_name) > 2;
    if (d)
        closedir(d);
    return n;
}

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

/* --- checkpoints (hostile-inputs 4.6) ----------------------------------------------------- */

static char *path_of(const world *w, const char *name)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", w->run, name);
    return path;
}

static void write_bytes(const char *path, const char *bytes, size_t n)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    fclose(f);
}

static size_t read_bytes(const char *path, char *bytes, size_t most)
{
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    size_t n = fread(bytes, 1, most, f);
    fclose(f);
    return n;
}

static void expect_refused(world *w, tlr_checkpoint kind, tlb_status status, const char *core)
{
    tlr_trainer *t = make(w, &plain);
    assert_int_equal(tlr_checkpoint_load(t, w->run, kind), status);
    if (!strstr(tlr_trainer_trouble(t)->what, core))
        fail_msg("\"%s\" lacks \"%s\"", tlr_trainer_trouble(t)->what, core);
    tlr_trainer_destroy(t);
}

static void test_checkpoint_damaged(void **state)
{
    world *w = *state;
    static const char name[] = "last-15.safetensors";
    char bytes[4096];
    assert_int_equal(train(w, &plain), TLB_OK);
    size_t n = read_bytes(path_of(w, name), bytes, sizeof bytes);
    assert_true(n > 300 && n < sizeof bytes);
    for (size_t cut = 0; cut < n; ++cut) {
        write_bytes(path_of(w, name), bytes, cut);
        expect_refused(w, TLR_LAST, TLB_E_MALFORMED, "checksum");
    }
    for (size_t i = 0; i < n; i += 7) {
        bytes[i] ^= (char)(1 << i % 8);
        write_bytes(path_of(w, name), bytes, n);
        bytes[i] ^= (char)(1 << i % 8);
        expect_refused(w, TLR_LAST, TLB_E_MALFORMED, "checksum");
    }
    expect_refused(w, TLR_BEST, TLB_OK, ""); /* the other is whole */
}

/* Change one member of last.json and load. */
static void with_member(world *w, const char *key, json_t *value, tlb_status status,
                        const char *core)
{
    json_t *j = read_json(w, "last.json"), *changed = json_copy(j);
    json_object_set_new(changed, key, value);
    assert_int_equal(tlb_json_save(changed, path_of(w, "last.json"), NULL), TLB_OK);
    expect_refused(w, TLR_LAST, status, core);
    assert_int_equal(tlb_json_save(j, path_of(w, "last.json"), NULL), TLB_OK);
    json_decref(j);
    json_decref(changed);
}

static void test_checkpoint_foreign(void **state)
{
    world *w = *state;
    char other[128];
    snprintf(other, sizeof other, "%s/elsewhere", w->dir);
    assert_int_equal(train(w, &plain), TLB_OK);
    with_member(w, "graph_sha256", json_string("ff"), TLB_E_UNSUPPORTED, "model");
    with_member(w, "schema", json_string("tlc.checkpoint/2"), TLB_E_UNSUPPORTED, "version");
    with_member(w, "schema", json_integer(1), TLB_E_MALFORMED, "checkpoint");
    with_member(w, "file", json_string("../last-15.safetensors"), TLB_E_MALFORMED, "file");
    with_member(w, "file", json_null(), TLB_E_MALFORMED, "file");
    with_member(w, "step", json_integer(-1), TLB_E_MALFORMED, "number");
    with_member(w, "position", json_integer(N_TRAIN + 1), TLB_E_MALFORMED, "number");
    with_member(w, "position", json_string("x"), TLB_E_MALFORMED, "number");
    with_member(w, "correct", json_integer(INT64_MAX), TLB_E_MALFORMED, "number");
    with_member(w, "sha256", json_string("x"), TLB_E_MALFORMED, "checksum");
    assert_int_equal(rename(path_of(w, "last.json"), other), 0);
    expect_refused(w, TLR_LAST, TLB_E_INPUT, "checkpoint");
    assert_int_equal(symlink(other, path_of(w, "last.json")), 0);
    expect_refused(w, TLR_LAST, TLB_E_MALFORMED, "not a plain file");
    unlink(path_of(w, "last.json"));
    write_bytes(path_of(w, "last.json"), "{", 1);
    expect_refused(w, TLR_LAST, TLB_E_MALFORMED, "checkpoint");
    unlink(path_of(w, "last.json"));
    unlink(path_of(w, "best-15.safetensors"));
    unlink(other);
}

/* Killed after the checkpoint: what metrics.jsonl got since is cut off. */
static void test_killed(void **state)
{
    world *w = *state;
    setup s = plain;
    char *wanted = outcome_of(w, &s);
    fresh_run(w);
    s.stop_after = 14;
    assert_int_equal(train(w, &s), TLB_E_INTERRUPTED);
    FILE *f = fopen(path_of(w, "metrics.jsonl"), "a");
    assert_non_null(f);
    fputs("{\"type\":\"step\",\"step\":99}\n{\"type\":\"st", f);
    fclose(f);
    assert_int_equal(train(w, &plain), TLB_OK);
    char *got = outcome(w);
    assert_string_equal(got, wanted);
    free(got);
    free(wanted);
}

static void test_metrics_cut(void **state)
{
    world *w = *state;
    setup s = plain;
    s.stop_after = 14;
    assert_int_equal(train(w, &s), TLB_E_INTERRUPTED);
    assert_int_equal(truncate(path_of(w, "metrics.jsonl"), 10), 0);
    assert_int_equal(train(w, &plain), TLB_E_MALFORMED);
}

static void test_sweep(void **state)
{
    world *w = *state;
    assert_int_equal(train(w, &plain), TLB_OK);
    write_bytes(path_of(w, ".tlc-0123abcd.part"), "x", 1);
    write_bytes(path_of(w, "last-3.safetensors"), "x", 1);
    write_bytes(path_of(w, "best-x.safetensors"), "x", 1); /* not of our form: stays */
    tlr_checkpoint_sweep(w->run);
    assert_int_equal(count_files(w->run), 6);
    unlink(path_of(w, "best-x.safetensors"));
    assert_int_equal(train(w, &plain), TLB_OK); /* nothing that counts went */
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

/* --- the feature cache (4.6) -------------------------------------------------------------- */

static void cache_path(const world *w, char path[400])
{
    DIR *d = opendir(w->cache);
    assert_non_null(d);
    path[0] = '\0';
    for (struct dirent *e; (e = readdir(d));)
        if (strstr(e->d_name, ".features"))
            snprintf(path, 400, "%s/%s", w->cache, e->d_name);
    closedir(d);
    assert_true(path[0] != '\0');
}

static void test_cache_damaged(void **state)
{
    world *w = *state;
    setup s = plain;
    char path[400], bytes[8192];
    s.cache = true;
    char *wanted = outcome_of(w, &s);
    cache_path(w, path);
    size_t n = read_bytes(path, bytes, sizeof bytes);
    assert_int_equal(n, 64 + N * 128);
    for (size_t i = 0; i < n; i += 37) { /* a bit anywhere: header, keys, rows, padding */
        bytes[i] ^= 4;
        write_bytes(path, bytes, n);
        bytes[i] ^= 4;
        char *got = outcome_of(w, &s);
        assert_string_equal(got, wanted);
        assert_int_equal(w->notes, 1);
        assert_int_equal(w->reads, i < 64 ? N : 1);
        free(got);
    }
    for (size_t cut = 0; cut < n; cut += 97) {
        write_bytes(path, bytes, cut);
        char *got = outcome_of(w, &s);
        assert_string_equal(got, wanted);
        free(got);
    }
    free(wanted);
}

static void test_cache_cannot_be_written(void **state)
{
    world *w = *state;
    setup s = plain;
    char *wanted = outcome_of(w, &s);
    s.cache = true;
    write_bytes(w->cache, "a file", 6);
    char *got = outcome_of(w, &s);
    assert_string_equal(got, wanted);
    assert_true(w->notes > 0);
    unlink(w->cache);
    free(got);
    free(wanted);
}

/* An interrupted pass keeps its rows; new samples are added to what is there. */
static void test_cache_grows(void **state)
{
    world *w = *state;
    setup s = plain;
    s.cache = true;
    s.stop_after = 2; /* batches */
    assert_int_equal(train(w, &s), TLB_E_INTERRUPTED);
    s.stop_after = NEVER;
    assert_int_equal(train(w, &s), TLB_OK);
    assert_int_equal(w->reads, N - 2 * TINY_BATCH);
    w->keys[3].low ^= 1;
    fresh_run(w);
    assert_int_equal(train(w, &s), TLB_OK);
    assert_int_equal(w->reads, 1);
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

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)

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
        TEST(test_checkpoint_damaged),
        TEST(test_checkpoint_foreign),
        TEST(test_killed),
        TEST(test_metrics_cut),
        TEST(test_sweep),
        TEST(test_nan),
        TEST(test_bad_sample),
        TEST(test_no_folder),
        TEST(test_cache_damaged),
        TEST(test_cache_cannot_be_written),
        TEST(test_cache_grows),
        TEST(test_numbers),
        TEST(test_better),
        TEST(test_metrics),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
