/* tiny_model.h: a network written by hand as the compiler would emit it: x [n,6] frozen to
 * features relu(x W) [n,4], a trained linear head [n,3], Adam.  For tests of the trainer.
 *
 * tiny_model updates in @step.  tiny_kept keeps gradients and updates in @update, and calls its
 * weight the backbone's, its bias the new head's. */
#ifndef TINY_MODEL_H
#define TINY_MODEL_H

#include "tlr_model.h"

#include <math.h>
#include <string.h>

enum { TINY_IN = 6, TINY_F = 4, TINY_K = 3, TINY_BATCH = 5 };

enum { /* vars */
    TINY_W = 0, TINY_B = 64, TINY_PARAMS = 128,
    TINY_WM = 128, TINY_WV = 192, TINY_BM = 256, TINY_BV = 320, TINY_VARS = 384,
    TINY_WG = 384, TINY_BG = 448, TINY_KEPT_VARS = 512
};
enum { /* act, for n = 1 */
    TINY_X = 0, TINY_FEATURES = 64, TINY_LABELS = 128, TINY_LOSS = 192, TINY_LOGITS = 256,
    TINY_ACT = 320
};

static inline void *tiny_at(const tlr_frame *f, int64_t offset)
{
    return f->act + offset * f->n;
}

static void tiny_feature_item(const tlr_frame *f, int64_t i, int worker)
{
    const float *w = (const float *)f->consts, *x = (float *)tiny_at(f, TINY_X) + i * TINY_IN;
    float *y = (float *)tiny_at(f, TINY_FEATURES) + i * TINY_F;
    (void)worker;
    for (int k = 0; k < TINY_F; ++k) {
        float sum = 0;
        for (int j = 0; j < TINY_IN; ++j)
            sum += x[j] * w[j * TINY_F + k];
        y[k] = sum > 0 ? sum : 0;
    }
}

static void tiny_features(const tlr_frame *f)
{
    tlr_parallel_for(f, f->n, tiny_feature_item);
}

static void tiny_head(const tlr_frame *f)
{
    const float *w = (float *)(f->vars + TINY_W), *b = (float *)(f->vars + TINY_B);
    for (int64_t i = 0; i < f->n; ++i)
        for (int k = 0; k < TINY_K; ++k) {
            const float *x = (float *)tiny_at(f, TINY_FEATURES) + i * TINY_F;
            float sum = b[k];
            for (int j = 0; j < TINY_F; ++j)
                sum += x[j] * w[k * TINY_F + j];
            ((float *)tiny_at(f, TINY_LOGITS))[i * TINY_K + k] = sum;
        }
}

static inline void tiny_adam(const tlk_step *s, float *w, float *m, float *v, const float *g, int n)
{
    double c1 = 1 - pow(s->beta1, (double)s->t), c2 = 1 - pow(s->beta2, (double)s->t);
    for (int i = 0; i < n; ++i) {
        m[i] += (float)(1 - s->beta1) * (g[i] - m[i]);
        v[i] = (float)s->beta2 * v[i] + (float)(1 - s->beta2) * g[i] * g[i];
        w[i] -= (float)(s->lr / c1 * m[i] / (sqrt(v[i]) / sqrt(c2) + s->epsilon));
    }
}

/* Gradient of the step's loss by one picture's logits z; returns its part of the loss. */
static inline float tiny_softmax(const float *z, int64_t label, const tlk_step *s, float *dz)
{
    float most = fmaxf(z[0], fmaxf(z[1], z[2])), sum = 0;
    float weight = s->class_weights ? (float)s->class_weights[label] : 1;
    for (int k = 0; k < TINY_K; ++k)
        sum += expf(z[k] - most);
    for (int k = 0; k < TINY_K; ++k)
        dz[k] = (expf(z[k] - most) / sum - (k == label)) * weight / (float)s->divisor;
    return (logf(sum) + most - z[label]) * weight;
}

/* Forward and backward. */
static inline void tiny_gradient(const tlr_frame *f, float dw[TINY_K * TINY_F], float db[TINY_K])
{
    float dz[TINY_K];
    tiny_head(f);
    for (int64_t i = 0; i < f->n; ++i) {
        const float *x = (float *)tiny_at(f, TINY_FEATURES) + i * TINY_F;
        int64_t label = ((int64_t *)tiny_at(f, TINY_LABELS))[i];
        ((float *)tiny_at(f, TINY_LOSS))[i] =
            tiny_softmax((float *)tiny_at(f, TINY_LOGITS) + i * TINY_K, label, f->step, dz);
        for (int k = 0; k < TINY_K; ++k) {
            db[k] += dz[k];
            for (int j = 0; j < TINY_F; ++j)
                dw[k * TINY_F + j] += dz[k] * x[j];
        }
    }
}

static inline void tiny_update_both(const tlr_frame *f, const tlk_step *weights, const float *dw,
                                    const float *db)
{
    char *v = f->vars;
    if (weights->t > 0)
        tiny_adam(weights, (float *)(v + TINY_W), (float *)(v + TINY_WM), (float *)(v + TINY_WV),
                  dw, TINY_K * TINY_F);
    tiny_adam(f->step, (float *)(v + TINY_B), (float *)(v + TINY_BM), (float *)(v + TINY_BV), db,
              TINY_K);
}

static void tiny_step(const tlr_frame *f)
{
    float dw[TINY_K * TINY_F] = { 0 }, db[TINY_K] = { 0 };
    tiny_gradient(f, dw, db);
    tiny_update_both(f, f->step, dw, db);
}

static inline void tiny_kept_step(const tlr_frame *f)
{
    float *dw = (float *)(f->vars + TINY_WG), *db = (float *)(f->vars + TINY_BG);
    if (f->step->batch == 0) {
        memset(dw, 0, TINY_K * TINY_F * sizeof *dw);
        memset(db, 0, TINY_K * sizeof *db);
    }
    tiny_gradient(f, dw, db);
}

