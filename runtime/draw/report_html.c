/* report_html.c: the page, top to bottom: verdict, pictures, classes, plan, options, hashes.
 *
 * Everything that is not a literal here goes through tlr_html_text, and the page forbids scripts
 * and addresses by its own policy, should a browser see one where we see text.
 */
#include "report_html.h"

#include "tlb_escape.h"
#include "tlb_options.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_ROWS = 50 }; /* of the table of classes */

void tlr_html_text(FILE *out, const char *text)
{
    char safe[TLB_ESCAPED_NAME_BYTES];
    tlb_escape_name(safe, sizeof safe, text, strlen(text));
    for (const char *s = safe; *s; ++s)
        switch (*s) {
        case '&': fputs("&amp;", out); break;
        case '<': fputs("&lt;", out); break;
        case '>': fputs("&gt;", out); break;
        case '"': fputs("&quot;", out); break;
        case '\'': fputs("&#39;", out); break;
        default: fputc(*s, out);
        }
}

/* --- data URIs ------------------------------------------------------------------------ */

static void print_base64(FILE *out, const tlr_bytes *b)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < b->n; i += 3) {
        size_t n = b->n - i < 3 ? b->n - i : 3;
        uint32_t w = (uint32_t)b->bytes[i] << 16;
        if (n > 1)
            w |= (uint32_t)b->bytes[i + 1] << 8;
        if (n > 2)
            w |= b->bytes[i + 2];
        fputc(digits[w >> 18], out);
        fputc(digits[w >> 12 & 63], out);
        fputc(n > 1 ? digits[w >> 6 & 63] : '=', out);
        fputc(n > 2 ? digits[w & 63] : '=', out);
    }
}

static void print_uri(FILE *out, const char *type, const tlr_bytes *b)
{
    fprintf(out, "data:%s;base64,", type);
    print_base64(out, b);
}

static size_t uri_bytes(const tlr_bytes *b)
{
    return (b->n + 2) / 3 * 4 + 64;
}

/* --- the head ------------------------------------------------------------------------- */

static const char style[] =
    ":root{color-scheme:light dark;--g:#fff;--t:#1a1c20;--m:#5a6068;--l:#e3e5e8}\n"
    "@media(prefers-color-scheme:dark){:root{--g:#16181d;--t:#e8eaee;--m:#a4abb5;--l:#2c3036}}\n"
    "body{margin:0;background:var(--g);color:var(--t);font:16px/1.5 'DejaVu Sans',system-ui,"
    "sans-serif}\n"
    "main{max-width:900px;margin:0 auto;padding:24px 20px 60px}\n"
    "h1{font-size:40px;line-height:1.2;margin:0 0 4px;font-weight:600}\n"
    "h2{font-size:20px;margin:44px 0 12px;font-weight:600}\n"
    ".of{color:var(--m);margin:0 0 20px}\n"
    ".verdict p{margin:6px 0}\n"
    "img{max-width:100%;height:auto;display:block}\n"
    ".scroll{overflow-x:auto}\n"
    "table{border-collapse:collapse;font-variant-numeric:tabular-nums}\n"
    "th,td{text-align:left;padding:4px 20px 4px 0;border-bottom:1px solid var(--l);"
    "vertical-align:top;overflow-wrap:anywhere}\n"
    "th{font-weight:400;color:var(--m)}\n"
    ".n{text-align:right}\n"
    "code{font:14px/1.5 'DejaVu Sans Mono',ui-monospace,monospace;overflow-wrap:anywhere}\n"
    ".photos{display:grid;gap:18px 14px}\n"
    ".five{grid-template-columns:repeat(5,1fr)}.four{grid-template-columns:repeat(4,1fr)}\n"
    "@media(max-width:640px){.five,.four{grid-template-columns:repeat(2,1fr)}}\n"
    "figure{margin:0;min-width:0}\n"
    ".photos img{width:100%}.sharp{image-rendering:pixelated}\n"
    "figcaption{font-size:14px;line-height:1.4;overflow-wrap:anywhere;margin-top:4px}\n"
    "figcaption span{display:block;color:var(--m)}\n"
    "figcaption span:first-child{color:var(--t)}\n";

static void print_head(FILE *out, const tlr_record *r, const char *title)
{
    fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
          "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
          "img-src data:; style-src 'unsafe-inline'\">\n"
          "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>",
          out);
    tlr_html_text(out, r->model);
    fprintf(out, ": %s</title>\n<style>\n%s</style>\n</head>\n<body>\n<main>\n", title, style);
}

