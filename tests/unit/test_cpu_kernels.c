/* test_cpu_kernels.c: the tuned CPU kernels against scalar chains of the same order.
 *
 * A kernel promises one chain of fused multiply-adds for each element, in a stated order, so the
 * check is equality, not a tolerance: with any compiler and any register width.  Shapes are odd on
 * purpose: channel tails, strides, dilation, halos larger than the padding, one-pixel planes.
 * Every buffer lies between guards; results start as garbage, so what is not written shows; items
 * run backwards must give the same bytes.
 */
#include "cpu_kernel_buffers.h"
#include "tlk_conv2d_depthwise.h"
#include "tlk_conv2d_direct.h"
#include "tlk_conv2d_stem.h"
#include "tlk_conv2d_winograd.h"
#include "tlk_elementwise.h"
#include "tlk_pool2d.h"
#include "tlk_relayout.h"

/* --- convolution --------------------------- */

enum conv_kind { DIRECT, STEM, DEPTHWISE };

typedef struct conv_case {
    const char *name;
    enum conv_kind kind;
    const tlk_conv2d *s;
    void (*run)(int64_t n, bool backwards, const float *x, const float *w, const float *b,
                const float *r, float *y);
} conv_case;

/* A case is a constant structure and a function that runs its items, as in emitted code. */
#define CONV_CASE(kernel, id, ...)                                                             \
    static const tlk_conv2d id = { __VA_ARGS__ };                                              \
    static void id##_run(int64_t n, bool backwards, const float *x, const float *w,            \
                         const float *b, const float *r, float *y)                             \
    {                                                                                          \
        const int64_t items = tlk_##kernel##_items(&id, n);                                    \
        for (int64_t i = 0; i < items; ++i)                                                    \
            tlk_##kernel##_item(&id, backwards ? items - 1 - i : i, n, x, w, b, r, y);         \
    }

#define PLAIN_TAPS .sh = 1, .sw = 1, .dh = 1, .dw = 1

CONV_CASE(conv2d_direct, d3x3, .ic = 32, .oc = 48, .groups = 1, .kh = 3, .kw = 3, PLAIN_TAPS,
          .pad_top = 1, .pad_left = 1, .x = { 9, 11, 1, 1, 1, 1 }, .y = { 9, 11, 1, 2, 3, 1 },
          .r = { 9, 11, 0, 1, 2, 0 }, .act = TLK_ACT_RELU)
CONV_CASE(conv2d_direct, d3x3_tails, .ic = 21, .oc = 19, .groups = 1, .kh = 3, .kw = 3,
          PLAIN_TAPS, .pad_top = 1, .pad_left = 1, .x = { 7, 7, 2, 3, 1, 1 },
          .y = { 7, 7, 0, 0, 0, 0 }, .r = { 7, 7, 1, 1, 1, 1 }, .act = TLK_ACT_CLIP, .lo = -0.5f,
          .hi = 0.75f)
CONV_CASE(conv2d_direct, d3x3_stride, .ic = 16, .oc = 32, .groups = 1, .kh = 3, .kw = 3, .sh = 2,
          .sw = 2, .dh = 1, .dw = 1, .pad_top = 1, .pad_left = 1, .x = { 13, 15, 1, 1, 1, 1 },
          .y = { 7, 8, 1, 1, 1, 1 }, .r = { 7, 8, 0, 0, 0, 0 })
CONV_CASE(conv2d_direct, d3x3_dilated, .ic = 16, .oc = 16, .groups = 1, .kh = 3, .kw = 3, .sh = 1,
          .sw = 2, .dh = 2, .dw = 3, .pad_top = 2, .pad_left = 3, .x = { 10, 9, 2, 3, 2, 3 },
          .y = { 10, 5, 0, 0, 0, 0 }, .r = { 10, 5, 0, 0, 0, 0 })
CONV_CASE(conv2d_direct, d1x1, .ic = 64, .oc = 80, .groups = 1, .kh = 1, .kw = 1, PLAIN_TAPS,
          .x = { 14, 14, 0, 0, 0, 0 }, .y = { 14, 14, 1, 1, 1, 1 }, .r = { 14, 14, 0, 0, 0, 0 },
          .act = TLK_ACT_RELU)
