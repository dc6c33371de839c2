/* kernels_cpu.c: rows of the tuned CPU kernels: what each serves, its layouts, its literals.
 *
 * Activations between them are blocked by 16 channels (C16); where a convolution wants a halo it
 * asks for what its padding and its last window touch.  `literal` reads the planes from the
 * values' layouts, which assign_layouts has settled by then.  Choice goes by shape alone.
 */
#include "kernels_cpu.h"

/* --- convolution ---------------------------------------------------------------- */

/* Extent of the kernel; a Winograd convolution's weight has been transformed (rank 3). */
static int64_t kernel_extent(const tlc_node *n, int axis)
{
    const tlc_shape *s = &n->in[1]->shape;
    return s->rank == 4 ? s->dim[2 + axis] : 3;
}

/* Zeros that axis 0 (rows) or 1 (columns) of the input needs: before it, and after it for the
 * last window. */
static void conv2d_halo(const tlc_node *n, int axis, int *before, int *after)
{
    const tlc_conv2d_attrs *a = TLC_ATTRS(n, tlc_conv2d_attrs);
    const int64_t window = (kernel_extent(n, axis) - 1) * a->dilation.v[axis] + 1;
    const int64_t last = (n->out[0]->shape.dim[2 + axis] - 1) * a->stride.v[axis] + window;
    const int64_t beyond = last - a->pad.v[axis] - n->in[0]->shape.dim[2 + axis];
    *before = (int)a->pad.v[axis];
    *after = beyond > 0 ? (int)beyond : 0;
}

static void conv2d_layouts_of(const tlc_node *n, tlc_layout_kind x, tlc_layout_kind weight,
                              tlc_layout *in, tlc_layout *out)
{
    in[0] = layout_of(x);
    conv2d_halo(n, 0, &in[0].halo[0], &in[0].halo[2]);
    conv2d_halo(n, 1, &in[0].halo[1], &in[0].halo[3]);
    in[1] = layout_of(weight);
    for (int i = 2; i < n->n_in; ++i)
        in[i] = blocked;
    out[0] = blocked;
}

static bool serves_conv2d(const tlc_node *n)
{
    return is_map(n->in[0]) && is_map(n->out[0]) && n->in[1]->shape.rank == 4;
}

static void conv2d_literal(tlc_cwriter *w, const tlc_node *n)
{
    const tlc_conv2d_attrs *a = TLC_ATTRS(n, tlc_conv2d_attrs);
    const tlc_value *r = n->n_in > 3 ? n->in[3] : NULL;
    tlc_w(w, "{ .ic = %" PRId64 ", .oc = %" PRId64 ", .groups = %" PRId64,
          channels(n->in[0]), channels(n->out[0]), a->groups);
    tlc_w(w, ", .kh = %" PRId64 ", .kw = %" PRId64, kernel_extent(n, 0), kernel_extent(n, 1));
    tlc_w(w, ", .sh = %" PRId64 ", .sw = %" PRId64 ", .dh = %" PRId64 ", .dw = %" PRId64,
          a->stride.v[0], a->stride.v[1], a->dilation.v[0], a->dilation.v[1]);
    tlc_w(w, ", .pad_top = %" PRId64 ", .pad_left = %" PRId64, a->pad.v[0], a->pad.v[1]);
    w_plane(w, "x", n->in[0]);
    w_plane(w, "y", n->out[0]);
    if (r)
        w_plane(w, "r", r);
    w_act(w, a->act, a->lo, a->hi);
    tlc_w(w, " }");
}

static bool serves_stem(const tlc_node *n)
{
    return serves_conv2d(n) && TLC_ATTRS(n, tlc_conv2d_attrs)->groups == 1 &&
           channels(n->in[0]) <= STEM_CHANNELS;
}

/* Groups are whole blocks, or there is one. */
static bool serves_direct(const tlc_node *n)
{
    const int64_t groups = TLC_ATTRS(n, tlc_conv2d_attrs)->groups;
    if (!serves_conv2d(n) || serves_stem(n))
        return false;
    return groups == 1 || (n->in[1]->shape.dim[1] % TLK_BLOCK == 0 &&
                           channels(n->out[0]) / groups % TLK_BLOCK == 0);
}

