/* onnx.c: an ONNX model to @forward, in the order in which a reader meets things: model,
 * initialisers, inputs, nodes, outputs.  The first error in this order is the one told.
 */
#include "onnx_import.h"

#include "onnx_guard.h"
#include "onnx_lift.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { IR_LEAST = 3, IR_MOST = 14, OPSET_LEAST = 7, OPSET_MOST = 28 };

/* --- the model ----------------------------------------------------------- */

static tlc_status check_ir_version(tlc_ctx *ctx, const Onnx__ModelProto *m)
{
    if (!m->has_ir_version)
        return tlc_fail(ctx, TLC_E_MALFORMED, "E_ONNX_VERSION", "no ir_version");
    if (m->ir_version < IR_LEAST || m->ir_version > IR_MOST)
        return tlc_fail(ctx, TLC_E_UNSUPPORTED, "E_ONNX_VERSION",
                        "ir_version %" PRId64 " is not supported, %d to %d are", m->ir_version,
                        IR_LEAST, IR_MOST);
    return TLC_OK;
}

static bool is_default_domain(const char *domain)
{
    return !domain || !domain[0] || !strcmp(domain, "ai.onnx");
}

/* Imports of other domains do no harm until a node uses one. */
static tlc_status read_opset(tlc_onnx *o, const Onnx__ModelProto *m)
{
    const Onnx__OperatorSetIdProto *found = NULL;
    for (size_t i = 0; i < m->n_opset_import; ++i) {
        if (!is_default_domain(m->opset_import[i]->domain))
            continue;
        if (found)
            return tlc_fail(o->ctx, TLC_E_MALFORMED, "E_ONNX_VERSION",
                            "opset of domain \"\" given twice");
        found = m->opset_import[i];
    }
    if (!found && m->n_opset_import)
        return tlc_fail(o->ctx, TLC_E_UNSUPPORTED, "E_ONNX_VERSION",
                        "domain %s without an opset of ONNX's own",
                        tlc_quote_name(o->ctx, m->opset_import[0]->domain));
    if (!found)
        return tlc_fail(o->ctx, TLC_E_MALFORMED, "E_ONNX_VERSION",
                        "no opset: opset_import is empty");
    o->opset = found->has_version ? found->version : 0;
    if (o->opset < OPSET_LEAST || o->opset > OPSET_MOST)
        return tlc_fail(o->ctx, TLC_E_UNSUPPORTED, "E_ONNX_VERSION",
                        "opset %" PRId64 " is not supported, %d to %d are", o->opset, OPSET_LEAST,
                        OPSET_MOST);
    return TLC_OK;
}

static tlc_status check_model(tlc_onnx *o, const Onnx__ModelProto *m)
{
    tlc_ctx *ctx = o->ctx;
    if (!m->graph)
        return tlc_fail(ctx, TLC_E_MALFORMED, "E_ONNX_GRAPH", "no graph");
    TLC_TRY(check_ir_version(ctx, m));
    TLC_TRY(read_opset(o, m));
    if (m->n_functions)
        return tlc_fail(ctx, TLC_E_UNSUPPORTED, "E_OPERATOR", "local function %s is not supported",
                        tlc_quote_name(ctx, m->functions[0]->name));
    if (m->graph->n_sparse_initializer) {
        const Onnx__TensorProto *t = m->graph->sparse_initializer[0]->values;
        return tlc_fail(ctx, TLC_E_UNSUPPORTED, "E_OPERATOR",
                        "sparse_initializer %s is not supported",
                        tlc_quote_name(ctx, t ? t->name : NULL));
    }
    o->graph = m->graph;
    return TLC_OK;
}

/* --- names --------------------------------------------------------------- */

static tlc_onnx_name *add_name(tlc_onnx *o, const char *name)
{
    tlc_onnx_name *e = TLC_NEW(&o->ctx->arena, tlc_onnx_name);
    tlc_names_add(&o->names, name, e);
    return e;
}

/* Initialisers and results of nodes; an input may share an initialiser's name (IR version 3:
 * it must), so inputs come later. */
