/* onnx_map_logic.c: comparisons, Range, ScatterND: shape arithmetic and masks, which must fold;
 * Min, Max.
 */
#include "onnx_map.h"

#include <string.h>

static tlc_status fold(const tlc_onnx_node *n, tlc_op op, tlc_value *const *in, int n_in,
                       tlc_value **v)
{
    TLC_TRY(tlc_onnx_step(n, tlc_onnx_add(n, op, in, n_in), v));
    if ((*v)->kind == TLC_CONST)
        return TLC_OK;
    return tlc_onnx_unsupported(n, "%s of values that are not constant is not supported",
                                n->row->op);
}

/* v = op(a, b) */
static tlc_status step(const tlc_onnx_node *n, tlc_op op, tlc_value *a, tlc_value *b, tlc_value **v)
{
    return fold(n, op, (tlc_value *[]){ a, b }, 2, v);
}

static tlc_status negate(const tlc_onnx_node *n, tlc_value *a, tlc_value **v)
{
    void *no;
    tlc_value *zero = tlc_const_make(n->o->module, NULL, TLC_BOOL, (tlc_shape){ 0 }, &no);
    *(unsigned char *)no = 0;
    return step(n, TLC_OP_EQUAL, a, zero, v);
}

/* a or b is not (not a and not b) */
static tlc_status either(const tlc_onnx_node *n, tlc_value *a, tlc_value *b, tlc_value **v)
{
    TLC_TRY(negate(n, a, &a));
    TLC_TRY(negate(n, b, &b));
    TLC_TRY(step(n, TLC_OP_AND, a, b, v));
    return negate(n, *v, v);
}

static tlc_status define(const tlc_onnx_node *n, tlc_value *v)
{
    tlc_onnx_define(n, 0, v);
    return TLC_OK;
}

static tlc_status compare(const tlc_onnx_node *n, tlc_value *a, tlc_value *b, bool or_equal)
{
    tlc_value *v, *equal;
    TLC_TRY(step(n, TLC_OP_GREATER, a, b, &v));
    if (or_equal) {
        TLC_TRY(step(n, TLC_OP_EQUAL, a, b, &equal));
        TLC_TRY(either(n, v, equal, &v));
    }
    return define(n, v);
}

tlc_status tlc_onnx_map_greater(tlc_onnx_node *n)
{
    return compare(n, n->in[0], n->in[1], false);
}

tlc_status tlc_onnx_map_greater_or_equal(tlc_onnx_node *n)
{
    return compare(n, n->in[0], n->in[1], true);
}

tlc_status tlc_onnx_map_less(tlc_onnx_node *n)
{
    return compare(n, n->in[1], n->in[0], false);
}

tlc_status tlc_onnx_map_less_or_equal(tlc_onnx_node *n)
{
    return compare(n, n->in[1], n->in[0], true);
}

static tlc_status map_two(const tlc_onnx_node *n, tlc_op op)
{
    tlc_value *v;
    TLC_TRY(step(n, op, n->in[0], n->in[1], &v));
    return define(n, v);
}

tlc_status tlc_onnx_map_equal(tlc_onnx_node *n)
{
    return map_two(n, TLC_OP_EQUAL);
}

tlc_status tlc_onnx_map_and(tlc_onnx_node *n)
{
    return map_two(n, TLC_OP_AND);
}

tlc_status tlc_onnx_map_or(tlc_onnx_node *n)
{
    tlc_value *v;
    TLC_TRY(either(n, n->in[0], n->in[1], &v));
    return define(n, v);
}

tlc_status tlc_onnx_map_not(tlc_onnx_node *n)
{
    tlc_value *v;
    TLC_TRY(negate(n, n->in[0], &v));
    return define(n, v);
}

tlc_status tlc_onnx_map_mod(tlc_onnx_node *n)
{
    bool of_floats;
    TLC_TRY(tlc_onnx_bool(n, "fmod", false, &of_floats));
    if (of_floats)
        return tlc_onnx_unsupported(n, "Mod with fmod 1 is not supported");
    return map_two(n, TLC_OP_MOD);
}

static tlc_status map_all(const tlc_onnx_node *n, tlc_op op)
{
    tlc_value *v = n->in[0];
    for (int i = 1; i < n->n_in; ++i) {
        if (!n->in[i])
            return TLC_ONNX_BAD(n, "operand %d is absent", i);
        tlc_node *node = tlc_onnx_add(n, op, (tlc_value *[]){ v, n->in[i] }, 2);
        if (i + 1 == n->n_in)
            return tlc_onnx_finish(n, node);
        TLC_TRY(tlc_onnx_step(n, node, &v));
    }
    return define(n, v);
}

tlc_status tlc_onnx_map_min(tlc_onnx_node *n)
{
    return map_all(n, TLC_OP_MIN);
}

tlc_status tlc_onnx_map_max(tlc_onnx_node *n)
{
    return map_all(n, TLC_OP_MAX);
}

tlc_status tlc_onnx_map_range(tlc_onnx_node *n)
{
    static const char *const roles[] = { "start", "limit", "delta" };
    tlc_value *v;
    for (int i = 0; i < 3; ++i)
        TLC_TRY(tlc_onnx_want_const(n, i, roles[i]));
    TLC_TRY(fold(n, TLC_OP_RANGE, n->in, 3, &v));
    return define(n, v);
}

tlc_status tlc_onnx_map_scatter_nd(tlc_onnx_node *n)
{
    static const char *const roles[] = { "data", "indices", "updates" };
    const char *reduction;
    tlc_value *v;
    TLC_TRY(tlc_onnx_text(n, "reduction", &reduction));
    if (reduction && strcmp(reduction, "none") != 0)
        return tlc_onnx_unsupported(n, "ScatterND with reduction %s is not supported",
                                    tlc_quote_name(n->o->ctx, reduction));
    for (int i = 0; i < 3; ++i)
        TLC_TRY(tlc_onnx_want_const(n, i, roles[i]));
    TLC_TRY(fold(n, TLC_OP_SCATTER_ND, n->in, 3, &v));
    return define(n, v);
}
