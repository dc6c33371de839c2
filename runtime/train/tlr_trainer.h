/* tlr_trainer.h: the parts of a trainer; inside runtime/train alone.
 *
 *     reader threads -> ring of inputs -> @features -> rows -> @step, @head
 *
 * Rows (features of one sample) come from a table (cache file mapped, or memory), or, where
 * there is none, from the ring and @features each time.  Both give the same bits, since a
 * picture's features do not depend on its batch.
 */
#ifndef TLR_TRAINER_H
#define TLR_TRAINER_H

#include "tlr_session.h"
#include "tlr_engine.h"

#include "tlb_file.h"

#include <pthread.h>

/* --- heap.c --------------------------------------------------------------------------------- */

void *tlr_get(const tlr_heap *h, size_t bytes);
void tlr_give(const tlr_heap *h, void *p, size_t bytes); /* NULL is allowed */
static inline size_t tlr_round64(size_t n)
{
    return (n + 63) / 64 * 64;
}

/* --- ring.c: samples read by threads of their own, handed out in order -------------------- */

typedef struct tlr_ring tlr_ring;

tlb_status tlr_ring_create(const tlr_samples *samples, int readers, int slots, size_t input_bytes,
                           tlr_ring **out);
void tlr_ring_destroy(tlr_ring *r);
/* Begin to read the rows list[n]; the list stays the caller's until all are taken or it is cancelled. */
void tlr_ring_begin(tlr_ring *r, const int64_t *list, int64_t n);
/* Wait for the next of the list and copy it out.  *sample: which. */
tlb_status tlr_ring_take(tlr_ring *r, void *input, int64_t *sample);
int64_t tlr_ring_left(const tlr_ring *r); /* of the list, not yet taken */
void tlr_ring_cancel(tlr_ring *r);

/* --- cache.c: rows on disk, each under its content's key with a checksum ------------------ */

typedef struct tlr_cache {
    tlb_map map;
    tlr_content_key model;    /* hash of all that decides a row besides the content */
    size_t row_bytes, record_bytes;
    struct tlr_cache_entry *index; /* sorted by key */
    size_t n;
    char *path;
    tlb_out out;
    bool writing;
} tlr_cache;

/* Never fails for what is on disk: what cannot be used is as if absent, *what says why (static
 * text; NULL: nothing odd). */
tlb_status tlr_cache_open(tlr_cache *c, const char *dir, tlr_content_key model, size_t row_bytes,
                          const char **what);
void tlr_cache_close(tlr_cache *c);
const void *tlr_cache_find(const tlr_cache *c, tlr_content_key key); /* or NULL */
/* Write a new file: the good records of the old one, then those added. */
tlb_status tlr_cache_begin(tlr_cache *c);
tlb_status tlr_cache_add(tlr_cache *c, tlr_content_key key, const void *row);
tlb_status tlr_cache_commit(tlr_cache *c); /* and open the new file */

/* --- features.c --------------------------------------------------------------------------- */

typedef struct tlr_features {
    bool streaming;           /* no table: compute when asked */
    int64_t n_rows;           /* of the table: samples, and further views of training ones */
    const char **row;         /* NULL: not there; without samples.read: set by the caller */
    char *memory;             /* rows held in memory; NULL: none */
    int64_t *list;            /* rows to compute */
    tlr_cache cache;
    bool cached;              /* cache is open */
    size_t row_bytes, input_bytes;
} tlr_features;

/* --- memory.c: what the block holds ------------------------------------------------------- */

typedef enum tlr_phase {
    TLR_PHASE_NONE,           /* no block yet */
    TLR_PHASE_FEATURES,
    TLR_PHASE_STEPS,
    TLR_PHASE_BOTH,
    TLR_PHASE_EVALUATE
} tlr_phase;

/* Give the block back and make another; parameters are undefined, state is zero. */
tlb_status tlr_memory_enter(tlr_trainer *t, tlr_phase phase);
/* The block of steps (or of evaluation) is there, with initial values; once it is, nothing. */
tlb_status tlr_memory_ready(tlr_trainer *t);
void tlr_memory_free(tlr_trainer *t);
void tlr_memory_fini(tlr_trainer *t); /* and what outlives the block */
/* Did the device, if the model runs on one, do all it was asked? */
tlb_status tlr_device_check(tlr_trainer *t);
/* Most that the block and what making it wants take of the heap, for samples without `read`. */
size_t tlr_memory_bytes(const tlr_model *m, const tlr_train_config *c);

