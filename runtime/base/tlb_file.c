/* tlb_file.c: whole-file writes that a crash cannot tear, and read-only maps.
 *
 * The data is forced to disk before the rename and the folder after it, so that after a
 * power loss a name leads to the old bytes or the new, never to a mix.  The first failure of
 * a writer sticks: later writes do nothing, and the commit reports it.
 */
#include "tlb_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { NAME_TRIES = 100 };
static const size_t WRITE_MOST_BYTES = (size_t)1 << 30; /* write(2) takes no more than 2 GiB */

/* Folder part of `path` with its slash: "" for a plain name. */
static size_t folder_length(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? (size_t)(slash - path) + 1 : 0;
}

/* Words for temporary names; they need only differ, O_EXCL does the rest. */
static uint32_t name_word(unsigned attempt)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t x = (uint64_t)now.tv_nsec * 2654435761u + (uint64_t)getpid() * 40503u + attempt;
    x ^= (uint64_t)now.tv_sec << 20;
    return (uint32_t)(x ^ x >> 32);
}

static int open_temporary(tlb_out *o)
{
    size_t folder = folder_length(o->path);
    for (unsigned i = 0; i < NAME_TRIES; ++i) {
        snprintf(o->temporary + folder, 32, ".tlc-%08x.part", (unsigned)name_word(i));
        int fd = open(o->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
        if (fd >= 0 || errno != EEXIST)
            return fd;
    }
    return -1;
}

static void free_names(tlb_out *o)
{
    free(o->path);
    free(o->temporary);
    o->path = o->temporary = NULL;
}

tlb_status tlb_out_open(tlb_out *o, const char *path)
{
    size_t length = strlen(path);
    *o = (tlb_out){ .fd = -1 };
    o->path = malloc(length + 1);
    o->temporary = malloc(length + 33);
    if (!o->path || !o->temporary) {
        o->error = ENOMEM;
        free_names(o);
        return TLB_E_LIMIT;
    }
    memcpy(o->path, path, length + 1);
    memcpy(o->temporary, path, length + 1);
    o->fd = open_temporary(o);
    if (o->fd >= 0)
        return TLB_OK;
    o->error = errno;
    free_names(o);
    return TLB_E_OUTPUT;
}

tlb_status tlb_out_write(tlb_out *o, const void *bytes, size_t n)
{
    const char *p = bytes;
    if (o->tap)
        o->tap(o->tap_self, bytes, n);
    while (!o->error && n > 0) {
        ssize_t k = write(o->fd, p, n < WRITE_MOST_BYTES ? n : WRITE_MOST_BYTES);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0) {
            o->error = k < 0 ? errno : EIO;
            break;
        }
        p += k;
        n -= (size_t)k;
        o->written += (uint64_t)k;
    }
    return o->error ? TLB_E_OUTPUT : TLB_OK;
}

tlb_status tlb_out_hole(tlb_out *o, uint64_t n)
{
    if (o->error)
        return TLB_E_OUTPUT;
    o->written += n;
    /* The length is set now, so that a hole at the very end counts too. */
    if (ftruncate(o->fd, (off_t)o->written) != 0 || lseek(o->fd, (off_t)n, SEEK_CUR) < 0) {
        o->error = errno;
        return TLB_E_OUTPUT;
    }
    return TLB_OK;
}

/* Force the names in the folder of `path` to disk.  Cuts `path`: memory must not be wanted here,
 * where the new file stands already. */
static int sync_folder(char *path)
{
    path[folder_length(path)] = '\0';
    int fd = open(*path ? path : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return errno;
    int error = fsync(fd) != 0 ? errno : 0;
    /* Some file systems cannot sync a folder and say so: nothing more can be done there. */
    if (error == EINVAL || error == ENOTSUP)
        error = 0;
    close(fd);
    return error;
}

tlb_status tlb_out_commit(tlb_out *o)
{
    if (o->fd < 0)
        return TLB_E_OUTPUT;
    if (!o->error && fsync(o->fd) != 0)
        o->error = errno;
    if (close(o->fd) != 0 && !o->error)
        o->error = errno;
    o->fd = -1;
    if (!o->error && rename(o->temporary, o->path) != 0)
        o->error = errno;
    if (o->error)
        unlink(o->temporary);
    else
        o->error = sync_folder(o->path);
    free_names(o);
    return o->error ? TLB_E_OUTPUT : TLB_OK;
}

void tlb_out_abandon(tlb_out *o)
{
    if (o->fd >= 0)
        close(o->fd);
    o->fd = -1;
    if (o->temporary)
        unlink(o->temporary);
    free_names(o);
}

tlb_status tlb_write_file(const char *path, const void *bytes, size_t n, int *out_errno)
{
    tlb_out o;
    tlb_status status = tlb_out_open(&o, path);
    if (status == TLB_OK) {
        tlb_out_write(&o, bytes, n);
        status = tlb_out_commit(&o);
    }
    if (out_errno)
        *out_errno = o.error;
    return status;
}

static tlb_status map_descriptor(int fd, tlb_map *out, int *out_errno)
{
    struct stat st;
    if (fstat(fd, &st) != 0) {
        *out_errno = errno;
        return TLB_E_INPUT;
    }
    *out_errno = 0;
    if (!S_ISREG(st.st_mode))
        return TLB_E_INPUT;
    tlb_map m = { NULL, (size_t)st.st_size };
    if (m.n_bytes > 0) {
        void *at = mmap(NULL, m.n_bytes, PROT_READ, MAP_PRIVATE, fd, 0);
        if (at == MAP_FAILED) {
            *out_errno = errno;
            return errno == ENOMEM ? TLB_E_LIMIT : TLB_E_INPUT;
        }
        m.bytes = at;
    }
    *out = m;
    return TLB_OK;
}

tlb_status tlb_map_file(const char *path, tlb_map *out, int *out_errno)
{
    int error = 0;
    /* O_NONBLOCK: a FIFO without a writer must not stop the program. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    tlb_status status = TLB_E_INPUT;
    if (fd < 0)
        error = errno;
    else {
        status = map_descriptor(fd, out, &error);
        close(fd);
    }
    if (out_errno)
        *out_errno = error;
    return status;
}

void tlb_unmap(tlb_map *m)
{
    if (m->bytes)
        munmap((void *)(uintptr_t)m->bytes, m->n_bytes);
    *m = (tlb_map){ NULL, 0 };
}
