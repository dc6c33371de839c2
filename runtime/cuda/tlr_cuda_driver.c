/* tlr_cuda_driver.c: the CUDA driver, opened by name. */
#include "tlr_cuda_parts.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

/* Attributes of a device, as cuda.h numbers them. */
enum { ATTRIBUTE_MAJOR = 75, ATTRIBUTE_MINOR = 76, ATTRIBUTE_MANAGED = 83,
       ATTRIBUTE_CONCURRENT = 89, OLDEST = 75 };

static tlr_cuda_driver driver;
static const char *missing; /* NULL: the driver is there */
static char missing_text[256];
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* Symbols have a suffix where the call changed since it was new. */
static const struct symbol {
    const char *name;
    size_t at;
} symbols[] = {
    { "cuInit", offsetof(tlr_cuda_driver, init) },
    { "cuDeviceGetCount", offsetof(tlr_cuda_driver, device_count) },
    { "cuDeviceGet", offsetof(tlr_cuda_driver, device_get) },
    { "cuDeviceGetName", offsetof(tlr_cuda_driver, device_name) },
    { "cuDeviceGetAttribute", offsetof(tlr_cuda_driver, device_attribute) },
    { "cuDevicePrimaryCtxRetain", offsetof(tlr_cuda_driver, context_retain) },
    { "cuCtxSetCurrent", offsetof(tlr_cuda_driver, context_set) },
    { "cuModuleLoadData", offsetof(tlr_cuda_driver, module_load) },
    { "cuModuleGetFunction", offsetof(tlr_cuda_driver, module_function) },
    { "cuMemAllocManaged", offsetof(tlr_cuda_driver, allocate) },
    { "cuMemFree_v2", offsetof(tlr_cuda_driver, release) },
    { "cuMemPrefetchAsync", offsetof(tlr_cuda_driver, prefetch) },
    { "cuMemAlloc_v2", offsetof(tlr_cuda_driver, allocate_device) },
    { "cuMemcpyHtoDAsync_v2", offsetof(tlr_cuda_driver, copy_to_device) },
    { "cuStreamCreate", offsetof(tlr_cuda_driver, stream_create) },
    { "cuStreamSynchronize", offsetof(tlr_cuda_driver, stream_wait) },
    { "cuStreamBeginCapture_v2", offsetof(tlr_cuda_driver, capture_begin) },
    { "cuStreamEndCapture", offsetof(tlr_cuda_driver, capture_end) },
    { "cuGraphInstantiateWithFlags", offsetof(tlr_cuda_driver, graph_instantiate) },
    { "cuGraphDestroy", offsetof(tlr_cuda_driver, graph_destroy) },
    { "cuGraphLaunch", offsetof(tlr_cuda_driver, graph_launch) },
    { "cuGraphExecDestroy", offsetof(tlr_cuda_driver, exec_destroy) },
    { "cuLaunchKernel", offsetof(tlr_cuda_driver, launch) },
    { "cuGetErrorString", offsetof(tlr_cuda_driver, error_text) },
};

const char *tlr_cuda_error_text(const tlr_cuda_driver *d, int error)
{
    const char *text = NULL;
    return d->error_text(error, &text) == 0 && text ? text : "unknown error";
}

static const char *find_symbols(void *library)
{
    for (size_t i = 0; i < sizeof symbols / sizeof *symbols; ++i) {
        void *symbol = dlsym(library, symbols[i].name);
        if (!symbol) {
            snprintf(missing_text, sizeof missing_text, "libcuda.so.1 has no %s: the driver is "
                     "too old", symbols[i].name);
            return missing_text;
        }
        memcpy((char *)&driver + symbols[i].at, &symbol, sizeof symbol);
    }
    return NULL;
}

static const char *call_failed(const char *what, int error)
{
    snprintf(missing_text, sizeof missing_text, "%s: %s", what,
             tlr_cuda_error_text(&driver, error));
    return missing_text;
}

/* What the first device is; an older one than the compiler serves is refused. */
static const char *look_at_device(int device)
{
    int major = 0, minor = 0, managed = 0;
    driver.device_name(driver.name, sizeof driver.name, device);
    driver.device_attribute(&major, ATTRIBUTE_MAJOR, device);
    driver.device_attribute(&minor, ATTRIBUTE_MINOR, device);
    driver.device_attribute(&managed, ATTRIBUTE_MANAGED, device);
    driver.device_attribute(&driver.moves, ATTRIBUTE_CONCURRENT, device);
    driver.device = device;
    driver.capability = 10 * major + minor;
    if (driver.capability >= OLDEST && managed)
        return NULL;
    snprintf(missing_text, sizeof missing_text,
             "%s has compute capability %d.%d, at least 7.5 with managed memory", driver.name,
             major, minor);
    return missing_text;
}

static const char *find_device(void)
{
    int error = driver.init(0), count = 0, device = 0;
    if (error)
        return call_failed("the CUDA driver does not start", error);
    error = driver.device_count(&count);
    if (error || count == 0)
        return error ? call_failed("no CUDA device", error) : "no CUDA device";
    error = driver.device_get(&device, 0);
    if (error)
        return call_failed("no CUDA device", error);
    const char *why = look_at_device(device);
    if (why)
        return why;
    error = driver.context_retain(&driver.context, device);
    return error ? call_failed("the CUDA device cannot be used", error) : NULL;
}

static void open_driver(void)
{
    void *library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    missing = library ? find_symbols(library) : "no CUDA driver (libcuda.so.1) on this machine";
    if (!missing)
        missing = find_device();
}

const tlr_cuda_driver *tlr_cuda_driver_open(const char **why)
{
    pthread_once(&once, open_driver);
    *why = missing;
    return missing ? NULL : &driver;
}
