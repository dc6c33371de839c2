/* test_base.c: what all programs say and accept: escapes, limits, diagnostics, the command line,
 * numbers and tables (hostile-inputs 2, 3, 4.8). */
#define _GNU_SOURCE
#include "tlb_diag.h"
#include "tlb_escape.h"
#include "tlb_help.h"
#include "tlb_limits.h"
#include "tlb_options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

/* --- escapes ------------------------------------------------------------------------------ */

static void expect_escaped(const char *bytes, size_t n, const char *want)
{
    char out[TLB_ESCAPED_NAME_BYTES];
    size_t len = tlb_escape(out, sizeof out, bytes, n);
    assert_string_equal(out, want);
    assert_int_equal(len, strlen(want));
}

static void test_escapes(void **state)
{
    (void)state;
    static const struct {
        const char *bytes, *want;
    } rows[] = {
        { "plain /a.b:c", "plain /a.b:c" },
        { "\\ \" \n \r \t", "\\\\ \\\" \\n \\r \\t" },
        { "\x01\x1b[2J\x7f", "\\x01\\x1B[2J\\x7F" },
        { "\xff\xc3", "\\xFF\\xC3" },            /* no UTF-8; cut */
        { "\xc0\xaf", "\\xC0\\xAF" },            /* overlong '/' */
        { "\xed\xa0\x80", "\\xED\\xA0\\x80" },   /* a surrogate */
        { "\xf4\x90\x80\x80", "\\xF4\\x90\\x80\\x80" }, /* over U+10FFFF */
        { "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80" },
        { "\xc2\x80\xc2\x9f\xc2\xa0", "\\u{80}\\u{9F}\xc2\xa0" },
        { "\xc2\xad\xd8\x9c", "\\u{AD}\\u{61C}" },
        { "\xe2\x80\x8b\xe2\x80\x8f", "\\u{200B}\\u{200F}" },
        { "\xe2\x80\xa8\xe2\x80\xae", "\\u{2028}\\u{202E}" },
        { "\xe2\x81\xa0\xe2\x81\xaf", "\\u{2060}\\u{206F}" },
        { "\xef\xbb\xbf", "\\u{FEFF}" },
        { "\xf3\xa0\x80\x80\xf3\xa0\x81\xbf", "\\u{E0000}\\u{E007F}" },
    };
    for (size_t i = 0; i < COUNT(rows); ++i)
        expect_escaped(rows[i].bytes, strlen(rows[i].bytes), rows[i].want);
    expect_escaped("a\0b", 3, "a\\x00b");
}

static void test_escape_keeps_within_its_buffer(void **state)
{
    (void)state;
    char out[8];
    memset(out, '#', sizeof out);
    assert_int_equal(tlb_escape(out, 7, "abc\x1b", 4), 3); /* "\x1B" would need one more */
    assert_string_equal(out, "abc");
    assert_int_equal(out[7], '#');
    assert_int_equal(tlb_escape(out, 1, "abc", 3), 0);
    assert_string_equal(out, "");
}

static void test_long_names(void **state)
{
    (void)state;
    char name[4096], out[TLB_ESCAPED_NAME_BYTES], want[128];
    memset(name, 'a', sizeof name);
    tlb_escape_name(out, sizeof out, name, 80);
    assert_int_equal(strlen(out), 80);
    tlb_escape_name(out, sizeof out, name, 81);
    snprintf(want, sizeof want, "%.48s...%.24s (81 bytes)", name, name);
    assert_string_equal(out, want);
    /* Every byte grows to four and nothing is cut. */
    memset(name, 1, sizeof name);
    size_t len = tlb_escape_name(out, sizeof out, name, sizeof name);
    assert_int_equal(len, 72 * 4 + 3 + strlen(" (4096 bytes)"));
    assert_int_equal(len, strlen(out));
}