static tlc_status collect_names(tlc_onnx *o)
{
    const Onnx__GraphProto *g = o->graph;
    for (size_t i = 0; i < g->n_initializer; ++i)
        add_name(o, g->initializer[i]->name ? g->initializer[i]->name : "")->tensor =
            g->initializer[i];
    for (size_t i = 0; i < g->n_node; ++i)
        for (size_t k = 0; k < g->node[i]->n_output; ++k)
            if (g->node[i]->output[k][0])
                add_name(o, g->node[i]->output[k])->is_output = true;
    const tlc_named *twice = tlc_names_seal(&o->names);
    if (!twice)
        return TLC_OK;
    return tlc_fail(o->ctx, TLC_E_MALFORMED, "E_ONNX_NAME", "%s is defined twice",
                    tlc_quote_name(o->ctx, twice->name));
}

static tlc_status check_initialisers(tlc_onnx *o)
{
    for (size_t i = 0; i < o->graph->n_initializer; ++i) {
        const Onnx__TensorProto *t = o->graph->initializer[i];
        tlc_onnx_tensor ignored;
        tlc_at(o->ctx, "tensor %s", tlc_quote_name(o->ctx, t->name));
        TLC_TRY(tlc_onnx_tensor_check(o, t, &ignored));
    }
    tlc_onnx_external_warn(o);
    return TLC_OK;
}

/* --- inputs -------------------------------------------------------------- */

static tlc_status read_dim(tlc_onnx *o, const Onnx__TensorShapeProto__Dimension *d, size_t i,
                           int64_t *out)
{
    bool known = d->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
    if (i == 0 && (!known || d->dim_value < 1)) {
        *out = TLC_DIM_N; /* some exporters write 0 or -1 for a batch that is open */
        return TLC_OK;
    }
    if (!known)
        return tlc_fail(o->ctx, TLC_E_UNSUPPORTED, "E_SHAPE",
                        "dimension %zu is no number; only the first may be open", i);
    *out = d->dim_value;
    if (i == 0) {
        o->fixed_batch = d->dim_value;
        *out = TLC_DIM_N;
    }
    return TLC_OK;
}

static tlc_status read_input_shape(tlc_onnx *o, const Onnx__TensorShapeProto *s, tlc_shape *out)
{
    if (!s || s->n_dim == 0)
        return tlc_fail(o->ctx, TLC_E_UNSUPPORTED, "E_SHAPE", "input without a shape");
    if (s->n_dim > TLC_MAX_RANK || (int64_t)s->n_dim > o->ctx->limits.max[TLB_LIMIT_RANK])
        return tlc_over_limit(o->ctx, TLB_LIMIT_RANK, (int64_t)s->n_dim);
    out->rank = (int)s->n_dim;
    for (size_t i = 0; i < s->n_dim; ++i)
        TLC_TRY(read_dim(o, s->dim[i], i, &out->dim[i]));
    return tlc_check_shape(o->ctx, out, "input");
}

static void add_reader(tlc_names *readers, char *name)
{
    if (name && name[0])
        tlc_names_add(readers, name, name);
}

/* Every name that a node or an output reads, as often as it is read. */
static tlc_names collect_readers(const tlc_onnx *o)
{
    const Onnx__GraphProto *g = o->graph;
    tlc_names readers = { .arena = &o->ctx->arena };
    for (size_t i = 0; i < g->n_node; ++i)
        for (size_t k = 0; k < g->node[i]->n_input; ++k)
            add_reader(&readers, g->node[i]->input[k]);
    for (size_t i = 0; i < g->n_output; ++i)
        add_reader(&readers, g->output[i]->name);
    (void)tlc_names_seal(&readers); /* which sorts them; equal ones are as they should be */
    return readers;
}

static tlc_status add_input(tlc_onnx *o, const Onnx__ValueInfoProto *info)
{
    const Onnx__TypeProto *type = info->type;
    tlc_type elem;
    tlc_shape shape;
    if (!type || type->value_case != ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE)
        return tlc_fail(o->ctx, TLC_E_UNSUPPORTED, "E_TYPE", "input that is no tensor");
    TLC_TRY(tlc_onnx_elem_type(o->ctx, type->tensor_type->elem_type, &elem));
    if (elem == TLC_F64) {
        tlc_warn(o->ctx, "W_TYPE", "input of doubles is read as f32");
        elem = TLC_F32;
    }
    TLC_TRY(read_input_shape(o, type->tensor_type->shape, &shape));
    add_name(o, info->name)->value = tlc_input_add(o->func, info->name, elem, shape);
    return TLC_OK;
}

