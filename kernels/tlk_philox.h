/* tlk_philox.h: random numbers that depend on what they are for, not on who asks first.
 *
 * Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3") turns
 * (seed, counter) into four words without any state, so shuffling, dropout and initial values
 * are the same on any number of threads and after any resume.
 *
 * A stream is (seed, a, b, purpose); element e of it is word e mod 4 of counter
 * (e / 4, a, b, purpose).  Where e needs more than 34 bits the excess goes into `a`, from bit 16.
 */
#ifndef TLK_PHILOX_H
#define TLK_PHILOX_H

#include <math.h>
#include <stdint.h>

/* What a stream is for: the last word of the counter. */
typedef enum tlk_purpose {
    TLK_RANDOM_INIT = 1,    /* a: position among the parameters given initial values */
    TLK_RANDOM_ORDER = 2,   /* a: epoch */
    TLK_RANDOM_DROPOUT = 3, /* a: epoch, b: index of the dropout in the graph */
    TLK_RANDOM_AUGMENT = 4, /* a: epoch, b: index of the picture */
    TLK_RANDOM_SPLIT = 5    /* train and valid */
} tlk_purpose;

typedef struct tlk_stream {
    uint64_t seed;
    uint32_t a, b;
    tlk_purpose purpose;
} tlk_stream;

/* Ten rounds over `counter`, in place: it becomes the four random words. */
static inline void tlk_philox(uint64_t key, uint32_t counter[4])
{
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    for (int round = 0; round < 10; ++round) {
        uint64_t p0 = UINT64_C(0xD2511F53) * counter[0];
        uint64_t p1 = UINT64_C(0xCD9E8D57) * counter[2];
        uint32_t c1 = counter[1], c3 = counter[3];
        counter[0] = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        counter[1] = (uint32_t)p1;
        counter[2] = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        counter[3] = (uint32_t)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
}

/* The four words of elements 4*quad .. 4*quad+3. */
static inline void tlk_random_quad(tlk_stream s, uint64_t quad, uint32_t word[4])
{
    word[0] = (uint32_t)quad;
    word[1] = s.a + (uint32_t)((quad >> 32) << 16);
    word[2] = s.b;
    word[3] = (uint32_t)s.purpose;
    tlk_philox(s.seed, word);
}

static inline uint32_t tlk_random_word(tlk_stream s, uint64_t e)
{
    uint32_t word[4];
    tlk_random_quad(s, e / 4, word);
    return word[e % 4];
}

/* In [0, 1): a multiple of 2^-24, exact in float too. */
static inline double tlk_word_uniform(uint32_t word)
{
    return (double)(word >> 8) * 0x1p-24;
}

static inline double tlk_random_uniform(tlk_stream s, uint64_t e)
{
    return tlk_word_uniform(tlk_random_word(s, e));
}

/* Fisher-Yates over 0 .. n-1 into order[n]: for i = n-1 .. 1 swap i and (word_i * (i+1)) >> 32. */
static inline void tlk_random_shuffle(tlk_stream s, int64_t n, int64_t *order)
{
    for (int64_t i = 0; i < n; ++i)
        order[i] = i;
    for (int64_t i = n - 1; i > 0; --i) {
        uint64_t word = tlk_random_word(s, (uint64_t)i);
        int64_t j = (int64_t)((word * (uint64_t)(i + 1)) >> 32);
        int64_t moved = order[i];
        order[i] = order[j];
        order[j] = moved;
    }
}

/* Order of the samples of an epoch (from 0). */
static inline void tlk_epoch_order(uint64_t seed, int64_t epoch, int64_t n, int64_t *order)
{
    tlk_random_shuffle((tlk_stream){ seed, (uint32_t)epoch, 0, TLK_RANDOM_ORDER }, n, order);
}

/* Order whose first share becomes the validation set. */
static inline void tlk_split_order(uint64_t seed, int64_t n, int64_t *order)
{
    tlk_random_shuffle((tlk_stream){ seed, 0, 0, TLK_RANDOM_SPLIT }, n, order);
}

/* Initial values of the parameter at `position`, elements 0 .. n-1 in logical order.  They are
 * float in every precision, so that a float64 build starts where a float32 build does. */

/* Uniform in [-bound, bound). */
static inline void tlk_init_uniform(uint64_t seed, int64_t position, double bound, int64_t n,
                                    float *out)
{
    tlk_stream s = { seed, (uint32_t)position, 0, TLK_RANDOM_INIT };
    uint32_t word[4];
    for (int64_t e = 0; e < n; ++e) {
        if (e % 4 == 0)
            tlk_random_quad(s, (uint64_t)e / 4, word);
        out[e] = (2.0f * (float)tlk_word_uniform(word[e % 4]) - 1.0f) * (float)bound;
    }
}

/* Normal with standard deviation `deviation`, by Box-Muller over pairs of elements. */
static inline void tlk_init_normal(uint64_t seed, int64_t position, double deviation, int64_t n,
                                   float *out)
{
    tlk_stream s = { seed, (uint32_t)position, 0, TLK_RANDOM_INIT };
    const double two_pi = 6.283185307179586476925;
    uint32_t word[4];
    for (int64_t e = 0; e < n; e += 2) {
        if (e % 4 == 0)
            tlk_random_quad(s, (uint64_t)e / 4, word);
        double r = sqrt(-2.0 * log(1.0 - tlk_word_uniform(word[e % 4])));
        double angle = two_pi * tlk_word_uniform(word[e % 4 + 1]);
        out[e] = (float)(r * cos(angle) * deviation);
        if (e + 1 < n)
            out[e + 1] = (float)(r * sin(angle) * deviation);
    }
}

#endif
