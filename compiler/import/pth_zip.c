/* pth_zip.c: end record, central directory, local headers (PKWARE's APPNOTE 6.3.10, 4.3).
 *
 * Every offset and length is held against the bytes that are there before it is used; sums are
 * of 64-bit numbers below the file's length, so they cannot overflow once checked.
 */
#include "pth_zip.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    END_BYTES = 22,
    LOCATOR_BYTES = 20,
    END64_BYTES = 56,
    CENTRAL_BYTES = 46,
    LOCAL_BYTES = 30,
    MOST_COMMENT = 65535,
    FLAG_ENCRYPTED = 1,
    FLAG_SIZES_BEHIND = 8, /* torch's: sizes of the local header stand behind the data, or are 0 */
    EXTRA_ZIP64 = 1
};

typedef struct zip_reader {
    tlc_ctx *ctx;
    const unsigned char *bytes;
    uint64_t n;
    uint64_t directory, directory_bytes, count;
    const char *top; /* the folder of all entries */
    size_t n_top;
} zip_reader;

typedef struct central { /* one row of the directory */
    const unsigned char *name;
    size_t n_name;
    unsigned flags, method;
    uint64_t packed, size, local;
} central;

static uint64_t get(const unsigned char *p, int bytes)
{
    uint64_t v = 0;
    while (bytes-- > 0)
        v = v << 8 | p[bytes];
    return v;
}

static tlc_status bad_directory(zip_reader *z, const char *what)
{
    return tlc_fail(z->ctx, TLC_E_MALFORMED, "E_ZIP", "zip directory: %s", what);
}

static tlc_status bad_entry(zip_reader *z, const central *c, const char *what)
{
    return tlc_fail(z->ctx, TLC_E_MALFORMED, "E_ZIP", "zip entry %s: %s",
                    tlc_quote(z->ctx, (const char *)c->name, c->n_name), what);
}

/* --- end record ---------------------------------------------------------- */

/* The record whose comment ends with the file. */
static tlc_status find_end(zip_reader *z, uint64_t *out)
{
    for (uint64_t comment = 0; comment <= MOST_COMMENT && comment + END_BYTES <= z->n; ++comment) {
        const unsigned char *p = z->bytes + z->n - END_BYTES - comment;
        if (get(p, 4) != 0x06054b50 || get(p + 20, 2) != comment)
            continue;
        *out = z->n - END_BYTES - comment;
        return TLC_OK;
    }
    return bad_directory(z, "no end record");
}

/* Where counts or offsets do not fit, a second record stands before the first. */
static tlc_status read_end64(zip_reader *z, uint64_t end, uint64_t *out)
{
    *out = end;
    if (end < LOCATOR_BYTES || get(z->bytes + end - LOCATOR_BYTES, 4) != 0x07064b50)
        return TLC_OK;
    uint64_t at = get(z->bytes + end - LOCATOR_BYTES + 8, 8);
    if (end < LOCATOR_BYTES + END64_BYTES || at > end - LOCATOR_BYTES - END64_BYTES ||
        get(z->bytes + at, 4) != 0x06064b50)
        return bad_directory(z, "no zip64 record where its locator says");
    const unsigned char *p = z->bytes + at;
    z->count = get(p + 32, 8);
    z->directory_bytes = get(p + 40, 8);
    z->directory = get(p + 48, 8);
    *out = at;
    return TLC_OK;
}

static tlc_status read_end(zip_reader *z)
{
    uint64_t end = 0, behind = 0;
    TLC_TRY(find_end(z, &end));
    const unsigned char *p = z->bytes + end;
    z->count = get(p + 10, 2);
    z->directory_bytes = get(p + 12, 4);
    z->directory = get(p + 16, 4);
    TLC_TRY(read_end64(z, end, &behind));
    if (z->directory > behind || z->directory_bytes != behind - z->directory)
        return bad_directory(z, "does not end where its end record begins");
    if (z->count > z->directory_bytes / CENTRAL_BYTES)
        return bad_directory(z, "more entries than bytes for them");
    int64_t most = z->ctx->limits.max[TLB_LIMIT_TENSORS];
    return z->count > (uint64_t)most
               ? tlc_over_limit(z->ctx, TLB_LIMIT_TENSORS, (int64_t)z->count)
               : TLC_OK;
}

