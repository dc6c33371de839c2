/* test_cpu_grad_kernels.c: the CPU kernels of training against scalar loops in double.
 *
 * Shapes are odd on purpose: channel tails, strides and dilations that leave pixels without a tap,
 * halos larger than the padding, one and three pictures.  Buffers lie between guards and results
 * start as garbage, so what is not written shows; items run backwards must give the same bytes.
 */
#include "cpu_kernel_buffers.h"
#include "tlk_batch_norm.h"
#include "tlk_conv2d_grad_w.h"
#include "tlk_conv2d_grad_x.h"
#include "tlk_conv2d_update.h"
#include "tlk_grads.h"
#include "tlk_update.h"
#include "tlk_winograd_train.h"
#include "tlk_winograd_update.h"

/* Every stored element near what is wanted, and exactly zero where that is padding. */
static void check_near(const char *name, const buffer *b, const buffer *want, double scale)
{
    for (int64_t i = 0; i < b->elems; ++i) {
        const double error = fabs((double)b->at[i] - (double)want->at[i]);
        if (!(error <= 2e-6 * scale) || (want->at[i] == 0.0f && b->at[i] != 0.0f && error > 1e-6))
            fail_msg("%s: element %lld is %.9g, %.9g wanted", name, (long long)i,
                     (double)b->at[i], (double)want->at[i]);
    }
}

static void check_map_near(const char *name, const buffer *b, int64_t n, int c, tlk_plane p,
                           const float *want, double scale)
{
    buffer w = map_make(n, c, true, p, want);
    check_near(name, b, &w, scale);
    buffer_free(&w);
}

/* `call` for every item, forwards into a, backwards into b. */
#define RUN_BOTH(items, forwards, backwards)                                                   \
    do {                                                                                       \
        const int64_t count_ = (items);                                                        \
        for (int64_t i = 0; i < count_; ++i)                                                   \
            forwards;                                                                          \
        for (int64_t i = count_ - 1; i >= 0; --i)                                              \
            backwards;                                                                         \
    } while (0)

static void check_same(const char *name, const buffer *a, const buffer *b)
{
    if (memcmp(a->at, b->at, sizeof(float) * (size_t)a->elems) != 0)
        fail_msg("%s: items in another order give other bits", name);
}

/* --- convolution --------------------------- */

enum conv_kind { DIRECT, STEM, DEPTHWISE };

typedef struct conv_case {
    const char *name;
    enum conv_kind kind;
    const tlk_conv2d *s;
    void (*by_w)(int64_t n, bool backwards, const float *dy, const float *x, float *dw);
    void (*by_x)(int64_t n, bool backwards, void *scratch, const float *dy, const float *w,
                 float *dx);
    double loose; /* Winograd's arithmetic is its own: times the error of a chain */
    void (*adam)(int64_t n, void *scratch, float *w, float *m, float *v, const float *dy,
                 const float *x); /* NULL: Winograd's, which have a test of their own */
    void (*sgd)(int64_t n, void *scratch, float *w, float *buffer, const float *dy,
                const float *x);
} conv_case;

static const tlk_step joined_step = { .t = 3, .lr = 0.01, .weight_decay = 0.1, .momentum = 0.9,
                                      .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8 };

#define BY_W(kernel, id)                                                                       \
    static void id##_by_w(int64_t n, bool backwards, const float *dy, const float *x,          \
                          float *dw)                                                           \
    {                                                                                          \
        const int64_t items = tlk_##kernel##_items(&id, n);                                    \
        for (int64_t i = 0; i < items; ++i)                                                    \
            tlk_##kernel##_item(&id, backwards ? items - 1 - i : i, n, dy, x, dw);             \
    }
#define BY_X(kernel, id, SCRATCH)                                                              \
    static void id##_by_x(int64_t n, bool backwards, void *scratch, const float *dy,           \
                          const float *w, float *dx)                                           \
    {                                                                                          \
        (void)scratch;                                                                         \
        const int64_t items = tlk_##kernel##_items(&id, n);                                    \
        for (int64_t i = 0; i < items; ++i)                                                    \
            tlk_##kernel##_item(&id, backwards ? items - 1 - i : i, n, SCRATCH dy, w, dx);     \
    }
/* Gradient and update in one, items backwards. */
#define UPDATES(form_, id, ...)                                                                \
    static void id##_adam(int64_t n, void *scratch, float *w, float *m, float *v,              \
                          const float *dy, const float *x)                                     \
    {                                                                                          \
        static const tlk_conv2d_adam_c16 s = { { __VA_ARGS__ }, form_, .decoupled = true };    \
        for (int64_t i = tlk_conv2d_adam_c16_items(&s, n); i-- > 0;)                           \
            tlk_conv2d_adam_c16_item(&s, i, n, scratch, &joined_step, w, m, v, dy, x);         \
    }                                                                                          \
    static void id##_sgd(int64_t n, void *scratch, float *w, float *buffer, const float *dy,   \
                         const float *x)                                                       \
    {                                                                                          \
        static const tlk_conv2d_sgd_c16 s = { { __VA_ARGS__ }, form_, .nesterov = true };      \
        for (int64_t i = tlk_conv2d_sgd_c16_items(&s, n); i-- > 0;)                            \
            tlk_conv2d_sgd_c16_item(&s, i, n, scratch, &joined_step, w, buffer, dy, x);        \
    }
#define COMMA ,
#define DIRECT_CASE(id, ...)                                                                   \
    static const tlk_conv2d id = { __VA_ARGS__ };                                              \
    BY_W(conv2d_grad_w_direct, id) BY_X(conv2d_grad_x_direct, id, scratch COMMA)               \
    UPDATES(TLK_DW_DIRECT, id, __VA_ARGS__)
#define DEPTHWISE_CASE(id, ...)                                                                \
    static const tlk_conv2d id = { __VA_ARGS__ };                                              \
    BY_W(conv2d_grad_w_depthwise, id) BY_X(conv2d_grad_x_depthwise, id, )                      \
    UPDATES(TLK_DW_DEPTHWISE, id, __VA_ARGS__)
#define STEM_CASE(id, ...)                                                                     \
    static const tlk_conv2d id = { __VA_ARGS__ };                                              \
    BY_W(conv2d_grad_w_stem, id) UPDATES(TLK_DW_STEM, id, __VA_ARGS__)


