/* tlr_learner.h: the parts of a learner; inside runtime/train alone.
 *
 * A learner is a trainer whose rows it makes itself, when a picture is added.  All lies in one
 * block: the learner, its tables of pictures, rows, scratch for pixels, then the trainer's heap.
 */
#ifndef TLR_LEARNER_H
#define TLR_LEARNER_H

#include "tlr_train.h"
#include "tlr_trainer.h"

#include <stdalign.h>

struct tlr_learner {
    alignas(64) tlr_trainer *t;
    bool allocated;           /* the block is ours */
    tlb_map weights;          /* mapped by us; bytes NULL: the caller's */
    int (*progress)(void *self, const tlr_learning *now);
    void *progress_self;
    int64_t capacity, n[2];   /* pictures that fit; that are there, by tlr_set */
    uint8_t *set;             /* of each picture, in the order of adding */
    int32_t *label, *sorted;  /* the same; of the trainer's samples */
    char *rows;
    void *pixels;             /* scratch of tlr_pixels_to_input */
    int64_t epoch_n;          /* training pictures of the epoch that was left in its midst */
    double *class_weights;
    char *best;               /* parameters of the best epoch; NULL: not wanted */
    bool has_best;            /* they are there */
    struct { char *base; size_t bytes, used; } heap;
    /* `busy` while training; only the thread that trains may then do more than ask. */
    int busy, stop;           /* atomic */
    pthread_t thread;
    bool started;             /* the thread is to be waited for */
    int64_t epochs;           /* wanted */
    tlr_status outcome;       /* of the thread */
    char message[320];
};

/* Note why and return `status`. */
tlr_status tlr_learner_fail(tlr_learner *l, tlr_status status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* May the calling thread use the learner?  alone: nothing is to be training, in it either. */
bool tlr_learner_usable(tlr_learner *l, bool alone);
/* What the engine is told; the class weights are the caller's still. */
tlr_status tlr_learner_engine(const tlr_model *m, const tlr_learner_config *c,
                              tlr_train_config *out);

#endif
