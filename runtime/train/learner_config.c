/* learner_config.c: what an application asks of a learner, as the engine's configuration. */
#include "tlr_learner.h"

#include <math.h>

enum { MAX_THREADS = 1024 };

static bool fine_rate(double x)
{
    return isfinite(x) && x >= 0;
}

static bool fine_weights(const double *w, int n)
{
    for (int i = 0; w && i < n; ++i)
        if (!isfinite(w[i]) || w[i] <= 0)
            return false;
    return true;
}

static bool in_range(const tlr_model *m, const tlr_train_config *e)
{
    return e->batch >= 1 && e->batch <= m->max_batch && e->threads >= 1 &&
           e->threads <= MAX_THREADS && fine_rate(e->rates.lr) && !isnan(e->rates.lr_backbone) &&
           !isinf(e->rates.lr_backbone) && isfinite(e->rates.weight_decay) &&
           fine_rate(e->rates.momentum) && fine_rate(e->clip_norm) && e->accumulate >= 1 &&
           e->patience >= 0 && e->head_epochs >= 0 && e->schedule.warmup_epochs >= 0 &&
           e->schedule.step_epochs >= 0 && fine_weights(e->class_weights, m->n_classes);
}

/* Not every network has two groups, or keeps gradients. */
static bool supported(const tlr_model *m, const tlr_learner_config *c)
{
    bool groups = c->head_epochs > 0 || c->lr_backbone != 0;
    bool gradients = c->accumulate > 1 || c->clip_norm > 0;
    return (!groups || tlr_has_backbone(m)) && (!gradients || m->update);
}

tlr_status tlr_learner_engine(const tlr_model *m, const tlr_learner_config *c,
                              tlr_train_config *out)
{
    tlr_train_config e;
    tlr_train_config_init(&e, m);
    e.epochs = 0; /* tlr_learner_train says */
    e.seed = c->seed;
    e.patience = c->patience;
    e.head_epochs = c->head_epochs;
    e.batch = c->batch ? c->batch : m->max_batch;
    e.threads = c->threads ? c->threads : 1;
    e.accumulate = c->accumulate ? c->accumulate : 1;
    e.clip_norm = c->clip_norm;
    e.class_weights = c->class_weights;
    e.rates.lr = c->lr != 0 ? c->lr : e.rates.lr;
    e.rates.momentum = c->momentum;
    if (c->lr_backbone != 0)
        e.rates.lr_backbone = c->lr_backbone > 0 ? c->lr_backbone : c->lr_backbone < 0 ? 0 : NAN;
    if (c->weight_decay != 0)
        e.rates.weight_decay = fmax(0, c->weight_decay);
    e.schedule.warmup_epochs = c->warmup_epochs;
    e.schedule.step_epochs = c->step_epochs;
    bool known = tlr_schedule_find(c->schedule ? c->schedule : "constant", &e.schedule.kind);
    if (!known || !in_range(m, &e))
        return TLR_E_USAGE;
    *out = e;
    return supported(m, c) ? TLR_OK : TLR_E_UNSUPPORTED;
}
