/* verify.c: the rules of graph.h, held against a module.
 *
 * It trusts nothing that a pass might break: ids, definition before use, what operators infer,
 * layouts, writes.  An operator's infer writes into its node, so it runs on a copy.  Rules are
 * checked to the end; the first twenty broken ones are reported.
 */
#include "text_parts.h"

#include <string.h>

enum { MOST_REPORTS = 20 };

typedef struct verifier {
    tlc_ctx *ctx;
    const tlc_module *m;
    tlc_status code;      /* what a broken rule is reported as */
    const tlc_value **by_id;
    const tlc_func **seen;    /* by id: the function in which it is defined so far */
    const tlc_func **written; /* by id: the function in which it was overwritten */
    int broken;
} verifier;

/* --- what is shared with printer and parser ------------------------------------------ */

bool tlc_layout_fits(const tlc_shape *s, const tlc_layout *l)
{
    bool halo = false;
    for (int i = 0; i < 4; ++i) {
        if (l->halo[i] < 0 || l->halo[i] > TLC_MOST_HALO)
            return false;
        halo = halo || l->halo[i] > 0;
    }
    if (halo && (s->rank != 4 || (l->kind != TLC_PLAIN && l->kind != TLC_C16)))
        return false;
    switch (l->kind) {
    case TLC_PLAIN:
        return true;
    case TLC_C16:
        return s->rank >= 1 && s->dim[s->rank > 1] >= 1;
    case TLC_OI16:
    case TLC_STEM16:
    case TLC_DW16:
        return s->rank == 4 && s->dim[0] >= 1;
    case TLC_LIN16:
        return s->rank == 2 && s->dim[0] >= 1;
    case TLC_NHWC:
        return s->rank == 4 || s->rank == 5;
    case TLC_LAYOUT_COUNT:
        break;
    }
    return false;
}

int tlc_op_n_written(tlc_op op)
{
    switch (op) {
    case TLC_OP_SGD_UPDATE: /* w, momentum buffer */
    case TLC_OP_LINEAR_SGD:
    case TLC_OP_CONV2D_SGD:
    case TLC_OP_WINOGRAD_SGD:
    case TLC_OP_BATCH_NORM_STATS: /* running mean, running variance */
        return 2;
    case TLC_OP_ADAM_UPDATE: /* w, m, v */
    case TLC_OP_LINEAR_ADAM:
    case TLC_OP_CONV2D_ADAM:
    case TLC_OP_WINOGRAD_ADAM:
        return 3;
    case TLC_OP_WINOGRAD_WEIGHTS:
    case TLC_OP_ACCUMULATE:
        return 1;
    default:
        return 0;
    }
}

/* --- reporting ------------------------------------------------------------------------ */

/* False once enough was said: the caller files nothing. */
static bool counts(verifier *v)
{
    return ++v->broken <= MOST_REPORTS;
}

#define BROKEN(v, id, ...)                                      \
    do {                                                        \
        if (counts(v))                                          \
            (void)tlc_fail((v)->ctx, (v)->code, id, __VA_ARGS__); \
    } while (0)

static void at_node(verifier *v, const tlc_node *n)
{
    tlc_at(v->ctx, "@%s: %s%s%s", n->func->name, tlc_ops[n->op].name, n->name ? " " : "",
           n->name ? tlc_quote_name(v->ctx, n->name) : "");
}

/* --- values ------------------------------------------------------------------------------ */

static void check_id(verifier *v, const tlc_value *value, const char *what)
{
    if (value->id < 0 || value->id >= v->m->n_values)
        BROKEN(v, "E_ID", "%s has id %d, %d values", what, value->id, v->m->n_values);
    else if (v->by_id[value->id])
        BROKEN(v, "E_DUPLICATE", "id %d of %s is defined twice", value->id, what);
    else
        v->by_id[value->id] = value;
}

static bool has_known_id(const verifier *v, const tlc_value *value)
{
    return value->id >= 0 && value->id < v->m->n_values && v->by_id[value->id] == value;
}

