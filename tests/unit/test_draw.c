/* test_draw.c: the arithmetic of pictures, PNG files of the size that was asked for, and names
 * that would break out of a picture or a page. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "draw_pictures.h"
#include "draw_scale.h"
#include "report_html.h"

#include "tlb_file.h"
#include "tlr_image.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Fontconfig keeps what it read of fonts until the process ends. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libfontconfig";
}

#define NEAR(a, b) assert_true(fabs((a) - (b)) < 1e-9)

/* --- ticks -------------------------------------------------------------------------------- */

static void ticks_are_round_and_inside(void **state)
{
    (void)state;
    tlr_ticks t = tlr_ticks_make(0.013, 2.37, 7, 0);
    assert_int_equal(t.n, 4);
    NEAR(t.step, 0.5);
    NEAR(t.at[0], 0.5);
    NEAR(t.at[3], 2.0);
    assert_int_equal(t.decimals, 1);
    t = tlr_ticks_make(0.97, 1.0, 4, 0);
    assert_true(t.n >= 2 && t.n <= 4 && t.decimals == 2);
}

static void ticks_of_counts_are_whole(void **state)
{
    (void)state;
    tlr_ticks t = tlr_ticks_make(1, 3, 12, 1);
    assert_int_equal(t.n, 3);
    NEAR(t.step, 1);
    t = tlr_ticks_make(1, 1000000, 8, 1);
    assert_true(t.n >= 4 && t.n <= 8);
    NEAR(fmod(t.at[0], 1), 0);
}

static void ticks_never_overflow(void **state)
{
    (void)state;
    static const double ranges[][2] = { { 0, 1e-300 }, { -1e300, 1e300 }, { 5, 5 }, { 2, 1 },
                                        { 0, 1e308 },  { NAN, 1 },        { 0, INFINITY } };
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; ++i)
        for (int most = 0; most < 40; most += 7) {
            tlr_ticks t = tlr_ticks_make(ranges[i][0], ranges[i][1], most, 0);
            assert_true(t.n >= 0 && t.n <= TLR_MOST_TICKS);
        }
}

/* --- labels ------------------------------------------------------------------------------- */

static void labels_that_have_room_stay(void **state)
{
    (void)state;
    double y[] = { 100, 20, 60 };
    tlr_spread(y, 3, 30, 0, 200);
    NEAR(y[0], 100);
    NEAR(y[1], 20);
    NEAR(y[2], 60);
}

static void labels_that_overlap_share_the_way(void **state)
{
    (void)state;
    double y[] = { 100, 100, 101 };
    tlr_spread(y, 3, 30, 0, 200);
    NEAR(y[1] - y[0], 30); /* equals keep their order */
    NEAR(y[2] - y[1], 30);
    NEAR(y[0] + y[1] + y[2], 301); /* as far up as down */
}

static void labels_stay_inside(void **state)
{
    (void)state;
    double y[] = { -50, 3, 4, 500 };
    tlr_spread(y, 4, 30, 0, 200);
    NEAR(y[0], 0);
    NEAR(y[1], 30);
    NEAR(y[2], 60);
    NEAR(y[3], 200);
}

static void labels_without_room_are_spread_evenly(void **state)
{
    (void)state;
    double y[] = { 5, 5, 5, 5, 5 };
    tlr_spread(y, 5, 30, 0, 80);
    for (int i = 0; i < 5; ++i)
        NEAR(y[i], 20 * i);
}

/* --- colours ------------------------------------------------------------------------------ */

static void ink_is_readable(void **state)
{
    (void)state;
    NEAR(tlr_contrast(0x000000, 0xFFFFFF), 21);
    assert_int_equal(tlr_ink_on(0xFFFFFF), 0x000000);
    assert_int_equal(tlr_ink_on(0x2454D0), 0xFFFFFF);
    assert_int_equal(tlr_mix(0xFFFFFF, 0x000000, 0.5), 0x808080);
    for (int i = 0; i <= 20; ++i)
        for (int k = 0; k < TLR_SERIES; ++k) {
            uint32_t g = tlr_mix(0xFFFFFF, tlr_theme_light.series[k], i / 20.0);
            assert_true(tlr_contrast(tlr_ink_on(g), g) > 4.5);
        }
}

