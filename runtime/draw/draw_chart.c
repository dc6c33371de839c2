/* draw_chart.c: from data to pixels.  The frame (plot area and ranges) is settled first: the
 * widths of tick and line labels decide it, so no label is ever cut or overlaps the plot. */
#include "draw_chart.h"

#include "draw_scale.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    TITLE_H = 44, MARK_H = 40, TICK_H = 40, AXIS_TITLE_H = 40, LABEL_GAP = 34, SWATCH = 44,
    SPACE = 12, MOST_DOTS = 30
};

#define LEAST_SHARES 0.05 /* of a y axis of shares */

typedef struct frame {
    tlr_box plot;
    double x_lo, x_hi, y_lo, y_hi;
    double x_first, x_last;  /* of the data */
    tlr_ticks x_ticks, y_ticks;
} frame;

/* --- ranges --------------------------------------------------------------------------- */

static void widen(double v, double *lo, double *hi)
{
    if (!isfinite(v))
        return;
    *lo = fmin(*lo, v);
    *hi = fmax(*hi, v);
}

static void find_x_range(const tlr_chart *c, frame *f)
{
    f->x_lo = INFINITY;
    f->x_hi = -INFINITY;
    for (int i = 0; i < c->n_lines; ++i)
        for (size_t k = 0; k < c->line[i].n; ++k)
            widen(c->line[i].x[k], &f->x_lo, &f->x_hi);
    if (!(f->x_lo <= f->x_hi))
        f->x_lo = f->x_hi = 1;
    if (c->x_from_zero)
        f->x_lo = fmin(0, f->x_lo);
    f->x_first = f->x_lo;
    f->x_last = f->x_hi;
    if (f->x_lo == f->x_hi) { /* one point lies in the middle */
        f->x_lo -= 1;
        f->x_hi += 1;
    }
}

/* To whole steps on both sides, so that the data keeps clear of the edges. */
static void find_y_range(const tlr_chart *c, frame *f)
{
    double lo = INFINITY, hi = -INFINITY;
    int most = c->plain ? 4 : 7;
    for (int i = 0; i < c->n_lines; ++i)
        for (size_t k = 0; k < c->line[i].n; ++k)
            widen(c->line[i].y[k], &lo, &hi);
    if (!(lo <= hi))
        lo = 0, hi = 1;
    if (c->from_zero)
        lo = fmin(0, lo);
    if (c->percent && hi - lo < LEAST_SHARES) { /* a few pictures are not to look like much */
        hi = fmin(1, (lo + hi + LEAST_SHARES) / 2);
        lo = hi - LEAST_SHARES;
    } else if (hi - lo < 1e-9 * fmax(1, fabs(hi))) {
        lo -= 1;
        hi += 1;
    }
    double step = tlr_ticks_make(lo, hi, most - 1, 0).step;
    f->y_lo = floor(lo / step + 1e-9) * step;
    f->y_hi = ceil(hi / step - 1e-9) * step;
    if (c->percent) {
        f->y_lo = fmax(0, f->y_lo);
        f->y_hi = fmin(1, f->y_hi);
    }
    f->y_ticks = tlr_ticks_make(f->y_lo, f->y_hi, most, 0);
}

/* --- texts ---------------------------------------------------------------------------- */

static void tick_text(char buf[32], double v, const tlr_ticks *t, bool percent)
{
    int decimals = percent ? t->decimals - 2 : t->decimals;
    if (!percent && fabs(v) >= 1e6)
        snprintf(buf, 32, "%.3g", v);
    else
        snprintf(buf, 32, percent ? "%.*f %%" : "%.*f", decimals > 0 ? decimals : 0,
                 percent ? 100 * v : v);
}

static double ticks_width(const tlr_canvas *s, const tlr_ticks *t, bool percent)
{
    char text[32];
    double most = 0;
    for (int i = 0; i < t->n; ++i) {
        tick_text(text, t->at[i], t, percent);
        most = fmax(most, tlr_canvas_text_width(s, TLR_TEXT_PX, text));
    }
    return most;
}

/* "train 0.0213" */
static void line_text(char *buf, size_t cap, const tlr_line *l)
{
    snprintf(buf, cap, "%s%s%s", l->name, l->value ? "  " : "", l->value ? l->value : "");
}

