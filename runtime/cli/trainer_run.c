/* trainer_run.c: the run folder: made, locked, described by run.json, found again.
 *
 * A run is made in this order: folder, lock, last.json (the initial values), run.json; killed
 * in between it is a folder without run.json, which --resume begins anew.  The lock is on the
 * folder itself, so that it goes with the process and leaves no file.
 */
#define _GNU_SOURCE
#include "trainer_cli.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- options in run.json ------------------------------------------------------------------ */

typedef enum form { FORM_COUNT, FORM_NUMBER, FORM_FLAG, FORM_TEXT } form;

/* fixed: decides what is computed, so --resume with another value is refused. */
static const struct option_row {
    tlb_option option;
    form form;
    bool fixed;
} option_rows[] = {
    { TLB_OPT_EPOCHS, FORM_COUNT, true },        { TLB_OPT_SEED, FORM_COUNT, true },
    { TLB_OPT_VALID, FORM_NUMBER, true },        { TLB_OPT_DATA, FORM_TEXT, true },
    { TLB_OPT_BAD_IMAGES, FORM_TEXT, true },     { TLB_OPT_EXIF, FORM_FLAG, true },
    { TLB_OPT_LR, FORM_NUMBER, true },           { TLB_OPT_WEIGHT_DECAY, FORM_NUMBER, true },
    { TLB_OPT_AUGMENT, FORM_TEXT, true },        { TLB_OPT_VIEWS, FORM_COUNT, true },
    { TLB_OPT_SCHEDULE, FORM_TEXT, true },       { TLB_OPT_WARMUP, FORM_COUNT, true },
    { TLB_OPT_STEP_EPOCHS, FORM_COUNT, true },   { TLB_OPT_PATIENCE, FORM_COUNT, true },
    { TLB_OPT_LR_BACKBONE, FORM_NUMBER, true },  { TLB_OPT_HEAD_EPOCHS, FORM_COUNT, true },
    { TLB_OPT_CLASS_WEIGHTS, FORM_TEXT, true },  { TLB_OPT_CLIP_NORM, FORM_NUMBER, true },
    { TLB_OPT_ACCUMULATE, FORM_COUNT, true },
    { TLB_OPT_MOMENTUM, FORM_NUMBER, true },     { TLB_OPT_CACHE, FORM_FLAG, false },
    { TLB_OPT_CACHE_DIR, FORM_TEXT, false },     { TLB_OPT_THREADS, FORM_COUNT, false },
    { TLB_OPT_FROM, FORM_TEXT, true },
};
enum { N_OPTION_ROWS = sizeof option_rows / sizeof *option_rows };

static json_t *option_value(const tlb_args *a, const struct option_row *row)
{
    const tlb_value *v = &a->value[row->option];
    switch (row->form) {
    case FORM_COUNT:
        return json_integer(row->option == TLB_OPT_THREADS ? trainer_threads(a) : v->count);
    case FORM_NUMBER: return tlb_json_real(v->number);
    case FORM_FLAG: return json_boolean(v->flag);
    default: return v->text ? tlb_json_string(v->text) : json_null();
    }
}

static json_t *all_options(const tlb_args *a)
{
    json_t *o = json_object();
    for (int i = 0; i < N_OPTION_ROWS; ++i)
        json_object_set_new(o, tlb_option_name(option_rows[i].option),
                            option_value(a, &option_rows[i]));
    return o;
}

/* Take a saved value for an option that is not given. */
static void take_option(tlb_args *a, const struct option_row *row, const json_t *saved)
{
    tlb_value *v = &a->value[row->option];
    if (row->form == FORM_COUNT && json_is_integer(saved))
        v->number = (double)(v->count = json_integer_value(saved));
    else if (row->form == FORM_NUMBER && json_is_number(saved))
        v->number = json_number_value(saved);
    else if (row->form == FORM_FLAG && json_is_boolean(saved))
        v->flag = json_is_true(saved);
    else if (row->form == FORM_TEXT && json_is_string(saved))
        v->text = json_string_value(saved);
}

