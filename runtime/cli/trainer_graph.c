/* trainer_graph.c: export.json and export.bin of the compiled folder, and where the weights are.
 *
 * A weight that folding took into another is read from the file that was compiled, at the place
 * that export.json states; its checksum says whether the file is still that one.
 */
#define _GNU_SOURCE
#include "trainer_export.h"

#include "tlr_run.h"
#include "tlr_session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

static const char JSON_NAME[] = "export.json", BIN_NAME[] = "export.bin";
static const char SCHEMA[] = "tlc.export-graphs/1";

static tlb_status broken(const trainer *t, const char *name, const char *what)
{
    return tlb_error(t->args, TLB_E_MALFORMED, "E_EXPORT", name, NULL,
                     "compile the model again", "%s", what);
}

static bool has_hash(const void *bytes, size_t n, const char *wanted)
{
    char hex[17];
    snprintf(hex, sizeof hex, "%016llx", (unsigned long long)XXH64(bytes, n, 0));
    return wanted && strcmp(hex, wanted) == 0;
}

/* --- the two files ----------------------------------------------------------------------- */

static tlb_status load_json(trainer *t, trainer_graph *g)
{
    const char *what = "cannot read", *schema, *code;
    char *path = tlr_cli_of_model(JSON_NAME);
    if (!path)
        return trainer_no_memory(t->args);
    tlb_status status = tlb_json_load_file(path, &t->args->limits, &g->json, &what);
    free(path);
    if (status != TLB_OK)
        return tlb_error(t->args, status, "E_EXPORT", JSON_NAME, NULL, NULL, "%s", what);
    schema = tlb_json_text(g->json, "schema");
    code = tlb_json_text(g->json, "code_sha256");
    if (!schema || strcmp(schema, SCHEMA) != 0)
        return broken(t, JSON_NAME, "not of this version of tlc");
    if (!code || strcmp(code, tlr_the_model->code_sha256) != 0)
        return broken(t, JSON_NAME, "of another model");
    return TLB_OK;
}

static tlb_status load_bin(const trainer *t, trainer_graph *g)
{
    int error = 0;
    char *path = tlr_cli_of_model(BIN_NAME);
    if (!path)
        return trainer_no_memory(t->args);
    tlb_status status = tlb_map_file(path, &g->bin, &error);
    free(path);
    if (status != TLB_OK)
        return tlb_error(t->args, status, "E_INPUT", BIN_NAME, NULL, NULL, "cannot read: %s",
                         error ? strerror(error) : "not a regular file");
    if (!has_hash(g->bin.bytes, g->bin.n_bytes, tlb_json_text(g->json, "xxh64")))
        return broken(t, BIN_NAME, "checksum differs from export.json");
    return TLB_OK;
}

/* `n` bytes from `offset` on; NULL: outside. */
static const unsigned char *part(const tlb_map *m, int64_t offset, uint64_t n)
{
    bool inside = offset >= 0 && (uint64_t)offset <= m->n_bytes &&
                  n <= m->n_bytes - (uint64_t)offset;
    return inside && m->bytes ? m->bytes + offset : NULL;
}

/* --- the files that were compiled -------------------------------------------------------- */

/* The i-th file as typed then.  --original names the first; others lie beside it. */
static char *original_path(const trainer *t, const trainer_graph *g, size_t i)
{
    const char *typed = tlb_json_text(json_array_get(json_object_get(g->json, "files"), i), "path");
    const char *given = tlb_text(t->args, TLB_OPT_ORIGINAL), *slash;
    char *path = NULL;
    if (!typed || !given)
        return typed ? strdup(typed) : NULL;
    if (i == 0)
        return strdup(given);
    slash = strrchr(given, '/');
    const char *base = strrchr(typed, '/');
    int folder = slash ? (int)(slash - given) + 1 : 0;
    return asprintf(&path, "%.*s%s", folder, given, base ? base + 1 : typed) < 0 ? NULL : path;
}

/* A path as typed for tlc counts from where tlc ran: here, or else a folder above the compiled one,
 * where OUT was typed as a path from there too. */
static tlb_status map_above(const char *typed, tlb_map *out)
{
    char *above = tlr_cli_beside(""), *path = NULL;
    tlb_status status = above ? TLB_E_INPUT : TLB_E_LIMIT;
    for (char *slash; status == TLB_E_INPUT && (slash = strrchr(above, '/'));) {
        int error = 0;
        *slash = '\0';
        if (asprintf(&path, "%s/%s", above, typed) < 0) {
            status = TLB_E_LIMIT;
            break;
        }
        status = tlb_map_file(path, out, &error);
        free(path);
    }
    free(above);
    return status;
}

