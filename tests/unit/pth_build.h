/* pth_build.h: PyTorch files made in memory: BASE is the state_dict of a linear layer with
 * fc.weight [2,3] = 1..6 and fc.bias [2] = 7, 8; a test changes what it names. */
#ifndef PTH_BUILD_H
#define PTH_BUILD_H

#include "import.h"
#include "text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct bytes {
    unsigned char *p;
    size_t n, cap;
} bytes;

static inline void put(bytes *b, const void *from, size_t n)
{
    while (b->n + n > b->cap) {
        b->cap = b->cap ? 2 * b->cap : 256;
        b->p = realloc(b->p, b->cap);
    }
    if (n)
        memcpy(b->p + b->n, from, n);
    b->n += n;
}

static inline void put_int(bytes *b, uint64_t v, int n)
{
    for (int i = 0; i < n; ++i, v >>= 8)
        put(b, &(unsigned char){ (unsigned char)v }, 1);
}

static inline void put_text(bytes *b, const char *s)
{
    put(b, s, strlen(s));
}

/* --- pickle -------------------------------------------------------------- */

static inline void put_unicode(bytes *b, const char *s)
{
    put_text(b, "X");
    put_int(b, strlen(s), 4);
    put_text(b, s);
}

static inline void put_long(bytes *b, int64_t v)
{
    put_text(b, "\x8a\x08");
    put_int(b, (uint64_t)v, 8);
}

typedef struct tensor_spec {
    const char *name, *storage, *key, *rebuild;
    int64_t elems, offset;
    int rank;
    int64_t size[2], stride[2];
} tensor_spec;

static inline void put_ints(bytes *b, const int64_t *v, int n)
{
    put_text(b, "(");
    for (int i = 0; i < n; ++i)
        put_long(b, v[i]);
    put_text(b, "t");
}

static inline void put_storage(bytes *b, const tensor_spec *t, bool old)
{
    put_text(b, "(");
    put_unicode(b, "storage");
    put_text(b, "ctorch\n");
    put_text(b, t->storage);
    put_text(b, "\n");
    put_unicode(b, t->key);
    put_unicode(b, "cpu");
    put_long(b, t->elems);
    put_text(b, old ? "NtQ" : "tQ");
}

/* The tensor's value: one call. */
static inline void put_tensor(bytes *b, const tensor_spec *t, bool old)
{
    put_text(b, "ctorch._utils\n");
    put_text(b, t->rebuild);
    put_text(b, "\n(");
    put_storage(b, t, old);
    put_long(b, t->offset);
    put_ints(b, t->size, t->rank);
    put_ints(b, t->stride, t->rank);
    put_text(b, "\x89" "ccollections\nOrderedDict\n)RtR");
}

/* --- zip ----------------------------------------------------------------- */

typedef struct zip_part {
    const char *name, *local_name; /* NULL: the same */
    bytes data;
    unsigned method, flags;
    bool sizes_behind; /* local sizes 0, as torch writes */
    bool zip64;        /* sizes in the extra field */
    int64_t shift;     /* of the offset in the directory */
    int64_t claim;     /* added to the size in the directory */
} zip_part;

typedef struct pth {
    tensor_spec tensor[2];
    int protocol;
    bytes front, extra, tail; /* of the pickle: before the dictionary, in it, behind STOP */
    bytes raw;                /* instead of all that, if not empty */
    bool no_stop, old;
    zip_part part[8];
    int n_parts;
    bool zip64; /* end record */
    /* of the old format */
    int64_t version, count;
    bool big_endian;
    size_t cut;
} pth;

enum { PART_PICKLE, PART_ORDER, PART_0, PART_1 };

static inline pth base_pth(void)
{
    static const float values[] = { 1, 2, 3, 4, 5, 6, 7, 8 };
    pth x = { .protocol = 2, .version = 1001, .n_parts = 4 };
    x.tensor[0] = (tensor_spec){ "fc.weight", "FloatStorage", "0", "_rebuild_tensor_v2", 6, 0, 2,
                                 { 2, 3 }, { 3, 1 } };
    x.tensor[1] = (tensor_spec){ "fc.bias", "FloatStorage", "1", "_rebuild_tensor_v2", 2, 0, 1,
                                 { 2 }, { 1 } };
    x.part[PART_PICKLE].name = "net/data.pkl";
    x.part[PART_ORDER].name = "net/byteorder";
    x.part[PART_0].name = "net/data/0";
    x.part[PART_1].name = "net/data/1";
    put_text(&x.part[PART_ORDER].data, "little");
    put(&x.part[PART_0].data, values, 24);
    put(&x.part[PART_1].data, values + 6, 8);
    return x;
}

