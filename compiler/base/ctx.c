/* ctx.c: diagnostics are filed here and printed by the command line alone. */
#include "ctx.h"

#include "data.h"
#include "tlb_escape.h"

#include <stdio.h>
#include <string.h>

void tlc_ctx_init(tlc_ctx *ctx, jmp_buf *on_exhausted)
{
    *ctx = (tlc_ctx){ 0 };
    tlc_arena_init(&ctx->arena, on_exhausted);
    tlb_limits_init(&ctx->limits);
#ifndef NDEBUG
    ctx->verify_between_passes = true;
#endif
}

void tlc_ctx_fini(tlc_ctx *ctx)
{
    tlc_data_close_all(ctx);
    tlc_arena_fini(&ctx->arena);
}

void tlc_at(tlc_ctx *ctx, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(ctx->where, sizeof ctx->where, fmt, ap);
    va_end(ap);
}

static tlb_diag *file_diag(tlc_ctx *ctx, tlb_severity severity, tlc_status code, const char *id,
                           const char *fmt, va_list ap)
{
    tlb_diag d = {
        .severity = severity,
        .code = code,
        .id = id,
        .file = ctx->file,
        .where = ctx->where[0] ? tlc_arena_strdup(&ctx->arena, ctx->where) : NULL,
        .what = tlc_arena_vprintf(&ctx->arena, fmt, ap),
    };
    TLC_PUSH(&ctx->arena, ctx->diags, ctx->n_diags, ctx->cap_diags, d);
    return &ctx->diags[ctx->n_diags - 1];
}

tlc_status tlc_fail(tlc_ctx *ctx, tlc_status code, const char *id, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    file_diag(ctx, TLB_ERROR, code, id, fmt, ap);
    va_end(ap);
    return code;
}

tlc_status tlc_hint(tlc_ctx *ctx, const char *fmt, ...)
{
    tlb_diag *last = &ctx->diags[ctx->n_diags - 1];
    va_list ap;
    va_start(ap, fmt);
    last->hint = tlc_arena_vprintf(&ctx->arena, fmt, ap);
    va_end(ap);
    return last->code;
}

void tlc_warn(tlc_ctx *ctx, const char *id, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    file_diag(ctx, TLB_WARNING, TLC_OK, id, fmt, ap);
    va_end(ap);
}

const char *tlc_quote(tlc_ctx *ctx, const char *bytes, size_t len)
{
    char text[TLB_ESCAPED_NAME_BYTES];
    size_t n = tlb_escape_name(text, sizeof text, bytes, len);
    return tlc_arena_printf(&ctx->arena, "\"%.*s\"", (int)n, text);
}

const char *tlc_quote_name(tlc_ctx *ctx, const char *name)
{
    return tlc_quote(ctx, name ? name : "", name ? strlen(name) : 0);
}
