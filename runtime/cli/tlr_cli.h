/* tlr_cli.h: what trainer and predictor share: the compiled folder, pictures to the network's
 * input, predictions printed. */
#ifndef TLR_CLI_H
#define TLR_CLI_H

#include "tlb_options.h"
#include "tlr_image.h"
#include "tlr_model.h"

#include <stdio.h>

/* The network in use: that of model.c, or, once chosen, the processor's version of it, which a
 * folder for a device holds besides (NULL: it does not). */
extern const struct tlr_model *tlr_the_model;
extern const struct tlr_model *const tlr_the_cpu_model;

/* As --device says, before anything else is opened. */
tlb_status tlr_cli_choose_device(const tlb_args *a);

/* What --version prints; static. */
const char *tlr_cli_version(const char *program);

/* Path of a file of the compiled folder, which is where the program lies; free().  NULL: no
 * memory, or /proc is not there. */
char *tlr_cli_beside(const char *name);
/* Of a file that belongs to the network in use: weights.bin, manifest.json, export files. */
char *tlr_cli_of_model(const char *name);

/* "E_INPUT": the id of diagnostics that have no finer one. */
const char *tlr_cli_id(tlb_status status);

/* Flush standard output; `status`, or E_OUTPUT after saying that it cannot be written. */
tlb_status tlr_cli_end(const tlb_args *a, tlb_status status);

/* The weights file could not be opened (a status of tlr.h; errno 0 before the call): say so.
 * file: what the user typed. */
/* Did the device, if the model runs on one, do all it was asked so far?  Says what it did not. */
tlb_status tlr_cli_device_check(const tlb_args *a);
tlb_status tlr_cli_weights_error(const tlb_args *a, int status, const char *file);

/* A string as JSON, quotes included, ASCII (bytes that are no UTF-8: `\xHH`); free(). */
char *tlr_cli_json(const char *text);

/* Standard input whole (free it), up to --limit file; note->what says what is wrong. */
tlb_status tlr_cli_read_stdin(const tlb_limits *limits, uint8_t **out, size_t *out_n,
                              tlr_image_note *note);

/* --- pictures ------------------------------------------------------------- */

typedef struct tlr_loader { /* one for each thread */
    const tlr_preprocess *preprocess;
    tlr_type type;           /* of the network's input */
    const tlb_limits *limits;
    int exif;
    void *scratch;           /* grows; tlr_loader_free */
    size_t scratch_bytes;
} tlr_loader;

/* The picture file (`-`: standard input) decoded, resized, cropped and normalised into `input`. */
tlb_status tlr_load_input(tlr_loader *l, const char *path, void *input, tlr_image_note *note);
/* The same as 8-bit RGB of the crop, crop_h*crop_w*3 bytes. */
tlb_status tlr_load_crop(tlr_loader *l, const char *path, uint8_t *rgb, tlr_image_note *note);
void tlr_loader_free(tlr_loader *l);

/* Say what was wrong or odd with a picture; nothing if nothing.  Returns status. */
tlb_status tlr_cli_picture_note(const tlb_args *a, const char *path, tlb_status status,
                                const tlr_image_note *note);

/* --- predictions (hostile-inputs 5) --------------------------------------- */

typedef enum tlr_form { TLR_FORM_TEXT, TLR_FORM_CSV, TLR_FORM_JSON } tlr_form;

typedef struct tlr_class_list {
    const char *const *names; /* NULL: classes are shown by number */
    int n;
} tlr_class_list;

tlr_form tlr_cli_form(const tlb_args *a); /* --json, --csv */

/* The line before the first prediction: CSV has one. */
void tlr_print_prediction_head(FILE *out, tlr_form form, const tlr_class_list *classes);
/* One picture's line; p: probability of each class. */
void tlr_print_prediction(FILE *out, tlr_form form, const tlr_class_list *classes,
                          const char *path, const float *p);
/* One field of CSV: quoted as RFC 4180 asks, `'` before what a spreadsheet takes for a formula. */
void tlr_print_csv_field(FILE *out, const char *text);
int tlr_argmax(const float *p, int n); /* ties to the lowest */
#endif
