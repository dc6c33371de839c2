/* describe.c: the constant descriptor at the end of model.c, and the two small files that name it.
 */
#include "emit_parts.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *tlc_emit_target_name(tlc_target t)
{
    static const char *const names[] = { "cpu", "ref", "cuda" };
    return names[t];
}

const char *tlc_emit_precision_name(tlc_precision p)
{
    static const char *const names[] = { "fp32", "fp64", "tf32", "bf16" };
    return names[p];
}

static const char *const type_names[TLC_TYPE_COUNT] = {
    [TLC_F32] = "TLR_F32", [TLC_F64] = "TLR_F64", [TLC_I64] = "TLR_I64",
    [TLC_I32] = "TLR_I32", [TLC_U8] = "TLR_U8",   [TLC_BOOL] = "TLR_BOOL",
};
static const char *const layout_names[TLC_LAYOUT_COUNT] = {
    [TLC_PLAIN] = "TLR_PLAIN",   [TLC_C16] = "TLR_C16",   [TLC_OI16] = "TLR_OI16",
    [TLC_STEM16] = "TLR_STEM16", [TLC_DW16] = "TLR_DW16", [TLC_LIN16] = "TLR_LIN16",
    [TLC_NHWC] = "TLR_NHWC",
};
static const char *const init_names[] = {
    [TLC_INIT_NONE] = "TLR_INIT_NONE",
    [TLC_INIT_CONSTANT] = "TLR_INIT_CONSTANT",
    [TLC_INIT_UNIFORM_FAN_IN] = "TLR_INIT_UNIFORM_FAN_IN",
    [TLC_INIT_NORMAL] = "TLR_INIT_NORMAL",
    [TLC_INIT_NORMAL_FAN_OUT] = "TLR_INIT_NORMAL_FAN_OUT",
};

/* A double as a C constant that reads back as the same bits. */
static void w_double(tlc_cwriter *w, double x)
{
    if (isnan(x) || isinf(x))
        tlc_w(w, "%s", isnan(x) ? "NAN" : x > 0 ? "INFINITY" : "-INFINITY");
    else
        tlc_w_double(w, x);
}

/* The same for float: fewer digits do, and the suffix keeps the compiler from rounding twice. */
static void w_float(tlc_cwriter *w, float x)
{
    char text[32];
    for (int digits = 1; digits <= 9; ++digits) {
        snprintf(text, sizeof text, "%.*g", digits, (double)x);
        if (strtof(text, NULL) == x)
            break;
    }
    tlc_w(w, "%s%sf", text, strpbrk(text, ".e") ? "" : ".0");
}

static void w_dims(tlc_cwriter *w, const tlc_shape *s)
{
    tlc_w(w, ".rank = %d, .dim = { ", s->rank);
    for (int i = 0; i < s->rank; ++i)
        tlc_w(w, "%s%" PRId64, i ? ", " : "", s->dim[i]);
    tlc_w(w, "%s }", s->rank ? "" : "0");
}

/* --- tensors ---------------------------------------------------------------------- */

bool tlc_emit_is_gradient(const tlc_emission *e, const tlc_value *v)
{
    return e->writer[v->id] && e->writer[v->id]->op == TLC_OP_ACCUMULATE;
}

bool tlc_emit_is_backbone(const tlc_emission *e, const tlc_value *v)
{
    return e->writer[v->id] && tlc_trains_backbone(e->writer[v->id]);
}

static const char *tensor_kind(const tlc_emission *e, const tlc_value *v)
{
    if (tlc_emit_is_gradient(e, v))
        return "TLR_GRADIENT";
    if (v->kind == TLC_CONST)
        return "TLR_CONST";
    if (v->kind == TLC_PARAM)
        return "TLR_PARAM";
    return e->p->derived[v->id] ? "TLR_DERIVED" : "TLR_STATE";
}

static void w_tensor(const tlc_emission *e, tlc_cwriter *w, const tlc_value *v, int *position)
{
    const tlc_place *at = &e->p->place[v->id];
    tlc_w(w, "    /* %%%d %s */\n", v->id, tlc_emit_plain_name(v->name));
    tlc_w(w, "    { .kind = %s, .type = %s, .layout = %s, ", tensor_kind(e, v), type_names[v->type],
          layout_names[v->layout.kind]);
    w_dims(w, &v->shape);
    tlc_w(w, ",\n      .offset = %" PRId64 ", .bytes = %" PRId64, at->offset, at->bytes);
    if (v->kind == TLC_PARAM && v->init != TLC_INIT_NONE) {
        tlc_w(w, ", .init = %s, .init_value = ", init_names[v->init]);
        w_double(w, v->init_value);
        tlc_w(w, ", .init_position = %d", (*position)++);
    }
    tlc_w(w, "%s },\n", tlc_emit_is_backbone(e, v) ? ", .backbone = true" : "");
}

