/* replay.c: main() of a fuzz harness without libFuzzer: each file below the folders named is run
 * once, in byte order, and held to the bound of time and memory.
 *
 *     replay_onnx [--at-least N] FOLDER...
 *
 * Ends with 1 if a file costs over 2 s of CPU, if all of them together reach over 256 MiB, or if
 * there are fewer than N.  The harness aborts where its promise is broken.
 */
#include "plain_build.h"

#include <dirent.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

enum { MOST_BYTES = 32 << 20, MOST_RESIDENT_KIB = 256 << 10 };
static const double most_seconds = 2;

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static int n_files, n_slow;
static double slowest;
static const char *current; /* path of the file being run */

static uint8_t *read_all(const char *path, size_t size)
{
    FILE *f = fopen(path, "rb");
    uint8_t *bytes = malloc(size ? size : 1);
    if (!f || !bytes || size > MOST_BYTES || fread(bytes, 1, size, f) != size) {
        fprintf(stderr, "cannot read %s\n", path);
        exit(1);
    }
    fclose(f);
    return bytes;
}

static void run_file(const char *path, size_t size)
{
    uint8_t *bytes = read_all(path, size);
    current = path;
    clock_t start = clock();
    LLVMFuzzerTestOneInput(bytes, size);
    double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
    free(bytes);
    ++n_files;
    slowest = seconds > slowest ? seconds : slowest;
    if (IS_PLAIN_BUILD && seconds > most_seconds) {
        printf("%s: %.2f s of CPU, at most %.0f\n", path, seconds, most_seconds);
        ++n_slow;
    }
}

static int is_shown(const struct dirent *e)
{
    return e->d_name[0] != '.';
}

static void run_path(const char *path)
{
    struct stat st;
    struct dirent **entries;
    if (stat(path, &st) != 0)
        return; /* a harness without findings has no folder of them */
    if (!S_ISDIR(st.st_mode)) {
        run_file(path, (size_t)st.st_size);
        return;
    }
    int n = scandir(path, &entries, is_shown, alphasort);
    for (int i = 0; i < n; ++i) {
        char below[4096];
        snprintf(below, sizeof below, "%s/%s", path, entries[i]->d_name);
        run_path(below);
        free(entries[i]);
    }
    if (n >= 0)
        free(entries);
}

/* The program is ending anyway: that stdio is not safe here costs nothing. */
static void on_abort(int signal_number)
{
    (void)signal_number;
    fprintf(stderr, "while running %s\n", current ? current : "nothing");
}

int main(int argc, char **argv)
{
    struct rusage u;
    int first = 1, at_least = 0;
    signal(SIGABRT, on_abort);
    if (argc > 2 && strcmp(argv[1], "--at-least") == 0) {
        at_least = atoi(argv[2]);
        first = 3;
    }
    for (int i = first; i < argc; ++i)
        run_path(argv[i]);
    getrusage(RUSAGE_SELF, &u);
    printf("%d inputs, slowest %.3f s, %ld MiB resident\n", n_files, slowest, u.ru_maxrss >> 10);
    if (IS_PLAIN_BUILD && u.ru_maxrss > MOST_RESIDENT_KIB)
        printf("resident over %d MiB\n", MOST_RESIDENT_KIB >> 10);
    if (n_files < at_least)
        printf("fewer than %d inputs\n", at_least);
    return n_slow || n_files < at_least || (IS_PLAIN_BUILD && u.ru_maxrss > MOST_RESIDENT_KIB);
}
