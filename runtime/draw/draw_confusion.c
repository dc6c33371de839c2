/* draw_confusion.c: what is taken for what.
 *
 * A cell's shade is the root of its share of the row, so that a few errors are seen beside
 * hundreds of right answers; the diagonal and the errors have different colours.
 */
#include "draw_pictures.h"
#include "draw_scale.h"

#include "tlb_options.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    CELL = 80, WIDE_CELL = 150, MARGIN = 40, TITLE_H = 130, HEAD_H = 44, MOST_NAME = 420,
    RECALL_W = 130, SPACE = 14, LEAST_W = 720, PAIR_H = 52, PAIRS_W = 1600, BLUE = 0, ORANGE = 1
};

#define LEAST_SHADE 0.15 /* one error in thousands is still seen */

int64_t tlr_row_sum(const int64_t *counts, size_t n_classes, size_t row)
{
    int64_t sum = 0;
    for (size_t k = 0; k < n_classes; ++k)
        sum += counts[row * n_classes + k];
    return sum;
}

size_t tlr_find_confused(const int64_t *counts, size_t n_classes,
                         tlr_confused top[TLR_MOST_PAIRS])
{
    size_t n = 0;
    for (size_t i = 0; i < n_classes * n_classes; ++i) {
        const tlr_confused c = { i / n_classes, i % n_classes, counts[i] };
        size_t at = n;
        if (c.label == c.predicted || c.count <= 0)
            continue;
        while (at > 0 && top[at - 1].count < c.count)
            --at;
        if (at == TLR_MOST_PAIRS)
            continue;
        n += n < TLR_MOST_PAIRS;
        memmove(&top[at + 1], &top[at], (n - 1 - at) * sizeof *top);
        top[at] = c;
    }
    return n;
}

static void write_title(tlr_canvas *s, const char *title, const char *below)
{
    tlr_label l = { MARGIN, 28 + TLR_TITLE_PX, 0, TLR_TITLE_PX, s->width - 2 * MARGIN,
                    s->theme->text };
    tlr_canvas_text(s, &l, title);
    l.y += 42;
    l.size = 0;
    l.color = s->theme->muted;
    tlr_canvas_text(s, &l, below);
}

/* --- the matrix ----------------------------------------------------------------------- */

typedef struct matrix {
    const int64_t *counts;
    const char *const *names;
    size_t n;
    double x, y, cell;        /* of the cells; their width */
    bool numbered;            /* columns show numbers, since names do not fit */
} matrix;

static double widest(const tlr_canvas *s, const char *const *names, size_t n)
{
    double most = 0;
    for (size_t i = 0; i < n; ++i)
        most = fmax(most, tlr_canvas_text_width(s, TLR_TEXT_PX, names[i]));
    return most;
}

/* A count that fits its cell: 98,765 or 12k. */
static void cell_text(const tlr_canvas *s, char buf[32], int64_t n, double most)
{
    static const char *const units[] = { "k", "M", "G", "T", "P", "E" };
    double x = (double)n;
    tlb_show_count(buf, n);
    for (int u = 0; u < 6 && tlr_canvas_text_width(s, TLR_TEXT_PX, buf) > most; ++u) {
        x /= 1000;
        snprintf(buf, 32, "%.0f%s", x, units[u]);
    }
}

static void draw_cell(tlr_canvas *s, const matrix *m, size_t row, size_t col, int64_t sum)
{
    int64_t count = m->counts[row * m->n + col];
    double share = count > 0 ? fmax(sqrt((double)count / (double)sum), LEAST_SHADE) : 0;
    uint32_t hue = s->theme->series[row == col ? BLUE : ORANGE];
    uint32_t ground = tlr_mix(s->theme->ground, hue, share);
    char text[32];
    tlr_box b = { m->x + (double)col * m->cell, m->y + (double)row * CELL, m->cell, CELL };
    tlr_canvas_rect(s, b, s->theme->grid);
    tlr_canvas_rect(s, (tlr_box){ b.x + 1, b.y + 1, b.w - 2, b.h - 2 }, ground);
    if (count == 0 && m->n > 10)
        return; /* the many zeros of a large matrix would hide what is not */
    cell_text(s, text, count, m->cell - 8);
    tlr_label l = { b.x + b.w / 2, b.y + CELL / 2 + 9, 0.5, 0, 0,
                    count ? tlr_ink_on(ground) : s->theme->muted };
    tlr_canvas_text(s, &l, text);
}

static void draw_head(tlr_canvas *s, const matrix *m)
{
    for (size_t i = 0; i < m->n; ++i) {
        char number[24];
        snprintf(number, sizeof number, "%zu", i + 1);
        tlr_label l = { m->x + ((double)i + 0.5) * m->cell, m->y - SPACE, 0.5, 0, m->cell - 4,
                        s->theme->text };
        tlr_canvas_text(s, &l, m->numbered ? number : m->names[i]);
    }
    tlr_label l = { m->x + (double)m->n * m->cell + SPACE, m->y - SPACE, 0, 0, 0, s->theme->muted };
    tlr_canvas_text(s, &l, "recall");
}

