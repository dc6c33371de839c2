/* pool2d.c: maximum and mean of windows.
 *
 * A window lies at least partly on the input: pads are smaller than the kernel, and in ceil
 * mode a window that would start after the input is dropped (tlc_window_extent).
 */
#include "op_attrs.h"
#include "op_infer.h"

#include <inttypes.h>

#define POOL_ROWS                                                                  \
    TLC_ATTR_INTS_ROW(tlc_pool2d_attrs, kernel, 1, TLC_ATTR_MOST, 2, NULL),        \
    TLC_ATTR_INTS_ROW(tlc_pool2d_attrs, stride, 1, TLC_ATTR_MOST, 2, "[1,1]"),     \
    TLC_ATTR_INTS_ROW(tlc_pool2d_attrs, pad, 0, TLC_ATTR_MOST, 4, "[0,0,0,0]"),    \
    TLC_ATTR_INTS_ROW(tlc_pool2d_attrs, dilation, 1, TLC_ATTR_MOST, 2, "[1,1]"),   \
    TLC_ATTR_BOOL_ROW(tlc_pool2d_attrs, ceil_mode, "false")

static const tlc_attr_def max_attrs[] = { POOL_ROWS, TLC_ATTR_END };
static const tlc_attr_def avg_attrs[] = {
    POOL_ROWS,
    TLC_ATTR_BOOL_ROW(tlc_pool2d_attrs, count_include_pad, "false"),
    TLC_ATTR_END
};

/* After tlc_window_extent, so the reach of the kernel does not overflow. */
static tlc_status check_pads(tlc_ctx *ctx, const tlc_pool2d_attrs *a)
{
    for (int i = 0; i < 4; ++i) {
        int64_t reach = (a->kernel.v[i % 2] - 1) * a->dilation.v[i % 2] + 1;
        if (a->pad.v[i] >= reach)
            return tlc_fail(ctx, TLC_E_MALFORMED, "E_ATTR",
                            "pad[%d] is %" PRId64 ", less than the kernel's %" PRId64 " wanted", i,
                            a->pad.v[i], reach);
    }
    return TLC_OK;
}

static tlc_status infer(tlc_ctx *ctx, tlc_node *n)
{
    const tlc_pool2d_attrs *a = n->attrs;
    tlc_shape s = n->in[0]->shape;
    TLC_TRY(tlc_want_float(ctx, n->in[0], "x"));
    TLC_TRY(tlc_want_rank(ctx, n->in[0], 4, "x"));
    for (int i = 0; i < 2; ++i)
        TLC_TRY(tlc_window_extent(ctx, s.dim[2 + i], a->kernel.v[i], a->stride.v[i],
                                  a->dilation.v[i], a->pad.v[i], a->pad.v[2 + i], a->ceil_mode,
                                  &s.dim[2 + i]));
    TLC_TRY(check_pads(ctx, a));
    tlc_set_result(n, n->in[0]->type, s);
    return TLC_OK;
}

const tlc_op_def tlc_op_max_pool2d = {
    .attrs = max_attrs,
    .attrs_size = sizeof(tlc_pool2d_attrs),
    .infer = infer,
};

const tlc_op_def tlc_op_avg_pool2d = {
    .attrs = avg_attrs,
    .attrs_size = sizeof(tlc_pool2d_attrs),
    .infer = infer,
};