/* Every kernel of the way: dw by dU, dx by the convolution of dy with the turned weight, which
 * reads its halo. */
TLK_INLINE void wino_by_w(const tlk_winograd_grad_u *u, int64_t n, bool backwards, const float *dy,
                      const float *x, float *dw)
{
    const tlk_winograd_grad_w g = { .oc = u->conv.oc, .ic = u->conv.ic, .parts = u->parts };
    const int64_t items = tlk_winograd_grad_u_items(u, n), last = tlk_winograd_grad_w_items(&g, n);
    buffer du = buffer_make((int64_t)u->parts * TLK_WINO_POS * u->conv.oc * u->conv.ic);
    const int64_t v = tlk_wino_step(u->tiles, u->in_group * TLK_BLOCK);
    const int64_t m = tlk_wino_step(u->tiles, u->out_group * TLK_BLOCK);
    buffer scratch = buffer_make(TLK_WINO_POS * (v + m));
    for (int64_t i = 0; i < items; ++i)
        tlk_winograd_grad_u_item(u, backwards ? items - 1 - i : i, n, scratch.at, dy, x, du.at);
    for (int64_t i = 0; i < last; ++i)
        tlk_winograd_grad_w_item(&g, backwards ? last - 1 - i : i, n, du.at, dw);
    buffer_free(&du), buffer_free(&scratch);
}

TLK_INLINE void wino_by_x(const tlk_conv2d_winograd *c, int64_t n, bool backwards, const float *dy,
                      const float *w, float *dx)
{
    const tlk_winograd_filter f = { .oc = c->conv.ic, .ic = c->conv.oc, .flip = true };
    const int64_t items = tlk_conv2d_winograd_items(c, n), first = tlk_winograd_filter_items(&f, n);
    buffer u = buffer_make((int64_t)TLK_WINO_POS * f.oc * f.ic);
    buffer scratch = buffer_make(TLK_WINO_POS * (tlk_wino_step(c->tiles, c->conv.ic) +
                                                 c->group * tlk_wino_step(c->tiles, TLK_BLOCK)));
    for (int64_t i = 0; i < first; ++i)
        tlk_winograd_filter_item(&f, backwards ? first - 1 - i : i, n, w, u.at);
    for (int64_t i = 0; i < items; ++i)
        tlk_conv2d_winograd_item(c, backwards ? items - 1 - i : i, n, scratch.at, dy, u.at, NULL,
                                 NULL, dx);
    buffer_free(&u), buffer_free(&scratch);
}

#define WINO(in, out, pad, px, py)                                                             \
    { .ic = in, .oc = out, .groups = 1, .kh = 3, .kw = 3, .sh = 1, .sw = 1, .dh = 1, .dw = 1,  \
      .pad_top = pad, .pad_left = pad, .x = PLANE_##px, .y = PLANE_##py }
/* A convolution of `in` to `out` channels, padded by `pad` all around. */
#define WINO_CASE(id, in, out, pad, px, py, chunk, outs, ins, shares)                          \
    static const tlk_conv2d id = WINO(in, out, pad, px, py);                                   \
    static void id##_by_w(int64_t n, bool backwards, const float *dy, const float *x,          \
                          float *dw)                                                           \
    {                                                                                          \
        static const tlk_winograd_grad_u u = { .conv = WINO(in, out, pad, px, py),             \
                                               .tiles = chunk, .out_group = outs,              \
                                               .in_group = ins, .parts = shares };             \
        wino_by_w(&u, n, backwards, dy, x, dw);                                                \
    }                                                                                          \
    static void id##_by_x(int64_t n, bool backwards, void *scratch, const float *dy,           \
                          const float *w, float *dx)                                           \
    {                                                                                          \
        (void)scratch;                                                                         \
        static const tlk_conv2d_winograd c = { .conv = WINO(out, in, 2 - pad, py, px),         \
                                               .tiles = chunk, .group = 2, .across = true }; \
        wino_by_x(&c, n, backwards, dy, w, dx);                                                \
    }
#define PLANE_9x14 { 9, 14, 1, 1, 1, 1 }
#define PLANE_10x7 { 10, 7, 0, 1, 0, 0 }
#define PLANE_8x5 { 8, 5, 2, 2, 2, 2 }
#define PLANE_4x4 { 4, 4, 1, 1, 1, 1 }
#define PLANE_4x4_wide { 4, 4, 1, 2, 1, 1 }

DIRECT_CASE(d3x3, .ic = 32, .oc = 48, .groups = 1, .kh = 3, .kw = 3, .sh = 1, .sw = 1, .dh = 1,
            .dw = 1, .pad_top = 1, .pad_left = 1, .x = { 7, 9, 1, 1, 1, 1 },
            .y = { 7, 9, 1, 1, 1, 1 })
DIRECT_CASE(d_tails, .ic = 19, .oc = 21, .groups = 1, .kh = 3, .kw = 2, .sh = 1, .sw = 1,
            .dh = 2, .dw = 1, .pad_top = 1, .pad_left = 0, .x = { 8, 6, 2, 1, 2, 0 },
            .y = { 6, 5, 3, 1, 4, 2 })
DIRECT_CASE(d_stride, .ic = 16, .oc = 16, .groups = 1, .kh = 3, .kw = 3, .sh = 2, .sw = 2,
            .dh = 1, .dw = 1, .pad_top = 1, .pad_left = 1, .x = { 10, 11, 1, 1, 0, 1 },
            .y = { 5, 6, 0, 0, 1, 0 })
DIRECT_CASE(d_sparse, .ic = 17, .oc = 16, .groups = 1, .kh = 1, .kw = 1, .sh = 3, .sw = 2,
            .dh = 1, .dw = 1, .x = { 8, 5, 0, 0, 0, 0 }, .y = { 3, 3, 0, 0, 0, 0 })
DIRECT_CASE(d_dilated, .ic = 16, .oc = 32, .groups = 1, .kh = 3, .kw = 3, .sh = 2, .sw = 3,
            .dh = 3, .dw = 2, .pad_top = 2, .pad_left = 3, .x = { 9, 12, 2, 3, 4, 3 },
            .y = { 4, 5, 2, 0, 2, 1 })
