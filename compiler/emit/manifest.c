/* manifest.c: manifest.json, what the folder is: for people, for `trainer info`, and so that a
 * later compile knows the folder as ours.
 *
 * With export.json and export.bin the files that hold names from the model: here as JSON strings
 * in ASCII.
 */
#include "emit_parts.h"

#include "tlb_escape.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Text as a JSON string; bytes that are no UTF-8 (from a command line) are escaped first. */
static json_t *text(const char *s)
{
    if (!s)
        return json_null();
    json_t *j = json_string(s);
    if (j)
        return j;
    size_t cap = strlen(s) * 4 + 1;
    char *escaped = malloc(cap); /* not in the arena: a jump would leave the document behind */
    if (escaped)
        tlb_escape(escaped, cap, s, strlen(s));
    j = escaped ? json_string(escaped) : NULL;
    free(escaped);
    return j;
}

/* A float by its own digits: 0.485, not the double next to it; JSON has no infinity. */
static json_t *number(float x)
{
    char digits_text[32];
    if (!isfinite(x))
        return json_null();
    for (int digits = 1; digits <= 9; ++digits) {
        snprintf(digits_text, sizeof digits_text, "%.*g", digits, (double)x);
        if (strtof(digits_text, NULL) == x)
            break;
    }
    return json_real(strtod(digits_text, NULL));
}

static json_t *floats(const float *x, int n)
{
    json_t *list = json_array();
    for (int i = 0; i < n; ++i)
        json_array_append_new(list, number(x[i]));
    return list;
}

/* Dimensions; the batch is "n". */
static json_t *shape(const tlc_shape *s)
{
    json_t *list = json_array();
    for (int i = 0; i < s->rank; ++i)
        json_array_append_new(list, s->dim[i] == TLC_DIM_N ? json_string("n")
                                                           : json_integer(s->dim[i]));
    return list;
}

static const char *kind_name(const tlc_emission *e, const tlc_value *v)
{
    static const char *const names[] = { [TLC_CONST] = "const", [TLC_PARAM] = "param",
                                         [TLC_STATE] = "state" };
    if (tlc_emit_is_gradient(e, v))
        return "gradient";
    return e->p->derived[v->id] ? "derived" : names[v->kind];
}

static json_t *tensors(const tlc_emission *e)
{
    json_t *list = json_array();
    for (size_t i = 0; i < e->m->n_globals; ++i) {
        const tlc_value *v = e->m->globals[i];
        json_t *row = json_pack("{s:I, s:o, s:s, s:s, s:o}", "index", (json_int_t)i, "name",
                                text(v->name), "kind", kind_name(e, v), "type",
                                tlc_type_name(v->type), "shape", shape(&v->shape));
        if (v->kind == TLC_PARAM && tlc_emit_is_backbone(e, v))
            json_object_set_new(row, "group", json_string("backbone"));
        json_array_append_new(list, row);
    }
    return list;
}

/* --- layers ------------------------------------------------------------------------ */

/* Elements of the weights a node reads; does it read a trained one? */
static int64_t params_of(const tlc_node *n, bool *out_trained)
{
    int64_t elems = 0;
    *out_trained = false;
    for (int i = 0; i < n->n_in; ++i) {
        const tlc_value *v = n->in[i];
        if (!v || !tlc_is_float(v->type) || (v->kind != TLC_CONST && v->kind != TLC_PARAM))
            continue;
        elems += tlc_shape_elems(&v->shape);
        *out_trained |= v->kind == TLC_PARAM;
    }
    return elems;
}

static void add_layers(const tlc_emission *e, const tlc_func *f, json_t *list)
{
    const tlc_kernel *const *k = f ? tlc_emit_kernels(e, f) : NULL;
    for (const tlc_node *n = f ? f->first : NULL; n; n = n->next, ++k) {
        bool trained;
        int64_t params = params_of(n, &trained);
        if (!*k)
            continue;
        json_t *row = json_pack("{s:o, s:s, s:s, s:o, s:I, s:I, s:s, s:b}", "name",
                                text(n->name), "op", tlc_ops[n->op].name, "function", f->name,
                                "output", n->n_out ? shape(&n->out[0]->shape) : json_array(),
                                "params", (json_int_t)params, "multiply_adds",
                                (json_int_t)tlc_multiply_adds(n), "kernel", (*k)->report, "frozen",
                                !trained);
        json_array_append_new(list, row);
    }
}

static json_t *layers(const tlc_emission *e)
{
    json_t *list = json_array();
    add_layers(e, e->features, list);
    add_layers(e, e->head, list);
    return list;
}

/* --- values kept for verify: the rows of the model's `values`, in their order ----------- */

static void add_values(const tlc_emission *e, const tlc_func *f, json_t *list)
{
    for (const tlc_node *n = f ? f->first : NULL; n; n = n->next)
        for (int i = 0; i < n->n_out; ++i) {
            const tlc_value *v = n->out[i];
            if (e->p->place[v->id].region != TLC_REGION_ACT)
                continue;
            json_t *row = json_pack("{s:i, s:o, s:o, s:s, s:o}", "id", v->id, "name",
                                    text(v->name), "node", text(n->name), "op",
                                    tlc_ops[n->op].name, "shape", shape(&v->shape));
            json_array_append_new(list, row);
        }
}