static void direct_layouts(const tlc_node *n, tlc_layout *in, tlc_layout *out)
{
    conv2d_layouts_of(n, TLC_C16, TLC_OI16, in, out);
}

const tlc_kernel_fns tlc_kernel_fns_conv2d_direct = {
    .serves = serves_direct,
    .layouts = direct_layouts,
    .literal = conv2d_literal,
};

static void stem_layouts(const tlc_node *n, tlc_layout *in, tlc_layout *out)
{
    conv2d_layouts_of(n, TLC_PLAIN, TLC_STEM16, in, out);
}

const tlc_kernel_fns tlc_kernel_fns_conv2d_stem = {
    .serves = serves_stem,
    .layouts = stem_layouts,
    .literal = conv2d_literal,
};

static bool serves_depthwise(const tlc_node *n)
{
    const int64_t groups = TLC_ATTRS(n, tlc_conv2d_attrs)->groups;
    return serves_conv2d(n) && groups > 1 && channels(n->in[0]) == groups &&
           channels(n->out[0]) == groups;
}

static void depthwise_layouts(const tlc_node *n, tlc_layout *in, tlc_layout *out)
{
    conv2d_layouts_of(n, TLC_C16, TLC_DW16, in, out);
}

const tlc_kernel_fns tlc_kernel_fns_conv2d_depthwise = {
    .serves = serves_depthwise,
    .layouts = depthwise_layouts,
    .literal = conv2d_literal,
};

/* Winograd's cut, as measured with 512 KiB and 1 MiB of second-level cache.  Every chunk reads U
 * once, from the third level or from memory, so a chunk is large even where its V outgrows the
 * second level: it is read in order (256@14, one picture: 225 % of the peak of direct multiply-adds
 * with 18 tiles, 195 with 6).  Eight blocks an item if a picture still makes four items. */
enum {
    WINO_POS = 36,
    WINO_V_BYTES = 256 << 10,
    WINO_TILES = 18,        /* of a chunk: a multiple of TLK_PIX */
    WINO_TILES_ACROSS = 36, /* of one that goes on from picture to picture and has a large V */
    WINO_LEAST_TILES = 9,   /* of a picture: 512@7 has 4, and direct is faster */
    WINO_ITEMS = 4
};

static int64_t padded(int64_t count)
{
    return (count + TLK_BLOCK - 1) / TLK_BLOCK * TLK_BLOCK;
}

static int64_t winograd_picture_tiles(const tlc_node *n)
{
    const int64_t *y = n->out[0]->shape.dim;
    return (y[2] + 3) / 4 * ((y[3] + 3) / 4);
}

/* Where the step makes the weight there are many pictures: chunks go across them. */
static bool goes_across(const tlc_node *n)
{
    return n->in[1]->kind == TLC_RESULT;
}

/* Tiles of a chunk. */
static int64_t winograd_tiles(const tlc_node *n)
{
    const int64_t v_bytes = WINO_POS * padded(channels(n->in[0])) * 4 * WINO_TILES;
    return goes_across(n) && v_bytes > WINO_V_BYTES ? WINO_TILES_ACROSS : WINO_TILES;
}

/* Output blocks of an item. */
static int64_t winograd_group(const tlc_node *n)
{
    const int64_t tiles = winograd_tiles(n), blocks = padded(channels(n->out[0])) / TLK_BLOCK;
    const int64_t chunks = (winograd_picture_tiles(n) + tiles - 1) / tiles;
    const bool many = goes_across(n) || chunks * ((blocks + 7) / 8) >= WINO_ITEMS;
    const int64_t group = many ? 8 : 4;
    return group < blocks ? group : blocks;
}

