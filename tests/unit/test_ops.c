/* test_ops.c: every operator's result shape and every refusal, as tables; multiply-adds.
 * A row of ops.def without a case here fails. */
#include "op_infer.h"
#include "ops_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

typedef struct good_case {
    const char *op, *operands, *attrs;
    const char *result;  /* type text; NULL: none, the operator writes */
    int64_t multiply_adds;
} good_case;

typedef struct bad_case {
    const char *op, *operands, *attrs;
    tlc_status code;
    const char *id, *core; /* `core` is a part of the message */
} bad_case;

static const good_case good[] = {
    { "conv2d", "f32:n,3,8,8 f32:4,3,3,3", NULL, "f32[n,4,6,6]", 4 * 36 * 27 },
    { "conv2d", "f32:n,3,224,224 f32:64,3,7,7 f32:64", "stride=2,2 pad=3,3,3,3",
      "f32[n,64,112,112]", INT64_C(64) * 112 * 112 * 147 },
    { "conv2d", "f32:n,4,8,8 f32:4,1,3,3", "groups=4 pad=0,1,1,0", "f32[n,4,7,7]", 4 * 49 * 9 },
    { "conv2d", "f64:2,4,9,9 f64:6,2,3,3 f64:6", "groups=2 dilation=2,4", "f64[2,6,5,1]",
      2 * 6 * 5 * 18 },
    { "conv2d", "f32:n,3,8,8 f32:4,3,1,1 _ f32:n,4,8,8", "act=clip lo=0 hi=6", "f32[n,4,8,8]",
      4 * 64 * 3 },
    { "conv2d", "f32:n,3,8,8 f32:4,3,1,1 f32:4 f32:n,4,8,8", "act=relu", "f32[n,4,8,8]", 768 },
    { "linear", "f32:n,9 f32:4,9", NULL, "f32[n,4]", 36 },
    { "linear", "f64:n,9 f64:4,9 f64:4", "act=relu", "f64[n,4]", 36 },
    { "matmul", "f32:n,9 f32:9,4", NULL, "f32[n,4]", 36 },
    { "batch_matmul", "f32:n,2,5,3 f32:n,2,3,4", NULL, "f32[n,2,5,4]", 120 },
    { "batch_matmul", "f64:n,3,5 f64:n,4,3", "trans_a=true trans_b=true", "f64[n,5,4]", 60 },
    { "batch_norm", "f32:n,2,8,8 f32:2 f32:2 f32:2 p@f32:2=0,1", NULL, "f32[n,2,8,8]", 0 },
    { "batch_norm", "f32:n,2,8,8 f32:2 f32:2 f32:2 p@f32:2=1e-40,1", "epsilon=0",
      "f32[n,2,8,8]", 0 },
    { "batch_norm", "f32:n,2 f32:2 f32:2 f32:2 p@f32:2=nan,1", NULL, "f32[n,2]", 0 },
    { "relu", "f64:n,3,8,8", NULL, "f64[n,3,8,8]", 0 },
    { "clip", "f32:n,3", "lo=0 hi=6", "f32[n,3]", 0 },
    { "clip", "f32:n,3", NULL, "f32[n,3]", 0 },
    { "add", "f32:n,3,8,8 f32:n,3,8,8", NULL, "f32[n,3,8,8]", 0 },
    { "add", "f32:n,3 f32:3", NULL, "f32[n,3]", 0 },
    { "add", "f32:1,3,1 f32:n,1,5", NULL, "f32[n,3,5]", 0 },
    { "sub", "i64:4 i64:-", NULL, "i64[4]", 0 },
    { "mul", "f32:n,3,8,8 f32:n,3,1,1", NULL, "f32[n,3,8,8]", 0 },
    { "div", "i32:1 i32:0", NULL, "i32[0]", 0 },
    { "min", "f32:n,3 f32:3", NULL, "f32[n,3]", 0 },
    { "max", "i64:4 i64:-", NULL, "i64[4]", 0 },
    { "where", "c@bool:3,1=1,0,1 f32:n,3,2 f32:-", NULL, "f32[n,3,2]", 0 },
    { "where", "bool:n,1,3 f32:2,1 f32:1", NULL, "f32[n,2,3]", 0 },
    { "mod", "i64:4 i64:-", NULL, "i64[4]", 0 },
    { "equal", "f32:4 f32:2,1", NULL, "bool[2,4]", 0 },
    { "greater", "i32:4 i32:1", NULL, "bool[4]", 0 },
    { "and", "bool:4 bool:1", NULL, "bool[4]", 0 },
    { "range", "c@i64:-=0 c@i64:-=5 c@i64:-=1", NULL, "i64[5]", 0 },
    { "scatter_nd", "f32:3,4 i64:2,1 f32:2,4", NULL, "f32[3,4]", 0 },
    { "abs", "f32:n,3", NULL, "f32[n,3]", 0 },
    { "floor", "f64:n,3", NULL, "f64[n,3]", 0 },
    { "ceil", "f32:3", NULL, "f32[3]", 0 },
    { "round", "f32:n,3", NULL, "f32[n,3]", 0 },
    { "dropout", "f32:n,3", "p=0.3 index=2", "f32[n,3]", 0 },
    { "identity", "bool:7", NULL, "bool[7]", 0 },
    { "cast", "i64:4", "to=f32", "f32[4]", 0 },
    { "softmax", "f32:n,10", NULL, "f32[n,10]", 0 },
    { "max_pool2d", "f32:n,8,112,112", "kernel=3,3 stride=2,2 pad=1,1,1,1", "f32[n,8,56,56]", 0 },
    { "max_pool2d", "f32:n,8,112,112", "kernel=3,3 stride=2,2 ceil_mode=true", "f32[n,8,56,56]",
      0 },
    /* the fourth window would start at row 6 of 5 + 1: dropped */
    { "max_pool2d", "f32:n,1,5,5", "kernel=2,2 stride=2,2 pad=1,1,1,1 ceil_mode=true",
      "f32[n,1,3,3]", 0 },
    { "max_pool2d", "f32:n,1,9,9", "kernel=2,3 dilation=3,2", "f32[n,1,6,5]", 0 },
    { "avg_pool2d", "f32:n,8,7,7", "kernel=1,1", "f32[n,8,7,7]", 0 },
    { "avg_pool2d", "f32:n,8,7,6", "kernel=2,2 stride=2,2 count_include_pad=true pad=0,0,1,1",
      "f32[n,8,4,3]", 0 },
    { "resize", "f32:n,8,7,7", "size=14,3 step_h=0.5 step_w=2 mode=cubic", "f32[n,8,14,3]", 0 },
    { "resize_grad", "f32:n,8,14,3", "size=14,3 step_h=0.5 step_w=2 from=7,7", "f32[n,8,7,7]", 0 },
    { "reduce_mean", "f32:n,8,7,7", "axes=2,3", "f32[n,8,1,1]", 0 },
    { "reduce_mean", "f32:n,8,7,7", "axes=3,1 keepdims=false", "f32[n,7]", 0 },
    { "pad", "f32:n,3,8,8", "pads=0,0,1,2,0,0,3,4", "f32[n,3,12,14]", 0 },
    { "flatten", "f32:n,512,7,7", NULL, "f32[n,25088]", 0 },
    { "flatten", "f32:2,3,4", "axis=3", "f32[24,1]", 0 },
    { "flatten", "f32:2,3,4", "axis=0", "f32[1,24]", 0 },
    { "reshape", "f32:n,8,4", "shape=n,4,2,4", "f32[n,4,2,4]", 0 },
    { "reshape", "i64:8", "shape=4,2", "i64[4,2]", 0 },
    { "reshape", "f32:1,1", "shape=-", "f32[]", 0 },
    { "squeeze", "f32:n,8,1,1", "axes=2,3", "f32[n,8]", 0 },
    { "unsqueeze", "f32:n,8", "axes=3,1", "f32[n,1,8,1]", 0 },
    { "transpose", "f32:n,3,4,5", "perm=0,3,1,2", "f32[n,5,3,4]", 0 },
    { "concat", "f32:n,3,8 f32:n,4,8 f32:n,1,8", "axis=1", "f32[n,8,8]", 0 },
    { "concat", "i64:0 i64:3", "axis=0", "i64[3]", 0 },
    { "sigmoid", "f32:n,3", NULL, "f32[n,3]", 0 },
    { "hard_sigmoid", "f32:n,3", "alpha=0.25", "f32[n,3]", 0 },
    { "hard_swish", "f64:n,3,2,2", NULL, "f64[n,3,2,2]", 0 },
    { "leaky_relu", "f32:n,3", "alpha=0.1", "f32[n,3]", 0 },
    { "elu", "f32:n,3", NULL, "f32[n,3]", 0 },
    { "tanh", "f32:n,3", NULL, "f32[n,3]", 0 },
    { "exp", "f32:n,3", NULL, "f32[n,3]", 0 },
    { "log", "f32:n,3", NULL, "f32[n,3]", 0 },
    { "sqrt", "f32:n,3", NULL, "f32[n,3]", 0 },
    { "erf", "f32:n,3", NULL, "f32[n,3]", 0 },
    { "pow", "f32:n,3", "alpha=3", "f32[n,3]", 0 },
    { "layer_norm", "f32:n,3,8", "axis=2", "f32[n,3,8]", 0 },
    { "layer_norm", "f32:n,3,8 f32:3,8 f32:3,8", "axis=1", "f32[n,3,8]", 0 },
    { "lrn", "f32:n,8,3,3", "size=5", "f32[n,8,3,3]", 0 },
    { "slice", "f32:n,8,9", "starts=0,1,8 ends=n,7,-1 steps=1,2,-3", "f32[n,3,3]", 0 },
    { "slice", "i64:5", "starts=3 ends=2 steps=1", "i64[0]", 0 },
    { "gather", "i64:4 i64:-", NULL, "i64[]", 0 },
    { "gather", "f32:n,4,5 i32:2,3", "axis=1", "f32[n,2,3,5]", 0 },
    { "shape", "f32:n,3,8,8", NULL, "i64[4]", 0 },
    { "constant_of_shape", "c@i64:2=3,4", "type=i64 value=7", "i64[3,4]", 0 },
    { "constant_of_shape", "c@i64:1=0", NULL, "f32[0]", 0 },
    { "relayout", "f32:n,3,8,8", NULL, "f32[n,3,8,8]", 0 },
    { "cross_entropy", "f32:n,10 i64:n", "label_smoothing=0.1", "f32[n]", 0 },
    { "cross_entropy_grad", "f64:n,10 i32:n", NULL, "f64[n,10]", 0 },
    { "relu_grad", "f32:n,3 f32:n,3", NULL, "f32[n,3]", 0 },
    { "clip_grad", "f32:n,3 f32:n,3", "lo=0 hi=6", "f32[n,3]", 0 },
    { "dropout_grad", "f32:n,3", "p=0.3 index=2", "f32[n,3]", 0 },
    { "linear_grad_x", "f32:n,4 f32:4,9", NULL, "f32[n,9]", 36 },
    { "linear_grad_w", "f32:n,4 f32:n,9", NULL, "f32[4,9]", 36 },
    { "bias_grad", "f32:n,4", NULL, "f32[4]", 0 },
    { "bias_grad", "f32:n,4,5,6", NULL, "f32[4]", 0 },
    { "conv2d_grad_x", "f32:n,4,4,4 f32:4,3,3,3", "stride=2,2 pad=1,1,1,1 size=8,7",
      "f32[n,3,8,7]", 4 * 16 * 27 },
    { "conv2d_grad_x", "f64:n,6,3,3 f64:6,2,3,3", "groups=2 size=5,5", "f64[n,4,5,5]",
      6 * 9 * 18 },
    { "conv2d_grad_w", "f32:n,4,4,4 f32:n,3,8,7", "stride=2,2 pad=1,1,1,1 size=3,3",
      "f32[4,3,3,3]", 4 * 16 * 27 },
    { "conv2d_grad_w", "f32:n,6,3,3 f32:n,4,5,5", "groups=2 size=3,3", "f32[6,2,3,3]",
      6 * 9 * 18 },
    { "conv2d_grad_w_parts", "f32:n,6,3,3 f32:n,4,5,5", "groups=2 size=3,3 parts=7",
      "f32[7,6,2,3,3]", 6 * 9 * 18 },
    { "batch_norm_grad", "f32:n,2,8,8 f32:2 f32:2", NULL, "f32[n,2,8,8]", 0 },
    { "batch_norm_train", "f32:n,2,8,8 f32:2 f32:2", "epsilon=0.001", "f32[n,2,8,8]", 0 },
    { "batch_norm_train_grad_scale", "f32:n,2,8,8 f32:n,2,8,8 f32:2 f32:2", NULL, "f32[2]", 0 },
    { "batch_norm_train_grad_x", "f32:n,2,8,8 f32:n,2,8,8 f32:2 f32:2 f32:2 f32:2 f32:2", NULL,
      "f32[n,2,8,8]", 0 },
    { "batch_norm_stats", "p@f32:2 p@f32:2 f32:2 f32:2 f32:n,2,8,8", "momentum=0.01", NULL, 0 },
    { "max_pool2d_positions", "f32:n,2,7,7", "kernel=3,3 stride=2,2 pad=1,1,1,1", "u8[n,2,4,4]",
      0 },
    { "max_pool2d_positions", "f32:n,2,17,17", "kernel=16,16", "u8[n,2,2,2]", 0 },
    { "max_pool2d_positions", "f32:n,2,17,17", "kernel=17,16", "i32[n,2,1,2]", 0 },
    { "max_pool2d_grad", "f32:n,2,4,4 u8:n,2,4,4", "kernel=3,3 stride=2,2 pad=1,1,1,1 size=7,8",
      "f32[n,2,7,8]", 0 },
    { "avg_pool2d_grad", "f32:n,2,4,4", "kernel=2,2 stride=2,2 ceil_mode=true size=7,8",
      "f32[n,2,7,8]", 0 },
    { "reduce_mean_grad", "f32:n,2", "axes=2,3 keepdims=false shape=n,2,5,6", "f32[n,2,5,6]", 0 },
    { "reduce_mean_grad", "f32:n,1,5,1", "axes=1,3 shape=n,2,5,6", "f32[n,2,5,6]", 0 },
    { "sum_to", "f32:n,2,5,6", "shape=2,1,6", "f32[2,1,6]", 0 },
    { "sum_to", "f32:n,2,5,6", "shape=n,1,5,1", "f32[n,1,5,1]", 0 },
    { "sum_to", "f32:n,5", "shape=-", "f32[]", 0 },
    { "slice_grad", "f32:n,3,2", "starts=0,1,5 ends=n,7,1 steps=1,2,-2 shape=n,8,6",
      "f32[n,8,6]", 0 },
    { "softmax_grad", "f32:n,10 f32:n,10", NULL, "f32[n,10]", 0 },
    { "accumulate", "s@f32:4,9 f32:4,9", "backbone=true", NULL, 0 },
    { "sgd_update", "p@f32:4,9 s@f32:4,9 f32:4,9", "nesterov=true", NULL, 0 },
    { "adam_update", "p@f32:4 s@f32:4 s@f32:4 f32:4", "decoupled=true", NULL, 0 },
    { "linear_sgd", "p@f32:4,9 s@f32:4,9 f32:n,4 f32:n,9", NULL, NULL, 36 },
    { "linear_adam", "p@f64:4,9 s@f64:4,9 s@f64:4,9 f64:n,4 f64:n,9", NULL, NULL, 36 },
    { "conv2d_sgd", "p@f32:4,3,3,3 s@f32:4,3,3,3 f32:n,4,4,4 f32:n,3,8,7",
      "stride=2,2 pad=1,1,1,1 size=3,3 nesterov=true", NULL, 4 * 16 * 27 },
    { "conv2d_adam", "p@f64:6,2,3,3 s@f64:6,2,3,3 s@f64:6,2,3,3 f64:n,6,3,3 f64:n,4,5,5",
      "groups=2 size=3,3 decoupled=true backbone=true", NULL, 6 * 9 * 18 },
    { "winograd_sgd", "p@f32:16,32,3,3 s@f32:16,32,3,3 f32:4,36,16,32", "nesterov=true", NULL, 0 },
    { "winograd_adam", "p@f32:16,32,3,3 s@f32:16,32,3,3 s@f32:16,32,3,3 f32:4,36,16,32",
      "backbone=true", NULL, 0 },
    { "winograd_weights", "s@f32:36,16,32 c@f32:16,32,3,3", NULL, NULL, 0 },
    { "winograd_filter", "p@f32:16,32,3,3", NULL, "f32[36,16,32]", 0 },
    { "winograd_filter", "p@f32:16,32,3,3", "flip=true", "f32[36,32,16]", 0 },
    { "winograd_grad_u", "f32:n,16,6,7 f32:n,32,6,7", "pad=1,1,1,1 parts=4", "f32[4,36,16,32]",
      16 * 42 * 288 },
    { "winograd_grad_w", "f32:4,36,16,32", NULL, "f32[16,32,3,3]", 0 },
    { "conv2d", "f32:n,32,8,8 s@f32:36,16,32 f32:16", "pad=1,1,1,1", "f32[n,16,8,8]",
      16 * 64 * 288 },
};

