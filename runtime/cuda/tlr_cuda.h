/* tlr_cuda.h: compiled networks on a CUDA device.
 *
 * The driver (libcuda) and the compiler of kernels (NVRTC) are opened by name when a program
 * starts, so that what is built here links neither and runs, to the point of saying what is
 * missing, on a machine without them.  Kernels that nvcc compiled beforehand are loaded as they
 * are; else they are compiled for the device found, and the result is kept in a cache under
 * $XDG_CACHE_HOME/tlc (~/.cache/tlc), by source, options, device and NVRTC.
 *
 * A session's block and the constants are managed memory: one address on host and device, and
 * the driver moves the pages.  A function's launches are queued in order, from its second run on
 * the same memory on as one CUDA graph, then waited for; after that the host may read results
 * where they lie.
 */
#ifndef TLR_CUDA_H
#define TLR_CUDA_H

#include "tlr_model.h"

/* Part of the device's source: model.cu first, then the headers it includes, by base name. */
typedef struct tlr_cuda_file {
    const char *name, *text;
} tlr_cuda_file;

/* One kernel's launch.  Blocks along x: (a_picture * n + fixed) / per_block, rounded up. */
typedef struct tlr_cuda_launch {
    const char *kernel;
    int64_t a_picture, fixed, per_block;
    unsigned y, z;      /* blocks along y and z */
    bool backbone;      /* only in steps that train the backbone */
    void *function;     /* found by open */
} tlr_cuda_launch;

typedef struct tlr_cuda_table {
    tlr_cuda_launch *launches;
    int n;
    const tlr_func *io; /* what the host writes before and reads after; NULL: nothing */
} tlr_cuda_table;

/* All that a function's launches depend on. */
typedef struct tlr_cuda_run_key {
    const tlr_cuda_table *table;
    int64_t n;
    const char *consts;
    char *vars, *act, *fix;
    bool trains, backbone;
} tlr_cuda_run_key;

typedef struct tlr_cuda_graph {
    tlr_cuda_run_key key;
    int64_t runs;       /* of this key; 0: the place is free */
    int64_t used;       /* when last, by the program's runs */
    void *exec;         /* NULL: none yet, or refused */
} tlr_cuda_graph;

enum { TLR_CUDA_MAX_TABLES = 5, TLR_CUDA_TROUBLE = 400, TLR_CUDA_GRAPHS = 16 };

/* What model.c holds: source, launches of each function; the rest is filled by open. */
typedef struct tlr_cuda_program {
    const tlr_cuda_file *files;
    int n_files;
    const void *fatbin;               /* what nvcc made of it (make CUDA=1); NULL: nothing */
    tlr_cuda_table tables[TLR_CUDA_MAX_TABLES];
    int n_tables;
    int n_classes;
    int needs;                        /* the least compute capability, 80: 8.0; 0: any served */
    const char *because;              /* what wants it */
    int opened;
    void *module, *stream;
    uint64_t numbers;                 /* where kernels find a step's, on the device */
    tlr_cuda_graph graphs[TLR_CUDA_GRAPHS];
    int64_t runs;
    int from_cache;                   /* the kernels were not compiled anew */
    char device[160];                 /* its name and what it can do, for reports */
    char trouble[TLR_CUDA_TROUBLE];   /* "": none */
} tlr_cuda_program;

extern const tlr_device tlr_cuda_device;

/* Run the launches in order and wait for them; calls of several threads take turns.  After a
 * failure nothing runs any more, and the device's `trouble` says why. */
void tlr_cuda_run(tlr_cuda_program *p, const tlr_frame *f, const tlr_cuda_table *table);

#endif
