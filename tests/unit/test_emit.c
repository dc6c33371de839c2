/* test_emit.c: small modules into a temporary folder: the text, what a compiler says to it, the
 * weights' bytes, and what may be replaced.
 *
 * Golden files are tests/emit/NAME.tir and NAME.c; TLC_UPDATE_GOLDEN=1 writes the latter anew.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "emit.h"
#include "text.h"

#include <dirent.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char work[] = "/tmp/tlc-test-emit-XXXXXX";

/* --- files --------------------------------------------------------------------------- */

/* FOLDER/NAME; kept to the end, so that a test may hold many. */
static const char *path_of(const char *folder, const char *name)
{
    static char pool[1 << 16];
    static size_t used;
    char *path = pool + used, text[1024];
    int n = snprintf(text, sizeof text, "%s/%s", folder, name);
    assert_true(n > 0 && used + (size_t)n + 1 < sizeof pool);
    memcpy(path, text, (size_t)n + 1);
    used += (size_t)n + 1;
    return path;
}

static char *read_file(const char *path, size_t *out_n)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        return NULL;
    fseek(f, 0, SEEK_END);
    size_t n = (size_t)ftell(f);
    rewind(f);
    char *text = calloc(n + 1, 1);
    assert_non_null(text);
    assert_int_equal(fread(text, 1, n, f), n);
    fclose(f);
    if (out_n)
        *out_n = n;
    return text;
}

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static const char *source_dir(void)
{
    const char *dir = getenv("TLC_SOURCE");
    return dir ? dir : "..";
}

static void shell(const char *fmt, ...)
{
    char command[2048];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(command, sizeof command, fmt, ap);
    va_end(ap);
    if (system(command) != 0)
        fail_msg("failed: %s", command);
}

static int entries(const char *folder)
{
    int n = 0;
    DIR *d = opendir(folder);
    assert_non_null(d);
    while (readdir(d))
        ++n;
    closedir(d);
    return n - 2;
}

/* --- compiling a text ------------------------------------------------------------------ */

static const char *const two_trained[] = { "fc.w", "fc.b" };
static const tlc_findings findings = { .params_frozen = 37, .params_trained = 8,
                                       .trained_names = two_trained, .n_trained = 2,
                                       .graph_sha256.hex = "0123456789abcdef" "0123456789abcdef"
                                                           "0123456789abcdef" "0123456789abcdef" };

typedef struct compiled {
    tlc_ctx ctx;
    tlc_module *m;
    tlc_plan plan;
    tlc_options options;
    tlc_emit_spec spec;
    int n_files;
} compiled;

static void prepare_spec(compiled *c, const char *out)
{
    c->options = (tlc_options){ .target = TLC_TARGET_REF, .batch = 4, .train = true,
                                .optimizer = TLC_SGD };
    c->spec = (tlc_emit_spec){
        .out_dir = out,
        .name = "small",
        .command_options = "--replace-head 2",
        .model_file = "a.onnx",
        .options = &c->options,
        .findings = &findings,
        .preprocess = { .kind = TLR_PREPROCESS_PICTURE,
                        .resize_short = 9,
                        .crop_h = 8,
                        .crop_w = 8,
                        .mean = { 0.485f, 0.456f, 0.406f },
                        .std = { 0.229f, 1, 0.225f } },
    };
}

static void parse(compiled *c, const char *text)
{
    tlc_ctx_init(&c->ctx, NULL);
    tlc_status status = tlc_parse_module(&c->ctx, text, strlen(text), NULL, &c->m);
    if (status != TLC_OK)
        fail_msg("%s: %s", c->ctx.diags[0].where, c->ctx.diags[0].what);
}

static tlc_status emit(compiled *c)
{
    TLC_TRY(tlc_plan_make(&c->ctx, c->m, &c->options, &c->plan));
    return tlc_emit_folder(&c->ctx, c->m, &c->plan, &c->spec, &c->n_files);
}

static void compile(compiled *c, const char *text, const char *out)
{
    prepare_spec(c, out);
    parse(c, text);
    if (emit(c) != TLC_OK)
        fail_msg("%s", c->ctx.diags[0].what);
}

