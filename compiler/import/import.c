/* import.c: which reader a file gets. */
#include "import.h"

#include "text.h"

#include <string.h>
#include <sys/stat.h>

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
    (void)tlc_fail(ctx, TLC_E_UNSUPPORTED, "E_KIND",
                   "zip archive, such as PyTorch's weights: not a model");
    return tlc_hint(ctx, "tlc compile NETWORK --weights %s gives them to a built-in network",
                    tlc_quote_name(ctx, f->path));
}

/* --- networks of the program --------------------------------------------- */

/* A name without folders, of no file. */
static bool may_be_builtin(const char *path)
{
    struct stat st;
    return !strchr(path, '/') && stat(path, &st) != 0;
}

static tlc_status import_builtin(tlc_ctx *ctx, const tlc_embedded *e, tlc_module **out,
                                 tlc_import_info *info)
{
    *info = (tlc_import_info){ 0 };
    TLC_TRY(tlc_parse_module(ctx, (const char *)e->bytes, e->n_bytes, NULL, out));
    count_params(*out, info);
    return TLC_OK;
}

static tlc_status map_model(tlc_ctx *ctx, const char *path, tlc_file *file)
{
    tlc_status status = tlc_file_map(ctx, path, file);
    const char *meant = may_be_builtin(path) ? tlc_builtin_suggest(ctx, path) : NULL;
    return status && meant ? tlc_hint(ctx, "did you mean %s, a built-in network?", meant) : status;
}

/* --- the whole ----------------------------------------------------------- */

tlc_status tlc_import_file(tlc_ctx *ctx, const char *path, tlc_file *file, tlc_module **out,
                           tlc_import_info *info)
{
    ctx->file = path;
    tlc_at(ctx, "%s", "");
    if (strcmp(path, "-") == 0) {
        (void)tlc_fail(ctx, TLC_E_USAGE, "E_USAGE", "a model is mapped, so it has to be a file");
        return tlc_hint(ctx, "./- is a file of that name");
    }
    const tlc_embedded *builtin = may_be_builtin(path) ? tlc_builtin_find(path) : NULL;
    if (builtin)
        return import_builtin(ctx, builtin, out, info);
    TLC_TRY(map_model(ctx, path, file));
    TLC_TRY(refuse_weights(ctx, file));
    if (!begins_as_text(file) && !ends_with(path, ".tir"))
        return tlc_import_onnx(ctx, file, out, info);
    *info = (tlc_import_info){ 0 };
    TLC_TRY(parse_text(ctx, file, out));
    count_params(*out, info);
    return TLC_OK;
}

/* A negative variance is the weights' fault, so every operator looks at its operands again. */
static tlc_status infer_again(tlc_ctx *ctx, tlc_module *m)
{
    for (tlc_func *f = m->first_func; f; f = f->next)
        for (tlc_node *n = f->first; n; n = n->next) {
            tlc_at(ctx, "node %s", tlc_quote_name(ctx, n->name));
            TLC_TRY(tlc_node_infer(ctx, n));
        }
    tlc_at(ctx, "%s", "");
    return TLC_OK;
}

/* The weights file is unmapped with the model's, of whose list it becomes the head. */
static tlc_status give_weights(tlc_ctx *ctx, const char *path, tlc_file *model, tlc_module *m,
                               tlc_import_info *info)
{
    tlc_file *file = TLC_NEW(&ctx->arena, tlc_file);
    const char *model_path = ctx->file;
    ctx->file = path;
    TLC_TRY(tlc_file_map(ctx, path, file));
    file->next = model->next;
    model->next = file;
    TLC_TRY(tlc_weights_apply(ctx, m, file, info));
    TLC_TRY(infer_again(ctx, m));
    ctx->file = model_path;
    return TLC_OK;
}

tlc_status tlc_import_network(tlc_ctx *ctx, const char *path, const tlc_import_options *options,
                              tlc_file *file, tlc_module **out, tlc_import_info *info)
{
    TLC_TRY(tlc_import_file(ctx, path, file, out, info));
    tlc_at(ctx, "%s", "");
    if (options->classes)
        TLC_TRY(tlc_set_classes(ctx, *out, options->classes));
    if (options->input[0])
        TLC_TRY(tlc_set_input(ctx, *out, options->input));
    if (options->weights)
        TLC_TRY(give_weights(ctx, options->weights, file, *out, info));
    return TLC_OK;
}
