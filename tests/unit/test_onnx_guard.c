/* test_onnx_guard.c: hostile-inputs 4.1, row by row: what the bytes alone can do wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "hostile_table.h"
#include "import_run.h"
#include "onnx_guard.h"

/* --- bytes --------------------------------------------------------------- */

static const char *const hex_digits = "0123456789abcdef";

static pb from_hex(const char *text)
{
    pb p = { 0 };
    for (; *text; ++text) {
        if (*text == ' ')
            continue;
        unsigned char b = (unsigned char)((strchr(hex_digits, text[0]) - hex_digits) * 16 +
                                          (strchr(hex_digits, text[1]) - hex_digits));
        pb_put(&p, &b, 1);
        ++text;
    }
    return p;
}

static void expect(pb bytes, tlc_status status, const char *core)
{
    run r;
    run_bytes(&r, bytes, "net.onnx");
    table_row((int)r.status, core, r.ctx.diags, r.ctx.n_diags, NULL);
    if (r.status != status || (core && run_count(&r, TLB_ERROR, core) != 1)) {
        printf("wanted %d, \"%s\"\n", (int)status, core ? core : "");
        run_show(&r);
        fail();
    }
    assert_int_equal(run_count(&r, TLB_ERROR, NULL), status != TLC_OK);
    run_end(&r);
}

/* Bytes after the prefix `08 08`. */
static void expect_hex(const char *text, const char *core)
{
    pb p = from_hex("08 08"), rest = from_hex(text);
    pb_put(&p, rest.bytes, rest.n);
    pb_free(&rest);
    expect(p, TLC_E_MALFORMED, core);
}

static pb text_bytes(const char *s)
{
    pb p = { 0 };
    pb_put(&p, s, strlen(s));
    return p;
}

static pb repeated(const char *hex, size_t times)
{
    pb p = { 0 }, one = from_hex(hex);
    for (size_t i = 0; i < times; ++i)
        pb_put(&p, one.bytes, one.n);
    pb_free(&one);
    return p;
}

/* --- rows ---------------------------------------------------------------- */

static void test_no_model(void **state)
{
    (void)state;
    expect((pb){ 0 }, TLC_E_MALFORMED, "empty file");
    expect(text_bytes("hello"), TLC_E_MALFORMED, "not a model");
    expect(text_bytes("<!DOCTYPE html><html></html>"), TLC_E_MALFORMED, "not a model");
    expect(repeated("00", 1024), TLC_E_MALFORMED, "not a model");
    expect(from_hex("1f 8b 08 00 00"), TLC_E_MALFORMED, "gzip");
    expect(text_bytes("version https://git-lfs.github.com/spec/v1\n"), TLC_E_MALFORMED, "Git LFS");
    expect_hex("", "no graph");
}

static void test_varints(void **state)
{
    (void)state;
    expect_hex("28", "truncated varint");
    expect_hex("28 ff", "truncated varint");
    /* graph { initializer { dims: packed, two bytes, the second unfinished } } */
    expect_hex("3a 06 2a 04 0a 02 01 80", "truncated varint");
    expect_hex("28 ff ff ff ff ff ff ff ff ff ff 01", "varint too long");
    expect_hex("28 ff ff ff ff ff ff ff ff ff 02", "varint too long");
}

static void test_lengths(void **state)
{
    (void)state;
    expect_hex("3a 7f 00", "length past end");
    expect_hex("3a 01", "length past end");
    expect_hex("3a ff ff ff ff ff ff ff ff ff 01", "length past end");
    pb inner = from_hex("08 08 3a 02 0a 7f"), filler = repeated("00", 127);
    pb_put(&inner, filler.bytes, filler.n);
    pb_free(&filler);
    expect(inner, TLC_E_MALFORMED, "length past end");
    expect_hex("3a 05 2a 03 25 00 00", "length past end"); /* a float cut after two bytes */
    expect_hex("3a 07 2a 05 22 03 00 00 00", "length");    /* three bytes of packed floats */
}

static void test_tags(void **state)
{
    (void)state;
    expect_hex("f8 ff ff ff 7f 00", "field number");
    expect_hex("00 00", "field number");
    expect_hex("0b 0c", "wire type");
    expect_hex("0c", "wire type");
    expect_hex("0e 00", "wire type");
    expect_hex("0f 00", "wire type");
    expect_hex("f3 01 f4 01", "wire type"); /* the same of a field that nobody knows */
    expect_hex("f4 01", "wire type");
    expect_hex("38 01", "wire type");
}

static void test_repeated(void **state)
{
    (void)state;
    expect_hex("08 08", "field repeated");
    expect_hex("3a 00 3a 00", "field repeated");
    expect_hex("3a 08 2a 06 4a 01 00 4a 01 00", "field repeated");
}

static pb nested_graphs(int n)
{
    pb graph = { 0 };
    for (int i = 1; i < n; ++i) {
        pb attr = { 0 }, node = { 0 }, outer = { 0 };
        pb_message(&attr, 6, graph);
        pb_message(&node, 5, attr);
        pb_message(&outer, 1, node);
        graph = outer;
    }
    pb file = from_hex("08 08");
    pb_message(&file, 7, graph);
    return file;
}

