/* tlr_exif.c: EXIF's tag 0x0112 in a JPEG's APP1 or a PNG's eXIf, read without trusting it:
 * every offset is held against the bytes that are there, and only the first directory is read.
 */
#include "tlr_exif.h"

#include <stdlib.h>
#include <string.h>

enum { TAG_ORIENTATION = 0x0112, ENTRY_BYTES = 12 };

typedef struct tiff {
    const uint8_t *bytes;
    size_t n;
    int big; /* byte order */
} tiff;

static unsigned get16(const tiff *t, size_t at)
{
    const uint8_t *b = t->bytes + at;
    return t->big ? (unsigned)b[0] << 8 | b[1] : (unsigned)b[1] << 8 | b[0];
}

static size_t get32(const tiff *t, size_t at)
{
    size_t a = get16(t, at), b = get16(t, at + 2);
    return t->big ? a << 16 | b : b << 16 | a;
}

static int orientation_of(const uint8_t *bytes, size_t n)
{
    tiff t = { bytes, n, n >= 8 && bytes[0] == 'M' };
    if (n < 8 || (memcmp(bytes, "II*\0", 4) != 0 && memcmp(bytes, "MM\0*", 4) != 0))
        return 0;
    size_t at = get32(&t, 4);
    if (at > n - 2)
        return 0;
    unsigned entries = get16(&t, at);
    at += 2;
    for (unsigned i = 0; i < entries && n - at >= ENTRY_BYTES; ++i, at += ENTRY_BYTES)
        if (get16(&t, at) == TAG_ORIENTATION) {
            unsigned v = get16(&t, at + 8);
            return v >= 1 && v <= 8 ? (int)v : 0;
        }
    return 0;
}

int tlr_exif_of_jpeg(const uint8_t *b, size_t n)
{
    size_t at = 2;
    while (n >= 4 && at <= n - 4 && b[at] == 0xff && b[at + 1] != 0xda) {
        size_t length = (size_t)b[at + 2] << 8 | b[at + 3];
        if (b[at + 1] == 0xff) { /* a fill byte */
            ++at;
            continue;
        }
        if (length < 2 || length > n - at - 2)
            return 0;
        if (b[at + 1] == 0xe1 && length >= 8 && memcmp(b + at + 4, "Exif\0\0", 6) == 0)
            return orientation_of(b + at + 10, length - 8);
        at += 2 + length;
    }
    return 0;
}

int tlr_exif_of_png(const uint8_t *b, size_t n)
{
    size_t at = 8;
    while (n >= 12 && at <= n - 12) {
        size_t length = (size_t)b[at] << 24 | (size_t)b[at + 1] << 16 | (size_t)b[at + 2] << 8 |
                        b[at + 3];
        if (length > n - at - 12)
            return 0;
        if (memcmp(b + at + 4, "eXIf", 4) == 0)
            return orientation_of(b + at + 8, length);
        at += 12 + length;
    }
    return 0;
}

/* Where pixel (x, y) of the turned picture stands in the stored one: the orientations are the
 * three bits "swap axes, flip x, flip y". */
static const struct turn {
    unsigned char swap, flip_x, flip_y;
} turns[9] = { [2] = { 0, 1, 0 }, [3] = { 0, 1, 1 }, [4] = { 0, 0, 1 }, [5] = { 1, 0, 0 },
               [6] = { 1, 0, 1 }, [7] = { 1, 1, 1 }, [8] = { 1, 1, 0 } };

tlb_status tlr_exif_apply(tlr_rgb *p, int orientation)
{
    if (orientation < 2 || orientation > 8)
        return TLB_OK;
    struct turn t = turns[orientation];
    int w = t.swap ? p->height : p->width, h = t.swap ? p->width : p->height;
    uint8_t *to = malloc((size_t)w * (size_t)h * 3), *out = to;
    if (!to)
        return TLB_E_LIMIT;
    for (int y = 0; y < h; ++y)
        for (int x = 0; x < w; ++x, out += 3) {
            int sx = t.swap ? y : x, sy = t.swap ? x : y;
            sx = t.flip_x ? p->width - 1 - sx : sx;
            sy = t.flip_y ? p->height - 1 - sy : sy;
            memcpy(out, p->pixels + ((size_t)sy * (size_t)p->width + (size_t)sx) * 3, 3);
        }
    free(p->pixels);
    *p = (tlr_rgb){ w, h, to };
    return TLB_OK;
}
