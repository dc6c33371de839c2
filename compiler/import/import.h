/* import.h: files to graphs.  Nothing else of the compiler reads a model. */
#ifndef TLC_IMPORT_H
#define TLC_IMPORT_H

#include "op.h"

/* A file mapped for reading until tlc_file_unmap, which also drops what was mapped beside it. */
typedef struct tlc_file {
    const unsigned char *bytes; /* NULL: empty file */
    int64_t n_bytes;
    const char *path;
    struct tlc_file *next;      /* external data of an ONNX model; in the context's arena */
} tlc_file;
/* E_INPUT: missing, unreadable, not a regular file; E_LIMIT: over the limit file. */
TLC_MUST_USE tlc_status tlc_file_map(tlc_ctx *ctx, const char *path, tlc_file *out);
void tlc_file_unmap(tlc_file *f); /* before tlc_ctx_fini; idempotent */

typedef struct tlc_import_info {
    bool generalised;     /* a fixed batch, mostly 1, became n */
    int64_t opset;        /* of the default domain; 0: no ONNX */
    int64_t n_params, param_elems; /* what became `param`: statistics of batch norms do not count */
} tlc_import_info;

/**
 * Read an ONNX file into @forward of a new module; weights are views of the mapped file.
 * Floating-point initialisers that operators read become `param` (statistics of batch norms,
 * scalars and what folds stay `const`); integers are folded away.  The guard (onnx_guard.c)
 * has walked the bytes before protobuf-c sees any.
 * fails   as hostile-inputs 4.1 and 4.2; ctx->file is `path`, WHERE the node or tensor.
 */
TLC_MUST_USE tlc_status tlc_import_onnx(tlc_ctx *ctx, tlc_file *file, tlc_module **out,
                                        tlc_import_info *info);
/* By magic bytes, else by the name's ending: .onnx or .tir. */
TLC_MUST_USE tlc_status tlc_import_file(tlc_ctx *ctx, const char *path, tlc_file *file,
                                        tlc_module **out, tlc_import_info *info);
#endif
