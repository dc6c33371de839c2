/* tlr_decode_jpeg.c: JPEG to RGB by libjpeg-turbo, numbers as Pillow's convert("RGB").
 *
 * libjpeg has one way out of an error: its handler must not return.  The longjmp goes no
 * further than decode() below; nothing of ours lives between.  A file that claims much and holds
 * little is met by limits before memory or time is spent: coefficients of progressive files are
 * counted from the header, scans by walking the markers.
 */
#include "tlr_decode.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>
#include <jerror.h>

enum { PIXELS_TIMES_SCANS = 1 << 30 };

typedef struct job {
    struct jpeg_decompress_struct cinfo;
    struct jpeg_error_mgr errors;
    jmp_buf out;
    const uint8_t *bytes;
    size_t n;
    const tlb_limits *limits;
    tlr_image_note *note;
    tlb_status status;
    uint8_t *pixels; /* ours until handed over */
    uint8_t *row;    /* CMYK alone */
    int truncated;
} job;

/* libjpeg's errors that are not plain damage. */
static const struct cause {
    int code;
    tlb_status status;
    const char *what;
} causes[] = {
    { JERR_ARITH_NOTIMPL, TLB_E_UNSUPPORTED, "arithmetic JPEG is not supported" },
    { JERR_BAD_PRECISION, TLB_E_UNSUPPORTED, "only 8-bit JPEG is supported, not 12-bit" },
    { JERR_SOF_UNSUPPORTED, TLB_E_UNSUPPORTED, "lossless or hierarchical JPEG is not supported" },
    { JERR_CONVERSION_NOTIMPL, TLB_E_UNSUPPORTED, "colour space of the JPEG is not supported" },
    { JERR_OUT_OF_MEMORY, TLB_E_LIMIT, "out of memory" },
    { JERR_IMAGE_TOO_BIG, TLB_E_LIMIT, "side over 65500 pixels; --limit side" },
    { JERR_WIDTH_OVERFLOW, TLB_E_LIMIT, "side over 65500 pixels; --limit side" },
    { JERR_EMPTY_IMAGE, TLB_E_MALFORMED, "size: width or height is 0" },
    { JERR_INPUT_EMPTY, TLB_E_MALFORMED, "truncated" },
    { JERR_INPUT_EOF, TLB_E_MALFORMED, "truncated" },
};

static void on_error(j_common_ptr c)
{
    job *j = c->client_data;
    j->status = TLB_E_MALFORMED;
    j->note->what = j->truncated ? "truncated" : "damaged JPEG";
    for (size_t i = 0; i < sizeof causes / sizeof *causes; ++i)
        if (causes[i].code == c->err->msg_code) {
            j->status = causes[i].status;
            j->note->what = causes[i].what;
        }
    longjmp(j->out, 1);
}

static void on_message(j_common_ptr c, int level)
{
    job *j = c->client_data;
    if (level >= 0)
        return;
    ++c->err->num_warnings;
    if (c->err->msg_code == JWRN_JPEG_EOF)
        j->truncated = 1;
}

static void on_output(j_common_ptr c)
{
    (void)c;
}

static tlb_status fail(job *j, tlb_status status, const char *what)
{
    j->note->what = what;
    return status;
}

/* SOS markers: inside entropy-coded data 0xff is followed by 0 or a restart marker, and segments
 * are stepped over, so that a picture in an APP segment is not counted. */
static int64_t count_scans(const uint8_t *b, size_t n)
{
    int64_t scans = 0;
    for (size_t at = 2; at + 4 <= n;) {
        const uint8_t *ff = memchr(b + at, 0xff, n - at - 1);
        if (!ff)
            break;
        at = (size_t)(ff - b);
        uint8_t marker = b[at + 1];
        if (marker == 0xd9)
            break;
        scans += marker == 0xda;
        if (marker == 0xff)
            at += 1;
        else if (marker == 0 || marker == 1 || (marker >= 0xd0 && marker <= 0xd8) || at + 4 > n)
            at += 2;
        else
            at += 2 + ((size_t)b[at + 2] << 8 | b[at + 3]);
    }
    return scans;
}

/* What libjpeg holds of a picture that comes in several scans: every coefficient, 16 bits. */
static int64_t coefficient_bytes(const struct jpeg_decompress_struct *c)
{
    int64_t bytes = 0;
    for (int i = 0; i < c->num_components; ++i) {
        const jpeg_component_info *comp = &c->comp_info[i];
        int64_t w = ((int64_t)comp->width_in_blocks + comp->h_samp_factor - 1) /
                    comp->h_samp_factor * comp->h_samp_factor;
        int64_t h = ((int64_t)comp->height_in_blocks + comp->v_samp_factor - 1) /
                    comp->v_samp_factor * comp->v_samp_factor;
        bytes += w * h * DCTSIZE2 * (int64_t)sizeof(JCOEF);
    }
    return bytes;
}

