/* onnx_map_resize.c: Resize and Upsample of planes, as op resize has it: a step and an offset along
 * either axis.
 *
 * Resize of opset 10 and Upsample say nothing about positions; ONNX Runtime, and what exporters
 * meant by them, is asymmetric, and the element before where the nearest one is asked for.
 */
#include "onnx_map.h"
#include "resize_axis.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

typedef tlc_resize_axis axis;

/* --- sizes ------------------------------------------------------------------- */

/* The axes that sizes or scales name, of opset 18; all of them otherwise. */
static tlc_status read_axes(const tlc_onnx_node *n, tlc_ints *axes)
{
    int rank = n->in[0]->shape.rank;
    if (tlc_onnx_attr(n, "axes")) {
        TLC_TRY(tlc_onnx_any_ints(n, "axes", axes));
        return tlc_onnx_wrap_axes(n, axes, rank);
    }
    axes->n = rank;
    for (int i = 0; i < rank; ++i)
        axes->v[i] = i;
    return TLC_OK;
}

static tlc_status want_count(const tlc_onnx_node *n, const char *role, int count, int wanted)
{
    if (count == wanted)
        return TLC_OK;
    return TLC_ONNX_BAD(n, "%s has %d numbers, %d wanted", role, count, wanted);
}

static tlc_status set_scale(const tlc_onnx_node *n, axis *a, int i, double scale)
{
    double to = floor((double)(float)((double)a->from * scale)); /* in float, as others have it */
    if (!(scale > 0) || !(to >= 1) || to > INT32_MAX)
        return TLC_ONNX_BAD(n, "scales[%d] is %g: axis of %" PRId64 " would have %g elements", i,
                            scale, a->from, to);
    a->to = (int64_t)to;
    a->scale = scale;
    a->step = 1 / scale;
    return TLC_OK;
}

static bool is_batch_size(const tlc_onnx_node *n, int64_t size)
{
    return size == TLC_DIM_SYMBOL || (n->o->fixed_batch && size == n->o->fixed_batch);
}

static tlc_status unsupported_axis(const tlc_onnx_node *n, int i)
{
    return tlc_onnx_unsupported(n, "%s of axis %d is not supported, 2 and 3 are", n->row->op, i);
}

static tlc_status read_scales(const tlc_onnx_node *n, const double *scales, const tlc_ints *axes,
                              axis *a)
{
    for (int k = 0; k < axes->n; ++k) {
        int i = (int)axes->v[k];
        if (i < 2 && scales[k] != 1)
            return unsupported_axis(n, i);
        if (i >= 2)
            TLC_TRY(set_scale(n, &a[i], k, scales[k]));
    }
    return TLC_OK;
}

/* The policy: one scale for all axes, the smallest or the largest of those that sizes ask for. */
static tlc_status keep_aspect(const tlc_onnx_node *n, const char *policy, const tlc_ints *axes,
                              axis *a)
{
    bool larger = strcmp(policy, "not_smaller") == 0;
    double scale = larger ? 0 : HUGE_VAL;
    if (!larger && strcmp(policy, "not_larger") != 0)
        return TLC_ONNX_BAD(n, "keep_aspect_ratio_policy is %s",
                            tlc_quote_name(n->o->ctx, policy));
    for (int k = 0; k < axes->n; ++k) {
        if (axes->v[k] < 2)
            return unsupported_axis(n, (int)axes->v[k]);
        double own = a[axes->v[k]].scale;
        scale = larger ? fmax(scale, own) : fmin(scale, own);
    }
    for (int k = 0; k < axes->n; ++k) {
        axis *one = &a[axes->v[k]];
        double to = floor(scale * (double)one->from + 0.5);
        *one = (axis){ one->from, to < 1 ? 1 : (int64_t)to, scale, 1 / scale };
    }
    return TLC_OK;
}

