/* cli_compare_draw.c: compare.png: accuracy by epoch and by time above, intervals and costs of
 * each run in a row below.  Over five runs a line each would tangle: then each has a small chart
 * of its own, the others gray in it. */
#include "cli_compare.h"

#include "draw_chart.h"
#include "draw_scale.h"

#include "tlb_options.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    WIDTH = 1600, HEIGHT = 1200, MARGIN = 40, GUTTER = 50, CHARTS_H = 650, ROWS_Y = 730,
    NAME_W = 380, COLUMN_W = 280, BAR_W = 140, SWATCH = 44, MOST_ROW_H = 84, FOOT = 70,
    MOST_RUNS = TLR_MOST_LINES, MULTIPLES = 4
};

typedef struct shown { /* the runs in the picture */
    const tlc_compared *run[MOST_RUNS];
    double *x[MOST_RUNS], *y[MOST_RUNS];
    size_t n, left_out;
} shown;

/* --- which ones ----------------------------------------------------------------------- */

static double rank_of(const tlc_compared *c)
{
    return isfinite(c->accuracy) ? c->accuracy : -1;
}

/* How many are better, or as good and given earlier. */
static size_t place_of(const tlc_compared *runs, size_t n, size_t i)
{
    size_t before = 0;
    for (size_t k = 0; k < n; ++k)
        before += rank_of(&runs[k]) > rank_of(&runs[i]) ||
                  (rank_of(&runs[k]) == rank_of(&runs[i]) && k < i);
    return before;
}

static bool choose(shown *s, const tlc_compared *runs, size_t n)
{
    *s = (shown){ .n = 0 };
    for (size_t i = 0; i < n; ++i)
        if (n <= MOST_RUNS || place_of(runs, n, i) < MOST_RUNS)
            s->run[s->n++] = &runs[i];
    s->left_out = n - s->n;
    for (size_t i = 0; i < s->n; ++i) {
        size_t epochs = s->run[i]->record.n_epochs;
        s->x[i] = calloc(2 * epochs + 1, sizeof(double));
        if (!s->x[i])
            return false;
        s->y[i] = s->x[i] + epochs;
        for (size_t k = 0; k < epochs; ++k)
            s->y[i][k] = s->run[i]->record.epochs[k].valid_accuracy;
    }
    return true;
}

static void drop(shown *s)
{
    for (size_t i = 0; i < s->n; ++i)
        free(s->x[i]);
}

/* --- lines ---------------------------------------------------------------------------- */

static void set_epochs(shown *s)
{
    for (size_t i = 0; i < s->n; ++i)
        for (size_t k = 0; k < s->run[i]->record.n_epochs; ++k)
            s->x[i][k] = (double)s->run[i]->record.epochs[k].epoch;
}

/* Seconds, minutes or hours by the longest; returns the unit's name. */
static const char *set_times(shown *s)
{
    static const struct { double seconds; const char *name; } units[] = {
        { 3600, "hours" }, { 60, "minutes" }, { 1, "seconds" },
    };
    double longest = 0;
    int u = 0;
    for (size_t i = 0; i < s->n; ++i)
        for (size_t k = 0; k < s->run[i]->record.n_epochs; ++k)
            longest = fmax(longest, s->run[i]->record.epochs[k].time_s);
    while (u < 2 && longest < 2 * units[u].seconds)
        ++u;
    for (size_t i = 0; i < s->n; ++i)
        for (size_t k = 0; k < s->run[i]->record.n_epochs; ++k)
            s->x[i][k] = s->run[i]->record.epochs[k].time_s / units[u].seconds;
    return units[u].name;
}

static tlr_line line_of(const shown *s, size_t i, uint32_t color, int dash)
{
    return (tlr_line){ s->x[i], s->y[i], s->run[i]->record.n_epochs, color, dash,
                       s->run[i]->name, NULL };
}

static void draw_lines(tlr_canvas *c, const shown *s, tlr_box box, const char *title,
                       const char *x_title, bool whole)
{
    tlr_chart chart = { .box = box, .title = title, .x_title = x_title, .percent = true,
                        .whole_x = whole, .x_from_zero = !whole, .mark_x = NAN };
    for (size_t i = 0; i < s->n; ++i)
        chart.line[chart.n_lines++] = line_of(s, i, c->theme->series[i], (int)i);
    tlr_chart_draw(c, &chart);
}

