/* graph.c: building and walking the IR; everything lies in the context's arena. */
#include "graph.h"

#include "op.h"

#include <string.h>

tlc_module *tlc_module_make(tlc_ctx *ctx, const char *name)
{
    tlc_module *m = TLC_NEW(&ctx->arena, tlc_module);
    m->ctx = ctx;
    m->name = name;
    return m;
}

/* --- functions ------------------------------------------------------------- */

tlc_func *tlc_func_add(tlc_module *m, const char *name)
{
    tlc_func *f = TLC_NEW(&m->ctx->arena, tlc_func);
    f->name = name;
    f->module = m;
    if (m->last_func)
        m->last_func->next = f;
    else
        m->first_func = f;
    m->last_func = f;
    return f;
}

tlc_func *tlc_func_find(const tlc_module *m, const char *name)
{
    for (tlc_func *f = m->first_func; f; f = f->next)
        if (strcmp(f->name, name) == 0)
            return f;
    return NULL;
}

void tlc_func_remove(tlc_module *m, tlc_func *f)
{
    tlc_func *before = NULL;
    for (tlc_func *g = m->first_func; g != f; g = g->next)
        before = g;
    if (before)
        before->next = f->next;
    else
        m->first_func = f->next;
    if (m->last_func == f)
        m->last_func = before;
}

/* --- values ---------------------------------------------------------------- */

static tlc_value *new_value(tlc_module *m, tlc_value_kind kind, const char *name, tlc_type type,
                            tlc_shape shape)
{
    tlc_value *v = TLC_NEW(&m->ctx->arena, tlc_value);
    v->id = m->n_values++;
    v->name = name;
    v->kind = kind;
    v->type = v->data_type = type;
    v->shape = shape;
    return v;
}

tlc_value *tlc_global_add(tlc_module *m, tlc_value_kind kind, const char *name, tlc_type type,
                          tlc_shape shape)
{
    tlc_value *v = new_value(m, kind, name, type, shape);
    TLC_PUSH(&m->ctx->arena, m->globals, m->n_globals, m->cap_globals, v);
    return v;
}

tlc_value *tlc_global_find(const tlc_module *m, const char *name)
{
    for (size_t i = 0; i < m->n_globals; ++i)
        if (m->globals[i]->name && strcmp(m->globals[i]->name, name) == 0)
            return m->globals[i];
    return NULL;
}

tlc_value *tlc_input_add(tlc_func *f, const char *name, tlc_type type, tlc_shape shape)
{
    tlc_value *v = new_value(f->module, TLC_INPUT, name, type, shape);
    TLC_PUSH(&f->module->ctx->arena, f->in, f->n_in, f->cap_in, v);
    return v;
}

void tlc_return_add(tlc_func *f, tlc_value *v)
{
    TLC_PUSH(&f->module->ctx->arena, f->out, f->n_out, f->cap_out, v);
}

/* --- nodes ----------------------------------------------------------------- */

static void link_before(tlc_func *f, tlc_node *n, tlc_node *before)
{
    n->next = before;
    n->prev = before ? before->prev : f->last;
    if (n->prev)
        n->prev->next = n;
    else
        f->first = n;
    if (before)
        before->prev = n;
    else
        f->last = n;
    ++f->n_nodes;
}

static void unlink_node(tlc_node *n)
{
    tlc_func *f = n->func;
    if (n->prev)
        n->prev->next = n->next;
    else
        f->first = n->next;
    if (n->next)
        n->next->prev = n->prev;
    else
        f->last = n->prev;
    --f->n_nodes;
}

