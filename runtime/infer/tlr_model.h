/* tlr_model.h: what the compiler writes into model.c and the runtime reads: one constant
 * descriptor.  Generated code includes this and the kernels; nothing else.
 *
 * Memory of a session, each region 64-byte aligned:
 *     consts    the mapped weights.bin (never written)
 *     params    trained parameters and, when training, optimizer state and gradients that are kept
 *               for @update: one block, `vars`
 *     act       values that grow with the batch: a value planned at `o` lies at act + o*n
 *     fix       values of fixed size: gradients of parameters, derived weights
 *     scratch   scratch_bytes for each worker
 *
 * Training has two moments that need not share memory: features (act_features, fix_infer) are
 * computed once; steps (vars, act_step, fix_step) follow, and of the derived weights those alone
 * that @head or @step read, which lie first in `fix` on both sides.  Where features are computed
 * in every step, each side has its own `fix`.
 */
#ifndef TLR_MODEL_H
#define TLR_MODEL_H

#include "tlk.h"

#define TLR_ABI 1
enum { TLR_MAX_RANK = 8, TLR_MAX_IO = 4 };

/* Numbered as the compiler's tlc_type and tlc_layout_kind. */
typedef enum tlr_type { TLR_F32, TLR_F64, TLR_I64, TLR_I32, TLR_U8, TLR_BOOL } tlr_type;
typedef enum tlr_layout {
    TLR_PLAIN,
    TLR_C16,
    TLR_OI16,
    TLR_STEM16,
    TLR_DW16,
    TLR_LIN16,
    TLR_NHWC
} tlr_layout;
typedef enum tlr_kind { TLR_CONST, TLR_PARAM, TLR_STATE, TLR_DERIVED, TLR_GRADIENT } tlr_kind;
typedef enum tlr_init {
    TLR_INIT_NONE,
    TLR_INIT_CONSTANT,
    TLR_INIT_UNIFORM_FAN_IN,
    TLR_INIT_NORMAL,
    TLR_INIT_NORMAL_FAN_OUT
} tlr_init;

typedef struct tlr_tensor { /* a global of the IR; its name stands in manifest.json */
    tlr_kind kind;
    tlr_type type;
    tlr_layout layout;
    int rank;
    int64_t dim[TLR_MAX_RANK]; /* logical */
    int64_t offset;            /* CONST: in the const section of weights.bin; PARAM, STATE,
                                * GRADIENT: in `vars`; DERIVED: in `fix` */
    int64_t bytes;             /* as stored, packed */
    tlr_init init;             /* PARAM: TLR_INIT_NONE: bytes in weights.bin */
    double init_value;
    int init_position;         /* Philox stream: position among the parameters given initial values */
    bool backbone;             /* PARAM, GRADIENT: trained at the backbone's rate, not the new head's */
} tlr_tensor;

typedef struct tlr_io {        /* one input or result of a function; lies in `act`, plain layout */
    tlr_type type;
    int rank;
    int64_t dim[TLR_MAX_RANK]; /* dim[0] is -1: the batch */
    int64_t offset;            /* in act, times n */
    int64_t elems;             /* of one picture */
} tlr_io;

typedef struct tlr_frame tlr_frame;
typedef void tlr_item_fn(const tlr_frame *f, int64_t item, int worker);

/* The one seam for threads: run fn(f, item, worker) for every item in [0, items), worker in
 * [0, workers), returning when all are done. */
typedef struct tlr_par {
    void (*run)(void *self, int64_t items, tlr_item_fn *fn, const tlr_frame *f);
    void *self;
    int workers;
} tlr_par;

struct tlr_frame {
    int64_t n;
    const char *consts;
    char *vars, *act, *fix, *scratch;
    int64_t scratch_stride;   /* bytes between workers */
    const tlr_par *par;
    const tlk_step *step;     /* [TLK_GROUPS]; NULL unless training */
    int64_t first, all;       /* in the opening of a function: this is the part [first, first + n) of
                               * `all` pictures */
};

/* The parts of a batch, `few` pictures at a time; after the last n is 0. */
static inline tlr_frame tlr_first_part(const tlr_frame *f, int64_t few)
{
    tlr_frame part = *f;
    part.first = 0, part.all = f->n;
    part.n = few < f->n ? few : f->n;
    return part;
}
static inline void tlr_next_part(tlr_frame *part)
{
    const int64_t left = part->all - part->first - part->n;
    part->first += part->n;
    part->n = left < part->n ? left : part->n;
}

static inline void tlr_parallel_for(const tlr_frame *f, int64_t items, tlr_item_fn *fn)
{
    f->par->run(f->par->self, items, fn, f);
}

typedef struct tlr_func {
    void (*run)(const tlr_frame *f);       /* NULL: the model has no such function */
    int n_in, n_out;
    tlr_io in[TLR_MAX_IO], out[TLR_MAX_IO];
} tlr_func;

typedef struct tlr_value {     /* --keep-values: one forward value, for verify */
    int id;                    /* its name stands in manifest.json, "values" */
    tlr_type type;
    int rank;
    int64_t dim[TLR_MAX_RANK];
    tlr_layout layout;
    int halo[4];
    int64_t offset;            /* in act, times n */
    int func;                  /* 0 features, 1 head */
} tlr_value;

