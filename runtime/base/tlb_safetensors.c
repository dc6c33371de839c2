/* tlb_safetensors.c: writing and strict reading of safetensors.
 *
 * Reading: the header passes tlb_json_check (syntax, UTF-8, depth) and is then read once from
 * left to right, without a tree; what the format does not define is refused.  After that the
 * ranges must tile the data exactly: no hole, no overlap, nothing after the last.  So a file
 * has one meaning, whoever reads it.
 * https://huggingface.co/docs/safetensors#format
 */
#include "tlb_safetensors.h"

#include "tlb_json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LENGTH_BYTES = 8, MOST_OFFSETS = 2 };

/* --- element types ----------------------------------------------------------- */

static const struct type_row {
    const char *name;
    int bytes;
} types[] = {
    { "BOOL", 1 }, { "U8", 1 },  { "I8", 1 },  { "U16", 2 }, { "I16", 2 }, { "F16", 2 },
    { "BF16", 2 }, { "U32", 4 }, { "I32", 4 }, { "F32", 4 }, { "F64", 8 }, { "I64", 8 },
    { "U64", 8 },
};

static const struct type_row *find_type(const char *name)
{
    for (size_t i = 0; i < sizeof types / sizeof *types; ++i)
        if (strcmp(types[i].name, name) == 0)
            return &types[i];
    return NULL;
}

/* --- writing ----------------------------------------------------------------- */

static json_t *entry_of(const tlb_tensor *t, uint64_t begin)
{
    json_t *shape = json_array();
    for (int i = 0; i < t->rank; ++i)
        json_array_append_new(shape, json_integer(t->dim[i]));
    return json_pack("{s:s, s:o, s:[I, I]}", "dtype", t->dtype, "shape", shape, "data_offsets",
                     (json_int_t)begin, (json_int_t)(begin + t->n_bytes));
}

static json_t *header_of(const tlb_tensor *tensors, size_t n, const char *const *metadata,
                         size_t n_metadata)
{
    json_t *root = json_object();
    uint64_t at = 0;
    if (n_metadata > 0) {
        json_t *m = json_object();
        for (size_t i = 0; i < n_metadata; ++i)
            json_object_set_new(m, metadata[2 * i], tlb_json_string(metadata[2 * i + 1]));
        json_object_set_new(root, "__metadata__", m);
    }
    for (size_t i = 0; i < n; ++i) {
        json_object_set_new(root, tensors[i].name, entry_of(&tensors[i], at));
        at += tensors[i].n_bytes;
    }
    return root;
}

tlb_status tlb_safetensors_header(tlb_out *o, const tlb_tensor *tensors, size_t n,
                                  const char *const *metadata, size_t n_metadata)
{
    static const char spaces[LENGTH_BYTES + 1] = "        ";
    json_t *root = header_of(tensors, n, metadata, n_metadata);
    char *text = root ? tlb_json_dump(root, 0) : NULL;
    json_decref(root);
    if (!text)
        return TLB_E_LIMIT;
    /* Padded with spaces so that the data is aligned, as the format's own writer does. */
    size_t length = strlen(text), padding = -length % LENGTH_BYTES;
    unsigned char prefix[LENGTH_BYTES];
    for (int i = 0; i < LENGTH_BYTES; ++i)
        prefix[i] = (unsigned char)((uint64_t)(length + padding) >> (8 * i));
    tlb_out_write(o, prefix, sizeof prefix);
    tlb_out_write(o, text, length);
    tlb_status status = tlb_out_write(o, spaces, padding);
    free(text);
    return status;
}

/* --- reading ----------------------------------------------------------------- */

typedef struct reader {
    const char *p, *end;
    const tlb_limits *limits;
    const char **what;
    char *names;             /* decoded names, one after another; as large as the header */
    size_t names_used;
    tlb_tensor *tensors;
    uint64_t *begin;         /* of each tensor in the data */
    size_t n, capacity;
} reader;

