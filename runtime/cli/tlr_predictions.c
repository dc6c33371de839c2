/* tlr_predictions.c: predictions as text, CSV and JSON.  Class names and paths are data from
 * outside: escaped for a terminal, for a spreadsheet, for a parser. */
#include "tlr_cli.h"

#include "tlb_escape.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- CSV ------------------------------------------------------------------ */

/* Escape text[n] as everywhere, whatever its length. */
static void print_escaped(FILE *out, const char *text, size_t n)
{
    enum { STEP = 240 };
    char buf[4 * STEP + 64];
    while (n > 0) {
        size_t step = n < STEP ? n : STEP;
        while (step < n && step > 1 && ((unsigned char)text[step] & 0xc0) == 0x80)
            --step; /* not inside a code point */
        fwrite(buf, 1, tlb_escape(buf, sizeof buf, text, step), out);
        text += step;
        n -= step;
    }
}

/* What CSV carries by itself stays as it is; the rest could change a terminal. */
static void print_csv_body(FILE *out, const char *text)
{
    static const char raw[] = "\"\\\n\r\t";
    while (*text) {
        size_t n = strcspn(text, raw);
        print_escaped(out, text, n);
        text += n;
        if (*text == '"')
            fputc('"', out);
        if (*text)
            fputc(*text++, out);
    }
}

void tlr_print_csv_field(FILE *out, const char *text)
{
    int quoted = strpbrk(text, "\",\r\n") != NULL;
    if (quoted)
        fputc('"', out);
    if (*text && strchr("=+-@\t\r", *text))
        fputc('\'', out);
    print_csv_body(out, text);
    if (quoted)
        fputc('"', out);
}

/* --- one prediction ------------------------------------------------------- */

static const char *class_name(const tlr_class_list *c, int i, char buf[16])
{
    if (c->names)
        return c->names[i];
    snprintf(buf, 16, "%d", i);
    return buf;
}

int tlr_argmax(const float *p, int n)
{
    int best = 0;
    for (int i = 1; i < n; ++i)
        if (p[i] > p[best])
            best = i;
    return best;
}

static void print_text(FILE *out, const char *path, const char *class, float p)
{
    char name[TLB_ESCAPED_NAME_BYTES], share[32];
    tlb_escape_name(name, sizeof name, class, strlen(class));
    fprintf(out, "%s  %s  ", name, tlb_show_percent(share, p));
    print_escaped(out, path, strlen(path));
    fputc('\n', out);
}

static void print_csv(FILE *out, const tlr_class_list *c, const char *path, const char *class,
                      const float *p, int best)
{
    tlr_print_csv_field(out, path);
    fputc(',', out);
    tlr_print_csv_field(out, class);
    fprintf(out, ",%.4f", (double)p[best]);
    for (int i = 0; i < c->n; ++i)
        fprintf(out, ",%.4f", (double)p[i]);
    fputc('\n', out);
}

static void print_json_share(FILE *out, float p)
{
    if (isfinite(p))
        fprintf(out, "%.4f", (double)p);
    else
        fputs("null", out);
}

static void print_json(FILE *out, const tlr_class_list *c, const char *path, const char *class,
                       const float *p, int best)
{
    char *j_path = tlr_cli_json(path), *j_class = tlr_cli_json(class);
    fprintf(out, "{\"schema\":\"tlc.predict/1\",\"path\":%s,\"class\":%s,\"probability\":",
            j_path ? j_path : "null", j_class ? j_class : "null");
    print_json_share(out, p[best]);
    fputs(",\"all\":[", out);
    for (int i = 0; i < c->n; ++i) {
        if (i > 0)
            fputc(',', out);
        print_json_share(out, p[i]);
    }
    fputs("]}\n", out);
    free(j_path);
    free(j_class);
}

tlr_form tlr_cli_form(const tlb_args *a)
{
    return a->json ? TLR_FORM_JSON : tlb_flag(a, TLB_OPT_CSV) ? TLR_FORM_CSV : TLR_FORM_TEXT;
}

void tlr_print_prediction_head(FILE *out, tlr_form form, const tlr_class_list *classes)
{
    char buf[16];
    if (form != TLR_FORM_CSV)
        return;
    fputs("path,class,probability", out);
    for (int i = 0; i < classes->n; ++i) {
        fputc(',', out);
        tlr_print_csv_field(out, class_name(classes, i, buf));
    }
    fputc('\n', out);
}

void tlr_print_prediction(FILE *out, tlr_form form, const tlr_class_list *classes,
                          const char *path, const float *p)
{
    char buf[16];
    int best = tlr_argmax(p, classes->n);
    const char *class = class_name(classes, best, buf);
    if (form == TLR_FORM_JSON)
        print_json(out, classes, path, class, p, best);
    else if (form == TLR_FORM_CSV)
        print_csv(out, classes, path, class, p, best);
    else
        print_text(out, path, class, p[best]);
}
