/* options.h: what the user asked of a compilation, and what the passes found out about it. */
#ifndef TLC_OPTIONS_H
#define TLC_OPTIONS_H

#include "graph.h"

typedef enum tlc_optimizer { TLC_ADAM, TLC_ADAMW, TLC_SGD } tlc_optimizer;
typedef enum tlc_target {
    TLC_TARGET_CPU,
    TLC_TARGET_REF,
    TLC_TARGET_CUDA,
    TLC_TARGET_COUNT
} tlc_target;
/* What batch norms do in training: table "Freezing and batch norm" of docs/design.md. */
typedef enum tlc_bn_policy {
    TLC_BN_DEFAULT, /* frozen layers: running statistics; trained ones: the batch's */
    TLC_BN_FROZEN,  /* all by running statistics, which stay; scale and bias stay too */
    TLC_BN_STATS,   /* as default, but frozen layers go by the batch's statistics as well */
} tlc_bn_policy;
/* Of the arithmetic.  tf32, bf16: products of convolutions and linear layers on matrix units, whose
 * operands are rounded on the way there; values in memory stay f32. */
typedef enum tlc_precision {
    TLC_PRECISION_FP32,
    TLC_PRECISION_FP64,
    TLC_PRECISION_TF32,
    TLC_PRECISION_BF16,
    TLC_PRECISION_COUNT
} tlc_precision;

/* One option of `tlc compile` that repeats: --freeze, --unfreeze, in the order given. */
typedef struct tlc_freeze_rule { bool freeze; const char *glob; } tlc_freeze_rule;

typedef struct tlc_options {
    const char *replace_head;   /* NULL: not replaced; "2", "vgg", "4096,relu,dropout=0.5,2" */
    const char *head;           /* --head NODE; NULL: found */
    bool freeze_backbone;
    const char *freeze_until;   /* NODE; NULL */
    const tlc_freeze_rule *freeze_rules;
    size_t n_freeze_rules;
    bool train;                 /* there is something to train: a head replaced, or params asked for */
    tlc_optimizer optimizer;
    bool nesterov;
    tlc_bn_policy bn;
    double label_smoothing;     /* of the loss that is attached */
    tlc_target target;
    tlc_precision precision;
    bool openblas;              /* --blas openblas: rows that call it may serve */
    int64_t batch;              /* largest n */
    bool no_fuse;               /* leave every operator a kernel of its own: what verify compares */
    bool keep_gradients;        /* @step leaves them in memory, @update uses them */
    bool no_reuse;              /* plan: every buffer its own bytes */
    bool keep_values;           /* every forward value is kept and listed for verify */
} tlc_options;

/* What passes found out and reports tell. Strings in the context's arena. */
typedef struct tlc_findings {
    bool generalised;           /* exported with batch 1, made `n` */
    int64_t n_untied;           /* parameters and statistics that the file stored as one with another */
    const char *head_node;      /* escaped name of the replaced node, NULL none */
    tlc_shape head_in, head_out_old;
    int new_from_id;            /* globals with ids from here on belong to the new head; 0: none */
    int64_t params_model;       /* as read: elements of the model's parameters */
    int64_t params_frozen, params_trained;
    const char *const *trained_names; /* escaped */
    size_t n_trained;
    const char *const *because; /* by value id of a parameter: the option that froze or freed it;
                                 * NULL where none did */
    int bn_folded;
    int bn_frozen, bn_stats, bn_train; /* batch norms by what they do in training */
    tlc_sha256 graph_sha256;    /* of what is computed, before any target's choices: a run's identity */
    const char *cut_because;    /* why the feature prefix ends where it does */
} tlc_findings;

#endif
