/* test_pixels.c: resize, crop and normalise against Pillow, torchvision and NumPy. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "npz.h"
#include "tlr_image.h"
#include "tlr_pixels.h"

/* The picture behind the vectors below. */
static uint8_t *make_picture(int w, int h)
{
    uint8_t *p = malloc((size_t)w * (size_t)h * 3), *at = p;
    for (int y = 0; y < h; ++y)
        for (int x = 0; x < w; ++x)
            for (int c = 0; c < 3; ++c)
                *at++ = (uint8_t)(x * 37 + y * 101 + c * 53 + x * y * 7);
    return p;
}

static void resize(const uint8_t *src, int w, int h, uint8_t *dst, int dst_w, int dst_h)
{
    size_t scratch_bytes = tlr_resize_scratch_bytes(w, h, dst_w, dst_h);
    char *scratch = aligned_alloc(16, (scratch_bytes + 15) / 16 * 16);
    tlr_resize_rgb(src, w, h, (ptrdiff_t)w * 3, TLR_RGB, dst, dst_w, dst_h, scratch);
    free(scratch);
}

/* Pillow's Image.resize((W, H), BILINEAR) of make_picture(w, h); where
 * the height loses more than twice what the width does, Pillow goes down first. */
static const struct {
    int w, h, dst_w, dst_h;
    uint8_t want[105];
} vectors[] = {
    { 7, 5, 3, 4, { 59,  112, 151, 123, 149, 176, 160, 145, 116, 161, 168, 151,
                    140, 125, 111, 128, 143, 127, 136, 143, 126, 133, 118, 104,
                    139, 154, 138, 136, 107, 146, 113, 117, 110, 124, 94,  106 } },
    { 3, 4, 7, 5, { 0,   53,  106, 5,   58,  111, 21,  74,  127, 37,  90,  143, 53,  106, 159,
                    69,  122, 175, 74,  127, 180, 71,  124, 177, 76,  129, 182, 95,  148, 201,
                    113, 166, 219, 131, 184, 160, 149, 202, 101, 155, 208, 81,  152, 205, 130,
                    158, 193, 136, 179, 159, 157, 199, 124, 177, 165, 145, 143, 130, 165, 108,
                    119, 172, 97,  156, 209, 82,  163, 191, 90,  186, 137, 112, 209, 82,  135,
                    155, 105, 125, 100, 128, 115, 82,  135, 112, 47,  100, 153, 55,  108, 161,
                    80,  133, 186, 105, 158, 211, 130, 183, 126, 155, 208, 41,  163, 216, 13 } },
    { 9, 2, 2, 9, { 81,  130, 165, 121, 113, 119, 81,  130, 165, 121, 113, 119, 84,  131,
                    164, 121, 116, 119, 98,  135, 158, 122, 125, 117, 112, 140, 153, 122,
                    136, 116, 126, 144, 148, 122, 146, 115, 140, 148, 142, 123, 155, 113,
                    143, 149, 141, 123, 158, 113, 143, 149, 141, 123, 158, 113 } },
    { 1, 1, 3, 2, { 0, 53, 106, 0, 53, 106, 0, 53, 106, 0, 53, 106, 0, 53, 106, 0, 53, 106 } },
    { 40, 3, 2, 2, { 118, 130, 124, 120, 134, 125, 143, 142, 133, 135, 139, 146 } },
    { 4, 20, 6, 5, { 109, 153, 142, 130, 133, 154, 143, 120, 155, 116, 154, 115, 134, 128, 126,
                     159, 93,  146, 148, 145, 150, 138, 135, 136, 130, 123, 126, 144, 121, 144,
                     145, 118, 135, 142, 115, 120, 144, 141, 146, 144, 141, 142, 143, 141, 134,
                     143, 147, 124, 131, 160, 109, 118, 171, 96,  132, 137, 142, 122, 139, 128,
                     109, 141, 119, 101, 143, 143, 97,  146, 135, 94,  147, 120, 119, 144, 133,
                     124, 140, 129, 132, 129, 128, 146, 99,  142, 113, 111, 164, 77,  130, 183 } },
    { 6, 30, 5, 3, { 134, 140, 145, 134, 129, 134, 136, 131, 126, 109, 136, 96,  133, 130, 124,
                     130, 135, 136, 122, 135, 133, 116, 136, 137, 102, 148, 98,  117, 139, 113,
                     119, 125, 130, 126, 125, 138, 139, 115, 136, 120, 141, 107, 115, 123, 127 } },
    { 6, 9, 4, 5, { 73,  119, 161, 118, 153, 145, 135, 127, 162, 119, 172, 127, 154, 159, 132,
                    141, 138, 120, 131, 113, 109, 119, 172, 97,  150, 114, 167, 113, 108, 127,
                    121, 107, 109, 133, 101, 103, 143, 146, 121, 158, 131, 136, 129, 123, 107,
                    139, 112, 117, 103, 156, 133, 143, 115, 149, 121, 158, 101, 156, 118, 116 } },
    { 6,
      9,
      4,
      4,
      { 100, 134, 154, 125, 149, 141, 134, 126, 150, 121, 174, 116, 139, 141, 151, 131,
        128, 112, 128, 108, 106, 121, 139, 102, 157, 122, 138, 136, 120, 144, 126, 109,
        109, 134, 109, 115, 109, 162, 128, 146, 118, 142, 122, 159, 102, 155, 116, 114 } },
    { 5, 5, 5, 2, { 89,  142, 137, 133, 128, 181, 119, 172, 109, 163, 100, 153, 91, 144, 139,
                    117, 170, 165, 175, 88,  141, 93,  146, 83,  151, 88,  141, 93, 146, 59 } },
};

