/* pipeline.c: the passes of `tlc compile`, and why they stand in this order.
 *
 *   fold_constants  first, so that shape arithmetic of exporters (Shape, Gather, Concat ->
 *                   Reshape) is gone before anybody looks at shapes and operands.
 *   canonicalise    one spelling of each thing (linear, flatten, pads inside convolutions):
 *                   what follows knows one pattern each.
 *   replace_head    before freeze, which treats new parameters apart from old ones.
 *   freeze          before fold_bn and split: both ask what is constant.
 *   fold_bn         before split, so that no batch norm stands across the cut.
 *   split           before differentiate: the gradient is taken of @step alone, which holds
 *                   nothing below the cut.
 *   differentiate   before fuse: operators' gradients know no fused activations' insides.
 *   dce             between, so that what differentiate made and nobody reads does not count
 *                   as a reader where fuse asks for single ones.
 *   (identity)      of the run, which targets share: what follows goes by kernels and layouts.
 *                   (Of what came before, target ref skips fold_bn: there its runs are its own.)
 *   winograd        after differentiate, whose nodes it rewrites; before fuse, so that a sum of
 *                   gradients rides on the convolution that makes one of them.
 *   split_sums      likewise after differentiate: how a sum is cut is a matter of the target.
 *   fuse            after the cut, so that nothing is fused across it: features cross it as
 *                   they are, and cached and uncached runs have the same bits.
 *   (precision)     f32 becomes f64 once no pass computes with weights any more.
 *   assign_layouts  last: it asks which kernel serves each node, fused as it is.
 */
#include "pass_util.h"

#include "text.h"

#include <string.h>

const tlc_pass tlc_passes[] = {
#define TLC_PASS(pass_name, pass_needs, pass_breaks, pass_summary)                    \
    { .name = #pass_name, .summary = pass_summary, .needs = pass_needs,               \
      .breaks = pass_breaks, .run = tlc_pass_##pass_name },
#include "passes.def"
#undef TLC_PASS
};
const size_t tlc_n_passes = sizeof tlc_passes / sizeof tlc_passes[0];

static const char *const order[] = {
    "fold_constants", "canonicalise", "replace_head", "freeze", "fold_bn",
    "split", "differentiate", "dce", "winograd", "split_sums", "fuse", "assign_layouts",
};

const tlc_pass *tlc_pass_find(const char *name)
{
    for (size_t i = 0; i < tlc_n_passes; ++i)
        if (strcmp(tlc_passes[i].name, name) == 0)
            return &tlc_passes[i];
    return NULL;
}

/* Who establishes the facts that `p` needs and `env` lacks. */
static tlc_status missing_fact(tlc_ctx *ctx, const tlc_pass *p, unsigned lacks)
{
    return tlc_fail(ctx, TLC_E_USAGE, "E_PASS_ORDER", "pass %s needs %s before it", p->name,
                    lacks & TLC_FACT_FROZEN ? "freeze" : "split");
}

tlc_status tlc_pass_run(tlc_ctx *ctx, const tlc_pass *p, tlc_module *m, tlc_pass_env *env)
{
    tlc_at(ctx, "%s", "");
    if (p->needs & ~env->facts)
        return missing_fact(ctx, p, p->needs & ~env->facts);
    TLC_TRY(p->run(ctx, m, env));
    tlc_at(ctx, "%s", "");
    env->facts &= ~p->breaks;
    if (!ctx->verify_between_passes)
        return TLC_OK;
    tlc_at(ctx, "after pass %s", p->name);
    TLC_TRY(tlc_verify_module(ctx, m));
    tlc_at(ctx, "%s", "");
    return TLC_OK;
}

static int64_t param_elems(const tlc_module *m)
{
    int64_t elems = 0;
    for (size_t i = 0; i < m->n_globals; ++i)
        if (m->globals[i]->kind == TLC_PARAM)
            elems += tlc_shape_elems(&m->globals[i]->shape);
    return elems;
}

enum { BN_PARAMS_END = 3 }; /* scale and bias; behind them stand running statistics */

/* Constants that stand where an operator takes weights; those of arithmetic are no parameters. */
static int64_t frozen_elems(const tlc_module *m)
{
    bool *seen = TLC_NEW_ARRAY(&m->ctx->arena, bool, m->n_values);
    int64_t elems = 0;
    for (const tlc_func *f = m->first_func; f; f = f->next)
        for (const tlc_node *n = f->first; n; n = n->next) {
            bool norm = n->op == TLC_OP_BATCH_NORM;
            if (!tlc_op_has(n->op, TLC_T_LINEAR) && !norm)
                continue;
            for (int i = 1; i < (norm ? BN_PARAMS_END : n->n_in); ++i) {
                const tlc_value *v = n->in[i];
                if (!v || v->kind != TLC_CONST || seen[v->id])
                    continue;
                seen[v->id] = true;
                elems += tlc_shape_elems(&v->shape);
            }
        }
    return elems;
}

static const char *precision_name(const tlc_options *o)
{
    return o->precision == TLC_PRECISION_FP64 ? "fp64" : "fp32";
}

/* What has to happen between the rows of `order` just before `p`. */
static void before_pass(const tlc_pass *p, tlc_module *m, tlc_pass_env *env)
{
    if (p->run == tlc_pass_winograd) /* the first that goes by the target */
        env->findings->graph_sha256 = tlc_module_sha256(m, precision_name(env->options));
    if (p->run == tlc_pass_fuse)
        env->findings->params_frozen = frozen_elems(m);
    if (p->run == tlc_pass_assign_layouts && env->options->precision == TLC_PRECISION_FP64)
        tlc_module_to_f64(m);
}

tlc_status tlc_pipeline_run(tlc_ctx *ctx, tlc_module *m, tlc_pass_env *env,
                            tlc_after_pass_fn *after, void *self)
{
    if (!env->findings->params_model)
        env->findings->params_model = param_elems(m);
    for (size_t i = 0; i < sizeof order / sizeof order[0]; ++i) {
        const tlc_pass *p = tlc_pass_find(order[i]);
        before_pass(p, m, env);
        TLC_TRY(tlc_pass_run(ctx, p, m, env));
        if (after)
            TLC_TRY(after(self, p, m));
    }
    return TLC_OK;
}
