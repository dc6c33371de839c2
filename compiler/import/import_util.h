/* import_util.h: small things that every importer needs. */
#ifndef TLC_IMPORT_UTIL_H
#define TLC_IMPORT_UTIL_H

#include "ctx.h"

/* File "over the limit NAME": `found` of what `which` counts. Returns E_LIMIT. */
tlc_status tlc_over_limit(tlc_ctx *ctx, tlb_limit which, int64_t found);

/* Well-formed UTF-8: no overlong forms, no surrogates, nothing above U+10FFFF. */
bool tlc_is_utf8(const unsigned char *s, size_t n);

/* IEEE 754 binary16 and bfloat16; both are exact in float. */
float tlc_half_to_float(uint16_t half);
float tlc_bfloat_to_float(uint16_t bfloat);

/* Names to items, sorted once: n log n whatever the names (a hash can be made to collide). */
typedef struct tlc_named {
    const char *name;
    void *item;
    size_t order; /* of adding */
} tlc_named;

typedef struct tlc_names {
    tlc_arena *arena;
    tlc_named *rows;
    size_t n, cap;
} tlc_names;

void tlc_names_add(tlc_names *t, const char *name, void *item);
/* Sort; returns the row that repeats an earlier name (the first such in order of adding), or NULL.
 */
const tlc_named *tlc_names_seal(tlc_names *t);
void *tlc_names_find(const tlc_names *t, const char *name); /* after sealing; NULL: none */

#endif
