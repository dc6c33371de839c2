/* assign_layouts.c: physical layouts and halos from the kernels chosen, and explicit relayouts.
 *
 * Every node's kernel says which layout it wants of each operand and gives its results.
 *   - A result lies as its kernel writes it.  In a blocked layout its halo is the largest that
 *     any reader wants: the kernel writes it along.
 *   - Kernels that take either layout go by their operands and by what readers wish of their
 *     results.  So all are asked in order, how operands lie, and from the last to the first, what
 *     readers therefore wish, until no wish is new.
 *   - Inputs and returns of functions are plain and have no halo.
 *   - A global lies as its kernel wants it, first of all the one that overwrites it.  Where
 *     kernels disagree, a constant is kept twice; what changes is laid out anew where it is read.
 *   - Where a reader still finds something else than it wants, a relayout node stands before it;
 *     later readers of the same function share it.
 *
 * Winograd convolutions read transformed weights: a state that @prepare fills when a model is
 * opened.  It takes the place of the weight as operand; such a convolution's second operand has
 * rank 3, which is how later code knows it.
 */
#include "pass_util.h"

#include "kernel.h"

#include <string.h>

/* A node, and what its kernel asks; a view without code takes and gives plain. */
typedef struct job {
    tlc_node *node;
    tlc_layout *in, *out;
} job;

enum { PLAIN_HALO = TLC_LAYOUT_COUNT, N_COPIES }; /* a plain value with a halo counts apart */

typedef struct work {
    tlc_ctx *ctx;
    tlc_module *m;
    tlc_func *prepare; /* NULL until needed */
    job *jobs;
    size_t n_jobs, cap_jobs;
    /* Arrays of the values there are before any relayout: */
    tlc_layout_kind *wish;        /* by value: how a reader would have it; plain: none cares */
    tlc_layout_kind *written;     /* by value: how the kernel asked in order writes it */
    int (*halo)[N_COPIES][4];     /* by value: largest that readers want of it in each layout */
    bool *decided;                /* by value: layout of a global is settled */
    tlc_value *(*copy)[N_COPIES]; /* by value: it in another layout, of the function in work */
    tlc_value *(*twin)[TLC_LAYOUT_COUNT]; /* by value: a constant kept in another layout */
} work;

static bool has_halo(const tlc_layout *l)
{
    return l->halo[0] || l->halo[1] || l->halo[2] || l->halo[3];
}

static int copy_of(const tlc_layout *l)
{
    return l->kind == TLC_PLAIN && has_halo(l) ? PLAIN_HALO : (int)l->kind;
}

/* --- winograd ----------------------------------------------------------------------- */

enum { TRANSFORMED = 36 }; /* 6 x 6 numbers of a 3 x 3 filter */

static tlc_value *winograd_state(work *w, tlc_value *weight)
{
    int64_t dim[] = { TRANSFORMED, weight->shape.dim[0], weight->shape.dim[1] };
    const char *name = tlc_arena_printf(&w->ctx->arena, "%s.winograd",
                                        weight->name ? weight->name : "");
    return tlc_global_add(w->m, TLC_STATE, name, weight->type, tlc_shape_make(3, dim));
}

static tlc_status add_winograd(work *w, tlc_value *weight, tlc_value **out)
{
    if (!w->prepare)
        w->prepare = tlc_func_add(w->m, "prepare");
    tlc_value *in[] = { winograd_state(w, weight), weight };
    tlc_node *n = tlc_node_add(w->prepare, NULL, TLC_OP_WINOGRAD_WEIGHTS, NULL, in, 2);
    TLC_TRY(tlc_node_infer(w->ctx, n));
    *out = in[0];
    return TLC_OK;
}

/* Give every Winograd convolution its transformed weight; one weight is transformed once. */
static tlc_status derive_weights(work *w, const tlc_options *o)
{
    int n_ids = w->m->n_values;
    tlc_value **derived = TLC_NEW_ARRAY(&w->ctx->arena, tlc_value *, n_ids);
    for (tlc_func *f = w->m->first_func; f; f = f->next)
        for (tlc_node *n = f->first; n; n = n->next) {
            if (n->op != TLC_OP_CONV2D || n->in[1]->kind != TLC_CONST || n->in[1]->id >= n_ids)
                continue;
            const tlc_kernel *k = tlc_kernel_choose(n, o);
            if (!k || strcmp(k->name, "conv2d_winograd") != 0)
                continue;
            int id = n->in[1]->id;
            if (!derived[id])
                TLC_TRY(add_winograd(w, n->in[1], &derived[id]));
            n->in[1] = derived[id];
        }
    return TLC_OK;
}

/* --- what kernels want ------------------------------------------------------------------ */

