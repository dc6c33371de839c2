/* tlr_cuda.c: opening a program's module, memory of the device, and launches. */
#include "tlr_cuda_parts.h"

#include "tlk_cuda_frame.h"

#include <math.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OK = 0, UNSUPPORTED = 5, THREADS = 256, ATTACH_GLOBAL = 1 };

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
    d->context_set(d->context);
    return load_module(p, d) && find_kernels(p, d);
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
    (void)program;
    if (d && block && d->context_set(d->context) == 0)
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

/* --- running -------------------------------------------------------------------------- */

/* The numbers that optimizers derive from a step's, as ref/tlk_ref_update.h derives them. */
static tlk_cuda_step step_numbers(const tlk_step *s)
{
    double t = (double)s->t;
    return (tlk_cuda_step){
        .seed = s->seed, .epoch = s->epoch, .position = s->position, .t = s->t,
        .batch = s->batch, .divisor = (float)s->divisor,
        .lr = (float)s->lr, .weight_decay = (float)s->weight_decay,
        .momentum = (float)s->momentum, .share = (float)(1.0 - s->dampening),
        .shrink = (float)(1.0 - s->lr * s->weight_decay),
        .share1 = (float)(1.0 - s->beta1), .beta2 = (float)s->beta2,
        .share2 = (float)(1.0 - s->beta2),
        .correction2 = (float)sqrt(1.0 - pow(s->beta2, t)), .epsilon = (float)s->epsilon,
        .rate = (float)(-s->lr / (1.0 - pow(s->beta1, t))),
    };
}

/* Numbers of each group; false: the step wants what kernels here do not do. */
static int take_step(tlr_cuda_program *p, const tlk_step *step, tlk_cuda_frame *frame)
{
    for (int g = 0; step && g < TLK_CUDA_GROUPS; ++g)
        frame->step[g] = step_numbers(&step[g]);
    if (step && step->class_weights)
        tlr_cuda_trouble(p, "target cuda serves no class weights");
    return !p->trouble[0];
}

static int launch(const tlr_cuda_driver *d, const tlr_cuda_launch *l, tlk_cuda_frame *frame)
{
    void *arguments[] = { frame };
    int64_t blocks = (l->a_picture * frame->n + l->fixed + l->per_block - 1) / l->per_block;
    return d->launch(l->function, (unsigned)blocks, l->y, l->z, THREADS, 1, 1, 0, NULL, arguments,
                     NULL);
}

void tlr_cuda_run(tlr_cuda_program *p, const tlr_frame *f, const tlr_cuda_table *table)
{
    const char *why;
    const tlr_cuda_driver *d = tlr_cuda_driver_open(&why);
    tlk_cuda_frame frame = { .n = f->n, .consts = f->consts, .vars = f->vars, .act = f->act,
                             .fix = f->fix };
    if (!d || !p->opened || p->trouble[0])
        return;
    if (!take_step(p, f->step, &frame))
        return;
    int error = d->context_set(d->context), i = 0;
    for (; !error && i < table->n; ++i)
        if (!table->launches[i].backbone || (f->step && f->step[TLK_GROUP_BACKBONE].t > 0))
            error = launch(d, &table->launches[i], &frame);
    if (error)
        tlr_cuda_trouble(p, "kernel %s: %s", table->launches[i ? i - 1 : 0].kernel,
                         tlr_cuda_error_text(d, error));
    else if ((error = d->context_wait()) != 0)
        tlr_cuda_trouble(p, "a kernel failed: %s", tlr_cuda_error_text(d, error));
}
