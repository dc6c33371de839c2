/* trainer_info.c: `trainer info`: what was compiled, from manifest.json and the model. */
#include "trainer_cli.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char *optimizer_name(tlr_optimizer o)
{
    static const char *const names[] = { [TLR_OPT_NONE] = "none", [TLR_ADAM] = "adam",
                                         [TLR_ADAMW] = "adamw", [TLR_SGD] = "sgd" };
    return names[o];
}

static const tlr_io *input_io(void)
{
    const tlr_model *m = tlr_the_model;
    return m->features.run ? &m->features.in[0] : &m->head.in[0];
}

/* "3x224x224" of dimensions after the batch. */
static char *show_shape(char buf[128], const json_t *shape)
{
    size_t at = 0;
    buf[0] = '\0';
    for (size_t i = 1; i < json_array_size(shape) && at < 100; ++i)
        at += (size_t)snprintf(buf + at, 128 - at, "%s%lld", i > 1 ? "x" : "",
                               (long long)json_integer_value(json_array_get(shape, i)));
    return buf;
}

/* 118.0 M, 4.09 G */
static char *show_work(char buf[32], int64_t n)
{
    if (n < 1000 * 1000)
        return tlb_show_count(buf, n);
    if (n < 1000 * 1000 * 1000)
        snprintf(buf, 32, "%.1f M", (double)n / 1e6);
    else
        snprintf(buf, 32, "%.2f G", (double)n / 1e9);
    return buf;
}

/* --- text --------------------------------------------------------------------------------- */

static void print_input(void)
{
    const tlr_io *in = input_io();
    for (int i = 1; i < in->rank; ++i)
        printf("%s%" PRId64, i > 1 ? "x" : "", in->dim[i]);
}

/* Running statistics that move are parameters too, but no gradient reaches them. */
static bool is_trained(const trainer *t, int tensor)
{
    const json_t *name;
    size_t i;
    const char *own = t->names[tensor] ? trainer_safe(t->names[tensor]) : "";
    json_array_foreach(json_object_get(t->manifest, "trained"), i, name)
        if (json_is_string(name) && strcmp(json_string_value(name), own) == 0)
            return true;
    return false;
}

/* What else of a step was settled when it was compiled. */
static void print_step(const json_t *options)
{
    const char *before = "          ";
    double smoothing = tlb_json_number(options, "label_smoothing", 0);
    if (json_is_true(json_object_get(options, "nesterov"))) {
        printf("%snesterov (--nesterov)", before);
        before = "; ";
    }
    if (smoothing > 0) {
        printf("%slabel smoothing %g (--label-smoothing)", before, smoothing);
        before = "; ";
    }
    if (json_is_true(json_object_get(options, "keep_gradients"))) {
        printf("%sgradients kept (--keep-gradients)", before);
        before = "; ";
    }
    if (before[0] == ';')
        putchar('\n');
}

static void print_batch_norms(const json_t *manifest)
{
    const json_t *n = json_object_get(manifest, "batch_norms");
    const char *policy = tlb_json_text(json_object_get(manifest, "options"), "bn");
    int64_t trained = tlb_json_int(n, "batch_trained", 0);
    int64_t frozen = tlb_json_int(n, "batch_frozen", 0);
    int64_t running = tlb_json_int(n, "running", 0);
    if (!policy || trained + frozen + running == 0)
        return;
    printf("bn        %s (--bn): by the batch's statistics %" PRId64 " trained, %" PRId64
           " frozen;\n          by running ones %" PRId64 ", %" PRId64 " of them folded\n",
           trainer_safe(policy), trained, frozen, running, tlb_json_int(n, "folded", 0));
}