static void draw_two_charts(tlr_canvas *c, shown *s)
{
    double w = (WIDTH - 2 * MARGIN - GUTTER) / 2.0;
    set_epochs(s);
    draw_lines(c, s, (tlr_box){ MARGIN, 28, w, CHARTS_H }, "Validation accuracy by epoch",
               "epoch", true);
    const char *unit = set_times(s);
    draw_lines(c, s, (tlr_box){ MARGIN + w + GUTTER, 28, w, CHARTS_H },
               "Validation accuracy by time", unit, false);
}

/* All lines are in each small chart, so all have the same axes; its own comes last, on top. */
static void draw_multiple(tlr_canvas *c, const shown *s, size_t own, tlr_box box)
{
    tlr_chart chart = { .box = box, .title = s->run[own]->name, .percent = true, .whole_x = true,
                        .plain = true, .mark_x = NAN };
    for (size_t i = 0; i < s->n; ++i)
        if (i != own)
            chart.line[chart.n_lines++] =
                line_of(s, i, tlr_mix(c->theme->grid, c->theme->muted, 0.25), 0);
    chart.line[chart.n_lines++] = line_of(s, own, c->theme->series[0], 0);
    tlr_chart_draw(c, &chart);
}

static void draw_multiples(tlr_canvas *c, shown *s)
{
    size_t rows = (s->n + MULTIPLES - 1) / MULTIPLES;
    const double w = (WIDTH - 2.0 * MARGIN) / MULTIPLES, top = 80;
    const double h = (CHARTS_H + 28 - top) / (double)rows;
    tlr_label l = { MARGIN, 28 + TLR_TITLE_PX, 0, TLR_TITLE_PX, WIDTH - 2 * MARGIN,
                    c->theme->text };
    tlr_canvas_text(c, &l, "Validation accuracy by epoch, each run before the others in gray");
    set_epochs(s);
    for (size_t i = 0; i < s->n; ++i)
        draw_multiple(c, s, i, (tlr_box){ MARGIN + (double)(i % MULTIPLES) * w,
                                          top + (double)(i / MULTIPLES) * h, w - 20, h - 4 });
}

/* --- rows ----------------------------------------------------------------------------- */

typedef struct column {
    const char *title;
    double x;
    double (*value)(const tlc_compared *c);
    char *(*show)(char buf[32], double v);
} column;

static double seconds_of(const tlc_compared *c) { return c->seconds; }
static double trained_of(const tlc_compared *c) { return c->trained; }
static double peak_of(const tlc_compared *c) { return c->peak_bytes; }

static char *show_bytes(char buf[32], double v)
{
    return tlb_show_bytes(buf, (int64_t)v);
}

static char *show_parameters(char buf[32], double v)
{
    if (v >= 1e6)
        snprintf(buf, 32, "%.1f M", v / 1e6);
    else
        tlb_show_count(buf, (int64_t)v);
    return buf;
}

/* The middle of row i; row n is what comes below the last. */
static double row_y(const shown *s, size_t i)
{
    double h = fmin(MOST_ROW_H, (HEIGHT - FOOT - ROWS_Y - 44) / (double)s->n);
    return ROWS_Y + 44 + (i < s->n ? ((double)i + 0.5) * h : (double)s->n * h + 22);
}

static void draw_bars(tlr_canvas *c, const shown *s, const column *col)
{
    double most = 0;
    char text[32];
    tlr_label head = { col->x, ROWS_Y + 26, 0, 0, COLUMN_W - 10, c->theme->muted };
    tlr_canvas_text(c, &head, col->title);
    for (size_t i = 0; i < s->n; ++i)
        most = fmax(most, col->value(s->run[i]));
    for (size_t i = 0; i < s->n; ++i) {
        double v = col->value(s->run[i]), y = row_y(s, i);
        if (!isfinite(v))
            continue;
        double w = most > 0 ? BAR_W * v / most : 0;
        tlr_canvas_rect(c, (tlr_box){ col->x, y - 11, fmax(w, 2), 22 }, c->theme->series[0]);
        tlr_label l = { col->x + w + 12, y + 9, 0, 0, 0, c->theme->text };
        tlr_canvas_text(c, &l, col->show(text, v));
    }
}

