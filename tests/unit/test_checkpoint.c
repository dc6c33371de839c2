/* test_checkpoint.c: a run's checkpoints, metrics and feature cache, damaged, foreign or cut short
 * (hostile-inputs 4.6). */
#define _GNU_SOURCE
#include "train_run.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_checkpoint_damaged),
        TEST(test_checkpoint_foreign),
        TEST(test_killed),
        TEST(test_metrics_cut),
        TEST(test_sweep),
        TEST(test_cache_damaged),
        TEST(test_cache_cannot_be_written),
        TEST(test_cache_grows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