/* Room to the right of the plot: swatch and text, at most 40 % of the chart. */
static double labels_width(const tlr_canvas *s, const tlr_chart *c)
{
    char text[512];
    double most = 0;
    for (int i = 0; i < c->n_lines && !c->plain; ++i) {
        line_text(text, sizeof text, &c->line[i]);
        most = fmax(most, SPACE + SWATCH + SPACE + tlr_canvas_text_width(s, TLR_TEXT_PX, text));
    }
    return fmin(most, 0.4 * c->box.w);
}

/* --- the frame ------------------------------------------------------------------------ */

static frame make_frame(const tlr_canvas *s, const tlr_chart *c)
{
    frame f;
    find_x_range(c, &f);
    find_y_range(c, &f);
    double left = ticks_width(s, &f.y_ticks, c->percent) + SPACE;
    double top = TITLE_H + (c->mark ? MARK_H : 2 * SPACE);
    double bottom = TICK_H + (c->x_title ? AXIS_TITLE_H : 0);
    double right = fmax(labels_width(s, c), 2 * SPACE);
    f.plot = (tlr_box){ c->box.x + left, c->box.y + top, c->box.w - left - right,
                        c->box.h - top - bottom };
    f.x_ticks = tlr_ticks_make(f.x_lo, f.x_hi, (int)(f.plot.w / 90), c->whole_x ? 1 : 0);
    return f;
}

static double x_at(const frame *f, double x)
{
    return f->plot.x + f->plot.w * (x - f->x_lo) / (f->x_hi - f->x_lo);
}

static double y_at(const frame *f, double y)
{
    return f->plot.y + f->plot.h * (1 - (y - f->y_lo) / (f->y_hi - f->y_lo));
}

static void draw_title(tlr_canvas *s, const tlr_chart *c)
{
    tlr_label l = { c->box.x, c->box.y + TLR_TITLE_PX, 0, c->plain ? TLR_TEXT_PX : TLR_TITLE_PX,
                    c->box.w, s->theme->text };
    tlr_canvas_text(s, &l, c->title);
}

static void draw_y_axis(tlr_canvas *s, const tlr_chart *c, const frame *f)
{
    const tlr_pen pen = { s->theme->grid, 2, 0 };
    for (int i = 0; i < f->y_ticks.n; ++i) {
        char text[32];
        double y = y_at(f, f->y_ticks.at[i]);
        const double xy[] = { f->plot.x, y, f->plot.x + f->plot.w, y };
        tlr_canvas_line(s, xy, 2, &pen);
        tick_text(text, f->y_ticks.at[i], &f->y_ticks, c->percent);
        tlr_label l = { f->plot.x - SPACE, y + 9, 1, 0, 0, s->theme->muted };
        tlr_canvas_text(s, &l, text);
    }
}

static void draw_x_tick(tlr_canvas *s, const frame *f, double v)
{
    char text[32];
    tick_text(text, v, &f->x_ticks, false);
    tlr_label l = { x_at(f, v), f->plot.y + f->plot.h + 36, 0.5, 0, 0, s->theme->muted };
    tlr_canvas_text(s, &l, text);
}

/* What is counted has its first number too, where it keeps clear of the round ones. */
static void draw_x_axis(tlr_canvas *s, const tlr_chart *c, const frame *f)
{
    double bottom = f->plot.y + f->plot.h, next = INFINITY;
    for (int i = f->x_ticks.n - 1; i >= 0; --i) {
        double v = f->x_ticks.at[i];
        if (c->whole_x && (v < f->x_first || v > f->x_last))
            continue;
        draw_x_tick(s, f, v);
        next = v;
    }
    if (c->whole_x && x_at(f, next) - x_at(f, f->x_first) > 50)
        draw_x_tick(s, f, f->x_first);
    if (!c->x_title)
        return;
    tlr_label l = { f->plot.x + f->plot.w / 2, bottom + TICK_H + 32, 0.5, 0, 0, s->theme->muted };
    tlr_canvas_text(s, &l, c->x_title);
}

/* --- lines ---------------------------------------------------------------------------- */

/* From `at`, the points up to a gap, in pixels. */
static size_t run_of(const frame *f, const tlr_line *l, size_t at, double *xy)
{
    size_t n = 0;
    for (; at < l->n && isfinite(l->y[at]); ++at, ++n) {
        xy[2 * n] = x_at(f, l->x[at]);
        xy[2 * n + 1] = y_at(f, l->y[at]);
    }
    return n;
}

