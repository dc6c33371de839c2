/* kernels_cpu_families.c: rows of the CPU kernels of the families' elementwise work and of
 * concatenation, blocked by 16 channels. */
#include "kernel.h"
#include "tlk.h"

#include <inttypes.h>
#include <math.h>

static const tlc_layout blocked = { .kind = TLC_C16 };

static bool is_map(const tlc_value *v)
{
    return v->type == TLC_F32 && tlc_shape_has_n(&v->shape) && v->shape.rank == 4;
}

static void blocked_layouts(const tlc_node *n, tlc_layout *in, tlc_layout *out)
{
    for (int i = 0; i < n->n_in; ++i)
        in[i] = blocked;
    out[0] = blocked;
}

static void w_plane_of(tlc_cwriter *w, const tlc_value *v)
{
    const int *halo = v->layout.halo;
    tlc_w(w, "{ %" PRId64 ", %" PRId64 ", %d, %d, %d, %d }", v->shape.dim[2], v->shape.dim[3],
          halo[0], halo[1], halo[2], halo[3]);
}

static void w_plane(tlc_cwriter *w, const char *field, const tlc_value *v)
{
    tlc_w(w, ", .%s = ", field);
    w_plane_of(w, v);
}

/* --- binary: a plane of one pixel is repeated ----------------------------------------- */

static bool is_pixel(const tlc_value *v)
{
    return v->shape.dim[2] == 1 && v->shape.dim[3] == 1;
}

static bool same_plane(const tlc_value *a, const tlc_value *y)
{
    return a->shape.dim[2] == y->shape.dim[2] && a->shape.dim[3] == y->shape.dim[3];
}

static bool serves_binary(const tlc_node *n)
{
    const tlc_value *a = n->in[0], *b = n->in[1], *y = n->out[0];
    return is_map(a) && is_map(b) && a->shape.dim[1] == b->shape.dim[1] &&
           (same_plane(a, y) || is_pixel(a)) && (same_plane(b, y) || is_pixel(b));
}

static void binary_literal(tlc_cwriter *w, const tlc_node *n)
{
    static const char *const names[] = { "TLK_C16_ADD", "TLK_C16_SUB", "TLK_C16_MUL" };
    tlc_w(w, "{ .c = %" PRId64 ", .op = %s", n->out[0]->shape.dim[1], names[n->op - TLC_OP_ADD]);
    w_plane(w, "a", n->in[0]);
    w_plane(w, "b", n->in[1]);
    w_plane(w, "y", n->out[0]);
    tlc_w(w, " }");
}

const tlc_kernel_fns tlc_kernel_fns_binary_c16 = {
    .serves = serves_binary,
    .layouts = blocked_layouts,
    .literal = binary_literal,
};

/* --- activations ------------------------------------------------------------------------ */

static bool serves_map(const tlc_node *n)
{
    return is_map(n->in[0]);
}

static void w_x_y(tlc_cwriter *w, const tlc_node *n)
{
    w_plane(w, "x", n->in[0]);
    w_plane(w, "y", n->out[0]);
    tlc_w(w, " }");
}

static void unary_literal(tlc_cwriter *w, const tlc_node *n)
{
    static const char *const names[] = {
        "TLK_C16_SIGMOID", "TLK_C16_HARD_SIGMOID", "TLK_C16_HARD_SWISH", "TLK_C16_LEAKY_RELU",
    };
    tlc_w(w, "{ .c = %" PRId64 ", .op = %s", n->in[0]->shape.dim[1],
          names[n->op - TLC_OP_SIGMOID]);
    if (n->op == TLC_OP_HARD_SIGMOID || n->op == TLC_OP_LEAKY_RELU) {
        tlc_w(w, ", .alpha = (float)");
        tlc_w_double(w, TLC_ATTRS(n, tlc_unary_attrs)->alpha);
        tlc_w(w, ", .beta = (float)");
        tlc_w_double(w, TLC_ATTRS(n, tlc_unary_attrs)->beta);
    }
    w_x_y(w, n);
}

/* Attributes that are no finite floats are left to the reference. */
static bool serves_unary(const tlc_node *n)
{
    bool has_attrs = n->op == TLC_OP_HARD_SIGMOID || n->op == TLC_OP_LEAKY_RELU;
    const tlc_unary_attrs *a = n->attrs;
    return serves_map(n) && (!has_attrs || (isfinite((float)a->alpha) && isfinite((float)a->beta)));
}

const tlc_kernel_fns tlc_kernel_fns_unary_c16 = {
    .serves = serves_unary,
    .layouts = blocked_layouts,
    .literal = unary_literal,
};

/* --- concatenation ------------------------------------------------------------------------ */

/* Along channels; every operand but the last a whole number of blocks. */
static bool serves_concat(const tlc_node *n)
{
    if (TLC_ATTRS(n, tlc_axis_attrs)->axis != 1)
        return false;
    for (int i = 0; i < n->n_in; ++i)
        if (!is_map(n->in[i]) || (i + 1 < n->n_in && n->in[i]->shape.dim[1] % TLK_BLOCK))
            return false;
    return true;
}

static void concat_literal(tlc_cwriter *w, const tlc_node *n)
{
    tlc_w(w, "{ .parts = %d, .blocks = {", n->n_in);
    for (int i = 0; i < n->n_in; ++i)
        tlc_w(w, "%s %d", i ? "," : "", tlk_blocks((int)n->in[i]->shape.dim[1]));
    tlc_w(w, " }, .x = { ");
    for (int i = 0; i < n->n_in; ++i) {
        tlc_w(w, "%s", i ? ", " : "");
        w_plane_of(w, n->in[i]);
    }
    tlc_w(w, " }");
    w_plane(w, "y", n->out[0]);
    tlc_w(w, " }");
}

const tlc_kernel_fns tlc_kernel_fns_concat_c16 = {
    .serves = serves_concat,
    .layouts = blocked_layouts,
    .literal = concat_literal,
};
