/* cache.c: features on disk.
 *
 * One file for each compiled model and way of reading samples: a header, then records of one
 * size: key of the content, checksum, row.  A record counts only if its checksum holds, so a
 * damaged or cut file costs time and changes nothing.  New rows are written with the good old
 * ones into a new file that replaces the old whole; two trainers may share a cache: the last
 * to finish wins, both files were right.
 */
#define XXH_INLINE_ALL
#include "tlr_trainer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>

#define CACHE_MAGIC "tlcfeat\n"
enum { CACHE_VERSION = 1, CACHE_ALIGN = 64 };

typedef struct cache_header {
    char magic[8];
    uint32_t version, zero;
    uint64_t model_low, model_high, row_bytes;
    uint64_t zeros[2];
    uint64_t xxh64;           /* of the bytes before */
} cache_header;

typedef struct cache_record { /* its row follows, padded to CACHE_ALIGN */
    uint64_t low, high;
    uint64_t xxh64;           /* of all of the record, this field as 0 */
    uint64_t zeros[5];
} cache_record;

typedef struct tlr_cache_entry {
    tlr_content_key key;
    const char *record;
} tlr_cache_entry;

static int compare_keys(const tlr_content_key *x, const tlr_content_key *y)
{
    if (x->low != y->low)
        return x->low < y->low ? -1 : 1;
    return x->high < y->high ? -1 : x->high > y->high;
}

static int compare_entries(const void *a, const void *b)
{
    const tlr_cache_entry *x = a, *y = b;
    return compare_keys(&x->key, &y->key);
}

static void make_header(const tlr_cache *c, cache_header *h)
{
    *h = (cache_header){ .version = CACHE_VERSION, .row_bytes = c->row_bytes };
    memcpy(h->magic, CACHE_MAGIC, sizeof h->magic);
    h->model_low = c->model.low;
    h->model_high = c->model.high;
    h->xxh64 = XXH64(h, offsetof(cache_header, xxh64), 0);
}

static uint64_t record_hash(const tlr_cache *c, cache_record r, const void *padded_row)
{
    r.xxh64 = 0;
    return XXH64(padded_row, c->record_bytes - sizeof r, XXH64(&r, sizeof r, 0));
}

static bool record_good(const tlr_cache *c, const char *at)
{
    cache_record r;
    memcpy(&r, at, sizeof r);
    return record_hash(c, r, at + sizeof r) == r.xxh64;
}

static bool is_ours(const tlr_cache *c)
{
    cache_header h;
    make_header(c, &h);
    return c->map.n_bytes >= sizeof h && memcmp(c->map.bytes, &h, sizeof h) == 0;
}

/* Good records into the index, sorted by key; *bad: how many are not. */
static tlb_status make_index(tlr_cache *c, size_t *bad)
{
    size_t n = (c->map.n_bytes - sizeof(cache_header)) / c->record_bytes;
    const char *at = (const char *)c->map.bytes + sizeof(cache_header);
    c->index = malloc(n * sizeof *c->index + 1);
    if (!c->index)
        return TLB_E_LIMIT;
    for (size_t i = 0; i < n; ++i, at += c->record_bytes) {
        cache_record r;
        memcpy(&r, at, sizeof r);
        if (record_good(c, at))
            c->index[c->n++] = (tlr_cache_entry){ { r.low, r.high }, at };
    }
    *bad = n - c->n;
    if (c->n > 0)
        qsort(c->index, c->n, sizeof *c->index, compare_entries);
    return TLB_OK;
}

/* Map what is at c->path, if anything usable is. */
static tlb_status load(tlr_cache *c, const char **what)
{
    int error = 0;
    tlb_status status = tlb_map_file(c->path, &c->map, &error);
    if (status != TLB_OK) {
        if (error != ENOENT)
            *what = "cache cannot be read; features are computed again";
        return TLB_OK;
    }
    if (!is_ours(c)) {
        *what = "not a cache of this model and version; features are computed again";
        tlb_unmap(&c->map);
        return TLB_OK;
    }
    size_t bad = 0;
    tlb_status made = make_index(c, &bad);
    if (bad > 0 || (c->map.n_bytes - sizeof(cache_header)) % c->record_bytes != 0)
        *what = "cache is cut or damaged; what is missing is computed again";
    return made;
}

tlb_status tlr_cache_open(tlr_cache *c, const char *dir, tlr_content_key model, size_t row_bytes,
                          const char **what)
{
    char name[40];
    *c = (tlr_cache){ .model = model, .row_bytes = row_bytes, .out = { .fd = -1 } };
    c->record_bytes = sizeof(cache_record) +
                      (row_bytes + CACHE_ALIGN - 1) / CACHE_ALIGN * CACHE_ALIGN;
    snprintf(name, sizeof name, "%016llx.features", (unsigned long long)model.low);
    c->path = tlr_path(dir, name);
    *what = NULL;
    if (!c->path)
        return TLB_E_LIMIT;
    mkdir(dir, 0777); /* what fails here shows when the file is written */
    return load(c, what);
}

static void unload(tlr_cache *c)
{
    tlb_unmap(&c->map);
    free(c->index);
    c->index = NULL;
    c->n = 0;
}

void tlr_cache_close(tlr_cache *c)
{
    if (c->writing)
        tlb_out_abandon(&c->out);
    c->writing = false;
    unload(c);
    free(c->path);
    c->path = NULL;
}

const void *tlr_cache_find(const tlr_cache *c, tlr_content_key key)
{
    size_t low = 0, high = c->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare_keys(&c->index[middle].key, &key);
        if (order == 0)
            return c->index[middle].record + sizeof(cache_record);
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

tlb_status tlr_cache_begin(tlr_cache *c)
{
    cache_header h;
    tlb_status status = tlb_out_open(&c->out, c->path);
    if (status != TLB_OK)
        return status;
    c->writing = true;
    make_header(c, &h);
    status = tlb_out_write(&c->out, &h, sizeof h);
    for (size_t i = 0; status == TLB_OK && i < c->n; ++i) {
        if (i == 0 || compare_keys(&c->index[i - 1].key, &c->index[i].key) != 0)
            status = tlb_out_write(&c->out, c->index[i].record, c->record_bytes);
    }
    return status;
}

tlb_status tlr_cache_add(tlr_cache *c, tlr_content_key key, const void *row)
{
    static const char zeros[CACHE_ALIGN];
    size_t padding = c->record_bytes - sizeof(cache_record) - c->row_bytes;
    cache_record r = { .low = key.low, .high = key.high };
    XXH64_state_t s;
    XXH64_reset(&s, XXH64(&r, sizeof r, 0));
    XXH64_update(&s, row, c->row_bytes);
    XXH64_update(&s, zeros, padding);
    r.xxh64 = XXH64_digest(&s);
    tlb_out_write(&c->out, &r, sizeof r);
    tlb_out_write(&c->out, row, c->row_bytes);
    return tlb_out_write(&c->out, zeros, padding);
}

tlb_status tlr_cache_commit(tlr_cache *c)
{
    const char *what = NULL;
    c->writing = false;
    tlb_status status = tlb_out_commit(&c->out);
    if (status != TLB_OK)
        return status;
    unload(c);
    return load(c, &what);
}
