/* tlr_run.h: a run kept in a folder: metrics.jsonl, best.json, last.json and their tensors.
 *
 *     tlr_trainer_run(t, "runs/a");
 *
 * The epochs themselves are the engine's (tlr_engine.h); here is what `trainer` writes of them.
 */
#ifndef TLR_RUN_H
#define TLR_RUN_H

#include "tlb_file.h"
#include "tlr_engine.h"

#include <stdio.h>

/**
 * Train from where the trainer stands to the last epoch, writing metrics.jsonl, best.json and
 * last.json with their safetensors into the folder `run` (semantics: best checkpoint).
 * fails   TLB_E_INTERRUPTED, after saving; TLB_E_NUMERIC, the last good checkpoint stays;
 *         TLB_E_OUTPUT.
 */
tlb_status tlr_trainer_run(tlr_trainer *t, const char *run);

/* --- checkpoints in a folder -------------------------------------------------------------- */

typedef enum tlr_checkpoint { TLR_BEST, TLR_LAST } tlr_checkpoint; /* weights; and state */

/* Write KIND-STEP.safetensors, then KIND.json, whose rename commits; then remove the older file. */
tlb_status tlr_checkpoint_save(tlr_trainer *t, const char *run, tlr_checkpoint kind);
/* last.json that stands for the initial values: what a fresh run resumes from. */
tlb_status tlr_checkpoint_begin(tlr_trainer *t, const char *run);
/* Take progress alone from last.json: what stands there while features are still computed, before
 * tlr_checkpoint_load makes the block of steps.  Statuses as of that. */
tlb_status tlr_checkpoint_look(tlr_trainer *t, const char *run);
/* Restore parameters (LAST: and optimizer state and progress).  Statuses: hostile-inputs 4.6.
 * On failure parameters are undefined, progress unchanged. */
tlb_status tlr_checkpoint_load(tlr_trainer *t, const char *run, tlr_checkpoint kind);
/* Remove what a killed run left: temporary files, checkpoints that no JSON names. */
void tlr_checkpoint_sweep(const char *run);

/* The tensor's elements in logical row-major order, from its packed bytes; TLB_E_LIMIT: no memory
 * for a part of it. */
tlb_status tlr_tensor_write(const tlr_tensor *p, const char *stored, tlb_out *o);

/* --- lines of metrics.jsonl --------------------------------------------------------------- */

tlb_status tlr_metrics_step(FILE *f, const tlr_step_report *r);
tlb_status tlr_metrics_epoch(FILE *f, const tlr_epoch_report *r);

#endif
