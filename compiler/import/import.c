/* import.c: which reader a file gets. */
#include "import.h"

#include "text.h"

#include <string.h>

/* IR text begins, after blanks and comments, with the word "module". */
static bool begins_as_text(const tlc_file *f)
{
    const char *p = (const char *)f->bytes, *end = p + f->n_bytes;
    while (p < end) {
        if (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r') {
            ++p;
        } else if (end - p >= 2 && p[0] == '/' && p[1] == '/') {
            const char *line = memchr(p, '\n', (size_t)(end - p));
            p = line ? line : end;
        } else {
            return end - p >= 7 && !memcmp(p, "module", 6) && (p[6] == ' ' || p[6] == '\t');
        }
    }
    return false;
}

static bool ends_with(const char *s, const char *ending)
{
    size_t n = strlen(s), k = strlen(ending);
    return n >= k && !strcmp(s + n - k, ending);
}

static tlc_status parse_text(tlc_ctx *ctx, const tlc_file *f, tlc_module **out)
{
    const char *slash = strrchr(f->path, '/');
    const char *folder =
        slash ? tlc_arena_strndup(&ctx->arena, f->path, (size_t)(slash - f->path) + 1) : ".";
    return tlc_parse_module(ctx, (const char *)f->bytes, (size_t)f->n_bytes, folder, out);
}

/* Parameters of a network written as text: those it has. */
static void count_params(const tlc_module *m, tlc_import_info *info)
{
    for (size_t i = 0; i < m->n_globals; ++i) {
        if (m->globals[i]->kind != TLC_PARAM)
            continue;
        ++info->n_params;
        info->param_elems += tlc_shape_elems(&m->globals[i]->shape);
    }
}

/* Weights alone, without a network. */
static tlc_status refuse_weights(tlc_ctx *ctx, const tlc_file *f)
{
    static const char zip[] = { 'P', 'K', 3, 4 };
    if (f->n_bytes < 4 || memcmp(f->bytes, zip, sizeof zip) != 0)
        return TLC_OK;
    return tlc_fail(ctx, TLC_E_UNSUPPORTED, "E_KIND",
                    "zip archive, such as PyTorch's weights: not a model");
}

tlc_status tlc_import_file(tlc_ctx *ctx, const char *path, tlc_file *file, tlc_module **out,
                           tlc_import_info *info)
{
    ctx->file = path;
    tlc_at(ctx, "%s", "");
    TLC_TRY(tlc_file_map(ctx, path, file));
    TLC_TRY(refuse_weights(ctx, file));
    if (!begins_as_text(file) && !ends_with(path, ".tir"))
        return tlc_import_onnx(ctx, file, out, info);
    *info = (tlc_import_info){ 0 };
    TLC_TRY(parse_text(ctx, file, out));
    count_params(*out, info);
    return TLC_OK;
}