static void test_long_names_are_cut_between_code_points(void **state)
{
    (void)state;
    char name[90], out[TLB_ESCAPED_NAME_BYTES];
    for (size_t i = 0; i < sizeof name; i += 2) /* the euro sign would not divide 90 */
        memcpy(name + i, "\xc3\xa9", 2);
    memmove(name + 1, name, sizeof name - 1); /* now 48 and 24 fall inside one */
    name[0] = 'x';
    name[89] = 'y';
    tlb_escape_name(out, sizeof out, name, sizeof name);
    assert_null(strstr(out, "\\x"));
    assert_non_null(strstr(out, "...\xc3\xa9"));
}

static void expect_shell(const char *text, const char *want)
{
    char out[256];
    assert_string_equal(tlb_shell_quote(out, sizeof out, text), want);
}

static void test_shell_words(void **state)
{
    (void)state;
    expect_shell("build/cat-dog_1.2", "build/cat-dog_1.2");
    expect_shell("", "''");
    expect_shell("my net", "'my net'");
    expect_shell("it's", "'it'\\''s'");
    expect_shell("$(id)`x`\"", "'$(id)`x`\"'");
    expect_shell("\xc3\xa9t\xc3\xa9", "'\xc3\xa9t\xc3\xa9'");
    expect_shell("~", "'~'");
    /* What a terminal would act on is spelled out, in the form that POSIX shells read back. */
    expect_shell("a\x1b[2J'b\n", "$'a\\033[2J\\'b\\012'");
    expect_shell("\xff", "$'\\377'");
    expect_shell("\xe2\x80\xae", "$'\\342\\200\\256'");
    expect_shell("-o", "./-o"); /* a path, never an option */
}

/* --- limits -------------------------------------------------------------------------------- */

static void test_counts(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t want;
    } good[] = { { "0", 0 },        { "7", 7 },           { "3K", 3072 },
                 { "2M", 2 << 20 }, { "16G", 16LL << 30 }, { "9223372036854775807", INT64_MAX } };
    static const char *const bad[] = { "",   "-1", "+1",  " 1",  "1k",   "1KB", "K",
                                       "1.5", "x",  "0x1", "1 K", "9223372036854775808",
                                       "9223372036854775807K" };
    int64_t n = -5;
    for (size_t i = 0; i < COUNT(good); ++i) {
        assert_true(tlb_parse_count(good[i].text, &n));
        assert_int_equal(n, good[i].want);
    }
    n = -5;
    for (size_t i = 0; i < COUNT(bad); ++i) {
        assert_false(tlb_parse_count(bad[i], &n));
        assert_int_equal(n, -5);
    }
}

static void test_limits(void **state)
{
    (void)state;
    static const char *const bad[] = { "dim", "dim=", "x=1", "=1", "dimm=1", "di=1", "dim=-1", "" };
    tlb_limits limits;
    tlb_limits_init(&limits);
    assert_int_equal(limits.max[TLB_LIMIT_FILE], 16LL << 30);
    assert_int_equal(limits.max[TLB_LIMIT_NODES], 65536);
    assert_int_equal(limits.max[TLB_LIMIT_MESSAGES], 524288);
    assert_true(tlb_limits_set(&limits, "dim=4K"));
    assert_int_equal(limits.max[TLB_LIMIT_DIM], 4096);
    for (size_t i = 0; i < COUNT(bad); ++i)
        assert_false(tlb_limits_set(&limits, bad[i]));
    assert_int_equal(limits.max[TLB_LIMIT_DIM], 4096);
    for (int i = 0; i < TLB_LIMIT_COUNT; ++i) {
        char text[64];
        snprintf(text, sizeof text, "%s=%d", tlb_limit_name((tlb_limit)i), i);
        assert_true(tlb_limits_set(&limits, text));
        assert_int_equal(limits.max[i], i);
    }
}

/* --- diagnostics ----------------------------------------------------------------------------- */

