/* onnx_external.c: tensors whose bytes lie in files beside the model (data.h opens them). */
#include "onnx_import.h"

#include "data.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

typedef struct range {
    const tlc_data_file *file;
    int64_t begin, end;
} range;

struct tlc_onnx_external {
    range *ranges;
    size_t n_ranges, cap_ranges;
};

/* --- entries ------------------------------------------------------------- */

enum { LOCATION, OFFSET, LENGTH, CHECKSUM, N_KEYS };
static const char *const keys[N_KEYS] = { "location", "offset", "length", "checksum" };

static tlc_status read_entries(tlc_ctx *ctx, const Onnx__TensorProto *t, const char *value[N_KEYS])
{
    for (size_t i = 0; i < t->n_external_data; ++i) {
        const Onnx__StringStringEntryProto *e = t->external_data[i];
        const char *key = e->key ? e->key : "";
        int k = 0;
        while (k < N_KEYS && strcmp(keys[k], key) != 0)
            ++k;
        if (k == N_KEYS)
            return tlc_fail(ctx, TLC_E_MALFORMED, "E_EXTERNAL", "unknown key %s of external_data",
                            tlc_quote_name(ctx, key));
        if (value[k])
            return tlc_fail(ctx, TLC_E_MALFORMED, "E_EXTERNAL",
                            "key \"%s\" of external_data given twice", key);
        value[k] = e->value ? e->value : "";
    }
    return TLC_OK;
}

/* Digits alone: strtoll would take blanks, signs and what follows. */
static tlc_status read_count(tlc_ctx *ctx, const char *key, const char *text, int64_t *out)
{
    int64_t v = 0;
    bool good = *text != '\0';
    for (const char *p = text; good && *p; ++p)
        good = *p >= '0' && *p <= '9' && !__builtin_mul_overflow(v, 10, &v) &&
               !__builtin_add_overflow(v, *p - '0', &v);
    if (!good)
        return tlc_fail(ctx, TLC_E_MALFORMED, "E_EXTERNAL",
                        "%s of external data is %s, 0 to 2^63-1", key, tlc_quote_name(ctx, text));
    *out = v;
    return TLC_OK;
}

static tlc_status open_location(tlc_onnx *o, const char *location, const tlc_data_file **out)
{
    const char *path = o->file->path, *slash = strrchr(path, '/');
    const char *folder = "."; /* of the model */
    if (slash)
        folder = slash == path ? "/"
                               : tlc_arena_strndup(&o->ctx->arena, path, (size_t)(slash - path));
    return tlc_data_open(o->ctx, folder, location ? location : "", location ? strlen(location) : 0,
                         out);
}

/* --- ranges -------------------------------------------------------------- */

static void note_range(tlc_onnx *o, const tlc_data_file *f, int64_t begin, int64_t end)
{
    if (!o->external)
        o->external = TLC_NEW(&o->ctx->arena, struct tlc_onnx_external);
    struct tlc_onnx_external *e = o->external;
    range r = { f, begin, end };
    TLC_PUSH(&o->ctx->arena, e->ranges, e->n_ranges, e->cap_ranges, r);
}

static int by_place(const void *a, const void *b)
{
    const range *x = a, *y = b;
    if (x->file != y->file)
        return strcmp(x->file->location, y->file->location);
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    return (x->end > y->end) - (x->end < y->end);
}

void tlc_onnx_external_warn(tlc_onnx *o)
{
    struct tlc_onnx_external *e = o->external;
    int64_t reach = 0, n_shared = 0;
    if (!e)
        return;
    qsort(e->ranges, e->n_ranges, sizeof *e->ranges, by_place);
    for (size_t i = 0; i < e->n_ranges; ++i) {
        const range *r = &e->ranges[i], *before = i ? r - 1 : NULL;
        if (!before || before->file != r->file)
            reach = 0;
        bool same =
            before && before->file == r->file && before->begin == r->begin && before->end == r->end;
        n_shared += !same && r->begin < reach;
        reach = r->end > reach ? r->end : reach;
    }
    tlc_at(o->ctx, "%s", "");
    if (n_shared)
        tlc_warn(o->ctx, "W_EXTERNAL", "%" PRId64 " tensors share part of another's external data",
                 n_shared);
}

static tlc_status check_range(tlc_ctx *ctx, const tlc_data_file *f, int64_t offset, int64_t length,
                              int64_t n_bytes)
{
    if (length > (int64_t)f->n_bytes - offset) /* neither is negative, so nothing overflows */
        return tlc_fail(ctx, TLC_E_MALFORMED, "E_EXTERNAL",
                        "offset %" PRId64 " and length %" PRId64
                        " outside the external data of %zu bytes",
                        offset, length, f->n_bytes);
    if (length != n_bytes)
        return tlc_fail(ctx, TLC_E_MALFORMED, "E_EXTERNAL",
                        "length of external data is %" PRId64 ", the dimensions ask for %" PRId64,
                        length, n_bytes);
    return TLC_OK;
}

tlc_status tlc_onnx_external_find(tlc_onnx *o, const Onnx__TensorProto *t, int64_t n_bytes,
                                  tlc_onnx_tensor *out)
{
    const char *value[N_KEYS] = { NULL };
    int64_t offset = 0, length = n_bytes;
    const tlc_data_file *f = NULL;
    TLC_TRY(read_entries(o->ctx, t, value));
    if (value[OFFSET])
        TLC_TRY(read_count(o->ctx, keys[OFFSET], value[OFFSET], &offset));
    if (value[LENGTH])
        TLC_TRY(read_count(o->ctx, keys[LENGTH], value[LENGTH], &length));
    TLC_TRY(open_location(o, value[LOCATION], &f));
    TLC_TRY(check_range(o->ctx, f, offset, length, n_bytes));
    note_range(o, f, offset, offset + length);
    out->raw = f->bytes ? f->bytes + offset : (const unsigned char *)"";
    out->file = f->location;
    out->file_offset = offset;
    return TLC_OK;
}
