/* tlr_decode_png.c: PNG to RGB by libpng's row interface alone (the simplified and whole-image
 * interfaces have had the overflows), numbers as Pillow's convert("RGB").
 *
 * Every ancillary chunk is skipped unread, so that compressed text and colour profiles are never
 * inflated and transparency never blends.  Size and kind are read from IHDR by hand first.
 * libpng leaves an error by longjmp; it goes no further than decode() below.
 */
#include "tlr_decode.h"

#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <png.h>

enum { HEADER_BYTES = 33 }; /* signature and IHDR */

typedef struct job {
    png_structp png;
    png_infop info;
    const uint8_t *bytes;
    size_t n, at;
    tlr_image_note *note;
    uint8_t *pixels;
    int width, height;
    bool starved; /* an allocation failed */
} job;

static void on_error(png_structp png, png_const_charp text)
{
    job *j = png_get_error_ptr(png);
    (void)text;
    if (!j->note->what)
        j->note->what = j->starved ? "out of memory" : "damaged PNG";
    png_longjmp(png, 1);
}

/* libpng calls missing memory damage; only its allocator can tell. */
static png_voidp allocate(png_structp png, png_alloc_size_t n)
{
    job *j = png_get_mem_ptr(png);
    void *p = malloc(n);
    if (!p)
        j->starved = true;
    return p;
}

static void release(png_structp png, png_voidp p)
{
    (void)png;
    free(p);
}

/* Oddities that change no pixel are not worth a word. */
static void on_warning(png_structp png, png_const_charp text)
{
    (void)png;
    (void)text;
}

static void on_read(png_structp png, png_bytep to, size_t n)
{
    job *j = png_get_io_ptr(png);
    if (n > j->n - j->at) {
        j->note->what = "truncated";
        png_error(png, "truncated");
    }
    memcpy(to, j->bytes + j->at, n);
    j->at += n;
}

/* Any kind of PNG to 8-bit RGB: 16 bit takes the high byte, alpha is dropped. */
static void ask_for_rgb(png_structp png, png_infop info)
{
    int color = png_get_color_type(png, info);
    if (color == PNG_COLOR_TYPE_PALETTE)
        png_set_palette_to_rgb(png);
    if (color == PNG_COLOR_TYPE_GRAY)
        png_set_expand_gray_1_2_4_to_8(png);
    png_set_strip_16(png);
    png_set_strip_alpha(png);
    if (!(color & PNG_COLOR_MASK_COLOR))
        png_set_gray_to_rgb(png);
}

/* Ancillary chunks: known ones, unknown ones, and tRNS, which libpng counts as needed. */
static void skip_ancillary(png_structp png)
{
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, NULL, 0);
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, (png_const_bytep) "tRNS", 1);
}

static void read_rows(job *j)
{
    size_t stride = (size_t)j->width * 3;
    int passes = png_set_interlace_handling(j->png);
    png_read_update_info(j->png, j->info);
    if (png_get_rowbytes(j->png, j->info) != stride)
        png_error(j->png, "row size");
    for (int pass = 0; pass < passes; ++pass)
        for (int y = 0; y < j->height; ++y)
            png_read_row(j->png, j->pixels + (size_t)y * stride, NULL);
}

static tlb_status decode(job *j)
{
    if (setjmp(png_jmpbuf(j->png)))
        return j->starved ? TLB_E_LIMIT : TLB_E_MALFORMED;
    png_set_user_limits(j->png, (png_uint_32)j->width, (png_uint_32)j->height);
    skip_ancillary(j->png);
    png_set_read_fn(j->png, j, on_read);
    png_read_info(j->png, j->info);
    ask_for_rgb(j->png, j->info);
    read_rows(j);
    png_read_end(j->png, NULL);
    return TLB_OK;
}

static uint64_t get32(const uint8_t *b)
{
    return (uint64_t)b[0] << 24 | (uint64_t)b[1] << 16 | (uint64_t)b[2] << 8 | b[3];
}

static tlb_status read_header(const uint8_t *b, size_t n, const tlb_limits *limits, int *width,
                              int *height, tlr_image_note *note)
{
    note->what = "truncated";
    if (n < HEADER_BYTES)
        return TLB_E_MALFORMED;
    note->what = "damaged PNG";
    if (memcmp(b + 8, "\0\0\0\rIHDR", 8) != 0)
        return TLB_E_MALFORMED;
    note->what = NULL;
    uint64_t w = get32(b + 16), h = get32(b + 20);
    tlb_status st = tlr_check_size(w, h, limits, note);
    if (st != TLB_OK)
        return st;
    *width = (int)w, *height = (int)h;
    if (b[28] != 0 && (int64_t)(w * h * 3) > limits->max[TLB_LIMIT_PICTURE_MEMORY]) {
        note->what = "interlaced picture takes more memory than the limit; --limit picture-memory";
        return TLB_E_LIMIT;
    }
    return TLB_OK;
}

static tlb_status decode_pixels(job *j)
{
    j->pixels = calloc((size_t)j->height, (size_t)j->width * 3);
    j->png = png_create_read_struct_2(PNG_LIBPNG_VER_STRING, j, on_error, on_warning, j, allocate,
                                      release);
    j->info = j->png ? png_create_info_struct(j->png) : NULL;
    tlb_status st = TLB_E_LIMIT;
    if (j->pixels && j->info)
        st = decode(j);
    else
        j->note->what = "out of memory";
    png_destroy_read_struct(&j->png, &j->info, NULL);
    return st;
}

tlb_status tlr_decode_png(const uint8_t *bytes, size_t n, const tlb_limits *limits, tlr_rgb *out,
                          int *width, int *height, tlr_image_note *note)
{
    job j = { .bytes = bytes, .n = n, .note = note };
    tlb_status st = read_header(bytes, n, limits, width, height, note);
    if (st != TLB_OK || !out)
        return st;
    j.width = *width, j.height = *height;
    st = decode_pixels(&j);
    if (st == TLB_OK)
        *out = (tlr_rgb){ j.width, j.height, j.pixels };
    else
        free(j.pixels);
    return st;
}
