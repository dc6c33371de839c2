/* checkpoint.c: parameters and state as safetensors, committed by the rename of a JSON file.
 *
 * best-STEP.safetensors holds the weights; last-STEP.safetensors the optimizer's state too.
 * A new step has a new name, so the old pair stays whole until KIND.json names the new one;
 * the old file goes last.  Names are made from kind and step, never taken from a file.
 * Tensors are in logical layout, under the model's names.
 */
#define _GNU_SOURCE
#include "tlr_run.h"
#include "tlr_trainer.h"

#include "tlb_json.h"
#include "tlb_safetensors.h"
#include "tlb_sha256.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHECKPOINT_SCHEMA "tlc.checkpoint/"
enum { CHECKPOINT_VERSION = 1, NAME_BYTES = 64 };

static const char *const kind_names[] = { "best", "last" };

static void data_name(char name[NAME_BYTES], tlr_checkpoint kind, int64_t step)
{
    snprintf(name, NAME_BYTES, "%s-%" PRId64 ".safetensors", kind_names[kind], step);
}

static void json_name(char name[NAME_BYTES], tlr_checkpoint kind)
{
    snprintf(name, NAME_BYTES, "%s.json", kind_names[kind]);
}

/* --- which tensors ------------------------------------------------------------------------ */

static const char *type_name(tlr_type type)
{
    static const char *const names[] = { [TLR_F32] = "F32", [TLR_F64] = "F64", [TLR_I64] = "I64",
                                         [TLR_I32] = "I32", [TLR_U8] = "U8",
                                         [TLR_BOOL] = "BOOL" };
    return names[type];
}

static bool is_saved(const tlr_tensor *p, tlr_checkpoint kind)
{
    return p->kind == TLR_PARAM || (kind == TLR_LAST && p->kind == TLR_STATE);
}

/* Name of tensor i: the model's, else its number. */
static const char *tensor_name(const tlr_trainer *t, int i, char made[NAME_BYTES])
{
    const char *const *names = t->config.names;
    if (names && names[i])
        return names[i];
    snprintf(made, NAME_BYTES, "tensor.%d", i);
    return made;
}

static void describe(const tlr_tensor *p, const char *name, tlb_tensor *out)
{
    *out = (tlb_tensor){ .name = name, .dtype = type_name(p->type), .rank = p->rank };
    for (int i = 0; i < p->rank; ++i)
        out->dim[i] = p->dim[i];
    out->n_bytes = (uint64_t)(tlr_tensor_elems(p) * tlr_type_bytes(p->type));
}

/* --- saving ------------------------------------------------------------------------------- */

static tlb_status write_header(tlr_trainer *t, tlb_out *o, tlr_checkpoint kind)
{
    const tlr_model *m = t->model;
    const char *const metadata[] = { "graph_sha256", m->graph_sha256, "tlc", m->version };
    size_t n_tensors = (size_t)m->n_tensors + 1, n = 0;
    tlb_tensor *tensors = calloc(n_tensors, sizeof *tensors);
    char(*made)[NAME_BYTES] = calloc(n_tensors, sizeof *made);
    tlb_status status = tensors && made ? TLB_OK : TLB_E_LIMIT;
    for (int i = 0; status == TLB_OK && i < m->n_tensors; ++i)
        if (is_saved(&m->tensors[i], kind)) {
            describe(&m->tensors[i], tensor_name(t, i, made[n]), &tensors[n]);
            ++n;
        }
    if (status == TLB_OK)
        status = tlb_safetensors_header(o, tensors, n, metadata, 2);
    free(tensors);
    free(made);
    return status;
}

/* A packed tensor's part i: some outputs, where the layout keeps blocks of outputs apart, so that
 * a large layer needs no second memory; else all of it. */
typedef struct parts {
    int64_t n, outputs;       /* of a part, but the last one's may be fewer */
    size_t row_bytes, stored_bytes;
} parts;

static parts parts_of(const tlr_tensor *p)
{
    bool cut = p->layout == TLR_OI16 || p->layout == TLR_LIN16;
    int64_t outputs = cut ? TLK_BLOCK : p->dim[0], n = (p->dim[0] + outputs - 1) / outputs;
    int64_t bytes = tlr_tensor_elems(p) * tlr_type_bytes(p->type);
    return (parts){ n, outputs, (size_t)(bytes / p->dim[0]), (size_t)(p->bytes / n) };
}

