/* cpu_kernel_buffers.h: buffers between guards and blocked planes, for the CPU kernels' tests.
 *
 * Results start as garbage, so that what a kernel does not write shows.
 */
#ifndef CPU_KERNEL_BUFFERS_H
#define CPU_KERNEL_BUFFERS_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tlk_simd.h"

/* --- buffers between guards --------------------------- */

enum { GUARD = 64 }; /* floats */
#define GUARD_VALUE 12345.678f

typedef struct buffer {
    float *block, *at;
    int64_t elems;
} buffer;

static inline buffer buffer_make(int64_t elems)
{
    buffer b = { .elems = elems };
    b.block = malloc(sizeof(float) * (size_t)(elems + 2 * GUARD));
    assert_non_null(b.block);
    b.at = b.block + GUARD;
    for (int64_t i = 0; i < elems + 2 * GUARD; ++i)
        b.block[i] = GUARD_VALUE;
    return b;
}

static inline void buffer_free(buffer *b)
{
    for (int i = 0; i < GUARD; ++i) {
        assert_true(b->block[i] == GUARD_VALUE);
        assert_true(b->at[b->elems + i] == GUARD_VALUE);
    }
    free(b->block);
}

static uint32_t random_state;

static inline float random_float(void)
{
    random_state = random_state * 1664525u + 1013904223u;
    return (float)(random_state >> 8) / 8388608.0f - 1.0f;
}

static inline float *random_floats(int64_t elems)
{
    float *v = malloc(sizeof(float) * (size_t)elems);
    assert_non_null(v);
    for (int64_t i = 0; i < elems; ++i)
        v[i] = random_float();
    return v;
}

/* --- blocked planes --------------------------- */

static inline int64_t map_elems(int64_t n, int c, bool is_blocked, tlk_plane p)
{
    return n * (is_blocked ? tlk_blocks(c) * TLK_BLOCK : c) * tlk_plane_elems(p);
}

static inline int64_t map_at(int c, bool is_blocked, tlk_plane p, int64_t n, int ch, int y, int x)
{
    const int64_t pixel = (int64_t)(p.top + y) * tlk_plane_cols(p) + p.left + x;
    if (!is_blocked)
        return (n * c + ch) * tlk_plane_elems(p) + pixel;
    return ((n * tlk_blocks(c) + ch / TLK_BLOCK) * tlk_plane_elems(p) + pixel) * TLK_BLOCK
           + ch % TLK_BLOCK;
}

/* Logical NCHW into the layout; everything else zero. */
static inline buffer map_make(int64_t n, int c, bool is_blocked, tlk_plane p, const float *v)
{
    buffer b = buffer_make(map_elems(n, c, is_blocked, p));
    memset(b.at, 0, sizeof(float) * (size_t)b.elems);
    for (int64_t i = 0; i < n; ++i)
        for (int ch = 0; ch < c; ++ch)
            for (int y = 0; y < p.h; ++y)
                for (int x = 0; x < p.w; ++x)
                    b.at[map_at(c, is_blocked, p, i, ch, y, x)] = *v++;
    return b;
}

/* Every stored element: the expected value, or zero in halo and padding of channels. */
static inline void map_check(const char *name, const buffer *b, int64_t n, int c, bool is_blocked,
                      tlk_plane p, const float *want)
{
    buffer w = map_make(n, c, is_blocked, p, want);
    for (int64_t i = 0; i < b->elems; ++i)
        if (!(b->at[i] == w.at[i]))
            fail_msg("%s: element %lld is %.9g, %.9g wanted", name, (long long)i,
                     (double)b->at[i], (double)w.at[i]);
    buffer_free(&w);
}

static inline float act_of(tlk_act act, float lo, float hi, float x)
{
    if (act == TLK_ACT_RELU)
        return x > 0.0f ? x : 0.0f;
    if (act == TLK_ACT_CLIP)
        return x < lo ? lo : x > hi ? hi : x;
    return x;
}

static inline buffer pack_vector(int count, const float *v)
{
    const tlk_plane pixel = { 1, 1, 0, 0, 0, 0 };
    return map_make(1, count, true, pixel, v);
}

static inline buffer copy_make(int64_t elems, const float *v)
{
    buffer b = buffer_make(elems);
    memcpy(b.at, v, sizeof(float) * (size_t)elems);
    return b;
}

static inline void check_equal(const char *name, const buffer *b, const float *want)
{
    for (int64_t i = 0; i < b->elems; ++i)
        if (!(b->at[i] == want[i]))
            fail_msg("%s: element %lld is %.9g, %.9g wanted", name, (long long)i,
                     (double)b->at[i], (double)want[i]);
}

#endif