static void resizes_as_pillow(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; ++i) {
        uint8_t got[105], *src = make_picture(vectors[i].w, vectors[i].h);
        resize(src, vectors[i].w, vectors[i].h, got, vectors[i].dst_w, vectors[i].dst_h);
        assert_memory_equal(got, vectors[i].want,
                            (size_t)(vectors[i].dst_w * vectors[i].dst_h * 3));
        free(src);
    }
}

/* torchvision's Resize(S) and CenterCrop(C): FNV-1a of the bytes. */
static const struct {
    int w, h, resize, crop;
    uint64_t want;
} crops[] = {
    { 9, 7, 4, 4, UINT64_C(0x6d94fb61e849230e) },  { 7, 10, 5, 4, UINT64_C(0xdb176cada78502fe) },
    { 5, 11, 6, 8, UINT64_C(0x2e78993e47247ffe) }, { 4, 4, 5, 8, UINT64_C(0x26f2b82bbeec16df) },
    { 12, 5, 3, 6, UINT64_C(0xed8822671a2f36bf) },
};

static uint64_t fnv(const uint8_t *p, size_t n)
{
    uint64_t h = 1469598103934665603u;
    for (size_t i = 0; i < n; ++i)
        h = (h ^ p[i]) * 1099511628211u;
    return h;
}

/* The shorter side to `resize`, the centre of `crop` x `crop`, numbers 0 to 1. */
static tlr_preprocess picture(int resize, int crop)
{
    return (tlr_preprocess){ .kind = TLR_PREPROCESS_PICTURE, .resize_short = resize,
                             .crop_h = crop, .crop_w = crop, .std = { 1, 1, 1 } };
}

static void crops_as_torchvision(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof crops / sizeof *crops; ++i) {
        int w = crops[i].w, h = crops[i].h, c = crops[i].crop;
        tlr_preprocess p = picture(crops[i].resize, c);
        uint8_t got[8 * 8 * 3], *src = make_picture(w, h);
        size_t bytes = tlr_pixels_scratch_bytes(&p, w, h);
        char *scratch = aligned_alloc(16, (bytes + 15) / 16 * 16);
        tlr_picture pic = { src, w, h, w * 3, TLR_RGB };
        assert_true(bytes <= tlr_pixels_scratch_max(&p));
        assert_int_equal(tlr_pixels_to_crop(&p, &pic, got, scratch), TLR_OK);
        assert_true(fnv(got, (size_t)(c * c * 3)) == crops[i].want);
        free(scratch);
        free(src);
    }
}

/* A very wide and a very narrow picture cost no more than the scratch that a session holds. */
static void scratch_is_bounded(void **state)
{
    (void)state;
    tlr_preprocess p = picture(256, 224);
    static const int sizes[][2] = {
        { 65500, 1 }, { 1, 65500 }, { 65500, 65500 }, { 1, 1 }, { 65500, 33000 }
    };
    size_t most = tlr_pixels_scratch_max(&p);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; ++i)
        assert_true(tlr_pixels_scratch_bytes(&p, sizes[i][0], sizes[i][1]) <= most);
    assert_true(most < 2 << 20);
}

static void crop_of(const tlr_picture *pic, uint8_t *out)
{
    tlr_preprocess p = picture(4, 4);
    char *scratch = aligned_alloc(16, (tlr_pixels_scratch_max(&p) + 15) / 16 * 16);
    assert_int_equal(tlr_pixels_to_crop(&p, pic, out, scratch), TLR_OK);
    free(scratch);
}