CONV_CASE(conv2d_direct, d1x1_halo, .ic = 24, .oc = 16, .groups = 1, .kh = 1, .kw = 1, .sh = 2,
          .sw = 2, .dh = 1, .dw = 1, .x = { 8, 8, 1, 1, 1, 1 }, .y = { 4, 4, 0, 0, 0, 0 },
          .r = { 4, 4, 1, 1, 1, 1 })
CONV_CASE(conv2d_direct, d_groups, .ic = 64, .oc = 96, .groups = 2, .kh = 3, .kw = 2, PLAIN_TAPS,
          .pad_top = 1, .pad_left = 0, .x = { 5, 6, 1, 0, 1, 1 }, .y = { 5, 6, 0, 0, 0, 0 },
          .r = { 5, 6, 0, 0, 0, 0 }, .act = TLK_ACT_RELU)
CONV_CASE(conv2d_direct, d_pixel, .ic = 40, .oc = 33, .groups = 1, .kh = 1, .kw = 1, PLAIN_TAPS,
          .x = { 1, 1, 0, 0, 0, 0 }, .y = { 1, 1, 0, 0, 0, 0 }, .r = { 1, 1, 0, 0, 0, 0 })
CONV_CASE(conv2d_direct, d_cut, .ic = 512, .oc = 16, .groups = 1, .kh = 3, .kw = 3, PLAIN_TAPS,
          .pad_top = 1, .pad_left = 1, .x = { 7, 7, 1, 1, 1, 1 }, .y = { 7, 7, 1, 1, 1, 1 },
          .r = { 7, 7, 1, 1, 1, 1 }, .act = TLK_ACT_RELU)
CONV_CASE(conv2d_direct, d_far, .ic = 256, .oc = 64, .groups = 1, .kh = 3, .kw = 3, PLAIN_TAPS,
          .pad_top = 1, .pad_left = 1, .x = { 6, 5, 1, 1, 1, 1 }, .y = { 6, 5, 0, 0, 0, 0 },
          .r = { 6, 5, 0, 0, 0, 0 }, .act = TLK_ACT_RELU)
CONV_CASE(conv2d_direct, d_bands, .ic = 16, .oc = 16, .groups = 1, .kh = 3, .kw = 3, PLAIN_TAPS,
          .x = { 27, 29, 0, 0, 0, 0 }, .y = { 25, 27, 1, 0, 0, 1 }, .r = { 25, 27, 0, 0, 0, 0 })
CONV_CASE(conv2d_stem, s7x7, .ic = 3, .oc = 40, .groups = 1, .kh = 7, .kw = 7, .sh = 2, .sw = 2,
          .dh = 1, .dw = 1, .pad_top = 3, .pad_left = 3, .x = { 22, 23, 3, 3, 3, 3 },
          .y = { 11, 12, 1, 1, 1, 1 }, .r = { 11, 12, 0, 0, 0, 0 }, .act = TLK_ACT_RELU)
CONV_CASE(conv2d_stem, s3x3, .ic = 1, .oc = 16, .groups = 1, .kh = 3, .kw = 3, PLAIN_TAPS,
          .pad_top = 1, .pad_left = 1, .x = { 5, 5, 2, 1, 1, 4 }, .y = { 5, 5, 0, 0, 0, 0 },
          .r = { 5, 5, 0, 0, 0, 0 }, .act = TLK_ACT_CLIP, .lo = 0.0f, .hi = 1.0f)
CONV_CASE(conv2d_stem, s_wide, .ic = 6, .oc = 5, .groups = 1, .kh = 2, .kw = 3, PLAIN_TAPS,
          .x = { 4, 8, 0, 0, 0, 0 }, .y = { 3, 6, 0, 0, 0, 0 }, .r = { 3, 6, 0, 0, 0, 0 })
