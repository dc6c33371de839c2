/* kernels_cpu_grad.c: rows of the CPU kernels that training a convolutional network adds.
 *
 * Gradients lie as the values they belong to: activations in C16, weights as the convolution reads
 * them, so that an update is a sweep over a parameter as it is stored.
 */
#include "kernels_cpu.h"

/* --- gradients of a convolution --------------------------------------------------- */

/* A gradient's convolution: x and w are operand or result. */
typedef struct grad_of {
    const tlc_value *x, *w, *dy;
    const tlc_conv2d_grad_attrs *a;
} grad_of;

static grad_of by_x(const tlc_node *n)
{
    return (grad_of){ n->out[0], n->in[1], n->in[0], TLC_ATTRS(n, tlc_conv2d_grad_attrs) };
}

static grad_of by_w(const tlc_node *n)
{
    return (grad_of){ n->in[1], n->out[0], n->in[0], TLC_ATTRS(n, tlc_conv2d_grad_attrs) };
}

/* Joined to an update: w first, dy and x last. */
static grad_of of_update(const tlc_node *n)
{
    return (grad_of){ n->in[n->n_in - 1], n->in[0], n->in[n->n_in - 2],
                      TLC_ATTRS(n, tlc_conv2d_grad_attrs) };
}

static void w_conv2d(tlc_cwriter *w, grad_of g)
{
    const tlc_conv2d_grad_attrs *a = g.a;
    tlc_w(w, "{ .ic = %" PRId64 ", .oc = %" PRId64 ", .groups = %" PRId64, channels(g.x),
          channels(g.dy), a->groups);
    tlc_w(w, ", .kh = %" PRId64 ", .kw = %" PRId64, g.w->shape.dim[2], g.w->shape.dim[3]);
    tlc_w(w, ", .sh = %" PRId64 ", .sw = %" PRId64 ", .dh = %" PRId64 ", .dw = %" PRId64,
          a->stride.v[0], a->stride.v[1], a->dilation.v[0], a->dilation.v[1]);
    tlc_w(w, ", .pad_top = %" PRId64 ", .pad_left = %" PRId64, a->pad.v[0], a->pad.v[1]);
    w_plane(w, "x", g.x);
    w_plane(w, "y", g.dy);
    tlc_w(w, " }");
}

static bool serves_maps(grad_of g)
{
    return is_map(g.x) && is_map(g.dy) && g.w->shape.rank == 4 && g.w->type == TLC_F32;
}

/* Groups are whole blocks, or there is one. */
static bool is_dense(grad_of g)
{
    const int64_t groups = g.a->groups;
    return groups == 1 || (g.w->shape.dim[1] % TLK_BLOCK == 0 &&
                           channels(g.dy) / groups % TLK_BLOCK == 0);
}

static bool is_depthwise(grad_of g)
{
    return g.a->groups > 1 && channels(g.x) == g.a->groups && channels(g.dy) == g.a->groups;
}

/* By x: what pixels of dx read of dy before its first and behind its last. */
static void reach_of_dy(grad_of g, int axis, int *before, int *after)
{
    const int64_t stride = g.a->stride.v[axis], extent = g.x->shape.dim[2 + axis];
    int64_t least = 0, most = 0;
    for (int64_t r = 0; r < stride && r < extent; ++r)
        for (int64_t k = 0; k < g.w->shape.dim[2 + axis]; ++k) {
            const int64_t reach = r + g.a->pad.v[axis] - k * g.a->dilation.v[axis];
            const int64_t last = (extent - 1 - r) / stride + reach / stride;
            if (reach % stride != 0)
                continue;
            least = reach / stride < least ? reach / stride : least;
            most = last > most ? last : most;
        }
    const int64_t beyond = most - (g.dy->shape.dim[2 + axis] - 1);
    *before = (int)-least;
    *after = beyond > 0 ? (int)beyond : 0;
}

