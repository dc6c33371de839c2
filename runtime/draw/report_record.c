/* report_record.c: run.json and metrics.jsonl to numbers. */
#define _GNU_SOURCE
#include "report_record.h"

#include "tlb_file.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* --- lines ---------------------------------------------------------------------------- */

static tlb_status each_line(const char *bytes, size_t n, const tlb_limits *limits,
                            const char *skip, tlr_json_line *each, void *self)
{
    const char *end = bytes + n;
    tlb_status status = TLB_OK;
    for (const char *at = bytes; at < end && status == TLB_OK;) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        size_t len = (size_t)((stop ? stop : end) - at);
        json_t *line = NULL;
        if (!skip || !memmem(at, len, skip, strlen(skip))) {
            status = tlb_json_load(at, len, limits, &line);
            if (status == TLB_OK)
                status = each(self, line);
            json_decref(line);
        }
        at += len + 1;
    }
    return status;
}

tlb_status tlr_json_lines(const char *path, const tlb_limits *limits, const char *skip,
                          tlr_json_line *each, void *self, const char **what)
{
    struct stat st;
    tlb_map m;
    int error = 0;
    if (lstat(path, &st) != 0 && errno == ENOENT)
        return TLB_OK;
    tlb_status status = TLB_E_MALFORMED;
    *what = "not a plain file";
    if (!S_ISREG(st.st_mode))
        return status;
    *what = "cannot read";
    status = tlb_map_file(path, &m, &error);
    if (status != TLB_OK)
        return status;
    status = each_line((const char *)m.bytes, m.n_bytes, limits, skip, each, self);
    *what = status == TLB_E_LIMIT ? "over limit json or depth, or out of memory"
                                  : "a line is not what it should be";
    tlb_unmap(&m);
    return status;
}

/* --- metrics.jsonl -------------------------------------------------------------------- */

typedef struct metrics {
    tlr_record *record;
    size_t capacity;
    double before, last;      /* a resumed run's clock begins again: what came before */
} metrics;

static tlr_epoch_row make_row(metrics *m, const json_t *j)
{
    double t = tlb_json_number(j, "time_s", NAN);
    if (t < m->last)
        m->before += m->last;
    m->last = t;
    return (tlr_epoch_row){ .epoch = tlb_json_int(j, "epoch", 0),
                            .train_loss = tlb_json_number(j, "train_loss", NAN),
                            .train_accuracy = tlb_json_number(j, "train_accuracy", NAN),
                            .valid_loss = tlb_json_number(j, "valid_loss", NAN),
                            .valid_accuracy = tlb_json_number(j, "valid_accuracy", NAN),
                            .time_s = m->before + t,
                            .best = json_is_true(json_object_get(j, "best")) };
}

static tlb_status take_line(void *self, json_t *j)
{
    metrics *m = self;
    tlr_record *r = m->record;
    const char *type = tlb_json_text(j, "type");
    if (!type || strcmp(type, "epoch") != 0)
        return TLB_OK;
    if (r->n_epochs == m->capacity) {
        size_t more = m->capacity ? 2 * m->capacity : 32;
        tlr_epoch_row *rows = realloc(r->epochs, more * sizeof *rows);
        if (!rows)
            return TLB_E_LIMIT;
        r->epochs = rows;
        m->capacity = more;
    }
    tlr_epoch_row row = make_row(m, j);
    if (row.epoch < 1)
        return TLB_E_MALFORMED;
    if (row.best)
        r->best_epoch = row.epoch;
    r->epochs[r->n_epochs++] = row;
    return TLB_OK;
}

static tlb_status read_metrics(tlr_record *r, const tlb_limits *limits, const char **what)
{
    metrics m = { .record = r };
    char *path = NULL;
    *what = "out of memory";
    if (asprintf(&path, "%s/metrics.jsonl", r->path) < 0)
        return TLB_E_LIMIT;
    tlb_status status =
        tlr_json_lines(path, limits, "\"type\":\"step\"", take_line, &m, what);
    free(path);
    return status;
}

/* --- run.json ------------------------------------------------------------------------- */

