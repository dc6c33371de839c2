/* misuse.c: what fake_driver.c must refuse: a program does each wrong thing once and says what it
 * was told.  Prints a line for each, "ok" or "FAILED". */
#include <stdint.h>
#include <stdio.h>

#include "tlk_cuda_frame.h"

int cuMemAlloc_v2(uint64_t *at, size_t bytes);
int cuMemAllocManaged(uint64_t *at, size_t bytes, unsigned flags);
int cuMemFree_v2(uint64_t at);
int cuMemcpyHtoDAsync_v2(uint64_t at, const void *from, size_t bytes, void *stream);
int cuModuleLoadData(void **module, const void *image);
int cuModuleGetFunction(void **out, void *module, const char *name);
int cuStreamCreate(void **out, unsigned flags);
int cuStreamSynchronize(void *stream);
int cuStreamBeginCapture_v2(void *stream, int mode);
int cuStreamEndCapture(void *stream, void **graph);
int cuGraphInstantiateWithFlags(void **exec, void *graph, unsigned long long flags);
int cuGraphDestroy(void *graph);
int cuGraphExecDestroy(void *exec);
int cuGraphLaunch(void *exec, void *stream);
int cuLaunchKernel(void *function, unsigned x, unsigned y, unsigned z, unsigned threads,
                   unsigned threads_y, unsigned threads_z, unsigned shared, void *stream,
                   void **arguments, void **extra);

/* Read by cuModuleLoadData of a fatbin: no entries. */
static const unsigned char fatbin[16] = { 0x50, 0xed, 0x55, 0xba, 1, 0, 16 };

static void *stream, *kernel;
static tlk_cuda_frame frame = { .n = 1 };
static uint64_t block;
static const float values[32];

static void check(int fine, const char *what)
{
    printf("%s %s\n", fine ? "ok    " : "FAILED", what);
}

static int launch(void *on)
{
    void *arguments[] = { &frame };
    return cuLaunchKernel(kernel, 1, 1, 1, 32, 1, 1, 0, on, arguments, NULL);
}

static void *capture(void)
{
    void *graph = NULL, *exec = NULL;
    if (cuStreamBeginCapture_v2(stream, 1) != 0 || launch(stream) != 0 ||
        cuStreamEndCapture(stream, &graph) != 0 ||
        cuGraphInstantiateWithFlags(&exec, graph, 0) != 0)
        return NULL;
    return cuGraphDestroy(graph) == 0 ? exec : NULL;
}

static int allocate(void) { uint64_t at; return cuMemAllocManaged(&at, 64, 1); }
static int release(void) { return cuMemFree_v2(block); }
static int wait(void) { return cuStreamSynchronize(stream); }
static int copy(void) { return cuMemcpyHtoDAsync_v2(block, values, 8, stream); }
static int default_stream(void) { return launch(NULL); }

static void in_capture(void)
{
    static const struct { int (*call)(void); const char *what; } rows[] = {
        { allocate, "memory asked for" }, { release, "memory given back" }, { wait, "a wait" },
        { copy, "a copy from memory that may change" }, { default_stream, "another stream" },
    };
    char text[80];
    void *graph;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; ++i) {
        int began = cuStreamBeginCapture_v2(stream, 1), refused = rows[i].call();
        snprintf(text, sizeof text, "in a capture: %s", rows[i].what);
        check(began == 0 && refused && cuStreamEndCapture(stream, &graph) && !graph, text);
    }
}

int main(void)
{
    void *module, *exec;
    if (cuModuleLoadData(&module, fatbin) || cuModuleGetFunction(&kernel, module, "copies") ||
        cuStreamCreate(&stream, 1) || cuMemAlloc_v2(&block, 2 * sizeof values))
        return 1;
    frame.vars = (char *)(uintptr_t)block;
    frame.fix = frame.vars + sizeof values;
    check(launch(stream) != 0, "a kernel that reads what nobody wrote");
    check(cuMemcpyHtoDAsync_v2(block, values, sizeof values, stream) == 0, "a copy to the device");
    check(launch(stream) == 0 && wait() == 0, "a kernel in the stream");
    exec = capture();
    check(exec && cuGraphLaunch(exec, stream) == 0 && wait() == 0, "a graph");
    check(launch(NULL) != 0, "no kernel in the default stream");
    check(cuMemcpyHtoDAsync_v2(block + 4, values, 2 * sizeof values, stream) != 0,
          "a copy over the end");
    in_capture();
    check(exec && cuGraphLaunch(exec, stream) == 0 && wait() == 0, "the graph is as it was");
    check(release() == 0 && cuGraphLaunch(exec, stream) == 0 && wait() != 0,
          "a graph on memory given back");
    check(wait() == 0, "an error is said once");
    check(cuGraphExecDestroy(exec) == 0 && cuGraphLaunch(exec, stream) != 0, "a graph destroyed");
    check(cuGraphExecDestroy(exec) != 0, "destroyed twice");
    return 0;
}
