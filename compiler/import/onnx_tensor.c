/* onnx_tensor.c: TensorProto to a constant.
 *
 * Order of the checks, as everywhere: claims against the bytes that are there, then
 * against the limits, and only then is anything allocated.
 */
#include "onnx_import.h"

#include "onnx_guard.h"

#include <inttypes.h>
#include <string.h>

/* Where a tensor may keep elements of a type besides raw_data. */
typedef enum typed_field { NONE, FLOATS, INT32S, INT64S, DOUBLES } typed_field;

typedef struct tlc_elem_row {
    int32_t data_type;
    const char *name;
    int bytes;     /* of an element in raw_data; 0: not served */
    tlc_type type; /* in the IR */
    typed_field field;
} tlc_elem_row;

/* INT32 becomes i64: in it shape arithmetic keeps the batch, which TensorFlow counts in INT32. */
static const tlc_elem_row elem_rows[] = {
    { 1, "FLOAT", 4, TLC_F32, FLOATS },      { 2, "UINT8", 1, TLC_U8, INT32S },
    { 3, "INT8", 0, TLC_U8, NONE },          { 4, "UINT16", 0, TLC_U8, NONE },
    { 5, "INT16", 0, TLC_U8, NONE },         { 6, "INT32", 4, TLC_I64, INT32S },
    { 7, "INT64", 8, TLC_I64, INT64S },      { 8, "STRING", 0, TLC_U8, NONE },
    { 9, "BOOL", 1, TLC_BOOL, INT32S },      { 10, "FLOAT16", 2, TLC_F32, INT32S },
    { 11, "DOUBLE", 8, TLC_F64, DOUBLES },   { 12, "UINT32", 0, TLC_U8, NONE },
    { 13, "UINT64", 0, TLC_U8, NONE },       { 14, "COMPLEX64", 0, TLC_U8, NONE },
    { 15, "COMPLEX128", 0, TLC_U8, NONE },   { 16, "BFLOAT16", 2, TLC_F32, INT32S },
    { 17, "FLOAT8E4M3FN", 0, TLC_U8, NONE }, { 18, "FLOAT8E4M3FNUZ", 0, TLC_U8, NONE },
    { 19, "FLOAT8E5M2", 0, TLC_U8, NONE },   { 20, "FLOAT8E5M2FNUZ", 0, TLC_U8, NONE },
    { 21, "UINT4", 0, TLC_U8, NONE },        { 22, "INT4", 0, TLC_U8, NONE },
    { 23, "FLOAT4E2M1", 0, TLC_U8, NONE },
};

static tlc_status find_elem(tlc_ctx *ctx, int32_t data_type, const tlc_elem_row **out)
{
    for (size_t i = 0; i < sizeof elem_rows / sizeof *elem_rows; ++i) {
        if (elem_rows[i].data_type != data_type)
            continue;
        *out = &elem_rows[i];
        if (elem_rows[i].bytes)
            return TLC_OK;
        return tlc_fail(ctx, TLC_E_UNSUPPORTED, "E_ELEMENT_TYPE",
                        "element type %s is not supported", elem_rows[i].name);
    }
    return tlc_fail(ctx, TLC_E_MALFORMED, "E_ELEMENT_TYPE",
                    "element type %" PRId32 ", 1 to 23 exist", data_type);
}

tlc_status tlc_onnx_elem_type(tlc_ctx *ctx, int32_t data_type, tlc_type *out)
{
    const tlc_elem_row *row = NULL;
    TLC_TRY(find_elem(ctx, data_type, &row));
    *out = row->type;
    return TLC_OK;
}

/* --- checks -------------------------------------------------------------- */

/* Elements by the dimensions, with no limit but 64 bits. */
static tlc_status count_elems(tlc_ctx *ctx, const Onnx__TensorProto *t, int64_t *out)
{
    int64_t elems = 1;
    for (size_t i = 0; i < t->n_dims; ++i) {
        int64_t d = t->dims[i];
        if (d < 0 || (d == 0 && t->n_dims > 1))
            return tlc_fail(ctx, TLC_E_MALFORMED, "E_SHAPE",
                            "dimension %zu is %" PRId64 ", at least 1", i, d);
        if (__builtin_mul_overflow(elems, d, &elems))
            return tlc_fail(ctx, TLC_E_MALFORMED, "E_SHAPE",
                            "size overflows 64 bits at dimension %zu", i);
    }
    *out = elems;
    return TLC_OK;
}

