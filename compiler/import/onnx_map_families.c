/* onnx_map_families.c: what the families of classifiers need beyond layers and shapes:
 * activations, normalisations, Split, Expand, Where.
 *
 * Where an operator is a sum or product of others it becomes those: PRelu, Neg, Reciprocal,
 * Expand, Gelu, Swish.
 */
#include "onnx_map.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* --- elementwise --------------------------------------------------------------- */

static tlc_status map_unary(tlc_onnx_node *n, tlc_op op)
{
    return tlc_onnx_finish(n, tlc_onnx_add(n, op, n->in, 1));
}

#define UNARY(name, OP)                                  \
    tlc_status tlc_onnx_map_##name(tlc_onnx_node *n)     \
    {                                                    \
        return map_unary(n, OP);                         \
    }
UNARY(sigmoid, TLC_OP_SIGMOID)
UNARY(hard_swish, TLC_OP_HARD_SWISH)
UNARY(tanh, TLC_OP_TANH)
UNARY(exp, TLC_OP_EXP)
UNARY(log, TLC_OP_LOG)
UNARY(sqrt, TLC_OP_SQRT)
UNARY(erf, TLC_OP_ERF)
UNARY(abs, TLC_OP_ABS)
UNARY(floor, TLC_OP_FLOOR)
UNARY(ceil, TLC_OP_CEIL)
UNARY(round, TLC_OP_ROUND)

/* alpha and, of HardSigmoid alone, beta; the values given here are ONNX's defaults. */
static tlc_status map_with_alpha(tlc_onnx_node *n, tlc_op op, double alpha, double beta)
{
    tlc_node *node = tlc_onnx_add(n, op, n->in, 1);
    tlc_unary_attrs *a = node->attrs;
    TLC_TRY(tlc_onnx_float(n, "alpha", alpha, &a->alpha));
    TLC_TRY(tlc_onnx_float(n, "beta", beta, &a->beta));
    return tlc_onnx_finish(n, node);
}

tlc_status tlc_onnx_map_hard_sigmoid(tlc_onnx_node *n)
{
    return map_with_alpha(n, TLC_OP_HARD_SIGMOID, 0.2, 0.5);
}

tlc_status tlc_onnx_map_leaky_relu(tlc_onnx_node *n)
{
    return map_with_alpha(n, TLC_OP_LEAKY_RELU, 0.01, 0);
}

tlc_status tlc_onnx_map_elu(tlc_onnx_node *n)
{
    return map_with_alpha(n, TLC_OP_ELU, 1, 0);
}

/* max(x, 0) + slope min(x, 0) */
tlc_status tlc_onnx_map_prelu(tlc_onnx_node *n)
{
    tlc_value *above, *below;
    TLC_TRY(tlc_onnx_want_const(n, 1, "slope"));
    TLC_TRY(tlc_onnx_step(n, tlc_onnx_add(n, TLC_OP_RELU, n->in, 1), &above));
    tlc_node *clip = tlc_onnx_add(n, TLC_OP_CLIP, n->in, 1);
    TLC_ATTRS(clip, tlc_clip_attrs)->lo = -HUGE_VAL;
    TLC_ATTRS(clip, tlc_clip_attrs)->hi = 0;
    TLC_TRY(tlc_onnx_step(n, clip, &below));
    tlc_value *scaled[] = { below, n->in[1] };
    TLC_TRY(tlc_onnx_step(n, tlc_onnx_add(n, TLC_OP_MUL, scaled, 2), &below));
    return tlc_onnx_finish(n, tlc_onnx_add(n, TLC_OP_ADD, (tlc_value *[]){ above, below }, 2));
}

/* A constant of type `t` whose every element is `x`; it takes the memory of one. */
static tlc_value *splat(const tlc_onnx_node *n, tlc_type t, tlc_shape shape, double x)
{
    tlc_arena *arena = &n->o->ctx->arena;
    tlc_value *v = tlc_global_add(n->o->module, TLC_CONST, NULL, t, shape);
    int64_t *one = tlc_arena_array(arena, 1, sizeof *one);
    if (t == TLC_F64)
        *(double *)(void *)one = x;
    else if (t == TLC_F32)
        *(float *)(void *)one = (float)x;
    else /* little-endian: the narrower integers are its first bytes */
        *one = (int64_t)x;
    v->splat = true;
    v->data = one;
    return v;
}

/* v = op(a, b); b NULL: of a alone */
static tlc_status step(const tlc_onnx_node *n, tlc_op op, tlc_value *a, tlc_value *b, tlc_value **v)
{
    return tlc_onnx_step(n, tlc_onnx_add(n, op, (tlc_value *[]){ a, b }, b ? 2 : 1), v);
}

