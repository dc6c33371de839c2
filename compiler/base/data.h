/* data.h: files that a model names for its weights.
 *
 * The location is the model's and so hostile: relative, below the model's folder, through no
 * link, and at its end a regular file with one name (CVE-2022-25882, CVE-2024-27318,
 * CVE-2026-34446).  A file is mapped once for a compilation and stays mapped until tlc_ctx_fini,
 * so that values may view it.
 */
#ifndef TLC_DATA_H
#define TLC_DATA_H

#include "ctx.h"

typedef struct tlc_data_file {
    const char *location;        /* as the model spells it */
    const unsigned char *bytes;  /* NULL: empty */
    size_t n_bytes;
    struct tlc_data_file *next;
} tlc_data_file;

/**
 * Map the file at `location` (len bytes) below `base_dir`; *out views it.
 * fails   E_MALFORMED  "location": not a plain relative path; "not a plain file"
 *         E_INPUT      "external data": missing or unreadable, or base_dir is NULL
 *         E_LIMIT      larger than the limit `file`
 */
TLC_MUST_USE tlc_status tlc_data_open(tlc_ctx *ctx, const char *base_dir, const char *location,
                                      size_t len, const tlc_data_file **out);

/* Unmap everything that was opened; tlc_ctx_fini calls it. */
void tlc_data_close_all(tlc_ctx *ctx);

#endif
