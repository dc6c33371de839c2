/* print.c: the module as text that the parser reads back to the same text.
 *
 * Results, and inputs and globals without a name of their own, are numbered densely in the order
 * of printing, so that text does not change where a pass has made and dropped values before.
 * Every other byte follows from the module alone: names are escaped, floats are the shortest
 * decimals that read back, lists with a NaN are hexadecimal bytes.
 */
#include "scope.h"
#include "text_parts.h"

#include "tlb_escape.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct printer {
    tlc_cwriter *w;
    tlc_ctx *ctx;
    int *number;   /* by value id: its number, -1: printed by name; NULL: the ids themselves, which
                    * emitted names and offsets carry */
    int n_numbers; /* given out */
} printer;

/* --- names ------------------------------------------------------------------------- */

static bool is_plain_name(const char *name)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                  "0123456789_.$/:-";
    size_t len = strlen(name);
    return len && strspn(name, allowed) == len && name[len - 1] != ':' &&
           strspn(name, "0123456789") != len;
}

static void w_escaped(tlc_cwriter *w, const char *bytes)
{
    size_t len = strlen(bytes), cap = 4 * len + 1;
    char *text = tlc_arena_alloc(w->arena, cap);
    size_t n = tlb_escape(text, cap, bytes, len);
    tlc_w(w, "\"");
    tlc_w_bytes(w, text, n);
    tlc_w(w, "\"");
}

static void w_name(tlc_cwriter *w, const char *mark, const char *name)
{
    tlc_w(w, "%s", mark);
    if (is_plain_name(name))
        tlc_w_bytes(w, name, strlen(name));
    else
        w_escaped(w, name);
}

static void w_ref(printer *p, const tlc_value *v)
{
    if (!v)
        tlc_w(p->w, "_");
    else if (!p->number)
        tlc_w(p->w, "%%%d", v->id);
    else if (p->number[v->id] >= 0)
        tlc_w(p->w, "%%%d", p->number[v->id]);
    else
        w_name(p->w, "%", v->name);
}

/* ` ; "name"`: where the thing comes from. */
static void w_origin(tlc_cwriter *w, const char *name)
{
    if (!name)
        return;
    tlc_w(w, " ; ");
    w_escaped(w, name);
}

/* --- numbers and data ------------------------------------------------------------- */

static void w_float(tlc_cwriter *w, float x)
{
    char text[32];
    if (isinf(x)) {
        tlc_w(w, x > 0 ? "inf" : "-inf");
        return;
    }
    if (tlc_is_short_integer(x)) {
        tlc_w(w, "%.0f", (double)x);
        return;
    }
    for (int digits = 1; digits <= 9; ++digits) {
        snprintf(text, sizeof text, "%.*g", digits, (double)x);
        if (strtof(text, NULL) == x)
            break;
    }
    tlc_w(w, "%s", text);
}

static void w_element(tlc_cwriter *w, const tlc_value *v, int64_t i)
{
    if (v->type == TLC_F32)
        w_float(w, (float)tlc_data_f64(v, i));
    else if (v->type == TLC_F64)
        tlc_w_double(w, tlc_data_f64(v, i));
    else if (tlc_data_i64(v, i) == TLC_DIM_SYMBOL)
        tlc_w(w, "n");
    else
        tlc_w(w, "%" PRId64, tlc_data_i64(v, i));
}

static void w_list(tlc_cwriter *w, const tlc_value *v)
{
    int64_t elems = tlc_shape_elems(&v->shape);
    tlc_w(w, "= [");
    for (int64_t i = 0; i < elems; ++i) {
        tlc_w(w, i ? ", " : "");
        w_element(w, v, i);
    }
    tlc_w(w, "]");
}

static unsigned char byte_at(const tlc_value *v, int64_t i)
{
    if (!v->scale)
        return ((const unsigned char *)v->data)[i];
    const float x = (float)tlc_data_f64(v, i / (int64_t)sizeof x);
    return ((const unsigned char *)&x)[i % (int64_t)sizeof x];
}

/* The bytes as they lie, in pieces that fit a buffer. */
static void w_hex(tlc_cwriter *w, const tlc_value *v)
{
    static const char digits[] = "0123456789abcdef";
    int64_t elems = v->splat ? 1 : tlc_shape_elems(&v->shape);
    int64_t n = elems * tlc_type_bytes(v->data_type);
    char piece[1024];
    size_t used = 0;
    tlc_w(w, v->splat ? "= splat hex \"" : "= hex \"");
    for (int64_t i = 0; i < n; ++i) {
        const unsigned char byte = byte_at(v, i);
        piece[used++] = digits[byte >> 4];
        piece[used++] = digits[byte & 15];
        if (used == sizeof piece || i + 1 == n) {
            tlc_w_bytes(w, piece, used);
            used = 0;
        }
    }
    tlc_w(w, "\"");
}

