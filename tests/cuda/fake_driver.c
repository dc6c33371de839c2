/* fake_driver.c: libcuda.so.1 for tests: a device of compute capability 8.6, or what
 * FAKE_CUDA_CAPABILITY says (75), whose kernels run on the CPU under tlk_cuda_emu.h.
 *
 * A module's image is a shared library (fake_nvrtc.c makes it), or a fatbin; a launch is a call of
 * its tlk_emu_launch.  Memory is filled with the pattern of what nobody wrote, and has redzones by
 * being known to the emulation.  What the emulation finds becomes the error of the launch, or, of a
 * kernel in a graph, of the wait for it.  Wrong uses of streams and graphs give the errors that a
 * driver gives.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tlk_cuda_frame.h"

/* Errors as cuda.h numbers them. */
enum { MAX_REGIONS = 256, WORD = 4, INVALID = 1, NO_MEMORY = 2, INVALID_HANDLE = 400,
       NOT_FOUND = 500, FAILED = 719, CAPTURE_UNSUPPORTED = 900, CAPTURE_INVALIDATED = 901 };

/* As tlk_cuda_emu.h has them. */
typedef struct mark { uint32_t write_epoch, writer, read_epoch, reader; } mark;
typedef struct region { char *base; size_t bytes; mark *marks; } region;
typedef void kernel_fn(void);
typedef const char *launch_fn(kernel_fn *kernel, const char *name, const unsigned grid[3],
                              unsigned threads, const void *frame, const region *regions,
                              int n_regions);
typedef struct function { kernel_fn *kernel; launch_fn *launch; char name[96]; } function;

static const uint32_t pattern = 0x7fbadbadu;
static region regions[MAX_REGIONS];
static int n_regions;
static char finding[512];
static const char *last_text = "fake driver";

int cuInit(unsigned flags) { return (int)flags; }
int cuDeviceGetCount(int *n) { *n = getenv("FAKE_CUDA_NO_DEVICE") ? 0 : 1; return 0; }
int cuDeviceGet(int *device, int i) { *device = i; return 0; }
int cuCtxSetCurrent(void *context) { return context ? 0 : INVALID; }

int cuDeviceGetName(char *name, int n, int device)
{
    snprintf(name, (size_t)n, "emulated device %d", device);
    return 0;
}

int cuDeviceGetAttribute(int *value, int attribute, int device)
{
    enum { MAJOR = 75, MINOR = 76 };
    const char *told = getenv("FAKE_CUDA_CAPABILITY");
    int capability = told ? atoi(told) : 86;
    (void)device;
    *value = attribute == MAJOR ? capability / 10 : attribute == MINOR ? capability % 10 : 1;
    return 0;
}

int cuDevicePrimaryCtxRetain(void **context, int device)
{
    static int here;
    (void)device;
    *context = &here;
    return 0;
}

int cuGetErrorString(int error, const char **text)
{
    *text = error == FAILED ? finding : last_text;
    return 0;
}

/* --- memory ------------------------------------------------------------------------ */

static int capture_forbids(void);

