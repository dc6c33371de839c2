/* tlr_resize.h: part of a resized picture; internal to runtime/infer. */
#ifndef TLR_RESIZE_H
#define TLR_RESIZE_H

#include "tlr.h"

/* Of the picture resized to out_w x out_h, the rows and columns wanted: nothing else is computed,
 * so that a thin, long picture costs no more than a square one. */
typedef struct tlr_window {
    int src_w, src_h;
    int64_t out_w, out_h;
    int64_t x0, y0;
    int cols, rows;
} tlr_window;

/* Most source pixels that one output pixel reads, of `in` pixels made `out`. */
int tlr_resize_taps(int in, int64_t out);

/* Bytes of scratch for `cols` columns made with these numbers of taps across and down, from at
 * most `read` source columns. */
size_t tlr_window_scratch_bytes(int cols, int taps_x, int taps_y, int read);

/* dst: row y of the window begins at dst + y*dst_stride. scratch: 16-byte aligned. */
void tlr_resize_window(const tlr_window *w, const tlr_picture *src, uint8_t *dst,
                       ptrdiff_t dst_stride, void *scratch);
#endif
