/* sum_to.c: undo a broadcast: the gradient by an operand that was repeated is the sum over its
 * repetitions, the batch among them.
 *
 * `shape` broadcasts to x's; axes are matched from the last, those that `shape` lacks or has as
 * 1 are summed over.
 */
#include "op_attrs.h"
#include "op_infer.h"

static const tlc_attr_def attrs[] = {
    TLC_ATTR_INTS_ROW(tlc_reshape_attrs, shape, TLC_DIM_N, TLC_ATTR_MOST, -1, NULL),
    TLC_ATTR_END
};

static tlc_status infer(tlc_ctx *ctx, tlc_node *n)
{
    const tlc_ints *to = &TLC_ATTRS(n, tlc_reshape_attrs)->shape;
    const tlc_shape *x = &n->in[0]->shape;
    TLC_TRY(tlc_want_float(ctx, n->in[0], "x"));
    bool fits = to->n <= x->rank;
    for (int i = 0; fits && i < to->n; ++i)
        fits = to->v[i] == 1 || to->v[i] == x->dim[x->rank - to->n + i];
    if (!fits)
        return tlc_fail(ctx, TLC_E_MALFORMED, "E_SHAPE", "shape of %d axes does not broadcast to %s",
                        to->n, tlc_dims_text(ctx, x));
    tlc_set_result(n, n->in[0]->type, tlc_shape_make(to->n, to->v));
    return TLC_OK;
}

const tlc_op_def tlc_op_sum_to = {
    .attrs = attrs,
    .attrs_size = sizeof(tlc_reshape_attrs),
    .infer = infer,
};
