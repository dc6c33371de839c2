/* onnx_map_shapes.c: operators that move data or compute with shapes. */
#include "onnx_lift.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* A weight behind Identity is one of several that an exporter found equal; the result mostly has
 * the name that the weight had before. */
tlc_status tlc_onnx_map_identity(tlc_onnx_node *n)
{
    tlc_value *v = n->in[0];
    if (v->kind == TLC_CONST) {
        bool named = n->proto->n_output > 0 && n->proto->output[0][0];
        if (named && tlc_onnx_is_weight(n->o, v))
            v = tlc_onnx_twin(n->o, v, n->proto->output[0]);
        tlc_onnx_define(n, 0, v);
        return TLC_OK;
    }
    return tlc_onnx_finish(n, tlc_onnx_add(n, TLC_OP_IDENTITY, n->in, 1));
}

/* --- Pad ----------------------------------------------------------------- */

/* `given` numbers for the axes that `axes` names, spread over all. */
static tlc_status spread_pads(const tlc_onnx_node *n, const tlc_ints *given, tlc_ints *pads)
{
    int rank = n->in[0]->shape.rank;
    tlc_ints axes = { .n = rank };
    for (int i = 0; i < rank; ++i)
        axes.v[i] = i;
    if (tlc_onnx_in(n, 3)) {
        TLC_TRY(tlc_onnx_const_ints(n, 3, "axes", &axes));
        TLC_TRY(tlc_onnx_wrap_axes(n, &axes, rank));
    }
    if (given->n != 2 * axes.n)
        return TLC_ONNX_BAD(n, "pads has %d numbers, %d wanted", given->n, 2 * axes.n);
    *pads = (tlc_ints){ .n = 2 * rank };
    for (int i = 0; i < axes.n; ++i) {
        pads->v[axes.v[i]] = given->v[i];
        pads->v[rank + axes.v[i]] = given->v[axes.n + i];
    }
    return TLC_OK;
}

static tlc_status check_pads(const tlc_onnx_node *n, const tlc_ints *pads)
{
    for (int i = 0; i < pads->n; ++i) {
        if (pads->v[i] < 0)
            return tlc_onnx_unsupported(
                n, "pads[%d] is %" PRId64 ": Pad that crops is not supported", i, pads->v[i]);
        if (pads->v[i] > INT32_MAX)
            return TLC_ONNX_BAD(n, "pads[%d] is %" PRId64 ", at most %d", i, pads->v[i], INT32_MAX);
    }
    return TLC_OK;
}

static tlc_status check_mode(const tlc_onnx_node *n)
{
    const char *mode;
    TLC_TRY(tlc_onnx_text(n, "mode", &mode));
    if (!mode || !strcmp(mode, "constant"))
        return TLC_OK;
    return tlc_onnx_unsupported(n, "Pad with mode %s is not supported, constant is",
                                tlc_quote_name(n->o->ctx, mode));
}

tlc_status tlc_onnx_map_pad(tlc_onnx_node *n)
{
    tlc_ints given, pads;
    double value;
    TLC_TRY(check_mode(n));
    if (n->o->opset < 11) {
        TLC_TRY(tlc_onnx_any_ints(n, "pads", &given));
        TLC_TRY(tlc_onnx_float(n, "value", 0, &value));
    } else {
        TLC_TRY(tlc_onnx_const_ints(n, 1, "pads", &given));
        TLC_TRY(tlc_onnx_const_number(n, 2, "constant_value", 0, &value));
    }
    TLC_TRY(spread_pads(n, &given, &pads));
    TLC_TRY(check_pads(n, &pads));
    tlc_node *node = tlc_onnx_add(n, TLC_OP_PAD, n->in, 1);
    tlc_pad_attrs *a = node->attrs;
    a->pads = pads;
    a->value = value;
    return tlc_onnx_finish(n, node);
}

/* --- Flatten, Reshape ---------------------------------------------------- */

