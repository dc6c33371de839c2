/* op_infer.c: operand checks shared by the infer functions. */
#include "op_infer.h"

#include <inttypes.h>

const char *tlc_dims_text(tlc_ctx *ctx, const tlc_shape *s)
{
    const char *text = "";
    for (int i = 0; i < s->rank; ++i) {
        const char *comma = i > 0 ? "," : "";
        text = s->dim[i] == TLC_DIM_N
                   ? tlc_arena_printf(&ctx->arena, "%s%sn", text, comma)
                   : tlc_arena_printf(&ctx->arena, "%s%s%" PRId64, text, comma, s->dim[i]);
    }
    return tlc_arena_printf(&ctx->arena, "[%s]", text);
}

tlc_status tlc_want_float(tlc_ctx *ctx, const tlc_value *v, const char *what)
{
    if (tlc_is_float(v->type))
        return TLC_OK;
    return tlc_fail(ctx, TLC_E_MALFORMED, "E_TYPE", "%s is %s, floating point wanted", what,
                    tlc_type_name(v->type));
}

tlc_status tlc_want_type(tlc_ctx *ctx, const tlc_value *v, tlc_type t, const char *what)
{
    if (v->type == t)
        return TLC_OK;
    return tlc_fail(ctx, TLC_E_MALFORMED, "E_TYPE", "%s is %s, %s wanted", what,
                    tlc_type_name(v->type), tlc_type_name(t));
}

tlc_status tlc_want_index(tlc_ctx *ctx, const tlc_value *v, const char *what)
{
    if (v->type == TLC_I64 || v->type == TLC_I32)
        return TLC_OK;
    return tlc_fail(ctx, TLC_E_MALFORMED, "E_TYPE", "%s is %s, i64 or i32 wanted", what,
                    tlc_type_name(v->type));
}

tlc_status tlc_want_rank(tlc_ctx *ctx, const tlc_value *v, int rank, const char *what)
{
    if (v->shape.rank == rank)
        return TLC_OK;
    return tlc_fail(ctx, TLC_E_MALFORMED, "E_RANK", "shape of %s is %s: rank %d, %d wanted", what,
                    tlc_dims_text(ctx, &v->shape), v->shape.rank, rank);
}

tlc_status tlc_want_shape(tlc_ctx *ctx, const tlc_value *v, const tlc_shape *s, const char *what)
{
    if (tlc_shape_equal(&v->shape, s))
        return TLC_OK;
    return tlc_fail(ctx, TLC_E_MALFORMED, "E_SHAPE", "shape of %s is %s, %s wanted", what,
                    tlc_dims_text(ctx, &v->shape), tlc_dims_text(ctx, s));
}

tlc_status tlc_want_vector(tlc_ctx *ctx, const tlc_value *v, tlc_type t, int64_t extent,
                           const char *what)
{
    tlc_shape s = tlc_shape_make(1, &extent);
    TLC_TRY(tlc_want_type(ctx, v, t, what));
    return tlc_want_shape(ctx, v, &s, what);
}

tlc_status tlc_want_like(tlc_ctx *ctx, const tlc_value *v, const tlc_value *like,
                         const char *what)
{
    TLC_TRY(tlc_want_type(ctx, v, like->type, what));
    return tlc_want_shape(ctx, v, &like->shape, what);
}

tlc_status tlc_want_fixed(tlc_ctx *ctx, const tlc_value *v, const char *what)
{
    if (!tlc_shape_has_n(&v->shape))
        return TLC_OK;
    return tlc_fail(ctx, TLC_E_MALFORMED, "E_BATCH", "shape of %s is %s, without the batch wanted",
                    what, tlc_dims_text(ctx, &v->shape));
}

tlc_status tlc_want_matrix(tlc_ctx *ctx, const tlc_value *v, const char *what)
{
    TLC_TRY(tlc_want_float(ctx, v, what));
    return tlc_want_rank(ctx, v, 2, what);
}

