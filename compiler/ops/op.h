/* op.h: all that the rest of the compiler may ask of an operator.
 *
 * A new operator is one row of ops.def and one file <name>.c that defines
 * `const tlc_op_def tlc_op_<name>`; docs/add-an-operator.md walks through one.
 */
#ifndef TLC_OP_H
#define TLC_OP_H

#include "graph.h"

typedef enum tlc_trait {
    TLC_T_NONE = 0,
    TLC_T_ELEMWISE = 1 << 0, /* result element i depends on operand element i alone (or broadcast) */
    TLC_T_INPLACE = 1 << 1,  /* the result may lie where the first operand of its shape lay */
    TLC_T_VIEW = 1 << 2,     /* plain layout: the result is the operand's bytes; no code */
    TLC_T_LINEAR = 1 << 3,   /* counted in multiply-adds */
    TLC_T_RANDOM = 1 << 4,   /* depends on the seed: ends the feature prefix */
    TLC_T_WRITES = 1 << 5,   /* overwrites leading global operands, defines nothing */
    TLC_T_LIST = 1 << 6      /* operands are a list: a call has those there are, no absent ones */
} tlc_trait;

/* --- attributes ------------------------------------------------------------
 * A row of the attribute table names a member of the operator's struct; printer,
 * parser, range check and documentation work from the row. */
typedef enum tlc_attr_kind {
    TLC_ATTR_INT,   /* int64_t */
    TLC_ATTR_FLOAT, /* double */
    TLC_ATTR_BOOL,  /* bool, printed true, false */
    TLC_ATTR_INTS,  /* tlc_ints */
    TLC_ATTR_WORD,  /* an enum that counts from 0, printed as `names` spell it */
    TLC_ATTR_TYPE   /* tlc_type, printed f32 ... */
} tlc_attr_kind;

typedef struct tlc_ints {
    int n;
    int64_t v[2 * TLC_MAX_RANK];
} tlc_ints;

typedef struct tlc_attr_def {
    const char *name;
    tlc_attr_kind kind;
    size_t offset;     /* in the operator's struct */
    double least;      /* legal range of a number, or of each element of a list */
    double most;
    int count;         /* INTS: exact number of elements; -1 any */
    const char *text;  /* default in IR text ("[1,1]"); an attribute equal to it is not printed.
                        * NULL: no default, always printed and required */
    const char *const *names; /* WORD: most + 1 of them; else NULL */
} tlc_attr_def;

/* Activation that rides on conv2d and linear (fuse_act). */
typedef enum tlc_act { TLC_ACT_NONE, TLC_ACT_RELU, TLC_ACT_CLIP } tlc_act;

typedef struct tlc_conv2d_attrs {
    tlc_ints stride;   /* h, w */
    tlc_ints pad;      /* top, left, bottom, right: ONNX's order */
    tlc_ints dilation; /* h, w */
    int64_t groups;
    tlc_act act;       /* applied after bias and residual */
    double lo, hi;     /* of act clip */
} tlc_conv2d_attrs;    /* w is [oc, ic/groups, kh, kw] */

typedef struct tlc_linear_attrs {
    tlc_act act;
    double lo, hi;
} tlc_linear_attrs;

/* batch_matmul: a or b is taken transposed */
typedef struct tlc_batch_matmul_attrs { bool trans_a, trans_b; } tlc_batch_matmul_attrs;

typedef struct tlc_conv2d_grad_attrs { /* of the conv2d, and the size of what it is the gradient by */
    tlc_ints stride, pad, dilation;
    int64_t groups;
    tlc_ints size; /* grad_x: h, w of x; grad_w: kh, kw */
} tlc_conv2d_grad_attrs;
typedef struct tlc_conv2d_parts_attrs { tlc_conv2d_grad_attrs conv; int64_t parts; } tlc_conv2d_parts_attrs;

typedef struct tlc_winograd_filter_attrs { bool flip; } tlc_winograd_filter_attrs;
/* pad: of the conv2d; parts: sums over shares of the batch's tiles that are kept apart */
typedef struct tlc_winograd_grad_attrs { tlc_ints pad; int64_t parts; } tlc_winograd_grad_attrs;

