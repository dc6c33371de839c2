/* trainer_predict.c: `trainer predict`: class and probability of pictures.
 *
 * A folder stands for the pictures below it, in the order of their paths.  Pictures are samples
 * without labels.  One that cannot be read is said in its turn and the
 * rest go on; the exit code is the first failure's.
 */
#include "trainer_cli.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct predict {
    const trainer *t;
    const trainer_run *run;
    const char **paths;
    size_t n, capacity;
    tlr_folder *folders;      /* own the paths below them */
    int n_folders;
    tlr_loader *loaders;
    tlr_image_note *notes;
    tlb_status *status, first;
    tlr_class_list classes;
    size_t input_bytes;
} predict;

/* A bad picture becomes zeros, so that the others keep their turns; nobody sees its result. */
static tlb_status read_picture(void *self, int64_t sample, int64_t view, int reader, void *input)
{
    (void)view;
    predict *p = self;
    const char *path = p->paths[sample];
    p->status[sample] = tlr_load_input(&p->loaders[reader], path, input, &p->notes[sample]);
    if (p->status[sample] != TLB_OK)
        memset(input, 0, p->input_bytes);
    return TLB_OK;
}

static void print_one(void *self, int64_t sample, int predicted, double loss,
                      const float *probabilities)
{
    predict *p = self;
    const tlb_args *a = p->t->args;
    const char *path = p->paths[sample];
    (void)predicted;
    (void)loss;
    fflush(stdout); /* lines and errors of one terminal in the order of the pictures */
    tlr_cli_picture_note(a, path, p->status[sample], &p->notes[sample]);
    if (p->status[sample] == TLB_OK)
        tlr_print_prediction(stdout, tlr_cli_form(a), &p->classes, path, probabilities);
    else if (p->first == TLB_OK)
        p->first = p->status[sample];
}

static tlb_status run_all(predict *p)
{
    const trainer *t = p->t;
    tlr_samples samples = { .self = p, .n_valid = (int64_t)p->n, .read = read_picture };
    tlr_train_config config;
    tlr_trainer *tr;
    tlr_score score;
    tlr_train_config_init(&config, tlr_the_model);
    config.train = false;
    config.cache = false;
    config.threads = config.readers = trainer_threads(t->args);
    config.names = t->names;
    config.limits = t->args->limits;
    tlb_status status =
        tlr_trainer_create(tlr_the_model, t->weights.bytes, &samples, &config, NULL, &tr);
    if (status != TLB_OK)
        return tlb_error(t->args, status, tlr_cli_id(status), NULL, NULL, NULL, "out of memory");
    status = tlr_checkpoint_load(tr, p->run->path, TLR_BEST);
    if (status != TLB_OK) {
        trainer_trouble(t, p->run->path, status, tlr_trainer_trouble(tr));
    } else {
        tlr_print_prediction_head(stdout, tlr_cli_form(t->args), &p->classes);
        status = tlr_trainer_evaluate(tr, 0, samples.n_valid, print_one, p, &score);
    }
    tlr_trainer_destroy(tr);
    return status == TLB_OK ? p->first : status;
}

/* --- which pictures ----------------------------------------------------------------------- */

static tlb_status no_memory(const predict *p)
{
    return tlb_error(p->t->args, TLB_E_LIMIT, "E_MEMORY", NULL, NULL, NULL, "out of memory");
}

static tlb_status add_path(predict *p, const char *path)
{
    if (p->n == p->capacity) {
        size_t capacity = p->capacity ? p->capacity * 2 : 64;
        const char **more = realloc(p->paths, capacity * sizeof *more);
        if (!more)
            return no_memory(p);
        p->paths = more;
        p->capacity = capacity;
    }
    p->paths[p->n++] = path;
    return TLB_OK;
}

static tlb_status add_folder(predict *p, const char *path)
{
    const tlb_args *a = p->t->args;
    char *where;
    const char *what;
    tlr_folder *f = &p->folders[p->n_folders];
    tlb_status status = tlr_folder_list(path, &a->limits, f, &where, &what);
    if (status != TLB_OK)
        tlb_error(a, status, tlr_cli_id(status), where ? where : path, NULL, NULL, "%s",
                  what ? what : "cannot read");
    free(where);
    if (status != TLB_OK)
        return status;
    ++p->n_folders;
    if (f->n_other > 0)
        tlb_warning(a, "W_FOLDER", path, NULL, "%zu file%s no picture by the name's ending",
                    f->n_other, f->n_other == 1 ? " is" : "s are");
    if (f->n_photos == 0)
        return tlb_error(a, TLB_E_INPUT, "E_INPUT", path, NULL, NULL, "holds no picture");
    for (size_t i = 0; status == TLB_OK && i < f->n_photos; ++i)
        status = add_path(p, f->photos[i].path);
    return status;
}

static tlb_status find_pictures(predict *p)
{
    const tlb_args *a = p->t->args;
    struct stat info;
    tlb_status status = TLB_OK;
    p->folders = calloc((size_t)a->n_inputs, sizeof *p->folders);
    if (!p->folders)
        return no_memory(p);
    for (int i = 0; status == TLB_OK && i < a->n_inputs; ++i) {
        bool folder = stat(a->inputs[i], &info) == 0 && S_ISDIR(info.st_mode);
        status = folder ? add_folder(p, a->inputs[i]) : add_path(p, a->inputs[i]);
    }
    return status;
}

static void free_pictures(predict *p)
{
    for (int i = 0; i < p->n_folders; ++i)
        tlr_folder_free(&p->folders[i]);
    free(p->folders);
    free(p->paths);
}

/* --- the command -------------------------------------------------------------------------- */

static tlb_status predict_with(trainer *t, const trainer_run *run)
{
    const tlr_model *m = tlr_the_model;
    const tlr_io *in = m->features.run ? &m->features.in[0] : &m->head.in[0];
    int readers = trainer_threads(t->args);
    predict p = { .t = t, .run = run,
                  .classes = { (const char *const *)run->classes, run->n_classes } };
    p.input_bytes = (size_t)in->elems * (in->type == TLR_F64 ? sizeof(double) : sizeof(float));
    p.loaders = calloc((size_t)readers, sizeof *p.loaders);
    tlb_status status = find_pictures(&p);
    p.notes = calloc(p.n + 1, sizeof *p.notes);
    p.status = calloc(p.n + 1, sizeof *p.status);
    for (int i = 0; p.loaders && i < readers; ++i)
        p.loaders[i] = (tlr_loader){ .preprocess = &m->preprocess, .type = in->type,
                                     .limits = &t->args->limits,
                                     .exif = tlb_flag(t->args, TLB_OPT_EXIF) };
    if (status == TLB_OK && (!p.loaders || !p.notes || !p.status))
        status = no_memory(&p);
    if (status == TLB_OK)
        status = run_all(&p);
    for (int i = 0; p.loaders && i < readers; ++i)
        tlr_loader_free(&p.loaders[i]);
    free(p.loaders);
    free(p.notes);
    free(p.status);
    free_pictures(&p);
    return status;
}

tlb_status trainer_predict(trainer *t)
{
    trainer_run run;
    if (tlr_the_model->preprocess.kind != TLR_PREPROCESS_PICTURE)
        return tlb_error(t->args, TLB_E_USAGE, "E_USAGE", NULL, NULL, "predictor infer",
                         "the network's input is no picture");
    tlb_status status = trainer_run_find(&run, t->args);
    if (status == TLB_OK)
        status = predict_with(t, &run);
    trainer_run_close(&run);
    return status;
}
