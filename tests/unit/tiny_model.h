/* tiny_model.h: a compiled model written by hand, for tests of the runtime.
 *
 * Pictures of 3x4x4; features are each channel's mean times a constant scale (made by prepare);
 * the head is linear, 2 classes.  Weights: one const (the scales), two params.
 */
#ifndef TINY_MODEL_H
#define TINY_MODEL_H

#include "tlr_session.h"

#include <stdlib.h>
#include <string.h>

enum { TINY_C = 3, TINY_HW = 16, TINY_K = 2, TINY_AT_X = 0, TINY_AT_F = 192, TINY_AT_Z = 256 };
enum { TINY_CONSTS = 12, TINY_PARAMS = 128, TINY_BIAS_AT = 64 };

static void tiny_prepare(const tlr_frame *f)
{
    const float *scale = (const float *)f->consts;
    for (int c = 0; c < TINY_C; ++c)
        ((float *)f->fix)[c] = 2.0f * scale[c];
}

/* One item: a channel of a picture; by way of scratch, so that a worker's share of it matters. */
static void tiny_mean(const tlr_frame *f, int64_t item, int worker)
{
    const float *x = (const float *)(f->act + TINY_AT_X * f->n) + item * TINY_HW;
    float *sum = (float *)(f->scratch + worker * f->scratch_stride);
    *sum = 0;
    for (int i = 0; i < TINY_HW; ++i)
        *sum += x[i];
    ((float *)(f->act + TINY_AT_F * f->n))[item] = *sum / TINY_HW * ((float *)f->fix)[item % TINY_C];
}

static void tiny_features(const tlr_frame *f)
{
    tlr_parallel_for(f, f->n * TINY_C, tiny_mean);
}

static void tiny_linear(const tlr_frame *f, int64_t i, int worker)
{
    (void)worker;
    const float *x = (const float *)f->act + i * TINY_C; /* the head reads its input at 0 */
    const float *w = (const float *)f->vars, *b = (const float *)(f->vars + TINY_BIAS_AT);
    float *z = (float *)(f->act + TINY_AT_Z * f->n) + i * TINY_K;
    for (int k = 0; k < TINY_K; ++k) {
        z[k] = b[k];
        for (int c = 0; c < TINY_C; ++c)
            z[k] += w[k * TINY_C + c] * x[c];
    }
}

static void tiny_head(const tlr_frame *f)
{
    tlr_parallel_for(f, f->n, tiny_linear);
}

static const tlr_tensor tiny_tensors[] = {
    { TLR_CONST, TLR_F32, TLR_PLAIN, 1, { 3 }, 0, 12, TLR_INIT_NONE, 0, 0 },
    { TLR_PARAM, TLR_F32, TLR_PLAIN, 2, { 2, 3 }, 0, 24, TLR_INIT_UNIFORM_FAN_IN, 3, 0 },
    { TLR_PARAM, TLR_F32, TLR_PLAIN, 1, { 2 }, TINY_BIAS_AT, 8, TLR_INIT_UNIFORM_FAN_IN, 3, 1 },
};

static const tlr_value tiny_values[] = {
    { 4, TLR_F32, 2, { -1, 3 }, TLR_PLAIN, { 0 }, TINY_AT_F, 0 },
    { 7, TLR_F32, 2, { -1, 2 }, TLR_PLAIN, { 0 }, TINY_AT_Z, 1 },
};

#define TINY_IO(r, d1, d2, d3, at, n) { TLR_F32, r, { -1, d1, d2, d3 }, at, n }

static const tlr_model tiny_model = {
    .abi = TLR_ABI,
    .name = "tiny",
    .version = "0.1.0",
    .target = "cpu",
    .precision = "fp32",
    .graph_sha256 = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    .max_batch = 8,
    .n_classes = TINY_K,
    .preprocess = { TLR_PREPROCESS_PICTURE, 4, 0, 0, 4, 4, { 0.5f, 0.5f, 0.5f }, { 0.25f, 0.25f, 0.25f } },
    .features = { tiny_features, 1, 1, { TINY_IO(4, 3, 4, 4, TINY_AT_X, 48) }, { TINY_IO(2, 3, 0, 0, TINY_AT_F, 3) } },
    .head = { tiny_head, 1, 1, { TINY_IO(2, 3, 0, 0, 0, 3) }, { TINY_IO(2, 2, 0, 0, TINY_AT_Z, 2) } },
    .prepare = tiny_prepare,
    .tensors = tiny_tensors,
    .n_tensors = 3,
    .consts_bytes = TINY_CONSTS,
    .params_bytes = TINY_PARAMS,
    .vars_bytes = TINY_PARAMS,
    .act_infer_bytes = 320,
    .act_train_bytes = 320,
    .fix_infer_bytes = 12,
    .fix_train_bytes = 12,
    .scratch_bytes = 4,
    .params_total = 11,
    .params_trained = 8,
    .values = tiny_values,
    .n_values = 2,
};

static const char tiny_labels[] = "cat\0dog"; /* and the literal's own NUL */

enum { TINY_FILE = TLR_WEIGHTS_CONSTS_AT + 64 + TINY_PARAMS + sizeof tiny_labels };

/* The bytes of a weights file, 64-byte aligned; free(). */
static inline unsigned char *tiny_weights(int trained)
{
    static const float scale[3] = { 1, 2, 3 }, w[6] = { 1, -1, 0.5f, -0.5f, 2, 1 }, b[2] = { 0.1f, -0.2f };
    unsigned char *file = aligned_alloc(64, (TINY_FILE + 63) / 64 * 64);
    char params[TINY_PARAMS] = { 0 };
    size_t labels = trained ? sizeof tiny_labels : 0;
    if (trained) {
        memcpy(params, w, sizeof w);
        memcpy(params + TINY_BIAS_AT, b, sizeof b);
    }
    memset(file, 0, TINY_FILE);
    tlr_weights_header_make((tlr_weights_header *)file, &tiny_model, scale, params, tiny_labels,
                            labels, trained);
    memcpy(file + TLR_WEIGHTS_CONSTS_AT, scale, sizeof scale);
    memcpy(file + TLR_WEIGHTS_CONSTS_AT + 64, params, sizeof params);
    memcpy(file + TLR_WEIGHTS_CONSTS_AT + 64 + TINY_PARAMS, tiny_labels, labels);
    return file;
}

static inline size_t tiny_weights_bytes(int trained)
{
    return trained ? TINY_FILE : TINY_FILE - sizeof tiny_labels;
}
#endif
