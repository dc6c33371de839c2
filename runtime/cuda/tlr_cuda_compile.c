/* tlr_cuda_compile.c: kernels from their source, by NVRTC, once for each source and device. */
#include "tlr_cuda_parts.h"

#define XXH_INLINE_ALL
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum { MAX_ARCHITECTURES = 64, MAX_FILES = 32, MAX_KEY = 64 };

typedef struct nvrtc {
    int (*version)(int *major, int *minor);
    int (*count)(int *n);
    int (*architectures)(int *list);
    int (*create)(void **program, const char *source, const char *name, int n,
                  const char *const *headers, const char *const *names);
    int (*compile)(void *program, int n, const char *const *options);
    int (*log_size)(void *program, size_t *bytes);
    int (*log)(void *program, char *text);
    int (*cubin_size)(void *program, size_t *bytes);
    int (*cubin)(void *program, char *image);
    int (*ptx_size)(void *program, size_t *bytes);
    int (*ptx)(void *program, char *image);
    int (*destroy)(void **program);
} nvrtc;

static const struct symbol {
    const char *name;
    size_t at;
} symbols[] = {
    { "nvrtcVersion", offsetof(nvrtc, version) },
    { "nvrtcGetNumSupportedArchs", offsetof(nvrtc, count) },
    { "nvrtcGetSupportedArchs", offsetof(nvrtc, architectures) },
    { "nvrtcCreateProgram", offsetof(nvrtc, create) },
    { "nvrtcCompileProgram", offsetof(nvrtc, compile) },
    { "nvrtcGetProgramLogSize", offsetof(nvrtc, log_size) },
    { "nvrtcGetProgramLog", offsetof(nvrtc, log) },
    { "nvrtcGetCUBINSize", offsetof(nvrtc, cubin_size) },
    { "nvrtcGetCUBIN", offsetof(nvrtc, cubin) },
    { "nvrtcGetPTXSize", offsetof(nvrtc, ptx_size) },
    { "nvrtcGetPTX", offsetof(nvrtc, ptx) },
    { "nvrtcDestroyProgram", offsetof(nvrtc, destroy) },
};

static int open_nvrtc(tlr_cuda_program *p, nvrtc *n)
{
    static const char *const names[] = { "libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so",
                                         "/usr/local/cuda/lib64/libnvrtc.so" };
    void *library = NULL;
    for (size_t i = 0; i < sizeof names / sizeof *names && !library; ++i)
        library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        tlr_cuda_trouble(p, "no NVRTC (libnvrtc.so of CUDA 12 or 13) on this machine");
        return 0;
    }
    for (size_t i = 0; i < sizeof symbols / sizeof *symbols; ++i) {
        void *symbol = dlsym(library, symbols[i].name);
        if (!symbol) {
            tlr_cuda_trouble(p, "NVRTC has no %s: it is too old", symbols[i].name);
            return 0;
        }
        memcpy((char *)n + symbols[i].at, &symbol, sizeof symbol);
    }
    return 1;
}

/* The architecture to compile for: the device's own, or the newest before it as PTX, which the
 * driver translates. */
static int choose_architecture(const nvrtc *n, int capability, int *own)
{
    int list[MAX_ARCHITECTURES], count = 0, best = 0;
    if (n->count(&count) != 0 || count > MAX_ARCHITECTURES || n->architectures(list) != 0)
        count = 0;
    for (int i = 0; i < count; ++i)
        if (list[i] <= capability && list[i] > best)
            best = list[i];
    *own = best == capability;
    return best;
}

/* --- the cache's key --------------------------------------------------------------- */

static void hash_text(XXH64_state_t state[2], const char *text)
{
    for (int i = 0; i < 2; ++i)
        XXH64_update(&state[i], text, strlen(text) + 1);
}

