/* fuzz_onnx.c: libFuzzer on the ONNX guard and importer: any bytes give a module that verifies
 * or one error with a code of the table.
 *
 *     clang -g -O1 -fsanitize=fuzzer,address,undefined ... fuzz_onnx.c
 *     ./fuzz_onnx -max_len=65536 -dict=onnx.dict corpus/
 *
 * Without libFuzzer (-DTLC_FUZZ_MAIN) it reads the files named on its command line, which is
 * how the corpus runs as a test.
 */
#include "import.h"
#include "text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

#ifdef TLC_FUZZ_MAIN
static void run_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    uint8_t *bytes = malloc(1 << 20);
    size_t n = f && bytes ? fread(bytes, 1, 1 << 20, f) : 0;
    if (!f || !bytes)
        abort();
    LLVMFuzzerTestOneInput(bytes, n);
    free(bytes);
    fclose(f);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; ++i)
        run_file(argv[i]);
    printf("%d inputs\n", argc - 1);
    return 0;
}
#endif