typedef struct tlc_batch_norm_attrs {
    double epsilon;
    double momentum; /* PyTorch's: the batch's share in a running statistic that moves */
} tlc_batch_norm_attrs; /* batch_norm; those of training use what they need of it */
typedef struct tlc_clip_attrs { double lo, hi; } tlc_clip_attrs; /* also clip_grad; -inf, inf allowed */
typedef struct tlc_pool2d_attrs {
    tlc_ints kernel, stride, pad, dilation;
    bool ceil_mode;         /* as PyTorch: a window that would start in the right padding is dropped */
    bool count_include_pad; /* avg_pool2d */
} tlc_pool2d_attrs;
/* size: h, w of x */
typedef struct tlc_pool2d_grad_attrs { tlc_pool2d_attrs pool; tlc_ints size; } tlc_pool2d_grad_attrs;
typedef struct tlc_dropout_attrs {
    double p;
    int64_t index;          /* position of the dropout in the graph: the random stream */
} tlc_dropout_attrs;        /* also dropout_grad */
/* reduce_mean, squeeze, unsqueeze */
typedef struct tlc_axes_attrs { tlc_ints axes; bool keepdims; } tlc_axes_attrs;
typedef struct tlc_axis_attrs { int64_t axis; } tlc_axis_attrs; /* softmax, flatten, concat, gather */
/* hard_sigmoid, leaky_relu, elu, pow */
typedef struct tlc_unary_attrs { double alpha, beta; } tlc_unary_attrs;
typedef struct tlc_layer_norm_attrs { int64_t axis; double epsilon; } tlc_layer_norm_attrs;
typedef struct tlc_lrn_attrs { int64_t size; double alpha, beta, bias; } tlc_lrn_attrs;
typedef struct tlc_perm_attrs { tlc_ints perm; } tlc_perm_attrs; /* transpose */
/* pads: begins, then ends */
typedef struct tlc_pad_attrs { tlc_ints pads; double value; } tlc_pad_attrs;
/* How an element of a resized axis is made: the nearest one, halves going down or up, or
 * the one before or after; or a weighted sum of two or of four. */
typedef enum tlc_resample {
    TLC_RESAMPLE_HALF_DOWN,
    TLC_RESAMPLE_HALF_UP,
    TLC_RESAMPLE_FLOOR,
    TLC_RESAMPLE_CEIL,
    TLC_RESAMPLE_LINEAR,
    TLC_RESAMPLE_CUBIC
} tlc_resample;
/* Element i of axis h lies at step_h * i + offset_h of the operand's.  cubic: of the kernel;
 * inside: elements beyond the border weigh nothing, rather than as the border does */
typedef struct tlc_resize_attrs {
    tlc_ints size; /* h, w of the result */
    double step_h, offset_h, step_w, offset_w;
    tlc_resample mode;
    double cubic;
    bool inside;
} tlc_resize_attrs;
/* from: h, w of x */
typedef struct tlc_resize_grad_attrs {
    tlc_resize_attrs resize;
    tlc_ints from;
} tlc_resize_grad_attrs;
/* also sum_to; -1 only as the batch in front (printed n), all else numbers */
typedef struct tlc_reshape_attrs { tlc_ints shape; } tlc_reshape_attrs;
/* every axis; resolved: 0 <= start, end as ONNX clamps */
typedef struct tlc_slice_attrs { tlc_ints starts, ends, steps; } tlc_slice_attrs;
typedef struct tlc_slice_grad_attrs { tlc_slice_attrs slice; tlc_ints shape; } tlc_slice_grad_attrs;
typedef struct tlc_reduce_grad_attrs { tlc_axes_attrs reduce; tlc_ints shape; } tlc_reduce_grad_attrs;
typedef struct tlc_cast_attrs { tlc_type to; } tlc_cast_attrs;
typedef struct tlc_constant_of_shape_attrs { tlc_type type; double value; } tlc_constant_of_shape_attrs;
typedef struct tlc_loss_attrs { double label_smoothing; } tlc_loss_attrs; /* cross_entropy(_grad) */
/* Of what trains a parameter; rates are given when training.  backbone: of the group of parameters
 * that are not a new head's.  decoupled: AdamW. */
