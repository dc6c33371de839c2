/* The IR text form: round trips, golden text, every error of the parser, and the verifier. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hostile_table.h"
#include "text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- harness -------------------------------------------------------------- */

static tlc_ctx ctx;
static jmp_buf exhausted;

static int setup(void **state)
{
    (void)state;
    tlc_ctx_init(&ctx, NULL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    tlc_ctx_fini(&ctx);
    return 0;
}

static const char *print(const tlc_module *m)
{
    tlc_cwriter w = tlc_cwriter_make(&ctx.arena);
    tlc_print_module(&w, m);
    return w.text;
}

static const char *diagnostics(void)
{
    const char *text = "";
    for (size_t i = 0; i < ctx.n_diags; ++i)
        text = tlc_arena_printf(&ctx.arena, "%s%s: %s\n", text,
                                ctx.diags[i].where ? ctx.diags[i].where : "", ctx.diags[i].what);
    return text;
}

static tlc_module *parse_ok(const char *text)
{
    tlc_module *m = NULL;
    tlc_status status = tlc_parse_module(&ctx, text, strlen(text), NULL, &m);
    if (status != TLC_OK)
        fail_msg("%s", diagnostics());
    return m;
}

/* Text that is printed as it stands. */
static void round_trip(const char *text)
{
    assert_string_equal(print(parse_ok(text)), text);
}

static void refuse_bytes(const char *text, size_t len, tlc_status code, const char *where,
                         const char *core)
{
    tlc_module *m = NULL;
    size_t before = ctx.n_diags;
    assert_int_equal(tlc_parse_module(&ctx, text, len, NULL, &m), code);
    assert_null(m);
    assert_int_equal(ctx.n_diags, before + 1);
    const tlb_diag *d = &ctx.diags[before];
    table_row((int)code, core, d, 1, NULL);
    assert_int_equal(d->code, code);
    if (!strstr(d->what, core))
        fail_msg("\"%s\" lacks \"%s\"", d->what, core);
    if (where)
        assert_string_equal(d->where ? d->where : "", where);
}

static void refuse(const char *text, tlc_status code, const char *where, const char *core)
{
    refuse_bytes(text, strlen(text), code, where, core);
}

#define HEAD "func @f(%x: f32[n,4]) -> f32[n,4] {\n"

/* --- round trips ---------------------------------------------------------- */

static void test_module_round_trip(void **state)
{
    (void)state;
    round_trip("module \"catdog\"\n"
               "\n"
               "const %conv1.weight : f32[4,3,1,1] = splat 0.5\n"
               "const %bias : f32[4] = [1, -0.1, 1e-45, inf]\n"
               "param %fc.weight : f32[2,4] init uniform fan_in=4\n"
               "param %fc.bias : f32[2] init constant 1\n"
               "param %a : f32[2] init normal std=0.01\n"
               "param %b : f32[2] init normal fan_out=576\n"
               "state %fc.weight.m : f32[2,4] zero\n"
               "state %fc.weight.v : f32[2,4] zero\n"
               "\n"
               "func @forward(%x: f32[n,3,8,8]) -> f32[n,2] {\n"
               "  %0 : f32[n,4,4,4] = conv2d %x, %conv1.weight, %bias {stride=[2,2]} ; \"/conv1\"\n"
               "  %1 : f32[n,4,4,4] = relu %0\n"
               "  %2 : f32[n,4] = reduce_mean %1 {axes=[2,3], keepdims=false}\n"
               "  %3 : f32[n,2] = linear %2, %fc.weight, %fc.bias\n"
               "  return %3\n"
               "}\n"
               "\n"
               "func @step(%f: f32[n,4], %dy: f32[n,2]) {\n"
               "  %4 : f32[2,4] = linear_grad_w %dy, %f\n"
               "  adam_update %fc.weight, %fc.weight.m, %fc.weight.v, %4 {decoupled=true}\n"
               "  return\n"
               "}\n");
}

static void test_names_round_trip(void **state)
{
    (void)state;
    round_trip("module \"a\\\"b\\n\\x01\"\n"
               "\n"
               "const %\"5\" : f32[1] = [1]\n"
               "const %onnx::Conv_193 : f32[1] = [2]\n"
               "const %\"ends:\" : f32[1] = [3]\n"
               "const %\"sp ace \\u{200B}\\xFF*/\" : f32[1] = [4]\n"
               "const %0 : f32[1] = [5] ; \"5\"\n"
               "const %1 : f32[1] = [6]\n"
               "\n"
               "func @f(%2: f32[n,1], %x:y/z-$: f32[n,1]) -> f32[n,1] {\n"
               "  %3 : f32[n,1] = add %2, %\"5\" ; \"\\u{202E}\"\n"
               "  %4 : f32[n,1] = add %3, %\"ends:\"\n"
               "  %5 : f32[n,1] = add %4, %x:y/z-$\n"
               "  return %5\n"
               "}\n");
}

static void test_data_round_trip(void **state)
{
    (void)state;
    round_trip("module \"\"\n"
               "\n"
               "const %a : i64[3] = [n, -1, 9223372036854775807]\n"
               "const %b : f64[2] = [0.1, -0]\n"
               "const %c : f32[2] = [0.1, 3.4028235e+38]\n"
               "const %d : bool[2] = [0, 1]\n"
               "const %e : i32[] = [-2147483648]\n"
               "const %f : u8[1] = [255]\n"
               "const %g : f32[1] = hex \"0100c07f\"\n"
               "const %h : f32[9] = splat hex \"0100c07f\"\n"
               "const %i : f64[2] = hex \"000080bf0000803f\" f32\n"
               "const %j : i64[0] = []\n");
}

static void test_layouts_round_trip(void **state)
{
    (void)state;
    round_trip("module \"\"\n"
               "\n"
               "const %w : f32[16,16,1,1]{oi16} = splat 1\n"
               "\n"
               "func @f(%x: f32[n,16,4,4]) -> f32[n,16,4,4]{c16} {\n"
               "  %0 : f32[n,16,4,4]{c16, halo=[1,1,1,1]} = relayout %x\n"
               "  %1 : f32[n,16,4,4]{c16} = conv2d %0, %w, _, %0\n"
               "  return %1\n"
               "}\n");
    round_trip("module \"\"\n"
               "\n"
               "const %w : f32[16,8,3,3]{nhwc} = splat 1\n"
               "\n"
               "func @f(%x: f32[n,8,4,4]{nhwc}) -> f32[n,16,4,4]{nhwc} {\n"
               "  %0 : f32[n,16,4,4]{nhwc} = conv2d %x, %w {pad=[1,1,1,1]}\n"
               "  return %0\n"
               "}\n");
}

static void test_long_constants_are_hex(void **state)
{
    (void)state;
    tlc_module *m = tlc_module_make(&ctx, "m");
    int64_t dim = 65;
    void *bytes;
    tlc_value *v = tlc_const_make(m, "w", TLC_F32, tlc_shape_make(1, &dim), &bytes);
    for (int i = 0; i < 65; ++i)
        ((float *)bytes)[i] = (float)i / 7;
    const char *text = print(m);
    assert_non_null(strstr(text, "const %w : f32[65] = hex \"00000000"));
    tlc_module *again = parse_ok(text);
    assert_memory_equal(again->globals[0]->data, v->data, sizeof(float) * 65);
    assert_string_equal(print(again), text);
}

/* Spaces, comments and a missing module line do not matter; results are renumbered. */
static void test_free_form(void **state)
{
    (void)state;
    const char *text = "// caf\xc3\xa9\nfunc @f ( %7 : f32[n,4] )->f32[n,4] { // body\n"
                       "%9 :f32[n,4]=relu %7 ;\"r\" %3 : f32[n,4] = relu\n%9 return %3 } // end";
    assert_string_equal(print(parse_ok(text)), "module \"\"\n"
                                               "\n"
                                               "func @f(%0: f32[n,4]) -> f32[n,4] {\n"
                                               "  %1 : f32[n,4] = relu %0 ; \"r\"\n"
                                               "  %2 : f32[n,4] = relu %1\n"
                                               "  return %2\n"
                                               "}\n");
}

/* Two functions may use one name or number for values of their own. */
static void test_scopes(void **state)
{
    (void)state;
    tlc_module *m = parse_ok("func @f(%x: f32[n]) -> f32[n] { %1 : f32[n] = relu %x return %1 }"
                             "func @g(%x: f32[n]) -> f32[n] { %1 : f32[n] = relu %x return %1 }");
    assert_ptr_not_equal(m->first_func->out[0], m->last_func->out[0]);
    assert_ptr_equal(m->last_func->first->in[0], m->last_func->in[0]);
}

static void test_every_attribute_kind(void **state)
{
    (void)state;
    round_trip("module \"\"\n"
               "\n"
               "const %w : f32[4,2,1,1] = splat 1\n"
               "\n"
               "func @f(%x: f32[n,4,2,2]) -> f32[n,16] {\n"
               "  %0 : f32[n,4,2,2] = conv2d %x, %w {groups=2, act=clip, hi=6}\n"
               "  %1 : f32[n,4,2,2] = clip %0 {hi=0.1}\n"
               "  %2 : f32[n,4,2,2] = dropout %1 {p=0.25, index=3}\n"
               "  %3 : f32[n,16] = reshape %2 {shape=[n,16]}\n"
               "  return %3\n"
               "}\n");
}

/* --- errors --------------------------------------------------------------- */

static void test_undefined(void **state)
{
    (void)state;
    refuse(HEAD "%1 : f32[n,4] = relu %y\nreturn %1 }", TLC_E_MALFORMED, "2:22", "undefined");
    refuse(HEAD "%1 : f32[n,4] = relu %2\n%2 : f32[n,4] = relu %1 return %1 }", TLC_E_MALFORMED,
           "2:22", "undefined");
    refuse(HEAD "return %y }", TLC_E_MALFORMED, "2:8", "undefined");
    refuse(HEAD "%1 : f32[n,4] = relu %1 return %1 }", TLC_E_MALFORMED, NULL, "undefined");
    refuse("func @g(%y: f32[n]) { return }" HEAD "%1 : f32[n,4] = relu %y return %1 }",
           TLC_E_MALFORMED, NULL, "undefined");
}

static void test_defined_twice(void **state)
{
    (void)state;
    refuse("const %a : f32[] = [1]\nconst %a : f32[] = [1]", TLC_E_MALFORMED, "2:7",
           "defined twice");
    refuse(HEAD "%x : f32[n,4] = relu %x\nreturn %x }", TLC_E_MALFORMED, "2:1", "defined twice");
    refuse(HEAD "%1 : f32[n,4] = relu %x\n%1 : f32[n,4] = relu %x return %1 }", TLC_E_MALFORMED,
           "3:1", "defined twice");
    refuse("func @f() { return }\nfunc @f() { return }", TLC_E_MALFORMED, "2:6", "defined twice");
    refuse("const %a : f32[] = [1]\nfunc @f(%a: f32[n]) { return }", TLC_E_MALFORMED, "2:9",
           "defined twice");
}

static void test_operations(void **state)
{
    (void)state;
    refuse(HEAD "%1 : f32[n,4] = rellu %x\nreturn %1 }", TLC_E_MALFORMED, "2:17", "operation");
    refuse(HEAD "%1 : f32[n,4] = relu\nreturn %1 }", TLC_E_MALFORMED, "3:1", "operand");
    refuse(HEAD "%1 : f32[n,4] = add %x\nreturn %1 }", TLC_E_MALFORMED, "2:17", "operand");
    refuse(HEAD "%1 : f32[n,4] = add %x, _\nreturn %1 }", TLC_E_MALFORMED, "2:17", "operand");
    refuse(HEAD "%1 : f32[n,4] = relu %x, %x\nreturn %1 }", TLC_E_MALFORMED, "2:26", "operand");
    refuse(HEAD "relu %x\nreturn %x }", TLC_E_MALFORMED, "2:1", "operation");
    refuse(HEAD "%1, %2 : f32[n,4], f32[n,4] = relu %x\nreturn %x }", TLC_E_MALFORMED, NULL,
           "operation relu has 1 results, 2 are named");
    refuse(HEAD "%1, %2, %3, %4 : f32[n,4] = relu %x\nreturn %x }", TLC_E_MALFORMED, NULL,
           "expected");
    refuse("func @g(%a: f32[n,4], %s: f32[4]) -> f32[n,4] { %1, %1, %2 : f32[n,4], f32[4], f32[4] "
           "= batch_norm_train %a, %s, %s return %1 }",
           TLC_E_MALFORMED, NULL, "result 1 is named twice");
}

static void test_types(void **state)
{
    (void)state;
    refuse(HEAD "%1 : f32[n,5] = relu %x\nreturn %1 }", TLC_E_MALFORMED, "2:17", "type");
    refuse(HEAD "%1 : f64[n,4] = relu %x\nreturn %1 }", TLC_E_MALFORMED, "2:17", "type");
    refuse("func @f(%x: f32[n,4]) -> f32[n,5] {\nreturn %x }", TLC_E_MALFORMED, "2:8", "type");
    refuse("func @f(%x: f99[n,4]) { return }", TLC_E_MALFORMED, "1:13", "type");
    refuse("const %a : f32[n] = splat 1", TLC_E_MALFORMED, NULL, "type");
    refuse("func @f(%x: f32[2,n]) { return }", TLC_E_MALFORMED, "1:19", "expected");
    refuse("func @f(%x: f32[n,-1]) { return }", TLC_E_MALFORMED, "1:19", "dimension");
    refuse("func @f(%x: f32[n,0]) { return }", TLC_E_MALFORMED, "1:16", "dimension");
    refuse("func @f(%x: f32[n,4]{c17}) { return }", TLC_E_MALFORMED, "1:22", "layout");
    refuse("func @f(%x: f32[n,4]{oi16}) { return }", TLC_E_MALFORMED, NULL, "layout");
    refuse("func @f(%x: f32[n,4]{c16, halo=[1,1,1,1]}) { return }", TLC_E_MALFORMED, NULL,
           "layout");
    refuse("func @f(%x: f32[n,4,1]{nhwc}) { return }", TLC_E_MALFORMED, NULL, "layout");
    refuse("func @f(%x: f32[n,4,3,3]{nhwc, halo=[1,1,1,1]}) { return }", TLC_E_MALFORMED, NULL,
           "layout");
    refuse("func @f(%x: f32[n,4,1,1]{c16, halo=[1,1,1,256]}) { return }", TLC_E_MALFORMED, NULL,
           "halo");
    refuse("const %a : f32[65536,65536,65536,65536] = splat 1", TLC_E_MALFORMED, NULL,
           "size overflows");
}

static void test_limits(void **state)
{
    (void)state;
    refuse("const %a : f32[1,1,1,1,1,1,1,1,1] = splat 1", TLC_E_LIMIT, NULL, "rank");
    refuse("const %a : f32[2147483648] = splat 1", TLC_E_LIMIT, NULL, "dim");
    refuse("const %a : f32[65536,65536] = splat 1", TLC_E_LIMIT, NULL, "elements");
    ctx.limits.max[TLB_LIMIT_WEIGHTS] = 15;
    refuse("const %a : f32[2] = splat 1 const %b : f32[2] = splat 1", TLC_E_LIMIT, NULL,
           "weights");
    ctx.limits.max[TLB_LIMIT_NODES] = 1;
    refuse(HEAD "%1 : f32[n,4] = relu %x %2 : f32[n,4] = relu %x return %2 }", TLC_E_LIMIT, NULL,
           "nodes");
    ctx.limits.max[TLB_LIMIT_NAME] = 3;
    refuse("func @f(%abcd: f32[n,4]) { return }", TLC_E_LIMIT, "1:9", "name");
    refuse("module \"abcd\"", TLC_E_LIMIT, NULL, "name");
    ctx.limits.max[TLB_LIMIT_TENSORS] = 1;
    refuse("const %a : f32[] = [1] const %b : f32[] = [1]", TLC_E_LIMIT, NULL, "tensors");
    ctx.limits.max[TLB_LIMIT_TEXT] = 5;
    refuse("module", TLC_E_LIMIT, NULL, "text");
}

/* A megabyte of one byte, after `before`. */
static void refuse_megabyte(const char *before, char byte, const char *core)
{
    size_t head = strlen(before), len = head + (1 << 20);
    char *text = malloc(len);
    memcpy(text, before, head);
    memset(text + head, byte, len - head);
    refuse_bytes(text, len, TLC_E_MALFORMED, NULL, core);
    free(text);
}

static void test_megabytes(void **state)
{
    (void)state;
    refuse_megabyte("", '[', "expected");
    refuse_megabyte("", '(', "expected");
    refuse_megabyte("const %a : f32", '[', "expected");
    refuse_megabyte("const %a : f32[1] = ", '[', "expected");
    refuse_megabyte("func @f", '(', "expected");
    refuse_megabyte(HEAD "%1 : f32[n,4] = pad %x {pads=", '[', "expected");
    refuse_megabyte("const %a : f32[", '9', "out of range");
    refuse_megabyte("const %a : f32[1] = [", '9', "out of range");
    refuse_megabyte("const %a : i64[1] = [", '9', "out of range");
    refuse_megabyte("const %a : f32[1] = hex \"", '0', "expected");
}

static void test_numbers(void **state)
{
    (void)state;
    refuse("const %a : i64[1] = [9223372036854775808]", TLC_E_MALFORMED, "1:22", "out of range");
    refuse("const %a : f64[1] = [1e999]", TLC_E_MALFORMED, "1:22", "out of range");
    refuse("const %a : f32[1] = [1e39]", TLC_E_MALFORMED, "1:22", "out of range");
    refuse("const %a : u8[1] = [256]", TLC_E_MALFORMED, "1:21", "out of range");
    refuse("const %a : i32[1] = [-2147483649]", TLC_E_MALFORMED, "1:22", "out of range");
    refuse("const %a : i64[1] = [1.5]", TLC_E_MALFORMED, "1:22", "expected");
    refuse("const %a : f32[1] = [1.5.2]", TLC_E_MALFORMED, "1:22", "expected");
    refuse("const %a : f32[1] = [-]", TLC_E_MALFORMED, "1:22", "expected");
    refuse("const %a : f32[2] = [1]", TLC_E_MALFORMED, "1:23", "expected");
    refuse("const %a : f32[2] = [1, 2, 3]", TLC_E_MALFORMED, "1:26", "expected");
    refuse("const %a : f32[1000000] = [1]", TLC_E_MALFORMED, NULL, "expected");
    refuse("const %a : f32[1] = hex \"00\"", TLC_E_MALFORMED, NULL, "expected");
    refuse("const %a : f32[1] = hex \"0000000G\"", TLC_E_MALFORMED, NULL, "expected");
    refuse("param %a : f32[1] init normal std=inf", TLC_E_MALFORMED, NULL, "out of range");
    refuse("param %a : f32[1] init uniform fan_in=0", TLC_E_MALFORMED, NULL, "out of range");
}

static void test_bytes(void **state)
{
    (void)state;
    static const char nul[] = "module\0 \"\"", in_string[] = "module \"a\0b\"";
    refuse_bytes(nul, sizeof nul - 1, TLC_E_MALFORMED, "1:7", "byte");
    refuse_bytes(in_string, sizeof in_string - 1, TLC_E_MALFORMED, "1:10", "byte");
    refuse("module \"\xff\"", TLC_E_MALFORMED, "1:9", "byte");
    refuse("module \"\xc0\xaf\"", TLC_E_MALFORMED, "1:9", "byte");
    refuse("module \"\xed\xa0\x80\"", TLC_E_MALFORMED, "1:9", "byte");
    refuse("module \"\xe2\x82", TLC_E_MALFORMED, "1:9", "byte");
    refuse("// \x80\n", TLC_E_MALFORMED, "1:4", "byte");
    refuse("\xc3\xa9", TLC_E_MALFORMED, "1:1", "byte");
    refuse("module \"a\nb\"", TLC_E_MALFORMED, "1:10", "byte");
    refuse("module \"\\q\"", TLC_E_MALFORMED, "1:9", "byte");
    refuse("module \"\\x00\"", TLC_E_MALFORMED, "1:9", "byte");
    refuse("module \"\\u{110000}\"", TLC_E_MALFORMED, "1:9", "byte");
    refuse("module \"\\u{D800}\"", TLC_E_MALFORMED, "1:9", "byte");
}

static void test_syntax(void **state)
{
    (void)state;
    refuse("module", TLC_E_MALFORMED, "1:7", "expected");
    refuse("module \"a", TLC_E_MALFORMED, "1:8", "expected");
    refuse("hello", TLC_E_MALFORMED, "1:1", "expected");
    refuse(HEAD "return %x", TLC_E_MALFORMED, "2:10", "expected");
    refuse(HEAD "return }", TLC_E_MALFORMED, "2:8", "expected");
    refuse("func @f() { return 3 }", TLC_E_MALFORMED, "1:20", "expected");
    refuse("func @3() { return }", TLC_E_MALFORMED, "1:6", "expected");
    refuse("const % : f32[] = [1]", TLC_E_MALFORMED, "1:7", "expected");
    refuse("const %a : f32[]", TLC_E_MALFORMED, NULL, "expected");
    refuse("const %a : f32[] zero", TLC_E_MALFORMED, NULL, "expected");
    refuse("param %a : f32[] zero", TLC_E_MALFORMED, NULL, "expected");
    refuse("param %a : f32[] init odd", TLC_E_MALFORMED, NULL, "expected");
}

static void test_attributes(void **state)
{
    (void)state;
#define POOL(text) \
    "func @f(%x: f32[n,1,4,4]) {\n%1 : f32[n,1,2,2] = max_pool2d %x " text " return }"
    refuse(POOL("{kernel=[2,2], stride=[0,2]}"), TLC_E_MALFORMED, "2:21", "stride");
    refuse(POOL("{kernel=[2,2], kernel=[2,2]}"), TLC_E_MALFORMED, "2:50", "twice");
    refuse(POOL("{stride=[2,2]}"), TLC_E_MALFORMED, NULL, "kernel");
    refuse(POOL("{kernal=[2,2]}"), TLC_E_MALFORMED, "2:36", "attribute");
    refuse(POOL("{kernel=[2,2,2]}"), TLC_E_MALFORMED, NULL, "kernel");
    refuse(POOL("{kernel=[1,2,3,4,5,6,7,8,9,1,2,3,4,5,6,7,8]}"), TLC_E_MALFORMED, NULL, "over 16");
    refuse(POOL("{kernel=[2,2], ceil_mode=2}"), TLC_E_MALFORMED, NULL, "expected");
    refuse(POOL("{kernel=[2,2]"), TLC_E_MALFORMED, NULL, "expected");
}

/* --- data files ----------------------------------------------------------- */

static char folder[64];

static tlc_status parse_data(const char *item, tlc_module **out)
{
    return tlc_parse_module(&ctx, item, strlen(item), folder, out);
}

static void refuse_data(const char *location, tlc_status code, const char *core)
{
    tlc_module *m;
    const char *text =
        tlc_arena_printf(&ctx.arena, "const %%a : f32[2] data \"%s\" 0", location);
    assert_int_equal(parse_data(text, &m), code);
    const char *what = ctx.diags[ctx.n_diags - 1].what;
    table_row((int)code, core, &ctx.diags[ctx.n_diags - 1], 1, NULL);
    if (!strstr(what, core))
        fail_msg("\"%s\" lacks \"%s\"", what, core);
}

static const char *in_folder(const char *name)
{
    return tlc_arena_printf(&ctx.arena, "%s/%s", folder, name);
}

static void make_folder(void)
{
    static const float data[3] = { 1, 2, 3 };
    strcpy(folder, "/tmp/test_ir_text.XXXXXX");
    assert_non_null(mkdtemp(folder));
    FILE *f = fopen(in_folder("w"), "wb");
    assert_int_equal(fwrite(data, sizeof data, 1, f), 1);
    fclose(f);
    fclose(fopen(in_folder("two"), "wb"));
    assert_int_equal(mkdir(in_folder("sub"), 0700), 0);
    assert_int_equal(symlink("w", in_folder("link")), 0);
    assert_int_equal(symlink(".", in_folder("dirlink")), 0);
    assert_int_equal(link(in_folder("two"), in_folder("twin")), 0);
    assert_int_equal(mkfifo(in_folder("fifo"), 0600), 0);
}

static void remove_folder(void)
{
    static const char *const names[] = { "w", "two", "twin", "link", "dirlink", "fifo" };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; ++i)
        unlink(in_folder(names[i]));
    rmdir(in_folder("sub"));
    rmdir(folder);
}

