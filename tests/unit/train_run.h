/* train_run.h: a trainer on a tiny network: a run, how it may differ, what it leaves. */
#ifndef TRAIN_RUN_H
#define TRAIN_RUN_H

#include "tiny_model.h"
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

static inline tlb_status read_sample(void *self, int64_t sample, int64_t view, int reader,
                                     void *input)
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

static inline tlr_content_key view_key(void *self, int64_t sample, int64_t view)
{
    const world *w = self;
    const tlr_content_key *k = &w->keys[sample];
    return (tlr_content_key){ k->low, k->high + 1000 * (uint64_t)(view + 1) };
}

static inline bool stop_wanted(void *self)
{
    world *w = self;
    return w->polls++ >= w->stop_after;
}

static inline void count_note(void *self, const char *id, const char *file, const char *what)
{
    (void)id, (void)file, (void)what;
    ++((world *)self)->notes;
}

static inline tlr_trainer *make(world *w, const setup *s)
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
static inline tlb_status train(world *w, const setup *s)
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

static inline void empty_folder(const char *path)
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

static inline void fresh_run(world *w)
{
    empty_folder(w->run);
    assert_int_equal(mkdir(w->run, 0777), 0);
}

static inline int open_world(void **state)
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

static inline int close_world(void **state)
{
    world *w = *state;
    empty_folder(w->run);
    empty_folder(w->cache);
    rmdir(w->dir);
    free(w);
    return 0;
}

/* --- what a run leaves, as one text: metrics without times, hashes of both checkpoints ---- */

static inline char *slurp(const world *w, const char *name)
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

static inline void strip_times(char *text)
{
    for (char *at = text; (at = strstr(at, "\"time_s\":"));) {
        char *end = at + strcspn(at, ",}");
        memmove(at, end, strlen(end) + 1);
    }
}

static inline json_t *read_json(const world *w, const char *name)
{
    char *text = slurp(w, name);
    json_t *j = json_loads(text, 0, NULL);
    assert_non_null(j);
    free(text);
    return j;
}

static inline char *outcome(const world *w)
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

static inline char *outcome_of(world *w, const setup *s)
{
    fresh_run(w);
    assert_int_equal(train(w, s), TLB_OK);
    return outcome(w);
}

static inline int count_files(const char *path)
{
    DIR *d = opendir(path);
    int n = 0;
    for (struct dirent *e; d && (e = readdir(d));)
        n += e->d_name[0] != '.' || strlen(e->d_name) > 2;
    if (d)
        closedir(d);
    return n;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)

#endif
