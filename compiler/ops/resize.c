/* resize.c: planes of another size, and the gradient, which gives every element of x the sum of
 * what it weighed in.
 *
 * ONNX's ways to find a position (half pixel, align corners ...) are all a step and an offset
 * along an axis, so these are what the operator has.  A position is any number: what lies beyond
 * the border is the border's element.
 */
#include "op_attrs.h"
#include "op_grad.h"
#include "op_infer.h"

#include <inttypes.h>

static const char *const modes[] = { "half_down", "half_up", "floor", "ceil", "linear", "cubic" };

/* Positions stay far inside an int64_t: sizes are below 2^31. */
#define STEP_MOST TLC_ATTR_MOST

#define RESIZE_ROWS                                                                      \
    TLC_ATTR_INTS_ROW(tlc_resize_attrs, size, 1, TLC_ATTR_MOST, 2, NULL),                \
    TLC_ATTR_FLOAT_ROW(tlc_resize_attrs, step_h, 0, STEP_MOST, NULL),                    \
    TLC_ATTR_FLOAT_ROW(tlc_resize_attrs, offset_h, -STEP_MOST, STEP_MOST, "0"),          \
    TLC_ATTR_FLOAT_ROW(tlc_resize_attrs, step_w, 0, STEP_MOST, NULL),                    \
    TLC_ATTR_FLOAT_ROW(tlc_resize_attrs, offset_w, -STEP_MOST, STEP_MOST, "0"),          \
    TLC_ATTR_WORD_ROW(tlc_resize_attrs, mode, TLC_RESAMPLE_CUBIC, modes, "linear"),      \
    TLC_ATTR_FLOAT_ROW(tlc_resize_attrs, cubic, -HUGE_VAL, HUGE_VAL, "-0.75"),           \
    TLC_ATTR_BOOL_ROW(tlc_resize_attrs, inside, "false")

static const tlc_attr_def attrs[] = { RESIZE_ROWS, TLC_ATTR_END };
/* resize's struct comes first in the gradient's, so its rows serve. */
static const tlc_attr_def grad_attrs[] = {
    RESIZE_ROWS,
    TLC_ATTR_INTS_ROW(tlc_resize_grad_attrs, from, 1, TLC_ATTR_MOST, 2, NULL),
    TLC_ATTR_END
};

static tlc_status infer(tlc_ctx *ctx, tlc_node *n)
{
    const tlc_resize_attrs *a = n->attrs;
    tlc_shape s = n->in[0]->shape;
    TLC_TRY(tlc_want_float(ctx, n->in[0], "x"));
    TLC_TRY(tlc_want_rank(ctx, n->in[0], 4, "x"));
    s.dim[2] = a->size.v[0];
    s.dim[3] = a->size.v[1];
    tlc_set_result(n, n->in[0]->type, s);
    return TLC_OK;
}

static tlc_status backward(tlc_grad *g, const tlc_node *n)
{
    const int64_t *x = n->in[0]->shape.dim;
    tlc_value *dy = tlc_grad_of_result(g, n);
    tlc_resize_grad_attrs a = {
        .resize = *TLC_ATTRS(n, tlc_resize_attrs),
        .from = { .n = 2, .v = { x[2], x[3] } },
    };
    return tlc_grad_add(g, n->in[0], TLC_OP_RESIZE_GRAD, &a, &dy, 1);
}

const tlc_op_def tlc_op_resize = {
    .attrs = attrs,
    .attrs_size = sizeof(tlc_resize_attrs),
    .infer = infer,
    .backward = backward,
};

static tlc_status infer_grad(tlc_ctx *ctx, tlc_node *n)
{
    const tlc_resize_grad_attrs *a = n->attrs;
    TLC_TRY(tlc_want_float(ctx, n->in[0], "dy"));
    TLC_TRY(tlc_want_rank(ctx, n->in[0], 4, "dy"));
    tlc_shape s = n->in[0]->shape, want = s;
    for (int i = 0; i < 2; ++i) {
        want.dim[2 + i] = a->resize.size.v[i];
        s.dim[2 + i] = a->from.v[i];
    }
    TLC_TRY(tlc_want_shape(ctx, n->in[0], &want, "dy"));
    tlc_set_result(n, n->in[0]->type, s);
    return TLC_OK;
}

const tlc_op_def tlc_op_resize_grad = {
    .attrs = grad_attrs,
    .attrs_size = sizeof(tlc_resize_grad_attrs),
    .infer = infer_grad,
};