/* "catdog on photos, cat and dog": what was trained on what. */
static void print_of(FILE *out, const tlr_record *r)
{
    enum { SHOWN = 10 };
    const char *data = tlr_record_text(r, "data", "train");
    fputs("<p class=\"of\">", out);
    tlr_html_text(out, r->model);
    if (data) {
        fputs(" trained on ", out);
        tlr_html_text(out, data);
    }
    fputs(": ", out);
    if (r->n_classes > SHOWN)
        fprintf(out, "%zu classes", r->n_classes);
    for (size_t i = 0; i < r->n_classes && r->n_classes <= SHOWN; ++i) {
        fputs(i ? ", " : "", out);
        tlr_html_text(out, r->classes[i]);
    }
    fputs("</p>\n", out);
}

/* --- pictures ------------------------------------------------------------------------- */

static void print_figure(FILE *out, const char *title, const char *alt, const tlr_figure *f)
{
    if (!f->light.bytes)
        return;
    fprintf(out, "<h2>%s</h2>\n<picture>", title);
    if (f->dark.bytes) {
        fputs("<source media=\"(prefers-color-scheme: dark)\" srcset=\"", out);
        print_uri(out, "image/png", &f->dark);
        fputs("\">", out);
    }
    fprintf(out, "<img width=\"%d\" height=\"%d\" alt=\"%s\" src=\"", f->width / 2, f->height / 2,
            alt);
    print_uri(out, "image/png", &f->light);
    fputs("\"></picture>\n", out);
}

static void print_thumb(FILE *out, const tlr_thumb *t)
{
    bool small = t->tile->width < 128;
    fprintf(out, "<figure><img%s alt=\"\" width=\"%d\" height=\"%d\" src=\"",
            small ? " class=\"sharp\"" : "", t->tile->width, t->tile->height);
    print_uri(out, t->type, &t->file);
    fputs("\"><figcaption>", out);
    for (int k = 0; k < TLR_TILE_LINES && t->tile->line[k]; ++k) {
        fputs("<span>", out);
        tlr_html_text(out, t->tile->line[k]);
        fputs("</span>", out);
    }
    fputs("</figcaption></figure>\n", out);
}

/* Returns the bytes it took. */
static size_t print_thumbs(FILE *out, const char *title, const char *columns,
                           const tlr_thumb *thumbs, size_t n, size_t room)
{
    size_t used = 0, shown = 0;
    if (n == 0)
        return 0;
    while (shown < n && used + uri_bytes(&thumbs[shown].file) + 2048 < room)
        used += uri_bytes(&thumbs[shown++].file) + 2048;
    fprintf(out, "<h2>%s</h2>\n<div class=\"photos %s\">\n", title, columns);
    for (size_t i = 0; i < shown; ++i)
        print_thumb(out, &thumbs[i]);
    fputs("</div>\n", out);
    if (shown < n)
        fprintf(out, "<p>%zu more would make this page larger than 2 MiB; the PNG file beside it "
                     "has them.</p>\n", n - shown);
    return used;
}

static void print_pictures(FILE *out, const tlr_page *p)
{
    enum { TABLES = 128 << 10 }; /* left for the rest of the page */
    size_t room = TLR_MOST_PAGE_BYTES - TABLES, drawn = 0;
    const tlr_figure *const figures[] = { &p->curves, &p->confusion };
    for (int i = 0; i < 2; ++i)
        drawn += uri_bytes(&figures[i]->light) + uri_bytes(&figures[i]->dark);
    room = drawn < room ? room - drawn : 0;
    if (p->lacks)
        fprintf(out, "<p>No pictures: %s.</p>\n", p->lacks);
    print_figure(out, "Learning", "Loss and accuracy by epoch", &p->curves);
    print_figure(out, "What is taken for what", "Counts of pictures by true and predicted class",
                 &p->confusion);
    room -= print_thumbs(out, "The most wrong, as the network sees them", "five", p->worst,
                         p->n_worst, room);
    print_thumbs(out, "A batch, as the network sees it", "four", p->preview, p->n_preview, room);
}

/* --- tables --------------------------------------------------------------------------- */

static void print_class_row(FILE *out, const tlr_record *r, size_t i)
{
    char count[32], text[2][32];
    int64_t column = 0, right = r->confusion[i * r->n_classes + i];
    int64_t row = tlr_row_sum(r->confusion, r->n_classes, i);
    for (size_t k = 0; k < r->n_classes; ++k)
        column += r->confusion[k * r->n_classes + i];
    fputs("<tr><td>", out);
    tlr_html_text(out, r->classes[i]);
    fprintf(out,
            "</td><td class=\"n\">%s</td><td class=\"n\">%s</td><td class=\"n\">%s</td></tr>\n",
            row ? tlb_show_percent(text[0], (double)right / (double)row) : "",
            column ? tlb_show_percent(text[1], (double)right / (double)column) : "",
            tlb_show_count(count, row));
}

