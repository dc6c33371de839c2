/* graph.h: the map of the IR.  Read this first.
 *
 *   module ── globals:  const (never changes) · param (trained) · state (optimizer, statistics, derived)
 *          └─ functions @forward, or @features @head @step after the cut
 *               └─ nodes in execution order; each reads values and defines values
 *
 * Static single assignment: a value is a global, a function input, or the result
 * of one node.  A value has an element type, a shape and a physical layout; the
 * leading dimension may be the batch `n`, every other dimension is a number.
 *
 * The one exception to SSA: operators with the trait TLC_T_WRITES (optimizer
 * updates, derived weights) overwrite their leading global operands in place and
 * define nothing.  The verifier holds that no node after such a write reads the
 * global in the same function.
 *
 * Value ids are dense in a module, so a pass keeps what it knows in an array of
 * module->n_values.  Nothing here is freed: all of it lives in the context's arena.
 */
#ifndef TLC_GRAPH_H
#define TLC_GRAPH_H

#include "ctx.h"

enum { TLC_MAX_RANK = 8 };
#define TLC_DIM_N INT64_C(-1) /* the batch; may stand in dim[0] alone */

typedef enum tlc_type {
    TLC_F32,
    TLC_F64,
    TLC_I64,
    TLC_I32,
    TLC_U8,
    TLC_BOOL,
    TLC_TYPE_COUNT
} tlc_type;

typedef struct tlc_shape {
    int rank;
    int64_t dim[TLC_MAX_RANK];
} tlc_shape;

/* How a value lies in memory.  PLAIN is row-major in logical order (NCHW, OIHW), NHWC the same with
 * channels last.  Channels are padded to 16 with zeros in every other layout. */
typedef enum tlc_layout_kind {
    TLC_PLAIN,
    TLC_C16,    /* activation [n][c/16][h][w][16]; vector [c/16][16] */
    TLC_OI16,   /* conv weight [oc/16][ic/16][kh][kw][16 ic][16 oc] */
    TLC_STEM16, /* conv weight over a plain input [oc/16][kh][kw][ic][16 oc] */
    TLC_DW16,   /* depthwise weight [c/16][kh][kw][16] */
    TLC_LIN16,  /* linear weight [out/16][in][16 out] */
    TLC_NHWC,   /* [n][h][w][c]; conv weight [oc][kh][kw][ic], or several of them */
    TLC_LAYOUT_COUNT
} tlc_layout_kind;

/* A halo is a border of zeros around each plane, written by the producer, so that a
 * convolution that reads the value has no edge code.  Rank-4 activations only. */
typedef struct tlc_layout {
    tlc_layout_kind kind;
    int halo[4]; /* rows above, columns left, rows below, columns right (ONNX's order of pads) */
} tlc_layout;

typedef enum tlc_value_kind {
    TLC_CONST,  /* global: bytes known, never changes */
    TLC_PARAM,  /* global: trained; bytes known or an initialiser */
    TLC_STATE,  /* global: zero, or written by @prepare, at start */
    TLC_INPUT,  /* of a function */
    TLC_RESULT  /* of a node */
} tlc_value_kind;

typedef enum tlc_init_kind {
    TLC_INIT_NONE,           /* bytes in `data`, or a state that starts as zero */
    TLC_INIT_CONSTANT,       /* every element `init_value` */
    TLC_INIT_UNIFORM_FAN_IN, /* uniform in [-b, b], b = 1/sqrt(init_value) */
    TLC_INIT_NORMAL,         /* normal, standard deviation init_value */
    TLC_INIT_NORMAL_FAN_OUT  /* normal, standard deviation sqrt(2 / init_value) */
} tlc_init_kind;

typedef struct tlc_node tlc_node;

typedef struct tlc_value {
    int id;           /* dense in the module */
    const char *name; /* from the model or made by a pass; NULL: none.  Data, never code */
    tlc_value_kind kind;
    tlc_type type;
    tlc_shape shape;
    tlc_layout layout;
    tlc_node *def;    /* RESULT: the node that defines it; else NULL */
    int result_index; /* RESULT: which of def->out */
    /* Globals: */
    const void *data;     /* little-endian, row-major, logical order, perhaps unaligned; NULL: none.
                           * Often a view of the mapped model file.  The module does not own it */
    tlc_type data_type;   /* element type of `data`; differs from `type` only after --precision fp64 */
    bool splat;           /* `data` is one element that stands for all */
    const double *scale;  /* `data` in float, and factors that tlc_data_f64 multiplies it by, rounding once:
                           * a folded weight that takes no memory; NULL: none.  Never with splat */
    int64_t scale_run;    /* elements to which a factor belongs, one after another */
    const char *file;     /* where `data` comes from, for the text form; NULL: inline */
    int64_t file_offset;
    tlc_init_kind init;
    double init_value;
} tlc_value;

/* Operators: one row each of ops.def. */
typedef enum tlc_op {
#define TLC_OP(name, NAME, lo, hi, results, traits, meaning) TLC_OP_##NAME,
#include "ops.def"
#undef TLC_OP
    TLC_OP_COUNT
} tlc_op;

struct tlc_node {
    tlc_op op;
    const char *name; /* of the node in the model; NULL: made by a pass.  Data, never code */
    tlc_value **in;   /* n_in operands; an optional one that is absent is NULL */
    int n_in;
    tlc_value **out;
    int n_out;
    void *attrs;      /* the operator's own struct, tlc_op_info(op)->attrs_size bytes; never NULL */
    const char *gradient_of; /* label of the node whose gradient this is part of; NULL */
    struct tlc_func *func;
    tlc_node *prev, *next;
};

