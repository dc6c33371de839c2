/* onnx_map.c: from a node to its row of the table: operator, operands, attributes, and then
 * the row's own function.
 */
#include "onnx_lift.h"

#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

static const tlc_onnx_row rows[] = {
#define TLC_ONNX_OP(op, least, most, attrs, function) { #op, least, most, attrs, function },
#include "onnx_ops.def"
#undef TLC_ONNX_OP
};

static const tlc_onnx_row *find_row(const char *op)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; ++i)
        if (!strcmp(rows[i].op, op))
            return &rows[i];
    return NULL;
}

/* An op_type for a message: plain ones as they are, all else quoted. */
static const char *op_text(const tlc_onnx_node *n)
{
    const char *op = n->proto->op_type ? n->proto->op_type : "";
    size_t plain = strspn(op, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_");
    return op[0] && !op[plain] && plain <= 80 ? op : tlc_quote_name(n->o->ctx, op);
}

tlc_status tlc_onnx_unsupported(const tlc_onnx_node *n, const char *fmt, ...)
{
    tlc_ctx *ctx = n->o->ctx;
    va_list ap;
    va_start(ap, fmt);
    const char *what = tlc_arena_vprintf(&ctx->arena, fmt, ap);
    va_end(ap);
    tlc_at(ctx, "%s, opset %" PRId64, n->place, n->o->opset);
    (void)tlc_fail(ctx, TLC_E_UNSUPPORTED, "E_OPERATOR", "%s", what);
    return tlc_hint(ctx, "docs/operators.md");
}

/* --- attributes: known, in this opset, and each once --------------------- */

/* The entry of `name` in a row's list, or NULL. */
static const char *find_entry(const char *list, const char *name)
{
    size_t len = strlen(name);
    while (len && *list) {
        size_t word = strcspn(list, " "), bare = strcspn(list, " <");
        if (bare == len && !memcmp(list, name, len))
            return list;
        list += word + (list[word] == ' ');
    }
    return NULL;
}

static tlc_status check_attr(const tlc_onnx_node *n, size_t i)
{
    const Onnx__AttributeProto *a = n->proto->attribute[i];
    const char *name = a->name ? a->name : "";
    const char *entry = find_entry(n->row->attrs, name);
    const char *quoted = tlc_quote_name(n->o->ctx, name);
    if (!entry)
        return tlc_onnx_unsupported(n, "attribute %s of %s is not supported", quoted, n->row->op);
    const char *until = entry + strlen(name);
    if (*until == '<' && n->o->opset >= atoi(until + 1))
        return TLC_ONNX_BAD(n, "attribute %s of %s ends before opset %d", quoted, n->row->op,
                            atoi(until + 1));
    if (a->ref_attr_name && a->ref_attr_name[0])
        return tlc_onnx_unsupported(n, "attribute %s refers to a function's", quoted);
    if (tlc_onnx_attr(n, name) != a)
        return TLC_ONNX_BAD(n, "attribute %s given twice", quoted);
    return TLC_OK;
}

/* --- operands ------------------------------------------------------------ */

static tlc_status read_operands(tlc_onnx_node *n)
{
    const Onnx__NodeProto *p = n->proto;
    size_t n_in = p->n_input;
    while (n_in > 0 && !p->input[n_in - 1][0])
        --n_in;
    if (n_in > (size_t)n->row->most)
        return TLC_ONNX_BAD(n, "%s has %zu operands, at most %d", n->row->op, n_in, n->row->most);
    n->in = TLC_NEW_ARRAY(&n->o->ctx->arena, tlc_value *, n_in);
    n->n_in = (int)n_in;
    for (size_t i = 0; i < n_in; ++i)
        if (p->input[i][0])
            TLC_TRY(tlc_onnx_read(n->o, p->input[i], &n->in[i]));
    for (int i = 0; i < n->row->least; ++i)
        if (!tlc_onnx_in(n, i))
            return TLC_ONNX_BAD(n, "operand %d of %s is absent", i, n->row->op);
    return TLC_OK;
}

/* Double constants that meet f32 become f32: the network computes in f32. */
static tlc_status match_floats(tlc_onnx_node *n)
{
    bool has_f32 = false;
    for (int i = 0; i < n->n_in; ++i)
        has_f32 = has_f32 || (n->in[i] && n->in[i]->type == TLC_F32);
    for (int i = 0; has_f32 && i < n->n_in; ++i)
        if (n->in[i] && n->in[i]->type == TLC_F64 && n->in[i]->kind == TLC_CONST)
            TLC_TRY(tlc_onnx_to_f32(n->o, n->in[i], &n->in[i]));
    return TLC_OK;
}

tlc_status tlc_onnx_map_node(tlc_onnx_node *n)
{
    const char *domain = n->proto->domain ? n->proto->domain : "";
    if (domain[0] && strcmp(domain, "ai.onnx") != 0)
        return tlc_onnx_unsupported(n, "operator %s of domain %s is not supported", op_text(n),
                                    tlc_quote_name(n->o->ctx, domain));
    n->row = find_row(n->proto->op_type ? n->proto->op_type : "");
    if (!n->row)
        return tlc_onnx_unsupported(n, "operator %s is not supported", op_text(n));
    TLC_TRY(read_operands(n));
    for (size_t i = 0; i < n->proto->n_attribute; ++i)
        TLC_TRY(check_attr(n, i));
    TLC_TRY(match_floats(n));
    return tlc_onnx_reads_lifted(n) ? tlc_onnx_map_lifted(n) : n->row->map(n);
}
