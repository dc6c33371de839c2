/* fuzz_safetensors.c: any bytes as a safetensors file: a status and a reason, or tensors that
 * lie within the file and do not overlap. */
#include "tlb_safetensors.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

enum { MOST_FOUND = 100 }; /* a search walks the list */

static void check(const tlb_safetensors *s, const uint8_t *bytes, size_t n)
{
    uint64_t total = 0;
    for (size_t i = 0; i < s->n_tensors; ++i) {
        const tlb_tensor *t = &s->tensors[i];
        const uint8_t *at = t->data;
        if (at < bytes || t->n_bytes > n || (size_t)(at - bytes) > n - t->n_bytes)
            abort();
        if (i < MOST_FOUND && tlb_safetensors_find(s, t->name) != t)
            abort();
        total += t->n_bytes;
    }
    if (total > n)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    tlb_limits limits;
    tlb_safetensors s;
    const char *what = NULL;
    tlb_limits_init(&limits);
    tlb_status status = tlb_safetensors_parse(bytes, n, &limits, &s, &what);
    if (status == TLB_OK) {
        check(&s, bytes, n);
        tlb_safetensors_free(&s);
    } else if (!what || !*what) {
        abort();
    }
    return 0;
}
