/* small: model.c, written by tlc 0.1.0, target ref, precision fp32.  Do not edit.
 * options --replace-head 2
 * graph   0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef (names left out)
 *         as emitted b1a85e51338cf9e999962a778ec973c8eb6769abd9fd31f810432c4d65183f3c
 * bytes   constants 192, parameters 128, with optimizer 192
 *         activations a picture 768, training 320; fixed 0, training 64; scratch a worker 0
 * n41_conv2d computes value %41, which lies at AT_41; S41 is its shape.
 * Names from the model stand in comments alone, and only plain ones. */
#define TLK_REAL float

#include "small.h"
#include "tlr_model.h"
#include "tlk_ref_conv2d.h"
#include "tlk_ref_pool2d.h"
#include "tlk_ref_linear.h"
#include "tlk_ref_softmax.h"
#include "tlk_ref_update.h"

#include <math.h>

/* Where values lie: bytes from the start of their region, planned by tlc. */

/* constants, in weights.bin */
#define CONST(id) ((const void *)(f->consts + AT_##id))
enum {
    AT_0 = 0,
    AT_1 = 128,
};

/* parameters, then the optimizer's state */
#define VAR(id) ((void *)(f->vars + AT_##id))
enum {
    AT_2 = 0,
    AT_3 = 64,
    AT_4 = 128,
};

/* values that grow with the batch, for one picture */
#define ACT(id) ((void *)(f->act + f->n * AT_##id))
enum {
    AT_5 = 512,
    AT_6 = 0,
    AT_7 = 512,
    AT_9 = 0,
    AT_10 = 64,
    AT_11 = 0,
    AT_12 = 64,
    AT_13 = 128,
    AT_14 = 256,
    AT_15 = 192,
};

/* values of fixed size */
#define FIX(id) ((void *)(f->fix + AT_##id))
enum {
    AT_16 = 0,
};

/* %6 : f32[n,2,8,8] = conv2d %5, %0, %1 {pad=[1,1,1,1], act=relu} ; /conv1/Conv
 *   kernel ref; writes 512 bytes a picture
 *   cost   1152 multiply-adds a picture */
static const tlk_ref_conv2d S6 = { .batch = 0, .ic = 1, .h = 8, .w = 8,
    .oc = 2, .oh = 8, .ow = 8, .kh = 3, .kw = 3, .groups = 1, .stride_h = 1, .stride_w = 1,
    .dilation_h = 1, .dilation_w = 1, .pad_top = 1, .pad_left = 1, .act = TLK_ACT_RELU };
static void n6_conv2d(const tlr_frame *f, int64_t item, int worker)
{
    (void)worker;
    tlk_ref_conv2d_item(&S6, item, f->n, ACT(5), CONST(0), CONST(1), NULL, ACT(6));
}

/* %7 : f32[n,2,1,1] = max_pool2d %6 {kernel=[8,8], stride=[8,8]}
 *   kernel ref; writes 8 bytes a picture */
static const tlk_ref_max_pool2d S7 = { .batch = 0, .c = 2, .h = 8, .w = 8, .oh = 1,
    .ow = 1, .kh = 8, .kw = 8, .stride_h = 8, .stride_w = 8, .dilation_h = 1,
    .dilation_w = 1, .pad_top = 0, .pad_left = 0, .pad_bottom = 0, .pad_right = 0 };
static void n7_max_pool2d(const tlr_frame *f, int64_t item, int worker)
{
    (void)worker;
    tlk_ref_max_pool2d_item(&S7, item, f->n, ACT(6), ACT(7));
}

/* %8 : f32[n,2] = flatten %7
 *   the operand's bytes; no code */

/* %10 : f32[n,2] = linear %9, %2, %3
 *   kernel ref; writes 8 bytes a picture
 *   cost   4 multiply-adds a picture */
static const tlk_ref_linear S10 = { .batch = 0, .in = 2, .out = 2,
    .act = TLK_ACT_NONE };
static void n10_linear(const tlr_frame *f, int64_t item, int worker)
{
    (void)worker;
    tlk_ref_linear_item(&S10, item, f->n, ACT(9), VAR(2), VAR(3), ACT(10));
}

/* %13 : f32[n,2] = linear %11, %2, %3
 *   kernel ref; writes 8 bytes a picture
 *   cost   4 multiply-adds a picture */
static const tlk_ref_linear S13 = { .batch = 0, .in = 2, .out = 2,
    .act = TLK_ACT_NONE };
static void n13_linear(const tlr_frame *f, int64_t item, int worker)
{
    (void)worker;
    tlk_ref_linear_item(&S13, item, f->n, ACT(11), VAR(2), VAR(3), ACT(13));
}

/* %14 : f32[n] = cross_entropy %13, %12
 *   kernel ref; writes 4 bytes a picture */
static const tlk_ref_cross_entropy S14 = { .batch = 0, .classes = 2, .smoothing = 0 };
static void n14_cross_entropy(const tlr_frame *f, int64_t item, int worker)
{
    (void)worker;
    tlk_ref_cross_entropy_item(&S14, item, f->n, f->step, ACT(13), ACT(12), ACT(14));
}

/* %15 : f32[n,2] = cross_entropy_grad %13, %12
 *   kernel ref; writes 8 bytes a picture */
static const tlk_ref_cross_entropy_grad S15 = { .batch = 0, .classes = 2, .smoothing = 0 };
static void n15_cross_entropy_grad(const tlr_frame *f, int64_t item, int worker)
{
    (void)worker;
    tlk_ref_cross_entropy_grad_item(&S15, item, f->n, f->step, ACT(13), ACT(12), ACT(15));
}

/* %16 : f32[2,2] = linear_grad_w %15, %11
 *   kernel ref; writes 16 bytes
 *   cost   4 multiply-adds a picture */