DIRECT_CASE(d_groups, .ic = 64, .oc = 32, .groups = 2, .kh = 3, .kw = 3, .sh = 1, .sw = 1,
            .dh = 1, .dw = 1, .pad_top = 1, .pad_left = 1, .x = { 4, 5, 1, 1, 1, 1 },
            .y = { 4, 5, 1, 1, 1, 1 })
DIRECT_CASE(d_bands, .ic = 16, .oc = 16, .groups = 1, .kh = 1, .kw = 1, .sh = 1, .sw = 1,
            .dh = 1, .dw = 1, .x = { 13, 29, 0, 0, 0, 0 }, .y = { 13, 29, 0, 0, 0, 0 })
DIRECT_CASE(d_pixel, .ic = 160, .oc = 16, .groups = 1, .kh = 1, .kw = 1, .sh = 1, .sw = 1,
            .dh = 1, .dw = 1, .x = { 1, 1, 0, 0, 0, 0 }, .y = { 1, 1, 0, 0, 0, 0 })
STEM_CASE(s7x7, .ic = 3, .oc = 40, .groups = 1, .kh = 7, .kw = 7, .sh = 2, .sw = 2, .dh = 1,
          .dw = 1, .pad_top = 3, .pad_left = 3, .x = { 22, 23, 3, 3, 3, 3 },
          .y = { 11, 12, 1, 1, 1, 1 })
STEM_CASE(s_one, .ic = 1, .oc = 16, .groups = 1, .kh = 3, .kw = 3, .sh = 1, .sw = 1, .dh = 1,
          .dw = 2, .pad_top = 1, .pad_left = 1, .x = { 5, 8, 2, 1, 1, 4 },
          .y = { 5, 6, 0, 0, 0, 0 })
DEPTHWISE_CASE(w3x3, .ic = 40, .oc = 40, .groups = 40, .kh = 3, .kw = 3, .sh = 1, .sw = 1,
               .dh = 1, .dw = 1, .pad_top = 1, .pad_left = 1, .x = { 9, 10, 1, 1, 1, 1 },
               .y = { 9, 10, 1, 1, 1, 1 })
DEPTHWISE_CASE(w5x5, .ic = 17, .oc = 17, .groups = 17, .kh = 5, .kw = 5, .sh = 2, .sw = 2,
               .dh = 1, .dw = 1, .pad_top = 2, .pad_left = 1, .x = { 14, 15, 2, 2, 2, 2 },
               .y = { 7, 7, 1, 1, 1, 1 })
WINO_CASE(u_same, 32, 48, 1, 9x14, 9x14, 6, 2, 1, 3)
WINO_CASE(u_valid, 48, 16, 0, 10x7, 8x5, 12, 1, 3, 1)
/* One tile a picture and more parts than tiles: some sums are of nothing. */
WINO_CASE(u_tiny, 16, 32, 1, 4x4, 4x4_wide, 24, 2, 1, 5)

#define CASE(kind, id) { #id, kind, &id, id##_by_w, id##_by_x, 1, id##_adam, id##_sgd }
static const conv_case conv_cases[] = {
    CASE(DIRECT, d3x3),     CASE(DIRECT, d_tails),  CASE(DIRECT, d_stride),
    CASE(DIRECT, d_sparse), CASE(DIRECT, d_dilated), CASE(DIRECT, d_groups),
    CASE(DIRECT, d_bands),  CASE(DIRECT, d_pixel),  CASE(DEPTHWISE, w3x3),
    CASE(DEPTHWISE, w5x5),  { "s7x7", STEM, &s7x7, s7x7_by_w, NULL, 1, s7x7_adam, s7x7_sgd },
    { "s_one", STEM, &s_one, s_one_by_w, NULL, 1, s_one_adam, s_one_sgd },
    { "u_same", DIRECT, &u_same, u_same_by_w, u_same_by_x, 8, NULL, NULL },
    { "u_valid", DIRECT, &u_valid, u_valid_by_w, u_valid_by_x, 8, NULL, NULL },
    { "u_tiny", DIRECT, &u_tiny, u_tiny_by_w, u_tiny_by_x, 8, NULL, NULL },
};
enum { N_CONV = sizeof conv_cases / sizeof conv_cases[0] };

/* Where filter element (o, i, k) lies in the kernel's layout; i within its group. */
static int64_t weight_at(const conv_case *k, int o, int i, int tap)
{
    const tlk_conv2d *s = k->s;
    const int64_t taps = (int64_t)s->kh * s->kw, icg = s->ic / s->groups;
    const int64_t lane = o % TLK_BLOCK, block = o / TLK_BLOCK;
    if (k->kind == STEM)
        return ((block * taps + tap) * icg + i) * TLK_BLOCK + lane;
    if (k->kind == DEPTHWISE)
        return (block * taps + tap) * TLK_BLOCK + lane;
    return (((block * tlk_blocks((int)icg) + i / TLK_BLOCK) * taps + tap) * TLK_BLOCK +
            i % TLK_BLOCK) * TLK_BLOCK + lane;
}

static int64_t weight_elems(const conv_case *k)
{
    const tlk_conv2d *s = k->s;
    const int icg = k->kind == DIRECT ? tlk_blocks(s->ic / s->groups) * TLK_BLOCK
                                      : s->ic / s->groups;
    return (int64_t)tlk_blocks(s->oc) * TLK_BLOCK * icg * s->kh * s->kw;
}

static buffer zeros(int64_t elems)
{
    buffer b = buffer_make(elems);
    memset(b.at, 0, sizeof(float) * (size_t)elems);
    return b;
}

/* fn for every product of the convolution: elements of dy, x and w that meet. */
typedef void meet_fn(void *self, int64_t dy, int64_t x, int64_t w);

