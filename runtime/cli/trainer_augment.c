/* trainer_augment.c: the draws, and the colours as Pillow computes them, byte for byte. */
#include "trainer_augment.h"

#include "tlk_philox.h"
#include "tlr_pixels.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- what is asked for --------------------------------------------------------------------- */

bool trainer_augment_any(const trainer_augment *a)
{
    return a->flip || a->crop || a->color;
}

bool trainer_augment_parse(const char *list, trainer_augment *out)
{
    trainer_augment a = { 0 };
    const struct { const char *name; bool *to; } words[] = {
        { "flip", &a.flip }, { "crop", &a.crop }, { "color", &a.color },
    };
    for (;; ++list) {
        size_t n = strcspn(list, ","), i = 0;
        while (i < 3 && (strlen(words[i].name) != n || strncmp(words[i].name, list, n) != 0))
            ++i;
        if (i == 3 || *words[i].to)
            return false;
        *words[i].to = true;
        list += n;
        if (*list == '\0')
            break;
    }
    *out = a;
    return true;
}

/* --- draws: slots of the stream ------------------------------------------------------------ */

enum { SLOT_FLIP = 0, SLOT_CROP = 1, SLOT_COLOR = 41, SLOT_ORDER = 45, ATTEMPTS = 10 };

static double between(tlk_stream s, int slot, double low, double high)
{
    return low + (high - low) * tlk_random_uniform(s, (uint64_t)slot);
}

/* In [0, n). */
static int below(tlk_stream s, int slot, int n)
{
    return (int)(((uint64_t)tlk_random_word(s, (uint64_t)slot) * (uint64_t)n) >> 32);
}

static const double RATIO_LOW = 3.0 / 4, RATIO_HIGH = 4.0 / 3, AREA_LOW = 0.08;

/* No attempt fitted: the middle, as large as the ratios allow. */
static void central_crop(int width, int height, trainer_draw *d)
{
    double ratio = (double)width / height;
    d->width = width;
    d->height = height;
    if (ratio < RATIO_LOW)
        d->height = (int)nearbyint(width / RATIO_LOW);
    else if (ratio > RATIO_HIGH)
        d->width = (int)nearbyint(height * RATIO_HIGH);
    d->top = (height - d->height) / 2;
    d->left = (width - d->width) / 2;
}

/* RandomResizedCrop.get_params. */
static void draw_crop(tlk_stream s, int width, int height, trainer_draw *d)
{
    double area = (double)width * height;
    for (int k = 0; k < ATTEMPTS; ++k) {
        int slot = SLOT_CROP + 4 * k;
        double target = area * between(s, slot, AREA_LOW, 1);
        double ratio = exp(between(s, slot + 1, log(RATIO_LOW), log(RATIO_HIGH)));
        double w = nearbyint(sqrt(target * ratio)), h = nearbyint(sqrt(target / ratio));
        if (w < 1 || w > width || h < 1 || h > height)
            continue;
        d->width = (int)w;
        d->height = (int)h;
        d->top = below(s, slot + 2, height - d->height + 1);
        d->left = below(s, slot + 3, width - d->width + 1);
        return;
    }
    central_crop(width, height, d);
}

/* The order is permutation number word*24 >> 32, in Lehmer's code. */
static void draw_color(tlk_stream s, trainer_draw *d)
{
    static const double reach[N_JITTERS] = { 0.4, 0.4, 0.4, 0.1 };
    trainer_jitter left[N_JITTERS];
    int code = below(s, SLOT_ORDER, 24);
    for (int k = 0; k < N_JITTERS; ++k) {
        double middle = k == JITTER_HUE ? 0 : 1;
        d->factor[k] = between(s, SLOT_COLOR + k, middle - reach[k], middle + reach[k]);
        left[k] = (trainer_jitter)k;
    }
    static const int weight[N_JITTERS] = { 6, 2, 1, 1 };
    for (int k = 0; k < N_JITTERS; ++k) {
        int at = code / weight[k];
        code %= weight[k];
        d->order[k] = left[at];
        memmove(left + at, left + at + 1, (size_t)(N_JITTERS - 1 - at) * sizeof *left);
    }
}

