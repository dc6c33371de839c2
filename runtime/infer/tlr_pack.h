/* tlr_pack.h: where a logical element lies in memory; internal to the runtime. */
#ifndef TLR_PACK_H
#define TLR_PACK_H

#include "tlr_model.h"

/* One picture's value of a function (halo and blocks included) to row-major logical order.
 * `stored`: the value of all n pictures; `logical`: n times the elements of dim[1..]. */
void tlr_value_unpack(const tlr_value *v, int64_t n, const void *stored, void *logical);
int64_t tlr_value_elems(const tlr_value *v); /* of one picture */
#endif
