/* safetensors_import.c: weights in the safetensors format; tlb_safetensors.h has the parser. */
#include "weights.h"

#include "tlb_safetensors.h"

/* Everything in the arena, so that the parser's memory can go. */
static tlc_status add_tensor(tlc_ctx *ctx, const tlb_tensor *t, tlc_weights *out)
{
    tlc_storage *s = TLC_NEW(&ctx->arena, tlc_storage);
    tlc_weight w = { .name = tlc_arena_strdup(&ctx->arena, t->name),
                     .storage = s,
                     .rank = t->rank };
    s->elem = tlc_elem_find(t->dtype);
    if (!s->elem)
        return tlc_fail(ctx, TLC_E_UNSUPPORTED, "E_DTYPE", "dtype %s of tensor %s is not served",
                        tlc_quote_name(ctx, t->dtype), tlc_quote_name(ctx, t->name));
    s->bytes = t->data;
    s->n_elems = (int64_t)(t->n_bytes / (unsigned)s->elem->bytes);
    for (int i = 0; i < t->rank; ++i)
        w.dim[i] = t->dim[i];
    tlc_weight_set_contiguous(&w);
    TLC_TRY(tlc_weight_check(ctx, &w));
    TLC_PUSH(&ctx->arena, out->tensors, out->n, out->cap, w);
    return TLC_OK;
}

static tlc_status add_tensors(tlc_ctx *ctx, const tlb_safetensors *s, tlc_weights *out)
{
    tlc_status status = TLC_OK;
    for (size_t i = 0; i < s->n_tensors && !status; ++i)
        status = add_tensor(ctx, &s->tensors[i], out);
    return status;
}

/* What was parsed lies outside of the arena: exhaustion, which jumps, must not leave it behind. */
static tlc_status take_tensors(tlc_ctx *ctx, tlb_safetensors *s, tlc_weights *out)
{
    jmp_buf here, *outer = ctx->arena.on_exhausted;
    if (outer && setjmp(here) != 0) {
        tlb_safetensors_free(s);
        ctx->arena.on_exhausted = outer;
        longjmp(*outer, 1);
    }
    ctx->arena.on_exhausted = outer ? &here : NULL;
    tlc_status status = add_tensors(ctx, s, out);
    ctx->arena.on_exhausted = outer;
    tlb_safetensors_free(s);
    return status;
}

tlc_status tlc_read_safetensors(tlc_ctx *ctx, const tlc_file *file, tlc_weights *out)
{
    tlb_safetensors s;
    const char *what = "";
    tlc_status status =
        tlb_safetensors_parse(file->bytes, (size_t)file->n_bytes, &ctx->limits, &s, &what);
    if (status != TLC_OK)
        return tlc_fail(ctx, status, "E_SAFETENSORS", "%s", what);
    return take_tensors(ctx, &s, out);
}