static json_t *values(const tlc_emission *e)
{
    json_t *list = json_array();
    if (e->spec->options->keep_values) {
        add_values(e, e->features, list);
        add_values(e, e->head, list);
    }
    return list;
}

/* --- the rest ------------------------------------------------------------------------ */

static json_t *memory(const tlc_emission *e)
{
    const tlc_plan *p = e->p;
    int64_t batch = e->spec->options->batch;
    int64_t peak = p->trains ? tlc_plan_peak(p, batch, true) : 0;
    int64_t uncached = p->trains ? tlc_plan_peak_uncached(p, batch) : 0;
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "batch",
                     (json_int_t)batch, "consts_bytes", (json_int_t)p->consts_bytes, "params_bytes",
                     (json_int_t)p->params_bytes, "vars_bytes", (json_int_t)p->vars_bytes,
                     "act_infer_bytes", (json_int_t)p->act_infer_bytes, "act_features_bytes",
                     (json_int_t)p->act_features_bytes, "act_step_bytes",
                     (json_int_t)p->act_step_bytes, "fix_infer_bytes",
                     (json_int_t)p->fix_infer_bytes, "fix_step_bytes",
                     (json_int_t)p->fix_step_bytes, "scratch_bytes", (json_int_t)p->scratch_bytes,
                     "peak_infer_bytes", (json_int_t)tlc_plan_peak(p, batch, false),
                     "peak_train_bytes", (json_int_t)peak, "peak_train_uncached_bytes",
                     (json_int_t)uncached);
}

static json_t *preprocess(const tlr_preprocess *p)
{
    if (p->kind == TLR_PREPROCESS_NONE)
        return json_null();
    return json_pack("{s:s, s:s, s:i, s:[i,i], s:[i,i], s:o, s:o}", "layout",
                     p->channels_last ? "NHWC" : "NCHW", "channel_order", p->bgr ? "BGR" : "RGB",
                     "resize_short", p->resize_short, "resize", p->resize_h, p->resize_w, "crop",
                     p->crop_h, p->crop_w, "mean", floats(p->mean, 3), "std", floats(p->std, 3));
}

static json_t *options(const tlc_emission *e)
{
    static const char *const optimizers[] = { [TLC_ADAM] = "adam", [TLC_ADAMW] = "adamw",
                                              [TLC_SGD] = "sgd" };
    static const char *const policies[] = { [TLC_BN_DEFAULT] = "train", [TLC_BN_FROZEN] = "frozen",
                                            [TLC_BN_STATS] = "stats" };
    const tlc_options *o = e->spec->options;
    return json_pack("{s:o, s:o, s:s, s:I, s:b, s:f, s:b, s:b, s:b, s:b}", "command",
                     text(e->spec->command_options), "optimizer",
                     text(e->step ? optimizers[o->optimizer] : NULL), "bn", policies[o->bn],
                     "batch", (json_int_t)o->batch, "nesterov", o->nesterov, "label_smoothing",
                     o->label_smoothing, "fuse", !o->no_fuse, "reuse", !o->no_reuse, "keep_values",
                     o->keep_values, "keep_gradients", o->keep_gradients);
}

/* By the statistics that they go by in training. */
static json_t *batch_norms(const tlc_findings *f)
{
    return json_pack("{s:i, s:i, s:i, s:i}", "batch_trained", f->bn_train, "batch_frozen",
                     f->bn_stats, "running", f->bn_frozen, "folded", f->bn_folded);
}

static json_t *strings(const char *const *s, size_t n)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n; ++i)
        json_array_append_new(list, text(s[i]));
    return list;
}

static json_t *manifest(const tlc_emission *e, const char *const *files, size_t n_files)
{
    const tlc_emit_spec *s = e->spec;
    const tlc_findings *f = s->findings;
    return json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:I, s:I, s:o, s:o, s:o, s:o,"
        " s:o}",
        "schema", "tlc.manifest/1", "name", s->name, "tlc", TLC_VERSION, "target",
        tlc_emit_target_name(s->options->target), "precision",
        tlc_emit_precision_name(s->options->precision), "graph_sha256",
        f->graph_sha256.hex, "code_sha256", e->code.hex, "model",
        text(s->model_file), "options", options(e), "preprocess", preprocess(&s->preprocess),
        "batch_norms", batch_norms(f), "trained", strings(f->trained_names, f->n_trained),
        "params_trained", (json_int_t)f->params_trained, "params_frozen",
        (json_int_t)f->params_frozen, "tensors", tensors(e), "layers", layers(e), "values",
        values(e), "memory", memory(e), "files", strings(files, n_files));
}

const char *tlc_emit_manifest(const tlc_emission *e, const char *const *files, size_t n_files)
{
    json_t *root = manifest(e, files, n_files);
    char *dump = root ? json_dumps(root, JSON_SORT_KEYS | JSON_ENSURE_ASCII | JSON_INDENT(1) |
                                             JSON_REAL_PRECISION(15))
                      : NULL;
    size_t n = dump ? strlen(dump) : 0;
    char *kept = dump ? tlc_arena_try_alloc(&e->ctx->arena, n + 2) : NULL;
    if (kept)
        snprintf(kept, n + 2, "%s\n", dump);
    free(dump);
    json_decref(root);
    return kept;
}
