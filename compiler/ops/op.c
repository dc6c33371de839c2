/* op.c: the table of operators and what is asked of every operator alike. */
#include "op.h"

#include "op_infer.h"

#include <inttypes.h>
#include <string.h>

#define TLC_OP(name, NAME, lo, hi, results, traits, meaning) \
    extern const tlc_op_def tlc_op_##name;
#include "ops.def"
#undef TLC_OP

const tlc_op_row tlc_ops[TLC_OP_COUNT] = {
#define TLC_OP(name, NAME, lo, hi, results, traits, meaning) \
    [TLC_OP_##NAME] = { #name, meaning, lo, hi, results, traits, &tlc_op_##name },
#include "ops.def"
#undef TLC_OP
};

bool tlc_op_find(const char *name, size_t len, tlc_op *out)
{
    for (int i = 0; i < TLC_OP_COUNT; ++i)
        if (strlen(tlc_ops[i].name) == len && memcmp(tlc_ops[i].name, name, len) == 0) {
            *out = (tlc_op)i;
            return true;
        }
    return false;
}

static tlc_status check_operands(tlc_ctx *ctx, const tlc_node *n)
{
    const tlc_op_row *row = &tlc_ops[n->op];
    if (n->n_in < row->fewest || n->n_in > row->most)
        return tlc_fail(ctx, TLC_E_MALFORMED, "E_OPERANDS", "%s has %d operands, %s %d", row->name,
                        n->n_in, n->n_in < row->fewest ? "at least" : "at most",
                        n->n_in < row->fewest ? row->fewest : row->most);
    for (int i = 0; i < row->fewest; ++i)
        if (!n->in[i])
            return tlc_fail(ctx, TLC_E_MALFORMED, "E_OPERANDS", "operand %d of %s is absent", i,
                            row->name);
    return TLC_OK;
}

tlc_status tlc_node_infer(tlc_ctx *ctx, tlc_node *n)
{
    const tlc_op_row *row = &tlc_ops[n->op];
    TLC_TRY(check_operands(ctx, n));
    TLC_TRY(tlc_attrs_check(ctx, n->op, n->attrs));
    TLC_TRY(row->def->infer(ctx, n));
    for (int i = 0; i < n->n_out; ++i) {
        n->out[i]->layout = (tlc_layout){ .kind = TLC_PLAIN };
        TLC_TRY(tlc_check_shape(ctx, &n->out[i]->shape,
                                tlc_arena_printf(&ctx->arena, "result of %s", row->name)));
    }
    return TLC_OK;
}

int64_t tlc_multiply_adds(const tlc_node *n)
{
    const tlc_op_def *def = tlc_ops[n->op].def;
    return def->cost ? def->cost(n) : 0;
}

/* How far the last element of the kernel lies from its first, plus one. */
static tlc_status window_reach(tlc_ctx *ctx, int64_t kernel, int64_t dilation, int64_t *out)
{
    int64_t reach;
    if (kernel < 1)
        return tlc_fail(ctx, TLC_E_MALFORMED, "E_KERNEL", "kernel is %" PRId64 ", at least 1",
                        kernel);
    if (__builtin_mul_overflow(kernel - 1, dilation, &reach) ||
        __builtin_add_overflow(reach, 1, &reach))
        return tlc_fail(ctx, TLC_E_MALFORMED, "E_KERNEL",
                        "kernel %" PRId64 " by dilation %" PRId64 ": size overflows", kernel,
                        dilation);
    *out = reach;
    return TLC_OK;
}

tlc_status tlc_window_extent(tlc_ctx *ctx, int64_t in, int64_t kernel, int64_t stride,
                             int64_t dilation, int64_t pad_begin, int64_t pad_end, bool ceil_mode,
                             int64_t *out)
{
    int64_t reach = 0, padded;
    TLC_TRY(window_reach(ctx, kernel, dilation, &reach));
    if (__builtin_add_overflow(in, pad_begin, &padded) ||
        __builtin_add_overflow(padded, pad_end, &padded))
        return tlc_fail(ctx, TLC_E_MALFORMED, "E_KERNEL", "padded input: size overflows");
    if (reach > padded)
        return tlc_fail(ctx, TLC_E_MALFORMED, "E_KERNEL",
                        "kernel reaches over %" PRId64 ", padded input is %" PRId64, reach,
                        padded);
    int64_t room = padded - reach, steps = room / stride;
    /* A window that would start in the padding after the input is dropped, as PyTorch does. */
    if (ceil_mode && room % stride != 0 && (steps + 1) * stride < in + pad_begin)
        ++steps;
    *out = steps + 1;
    return TLC_OK;
}
