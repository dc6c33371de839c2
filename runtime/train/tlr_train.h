/* tlr_train.h: train a compiled network inside an application.
 *
 * C99, usable from C++.  Needs libNAME_train.a and libNAME.a of the compiled folder, libc, libm
 * and POSIX threads.  Never prints, exits, or touches signals or locale; needs no folder; allocates
 * when a learner is opened alone, and not there if the application gives the memory (a file that
 * is saved or added takes some meanwhile, a thread its stack).
 *
 *     #include "catdog.h"                        (declares catdog_model)
 *     tlr_learner_config c = { .max_pictures = 100, .progress = show };
 *     tlr_learner *l;
 *     if (tlr_learner_open_file(&catdog_model, "weights.bin", &c, &l) != TLR_OK) ...
 *     tlr_learner_add(l, &picture, label, TLR_TRAINING);      for each picture
 *     tlr_learner_start(l, 10);                  ten epochs, in a thread of its own
 *     tlr_learner_wait(l);
 *     tlr_learner_classify(l, &picture, 1, p);   p: probabilities by class
 *     tlr_learner_save_file(l, TLR_SAVED_STATE, "learned.tlct");
 *     tlr_learner_close(l);
 *
 * A picture's pixels are done with when tlr_learner_add returns: where a part of the network is
 * frozen, what it makes of the picture is computed there and then and kept, else the network's
 * input is.  What is learned is a function of weights, pictures in their order, and configuration:
 * threads, a stop, and a save and load in between do not change a bit of it.
 *
 * Label smoothing, the optimizer's kind and the batch norms' policy were settled when the network
 * was compiled.  Pictures changed at random are the application's to make: each is one more to add.
 *
 * Functions return a status: 0 is success, others as in tlr.h; tlr_learner_message says more.  A
 * call that fails changes nothing but what its comment says.  One learner serves one thread at a
 * time.  While it trains, other threads may call tlr_learner_stop, _wait and _message alone; the
 * progress callback may also save, evaluate and classify.
 */
#ifndef TLR_TRAIN_H
#define TLR_TRAIN_H

#include "tlr.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tlr_learner tlr_learner;

typedef struct tlr_learning {   /* what the progress callback is told, after a step or an epoch */
    int epoch_done;             /* 1: the epoch is; the next three lines are about all of it */
    int64_t epoch, epochs;      /* this one, from 1, of so many */
    int64_t step, steps;        /* of this epoch, from 1 */
    double loss, accuracy;      /* of the step's pictures, or of the epoch's as they were met */
    int64_t valid_n;            /* validation pictures; the rest is of an epoch that is done */
    double valid_loss, valid_accuracy;
    int best;                   /* 1: no epoch before had a better valid_accuracy, then valid_loss */
    double lr, seconds;         /* the step's rate; since training began here */
} tlr_learning;

typedef struct tlr_learner_config { /* zeros: the defaults */
    int64_t max_pictures;   /* that can be added; 0: 1000 */
    int batch;              /* pictures in a step; 0: the most the network was compiled for */
    int threads;            /* of the kernels; 0: 1; the bits do not depend on it */
    uint64_t seed;          /* of initial values, order and dropout */
    double lr;              /* learning rate; 0: 0.001 */
    double lr_backbone;     /* of what is trained beside a new head; 0: lr; below 0: none */
    int64_t head_epochs;    /* epochs, first, that train the new head alone */
    double weight_decay;    /* 0: the optimizer's default; below 0: none */
    double momentum;        /* of SGD */
    const char *schedule;   /* "constant", "step", "cosine"; NULL: constant */
    int64_t warmup_epochs;  /* the rate grows linearly over them */
    int64_t step_epochs;    /* of "step": epochs to a tenth of the rate; 0: a third of them */
    const double *class_weights; /* of the loss in training, one a class, copied; NULL: all 1 */
    int64_t accumulate;     /* batches to a step; 0: 1; more: compiled with --keep-gradients */
    double clip_norm;       /* most the norm of all gradients may be; 0: any; else compiled so too */
    int64_t patience;       /* end after so many epochs without a better one; 0: never */
    int keep_best;          /* 1: room for the best epoch's weights, see tlr_learner_take_best */
    /* After each step and each epoch, in the thread that trains; not 0: stop. */
    int (*progress)(void *self, const tlr_learning *now);
    void *progress_self;
    void *memory;           /* learner's block, 64-byte aligned; NULL: open allocates */
    size_t memory_bytes;    /* at least tlr_learner_bytes(model, config) */
} tlr_learner_config;

typedef enum tlr_set { TLR_TRAINING, TLR_VALIDATION } tlr_set;

typedef struct tlr_result { int64_t n, correct; double loss, accuracy; } tlr_result;

typedef enum tlr_saved {
    TLR_SAVED_WEIGHTS,      /* what is trained, alone: for tlr_learner_load */
    TLR_SAVED_STATE,        /* and optimizer state and progress: training goes on as if never left */
    TLR_SAVED_NETWORK       /* a whole weights.bin: for tlr_open_file, tlr_learner_open_file */
} tlr_saved;

