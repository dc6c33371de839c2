/* pass.h: passes, their options, and the pipeline that runs them. */
#ifndef TLC_PASS_H
#define TLC_PASS_H

#include "op.h"

enum { /* facts that a pass needs; established by the pass of that name */
    TLC_FACT_FROZEN = 1 << 0,
    TLC_FACT_SPLIT = 1 << 1
};

typedef enum tlc_optimizer { TLC_ADAM, TLC_ADAMW, TLC_SGD } tlc_optimizer;
typedef enum tlc_target { TLC_TARGET_CPU, TLC_TARGET_REF, TLC_TARGET_COUNT } tlc_target;
typedef enum tlc_precision { TLC_PRECISION_FP32, TLC_PRECISION_FP64 } tlc_precision;
typedef enum tlc_preprocess_kind { TLC_PREPROCESS_NONE, TLC_PREPROCESS_IMAGENET, TLC_PREPROCESS_UNIT } tlc_preprocess_kind;

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
    double label_smoothing;     /* of the loss that is attached */
    tlc_target target;
    tlc_precision precision;
    int64_t batch;              /* largest n */
    bool no_fuse;               /* leave every operator a kernel of its own: what verify compares */
    bool no_reuse;              /* plan: every buffer its own bytes */
    bool keep_values;           /* every forward value is kept and listed for verify */
} tlc_options;

/* What passes found out and reports tell. Strings in the context's arena. */
typedef struct tlc_findings {
    bool generalised;           /* exported with batch 1, made `n` */
    const char *head_node;      /* escaped name of the replaced node, NULL none */
    tlc_shape head_in, head_out_old;
    int64_t params_model;       /* as read: elements of the model's parameters */
    int64_t params_frozen, params_trained;
    const char *const *trained_names; /* escaped */
    size_t n_trained;
    int bn_folded;
    const char *cut_because;    /* why the feature prefix ends where it does */
} tlc_findings;

typedef struct tlc_pass_env {
    const tlc_options *options;
    tlc_findings *findings;
    unsigned facts;
} tlc_pass_env;

typedef tlc_status tlc_pass_fn(tlc_ctx *ctx, tlc_module *m, tlc_pass_env *env);
typedef struct tlc_pass {
    const char *name, *summary;
    unsigned needs, breaks;
    tlc_pass_fn *run;
} tlc_pass;

#define TLC_PASS(name, needs, breaks, summary) tlc_pass_fn tlc_pass_##name;
#include "passes.def"
#undef TLC_PASS

extern const tlc_pass tlc_passes[];
extern const size_t tlc_n_passes;
const tlc_pass *tlc_pass_find(const char *name); /* NULL: none */

/* Run one pass, then the verifier where ctx->verify_between_passes. */
TLC_MUST_USE tlc_status tlc_pass_run(tlc_ctx *ctx, const tlc_pass *p, tlc_module *m, tlc_pass_env *env);
/* Called after each pass of the pipeline; for --dump-after. May be NULL. */
typedef void tlc_after_pass_fn(void *self, const tlc_pass *p, const tlc_module *m);
/* The passes of `tlc compile`, in order (pipeline.c says why), up to assign_layouts. */
TLC_MUST_USE tlc_status tlc_pipeline_run(tlc_ctx *ctx, tlc_module *m, tlc_pass_env *env,
                                         tlc_after_pass_fn *after, void *self);
#endif