/* The same picture in every format, padded rows, and bottom up. */
static void formats_and_strides(void **state)
{
    (void)state;
    enum { W = 7, H = 6, STRIDE = 40 };
    static const int step[] = { 3, 3, 4, 4 }, red[] = { 0, 2, 0, 2 };
    uint8_t *src = make_picture(W, H), want[48], got[48];
    crop_of(&(tlr_picture){ src, W, H, W * 3, TLR_RGB }, want);
    for (int f = 0; f < 4; ++f)
        for (int up = 0; up < 2; ++up) {
            uint8_t other[STRIDE * H];
            memset(other, 0xee, sizeof other);
            for (int i = 0; i < W * H; ++i) {
                int row = up ? H - 1 - i / W : i / W;
                uint8_t *px = other + row * STRIDE + i % W * step[f];
                px[red[f]] = src[i * 3];
                px[1] = src[i * 3 + 1];
                px[2 - red[f]] = src[i * 3 + 2];
            }
            tlr_picture pic = { up ? other + (H - 1) * STRIDE : other, W, H, up ? -STRIDE : STRIDE,
                                (tlr_pixels)f };
            crop_of(&pic, got);
            assert_memory_equal(got, want, sizeof want);
        }
    crop_of(&(tlr_picture){ src, W, H, W, TLR_GRAY }, got);
    for (int i = 0; i < 48; ++i)
        assert_int_equal(got[i], got[i / 3 * 3]);
    free(src);
}

static uint32_t bits_of(float f)
{
    uint32_t u;
    memcpy(&u, &f, 4);
    return u;
}

/* NumPy: ((x/float32(255) - float32(0.485))/float32(0.229)).view("u4") of 0, 1, 77, 255. */
static void normalises_as_numpy(void **state)
{
    (void)state;
    static const uint32_t want[4] = { 3221719997u, 3221648171u, 3209469641u, 1074785821u };
    tlr_preprocess p = { .kind = TLR_PREPROCESS_PICTURE,
                         .resize_short = 2,
                         .crop_h = 2,
                         .crop_w = 2,
                         .mean = { 0.485f, 0, 0 },
                         .std = { 0.229f, 1, 1 } };
    uint8_t rgb[12] = { 0, 255, 0, 1, 0, 0, 77, 0, 0, 255, 0, 51 };
    float f[12];
    double d[12];
    tlr_normalise(&p, rgb, TLR_F32, f);
    tlr_normalise(&p, rgb, TLR_F64, d);
    for (int i = 0; i < 4; ++i)
        assert_int_equal(bits_of(f[i]), want[i]);
    assert_true(f[4] == 1.0f && f[11] == 0.2f);
    for (int i = 0; i < 12; ++i)
        assert_true(d[i] == (double)f[i]);
}

/* TensorFlow's order: the numbers lie where the pixels lay. */
static void normalises_channels_last(void **state)
{
    (void)state;
    tlr_preprocess p = { .kind = TLR_PREPROCESS_PICTURE,
                         .resize_short = 2,
                         .crop_h = 2,
                         .crop_w = 2,
                         .mean = { 0.1f, 0.2f, 0.3f },
                         .std = { 1, 2, 3 } };
    uint8_t rgb[12] = { 0, 255, 0, 1, 0, 7, 77, 0, 9, 255, 0, 51 };
    float planes[12], last[12];
    double wide[12];
    tlr_normalise(&p, rgb, TLR_F32, planes);
    p.channels_last = 1;
    tlr_normalise(&p, rgb, TLR_F32, last);
    tlr_normalise(&p, rgb, TLR_F64, wide);
    for (int i = 0; i < 12; ++i) {
        assert_true(last[i] == planes[i % 3 * 4 + i / 3]);
        assert_true(wide[i] == (double)last[i]);
    }
}

/* Caffe's order: mean and std are of the input's channels, blue first. */
static void normalises_blue_first(void **state)
{
    (void)state;
    tlr_preprocess p = { .kind = TLR_PREPROCESS_PICTURE,
                         .crop_h = 2,
                         .crop_w = 2,
                         .mean = { 0.1f, 0.2f, 0.3f },
                         .std = { 1, 2, 3 },
                         .bgr = 1 };
    uint8_t rgb[12] = { 0, 255, 0, 1, 0, 7, 77, 0, 9, 255, 0, 51 }, turned[12];
    float got[12], want[12];
    for (int last = 0; last < 2; ++last) {
        p.channels_last = last;
        p.bgr = 1;
        tlr_normalise(&p, rgb, TLR_F32, got);
        for (int i = 0; i < 12; ++i)
            turned[i] = rgb[i / 3 * 3 + 2 - i % 3];
        p.bgr = 0;
        tlr_normalise(&p, turned, TLR_F32, want);
        assert_memory_equal(got, want, sizeof got);
        assert_true(got[0] == -0.1f);
    }
}

