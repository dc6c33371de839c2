/* draw_canvas.c: the sheet on cairo's image surface.
 *
 * Hinting is off and antialiasing gray, so that a picture does not depend on the machine's font
 * settings.  The toy font is one font without substitutes: glyph 0 says that a letter is missing.
 */
#include "draw_canvas.h"

#include "tlb_escape.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const tlr_theme tlr_theme_light = {
    0xFFFFFF, 0x1A1C20, 0x5A6068, 0xE3E5E8,
    { 0x2454D0, 0xE34906, 0x019D75, 0x8A015D, 0x1A1C20 },
};
const tlr_theme tlr_theme_dark = {
    0x16181D, 0xE8EAEE, 0xA4ABB5, 0x2C3036,
    { 0x5A93FE, 0xE74E00, 0x6AEDA0, 0xA16491, 0xE8EAEE },
};

#ifdef TLR_HAVE_CAIRO
#include <cairo.h>

/* --- a sheet -------------------------------------------------------------------------- */

static void set_color(cairo_t *cr, uint32_t c)
{
    cairo_set_source_rgb(cr, (c >> 16 & 255) / 255.0, (c >> 8 & 255) / 255.0, (c & 255) / 255.0);
}

static void set_font(cairo_t *cr)
{
    cairo_font_options_t *o = cairo_font_options_create();
    cairo_font_options_set_antialias(o, CAIRO_ANTIALIAS_GRAY);
    cairo_font_options_set_hint_style(o, CAIRO_HINT_STYLE_NONE);
    cairo_font_options_set_hint_metrics(o, CAIRO_HINT_METRICS_OFF);
    cairo_set_font_options(cr, o);
    cairo_font_options_destroy(o);
    cairo_select_font_face(cr, "DejaVu Sans", CAIRO_FONT_SLANT_NORMAL, CAIRO_FONT_WEIGHT_NORMAL);
    cairo_set_font_size(cr, TLR_TEXT_PX);
}

static tlr_canvas *make(int width, int height, const tlr_theme *theme)
{
    tlr_canvas *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->width = width;
    c->height = height;
    c->theme = theme;
    c->surface = cairo_image_surface_create(CAIRO_FORMAT_RGB24, width, height);
    c->context = cairo_create(c->surface);
    if (cairo_status(c->context) != CAIRO_STATUS_SUCCESS) {
        tlr_canvas_destroy(c);
        return NULL;
    }
    set_font(c->context);
    tlr_canvas_rect(c, (tlr_box){ 0, 0, width, height }, theme->ground);
    return c;
}

/* Without any font installed cairo draws with strokes of its own, which know ASCII alone. */
const char *tlr_canvas_lacks(void)
{
    static int known; /* 1: nothing lacks, 2: font */
    if (!known) {
        tlr_canvas *c = make(8, 8, &tlr_theme_light);
        if (!c)
            return "out of memory";
        cairo_scaled_font_t *font = cairo_get_scaled_font(c->context);
        bool is = cairo_scaled_font_status(font) == CAIRO_STATUS_SUCCESS &&
                  cairo_scaled_font_get_type(font) != CAIRO_FONT_TYPE_USER;
        known = is ? 1 : 2;
        tlr_canvas_destroy(c);
    }
    return known == 1 ? NULL : "no font is installed; Debian: fonts-dejavu-core";
}

tlr_canvas *tlr_canvas_create(int width, int height, const tlr_theme *theme)
{
    return tlr_canvas_lacks() ? NULL : make(width, height, theme);
}

void tlr_canvas_destroy(tlr_canvas *c)
{
    if (!c)
        return;
    cairo_destroy(c->context);
    cairo_surface_destroy(c->surface);
    free(c);
}

/* --- text ----------------------------------------------------------------------------- */

/* A letter of two bytes grows at most to `\u{7FF}`, others less; and "..." of fit. */
enum { SHOWN_BYTES = 4 * TLB_ESCAPED_NAME_BYTES };

static size_t letter_bytes(const char *s)
{
    unsigned char b = (unsigned char)*s;
    return b < 0x80 ? 1 : b < 0xE0 ? 2 : b < 0xF0 ? 3 : 4;
}

static unsigned letter_code(const char *s, size_t n)
{
    unsigned c = n == 1 ? (unsigned char)*s : (unsigned char)*s & (0x7Fu >> n);
    for (size_t i = 1; i < n; ++i)
        c = c << 6 | ((unsigned char)s[i] & 0x3F);
    return c;
}

