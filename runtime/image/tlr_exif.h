/* tlr_exif.h: the orientation a camera noted; internal to runtime/image. */
#ifndef TLR_EXIF_H
#define TLR_EXIF_H

#include "tlr_image.h"

int tlr_exif_of_jpeg(const uint8_t *bytes, size_t n); /* 1 to 8; 0: none noted */
int tlr_exif_of_png(const uint8_t *bytes, size_t n);

/* Turn the picture so that it stands as orientation 1. E_LIMIT: out of memory, *p as it was. */
tlb_status tlr_exif_apply(tlr_rgb *p, int orientation);
#endif