tlc_node *tlc_node_add(tlc_func *f, tlc_node *before, tlc_op op, const char *name,
                       tlc_value *const *in, int n_in)
{
    tlc_module *m = f->module;
    tlc_arena *arena = &m->ctx->arena;
    tlc_node *n = TLC_NEW(arena, tlc_node);
    n->op = op;
    n->name = name;
    n->func = f;
    n->n_in = n_in;
    n->in = TLC_NEW_ARRAY(arena, tlc_value *, n_in);
    if (n_in)
        memcpy(n->in, in, (size_t)n_in * sizeof *in);
    n->n_out = tlc_ops[op].results;
    n->out = TLC_NEW_ARRAY(arena, tlc_value *, n->n_out);
    for (int i = 0; i < n->n_out; ++i) {
        n->out[i] = new_value(m, TLC_RESULT, NULL, TLC_F32, (tlc_shape){ 0 });
        n->out[i]->def = n;
        n->out[i]->result_index = i;
    }
    n->attrs = tlc_arena_alloc(arena, tlc_ops[op].def->attrs_size);
    tlc_attrs_default(op, n->attrs);
    link_before(f, n, before);
    return n;
}

const char *tlc_node_label(const tlc_node *n)
{
    if (n->name || (n->n_out > 0 && n->out[0]->name))
        return n->name ? n->name : n->out[0]->name;
    for (int i = 0; i < n->n_in; ++i)
        if (n->in[i] && tlc_is_global(n->in[i]) && n->in[i]->name)
            return n->in[i]->name;
    return NULL;
}

void tlc_node_remove(tlc_node *n)
{
    unlink_node(n);
    n->prev = n->next = NULL;
    n->func = NULL;
}

void tlc_node_move_before(tlc_node *n, tlc_node *before)
{
    unlink_node(n);
    link_before(n->func, n, before);
}

/* The end of the chain v -> map[v] -> ...; values made after the map was have no entry. */
static tlc_value *replacement(tlc_value *const *map, int n_map, tlc_value *v)
{
    while (v && v->id < n_map && map[v->id])
        v = map[v->id];
    return v;
}

void tlc_func_replace(tlc_func *f, tlc_value *const *map)
{
    int n_map = f->module->n_values;
    for (tlc_node *n = f->first; n; n = n->next)
        for (int i = 0; i < n->n_in; ++i)
            n->in[i] = replacement(map, n_map, n->in[i]);
    for (size_t i = 0; i < f->n_out; ++i)
        f->out[i] = replacement(map, n_map, f->out[i]);
}

int *tlc_func_count_uses(tlc_func *f)
{
    int *uses = TLC_NEW_ARRAY(&f->module->ctx->arena, int, f->module->n_values);
    for (tlc_node *n = f->first; n; n = n->next)
        for (int i = 0; i < n->n_in; ++i)
            if (n->in[i])
                ++uses[n->in[i]->id];
    for (size_t i = 0; i < f->n_out; ++i)
        ++uses[f->out[i]->id];
    return uses;
}

/* --- types and shapes ------------------------------------------------------ */

static const struct {
    const char *name;
    int bytes;
} types[TLC_TYPE_COUNT] = {
    [TLC_F32] = { "f32", 4 }, [TLC_F64] = { "f64", 8 }, [TLC_I64] = { "i64", 8 },
    [TLC_I32] = { "i32", 4 }, [TLC_U8] = { "u8", 1 },   [TLC_BOOL] = { "bool", 1 },
};

int tlc_type_bytes(tlc_type t)
{
    return types[t].bytes;
}

const char *tlc_type_name(tlc_type t)
{
    return types[t].name;
}

bool tlc_is_float(tlc_type t)
{
    return t == TLC_F32 || t == TLC_F64;
}

bool tlc_is_global(const tlc_value *v)
{
    return v->kind == TLC_CONST || v->kind == TLC_PARAM || v->kind == TLC_STATE;
}

tlc_shape tlc_shape_make(int rank, const int64_t *dim)
{
    tlc_shape s = { .rank = rank };
    for (int i = 0; i < rank; ++i)
        s.dim[i] = dim[i];
    return s;
}

bool tlc_shape_equal(const tlc_shape *a, const tlc_shape *b)
{
    return a->rank == b->rank &&
           memcmp(a->dim, b->dim, (size_t)a->rank * sizeof a->dim[0]) == 0;
}

