/* features.c: rows for the head: from the cache, from memory, or computed when asked.
 *
 * Order of choice: cache on disk (mapped: the page cache is its memory), a table in memory if
 * it fits config.memory_bytes, else every row anew in each epoch.  A cache that cannot be
 * written is a note, never a failure.
 */
#define XXH_INLINE_ALL
#include "tlr_trainer.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum { RING_BATCHES = 2 }; /* inputs read ahead of @features */

static bool has_prefix(const tlr_trainer *t)
{
    return t->model->features.run != NULL;
}

static const tlr_io *row_io(const tlr_model *m)
{
    return m->features.run ? &m->features.out[0] : &m->head.in[0];
}

static const tlr_io *input_io(const tlr_model *m)
{
    return m->features.run ? &m->features.in[0] : &m->head.in[0];
}

static size_t io_bytes(const tlr_io *io)
{
    return (size_t)io->elems * (size_t)tlr_type_bytes(io->type);
}

tlb_status tlr_features_init(tlr_trainer *t)
{
    tlr_features *f = &t->features;
    f->row_bytes = io_bytes(row_io(t->model));
    f->input_bytes = io_bytes(input_io(t->model));
    f->streaming = t->samples.read != NULL;
    int64_t more = has_prefix(t) && t->samples.views > 1 ? t->samples.views - 1 : 0;
    f->n_rows = t->n_samples + more * t->samples.n_train;
    f->row = tlr_get(&t->config.heap, ((size_t)f->n_rows + 1) * sizeof *f->row);
    f->list = tlr_get(&t->config.heap, ((size_t)f->n_rows + 1) * sizeof *f->list);
    if (!f->row || !f->list)
        return TLB_E_LIMIT;
    if (!t->samples.read)
        return TLB_OK;
    return tlr_ring_create(&t->samples, t->config.readers, RING_BATCHES * t->config.batch,
                           f->input_bytes, &t->ring);
}

void tlr_features_fini(tlr_trainer *t)
{
    tlr_features *f = &t->features;
    tlr_ring_destroy(t->ring);
    if (f->cached)
        tlr_cache_close(&f->cache);
    free(f->memory);
    tlr_give(&t->config.heap, f->list, ((size_t)f->n_rows + 1) * sizeof *f->list);
    tlr_give(&t->config.heap, f->row, ((size_t)f->n_rows + 1) * sizeof *f->row);
}

/* The row that stands for a sample in the epoch under way. */
static int64_t row_of(const tlr_trainer *t, int64_t sample)
{
    const tlr_samples *s = &t->samples;
    int64_t view = s->views == 0 ? 0 : t->progress.epoch;
    if (has_prefix(t) && s->views > 0)
        view %= s->views;
    return view == 0 || sample >= s->n_train ? sample
                                             : t->n_samples + (view - 1) * s->n_train + sample;
}

static tlr_content_key key_of(const tlr_trainer *t, int64_t row)
{
    const tlr_samples *s = &t->samples;
    int64_t view, sample = tlr_row_sample(s, row, &view);
    return s->views > 0 && sample < s->n_train ? s->view_key(s->self, sample, view)
                                               : s->keys[sample];
}

/* --- computing ---------------------------------------------------------------------------- */

/* Memory for compute, before anything else asked for some. */
static tlb_status want_memory(tlr_trainer *t)
{
    if (t->phase == TLR_PHASE_FEATURES)
        return TLB_OK;
    bool alone = t->phase == TLR_PHASE_NONE && t->config.train && has_prefix(t);
    return alone ? tlr_memory_enter(t, TLR_PHASE_FEATURES) : tlr_memory_ready(t);
}

char *tlr_features_input(tlr_trainer *t, int64_t n)
{
    tlr_frame *f = has_prefix(t) ? &t->prefix : &t->frame;
    f->n = n;
    return f->act + input_io(t->model)->offset * n;
}

const char *tlr_features_run(tlr_trainer *t, int64_t n)
{
    if (!has_prefix(t))
        return t->frame.act + row_io(t->model)->offset * n;
    t->prefix.n = n;
    t->model->features.run(&t->prefix);
    return t->prefix.act + row_io(t->model)->offset * n;
}

