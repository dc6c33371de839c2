/* weights.h: trained weights from files that hold no network.
 *
 *   weights_import.c      which reader a file gets; tensors into a network by name
 *   pth.c                 PyTorch: state_dict, both containers
 *   pth_zip.c             the zip archive of PyTorch 1.6 and later
 *   pickle.c              the few opcodes that a state_dict needs
 *   safetensors_import.c  safetensors
 *
 * A tensor is a strided view of a storage, a storage is bytes of the mapped file.  Elements are
 * looked at only when a network asks for the tensor, so that what a file claims costs nothing.
 */
#ifndef TLC_WEIGHTS_H
#define TLC_WEIGHTS_H

#include "import.h"
#include "import_util.h"

/* An element type of a file. */
typedef struct tlc_elem {
    const char *name; /* "F16": safetensors' spelling */
    int bytes;
    bool is_float;    /* served: F64, F32, F16, BF16 */
} tlc_elem;
/* By name; NULL: none. */
const tlc_elem *tlc_elem_find(const char *name);

typedef struct tlc_storage {
    const tlc_elem *elem;
    const char *key;            /* of a .pth */
    int64_t n_elems;
    const unsigned char *bytes; /* perhaps unaligned; NULL: none */
} tlc_storage;

typedef struct tlc_weight {
    const char *name;
    const tlc_storage *storage;
    int rank;
    int64_t offset; /* in elements, as the strides */
    int64_t dim[TLC_MAX_RANK], stride[TLC_MAX_RANK];
} tlc_weight;

typedef struct tlc_weights {
    tlc_weight *tensors; /* in the file's order */
    size_t n, cap;
} tlc_weights;

/**
 * Read `file`, which stays mapped as long as the tensors are used.  Names lose the prefix
 * "module." of nn.DataParallel where all have it.
 * fails   as hostile-inputs 4.3 and 4.4; ctx->file is `file->path`, WHERE the entry or offset.
 */
TLC_MUST_USE tlc_status tlc_weights_read(tlc_ctx *ctx, const tlc_file *file, tlc_weights *out);

/* The elements of `w` in row-major order as `type`, which is F32 or F64: a view of the file
 * where that serves, else a copy in the arena.  NULL: the file's type is no float. */
const void *tlc_weight_data(tlc_ctx *ctx, const tlc_weight *w, tlc_type type);

/* --- readers ------------------------------------------------------------- */

TLC_MUST_USE tlc_status tlc_read_pth_zip(tlc_ctx *ctx, const tlc_file *file, tlc_weights *out);
TLC_MUST_USE tlc_status tlc_read_pth_old(tlc_ctx *ctx, const tlc_file *file, tlc_weights *out);
TLC_MUST_USE tlc_status tlc_read_safetensors(tlc_ctx *ctx, const tlc_file *file,
                                             tlc_weights *out);
/* The first bytes of PyTorch's format before 1.6? */
bool tlc_begins_as_old_pth(const tlc_file *file);

/* Checks that every reader makes of a tensor's shape: claims first, then limits.
 * fails   E_MALFORMED dimension, size overflows; E_LIMIT */
TLC_MUST_USE tlc_status tlc_weight_check(tlc_ctx *ctx, const tlc_weight *w);
/* Strides of a tensor without gaps. */
void tlc_weight_set_contiguous(tlc_weight *w);

#endif
