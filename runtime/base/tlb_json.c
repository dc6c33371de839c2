/* tlb_json.c: the iterative check, and jansson behind it.
 *
 * The check is a machine over bytes with one bit a level (object or array), so its memory is
 * fixed whatever the file claims.
 */
#include "tlb_json.h"

#include "tlb_escape.h"
#include "tlb_file.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DEPTH_MOST = 1024 };

typedef struct scan {
    const unsigned char *p, *end;
    int64_t depth, depth_most;
    bool in_object[DEPTH_MOST];
} scan;

/* Least first bytes and ranges of the second byte: Unicode 15, table 3-7. */
static const struct utf8_row {
    unsigned char first, last, second_least, second_most, bytes;
} utf8_rows[] = {
    { 0x00, 0x7f, 0, 0, 1 },       { 0xc2, 0xdf, 0x80, 0xbf, 2 }, { 0xe0, 0xe0, 0xa0, 0xbf, 3 },
    { 0xe1, 0xec, 0x80, 0xbf, 3 }, { 0xed, 0xed, 0x80, 0x9f, 3 }, { 0xee, 0xef, 0x80, 0xbf, 3 },
    { 0xf0, 0xf0, 0x90, 0xbf, 4 }, { 0xf1, 0xf3, 0x80, 0xbf, 4 }, { 0xf4, 0xf4, 0x80, 0x8f, 4 },
};

size_t tlb_utf8_length(const char *bytes, size_t n)
{
    const unsigned char *p = (const unsigned char *)bytes;
    if (n == 0)
        return 0;
    for (size_t i = 0; i < sizeof utf8_rows / sizeof *utf8_rows; ++i) {
        const struct utf8_row *r = &utf8_rows[i];
        if (p[0] < r->first || p[0] > r->last)
            continue;
        if (n < r->bytes || (r->bytes > 1 && (p[1] < r->second_least || p[1] > r->second_most)))
            return 0;
        for (size_t k = 2; k < r->bytes; ++k)
            if ((p[k] & 0xc0) != 0x80)
                return 0;
        return r->bytes;
    }
    return 0;
}

static void skip_space(scan *s)
{
    while (s->p < s->end && (*s->p == ' ' || *s->p == '\t' || *s->p == '\n' || *s->p == '\r'))
        ++s->p;
}

static bool take(scan *s, char c)
{
    if (s->p < s->end && *s->p == (unsigned char)c) {
        ++s->p;
        return true;
    }
    return false;
}

