/* learner_file.c: a picture's file for a learner: where an image library may be linked. */
#include "tlr_image.h"
#include "tlr_train.h"

tlr_status tlr_learner_add_file(tlr_learner *l, const char *path, int label, tlr_set set)
{
    tlb_limits limits;
    tlr_rgb rgb;
    tlr_image_note note;
    if (!l || !path)
        return TLR_E_USAGE;
    tlb_limits_init(&limits);
    tlb_status st = tlr_image_load(path, &limits, 1, &rgb, &note);
    if (st != TLB_OK)
        return tlr_learner_refuse(l, (tlr_status)st, note.what);
    const tlr_picture picture = { rgb.pixels, rgb.width, rgb.height, (ptrdiff_t)rgb.width * 3,
                                  TLR_RGB };
    tlr_status added = tlr_learner_add(l, &picture, label, set);
    tlr_rgb_free(&rgb);
    return added;
}