static tlc_status finish_flatten(const tlc_onnx_node *n, int64_t axis)
{
    tlc_node *node = tlc_onnx_add(n, TLC_OP_FLATTEN, n->in, 1);
    TLC_ATTRS(node, tlc_axis_attrs)->axis = axis;
    return tlc_onnx_finish(n, node);
}

tlc_status tlc_onnx_map_flatten(tlc_onnx_node *n)
{
    int rank = n->in[0]->shape.rank;
    int64_t axis;
    TLC_TRY(tlc_onnx_axis(n, 1, rank, rank, &axis));
    return finish_flatten(n, axis);
}

static tlc_status bad_reshape(const tlc_onnx_node *n, const tlc_ints *to, const char *why)
{
    const char *text = "";
    for (int i = 0; i < to->n; ++i)
        text =
            to->v[i] == TLC_DIM_SYMBOL
                ? tlc_arena_printf(&n->o->ctx->arena, "%s%sn", text, i ? "," : "")
                : tlc_arena_printf(&n->o->ctx->arena, "%s%s%" PRId64, text, i ? "," : "", to->v[i]);
    return tlc_fail(n->o->ctx, TLC_E_MALFORMED, "E_SHAPE", "Reshape of shape %s to [%s]: %s",
                    tlc_type_text(n->o->ctx, n->in[0]), text, why);
}

/* Zeros copied from the operand; numbers checked.  *open is the index of -1, or -1. */
static tlc_status read_target(const tlc_onnx_node *n, tlc_ints *to, int *open)
{
    const tlc_shape *x = &n->in[0]->shape;
    const tlc_ints given = *to;
    bool allow_zero;
    TLC_TRY(tlc_onnx_bool(n, "allowzero", false, &allow_zero));
    *open = -1;
    for (int i = 0; i < to->n; ++i) {
        if (given.v[i] == 0 && !allow_zero) {
            if (i >= x->rank)
                return bad_reshape(n, &given, "0 copies a dimension that is not there");
            to->v[i] = x->dim[i] == TLC_DIM_N ? TLC_DIM_SYMBOL : x->dim[i];
        } else if (given.v[i] == -1 && *open >= 0)
            return bad_reshape(n, &given, "-1 stands twice");
        else if (given.v[i] == -1)
            *open = i;
        else if (given.v[i] < 0 && given.v[i] != TLC_DIM_SYMBOL)
            return bad_reshape(n, &given, "dimensions are -1 or at least 0");
    }
    return TLC_OK;
}

/* The batch in front: written as `n`, as the file's fixed batch, or left to -1.  On success
 * to->v[0] is TLC_DIM_N. */
static tlc_status place_batch(const tlc_onnx_node *n, tlc_ints *to, int *open, int64_t rest,
                              int64_t elems)
{
    int64_t fixed = n->o->fixed_batch;
    if (to->n == 0)
        return bad_reshape(n, to, "the batch has no place");
    if (*open == 0 && rest == elems)
        *open = -1;
    else if (*open == 0)
        return bad_reshape(n, to, "no number of pictures fits");
    else if (to->v[0] != TLC_DIM_SYMBOL && (fixed == 0 || to->v[0] != fixed))
        return tlc_onnx_unsupported(n,
                                    "Reshape to a fixed first dimension, %" PRId64
                                    ", of a value with a batch is not supported",
                                    to->v[0]);
    to->v[0] = TLC_DIM_N;
    return TLC_OK;
}

static tlc_status product_of(const tlc_onnx_node *n, const tlc_ints *to, int from, int open,
                             int64_t *out)
{
    int64_t product = 1;
    for (int i = from; i < to->n; ++i) {
        if (i == open)
            continue;
        if (to->v[i] == TLC_DIM_SYMBOL)
            return tlc_onnx_unsupported(
                n, "Reshape with the batch at dimension %d is not supported", i);
        if (__builtin_mul_overflow(product, to->v[i], &product))
            return bad_reshape(n, to, "size overflows");
    }
    *out = product;
    return TLC_OK;
}