/* --- the directory ------------------------------------------------------- */

/* Sizes of 2^32 and more: the 64-bit numbers of those fields that hold all ones, in order. */
static tlc_status read_zip64(zip_reader *z, const unsigned char *extra, size_t n, central *c)
{
    uint64_t *const fields[] = { &c->size, &c->packed, &c->local };
    while (n >= 4) {
        size_t len = (size_t)get(extra + 2, 2);
        if (len > n - 4)
            break;
        const unsigned char *at = extra + 4, *end = at + len;
        for (int i = 0; i < 3 && get(extra, 2) == EXTRA_ZIP64; ++i) {
            if (*fields[i] != UINT32_MAX)
                continue;
            if (end - at < 8)
                return bad_entry(z, c, "zip64 sizes are cut");
            *fields[i] = get(at, 8);
            at += 8;
        }
        n -= 4 + len;
        extra += 4 + len;
    }
    return TLC_OK;
}

/* The row at *at, which moves behind it. */
static tlc_status read_central(zip_reader *z, uint64_t *at, central *c)
{
    uint64_t left = z->directory + z->directory_bytes - *at;
    const unsigned char *p = z->bytes + *at;
    if (left < CENTRAL_BYTES || get(p, 4) != 0x02014b50)
        return bad_directory(z, "an entry is cut");
    size_t n_name = (size_t)get(p + 28, 2), n_extra = (size_t)get(p + 30, 2);
    uint64_t bytes = CENTRAL_BYTES + n_name + n_extra + get(p + 32, 2);
    if (bytes > left)
        return bad_directory(z, "an entry is cut");
    *c = (central){ .name = p + CENTRAL_BYTES,
                    .n_name = n_name,
                    .flags = (unsigned)get(p + 8, 2),
                    .method = (unsigned)get(p + 10, 2),
                    .packed = get(p + 20, 4),
                    .size = get(p + 24, 4),
                    .local = get(p + 42, 4) };
    *at += bytes;
    return read_zip64(z, p + CENTRAL_BYTES + n_name, n_extra, c);
}

/* TOP/a/b, the same TOP for all, without steps upwards. */
static tlc_status check_name(zip_reader *z, const central *c)
{
    const char *name = (const char *)c->name, *slash = memchr(name, '/', c->n_name);
    if (!slash || slash == name || memchr(name, '\0', c->n_name) ||
        memchr(name, '\\', c->n_name) || !tlc_is_utf8(c->name, c->n_name))
        return bad_entry(z, c, "not a path below a folder");
    for (const char *at = name, *end = name + c->n_name; at < end;) {
        const char *next = memchr(at, '/', (size_t)(end - at));
        size_t len = (size_t)((next ? next : end) - at);
        if ((len == 2 && at[0] == '.' && at[1] == '.') || (next && len == 0))
            return bad_entry(z, c, "not a path below a folder");
        at += len + 1;
    }
    if (!z->top) {
        z->top = name;
        z->n_top = (size_t)(slash - name);
    }
    if ((size_t)(slash - name) != z->n_top || memcmp(name, z->top, z->n_top) != 0)
        return bad_entry(z, c, "a second top folder");
    return TLC_OK;
}

/* The local header says the same, or leaves sizes to what stands behind the data. */
static tlc_status check_local(zip_reader *z, const central *c, uint64_t *data)
{
    if (c->local > z->directory || z->directory - c->local < LOCAL_BYTES)
        return bad_entry(z, c, "header is past end");
    const unsigned char *p = z->bytes + c->local;
    if (get(p, 4) != 0x04034b50)
        return bad_entry(z, c, "no header where the directory says");
    uint64_t n_name = get(p + 26, 2), bytes = LOCAL_BYTES + n_name + get(p + 28, 2);
    if (bytes > z->directory - c->local)
        return bad_entry(z, c, "header is past end");
    if (n_name != c->n_name || memcmp(p + LOCAL_BYTES, c->name, c->n_name) != 0)
        return bad_entry(z, c, "another name in its header");
    uint64_t packed = get(p + 18, 4);
    bool behind = (get(p + 6, 2) & FLAG_SIZES_BEHIND) && packed == 0;
    if (!behind && packed != UINT32_MAX && packed != c->packed)
        return bad_entry(z, c, "another size in its header");
    *data = c->local + bytes;
    return c->size > z->directory - *data ? bad_entry(z, c, "data is past end") : TLC_OK;
}