typedef struct tlc_sgd_attrs { bool nesterov, backbone; } tlc_sgd_attrs;
typedef struct tlc_adam_attrs { bool decoupled, backbone; } tlc_adam_attrs;
/* Joined to the gradient of a convolution's weight. */
typedef struct tlc_conv2d_sgd_attrs {
    tlc_conv2d_grad_attrs conv;
    tlc_sgd_attrs update;
} tlc_conv2d_sgd_attrs;
typedef struct tlc_conv2d_adam_attrs {
    tlc_conv2d_grad_attrs conv;
    tlc_adam_attrs update;
} tlc_conv2d_adam_attrs;
typedef struct tlc_accumulate_attrs { bool backbone; } tlc_accumulate_attrs;

/* --- the descriptor -------------------------------------------------------- */

struct tlc_grad; /* grad.h */

typedef struct tlc_op_def {
    const tlc_attr_def *attrs; /* ends with a row whose name is NULL; NULL: no attributes */
    size_t attrs_size;
    /* Check operands, set type and shape of every result. */
    tlc_status (*infer)(tlc_ctx *, tlc_node *);
    /* All operands constant: make the constant result, or leave *out NULL to decline.
     * NULL: never folds. */
    tlc_status (*fold)(tlc_ctx *, const tlc_node *, tlc_value **out);
    /* Add nodes that compute the gradients of the operands that tlc_grad_wanted;
     * NULL: the result has no gradient. */
    tlc_status (*backward)(struct tlc_grad *, const tlc_node *);
    /* Multiply-adds for one picture; NULL: none. */
    int64_t (*cost)(const tlc_node *);
} tlc_op_def;

typedef struct tlc_op_row {
    const char *name, *meaning;
    int fewest, most, results;
    unsigned traits;
    const tlc_op_def *def;
} tlc_op_row;

extern const tlc_op_row tlc_ops[TLC_OP_COUNT];
bool tlc_op_find(const char *name, size_t len, tlc_op *out);
static inline bool tlc_op_has(tlc_op op, tlc_trait t) { return (tlc_ops[op].traits & t) != 0; }
#define TLC_ATTRS(node, type) ((type *)(node)->attrs)

/* Fill `attrs` with the defaults of `op` (attributes without one stay zero). */
void tlc_attrs_default(tlc_op op, void *attrs);
/* Every attribute within its range and count? Files E_ATTR with the attribute's name. */
TLC_MUST_USE tlc_status tlc_attrs_check(tlc_ctx *ctx, tlc_op op, const void *attrs);

/* If every operand of `n` is constant (or only its shape is asked) and the operator folds:
 * *out is the constant that replaces its result, else NULL.  Counts towards the limit `folded`. */
TLC_MUST_USE tlc_status tlc_fold_node(tlc_ctx *ctx, const tlc_node *n, tlc_value **out);

/* A new constant global of the module with room for its elements; *out_bytes to fill. */
tlc_value *tlc_const_make(tlc_module *m, const char *name, tlc_type type, tlc_shape shape,
                          void **out_bytes);

/* Where a window of `kernel` (dilated) lies: result extent of conv and pool along one axis. */
TLC_MUST_USE tlc_status tlc_window_extent(tlc_ctx *ctx, int64_t in, int64_t kernel, int64_t stride,
                                          int64_t dilation, int64_t pad_begin, int64_t pad_end,
                                          bool ceil_mode, int64_t *out);
int64_t tlc_multiply_adds(const tlc_node *n); /* 0 where cost is NULL */
/* Does the node train a parameter of the backbone (attribute `backbone`)? */
bool tlc_trains_backbone(const tlc_node *n);

#endif