/* The next n inputs of the ring through @features; *out: n rows in act. */
static tlb_status compute(tlr_trainer *t, int64_t n, const char **out)
{
    char *at = tlr_features_input(t, n);
    for (int64_t i = 0; i < n; ++i) {
        int64_t sample;
        tlb_status s = tlr_ring_take(t->ring, at + (size_t)i * t->features.input_bytes, &sample);
        if (s != TLB_OK) {
            tlr_ring_cancel(t->ring);
            tlr_trouble_set(t, s, "E_SAMPLE", NULL, "sample %lld cannot be read",
                            (long long)sample);
            t->trouble.sample = sample;
            return s;
        }
    }
    *out = tlr_features_run(t, n);
    return tlr_device_check(t);
}

/* Where computed rows go. */
typedef tlb_status keep_fn(tlr_trainer *t, int64_t id, const char *row);

static void report(const tlr_trainer *t, int64_t done, int64_t total)
{
    if (t->hooks.features)
        t->hooks.features(t->hooks.self, done, total);
}

/* Compute the rows of features.list[n] and keep each. */
static tlb_status compute_all(tlr_trainer *t, int64_t n, keep_fn *keep)
{
    const int64_t *list = t->features.list;
    tlb_status status = want_memory(t);
    tlr_ring_begin(t->ring, list, n);
    for (int64_t done = 0; status == TLB_OK && done < n;) {
        const char *rows = NULL;
        int64_t k = n - done < t->config.batch ? n - done : t->config.batch;
        if (tlr_stop_wanted(t)) {
            status = TLB_E_INTERRUPTED;
            break;
        }
        status = compute(t, k, &rows);
        for (int64_t i = 0; status == TLB_OK && i < k; ++i)
            status = keep(t, list[done + i], rows + (size_t)i * t->features.row_bytes);
        done += k;
        if (status == TLB_OK)
            report(t, t->features.n_rows - n + done, t->features.n_rows);
    }
    tlr_ring_cancel(t->ring);
    return status;
}

/* Rows that are not there yet into features.list. */
static int64_t list_missing(tlr_trainer *t)
{
    int64_t n = 0;
    for (int64_t i = 0; i < t->features.n_rows; ++i)
        if (!t->features.row[i])
            t->features.list[n++] = i;
    return n;
}

/* --- a table in memory -------------------------------------------------------------------- */

static tlb_status keep_in_memory(tlr_trainer *t, int64_t id, const char *row)
{
    tlr_features *f = &t->features;
    char *to = f->memory + (size_t)id * f->row_bytes;
    memcpy(to, row, f->row_bytes);
    f->row[id] = to;
    return TLB_OK;
}

static tlb_status prepare_memory(tlr_trainer *t)
{
    tlr_features *f = &t->features;
    int64_t room = t->config.memory_bytes / (int64_t)f->row_bytes;
    if (f->n_rows <= room)
        f->memory = malloc((size_t)f->n_rows * f->row_bytes + 1);
    if (!f->memory)
        return TLB_OK; /* streaming goes on */
    f->streaming = false;
    return compute_all(t, list_missing(t), keep_in_memory);
}

/* --- the cache ---------------------------------------------------------------------------- */

/* Hash of all that decides a row besides the sample's content.  Targets round differently, so each
 * has rows of its own: a run's numbers must not depend on who filled the cache. */
static tlr_content_key model_key(const tlr_trainer *t)
{
    const tlr_model *m = t->model;
    tlr_weights_header h;
    memcpy(&h, t->weights, sizeof h);
    XXH3_state_t s;
    XXH3_128bits_reset(&s);
    XXH3_128bits_update(&s, m->code_sha256, strlen(m->code_sha256) + 1);
    XXH3_128bits_update(&s, m->version, strlen(m->version) + 1);
    XXH3_128bits_update(&s, m->target, strlen(m->target) + 1);
    XXH3_128bits_update(&s, m->precision, strlen(m->precision) + 1);
    XXH3_128bits_update(&s, &h.consts_xxh64, sizeof h.consts_xxh64);
    const tlr_preprocess *p = &m->preprocess;
    const int sizes[] = { (int)p->kind, p->resize_short, p->resize_h, p->resize_w,
                          p->crop_h,    p->crop_w,       p->bgr };
    XXH3_128bits_update(&s, sizes, sizeof sizes);
    XXH3_128bits_update(&s, p->mean, sizeof p->mean);
    XXH3_128bits_update(&s, p->std, sizeof p->std);
    XXH128_hash_t d = XXH3_128bits_digest(&s);
    return (tlr_content_key){ d.low64, d.high64 };
}

