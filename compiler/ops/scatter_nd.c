/* scatter_nd.c: range, and data with parts of it written anew: what exporters compute masks with,
 * folded at compile time.
 *
 * indices [.., k] name parts of `data` by its first k axes, updates [.., the axes behind] hold what
 * they become; where one is named twice the last update stays.
 */
#include "op_fold.h"
#include "op_infer.h"

#include <inttypes.h>

/* --- scatter_nd ------------------------------------------------------------------ */

static tlc_status infer_scatter(tlc_ctx *ctx, tlc_node *n)
{
    const tlc_shape *data = &n->in[0]->shape, *indices = &n->in[1]->shape;
    tlc_shape want = { .rank = indices->rank - 1 };
    TLC_TRY(tlc_want_index(ctx, n->in[1], "indices"));
    TLC_TRY(tlc_want_type(ctx, n->in[2], n->in[0]->type, "updates"));
    for (int i = 0; i < 3; ++i)
        TLC_TRY(tlc_want_fixed(ctx, n->in[i], i == 0 ? "data" : i == 1 ? "indices" : "updates"));
    if (indices->rank < 1 || indices->dim[want.rank] > data->rank)
        return tlc_fail(ctx, TLC_E_MALFORMED, "E_SHAPE", "indices %s do not fit data %s",
                        tlc_dims_text(ctx, indices), tlc_dims_text(ctx, data));
    int named = (int)indices->dim[want.rank];
    if (want.rank + data->rank - named > TLC_MAX_RANK)
        return tlc_fail(ctx, TLC_E_LIMIT, "E_LIMIT_RANK", "updates have rank %d, at most %d",
                        want.rank + data->rank - named, TLC_MAX_RANK);
    for (int i = 0; i < want.rank; ++i)
        want.dim[i] = indices->dim[i];
    for (int i = named; i < data->rank; ++i)
        want.dim[want.rank++] = data->dim[i];
    TLC_TRY(tlc_want_shape(ctx, n->in[2], &want, "updates"));
    tlc_set_result(n, n->in[0]->type, *data);
    return TLC_OK;
}

/* Which of data's parts of `named` axes the `i`-th index is. */
static tlc_status part_at(tlc_ctx *ctx, const tlc_node *n, int named, int64_t i, int64_t *out)
{
    *out = 0;
    for (int axis = 0; axis < named; ++axis) {
        int64_t extent = n->in[0]->shape.dim[axis];
        int64_t index = tlc_data_i64(n->in[1], i * named + axis);
        if (index < -extent || index >= extent)
            return tlc_fail(ctx, TLC_E_MALFORMED, "E_INDEX",
                            "index %" PRId64 " of axis %d is %" PRId64 ", at least %" PRId64
                            " and at most %" PRId64, i, axis, index, -extent, extent - 1);
        *out = *out * extent + (index < 0 ? index + extent : index);
    }
    return TLC_OK;
}

/* Splats make many updates of few bytes: their work is held against the limit as well. */
static tlc_status fold_scatter(tlc_ctx *ctx, const tlc_node *n, tlc_value **out)
{
    const tlc_value *data = n->in[0], *updates = n->in[2];
    const tlc_shape *indices = &n->in[1]->shape;
    int named = (int)indices->dim[indices->rank - 1];
    int64_t parts = 1, inner = 1, most = ctx->limits.max[TLB_LIMIT_FOLDED];
    tlc_folded f;
    if (!tlc_dims_product(indices, 0, indices->rank - 1, &parts) ||
        parts > most || tlc_shape_elems(&updates->shape) > most)
        return tlc_fail(ctx, TLC_E_LIMIT, "E_LIMIT_FOLDED",
                        "scatter_nd of %" PRId64 " parts, limit folded is %" PRId64, parts, most);
    for (int i = named; i < data->shape.rank; ++i)
        inner *= data->shape.dim[i];
    TLC_TRY(tlc_fold_begin(ctx, n, &f));
    for (int64_t i = 0; i < tlc_shape_elems(&data->shape); ++i)
        tlc_fold_copy(&f, i, data, i);
    for (int64_t i = 0; i < parts; ++i) {
        int64_t at;
        TLC_TRY(part_at(ctx, n, named, i, &at));
        for (int64_t k = 0; k < inner; ++k)
            tlc_fold_copy(&f, at * inner + k, updates, i * inner + k);
    }
    *out = tlc_fold_end(&f);
    return TLC_OK;
}

const tlc_op_def tlc_op_scatter_nd = { .infer = infer_scatter, .fold = fold_scatter };

/* --- range ------------------------------------------------------------------------ */

/* How many numbers; the batch symbol is none that can be counted to. */
static tlc_status count(tlc_ctx *ctx, const tlc_node *n, int64_t *out)
{
    int64_t v[3], span;
    for (int i = 0; i < 3; ++i) {
        if (n->in[i]->kind != TLC_CONST || !n->in[i]->data)
            return tlc_fail(ctx, TLC_E_UNSUPPORTED, "E_CONSTANT", "operand %d is not constant", i);
        v[i] = tlc_data_i64(n->in[i], 0);
        if (tlc_dim_multiple(v[i]))
            return tlc_fail_batch(ctx, "range would count by");
    }
    if (v[2] == 0)
        return tlc_fail(ctx, TLC_E_MALFORMED, "E_ATTR", "range in steps of 0");
    if (__builtin_sub_overflow(v[1], v[0], &span))
        return tlc_fail(ctx, TLC_E_MALFORMED, "E_OVERFLOW", "range: size overflows");
    bool empty = v[2] > 0 ? span <= 0 : span >= 0;
    *out = empty ? 0 : (span - (v[2] > 0 ? 1 : -1)) / v[2] + 1;
    return TLC_OK;
}

static tlc_status infer_range(tlc_ctx *ctx, tlc_node *n)
{
    int64_t elems;
    for (int i = 0; i < 3; ++i) {
        TLC_TRY(tlc_want_index(ctx, n->in[i], "operand"));
        TLC_TRY(tlc_want_type(ctx, n->in[i], n->in[0]->type, "operand"));
        TLC_TRY(tlc_want_rank(ctx, n->in[i], 0, "operand"));
    }
    TLC_TRY(count(ctx, n, &elems));
    tlc_set_result(n, n->in[0]->type, tlc_shape_make(1, &elems));
    return TLC_OK;
}

static tlc_status fold_range(tlc_ctx *ctx, const tlc_node *n, tlc_value **out)
{
    int64_t start = tlc_data_i64(n->in[0], 0), step = tlc_data_i64(n->in[2], 0);
    tlc_folded f;
    TLC_TRY(tlc_fold_begin(ctx, n, &f));
    for (int64_t i = 0; i < n->out[0]->shape.dim[0]; ++i)
        tlc_fold_put_i64(&f, i, start + i * step);
    *out = tlc_fold_end(&f);
    return TLC_OK;
}

const tlc_op_def tlc_op_range = { .infer = infer_range, .fold = fold_range };
