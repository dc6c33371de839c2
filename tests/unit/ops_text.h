/* ops_text.h: operands, attributes and constants written as short text, for tables of cases.
 *
 *     operand   [c@|p@|s@]TYPE:DIMS[=ELEMENTS]     c const, p param, s state; else an input
 *     DIMS      3,n,8     "-" for none             ELEMENTS  1,2,n  (n: the batch symbol)
 *     "_"       an operand that is absent          "c@f32:2,3=~1" a splat of 1
 *     attrs     stride=2,2 groups=4 act=relu       set on top of the defaults
 */
#ifndef TLC_TEST_OPS_TEXT_H
#define TLC_TEST_OPS_TEXT_H

#include "op_attrs.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static tlc_type text_type(const char *name, size_t len)
{
    for (int t = 0; t < TLC_TYPE_COUNT; ++t)
        if (strlen(tlc_type_name((tlc_type)t)) == len &&
            strncmp(name, tlc_type_name((tlc_type)t), len) == 0)
            return (tlc_type)t;
    abort();
}

/* "3,n,8", or "-" for none; *end is what follows.  `n` stands for the given number. */
static int text_numbers(const char *at, const char **end, int64_t n, int64_t *out)
{
    int count = 0;
    char *next = (char *)at + 1;
    if (*at == '-' && strchr(" =", at[1])) {
        *end = next; /* strchr finds the final NUL too */
        return 0;
    }
    while (*at && !strchr(" =", *at)) {
        next = (char *)at + 1;
        out[count++] = *at == 'n' ? n : strtoll(at, &next, 10);
        assert(next > at);
        at = *next == ',' ? next + 1 : next;
    }
    *end = at;
    return count;
}

/* Elements of a constant as text, into arena bytes. */
static const void *text_elements(tlc_ctx *ctx, tlc_type t, int64_t count, const char **at)
{
    unsigned char *bytes = tlc_arena_array(&ctx->arena, (size_t)count + 1, 8);
    int size = tlc_type_bytes(t);
    for (int64_t i = 0; i < count; ++i) {
        char *end = (char *)*at;
        bool symbol = **at == 'n' && strncmp(*at, "nan", 3) != 0;
        double d = symbol ? 0 : strtod(*at, &end);
        float f = (float)d;
        int64_t l = symbol ? TLC_DIM_SYMBOL : strtoll(*at, NULL, 10);
        const void *from = t == TLC_F32 ? (void *)&f : t == TLC_F64 ? (void *)&d : (void *)&l;
        memcpy(bytes + i * size, from, (size_t)size);
        *at = symbol ? *at + 1 : end;
        if (**at == ',')
            ++*at;
    }
    return bytes;
}

/* The operand at *at; NULL where it is absent. */
static tlc_value *text_operand(tlc_func *f, const char **at)
{
    tlc_value_kind kind = TLC_INPUT;
    int64_t dims[TLC_MAX_RANK];
    if (**at == '_') {
        ++*at;
        return NULL;
    }
    if ((*at)[1] == '@') {
        kind = **at == 'c' ? TLC_CONST : **at == 'p' ? TLC_PARAM : TLC_STATE;
        *at += 2;
    }
    const char *colon = strchr(*at, ':');
    tlc_type t = text_type(*at, (size_t)(colon - *at));
    tlc_shape s = tlc_shape_make(text_numbers(colon + 1, at, TLC_DIM_N, dims), dims);
    if (kind == TLC_INPUT)
        return tlc_input_add(f, NULL, t, s);
    tlc_value *v = tlc_global_add(f->module, kind, NULL, t, s);
    if (**at == '=') {
        v->splat = (*at)[1] == '~';
        *at += v->splat ? 2 : 1;
        v->data = text_elements(f->module->ctx, t, v->splat ? 1 : tlc_shape_elems(&s), at);
    }
    return v;
}

static void text_set(const tlc_attr_def *d, void *member, const char *text, const char **end)
{
    int64_t numbers[2 * TLC_MAX_RANK];
    tlc_ints list = { 0 };
    size_t len = strcspn(text, " ");
    *end = text + len;
    switch (d->kind) {
    case TLC_ATTR_INT:
        *(int64_t *)member = strtoll(text, NULL, 10);
        break;
    case TLC_ATTR_FLOAT:
        *(double *)member = strtod(text, NULL);
        break;
    case TLC_ATTR_BOOL:
        *(bool *)member = *text == 't';
        break;
    case TLC_ATTR_INTS:
        list.n = text_numbers(text, end, TLC_DIM_N, numbers);
        memcpy(list.v, numbers, (size_t)list.n * sizeof numbers[0]);
        *(tlc_ints *)member = list;
        break;
    case TLC_ATTR_WORD:
        *(int *)member = 0;
        while (strlen(d->names[*(int *)member]) != len ||
               strncmp(d->names[*(int *)member], text, len) != 0)
            ++*(int *)member;
        break;
    case TLC_ATTR_TYPE:
        *(tlc_type *)member = text_type(text, len);
        break;
    }
}

static inline void text_attrs(const tlc_node *n, const char *at)
{
    while (*at) {
        const tlc_attr_def *d = tlc_ops[n->op].def->attrs;
        size_t len = strcspn(at, "=");
        while (strlen(d->name) != len || strncmp(d->name, at, len) != 0)
            ++d;
        text_set(d, (char *)n->attrs + d->offset, at + len + 1, &at);
        at += strspn(at, " ");
    }
}

/* Attributes may be NULL: the defaults. */
static inline tlc_node *text_node(tlc_func *f, tlc_op op, const char *operands, const char *attrs)
{
    tlc_value *in[80] = { NULL };
    int n_in = 0;
    while (*operands) {
        in[n_in++] = text_operand(f, &operands);
        operands += strspn(operands, " ");
    }
    tlc_node *n = tlc_node_add(f, NULL, op, NULL, in, n_in);
    text_attrs(n, attrs ? attrs : "");
    return n;
}

/* "i64:3=1,n,7" of a constant, the symbol as n. */
static inline const char *text_constant(tlc_ctx *ctx, const tlc_value *v)
{
    const char *text = tlc_arena_printf(&ctx->arena, "%s:", tlc_type_name(v->type));
    for (int i = 0; i < v->shape.rank; ++i)
        text = tlc_arena_printf(&ctx->arena, "%s%s%" PRId64, text, i ? "," : "", v->shape.dim[i]);
    text = tlc_arena_printf(&ctx->arena, "%s%s%s", text, v->shape.rank ? "=" : "-=",
                            v->splat ? "~" : "");
    for (int64_t i = 0; i < (v->splat ? 1 : tlc_shape_elems(&v->shape)); ++i) {
        const char *comma = i ? "," : "";
        if (tlc_is_float(v->type))
            text = tlc_arena_printf(&ctx->arena, "%s%s%g", text, comma, tlc_data_f64(v, i));
        else if (v->type == TLC_I64 && tlc_data_i64(v, i) == TLC_DIM_SYMBOL)
            text = tlc_arena_printf(&ctx->arena, "%s%sn", text, comma);
        else
            text = tlc_arena_printf(&ctx->arena, "%s%s%" PRId64, text, comma, tlc_data_i64(v, i));
    }
    return text;
}

#endif
