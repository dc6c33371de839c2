/* plan.c: regions and offsets of every value; runtime/infer/tlr_model.h draws the regions.
 *
 * Functions never run at one time and hand each other nothing in place, so each is planned from
 * offset 0 and the arenas are as large as the largest of them.  Values that grow with the batch
 * are planned for n = 1: at n all offsets and sizes are n times as large, so what does not
 * overlap for one picture overlaps for none.  Values of a function's opening are of fixed size.
 */
#include "plan.h"
#include "plan_parts.h"

#include <string.h>

typedef struct planner {
    tlc_ctx *ctx;
    const tlc_module *m;
    const tlc_options *o;
    tlc_plan *plan;
    int64_t derived_bytes; /* of the states at the start of fix */
    bool *stays;           /* by value id: a derived state that @head or @step reads */
    size_t at_node;
} planner;

static int64_t round_up(int64_t bytes)
{
    return (bytes + TLC_PLAN_ALIGN - 1) / TLC_PLAN_ALIGN * TLC_PLAN_ALIGN;
}

static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

/* --- globals ---------------------------------------------------------------- */

static bool *find_derived(planner *pl)
{
    bool *derived = TLC_NEW_ARRAY(&pl->ctx->arena, bool, pl->m->n_values);
    const tlc_func *prepare = tlc_func_find(pl->m, "prepare");
    for (const tlc_node *n = prepare ? prepare->first : NULL; n; n = n->next)
        for (int i = 0; i < n->n_in && n->in[i] && n->in[i]->kind == TLC_STATE; ++i)
            derived[n->in[i]->id] = true;
    return derived;
}

/* Derived states that are wanted after the features are done. */
static bool *find_staying(planner *pl)
{
    static const char *const after[] = { "head", "step" };
    bool *stays = TLC_NEW_ARRAY(&pl->ctx->arena, bool, pl->m->n_values);
    for (size_t k = 0; k < sizeof after / sizeof *after; ++k) {
        const tlc_func *f = tlc_func_find(pl->m, after[k]);
        for (const tlc_node *n = f ? f->first : NULL; n; n = n->next)
            for (int i = 0; i < n->n_in; ++i)
                if (n->in[i] && pl->plan->derived[n->in[i]->id])
                    stays[n->in[i]->id] = true;
    }
    return stays;
}

static void place_global(planner *pl, const tlc_value *v, tlc_region region, int64_t *end)
{
    int64_t bytes = tlc_value_bytes(v);
    pl->plan->place[v->id] = (tlc_place){ region, *end, bytes };
    *end += round_up(bytes);
}

/* Append the globals of one kind, without the derived states, to a region. */
static void place_globals(planner *pl, tlc_value_kind kind, tlc_region region, int64_t *end)
{
    for (size_t i = 0; i < pl->m->n_globals; ++i) {
        const tlc_value *v = pl->m->globals[i];
        if (v->kind == kind && !pl->plan->derived[v->id])
            place_global(pl, v, region, end);
    }
}

static void place_derived(planner *pl, bool stays)
{
    for (size_t i = 0; i < pl->m->n_globals; ++i) {
        const tlc_value *v = pl->m->globals[i];
        if (pl->plan->derived[v->id] && pl->stays[v->id] == stays)
            place_global(pl, v, TLC_REGION_FIX, &pl->derived_bytes);
    }
}

static void place_all_globals(planner *pl)
{
    tlc_plan *p = pl->plan;
    p->derived = find_derived(pl);
    pl->stays = find_staying(pl);
    place_globals(pl, TLC_CONST, TLC_REGION_CONSTS, &p->consts_bytes);
    place_globals(pl, TLC_PARAM, TLC_REGION_VARS, &p->params_bytes);
    p->vars_bytes = p->params_bytes;
    place_globals(pl, TLC_STATE, TLC_REGION_VARS, &p->vars_bytes);
    place_derived(pl, true);
    p->derived_step_bytes = pl->derived_bytes;
    place_derived(pl, false);
}

/* --- kernels ---------------------------------------------------------------- */

