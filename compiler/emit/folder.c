/* folder.c: the compiled folder appears whole or not at all.
 *
 * Everything is written and forced to disk under a temporary name beside the place, then one
 * rename puts it there (where a folder of ours stands, the two change places and the old one is
 * removed).  A folder is ours if it holds a manifest.json of our schema; nothing else is replaced.
 *
 * A running compile holds a lock on its temporary folder, so the next one can tell what an
 * interrupted run left behind and removes it.
 */
#define _GNU_SOURCE /* renameat2 */
#include "emit_parts.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static const char temporary_prefix[] = ".tlc-";
static const char temporary_suffix[] = ".part";

/* --- one file --------------------------------------------------------------------- */

static void write_all(tlc_folder_file *f, const unsigned char *bytes, size_t n)
{
    while (n > 0 && !f->error) {
        ssize_t k = write(f->fd, bytes, n < (1u << 30) ? n : 1u << 30);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            f->error = k < 0 ? errno : EIO;
        else
            bytes += k, n -= (size_t)k;
    }
}

static void flush(tlc_folder_file *f)
{
    write_all(f, f->buffer, f->held);
    f->held = 0;
}

void tlc_folder_put(tlc_folder_file *f, const void *bytes, size_t n)
{
    if (f->held + n > sizeof f->buffer)
        flush(f);
    if (n > sizeof f->buffer) {
        write_all(f, bytes, n);
    } else {
        memcpy(f->buffer + f->held, bytes, n);
        f->held += n;
    }
    f->at += n;
}

void tlc_folder_hole(tlc_folder_file *f, uint64_t n)
{
    static const unsigned char zeros[4096];
    if (n <= sizeof zeros) {
        tlc_folder_put(f, zeros, (size_t)n);
        return;
    }
    flush(f);
    f->at += n;
    /* The length is set at once, so that a hole at the very end counts too. */
    if (!f->error && (ftruncate(f->fd, (off_t)f->at) != 0 || lseek(f->fd, (off_t)n, SEEK_CUR) < 0))
        f->error = errno;
}

void tlc_folder_patch(tlc_folder_file *f, const void *bytes, size_t n)
{
    flush(f);
    if (!f->error && pwrite(f->fd, bytes, n, 0) != (ssize_t)n)
        f->error = errno ? errno : EIO;
}