static void expect_diag(const tlb_diag *d, bool json, bool color, const char *want)
{
    char *text = NULL;
    size_t n;
    FILE *out = open_memstream(&text, &n);
    tlb_diag_print(out, "tlc", d, json, color);
    fclose(out);
    assert_string_equal(text, want);
    free(text);
}

static void test_diag_text(void **state)
{
    (void)state;
    tlb_diag d = { TLB_ERROR, TLB_E_MALFORMED, "E_ATTR", "net.onnx", "node 12 \"conv1\"",
                   "strides[0] is 0, at least 1", "export again" };
    expect_diag(&d, false, false,
                "tlc: error: net.onnx: node 12 \"conv1\": strides[0] is 0, at least 1; export again\n");
    d.hint = d.where = NULL;
    expect_diag(&d, false, false, "tlc: error: net.onnx: strides[0] is 0, at least 1\n");
    d.file = NULL;
    expect_diag(&d, false, false, "tlc: error: strides[0] is 0, at least 1\n");
    d.severity = TLB_WARNING;
    expect_diag(&d, false, false, "tlc: warning: strides[0] is 0, at least 1\n");
    expect_diag(&d, false, true, "tlc: \033[33mwarning\033[0m: strides[0] is 0, at least 1\n");
    d.severity = TLB_ERROR;
    expect_diag(&d, false, true, "tlc: \033[31merror\033[0m: strides[0] is 0, at least 1\n");
    d.file = "a\n\x1b\xff.onnx";
    d.what = "x";
    expect_diag(&d, false, false, "tlc: error: a\\n\\x1B\\xFF.onnx: x\n");
}

/* FILE is never cut, however long. */
static void test_diag_long_file(void **state)
{
    (void)state;
    char file[5000], want[5100];
    memset(file, 'f', sizeof file - 1);
    file[sizeof file - 1] = '\0';
    tlb_diag d = { TLB_ERROR, TLB_E_INPUT, "E_INPUT", file, NULL, "missing", NULL };
    snprintf(want, sizeof want, "tlc: error: %s: missing\n", file);
    expect_diag(&d, false, false, want);
}

static void test_diag_json(void **state)
{
    (void)state;
    tlb_diag d = { TLB_ERROR, TLB_E_LIMIT, "E_LIMIT", "n\t\"\xc3\xa9\xf0\x9f\x98\x80.onnx", NULL,
                   "dim is \"3\"", NULL };
    expect_diag(&d, true, true,
                "{\"severity\":\"error\",\"code\":6,\"id\":\"E_LIMIT\","
                "\"file\":\"n\\\\t\\\\\\\"\\u00e9\\ud83d\\ude00.onnx\",\"where\":null,"
                "\"what\":\"dim is \\\"3\\\"\",\"hint\":null}\n");
    d = (tlb_diag){ TLB_WARNING, TLB_OK, "W_X", NULL, "node 1", "w", "h" };
    expect_diag(&d, true, false,
                "{\"severity\":\"warning\",\"code\":0,\"id\":\"W_X\",\"file\":null,"
                "\"where\":\"node 1\",\"what\":\"w\",\"hint\":\"h\"}\n");
}

/* --- the command line ------------------------------------------------------------------------- */

typedef struct parsed {
    tlb_args args;
    tlb_status status;
    bool done;
    char out[16384], err[4096];
} parsed;

/* Run `body` with both streams in files; what they got is read back. */
static void capture(int stream, int *saved, FILE **file)
{
    *file = tmpfile();
    assert_non_null(*file);
    fflush(stream == 1 ? stdout : stderr);
    *saved = dup(stream);
    dup2(fileno(*file), stream);
}

static void release(int stream, int saved, FILE *file, char *text, size_t cap)
{
    fflush(stream == 1 ? stdout : stderr);
    dup2(saved, stream);
    close(saved);
    rewind(file);
    text[fread(text, 1, cap - 1, file)] = '\0';
    fclose(file);
}

