/* npz.h: arrays of NumPy's .npz and .npy files, for tests: a zip reader and inflate (RFC 1951) of
 * just enough for what numpy.savez writes.  Files that are not as expected end the program. */
#ifndef NPZ_H
#define NPZ_H

#include "tlb_npy.h" /* which test_npy.c tests */

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static inline void npz_die(const char *what)
{
    fprintf(stderr, "npz.h: %s\n", what);
    exit(1);
}

/* Arrays are views: what they look into is kept, where a leak checker finds it. */
static inline void npz_keep(void *p)
{
    static void *kept[256];
    static size_t n;
    if (n == sizeof kept / sizeof *kept)
        npz_die("too many arrays");
    kept[n++] = p;
}

static inline unsigned char *npz_read_file(const char *path, size_t *n)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        return NULL;
    fseek(f, 0, SEEK_END);
    *n = (size_t)ftell(f);
    rewind(f);
    unsigned char *b = malloc(*n + 1);
    if (fread(b, 1, *n, f) != *n)
        npz_die("short read");
    fclose(f);
    return b;
}

typedef struct npz_bits {
    const unsigned char *in;
    size_t n, at;
    unsigned bit;
} npz_bits;

static inline unsigned npz_get(npz_bits *b, int count)
{
    unsigned v = 0;
    for (int i = 0; i < count; ++i) {
        if (b->at >= b->n)
            npz_die("deflate data end early");
        v |= (unsigned)(b->in[b->at] >> b->bit & 1) << i;
        b->bit = (b->bit + 1) % 8;
        b->at += b->bit == 0;
    }
    return v;
}

/* Canonical Huffman code: symbols of each length in order. */
typedef struct npz_code {
    short count[16], symbol[288];
} npz_code;

static inline void npz_make_code(npz_code *c, const unsigned char *length, int n)
{
    short at[16] = { 0 };
    memset(c->count, 0, sizeof c->count);
    for (int i = 0; i < n; ++i)
        ++c->count[length[i]];
    c->count[0] = 0;
    for (int l = 1; l < 15; ++l)
        at[l + 1] = (short)(at[l] + c->count[l]);
    for (int i = 0; i < n; ++i)
        if (length[i])
            c->symbol[at[length[i]]++] = (short)i;
}

static inline int npz_symbol(npz_bits *b, const npz_code *c)
{
    int code = 0, first = 0, index = 0;
    for (int l = 1; l < 16; ++l) {
        code |= (int)npz_get(b, 1);
        if (code - first < c->count[l])
            return c->symbol[index + code - first];
        index += c->count[l];
        first = (first + c->count[l]) << 1;
        code <<= 1;
    }
    npz_die("no such code");
    return -1;
}

static inline void npz_dynamic_codes(npz_bits *b, npz_code *lit, npz_code *dist)
{
    static const unsigned char order[19] = { 16, 17, 18, 0, 8,  7, 9,  6, 10, 5,
                                             11, 4,  12, 3, 13, 2, 14, 1, 15 };
    unsigned char length[320] = { 0 };
    int nlit = (int)npz_get(b, 5) + 257, ndist = (int)npz_get(b, 5) + 1,
        ncode = (int)npz_get(b, 4) + 4;
    npz_code lengths;
    for (int i = 0; i < ncode; ++i)
        length[order[i]] = (unsigned char)npz_get(b, 3);
    npz_make_code(&lengths, length, 19);
    memset(length, 0, sizeof length);
    for (int i = 0; i < nlit + ndist;) {
        int s = npz_symbol(b, &lengths), repeat = 1;
        unsigned char v = s < 16 ? (unsigned char)s : s == 16 && i > 0 ? length[i - 1] : 0;
        if (s >= 16)
            repeat = s == 16   ? 3 + (int)npz_get(b, 2)
                     : s == 17 ? 3 + (int)npz_get(b, 3)
                               : 11 + (int)npz_get(b, 7);
        while (repeat-- > 0 && i < 320)
            length[i++] = v;
    }
    npz_make_code(lit, length, nlit);
    npz_make_code(dist, length + nlit, ndist);
}

static inline void npz_fixed_codes(npz_code *lit, npz_code *dist)
{
    unsigned char length[288];
    memset(length, 8, 144);
    memset(length + 144, 9, 112);
    memset(length + 256, 7, 24);
    memset(length + 280, 8, 8);
    npz_make_code(lit, length, 288);
    memset(length, 5, 30);
    npz_make_code(dist, length, 30);
}

