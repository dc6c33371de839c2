/* op_fold.c: constants made at compile time, and the limit on their bytes. */
#include "op_fold.h"

#include <inttypes.h>
#include <string.h>

tlc_value *tlc_const_make(tlc_module *m, const char *name, tlc_type type, tlc_shape shape,
                          void **out_bytes)
{
    tlc_value *v = tlc_global_add(m, TLC_CONST, name, type, shape);
    void *bytes = tlc_arena_array(&m->ctx->arena, (size_t)tlc_shape_elems(&shape),
                                  (size_t)tlc_type_bytes(type));
    v->data = bytes;
    *out_bytes = bytes;
    return v;
}

/* Shapes went through tlc_check_shape, so elements times bytes fit in 64 bits. */
static tlc_status count_folded(tlc_ctx *ctx, int64_t bytes)
{
    int64_t most = ctx->limits.max[TLB_LIMIT_FOLDED];
    if (bytes > most - ctx->folded_bytes)
        return tlc_fail(ctx, TLC_E_LIMIT, "E_LIMIT_FOLDED",
                        "constants made by folding are %" PRId64 " bytes, limit folded is %" PRId64,
                        ctx->folded_bytes + bytes, most);
    ctx->folded_bytes += bytes;
    return TLC_OK;
}

tlc_status tlc_fold_begin(tlc_ctx *ctx, const tlc_node *n, tlc_folded *out)
{
    const tlc_value *y = n->out[0];
    int64_t elems = tlc_shape_elems(&y->shape), size = tlc_type_bytes(y->type);
    TLC_TRY(count_folded(ctx, elems * size));
    *out = (tlc_folded){ .node = n, .type = y->type };
    out->bytes = tlc_arena_array(&ctx->arena, (size_t)elems, (size_t)size);
    return TLC_OK;
}

tlc_value *tlc_fold_end(const tlc_folded *f)
{
    const tlc_value *y = f->node->out[0];
    tlc_value *v = tlc_global_add(f->node->func->module, TLC_CONST, y->name, y->type, y->shape);
    v->data = f->bytes;
    return v;
}

tlc_status tlc_fold_view(tlc_ctx *ctx, const tlc_node *n, tlc_value **out)
{
    (void)ctx;
    const tlc_value *x = n->in[0], *y = n->out[0];
    tlc_value *v = tlc_global_add(n->func->module, TLC_CONST, y->name, y->type, y->shape);
    v->data = x->data;
    v->data_type = x->data_type;
    v->splat = x->splat;
    v->scale = x->scale;
    v->scale_run = x->scale_run;
    v->file = x->file;
    v->file_offset = x->file_offset;
    *out = v;
    return TLC_OK;
}

void tlc_fold_put_i64(const tlc_folded *f, int64_t to, int64_t x)
{
    unsigned char *at = f->bytes + to * tlc_type_bytes(f->type);
    int32_t narrow = (int32_t)x;
    if (f->type == TLC_I64)
        memcpy(at, &x, sizeof x);
    else if (f->type == TLC_I32)
        memcpy(at, &narrow, sizeof narrow);
    else
        *at = (unsigned char)x;
}

void tlc_fold_put_f64(const tlc_folded *f, int64_t to, double x)
{
    unsigned char *at = f->bytes + to * tlc_type_bytes(f->type);
    float narrow = (float)x;
    if (f->type == TLC_F64)
        memcpy(at, &x, sizeof x);
    else
        memcpy(at, &narrow, sizeof narrow);
}

void tlc_fold_copy(const tlc_folded *f, int64_t to, const tlc_value *src, int64_t from)
{
    if (tlc_is_float(f->type))
        tlc_fold_put_f64(f, to, tlc_data_f64(src, from));
    else
        tlc_fold_put_i64(f, to, tlc_data_i64(src, from));
}

bool tlc_fold_fits(tlc_type t, int64_t x)
{
    switch (t) {
    case TLC_I64:
        return !tlc_dim_multiple(x); /* would read back as the batch */
    case TLC_I32:
        return x >= INT32_MIN && x <= INT32_MAX;
    default:
        return x >= 0 && x <= (t == TLC_BOOL ? 1 : UINT8_MAX);
    }
}

void tlc_row_strides(const tlc_shape *s, int64_t *stride)
{
    int64_t step = 1;
    for (int i = s->rank - 1; i >= 0; --i) {
        stride[i] = step;
        step *= s->dim[i];
    }
}

int64_t tlc_strided_at(const tlc_shape *s, const int64_t *stride, int64_t i)
{
    int64_t at = 0;
    for (int axis = s->rank - 1; axis >= 0; --axis) {
        at += i % s->dim[axis] * stride[axis];
        i /= s->dim[axis];
    }
    return at;
}

void tlc_broadcast_strides(const tlc_value *v, const tlc_shape *y, int64_t *stride)
{
    int64_t own[TLC_MAX_RANK];
    tlc_row_strides(&v->shape, own);
    for (int i = 0; i < y->rank; ++i) {
        int axis = i - (y->rank - v->shape.rank);
        stride[i] = axis < 0 || v->shape.dim[axis] == 1 ? 0 : own[axis];
    }
}

tlc_status tlc_fold_strided(tlc_ctx *ctx, const tlc_node *n, int64_t base, const int64_t *stride,
                            tlc_value **out)
{
    const tlc_shape *s = &n->out[0]->shape;
    tlc_folded f;
    TLC_TRY(tlc_fold_begin(ctx, n, &f));
    for (int64_t i = 0; i < tlc_shape_elems(s); ++i)
        tlc_fold_copy(&f, i, n->in[0], base + tlc_strided_at(s, stride, i));
    *out = tlc_fold_end(&f);
    return TLC_OK;
}

static bool is_known(const tlc_value *v)
{
    return v && v->kind == TLC_CONST && v->data && !tlc_shape_has_n(&v->shape);
}

tlc_status tlc_fold_node(tlc_ctx *ctx, const tlc_node *n, tlc_value **out)
{
    const tlc_op_def *def = tlc_ops[n->op].def;
    *out = NULL;
    if (!def->fold)
        return TLC_OK;
    /* `shape` asks nothing of its operand's elements. */
    for (int i = 0; n->op != TLC_OP_SHAPE && i < n->n_in; ++i)
        if (!is_known(n->in[i]))
            return TLC_OK;
    return def->fold(ctx, n, out);
}
