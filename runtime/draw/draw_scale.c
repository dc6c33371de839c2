/* draw_scale.c: see draw_scale.h.  tlr_spread is isotonic regression: labels that overlap are
 * pooled into a block which lies at the mean of what its members want. */
#include "draw_scale.h"

#include <math.h>
#include <stdlib.h>

/* The smallest step of 1, 2, 5 x 10^k with at most `most` multiples in the range. */
static double find_step(double range, int most, double least)
{
    static const double factors[] = { 1, 2, 5 };
    double power = pow(10, floor(log10(range / most)) - 1);
    for (;; power *= 10)
        for (int i = 0; i < 3; ++i) {
            double step = factors[i] * power;
            if (step >= least && floor(range / step + 1e-9) + 1 <= most)
                return step;
        }
}

tlr_ticks tlr_ticks_make(double lo, double hi, int most, double least)
{
    tlr_ticks t = { 0 };
    most = most > TLR_MOST_TICKS ? TLR_MOST_TICKS : most < 2 ? 2 : most;
    if (!(hi > lo) || !isfinite(hi - lo)) {
        t.n = 1;
        t.at[0] = lo;
        return t;
    }
    t.step = find_step(hi - lo, most, least);
    double first = ceil(lo / t.step - 1e-9);
    for (; t.n < most && (first + t.n) * t.step <= hi + 1e-9 * t.step; ++t.n)
        t.at[t.n] = (first + t.n) * t.step;
    double digits = -floor(log10(t.step) + 1e-9);
    t.decimals = digits > 0 ? (int)digits : 0;
    return t;
}

/* --- labels --------------------------------------------------------------------------- */

typedef struct block { /* neighbours that touch: the first lies at sum / n */
    double sum;
    size_t first, n;
} block;

typedef struct place { double want; size_t index; } place;

static int by_want(const void *a, const void *b)
{
    const place *x = a, *y = b;
    if (x->want != y->want)
        return x->want < y->want ? -1 : 1;
    return x->index < y->index ? -1 : 1;
}

static double mean(const block *b)
{
    return b->sum / (double)b->n;
}

/* Where the first of each block goes, the gaps taken out: never decreasing. */
static size_t pool(const place *p, size_t n, double gap, block *blocks)
{
    size_t count = 0;
    for (size_t i = 0; i < n; ++i) {
        blocks[count++] = (block){ p[i].want - gap * (double)i, i, 1 };
        while (count > 1 && mean(&blocks[count - 2]) > mean(&blocks[count - 1])) {
            blocks[count - 2].sum += blocks[count - 1].sum;
            blocks[count - 2].n += blocks[count - 1].n;
            --count;
        }
    }
    return count;
}

void tlr_spread(double *centre, size_t n, double gap, double lo, double hi)
{
    place *p = calloc(n + 1, sizeof *p);
    block *blocks = calloc(n + 1, sizeof *blocks);
    if (p && blocks && n > 0) {
        if (gap * (double)(n - 1) > hi - lo)
            gap = n > 1 ? (hi - lo) / (double)(n - 1) : 0;
        for (size_t i = 0; i < n; ++i)
            p[i] = (place){ centre[i], i };
        qsort(p, n, sizeof *p, by_want);
        size_t count = pool(p, n, gap, blocks);
        double most = hi - gap * (double)(n - 1); /* of the gapless coordinate */
        for (size_t b = 0; b < count; ++b)
            for (size_t i = blocks[b].first; i < blocks[b].first + blocks[b].n; ++i)
                centre[p[i].index] = fmin(fmax(mean(&blocks[b]), lo), most) + gap * (double)i;
    }
    free(p);
    free(blocks);
}

/* --- colours -------------------------------------------------------------------------- */

uint32_t tlr_mix(uint32_t a, uint32_t b, double share)
{
    uint32_t out = 0;
    for (int shift = 16; shift >= 0; shift -= 8) {
        double x = a >> shift & 255, y = b >> shift & 255;
        out |= (uint32_t)lround(x + share * (y - x)) << shift;
    }
    return out;
}

static double luminance(uint32_t color)
{
    static const double weights[] = { 0.2126, 0.7152, 0.0722 };
    double sum = 0;
    for (int i = 0; i < 3; ++i) {
        double v = (color >> (16 - 8 * i) & 255) / 255.0;
        sum += weights[i] * (v <= 0.04045 ? v / 12.92 : pow((v + 0.055) / 1.055, 2.4));
    }
    return sum;
}

double tlr_contrast(uint32_t a, uint32_t b)
{
    double x = luminance(a), y = luminance(b);
    return (fmax(x, y) + 0.05) / (fmin(x, y) + 0.05);
}

uint32_t tlr_ink_on(uint32_t ground)
{
    return tlr_contrast(0x000000, ground) >= tlr_contrast(0xFFFFFF, ground) ? 0x000000 : 0xFFFFFF;
}
