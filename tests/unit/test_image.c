/* test_image.c: pictures as Pillow reads them, the hostile ones of hostile-inputs 4.5, and
 * folders.  Hostile files are made by changing a few bytes of the small good ones. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "tlr_image.h"

#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { W = 13, H = 9, RGB_BYTES = W * H * 3 };

typedef struct file {
    uint8_t *b;
    size_t n;
} file;

static file read_data(const char *name)
{
    char path[512];
    const char *root = getenv("TLC_SOURCE");
    snprintf(path, sizeof path, "%s/tests/data/pictures/%s", root ? root : "..", name);
    FILE *f = fopen(path, "rb");
    if (!f)
        fail_msg("%s is missing", path);
    file out = { malloc(1 << 16), 0 };
    out.n = fread(out.b, 1, 1 << 16, f);
    fclose(f);
    return out;
}

static tlb_limits defaults(void)
{
    tlb_limits l;
    tlb_limits_init(&l);
    return l;
}

static tlb_status decode(file f, int exif, tlr_rgb *out, tlr_image_note *note)
{
    tlb_limits l = defaults();
    uint8_t *exact = malloc(f.n ? f.n : 1); /* so that a sanitizer sees the end */
    memcpy(exact, f.b, f.n);
    *out = (tlr_rgb){ 0 };
    tlb_status st = tlr_image_decode(exact, f.n, &l, exif, out, note);
    free(exact);
    return st;
}

/* The bytes are refused with this status and these words; takes them. */
static void refused(file f, tlb_status want, const char *words)
{
    tlr_rgb p;
    tlr_image_note note;
    tlb_status st = decode(f, 0, &p, &note);
    if (st != want || !note.what || !strstr(note.what, words))
        fail_msg("got %d \"%s\", not %d \"%s\"", (int)st, note.what ? note.what : "", (int)want,
                 words);
    assert_null(p.pixels);
    free(f.b);
}

static void same_as(const char *picture, int exif, const char *want_name, int tolerance)
{
    tlr_rgb p;
    tlr_image_note note;
    file f = read_data(picture), want = read_data(want_name);
    assert_int_equal(decode(f, exif, &p, &note), TLB_OK);
    assert_null(note.what);
    assert_int_equal(p.width * p.height * 3, want.n);
    for (size_t i = 0; i < want.n; ++i)
        if (abs(p.pixels[i] - want.b[i]) > tolerance)
            fail_msg("%s: byte %zu is %d, not %d", picture, i, p.pixels[i], want.b[i]);
    tlr_rgb_free(&p);
    free(f.b);
    free(want.b);
}

static void decodes_as_pillow(void **state)
{
    (void)state;
    static const char *const names[] = { "baseline.jpg", "progressive.jpg", "cmyk.jpg",
                                         "gray.jpg",     "rgba.png",        "la.png",
                                         "palette.png",  "gray1.png",       "gray16.png",
                                         "rgb16.png" };
    for (size_t i = 0; i < sizeof names / sizeof *names; ++i) {
        char want[32];
        snprintf(want, sizeof want, "%.*s.rgb", (int)strcspn(names[i], "."), names[i]);
        same_as(names[i], 0, want,
                strstr(names[i], ".jpg") ? 1 : 0); /* another libjpeg rounds as it likes */
    }
}

static void turns_by_exif(void **state)
{
    (void)state;
    tlr_rgb p;
    tlr_image_note note;
    file f = read_data("turned.jpg");
    same_as("turned.jpg", 1, "turned.rgb", 1);
    assert_int_equal(decode(f, 0, &p, &note), TLB_OK);
    assert_int_equal(note.exif_orientation, 6);
    assert_int_equal(p.width, W);
    tlr_rgb_free(&p);
    free(f.b);
}

static void tells_the_kind_by_bytes(void **state)
{
    (void)state;
    static const struct {
        const char *bytes, *words;
        tlb_status want;
    } cases[] = {
        { "", "empty file", TLB_E_MALFORMED },
        { "hello, I am text", "not a picture", TLB_E_MALFORMED },
        { "GIF89a..........", "GIF", TLB_E_UNSUPPORTED },
        { "RIFF....WEBPVP8 ", "WebP", TLB_E_UNSUPPORTED },
        { "BM..............", "BMP", TLB_E_UNSUPPORTED },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i)
        refused((file){ (uint8_t *)strdup(cases[i].bytes), strlen(cases[i].bytes) }, cases[i].want,
                cases[i].words);
}