static inline void put_pickle(bytes *b, pth *x)
{
    put_text(b, "\x80");
    put_int(b, (uint64_t)x->protocol, 1);
    put(b, x->front.p, x->front.n);
    put_text(b, "ccollections\nOrderedDict\n)R(");
    for (int i = 0; i < 2; ++i) {
        if (!x->tensor[i].name)
            continue;
        put_unicode(b, x->tensor[i].name);
        put_tensor(b, &x->tensor[i], x->old);
    }
    put(b, x->extra.p, x->extra.n);
    put_text(b, x->no_stop ? "u" : "u.");
    put(b, x->tail.p, x->tail.n);
}

static inline void put_local(bytes *b, const zip_part *e)
{
    const char *name = e->local_name ? e->local_name : e->name;
    size_t size = e->sizes_behind ? 0 : e->data.n;
    put_int(b, 0x04034b50, 4);
    put_int(b, 0, 2);
    put_int(b, e->flags | (e->sizes_behind ? 8u : 0), 2);
    put_int(b, e->method, 2);
    put_int(b, 0, 4 + 4); /* time, a wrong CRC */
    put_int(b, e->zip64 ? UINT32_MAX : size, 4);
    put_int(b, e->zip64 ? UINT32_MAX : size, 4);
    put_int(b, strlen(name), 2);
    put_int(b, 0, 2);
    put_text(b, name);
    put(b, e->data.p, e->data.n);
}

static inline void put_central(bytes *b, const zip_part *e, uint64_t offset)
{
    uint64_t size = e->data.n + (uint64_t)e->claim;
    put_int(b, 0x02014b50, 4);
    put_int(b, 0, 4);
    put_int(b, e->flags | (e->sizes_behind ? 8u : 0), 2);
    put_int(b, e->method, 2);
    put_int(b, 0, 8);
    put_int(b, e->zip64 ? UINT32_MAX : size, 4);
    put_int(b, e->zip64 ? UINT32_MAX : size, 4);
    put_int(b, strlen(e->name), 2);
    put_int(b, e->zip64 ? 28 : 0, 2);
    put_int(b, 0, 2 + 2 + 2 + 4);
    put_int(b, e->zip64 ? UINT32_MAX : offset, 4);
    put_text(b, e->name);
    if (!e->zip64)
        return;
    put_int(b, 1, 2);
    put_int(b, 24, 2);
    put_int(b, size, 8);
    put_int(b, size, 8);
    put_int(b, offset, 8);
}

static inline void put_end(bytes *b, int n, uint64_t directory, bool zip64)
{
    uint64_t at = b->n, size = at - directory;
    if (zip64) {
        put_int(b, 0x06064b50, 4);
        put_int(b, 44, 8);
        put_int(b, 0, 4 + 4 + 4);
        put_int(b, (uint64_t)n, 8);
        put_int(b, (uint64_t)n, 8);
        put_int(b, size, 8);
        put_int(b, directory, 8);
        put_int(b, 0x07064b50, 4);
        put_int(b, 0, 4);
        put_int(b, at, 8);
        put_int(b, 1, 4);
    }
    put_int(b, 0x06054b50, 4);
    put_int(b, 0, 4);
    put_int(b, zip64 ? UINT16_MAX : (uint64_t)n, 2);
    put_int(b, zip64 ? UINT16_MAX : (uint64_t)n, 2);
    put_int(b, zip64 ? UINT32_MAX : size, 4);
    put_int(b, zip64 ? UINT32_MAX : directory, 4);
    put_int(b, 0, 2);
}

static inline void free_pth(pth *x)
{
    bytes *all[] = { &x->front, &x->extra, &x->tail, &x->raw };
    for (size_t i = 0; i < 4; ++i)
        free(all[i]->p);
    for (int i = 0; i < 8; ++i)
        free(x->part[i].data.p);
}

