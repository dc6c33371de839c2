/* cwriter.h: growing text with indentation; for IR text, emitted C and reports. */
#ifndef TLC_CWRITER_H
#define TLC_CWRITER_H

#include "arena.h"

#include <stdbool.h>

typedef struct tlc_cwriter {
    tlc_arena *arena;
    char *text;     /* NUL-terminated */
    size_t len, cap;
    int indent;     /* levels of four spaces, put before the first text of a line */
    bool mid_line;
} tlc_cwriter;

tlc_cwriter tlc_cwriter_make(tlc_arena *arena);
/* Append; every line that starts gets the indentation.  Numbers are C-locale. */
void tlc_w(tlc_cwriter *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void tlc_w_bytes(tlc_cwriter *w, const char *bytes, size_t len);
/* The shortest decimal text that reads back as the same double ("inf", "-inf", "nan" too). */
void tlc_w_double(tlc_cwriter *w, double x);
/* Whole and below a million: "20" reads better than the shorter "2e+01". */
bool tlc_is_short_integer(double x);
/* What was meant by a number that a format keeps as a float: 1e-5, not 9.99999974737875e-06, as in
 * IR text and as PyTorch computes with. */
double tlc_meant(double x);
#endif
