/* cuda.c: target cuda: model.cu, one __global__ function a node under its line of IR, and the host's
 * side of it in model.c, a table of launches for each function.
 *
 * Shapes and launch sizes are constants; what a kernel gets is the frame alone, so that every
 * launch is the same call.
 */
#include "emit_parts.h"
#include "text.h"

#include <inttypes.h>
#include <string.h>

static const char *const element_names[TLC_TYPE_COUNT] = {
    [TLC_F32] = "float",   [TLC_F64] = "double",  [TLC_I64] = "int64_t",
    [TLC_I32] = "int32_t", [TLC_U8] = "uint8_t",  [TLC_BOOL] = "bool",
};

/* Where a region's values lie in the frame, and how many elements a value has there. */
static const struct region_text {
    const char *macro, *title, *qualifier, *base, *elems;
} regions[] = {
    [TLC_REGION_CONSTS] = { "CONST", "constants, in weights.bin", "const ", "f.consts + AT_##id",
                            "elems" },
    [TLC_REGION_VARS] = { "VAR", "parameters, then the optimizer's state", "",
                          "f.vars + AT_##id", "elems" },
    [TLC_REGION_ACT] = { "ACT", "values that grow with the batch, for one picture", "",
                         "f.act + f.n * AT_##id", "f.n * (elems)" },
    [TLC_REGION_FIX] = { "FIX", "values of fixed size", "", "f.fix + AT_##id", "elems" },
};

/* --- where values lie ------------------------------------------------------------- */

/* By value id: an operand or result of a node that has code. */
static bool *find_used(const tlc_emission *e)
{
    bool *used = TLC_NEW_ARRAY(&e->ctx->arena, bool, e->m->n_values);
    const tlc_kernel *const *k = e->p->kernel;
    for (const tlc_func *f = e->m->first_func; f; f = f->next)
        for (const tlc_node *n = f->first; n; n = n->next) {
            if (!*k++)
                continue;
            for (int i = 0; i < n->n_in; ++i)
                if (n->in[i])
                    used[n->in[i]->id] = true;
            for (int i = 0; i < n->n_out; ++i)
                used[n->out[i]->id] = true;
        }
    return used;
}

/* A value is seen as a view of known size; one that the node makes as a fresh one. */
static void w_macros(tlc_cwriter *w, const struct region_text *r)
{
    static const char *const how[][2] = { { "", "tlk_view" }, { "_NEW", "tlk_fresh" } };
    for (size_t i = 0; i < sizeof how / sizeof *how; ++i)
        tlc_w(w, "#define %s%s(type, id, elems) \\\n    %s((%stype *)(%s), %s)\n", r->macro,
              how[i][0], how[i][1], r->qualifier, r->base, r->elems);
}

static void w_region(const tlc_emission *e, tlc_cwriter *w, const bool *used, tlc_region region)
{
    bool open = false;
    for (int id = 0; id < e->m->n_values; ++id) {
        if (!used[id] || e->p->place[id].region != region)
            continue;
        if (!open) {
            tlc_w(w, "/* %s */\n", regions[region].title);
            w_macros(w, &regions[region]);
            tlc_w(w, "enum : int64_t {\n");
        }
        open = true;
        tlc_w(w, "    AT_%d = %" PRId64 ",\n", id, e->p->place[id].offset);
    }
    if (open)
        tlc_w(w, "};\n\n");
}

/* --- one kernel --------------------------------------------------------------------- */

/* Does the result lie on an operand's bytes? */
static bool is_in_place(const tlc_emission *e, const tlc_node *n, const tlc_value *v)
{
    const tlc_place *at = &e->p->place[v->id];
    for (int i = 0; i < n->n_in; ++i) {
        const tlc_place *in = n->in[i] ? &e->p->place[n->in[i]->id] : NULL;
        if (in && in->region == at->region && in->offset == at->offset)
            return true;
    }
    return false;
}

static void w_pointer(const tlc_emission *e, tlc_cwriter *w, const tlc_value *v, bool fresh)
{
    if (v)
        tlc_w(w, ",\n        %s%s(%s, %d, %" PRId64 ")",
              regions[e->p->place[v->id].region].macro, fresh ? "_NEW" : "",
              element_names[v->type], v->id, tlc_shape_elems(&v->shape));
    else
        tlc_w(w, ",\n        nullptr");
}

static void w_call(const tlc_emission *e, tlc_cwriter *w, const tlc_node *n, const tlc_kernel *k)
{
    int n_in = tlc_op_has(n->op, TLC_T_LIST) ? n->n_in : tlc_ops[n->op].most;
    bool steps = k->flags & TLC_K_STEP;
    if (steps)
        tlc_w(w, "    const tlk_cuda_step step = f.step[TLK_CUDA_%s];\n",
              tlc_trains_backbone(n) ? "BACKBONE" : "HEAD");
    tlc_w(w, "    tlk_%s_run(s, f%s", k->name, steps ? ", step" : "");
    for (int i = 0; i < n_in; ++i)
        w_pointer(e, w, i < n->n_in ? n->in[i] : NULL, false);
    for (int i = 0; i < n->n_out; ++i)
        w_pointer(e, w, n->out[i], !is_in_place(e, n, n->out[i]));
    tlc_w(w, ");\n");
}

