/* trainer_export_file.c: `trainer export FILE.onnx` and `FILE.safetensors`.
 *
 * An ONNX file is a ModelProto: versions, metadata, and one graph, whose nodes and shapes the
 * compiler wrote (export.bin) and whose weights follow here, each streamed behind its header.
 * The file appears whole or not at all, and none is replaced.
 */
#define _GNU_SOURCE
#include "trainer_export.h"

#include "tlb_proto.h"
#include "tlb_safetensors.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), k = strlen(end);
    return n > k && strcmp(text + n - k, end) == 0;
}

tlb_status trainer_export_check(const trainer *t, const char *path)
{
    bool onnx = ends_with(path, ".onnx");
    if (!onnx && !ends_with(path, ".safetensors"))
        return tlb_error(t->args, TLB_E_USAGE, "E_USAGE", NULL, NULL,
                         "FILE.onnx, FILE.safetensors, or -o DIR for an app",
                         "\"%s\" is no kind of file that is written", trainer_safe(path));
    if (!onnx && tlb_flag(t->args, TLB_OPT_FOLDED))
        return tlb_error(t->args, TLB_E_USAGE, "E_USAGE", NULL, NULL, NULL,
                         "--folded is for FILE.onnx: other tools know the names unfolded");
    if (access(path, F_OK) == 0)
        return tlb_error(t->args, TLB_E_OUTPUT, "E_EXISTS", path, NULL, "give another name",
                         "exists and is not replaced");
    return TLB_OK;
}

/* --- ONNX --------------------------------------------------------------------------------- */

enum { /* fields of onnx.proto */
    MODEL_IR_VERSION = 1, MODEL_PRODUCER = 2, MODEL_PRODUCER_VERSION = 3, MODEL_GRAPH = 7,
    MODEL_OPSET = 8, MODEL_METADATA = 14, OPSET_DOMAIN = 1, OPSET_VERSION = 2, ENTRY_KEY = 1,
    ENTRY_VALUE = 2, GRAPH_INITIALIZER = 5, TENSOR_DIMS = 1, TENSOR_TYPE = 2, TENSOR_NAME = 8,
    TENSOR_RAW = 9
};

/* The IR version that came with an opset. */
static int64_t ir_version(int64_t opset)
{
    return opset < 15 ? 7 : opset < 19 ? 8 : opset < 21 ? 9 : 10;
}

static void put_entry(tlb_proto *p, const char *key, const char *value)
{
    tlb_proto entry = { .n = 0 };
    tlb_proto_text(&entry, ENTRY_KEY, key);
    tlb_proto_text(&entry, ENTRY_VALUE, value);
    tlb_proto_message(p, MODEL_METADATA, &entry);
    tlb_proto_free(&entry);
}

/* metadata_props: the members of preprocess.json, texts as they are and all else as JSON. */
static void put_metadata(tlb_proto *p, const trainer_run *run)
{
    json_t *j = trainer_describe(run);
    const char *key;
    const json_t *value;
    p->failed |= !j;
    json_object_foreach(j, key, value) {
        char *text = json_is_string(value) ? strdup(json_string_value(value))
                                           : json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT |
                                                                   JSON_REAL_PRECISION(9));
        p->failed |= !text;
        if (text)
            put_entry(p, key, text);
        free(text);
    }
    json_decref(j);
}

static void put_model(tlb_proto *p, const trainer_graph *g, const trainer_run *run)
{
    tlb_proto opset = { .n = 0 };
    tlb_proto_text(&opset, OPSET_DOMAIN, "");
    tlb_proto_int(&opset, OPSET_VERSION, g->opset);
    tlb_proto_int(p, MODEL_IR_VERSION, ir_version(g->opset));
    tlb_proto_text(p, MODEL_PRODUCER, "tlc");
    tlb_proto_text(p, MODEL_PRODUCER_VERSION, tlr_the_model->version);
    tlb_proto_message(p, MODEL_OPSET, &opset);
    put_metadata(p, run);
    tlb_proto_free(&opset);
}

/* All of an initialiser but its bytes: the field's header, then the message up to raw_data's. */
static void put_weight_header(tlb_proto *p, const trainer_weight *w)
{
    tlb_proto t = { .n = 0 };
    for (int i = 0; i < w->rank; ++i)
        tlb_proto_int(&t, TENSOR_DIMS, w->dim[i]);
    tlb_proto_int(&t, TENSOR_TYPE, w->elem->onnx);
    tlb_proto_text(&t, TENSOR_NAME, w->name);
    tlb_proto_open(&t, TENSOR_RAW, w->n_bytes);
    tlb_proto_open(p, GRAPH_INITIALIZER, t.n + w->n_bytes);
    tlb_proto_append(p, &t);
    tlb_proto_free(&t);
}

static bool graph_bytes(const trainer_graph *g, uint64_t *out)
{
    uint64_t n = g->n_bytes;
    bool ok = true;
    for (size_t i = 0; i < g->n_weights; ++i) {
        tlb_proto header = { .n = 0 };
        put_weight_header(&header, &g->weights[i]);
        n += header.n + g->weights[i].n_bytes;
        ok = ok && !header.failed;
        tlb_proto_free(&header);
    }
    *out = n;
    return ok;
}