CONV_CASE(conv2d_depthwise, w3x3, .ic = 40, .oc = 40, .groups = 40, .kh = 3, .kw = 3, PLAIN_TAPS,
          .pad_top = 1, .pad_left = 1, .x = { 9, 10, 1, 1, 1, 1 }, .y = { 9, 10, 0, 0, 0, 0 },
          .r = { 9, 10, 1, 0, 0, 0 }, .act = TLK_ACT_CLIP, .lo = 0.0f, .hi = 6.0f)
CONV_CASE(conv2d_depthwise, w5x5, .ic = 16, .oc = 16, .groups = 16, .kh = 5, .kw = 5, .sh = 2,
          .sw = 2, .dh = 1, .dw = 1, .pad_top = 2, .pad_left = 1, .x = { 14, 14, 2, 2, 2, 2 },
          .y = { 7, 7, 0, 1, 0, 1 }, .r = { 7, 7, 0, 0, 0, 0 })
CONV_CASE(conv2d_depthwise, w_bands, .ic = 17, .oc = 17, .groups = 17, .kh = 3, .kw = 3,
          PLAIN_TAPS, .pad_top = 1, .pad_left = 1, .x = { 116, 111, 1, 1, 1, 1 },
          .y = { 116, 111, 1, 1, 1, 1 }, .r = { 116, 111, 0, 0, 0, 0 }, .act = TLK_ACT_RELU)

#define CASE(kind, id) { #id, kind, &id, id##_run }
static const conv_case conv_cases[] = {
    CASE(DIRECT, d3x3),      CASE(DIRECT, d3x3_tails), CASE(DIRECT, d3x3_stride),
    CASE(DIRECT, d3x3_dilated), CASE(DIRECT, d1x1),    CASE(DIRECT, d1x1_halo),
    CASE(DIRECT, d_groups),  CASE(DIRECT, d_pixel),    CASE(DIRECT, d_cut),
    CASE(DIRECT, d_far),
    CASE(DIRECT, d_bands),   CASE(STEM, s7x7),         CASE(STEM, s3x3),
    CASE(STEM, s_wide),      CASE(DEPTHWISE, w3x3),    CASE(DEPTHWISE, w5x5),
    CASE(DEPTHWISE, w_bands),
};

/* Input element of group g, or 0 outside. */
static float conv_input(const tlk_conv2d *s, const float *x, int64_t n, int c, int y, int col)
{
    if (y < 0 || col < 0 || y >= s->x.h || col >= s->x.w)
        return 0.0f;
    return x[((n * s->ic + c) * s->x.h + y) * s->x.w + col];
}

/* The promised chain; w is logical [oc][ic/groups][kh][kw]. */
static float conv_element(const conv_case *k, const float *x, const float *w, float start,
                          int64_t n, int oc, int oy, int ox)
{
    const tlk_conv2d *s = k->s;
    const int icg = s->ic / s->groups;
    const int first = oc / (s->oc / s->groups) * icg;
    const int block = k->kind == DIRECT ? TLK_BLOCK : icg;
    float acc = start;
    for (int b = 0; b < icg; b += block)
        for (int kh = 0; kh < s->kh; ++kh)
            for (int kw = 0; kw < s->kw; ++kw)
                for (int c = b; c < b + block && c < icg; ++c)
                    acc = fmaf(w[((oc * icg + c) * s->kh + kh) * s->kw + kw],
                               conv_input(s, x, n, first + c, oy * s->sh + kh * s->dh - s->pad_top,
                                          ox * s->sw + kw * s->dw - s->pad_left),
                               acc);
    return acc;
}

static float *conv_expected(const conv_case *k, int64_t n, const float *x, const float *w,
                            const float *b, const float *r)
{
    const tlk_conv2d *s = k->s;
    float *y = random_floats(n * s->oc * s->y.h * s->y.w);
    int64_t at = 0;
    for (int64_t i = 0; i < n; ++i)
        for (int oc = 0; oc < s->oc; ++oc)
            for (int oy = 0; oy < s->y.h; ++oy)
                for (int ox = 0; ox < s->y.w; ++ox, ++at) {
                    float v = conv_element(k, x, w, b ? b[oc] : 0.0f, i, oc, oy, ox);
                    v = r ? v + r[at] : v;
                    y[at] = act_of(s->act, s->lo, s->hi, v);
                }
    return y;
}

