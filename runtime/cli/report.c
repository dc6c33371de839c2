/* report.c: the pictures of a run, each a PNG file, and the page that holds them all. */
#define _GNU_SOURCE
#include "report.h"

#include "tlb_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct report {
    const tlb_args *a;
    tlr_record record;
    tlr_tile worst[TLR_MOST_WORST], preview[TLR_MOST_PREVIEW];
    tlr_thumb worst_thumb[TLR_MOST_WORST], preview_thumb[TLR_MOST_PREVIEW];
    size_t n_worst, n_preview;
    tlr_page page;
} report;

/* An error of the command `report`, a warning beside a training that is done. */
static tlb_status say(const tlb_args *a, tlb_status status, const char *run, const char *where,
                      const char *what)
{
    if (a->command == TLB_CMD_REPORT)
        return tlb_error(a, status, "E_REPORT", run, where, NULL, "%s", what);
    tlb_warning(a, "W_REPORT", run, where, "no report: %s", what);
    return status;
}

/* --- files ---------------------------------------------------------------------------- */

static tlb_status write_file(const report *p, const char *name, const void *bytes, size_t n)
{
    char *path = NULL;
    int error = ENOMEM;
    tlb_status status = asprintf(&path, "%s/%s", p->record.path, name) < 0
                            ? TLB_E_LIMIT : tlb_write_file(path, bytes, n, &error);
    if (status != TLB_OK)
        say(p->a, status, p->record.path, name, strerror(error));
    free(path);
    return status;
}

/* What is not drawn now must not be taken for a picture of this state of the run. */
static void remove_file(const report *p, const char *name)
{
    char *path = NULL;
    if (asprintf(&path, "%s/%s", p->record.path, name) < 0)
        return;
    unlink(path);
    free(path);
}

/* Write the canvas as NAME and destroy it; its bytes are kept in *out (NULL: not wanted). */
static tlb_status write_canvas(const report *p, const char *name, tlr_canvas *c, tlr_bytes *out)
{
    tlr_bytes png = { 0 };
    if (!c || !tlr_canvas_png(c, &png.bytes, &png.n)) {
        tlr_canvas_destroy(c);
        return say(p->a, TLB_E_LIMIT, p->record.path, name, "out of memory");
    }
    tlr_canvas_destroy(c);
    tlb_status status = write_file(p, name, png.bytes, png.n);
    if (out)
        *out = png;
    else
        free(png.bytes);
    return status;
}

/* --- pictures ------------------------------------------------------------------------- */

static tlr_canvas *draw_curves(const tlr_record *r, const tlr_theme *theme)
{
    return tlr_draw_curves(r->epochs, r->n_epochs, r->best_epoch, theme);
}

static tlr_canvas *draw_confusion(const tlr_record *r, const tlr_theme *theme)
{
    return tlr_draw_confusion(r->confusion, r->classes, r->n_classes, theme);
}

static tlb_status draw_figure(report *p, const char *name, bool has, tlr_figure *f,
                              tlr_canvas *(*draw)(const tlr_record *r, const tlr_theme *theme))
{
    if (!has) {
        remove_file(p, name);
        return TLB_OK;
    }
    tlr_canvas *c = draw(&p->record, &tlr_theme_light);
    f->width = c ? c->width : 0;
    f->height = c ? c->height : 0;
    tlb_status status = write_canvas(p, name, c, &f->light);
    c = draw(&p->record, &tlr_theme_dark);
    if (c && !tlr_canvas_png(c, &f->dark.bytes, &f->dark.n))
        f->dark = (tlr_bytes){ 0 }; /* the light one serves */
    tlr_canvas_destroy(c);
    return status;
}

static tlb_status draw_photos(const report *p, const char *name, const char *title,
                              const tlr_tile *tiles, size_t n, int columns)
{
    if (n == 0) {
        remove_file(p, name);
        return TLB_OK;
    }
    return write_canvas(p, name, tlr_draw_tiles(title, tiles, n, columns, &tlr_theme_light), NULL);
}

static size_t make_thumbs(const tlr_tile *tiles, size_t n, tlr_thumb *out)
{
    size_t made = 0;
    for (size_t i = 0; i < n; ++i)
        made += tlr_thumb_make(&tiles[i], &out[made]);
    return made;
}

