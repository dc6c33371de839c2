/* tlr_pixels.h: pixels to the network's input: resize, crop, normalise.  The same code in
 * trainer, predictor and app.  No image files here. */
#ifndef TLR_PIXELS_H
#define TLR_PIXELS_H

#include "tlr.h"
#include "tlr_model.h"

/* Bytes of scratch that tlr_pixels_to_input needs for a picture of this size. */
size_t tlr_pixels_scratch_bytes(const tlr_preprocess *p, int width, int height);
size_t tlr_pixels_scratch_max(const tlr_preprocess *p); /* enough for a picture of any size */

/**
 * Resize (Pillow's antialiased bilinear filter, byte for byte), centre crop, and normalise:
 * input[c][y][x] = (pixel/255 - mean[c]) / std[c] in float, planes one after another; or, where
 * p->channels_last, input[y][x][c].  Channel 0 is red, or, where p->bgr, blue.
 * type     TLR_F32 or TLR_F64 (the float values, widened).
 * scratch  16-byte aligned.
 */
tlr_status tlr_pixels_to_input(const tlr_preprocess *p, const tlr_picture *pic, tlr_type type,
                               void *input, void *scratch);

/* Pillow's Image.resize(BILINEAR) to packed RGB: two passes, 22-bit fixed point, 8-bit between.
 * src h*w*3, dst dst_h*dst_w*3; scratch as tlr_resize_scratch_bytes says. */
size_t tlr_resize_scratch_bytes(int w, int h, int dst_w, int dst_h);
void tlr_resize_rgb(const uint8_t *src, int w, int h, ptrdiff_t stride_bytes, tlr_pixels format,
                    uint8_t *dst, int dst_w, int dst_h, void *scratch);

/* 8-bit RGB pixels of the crop, as the network sees it (h*w*3): preview and reports. */
tlr_status tlr_pixels_to_crop(const tlr_preprocess *p, const tlr_picture *pic, uint8_t *rgb, void *scratch);
/* Normalise crop_h*crop_w*3 interleaved RGB bytes to planes, or to interleaved numbers. */
void tlr_normalise(const tlr_preprocess *p, const uint8_t *rgb, tlr_type type, void *input);
#endif
