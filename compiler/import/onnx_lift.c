/* onnx_lift.c: operators over values whose batch is not in front (onnx_lift.h). */
#include "onnx_lift.h"

#include <inttypes.h>
#include <string.h>

bool tlc_onnx_is_lifted(const tlc_onnx *o, const tlc_value *v)
{
    return v && (size_t)v->id < o->cap_lift && o->lift[v->id].lifted;
}

bool tlc_onnx_reads_lifted(const tlc_onnx_node *n)
{
    for (int i = 0; i < n->n_in; ++i)
        if (tlc_onnx_is_lifted(n->o, n->in[i]))
            return true;
    return false;
}

bool tlc_onnx_can_lift(const tlc_onnx *o)
{
    return o->fixed_batch <= 1;
}

static void set_lift(tlc_onnx *o, const tlc_value *v, tlc_onnx_lift l)
{
    size_t id = (size_t)v->id;
    while (o->cap_lift <= id)
        o->lift =
            tlc_arena_grow(&o->ctx->arena, o->lift, o->cap_lift, &o->cap_lift, sizeof *o->lift);
    o->lift[id] = l;
}

/* The shape in the file where n is 1. */
static tlc_shape logical(const tlc_value *v)
{
    return tlc_shape_make(v->shape.rank - 1, v->shape.dim + 1);
}

static tlc_status fail_moved(const tlc_onnx_node *n)
{
    return tlc_onnx_unsupported(
        n, "%s over the batch, which is not in front here, is not supported", n->row->op);
}

/* --- views ----------------------------------------------------------------------- */

/* `v` as [n, s]. */
static tlc_status view(const tlc_onnx_node *n, tlc_value *v, const tlc_shape *s, tlc_value **out)
{
    if (s->rank + 1 > TLC_MAX_RANK)
        return tlc_over_limit(n->o->ctx, TLB_LIMIT_RANK, s->rank + 1);
    tlc_node *node = tlc_onnx_add(n, TLC_OP_RESHAPE, &v, 1);
    tlc_ints *to = &TLC_ATTRS(node, tlc_reshape_attrs)->shape;
    *to = (tlc_ints){ .n = s->rank + 1, .v = { TLC_DIM_N } };
    for (int i = 0; i < s->rank; ++i)
        to->v[i + 1] = s->dim[i];
    return tlc_onnx_step(n, node, out);
}

static tlc_status lift(const tlc_onnx_node *n, tlc_value **io)
{
    tlc_shape s = (*io)->shape;
    int axis = n->o->fixed_batch ? -1 : 0;
    s.dim[0] = 1;
    TLC_TRY(view(n, *io, &s, io));
    set_lift(n->o, *io, (tlc_onnx_lift){ true, axis, 1, 1 });
    return TLC_OK;
}

static bool has_batch(const tlc_value *v)
{
    return v && v->kind != TLC_CONST && tlc_shape_has_n(&v->shape);
}

/* The result: with the batch in front, alone, it is like any other. */
static tlc_status settle(const tlc_onnx_node *n, size_t i, tlc_onnx_lift l)
{
    const char *name = n->proto->output[i];
    tlc_value *v;
    if (!name[0])
        return TLC_OK;
    TLC_TRY(tlc_onnx_read(n->o, name, &v));
    if (!has_batch(v))
        return TLC_OK;
    tlc_shape s = logical(v);
    bool in_front = l.axis < 0 ? s.rank > 0 && s.dim[0] == 1
                               : l.axis == 0 && l.outer == 1 && l.inner == 1;
    if (!in_front) {
        set_lift(n->o, v, l);
        return TLC_OK;
    }
    s = tlc_shape_make(s.rank - 1, s.dim + 1);
    TLC_TRY(view(n, v, &s, &v));
    tlc_onnx_define(n, i, v);
    return TLC_OK;
}

/* --- elementwise ------------------------------------------------------------------ */

