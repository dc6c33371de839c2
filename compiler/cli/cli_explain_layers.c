/* cli_explain_layers.c: what `tlc explain` finds out, taken where each thing is known: parameters
 * before freeze, reasons after it, multiply-adds past dce (before fusing hides them), kernels and
 * kept bytes from the plan. */
#include "cli_explain.h"

#include <string.h>

/* Layers are asked for in the order they stand in, so a search begins behind the last one. */
static tlc_layer *find_layer(tlc_explained *x, const char *key)
{
    for (size_t i = 0; key && i < x->n; ++i) {
        tlc_layer *l = &x->layers[(x->hint + i) % x->n];
        if (l->key && strcmp(l->key, key) == 0) {
            x->hint = (size_t)(l - x->layers);
            return l;
        }
    }
    return NULL;
}

static tlc_layer *find_bn(tlc_explained *x, const char *key)
{
    for (size_t i = 0; key && i < x->n; ++i) {
        tlc_layer *l = &x->layers[(x->hint + i) % x->n];
        if (l->bn_key && strcmp(l->bn_key, key) == 0)
            return l;
    }
    return NULL;
}

/* --- layers ------------------------------------------------------------------------- */

static void take_params(tlc_explained *x, tlc_layer *l, const tlc_node *n)
{
    for (int i = 0; i < n->n_in; ++i)
        if (n->in[i] && n->in[i]->kind == TLC_PARAM)
            TLC_PUSH(&x->ctx->arena, l->params, l->n_params, l->cap_params, n->in[i]);
}

static bool has_params(const tlc_node *n)
{
    for (int i = 0; i < n->n_in; ++i)
        if (n->in[i] && n->in[i]->kind == TLC_PARAM)
            return true;
    return tlc_op_has(n->op, TLC_T_LINEAR);
}

static void add_layer(tlc_explained *x, const tlc_node *n)
{
    const tlc_node *before = n->in[0] ? n->in[0]->def : NULL;
    bool norm = n->op == TLC_OP_BATCH_NORM;
    bool rides = norm && before && before->op == TLC_OP_CONV2D;
    tlc_layer *host = rides ? find_layer(x, tlc_node_label(before)) : NULL;
    if (host && !host->bn_key) {
        host->bn_key = tlc_node_label(n);
        take_params(x, host, n);
        return;
    }
    const char *key = tlc_node_label(n), *quoted = tlc_quote_name(x->ctx, key ? key : "");
    tlc_layer l = { .key = key, .bn_key = norm ? key : NULL, .bn = "", .kernel = "", .out_id = -1 };
    l.shown = tlc_arena_strndup(&x->ctx->arena, quoted + 1, strlen(quoted) - 2);
    take_params(x, &l, n);
    TLC_PUSH(&x->ctx->arena, x->layers, x->n, x->cap, l);
    x->hint = x->n - 1;
}

static void collect_layers(tlc_explained *x, const tlc_module *m)
{
    const tlc_func *f = tlc_func_find(m, "forward");
    for (const tlc_node *n = f ? f->first : NULL; n; n = n->next)
        if (has_params(n))
            add_layer(x, n);
}

/* The first parameter that is trained decides; where none is, the first one. */
static void judge(tlc_explained *x)
{
    const tlc_findings *f = &x->c.findings;
    for (size_t i = 0; i < x->n; ++i) {
        tlc_layer *l = &x->layers[i];
        const tlc_value *v = l->n_params ? l->params[0] : NULL;
        for (size_t k = 0; k < l->n_params && !l->trained; ++k)
            if (l->params[k]->kind == TLC_PARAM) {
                l->trained = true;
                v = l->params[k];
            }
        l->because = v ? f->because[v->id] : "no parameters";
        if (!l->because)
            l->because = f->new_from_id && v->id >= f->new_from_id ? "new head"
                                                                   : "nothing freezes it";
    }
}

/* --- multiply-adds ------------------------------------------------------------------- */

static void settle_bn(tlc_explained *x, const tlc_node *n)
{
    tlc_layer *l = find_bn(x, tlc_node_label(n));
    if (l && n->op == TLC_OP_BATCH_NORM)
        l->bn = "running";
    else if (l && n->op == TLC_OP_BATCH_NORM_TRAIN)
        l->bn = "batch";
}

static void count_func(tlc_explained *x, const tlc_func *f, bool features)
{
    for (const tlc_node *n = f ? f->first : NULL; n; n = n->next) {
        int64_t macs = tlc_multiply_adds(n);
        tlc_layer *l = find_layer(x, n->gradient_of ? n->gradient_of : tlc_node_label(n));
        settle_bn(x, n);
        if (!features)
            *(n->gradient_of ? &x->backward_step : &x->forward_step) += macs;
        if (l && n->gradient_of)
            l->backward += macs;
        else if (l) {
            l->forward += macs;
            l->in_features = features;
            l->out_id = n->n_out > 0 ? n->out[0]->id : -1;
        }
    }
}