static void draw_row(tlr_canvas *s, const matrix *m, size_t i)
{
    int64_t sum = tlr_row_sum(m->counts, m->n, i);
    char text[32];
    double y = m->y + (double)i * CELL + CELL / 2 + 9, name_end = m->x - SPACE;
    if (m->numbered) {
        snprintf(text, sizeof text, "%zu", i + 1);
        tlr_label l = { name_end, y, 1, 0, 0, s->theme->text };
        tlr_canvas_text(s, &l, text);
        name_end -= 48;
    }
    tlr_label name = { name_end, y, 1, 0, MOST_NAME, s->theme->text };
    tlr_canvas_text(s, &name, m->names[i]);
    for (size_t k = 0; k < m->n; ++k)
        draw_cell(s, m, i, k, sum);
    if (sum == 0)
        return;
    tlb_show_percent(text, (double)m->counts[i * m->n + i] / (double)sum);
    tlr_label l = { m->x + (double)m->n * m->cell + SPACE, y, 0, 0, 0, s->theme->muted };
    tlr_canvas_text(s, &l, text);
}

static void settle(matrix *m, const tlr_canvas *s)
{
    double name = widest(s, m->names, m->n);
    m->cell = CELL;
    if (m->n <= 10 && name + 16 > CELL)
        m->cell = fmin(name + 16, WIDE_CELL);
    m->numbered = name + 8 > m->cell;
    m->x = MARGIN + fmin(name, MOST_NAME) + SPACE + (m->numbered ? 48 : 0);
    m->y = TITLE_H + HEAD_H;
}

static tlr_canvas *draw_matrix(matrix *m, const tlr_theme *theme)
{
    tlr_canvas *probe = tlr_canvas_create(8, 8, theme); /* to measure text by */
    if (!probe)
        return NULL;
    settle(m, probe);
    tlr_canvas_destroy(probe);
    double width = m->x + (double)m->n * m->cell + SPACE + RECALL_W;
    tlr_canvas *s = tlr_canvas_create((int)fmax(ceil(width) + 10, LEAST_W),
                                      (int)(m->y + (double)m->n * CELL) + MARGIN, theme);
    if (!s)
        return NULL;
    write_title(s, "Confusion", "rows: true class; columns: predicted");
    draw_head(s, m);
    for (size_t i = 0; i < m->n; ++i)
        draw_row(s, m, i);
    return s;
}

/* --- the commonest pairs -------------------------------------------------------------- */

static void draw_pair(tlr_canvas *s, const tlr_confused *c, const char *const *names,
                      int64_t of, double most, double y)
{
    enum { NAME_W = 500, BAR_X = 2 * NAME_W + 100, BAR_W = 250 };
    char text[96], count[2][32];
    tlr_label l = { MARGIN, y + 30, 0, 0, NAME_W, s->theme->text };
    tlr_canvas_text(s, &l, names[c->label]);
    l.x += NAME_W + 30;
    tlr_canvas_text(s, &l, names[c->predicted]);
    double w = BAR_W * (double)c->count / most;
    tlr_canvas_rect(s, (tlr_box){ BAR_X, y + 6, w, PAIR_H - 20 }, s->theme->series[ORANGE]);
    snprintf(text, sizeof text, "%s of %s", tlb_show_count(count[0], c->count),
             tlb_show_count(count[1], of));
    tlr_label right = { BAR_X + w + SPACE, y + 30, 0, 0, PAIRS_W - 20 - (BAR_X + w + SPACE),
                        s->theme->text };
    tlr_canvas_text(s, &right, text);
}

static tlr_canvas *draw_pairs(const int64_t *counts, const char *const *names, size_t n_classes,
                              const tlr_theme *theme)
{
    tlr_confused top[TLR_MOST_PAIRS];
    size_t n = tlr_find_confused(counts, n_classes, top);
    tlr_canvas *s = tlr_canvas_create(PAIRS_W, TITLE_H + HEAD_H + (int)n * PAIR_H + 30, theme);
    if (!s)
        return NULL;
    write_title(s, n ? "Commonest confusions" : "No confusions",
                "bars: pictures of the true class that were taken for the other");
    tlr_label l = { MARGIN, TITLE_H + 30, 0, 0, 0, theme->muted };
    tlr_canvas_text(s, &l, n ? "true" : "");
    l.x += 530;
    tlr_canvas_text(s, &l, n ? "predicted" : "");
    for (size_t i = 0; i < n; ++i)
        draw_pair(s, &top[i], names, tlr_row_sum(counts, n_classes, top[i].label),
                  (double)top[0].count, TITLE_H + HEAD_H + (double)i * PAIR_H);
    return s;
}

tlr_canvas *tlr_draw_confusion(const int64_t *counts, const char *const *names, size_t n_classes,
                               const tlr_theme *theme)
{
    matrix m = { counts, names, n_classes, 0, 0, 0, false };
    return n_classes <= TLR_MOST_CELLS ? draw_matrix(&m, theme)
                                       : draw_pairs(counts, names, n_classes, theme);
}
