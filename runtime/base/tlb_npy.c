/* tlb_npy.c: NumPy's .npy files, read strictly.
 *
 * The header is the text of a Python dict with three keys; only that text is understood, in any
 * order of keys and with any spaces, and every size is held against the bytes that are there.
 */
#include "tlb_npy.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { MAX_RANK = 8, PREFIX = 8 };

static const struct {
    char code[3];
    uint8_t bytes;
} types[] = {
    [TLB_NPY_F4] = { "f4", 4 }, [TLB_NPY_F8] = { "f8", 8 }, [TLB_NPY_U1] = { "u1", 1 },
    [TLB_NPY_I4] = { "i4", 4 }, [TLB_NPY_I8] = { "i8", 8 }, [TLB_NPY_I1] = { "i1", 1 },
};

typedef struct reader {
    const char *at, *end;
    tlb_npy *out;
    bool fortran;
    unsigned seen; /* bits of keys */
    const char *what;
    tlb_status status;
} reader;

static bool fail(reader *r, tlb_status status, const char *what)
{
    r->status = status;
    r->what = what;
    return false;
}

static bool bad_header(reader *r)
{
    return fail(r, TLB_E_MALFORMED, "header is no dict of descr, fortran_order and shape");
}

static void skip_spaces(reader *r)
{
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\n' || *r->at == '\t'))
        ++r->at;
}

static bool accept(reader *r, const char *text)
{
    size_t n = strlen(text);
    skip_spaces(r);
    if ((size_t)(r->end - r->at) < n || memcmp(r->at, text, n) != 0)
        return false;
    r->at += n;
    return true;
}

static bool read_descr(reader *r)
{
    char quote = 0;
    skip_spaces(r);
    if (r->end - r->at < 5 || (*r->at != '\'' && *r->at != '"'))
        return fail(r, TLB_E_UNSUPPORTED, "element type is not supported");
    quote = *r->at++;
    const char *end = memchr(r->at, quote, (size_t)(r->end - r->at));
    if (!end)
        return bad_header(r);
    size_t n = (size_t)(end - r->at);
    for (size_t i = 0; n == 3 && i < sizeof types / sizeof *types; ++i)
        if (memcmp(r->at + 1, types[i].code, 2) == 0 &&
            (*r->at == '<' || (types[i].bytes == 1 && *r->at == '|'))) {
            r->out->type = (tlb_npy_type)i;
            r->at = end + 1;
            return true;
        }
    return fail(r, TLB_E_UNSUPPORTED, n == 3 && *r->at == '>' ? "big-endian is not supported"
                                                           : "element type is not supported");
}

static bool read_order(reader *r)
{
    r->fortran = accept(r, "True");
    return r->fortran || accept(r, "False") ? true : bad_header(r);
}

static bool read_dim(reader *r)
{
    int64_t v = 0;
    const char *start = r->at;
    for (; r->at < r->end && *r->at >= '0' && *r->at <= '9'; ++r->at)
        if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, *r->at - '0', &v))
            return fail(r, TLB_E_MALFORMED, "size overflows");
    if (r->at == start)
        return bad_header(r);
    if (r->out->rank == MAX_RANK)
        return fail(r, TLB_E_LIMIT, "more than 8 dimensions");
    r->out->dim[r->out->rank++] = v;
    return true;
}

static bool read_shape(reader *r)
{
    if (!accept(r, "("))
        return bad_header(r);
    while (!accept(r, ")")) {
        if (!read_dim(r))
            return false;
        if (!accept(r, ",") && (skip_spaces(r), r->at == r->end || *r->at != ')'))
            return bad_header(r);
    }
    return true;
}

static bool read_entry(reader *r)
{
    static const struct {
        const char *single, *twice;
        bool (*read)(reader *r);
    } keys[] = { { "'descr'", "\"descr\"", read_descr },
                 { "'fortran_order'", "\"fortran_order\"", read_order },
                 { "'shape'", "\"shape\"", read_shape } };
    for (unsigned i = 0; i < 3; ++i)
        if (accept(r, keys[i].single) || accept(r, keys[i].twice)) {
            if (r->seen & 1u << i || !accept(r, ":"))
                return bad_header(r);
            r->seen |= 1u << i;
            return keys[i].read(r);
        }
    return bad_header(r);
}