static void check_type(verifier *v, const tlc_value *value, const char *what)
{
    if ((unsigned)value->type >= TLC_TYPE_COUNT || value->shape.rank < 0 ||
        value->shape.rank > TLC_MAX_RANK) {
        BROKEN(v, "E_TYPE", "%s has no type", what);
        return;
    }
    if (!tlc_layout_fits(&value->shape, &value->layout))
        BROKEN(v, "E_LAYOUT", "layout of %s does not fit its type %s", what,
               tlc_type_text(v->ctx, value));
}

static void check_global(verifier *v, const tlc_value *g)
{
    const char *what = tlc_quote_name(v->ctx, g->name);
    check_id(v, g, what);
    check_type(v, g, what);
    if (!tlc_is_global(g))
        BROKEN(v, "E_GLOBAL", "global %s is const, param nor state", what);
    if (tlc_shape_has_n(&g->shape))
        BROKEN(v, "E_GLOBAL", "global %s depends on the batch n", what);
    if (g->kind == TLC_CONST && !g->data)
        BROKEN(v, "E_GLOBAL", "const %s has no data", what);
    if (g->kind == TLC_PARAM && !g->data && g->init == TLC_INIT_NONE)
        BROKEN(v, "E_GLOBAL", "param %s has neither data nor initial values", what);
}

/* --- nodes --------------------------------------------------------------------------------- */

/* Is `value` there to be read in `f` now?  A global that was written is, but must not be. */
static bool check_readable(verifier *v, const tlc_func *f, const tlc_value *value)
{
    if (!has_known_id(v, value)) {
        BROKEN(v, "E_UNDEFINED", "value %d is undefined", value->id);
        return false;
    }
    if (tlc_is_global(value)) {
        if (v->written[value->id] == f)
            BROKEN(v, "E_WRITTEN", "%s is read after it was written",
                   tlc_quote_name(v->ctx, value->name));
        return true;
    }
    if (v->seen[value->id] != f) {
        BROKEN(v, "E_ORDER", "value %d is defined later or in another function", value->id);
        return false;
    }
    return true;
}

static void check_writes(verifier *v, const tlc_node *n)
{
    for (int i = 0; i < tlc_op_n_written(n->op); ++i) {
        const tlc_value *w = n->in[i];
        if (!w || (w->kind != TLC_PARAM && w->kind != TLC_STATE))
            BROKEN(v, "E_WRITTEN", "operand %d of %s is no param or state", i,
                   tlc_ops[n->op].name);
        else if (has_known_id(v, w))
            v->written[w->id] = n->func;
    }
}

static void compare_result(verifier *v, const tlc_node *n, const tlc_value *inferred, int i)
{
    const tlc_value *out = n->out[i];
    tlc_value declared = *out;
    declared.layout = inferred->layout;
    if (out->type != inferred->type || !tlc_shape_equal(&out->shape, &inferred->shape))
        BROKEN(v, "E_TYPE", "result %d has type %s, %s gives %s", i,
               tlc_type_text(v->ctx, &declared), tlc_ops[n->op].name,
               tlc_type_text(v->ctx, inferred));
}

/* Run infer on a copy and compare; memory is given back where nothing was filed. */
static void check_infer(verifier *v, const tlc_node *n)
{
    tlc_arena *arena = &v->ctx->arena;
    tlc_arena_mark mark = tlc_arena_save(arena);
    size_t filed = v->ctx->n_diags;
    tlc_node copy = *n;
    copy.out = TLC_NEW_ARRAY(arena, tlc_value *, n->n_out);
    for (int i = 0; i < n->n_out; ++i) {
        copy.out[i] = TLC_NEW(arena, tlc_value);
        *copy.out[i] = *n->out[i];
    }
    if (tlc_node_infer(v->ctx, &copy) != TLC_OK) {
        /* The operator has said what is wrong; whose fault it is only we know. */
        v->ctx->diags[v->ctx->n_diags - 1].code = v->code;
        ++v->broken;
    } else {
        for (int i = 0; i < n->n_out; ++i)
            compare_result(v, n, copy.out[i], i);
    }
    if (v->ctx->n_diags == filed)
        tlc_arena_rewind(arena, mark);
}