static tlc_value *number(const tlc_onnx_node *n, double x)
{
    return splat(n, n->in[0]->type, (tlc_shape){ 0 }, x);
}

/* What tanh is taken of: sqrt(2 / pi) (x + 0.044715 x^3), as (c1 + c3 x x) x. */
static tlc_status gelu_argument(tlc_onnx_node *n, tlc_value **v)
{
    const double root = 0.7978845608028654;
    TLC_TRY(step(n, TLC_OP_MUL, n->in[0], n->in[0], v));
    TLC_TRY(step(n, TLC_OP_MUL, *v, number(n, root * 0.044715), v));
    TLC_TRY(step(n, TLC_OP_ADD, *v, number(n, root), v));
    return step(n, TLC_OP_MUL, *v, n->in[0], v);
}

/* x / 2 (1 + erf(x / sqrt(2))), or tanh of a cubic in place of erf: what exporters wrote before
 * opset 20. */
tlc_status tlc_onnx_map_gelu(tlc_onnx_node *n)
{
    const char *form;
    tlc_value *x = n->in[0], *half, *v;
    TLC_TRY(tlc_onnx_text(n, "approximate", &form));
    bool by_tanh = form && strcmp(form, "tanh") == 0;
    if (form && !by_tanh && strcmp(form, "none") != 0)
        return TLC_ONNX_BAD(n, "approximate is %s, none or tanh wanted",
                            tlc_quote_name(n->o->ctx, form));
    if (by_tanh)
        TLC_TRY(gelu_argument(n, &v));
    else
        TLC_TRY(step(n, TLC_OP_MUL, x, number(n, 0.7071067811865476), &v));
    TLC_TRY(step(n, by_tanh ? TLC_OP_TANH : TLC_OP_ERF, v, NULL, &v));
    TLC_TRY(step(n, TLC_OP_ADD, v, number(n, 1), &v));
    TLC_TRY(step(n, TLC_OP_MUL, x, number(n, 0.5), &half));
    return tlc_onnx_finish(n, tlc_onnx_add(n, TLC_OP_MUL, (tlc_value *[]){ half, v }, 2));
}

/* x sigmoid(alpha x) */
tlc_status tlc_onnx_map_swish(tlc_onnx_node *n)
{
    double alpha;
    tlc_value *x = n->in[0], *v = x;
    TLC_TRY(tlc_onnx_float(n, "alpha", 1, &alpha));
    if (alpha != 1)
        TLC_TRY(step(n, TLC_OP_MUL, x, number(n, alpha), &v));
    TLC_TRY(step(n, TLC_OP_SIGMOID, v, NULL, &v));
    return tlc_onnx_finish(n, tlc_onnx_add(n, TLC_OP_MUL, (tlc_value *[]){ x, v }, 2));
}

static tlc_status with_number(const tlc_onnx_node *n, tlc_op op, int x)
{
    tlc_value *in[] = { splat(n, n->in[0]->type, (tlc_shape){ 0 }, x), n->in[0] };
    return tlc_onnx_finish(n, tlc_onnx_add(n, op, in, 2));
}

tlc_status tlc_onnx_map_neg(tlc_onnx_node *n)
{
    return with_number(n, TLC_OP_MUL, -1);
}

tlc_status tlc_onnx_map_reciprocal(tlc_onnx_node *n)
{
    return with_number(n, TLC_OP_DIV, 1);
}

/* The exponent is one number; a square and a square root are written as such. */
tlc_status tlc_onnx_map_pow(tlc_onnx_node *n)
{
    double exponent;
    TLC_TRY(tlc_onnx_want_const(n, 1, "exponent"));
    if (tlc_shape_elems(&n->in[1]->shape) != 1)
        return tlc_onnx_unsupported(n, "Pow with more than one exponent is not supported");
    TLC_TRY(tlc_onnx_const_number(n, 1, "exponent", 1, &exponent));
    if (exponent == 2)
        return tlc_onnx_finish(
            n, tlc_onnx_add(n, TLC_OP_MUL, (tlc_value *[]){ n->in[0], n->in[0] }, 2));
    if (exponent == 0.5)
        return map_unary(n, TLC_OP_SQRT);
    tlc_node *node = tlc_onnx_add(n, TLC_OP_POW, n->in, 1);
    TLC_ATTRS(node, tlc_unary_attrs)->alpha = exponent;
    return tlc_onnx_finish(n, node);
}