static tlr_tensor part_at(const tlr_tensor *p, const parts *s, int64_t i)
{
    tlr_tensor part = *p;
    int64_t left = p->dim[0] - i * s->outputs;
    part.dim[0] = left < s->outputs ? left : s->outputs;
    part.bytes = (int64_t)s->stored_bytes; /* tlr_pack clears them all */
    return part;
}

/* Plain tensors go out as they lie, packed ones through a copy of a part. */
tlb_status tlr_tensor_write(const tlr_tensor *p, const char *stored, tlb_out *o)
{
    if (p->layout == TLR_PLAIN)
        return tlb_out_write(o, stored, (size_t)(tlr_tensor_elems(p) * tlr_type_bytes(p->type)));
    parts s = parts_of(p);
    void *logical = malloc(s.row_bytes * (size_t)s.outputs + 1);
    tlb_status status = logical ? TLB_OK : TLB_E_LIMIT;
    for (int64_t i = 0; status == TLB_OK && i < s.n; ++i) {
        tlr_tensor part = part_at(p, &s, i);
        tlr_unpack(&part, stored + s.stored_bytes * (size_t)i, logical);
        status = tlb_out_write(o, logical, s.row_bytes * (size_t)part.dim[0]);
    }
    free(logical);
    return status;
}

static tlb_status write_data(tlr_trainer *t, const char *path, tlr_checkpoint kind,
                             char hex[TLB_SHA256_HEX_BYTES], int *out_errno)
{
    tlb_out o;
    tlb_sha256 sum;
    tlb_status status = tlb_out_open(&o, path);
    if (status != TLB_OK) {
        *out_errno = o.error;
        return status;
    }
    tlb_sha256_init(&sum);
    o.tap = tlb_sha256_tap;
    o.tap_self = &sum;
    status = write_header(t, &o, kind);
    for (int i = 0; status == TLB_OK && i < t->model->n_tensors; ++i)
        if (is_saved(&t->model->tensors[i], kind))
            status = tlr_tensor_write(&t->model->tensors[i], t->params + t->model->tensors[i].offset,
                                      &o);
    tlb_sha256_hex(&sum, hex);
    if (status == TLB_OK)
        status = tlb_out_commit(&o);
    else
        tlb_out_abandon(&o);
    *out_errno = o.error;
    return status;
}

/* KIND.json: the pair's seal, and where the run stands. */
static json_t *make_json(const tlr_trainer *t, tlr_checkpoint kind, const char *file,
                         const char *sha256)
{
    const tlr_progress *p = &t->progress;
    char schema[32];
    snprintf(schema, sizeof schema, CHECKPOINT_SCHEMA "%d", CHECKPOINT_VERSION);
    json_t *j = json_pack("{s:s, s:s?, s:s?, s:I, s:I, s:s}", "schema", schema, "file", file,
                          "sha256", sha256, "epoch", (json_int_t)p->epoch + (kind == TLR_BEST),
                          "step", (json_int_t)p->step, "graph_sha256", t->model->graph_sha256);
    if (!j || kind == TLR_BEST)
        return j;
    json_object_set_new(j, "position", json_integer(p->position));
    json_object_set_new(j, "loss_sum", tlb_json_real(p->loss_sum));
    json_object_set_new(j, "correct", json_integer(p->correct));
    json_object_set_new(j, "metrics_bytes", json_integer(p->metrics_bytes));
    if (p->has_best)
        json_object_set_new(j, "best",
                            json_pack("{s:I, s:I, s:o, s:o}", "epoch", (json_int_t)p->best_epoch,
                                      "step", (json_int_t)p->best_step, "accuracy",
                                      tlb_json_real(p->best_accuracy), "loss",
                                      tlb_json_real(p->best_loss)));
    return j;
}

static tlb_status output_failed(tlr_trainer *t, tlb_status status, const char *name, int error)
{
    if (status == TLB_E_LIMIT)
        return tlr_trouble_set(t, status, "E_MEMORY", NULL, "out of memory");
    return tlr_trouble_set(t, status, "E_OUTPUT", name, "cannot write: %s", strerror(error));
}

static tlb_status write_json(tlr_trainer *t, const char *run, tlr_checkpoint kind,
                             const char *file, const char *sha256)
{
    char name[NAME_BYTES];
    int error = 0;
    json_name(name, kind);
    char *path = tlr_path(run, name);
    json_t *j = make_json(t, kind, file, sha256);
    tlb_status status = path && j ? tlb_json_save(j, path, &error) : TLB_E_LIMIT;
    json_decref(j);
    free(path);
    return status == TLB_OK ? status : output_failed(t, status, name, error);
}

