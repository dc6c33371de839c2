/* trainer_train.c: `trainer train`: samples, run folder, training, report. */
#define _GNU_SOURCE
#include "trainer_cli.h"

#include "report.h"
#include "tlb_escape.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct training {
    trainer *t;
    trainer_run run;
    trainer_data data;
    trainer_progress progress;
    tlr_trainer *tr;
    char *cache_dir;
    double *class_weights; /* NULL: all 1 */
    double began;
} training;

static double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* --- making ------------------------------------------------------------------------------- */

/* RUN/../.tlc-cache, so that the runs side by side share it. */
static char *cache_folder(const training *g)
{
    const char *given = tlb_text(g->t->args, TLB_OPT_CACHE_DIR), *run = g->run.path;
    const char *slash = strrchr(run, '/');
    char *path = NULL;
    int length = slash ? (int)(slash - run) + 1 : 0;
    if (given)
        return strdup(given);
    return asprintf(&path, "%.*s.tlc-cache", length, run) < 0 ? NULL : path;
}

static void make_config(training *g, tlr_train_config *c)
{
    const tlb_args *a = g->t->args;
    tlr_train_config_init(c, tlr_the_model);
    c->seed = (uint64_t)tlb_int(a, TLB_OPT_SEED);
    c->epochs = tlb_int(a, TLB_OPT_EPOCHS);
    c->rates.lr = tlb_num(a, TLB_OPT_LR);
    c->rates.lr_backbone = tlb_num(a, TLB_OPT_LR_BACKBONE);
    c->rates.weight_decay = tlb_num(a, TLB_OPT_WEIGHT_DECAY);
    c->rates.momentum = tlb_num(a, TLB_OPT_MOMENTUM);
    tlr_schedule_find(tlb_text(a, TLB_OPT_SCHEDULE), &c->schedule.kind); /* checked before */
    c->schedule.warmup_epochs = tlb_int(a, TLB_OPT_WARMUP);
    c->schedule.step_epochs = tlb_int(a, TLB_OPT_STEP_EPOCHS);
    c->patience = tlb_int(a, TLB_OPT_PATIENCE);
    c->head_epochs = tlb_int(a, TLB_OPT_HEAD_EPOCHS);
    c->accumulate = tlb_int(a, TLB_OPT_ACCUMULATE);
    c->clip_norm = tlb_num(a, TLB_OPT_CLIP_NORM);
    c->class_weights = g->class_weights;
    c->threads = c->readers = trainer_threads(a);
    c->cache = tlb_flag(a, TLB_OPT_CACHE);
    c->cache_dir = g->cache_dir;
    c->names = g->t->names;
    c->limits = a->limits;
}

static tlb_status make_trainer(training *g)
{
    tlr_train_config c;
    const tlb_args *a = g->t->args;
    g->cache_dir = cache_folder(g);
    make_config(g, &c);
    trainer_progress_init(&g->progress, a, c.epochs);
    tlr_train_hooks hooks = { .self = &g->progress, .stop = trainer_stop_wanted,
                              .features = trainer_on_features, .step = trainer_on_step,
                              .epoch = trainer_on_epoch, .note = trainer_on_note };
    tlb_status status = tlr_trainer_create(tlr_the_model, g->t->weights.bytes, &g->data.samples,
                                           &c, &hooks, &g->tr);
    if (status == TLB_OK)
        return status;
    char need[32];
    return tlb_error(a, status, tlr_cli_id(status), NULL, NULL, NULL,
                     "out of memory or threads: %s and %d threads",
                     tlb_show_bytes(need, tlr_train_peak_bytes(tlr_the_model, c.batch, c.cache)),
                     c.threads);
}

/* --- reports ------------------------------------------------------------------------------ */

static bool reports(const training *g)
{
    return !g->t->args->quiet && !g->t->args->json;
}

/* Which device computes; NULL: this processor, or a device that does not open, of which the
 * training itself will speak. */
static const char *device_name(void)
{
    const tlr_model *m = tlr_the_model;
    return m->device && m->device->open(m->program) == 0 ? m->device->about(m->program) : NULL;
}

static void print_device(void)
{
    if (device_name())
        printf("device    %s\n", trainer_safe(device_name()));
}