/* A trained weight needs its U again each step: the pass winograd sees to that. */
static bool serves_winograd(const tlc_node *n)
{
    const tlc_conv2d_attrs *a = TLC_ATTRS(n, tlc_conv2d_attrs);
    const tlc_value *w = n->in[1];
    if (!is_map(n->in[0]) || !is_map(n->out[0]))
        return false;
    if (w->shape.rank == 3) /* transformed: chosen before */
        return true;
    return w->kind == TLC_CONST && w->shape.rank == 4 && w->shape.dim[2] == 3 &&
           w->shape.dim[3] == 3 && a->groups == 1 && a->stride.v[0] == 1 &&
           a->stride.v[1] == 1 && a->dilation.v[0] == 1 && a->dilation.v[1] == 1 &&
           channels(n->in[0]) % TLK_BLOCK == 0 && channels(n->out[0]) % TLK_BLOCK == 0 &&
           winograd_picture_tiles(n) >= WINO_LEAST_TILES;
}

static void winograd_layouts(const tlc_node *n, tlc_layout *in, tlc_layout *out)
{
    conv2d_layouts_of(n, TLC_C16, TLC_PLAIN, in, out);
}

static void winograd_literal(tlc_cwriter *w, const tlc_node *n)
{
    tlc_w(w, "{ .conv = ");
    conv2d_literal(w, n);
    tlc_w(w, ", .tiles = %" PRId64 ", .group = %" PRId64 ", .across = %s }", winograd_tiles(n),
          winograd_group(n), goes_across(n) ? "true" : "false");
}

/* V and M of a chunk: see tlk_wino_step. */
static int64_t winograd_scratch_bytes(const tlc_node *n)
{
    const int64_t blocks = padded(channels(n->in[0])) / TLK_BLOCK, tiles = winograd_tiles(n);
    const int64_t lines = (tiles * blocks | 1) + winograd_group(n) * (tiles | 1);
    return WINO_POS * lines * TLK_BLOCK * 4;
}

const tlc_kernel_fns tlc_kernel_fns_conv2d_winograd = {
    .serves = serves_winograd,
    .layouts = winograd_layouts,
    .literal = winograd_literal,
    .scratch_bytes = winograd_scratch_bytes,
};

static bool serves_winograd_weights(const tlc_node *n)
{
    return n->in[1]->type == TLC_F32;
}

static void winograd_weights_layouts(const tlc_node *n, tlc_layout *in, tlc_layout *out)
{
    (void)n;
    (void)out;
    in[0] = plain;
    in[1] = plain;
}

static void winograd_weights_literal(tlc_cwriter *w, const tlc_node *n)
{
    const int64_t *s = n->in[1]->shape.dim;
    tlc_w(w, "{ .oc = %" PRId64 ", .ic = %" PRId64 " }", s[0], s[1]);
}

const tlc_kernel_fns tlc_kernel_fns_winograd_weights = {
    .serves = serves_winograd_weights,
    .layouts = winograd_weights_layouts,
    .literal = winograd_weights_literal,
};

/* --- linear ----------------------------------------------------------------------- */

static bool is_row(const tlc_value *v)
{
    return is_batch(v) && v->shape.rank == 2;
}

static bool serves_linear(const tlc_node *n)
{
    return is_row(n->in[0]) && n->in[1]->shape.rank == 2;
}

static void linear_layouts(const tlc_node *n, tlc_layout *in, tlc_layout *out)
{
    in[0] = plain;
    in[1] = layout_of(TLC_LIN16);
    if (n->n_in > 2)
        in[2] = blocked;
    out[0] = plain;
}

/* `weight` is [out, in]. */
static void w_in_out(tlc_cwriter *w, const tlc_value *weight)
{
    tlc_w(w, "{ .in = %" PRId64 ", .out = %" PRId64, weight->shape.dim[1], weight->shape.dim[0]);
}

static void linear_literal(tlc_cwriter *w, const tlc_node *n)
{
    const tlc_linear_attrs *a = TLC_ATTRS(n, tlc_linear_attrs);
    w_in_out(w, n->in[1]);
    w_act(w, a->act, a->lo, a->hi);
    tlc_w(w, " }");
}

const tlc_kernel_fns tlc_kernel_fns_linear_packed = {
    .serves = serves_linear,
    .layouts = linear_layouts,
    .literal = linear_literal,
};

