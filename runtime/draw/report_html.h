/* report_html.h: report.html, one file: no script, nothing remote, light and dark by
 * prefers-color-scheme, pictures inside as data URIs. */
#ifndef TLR_REPORT_HTML_H
#define TLR_REPORT_HTML_H

#include "report_record.h"

#include <stdio.h>

typedef struct tlr_bytes { uint8_t *bytes; size_t n; } tlr_bytes; /* bytes NULL: none */

typedef struct tlr_figure {   /* a drawing, once for each ground */
    tlr_bytes light, dark;    /* PNG */
    int width, height;        /* in pixels; shown at half of it */
} tlr_figure;

typedef struct tlr_thumb {    /* a photograph; its tile has the texts */
    tlr_bytes file;
    const char *type;         /* "image/png" */
    const tlr_tile *tile;
} tlr_thumb;

typedef struct tlr_page {
    const tlr_record *record;
    tlr_figure curves, confusion;
    const tlr_thumb *worst, *preview;
    size_t n_worst, n_preview;
    const char *lacks;        /* why there are no pictures; NULL */
} tlr_page;

enum { TLR_MOST_PAGE_BYTES = 2 << 20 };

/* Write the page.  Photographs that would take it over TLR_MOST_PAGE_BYTES are left out, and
 * the page says so. */
void tlr_page_print(FILE *out, const tlr_page *page);

/* What a run came to, as sentences, each in a paragraph (report_verdict.c). */
void tlr_verdict_print(FILE *out, const tlr_record *r);
/* "98.7 % right", or what ended it: the page's heading. */
void tlr_verdict_title(char *buf, size_t cap, const tlr_record *r);

/* Text from anywhere into HTML: escapes of tlb_escape.h, then & < > " '. */
void tlr_html_text(FILE *out, const char *text);

#endif
