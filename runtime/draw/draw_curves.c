/* draw_curves.c: is it learning, is it done, does it overfit? */
#include "draw_chart.h"
#include "draw_pictures.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { WIDTH = 1600, HEIGHT = 800, MARGIN = 40, GUTTER = 50 };

typedef struct columns { double *epoch, *y[4]; } columns;

static bool make_columns(const tlr_epoch_row *rows, size_t n, columns *c)
{
    double *all = calloc(5 * n + 1, sizeof *all);
    if (!all)
        return false;
    c->epoch = all;
    for (int k = 0; k < 4; ++k)
        c->y[k] = all + (size_t)(k + 1) * n;
    for (size_t i = 0; i < n; ++i) {
        c->epoch[i] = (double)rows[i].epoch;
        c->y[0][i] = rows[i].train_loss;
        c->y[1][i] = rows[i].valid_loss;
        c->y[2][i] = rows[i].train_accuracy;
        c->y[3][i] = rows[i].valid_accuracy;
    }
    return true;
}

static bool any_finite(const double *y, size_t n)
{
    while (n > 0)
        if (isfinite(y[--n]))
            return true;
    return false;
}

static void value_text(char buf[32], const double *y, size_t n, bool percent)
{
    while (n > 0 && !isfinite(y[n - 1]))
        --n;
    buf[0] = '\0';
    if (n > 0)
        snprintf(buf, 32, percent ? "%.1f %%" : "%.4f", percent ? 100 * y[n - 1] : y[n - 1]);
}

/* Training and validation of one measure: `first` is 0 for loss, 2 for accuracy. */
static void draw_panel(tlr_canvas *s, const columns *c, size_t n, int first, int64_t best)
{
    static const char *const names[] = { "train", "valid" };
    char value[2][32], mark[64];
    tlr_chart chart = { .title = first ? "Accuracy" : "Loss", .x_title = "epoch",
                        .percent = first != 0, .from_zero = first == 0, .whole_x = true,
                        .mark_x = best > 0 ? (double)best : NAN };
    double w = (WIDTH - 2 * MARGIN - GUTTER) / 2.0;
    chart.box = (tlr_box){ MARGIN + (first ? w + GUTTER : 0), 28, w, HEIGHT - 48 };
    for (int k = 0; k < 2; ++k) {
        const double *y = c->y[first + k];
        value_text(value[k], y, n, chart.percent);
        if (any_finite(y, n)) {
            chart.mark_line = chart.n_lines;
            chart.line[chart.n_lines++] =
                (tlr_line){ c->epoch, y, n, s->theme->series[k], k, names[k], value[k] };
        }
    }
    snprintf(mark, sizeof mark, "best: epoch %lld", (long long)best);
    chart.mark = best > 0 ? mark : NULL;
    tlr_chart_draw(s, &chart);
}

tlr_canvas *tlr_draw_curves(const tlr_epoch_row *rows, size_t n, int64_t best_epoch,
                            const tlr_theme *theme)
{
    columns c;
    tlr_canvas *s = tlr_canvas_create(WIDTH, HEIGHT, theme);
    if (!s || !make_columns(rows, n, &c)) {
        tlr_canvas_destroy(s);
        return NULL;
    }
    draw_panel(s, &c, n, 0, best_epoch);
    draw_panel(s, &c, n, 2, best_epoch);
    free(c.epoch);
    return s;
}