static tlc_status read_inputs(tlc_onnx *o)
{
    tlc_names known = o->names; /* sealed; what is added below is not looked up yet */
    tlc_names readers = collect_readers(o);
    for (size_t i = 0; i < o->graph->n_input; ++i) {
        const Onnx__ValueInfoProto *info = o->graph->input[i];
        tlc_at(o->ctx, "input %s", tlc_quote_name(o->ctx, info->name));
        if (!info->name || !info->name[0])
            return tlc_fail(o->ctx, TLC_E_MALFORMED, "E_ONNX_NAME", "input without a name");
        const tlc_onnx_name *e = tlc_names_find(&known, info->name);
        if (e && e->tensor)
            continue;
        if (tlc_names_find(&readers, info->name)) {
            TLC_TRY(add_input(o, info));
        } else {
            add_name(o, info->name);
            tlc_warn(o->ctx, "W_INPUT", "no node reads it: left out");
        }
    }
    const tlc_named *twice = tlc_names_seal(&o->names);
    tlc_at(o->ctx, "%s", "");
    if (twice)
        return tlc_fail(o->ctx, TLC_E_MALFORMED, "E_ONNX_NAME", "%s is defined twice",
                        tlc_quote_name(o->ctx, twice->name));
    return TLC_OK;
}

/* --- values by name ------------------------------------------------------ */

void tlc_onnx_mark_weight(tlc_onnx *o, const tlc_value *v, const tlc_value *of)
{
    size_t id = (size_t)v->id;
    while (o->cap_origin <= id) /* its own length: marks are sparse */
        o->origin = tlc_arena_grow(&o->ctx->arena, o->origin, o->cap_origin, &o->cap_origin,
                                   sizeof(const tlc_value *));
    o->origin[id] = of != v && tlc_onnx_is_weight(o, of) ? o->origin[of->id] : of;
}

bool tlc_onnx_is_weight(const tlc_onnx *o, const tlc_value *v)
{
    return (size_t)v->id < o->cap_origin && o->origin[v->id];
}

tlc_status tlc_onnx_count_made(tlc_ctx *ctx, const tlc_shape *shape, tlc_type type)
{
    int64_t bytes = tlc_shape_elems(shape) * tlc_type_bytes(type);
    if (bytes > ctx->limits.max[TLB_LIMIT_FOLDED] - ctx->folded_bytes)
        return tlc_over_limit(ctx, TLB_LIMIT_FOLDED, ctx->folded_bytes + bytes);
    ctx->folded_bytes += bytes;
    return TLC_OK;
}

tlc_status tlc_onnx_copy(tlc_onnx *o, const tlc_value *of, tlc_shape shape, float **bytes,
                         tlc_value **out)
{
    size_t id = (size_t)of->id;
    void *at;
    while (o->cap_copied <= id)
        o->copied = tlc_arena_grow(&o->ctx->arena, o->copied, o->cap_copied, &o->cap_copied,
                                   sizeof *o->copied);
    if (o->copied[id] || of->splat)
        TLC_TRY(tlc_onnx_count_made(o->ctx, &shape, TLC_F32));
    o->copied[id] = true;
    *out = tlc_const_make(o->module, of->name, TLC_F32, shape, &at);
    *bytes = at;
    return TLC_OK;
}

tlc_value *tlc_onnx_twin(tlc_onnx *o, const tlc_value *v, const char *name)
{
    tlc_value *twin = tlc_global_add(o->module, TLC_CONST, name, v->type, v->shape);
    int id = twin->id;
    *twin = *v;
    twin->id = id;
    twin->name = name;
    twin->kind = TLC_CONST;
    if (tlc_onnx_is_weight(o, v))
        tlc_onnx_mark_weight(o, twin, v);
    return twin;
}

static tlc_status make_initialiser(tlc_onnx *o, tlc_onnx_name *e)
{
    int64_t counted = o->ctx->weights_bytes;
    TLC_TRY(tlc_onnx_tensor_make(o, e->tensor, e->tensor->name, &e->value));
    o->ctx->weights_bytes = counted; /* it was counted with the others */
    if (tlc_is_float(e->value->type) && e->value->shape.rank > 0)
        tlc_onnx_mark_weight(o, e->value, e->value);
    return TLC_OK;
}