typedef struct tlc_func {
    const char *name;  /* without '@'; ours: forward, features, head, step, prepare */
    struct tlc_module *module;
    tlc_value **in;
    size_t n_in, cap_in;
    tlc_value **out;   /* returned values */
    size_t n_out, cap_out;
    tlc_node *first, *last;
    int n_nodes;
    struct tlc_func *next;
} tlc_func;

typedef struct tlc_module {
    tlc_ctx *ctx;
    const char *name;
    tlc_value **globals; /* in order of declaration */
    size_t n_globals, cap_globals;
    tlc_func *first_func, *last_func;
    int n_values;        /* ids given out so far */
} tlc_module;

/* --- building ------------------------------------------------------------- */

/* SHA-256 over a module's structure: globals and nodes by number, types, layouts, attributes; and
 * over `more`.  Neither names nor the bytes of weights have a part in it. */
typedef struct tlc_sha256 {
    unsigned char bytes[32];
    char hex[65];
} tlc_sha256;
tlc_sha256 tlc_module_sha256(const tlc_module *m, const char *more);

tlc_module *tlc_module_make(tlc_ctx *ctx, const char *name);
tlc_func *tlc_func_add(tlc_module *m, const char *name);
tlc_func *tlc_func_find(const tlc_module *m, const char *name); /* NULL: none */
void tlc_func_remove(tlc_module *m, tlc_func *f);

tlc_value *tlc_global_add(tlc_module *m, tlc_value_kind kind, const char *name, tlc_type type,
                          tlc_shape shape);
tlc_value *tlc_global_find(const tlc_module *m, const char *name); /* NULL: none; linear */
tlc_value *tlc_input_add(tlc_func *f, const char *name, tlc_type type, tlc_shape shape);
void tlc_return_add(tlc_func *f, tlc_value *v);

/* A node before `before` (NULL: at the end).  Attributes start as the operator's defaults;
 * results are made but have no type yet.  Set the attributes, then call tlc_node_infer. */
tlc_node *tlc_node_add(tlc_func *f, tlc_node *before, tlc_op op, const char *name,
                       tlc_value *const *in, int n_in);
/* Check operands and attributes, then give the results type and shape (layout PLAIN). */
TLC_MUST_USE tlc_status tlc_node_infer(tlc_ctx *ctx, tlc_node *n);
/* What a report calls `n`: its name, its result's, or that of the first global it reads; NULL: none. */
const char *tlc_node_label(const tlc_node *n);
void tlc_node_remove(tlc_node *n); /* its results must have no readers */
void tlc_node_move_before(tlc_node *n, tlc_node *before);

/* Replace values wherever nodes of `f` and its returns read them: map[id] is the
 * replacement or NULL, module->n_values entries as of this call.  Chains are followed.
 * One sweep, whatever the number of entries. */
void tlc_func_replace(tlc_func *f, tlc_value *const *map);
/* How many operands and returns of `f` read each value; array of module->n_values. */
int *tlc_func_count_uses(tlc_func *f);

/* --- types, shapes, data --------------------------------------------------- */

const char *tlc_layout_name(tlc_layout_kind k); /* "c16" */
bool tlc_layout_equal(const tlc_layout *a, const tlc_layout *b);
int tlc_type_bytes(tlc_type t);
const char *tlc_type_name(tlc_type t);
bool tlc_is_float(tlc_type t);
bool tlc_is_global(const tlc_value *v);

tlc_shape tlc_shape_make(int rank, const int64_t *dim);
bool tlc_shape_equal(const tlc_shape *a, const tlc_shape *b);
bool tlc_shape_has_n(const tlc_shape *s);
/* Elements with n = 1.  Checked at creation (tlc_check_shape), so the product fits. */
int64_t tlc_shape_elems(const tlc_shape *s);
/* Refuse dimensions below 1 (0 allowed for rank-1 shape arithmetic), over the limits, or a
 * product that overflows.  `what` names the tensor in the message. */
TLC_MUST_USE tlc_status tlc_check_shape(tlc_ctx *ctx, const tlc_shape *s, const char *what);
/* "f32[n,64,56,56]" or "f32[n,64,56,56]{c16, halo=[1,1,1,1]}", in the arena. */
const char *tlc_type_text(tlc_ctx *ctx, const tlc_value *v);
/* Bytes of `v` as it lies in its layout with n = 1, halo and channel padding included. */
int64_t tlc_value_bytes(const tlc_value *v);

/* Element `i` of a global with data (row-major).  i64 keeps TLC_DIM_SYMBOL for the batch. */
double tlc_data_f64(const tlc_value *v, int64_t i);
/* All of `data`: as it lies, or a scaled copy in `arena`. */
const void *tlc_data_bytes(tlc_arena *arena, const tlc_value *v);
int64_t tlc_data_i64(const tlc_value *v, int64_t i); /* INT64_MIN for a float that is none */
/* In constants of shape arithmetic this value stands for the batch size `n`. */
#define TLC_DIM_SYMBOL INT64_MIN
/* ... and this for `k` times it, 1 <= k <= TLC_DIM_TIMES_MOST; files have no such numbers. */
#define TLC_DIM_TIMES_MOST INT32_MAX
int64_t tlc_dim_times(int64_t k);
/* Of which multiple of the batch `x` is the symbol; 0: it is a number. */
int64_t tlc_dim_multiple(int64_t x);

#endif
