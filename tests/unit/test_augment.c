/* test_augment.c: random changes of training pictures: colours and crops against torchvision on
 * Pillow images (hashes made with torchvision.transforms.functional), draws that depend on seed,
 * view and picture alone.
 *
 * runtime/cli is built in compiled folders alone, so its source is taken in here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "../../runtime/cli/trainer_augment.c"

enum { W = 9, H = 7, SIDE = 64, MANY = SIDE * SIDE };

static void small_picture(uint8_t *rgb)
{
    for (int y = 0; y < H; ++y)
        for (int x = 0; x < W; ++x)
            for (int c = 0; c < 3; ++c)
                *rgb++ = (uint8_t)(x * 37 + y * 91 + c * 53 + x * y * c * 11);
}

static void many_colors(uint8_t *rgb)
{
    for (int k = 0; k < MANY; ++k, rgb += 3) {
        rgb[0] = (uint8_t)(k * 7);
        rgb[1] = (uint8_t)(k * k * 3 + k);
        rgb[2] = (uint8_t)(k / 3 * 11);
    }
}

static uint32_t hash(const uint8_t *p, size_t n)
{
    uint32_t h = 0;
    for (size_t i = 0; i < n; ++i)
        h = h * 31 + p[i];
    return h;
}

static void colors_are_those_of_torchvision(void **state)
{
    (void)state;
    static const struct { trainer_jitter kind; double factor; bool many; uint32_t hash; } rows[] = {
        { JITTER_BRIGHTNESS, 1.37, false, 0x56eedbbd }, { JITTER_BRIGHTNESS, 0.7, false, 0x79fbfaa9 },
        { JITTER_CONTRAST, 1.3, false, 0xdffdf818 },    { JITTER_CONTRAST, 0.61, false, 0x1da1fa2e },
        { JITTER_SATURATION, 1.39, false, 0x3c3de680 }, { JITTER_SATURATION, 0.62, false, 0xc2363157 },
        { JITTER_HUE, 0.0931, false, 0x07747ca6 },      { JITTER_HUE, -0.077, false, 0xf889d0f4 },
        { JITTER_HUE, 0.0931, true, 0xcac850bb },       { JITTER_HUE, -0.077, true, 0xd4837b6f },
        { JITTER_CONTRAST, 1.3, true, 0x0c0bf11e },     { JITTER_SATURATION, 1.39, true, 0x584e26d8 },
    };
    static uint8_t rgb[MANY * 3];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; ++i) {
        size_t n = rows[i].many ? MANY : W * H;
        if (rows[i].many)
            many_colors(rgb);
        else
            small_picture(rgb);
        trainer_jitter_apply(rows[i].kind, rows[i].factor, rgb, n);
        assert_int_equal(hash(rgb, n * 3), rows[i].hash);
    }
}

/* resized_crop(top 1, left 2, height 5, width 6) to 4x4; and its mirror. */
static void crops_are_those_of_torchvision(void **state)
{
    (void)state;
    uint8_t pixels[W * H * 3], out[48], turned[48];
    const tlr_preprocess p = { .kind = TLR_PREPROCESS_PICTURE, .crop_h = 4, .crop_w = 4 };
    tlr_loader l = { .preprocess = &p };
    tlr_rgb rgb = { W, H, pixels };
    trainer_draw d = { .crop = true, .left = 2, .top = 1, .width = 6, .height = 5 };
    small_picture(pixels);
    assert_true(make_view(&l, &d, &rgb, out));
    assert_int_equal(hash(out, sizeof out), 0xda0d93e7);
    d.flip = true;
    assert_true(make_view(&l, &d, &rgb, turned));
    for (int y = 0; y < 4; ++y)
        for (int x = 0; x < 4; ++x)
            assert_memory_equal(turned + (y * 4 + x) * 3, out + (y * 4 + 3 - x) * 3, 3);
    tlr_loader_free(&l);
}

static void draws_depend_on_seed_view_and_picture(void **state)
{
    (void)state;
    const trainer_augment all = { true, true, true };
    trainer_draw first, again, other[3];
    trainer_augment_draw(&all, 7, 2, 5, 300, 200, &first);
    trainer_augment_draw(&all, 7, 2, 5, 300, 200, &again);
    assert_memory_equal(&first, &again, sizeof first);
    trainer_augment_draw(&all, 8, 2, 5, 300, 200, &other[0]);
    trainer_augment_draw(&all, 7, 3, 5, 300, 200, &other[1]);
    trainer_augment_draw(&all, 7, 2, 6, 300, 200, &other[2]);
    for (int i = 0; i < 3; ++i)
        assert_true(other[i].factor[0] != first.factor[0] && other[i].left != first.left);
}

/* Over many draws: inside the picture, of the right areas and ratios; every order; half flipped. */
static void draws_keep_their_ranges(void **state)
{
    (void)state;
    const trainer_augment all = { true, true, true };
    int flips = 0, orders[N_JITTERS][N_JITTERS] = { { 0 } };
    double area = 0;
    enum { DRAWS = 4000 };
    for (int i = 0; i < DRAWS; ++i) {
        trainer_draw d;
        trainer_augment_draw(&all, 1, 0, i, 320, 240, &d);
        double ratio = (double)d.width / d.height;
        assert_true(d.left >= 0 && d.left + d.width <= 320 && d.top >= 0 && d.top + d.height <= 240);
        assert_true(ratio > 0.72 && ratio < 1.38);
        area += (double)d.width * d.height / (320 * 240);
        flips += d.flip;
        int seen = 0;
        for (int k = 0; k < N_JITTERS; ++k) {
            ++orders[k][d.order[k]];
            seen |= 1 << d.order[k];
            double middle = k == JITTER_HUE ? 0 : 1, reach = k == JITTER_HUE ? 0.1 : 0.4;
            assert_true(fabs(d.factor[k] - middle) <= reach);
        }
        assert_int_equal(seen, 15);
    }
    assert_true(area / DRAWS > 0.4 && area / DRAWS < 0.6);
    assert_true(flips > 1850 && flips < 2150);
    for (int k = 0; k < N_JITTERS; ++k)
        for (int j = 0; j < N_JITTERS; ++j)
            assert_true(orders[k][j] > 850 && orders[k][j] < 1150);
}

/* A strip fits no attempt: the central crop of the nearest ratio. */
static void a_strip_is_cropped_in_the_middle(void **state)
{
    (void)state;
    trainer_draw d = { 0 };
    central_crop(300, 30, &d);
    assert_int_equal(d.height, 30);
    assert_int_equal(d.width, 40);
    assert_int_equal(d.left, 130);
    assert_int_equal(d.top, 0);
}

static void lists_are_read(void **state)
{
    (void)state;
    trainer_augment a = { 0 };
    assert_true(trainer_augment_parse("color,flip", &a));
    assert_true(a.color && a.flip && !a.crop);
    static const char *const bad[] = { "", "flips", "flip,", ",flip", "flip,flip", "fli" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; ++i)
        assert_false(trainer_augment_parse(bad[i], &a));
}

void tlr_loader_free(tlr_loader *l)
{
    free(l->scratch);
    l->scratch = NULL;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(colors_are_those_of_torchvision),
        cmocka_unit_test(crops_are_those_of_torchvision),
        cmocka_unit_test(draws_depend_on_seed_view_and_picture),
        cmocka_unit_test(draws_keep_their_ranges),
        cmocka_unit_test(a_strip_is_cropped_in_the_middle),
        cmocka_unit_test(lists_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