static void each_product(const conv_case *k, int64_t n, meet_fn *fn, void *self)
{
    const tlk_conv2d *s = k->s;
    const int icg = s->ic / s->groups, ocg = s->oc / s->groups, taps = s->kh * s->kw;
    const int64_t plane = (int64_t)s->y.h * s->y.w, elems = n * s->oc * plane;
    for (int64_t e = 0; e < elems; ++e)
        for (int j = 0; j < icg * taps; ++j) {
            const int o = (int)(e / plane % s->oc), i = j / taps, tap = j % taps;
            const int h = (int)(e % plane / s->y.w) * s->sh - s->pad_top + tap / s->kw * s->dh;
            const int w = (int)(e % s->y.w) * s->sw - s->pad_left + tap % s->kw * s->dw;
            const int64_t c = e / plane / s->oc * s->ic + o / ocg * icg + i;
            if (h >= 0 && w >= 0 && h < s->x.h && w < s->x.w)
                fn(self, e, (c * s->x.h + h) * s->x.w + w, weight_at(k, o, i, tap));
        }
}

typedef struct sums {
    const float *dy, *other;
    double *sum;
} sums;

static void meet_by_w(void *self, int64_t dy, int64_t x, int64_t w)
{
    const sums *s = self;
    s->sum[w] += (double)s->dy[dy] * (double)s->other[x];
}

static void meet_by_x(void *self, int64_t dy, int64_t x, int64_t w)
{
    const sums *s = self;
    s->sum[x] += (double)s->dy[dy] * (double)s->other[w];
}

static float *narrowed(const double *sum, int64_t elems)
{
    float *v = malloc(sizeof(float) * (size_t)elems);
    assert_non_null(v);
    for (int64_t i = 0; i < elems; ++i)
        v[i] = (float)sum[i];
    return v;
}

static void check_by_w(const conv_case *k, int64_t n, const float *dyv, const float *xv)
{
    const tlk_conv2d *s = k->s;
    buffer dy = map_make(n, s->oc, true, s->y, dyv);
    buffer x = map_make(n, s->ic, k->kind != STEM, s->x, xv);
    buffer a = buffer_make(weight_elems(k)), b = buffer_make(weight_elems(k));
    sums want = { dyv, xv, calloc((size_t)a.elems, sizeof(double)) };
    each_product(k, n, meet_by_w, &want);
    float *narrow = narrowed(want.sum, a.elems);
    buffer w = copy_make(a.elems, narrow);
    k->by_w(n, false, dy.at, x.at, a.at);
    k->by_w(n, true, dy.at, x.at, b.at);
    check_near(k->name, &a, &w, k->loose * sqrt((double)n * s->y.h * s->y.w));
    check_same(k->name, &a, &b);
    free(want.sum);
    free(narrow);
    buffer *all[] = { &dy, &x, &a, &b, &w };
    for (int i = 0; i < 5; ++i)
        buffer_free(all[i]);
}

static void check_by_x(const conv_case *k, int64_t n, const float *dyv)
{
    const tlk_conv2d *s = k->s;
    const int64_t x_elems = n * s->ic * s->x.h * s->x.w;
    buffer dy = map_make(n, s->oc, true, s->y, dyv), w = zeros(weight_elems(k));
    for (int o = 0; o < s->oc; ++o)
        for (int j = 0; j < s->ic / s->groups * s->kh * s->kw; ++j)
            w.at[weight_at(k, o, j / (s->kh * s->kw), j % (s->kh * s->kw))] = random_float();
    sums want = { dyv, w.at, calloc((size_t)x_elems, sizeof(double)) };
    each_product(k, n, meet_by_x, &want);
    float *narrow = narrowed(want.sum, x_elems);
    buffer a = buffer_make(map_elems(n, s->ic, true, s->x)), b = buffer_make(a.elems);
    buffer scratch = buffer_make((int64_t)TLK_TILE_BLOCKS * tlk_blocks(s->oc / s->groups) *
                                 TLK_BLOCK * TLK_BLOCK * s->kh * s->kw);
    k->by_x(n, false, scratch.at, dy.at, w.at, a.at);
    k->by_x(n, true, scratch.at, dy.at, w.at, b.at);
    check_map_near(k->name, &a, n, s->ic, s->x, narrow,
                   k->loose * sqrt((double)s->oc / s->groups * s->kh * s->kw));
    check_same(k->name, &a, &b);
    free(want.sum);
    free(narrow);
    buffer *all[] = { &dy, &w, &a, &b, &scratch };
    for (int i = 0; i < 5; ++i)
        buffer_free(all[i]);
}

static void test_conv2d(void **state)
{
    (void)state;
    for (int i = 0; i < N_CONV; ++i)
        for (int64_t n = 1; n <= 3; n += 2) {
            const tlk_conv2d *s = conv_cases[i].s;
            random_state = (uint32_t)i + 1;
            float *dy = random_floats(n * s->oc * s->y.h * s->y.w);
            float *x = random_floats(n * s->ic * s->x.h * s->x.w);
            check_by_w(&conv_cases[i], n, dy, x);
            if (conv_cases[i].by_x)
                check_by_x(&conv_cases[i], n, dy);
            free(dy);
            free(x);
        }
}

/* --- gradient and update in one --------------------------- */

/* w, m, v twice: for the gradient and the sweep in turn, and for both in one. */
typedef struct joined_arrays {
    buffer w[2], m[2], v[2];
} joined_arrays;

static joined_arrays joined_make(int64_t elems)
{
    joined_arrays a;
    buffer *each[] = { a.w, a.m, a.v };
    for (int i = 0; i < 3; ++i) {
        float *values = random_floats(elems);
        for (int64_t k = 0; i == 2 && k < elems; ++k)
            values[k] = fabsf(values[k]);
        for (int copy = 0; copy < 2; ++copy)
            each[i][copy] = copy_make(elems, values);
        free(values);
    }
    return a;
}

static void joined_check(const char *name, joined_arrays *a)
{
    buffer *each[] = { a->w, a->m, a->v };
    for (int i = 0; i < 3; ++i) {
        check_same(name, &each[i][0], &each[i][1]);
        buffer_free(&each[i][0]), buffer_free(&each[i][1]);
    }
}

static void sweep_adam(int64_t elems, const float *dw, joined_arrays *a)
{
    const tlk_adam s = { .elems = elems, .decoupled = true };
    for (int64_t i = 0; i < tlk_adam_items(&s, 1); ++i)
        tlk_adam_item(&s, i, 1, &joined_step, a->w->at, a->m->at, a->v->at, dw);
}