/* --- JPEG --------------------------------------------------------------------- */

/* Where the SOF segment begins, whatever its number. */
static uint8_t *sof(file f)
{
    for (size_t at = 2; at + 4 < f.n; at += 2 + ((size_t)f.b[at + 2] << 8 | f.b[at + 3]))
        if (f.b[at + 1] >= 0xc0 && f.b[at + 1] <= 0xc2)
            return f.b + at;
    fail_msg("no SOF");
    return NULL;
}

static file with_size(const char *name, unsigned w, unsigned h)
{
    file f = read_data(name);
    uint8_t *s = sof(f);
    s[5] = (uint8_t)(h >> 8), s[6] = (uint8_t)h, s[7] = (uint8_t)(w >> 8), s[8] = (uint8_t)w;
    return f;
}

/* The progressive picture with its last scan given again, so that it has `scans`. */
static file with_scans(int scans, unsigned side, int full_color)
{
    file f = with_size("progressive.jpg", side, side), out = { malloc(1 << 17), 0 };
    size_t last = 0;
    int have = 0;
    for (size_t i = 2; i + 1 < f.n; ++i)
        if (f.b[i] == 0xff && f.b[i + 1] == 0xda) {
            last = i;
            ++have;
        }
    if (full_color)
        sof(f)[11] = 0x11; /* luma as coarse as chroma */
    memcpy(out.b, f.b, f.n - 2);
    out.n = f.n - 2;
    for (; have < scans; ++have) {
        memcpy(out.b + out.n, f.b + last, f.n - 2 - last);
        out.n += f.n - 2 - last;
    }
    memcpy(out.b + out.n, "\xff\xd9", 2);
    out.n += 2;
    free(f.b);
    return out;
}

static void refuses_jpeg(void **state)
{
    (void)state;
    static const struct {
        int at, value;
        const char *words;
    } kinds[] = { { 4, 12, "12-bit" }, { 1, 0xc3, "lossless" }, { 1, 0xc9, "arithmetic" } };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; ++i) {
        file f = read_data("baseline.jpg");
        sof(f)[kinds[i].at] = (uint8_t)kinds[i].value;
        refused(f, TLB_E_UNSUPPORTED, kinds[i].words);
    }
    file half = read_data("baseline.jpg"), head = read_data("baseline.jpg"),
         prog = read_data("progressive.jpg");
    half.n -= 40;
    head.n = 30;
    prog.n -= 60;
    refused(half, TLB_E_MALFORMED, "truncated");
    refused(head, TLB_E_MALFORMED, "truncated");
    refused(prog, TLB_E_MALFORMED, "truncated");
    refused(with_size("baseline.jpg", 0, 9), TLB_E_MALFORMED, "size");
    refused(with_size("baseline.jpg", 65500, 65500), TLB_E_LIMIT, "pixels");
    refused(with_size("baseline.jpg", 1, 65501), TLB_E_LIMIT, "side");
    refused(with_scans(101, 16, 0), TLB_E_LIMIT, "scans");
    refused(with_scans(20, 8000, 0), TLB_E_LIMIT, "scans");
    refused(with_scans(0, 8000, 1), TLB_E_LIMIT, "picture-memory");
}

static void warns_of_damage(void **state)
{
    (void)state;
    tlr_rgb p;
    tlr_image_note note;
    file f = read_data("baseline.jpg");
    memset(f.b + f.n - 30, 0, 20);
    assert_int_equal(decode(f, 0, &p, &note), TLB_OK);
    assert_true(note.warning);
    assert_non_null(note.what);
    tlr_rgb_free(&p);
    free(f.b);
}

/* --- PNG ---------------------------------------------------------------------- */

static void put32(uint8_t *at, uint32_t v)
{
    for (int i = 0; i < 4; ++i)
        at[i] = (uint8_t)(v >> (24 - 8 * i));
}

static uint32_t crc_of(const uint8_t *b, size_t n)
{
    uint32_t c = 0xffffffffu;
    for (size_t i = 0; i < n; ++i) {
        c ^= b[i];
        for (int k = 0; k < 8; ++k)
            c = c & 1 ? 0xedb88320u ^ c >> 1 : c >> 1;
    }
    return ~c;
}