void trainer_augment_draw(const trainer_augment *a, uint64_t seed, int64_t view, int64_t index,
                          int width, int height, trainer_draw *out)
{
    tlk_stream s = { seed, (uint32_t)view, (uint32_t)index, TLK_RANDOM_AUGMENT };
    *out = (trainer_draw){ .crop = a->crop, .color = a->color };
    out->flip = a->flip && tlk_random_uniform(s, SLOT_FLIP) < 0.5;
    if (a->crop)
        draw_crop(s, width, height, out);
    if (a->color)
        draw_color(s, out);
}

/* --- colours: Pillow's ImageEnhance and HSV conversion ------------------------------------- */

static uint8_t clip8(int v)
{
    return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

static int luma(const uint8_t *p)
{
    return (p[0] * 19595 + p[1] * 38470 + p[2] * 7471 + 0x8000) >> 16;
}

/* Image.blend of one byte. */
static uint8_t blend(int from, int to, float alpha)
{
    float v = (float)from + alpha * (float)(to - from);
    return v <= 0 ? 0 : v >= 255 ? 255 : (uint8_t)v;
}

/* The picture without contrast: its mean gray everywhere. */
static int mean_luma(const uint8_t *rgb, size_t n)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < n; ++i)
        sum += (uint64_t)luma(rgb + 3 * i);
    return (int)((double)sum / (double)n + 0.5);
}

/* Hue and saturation in 0 to 255; the value is the largest channel. */
static void to_hsv(const uint8_t *p, uint8_t hsv[3])
{
    int most = p[0] > p[1] ? p[0] : p[1], least = p[0] < p[1] ? p[0] : p[1];
    most = most > p[2] ? most : p[2];
    least = least < p[2] ? least : p[2];
    hsv[0] = hsv[1] = 0;
    hsv[2] = (uint8_t)most;
    if (most == least)
        return;
    float range = (float)(most - least), s = range / (float)most, h;
    float r = (float)(most - p[0]) / range, g = (float)(most - p[1]) / range,
          b = (float)(most - p[2]) / range;
    if (p[0] == most)
        h = b - g;
    else if (p[1] == most)
        h = (float)(2.0 + (double)r - (double)b);
    else
        h = (float)(4.0 + (double)g - (double)r);
    h = (float)fmod((double)h / 6.0 + 1.0, 1.0);
    hsv[0] = clip8((int)((double)h * 255.0));
    hsv[1] = clip8((int)((double)s * 255.0));
}

static void to_rgb(const uint8_t hsv[3], uint8_t *p)
{
    int v = hsv[2];
    double h = hsv[0] * 6.0 / 255.0;
    int sector = (int)floor(h);
    float f = (float)(h - (double)(float)sector), s = (float)(hsv[1] / 255.0);
    uint8_t low = clip8((int)round((float)v * (1.0 - (double)s)));
    uint8_t falls = clip8((int)round((float)v * (1.0 - (double)(s * f))));
    uint8_t rises = clip8((int)round((float)v * (1.0 - (double)s * (1.0 - (double)f))));
    const uint8_t top = (uint8_t)v;
    const uint8_t table[6][3] = { { top, rises, low }, { falls, top, low }, { low, top, rises },
                                  { low, falls, top }, { rises, low, top }, { top, low, falls } };
    if (hsv[1] == 0)
        p[0] = p[1] = p[2] = top;
    else
        memcpy(p, table[sector % 6], 3);
}

static void turn_hue(double turns, uint8_t *rgb, size_t n)
{
    uint8_t add = (uint8_t)(int)(turns * 255);
    for (size_t i = 0; i < n; ++i) {
        uint8_t hsv[3];
        to_hsv(rgb + 3 * i, hsv);
        hsv[0] = (uint8_t)(hsv[0] + add);
        to_rgb(hsv, rgb + 3 * i);
    }
}