static void draw_interval(tlr_canvas *c, const tlc_compared *r, double x, double y, double lo,
                          double hi)
{
    char text[32];
    double scale = BAR_W / (hi - lo), left = x + (r->low - lo) * scale;
    double width = fmax((r->high - r->low) * scale, 2);
    tlr_canvas_rect(c, (tlr_box){ x, y - 1, BAR_W, 2 }, c->theme->grid);
    tlr_canvas_rect(c, (tlr_box){ left, y - 2, width, 4 }, c->theme->muted);
    tlr_canvas_rect(c, (tlr_box){ left - 1, y - 11, 3, 22 }, c->theme->muted);
    tlr_canvas_rect(c, (tlr_box){ left + width - 2, y - 11, 3, 22 }, c->theme->muted);
    tlr_canvas_dot(c, x + (r->accuracy - lo) * scale, y, 8, c->theme->series[0]);
    tlr_label l = { x + BAR_W + 16, y + 9, 0, 0, 0, c->theme->text };
    tlr_canvas_text(c, &l, tlb_show_percent(text, r->accuracy));
}

static bool measured(const tlc_compared *r)
{
    return isfinite(r->accuracy) && isfinite(r->low) && isfinite(r->high);
}

/* Dots and their 95 % intervals on one scale, whose ends are written below. */
static void draw_intervals(tlr_canvas *c, const shown *s, double x)
{
    char text[64];
    double lo = 1, hi = 0;
    tlr_label l = { x, ROWS_Y + 26, 0, 0, COLUMN_W - 10, c->theme->muted };
    tlr_canvas_text(c, &l, "accuracy, 95 %");
    for (size_t i = 0; i < s->n; ++i)
        if (measured(s->run[i])) {
            lo = fmin(lo, s->run[i]->low);
            hi = fmax(hi, s->run[i]->high);
        }
    if (!(hi > lo))
        return;
    for (size_t i = 0; i < s->n; ++i)
        if (measured(s->run[i]))
            draw_interval(c, s->run[i], x, row_y(s, i), lo, hi);
    snprintf(text, sizeof text, "%.1f to %.1f %%", 100 * lo, 100 * hi);
    tlr_label range = { x, row_y(s, s->n) + 9, 0, 0, COLUMN_W, c->theme->muted };
    tlr_canvas_text(c, &range, text);
}

static void draw_names(tlr_canvas *c, const shown *s)
{
    bool keyed = s->n <= TLR_SERIES;
    for (size_t i = 0; i < s->n; ++i) {
        double x = MARGIN, y = row_y(s, i);
        if (keyed) {
            const tlr_pen pen = { c->theme->series[i], TLR_LINE_PX, (int)i };
            const double swatch[] = { x, y, x + SWATCH, y };
            tlr_canvas_line(c, swatch, 2, &pen);
            x += SWATCH + 14;
        }
        tlr_label l = { x, y + 9, 0, 0, MARGIN + NAME_W - 24 - x, c->theme->text };
        tlr_canvas_text(c, &l, s->run[i]->name);
    }
    if (s->left_out > 0) {
        char text[64];
        snprintf(text, sizeof text, "%zu more in the table", s->left_out);
        tlr_label l = { MARGIN, row_y(s, s->n) + 9, 0, 0, NAME_W, c->theme->muted };
        tlr_canvas_text(c, &l, text);
    }
}

static void draw_rows(tlr_canvas *c, const shown *s)
{
    const double x = MARGIN + NAME_W;
    const column columns[] = {
        { "time", x + COLUMN_W, seconds_of, tlb_show_time },
        { "trained parameters", x + 2 * COLUMN_W, trained_of, show_parameters },
        { "peak memory", x + 3 * COLUMN_W, peak_of, show_bytes },
    };
    draw_names(c, s);
    draw_intervals(c, s, x);
    for (int i = 0; i < 3; ++i)
        draw_bars(c, s, &columns[i]);
}

tlr_canvas *tlc_compare_draw(const tlc_compared *runs, size_t n)
{
    shown s;
    tlr_canvas *c = tlr_canvas_create(WIDTH, HEIGHT, &tlr_theme_light);
    if (choose(&s, runs, n) && c) {
        if (s.n <= TLR_SERIES)
            draw_two_charts(c, &s);
        else
            draw_multiples(c, &s);
        draw_rows(c, &s);
    }
    drop(&s);
    return c;
}