static const char HINT[] = "--original FILE names the file that was compiled; --folded needs none";

static tlb_status open_original(const trainer *t, trainer_graph *g, size_t i)
{
    int error = 0;
    if (g->files[i].bytes)
        return TLB_OK;
    char *path = original_path(t, g, i);
    if (!path)
        return trainer_no_memory(t->args);
    bool search = path[0] != '/' && !tlb_text(t->args, TLB_OPT_ORIGINAL);
    tlb_status status = tlb_map_file(path, &g->files[i], &error);
    if (status != TLB_OK && search)
        status = map_above(path, &g->files[i]);
    if (status == TLB_OK && !g->files[i].bytes)
        status = TLB_E_INPUT;
    if (status == TLB_E_LIMIT)
        trainer_no_memory(t->args);
    else if (status != TLB_OK)
        tlb_error(t->args, TLB_E_INPUT, "E_INPUT", path, NULL, HINT, "cannot read: %s%s",
                  error ? strerror(error) : "empty, or not a regular file",
                  search ? ", from this folder or one above the compiled one" : "");
    free(path);
    return status;
}

static tlb_status find_in_original(const trainer *t, trainer_graph *g, const json_t *row,
                                   trainer_weight *w)
{
    int64_t i = tlb_json_int(row, "file", -1);
    if (i < 0 || (size_t)i >= g->n_files)
        return broken(t, JSON_NAME, "a weight of a file that is not listed");
    tlb_status status = open_original(t, g, (size_t)i);
    if (status != TLB_OK)
        return status;
    w->data = part(&g->files[i], tlb_json_int(row, "offset", -1), w->n_bytes);
    if (w->data && has_hash(w->data, (size_t)w->n_bytes, tlb_json_text(row, "xxh64")))
        return TLB_OK;
    char *path = original_path(t, g, (size_t)i);
    status = tlb_error(t->args, TLB_E_UNSUPPORTED, "E_ORIGINAL", path, NULL, HINT,
                       "not the file that was compiled: \"%s\" differs", trainer_safe(w->name));
    free(path);
    return status;
}

/* --- weights ----------------------------------------------------------------------------- */

static const trainer_elem elems[] = {
    { "F32", 4, 1 }, { "F64", 8, 11 }, { "I64", 8, 7 }, { "I32", 4, 6 }, { "U8", 1, 2 },
    { "BOOL", 1, 9 },
};

static const trainer_elem *find_elem(const char *name)
{
    for (size_t i = 0; name && i < sizeof elems / sizeof *elems; ++i)
        if (strcmp(elems[i].name, name) == 0)
            return &elems[i];
    return NULL;
}

static bool is_single(const trainer_weight *w)
{
    return w->elem == &elems[0];
}

static bool read_shape(const json_t *row, trainer_weight *w)
{
    const json_t *shape = json_object_get(row, "shape");
    int64_t n = w->elem->bytes;
    size_t rank = json_array_size(shape);
    if (!json_is_array(shape) || rank > TLR_MAX_RANK)
        return false;
    w->rank = (int)rank;
    for (size_t i = 0; i < rank; ++i) {
        w->dim[i] = json_integer_value(json_array_get(shape, i));
        if (w->dim[i] < 1 || __builtin_mul_overflow(n, w->dim[i], &n))
            return false;
    }
    w->n_bytes = (uint64_t)n;
    return true;
}

/* A tensor of the model, in single precision or its own. */
static bool fits(const trainer_weight *w)
{
    if (w->tensor >= tlr_the_model->n_tensors)
        return false;
    const tlr_tensor *p = &tlr_the_model->tensors[w->tensor];
    bool kept = p->kind == TLR_CONST || p->kind == TLR_PARAM;
    return kept && p->rank == w->rank &&
           memcmp(p->dim, w->dim, (size_t)w->rank * sizeof *w->dim) == 0 &&
           (is_single(w) ? p->type == TLR_F32 || p->type == TLR_F64
                         : tlr_type_bytes(p->type) == w->elem->bytes);
}

static tlb_status read_weight(const trainer *t, trainer_graph *g, const json_t *row,
                              trainer_weight *w)
{
    static const char wrong[] = "a weight is not as it should be";
    w->name = tlb_json_text(row, "name");
    w->elem = find_elem(tlb_json_text(row, "type"));
    w->tensor = (int)tlb_json_int(row, "tensor", -1);
    if (!w->name || !w->elem || !read_shape(row, w))
        return broken(t, JSON_NAME, wrong);
    if (w->tensor >= 0)
        return fits(w) ? TLB_OK : broken(t, JSON_NAME, wrong);
    if (json_object_get(row, "file"))
        return find_in_original(t, g, row, w);
    w->splat = json_is_true(json_object_get(row, "splat"));
    w->data = part(&g->bin, tlb_json_int(row, "offset", -1),
                   w->splat ? (uint64_t)w->elem->bytes : w->n_bytes);
    return w->data ? TLB_OK : broken(t, JSON_NAME, wrong);
}

