/* test_npy.c: NumPy's .npy format: what is written is read, what is wrong is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "tlb_npy.h"

#include <stdlib.h>
#include <string.h>

/* A version 1 file of this header text and `n` bytes of data. */
static size_t make(char *out, const char *text, size_t n, int version)
{
    size_t len = strlen(text), at = version == 1 ? 10 : 12;
    memcpy(out, "\x93NUMPY\1\0", 8);
    out[6] = (char)version;
    memset(out + 8, 0, 4);
    out[8] = (char)len;
    memcpy(out + at, text, len);
    memset(out + at + len, 7, n);
    return at + len + n;
}

/* The bytes at the very end of their block, so that a sanitizer sees reading past it. */
static tlb_status parse(const char *bytes, size_t n, tlb_npy *a, const char **what)
{
    char *exact = calloc(n + 1, 1) + 1;
    memcpy(exact, bytes, n);
    tlb_status st = tlb_npy_parse(exact, n, a, what);
    free(exact - 1);
    return st;
}

static void writes_and_reads(void **state)
{
    (void)state;
    static const int64_t dim[8] = { 2, 1, 3, 1, 1, 2, 1, 1 };
    for (int type = TLB_NPY_F4; type <= TLB_NPY_I1; ++type)
        for (int rank = 0; rank <= 8; ++rank) {
            char buf[256 + 128] = { 0 };
            const char *what;
            tlb_npy a;
            size_t n = tlb_npy_header(buf, (tlb_npy_type)type, rank, dim);
            int64_t elems = 1;
            for (int i = 0; i < rank; ++i)
                elems *= dim[i];
            assert_int_equal(n % 64, 0);
            n += (size_t)(elems * tlb_npy_type_bytes((tlb_npy_type)type));
            assert_int_equal(tlb_npy_parse(buf, n, &a, &what), TLB_OK);
            assert_int_equal(a.type, type);
            assert_int_equal(a.rank, rank);
            assert_int_equal(a.elems, elems);
            assert_memory_equal(a.dim, dim, (size_t)rank * sizeof *dim);
        }
}

static void largest_header_fits(void **state)
{
    (void)state;
    int64_t dim[8];
    char buf[256];
    for (int i = 0; i < 8; ++i)
        dim[i] = INT64_MAX;
    assert_int_equal(tlb_npy_header(buf, TLB_NPY_F8, 8, dim), 256);
    assert_int_equal(buf[255], '\n');
}

static void accepts(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }   \n",
        "{\"shape\":(2,3),\"fortran_order\":False,\"descr\":\"<f4\"}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3,)}\n",
        "{'descr': '<f4', 'fortran_order': True, 'shape': (6,)}\n",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; ++i)
        for (int version = 1; version <= 3; ++version) {
            char buf[256];
            const char *what;
            tlb_npy a;
            size_t n = make(buf, texts[i], 24, version);
            assert_int_equal(parse(buf, n, &a, &what), TLB_OK);
            assert_int_equal(a.elems, 6);
            for (size_t cut = 0; cut < n; ++cut)
                assert_int_not_equal(parse(buf, cut, &a, &what), TLB_OK);
        }
}

static void refuses(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t data;
        tlb_status want;
        const char *words;
    } cases[] = {
        { "{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", 9, TLB_E_MALFORMED,
          "more bytes" },
        { "{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", 7, TLB_E_MALFORMED,
          "truncated" },
        { "{'descr': '>f4', 'fortran_order': False, 'shape': (2,)}", 8, TLB_E_UNSUPPORTED,
          "big-endian" },
        { "{'descr': '<c8', 'fortran_order': False, 'shape': (1,)}", 8, TLB_E_UNSUPPORTED,
          "element type" },
        { "{'descr': '|O', 'fortran_order': False, 'shape': (1,)}", 8, TLB_E_UNSUPPORTED,
          "element type" },
        { "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,)}", 8, TLB_E_UNSUPPORTED,
          "element type" },
        { "{'descr': '<f4', 'fortran_order': True, 'shape': (1, 2)}", 8, TLB_E_UNSUPPORTED,
          "Fortran" },
        { "{'descr': '<f4', 'shape': (2,)}", 8, TLB_E_MALFORMED, "header" },
        { "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", 8,
          TLB_E_MALFORMED, "header" },
        { "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}", 8, TLB_E_MALFORMED,
          "header" },
        { "{'descr': '<f4', 'fortran_order': False, 'shape': (2 3)}", 24, TLB_E_MALFORMED,
          "header" },
        { "{'descr': '<f4', 'fortran_order': False, 'shape': (2,)} x", 8, TLB_E_MALFORMED,
          "header" },
        { "{'descr': '<f4', 'fortran_order': False, 'shape': (2,)", 8, TLB_E_MALFORMED, "header" },
        { "{'descr': '<f4', 'fortran_order': Maybe, 'shape': (2,)}", 8, TLB_E_MALFORMED, "header" },
        { "{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775808,)}", 8,
          TLB_E_MALFORMED, "overflows" },
        { "{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296)}", 8,
          TLB_E_MALFORMED, "overflows" },
        { "{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904,)}", 8,
          TLB_E_MALFORMED, "overflows" },
        { "{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1)}", 4, TLB_E_LIMIT,
          "8 dimensions" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
        char buf[256];
        const char *what = "";
        tlb_npy a;
        tlb_status st = parse(buf, make(buf, cases[i].text, cases[i].data, 1), &a, &what);
        if (st != cases[i].want || !strstr(what, cases[i].words))
            fail_msg("%s: got %d \"%s\"", cases[i].text, (int)st, what);
    }
}

static void refuses_other_files(void **state)
{
    (void)state;
    const char *what;
    tlb_npy a;
    assert_int_equal(parse("", 0, &a, &what), TLB_E_MALFORMED);
    assert_int_equal(parse("PK\3\4............", 16, &a, &what), TLB_E_MALFORMED);
    assert_int_equal(parse("\x93NUMPY\4\0\0\0\0\0", 12, &a, &what), TLB_E_UNSUPPORTED);
    assert_int_equal(parse("\x93NUMPY\2\0\xff\xff\xff\xff", 12, &a, &what), TLB_E_MALFORMED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_and_reads),
        cmocka_unit_test(largest_header_fits),
        cmocka_unit_test(accepts),
        cmocka_unit_test(refuses),
        cmocka_unit_test(refuses_other_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
