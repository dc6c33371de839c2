/* kernels_cpu_winograd.c: rows of Winograd's kernels where the weight is trained. */
#include "kernels_cpu.h"

#include "tlk.h"

enum { POSITIONS = 36, GRAD_TILES = 24, GRAD_BLOCKS = 8, GRAD_ITEMS = 8 };

static int64_t div_up(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

/* --- the transformed weight ------------------------------------------------------- */

static bool serves_filter(const tlc_node *n)
{
    return n->in[0]->type == TLC_F32;
}

static void filter_layouts(const tlc_node *n, tlc_layout *in, tlc_layout *out)
{
    (void)n;
    in[0] = layout_of(TLC_OI16);
    out[0] = plain;
}

static void filter_literal(tlc_cwriter *w, const tlc_node *n)
{
    const int64_t *d = n->in[0]->shape.dim;
    tlc_w(w, "{ .oc = %" PRId64 ", .ic = %" PRId64 ", .flip = %s }", d[0], d[1],
          TLC_ATTRS(n, tlc_winograd_filter_attrs)->flip ? "true" : "false");
}

const tlc_kernel_fns tlc_kernel_fns_winograd_filter = {
    .serves = serves_filter,
    .layouts = filter_layouts,
    .literal = filter_literal,
};

/* --- the gradient by it ------------------------------------------------------------- */

static bool serves_grad_u(const tlc_node *n)
{
    return is_map(n->in[0]) && is_map(n->in[1]);
}

/* dy needs no halo: tiles are clipped at its edges, and so may be those of x. */
static void grad_u_layouts(const tlc_node *n, tlc_layout *in, tlc_layout *out)
{
    const tlc_winograd_grad_attrs *a = TLC_ATTRS(n, tlc_winograd_grad_attrs);
    in[0] = blocked;
    in[1] = blocked;
    for (int i = 0; i < 4; ++i)
        in[1].halo[i] = (int)a->pad.v[i];
    out[0] = plain;
}

static int64_t fewest(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t out_group(const tlc_node *n)
{
    return fewest(GRAD_BLOCKS, div_up(channels(n->in[0]), TLK_BLOCK));
}

/* Half as many where that leaves too few items; the pass counts with these. */
static int64_t in_group(const tlc_node *n)
{
    const int64_t out = div_up(channels(n->in[0]), TLK_BLOCK * GRAD_BLOCKS);
    const int64_t in = div_up(channels(n->in[1]), TLK_BLOCK * GRAD_BLOCKS);
    return fewest(out * in >= GRAD_ITEMS ? GRAD_BLOCKS : GRAD_BLOCKS / 2,
                  div_up(channels(n->in[1]), TLK_BLOCK));
}

static void grad_u_literal(tlc_cwriter *w, const tlc_node *n)
{
    const tlc_winograd_grad_attrs *a = TLC_ATTRS(n, tlc_winograd_grad_attrs);
    tlc_w(w, "{ .conv = { .ic = %" PRId64 ", .oc = %" PRId64 ", .groups = 1, .kh = 3, .kw = 3",
          channels(n->in[1]), channels(n->in[0]));
    tlc_w(w, ", .sh = 1, .sw = 1, .dh = 1, .dw = 1, .pad_top = %" PRId64 ", .pad_left = %" PRId64,
          a->pad.v[0], a->pad.v[1]);
    w_plane(w, "x", n->in[1]);
    w_plane(w, "y", n->in[0]);
    tlc_w(w, " }, .tiles = %d, .out_group = %" PRId64 ", .in_group = %" PRId64
          ", .parts = %" PRId64 " }", GRAD_TILES, out_group(n), in_group(n), a->parts);
}

/* See tlk_wino_step. */
static int64_t grad_u_scratch_bytes(const tlc_node *n)
{
    const int64_t lines = (GRAD_TILES * in_group(n) | 1) + (GRAD_TILES * out_group(n) | 1);
    return POSITIONS * lines * TLK_BLOCK * 4;
}

const tlc_kernel_fns tlc_kernel_fns_winograd_grad_u = {
    .serves = serves_grad_u,
    .layouts = grad_u_layouts,
    .literal = grad_u_literal,
    .scratch_bytes = grad_u_scratch_bytes,
};

static void grad_w_layouts(const tlc_node *n, tlc_layout *in, tlc_layout *out)
{
    (void)n;
    in[0] = plain;
    out[0] = layout_of(TLC_OI16);
}

static void w_grad(tlc_cwriter *w, const tlc_value *du)
{
    const int64_t *d = du->shape.dim;
    tlc_w(w, "{ .oc = %" PRId64 ", .ic = %" PRId64 ", .parts = %" PRId64 " }", d[2], d[3], d[0]);
}

static void grad_w_literal(tlc_cwriter *w, const tlc_node *n)
{
    w_grad(w, n->in[0]);
}

const tlc_kernel_fns tlc_kernel_fns_winograd_grad_w = {
    .serves = serves_filter,
    .layouts = grad_w_layouts,
    .literal = grad_w_literal,
};

/* --- the gradient by w, and the update at once ------------------------------------------ */

static void update_layouts(const tlc_node *n, tlc_layout *in, tlc_layout *out)
{
    (void)out;
    for (int i = 0; i < n->n_in - 1; ++i)
        in[i] = layout_of(TLC_OI16);
    in[n->n_in - 1] = plain;
}

static void w_update(tlc_cwriter *w, const tlc_node *n, const char *flag, bool set)
{
    tlc_w(w, "{ .grad = ");
    w_grad(w, n->in[n->n_in - 1]);
    tlc_w(w, ", .%s = %s }", flag, set ? "true" : "false");
}

static void adam_literal(tlc_cwriter *w, const tlc_node *n)
{
    w_update(w, n, "decoupled", TLC_ATTRS(n, tlc_adam_attrs)->decoupled);
}

const tlc_kernel_fns tlc_kernel_fns_winograd_adam = {
    .serves = serves_filter,
    .layouts = update_layouts,
    .literal = adam_literal,
};

static void sgd_literal(tlc_cwriter *w, const tlc_node *n)
{
    w_update(w, n, "nesterov", TLC_ATTRS(n, tlc_sgd_attrs)->nesterov);
}

const tlc_kernel_fns tlc_kernel_fns_winograd_sgd = {
    .serves = serves_filter,
    .layouts = update_layouts,
    .literal = sgd_literal,
};