/* --- normalisation, pooling -------------------------------------------------------- */

tlc_status tlc_onnx_map_layer_norm(tlc_onnx_node *n)
{
    int rank = n->in[0]->shape.rank;
    double epsilon;
    int64_t axis, stash;
    TLC_TRY(tlc_onnx_want_const(n, 1, "scale"));
    if (tlc_onnx_in(n, 2))
        TLC_TRY(tlc_onnx_want_const(n, 2, "bias"));
    TLC_TRY(tlc_onnx_axis(n, -1, rank, rank - 1, &axis));
    TLC_TRY(tlc_onnx_float(n, "epsilon", 1e-5, &epsilon));
    TLC_TRY(tlc_onnx_int(n, "stash_type", 1, 1, 1, &stash));
    tlc_node *node = tlc_onnx_add(n, TLC_OP_LAYER_NORM, n->in, n->n_in);
    tlc_layer_norm_attrs *a = node->attrs;
    a->axis = axis;
    a->epsilon = epsilon;
    return tlc_onnx_finish(n, node);
}

tlc_status tlc_onnx_map_lrn(tlc_onnx_node *n)
{
    tlc_node *node = tlc_onnx_add(n, TLC_OP_LRN, n->in, 1);
    tlc_lrn_attrs *a = node->attrs;
    if (!tlc_onnx_attr(n, "size"))
        return TLC_ONNX_BAD(n, "size is absent");
    TLC_TRY(tlc_onnx_int(n, "size", 1, 1, INT32_MAX, &a->size));
    TLC_TRY(tlc_onnx_float(n, "alpha", 1e-4, &a->alpha));
    TLC_TRY(tlc_onnx_float(n, "beta", 0.75, &a->beta));
    TLC_TRY(tlc_onnx_float(n, "bias", 1, &a->bias));
    return tlc_onnx_finish(n, node);
}

/* One window over the whole plane. */
tlc_status tlc_onnx_map_global_max_pool(tlc_onnx_node *n)
{
    const tlc_shape *x = &n->in[0]->shape;
    if (x->rank != 4)
        return tlc_onnx_unsupported(n, "GlobalMaxPool of rank %d is not supported, 4 is", x->rank);
    tlc_node *node = tlc_onnx_add(n, TLC_OP_MAX_POOL2D, n->in, 1);
    tlc_pool2d_attrs *a = node->attrs;
    a->kernel = (tlc_ints){ .n = 2, .v = { x->dim[2], x->dim[3] } };
    a->stride = (tlc_ints){ .n = 2, .v = { 1, 1 } };
    a->dilation = a->stride;
    a->pad = (tlc_ints){ .n = 4 };
    return tlc_onnx_finish(n, node);
}

/* --- Split ------------------------------------------------------------------------- */

/* Extents of the parts: given, or as equal as they can be, the last one smaller. */
static tlc_status split_parts(const tlc_onnx_node *n, int64_t extent, tlc_ints *parts)
{
    int64_t count = (int64_t)n->proto->n_output, sum = 0;
    bool old = n->o->opset < 13;
    *parts = (tlc_ints){ 0 };
    if (old && tlc_onnx_attr(n, "split"))
        TLC_TRY(tlc_onnx_any_ints(n, "split", parts));
    else if (!old && tlc_onnx_in(n, 1))
        TLC_TRY(tlc_onnx_const_ints(n, 1, "split", parts));
    else if (count < 1 || count > 2 * TLC_MAX_RANK)
        return tlc_onnx_unsupported(n, "Split into %" PRId64 " parts is not supported", count);
    for (int i = 0; parts->n == 0 && i < count; ++i)
        parts->v[i] = (extent + count - 1) / count;
    if (parts->n == 0) {
        parts->n = (int)count;
        parts->v[count - 1] = extent - (count - 1) * parts->v[0];
    }
    for (int i = 0; i < parts->n; ++i) {
        if (parts->v[i] < 1 || parts->v[i] > extent)
            return tlc_onnx_unsupported(n, "Split with a part of %" PRId64 " is not supported",
                                        parts->v[i]);
        sum += parts->v[i];
    }
    if (parts->n != count || sum != extent)
        return TLC_ONNX_BAD(n, "split has %d parts of %" PRId64 " in all, %" PRId64
                            " parts of %" PRId64 " wanted", parts->n, sum, count, extent);
    return TLC_OK;
}

