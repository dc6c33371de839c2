/* onnx_external.c: tensors whose bytes lie in files beside the model.
 *
 * A location is a path below the model's folder, opened component by component: no
 * link is followed, and the last must be a plain file with one name.  Otherwise a
 * model could have any file of the machine read into a user's weights.
 */
#include "onnx_import.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct range {
    const tlc_file *file;
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

/* --- location ------------------------------------------------------------ */

static bool is_component(const char *s, size_t n)
{
    return n > 0 && !(n == 2 && s[0] == '.' && s[1] == '.') && !memchr(s, '\\', n) &&
           !memchr(s, ':', n);
}

static tlc_status check_location(tlc_ctx *ctx, const char *location)
{
    const char *at = location ? location : "";
    for (;;) {
        size_t n = strcspn(at, "/");
        if (!is_component(at, n))
            return tlc_fail(
                ctx, TLC_E_MALFORMED, "E_EXTERNAL",
                "location %s, a path below the model's folder without .. \\ or : wanted",
                tlc_quote_name(ctx, location));
        if (!at[n])
            return TLC_OK;
        at += n + 1;
    }
}

static int open_folder_of(tlc_ctx *ctx, const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *folder = !slash ? "."
                         : slash == path
                             ? "/"
                             : tlc_arena_strndup(&ctx->arena, path, (size_t)(slash - path));
    return open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* Descriptor of the file, or -1 with errno. */
static int open_below(tlc_ctx *ctx, const char *model, const char *location)
{
    int at = open_folder_of(ctx, model);
    while (at >= 0) {
        size_t n = strcspn(location, "/");
        const char *name = tlc_arena_strndup(&ctx->arena, location, n);
        /* O_NONBLOCK: a FIFO without a writer must not stop us. */
        int flags = O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK;
        int next = openat(at, name, location[n] ? flags | O_DIRECTORY : flags);
        int error = errno;
        close(at);
        errno = error;
        at = next;
        if (!location[n])
            break;
        location += n + 1;
    }
    return at;
}

static tlc_status not_plain(tlc_ctx *ctx, const char *location, const char *why)
{
    return tlc_fail(ctx, TLC_E_MALFORMED, "E_EXTERNAL", "external data %s is not a plain file: %s",
                    tlc_quote_name(ctx, location), why);
}

static tlc_status open_failed(tlc_ctx *ctx, const char *location, int error)
{
    if (error == ELOOP || error == ENOTDIR)
        return not_plain(ctx, location, "a link, or below one");
    if (error == ENXIO)
        return not_plain(ctx, location, "a socket or device");
    return tlc_fail(ctx, TLC_E_INPUT, "E_EXTERNAL", "external data %s: %s",
                    tlc_quote_name(ctx, location), strerror(error));
}

static tlc_status check_plain(tlc_ctx *ctx, const char *location, int fd, int64_t *size)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return open_failed(ctx, location, errno);
    if (!S_ISREG(st.st_mode))
        return not_plain(ctx, location, "a folder, FIFO or device");
    if (st.st_nlink != 1)
        return not_plain(ctx, location, "it has other names (hard links)");
    if (st.st_size > ctx->limits.max[TLB_LIMIT_FILE])
        return tlc_over_limit(ctx, TLB_LIMIT_FILE, st.st_size);
    *size = st.st_size;
    return TLC_OK;
}

static tlc_status map_plain(tlc_ctx *ctx, const char *location, int fd, tlc_file *f)
{
    TLC_TRY(check_plain(ctx, location, fd, &f->n_bytes));
    if (f->n_bytes == 0)
        return TLC_OK;
    void *at = mmap(NULL, (size_t)f->n_bytes, PROT_READ, MAP_PRIVATE, fd, 0);
    if (at == MAP_FAILED)
        return open_failed(ctx, location, errno);
    f->bytes = at;
    return TLC_OK;
}

/* The mapped file of `location`; files of one model are few, so the list is walked. */
static tlc_status find_file(tlc_onnx *o, const char *location, tlc_file **out)
{
    for (tlc_file *f = o->file->next; f; f = f->next)
        if (!strcmp(f->path, location)) {
            *out = f;
            return TLC_OK;
        }
    tlc_file *f = TLC_NEW(&o->ctx->arena, tlc_file);
    f->path = location;
    int fd = open_below(o->ctx, o->file->path, location);
    if (fd < 0)
        return open_failed(o->ctx, location, errno);
    tlc_status status = map_plain(o->ctx, location, fd, f);
    close(fd);
    TLC_TRY(status);
    f->next = o->file->next;
    o->file->next = f;
    *out = f;
    return TLC_OK;
}

/* --- ranges -------------------------------------------------------------- */

static void note_range(tlc_onnx *o, const tlc_file *f, int64_t begin, int64_t end)
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
        return strcmp(x->file->path, y->file->path);
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

static tlc_status check_range(tlc_ctx *ctx, const tlc_file *f, int64_t offset, int64_t length,
                              int64_t n_bytes)
{
    if (length > f->n_bytes - offset) /* neither is negative, so nothing overflows */
        return tlc_fail(ctx, TLC_E_MALFORMED, "E_EXTERNAL",
                        "offset %" PRId64 " and length %" PRId64
                        " outside the external data of %" PRId64 " bytes",
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
    tlc_file *f = NULL;
    TLC_TRY(read_entries(o->ctx, t, value));
    TLC_TRY(check_location(o->ctx, value[LOCATION]));
    if (value[OFFSET])
        TLC_TRY(read_count(o->ctx, keys[OFFSET], value[OFFSET], &offset));
    if (value[LENGTH])
        TLC_TRY(read_count(o->ctx, keys[LENGTH], value[LENGTH], &length));
    TLC_TRY(find_file(o, value[LOCATION], &f));
    TLC_TRY(check_range(o->ctx, f, offset, length, n_bytes));
    note_range(o, f, offset, offset + length);
    out->raw = f->bytes ? f->bytes + offset : (const unsigned char *)"";
    out->file = f->path;
    out->file_offset = offset;
    return TLC_OK;
}