static tlc_status resolve_reshape(const tlc_onnx_node *n, tlc_ints *to)
{
    const tlc_shape *x = &n->in[0]->shape;
    const tlc_ints given = *to;
    int open;
    bool has_n = tlc_shape_has_n(x);
    int64_t elems = tlc_shape_elems(x), rest = 0;
    TLC_TRY(read_target(n, to, &open));
    TLC_TRY(product_of(n, to, has_n, open, &rest));
    if (has_n)
        TLC_TRY(place_batch(n, to, &open, rest, elems));
    if (open < 0 && rest != elems)
        return bad_reshape(n, &given, "not the same number of elements");
    if (open >= 0 && (rest == 0 || elems % rest))
        return bad_reshape(n, &given, "-1 stands for no whole number");
    if (open >= 0)
        to->v[open] = elems / rest;
    return TLC_OK;
}

/* Do Gathers read result 0 of `n`, as their data, and nobody else? */
static bool gathers_alone_read(const tlc_onnx_node *n)
{
    const Onnx__GraphProto *g = n->o->graph;
    const char *name = n->proto->output[0];
    bool read = false;
    for (size_t i = 0; i < g->n_output; ++i)
        if (g->output[i]->name && strcmp(g->output[i]->name, name) == 0)
            return false;
    for (size_t i = n->index + 1; i < g->n_node; ++i)
        for (size_t k = 0; k < g->node[i]->n_input; ++k) {
            if (strcmp(g->node[i]->input[k], name) != 0)
                continue;
            if (k > 0 || !g->node[i]->op_type || strcmp(g->node[i]->op_type, "Gather") != 0)
                return false;
            read = true;
        }
    return read;
}

/* PyTorch's newer exporter writes as_strided of one picture as a Reshape to [-1] and a Gather by
 * constant positions.  The picture is kept apart from others here, [n, its values], and the
 * Gather below makes a reshape of it.  Once in a file, as the search is through all of it. */
static bool begins_as_strided(const tlc_onnx_node *n, const tlc_ints *to)
{
    return to->n == 1 && to->v[0] == -1 && tlc_shape_has_n(&n->in[0]->shape) &&
           n->o->fixed_batch == 1 && n->proto->n_output == 1 && !n->o->flat_picture &&
           gathers_alone_read(n);
}

static tlc_status begin_as_strided(const tlc_onnx_node *n)
{
    tlc_node *node = tlc_onnx_add(n, TLC_OP_FLATTEN, n->in, 1);
    tlc_value *v;
    TLC_TRY(tlc_onnx_step(n, node, &v));
    n->o->flat_picture = v;
    tlc_onnx_define(n, 0, v);
    return TLC_OK;
}

/* The values in their order, under the shape of the positions. */
static tlc_status finish_as_strided(const tlc_onnx_node *n)
{
    const tlc_value *at = n->in[1];
    int64_t elems = tlc_shape_elems(&n->in[0]->shape);
    bool in_order = at->shape.rank > 0 && at->shape.dim[0] == 1 &&
                    tlc_shape_elems(&at->shape) == elems;
    for (int64_t i = 0; in_order && i < elems; ++i)
        in_order = tlc_data_i64(at, i) == i;
    if (!in_order)
        return tlc_onnx_unsupported(n, "Gather of a picture's values in another order is not"
                                       " supported");
    tlc_node *node = tlc_onnx_add(n, TLC_OP_RESHAPE, n->in, 1);
    tlc_ints *to = &TLC_ATTRS(node, tlc_reshape_attrs)->shape;
    *to = (tlc_ints){ .n = at->shape.rank, .v = { TLC_DIM_N } };
    for (int i = 1; i < to->n; ++i)
        to->v[i] = at->shape.dim[i];
    return tlc_onnx_finish(n, node);
}