static void grad_x_layouts(const tlc_node *n, tlc_layout_kind weight, tlc_layout *in,
                           tlc_layout *out)
{
    in[0] = blocked;
    reach_of_dy(by_x(n), 0, &in[0].halo[0], &in[0].halo[2]);
    reach_of_dy(by_x(n), 1, &in[0].halo[1], &in[0].halo[3]);
    in[1] = layout_of(weight);
    out[0] = blocked;
}

static void conv2d_grad_x_literal(tlc_cwriter *w, const tlc_node *n)
{
    w_conv2d(w, by_x(n));
}

/* The convolution of few channels keeps its weight in another layout. */
static bool is_stem(grad_of g)
{
    return g.a->groups == 1 && channels(g.x) <= STEM_CHANNELS;
}

static bool serves_grad_x_direct(const tlc_node *n)
{
    return serves_maps(by_x(n)) && is_dense(by_x(n)) && !is_stem(by_x(n));
}

static void grad_x_direct_layouts(const tlc_node *n, tlc_layout *in, tlc_layout *out)
{
    grad_x_layouts(n, TLC_OI16, in, out);
}

/* Two blocks of input channels at most: see tlk_conv2d_grad_x.h. */
static int64_t grad_x_scratch_bytes(const tlc_node *n)
{
    const grad_of g = by_x(n);
    const int64_t oc = channels(g.dy) / g.a->groups;
    const int64_t blocks = TLK_TILE_BLOCKS * ((oc + TLK_BLOCK - 1) / TLK_BLOCK);
    return blocks * TLK_BLOCK * TLK_BLOCK * g.w->shape.dim[2] * g.w->shape.dim[3] * 4;
}

const tlc_kernel_fns tlc_kernel_fns_conv2d_grad_x_direct = {
    .serves = serves_grad_x_direct,
    .layouts = grad_x_direct_layouts,
    .literal = conv2d_grad_x_literal,
    .scratch_bytes = grad_x_scratch_bytes,
};

static bool serves_grad_x_depthwise(const tlc_node *n)
{
    return serves_maps(by_x(n)) && is_depthwise(by_x(n));
}

static void grad_x_depthwise_layouts(const tlc_node *n, tlc_layout *in, tlc_layout *out)
{
    grad_x_layouts(n, TLC_DW16, in, out);
}

const tlc_kernel_fns tlc_kernel_fns_conv2d_grad_x_depthwise = {
    .serves = serves_grad_x_depthwise,
    .layouts = grad_x_depthwise_layouts,
    .literal = conv2d_grad_x_literal,
};

/* --- by the weight ------------------------------------------------------------------ */

/* The halo of x that the convolution itself asks for. */
static void window_halo(grad_of g, int axis, int *before, int *after)
{
    const int64_t window = (g.w->shape.dim[2 + axis] - 1) * g.a->dilation.v[axis] + 1;
    const int64_t last = (g.dy->shape.dim[2 + axis] - 1) * g.a->stride.v[axis] + window;
    const int64_t beyond = last - g.a->pad.v[axis] - g.x->shape.dim[2 + axis];
    *before = (int)g.a->pad.v[axis];
    *after = beyond > 0 ? (int)beyond : 0;
}

/* in: of dy, of x. */
static void grad_w_layouts(grad_of g, tlc_layout_kind x, tlc_layout *in)
{
    in[0] = blocked;
    in[1] = layout_of(x);
    window_halo(g, 0, &in[1].halo[0], &in[1].halo[2]);
    window_halo(g, 1, &in[1].halo[1], &in[1].halo[3]);
}

static void conv2d_grad_w_literal(tlc_cwriter *w, const tlc_node *n)
{
    w_conv2d(w, by_w(n));
}

static bool serves_grad_w_stem(const tlc_node *n)
{
    return serves_maps(by_w(n)) && is_stem(by_w(n));
}

static void grad_w_stem_layouts(const tlc_node *n, tlc_layout *in, tlc_layout *out)
{
    grad_w_layouts(by_w(n), TLC_PLAIN, in);
    out[0] = layout_of(TLC_STEM16);
}