/* Step that KIND.json names now; -1: none. */
static int64_t saved_step(const char *run, tlr_checkpoint kind)
{
    char name[NAME_BYTES];
    const char *what;
    tlb_limits limits;
    json_t *j = NULL;
    int64_t step = -1;
    tlb_limits_init(&limits);
    json_name(name, kind);
    char *path = tlr_path(run, name);
    if (path && tlb_json_load_file(path, &limits, &j, &what) == TLB_OK && tlb_json_text(j, "file"))
        step = tlb_json_int(j, "step", -1);
    json_decref(j);
    free(path);
    return step;
}

static void remove_in(const char *run, const char *name)
{
    char *path = tlr_path(run, name);
    if (path)
        unlink(path);
    free(path);
}

tlb_status tlr_checkpoint_save(tlr_trainer *t, const char *run, tlr_checkpoint kind)
{
    char name[NAME_BYTES], old[NAME_BYTES], hex[TLB_SHA256_HEX_BYTES];
    int error = 0;
    int64_t before = saved_step(run, kind);
    if (tlr_memory_ready(t) != TLB_OK)
        return TLB_E_LIMIT;
    if (!tlr_params_finite(t))
        return tlr_trouble_set(t, TLB_E_NUMERIC, "E_PARAMETER", NULL,
                               "step %" PRId64 ": a parameter is NaN or infinite",
                               t->progress.step);
    data_name(name, kind, t->progress.step);
    char *path = tlr_path(run, name);
    tlb_status status = path ? write_data(t, path, kind, hex, &error) : TLB_E_LIMIT;
    free(path);
    if (status != TLB_OK)
        return output_failed(t, status, name, error);
    status = write_json(t, run, kind, name, hex);
    if (status == TLB_OK && before >= 0 && before != t->progress.step) {
        data_name(old, kind, before);
        remove_in(run, old);
    }
    return status;
}

tlb_status tlr_checkpoint_begin(tlr_trainer *t, const char *run)
{
    return write_json(t, run, TLR_LAST, NULL, NULL);
}

/* --- loading ------------------------------------------------------------------------------ */

static tlb_status bad(tlr_trainer *t, tlb_status status, const char *id, const char *name,
                      const char *what)
{
    return tlr_trouble_set(t, status, id, name, "%s", what);
}

static tlb_status check_schema(tlr_trainer *t, const json_t *j, const char *name)
{
    const char *schema = tlb_json_text(j, "schema"), *graph = tlb_json_text(j, "graph_sha256");
    size_t n = strlen(CHECKPOINT_SCHEMA);
    if (!schema || strncmp(schema, CHECKPOINT_SCHEMA, n) != 0 || !graph)
        return bad(t, TLB_E_MALFORMED, "E_CHECKPOINT", name, "not a checkpoint");
    if (strtol(schema + n, NULL, 10) != CHECKPOINT_VERSION)
        return bad(t, TLB_E_UNSUPPORTED, "E_VERSION", name,
                   "checkpoint is of another version of tlc");
    if (strcmp(graph, t->model->graph_sha256) != 0)
        return bad(t, TLB_E_UNSUPPORTED, "E_MODEL", name, "checkpoint is of another model");
    return TLB_OK;
}

/* The samples of a run are as many from its first step on: the first stage's steps follow. */
static int64_t head_steps(const tlr_trainer *t, int64_t step)
{
    int64_t stage = t->config.head_epochs * tlr_steps_in_epoch(t);
    return step < stage ? step : stage;
}

/* Numbers of last.json, held against what they can be. */
static bool read_progress(const tlr_trainer *t, const json_t *j, tlr_progress *out)
{
    const json_t *best = json_object_get(j, "best");
    tlr_progress p = { .epoch = tlb_json_int(j, "epoch", -1),
                       .position = tlb_json_int(j, "position", -1),
                       .step = tlb_json_int(j, "step", -1),
                       .loss_sum = tlb_json_number(j, "loss_sum", -1),
                       .correct = tlb_json_int(j, "correct", -1),
                       .metrics_bytes = tlb_json_int(j, "metrics_bytes", -1),
                       .has_best = json_is_object(best) };
    p.head_steps = head_steps(t, p.step);
    if (p.has_best) {
        p.best_epoch = tlb_json_int(best, "epoch", -1);
        p.best_step = tlb_json_int(best, "step", -1);
        p.best_accuracy = tlb_json_number(best, "accuracy", 0);
        p.best_loss = tlb_json_number(best, "loss", 0);
    }
    *out = p;
    return tlr_progress_fine(&p, t->samples.n_train) && p.metrics_bytes >= 0;
}

