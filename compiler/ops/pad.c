/* pad.c: a constant border around each axis; `pads` are all begins, then all ends.  The gradient
 * by x is the slice inside the border. */
#include "op_attrs.h"
#include "op_grad.h"
#include "op_infer.h"

static const tlc_attr_def attrs[] = {
    TLC_ATTR_INTS_ROW(tlc_pad_attrs, pads, 0, TLC_ATTR_MOST, -1, NULL),
    TLC_ATTR_FLOAT_ROW(tlc_pad_attrs, value, -HUGE_VAL, HUGE_VAL, "0"),
    TLC_ATTR_END
};

static tlc_status infer(tlc_ctx *ctx, tlc_node *n)
{
    const tlc_ints *pads = &TLC_ATTRS(n, tlc_pad_attrs)->pads;
    tlc_shape s = n->in[0]->shape;
    TLC_TRY(tlc_want_float(ctx, n->in[0], "x"));
    if (pads->n != 2 * s.rank)
        return tlc_fail(ctx, TLC_E_MALFORMED, "E_ATTR", "pads has %d numbers, %d wanted", pads->n,
                        2 * s.rank);
    for (int i = 0; i < s.rank; ++i) {
        int64_t more = pads->v[i] + pads->v[s.rank + i];
        if (s.dim[i] == TLC_DIM_N && more != 0)
            return tlc_fail_batch(ctx, "pads of axis 0 would add pictures to");
        s.dim[i] += more; /* both within 32 bits: no overflow */
    }
    tlc_set_result(n, n->in[0]->type, s);
    return TLC_OK;
}

static tlc_status backward(tlc_grad *g, const tlc_node *n)
{
    const tlc_ints *pads = &TLC_ATTRS(n, tlc_pad_attrs)->pads;
    const tlc_shape *x = &n->in[0]->shape;
    tlc_value *dy = tlc_grad_of_result(g, n);
    tlc_slice_attrs a = { .starts.n = x->rank, .ends.n = x->rank, .steps.n = x->rank };
    for (int i = 0; i < x->rank; ++i) {
        a.starts.v[i] = pads->v[i];
        a.ends.v[i] = x->dim[i] == TLC_DIM_N ? TLC_DIM_N : pads->v[i] + x->dim[i];
        a.steps.v[i] = 1;
    }
    return tlc_grad_add(g, n->in[0], TLC_OP_SLICE, &a, &dy, 1);
}

const tlc_op_def tlc_op_pad = {
    .attrs = attrs,
    .attrs_size = sizeof(tlc_pad_attrs),
    .infer = infer,
    .backward = backward,
};
