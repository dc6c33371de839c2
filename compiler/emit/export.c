/* export.c: export.json and export.bin, from which `trainer export` makes ONNX and safetensors.
 *
 * export.bin holds the graphs, with batch norms and with them folded, and bytes of weights that
 * are nowhere else.  export.json says of each weight where its bytes are:
 *   tensor    a tensor of the model: in weights.bin, or trained, in the checkpoint;
 *   file      folded into another: in the file that was compiled, at an offset, with a checksum.
 *             A copy would make the folder twice as large;
 *   offset    alone: in export.bin, where no file has them as they are (half types, constants
 *             that folding made).
 */
#include "emit_parts.h"

#include "tlb_json.h"

#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

enum { HASH_HEX_BYTES = 17 };

typedef struct writer {
    const tlc_emission *e;
    int *index;              /* of a global by value id, plus one; 0: no longer there */
    json_t *files;           /* those that something is read from, in the order of their use */
    int *number;             /* of an origin in `files`, plus one; 0: not used yet */
    unsigned char *bytes;    /* export.bin */
    size_t n, cap;
} writer;

static size_t append(writer *w, const void *bytes, size_t n)
{
    size_t at = w->n;
    if (n > w->cap - w->n) {
        size_t cap = w->cap * 2 > w->n + n ? w->cap * 2 : w->n + n;
        unsigned char *grown = tlc_arena_alloc(&w->e->ctx->arena, cap);
        if (w->n)
            memcpy(grown, w->bytes, w->n);
        w->bytes = grown;
        w->cap = cap;
    }
    if (n)
        memcpy(w->bytes + at, bytes, n);
    w->n += n;
    return at;
}

static json_t *hash(const void *bytes, size_t n)
{
    char hex[HASH_HEX_BYTES];
    snprintf(hex, sizeof hex, "%016llx", (unsigned long long)XXH64(bytes, n, 0));
    return json_string(hex);
}

static const char *dtype(tlc_type t)
{
    static const char *const names[] = { [TLC_F32] = "F32", [TLC_F64] = "F64", [TLC_I64] = "I64",
                                         [TLC_I32] = "I32", [TLC_U8] = "U8",
                                         [TLC_BOOL] = "BOOL" };
    return names[t];
}

/* The input file that `bytes` lie in; -1: none. */
static int file_of(const tlc_emit_spec *s, const unsigned char *bytes, size_t n)
{
    for (size_t i = 0; i < s->n_origins; ++i) {
        const tlc_origin *o = &s->origins[i];
        if (o->bytes && bytes >= o->bytes && n <= o->n_bytes &&
            (size_t)(bytes - o->bytes) <= o->n_bytes - n)
            return (int)i;
    }
    return -1;
}

static int number_file(writer *w, int origin)
{
    const tlc_origin *o = &w->e->spec->origins[origin];
    if (!w->number[origin]) {
        json_array_append_new(w->files, json_pack("{s:o, s:I}", "path", tlb_json_string(o->path),
                                                  "bytes", (json_int_t)o->n_bytes));
        w->number[origin] = (int)json_array_size(w->files);
    }
    return w->number[origin] - 1;
}

/* Bytes that are no longer in the module: where they were, or what they are. */
static void place_lost(writer *w, json_t *row, const tlc_value *v, tlc_type type)
{
    const tlc_emit_spec *s = w->e->spec;
    size_t elems = v->splat ? 1 : (size_t)tlc_shape_elems(&v->shape);
    size_t n = elems * (size_t)tlc_type_bytes(v->data_type);
    const unsigned char *data = tlc_data_bytes(&w->e->ctx->arena, v);
    int file = v->data_type == type && !v->splat ? file_of(s, data, n) : -1;
    if (file < 0) {
        json_object_set_new(row, "offset", json_integer((json_int_t)append(w, data, n)));
        json_object_set_new(row, "splat", json_boolean(v->splat));
        return;
    }
    const unsigned char *start = s->origins[file].bytes;
    json_object_set_new(row, "file", json_integer(number_file(w, file)));
    json_object_set_new(row, "offset", json_integer((json_int_t)(data - start)));
    json_object_set_new(row, "xxh64", hash(data, n));
}

static json_t *describe_tensor(writer *w, const tlc_onnx_weight *t)
{
    json_t *row = json_object(), *shape = json_array();
    json_object_set_new(row, "name", json_string(t->name));
    json_object_set_new(row, "type", json_string(dtype(t->type)));
    for (int i = 0; i < t->value->shape.rank; ++i)
        json_array_append_new(shape, json_integer(t->value->shape.dim[i]));
    json_object_set_new(row, "shape", shape);
    if (w->index[t->value->id])
        json_object_set_new(row, "tensor", json_integer(w->index[t->value->id] - 1));
    else
        place_lost(w, row, t->value, t->type);
    return row;
}

static json_t *describe_graph(writer *w, const tlc_onnx_graph *g)
{
    if (g->obstacle)
        return json_pack("{s:s}", "obstacle", g->obstacle);
    json_t *tensors = json_array();
    size_t at = append(w, g->bytes, g->n_bytes);
    for (size_t i = 0; i < g->n_tensors; ++i)
        json_array_append_new(tensors, describe_tensor(w, &g->tensors[i]));
    return json_pack("{s:I, s:I, s:I, s:o}", "opset", (json_int_t)g->opset, "offset",
                     (json_int_t)at, "bytes", (json_int_t)g->n_bytes, "tensors", tensors);
}

static writer begin(const tlc_emission *e)
{
    writer w = { .e = e, .files = json_array() };
    w.number = TLC_NEW_ARRAY(&e->ctx->arena, int, e->spec->n_origins);
    w.index = TLC_NEW_ARRAY(&e->ctx->arena, int, e->m->n_values);
    for (size_t i = 0; i < e->m->n_globals; ++i)
        w.index[e->m->globals[i]->id] = (int)i + 1;
    return w;
}

bool tlc_emit_export(const tlc_emission *e, tlc_embedded out[2])
{
    const tlc_emit_spec *s = e->spec;
    writer w = begin(e);
    json_t *unfolded = describe_graph(&w, s->unfolded), *folded = describe_graph(&w, s->folded);
    json_t *j = json_pack("{s:s, s:s, s:o, s:o, s:o, s:I, s:o}", "schema", "tlc.export-graphs/1",
                          "code_sha256", e->code.hex, "files", w.files, "unfolded", unfolded,
                          "folded", folded, "bytes", (json_int_t)w.n, "xxh64", hash(w.bytes, w.n));
    char *dump = j ? tlb_json_dump(j, 1) : NULL;
    json_decref(j);
    if (!dump)
        return false;
    const char *text = tlc_arena_printf(&e->ctx->arena, "%s\n", dump);
    free(dump);
    out[0] = (tlc_embedded){ "export.json", (const unsigned char *)text, strlen(text) };
    out[1] = (tlc_embedded){ "export.bin", w.bytes, w.n };
    return true;
}
