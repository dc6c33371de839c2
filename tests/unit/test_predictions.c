/* test_predictions.c: predictions as text, CSV and JSON, with names that would inject
 * (hostile-inputs 5), and pictures on their way to the network's input.
 *
 * runtime/cli is built in compiled folders alone, so its sources are taken in here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "../../runtime/cli/tlr_cli.c"
#include "../../runtime/cli/tlr_predictions.c"
#include "hand_model.h"

const struct tlr_model *tlr_the_model = &hand_model;
const struct tlr_model *const tlr_the_cpu_model = NULL;

static const char *const cat_dog[] = { "cat", "dog" };
static const tlr_class_list classes = { cat_dog, 2 };

/* What is printed, with a line that says the form before. */
static void expect_line(tlr_form form, const tlr_class_list *c, const char *path, const float *p,
                        const char *want)
{
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    tlr_print_prediction(f, form, c, path, p);
    fclose(f);
    assert_string_equal(text, want);
    free(text);
}

static void prints_as_documented(void **state)
{
    (void)state;
    static const float p[2] = { 0.0009f, 0.9991f };
    expect_line(TLR_FORM_TEXT, &classes, "a.jpg", p, "dog  99.9 %  a.jpg\n");
    expect_line(TLR_FORM_CSV, &classes, "a.jpg", p, "a.jpg,dog,0.9991,0.0009,0.9991\n");
    expect_line(TLR_FORM_JSON, &classes, "a.jpg", p,
                "{\"schema\":\"tlc.predict/1\",\"path\":\"a.jpg\",\"class\":\"dog\","
                "\"probability\":0.9991,\"all\":[0.0009,0.9991]}\n");
}

static void ties_and_numbers(void **state)
{
    (void)state;
    static const float p[2] = { 0.5f, 0.5f }, nan[2] = { NAN, NAN };
    tlr_class_list none = { NULL, 2 };
    expect_line(TLR_FORM_CSV, &none, "a", p, "a,0,0.5000,0.5000,0.5000\n");
    expect_line(TLR_FORM_JSON, &none, "a", nan,
                "{\"schema\":\"tlc.predict/1\",\"path\":\"a\",\"class\":\"0\","
                "\"probability\":null,\"all\":[null,null]}\n");
}

static void csv_fields(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        { "plain name.jpg", "plain name.jpg" },
        { "=1+1", "'=1+1" },
        { "+1", "'+1" },
        { "-1", "'-1" },
        { "@SUM(A1)", "'@SUM(A1)" },
        { "\tx", "'\tx" },
        { "\rx", "\"'\rx\"" },
        { "a,b", "\"a,b\"" },
        { "say \"hi\"", "\"say \"\"hi\"\"\"" },
        { "two\nlines", "\"two\nlines\"" },
        { "back\\slash", "back\\slash" },
        { "\x1b[2J", "\\x1B[2J" },
        { "\xff\xfe", "\\xFF\\xFE" },
        { "\u202Egpj", "\\u{202E}gpj" },
        { "\u00e9t\u00e9", "\u00e9t\u00e9" },
        { "", "" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
        char *text = NULL;
        size_t n = 0;
        FILE *f = open_memstream(&text, &n);
        tlr_print_csv_field(f, cases[i][0]);
        fclose(f);
        assert_string_equal(text, cases[i][1]);
        free(text);
    }
}

static void escapes_names(void **state)
{
    (void)state;
    static const char *const names[] = { "a\n\"\x1b[2J", "=\u202E\xff" };
    static const float p[2] = { 0.25f, 0.75f }, q[2] = { 0.75f, 0.25f };
    tlr_class_list c = { names, 2 };
    expect_line(TLR_FORM_TEXT, &c, "p\n\x1b.jpg", q, "a\\n\\\"\\x1B[2J  75.0 %  p\\n\\x1B.jpg\n");
    expect_line(TLR_FORM_CSV, &c, "-p", p, "'-p,'=\\u{202E}\\xFF,0.7500,0.2500,0.7500\n");
    expect_line(
        TLR_FORM_JSON, &c, "p\n\x1b", p,
        "{\"schema\":\"tlc.predict/1\",\"path\":\"p\\n\\u001B\",\"class\":\"=\\\\u{202E}\\\\xFF\","
        "\"probability\":0.7500,\"all\":[0.2500,0.7500]}\n");
}

/* A path far longer than any buffer, of two-byte letters, comes through whole. */
static void long_paths(void **state)
{
    (void)state;
    enum { LETTERS = 3000 };
    static const float p[2] = { 0, 1 };
    char path[LETTERS * 2 + 1], want[LETTERS * 2 + 64];
    for (int i = 0; i < LETTERS; ++i)
        memcpy(path + 2 * i, "\u00e9", 2);
    path[LETTERS * 2] = 0;
    snprintf(want, sizeof want, "dog  100.0 %%  %s\n", path);
    expect_line(TLR_FORM_TEXT, &classes, path, p, want);
}

static void csv_head(void **state)
{
    (void)state;
    static const char *const names[] = { "=cat", "d,og" };
    tlr_class_list c = { names, 2 };
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    tlr_print_prediction_head(f, TLR_FORM_CSV, &c);
    tlr_print_prediction_head(f, TLR_FORM_TEXT, &c);
    fclose(f);
    assert_string_equal(text, "path,class,probability,'=cat,\"d,og\"\n");
    free(text);
}

static void loads_pictures(void **state)
{
    (void)state;
    char path[512];
    const char *root = getenv("TLC_SOURCE");
    tlb_limits limits;
    tlr_image_note note;
    uint8_t rgb[48];
    float input[48], want[48];
    tlb_limits_init(&limits);
    tlr_loader l = { .preprocess = &hand_model.preprocess, .type = TLR_F32, .limits = &limits };
    snprintf(path, sizeof path, "%s/tests/data/pictures/rgba.png", root ? root : "..");
    assert_int_equal(tlr_load_crop(&l, path, rgb, &note), TLB_OK);
    assert_int_equal(tlr_load_input(&l, path, input, &note), TLB_OK);
    tlr_normalise(&hand_model.preprocess, rgb, TLR_F32, want);
    assert_memory_equal(input, want, sizeof want);
    assert_int_equal(tlr_load_input(&l, "/nonexistent.jpg", input, &note), TLB_E_INPUT);
    assert_int_equal(note.os_error, ENOENT);
    tlr_loader_free(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prints_as_documented), cmocka_unit_test(ties_and_numbers),
        cmocka_unit_test(csv_fields),           cmocka_unit_test(escapes_names),
        cmocka_unit_test(long_paths),           cmocka_unit_test(csv_head),
        cmocka_unit_test(loads_pictures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
