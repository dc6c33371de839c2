/* heap.c: a trainer's memory: the caller's, or the system's.
 *
 * Large pieces of the system's are mappings, so that what is given back leaves the process at
 * once: the block of features makes room for that of steps (memory.c).
 */
#define _GNU_SOURCE
#include "tlr_trainer.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static const size_t MAPPED_FROM = (size_t)1 << 20;

static void *map(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return NULL;
#ifdef MADV_HUGEPAGE
    madvise(p, bytes, MADV_HUGEPAGE); /* a step sweeps all of it: fewer misses of the page tables */
#endif
    return p;
}

void *tlr_get(const tlr_heap *h, size_t bytes)
{
    if (h->get)
        return h->get(h->self, bytes);
    if (bytes >= MAPPED_FROM)
        return map(bytes);
    void *p = aligned_alloc(64, tlr_round64(bytes + !bytes));
    return p ? memset(p, 0, bytes) : NULL;
}

void tlr_give(const tlr_heap *h, void *p, size_t bytes)
{
    if (!p)
        return;
    if (h->give)
        h->give(h->self, p, bytes);
    else if (bytes >= MAPPED_FROM)
        munmap(p, bytes);
    else
        free(p);
}