static bool is_hex(int c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool check_escape(scan *s)
{
    if (s->p == s->end)
        return false;
    unsigned char c = *s->p++;
    if (c != 'u')
        return c && strchr("\"\\/bfnrt", c);
    for (int i = 0; i < 4; ++i)
        if (s->p == s->end || !is_hex(*s->p++))
            return false;
    return true;
}

/* After the opening quote. */
static bool check_string(scan *s)
{
    while (s->p < s->end) {
        if (*s->p == '"') {
            ++s->p;
            return true;
        }
        if (*s->p < 0x20)
            return false;
        if (*s->p == '\\') {
            ++s->p;
            if (!check_escape(s))
                return false;
            continue;
        }
        size_t k = tlb_utf8_length((const char *)s->p, (size_t)(s->end - s->p));
        if (k == 0)
            return false;
        s->p += k;
    }
    return false;
}

static bool take_digits(scan *s)
{
    const unsigned char *from = s->p;
    while (s->p < s->end && *s->p >= '0' && *s->p <= '9')
        ++s->p;
    return s->p > from;
}

static bool check_number(scan *s)
{
    take(s, '-');
    if (!take(s, '0') && !take_digits(s))
        return false;
    if (take(s, '.') && !take_digits(s))
        return false;
    if (take(s, 'e') || take(s, 'E')) {
        if (!take(s, '+'))
            take(s, '-');
        return take_digits(s);
    }
    return true;
}

static bool check_word(scan *s, const char *word)
{
    size_t n = strlen(word);
    if ((size_t)(s->end - s->p) < n || memcmp(s->p, word, n) != 0)
        return false;
    s->p += n;
    return true;
}

static bool check_scalar(scan *s)
{
    if (s->p == s->end)
        return false;
    switch (*s->p) {
    case '"': ++s->p; return check_string(s);
    case 't': return check_word(s, "true");
    case 'f': return check_word(s, "false");
    case 'n': return check_word(s, "null");
    default: return check_number(s);
    }
}

/* A member's key and colon. */
static bool check_key(scan *s)
{
    skip_space(s);
    if (!take(s, '"') || !check_string(s))
        return false;
    skip_space(s);
    return take(s, ':');
}

/* One value; an opening bracket of something not empty leaves the machine inside it. */
static tlb_status check_value(scan *s, bool *opened)
{
    skip_space(s);
    bool object = s->p < s->end && *s->p == '{';
    *opened = false;
    if (!object && !(s->p < s->end && *s->p == '['))
        return check_scalar(s) ? TLB_OK : TLB_E_MALFORMED;
    if (s->depth == s->depth_most)
        return TLB_E_LIMIT;
    ++s->p;
    skip_space(s);
    if (take(s, object ? '}' : ']'))
        return TLB_OK;
    s->in_object[s->depth++] = object;
    *opened = true;
    return object && !check_key(s) ? TLB_E_MALFORMED : TLB_OK;
}

/* After a value: close what ends here; true when another value follows. */
static bool check_after(scan *s, tlb_status *status)
{
    while (s->depth > 0) {
        bool object = s->in_object[s->depth - 1];
        skip_space(s);
        if (take(s, ',')) {
            *status = object && !check_key(s) ? TLB_E_MALFORMED : TLB_OK;
            return *status == TLB_OK;
        }
        if (!take(s, object ? '}' : ']')) {
            *status = TLB_E_MALFORMED;
            return false;
        }
        --s->depth;
    }
    return false;
}

tlb_status tlb_json_check(const char *bytes, size_t n, int64_t depth)
{
    scan s = { .depth_most = depth < DEPTH_MOST ? depth : DEPTH_MOST };
    s.p = (const unsigned char *)(bytes ? bytes : ""); /* an empty file is mapped to no bytes */
    s.end = s.p + n;
    tlb_status status = TLB_OK;
    bool opened, more = true;
    while (more && status == TLB_OK) {
        status = check_value(&s, &opened);
        if (status == TLB_OK && !opened)
            more = check_after(&s, &status);
    }
    if (status != TLB_OK)
        return status;
    skip_space(&s);
    return s.p == s.end ? TLB_OK : TLB_E_MALFORMED;
}

/* --- memory ------------------------------------------------------------------------------- */

/* jansson tells of missing memory in few places: a document read stops as if it were wrong, one
 * made goes on with members left out.  So its allocations note it, and reading and writing ask: once
 * something was made without memory, nothing is written.
 *
 * Its lexer does not ask at all: where the buffer of a token cannot grow (jansson 2.14,
 * strbuffer.c) it looks for the closing quote behind it.  So a document is read with a reserve,
 * which is given out where memory is missing, and by few bytes at a time, of which there are then
 * no more: reading ends within the reserve. */
static _Thread_local bool starved;
static _Thread_local struct { char *base, *at, *end; } reserve;

/* After the first failure these bytes are read at most, and something that has grown with the
 * document may grow once more: the table of an array or object, the buffer of a token. */
enum { FEED_BYTES = 64, RESERVE_BYTES = 256 * FEED_BYTES, RESERVE_FACTOR = 16 };

static void *allocate(size_t n)
{
    void *p = malloc(n);
    if (p)
        return p;
    starved = true;
    n = (n + 15) & ~(size_t)15;
    if (n == 0 || n > (size_t)(reserve.end - reserve.at))
        return NULL;
    p = reserve.at;
    reserve.at += n;
    return p;
}

static void release(void *p)
{
    bool reserved = (uintptr_t)p >= (uintptr_t)reserve.base && (uintptr_t)p < (uintptr_t)reserve.end;
    if (!reserved)
        free(p);
}

/* Before main, so that whatever is made with jansson counts. */
__attribute__((constructor)) static void watch_memory(void)
{
    json_set_alloc_funcs(allocate, release);
}

typedef struct source { const char *at, *end; } source;

static size_t feed(void *buffer, size_t room, void *self)
{
    source *s = self;
    size_t n = (size_t)(s->end - s->at);
    n = n < room ? n : room;
    n = starved ? 0 : n < FEED_BYTES ? n : FEED_BYTES;
    memcpy(buffer, s->at, n);
    s->at += n;
    return n;
}

/* The document, or NULL; *out_starved: there was no memory for it. */
static json_t *load(const char *bytes, size_t n, size_t flags, bool *out_starved)
{
    source s = { bytes, bytes + n };
    size_t room = RESERVE_FACTOR * n + RESERVE_BYTES;
    bool before = starved;
    json_t *j = NULL;
    starved = false;
    reserve.base = reserve.at = malloc(room);
    if (reserve.base) {
        reserve.end = reserve.base + room;
        j = json_load_callback(feed, &s, flags, NULL);
    }
    *out_starved = starved || !reserve.base;
    if (*out_starved) { /* jansson leaves out a member that it has no memory for */
        json_decref(j);
        j = NULL;
    }
    free(reserve.base);
    memset(&reserve, 0, sizeof reserve);
    starved = before;
    return j;
}

tlb_status tlb_json_load(const char *bytes, size_t n, const tlb_limits *limits, json_t **out)
{
    bool short_of_memory;
    if (n > (uint64_t)limits->max[TLB_LIMIT_JSON])
        return TLB_E_LIMIT;
    tlb_status status = tlb_json_check(bytes, n, limits->max[TLB_LIMIT_DEPTH]);
    if (status != TLB_OK)
        return status;
    json_t *j = load(bytes, n, JSON_REJECT_DUPLICATES, &short_of_memory);
    if (!json_is_object(j)) {
        json_decref(j);
        return short_of_memory ? TLB_E_LIMIT : TLB_E_MALFORMED;
    }
    *out = j;
    return TLB_OK;
}

tlb_status tlb_json_load_file(const char *path, const tlb_limits *limits, json_t **out,
                              const char **what)
{
    struct stat st;
    tlb_map m;
    if (lstat(path, &st) != 0) {
        *what = errno == ENOENT ? "does not exist" : "cannot read";
        return TLB_E_INPUT;
    }
    *what = "not a plain file";
    if (!S_ISREG(st.st_mode))
        return TLB_E_MALFORMED;
    *what = "cannot read";
    tlb_status status = tlb_map_file(path, &m, NULL);
    if (status != TLB_OK)
        return status;
    status = tlb_json_load((const char *)m.bytes, m.n_bytes, limits, out);
    tlb_unmap(&m);
    *what = status == TLB_E_LIMIT ? "out of memory, or over limit json or depth" : "not a JSON object";
    return status;
}

json_t *tlb_json_string(const char *bytes)
{
    size_t n = strlen(bytes);
    json_t *j = json_stringn(bytes, n);
    if (j)
        return j;
    char *escaped = malloc(4 * n + 1);
    if (!escaped)
        return NULL;
    tlb_escape(escaped, 4 * n + 1, bytes, n);
    j = json_string(escaped);
    free(escaped);
    return j;
}

json_t *tlb_json_real(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

const char *tlb_json_text(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

int64_t tlb_json_int(const json_t *object, const char *key, int64_t fallback)
{
    const json_t *j = json_object_get(object, key);
    return json_is_integer(j) ? (int64_t)json_integer_value(j) : fallback;
}

double tlb_json_number(const json_t *object, const char *key, double fallback)
{
    const json_t *j = json_object_get(object, key);
    return json_is_number(j) ? json_number_value(j) : fallback;
}

/* 15 digits show 0.1 as it was typed; only where some number needs them are there 17, which
 * carry every double there and back. */
char *tlb_json_dump(const json_t *value, int indent)
{
    size_t flags = JSON_ENSURE_ASCII | JSON_ENCODE_ANY;
    if (starved)
        return NULL; /* members may be missing */
    if (indent)
        flags |= JSON_INDENT((size_t)indent);
    char *text = json_dumps(value, flags | JSON_REAL_PRECISION(15));
    bool lost = false;
    json_t *back = text ? load(text, strlen(text), JSON_DECODE_ANY, &lost) : NULL;
    bool same = json_equal(value, back);
    json_decref(back);
    starved = starved || lost;
    if (!same && !starved) {
        free(text);
        text = json_dumps(value, flags | JSON_REAL_PRECISION(17));
    }
    if (starved) { /* the value is whole, its text is not */
        starved = false;
        free(text);
        text = NULL;
    }
    return text;
}

tlb_status tlb_json_save(const json_t *value, const char *path, int *out_errno)
{
    char *text = tlb_json_dump(value, 2);
    if (!text)
        return TLB_E_LIMIT;
    size_t n = strlen(text);
    text[n] = '\n'; /* the terminator's place: the length is passed on */
    tlb_status status = tlb_write_file(path, text, n + 1, out_errno);
    free(text);
    return status;
}
