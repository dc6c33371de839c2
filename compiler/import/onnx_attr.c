/* onnx_attr.c: attributes, constant operands, and adding nodes. */
#include "cwriter.h"
#include "onnx_attr.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

typedef Onnx__AttributeProto attribute;

const attribute *tlc_onnx_attr(const tlc_onnx_node *n, const char *name)
{
    for (size_t i = 0; i < n->proto->n_attribute; ++i) {
        const attribute *a = n->proto->attribute[i];
        if (a->name && !strcmp(a->name, name))
            return a;
    }
    return NULL;
}

/* Files of IR version 1 may leave `type` out; then the field that is there tells. */
static tlc_status want_kind(const tlc_onnx_node *n, const attribute *a, bool there, int type,
                            const char *kind)
{
    if (a->has_type ? (int)a->type == type : there)
        return TLC_OK;
    return TLC_ONNX_BAD(n, "%s is no %s", a->name, kind);
}

tlc_status tlc_onnx_int(const tlc_onnx_node *n, const char *name, int64_t fallback, int64_t least,
                        int64_t most, int64_t *out)
{
    const attribute *a = tlc_onnx_attr(n, name);
    *out = fallback;
    if (!a)
        return TLC_OK;
    TLC_TRY(want_kind(n, a, a->has_i, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT, "integer"));
    *out = a->has_i ? a->i : 0; /* writers may leave out a zero */
    if (*out < least)
        return TLC_ONNX_BAD(n, "%s is %" PRId64 ", at least %" PRId64, name, *out, least);
    if (*out > most)
        return TLC_ONNX_BAD(n, "%s is %" PRId64 ", at most %" PRId64, name, *out, most);
    return TLC_OK;
}

tlc_status tlc_onnx_bool(const tlc_onnx_node *n, const char *name, bool fallback, bool *out)
{
    int64_t v;
    TLC_TRY(tlc_onnx_int(n, name, fallback, 0, 1, &v));
    *out = v != 0;
    return TLC_OK;
}

tlc_status tlc_onnx_float(const tlc_onnx_node *n, const char *name, double fallback, double *out)
{
    const attribute *a = tlc_onnx_attr(n, name);
    *out = fallback;
    if (!a)
        return TLC_OK;
    TLC_TRY(want_kind(n, a, a->has_f, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT, "float"));
    *out = a->has_f ? tlc_meant((double)a->f) : 0;
    return TLC_OK;
}

tlc_status tlc_onnx_any_ints(const tlc_onnx_node *n, const char *name, tlc_ints *out)
{
    const attribute *a = tlc_onnx_attr(n, name);
    const size_t most = sizeof out->v / sizeof *out->v;
    if (!a)
        return TLC_ONNX_BAD(n, "%s is absent", name);
    TLC_TRY(want_kind(n, a, a->n_ints > 0, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS,
                      "list of integers"));
    if (a->n_ints > most)
        return TLC_ONNX_BAD(n, "%s has %zu numbers, at most %zu", name, a->n_ints, most);
    out->n = (int)a->n_ints;
    for (size_t i = 0; i < a->n_ints; ++i)
        out->v[i] = a->ints[i];
    return TLC_OK;
}

tlc_status tlc_onnx_ints(const tlc_onnx_node *n, const char *name, int count, int64_t least,
                         int64_t fallback, tlc_ints *out)
{
    out->n = count < 0 ? 0 : count;
    for (int i = 0; i < out->n; ++i)
        out->v[i] = fallback;
    if (!tlc_onnx_attr(n, name))
        return TLC_OK;
    TLC_TRY(tlc_onnx_any_ints(n, name, out));
    if (count >= 0 && out->n != count)
        return TLC_ONNX_BAD(n, "%s has %d numbers, %d wanted", name, out->n, count);
    for (int i = 0; i < out->n; ++i) {
        if (out->v[i] < least)
            return TLC_ONNX_BAD(n, "%s[%d] is %" PRId64 ", at least %" PRId64, name, i, out->v[i],
                                least);
        if (out->v[i] > INT32_MAX)
            return TLC_ONNX_BAD(n, "%s[%d] is %" PRId64 ", at most %d", name, i, out->v[i],
                                INT32_MAX);
    }
    return TLC_OK;
}

