/* trainer_augment.h: training pictures changed at random, as torchvision's RandomResizedCrop,
 * RandomHorizontalFlip and ColorJitter do on Pillow images, in this order.
 *
 * What is drawn depends on seed, view and the picture's place in the list alone (semantics: random
 * numbers, purpose 4), so that threads and interruptions do not matter. */
#ifndef TRAINER_AUGMENT_H
#define TRAINER_AUGMENT_H

#include "tlr_cli.h"

typedef struct trainer_augment {
    bool flip;  /* left to right, every second one */
    bool crop;  /* a part of 8 to 100 % of the area, 3:4 to 4:3, made the input's size */
    bool color; /* brightness, contrast, saturation times 0.6 to 1.4, hue +- 0.1 */
} trainer_augment;

typedef enum trainer_jitter { JITTER_BRIGHTNESS, JITTER_CONTRAST, JITTER_SATURATION, JITTER_HUE,
                              N_JITTERS } trainer_jitter;

typedef struct trainer_draw { /* of one view of one picture */
    bool flip, crop, color;
    int left, top, width, height; /* of the crop */
    double factor[N_JITTERS];     /* HUE: what is added, in turns */
    trainer_jitter order[N_JITTERS];
} trainer_draw;

/* "flip,crop,color" in any order; false: another word, or one twice. */
bool trainer_augment_parse(const char *list, trainer_augment *out);
bool trainer_augment_any(const trainer_augment *a);
void trainer_augment_draw(const trainer_augment *a, uint64_t seed, int64_t view, int64_t index,
                          int width, int height, trainer_draw *out);
/* One change of n RGB pixels in place. */
void trainer_jitter_apply(trainer_jitter kind, double factor, uint8_t *rgb, size_t n);
/* The file as tlr_load_input, with the changes of one view. */
tlb_status trainer_load_view(tlr_loader *l, const char *path, const trainer_augment *a,
                             uint64_t seed, int64_t view, int64_t index, void *input,
                             tlr_image_note *note);
#endif