static void sweep_sgd(int64_t elems, const float *dw, joined_arrays *a)
{
    const tlk_sgd s = { .elems = elems, .nesterov = true };
    for (int64_t i = 0; i < tlk_sgd_items(&s, 1); ++i)
        tlk_sgd_item(&s, i, 1, &joined_step, a->w->at, a->m->at, dw);
}

/* Scratch has room for the largest piece, four blocks of output by some of input, and a guard. */
static void check_joined(const conv_case *k, int64_t n, const float *dyv, const float *xv)
{
    const tlk_conv2d *s = k->s;
    const int64_t elems = weight_elems(k);
    buffer dy = map_make(n, s->oc, true, s->y, dyv), dw = buffer_make(elems);
    buffer x = map_make(n, s->ic, k->kind != STEM, s->x, xv);
    buffer scratch = buffer_make(4LL * tlk_dw_group(s) * s->kh * s->kw * TLK_BLOCK * TLK_BLOCK);
    joined_arrays a = joined_make(elems), b = joined_make(elems);
    k->by_w(n, false, dy.at, x.at, dw.at);
    sweep_adam(elems, dw.at, &a);
    k->adam(n, scratch.at, a.w[1].at, a.m[1].at, a.v[1].at, dy.at, x.at);
    joined_check(k->name, &a);
    sweep_sgd(elems, dw.at, &b);
    k->sgd(n, scratch.at, b.w[1].at, b.m[1].at, dy.at, x.at);
    joined_check(k->name, &b);
    buffer *all[] = { &dy, &x, &dw, &scratch };
    for (int i = 0; i < 4; ++i)
        buffer_free(all[i]);
}

static void test_conv2d_updates(void **state)
{
    (void)state;
    for (int i = 0; i < N_CONV; ++i)
        for (int64_t n = 1; n <= 3 && conv_cases[i].adam; n += 2) {
            const tlk_conv2d *s = conv_cases[i].s;
            random_state = (uint32_t)i + 20;
            float *dy = random_floats(n * s->oc * s->y.h * s->y.w);
            float *x = random_floats(n * s->ic * s->x.h * s->x.w);
            check_joined(&conv_cases[i], n, dy, x);
            free(dy);
            free(x);
        }
}

static void test_winograd_updates(void **state)
{
    enum { IN = 32, OUT = 48, PARTS = 3, ELEMS = 9 * IN * OUT };
    const tlk_winograd_grad_w g = { .oc = OUT, .ic = IN, .parts = PARTS };
    const tlk_winograd_adam adam = { .grad = g, .decoupled = true };
    const tlk_winograd_sgd sgd = { .grad = g, .nesterov = true };
    (void)state;
    random_state = 31;
    float *values = random_floats((int64_t)PARTS * TLK_WINO_POS * IN * OUT);
    buffer du = copy_make((int64_t)PARTS * TLK_WINO_POS * IN * OUT, values);
    buffer dw = buffer_make(ELEMS);
    joined_arrays a = joined_make(ELEMS), b = joined_make(ELEMS);
    for (int64_t i = tlk_winograd_grad_w_items(&g, 1); i-- > 0;) {
        tlk_winograd_grad_w_item(&g, i, 1, du.at, dw.at);
        tlk_winograd_adam_item(&adam, i, 1, &joined_step, a.w[1].at, a.m[1].at, a.v[1].at, du.at);
        tlk_winograd_sgd_item(&sgd, i, 1, &joined_step, b.w[1].at, b.m[1].at, du.at);
    }
    sweep_adam(ELEMS, dw.at, &a);
    sweep_sgd(ELEMS, dw.at, &b);
    joined_check("winograd", &a);
    joined_check("winograd", &b);
    buffer_free(&du), buffer_free(&dw);
    free(values);
}

/* --- batch norm --------------------------- */

enum { BN_C = 21, BN_H = 9, BN_W = 37, BN_PLANE = BN_H * BN_W };
static const tlk_batch_norm_c16 bn = { .c = BN_C, .x = { BN_H, BN_W, 1, 0, 2, 1 },
                                       .dy = { BN_H, BN_W, 0, 1, 0, 0 },
                                       .y = { BN_H, BN_W, 1, 1, 1, 1 },
                                       .epsilon = 1e-5, .momentum = 0.1 };

typedef struct bn_data {
    int64_t n;
    float *x, *dy, *y, *dx;                  /* logical maps: operands and what is wanted */
    float mean[BN_C], variance[BN_C], scale[BN_C], bias[BN_C], dscale[BN_C], dbias[BN_C];
} bn_data;

static int64_t bn_at(int64_t i, int c) /* i-th number of a channel over the batch */
{
    return (i / BN_PLANE * BN_C + c) * BN_PLANE + i % BN_PLANE;
}

/* What the definitions say of channel c, in double. */
static void bn_channel(bn_data *d, int c)
{
    const int64_t count = d->n * BN_PLANE;
    double mean = 0, spread = 0, sum = 0, dot = 0;
    for (int64_t i = 0; i < count; ++i)
        mean += (double)d->x[bn_at(i, c)] / (double)count;
    for (int64_t i = 0; i < count; ++i)
        spread += pow((double)d->x[bn_at(i, c)] - mean, 2) / (double)count;
    const double inverse = 1 / sqrt(spread + bn.epsilon);
    for (int64_t i = 0; i < count; ++i) {
        sum += (double)d->dy[bn_at(i, c)];
        dot += (double)d->dy[bn_at(i, c)] * ((double)d->x[bn_at(i, c)] - mean) * inverse;
    }
    for (int64_t i = 0; i < count; ++i) {
        const double xhat = ((double)d->x[bn_at(i, c)] - mean) * inverse;
        d->y[bn_at(i, c)] = (float)(xhat * (double)d->scale[c] + (double)d->bias[c]);
        d->dx[bn_at(i, c)] = (float)((double)d->scale[c] * inverse *
                                     ((double)d->dy[bn_at(i, c)] -
                                      (sum + xhat * dot) / (double)count));
    }
    d->mean[c] = (float)mean;
    d->variance[c] = (float)spread;
    d->dscale[c] = (float)dot;
    d->dbias[c] = (float)sum;
}