static void refuses_bad_pictures(void **state)
{
    (void)state;
    tlr_preprocess p = picture(4, 4), none = p;
    static uint8_t px[48], scratch[1] __attribute__((aligned(16)));
    tlr_picture good = { px, 4, 4, 12, TLR_RGB }, bad[5];
    none.kind = TLR_PREPROCESS_NONE;
    for (int i = 0; i < 5; ++i)
        bad[i] = good;
    bad[0].pixels = NULL, bad[1].width = 0, bad[2].height = 65501, bad[3].format = (tlr_pixels)9,
    bad[4].height = -1;
    for (int i = 0; i < 5; ++i)
        assert_int_equal(tlr_pixels_to_crop(&p, &bad[i], px, scratch), TLR_E_USAGE);
    assert_int_equal(tlr_pixels_to_crop(&none, &good, px, scratch), TLR_E_USAGE);
    assert_int_equal(tlr_pixels_to_crop(&p, &good, NULL, scratch), TLR_E_USAGE);
    assert_int_equal(tlr_pixels_to_input(&p, &good, TLR_F32, NULL, scratch), TLR_E_USAGE);
}

/* --- against ../shared ---------------------------------------------------- */

static void shared_resizes(void **state)
{
    (void)state;
    for (int i = 0; i < 10; ++i) {
        char path[512], name[64];
        tlb_npy src, dst;
        snprintf(name, sizeof name, "data/expected/resize/%d.npz", i);
        if (!npz_load(shared_path(path, name), "src", &src) || !npz_load(path, "dst", &dst)) {
            print_message("skipped: no ../shared\n");
            skip();
        }
        uint8_t *got = malloc((size_t)dst.elems);
        resize(src.data, (int)src.dim[1], (int)src.dim[0], got, (int)dst.dim[1], (int)dst.dim[0]);
        assert_memory_equal(got, dst.data, (size_t)dst.elems);
        free(got);
    }
}

static const tlr_preprocess imagenet = { .kind = TLR_PREPROCESS_PICTURE,
                                         .resize_short = 256,
                                         .crop_h = 224,
                                         .crop_w = 224,
                                         .mean = { 0.485f, 0.456f, 0.406f },
                                         .std = { 0.229f, 0.224f, 0.225f } };

/* The picture file i (1 to 8) as the network sees it. */
static void decode_and_crop(int i, uint8_t *rgb)
{
    char path[512], name[64];
    tlb_limits limits;
    tlr_rgb p;
    tlr_image_note note;
    tlb_limits_init(&limits);
    snprintf(name, sizeof name, "data/expected/photos8/%d.%s", i, i == 5 || i == 6 ? "png" : "jpg");
    assert_int_equal(tlr_image_load(shared_path(path, name), &limits, 0, &p, &note), TLB_OK);
    char *scratch = aligned_alloc(16, (tlr_pixels_scratch_max(&imagenet) + 15) / 16 * 16);
    tlr_picture pic = { p.pixels, p.width, p.height, (ptrdiff_t)p.width * 3, TLR_RGB };
    assert_int_equal(tlr_pixels_to_crop(&imagenet, &pic, rgb, scratch), TLR_OK);
    free(scratch);
    tlr_rgb_free(&p);
}

/* File to input: within one gray level everywhere, equal in 99.9 %; then the exact floats. */
static void shared_pipeline(void **state)
{
    (void)state;
    enum { CROP = 224 * 224 * 3 };
    char path[512];
    tlb_npy bytes, floats;
    if (!npy_load(shared_path(path, "data/expected/input8_rgb_u8.npy"), &bytes) ||
        !npy_load(shared_path(path, "data/expected/input8_nchw_f32.npy"), &floats)) {
        print_message("skipped: no ../shared\n");
        skip();
    }
    uint8_t *rgb = malloc(CROP);
    float *input = malloc(CROP * sizeof *input);
    int64_t equal = 0;
    for (int i = 0; i < 8; ++i) {
        const uint8_t *want = (const uint8_t *)bytes.data + (size_t)i * CROP;
        decode_and_crop(i + 1, rgb);
        for (int k = 0; k < CROP; ++k) {
            assert_true(abs(rgb[k] - want[k]) <= 1);
            equal += rgb[k] == want[k];
        }
        tlr_normalise(&imagenet, want, TLR_F32, input);
        assert_memory_equal(input, (const float *)floats.data + (size_t)i * CROP,
                            CROP * sizeof *input);
    }
    assert_true((double)equal >= 0.999 * 8 * CROP);
    free(rgb);
    free(input);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(resizes_as_pillow),     cmocka_unit_test(crops_as_torchvision),
        cmocka_unit_test(scratch_is_bounded),    cmocka_unit_test(formats_and_strides),
        cmocka_unit_test(normalises_as_numpy),   cmocka_unit_test(normalises_channels_last),
        cmocka_unit_test(normalises_blue_first), cmocka_unit_test(refuses_bad_pictures),
        cmocka_unit_test(shared_resizes),        cmocka_unit_test(shared_pipeline),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
