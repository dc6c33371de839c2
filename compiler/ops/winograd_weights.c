/* winograd_weights.c: u = G w G^T of every 3x3 filter of w, for the 4x4 tile: 6x6 numbers each.
 *
 * u is a state in the order its kernel reads, so infer holds its size alone: 36 numbers for
 * each pair of channels, both channel counts rounded up to blocks of 16.
 */
#include "op_infer.h"

#include <inttypes.h>

enum { TILE_ELEMS = 36, BLOCK = 16 };

static int64_t in_blocks(int64_t channels)
{
    return (channels + BLOCK - 1) / BLOCK * BLOCK;
}

static tlc_status infer(tlc_ctx *ctx, tlc_node *n)
{
    const tlc_value *u = n->in[0], *w = n->in[1];
    const tlc_shape *s = &w->shape;
    TLC_TRY(tlc_want_float(ctx, w, "w"));
    TLC_TRY(tlc_want_rank(ctx, w, 4, "w"));
    if (s->dim[2] != 3 || s->dim[3] != 3)
        return tlc_fail(ctx, TLC_E_MALFORMED, "E_SHAPE", "shape of w is %s, a 3x3 kernel wanted",
                        tlc_dims_text(ctx, s));
    TLC_TRY(tlc_want_type(ctx, u, w->type, "u"));
    if (u->kind != TLC_STATE)
        return tlc_fail(ctx, TLC_E_MALFORMED, "E_WRITES", "u is overwritten, a state wanted");
    int64_t want = TILE_ELEMS * in_blocks(s->dim[0]) * in_blocks(s->dim[1]);
    if (tlc_shape_elems(&u->shape) != want)
        return tlc_fail(ctx, TLC_E_MALFORMED, "E_SHAPE",
                        "shape of u is %s, %" PRId64 " elements wanted",
                        tlc_dims_text(ctx, &u->shape), want);
    return TLC_OK;
}

const tlc_op_def tlc_op_winograd_weights = { .infer = infer };