/* A text with what a network has: a frozen convolution, a trained head, its step. */
static const char small[] =
    "module \"small\"\n"
    "const %conv.w : f32[2,1,3,3] = [0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17]\n"
    "const %conv.b : f32[2] = [0.5, -1]\n"
    "param %fc.w : f32[2,2] init uniform fan_in=2\n"
    "param %fc.b : f32[2] init uniform fan_in=2\n"
    "state %fc.w.m : f32[2,2] zero\n"
    "func @features(%x: f32[n,1,8,8]) -> f32[n,2] {\n"
    "  %1 : f32[n,2,8,8] = conv2d %x, %conv.w, %conv.b {pad=[1,1,1,1], act=relu} ; "
    "\"/conv1/Conv\"\n"
    "  %2 : f32[n,2,1,1] = max_pool2d %1 {kernel=[8,8], stride=[8,8]}\n"
    "  %3 : f32[n,2] = flatten %2\n"
    "  return %3\n"
    "}\n"
    "func @head(%f: f32[n,2]) -> f32[n,2] {\n"
    "  %1 : f32[n,2] = linear %f, %fc.w, %fc.b\n"
    "  return %1\n"
    "}\n"
    "func @step(%f: f32[n,2], %y: i64[n]) -> f32[n], f32[n,2] {\n"
    "  %1 : f32[n,2] = linear %f, %fc.w, %fc.b\n"
    "  %2 : f32[n] = cross_entropy %1, %y\n"
    "  %3 : f32[n,2] = cross_entropy_grad %1, %y\n"
    "  %4 : f32[2,2] = linear_grad_w %3, %f\n"
    "  sgd_update %fc.w, %fc.w.m, %4\n"
    "  return %2, %1\n"
    "}\n";

/* --- golden ------------------------------------------------------------------------------ */

static void golden(const char *name)
{
    compiled c;
    char tir[512], want_path[512];
    snprintf(tir, sizeof tir, "%s/tests/emit/%s.tir", source_dir(), name);
    snprintf(want_path, sizeof want_path, "%s/tests/emit/%s.c", source_dir(), name);
    char *text = read_file(tir, NULL);
    if (!text)
        fail_msg("no %s", tir);
    const char *out = path_of(work, name);
    compile(&c, text, out);
    char *got = read_file(path_of(out, "model.c"), NULL);
    if (getenv("TLC_UPDATE_GOLDEN"))
        write_file(want_path, got);
    char *want = read_file(want_path, NULL);
    if (!want || strcmp(got, want) != 0)
        fail_msg("%s/model.c differs from %s", out, want_path);
    free(text);
    free(got);
    free(want);
    tlc_ctx_fini(&c.ctx);
}

static void model_c_is_golden(void **state)
{
    (void)state;
    golden("frozen_and_head");
    golden("forward_only");
}

static void compilers_have_no_word_to_say(void **state)
{
    (void)state;
    compiled c;
    const char *out = path_of(work, "warnings");
    compile(&c, small, out);
    static const char *const compilers[] = { "gcc", "clang" };
    for (int i = 0; i < 2; ++i)
        shell("cd %s && if command -v %s >/dev/null; then %s -std=gnu11 -O2 -Wall -Wextra -Werror"
              " $(find src -type d -printf '-I%%p ') -I. -c model.c -o /dev/null &&"
              " %s -std=gnu11 -Wall -Wextra -Werror -I. -Isrc/runtime/infer -c src/the_model.c"
              " -o /dev/null; fi", out, compilers[i], compilers[i], compilers[i]);
    shell("cd %s && ! command -v c++ >/dev/null || echo '#include \"small.h\"' | c++ -Wall -Wextra "
          "-Werror -I. -Isrc/runtime/infer"
          " -fsyntax-only -x c++ -",
          out);
    shell("make -s -C %s libsmall.a ARCH= CFLAGS='-O0 -Werror'", out);
    tlc_ctx_fini(&c.ctx);
}

/* --- reproducible, injection --------------------------------------------------------------- */

static void compiling_twice_gives_equal_bytes(void **state)
{
    (void)state;
    compiled a, b;
    compile(&a, small, path_of(work, "twice-a"));
    compile(&b, small, path_of(work, "twice-b"));
    shell("diff -r %s/twice-a %s/twice-b", work, work);
    tlc_ctx_fini(&a.ctx);
    tlc_ctx_fini(&b.ctx);
}

static const char *const hostile[] = {
    "CANARY1\"", "CANARY2\\", "CANARY3\n*/ int x;", "CANARY4?\?/", "CANARY5%s%n", "CANARY6${HOME}",
    "CANARY7$(id)", "CANARY8#include", "CANARY9</script>", "CANARY10=1+1", "../xCANARY11", "int",
};

static void rename_all(tlc_module *m)
{
    size_t k = 0;
    enum { N = sizeof hostile / sizeof hostile[0] };
    m->name = "CANARY*/";
    for (size_t i = 0; i < m->n_globals; ++i)
        m->globals[i]->name = hostile[k++ % N];
    for (tlc_func *f = m->first_func; f; f = f->next) {
        for (size_t i = 0; i < f->n_in; ++i)
            f->in[i]->name = hostile[k++ % N];
        for (tlc_node *n = f->first; n; n = n->next)
            n->name = hostile[k++ % N];
    }
}

