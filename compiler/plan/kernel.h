/* kernel.h: rows that say which kernel serves an operator, and how its call is written.
 *
 * Choosing is a search over the rows of kernels/kernels.def for the target, in order: the first
 * that serves wins; `ref` rows end every list, so that nothing is unserved.  Choice goes by the
 * layer's shape, never by the batch.
 *
 * The kernel's C code is in kernels/ (tlk.h has the calling convention).  The emitted call is
 *
 *     tlk_K_item(&S, item, f->n, [scratch,] [f->step,] operands..., results...);
 *
 * with S a compound literal of `struct tlk_K` that `literal` writes.
 */
#ifndef TLC_KERNEL_H
#define TLC_KERNEL_H

#include "cwriter.h"
#include "op.h"
#include "options.h"

enum { /* flags of a row */
    TLC_K_SCRATCH = 1 << 0, /* takes scratch */
    TLC_K_STEP = 1 << 1,    /* takes the step's numbers: seed, position, rates */
    TLC_K_OPENBLAS = 1 << 2, /* calls OpenBLAS: a row for `--blas openblas` alone */
    TLC_K_TF32 = 1 << 3,    /* rounds operands: a row for `--precision tf32` alone */
    TLC_K_BF16 = 1 << 4     /* the same, bf16 */
};

/* Blocks of threads on a device: along x (a_picture * n + fixed) / per_block, rounded up. */
typedef struct tlc_launch {
    int64_t a_picture, fixed, per_block, y, z;
} tlc_launch;

typedef struct tlc_kernel {
    const char *name;    /* K of tlk_K: "conv2d_direct" */
    const char *report;  /* "direct 16x6": what the compile report calls it */
    const char *header;  /* under kernels/: "cpu/tlk_conv2d_direct.h"; copied into the output */
    tlc_op op;
    tlc_target target;
    unsigned flags;
    /* Does it serve this node (operands' shapes, attributes)? */
    bool (*serves)(const tlc_node *n);
    /* Layouts it wants: in[i] for each operand, out[i] for each result; halos are what it needs at
     * least.  Given are kinds: of operands as they lie, of results as a reader wishes them; plain
     * where that is not known. */
    void (*layouts)(const tlc_node *n, tlc_layout *in, tlc_layout *out);
    /* Fields of the struct literal: "{ .ic = 64, .oc = 64, ... }". */
    void (*literal)(tlc_cwriter *w, const tlc_node *n);
    int64_t (*scratch_bytes)(const tlc_node *n); /* for each worker; NULL: none */
    tlc_launch (*launch)(const tlc_node *n);     /* target cuda; NULL elsewhere */
} tlc_kernel;

/* What kernels_<target>.c defines for each row, as `const tlc_kernel_fns tlc_kernel_fns_<name>`;
 * the members mean what those of tlc_kernel mean. */
typedef struct tlc_kernel_fns {
    bool (*serves)(const tlc_node *n);
    void (*layouts)(const tlc_node *n, tlc_layout *in, tlc_layout *out);
    void (*literal)(tlc_cwriter *w, const tlc_node *n);
    int64_t (*scratch_bytes)(const tlc_node *n);
    tlc_launch (*launch)(const tlc_node *n);
} tlc_kernel_fns;

/* A view whose operand and result are plain: the result is the operand's bytes, no code runs. */
bool tlc_kernel_is_alias(const tlc_node *n);

/* The kernel for `n` as the options ask (target, precision, blas); never NULL for a module that
 * passed fuse (ref serves all); NULL for a view in plain layout, which has no code. */
const tlc_kernel *tlc_kernel_choose(const tlc_node *n, const tlc_options *o);

#endif