tlc_status tlc_onnx_map_reshape(tlc_onnx_node *n)
{
    tlc_ints to;
    bool allow_zero;
    TLC_TRY(tlc_onnx_const_ints(n, 1, "shape", &to));
    if (to.n > TLC_MAX_RANK)
        return tlc_over_limit(n->o->ctx, TLB_LIMIT_RANK, to.n);
    if (begins_as_strided(n, &to))
        return begin_as_strided(n);
    TLC_TRY(tlc_onnx_bool(n, "allowzero", false, &allow_zero));
    if (tlc_onnx_lifts_reshape(n, &to, allow_zero))
        return tlc_onnx_map_lifted(n);
    TLC_TRY(resolve_reshape(n, &to));
    if (to.n == 2 && to.v[0] == TLC_DIM_N && n->in[0]->shape.rank > 2)
        return finish_flatten(n, 1);
    tlc_node *node = tlc_onnx_add(n, TLC_OP_RESHAPE, n->in, 1);
    TLC_ATTRS(node, tlc_reshape_attrs)->shape = to;
    return tlc_onnx_finish(n, node);
}

/* --- Transpose, Squeeze, Unsqueeze --------------------------------------- */

tlc_status tlc_onnx_map_transpose(tlc_onnx_node *n)
{
    int rank = n->in[0]->shape.rank;
    tlc_ints perm = { .n = rank };
    for (int i = 0; i < rank; ++i)
        perm.v[i] = rank - 1 - i;
    if (tlc_onnx_attr(n, "perm"))
        TLC_TRY(tlc_onnx_ints(n, "perm", rank, 0, 0, &perm));
    if (rank > 0 && perm.v[0] != 0 && tlc_shape_has_n(&n->in[0]->shape) && tlc_onnx_can_lift(n->o))
        return tlc_onnx_map_lifted(n);
    tlc_node *node = tlc_onnx_add(n, TLC_OP_TRANSPOSE, n->in, 1);
    TLC_ATTRS(node, tlc_perm_attrs)->perm = perm;
    return tlc_onnx_finish(n, node);
}

static tlc_status finish_axes(const tlc_onnx_node *n, tlc_op op, const tlc_ints *axes)
{
    tlc_node *node = tlc_onnx_add(n, op, n->in, 1);
    TLC_ATTRS(node, tlc_axes_attrs)->axes = *axes;
    return tlc_onnx_finish(n, node);
}

tlc_status tlc_onnx_map_squeeze(tlc_onnx_node *n)
{
    const tlc_shape *x = &n->in[0]->shape;
    tlc_ints axes;
    bool given;
    TLC_TRY(tlc_onnx_axes(n, 13, 1, &axes, &given));
    for (int i = 0; !given && i < x->rank; ++i)
        if (x->dim[i] == 1)
            axes.v[axes.n++] = i;
    TLC_TRY(tlc_onnx_wrap_axes(n, &axes, x->rank));
    return finish_axes(n, TLC_OP_SQUEEZE, &axes);
}

tlc_status tlc_onnx_map_unsqueeze(tlc_onnx_node *n)
{
    tlc_ints axes;
    bool given;
    TLC_TRY(tlc_onnx_axes(n, 13, 1, &axes, &given));
    if (!given)
        return TLC_ONNX_BAD(n, "axes are absent");
    TLC_TRY(tlc_onnx_wrap_axes(n, &axes, n->in[0]->shape.rank + axes.n));
    return finish_axes(n, TLC_OP_UNSQUEEZE, &axes);
}

/* --- Concat, Slice, Gather, Shape ---------------------------------------- */

/* Is the same constant to be joined to every picture (a class token)? */
static bool joins_constant(const tlc_onnx_node *n, int axis)
{
    bool pictures = false, constants = false;
    for (int i = 0; i < n->n_in; ++i) {
        const tlc_value *v = n->in[i];
        bool has_n = v && tlc_shape_has_n(&v->shape);
        pictures = pictures || has_n;
        constants = constants || (v && !has_n && tlc_is_float(v->type) && v->shape.rank > 0 &&
                                  v->shape.dim[0] == 1);
    }
    return pictures && constants && axis > 0;
}