/* Options of the run that is resumed; what is given must not differ. */
static tlb_status settle_options(trainer_run *r, tlb_args *a)
{
    const json_t *saved = json_object_get(r->json, "options");
    for (int i = 0; i < N_OPTION_ROWS; ++i) {
        const struct option_row *row = &option_rows[i];
        const json_t *value = json_object_get(saved, tlb_option_name(row->option));
        if (!row->fixed || !value)
            continue;
        if (!tlb_given(a, row->option)) {
            take_option(a, row, value);
            continue;
        }
        json_t *given = option_value(a, row);
        bool same = json_equal(given, value);
        json_decref(given);
        if (!same)
            return tlb_error(a, TLB_E_USAGE, "E_DIFFERS", r->path, NULL, NULL,
                             "--%s differs from the run's", tlb_option_name(row->option));
    }
    return TLB_OK;
}

/* --- paths -------------------------------------------------------------------------------- */

static char *in_run(const trainer_run *r, const char *name)
{
    char *path = NULL;
    return asprintf(&path, "%s/%s", r->path, name) < 0 ? NULL : path;
}

static bool holds(const trainer_run *r, const char *name)
{
    struct stat st;
    char *path = in_run(r, name);
    bool is = path && lstat(path, &st) == 0;
    free(path);
    return is;
}

static bool is_empty(const char *path)
{
    DIR *d = opendir(path);
    int n = 0;
    for (const struct dirent *e; d && (e = readdir(d));)
        n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    if (d)
        closedir(d);
    return n == 0;
}

/* Does the folder that will hold `path` lie in `photos` (links resolved)? */
static bool lies_inside(const char *path, const char *photos)
{
    char outer[PATH_MAX], inner[PATH_MAX], *folder = strdup(path);
    bool inside = false;
    char *slash = folder ? strrchr(folder, '/') : NULL;
    if (slash)
        *slash = '\0';
    const char *parent = !slash ? "." : folder[0] ? folder : "/";
    if (realpath(photos, outer) && (realpath(path, inner) || realpath(parent, inner))) {
        size_t n = strlen(outer);
        inside = strncmp(inner, outer, n) == 0 && (inner[n] == '\0' || inner[n] == '/');
    }
    free(folder);
    return inside;
}