static void print_trained(const trainer *t)
{
    enum { SHOWN = 6 };
    const tlr_model *m = tlr_the_model;
    char count[32];
    size_t n = 0;
    printf("frozen    %s parameters\n",
           tlb_show_count(count, m->params_total - m->params_trained));
    printf("trained   %s parameters", tlb_show_count(count, m->params_trained));
    for (int i = 0; i < m->n_tensors; ++i)
        if (m->tensors[i].kind == TLR_PARAM && is_trained(t, i) && n++ < SHOWN)
            printf("%s%s", n == 1 ? ": " : ", ", trainer_safe(t->names[i]));
    if (n > SHOWN)
        printf(", %zu more", n - SHOWN);
    printf("; %s (--optimizer)\n", optimizer_name(m->optimizer));
    print_step(json_object_get(t->manifest, "options"));
    print_batch_norms(t->manifest);
}

/* What a moment of training holds at once: see tlr_model.h. */
static void print_moment(const char *label, const char *what, int64_t vars, int64_t act,
                         int64_t fix)
{
    char text[4][32];
    const tlr_model *m = tlr_the_model;
    int64_t always = m->consts_bytes + m->scratch_bytes;
    printf("%-10s%s: constants %s", label, what, tlb_show_bytes(text[0], m->consts_bytes));
    if (vars > 0)
        printf(" + trained and optimizer %s", tlb_show_bytes(text[1], vars));
    printf("\n          + activations %s", tlb_show_bytes(text[2], act * m->max_batch));
    printf(" + fixed %s", tlb_show_bytes(text[3], fix));
    printf(" + scratch %s", tlb_show_bytes(text[0], m->scratch_bytes));
    printf(" = %s\n", tlb_show_bytes(text[1], always + vars + act * m->max_batch + fix));
}

static void print_memory(void)
{
    char text[3][32];
    const tlr_model *m = tlr_the_model;
    if (!m->step.run) {
        print_moment("memory", "", m->params_bytes, m->act_infer_bytes, m->fix_infer_bytes);
        return;
    }
    if (m->features.run)
        print_moment("memory", "features", 0, m->act_features_bytes, m->fix_infer_bytes);
    print_moment(m->features.run ? "" : "memory", "steps", m->vars_bytes, m->act_step_bytes,
                 m->fix_step_bytes);
    printf("          batch %d (--batch): peak %s", m->max_batch,
           tlb_show_bytes(text[0], tlr_train_peak_bytes(m, m->max_batch, true)));
    if (m->features.run)
        printf("; %s with --no-cache",
               tlb_show_bytes(text[1], tlr_train_peak_bytes(m, m->max_batch, false)));
    printf("; %s a thread\n", tlb_show_bytes(text[2], m->scratch_bytes));
}

static void print_preprocess(void)
{
    const tlr_preprocess *p = &tlr_the_model->preprocess;
    if (p->kind != TLR_PREPROCESS_PICTURE) {
        puts("pictures  none: arrays in the network's own shape (--data)");
        return;
    }
    if (p->resize_short)
        printf("pictures  shorter side to %d (--resize)", p->resize_short);
    else
        printf("pictures  to %dx%d (--resize)", p->resize_h, p->resize_w);
    printf(", centre %dx%d (--crop); %s\n", p->crop_h, p->crop_w, p->bgr ? "BGR" : "RGB");
    printf("          mean %g, %g, %g (--mean), std %g, %g, %g (--std)\n", (double)p->mean[0],
           (double)p->mean[1], (double)p->mean[2], (double)p->std[0], (double)p->std[1],
           (double)p->std[2]);
}

static void print_classes(const trainer_run *run)
{
    enum { SHOWN = 20 };
    printf("classes   %d", tlr_the_model->n_classes);
    for (int i = 0; i < run->n_classes && i < SHOWN; ++i)
        printf("%s%s", i ? ", " : ": ", trainer_safe(run->classes[i]));
    if (run->n_classes > SHOWN)
        printf(", %d more", run->n_classes - SHOWN);
    putchar('\n');
}