/* A mean that is 1000 times the deviation: sums of squares would lose every digit. */
static bn_data bn_make(int64_t n)
{
    const int64_t elems = n * BN_C * BN_PLANE;
    bn_data d = { .n = n, .x = random_floats(elems), .dy = random_floats(elems),
                  .y = random_floats(elems), .dx = random_floats(elems) };
    for (int64_t i = 0; i < elems; ++i)
        d.x[i] += i / BN_PLANE % BN_C == 3 ? 500.0f : 0.25f;
    for (int c = 0; c < BN_C; ++c) {
        d.scale[c] = random_float();
        d.bias[c] = random_float();
        bn_channel(&d, c);
    }
    return d;
}

static void bn_free(bn_data *d)
{
    free(d->x);
    free(d->dy);
    free(d->y);
    free(d->dx);
}

static void check_vector_near(const char *name, const buffer *b, const float *want, double scale)
{
    buffer w = pack_vector(BN_C, want);
    check_near(name, b, &w, scale);
    buffer_free(&w);
}

static void check_bn_train(const bn_data *d)
{
    buffer x = map_make(d->n, BN_C, true, bn.x, d->x);
    buffer scale = pack_vector(BN_C, d->scale), bias = pack_vector(BN_C, d->bias);
    buffer y = buffer_make(map_elems(d->n, BN_C, true, bn.y)), y2 = buffer_make(y.elems);
    buffer mean = buffer_make(32), variance = buffer_make(32);
    RUN_BOTH(tlk_batch_norm_train_c16_items(&bn, d->n),
             tlk_batch_norm_train_c16_item(&bn, i, d->n, x.at, scale.at, bias.at, y.at, mean.at,
                                           variance.at),
             tlk_batch_norm_train_c16_item(&bn, i, d->n, x.at, scale.at, bias.at, y2.at, mean.at,
                                           variance.at));
    check_same("batch_norm_train", &y, &y2);
    check_vector_near("mean", &mean, d->mean, 50); /* half a unit in the last place of 500 */
    check_vector_near("variance", &variance, d->variance, 1);
    check_map_near("batch_norm_train", &y, d->n, BN_C, bn.y, d->y, 50);
    buffer *all[] = { &x, &scale, &bias, &y, &y2, &mean, &variance };
    for (int i = 0; i < 7; ++i)
        buffer_free(all[i]);
}

static void check_bn_grads(const bn_data *d)
{
    buffer x = map_make(d->n, BN_C, true, bn.x, d->x);
    buffer dy = map_make(d->n, BN_C, true, bn.dy, d->dy);
    buffer scale = pack_vector(BN_C, d->scale), mean = pack_vector(BN_C, d->mean);
    buffer variance = pack_vector(BN_C, d->variance);
    buffer dscale = buffer_make(32), dbias = buffer_make(32);
    buffer dx = buffer_make(map_elems(d->n, BN_C, true, bn.y)), dx2 = buffer_make(dx.elems);
    RUN_BOTH(tlk_batch_norm_train_grad_scale_c16_items(&bn, d->n),
             tlk_batch_norm_train_grad_scale_c16_item(&bn, i, d->n, dy.at, x.at, mean.at,
                                                      variance.at, dscale.at, dbias.at),
             (void)i);
    check_vector_near("dscale", &dscale, d->dscale, 500);
    check_vector_near("dbias", &dbias, d->dbias, 20);
    RUN_BOTH(tlk_batch_norm_train_grad_x_c16_items(&bn, d->n),
             tlk_batch_norm_train_grad_x_c16_item(&bn, i, d->n, dy.at, x.at, scale.at, mean.at,
                                                  variance.at, dscale.at, dbias.at, dx.at),
             tlk_batch_norm_train_grad_x_c16_item(&bn, i, d->n, dy.at, x.at, scale.at, mean.at,
                                                  variance.at, dscale.at, dbias.at, dx2.at));
    check_same("batch_norm_train_grad_x", &dx, &dx2);
    check_map_near("batch_norm_train_grad_x", &dx, d->n, BN_C, bn.y, d->dx, 5);
    buffer *all[] = { &x, &dy, &scale, &mean, &variance, &dscale, &dbias, &dx, &dx2 };
    for (int i = 0; i < 9; ++i)
        buffer_free(all[i]);
}

/* By given statistics the same numbers come out, and running ones move a tenth of the way. */
static void check_bn_given(const bn_data *d)
{
    buffer x = map_make(d->n, BN_C, true, bn.x, d->x);
    buffer y = buffer_make(map_elems(d->n, BN_C, true, bn.y));
    buffer v[4] = { pack_vector(BN_C, d->scale), pack_vector(BN_C, d->bias),
                    pack_vector(BN_C, d->mean), pack_vector(BN_C, d->variance) };
    buffer running = zeros(32), spread = zeros(32);
    for (int64_t i = 0; i < tlk_batch_norm_c16_items(&bn, d->n); ++i)
        tlk_batch_norm_c16_item(&bn, i, d->n, x.at, v[0].at, v[1].at, v[2].at, v[3].at, y.at);
    check_map_near("batch_norm", &y, d->n, BN_C, bn.y, d->y, 50);
    tlk_batch_norm_stats_c16_item(&bn, 0, d->n, running.at, spread.at, v[2].at, v[3].at, x.at);
    const double count = (double)d->n * BN_PLANE;
    for (int c = 0; c < BN_C; ++c) {
        assert_float_equal(running.at[c], 0.1f * d->mean[c], 1e-5);
        assert_float_equal(spread.at[c], 0.1 * (double)d->variance[c] * count / (count - 1), 1e-6);
    }
    buffer *all[] = { &x, &y, &v[0], &v[1], &v[2], &v[3], &running, &spread };
    for (int i = 0; i < 8; ++i)
        buffer_free(all[i]);
}

static void test_batch_norm(void **state)
{
    (void)state;
    for (int64_t n = 1; n <= 3; n += 2) {
        random_state = 7;
        bn_data d = bn_make(n);
        check_bn_train(&d);
        check_bn_grads(&d);
        check_bn_given(&d);
        bn_free(&d);
    }
}

/* --- activations, bias, pools --------------------------- */

