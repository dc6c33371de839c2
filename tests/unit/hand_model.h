/* hand_model.h: a compiled model written by hand, for tests of the runtime.
 *
 * Pictures of 3x4x4; features are each channel's mean times a constant scale (made by prepare);
 * the head is linear, 2 classes.  Weights: one const (the scales), two params.
 */
#ifndef HAND_MODEL_H
#define HAND_MODEL_H

#include "tlr_session.h"

#include <stdlib.h>
#include <string.h>

enum { HAND_C = 3, HAND_HW = 16, HAND_K = 2, HAND_AT_X = 0, HAND_AT_F = 192, HAND_AT_Z = 256 };
enum { HAND_CONSTS = 12, HAND_PARAMS = 128, HAND_BIAS_AT = 64 };

static void hand_prepare(const tlr_frame *f)
{
    const float *scale = (const float *)f->consts;
    for (int c = 0; c < HAND_C; ++c)
        ((float *)f->fix)[c] = 2.0f * scale[c];
}

/* One item: a channel of a picture; by way of scratch, so that a worker's share of it matters. */
static void hand_mean(const tlr_frame *f, int64_t item, int worker)
{
    const float *x = (const float *)(f->act + HAND_AT_X * f->n) + item * HAND_HW;
    const float *scale = (const float *)f->fix;
    float *sum = (float *)(f->scratch + worker * f->scratch_stride);
    *sum = 0;
    for (int i = 0; i < HAND_HW; ++i)
        *sum += x[i];
    ((float *)(f->act + HAND_AT_F * f->n))[item] = *sum / HAND_HW * scale[item % HAND_C];
}

static void hand_features(const tlr_frame *f)
{
    tlr_parallel_for(f, f->n * HAND_C, hand_mean);
}

static void hand_linear(const tlr_frame *f, int64_t i, int worker)
{
    (void)worker;
    const float *x = (const float *)f->act + i * HAND_C; /* the head reads its input at 0 */
    const float *w = (const float *)f->vars, *b = (const float *)(f->vars + HAND_BIAS_AT);
    float *z = (float *)(f->act + HAND_AT_Z * f->n) + i * HAND_K;
    for (int k = 0; k < HAND_K; ++k) {
        z[k] = b[k];
        for (int c = 0; c < HAND_C; ++c)
            z[k] += w[k * HAND_C + c] * x[c];
    }
}

static void hand_head(const tlr_frame *f)
{
    tlr_parallel_for(f, f->n, hand_linear);
}

static const tlr_tensor hand_tensors[] = {
    { TLR_CONST, TLR_F32, TLR_PLAIN, 1, { 3 }, 0, 12, TLR_INIT_NONE, 0, 0, false },
    { TLR_PARAM, TLR_F32, TLR_PLAIN, 2, { 2, 3 }, 0, 24, TLR_INIT_UNIFORM_FAN_IN, 3, 0, false },
    { TLR_PARAM, TLR_F32, TLR_PLAIN, 1, { 2 }, HAND_BIAS_AT, 8, TLR_INIT_UNIFORM_FAN_IN, 3, 1,
      false },
};

static const tlr_value hand_values[] = {
    { 4, TLR_F32, 2, { -1, 3 }, TLR_PLAIN, { 0 }, HAND_AT_F, 0 },
    { 7, TLR_F32, 2, { -1, 2 }, TLR_PLAIN, { 0 }, HAND_AT_Z, 1 },
};

#define HAND_IO(r, d1, d2, d3, at, n) { { TLR_F32, r, { -1, d1, d2, d3 }, at, n } }

static const tlr_model hand_model = {
    .abi = TLR_ABI,
    .name = "hand",
    .version = "0.1.0",
    .target = "cpu",
    .precision = "fp32",
    .graph_sha256 = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    .code_sha256 = "89abcdef0123456789abcdef0123456789abcdef0123456789abcdef01234567",
    .max_batch = 8,
    .n_classes = HAND_K,
    .preprocess = { .kind = TLR_PREPROCESS_PICTURE,
                    .resize_short = 4,
                    .crop_h = 4,
                    .crop_w = 4,
                    .mean = { 0.5f, 0.5f, 0.5f },
                    .std = { 0.25f, 0.25f, 0.25f } },
    .features = { hand_features, 1, 1, HAND_IO(4, 3, 4, 4, HAND_AT_X, 48),
                  HAND_IO(2, 3, 0, 0, HAND_AT_F, 3) },
    .head = { hand_head, 1, 1, HAND_IO(2, 3, 0, 0, 0, 3), HAND_IO(2, 2, 0, 0, HAND_AT_Z, 2) },
    .prepare = hand_prepare,
    .tensors = hand_tensors,
    .n_tensors = 3,
    .consts_bytes = HAND_CONSTS,
    .params_bytes = HAND_PARAMS,
    .vars_bytes = HAND_PARAMS,
    .act_infer_bytes = 320,
    .act_features_bytes = 320,
    .act_step_bytes = 320,
    .fix_infer_bytes = 12,
    .scratch_bytes = 4,
    .params_total = 11,
    .params_trained = 8,
    .values = hand_values,
    .n_values = 2,
};

static const char hand_labels[] = "cat\0dog"; /* and the literal's own NUL */

enum { HAND_FILE = TLR_WEIGHTS_CONSTS_AT + 64 + HAND_PARAMS + sizeof hand_labels };

/* The bytes of a weights file, 64-byte aligned; free(). */
static inline unsigned char *hand_weights(int trained)
{
    static const float scale[3] = { 1, 2, 3 }, w[6] = { 1, -1, 0.5f, -0.5f, 2, 1 };
    static const float b[2] = { 0.1f, -0.2f };
    unsigned char *file = aligned_alloc(64, (HAND_FILE + 63) / 64 * 64);
    char params[HAND_PARAMS] = { 0 };
    size_t labels = trained ? sizeof hand_labels : 0;
    if (trained) {
        memcpy(params, w, sizeof w);
        memcpy(params + HAND_BIAS_AT, b, sizeof b);
    }
    memset(file, 0, HAND_FILE);
    tlr_weights_header_make((tlr_weights_header *)file, &hand_model, scale, params, hand_labels,
                            labels, trained);
    memcpy(file + TLR_WEIGHTS_CONSTS_AT, scale, sizeof scale);
    memcpy(file + TLR_WEIGHTS_CONSTS_AT + 64, params, sizeof params);
    memcpy(file + TLR_WEIGHTS_CONSTS_AT + 64 + HAND_PARAMS, hand_labels, labels);
    return file;
}

static inline size_t hand_weights_bytes(int trained)
{
    return trained ? HAND_FILE : HAND_FILE - sizeof hand_labels;
}
#endif
