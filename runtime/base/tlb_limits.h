/* tlb_limits.h: bounds on what an input may make the programs do; --limit NAME=N sets each. */
#ifndef TLB_LIMITS_H
#define TLB_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

typedef enum tlb_limit {
#define TLB_LIMIT(NAME, name, value, counts) TLB_LIMIT_##NAME,
#include "tlb_limits.def"
#undef TLB_LIMIT
    TLB_LIMIT_COUNT
} tlb_limit;

typedef struct tlb_limits {
    int64_t max[TLB_LIMIT_COUNT];
} tlb_limits;

void tlb_limits_init(tlb_limits *limits); /* the defaults */
const char *tlb_limit_name(tlb_limit which);
/* Apply "NAME=N" (N with K, M or G: 2^10, 2^20, 2^30). False: no such name, or no number. */
bool tlb_limits_set(tlb_limits *limits, const char *assignment);
/* A count with an optional K, M or G suffix; false if it is none or does not fit. */
bool tlb_parse_count(const char *text, int64_t *out);

#endif
