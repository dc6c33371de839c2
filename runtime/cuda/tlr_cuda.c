/* tlr_cuda.c: opening a program's module, and memory of the device. */
#include "tlr_cuda_parts.h"

#include "tlk_cuda_frame.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OK = 0, UNSUPPORTED = 5, ATTACH_GLOBAL = 1, NON_BLOCKING = 1 };

static pthread_mutex_t opening = PTHREAD_MUTEX_INITIALIZER;

void tlr_cuda_trouble(tlr_cuda_program *p, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(p->trouble, sizeof p->trouble, fmt, args);
    va_end(args);
}

/* --- opening ------------------------------------------------------------------------ */

/* Every kernel is looked up before the first one runs. */
static int find_kernels(tlr_cuda_program *p, const tlr_cuda_driver *d)
{
    for (int t = 0; t < p->n_tables; ++t)
        for (int i = 0; i < p->tables[t].n; ++i) {
            tlr_cuda_launch *l = &p->tables[t].launches[i];
            if (d->module_function(&l->function, p->module, l->kernel) != 0) {
                tlr_cuda_trouble(p, "the compiled kernels lack %s", l->kernel);
                return 0;
            }
        }
    return 1;
}

/* What nvcc made beforehand where the driver takes it (one older than nvcc may not), else what
 * NVRTC makes now. */
static int load_module(tlr_cuda_program *p, const tlr_cuda_driver *d)
{
    if (p->fatbin && d->module_load(&p->module, p->fatbin) == 0)
        return 1;
    void *image = tlr_cuda_compile(p, d->capability);
    if (!image)
        return 0;
    int error = d->module_load(&p->module, image);
    free(image);
    if (error)
        tlr_cuda_trouble(p, "the compiled kernels do not load: %s", tlr_cuda_error_text(d, error));
    return !error;
}

/* Where runs are queued, and where they find the numbers of a step. */
static int open_stream(tlr_cuda_program *p, const tlr_cuda_driver *d)
{
    int error = d->stream_create(&p->stream, NON_BLOCKING);
    if (!error)
        error = d->allocate_device(&p->numbers, TLK_CUDA_GROUPS * sizeof(tlk_cuda_step));
    if (error)
        tlr_cuda_trouble(p, "the device gives no stream: %s", tlr_cuda_error_text(d, error));
    return !error;
}

static int open_program(tlr_cuda_program *p)
{
    const char *why;
    const tlr_cuda_driver *d = tlr_cuda_driver_open(&why);
    if (!d) {
        tlr_cuda_trouble(p, "%s", why);
        return 0;
    }
    snprintf(p->device, sizeof p->device, "%.95s, compute capability %d.%d", d->name,
             d->capability / 10, d->capability % 10);
    if (d->capability < p->needs) {
        tlr_cuda_trouble(p, "%s: %s needs %d.%d", p->device, p->because, p->needs / 10,
                         p->needs % 10);
        return 0;
    }
    d->context_set(d->context);
    return load_module(p, d) && find_kernels(p, d) && open_stream(p, d);
}

static int device_open(void *program)
{
    tlr_cuda_program *p = program;
    pthread_mutex_lock(&opening);
    if (!p->opened && p->trouble[0] == 0)
        p->opened = open_program(p);
    pthread_mutex_unlock(&opening);
    return p->opened ? OK : UNSUPPORTED;
}

/* --- memory -------------------------------------------------------------------------- */

static void *device_alloc(void *program, size_t bytes)
{
    tlr_cuda_program *p = program;
    const char *why;
    const tlr_cuda_driver *d = tlr_cuda_driver_open(&why);
    uint64_t at = 0;
    if (!d || d->context_set(d->context) != 0)
        return NULL;
    int error = d->allocate(&at, bytes, ATTACH_GLOBAL);
    if (error)
        tlr_cuda_trouble(p, "%zu bytes of the device: %s", bytes, tlr_cuda_error_text(d, error));
    return error ? NULL : (void *)(uintptr_t)at;
}

static void device_release(void *program, void *block)
{
    const char *why;
    const tlr_cuda_driver *d = tlr_cuda_driver_open(&why);
    if (!d || !block || d->context_set(d->context) != 0)
        return;
    tlr_cuda_forget_graphs(program);
    d->release((uint64_t)(uintptr_t)block);
}

static const char *device_trouble(void *program)
{
    const tlr_cuda_program *p = program;
    return p->trouble[0] ? p->trouble : NULL;
}

static const char *device_about(void *program)
{
    const tlr_cuda_program *p = program;
    return p->device;
}

const tlr_device tlr_cuda_device = { .open = device_open, .alloc = device_alloc,
                                     .release = device_release, .trouble = device_trouble,
                                     .about = device_about };