static void test_data_files(void **state)
{
    (void)state;
    tlc_module *m;
    make_folder();
    const char *text = "module \"\"\n"
                       "\n"
                       "const %a : f32[2] data \"w\" 4\n"
                       "const %b : f64[1] data \"w\" 8 f32\n"
                       "const %c : f32[3] data \"w\" 0\n";
    assert_int_equal(parse_data(text, &m), TLC_OK);
    assert_true(tlc_data_f64(m->globals[0], 1) == 3);
    assert_true(tlc_data_f64(m->globals[1], 0) == 3);
    assert_string_equal(print(m), text);
    assert_int_equal(parse_data("const %a : f32[2] data \"w\" 5", &m), TLC_E_MALFORMED);
    assert_non_null(strstr(diagnostics(), "1:28: 8 bytes at 5 lie outside"));
    assert_int_equal(parse_data("const %a : f32[2] data \"w\" -1", &m), TLC_E_MALFORMED);
    refuse_data("../w", TLC_E_MALFORMED, "location");
    refuse_data("a/../../w", TLC_E_MALFORMED, "location");
    refuse_data("/w", TLC_E_MALFORMED, "location");
    refuse_data("", TLC_E_MALFORMED, "location");
    refuse_data("a\\\\w", TLC_E_MALFORMED, "location");
    refuse_data("C:w", TLC_E_MALFORMED, "location");
    refuse_data("link", TLC_E_MALFORMED, "not a plain file");
    refuse_data("dirlink/w", TLC_E_MALFORMED, "not a plain file");
    refuse_data("twin", TLC_E_MALFORMED, "not a plain file");
    refuse_data("fifo", TLC_E_MALFORMED, "not a plain file");
    refuse_data("sub", TLC_E_MALFORMED, "not a plain file");
    refuse_data("none", TLC_E_INPUT, "external data");
    refuse("const %a : f32[2] data \"w\" 0", TLC_E_INPUT, "1:24", "external data");
    remove_folder();
}