/* The RGBA picture with a chunk after IHDR. */
static file with_chunk(const char kind[5], const void *data, size_t n)
{
    file f = read_data("rgba.png"), out = { malloc(f.n + n + 12), f.n + n + 12 };
    memcpy(out.b, f.b, 33);
    put32(out.b + 33, (uint32_t)n);
    memcpy(out.b + 37, kind, 4);
    memcpy(out.b + 41, data, n);
    put32(out.b + 41 + n, crc_of(out.b + 37, n + 4));
    memcpy(out.b + 45 + n, f.b + 33, f.n - 33);
    free(f.b);
    return out;
}

/* Chunks that would be inflated or mean something: the picture is as without them. */
static void skips_chunks(void **state)
{
    (void)state;
    static const char *const kinds[] = { "iCCP", "zTXt", "iTXt", "gAMA",
                                         "tRNS", "acTL", "fcTL", "abCd" };
    static const char data[] = "name\0\0x\x9c\xed\xc1\x01\x01\0\0\0\x80\x90\xfe\xaf\xee\x08\x0a";
    file want = read_data("rgba.rgb");
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; ++i) {
        tlr_rgb p;
        tlr_image_note note;
        file f = with_chunk(kinds[i], data, sizeof data);
        assert_int_equal(decode(f, 0, &p, &note), TLB_OK);
        assert_memory_equal(p.pixels, want.b, RGB_BYTES);
        tlr_rgb_free(&p);
        free(f.b);
    }
    free(want.b);
}

static file with_png_size(uint32_t w, uint32_t h, int interlace)
{
    file f = read_data("rgba.png");
    put32(f.b + 16, w);
    put32(f.b + 20, h);
    f.b[28] = (uint8_t)interlace;
    put32(f.b + 29, crc_of(f.b + 12, 17));
    return f;
}

static void refuses_png(void **state)
{
    (void)state;
    file cut = read_data("rgba.png"), head = read_data("rgba.png"), crc = read_data("rgba.png");
    cut.n -= 30;
    head.n = 20;
    crc.b[crc.n - 14] ^= 1; /* of IDAT: IEND's 12 bytes follow it */
    refused(cut, TLB_E_MALFORMED, "truncated");
    refused(head, TLB_E_MALFORMED, "truncated");
    refused(crc, TLB_E_MALFORMED, "damaged");
    refused(with_png_size(0, 9, 0), TLB_E_MALFORMED, "size");
    refused(with_png_size(0x80000000u, 9, 0), TLB_E_MALFORMED, "size");
    refused(with_png_size(65500, 65500, 0), TLB_E_LIMIT, "pixels");
    refused(with_png_size(1, 65501, 0), TLB_E_LIMIT, "side");
}

static void keeps_to_given_limits(void **state)
{
    (void)state;
    tlb_limits l = defaults();
    tlr_rgb p = { 0 };
    tlr_image_note note;
    file f = with_png_size(W, H, 1);
    l.max[TLB_LIMIT_PICTURE_MEMORY] = RGB_BYTES - 1;
    assert_int_equal(tlr_image_decode(f.b, f.n, &l, 0, &p, &note), TLB_E_LIMIT);
    assert_non_null(strstr(note.what, "picture-memory"));
    l.max[TLB_LIMIT_SIDE] = 12;
    assert_int_equal(tlr_image_decode(f.b, f.n, &l, 0, &p, &note), TLB_E_LIMIT);
    assert_non_null(strstr(note.what, "side"));
    free(f.b);
}

static void append(png_structp png, png_bytep bytes, size_t n)
{
    file *f = png_get_io_ptr(png);
    memcpy(f->b + f->n, bytes, n);
    f->n += n;
}

static void no_flush(png_structp png)
{
    (void)png;
}

static void reads_interlaced(void **state)
{
    (void)state;
    file want = read_data("rgba.rgb"), f = { malloc(1 << 16), 0 };
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    png_bytep rows[H];
    for (int y = 0; y < H; ++y)
        rows[y] = want.b + y * W * 3;
    png_set_write_fn(png, &f, append, no_flush);
    png_set_IHDR(png, info, W, H, 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_ADAM7, 0, 0);
    png_write_info(png, info);
    png_write_image(png, rows);
    png_write_end(png, info);
    png_destroy_write_struct(&png, &info);
    tlr_rgb p;
    tlr_image_note note;
    assert_int_equal(decode(f, 0, &p, &note), TLB_OK);
    assert_memory_equal(p.pixels, want.b, RGB_BYTES);
    tlr_rgb_free(&p);
    free(f.b);
    free(want.b);
}

