/* small: model.c, written by tlc 0.1.0, target ref, precision fp32.  Do not edit.
 * options --replace-head 2
 * graph   0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef (names left out)
 *         as emitted f64a7bf3fbd79cd8ac666d01592017baa2f0b7984bb9bfeda012be6e659804bd
 * bytes   constants 128, parameters 0, with optimizer 0
 *         activations a picture 128, training 128; fixed 0, training 0; scratch a worker 0
 * n41_conv2d computes value %41, which lies at AT_41; S41 is its shape.
 * Names from the model stand in comments alone, and only plain ones. */
#define TLK_REAL float

#include "small.h"
#include "tlr_model.h"
#include "tlk_ref_elementwise.h"
#include "tlk_ref_linear.h"

#include <math.h>

/* Where values lie: bytes from the start of their region, planned by tlc. */

/* constants, in weights.bin */
#define CONST(id) ((const void *)(f->consts + AT_##id))
enum {
    AT_0 = 0,
    AT_1 = 64,
};

/* values that grow with the batch, for one picture */
#define ACT(id) ((void *)(f->act + f->n * AT_##id))
enum {
    AT_2 = 0,
    AT_3 = 0,
    AT_4 = 64,
};

/* %3 : f32[n,4] = clip %2 {lo=0, hi=6} ; /act
 *   kernel ref; writes 16 bytes a picture */
static const tlk_ref_act S3 = { .batch = 0, .elems = 4, .act = TLK_ACT_CLIP,
    .lo = 0, .hi = 6 };
static void n3_clip(const tlr_frame *f, int64_t item, int worker)
{
    (void)worker;
    tlk_ref_act_item(&S3, item, f->n, ACT(2), ACT(3));
}

/* %4 : f32[n,3] = linear %3, %0, %1 ; ?
 *   kernel ref; writes 12 bytes a picture
 *   cost   12 multiply-adds a picture */
static const tlk_ref_linear S4 = { .batch = 0, .in = 4, .out = 3,
    .act = TLK_ACT_NONE };
static void n4_linear(const tlr_frame *f, int64_t item, int worker)
{
    (void)worker;
    tlk_ref_linear_item(&S4, item, f->n, ACT(3), CONST(0), CONST(1), ACT(4));
}

static void head(const tlr_frame *f)
{
    tlr_parallel_for(f, tlk_ref_act_items(&S3, f->n), n3_clip);
    tlr_parallel_for(f, tlk_ref_linear_items(&S4, f->n), n4_linear);
}

static const tlr_tensor tensors[] = {
    /* %0 w */
    { .kind = TLR_CONST, .type = TLR_F32, .layout = TLR_PLAIN, .rank = 2, .dim = { 3, 4 },
      .offset = 0, .bytes = 48 },
    /* %1 ? */
    { .kind = TLR_CONST, .type = TLR_F32, .layout = TLR_PLAIN, .rank = 1, .dim = { 3 },
      .offset = 64, .bytes = 12 },
};

const tlr_model small_model = {
    .abi = TLR_ABI,
    .name = "small",
    .version = "0.1.0",
    .target = "ref", .precision = "fp32",
    .graph_sha256 =
        "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    .code_sha256 =
        "f64a7bf3fbd79cd8ac666d01592017baa2f0b7984bb9bfeda012be6e659804bd",
    .max_batch = 4,
    .n_classes = 3,
    .preprocess = { .kind = TLR_PREPROCESS_PICTURE, .resize_short = 9, .resize_h = 0, .resize_w = 0,
        .crop_h = 8, .crop_w = 8, .mean = { 0.485f, 0.456f, 0.406f }, .std = { 0.229f, 1.0f, 0.225f } },
    .head = {
        .run = head, .n_in = 1, .n_out = 1,
        .in = {
            { .type = TLR_F32, .rank = 2, .dim = { -1, 4 }, .offset = 0, .elems = 4 },
        },
        .out = {
            { .type = TLR_F32, .rank = 2, .dim = { -1, 3 }, .offset = 64, .elems = 3 },
        },
    },
    .tensors = tensors,
    .n_tensors = 2,
    .consts_bytes = 128,
    .params_bytes = 0,
    .vars_bytes = 0,
    .act_infer_bytes = 128,
    .act_features_bytes = 0,
    .act_step_bytes = 128,
    .fix_infer_bytes = 0,
    .fix_step_bytes = 0,
    .derived_step_bytes = 0,
    .scratch_bytes = 0,
    .params_total = 45,
    .params_trained = 8,
    .optimizer = TLR_OPT_NONE,
};
