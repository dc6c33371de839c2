/* predictor_classify.c: pictures to classes.  Pictures are decoded one by one into the network's
 * input, so that one decoded picture is held at a time; a full batch runs at once. */
#include "predictor.h"

#include "tlr_cli.h"

#include <stdlib.h>
#include <string.h>

typedef struct batch {
    const tlb_args *args;
    tlr_session *session;
    tlr_class_list classes;
    tlr_form form;
    size_t input_bytes; /* of one picture */
    char *input;
    const char **paths;
    float *p;
    int n;
} batch;

/* The weights' class names; none: stays NULL. */
static tlb_status read_classes(batch *b)
{
    int n = tlr_the_model->n_classes;
    b->classes.n = n;
    if (!tlr_label(b->session, 0))
        return TLB_OK;
    const char **names = malloc((size_t)n * sizeof *names);
    if (!names)
        return predictor_no_memory(b->args);
    for (int i = 0; i < n; ++i)
        names[i] = i == 0 ? tlr_label(b->session, 0) : names[i - 1] + strlen(names[i - 1]) + 1;
    b->classes.names = names;
    return TLB_OK;
}

static tlb_status run_batch(batch *b)
{
    if (b->n == 0)
        return TLB_OK;
    const tlr_model *m = tlr_the_model;
    tlr_session_features(b->session, b->n, b->input);
    tlr_session_head(b->session, b->n);
    tlb_status st = tlr_cli_device_check(b->args);
    if (st != TLB_OK)
        return st;
    tlr_softmax(b->n, m->n_classes, m->head.run ? m->head.out[0].type : m->features.out[0].type,
                tlr_session_output_at(b->session), b->p);
    for (int i = 0; i < b->n; ++i)
        tlr_print_prediction(stdout, b->form, &b->classes, b->paths[i],
                             b->p + (size_t)i * (size_t)m->n_classes);
    b->n = 0;
    return TLB_OK;
}

/* A bad picture is said and passed over; the first failure's code is the program's. */
static tlb_status classify_all(batch *b, tlr_loader *loader, int capacity)
{
    tlb_status first = TLB_OK;
    tlr_print_prediction_head(stdout, b->form, &b->classes);
    for (int i = 0; i < b->args->n_inputs; ++i) {
        const char *path = b->args->inputs[i];
        tlr_image_note note;
        tlb_status st = tlr_load_input(loader, path, b->input + (size_t)b->n * b->input_bytes,
                                       &note);
        tlr_cli_picture_note(b->args, path, st, &note);
        if (st == TLB_OK)
            b->paths[b->n++] = path;
        else
            first = first == TLB_OK ? st : first;
        st = b->n == capacity ? run_batch(b) : TLB_OK;
        if (st != TLB_OK)
            return st;
    }
    tlb_status last = run_batch(b);
    return first == TLB_OK ? last : first;
}

static tlb_status classify_open(batch *b, int capacity, const tlr_info *info)
{
    const tlb_args *a = b->args;
    tlr_loader loader = { .preprocess = &tlr_the_model->preprocess,
                          .type = info->element_bytes == 8 ? TLR_F64 : TLR_F32,
                          .limits = &a->limits, .exif = tlb_flag(a, TLB_OPT_EXIF) };
    b->input_bytes = (size_t)info->input_elems * (size_t)info->element_bytes;
    b->input = aligned_alloc(64, (b->input_bytes * (size_t)capacity + 63) / 64 * 64);
    b->paths = malloc((size_t)capacity * sizeof *b->paths);
    b->p = malloc((size_t)capacity * (size_t)info->n_classes * sizeof *b->p);
    tlb_status st = b->input && b->paths && b->p ? read_classes(b) : predictor_no_memory(a);
    if (st == TLB_OK)
        st = classify_all(b, &loader, capacity);
    tlr_loader_free(&loader);
    free(b->input);
    free(b->paths);
    free(b->p);
    free((void *)b->classes.names);
    return st;
}

tlb_status predictor_classify(const tlb_args *a)
{
    tlr_info info;
    tlr_model_info(tlr_the_model, &info);
    if (!info.is_picture)
        return tlb_error(a, TLB_E_UNSUPPORTED, "E_PREPROCESS", NULL, NULL,
                         "compile with --preprocess", "the network takes no pictures");
    int capacity = a->n_inputs < info.max_batch ? a->n_inputs : info.max_batch;
    batch b = { .args = a, .form = tlr_cli_form(a) };
    tlb_status st = predictor_open(a, capacity, 1, &b.session);
    if (st != TLB_OK)
        return st;
    st = classify_open(&b, capacity, &info);
    tlr_close(b.session);
    return st;
}
