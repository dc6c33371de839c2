/* relayout.c: the same tensor in another physical layout.  The pass that adds one sets the
 * result's layout; infer knows the logical side alone.
 */
#include "op_infer.h"

const tlc_op_def tlc_op_relayout = { .infer = tlc_infer_same_float };