static inline void npz_inflate(const unsigned char *in, size_t n, unsigned char *out, size_t size)
{
    static const short base[29] = { 3,  4,  5,  6,  7,  8,  9,  10, 11,  13,  15,  17,  19,  23, 27,
                                    31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258 };
    static const short extra[29] = { 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2,
                                     2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0 };
    npz_bits b = { in, n, 0, 0 };
    npz_code lit, dist;
    size_t to = 0;
    unsigned last = 0;
    while (!last) {
        last = npz_get(&b, 1);
        unsigned kind = npz_get(&b, 2);
        if (kind == 0) {
            b.at += b.bit != 0, b.bit = 0;
            size_t len = npz_get(&b, 16);
            npz_get(&b, 16);
            if (len > size - to || len > n - b.at)
                npz_die("stored block too long");
            memcpy(out + to, in + b.at, len);
            to += len, b.at += len;
            continue;
        }
        if (kind == 1)
            npz_fixed_codes(&lit, &dist);
        else
            npz_dynamic_codes(&b, &lit, &dist);
        for (int s; (s = npz_symbol(&b, &lit)) != 256;) {
            if (to >= size)
                npz_die("too much data");
            if (s < 256) {
                out[to++] = (unsigned char)s;
                continue;
            }
            size_t len = (size_t)base[s - 257] + npz_get(&b, extra[s - 257]);
            int d = npz_symbol(&b, &dist), bits = d < 4 ? 0 : d / 2 - 1;
            size_t back =
                (d < 4 ? (size_t)d + 1 : ((size_t)(2 + d % 2) << bits) + 1) + npz_get(&b, bits);
            if (back > to || len > size - to)
                npz_die("distance too far");
            for (; len > 0; --len, ++to)
                out[to] = out[to - back];
        }
    }
    if (to != size)
        npz_die("size differs");
}

static inline uint32_t npz_u32(const unsigned char *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline void npz_parse(const unsigned char *bytes, size_t n, tlb_npy *out)
{
    const char *what;
    if (tlb_npy_parse(bytes, n, out, &what) != TLB_OK)
        npz_die(what);
}

/* The first index runs fastest in what NumPy calls Fortran order: to the usual one. */
static inline void npz_reorder(tlb_npy *a, unsigned char *end)
{
    int64_t at[8] = { 0 }, elems = 1, step[8];
    for (int k = 0; k < a->rank; ++k) {
        step[k] = elems;
        elems *= a->dim[k];
    }
    unsigned char *data = (unsigned char *)a->data, *copy = malloc((size_t)(end - data) + 1);
    size_t bytes = elems ? (size_t)(end - data) / (size_t)elems : 0;
    memcpy(copy, data, (size_t)(end - data));
    for (int64_t i = 0; i < elems; ++i) {
        int64_t from = 0;
        for (int k = 0; k < a->rank; ++k)
            from += at[k] * step[k];
        memcpy(data + (size_t)i * bytes, copy + (size_t)from * bytes, bytes);
        for (int k = a->rank; k-- > 0 && ++at[k] == a->dim[k];)
            at[k] = 0;
    }
    free(copy);
}

/* The parser refuses Fortran order, so the header says otherwise before it looks. */
static inline void npz_parse_any(unsigned char *bytes, size_t n, tlb_npy *out)
{
    static const char order[] = "'fortran_order': True, ";
    bool turned = false;
    for (size_t i = 0; i + sizeof order < n && i < 128 && !turned; ++i) {
        turned = memcmp(bytes + i, order, sizeof order - 1) == 0;
        if (turned)
            memcpy(bytes + i, "'fortran_order': False,", sizeof order - 1);
    }
    npz_parse(bytes, n, out);
    if (turned)
        npz_reorder(out, bytes + n);
}

/* An array by name ("src"); the memory behind out->data stays until the program ends.  0: the
 * file is absent. */
static inline int npz_load(const char *path, const char *name, tlb_npy *out)
{
    size_t n, want = strlen(name);
    unsigned char *zip = npz_read_file(path, &n);
    if (!zip)
        return 0;
    size_t at = n - 22;
    while (at > 0 && npz_u32(zip + at) != 0x06054b50)
        --at;
    size_t count = zip[at + 10];
    at = npz_u32(zip + at + 16);
    for (size_t i = 0; i < count; ++i) {
        const unsigned char *c = zip + at;
        size_t name_len = c[28] | (size_t)c[29] << 8;
        if (name_len == want + 4 && memcmp(c + 46, name, want) == 0) {
            const unsigned char *local = zip + npz_u32(c + 42);
            const unsigned char *data =
                local + 30 + (local[26] | local[27] << 8) + (local[28] | local[29] << 8);
            size_t size = npz_u32(c + 24), packed = npz_u32(c + 20);
            unsigned char *plain = malloc(size);
            if (c[10] == 8)
                npz_inflate(data, packed, plain, size);
            else
                memcpy(plain, data, size);
            npz_parse_any(plain, size, out);
            npz_keep(plain);
            free(zip);
            return 1;
        }
        at += 46 + name_len + (c[30] | (size_t)c[31] << 8) + (c[32] | (size_t)c[33] << 8);
    }
    npz_die("no such array");
    return 0;
}

static inline int npy_load(const char *path, tlb_npy *out)
{
    size_t n;
    unsigned char *bytes = npz_read_file(path, &n);
    if (!bytes)
        return 0;
    npz_parse(bytes, n, out);
    npz_keep(bytes);
    return 1;
}

static inline const char *shared_path(char buf[512], const char *rest)
{
    const char *root = getenv("TLC_SHARED");
    snprintf(buf, 512, "%s/%s", root ? root : "../shared", rest);
    return buf;
}
#endif