/* How an operand lies as far as is known. */
static tlc_layout_kind lying(const work *w, const tlc_value *v)
{
    if (!v)
        return TLC_PLAIN;
    if (tlc_is_global(v))
        return w->decided[v->id] ? v->layout.kind : TLC_PLAIN;
    return w->written[v->id];
}

static job ask(work *w, tlc_node *n, const tlc_options *o)
{
    tlc_arena *arena = &w->ctx->arena;
    const tlc_kernel *k = tlc_kernel_choose(n, o);
    job j = {
        .node = n,
        .in = TLC_NEW_ARRAY(arena, tlc_layout, n->n_in),
        .out = TLC_NEW_ARRAY(arena, tlc_layout, n->n_out),
    };
    if (!k || !k->layouts)
        return j;
    for (int i = 0; i < n->n_in; ++i)
        j.in[i].kind = lying(w, n->in[i]);
    for (int i = 0; i < n->n_out; ++i)
        j.out[i].kind = w->wish[n->out[i]->id];
    k->layouts(n, j.in, j.out);
    return j;
}

static job ask_in_order(work *w, tlc_node *n, const tlc_options *o)
{
    job j = ask(w, n, o);
    for (int i = 0; i < n->n_out; ++i)
        w->written[n->out[i]->id] = j.out[i].kind;
    return j;
}

/* Is a wish new? */
static bool ask_for_wishes(work *w, tlc_node *n, const tlc_options *o)
{
    job j = ask(w, n, o);
    bool any = false;
    for (int i = 0; i < n->n_in; ++i) {
        tlc_layout_kind *wish = n->in[i] ? &w->wish[n->in[i]->id] : NULL;
        if (!wish || *wish != TLC_PLAIN || j.in[i].kind == TLC_PLAIN)
            continue;
        *wish = j.in[i].kind;
        any = true;
    }
    return any;
}

/* ResNet18 takes two, and one that finds nothing.  A wish left over costs a relayout, no more. */
enum { MOST_ROUNDS = 8 };

static void collect_wishes(work *w, tlc_func *f, const tlc_options *o)
{
    const tlc_arena_mark mark = tlc_arena_save(&w->ctx->arena);
    bool more = true;
    for (int round = 0; more && round < MOST_ROUNDS; ++round) {
        more = false;
        for (tlc_node *n = f->first; n; n = n->next)
            ask_in_order(w, n, o);
        for (tlc_node *n = f->last; n; n = n->prev)
            more |= ask_for_wishes(w, n, o);
        tlc_arena_rewind(&w->ctx->arena, mark);
    }
}

static void add_job(work *w, tlc_node *n, const tlc_options *o)
{
    TLC_PUSH(&w->ctx->arena, w->jobs, w->n_jobs, w->cap_jobs, ask_in_order(w, n, o));
}

static void want_halo(work *w, const tlc_value *v, const tlc_layout *wanted)
{
    int *halo = w->halo[v->id][copy_of(wanted)];
    for (int i = 0; i < 4; ++i)
        if (wanted->halo[i] > halo[i])
            halo[i] = wanted->halo[i];
}

static void collect_halos(work *w)
{
    for (size_t j = 0; j < w->n_jobs; ++j)
        for (int i = 0; i < w->jobs[j].node->n_in; ++i)
            if (w->jobs[j].node->in[i])
                want_halo(w, w->jobs[j].node->in[i], &w->jobs[j].in[i]);
}

/* --- globals ----------------------------------------------------------------------------- */

/* A blocked vector is the plain one with zeros behind it, so it serves readers and writers of
 * either, and wins over plain. */
static bool is_blocked_vector(const tlc_value *v, const tlc_layout *l)
{
    return v->shape.rank == 1 && l->kind == TLC_C16;
}

/* Settle the globals that a node reads or writes. */
static void settle_globals(work *w, const job *j)
{
    for (int i = 0; i < j->node->n_in; ++i) {
        tlc_value *v = j->node->in[i];
        const tlc_layout *wanted = &j->in[i];
        if (!v || !tlc_is_global(v) || has_halo(wanted) ||
            (w->decided[v->id] && !is_blocked_vector(v, wanted)))
            continue;
        v->layout = *wanted;
        w->decided[v->id] = true;
    }
}

/* Those that write come first, each before the next is asked what it wants: an update in @update
 * goes by where @step left the gradient. */
static void add_jobs(work *w, const tlc_options *o)
{
    for (tlc_func *f = w->m->first_func; f; f = f->next)
        for (tlc_node *n = f->first; n; n = n->next) {
            add_job(w, n, o);
            if (tlc_op_has(n->op, TLC_T_WRITES))
                settle_globals(w, &w->jobs[w->n_jobs - 1]);
        }
}

