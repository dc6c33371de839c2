/* tlr_image.c: what kind of picture bytes are, told by their first bytes and never by the
 * name, and the way to its decoder. */
#include "tlr_image.h"

#include "tlr_decode.h"
#include "tlr_exif.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef tlb_status decoder(const uint8_t *bytes, size_t n, const tlb_limits *limits, tlr_rgb *out,
                           int *width, int *height, tlr_image_note *note);

typedef struct kind {
    int at;              /* of the magic bytes */
    int bytes;
    const char *magic;
    const char *refused; /* what to say of a kind that is not served; NULL: served */
    decoder *decode;
    int (*exif)(const uint8_t *bytes, size_t n);
} kind;

static const kind kinds[] = {
    { 0, 3, "\xff\xd8\xff", NULL, tlr_decode_jpeg, tlr_exif_of_jpeg },
    { 0, 8, "\x89PNG\r\n\x1a\n", NULL, tlr_decode_png, tlr_exif_of_png },
    { 0, 4, "GIF8", "GIF is not supported; JPEG and PNG are", NULL, NULL },
    { 8, 4, "WEBP", "WebP is not supported; JPEG and PNG are", NULL, NULL },
    { 0, 2, "BM", "BMP is not supported; JPEG and PNG are", NULL, NULL },
    { 0, 4, "II*\0", "TIFF is not supported; JPEG and PNG are", NULL, NULL },
    { 0, 4, "MM\0*", "TIFF is not supported; JPEG and PNG are", NULL, NULL },
    { 4, 8, "ftypheic", "HEIC is not supported; JPEG and PNG are", NULL, NULL },
    { 4, 8, "ftypavif", "AVIF is not supported; JPEG and PNG are", NULL, NULL },
    { 0, 12, "\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL is not supported; JPEG and PNG are", NULL, NULL },
    { 0, 2, "\xff\x0a", "JPEG XL is not supported; JPEG and PNG are", NULL, NULL },
};

static tlb_status refuse(tlr_image_note *note, tlb_status status, const char *what)
{
    note->what = what;
    return status;
}

tlb_status tlr_check_size(uint64_t w, uint64_t h, const tlb_limits *limits, tlr_image_note *note)
{
    if (w == 0 || h == 0 || w > INT32_MAX || h > INT32_MAX)
        return refuse(note, TLB_E_MALFORMED, "size: width or height is out of range");
    if ((int64_t)w > limits->max[TLB_LIMIT_SIDE] || (int64_t)h > limits->max[TLB_LIMIT_SIDE])
        return refuse(note, TLB_E_LIMIT, "side is over the limit; --limit side");
    if ((int64_t)(w * h) > limits->max[TLB_LIMIT_PIXELS])
        return refuse(note, TLB_E_LIMIT, "more pixels than the limit; --limit pixels");
    return TLB_OK;
}

static const kind *kind_of(const uint8_t *bytes, size_t n)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; ++i) {
        const kind *k = &kinds[i];
        if (n >= (size_t)(k->at + k->bytes) &&
            memcmp(bytes + k->at, k->magic, (size_t)k->bytes) == 0)
            return k;
    }
    return NULL;
}

/* The kind of the bytes, if it is served; resets *note. */
static tlb_status find_kind(const uint8_t *bytes, size_t n, const kind **out, tlr_image_note *note)
{
    *note = (tlr_image_note){ 0 };
    if (n == 0)
        return refuse(note, TLB_E_MALFORMED, "empty file");
    const kind *k = kind_of(bytes, n);
    if (!k)
        return refuse(note, TLB_E_MALFORMED, "not a picture");
    if (k->refused)
        return refuse(note, TLB_E_UNSUPPORTED, k->refused);
    note->exif_orientation = k->exif(bytes, n);
    *out = k;
    return TLB_OK;
}

tlb_status tlr_image_decode(const void *bytes, size_t n, const tlb_limits *limits, int exif,
                            tlr_rgb *out, tlr_image_note *note)
{
    const kind *k;
    int w, h;
    tlb_status st = find_kind(bytes, n, &k, note);
    if (st != TLB_OK)
        return st;
    tlr_rgb picture;
    st = k->decode(bytes, n, limits, &picture, &w, &h, note);
    if (st != TLB_OK)
        return st;
    if (exif && tlr_exif_apply(&picture, note->exif_orientation) != TLB_OK) {
        tlr_rgb_free(&picture);
        return refuse(note, TLB_E_LIMIT, "out of memory");
    }
    *out = picture;
    return TLB_OK;
}

tlb_status tlr_image_probe(const void *bytes, size_t n, const tlb_limits *limits, int *out_width,
                           int *out_height, tlr_image_note *note)
{
    const kind *k;
    tlb_status st = find_kind(bytes, n, &k, note);
    return st == TLB_OK ? k->decode(bytes, n, limits, NULL, out_width, out_height, note) : st;
}

void tlr_rgb_free(tlr_rgb *p)
{
    free(p->pixels);
    p->pixels = NULL;
}

/* --- files ---------------------------------------------------------------- */

static tlb_status cannot_read(tlr_image_note *note, const char *what)
{
    note->os_error = errno;
    return refuse(note, TLB_E_INPUT, what);
}

/* Read what fd holds: `size` bytes, or less where it has shrunk meanwhile. */
static tlb_status read_all(int fd, size_t size, uint8_t **out, size_t *out_n, tlr_image_note *note)
{
    uint8_t *bytes = malloc(size + 1);
    size_t n = 0;
    if (!bytes)
        return refuse(note, TLB_E_LIMIT, "out of memory");
    while (n < size) {
        ssize_t got = read(fd, bytes + n, size - n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            free(bytes);
            return cannot_read(note, "cannot read");
        }
        if (got == 0)
            break;
        n += (size_t)got;
    }
    *out = bytes;
    *out_n = n;
    return TLB_OK;
}

tlb_status tlr_image_read(const char *path, const tlb_limits *limits, uint8_t **out, size_t *out_n,
                          tlr_image_note *note)
{
    struct stat info;
    *note = (tlr_image_note){ 0 };
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not block */
    if (fd < 0)
        return cannot_read(note, "cannot read");
    tlb_status st;
    if (fstat(fd, &info) != 0)
        st = cannot_read(note, "cannot read");
    else if (!S_ISREG(info.st_mode))
        st = refuse(note, TLB_E_INPUT, "cannot read: not a regular file");
    else if (info.st_size > limits->max[TLB_LIMIT_FILE])
        st = refuse(note, TLB_E_LIMIT, "more bytes than the limit; --limit file");
    else
        st = read_all(fd, (size_t)info.st_size, out, out_n, note);
    close(fd);
    return st;
}

tlb_status tlr_image_load(const char *path, const tlb_limits *limits, int exif, tlr_rgb *out,
                          tlr_image_note *note)
{
    uint8_t *bytes;
    size_t n;
    tlb_status st = tlr_image_read(path, limits, &bytes, &n, note);
    if (st != TLB_OK)
        return st;
    st = tlr_image_decode(bytes, n, limits, exif, out, note);
    free(bytes);
    return st;
}
