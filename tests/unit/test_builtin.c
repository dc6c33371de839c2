/* test_builtin.c: every built-in network parses, verifies and has as many parameters as
 * torchvision publishes; --classes and --input change what they may.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "import.h"
#include "text.h"

#include <string.h>

typedef struct run {
    tlc_ctx ctx;
    jmp_buf exhausted;
    tlc_file file;
    tlc_module *module;
    tlc_import_info info;
    tlc_status status;
} run;

static void run_network(run *r, const char *name, tlc_import_options options)
{
    memset(r, 0, sizeof *r);
    tlc_ctx_init(&r->ctx, &r->exhausted);
    r->status = tlc_import_network(&r->ctx, name, &options, &r->file, &r->module, &r->info);
}

static void run_end(run *r)
{
    tlc_file_unmap(&r->file);
    tlc_ctx_fini(&r->ctx);
}

/* "f32[n,512]" of the function's result. */
static const char *output_type(run *r)
{
    return tlc_type_text(&r->ctx, tlc_func_find(r->module, "forward")->out[0]);
}

static const char *global_type(run *r, const char *name)
{
    const tlc_value *v = tlc_global_find(r->module, name);
    return v ? tlc_type_text(&r->ctx, v) : "none";
}

/* torchvision's own numbers (weights' meta "num_params"); the last two are of nets it has not. */
static const struct {
    const char *name;
    int64_t params;
    const char *first, *last; /* parameters */
} networks[] = {
    { "vgg11", 132863336, "features.0.weight", "classifier.6.bias" },
    { "vgg11_bn", 132868840, "features.0.weight", "classifier.6.bias" },
    { "vgg13", 133047848, "features.0.weight", "classifier.6.bias" },
    { "vgg13_bn", 133053736, "features.0.weight", "classifier.6.bias" },
    { "vgg16", 138357544, "features.0.weight", "classifier.6.bias" },
    { "vgg16_bn", 138365992, "features.0.weight", "classifier.6.bias" },
    { "vgg19", 143667240, "features.0.weight", "classifier.6.bias" },
    { "vgg19_bn", 143678248, "features.0.weight", "classifier.6.bias" },
    { "resnet18", 11689512, "conv1.weight", "fc.bias" },
    { "resnet34", 21797672, "conv1.weight", "fc.bias" },
    { "resnet50", 25557032, "conv1.weight", "fc.bias" },
    { "resnet101", 44549160, "conv1.weight", "fc.bias" },
    { "resnet152", 60192808, "conv1.weight", "fc.bias" },
    { "resnext50_32x4d", 25028904, "conv1.weight", "fc.bias" },
    { "wide_resnet50_2", 68883240, "conv1.weight", "fc.bias" },
    { "efficientnet_lite0", 4652008, "_conv_stem.weight", "_fc.bias" },
    { "vgg-small", 17076546, "0.weight", "31.bias" },
};

static void check_network(size_t i)
{
    run r;
    run_network(&r, networks[i].name, (tlc_import_options){ 0 });
    if (r.status != TLC_OK)
        fail_msg("%s: %s", networks[i].name, r.ctx.diags[0].what);
    assert_int_equal(tlc_verify_module(&r.ctx, r.module), TLC_OK);
    if (r.info.param_elems != networks[i].params)
        fail_msg("%s: %lld parameters", networks[i].name, (long long)r.info.param_elems);
    assert_string_equal(r.module->name, networks[i].name);
    assert_string_equal(r.module->globals[0]->name, networks[i].first);
    assert_string_equal(r.module->globals[r.module->n_globals - 1]->name, networks[i].last);
    run_end(&r);
}

static void test_networks(void **state)
{
    size_t n = 0;
    tlc_ctx ctx;
    jmp_buf exhausted;
    (void)state;
    for (size_t i = 0; i < sizeof networks / sizeof *networks; ++i)
        check_network(i);
    tlc_ctx_init(&ctx, &exhausted);
    while (tlc_builtin_name(&ctx, n))
        ++n;
    tlc_ctx_fini(&ctx);
    assert_int_equal(n, sizeof networks / sizeof *networks); /* none without its row */
}

/* Initial values are those that torchvision starts from. */
static void test_initial_values(void **state)
{
    static const struct {
        const char *network, *param;
        tlc_init_kind init;
        double value;
    } rows[] = {
        { "resnet18", "conv1.weight", TLC_INIT_NORMAL_FAN_OUT, 64 * 49 },
        { "resnet18", "bn1.weight", TLC_INIT_CONSTANT, 1 },
        { "resnet18", "bn1.bias", TLC_INIT_CONSTANT, 0 },
        { "resnet18", "fc.bias", TLC_INIT_UNIFORM_FAN_IN, 512 },
        { "resnext50_32x4d", "layer1.0.conv2.weight", TLC_INIT_NORMAL_FAN_OUT, 128 * 9 },
        { "vgg16", "features.0.bias", TLC_INIT_CONSTANT, 0 },
        { "vgg16", "classifier.0.weight", TLC_INIT_NORMAL, 0.01 },
        { "vgg-small", "0.bias", TLC_INIT_UNIFORM_FAN_IN, 27 },
        { "efficientnet_lite0", "_blocks.0._depthwise_conv.weight", TLC_INIT_UNIFORM_FAN_IN, 9 },
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; ++i) {
        run r;
        run_network(&r, rows[i].network, (tlc_import_options){ 0 });
        const tlc_value *v = tlc_global_find(r.module, rows[i].param);
        assert_int_equal(v->init, rows[i].init);
        assert_true(v->init_value == rows[i].value);
        run_end(&r);
    }
}

