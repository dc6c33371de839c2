/* onnx_graph.c: @forward as an ONNX GraphProto that lacks the weights.
 *
 * Made during the pipeline, while batch norms still stand; the weights are put in by
 * `trainer export`, which has the trained ones.
 */
#include "onnx_out.h"

#include "op.h"
#include "tlb_escape.h"
#include "tlb_json.h"

#include <stdlib.h>
#include <string.h>

static void *grow(void *self, void *old, size_t n, size_t new_cap)
{
    unsigned char *bytes = tlc_arena_alloc(self, new_cap);
    if (n)
        memcpy(bytes, old, n);
    return bytes;
}

tlb_proto tlc_onnx_message(tlc_ctx *ctx)
{
    return (tlb_proto){ .grow = grow, .self = &ctx->arena };
}

int tlc_onnx_type_number(tlc_type t)
{
    static const int numbers[] = { [TLC_F32] = TLC_ONNX_FLOAT, [TLC_F64] = 11,
                                   [TLC_I64] = TLC_ONNX_INT64, [TLC_I32] = 6, [TLC_U8] = 2,
                                   [TLC_BOOL] = 9 };
    return numbers[t];
}

const char *tlc_onnx_out_text(tlc_ctx *ctx, const char *name)
{
    size_t n = strlen(name), at = 0, length = 1;
    for (; at < n && length; at += length)
        length = tlb_utf8_length(name + at, n - at);
    if (length)
        return name;
    char *escaped = tlc_arena_alloc(&ctx->arena, 10 * n + 1);
    tlb_escape(escaped, 10 * n + 1, name, n);
    return escaped;
}

/* --- names -------------------------------------------------------------------------------- */

typedef struct named {
    const tlc_value *value;
    const char *name;
} named;

static int by_name(const void *a, const void *b)
{
    const named *x = a, *y = b;
    int c = strcmp(x->name, y->name);
    return c ? c : (x->value->id > y->value->id) - (x->value->id < y->value->id);
}

static const char *first_name(tlc_ctx *ctx, const tlc_func *f, const tlc_value *v)
{
    if (v->name && v->name[0])
        return tlc_onnx_out_text(ctx, v->name);
    if (v->kind == TLC_INPUT)
        return "input";
    if (v == f->out[0])
        return "output";
    return tlc_arena_printf(&ctx->arena, "%s.%d", tlc_is_global(v) ? "tensor" : "value", v->id);
}

/* All values that the graph names; each once. */
static named *list_values(tlc_ctx *ctx, const tlc_func *f, size_t *out_n)
{
    bool *seen = TLC_NEW_ARRAY(&ctx->arena, bool, f->module->n_values);
    named *list = NULL;
    size_t n = 0, cap = 0;
    for (size_t i = 0; i < f->n_in; ++i) {
        named x = { f->in[i], first_name(ctx, f, f->in[i]) };
        TLC_PUSH(&ctx->arena, list, n, cap, x);
    }
    for (const tlc_node *node = f->first; node; node = node->next)
        for (int i = 0; i < node->n_in + node->n_out; ++i) {
            const tlc_value *v = i < node->n_in ? node->in[i] : node->out[i - node->n_in];
            if (!v || seen[v->id] || v->kind == TLC_INPUT)
                continue;
            seen[v->id] = true;
            named x = { v, first_name(ctx, f, v) };
            TLC_PUSH(&ctx->arena, list, n, cap, x);
        }
    *out_n = n;
    return list;
}

/* ONNX has one space of names: of equal ones all but the first get their number, until none are
 * equal (a made name may have been taken). */
static const char **give_names(tlc_ctx *ctx, const tlc_func *f)
{
    size_t n;
    named *list = list_values(ctx, f, &n);
    const char **names = TLC_NEW_ARRAY(&ctx->arena, const char *, f->module->n_values);
    for (bool again = true; again;) {
        again = false;
        if (n)
            qsort(list, n, sizeof *list, by_name);
        for (size_t i = 1, first = 0; i < n; ++i) {
            if (strcmp(list[first].name, list[i].name) != 0) {
                first = i;
                continue;
            }
            again = true;
            list[i].name = tlc_arena_printf(&ctx->arena, "%s.%d", list[i].name,
                                            list[i].value->id);
        }
    }
    for (size_t i = 0; i < n; ++i)
        names[list[i].value->id] = list[i].name;
    return names;
}

/* A node of the model may have become several here, all of its name: the first has it, for ONNX
 * Runtime takes no name twice, and none at all as often as one likes. */
