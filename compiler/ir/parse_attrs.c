/* parse_attrs.c: attributes, from the operators' tables.  Ranges are checked by the operator. */
#include "parse.h"

#include <string.h>

static tlc_status parse_bool(tlc_parser *p, bool *out)
{
    bool is_true, is_false;
    TLC_TRY(tlc_lex_skip(&p->lex, "true", &is_true));
    if (!is_true) {
        TLC_TRY(tlc_lex_skip(&p->lex, "false", &is_false));
        if (!is_false)
            return tlc_lex_expected(&p->lex, "true or false");
    }
    *out = is_true;
    return TLC_OK;
}

/* The batch, where a list is a shape. */
static tlc_status parse_int_or_n(tlc_parser *p, int64_t *out)
{
    bool is_n;
    TLC_TRY(tlc_lex_skip(&p->lex, "n", &is_n));
    if (is_n) {
        *out = TLC_DIM_N;
        return TLC_OK;
    }
    return tlc_lex_int(&p->lex, out);
}

static tlc_status parse_ints(tlc_parser *p, tlc_ints *out)
{
    bool more;
    out->n = 0;
    TLC_TRY(tlc_lex_take(&p->lex, "["));
    TLC_TRY(tlc_lex_skip(&p->lex, "]", &more));
    if (more)
        return TLC_OK;
    do {
        if (out->n == 2 * TLC_MAX_RANK)
            return tlc_parse_fail(p, "E_ATTR", "list has over %d numbers", 2 * TLC_MAX_RANK);
        TLC_TRY(parse_int_or_n(p, &out->v[out->n++]));
        TLC_TRY(tlc_lex_skip(&p->lex, ",", &more));
    } while (more);
    return tlc_lex_take(&p->lex, "]");
}

/* One of the row's names; what is expected otherwise reads "none, relu or clip". */
static tlc_status parse_word(tlc_parser *p, const tlc_attr_def *d, int *out)
{
    const char *names = "";
    int last = (int)d->most;
    for (int i = 0; i <= last; ++i) {
        if (tlc_lex_is(&p->lex, TLC_TOKEN_WORD, d->names[i])) {
            *out = i;
            return tlc_lex(&p->lex);
        }
        names = tlc_arena_printf(&p->ctx->arena, "%s%s%s", names,
                                 i == 0 ? "" : i < last ? ", " : " or ", d->names[i]);
    }
    return tlc_lex_expected(&p->lex, names);
}

static tlc_status parse_value(tlc_parser *p, const tlc_attr_def *d, void *member)
{
    switch (d->kind) {
    case TLC_ATTR_INT:
        return tlc_lex_int(&p->lex, member);
    case TLC_ATTR_FLOAT:
        return tlc_lex_double(&p->lex, member);
    case TLC_ATTR_BOOL:
        return parse_bool(p, member);
    case TLC_ATTR_INTS:
        return parse_ints(p, member);
    case TLC_ATTR_WORD:
        return parse_word(p, d, member);
    case TLC_ATTR_TYPE:
        return tlc_parse_element_type(p, member);
    }
    return TLC_E_INTERNAL;
}

static const tlc_attr_def *find_attr(const tlc_parser *p, const tlc_attr_def *rows)
{
    for (const tlc_attr_def *d = rows; d && d->name; ++d)
        if (tlc_lex_is(&p->lex, TLC_TOKEN_WORD, d->name))
            return d;
    return NULL;
}

/* `given` has a bit for each row of the table: no operator has as many as 64. */
static tlc_status parse_one(tlc_parser *p, tlc_op op, void *attrs, uint64_t *given)
{
    const tlc_attr_def *rows = tlc_ops[op].def->attrs;
    const tlc_token *t = &p->lex.token;
    if (t->kind != TLC_TOKEN_WORD)
        return tlc_lex_expected(&p->lex, "an attribute");
    const tlc_attr_def *d = find_attr(p, rows);
    if (!d)
        return tlc_parse_fail(p, "E_ATTR", "%s has no attribute %s", tlc_ops[op].name,
                              tlc_quote(p->ctx, t->text, t->len));
    uint64_t bit = UINT64_C(1) << (d - rows);
    if (*given & bit)
        return tlc_parse_fail(p, "E_ATTR", "attribute %s is given twice", d->name);
    *given |= bit;
    TLC_TRY(tlc_lex(&p->lex));
    TLC_TRY(tlc_lex_take(&p->lex, "="));
    return parse_value(p, d, (char *)attrs + d->offset);
}

static tlc_status check_required(tlc_parser *p, tlc_op op, uint64_t given)
{
    const tlc_attr_def *rows = tlc_ops[op].def->attrs;
    for (const tlc_attr_def *d = rows; d && d->name; ++d)
        if (!d->text && !(given >> (d - rows) & 1))
            return tlc_parse_fail(p, "E_ATTR", "%s needs the attribute %s", tlc_ops[op].name,
                                  d->name);
    return TLC_OK;
}

tlc_status tlc_parse_attrs(tlc_parser *p, tlc_op op, void *attrs)
{
    uint64_t given = 0;
    bool more;
    TLC_TRY(tlc_lex_skip(&p->lex, "{", &more));
    while (more) {
        TLC_TRY(parse_one(p, op, attrs, &given));
        TLC_TRY(tlc_lex_skip(&p->lex, ",", &more));
        if (!more)
            TLC_TRY(tlc_lex_take(&p->lex, "}"));
    }
    return check_required(p, op, given);
}
