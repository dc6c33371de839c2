/* trainer_predict.c: `trainer predict`: class and probability of pictures.
 *
 * Pictures are samples without labels.  One that cannot be read is said in its turn and the
 * rest go on; the exit code is the first failure's.
 */
#include "trainer_cli.h"

#include <stdlib.h>
#include <string.h>

typedef struct predict {
    const trainer *t;
    const trainer_run *run;
    tlr_loader *loaders;
    tlr_image_note *notes;
    tlb_status *status, first;
    tlr_class_list classes;
    size_t input_bytes;
} predict;

/* A bad picture becomes zeros, so that the others keep their turns; nobody sees its result. */
static tlb_status read_picture(void *self, int64_t sample, int reader, void *input)
{
    predict *p = self;
    const char *path = p->t->args->inputs[sample];
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
    const char *path = a->inputs[sample];
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
    tlr_samples samples = { .self = p, .n_valid = t->args->n_inputs, .read = read_picture };
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

static tlb_status predict_with(trainer *t, const trainer_run *run)
{
    const tlr_model *m = tlr_the_model;
    const tlr_io *in = m->features.run ? &m->features.in[0] : &m->head.in[0];
    int readers = trainer_threads(t->args);
    size_t n = (size_t)t->args->n_inputs;
    predict p = { .t = t, .run = run,
                  .classes = { (const char *const *)run->classes, run->n_classes } };
    p.input_bytes = (size_t)in->elems * (in->type == TLR_F64 ? sizeof(double) : sizeof(float));
    p.loaders = calloc((size_t)readers, sizeof *p.loaders);
    p.notes = calloc(n, sizeof *p.notes);
    p.status = calloc(n, sizeof *p.status);
    tlb_status status = TLB_E_LIMIT;
    for (int i = 0; p.loaders && i < readers; ++i)
        p.loaders[i] = (tlr_loader){ .preprocess = &m->preprocess, .type = in->type,
                                     .limits = &t->args->limits,
                                     .exif = tlb_flag(t->args, TLB_OPT_EXIF) };
    if (p.loaders && p.notes && p.status)
        status = run_all(&p);
    else
        tlb_error(t->args, status, "E_MEMORY", NULL, NULL, NULL, "out of memory");
    for (int i = 0; p.loaders && i < readers; ++i)
        tlr_loader_free(&p.loaders[i]);
    free(p.loaders);
    free(p.notes);
    free(p.status);
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
