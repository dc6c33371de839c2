/* tlb_limits.c: the table of limits and how `NAME=N` changes it. */
#include "tlb_limits.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    int64_t value;
} rows[TLB_LIMIT_COUNT] = {
#define TLB_LIMIT(NAME, name, value, counts) { name, value },
#include "tlb_limits.def"
#undef TLB_LIMIT
};

void tlb_limits_init(tlb_limits *limits)
{
    for (int i = 0; i < TLB_LIMIT_COUNT; ++i)
        limits->max[i] = rows[i].value;
}

const char *tlb_limit_name(tlb_limit which)
{
    return rows[which].name;
}

bool tlb_parse_count(const char *text, int64_t *out)
{
    static const char suffixes[] = "KMG";
    if (*text < '0' || *text > '9')
        return false;
    char *end;
    errno = 0;
    long long n = strtoll(text, &end, 10);
    if (errno)
        return false;
    if (*end) {
        const char *s = strchr(suffixes, *end);
        if (!s || end[1])
            return false;
        if (__builtin_mul_overflow(n, 1LL << (10 * (s - suffixes + 1)), &n))
            return false;
    }
    *out = n;
    return true;
}

bool tlb_limits_set(tlb_limits *limits, const char *assignment)
{
    const char *eq = strchr(assignment, '=');
    if (!eq)
        return false;
    for (int i = 0; i < TLB_LIMIT_COUNT; ++i)
        if (strlen(rows[i].name) == (size_t)(eq - assignment) &&
            strncmp(rows[i].name, assignment, (size_t)(eq - assignment)) == 0)
            return tlb_parse_count(eq + 1, &limits->max[i]);
    return false;
}
