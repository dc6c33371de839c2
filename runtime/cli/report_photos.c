/* report_photos.c: which photographs a report shows, cropped as the network sees them. */
#define _GNU_SOURCE
#include "report.h"

#include "tlr_cli.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- one ------------------------------------------------------------------------------ */

bool tlr_tile_load(const tlb_args *a, bool exif, const char *path, tlr_tile *out)
{
    const tlr_preprocess *p = &tlr_the_model->preprocess;
    tlr_loader loader = { .preprocess = p, .limits = &a->limits, .exif = exif };
    tlr_image_note note;
    *out = (tlr_tile){ .width = p->crop_w, .height = p->crop_h };
    if (p->kind != TLR_PREPROCESS_PICTURE || strcmp(path, "-") == 0)
        return false;
    out->rgb = malloc((size_t)p->crop_w * (size_t)p->crop_h * 3 + 1);
    bool loaded = out->rgb && tlr_load_crop(&loader, path, out->rgb, &note) == TLB_OK;
    tlr_loader_free(&loader);
    if (!loaded)
        tlr_tiles_free(out, 1);
    return loaded;
}

bool tlr_tile_say(tlr_tile *t, int line, const char *before, const char *text)
{
    return asprintf(&t->line[line], "%s%s", before, text) >= 0 || (t->line[line] = NULL, false);
}

void tlr_tiles_free(tlr_tile *tiles, size_t n)
{
    for (size_t i = 0; i < n; ++i) {
        free(tiles[i].rgb);
        for (int k = 0; k < TLR_TILE_LINES; ++k)
            free(tiles[i].line[k]);
        tiles[i] = (tlr_tile){ 0 };
    }
}

/* --- small files ---------------------------------------------------------------------- */

enum { SHARP = 128, LARGEST = 256 }; /* below: every pixel is kept; above: fewer of them */

/* Means of factor x factor pixels; what is left over at the edges is dropped. */
static uint8_t *shrink(const tlr_tile *t, int factor, int *width, int *height)
{
    int w = t->width / factor, h = t->height / factor;
    uint8_t *out = malloc((size_t)w * (size_t)h * 3 + 1);
    for (int i = 0; out && i < w * h * 3; ++i) {
        int x = i / 3 % w * factor, y = i / 3 / w * factor, sum = 0;
        for (int dy = 0; dy < factor; ++dy)
            for (int dx = 0; dx < factor; ++dx)
                sum += t->rgb[((size_t)(y + dy) * (size_t)t->width + (size_t)(x + dx)) * 3 +
                              (size_t)(i % 3)];
        out[i] = (uint8_t)((sum + factor * factor / 2) / (factor * factor));
    }
    *width = w;
    *height = h;
    return out;
}

static bool make_jpeg(const tlr_tile *tile, tlr_thumb *out)
{
    int side = tile->width > tile->height ? tile->width : tile->height, w, h;
    uint8_t *small = shrink(tile, (side + LARGEST - 1) / LARGEST, &w, &h);
    bool made = small && tlr_image_encode_jpeg(small, w, h, &out->file.bytes, &out->file.n) ==
                             TLB_OK;
    free(small);
    return made;
}

static bool make_png(const tlr_tile *tile, tlr_thumb *out)
{
    tlr_canvas *c = tlr_canvas_create(tile->width, tile->height, &tlr_theme_light);
    bool made = c != NULL;
    if (made) {
        tlr_canvas_image(c, tile->rgb, tile->width, tile->height,
                         (tlr_box){ 0, 0, tile->width, tile->height });
        made = tlr_canvas_png(c, &out->file.bytes, &out->file.n);
    }
    tlr_canvas_destroy(c);
    return made;
}

bool tlr_thumb_make(const tlr_tile *tile, tlr_thumb *out)
{
    bool sharp = tile->width < SHARP && tile->height < SHARP;
    *out = (tlr_thumb){ .tile = tile, .type = sharp ? "image/png" : "image/jpeg" };
    return sharp ? make_png(tile, out) : make_jpeg(tile, out);
}

/* --- the most wrong ------------------------------------------------------------------- */

typedef struct worst {
    json_t *line[TLR_MOST_WORST];
    size_t n;
} worst;

static double loss_of(const json_t *j)
{
    return tlb_json_number(j, "loss", INFINITY); /* null: it was not finite */
}

static tlb_status take_prediction(void *self, json_t *j)
{
    worst *w = self;
    const char *label = tlb_json_text(j, "label"), *class = tlb_json_text(j, "class");
    size_t at = w->n;
    if (!label || !class)
        return TLB_E_MALFORMED;
    if (!tlb_json_text(j, "path") || strcmp(label, class) == 0)
        return TLB_OK;
    while (at > 0 && loss_of(w->line[at - 1]) < loss_of(j))
        --at;
    if (at == TLR_MOST_WORST)
        return TLB_OK;
    if (w->n == TLR_MOST_WORST)
        json_decref(w->line[--w->n]);
    memmove(&w->line[at + 1], &w->line[at], (w->n - at) * sizeof *w->line);
    w->line[at] = json_incref(j);
    ++w->n;
    return TLB_OK;
}

static void say_prediction(tlr_tile *t, const json_t *j)
{
    char percent[32];
    tlb_show_percent(percent, tlb_json_number(j, "probability", NAN));
    if (tlr_tile_say(t, 0, "true: ", tlb_json_text(j, "label")) &&
        tlr_tile_say(t, 1, "predicted: ", tlb_json_text(j, "class")))
        tlr_tile_say(t, 2, "", percent);
}

tlb_status tlr_load_worst(const tlb_args *a, const tlr_record *r, tlr_tile *tiles, size_t *out_n,
                          size_t *unread, const char **what)
{
    worst w = { .n = 0 };
    char *path = NULL;
    bool exif = json_is_true(json_object_get(tlr_record_part(r, "options"), "exif"));
    *out_n = 0;
    *what = "out of memory";
    if (asprintf(&path, "%s/predictions.jsonl", r->path) < 0)
        return TLB_E_LIMIT;
    tlb_status status = tlr_json_lines(path, &a->limits, NULL, take_prediction, &w, what);
    free(path);
    for (size_t i = 0; i < w.n; ++i) {
        if (status != TLB_OK) {
            json_decref(w.line[i]);
            continue;
        }
        if (tlr_tile_load(a, exif, tlb_json_text(w.line[i], "path"), &tiles[*out_n]))
            say_prediction(&tiles[(*out_n)++], w.line[i]);
        else
            ++*unread;
        json_decref(w.line[i]);
    }
    return status;
}

/* --- a batch -------------------------------------------------------------------------- */

void tlr_load_preview(const tlb_args *a, const json_t *list, bool exif, tlr_tile *tiles,
                      size_t *out_n, size_t *unread)
{
    *out_n = 0;
    for (size_t i = 0; i < json_array_size(list) && i < TLR_MOST_PREVIEW; ++i) {
        const json_t *photo = json_array_get(list, i);
        const char *path = tlb_json_text(photo, "path"), *label = tlb_json_text(photo, "label");
        if (path && label && tlr_tile_load(a, exif, path, &tiles[*out_n]))
            tlr_tile_say(&tiles[(*out_n)++], 0, "", label);
        else
            ++*unread;
    }
}