/* A slice for each part. */
tlc_status tlc_onnx_map_split(tlc_onnx_node *n)
{
    const tlc_shape *x = &n->in[0]->shape;
    tlc_ints parts;
    int64_t axis, at = 0;
    TLC_TRY(tlc_onnx_axis(n, 0, x->rank, x->rank - 1, &axis));
    if (x->dim[axis] == TLC_DIM_N)
        return tlc_onnx_unsupported(n, "Split of the batch is not supported");
    TLC_TRY(split_parts(n, x->dim[axis], &parts));
    for (int k = 0; k < parts.n; ++k) {
        tlc_node *node = tlc_onnx_add(n, TLC_OP_SLICE, n->in, 1);
        tlc_slice_attrs *a = node->attrs;
        tlc_value *v;
        a->starts.n = a->ends.n = a->steps.n = x->rank;
        for (int i = 0; i < x->rank; ++i) {
            a->ends.v[i] = x->dim[i];
            a->steps.v[i] = 1;
        }
        a->starts.v[axis] = at;
        a->ends.v[axis] = at += parts.v[k];
        TLC_TRY(tlc_onnx_step(n, node, &v));
        tlc_onnx_define(n, (size_t)k, v);
    }
    return TLC_OK;
}

/* --- Expand, Where ------------------------------------------------------------------ */

/* Dimension of `s`, seen as of rank `rank`. */
static int64_t aligned(const tlc_shape *s, int rank, int axis)
{
    int own = axis - (rank - s->rank);
    return own < 0 ? 1 : s->dim[own];
}

/* `v` repeated as the dimensions of `to` ask: times ones.  A constant for each picture (a class
 * token) stays one for all, 1 in front. */
static tlc_status expand(const tlc_onnx_node *n, tlc_value *v, const tlc_ints *to)
{
    tlc_shape ones = { .rank = to->n };
    int rank = to->n > v->shape.rank ? to->n : v->shape.rank;
    bool all_ones = true;
    for (int i = 0; i < to->n; ++i) {
        bool is_batch = aligned(&v->shape, rank, rank - to->n + i) == TLC_DIM_N;
        bool symbol = to->v[i] == TLC_DIM_SYMBOL;
        bool stands_for_batch = v->kind == TLC_CONST && rank == to->n && i == 0 &&
                                aligned(&v->shape, rank, 0) == 1;
        if (symbol && !is_batch && !stands_for_batch)
            return tlc_onnx_unsupported(n, "%s along the batch is not supported", n->row->op);
        if (is_batch && !symbol && to->v[i] != 1 && to->v[i] != n->o->fixed_batch)
            return tlc_onnx_unsupported(n, "%s of the batch is not supported", n->row->op);
        ones.dim[i] = is_batch || symbol ? 1 : to->v[i];
        all_ones = all_ones && ones.dim[i] == 1;
    }
    if (all_ones && v->kind == TLC_CONST && ones.rank <= v->shape.rank) {
        tlc_onnx_define(n, 0, v);
        return TLC_OK;
    }
    TLC_TRY(tlc_check_shape(n->o->ctx, &ones, "shape"));
    TLC_TRY(tlc_onnx_count_made(n->o->ctx, &ones, v->type));
    tlc_value *in[] = { v, splat(n, v->type, ones, 1) };
    return tlc_onnx_finish(n, tlc_onnx_add(n, TLC_OP_MUL, in, 2));
}

tlc_status tlc_onnx_map_expand(tlc_onnx_node *n)
{
    tlc_ints to;
    TLC_TRY(tlc_onnx_const_ints(n, 1, "shape", &to));
    if (to.n > TLC_MAX_RANK)
        return tlc_over_limit(n->o->ctx, TLB_LIMIT_RANK, to.n);
    return expand(n, n->in[0], &to);
}

/* The condition says the same everywhere: *which is the operand it picks, 1 or 2; else 0. */
static int uniform_choice(const tlc_value *condition)
{
    int64_t elems = tlc_shape_elems(&condition->shape);
    bool first = elems > 0 && tlc_data_i64(condition, 0) != 0;
    for (int64_t i = 1; i < elems; ++i)
        if ((tlc_data_i64(condition, i) != 0) != first)
            return 0;
    return first ? 1 : 2;
}

/* Exporters write it in shape arithmetic (-1 stands for the batch or not) and around masks that
 * are all true. */
