/* tlr_pixels.c: a picture of any size to the network's input.
 *
 * Sizes and offsets are torchvision's Resize and CenterCrop; numbers are NumPy's float32
 * (x/255 - mean)/std, each operation rounded: one table of 256 values a channel.
 */
#include "tlr_pixels.h"

#include "tlr_resize.h"

#include <string.h>

enum { MAX_SIDE = 65500 };

/* One axis: pixels [first, first + count) of the resized picture go to [at, at + count). */
typedef struct axis {
    int64_t first;
    int at, count;
} axis;

/* d/2 to the nearest integer, halves to the even one: Python's round. */
static int64_t half_to_even(int64_t d)
{
    int64_t q = d / 2;
    return d % 2 == 0 || q % 2 == 0 ? q : q + 1;
}

static axis crop_axis(int64_t size, int crop)
{
    if (size < crop)
        return (axis){ 0, (crop - (int)size) / 2, (int)size };
    return (axis){ half_to_even(size - crop), 0, crop };
}

static void resized_size(const tlr_preprocess *p, int w, int h, int64_t *out_w, int64_t *out_h)
{
    int64_t s = p->resize_short;
    *out_w = p->resize_w > 0 ? p->resize_w : w;
    *out_h = p->resize_h > 0 ? p->resize_h : h;
    if (s > 0) {
        *out_w = w <= h ? s : s * w / h;
        *out_h = w <= h ? s * h / w : s;
    }
}

static tlr_window window_of(const tlr_preprocess *p, int w, int h, axis *x, axis *y)
{
    tlr_window win = { .src_w = w, .src_h = h };
    resized_size(p, w, h, &win.out_w, &win.out_h);
    *x = crop_axis(win.out_w, p->crop_w);
    *y = crop_axis(win.out_h, p->crop_h);
    win.x0 = x->first, win.cols = x->count;
    win.y0 = y->first, win.rows = y->count;
    return win;
}

static size_t crop_bytes(const tlr_preprocess *p)
{
    return ((size_t)p->crop_w * (size_t)p->crop_h * 3 + 15) / 16 * 16;
}

size_t tlr_pixels_scratch_bytes(const tlr_preprocess *p, int width, int height)
{
    axis x, y;
    tlr_window w = window_of(p, width, height, &x, &y);
    return crop_bytes(p) + tlr_window_scratch_bytes(w.cols, tlr_resize_taps(width, w.out_w),
                                                    tlr_resize_taps(height, w.out_h), width);
}

static int most_taps(int smallest_out)
{
    return smallest_out > 0 ? tlr_resize_taps(MAX_SIDE, smallest_out) : 3;
}

size_t tlr_pixels_scratch_max(const tlr_preprocess *p)
{
    int s = p->resize_short;
    int x = most_taps(s > 0 ? s : p->resize_w), y = most_taps(s > 0 ? s : p->resize_h);
    return crop_bytes(p) + tlr_window_scratch_bytes(p->crop_w, x, y, MAX_SIDE);
}

static int picture_ok(const tlr_picture *pic)
{
    return pic && pic->pixels && pic->width >= 1 && pic->width <= MAX_SIDE && pic->height >= 1 &&
           pic->height <= MAX_SIDE && (unsigned)pic->format <= TLR_GRAY;
}

tlr_status tlr_pixels_to_crop(const tlr_preprocess *p, const tlr_picture *pic, uint8_t *rgb,
                              void *scratch)
{
    if (!p || !rgb || !scratch || p->kind != TLR_PREPROCESS_PICTURE || !picture_ok(pic))
        return TLR_E_USAGE;
    axis x, y;
    tlr_window w = window_of(p, pic->width, pic->height, &x, &y);
    ptrdiff_t stride = (ptrdiff_t)p->crop_w * 3;
    if (w.cols < p->crop_w || w.rows < p->crop_h)
        memset(rgb, 0, (size_t)stride * (size_t)p->crop_h);
    tlr_resize_window(&w, pic, rgb + y.at * stride + x.at * 3, stride, scratch);
    return TLR_OK;
}

/* What every byte of one of the input's channels becomes. */
static void level_table(const tlr_preprocess *p, int channel, float table[256])
{
    for (int v = 0; v < 256; ++v) {
        float share = (float)v / 255.0f;
        table[v] = (share - p->mean[channel]) / p->std[channel];
    }
}

void tlr_normalise(const tlr_preprocess *p, const uint8_t *rgb, tlr_type type, void *input)
{
    size_t plane = (size_t)p->crop_w * (size_t)p->crop_h;
    size_t channel = p->channels_last ? 1 : plane, pixel = p->channels_last ? 3 : 1;
    for (size_t c = 0; c < 3; ++c) {
        float table[256];
        size_t from = p->bgr ? 2 - c : c;
        level_table(p, (int)c, table);
        float *f32 = (float *)input + c * channel;
        double *f64 = (double *)input + c * channel;
        for (size_t i = 0; i < plane; ++i) {
            if (type == TLR_F64)
                f64[i * pixel] = table[rgb[i * 3 + from]];
            else
                f32[i * pixel] = table[rgb[i * 3 + from]];
        }
    }
}

tlr_status tlr_pixels_to_input(const tlr_preprocess *p, const tlr_picture *pic, tlr_type type,
                               void *input, void *scratch)
{
    if (!p || !input || !scratch)
        return TLR_E_USAGE;
    uint8_t *rgb = scratch;
    tlr_status st = tlr_pixels_to_crop(p, pic, rgb, (char *)scratch + crop_bytes(p));
    if (st == TLR_OK)
        tlr_normalise(p, rgb, type, input);
    return st;
}