static bool font_has(cairo_scaled_font_t *font, const char *letter, size_t n)
{
    cairo_glyph_t *glyphs = NULL;
    int n_glyphs = 0;
    cairo_status_t status = cairo_scaled_font_text_to_glyphs(font, 0, 0, letter, (int)n, &glyphs,
                                                             &n_glyphs, NULL, NULL, NULL);
    bool has = status == CAIRO_STATUS_SUCCESS && n_glyphs > 0 && glyphs[0].index != 0;
    cairo_glyph_free(glyphs);
    return has;
}

/* Escaped, and with what the font lacks spelled out. */
static void make_shown(cairo_t *cr, const char *text, char out[SHOWN_BYTES])
{
    char safe[TLB_ESCAPED_NAME_BYTES];
    tlb_escape_name(safe, sizeof safe, text, strlen(text));
    cairo_scaled_font_t *font = cairo_get_scaled_font(cr);
    char *at = out;
    for (const char *s = safe; *s;) {
        size_t n = letter_bytes(s);
        if (n == 1 || font_has(font, s, n)) {
            memcpy(at, s, n);
            at += n;
        } else {
            at += sprintf(at, "\\u{%X}", letter_code(s, n));
        }
        s += n;
    }
    *at = '\0';
}

static double width_of(cairo_t *cr, const char *shown)
{
    cairo_text_extents_t e;
    cairo_text_extents(cr, shown, &e);
    return e.x_advance;
}

static size_t back_to_letter(const char *s, size_t at)
{
    while (at > 0 && ((unsigned char)s[at] & 0xC0) == 0x80)
        --at;
    return at;
}

/* Cut the middle out until it fits: two thirds of what is kept is the head. */
static void fit(cairo_t *cr, char shown[SHOWN_BYTES], double most)
{
    char whole[SHOWN_BYTES];
    size_t n = strlen(shown);
    if (most <= 0 || width_of(cr, shown) <= most)
        return;
    memcpy(whole, shown, n + 1);
    for (size_t keep = n - 1; keep > 0; --keep) {
        size_t head = back_to_letter(whole, keep - keep / 3);
        size_t tail = back_to_letter(whole, n - keep / 3);
        memcpy(shown, whole, head);
        memcpy(shown + head, "...", 3);
        memcpy(shown + head + 3, whole + tail, n - tail + 1);
        if (width_of(cr, shown) <= most)
            return;
    }
    shown[0] = '\0'; /* narrower than "...": nothing is said */
}

static void set_size(cairo_t *cr, double size)
{
    cairo_set_font_size(cr, size > 0 ? size : TLR_TEXT_PX);
}

double tlr_canvas_text_width(const tlr_canvas *c, double size, const char *text)
{
    char shown[SHOWN_BYTES];
    set_size(c->context, size);
    make_shown(c->context, text, shown);
    return width_of(c->context, shown);
}

void tlr_canvas_text(tlr_canvas *c, const tlr_label *l, const char *text)
{
    char shown[SHOWN_BYTES];
    cairo_t *cr = c->context;
    set_size(cr, l->size);
    make_shown(cr, text, shown);
    fit(cr, shown, l->most);
    set_color(cr, l->color);
    cairo_move_to(cr, l->x - l->anchor * width_of(cr, shown), l->y);
    cairo_show_text(cr, shown);
    cairo_new_path(cr);
}

/* --- shapes --------------------------------------------------------------------------- */

static void set_dash(cairo_t *cr, int dash)
{
    static const struct { int n; double length[4]; } dashes[TLR_SERIES] = {
        { 0, { 0 } }, { 2, { 18, 10 } }, { 2, { 5, 8 } }, { 4, { 22, 8, 5, 8 } }, { 2, { 34, 8 } },
    };
    dash %= TLR_SERIES;
    cairo_set_dash(cr, dashes[dash].length, dashes[dash].n, 0);
}

void tlr_canvas_line(tlr_canvas *c, const double *xy, size_t n, const tlr_pen *pen)
{
    cairo_t *cr = c->context;
    set_color(cr, pen->color);
    set_dash(cr, pen->dash);
    cairo_set_line_width(cr, pen->width);
    cairo_set_line_join(cr, CAIRO_LINE_JOIN_ROUND);
    cairo_new_path(cr);
    for (size_t i = 0; i < n; ++i)
        cairo_line_to(cr, xy[2 * i], xy[2 * i + 1]);
    cairo_stroke(cr);
}

void tlr_canvas_rect(tlr_canvas *c, tlr_box b, uint32_t color)
{
    set_color(c->context, color);
    cairo_rectangle(c->context, b.x, b.y, b.w, b.h);
    cairo_fill(c->context);
}

