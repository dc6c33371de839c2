/* plan.c: regions and offsets of every value; runtime/infer/tlr_model.h draws the regions.
 *
 * Functions never run at one time and hand each other nothing in place, so each is planned from
 * offset 0 and the arenas are as large as the largest of them.  Values that grow with the batch
 * are planned for n = 1: at n all offsets and sizes are n times as large, so what does not
 * overlap for one picture overlaps for none.
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

/* Append the globals of one kind to a region; `derived` picks among the states. */
static void place_globals(planner *pl, tlc_value_kind kind, bool derived, tlc_region region,
                          int64_t *end)
{
    for (size_t i = 0; i < pl->m->n_globals; ++i) {
        const tlc_value *v = pl->m->globals[i];
        if (v->kind != kind || pl->plan->derived[v->id] != derived)
            continue;
        int64_t bytes = tlc_value_bytes(v);
        pl->plan->place[v->id] = (tlc_place){ region, *end, bytes };
        *end += round_up(bytes);
    }
}

static void place_all_globals(planner *pl)
{
    tlc_plan *p = pl->plan;
    p->derived = find_derived(pl);
    place_globals(pl, TLC_CONST, false, TLC_REGION_CONSTS, &p->consts_bytes);
    place_globals(pl, TLC_PARAM, false, TLC_REGION_VARS, &p->params_bytes);
    p->vars_bytes = p->params_bytes;
    place_globals(pl, TLC_STATE, false, TLC_REGION_VARS, &p->vars_bytes);
    place_globals(pl, TLC_STATE, true, TLC_REGION_FIX, &pl->derived_bytes);
}

/* --- kernels ---------------------------------------------------------------- */

static tlc_status choose_kernels(planner *pl, const tlc_func *f)
{
    for (const tlc_node *n = f->first; n; n = n->next) {
        const tlc_kernel *k = tlc_kernel_choose(n, pl->o->target, pl->o->precision);
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

static void record_places(planner *pl, const tlc_lives *l)
{
    for (int id = 0; id < pl->m->n_values; ++id) {
        int b = l->of_value[id];
        if (b < 0)
            continue;
        bool act = l->grows[b];
        pl->plan->place[id] = (tlc_place){ act ? TLC_REGION_ACT : TLC_REGION_FIX,
                                           l->buffer[b].offset + (act ? 0 : pl->derived_bytes),
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

static tlc_status plan_func(planner *pl, const tlc_func *f)
{
    tlc_plan *p = pl->plan;
    bool train = strcmp(f->name, "step") == 0;
    bool keep = pl->o->keep_values && !train;
    int64_t act, fix;
    tlc_lives lives;
    tlc_arena_mark mark = tlc_arena_save(&pl->ctx->arena);
    tlc_plan_lives(&pl->ctx->arena, f, !pl->o->no_reuse, keep, &lives);
    TLC_TRY(place_region(pl, &lives, true, &act));
    TLC_TRY(place_region(pl, &lives, false, &fix));
    record_places(pl, &lives);
    record_global_views(pl, f);
    tlc_arena_rewind(&pl->ctx->arena, mark);
    p->act_train_bytes = larger(p->act_train_bytes, act);
    p->fix_train_bytes = larger(p->fix_train_bytes, pl->derived_bytes + fix);
    if (!train) {
        p->act_infer_bytes = larger(p->act_infer_bytes, act);
        p->fix_infer_bytes = larger(p->fix_infer_bytes, pl->derived_bytes + fix);
    }
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
                      .trains = tlc_func_find(m, "step") != NULL };
    planner pl = { .ctx = ctx, .m = m, .o = o, .plan = &plan };
    place_all_globals(&pl);
    plan.fix_infer_bytes = plan.fix_train_bytes = pl.derived_bytes;
    for (const tlc_func *f = m->first_func; f; f = f->next) {
        TLC_TRY(choose_kernels(&pl, f));
        TLC_TRY(plan_func(&pl, f));
    }
    *out = plan;
    return TLC_OK;
}

/* --- sums ------------------------------------------------------------------- */

/* All that does not grow with the batch; sums of planned sizes are far from int64's end. */
static int64_t fixed_bytes(const tlc_plan *p, bool train)
{
    return p->consts_bytes + p->params_bytes + (train ? p->vars_bytes : 0) +
           (train ? p->fix_train_bytes : p->fix_infer_bytes) + p->scratch_bytes;
}

int64_t tlc_plan_peak(const tlc_plan *p, int64_t batch, bool train)
{
    int64_t act = train ? p->act_train_bytes : p->act_infer_bytes, bytes;
    if (__builtin_mul_overflow(act, batch, &bytes) ||
        __builtin_add_overflow(bytes, fixed_bytes(p, train), &bytes))
        return INT64_MAX;
    return bytes;
}

int64_t tlc_plan_fit(const tlc_plan *p, int64_t bytes)
{
    int64_t act = p->trains ? p->act_train_bytes : p->act_infer_bytes;
    int64_t left = bytes - fixed_bytes(p, p->trains);
    if (left < 0)
        return 0;
    return act ? left / act : INT64_MAX;
}
