/* tlr_cuda_cache.c: compiled kernels on disk, a file for each key.
 *
 * A file is a magic word, the length and a checksum, then the bytes.  It is written under a
 * temporary name and renamed when whole; one that is cut or damaged is as if absent.
 */
#define _GNU_SOURCE
#define XXH_INLINE_ALL
#include "tlr_cuda_parts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

enum { MAX_PATH = 1024, MAX_BYTES = 256 << 20 };

typedef struct header {
    char magic[8];
    uint64_t bytes, xxh64;
} header;
static const char magic[8] = "tlcubin1";

/* "DIR" of the cache; 0: nowhere to keep it. */
static int cache_folder(char *out)
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    int n = -1;
    if (cache && cache[0] == '/')
        n = snprintf(out, MAX_PATH, "%s", cache);
    else if (home && home[0] == '/')
        n = snprintf(out, MAX_PATH, "%s/.cache", home);
    if (n < 0 || n > MAX_PATH - 128)
        return 0;
    if (mkdir(out, 0700) != 0 && errno != EEXIST)
        return 0;
    strcat(out, "/tlc");
    return mkdir(out, 0700) == 0 || errno == EEXIST;
}

void *tlr_cuda_cache_read(const char *key)
{
    char path[MAX_PATH];
    header h;
    if (!cache_folder(path))
        return NULL;
    snprintf(path + strlen(path), 128, "/%s.cubin", key);
    FILE *file = fopen(path, "rb");
    if (!file)
        return NULL;
    char *bytes = NULL;
    if (fread(&h, sizeof h, 1, file) == 1 && memcmp(h.magic, magic, sizeof magic) == 0 &&
        h.bytes > 0 && h.bytes <= MAX_BYTES)
        bytes = malloc(h.bytes + 1);
    if (bytes && (fread(bytes, 1, h.bytes, file) != h.bytes ||
                  XXH64(bytes, h.bytes, 0) != h.xxh64)) {
        free(bytes);
        bytes = NULL;
    }
    fclose(file);
    if (bytes)
        bytes[h.bytes] = 0; /* PTX is text */
    return bytes;
}

void tlr_cuda_cache_write(const char *key, const void *bytes, size_t n)
{
    char folder[MAX_PATH], path[MAX_PATH + 128], temporary[MAX_PATH + 128];
    header h = { .bytes = n, .xxh64 = XXH64(bytes, n, 0) };
    memcpy(h.magic, magic, sizeof magic);
    if (!cache_folder(folder))
        return;
    snprintf(path, sizeof path, "%s/%s.cubin", folder, key);
    snprintf(temporary, sizeof temporary, "%s/.%s.XXXXXX", folder, key);
    int fd = mkstemp(temporary);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "wb");
    if (fd >= 0 && !file) {
        close(fd);
        unlink(temporary);
    }
    if (!file)
        return;
    int whole = fwrite(&h, sizeof h, 1, file) == 1 && fwrite(bytes, 1, n, file) == n;
    whole = fclose(file) == 0 && whole;
    if (!whole || rename(temporary, path) != 0)
        unlink(temporary);
}