#define MALFORMED TLC_E_MALFORMED
#define UNSUPPORTED TLC_E_UNSUPPORTED
#define LIMIT TLC_E_LIMIT

static const bad_case bad[] = {
    { "bias_grad", "f32:n,4,5", NULL, MALFORMED, "E_RANK", "rank 3, 2 wanted" },
    { "conv2d_grad_x", "f32:n,4,4,4 f32:5,3,3,3", "size=6,6", MALFORMED, "E_SHAPE",
      "shapes [n,4,4,4] of dy and [5,3,3,3] of w do not fit" },
    { "conv2d_grad_x", "f32:n,4,4,4 f32:4,3,3,3", "size=7,6", MALFORMED, "E_SHAPE",
      "shape of dy is [n,4,4,4]" },
    { "conv2d_grad_x", "f32:n,4,4,4 f32:4,3,3,3", "groups=3 size=6,6", MALFORMED, "E_GROUPS",
      "groups is 3" },
    { "conv2d_grad_x", "f32:n,4,4,4 f32:n,3,3,3", "size=6,6", MALFORMED, "E_BATCH",
      "without the batch wanted" },
    { "conv2d_grad_w", "f32:n,4,4,4 f32:2,3,6,6", "size=3,3", MALFORMED, "E_SHAPE",
      "of dy and [2,3,6,6] of x do not fit" },
    { "conv2d_grad_w_parts", "f32:n,4,4,4 f32:n,3,6,6", "size=3,3", MALFORMED, "E_ATTR", "parts" },
    { "conv2d_grad_w_parts", "f32:n,4,4,4 f32:n,3,6,6", "size=4,3 parts=2", MALFORMED, "E_SHAPE",
      "dy" },
    { "conv2d_grad_w", "f32:n,4,4,4 f32:n,3,6,6", "size=4,3", MALFORMED, "E_SHAPE",
      "shape of dy is [n,4,4,4]" },
    { "batch_norm_grad", "f32:4 f32:2 f32:2", NULL, MALFORMED, "E_RANK",
      "shape of dy is [4]: rank 1, at least 2" },
    { "batch_norm_train", "f32:4 f32:2 f32:2", NULL, MALFORMED, "E_RANK",
      "shape of x is [4]: rank 1, at least 2" },
    { "batch_norm_train", "f32:n,2,8,8 f32:3 f32:2", NULL, MALFORMED, "E_SHAPE",
      "shape of scale is [3]" },
    { "batch_norm_stats", "f32:2 p@f32:2 f32:2 f32:2 f32:n,2,8,8", NULL, MALFORMED, "E_WRITES",
      "running mean is overwritten, a param wanted" },
    { "max_pool2d_grad", "f32:n,2,4,4 i32:n,2,4,4", "kernel=2,2 stride=2,2 size=8,8", MALFORMED,
      "E_TYPE", "positions is i32, u8 wanted" },
    { "avg_pool2d_grad", "f32:n,2,4,4", "kernel=2,2 stride=2,2 size=7,8", MALFORMED, "E_SHAPE",
      "shape of dy is [n,2,4,4]" },
    { "reduce_mean_grad", "f32:n,2,1,1", "axes=2,3 keepdims=false shape=n,2,5,6", MALFORMED,
      "E_SHAPE", "shape of dy is [n,2,1,1]" },
    { "sum_to", "f32:n,2,5", "shape=2,4", MALFORMED, "E_SHAPE",
      "shape of 2 axes does not broadcast to [n,2,5]" },
    { "slice_grad", "f32:n,3,2", "starts=0,1,5 ends=n,9,1 steps=1,2,-2 shape=n,8,6", MALFORMED,
      "E_ATTR", "ends[1] is 9, at most 8" },
    { "relu", "", NULL, MALFORMED, "E_OPERANDS", "relu has 0 operands, at least 1" },
    { "relu", "f32:1 f32:1", NULL, MALFORMED, "E_OPERANDS", "relu has 2 operands, at most 1" },
    { "relu", "_", NULL, MALFORMED, "E_OPERANDS", "operand 0 of relu is absent" },
    { "relu", "i64:4", NULL, MALFORMED, "E_TYPE", "x is i64, floating point wanted" },
    { "conv2d", "f32:n,3,8 f32:4,3,3,3", NULL, MALFORMED, "E_RANK",
      "shape of x is [n,3,8]: rank 3, 4 wanted" },
    { "conv2d", "f32:n,3,8,8 f32:4,3,3", NULL, MALFORMED, "E_RANK", "rank 3, 4 wanted" },
    { "conv2d", "f32:n,3,8,8 f64:4,3,3,3", NULL, MALFORMED, "E_TYPE", "w is f64, f32 wanted" },
    { "conv2d", "f32:n,3,8,8 f32:n,3,3,3", NULL, MALFORMED, "E_BATCH",
      "shape of w is [n,3,3,3], without the batch wanted" },
    { "conv2d", "f32:n,3,8,8 f32:4,2,3,3", NULL, MALFORMED, "E_SHAPE",
      "input shape [n,3,8,8] has 3 channels a group, weight takes 2 (groups is 1)" },
    { "conv2d", "f32:n,3,8,8 f32:4,3,3,3", "groups=2", MALFORMED, "E_GROUPS", "groups is 2" },
    { "conv2d", "f32:n,3,8,8 f32:4,3,3,3", "groups=0", MALFORMED, "E_ATTR",
      "groups is 0, at least 1" },
    { "conv2d", "f32:n,3,8,8 f32:4,3,3,3", "stride=0,1", MALFORMED, "E_ATTR",
      "stride[0] is 0, at least 1" },
    { "conv2d", "f32:n,3,8,8 f32:4,3,3,3", "stride=1,1,1", MALFORMED, "E_ATTR",
      "stride has 3 numbers, 2 wanted" },
    { "conv2d", "f32:n,3,8,8 f32:4,3,3,3", "dilation=1,0", MALFORMED, "E_ATTR",
      "dilation[1] is 0, at least 1" },
    { "conv2d", "f32:n,3,8,8 f32:4,3,3,3", "pad=0,0,-1,0", MALFORMED, "E_ATTR",
      "pad[2] is -1, at least 0" },
    { "conv2d", "f32:n,3,8,8 f32:4,3,3,3", "pad=4611686018427387904,0,0,0", MALFORMED, "E_ATTR",
      "pad[0] is 4611686018427387904, at most 2147483647" },
    { "conv2d", "f32:n,3,8,8 f32:4,3,3,3", "pad=2147483647,0,0,0", LIMIT, "E_LIMIT_DIM", "dim" },
    { "conv2d", "f32:n,3,8,8 f32:4,3,9,1", NULL, MALFORMED, "E_KERNEL",
      "kernel reaches over 9, padded input is 8" },
    { "conv2d", "f32:n,3,8,8 f32:4,3,3,3", "dilation=4,1", MALFORMED, "E_KERNEL",
      "kernel reaches over 9, padded input is 8" },
    { "conv2d", "f32:n,3,8,8 f32:4,3,0,3", NULL, MALFORMED, "E_KERNEL",
      "kernel is 0, at least 1" },
    { "conv2d", "f32:n,3,8,8 f32:4,3,3,3 f32:5", NULL, MALFORMED, "E_SHAPE",
      "shape of b is [5], [4] wanted" },
    { "conv2d", "f32:n,3,8,8 f32:4,3,3,3 f32:4,1", NULL, MALFORMED, "E_SHAPE", "[4] wanted" },
    { "conv2d", "f32:n,3,8,8 f32:4,3,3,3 f32:4 f32:n,4,8,8", NULL, MALFORMED, "E_SHAPE",
      "shape of residual is [n,4,8,8], [n,4,6,6] wanted" },
    { "conv2d", "f32:n,3,8,8 f32:4,3,3,3", "act=clip lo=6 hi=0", MALFORMED, "E_ATTR",
      "lo is 6, at most hi, which is 0" },
    { "linear", "f32:n,8 f32:4,9", NULL, MALFORMED, "E_SHAPE",
      "shapes [n,8] of x and [4,9] of w do not fit" },
    { "linear", "f32:n,3,3 f32:4,9", NULL, MALFORMED, "E_RANK", "rank 3, 2 wanted" },
    { "linear", "f32:n,9 f32:4,9 f32:9", NULL, MALFORMED, "E_SHAPE", "[4] wanted" },
    { "linear", "f32:n,9 f32:n,9", NULL, MALFORMED, "E_BATCH", "w" },
    { "linear", "f32:n,9 f32:4,9", "act=clip lo=nan", MALFORMED, "E_ATTR", "lo is nan" },
    { "matmul", "f32:n,8 f32:9,4", NULL, MALFORMED, "E_SHAPE", "do not fit" },
    { "matmul", "f32:8,8 f32:n,8", NULL, MALFORMED, "E_BATCH", "b" },
    { "batch_norm", "f32:4 f32:4 f32:4 f32:4 f32:4", NULL, MALFORMED, "E_RANK", "at least 2" },
    { "batch_norm", "f32:n,2 f32:2 f32:2 f32:3 f32:2", NULL, MALFORMED, "E_SHAPE",
      "shape of mean is [3], [2] wanted" },
    { "batch_norm", "f32:n,2 f32:2 f32:2 f32:2 f32:2", "epsilon=nan", MALFORMED, "E_ATTR",
      "epsilon is nan, at least 0" },
    { "batch_norm", "f32:n,2 f32:2 f32:2 f32:2 p@f32:2=1,-1", NULL, MALFORMED, "E_VARIANCE",
      "variance[1] is -1" },
    { "batch_norm", "f32:n,2 f32:2 f32:2 f32:2 p@f32:2=1,-1", "epsilon=2", MALFORMED,
      "E_VARIANCE", "variance[1] is -1 and epsilon 2" },
    { "batch_norm", "f32:n,2 f32:2 f32:2 f32:2 p@f32:2=0,1", "epsilon=0", MALFORMED,
      "E_VARIANCE", "variance[0] is 0 and epsilon 0" },
    { "clip", "f32:n", "lo=1 hi=0", MALFORMED, "E_ATTR", "lo is 1" },
    { "sigmoid", "i64:n", NULL, MALFORMED, "E_TYPE", "x is i64, floating point wanted" },
    { "hard_sigmoid", "f32:n", "alpha=nan", MALFORMED, "E_ATTR", "alpha is" },
    { "layer_norm", "f32:n,3", "axis=2", MALFORMED, "E_ATTR", "axis is 2, at most 1" },
    { "layer_norm", "f32:n,3", "axis=0", UNSUPPORTED, "E_BATCH", "layer_norm would mix" },
    { "layer_norm", "f32:n,3 f32:4", "axis=1", MALFORMED, "E_SHAPE", "scale" },
    { "layer_norm", "f32:n,3 f32:3 f64:3", "axis=1", MALFORMED, "E_TYPE", "bias" },
    { "lrn", "f32:n", "size=5", MALFORMED, "E_SHAPE", "rank 1, at least 2" },
    { "lrn", "f32:n,3", "size=0", MALFORMED, "E_ATTR", "size is 0, at least 1" },
    { "add", "f32:n,3 f32:4", NULL, MALFORMED, "E_SHAPE",
      "shapes [n,3] and [4] do not broadcast" },
    { "add", "f32:n,3 f32:2,3", NULL, MALFORMED, "E_SHAPE", "do not broadcast" },
    { "sub", "f32:4 i64:4", NULL, MALFORMED, "E_TYPE", "b is i64, f32 wanted" },
    { "mul", "bool:4 bool:4", NULL, MALFORMED, "E_TYPE", "a is bool" },
    { "div", "f32:n,1 f32:3,1,1", NULL, UNSUPPORTED, "E_BATCH", "would move the batch" },
    { "dropout", "f32:n", "p=1", MALFORMED, "E_ATTR", "p is 1" },
    { "dropout", "f32:n", "p=-0.5", MALFORMED, "E_ATTR", "p is -0.5, at least 0" },
    { "dropout", "f32:n", "index=-1", MALFORMED, "E_ATTR", "index is -1" },
    { "softmax", "f32:n,3", "axis=2", MALFORMED, "E_ATTR", "axis is 2, at most 1" },
    { "softmax", "f32:n,3", "axis=0", UNSUPPORTED, "E_BATCH", "sum over the batch" },
    { "max_pool2d", "f32:n,8,8,8", NULL, MALFORMED, "E_ATTR", "kernel has 0 numbers, 2 wanted" },
    { "max_pool2d", "f32:n,8,8,8", "kernel=9,1", MALFORMED, "E_KERNEL", "kernel reaches over 9" },
    { "max_pool2d", "f32:n,8,8,8", "kernel=9,1 ceil_mode=true", MALFORMED, "E_KERNEL", "over 9" },
    { "max_pool2d", "f32:n,8,8,8", "kernel=2,2 pad=0,0,0,2", MALFORMED, "E_ATTR",
      "pad[3] is 2, less than the kernel's 2 wanted" },
    { "avg_pool2d", "f32:n,8,8", "kernel=2,2", MALFORMED, "E_RANK", "4 wanted" },
    { "avg_pool2d", "f32:n,8,8,8", "kernel=2147483647,1 dilation=2147483647,1", MALFORMED,
      "E_KERNEL", "padded input is 8" },
    { "where", "f32:n,3 f32:n,3 f32:n,3", NULL, MALFORMED, "E_TYPE",
      "condition is f32, bool wanted" },
    { "where", "bool:3 f32:n,3 f64:n,3", NULL, MALFORMED, "E_TYPE", "b is f64, f32 wanted" },
    { "where", "bool:3 f32:n,2 f32:n,2", NULL, MALFORMED, "E_SHAPE", "do not broadcast" },
    { "mod", "f32:3 f32:3", NULL, MALFORMED, "E_TYPE", "a is f32, i64 or i32 wanted" },
    { "and", "i64:3 i64:3", NULL, MALFORMED, "E_TYPE", "a is i64, bool wanted" },
    { "equal", "i64:3 i32:3", NULL, MALFORMED, "E_TYPE", "b is i32, i64 wanted" },
    { "greater", "f32:n,3 f32:2", NULL, MALFORMED, "E_SHAPE", "do not broadcast" },
    { "batch_matmul", "f32:n,5 f32:n,5", NULL, MALFORMED, "E_RANK", "rank 2, at least 3" },
    { "batch_matmul", "f32:n,5,3 f32:n,4,5", NULL, MALFORMED, "E_SHAPE",
      "b is [n,4,5], [n,3,5] wanted" },
    { "batch_matmul", "f32:n,5,3 f32:5,3", NULL, MALFORMED, "E_RANK", "rank 2, 3 wanted" },
    { "batch_matmul", "f32:n,5,3 f32:2,3,4", NULL, MALFORMED, "E_SHAPE", "[n,3,4] wanted" },
    { "range", "i64:- c@i64:-=5 c@i64:-=1", NULL, UNSUPPORTED, "E_CONSTANT",
      "operand 0 is not constant" },
    { "range", "c@i64:-=0 c@i64:-=5 c@i64:-=0", NULL, MALFORMED, "E_ATTR", "steps of 0" },
    { "range", "c@i64:-=0 c@i64:-=n c@i64:-=1", NULL, UNSUPPORTED, "E_BATCH",
      "count by the batch" },
    { "range", "c@i64:-=-9223372036854775806 c@i64:-=9 c@i64:-=1", NULL, MALFORMED, "E_OVERFLOW",
      "size overflows" },
    { "scatter_nd", "f32:3,4 i64:2,3 f32:2", NULL, MALFORMED, "E_SHAPE", "do not fit data" },
    { "scatter_nd", "f32:3,4 i64:2,1 f32:2", NULL, MALFORMED, "E_SHAPE", "[2,4] wanted" },
    { "scatter_nd", "f32:n,4 i64:2,1 f32:2,4", NULL, MALFORMED, "E_BATCH", "without the batch" },
    { "resize", "f32:n,8,7", "size=7,7 step_h=1 step_w=1", MALFORMED, "E_RANK",
      "rank 3, 4 wanted" },
    { "resize", "i64:n,8,7,7", "size=7,7 step_h=1 step_w=1", MALFORMED, "E_TYPE", "x is i64" },
    { "resize", "f32:n,8,7,7", "size=7,0 step_h=1 step_w=1", MALFORMED, "E_ATTR", "size[1] is 0" },
    { "resize", "f32:n,8,7,7", "size=7,7 step_h=-1 step_w=1", MALFORMED, "E_ATTR", "step_h is -1" },
    { "resize", "f32:n,8,7,7", "size=7,7 step_h=1 step_w=nan", MALFORMED, "E_ATTR", "step_w is" },
    { "resize_grad", "f32:n,8,14,4", "size=14,3 step_h=1 step_w=1 from=7,7", MALFORMED, "E_SHAPE",
      "shape of dy" },
    { "reduce_mean", "f32:n,8", "axes=2", MALFORMED, "E_ATTR", "axes[0] is 2, at most 1" },
    { "reduce_mean", "f32:n,8", "axes=1,1", MALFORMED, "E_ATTR", "axes[1] is 1 a second time" },
    { "reduce_mean", "f32:n,8", "axes=0", UNSUPPORTED, "E_BATCH", "sum over the batch" },
    { "pad", "f32:n,8", "pads=0,0,1", MALFORMED, "E_ATTR", "pads has 3 numbers, 4 wanted" },
    { "pad", "f32:n,8", "pads=0,0,0,-1", MALFORMED, "E_ATTR", "pads[3] is -1" },
    { "pad", "f32:n,8", "pads=0,0,1,0", UNSUPPORTED, "E_BATCH", "add pictures" },
    { "flatten", "f32:n,8", "axis=9", MALFORMED, "E_ATTR", "axis is 9" },
    { "flatten", "f32:n,8", "axis=3", MALFORMED, "E_ATTR", "axis is 3, at most 2" },
    { "flatten", "f32:n,8,3", "axis=2", UNSUPPORTED, "E_BATCH", "join pictures" },
    { "reshape", "f32:n,8", "shape=n,7", MALFORMED, "E_SHAPE",
      "reshape of shape [n,8] to [n,7]: not the same number of elements" },
    { "reshape", "f32:n,8", "shape=n,-1", MALFORMED, "E_ATTR", "shape[1] is -1, at least 0" },
    { "reshape", "f32:n,8", "shape=-2,4", MALFORMED, "E_ATTR", "shape[0] is -2, at least -1" },
    { "reshape", "f32:n,8", "shape=8", UNSUPPORTED, "E_BATCH", "drop the batch" },
    { "reshape", "f32:8", "shape=n,8", UNSUPPORTED, "E_BATCH", "invent the batch" },
    { "reshape", "f32:8", "shape=2147483647,2147483647,2147483647", MALFORMED, "E_SHAPE",
      "not the same number" },
    { "reshape", "f32:8", "shape=8,1,1,1,1,1,1,1,1", LIMIT, "E_LIMIT_RANK", "rank 9" },
    { "squeeze", "f32:n,8", "axes=1", MALFORMED, "E_SHAPE", "squeeze of axis 1" },
    { "squeeze", "f32:n,8", "axes=0", UNSUPPORTED, "E_BATCH", "drop the batch" },
    { "squeeze", "f32:n,1", "axes=2", MALFORMED, "E_ATTR", "axes[0] is 2" },
    { "unsqueeze", "f32:n,8", "axes=3", MALFORMED, "E_ATTR", "axes[0] is 3, at most 2" },
    { "unsqueeze", "f32:n,8", "axes=0", UNSUPPORTED, "E_BATCH", "move the batch" },
    { "unsqueeze", "f32:1,1,1,1,1,1,1", "axes=0,1", LIMIT, "E_LIMIT_RANK", "rank 9" },
    { "transpose", "f32:n,3,4,5", "perm=0,0,1,2", MALFORMED, "E_ATTR",
      "perm[1] is 0 a second time" },
    { "transpose", "f32:n,3", "perm=0", MALFORMED, "E_ATTR", "perm has 1 numbers, 2 wanted" },
    { "transpose", "f32:n,3", "perm=1,0", UNSUPPORTED, "E_BATCH", "move the batch" },
    { "concat", "f32:n,3 f32:n,3", "axis=2", MALFORMED, "E_ATTR", "axis is 2, at most 1" },
    { "concat", "f32:n,3 f32:n,3", "axis=0", UNSUPPORTED, "E_BATCH", "lengthen the batch" },
    { "concat", "f32:3,4 f32:3,5", "axis=0", MALFORMED, "E_SHAPE",
      "shape [3,5] does not join [3,4] along axis 0" },
    { "concat", "f32:3,4 f32:3", "axis=1", MALFORMED, "E_SHAPE", "does not join" },
    { "concat", "f32:3 i64:3", "axis=0", MALFORMED, "E_TYPE", "operand is i64" },
    { "concat", "f32:3 _", "axis=0", MALFORMED, "E_OPERANDS", "operand 1 of concat is absent" },
    { "slice", "f32:8", "starts=0 ends=8 steps=0", MALFORMED, "E_ATTR", "steps[0] is 0" },
    { "slice", "f32:8", "starts=9 ends=8 steps=1", MALFORMED, "E_ATTR", "starts[0] is 9" },
    { "slice", "f32:8", "starts=8 ends=0 steps=-1", MALFORMED, "E_ATTR",
      "starts[0] is 8, at most 7" },
    { "slice", "f32:8", "starts=0 ends=-1 steps=1", MALFORMED, "E_ATTR",
      "ends[0] is -1, at least 0" },
    { "slice", "f32:8,8", "starts=0 ends=8 steps=1", MALFORMED, "E_ATTR", "2 wanted" },
    { "slice", "f32:n", "starts=0 ends=1 steps=1", UNSUPPORTED, "E_BATCH", "part of the batch" },
    { "slice", "f32:8,8", "starts=0,4 ends=8,4 steps=1,1", MALFORMED, "E_SHAPE", "dimension 1" },
    { "gather", "f32:n,4 f32:1", "axis=1", MALFORMED, "E_TYPE", "indices is f32" },
    { "gather", "f32:n,4 i64:1", NULL, UNSUPPORTED, "E_BATCH", "pick from the batch" },
    { "gather", "f32:- i64:1", NULL, MALFORMED, "E_ATTR", "axis is 0, at most -1" },
    { "gather", "f32:4 i64:n", NULL, MALFORMED, "E_BATCH", "indices" },
    { "gather", "f32:1,1,1,1,1 i64:1,1,1,1,1", NULL, LIMIT, "E_LIMIT_RANK", "rank 9" },
    { "constant_of_shape", "i64:2", NULL, UNSUPPORTED, "E_CONSTANT", "shape is not constant" },
    { "constant_of_shape", "c@f32:1=1", NULL, MALFORMED, "E_TYPE", "i64 wanted" },
    { "constant_of_shape", "c@i64:1=n", NULL, UNSUPPORTED, "E_BATCH", "grow with the batch" },
    { "constant_of_shape", "c@i64:2=3,-1", NULL, MALFORMED, "E_SHAPE", "dimension 1 of shape" },
    { "constant_of_shape", "c@i64:2=1048576,8192", NULL, LIMIT, "E_LIMIT_WEIGHTS", "weights" },
    { "constant_of_shape", "c@i64:2=4294967296,4294967296", NULL, MALFORMED, "E_OVERFLOW",
      "size overflows" },
    { "constant_of_shape", "c@i64:9=~1", NULL, LIMIT, "E_LIMIT_RANK", "rank 9" },
    { "constant_of_shape", "c@i64:1=4", "type=u8 value=256", MALFORMED, "E_ATTR", "value is 256" },
    { "constant_of_shape", "c@i64:1=4", "type=i64 value=0.5", MALFORMED, "E_ATTR", "value is" },
    { "cross_entropy", "f32:n,10 f32:n", NULL, MALFORMED, "E_TYPE", "y is f32" },
    { "cross_entropy", "f32:n,10 i64:10", NULL, MALFORMED, "E_SHAPE", "[n] wanted" },
    { "cross_entropy", "f32:n,10 i64:n", "label_smoothing=2", MALFORMED, "E_ATTR",
      "label_smoothing is 2, at most 1" },
    { "relu_grad", "f32:n,3 f32:n,4", NULL, MALFORMED, "E_SHAPE", "shape of y is [n,4]" },
    { "clip_grad", "f32:n,3 f64:n,3", NULL, MALFORMED, "E_TYPE", "y is f64" },
    { "linear_grad_x", "f32:n,4 f32:5,9", NULL, MALFORMED, "E_SHAPE", "of dy" },
    { "linear_grad_w", "f32:n,4 f32:2,9", NULL, MALFORMED, "E_SHAPE", "of x" },
    { "bias_grad", "f32:4", NULL, MALFORMED, "E_RANK", "rank 1, 2 wanted" },
    { "accumulate", "p@f32:4 f32:4", NULL, MALFORMED, "E_WRITES", "a state wanted" },
    { "accumulate", "s@f32:4 f32:5", NULL, MALFORMED, "E_SHAPE", "of gradient" },
    { "sgd_update", "c@f32:4 s@f32:4 f32:4", NULL, MALFORMED, "E_WRITES", "a param wanted" },
    { "sgd_update", "p@f32:4 p@f32:4 f32:4", NULL, MALFORMED, "E_WRITES", "a state wanted" },
    { "adam_update", "p@f32:4 s@f32:4 s@f32:5 f32:4", NULL, MALFORMED, "E_SHAPE", "of state" },
    { "adam_update", "p@f32:4 s@f32:4 s@f32:4 f32:4,1", NULL, MALFORMED, "E_SHAPE",
      "of gradient" },
    { "linear_sgd", "p@f32:4,9 s@f32:4,9 f32:n,5 f32:n,9", NULL, MALFORMED, "E_SHAPE",
      "shape of dy is [n,5], [n,4] wanted" },
    { "linear_adam", "p@f32:4,9 s@f32:4,9 s@f32:4,9 f32:n,4 f32:n,8", NULL, MALFORMED, "E_SHAPE",
      "shape of x is [n,8], [n,9] wanted" },
    { "conv2d_sgd", "p@f32:4,3,3,3 s@f32:4,3,3,3 f32:n,4,4,4 f32:n,3,6,6", "size=2,3", MALFORMED,
      "E_SHAPE", "shape of dy is [n,4,4,4]" },
    { "conv2d_sgd", "p@f32:4,3,3,2 s@f32:4,3,3,2 f32:n,4,4,4 f32:n,3,6,6", "size=3,3", MALFORMED,
      "E_SHAPE", "shape of w is [4,3,3,2], [4,3,3,3] wanted" },
    { "conv2d_adam", "p@f32:4,3,3,3 s@f32:4,3,3,3 p@f32:4,3,3,3 f32:n,4,4,4 f32:n,3,6,6",
      "size=3,3", MALFORMED, "E_WRITES", "a state wanted" },
    { "winograd_sgd", "p@f32:16,16,3,3 s@f32:16,16,3,3 f32:4,36,16,32", NULL, MALFORMED, "E_SHAPE",
      "shape of w is [16,16,3,3], [16,32,3,3] wanted" },
    { "winograd_adam", "c@f32:16,32,3,3 s@f32:16,32,3,3 s@f32:16,32,3,3 f32:4,36,16,32", NULL,
      MALFORMED, "E_WRITES", "a param wanted" },
    { "winograd_weights", "s@f32:36,16,16 c@f32:16,16,5,5", NULL, MALFORMED, "E_SHAPE",
      "a 3x3 kernel wanted" },
    { "winograd_weights", "s@f32:36,16,16 c@f32:16,4,3,3", NULL, MALFORMED, "E_SHAPE",
      "blocks of 16" },
    { "winograd_weights", "s@f32:36,16,16 c@f32:16,32,3,3", NULL, MALFORMED, "E_SHAPE",
      "shape of u is [36,16,16], [36,16,32] wanted" },
    { "winograd_weights", "f32:36,16,16 c@f32:16,16,3,3", NULL, MALFORMED, "E_WRITES",
      "u is overwritten" },
    { "winograd_filter", "p@f32:16,32,3,1", NULL, MALFORMED, "E_SHAPE",
      "shape of w is [16,32,3,1], [16,32,3,3] wanted" },
    { "winograd_filter", "p@f32:8,32,3,3", NULL, MALFORMED, "E_SHAPE", "blocks of 16" },
    { "winograd_grad_u", "f32:n,16,6,7 f32:n,32,6,7", NULL, MALFORMED, "E_SHAPE",
      "shape of dy is [n,16,6,7], [n,16,4,5] wanted" },
    { "winograd_grad_u", "f32:n,16,4,4 f32:n,8,6,6", NULL, MALFORMED, "E_SHAPE", "blocks of 16" },
    { "winograd_grad_u", "f32:n,16,4,4 f32:n,16,6,6", "parts=65", MALFORMED, "E_ATTR", "parts" },
    { "winograd_grad_w", "f32:1,35,16,16", NULL, MALFORMED, "E_SHAPE", "[1,36,16,16] wanted" },
    { "conv2d", "f32:n,16,8,8 s@f32:36,16,16", "stride=2,2", MALFORMED, "E_SHAPE",
      "a transformed weight" },
    { "conv2d", "f32:n,16,8,8 s@f32:35,16,16", NULL, MALFORMED, "E_SHAPE",
      "shape of w is [35,16,16]" },
    { "conv2d", "f32:n,16,8,8 f32:36,16,16", NULL, MALFORMED, "E_RANK", "rank 3, 4 wanted" },
};

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

