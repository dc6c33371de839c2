/* test_file.c: whole-file writes, their failures, maps; SHA-256; the JSON check. */
#define _GNU_SOURCE
#include "tlb_file.h"
#include "tlb_json.h"
#include "tlb_sha256.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[] = "/tmp/tlc-file-XXXXXX";

static int open_dir(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/tlc-file-XXXXXX");
    return mkdtemp(dir) && chdir(dir) == 0 ? 0 : -1;
}

static int close_dir(void **state)
{
    (void)state;
    static const char *const names[] = { "a", "b", "fifo", "link" };
    for (size_t i = 0; i < sizeof names / sizeof *names; ++i)
        unlink(names[i]);
    return chdir("/") == 0 && rmdir(dir) == 0 ? 0 : -1; /* nothing else was left */
}

static void expect_content(const char *path, const char *bytes, size_t n)
{
    tlb_map m;
    assert_int_equal(tlb_map_file(path, &m, NULL), TLB_OK);
    assert_int_equal(m.n_bytes, n);
    if (n > 0)
        assert_memory_equal(m.bytes, bytes, n);
    tlb_unmap(&m);
}

static int count_files(void)
{
    DIR *d = opendir(".");
    int n = -2;
    while (readdir(d))
        ++n;
    closedir(d);
    return n;
}

/* --- writing ------------------------------------------------------------------------------ */

static void test_write(void **state)
{
    (void)state;
    assert_int_equal(tlb_write_file("a", "one", 3, NULL), TLB_OK);
    expect_content("a", "one", 3);
    assert_int_equal(tlb_write_file("a", "two!", 4, NULL), TLB_OK); /* replaces */
    expect_content("a", "two!", 4);
    assert_int_equal(tlb_write_file("./b", "", 0, NULL), TLB_OK);
    expect_content("b", "", 0);
    assert_int_equal(count_files(), 2);
}

/* Until the commit the old file stands; abandoned, it stays. */
static void test_abandon(void **state)
{
    tlb_out o;
    (void)state;
    tlb_write_file("a", "old", 3, NULL);
    assert_int_equal(tlb_out_open(&o, "a"), TLB_OK);
    assert_int_equal(tlb_out_write(&o, "new", 3), TLB_OK);
    assert_int_equal(count_files(), 2);
    expect_content("a", "old", 3);
    tlb_out_abandon(&o);
    tlb_out_abandon(&o);
    expect_content("a", "old", 3);
    assert_int_equal(count_files(), 1);
}

static void test_hole(void **state)
{
    tlb_out o;
    struct stat st;
    (void)state;
    assert_int_equal(tlb_out_open(&o, "a"), TLB_OK);
    tlb_out_write(&o, "x", 1);
    tlb_out_hole(&o, 1 << 20);
    tlb_out_write(&o, "y", 1);
    tlb_out_hole(&o, 1 << 20); /* a hole at the end counts too */
    assert_int_equal(o.written, (2 << 20) + 2);
    assert_int_equal(tlb_out_commit(&o), TLB_OK);
    assert_int_equal(stat("a", &st), 0);
    assert_int_equal(st.st_size, (2 << 20) + 2);
    assert_true(st.st_blocks * 512 < 1 << 20);
    tlb_map m;
    assert_int_equal(tlb_map_file("a", &m, NULL), TLB_OK);
    assert_int_equal(m.bytes[(1 << 20) + 1], 'y');
    assert_int_equal(m.bytes[1 << 19], 0);
    tlb_unmap(&m);
}

static void test_tap(void **state)
{
    tlb_out o;
    tlb_sha256 sum;
    char hex[TLB_SHA256_HEX_BYTES];
    (void)state;
    tlb_sha256_init(&sum);
    assert_int_equal(tlb_out_open(&o, "a"), TLB_OK);
    o.tap = tlb_sha256_tap;
    o.tap_self = &sum;
    tlb_out_write(&o, "a", 1);
    tlb_out_write(&o, "bc", 2);
    assert_int_equal(tlb_out_commit(&o), TLB_OK);
    tlb_sha256_hex(&sum, hex); /* FIPS 180-2, B.1 */
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

static void test_cannot_write(void **state)
{
    int error = 0;
    (void)state;
    tlb_write_file("a", "file", 4, NULL);
    assert_int_equal(tlb_write_file("none/x", "x", 1, &error), TLB_E_OUTPUT);
    assert_int_equal(error, ENOENT);
    assert_int_equal(tlb_write_file("a/x", "x", 1, &error), TLB_E_OUTPUT);
    assert_int_equal(error, ENOTDIR);
    assert_int_equal(mkdir("b", 0777), 0); /* a folder in the target's place: rename fails */
    assert_int_equal(tlb_write_file("b", "x", 1, &error), TLB_E_OUTPUT);
    assert_true(error != 0);
    rmdir("b");
    assert_int_equal(count_files(), 1);
}

/* A write cut short by the system: the old file stays whole, the first error is told. */
static void test_write_fails(void **state)
{
    struct rlimit old, small;
    int error = 0;
    static char bytes[100000];
    (void)state;
    tlb_write_file("a", "old", 3, NULL);
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &old);
    small = (struct rlimit){ 4096, old.rlim_max };
    setrlimit(RLIMIT_FSIZE, &small);
    tlb_status status = tlb_write_file("a", bytes, sizeof bytes, &error);
    setrlimit(RLIMIT_FSIZE, &old);
    assert_int_equal(status, TLB_E_OUTPUT);
    assert_int_equal(error, EFBIG);
    expect_content("a", "old", 3);
    assert_int_equal(count_files(), 1);
}

