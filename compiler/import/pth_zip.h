/* pth_zip.h: the zip archive that torch.save writes: stored entries in one folder.
 *
 * The central directory decides, as in PyTorch; local headers must not contradict it, and no
 * two entries may share bytes.  Checksums are not looked at, as torch.load does not.
 */
#ifndef TLC_PTH_ZIP_H
#define TLC_PTH_ZIP_H

#include "import.h"
#include "import_util.h"

typedef struct tlc_zip_entry {
    const char *name; /* below the one top folder: "data/0" */
    const unsigned char *bytes;
    int64_t n_bytes;
    uint64_t from, to; /* of the file: local header to end of data */
} tlc_zip_entry;

typedef struct tlc_zip {
    tlc_zip_entry *entries;
    size_t n;
    tlc_names names; /* to tlc_zip_entry */
} tlc_zip;

/**
 * Read the directory of `file`; bytes of the entries are views.
 * fails   E_MALFORMED "zip entry", "zip directory"; E_UNSUPPORTED "compressed"; E_LIMIT tensors
 */
TLC_MUST_USE tlc_status tlc_zip_read(tlc_ctx *ctx, const tlc_file *file, tlc_zip *out);
/* NULL: none. */
const tlc_zip_entry *tlc_zip_find(const tlc_zip *zip, const char *name);

#endif
