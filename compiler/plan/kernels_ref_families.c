/* kernels_ref_families.c: rows of the reference kernels of the families' activations and
 * normalisations. */
#include "kernels_ref.h"

static void w_field(tlc_cwriter *w, const char *field, double x)
{
    tlc_w(w, ", .%s = ", field);
    w_number(w, x);
}

static void unary_literal(tlc_cwriter *w, const tlc_node *n)
{
    static const char *const names[] = {
        "TLK_SIGMOID", "TLK_HARD_SIGMOID", "TLK_HARD_SWISH", "TLK_LEAKY_RELU", "TLK_ELU",
        "TLK_TANH", "TLK_EXP", "TLK_LOG", "TLK_SQRT", "TLK_ERF", "TLK_POW", "TLK_ABS", "TLK_FLOOR",
        "TLK_CEIL", "TLK_ROUND",
    };
    const tlc_shape *x = &n->in[0]->shape;
    tlc_w(w, "{ .batch = %" PRId64 ", .elems = %" PRId64 ", .op = %s", picture_batch(x),
          tlc_shape_elems(x), names[n->op - TLC_OP_SIGMOID]);
    if (n->op == TLC_OP_HARD_SIGMOID || n->op == TLC_OP_LEAKY_RELU || n->op == TLC_OP_ELU ||
        n->op == TLC_OP_POW)
        w_field(w, "alpha", TLC_ATTRS(n, tlc_unary_attrs)->alpha);
    if (n->op == TLC_OP_HARD_SIGMOID)
        w_field(w, "beta", TLC_ATTRS(n, tlc_unary_attrs)->beta);
    tlc_w(w, " }");
}

REF_KERNEL(unary, serves_all);

static void layer_norm_literal(tlc_cwriter *w, const tlc_node *n)
{
    const tlc_layer_norm_attrs *a = TLC_ATTRS(n, tlc_layer_norm_attrs);
    const tlc_shape *x = &n->in[0]->shape;
    int64_t size = product(x->dim + a->axis, x->rank - (int)a->axis);
    tlc_w(w, "{ .batch = %" PRId64 ", .outer = %" PRId64 ", .size = %" PRId64, picture_batch(x),
          tlc_shape_elems(x) / size, size);
    w_field(w, "epsilon", a->epsilon);
    tlc_w(w, " }");
}

REF_KERNEL(layer_norm, serves_all);

static void lrn_literal(tlc_cwriter *w, const tlc_node *n)
{
    const tlc_lrn_attrs *a = TLC_ATTRS(n, tlc_lrn_attrs);
    const tlc_shape *x = &n->in[0]->shape;
    tlc_w(w, "{ .batch = %" PRId64 ", .c = %" PRId64 ", .plane = %" PRId64 ", .size = %" PRId64,
          batch_of(x), x->dim[1], product(x->dim + 2, x->rank - 2), a->size);
    w_field(w, "alpha", a->alpha);
    w_field(w, "beta", a->beta);
    w_field(w, "bias", a->bias);
    w_nhwc(w, "nhwc", n->in[0]);
    tlc_w(w, " }");
}

REF_KERNEL(lrn, serves_all);