bool tlc_shape_has_n(const tlc_shape *s)
{
    return s->rank > 0 && s->dim[0] == TLC_DIM_N;
}

int64_t tlc_shape_elems(const tlc_shape *s)
{
    int64_t elems = 1;
    for (int i = 0; i < s->rank; ++i)
        elems *= s->dim[i] == TLC_DIM_N ? 1 : s->dim[i];
    return elems;
}

tlc_status tlc_check_shape(tlc_ctx *ctx, const tlc_shape *s, const char *what)
{
    int64_t elems = 1;
    const int64_t *max = ctx->limits.max;
    for (int i = 0; i < s->rank; ++i) {
        int64_t d = s->dim[i];
        if (i == 0 && d == TLC_DIM_N)
            continue;
        if (d < 0 || (d == 0 && s->rank != 1))
            return tlc_fail(ctx, TLC_E_MALFORMED, "E_SHAPE", "%s: dimension %d is %lld, at least 1",
                            what, i, (long long)d);
        if (__builtin_mul_overflow(elems, d, &elems))
            return tlc_fail(ctx, TLC_E_MALFORMED, "E_SHAPE",
                            "%s: size overflows 64 bits at dimension %d", what, i);
    }
    for (int i = 0; i < s->rank; ++i)
        if (s->dim[i] > max[TLB_LIMIT_DIM])
            return tlc_fail(ctx, TLC_E_LIMIT, "E_LIMIT_DIM", "%s: dim %lld, limit dim is %lld", what,
                            (long long)s->dim[i], (long long)max[TLB_LIMIT_DIM]);
    if (elems > max[TLB_LIMIT_ELEMENTS])
        return tlc_fail(ctx, TLC_E_LIMIT, "E_LIMIT_ELEMENTS",
                        "%s: %lld elements, limit elements is %lld", what, (long long)elems,
                        (long long)max[TLB_LIMIT_ELEMENTS]);
    return TLC_OK;
}

static const char *const layout_names[TLC_LAYOUT_COUNT] = {
    [TLC_PLAIN] = "plain",   [TLC_C16] = "c16",   [TLC_OI16] = "oi16",
    [TLC_STEM16] = "stem16", [TLC_DW16] = "dw16", [TLC_LIN16] = "lin16",
    [TLC_NHWC] = "nhwc",
};

const char *tlc_layout_name(tlc_layout_kind k)
{
    return layout_names[k];
}

bool tlc_layout_equal(const tlc_layout *a, const tlc_layout *b)
{
    return a->kind == b->kind && memcmp(a->halo, b->halo, sizeof a->halo) == 0;
}

static bool has_halo(const tlc_layout *l)
{
    return l->halo[0] || l->halo[1] || l->halo[2] || l->halo[3];
}

const char *tlc_type_text(tlc_ctx *ctx, const tlc_value *v)
{
    tlc_arena *a = &ctx->arena;
    const char *text = tlc_arena_printf(a, "%s[", tlc_type_name(v->type));
    for (int i = 0; i < v->shape.rank; ++i) {
        const char *comma = i ? "," : "";
        text = v->shape.dim[i] == TLC_DIM_N
                   ? tlc_arena_printf(a, "%s%sn", text, comma)
                   : tlc_arena_printf(a, "%s%s%lld", text, comma, (long long)v->shape.dim[i]);
    }
    text = tlc_arena_printf(a, "%s]", text);
    const tlc_layout *l = &v->layout;
    if (l->kind == TLC_PLAIN && !has_halo(l))
        return text;
    if (!has_halo(l))
        return tlc_arena_printf(a, "%s{%s}", text, tlc_layout_name(l->kind));
    return tlc_arena_printf(a, "%s{%s, halo=[%d,%d,%d,%d]}", text, tlc_layout_name(l->kind),
                            l->halo[0], l->halo[1], l->halo[2], l->halo[3]);
}

static int64_t blocks16(int64_t channels)
{
    return (channels + 15) / 16 * 16;
}