static size_t typed_elems(const Onnx__TensorProto *t, typed_field f)
{
    const size_t n[] = { 0, t->n_float_data, t->n_int32_data, t->n_int64_data, t->n_double_data };
    return n[f];
}

static bool is_external(const Onnx__TensorProto *t)
{
    return t->has_data_location && t->data_location == ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL;
}

static tlc_status check_sources(tlc_ctx *ctx, const Onnx__TensorProto *t)
{
    int sources = (t->has_raw_data != 0) + is_external(t) + (t->n_float_data > 0) +
                  (t->n_int32_data > 0) + (t->n_int64_data > 0) + (t->n_double_data > 0) +
                  (t->n_uint64_data > 0) + (t->n_string_data > 0);
    if (sources > 1)
        return tlc_fail(ctx, TLC_E_MALFORMED, "E_TENSOR", "data given twice: in %d fields",
                        sources);
    if (t->segment)
        return tlc_fail(ctx, TLC_E_UNSUPPORTED, "E_TENSOR", "segment is not supported");
    return TLC_OK;
}

static tlc_status short_of(tlc_ctx *ctx, uint64_t found, int64_t wanted)
{
    return tlc_fail(ctx, TLC_E_MALFORMED, "E_TENSOR",
                    "data of %" PRIu64 " bytes, the dimensions ask for %" PRId64, found, wanted);
}

static tlc_status find_bytes(tlc_onnx *o, const Onnx__TensorProto *t, int64_t elems, int64_t bytes,
                             tlc_onnx_tensor *out)
{
    tlc_raw_range range;
    if (is_external(t))
        return tlc_onnx_external_find(o, t, bytes, out);
    if (!t->has_raw_data) {
        uint64_t found = typed_elems(t, out->elem->field);
        return found == (uint64_t)elems
                   ? TLC_OK
                   : short_of(o->ctx, found * (unsigned)out->elem->bytes, bytes);
    }
    memcpy(&range, t->raw_data.data, sizeof range); /* the guard put it there */
    if (range.n_bytes != (uint64_t)bytes)
        return short_of(o->ctx, range.n_bytes, bytes);
    out->raw = o->file->bytes + range.offset;
    out->file = o->file_name;
    out->file_offset = (int64_t)range.offset;
    return TLC_OK;
}

static tlc_status count_weights(tlc_ctx *ctx, int64_t bytes)
{
    int64_t sum;
    if (__builtin_add_overflow(ctx->weights_bytes, bytes, &sum))
        sum = INT64_MAX;
    if (sum > ctx->limits.max[TLB_LIMIT_WEIGHTS])
        return tlc_over_limit(ctx, TLB_LIMIT_WEIGHTS, sum);
    ctx->weights_bytes = sum;
    return TLC_OK;
}

static tlc_status check_limits(tlc_onnx *o, const Onnx__TensorProto *t, int64_t bytes,
                               tlc_onnx_tensor *out)
{
    int64_t rank = (int64_t)t->n_dims;
    if (rank > TLC_MAX_RANK || rank > o->ctx->limits.max[TLB_LIMIT_RANK])
        return tlc_over_limit(o->ctx, TLB_LIMIT_RANK, rank);
    out->shape = tlc_shape_make((int)rank, t->dims);
    TLC_TRY(tlc_check_shape(o->ctx, &out->shape, "tensor"));
    return count_weights(o->ctx, bytes);
}

tlc_status tlc_onnx_tensor_check(tlc_onnx *o, const Onnx__TensorProto *t, tlc_onnx_tensor *out)
{
    int64_t elems = 0, bytes = 0;
    tlc_onnx_tensor found = { 0 };
    TLC_TRY(find_elem(o->ctx, t->has_data_type ? t->data_type : 0, &found.elem));
    TLC_TRY(count_elems(o->ctx, t, &elems));
    if (__builtin_mul_overflow(elems, (int64_t)found.elem->bytes, &bytes))
        return tlc_fail(o->ctx, TLC_E_MALFORMED, "E_SHAPE", "size overflows 64 bits");
    TLC_TRY(check_sources(o->ctx, t));
    found.type = found.elem->type;
    TLC_TRY(find_bytes(o, t, elems, bytes, &found));
    TLC_TRY(check_limits(o, t, bytes, &found));
    *out = found;
    return TLC_OK;
}

