/* winograd_weights.c: u = G w G^T of every 3x3 filter of w, for the 4x4 tile: 6x6 numbers each.
 *
 * u is a state [36,oc,ic] that conv2d reads in the place of w.  Its kernel lays it out in whole
 * blocks of 16 channels, so only such weights are transformed.
 */
#include "op_infer.h"

enum { BLOCK = 16 };

static tlc_status check_weight(tlc_ctx *ctx, const tlc_value *w)
{
    const tlc_shape *s = &w->shape;
    TLC_TRY(tlc_want_float(ctx, w, "w"));
    TLC_TRY(tlc_want_rank(ctx, w, 4, "w"));
    TLC_TRY(tlc_want_fixed(ctx, w, "w"));
    if (s->dim[2] != 3 || s->dim[3] != 3)
        return tlc_fail(ctx, TLC_E_MALFORMED, "E_SHAPE", "shape of w is %s, a 3x3 kernel wanted",
                        tlc_dims_text(ctx, s));
    if (s->dim[0] % BLOCK != 0 || s->dim[1] % BLOCK != 0)
        return tlc_fail(ctx, TLC_E_MALFORMED, "E_SHAPE",
                        "shape of w is %s, channels in blocks of %d wanted",
                        tlc_dims_text(ctx, s), BLOCK);
    return TLC_OK;
}

static tlc_status infer(tlc_ctx *ctx, tlc_node *n)
{
    const tlc_value *u = n->in[0], *w = n->in[1];
    TLC_TRY(check_weight(ctx, w));
    if (u->kind != TLC_STATE)
        return tlc_fail(ctx, TLC_E_MALFORMED, "E_WRITES", "u is overwritten, a state wanted");
    tlc_shape want = tlc_shape_make(
        3, (int64_t[]){ TLC_WINOGRAD_TILE, w->shape.dim[0], w->shape.dim[1] });
    TLC_TRY(tlc_want_type(ctx, u, w->type, "u"));
    return tlc_want_shape(ctx, u, &want, "u");
}

const tlc_op_def tlc_op_winograd_weights = { .infer = infer };