tlc_status tlc_onnx_text(const tlc_onnx_node *n, const char *name, const char **out)
{
    const attribute *a = tlc_onnx_attr(n, name);
    *out = NULL;
    if (!a)
        return TLC_OK;
    TLC_TRY(want_kind(n, a, a->has_s, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING, "string"));
    *out = tlc_arena_strndup(&n->o->ctx->arena, (const char *)a->s.data, a->s.len);
    return TLC_OK;
}

static tlc_status wrap_axis(const tlc_onnx_node *n, const char *name, int rank, int most,
                            int64_t *axis)
{
    if (*axis < -rank || *axis > most)
        return TLC_ONNX_BAD(n, "%s is %" PRId64 ", %d to %d allowed", name, *axis, -rank, most);
    if (*axis < 0)
        *axis += rank;
    return TLC_OK;
}

/* The same of a node whose axes are `shifted`: `rank` and `most` are those in the graph. */
static tlc_status place_axis(const tlc_onnx_node *n, const char *name, int rank, int most,
                             int64_t *axis)
{
    if (!n->shifted)
        return wrap_axis(n, name, rank, most, axis);
    TLC_TRY(wrap_axis(n, name, rank - 1, most - 1, axis));
    if (*axis == n->lift.axis)
        return tlc_onnx_unsupported(n, "%s along the batch, which is not in front here, is not"
                                       " supported", n->proto->op_type);
    ++*axis;
    return TLC_OK;
}

tlc_status tlc_onnx_axis(const tlc_onnx_node *n, int64_t fallback, int rank, int most, int64_t *out)
{
    TLC_TRY(tlc_onnx_int(n, "axis", fallback, INT64_MIN, INT64_MAX, out));
    return place_axis(n, "axis", rank, most, out);
}

tlc_status tlc_onnx_wrap_axes(const tlc_onnx_node *n, tlc_ints *axes, int rank)
{
    for (int i = 0; i < axes->n; ++i) {
        TLC_TRY(place_axis(n, "axes", rank, rank - 1, &axes->v[i]));
        for (int k = 0; k < i; ++k)
            if (axes->v[k] == axes->v[i])
                return TLC_ONNX_BAD(n, "axes name axis %" PRId64 " twice", axes->v[i]);
    }
    return TLC_OK;
}

/* --- operands ------------------------------------------------------------ */

tlc_value *tlc_onnx_in(const tlc_onnx_node *n, int i)
{
    return i < n->n_in ? n->in[i] : NULL;
}

tlc_status tlc_onnx_want_const(const tlc_onnx_node *n, int i, const char *role)
{
    const tlc_value *v = tlc_onnx_in(n, i);
    if (!v)
        return TLC_ONNX_BAD(n, "operand %d, the %s, is absent", i, role);
    if (v->kind == TLC_CONST && v->data)
        return TLC_OK;
    return tlc_fail(n->o->ctx, TLC_E_UNSUPPORTED, "E_CONSTANT",
                    "operand %d, the %s, is not constant", i, role);
}

tlc_status tlc_onnx_const_ints(const tlc_onnx_node *n, int i, const char *role, tlc_ints *out)
{
    const int64_t most = sizeof out->v / sizeof *out->v;
    TLC_TRY(tlc_onnx_want_const(n, i, role));
    const tlc_value *v = n->in[i];
    if (v->type != TLC_I64)
        return TLC_ONNX_BAD(n, "the %s is %s, integers wanted", role, tlc_type_name(v->type));
    if (v->shape.rank > 1 || tlc_shape_elems(&v->shape) > most)
        return TLC_ONNX_BAD(n, "the %s is %s, a list of at most %d numbers wanted", role,
                            tlc_type_text(n->o->ctx, v), (int)most);
    out->n = (int)tlc_shape_elems(&v->shape);
    for (int k = 0; k < out->n; ++k)
        out->v[k] = tlc_data_i64(v, k);
    return TLC_OK;
}

