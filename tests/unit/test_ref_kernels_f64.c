/* The reference kernels built for double (--precision fp64), by the same tests. */
#define TLK_REAL double
#include "test_ref_kernels.c"