static tlc_status choose_kernels(planner *pl, const tlc_func *f)
{
    for (const tlc_node *n = f->first; n; n = n->next) {
        const tlc_kernel *k = tlc_kernel_choose(n, pl->o);
        if (!k && !tlc_kernel_is_alias(n)) {
            if (n->name)
                tlc_at(pl->ctx, "node %s", tlc_quote_name(pl->ctx, n->name));
            return tlc_fail(pl->ctx, TLC_E_UNSUPPORTED, "E_KERNEL",
                            "operator %s has no kernel for these operands", tlc_ops[n->op].name);
        }
        if (k && k->scratch_bytes)
            pl->plan->scratch_bytes =
                larger(pl->plan->scratch_bytes, round_up(k->scratch_bytes(n)));
        pl->plan->kernel[pl->at_node++] = k;
    }
    return TLC_OK;
}

/* --- functions -------------------------------------------------------------- */

/* Offsets of the buffers of one region; their places are found through of_value afterwards. */
static tlc_status place_region(planner *pl, tlc_lives *l, bool grows, int64_t *out_bytes)
{
    tlc_arena *arena = &pl->ctx->arena;
    tlc_buffer *some = TLC_NEW_ARRAY(arena, tlc_buffer, l->n);
    size_t n = 0;
    for (size_t i = 0; i < l->n; ++i)
        if (l->grows[i] == grows)
            some[n++] = l->buffer[i];
    int64_t bytes = tlc_plan_offsets(arena, some, n, !pl->o->no_reuse);
    if (!tlc_plan_check(some, n, bytes))
        return tlc_fail(pl->ctx, TLC_E_INTERNAL, "E_PLAN", "two buffers overlap in the plan");
    n = 0;
    for (size_t i = 0; i < l->n; ++i)
        if (l->grows[i] == grows)
            l->buffer[i].offset = some[n++].offset;
    *out_bytes = bytes;
    return TLC_OK;
}

static void record_places(planner *pl, const tlc_lives *l, int64_t fix_from)
{
    for (int id = 0; id < pl->m->n_values; ++id) {
        int b = l->of_value[id];
        if (b < 0)
            continue;
        bool act = l->grows[b];
        pl->plan->place[id] = (tlc_place){ act ? TLC_REGION_ACT : TLC_REGION_FIX,
                                           l->buffer[b].offset + (act ? 0 : fix_from),
                                           l->buffer[b].bytes };
    }
}

/* A view of a global lies where the global lies. */
static void record_global_views(planner *pl, const tlc_func *f)
{
    for (const tlc_node *n = f->first; n; n = n->next)
        if (tlc_kernel_is_alias(n) && pl->plan->place[n->out[0]->id].region == TLC_REGION_NONE)
            pl->plan->place[n->out[0]->id] = pl->plan->place[n->in[0]->id];
}

/* One function's share in the sizes of the two sides: features first, then steps. */
static void count_func(planner *pl, const tlc_func *f, int64_t act, int64_t fix)
{
    tlc_plan *p = pl->plan;
    bool step = strcmp(f->name, "step") == 0, head = strcmp(f->name, "head") == 0;
    if (!step) {
        p->act_infer_bytes = larger(p->act_infer_bytes, act);
        p->fix_infer_bytes = larger(p->fix_infer_bytes, fix);
    }
    if (step || head || !p->prefix) {
        p->act_step_bytes = larger(p->act_step_bytes, act);
        p->fix_step_bytes = larger(p->fix_step_bytes, fix);
    } else {
        p->act_features_bytes = larger(p->act_features_bytes, act);
    }
}

/* Values of fixed size lie behind the derived states.  @step alone does not keep those that only
 * @features reads: when it runs they are gone, or lie in another block. */
static tlc_status plan_func(planner *pl, const tlc_func *f)
{
    tlc_plan *p = pl->plan;
    bool train = strcmp(f->name, "step") == 0;
    int64_t fix_from = train && p->prefix ? p->derived_step_bytes : pl->derived_bytes;
    bool keep = pl->o->keep_values && !train;
    int64_t act, fix;
    tlc_lives lives;
    tlc_arena_mark mark = tlc_arena_save(&pl->ctx->arena);
    tlc_plan_lives(&pl->ctx->arena, f, tlc_plan_opening(f, pl->o), !pl->o->no_reuse, keep, &lives);
    TLC_TRY(place_region(pl, &lives, true, &act));
    TLC_TRY(place_region(pl, &lives, false, &fix));
    record_places(pl, &lives, fix_from);
    record_global_views(pl, f);
    tlc_arena_rewind(&pl->ctx->arena, mark);
    if (fix > 0)
        fix += fix_from; /* else nothing of the function lies behind them */
    count_func(pl, f, act, fix);
    return TLC_OK;
}

