/* pass_util.c: helpers that more than one pass uses; see pass_util.h. */
#include "pass_util.h"

#include "tlb_escape.h"

#include <string.h>

/* --- rewriting ---------------------------------------------------------------- */

tlc_rewrite tlc_rewrite_begin(tlc_func *f)
{
    int n = f->module->n_values;
    return (tlc_rewrite){
        .func = f,
        .map = TLC_NEW_ARRAY(&f->module->ctx->arena, tlc_value *, n),
        .uses = tlc_func_count_uses(f),
        .cap = n,
    };
}

/* Values made during the rewrite need entries too. */
static void cover_values(tlc_rewrite *rw, int n)
{
    tlc_arena *arena = &rw->func->module->ctx->arena;
    if (n <= rw->cap)
        return;
    int cap = n > 2 * rw->cap ? n : 2 * rw->cap;
    tlc_value **map = TLC_NEW_ARRAY(arena, tlc_value *, cap);
    int *uses = TLC_NEW_ARRAY(arena, int, cap);
    if (rw->cap) {
        memcpy(map, rw->map, (size_t)rw->cap * sizeof *map);
        memcpy(uses, rw->uses, (size_t)rw->cap * sizeof *uses);
    }
    rw->map = map;
    rw->uses = uses;
    rw->cap = cap;
}

static void count(tlc_rewrite *rw, const tlc_value *v, int by)
{
    if (!v)
        return;
    cover_values(rw, rw->func->module->n_values);
    rw->uses[v->id] += by;
}

void tlc_rewrite_visit(tlc_rewrite *rw, tlc_node *n)
{
    for (int i = 0; i < n->n_in; ++i)
        while (n->in[i] && n->in[i]->id < rw->cap && rw->map[n->in[i]->id])
            n->in[i] = rw->map[n->in[i]->id];
}

int tlc_rewrite_uses(tlc_rewrite *rw, const tlc_value *v)
{
    return v->id < rw->cap ? rw->uses[v->id] : 0;
}

void tlc_rewrite_operand(tlc_rewrite *rw, tlc_node *n, int i, tlc_value *v)
{
    count(rw, n->in[i], -1);
    count(rw, v, 1);
    n->in[i] = v;
}

void tlc_rewrite_value(tlc_rewrite *rw, tlc_value *from, tlc_value *to)
{
    count(rw, to, tlc_rewrite_uses(rw, from));
    rw->uses[from->id] = 0;
    rw->map[from->id] = to;
}

tlc_node *tlc_rewrite_add(tlc_rewrite *rw, tlc_node *before, tlc_op op, const char *name,
                          tlc_value *const *in, int n_in)
{
    tlc_node *n = tlc_node_add(rw->func, before, op, name, in, n_in);
    for (int i = 0; i < n_in; ++i)
        count(rw, in[i], 1);
    return n;
}

void tlc_rewrite_drop(tlc_rewrite *rw, tlc_node *n)
{
    tlc_arena *arena = &rw->func->module->ctx->arena;
    for (int i = 0; i < n->n_in; ++i)
        count(rw, n->in[i], -1);
    TLC_PUSH(arena, rw->dead, rw->n_dead, rw->cap_dead, n);
}

void tlc_rewrite_end(tlc_rewrite *rw)
{
    cover_values(rw, rw->func->module->n_values);
    tlc_func_replace(rw->func, rw->map);
    while (rw->n_dead)
        tlc_node_remove(rw->dead[--rw->n_dead]);
}

/* --- pruning -------------------------------------------------------------------- */

static bool is_needed(const tlc_node *n, const bool *needed)
{
    if (tlc_op_has(n->op, TLC_T_WRITES))
        return true;
    for (int i = 0; i < n->n_out; ++i)
        if (needed[n->out[i]->id])
            return true;
    return false;
}

void tlc_func_prune(tlc_func *f)
{
    bool *needed = TLC_NEW_ARRAY(&f->module->ctx->arena, bool, f->module->n_values);
    for (size_t i = 0; i < f->n_out; ++i)
        needed[f->out[i]->id] = true;
    for (tlc_node *n = f->last, *prev; n; n = prev) {
        prev = n->prev;
        if (!is_needed(n, needed)) {
            tlc_node_remove(n);
            continue;
        }
        for (int i = 0; i < n->n_in; ++i)
            if (n->in[i])
                needed[n->in[i]->id] = true;
    }
}

bool *tlc_module_reads(const tlc_module *m)
{
    bool *reads = TLC_NEW_ARRAY(&m->ctx->arena, bool, m->n_values);
    for (const tlc_func *f = m->first_func; f; f = f->next) {
        for (const tlc_node *n = f->first; n; n = n->next)
            for (int i = 0; i < n->n_in; ++i)
                if (n->in[i])
                    reads[n->in[i]->id] = true;
        for (size_t i = 0; i < f->n_out; ++i)
            reads[f->out[i]->id] = true;
    }
    return reads;
}

void tlc_globals_prune(tlc_module *m)
{
    const bool *reads = tlc_module_reads(m);
    size_t kept = 0;
    for (size_t i = 0; i < m->n_globals; ++i)
        if (reads[m->globals[i]->id])
            m->globals[kept++] = m->globals[i];
    m->n_globals = kept;
}