static tlc_status read_sizes(const tlc_onnx_node *n, const tlc_ints *sizes, const tlc_ints *axes,
                             axis *a)
{
    const char *policy;
    TLC_TRY(tlc_onnx_text(n, "keep_aspect_ratio_policy", &policy));
    for (int k = 0; k < axes->n; ++k) {
        int64_t to = sizes->v[k];
        axis *one = &a[axes->v[k]];
        bool same = one->from == TLC_DIM_N ? is_batch_size(n, to) : to == one->from;
        if (axes->v[k] < 2 && !same)
            return unsupported_axis(n, (int)axes->v[k]);
        if (axes->v[k] < 2)
            continue;
        if (to < 1 || to > INT32_MAX)
            return TLC_ONNX_BAD(n, "sizes[%d] is %" PRId64 ", 1 to %d allowed", k, to, INT32_MAX);
        *one = (axis){ one->from, to, (double)to / (double)one->from,
                       (double)one->from / (double)to };
    }
    if (policy && strcmp(policy, "stretch") != 0)
        return keep_aspect(n, policy, axes, a);
    return TLC_OK;
}

/* Sizes of all axes, from operands `scales` and `sizes` by their places; -1: no such operand. */
static tlc_status read_extents(const tlc_onnx_node *n, int scales_at, int sizes_at, axis *a)
{
    const tlc_value *s = sizes_at < 0 ? NULL : tlc_onnx_in(n, sizes_at);
    tlc_ints axes, sizes;
    double scales[TLC_MAX_RANK];
    int count;
    TLC_TRY(read_axes(n, &axes));
    if (s && tlc_shape_elems(&s->shape) > 0) {
        TLC_TRY(tlc_onnx_const_ints(n, sizes_at, "sizes", &sizes));
        TLC_TRY(want_count(n, "sizes", sizes.n, axes.n));
        return read_sizes(n, &sizes, &axes, a);
    }
    TLC_TRY(tlc_onnx_const_numbers(n, scales_at, "scales", TLC_MAX_RANK, scales, &count));
    TLC_TRY(want_count(n, "scales", count, axes.n));
    return read_scales(n, scales, &axes, a);
}

/* --- positions, modes ---------------------------------------------------------- */

static tlc_status place(const tlc_onnx_node *n, const char *by, const axis *a, tlc_resize_attrs *r)
{
    const tlc_resize_row *row = tlc_resize_rows;
    while (row->name && strcmp(row->name, by) != 0)
        ++row;
    if (!row->name)
        return tlc_onnx_unsupported(n, "Resize with coordinate_transformation_mode %s is not"
                                       " supported", tlc_quote_name(n->o->ctx, by));
    tlc_resize_line h = row->of(&a[2]), w = row->of(&a[3]);
    r->size = (tlc_ints){ .n = 2, .v = { a[2].to, a[3].to } };
    r->step_h = h.step;
    r->offset_h = h.offset;
    r->step_w = w.step;
    r->offset_w = w.offset;
    return TLC_OK;
}

static tlc_status read_nearest(const tlc_onnx_node *n, tlc_resample *mode)
{
    static const char *const names[] = { "round_prefer_floor", "round_prefer_ceil", "floor",
                                         "ceil" };
    const char *text;
    TLC_TRY(tlc_onnx_text(n, "nearest_mode", &text));
    for (int i = 0; i < 4; ++i)
        if (!text || strcmp(text, names[i]) == 0) {
            *mode = (tlc_resample)i; /* in the enum's order */
            return TLC_OK;
        }
    return TLC_ONNX_BAD(n, "nearest_mode is %s", tlc_quote_name(n->o->ctx, text));
}