static tlb_status check_scans(job *j)
{
    struct jpeg_decompress_struct *c = &j->cinfo;
    if (!jpeg_has_multiple_scans(c))
        return TLB_OK;
    int64_t scans = count_scans(j->bytes, j->n);
    int64_t pixels = (int64_t)c->image_width * c->image_height;
    if (scans > j->limits->max[TLB_LIMIT_SCANS])
        return fail(j, TLB_E_LIMIT, "more scans than the limit; --limit scans");
    if (pixels * scans > PIXELS_TIMES_SCANS)
        return fail(j, TLB_E_LIMIT, "pixels times scans are over 1G");
    if (coefficient_bytes(c) > j->limits->max[TLB_LIMIT_PICTURE_MEMORY])
        return fail(j, TLB_E_LIMIT,
                    "decoding takes more memory than the limit; --limit picture-memory");
    return TLB_OK;
}

static tlb_status check_header(job *j)
{
    struct jpeg_decompress_struct *c = &j->cinfo;
    if (c->data_precision != 8)
        return fail(j, TLB_E_UNSUPPORTED, "only 8-bit JPEG is supported, not 12-bit");
    if (c->arith_code)
        return fail(j, TLB_E_UNSUPPORTED, "arithmetic JPEG is not supported");
    if (c->num_components == 2 || c->num_components > 4)
        return fail(j, TLB_E_UNSUPPORTED, "number of colour channels of the JPEG is not supported");
    tlb_status st = tlr_check_size(c->image_width, c->image_height, j->limits, j->note);
    return st == TLB_OK ? check_scans(j) : st;
}

static uint8_t times255(unsigned a, unsigned b)
{
    unsigned t = a * b + 128;
    return (uint8_t)((t + (t >> 8)) >> 8);
}

/* Pillow takes every stored value as Adobe's, inverted; so nk = 255 - k is the stored byte, and a
 * channel is nk - c*nk/255, never below 0. */
static void cmyk_row(const uint8_t *cmyk, uint8_t *rgb, size_t width)
{
    for (size_t x = 0; x < width; ++x, cmyk += 4, rgb += 3) {
        unsigned nk = cmyk[3];
        for (int i = 0; i < 3; ++i) {
            uint8_t off = times255(255u - cmyk[i], nk);
            rgb[i] = (uint8_t)(nk > off ? nk - off : 0);
        }
    }
}

static tlb_status read_rows(job *j)
{
    struct jpeg_decompress_struct *c = &j->cinfo;
    size_t width = c->output_width;
    int cmyk = c->out_color_space == JCS_CMYK;
    while (c->output_scanline < c->output_height) {
        uint8_t *to = j->pixels + (size_t)c->output_scanline * width * 3;
        JSAMPROW row = cmyk ? j->row : to;
        jpeg_read_scanlines(c, &row, 1);
        if (j->truncated) /* the rest would be gray that nobody took */
            return fail(j, TLB_E_MALFORMED, "truncated");
        if (cmyk)
            cmyk_row(j->row, to, width);
    }
    return TLB_OK;
}

static tlb_status decode(job *j, int *width, int *height, int header_alone)
{
    struct jpeg_decompress_struct *c = &j->cinfo;
    if (setjmp(j->out))
        return j->status;
    jpeg_create_decompress(c);
    jpeg_mem_src(c, j->bytes, j->n);
    jpeg_read_header(c, TRUE);
    tlb_status st = check_header(j);
    if (st != TLB_OK)
        return st;
    *width = (int)c->image_width, *height = (int)c->image_height;
    if (header_alone)
        return TLB_OK;
    c->out_color_space = c->num_components == 4 ? JCS_CMYK : JCS_RGB;
    j->pixels = malloc((size_t)*width * (size_t)*height * 3);
    j->row = malloc((size_t)*width * 4);
    if (!j->pixels || !j->row)
        return fail(j, TLB_E_LIMIT, "out of memory");
    jpeg_start_decompress(c);
    return read_rows(j);
}

tlb_status tlr_decode_jpeg(const uint8_t *bytes, size_t n, const tlb_limits *limits, tlr_rgb *out,
                           int *width, int *height, tlr_image_note *note)
{
    job j = { .bytes = bytes, .n = n, .limits = limits, .note = note };
    j.cinfo.err = jpeg_std_error(&j.errors);
    j.errors.error_exit = on_error;
    j.errors.emit_message = on_message;
    j.errors.output_message = on_output;
    j.cinfo.client_data = &j;
    tlb_status st = decode(&j, width, height, out == NULL);
    if (st == TLB_OK && j.errors.num_warnings > 0) {
        note->what = "damaged JPEG, decoded all the same";
        note->warning = 1;
    }
    jpeg_destroy_decompress(&j.cinfo);
    free(j.row);
    if (st == TLB_OK && out)
        *out = (tlr_rgb){ *width, *height, j.pixels };
    else
        free(j.pixels);
    return st;
}
