/* test_weights.c: every file of PyTorch's and safetensors' forms in ../shared gives the tensors
 * of its .npz bit by bit; values of weights that are odd but good; problems that a replaced head
 * makes void.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "npz.h"
#include "pth_build.h"
#include "weights.h"

#include <math.h>
#include <unistd.h>

/* --- files of ../shared -------------------------------------------------- */

static void check_dims(const tlc_weight *w, const tlb_npy *want)
{
    assert_int_equal(w->rank, want->rank);
    for (int i = 0; i < w->rank; ++i)
        assert_true(w->dim[i] == want->dim[i]);
}

static void check_tensor(tlc_ctx *ctx, const tlc_weight *w, const char *npz)
{
    tlb_npy want;
    int64_t n = 1;
    assert_true(npz_load(npz, w->name, &want));
    check_dims(w, &want);
    for (int i = 0; i < w->rank; ++i)
        n *= w->dim[i];
    if (!w->storage->elem->is_float) { /* counters: of 64 bits */
        assert_memory_equal(w->storage->bytes + 8 * w->offset, want.data, 8 * (size_t)n);
        return;
    }
    const void *data = tlc_weight_data(ctx, w, TLC_F32);
    assert_non_null(data);
    if (n)
        assert_memory_equal(data, want.data, 4 * (size_t)n);
}

/* File `name` of the folder; *n tensors, or the status that refuses it. */
static tlc_status read_shared(const char *name, size_t *n)
{
    char path[512], npz[512], rest[64];
    tlc_ctx ctx;
    jmp_buf exhausted;
    tlc_file file;
    tlc_weights w = { 0 };
    snprintf(rest, sizeof rest, "data/pth/%.*s.npz", (int)strcspn(name, "."), name);
    shared_path(npz, rest);
    snprintf(rest, sizeof rest, "data/pth/%s", name);
    shared_path(path, rest);
    tlc_ctx_init(&ctx, &exhausted);
    assert_int_equal(tlc_file_map(&ctx, path, &file), TLC_OK);
    tlc_status status = tlc_weights_read(&ctx, &file, &w);
    for (size_t i = 0; status == TLC_OK && i < w.n; ++i)
        check_tensor(&ctx, &w.tensors[i], npz);
    *n = w.n;
    tlc_file_unmap(&file);
    tlc_ctx_fini(&ctx);
    return status;
}

static void test_shared_files(void **state)
{
    static const struct {
        const char *name;
        size_t n;
    } files[] = {
        { "zip.pth", 9 },        { "legacy.pth", 9 },       { "half.pth", 9 },
        { "bfloat16.pth", 9 },   { "double.pth", 9 },       { "checkpoint.pth", 9 },
        { "model_key.pth", 9 },  { "parameters.pth", 8 },   { "shared.pth", 2 },
        { "views.pth", 7 },      { "views_legacy.pth", 7 }, { "f32.safetensors", 9 },
        { "bf16.safetensors", 9 },
    };
    char buf[512];
    size_t n;
    (void)state;
    if (access(shared_path(buf, "data/pth"), R_OK) != 0) {
        printf("skipped: no ../shared\n");
        skip();
    }
    for (size_t i = 0; i < sizeof files / sizeof *files; ++i) {
        tlc_status status = read_shared(files[i].name, &n);
        if (status != TLC_OK || n != files[i].n)
            fail_msg("%s: status %d, %zu tensors, wanted %zu", files[i].name, (int)status, n,
                     files[i].n);
    }
    assert_int_equal(read_shared("refuse_whole_module.pth", &n), TLC_E_UNSUPPORTED);
}

/* --- into a network ------------------------------------------------------ */

static const char norm_network[] =
    "module \"norm\"\n"
    "param %bn.weight : f32[2] init constant 1\n"
    "param %bn.bias : f32[2] init constant 0\n"
    "const %bn.running_mean : f32[2] = splat 0\n"
    "const %bn.running_var : f32[2] = splat 1\n"
    "const %other : f32[2] = splat 3\n"
    "func @forward(%x: f32[n,2,1,1]) -> f32[n,2,1,1] {\n"
    "  %0 : f32[n,2,1,1] = batch_norm %x, %bn.weight, %bn.bias, %bn.running_mean, %bn.running_var\n"
    "  return %0\n}\n";