typedef struct world {
    tlc_ctx ctx;
    jmp_buf exhausted;
    tlc_func *f;
} world;

static void world_init(world *w)
{
    tlc_ctx_init(&w->ctx, &w->exhausted);
    w->f = tlc_func_add(tlc_module_make(&w->ctx, "test"), "forward");
}

static tlc_op op_named(const char *name)
{
    tlc_op op = TLC_OP_COUNT;
    assert_true(tlc_op_find(name, strlen(name), &op));
    return op;
}

static void infers_shapes_and_cost(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(good); ++i) {
        const good_case *c = &good[i];
        world w;
        world_init(&w);
        tlc_node *n = text_node(w.f, op_named(c->op), c->operands, c->attrs);
        if (tlc_node_infer(&w.ctx, n) != TLC_OK)
            fail_msg("%s %s: %s", c->op, c->operands, w.ctx.diags[0].what);
        assert_int_equal(n->n_out, tlc_ops[n->op].results);
        assert_true(!c->result == !n->n_out);
        if (c->result) /* the first; further ones are a number a channel */
            assert_string_equal(tlc_type_text(&w.ctx, n->out[0]), c->result);
        for (int k = 1; k < n->n_out; ++k)
            assert_string_equal(tlc_type_text(&w.ctx, n->out[k]), "f32[2]");
        if (tlc_multiply_adds(n) != c->multiply_adds)
            fail_msg("%s %s: %" PRId64 " multiply-adds", c->op, c->operands,
                     tlc_multiply_adds(n));
        tlc_ctx_fini(&w.ctx);
    }
}

