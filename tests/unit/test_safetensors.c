/* test_safetensors.c: the strict reader: every row of hostile inputs 4.4, exact status and
 * core; the writer's bytes read back; time on a megabyte. */
#include "tlb_safetensors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* A file of this header and n zero bytes of data; free(). */
static unsigned char *make_file(const char *header, size_t length, size_t data, size_t *n)
{
    unsigned char *p = calloc(1, 8 + length + data + 1);
    assert_non_null(p);
    for (int i = 0; i < 8; ++i)
        p[i] = (unsigned char)((uint64_t)length >> (8 * i));
    memcpy(p + 8, header, length);
    *n = 8 + length + data;
    return p;
}

/* The bytes in a block of exactly their size, so that a sanitizer sees a read past the end. */
static void expect_bytes(const unsigned char *bytes, size_t n, tlb_status status, const char *core)
{
    tlb_limits limits;
    tlb_safetensors s;
    const char *what = "";
    unsigned char *exact = malloc(n ? n : 1);
    assert_non_null(exact);
    memcpy(exact, bytes, n);
    tlb_limits_init(&limits);
    tlb_status got = tlb_safetensors_parse(exact, n, &limits, &s, &what);
    if (got != status || (status != TLB_OK && !strstr(what, core)))
        fail_msg("status %d, \"%s\"; wanted %d, \"%s\"", (int)got, what, (int)status, core);
    if (got == TLB_OK)
        tlb_safetensors_free(&s);
    free(exact);
}

static void expect(const char *header, size_t data, tlb_status status, const char *core)
{
    size_t n;
    unsigned char *p = make_file(header, strlen(header), data, &n);
    expect_bytes(p, n, status, core);
    free(p);
}

#define ENTRY(dtype, shape, offsets) \
    "{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"
#define ONE(dtype, shape, offsets) "{\"a\":" ENTRY(dtype, shape, offsets) "}"
#define TWO(first, second) \
    "{\"a\":" ENTRY("F32", "[2]", first) ",\"b\":" ENTRY("F32", "[2]", second) "}"

static void test_length(void **state)
{
    unsigned char eight[8] = { 0 };
    size_t n;
    (void)state;
    expect_bytes(eight, 0, TLB_E_MALFORMED, "header length");
    expect_bytes(eight, 7, TLB_E_MALFORMED, "header length");
    eight[7] = 0x80; /* 2^63 */
    expect_bytes(eight, 8, TLB_E_MALFORMED, "header length");
    unsigned char *p = make_file("{}", 2, 0, &n);
    p[0] = 3; /* file size - 7 */
    expect_bytes(p, n, TLB_E_MALFORMED, "header length");
    free(p);
}

static void test_header(void **state)
{
    (void)state;
    expect("{}", 0, TLB_OK, "");
    expect("{}      ", 0, TLB_OK, "");
    expect("", 0, TLB_E_MALFORMED, "header");
    expect("hello", 0, TLB_E_MALFORMED, "header");
    expect("[]", 0, TLB_E_MALFORMED, "header");
    expect(" {}", 0, TLB_E_MALFORMED, "header");
    expect("\xef\xbb\xbf{}", 0, TLB_E_MALFORMED, "header");
    expect("{\"\xff\":1}", 0, TLB_E_MALFORMED, "header");
    expect("{}x", 0, TLB_E_MALFORMED, "header");
    expect("{\"a\":1}", 0, TLB_E_MALFORMED, "header");
    expect("{\"a\":{}}", 0, TLB_E_MALFORMED, "header");
    expect("{\"a\":{\"dtype\":\"F32\",\"shape\":[]}}", 0, TLB_E_MALFORMED, "header");
    expect("{\"a\\u0000b\":1}", 0, TLB_E_MALFORMED, "header");
    expect("{\"\\ud800\":1}", 0, TLB_E_MALFORMED, "header");
}

