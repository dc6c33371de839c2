/* import_util.c: limits, UTF-8, half numbers and a table of names. */
#include "import_util.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

tlc_status tlc_over_limit(tlc_ctx *ctx, tlb_limit which, int64_t found)
{
    const char *name = tlb_limit_name(which);
    (void)tlc_fail(ctx, TLC_E_LIMIT, "E_LIMIT", "over the limit %s: %" PRId64 ", at most %" PRId64,
                   name, found, ctx->limits.max[which]);
    return tlc_hint(ctx, "--limit %s=N", name);
}

/* --- UTF-8 (Unicode 15, table 3-7) --------------------------------------- */

/* Bytes of the sequence that `s` begins, or 0 if it is none. */
static size_t utf8_length(const unsigned char *s, size_t n)
{
    static const struct {
        unsigned char first, last, second_least, second_most, bytes;
    } rows[] = {
        { 0x00, 0x7f, 0, 0, 1 },       { 0xc2, 0xdf, 0x80, 0xbf, 2 }, { 0xe0, 0xe0, 0xa0, 0xbf, 3 },
        { 0xe1, 0xec, 0x80, 0xbf, 3 }, { 0xed, 0xed, 0x80, 0x9f, 3 }, { 0xee, 0xef, 0x80, 0xbf, 3 },
        { 0xf0, 0xf0, 0x90, 0xbf, 4 }, { 0xf1, 0xf3, 0x80, 0xbf, 4 }, { 0xf4, 0xf4, 0x80, 0x8f, 4 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; ++i) {
        size_t len = rows[i].bytes;
        if (s[0] < rows[i].first || s[0] > rows[i].last)
            continue;
        if (len > n || (len > 1 && (s[1] < rows[i].second_least || s[1] > rows[i].second_most)))
            return 0;
        for (size_t k = 2; k < len; ++k)
            if ((s[k] & 0xc0) != 0x80)
                return 0;
        return len;
    }
    return 0;
}

bool tlc_is_utf8(const unsigned char *s, size_t n)
{
    while (n) {
        size_t len = utf8_length(s, n);
        if (!len)
            return false;
        s += len;
        n -= len;
    }
    return true;
}

/* --- numbers ------------------------------------------------------------- */

float tlc_half_to_float(uint16_t h)
{
    int exponent = h >> 10 & 31, fraction = h & 1023;
    float magnitude = exponent == 0    ? ldexpf((float)fraction, -24)
                      : exponent == 31 ? (fraction ? NAN : INFINITY)
                                       : ldexpf((float)(1024 + fraction), exponent - 25);
    return h & 0x8000 ? -magnitude : magnitude;
}

float tlc_bfloat_to_float(uint16_t b)
{
    uint32_t bits = (uint32_t)b << 16;
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

/* --- names --------------------------------------------------------------- */

void tlc_names_add(tlc_names *t, const char *name, void *item)
{
    tlc_named row = { name, item, t->n };
    TLC_PUSH(t->arena, t->rows, t->n, t->cap, row);
}

static int by_name(const void *a, const void *b)
{
    const tlc_named *x = a, *y = b;
    int c = strcmp(x->name, y->name);
    return c ? c : (x->order > y->order) - (x->order < y->order);
}

const tlc_named *tlc_names_seal(tlc_names *t)
{
    const tlc_named *twice = NULL;
    if (t->n)
        qsort(t->rows, t->n, sizeof *t->rows, by_name);
    for (size_t i = 1; i < t->n; ++i)
        if (!strcmp(t->rows[i - 1].name, t->rows[i].name) &&
            (!twice || t->rows[i].order < twice->order))
            twice = &t->rows[i];
    return twice;
}

void *tlc_names_find(const tlc_names *t, const char *name)
{
    size_t lo = 0, hi = t->n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        int c = strcmp(t->rows[mid].name, name);
        if (c == 0)
            return t->rows[mid].item;
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return NULL;
}