static void check_refusal(const world *w, const bad_case *c, tlc_status got)
{
    const tlb_diag *d = w->ctx.diags;
    if (got != c->code)
        fail_msg("%s %s {%s}: status %d, %d wanted", c->op, c->operands, c->attrs ? c->attrs : "",
                 got, c->code);
    assert_int_equal(w->ctx.n_diags, 1);
    assert_int_equal(d->code, c->code);
    assert_string_equal(d->id, c->id);
    if (!strstr(d->what, c->core))
        fail_msg("%s %s: '%s' lacks '%s'", c->op, c->operands, d->what, c->core);
}

static void refuses_what_does_not_fit(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(bad); ++i) {
        world w;
        world_init(&w);
        tlc_node *n = text_node(w.f, op_named(bad[i].op), bad[i].operands, bad[i].attrs);
        check_refusal(&w, &bad[i], tlc_node_infer(&w.ctx, n));
        tlc_ctx_fini(&w.ctx);
    }
}

static void every_row_has_a_case(void **state)
{
    (void)state;
    for (int op = 0; op < TLC_OP_COUNT; ++op) {
        bool found = false;
        for (size_t i = 0; i < COUNT(good); ++i)
            found = found || strcmp(good[i].op, tlc_ops[op].name) == 0;
        if (!found)
            fail_msg("%s of ops.def has no case in test_ops.c", tlc_ops[op].name);
    }
}