static void w_blocks(tlc_cwriter *w, const tlc_launch *l)
{
    tlc_w(w, "/*   blocks (");
    if (l->a_picture)
        tlc_w(w, "%" PRId64 " * n%s", l->a_picture, l->fixed ? " + " : "");
    if (l->fixed || !l->a_picture)
        tlc_w(w, "%" PRId64, l->fixed);
    tlc_w(w, ") / %" PRId64 " rounded up, %" PRId64 ", %" PRId64 " */\n", l->per_block, l->y, l->z);
}

static void w_kernel(const tlc_emission *e, tlc_cwriter *w, const tlc_node *n, const tlc_kernel *k)
{
    if (!k) {
        tlc_w(w, "/* ");
        tlc_print_node(w, n, true);
        tlc_w(w, "\n *   the operand's bytes; no code */\n\n");
        return;
    }
    tlc_launch l = k->launch(n);
    tlc_emit_node_comment(e, w, n, k);
    w_blocks(w, &l);
    tlc_w(w, "extern \"C\" __global__ void __launch_bounds__(TLK_CUDA_THREADS)\n");
    tlc_emit_node_name(w, n);
    tlc_w(w, "(const tlk_cuda_frame f)\n{\n    constexpr tlk_%s s = ", k->name);
    tlc_emit_literal(e, w, n, k);
    tlc_w(w, ";\n");
    w_call(e, w, n, k);
    tlc_w(w, "}\n\n");
}

/* Each header of the kernels once, in the order of first use. */
static void w_includes(const tlc_emission *e, tlc_cwriter *w)
{
    size_t n_nodes = 0;
    for (const tlc_func *f = e->m->first_func; f; f = f->next)
        n_nodes += (size_t)f->n_nodes;
    for (size_t i = 0; i < n_nodes; ++i) {
        const tlc_kernel *k = e->p->kernel[i];
        size_t j = 0;
        while (k && j < i && !(e->p->kernel[j] && strcmp(e->p->kernel[j]->header, k->header) == 0))
            ++j;
        if (k && j == i)
            tlc_w(w, "#include \"%s\"\n", tlc_base_name(k->header));
    }
    tlc_w(w, "\n");
}

const char *tlc_emit_model_cu(const tlc_emission *e)
{
    tlc_cwriter w = tlc_cwriter_make(&e->ctx->arena);
    const bool *used = find_used(e);
    const tlc_kernel *const *k = e->p->kernel;
    tlc_emit_banner(e, &w, "model.cu");
    tlc_w(&w, "\n");
    w_includes(e, &w);
    tlc_w(&w, "/* Where values lie: bytes from the start of their region, planned by tlc. */\n\n");
    for (int r = TLC_REGION_CONSTS; r <= TLC_REGION_FIX; ++r)
        w_region(e, &w, used, (tlc_region)r);
    for (const tlc_func *f = e->m->first_func; f; f = f->next)
        for (const tlc_node *n = f->first; n; n = n->next)
            w_kernel(e, &w, n, *k++);
    return w.text;
}

/* --- the host's side ------------------------------------------------------------------ */

static void w_launches(const tlc_emission *e, tlc_cwriter *w, const tlc_func *f, const char *name)
{
    const tlc_kernel *const *k = tlc_emit_kernels(e, f);
    const bool *backbone = tlc_emit_backbone_part(e, f);
    tlc_w(w, "static tlr_cuda_launch %s_launches[] = {\n", name);
    for (const tlc_node *n = f->first; n; n = n->next, ++k, ++backbone) {
        if (!*k)
            continue;
        tlc_launch l = (*k)->launch(n);
        tlc_w(w, "    { .kernel = \"");
        tlc_emit_node_name(w, n);
        tlc_w(w, "\", .a_picture = %" PRId64 ", .fixed = %" PRId64 ", .per_block = %" PRId64
                 ", .y = %" PRId64 ", .z = %" PRId64 "%s },\n",
              l.a_picture, l.fixed, l.per_block, l.y, l.z,
              *backbone ? ", .backbone = true" : "");
    }
    tlc_w(w, "};\n\n");
}

static void w_table(const tlc_emission *e, tlc_cwriter *w, const char *name, bool io)
{
    tlc_w(w, "        { %s_launches, sizeof %s_launches / sizeof *%s_launches, ", name, name, name);
    if (io)
        tlc_w(w, "&%s.%s },\n", e->symbol, name);
    else
        tlc_w(w, "NULL },\n");
}

