/* concat.c: operands one after another along an axis; alike along every other. */
#include "op_attrs.h"
#include "op_fold.h"
#include "op_grad.h"
#include "op_infer.h"

static const tlc_attr_def attrs[] = {
    TLC_ATTR_INT_ROW(tlc_axis_attrs, axis, 0, TLC_MAX_RANK - 1, NULL),
    TLC_ATTR_END
};

/* Add the extent of `v` along `axis` to *sum, which otherwise has the shape of `v`. */
static tlc_status join(tlc_ctx *ctx, const tlc_value *v, int axis, tlc_shape *sum)
{
    tlc_shape other = v->shape;
    int64_t extent = axis < other.rank ? other.dim[axis] : 0;
    if (other.rank == sum->rank)
        other.dim[axis] = sum->dim[axis];
    if (!tlc_shape_equal(&other, sum))
        return tlc_fail(ctx, TLC_E_MALFORMED, "E_SHAPE",
                        "shape %s does not join %s along axis %d", tlc_dims_text(ctx, &v->shape),
                        tlc_dims_text(ctx, sum), axis);
    if (__builtin_add_overflow(sum->dim[axis], extent, &sum->dim[axis]))
        return tlc_fail(ctx, TLC_E_MALFORMED, "E_OVERFLOW", "concat: size overflows");
    return TLC_OK;
}

static tlc_status infer(tlc_ctx *ctx, tlc_node *n)
{
    int axis = (int)TLC_ATTRS(n, tlc_axis_attrs)->axis;
    tlc_shape y = n->in[0]->shape;
    TLC_TRY(tlc_want_axis(ctx, axis, y.rank - 1));
    if (axis == 0 && tlc_shape_has_n(&y))
        return tlc_fail_batch(ctx, "concat along axis 0 would lengthen");
    for (int i = 1; i < n->n_in; ++i) {
        if (!n->in[i])
            return tlc_fail(ctx, TLC_E_MALFORMED, "E_OPERANDS", "operand %d of concat is absent",
                            i);
        TLC_TRY(tlc_want_type(ctx, n->in[i], n->in[0]->type, "operand"));
        TLC_TRY(join(ctx, n->in[i], axis, &y));
    }
    tlc_set_result(n, n->in[0]->type, y);
    return TLC_OK;
}

/* Copy `v` to its place: rows of `row` elements, `pitch` apart in the result. */
static void place(const tlc_folded *f, const tlc_value *v, int64_t at, int64_t row, int64_t pitch)
{
    int64_t elems = tlc_shape_elems(&v->shape);
    for (int64_t i = 0; i < elems; ++i)
        tlc_fold_copy(f, i / row * pitch + at + i % row, v, i);
}

static tlc_status fold(tlc_ctx *ctx, const tlc_node *n, tlc_value **out)
{
    int axis = (int)TLC_ATTRS(n, tlc_axis_attrs)->axis;
    const tlc_shape *y = &n->out[0]->shape;
    int64_t inner = 1, at = 0;
    tlc_folded f;
    TLC_TRY(tlc_fold_begin(ctx, n, &f));
    for (int i = axis + 1; i < y->rank; ++i)
        inner *= y->dim[i];
    for (int i = 0; i < n->n_in; ++i) {
        int64_t row = n->in[i]->shape.dim[axis] * inner;
        place(&f, n->in[i], at, row, y->dim[axis] * inner);
        at += row;
    }
    *out = tlc_fold_end(&f);
    return TLC_OK;
}

/* Each operand gets its slice of dy. */
static tlc_status backward(tlc_grad *g, const tlc_node *n)
{
    int axis = (int)TLC_ATTRS(n, tlc_axis_attrs)->axis;
    tlc_value *dy = tlc_grad_of_result(g, n);
    int64_t at = 0;
    for (int k = 0; k < n->n_in; ++k) {
        const tlc_shape *x = &n->in[k]->shape;
        tlc_slice_attrs a = { .starts.n = x->rank, .ends.n = x->rank, .steps.n = x->rank };
        for (int i = 0; i < x->rank; ++i) {
            a.ends.v[i] = x->dim[i];
            a.steps.v[i] = 1;
        }
        a.starts.v[axis] = at;
        at += x->dim[axis];
        a.ends.v[axis] = at;
        TLC_TRY(tlc_grad_add(g, n->in[k], TLC_OP_SLICE, &a, &dy, 1));
    }
    return TLC_OK;
}

const tlc_op_def tlc_op_concat = {
    .attrs = attrs,
    .attrs_size = sizeof(tlc_axis_attrs),
    .infer = infer,
    .fold = fold,
    .backward = backward,
};
