/* tlb_show.c: numbers and tables as reports show them; the C locale whatever the user's. */
#include "tlb_options.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

char *tlb_show_count(char buf[32], int64_t n)
{
    char digits[24];
    unsigned long long size = n < 0 ? 0 - (unsigned long long)n : (unsigned long long)n;
    int len = snprintf(digits, sizeof digits, "%llu", size), at = 0;
    if (n < 0)
        buf[at++] = '-';
    for (int i = 0; i < len; ++i) {
        if (i && (len - i) % 3 == 0)
            buf[at++] = ',';
        buf[at++] = digits[i];
    }
    buf[at] = '\0';
    return buf;
}

char *tlb_show_time(char buf[32], double seconds)
{
    long long s = llround(seconds);
    if (seconds < 59.95)
        snprintf(buf, 32, "%.1f s", seconds);
    else if (s < 3600)
        snprintf(buf, 32, "%lld:%02lld", s / 60, s % 60);
    else
        snprintf(buf, 32, "%lld:%02lld:%02lld", s / 3600, s / 60 % 60, s % 60);
    return buf;
}

char *tlb_show_bytes(char buf[32], int64_t bytes)
{
    static const char *const units[] = { "KiB", "MiB", "GiB" };
    double x = (double)bytes / 1024;
    int u = 0;
    if (bytes < 1024) {
        snprintf(buf, 32, "%lld B", (long long)bytes);
        return buf;
    }
    for (; x >= 1024 && u < 2; ++u)
        x /= 1024;
    snprintf(buf, 32, "%.2f %s", x, units[u]);
    return buf;
}

char *tlb_show_percent(char buf[32], double share)
{
    snprintf(buf, 32, "%.1f %%", 100 * share);
    return buf;
}

struct tlb_table {
    int columns, rows, cap;
    bool *right;
    char **cells; /* the header is row 0 */
};

/* Allocation failure here ends the program's report, not its work: the table stays short. */
static void add_row(tlb_table *t, const char *const *cells)
{
    if (t->rows == t->cap) {
        int cap = t->cap ? 2 * t->cap : 16;
        char **larger = realloc(t->cells, (size_t)cap * (size_t)t->columns * sizeof *larger);
        if (!larger)
            return;
        t->cells = larger;
        t->cap = cap;
    }
    for (int i = 0; i < t->columns; ++i)
        t->cells[t->rows * t->columns + i] = strdup(cells[i] ? cells[i] : "");
    ++t->rows;
}

tlb_table *tlb_table_create(int columns, const char *const *headers, const bool *right)
{
    tlb_table *t = calloc(1, sizeof *t);
    if (!t)
        return NULL;
    t->columns = columns;
    t->right = calloc((size_t)columns, sizeof *t->right);
    if (t->right)
        memcpy(t->right, right, (size_t)columns * sizeof *right);
    add_row(t, headers);
    return t;
}

void tlb_table_row(tlb_table *t, const char *const *cells)
{
    if (t)
        add_row(t, cells);
}

/* Columns that a terminal gives to text: code points, since escapes left no control characters. */
static int width(const char *s)
{
    int n = 0;
    for (; *s; ++s)
        n += ((unsigned char)*s & 0xC0) != 0x80;
    return n;
}

static void print_row(const tlb_table *t, int row, const int *widths, FILE *out)
{
    int filled = t->columns; /* no blanks at the end of a line */
    while (filled > 1 && !*t->cells[row * t->columns + filled - 1])
        --filled;
    for (int i = 0; i < filled; ++i) {
        const char *cell = t->cells[row * t->columns + i];
        int gap = widths[i] - width(cell);
        bool last = i == filled - 1;
        fprintf(out, "%s%*s%s", i ? "  " : "", t->right[i] ? gap : 0, "", cell);
        if (!t->right[i] && !last)
            fprintf(out, "%*s", gap, "");
    }
    fputc('\n', out);
}

void tlb_table_print(tlb_table *t, FILE *out, bool color)
{
    if (!t || !t->right)
        return;
    int *widths = calloc((size_t)t->columns, sizeof *widths);
    if (!widths)
        return;
    for (int i = 0; i < t->rows * t->columns; ++i)
        if (width(t->cells[i]) > widths[i % t->columns])
            widths[i % t->columns] = width(t->cells[i]);
    for (int r = 0; r < t->rows; ++r) {
        if (r == 0 && color)
            fputs("\033[1m", out);
        print_row(t, r, widths, out);
        if (r == 0 && color)
            fputs("\033[0m", out);
    }
    free(widths);
}

void tlb_table_destroy(tlb_table *t)
{
    if (!t)
        return;
    for (int i = 0; i < t->rows * t->columns; ++i)
        free(t->cells[i]);
    free(t->cells);
    free(t->right);
    free(t);
}
