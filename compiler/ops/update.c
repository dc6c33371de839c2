/* update.c: optimizers, alone and fused with the gradient of a linear layer's weight.
 *
 * They overwrite a parameter and its state in place and define nothing.  Rates are numbers of
 * the run; only what changes the code is an attribute.  `accumulate` keeps a gradient for an update
 * in @update, where gradients are clipped or summed over batches.
 */
#include "op_attrs.h"
#include "op_infer.h"

#include <string.h>

const tlc_attr_def tlc_sgd_attr_rows[] = {
    TLC_ATTR_BOOL_ROW(tlc_sgd_attrs, nesterov, "false"),
    TLC_ATTR_BOOL_ROW(tlc_sgd_attrs, backbone, "false"),
    TLC_ATTR_END
};
const tlc_attr_def tlc_adam_attr_rows[] = {
    TLC_ATTR_BOOL_ROW(tlc_adam_attrs, decoupled, "false"),
    TLC_ATTR_BOOL_ROW(tlc_adam_attrs, backbone, "false"),
    TLC_ATTR_END
};
static const tlc_attr_def accumulate_attrs[] = {
    TLC_ATTR_BOOL_ROW(tlc_accumulate_attrs, backbone, "false"),
    TLC_ATTR_END
};

tlc_status tlc_want_written(tlc_ctx *ctx, const tlc_node *n, int n_states)
{
    const tlc_value *w = n->in[0];
    TLC_TRY(tlc_want_float(ctx, w, "w"));
    if (w->kind != TLC_PARAM)
        return tlc_fail(ctx, TLC_E_MALFORMED, "E_WRITES", "w is overwritten, a param wanted");
    for (int i = 1; i <= n_states; ++i) {
        if (n->in[i]->kind != TLC_STATE)
            return tlc_fail(ctx, TLC_E_MALFORMED, "E_WRITES",
                            "operand %d is overwritten, a state wanted", i);
        TLC_TRY(tlc_want_like(ctx, n->in[i], w, "state"));
    }
    return TLC_OK;
}

/* States, then the gradient. */
static tlc_status infer_update(tlc_ctx *ctx, tlc_node *n)
{
    int n_states = n->n_in - 2;
    TLC_TRY(tlc_want_written(ctx, n, n_states));
    return tlc_want_like(ctx, n->in[1 + n_states], n->in[0], "gradient");
}

/* States, then dy [n,out] and x [n,in] for w [out,in]. */
static tlc_status infer_linear_update(tlc_ctx *ctx, tlc_node *n)
{
    int n_states = n->n_in - 3;
    const tlc_value *w = n->in[0], *dy = n->in[1 + n_states], *x = n->in[2 + n_states];
    TLC_TRY(tlc_want_written(ctx, n, n_states));
    TLC_TRY(tlc_want_rank(ctx, w, 2, "w"));
    TLC_TRY(tlc_want_matrix(ctx, dy, "dy"));
    tlc_shape dy_shape = tlc_shape2(dy->shape.dim[0], w->shape.dim[0]);
    tlc_shape x_shape = tlc_shape2(dy->shape.dim[0], w->shape.dim[1]);
    TLC_TRY(tlc_want_type(ctx, dy, w->type, "dy"));
    TLC_TRY(tlc_want_shape(ctx, dy, &dy_shape, "dy"));
    TLC_TRY(tlc_want_type(ctx, x, w->type, "x"));
    return tlc_want_shape(ctx, x, &x_shape, "x");
}

static int64_t linear_cost(const tlc_node *n)
{
    return tlc_shape_elems(&n->in[0]->shape);
}

static tlc_status infer_accumulate(tlc_ctx *ctx, tlc_node *n)
{
    TLC_TRY(tlc_want_float(ctx, n->in[0], "kept gradient"));
    if (n->in[0]->kind != TLC_STATE)
        return tlc_fail(ctx, TLC_E_MALFORMED, "E_WRITES",
                        "the kept gradient is overwritten, a state wanted");
    return tlc_want_like(ctx, n->in[1], n->in[0], "gradient");
}

bool tlc_trains_backbone(const tlc_node *n)
{
    for (const tlc_attr_def *a = tlc_ops[n->op].def->attrs; a && a->name; ++a)
        if (a->kind == TLC_ATTR_BOOL && strcmp(a->name, "backbone") == 0)
            return *(const bool *)((const char *)n->attrs + a->offset);
    return false;
}

const tlc_op_def tlc_op_accumulate = {
    .attrs = accumulate_attrs,
    .attrs_size = sizeof(tlc_accumulate_attrs),
    .infer = infer_accumulate,
};

const tlc_op_def tlc_op_sgd_update = {
    .attrs = tlc_sgd_attr_rows,
    .attrs_size = sizeof(tlc_sgd_attrs),
    .infer = infer_update,
};

const tlc_op_def tlc_op_adam_update = {
    .attrs = tlc_adam_attr_rows,
    .attrs_size = sizeof(tlc_adam_attrs),
    .infer = infer_update,
};

const tlc_op_def tlc_op_linear_sgd = {
    .attrs = tlc_sgd_attr_rows,
    .attrs_size = sizeof(tlc_sgd_attrs),
    .infer = infer_linear_update,
    .cost = linear_cost,
};

const tlc_op_def tlc_op_linear_adam = {
    .attrs = tlc_adam_attr_rows,
    .attrs_size = sizeof(tlc_adam_attrs),
    .infer = infer_linear_update,
    .cost = linear_cost,
};
