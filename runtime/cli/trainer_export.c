/* trainer_export.c: `trainer export`: what an app ships, or a file for other tools
 * (trainer_export_file.c).
 *
 * DIR/labels.txt, DIR/preprocess.json, and last DIR/weights.bin: the compiled folder's
 * constants, the run's best parameters, and the class names.  Each file is replaced whole.
 */
#define _GNU_SOURCE
#include "trainer_export.h"

#include "tlb_escape.h"
#include "tlr_session.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char PREPROCESS[] = "preprocess.json", SCHEMA[] = "tlc.preprocess/1";

tlb_status trainer_cannot_write(const tlb_args *a, const char *path, int error)
{
    return tlb_error(a, TLB_E_OUTPUT, "E_OUTPUT", path, NULL, NULL, "cannot write: %s",
                     strerror(error));
}

static char *in_folder(const char *dir, const char *name)
{
    char *path = NULL;
    return asprintf(&path, "%s/%s", dir, name) < 0 ? NULL : path;
}

/* --- the folder --------------------------------------------------------------------------- */

static bool is_empty(const char *dir)
{
    DIR *d = opendir(dir);
    int n = 0;
    for (const struct dirent *e; d && (e = readdir(d));)
        ++n;
    if (d)
        closedir(d);
    return d && n == 2; /* . and .. */
}

/* Is it a folder that an export made before?  TLB_E_OUTPUT: no. */
static tlb_status check_ours(const char *dir, const tlb_limits *limits)
{
    json_t *j = NULL;
    const char *what;
    char *path = in_folder(dir, PREPROCESS);
    tlb_status status = path ? tlb_json_load_file(path, limits, &j, &what) : TLB_E_LIMIT;
    const char *schema = status == TLB_OK ? tlb_json_text(j, "schema") : NULL;
    bool ours = schema && strcmp(schema, SCHEMA) == 0;
    json_decref(j);
    free(path);
    return ours || status == TLB_E_LIMIT ? status : TLB_E_OUTPUT;
}

static tlb_status make_folder(const tlb_args *a, const char *dir)
{
    struct stat st;
    if (mkdir(dir, 0777) == 0)
        return TLB_OK;
    if (errno != EEXIST)
        return trainer_cannot_write(a, dir, errno);
    bool folder = stat(dir, &st) == 0 && S_ISDIR(st.st_mode);
    tlb_status status = folder && !is_empty(dir) ? check_ours(dir, &a->limits) : TLB_OK;
    if (folder && status == TLB_OK)
        return TLB_OK;
    if (status == TLB_E_LIMIT)
        return trainer_no_memory(a);
    return tlb_error(a, TLB_E_OUTPUT, "E_EXISTS", dir, NULL, NULL, "not ours to replace");
}

/* --- the small files ---------------------------------------------------------------------- */

/* A float by its own digits: 0.485, not the double next to it. */
static json_t *number(float x)
{
    char text[32];
    for (int digits = 1; digits <= 9; ++digits) {
        snprintf(text, sizeof text, "%.*g", digits, (double)x);
        if (strtof(text, NULL) == x)
            break;
    }
    return tlb_json_real(strtod(text, NULL));
}

static json_t *floats(const float *x, int n)
{
    json_t *list = json_array();
    for (int i = 0; i < n; ++i)
        json_array_append_new(list, number(x[i]));
    return list;
}