/* The words of `line`, split at single blanks. */
static void parse(parsed *p, tlb_program program, const char *line)
{
    static char text[1024];
    static char *argv[64];
    int argc = 0, saved_out, saved_err;
    FILE *out, *err;
    snprintf(text, sizeof text, "%s %s", tlb_program_name(program), line);
    for (char *s = text, *word; (word = strsep(&s, " "));)
        argv[argc++] = word;
    argv[argc] = NULL;
    if (!*line)
        argv[--argc] = NULL;
    capture(1, &saved_out, &out);
    capture(2, &saved_err, &err);
    p->status = tlb_args_parse(&p->args, program, argc, argv, "V", &p->done);
    release(2, saved_err, err, p->err, sizeof p->err);
    release(1, saved_out, out, p->out, sizeof p->out);
    tlb_args_free(&p->args);
}

static parsed good(tlb_program program, const char *line)
{
    parsed p;
    parse(&p, program, line);
    if (p.status || *p.err)
        fail_msg("%s: %d %s", line, (int)p.status, p.err);
    return p;
}

static void test_words_in_any_order(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "compile net.onnx -o out --batch 8 --freeze-backbone",
        "compile --batch=8 -o out --freeze-backbone net.onnx",
        "compile --freeze-backbone -oout net.onnx --batch 8",
        "compile --out out --batch 8 --freeze-backbone net.onnx",
        "compile --output=out --batch 8 --freeze-backbone -- net.onnx",
    };
    for (size_t i = 0; i < COUNT(lines); ++i) {
        parsed p;
        parse(&p, TLB_PROGRAM_TLC, lines[i]);
        assert_int_equal(p.status, TLB_OK);
        assert_int_equal(p.args.command, TLB_CMD_COMPILE);
        assert_int_equal(tlb_int(&p.args, TLB_OPT_BATCH), 8);
        assert_string_equal(tlb_text(&p.args, TLB_OPT_OUT), "out");
        assert_true(tlb_flag(&p.args, TLB_OPT_FREEZE_BACKBONE));
        assert_int_equal(p.args.n_inputs, 1);
    }
}

static void test_defaults_flags_and_lists(void **state)
{
    (void)state;
    parsed p = good(TLB_PROGRAM_TLC, "compile net.onnx");
    assert_int_equal(tlb_int(&p.args, TLB_OPT_BATCH), 16);
    assert_string_equal(tlb_text(&p.args, TLB_OPT_OPTIMIZER), "adam");
    assert_false(tlb_given(&p.args, TLB_OPT_BATCH));
    assert_true(tlb_flag(&p.args, TLB_OPT_FUSE));
    assert_null(tlb_text(&p.args, TLB_OPT_OUT));
    p = good(TLB_PROGRAM_TLC, "compile net.onnx --no-fuse --no-freeze-backbone --batch 2K -q");
    assert_false(tlb_flag(&p.args, TLB_OPT_FUSE));
    assert_false(tlb_flag(&p.args, TLB_OPT_FREEZE_BACKBONE));
    assert_int_equal(tlb_int(&p.args, TLB_OPT_BATCH), 2048);
    assert_true(p.args.quiet);
    p = good(TLB_PROGRAM_TLC, "compile a --freeze x --unfreeze y --freeze z --limit dim=3");
    assert_int_equal(p.args.n_lists, 4);
    assert_int_equal(p.args.limits.max[TLB_LIMIT_DIM], 3);
    p = good(TLB_PROGRAM_TRAINER, "train photos --lr 1e-4 --valid 0 --seed 9007199254740991");
    assert_true(tlb_num(&p.args, TLB_OPT_LR) == 1e-4);
    assert_int_equal(tlb_int(&p.args, TLB_OPT_SEED), 9007199254740991);
}

