/* cwriter.c: text grows in the arena, doubling. */
#include "cwriter.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

tlc_cwriter tlc_cwriter_make(tlc_arena *arena)
{
    return (tlc_cwriter){ .arena = arena, .text = tlc_arena_strdup(arena, "") };
}

static void append(tlc_cwriter *w, const char *s, size_t len)
{
    if (w->len + len + 1 > w->cap) {
        size_t cap = w->cap ? w->cap : 256;
        while (cap < w->len + len + 1)
            cap *= 2;
        char *larger = tlc_arena_alloc(w->arena, cap);
        memcpy(larger, w->text, w->len);
        w->text = larger;
        w->cap = cap;
    }
    memcpy(w->text + w->len, s, len);
    w->len += len;
    w->text[w->len] = '\0';
}

void tlc_w_bytes(tlc_cwriter *w, const char *bytes, size_t len)
{
    while (len) {
        const char *nl = memchr(bytes, '\n', len);
        size_t line = nl ? (size_t)(nl - bytes) : len;
        if (line && !w->mid_line)
            for (int i = 0; i < w->indent; ++i)
                append(w, "    ", 4);
        append(w, bytes, line);
        w->mid_line = line || w->mid_line;
        if (nl) {
            append(w, "\n", 1);
            w->mid_line = false;
            ++line;
        }
        bytes += line;
        len -= line;
    }
}

void tlc_w(tlc_cwriter *w, const char *fmt, ...)
{
    char small[512];
    va_list ap;
    va_start(ap, fmt);
    int len = vsnprintf(small, sizeof small, fmt, ap);
    va_end(ap);
    if (len < (int)sizeof small) {
        tlc_w_bytes(w, small, (size_t)len);
        return;
    }
    va_start(ap, fmt);
    const char *text = tlc_arena_vprintf(w->arena, fmt, ap);
    va_end(ap);
    tlc_w_bytes(w, text, (size_t)len);
}

bool tlc_is_short_integer(double x)
{
    return fabs(x) < 1e6 && x == trunc(x);
}

void tlc_w_double(tlc_cwriter *w, double x)
{
    char text[32];
    if (isnan(x) || isinf(x)) {
        tlc_w(w, "%s", isnan(x) ? "nan" : x > 0 ? "inf" : "-inf");
        return;
    }
    if (tlc_is_short_integer(x)) {
        tlc_w(w, "%.0f", x);
        return;
    }
    for (int digits = 1; digits <= 17; ++digits) {
        snprintf(text, sizeof text, "%.*g", digits, x);
        if (strtod(text, NULL) == x)
            break;
    }
    tlc_w(w, "%s", text);
}

double tlc_meant(double x)
{
    char text[32];
    if ((double)(float)x != x)
        return x;
    for (int digits = 1; digits <= 9; ++digits) {
        snprintf(text, sizeof text, "%.*g", digits, x);
        if (strtof(text, NULL) == (float)x)
            break;
    }
    return strtod(text, NULL);
}
