/* tlb_npy.h: arrays in NumPy's .npy format, versions 1 to 3, little-endian, C order.
 * https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html */
#ifndef TLB_NPY_H
#define TLB_NPY_H

#include "tlb_file.h"

typedef enum tlb_npy_type {
    TLB_NPY_F4,
    TLB_NPY_F8,
    TLB_NPY_U1,
    TLB_NPY_I4,
    TLB_NPY_I8,
    TLB_NPY_I1
} tlb_npy_type;
typedef struct tlb_npy {
    tlb_npy_type type;
    int rank;
    int64_t dim[8];
    int64_t elems;
    const void *data; /* 16-byte aligned or better when from a version 1 file of NumPy */
} tlb_npy;

/* Read the header in bytes[n]; *out views the data.  *what: static text of what is wrong. */
tlb_status tlb_npy_parse(const void *bytes, size_t n, tlb_npy *out, const char **what);
/* Header bytes for an array into buf (128 or 192 bytes); returns their number. */
size_t tlb_npy_header(char buf[256], tlb_npy_type type, int rank, const int64_t *dim);
int tlb_npy_type_bytes(tlb_npy_type t);
#endif
