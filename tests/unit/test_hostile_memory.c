/* test_hostile_memory.c: allocation 1, 2, 3, ... fails on the way from a file to the texts of the
 * compiled folder.  Each time: one status, out of memory, said in one way, and nothing leaks.
 *
 * malloc and its like are wrapped by the linker (-Wl,--wrap), so that this works in sanitizer
 * builds too; each piece of an arena is an allocation of its own here and fails alone.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "emit_parts.h"
#include "import_run.h"
#include "pass.h"
#include "pth_build.h"
#include "tlb_json.h"

#include <jansson.h>

/* --- malloc ------------------------------------------------------------------------ */

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void __real_free(void *p);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
void __wrap_free(void *p);

enum { SLOTS = 1 << 18 };
static void *live[SLOTS]; /* what was allocated while armed and is not free yet; open addressing */
static int n_live;
static bool armed;
static long calls, failing; /* the call that fails; 0: none */
static bool fired;

static size_t slot_of(const void *p)
{
    size_t i = (size_t)p / 16 * 0x9E3779B97F4A7C15u % SLOTS;
    while (live[i] && live[i] != p)
        i = (i + 1) % SLOTS;
    return i;
}

static void *born(void *p)
{
    if (armed && p) {
        live[slot_of(p)] = p;
        ++n_live;
    }
    return p;
}

/* What follows in the chain moves up, as open addressing wants it. */
static void died(void *p)
{
    size_t i = slot_of(p);
    if (!p || !live[i])
        return;
    live[i] = NULL;
    --n_live;
    for (size_t k = (i + 1) % SLOTS; live[k]; k = (k + 1) % SLOTS) {
        void *moved = live[k];
        live[k] = NULL;
        live[slot_of(moved)] = moved;
    }
}

static bool fails(void)
{
    if (!armed || ++calls != failing)
        return false;
    fired = true;
    return true;
}

void *__wrap_malloc(size_t n)
{
    return fails() ? NULL : born(__real_malloc(n));
}

void *__wrap_calloc(size_t n, size_t size)
{
    return fails() ? NULL : born(__real_calloc(n, size));
}

void *__wrap_realloc(void *p, size_t n)
{
    if (fails())
        return NULL;
    died(p);
    return born(__real_realloc(p, n));
}

void __wrap_free(void *p)
{
    died(p);
    __real_free(p);
}

/* --- what is tried --------------------------------------------------------------------- */

typedef struct input {
    const char *name;
    unsigned char *bytes;
    size_t n;
    tlc_options options;
    tlc_status (*read)(tlc_ctx *ctx, const struct input *in, tlc_module **m);
} input;

static tlc_status read_onnx(tlc_ctx *ctx, const input *in, tlc_module **m)
{
    tlc_import_info info;
    tlc_file file = { in->bytes, (int64_t)in->n, "net.onnx", NULL };
    return tlc_import_onnx(ctx, &file, m, &info);
}

static tlc_status read_text(tlc_ctx *ctx, const input *in, tlc_module **m)
{
    return tlc_parse_module(ctx, (const char *)in->bytes, in->n, NULL, m);
}

/* A linear network that takes these bytes as its weights. */
static tlc_status read_weights(tlc_ctx *ctx, const input *in, tlc_module **m)
{
    tlc_import_info info = { 0 };
    tlc_file *file = TLC_NEW(&ctx->arena, tlc_file);
    *file = (tlc_file){ in->bytes, (int64_t)in->n, in->name, NULL };
    TLC_TRY(tlc_parse_module(ctx, linear_network, strlen(linear_network), NULL, m));
    TLC_TRY(tlc_weights_apply(ctx, *m, file, &info));
    return tlc_check_weights(ctx, *m, &info);
}

static tlc_status compile(tlc_ctx *ctx, const input *in)
{
    tlc_module *m;
    tlc_findings findings = { 0 };
    tlc_pass_env env = { &in->options, &findings, 0 };
    tlc_plan plan;
    const tlc_emit_spec spec = { .name = "net", .command_options = "", .options = &in->options,
                                 .findings = &findings, .model_file = "net" };
    TLC_TRY(in->read(ctx, in, &m));
    TLC_TRY(tlc_pipeline_run(ctx, m, &env, NULL, NULL));
    TLC_TRY(tlc_plan_make(ctx, m, &in->options, &plan));
    tlc_emission e = { .ctx = ctx, .m = m, .p = &plan, .spec = &spec };
    tlc_embedded *files;
    size_t n;
    return tlc_emit_texts(&e, &files, &n);
}

/* Call `n` fails; what came of it. */
static tlc_status attempt(const input *in, long n, size_t *n_diags)
{
    tlc_ctx ctx;
    jmp_buf exhausted;
    volatile tlc_status status = TLC_E_LIMIT; /* what the jump stands for */
    failing = n;
    calls = 0;
    fired = false;
    armed = true;
    tlc_ctx_init(&ctx, &exhausted);
    ctx.file = "net";
    if (setjmp(exhausted) == 0) {
        status = compile(&ctx, in);
        *n_diags = ctx.n_diags;
    } else {
        *n_diags = 1; /* the caller of the compiler files it, once */
    }
    tlc_ctx_fini(&ctx);
    armed = false;
    return status;
}