/* What the printer, the parser and the range check rely on. */
static void attribute_tables_are_sound(void **state)
{
    (void)state;
    for (int op = 0; op < TLC_OP_COUNT; ++op) {
        const tlc_op_def *def = tlc_ops[op].def;
        assert_non_null(def->infer);
        assert_true((def->attrs != NULL) == (def->attrs_size > 0));
        for (const tlc_attr_def *d = def->attrs; d && d->name; ++d) {
            assert_true(d->offset < def->attrs_size);
            assert_true(d->least <= d->most);
        }
    }
}

static void defaults_come_from_the_table(void **state)
{
    (void)state;
    tlc_conv2d_attrs conv;
    memset(&conv, 0xff, sizeof conv);
    tlc_attrs_default(TLC_OP_CONV2D, &conv);
    assert_int_equal(conv.stride.n, 2);
    assert_int_equal(conv.stride.v[1], 1);
    assert_int_equal(conv.pad.n, 4);
    assert_int_equal(conv.pad.v[3], 0);
    assert_int_equal(conv.groups, 1);
    assert_int_equal(conv.act, TLC_ACT_NONE);
    assert_true(conv.lo == -HUGE_VAL && conv.hi == HUGE_VAL);
    tlc_axes_attrs axes;
    tlc_attrs_default(TLC_OP_REDUCE_MEAN, &axes);
    assert_true(axes.keepdims);
    tlc_constant_of_shape_attrs fill;
    tlc_attrs_default(TLC_OP_CONSTANT_OF_SHAPE, &fill);
    assert_int_equal(fill.type, TLC_F32);
}