static void grad_x_literal(tlc_cwriter *w, const tlc_node *n)
{
    w_in_out(w, n->in[1]);
    tlc_w(w, " }");
}

const tlc_kernel_fns tlc_kernel_fns_linear_grad_x_packed = {
    .serves = serves_linear,
    .layouts = linear_layouts,
    .literal = grad_x_literal,
};

/* --- linear, by OpenBLAS ------------------------------------------------------------ */

enum { /* as in kernels/cpu/tlk_linear_blas.h */
    BLAS_PICTURES = 8,
    BLAS_IN = 512,
    BLAS_LEAST = 1 << 18 /* weights of a layer for which a call of OpenBLAS pays */
};

static bool serves_blas(const tlc_node *n)
{
    return serves_linear(n) && tlc_shape_elems(&n->in[1]->shape) >= BLAS_LEAST;
}

static int64_t blas_scratch_bytes(const tlc_node *n)
{
    return n->in[1]->shape.dim[1] * BLAS_PICTURES * (int64_t)sizeof(float);
}

static int64_t grad_x_blas_scratch_bytes(const tlc_node *n)
{
    const int64_t outputs = (n->in[1]->shape.dim[0] + TLK_BLOCK - 1) / TLK_BLOCK * TLK_BLOCK;
    return (outputs + BLAS_IN) * BLAS_PICTURES * (int64_t)sizeof(float);
}

const tlc_kernel_fns tlc_kernel_fns_linear_blas = {
    .serves = serves_blas,
    .layouts = linear_layouts,
    .literal = linear_literal,
    .scratch_bytes = blas_scratch_bytes,
};

const tlc_kernel_fns tlc_kernel_fns_linear_grad_x_blas = {
    .serves = serves_blas,
    .layouts = linear_layouts,
    .literal = grad_x_literal,
    .scratch_bytes = grad_x_blas_scratch_bytes,
};

/* --- linear, update ----------------------------------------------------------------- */

/* The gradient alone, where it is kept: dy [n,out], x [n,in]. */
static bool serves_grad_w(const tlc_node *n)
{
    return n->out[0]->type == TLC_F32 && is_row(n->in[0]) && is_row(n->in[1]);
}

static void grad_w_layouts(const tlc_node *n, tlc_layout *in, tlc_layout *out)
{
    (void)n;
    in[0] = in[1] = plain;
    out[0] = layout_of(TLC_LIN16);
}

static void grad_w_literal(tlc_cwriter *w, const tlc_node *n)
{
    w_in_out(w, n->out[0]);
    tlc_w(w, " }");
}

const tlc_kernel_fns tlc_kernel_fns_linear_grad_w_packed = {
    .serves = serves_grad_w,
    .layouts = grad_w_layouts,
    .literal = grad_w_literal,
};

/* Operands: the arrays that are updated (w first), then dy and x. */
static bool serves_update(const tlc_node *n)
{
    return n->in[0]->type == TLC_F32 && n->in[0]->shape.rank == 2 && is_row(n->in[n->n_in - 2]) &&
           is_row(n->in[n->n_in - 1]);
}

static void update_layouts(const tlc_node *n, tlc_layout *in, tlc_layout *out)
{
    (void)out;
    for (int i = 0; i < n->n_in; ++i)
        in[i] = i < n->n_in - 2 ? layout_of(TLC_LIN16) : plain;
}

static void adam_literal(tlc_cwriter *w, const tlc_node *n)
{
    w_in_out(w, n->in[0]);
    tlc_w(w, ", .decoupled = %s }", TLC_ATTRS(n, tlc_adam_attrs)->decoupled ? "true" : "false");
}

static void sgd_literal(tlc_cwriter *w, const tlc_node *n)
{
    w_in_out(w, n->in[0]);
    tlc_w(w, ", .nesterov = %s }", TLC_ATTRS(n, tlc_sgd_attrs)->nesterov ? "true" : "false");
}

const tlc_kernel_fns tlc_kernel_fns_linear_adam_packed = {
    .serves = serves_update,
    .layouts = update_layouts,
    .literal = adam_literal,
};