static void print_photos(const training *g)
{
    enum { SHOWN = 10 };
    char count[2][32];
    const trainer_data *d = &g->data;
    printf("%s    %s train, %s valid; ", d->paths ? "photos" : "arrays",
           tlb_show_count(count[0], d->samples.n_train),
           tlb_show_count(count[1], d->samples.n_valid));
    if (d->arrays || d->n_classes > SHOWN) {
        printf("%d classes\n", d->n_classes);
        return;
    }
    for (int i = 0; i < d->n_classes; ++i)
        printf("%s%s", i ? ", " : "", trainer_safe(d->classes[i]));
    putchar('\n');
}

static void print_end(const training *g, const trainer_result *r, bool drawn)
{
    const tlr_progress *p = tlr_trainer_progress(g->tr);
    const tlr_costs *cost = tlr_trainer_costs(g->tr);
    char text[4][32];
    if (r->score.n > 0)
        printf("best      epoch %" PRId64 ": %s of %s (95 %%: %.1f to %.1f)\n", p->best_epoch,
               tlb_show_percent(text[0], r->score.accuracy), tlb_show_count(text[1], r->score.n),
               100 * r->low, 100 * r->high);
    if (tlr_trainer_out_of_patience(g->tr))
        printf("stopped   after epoch %" PRId64 " of %lld: no better one since the best "
               "(--patience)\n", p->epoch, (long long)tlb_int(g->t->args, TLB_OPT_EPOCHS));
    int64_t peak = tlr_trainer_peak_bytes(g->tr);
    printf("time      %s: features %s, steps %s; peak %s\n",
           trainer_clock(text[0], seconds_now() - g->began),
           trainer_clock(text[1], cost->features_s),
           trainer_clock(text[2], cost->train_s + cost->valid_s), tlb_show_bytes(text[3], peak));
    printf("files     %s: %sbest.json, metrics.jsonl, predictions.jsonl\n",
           trainer_safe(g->run.path), drawn ? "report.html, " : "");
    printf("next      %s export --run %s -o build/app\n", trainer_shell(g->t->argv[0]),
           trainer_shell(g->run.path));
}

/* The command that goes on after an interruption. */
static void print_interrupted(const training *g)
{
    const tlb_args *a = g->t->args;
    const char *photos = trainer_run_photos(&g->run, a), *data = tlb_text(a, TLB_OPT_DATA);
    trainer_progress_clear((trainer_progress *)&g->progress);
    if (a->json_diagnostics) {
        tlb_warning(a, "W_INTERRUPTED", g->run.path, NULL, "interrupted: step %lld saved",
                    (long long)tlr_trainer_progress(g->tr)->step);
        return;
    }
    fprintf(stderr, "trainer: interrupted: step %lld saved; trainer train %s%s -o %s --resume\n",
            (long long)tlr_trainer_progress(g->tr)->step, photos ? "" : "--data ",
            trainer_shell(photos ? photos : data ? data : ""), trainer_shell(g->run.path));
}

/* --- run.json's results ------------------------------------------------------------------- */

static json_t *cost_json(const training *g)
{
    const tlr_costs *c = tlr_trainer_costs(g->tr);
    int64_t peak = tlr_trainer_peak_bytes(g->tr);
    return json_pack("{s:f, s:f, s:f, s:f, s:I, s:i, s:o}", "wall_s", seconds_now() - g->began,
                     "features_s", c->features_s, "train_s", c->train_s, "valid_s", c->valid_s,
                     "peak_bytes", (json_int_t)peak, "threads", trainer_threads(g->t->args),
                     "device", tlb_json_string(device_name() ? device_name() : "cpu"));
}

/* SHA-256 of the best weights, as best.json states it. */
static json_t *weights_hash(const training *g)
{
    json_t *best = NULL, *hash = NULL;
    const char *what;
    char *path = NULL;
    if (asprintf(&path, "%s/best.json", g->run.path) < 0)
        return json_null();
    if (tlb_json_load_file(path, &g->t->args->limits, &best, &what) == TLB_OK)
        hash = json_incref(json_object_get(best, "sha256"));
    json_decref(best);
    free(path);
    return hash ? hash : json_null();
}

static void set_result(training *g, const trainer_result *r)
{
    const tlr_progress *p = tlr_trainer_progress(g->tr);
    json_t *j = trainer_result_json(r);
    if (r->score.n == 0) { /* no validation: nothing was measured */
        static const char *const none[] = { "accuracy", "accuracy_low", "accuracy_high", "loss" };
        for (size_t i = 0; i < sizeof none / sizeof *none; ++i)
            json_object_set_new(j, none[i], json_null());
    }
    json_object_set_new(j, "best_epoch", json_integer(p->best_epoch));
    json_object_set_new(j, "best_step", json_integer(p->best_step));
    json_object_set_new(j, "weights_sha256", weights_hash(g));
    json_object_set_new(g->run.json, "result", j);
}

