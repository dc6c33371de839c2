/* tlr.h: run one compiled image network inside an application.
 *
 * C99, usable from C++.  Needs libc and libm alone (and POSIX threads where threads > 1 are
 * asked for).  Never prints, exits, or touches signals, locale or rounding; allocates in
 * tlr_open alone, and not there if the application gives the memory.
 *
 *     #include "catdog.h"                       (declares catdog_model)
 *     tlr_session *s;
 *     if (tlr_open_file(&catdog_model, "weights.bin", NULL, &s) != TLR_OK) ...
 *     float p[2];
 *     tlr_picture pic = { pixels, width, height, stride_bytes, TLR_RGB };
 *     tlr_classify(s, &pic, 1, p);              p: probabilities by class
 *     tlr_close(s);
 *
 * Every function returns a status: 0 is success, others as the exit codes of tlc.  A failed
 * call changes nothing and writes no result.  Two sessions may run in two threads; one session
 * serves one thread at a time.
 */
#ifndef TLR_H
#define TLR_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct tlr_model;                       /* the constant that NAME.h declares */
typedef struct tlr_session tlr_session;

typedef enum tlr_status {
    TLR_OK = 0,
    TLR_E_USAGE = 2,        /* NULL argument, batch of 0 or over max_batch, misaligned memory */
    TLR_E_INPUT = 3,        /* weights file missing or unreadable */
    TLR_E_MALFORMED = 4,    /* weights file cut or damaged: checksum */
    TLR_E_UNSUPPORTED = 5,  /* weights of another model or version; head not trained */
    TLR_E_LIMIT = 6,        /* memory given is too small, or none to be had */
    TLR_E_OUTPUT = 7,       /* a file cannot be written; 7 to 9 come from tlr_train.h alone */
    TLR_E_STOPPED = 8,      /* the application stopped the training */
    TLR_E_NUMERIC = 9       /* loss or a parameter is NaN or infinite */
} tlr_status;

typedef enum tlr_pixels { TLR_RGB, TLR_BGR, TLR_RGBA, TLR_BGRA, TLR_GRAY } tlr_pixels;

/* 8-bit pixels, rows top down.  The picture is resized, cropped and normalised as the network
 * was trained; the buffer is only read. */
typedef struct tlr_picture {
    const uint8_t *pixels;
    int width, height;      /* in pixels, 1 to 65500 */
    ptrdiff_t stride_bytes; /* from a row to the next; may be negative */
    tlr_pixels format;      /* an alpha channel is ignored */
} tlr_picture;

typedef struct tlr_config {
    int max_batch;          /* pictures in one call; 0: 1 */
    int threads;            /* 0: 1; the bits do not depend on it */
    void *memory;           /* session's block, 64-byte aligned; NULL: tlr_open allocates */
    size_t memory_bytes;    /* at least tlr_session_bytes(model, config) */
    /* The application's own threads instead of `threads`: call item(arg, i, worker) for every i in
     * [0, items), worker in [0, workers), at most one call at a time for a worker, and return when
     * all are done.  NULL: the library's. */
    void (*parallel_for)(void *self, int64_t items,
                         void (*item)(void *arg, int64_t i, int worker), void *arg);
    void *parallel_self;
    int workers;            /* of parallel_for */
} tlr_config;

typedef struct tlr_info {
    const char *name;
    int max_batch;          /* largest that the network was compiled for */
    int n_classes;          /* outputs a picture */
    int input_rank;
    int64_t input_dim[8];   /* without the batch: channels, height, width */
    int64_t input_elems, output_elems, feature_elems; /* of one picture */
    int element_bytes;      /* 4: float; 8: double (compiled with --precision fp64) */
    int is_picture;         /* 1: tlr_classify works */
} tlr_info;

void tlr_model_info(const struct tlr_model *model, tlr_info *out);

/* Bytes of the block a session needs with `config` (NULL: defaults); weights are mapped besides. */
size_t tlr_session_bytes(const struct tlr_model *model, const tlr_config *config);

/* Open with a weights file (mapped, checked by its checksums) or with the file's bytes in memory
 * (64-byte aligned, kept by the caller until tlr_close).  The session owns what it mapped and
 * allocated; config->memory stays the caller's. */
tlr_status tlr_open_file(const struct tlr_model *model, const char *weights_path,
                         const tlr_config *config, tlr_session **out);
tlr_status tlr_open_memory(const struct tlr_model *model, const void *weights, size_t weights_bytes,
                           const tlr_config *config, tlr_session **out);

/* Run n pictures given as the network's input: n x input_elems elements, row-major in the order
 * of tlr_info's input_dim (NCHW, or NHWC where the compiled file has it so), normalised.
 * output: n x output_elems (the network's last values: logits). */
tlr_status tlr_run(tlr_session *s, int n, const void *input, void *output);

/* The same up to the features (the input of the classifier): n x feature_elems. */
tlr_status tlr_run_features(tlr_session *s, int n, const void *input, void *features);

/* n pictures to n x n_classes probabilities (softmax of the logits). */
tlr_status tlr_classify(tlr_session *s, const tlr_picture *pictures, int n, float *probabilities);

/* The name of class i from the weights file; NULL: it has none.  Valid until tlr_close. */
const char *tlr_label(const tlr_session *s, int i);

/* One English clause for a status. Never NULL. */
const char *tlr_status_text(tlr_status status);

void tlr_close(tlr_session *s); /* NULL is allowed */

#ifdef __cplusplus
}
#endif
#endif