/* --- making one --------------------------------------------------------------------------- */

/* Bytes of the block that a learner needs with `config` (NULL: defaults); 0: not possible so. */
size_t tlr_learner_bytes(const struct tlr_model *model, const tlr_learner_config *config);

/**
 * Open a learner on a weights file (mapped, checked), or on its bytes in memory (64-byte aligned,
 * kept by the caller until close).  Trained parameters begin with the file's values where it was
 * exported from a training, else as the network says, drawn by the seed.
 * fails   TLR_E_USAGE; TLR_E_INPUT, TLR_E_MALFORMED (the file); TLR_E_UNSUPPORTED (of another
 *         model; compiled without training, without what `config` wants of it, or no network of
 *         pictures); TLR_E_LIMIT (memory).
 */
tlr_status tlr_learner_open_file(const struct tlr_model *model, const char *weights_path,
                                 const tlr_learner_config *config, tlr_learner **out);
tlr_status tlr_learner_open_memory(const struct tlr_model *model, const void *weights,
                                   size_t weights_bytes, const tlr_learner_config *config,
                                   tlr_learner **out);
void tlr_learner_close(tlr_learner *l); /* stops and waits, if need be; NULL is allowed */

/* --- pictures ----------------------------------------------------------------------------- */

/* Add a picture of class `label`, from 0.  fails  TLR_E_USAGE: label or picture is out of range;
 * TLR_E_LIMIT: max_pictures are there. */
tlr_status tlr_learner_add(tlr_learner *l, const tlr_picture *picture, int label, tlr_set set);
/* The same of a JPEG or PNG file; in libNAME_photos.a, which wants -ljpeg -lpng. */
tlr_status tlr_learner_add_file(tlr_learner *l, const char *path, int label, tlr_set set);

/* --- training ----------------------------------------------------------------------------- */

/**
 * Train until `epochs` epochs are done in all, those of earlier calls and of a loaded state
 * counted.  Left in the midst of an epoch, it goes on there; after the training pictures have
 * become more the epoch under way begins anew.
 * fails   TLR_E_STOPPED: between two steps, go on when you like; TLR_E_NUMERIC: load what was
 *         saved before; TLR_E_USAGE: no training pictures.
 */
tlr_status tlr_learner_train(tlr_learner *l, int64_t epochs);
/* The same in a thread of its own, which tlr_learner_wait ends; its status is then train's. */
tlr_status tlr_learner_start(tlr_learner *l, int64_t epochs);
tlr_status tlr_learner_wait(tlr_learner *l); /* TLR_OK at once where nothing was started */
void tlr_learner_stop(tlr_learner *l);       /* ask; from any thread */

/* --- with the weights as they are now ------------------------------------------------------ */

/* Loss and accuracy over the pictures of a set (none: zeros). */
tlr_status tlr_learner_evaluate(tlr_learner *l, tlr_set set, tlr_result *out);
/* n pictures, any number, to n x n_classes probabilities. */
tlr_status tlr_learner_classify(tlr_learner *l, const tlr_picture *pictures, int n,
                                float *probabilities);

/**
 * Save into `buffer`, or into a file, which appears whole or not at all.  *bytes: how many it
 * takes; buffer NULL: that alone.
 * fails   TLR_E_LIMIT: room is too small, nothing is written; TLR_E_NUMERIC: a parameter is NaN or
 *         infinite; TLR_E_OUTPUT.
 */
tlr_status tlr_learner_save(tlr_learner *l, tlr_saved what, void *buffer, size_t room,
                            size_t *bytes);
tlr_status tlr_learner_save_file(tlr_learner *l, tlr_saved what, const char *path);

/**
 * Take saved WEIGHTS (training begins anew from them) or STATE (it goes on; the seed is the saved
 * one).  Pictures stay, and are the caller's to add again in a new learner, before or after.
 * fails   TLR_E_MALFORMED (cut, damaged, no such thing), TLR_E_UNSUPPORTED (of another network or
 *         version), TLR_E_INPUT; the learner is then as before.
 */
tlr_status tlr_learner_load(tlr_learner *l, const void *bytes, size_t n);
tlr_status tlr_learner_load_file(tlr_learner *l, const char *path);
/**
 * Take the weights of the best epoch (tlr_learning.best; without validation pictures the last), as
 * if saved then as WEIGHTS and loaded.  Where config.keep_best is set STATE has them too.
 * fails   TLR_E_USAGE: none are kept.
 */
tlr_status tlr_learner_take_best(tlr_learner *l);

/* Note `why` as the message and return `status`: for what is built on this header. */
tlr_status tlr_learner_refuse(tlr_learner *l, tlr_status status, const char *why);
/* Why the last call failed, an English clause.  Never NULL; valid until the next call. */
const char *tlr_learner_message(const tlr_learner *l);

#ifdef __cplusplus
}
#endif
#endif