static void test_keys(void **state)
{
    (void)state;
    expect("{\"a\":" ENTRY("U8", "[0]", "[0,0]") ",\"a\":" ENTRY("U8", "[0]", "[0,0]") "}", 0,
           TLB_E_MALFORMED, "key");
    expect("{\"a\":" ENTRY("U8", "[0]", "[0,0]") ",\"\\u0061\":" ENTRY("U8", "[0]", "[0,0]") "}",
           0, TLB_E_MALFORMED, "key");
    expect("{\"a\":{\"dtype\":\"U8\",\"dtype\":\"U8\"}}", 0, TLB_E_MALFORMED, "key");
    expect("{\"a\":{\"type\":1}}", 0, TLB_E_MALFORMED, "key");
    expect("{\"__metadata__\":{},\"__metadata__\":{}}", 0, TLB_E_MALFORMED, "key");
    expect("{\"__metadata__\":1}", 0, TLB_E_MALFORMED, "__metadata__");
    expect("{\"__metadata__\":{\"a\":1}}", 0, TLB_E_MALFORMED, "__metadata__");
    expect("{\"__metadata__\":{\"a\":\"b\",\"c\":\"\"}}", 0, TLB_OK, "");
}

static void test_offsets(void **state)
{
    (void)state;
    expect(TWO("[0,8]", "[8,16]"), 16, TLB_OK, "");
    expect(TWO("[8,16]", "[0,8]"), 16, TLB_OK, ""); /* any order */
    expect(TWO("[0,8]", "[4,12]"), 12, TLB_E_MALFORMED, "data_offsets");
    expect(TWO("[0,8]", "[12,20]"), 20, TLB_E_MALFORMED, "data_offsets");
    expect(TWO("[4,12]", "[12,20]"), 20, TLB_E_MALFORMED, "data_offsets");
    expect(TWO("[0,8]", "[8,16]"), 17, TLB_E_MALFORMED, "data_offsets");
    expect(TWO("[0,8]", "[8,16]"), 15, TLB_E_MALFORMED, "data_offsets");
    expect(ONE("F32", "[2]", "[8,0]"), 8, TLB_E_MALFORMED, "data_offsets");
    expect(ONE("F32", "[2]", "[0,-1]"), 8, TLB_E_MALFORMED, "data_offsets");
    expect(ONE("F32", "[2]", "[0,1.5]"), 8, TLB_E_MALFORMED, "data_offsets");
    expect(ONE("F32", "[2]", "[0,8e0]"), 8, TLB_E_MALFORMED, "data_offsets");
    expect(ONE("F32", "[2]", "[0,18446744073709551616]"), 8, TLB_E_MALFORMED, "data_offsets");
    expect(ONE("F32", "[2]", "[0]"), 8, TLB_E_MALFORMED, "data_offsets");
    expect(ONE("F32", "[2]", "[0,8,8]"), 8, TLB_E_MALFORMED, "data_offsets");
    expect(ONE("F32", "[2]", "8"), 8, TLB_E_MALFORMED, "data_offsets");
}

static void test_types_and_shapes(void **state)
{
    (void)state;
    expect(ONE("F12", "[2]", "[0,3]"), 3, TLB_E_UNSUPPORTED, "dtype");
    expect(ONE("F8_E4M3", "[2]", "[0,2]"), 2, TLB_E_UNSUPPORTED, "dtype");
    expect("{\"a\":{\"dtype\":1}}", 0, TLB_E_MALFORMED, "dtype");
    expect(ONE("F32", "[3]", "[0,8]"), 8, TLB_E_MALFORMED, "shape");
    expect(ONE("F32", "[0]", "[0,8]"), 8, TLB_E_MALFORMED, "shape");
    expect(ONE("F32", "[-1]", "[0,8]"), 8, TLB_E_MALFORMED, "shape");
    expect(ONE("F32", "\"2\"", "[0,8]"), 8, TLB_E_MALFORMED, "shape");
    expect(ONE("F32", "[65536,65536,65536,65536]", "[0,8]"), 8, TLB_E_MALFORMED, "size overflows");
    expect(ONE("F32", "[0,65536,65536,65536,65536]", "[0,0]"), 0, TLB_E_MALFORMED,
           "size overflows");
    expect(ONE("F32", "[0,4]", "[0,0]"), 0, TLB_OK, "");
    expect(ONE("F32", "[]", "[0,4]"), 4, TLB_OK, "");
    expect(ONE("F32", "[1,1,1,1,1,1,1,1]", "[0,4]"), 4, TLB_OK, "");
    expect(ONE("F32", "[1,1,1,1,1,1,1,1,1]", "[0,4]"), 4, TLB_E_LIMIT, "rank");
    expect(ONE("U8", "[0,2147483648]", "[0,0]"), 0, TLB_E_LIMIT, "dim");
}

/* --- limits, and what a megabyte costs ---------------------------------------------------- */

static double cpu_seconds(void)
{
    return (double)clock() / CLOCKS_PER_SEC;
}