const tlc_kernel_fns tlc_kernel_fns_conv2d_grad_w_stem = {
    .serves = serves_grad_w_stem,
    .layouts = grad_w_stem_layouts,
    .literal = conv2d_grad_w_literal,
};

static bool serves_grad_w_direct(const tlc_node *n)
{
    return serves_maps(by_w(n)) && is_dense(by_w(n));
}

static void grad_w_direct_layouts(const tlc_node *n, tlc_layout *in, tlc_layout *out)
{
    grad_w_layouts(by_w(n), TLC_C16, in);
    out[0] = layout_of(TLC_OI16);
}

const tlc_kernel_fns tlc_kernel_fns_conv2d_grad_w_direct = {
    .serves = serves_grad_w_direct,
    .layouts = grad_w_direct_layouts,
    .literal = conv2d_grad_w_literal,
};

static bool serves_grad_w_depthwise(const tlc_node *n)
{
    return serves_maps(by_w(n)) && is_depthwise(by_w(n));
}

static void grad_w_depthwise_layouts(const tlc_node *n, tlc_layout *in, tlc_layout *out)
{
    grad_w_layouts(by_w(n), TLC_C16, in);
    out[0] = layout_of(TLC_DW16);
}

const tlc_kernel_fns tlc_kernel_fns_conv2d_grad_w_depthwise = {
    .serves = serves_grad_w_depthwise,
    .layouts = grad_w_depthwise_layouts,
    .literal = conv2d_grad_w_literal,
};

/* --- by the weight, and the update at once --------------------------------------------- */

/* Rows of conv2d_grad_w in their order: the joined operator is what the two in turn are. */
typedef struct form_row {
    bool (*serves)(grad_of g);
    const char *name;
    tlc_layout_kind x, weight;
} form_row;

static const form_row forms[] = {
    { is_stem, "TLK_DW_STEM", TLC_PLAIN, TLC_STEM16 },
    { is_dense, "TLK_DW_DIRECT", TLC_C16, TLC_OI16 },
    { is_depthwise, "TLK_DW_DEPTHWISE", TLC_C16, TLC_DW16 },
};

/* NULL: none serves. */
static const form_row *form_of(grad_of g)
{
    for (size_t i = 0; serves_maps(g) && i < sizeof forms / sizeof *forms; ++i)
        if (forms[i].serves(g))
            return &forms[i];
    return NULL;
}

static bool serves_conv2d_update(const tlc_node *n)
{
    return form_of(of_update(n)) != NULL;
}

static void conv2d_update_layouts(const tlc_node *n, tlc_layout *in, tlc_layout *out)
{
    const form_row *form = form_of(of_update(n));
    (void)out;
    for (int i = 0; i < n->n_in - 2; ++i)
        in[i] = layout_of(form->weight);
    grad_w_layouts(of_update(n), form->x, in + n->n_in - 2);
}