/* One safetensors file with tensors of two floats each, named; the counter is in every file. */
static bytes norm_file(const char *const *names, size_t n, const float (*values)[2])
{
    bytes b = { 0 }, header = { 0 };
    put_text(&header, "{\"bn.num_batches_tracked\":{\"dtype\":\"I64\",\"shape\":[],"
                      "\"data_offsets\":[0,8]}");
    for (size_t i = 0; i < n; ++i) {
        char entry[128];
        snprintf(entry, sizeof entry,
                 ",\"%s\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[%zu,%zu]}", names[i],
                 8 + 8 * i, 16 + 8 * i);
        put_text(&header, entry);
    }
    put_text(&header, "}");
    put_int(&b, header.n, 8);
    put(&b, header.p, header.n);
    put_int(&b, 1, 8);
    put(&b, values, n * sizeof *values);
    free(header.p);
    return b;
}

static const char *const norm_names[] = { "bn.weight", "bn.bias", "bn.running_mean",
                                          "bn.running_var" };

static void run_norm(weights_run *r, size_t n, const float (*values)[2])
{
    run_weights(r, norm_network, norm_file(norm_names, n, values), "w.safetensors");
}

static void test_statistics(void **state)
{
    static const float values[][2] = { { 1, 2 }, { 3, 4 }, { 5, 6 }, { 7, 8 } };
    weights_run r;
    (void)state;
    run_norm(&r, 4, values);
    assert_true(run_is(&r, TLC_OK, NULL));
    const tlc_value *v = tlc_global_find(r.module, "bn.running_var");
    assert_false(v->splat);
    assert_int_equal(v->kind, TLC_CONST);
    assert_true(tlc_data_f64(v, 1) == 8);
    assert_string_equal(v->file, "w.safetensors"); /* a view, and says of what */
    assert_true(tlc_data_f64(tlc_global_find(r.module, "other"), 0) == 3);
    tlc_ctx_fini(&r.ctx);
    run_norm(&r, 3, values);
    assert_true(run_is(&r, TLC_E_UNSUPPORTED, "bn.running_var"));
    tlc_ctx_fini(&r.ctx);
}

static void test_not_finite(void **state)
{
    static const float values[][2] = { { NAN, 2 }, { 3, 4 }, { 5, 6 }, { 7, 8 } };
    weights_run r;
    (void)state;
    run_norm(&r, 4, values);
    assert_true(run_is(&r, TLC_OK, "not finite"));
    tlc_ctx_fini(&r.ctx);
}

/* A bad variance is found where the network is used with it. */
static void test_variance(void **state)
{
    static const float values[][2] = { { 1, 2 }, { 3, 4 }, { 5, 6 }, { -1, 8 } };
    char path[] = "/tmp/tlc-weights-XXXXXX.safetensors", net[] = "/tmp/tlc-net-XXXXXX.tir";
    weights_run r;
    tlc_file file = { 0 };
    (void)state;
    bytes b = norm_file(norm_names, 4, values);
    int fd = mkstemps(path, 12), net_fd = mkstemps(net, 4);
    assert_true(fd >= 0 && net_fd >= 0);
    assert_int_equal(write(fd, b.p, b.n), b.n);
    assert_int_equal(write(net_fd, norm_network, strlen(norm_network)), strlen(norm_network));
    close(fd);
    close(net_fd);
    free(b.p);
    memset(&r, 0, sizeof r);
    tlc_ctx_init(&r.ctx, &r.exhausted);
    tlc_import_options o = { .weights = path };
    r.status = tlc_import_network(&r.ctx, net, &o, &file, &r.module, &r.info);
    assert_true(run_is(&r, TLC_E_MALFORMED, "variance"));
    assert_string_equal(r.ctx.diags[0].file, path);
    tlc_file_unmap(&file);
    tlc_ctx_fini(&r.ctx);
    unlink(path);
    unlink(net);
}

/* What is missing does not matter once nobody reads it. */
static void test_cut_off(void **state)
{
    weights_run r;
    (void)state;
    pth x = base_pth();
    x.tensor[1].name = NULL;
    run_weights(&r, linear_network, pth_bytes(&x), "w.pth");
    assert_true(run_is(&r, TLC_E_UNSUPPORTED, "fc.bias"));
    assert_int_equal(r.info.n_problems, 1);
    r.module->n_globals = 1; /* fc.bias is gone */
    assert_int_equal(tlc_check_weights(&r.ctx, r.module, &r.info), TLC_OK);
    tlc_ctx_fini(&r.ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shared_files), cmocka_unit_test(test_statistics),
        cmocka_unit_test(test_not_finite),   cmocka_unit_test(test_variance),
        cmocka_unit_test(test_cut_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