static void expect_fast(const char *header, size_t length, tlb_status status, const char *core)
{
    size_t n;
    unsigned char *p = make_file(header, length, 0, &n);
    double began = cpu_seconds();
    expect_bytes(p, n, status, core);
    assert_true(cpu_seconds() - began < 2);
    free(p);
}

static void test_limits(void **state)
{
    size_t n = (16u << 20) + 1, at = 0;
    char *text = malloc(n + 1);
    (void)state;
    assert_non_null(text);
    memset(text, ' ', n);
    memcpy(text, "{}", 2);
    expect_fast(text, n, TLB_E_LIMIT, "json");
    expect_fast(text, n - 1, TLB_OK, "");
    memset(text, '[', 1 << 20);
    expect_fast(text, 1 << 20, TLB_E_LIMIT, "depth");
    at = (size_t)sprintf(text, "{\"a\":{\"shape\":");
    memset(text + at, '[', 65);
    memset(text + at + 65, ']', 65);
    strcpy(text + at + 130, "}}");
    expect_fast(text, strlen(text), TLB_E_LIMIT, "depth");
    text[0] = '{';
    at = 1;
    for (int i = 0; i < 70000; ++i)
        at += (size_t)sprintf(text + at, "%s\"%x\":" ENTRY("U8", "[0]", "[0,0]"), i ? "," : "", i);
    strcpy(text + at, "}");
    expect_fast(text, at + 1, TLB_E_LIMIT, "tensors");
    memset(text, 'a', 6000);
    memcpy(text, "{\"", 2);
    strcpy(text + 6000, "\":" ENTRY("U8", "[0]", "[0,0]") "}");
    expect_fast(text, strlen(text), TLB_E_LIMIT, "name");
    free(text);
}

/* --- there and back ----------------------------------------------------------------------- */

static void test_round_trip(void **state)
{
    static const float a[6] = { 1, 2, 3, 4, 5, 6 };
    static const int64_t b = -7;
    static const char name[] = "q\"\\\n\xc3\xa9\xf0\x9f\x98\x80"; /* escaped in ASCII on disk */
    const tlb_tensor tensors[] = {
        { .name = name, .dtype = "F32", .rank = 2, .dim = { 2, 3 }, .n_bytes = sizeof a },
        { .name = "b", .dtype = "I64", .rank = 0, .n_bytes = sizeof b },
    };
    const char *const metadata[] = { "key", "value \xff" };
    char path[] = "/tmp/tlc-safetensors-XXXXXX";
    tlb_out o;
    tlb_map m;
    tlb_limits limits;
    tlb_safetensors s;
    const char *what = "";
    (void)state;
    close(mkstemp(path));
    assert_int_equal(tlb_out_open(&o, path), TLB_OK);
    assert_int_equal(tlb_safetensors_header(&o, tensors, 2, metadata, 1), TLB_OK);
    assert_int_equal(o.written % 8, 0);
    tlb_out_write(&o, a, sizeof a);
    tlb_out_write(&o, &b, sizeof b);
    assert_int_equal(tlb_out_commit(&o), TLB_OK);
    assert_int_equal(tlb_map_file(path, &m, NULL), TLB_OK);
    tlb_limits_init(&limits);
    assert_int_equal(tlb_safetensors_parse(m.bytes, m.n_bytes, &limits, &s, &what), TLB_OK);
    const tlb_tensor *t = tlb_safetensors_find(&s, name);
    assert_non_null(t);
    assert_string_equal(t->dtype, "F32");
    assert_int_equal(t->rank, 2);
    assert_int_equal(t->dim[1], 3);
    assert_memory_equal(t->data, a, sizeof a);
    t = tlb_safetensors_find(&s, "b");
    assert_non_null(t);
    assert_memory_equal(t->data, &b, sizeof b);
    assert_null(tlb_safetensors_find(&s, "c"));
    for (size_t i = 8; i < m.n_bytes - sizeof a - sizeof b; ++i)
        assert_true(m.bytes[i] < 0x7f && m.bytes[i] >= 0x20);
    tlb_safetensors_free(&s);
    tlb_unmap(&m);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_length),  cmocka_unit_test(test_header),
        cmocka_unit_test(test_keys),    cmocka_unit_test(test_offsets),
        cmocka_unit_test(test_types_and_shapes), cmocka_unit_test(test_limits),
        cmocka_unit_test(test_round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