static tlb_status take_lock(trainer_run *r, const tlb_args *a)
{
    r->lock = open(r->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (r->lock < 0)
        return tlb_error(a, TLB_E_OUTPUT, "E_OUTPUT", r->path, NULL, NULL, "cannot write: %s",
                         strerror(errno));
    if (flock(r->lock, LOCK_EX | LOCK_NB) == 0)
        return TLB_OK;
    return tlb_error(a, TLB_E_OUTPUT, "E_IN_USE", r->path, NULL, NULL,
                     "in use by another trainer");
}

/* --- reading one -------------------------------------------------------------------------- */

static tlb_status read_classes(trainer_run *r, const tlb_args *a)
{
    const json_t *list = json_object_get(json_object_get(r->json, "data"), "classes");
    size_t n = json_array_size(list);
    if (n != (size_t)tlr_the_model->n_classes)
        return tlb_error(a, TLB_E_UNSUPPORTED, "E_MODEL", r->path, NULL, NULL,
                         "run of another model: %zu classes, the network has %d", n,
                         tlr_the_model->n_classes);
    r->classes = calloc(n + 1, sizeof *r->classes);
    for (size_t i = 0; r->classes && i < n; ++i) {
        const char *name = json_string_value(json_array_get(list, i));
        r->classes[i] = name ? strdup(name) : NULL;
        if (!r->classes[i])
            return tlb_error(a, TLB_E_MALFORMED, "E_RUN", r->path, "run.json", NULL,
                             "data.classes is no list of names");
        r->n_classes = (int)i + 1;
    }
    return TLB_OK;
}

static tlb_status check_run(trainer_run *r, const tlb_args *a)
{
    static const char schema[] = "tlc.run/";
    const char *is = tlb_json_text(r->json, "schema");
    const char *graph = tlb_json_text(json_object_get(r->json, "model"), "graph_sha256");
    if (!is || strncmp(is, schema, strlen(schema)) != 0 || !graph)
        return tlb_error(a, TLB_E_MALFORMED, "E_RUN", r->path, "run.json", NULL, "not a run");
    if (strcmp(is, "tlc.run/1") != 0)
        return tlb_error(a, TLB_E_UNSUPPORTED, "E_VERSION", r->path, "run.json", NULL,
                         "of another version of tlc");
    if (strcmp(graph, tlr_the_model->graph_sha256) != 0)
        return tlb_error(a, TLB_E_UNSUPPORTED, "E_MODEL", r->path, NULL, NULL,
                         "run of another model");
    return read_classes(r, a);
}

static tlb_status read_run(trainer_run *r, const tlb_args *a)
{
    const char *what = "out of memory";
    char *path = in_run(r, "run.json");
    tlb_status status =
        path ? tlb_json_load_file(path, &a->limits, &r->json, &what) : TLB_E_LIMIT;
    free(path);
    if (status != TLB_OK)
        return tlb_error(a, status, "E_RUN", r->path, "run.json", NULL, "%s", what);
    return check_run(r, a);
}

/* --- for train ---------------------------------------------------------------------------- */

/* runs/NAME-N with the next free N, made at once so that two trainers do not meet in it. */
static tlb_status make_default(trainer_run *r, const tlb_args *a)
{
    mkdir("runs", 0777);
    for (int n = 1; n < INT_MAX; ++n) {
        free(r->path);
        if (asprintf(&r->path, "runs/%s-%d", tlr_the_model->name, n) < 0)
            r->path = NULL;
        if (r->path && mkdir(r->path, 0777) == 0)
            break;
        if (!r->path || errno != EEXIST)
            return tlb_error(a, TLB_E_OUTPUT, "E_OUTPUT", r->path, NULL, NULL,
                             "cannot write: %s", strerror(r->path ? errno : ENOMEM));
    }
    r->created = true;
    return TLB_OK;
}

static tlb_status settle_resumed(trainer_run *r, tlb_args *a)
{
    if (!r->path)
        return tlb_error(a, TLB_E_USAGE, "E_USAGE", NULL, NULL, "-o RUN",
                         "--resume needs the run's folder");
    struct stat st;
    if (stat(r->path, &st) != 0)
        return tlb_error(a, TLB_E_INPUT, "E_INPUT", r->path, NULL, NULL, "no run there: %s",
                         strerror(errno));
    tlb_status status = take_lock(r, a);
    if (status != TLB_OK)
        return status;
    /* Killed before run.json was there: no step was made. */
    if (!holds(r, "run.json") && !holds(r, "metrics.jsonl"))
        return TLB_OK;
    status = read_run(r, a);
    return status == TLB_OK ? settle_options(r, a) : status;
}

/* The compiled folder is replaced whole by the next compile, and a run in it would go with it. */
static bool lies_in_compiled(const char *path)
{
    char *compiled = tlr_cli_beside("");
    bool inside = compiled && lies_inside(path, compiled);
    free(compiled);
    return inside;
}

static tlb_status settle_new(const trainer_run *r, const tlb_args *a, const char *photos)
{
    struct stat st;
    if (lies_in_compiled(r->path ? r->path : "runs"))
        return tlb_error(a, TLB_E_USAGE, "E_INSIDE", r->path ? r->path : "runs", NULL, "-o RUN",
                         "run folder is inside the compiled folder");
    if (!r->path)
        return TLB_OK;
    if (photos && lies_inside(r->path, photos))
        return tlb_error(a, TLB_E_USAGE, "E_INSIDE", r->path, NULL, NULL,
                         "run folder is inside the photos");
    if (holds(r, "run.json"))
        return tlb_error(a, TLB_E_OUTPUT, "E_EXISTS", r->path, NULL, "--resume goes on",
                         "a run exists there");
    if (stat(r->path, &st) == 0 && (!S_ISDIR(st.st_mode) || !is_empty(r->path)))
        return tlb_error(a, TLB_E_OUTPUT, "E_EXISTS", r->path, NULL, NULL,
                         "exists, and is no empty folder");
    return TLB_OK;
}

tlb_status trainer_run_settle(trainer_run *r, trainer *t)
{
    tlb_args *a = t->args;
    const char *out = tlb_text(a, TLB_OPT_OUT);
    *r = (trainer_run){ .lock = -1, .path = out ? strdup(out) : NULL };
    if (out && !r->path)
        return trainer_no_memory(a);
    size_t n = r->path ? strlen(r->path) : 0;
    while (n > 1 && r->path[n - 1] == '/')
        r->path[--n] = '\0';
    if (tlb_flag(a, TLB_OPT_RESUME))
        return settle_resumed(r, a);
    return settle_new(r, a, a->n_inputs > 0 ? a->inputs[0] : NULL);
}

const char *trainer_run_photos(const trainer_run *r, const tlb_args *a)
{
    if (a->n_inputs > 0)
        return a->inputs[0];
    return tlb_json_text(json_object_get(r->json, "options"), "photos");
}

/* --- run.json ----------------------------------------------------------------------------- */

static json_t *strings(char *const *text, int n)
{
    json_t *list = json_array();
    for (int i = 0; i < n; ++i)
        json_array_append_new(list, tlb_json_string(text[i]));
    return list;
}

static json_t *describe_data(const trainer_data *d, uint64_t seed)
{
    const char *valid = d->samples.n_valid > 0 ? d->train_name : NULL; /* split off, or beside */
    return json_pack("{s:o, s:o, s:o, s:I, s:I, s:I, s:s, s:o}", "train",
                     tlb_json_string(d->train_name), "valid",
                     valid ? tlb_json_string(valid) : json_null(), "classes",
                     strings(d->classes, d->n_classes), "train_n",
                     (json_int_t)d->samples.n_train, "valid_n", (json_int_t)d->samples.n_valid,
                     "skipped", (json_int_t)d->skipped, "hash", d->hash, "preview",
                     trainer_preview_list(d, seed));
}

static json_t *describe_run(const trainer_run *r, const trainer *t, const trainer_data *d)
{
    const tlr_model *m = tlr_the_model;
    const char *photos = trainer_run_photos(r, t->args);
    json_t *options = all_options(t->args);
    json_object_set_new(options, "photos", photos ? tlb_json_string(photos) : json_null());
    return json_pack("{s:s, s:s, s:s, s:n, s:o, s:{s:s, s:s, s:s, s:s, s:I, s:I}, s:o, s:o, s:n}",
                     "schema", "tlc.run/1", "tlc", m->version, "state", "running", "exit_code",
                     "command", strings(t->argv, t->argc), "model", "name", m->name,
                     "graph_sha256", m->graph_sha256, "target", m->target, "precision",
                     m->precision, "parameters", (json_int_t)m->params_total, "trained",
                     (json_int_t)m->params_trained, "data",
                     describe_data(d, (uint64_t)tlb_int(t->args, TLB_OPT_SEED)), "options", options,
                     "result");
}

tlb_status trainer_run_save(trainer_run *r, const tlb_args *a, bool failed)
{
    int error = 0;
    char *path = in_run(r, "run.json");
    tlb_status status = path && r->json ? tlb_json_save(r->json, path, &error) : TLB_E_LIMIT;
    if (status != TLB_OK && !failed)
        tlb_error(a, status, tlr_cli_id(status), path, NULL, NULL, "cannot write: %s",
                  strerror(error ? error : ENOMEM));
    free(path);
    return status;
}

static tlb_status make_folder(trainer_run *r, const tlb_args *a)
{
    if (!r->path)
        return make_default(r, a);
    r->created = mkdir(r->path, 0777) == 0;
    if (r->created || errno == EEXIST)
        return TLB_OK;
    return tlb_error(a, TLB_E_OUTPUT, "E_OUTPUT", r->path, NULL, NULL, "cannot write: %s",
                     strerror(errno));
}

static tlb_status check_same_data(const trainer_run *r, const trainer *t, const trainer_data *d)
{
    const char *hash = tlb_json_text(json_object_get(r->json, "data"), "hash");
    if (hash && strcmp(hash, d->hash) == 0)
        return TLB_OK;
    return tlb_error(t->args, TLB_E_USAGE, "E_DIFFERS", d->train_name, NULL, NULL,
                     "input differs from the run's");
}

tlb_status trainer_run_begin(trainer_run *r, trainer *t, const trainer_data *d)
{
    tlb_status status = TLB_OK;
    if (r->json) {
        status = check_same_data(r, t, d);
        if (status == TLB_OK) {
            json_object_set_new(r->json, "state", json_string("running"));
            json_object_set_new(r->json, "exit_code", json_null());
            json_object_set_new(r->json, "command", strings(t->argv, t->argc));
            json_object_set_new(json_object_get(r->json, "model"), "target",
                                json_string(tlr_the_model->target));
        }
        return status;
    }
    if (r->lock < 0) {
        status = make_folder(r, t->args);
        if (status == TLB_OK)
            status = take_lock(r, t->args);
    }
    if (status == TLB_OK)
        r->json = describe_run(r, t, d);
    return status;
}

/* --- for the other commands --------------------------------------------------------------- */

/* The folder under runs/ whose run.json is newest; ties: the last name. */
static char *newest(void)
{
    char *best = NULL;
    struct timespec when = { 0, 0 };
    DIR *d = opendir("runs");
    for (const struct dirent *e; d && (e = readdir(d));) {
        struct stat st;
        char *path = NULL, *json = NULL;
        if (asprintf(&path, "runs/%s", e->d_name) < 0)
            break;
        bool is = e->d_name[0] != '.' && asprintf(&json, "%s/run.json", path) > 0 &&
                  stat(json, &st) == 0;
        const struct timespec at = is ? st.st_mtim : (struct timespec){ 0, 0 };
        bool later = at.tv_sec != when.tv_sec ? at.tv_sec > when.tv_sec
                                              : at.tv_nsec > when.tv_nsec;
        bool tie = at.tv_sec == when.tv_sec && at.tv_nsec == when.tv_nsec;
        if (is && (!best || later || (tie && strcmp(path, best) > 0))) {
            free(best);
            best = path;
            path = NULL;
            when = at;
        }
        free(path);
        free(json);
    }
    if (d)
        closedir(d);
    return best;
}

tlb_status trainer_run_find(trainer_run *r, const tlb_args *a)
{
    const char *given = tlb_text(a, TLB_OPT_RUN);
    *r = (trainer_run){ .lock = -1, .path = given ? strdup(given) : newest() };
    if (given && !r->path)
        return trainer_no_memory(a);
    if (!r->path)
        return tlb_error(a, TLB_E_INPUT, "E_INPUT", "runs", NULL, "--run RUN",
                         "no run there");
    if (!given && !a->quiet && !a->json_diagnostics)
        fprintf(stderr, "trainer: run %s\n", trainer_safe(r->path));
    return read_run(r, a);
}

void trainer_run_undo(trainer_run *r)
{
    static const char *const files[] = { "run.json", "last.json", "metrics.jsonl" };
    for (size_t i = 0; i < sizeof files / sizeof *files; ++i) {
        char *path = in_run(r, files[i]);
        if (path)
            unlink(path);
        free(path);
    }
    if (r->created)
        rmdir(r->path);
}

void trainer_run_close(trainer_run *r)
{
    if (r->lock >= 0)
        close(r->lock);
    for (int i = 0; i < r->n_classes; ++i)
        free(r->classes[i]);
    free(r->classes);
    json_decref(r->json);
    free(r->path);
    *r = (trainer_run){ .lock = -1 };
}
