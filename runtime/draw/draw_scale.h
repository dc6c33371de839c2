/* draw_scale.h: the arithmetic of pictures: ticks, labels that keep clear of each other, and
 * colours. */
#ifndef TLR_DRAW_SCALE_H
#define TLR_DRAW_SCALE_H

#include <stddef.h>
#include <stdint.h>

enum { TLR_MOST_TICKS = 12 };

typedef struct tlr_ticks {
    int n;
    double at[TLR_MOST_TICKS], step;
    int decimals;             /* that tell neighbours apart */
} tlr_ticks;

/* Multiples of 1, 2 or 5 times a power of ten (at least `least`) that lie in [lo, hi]: at most
 * `most` of them (at most TLR_MOST_TICKS). */
tlr_ticks tlr_ticks_make(double lo, double hi, int most, double least);

/* Move centres so that neighbours are `gap` apart (closer only where [lo, hi] has no room), as
 * little as possible in the squares; their order stays, equals keep the order given. */
void tlr_spread(double *centre, size_t n, double gap, double lo, double hi);

/* Between two colours; share 0: a. */
uint32_t tlr_mix(uint32_t a, uint32_t b, double share);
/* WCAG 2 contrast, 1 to 21. */
double tlr_contrast(uint32_t a, uint32_t b);
/* Black or white, whichever is read better on the ground. */
uint32_t tlr_ink_on(uint32_t ground);

#endif
