/* trainer_eval.c: accuracy, loss, confusion; `trainer eval`. */
#include "trainer_cli.h"

#include "tlb_escape.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_CLASSES = 10 }; /* of a table; more: the worst ones */

tlb_status trainer_result_init(trainer_result *r, const tlb_args *a, const trainer_data *d, int k)
{
    *r = (trainer_result){ .n_classes = k, .data = d };
    r->confusion = calloc((size_t)k * (size_t)k + 1, sizeof *r->confusion);
    if (r->confusion)
        return TLB_OK;
    return tlb_error(a, TLB_E_LIMIT, "E_MEMORY", NULL, NULL, NULL, "out of memory");
}

void trainer_result_free(trainer_result *r)
{
    free(r->confusion);
    r->confusion = NULL;
}

/* One line of predictions.jsonl. */
static void print_line(const trainer_result *r, int64_t sample, int predicted, double loss,
                       const float *p)
{
    const trainer_data *d = r->data;
    const char *label = d->classes[d->labels[sample]], *class = d->classes[predicted];
    json_t *j = json_pack("{s:s, s:o, s:o, s:o, s:o, s:o}", "schema", "tlc.prediction/1", "path",
                          d->paths ? tlb_json_string(d->paths[sample]) : json_null(), "label",
                          tlb_json_string(label), "class", tlb_json_string(class), "probability",
                          tlb_json_real(p[predicted]), "loss", tlb_json_real(loss));
    char *text = j ? tlb_json_dump(j, 0) : NULL;
    if (text)
        fprintf(r->predictions, "%s\n", text);
    json_decref(j);
    free(text);
}

static void count_one(void *self, int64_t sample, int predicted, double loss,
                      const float *probabilities)
{
    trainer_result *r = self;
    ++r->confusion[r->data->labels[sample] * r->n_classes + predicted];
    if (r->predictions)
        print_line(r, sample, predicted, loss, probabilities);
}

tlb_status trainer_evaluate(tlr_trainer *t, const trainer_data *d, trainer_result *r)
{
    const tlr_samples *s = &d->samples;
    tlb_status status =
        tlr_trainer_evaluate(t, s->n_train, s->n_valid, count_one, r, &r->score);
    tlr_wilson(r->score.correct, r->score.n, &r->low, &r->high);
    return status;
}

static json_t *confusion_json(const trainer_result *r)
{
    json_t *rows = json_array();
    for (int i = 0; i < r->n_classes; ++i) {
        json_t *row = json_array();
        for (int k = 0; k < r->n_classes; ++k)
            json_array_append_new(row, json_integer(r->confusion[i * r->n_classes + k]));
        json_array_append_new(rows, row);
    }
    return rows;
}

json_t *trainer_result_json(const trainer_result *r)
{
    return json_pack("{s:I, s:I, s:o, s:o, s:o, s:o, s:o}", "n", (json_int_t)r->score.n,
                     "correct", (json_int_t)r->score.correct, "accuracy",
                     tlb_json_real(r->score.accuracy), "accuracy_low", tlb_json_real(r->low),
                     "accuracy_high", tlb_json_real(r->high), "loss",
                     tlb_json_real(r->score.loss), "confusion", confusion_json(r));
}

/* --- the table ---------------------------------------------------------------------------- */

static int64_t row_sum(const trainer_result *r, int i)
{
    int64_t sum = 0;
    for (int k = 0; k < r->n_classes; ++k)
        sum += r->confusion[i * r->n_classes + k];
    return sum;
}

static int64_t column_sum(const trainer_result *r, int k)
{
    int64_t sum = 0;
    for (int i = 0; i < r->n_classes; ++i)
        sum += r->confusion[i * r->n_classes + k];
    return sum;
}

static double ratio(int64_t a, int64_t b)
{
    return b > 0 ? (double)a / (double)b : 0;
}

static double recall(const trainer_result *r, int i)
{
    return ratio(r->confusion[i * r->n_classes + i], row_sum(r, i));
}

/* recall, precision, count of class i into cells[3]. */
static void class_cells(const trainer_result *r, int i, char text[3][32])
{
    int64_t right = r->confusion[i * r->n_classes + i];
    tlb_show_percent(text[0], recall(r, i));
    tlb_show_percent(text[1], ratio(right, column_sum(r, i)));
    tlb_show_count(text[2], row_sum(r, i));
}

static void print_confusion(const trainer_result *r, bool color)
{
    const char *cells[MOST_CLASSES + 4];
    char text[MOST_CLASSES + 3][32], name[MOST_CLASSES][TLB_ESCAPED_NAME_BYTES];
    bool right[MOST_CLASSES + 4] = { false };
    int k = r->n_classes;
    static const char *const last[] = { "recall", "precision", "count" };
    cells[0] = "true \\ predicted";
    for (int i = 0; i < k; ++i) {
        tlb_escape_name(name[i], sizeof name[i], r->data->classes[i],
                        strlen(r->data->classes[i]));
        cells[i + 1] = name[i];
    }
    for (int i = 0; i < 3; ++i)
        cells[k + 1 + i] = last[i];
    for (int i = 1; i < k + 4; ++i)
        right[i] = true;
    tlb_table *t = tlb_table_create(k + 4, cells, right);
    for (int i = 0; i < k; ++i) {
        cells[0] = name[i];
        for (int j = 0; j < k; ++j)
            cells[j + 1] = tlb_show_count(text[j], r->confusion[i * k + j]);
        class_cells(r, i, &text[k]);
        for (int j = 0; j < 3; ++j)
            cells[k + 1 + j] = text[k + j];
        tlb_table_row(t, cells);
    }
    tlb_table_print(t, stdout, color);
    tlb_table_destroy(t);
}

