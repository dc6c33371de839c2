/* c.c: model.c, the network as C that someone reads in a debugger.
 *
 * One function a node, named by the number its value has in the IR dump, under a comment with the
 * node's line of IR; then one function that runs each function's nodes in order.  The text holds
 * value numbers, our own words and checked options; names from the model stand in comments alone.
 */
#include "emit_parts.h"
#include "text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

typedef struct writer {
    const tlc_emission *e;
    tlc_cwriter *w;
    bool *used; /* by value id: has an AT_ constant */
    int opening; /* nodes from here on that belong to the opening of the function being written */
} writer;

/* --- names -------------------------------------------------------------------- */

const char *tlc_emit_plain_name(const char *name)
{
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_./:-";
    size_t len = name ? strlen(name) : 0;
    return len > 0 && len <= 80 && strspn(name, plain) == len ? name : "?";
}

/* The number that stands for a node: its result's; of an update, the number of what it writes. */
static int node_number(const tlc_node *n)
{
    return n->n_out ? n->out[0]->id : n->in[0]->id;
}

void tlc_emit_node_name(tlc_cwriter *w, const tlc_node *n)
{
    tlc_w(w, "%c%d_%s", n->n_out ? 'n' : 'u', node_number(n), tlc_ops[n->op].name);
}

static void w_shape_name(tlc_cwriter *w, const tlc_node *n)
{
    tlc_w(w, "%c%d", n->n_out ? 'S' : 'U', node_number(n));
}

/* --- banner, includes, offsets --------------------------------------------------- */