const tlc_kernel_fns tlc_kernel_fns_linear_sgd_packed = {
    .serves = serves_update,
    .layouts = update_layouts,
    .literal = sgd_literal,
};

/* --- pooling, mean ------------------------------------------------------------------ */

static bool serves_map(const tlc_node *n)
{
    return is_map(n->in[0]) && is_map(n->out[0]);
}

static void blocked_layouts(const tlc_node *n, tlc_layout *in, tlc_layout *out)
{
    for (int i = 0; i < n->n_in; ++i)
        in[i] = blocked;
    out[0] = blocked;
}

static void pool2d_literal(tlc_cwriter *w, const tlc_node *n)
{
    const tlc_pool2d_attrs *a = TLC_ATTRS(n, tlc_pool2d_attrs);
    tlc_w(w, "{ .c = %" PRId64 ", .kh = %" PRId64 ", .kw = %" PRId64, channels(n->in[0]),
          a->kernel.v[0], a->kernel.v[1]);
    tlc_w(w, ", .sh = %" PRId64 ", .sw = %" PRId64 ", .dh = %" PRId64 ", .dw = %" PRId64,
          a->stride.v[0], a->stride.v[1], a->dilation.v[0], a->dilation.v[1]);
    tlc_w(w, ", .pad_top = %" PRId64 ", .pad_left = %" PRId64 ", .pad_bottom = %" PRId64
          ", .pad_right = %" PRId64, a->pad.v[0], a->pad.v[1], a->pad.v[2], a->pad.v[3]);
    tlc_w(w, ", .count_include_pad = %s", a->count_include_pad ? "true" : "false");
    w_plane(w, "x", n->in[0]);
    w_plane(w, "y", n->out[0]);
    tlc_w(w, " }");
}

const tlc_kernel_fns tlc_kernel_fns_max_pool2d_c16 = {
    .serves = serves_map,
    .layouts = blocked_layouts,
    .literal = pool2d_literal,
};

const tlc_kernel_fns tlc_kernel_fns_avg_pool2d_c16 = {
    .serves = serves_map,
    .layouts = blocked_layouts,
    .literal = pool2d_literal,
};

static bool serves_mean(const tlc_node *n)
{
    const tlc_ints *axes = &TLC_ATTRS(n, tlc_axes_attrs)->axes;
    return is_map(n->in[0]) && axes->n == 2 && axes->v[0] + axes->v[1] == 5 &&
           (axes->v[0] == 2 || axes->v[0] == 3);
}

static void mean_layouts(const tlc_node *n, tlc_layout *in, tlc_layout *out)
{
    (void)n;
    in[0] = blocked;
    out[0] = plain;
}

static void mean_literal(tlc_cwriter *w, const tlc_node *n)
{
    tlc_w(w, "{ .c = %" PRId64, channels(n->in[0]));
    w_plane(w, "x", n->in[0]);
    tlc_w(w, " }");
}

const tlc_kernel_fns tlc_kernel_fns_mean_c16 = {
    .serves = serves_mean,
    .layouts = mean_layouts,
    .literal = mean_literal,
};

/* --- elementwise, padding, relayout ----------------------------------------------------- */

static bool serves_add(const tlc_node *n)
{
    return is_map(n->in[0]) && is_map(n->in[1]) &&
           tlc_shape_equal(&n->in[0]->shape, &n->in[1]->shape);
}

static void add_literal(tlc_cwriter *w, const tlc_node *n)
{
    tlc_w(w, "{ .c = %" PRId64, channels(n->out[0]));
    w_plane(w, "a", n->in[0]);
    w_plane(w, "b", n->in[1]);
    w_plane(w, "y", n->out[0]);
    tlc_w(w, " }");
}

const tlc_kernel_fns tlc_kernel_fns_add_c16 = {
    .serves = serves_add,
    .layouts = blocked_layouts,
    .literal = add_literal,
};