tlc_status tlc_fail_batch(tlc_ctx *ctx, const char *what)
{
    return tlc_fail(ctx, TLC_E_UNSUPPORTED, "E_BATCH", "%s the batch, the leading dimension",
                    what);
}

tlc_status tlc_want_axis(tlc_ctx *ctx, int64_t axis, int64_t most)
{
    if (axis >= 0 && axis <= most)
        return TLC_OK;
    return tlc_fail(ctx, TLC_E_MALFORMED, "E_ATTR", "axis is %" PRId64 ", at most %" PRId64, axis,
                    most);
}

tlc_status tlc_want_axes(tlc_ctx *ctx, const tlc_ints *axes, int rank, const char *attr)
{
    bool seen[2 * TLC_MAX_RANK] = { false };
    for (int i = 0; i < axes->n; ++i) {
        if (axes->v[i] < 0 || axes->v[i] >= rank)
            return tlc_fail(ctx, TLC_E_MALFORMED, "E_ATTR", "%s[%d] is %" PRId64 ", at most %d",
                            attr, i, axes->v[i], rank - 1);
        if (seen[axes->v[i]])
            return tlc_fail(ctx, TLC_E_MALFORMED, "E_ATTR",
                            "%s[%d] is %" PRId64 " a second time, each axis at most once", attr,
                            i, axes->v[i]);
        seen[axes->v[i]] = true;
    }
    return TLC_OK;
}

tlc_status tlc_want_bounds(tlc_ctx *ctx, double lo, double hi)
{
    if (lo <= hi)
        return TLC_OK;
    return tlc_fail(ctx, TLC_E_MALFORMED, "E_ATTR", "lo is %g, at most hi, which is %g", lo, hi);
}

void tlc_set_result(tlc_node *n, tlc_type t, tlc_shape s)
{
    n->out[0]->type = t;
    n->out[0]->shape = s;
}

tlc_shape tlc_shape2(int64_t a, int64_t b)
{
    return tlc_shape_make(2, (int64_t[]){ a, b });
}

bool tlc_dims_product(const tlc_shape *s, int from, int to, int64_t *out)
{
    int64_t product = 1;
    for (int i = from; i < to; ++i) {
        int64_t d = s->dim[i] == TLC_DIM_N ? 1 : s->dim[i];
        if (__builtin_mul_overflow(product, d, &product))
            return false;
    }
    *out = product;
    return true;
}

tlc_status tlc_infer_same_float(tlc_ctx *ctx, tlc_node *n)
{
    TLC_TRY(tlc_want_float(ctx, n->in[0], "x"));
    tlc_set_result(n, n->in[0]->type, n->in[0]->shape);
    return TLC_OK;
}

/* dim `axis` of s seen as of rank `rank`, counted from the front. */
static int64_t aligned_dim(const tlc_shape *s, int rank, int axis)
{
    int own = axis - (rank - s->rank);
    return own < 0 ? 1 : s->dim[own];
}

tlc_status tlc_broadcast_shape(tlc_ctx *ctx, const tlc_shape *a, const tlc_shape *b, tlc_shape *out)
{
    out->rank = a->rank > b->rank ? a->rank : b->rank;
    for (int i = 0; i < out->rank; ++i) {
        int64_t da = aligned_dim(a, out->rank, i), db = aligned_dim(b, out->rank, i);
        if (da != db && da != 1 && db != 1)
            return tlc_fail(ctx, TLC_E_MALFORMED, "E_SHAPE",
                            "shapes %s and %s do not broadcast", tlc_dims_text(ctx, a),
                            tlc_dims_text(ctx, b));
        out->dim[i] = da == 1 ? db : da;
        if (i > 0 && out->dim[i] == TLC_DIM_N)
            return tlc_fail_batch(ctx, "broadcasting would move");
    }
    return TLC_OK;
}
