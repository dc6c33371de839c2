/* tlk_ref.h: what the reference kernels share.
 *
 * They are the formulas, one file an operator family, forward beside backward, never optimised:
 * plain layouts, sums in double, one rounding to the element type at the end.  The tuned
 * kernels are tested against them, and target `ref` runs them.
 *
 * TLK_REAL is the element type, float unless the build says double (--precision fp64).
 * `batch` in a kernel's literals is the number of pictures, 0 for the run's n.
 */
#ifndef TLK_REF_H
#define TLK_REF_H

#include "tlk.h"

#include <math.h>

#ifndef TLK_REAL
#define TLK_REAL float
#endif
typedef TLK_REAL tlk_real;

enum { TLK_REF_RANK = 8 };

static inline int64_t tlk_ref_pictures(int64_t batch, int64_t n)
{
    return batch ? batch : n;
}

/* NaN passes through both, as in PyTorch. */
static inline tlk_real tlk_ref_activate(tlk_act act, double lo, double hi, tlk_real v)
{
    if (act == TLK_ACT_RELU)
        return v < 0 ? 0 : v;
    if (act == TLK_ACT_CLIP)
        return v < (tlk_real)lo ? (tlk_real)lo : v > (tlk_real)hi ? (tlk_real)hi : v;
    return v;
}

/* Offset of flat row-major index `i` over dim[rank] in an array of other strides. */
static inline int64_t tlk_ref_offset(int64_t i, int rank, const int64_t *dim,
                                     const int64_t *stride)
{
    int64_t at = 0;
    for (int k = rank - 1; k >= 0; --k) {
        at += i % dim[k] * stride[k];
        i /= dim[k];
    }
    return at;
}

static inline int64_t tlk_ref_product(int rank, const int64_t *dim)
{
    int64_t product = 1;
    for (int k = 0; k < rank; ++k)
        product *= dim[k];
    return product;
}

/* a * b + c with one rounding in the element type. */
static inline tlk_real tlk_ref_fma(tlk_real a, tlk_real b, tlk_real c)
{
    return sizeof(tlk_real) == sizeof(float) ? (tlk_real)fmaf((float)a, (float)b, (float)c)
                                             : (tlk_real)fma(a, b, c);
}

#endif