static bool fits(const tlb_tensor *found, const tlb_tensor *wanted)
{
    return strcmp(found->dtype, wanted->dtype) == 0 && found->rank == wanted->rank &&
           memcmp(found->dim, wanted->dim, (size_t)wanted->rank * sizeof *wanted->dim) == 0;
}

/* Pages of the mapped file that were read are given back at once: a checkpoint may be as large as
 * the block, and both together would double what a run needs. */
static void drop_pages(const unsigned char *from, const unsigned char *to)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), first = (uintptr_t)from / page * page;
    madvise((void *)first, (uintptr_t)to - first, MADV_DONTNEED);
}

static void read_tensor(tlr_trainer *t, const tlr_tensor *p, const unsigned char *data)
{
    enum { DROP_BYTES = 16 << 20 };
    char *stored = t->params + p->offset;
    size_t bytes = (size_t)(tlr_tensor_elems(p) * tlr_type_bytes(p->type)), dropped = 0, done = 0;
    bool plain = p->layout == TLR_PLAIN;
    parts s = plain ? (parts){ .n = ((int64_t)bytes + DROP_BYTES - 1) / DROP_BYTES } : parts_of(p);
    for (int64_t i = 0; i < s.n; ++i) {
        if (plain) {
            size_t n = bytes - done < DROP_BYTES ? bytes - done : DROP_BYTES;
            memcpy(stored + done, data + done, n);
            done += n;
        } else {
            tlr_tensor part = part_at(p, &s, i);
            tlr_pack(&part, data + done, stored + s.stored_bytes * (size_t)i);
            done += s.row_bytes * (size_t)part.dim[0];
        }
        if (done - dropped >= DROP_BYTES || done == bytes) {
            drop_pages(data + dropped, data + done);
            dropped = done;
        }
    }
}

/* As tlb_sha256_of. */
static void hash_bytes(const tlb_map *map, char hex[TLB_SHA256_HEX_BYTES])
{
    enum { STEP = 16 << 20 };
    tlb_sha256 sum;
    tlb_sha256_init(&sum);
    for (size_t at = 0; at < map->n_bytes; at += STEP) {
        size_t n = map->n_bytes - at < STEP ? map->n_bytes - at : STEP;
        tlb_sha256_update(&sum, map->bytes + at, n);
        drop_pages(map->bytes + at, map->bytes + at + n);
    }
    tlb_sha256_hex(&sum, hex);
}

/* Tensors of a sound file into vars. */
static tlb_status take_tensors(tlr_trainer *t, const tlb_safetensors *s, tlr_checkpoint kind,
                               const char *name)
{
    for (int i = 0; i < t->model->n_tensors; ++i) {
        const tlr_tensor *p = &t->model->tensors[i];
        char made[NAME_BYTES];
        tlb_tensor wanted;
        if (!is_saved(p, kind))
            continue;
        describe(p, tensor_name(t, i, made), &wanted);
        const tlb_tensor *found = tlb_safetensors_find(s, wanted.name);
        if (!found || !fits(found, &wanted))
            return bad(t, TLB_E_MALFORMED, "E_CHECKPOINT", name,
                       "a tensor of the model is missing or of another shape");
        read_tensor(t, p, found->data);
    }
    return TLB_OK;
}

static tlb_status load_bytes(tlr_trainer *t, const tlb_map *map, tlr_checkpoint kind,
                             const char *name, const char *sha256)
{
    char hex[TLB_SHA256_HEX_BYTES];
    const char *what = "";
    tlb_safetensors s;
    hash_bytes(map, hex);
    if (strcmp(hex, sha256) != 0)
        return tlr_trouble_set(t, TLB_E_MALFORMED, "E_CHECKSUM", name,
                               "checksum differs from %s.json", kind_names[kind]);
    tlb_status status =
        tlb_safetensors_parse(map->bytes, map->n_bytes, &t->config.limits, &s, &what);
    if (status != TLB_OK)
        return bad(t, status, "E_CHECKPOINT", name, what);
    status = take_tensors(t, &s, kind, name);
    tlb_safetensors_free(&s);
    return status;
}