/* After `--` and as an option's value a word is what it is, dashes or not. */
static void test_double_dash(void **state)
{
    (void)state;
    parsed p = good(TLB_PROGRAM_TRAINER, "predict -- --frob -q");
    assert_int_equal(p.args.n_inputs, 2);
    assert_false(p.args.quiet);
    p = good(TLB_PROGRAM_TLC, "compile x --name --frob");
    assert_string_equal(tlb_text(&p.args, TLB_OPT_NAME), "--frob");
    p = good(TLB_PROGRAM_TLC, "compile -o --frob -");
    assert_string_equal(tlb_text(&p.args, TLB_OPT_OUT), "--frob");
}

static const struct {
    tlb_program program;
    const char *line;
    tlb_status status;
    const char *err; /* part of the one line */
} bad_lines[] = {
    { TLB_PROGRAM_TLC, "compile x --frob", TLB_E_USAGE, "unknown option --frob" },
    { TLB_PROGRAM_TLC, "compile x --bacth 8", TLB_E_USAGE,
      "tlc: error: unknown option --bacth; did you mean --batch?\n" },
    { TLB_PROGRAM_TLC, "compile x --freze-backbone", TLB_E_USAGE, "did you mean --freeze-backbone?" },
    { TLB_PROGRAM_TLC, "compile x --repl 2", TLB_E_USAGE, "did you mean --replace-head?" },
    { TLB_PROGRAM_TLC, "compile x --bat=8", TLB_E_USAGE, "unknown option --bat; did you mean --batch?" },
    { TLB_PROGRAM_TLC, "compile x --no-batch", TLB_E_USAGE, "unknown option --no-batch" },
    { TLB_PROGRAM_TLC, "compile x --no-fus", TLB_E_USAGE, "unknown option --no-fus" },
    { TLB_PROGRAM_TLC, "compile x --epochs 3", TLB_E_USAGE, "unknown option --epochs" },
    { TLB_PROGRAM_TLC, "inspect x -o y", TLB_E_USAGE, "unknown option -o" },
    { TLB_PROGRAM_TLC, "compile x -z", TLB_E_USAGE, "unknown option -z" },
    { TLB_PROGRAM_TLC, "compile x -\x1b", TLB_E_USAGE, "unknown option -\\x1B" },
    { TLB_PROGRAM_TLC, "compile x --\x1b[2J", TLB_E_USAGE, "unknown option --\\x1B[2J" },
    { TLB_PROGRAM_TLC, "-\x1b[2J", TLB_E_USAGE, "unknown option -\\x1B[2J" },
    { TLB_PROGRAM_TLC, "--batch", TLB_E_USAGE, "unknown option --batch; a COMMAND comes first" },
    { TLB_PROGRAM_TLC, "comple x", TLB_E_USAGE,
      "tlc: error: unknown command \"comple\"; did you mean compile?\n" },
    { TLB_PROGRAM_TLC, "frobnicate", TLB_E_USAGE, "unknown command \"frobnicate\"; tlc --help lists them" },
    { TLB_PROGRAM_TLC, "train x", TLB_E_USAGE, "unknown command \"train\"" },
    { TLB_PROGRAM_TLC, "help frob", TLB_E_USAGE, "unknown command \"frob\"" },
    { TLB_PROGRAM_TLC, "compile", TLB_E_USAGE, "compile needs an input: MODEL" },
    { TLB_PROGRAM_TLC, "compile a b", TLB_E_USAGE, "unexpected argument \"b\"" },
    { TLB_PROGRAM_TLC, "compile x --batch", TLB_E_USAGE, "--batch needs a value" },
    { TLB_PROGRAM_TLC, "compile x -o", TLB_E_USAGE, "-o needs a value" },
    { TLB_PROGRAM_TLC, "compile x --fuse=yes", TLB_E_USAGE, "--fuse" },
    { TLB_PROGRAM_TLC, "compile x --batch 8 --batch 9", TLB_E_USAGE, "--batch is given twice" },
    { TLB_PROGRAM_TLC, "compile x --fuse --no-fuse", TLB_E_USAGE, "--fuse is given twice" },
    { TLB_PROGRAM_TLC, "compile x -o a --output b", TLB_E_USAGE, "--out is given twice" },
    { TLB_PROGRAM_TLC, "compile x -q -q", TLB_E_USAGE, "--quiet is given twice" },
    { TLB_PROGRAM_TLC, "compile x --batch 0", TLB_E_USAGE, "--batch is 0, at least 1" },
    { TLB_PROGRAM_TLC, "compile x --batch -1", TLB_E_USAGE, "--batch is -1, at least 1" },
    { TLB_PROGRAM_TLC, "compile x --batch=-3", TLB_E_USAGE, "--batch is -3, at least 1" },
    { TLB_PROGRAM_TLC, "compile x --batch 2.5", TLB_E_USAGE, "--batch is \"2.5\", not a number" },
    { TLB_PROGRAM_TLC, "compile x --batch 8k", TLB_E_USAGE, "not a number" },
    { TLB_PROGRAM_TLC, "compile x --batch=", TLB_E_USAGE, "not a number" },
    { TLB_PROGRAM_TLC, "compile x --label-smoothing 1.5", TLB_E_USAGE,
      "--label-smoothing is 1.5, at least 0, at most 1" },
    { TLB_PROGRAM_TLC, "compile x --label-smoothing nan", TLB_E_USAGE, "not a number" },
    { TLB_PROGRAM_TRAINER, "train x --epochs 0", TLB_E_USAGE, "--epochs is 0, at least 1" },
    { TLB_PROGRAM_TRAINER, "train x --epochs 1e3", TLB_E_USAGE, "not a number" },
    { TLB_PROGRAM_TRAINER, "train x --seed 9007199254740993", TLB_E_USAGE, "--seed is" },
    { TLB_PROGRAM_TRAINER, "train x --seed 99999999999999999999", TLB_E_USAGE, "--seed is" },
    { TLB_PROGRAM_TRAINER, "train x --lr inf", TLB_E_USAGE, "not a number" },
    { TLB_PROGRAM_TRAINER, "train x --lr 0x10", TLB_E_USAGE, "not a number" },
    { TLB_PROGRAM_TRAINER, "train x --lr 1,5", TLB_E_USAGE, "not a number" },
    { TLB_PROGRAM_TLC, "compile x --limit x=1", TLB_E_USAGE, "no limit \"x=1\"; NAME=N, as dim=4K" },
    { TLB_PROGRAM_TLC, "compile x --limit dim", TLB_E_USAGE, "no limit \"dim\"" },
    { TLB_PROGRAM_TLC, "compile x --color red", TLB_E_USAGE, "--color is auto, always or never" },
    { TLB_PROGRAM_TLC, "compile x --diagnostics xml", TLB_E_USAGE, "--diagnostics is text or json" },
};