/* --- the verifier --------------------------------------------------------- */

/* %x -> relu %1 -> relu %2, returned; and a parameter with its state. */
static tlc_module *small_module(void)
{
    return parse_ok("param %w : f32[4] init constant 0\n"
                    "state %m : f32[4] zero\n" HEAD
                    "%1 : f32[n,4] = relu %x\n%2 : f32[n,4] = add %1, %w\n"
                    "return %2 }\n");
}

static void reject(const tlc_module *m, const char *core)
{
    size_t before = ctx.n_diags;
    assert_int_equal(tlc_verify_module(&ctx, m), TLC_E_INTERNAL);
    assert_true(ctx.n_diags > before);
    assert_int_equal(ctx.diags[before].code, TLC_E_INTERNAL);
    if (!strstr(diagnostics(), core))
        fail_msg("\"%s\" lacks \"%s\"", diagnostics(), core);
}

static void test_verify_accepts(void **state)
{
    (void)state;
    assert_int_equal(tlc_verify_module(&ctx, small_module()), TLC_OK);
    assert_int_equal(ctx.n_diags, 0);
}

static void test_verify_order(void **state)
{
    (void)state;
    tlc_module *m = small_module();
    tlc_node *second = m->first_func->last;
    tlc_node_move_before(second, m->first_func->first);
    reject(m, "defined later");
}