static inline bytes zip_bytes(pth *x)
{
    bytes b = { 0 };
    uint64_t offset[8], directory;
    if (x->raw.n)
        put(&x->part[PART_PICKLE].data, x->raw.p, x->raw.n);
    else
        put_pickle(&x->part[PART_PICKLE].data, x);
    for (int i = 0; i < x->n_parts; ++i) {
        offset[i] = b.n;
        put_local(&b, &x->part[i]);
    }
    directory = b.n;
    for (int i = 0; i < x->n_parts; ++i)
        put_central(&b, &x->part[i], offset[i] + (uint64_t)x->part[i].shift);
    put_end(&b, x->n_parts, directory, x->zip64);
    free_pth(x);
    return b;
}

static inline bytes old_bytes(pth *x)
{
    bytes b = { 0 };
    put(&b, "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", 15);
    put_text(&b, "\x80\x02");
    put_long(&b, x->version);
    put_text(&b, ".\x80\x02}");
    put_unicode(&b, "little_endian");
    put_text(&b, x->big_endian ? "\x89s." : "\x88s.");
    put_pickle(&b, x);
    put_text(&b, "\x80\x02](");
    put_unicode(&b, "0");
    put_unicode(&b, "1");
    put_text(&b, "e.");
    for (int i = 0; i < 2; ++i) {
        put_int(&b, (uint64_t)(x->count ? x->count : x->tensor[i].elems), 8);
        put(&b, x->part[PART_0 + i].data.p, x->part[PART_0 + i].data.n);
    }
    b.n -= x->cut;
    free_pth(x);
    return b;
}

static inline bytes pth_bytes(pth *x)
{
    return x->old ? old_bytes(x) : zip_bytes(x);
}

/* --- running ------------------------------------------------------------- */

typedef struct weights_run {
    tlc_ctx ctx;
    jmp_buf exhausted;
    tlc_module *module;
    tlc_import_info info;
    tlc_status status;
} weights_run;

static const char linear_network[] =
    "module \"linear\"\n"
    "param %fc.weight : f32[2,3] init uniform fan_in=3\n"
    "param %fc.bias : f32[2] init uniform fan_in=3\n"
    "func @forward(%x: f32[n,3]) -> f32[n,2] {\n"
    "  %0 : f32[n,2] = linear %x, %fc.weight, %fc.bias\n"
    "  return %0\n}\n";

/* Give the weights to the network; the bytes are freed, their copy has exactly their size. */
static inline void run_weights(weights_run *r, const char *network, bytes b, const char *path)
{
    memset(r, 0, sizeof *r);
    tlc_ctx_init(&r->ctx, &r->exhausted);
    if (setjmp(r->exhausted)) {
        r->status = TLC_E_LIMIT;
        return;
    }
    unsigned char *copy = tlc_arena_alloc(&r->ctx.arena, b.n);
    if (b.n)
        memcpy(copy, b.p, b.n);
    tlc_file *file = TLC_NEW(&r->ctx.arena, tlc_file);
    *file = (tlc_file){ copy, (int64_t)b.n, path, NULL };
    free(b.p);
    r->status = tlc_parse_module(&r->ctx, network, strlen(network), NULL, &r->module);
    if (r->status == TLC_OK)
        r->status = tlc_weights_apply(&r->ctx, r->module, file, &r->info);
    if (r->status == TLC_OK)
        r->status = tlc_check_weights(&r->ctx, r->module, &r->info);
}

/* One error, with the core; or none and at most one warning, with the core. */
static inline bool run_is(const weights_run *r, int status, const char *core)
{
    int errors = 0, warnings = 0;
    bool said = false;
    for (size_t i = 0; i < r->ctx.n_diags; ++i) {
        errors += r->ctx.diags[i].severity == TLB_ERROR;
        warnings += r->ctx.diags[i].severity == TLB_WARNING;
        said |= core && strstr(r->ctx.diags[i].what, core);
    }
    return (int)r->status == status && errors == (status != TLC_OK) &&
           (status != TLC_OK || warnings == (core != NULL)) && said == (core != NULL);
}

static inline void show_run(const weights_run *r)
{
    printf("  status %d\n", (int)r->status);
    for (size_t i = 0; i < r->ctx.n_diags; ++i)
        tlb_diag_print(stdout, "tlc", &r->ctx.diags[i], false, false);
}

#endif