static tlc_status undefined(tlc_onnx *o, const char *name, const char *how)
{
    return tlc_fail(o->ctx, TLC_E_MALFORMED, "E_ONNX_NAME", "%s is %s",
                    tlc_quote_name(o->ctx, name), how);
}

tlc_status tlc_onnx_read(tlc_onnx *o, const char *name, tlc_value **out)
{
    tlc_onnx_name *e = tlc_names_find(&o->names, name);
    if (!e)
        return undefined(o, name, "undefined: no node, initialiser or input has this name");
    if (e->tensor && !e->value)
        TLC_TRY(make_initialiser(o, e));
    if (!e->value && !e->defined)
        return undefined(o, name, "defined later: nodes must be in order, without cycles");
    if (!e->value)
        return tlc_fail(o->ctx, TLC_E_UNSUPPORTED, "E_OPERATOR", "result %s is not supported",
                        tlc_quote_name(o->ctx, name));
    *out = e->value;
    return TLC_OK;
}

void tlc_onnx_define(const tlc_onnx_node *n, size_t i, tlc_value *v)
{
    if (i >= n->proto->n_output || !n->proto->output[i][0])
        return;
    tlc_onnx_name *e = tlc_names_find(&n->o->names, n->proto->output[i]);
    e->value = v;
    if (!v->name)
        v->name = n->proto->output[i];
}

/* --- nodes --------------------------------------------------------------- */

static const char *name_of(const Onnx__NodeProto *p)
{
    if (p->name && p->name[0])
        return p->name;
    return p->n_output && p->output[0][0] ? p->output[0] : NULL;
}

/* Shapes that do not fit may have fitted before the file's batch became n: say so. */
static tlc_status blame_batch(tlc_onnx *o, tlc_status status)
{
    const tlb_diag *d = o->ctx->n_diags ? &o->ctx->diags[o->ctx->n_diags - 1] : NULL;
    if (!d || d->hint || !o->fixed_batch || (strcmp(d->id, "E_SHAPE") && strcmp(d->id, "E_BATCH")))
        return status;
    return tlc_hint(o->ctx,
                    "the file's batch of %" PRId64 " was read as n; export it with a dynamic "
                    "batch",
                    o->fixed_batch);
}

static tlc_status read_node(tlc_onnx *o, size_t index)
{
    tlc_ctx *ctx = o->ctx;
    tlc_onnx_node n = { .o = o, .proto = o->graph->node[index], .index = index };
    n.name = name_of(n.proto);
    n.place = n.name
                  ? tlc_arena_printf(&ctx->arena, "node %zu %s", index, tlc_quote_name(ctx, n.name))
                  : tlc_arena_printf(&ctx->arena, "node %zu", index);
    tlc_at(ctx, "%s", n.place);
    tlc_status status = tlc_onnx_map_node(&n);
    if (status != TLC_OK)
        return blame_batch(o, status);
    for (size_t k = 0; k < n.proto->n_output; ++k) {
        if (!n.proto->output[k][0])
            continue;
        tlc_onnx_name *e = tlc_names_find(&o->names, n.proto->output[k]);
        e->defined = true;
    }
    return TLC_OK;
}

static tlc_status not_float(tlc_onnx *o, const char *what, tlc_type type)
{
    return tlc_fail(o->ctx, TLC_E_UNSUPPORTED, "E_TYPE",
                    "%s of element type %s; a network takes and gives floating-point numbers", what,
                    tlc_type_name(type));
}

/* After the nodes: an operand that had to be constant has been refused by its own name. */
static tlc_status check_inputs(tlc_onnx *o)
{
    for (size_t i = 0; i < o->func->n_in; ++i) {
        const tlc_value *v = o->func->in[i];
        tlc_at(o->ctx, "input %s", tlc_quote_name(o->ctx, v->name));
        if (!tlc_is_float(v->type))
            return not_float(o, "input", v->type);
    }
    return TLC_OK;
}

