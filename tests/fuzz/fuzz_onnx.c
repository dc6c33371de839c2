/* fuzz_onnx.c: libFuzzer on the ONNX guard and importer: any bytes give a module that verifies
 * or one error with a code of the table.
 */
#include "import.h"
#include "text.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void import(tlc_ctx *ctx, const uint8_t *bytes, size_t n)
{
    tlc_import_info info;
    tlc_module *module;
    /* The folder does not exist, so no file beside the input is ever opened. */
    tlc_file file = { bytes, (int64_t)n, "/nonexistent/fuzz/net.onnx", NULL };
    tlc_status status = tlc_import_onnx(ctx, &file, &module, &info);
    if (status == TLC_OK)
        status = tlc_verify_module(ctx, module);
    if (status != TLC_OK && (status == TLC_E_INTERNAL || ctx->n_diags == 0))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    jmp_buf exhausted;
    tlc_ctx ctx;
    tlc_ctx_init(&ctx, &exhausted);
    ctx.file = "net.onnx";
    if (!setjmp(exhausted))
        import(&ctx, bytes, n);
    tlc_ctx_fini(&ctx);
    return 0;
}
