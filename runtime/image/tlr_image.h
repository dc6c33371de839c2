/* tlr_image.h: files to pixels, and folders to lists.  The only place with image libraries. */
#ifndef TLR_IMAGE_H
#define TLR_IMAGE_H

#include "tlb_limits.h"
#include "tlb_status.h"

#include <stddef.h>
#include <stdint.h>

typedef struct tlr_rgb { int width, height; uint8_t *pixels; /* height*width*3; free() */ } tlr_rgb;

typedef struct tlr_image_note { /* why a picture was refused, or what was odd */
    const char *what;     /* static text; NULL: nothing */
    int warning;          /* the picture was decoded all the same */
    int exif_orientation; /* 1 to 8; 0: none */
    int os_error;         /* errno where a file cannot be read; 0: no such reason */
} tlr_image_note;

/* Decode JPEG or PNG bytes to RGB as Pillow's convert("RGB") (semantics.md, Pictures);
 * `exif`: apply the orientation.  Statuses as hostile-inputs 4.5. */
tlb_status tlr_image_decode(const void *bytes, size_t n, const tlb_limits *limits, int exif,
                            tlr_rgb *out, tlr_image_note *note);
/* Header alone: kind and limits are checked, nothing is decoded. */
tlb_status tlr_image_probe(const void *bytes, size_t n, const tlb_limits *limits, int *out_width,
                           int *out_height, tlr_image_note *note);
/* A picture file's bytes (free them): a regular file, read and not mapped, so that one that
 * shrinks meanwhile is only truncated.  E_INPUT: cannot be read. */
tlb_status tlr_image_read(const char *path, const tlb_limits *limits, uint8_t **out, size_t *out_n,
                          tlr_image_note *note);
/* tlr_image_read and tlr_image_decode. */
tlb_status tlr_image_load(const char *path, const tlb_limits *limits, int exif, tlr_rgb *out,
                          tlr_image_note *note);
void tlr_rgb_free(tlr_rgb *p);
/* JPEG bytes (free them) of width*height*3 bytes of RGB, for a report.  fails  TLB_E_LIMIT. */
tlb_status tlr_image_encode_jpeg(const uint8_t *rgb, int width, int height, uint8_t **out,
                                 size_t *out_n);

typedef struct tlr_photo { char *path; int label; /* -1: none */ } tlr_photo;
typedef struct tlr_folder {
    char **classes; int n_classes;
    tlr_photo *photos; size_t n_photos;  /* sorted by path bytes */
    size_t n_other;                      /* files that are no pictures by their ending */
    int n_loops;                         /* links that lead back up */
} tlr_folder;
/* Classes are the sub-folders of `path` in byte order of their names; pictures lie below them at
 * any depth.
 * classes_given: hold the class names against these instead (valid/ against train/); NULL: free.  A
 * name that is no UTF-8 may stand there escaped.
 * *where: allocated path of what is wrong (free), *what static text. */
tlb_status tlr_folder_scan(const char *path, char *const *classes_given, int n_given,
                           const tlb_limits *limits, tlr_folder *out, char **where,
                           const char **what);
/* Pictures without labels, at any depth below `path`; no classes.  Otherwise the same. */
tlb_status tlr_folder_list(const char *path, const tlb_limits *limits, tlr_folder *out,
                           char **where, const char **what);
void tlr_folder_free(tlr_folder *f);
#endif
