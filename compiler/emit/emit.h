/* emit.h: the folder that `tlc compile` writes.  Text only, no decisions. */
#ifndef TLC_EMIT_H
#define TLC_EMIT_H

#include "embedded.h"
#include "plan.h"
#include "tlr_model.h"

/* @forward as it stands, as an ONNX graph without its weights (serialised GraphProto). */
typedef struct tlc_onnx_weight {
    const tlc_value *value;
    const char *name;          /* in the graph */
    tlc_type type;             /* --precision may change the value's later */
} tlc_onnx_weight;
typedef struct tlc_onnx_graph {
    const char *obstacle;      /* why ONNX cannot say it; NULL: it can, and the rest is set */
    int64_t opset;             /* the least that has its operators, 13 at least */
    const unsigned char *bytes;
    size_t n_bytes;
    tlc_onnx_weight *tensors;
    size_t n_tensors;
} tlc_onnx_graph;
/* After the pass freeze or fold_bn: the network with batch norms, or without. */
tlc_onnx_graph *tlc_onnx_graph_make(tlc_ctx *ctx, const tlc_module *m);

/* A file that the network came from, mapped; `trainer export` looks there for weights that folding
 * took out of the module. */
typedef struct tlc_origin {
    const char *path;          /* as typed */
    const unsigned char *bytes;
    size_t n_bytes;
} tlc_origin;

typedef struct tlc_emit_spec {
    const char *out_dir;       /* what the user typed */
    const char *name;          /* a C identifier: NAME of NAME.h and NAME_model */
    const char *command_options; /* as typed, for the banner: "--replace-head 2 --batch 8" */
    tlr_preprocess preprocess;
    const tlc_options *options;
    const tlc_findings *findings;
    const char *model_file;    /* base name of the model as typed, for manifest.json */
    const tlc_onnx_graph *unfolded, *folded; /* NULL: no export.json */
    const tlc_origin *origins;
    size_t n_origins;
    const struct tlc_emit_cpu *cpu; /* NULL: none */
} tlc_emit_spec;

/* Of a folder for a device: the same network for the processor, which the programs run instead
 * where they are asked to (--device).  Its layouts are its own, so it has its own weights.bin. */
typedef struct tlc_emit_cpu {
    const tlc_module *module;
    const tlc_plan *plan;
    const tlc_emit_spec *spec;
} tlc_emit_cpu;

/**
 * Write the whole folder under a temporary name beside it, fsync, then put it in place of an
 * earlier one (replaced whole; only if it holds our manifest.json).
 * Output: model.c, NAME.h, weights.bin, manifest.json, Makefile, CMakeLists.txt, src/ (kernels and
 * runtime used); of a network that is trained, export.json and export.bin.  With spec->cpu
 * model_cpu.c too, and in cpu/ its weights.bin, manifest.json and export files.  A pure function
 * of module, plan and spec.
 * fails   E_OUTPUT; nothing is left behind.
 */
TLC_MUST_USE tlc_status tlc_emit_folder(tlc_ctx *ctx, const tlc_module *m, const tlc_plan *p,
                                        const tlc_emit_spec *spec, int *out_files);

/* Files of kernels/ and runtime/ that the build put into the program (cmake/embed.cmake). */
extern const tlc_embedded tlc_embedded_files[];
extern const size_t tlc_n_embedded_files;
#endif