static void test_bad_lines(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(bad_lines); ++i) {
        parsed p;
        char first[64];
        const char *err = p.err;
        parse(&p, bad_lines[i].program, bad_lines[i].line);
        snprintf(first, sizeof first, "%s: error: ", tlb_program_name(bad_lines[i].program));
        bool fine = p.status == bad_lines[i].status && strstr(err, bad_lines[i].err) &&
                    strncmp(err, first, strlen(first)) == 0 && strchr(err, '\n') == strrchr(err, '\n') &&
                    *p.out == '\0' && !strchr(err, '\033');
        if (!fine)
            fail_msg("%s: status %d, stderr %s", bad_lines[i].line, (int)p.status, err);
    }
}

/* The form of a usage error too is what was asked for, wherever on the line that stands. */
static void test_usage_errors_as_json(void **state)
{
    (void)state;
    static const char *const lines[] = { "compile x --diagnostics=json --frob",
                                         "compile x --frob --diagnostics json",
                                         "compile --batch 0 --diagnostics=json x" };
    for (size_t i = 0; i < COUNT(lines); ++i) {
        parsed p;
        parse(&p, TLB_PROGRAM_TLC, lines[i]);
        assert_int_equal(p.status, TLB_E_USAGE);
        assert_true(strncmp(p.err, "{\"severity\":\"error\",\"code\":2,\"id\":\"E_USAGE\",", 44) == 0);
    }
}