/* Position of a weight in OI16, STEM16 or DW16. */
static int64_t weight_at(const conv_case *k, int oc, int c, int kh, int kw)
{
    const tlk_conv2d *s = k->s;
    const int icg = s->ic / s->groups;
    const int64_t ob = oc / TLK_BLOCK;
    if (k->kind == DIRECT)
        return ((((ob * tlk_blocks(icg) + c / TLK_BLOCK) * s->kh + kh) * s->kw + kw) * TLK_BLOCK
                + c % TLK_BLOCK) * TLK_BLOCK + oc % TLK_BLOCK;
    return (((ob * s->kh + kh) * s->kw + kw) * icg + c) * TLK_BLOCK + oc % TLK_BLOCK;
}

static buffer pack_weights(const conv_case *k, const float *w)
{
    const tlk_conv2d *s = k->s;
    const int icg = s->ic / s->groups;
    const int stored = k->kind == DIRECT ? tlk_blocks(icg) * TLK_BLOCK : icg;
    buffer b = buffer_make((int64_t)tlk_blocks(s->oc) * TLK_BLOCK * stored * s->kh * s->kw);
    memset(b.at, 0, sizeof(float) * (size_t)b.elems);
    for (int oc = 0; oc < s->oc; ++oc)
        for (int c = 0; c < icg; ++c)
            for (int kh = 0; kh < s->kh; ++kh)
                for (int kw = 0; kw < s->kw; ++kw)
                    b.at[weight_at(k, oc, c, kh, kw)] = *w++;
    return b;
}

static void conv_check(const conv_case *k, int64_t n, bool biased, bool residual)
{
    const tlk_conv2d *s = k->s;
    float *x = random_floats(n * s->ic * s->x.h * s->x.w);
    float *w = random_floats((int64_t)s->oc * (s->ic / s->groups) * s->kh * s->kw);
    float *b = random_floats(s->oc);
    float *r = random_floats(n * s->oc * s->y.h * s->y.w);
    float *want = conv_expected(k, n, x, w, biased ? b : NULL, residual ? r : NULL);
    buffer px = map_make(n, s->ic, k->kind != STEM, s->x, x);
    buffer pw = pack_weights(k, w), pb = pack_vector(s->oc, b);
    buffer pr = map_make(n, s->oc, true, s->r, r);
    for (int backwards = 0; backwards < 2; ++backwards) {
        buffer y = buffer_make(map_elems(n, s->oc, true, s->y));
        k->run(n, backwards, px.at, pw.at, biased ? pb.at : NULL, residual ? pr.at : NULL, y.at);
        map_check(k->name, &y, n, s->oc, true, s->y, want);
        buffer_free(&y);
    }
    buffer_free(&px), buffer_free(&pw), buffer_free(&pb), buffer_free(&pr);
    free(x), free(w), free(b), free(r), free(want);
}

static void conv_is_its_chain(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof conv_cases / sizeof conv_cases[0]; ++i) {
        conv_check(&conv_cases[i], 1, true, false);
        conv_check(&conv_cases[i], 3, false, true);
    }
}

/* --- winograd --------------------------- */

typedef struct wino_case {
    const char *name;
    const tlk_conv2d_winograd *s;
    void (*run)(int64_t n, bool backwards, void *scratch, const float *x, const float *u,
                const float *b, const float *r, float *y);
} wino_case;

#define WINO_CASE(id, chunk, blocks, on, ...)                                                      \
    static const tlk_conv2d_winograd id = { .conv = { __VA_ARGS__, .groups = 1, .kh = 3,       \
                                                      .kw = 3, PLAIN_TAPS },                   \
                                            .tiles = chunk, .group = blocks, .across = on };    \
    static void id##_run(int64_t n, bool backwards, void *scratch, const float *x,             \
                         const float *u, const float *b, const float *r, float *y)             \
    {                                                                                          \
        const int64_t items = tlk_conv2d_winograd_items(&id, n);                               \
        for (int64_t i = 0; i < items; ++i)                                                    \
            tlk_conv2d_winograd_item(&id, backwards ? items - 1 - i : i, n, scratch, x, u, b,  \
                                     r, y);                                                    \
    }