/* Each operand among zeros in the others' places, and their sum, which broadcasts. */
static tlc_status join_by_sum(const tlc_onnx_node *n, int axis)
{
    int64_t total = 0, before = 0;
    tlc_value *sum = NULL;
    for (int i = 0; i < n->n_in; ++i) {
        if (!n->in[i] || n->in[i]->shape.rank != n->in[0]->shape.rank)
            return TLC_ONNX_BAD(n, "operand %d has another rank", i);
        if (__builtin_add_overflow(total, n->in[i]->shape.dim[axis], &total) || total > INT32_MAX)
            return TLC_ONNX_BAD(n, "axis %d has over %d elements", axis, INT32_MAX);
    }
    for (int i = 0; i < n->n_in; ++i) {
        tlc_value *v = n->in[i];
        int rank = v->shape.rank;
        tlc_node *pad = tlc_onnx_add(n, TLC_OP_PAD, &v, 1);
        tlc_ints *pads = &TLC_ATTRS(pad, tlc_pad_attrs)->pads;
        *pads = (tlc_ints){ .n = 2 * rank };
        pads->v[axis] = before;
        before += v->shape.dim[axis];
        pads->v[rank + axis] = total - before;
        TLC_TRY(tlc_onnx_step(n, pad, &v));
        tlc_value *both[] = { sum, v };
        if (sum)
            TLC_TRY(tlc_onnx_step(n, tlc_onnx_add(n, TLC_OP_ADD, both, 2), &v));
        sum = v;
    }
    tlc_onnx_define(n, 0, sum);
    return TLC_OK;
}

/* More operands than concat takes are joined in turns. */
tlc_status tlc_onnx_map_concat(tlc_onnx_node *n)
{
    const int most = tlc_ops[TLC_OP_CONCAT].most;
    int rank = n->in[0]->shape.rank, at = 0;
    int64_t axis;
    tlc_value *in[64], *joined = NULL;
    if (!tlc_onnx_attr(n, "axis"))
        return TLC_ONNX_BAD(n, "axis is absent");
    TLC_TRY(tlc_onnx_axis(n, 0, rank, rank - 1, &axis));
    if (joins_constant(n, (int)axis))
        return join_by_sum(n, (int)axis);
    for (;;) {
        int n_in = 0;
        if (joined)
            in[n_in++] = joined;
        while (n_in < most && at < n->n_in) {
            if (!n->in[at])
                return TLC_ONNX_BAD(n, "operand %d is absent", at);
            in[n_in++] = n->in[at++];
        }
        tlc_node *node = tlc_onnx_add(n, TLC_OP_CONCAT, in, n_in);
        TLC_ATTRS(node, tlc_axis_attrs)->axis = axis;
        if (at == n->n_in)
            return tlc_onnx_finish(n, node);
        TLC_TRY(tlc_onnx_step(n, node, &joined));
    }
}

typedef struct slices {
    tlc_ints starts, ends, axes, steps; /* as the file has them */
} slices;

static tlc_status read_slices(const tlc_onnx_node *n, slices *s)
{
    bool old = n->o->opset < 10, given;
    if (old) {
        TLC_TRY(tlc_onnx_any_ints(n, "starts", &s->starts));
        TLC_TRY(tlc_onnx_any_ints(n, "ends", &s->ends));
    } else {
        TLC_TRY(tlc_onnx_const_ints(n, 1, "starts", &s->starts));
        TLC_TRY(tlc_onnx_const_ints(n, 2, "ends", &s->ends));
    }
    TLC_TRY(tlc_onnx_axes(n, 10, 3, &s->axes, &given));
    for (int i = 0; !given && i < s->starts.n; ++i)
        s->axes.v[s->axes.n++] = i;
    if (!old && tlc_onnx_in(n, 4))
        return tlc_onnx_const_ints(n, 4, "steps", &s->steps);
    s->steps.n = s->starts.n;
    for (int i = 0; i < s->steps.n; ++i)
        s->steps.v[i] = 1;
    return TLC_OK;
}