static void test_verify_undefined(void **state)
{
    (void)state;
    tlc_module *m = small_module();
    tlc_node *first = m->first_func->first;
    tlc_node_remove(first);
    reject(m, "undefined");
}

static void test_verify_other_function(void **state)
{
    (void)state;
    tlc_module *m = parse_ok(HEAD "return %x }\nfunc @g(%y: f32[n,4]) -> f32[n,4] {\n"
                                  "%1 : f32[n,4] = relu %y return %1 }");
    m->last_func->first->in[0] = m->first_func->in[0];
    reject(m, "another function");
}

static void test_verify_types(void **state)
{
    (void)state;
    tlc_module *m = small_module();
    m->first_func->first->out[0]->shape.dim[1] = 5;
    reject(m, "type");
}

static void test_verify_operands(void **state)
{
    (void)state;
    tlc_module *m = small_module();
    m->first_func->first->in[0] = NULL;
    reject(m, "operand");
}

static void test_verify_ids(void **state)
{
    (void)state;
    tlc_module *m = small_module();
    m->first_func->last->out[0]->id = m->globals[0]->id;
    reject(m, "defined twice");
}

static void test_verify_layout(void **state)
{
    (void)state;
    tlc_module *m = small_module();
    m->globals[0]->layout.kind = TLC_OI16;
    reject(m, "layout");
}

