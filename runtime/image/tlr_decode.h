/* tlr_decode.h: one decoder for each kind of file; internal to runtime/image. */
#ifndef TLR_DECODE_H
#define TLR_DECODE_H

#include "tlr_image.h"

/* out NULL: read the header alone.  *width, *height are set as soon as they are known. */
tlb_status tlr_decode_jpeg(const uint8_t *bytes, size_t n, const tlb_limits *limits, tlr_rgb *out,
                           int *width, int *height, tlr_image_note *note);
tlb_status tlr_decode_png(const uint8_t *bytes, size_t n, const tlb_limits *limits, tlr_rgb *out,
                          int *width, int *height, tlr_image_note *note);

/* Hold a size from a header against 0 and the limits. */
tlb_status tlr_check_size(uint64_t w, uint64_t h, const tlb_limits *limits, tlr_image_note *note);
#endif