static tlb_status read_classes(tlr_record *r)
{
    const json_t *list = json_object_get(json_object_get(r->json, "data"), "classes");
    r->n_classes = json_array_size(list);
    r->classes = calloc(r->n_classes + 1, sizeof *r->classes);
    if (!r->classes)
        return TLB_E_LIMIT;
    for (size_t i = 0; i < r->n_classes; ++i)
        if (!(r->classes[i] = json_string_value(json_array_get(list, i))))
            return TLB_E_MALFORMED;
    return TLB_OK;
}

static tlb_status read_counts(tlr_record *r, const json_t *rows)
{
    const json_int_t most = INT64_MAX / 2;
    size_t k = r->n_classes;
    for (size_t i = 0; i < k; ++i) {
        const json_t *row = json_array_get(rows, i);
        if (json_array_size(row) != k)
            return TLB_E_MALFORMED;
        for (size_t j = 0; j < k; ++j) {
            const json_t *n = json_array_get(row, j);
            json_int_t count = json_is_integer(n) ? json_integer_value(n) : -1;
            if (count < 0 || count > most - r->valid_n)
                return TLB_E_MALFORMED;
            r->confusion[i * k + j] = count;
            r->valid_n += count;
        }
    }
    return TLB_OK;
}

/* The rows that are there bound what is allocated. */
static tlb_status read_confusion(tlr_record *r)
{
    const json_t *rows = json_object_get(tlr_record_part(r, "result"), "confusion");
    size_t k = r->n_classes;
    if (!rows || json_is_null(rows))
        return TLB_OK;
    if (json_array_size(rows) != k || k == 0 || json_array_size(json_array_get(rows, 0)) != k)
        return TLB_E_MALFORMED;
    r->confusion = calloc(k * k, sizeof *r->confusion);
    if (!r->confusion)
        return TLB_E_LIMIT;
    tlb_status status = read_counts(r, rows);
    if (status == TLB_OK && r->valid_n == 0) { /* no validation: nothing was measured */
        free(r->confusion);
        r->confusion = NULL;
    }
    return status;
}

static tlb_status read_run(tlr_record *r, const tlb_limits *limits, const char **what)
{
    char *path = NULL;
    *what = "out of memory";
    if (asprintf(&path, "%s/run.json", r->path) < 0)
        return TLB_E_LIMIT;
    tlb_status status = tlb_json_load_file(path, limits, &r->json, what);
    free(path);
    if (status != TLB_OK)
        return status;
    const char *schema = tlb_json_text(r->json, "schema");
    r->state = tlb_json_text(r->json, "state");
    r->model = tlr_record_text(r, "model", "name");
    *what = "not a run";
    if (!schema || strncmp(schema, "tlc.run/", 8) != 0 || !r->state || !r->model)
        return TLB_E_MALFORMED;
    *what = "of another version of tlc";
    if (strcmp(schema, "tlc.run/1") != 0)
        return TLB_E_UNSUPPORTED;
    *what = "data.classes or result.confusion is not what it should be";
    status = read_classes(r);
    return status == TLB_OK ? read_confusion(r) : status;
}

tlb_status tlr_record_read(const char *path, const tlb_limits *limits, tlr_record *out,
                           const char **file, const char **what)
{
    *out = (tlr_record){ .path = strdup(path) };
    *file = "run.json";
    *what = "out of memory";
    tlb_status status = out->path ? read_run(out, limits, what) : TLB_E_LIMIT;
    if (status == TLB_OK) {
        *file = "metrics.jsonl";
        status = read_metrics(out, limits, what);
    }
    if (status != TLB_OK)
        tlr_record_free(out);
    return status;
}

void tlr_record_free(tlr_record *r)
{
    free(r->path);
    free(r->classes);
    free(r->confusion);
    free(r->epochs);
    json_decref(r->json);
    *r = (tlr_record){ 0 };
}

const json_t *tlr_record_part(const tlr_record *r, const char *part)
{
    return json_object_get(r->json, part);
}

double tlr_record_number(const tlr_record *r, const char *part, const char *key)
{
    return tlb_json_number(tlr_record_part(r, part), key, NAN);
}

const char *tlr_record_text(const tlr_record *r, const char *part, const char *key)
{
    return tlb_json_text(tlr_record_part(r, part), key);
}
