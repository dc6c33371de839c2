/* hostile_table.h: what hostile inputs say, row by row, held against tests/hostile/NAME.txt: the exit
 * code, the row and the exact line that the user reads.  A row that is gone is a difference.
 * TLC_UPDATE_GOLDEN=1 writes the file, for review. */
#ifndef HOSTILE_TABLE_H
#define HOSTILE_TABLE_H

#include "tlb_diag.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *table_text;
static size_t table_bytes;
static FILE *table_file;
static int table_rows;

/* Where `cut` is not NULL, it is left out of the line: the name of a temporary folder. */
static inline void table_row(int code, const char *name, const tlb_diag *diags, size_t n,
                             const char *cut)
{
    char *line = NULL;
    size_t bytes;
    if (!table_file)
        table_file = open_memstream(&table_text, &table_bytes);
    fprintf(table_file, "%d  %s\n", code, name);
    FILE *f = open_memstream(&line, &bytes);
    for (size_t i = 0; i < n; ++i) {
        fputs("       ", f);
        tlb_diag_print(f, "tlc", &diags[i], false, false);
    }
    fclose(f);
    for (char *at; cut && (at = strstr(line, cut)) != NULL;)
        memmove(at, at + strlen(cut), strlen(at + strlen(cut)) + 1);
    fputs(line, table_file);
    free(line);
    ++table_rows;
}

static inline char *table_golden(const char *path)
{
    FILE *f = fopen(path, "rb");
    char *text = calloc(1, 1 << 18);
    if (f && fread(text, 1, (1 << 18) - 1, f) == 0)
        text[0] = '\0';
    if (f)
        fclose(f);
    return text;
}

/* The first line that differs is printed. */
static inline void table_end(const char *name)
{
    char path[256];
    snprintf(path, sizeof path, "%s/tests/hostile/%s.txt",
             getenv("TLC_SOURCE") ? getenv("TLC_SOURCE") : "..", name);
    fclose(table_file);
    table_file = NULL;
    printf("%s: %d rows\n", name, table_rows);
    if (getenv("TLC_UPDATE_GOLDEN")) {
        FILE *f = fopen(path, "wb");
        assert_non_null(f);
        assert_int_equal(fwrite(table_text, 1, table_bytes, f), table_bytes);
        fclose(f);
    }
    char *golden = table_golden(path);
    size_t at = 0, line = 0;
    for (; golden[at] && golden[at] == table_text[at]; ++at)
        line = table_text[at] == '\n' ? at + 1 : line;
    if (golden[at] != table_text[at])
        fail_msg("%s, from line\n%.*s\nnow\n%.*s", path, (int)strcspn(golden + line, "\n"),
                 golden + line, (int)strcspn(table_text + line, "\n"), table_text + line);
    free(golden);
    free(table_text);
}

#endif
