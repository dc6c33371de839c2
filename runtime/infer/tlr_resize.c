/* tlr_resize.c: Pillow's antialiased bilinear resize, byte for byte.
 *
 * Two passes with 8 bits between them.  A weight is a triangle's value, normalised in double and
 * rounded to 22-bit fixed point; the sums are integers, so that order and vector width do not
 * matter.  Across comes first, and rows that the second pass still needs are kept in a ring;
 * where the height loses more than twice what the width does, Pillow 13 goes down first,
 * and one row is enough.  So memory depends on the ratio of sizes, not on the height.
 * Reference: Pillow, src/libImaging/Resample.c.
 */
#include "tlr_resize.h"

#include "tlr_pixels.h"

#include <math.h>
#include <string.h>

enum { PRECISION_BITS = 32 - 8 - 2 };

/* Where red, green and blue stand in a pixel. */
static const struct channels {
    uint8_t r, g, b, bytes;
} formats[] = {
    [TLR_RGB] = { 0, 1, 2, 3 },  [TLR_BGR] = { 2, 1, 0, 3 },  [TLR_RGBA] = { 0, 1, 2, 4 },
    [TLR_BGRA] = { 2, 1, 0, 4 }, [TLR_GRAY] = { 0, 0, 0, 1 },
};

/* The scratch block, cut up. */
typedef struct tables {
    int taps_x, taps_y;
    int32_t *coef_x;        /* [cols][taps_x] */
    int32_t *first, *count; /* [cols]: source columns that a column reads */
    int32_t *coef_y;        /* [taps_y] of the row in work */
    uint8_t *rows;          /* after the first pass: ring of [taps_y][cols*3], or one row */
} tables;

/* Rows for the pass down: row i is at base + i*stride, of a ring i % ring. */
typedef struct rows {
    const uint8_t *base;
    ptrdiff_t stride;
    int ring; /* 0: none */
    struct channels ch;
} rows;

static double filter_scale(int in, int64_t out)
{
    double scale = (double)in / (double)out;
    return scale < 1.0 ? 1.0 : scale;
}

int tlr_resize_taps(int in, int64_t out)
{
    int taps = (int)ceil(filter_scale(in, out)) * 2 + 1;
    return taps < in ? taps : in;
}

static size_t round16(size_t n)
{
    return (n + 15) / 16 * 16;
}

static size_t rows_bytes(size_t cols, size_t taps_y, size_t read)
{
    return (taps_y * cols > read ? taps_y * cols : read) * 3;
}

size_t tlr_window_scratch_bytes(int cols, int taps_x, int taps_y, int read)
{
    size_t c = (size_t)cols, x = (size_t)taps_x, y = (size_t)taps_y;
    return round16(c * x * 4) + 2 * round16(c * 4) + round16(y * 4) +
           round16(rows_bytes(c, y, (size_t)read));
}

static void *take(char **at, size_t bytes)
{
    void *p = *at;
    *at += round16(bytes);
    return p;
}

static tables cut(void *scratch, int cols, int taps_x, int taps_y)
{
    char *at = scratch;
    size_t c = (size_t)cols;
    tables t = { .taps_x = taps_x, .taps_y = taps_y };
    t.coef_x = take(&at, c * (size_t)taps_x * 4);
    t.first = take(&at, c * 4);
    t.count = take(&at, c * 4);
    t.coef_y = take(&at, (size_t)taps_y * 4);
    t.rows = (uint8_t *)at;
    return t;
}

static double triangle(double x)
{
    if (x < 0.0)
        x = -x;
    return x < 1.0 ? 1.0 - x : 0.0;
}

static int32_t to_fixed(double weight)
{
    return (int32_t)(0.5 + weight * (1 << PRECISION_BITS));
}

/* Weights of output position `at`; returns how many, *first: of which source positions.
 * The weights are computed twice rather than kept as doubles. */
static int weights_at(int in, int64_t out, int64_t at, int32_t *coef, int32_t *first)
{
    double scale = (double)in / (double)out, support = filter_scale(in, out);
    double center = ((double)at + 0.5) * scale, inverse = 1.0 / support, total = 0.0;
    int lo = (int)(center - support + 0.5), hi = (int)(center + support + 0.5);
    lo = lo < 0 ? 0 : lo;
    hi = hi > in ? in : hi;
    for (int i = lo; i < hi; ++i)
        total += triangle((i - center + 0.5) * inverse);
    for (int i = lo; i < hi; ++i) {
        double w = triangle((i - center + 0.5) * inverse);
        coef[i - lo] = to_fixed(total != 0.0 ? w / total : w);
    }
    *first = lo;
    return hi - lo;
}

/* Weights are positive and sum to one within rounding, so only the upper end can be passed. */
static uint8_t to_byte(int32_t sum)
{
    int32_t v = sum >> PRECISION_BITS;
    return (uint8_t)(v > 255 ? 255 : v);
}

