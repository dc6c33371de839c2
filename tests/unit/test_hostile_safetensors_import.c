/* test_hostile_safetensors_import.c: safetensors as weights, row by row: the code and the core of
 * the message.  The parser's own tests are in test_safetensors.c; here is what reaches the user. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "hostile_table.h"
#include "pth_build.h"

enum { OK = TLC_OK, BAD = TLC_E_MALFORMED, NO = TLC_E_UNSUPPORTED, OVER = TLC_E_LIMIT };

#define WEIGHT "\"fc.weight\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]}"
#define BIAS "\"fc.bias\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[24,32]}"
#define BIAS_OF(dtype, shape, offsets) \
    "{" WEIGHT ",\"fc.bias\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" \
    offsets "}}"

static const float values[] = { 1, 2, 3, 4, 5, 6, 7, 8 };

/* A file of this header; a length other than its own is that plus `longer`. */
static bytes file_of(const char *header, size_t n, int64_t longer, size_t data)
{
    bytes b = { 0 };
    static const unsigned char zeros[64];
    put_int(&b, (uint64_t)n + (uint64_t)longer, 8);
    put(&b, header, n);
    put(&b, values, data < sizeof values ? data : sizeof values);
    put(&b, zeros, data > sizeof values ? data - sizeof values : 0);
    return b;
}

static void expect_file(bytes b, const char *what, int status, const char *core)
{
    weights_run r;
    run_weights(&r, linear_network, b, "w.safetensors");
    char name[100];
    snprintf(name, sizeof name, "%.90s", what);
    table_row((int)r.status, name, r.ctx.diags, r.ctx.n_diags, NULL);
    if (!run_is(&r, status, core)) {
        printf("%s: wanted %d \"%s\"\n", what, status, core ? core : "");
        show_run(&r);
        fail();
    }
    if (status == OK) {
        const tlc_value *w = tlc_global_find(r.module, "fc.weight");
        const tlc_value *v = tlc_global_find(r.module, "fc.bias");
        assert_true(tlc_data_f64(w, 0) == 1 && tlc_data_f64(w, 5) == 6);
        assert_true(tlc_data_f64(v, 0) == 7 && tlc_data_f64(v, 1) == 8);
        assert_int_equal(w->init, TLC_INIT_NONE);
    }
    tlc_ctx_fini(&r.ctx);
}

static const struct {
    const char *header;
    int64_t longer;
    size_t data;
    int status;
    const char *core;
} rows[] = {
    { "{" WEIGHT "," BIAS "}", 0, 32, OK, NULL },
    { "{\"__metadata__\":{\"format\":\"pt\"}," WEIGHT "," BIAS "}   ", 0, 32, OK, NULL },
    { "{" WEIGHT "," BIAS "}", INT64_MIN, 32, BAD, "header length" },
    { "{" WEIGHT "," BIAS "}", 33, 32, BAD, "header length" },
    { "not JSON", 0, 32, BAD, "header" },
    { "[]", 0, 0, BAD, "header" },
    { " {" WEIGHT "," BIAS "}", 0, 32, BAD, "header" },
    { "\xef\xbb\xbf{" WEIGHT "," BIAS "}", 0, 32, BAD, "header" },
    { "{\"\xff\":{}}", 0, 32, BAD, "header" },
    { "{" WEIGHT "," BIAS "}x", 0, 32, BAD, "header" },
    { "{" WEIGHT "," WEIGHT "}", 0, 32, BAD, "key" },
    { "{\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4],\"x\":1}}", 0, 4, BAD, "key" },
    { "{\"__metadata__\":{\"a\":1}," WEIGHT "," BIAS "}", 0, 32, BAD, "__metadata__" },
    { BIAS_OF("F32", "[2]", "[20,28]"), 0, 28, BAD, "data_offsets" },
    { BIAS_OF("F32", "[2]", "[28,36]"), 0, 36, BAD, "data_offsets" },
    { "{" BIAS "}", 0, 32, BAD, "data_offsets" },
    { "{" WEIGHT "," BIAS "}", 0, 33, BAD, "data_offsets" },
    { BIAS_OF("F32", "[0]", "[8,0]"), 0, 32, BAD, "data_offsets" },
    { BIAS_OF("F32", "[0]", "[0,-1]"), 0, 32, BAD, "data_offsets" },
    { BIAS_OF("F32", "[0]", "[0,1.5]"), 0, 32, BAD, "data_offsets" },
    { BIAS_OF("F32", "[0]", "[0,18446744073709551616]"), 0, 32, BAD, "data_offsets" },
    { BIAS_OF("F12", "[2]", "[24,32]"), 0, 32, NO, "dtype" },
    { BIAS_OF("F8_E4M3", "[2]", "[24,26]"), 0, 26, NO, "dtype" },
    { BIAS_OF("F32", "[3]", "[24,32]"), 0, 32, BAD, "shape" },
    { BIAS_OF("F32", "[65536,65536,65536,65536]", "[24,32]"), 0, 32, BAD, "size overflows" },
    /* well formed, and not what the network asks for */
    { "{" WEIGHT "}", 0, 24, NO, "fc.bias" },
    { BIAS_OF("F32", "[1,2]", "[24,32]"), 0, 32, NO, "shape" },
    { BIAS_OF("I32", "[2]", "[24,32]"), 0, 32, NO, "type" },
    { "{" WEIGHT "," BIAS ",\"more\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[32,32]}}", 0,
      32, OK, "more" },
};

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; ++i)
        expect_file(file_of(rows[i].header, strlen(rows[i].header), rows[i].longer, rows[i].data),
                    rows[i].header, rows[i].status, rows[i].core);
}

static void test_seven_bytes(void **state)
{
    (void)state;
    bytes b = { 0 };
    put_text(&b, "1234567");
    expect_file(b, "7 bytes", BAD, "header length");
}

enum { MIB = 1 << 20 };

/* The text, `times` over, then spaces up to `n` bytes. */
static bytes large(const char *begin, const char *text, size_t times, const char *end, size_t n)
{
    bytes header = { 0 };
    put_text(&header, begin);
    for (size_t i = 0; i < times; ++i)
        put_text(&header, text);
    put_text(&header, end);
    while (header.n < n)
        put_text(&header, " ");
    bytes b = file_of((const char *)header.p, header.n, 0, 0);
    free(header.p);
    return b;
}

static void test_limits(void **state)
{
    (void)state;
    expect_file(large("{", "", 0, "}", 16 * MIB + 1), "16M + 1", OVER, "json");
    expect_file(large("{\"a\":{\"shape\":", "[", 65, "", 0), "65 deep", OVER, "depth");
    expect_file(large("", "[", MIB, "", 0), "1 MiB of [", OVER, "depth");
    bytes header = { 0 };
    put_text(&header, "{");
    for (int i = 0; i < 70000; ++i) {
        char entry[96];
        snprintf(entry, sizeof entry,
                 "%s\"t%d\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}",
                 i ? "," : "", i);
        put_text(&header, entry);
    }
    put_text(&header, "}");
    bytes b = file_of((const char *)header.p, header.n, 0, 0);
    free(header.p);
    expect_file(b, "70,000 entries", OVER, "tensors");
}

/* Exact lines, and no row less. */
static void test_table(void **state)
{
    (void)state;
    table_end("safetensors");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_seven_bytes),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