static void w_tensors(const tlc_emission *e, tlc_cwriter *w)
{
    int position = 0;
    if (e->m->n_globals == 0)
        return;
    tlc_w(w, "static const tlr_tensor tensors[] = {\n");
    for (size_t i = 0; i < e->m->n_globals; ++i)
        w_tensor(e, w, e->m->globals[i], &position);
    tlc_w(w, "};\n\n");
}

/* --- values kept for verify ---------------------------------------------------------- */

static int w_values_of(const tlc_emission *e, tlc_cwriter *w, const tlc_func *f, int func)
{
    int count = 0;
    for (const tlc_node *n = f ? f->first : NULL; n; n = n->next) {
        for (int i = 0; i < n->n_out; ++i, ++count) {
            const tlc_value *v = n->out[i];
            const int *halo = v->layout.halo;
            if (e->p->place[v->id].region != TLC_REGION_ACT) {
                --count;
                continue;
            }
            tlc_w(w, "    { .id = %d, .type = %s, ", v->id, type_names[v->type]);
            w_dims(w, &v->shape);
            tlc_w(w, ", .layout = %s,\n      .halo = { %d, %d, %d, %d }, .offset = %" PRId64
                     ", .func = %d },\n",
                  layout_names[v->layout.kind], halo[0], halo[1], halo[2], halo[3],
                  e->p->place[v->id].offset, func);
        }
    }
    return count;
}

static int w_values(const tlc_emission *e, tlc_cwriter *w)
{
    if (!e->spec->options->keep_values)
        return 0;
    tlc_cwriter rows = tlc_cwriter_make(&e->ctx->arena);
    int count = w_values_of(e, &rows, e->features, 0);
    count += w_values_of(e, &rows, e->head, 1);
    if (count > 0)
        tlc_w(w, "static const tlr_value values[] = {\n");
    tlc_w_bytes(w, rows.text, rows.len);
    if (count > 0)
        tlc_w(w, "};\n\n");
    return count;
}

/* --- functions ------------------------------------------------------------------------ */

static void w_io(const tlc_emission *e, tlc_cwriter *w, tlc_value *const *v, size_t n,
                 const char *which)
{
    if (n == 0)
        return;
    tlc_w(w, "        .%s = {\n", which);
    for (size_t i = 0; i < n; ++i) {
        tlc_w(w, "            { .type = %s, ", type_names[v[i]->type]);
        w_dims(w, &v[i]->shape);
        tlc_w(w, ", .offset = %" PRId64 ", .elems = %" PRId64 " },\n",
              e->p->place[v[i]->id].offset, tlc_shape_elems(&v[i]->shape));
    }
    tlc_w(w, "        },\n");
}

static void w_func(const tlc_emission *e, tlc_cwriter *w, const tlc_func *f, const char *name)
{
    if (!f)
        return;
    tlc_w(w, "    .%s = {\n        .run = %s, .n_in = %zu, .n_out = %zu,\n", name,
          tlc_emit_has_code(e, f) ? name : "NULL", f->n_in, f->n_out);
    w_io(e, w, f->in, f->n_in, "in");
    w_io(e, w, f->out, f->n_out, "out");
    tlc_w(w, "    },\n");
}

/* --- the descriptor --------------------------------------------------------------------- */

static void w_floats(tlc_cwriter *w, const char *name, const float *x)
{
    tlc_w(w, ", .%s = { ", name);
    for (int i = 0; i < 3; ++i) {
        w_float(w, x[i]);
        tlc_w(w, i < 2 ? ", " : " }");
    }
}

static void w_preprocess(tlc_cwriter *w, const tlr_preprocess *p)
{
    const char *last = p->channels_last ? ", .channels_last = 1" : "";
    if (p->kind == TLR_PREPROCESS_NONE) {
        tlc_w(w, "    .preprocess = { .kind = TLR_PREPROCESS_NONE%s },\n", last);
        return;
    }
    tlc_w(w,
          "    .preprocess = { .kind = TLR_PREPROCESS_PICTURE, .resize_short = %d, .resize_h = %d,"
          " .resize_w = %d,\n        .crop_h = %d, .crop_w = %d",
          p->resize_short, p->resize_h, p->resize_w, p->crop_h, p->crop_w);
    w_floats(w, "mean", p->mean);
    w_floats(w, "std", p->std);
    tlc_w(w, "%s%s },\n", last, p->bgr ? ", .bgr = 1" : "");
}

static const char *optimizer_name(const tlc_emission *e)
{
    static const char *const names[] = { [TLC_ADAM] = "TLR_ADAM", [TLC_ADAMW] = "TLR_ADAMW",
                                         [TLC_SGD] = "TLR_SGD" };
    return e->step ? names[e->spec->options->optimizer] : "TLR_OPT_NONE";
}