static void add_total(tlb_table *table, int64_t params, int64_t work)
{
    char text[2][32];
    const char *cells[] = { "total", "", "", tlb_show_count(text[0], params),
                            show_work(text[1], work), "" };
    tlb_table_row(table, cells);
}

static void print_layers(const trainer *t)
{
    static const char *const headers[] = { "layer",      "operator",      "output",
                                           "parameters", "multiply-adds", "state" };
    static const bool right[] = { false, false, false, true, true, false };
    tlb_table *table = tlb_table_create(6, headers, right);
    int64_t params = 0, work = 0;
    size_t i;
    const json_t *layer;
    json_array_foreach(json_object_get(t->manifest, "layers"), i, layer) {
        char shape[128], text[2][32];
        const char *name = tlb_json_text(layer, "name"), *op = tlb_json_text(layer, "op");
        int64_t n = tlb_json_int(layer, "params", 0);
        int64_t adds = tlb_json_int(layer, "multiply_adds", 0);
        bool frozen = json_is_true(json_object_get(layer, "frozen"));
        const char *cells[] = { name ? trainer_safe(name) : "", op ? trainer_safe(op) : "",
                                show_shape(shape, json_object_get(layer, "output")),
                                n ? tlb_show_count(text[0], n) : "",
                                adds ? show_work(text[1], adds) : "",
                                n ? (frozen ? "frozen" : "trained") : "" };
        tlb_table_row(table, cells);
        params += n;
        work += adds;
    }
    add_total(table, params, work);
    tlb_table_print(table, stdout, t->args->color_out);
    tlb_table_destroy(table);
}

static void print_info(const trainer *t, const trainer_run *run)
{
    const tlr_model *m = tlr_the_model;
    char count[32];
    printf("network   %s: %s parameters, input ", m->name, tlb_show_count(count, m->params_total));
    print_input();
    printf("\ntarget    %s, %s (--target, --precision)\n", m->target, m->precision);
    print_classes(run);
    if (m->step.run)
        print_trained(t);
    print_memory();
    print_preprocess();
    print_layers(t);
}

/* --- JSON --------------------------------------------------------------------------------- */

static tlb_status print_json(const trainer *t, const trainer_run *run)
{
    const tlr_model *m = tlr_the_model;
    static const char *const keys[] = { "layers", "memory", "preprocess", "trained", "batch_norms",
                                        "options" };
    json_t *classes = json_array();
    for (int i = 0; i < run->n_classes; ++i)
        json_array_append_new(classes, tlb_json_string(run->classes[i]));
    json_t *j = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:i, s:o, s:s, s:I}", "schema",
                          "tlc.info/1", "name", m->name, "tlc", m->version, "target", m->target,
                          "precision", m->precision, "graph_sha256", m->graph_sha256,
                          "parameters", (json_int_t)m->params_total, "parameters_trained",
                          (json_int_t)m->params_trained, "n_classes", m->n_classes, "classes",
                          classes, "optimizer", optimizer_name(m->optimizer), "peak_bytes",
                          (json_int_t)tlr_train_peak_bytes(m, m->max_batch, true));
    for (size_t i = 0; j && i < sizeof keys / sizeof *keys; ++i) {
        json_t *part = json_object_get(t->manifest, keys[i]);
        json_object_set(j, keys[i], part ? part : json_null());
    }
    char *text = j ? tlb_json_dump(j, 0) : NULL;
    if (text)
        puts(text);
    tlb_status status = text ? TLB_OK : TLB_E_LIMIT;
    json_decref(j);
    free(text);
    return status;
}

tlb_status trainer_info(trainer *t)
{
    trainer_run run = { .lock = -1 };
    tlb_status status = TLB_OK;
    if (tlb_given(t->args, TLB_OPT_RUN)) /* class names are the run's */
        status = trainer_run_find(&run, t->args);
    if (status == TLB_OK && t->args->json)
        status = print_json(t, &run);
    else if (status == TLB_OK)
        print_info(t, &run);
    trainer_run_close(&run);
    return status;
}