typedef enum tlr_preprocess_kind { TLR_PREPROCESS_NONE, TLR_PREPROCESS_PICTURE } tlr_preprocess_kind;
typedef struct tlr_preprocess { /* part of the compiled model; semantics.md, Pictures */
    tlr_preprocess_kind kind;   /* NONE: the input is no picture */
    int resize_short;           /* shorter side becomes this; 0: resize_h x resize_w exactly */
    int resize_h, resize_w;
    int crop_h, crop_w;         /* centre crop = the network's input */
    float mean[3], std[3];      /* of x/255, in the order of the input's channels */
    int channels_last;          /* the input is [n,h,w,3]; 0: [n,3,h,w] */
    int bgr;                    /* its channels are blue, green, red */
} tlr_preprocess;

typedef enum tlr_optimizer { TLR_OPT_NONE, TLR_ADAM, TLR_ADAMW, TLR_SGD } tlr_optimizer;

/* Where a model's functions run, if not on this processor.  `program` is the model's.  Memory it
 * gives is seen by host and device at one address; its bytes are undefined.  Functions queue
 * nothing behind the caller's back: when run returns, the host may read what they wrote. */
typedef struct tlr_device {
    int (*open)(void *program);             /* 0, or a tlr_status; again: the same answer */
    void *(*alloc)(void *program, size_t bytes); /* 64-byte aligned; NULL: none to be had */
    void (*release)(void *program, void *block); /* NULL is allowed */
    const char *(*trouble)(void *program);  /* one clause on what failed, then or in a run; NULL */
    const char *(*about)(void *program);    /* which device, once open */
} tlr_device;

typedef struct tlr_model {
    int abi;
    const char *name;           /* NAME of the compiled folder: the user's option */
    const char *version;        /* of tlc */
    const char *target, *precision; /* "cpu" "fp32" */
    const char *graph_sha256;   /* hex; what is computed and trained, whatever the target: a run's */
    const char *code_sha256;    /* hex; the same with this target's kernels and layouts: weights.bin's */
    int max_batch;
    int min_train_batch;        /* 2 where a batch norm has one value a channel of a picture; else 0 */
    int n_classes;              /* elements of the output of one picture */
    tlr_preprocess preprocess;
    tlr_func features;          /* in: x; out: features.  Identity prefix: run NULL, and head takes x */
    tlr_func head;              /* in: features; out: logits */
    tlr_func step;              /* in: features, labels i64[n]; out: loss[n], logits[n,K] */
    void (*update)(const tlr_frame *f);  /* after @step, which kept gradients; NULL: @step updates */
    void (*prepare)(const tlr_frame *f); /* derived weights from consts; NULL: none */
    const tlr_device *device;   /* NULL: the processor that calls */
    void *program;              /* what `device` runs */
    const tlr_tensor *tensors;
    int n_tensors;
    int64_t consts_bytes;       /* const section of weights.bin */
    int64_t params_bytes;       /* trained parameters: start of `vars`, in weights.bin after consts */
    int64_t vars_bytes;         /* params, optimizer state, kept gradients */
    int64_t act_infer_bytes;    /* for n = 1: max over features and head */
    int64_t act_features_bytes; /* for n = 1: features, prepare */
    int64_t act_step_bytes;     /* for n = 1: max over head and step; without features, prepare */
    int64_t fix_infer_bytes;    /* derived weights */
    int64_t fix_step_bytes;     /* derived weights that head or step read, and gradients */
    int64_t derived_step_bytes; /* of those derived weights */
    int64_t scratch_bytes;      /* for each worker */
    int64_t params_total, params_trained; /* elements */
    tlr_optimizer optimizer;
    const tlr_value *values;
    int n_values;
} tlr_model;

/* weights.bin, little-endian:
 *     tlr_weights_header (64 bytes), zero to 4096; const section (consts_bytes);
 *     zero to a multiple of 64; params (params_bytes); labels section.
 * A compiled folder's file holds initial values of the params that have bytes in the model and
 * zeros (a hole) for the others, `trained` 0; `trainer export` writes the trained ones.
 * consts_xxh64: XXH64, seed 0, of the const section; params_xxh64: XXH64, seed `trained`, of the
 * params section and the labels section, one after the other. */
#define TLR_WEIGHTS_MAGIC "tlcw\r\n\x1a\n"
enum { TLR_WEIGHTS_CONSTS_AT = 4096 };
typedef struct tlr_weights_header {
    char magic[8];
    uint32_t abi;               /* TLR_ABI */
    uint32_t trained;           /* 1: every param is in the file */
    uint64_t consts_bytes, params_bytes, labels_bytes; /* labels: class names in order, each NUL-terminated */
    uint64_t consts_xxh64, params_xxh64;
    uint8_t code_sha256[8];     /* first 8 bytes: is this file of this model? */
} tlr_weights_header;
/* Offset of the params section. */
static inline uint64_t tlr_weights_params_at(uint64_t consts_bytes)
{
    return TLR_WEIGHTS_CONSTS_AT + (consts_bytes + 63) / 64 * 64;
}
#endif
