/* ring.c: reader threads behind a bounded ring.
 *
 * Readers claim the list's positions in order; position k goes to slot k mod slots, and none is
 * claimed more than `slots` ahead of the consumer, so memory is fixed.  The consumer takes in
 * the list's order: what it gets does not depend on the number of readers.  Invariant, under
 * the lock: taken <= claimed <= taken + slots.
 */
#include "tlr_trainer.h"

#include <stdlib.h>
#include <string.h>

enum { SLOT_ALIGN = 64 };

struct tlr_ring {
    tlr_samples samples;
    pthread_mutex_t lock;
    pthread_cond_t work, ready;
    pthread_t *threads;
    struct reader_arg { struct tlr_ring *ring; int index; } *args;
    int n_threads;
    int64_t slots;
    size_t input_bytes, slot_bytes; /* of one sample; rounded up */
    char *memory;
    bool *filled;             /* by slot */
    tlb_status *status;       /* by slot */
    const int64_t *list;
    int64_t n, claimed, taken;
    int busy;
    bool quit;
};

static char *slot_at(const tlr_ring *r, int64_t k)
{
    return r->memory + (size_t)(k % r->slots) * r->slot_bytes;
}

static bool can_claim(const tlr_ring *r)
{
    return r->claimed < r->n && r->claimed < r->taken + r->slots;
}

/* One sample; the lock is held on entry and exit, not while reading. */
static void read_one(tlr_ring *r, int reader)
{
    int64_t k = r->claimed++, view;
    int64_t sample = tlr_row_sample(&r->samples, r->list[k], &view);
    ++r->busy;
    pthread_mutex_unlock(&r->lock);
    tlb_status status = r->samples.read(r->samples.self, sample, view, reader, slot_at(r, k));
    pthread_mutex_lock(&r->lock);
    --r->busy;
    r->status[k % r->slots] = status;
    r->filled[k % r->slots] = true;
    pthread_cond_broadcast(&r->ready);
}

static void *read_loop(void *arg)
{
    const struct reader_arg *a = arg;
    tlr_ring *r = a->ring;
    pthread_mutex_lock(&r->lock);
    while (!r->quit) {
        if (can_claim(r))
            read_one(r, a->index);
        else
            pthread_cond_wait(&r->work, &r->lock);
    }
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

static bool get_memory(tlr_ring *r, int readers)
{
    r->threads = calloc((size_t)readers, sizeof *r->threads);
    r->args = calloc((size_t)readers, sizeof *r->args);
    r->filled = calloc((size_t)r->slots, sizeof *r->filled);
    r->status = calloc((size_t)r->slots, sizeof *r->status);
    r->memory = aligned_alloc(SLOT_ALIGN, r->slot_bytes * (size_t)r->slots);
    return r->threads && r->args && r->filled && r->status && r->memory;
}

tlb_status tlr_ring_create(const tlr_samples *samples, int readers, int slots, size_t input_bytes,
                           tlr_ring **out)
{
    tlr_ring *r = calloc(1, sizeof *r);
    if (!r)
        return TLB_E_LIMIT;
    r->samples = *samples;
    r->slots = slots;
    r->input_bytes = input_bytes;
    r->slot_bytes = (input_bytes + SLOT_ALIGN - 1) / SLOT_ALIGN * SLOT_ALIGN;
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->work, NULL);
    pthread_cond_init(&r->ready, NULL);
    bool ok = get_memory(r, readers);
    for (int i = 0; ok && i < readers; ++i) {
        r->args[i] = (struct reader_arg){ r, i };
        ok = pthread_create(&r->threads[i], NULL, read_loop, &r->args[i]) == 0;
        r->n_threads += ok;
    }
    if (!ok) {
        tlr_ring_destroy(r);
        return TLB_E_LIMIT;
    }
    *out = r;
    return TLB_OK;
}

void tlr_ring_destroy(tlr_ring *r)
{
    if (!r)
        return;
    pthread_mutex_lock(&r->lock);
    r->quit = true;
    pthread_cond_broadcast(&r->work);
    pthread_mutex_unlock(&r->lock);
    for (int i = 0; i < r->n_threads; ++i)
        pthread_join(r->threads[i], NULL);
    pthread_mutex_destroy(&r->lock);
    pthread_cond_destroy(&r->work);
    pthread_cond_destroy(&r->ready);
    free(r->threads);
    free(r->args);
    free(r->filled);
    free(r->status);
    free(r->memory);
    free(r);
}

void tlr_ring_begin(tlr_ring *r, const int64_t *list, int64_t n)
{
    tlr_ring_cancel(r);
    pthread_mutex_lock(&r->lock);
    r->list = list;
    r->n = n;
    pthread_cond_broadcast(&r->work);
    pthread_mutex_unlock(&r->lock);
}

tlb_status tlr_ring_take(tlr_ring *r, void *input, int64_t *sample)
{
    pthread_mutex_lock(&r->lock);
    int64_t k = r->taken;
    while (!r->filled[k % r->slots])
        pthread_cond_wait(&r->ready, &r->lock);
    pthread_mutex_unlock(&r->lock);
    /* The slot is ours until `taken` moves on. */
    tlb_status status = r->status[k % r->slots];
    int64_t view;
    *sample = tlr_row_sample(&r->samples, r->list[k], &view);
    if (status == TLB_OK)
        memcpy(input, slot_at(r, k), r->input_bytes);
    pthread_mutex_lock(&r->lock);
    r->filled[k % r->slots] = false;
    ++r->taken;
    pthread_cond_broadcast(&r->work);
    pthread_mutex_unlock(&r->lock);
    return status;
}

int64_t tlr_ring_left(const tlr_ring *r)
{
    return r ? r->n - r->taken : 0;
}

void tlr_ring_cancel(tlr_ring *r)
{
    pthread_mutex_lock(&r->lock);
    r->n = r->claimed;
    while (r->busy > 0)
        pthread_cond_wait(&r->ready, &r->lock);
    memset(r->filled, 0, (size_t)r->slots * sizeof *r->filled);
    r->n = r->claimed = r->taken = 0;
    pthread_mutex_unlock(&r->lock);
}
