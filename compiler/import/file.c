/* file.c: model files, mapped and never copied. */
#include "import_util.h"
#include "import.h"

#include "tlb_file.h"

#include <string.h>

tlc_status tlc_file_map(tlc_ctx *ctx, const char *path, tlc_file *out)
{
    tlb_map map;
    int error = 0;
    tlc_status status = tlb_map_file(path, &map, &error);
    if (status != TLC_OK)
        return tlc_fail(ctx, status, "E_INPUT", "cannot read: %s",
                        error ? strerror(error) : "not a regular file");
    if ((int64_t)map.n_bytes > ctx->limits.max[TLB_LIMIT_FILE]) {
        int64_t found = (int64_t)map.n_bytes;
        tlb_unmap(&map);
        return tlc_over_limit(ctx, TLB_LIMIT_FILE, found);
    }
    *out = (tlc_file){ map.bytes, (int64_t)map.n_bytes, path, NULL };
    return TLC_OK;
}

void tlc_file_unmap(tlc_file *f)
{
    for (tlc_file *at = f; at; at = at->next) {
        tlb_map map = { at->bytes, (size_t)at->n_bytes };
        tlb_unmap(&map);
        at->bytes = NULL;
    }
    f->next = NULL;
}