static void find_rows(tlr_trainer *t)
{
    tlr_features *f = &t->features;
    for (int64_t i = 0; i < f->n_rows; ++i)
        f->row[i] = tlr_cache_find(&f->cache, key_of(t, i));
}

static tlb_status keep_in_cache(tlr_trainer *t, int64_t id, const char *row)
{
    return tlr_cache_add(&t->features.cache, key_of(t, id), row);
}

/* Write what is missing.  An interrupted pass keeps what it has. */
static tlb_status fill_cache(tlr_trainer *t, int64_t missing)
{
    tlr_features *f = &t->features;
    tlb_status status = tlr_cache_begin(&f->cache);
    if (status == TLB_OK)
        status = compute_all(t, missing, keep_in_cache);
    if (status != TLB_OK && status != TLB_E_INTERRUPTED)
        return status;
    tlb_status committed = tlr_cache_commit(&f->cache);
    return status == TLB_OK ? committed : status;
}

static tlb_status prepare_cache(tlr_trainer *t)
{
    tlr_features *f = &t->features;
    const char *what;
    tlb_status status =
        tlr_cache_open(&f->cache, t->config.cache_dir, model_key(t), f->row_bytes, &what);
    f->cached = f->cache.path != NULL;
    if (status != TLB_OK)
        return status;
    if (what)
        tlr_note(t, "W_CACHE", f->cache.path, what);
    find_rows(t);
    int64_t missing = list_missing(t);
    report(t, f->n_rows - missing, f->n_rows);
    if (missing > 0)
        status = fill_cache(t, missing);
    if (status == TLB_OK && missing > 0)
        find_rows(t);
    f->streaming = status != TLB_OK || list_missing(t) > 0;
    return status;
}

/* The cache cannot be written: say so, forget what was not kept, go on without. */
static tlb_status without_cache(tlr_trainer *t)
{
    tlr_features *f = &t->features;
    tlr_note(t, "W_CACHE", f->cache.path, "cache cannot be written; going on without");
    tlr_cache_close(&f->cache);
    f->cached = false;
    memset(f->row, 0, (size_t)f->n_rows * sizeof *f->row);
    return prepare_memory(t);
}

tlb_status tlr_features_prepare(tlr_trainer *t)
{
    if (!t->samples.read || !t->config.cache || (!has_prefix(t) && t->samples.views > 0))
        return TLB_OK; /* every epoch has inputs of its own */
    if (!has_prefix(t) || !t->samples.keys || !t->config.cache_dir)
        return prepare_memory(t);
    tlb_status status = prepare_cache(t);
    return status == TLB_E_OUTPUT ? without_cache(t) : status;
}

/* --- rows in order ------------------------------------------------------------------------ */

void tlr_features_begin(tlr_trainer *t, const int64_t *list, int64_t n)
{
    if (!t->features.streaming)
        return;
    tlr_ring_cancel(t->ring); /* before its list changes */
    for (int64_t i = 0; i < n; ++i)
        t->features.list[i] = row_of(t, list[i]);
    tlr_ring_begin(t->ring, t->features.list, n);
}

void tlr_features_cancel(tlr_trainer *t)
{
    if (t->features.streaming)
        tlr_ring_cancel(t->ring);
}

tlb_status tlr_features_take(tlr_trainer *t, const int64_t *samples, int64_t n, char *to)
{
    tlr_features *f = &t->features;
    if (!f->streaming) {
        for (int64_t i = 0; i < n; ++i)
            memcpy(to + (size_t)i * f->row_bytes, f->row[row_of(t, samples[i])], f->row_bytes);
        return TLB_OK;
    }
    const char *rows = NULL;
    tlb_status status = compute(t, n, &rows);
    if (status == TLB_OK && rows != to)
        memmove(to, rows, (size_t)n * f->row_bytes);
    return status;
}
