/* kernels_ref.h: what the files of the reference kernels' rows share: pieces of literals.
 *
 * Most kernels work picture by picture.  `picture` below is a shape without its batch axis: where
 * the leading dimension is a number the whole tensor counts as one picture, so that an operator
 * may treat that axis like any other.
 */
#ifndef TLC_KERNELS_REF_H
#define TLC_KERNELS_REF_H

#include "kernel.h"

#include <inttypes.h>
#include <math.h>

static inline bool serves_all(const tlc_node *n)
{
    (void)n;
    return true;
}

static inline void plain_layouts(const tlc_node *n, tlc_layout *in, tlc_layout *out)
{
    for (int i = 0; i < n->n_in; ++i)
        in[i] = (tlc_layout){ .kind = TLC_PLAIN };
    for (int i = 0; i < n->n_out; ++i)
        out[i] = (tlc_layout){ .kind = TLC_PLAIN };
}

#define REF_KERNEL(name, serves_fn)                        \
    const tlc_kernel_fns tlc_kernel_fns_ref_##name = {     \
        .serves = serves_fn,                               \
        .layouts = plain_layouts,                          \
        .literal = name##_literal,                         \
    }

/* The kernels' `batch`: 0 is the run's n. */
static inline int64_t batch_of(const tlc_shape *s)
{
    return tlc_shape_has_n(s) ? 0 : s->dim[0];
}

/* Leading axes that the kernel's loop over pictures takes: 1 or none. */
static inline int batch_axes(const tlc_shape *s)
{
    return tlc_shape_has_n(s) ? 1 : 0;
}

static inline tlc_shape picture(const tlc_shape *s)
{
    int skip = batch_axes(s);
    return tlc_shape_make(s->rank - skip, s->dim + skip);
}

static inline int64_t picture_batch(const tlc_shape *s)
{
    return tlc_shape_has_n(s) ? 0 : 1;
}

static inline int64_t product(const int64_t *dim, int count)
{
    int64_t p = 1;
    for (int i = 0; i < count; ++i)
        p *= dim[i];
    return p;
}

static inline void row_major(const tlc_shape *s, int64_t stride[TLC_MAX_RANK])
{
    int64_t step = 1;
    for (int i = s->rank - 1; i >= 0; --i) {
        stride[i] = step;
        step *= s->dim[i];
    }
}

/* A double as C spells it. */
static inline void w_number(tlc_cwriter *w, double x)
{
    if (isinf(x))
        tlc_w(w, x > 0 ? "INFINITY" : "-INFINITY");
    else
        tlc_w_double(w, x);
}

static inline void w_list(tlc_cwriter *w, const char *field, const int64_t *v, int count)
{
    /* An empty list still needs an element in C11. */
    tlc_w(w, ", .%s = { %" PRId64, field, count ? v[0] : 0);
    for (int i = 1; i < count; ++i)
        tlc_w(w, ", %" PRId64, v[i]);
    tlc_w(w, " }");
}

static inline void w_act(tlc_cwriter *w, tlc_act act, double lo, double hi)
{
    static const char *const names[] = { "TLK_ACT_NONE", "TLK_ACT_RELU", "TLK_ACT_CLIP" };
    tlc_w(w, ", .act = %s", names[act]);
    if (act != TLC_ACT_CLIP)
        return;
    tlc_w(w, ", .lo = ");
    w_number(w, lo);
    tlc_w(w, ", .hi = ");
    w_number(w, hi);
}

/* Kernels of target cuda borrow these literals, and their values may lie in NHWC. */
static inline void w_nhwc(tlc_cwriter *w, const char *field, const tlc_value *v)
{
    if (v->layout.kind == TLC_NHWC)
        tlc_w(w, ", .%s = true", field);
}

/* Fields of a pool over `x` that gives `y`. */
static inline void w_pool(tlc_cwriter *w, const tlc_pool2d_attrs *a, const tlc_value *x_value,
                          const tlc_value *y_value)
{
    const int64_t *x = x_value->shape.dim, *y = y_value->shape.dim;
    const int64_t *s = a->stride.v, *d = a->dilation.v, *p = a->pad.v;
    tlc_w(w, "{ .batch = %" PRId64 ", .c = %" PRId64 ", .h = %" PRId64 ", .w = %" PRId64,
          batch_of(&x_value->shape), x[1], x[2], x[3]);
    tlc_w(w, ", .oh = %" PRId64 ", .ow = %" PRId64 ", .kh = %" PRId64 ", .kw = %" PRId64, y[2],
          y[3], a->kernel.v[0], a->kernel.v[1]);
    tlc_w(w, ", .stride_h = %" PRId64 ", .stride_w = %" PRId64, s[0], s[1]);
    tlc_w(w, ", .dilation_h = %" PRId64 ", .dilation_w = %" PRId64, d[0], d[1]);
    tlc_w(w, ", .pad_top = %" PRId64 ", .pad_left = %" PRId64 ", .pad_bottom = %" PRId64
          ", .pad_right = %" PRId64, p[0], p[1], p[2], p[3]);
    w_nhwc(w, "nhwc", x_value->layout.kind == TLC_NHWC ? x_value : y_value);
}

static inline const char *w_bool(bool b)
{
    return b ? "true" : "false";
}

/* The literal of a resize of `x_value` to `y_value`; also of its gradient. */
static inline void w_resize(tlc_cwriter *w, const tlc_resize_attrs *a, const tlc_value *x_value,
                            const tlc_value *y_value)
{
    static const char *const modes[] = { "HALF_DOWN", "HALF_UP", "FLOOR", "CEIL", "LINEAR",
                                         "CUBIC" };
    const double numbers[] = { a->step_h, a->offset_h, a->step_w, a->offset_w };
    static const char *const fields[] = { "step_h", "offset_h", "step_w", "offset_w" };
    const int64_t *x = x_value->shape.dim, *y = y_value->shape.dim;
    tlc_w(w, "{ .batch = %" PRId64 ", .c = %" PRId64 ", .h = %" PRId64 ", .w = %" PRId64
          ", .oh = %" PRId64 ", .ow = %" PRId64, batch_of(&x_value->shape), x[1], x[2], x[3], y[2],
          y[3]);
    for (int i = 0; i < 4; ++i) {
        tlc_w(w, ", .%s = ", fields[i]);
        w_number(w, numbers[i]);
    }
    tlc_w(w, ", .mode = TLK_RESAMPLE_%s, .cubic = ", modes[a->mode]);
    w_number(w, a->cubic);
    tlc_w(w, ", .inside = %s }", w_bool(a->inside));
}

#endif
