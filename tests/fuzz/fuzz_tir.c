/* libFuzzer harness: IR text is refused with one error, or printed to a text that reads back
 * to itself.  Names no data files. */
#include "text.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static const char *print(tlc_ctx *ctx, const tlc_module *m)
{
    tlc_cwriter w = tlc_cwriter_make(&ctx->arena);
    tlc_print_module(&w, m);
    return w.text;
}

static void check(tlc_ctx *ctx, const uint8_t *bytes, size_t n)
{
    tlc_module *first, *second;
    tlc_status status = tlc_parse_module(ctx, (const char *)bytes, n, NULL, &first);
    if (status != TLC_OK) {
        /* Only the verifier, on what the parser let pass, may have more to say than one thing. */
        if (ctx->n_diags == 0 || status == TLC_E_INTERNAL)
            abort();
        return;
    }
    if (tlc_verify_module(ctx, first) != TLC_OK)
        abort();
    const char *text = print(ctx, first);
    if (tlc_parse_module(ctx, text, strlen(text), NULL, &second) != TLC_OK)
        abort();
    if (strcmp(text, print(ctx, second)) != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    static tlc_ctx ctx;
    static jmp_buf exhausted;
    if (setjmp(exhausted) == 0) {
        tlc_ctx_init(&ctx, &exhausted);
        ctx.limits.max[TLB_LIMIT_WEIGHTS] = 1 << 20;
        check(&ctx, bytes, n);
    }
    tlc_ctx_fini(&ctx);
    return 0;
}
