/* kernels_ref_families.c: rows of the reference kernels of the families' activations and
 * normalisations. */
#include "kernel.h"

#include <inttypes.h>
#include <math.h>

static bool serves_all(const tlc_node *n)
{
    (void)n;
    return true;
}

static void plain_layouts(const tlc_node *n, tlc_layout *in, tlc_layout *out)
{
    for (int i = 0; i < n->n_in; ++i)
        in[i] = (tlc_layout){ .kind = TLC_PLAIN };
    out[0] = (tlc_layout){ .kind = TLC_PLAIN };
}

/* A double as C spells it. */
static void w_number(tlc_cwriter *w, const char *field, double x)
{
    tlc_w(w, ", .%s = ", field);
    if (isinf(x))
        tlc_w(w, x > 0 ? "INFINITY" : "-INFINITY");
    else
        tlc_w_double(w, x);
}

/* 0 is the run's n; a value without a batch is one picture. */
static int64_t batch_of(const tlc_shape *s)
{
    return tlc_shape_has_n(s) ? 0 : 1;
}

static void unary_literal(tlc_cwriter *w, const tlc_node *n)
{
    static const char *const names[] = {
        "TLK_SIGMOID", "TLK_HARD_SIGMOID", "TLK_HARD_SWISH", "TLK_LEAKY_RELU", "TLK_ELU",
        "TLK_TANH", "TLK_EXP", "TLK_LOG", "TLK_SQRT", "TLK_ERF", "TLK_POW", "TLK_ABS", "TLK_FLOOR",
        "TLK_CEIL", "TLK_ROUND",
    };
    tlc_w(w, "{ .batch = %" PRId64 ", .elems = %" PRId64 ", .op = %s", batch_of(&n->in[0]->shape),
          tlc_shape_elems(&n->in[0]->shape), names[n->op - TLC_OP_SIGMOID]);
    if (n->op == TLC_OP_HARD_SIGMOID || n->op == TLC_OP_LEAKY_RELU || n->op == TLC_OP_ELU ||
        n->op == TLC_OP_POW)
        w_number(w, "alpha", TLC_ATTRS(n, tlc_unary_attrs)->alpha);
    if (n->op == TLC_OP_HARD_SIGMOID)
        w_number(w, "beta", TLC_ATTRS(n, tlc_unary_attrs)->beta);
    tlc_w(w, " }");
}

const tlc_kernel_fns tlc_kernel_fns_ref_unary = {
    .serves = serves_all,
    .layouts = plain_layouts,
    .literal = unary_literal,
};

static void layer_norm_literal(tlc_cwriter *w, const tlc_node *n)
{
    const tlc_layer_norm_attrs *a = TLC_ATTRS(n, tlc_layer_norm_attrs);
    const tlc_shape *x = &n->in[0]->shape;
    int64_t size = 1;
    for (int i = (int)a->axis; i < x->rank; ++i)
        size *= x->dim[i];
    tlc_w(w, "{ .batch = %" PRId64 ", .outer = %" PRId64 ", .size = %" PRId64, batch_of(x),
          tlc_shape_elems(x) / size, size);
    w_number(w, "epsilon", a->epsilon);
    tlc_w(w, " }");
}

const tlc_kernel_fns tlc_kernel_fns_ref_layer_norm = {
    .serves = serves_all,
    .layouts = plain_layouts,
    .literal = layer_norm_literal,
};

static void lrn_literal(tlc_cwriter *w, const tlc_node *n)
{
    const tlc_lrn_attrs *a = TLC_ATTRS(n, tlc_lrn_attrs);
    const tlc_shape *x = &n->in[0]->shape;
    int64_t plane = 1;
    for (int i = 2; i < x->rank; ++i)
        plane *= x->dim[i];
    tlc_w(w, "{ .batch = %" PRId64 ", .c = %" PRId64 ", .plane = %" PRId64 ", .size = %" PRId64,
          tlc_shape_has_n(x) ? 0 : x->dim[0], x->dim[1], plane, a->size);
    w_number(w, "alpha", a->alpha);
    w_number(w, "beta", a->beta);
    w_number(w, "bias", a->bias);
    if (n->in[0]->layout.kind == TLC_NHWC) /* of target cuda, which borrows the literal */
        tlc_w(w, ", .nhwc = true");
    tlc_w(w, " }");
}

const tlc_kernel_fns tlc_kernel_fns_ref_lrn = {
    .serves = serves_all,
    .layouts = plain_layouts,
    .literal = lrn_literal,
};