/* Any cut, any flipped byte: a status, never a crash. */
static void survives_mutations(void **state)
{
    (void)state;
    static const char *const names[] = { "baseline.jpg", "progressive.jpg", "cmyk.jpg",
                                         "turned.jpg",   "palette.png",     "rgb16.png" };
    for (size_t k = 0; k < sizeof names / sizeof *names; ++k) {
        file f = read_data(names[k]);
        for (size_t i = 0; i < f.n; ++i)
            for (int how = 0; how < 3; ++how) {
                tlr_rgb p;
                tlr_image_note note;
                uint8_t kept = f.b[i];
                f.b[i] = how == 0 ? (uint8_t)~kept : how == 1 ? 0 : kept;
                if (decode((file){ f.b, how == 2 ? i : f.n }, 1, &p, &note) == TLB_OK)
                    tlr_rgb_free(&p);
                else
                    assert_non_null(note.what);
                f.b[i] = kept;
            }
        free(f.b);
    }
}

static void probes_headers(void **state)
{
    (void)state;
    static const char *const names[] = { "baseline.jpg", "rgba.png" };
    tlb_limits l = defaults();
    for (int i = 0; i < 2; ++i) {
        int w = 0, h = 0;
        tlr_image_note note;
        file f = read_data(names[i]);
        assert_int_equal(tlr_image_probe(f.b, f.n, &l, &w, &h, &note), TLB_OK);
        assert_int_equal(w, W);
        assert_int_equal(h, H);
        free(f.b);
    }
}

/* --- files and folders ----------------------------------------------------------- */

static void shell(const char *folder, const char *script)
{
    char line[2048];
    snprintf(line, sizeof line, "cd %s && %s", folder, script);
    assert_int_equal(system(line), 0);
}

static char *make_folder(const char *script)
{
    char *path = strdup("/tmp/test_image-XXXXXX");
    assert_non_null(mkdtemp(path));
    shell(path, script);
    return path;
}

static void remove_folder(char *path)
{
    shell("/tmp", "true");
    char line[256];
    snprintf(line, sizeof line, "rm -rf %s", path);
    assert_int_equal(system(line), 0);
    free(path);
}

static void cannot_read(void **state)
{
    (void)state;
    static const char *const names[] = { "missing", "dangling", "itself", "fifo", "folder" };
    char *dir =
        make_folder("ln -s nowhere dangling; ln -s itself itself; mkfifo fifo; mkdir folder");
    tlb_limits l = defaults();
    for (size_t i = 0; i < sizeof names / sizeof *names; ++i) {
        char path[256];
        tlr_rgb p;
        tlr_image_note note;
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        assert_int_equal(tlr_image_load(path, &l, 0, &p, &note), TLB_E_INPUT);
        assert_non_null(strstr(note.what, "cannot read"));
    }
    remove_folder(dir);
}

static tlb_status scan(const char *dir, const tlb_limits *l, tlr_folder *f, const char *want_what)
{
    char *where;
    const char *what;
    tlb_status st = tlr_folder_scan(dir, NULL, 0, l, f, &where, &what);
    if (want_what && (!what || !strstr(what, want_what)))
        fail_msg("got \"%s\", not \"%s\"", what ? what : "", want_what);
    free(where);
    return st;
}