static void test_verify_globals(void **state)
{
    (void)state;
    tlc_module *m = small_module();
    m->globals[0]->kind = TLC_CONST;
    reject(m, "no data");
}

#define STEP                                     \
    "param %w : f32[2,4] init constant 0\n"      \
    "state %b : f32[2,4] zero\n"                 \
    "func @step(%x: f32[n,4], %dy: f32[n,2]) {\n"

static void test_read_after_write(void **state)
{
    (void)state;
    refuse(STEP "%1 : f32[2,4] = linear_grad_w %dy, %x\n"
                "sgd_update %w, %b, %1\n"
                "%2 : f32[n,4] = linear_grad_x %dy, %w return }",
           TLC_E_MALFORMED, NULL, "read after it was written");
    parse_ok(STEP "%1 : f32[2,4] = linear_grad_w %dy, %x\n"
                  "%2 : f32[n,4] = linear_grad_x %dy, %w\n"
                  "sgd_update %w, %b, %1 return }");
}

static void test_write_to_constant(void **state)
{
    (void)state;
    tlc_module *m = parse_ok(STEP "%1 : f32[2,4] = linear_grad_w %dy, %x\n"
                                  "sgd_update %w, %b, %1 return }");
    m->globals[0]->kind = TLC_CONST;
    reject(m, "no param or state");
}

