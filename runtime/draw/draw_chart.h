/* draw_chart.h: lines over one axis each way, labelled at their ends instead of by a legend. */
#ifndef TLR_DRAW_CHART_H
#define TLR_DRAW_CHART_H

#include "draw_canvas.h"

enum { TLR_MOST_LINES = 12 };

typedef struct tlr_line {
    const double *x, *y;      /* y NaN: a gap */
    size_t n;
    uint32_t color;
    int dash;
    const char *name, *value; /* at the line's end; value may be NULL */
} tlr_line;

typedef struct tlr_chart {
    tlr_box box;              /* all of it: title, axes, labels */
    const char *title, *x_title;
    bool percent;             /* y is a share: the axis ends at 100 % at the latest */
    bool from_zero;           /* the y axis begins at 0 */
    bool x_from_zero;         /* and the x axis */
    bool whole_x;             /* x counts: no tick between whole numbers */
    bool plain;               /* no labels at line ends, fewer ticks: one of many small charts */
    tlr_line line[TLR_MOST_LINES];
    int n_lines;
    double mark_x;            /* a vertical line there, and a ring on line mark_line; NaN: none */
    int mark_line;
    const char *mark;         /* its text */
} tlr_chart;

void tlr_chart_draw(tlr_canvas *c, const tlr_chart *chart);

#endif