static int64_t clamp(int64_t x, int64_t lo, int64_t hi)
{
    return x < lo ? lo : x > hi ? hi : x;
}

/* Start, end and step of one axis as ONNX clamps them (op slice, in its own words). */
static tlc_status resolve_slice(const tlc_onnx_node *n, int64_t start, int64_t end, int64_t step,
                                int axis, tlc_slice_attrs *out)
{
    int64_t size = n->in[0]->shape.dim[axis], back = step < 0;
    if (step == 0 || step < -INT32_MAX || step > INT32_MAX)
        return TLC_ONNX_BAD(n, "steps of axis %d is %" PRId64, axis, step);
    if (size == TLC_DIM_N) {
        /* All pictures, however the end is written, or none of our business. */
        bool all = start == 0 && step == 1 &&
                   (end == TLC_DIM_SYMBOL || end >= INT32_MAX ||
                    (n->o->fixed_batch && end >= n->o->fixed_batch));
        return all ? TLC_OK : tlc_onnx_unsupported(n, "Slice of the batch is not supported");
    }
    if (tlc_dim_multiple(start) || tlc_dim_multiple(end))
        return tlc_onnx_unsupported(n, "Slice bound that is the batch is not supported");
    out->starts.v[axis] = clamp(start < 0 ? start + size : start, 0, size - back);
    out->ends.v[axis] = clamp(end < 0 ? end + size : end, -back, size - back);
    out->steps.v[axis] = step;
    return TLC_OK;
}

static void slice_all(const tlc_shape *x, tlc_slice_attrs *a)
{
    a->starts.n = a->ends.n = a->steps.n = x->rank;
    for (int i = 0; i < x->rank; ++i) {
        a->starts.v[i] = 0;
        a->ends.v[i] = x->dim[i]; /* the batch: TLC_DIM_N, as op slice wants it */
        a->steps.v[i] = 1;
    }
}

tlc_status tlc_onnx_map_slice(tlc_onnx_node *n)
{
    const tlc_shape *x = &n->in[0]->shape;
    slices s = { 0 };
    TLC_TRY(read_slices(n, &s));
    if (s.ends.n != s.starts.n || s.axes.n != s.starts.n || s.steps.n != s.starts.n)
        return TLC_ONNX_BAD(n, "starts, ends, axes, steps have %d, %d, %d, %d numbers", s.starts.n,
                            s.ends.n, s.axes.n, s.steps.n);
    TLC_TRY(tlc_onnx_wrap_axes(n, &s.axes, x->rank));
    tlc_node *node = tlc_onnx_add(n, TLC_OP_SLICE, n->in, 1);
    slice_all(x, node->attrs);
    for (int i = 0; i < s.axes.n; ++i)
        TLC_TRY(resolve_slice(n, s.starts.v[i], s.ends.v[i], s.steps.v[i], (int)s.axes.v[i],
                              node->attrs));
    return tlc_onnx_finish(n, node);
}

/* An index that counts from the front. */
static tlc_status read_index(const tlc_onnx_node *n, int64_t i, int64_t extent, int64_t *out)
{
    *out = tlc_data_i64(n->in[1], i);
    if (*out < -extent || *out >= extent)
        return TLC_ONNX_BAD(n, "indices[%" PRId64 "] is %" PRId64 ", %" PRId64 " to %" PRId64
                            " allowed", i, *out, -extent, extent - 1);
    *out += *out < 0 ? extent : 0;
    return TLC_OK;
}