static void w_sizes(const tlc_emission *e, tlc_cwriter *w)
{
    const tlc_plan *p = e->p;
    const struct { const char *name; int64_t value; } sizes[] = {
        { "consts_bytes", p->consts_bytes },
        { "params_bytes", p->params_bytes },
        { "vars_bytes", p->vars_bytes },
        { "act_infer_bytes", p->act_infer_bytes },
        { "act_features_bytes", p->act_features_bytes },
        { "act_step_bytes", p->act_step_bytes },
        { "fix_infer_bytes", p->fix_infer_bytes },
        { "fix_step_bytes", p->fix_step_bytes },
        { "derived_step_bytes", p->derived_step_bytes },
        { "scratch_bytes", p->scratch_bytes },
        { "params_total", e->spec->findings->params_frozen + e->spec->findings->params_trained },
        { "params_trained", e->spec->findings->params_trained },
    };
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; ++i)
        tlc_w(w, "    .%s = %" PRId64 ",\n", sizes[i].name, sizes[i].value);
}

/* A batch of one picture has no variance where a channel of it is one number. */
static bool needs_two_pictures(const tlc_func *step)
{
    for (const tlc_node *n = step ? step->first : NULL; n; n = n->next) {
        const tlc_shape *x = n->op == TLC_OP_BATCH_NORM_TRAIN ? &n->in[0]->shape : NULL;
        if (x && tlc_shape_elems(x) == x->dim[1])
            return true;
    }
    return false;
}

void tlc_emit_descriptor(const tlc_emission *e, tlc_cwriter *w)
{
    const tlc_options *o = e->spec->options;
    w_tensors(e, w);
    int n_values = w_values(e, w);
    tlc_w(w, "const tlr_model %s = {\n    .abi = TLR_ABI,\n    .name = \"%s\",\n",
          e->symbol, e->spec->name);
    tlc_w(w, "    .version = \"%s\",\n    .target = \"%s\", .precision = \"%s\",\n", TLC_VERSION,
          tlc_emit_target_name(o->target), tlc_emit_precision_name(o->precision));
    tlc_w(w, "    .graph_sha256 =\n        \"%s\",\n    .code_sha256 =\n        \"%s\",\n"
             "    .max_batch = %" PRId64
             ",\n    .n_classes = %" PRId64 ",\n",
          e->spec->findings->graph_sha256.hex, e->code.hex, o->batch,
          tlc_shape_elems(&e->head->out[0]->shape));
    if (needs_two_pictures(e->step))
        tlc_w(w, "    .min_train_batch = 2,\n");
    w_preprocess(w, &e->spec->preprocess);
    w_func(e, w, e->features, "features");
    w_func(e, w, e->head, "head");
    w_func(e, w, e->step, "step");
    if (tlc_emit_has_code(e, e->update))
        tlc_w(w, "    .update = update,\n");
    if (tlc_emit_has_code(e, e->prepare))
        tlc_w(w, "    .prepare = prepare,\n");
    if (o->target == TLC_TARGET_CUDA)
        tlc_w(w, "    .device = &tlr_cuda_device, .program = &program,\n");
    if (e->m->n_globals > 0)
        tlc_w(w, "    .tensors = tensors,\n    .n_tensors = %zu,\n", e->m->n_globals);
    w_sizes(e, w);
    tlc_w(w, "    .optimizer = %s,\n", optimizer_name(e));
    if (n_values > 0)
        tlc_w(w, "    .values = values,\n    .n_values = %d,\n", n_values);
    tlc_w(w, "};\n");
}

const char *tlc_emit_header(const tlc_emission *e)
{
    const char *name = e->spec->name;
    const char *cpu = !e->cpu ? "" : tlc_arena_printf(
        &e->ctx->arena,
        "/* The same on the processor that calls; its weights are cpu/weights.bin. */\n"
        "extern const struct tlr_model %s;\n", e->cpu->symbol);
    return tlc_arena_printf(
        &e->ctx->arena,
        "/* %s.h: the network that tlc %s compiled; tlr.h says how to run it.  Do not edit. */\n"
        "#ifndef TLC_%s_MODEL_H\n#define TLC_%s_MODEL_H\n\n#include \"tlr.h\"\n\n"
        "#ifdef __cplusplus\nextern \"C\" {\n#endif\n\n"
        "extern const struct tlr_model %s;\n%s\n"
        "#ifdef __cplusplus\n}\n#endif\n#endif\n",
        name, TLC_VERSION, name, name, e->symbol, cpu);
}

const char *tlc_emit_the_model_c(const tlc_emission *e)
{
    return tlc_arena_printf(
        &e->ctx->arena,
        "/* the_model.c: the network that the programs of this folder hold.  Do not edit. */\n"
        "#include \"%s.h\"\n\n#include <stddef.h>\n\n"
        "extern const struct tlr_model *tlr_the_model, *const tlr_the_cpu_model;\n"
        "const struct tlr_model *tlr_the_model = &%s;\n"
        "const struct tlr_model *const tlr_the_cpu_model = %s%s;\n",
        e->spec->name, e->symbol, e->cpu ? "&" : "", e->cpu ? e->cpu->symbol : "NULL");
}
