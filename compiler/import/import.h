/* import.h: files to graphs.  Nothing else of the compiler reads a model. */
#ifndef TLC_IMPORT_H
#define TLC_IMPORT_H

#include "op.h"

/* A file mapped for reading, until the context ends (tlc_files_close). */
typedef struct tlc_file { const unsigned char *bytes; int64_t n_bytes; const char *path; } tlc_file;
TLC_MUST_USE tlc_status tlc_file_map(tlc_ctx *ctx, const char *path, tlc_file *out);
void tlc_file_unmap(tlc_file *f);

typedef struct tlc_import_info {
    bool generalised;     /* batch 1 became n */
    int64_t opset;        /* of the default domain; 0: no ONNX */
    int64_t n_params, param_elems; /* floating-point initialisers used by the graph */
} tlc_import_info;

/**
 * Read an ONNX file into @forward of a new module; weights are views of the mapped file.
 * Floating-point initialisers become `param`; integers are folded away.  The guard (onnx_guard.c)
 * has walked the bytes before protobuf-c sees any.
 * fails   as hostile-inputs 4.1 and 4.2; ctx->file is `path`, WHERE the node or tensor.
 */
TLC_MUST_USE tlc_status tlc_import_onnx(tlc_ctx *ctx, const tlc_file *file, tlc_module **out,
                                        tlc_import_info *info);
/* By magic bytes, else by the name's ending: .onnx or .tir. */
TLC_MUST_USE tlc_status tlc_import_file(tlc_ctx *ctx, const char *path, tlc_file *file,
                                        tlc_module **out, tlc_import_info *info);
#endif