/* The slice's start, end and step along `axis`. */
static tlc_status read_steps(const tlc_onnx_node *n, int axis, tlc_slice_attrs *a)
{
    int64_t extent = n->in[0]->shape.dim[axis], count = tlc_shape_elems(&n->in[1]->shape);
    int64_t first, last, step = 1;
    if (n->in[1]->shape.rank > 1 || count < 1)
        return tlc_onnx_unsupported(
            n, "Gather by %s is not supported: one index or evenly spaced ones",
            tlc_type_text(n->o->ctx, n->in[1]));
    TLC_TRY(read_index(n, 0, extent, &first));
    last = first;
    for (int64_t i = 1; i < count; ++i) {
        int64_t index;
        TLC_TRY(read_index(n, i, extent, &index));
        step = i == 1 ? index - first : step;
        if (step == 0 || index - last != step)
            return tlc_onnx_unsupported(n, "Gather by indices that are not evenly spaced is not"
                                           " supported");
        last = index;
    }
    a->starts.v[axis] = first;
    a->ends.v[axis] = last + (step > 0 ? 1 : -1);
    a->steps.v[axis] = step;
    return TLC_OK;
}

tlc_status tlc_onnx_gather_steps(const tlc_onnx_node *n, int axis)
{
    if (n->in[0]->shape.dim[axis] == TLC_DIM_N)
        return tlc_onnx_unsupported(n, "Gather of the batch is not supported");
    tlc_node *node = tlc_onnx_add(n, TLC_OP_SLICE, n->in, 1);
    slice_all(&n->in[0]->shape, node->attrs);
    TLC_TRY(read_steps(n, axis, node->attrs));
    if (n->in[1]->shape.rank == 1)
        return tlc_onnx_finish(n, node);
    tlc_value *v;
    TLC_TRY(tlc_onnx_step(n, node, &v));
    node = tlc_onnx_add(n, TLC_OP_SQUEEZE, &v, 1);
    TLC_ATTRS(node, tlc_axes_attrs)->axes = (tlc_ints){ .n = 1, .v = { axis } };
    return tlc_onnx_finish(n, node);
}

tlc_status tlc_onnx_map_gather(tlc_onnx_node *n)
{
    int rank = n->in[0]->shape.rank;
    int64_t axis;
    TLC_TRY(tlc_onnx_want_const(n, 1, "indices"));
    if (n->in[1]->type != TLC_I64)
        return TLC_ONNX_BAD(n, "the indices are %s, integers wanted", tlc_type_name(n->in[1]->type));
    TLC_TRY(tlc_onnx_axis(n, 0, rank, rank - 1, &axis));
    if (n->in[0] == n->o->flat_picture && axis == 0)
        return finish_as_strided(n);
    if (n->in[0]->kind != TLC_CONST)
        return tlc_onnx_gather_steps(n, (int)axis);
    tlc_node *node = tlc_onnx_add(n, TLC_OP_GATHER, n->in, 2);
    TLC_ATTRS(node, tlc_axis_attrs)->axis = axis;
    return tlc_onnx_finish(n, node);
}

tlc_status tlc_onnx_part_of_shape(const tlc_onnx_node *n, tlc_value *v)
{
    int64_t rank = v->shape.dim[0], start, end;
    TLC_TRY(tlc_onnx_int(n, "start", 0, INT64_MIN, INT64_MAX, &start));
    TLC_TRY(tlc_onnx_int(n, "end", rank, INT64_MIN, INT64_MAX, &end));
    tlc_node *part = tlc_onnx_add(n, TLC_OP_SLICE, &v, 1);
    tlc_slice_attrs *a = part->attrs;
    slice_all(&v->shape, a);
    a->starts.v[0] = clamp(start < 0 ? start + rank : start, 0, rank);
    a->ends.v[0] = clamp(end < 0 ? end + rank : end, a->starts.v[0], rank);
    return tlc_onnx_finish(n, part);
}

tlc_status tlc_onnx_map_shape(tlc_onnx_node *n)
{
    tlc_value *v;
    TLC_TRY(tlc_onnx_step(n, tlc_onnx_add(n, TLC_OP_SHAPE, n->in, 1), &v));
    return tlc_onnx_part_of_shape(n, v);
}

/* --- Cast, Constant, ConstantOfShape ------------------------------------- */

