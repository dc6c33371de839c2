/* emit.c: all texts are made in memory first, then the folder is written.
 *
 * So running out of arena, which leaves by a jump, cannot leave a half-written folder behind.
 */
#include "emit_parts.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_NAME_BYTES = 64, OWN_TEXTS = 14 };

/* The name becomes part of symbols and file names; ours begin with tlr, tlk, tlb, tlc. */
static tlc_status check_name(tlc_ctx *ctx, const char *name)
{
    size_t len = strlen(name);
    bool fine =
        len > 0 && len <= MAX_NAME_BYTES && (isalpha((unsigned char)name[0]) || name[0] == '_');
    for (size_t i = 0; i < len; ++i)
        fine = fine && (unsigned char)name[i] < 0x80 &&
               (isalnum((unsigned char)name[i]) || name[i] == '_');
    if (!fine)
        return tlc_fail(ctx, TLC_E_USAGE, "E_NAME",
                        "name %s is no C identifier of at most %d letters, digits, _",
                        tlc_quote_name(ctx, name), MAX_NAME_BYTES);
    for (size_t i = 0; i < tlc_n_embedded_files; ++i) {
        const char *base = tlc_base_name(tlc_embedded_files[i].path);
        if (strncmp(base, name, len) == 0 && strcmp(base + len, ".h") == 0)
            return tlc_fail(ctx, TLC_E_USAGE, "E_NAME",
                            "name %s is taken by a header of the runtime", name);
    }
    return TLC_OK;
}

static tlc_status check_io(tlc_ctx *ctx, const tlc_emission *e, const tlc_func *f)
{
    if (!f)
        return TLC_OK;
    if (f->n_in > TLR_MAX_IO || f->n_out > TLR_MAX_IO || f->n_out == 0)
        return tlc_fail(
            ctx, TLC_E_UNSUPPORTED, "E_IO",
            "@%s has %zu inputs and %zu results, at most %d and %d, at least one result", f->name,
            f->n_in, f->n_out, TLR_MAX_IO, TLR_MAX_IO);
    for (size_t i = 0; i < f->n_in + f->n_out; ++i) {
        const tlc_value *v = i < f->n_in ? f->in[i] : f->out[i - f->n_in];
        static const int none[4] = { 0 };
        if (e->p->place[v->id].region != TLC_REGION_ACT || v->layout.kind != TLC_PLAIN ||
            memcmp(v->layout.halo, none, sizeof none) != 0)
            return tlc_fail(ctx, TLC_E_UNSUPPORTED, "E_IO",
                            "@%s: value %%%d is no batch in plain layout", f->name, v->id);
    }
    return TLC_OK;
}

static void find_writers(tlc_emission *e, const tlc_func *f)
{
    for (const tlc_node *n = f ? f->first : NULL; n; n = n->next)
        if (tlc_op_has(n->op, TLC_T_WRITES))
            e->writer[n->in[0]->id] = n;
}

static tlc_status find_functions(tlc_ctx *ctx, tlc_emission *e)
{
    e->features = tlc_func_find(e->m, "features");
    e->head = tlc_func_find(e->m, "head");
    e->step = tlc_func_find(e->m, "step");
    e->prepare = tlc_func_find(e->m, "prepare");
    e->update = tlc_func_find(e->m, "update");
    e->writer = TLC_NEW_ARRAY(&ctx->arena, const tlc_node *, e->m->n_values);
    find_writers(e, e->step);
    find_writers(e, e->update);
    if (!e->head)
        e->head = tlc_func_find(e->m, "forward");
    if (!e->head)
        return tlc_fail(ctx, TLC_E_UNSUPPORTED, "E_IO",
                        "the module has neither @head nor @forward");
    TLC_TRY(check_io(ctx, e, e->features));
    TLC_TRY(check_io(ctx, e, e->head));
    return check_io(ctx, e, e->step);
}

