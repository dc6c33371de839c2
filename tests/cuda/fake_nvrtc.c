/* fake_nvrtc.c: libnvrtc.so.13 for tests: the same calls, but the result is a shared library that
 * g++ makes of the source under tlk_cuda_emu.h, whose folder TLC_CUDA_EMU names.  Each compilation
 * adds a line to $FAKE_NVRTC_LOG. */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct program {
    char folder[64];
    char *image;
    size_t bytes;
    char log[4096];
} program;

int nvrtcVersion(int *major, int *minor) { *major = 13, *minor = 99; return 0; }
int nvrtcGetNumSupportedArchs(int *n) { *n = 2; return 0; }
int nvrtcGetSupportedArchs(int *list) { list[0] = 75, list[1] = 86; return 0; }

static void put_file(const program *p, const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", p->folder, name);
    FILE *f = fopen(path, "w");
    if (f) {
        fputs(text, f);
        fclose(f);
    }
}

int nvrtcCreateProgram(void **out, const char *source, const char *name, int n,
                       const char *const *headers, const char *const *names)
{
    program *p = calloc(1, sizeof *p);
    strcpy(p->folder, "/tmp/fake-nvrtc-XXXXXX");
    if (!mkdtemp(p->folder))
        return 1;
    put_file(p, name, source);
    for (int i = 0; i < n; ++i)
        put_file(p, names[i], headers[i]);
    *out = p;
    return 0;
}

static void read_file(const program *p, const char *name, char **out, size_t *n)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", p->folder, name);
    FILE *f = fopen(path, "rb");
    if (!f)
        return;
    fseek(f, 0, SEEK_END);
    uint64_t bytes = (uint64_t)ftell(f);
    rewind(f);
    *out = malloc(bytes + 9);
    memcpy(*out, &bytes, 8);
    *n = fread(*out + 8, 1, bytes, f) + 8;
    (*out)[*n] = 0;
    fclose(f);
}

int nvrtcCompileProgram(void *handle, int n, const char *const *options)
{
    program *p = handle;
    char command[1024], *log = NULL;
    size_t log_bytes = 0;
    const char *note = getenv("FAKE_NVRTC_LOG"), *emu = getenv("TLC_CUDA_EMU");
    FILE *f = note ? fopen(note, "a") : NULL;
    if (f) {
        fprintf(f, "%s\n", n > 0 ? options[0] : "");
        fclose(f);
    }
    snprintf(command, sizeof command,
             "cd %s && g++ -std=c++20 -O3 -U_FORTIFY_SOURCE -ffp-contract=off -Wall -Werror "
             "-march=native -shared -fPIC -x c++ model.cu -I. -I'%s' -o image >log 2>&1",
             p->folder, emu ? emu : ".");
    int failed = system(command);
    read_file(p, "image", &p->image, &p->bytes);
    read_file(p, "log", &log, &log_bytes);
    if (log)
        snprintf(p->log, sizeof p->log, "%s", log + 8);
    free(log);
    return failed != 0 || !p->image;
}

int nvrtcGetProgramLogSize(void *handle, size_t *n)
{
    *n = strlen(((program *)handle)->log) + 1;
    return 0;
}

int nvrtcGetProgramLog(void *handle, char *text)
{
    strcpy(text, ((program *)handle)->log);
    return 0;
}

int nvrtcGetCUBINSize(void *handle, size_t *n)
{
    *n = ((program *)handle)->bytes;
    return 0;
}

int nvrtcGetCUBIN(void *handle, char *image)
{
    const program *p = handle;
    memcpy(image, p->image, p->bytes);
    return 0;
}

int nvrtcGetPTXSize(void *handle, size_t *n) { return nvrtcGetCUBINSize(handle, n); }
int nvrtcGetPTX(void *handle, char *image) { return nvrtcGetCUBIN(handle, image); }

int nvrtcDestroyProgram(void **handle)
{
    program *p = *handle;
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", p->folder);
    int failed = system(command);
    free(p->image);
    free(p);
    return failed != 0;
}