/* --- reading ------------------------------------------------------------------------------ */

static void test_map(void **state)
{
    tlb_map m;
    int error = -1;
    (void)state;
    assert_int_equal(tlb_map_file("none", &m, &error), TLB_E_INPUT);
    assert_int_equal(error, ENOENT);
    assert_int_equal(tlb_map_file(".", &m, &error), TLB_E_INPUT);
    assert_int_equal(error, 0); /* not a regular file */
    assert_int_equal(mkfifo("fifo", 0666), 0);
    assert_int_equal(tlb_map_file("fifo", &m, &error), TLB_E_INPUT); /* and does not wait */
    assert_int_equal(error, 0);
}

/* --- JSON --------------------------------------------------------------------------------- */

static void test_json_check(void **state)
{
    static const struct {
        const char *text;
        tlb_status status;
    } rows[] = {
        { "{}", TLB_OK }, { " [1, -2.5e+3, true, false, null, \"a\\u00e9\\n\"] ", TLB_OK },
        { "{\"a\":{\"b\":[[],{}]},\"c\":0}", TLB_OK }, { "0", TLB_OK }, { "\"\xc3\xa9\"", TLB_OK },
        { "\"\xf4\x8f\xbf\xbf\"", TLB_OK }, { "[[[[]]]]", TLB_OK }, { "[[[[[]]]]]", TLB_E_LIMIT },
        { "{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":1}}}}}", TLB_E_LIMIT },
        { "", TLB_E_MALFORMED }, { " ", TLB_E_MALFORMED }, { "{", TLB_E_MALFORMED },
        { "[1,]", TLB_E_MALFORMED }, { "[,1]", TLB_E_MALFORMED }, { "[1 2]", TLB_E_MALFORMED },
        { "{\"a\"}", TLB_E_MALFORMED }, { "{\"a\":1,}", TLB_E_MALFORMED },
        { "{a:1}", TLB_E_MALFORMED }, { "[1}", TLB_E_MALFORMED }, { "1 2", TLB_E_MALFORMED },
        { "01", TLB_E_MALFORMED }, { "1.", TLB_E_MALFORMED }, { ".5", TLB_E_MALFORMED },
        { "1e", TLB_E_MALFORMED }, { "-", TLB_E_MALFORMED }, { "+1", TLB_E_MALFORMED },
        { "nul", TLB_E_MALFORMED }, { "\"a", TLB_E_MALFORMED }, { "\"\\x\"", TLB_E_MALFORMED },
        { "\"\\u12g4\"", TLB_E_MALFORMED }, { "\"\n\"", TLB_E_MALFORMED },
        { "\"\xff\"", TLB_E_MALFORMED }, { "\"\xc0\xaf\"", TLB_E_MALFORMED },
        { "\"\xed\xa0\x80\"", TLB_E_MALFORMED }, { "\"\xf4\x90\x80\x80\"", TLB_E_MALFORMED },
        { "\xef\xbb\xbf{}", TLB_E_MALFORMED },
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; ++i)
        if (tlb_json_check(rows[i].text, strlen(rows[i].text), 4) != rows[i].status)
            fail_msg("row %zu: %s", i, rows[i].text);
    assert_int_equal(tlb_json_check(NULL, 0, 4), TLB_E_MALFORMED); /* an empty file, mapped */
}

static void test_json_load(void **state)
{
    tlb_limits limits;
    json_t *j = NULL;
    const char *what = "";
    (void)state;
    tlb_limits_init(&limits);
    assert_int_equal(tlb_json_load("{\"a\":1,\"a\":2}", 13, &limits, &j), TLB_E_MALFORMED);
    assert_int_equal(tlb_json_load("[]", 2, &limits, &j), TLB_E_MALFORMED);
    assert_int_equal(tlb_json_load("{\"a\":99999999999999999999}", 26, &limits, &j),
                     TLB_E_MALFORMED);
    limits.max[TLB_LIMIT_JSON] = 1;
    assert_int_equal(tlb_json_load("{}", 2, &limits, &j), TLB_E_LIMIT);
    tlb_limits_init(&limits);
    j = json_pack("{s:o, s:o, s:o}", "text", tlb_json_string("\xff\xc3\xa9"), "nan",
                  tlb_json_real(0.0 / 0.0), "x", tlb_json_real(0.1));
    assert_int_equal(tlb_json_save(j, "a", NULL), TLB_OK);
    json_decref(j);
    assert_int_equal(tlb_json_load_file("a", &limits, &j, &what), TLB_OK);
    assert_string_equal(tlb_json_text(j, "text"), "\\xFF\xc3\xa9");
    assert_true(json_is_null(json_object_get(j, "nan")));
    assert_true(tlb_json_number(j, "x", 0) == 0.1);
    assert_int_equal(tlb_json_int(j, "x", -3), -3); /* another type */
    json_decref(j);
    assert_int_equal(symlink("a", "link"), 0);
    assert_int_equal(tlb_json_load_file("link", &limits, &j, &what), TLB_E_MALFORMED);
    assert_string_equal(what, "not a plain file");
    assert_int_equal(tlb_json_load_file("none", &limits, &j, &what), TLB_E_INPUT);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_dir, close_dir)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_write), TEST(test_abandon), TEST(test_hole),       TEST(test_tap),
        TEST(test_cannot_write), TEST(test_write_fails), TEST(test_map), TEST(test_json_check),
        TEST(test_json_load),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