/* Decimals would lose the bits of a NaN. */
static bool has_nan(const tlc_value *v)
{
    int64_t elems = v->splat ? 1 : tlc_shape_elems(&v->shape);
    if (tlc_is_float(v->data_type))
        for (int64_t i = 0; i < elems; ++i)
            if (isnan(tlc_data_f64(v, i)))
                return true;
    return false;
}

/* Data of another element type than the value's (after --precision fp64) names its own. */
static void w_data_type(tlc_cwriter *w, const tlc_value *v)
{
    if (v->data_type != v->type)
        tlc_w(w, " %s", tlc_type_name(v->data_type));
}

static void w_data(tlc_cwriter *w, const tlc_value *v)
{
    bool inline_list = v->splat || tlc_shape_elems(&v->shape) <= TLC_INLINE_ELEMS;
    if (v->file && !v->splat) {
        tlc_w(w, "data ");
        w_escaped(w, v->file);
        tlc_w(w, " %" PRId64, v->file_offset);
        w_data_type(w, v);
    } else if (v->data_type != v->type || !inline_list || has_nan(v)) {
        w_hex(w, v);
        w_data_type(w, v);
    } else if (v->splat) {
        tlc_w(w, "= splat ");
        w_element(w, v, 0);
    } else {
        w_list(w, v);
    }
}

static void w_init(tlc_cwriter *w, const tlc_value *v)
{
    static const char *const names[] = {
        [TLC_INIT_CONSTANT] = "constant ",
        [TLC_INIT_UNIFORM_FAN_IN] = "uniform fan_in=",
        [TLC_INIT_NORMAL] = "normal std=",
        [TLC_INIT_NORMAL_FAN_OUT] = "normal fan_out=",
    };
    tlc_w(w, "init %s", names[v->init]);
    tlc_w_double(w, v->init_value);
}

static void w_global(printer *p, const tlc_value *v)
{
    static const char *const kinds[] = { [TLC_CONST] = "const", [TLC_PARAM] = "param",
                                         [TLC_STATE] = "state" };
    tlc_w(p->w, "%s ", kinds[v->kind]);
    w_ref(p, v);
    tlc_w(p->w, " : %s ", tlc_type_text(p->ctx, v));
    if (v->data)
        w_data(p->w, v);
    else if (v->init != TLC_INIT_NONE)
        w_init(p->w, v);
    else
        tlc_w(p->w, "zero");
    if (p->number[v->id] >= 0)
        w_origin(p->w, v->name);
    tlc_w(p->w, "\n");
}

/* --- attributes ---------------------------------------------------------------------- */

static void w_ints(tlc_cwriter *w, const tlc_attr_def *d, const tlc_ints *list)
{
    /* A batch in a target shape is spelt as in a type. */
    bool is_shape = strcmp(d->name, "shape") == 0;
    tlc_w(w, "[");
    for (int i = 0; i < list->n; ++i) {
        tlc_w(w, i ? "," : "");
        if (is_shape && list->v[i] == TLC_DIM_N)
            tlc_w(w, "n");
        else
            tlc_w(w, "%" PRId64, list->v[i]);
    }
    tlc_w(w, "]");
}

static void w_attr(tlc_cwriter *w, const tlc_attr_def *d, const void *member)
{
    switch (d->kind) {
    case TLC_ATTR_INT:
        tlc_w(w, "%" PRId64, *(const int64_t *)member);
        break;
    case TLC_ATTR_FLOAT:
        tlc_w_double(w, *(const double *)member);
        break;
    case TLC_ATTR_BOOL:
        tlc_w(w, *(const bool *)member ? "true" : "false");
        break;
    case TLC_ATTR_INTS:
        w_ints(w, d, member);
        break;
    case TLC_ATTR_WORD:
        tlc_w(w, "%s", d->names[*(const int *)member]);
        break;
    case TLC_ATTR_TYPE:
        tlc_w(w, "%s", tlc_type_name(*(const tlc_type *)member));
        break;
    }
}

static bool ints_equal(const tlc_ints *a, const tlc_ints *b)
{
    return a->n == b->n && memcmp(a->v, b->v, (size_t)a->n * sizeof a->v[0]) == 0;
}

static bool attr_equal(const tlc_attr_def *d, const void *a, const void *b)
{
    switch (d->kind) {
    case TLC_ATTR_INT:
        return *(const int64_t *)a == *(const int64_t *)b;
    case TLC_ATTR_FLOAT: /* the bits: -0 is not the default 0 */
        return memcmp(a, b, sizeof(double)) == 0;
    case TLC_ATTR_BOOL:
        return *(const bool *)a == *(const bool *)b;
    case TLC_ATTR_INTS:
        return ints_equal(a, b);
    case TLC_ATTR_WORD:
        return *(const int *)a == *(const int *)b;
    case TLC_ATTR_TYPE:
        return *(const tlc_type *)a == *(const tlc_type *)b;
    }
    return false;
}