/* The user's options, with whatever could end the comment or hide in it replaced. */
static void w_options(tlc_cwriter *w, const char *text)
{
    static const char kept[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                               " _./:,=+*-";
    char before = 0;
    for (const char *c = text ? text : ""; *c; before = *c++) {
        bool delimiter = (before == '*' && *c == '/') || (before == '/' && *c == '*');
        tlc_w_bytes(w, strchr(kept, *c) && !delimiter ? c : "?", 1);
    }
}

void tlc_emit_banner(const tlc_emission *e, tlc_cwriter *w, const char *file)
{
    const tlc_plan *p = e->p;
    tlc_w(w, "/* %s: %s, written by tlc %s, target %s, precision %s.  Do not edit.\n",
          e->spec->name, file, TLC_VERSION, tlc_emit_target_name(e->spec->options->target),
          tlc_emit_precision_name(e->spec->options->precision));
    if (e->spec->command_options && *e->spec->command_options) {
        tlc_w(w, " * options ");
        w_options(w, e->spec->command_options);
        tlc_w(w, "\n");
    }
    tlc_w(w, " * graph   %s (names left out)\n *         as emitted %s\n",
          e->spec->findings->graph_sha256.hex, e->code.hex);
    tlc_w(w,
          " * bytes   constants %" PRId64 ", parameters %" PRId64 ", with optimizer %" PRId64 "\n",
          p->consts_bytes, p->params_bytes, p->vars_bytes);
    tlc_w(w, " *         activations a picture %" PRId64 ", training %" PRId64 "; fixed %" PRId64
             ", training %" PRId64 "; scratch a worker %" PRId64 "\n",
          p->act_infer_bytes, p->act_step_bytes, p->fix_infer_bytes, p->fix_step_bytes,
          p->scratch_bytes);
    tlc_w(w, " * n41_conv2d computes value %%41, which lies at AT_41%s.\n"
             " * Names from the model stand in comments alone, and only plain ones. */\n",
          e->spec->options->target == TLC_TARGET_CUDA ? "" : "; S41 is its shape");
}

/* Call fn for every node, functions in order; kernel NULL: a view. */
static void each_node(writer *g, void (*fn)(writer *, const tlc_node *, const tlc_kernel *))
{
    const tlc_kernel *const *k = g->e->p->kernel;
    for (const tlc_func *f = g->e->m->first_func; f; f = f->next) {
        g->opening = tlc_plan_opening(f, g->e->spec->options);
        for (const tlc_node *n = f->first; n; n = n->next, --g->opening)
            fn(g, n, *k++);
    }
}

static const char *header_name(const tlc_kernel *k)
{
    return tlc_base_name(k->header);
}

static void w_includes(const tlc_emission *e, tlc_cwriter *w)
{
    size_t n_nodes = 0, n_seen = 0;
    for (const tlc_func *f = e->m->first_func; f; f = f->next)
        n_nodes += (size_t)f->n_nodes;
    const char **seen = TLC_NEW_ARRAY(&e->ctx->arena, const char *, n_nodes + 1);
    tlc_w(w, "#define TLK_REAL %s\n\n#include \"%s.h\"\n#include \"tlr_model.h\"\n",
          e->spec->options->precision == TLC_PRECISION_FP64 ? "double" : "float", e->spec->name);
    for (size_t i = 0; i < n_nodes; ++i) {
        const tlc_kernel *k = e->p->kernel[i];
        size_t j = 0;
        while (k && j < n_seen && strcmp(seen[j], header_name(k)) != 0)
            ++j;
        if (!k || j < n_seen)
            continue;
        seen[n_seen++] = header_name(k);
        tlc_w(w, "#include \"%s\"\n", header_name(k));
    }
    tlc_w(w, "\n#include <math.h>\n\n");
}

static void mark_used(writer *g, const tlc_node *n, const tlc_kernel *k)
{
    for (int i = 0; k && i < n->n_in; ++i)
        if (n->in[i])
            g->used[n->in[i]->id] = true;
    for (int i = 0; k && i < n->n_out; ++i)
        g->used[n->out[i]->id] = true;
}

typedef struct region_text {
    const char *title, *macro, *pointer;
} region_text;

static const region_text regions[] = {
    [TLC_REGION_CONSTS] = { "constants, in weights.bin", "CONST",
                            "(const void *)(f->consts + AT_##id)" },
    [TLC_REGION_VARS] = { "parameters, then the optimizer's state", "VAR",
                          "(void *)(f->vars + AT_##id)" },
    [TLC_REGION_ACT] = { "values that grow with the batch, for one picture", "ACT",
                         "(void *)(f->act + f->n * AT_##id)" },
    [TLC_REGION_FIX] = { "values of fixed size", "FIX", "(void *)(f->fix + AT_##id)" },
};

static void w_region(writer *g, tlc_region region)
{
    bool open = false;
    for (int id = 0; id < g->e->m->n_values; ++id) {
        if (!g->used[id] || g->e->p->place[id].region != region)
            continue;
        if (!open)
            tlc_w(g->w, "/* %s */\n#define %s(id) (%s)\nenum {\n", regions[region].title,
                  regions[region].macro, regions[region].pointer);
        open = true;
        tlc_w(g->w, "    AT_%d = %" PRId64 ",\n", id, g->e->p->place[id].offset);
    }
    if (open)
        tlc_w(g->w, "};\n\n");
}

/* Where the opening of a function reads and writes what it shares with the rest. */
static void w_part(writer *g)
{
    const tlc_options *o = g->e->spec->options;
    for (const tlc_func *f = g->e->m->first_func; f; f = f->next)
        if (tlc_plan_opening(f, o) > 0) {
            tlc_w(g->w, "/* such a value from the first picture of a part on */\n#define PART(id, "
                        "bytes) ((void *)(f->act + f->all * AT_##id + f->first * (bytes)))\n\n");
            return;
        }
}

static void w_offsets(writer *g)
{
    g->used = TLC_NEW_ARRAY(&g->e->ctx->arena, bool, g->e->m->n_values);
    each_node(g, mark_used);
    tlc_w(g->w,
          "/* Where values lie: bytes from the start of their region, planned by tlc. */\n\n");
    for (int r = TLC_REGION_CONSTS; r <= TLC_REGION_FIX; ++r)
        w_region(g, (tlc_region)r);
    w_part(g);
}

/* --- one node -------------------------------------------------------------------- */

static void w_pointer(const writer *g, const tlc_value *v)
{
    const tlc_region region = v ? g->e->p->place[v->id].region : TLC_REGION_NONE;
    if (!v)
        tlc_w(g->w, ", NULL");
    else if (g->opening > 0 && region == TLC_REGION_ACT)
        tlc_w(g->w, ", PART(%d, %" PRId64 ")", v->id, tlc_value_bytes(v));
    else
        tlc_w(g->w, ", %s(%d)", regions[region].macro, v->id);
}

/* Operands as in the operator's row, the absent ones NULL, then results. */
static void w_call(const writer *g, const tlc_node *n, const tlc_kernel *k)
{
    tlc_cwriter *w = g->w;
    tlc_w(w, "    tlk_%s_item(&", k->name);
    w_shape_name(w, n);
    tlc_w(w, ", item, f->n%s%s",
          k->flags & TLC_K_SCRATCH ? ", f->scratch + worker * f->scratch_stride" : "",
          !(k->flags & TLC_K_STEP) ? ""
          : tlc_trains_backbone(n) ? ", f->step + TLK_GROUP_BACKBONE"
                                   : ", f->step");
    int n_in = tlc_op_has(n->op, TLC_T_LIST) ? n->n_in : tlc_ops[n->op].most;
    for (int i = 0; i < n_in; ++i)
        w_pointer(g, i < n->n_in ? n->in[i] : NULL);
    for (int i = 0; i < n->n_out; ++i)
        w_pointer(g, n->out[i]);
    tlc_w(w, ");\n");
}

void tlc_emit_node_comment(const tlc_emission *e, tlc_cwriter *w, const tlc_node *n,
                           const tlc_kernel *k)
{
    int64_t cost = tlc_multiply_adds(n);
    tlc_w(w, "/* ");
    tlc_print_node(w, n, true);
    tlc_w(w, "\n *   kernel %s", k->report);
    if (n->n_out)
        tlc_w(w, "; writes %" PRId64 " bytes%s", e->p->place[n->out[0]->id].bytes,
              tlc_shape_has_n(&n->out[0]->shape) ? " a picture" : "");
    if (cost)
        tlc_w(w, "\n *   cost   %" PRId64 " multiply-adds a picture", cost);
    tlc_w(w, " */\n");
}

/* The literal of the node's shape, its lines broken between fields. */
void tlc_emit_literal(const tlc_emission *e, tlc_cwriter *w, const tlc_node *n,
                      const tlc_kernel *k)
{
    enum { COLUMNS = 92 };
    tlc_cwriter text = tlc_cwriter_make(&e->ctx->arena);
    k->literal(&text, n);
    size_t column = 46; /* of the longest declaration before it */
    for (const char *at = text.text, *next; *at; at = next) {
        next = strstr(at + 1, " .");
        next = next ? next : at + strlen(at);
        size_t len = (size_t)(next - at);
        if (column + len > COLUMNS && *at == ' ') {
            tlc_w(w, "\n   ");
            column = 3;
        }
        tlc_w_bytes(w, at, len);
        column += len;
    }
}

static void w_node(writer *g, const tlc_node *n, const tlc_kernel *k)
{
    tlc_cwriter *w = g->w;
    if (!k) {
        tlc_w(w, "/* ");
        tlc_print_node(w, n, true);
        tlc_w(w, "\n *   the operand's bytes; no code */\n\n");
        return;
    }
    tlc_emit_node_comment(g->e, w, n, k);
    tlc_w(w, "static const tlk_%s ", k->name);
    w_shape_name(w, n);
    tlc_w(w, " = ");
    tlc_emit_literal(g->e, w, n, k);
    tlc_w(w, ";\nstatic void ");
    tlc_emit_node_name(w, n);
    tlc_w(w, "(const tlr_frame *f, int64_t item, int worker)\n{\n");
    if (!(k->flags & TLC_K_SCRATCH))
        tlc_w(w, "    (void)worker;\n");
    w_call(g, n, k);
    tlc_w(w, "}\n\n");
}

/* --- one function ------------------------------------------------------------------ */

const tlc_kernel *const *tlc_emit_kernels(const tlc_emission *e, const tlc_func *f)
{
    const tlc_kernel *const *k = e->p->kernel;
    for (const tlc_func *g = e->m->first_func; g != f; g = g->next)
        k += g->n_nodes;
    return k;
}

bool tlc_emit_has_code(const tlc_emission *e, const tlc_func *f)
{
    const tlc_kernel *const *k = f ? tlc_emit_kernels(e, f) : NULL;
    for (int i = 0; f && i < f->n_nodes; ++i)
        if (k[i])
            return true;
    return false;
}

static void w_run(const writer *g, const tlc_node *n, const tlc_kernel *k, bool nested)
{
    const bool part = g->opening > 0;
    tlc_w(g->w, "%stlr_parallel_for(%s, tlk_%s_items(&", nested || part ? "        " : "    ",
          part ? "&part" : "f", k->name);
    w_shape_name(g->w, n);
    tlc_w(g->w, ", %s), ", part ? "part.n" : "f->n");
    tlc_emit_node_name(g->w, n);
    tlc_w(g->w, ");\n");
}

/* The brace of the opening's loop. */
static void w_opening(const writer *g)
{
    if (g->opening > 0)
        tlc_w(g->w, "    /* Part by part: what goes from node to node stays in the cache. */\n"
                    "    for (tlr_frame part = tlr_first_part(f, %d); part.n > 0; "
                    "tlr_next_part(&part)) {\n", TLC_FEW);
}

static void w_function(writer *g, const tlc_func *f, const char *name)
{
    tlc_cwriter *w = g->w;
    bool open = false; /* in the braces of the backbone's part */
    if (!tlc_emit_has_code(g->e, f))
        return;
    const tlc_kernel *const *k = tlc_emit_kernels(g->e, f);
    const bool *backbone = tlc_emit_backbone_part(g->e, f);
    tlc_w(w, "static void %s(const tlr_frame *f)\n{\n", name);
    g->opening = tlc_plan_opening(f, g->e->spec->options);
    w_opening(g);
    for (const tlc_node *n = f->first; n; n = n->next, ++k, ++backbone) {
        if (*k && *backbone != open) {
            tlc_w(w, "%s", open ? "    }\n" : "    if (f->step[TLK_GROUP_BACKBONE].t > 0) {\n");
            open = *backbone;
        }
        if (*k)
            w_run(g, n, *k, open);
        if (--g->opening == 0)
            tlc_w(w, "    }\n");
    }
    tlc_w(w, "%s}\n\n", open ? "    }\n" : "");
}

const char *tlc_emit_model_c(const tlc_emission *e)
{
    tlc_cwriter w = tlc_cwriter_make(&e->ctx->arena);
    writer g = { .e = e, .w = &w };
    tlc_emit_banner(e, &w, "model.c"); /* model_cpu.c of a folder for a device too */
    if (e->spec->options->target == TLC_TARGET_CUDA) {
        tlc_emit_cuda_host(e, &w);
        tlc_emit_descriptor(e, &w);
        return w.text;
    }
    w_includes(e, &w);
    w_offsets(&g);
    each_node(&g, w_node);
    w_function(&g, e->prepare, "prepare");
    w_function(&g, e->features, "features");
    w_function(&g, e->head, "head");
    w_function(&g, e->step, "step");
    w_function(&g, e->update, "update");
    tlc_emit_descriptor(e, &w);
    return w.text;
}