json_t *trainer_describe(const trainer_run *run)
{
    const tlr_model *m = tlr_the_model;
    const tlr_preprocess *p = &m->preprocess;
    const tlr_io *in = m->features.run ? &m->features.in[0] : &m->head.in[0];
    json_t *shape = json_array(), *classes = json_array();
    for (int i = 1; i < in->rank; ++i)
        json_array_append_new(shape, json_integer(in->dim[i]));
    for (int i = 0; i < run->n_classes; ++i)
        json_array_append_new(classes, tlb_json_string(run->classes[i]));
    json_t *j = json_pack("{s:s, s:s, s:s, s:s, s:o, s:o}", "schema", SCHEMA, "model", m->name,
                          "graph_sha256", m->graph_sha256, "layout",
                          p->channels_last ? "NHWC" : "NCHW", "input", shape, "classes", classes);
    if (!j || p->kind != TLR_PREPROCESS_PICTURE)
        return j;
    json_object_set_new(j, "channel_order", json_string(p->bgr ? "BGR" : "RGB"));
    json_object_set_new(j, "resize_short", json_integer(p->resize_short));
    json_object_set_new(j, "resize", json_pack("[i, i]", p->resize_h, p->resize_w));
    json_object_set_new(j, "crop", json_pack("[i, i]", p->crop_h, p->crop_w));
    json_object_set_new(j, "mean", floats(p->mean, 3));
    json_object_set_new(j, "std", floats(p->std, 3));
    return j;
}

static tlb_status write_description(const tlb_args *a, const char *dir, const trainer_run *run)
{
    int error = 0;
    char *path = in_folder(dir, PREPROCESS);
    json_t *j = trainer_describe(run);
    tlb_status status = path && j ? tlb_json_save(j, path, &error) : trainer_no_memory(a);
    if (status != TLB_OK && path && j)
        trainer_cannot_write(a, path, error ? error : ENOMEM);
    json_decref(j);
    free(path);
    return status;
}

/* A name a line; a newline within a name is escaped. */
static tlb_status write_names(const tlb_args *a, const char *dir, const trainer_run *run)
{
    char *text = NULL, *path = in_folder(dir, "labels.txt");
    size_t n = 0;
    int error = 0;
    FILE *f = open_memstream(&text, &n);
    for (int i = 0; f && i < run->n_classes; ++i) {
        size_t length = strlen(run->classes[i]), most = 10 * length + 1;
        char *name = malloc(most);
        if (name) {
            tlb_escape(name, most, run->classes[i], length);
            fprintf(f, "%s\n", name);
        }
        free(name);
    }
    bool made = f && fclose(f) == 0 && path;
    tlb_status status = made ? tlb_write_file(path, text, n, &error) : trainer_no_memory(a);
    if (made && status != TLB_OK)
        trainer_cannot_write(a, path, error);
    free(text);
    free(path);
    return status;
}

/* --- weights.bin -------------------------------------------------------------------------- */

static char *join_labels(const trainer_run *run, size_t *out_n)
{
    size_t n = 0;
    for (int i = 0; i < run->n_classes; ++i)
        n += strlen(run->classes[i]) + 1;
    char *labels = malloc(n + 1), *at = labels;
    for (int i = 0; labels && i < run->n_classes; ++i)
        at = stpcpy(at, run->classes[i]) + 1;
    *out_n = n;
    return labels;
}

static void write_sections(tlb_out *o, const char *consts, const char *params, const char *labels,
                           size_t n_labels)
{
    static const char zeros[TLR_WEIGHTS_CONSTS_AT];
    const tlr_model *m = tlr_the_model;
    tlr_weights_header h;
    tlr_weights_header_make(&h, m, consts, params, labels, n_labels, 1);
    tlb_out_write(o, &h, sizeof h);
    tlb_out_write(o, zeros, TLR_WEIGHTS_CONSTS_AT - sizeof h);
    tlb_out_write(o, consts, (size_t)m->consts_bytes);
    tlb_out_write(o, zeros, (size_t)(tlr_weights_params_at((uint64_t)m->consts_bytes) -
                                     o->written));
    tlb_out_write(o, params, (size_t)m->params_bytes);
    tlb_out_write(o, labels, n_labels);
}

