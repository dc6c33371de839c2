/* draw_canvas.h: a sheet to draw on, and its PNG.
 *
 * The only file that knows cairo is draw_canvas.c; built without it (TLR_HAVE_CAIRO not defined)
 * no canvas can be made and tlr_canvas_lacks says why.  Text may be any bytes: it is escaped
 * here (tlb_escape.h), and a letter that the font lacks is shown as `\u{HEX}`, so a caller
 * cannot forget to.  Sizes are for a picture shown at half its pixels.
 */
#ifndef TLR_DRAW_CANVAS_H
#define TLR_DRAW_CANVAS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TLR_SERIES = 5 };
enum { TLR_TEXT_PX = 26, TLR_TITLE_PX = 32, TLR_LINE_PX = 4 };

typedef struct tlr_theme { /* colours 0xRRGGBB: text over 6.3:1, series 3.4:1 on the ground */
    uint32_t ground, text, muted, grid, series[TLR_SERIES];
} tlr_theme;

extern const tlr_theme tlr_theme_light, tlr_theme_dark;

typedef struct tlr_canvas {
    int width, height;
    const tlr_theme *theme;
    void *surface, *context; /* cairo's */
} tlr_canvas;

typedef struct tlr_box { double x, y, w, h; } tlr_box;

typedef struct tlr_pen {
    uint32_t color;
    double width;
    int dash;                /* a series' number; 0: solid */
} tlr_pen;

typedef struct tlr_label {
    double x, y;             /* of the baseline at the anchor */
    double anchor;           /* 0 left, 0.5 centre, 1 right */
    double size;             /* 0: TLR_TEXT_PX */
    double most;             /* width; a longer text keeps head and tail; 0: any */
    uint32_t color;
} tlr_label;

/* Why nothing can be drawn: static text; NULL: all is there. */
const char *tlr_canvas_lacks(void);

/* A sheet in the theme's ground colour; NULL: no memory, or tlr_canvas_lacks. */
tlr_canvas *tlr_canvas_create(int width, int height, const tlr_theme *theme);
void tlr_canvas_destroy(tlr_canvas *c); /* NULL is allowed */

double tlr_canvas_text_width(const tlr_canvas *c, double size, const char *text);
void tlr_canvas_text(tlr_canvas *c, const tlr_label *label, const char *text);
/* A line through n points x, y, x, y ...; one point is not seen. */
void tlr_canvas_line(tlr_canvas *c, const double *xy, size_t n, const tlr_pen *pen);
void tlr_canvas_rect(tlr_canvas *c, tlr_box box, uint32_t color);
void tlr_canvas_dot(tlr_canvas *c, double x, double y, double radius, uint32_t color);
/* 8-bit RGB, scaled to fill the box; pixels stay sharp where they are much enlarged. */
void tlr_canvas_image(tlr_canvas *c, const uint8_t *rgb, int width, int height, tlr_box box);
/* The sheet as PNG bytes; free().  False: no memory. */
bool tlr_canvas_png(tlr_canvas *c, uint8_t **out, size_t *out_n);

#endif