static tlc_folder_file *file_open(int dir, const char *path)
{
    tlc_folder_file *f = calloc(1, sizeof *f);
    if (!f)
        return NULL;
    f->fd = openat(dir, path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (f->fd < 0)
        f->error = errno;
    return f;
}

/* Force to disk and close; the errno of the first failure, 0 for none. */
static int file_finish(tlc_folder_file *f)
{
    if (!f)
        return ENOMEM;
    if (f->fd >= 0)
        flush(f);
    if (f->fd >= 0 && fsync(f->fd) != 0 && !f->error)
        f->error = errno;
    if (f->fd >= 0 && close(f->fd) != 0 && !f->error)
        f->error = errno;
    int error = f->error;
    free(f);
    return error;
}

/* --- folders -------------------------------------------------------------------------- */

static int sync_dir(int dir, const char *path)
{
    int fd = openat(dir, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int error = fd < 0 || fsync(fd) != 0 ? errno : 0;
    if (fd >= 0)
        close(fd);
    return error;
}

/* Make the folders above a file; existing ones are fine. */
static int make_parents(int dir, const char *path)
{
    char part[512];
    if (strlen(path) >= sizeof part)
        return ENAMETOOLONG;
    for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
        memcpy(part, path, (size_t)(slash - path));
        part[slash - path] = '\0';
        if (mkdirat(dir, part, 0777) != 0 && errno != EEXIST)
            return errno;
    }
    return 0;
}

static int sync_parents(int dir, const char *path)
{
    char part[512];
    int error = 0;
    for (const char *slash = strchr(path, '/'); slash && !error; slash = strchr(slash + 1, '/')) {
        snprintf(part, sizeof part, "%.*s", (int)(slash - path), path);
        error = sync_dir(dir, part);
    }
    return error;
}

static bool is_dots(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

enum { REMOVE_DEPTH = 32 };

/* Remove a folder with all that is in it; links are removed, never followed. */
static void remove_tree(int parent, const char *name, int depth)
{
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    for (struct dirent *entry; d && (entry = readdir(d)) != NULL;) {
        if (is_dots(entry->d_name))
            continue;
        if (unlinkat(dirfd(d), entry->d_name, 0) != 0 && depth < REMOVE_DEPTH)
            remove_tree(dirfd(d), entry->d_name, depth + 1);
    }
    if (d)
        closedir(d);
    else if (fd >= 0)
        close(fd);
    unlinkat(parent, name, AT_REMOVEDIR);
}

/* --- what stands at the place ------------------------------------------------------------ */

typedef struct place {
    char *parent;      /* folder that holds it */
    const char *name;  /* in `typed`, without trailing slashes */
    char *typed;
    bool exists;       /* a folder of ours, or an empty one */
    int parent_fd, temporary_fd;
    char temporary[64];
} place;

/* Does the folder hold a manifest of ours?  Its schema stands in a line of its own. */
static bool is_ours(int dir)
{
    static const char schema[] = "\"schema\": \"tlc.manifest/";
    char *text = NULL;
    size_t room = 0;
    bool found = false;
    int fd = openat(dir, "manifest.json", O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "r");
    while (file && !found && getline(&text, &room, file) >= 0)
        found = strstr(text, schema) != NULL;
    free(text);
    if (file)
        fclose(file);
    else if (fd >= 0)
        close(fd);
    return found;
}

static bool is_empty(int dir)
{
    int copy = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = copy < 0 ? NULL : fdopendir(copy);
    bool empty = d != NULL;
    for (struct dirent *entry; d && (entry = readdir(d)) != NULL;)
        empty = empty && is_dots(entry->d_name);
    if (d)
        closedir(d);
    else if (copy >= 0)
        close(copy);
    return empty;
}

static tlc_status inspect_place(tlc_ctx *ctx, place *p)
{
    struct stat st;
    if (fstatat(p->parent_fd, p->name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
        p->exists = false;
        return errno == ENOENT ? TLC_OK
                               : tlc_fail(ctx, TLC_E_OUTPUT, "E_OUTPUT", "cannot write: %s",
                                          strerror(errno));
    }
    if (!S_ISDIR(st.st_mode))
        return tlc_fail(ctx, TLC_E_OUTPUT, "E_OUTPUT", "is no folder, so not ours to replace");
    int dir = openat(p->parent_fd, p->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir < 0)
        return tlc_fail(ctx, TLC_E_OUTPUT, "E_OUTPUT", "cannot write: %s", strerror(errno));
    bool fine = is_ours(dir) || is_empty(dir);
    close(dir);
    if (!fine) {
        tlc_fail(ctx, TLC_E_OUTPUT, "E_OUTPUT", "holds files and no manifest.json of tlc: not ours"
                                                " to replace");
        return tlc_hint(ctx, "choose another folder with -o");
    }
    p->exists = true;
    return TLC_OK;
}

/* "a/b//" is folder "a", name "b". */
static tlc_status split_path(tlc_ctx *ctx, const char *out_dir, place *p)
{
    p->typed = tlc_arena_strdup(&ctx->arena, out_dir);
    size_t len = strlen(p->typed);
    while (len > 1 && p->typed[len - 1] == '/')
        p->typed[--len] = '\0';
    p->name = tlc_base_name(p->typed);
    if (*p->name == '\0' || is_dots(p->name))
        return tlc_fail(ctx, TLC_E_OUTPUT, "E_OUTPUT", "is no name for a new folder");
    size_t parent = (size_t)(p->name - p->typed);
    p->parent = parent ? tlc_arena_strndup(&ctx->arena, p->typed, parent)
                       : tlc_arena_strdup(&ctx->arena, ".");
    return TLC_OK;
}

/* --- the temporary folder ------------------------------------------------------------------- */

/* Remove what interrupted compiles left: temporary folders that nobody holds locked. */
static void remove_leftovers(int parent)
{
    int copy = openat(parent, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = copy < 0 ? NULL : fdopendir(copy);
    for (struct dirent *entry; d && (entry = readdir(d)) != NULL;) {
        if (!tlc_starts_with(entry->d_name, temporary_prefix) ||
            !tlc_ends_with(entry->d_name, temporary_suffix))
            continue;
        int fd = openat(parent, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
            continue;
        if (flock(fd, LOCK_EX | LOCK_NB) == 0)
            remove_tree(parent, entry->d_name, 0);
        close(fd);
    }
    if (d)
        closedir(d);
    else if (copy >= 0)
        close(copy);
}

/* Open and lock the folder just made.  Another compile that clears leftovers may have taken it
 * for one before the lock was on it: then it is locked, or gone, and another must be made. */
static bool hold_temporary(place *p)
{
    struct stat st;
    int fd = openat(p->parent_fd, p->temporary, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0 &&
        fstatat(p->parent_fd, p->temporary, &st, AT_SYMLINK_NOFOLLOW) == 0) {
        p->temporary_fd = fd;
        return true;
    }
    if (fd >= 0)
        close(fd);
    return false;
}

static int make_temporary(place *p)
{
    enum { TRIES = 100 };
    int error = EEXIST;
    for (int i = 0; i < TRIES; ++i) {
        snprintf(p->temporary, sizeof p->temporary, "%s%ld-%d%s", temporary_prefix, (long)getpid(),
                 i, temporary_suffix);
        if (mkdirat(p->parent_fd, p->temporary, 0777) == 0) {
            if (hold_temporary(p))
                return 0;
        } else if (errno != EEXIST) {
            error = errno;
            break;
        }
    }
    p->temporary[0] = '\0';
    return error;
}

static int write_stream(int dir, const tlc_folder_stream *s)
{
    int error = make_parents(dir, s->path);
    if (error)
        return error;
    tlc_folder_file *f = file_open(dir, s->path);
    if (f)
        s->write(f, s->self);
    error = file_finish(f);
    return error ? error : sync_parents(dir, s->path);
}

static void put_text(tlc_folder_file *f, const void *file)
{
    const tlc_embedded *text = file;
    tlc_folder_put(f, text->bytes, text->n_bytes);
}

static int write_one(int dir, const tlc_embedded *file)
{
    return write_stream(dir, &(tlc_folder_stream){ file->path, put_text, file });
}

/* --- into place ----------------------------------------------------------------------------- */

static int put_in_place(place *p)
{
    int old = p->parent_fd;
    if (!p->exists)
        return renameat2(old, p->temporary, old, p->name, RENAME_NOREPLACE) != 0 ? errno : 0;
    if (renameat2(old, p->temporary, old, p->name, RENAME_EXCHANGE) != 0)
        return errno;
    remove_tree(old, p->temporary, 0);
    return 0;
}

static int write_folder(place *p, const tlc_embedded *files, size_t n_files,
                        const tlc_folder_stream *streams, size_t n_streams)
{
    int error = make_temporary(p);
    for (size_t i = 0; i < n_files && !error; ++i)
        error = write_one(p->temporary_fd, &files[i]);
    for (size_t i = 0; i < n_streams && !error; ++i)
        error = write_stream(p->temporary_fd, &streams[i]);
    if (!error && fsync(p->temporary_fd) != 0)
        error = errno;
    if (!error)
        error = put_in_place(p);
    if (error && p->temporary[0])
        remove_tree(p->parent_fd, p->temporary, 0);
    return error ? error : fsync(p->parent_fd) != 0 ? errno : 0;
}

static tlc_status write_to(tlc_ctx *ctx, place *p, const tlc_embedded *files, size_t n_files,
                           const tlc_folder_stream *streams, size_t n_streams)
{
    TLC_TRY(split_path(ctx, ctx->file, p));
    p->parent_fd = open(p->parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (p->parent_fd < 0)
        return tlc_fail(ctx, TLC_E_OUTPUT, "E_OUTPUT", "cannot write: %s", strerror(errno));
    TLC_TRY(inspect_place(ctx, p));
    remove_leftovers(p->parent_fd);
    int error = write_folder(p, files, n_files, streams, n_streams);
    if (error == ENOMEM)
        return tlc_fail(ctx, TLC_E_LIMIT, "E_MEMORY", "out of memory");
    if (error)
        return tlc_fail(ctx, TLC_E_OUTPUT, "E_OUTPUT", "cannot write: %s", strerror(error));
    return TLC_OK;
}

tlc_status tlc_folder_write(tlc_ctx *ctx, const char *out_dir, const tlc_embedded *files,
                            size_t n_files, const tlc_folder_stream *streams, size_t n_streams)
{
    place p = { .parent_fd = -1, .temporary_fd = -1 };
    const char *model = ctx->file;
    ctx->file = out_dir; /* what diagnostics are about, until the folder stands */
    tlc_at(ctx, "%s", "");
    tlc_status status = write_to(ctx, &p, files, n_files, streams, n_streams);
    ctx->file = model;
    if (p.temporary_fd >= 0)
        close(p.temporary_fd);
    if (p.parent_fd >= 0)
        close(p.parent_fd);
    return status;
}