static tlc_status read_outputs(tlc_onnx *o)
{
    for (size_t i = 0; i < o->graph->n_output; ++i) {
        const char *name = o->graph->output[i]->name ? o->graph->output[i]->name : "";
        tlc_value *v;
        tlc_at(o->ctx, "output %s", tlc_quote_name(o->ctx, name));
        TLC_TRY(tlc_onnx_read(o, name, &v));
        if (v->kind == TLC_CONST)
            return tlc_fail(o->ctx, TLC_E_UNSUPPORTED, "E_ONNX_GRAPH",
                            "output does not depend on the input");
        if (!tlc_is_float(v->type))
            return not_float(o, "output", v->type);
        if (tlc_onnx_is_lifted(o, v))
            return tlc_fail(o->ctx, TLC_E_UNSUPPORTED, "E_BATCH",
                            "the batch is not the output's leading dimension");
        tlc_return_add(o->func, v);
    }
    return TLC_OK;
}

/* --- parameters ---------------------------------------------------------- */

/* Operands that are trained wherever their bytes came from (a Constant, a ConstantOfShape). */
static bool is_weight_operand(const tlc_node *n, int i)
{
    switch (n->op) {
    case TLC_OP_CONV2D:
    case TLC_OP_LINEAR:
    case TLC_OP_MATMUL:
        return i >= 1;
    case TLC_OP_BATCH_NORM:
        return i == 1 || i == 2;
    default:
        return false;
    }
}

static bool is_statistic(const tlc_node *n, int i)
{
    return n->op == TLC_OP_BATCH_NORM && i >= 3;
}

/* Elements that are NaN or infinite: all exponent bits set. */
static int64_t count_not_finite(const tlc_value *v)
{
    int64_t n = v->splat ? 1 : tlc_shape_elems(&v->shape), bad = 0;
    const unsigned char *p = v->data;
    for (int64_t i = 0; v->type == TLC_F32 && i < n; ++i) {
        uint32_t bits;
        memcpy(&bits, p + 4 * i, sizeof bits);
        bad += (bits & 0x7f800000u) == 0x7f800000u;
    }
    for (int64_t i = 0; v->type == TLC_F64 && i < n; ++i) {
        uint64_t bits;
        memcpy(&bits, p + 8 * i, sizeof bits);
        bad += (bits >> 52 & 0x7ff) == 0x7ff;
    }
    return bad;
}

static void check_finite(tlc_ctx *ctx, const tlc_value *v)
{
    int64_t bad = count_not_finite(v);
    if (!bad)
        return;
    tlc_at(ctx, "tensor %s", tlc_quote_name(ctx, v->name));
    tlc_warn(ctx, "W_NOT_FINITE", "%" PRId64 " elements are not finite", bad);
}

/* What settle_globals keeps while it walks; the arrays are by value id, as many as there were
 * before it made twins. */
typedef struct settling {
    tlc_import_info *info;
    bool *read;      /* by a node */
    bool *owned;     /* is a parameter or a statistic, or one of these copies it */
    tlc_names names; /* of parameters and statistics, to their values */
} settling;

static bool becomes_param(const tlc_onnx *o, const tlc_node *n, int i)
{
    return !is_statistic(n, i) && (is_weight_operand(n, i) || tlc_onnx_is_weight(o, n->in[i]));
}

/* Exporters store equal tensors once, such as the zeros and ones of a network that was never
 * trained.  Training must not add up the gradients of those, so each use has a value of its own:
 * the first use that of the file. */
static tlc_status untie(tlc_onnx *o, tlc_node *n, int i, settling *s)
{
    tlc_value *v = n->in[i];
    const tlc_value *of = tlc_onnx_is_weight(o, v) ? o->origin[v->id] : v;
    if (s->owned[of->id]) {
        tlc_at(o->ctx, "tensor %s", tlc_quote_name(o->ctx, v->name));
        if (v == of || s->read[v->id]) /* else it was counted when it was copied */
            TLC_TRY(tlc_onnx_count_made(o->ctx, &v->shape, v->type));
        ++s->info->n_untied;
    }
    if (s->read[v->id])
        n->in[i] = tlc_onnx_twin(o, v, v->name);
    s->owned[of->id] = s->owned[v->id] = true;
    tlc_names_add(&s->names, v->name ? v->name : "", n->in[i]);
    return TLC_OK;
}