static bool read_header(reader *r)
{
    if (!accept(r, "{"))
        return bad_header(r);
    while (!accept(r, "}")) {
        if (!read_entry(r))
            return false;
        if (!accept(r, ",") && (skip_spaces(r), r->at == r->end || *r->at != '}'))
            return bad_header(r);
    }
    skip_spaces(r);
    return r->at == r->end && r->seen == 7 ? true : bad_header(r);
}

static bool check_data(reader *r, size_t left)
{
    tlb_npy *a = r->out;
    int64_t n = 1, bytes;
    bool empty = false;
    for (int i = 0; i < a->rank; ++i) {
        empty |= a->dim[i] == 0;
        if (__builtin_mul_overflow(n, a->dim[i] == 0 ? 1 : a->dim[i], &n))
            return fail(r, TLB_E_MALFORMED, "size overflows");
    }
    a->elems = empty ? 0 : n;
    if (__builtin_mul_overflow(a->elems, tlb_npy_type_bytes(a->type), &bytes))
        return fail(r, TLB_E_MALFORMED, "size overflows");
    if ((uint64_t)bytes != left)
        return fail(r, TLB_E_MALFORMED,
                    (uint64_t)bytes > left ? "truncated: fewer bytes than the shape says"
                                           : "more bytes than the shape says");
    if (r->fortran && a->rank > 1)
        return fail(r, TLB_E_UNSUPPORTED, "Fortran order is not supported; ascontiguousarray");
    return true;
}

/* Where the header's text begins and how long it is. */
static tlb_status find_header(const unsigned char *b, size_t n, size_t *at, size_t *length,
                              const char **what)
{
    *what = n == 0 ? "empty file" : "not a .npy file";
    if (n < PREFIX + 2 || memcmp(b, "\x93NUMPY", 6) != 0)
        return TLB_E_MALFORMED;
    *what = "version is not 1, 2 or 3";
    if (b[6] < 1 || b[6] > 3 || b[7] != 0)
        return TLB_E_UNSUPPORTED;
    *at = b[6] == 1 ? PREFIX + 2 : PREFIX + 4;
    *what = "truncated";
    if (n < *at)
        return TLB_E_MALFORMED;
    *length = (size_t)b[8] | (size_t)b[9] << 8;
    if (b[6] > 1)
        *length |= (size_t)b[10] << 16 | (size_t)b[11] << 24;
    return *length > n - *at ? TLB_E_MALFORMED : TLB_OK;
}

tlb_status tlb_npy_parse(const void *bytes, size_t n, tlb_npy *out, const char **what)
{
    size_t at, length;
    tlb_status st = find_header(bytes, n, &at, &length, what);
    if (st != TLB_OK)
        return st;
    const char *text = (const char *)bytes + at;
    tlb_npy a = { .data = text + length };
    reader r = { .at = text, .end = text + length, .out = &a };
    if (!read_header(&r) || !check_data(&r, n - at - length)) {
        *what = r.what;
        return r.status;
    }
    *out = a;
    return TLB_OK;
}

size_t tlb_npy_header(char buf[256], tlb_npy_type type, int rank, const int64_t *dim)
{
    enum { START = PREFIX + 2, CAPACITY = 256 };
    size_t n = START;
    n += (size_t)snprintf(buf + n, CAPACITY - n, "{'descr': '%c%s', 'fortran_order': False, "
                          "'shape': (", types[type].bytes == 1 ? '|' : '<', types[type].code);
    for (int i = 0; i < rank; ++i)
        n += (size_t)snprintf(buf + n, CAPACITY - n, i == 0 ? "%" PRId64 : ", %" PRId64, dim[i]);
    n += (size_t)snprintf(buf + n, CAPACITY - n, rank == 1 ? ",), }" : "), }");
    size_t end = (n + 1 + 63) / 64 * 64;
    memset(buf + n, ' ', end - n);
    buf[end - 1] = '\n';
    memcpy(buf, "\x93NUMPY\1\0", PREFIX);
    buf[8] = (char)((end - START) & 255);
    buf[9] = (char)((end - START) >> 8);
    return end;
}

int tlb_npy_type_bytes(tlb_npy_type t)
{
    return types[t].bytes;
}