/* 128 bits over everything that the result is a function of. */
static void make_key(const tlr_cuda_program *p, const char *const *options, int n_options,
                     const char *compiler, char key[MAX_KEY])
{
    XXH64_state_t state[2];
    XXH64_reset(&state[0], 1);
    XXH64_reset(&state[1], 2);
    hash_text(state, compiler);
    for (int i = 0; i < n_options; ++i)
        hash_text(state, options[i]);
    for (int i = 0; i < p->n_files; ++i) {
        hash_text(state, p->files[i].name);
        hash_text(state, p->files[i].text);
    }
    snprintf(key, MAX_KEY, "%016llx%016llx", (unsigned long long)XXH64_digest(&state[0]),
             (unsigned long long)XXH64_digest(&state[1]));
}

/* --- compiling ----------------------------------------------------------------------- */

/* The first line of the compiler's log that says "error". */
static void log_trouble(tlr_cuda_program *p, const nvrtc *n, void *program)
{
    size_t bytes = 0;
    char *log = n->log_size(program, &bytes) == 0 && bytes > 0 ? calloc(1, bytes + 1) : NULL;
    if (log)
        n->log(program, log);
    char *line = log ? strstr(log, "error") : NULL;
    while (line && line > log && line[-1] != '\n')
        --line;
    tlr_cuda_trouble(p, "the kernels do not compile: %.*s", line ? (int)strcspn(line, "\n") : 18,
                     line ? line : "NVRTC gives no log");
    free(log);
}

/* The result; its bytes go into *out_bytes. */
static void *take_image(const nvrtc *n, void *program, int own, size_t *out_bytes)
{
    int failed = own ? n->cubin_size(program, out_bytes) : n->ptx_size(program, out_bytes);
    char *image = failed ? NULL : malloc(*out_bytes + 1);
    if (image && (own ? n->cubin(program, image) : n->ptx(program, image)) != 0) {
        free(image);
        image = NULL;
    }
    return image;
}

static void *compile(tlr_cuda_program *p, const nvrtc *n, const char *const *options,
                     int n_options, int own, size_t *out_bytes)
{
    const char *texts[MAX_FILES], *names[MAX_FILES];
    void *program = NULL, *image = NULL;
    for (int i = 1; i < p->n_files; ++i) {
        texts[i - 1] = p->files[i].text;
        names[i - 1] = p->files[i].name;
    }
    if (n->create(&program, p->files[0].text, p->files[0].name, p->n_files - 1, texts, names)) {
        tlr_cuda_trouble(p, "NVRTC takes no program");
        return NULL;
    }
    if (n->compile(program, n_options, options) != 0)
        log_trouble(p, n, program);
    else if (!(image = take_image(n, program, own, out_bytes)))
        tlr_cuda_trouble(p, "NVRTC gives no result");
    n->destroy(&program);
    return image;
}

void *tlr_cuda_compile(tlr_cuda_program *p, int capability)
{
    nvrtc n;
    int own = 0, major = 0, minor = 0;
    char architecture[64], compiler[64], key[MAX_KEY];
    size_t bytes = 0;
    if (!open_nvrtc(p, &n))
        return NULL;
    int best = choose_architecture(&n, capability, &own);
    n.version(&major, &minor);
    if (best == 0 || p->n_files > MAX_FILES) {
        tlr_cuda_trouble(p, "NVRTC %d.%d compiles for no device as old as %d.%d", major, minor,
                         capability / 10, capability % 10);
        return NULL;
    }
    snprintf(architecture, sizeof architecture, "--gpu-architecture=%s_%d", own ? "sm" : "compute",
             best);
    snprintf(compiler, sizeof compiler, "nvrtc %d.%d, device %d", major, minor, capability);
    /* No multiply-add is fused unless a kernel says so: the host's rule too. */
    const char *const options[] = { architecture, "--std=c++20", "--fmad=false" };
    enum { N_OPTIONS = sizeof options / sizeof *options };
    make_key(p, options, N_OPTIONS, compiler, key);
    void *image = tlr_cuda_cache_read(key);
    p->from_cache = image != NULL;
    if (!image) {
        image = compile(p, &n, options, N_OPTIONS, own, &bytes);
        if (image)
            tlr_cuda_cache_write(key, image, bytes);
    }
    return image;
}