tlc_status tlc_onnx_const_number(const tlc_onnx_node *n, int i, const char *role, double fallback,
                                 double *out)
{
    *out = fallback;
    if (!tlc_onnx_in(n, i))
        return TLC_OK;
    TLC_TRY(tlc_onnx_want_const(n, i, role));
    if (tlc_shape_elems(&n->in[i]->shape) != 1)
        return TLC_ONNX_BAD(n, "the %s is %s, one number wanted", role,
                            tlc_type_text(n->o->ctx, n->in[i]));
    *out = tlc_meant(tlc_data_f64(n->in[i], 0));
    return TLC_OK;
}

tlc_status tlc_onnx_const_numbers(const tlc_onnx_node *n, int i, const char *role, int most,
                                  double *out, int *count)
{
    TLC_TRY(tlc_onnx_want_const(n, i, role));
    const tlc_value *v = n->in[i];
    int64_t elems = tlc_shape_elems(&v->shape);
    if (!tlc_is_float(v->type) || v->shape.rank != 1 || elems < 1 || elems > most)
        return TLC_ONNX_BAD(n, "the %s is %s, a list of 1 to %d floats wanted", role,
                            tlc_type_text(n->o->ctx, v), most);
    *count = (int)elems;
    for (int k = 0; k < *count; ++k)
        out[k] = tlc_meant(tlc_data_f64(v, k));
    return TLC_OK;
}

tlc_status tlc_onnx_axes(const tlc_onnx_node *n, int64_t since, int i, tlc_ints *out, bool *given)
{
    bool by_operand = n->o->opset >= since;
    *out = (tlc_ints){ 0 };
    *given = by_operand ? tlc_onnx_in(n, i) != NULL : tlc_onnx_attr(n, "axes") != NULL;
    if (!*given)
        return TLC_OK;
    return by_operand ? tlc_onnx_const_ints(n, i, "axes", out) : tlc_onnx_any_ints(n, "axes", out);
}

/* --- nodes --------------------------------------------------------------- */

tlc_node *tlc_onnx_add(const tlc_onnx_node *n, tlc_op op, tlc_value *const *in, int n_in)
{
    while (n_in > 0 && !in[n_in - 1])
        --n_in;
    return tlc_node_add(n->o->func, NULL, op, n->name, in, n_in);
}

static bool reads_weight(const tlc_onnx_node *n, const tlc_node *node)
{
    for (int i = 0; i < node->n_in; ++i)
        if (node->in[i] && tlc_onnx_is_weight(n->o, node->in[i]))
            return true;
    return false;
}

tlc_status tlc_onnx_step(const tlc_onnx_node *n, tlc_node *node, tlc_value **out)
{
    tlc_value *folded;
    TLC_TRY(tlc_node_infer(n->o->ctx, node));
    TLC_TRY(tlc_fold_node(n->o->ctx, node, &folded));
    *out = node->out[0];
    if (!folded)
        return TLC_OK;
    if (tlc_is_float(folded->type) && reads_weight(n, node))
        tlc_onnx_mark_weight(n->o, folded, folded);
    tlc_node_remove(node);
    *out = folded;
    return TLC_OK;
}

tlc_status tlc_onnx_finish(const tlc_onnx_node *n, tlc_node *node)
{
    tlc_value *v;
    if (n->proto->n_output > 0 && n->proto->output[0][0])
        node->out[0]->name = n->proto->output[0];
    TLC_TRY(tlc_onnx_step(n, node, &v));
    tlc_onnx_define(n, 0, v);
    return TLC_OK;
}