/* --- help -------------------------------------------------------------------------------------- */

static void check_page(const char *what, const char *text, int most_lines)
{
    int lines = 0;
    for (const char *s = text; *s; ++s, ++lines) {
        size_t n = strcspn(s, "\n");
        if (n > 80 || s[n] != '\n')
            fail_msg("%s: line of %zu columns: %.*s", what, n, (int)n, s);
        s += n;
    }
    if (most_lines && lines > most_lines)
        fail_msg("%s: %d lines", what, lines);
}

static void test_help_fits(void **state)
{
    (void)state;
    for (int program = 0; program < 3; ++program) {
        parsed p = good((tlb_program)program, "--help");
        assert_true(p.done);
        assert_true(strncmp(p.out, "Usage: ", 7) == 0);
        check_page("--help", p.out, 40);
        parsed same = good((tlb_program)program, "");
        assert_string_equal(same.out, p.out);
    }
    for (int c = 0; c < TLB_CMD_COUNT; ++c) {
        char line[64];
        snprintf(line, sizeof line, "%s --help", tlb_commands[c].name);
        parsed p = good(tlb_commands[c].program, line);
        assert_true(p.done);
        check_page(line, p.out, 40);
        snprintf(line, sizeof line, "help %s", tlb_commands[c].name);
        p = good(tlb_commands[c].program, line);
        assert_true(p.done);
        check_page(line, p.out, 0);
    }
}

/* Every example in a help text is a line that the parser takes; make and && are the shell's. */
static void check_examples(const char *text)
{
    char copy[16384];
    snprintf(copy, sizeof copy, "%s", text);
    for (char *line = strtok(copy, "\n"); line; line = strtok(NULL, "\n")) {
        for (int program = 0; program < 3; ++program) {
            char first[32];
            snprintf(first, sizeof first, "  %s ", tlb_program_name((tlb_program)program));
            if (strncmp(line, first, strlen(first)) != 0)
                continue;
            line[strcspn(line, "#")] = '\0';
            for (size_t n = strlen(line); n && line[n - 1] == ' ';)
                line[--n] = '\0';
            char *save = strdup(line + strlen(first)); /* good() uses no strtok */
            good((tlb_program)program, save);
            free(save);
        }
    }
}

static void test_help_examples_parse(void **state)
{
    (void)state;
    for (int c = 0; c < TLB_CMD_COUNT; ++c) {
        char line[64];
        snprintf(line, sizeof line, "%s --help", tlb_commands[c].name);
        parsed p = good(tlb_commands[c].program, line);
        check_examples(p.out);
    }
    for (int program = 0; program < 3; ++program)
        check_examples(good((tlb_program)program, "--help").out);
}

static void test_version(void **state)
{
    (void)state;
    assert_string_equal(good(TLB_PROGRAM_TLC, "--version").out, "V\n");
    assert_string_equal(good(TLB_PROGRAM_TLC, "compile --version").out, "V\n");
}

/* --- colour -------------------------------------------------------------------------------------- */

static bool colours(const char *line, const char *no_color, const char *term)
{
    if (no_color)
        setenv("NO_COLOR", no_color, 1);
    else
        unsetenv("NO_COLOR");
    setenv("TERM", term, 1);
    bool on = good(TLB_PROGRAM_TLC, line).args.color_out;
    unsetenv("NO_COLOR");
    return on;
}

/* No test here has a terminal; so `auto` is off, and what forces it is tested. */
static void test_colour(void **state)
{
    (void)state;
    assert_false(colours("inspect x", NULL, "xterm"));
    assert_true(colours("inspect x --color always", NULL, "xterm"));
    assert_true(colours("inspect x --color always", "1", "dumb"));
    assert_false(colours("inspect x --color never", NULL, "xterm"));
}

