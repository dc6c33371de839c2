/* tlk_simd.h: sixteen float lanes on whatever the target has.
 *
 * tlk_v is one register of the target, by the compilers' vector extensions; a block of 16
 * channels is an array of TLK_VPB of them.  Multiply-add is fused everywhere: an intrinsic where
 * the instruction set has it, fmaf for each lane elsewhere; nothing else may be contracted
 * (-ffp-contract=off).  So an output element is the same chain of operations, and the same bits,
 * on every width.
 */
#ifndef TLK_SIMD_H
#define TLK_SIMD_H

#include <math.h>
#include <string.h>

#include "tlk.h"

#if defined(__AVX512F__)
#include <immintrin.h>
enum { TLK_W = 16 };
#define TLK_PIX 6
#elif defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>
enum { TLK_W = 8 };
#define TLK_PIX 6
#elif defined(__ARM_NEON) && defined(__aarch64__)
#include <arm_neon.h>
enum { TLK_W = 4 };
#define TLK_PIX 6
#else
enum { TLK_W = 4 };
#define TLK_PIX 3 /* 16 registers of 4 lanes: 12 accumulators are 3 pixels */
#endif
enum { TLK_VPB = TLK_BLOCK / TLK_W }; /* vectors in a block */

typedef float tlk_v __attribute__((vector_size(TLK_W * 4)));
typedef float tlk_v_mem __attribute__((vector_size(TLK_W * 4), aligned(4), may_alias));

#define TLK_INLINE static inline __attribute__((always_inline))
#define TLK_PRAGMA(x) _Pragma(#x)
#if defined(__clang__)
#define TLK_UNROLL TLK_PRAGMA(clang loop unroll(full))
#define TLK_ROLLED TLK_PRAGMA(clang loop unroll(disable))
#else
#define TLK_UNROLL TLK_PRAGMA(GCC unroll 32)
#define TLK_ROLLED TLK_PRAGMA(GCC unroll 1)
#endif

TLK_INLINE tlk_v tlk_load(const float *p) { return *(const tlk_v_mem *)p; }
TLK_INLINE void tlk_store(float *p, tlk_v v) { *(tlk_v_mem *)p = v; }
TLK_INLINE tlk_v tlk_zero(void) { return (tlk_v){ 0 }; }

TLK_INLINE tlk_v tlk_splat(float x)
{
#if defined(__AVX512F__)
    return (tlk_v)_mm512_set1_ps(x);
#elif defined(__AVX2__) && defined(__FMA__)
    return (tlk_v)_mm256_set1_ps(x);
#else
    return (tlk_v){ x, x, x, x };
#endif
}

/* a * b + c, rounded once. */
TLK_INLINE tlk_v tlk_fma(tlk_v a, tlk_v b, tlk_v c)
{
#if defined(__AVX512F__)
    return (tlk_v)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(__AVX2__) && defined(__FMA__)
    return (tlk_v)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#elif defined(__ARM_NEON) && defined(__aarch64__)
    return (tlk_v)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
#else
    return (tlk_v){ fmaf(a[0], b[0], c[0]), fmaf(a[1], b[1], c[1]), fmaf(a[2], b[2], c[2]),
                    fmaf(a[3], b[3], c[3]) };
#endif
}

/* acc = a * b + acc, with acc held in a register: without this gcc writes the sum over another
 * operand's register, runs out of them, and one accumulator goes through the stack (65 % of the
 * peak instead of 95 %). */
#if defined(__x86_64__) && defined(__AVX512F__)
#define TLK_IN_REGISTER(v) __asm__("" : "+v"(v))
#elif defined(__x86_64__)
#define TLK_IN_REGISTER(v) __asm__("" : "+x"(v))
#elif defined(__ARM_NEON) && defined(__aarch64__)
#define TLK_IN_REGISTER(v) __asm__("" : "+w"(v))
#else
#define TLK_IN_REGISTER(v) ((void)(v))
#endif
TLK_INLINE void tlk_fma_into(tlk_v *acc, tlk_v a, tlk_v b)
{
    tlk_v sum = tlk_fma(a, b, *acc);
    TLK_IN_REGISTER(sum);
    *acc = sum;
}

