/* tlb_diag.c: the one form of errors and warnings, as text and as JSON. */
#include "tlb_diag.h"

#include "tlb_escape.h"

#include <stdlib.h>
#include <string.h>

/* `s` as a JSON string in ASCII; it is already escaped for people, so that it is valid UTF-8. */
static void put_json_string(FILE *out, const char *s)
{
    if (!s) {
        fputs("null", out);
        return;
    }
    fputc('"', out);
    for (const unsigned char *p = (const unsigned char *)s; *p; ++p) {
        if (*p == '"' || *p == '\\') {
            fprintf(out, "\\%c", *p);
        } else if (*p < 0x80) {
            fputc(*p, out);
        } else {
            int n = *p >= 0xF0 ? 3 : *p >= 0xE0 ? 2 : 1;
            unsigned long c = *p & (0x3Fu >> n);
            while (n-- && (p[1] & 0xC0) == 0x80)
                c = c << 6 | (*++p & 0x3F);
            if (c > 0xFFFF)
                fprintf(out, "\\u%04lx\\u%04lx", 0xD7C0 + (c >> 10), 0xDC00 + (c & 0x3FF));
            else
                fprintf(out, "\\u%04lx", c);
        }
    }
    fputc('"', out);
}

static void print_json(FILE *out, const tlb_diag *d, const char *file)
{
    fprintf(out, "{\"severity\":\"%s\",\"code\":%d,\"id\":",
            d->severity == TLB_ERROR ? "error" : "warning", (int)d->code);
    put_json_string(out, d->id);
    fputs(",\"file\":", out);
    put_json_string(out, file);
    fputs(",\"where\":", out);
    put_json_string(out, d->where);
    fputs(",\"what\":", out);
    put_json_string(out, d->what);
    fputs(",\"hint\":", out);
    put_json_string(out, d->hint);
    fputs("}\n", out);
}

void tlb_diag_print(FILE *out, const char *program, const tlb_diag *d, bool json, bool color)
{
    size_t len = d->file ? strlen(d->file) : 0;
    /* Every byte may become \xHH; a path is never cut. */
    char *file = d->file ? malloc(len * 4 + 1) : NULL;
    if (file)
        tlb_escape(file, len * 4 + 1, d->file, len);
    if (json) {
        print_json(out, d, file);
    } else {
        const char *severity = d->severity == TLB_ERROR ? "error" : "warning";
        const char *on = !color ? "" : d->severity == TLB_ERROR ? "\033[31m" : "\033[33m";
        fprintf(out, "%s: %s%s%s: ", program, on, severity, color ? "\033[0m" : "");
        if (file)
            fprintf(out, "%s: ", file);
        if (d->where)
            fprintf(out, "%s: ", d->where);
        fputs(d->what, out);
        if (d->hint)
            fprintf(out, "; %s", d->hint);
        fputc('\n', out);
    }
    free(file);
}