static void scans_folders(void **state)
{
    (void)state;
    char *dir = make_folder(
        "mkdir -p b/deep/x.jpg B a && touch b/2.JPG b/10.png b/deep/x.jpg/1.jpeg B/z.jpg a/a.png "
        "a/notes.txt top.jpg && ln -s ../../b b/deep/up && ln -s nowhere a/gone.jpg");
    static const char *const want[] = { "B/z.jpg",  "a/a.png", "a/gone.jpg",
                                        "b/10.png", "b/2.JPG", "b/deep/x.jpg/1.jpeg" };
    static const int label[] = { 0, 1, 1, 2, 2, 2 };
    tlb_limits l = defaults();
    tlr_folder f;
    assert_int_equal(scan(dir, &l, &f, NULL), TLB_OK);
    assert_int_equal(f.n_classes, 3);
    assert_string_equal(f.classes[0], "B");
    assert_string_equal(f.classes[2], "b");
    assert_int_equal(f.n_photos, 6);
    for (size_t i = 0; i < f.n_photos; ++i) {
        assert_string_equal(f.photos[i].path + strlen(dir) + 1, want[i]);
        assert_int_equal(f.photos[i].label, label[i]);
    }
    assert_int_equal(f.n_other, 2);
    assert_int_equal(f.n_loops, 1);
    tlr_folder_free(&f);
    l.max[TLB_LIMIT_FOLDER] = 5;
    assert_int_equal(scan(dir, &l, &f, "folder"), TLB_E_LIMIT);
    l = defaults(), l.max[TLB_LIMIT_CLASSES] = 2;
    assert_int_equal(scan(dir, &l, &f, "class"), TLB_E_LIMIT);
    l = defaults(), l.max[TLB_LIMIT_DEPTH] = 3;
    assert_int_equal(scan(dir, &l, &f, "depth"), TLB_E_LIMIT);
    remove_folder(dir);
}

static void refuses_folders(void **state)
{
    (void)state;
    static const struct {
        const char *script, *words;
        tlb_status want;
    } cases[] = {
        { "mkdir a b; touch a/1.jpg", "class", TLB_E_MALFORMED },
        { "mkdir a; touch a/1.jpg", "class", TLB_E_MALFORMED },
        { "touch 1.jpg", "class", TLB_E_MALFORMED },
    };
    tlb_limits l = defaults();
    tlr_folder f;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
        char *dir = make_folder(cases[i].script);
        assert_int_equal(scan(dir, &l, &f, cases[i].words), cases[i].want);
        remove_folder(dir);
    }
    assert_int_equal(scan("/nonexistent", &l, &f, "cannot read"), TLB_E_INPUT);
    assert_int_equal(scan("/dev/null", &l, &f, "not a folder"), TLB_E_INPUT);
}

static void holds_classes_against_others(void **state)
{
    (void)state;
    char *dir = make_folder("mkdir a b; touch a/1.jpg b/1.jpg"), *where;
    char *same[] = { "a", "b" }, *more[] = { "a", "b", "c" }, *other[] = { "a", "c" };
    const char *what;
    tlb_limits l = defaults();
    tlr_folder f;
    assert_int_equal(tlr_folder_scan(dir, same, 2, &l, &f, &where, &what), TLB_OK);
    tlr_folder_free(&f);
    assert_int_equal(tlr_folder_scan(dir, more, 3, &l, &f, &where, &what), TLB_E_MALFORMED);
    assert_string_equal(where, "c");
    free(where);
    assert_int_equal(tlr_folder_scan(dir, other, 2, &l, &f, &where, &what), TLB_E_MALFORMED);
    assert_string_equal(where, "b");
    free(where);
    remove_folder(dir);
    char *raw[] = { "\xfe", "\xfe\xf1" }, *kept[] = { "\\xFE", "\\xFE\\xF1" };
    dir = make_folder("mkdir '\xfe' '\xfe\xf1'; touch '\xfe'/1.jpg '\xfe\xf1'/1.jpg");
    assert_int_equal(tlr_folder_scan(dir, raw, 2, &l, &f, &where, &what), TLB_OK);
    tlr_folder_free(&f);
    assert_int_equal(tlr_folder_scan(dir, kept, 2, &l, &f, &where, &what), TLB_OK);
    tlr_folder_free(&f);
    kept[1] = "\\xFE\\xF2";
    assert_int_equal(tlr_folder_scan(dir, kept, 2, &l, &f, &where, &what), TLB_E_MALFORMED);
    free(where);
    remove_folder(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decodes_as_pillow),
        cmocka_unit_test(turns_by_exif),
        cmocka_unit_test(tells_the_kind_by_bytes),
        cmocka_unit_test(refuses_jpeg),
        cmocka_unit_test(warns_of_damage),
        cmocka_unit_test(skips_chunks),
        cmocka_unit_test(refuses_png),
        cmocka_unit_test(keeps_to_given_limits),
        cmocka_unit_test(reads_interlaced),
        cmocka_unit_test(survives_mutations),
        cmocka_unit_test(probes_headers),
        cmocka_unit_test(cannot_read),
        cmocka_unit_test(scans_folders),
        cmocka_unit_test(refuses_folders),
        cmocka_unit_test(holds_classes_against_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