static tlc_embedded text_file(const char *path, const char *text)
{
    return (tlc_embedded){ path, (const unsigned char *)text, text ? strlen(text) : 0 };
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Paths of the folder, sorted: those of `files`, and what is written besides. */
static const char **list_paths(const tlc_emission *e, const tlc_embedded *files, size_t n,
                               size_t *out_n)
{
    const char **paths = TLC_NEW_ARRAY(&e->ctx->arena, const char *, n + 3);
    for (size_t i = 0; i < n; ++i)
        paths[i] = files[i].path;
    paths[n++] = "weights.bin";
    paths[n++] = "manifest.json";
    if (e->cpu)
        paths[n++] = "cpu/weights.bin";
    qsort(paths, n, sizeof *paths, by_text);
    *out_n = n;
    return paths;
}

/* export.json and export.bin at `files`; false: out of memory. */
static bool add_export(const tlc_emission *e, tlc_embedded *files, size_t *n)
{
    if (!e->step || !e->spec->unfolded)
        return true;
    bool made = tlc_emit_export(e, &files[*n]);
    *n += made ? 2 : 0;
    return made;
}

/* What the processor's version adds; false: out of memory. */
static bool add_cpu(const tlc_emission *e, tlc_embedded *files, size_t *n)
{
    size_t n_paths, first = *n;
    if (!e->cpu)
        return true;
    if (!add_export(e->cpu, files, n))
        return false;
    const char **paths = list_paths(e->cpu, &files[first], *n - first, &n_paths);
    files[*n] = text_file("manifest.json", tlc_emit_manifest(e->cpu, paths, n_paths));
    bool made = files[(*n)++].bytes != NULL;
    for (size_t i = first; i < *n; ++i)
        files[i].path = tlc_arena_printf(&e->ctx->arena, "cpu/%s", files[i].path);
    files[(*n)++] = text_file("model_cpu.c", tlc_emit_model_c(e->cpu));
    return made;
}

static void add_kernels(const tlc_emission *e, const tlc_sources *sources, tlc_embedded *files,
                        size_t *n)
{
    if (e->spec->options->target != TLC_TARGET_CUDA)
        return;
    const char *cu = tlc_emit_model_cu(e);
    files[(*n)++] = text_file("model.cu", cu);
    files[(*n)++] = text_file("src/model_cu.h", tlc_emit_model_cu_h(e, cu, sources));
}

/* Every file but weights.bin; NULL: out of memory. */
static tlc_embedded *make_files(const tlc_emission *e, size_t *out_n)
{
    tlc_arena *arena = &e->ctx->arena;
    tlc_sources sources = tlc_emit_sources(e);
    tlc_embedded *files = TLC_NEW_ARRAY(arena, tlc_embedded, sources.n + OWN_TEXTS);
    size_t n = 0, n_paths;
    files[n++] = text_file("model.c", tlc_emit_model_c(e));
    files[n++] = text_file(tlc_arena_printf(arena, "%s.h", e->spec->name), tlc_emit_header(e));
    files[n++] = text_file("Makefile", tlc_emit_makefile(e, &sources));
    files[n++] = text_file("CMakeLists.txt", tlc_emit_cmake(e, &sources));
    files[n++] = text_file("src/the_model.c", tlc_emit_the_model_c(e));
    add_kernels(e, &sources, files, &n);
    for (size_t i = 0; i < sources.n; ++i) {
        files[n] = *sources.file[i];
        files[n++].path = tlc_arena_printf(arena, "src/%s", sources.file[i]->path);
    }
    if (!add_export(e, files, &n) || !add_cpu(e, files, &n))
        return NULL;
    const char **paths = list_paths(e, files, n, &n_paths);
    files[n] = text_file("manifest.json", tlc_emit_manifest(e, paths, n_paths));
    *out_n = n + 1;
    return files;
}

static tlc_status prepare(tlc_emission *e, const char *ending)
{
    e->symbol = tlc_arena_printf(&e->ctx->arena, "%s%s", e->spec->name, ending);
    TLC_TRY(find_functions(e->ctx, e));
    e->code = tlc_module_sha256(e->m, "");
    return TLC_OK;
}

static tlc_status prepare_cpu(tlc_emission *e)
{
    const tlc_emit_cpu *c = e->spec->cpu;
    if (!c)
        return TLC_OK;
    tlc_emission *cpu = TLC_NEW(&e->ctx->arena, tlc_emission);
    *cpu = (tlc_emission){ .ctx = e->ctx, .m = c->module, .p = c->plan, .spec = c->spec };
    e->cpu = cpu;
    return prepare(cpu, "_cpu_model");
}

tlc_status tlc_emit_texts(tlc_emission *e, tlc_embedded **out, size_t *out_n)
{
    TLC_TRY(check_name(e->ctx, e->spec->name));
    TLC_TRY(prepare(e, "_model"));
    TLC_TRY(prepare_cpu(e));
    *out = make_files(e, out_n);
    if (!*out || !(*out)[*out_n - 1].bytes)
        return tlc_fail(e->ctx, TLC_E_LIMIT, "E_MEMORY", "out of memory for JSON");
    return TLC_OK;
}

tlc_status tlc_emit_folder(tlc_ctx *ctx, const tlc_module *m, const tlc_plan *p,
                           const tlc_emit_spec *spec, int *out_files)
{
    tlc_emission e = { .ctx = ctx, .m = m, .p = p, .spec = spec };
    tlc_embedded *files;
    size_t n_files;
    TLC_TRY(tlc_emit_texts(&e, &files, &n_files));
    const tlc_folder_stream weights[] = { { "weights.bin", tlc_emit_weights, &e },
                                          { "cpu/weights.bin", tlc_emit_weights, e.cpu } };
    size_t n_weights = e.cpu ? 2 : 1;
    TLC_TRY(tlc_folder_write(ctx, spec->out_dir, files, n_files, weights, n_weights));
    *out_files = (int)(n_files + n_weights);
    return TLC_OK;
}
