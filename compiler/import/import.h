/* import.h: files to graphs.  Nothing else of the compiler reads a model. */
#ifndef TLC_IMPORT_H
#define TLC_IMPORT_H

#include "embedded.h"
#include "op.h"

/* A file mapped for reading until tlc_file_unmap, which also drops what was mapped beside it. */
typedef struct tlc_file {
    const unsigned char *bytes; /* NULL: empty file */
    int64_t n_bytes;
    const char *path;
    struct tlc_file *next;      /* the weights file of a network; in the context's arena */
} tlc_file;
/* E_INPUT: missing, unreadable, not a regular file; E_LIMIT: over the limit file. */
TLC_MUST_USE tlc_status tlc_file_map(tlc_ctx *ctx, const char *path, tlc_file *out);
void tlc_file_unmap(tlc_file *f); /* before tlc_ctx_fini; idempotent */

typedef struct tlc_import_info {
    bool generalised;     /* a fixed batch, mostly 1, became n */
    int64_t opset;        /* of the default domain; 0: no ONNX */
    int64_t n_params, param_elems; /* what became `param`: statistics of batch norms do not count */
    int64_t n_untied;     /* parameters and statistics that the file stored as one with another */
    /* Of a weights file: parameters that it lacks or gives in another shape or type. */
    const char *weights_path;
    struct tlc_weight_problem *problems;
    size_t n_problems;
} tlc_import_info;

typedef struct tlc_weight_problem {
    tlc_value *value;
    const char *id, *what; /* of the error */
} tlc_weight_problem;

/**
 * Read an ONNX file into @forward of a new module; weights are views of the mapped file.
 * Floating-point initialisers that operators read become `param` (statistics of batch norms,
 * scalars and what folds stay `const`); integers are folded away.  The guard (onnx_guard.c)
 * has walked the bytes before protobuf-c sees any.
 * fails   as hostile-inputs 4.1 and 4.2; ctx->file is `path`, WHERE the node or tensor.
 */
TLC_MUST_USE tlc_status tlc_import_onnx(tlc_ctx *ctx, tlc_file *file, tlc_module **out,
                                        tlc_import_info *info);
/* By magic bytes, else by the name's ending: .onnx or .tir; what is no file but the name of a
 * built-in network (models/) is that. */
TLC_MUST_USE tlc_status tlc_import_file(tlc_ctx *ctx, const char *path, tlc_file *file,
                                        tlc_module **out, tlc_import_info *info);

/* What changes a network as it is read. */
typedef struct tlc_import_options {
    const char *weights; /* --weights FILE; NULL */
    int64_t classes;     /* --classes: outputs of the last linear; 0: as they are */
    int64_t input[3];    /* --input: channels, height, width; 0: as they are */
} tlc_import_options;

/**
 * tlc_import_file, then classes, input and weights in this order.  Tensors that the weights lack
 * are in *info: tlc_check_weights refuses those that are still of use.
 * fails   E_UNSUPPORTED  a layer would change its size and has weights already;
 *         and as tlc_weights_apply
 */
TLC_MUST_USE tlc_status tlc_import_network(tlc_ctx *ctx, const char *path,
                                           const tlc_import_options *options, tlc_file *file,
                                           tlc_module **out, tlc_import_info *info);

/**
 * Give parameters and statistics of batch norms the tensors of their names from a .pth or
 * .safetensors file; views where type and layout allow.  Warns of tensors that nothing asks for.
 * `file` stays mapped as long as the module is used.
 * fails   as hostile-inputs 4.3 and 4.4; ctx->file is `file->path`
 */
TLC_MUST_USE tlc_status tlc_weights_apply(tlc_ctx *ctx, tlc_module *m, const tlc_file *file,
                                          tlc_import_info *info);
/* E_UNSUPPORTED if a parameter that the weights file did not serve is still in the module: call
 * it once a head has been replaced, or at once. */
TLC_MUST_USE tlc_status tlc_check_weights(tlc_ctx *ctx, const tlc_module *m,
                                          const tlc_import_info *info);

/* Is `s`, of a network's input, a picture's shape [n,h,w,3] (TensorFlow) rather than [n,3,h,w]? */
bool tlc_channels_last(const tlc_shape *s);

/* Another number of classes; another input: shapes are inferred again, and where a layer reads
 * another number of channels its weight is resized.  Both refuse to resize what has values. */
TLC_MUST_USE tlc_status tlc_set_classes(tlc_ctx *ctx, tlc_module *m, int64_t classes);
TLC_MUST_USE tlc_status tlc_set_input(tlc_ctx *ctx, tlc_module *m, const int64_t chw[3]);

/* Networks that are in the program: models/NAME.tir. */
/* NULL: none. */
const tlc_embedded *tlc_builtin_find(const char *name);
/* The name of a built-in network that was meant by `typed`; NULL: none. */
const char *tlc_builtin_suggest(tlc_ctx *ctx, const char *typed);
/* The i-th name, in byte order; NULL behind the last. */
const char *tlc_builtin_name(tlc_ctx *ctx, size_t i);
#endif