void trainer_jitter_apply(trainer_jitter kind, double factor, uint8_t *rgb, size_t n)
{
    if (kind == JITTER_HUE) {
        turn_hue(factor, rgb, n);
        return;
    }
    int mean = kind == JITTER_CONTRAST ? mean_luma(rgb, n) : 0;
    for (size_t i = 0; i < n; ++i, rgb += 3) {
        int from = kind == JITTER_SATURATION ? luma(rgb) : mean;
        for (int c = 0; c < 3; ++c)
            rgb[c] = blend(from, rgb[c], (float)factor);
    }
}

/* --- one view ------------------------------------------------------------------------------ */

static void mirror(uint8_t *rgb, int width, int height)
{
    for (int y = 0; y < height; ++y, rgb += 3 * (size_t)width)
        for (int a = 0, b = width - 1; a < b; ++a, --b) {
            uint8_t kept[3];
            memcpy(kept, rgb + 3 * a, 3);
            memcpy(rgb + 3 * a, rgb + 3 * b, 3);
            memcpy(rgb + 3 * b, kept, 3);
        }
}

static bool grow(tlr_loader *l, size_t bytes)
{
    if (bytes <= l->scratch_bytes)
        return true;
    void *more = aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (!more)
        return false;
    free(l->scratch);
    l->scratch = more;
    l->scratch_bytes = bytes;
    return true;
}

/* Resized part, or the usual crop, then flip and colours, to `out`; false: no memory. */
static bool make_view(tlr_loader *l, const trainer_draw *d, const tlr_rgb *rgb, uint8_t *out)
{
    const tlr_preprocess *p = l->preprocess;
    tlr_picture pic = { rgb->pixels, rgb->width, rgb->height, (ptrdiff_t)rgb->width * 3, TLR_RGB };
    size_t n = (size_t)p->crop_w * (size_t)p->crop_h;
    size_t need = d->crop ? tlr_resize_scratch_bytes(d->width, d->height, p->crop_w, p->crop_h)
                          : tlr_pixels_scratch_bytes(p, rgb->width, rgb->height);
    if (!grow(l, need))
        return false;
    if (d->crop)
        tlr_resize_rgb(rgb->pixels + ((size_t)d->top * (size_t)rgb->width + (size_t)d->left) * 3,
                       d->width, d->height, pic.stride_bytes, TLR_RGB, out, p->crop_w, p->crop_h,
                       l->scratch);
    else if (tlr_pixels_to_crop(p, &pic, out, l->scratch) != TLR_OK)
        return false;
    if (d->flip)
        mirror(out, p->crop_w, p->crop_h);
    for (int k = 0; d->color && k < N_JITTERS; ++k)
        trainer_jitter_apply(d->order[k], d->factor[d->order[k]], out, n);
    return true;
}

tlb_status trainer_load_view(tlr_loader *l, const char *path, const trainer_augment *a,
                             uint64_t seed, int64_t view, int64_t index, void *input,
                             tlr_image_note *note)
{
    tlr_rgb rgb;
    trainer_draw d;
    const tlr_preprocess *p = l->preprocess;
    tlb_status status = tlr_image_load(path, l->limits, l->exif, &rgb, note);
    if (status != TLB_OK)
        return status;
    uint8_t *out = malloc((size_t)p->crop_w * (size_t)p->crop_h * 3);
    trainer_augment_draw(a, seed, view, index, rgb.width, rgb.height, &d);
    if (out && make_view(l, &d, &rgb, out)) {
        tlr_normalise(p, out, l->type, input);
    } else {
        note->what = "out of memory";
        status = TLB_E_LIMIT;
    }
    free(out);
    tlr_rgb_free(&rgb);
    return status;
}