static void fail_each(const input *in)
{
    size_t n_diags;
    long n = 1;
    assert_int_equal(attempt(in, 0, &n_diags), TLC_OK);
    assert_int_equal(n_live, 0);
    for (;; ++n) {
        tlc_status status = attempt(in, n, &n_diags);
        if (!fired)
            break;
        if (status != TLC_E_LIMIT || n_diags != 1 || n_live != 0)
            fail_msg("%s, allocation %ld: status %d, %zu messages, %d blocks left", in->name, n,
                     (int)status, n_diags, n_live);
    }
    printf("%s: %ld allocations failed, one by one\n", in->name, n - 1);
    assert_true(n > 100);
    free(in->bytes);
}

static void test_onnx(void **state)
{
    (void)state;
    net m = base_net();
    pb file = net_bytes(&m);
    fail_each(&(input){ "onnx", file.bytes, file.n, { .batch = 8 }, read_onnx });
    m = base_net();
    file = net_bytes(&m);
    fail_each(&(input){ "onnx, trained", file.bytes, file.n,
                        { .batch = 8, .replace_head = "2", .freeze_backbone = true, .train = true },
                        read_onnx });
}

static void test_text(void **state)
{
    (void)state;
    char *text = strdup(linear_network);
    fail_each(&(input){ "IR text", (unsigned char *)text, strlen(text),
                        { .batch = 8, .train = true, .optimizer = TLC_SGD }, read_text });
}

static void test_weights(void **state)
{
    (void)state;
    for (int old = 0; old < 2; ++old) {
        pth x = base_pth();
        x.old = old;
        bytes b = pth_bytes(&x);
        fail_each(&(input){ old ? "old.pth" : "zip.pth", b.p, b.n, { .batch = 8 }, read_weights });
    }
    static const char header[] =
        "{\"fc.weight\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]},"
        "\"fc.bias\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[24,32]}}";
    bytes b = { 0 };
    put_int(&b, sizeof header - 1, 8);
    put(&b, header, sizeof header - 1);
    put(&b, (char[32]){ 0 }, 32);
    fail_each(&(input){ "w.safetensors", b.p, b.n, { .batch = 8 }, read_weights });
}

/* --- JSON ------------------------------------------------------------------------------ */

static json_malloc_t json_malloc; /* of tlb_json.c */
static json_free_t json_free;

/* What makes each of jansson's buffers grow: long names and texts, many members, many elements. */
static char *wide_json(void)
{
    char *text = __real_malloc(32 << 10), *at = text + sprintf(text, "{\"list\":[");
    for (int i = 0; i < 40; ++i)
        at += sprintf(at, "[%d,%d.5,\"%0*d\"],", i, i, 3 * i + 1, i);
    at += sprintf(at, "{}],\"map\":{");
    for (int i = 0; i < 40; ++i)
        at += sprintf(at, "\"%0*d\":{\"\\u00e9\":null},", 5 * i + 1, i);
    sprintf(at, "\"last\":%0*d}}", 1, 7);
    return text;
}

static void arm(long n)
{
    failing = n;
    calls = 0;
    fired = false;
    armed = true;
}

/* jansson 2.14 reads past the end of a text, and writes past the end of a block, where the buffer
 * of a token cannot grow. */
static void test_json(void **state)
{
    tlb_limits limits;
    char *text = wide_json();
    json_t *j = NULL;
    (void)state;
    tlb_limits_init(&limits);
    json_set_alloc_funcs(json_malloc, json_free);
    for (long n = 1;; ++n) {
        j = NULL;
        arm(n);
        tlb_status status = tlb_json_load(text, strlen(text), &limits, &j);
        armed = false;
        if (!fired) {
            assert_int_equal(status, TLB_OK);
            assert_true(n > 500);
            break;
        }
        if (status != TLB_E_LIMIT || j || n_live)
            fail_msg("allocation %ld: status %d, %d not free", n, (int)status, n_live);
    }
    n_live = 0; /* what the document consists of */
    memset(live, 0, sizeof live);
    for (long n = 1;; ++n) {
        arm(n);
        char *dumped = tlb_json_dump(j, 0);
        armed = false;
        if (!fired) {
            assert_non_null(dumped);
            free(dumped);
            break;
        }
        if (dumped || n_live)
            fail_msg("allocation %ld of writing: %d not free", n, n_live);
    }
    json_decref(j);
    __real_free(text);
    json_set_alloc_funcs(__real_malloc, __real_free);
}

int main(void)
{
    json_get_alloc_funcs(&json_malloc, &json_free);
    /* Where jansson has no memory the program ends at once (compiler/cli/main.c): that is seen
     * from outside, by tests/e2e/test_faults.py. */
    json_set_alloc_funcs(__real_malloc, __real_free);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_onnx),
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_weights),
        cmocka_unit_test(test_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
