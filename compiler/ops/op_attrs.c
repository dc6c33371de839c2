/* op_attrs.c: defaults and range checks of attributes, from the operators' tables.
 *
 * A default is kept as IR text, so that the table says it once for the printer, the parser
 * and the documentation; here it is read back.
 */
#include "op_attrs.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

const char *const tlc_act_names[3] = { "none", "relu", "clip" };

static void *member_of(void *attrs, const tlc_attr_def *d)
{
    return (char *)attrs + d->offset;
}

/* "[1,1]" or "[]". */
static tlc_ints ints_from_text(const char *text)
{
    tlc_ints list = { 0 };
    const char *at = text + 1;
    while (*at != ']') {
        char *end;
        list.v[list.n++] = strtoll(at, &end, 10);
        at = *end == ',' ? end + 1 : end;
    }
    return list;
}

static int word_from_text(const tlc_attr_def *d)
{
    int word = 0;
    while (strcmp(d->text, d->names[word]) != 0)
        ++word;
    return word;
}

static int type_from_text(const char *text)
{
    int type = 0;
    while (strcmp(text, tlc_type_name((tlc_type)type)) != 0)
        ++type;
    return type;
}

static void set_default(void *member, const tlc_attr_def *d)
{
    switch (d->kind) {
    case TLC_ATTR_INT:
        *(int64_t *)member = strtoll(d->text, NULL, 10);
        break;
    case TLC_ATTR_FLOAT:
        *(double *)member = strtod(d->text, NULL);
        break;
    case TLC_ATTR_BOOL:
        *(bool *)member = strcmp(d->text, "true") == 0;
        break;
    case TLC_ATTR_INTS:
        *(tlc_ints *)member = ints_from_text(d->text);
        break;
    case TLC_ATTR_WORD:
        *(int *)member = word_from_text(d);
        break;
    case TLC_ATTR_TYPE:
        *(tlc_type *)member = (tlc_type)type_from_text(d->text);
        break;
    }
}

void tlc_attrs_default(tlc_op op, void *attrs)
{
    const tlc_op_def *def = tlc_ops[op].def;
    if (!def->attrs)
        return;
    memset(attrs, 0, def->attrs_size);
    for (const tlc_attr_def *d = def->attrs; d->name; ++d)
        if (d->text)
            set_default(member_of(attrs, d), d);
}

static tlc_status check_int(tlc_ctx *ctx, const tlc_attr_def *d, const char *index, int64_t x)
{
    if ((double)x < d->least)
        return tlc_fail(ctx, TLC_E_MALFORMED, "E_ATTR", "%s%s is %" PRId64 ", at least %.0f",
                        d->name, index, x, d->least);
    if ((double)x > d->most)
        return tlc_fail(ctx, TLC_E_MALFORMED, "E_ATTR", "%s%s is %" PRId64 ", at most %.0f",
                        d->name, index, x, d->most);
    return TLC_OK;
}

/* NaN is in no range. */
static tlc_status check_float(tlc_ctx *ctx, const tlc_attr_def *d, double x)
{
    if (!(x >= d->least))
        return tlc_fail(ctx, TLC_E_MALFORMED, "E_ATTR", "%s is %g, at least %g", d->name, x,
                        d->least);
    if (!(x <= d->most))
        return tlc_fail(ctx, TLC_E_MALFORMED, "E_ATTR", "%s is %g, at most %g", d->name, x,
                        d->most);
    return TLC_OK;
}

static tlc_status check_ints(tlc_ctx *ctx, const tlc_attr_def *d, const tlc_ints *list)
{
    assert(list->n >= 0 && list->n <= 2 * TLC_MAX_RANK);
    if (d->count >= 0 && list->n != d->count)
        return tlc_fail(ctx, TLC_E_MALFORMED, "E_ATTR", "%s has %d numbers, %d wanted", d->name,
                        list->n, d->count);
    for (int i = 0; i < list->n; ++i) {
        char index[16];
        snprintf(index, sizeof index, "[%d]", i);
        TLC_TRY(check_int(ctx, d, index, list->v[i]));
    }
    return TLC_OK;
}

static tlc_status check_one(tlc_ctx *ctx, const tlc_attr_def *d, const void *member)
{
    switch (d->kind) {
    case TLC_ATTR_INT:
        return check_int(ctx, d, "", *(const int64_t *)member);
    case TLC_ATTR_FLOAT:
        return check_float(ctx, d, *(const double *)member);
    case TLC_ATTR_BOOL:
        return TLC_OK;
    case TLC_ATTR_INTS:
        return check_ints(ctx, d, member);
    case TLC_ATTR_WORD:
        return check_int(ctx, d, "", *(const int *)member);
    case TLC_ATTR_TYPE:
        return check_int(ctx, d, "", (int64_t) * (const tlc_type *)member);
    }
    return TLC_OK;
}

tlc_status tlc_attrs_check(tlc_ctx *ctx, tlc_op op, const void *attrs)
{
    const tlc_attr_def *d = tlc_ops[op].def->attrs;
    for (; d && d->name; ++d)
        TLC_TRY(check_one(ctx, d, (const char *)attrs + d->offset));
    return TLC_OK;
}