/* Operands in one rank, the batch in one place; constants match from the last axis. */
static tlc_status align(tlc_onnx_node *n)
{
    int rank = 0;
    bool known = false;
    for (int i = 0; i < n->n_in; ++i)
        if (has_batch(n->in[i]) && n->in[i]->shape.rank > rank)
            rank = n->in[i]->shape.rank;
    for (int i = 0; i < n->n_in; ++i) {
        tlc_value *v = n->in[i];
        if (v && !has_batch(v) && v->shape.rank >= rank)
            return tlc_onnx_unsupported(n, "%s with a constant of rank %d is not supported here, "
                                        "at most %d", n->row->op, v->shape.rank, rank - 1);
        if (!has_batch(v))
            continue;
        tlc_onnx_lift l = n->o->lift[v->id];
        int more = rank - v->shape.rank;
        tlc_shape s = { .rank = rank - 1 }, own = logical(v);
        for (int k = 0; k < s.rank; ++k)
            s.dim[k] = k < more ? 1 : own.dim[k - more];
        if (more)
            TLC_TRY(view(n, v, &s, &n->in[i]));
        if (l.axis >= 0)
            l.axis += more;
        if (known && (l.axis != n->lift.axis || l.outer != n->lift.outer ||
                      l.inner != n->lift.inner))
            return tlc_onnx_unsupported(n, "%s of values with the batch in different places is not"
                                           " supported", n->row->op);
        n->lift = l;
        known = true;
    }
    return TLC_OK;
}

static tlc_status map_elementwise(tlc_onnx_node *n)
{
    TLC_TRY(align(n));
    return n->row->map(n);
}

/* Operators with an axis or a list of them: tlc_onnx_axis and its kin move it behind n. */
static tlc_status map_along_axis(tlc_onnx_node *n)
{
    TLC_TRY(align(n));
    n->shifted = true;
    return n->row->map(n);
}

/* Over all axes from `axis` on: the batch must lie before. */
static tlc_status map_from_axis(tlc_onnx_node *n, int64_t fallback)
{
    int rank = n->in[0]->shape.rank - 1;
    int64_t axis;
    TLC_TRY(tlc_onnx_axis(n, fallback, rank, rank - 1, &axis));
    return n->lift.axis >= axis ? fail_moved(n) : map_along_axis(n);
}

static tlc_status map_layer_norm(tlc_onnx_node *n)
{
    return map_from_axis(n, -1);
}

/* Along an axis since opset 13. */
static tlc_status map_softmax(tlc_onnx_node *n)
{
    return n->o->opset < 13 ? map_from_axis(n, 1) : map_along_axis(n);
}

/* --- shapes ----------------------------------------------------------------------- */

static tlc_status finish_view(const tlc_onnx_node *n, const tlc_shape *s)
{
    tlc_value *v;
    TLC_TRY(view(n, n->in[0], s, &v));
    tlc_onnx_define(n, 0, v);
    return TLC_OK;
}

/* A Reshape's numbers, n as 1; *batch is the dimension that has it, *open that of -1, else -1. */
static bool read_target(const tlc_shape *own, const tlc_onnx_lift *l, bool allow_zero, tlc_ints *to,
                        int *batch, int *open)
{
    *batch = *open = -1;
    for (int i = 0; i < to->n; ++i) {
        int64_t times = tlc_dim_multiple(to->v[i]);
        bool copied = to->v[i] == 0 && !allow_zero && i < own->rank;
        if (copied)
            to->v[i] = own->dim[i];
        if (times)
            to->v[i] = times;
        if (times || (copied && i == l->axis)) {
            if (*batch >= 0 && l->axis >= 0)
                return false;
            *batch = i;
        }
        if (to->v[i] == -1 && *open < 0)
            *open = i;
        else if (to->v[i] < 1)
            return false;
    }
    return true;
}

/* -1 becomes what is left; false: no whole number is. */
static bool fill_open(tlc_ints *to, int open, int64_t elems)
{
    int64_t rest = 1;
    for (int i = 0; i < to->n; ++i)
        if (i != open && __builtin_mul_overflow(rest, to->v[i], &rest))
            return false;
    if (open < 0)
        return rest == elems;
    to->v[open] = elems / rest;
    return elems % rest == 0;
}