static inline void tiny_update(const tlr_frame *f)
{
    tiny_update_both(f, &f->step[TLK_GROUP_BACKBONE], (float *)(f->vars + TINY_WG),
                     (float *)(f->vars + TINY_BG));
}

#define TINY_TENSOR(kind_, rank_, d0, d1, offset_, init_) \
    { .kind = kind_, .type = TLR_F32, .layout = TLR_PLAIN, .rank = rank_, .dim = { d0, d1 }, \
      .offset = offset_, .bytes = (d0) * (d1) * 4, .init = init_, .init_value = TINY_F, \
      .init_position = (offset_) == TINY_B }
static const tlr_tensor tiny_tensors[] = {
    TINY_TENSOR(TLR_CONST, 2, TINY_IN, TINY_F, 0, TLR_INIT_NONE),
    TINY_TENSOR(TLR_PARAM, 2, TINY_K, TINY_F, TINY_W, TLR_INIT_UNIFORM_FAN_IN),
    TINY_TENSOR(TLR_PARAM, 1, TINY_K, 1, TINY_B, TLR_INIT_UNIFORM_FAN_IN),
    TINY_TENSOR(TLR_STATE, 2, TINY_K, TINY_F, TINY_WM, TLR_INIT_NONE),
    TINY_TENSOR(TLR_STATE, 2, TINY_K, TINY_F, TINY_WV, TLR_INIT_NONE),
    TINY_TENSOR(TLR_STATE, 1, TINY_K, 1, TINY_BM, TLR_INIT_NONE),
    TINY_TENSOR(TLR_STATE, 1, TINY_K, 1, TINY_BV, TLR_INIT_NONE),
};
static const char *const tiny_names[] = { "conv.weight", "fc.weight",   "fc.bias",  "fc.weight.m",
                                          "fc.weight.v", "fc.bias.m", "fc.bias.v" };

#define TINY_IO(type_, elems_, offset_) \
    { .type = type_, .rank = 2, .dim = { -1, elems_ }, .offset = offset_, .elems = elems_ }
/* For tests that give it pictures: two pixels, one row of its input. */
static const tlr_preprocess tiny_pictures = { .kind = TLR_PREPROCESS_PICTURE,
                                              .resize_h = 1,
                                              .resize_w = 2,
                                              .crop_h = 1,
                                              .crop_w = 2,
                                              .mean = { 0.5f, 0.5f, 0.5f },
                                              .std = { 0.25f, 0.25f, 0.25f } };

static const tlr_model tiny_model = {
    .abi = TLR_ABI, .name = "tiny", .version = "0.1.0", .target = "ref", .precision = "fp32",
    .graph_sha256 = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
    .code_sha256 = "ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100",
    .max_batch = TINY_BATCH, .n_classes = TINY_K,
    .features = { tiny_features, 1, 1, { TINY_IO(TLR_F32, TINY_IN, TINY_X) },
                  { TINY_IO(TLR_F32, TINY_F, TINY_FEATURES) } },
    .head = { tiny_head, 1, 1, { TINY_IO(TLR_F32, TINY_F, TINY_FEATURES) },
              { TINY_IO(TLR_F32, TINY_K, TINY_LOGITS) } },
    .step = { tiny_step, 2, 2,
              { TINY_IO(TLR_F32, TINY_F, TINY_FEATURES), TINY_IO(TLR_I64, 1, TINY_LABELS) },
              { TINY_IO(TLR_F32, 1, TINY_LOSS), TINY_IO(TLR_F32, TINY_K, TINY_LOGITS) } },
    .tensors = tiny_tensors, .n_tensors = 7, .consts_bytes = TINY_IN * TINY_F * 4,
    .params_bytes = TINY_PARAMS, .vars_bytes = TINY_VARS, .act_infer_bytes = TINY_ACT,
    .act_features_bytes = TINY_ACT, .act_step_bytes = TINY_ACT, .params_total = 39, .params_trained = 15, .optimizer = TLR_ADAM,
};

static inline tlr_model tiny_kept(void)
{
    static tlr_tensor tensors[9];
    tlr_model m = tiny_model;
    memcpy(tensors, tiny_tensors, sizeof tiny_tensors);
    tensors[1].backbone = true;
    tensors[7] = (tlr_tensor)TINY_TENSOR(TLR_GRADIENT, 2, TINY_K, TINY_F, TINY_WG, TLR_INIT_NONE);
    tensors[7].backbone = true;
    tensors[8] = (tlr_tensor)TINY_TENSOR(TLR_GRADIENT, 1, TINY_K, 1, TINY_BG, TLR_INIT_NONE);
    m.step.run = tiny_kept_step;
    m.update = tiny_update;
    m.tensors = tensors;
    m.n_tensors = 9;
    m.vars_bytes = TINY_KEPT_VARS;
    return m;
}

/* weights.bin of it; returns its length.  No checksums: the trainer takes checked bytes. */
enum { TINY_WEIGHTS_BYTES = TLR_WEIGHTS_CONSTS_AT + 128 + TINY_PARAMS };
static inline void tiny_weights(char bytes[TINY_WEIGHTS_BYTES])
{
    tlr_weights_header h = { .abi = TLR_ABI, .consts_xxh64 = 1 };
    memset(bytes, 0, TINY_WEIGHTS_BYTES);
    memcpy(bytes, &h, sizeof h);
    float *w = (float *)(void *)(bytes + TLR_WEIGHTS_CONSTS_AT);
    for (int i = 0; i < TINY_IN * TINY_F; ++i)
        w[i] = (float)((i * 7) % 11 - 4) / 4;
}

#endif
