/* tlr_cuda_parts.h: what the files of runtime/cuda share: the two libraries opened by name. */
#ifndef TLR_CUDA_PARTS_H
#define TLR_CUDA_PARTS_H

#include "tlr_cuda.h"

#include <stddef.h>

/* The driver's functions that are called, with the types of cuda.h spelled out: a device and a
 * result are int, every handle is a pointer, an address of the device is 64 bits. */
typedef struct tlr_cuda_driver {
    int (*init)(unsigned flags);
    int (*device_count)(int *count);
    int (*device_get)(int *device, int ordinal);
    int (*device_name)(char *name, int size, int device);
    int (*device_attribute)(int *value, int attribute, int device);
    int (*context_retain)(void **context, int device);
    int (*context_set)(void *context);
    int (*module_load)(void **module, const void *image);
    int (*module_function)(void **function, void *module, const char *name);
    int (*allocate)(uint64_t *at, size_t bytes, unsigned flags);
    int (*release)(uint64_t at);
    int (*allocate_device)(uint64_t *at, size_t bytes);
    int (*copy_to_device)(uint64_t at, const void *from, size_t bytes, void *stream);
    int (*stream_create)(void **stream, unsigned flags);
    int (*stream_wait)(void *stream);
    int (*capture_begin)(void *stream, int mode);
    int (*capture_end)(void *stream, void **graph);
    int (*graph_instantiate)(void **exec, void *graph, unsigned long long flags);
    int (*graph_destroy)(void *graph);
    int (*graph_launch)(void *exec, void *stream);
    int (*exec_destroy)(void *exec);
    int (*prefetch)(uint64_t at, size_t bytes, int device, void *stream);
    int (*launch)(void *function, unsigned x, unsigned y, unsigned z, unsigned threads_x,
                  unsigned threads_y, unsigned threads_z, unsigned shared_bytes, void *stream,
                  void **arguments, void **extra);
    int (*error_text)(int error, const char **text);
    void *context;
    int device;
    int capability; /* 86: compute capability 8.6 */
    int moves;      /* pages of managed memory can be asked for ahead */
    char name[96];
} tlr_cuda_driver;

/* The driver, opened once; NULL: *why is one clause that says what is missing. */
const tlr_cuda_driver *tlr_cuda_driver_open(const char **why);
const char *tlr_cuda_error_text(const tlr_cuda_driver *d, int error);

/* Kernels compiled for `capability`, from the cache or by NVRTC; free().  NULL: p->trouble says
 * why. */
void *tlr_cuda_compile(tlr_cuda_program *p, int capability);

/* Memory of the device goes away: the graphs that hold addresses go first. */
void tlr_cuda_forget_graphs(tlr_cuda_program *p);

/* Bytes of the cache under `key`; free().  NULL: not there, or not whole. */
void *tlr_cuda_cache_read(const char *key);
/* Keep them; what cannot be written is as if not asked for. */
void tlr_cuda_cache_write(const char *key, const void *bytes, size_t n);

/* p->trouble is this text, cut where it is too long. */
void tlr_cuda_trouble(tlr_cuda_program *p, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

#endif