static void themes_keep_their_contrast(void **state)
{
    (void)state;
    const tlr_theme *const themes[] = { &tlr_theme_light, &tlr_theme_dark };
    for (int t = 0; t < 2; ++t) {
        assert_true(tlr_contrast(themes[t]->text, themes[t]->ground) > 6.3);
        assert_true(tlr_contrast(themes[t]->muted, themes[t]->ground) > 6.3);
        for (int k = 0; k < TLR_SERIES; ++k)
            assert_true(tlr_contrast(themes[t]->series[k], themes[t]->ground) > 3.4);
    }
}

/* --- PNG ---------------------------------------------------------------------------------- */

static uint32_t word_at(const uint8_t *b)
{
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

/* A PNG from magic to IEND, of the canvas' size; destroys it. */
static void check_png(tlr_canvas *c, int width, int height)
{
    uint8_t *png = NULL;
    size_t n = 0;
    assert_non_null(c);
    assert_int_equal(c->width, width);
    if (height)
        assert_int_equal(c->height, height);
    assert_true(tlr_canvas_png(c, &png, &n));
    assert_true(n > 57);
    assert_memory_equal(png, "\x89PNG\r\n\x1a\n", 8);
    assert_memory_equal(png + 12, "IHDR", 4);
    assert_int_equal(word_at(png + 16), c->width);
    assert_int_equal(word_at(png + 20), c->height);
    assert_memory_equal(png + n - 8, "IEND", 4);
    free(png);
    tlr_canvas_destroy(c);
}

static bool can_draw(void)
{
    if (!tlr_canvas_lacks())
        return true;
    print_message("skipped: %s\n", tlr_canvas_lacks());
    return false;
}

static void fill_rows(tlr_epoch_row *rows, size_t n)
{
    for (size_t i = 0; i < n; ++i)
        rows[i] = (tlr_epoch_row){ (int64_t)i + 1, 1.0 / (double)(i + 1), 0.9, 1.1, 0.8,
                                   (double)i, i == 0 };
}

static void curves_of_any_length(void **state)
{
    (void)state;
    static tlr_epoch_row rows[500];
    static const size_t lengths[] = { 1, 2, 30, 500 };
    if (!can_draw())
        skip();
    fill_rows(rows, 500);
    for (size_t i = 0; i < 4; ++i)
        check_png(tlr_draw_curves(rows, lengths[i], 1, &tlr_theme_light), 1600, 800);
    check_png(tlr_draw_curves(rows, 0, 0, &tlr_theme_dark), 1600, 800);
}

static void curves_with_gaps_and_infinities(void **state)
{
    (void)state;
    tlr_epoch_row rows[5];
    if (!can_draw())
        skip();
    fill_rows(rows, 5);
    rows[1].train_loss = NAN;
    rows[3].train_loss = INFINITY;
    for (int i = 0; i < 5; ++i)
        rows[i].valid_loss = rows[i].valid_accuracy = NAN;
    check_png(tlr_draw_curves(rows, 5, 3, &tlr_theme_light), 1600, 800);
    rows[2].train_loss = 1e300;
    check_png(tlr_draw_curves(rows, 5, 99, &tlr_theme_light), 1600, 800);
}

static const char *const hostile[] = {
    "\xff\xfe=1+1", "</script><script>alert(1)</script>", "\x1b[2J\xe2\x80\xae txt",
    "%s%n${HOME}$(id)\n\"'&", "\xe7\x8c\xab", "",
};
enum { N_HOSTILE = sizeof hostile / sizeof *hostile };

static void confusion_of_hostile_names(void **state)
{
    (void)state;
    int64_t counts[N_HOSTILE * N_HOSTILE];
    if (!can_draw())
        skip();
    for (int i = 0; i < N_HOSTILE * N_HOSTILE; ++i)
        counts[i] = i % 5 ? i : 123456789012345;
    tlr_canvas *c = tlr_draw_confusion(counts, hostile, N_HOSTILE, &tlr_theme_light);
    assert_non_null(c);
    check_png(c, c->width, 130 + 44 + N_HOSTILE * 80 + 40);
}

static void confusion_of_many_classes(void **state)
{
    (void)state;
    enum { K = 40 };
    int64_t counts[K * K] = { 0 };
    const char *names[K];
    if (!can_draw())
        skip();
    for (int i = 0; i < K; ++i) {
        names[i] = hostile[i % N_HOSTILE];
        counts[i * K + (i * 7 + 1) % K] = i;
    }
    check_png(tlr_draw_confusion(counts, names, K, &tlr_theme_light), 1600, 0);
    memset(counts, 0, sizeof counts);
    check_png(tlr_draw_confusion(counts, names, K, &tlr_theme_dark), 1600, 0);
}

static void text_that_is_long_is_cut_to_fit(void **state)
{
    (void)state;
    char name[4001];
    if (!can_draw())
        skip();
    memset(name, 'w', 4000);
    name[4000] = '\0';
    tlr_canvas *c = tlr_canvas_create(400, 60, &tlr_theme_light);
    tlr_label l = { 10, 40, 0, 0, 200, 0x000000 };
    tlr_canvas_text(c, &l, name);
    /* Nothing of it lies beyond its width. */
    tlr_canvas *empty = tlr_canvas_create(400, 60, &tlr_theme_light);
    uint8_t *a, *b;
    size_t n_a, n_b;
    tlr_canvas_rect(c, (tlr_box){ 0, 0, 211, 60 }, 0xFFFFFF);
    assert_true(tlr_canvas_png(c, &a, &n_a));
    assert_true(tlr_canvas_png(empty, &b, &n_b));
    assert_int_equal(n_a, n_b);
    assert_memory_equal(a, b, n_a);
    free(a);
    free(b);
    tlr_canvas_destroy(c);
    tlr_canvas_destroy(empty);
}

static void a_letter_the_font_lacks_is_spelled_out(void **state)
{
    (void)state;
    if (!can_draw())
        skip();
    tlr_canvas *c = tlr_canvas_create(8, 8, &tlr_theme_light);
    double spelled = tlr_canvas_text_width(c, 26, "\xf0\x93\x80\x80"); /* U+13000 */
    double u = tlr_canvas_text_width(c, 26, "u{13000}");
    assert_true(spelled > u && spelled < u + 26);
    tlr_canvas_destroy(c);
}

static void tiles_hold_their_pictures(void **state)
{
    (void)state;
    uint8_t rgb[6 * 4 * 3];
    char name[] = "</script>\xff", other[] = "99.9 %";
    tlr_tile t[7];
    if (!can_draw())
        skip();
    memset(rgb, 200, sizeof rgb);
    for (int i = 0; i < 7; ++i)
        t[i] = (tlr_tile){ rgb, i % 2 ? 6 : 4, i % 2 ? 4 : 6, { name, other } };
    check_png(tlr_draw_tiles("worst", t, 7, 5, &tlr_theme_light), 1600, 0);
    check_png(tlr_draw_tiles("one", t, 1, 4, &tlr_theme_light), 1600, 0);
}

/* Written as JPEG and read again: the same picture but for rounding. */
static void a_jpeg_is_read_back(void **state)
{
    (void)state;
    enum { W = 250, H = 131 };
    static uint8_t rgb[W * H * 3];
    uint8_t *bytes;
    size_t n;
    tlb_limits limits;
    tlr_rgb back;
    tlr_image_note note;
    for (int i = 0; i < W * H * 3; ++i)
        rgb[i] = (uint8_t)(i / 3 % W);
    tlb_limits_init(&limits);
    assert_int_equal(tlr_image_encode_jpeg(rgb, W, H, &bytes, &n), TLB_OK);
    assert_true(n < W * H);
    assert_int_equal(tlr_image_decode(bytes, n, &limits, 0, &back, &note), TLB_OK);
    assert_int_equal(back.width, W);
    assert_int_equal(back.height, H);
    for (int i = 0; i < W * H * 3; ++i)
        assert_true(abs(back.pixels[i] - rgb[i]) < 12);
    tlr_rgb_free(&back);
    free(bytes);
}

/* --- confusions --------------------------------------------------------------------------- */

static void commonest_confusions_first(void **state)
{
    (void)state;
    enum { K = 6 };
    int64_t counts[K * K] = { 0 };
    tlr_confused top[TLR_MOST_PAIRS];
    assert_int_equal(tlr_find_confused(counts, K, top), 0);
    for (int i = 0; i < K * K; ++i)
        counts[i] = i;
    assert_int_equal(tlr_find_confused(counts, K, top), TLR_MOST_PAIRS);
    for (int i = 0; i < TLR_MOST_PAIRS; ++i) {
        assert_true(top[i].label != top[i].predicted);
        assert_true(i == 0 || top[i].count < top[i - 1].count);
    }
    assert_int_equal(top[0].count, 34); /* 35 is right */
}

/* --- records and the page ----------------------------------------------------------------- */

static const char good_run[] =
    "{\"schema\":\"tlc.run/1\",\"tlc\":\"0\",\"state\":\"done\",\"exit_code\":0,"
    "\"command\":[\"t\",\"<b>\"],\"model\":{\"name\":\"m\",\"trained\":3},"
    "\"data\":{\"train\":\"<img src=x>\",\"classes\":[\"</script>\\u202e\",\"b'\\\"&\"]},"
    "\"options\":{\"lr\":0.1,\"x\":\"</td><script>\"},\"result\":{\"accuracy\":0.75,"
    "\"accuracy_low\":0.5,\"accuracy_high\":0.9,\"confusion\":[[2,1],[0,1]]}}";

static tlb_status read_of(const char *run_json, const char *metrics, tlr_record *r)
{
    char dir[] = "/tmp/test_draw_XXXXXX", path[64];
    const char *file, *what;
    tlb_limits limits;
    tlb_limits_init(&limits);
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/metrics.jsonl", dir);
    if (metrics)
        assert_int_equal(tlb_write_file(path, metrics, strlen(metrics), NULL), TLB_OK);
    snprintf(path, sizeof path, "%s/run.json", dir);
    assert_int_equal(tlb_write_file(path, run_json, strlen(run_json), NULL), TLB_OK);
    tlb_status status = tlr_record_read(dir, &limits, r, &file, &what);
    unlink(path);
    snprintf(path, sizeof path, "%s/metrics.jsonl", dir);
    unlink(path);
    rmdir(dir);
    return status;
}

static void a_record_is_read(void **state)
{
    (void)state;
    tlr_record r;
    assert_int_equal(read_of(good_run,
                             "{\"type\":\"step\",\"step\":1}\n"
                             "{\"type\":\"epoch\",\"epoch\":1,\"train_loss\":1,\"valid_loss\":null,"
                             "\"time_s\":5,\"best\":true}\n"
                             "{\"type\":\"epoch\",\"epoch\":2,\"time_s\":2,\"best\":false}\n", &r),
                     TLB_OK);
    assert_int_equal(r.n_epochs, 2);
    assert_int_equal(r.best_epoch, 1);
    assert_true(isnan(r.epochs[0].valid_loss));
    NEAR(r.epochs[1].time_s, 7); /* resumed: the clock began again */
    assert_int_equal(r.valid_n, 4);
    assert_int_equal(r.confusion[1], 1);
    tlr_record_free(&r);
}

static void hostile_records_are_refused(void **state)
{
    (void)state;
    static const struct { const char *run, *metrics; tlb_status status; } cases[] = {
        { "[]", NULL, TLB_E_MALFORMED },
        { "{}", NULL, TLB_E_MALFORMED },
        { "{\"schema\":\"tlc.run/2\",\"state\":\"done\",\"model\":{\"name\":\"m\"}}", NULL,
          TLB_E_UNSUPPORTED },
        { "{\"schema\":\"tlc.run/1\",\"state\":\"done\",\"model\":{\"name\":\"m\"},"
          "\"data\":{\"classes\":[\"a\",\"b\"]},\"result\":{\"confusion\":[[1,2]]}}", NULL,
          TLB_E_MALFORMED },
        { "{\"schema\":\"tlc.run/1\",\"state\":\"done\",\"model\":{\"name\":\"m\"},"
          "\"data\":{\"classes\":[\"a\",\"b\"]},\"result\":{\"confusion\":[[1,2],[3,-1]]}}", NULL,
          TLB_E_MALFORMED },
        { "{\"schema\":\"tlc.run/1\",\"state\":\"done\",\"model\":{\"name\":\"m\"},"
          "\"data\":{\"classes\":[\"a\",7]}}", NULL, TLB_E_MALFORMED },
        { good_run, "{\"type\":\"epoch\",\"epoch\":1", TLB_E_MALFORMED },
        { good_run, "{\"type\":\"epoch\",\"epoch\":-1}\n", TLB_E_MALFORMED },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
        tlr_record r;
        assert_int_equal(read_of(cases[i].run, cases[i].metrics, &r), cases[i].status);
    }
}

static char *page_of(const tlr_page *page)
{
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    assert_non_null(f);
    tlr_page_print(f, page);
    assert_int_equal(fclose(f), 0);
    return text;
}

static void a_page_escapes_names(void **state)
{
    (void)state;
    tlr_record r;
    assert_int_equal(read_of(good_run, NULL, &r), TLB_OK);
    tlr_page page = { .record = &r, .lacks = "a test" };
    char *text = page_of(&page);
    assert_null(strstr(text, "<script"));
    assert_null(strstr(text, "</script"));
    assert_null(strstr(text, "<img src=x"));
    assert_null(strstr(text, "<b>\""));
    assert_null(strstr(text, "http:")); /* nothing remote */
    assert_null(strstr(text, "\xe2\x80\xae"));
    assert_non_null(strstr(text, "&lt;/script&gt;\\u{202E}"));
    assert_non_null(strstr(text, "b&#39;\\&quot;&amp;"));
    assert_non_null(strstr(text, "<h1>75.0 % right</h1>"));
    free(text);
    tlr_record_free(&r);
}

/* Photographs go before the page grows over its bound, and it says how many. */
static void a_page_keeps_its_size(void **state)
{
    (void)state;
    enum { EACH = 200000, N = 20 };
    tlr_record r;
    tlr_thumb thumbs[N];
    char name[] = "name";
    tlr_tile tile = { NULL, 300, 300, { name } };
    uint8_t *bytes = calloc(1, EACH);
    assert_int_equal(read_of(good_run, NULL, &r), TLB_OK);
    for (int i = 0; i < N; ++i)
        thumbs[i] = (tlr_thumb){ { bytes, EACH }, "image/jpeg", &tile };
    tlr_page page = { .record = &r, .worst = thumbs, .n_worst = N, .preview = thumbs,
                      .n_preview = 4 };
    char *text = page_of(&page);
    assert_true(strlen(text) <= TLR_MOST_PAGE_BYTES);
    assert_true(strlen(text) > TLR_MOST_PAGE_BYTES / 2);
    assert_non_null(strstr(text, "13 more would make this page larger"));
    free(text);
    free(bytes);
    tlr_record_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ticks_are_round_and_inside),
        cmocka_unit_test(ticks_of_counts_are_whole),
        cmocka_unit_test(ticks_never_overflow),
        cmocka_unit_test(labels_that_have_room_stay),
        cmocka_unit_test(labels_that_overlap_share_the_way),
        cmocka_unit_test(labels_stay_inside),
        cmocka_unit_test(labels_without_room_are_spread_evenly),
        cmocka_unit_test(ink_is_readable),
        cmocka_unit_test(themes_keep_their_contrast),
        cmocka_unit_test(curves_of_any_length),
        cmocka_unit_test(curves_with_gaps_and_infinities),
        cmocka_unit_test(confusion_of_hostile_names),
        cmocka_unit_test(confusion_of_many_classes),
        cmocka_unit_test(text_that_is_long_is_cut_to_fit),
        cmocka_unit_test(a_letter_the_font_lacks_is_spelled_out),
        cmocka_unit_test(tiles_hold_their_pictures),
        cmocka_unit_test(a_jpeg_is_read_back),
        cmocka_unit_test(commonest_confusions_first),
        cmocka_unit_test(a_record_is_read),
        cmocka_unit_test(hostile_records_are_refused),
        cmocka_unit_test(a_page_escapes_names),
        cmocka_unit_test(a_page_keeps_its_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