/* The class of lowest recall not yet shown; ties to the lowest. */
static int next_worst(const trainer_result *r, const bool *shown)
{
    int worst = -1;
    for (int i = 0; i < r->n_classes; ++i)
        if (!shown[i] && (worst < 0 || recall(r, i) < recall(r, worst)))
            worst = i;
    return worst;
}

static void print_worst(const trainer_result *r, bool color)
{
    static const char *const headers[] = { "worst classes", "recall", "precision", "count" };
    static const bool right[] = { false, true, true, true };
    bool *shown = calloc((size_t)r->n_classes, sizeof *shown);
    tlb_table *t = tlb_table_create(4, headers, right);
    for (int n = 0; shown && n < MOST_CLASSES; ++n) {
        char text[3][32];
        int i = next_worst(r, shown);
        shown[i] = true;
        class_cells(r, i, text);
        const char *cells[] = { trainer_safe(r->data->classes[i]), text[0], text[1], text[2] };
        tlb_table_row(t, cells);
    }
    tlb_table_print(t, stdout, color);
    tlb_table_destroy(t);
    free(shown);
}

typedef struct confused {
    int64_t n;
    int label, predicted;
} confused;

/* The commonest first; ties in the matrix's order. */
static void insert_confused(confused *top, confused c)
{
    if (c.n <= top[MOST_CLASSES - 1].n)
        return;
    int at = MOST_CLASSES - 1;
    for (; at > 0 && top[at - 1].n < c.n; --at)
        top[at] = top[at - 1];
    top[at] = c;
}

static void print_commonest(const trainer_result *r, bool color)
{
    static const char *const headers[] = { "true", "predicted", "count" };
    static const bool right[] = { false, false, true };
    confused top[MOST_CLASSES] = { { 0 } };
    for (int i = 0; i < r->n_classes; ++i)
        for (int k = 0; k < r->n_classes; ++k)
            if (i != k)
                insert_confused(top, (confused){ r->confusion[i * r->n_classes + k], i, k });
    if (top[0].n == 0)
        return;
    tlb_table *t = tlb_table_create(3, headers, right);
    for (int i = 0; i < MOST_CLASSES && top[i].n > 0; ++i) {
        char count[32];
        const char *cells[] = { trainer_safe(r->data->classes[top[i].label]),
                                trainer_safe(r->data->classes[top[i].predicted]),
                                tlb_show_count(count, top[i].n) };
        tlb_table_row(t, cells);
    }
    tlb_table_print(t, stdout, color);
    tlb_table_destroy(t);
}

static void print_result(const trainer_result *r, const tlb_args *a)
{
    char percent[32], count[32];
    printf("accuracy  %s of %s (95 %%: %.1f to %.1f), loss %.4f\n",
           tlb_show_percent(percent, r->score.accuracy), tlb_show_count(count, r->score.n),
           100 * r->low, 100 * r->high, r->score.loss);
    if (r->n_classes <= MOST_CLASSES) {
        print_confusion(r, a->color_out);
        return;
    }
    print_worst(r, a->color_out);
    print_commonest(r, a->color_out);
}

static tlb_status print_json(const trainer_result *r)
{
    json_t *j = trainer_result_json(r);
    json_object_set_new(j, "schema", json_string("tlc.eval/1"));
    char *text = j ? tlb_json_dump(j, 0) : NULL;
    tlb_status status = text ? TLB_OK : TLB_E_LIMIT;
    if (text)
        puts(text);
    json_decref(j);
    free(text);
    return status;
}

/* --- the command -------------------------------------------------------------------------- */

static tlb_status evaluate_run(trainer *t, const trainer_run *run, trainer_data *d)
{
    tlr_train_config config;
    trainer_progress progress;
    tlr_trainer *tr;
    tlr_train_config_init(&config, tlr_the_model);
    config.train = false;
    config.cache = false;
    config.threads = config.readers = trainer_threads(t->args);
    config.names = t->names;
    config.limits = t->args->limits;
    trainer_progress_init(&progress, t->args, 1);
    tlr_train_hooks hooks = { .self = &progress, .note = trainer_on_note };
    tlb_status status =
        tlr_trainer_create(tlr_the_model, t->weights.bytes, &d->samples, &config, &hooks, &tr);
    if (status != TLB_OK)
        return tlb_error(t->args, status, tlr_cli_id(status), NULL, NULL, NULL, "out of memory");
    trainer_result r;
    status = tlr_checkpoint_load(tr, run->path, TLR_BEST);
    if (status != TLB_OK) {
        trainer_trouble(t, run->path, status, tlr_trainer_trouble(tr));
    } else if ((status = trainer_result_init(&r, t->args, d, d->n_classes)) == TLB_OK) {
        status = trainer_evaluate(tr, d, &r);
        trainer_data_warnings(d);
        if (status != TLB_OK)
            trainer_data_failed(d, tlr_trainer_trouble(tr)->sample, status);
        else if (t->args->json)
            status = print_json(&r);
        else
            print_result(&r, t->args);
        trainer_result_free(&r);
    }
    tlr_trainer_destroy(tr);
    return status;
}

tlb_status trainer_eval(trainer *t)
{
    trainer_run run;
    trainer_data d = { 0 };
    tlb_args *a = t->args;
    tlb_status status = trainer_run_find(&run, a);
    const char *photos = a->n_inputs > 0 ? a->inputs[0] : NULL;
    if (status == TLB_OK)
        status = trainer_data_open(&d, a, photos, DATA_EVAL, trainer_threads(a), run.classes,
                                   run.n_classes);
    if (status == TLB_OK)
        status = evaluate_run(t, &run, &d);
    trainer_data_close(&d);
    trainer_run_close(&run);
    return status;
}