/* x > lo ? x : lo, and x < hi ? x : hi.  A NaN in x stays NaN, as in PyTorch. */
typedef int32_t tlk_mask __attribute__((vector_size(TLK_W * 4)));
TLK_INLINE tlk_v tlk_select(tlk_mask m, tlk_v a, tlk_v b)
{
    return (tlk_v)(((tlk_mask)a & m) | ((tlk_mask)b & ~m));
}
#if defined(__AVX512F__)
TLK_INLINE tlk_v tlk_max(tlk_v x, tlk_v lo) { return (tlk_v)_mm512_max_ps((__m512)lo, (__m512)x); }
TLK_INLINE tlk_v tlk_min(tlk_v x, tlk_v hi) { return (tlk_v)_mm512_min_ps((__m512)hi, (__m512)x); }
TLK_INLINE tlk_v tlk_sqrt(tlk_v x) { return (tlk_v)_mm512_sqrt_ps((__m512)x); }
#elif defined(__AVX2__) && defined(__FMA__)
TLK_INLINE tlk_v tlk_max(tlk_v x, tlk_v lo) { return (tlk_v)_mm256_max_ps((__m256)lo, (__m256)x); }
TLK_INLINE tlk_v tlk_min(tlk_v x, tlk_v hi) { return (tlk_v)_mm256_min_ps((__m256)hi, (__m256)x); }
TLK_INLINE tlk_v tlk_sqrt(tlk_v x) { return (tlk_v)_mm256_sqrt_ps((__m256)x); }
#else
TLK_INLINE tlk_v tlk_max(tlk_v x, tlk_v lo) { return tlk_select(lo > x, lo, x); }
TLK_INLINE tlk_v tlk_min(tlk_v x, tlk_v hi) { return tlk_select(hi < x, hi, x); }
TLK_INLINE tlk_v tlk_sqrt(tlk_v x)
{
    return (tlk_v){ sqrtf(x[0]), sqrtf(x[1]), sqrtf(x[2]), sqrtf(x[3]) };
}
#endif

TLK_INLINE tlk_v tlk_activate(tlk_v x, tlk_act act, float lo, float hi)
{
    if (act == TLK_ACT_RELU)
        return tlk_max(x, tlk_zero());
    if (act == TLK_ACT_CLIP)
        return tlk_min(tlk_max(x, tlk_splat(lo)), tlk_splat(hi));
    return x;
}

TLK_INLINE float tlk_activate1(float x, tlk_act act, float lo, float hi)
{
    if (act == TLK_ACT_NONE)
        return x;
    const float least = act == TLK_ACT_RELU ? 0.0f : lo;
    x = least > x ? least : x;
    return act == TLK_ACT_CLIP && hi < x ? hi : x;
}

/* e^x, within 2 units in the last place: x = k ln 2 + r, a polynomial of r, k into the exponent.
 * Operations and order are the same on every width, so the bits are.  Below -87 the result is
 * e^-87, above 88 it is e^88; a NaN stays one. */
TLK_INLINE tlk_v tlk_exp(tlk_v x)
{
    static const float c[] = { 1.98756915e-4f, 1.39819995e-3f, 8.33345205e-3f, 4.16657962e-2f,
                               1.66666657e-1f, 0.5f };
    const tlk_v magic = tlk_splat(12582912.0f); /* 1.5 * 2^23: adding it rounds to a whole number */
    x = tlk_min(tlk_max(x, tlk_splat(-87.0f)), tlk_splat(88.0f));
    const tlk_v shifted = tlk_fma(x, tlk_splat(1.44269504f), magic);
    const tlk_v k = shifted - magic;
    tlk_v r = tlk_fma(k, tlk_splat(-0.693359375f), x);
    r = tlk_fma(k, tlk_splat(2.12194440e-4f), r);
    tlk_v p = tlk_splat(c[0]);
    TLK_UNROLL
    for (int i = 1; i < 6; ++i)
        p = tlk_fma(p, r, tlk_splat(c[i]));
    p = tlk_fma(p, r * r, r) + tlk_splat(1.0f);
    const tlk_mask exponent = ((tlk_mask)shifted - (tlk_mask)magic + 127) << 23;
    return p * (tlk_v)exponent;
}

/* Zeros around the values of one blocked plane (16 channels), or of one plain plane. */
TLK_INLINE void tlk_halo_zero(float *plane, tlk_plane p, int lanes)
{
    const int64_t cols = tlk_plane_cols(p);
    const int64_t rows = tlk_plane_rows(p);
    const size_t one = sizeof(float) * (size_t)lanes;
    memset(plane, 0, one * (size_t)(p.top * cols));
    memset(plane + (p.top + p.h) * cols * lanes, 0, one * (size_t)(p.bottom * cols));
    if (p.left + p.right == 0)
        return;
    for (int64_t y = p.top; y < rows - p.bottom; ++y) {
        memset(plane + y * cols * lanes, 0, one * (size_t)p.left);
        memset(plane + (y * cols + p.left + p.w) * lanes, 0, one * (size_t)p.right);
    }
}

#endif