static tlb_status write_weights(const trainer *t, const trainer_graph *g, const char *params,
                                tlb_out *o)
{
    tlb_status status = TLB_OK;
    for (size_t i = 0; status == TLB_OK && i < g->n_weights; ++i) {
        tlb_proto header = { .n = 0 };
        put_weight_header(&header, &g->weights[i]);
        status = header.failed ? TLB_E_LIMIT : tlb_out_write(o, header.bytes, header.n);
        tlb_proto_free(&header);
        if (status == TLB_OK)
            status = trainer_weight_write(t, &g->weights[i], params, o);
    }
    return status;
}

static tlb_status write_onnx(const trainer *t, const trainer_graph *g, const trainer_run *run,
                             const char *params, tlb_out *o)
{
    tlb_proto model = { .n = 0 };
    uint64_t n;
    put_model(&model, g, run);
    model.failed |= !graph_bytes(g, &n);
    tlb_proto_open(&model, MODEL_GRAPH, n);
    tlb_status status = model.failed ? TLB_E_LIMIT : tlb_out_write(o, model.bytes, model.n);
    if (status == TLB_OK && n + model.n > INT32_MAX)
        status = tlb_error(t->args, TLB_E_UNSUPPORTED, "E_EXPORT", NULL, NULL,
                           "FILE.safetensors has no such bound", "over 2 GiB, ONNX's most");
    if (status == TLB_OK)
        status = tlb_out_write(o, g->bytes, (size_t)g->n_bytes);
    tlb_proto_free(&model);
    return status == TLB_OK ? write_weights(t, g, params, o) : status;
}

/* --- safetensors -------------------------------------------------------------------------- */

static tlb_status write_safetensors(const trainer *t, const trainer_graph *g,
                                    const trainer_run *run, const char *params, tlb_out *o)
{
    tlb_tensor *list = calloc(g->n_weights + 1, sizeof *list);
    json_t *j = trainer_describe(run);
    char *text = j ? tlb_json_dump(j, 0) : NULL;
    const char *const metadata[] = { "format", "pt", "tlc", tlr_the_model->version, "preprocess",
                                     text };
    tlb_status status = list && text ? TLB_OK : TLB_E_LIMIT;
    for (size_t i = 0; list && i < g->n_weights; ++i) {
        const trainer_weight *w = &g->weights[i];
        list[i] = (tlb_tensor){ .name = w->name, .dtype = w->elem->name, .rank = w->rank,
                                .n_bytes = w->n_bytes };
        memcpy(list[i].dim, w->dim, sizeof w->dim);
    }
    if (status == TLB_OK)
        status = tlb_safetensors_header(o, list, g->n_weights, metadata, 3);
    for (size_t i = 0; status == TLB_OK && i < g->n_weights; ++i)
        status = trainer_weight_write(t, &g->weights[i], params, o);
    free(list);
    free(text);
    json_decref(j);
    return status;
}

/* --- the command -------------------------------------------------------------------------- */

/* A failure that nobody has told yet. */
static tlb_status failed(const trainer *t, const char *path, tlb_status status, int error)
{
    if (status == TLB_E_OUTPUT)
        return trainer_cannot_write(t->args, path, error);
    return status == TLB_E_LIMIT ? trainer_no_memory(t->args) : status;
}

static tlb_status write_file(const trainer *t, const char *path, const trainer_graph *g,
                             const trainer_run *run, const char *params)
{
    tlb_out o = { .fd = -1 };
    tlb_status status = tlb_out_open(&o, path);
    if (status != TLB_OK)
        return failed(t, path, status, o.error);
    status = ends_with(path, ".onnx") ? write_onnx(t, g, run, params, &o)
                                      : write_safetensors(t, g, run, params, &o);
    if (status == TLB_OK)
        status = tlb_out_commit(&o);
    else
        tlb_out_abandon(&o);
    return status == TLB_OK ? status : failed(t, path, status, o.error);
}

static void report(const trainer *t, const char *path, const trainer_graph *g)
{
    bool onnx = ends_with(path, ".onnx");
    if (t->args->json) {
        json_t *j = json_pack("{s:s, s:o, s:I}", "schema", "tlc.export-file/1", "wrote",
                              tlb_json_string(path), "tensors", (json_int_t)g->n_weights);
        if (j && onnx)
            json_object_set_new(j, "opset", json_integer(g->opset));
        char *text = j ? tlb_json_dump(j, 0) : NULL;
        if (text)
            puts(text);
        json_decref(j);
        free(text);
    } else if (!t->args->quiet && onnx) {
        printf("wrote     %s: opset %lld, %zu tensors\n", trainer_safe(path), (long long)g->opset,
               g->n_weights);
    } else if (!t->args->quiet) {
        printf("wrote     %s: %zu tensors\n", trainer_safe(path), g->n_weights);
    }
}

tlb_status trainer_export_file(trainer *t, const char *path, const trainer_run *run,
                               const char *params)
{
    trainer_graph g;
    tlb_status status = trainer_graph_open(t, tlb_flag(t->args, TLB_OPT_FOLDED), &g);
    if (status != TLB_OK)
        return status;
    status = write_file(t, path, &g, run, params);
    if (status == TLB_OK)
        report(t, path, &g);
    trainer_graph_close(&g);
    return status;
}
