/* gather.c: parts of `data` by index along an axis; serves shape arithmetic alone.
 *
 * Result shape: data's with the axis replaced by the shape of `indices`.  A negative index
 * counts from the end.
 */
#include "op_attrs.h"
#include "op_fold.h"
#include "op_infer.h"

#include <inttypes.h>

static const tlc_attr_def attrs[] = {
    TLC_ATTR_INT_ROW(tlc_axis_attrs, axis, 0, TLC_MAX_RANK - 1, "0"),
    TLC_ATTR_END
};

static tlc_status infer(tlc_ctx *ctx, tlc_node *n)
{
    const tlc_value *data = n->in[0], *indices = n->in[1];
    int axis = (int)TLC_ATTRS(n, tlc_axis_attrs)->axis;
    tlc_shape y = { 0 };
    TLC_TRY(tlc_want_index(ctx, indices, "indices"));
    TLC_TRY(tlc_want_fixed(ctx, indices, "indices"));
    TLC_TRY(tlc_want_axis(ctx, axis, data->shape.rank - 1));
    if (axis == 0 && tlc_shape_has_n(&data->shape))
        return tlc_fail_batch(ctx, "gather along axis 0 would pick from");
    if (data->shape.rank - 1 + indices->shape.rank > TLC_MAX_RANK)
        return tlc_fail(ctx, TLC_E_LIMIT, "E_LIMIT_RANK", "result has rank %d, at most %d",
                        data->shape.rank - 1 + indices->shape.rank, TLC_MAX_RANK);
    for (int i = 0; i < axis; ++i)
        y.dim[y.rank++] = data->shape.dim[i];
    for (int i = 0; i < indices->shape.rank; ++i)
        y.dim[y.rank++] = indices->shape.dim[i];
    for (int i = axis + 1; i < data->shape.rank; ++i)
        y.dim[y.rank++] = data->shape.dim[i];
    tlc_set_result(n, data->type, y);
    return TLC_OK;
}

static tlc_status index_at(tlc_ctx *ctx, const tlc_value *indices, int64_t i, int64_t extent,
                           int64_t *out)
{
    int64_t index = tlc_data_i64(indices, i);
    if (index < -extent || index >= extent)
        return tlc_fail(ctx, TLC_E_MALFORMED, "E_INDEX",
                        "indices[%" PRId64 "] is %" PRId64 ", at least %" PRId64
                        " and at most %" PRId64,
                        i, index, -extent, extent - 1);
    *out = index < 0 ? index + extent : index;
    return TLC_OK;
}

/* Seen as data[outer][extent][inner] and result[outer][index][inner]. */
static tlc_status fold(tlc_ctx *ctx, const tlc_node *n, tlc_value **out)
{
    const tlc_value *data = n->in[0], *indices = n->in[1];
    int axis = (int)TLC_ATTRS(n, tlc_axis_attrs)->axis;
    int64_t extent = data->shape.dim[axis], n_indices = tlc_shape_elems(&indices->shape);
    int64_t elems = tlc_shape_elems(&n->out[0]->shape), inner = 1;
    tlc_folded f;
    TLC_TRY(tlc_fold_begin(ctx, n, &f));
    for (int i = axis + 1; i < data->shape.rank; ++i)
        inner *= data->shape.dim[i];
    for (int64_t i = 0; i < elems; ++i) {
        int64_t block = i / inner, index = 0;
        TLC_TRY(index_at(ctx, indices, block % n_indices, extent, &index));
        tlc_fold_copy(&f, i, data, (block / n_indices * extent + index) * inner + i % inner);
    }
    *out = tlc_fold_end(&f);
    return TLC_OK;
}

const tlc_op_def tlc_op_gather = {
    .attrs = attrs,
    .attrs_size = sizeof(tlc_axis_attrs),
    .infer = infer,
    .fold = fold,
};