static tlb_status load_photos(report *p)
{
    const tlr_record *r = &p->record;
    const json_t *batch = json_object_get(tlr_record_part(r, "data"), "preview");
    bool exif = json_is_true(json_object_get(tlr_record_part(r, "options"), "exif"));
    size_t unread = 0;
    const char *what = NULL;
    tlb_status status = TLB_OK;
    if (r->confusion)
        status = tlr_load_worst(p->a, r, p->worst, &p->n_worst, &unread, &what);
    if (status != TLB_OK)
        return say(p->a, status, r->path, "predictions.jsonl", what);
    tlr_load_preview(p->a, batch, exif, p->preview, &p->n_preview, &unread);
    if (unread > 0)
        tlb_warning(p->a, "W_REPORT", r->path, NULL, "%zu picture%s not shown: cannot be read",
                    unread, unread == 1 ? " is" : "s are");
    p->page.n_worst = make_thumbs(p->worst, p->n_worst, p->worst_thumb);
    p->page.n_preview = make_thumbs(p->preview, p->n_preview, p->preview_thumb);
    return TLB_OK;
}

static tlb_status draw_all(report *p)
{
    tlr_page *page = &p->page;
    tlb_status status = load_photos(p);
    if (status == TLB_OK)
        status = draw_figure(p, "curves.png", p->record.n_epochs > 0, &page->curves, draw_curves);
    if (status == TLB_OK)
        status = draw_figure(p, "confusion.png", p->record.confusion != NULL, &page->confusion,
                             draw_confusion);
    if (status == TLB_OK)
        status = draw_photos(p, "worst.png", "The most wrong, as the network sees them", p->worst,
                             p->n_worst, TLR_WORST_COLUMNS);
    if (status == TLB_OK)
        status = draw_photos(p, "preview.png", "First batch, as the network sees it", p->preview,
                             p->n_preview, TLR_PREVIEW_COLUMNS);
    return status;
}

static void draw_none(report *p)
{
    static const char *const names[] = { "curves.png", "confusion.png", "worst.png",
                                         "preview.png" };
    for (size_t i = 0; i < sizeof names / sizeof *names; ++i)
        remove_file(p, names[i]);
    p->page.lacks = tlr_canvas_lacks();
    tlb_warning(p->a, "W_PICTURES", NULL, NULL, "no pictures: %s", p->page.lacks);
}

/* --- the page ------------------------------------------------------------------------- */

static tlb_status write_page(report *p)
{
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    if (f)
        tlr_page_print(f, &p->page);
    if (!f || fclose(f) != 0) {
        free(text);
        return say(p->a, TLB_E_LIMIT, p->record.path, "report.html", "out of memory");
    }
    tlb_status status = write_file(p, "report.html", text, n);
    free(text);
    return status;
}

static void free_report(report *p)
{
    tlr_figure *const figures[] = { &p->page.curves, &p->page.confusion };
    for (int i = 0; i < 2; ++i) {
        free(figures[i]->light.bytes);
        free(figures[i]->dark.bytes);
    }
    for (size_t i = 0; i < p->page.n_worst; ++i)
        free(p->worst_thumb[i].file.bytes);
    for (size_t i = 0; i < p->page.n_preview; ++i)
        free(p->preview_thumb[i].file.bytes);
    tlr_tiles_free(p->worst, p->n_worst);
    tlr_tiles_free(p->preview, p->n_preview);
    tlr_record_free(&p->record);
}

tlb_status tlr_report_write(const tlb_args *a, const char *run)
{
    report p = { .a = a };
    const char *file, *what;
    tlb_status status = tlr_record_read(run, &a->limits, &p.record, &file, &what);
    if (status != TLB_OK)
        return say(a, status, run, file, what);
    p.page.record = &p.record;
    p.page.worst = p.worst_thumb;
    p.page.preview = p.preview_thumb;
    if (tlr_canvas_lacks())
        draw_none(&p);
    else
        status = draw_all(&p);
    if (status == TLB_OK)
        status = write_page(&p);
    free_report(&p);
    return status;
}
