/* plan.h: where every value lies.  Lifetimes from the order of nodes; offsets by first fit of
 * the largest first; check.c is a second, naive opinion on overlap. */
#ifndef TLC_PLAN_H
#define TLC_PLAN_H

#include "kernel.h"

typedef enum tlc_region {
    TLC_REGION_NONE,
    TLC_REGION_CONSTS,
    TLC_REGION_VARS,
    TLC_REGION_ACT,
    TLC_REGION_FIX
} tlc_region;

typedef struct tlc_place { tlc_region region; int64_t offset, bytes; } tlc_place;

typedef struct tlc_plan {
    tlc_place *place;          /* by value id */
    const tlc_kernel **kernel; /* by position of the node in the module (functions in order, nodes
                                * in order); NULL: a view, which has no code */
    bool *derived;             /* by value id: a state that @prepare makes; lies at the start of fix */
    bool trains;               /* there is a @step */
    bool prefix;               /* there is a @features */
    int64_t consts_bytes, params_bytes, vars_bytes;
    int64_t act_infer_bytes;   /* for n = 1, as the next two: any function but @step */
    int64_t act_features_bytes, act_step_bytes; /* @features, @prepare; @head, @step */
    int64_t fix_infer_bytes, fix_step_bytes;    /* the same two sides: see tlr_model.h */
    int64_t derived_step_bytes; /* of derived states that @head or @step read: first in fix */
    int64_t scratch_bytes;     /* for each worker */
} tlc_plan;

/* Pictures at a time in the opening of a function. */
enum { TLC_FEW = 2 };

/* How many of the first nodes of `f` run over TLC_FEW pictures at a time: its opening.  What lives
 * in there alone is of fixed size, TLC_FEW pictures of it; 0: all nodes run over the whole batch. */
int tlc_plan_opening(const tlc_func *f, const tlc_options *o);

/* One buffer for the offset search: alive from node `from` to node `to`, both included. */
typedef struct tlc_buffer { int64_t bytes; int from, to; int64_t offset; } tlc_buffer;

/* Give each buffer an offset (multiple of 64); returns the bytes of the arena. */
int64_t tlc_plan_offsets(tlc_arena *scratch, tlc_buffer *buffers, size_t count, bool reuse);
/* True: no two buffers alive at one time overlap, all are aligned, none ends past `total`.
 * Its own code, on purpose. */
bool tlc_plan_check(const tlc_buffer *buffers, size_t count, int64_t total);

TLC_MUST_USE tlc_status tlc_plan_make(tlc_ctx *ctx, const tlc_module *m, const tlc_options *o, tlc_plan *out);
/* Bytes at the worst moment, one worker's scratch included; INT64_MAX where the sum does not fit.
 * train: features are computed once, before the first step, so the larger of the two moments. */
int64_t tlc_plan_peak(const tlc_plan *p, int64_t batch, bool train);
/* The same for training that computes features in every step (--no-cache): both at one time. */
int64_t tlc_plan_peak_uncached(const tlc_plan *p, int64_t batch);
/* The largest batch whose peak (training, where there is a @step) fits in `bytes`; 0: none. */
int64_t tlc_plan_fit(const tlc_plan *p, int64_t bytes);
#endif