static tlb_status load_data(tlr_trainer *t, const char *run, tlr_checkpoint kind,
                            const json_t *j)
{
    char name[NAME_BYTES];
    const char *file = tlb_json_text(j, "file"), *sha256 = tlb_json_text(j, "sha256");
    struct stat st;
    tlb_map map;
    data_name(name, kind, tlb_json_int(j, "step", -1));
    if (!file || !sha256 || strcmp(file, name) != 0)
        return bad(t, TLB_E_MALFORMED, "E_CHECKPOINT", name, "checkpoint names another file");
    char *path = tlr_path(run, name);
    tlb_status status = path ? TLB_OK : TLB_E_LIMIT;
    if (path && lstat(path, &st) == 0 && !S_ISREG(st.st_mode))
        status = bad(t, TLB_E_MALFORMED, "E_CHECKPOINT", name, "not a plain file");
    else if (path && tlb_map_file(path, &map, NULL) != TLB_OK)
        status = bad(t, TLB_E_INPUT, "E_CHECKPOINT", name, "checkpoint cannot be read");
    free(path);
    if (status != TLB_OK)
        return status;
    status = load_bytes(t, &map, kind, name, sha256);
    tlb_unmap(&map);
    return status;
}

static tlb_status load_json(tlr_trainer *t, const char *run, const char *name, json_t **out)
{
    const char *what = "out of memory";
    char *path = tlr_path(run, name);
    tlb_status status =
        path ? tlb_json_load_file(path, &t->config.limits, out, &what) : TLB_E_LIMIT;
    free(path);
    if (status != TLB_OK)
        return tlr_trouble_set(t, status, "E_CHECKPOINT", name, "checkpoint: %s", what);
    return TLB_OK;
}

/* with_data false: what the JSON says alone. */
static tlb_status load(tlr_trainer *t, const char *run, tlr_checkpoint kind, bool with_data)
{
    char name[NAME_BYTES];
    json_t *j = NULL;
    tlr_progress progress = t->progress;
    json_name(name, kind);
    tlb_status status = load_json(t, run, name, &j);
    if (status != TLB_OK)
        return status;
    status = check_schema(t, j, name);
    if (status == TLB_OK && kind == TLR_LAST && !read_progress(t, j, &progress))
        status = bad(t, TLB_E_MALFORMED, "E_CHECKPOINT", name, "checkpoint: a number is wrong");
    /* `file` null: the initial values, which the seed has made already. */
    bool initial = kind == TLR_LAST && json_is_null(json_object_get(j, "file"));
    if (status == TLB_OK && initial && progress.step > 0)
        status = bad(t, TLB_E_MALFORMED, "E_CHECKPOINT", name, "checkpoint names no file");
    if (status == TLB_OK && !initial && with_data)
        status = load_data(t, run, kind, j);
    if (status == TLB_OK)
        t->progress = progress;
    json_decref(j);
    return status;
}

tlb_status tlr_checkpoint_load(tlr_trainer *t, const char *run, tlr_checkpoint kind)
{
    tlb_status status = tlr_memory_ready(t);
    return status == TLB_OK ? load(t, run, kind, true) : status;
}

tlb_status tlr_checkpoint_look(tlr_trainer *t, const char *run)
{
    return load(t, run, TLR_LAST, false);
}

/* --- leftovers ---------------------------------------------------------------------------- */

/* "last-440.safetensors" for KIND last: 440; -1: not of this form. */
static int64_t step_of(const char *name, tlr_checkpoint kind)
{
    char made[NAME_BYTES];
    size_t n = strlen(kind_names[kind]);
    if (strncmp(name, kind_names[kind], n) != 0 || name[n] != '-')
        return -1;
    int64_t step = strtoll(name + n + 1, NULL, 10);
    data_name(made, kind, step);
    return strcmp(made, name) == 0 ? step : -1;
}

static bool is_temporary(const char *name)
{
    const char *end = strrchr(name, '.');
    return strncmp(name, ".tlc-", 5) == 0 && end && strcmp(end, ".part") == 0;
}

void tlr_checkpoint_sweep(const char *run)
{
    int64_t kept[] = { saved_step(run, TLR_BEST), saved_step(run, TLR_LAST) };
    DIR *d = opendir(run);
    if (!d)
        return;
    for (const struct dirent *e; (e = readdir(d));) {
        bool stale = is_temporary(e->d_name);
        for (int kind = TLR_BEST; kind <= TLR_LAST; ++kind) {
            int64_t step = step_of(e->d_name, (tlr_checkpoint)kind);
            stale |= step >= 0 && step != kept[kind];
        }
        if (stale)
            remove_in(run, e->d_name);
    }
    closedir(d);
}