static void check_results(verifier *v, const tlc_node *n)
{
    for (int i = 0; i < n->n_out; ++i) {
        const tlc_value *out = n->out[i];
        check_type(v, out, "a result");
        if (out->kind != TLC_RESULT || out->def != n || out->result_index != i)
            BROKEN(v, "E_RESULT", "result %d does not name its node", i);
        if (has_known_id(v, out))
            v->seen[out->id] = n->func;
    }
}

static void check_node(verifier *v, const tlc_func *f, const tlc_node *n)
{
    bool readable = true;
    if ((unsigned)n->op >= TLC_OP_COUNT || n->func != f ||
        n->n_out != tlc_ops[n->op].results) {
        BROKEN(v, "E_NODE", "a node of @%s is no operation", f->name);
        return;
    }
    at_node(v, n);
    for (int i = 0; i < n->n_in; ++i)
        if (n->in[i])
            readable = check_readable(v, f, n->in[i]) && readable;
    if (readable && v->broken < MOST_REPORTS)
        check_infer(v, n);
    check_results(v, n);
    if (n->n_in >= tlc_op_n_written(n->op))
        check_writes(v, n);
}

/* Every id first, so that a value defined later is told from one that is nowhere. */
static void check_ids(verifier *v, const tlc_func *f)
{
    for (size_t i = 0; i < f->n_in; ++i)
        check_id(v, f->in[i], "an input");
    for (const tlc_node *n = f->first; n; n = n->next)
        for (int i = 0; i < n->n_out; ++i)
            check_id(v, n->out[i], "a result");
}

static void check_func(verifier *v, const tlc_func *f)
{
    int count = 0;
    tlc_at(v->ctx, "@%s", f->name);
    for (size_t i = 0; i < f->n_in; ++i) {
        check_type(v, f->in[i], "an input");
        if (has_known_id(v, f->in[i]))
            v->seen[f->in[i]->id] = f;
    }
    for (const tlc_node *n = f->first; n; n = n->next, ++count) {
        const tlc_node *prev = n->prev;
        if (prev ? prev->next != n : f->first != n)
            BROKEN(v, "E_NODE", "the list of nodes is broken");
        check_node(v, f, n);
    }
    tlc_at(v->ctx, "@%s", f->name);
    if (count != f->n_nodes)
        BROKEN(v, "E_NODE", "%d nodes, counted as %d", count, f->n_nodes);
    /* A returned parameter may well have been written: its new value is what is returned. */
    for (size_t i = 0; i < f->n_out; ++i)
        if (!f->out[i])
            BROKEN(v, "E_UNDEFINED", "returned value %zu is undefined", i);
        else if (!tlc_is_global(f->out[i]))
            (void)check_readable(v, f, f->out[i]);
}

tlc_status tlc_verify_module_as(tlc_ctx *ctx, const tlc_module *m, tlc_status code)
{
    verifier v = { .ctx = ctx, .m = m, .code = code };
    char where[sizeof ctx->where];
    memcpy(where, ctx->where, sizeof where);
    tlc_at(ctx, "%s", "");
    v.by_id = TLC_NEW_ARRAY(&ctx->arena, const tlc_value *, m->n_values);
    v.seen = TLC_NEW_ARRAY(&ctx->arena, const tlc_func *, m->n_values);
    v.written = TLC_NEW_ARRAY(&ctx->arena, const tlc_func *, m->n_values);
    for (size_t i = 0; i < m->n_globals; ++i)
        check_global(&v, m->globals[i]);
    for (const tlc_func *f = m->first_func; f; f = f->next)
        check_ids(&v, f);
    for (const tlc_func *f = m->first_func; f; f = f->next)
        check_func(&v, f);
    tlc_at(ctx, "%s", "");
    if (v.broken > MOST_REPORTS)
        (void)tlc_fail(ctx, code, "E_MORE", "%d more", v.broken - MOST_REPORTS);
    memcpy(ctx->where, where, sizeof where);
    return v.broken ? code : TLC_OK;
}

tlc_status tlc_verify_module(tlc_ctx *ctx, const tlc_module *m)
{
    return tlc_verify_module_as(ctx, m, TLC_E_INTERNAL);
}
