/* draw_tiles.c: photographs in a grid, what is known of each below it. */
#include "draw_pictures.h"
#include "draw_scale.h"

#include <math.h>

enum {
    WIDTH = 1600, MARGIN = 40, TOP = 96, GAP = 24, LINE_H = 36, BELOW = 30
};

static int lines_of(const tlr_tile *tiles, size_t n)
{
    int most = 0;
    for (size_t i = 0; i < n; ++i)
        for (int k = 0; k < TLR_TILE_LINES && tiles[i].line[k]; ++k)
            most = k + 1 > most ? k + 1 : most;
    return most;
}

/* The picture whole, as large as fits, in the middle of a square. */
static tlr_box place(const tlr_tile *t, double x, double y, double side)
{
    double scale = fmin(side / t->width, side / t->height);
    double w = scale * t->width, h = scale * t->height;
    return (tlr_box){ x + (side - w) / 2, y + (side - h) / 2, w, h };
}

static void draw_tile(tlr_canvas *s, const tlr_tile *t, double x, double y, double side)
{
    tlr_canvas_rect(s, (tlr_box){ x, y, side, side }, s->theme->grid);
    tlr_canvas_image(s, t->rgb, t->width, t->height, place(t, x, y, side));
    for (int k = 0; k < TLR_TILE_LINES && t->line[k]; ++k) {
        tlr_label l = { x, y + side + 36 + k * LINE_H, 0, 0, side,
                        k == 0 ? s->theme->text : s->theme->muted };
        tlr_canvas_text(s, &l, t->line[k]);
    }
}

tlr_canvas *tlr_draw_tiles(const char *title, const tlr_tile *tiles, size_t n, int columns,
                           const tlr_theme *theme)
{
    int rows = ((int)n + columns - 1) / columns;
    double side = floor((WIDTH - 2.0 * MARGIN - GAP * (columns - 1)) / columns);
    double step = side + LINE_H * lines_of(tiles, n) + BELOW;
    tlr_canvas *s = tlr_canvas_create(WIDTH, TOP + (int)(rows * step) + 10, theme);
    if (!s)
        return NULL;
    tlr_label l = { MARGIN, 28 + TLR_TITLE_PX, 0, TLR_TITLE_PX, WIDTH - 2 * MARGIN, theme->text };
    tlr_canvas_text(s, &l, title);
    for (size_t i = 0; i < n; ++i)
        draw_tile(s, &tiles[i], MARGIN + (double)(i % (size_t)columns) * (side + GAP),
                  TOP + (double)(i / (size_t)columns) * step, side);
    return s;
}