/* Comments gone, nothing of a name is left, and no file but the manifest has one. */
static void hostile_names_stay_out_of_code(void **state)
{
    (void)state;
    compiled plain, evil;
    compile(&plain, small, path_of(work, "plain"));
    prepare_spec(&evil, path_of(work, "evil"));
    parse(&evil, small);
    rename_all(evil.m);
    assert_int_equal(emit(&evil), TLC_OK);
    for (int i = 0; i < 2; ++i)
        shell("cd %s/%s && gcc -fpreprocessed -dD -E -P model.c > stripped && mv stripped model.c",
              work, i ? "plain" : "evil");
    shell("cd %s && test \"$(diff -rq plain evil | grep -v 'manifest.json differ' | wc -l)\" = 0",
          work);
    shell("! grep -rlE 'CANARY' %s/evil --include=model.c --include=Makefile --include=small.h",
          work);
    tlc_ctx_fini(&plain.ctx);
    tlc_ctx_fini(&evil.ctx);
}

static void options_cannot_end_the_comment(void **state)
{
    (void)state;
    compiled c;
    prepare_spec(&c, path_of(work, "options"));
    c.spec.command_options = "--freeze '*/evil();/*' \n#define x";
    parse(&c, small);
    assert_int_equal(emit(&c), TLC_OK);
    shell("! gcc -fpreprocessed -dD -E -P %s/options/model.c | grep evil", work);
    tlc_ctx_fini(&c.ctx);
}

/* --- weights.bin ------------------------------------------------------------------------------ */

static float float_at(const char *bytes, uint64_t at)
{
    float x;
    memcpy(&x, bytes + at, sizeof x);
    return x;
}

static void weights_lie_as_planned(void **state)
{
    (void)state;
    compiled c;
    size_t n;
    tlr_weights_header h;
    const char *out = path_of(work, "weights");
    compile(&c, small, out);
    char *w = read_file(path_of(out, "weights.bin"), &n);
    memcpy(&h, w, sizeof h);
    assert_memory_equal(h.magic, TLR_WEIGHTS_MAGIC, 8);
    assert_int_equal(h.trained, 0); /* fc has no bytes yet */
    assert_int_equal(h.consts_bytes, 192);
    assert_int_equal(h.params_bytes, 128);
    assert_int_equal(n, tlr_weights_params_at(h.consts_bytes) + h.params_bytes);
    assert_true(float_at(w, TLR_WEIGHTS_CONSTS_AT + 4 * 17) == 17);
    assert_true(float_at(w, TLR_WEIGHTS_CONSTS_AT + 128 + 4) == -1);
    for (size_t i = tlr_weights_params_at(h.consts_bytes); i < n; ++i)
        assert_int_equal(w[i], 0);
    free(w);
    tlc_ctx_fini(&c.ctx);
}

/* A packed weight: element (o, i, y, x) = 1000 o + 100 i + 10 y + x in a grid of `dim`. */
static tlc_value *numbered(tlc_module *m, const char *name, tlc_layout_kind kind, tlc_shape s)
{
    void *bytes;
    tlc_value *v = tlc_const_make(m, name, TLC_F32, s, &bytes);
    float *x = bytes;
    int64_t at[4] = { 0 };
    for (int64_t k = 0; k < tlc_shape_elems(&s); ++k) {
        int64_t rest = k;
        for (int axis = s.rank - 1; axis >= 0; --axis) {
            at[axis] = rest % s.dim[axis];
            rest /= s.dim[axis];
        }
        x[k] = (float)(1000 * at[0] + 100 * at[1] + 10 * at[2] + at[3]);
    }
    v->layout.kind = kind;
    return v;
}

