/* embed_tool.c: files into a C file, so that the compiler carries what it copies into its output.
 *
 *     embed_tool OUT.c NAME ROOT PATH...    PATH below ROOT; stored under PATH, sorted, in the
 *                                           table tlc_NAME_files of tlc_n_NAME_files
 *
 * Runs while tlc is built.  The output depends on paths and bytes alone.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Bytes of ROOT/path as the elements of an array; false: unreadable. */
static int write_bytes(FILE *out, const char *root, const char *path)
{
    char full[4096];
    snprintf(full, sizeof full, "%s/%s", root, path);
    FILE *in = fopen(full, "rb");
    if (!in)
        return 0;
    size_t column = 0;
    for (int c; (c = getc(in)) != EOF; column = (column + 1) % 24)
        fprintf(out, column == 23 ? "%d,\n" : "%d,", c);
    int fine = !ferror(in);
    fclose(in);
    fprintf(out, "0 };\n"); /* a last zero, not counted, so that an empty file has an array too */
    return fine;
}

static int write_all(FILE *out, const char *name, const char *root, char **paths, int n)
{
    fprintf(out, "/* Written by embed_tool. */\n#include \"embedded.h\"\n\n");
    for (int i = 0; i < n; ++i) {
        fprintf(out, "static const unsigned char f%d[] = {\n", i);
        if (!write_bytes(out, root, paths[i])) {
            fprintf(stderr, "embed_tool: cannot read %s/%s\n", root, paths[i]);
            return 0;
        }
    }
    fprintf(out, "\nextern const tlc_embedded tlc_%s_files[];\nextern const size_t tlc_n_%s_files;\n"
                 "const tlc_embedded tlc_%s_files[] = {\n", name, name, name);
    for (int i = 0; i < n; ++i)
        fprintf(out, "    { \"%s\", f%d, sizeof f%d - 1 },\n", paths[i], i, i);
    fprintf(out, "};\nconst size_t tlc_n_%s_files = %d;\n", name, n);
    return 1;
}

int main(int argc, char **argv)
{
    if (argc < 5) {
        fprintf(stderr, "usage: embed_tool OUT.c NAME ROOT PATH...\n");
        return 2;
    }
    qsort(argv + 4, (size_t)(argc - 4), sizeof *argv, by_text);
    FILE *out = fopen(argv[1], "w");
    int fine = out && write_all(out, argv[2], argv[3], argv + 4, argc - 4);
    if (out && (ferror(out) || fclose(out) != 0))
        fine = 0;
    if (!fine)
        remove(argv[1]);
    return fine ? 0 : 1;
}
