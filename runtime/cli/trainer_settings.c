/* trainer_settings.c: options of `train` that must fit the model or the pictures. */
#include "trainer_cli.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static tlb_status check_schedule(const tlb_args *a)
{
    tlr_schedule_kind kind;
    const char *name = tlb_text(a, TLB_OPT_SCHEDULE);
    if (!tlr_schedule_find(name, &kind))
        return tlb_error(a, TLB_E_USAGE, "E_USAGE", NULL, NULL, "constant, step, cosine",
                         "--schedule \"%s\" is unknown", trainer_safe(name));
    if (tlb_int(a, TLB_OPT_STEP_EPOCHS) > 0 && kind != TLR_STEP)
        return tlb_error(a, TLB_E_USAGE, "E_USAGE", NULL, NULL, NULL,
                         "--step-epochs is for --schedule step");
    if (tlb_int(a, TLB_OPT_WARMUP) >= tlb_int(a, TLB_OPT_EPOCHS))
        return tlb_error(a, TLB_E_USAGE, "E_USAGE", NULL, NULL, NULL,
                         "--warmup is not shorter than the run of %lld epochs (--epochs)",
                         (long long)tlb_int(a, TLB_OPT_EPOCHS));
    return TLB_OK;
}

/* Both groups are there where a new head was put on a network of which more is trained. */
static tlb_status check_groups(const tlb_args *a)
{
    bool stages = tlb_int(a, TLB_OPT_HEAD_EPOCHS) > 0;
    bool rate = !isnan(tlb_num(a, TLB_OPT_LR_BACKBONE));
    if ((stages || rate) && !tlr_has_backbone(tlr_the_model))
        return tlb_error(a, TLB_E_UNSUPPORTED, "E_MODEL", NULL, NULL,
                         "compile with --replace-head and, say, --freeze '*' --unfreeze 'layer4*'",
                         "%s: nothing beside a new head is trained in this network",
                         stages ? "--head-epochs" : "--lr-backbone");
    if (stages && tlb_int(a, TLB_OPT_HEAD_EPOCHS) >= tlb_int(a, TLB_OPT_EPOCHS))
        return tlb_error(a, TLB_E_USAGE, "E_USAGE", NULL, NULL, NULL,
                         "--head-epochs is not shorter than the run of %lld epochs (--epochs)",
                         (long long)tlb_int(a, TLB_OPT_EPOCHS));
    return TLB_OK;
}

static tlb_status check_gradients(const tlb_args *a)
{
    bool clips = tlb_num(a, TLB_OPT_CLIP_NORM) > 0, adds = tlb_int(a, TLB_OPT_ACCUMULATE) > 1;
    if ((!clips && !adds) || tlr_the_model->update)
        return TLB_OK;
    return tlb_error(a, TLB_E_UNSUPPORTED, "E_MODEL", NULL, NULL, "compile with --keep-gradients",
                     "--%s: this network's step updates parameters without keeping gradients",
                     clips ? "clip-norm" : "accumulate");
}

tlb_status trainer_check_settings(const tlb_args *a)
{
    tlb_status status = check_schedule(a);
    if (status == TLB_OK)
        status = check_groups(a);
    return status == TLB_OK ? check_gradients(a) : status;
}

/* --- class weights ------------------------------------------------------------------------ */

/* Each class counts the same in all: n / (classes * n of the class). */
static tlb_status balance(const tlb_args *a, const trainer_data *d, double *weights)
{
    double n = (double)d->samples.n_train;
    for (int64_t i = 0; i < d->samples.n_train; ++i)
        weights[d->samples.labels[i]] += 1;
    for (int k = 0; k < d->n_classes; ++k) {
        if (weights[k] == 0)
            return tlb_error(a, TLB_E_USAGE, "E_CLASS_WEIGHTS", NULL, NULL, NULL,
                             "--class-weights balanced: no training picture of class %s",
                             trainer_safe(d->classes[k]));
        weights[k] = n / (d->n_classes * weights[k]);
    }
    return TLB_OK;
}

static tlb_status read_weights(const tlb_args *a, const trainer_data *d, double *weights)
{
    const char *text = tlb_text(a, TLB_OPT_CLASS_WEIGHTS), *s = text;
    int n = 0;
    for (bool more = true; more; ++n) {
        char *end;
        double x = strtod(s, &end);
        more = *end == ',';
        if (end == s || (*end && !more) || !(x > 0) || !isfinite(x))
            return tlb_error(a, TLB_E_USAGE, "E_USAGE", NULL, NULL,
                             "none, balanced, or numbers above 0, as 1,2.5",
                             "--class-weights \"%s\" is no list of weights", trainer_safe(text));
        if (n < d->n_classes)
            weights[n] = x;
        s = end + 1;
    }
    if (n == d->n_classes)
        return TLB_OK;
    return tlb_error(a, TLB_E_USAGE, "E_USAGE", NULL, NULL, NULL,
                     "--class-weights has %d weights, there are %d classes", n, d->n_classes);
}

tlb_status trainer_class_weights(const tlb_args *a, const trainer_data *d, double **out)
{
    const char *text = tlb_text(a, TLB_OPT_CLASS_WEIGHTS);
    *out = NULL;
    if (strcmp(text, "none") == 0)
        return TLB_OK;
    *out = calloc((size_t)d->n_classes + 1, sizeof **out);
    if (!*out)
        return tlb_error(a, TLB_E_LIMIT, "E_MEMORY", NULL, NULL, NULL, "out of memory");
    return strcmp(text, "balanced") == 0 ? balance(a, d, *out) : read_weights(a, d, *out);
}