static const tlk_act_grad_c16 act_grads[] = {
    { .c = 18, .dy = { 3, 5, 0, 1, 1, 0 }, .y = { 3, 5, 1, 1, 1, 1 }, .dx = { 3, 5, 2, 0, 0, 1 },
      .act = TLK_ACT_RELU },
    { .c = 16, .dy = { 2, 2, 0, 0, 0, 0 }, .y = { 2, 2, 0, 0, 0, 0 }, .dx = { 2, 2, 1, 1, 1, 1 },
      .act = TLK_ACT_CLIP, .lo = -0.25f, .hi = 0.5f },
};

/* Some results of the activation stand on its bounds, where nothing passes. */
static void check_act_grad(const tlk_act_grad_c16 *s, int64_t n)
{
    const int64_t elems = n * s->c * s->dy.h * s->dy.w;
    float *dyv = random_floats(elems), *yv = random_floats(elems), *want = random_floats(elems);
    for (int64_t i = 0; i < elems; ++i) {
        const bool relu = s->act == TLK_ACT_RELU;
        yv[i] = i % 5 == 0 ? (relu ? 0.0f : i % 2 ? s->lo : s->hi) : yv[i];
        const bool passes = relu ? yv[i] > 0 : yv[i] > s->lo && yv[i] < s->hi;
        want[i] = passes ? dyv[i] : 0.0f;
    }
    buffer dy = map_make(n, s->c, true, s->dy, dyv), y = map_make(n, s->c, true, s->y, yv);
    buffer dx = buffer_make(map_elems(n, s->c, true, s->dx));
    for (int64_t i = tlk_act_grad_c16_items(s, n) - 1; i >= 0; --i)
        tlk_act_grad_c16_item(s, i, n, dy.at, y.at, dx.at);
    map_check("act_grad", &dx, n, s->c, true, s->dx, want);
    buffer_free(&dy);
    buffer_free(&y);
    buffer_free(&dx);
    free(dyv);
    free(yv);
    free(want);
}

static void test_act_grad(void **state)
{
    (void)state;
    random_state = 3;
    check_act_grad(&act_grads[0], 3);
    check_act_grad(&act_grads[1], 1);
}

static void test_bias_grad(void **state)
{
    (void)state;
    static const tlk_bias_grad_c16 s = { .c = 21, .dy = { 5, 7, 1, 0, 1, 2 } };
    enum { N = 3, PLANE = 35 };
    random_state = 4;
    float *v = random_floats(N * 21 * PLANE), want[21] = { 0 };
    for (int c = 0; c < 21; ++c) {
        double sum = 0;
        for (int i = 0; i < N * PLANE; ++i)
            sum += (double)v[(i / PLANE * 21 + c) * PLANE + i % PLANE];
        want[c] = (float)sum;
    }
    buffer dy = map_make(N, 21, true, s.dy, v), db = buffer_make(32);
    for (int64_t i = 0; i < tlk_bias_grad_c16_items(&s, N); ++i)
        tlk_bias_grad_c16_item(&s, i, N, dy.at, db.at);
    check_vector_near("bias_grad", &db, want, 5);
    buffer_free(&dy);
    buffer_free(&db);
    free(v);
}

/* Overlapping windows, padding, a tail of the input that no window meets. */
static const tlk_pool2d pools[] = {
    { .c = 20, .kh = 3, .kw = 3, .sh = 2, .sw = 2, .dh = 1, .dw = 1, .pad_top = 1, .pad_left = 1,
      .pad_bottom = 1, .pad_right = 1, .x = { 9, 8, 1, 1, 1, 1 }, .y = { 5, 4, 0, 1, 0, 0 } },
    { .c = 16, .kh = 2, .kw = 2, .sh = 2, .sw = 2, .dh = 1, .dw = 1, .count_include_pad = true,
      .x = { 7, 5, 0, 0, 0, 0 }, .y = { 3, 2, 1, 1, 1, 1 } },
    { .c = 17, .kh = 2, .kw = 3, .sh = 1, .sw = 1, .dh = 2, .dw = 1, .pad_left = 1,
      .count_include_pad = true, .x = { 6, 6, 0, 0, 0, 0 }, .y = { 4, 5, 0, 0, 0, 0 } },
};
enum { N_POOLS = sizeof pools / sizeof pools[0] };

static bool tap_inside(const tlk_pool2d *s, int64_t e, int tap, int64_t *x)
{
    const int64_t plane = (int64_t)s->y.h * s->y.w;
    const int h = (int)(e % plane / s->y.w) * s->sh - s->pad_top + tap / s->kw * s->dh;
    const int w = (int)(e % s->y.w) * s->sw - s->pad_left + tap % s->kw * s->dw;
    *x = (e / plane * s->x.h + h) * s->x.w + w;
    return h >= 0 && w >= 0 && h < s->x.h && w < s->x.w;
}

/* Everything of x that window e gives its gradient to. */
static void pool_window(const tlk_pool2d *s, bool max, int64_t e, float dy, const float *x,
                        float *dx)
{
    int64_t best = -1, at;
    int count = 0;
    for (int t = 0; t < s->kh * s->kw; ++t)
        if (tap_inside(s, e, t, &at)) {
            ++count;
            best = best < 0 || x[at] > x[best] ? at : best;
        }
    if (max)
        dx[best] += dy;
    if (s->count_include_pad) /* these cases' pads all count */
        count = s->kh * s->kw;
    for (int t = 0; !max && t < s->kh * s->kw; ++t)
        if (tap_inside(s, e, t, &at))
            dx[at] += dy / (float)count;
}