static const char **give_node_names(tlc_ctx *ctx, const tlc_func *f)
{
    const char **names = TLC_NEW_ARRAY(&ctx->arena, const char *, f->module->n_values);
    named *list = NULL;
    size_t n = 0, cap = 0;
    for (const tlc_node *node = f->first; node; node = node->next) {
        if (!node->name)
            continue;
        named x = { node->out[0], tlc_onnx_out_text(ctx, node->name) };
        TLC_PUSH(&ctx->arena, list, n, cap, x);
    }
    if (n)
        qsort(list, n, sizeof *list, by_name);
    for (size_t i = 0; i < n; ++i)
        if (i == 0 || strcmp(list[i - 1].name, list[i].name) != 0)
            names[list[i].value->id] = list[i].name;
    return names;
}

/* --- the graph ---------------------------------------------------------------------------- */

static void write_dim(tlc_ctx *ctx, tlb_proto *shape, int64_t size)
{
    tlb_proto dim = tlc_onnx_message(ctx);
    if (size == TLC_DIM_N)
        tlb_proto_text(&dim, ONNX_DIM_PARAM, "n");
    else
        tlb_proto_int(&dim, ONNX_DIM_VALUE, size);
    tlb_proto_message(shape, ONNX_SHAPE_DIM, &dim);
}

static void write_io(tlc_onnx_out *o, int field, const tlc_value *v)
{
    tlb_proto shape = tlc_onnx_message(o->ctx), tensor = shape, type = shape, info = shape;
    for (int i = 0; i < v->shape.rank; ++i)
        write_dim(o->ctx, &shape, v->shape.dim[i]);
    tlb_proto_int(&tensor, ONNX_TENSOR_ELEM_TYPE, tlc_onnx_type_number(v->type));
    tlb_proto_message(&tensor, ONNX_TENSOR_SHAPE, &shape);
    tlb_proto_message(&type, ONNX_TYPE_TENSOR, &tensor);
    tlb_proto_text(&info, ONNX_VALUE_NAME, o->names[v->id]);
    tlb_proto_message(&info, ONNX_VALUE_TYPE, &type);
    tlb_proto_message(&o->graph, field, &info);
}

/* The globals that nodes read, in the order of their declaration. */
static void list_tensors(tlc_onnx_out *o, const tlc_func *f, tlc_onnx_graph *g)
{
    const tlc_module *m = f->module;
    tlc_arena *arena = &o->ctx->arena;
    g->tensors = TLC_NEW_ARRAY(arena, tlc_onnx_weight, m->n_globals);
    for (size_t i = 0; i < m->n_globals; ++i) {
        const tlc_value *v = m->globals[i];
        if (o->names[v->id])
            g->tensors[g->n_tensors++] = (tlc_onnx_weight){ v, o->names[v->id], v->type };
    }
}

static const char *find_obstacle(tlc_ctx *ctx, const tlc_func *f, int64_t *opset)
{
    for (const tlc_node *n = f->first; n; n = n->next)
        if (!tlc_onnx_has(n, opset))
            return tlc_arena_printf(&ctx->arena, "operator %s, as it stands here, is none of ONNX",
                                    tlc_ops[n->op].name);
    return NULL;
}

tlc_onnx_graph *tlc_onnx_graph_make(tlc_ctx *ctx, const tlc_module *m)
{
    const tlc_func *f = tlc_func_find(m, "forward");
    tlc_onnx_graph *g = TLC_NEW(&ctx->arena, tlc_onnx_graph);
    g->obstacle = find_obstacle(ctx, f, &g->opset);
    if (g->obstacle)
        return g;
    tlc_onnx_out o = { .ctx = ctx, .graph = tlc_onnx_message(ctx), .opset = g->opset };
    o.names = give_names(ctx, f);
    o.node_names = give_node_names(ctx, f);
    for (const tlc_node *n = f->first; n; n = n->next)
        tlc_onnx_write_node(&o, n);
    tlb_proto_text(&o.graph, ONNX_GRAPH_NAME,
                   m->name ? tlc_onnx_out_text(ctx, m->name) : "network");
    write_io(&o, ONNX_GRAPH_INPUT, f->in[0]);
    write_io(&o, ONNX_GRAPH_OUTPUT, f->out[0]);
    list_tensors(&o, f, g);
    g->bytes = o.graph.bytes;
    g->n_bytes = o.graph.n;
    return g;
}