static tlb_status write_weights(const trainer *t, const char *dir, const trainer_run *run,
                                const char *params)
{
    size_t n_labels;
    char *path = in_folder(dir, "weights.bin"), *labels = join_labels(run, &n_labels);
    tlb_out o = { .fd = -1 };
    if (!path || !labels) {
        free(path);
        free(labels);
        return trainer_no_memory(t->args);
    }
    tlb_status status = tlb_out_open(&o, path);
    if (status == TLB_OK) {
        write_sections(&o, tlr_weights_consts(t->weights.bytes), params, labels, n_labels);
        status = tlb_out_commit(&o);
    }
    if (status != TLB_OK)
        trainer_cannot_write(t->args, path, o.error);
    free(labels);
    free(path);
    return status;
}

/* --- the command -------------------------------------------------------------------------- */

/* A trainer without samples, to read the checkpoint into. */
static tlb_status load_best(trainer *t, const trainer_run *run, tlr_trainer **out)
{
    static const tlr_samples none;
    tlr_train_config config;
    tlr_train_config_init(&config, tlr_the_model);
    config.train = config.cache = false;
    config.batch = 1;
    config.names = t->names;
    config.limits = t->args->limits;
    tlb_status status =
        tlr_trainer_create(tlr_the_model, t->weights.bytes, &none, &config, NULL, out);
    if (status != TLB_OK)
        return trainer_no_memory(t->args);
    status = tlr_checkpoint_load(*out, run->path, TLR_BEST);
    if (status == TLB_OK)
        return status;
    trainer_trouble(t, run->path, status, tlr_trainer_trouble(*out));
    tlr_trainer_destroy(*out);
    return status;
}

static void report(const trainer *t, const char *dir)
{
    if (t->args->json) {
        json_t *j = json_pack("{s:s, s:o, s:[s, s, s]}", "schema", "tlc.export/1", "wrote",
                              tlb_json_string(dir), "files", "weights.bin", "labels.txt",
                              PREPROCESS);
        char *text = j ? tlb_json_dump(j, 0) : NULL;
        if (text)
            puts(text);
        json_decref(j);
        free(text);
    } else if (!t->args->quiet) {
        printf("wrote     %s: weights.bin, labels.txt, %s\n", trainer_safe(dir), PREPROCESS);
    }
}

static tlb_status export_folder(trainer *t, const char *dir, const trainer_run *run,
                                const char *params)
{
    tlb_status status = make_folder(t->args, dir);
    if (status == TLB_OK)
        status = write_description(t->args, dir, run);
    if (status == TLB_OK)
        status = write_names(t->args, dir, run);
    if (status == TLB_OK)
        status = write_weights(t, dir, run, params);
    if (status == TLB_OK)
        report(t, dir);
    return status;
}

/* To a folder, or else to a file. */
static tlb_status export_to(trainer *t, const char *dir, const char *file, const trainer_run *run)
{
    tlr_trainer *tr;
    tlb_status status = load_best(t, run, &tr);
    if (status != TLB_OK)
        return status;
    const char *params = tlr_trainer_params(tr);
    if (!params)
        status = trainer_no_memory(t->args);
    else
        status = dir ? export_folder(t, dir, run, params)
                     : trainer_export_file(t, file, run, params);
    tlr_trainer_destroy(tr);
    return status;
}

tlb_status trainer_export(trainer *t)
{
    trainer_run run;
    const char *dir = tlb_text(t->args, TLB_OPT_OUT);
    const char *file = t->args->n_inputs ? t->args->inputs[0] : NULL;
    if (!dir == !file)
        return tlb_error(t->args, TLB_E_USAGE, "E_USAGE", NULL, NULL,
                         "FILE.onnx, FILE.safetensors, or -o DIR for an app",
                         dir ? "both a file and -o" : "nothing to write to");
    tlb_status status = file ? trainer_export_check(t, file) : TLB_OK;
    if (status != TLB_OK)
        return status;
    status = trainer_run_find(&run, t->args);
    if (status == TLB_OK)
        status = export_to(t, dir, file, &run);
    trainer_run_close(&run);
    return status;
}
