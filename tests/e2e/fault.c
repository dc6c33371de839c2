/* fault.c: preloaded into a program under test, makes its Nth call of one kind fail.
 *
 *   FAULT_CALL    write, short, fsync, close, rename, malloc; none: count alone
 *   FAULT_N       which call, from 1;  FAULT_ERRNO  the errno it fails with
 *   FAULT_BELOW   instead of FAULT_N: every call on a file below this folder (write, fsync)
 *   FAULT_REPORT  file that gets "FIRED MALLOCS STEPS IN_STEPS\n" at exit
 *
 * Counted are calls on files that the program writes: not its streams, not what it only reads.
 * `short` writes half of the bytes once, which is no failure but must not be taken for success.
 * STEPS are the lines of training steps that were printed, IN_STEPS the calls of malloc from the
 * first of them to the last.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

static atomic_long calls, mallocs, fired;
static long steps, mallocs_at_first, mallocs_at_last;
static const char *kind, *below;
static long which;
static int failure;

__attribute__((constructor)) static void begin(void)
{
    const char *n = getenv("FAULT_N"), *e = getenv("FAULT_ERRNO");
    kind = getenv("FAULT_CALL");
    below = getenv("FAULT_BELOW");
    which = n ? atol(n) : 0;
    failure = e ? atoi(e) : EIO;
    atomic_store(&mallocs, 0);
}

__attribute__((destructor)) static void end(void)
{
    const char *path = getenv("FAULT_REPORT");
    char text[64];
    int n = snprintf(text, sizeof text, "%ld %ld %ld %ld\n", (long)fired, (long)mallocs, steps,
                     mallocs_at_last - mallocs_at_first);
    int fd = path ? (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, 0666) : -1;
    if (fd >= 0) {
        syscall(SYS_write, fd, text, (size_t)n);
        syscall(SYS_close, fd);
    }
}

/* Is this the call that fails? */
static int fails(const char *call)
{
    if (!kind || strcmp(kind, call) != 0 || atomic_fetch_add(&calls, 1) + 1 != which)
        return 0;
    atomic_store(&fired, 1);
    errno = failure;
    return 1;
}

/* Does the descriptor's file lie below FAULT_BELOW, and is this its call? */
static int fails_below(const char *call, int fd)
{
    char link[64], path[4096];
    if (!below || !kind || strcmp(kind, call) != 0)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n < 0 || strncmp(path, below, strlen(below)) != 0)
        return 0;
    errno = failure;
    return 1;
}

static int writes(int fd)
{
    int flags = fd > 2 ? (int)syscall(SYS_fcntl, fd, F_GETFL) : -1;
    return flags >= 0 && (flags & O_ACCMODE) != O_RDONLY;
}

ssize_t write(int fd, const void *bytes, size_t n)
{
    if (fails_below("write", fd) || (writes(fd) && fails("write")))
        return -1;
    if (writes(fd) && n > 1 && fails("short"))
        n /= 2;
    return syscall(SYS_write, fd, bytes, n);
}

ssize_t pwrite(int fd, const void *bytes, size_t n, off_t at)
{
    if (fails("write"))
        return -1;
    if (n > 1 && fails("short"))
        n /= 2;
    return syscall(SYS_pwrite64, fd, bytes, n, at);
}

int ftruncate(int fd, off_t n)
{
    return fails("write") ? -1 : (int)syscall(SYS_ftruncate, fd, n);
}

int fsync(int fd)
{
    return fails_below("fsync", fd) || fails("fsync") ? -1 : (int)syscall(SYS_fsync, fd);
}

/* The descriptor is gone even so, as on Linux. */
int close(int fd)
{
    int fail = writes(fd) && fails("close");
    int done = (int)syscall(SYS_close, fd);
    if (fail)
        errno = failure;
    return fail ? -1 : done;
}

int rename(const char *from, const char *to)
{
    return fails("rename") ? -1 : (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}

int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
    return fails("rename") ? -1 : (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, flags);
}

/* The trainer's thread alone prints lines of steps. */
static void note_line(const char *form)
{
    if (!strstr(form, "\"type\":\"step\""))
        return;
    mallocs_at_last = (long)mallocs;
    if (steps++ == 0)
        mallocs_at_first = mallocs_at_last;
}

int fprintf(FILE *f, const char *form, ...)
{
    va_list values;
    va_start(values, form);
    int n = vfprintf(f, form, values);
    va_end(values);
    note_line(form);
    return n;
}

/* What a compiler that hardens by default calls instead. */
int __fprintf_chk(FILE *f, int flag, const char *form, ...)
{
    va_list values;
    (void)flag;
    va_start(values, form);
    int n = vfprintf(f, form, values);
    va_end(values);
    note_line(form);
    return n;
}

static int no_memory(void)
{
    int saved = errno;
    atomic_fetch_add(&mallocs, 1);
    if (fails("malloc")) {
        errno = ENOMEM;
        return 1;
    }
    errno = saved;
    return 0;
}

void *malloc(size_t n)
{
    return no_memory() ? NULL : __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
    return no_memory() ? NULL : __libc_calloc(n, size);
}

void *realloc(void *p, size_t n)
{
    return no_memory() ? NULL : __libc_realloc(p, n);
}

void *aligned_alloc(size_t align, size_t n)
{
    return no_memory() ? NULL : __libc_memalign(align, n);
}

void *memalign(size_t align, size_t n)
{
    return no_memory() ? NULL : __libc_memalign(align, n);
}

int posix_memalign(void **out, size_t align, size_t n)
{
    void *p = no_memory() ? NULL : __libc_memalign(align, n);
    if (!p)
        return ENOMEM;
    *out = p;
    return 0;
}