WINO_CASE(v_even, 6, 2, false, .ic = 32, .oc = 48, .pad_top = 1, .pad_left = 1,
          .x = { 12, 16, 1, 1, 1, 1 }, .y = { 12, 16, 1, 1, 1, 1 }, .r = { 12, 16, 0, 1, 0, 1 },
          .act = TLK_ACT_RELU)
WINO_CASE(v_odd, 12, 4, true, .ic = 21, .oc = 35, .pad_top = 1, .pad_left = 1,
          .x = { 13, 15, 2, 1, 1, 2 }, .y = { 13, 15, 0, 0, 0, 0 }, .r = { 13, 15, 0, 0, 0, 0 },
          .act = TLK_ACT_CLIP, .lo = -0.5f, .hi = 2.0f)
WINO_CASE(v_valid, 18, 1, false, .ic = 16, .oc = 16, .x = { 11, 9, 0, 0, 0, 0 },
          .y = { 9, 7, 1, 0, 1, 0 }, .r = { 9, 7, 1, 1, 1, 1 })
WINO_CASE(v_small, 6, 1, true, .ic = 16, .oc = 16, .pad_top = 1, .pad_left = 1,
          .x = { 2, 3, 1, 1, 1, 1 }, .y = { 2, 3, 0, 0, 0, 0 }, .r = { 2, 3, 0, 0, 0, 0 })
WINO_CASE(v_across, 6, 2, true, .ic = 16, .oc = 32, .pad_top = 1, .pad_left = 1,
          .x = { 7, 7, 1, 1, 1, 1 }, .y = { 7, 7, 1, 1, 1, 1 }, .r = { 7, 7, 0, 0, 0, 0 })

static const wino_case wino_cases[] = {
    { "v_even", &v_even, v_even_run },
    { "v_odd", &v_odd, v_odd_run },
    { "v_valid", &v_valid, v_valid_run },
    { "v_small", &v_small, v_small_run },
    { "v_across", &v_across, v_across_run },
};

static buffer wino_weights(const tlk_conv2d *s, const float *w)
{
    const tlk_winograd_weights t = { .oc = s->oc, .ic = s->ic };
    buffer u = buffer_make((int64_t)TLK_WINO_POS * tlk_blocks(s->oc) * tlk_blocks(s->ic)
                           * TLK_BLOCK * TLK_BLOCK);
    for (int64_t i = tlk_winograd_weights_items(&t, 1); i-- > 0;)
        tlk_winograd_weights_item(&t, i, 1, u.at, w);
    return u;
}

/* Its own arithmetic, so a tolerance: some 2e-6 of the size of the sums. */
static void wino_compare(const wino_case *k, const buffer *y, int64_t n, const float *want)
{
    const tlk_conv2d *s = &k->s->conv;
    buffer w = map_make(n, s->oc, true, s->y, want);
    const double allowed = 4e-6 * sqrt(9.0 * s->ic);
    for (int64_t i = 0; i < y->elems; ++i) {
        const double error = fabs((double)y->at[i] - (double)w.at[i]);
        if (!(error <= allowed) || (w.at[i] == 0.0f && s->act == TLK_ACT_NONE && error != 0.0))
            fail_msg("%s: element %lld is %.9g, %.9g wanted", k->name, (long long)i,
                     (double)y->at[i], (double)w.at[i]);
    }
    buffer_free(&w);
}