tlc_status tlc_onnx_map_cast(tlc_onnx_node *n)
{
    int64_t to;
    tlc_type type;
    if (!tlc_onnx_attr(n, "to"))
        return TLC_ONNX_BAD(n, "to is absent");
    TLC_TRY(tlc_onnx_int(n, "to", 0, 0, INT32_MAX, &to));
    TLC_TRY(tlc_onnx_elem_type(n->o->ctx, (int32_t)to, &type));
    if (type == n->in[0]->type)
        return tlc_onnx_map_identity(n);
    tlc_node *node = tlc_onnx_add(n, TLC_OP_CAST, n->in, 1);
    TLC_ATTRS(node, tlc_cast_attrs)->to = type;
    return tlc_onnx_finish(n, node);
}

/* A constant from an attribute's list or number. */
static tlc_status constant_of(const tlc_onnx_node *n, const Onnx__AttributeProto *a, bool list,
                              bool is_float)
{
    int64_t count = !list ? 1 : (int64_t)(is_float ? a->n_floats : a->n_ints);
    tlc_shape s = tlc_shape_make(list, &count);
    void *bytes;
    TLC_TRY(tlc_check_shape(n->o->ctx, &s, a->name));
    tlc_value *v = tlc_const_make(n->o->module, NULL, is_float ? TLC_F32 : TLC_I64, s, &bytes);
    for (int64_t i = 0; i < count; ++i) {
        if (is_float)
            ((float *)bytes)[i] = list ? a->floats[i] : a->f;
        else
            ((int64_t *)bytes)[i] = list ? a->ints[i] : a->i;
        if (!is_float && ((int64_t *)bytes)[i] == TLC_DIM_SYMBOL)
            return TLC_ONNX_BAD(n, "%s[%" PRId64 "] is -2^63, at least -2^63 + 1", a->name, i);
    }
    tlc_onnx_define(n, 0, v);
    return TLC_OK;
}

tlc_status tlc_onnx_map_constant(tlc_onnx_node *n)
{
    static const struct {
        const char *name;
        bool list, is_float;
    } forms[] = {
        { "value_float", false, true },
        { "value_floats", true, true },
        { "value_int", false, false },
        { "value_ints", true, false },
    };
    if (n->proto->n_attribute != 1)
        return TLC_ONNX_BAD(n, "Constant has %zu values, 1 wanted", n->proto->n_attribute);
    const Onnx__AttributeProto *a = n->proto->attribute[0];
    for (size_t i = 0; i < sizeof forms / sizeof *forms; ++i)
        if (!strcmp(a->name, forms[i].name))
            return constant_of(n, a, forms[i].list, forms[i].is_float);
    if (strcmp(a->name, "value") != 0)
        return tlc_onnx_unsupported(n, "Constant with %s is not supported", a->name);
    if (!a->t)
        return TLC_ONNX_BAD(n, "value is no tensor");
    tlc_value *v;
    TLC_TRY(tlc_onnx_tensor_make(n->o, a->t, NULL, &v));
    tlc_onnx_define(n, 0, v);
    return TLC_OK;
}

tlc_status tlc_onnx_map_constant_of_shape(tlc_onnx_node *n)
{
    const Onnx__AttributeProto *a = tlc_onnx_attr(n, "value");
    tlc_value *v = NULL;
    TLC_TRY(tlc_onnx_want_const(n, 0, "shape"));
    if (a && !a->t)
        return TLC_ONNX_BAD(n, "value is no tensor");
    if (a) {
        TLC_TRY(tlc_onnx_tensor_make(n->o, a->t, NULL, &v));
        if (tlc_shape_elems(&v->shape) != 1)
            return TLC_ONNX_BAD(n, "value is %s, one number wanted", tlc_type_text(n->o->ctx, v));
    }
    tlc_node *node = tlc_onnx_add(n, TLC_OP_CONSTANT_OF_SHAPE, n->in, 1);
    tlc_constant_of_shape_attrs *attrs = node->attrs;
    attrs->type = v ? v->type : TLC_F32;
    attrs->value = v ? tlc_data_f64(v, 0) : 0;
    return tlc_onnx_finish(n, node);
}
