/* fuzz_pipeline.c: from a model's bytes to the emitted folder's, in memory: one error with a code of
 * the table, or modules that verify after each pass and texts that are ASCII.
 *
 * The first byte chooses how it is compiled (`ways` below); the rest is IR text if it begins with
 * "module", else ONNX.
 */
#define _GNU_SOURCE /* memfd_create */
#include "emit_parts.h"
#include "import.h"
#include "pass.h"
#include "text.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static const tlc_freeze_rule no_norms[] = { { true, "*b*" }, { false, "*c*" } };
static const tlc_options ways[] = {
    { .batch = 8 },
    { .batch = 8, .replace_head = "2", .freeze_backbone = true, .train = true },
    { .batch = 4, .train = true, .optimizer = TLC_SGD, .nesterov = true, .label_smoothing = 0.1 },
    { .batch = 1, .target = TLC_TARGET_REF, .precision = TLC_PRECISION_FP64, .keep_values = true },
    { .batch = 2, .replace_head = "4,relu,dropout=0.5,3", .train = true, .optimizer = TLC_ADAMW,
      .target = TLC_TARGET_REF, .freeze_rules = no_norms, .n_freeze_rules = 2 },
    { .batch = 3, .train = true, .bn = TLC_BN_STATS, .no_fuse = true, .no_reuse = true },
    { .batch = 5, .train = true, .bn = TLC_BN_FROZEN, .keep_values = true },
};

static tlc_status import(tlc_ctx *ctx, const uint8_t *bytes, size_t n, tlc_module **m)
{
    static const char begin[] = "module";
    tlc_import_info info;
    /* The folder does not exist, so no file beside the input is ever opened. */
    tlc_file file = { bytes, (int64_t)n, "/nonexistent/fuzz/net.onnx", NULL };
    if (n >= sizeof begin - 1 && memcmp(bytes, begin, sizeof begin - 1) == 0)
        return tlc_parse_module(ctx, (const char *)bytes, n, NULL, m);
    return tlc_import_onnx(ctx, &file, m, &info);
}

/* Printable ASCII.  JSON may hold 0x7f, and in strings of it stands what a file said. */
static void check_text(const tlc_embedded *file, bool is_json)
{
    for (size_t i = 0; i < file->n_bytes; ++i)
        if (file->bytes[i] != '\n' && file->bytes[i] != '\t' &&
            (file->bytes[i] < 0x20 || file->bytes[i] > 0x7e + is_json))
            abort();
}

static void check_json(const tlc_embedded *file)
{
    json_t *j = json_loadb((const char *)file->bytes, file->n_bytes, 0, NULL);
    if (!j)
        abort();
    json_decref(j);
}

/* To a file that has no name and is gone once it is closed. */
static void write_weights(const tlc_emission *e)
{
    static tlc_folder_file f;
    f = (tlc_folder_file){ .fd = memfd_create("weights", MFD_CLOEXEC) };
    tlc_emit_weights(&f, e);
    close(f.fd);
    if (f.error)
        abort();
}

static tlc_status emit(tlc_ctx *ctx, const tlc_module *m, const tlc_plan *plan,
                       const tlc_options *options, const tlc_findings *findings)
{
    const tlc_emit_spec spec = { .name = "net", .command_options = "", .options = options,
                                 .findings = findings, .model_file = "net.onnx" };
    tlc_emission e = { .ctx = ctx, .m = m, .p = plan, .spec = &spec };
    tlc_embedded *files;
    size_t n;
    TLC_TRY(tlc_emit_texts(&e, &files, &n));
    for (size_t i = 0; i < n; ++i)
        if (strncmp(files[i].path, "src/", 4) != 0) /* those are ours as they stand */
            check_text(&files[i], i == n - 1);
    check_json(&files[n - 1]);
    write_weights(&e);
    return TLC_OK;
}

static tlc_status compile(tlc_ctx *ctx, const tlc_options *options, const uint8_t *bytes, size_t n)
{
    tlc_module *m;
    tlc_findings findings = { 0 };
    tlc_pass_env env = { options, &findings, 0 };
    tlc_plan plan;
    TLC_TRY(import(ctx, bytes, n, &m));
    tlc_func *forward = tlc_func_find(m, "forward");
    if (!forward || forward->n_in != 1 || forward->n_out != 1)
        return tlc_fail(ctx, TLC_E_UNSUPPORTED, "E_GRAPH", "no network"); /* as cli_compile.c */
    tlc_status status = tlc_pipeline_run(ctx, m, &env, NULL, NULL);
    if (status != TLC_OK && strncmp(ctx->where, "after pass", 10) == 0)
        abort(); /* a pass made a module that does not verify */
    if (status == TLC_OK)
        status = tlc_plan_make(ctx, m, options, &plan);
    return status == TLC_OK ? emit(ctx, m, &plan, options, &findings) : status;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    static tlc_ctx ctx;
    static jmp_buf exhausted;
    if (n < 1)
        return 0;
    tlc_ctx_init(&ctx, &exhausted);
    ctx.file = "net.onnx";
    ctx.verify_between_passes = true;
    ctx.limits.max[TLB_LIMIT_WEIGHTS] = 1 << 20; /* time goes into structure, not into numbers */
    if (setjmp(exhausted) == 0) {
        tlc_status status = compile(&ctx, &ways[bytes[0] % (sizeof ways / sizeof *ways)],
                                    bytes + 1, n - 1);
        if (status == TLC_E_INTERNAL || (status != TLC_OK && ctx.n_diags == 0))
            abort();
    }
    tlc_ctx_fini(&ctx);
    return 0;
}