static void wino_check(const wino_case *k, int64_t n, bool biased, bool residual)
{
    const tlk_conv2d *s = &k->s->conv;
    const conv_case chain = { .name = k->name, .kind = DIRECT, .s = s };
    float *x = random_floats(n * s->ic * s->x.h * s->x.w);
    float *w = random_floats((int64_t)s->oc * s->ic * 9), *b = random_floats(s->oc);
    float *r = random_floats(n * s->oc * s->y.h * s->y.w);
    float *want = conv_expected(&chain, n, x, w, biased ? b : NULL, residual ? r : NULL);
    buffer px = map_make(n, s->ic, true, s->x, x), pb = pack_vector(s->oc, b);
    buffer pr = map_make(n, s->oc, true, s->r, r), u = wino_weights(s, w), first = { 0 };
    const int64_t v_step = tlk_wino_step(k->s->tiles, tlk_blocks(s->ic) * TLK_BLOCK);
    const int64_t m_step = tlk_wino_step(k->s->tiles, TLK_BLOCK);
    const int64_t scratch = TLK_WINO_POS * (v_step + k->s->group * m_step);
    for (int backwards = 0; backwards < 2; ++backwards) {
        buffer y = buffer_make(map_elems(n, s->oc, true, s->y)), v = buffer_make(scratch);
        k->run(n, backwards, v.at, px.at, u.at, biased ? pb.at : NULL, residual ? pr.at : NULL,
               y.at);
        wino_compare(k, &y, n, want);
        buffer_free(&v);
        if (!backwards) {
            first = y;
            continue;
        }
        assert_memory_equal(first.at, y.at, sizeof(float) * (size_t)y.elems);
        buffer_free(&y);
    }
    buffer_free(&first), buffer_free(&px), buffer_free(&pb), buffer_free(&pr), buffer_free(&u);
    free(x), free(w), free(b), free(r), free(want);
}

static void winograd_is_a_convolution(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof wino_cases / sizeof wino_cases[0]; ++i) {
        wino_check(&wino_cases[i], 1, true, false);
        wino_check(&wino_cases[i], 3, false, true);
    }
}

/* --- pooling --------------------------- */

typedef struct pool_case {
    const char *name;
    bool max;
    tlk_pool2d s;
} pool_case;

#define PLANES(xh, xw, yh, yw) .x = { xh, xw, 1, 2, 0, 1 }, .y = { yh, yw, 1, 1, 2, 0 }
static const pool_case pool_cases[] = {
    { "max 3x3 s2", true,
      { .c = 20, .kh = 3, .kw = 3, .sh = 2, .sw = 2, .dh = 1, .dw = 1, .pad_top = 1,
        .pad_left = 1, .pad_bottom = 1, .pad_right = 1, PLANES(9, 10, 5, 5) } },
    { "max ceil", true,
      { .c = 16, .kh = 2, .kw = 3, .sh = 2, .sw = 2, .dh = 1, .dw = 1, PLANES(7, 8, 4, 4) } },
    { "max dilated", true,
      { .c = 3, .kh = 2, .kw = 2, .sh = 1, .sw = 2, .dh = 3, .dw = 2, .pad_left = 1,
        .pad_right = 1, PLANES(8, 9, 5, 5) } },
    { "avg 2x2", false,
      { .c = 33, .kh = 2, .kw = 2, .sh = 2, .sw = 2, .dh = 1, .dw = 1, PLANES(6, 6, 3, 3) } },
    { "avg padded", false,
      { .c = 16, .kh = 3, .kw = 3, .sh = 1, .sw = 2, .dh = 1, .dw = 1, .pad_top = 1,
        .pad_left = 1, .pad_bottom = 1, .pad_right = 1, PLANES(5, 6, 5, 3) } },
    { "avg counts padding", false,
      { .c = 16, .kh = 3, .kw = 3, .sh = 2, .sw = 2, .dh = 1, .dw = 1, .pad_top = 1,
        .pad_left = 1, .pad_bottom = 1, .pad_right = 1, .count_include_pad = true,
        PLANES(6, 6, 4, 4) } },
};

/* One window of a logical plane. */
static float pool_element(const pool_case *k, const float *x, int oy, int ox)
{
    const tlk_pool2d *s = &k->s;
    float best = -INFINITY, sum = 0.0f;
    int inside = 0, padded = 0;
    for (int i = 0; i < s->kh; ++i)
        for (int j = 0; j < s->kw; ++j) {
            const int y = oy * s->sh - s->pad_top + i * s->dh;
            const int c = ox * s->sw - s->pad_left + j * s->dw;
            padded += y < s->x.h + s->pad_bottom && c < s->x.w + s->pad_right;
            if (y < 0 || c < 0 || y >= s->x.h || c >= s->x.w)
                continue;
            const float v = x[y * s->x.w + c];
            best = v > best || v != v ? v : best;
            sum += v;
            ++inside;
        }
    return k->max ? best : sum / (float)(s->count_include_pad ? padded : inside);
}

