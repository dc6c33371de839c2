/* pass.h: passes, their options, and the pipeline that runs them. */
#ifndef TLC_PASS_H
#define TLC_PASS_H

#include "op.h"
#include "options.h"

enum { /* facts that a pass needs; established by the pass of that name */
    TLC_FACT_FROZEN = 1 << 0,
    TLC_FACT_SPLIT = 1 << 1
};

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
/* Called after each pass of the pipeline, which an error ends; for --dump-after. May be NULL. */
typedef tlc_status tlc_after_pass_fn(void *self, const tlc_pass *p, const tlc_module *m);
/* The passes of `tlc compile`, in order (pipeline.c says why), up to assign_layouts. */
TLC_MUST_USE tlc_status tlc_pipeline_run(tlc_ctx *ctx, tlc_module *m, tlc_pass_env *env,
                                         tlc_after_pass_fn *after, void *self);
#endif