static void layouts_are_those_of_the_runtime(void **state)
{
    (void)state;
    compiled c;
    size_t n;
    const char *out = path_of(work, "layouts");
    prepare_spec(&c, out);
    parse(&c, "module \"m\"\nfunc @forward(%x: f32[n,4]) -> f32[n,4] {\n"
              "  %1 : f32[n,4] = relu %x\n  return %1\n}\n");
    const struct {
        tlc_layout_kind kind;
        tlc_shape shape;
        int64_t at;  /* in stored elements */
        float want;
    } rows[] = {
        /* [oc/16][ic/16][kh][kw][16 ic][16 oc]: o 17, i 18, y 1, x 0 */
        { TLC_OI16,
          { 4, { 20, 20, 2, 3 } },
          (((1 * 2 + 1) * 2 + 1) * 3 + 0) * 256 + 2 * 16 + 1,
          18810 },
        { TLC_OI16,
          { 4, { 20, 20, 2, 3 } },
          (((1 * 2 + 1) * 2 + 1) * 3 + 0) * 256 + 4 * 16 + 1,
          0 },
        /* [oc/16][kh][kw][ic][16]: o 16, i 2, y 0, x 1 */
        { TLC_STEM16, { 4, { 17, 3, 2, 2 } }, (((1 * 2 + 0) * 2 + 1) * 3 + 2) * 16, 16201 },
        /* [c/16][kh][kw][16]: c 3, y 1, x 1 */
        { TLC_DW16, { 4, { 5, 1, 2, 2 } }, (1 * 2 + 1) * 16 + 3, 3011 },
        { TLC_DW16, { 4, { 5, 1, 2, 2 } }, (1 * 2 + 1) * 16 + 5, 0 },
        /* [out/16][in][16]: o 18, i 4 */
        { TLC_LIN16, { 2, { 19, 5 } }, (1 * 5 + 4) * 16 + 2, 18400 },
        /* [oc][kh][kw][ic]: o 2, i 4, y 1, x 0 */
        { TLC_NHWC, { 4, { 3, 5, 2, 3 } }, ((2 * 2 + 1) * 3 + 0) * 5 + 4, 2410 },
        { TLC_C16, { 1, { 18 } }, 17, 17000 },
        { TLC_C16, { 1, { 18 } }, 18, 0 },
    };
    enum { N = sizeof rows / sizeof rows[0] };
    tlc_value *v[N];
    for (int i = 0; i < N; ++i)
        v[i] = numbered(c.m, NULL, rows[i].kind, rows[i].shape);
    assert_int_equal(emit(&c), TLC_OK);
    char *w = read_file(path_of(out, "weights.bin"), &n);
    for (int i = 0; i < N; ++i) {
        int64_t at = TLR_WEIGHTS_CONSTS_AT + c.plan.place[v[i]->id].offset + 4 * rows[i].at;
        if (float_at(w, (uint64_t)at) != rows[i].want)
            fail_msg("row %d: %g", i, (double)float_at(w, (uint64_t)at));
    }
    assert_int_equal(((tlr_weights_header *)w)->trained, 1); /* nothing left to train */
    free(w);
    tlc_ctx_fini(&c.ctx);
}

static void wider_types_are_converted(void **state)
{
    (void)state;
    compiled c;
    const char *out = path_of(work, "fp64");
    prepare_spec(&c, out);
    parse(&c, small);
    tlc_value *b = tlc_global_find(c.m, "conv.b");
    b->type = TLC_F64; /* its data stays float */
    assert_int_equal(emit(&c), TLC_OK);
    char *w = read_file(path_of(out, "weights.bin"), NULL);
    double x;
    memcpy(&x, w + TLR_WEIGHTS_CONSTS_AT + c.plan.place[b->id].offset + 8, sizeof x);
    assert_true(x == -1.0);
    free(w);
    tlc_ctx_fini(&c.ctx);
}

/* --- manifest.json ---------------------------------------------------------------------------- */

static void manifest_says_what_the_folder_is(void **state)
{
    (void)state;
    compiled c;
    const char *out = path_of(work, "manifest");
    compile(&c, small, out);
    json_t *j = json_load_file(path_of(out, "manifest.json"), 0, NULL);
    assert_non_null(j);
    assert_string_equal(json_string_value(json_object_get(j, "schema")), "tlc.manifest/1");
    assert_string_equal(json_string_value(json_array_get(json_object_get(j, "trained"), 0)),
                        "fc.w");
    assert_int_equal(json_array_size(json_object_get(j, "tensors")), 5);
    assert_int_equal(json_array_size(json_object_get(j, "layers")), 3); /* the view is none */
    json_t *layer = json_array_get(json_object_get(j, "layers"), 0);
    assert_string_equal(json_string_value(json_object_get(layer, "name")), "/conv1/Conv");
    assert_int_equal(json_integer_value(json_object_get(layer, "params")), 20);
    assert_true(json_is_true(json_object_get(layer, "frozen")));
    json_t *files = json_object_get(j, "files");
    assert_int_equal(json_array_size(files), c.n_files);
    for (size_t i = 0; i < json_array_size(files); ++i)
        assert_int_equal(access(path_of(out, json_string_value(json_array_get(files, i))), R_OK),
                         0);
    char *text = read_file(path_of(out, "manifest.json"), NULL);
    assert_non_null(strstr(text, "0.485,")); /* not 0.48499998 */
    free(text);
    json_decref(j);
    tlc_ctx_fini(&c.ctx);
}

