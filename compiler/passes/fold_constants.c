/* fold_constants.c: replace nodes whose operands are all constant.
 *
 * Exporters compute shapes at run time (Shape, Gather, Concat, Reshape); with every shape
 * static but the batch, which folding carries as a symbol, all of it becomes constants here.
 * One forward walk is enough: a node is folded after its operands were.  What a node folds
 * to, and the limit on bytes made so, belong to the operators (tlc_fold_node).
 */
#include "pass_util.h"

static tlc_status fold_func(tlc_ctx *ctx, tlc_func *f)
{
    tlc_rewrite rw = tlc_rewrite_begin(f);
    for (tlc_node *n = f->first; n; n = n->next) {
        tlc_value *folded = NULL;
        tlc_rewrite_visit(&rw, n);
        tlc_at_node(ctx, n);
        TLC_TRY(tlc_fold_node(ctx, n, &folded));
        if (!folded)
            continue;
        if (!folded->name)
            folded->name = n->out[0]->name;
        tlc_rewrite_value(&rw, n->out[0], folded);
        tlc_rewrite_drop(&rw, n);
    }
    tlc_rewrite_end(&rw);
    return TLC_OK;
}

tlc_status tlc_pass_fold_constants(tlc_ctx *ctx, tlc_module *m, tlc_pass_env *env)
{
    (void)env;
    for (tlc_func *f = m->first_func; f; f = f->next)
        TLC_TRY(fold_func(ctx, f));
    tlc_globals_prune(m);
    return TLC_OK;
}