static size_t count_nodes(const tlc_module *m)
{
    size_t n = 0;
    for (const tlc_func *f = m->first_func; f; f = f->next)
        n += (size_t)f->n_nodes;
    return n;
}

tlc_status tlc_plan_make(tlc_ctx *ctx, const tlc_module *m, const tlc_options *o, tlc_plan *out)
{
    tlc_plan plan = { .place = TLC_NEW_ARRAY(&ctx->arena, tlc_place, m->n_values),
                      .kernel = TLC_NEW_ARRAY(&ctx->arena, const tlc_kernel *, count_nodes(m)),
                      .trains = tlc_func_find(m, "step") != NULL,
                      .prefix = tlc_func_find(m, "features") != NULL };
    planner pl = { .ctx = ctx, .m = m, .o = o, .plan = &plan };
    place_all_globals(&pl);
    plan.fix_infer_bytes = pl.derived_bytes;
    plan.fix_step_bytes = plan.prefix ? plan.derived_step_bytes : pl.derived_bytes;
    for (const tlc_func *f = m->first_func; f; f = f->next) {
        TLC_TRY(choose_kernels(&pl, f));
        TLC_TRY(plan_func(&pl, f));
    }
    *out = plan;
    return TLC_OK;
}

/* --- sums ------------------------------------------------------------------- */

/* A moment: what does not grow with the batch, and what a picture adds. */
typedef struct moment { int64_t fixed, a_picture; } moment;

static moment infer_moment(const tlc_plan *p)
{
    int64_t mapped = p->consts_bytes + p->params_bytes;
    return (moment){ mapped + p->fix_infer_bytes + p->scratch_bytes, p->act_infer_bytes };
}

/* In training the parameters are drawn or copied into vars: the file's are not counted. */
static moment features_moment(const tlc_plan *p)
{
    if (!p->prefix)
        return (moment){ 0, 0 };
    return (moment){ p->consts_bytes + p->fix_infer_bytes + p->scratch_bytes,
                     p->act_features_bytes };
}

static moment step_moment(const tlc_plan *p)
{
    return (moment){ p->consts_bytes + p->vars_bytes + p->fix_step_bytes + p->scratch_bytes,
                     p->act_step_bytes };
}

static int64_t bytes_at(moment m, int64_t batch)
{
    int64_t bytes;
    if (__builtin_mul_overflow(m.a_picture, batch, &bytes) ||
        __builtin_add_overflow(bytes, m.fixed, &bytes))
        return INT64_MAX;
    return bytes;
}

static int64_t batch_at(moment m, int64_t bytes)
{
    if (bytes < m.fixed)
        return 0;
    return m.a_picture ? (bytes - m.fixed) / m.a_picture : INT64_MAX;
}

int64_t tlc_plan_peak(const tlc_plan *p, int64_t batch, bool train)
{
    if (!train)
        return bytes_at(infer_moment(p), batch);
    return larger(bytes_at(features_moment(p), batch), bytes_at(step_moment(p), batch));
}

int64_t tlc_plan_peak_uncached(const tlc_plan *p, int64_t batch)
{
    moment both = step_moment(p);
    both.fixed += p->prefix ? p->fix_infer_bytes : 0;
    both.a_picture = larger(p->act_features_bytes, p->act_step_bytes);
    return bytes_at(both, batch);
}

int64_t tlc_plan_fit(const tlc_plan *p, int64_t bytes)
{
    if (!p->trains)
        return batch_at(infer_moment(p), bytes);
    int64_t features = batch_at(features_moment(p), bytes), step = batch_at(step_moment(p), bytes);
    return features < step ? features : step;
}