static tlb_status fail(reader *r, tlb_status status, const char *what)
{
    *r->what = what;
    return status;
}

static void skip_space(reader *r)
{
    while (r->p < r->end && strchr(" \t\r\n", *r->p))
        ++r->p;
}

/* The check has been passed, so a closing byte exists wherever one must. */
static bool take(reader *r, char c)
{
    skip_space(r);
    if (r->p == r->end || *r->p != c)
        return false;
    ++r->p;
    return true;
}

static unsigned hex4(const char *p)
{
    unsigned x = 0;
    for (int i = 0; i < 4; ++i)
        x = x * 16 + (unsigned)(p[i] <= '9' ? p[i] - '0' : (p[i] | 32) - 'a' + 10);
    return x;
}

static char *put_utf8(char *out, unsigned c)
{
    if (c < 0x80) {
        *out++ = (char)c;
    } else if (c < 0x800) {
        *out++ = (char)(0xc0 | c >> 6);
        *out++ = (char)(0x80 | (c & 63));
    } else if (c < 0x10000) {
        *out++ = (char)(0xe0 | c >> 12);
        *out++ = (char)(0x80 | (c >> 6 & 63));
        *out++ = (char)(0x80 | (c & 63));
    } else {
        *out++ = (char)(0xf0 | c >> 18);
        *out++ = (char)(0x80 | (c >> 12 & 63));
        *out++ = (char)(0x80 | (c >> 6 & 63));
        *out++ = (char)(0x80 | (c & 63));
    }
    return out;
}

/* \uXXXX at r->p (after the u), a pair of surrogates taken as one; 0: NUL or half a pair. */
static unsigned code_point(reader *r)
{
    unsigned c = hex4(r->p);
    r->p += 4;
    if (c < 0xd800 || c > 0xdfff)
        return c;
    if (c > 0xdbff || r->p[0] != '\\' || r->p[1] != 'u')
        return 0;
    unsigned low = hex4(r->p + 2);
    if (low < 0xdc00 || low > 0xdfff)
        return 0;
    r->p += 6;
    return 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
}

/* A string into r->names; NULL: no string there, or one that holds NUL or half a pair. */
static const char *read_string(reader *r)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    char *start = r->names + r->names_used, *out = start;
    if (!take(r, '"'))
        return NULL;
    while (*r->p != '"') {
        if (*r->p != '\\') {
            *out++ = *r->p++;
            continue;
        }
        char c = r->p[1];
        r->p += 2;
        if (c != 'u') {
            *out++ = to[strchr(from, c) - from];
            continue;
        }
        unsigned point = code_point(r);
        if (point == 0)
            return NULL;
        out = put_utf8(out, point);
    }
    ++r->p;
    *out++ = '\0';
    r->names_used = (size_t)(out - r->names);
    return start;
}

/* A non-negative integer below 2^63, and nothing that is more than that ("1.5", "1e3"). */
static bool read_count(reader *r, int64_t *out)
{
    int64_t x = 0;
    skip_space(r);
    const char *from = r->p;
    for (; *r->p >= '0' && *r->p <= '9'; ++r->p)
        if (__builtin_mul_overflow(x, 10, &x) || __builtin_add_overflow(x, *r->p - '0', &x))
            return false;
    *out = x;
    return r->p > from && !strchr(".eE", *r->p);
}

/* "[1, 2]" of at most `most` counts; -1: not that, -2: more of them. */
static int read_counts(reader *r, int64_t *out, int most)
{
    int n = 0;
    if (!take(r, '['))
        return -1;
    if (take(r, ']'))
        return 0;
    do {
        int64_t x;
        if (!read_count(r, &x))
            return -1;
        if (n == most)
            return -2;
        out[n++] = x;
    } while (take(r, ','));
    return take(r, ']') ? n : -1;
}