static tlc_status read_mode(const tlc_onnx_node *n, tlc_resize_attrs *r)
{
    const char *text;
    bool inside;
    TLC_TRY(tlc_onnx_text(n, "mode", &text));
    TLC_TRY(tlc_onnx_float(n, "cubic_coeff_a", -0.75, &r->cubic));
    TLC_TRY(tlc_onnx_bool(n, "exclude_outside", false, &inside));
    if (!text || strcmp(text, "nearest") == 0)
        return read_nearest(n, &r->mode);
    if (strcmp(text, "linear") != 0 && strcmp(text, "cubic") != 0)
        return tlc_onnx_unsupported(n, "%s with mode %s is not supported", n->row->op,
                                    tlc_quote_name(n->o->ctx, text));
    r->mode = text[0] == 'l' ? TLC_RESAMPLE_LINEAR : TLC_RESAMPLE_CUBIC;
    r->inside = inside && r->mode == TLC_RESAMPLE_CUBIC; /* of two, the other one is the border */
    return TLC_OK;
}

static tlc_status begin(const tlc_onnx_node *n, axis *a)
{
    const tlc_shape *x = &n->in[0]->shape;
    if (x->rank != 4)
        return tlc_onnx_unsupported(n, "%s of rank %d is not supported, 4 is", n->row->op, x->rank);
    for (int i = 0; i < 4; ++i)
        a[i] = (axis){ x->dim[i], x->dim[i], 1, 1 };
    return TLC_OK;
}

static tlc_status finish(tlc_onnx_node *n, const tlc_resize_attrs *r)
{
    const int64_t *x = n->in[0]->shape.dim;
    if (r->size.v[0] == x[2] && r->size.v[1] == x[3] && r->step_h == 1 && r->step_w == 1 &&
        r->offset_h == 0 && r->offset_w == 0)
        return tlc_onnx_map_identity(n);
    tlc_node *node = tlc_onnx_add(n, TLC_OP_RESIZE, n->in, 1);
    *TLC_ATTRS(node, tlc_resize_attrs) = *r;
    return tlc_onnx_finish(n, node);
}

tlc_status tlc_onnx_map_resize(tlc_onnx_node *n)
{
    const char *by;
    bool old = n->o->opset < 11, antialias;
    axis a[4];
    tlc_resize_attrs r = { 0 };
    TLC_TRY(begin(n, a));
    TLC_TRY(tlc_onnx_bool(n, "antialias", false, &antialias));
    if (antialias)
        return tlc_onnx_unsupported(n, "Resize with antialias 1 is not supported");
    TLC_TRY(read_extents(n, old ? 1 : 2, old ? -1 : 3, a));
    TLC_TRY(tlc_onnx_text(n, "coordinate_transformation_mode", &by));
    TLC_TRY(place(n, by ? by : old ? "asymmetric" : "half_pixel", a, &r));
    TLC_TRY(read_mode(n, &r));
    if (old && r.mode < TLC_RESAMPLE_LINEAR) {
        if (r.step_h > 1 || r.step_w > 1)
            return tlc_onnx_unsupported(n, "Resize of opset 10 to fewer nearest elements is not"
                                           " supported");
        r.mode = TLC_RESAMPLE_FLOOR;
    }
    return finish(n, &r);
}

tlc_status tlc_onnx_map_upsample(tlc_onnx_node *n)
{
    axis a[4];
    tlc_resize_attrs r = { 0 };
    if (n->o->opset < 9 || n->o->opset > 9)
        return tlc_onnx_unsupported(n, "Upsample of opset %" PRId64 " is not supported, 9 is",
                                    n->o->opset);
    TLC_TRY(begin(n, a));
    TLC_TRY(read_extents(n, 1, -1, a));
    for (int i = 2; i < 4; ++i)
        if (a[i].scale < 1)
            return TLC_ONNX_BAD(n, "scales[%d] is %g, at least 1", i, a[i].scale);
    TLC_TRY(place(n, "asymmetric", a, &r));
    TLC_TRY(read_mode(n, &r));
    if (r.mode == TLC_RESAMPLE_CUBIC)
        return TLC_ONNX_BAD(n, "mode is cubic, nearest or linear wanted");
    if (r.mode < TLC_RESAMPLE_LINEAR)
        r.mode = TLC_RESAMPLE_FLOOR;
    return finish(n, &r);
}