static void names_are_found_whole(void **state)
{
    (void)state;
    tlc_op op = TLC_OP_COUNT;
    assert_true(tlc_op_find("relu_grad", 4, &op));
    assert_int_equal(op, TLC_OP_RELU);
    assert_false(tlc_op_find("rel", 3, &op));
    assert_false(tlc_op_find("", 0, &op));
    assert_true(tlc_op_has(TLC_OP_RESHAPE, TLC_T_VIEW));
    assert_false(tlc_op_has(TLC_OP_PAD, TLC_T_VIEW));
}

static void extents_do_not_overflow(void **state)
{
    (void)state;
    world w;
    int64_t out = 0;
    world_init(&w);
    assert_int_equal(tlc_window_extent(&w.ctx, 8, INT64_MAX, 1, 2, 0, 0, false, &out), MALFORMED);
    assert_int_equal(tlc_window_extent(&w.ctx, 8, 3, 1, 1, INT64_MAX, 0, false, &out), MALFORMED);
    assert_int_equal(out, 0);
    assert_int_equal(w.ctx.n_diags, 2);
    assert_non_null(strstr(w.ctx.diags[0].what, "size overflows"));
    tlc_ctx_fini(&w.ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(infers_shapes_and_cost),
        cmocka_unit_test(refuses_what_does_not_fit),
        cmocka_unit_test(every_row_has_a_case),
        cmocka_unit_test(attribute_tables_are_sound),
        cmocka_unit_test(defaults_come_from_the_table),
        cmocka_unit_test(names_are_found_whole),
        cmocka_unit_test(extents_do_not_overflow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