static void act_literal(tlc_cwriter *w, const tlc_node *n)
{
    tlc_w(w, "{ .c = %" PRId64, channels(n->in[0]));
    w_plane(w, "x", n->in[0]);
    w_plane(w, "y", n->out[0]);
    if (n->op == TLC_OP_RELU)
        w_act(w, TLC_ACT_RELU, 0, 0);
    else
        w_act(w, TLC_ACT_CLIP, TLC_ATTRS(n, tlc_clip_attrs)->lo, TLC_ATTRS(n, tlc_clip_attrs)->hi);
    tlc_w(w, " }");
}

const tlc_kernel_fns tlc_kernel_fns_act_c16 = {
    .serves = serves_map,
    .layouts = blocked_layouts,
    .literal = act_literal,
};

/* Borders around planes; nothing cut off, no channels or pictures added. */
static bool serves_pad(const tlc_node *n)
{
    const int64_t *p = TLC_ATTRS(n, tlc_pad_attrs)->pads.v;
    return serves_map(n) && p[0] == 0 && p[1] == 0 && p[4] == 0 && p[5] == 0 && p[2] >= 0 &&
           p[3] >= 0 && p[6] >= 0 && p[7] >= 0;
}

static void pad_literal(tlc_cwriter *w, const tlc_node *n)
{
    const tlc_pad_attrs *a = TLC_ATTRS(n, tlc_pad_attrs);
    tlc_w(w, "{ .c = %" PRId64 ", .top = %" PRId64 ", .left = %" PRId64, channels(n->in[0]),
          a->pads.v[2], a->pads.v[3]);
    w_number(w, "value", a->value);
    w_plane(w, "x", n->in[0]);
    w_plane(w, "y", n->out[0]);
    tlc_w(w, " }");
}

const tlc_kernel_fns tlc_kernel_fns_pad_c16 = {
    .serves = serves_pad,
    .layouts = blocked_layouts,
    .literal = pad_literal,
};

/* Maps and rows, plain or blocked; assign_layouts decides both sides. */
static bool serves_relayout(const tlc_node *n)
{
    return is_map(n->in[0]) || is_row(n->in[0]);
}

static void relayout_layouts(const tlc_node *n, tlc_layout *in, tlc_layout *out)
{
    in[0] = n->in[0]->layout;
    out[0] = n->out[0]->layout;
}

static void relayout_literal(tlc_cwriter *w, const tlc_node *n)
{
    tlc_w(w, "{ .c = %" PRId64 ", .x_blocked = %s, .y_blocked = %s", channels(n->in[0]),
          n->in[0]->layout.kind == TLC_C16 ? "true" : "false",
          n->out[0]->layout.kind == TLC_C16 ? "true" : "false");
    w_plane(w, "x", n->in[0]);
    w_plane(w, "y", n->out[0]);
    tlc_w(w, " }");
}

static bool is_packed(const tlc_value *v)
{
    return v->layout.kind != TLC_PLAIN && v->layout.kind != TLC_C16;
}

static bool serves_relayout_weight(const tlc_node *n)
{
    return is_packed(n->in[0]) != is_packed(n->out[0]) && n->in[0]->shape.rank >= 2;
}

static void relayout_weight_literal(tlc_cwriter *w, const tlc_node *n)
{
    const tlc_shape *s = &n->in[0]->shape;
    const bool pack = is_packed(n->out[0]);
    const tlc_value *packed = pack ? n->out[0] : n->in[0];
    int64_t taps = s->rank == 4 ? s->dim[2] * s->dim[3] : 1;
    tlc_w(w, "{ .oc = %" PRId64 ", .ic = %" PRId64 ", .taps = %" PRId64 ", .group = %" PRId64
          ", .pack = %s }", s->dim[0], s->dim[1], taps,
          packed->layout.kind == TLC_OI16 ? TLK_BLOCK : s->dim[1], pack ? "true" : "false");
}

const tlc_kernel_fns tlc_kernel_fns_relayout_weight = {
    .serves = serves_relayout_weight,
    .layouts = relayout_layouts,
    .literal = relayout_weight_literal,
};

const tlc_kernel_fns tlc_kernel_fns_relayout = {
    .serves = serves_relayout,
    .layouts = relayout_layouts,
    .literal = relayout_literal,
};