int cuMemAlloc_v2(uint64_t *at, size_t bytes)
{
    bytes = (bytes + 63) / 64 * 64;
    if (n_regions == MAX_REGIONS || capture_forbids())
        return n_regions == MAX_REGIONS ? NO_MEMORY : CAPTURE_UNSUPPORTED;
    region r = { aligned_alloc(64, bytes), bytes, NULL };
    r.marks = mmap(NULL, bytes / WORD * sizeof(mark), PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (!r.base || r.marks == MAP_FAILED)
        return NO_MEMORY;
    for (size_t i = 0; i < bytes; i += WORD)
        memcpy(r.base + i, &pattern, WORD);
    regions[n_regions++] = r;
    *at = (uint64_t)(uintptr_t)r.base;
    return 0;
}

int cuMemAllocManaged(uint64_t *at, size_t bytes, unsigned flags)
{
    return flags == 1 ? cuMemAlloc_v2(at, bytes) : INVALID;
}

int cuMemFree_v2(uint64_t at)
{
    if (capture_forbids())
        return CAPTURE_UNSUPPORTED;
    for (int i = 0; i < n_regions; ++i)
        if ((uint64_t)(uintptr_t)regions[i].base == at) {
            munmap(regions[i].marks, regions[i].bytes / WORD * sizeof(mark));
            free(regions[i].base);
            regions[i] = regions[--n_regions];
            return 0;
        }
    return INVALID;
}

/* --- modules ------------------------------------------------------------------------ */

/* What a fatbin holds goes into $FAKE_CUDA_LOG, as "fatbin sm_75 compute_75"; its kernels are
 * those of the library that $FAKE_CUDA_FATBIN names.  Not named: it is refused. */
static char *load_fatbin(const unsigned char *at)
{
    enum { PTX = 1 };
    uint16_t header_bytes, kind;
    uint32_t entry_bytes, architecture;
    uint64_t bytes, payload_bytes;
    const char *stands_for = getenv("FAKE_CUDA_FATBIN"), *log = getenv("FAKE_CUDA_LOG");
    FILE *f = log ? fopen(log, "a") : NULL;
    memcpy(&header_bytes, at + 6, sizeof header_bytes);
    memcpy(&bytes, at + 8, sizeof bytes);
    at += header_bytes;
    if (f)
        fprintf(f, "fatbin");
    for (const unsigned char *end = at + bytes; at < end; at += entry_bytes + payload_bytes) {
        memcpy(&kind, at, sizeof kind);
        memcpy(&entry_bytes, at + 4, sizeof entry_bytes);
        memcpy(&payload_bytes, at + 8, sizeof payload_bytes);
        memcpy(&architecture, at + 28, sizeof architecture);
        if (f)
            fprintf(f, " %s_%u", kind == PTX ? "compute" : "sm", architecture);
    }
    if (f) {
        fprintf(f, "\n");
        fclose(f);
    }
    return stands_for ? strdup(stands_for) : NULL;
}

static char *write_library(const void *image)
{
    uint64_t bytes;
    char path[] = "/tmp/fake-module-XXXXXX";
    memcpy(&bytes, image, sizeof bytes);
    int fd = mkstemp(path);
    if (fd < 0 || write(fd, (const char *)image + sizeof bytes, bytes) != (ssize_t)bytes)
        return NULL;
    close(fd);
    return strdup(path);
}

/* fake_nvrtc.c's images say their own length first: an 8-byte number, then the library. */
int cuModuleLoadData(void **module, const void *image)
{
    static const unsigned char fatbin[] = { 0x50, 0xed, 0x55, 0xba };
    bool beforehand = memcmp(image, fatbin, sizeof fatbin) == 0;
    char *path = beforehand ? load_fatbin(image) : write_library(image);
    *module = path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
    if (path && !*module)
        last_text = dlerror();
    if (path && !beforehand)
        unlink(path);
    free(path);
    return *module ? 0 : INVALID;
}

int cuModuleGetFunction(void **out, void *module, const char *name)
{
    function *f = calloc(1, sizeof *f);
    void *kernel = dlsym(module, name), *launch = dlsym(module, "tlk_emu_launch");
    if (!f || !kernel || !launch)
        return NOT_FOUND;
    memcpy(&f->kernel, &kernel, sizeof kernel);
    memcpy(&f->launch, &launch, sizeof launch);
    snprintf(f->name, sizeof f->name, "%s", name);
    *out = f;
    return 0;
}

/* --- streams and graphs -------------------------------------------------------------- */

/* A kernel with its arguments, as a launch takes them down. */
typedef struct launched {
    const function *f;
    unsigned grid[3], threads;
    tlk_cuda_frame frame;
} launched;

/* What a capture takes down; a graph, or one that can be launched.  What was destroyed stays, to be
 * known again. */
typedef enum graph_kind { CAPTURED, LAUNCHABLE, DESTROYED } graph_kind;
typedef struct graph {
    graph_kind is;
    launched *kernels;
    int n;
} graph;

static struct stream {
    graph *capturing; /* NULL: what is queued runs at once */
    int spoiled;      /* something was done that a capture does not allow */
    int pending;      /* the error that a wait will give */
} stream;

/* While a stream captures, these calls fail, and the capture with them. */
static int capture_forbids(void)
{
    stream.spoiled |= stream.capturing != NULL;
    return stream.capturing != NULL;
}

static void note(const char *fmt, int n)
{
    const char *log = getenv("FAKE_CUDA_LOG");
    FILE *f = log ? fopen(log, "a") : NULL;
    if (f) {
        fprintf(f, fmt, n);
        fclose(f);
    }
}

static int run_kernel(const launched *l)
{
    const char *found = l->f->launch(l->f->kernel, l->f->name, l->grid, l->threads, &l->frame,
                                     regions, n_regions);
    if (found)
        snprintf(finding, sizeof finding, "%s", found);
    return found ? FAILED : 0;
}

int cuStreamCreate(void **out, unsigned flags)
{
    *out = &stream;
    return flags > 1 ? INVALID : 0;
}

int cuStreamSynchronize(void *s)
{
    int error = stream.pending;
    if (s != &stream || capture_forbids())
        return s != &stream ? INVALID_HANDLE : CAPTURE_UNSUPPORTED;
    stream.pending = 0;
    return error;
}

int cuStreamBeginCapture_v2(void *s, int mode)
{
    if (s != &stream || mode < 0 || mode > 2 || capture_forbids())
        return INVALID;
    stream = (struct stream){ .capturing = calloc(1, sizeof *stream.capturing) };
    stream.capturing->is = CAPTURED;
    return 0;
}

int cuStreamEndCapture(void *s, void **out)
{
    graph *g = stream.capturing;
    int spoiled = stream.spoiled;
    stream = (struct stream){ 0 };
    *out = s == &stream && g && !spoiled ? g : NULL;
    return *out ? 0 : CAPTURE_INVALIDATED;
}

static int destroy(void *handle, graph_kind is)
{
    graph *g = handle;
    int wrong = g->is != is;
    g->is = DESTROYED;
    return wrong ? INVALID_HANDLE : 0;
}

int cuGraphDestroy(void *handle) { return destroy(handle, CAPTURED); }
int cuGraphExecDestroy(void *handle) { return destroy(handle, LAUNCHABLE); }

int cuGraphInstantiateWithFlags(void **out, void *handle, unsigned long long flags)
{
    const graph *g = handle;
    graph *made = malloc(sizeof *made);
    if (g->is != CAPTURED || flags || !made || getenv("FAKE_CUDA_NO_GRAPHS"))
        return INVALID_HANDLE;
    *made = (graph){ LAUNCHABLE, g->kernels, g->n };
    *out = made;
    note("graph of %d kernels\n", g->n);
    return 0;
}

int cuGraphLaunch(void *handle, void *s)
{
    const graph *g = handle;
    if (s != &stream || g->is != LAUNCHABLE || stream.capturing)
        return INVALID_HANDLE;
    note("launch of %d\n", g->n);
    for (int i = 0; i < g->n && !stream.pending; ++i)
        stream.pending = run_kernel(&g->kernels[i]);
    return 0;
}

static bool is_inside(uint64_t at, size_t bytes)
{
    for (int i = 0; i < n_regions; ++i)
        if (at >= (uintptr_t)regions[i].base &&
            at + bytes <= (uintptr_t)regions[i].base + regions[i].bytes)
            return true;
    return false;
}

int cuMemcpyHtoDAsync_v2(uint64_t at, const void *from, size_t bytes, void *s)
{
    if (s != &stream || capture_forbids() || !is_inside(at, bytes))
        return INVALID;
    memcpy((void *)(uintptr_t)at, from, bytes);
    return 0;
}

/* Device 0, or -1 for the host.  Nothing moves here; what is asked for is noted. */
int cuMemPrefetchAsync(uint64_t at, size_t bytes, int device, void *s)
{
    bool fine = s == &stream && !capture_forbids() && is_inside(at, bytes) && bytes > 0;
    note(!fine || device < -1 || device > 0 ? "move refused\n"
         : device ? "move of %d to the host\n" : "move of %d to the device\n", (int)bytes);
    return fine ? 0 : INVALID;
}

static int take_down(graph *g, const launched *l)
{
    g->kernels = realloc(g->kernels, (size_t)(g->n + 1) * sizeof *l);
    g->kernels[g->n++] = *l;
    return 0;
}

int cuLaunchKernel(void *handle, unsigned x, unsigned y, unsigned z, unsigned threads,
                   unsigned threads_y, unsigned threads_z, unsigned shared, void *s,
                   void **arguments, void **extra)
{
    launched l = { .f = handle, .grid = { x, y, z }, .threads = threads };
    if (x == 0 || y == 0 || z == 0 || threads_y != 1 || threads_z != 1 || shared || extra)
        return INVALID;
    if (s != &stream)
        return capture_forbids() ? CAPTURE_UNSUPPORTED : INVALID_HANDLE;
    memcpy(&l.frame, arguments[0], sizeof l.frame);
    return stream.capturing ? take_down(stream.capturing, &l) : run_kernel(&l);
}