static tlb_status read_shape(reader *r, tlb_tensor *t)
{
    int most = sizeof t->dim / sizeof *t->dim;
    int64_t limit = r->limits->max[TLB_LIMIT_RANK];
    int rank = read_counts(r, t->dim, limit < most ? (int)limit : most);
    if (rank == -2)
        return fail(r, TLB_E_LIMIT, "shape is over limit rank");
    if (rank < 0)
        return fail(r, TLB_E_MALFORMED, "shape is not a list of sizes");
    t->rank = rank;
    return TLB_OK;
}

static tlb_status read_dtype(reader *r, tlb_tensor *t)
{
    size_t used = r->names_used;
    const char *name = read_string(r);
    if (!name)
        return fail(r, TLB_E_MALFORMED, "dtype is not a string");
    const struct type_row *type = find_type(name);
    r->names_used = used;
    if (!type)
        return fail(r, TLB_E_UNSUPPORTED, "dtype is not supported");
    t->dtype = type->name;
    return TLB_OK;
}

static tlb_status read_offsets(reader *r, tlb_tensor *t, uint64_t *begin)
{
    int64_t at[MOST_OFFSETS];
    if (read_counts(r, at, MOST_OFFSETS) != MOST_OFFSETS || at[1] < at[0])
        return fail(r, TLB_E_MALFORMED, "data_offsets is not a begin and an end");
    *begin = (uint64_t)at[0];
    t->n_bytes = (uint64_t)(at[1] - at[0]);
    return TLB_OK;
}

enum { FIELD_DTYPE, FIELD_SHAPE, FIELD_OFFSETS, FIELDS };
static const char *const field_names[FIELDS] = { "dtype", "shape", "data_offsets" };

static tlb_status read_field(reader *r, unsigned *seen, tlb_tensor *t, uint64_t *begin)
{
    size_t used = r->names_used;
    const char *key = read_string(r);
    int which = FIELDS;
    for (int i = 0; key && i < FIELDS; ++i)
        if (strcmp(key, field_names[i]) == 0)
            which = i;
    r->names_used = used;
    if (which == FIELDS)
        return fail(r, TLB_E_MALFORMED, "unknown key in an entry");
    if (*seen & 1u << which)
        return fail(r, TLB_E_MALFORMED, "key given twice in an entry");
    *seen |= 1u << which;
    take(r, ':');
    switch (which) {
    case FIELD_DTYPE: return read_dtype(r, t);
    case FIELD_SHAPE: return read_shape(r, t);
    default: return read_offsets(r, t, begin);
    }
}

static tlb_status grow(reader *r)
{
    if (r->n < r->capacity)
        return TLB_OK;
    size_t capacity = r->capacity ? 2 * r->capacity : 64;
    tlb_tensor *tensors = realloc(r->tensors, capacity * sizeof *tensors);
    if (tensors)
        r->tensors = tensors;
    uint64_t *begin = tensors ? realloc(r->begin, capacity * sizeof *begin) : NULL;
    if (!begin)
        return fail(r, TLB_E_LIMIT, "out of memory");
    r->begin = begin;
    r->capacity = capacity;
    return TLB_OK;
}

static tlb_status read_entry(reader *r, const char *name)
{
    if (strlen(name) > (uint64_t)r->limits->max[TLB_LIMIT_NAME])
        return fail(r, TLB_E_LIMIT, "over limit name");
    if (r->n >= (uint64_t)r->limits->max[TLB_LIMIT_TENSORS])
        return fail(r, TLB_E_LIMIT, "over limit tensors");
    tlb_status status = grow(r);
    if (status != TLB_OK)
        return status;
    tlb_tensor t = { .name = name };
    unsigned seen = 0;
    if (!take(r, '{'))
        return fail(r, TLB_E_MALFORMED, "header: an entry is not an object");
    if (!take(r, '}')) {
        do
            status = read_field(r, &seen, &t, &r->begin[r->n]);
        while (status == TLB_OK && take(r, ','));
        if (status == TLB_OK && !take(r, '}'))
            status = fail(r, TLB_E_MALFORMED, "header: an entry is not an object");
    }
    if (status == TLB_OK && seen != (1u << FIELDS) - 1)
        status = fail(r, TLB_E_MALFORMED, "header: an entry lacks dtype, shape or data_offsets");
    if (status == TLB_OK)
        r->tensors[r->n++] = t;
    return status;
}

