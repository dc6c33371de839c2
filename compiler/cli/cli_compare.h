/* cli_compare.h: runs side by side: what the table and the picture share. */
#ifndef TLC_CLI_COMPARE_H
#define TLC_CLI_COMPARE_H

#include "report_record.h"

typedef struct tlc_compared {
    tlr_record record;
    const char *name;         /* the folder's own, the path where two share it */
    double accuracy, low, high; /* NaN: not measured */
    double seconds, trained, peak_bytes; /* NaN: not known */
} tlc_compared;

/* 1600x1200; NULL as in draw_pictures.h. */
tlr_canvas *tlc_compare_draw(const tlc_compared *runs, size_t n);

#endif
