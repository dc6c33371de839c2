/* fuzz_image.c: any bytes as a picture: a status, bounded memory, never a crash.  Limits are low,
 * so that time goes into headers and not into large pictures. */
#include "tlr_image.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    tlb_limits limits;
    tlr_rgb p;
    tlr_image_note note;
    int w, h;
    tlb_limits_init(&limits);
    limits.max[TLB_LIMIT_PIXELS] = 1 << 18;
    limits.max[TLB_LIMIT_PICTURE_MEMORY] = 1 << 22;
    tlb_status probed = tlr_image_probe(bytes, n, &limits, &w, &h, &note);
    tlb_status st = tlr_image_decode(bytes, n, &limits, 1, &p, &note);
    if (st == TLB_OK && (probed != TLB_OK || (int64_t)p.width * p.height != (int64_t)w * h))
        abort(); /* the probe must agree */
    if (st == TLB_OK)
        tlr_rgb_free(&p);
    else if (!note.what)
        abort();
    return 0;
}