tlc_status tlc_onnx_map_where(tlc_onnx_node *n)
{
    TLC_TRY(tlc_onnx_want_const(n, 0, "condition"));
    int which = uniform_choice(n->in[0]);
    if (!which)
        return tlc_onnx_finish(n, tlc_onnx_add(n, TLC_OP_WHERE, n->in, 3));
    const tlc_shape *c = &n->in[0]->shape, *other = &n->in[3 - which]->shape;
    tlc_ints to = { .n = c->rank > other->rank ? c->rank : other->rank };
    for (int i = 0; i < to.n; ++i) {
        int64_t a = aligned(c, to.n, i), b = aligned(other, to.n, i);
        to.v[i] = a == 1 ? b : a;
        if (to.v[i] == TLC_DIM_N)
            to.v[i] = TLC_DIM_SYMBOL;
    }
    return expand(n, n->in[which], &to);
}

/* --- MatMul of maps ------------------------------------------------------------------ */

static tlc_node *permute(const tlc_onnx_node *n, tlc_value *x, const int64_t perm[4])
{
    tlc_node *node = tlc_onnx_add(n, TLC_OP_TRANSPOSE, &x, 1);
    tlc_ints *p = &TLC_ATTRS(node, tlc_perm_attrs)->perm;
    p->n = 4;
    memcpy(p->v, perm, 4 * sizeof *perm);
    return node;
}

/* B [in, out] as the weight of a 1x1 convolution. */
static tlc_status conv_weight(const tlc_onnx_node *n, const tlc_value *b, tlc_value **w)
{
    int64_t in = b->shape.dim[0], out = b->shape.dim[1];
    float *bytes;
    tlc_shape shape = tlc_shape_make(4, (int64_t[]){ out, in, 1, 1 });
    TLC_TRY(tlc_onnx_copy(n->o, b, shape, &bytes, w));
    for (int64_t r = 0; r < in; ++r)
        for (int64_t c = 0; c < out; ++c)
            bytes[c * in + r] = (float)tlc_data_f64(b, r * out + c);
    tlc_onnx_mark_weight(n->o, *w, b);
    return TLC_OK;
}

static tlc_status reshape(const tlc_onnx_node *n, tlc_value *x, const tlc_ints *to, tlc_value **out)
{
    tlc_node *node = tlc_onnx_add(n, TLC_OP_RESHAPE, &x, 1);
    TLC_ATTRS(node, tlc_reshape_attrs)->shape = *to;
    return tlc_onnx_step(n, node, out);
}

/* A value of rank 4 is taken as the map that it is, any other as one of width 1. */
tlc_status tlc_onnx_conv_last(tlc_onnx_node *n, tlc_value *w, tlc_value *bias)
{
    static const int64_t to_front[] = { 0, 3, 1, 2 }, to_back[] = { 0, 2, 3, 1 };
    const tlc_shape x = n->in[0]->shape;
    int64_t in = x.dim[x.rank - 1];
    tlc_ints map = { .n = 4, .v = { TLC_DIM_N, tlc_shape_elems(&x) / in, 1, in } };
    tlc_ints back = { .n = x.rank };
    tlc_value *v = n->in[0];
    for (int i = 0; i < x.rank; ++i)
        back.v[i] = i + 1 < x.rank ? x.dim[i] : w->shape.dim[0];
    if (x.rank != 4)
        TLC_TRY(reshape(n, v, &map, &v));
    TLC_TRY(tlc_onnx_step(n, permute(n, v, to_front), &v));
    tlc_node *node = tlc_onnx_add(n, TLC_OP_CONV2D, (tlc_value *[]){ v, w, bias }, 3);
    TLC_ATTRS(node, tlc_conv2d_attrs)->groups = 1;
    TLC_TRY(tlc_onnx_step(n, node, &v));
    node = permute(n, v, to_back);
    if (x.rank == 4)
        return tlc_onnx_finish(n, node);
    TLC_TRY(tlc_onnx_step(n, node, &v));
    TLC_TRY(reshape(n, v, &back, &v));
    tlc_onnx_define(n, 0, v);
    return TLC_OK;
}

/* [n,..,in] times [in,out] */
tlc_status tlc_onnx_matmul_map(tlc_onnx_node *n)
{
    const tlc_value *x = n->in[0], *b = n->in[1];
    tlc_value *w;
    if (b->type != TLC_F32 || x->type != TLC_F32 ||
        x->shape.dim[x->shape.rank - 1] != b->shape.dim[0])
        return tlc_fail(n->o->ctx, TLC_E_MALFORMED, "E_SHAPE", "shapes %s and %s do not multiply",
                        tlc_type_text(n->o->ctx, x), tlc_type_text(n->o->ctx, b));
    TLC_TRY(conv_weight(n, b, &w));
    return tlc_onnx_conv_last(n, w, NULL);
}