static pb model_with_graph(pb graph)
{
    pb file = from_hex("08 08");
    pb_message(&file, 7, graph);
    return file;
}

static void test_limits(void **state)
{
    (void)state;
    expect(nested_graphs(65), TLC_E_LIMIT, "depth");
    expect(model_with_graph(repeated("0a 00", 500000)), TLC_E_LIMIT, "nodes");
    expect(model_with_graph(repeated("2a 00", 70000)), TLC_E_LIMIT, "tensors");
}

/* 64 messages deep is allowed: model, then 21 times graph, node, attribute. */
static void test_depth_edge(void **state)
{
    (void)state;
    run r;
    const unsigned char *out;
    size_t n;
    for (int graphs = 21; graphs <= 22; ++graphs) {
        pb file = nested_graphs(graphs);
        run_begin(&r);
        tlc_status status = tlc_onnx_guard(&r.ctx, file.bytes, file.n, &out, &n);
        assert_int_equal(status, graphs == 21 ? TLC_OK : TLC_E_LIMIT);
        pb_free(&file);
        run_end(&r);
    }
}

/* --- what must not matter ------------------------------------------------ */

static pb weight_dims(int packed)
{
    static const int64_t dims[] = { 4, 3, 3, 3 };
    pb t = { 0 }, list = { 0 };
    for (int i = 0; i < 4; ++i) {
        if (i < packed)
            pb_varint(&list, (uint64_t)dims[i]);
        else
            pb_int(&t, 1, dims[i]);
    }
    /* Packed ones come first in the file. */
    pb head = { 0 };
    if (packed)
        pb_message(&head, 1, list);
    pb_put(&head, t.bytes, t.n);
    pb_free(&t);
    float w[108];
    for (int i = 0; i < 108; ++i)
        w[i] = -0.5f + 0.01f * (float)i;
    pb_int(&head, 2, ELEM_FLOAT);
    pb_text(&head, 8, "w");
    pb_bytes(&head, 9, w, sizeof w);
    return head;
}

static char *base_text(net *m)
{
    run r;
    run_net(&r, m);
    if (r.status != TLC_OK)
        run_show(&r);
    assert_int_equal(r.status, TLC_OK);
    char *text = strdup(run_text(&r));
    run_end(&r);
    return text;
}

static void expect_as_base(net m)
{
    net base = base_net();
    char *want = base_text(&base), *got = base_text(&m);
    assert_string_equal(got, want);
    free(want);
    free(got);
}

static void test_as_base(void **state)
{
    (void)state;
    static const char *const unknown[] = {
        "f8 7f 01",                      /* 2047, varint */
        "f9 7f 01 02 03 04 05 06 07 08", /* 64 bits */
        "fa 7f 03 ff ff ff",             /* bytes */
        "fd 7f 01 02 03 04",             /* 32 bits */
    };
    for (int packed = 0; packed <= 4; packed += 2) {
        net m = base_net();
        net_set(&m.init[BASE_W], weight_dims(packed));
        expect_as_base(m);
    }
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; ++i) {
        net m = base_net();
        m.more_model = from_hex(unknown[i]);
        m.more_graph = from_hex(unknown[i]);
        expect_as_base(m);
    }
}

/* Weights are views of the file, at the offset that IR text shows. */
static void test_views(void **state)
{
    (void)state;
    run r;
    net m = base_net();
    run_net(&r, &m);
    assert_int_equal(r.status, TLC_OK);
    for (size_t i = 0; i < r.module->n_globals; ++i) {
        const tlc_value *v = r.module->globals[i];
        assert_ptr_equal(v->data, r.file.bytes + v->file_offset);
        assert_string_equal(v->file, "net.onnx");
    }
    assert_int_equal(r.module->n_globals, 8);
    run_end(&r);
}

/* A file cut at any length is refused or, by luck, a model; never more. */
static void test_cut(void **state)
{
    (void)state;
    net m = base_net();
    pb whole = net_bytes(&m);
    for (size_t n = 0; n < whole.n; ++n) {
        run r;
        pb part = { 0 };
        pb_put(&part, whole.bytes, n);
        run_bytes(&r, part, "net.onnx");
        assert_true(r.status == TLC_E_MALFORMED);
        run_end(&r);
    }
    pb_free(&whole);
}

/* Exact lines, and no row less. */
static void test_table(void **state)
{
    (void)state;
    table_end("wire");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_model),   cmocka_unit_test(test_varints),
        cmocka_unit_test(test_lengths),    cmocka_unit_test(test_tags),
        cmocka_unit_test(test_repeated),   cmocka_unit_test(test_limits),
        cmocka_unit_test(test_depth_edge), cmocka_unit_test(test_as_base),
        cmocka_unit_test(test_views),      cmocka_unit_test(test_cut),
        cmocka_unit_test(test_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