static tlb_status finish_json(training *g, tlb_status status)
{
    const char *state = status == TLB_OK              ? "done"
                        : status == TLB_E_INTERRUPTED ? "interrupted"
                                                      : "failed";
    json_object_set_new(g->run.json, "state", json_string(state));
    json_object_set_new(g->run.json, "exit_code", json_integer(status));
    json_object_set_new(g->run.json, "cost", cost_json(g));
    return trainer_run_save(&g->run, g->t->args, status != TLB_OK && status != TLB_E_INTERRUPTED);
}

static void print_run_json(const training *g)
{
    char *text = tlb_json_dump(g->run.json, 0);
    if (text)
        puts(text);
    free(text);
}

/* --- the best weights once more, for confusion and predictions ---------------------------- */

static tlb_status write_predictions(training *g, trainer_result *r)
{
    char *text = NULL, *path = NULL;
    size_t n = 0;
    int error = 0;
    r->predictions = open_memstream(&text, &n);
    if (!r->predictions || asprintf(&path, "%s/predictions.jsonl", g->run.path) < 0)
        return tlb_error(g->t->args, TLB_E_LIMIT, "E_MEMORY", NULL, NULL, NULL, "out of memory");
    tlb_status status = trainer_evaluate(g->tr, &g->data, r);
    fclose(r->predictions);
    r->predictions = NULL;
    if (status == TLB_OK && tlb_write_file(path, text, n, &error) != TLB_OK)
        status = tlb_error(g->t->args, TLB_E_OUTPUT, "E_OUTPUT", path, NULL, NULL,
                           "cannot write: %s", strerror(error));
    free(text);
    free(path);
    return status;
}

static tlb_status finish(training *g)
{
    trainer_result r;
    tlb_status status = tlr_checkpoint_load(g->tr, g->run.path, TLR_BEST);
    if (status != TLB_OK)
        return trainer_trouble(g->t, g->run.path, status, tlr_trainer_trouble(g->tr));
    status = trainer_result_init(&r, g->t->args, &g->data, g->data.n_classes);
    if (status != TLB_OK)
        return status;
    status = write_predictions(g, &r);
    if (status == TLB_OK) {
        set_result(g, &r);
        status = finish_json(g, TLB_OK);
    }
    bool drawn = status == TLB_OK && tlr_report_write(g->t->args, g->run.path) == TLB_OK;
    if (status == TLB_OK && g->t->args->json)
        print_run_json(g);
    if (status == TLB_OK && reports(g))
        print_end(g, &r, drawn);
    trainer_result_free(&r);
    return status;
}

/* --- the run ------------------------------------------------------------------------------ */

/* Say what ended it, and note it in run.json. */
static tlb_status ended(training *g, tlb_status status)
{
    const tlr_trouble *trouble = tlr_trainer_trouble(g->tr);
    trainer_progress_clear(&g->progress);
    if (status == TLB_E_INTERRUPTED)
        print_interrupted(g);
    else if (trouble->sample >= 0)
        trainer_data_failed(&g->data, trouble->sample, status);
    else
        trainer_trouble(g->t, g->run.path, status, trouble);
    /* A fresh run that made no step leaves nothing behind, so that the command can be given
     * again; an interrupted one is kept, since --resume was promised, and so is one whose
     * numbers went wrong. */
    bool wanted = status == TLB_E_INTERRUPTED || status == TLB_E_NUMERIC;
    if (!wanted && tlr_trainer_progress(g->tr)->step == 0 &&
        !tlb_flag(g->t->args, TLB_OPT_RESUME)) {
        trainer_run_undo(&g->run);
        return status;
    }
    if (finish_json(g, status) == TLB_OK)
        tlr_report_write(g->t->args, g->run.path);
    return status;
}

/* Where the trainer stands: the initial values, or the run's last checkpoint, whose tensors are
 * loaded when features are done. */