static int64_t fewest(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* An item's piece at most: four blocks of output by some of input; see tlk_conv2d_grad_w.h. */
static int64_t conv2d_update_scratch_bytes(const tlc_node *n)
{
    enum { TAPS = 8, FLOATS = TLK_TILE_BLOCKS * TLK_BLOCK };
    const grad_of g = of_update(n);
    const int64_t *d = g.w->shape.dim, taps = d[2] * d[3];
    const int64_t group = fewest((TAPS + taps - 1) / taps, (d[1] + TLK_BLOCK - 1) / TLK_BLOCK);
    return FLOATS * taps * (is_stem(g) ? d[1] : group * TLK_BLOCK) * 4;
}

static void w_conv2d_update(tlc_cwriter *w, const tlc_node *n, const char *flag, bool set)
{
    tlc_w(w, "{ .conv = ");
    w_conv2d(w, of_update(n));
    tlc_w(w, ", .form = %s, .%s = %s }", form_of(of_update(n))->name, flag,
          set ? "true" : "false");
}

static void conv2d_adam_literal(tlc_cwriter *w, const tlc_node *n)
{
    w_conv2d_update(w, n, "decoupled", TLC_ATTRS(n, tlc_conv2d_adam_attrs)->update.decoupled);
}

const tlc_kernel_fns tlc_kernel_fns_conv2d_adam_c16 = {
    .serves = serves_conv2d_update,
    .layouts = conv2d_update_layouts,
    .literal = conv2d_adam_literal,
    .scratch_bytes = conv2d_update_scratch_bytes,
};

static void conv2d_sgd_literal(tlc_cwriter *w, const tlc_node *n)
{
    w_conv2d_update(w, n, "nesterov", TLC_ATTRS(n, tlc_conv2d_sgd_attrs)->update.nesterov);
}

const tlc_kernel_fns tlc_kernel_fns_conv2d_sgd_c16 = {
    .serves = serves_conv2d_update,
    .layouts = conv2d_update_layouts,
    .literal = conv2d_sgd_literal,
    .scratch_bytes = conv2d_update_scratch_bytes,
};

/* --- batch norm ---------------------------------------------------------------------- */

static bool serves_first_map(const tlc_node *n)
{
    return is_map(n->in[0]);
}

static void all_blocked(const tlc_node *n, tlc_layout *in, tlc_layout *out)
{
    for (int i = 0; i < n->n_in; ++i)
        in[i] = blocked;
    for (int i = 0; i < n->n_out; ++i)
        out[i] = blocked;
}

/* NULL: the kernel does not read that plane. */
static void w_batch_norm(tlc_cwriter *w, const tlc_node *n, const tlc_value *x,
                         const tlc_value *dy, const tlc_value *y)
{
    const tlc_batch_norm_attrs *a = TLC_ATTRS(n, tlc_batch_norm_attrs);
    tlc_w(w, "{ .c = %" PRId64, channels(x ? x : dy));
    if (x)
        w_plane(w, "x", x);
    if (dy)
        w_plane(w, "dy", dy);
    if (y)
        w_plane(w, "y", y);
    w_number(w, "epsilon", a->epsilon);
    w_number(w, "momentum", a->momentum);
    tlc_w(w, " }");
}

static void batch_norm_literal(tlc_cwriter *w, const tlc_node *n)
{
    w_batch_norm(w, n, n->in[0], NULL, n->out[0]);
}

const tlc_kernel_fns tlc_kernel_fns_batch_norm_c16 = {
    .serves = serves_first_map,
    .layouts = all_blocked,
    .literal = batch_norm_literal,
};

const tlc_kernel_fns tlc_kernel_fns_batch_norm_train_c16 = {
    .serves = serves_first_map,
    .layouts = all_blocked,
    .literal = batch_norm_literal,
};

static void batch_norm_grad_literal(tlc_cwriter *w, const tlc_node *n)
{
    w_batch_norm(w, n, NULL, n->in[0], n->out[0]);
}

const tlc_kernel_fns tlc_kernel_fns_batch_norm_grad_c16 = {
    .serves = serves_first_map,
    .layouts = all_blocked,
    .literal = batch_norm_grad_literal,
};

static void batch_norm_train_grad_scale_literal(tlc_cwriter *w, const tlc_node *n)
{
    w_batch_norm(w, n, n->in[1], n->in[0], NULL);
}

const tlc_kernel_fns tlc_kernel_fns_batch_norm_train_grad_scale_c16 = {
    .serves = serves_first_map,
    .layouts = all_blocked,
    .literal = batch_norm_train_grad_scale_literal,
};

static void batch_norm_train_grad_x_literal(tlc_cwriter *w, const tlc_node *n)
{
    w_batch_norm(w, n, n->in[1], n->in[0], n->out[0]);
}

const tlc_kernel_fns tlc_kernel_fns_batch_norm_train_grad_x_c16 = {
    .serves = serves_first_map,
    .layouts = all_blocked,
    .literal = batch_norm_train_grad_x_literal,
};

static bool serves_stats(const tlc_node *n)
{
    return is_map(n->in[4]);
}

static void batch_norm_stats_literal(tlc_cwriter *w, const tlc_node *n)
{
    w_batch_norm(w, n, n->in[4], NULL, NULL);
}

const tlc_kernel_fns tlc_kernel_fns_batch_norm_stats_c16 = {
    .serves = serves_stats,
    .layouts = all_blocked,
    .literal = batch_norm_stats_literal,
};

/* --- activations, bias, pools -------------------------------------------------------- */

static bool serves_act_grad(const tlc_node *n)
{
    return is_map(n->in[0]) && is_map(n->in[1]);
}

static void act_grad_literal(tlc_cwriter *w, const tlc_node *n)
{
    tlc_w(w, "{ .c = %" PRId64, channels(n->in[0]));
    w_plane(w, "dy", n->in[0]);
    w_plane(w, "y", n->in[1]);
    w_plane(w, "dx", n->out[0]);
    if (n->op == TLC_OP_RELU_GRAD)
        w_act(w, TLC_ACT_RELU, 0, 0);
    else
        w_act(w, TLC_ACT_CLIP, TLC_ATTRS(n, tlc_clip_attrs)->lo, TLC_ATTRS(n, tlc_clip_attrs)->hi);
    tlc_w(w, " }");
}

const tlc_kernel_fns tlc_kernel_fns_act_grad_c16 = {
    .serves = serves_act_grad,
    .layouts = all_blocked,
    .literal = act_grad_literal,
};

static void bias_grad_literal(tlc_cwriter *w, const tlc_node *n)
{
    tlc_w(w, "{ .c = %" PRId64, channels(n->in[0]));
    w_plane(w, "dy", n->in[0]);
    tlc_w(w, " }");
}

const tlc_kernel_fns tlc_kernel_fns_bias_grad_c16 = {
    .serves = serves_first_map,
    .layouts = all_blocked,
    .literal = bias_grad_literal,
};

static void w_pool2d(tlc_cwriter *w, const tlc_pool2d_attrs *a, const tlc_value *x,
                     const tlc_value *y)
{
    tlc_w(w, "{ .c = %" PRId64 ", .kh = %" PRId64 ", .kw = %" PRId64, channels(x), a->kernel.v[0],
          a->kernel.v[1]);
    tlc_w(w, ", .sh = %" PRId64 ", .sw = %" PRId64 ", .dh = %" PRId64 ", .dw = %" PRId64,
          a->stride.v[0], a->stride.v[1], a->dilation.v[0], a->dilation.v[1]);
    tlc_w(w, ", .pad_top = %" PRId64 ", .pad_left = %" PRId64 ", .pad_bottom = %" PRId64
          ", .pad_right = %" PRId64, a->pad.v[0], a->pad.v[1], a->pad.v[2], a->pad.v[3]);
    tlc_w(w, ", .count_include_pad = %s", a->count_include_pad ? "true" : "false");
    w_plane(w, "x", x);
    w_plane(w, "y", y);
    tlc_w(w, " }");
}

/* Positions as one byte: both kernels go by the same type, so they agree on its layout. */
static bool serves_positions(const tlc_node *n)
{
    return is_map(n->in[0]) && n->out[0]->type == TLC_U8;
}

static void positions_literal(tlc_cwriter *w, const tlc_node *n)
{
    w_pool2d(w, TLC_ATTRS(n, tlc_pool2d_attrs), n->in[0], n->out[0]);
}

const tlc_kernel_fns tlc_kernel_fns_max_pool2d_positions_c16 = {
    .serves = serves_positions,
    .layouts = all_blocked,
    .literal = positions_literal,
};

static bool serves_max_grad(const tlc_node *n)
{
    return is_map(n->in[0]) && n->in[1]->type == TLC_U8;
}

static void pool2d_grad_literal(tlc_cwriter *w, const tlc_node *n)
{
    w_pool2d(w, &TLC_ATTRS(n, tlc_pool2d_grad_attrs)->pool, n->out[0], n->in[0]);
}

const tlc_kernel_fns tlc_kernel_fns_max_pool2d_grad_c16 = {
    .serves = serves_max_grad,
    .layouts = all_blocked,
    .literal = pool2d_grad_literal,
};

const tlc_kernel_fns tlc_kernel_fns_avg_pool2d_grad_c16 = {
    .serves = serves_first_map,
    .layouts = all_blocked,
    .literal = pool2d_grad_literal,
};

/* Of the mean over both axes of a plane. */
static bool serves_mean_grad(const tlc_node *n)
{
    const tlc_ints *axes = &TLC_ATTRS(n, tlc_reduce_grad_attrs)->reduce.axes;
    return is_batch(n->in[0]) && is_map(n->out[0]) && axes->n == 2 &&
           axes->v[0] + axes->v[1] == 5 && (axes->v[0] == 2 || axes->v[0] == 3);
}

static void mean_grad_layouts(const tlc_node *n, tlc_layout *in, tlc_layout *out)
{
    (void)n;
    in[0] = plain;
    out[0] = blocked;
}

static void mean_grad_literal(tlc_cwriter *w, const tlc_node *n)
{
    tlc_w(w, "{ .c = %" PRId64, channels(n->out[0]));
    w_plane(w, "x", n->out[0]);
    tlc_w(w, " }");
}

const tlc_kernel_fns tlc_kernel_fns_mean_grad_c16 = {
    .serves = serves_mean_grad,
    .layouts = mean_grad_layouts,
    .literal = mean_grad_literal,
};

/* --- updates -------------------------------------------------------------------------- */

enum { MOST_IN = 8, MOST_OUT = 3 }; /* operands and results of what makes a gradient */

/* How the kernel behind a gradient writes it; a kept one lies as @step left it. */
static tlc_layout gradient_layout(const tlc_value *g)
{
    if (tlc_is_global(g))
        return g->layout;
    static const tlc_options ours = { .target = TLC_TARGET_CPU, .precision = TLC_PRECISION_FP32 };
    const tlc_kernel *k = g->def ? tlc_kernel_choose(g->def, &ours) : NULL;
    tlc_layout in[MOST_IN] = { { 0 } }, out[MOST_OUT] = { { 0 } };
    if (!k || k->target != TLC_TARGET_CPU || !k->layouts || g->def->n_in > MOST_IN)
        return plain;
    k->layouts(g->def, in, out);
    return out[g->result_index];
}

static bool serves_sweep(const tlc_node *n)
{
    return n->in[0]->type == TLC_F32;
}

static void sweep_layouts(const tlc_node *n, tlc_layout *in, tlc_layout *out)
{
    (void)out;
    for (int i = 0; i < n->n_in; ++i)
        in[i] = gradient_layout(n->in[n->n_in - 1]);
}

/* As many as the gradient has: a vector's zeros behind its end may be missing there. */
static void w_elems(tlc_cwriter *w, const tlc_node *n)
{
    tlc_w(w, "{ .elems = %" PRId64, tlc_value_bytes(n->in[n->n_in - 1]) / 4);
}

static void accumulate_literal(tlc_cwriter *w, const tlc_node *n)
{
    w_elems(w, n);
    tlc_w(w, " }");
}

const tlc_kernel_fns tlc_kernel_fns_accumulate = {
    .serves = serves_sweep,
    .layouts = sweep_layouts,
    .literal = accumulate_literal,
};

static void adam_literal(tlc_cwriter *w, const tlc_node *n)
{
    w_elems(w, n);
    tlc_w(w, ", .decoupled = %s }", TLC_ATTRS(n, tlc_adam_attrs)->decoupled ? "true" : "false");
}

const tlc_kernel_fns tlc_kernel_fns_adam = {
    .serves = serves_sweep,
    .layouts = sweep_layouts,
    .literal = adam_literal,
};

static void sgd_literal(tlc_cwriter *w, const tlc_node *n)
{
    w_elems(w, n);
    tlc_w(w, ", .nesterov = %s }", TLC_ATTRS(n, tlc_sgd_attrs)->nesterov ? "true" : "false");
}

const tlc_kernel_fns tlc_kernel_fns_sgd = {
    .serves = serves_sweep,
    .layouts = sweep_layouts,
    .literal = sgd_literal,
};
