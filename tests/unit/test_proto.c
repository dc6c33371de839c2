/* test_proto.c: messages in the wire format of protocol buffers, and which operators have a form in
 * ONNX. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "onnx_out.h"
#include "op.h"
#include "tlb_proto.h"

#include <stdlib.h>
#include <string.h>

static void holds(tlb_proto *p, const void *bytes, size_t n)
{
    assert_false(p->failed);
    assert_int_equal(p->n, n);
    assert_memory_equal(p->bytes, bytes, n);
    tlb_proto_free(p);
    assert_int_equal(p->n, 0);
}

/* Examples of the format's own description, and its edges. */
static void varints(void **state)
{
    static const struct { int field; int64_t value; const char *bytes; size_t n; } rows[] = {
        { 1, 0, "\x08\0", 2 },
        { 1, 1, "\x08\1", 2 },
        { 1, 127, "\x08\x7f", 2 },
        { 1, 128, "\x08\x80\1", 3 },
        { 1, 150, "\x08\x96\1", 3 },
        { 15, 16383, "\x78\xff\x7f", 3 },
        { 16, 16384, "\x80\1\x80\x80\1", 5 },
        { 3, INT64_MAX, "\x18\xff\xff\xff\xff\xff\xff\xff\xff\x7f", 10 },
        { 3, -1, "\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\1", 11 },
        { 3, INT64_MIN, "\x18\x80\x80\x80\x80\x80\x80\x80\x80\x80\1", 11 },
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; ++i) {
        tlb_proto p = { .n = 0 };
        tlb_proto_int(&p, rows[i].field, rows[i].value);
        holds(&p, rows[i].bytes, rows[i].n);
    }
}

static void floats_and_texts(void **state)
{
    (void)state;
    tlb_proto p = { .n = 0 };
    tlb_proto_float(&p, 2, 1.0f);
    tlb_proto_text(&p, 4, "ab");
    tlb_proto_text(&p, 4, "");
    tlb_proto_bytes(&p, 9, "\0\1", 2);
    tlb_proto_bytes(&p, 9, NULL, 0);
    holds(&p, "\x15\0\0\x80\x3f\x22\2ab\x22\0\x4a\2\0\1\x4a\0", 17);
}

/* Lengths of more than a byte, and memory that grows: what stands inside is found whole. */
static void nested(void **state)
{
    enum { LONG = 300, INNER = LONG + 3, OUTER = INNER + 3 };
    char text[LONG + 1];
    (void)state;
    memset(text, 'x', LONG);
    text[LONG] = '\0';
    tlb_proto inner = { .n = 0 }, middle = { .n = 0 }, p = { .n = 0 };
    tlb_proto_text(&inner, 1, text);
    assert_int_equal(inner.n, INNER);
    tlb_proto_message(&middle, 2, &inner);
    tlb_proto_message(&p, 3, &middle);
    tlb_proto_append(&p, &middle);
    assert_int_equal(p.n, 3 + OUTER + OUTER);
    assert_memory_equal(p.bytes, "\x1a\xb2\2\x12\xaf\2\x0a\xac\2xx", 11);
    assert_memory_equal(p.bytes + 3 + OUTER, middle.bytes, OUTER);
    tlb_proto_free(&inner);
    tlb_proto_free(&middle);
    tlb_proto_free(&p);
}

/* What follows from elsewhere may be longer than memory. */
static void opened(void **state)
{
    (void)state;
    tlb_proto p = { .n = 0 };
    tlb_proto_open(&p, 7, (uint64_t)5 << 32);
    holds(&p, "\x3a\x80\x80\x80\x80\x50", 6);
}

static void *no_more(void *self, void *old, size_t n, size_t new_cap)
{
    (void)self, (void)n, (void)new_cap;
    return old ? NULL : malloc(new_cap);
}

static void without_memory(void **state)
{
    static const char big[1000];
    (void)state;
    tlb_proto p = { .grow = no_more }, around = { .n = 0 };
    tlb_proto_int(&p, 1, 1);
    assert_false(p.failed);
    tlb_proto_bytes(&p, 2, big, sizeof big);
    assert_true(p.failed);
    size_t n = p.n;
    tlb_proto_int(&p, 1, 1);
    assert_int_equal(p.n, n);
    tlb_proto_message(&around, 1, &p);
    assert_true(around.failed);
    tlb_proto_free(&p);
    tlb_proto_free(&around);
}

/* Of the operators that stand in @forward, those that no file holds: folded at compile time, or made
 * by passes that come after. */
static const tlc_op no_form[] = { TLC_OP_GATHER, TLC_OP_SHAPE, TLC_OP_CONSTANT_OF_SHAPE,
                                  TLC_OP_RELAYOUT, TLC_OP_MOD, TLC_OP_EQUAL, TLC_OP_GREATER,
                                  TLC_OP_AND, TLC_OP_SCATTER_ND, TLC_OP_RANGE };

static bool has_no_form(tlc_op op)
{
    for (size_t i = 0; i < sizeof no_form / sizeof *no_form; ++i)
        if (no_form[i] == op)
            return true;
    return false;
}

/* ops.def: from the loss on, operators belong to training and to what passes prepare. */
static void every_operator_has_a_form(void **state)
{
    (void)state;
    for (int op = 0; op < TLC_OP_COUNT; ++op) {
        bool forward = op < TLC_OP_CROSS_ENTROPY && !has_no_form((tlc_op)op);
        if (forward != (tlc_onnx_op_type((tlc_op)op) != NULL))
            fail_msg("%s: a row of onnx_nodes.c is %s", tlc_ops[op].name,
                     forward ? "wanted, or an entry of no_form here" : "not");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(varints),
        cmocka_unit_test(floats_and_texts),
        cmocka_unit_test(nested),
        cmocka_unit_test(opened),
        cmocka_unit_test(without_memory),
        cmocka_unit_test(every_operator_has_a_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