void tlr_canvas_dot(tlr_canvas *c, double x, double y, double radius, uint32_t color)
{
    set_color(c->context, color);
    cairo_new_path(c->context);
    cairo_arc(c->context, x, y, radius, 0, 6.283185307179586);
    cairo_fill(c->context);
}

/* cairo's pixels are 32-bit words without alpha. */
static void fill_pixels(cairo_surface_t *to, const uint8_t *rgb, int width, int height)
{
    unsigned char *bytes = cairo_image_surface_get_data(to);
    int stride = cairo_image_surface_get_stride(to);
    for (int y = 0; y < height; ++y)
        for (int x = 0; x < width; ++x, rgb += 3) {
            uint32_t word = (uint32_t)rgb[0] << 16 | (uint32_t)rgb[1] << 8 | rgb[2];
            memcpy(bytes + (ptrdiff_t)y * stride + 4 * (ptrdiff_t)x, &word, sizeof word);
        }
    cairo_surface_mark_dirty(to);
}

void tlr_canvas_image(tlr_canvas *c, const uint8_t *rgb, int width, int height, tlr_box box)
{
    cairo_t *cr = c->context;
    cairo_surface_t *s = cairo_image_surface_create(CAIRO_FORMAT_RGB24, width, height);
    if (cairo_surface_status(s) == CAIRO_STATUS_SUCCESS) {
        cairo_surface_flush(s);
        fill_pixels(s, rgb, width, height);
        cairo_save(cr);
        cairo_translate(cr, box.x, box.y);
        cairo_scale(cr, box.w / width, box.h / height);
        cairo_set_source_surface(cr, s, 0, 0);
        cairo_pattern_t *p = cairo_get_source(cr);
        cairo_pattern_set_filter(p, box.w >= 2.0 * width ? CAIRO_FILTER_NEAREST
                                                         : CAIRO_FILTER_GOOD);
        cairo_pattern_set_extend(p, CAIRO_EXTEND_PAD); /* no edge that fades */
        cairo_rectangle(cr, 0, 0, width, height);
        cairo_fill(cr);
        cairo_restore(cr);
    }
    cairo_surface_destroy(s);
}

/* --- PNG ------------------------------------------------------------------------------ */

static cairo_status_t write_some(void *closure, const unsigned char *bytes, unsigned n)
{
    return fwrite(bytes, 1, n, closure) == n ? CAIRO_STATUS_SUCCESS : CAIRO_STATUS_WRITE_ERROR;
}

bool tlr_canvas_png(tlr_canvas *c, uint8_t **out, size_t *out_n)
{
    char *bytes = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&bytes, &n);
    if (!f)
        return false;
    bool whole = cairo_surface_write_to_png_stream(c->surface, write_some, f) ==
                 CAIRO_STATUS_SUCCESS;
    whole = fclose(f) == 0 && whole;
    if (!whole) {
        free(bytes);
        return false;
    }
    *out = (uint8_t *)bytes;
    *out_n = n;
    return true;
}

#else /* no canvas is ever made, so nothing below is reached with one */

const char *tlr_canvas_lacks(void)
{
    return "built without cairo; Debian: apt-get install libcairo2-dev, then build again";
}

tlr_canvas *tlr_canvas_create(int width, int height, const tlr_theme *theme)
{
    (void)width, (void)height, (void)theme;
    return NULL;
}

void tlr_canvas_destroy(tlr_canvas *c)
{
    (void)c;
}

double tlr_canvas_text_width(const tlr_canvas *c, double size, const char *text)
{
    (void)c, (void)size, (void)text;
    return 0;
}

void tlr_canvas_text(tlr_canvas *c, const tlr_label *label, const char *text)
{
    (void)c, (void)label, (void)text;
}

void tlr_canvas_line(tlr_canvas *c, const double *xy, size_t n, const tlr_pen *pen)
{
    (void)c, (void)xy, (void)n, (void)pen;
}

void tlr_canvas_rect(tlr_canvas *c, tlr_box box, uint32_t color)
{
    (void)c, (void)box, (void)color;
}

void tlr_canvas_dot(tlr_canvas *c, double x, double y, double radius, uint32_t color)
{
    (void)c, (void)x, (void)y, (void)radius, (void)color;
}

void tlr_canvas_image(tlr_canvas *c, const uint8_t *rgb, int width, int height, tlr_box box)
{
    (void)c, (void)rgb, (void)width, (void)height, (void)box;
}

bool tlr_canvas_png(tlr_canvas *c, uint8_t **out, size_t *out_n)
{
    (void)c, (void)out, (void)out_n;
    return false;
}
#endif
