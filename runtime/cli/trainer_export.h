/* trainer_export.h: what the exports of `trainer` share. */
#ifndef TRAINER_EXPORT_H
#define TRAINER_EXPORT_H

#include "trainer_cli.h"

/* --- trainer_export.c --------------------------------------------------------------------- */

tlb_status trainer_cannot_write(const tlb_args *a, const char *path, int error);
/* preprocess.json: classes, input, channel order, resize, crop, mean, std; NULL: out of memory. */
json_t *trainer_describe(const trainer_run *run);

/* --- trainer_graph.c: export.json and export.bin ------------------------------------------ */

typedef struct trainer_elem { /* an element type of the files that are written */
    const char *name;         /* safetensors': "F32" */
    int64_t bytes;
    int onnx;                 /* TensorProto.DataType */
} trainer_elem;

typedef struct trainer_weight { /* of the graph, in logical row-major order */
    const char *name;
    const trainer_elem *elem;
    int rank;
    int64_t dim[TLR_MAX_RANK];
    uint64_t n_bytes;
    int tensor;               /* of the model; -1: `data` has the bytes */
    const unsigned char *data;
    bool splat;               /* one element that stands for all */
} trainer_weight;

typedef struct trainer_graph {
    int64_t opset;
    const unsigned char *bytes; /* a GraphProto without the weights */
    uint64_t n_bytes;
    trainer_weight *weights;
    size_t n_weights;
    json_t *json;
    tlb_map bin, *files;      /* files: those that were compiled, mapped where something is read */
    size_t n_files;
} trainer_graph;

/* Read the graph with batch norms, or with them folded.  Bytes that lie in a file that was
 * compiled are held against their checksums.
 * fails   E_INPUT, E_ORIGINAL  that file is missing, or another one
 *         E_EXPORT             export.json or export.bin is broken, or of another model
 *         E_UNSUPPORTED        the network has no form in ONNX */
tlb_status trainer_graph_open(trainer *t, bool folded, trainer_graph *out);
void trainer_graph_close(trainer_graph *g);
/* The weight's n_bytes; `params`: of the trainer that holds the run's. */
tlb_status trainer_weight_write(const trainer *t, const trainer_weight *w, const char *params,
                                tlb_out *o);

/* --- trainer_export_file.c ---------------------------------------------------------------- */

/* FILE.onnx or FILE.safetensors from the run whose best parameters are `params`. */
tlb_status trainer_export_file(trainer *t, const char *path, const trainer_run *run,
                               const char *params);
/* Before a run is read: is FILE of a kind that is written, and not there yet? */
tlb_status trainer_export_check(const trainer *t, const char *path);

#endif
