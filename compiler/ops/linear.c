/* linear.c: the fully connected layer and the operators of its backward pass.
 *
 *     y = x w^T + b        x [n,in], w [out,in], b [out], y [n,out]
 *     dx = dy w            linear_grad_x
 *     dw = dy^T x          linear_grad_w, summed over the batch
 *     db = sum of dy       bias_grad, of a convolution's too
 */
#include "op_attrs.h"
#include "op_grad.h"
#include "op_infer.h"

#include <inttypes.h>

static const tlc_attr_def attrs[] = {
    TLC_ATTR_ACT_ROW(tlc_linear_attrs, act),
    TLC_ATTR_FLOAT_ROW(tlc_linear_attrs, lo, -HUGE_VAL, HUGE_VAL, "-inf"),
    TLC_ATTR_FLOAT_ROW(tlc_linear_attrs, hi, -HUGE_VAL, HUGE_VAL, "inf"),
    TLC_ATTR_END
};

/* Two matrices of one type; `a_axis` of a and `b_axis` of b are summed over or shared. */
static tlc_status check_pair(tlc_ctx *ctx, const tlc_node *n, const char *a_name, int a_axis,
                             const char *b_name, int b_axis)
{
    const tlc_value *a = n->in[0], *b = n->in[1];
    TLC_TRY(tlc_want_matrix(ctx, a, a_name));
    TLC_TRY(tlc_want_matrix(ctx, b, b_name));
    TLC_TRY(tlc_want_type(ctx, b, a->type, b_name));
    if (a->shape.dim[a_axis] == b->shape.dim[b_axis])
        return TLC_OK;
    return tlc_fail(ctx, TLC_E_MALFORMED, "E_SHAPE", "shapes %s of %s and %s of %s do not fit",
                    tlc_dims_text(ctx, &a->shape), a_name, tlc_dims_text(ctx, &b->shape), b_name);
}

static tlc_status infer(tlc_ctx *ctx, tlc_node *n)
{
    const tlc_linear_attrs *a = n->attrs;
    const tlc_value *x = n->in[0], *w = n->in[1], *b = n->n_in > 2 ? n->in[2] : NULL;
    TLC_TRY(check_pair(ctx, n, "x", 1, "w", 1));
    TLC_TRY(tlc_want_fixed(ctx, w, "w"));
    TLC_TRY(tlc_want_bounds(ctx, a->lo, a->hi));
    if (b)
        TLC_TRY(tlc_want_vector(ctx, b, x->type, w->shape.dim[0], "b"));
    tlc_set_result(n, x->type, tlc_shape2(x->shape.dim[0], w->shape.dim[0]));
    return TLC_OK;
}

static int64_t cost(const tlc_node *n)
{
    return tlc_shape_elems(&n->out[0]->shape) * n->in[0]->shape.dim[1];
}

static tlc_status backward(tlc_grad *g, const tlc_node *n)
{
    tlc_value *x = n->in[0], *w = n->in[1], *b = n->n_in > 2 ? n->in[2] : NULL;
    tlc_value *dy = tlc_grad_of_result(g, n);
    if (TLC_ATTRS(n, tlc_linear_attrs)->act != TLC_ACT_NONE)
        return tlc_fail(g->ctx, TLC_E_UNSUPPORTED, "E_GRADIENT",
                        "a linear with a fused activation has no gradient; differentiate first");
    TLC_TRY(tlc_grad_add(g, x, TLC_OP_LINEAR_GRAD_X, NULL, (tlc_value *[]){ dy, w }, 2));
    TLC_TRY(tlc_grad_add(g, w, TLC_OP_LINEAR_GRAD_W, NULL, (tlc_value *[]){ dy, x }, 2));
    return tlc_grad_add(g, b, TLC_OP_BIAS_GRAD, NULL, &dy, 1);
}

const tlc_op_def tlc_op_linear = {
    .attrs = attrs,
    .attrs_size = sizeof(tlc_linear_attrs),
    .infer = infer,
    .backward = backward,
    .cost = cost,
};

static tlc_status infer_grad_x(tlc_ctx *ctx, tlc_node *n)
{
    const tlc_value *dy = n->in[0], *w = n->in[1];
    TLC_TRY(check_pair(ctx, n, "dy", 1, "w", 0));
    TLC_TRY(tlc_want_fixed(ctx, w, "w"));
    tlc_set_result(n, dy->type, tlc_shape2(dy->shape.dim[0], w->shape.dim[1]));
    return TLC_OK;
}

static int64_t cost_grad_x(const tlc_node *n)
{
    return tlc_shape_elems(&n->out[0]->shape) * n->in[0]->shape.dim[1];
}

const tlc_op_def tlc_op_linear_grad_x = { .infer = infer_grad_x, .cost = cost_grad_x };

static tlc_status infer_grad_w(tlc_ctx *ctx, tlc_node *n)
{
    const tlc_value *dy = n->in[0], *x = n->in[1];
    TLC_TRY(check_pair(ctx, n, "dy", 0, "x", 0));
    tlc_set_result(n, dy->type, tlc_shape2(dy->shape.dim[1], x->shape.dim[1]));
    return TLC_OK;
}

static int64_t cost_grad_w(const tlc_node *n)
{
    return tlc_shape_elems(&n->in[0]->shape) * n->in[1]->shape.dim[1];
}

const tlc_op_def tlc_op_linear_grad_w = { .infer = infer_grad_w, .cost = cost_grad_w };

static tlc_status infer_bias_grad(tlc_ctx *ctx, tlc_node *n)
{
    const tlc_value *dy = n->in[0];
    if (dy->shape.rank == 4)
        TLC_TRY(tlc_want_float(ctx, dy, "dy"));
    else
        TLC_TRY(tlc_want_matrix(ctx, dy, "dy"));
    tlc_set_result(n, dy->type, tlc_shape_make(1, &dy->shape.dim[1]));
    return TLC_OK;
}

const tlc_op_def tlc_op_bias_grad = { .infer = infer_bias_grad };