/* --- conversions --------------------------------------------------------- */

static void convert_halves(const tlc_onnx_tensor *x, const Onnx__TensorProto *t, int64_t n,
                           float *to)
{
    bool is_bfloat = x->elem->data_type == 16;
    for (int64_t i = 0; i < n; ++i) {
        uint16_t h;
        if (x->raw)
            memcpy(&h, x->raw + 2 * i, sizeof h);
        else
            h = (uint16_t)t->int32_data[i];
        to[i] = is_bfloat ? tlc_bfloat_to_float(h) : tlc_half_to_float(h);
    }
}

/* Elements from the typed fields of the message. */
static void copy_typed(const tlc_onnx_tensor *x, const Onnx__TensorProto *t, int64_t n, void *to)
{
    size_t bytes = (size_t)n * (size_t)x->elem->bytes;
    const void *from[] = { NULL, t->float_data, t->int32_data, t->int64_data, t->double_data };
    if (bytes == 0)
        return;
    if (x->elem->bytes == 1)
        for (int64_t i = 0; i < n; ++i)
            ((unsigned char *)to)[i] = (unsigned char)t->int32_data[i];
    else
        memcpy(to, from[x->elem->field], bytes);
}

static void widen(const tlc_onnx_tensor *x, const Onnx__TensorProto *t, int64_t n, int64_t *to)
{
    for (int64_t i = 0; i < n; ++i) {
        int32_t v;
        if (x->raw)
            memcpy(&v, x->raw + 4 * i, sizeof v);
        else
            v = t->int32_data[i];
        to[i] = v;
    }
}

/* -2^63 and some numbers below -2^62 stand for multiples of the batch in constants.  In a file they
 * can only mean "as far back as there is" (Slice), and -2^63 + 1 says the same. */
static void replace_symbol(int64_t *v, int64_t n)
{
    for (int64_t i = 0; i < n; ++i)
        if (tlc_dim_multiple(v[i]))
            v[i] = TLC_DIM_SYMBOL + 1;
}

static bool can_view(const tlc_onnx_tensor *x)
{
    return x->raw && x->elem->bytes == tlc_type_bytes(x->type) && x->type != TLC_I64;
}

static void fill(const tlc_onnx_tensor *x, const Onnx__TensorProto *t, void *to)
{
    int64_t n = tlc_shape_elems(&x->shape);
    if (x->elem->bytes == 2)
        convert_halves(x, t, n, to);
    else if (x->type == TLC_I64 && x->elem->bytes == 4)
        widen(x, t, n, to);
    else if (!x->raw)
        copy_typed(x, t, n, to);
    else if (n)
        memcpy(to, x->raw, (size_t)n * (size_t)x->elem->bytes);
    if (x->type == TLC_I64)
        replace_symbol(to, n);
}

tlc_status tlc_onnx_tensor_make(tlc_onnx *o, const Onnx__TensorProto *t, const char *name,
                                tlc_value **out)
{
    tlc_onnx_tensor x;
    TLC_TRY(tlc_onnx_tensor_check(o, t, &x));
    if (!can_view(&x)) {
        void *bytes;
        *out = tlc_const_make(o->module, name, x.type, x.shape, &bytes);
        fill(&x, t, bytes);
        return TLC_OK;
    }
    *out = tlc_global_add(o->module, TLC_CONST, name, x.type, x.shape);
    (*out)->data = x.raw;
    (*out)->file = x.file;
    (*out)->file_offset = x.file_offset;
    return TLC_OK;
}

tlc_status tlc_onnx_to_f32(tlc_onnx *o, const tlc_value *v, tlc_value **out)
{
    float *bytes;
    int64_t n = tlc_shape_elems(&v->shape);
    TLC_TRY(tlc_onnx_copy(o, v, v->shape, &bytes, out));
    for (int64_t i = 0; i < n; ++i)
        bytes[i] = (float)tlc_data_f64(v, i);
    if (tlc_onnx_is_weight(o, v))
        tlc_onnx_mark_weight(o, *out, v);
    return TLC_OK;
}