static void draw_line(tlr_canvas *s, const frame *f, const tlr_line *l, bool plain)
{
    double *xy = calloc(2 * l->n + 1, sizeof *xy);
    const tlr_pen pen = { l->color, TLR_LINE_PX, l->dash };
    for (size_t at = 0; xy && at < l->n; ++at) {
        size_t n = run_of(f, l, at, xy);
        tlr_canvas_line(s, xy, n, &pen);
        for (size_t i = 0; i < n && ((l->n <= MOST_DOTS && !plain) || n == 1); ++i)
            tlr_canvas_dot(s, xy[2 * i], xy[2 * i + 1], 6, l->color);
        at += n;
    }
    free(xy);
}

/* The last point that is there; NaN: none. */
static double last_y(const tlr_line *l)
{
    size_t n = l->n;
    while (n > 0 && !isfinite(l->y[n - 1]))
        --n;
    return n > 0 ? l->y[n - 1] : NAN;
}

static void draw_label(tlr_canvas *s, const tlr_chart *c, const frame *f, const tlr_line *l,
                       double y)
{
    char text[512];
    const tlr_pen pen = { l->color, TLR_LINE_PX, l->dash };
    double x = f->plot.x + f->plot.w + SPACE;
    const double swatch[] = { x, y, x + SWATCH, y };
    tlr_canvas_line(s, swatch, 2, &pen);
    line_text(text, sizeof text, l);
    x += SWATCH + SPACE;
    tlr_label label = { x, y + 9, 0, 0, c->box.x + c->box.w - x, s->theme->text };
    tlr_canvas_text(s, &label, text);
}

static void draw_labels(tlr_canvas *s, const tlr_chart *c, const frame *f)
{
    double y[TLR_MOST_LINES];
    size_t n = 0, of[TLR_MOST_LINES];
    for (int i = 0; i < c->n_lines; ++i)
        if (isfinite(last_y(&c->line[i]))) {
            of[n] = (size_t)i;
            y[n++] = y_at(f, last_y(&c->line[i]));
        }
    tlr_spread(y, n, LABEL_GAP, f->plot.y + 8, f->plot.y + f->plot.h - 8);
    for (size_t i = 0; i < n; ++i)
        draw_label(s, c, f, &c->line[of[i]], y[i]);
}

/* --- the mark ------------------------------------------------------------------------- */

static double y_on(const tlr_line *l, double x)
{
    for (size_t i = 0; i < l->n; ++i)
        if (l->x[i] == x)
            return l->y[i];
    return NAN;
}

static void draw_mark_line(tlr_canvas *s, const tlr_chart *c, const frame *f)
{
    double x = x_at(f, c->mark_x);
    const double xy[] = { x, f->plot.y - 4, x, f->plot.y + f->plot.h };
    const tlr_pen pen = { s->theme->muted, 2, 2 };
    tlr_canvas_line(s, xy, 2, &pen);
    double half = tlr_canvas_text_width(s, TLR_TEXT_PX, c->mark) / 2;
    double middle = fmax(fmin(x, c->box.x + c->box.w - half), f->plot.x + half);
    tlr_label l = { middle, f->plot.y - 14, 0.5, 0, 0, s->theme->text };
    tlr_canvas_text(s, &l, c->mark);
}

static void draw_mark_ring(tlr_canvas *s, const tlr_chart *c, const frame *f)
{
    const tlr_line *l = &c->line[c->mark_line];
    double y = y_on(l, c->mark_x);
    if (!isfinite(y))
        return;
    tlr_canvas_dot(s, x_at(f, c->mark_x), y_at(f, y), 13, l->color);
    tlr_canvas_dot(s, x_at(f, c->mark_x), y_at(f, y), 8, s->theme->ground);
}

void tlr_chart_draw(tlr_canvas *s, const tlr_chart *c)
{
    frame f = make_frame(s, c);
    bool marked = c->mark && isfinite(c->mark_x);
    draw_title(s, c);
    draw_y_axis(s, c, &f);
    draw_x_axis(s, c, &f);
    if (marked)
        draw_mark_line(s, c, &f);
    for (int i = 0; i < c->n_lines; ++i)
        draw_line(s, &f, &c->line[i], c->plain);
    if (marked)
        draw_mark_ring(s, c, &f);
    if (!c->plain)
        draw_labels(s, c, &f);
}