struct tlr_trainer {
    const tlr_model *model;
    const void *weights;
    tlr_samples samples;
    tlr_train_config config;
    tlr_train_hooks hooks;
    int64_t n_samples;
    tlr_pool *pool;
    void *pool_memory, *block;
    size_t block_bytes;
    tlr_phase phase;
    int64_t peak_bytes;       /* largest block so far, and the constants */
    char *consts;             /* the constants as the device sees them; NULL: no device */
    char *params;             /* frame.vars: params, then state when training */
    tlr_frame frame, prefix;  /* of @head and @step; of @features: another fix, the same act */
    tlk_step numbers[TLK_GROUPS]; /* of the step under way */
    tlr_ring *ring;
    tlr_features features;
    int64_t *order;           /* of the epoch under way */
    int64_t order_epoch;      /* -1: none yet */
    int64_t *identity;        /* 0 .. n_samples-1 */
    float *probabilities;     /* batch x classes */
    double *squares;          /* of kept gradients, where they are clipped */
    tlr_progress progress;
    tlr_trouble trouble;
    tlr_costs costs;
    double started;
};

/* Which sample and view a row is: rows of samples as they are (or in view 0) come first, then the
 * training samples in view 1, in view 2, and so on. */
static inline int64_t tlr_row_sample(const tlr_samples *s, int64_t row, int64_t *view)
{
    int64_t n = s->n_train + s->n_valid;
    *view = row < n ? 0 : (row - n) / s->n_train + 1;
    return row < n ? row : (row - n) % s->n_train;
}

tlb_status tlr_features_init(tlr_trainer *t);
void tlr_features_fini(tlr_trainer *t);
tlb_status tlr_features_prepare(tlr_trainer *t);
/* The samples of list[n] come next, in this order (streaming: reading ahead begins). */
void tlr_features_begin(tlr_trainer *t, const int64_t *list, int64_t n);
/* The next n rows, those of samples[n], to `to` (in frame.act; n at most the batch). */
tlb_status tlr_features_take(tlr_trainer *t, const int64_t *samples, int64_t n, char *to);
void tlr_features_cancel(tlr_trainer *t);
/* Where the inputs of n samples go; then their rows, computed there.  The block is there. */
char *tlr_features_input(tlr_trainer *t, int64_t n);
const char *tlr_features_run(tlr_trainer *t, int64_t n);

/* --- gradients.c -------------------------------------------------------------------------- */

size_t tlr_gradients_bytes(const tlr_model *m); /* of trainer.squares */
/* Scale the gradients that @step kept to config.clip_norm, if their norm is above it. */
void tlr_gradients_clip(tlr_trainer *t);

/* --- shared ------------------------------------------------------------------------------- */

/* Note the failure and return `status`. */
tlb_status tlr_trouble_set(tlr_trainer *t, tlb_status status, const char *id, const char *file,
                           const char *fmt, ...) __attribute__((format(printf, 5, 6)));
bool tlr_stop_wanted(const tlr_trainer *t);
void tlr_note(const tlr_trainer *t, const char *id, const char *file, const char *what);
double tlr_seconds(void);     /* of a clock that never goes back */
double tlr_value_at(tlr_type type, const void *p, int64_t i);
bool tlr_params_finite(const tlr_trainer *t);
double tlr_rate(const tlr_trainer *t, int64_t step); /* of step `step`, from 0 */
int64_t tlr_steps_in_epoch(const tlr_trainer *t);
/* The head's logits of n rows (anywhere in act), n at most the batch. */
const char *tlr_logits_of(tlr_trainer *t, int64_t n, const char *rows);
void tlr_order_use(tlr_trainer *t); /* t->order is that of the epoch under way */
/* "DIR/NAME"; free().  NULL: no memory. */
char *tlr_path(const char *dir, const char *name);

#endif