static void count_multiply_adds(tlc_explained *x, const tlc_module *m)
{
    const tlc_func *step = tlc_func_find(m, "step");
    for (size_t i = 0; i < x->n; ++i)
        if (x->layers[i].bn_key)
            x->layers[i].bn = "folded";
    count_func(x, tlc_func_find(m, "features"), true);
    count_func(x, step ? step : tlc_func_find(m, "head"), false);
}

static tlc_status after_pass(void *self, const tlc_pass *p, const tlc_module *m)
{
    tlc_explained *x = self;
    if (p->run == tlc_pass_replace_head)
        collect_layers(x, m);
    else if (p->run == tlc_pass_freeze)
        judge(x);
    else if (p->run == tlc_pass_dce)
        count_multiply_adds(x, m);
    return TLC_OK;
}

/* --- the plan ------------------------------------------------------------------------- */

static tlc_layer **layers_by_value(tlc_explained *x)
{
    tlc_layer **of = TLC_NEW_ARRAY(&x->ctx->arena, tlc_layer *, x->c.module->n_values);
    for (size_t i = 0; i < x->n; ++i)
        if (x->layers[i].out_id >= 0)
            of[x->layers[i].out_id] = &x->layers[i];
    return of;
}

static void name_kernels(tlc_explained *x, tlc_layer *const *of)
{
    size_t at = 0;
    for (const tlc_func *f = x->c.module->first_func; f; f = f->next)
        for (const tlc_node *n = f->first; n; n = n->next, ++at) {
            tlc_layer *l = n->n_out > 0 ? of[n->out[0]->id] : NULL;
            if (l && x->c.plan.kernel[at])
                l->kernel = x->c.plan.kernel[at]->report;
        }
}

/* Values made before the loss that are read behind it, each under the layer it was made in or
 * after; a view counts as what it views. */
static void count_kept(tlc_explained *x, tlc_layer *const *of)
{
    const tlc_func *step = tlc_func_find(x->c.module, "step");
    tlc_arena *arena = &x->ctx->arena;
    int n_values = x->c.module->n_values;
    tlc_layer **owner = TLC_NEW_ARRAY(arena, tlc_layer *, n_values), *at = NULL;
    const tlc_value **root = TLC_NEW_ARRAY(arena, const tlc_value *, n_values);
    bool behind = false;
    for (const tlc_node *n = step ? step->first : NULL; n; n = n->next) {
        for (int i = 0; behind && i < n->n_in; ++i) {
            const tlc_value *v = n->in[i] ? root[n->in[i]->id] : NULL;
            if (!v || !owner[v->id])
                continue;
            owner[v->id]->kept += x->c.plan.place[v->id].bytes;
            owner[v->id] = NULL; /* once */
        }
        behind = behind || n->op == TLC_OP_CROSS_ENTROPY;
        for (int i = 0; !behind && i < n->n_out; ++i) {
            int id = n->out[i]->id;
            at = of[id] ? of[id] : at;
            root[id] = tlc_kernel_is_alias(n) ? root[n->in[0]->id] : n->out[i];
            owner[id] = root[id] == n->out[i] ? at : NULL;
        }
    }
}

tlc_status tlc_explain_build(const tlb_args *a, tlc_explained *x)
{
    x->c.after = after_pass;
    x->c.after_self = x;
    TLC_TRY(tlc_cli_build(x->ctx, a, &x->c));
    tlc_layer **of = layers_by_value(x);
    name_kernels(x, of);
    count_kept(x, of);
    return TLC_OK;
}

/* --- blocks ----------------------------------------------------------------------------- */

bool tlc_explain_in_block(const tlc_layer *l, const char *block, size_t len)
{
    if (!l->key || strncmp(l->key, block, len) != 0)
        return false;
    return l->key[len] == '\0' || l->key[len] == '/' || l->key[len] == '.';
}

static bool takes_all_frozen(const tlc_explained *x, const char *block, size_t len)
{
    for (size_t i = 0; i < x->n; ++i)
        if (!x->layers[i].trained && x->layers[i].n_params > 0 &&
            !tlc_explain_in_block(&x->layers[i], block, len))
            return false;
    return true;
}

/* The shortest front of the last frozen layer's name that leaves something frozen. */
const char *tlc_explain_block(const tlc_explained *x, size_t *out_len)
{
    const char *name = NULL;
    for (size_t i = 0; i < x->n; ++i)
        if (!x->layers[i].trained && x->layers[i].n_params && x->layers[i].key)
            name = x->layers[i].key;
    if (!name || !x->c.plan.trains)
        return NULL;
    size_t len = 0, whole = strlen(name);
    do {
        len += len < whole; /* over the separator */
        len += strcspn(name + len, "/.");
    } while (len < whole && takes_all_frozen(x, name, len));
    *out_len = len;
    return name;
}
