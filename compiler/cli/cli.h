/* cli.h: what the subcommands of tlc share. */
#ifndef TLC_CLI_H
#define TLC_CLI_H

#include "ctx.h"
#include "emit.h"
#include "import.h"
#include "pass.h"
#include "tlb_options.h"

#include <signal.h>

typedef tlc_status tlc_command_fn(tlc_ctx *ctx, const tlb_args *a);
tlc_command_fn tlc_cli_compile, tlc_cli_inspect, tlc_cli_opt, tlc_cli_verify, tlc_cli_compare;
tlc_command_fn tlc_cli_split, tlc_cli_fit, tlc_cli_explain;

/* From options to the passes' and the emitter's terms; usage errors are filed. */
TLC_MUST_USE tlc_status tlc_cli_options(tlc_ctx *ctx, const tlb_args *a, tlc_options *out);
/* How pictures become the input of `forward`: defaults by its shape, then --preprocess, --resize,
 * --crop, --mean, --std, --bgr. */
TLC_MUST_USE tlc_status tlc_cli_preprocess(tlc_ctx *ctx, const tlb_args *a, const tlc_func *forward,
                                           tlr_preprocess *out);

/* The network a->inputs[0], with --classes, --input CxHxW and --weights. */
TLC_MUST_USE tlc_status tlc_cli_import(tlc_ctx *ctx, const tlb_args *a, tlc_file *file,
                                       tlc_module **out, tlc_import_info *info);
/* verify: does --input name a size rather than a file? */
bool tlc_cli_input_is_size(const tlb_args *a);

/* One compilation from file to plan. */
typedef struct tlc_compilation {
    const char *path;
    tlc_file file;
    tlc_module *module;
    tlc_import_info info;
    tlc_options options;
    tlc_findings findings;
    tlr_preprocess preprocess;
    tlc_plan plan;
    tlc_after_pass_fn *after; /* also told after each pass; NULL */
    void *after_self;
    tlc_onnx_graph *unfolded, *folded; /* for `trainer export` */
    const struct tlc_compilation *cpu; /* target cuda: the same for the processor; NULL: none */
} tlc_compilation;

/* Import a->inputs[0] and run the pipeline and the planner; options are set before. */
TLC_MUST_USE tlc_status tlc_cli_build(tlc_ctx *ctx, const tlb_args *a, tlc_compilation *c);
/* Write the folder `out_dir` for the program NAME; *out_files: how many files. */
TLC_MUST_USE tlc_status tlc_cli_emit(tlc_ctx *ctx, const tlc_compilation *c, const char *out_dir,
                                     const char *name, const char *command_options, int *out_files);
void tlc_cli_report(tlc_ctx *ctx, const tlb_args *a, const tlc_compilation *c, const char *out_dir,
                    int files);
/* While something temporary stands, SIGINT, SIGTERM and SIGHUP wait, so that it is cleaned up before
 * the program dies of them. */
void tlc_cli_hold_signals(sigset_t *before);
void tlc_cli_release_signals(const sigset_t *before);
/* "64x56x56": a shape without its batch, in the arena. */
const char *tlc_cli_dims(tlc_ctx *ctx, const tlc_shape *s);
/* A C identifier from the last component of a path; letters other than [A-Za-z0-9_] become '_'. */
const char *tlc_cli_identifier(tlc_ctx *ctx, const char *path);

#endif
