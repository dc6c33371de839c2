/* tlr_session.h: the parts of a session that the trainer builds on.  Not for applications. */
#ifndef TLR_SESSION_H
#define TLR_SESSION_H

#include "tlr.h"
#include "tlr_model.h"

/* Check a weights file's bytes against the model: magic, version, sizes, graph, checksums.
 * need_trained: refuse a file whose head holds no trained values (TLR_E_UNSUPPORTED). */
tlr_status tlr_weights_check(const tlr_model *m, const void *bytes, size_t n, int need_trained);
const char *tlr_weights_consts(const void *bytes);                 /* start of the const section */
const char *tlr_weights_params(const tlr_model *m, const void *bytes);
const char *tlr_weights_labels(const tlr_model *m, const void *bytes); /* NULL: none */
int tlr_model_needs_training(const tlr_model *m); /* has params with no bytes of the model's */
int tlr_weights_trained(const tlr_model *m, const void *bytes); /* every param has real values */
/* The header of a file with these sections (`trainer export`); the checksums are made here. */
void tlr_weights_header_make(tlr_weights_header *h, const tlr_model *m, const void *consts,
                             const void *params, const char *labels, size_t labels_bytes,
                             int trained);

/* A pool of `threads` workers (the caller is one of them); waits spin briefly, then sleep. */
typedef struct tlr_pool tlr_pool;
size_t tlr_pool_bytes(int threads);
tlr_status tlr_pool_start(tlr_pool *pool, int threads); /* memory of tlr_pool_bytes, 64-byte aligned */
void tlr_pool_stop(tlr_pool *pool);
const tlr_par *tlr_pool_par(tlr_pool *pool);
int tlr_cpu_count(void); /* processors this process may use */

/* Lay the frame of inference out in one block, 64-byte aligned; `vars` is the params section that
 * follows `consts` in the mapped file.  The memory is not touched: the caller runs m->prepare. */
size_t tlr_frame_bytes(const tlr_model *m, int max_batch, int workers);
void tlr_frame_init(tlr_frame *f, const tlr_model *m, const void *consts, void *block,
                    int max_batch, const tlr_par *par);

/* The two halves of tlr_run, for tools: they do not ask whether the head is trained.
 * 1 <= n <= max_batch. */
void tlr_session_features(tlr_session *s, int n, const void *input);
void tlr_session_head(tlr_session *s, int n);                  /* after tlr_session_features(n) */
const void *tlr_session_features_at(const tlr_session *s); /* until the head runs */
const void *tlr_session_output_at(const tlr_session *s);   /* after the head */
const tlr_frame *tlr_session_frame(const tlr_session *s);
int tlr_session_trained(const tlr_session *s);

/* Rows of k logits to probabilities; sums in double, in order. */
void tlr_softmax(int64_t rows, int64_t k, tlr_type type, const void *logits, float *probabilities);

/* Convert a tensor between its stored (packed) form and logical row-major order. */
void tlr_unpack(const tlr_tensor *t, const void *stored, void *logical);
void tlr_pack(const tlr_tensor *t, const void *logical, void *stored);
int64_t tlr_tensor_elems(const tlr_tensor *t);
int64_t tlr_type_bytes(tlr_type t);
#endif
