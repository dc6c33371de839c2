/* report.h: the pictures and report.html of a run folder. */
#ifndef TLR_REPORT_H
#define TLR_REPORT_H

#include "report_html.h"

#include "tlb_options.h"

/**
 * Draw curves, confusion, worst and preview .png of the run folder `run` and write report.html,
 * all from what lies there and the photographs that it names.  What cannot be drawn is a
 * warning, and no older picture of it is left; a file that cannot be read or written is a
 * warning too, unless the command is `report`.
 * returns  TLB_OK; else what went wrong, which has been said.
 */
tlb_status tlr_report_write(const tlb_args *a, const char *run);

/* --- report_photos.c: photographs as the network sees them ---------------------------- */

/* A photograph's tile with `n` lines of text, copied; false: cannot be read. */
bool tlr_tile_load(const tlb_args *a, bool exif, const char *path, tlr_tile *out);
bool tlr_tile_say(tlr_tile *t, int line, const char *before, const char *text);
void tlr_tiles_free(tlr_tile *tiles, size_t n);
/* The tile's picture as a small file; false: no memory. */
bool tlr_thumb_make(const tlr_tile *tile, tlr_thumb *out);

/* The most wrong of predictions.jsonl, by loss, at most TLR_MOST_WORST; those that cannot be
 * read are counted in *unread. */
tlb_status tlr_load_worst(const tlb_args *a, const tlr_record *r, tlr_tile *tiles, size_t *out_n,
                          size_t *unread, const char **what);
/* `list`: [{path, label}], as data.preview of run.json. */
void tlr_load_preview(const tlb_args *a, const json_t *list, bool exif, tlr_tile *tiles,
                      size_t *out_n, size_t *unread);

#endif