/* Constant `v` once more, in the layout wanted. */
static tlc_value *twin(work *w, tlc_value *v, const tlc_layout *wanted)
{
    tlc_value **t = &w->twin[v->id][wanted->kind];
    if (*t)
        return *t;
    *t = tlc_global_reshaped(w->m, v, v->shape);
    if (v->name)
        (*t)->name = tlc_arena_printf(&w->ctx->arena, "%s.%s", v->name,
                                      tlc_layout_name(wanted->kind));
    (*t)->layout = *wanted;
    return *t;
}

/* --- results and relayouts ------------------------------------------------------------------ */

/* Results lie as written; a returned one that is blocked gets a plain copy at the end. */
static void settle_results(work *w)
{
    for (size_t j = 0; j < w->n_jobs; ++j)
        for (int i = 0; i < w->jobs[j].node->n_out; ++i) {
            tlc_value *v = w->jobs[j].node->out[i];
            v->layout = w->jobs[j].out[i];
            if (v->layout.kind == TLC_C16 && v->shape.rank == 4)
                memcpy(v->layout.halo, w->halo[v->id][TLC_C16], sizeof v->layout.halo);
        }
}

static bool satisfies(const tlc_value *v, const tlc_layout *wanted)
{
    const tlc_layout *has = &v->layout;
    if (has->kind != wanted->kind)
        return tlc_is_global(v) && is_blocked_vector(v, has) && wanted->kind == TLC_PLAIN;
    for (int i = 0; i < 4; ++i)
        if (has->halo[i] < wanted->halo[i])
            return false;
    return true;
}

/* `v` as `wanted`, by a relayout before `before` unless an earlier one made it. */
static tlc_status relayout(work *w, tlc_func *f, tlc_node *before, tlc_value *v,
                           const tlc_layout *wanted, tlc_value **out)
{
    int copy = copy_of(wanted);
    tlc_value **memo = &w->copy[v->id][copy];
    if (!*memo || (*memo)->def->func != f) {
        tlc_node *n = tlc_node_add(f, before, TLC_OP_RELAYOUT, NULL, &v, 1);
        TLC_TRY(tlc_node_infer(w->ctx, n));
        n->out[0]->layout.kind = wanted->kind;
        memcpy(n->out[0]->layout.halo, w->halo[v->id][copy], sizeof wanted->halo);
        *memo = n->out[0];
    }
    *out = *memo;
    return TLC_OK;
}

static tlc_status satisfy(work *w, tlc_func *f, tlc_node *before, tlc_value **operand,
                          const tlc_layout *wanted)
{
    tlc_value *v = *operand;
    if (!v || satisfies(v, wanted))
        return TLC_OK;
    if (v->kind == TLC_CONST && !has_halo(wanted)) {
        *operand = twin(w, v, wanted);
        return TLC_OK;
    }
    return relayout(w, f, before, v, wanted, operand);
}

static tlc_status satisfy_operands(work *w)
{
    for (size_t j = 0; j < w->n_jobs; ++j) {
        tlc_node *n = w->jobs[j].node;
        for (int i = 0; i < n->n_in; ++i)
            TLC_TRY(satisfy(w, n->func, n, &n->in[i], &w->jobs[j].in[i]));
    }
    return TLC_OK;
}

static tlc_status satisfy_returns(work *w)
{
    static const tlc_layout plain;
    for (tlc_func *f = w->m->first_func; f; f = f->next)
        for (size_t i = 0; i < f->n_out; ++i)
            TLC_TRY(satisfy(w, f, NULL, &f->out[i], &plain));
    return TLC_OK;
}

static void make_arrays(work *w)
{
    tlc_arena *a = &w->ctx->arena;
    size_t n = (size_t)w->m->n_values;
    w->wish = tlc_arena_array(a, n, sizeof *w->wish);
    w->written = tlc_arena_array(a, n, sizeof *w->written);
    w->halo = tlc_arena_array(a, n, sizeof *w->halo);
    w->decided = tlc_arena_array(a, n, sizeof *w->decided);
    w->copy = tlc_arena_array(a, n, sizeof *w->copy);
    w->twin = tlc_arena_array(a, n, sizeof *w->twin);
}

tlc_status tlc_pass_assign_layouts(tlc_ctx *ctx, tlc_module *m, tlc_pass_env *env)
{
    work w = { .ctx = ctx, .m = m };
    TLC_TRY(derive_weights(&w, env->options));
    make_arrays(&w);
    for (tlc_func *f = m->first_func; f; f = f->next)
        collect_wishes(&w, f, env->options);
    add_jobs(&w, env->options);
    collect_halos(&w);
    for (size_t j = 0; j < w.n_jobs; ++j)
        settle_globals(&w, &w.jobs[j]);
    settle_results(&w);
    TLC_TRY(satisfy_operands(&w));
    return satisfy_returns(&w);
}
