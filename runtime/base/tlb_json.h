/* tlb_json.h: JSON from files that may be hostile, and JSON out in ASCII (jansson inside).
 *
 * jansson builds a tree and recurses; so bytes pass an iterative check of syntax, depth and
 * UTF-8 first, and only then a tree is made.
 */
#ifndef TLB_JSON_H
#define TLB_JSON_H

#include "tlb_limits.h"
#include "tlb_status.h"

#include <jansson.h>
#include <stddef.h>

/**
 * Is bytes[n] one JSON value and nothing but white space around it?  Syntax (RFC 8259), UTF-8
 * and nesting alone; memory does not grow with n.
 * returns  TLB_OK, TLB_E_MALFORMED, or TLB_E_LIMIT when nested deeper than `depth` (at most 1024).
 */
tlb_status tlb_json_check(const char *bytes, size_t n, int64_t depth);

/* Length of the well-formed UTF-8 sequence at bytes[n]: 1 to 4; 0: none. */
size_t tlb_utf8_length(const char *bytes, size_t n);

/* The object in bytes[n]: checked as above, no key twice, at most limits->json bytes. */
tlb_status tlb_json_load(const char *bytes, size_t n, const tlb_limits *limits, json_t **out);
/* The same from a regular file, links not followed (hostile-inputs: "not a plain file").
 * *what: static text of what is wrong. */
tlb_status tlb_json_load_file(const char *path, const tlb_limits *limits, json_t **out,
                              const char **what);

/* A string of any bytes: what is not UTF-8 becomes `\xHH`. */
json_t *tlb_json_string(const char *bytes);
json_t *tlb_json_real(double x); /* NaN and infinities: null */

/* Members by key; the fallback if absent or of another type. */
const char *tlb_json_text(const json_t *object, const char *key); /* NULL */
int64_t tlb_json_int(const json_t *object, const char *key, int64_t fallback);
double tlb_json_number(const json_t *object, const char *key, double fallback);

/* ASCII text, members in the order they were set; `indent` 0: one line.  free(); NULL: no memory. */
char *tlb_json_dump(const json_t *value, int indent);
/* Write it and a newline whole or not at all. */
tlb_status tlb_json_save(const json_t *value, const char *path, int *out_errno);

#endif