static int64_t product_before(const int64_t *dim, int axis)
{
    int64_t product = 1;
    for (int i = 0; i < axis; ++i)
        product *= dim[i];
    return product;
}

/* In the order of elements the batch stays where it is: as many of a picture before it. */
static bool place_batch(tlc_onnx_lift *l, const tlc_shape *own, const tlc_ints *to, int batch)
{
    int64_t before = product_before(own->dim, l->axis) * l->outer;
    int64_t passed = product_before(to->v, batch);
    if (before % passed || to->v[batch] % (before / passed))
        return false;
    *l = (tlc_onnx_lift){ true, batch, before / passed, to->v[batch] / (before / passed) };
    return true;
}

/* A value of shape `own` to `to`, whose numbers are filled in; false: that parts or mixes
 * pictures. */
static bool reshape(const tlc_shape *own, bool allow_zero, tlc_onnx_lift *l, tlc_ints *to)
{
    int batch, open;
    if (!read_target(own, l, allow_zero, to, &batch, &open) ||
        !fill_open(to, open, tlc_shape_elems(own)))
        return false;
    batch = batch < 0 ? open : batch;
    return l->axis < 0 || (batch >= 0 && place_batch(l, own, to, batch));
}

static tlc_status map_reshape(tlc_onnx_node *n)
{
    tlc_shape own = logical(n->in[0]);
    tlc_ints to;
    bool allow_zero;
    TLC_TRY(tlc_onnx_const_ints(n, 1, "shape", &to));
    TLC_TRY(tlc_onnx_bool(n, "allowzero", false, &allow_zero));
    if (to.n > TLC_MAX_RANK)
        return tlc_over_limit(n->o->ctx, TLB_LIMIT_RANK, to.n);
    if (!reshape(&own, allow_zero, &n->lift, &to))
        return tlc_onnx_unsupported(
            n, "Reshape of %s that parts or mixes pictures is not supported",
            tlc_type_text(n->o->ctx, n->in[0]));
    own = tlc_shape_make(to.n, to.v);
    return finish_view(n, &own);
}

/* Axes of one element may go anywhere without a copy. */
static bool keeps_order(const tlc_shape *s, const tlc_ints *perm)
{
    int64_t last = -1;
    for (int i = 0; i < perm->n; ++i) {
        if (s->dim[perm->v[i]] == 1)
            continue;
        if (perm->v[i] < last)
            return false;
        last = perm->v[i];
    }
    return true;
}

static tlc_status map_transpose(tlc_onnx_node *n)
{
    tlc_shape own = logical(n->in[0]), s = own;
    tlc_ints perm = { .n = own.rank };
    int axis = n->lift.axis;
    for (int i = 0; i < own.rank; ++i)
        perm.v[i] = own.rank - 1 - i;
    if (tlc_onnx_attr(n, "perm"))
        TLC_TRY(tlc_onnx_ints(n, "perm", own.rank, 0, 0, &perm));
    TLC_TRY(tlc_onnx_wrap_axes(n, &perm, own.rank));
    for (int i = 0; i < perm.n; ++i) {
        s.dim[i] = own.dim[perm.v[i]];
        if (perm.v[i] == axis)
            n->lift.axis = i;
    }
    if (keeps_order(&own, &perm))
        return finish_view(n, &s);
    tlc_node *node = tlc_onnx_add(n, TLC_OP_TRANSPOSE, n->in, 1);
    tlc_ints *p = &TLC_ATTRS(node, tlc_perm_attrs)->perm;
    *p = (tlc_ints){ .n = perm.n + 1 };
    for (int i = 0; i < perm.n; ++i)
        p->v[i + 1] = perm.v[i] + 1;
    return tlc_onnx_finish(n, node);
}

static bool listed(const tlc_ints *axes, int axis)
{
    for (int i = 0; i < axes->n; ++i)
        if (axes->v[i] == axis)
            return true;
    return false;
}

