/* tlr_encode_jpeg.c: small pictures for a report.  libjpeg's error handler must not return: the
 * longjmp goes no further than encode(). */
#include "tlr_image.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <jpeglib.h>

enum { QUALITY = 88 };

typedef struct job {
    struct jpeg_compress_struct cinfo;
    struct jpeg_error_mgr errors;
    jmp_buf out;
    unsigned char *bytes;
    unsigned long n;
} job;

static void on_error(j_common_ptr c)
{
    job *j = c->client_data;
    longjmp(j->out, 1);
}

static void on_output(j_common_ptr c)
{
    (void)c;
}

static int encode(job *j, const uint8_t *rgb, int width, int height)
{
    struct jpeg_compress_struct *c = &j->cinfo;
    if (setjmp(j->out))
        return 0;
    jpeg_create_compress(c);
    jpeg_mem_dest(c, &j->bytes, &j->n);
    c->image_width = (JDIMENSION)width;
    c->image_height = (JDIMENSION)height;
    c->input_components = 3;
    c->in_color_space = JCS_RGB;
    jpeg_set_defaults(c);
    jpeg_set_quality(c, QUALITY, TRUE);
    c->optimize_coding = TRUE;
    jpeg_start_compress(c, TRUE);
    while (c->next_scanline < c->image_height) {
        JSAMPROW row = (JSAMPROW)(uintptr_t)(rgb + (size_t)c->next_scanline * (size_t)width * 3);
        jpeg_write_scanlines(c, &row, 1);
    }
    jpeg_finish_compress(c);
    return 1;
}

tlb_status tlr_image_encode_jpeg(const uint8_t *rgb, int width, int height, uint8_t **out,
                                 size_t *out_n)
{
    job j = { .bytes = NULL };
    j.cinfo.err = jpeg_std_error(&j.errors);
    j.cinfo.client_data = &j;
    j.errors.error_exit = on_error;
    j.errors.output_message = on_output;
    int whole = encode(&j, rgb, width, height);
    jpeg_destroy_compress(&j.cinfo);
    if (!whole) {
        free(j.bytes);
        return TLB_E_LIMIT;
    }
    *out = j.bytes;
    *out_n = j.n;
    return TLB_OK;
}