static void pools_clip_windows(void **state)
{
    (void)state;
    const int64_t n = 2;
    for (size_t c = 0; c < sizeof pool_cases / sizeof pool_cases[0]; ++c) {
        const pool_case *k = &pool_cases[c];
        const tlk_pool2d *s = &k->s;
        const int xp = s->x.h * s->x.w, yp = s->y.h * s->y.w;
        float *x = random_floats(n * s->c * xp), *want = random_floats(n * s->c * yp);
        for (int64_t p = 0; p < n * s->c; ++p)
            for (int i = 0; i < yp; ++i)
                want[p * yp + i] = pool_element(k, x + p * xp, i / s->y.w, i % s->y.w);
        buffer px = map_make(n, s->c, true, s->x, x);
        buffer y = buffer_make(map_elems(n, s->c, true, s->y));
        if (!k->max) /* a halo is not read */
            px.at[0] = 0.0f;
        for (int64_t i = tlk_max_pool2d_c16_items(s, n); i-- > 0;)
            if (k->max)
                tlk_max_pool2d_c16_item(s, i, n, px.at, y.at);
            else
                tlk_avg_pool2d_c16_item(s, i, n, px.at, y.at);
        for (int64_t i = 0; i < y.elems; ++i) /* lanes without a channel: maximum of zeros */
            assert_false(y.at[i] == GUARD_VALUE);
        map_check(k->name, &y, n, s->c, true, s->y, want);
        buffer_free(&px), buffer_free(&y);
        free(x), free(want);
    }
}

static void max_pool_keeps_nan(void **state)
{
    (void)state;
    const tlk_pool2d s = { .c = 16, .kh = 2, .kw = 2, .sh = 2, .sw = 2, .dh = 1, .dw = 1,
                           .x = { 2, 2, 0, 0, 0, 0 }, .y = { 1, 1, 0, 0, 0, 0 } };
    float x[4 * TLK_BLOCK] = { 0 }, y[TLK_BLOCK];
    x[0 * TLK_BLOCK + 3] = NAN; /* first of its window */
    x[3 * TLK_BLOCK + 5] = NAN; /* last of its window */
    tlk_max_pool2d_c16_item(&s, 0, 1, x, y);
    for (int l = 0; l < TLK_BLOCK; ++l)
        assert_int_equal(isnan(y[l]) != 0, l == 3 || l == 5);
}

static void mean_sums_rows(void **state)
{
    (void)state;
    static const tlk_mean_c16 s = { .c = 37, .x = { 7, 5, 1, 0, 2, 1 } };
    const int64_t n = 3;
    float *x = random_floats(n * s.c * 35), *want = random_floats(n * s.c);
    for (int64_t p = 0; p < n * s.c; ++p) {
        float sum = 0.0f;
        for (int h = 0; h < 7; ++h) {
            float row = 0.0f;
            for (int w = 0; w < 5; ++w)
                row += x[p * 35 + h * 5 + w];
            sum += row;
        }
        want[p] = sum / 35.0f;
    }
    buffer px = map_make(n, s.c, true, s.x, x), y = buffer_make(n * s.c);
    for (int64_t i = tlk_mean_c16_items(&s, n); i-- > 0;)
        tlk_mean_c16_item(&s, i, n, px.at, y.at);
    check_equal("mean_c16", &y, want);
    buffer_free(&px), buffer_free(&y);
    free(x), free(want);
}

/* --- elementwise, padding, relayout --------------------------- */

static const tlk_plane bare = { 5, 6, 0, 0, 0, 0 };
static const tlk_plane haloed = { 5, 6, 2, 1, 1, 3 };
enum { ELEMS = 3 * 21 * 30, PICTURES = 3, CHANNELS = 21 };