/* ` {stride=[2,2]}`: what differs from the defaults. */
static void w_attrs(tlc_cwriter *w, const tlc_node *n)
{
    const tlc_op_def *def = tlc_ops[n->op].def;
    if (!def->attrs)
        return;
    char *defaults = tlc_arena_alloc(w->arena, def->attrs_size);
    const char *between = " {";
    tlc_attrs_default(n->op, defaults);
    for (const tlc_attr_def *d = def->attrs; d->name; ++d) {
        const char *member = (const char *)n->attrs + d->offset;
        if (d->text && attr_equal(d, member, defaults + d->offset))
            continue;
        tlc_w(w, "%s%s=", between, d->name);
        w_attr(w, d, member);
        between = ", ";
    }
    tlc_w(w, between[0] == ',' ? "}" : "");
}

/* --- nodes, functions ------------------------------------------------------------------ */

static void w_node(printer *p, const tlc_node *n)
{
    for (int i = 0; i < n->n_out; ++i) {
        tlc_w(p->w, i ? ", " : "");
        w_ref(p, n->out[i]);
    }
    for (int i = 0; i < n->n_out; ++i)
        tlc_w(p->w, "%s%s", i ? ", " : " : ", tlc_type_text(p->ctx, n->out[i]));
    tlc_w(p->w, "%s%s", n->n_out ? " = " : "", tlc_ops[n->op].name);
    for (int i = 0; i < n->n_in; ++i) {
        tlc_w(p->w, i ? ", " : " ");
        w_ref(p, n->in[i]);
    }
    w_attrs(p->w, n);
}

static void w_signature(printer *p, const tlc_func *f)
{
    tlc_w(p->w, "func @%s(", f->name);
    for (size_t i = 0; i < f->n_in; ++i) {
        tlc_w(p->w, i ? ", " : "");
        w_ref(p, f->in[i]);
        tlc_w(p->w, ": %s", tlc_type_text(p->ctx, f->in[i]));
    }
    tlc_w(p->w, ")");
    for (size_t i = 0; i < f->n_out; ++i)
        tlc_w(p->w, "%s%s", i ? ", " : " -> ", tlc_type_text(p->ctx, f->out[i]));
    tlc_w(p->w, " {\n");
}

static void number_value(printer *p, const tlc_value *v)
{
    p->number[v->id] = p->n_numbers++;
}

/* By name where it has one that nobody before it has, else by number. */
static void name_value(printer *p, tlc_scope *taken, const tlc_scope *outer, tlc_value *v)
{
    tlc_name name = { .bytes = v->name, .len = v->name ? strlen(v->name) : 0 };
    if (!v->name || (outer && tlc_scope_find(outer, name)) || !tlc_scope_add(taken, name, v))
        number_value(p, v);
}

static void w_func(printer *p, const tlc_scope *globals, const tlc_func *f)
{
    tlc_scope inputs = { .arena = &p->ctx->arena };
    for (size_t i = 0; i < f->n_in; ++i)
        name_value(p, &inputs, globals, f->in[i]);
    for (const tlc_node *n = f->first; n; n = n->next)
        for (int i = 0; i < n->n_out; ++i)
            number_value(p, n->out[i]);
    tlc_w(p->w, "\n");
    w_signature(p, f);
    for (const tlc_node *n = f->first; n; n = n->next) {
        tlc_w(p->w, "  ");
        w_node(p, n);
        w_origin(p->w, n->name);
        tlc_w(p->w, "\n");
    }
    tlc_w(p->w, "  return");
    for (size_t i = 0; i < f->n_out; ++i) {
        tlc_w(p->w, i ? ", " : " ");
        w_ref(p, f->out[i]);
    }
    tlc_w(p->w, "\n}\n");
}

void tlc_print_module(tlc_cwriter *w, const tlc_module *m)
{
    printer p = { .w = w, .ctx = m->ctx };
    tlc_scope globals = { .arena = &m->ctx->arena };
    p.number = TLC_NEW_ARRAY(&m->ctx->arena, int, m->n_values);
    for (int i = 0; i < m->n_values; ++i)
        p.number[i] = -1;
    tlc_w(w, "module ");
    w_escaped(w, m->name ? m->name : "");
    tlc_w(w, "\n%s", m->n_globals ? "\n" : "");
    for (size_t i = 0; i < m->n_globals; ++i)
        name_value(&p, &globals, NULL, m->globals[i]);
    for (size_t i = 0; i < m->n_globals; ++i)
        w_global(&p, m->globals[i]);
    for (const tlc_func *f = m->first_func; f; f = f->next)
        w_func(&p, &globals, f);
}

/* --- one node, for emitted code -------------------------------------------------------- */

/* Only such names may stand in a comment of emitted code (hostile-inputs.md, 5). */
static bool is_comment_name(const char *name)
{
    size_t len = strlen(name);
    return len <= 80 && is_plain_name(name) && !strchr(name, '$');
}

void tlc_print_node(tlc_cwriter *w, const tlc_node *n, bool names_as_plain_comment)
{
    printer p = { .w = w, .ctx = n->func->module->ctx };
    w_node(&p, n);
    if (!names_as_plain_comment)
        w_origin(w, n->name);
    else if (n->name)
        tlc_w(w, " ; %s", is_comment_name(n->name) ? n->name : "?");
}