static tlb_status read_weights(const trainer *t, trainer_graph *g, const json_t *list)
{
    size_t n = json_array_size(list);
    g->n_files = json_array_size(json_object_get(g->json, "files"));
    g->weights = calloc(n + 1, sizeof *g->weights);
    g->files = calloc(g->n_files + 1, sizeof *g->files);
    if (!g->weights || !g->files)
        return trainer_no_memory(t->args);
    for (; g->n_weights < n; ++g->n_weights) {
        tlb_status status = read_weight(t, g, json_array_get(list, g->n_weights),
                                        &g->weights[g->n_weights]);
        if (status != TLB_OK)
            return status;
    }
    return TLB_OK;
}

static tlb_status read_graph(const trainer *t, trainer_graph *g, const json_t *j)
{
    const char *obstacle = tlb_json_text(j, "obstacle");
    if (obstacle)
        return tlb_error(t->args, TLB_E_UNSUPPORTED, "E_EXPORT", NULL, NULL, NULL, "%s", obstacle);
    g->opset = tlb_json_int(j, "opset", 0);
    int64_t n = tlb_json_int(j, "bytes", -1);
    g->n_bytes = (uint64_t)n;
    g->bytes = n < 0 ? NULL : part(&g->bin, tlb_json_int(j, "offset", -1), g->n_bytes);
    if (!g->bytes)
        return broken(t, JSON_NAME, "no graph");
    return read_weights(t, g, json_object_get(j, "tensors"));
}

tlb_status trainer_graph_open(trainer *t, bool folded, trainer_graph *out)
{
    *out = (trainer_graph){ .opset = 0 };
    tlb_status status = load_json(t, out);
    if (status == TLB_OK)
        status = load_bin(t, out);
    if (status == TLB_OK)
        status = read_graph(t, out, json_object_get(out->json, folded ? "folded" : "unfolded"));
    if (status != TLB_OK)
        trainer_graph_close(out);
    return status;
}

void trainer_graph_close(trainer_graph *g)
{
    for (size_t i = 0; g->files && i < g->n_files; ++i)
        tlb_unmap(&g->files[i]);
    tlb_unmap(&g->bin);
    free(g->files);
    free(g->weights);
    json_decref(g->json);
    *g = (trainer_graph){ .opset = 0 };
}

/* --- writing ----------------------------------------------------------------------------- */

/* Of --precision fp64: files are in single precision. */
static tlb_status write_narrow(const tlr_tensor *p, const char *stored, tlb_out *o)
{
    int64_t n = tlr_tensor_elems(p);
    double *wide = malloc((size_t)n * sizeof *wide);
    float *narrow = malloc((size_t)n * sizeof *narrow);
    tlb_status status = wide && narrow ? TLB_OK : TLB_E_LIMIT;
    if (status == TLB_OK) {
        tlr_unpack(p, stored, wide);
        for (int64_t i = 0; i < n; ++i)
            narrow[i] = (float)wide[i];
        status = tlb_out_write(o, narrow, (size_t)n * sizeof *narrow);
    }
    free(wide);
    free(narrow);
    return status;
}

static tlb_status write_splat(const trainer_weight *w, tlb_out *o)
{
    enum { PIECE = 1 << 13 }; /* whole elements of every type */
    unsigned char piece[PIECE];
    tlb_status status = TLB_OK;
    for (size_t i = 0; i < PIECE; ++i)
        piece[i] = w->data[i % (size_t)w->elem->bytes];
    for (uint64_t at = 0; status == TLB_OK && at < w->n_bytes; at += PIECE)
        status = tlb_out_write(o, piece, w->n_bytes - at < PIECE ? w->n_bytes - at : PIECE);
    return status;
}

tlb_status trainer_weight_write(const trainer *t, const trainer_weight *w, const char *params,
                                tlb_out *o)
{
    if (w->tensor < 0)
        return w->splat ? write_splat(w, o) : tlb_out_write(o, w->data, (size_t)w->n_bytes);
    const tlr_tensor *p = &tlr_the_model->tensors[w->tensor];
    const char *from = p->kind == TLR_CONST ? tlr_weights_consts(t->weights.bytes) : params;
    if (p->type == TLR_F64 && is_single(w))
        return write_narrow(p, from + p->offset, o);
    return tlr_tensor_write(p, from + p->offset, o);
}