static void add_and_act(void **state)
{
    (void)state;
    const tlk_add_c16 s = { CHANNELS, bare, haloed, haloed };
    const tlk_act_c16 t = { CHANNELS, bare, haloed, TLK_ACT_CLIP, -0.25f, 0.5f };
    float *a = random_floats(ELEMS), *b = random_floats(ELEMS), *want = random_floats(ELEMS);
    buffer pa = map_make(PICTURES, CHANNELS, true, bare, a);
    buffer pb = map_make(PICTURES, CHANNELS, true, haloed, b);
    buffer y = buffer_make(pb.elems);
    for (int64_t i = tlk_add_c16_items(&s, PICTURES); i-- > 0;)
        tlk_add_c16_item(&s, i, PICTURES, pa.at, pb.at, y.at);
    for (int i = 0; i < ELEMS; ++i)
        want[i] = a[i] + b[i];
    map_check("add_c16", &y, PICTURES, CHANNELS, true, haloed, want);
    for (int64_t i = tlk_act_c16_items(&t, PICTURES); i-- > 0;)
        tlk_act_c16_item(&t, i, PICTURES, pa.at, y.at);
    for (int i = 0; i < ELEMS; ++i)
        want[i] = act_of(t.act, t.lo, t.hi, a[i]);
    map_check("act_c16", &y, PICTURES, CHANNELS, true, haloed, want);
    buffer_free(&pa), buffer_free(&pb), buffer_free(&y);
    free(a), free(b), free(want);
}

static void pad_fills_with_its_value(void **state)
{
    (void)state;
    const tlk_pad_c16 s = { .c = CHANNELS, .top = 1, .left = 2, .value = 1.5f, .x = haloed,
                            .y = { 8, 9, 1, 1, 0, 1 } };
    float *x = random_floats(ELEMS), *want = random_floats(PICTURES * CHANNELS * 72);
    for (int i = 0; i < PICTURES * CHANNELS * 72; ++i) {
        const int y = i % 72 / 9 - 1, c = i % 9 - 2;
        want[i] = y < 0 || c < 0 || y >= 5 || c >= 6 ? 1.5f : x[i / 72 * 30 + y * 6 + c];
    }
    buffer px = map_make(PICTURES, CHANNELS, true, haloed, x);
    buffer y = buffer_make(map_elems(PICTURES, CHANNELS, true, s.y));
    for (int64_t i = tlk_pad_c16_items(&s, PICTURES); i-- > 0;)
        tlk_pad_c16_item(&s, i, PICTURES, px.at, y.at);
    map_check("pad_c16", &y, PICTURES, CHANNELS, true, s.y, want);
    buffer_free(&px), buffer_free(&y);
    free(x), free(want);
}

static void relayout_moves_between_layouts(void **state)
{
    (void)state;
    float *x = random_floats(ELEMS);
    for (int c = 0; c < 16; ++c) {
        const tlk_relayout s = { .c = CHANNELS, .x_blocked = c & 1, .y_blocked = c >> 1 & 1,
                                 .x = c & 4 ? haloed : bare, .y = c & 8 ? haloed : bare };
        buffer px = map_make(PICTURES, CHANNELS, s.x_blocked, s.x, x);
        buffer y = buffer_make(map_elems(PICTURES, CHANNELS, s.y_blocked, s.y));
        for (int64_t i = tlk_relayout_items(&s, PICTURES); i-- > 0;)
            tlk_relayout_item(&s, i, PICTURES, px.at, y.at);
        map_check("relayout", &y, PICTURES, CHANNELS, s.y_blocked, s.y, x);
        buffer_free(&px), buffer_free(&y);
    }
    free(x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conv_is_its_chain),
        cmocka_unit_test(winograd_is_a_convolution),
        cmocka_unit_test(pools_clip_windows),
        cmocka_unit_test(max_pool_keeps_nan),
        cmocka_unit_test(mean_sums_rows),
        cmocka_unit_test(add_and_act),
        cmocka_unit_test(pad_fills_with_its_value),
        cmocka_unit_test(relayout_moves_between_layouts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
