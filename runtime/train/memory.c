/* memory.c: the block of a trainer: one mapping for each moment of a run.
 *
 * Features are computed before the first step, and neither side needs what the other holds:
 * @features wants its derived weights and activations, @step parameters and optimizer state.
 * So the block of the one is given back before the other's is made, and a new mapping is zero,
 * as optimizer state begins.  Where features are computed in every step both lie in one block.
 *
 *     FEATURES  fix of @features | act | scratch
 *     STEPS     vars | fix of @step | act | scratch
 *     BOTH      vars | both fix | act | scratch        act is shared: functions run in turns
 *     EVALUATE  params | fix of @features | act | scratch
 */
#define _GNU_SOURCE
#include "tlr_trainer.h"

#include "tlk_philox.h"

#include <math.h>
#include <string.h>

typedef struct regions {
    size_t vars, fix, fix_step, act, scratch, all;
} regions;

static int64_t max64(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static size_t round64(int64_t n)
{
    return ((size_t)n + 63) / 64 * 64;
}

static int64_t act_bytes(const tlr_model *m, tlr_phase phase)
{
    switch (phase) {
    case TLR_PHASE_FEATURES: return m->act_features_bytes;
    case TLR_PHASE_STEPS: return m->act_step_bytes;
    case TLR_PHASE_BOTH: return max64(m->act_features_bytes, m->act_step_bytes);
    default: return m->act_infer_bytes;
    }
}

static regions regions_of(const tlr_model *m, tlr_phase phase, int64_t batch, int workers)
{
    bool steps = phase == TLR_PHASE_STEPS || phase == TLR_PHASE_BOTH;
    regions r = { .act = round64(act_bytes(m, phase) * batch),
                  .scratch = round64(m->scratch_bytes) * (size_t)workers };
    if (steps) {
        r.vars = round64(m->vars_bytes);
        r.fix_step = round64(m->fix_step_bytes);
    } else if (phase == TLR_PHASE_EVALUATE) {
        r.vars = round64(m->params_bytes);
    }
    if (phase != TLR_PHASE_STEPS)
        r.fix = round64(m->fix_infer_bytes);
    r.all = r.vars + r.fix + r.fix_step + r.act + r.scratch;
    return r;
}

int64_t tlr_train_peak_bytes(const tlr_model *m, int64_t batch, bool cache)
{
    if (!m->step.run)
        return m->params_bytes + m->consts_bytes + m->fix_infer_bytes +
               m->act_infer_bytes * batch + m->scratch_bytes;
    int64_t always = m->consts_bytes + m->scratch_bytes;
    int64_t steps = m->vars_bytes + m->fix_step_bytes;
    if (!m->features.run)
        return always + steps + m->act_step_bytes * batch;
    if (!cache)
        return always + steps + m->fix_infer_bytes + act_bytes(m, TLR_PHASE_BOTH) * batch;
    return always + max64(m->fix_infer_bytes + m->act_features_bytes * batch,
                          steps + m->act_step_bytes * batch);
}

/* Both frames into a new block. */
static void lay_out(tlr_trainer *t, const regions *r, char *block)
{
    const char *consts = t->consts ? t->consts : tlr_weights_consts(t->weights);
    tlr_frame f = { .n = 1, .consts = consts, .vars = block,
                    .fix = block + r->vars, .act = block + r->vars + r->fix + r->fix_step,
                    .scratch_stride = (int64_t)round64(t->model->scratch_bytes),
                    .par = tlr_pool_par(t->pool) };
    f.scratch = f.act + r->act;
    t->prefix = t->frame = f;
    t->frame.fix += r->fix_step > 0 ? r->fix : 0;
    t->params = f.vars;
}

/* Derived weights; `before`: the fix of a block where they were made, or NULL. */
static void derive(tlr_trainer *t, const char *before)
{
    const tlr_model *m = t->model;
    if (before)
        memcpy(t->frame.fix, before, (size_t)m->derived_step_bytes);
    else if (m->prepare && (t->phase != TLR_PHASE_STEPS || !m->features.run))
        m->prepare(t->phase == TLR_PHASE_STEPS ? &t->frame : &t->prefix);
    if (t->phase == TLR_PHASE_BOTH)
        memcpy(t->frame.fix, t->prefix.fix, (size_t)m->derived_step_bytes);
}

/* --- where the model runs ------------------------------------------------------------------ */

tlb_status tlr_device_check(tlr_trainer *t)
{
    const tlr_model *m = t->model;
    const char *trouble = m->device ? m->device->trouble(m->program) : NULL;
    return trouble ? tlr_trouble_set(t, TLB_E_UNSUPPORTED, "E_DEVICE", NULL, "%s", trouble)
                   : TLB_OK;
}

/* Start the device, and give it the constants, which stay to the end. */
static tlb_status device_ready(tlr_trainer *t)
{
    const tlr_model *m = t->model;
    if (!m->device || t->consts)
        return TLB_OK;
    m->device->open(m->program);
    tlb_status status = tlr_device_check(t);
    if (status != TLB_OK)
        return status;
    t->consts = m->device->alloc(m->program, (size_t)m->consts_bytes + 64);
    if (!t->consts)
        return tlr_trouble_set(t, TLB_E_LIMIT, "E_MEMORY", NULL, "out of memory on the device");
    memcpy(t->consts, tlr_weights_consts(t->weights), (size_t)m->consts_bytes);
    return TLB_OK;
}

static void give_block(tlr_trainer *t, void *block, size_t bytes)
{
    const tlr_model *m = t->model;
    if (m->device)
        m->device->release(m->program, block);
    else
        tlr_give(&t->config.heap, block, bytes);
}

/* Optimizer state begins with zero, as what the heap gives is. */
static void *get_block(tlr_trainer *t, size_t bytes, size_t vars)
{
    const tlr_model *m = t->model;
    if (!m->device)
        return tlr_get(&t->config.heap, bytes);
    void *block = m->device->alloc(m->program, bytes);
    return block ? memset(block, 0, vars) : NULL;
}

void tlr_memory_free(tlr_trainer *t)
{
    give_block(t, t->block, t->block_bytes);
    t->block = NULL;
}

void tlr_memory_fini(tlr_trainer *t)
{
    tlr_memory_free(t);
    if (t->model->device)
        t->model->device->release(t->model->program, t->consts);
    t->consts = NULL;
}

tlb_status tlr_memory_enter(tlr_trainer *t, tlr_phase phase)
{
    const tlr_model *m = t->model;
    /* Derived weights that steps read too are made with the rest of them, then moved. */
    bool moved = phase == TLR_PHASE_STEPS && m->features.run && m->derived_step_bytes > 0;
    tlb_status ready = device_ready(t);
    if (ready != TLB_OK)
        return ready;
    if (moved && t->phase != TLR_PHASE_FEATURES) {
        tlb_status status = tlr_memory_enter(t, TLR_PHASE_FEATURES);
        if (status != TLB_OK)
            return status;
    }
    void *old = t->block, *block;
    size_t old_bytes = t->block_bytes;
    const char *before = moved ? t->prefix.fix : NULL;
    if (!moved)
        tlr_memory_free(t);
    regions r = regions_of(m, phase, t->config.batch, t->config.threads);
    block = get_block(t, r.all + 64, r.vars);
    if (!block)
        return tlr_trouble_set(t, TLB_E_LIMIT, "E_MEMORY", NULL,
                               "out of memory: %zu MiB are wanted", r.all >> 20);
    t->block = block;
    t->block_bytes = r.all + 64; /* never empty */
    t->phase = phase;
    t->peak_bytes = max64(t->peak_bytes, m->consts_bytes + (int64_t)r.all);
    lay_out(t, &r, block);
    derive(t, before);
    if (moved)
        give_block(t, old, old_bytes);
    return TLB_OK;
}

/* --- initial values ----------------------------------------------------------------------- */

/* Made in logical order and float, whatever the layout and precision. */
static void init_values(const tlr_tensor *p, uint64_t seed, int64_t n, float *out)
{
    switch (p->init) {
    case TLR_INIT_CONSTANT:
        for (int64_t i = 0; i < n; ++i)
            out[i] = (float)p->init_value;
        break;
    case TLR_INIT_UNIFORM_FAN_IN:
        tlk_init_uniform(seed, p->init_position, 1 / sqrt(p->init_value), n, out);
        break;
    case TLR_INIT_NORMAL:
        tlk_init_normal(seed, p->init_position, p->init_value, n, out);
        break;
    case TLR_INIT_NORMAL_FAN_OUT:
        tlk_init_normal(seed, p->init_position, sqrt(2 / p->init_value), n, out);
        break;
    case TLR_INIT_NONE:
        break;
    }
}

static tlb_status init_param(tlr_trainer *t, const tlr_tensor *p)
{
    int64_t n = tlr_tensor_elems(p);
    const tlr_heap *heap = &t->config.heap;
    float *values = tlr_get(heap, (size_t)n * sizeof *values);
    double *wide = p->type == TLR_F64 ? tlr_get(heap, (size_t)n * sizeof *wide) : NULL;
    bool ok = values && (wide || p->type != TLR_F64);
    if (ok) {
        init_values(p, t->config.seed, n, values);
        for (int64_t i = 0; wide && i < n; ++i)
            wide[i] = values[i];
        tlr_pack(p, wide ? (void *)wide : (void *)values, t->params + p->offset);
    }
    tlr_give(heap, wide, (size_t)n * sizeof *wide);
    tlr_give(heap, values, (size_t)n * sizeof *values);
    return ok ? TLB_OK : tlr_trouble_set(t, TLB_E_LIMIT, "E_MEMORY", NULL, "out of memory");
}

/* From the file what the model gave; the file's places of drawn values are not touched. */
static tlb_status init_params(tlr_trainer *t)
{
    const tlr_model *m = t->model;
    tlb_status status = TLB_OK;
    const char *file = tlr_weights_params(m, t->weights);
    bool all = !t->config.train && tlr_weights_trained(m, t->weights);
    for (int i = 0; status == TLB_OK && i < m->n_tensors; ++i) {
        const tlr_tensor *p = &m->tensors[i];
        if (p->kind != TLR_PARAM)
            continue;
        if (all || p->init == TLR_INIT_NONE)
            memcpy(t->params + p->offset, file + p->offset, (size_t)p->bytes);
        else if (t->config.train) /* evaluation reads a checkpoint over whatever stands here */
            status = init_param(t, p);
    }
    return status;
}

tlb_status tlr_memory_ready(tlr_trainer *t)
{
    if (t->phase != TLR_PHASE_NONE && t->phase != TLR_PHASE_FEATURES)
        return TLB_OK;
    /* Rows that the caller makes are made between steps. */
    bool again = t->model->features.run && (t->features.streaming || !t->samples.read);
    tlr_phase phase = !t->config.train ? TLR_PHASE_EVALUATE
                      : again          ? TLR_PHASE_BOTH
                                       : TLR_PHASE_STEPS;
    tlb_status status = tlr_memory_enter(t, phase);
    return status == TLB_OK ? init_params(t) : status;
}

size_t tlr_memory_bytes(const tlr_model *m, const tlr_train_config *c)
{
    tlr_phase phase = m->features.run ? TLR_PHASE_BOTH : TLR_PHASE_STEPS;
    size_t drawn = 0; /* of the largest parameter that is given initial values */
    for (int i = 0; i < m->n_tensors; ++i) {
        const tlr_tensor *p = &m->tensors[i];
        if (p->kind != TLR_PARAM || p->init == TLR_INIT_NONE)
            continue;
        size_t n = (size_t)tlr_tensor_elems(p);
        size_t bytes = round64((int64_t)(n * sizeof(float))) +
                       (p->type == TLR_F64 ? round64((int64_t)(n * sizeof(double))) : 0);
        drawn = bytes > drawn ? bytes : drawn;
    }
    return regions_of(m, phase, c->batch, c->threads).all + 64 + drawn;
}