static tlc_status map_squeeze(tlc_onnx_node *n)
{
    tlc_shape own = logical(n->in[0]), s = { 0 };
    tlc_ints axes;
    bool given;
    int axis = n->lift.axis;
    TLC_TRY(tlc_onnx_axes(n, 13, 1, &axes, &given));
    for (int i = 0; !given && i < own.rank; ++i)
        if (own.dim[i] == 1 && i != axis)
            axes.v[axes.n++] = i;
    TLC_TRY(tlc_onnx_wrap_axes(n, &axes, own.rank));
    for (int i = 0; i < own.rank; ++i) {
        if (i == axis && listed(&axes, i))
            return fail_moved(n);
        if (i == axis)
            n->lift.axis = s.rank;
        if (!listed(&axes, i))
            s.dim[s.rank++] = own.dim[i];
        else if (own.dim[i] != 1)
            return TLC_ONNX_BAD(n, "axis %d has %" PRId64 " elements, 1 wanted", i, own.dim[i]);
    }
    return finish_view(n, &s);
}

static tlc_status map_unsqueeze(tlc_onnx_node *n)
{
    tlc_shape own = logical(n->in[0]), s;
    tlc_ints axes;
    bool given;
    int axis = n->lift.axis;
    TLC_TRY(tlc_onnx_axes(n, 13, 1, &axes, &given));
    s.rank = own.rank + axes.n;
    if (s.rank >= TLC_MAX_RANK)
        return tlc_over_limit(n->o->ctx, TLB_LIMIT_RANK, s.rank + 1);
    TLC_TRY(tlc_onnx_wrap_axes(n, &axes, s.rank));
    for (int i = 0, from = 0; i < s.rank; ++i) {
        if (!listed(&axes, i) && from == axis)
            n->lift.axis = i;
        s.dim[i] = listed(&axes, i) ? 1 : own.dim[from++];
    }
    return finish_view(n, &s);
}

/* One position of an axis, which goes where the index has no rank. */
static tlc_status map_gather(tlc_onnx_node *n)
{
    int64_t axis, rank = n->in[0]->shape.rank - 1;
    TLC_TRY(tlc_onnx_want_const(n, 1, "indices"));
    TLC_TRY(tlc_onnx_axis(n, 0, (int)rank, (int)rank - 1, &axis));
    if (axis == n->lift.axis)
        return fail_moved(n);
    if (n->lift.axis > axis)
        n->lift.axis += n->in[1]->shape.rank - 1;
    return tlc_onnx_gather_steps(n, (int)axis + 1);
}

static tlc_status map_shape(tlc_onnx_node *n)
{
    tlc_shape own = logical(n->in[0]);
    int64_t rank = own.rank;
    void *bytes;
    tlc_value *v =
        tlc_const_make(n->o->module, NULL, TLC_I64, tlc_shape_make(1, &rank), &bytes);
    for (int i = 0; i < own.rank; ++i)
        ((int64_t *)bytes)[i] = i == n->lift.axis ? tlc_dim_times(own.dim[i]) : own.dim[i];
    return tlc_onnx_part_of_shape(n, v);
}

/* --- products ---------------------------------------------------------------------- */

static tlc_status map_matmul(tlc_onnx_node *n)
{
    bool pair = has_batch(n->in[1]);
    int rank = n->in[0]->shape.rank - 1;
    if (pair)
        TLC_TRY(align(n));
    if (has_batch(n->in[0]) && n->lift.axis >= (pair ? rank - 2 : rank - 1))
        return fail_moved(n);
    return n->row->map(n);
}

/* Rows are elements of a picture; the batch is among them. */
static tlc_status map_gemm(tlc_onnx_node *n)
{
    if (n->in[0]->shape.rank != 3 || n->lift.axis > 0)
        return fail_moved(n);
    return n->row->map(n);
}

/* --- the table --------------------------------------------------------------------- */