/* String values alone; they are checked, not kept. */
static tlb_status read_metadata(reader *r)
{
    static const char what[] = "__metadata__ is not an object of strings";
    size_t used = r->names_used;
    if (!take(r, '{'))
        return fail(r, TLB_E_MALFORMED, what);
    if (take(r, '}'))
        return TLB_OK;
    do {
        if (!read_string(r) || !take(r, ':') || !read_string(r))
            return fail(r, TLB_E_MALFORMED, what);
        r->names_used = used;
    } while (take(r, ','));
    return take(r, '}') ? TLB_OK : fail(r, TLB_E_MALFORMED, what);
}

static tlb_status read_header(reader *r)
{
    bool metadata = false;
    if (!take(r, '{'))
        return fail(r, TLB_E_MALFORMED, "header is not an object");
    if (take(r, '}'))
        return TLB_OK;
    do {
        const char *name = read_string(r);
        tlb_status status;
        if (!name)
            return fail(r, TLB_E_MALFORMED, "header: name holds NUL or half a surrogate pair");
        take(r, ':');
        if (strcmp(name, "__metadata__") != 0) {
            status = read_entry(r, name);
        } else {
            if (metadata)
                return fail(r, TLB_E_MALFORMED, "key given twice");
            metadata = true;
            status = read_metadata(r);
        }
        if (status != TLB_OK)
            return status;
    } while (take(r, ','));
    return take(r, '}') ? TLB_OK : fail(r, TLB_E_MALFORMED, "header is not an object");
}

/* --- what the entries say, held against the data ------------------------------- */

static tlb_status check_size(reader *r, const tlb_tensor *t)
{
    int64_t elems = 1, bytes, positive = 1; /* positive: a size of 0 must not hide an overflow */
    bool over = false, large = false;
    for (int i = 0; i < t->rank; ++i) {
        elems = t->dim[i] ? elems : 0;
        if (t->dim[i])
            over |= __builtin_mul_overflow(positive, t->dim[i], &positive);
        large |= t->dim[i] > r->limits->max[TLB_LIMIT_DIM];
    }
    over |= __builtin_mul_overflow(positive, find_type(t->dtype)->bytes, &bytes);
    if (over)
        return fail(r, TLB_E_MALFORMED, "size overflows");
    if (large)
        return fail(r, TLB_E_LIMIT, "over limit dim");
    if ((uint64_t)(elems ? bytes : 0) != t->n_bytes)
        return fail(r, TLB_E_MALFORMED, "shape does not fill its data_offsets");
    if (elems && positive > r->limits->max[TLB_LIMIT_ELEMENTS])
        return fail(r, TLB_E_LIMIT, "over limit elements");
    return TLB_OK;
}

typedef struct span { uint64_t begin, end; } span;