/* --- questions ------------------------------------------------------------------ */

tlc_value *tlc_single_operand(const tlc_node *n)
{
    tlc_value *found = NULL;
    for (int i = 0; i < n->n_in; ++i) {
        if (!n->in[i] || tlc_is_global(n->in[i]))
            continue;
        if (found)
            return NULL;
        found = n->in[i];
    }
    return found;
}

bool tlc_is_head_op(const tlc_node *n)
{
    bool kind = n->op == TLC_OP_LINEAR || n->op == TLC_OP_MATMUL || n->op == TLC_OP_SOFTMAX ||
                tlc_op_has(n->op, TLC_T_ELEMWISE) || tlc_op_has(n->op, TLC_T_VIEW);
    return kind && tlc_single_operand(n);
}

bool tlc_has_data(const tlc_value *v)
{
    return v && (v->kind == TLC_CONST || v->kind == TLC_PARAM) && v->data;
}

bool tlc_is_const_data(const tlc_value *v)
{
    return v && v->kind == TLC_CONST && v->data;
}

/* --- names ---------------------------------------------------------------------- */

const char *tlc_name_stem(tlc_ctx *ctx, const char *name, const char *suffix)
{
    size_t len = name ? strlen(name) : 0, end = strlen(suffix);
    if (len <= end + 1 || name[len - end - 1] != '.' || strcmp(name + len - end, suffix) != 0)
        return NULL;
    return tlc_arena_strndup(&ctx->arena, name, len - end - 1);
}

const char *tlc_escaped(tlc_ctx *ctx, const char *name)
{
    char text[TLB_ESCAPED_NAME_BYTES];
    tlb_escape_name(text, sizeof text, name, strlen(name));
    return tlc_arena_strdup(&ctx->arena, text);
}

static bool is_below(const char *name, const char *folder)
{
    size_t len = strlen(folder);
    return len && strncmp(name, folder, len) == 0 && (name[len] == '/' || name[len] == '.');
}

tlc_node *tlc_node_by_name(tlc_func *f, const char *name)
{
    char text[TLB_ESCAPED_NAME_BYTES];
    tlc_node *below = NULL;
    for (tlc_node *n = f->first; n; n = n->next) {
        if (!n->name)
            continue;
        tlb_escape_name(text, sizeof text, n->name, strlen(n->name));
        if (strcmp(n->name, name) == 0 || strcmp(text, name) == 0)
            return n;
        if (!below && is_below(n->name, name))
            below = n;
    }
    return below;
}

void tlc_at_node(tlc_ctx *ctx, const tlc_node *n)
{
    if (n->name)
        tlc_at(ctx, "node %s", tlc_quote_name(ctx, n->name));
    else
        tlc_at(ctx, "%s", tlc_ops[n->op].name);
}

/* --- building ------------------------------------------------------------------- */

tlc_value *tlc_global_reshaped(tlc_module *m, const tlc_value *v, tlc_shape shape)
{
    tlc_value *r = tlc_global_add(m, v->kind, v->name, v->type, shape);
    r->data = v->data;
    r->data_type = v->data_type;
    r->splat = v->splat;
    r->scale = v->scale;
    r->scale_run = v->scale_run;
    r->file = v->file;
    r->file_offset = v->file_offset;
    r->init = v->init;
    r->init_value = v->init_value;
    return r;
}

enum { MOST_OPERANDS = 64 }; /* of any row of ops.def */

tlc_status tlc_node_clone(tlc_ctx *ctx, tlc_func *f, const tlc_node *n, tlc_value **map)
{
    tlc_value *in[MOST_OPERANDS];
    for (int i = 0; i < n->n_in; ++i)
        in[i] = n->in[i] && map[n->in[i]->id] ? map[n->in[i]->id] : n->in[i];
    tlc_node *c = tlc_node_add(f, NULL, n->op, n->name, in, n->n_in);
    if (tlc_ops[n->op].def->attrs_size)
        memcpy(c->attrs, n->attrs, tlc_ops[n->op].def->attrs_size);
    TLC_TRY(tlc_node_infer(ctx, c));
    for (int i = 0; i < n->n_out; ++i) {
        c->out[i]->name = n->out[i]->name;
        map[n->out[i]->id] = c->out[i];
    }
    return TLC_OK;
}

/* --- precision ------------------------------------------------------------------- */

static void widen(tlc_value *v)
{
    if (v && v->type == TLC_F32)
        v->type = TLC_F64;
}

static void widen_attrs(tlc_node *n)
{
    if (n->op == TLC_OP_CAST && TLC_ATTRS(n, tlc_cast_attrs)->to == TLC_F32)
        TLC_ATTRS(n, tlc_cast_attrs)->to = TLC_F64;
}

void tlc_module_to_f64(tlc_module *m)
{
    for (size_t i = 0; i < m->n_globals; ++i)
        widen(m->globals[i]);
    for (tlc_func *f = m->first_func; f; f = f->next) {
        for (size_t i = 0; i < f->n_in; ++i)
            widen(f->in[i]);
        for (tlc_node *n = f->first; n; n = n->next) {
            widen_attrs(n);
            for (int i = 0; i < n->n_out; ++i)
                widen(n->out[i]);
        }
    }
}