static const struct {
    const char *op;
    tlc_status (*map)(tlc_onnx_node *n);
} rows[] = {
    { "Reshape", map_reshape },         { "Transpose", map_transpose },
    { "Squeeze", map_squeeze },         { "Unsqueeze", map_unsqueeze },
    { "Gather", map_gather },           { "Shape", map_shape },
    { "MatMul", map_matmul },           { "Gemm", map_gemm },
    { "Softmax", map_softmax },         { "LayerNormalization", map_layer_norm },
    { "Concat", map_along_axis },       { "Slice", map_along_axis },
    { "Split", map_along_axis },        { "Add", map_elementwise },
    { "Sub", map_elementwise },         { "Mul", map_elementwise },
    { "Div", map_elementwise },         { "Sum", map_elementwise },
    { "Min", map_elementwise },         { "Max", map_elementwise },
    { "Relu", map_elementwise },        { "Clip", map_elementwise },
    { "Sigmoid", map_elementwise },     { "HardSigmoid", map_elementwise },
    { "HardSwish", map_elementwise },   { "LeakyRelu", map_elementwise },
    { "Elu", map_elementwise },         { "Tanh", map_elementwise },
    { "Exp", map_elementwise },         { "Log", map_elementwise },
    { "Sqrt", map_elementwise },        { "Erf", map_elementwise },
    { "Gelu", map_elementwise },        { "Abs", map_elementwise },
    { "Neg", map_elementwise },         { "Pow", map_elementwise },
    { "Reciprocal", map_elementwise },  { "Cast", map_elementwise },
    { "Identity", map_elementwise },    { "Dropout", map_elementwise },
};

tlc_status tlc_onnx_map_lifted(tlc_onnx_node *n)
{
    size_t k = 0;
    while (k < sizeof rows / sizeof *rows && strcmp(rows[k].op, n->row->op) != 0)
        ++k;
    if (k == sizeof rows / sizeof *rows)
        return fail_moved(n);
    for (int i = n->n_in - 1; i >= 0; --i) {
        if (has_batch(n->in[i]) && !tlc_onnx_is_lifted(n->o, n->in[i]))
            TLC_TRY(lift(n, &n->in[i]));
        if (has_batch(n->in[i]))
            n->lift = n->o->lift[n->in[i]->id];
    }
    TLC_TRY(rows[k].map(n));
    for (size_t i = 0; i < n->proto->n_output; ++i)
        TLC_TRY(settle(n, i, n->lift));
    return TLC_OK;
}

/* Does Reshape to `to` leave the batch of operand 0 in front? */
static bool keeps_front(const tlc_onnx_node *n, const tlc_ints *to, bool allow_zero)
{
    const tlc_shape *x = &n->in[0]->shape;
    int64_t first = to->n > 0 ? to->v[0] : 0, rest = 1;
    bool open = false;
    for (int i = 1; i < to->n; ++i) {
        int64_t d = to->v[i] == 0 && !allow_zero && i < x->rank ? x->dim[i] : to->v[i];
        open = open || d == -1;
        if (tlc_dim_multiple(d) || (d != -1 && __builtin_mul_overflow(rest, d, &rest)))
            return false;
    }
    if (to->n == 0 || tlc_dim_multiple(first) > 1)
        return false;
    if (first == TLC_DIM_SYMBOL || (first == 0 && !allow_zero) ||
        (n->o->fixed_batch && first == n->o->fixed_batch))
        return true;
    return first == -1 && !open && rest == tlc_shape_elems(x);
}

bool tlc_onnx_lifts_reshape(const tlc_onnx_node *n, const tlc_ints *to, bool allow_zero)
{
    const tlc_value *x = n->in[0];
    tlc_ints filled = *to;
    if (!has_batch(x) || !tlc_onnx_can_lift(n->o) || keeps_front(n, to, allow_zero))
        return false;
    tlc_shape own = x->shape;
    tlc_onnx_lift l = { true, n->o->fixed_batch ? -1 : 0, 1, 1 };
    own.dim[0] = 1;
    return reshape(&own, allow_zero, &l, &filled);
}