static const char fatbin[] =
    "#ifdef TLR_CUDA_FATBIN /* the path of what nvcc made of model.cu: make CUDA=1 */\n"
    "__asm__(\".section .rodata\\n.balign 64\\nprogram_fatbin:\\n\"\n"
    "        \".incbin \\\"\" TLR_CUDA_FATBIN \"\\\"\\n.previous\\n\");\n"
    "extern const char program_fatbin[] __attribute__((visibility(\"hidden\")));\n"
    "#define PROGRAM_FATBIN program_fatbin\n"
    "#else\n"
    "#define PROGRAM_FATBIN NULL\n"
    "#endif\n\n";

bool tlc_emit_cuda_on_matrix_units(const tlc_emission *e)
{
    return e->spec->options->precision != TLC_PRECISION_FP32;
}

void tlc_emit_cuda_host(const tlc_emission *e, tlc_cwriter *w)
{
    const struct { const tlc_func *f; const char *name; bool io; } funcs[] = {
        { e->prepare, "prepare", false }, { e->features, "features", true },
        { e->head, "head", true }, { e->step, "step", true }, { e->update, "update", false },
    };
    enum { N = sizeof funcs / sizeof *funcs };
    int table = 0;
    tlc_w(w, "#include \"%s.h\"\n#include \"tlr_model.h\"\n#include \"tlr_cuda.h\"\n\n"
             "#include \"src/model_cu.h\"\n\n#include <math.h>\n\n"
             "/* What each function launches, in order; the kernels are in model.cu. */\n\n",
          e->spec->name);
    for (int i = 0; i < N; ++i)
        if (tlc_emit_has_code(e, funcs[i].f))
            w_launches(e, w, funcs[i].f, funcs[i].name);
    tlc_w_bytes(w, fatbin, sizeof fatbin - 1);
    tlc_w(w, "static tlr_cuda_program program = {\n"
             "    .files = model_cu_files, .n_files = sizeof model_cu_files / sizeof *model_cu_files,\n"
             "    .fatbin = PROGRAM_FATBIN,\n"
             "    .tables = {\n");
    for (int i = 0; i < N; ++i)
        if (tlc_emit_has_code(e, funcs[i].f))
            w_table(e, w, funcs[i].name, funcs[i].io), ++table;
    tlc_w(w, "    },\n    .n_tables = %d, .n_classes = %" PRId64 ",\n", table,
          tlc_shape_elems(&e->head->out[0]->shape));
    if (tlc_emit_cuda_on_matrix_units(e))
        tlc_w(w, "    .needs = 80, .because = \"--precision %s\",\n",
              tlc_emit_precision_name(e->spec->options->precision));
    tlc_w(w, "};\n\n");
    table = 0;
    for (int i = 0; i < N; ++i)
        if (tlc_emit_has_code(e, funcs[i].f))
            tlc_w(w, "static void %s(const tlr_frame *f)\n{\n"
                     "    tlr_cuda_run(&program, f, &program.tables[%d]);\n}\n\n",
                  funcs[i].name, table++);
}

/* --- the source as data ----------------------------------------------------------------- */

/* One string, a line of text to a line. */
static void w_text(tlc_cwriter *w, const char *text, size_t n)
{
    static const char plain_escapes[] = "\"\\";
    bool open = false;
    for (size_t i = 0; i < n; ++i) {
        if (!open)
            tlc_w(w, "      \"");
        open = text[i] != '\n';
        if (strchr(plain_escapes, text[i]))
            tlc_w(w, "\\");
        tlc_w_bytes(w, open ? &text[i] : "\\n\"\n", open ? 1 : 4);
    }
    if (open)
        tlc_w(w, "\"\n");
}

static void w_file(tlc_cwriter *w, const char *name, const char *text, size_t n)
{
    tlc_w(w, "    { \"%s\",\n", name);
    w_text(w, text, n);
    tlc_w(w, "    },\n");
}

const char *tlc_emit_model_cu_h(const tlc_emission *e, const char *model_cu,
                                const struct tlc_sources *s)
{
    tlc_cwriter w = tlc_cwriter_make(&e->ctx->arena);
    tlc_w(&w, "/* model_cu.h: model.cu and what it includes, as NVRTC takes it.  Written by tlc %s.\n"
              " * Do not edit. */\n#include \"tlr_cuda.h\"\n\n"
              "static const tlr_cuda_file model_cu_files[] = {\n",
          TLC_VERSION);
    w_file(&w, "model.cu", model_cu, strlen(model_cu));
    for (size_t i = 0; i < s->n; ++i)
        if (tlc_starts_with(s->file[i]->path, "kernels/cuda/"))
            w_file(&w, tlc_base_name(s->file[i]->path), (const char *)s->file[i]->bytes,
                   s->file[i]->n_bytes);
    tlc_w(&w, "};\n");
    return w.text;
}
