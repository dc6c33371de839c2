/* tlk.h: what every kernel shares: the work item, planes, layouts, the step's numbers.
 *
 * A kernel K is two static inline functions and one struct of literals:
 *
 *     typedef struct tlk_K { ... } tlk_K;                  shape: every field a constant in emitted code
 *     int64_t tlk_K_items(const tlk_K *s, int64_t n);      how many work items for n pictures
 *     void    tlk_K_item(const tlk_K *s, int64_t item, int64_t n, OPERANDS..., RESULTS...);
 *
 * Operands and results are pointers in the order of the IR operator's row; an absent
 * operand is NULL, so the compiler drops its code.  Kernels that need scratch take
 * `void *scratch` after n, those that need seed or rates `const tlk_step *step` after that.
 * The emitted call passes a compound literal, so that each layer is specialised.
 *
 * Items are independent and write disjoint memory: any thread may run any item in any
 * order and the bits are the same.  Their number follows from the shape and n alone,
 * and a picture's values do not depend on n.
 *
 * Batch values are [n] pictures, one after another; layouts as in compiler/ir/graph.h.
 * Kernels include nothing but libc and these headers; OpenBLAS where `--blas openblas` asks for it.
 */
#ifndef TLK_H
#define TLK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    TLK_BLOCK = 16,     /* channels in a block of the blocked layouts */
    TLK_TILE_BLOCKS = 4 /* of them, those that a microkernel makes at once on the widest registers */
};

/* One channel plane as stored: h x w values and a halo of zeros around them. */
typedef struct tlk_plane {
    int h, w;
    int top, left, bottom, right;
} tlk_plane;

static inline int tlk_plane_rows(tlk_plane p) { return p.top + p.h + p.bottom; }
static inline int tlk_plane_cols(tlk_plane p) { return p.left + p.w + p.right; }
static inline int64_t tlk_plane_elems(tlk_plane p) { return (int64_t)tlk_plane_rows(p) * tlk_plane_cols(p); }

/* Activation that rides on a kernel. */
typedef enum tlk_act { TLK_ACT_NONE, TLK_ACT_RELU, TLK_ACT_CLIP } tlk_act;

/* Numbers of one training step; rates are values of the run, not of the compiled code. */
typedef struct tlk_step {
    uint64_t seed;
    int64_t epoch;      /* from 0 */
    int64_t position;   /* of the batch's first sample in the epoch, from 0 */
    int64_t t;          /* update of this group of parameters, from 1; 0: it has none in this step */
    int64_t batch;      /* in the step, from 0: gradients that are kept add up over them */
    const double *class_weights; /* one a class; NULL: all 1 */
    double divisor;     /* of the loss's gradient: weights of the step's pictures; 0: the batch's */
    double lr;
    double weight_decay;
    double momentum, dampening;  /* SGD */
    double beta1, beta2, epsilon; /* Adam */
} tlk_step;

/* Groups of parameters with numbers of their own: a step is an array of as many. */
enum { TLK_GROUP_HEAD, TLK_GROUP_BACKBONE, TLK_GROUPS };

/* Position of an item in a list of `inner` fastest. */
static inline int64_t tlk_div_up(int64_t a, int64_t b) { return (a + b - 1) / b; }
static inline int tlk_blocks(int channels) { return (channels + TLK_BLOCK - 1) / TLK_BLOCK; }

#endif