static tlc_status read_entry(zip_reader *z, uint64_t *at, tlc_zip_entry *out)
{
    central c = { 0 };
    uint64_t data = 0;
    TLC_TRY(read_central(z, at, &c));
    TLC_TRY(check_name(z, &c));
    if (c.flags & FLAG_ENCRYPTED)
        return bad_entry(z, &c, "encrypted");
    if (c.method != 0)
        return tlc_fail(z->ctx, TLC_E_UNSUPPORTED, "E_ZIP", "zip entry %s is compressed",
                        tlc_quote(z->ctx, (const char *)c.name, c.n_name));
    if (c.packed != c.size)
        return bad_entry(z, &c, "stored, but of two sizes");
    TLC_TRY(check_local(z, &c, &data));
    *out = (tlc_zip_entry){ .name = tlc_arena_strndup(&z->ctx->arena,
                                                      (const char *)c.name + z->n_top + 1,
                                                      c.n_name - z->n_top - 1),
                            .bytes = z->bytes + data,
                            .n_bytes = (int64_t)c.size,
                            .from = c.local,
                            .to = data + c.size };
    return TLC_OK;
}

/* --- together ------------------------------------------------------------ */

static int by_place(const void *a, const void *b)
{
    const tlc_zip_entry *x = *(const tlc_zip_entry *const *)a;
    const tlc_zip_entry *y = *(const tlc_zip_entry *const *)b;
    return (x->from > y->from) - (x->from < y->from);
}

static tlc_status check_overlap(zip_reader *z, const tlc_zip *zip)
{
    const tlc_zip_entry **sorted = TLC_NEW_ARRAY(&z->ctx->arena, const tlc_zip_entry *, zip->n);
    for (size_t i = 0; i < zip->n; ++i)
        sorted[i] = &zip->entries[i];
    if (zip->n)
        qsort(sorted, zip->n, sizeof *sorted, by_place);
    for (size_t i = 1; i < zip->n; ++i)
        if (sorted[i]->from < sorted[i - 1]->to)
            return tlc_fail(z->ctx, TLC_E_MALFORMED, "E_ZIP", "zip entry %s overlaps %s",
                            tlc_quote_name(z->ctx, sorted[i]->name),
                            tlc_quote_name(z->ctx, sorted[i - 1]->name));
    return TLC_OK;
}

tlc_status tlc_zip_read(tlc_ctx *ctx, const tlc_file *file, tlc_zip *out)
{
    zip_reader z = { .ctx = ctx, .bytes = file->bytes, .n = (uint64_t)file->n_bytes };
    TLC_TRY(read_end(&z));
    *out = (tlc_zip){ .entries = TLC_NEW_ARRAY(&ctx->arena, tlc_zip_entry, z.count),
                      .names = { .arena = &ctx->arena } };
    uint64_t at = z.directory;
    for (; out->n < z.count; ++out->n) {
        TLC_TRY(read_entry(&z, &at, &out->entries[out->n]));
        tlc_names_add(&out->names, out->entries[out->n].name, &out->entries[out->n]);
    }
    if (at != z.directory + z.directory_bytes)
        return bad_directory(&z, "bytes behind the last entry");
    const tlc_named *twice = tlc_names_seal(&out->names);
    if (twice)
        return tlc_fail(ctx, TLC_E_MALFORMED, "E_ZIP", "zip entry %s is there twice",
                        tlc_quote_name(ctx, twice->name));
    return check_overlap(&z, out);
}

const tlc_zip_entry *tlc_zip_find(const tlc_zip *zip, const char *name)
{
    return tlc_names_find(&zip->names, name);
}