static void kept_values_are_listed(void **state)
{
    (void)state;
    compiled c;
    const char *out = path_of(work, "values");
    prepare_spec(&c, out);
    c.options.keep_values = true;
    parse(&c, small);
    assert_int_equal(emit(&c), TLC_OK);
    json_t *j = json_load_file(path_of(out, "manifest.json"), 0, NULL);
    assert_int_equal(json_array_size(json_object_get(j, "values")), 4);
    json_decref(j);
    shell("grep -q '.n_values = 4' %s/model.c", out);
    tlc_ctx_fini(&c.ctx);
}

/* --- the folder
 * ----------------------------------------------------------------------------------- */

static void expect_refused(const char *out, tlc_status code, const char *core)
{
    compiled c;
    prepare_spec(&c, out);
    parse(&c, small);
    assert_int_equal(emit(&c), code);
    if (!strstr(c.ctx.diags[0].what, core))
        fail_msg("says %s", c.ctx.diags[0].what);
    tlc_ctx_fini(&c.ctx);
}

static void only_ours_is_replaced(void **state)
{
    (void)state;
    compiled c;
    const char *home = path_of(work, "place");
    char out[256];
    assert_int_equal(mkdir(home, 0777), 0);
    snprintf(out, sizeof out, "%s/place/out", work);
    write_file(out, "a file");
    expect_refused(out, TLC_E_OUTPUT, "not ours");
    unlink(out);
    assert_int_equal(mkdir(out, 0777), 0);
    write_file(path_of(out, "mine"), "precious");
    expect_refused(out, TLC_E_OUTPUT, "not ours");
    assert_int_equal(access(path_of(out, "mine"), R_OK), 0);
    unlink(path_of(out, "mine"));
    compile(&c, small, out); /* an empty folder */
    tlc_ctx_fini(&c.ctx);
    write_file(path_of(out, "stale.o"), "x");
    compile(&c, small, out); /* ours: replaced whole */
    tlc_ctx_fini(&c.ctx);
    assert_int_not_equal(access(path_of(out, "stale.o"), F_OK), 0);
    assert_int_equal(entries(path_of(work, "place")), 1); /* nothing temporary is left */
    expect_refused(path_of(work, "none/out"), TLC_E_OUTPUT, "cannot write");
}

static void leftovers_go(void **state)
{
    (void)state;
    compiled c;
    char out[256];
    assert_int_equal(mkdir(path_of(work, "left"), 0777), 0);
    assert_int_equal(mkdir(path_of(work, "left/.tlc-1-0.part"), 0777), 0);
    write_file(path_of(work, "left/.tlc-1-0.part/model.c"), "half");
    snprintf(out, sizeof out, "%s/left/out", work);
    compile(&c, small, out);
    assert_int_equal(entries(path_of(work, "left")), 1);
    tlc_ctx_fini(&c.ctx);
}

static void bad_names_are_refused(void **state)
{
    (void)state;
    static const char *const names[] = { "", "1a", "a-b", "a b", "a\"", "tlr", "\xc3\xa4" };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; ++i) {
        compiled c;
        prepare_spec(&c, path_of(work, "names"));
        c.spec.name = names[i];
        parse(&c, small);
        if (emit(&c) != TLC_E_USAGE)
            fail_msg("name %zu was accepted", i);
        tlc_ctx_fini(&c.ctx);
    }
}

static int make_work(void **state)
{
    (void)state;
    return mkdtemp(work) ? 0 : -1;
}

static int remove_work(void **state)
{
    (void)state;
    shell("rm -rf %s", work);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(model_c_is_golden),
        cmocka_unit_test(compilers_have_no_word_to_say),
        cmocka_unit_test(compiling_twice_gives_equal_bytes),
        cmocka_unit_test(hostile_names_stay_out_of_code),
        cmocka_unit_test(options_cannot_end_the_comment),
        cmocka_unit_test(weights_lie_as_planned),
        cmocka_unit_test(layouts_are_those_of_the_runtime),
        cmocka_unit_test(wider_types_are_converted),
        cmocka_unit_test(manifest_says_what_the_folder_is),
        cmocka_unit_test(kept_values_are_listed),
        cmocka_unit_test(only_ours_is_replaced),
        cmocka_unit_test(leftovers_go),
        cmocka_unit_test(bad_names_are_refused),
    };
    return cmocka_run_group_tests(tests, make_work, remove_work);
}