static void test_verify_reports_twenty(void **state)
{
    (void)state;
    tlc_module *m = tlc_module_make(&ctx, "m");
    for (int i = 0; i < 25; ++i)
        tlc_global_add(m, TLC_CONST, "w", TLC_F32, tlc_shape_make(0, NULL));
    reject(m, "5 more");
    assert_int_equal(ctx.n_diags, 21);
}

/* --- one node ------------------------------------------------------------- */

static void test_print_node(void **state)
{
    (void)state;
    tlc_node *n = small_module()->first_func->last;
    tlc_cwriter w = tlc_cwriter_make(&ctx.arena);
    n->name = "/add.1";
    tlc_print_node(&w, n, true);
    tlc_w(&w, "\n");
    n->name = "*/ evil";
    tlc_print_node(&w, n, true);
    tlc_w(&w, "\n");
    tlc_print_node(&w, n, false);
    assert_string_equal(w.text, "%4 : f32[n,4] = add %3, %0 ; /add.1\n"
                                "%4 : f32[n,4] = add %3, %0 ; ?\n"
                                "%4 : f32[n,4] = add %3, %0 ; \"*/ evil\"");
}

/* Many names, in order and hostile to plain trees, take n log n. */
static void test_many_names(void **state)
{
    (void)state;
    enum { COUNT = 60000 };
    if (setjmp(exhausted))
        fail_msg("out of memory");
    ctx.arena.on_exhausted = &exhausted;
    tlc_cwriter w = tlc_cwriter_make(&ctx.arena);
    for (int i = 0; i < COUNT; ++i)
        tlc_w(&w, "const %%w%05d : f32[] = [1]\n", i);
    tlc_module *m = parse_ok(w.text);
    assert_int_equal(m->n_globals, COUNT);
    assert_string_equal(print(parse_ok(print(m))), print(m));
}

/* Exact lines, and no row less. */
static void test_table(void **state)
{
    (void)state;
    table_end("ir_text");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_module_round_trip), TEST(test_names_round_trip), TEST(test_data_round_trip),
        TEST(test_layouts_round_trip), TEST(test_long_constants_are_hex), TEST(test_free_form),
        TEST(test_scopes), TEST(test_every_attribute_kind), TEST(test_undefined),
        TEST(test_defined_twice), TEST(test_operations), TEST(test_types), TEST(test_limits),
        TEST(test_megabytes), TEST(test_numbers), TEST(test_bytes), TEST(test_syntax),
        TEST(test_attributes), TEST(test_data_files), TEST(test_verify_accepts),
        TEST(test_verify_order), TEST(test_verify_undefined), TEST(test_verify_other_function),
        TEST(test_verify_types), TEST(test_verify_operands), TEST(test_verify_ids),
        TEST(test_verify_layout), TEST(test_verify_globals), TEST(test_read_after_write),
        TEST(test_write_to_constant), TEST(test_verify_reports_twenty), TEST(test_print_node),
        TEST(test_many_names), TEST(test_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