static void check_pool(const tlk_pool2d *s, bool max, int64_t n)
{
    const int64_t outs = n * s->c * s->y.h * s->y.w, ins = n * s->c * s->x.h * s->x.w;
    float *dyv = random_floats(outs), *xv = random_floats(ins);
    float *want = calloc((size_t)ins, sizeof(float));
    for (int64_t i = 0; i < ins; ++i)
        xv[i] = floorf(xv[i] * 4); /* equals are frequent */
    for (int64_t e = 0; e < outs; ++e)
        pool_window(s, max, e, dyv[e], xv, want);
    buffer x = map_make(n, s->c, true, s->x, xv), dy = map_make(n, s->c, true, s->y, dyv);
    buffer dx = buffer_make(x.elems);
    uint8_t *positions = malloc((size_t)(n * tlk_blocks(s->c) * 16 * s->y.h * s->y.w));
    const tlk_pool2d compact = { .c = s->c, .kh = s->kh, .kw = s->kw, .sh = s->sh, .sw = s->sw,
                                 .dh = s->dh, .dw = s->dw, .pad_top = s->pad_top,
                                 .pad_left = s->pad_left, .pad_bottom = s->pad_bottom,
                                 .pad_right = s->pad_right, .x = s->x,
                                 .y = { .h = s->y.h, .w = s->y.w } };
    for (int64_t i = tlk_pool2d_items(s, n) - 1; i >= 0; --i) {
        tlk_max_pool2d_positions_c16_item(&compact, i, n, x.at, positions);
        if (max)
            tlk_max_pool2d_grad_c16_item(s, i, n, dy.at, positions, dx.at);
        else
            tlk_avg_pool2d_grad_c16_item(s, i, n, dy.at, dx.at);
    }
    check_map_near(max ? "max_pool2d_grad" : "avg_pool2d_grad", &dx, n, s->c, s->x, want, 1);
    buffer_free(&x);
    buffer_free(&dy);
    buffer_free(&dx);
    free(positions);
    free(want);
    free(dyv);
    free(xv);
}

static void test_pools(void **state)
{
    (void)state;
    random_state = 5;
    for (int i = 0; i < N_POOLS; ++i)
        for (int64_t n = 1; n <= 3; n += 2) {
            check_pool(&pools[i], true, n);
            check_pool(&pools[i], false, n);
        }
}

static void test_mean_grad(void **state)
{
    (void)state;
    static const tlk_mean_grad_c16 s = { .c = 19, .x = { 3, 5, 1, 0, 0, 1 } };
    enum { N = 2, PLANE = 15 };
    random_state = 6;
    float *v = random_floats(N * 19), want[N * 19 * PLANE];
    for (int i = 0; i < N * 19 * PLANE; ++i)
        want[i] = v[i / PLANE] / PLANE;
    buffer dy = copy_make(N * 19, v), dx = buffer_make(map_elems(N, 19, true, s.x));
    for (int64_t i = 0; i < tlk_mean_grad_c16_items(&s, N); ++i)
        tlk_mean_grad_c16_item(&s, i, N, dy.at, dx.at);
    map_check("mean_grad", &dx, N, 19, true, s.x, want);
    buffer_free(&dy);
    buffer_free(&dx);
    free(v);
}

/* --- updates --------------------------- */

/* torch.optim's formulas in double, one step. */
static void check_updates(int64_t elems)
{
    const tlk_adam adam = { .elems = elems };
    const tlk_sgd sgd = { .elems = elems, .nesterov = true };
    const tlk_step step = { .t = 2, .lr = 0.01, .weight_decay = 0.1, .momentum = 0.9,
                            .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8 };
    float *v[4] = { random_floats(elems), random_floats(elems), random_floats(elems),
                    random_floats(elems) };
    for (int64_t i = 0; i < elems; ++i)
        v[2][i] = fabsf(v[2][i]);
    buffer w = copy_make(elems, v[0]), m = copy_make(elems, v[1]), u = copy_make(elems, v[2]);
    buffer w2 = copy_make(elems, v[0]), b = copy_make(elems, v[1]);
    for (int64_t i = tlk_adam_items(&adam, 1) - 1; i >= 0; --i)
        tlk_adam_item(&adam, i, 1, &step, w.at, m.at, u.at, v[3]);
    for (int64_t i = tlk_sgd_items(&sgd, 1) - 1; i >= 0; --i)
        tlk_sgd_item(&sgd, i, 1, &step, w2.at, b.at, v[3]);
    for (int64_t i = 0; i < elems; ++i) {
        const double g = v[3][i] + 0.1 * v[0][i];
        const double m1 = 0.9 * v[1][i] + 0.1 * g, u1 = 0.999 * v[2][i] + 0.001 * g * g;
        const double root = sqrt(u1) / sqrt(1 - 0.999 * 0.999) + 1e-8, b1 = 0.9 * v[1][i] + g;
        assert_float_equal(m.at[i], m1, 1e-6);
        assert_float_equal(u.at[i], u1, 1e-6);
        assert_float_equal(w.at[i], v[0][i] - 0.01 / (1 - 0.81) * m1 / root, 2e-6);
        assert_float_equal(b.at[i], b1, 1e-6);
        assert_float_equal(w2.at[i], v[0][i] - 0.01 * (g + 0.9 * b1), 1e-6);
    }
    buffer *all[] = { &w, &m, &u, &w2, &b };
    for (int i = 0; i < 5; ++i)
        buffer_free(all[i]);
    for (int i = 0; i < 4; ++i)
        free(v[i]);
}

/* The first batch of a step sets the sum, the second is added. */
static void check_accumulate(int64_t elems)
{
    const tlk_accumulate s = { .elems = elems };
    float *v[2] = { random_floats(elems), random_floats(elems) };
    buffer sum = copy_make(elems, v[0]);
    for (int batch = 0; batch < 2; ++batch) {
        const tlk_step step = { .batch = batch };
        for (int64_t i = tlk_accumulate_items(&s, 1) - 1; i >= 0; --i)
            tlk_accumulate_item(&s, i, 1, &step, sum.at, v[1]);
    }
    for (int64_t i = 0; i < elems; ++i)
        assert_true(sum.at[i] == v[1][i] + v[1][i]);
    buffer_free(&sum);
    free(v[0]);
    free(v[1]);
}

static void test_updates(void **state)
{
    (void)state;
    random_state = 8;
    static const int64_t sizes[] = { 1, 16, 33, TLK_UPDATE_FLOATS, TLK_UPDATE_FLOATS + 5 };
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; ++i)
        check_updates(sizes[i]), check_accumulate(sizes[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conv2d),    cmocka_unit_test(test_batch_norm),
        cmocka_unit_test(test_act_grad),  cmocka_unit_test(test_bias_grad),
        cmocka_unit_test(test_pools),     cmocka_unit_test(test_mean_grad),
        cmocka_unit_test(test_updates),   cmocka_unit_test(test_conv2d_updates),
        cmocka_unit_test(test_winograd_updates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