static tlc_status settle_operand(tlc_onnx *o, tlc_node *n, int i, settling *s)
{
    tlc_value *v = n->in[i];
    bool param = becomes_param(o, n, i);
    if (!s->read[v->id])
        check_finite(o->ctx, v);
    if (param || is_statistic(n, i))
        TLC_TRY(untie(o, n, i, s));
    else if (s->owned[v->id]) /* a constant here, a parameter there */
        n->in[i] = tlc_onnx_twin(o, v, v->name);
    s->read[v->id] = true;
    if (param) {
        n->in[i]->kind = TLC_PARAM;
        ++s->info->n_params;
        s->info->param_elems += tlc_shape_elems(&v->shape);
    }
    return TLC_OK;
}

static tlc_status settle_operands(tlc_onnx *o, tlc_node *n, settling *s)
{
    for (int i = 0; i < n->n_in; ++i) {
        const tlc_value *v = n->in[i];
        if (v && tlc_is_global(v) && tlc_is_float(v->type) && v->shape.rank > 0)
            TLC_TRY(settle_operand(o, n, i, s));
        else if (v)
            s->read[v->id] = true;
    }
    return TLC_OK;
}

/* Of equal names the first stays, the others get .2, .3 and so on behind it. */
static void number_names(tlc_onnx *o, tlc_names *names)
{
    int64_t number = 1;
    (void)tlc_names_seal(names); /* in order of names, then of adding */
    for (size_t i = 1; i < names->n; ++i) {
        const char *name = names->rows[i].name, *numbered;
        if (strcmp(name, names->rows[i - 1].name) != 0) {
            number = 1;
            continue;
        }
        do
            numbered = tlc_arena_printf(&o->ctx->arena, "%s.%" PRId64, name, ++number);
        while (tlc_names_find(&o->names, numbered));
        ((tlc_value *)names->rows[i].item)->name = numbered;
    }
}

/* Weights become parameters; what folding left unread goes. */
static tlc_status settle_globals(tlc_onnx *o, tlc_import_info *info)
{
    tlc_module *m = o->module;
    tlc_arena *arena = &o->ctx->arena;
    int n_old = m->n_values;
    settling s = { info, TLC_NEW_ARRAY(arena, bool, n_old), TLC_NEW_ARRAY(arena, bool, n_old),
                   { .arena = arena } };
    size_t kept = 0;
    for (tlc_node *n = o->func->first; n; n = n->next)
        TLC_TRY(settle_operands(o, n, &s));
    for (size_t i = 0; i < m->n_globals; ++i)
        if (m->globals[i]->id >= n_old || s.read[m->globals[i]->id])
            m->globals[kept++] = m->globals[i];
    m->n_globals = kept;
    number_names(o, &s.names);
    tlc_at(o->ctx, "%s", "");
    return TLC_OK;
}

/* --- the whole ----------------------------------------------------------- */

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static tlc_status read_graph(tlc_onnx *o)
{
    TLC_TRY(collect_names(o));
    TLC_TRY(check_initialisers(o));
    TLC_TRY(read_inputs(o));
    for (size_t i = 0; i < o->graph->n_node; ++i)
        TLC_TRY(read_node(o, i));
    TLC_TRY(read_outputs(o));
    return check_inputs(o);
}

tlc_status tlc_import_onnx(tlc_ctx *ctx, tlc_file *file, tlc_module **out, tlc_import_info *info)
{
    tlc_onnx o = { .ctx = ctx,
                   .file = file,
                   .file_name = base_name(file->path),
                   .names = { .arena = &ctx->arena } };
    tlc_import_info found = { 0 };
    Onnx__ModelProto *model;
    TLC_TRY(tlc_onnx_unpack(ctx, file->bytes, (size_t)file->n_bytes, &model));
    TLC_TRY(check_model(&o, model));
    o.module = tlc_module_make(ctx, o.graph->name && o.graph->name[0] ? o.graph->name : "model");
    o.func = tlc_func_add(o.module, "forward");
    TLC_TRY(read_graph(&o));
    TLC_TRY(settle_globals(&o, &found));
    found.generalised = o.fixed_batch > 0;
    found.opset = o.opset;
    *out = o.module;
    *info = found;
    return TLC_OK;
}