/* --- numbers ---------------------------------------------------------------------------------------- */

static void test_show_counts(void **state)
{
    (void)state;
    static const struct {
        int64_t n;
        const char *want;
    } rows[] = { { 0, "0" },           { 999, "999" },       { 1000, "1,000" },
                 { -1234, "-1,234" },  { 25557032, "25,557,032" },
                 { INT64_MAX, "9,223,372,036,854,775,807" },
                 { INT64_MIN, "-9,223,372,036,854,775,808" } };
    char buf[32];
    for (size_t i = 0; i < COUNT(rows); ++i)
        assert_string_equal(tlb_show_count(buf, rows[i].n), rows[i].want);
}

static void test_show_times_bytes_shares(void **state)
{
    (void)state;
    char buf[32];
    assert_string_equal(tlb_show_time(buf, 0.3), "0.3 s");
    assert_string_equal(tlb_show_time(buf, 59.94), "59.9 s");
    assert_string_equal(tlb_show_time(buf, 59.96), "1:00");
    assert_string_equal(tlb_show_time(buf, 65), "1:05");
    assert_string_equal(tlb_show_time(buf, 3599.6), "1:00:00");
    assert_string_equal(tlb_show_time(buf, 3723), "1:02:03");
    assert_string_equal(tlb_show_bytes(buf, 1023), "1023 B");
    assert_string_equal(tlb_show_bytes(buf, 1024), "1.00 KiB");
    assert_string_equal(tlb_show_bytes(buf, 93940736), "89.59 MiB");
    assert_string_equal(tlb_show_bytes(buf, 16LL << 30), "16.00 GiB");
    assert_string_equal(tlb_show_percent(buf, 0.987), "98.7 %");
    assert_string_equal(tlb_show_percent(buf, 1), "100.0 %");
}

static void test_table(void **state)
{
    (void)state;
    static const char *const headers[] = { "layer", "parameters", "kernel" };
    static const bool right[] = { false, true, false };
    for (int color = 0; color < 2; ++color) {
        char *text = NULL;
        size_t n;
        FILE *out = open_memstream(&text, &n);
        tlb_table *t = tlb_table_create(3, headers, right);
        tlb_table_row(t, (const char *const[]){ "conv1", "9,408", "direct" });
        tlb_table_row(t, (const char *const[]){ "\xc3\xa9", "", NULL }); /* two bytes, one column */
        tlb_table_row(t, (const char *const[]){ "total", "1", "" });
        tlb_table_print(t, out, color);
        tlb_table_destroy(t);
        fclose(out);
        assert_string_equal(text, color ? "\033[1mlayer  parameters  kernel\n\033[0mconv1       9,408  direct\n"
                                          "\xc3\xa9\ntotal           1\n"
                                        : "layer  parameters  kernel\nconv1       9,408  direct\n"
                                          "\xc3\xa9\ntotal           1\n");
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_escapes),
        cmocka_unit_test(test_escape_keeps_within_its_buffer),
        cmocka_unit_test(test_long_names),
        cmocka_unit_test(test_long_names_are_cut_between_code_points),
        cmocka_unit_test(test_shell_words),
        cmocka_unit_test(test_counts),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_diag_text),
        cmocka_unit_test(test_diag_long_file),
        cmocka_unit_test(test_diag_json),
        cmocka_unit_test(test_words_in_any_order),
        cmocka_unit_test(test_defaults_flags_and_lists),
        cmocka_unit_test(test_double_dash),
        cmocka_unit_test(test_bad_lines),
        cmocka_unit_test(test_usage_errors_as_json),
        cmocka_unit_test(test_help_fits),
        cmocka_unit_test(test_help_examples_parse),
        cmocka_unit_test(test_version),
        cmocka_unit_test(test_colour),
        cmocka_unit_test(test_show_counts),
        cmocka_unit_test(test_show_times_bytes_shares),
        cmocka_unit_test(test_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