static void test_classes(void **state)
{
    run r;
    (void)state;
    run_network(&r, "resnet18", (tlc_import_options){ .classes = 7 });
    assert_int_equal(r.status, TLC_OK);
    assert_string_equal(global_type(&r, "fc.weight"), "f32[7,512]");
    assert_string_equal(global_type(&r, "fc.bias"), "f32[7]");
    assert_string_equal(output_type(&r), "f32[n,7]");
    assert_int_equal(tlc_verify_module(&r.ctx, r.module), TLC_OK);
    run_end(&r);
    run_network(&r, "resnet18", (tlc_import_options){ .classes = 50001 });
    assert_int_equal(r.status, TLC_E_LIMIT);
    run_end(&r);
}

static void test_input(void **state)
{
    run r;
    (void)state;
    run_network(&r, "vgg16", (tlc_import_options){ .input = { 3, 64, 96 } });
    assert_int_equal(r.status, TLC_OK);
    assert_string_equal(global_type(&r, "classifier.0.weight"), "f32[4096,3072]");
    assert_int_equal(tlc_verify_module(&r.ctx, r.module), TLC_OK);
    run_end(&r);
    run_network(&r, "vgg-small", (tlc_import_options){ .classes = 3, .input = { 1, 32, 32 } });
    assert_int_equal(r.status, TLC_OK);
    assert_string_equal(global_type(&r, "0.weight"), "f32[64,1,3,3]");
    assert_true(tlc_global_find(r.module, "0.bias")->init_value == 9); /* fan-in follows */
    assert_string_equal(global_type(&r, "25.weight"), "f32[1024,2048]");
    assert_true(tlc_global_find(r.module, "25.bias")->init_value == 2048);
    assert_string_equal(output_type(&r), "f32[n,3]");
    run_end(&r);
    run_network(&r, "resnet18", (tlc_import_options){ .input = { 3, 97, 64 } });
    assert_int_equal(r.status, TLC_OK); /* pooled: no layer changes */
    assert_string_equal(global_type(&r, "fc.weight"), "f32[1000,512]");
    run_end(&r);
    run_network(&r, "vgg16", (tlc_import_options){ .input = { 3, 8, 8 } });
    assert_int_equal(r.status, TLC_E_MALFORMED); /* nothing is left of it after four poolings */
    run_end(&r);
}

/* A layer that has values keeps its size. */
static void test_values_keep_their_size(void **state)
{
    static const char text[] = "module \"m\"\n"
                               "param %w : f32[2,12] = [1,2,3,4,5,6,7,8,9,0,1,2,"
                               "1,2,3,4,5,6,7,8,9,0,1,2]\n"
                               "func @forward(%x: f32[n,3,2,2]) -> f32[n,2] {\n"
                               "  %0 : f32[n,12] = flatten %x {axis=1}\n"
                               "  %1 : f32[n,2] = linear %0, %w\n"
                               "  return %1\n}\n";
    tlc_ctx ctx;
    jmp_buf exhausted;
    tlc_module *m;
    (void)state;
    tlc_ctx_init(&ctx, &exhausted);
    assert_int_equal(tlc_parse_module(&ctx, text, strlen(text), NULL, &m), TLC_OK);
    assert_int_equal(tlc_set_classes(&ctx, m, 2), TLC_OK);
    assert_int_equal(tlc_set_input(&ctx, m, (int64_t[]){ 3, 2, 2 }), TLC_OK);
    assert_int_equal(tlc_set_classes(&ctx, m, 3), TLC_E_UNSUPPORTED);
    assert_int_equal(tlc_set_input(&ctx, m, (int64_t[]){ 3, 4, 4 }), TLC_E_UNSUPPORTED);
    tlc_ctx_fini(&ctx);
}

static void test_names(void **state)
{
    run r;
    (void)state;
    run_network(&r, "resnet5O", (tlc_import_options){ 0 });
    assert_int_equal(r.status, TLC_E_INPUT);
    assert_non_null(strstr(r.ctx.diags[0].hint, "did you mean resnet50"));
    run_end(&r);
    run_network(&r, "./resnet50", (tlc_import_options){ 0 }); /* a path is a path */
    assert_int_equal(r.status, TLC_E_INPUT);
    assert_null(r.ctx.diags[0].hint);
    run_end(&r);
    run_network(&r, "alexnet", (tlc_import_options){ 0 });
    assert_int_equal(r.status, TLC_E_INPUT);
    assert_null(r.ctx.diags[0].hint);
    run_end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_networks), cmocka_unit_test(test_initial_values),
        cmocka_unit_test(test_classes),  cmocka_unit_test(test_input),
        cmocka_unit_test(test_values_keep_their_size), cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