/* Elements of an activation (n = 1) or vector as it lies, halo and padding included. */
static int64_t stored_elems(const tlc_value *v)
{
    const tlc_shape *s = &v->shape;
    const int *h = v->layout.halo;
    int64_t elems = tlc_shape_elems(s);
    bool blocked = v->layout.kind == TLC_C16;
    if (s->rank == 4) {
        int64_t c = blocked ? blocks16(s->dim[1]) : s->dim[1];
        int64_t batch = s->dim[0] == TLC_DIM_N ? 1 : s->dim[0];
        return batch * c * (h[0] + s->dim[2] + h[2]) * (h[1] + s->dim[3] + h[3]);
    }
    if (!blocked || s->rank == 0)
        return elems;
    int64_t channels = s->rank == 1 ? s->dim[0] : s->dim[1];
    return elems / channels * blocks16(channels);
}

int64_t tlc_value_bytes(const tlc_value *v)
{
    const tlc_shape *s = &v->shape;
    int64_t elems;
    switch (v->layout.kind) {
    case TLC_OI16: /* [oc, ic, kh, kw] */
        elems = blocks16(s->dim[0]) * blocks16(s->dim[1]) * s->dim[2] * s->dim[3];
        break;
    case TLC_STEM16:
        elems = blocks16(s->dim[0]) * s->dim[1] * s->dim[2] * s->dim[3];
        break;
    case TLC_DW16: /* [c, 1, kh, kw] */
        elems = blocks16(s->dim[0]) * s->dim[2] * s->dim[3];
        break;
    case TLC_LIN16: /* [out, in] */
        elems = blocks16(s->dim[0]) * s->dim[1];
        break;
    default:
        elems = stored_elems(v);
    }
    return elems * tlc_type_bytes(v->type);
}

/* --- constant data --------------------------------------------------------- */

static const unsigned char *element(const tlc_value *v, int64_t i)
{
    return (const unsigned char *)v->data + (v->splat ? 0 : i * tlc_type_bytes(v->data_type));
}

double tlc_data_f64(const tlc_value *v, int64_t i)
{
    float f;
    double d;
    switch (v->data_type) {
    case TLC_F32:
        memcpy(&f, element(v, i), sizeof f);
        return v->scale ? (double)(float)(f * v->scale[i / v->scale_run]) : f;
    case TLC_F64:
        memcpy(&d, element(v, i), sizeof d);
        return d;
    default:
        return (double)tlc_data_i64(v, i);
    }
}

const void *tlc_data_bytes(tlc_arena *arena, const tlc_value *v)
{
    if (!v->scale)
        return v->data;
    int64_t elems = tlc_shape_elems(&v->shape);
    float *bytes = TLC_NEW_ARRAY(arena, float, elems);
    for (int64_t i = 0; i < elems; ++i)
        bytes[i] = (float)tlc_data_f64(v, i);
    return bytes;
}

int64_t tlc_data_i64(const tlc_value *v, int64_t i)
{
    int64_t l;
    int32_t s;
    double x;
    switch (v->data_type) {
    case TLC_I64:
        memcpy(&l, element(v, i), sizeof l);
        return l;
    case TLC_I32:
        memcpy(&s, element(v, i), sizeof s);
        return s;
    case TLC_U8:
    case TLC_BOOL:
        return *element(v, i);
    default:
        x = tlc_data_f64(v, i);
        return x >= -0x1p63 && x < 0x1p63 ? (int64_t)x : INT64_MIN;
    }
}

static const int64_t times_none = INT64_MIN / 2;

int64_t tlc_dim_times(int64_t k)
{
    return k == 1 ? TLC_DIM_SYMBOL : times_none - k;
}

int64_t tlc_dim_multiple(int64_t x)
{
    if (x == TLC_DIM_SYMBOL)
        return 1;
    return x <= times_none - 2 && x >= times_none - TLC_DIM_TIMES_MOST ? times_none - x : 0;
}