/* First pass: one source row to `cols` packed RGB pixels. */
static void across(const tables *t, int cols, const uint8_t *row, struct channels ch, uint8_t *out)
{
    for (int c = 0; c < cols; ++c, out += 3) {
        const int32_t *k = t->coef_x + (size_t)c * (size_t)t->taps_x;
        const uint8_t *px = row + (size_t)t->first[c] * ch.bytes;
        int32_t r = 1 << (PRECISION_BITS - 1), g = r, b = r;
        for (int i = 0; i < t->count[c]; ++i, px += ch.bytes) {
            r += px[ch.r] * k[i];
            g += px[ch.g] * k[i];
            b += px[ch.b] * k[i];
        }
        out[0] = to_byte(r);
        out[1] = to_byte(g);
        out[2] = to_byte(b);
    }
}

/* `count` rows from row `first` to one row of packed RGB. */
static void down(const tables *t, const rows *r, int cols, int first, int count, uint8_t *out)
{
    enum { STRIP = 256 }; /* columns whose sums stay in the cache */
    for (int x0 = 0; x0 < cols; x0 += STRIP) {
        int32_t sum[STRIP * 3];
        int n = cols - x0 < STRIP ? cols - x0 : STRIP;
        for (int x = 0; x < n * 3; ++x)
            sum[x] = 1 << (PRECISION_BITS - 1);
        for (int i = 0; i < count; ++i) {
            int row = r->ring ? (first + i) % r->ring : first + i;
            const uint8_t *px = r->base + row * r->stride + (ptrdiff_t)x0 * r->ch.bytes;
            int32_t k = t->coef_y[i];
            for (int x = 0; x < n; ++x, px += r->ch.bytes) {
                sum[x * 3] += px[r->ch.r] * k;
                sum[x * 3 + 1] += px[r->ch.g] * k;
                sum[x * 3 + 2] += px[r->ch.b] * k;
            }
        }
        for (int x = 0; x < n * 3; ++x)
            *out++ = to_byte(sum[x]);
    }
}

/* Where Pillow goes down first. Found from its results; upsampled heights never do. */
static int down_first(const tlr_window *w)
{
    return w->out_h < w->src_h && w->src_h - w->out_h > 2 * (w->src_w - w->out_w);
}

static void across_then_down(const tlr_window *w, const tlr_picture *src, const tables *t,
                             uint8_t *dst, ptrdiff_t dst_stride)
{
    ptrdiff_t bytes = (ptrdiff_t)w->cols * 3;
    rows ring = { t->rows, bytes, t->taps_y, formats[TLR_RGB] };
    int next = 0;
    for (int y = 0; y < w->rows; ++y) {
        int32_t first;
        int count = weights_at(w->src_h, w->out_h, w->y0 + y, t->coef_y, &first);
        next = next < first ? first : next;
        for (; next < first + count; ++next)
            across(t, w->cols, src->pixels + next * src->stride_bytes, formats[src->format],
                   t->rows + next % t->taps_y * bytes);
        down(t, &ring, w->cols, first, count, dst + y * dst_stride);
    }
}

static void down_then_across(const tlr_window *w, const tlr_picture *src, const tables *t,
                             uint8_t *dst, ptrdiff_t dst_stride)
{
    int last = w->cols - 1, left = t->first[0], read = t->first[last] + t->count[last] - left;
    struct channels ch = formats[src->format];
    rows all = { src->pixels + (ptrdiff_t)left * ch.bytes, src->stride_bytes, 0, ch };
    for (int c = 0; c < w->cols; ++c)
        t->first[c] -= left;
    for (int y = 0; y < w->rows; ++y) {
        int32_t first;
        int count = weights_at(w->src_h, w->out_h, w->y0 + y, t->coef_y, &first);
        down(t, &all, read, first, count, t->rows);
        across(t, w->cols, t->rows, formats[TLR_RGB], dst + y * dst_stride);
    }
}

void tlr_resize_window(const tlr_window *w, const tlr_picture *src, uint8_t *dst,
                       ptrdiff_t dst_stride, void *scratch)
{
    tables t = cut(scratch, w->cols, tlr_resize_taps(w->src_w, w->out_w),
                   tlr_resize_taps(w->src_h, w->out_h));
    for (int c = 0; c < w->cols; ++c)
        t.count[c] = weights_at(w->src_w, w->out_w, w->x0 + c,
                                t.coef_x + (size_t)c * (size_t)t.taps_x, &t.first[c]);
    if (down_first(w))
        down_then_across(w, src, &t, dst, dst_stride);
    else
        across_then_down(w, src, &t, dst, dst_stride);
}

size_t tlr_resize_scratch_bytes(int w, int h, int dst_w, int dst_h)
{
    return tlr_window_scratch_bytes(dst_w, tlr_resize_taps(w, dst_w), tlr_resize_taps(h, dst_h), w);
}

void tlr_resize_rgb(const uint8_t *src, int w, int h, ptrdiff_t stride_bytes, tlr_pixels format,
                    uint8_t *dst, int dst_w, int dst_h, void *scratch)
{
    tlr_window all = { w, h, dst_w, dst_h, 0, 0, dst_w, dst_h };
    tlr_picture pic = { src, w, h, stride_bytes, format };
    tlr_resize_window(&all, &pic, dst, (ptrdiff_t)dst_w * 3, scratch);
}