static const tlk_ref_linear_grad_w S16 = { .batch = 0, .in = 2, .out = 2 };
static void n16_linear_grad_w(const tlr_frame *f, int64_t item, int worker)
{
    (void)worker;
    tlk_ref_linear_grad_w_item(&S16, item, f->n, ACT(15), ACT(11), FIX(16));
}

/* sgd_update %2, %4, %16
 *   kernel ref */
static const tlk_ref_sgd U2 = { .elems = 4, .nesterov = false };
static void u2_sgd_update(const tlr_frame *f, int64_t item, int worker)
{
    (void)worker;
    tlk_ref_sgd_item(&U2, item, f->n, f->step, VAR(2), VAR(4), FIX(16));
}

static void features(const tlr_frame *f)
{
    tlr_parallel_for(f, tlk_ref_conv2d_items(&S6, f->n), n6_conv2d);
    tlr_parallel_for(f, tlk_ref_max_pool2d_items(&S7, f->n), n7_max_pool2d);
}

static void head(const tlr_frame *f)
{
    tlr_parallel_for(f, tlk_ref_linear_items(&S10, f->n), n10_linear);
}

static void step(const tlr_frame *f)
{
    tlr_parallel_for(f, tlk_ref_linear_items(&S13, f->n), n13_linear);
    tlr_parallel_for(f, tlk_ref_cross_entropy_items(&S14, f->n), n14_cross_entropy);
    tlr_parallel_for(f, tlk_ref_cross_entropy_grad_items(&S15, f->n), n15_cross_entropy_grad);
    tlr_parallel_for(f, tlk_ref_linear_grad_w_items(&S16, f->n), n16_linear_grad_w);
    tlr_parallel_for(f, tlk_ref_sgd_items(&U2, f->n), u2_sgd_update);
}

static const tlr_tensor tensors[] = {
    /* %0 conv.w */
    { .kind = TLR_CONST, .type = TLR_F32, .layout = TLR_PLAIN, .rank = 4, .dim = { 2, 1, 3, 3 },
      .offset = 0, .bytes = 72 },
    /* %1 conv.b */
    { .kind = TLR_CONST, .type = TLR_F32, .layout = TLR_PLAIN, .rank = 1, .dim = { 2 },
      .offset = 128, .bytes = 8 },
    /* %2 fc.w */
    { .kind = TLR_PARAM, .type = TLR_F32, .layout = TLR_PLAIN, .rank = 2, .dim = { 2, 2 },
      .offset = 0, .bytes = 16, .init = TLR_INIT_UNIFORM_FAN_IN, .init_value = 2, .init_position = 0 },
    /* %3 fc.b */
    { .kind = TLR_PARAM, .type = TLR_F32, .layout = TLR_PLAIN, .rank = 1, .dim = { 2 },
      .offset = 64, .bytes = 8, .init = TLR_INIT_UNIFORM_FAN_IN, .init_value = 2, .init_position = 1 },
    /* %4 fc.w.m */
    { .kind = TLR_STATE, .type = TLR_F32, .layout = TLR_PLAIN, .rank = 2, .dim = { 2, 2 },
      .offset = 128, .bytes = 16 },
};

const tlr_model small_model = {
    .abi = TLR_ABI,
    .name = "small",
    .version = "0.1.0",
    .target = "ref", .precision = "fp32",
    .graph_sha256 =
        "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    .code_sha256 =
        "b1a85e51338cf9e999962a778ec973c8eb6769abd9fd31f810432c4d65183f3c",
    .max_batch = 4,
    .n_classes = 2,
    .preprocess = { .kind = TLR_PREPROCESS_PICTURE, .resize_short = 9, .resize_h = 0, .resize_w = 0,
        .crop_h = 8, .crop_w = 8, .mean = { 0.485f, 0.456f, 0.406f }, .std = { 0.229f, 1.0f, 0.225f } },
    .features = {
        .run = features, .n_in = 1, .n_out = 1,
        .in = {
            { .type = TLR_F32, .rank = 4, .dim = { -1, 1, 8, 8 }, .offset = 512, .elems = 64 },
        },
        .out = {
            { .type = TLR_F32, .rank = 2, .dim = { -1, 2 }, .offset = 512, .elems = 2 },
        },
    },
    .head = {
        .run = head, .n_in = 1, .n_out = 1,
        .in = {
            { .type = TLR_F32, .rank = 2, .dim = { -1, 2 }, .offset = 0, .elems = 2 },
        },
        .out = {
            { .type = TLR_F32, .rank = 2, .dim = { -1, 2 }, .offset = 64, .elems = 2 },
        },
    },
    .step = {
        .run = step, .n_in = 2, .n_out = 2,
        .in = {
            { .type = TLR_F32, .rank = 2, .dim = { -1, 2 }, .offset = 0, .elems = 2 },
            { .type = TLR_I64, .rank = 1, .dim = { -1 }, .offset = 64, .elems = 1 },
        },
        .out = {
            { .type = TLR_F32, .rank = 1, .dim = { -1 }, .offset = 256, .elems = 1 },
            { .type = TLR_F32, .rank = 2, .dim = { -1, 2 }, .offset = 128, .elems = 2 },
        },
    },
    .tensors = tensors,
    .n_tensors = 5,
    .consts_bytes = 192,
    .params_bytes = 128,
    .vars_bytes = 192,
    .act_infer_bytes = 768,
    .act_features_bytes = 768,
    .act_step_bytes = 320,
    .fix_infer_bytes = 0,
    .fix_step_bytes = 64,
    .derived_step_bytes = 0,
    .scratch_bytes = 0,
    .params_total = 45,
    .params_trained = 8,
    .optimizer = TLR_SGD,
};
