/* data.c: openat from folder to folder without following links, then fstat, then map. */
#include "data.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* The length of the component at `path`. */
static size_t component(const char *path)
{
    return strcspn(path, "/");
}

/* Relative, no "..", no empty component, nothing that another system would take for a root. */
static bool is_plain_location(const char *location, size_t len)
{
    if (len == 0 || memchr(location, '\0', len) || memchr(location, '\\', len) ||
        memchr(location, ':', len))
        return false;
    for (const char *at = location;; ++at) {
        size_t n = component(at);
        if (n == 0 || (n == 2 && at[0] == '.' && at[1] == '.'))
            return false;
        at += n;
        if (*at == '\0')
            return true;
    }
}

static tlc_status not_plain(tlc_ctx *ctx, const char *location, const char *why)
{
    return tlc_fail(ctx, TLC_E_MALFORMED, "E_EXTERNAL", "external data %s is not a plain file: %s",
                    tlc_quote_name(ctx, location), why);
}

static tlc_status cannot_open(tlc_ctx *ctx, const char *location, int error)
{
    if (error == ELOOP || error == ENOTDIR)
        return not_plain(ctx, location, "a link, or below one");
    if (error == ENXIO)
        return not_plain(ctx, location, "a socket or device");
    return tlc_fail(ctx, TLC_E_INPUT, "E_EXTERNAL", "external data %s: %s",
                    tlc_quote_name(ctx, location), strerror(error));
}

/* Walk from `folder` (taken over) to the last component; a link on the way is refused.
 * `path` is a copy of the location to cut up: nothing here may run out of memory. */
static tlc_status walk(tlc_ctx *ctx, int folder, const char *location, char *path, int *out_fd)
{
    char *at = path;
    for (;;) {
        size_t n = component(at);
        bool last = at[n] == '\0';
        at[n] = '\0';
        /* O_NONBLOCK: opening a FIFO must not wait for a writer. */
        int flags = O_RDONLY | O_CLOEXEC | O_NOFOLLOW | (last ? O_NONBLOCK : O_DIRECTORY);
        int fd = openat(folder, at, flags);
        int error = errno;
        close(folder);
        if (fd < 0)
            return cannot_open(ctx, location, error);
        if (last) {
            *out_fd = fd;
            return TLC_OK;
        }
        folder = fd;
        at += n + 1;
    }
}

static tlc_status check_plain(tlc_ctx *ctx, const char *location, const struct stat *st)
{
    if (!S_ISREG(st->st_mode))
        return not_plain(ctx, location, "a folder, FIFO or device");
    if (st->st_nlink != 1)
        return not_plain(ctx, location, "it has other names (hard links)");
    if (st->st_size > ctx->limits.max[TLB_LIMIT_FILE])
        return tlc_fail(ctx, TLC_E_LIMIT, "E_LIMIT_FILE",
                        "external data %s has %lld bytes, limit file is %lld",
                        tlc_quote_name(ctx, location), (long long)st->st_size,
                        (long long)ctx->limits.max[TLB_LIMIT_FILE]);
    return TLC_OK;
}

static tlc_status map_fd(tlc_ctx *ctx, int fd, tlc_data_file *file)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return cannot_open(ctx, file->location, errno);
    TLC_TRY(check_plain(ctx, file->location, &st));
    if (st.st_size == 0)
        return TLC_OK;
    void *bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (bytes == MAP_FAILED)
        return cannot_open(ctx, file->location, errno);
    file->bytes = bytes;
    file->n_bytes = (size_t)st.st_size;
    return TLC_OK;
}

static tlc_status open_new(tlc_ctx *ctx, const char *base_dir, tlc_data_file *file)
{
    char *path = tlc_arena_strdup(&ctx->arena, file->location);
    int fd = -1, folder = open(base_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return cannot_open(ctx, file->location, errno);
    TLC_TRY(walk(ctx, folder, file->location, path, &fd));
    tlc_status status = map_fd(ctx, fd, file);
    close(fd);
    return status;
}

tlc_status tlc_data_open(tlc_ctx *ctx, const char *base_dir, const char *location, size_t len,
                         const tlc_data_file **out)
{
    if (!is_plain_location(location, len))
        return tlc_fail(ctx, TLC_E_MALFORMED, "E_EXTERNAL",
                        "location %s, a path below the model's folder without .. \\ or : wanted",
                        tlc_quote(ctx, location, len));
    if (!base_dir)
        return tlc_fail(ctx, TLC_E_INPUT, "E_EXTERNAL",
                        "external data %s: the text has no folder to look in",
                        tlc_quote(ctx, location, len));
    const char *name = tlc_arena_strndup(&ctx->arena, location, len);
    for (tlc_data_file *f = ctx->data_files; f; f = f->next)
        if (strcmp(f->location, name) == 0) {
            *out = f;
            return TLC_OK;
        }
    tlc_data_file *file = TLC_NEW(&ctx->arena, tlc_data_file);
    file->location = name;
    TLC_TRY(open_new(ctx, base_dir, file));
    file->next = ctx->data_files;
    ctx->data_files = file;
    *out = file;
    return TLC_OK;
}

void tlc_data_close_all(tlc_ctx *ctx)
{
    for (tlc_data_file *f = ctx->data_files; f; f = f->next)
        if (f->bytes)
            munmap((void *)(uintptr_t)f->bytes, f->n_bytes);
    ctx->data_files = NULL;
}