static tlb_status take_up(training *g, bool resumed)
{
    tlr_checkpoint_sweep(g->run.path);
    tlb_status status = resumed ? tlr_checkpoint_look(g->tr, g->run.path)
                                : tlr_checkpoint_begin(g->tr, g->run.path);
    if (status != TLB_OK)
        return trainer_trouble(g->t, g->run.path, status, tlr_trainer_trouble(g->tr));
    return trainer_run_save(&g->run, g->t->args, false);
}

/* --from: another run's best weights as the initial values. */
static tlb_status start_from(training *g)
{
    const char *from = tlb_text(g->t->args, TLB_OPT_FROM);
    if (!from)
        return TLB_OK;
    tlb_status status = tlr_checkpoint_load(g->tr, from, TLR_BEST);
    if (status == TLB_OK)
        return status;
    trainer_trouble(g->t, from, status, tlr_trainer_trouble(g->tr));
    if (!tlb_flag(g->t->args, TLB_OPT_RESUME))
        trainer_run_undo(&g->run);
    return status;
}

static tlb_status train(training *g)
{
    bool resumed = tlr_trainer_progress(g->tr)->step > 0;
    tlb_status status = tlr_trainer_prepare(g->tr);
    trainer_progress_clear(&g->progress);
    trainer_data_warnings(&g->data);
    if (status == TLB_OK && !resumed) {
        status = start_from(g);
        if (status != TLB_OK)
            return status;
    }
    if (status == TLB_OK && resumed)
        status = tlr_checkpoint_load(g->tr, g->run.path, TLR_LAST);
    if (status == TLB_OK)
        status = tlr_trainer_run(g->tr, g->run.path);
    trainer_progress_clear(&g->progress);
    trainer_data_warnings(&g->data); /* without a cache pictures are decoded only now */
    if (status != TLB_OK)
        return ended(g, status);
    status = finish(g);
    return status == TLB_E_INTERRUPTED ? ended(g, status) : status;
}

static tlb_status check_model(const trainer *t)
{
    if (tlr_the_model->step.run)
        return TLB_OK;
    return tlb_error(t->args, TLB_E_UNSUPPORTED, "E_MODEL", NULL, NULL,
                     "compile with --replace-head", "nothing to train in this network");
}

/* Defaults that are no number of the table: AdamW's decay, the backbone's rate. */
static void default_rates(tlb_args *a)
{
    tlb_value *v = &a->value[TLB_OPT_WEIGHT_DECAY];
    if (tlr_the_model->optimizer == TLR_ADAMW && !v->given)
        v->number = 0.01;
    v = &a->value[TLB_OPT_LR_BACKBONE];
    if (!v->given)
        v->number = NAN; /* as --lr, whatever that will be */
}

static tlb_status prepare(training *g)
{
    trainer *t = g->t;
    tlb_args *a = t->args;
    default_rates(a);
    tlb_status status = trainer_run_settle(&g->run, t);
    if (status == TLB_OK)
        status = trainer_check_settings(a); /* those of the run, if it is resumed */
    if (status != TLB_OK)
        return status;
    bool resumed = g->run.json != NULL;
    trainer_catch_signals();
    status = trainer_data_open(&g->data, a, trainer_run_photos(&g->run, a), DATA_TRAIN,
                               trainer_threads(a), NULL, 0);
    if (status == TLB_OK && g->data.paths)
        status = trainer_photos_augment(&g->data);
    else if (status == TLB_OK && tlb_text(a, TLB_OPT_AUGMENT))
        status = tlb_error(a, TLB_E_USAGE, "E_USAGE", NULL, NULL, NULL,
                           "--augment changes pictures, and --data gives arrays");
    if (status == TLB_OK)
        status = trainer_class_weights(a, &g->data, &g->class_weights);
    if (status == TLB_OK)
        status = trainer_run_begin(&g->run, t, &g->data);
    if (status == TLB_OK)
        status = make_trainer(g);
    return status == TLB_OK ? take_up(g, resumed) : status;
}

tlb_status trainer_train(trainer *t)
{
    training g = { .t = t, .began = seconds_now(), .run = { .lock = -1 } };
    tlb_status status = check_model(t);
    if (status == TLB_OK)
        status = prepare(&g);
    if (status == TLB_OK) {
        if (reports(&g)) {
            print_device();
            print_photos(&g);
        }
        fflush(stdout);
        status = train(&g);
    }
    tlr_trainer_destroy(g.tr);
    trainer_data_close(&g.data);
    trainer_run_close(&g.run);
    free(g.cache_dir);
    free(g.class_weights);
    return status;
}
