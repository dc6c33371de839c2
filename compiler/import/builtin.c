/* builtin.c: the networks of models/, which the build puts into the program. */
#include "import.h"

#include "tlb_options.h"

#include <string.h>

extern const tlc_embedded tlc_builtin_files[];
extern const size_t tlc_n_builtin_files;

/* "models/NAME.tir" without folder and ending. */
static const char *name_of(const tlc_embedded *e, size_t *len)
{
    const char *slash = strrchr(e->path, '/');
    const char *name = slash ? slash + 1 : e->path;
    *len = strlen(name) - strlen(".tir");
    return name;
}

const tlc_embedded *tlc_builtin_find(const char *typed)
{
    for (size_t i = 0; i < tlc_n_builtin_files; ++i) {
        size_t len;
        const char *name = name_of(&tlc_builtin_files[i], &len);
        if (strlen(typed) == len && memcmp(typed, name, len) == 0)
            return &tlc_builtin_files[i];
    }
    return NULL;
}

const char *tlc_builtin_name(tlc_ctx *ctx, size_t i)
{
    size_t len;
    if (i >= tlc_n_builtin_files)
        return NULL;
    const char *name = name_of(&tlc_builtin_files[i], &len);
    return tlc_arena_strndup(&ctx->arena, name, len);
}

const char *tlc_builtin_suggest(tlc_ctx *ctx, const char *typed)
{
    const char *best = NULL, *name;
    int distance = TLB_FAR;
    for (size_t i = 0; (name = tlc_builtin_name(ctx, i)); ++i)
        tlb_suggest(typed, name, &best, &distance);
    return best;
}