static int compare_spans(const void *a, const void *b)
{
    const span *x = a, *y = b;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    return x->end < y->end ? -1 : x->end > y->end;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool tiles(const span *s, size_t n, uint64_t n_bytes)
{
    uint64_t at = 0;
    for (size_t i = 0; i < n; ++i) {
        if (s[i].begin != at)
            return false;
        at = s[i].end;
    }
    return at == n_bytes;
}

/* Sorting copies makes both checks n log n. */
static tlb_status check_together(reader *r, uint64_t data_bytes)
{
    span *spans = malloc(r->n * sizeof *spans + 1);
    const char **names = malloc(r->n * sizeof *names + 1);
    tlb_status status = TLB_OK;
    if (!spans || !names)
        status = fail(r, TLB_E_LIMIT, "out of memory");
    for (size_t i = 0; status == TLB_OK && i < r->n; ++i) {
        spans[i] = (span){ r->begin[i], r->begin[i] + r->tensors[i].n_bytes };
        names[i] = r->tensors[i].name;
    }
    if (status == TLB_OK && r->n > 0)
        qsort(names, r->n, sizeof *names, compare_names);
    for (size_t i = 1; status == TLB_OK && i < r->n; ++i)
        if (strcmp(names[i - 1], names[i]) == 0)
            status = fail(r, TLB_E_MALFORMED, "key given twice");
    if (status == TLB_OK && r->n > 0)
        qsort(spans, r->n, sizeof *spans, compare_spans);
    if (status == TLB_OK && !tiles(spans, r->n, data_bytes))
        status = fail(r, TLB_E_MALFORMED, "data_offsets do not tile the data");
    free(spans);
    free(names);
    return status;
}

static tlb_status check_entries(reader *r, const unsigned char *data, uint64_t data_bytes)
{
    for (size_t i = 0; i < r->n; ++i) {
        tlb_status status = check_size(r, &r->tensors[i]);
        if (status != TLB_OK)
            return status;
    }
    tlb_status status = check_together(r, data_bytes);
    for (size_t i = 0; status == TLB_OK && i < r->n; ++i)
        r->tensors[i].data = data + r->begin[i];
    return status;
}

/* The header's length, held against the file first and the limit second. */
static tlb_status check_length(reader *r, const unsigned char *p, size_t n, uint64_t *out)
{
    uint64_t length = 0;
    for (int i = LENGTH_BYTES - 1; i >= 0 && n >= LENGTH_BYTES; --i)
        length = length << 8 | p[i];
    if (n < LENGTH_BYTES || length > n - LENGTH_BYTES)
        return fail(r, TLB_E_MALFORMED, "header length is past the end of the file");
    if (length > (uint64_t)r->limits->max[TLB_LIMIT_JSON])
        return fail(r, TLB_E_LIMIT, "header is over limit json");
    *out = length;
    return TLB_OK;
}

static tlb_status check_header(reader *r, const char *text, size_t length)
{
    tlb_status status = tlb_json_check(text, length, r->limits->max[TLB_LIMIT_DEPTH]);
    if (status == TLB_E_LIMIT)
        return fail(r, status, "header is over limit depth");
    /* White space may pad the end; at the front it is refused, so that `{` is the ninth byte. */
    if (status != TLB_OK || text[0] != '{')
        return fail(r, TLB_E_MALFORMED, "header is not a JSON object");
    r->p = text;
    r->end = text + length;
    r->names = malloc(length + 1);
    return r->names ? TLB_OK : fail(r, TLB_E_LIMIT, "out of memory");
}

tlb_status tlb_safetensors_parse(const void *bytes, size_t n, const tlb_limits *limits,
                                 tlb_safetensors *out, const char **what)
{
    const unsigned char *p = bytes;
    reader r = { .limits = limits, .what = what };
    uint64_t length = 0;
    tlb_status status = check_length(&r, p, n, &length);
    if (status == TLB_OK)
        status = check_header(&r, (const char *)p + LENGTH_BYTES, length);
    if (status == TLB_OK)
        status = read_header(&r);
    if (status == TLB_OK)
        status = check_entries(&r, p + LENGTH_BYTES + length, n - LENGTH_BYTES - length);
    free(r.begin);
    if (status == TLB_OK) {
        *out = (tlb_safetensors){ r.tensors, r.n, r.names };
        return TLB_OK;
    }
    free(r.tensors);
    free(r.names);
    return status;
}

const tlb_tensor *tlb_safetensors_find(const tlb_safetensors *s, const char *name)
{
    for (size_t i = 0; i < s->n_tensors; ++i)
        if (strcmp(s->tensors[i].name, name) == 0)
            return &s->tensors[i];
    return NULL;
}

void tlb_safetensors_free(tlb_safetensors *s)
{
    free(s->tensors);
    free(s->owned);
    *s = (tlb_safetensors){ 0 };
}