static void print_classes(FILE *out, const tlr_record *r)
{
    if (!r->confusion)
        return;
    fputs("<h2>Classes</h2>\n<div class=\"scroll\"><table>\n<tr><th>class</th>"
          "<th class=\"n\">recall</th><th class=\"n\">precision</th><th class=\"n\">pictures</th>"
          "</tr>\n", out);
    for (size_t i = 0; i < r->n_classes && i < MOST_ROWS; ++i)
        print_class_row(out, r, i);
    fputs("</table></div>\n", out);
    if (r->n_classes > MOST_ROWS)
        fprintf(out, "<p>%zu more classes: result.confusion in run.json.</p>\n",
                r->n_classes - MOST_ROWS);
}

static void print_row(FILE *out, const char *name, const char *text)
{
    if (!text)
        return;
    fputs("<tr><th>", out);
    tlr_html_text(out, name);
    fputs("</th><td>", out);
    tlr_html_text(out, text);
    fputs("</td></tr>\n", out);
}

static void print_count_row(FILE *out, const tlr_record *r, const char *name, const char *part,
                            const char *key, char *(*show)(char[32], int64_t))
{
    char text[32];
    int64_t n = tlb_json_int(tlr_record_part(r, part), key, -1);
    if (n >= 0)
        print_row(out, name, show(text, n));
}

static void print_plan(FILE *out, const tlr_record *r)
{
    static const struct { const char *name, *key; } times[] = {
        { "time", "wall_s" }, { "of it, features", "features_s" },
        { "of it, training", "train_s" }, { "of it, validation", "valid_s" },
    };
    fputs("<h2>Plan and cost</h2>\n<table>\n", out);
    print_count_row(out, r, "parameters", "model", "parameters", tlb_show_count);
    print_count_row(out, r, "of them trained", "model", "trained", tlb_show_count);
    print_count_row(out, r, "training pictures", "data", "train_n", tlb_show_count);
    print_count_row(out, r, "validation pictures", "data", "valid_n", tlb_show_count);
    print_count_row(out, r, "pictures skipped", "data", "skipped", tlb_show_count);
    print_row(out, "target", tlr_record_text(r, "model", "target"));
    print_row(out, "precision", tlr_record_text(r, "model", "precision"));
    print_count_row(out, r, "peak memory", "cost", "peak_bytes", tlb_show_bytes);
    print_count_row(out, r, "threads", "cost", "threads", tlb_show_count);
    for (size_t i = 0; i < sizeof times / sizeof *times; ++i) {
        char text[32];
        double s = tlr_record_number(r, "cost", times[i].key);
        if (isfinite(s))
            print_row(out, times[i].name, tlb_show_time(text, s));
    }
    fputs("</table>\n", out);
}

static void print_options(FILE *out, const tlr_record *r)
{
    const char *key;
    json_t *value;
    fputs("<h2>Options</h2>\n<table>\n", out);
    json_object_foreach((json_t *)(uintptr_t)tlr_record_part(r, "options"), key, value) {
        char *text = json_is_string(value) ? NULL : tlb_json_dump(value, 0);
        if (!json_is_null(value))
            print_row(out, key, text ? text : json_string_value(value));
        free(text);
    }
    fputs("</table>\n<p>Command: <code>", out);
    size_t i;
    json_array_foreach(json_object_get(r->json, "command"), i, value) {
        const char *word = json_string_value(value);
        fputs(i ? " " : "", out);
        tlr_html_text(out, word ? word : "");
    }
    fputs("</code></p>\n", out);
}

static void print_hashes(FILE *out, const tlr_record *r)
{
    fputs("<h2>Hashes</h2>\n<table>\n", out);
    print_row(out, "tlc", tlb_json_text(r->json, "tlc"));
    print_row(out, "graph, SHA-256", tlr_record_text(r, "model", "graph_sha256"));
    print_row(out, "data, XXH3", tlr_record_text(r, "data", "hash"));
    print_row(out, "best weights, SHA-256", tlr_record_text(r, "result", "weights_sha256"));
    fputs("</table>\n", out);
}

void tlr_page_print(FILE *out, const tlr_page *p)
{
    char title[64];
    tlr_verdict_title(title, sizeof title, p->record);
    print_head(out, p->record, title);
    fprintf(out, "<h1>%s</h1>\n", title);
    print_of(out, p->record);
    fputs("<section class=\"verdict\">\n", out);
    tlr_verdict_print(out, p->record);
    fputs("</section>\n", out);
    print_pictures(out, p);
    print_classes(out, p->record);
    print_plan(out, p->record);
    print_options(out, p->record);
    print_hashes(out, p->record);
    fputs("</main>\n</body>\n</html>\n", out);
}
