/* sources.c: which of the embedded kernels and runtime files a compiled folder needs.
 *
 * The runtime's own *.c files, those of training only where there is something to train, then
 * every header that they and model.c include, followed by base name (names are unique in the
 * tree).  Nothing is listed by hand, so a new kernel or runtime file needs no edit here.
 */
#include "emit_parts.h"

#include <string.h>

const char *tlc_base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

bool tlc_starts_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

bool tlc_ends_with(const char *text, const char *suffix)
{
    size_t n = strlen(text), k = strlen(suffix);
    return n >= k && strcmp(text + n - k, suffix) == 0;
}

/* Call fn for the name in each #include of `open` ("<" or "\""); stops where fn is true. */
static bool each_include(const tlc_embedded *f, char open, char close,
                         bool (*fn)(void *self, const char *name, size_t len), void *self)
{
    static const char word[] = "#include ";
    const char *at = (const char *)f->bytes, *end = at + f->n_bytes;
    while (at < end) {
        const char *line_end = memchr(at, '\n', (size_t)(end - at));
        line_end = line_end ? line_end : end;
        size_t len = (size_t)(line_end - at);
        if (len > sizeof word && memcmp(at, word, sizeof word - 1) == 0 &&
            at[sizeof word - 1] == open) {
            const char *name = at + sizeof word;
            const char *stop = memchr(name, close, (size_t)(line_end - name));
            if (stop && fn(self, name, (size_t)(stop - name)))
                return true;
        }
        at = line_end + 1;
    }
    return false;
}

typedef struct selection {
    bool *taken; /* by index in tlc_embedded_files */
    bool grew;
} selection;

static bool take_named(void *self, const char *name, size_t len)
{
    selection *s = self;
    for (size_t i = 0; i < tlc_n_embedded_files; ++i) {
        const char *base = tlc_base_name(tlc_embedded_files[i].path);
        if (s->taken[i] || strlen(base) != len || memcmp(base, name, len) != 0)
            continue;
        s->taken[i] = s->grew = true;
    }
    return false;
}

static bool is_root(const char *path, bool trains, bool cuda)
{
    static const char *const for_training[] = { "runtime/train/", "runtime/run/",
                                                "runtime/photos/", "runtime/cli/trainer",
                                                "runtime/cli/report", "runtime/draw/",
                                                "runtime/image/tlr_encode" };
    bool root = tlc_starts_with(path, "runtime/") && tlc_ends_with(path, ".c");
    for (size_t i = 0; i < sizeof for_training / sizeof *for_training; ++i)
        root = root && (trains || !tlc_starts_with(path, for_training[i]));
    return root && (cuda || !tlc_starts_with(path, "runtime/cuda/"));
}

static void take_kernels(const tlc_emission *e, selection *s)
{
    size_t n_nodes = 0;
    for (const tlc_func *f = e->m->first_func; f; f = f->next)
        n_nodes += (size_t)f->n_nodes;
    for (size_t i = 0; i < n_nodes; ++i) {
        const tlc_kernel *k = e->p->kernel[i];
        if (k)
            take_named(s, tlc_base_name(k->header), strlen(tlc_base_name(k->header)));
    }
}

static void take_roots(const tlc_emission *e, selection *s)
{
    bool cuda = e->spec->options->target == TLC_TARGET_CUDA;
    for (size_t i = 0; i < tlc_n_embedded_files; ++i)
        s->taken[i] = is_root(tlc_embedded_files[i].path, e->step != NULL, cuda);
    take_kernels(e, s);
    if (e->cpu)
        take_kernels(e->cpu, s);
    take_named(s, "tlr_model.h", strlen("tlr_model.h"));
}

tlc_sources tlc_emit_sources(const tlc_emission *e)
{
    tlc_arena *arena = &e->ctx->arena;
    selection s = { .taken = TLC_NEW_ARRAY(arena, bool, tlc_n_embedded_files) };
    tlc_sources out = { .file = TLC_NEW_ARRAY(arena, const tlc_embedded *, tlc_n_embedded_files) };
    take_roots(e, &s);
    do { /* a few rounds: includes nest four or five deep */
        s.grew = false;
        for (size_t i = 0; i < tlc_n_embedded_files; ++i)
            if (s.taken[i])
                each_include(&tlc_embedded_files[i], '"', '"', take_named, &s);
    } while (s.grew);
    for (size_t i = 0; i < tlc_n_embedded_files; ++i)
        if (s.taken[i])
            out.file[out.n++] = &tlc_embedded_files[i];
    return out;
}

static bool is_header(void *self, const char *name, size_t len)
{
    const char *wanted = self;
    return strlen(wanted) == len && memcmp(wanted, name, len) == 0;
}

bool tlc_sources_use(const tlc_sources *s, const char *folder, const char *header)
{
    for (size_t i = 0; i < s->n; ++i)
        if (tlc_starts_with(s->file[i]->path, folder) &&
            each_include(s->file[i], '<', '>', is_header, (void *)header))
            return true;
    return false;
}
