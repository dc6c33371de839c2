/* parse.c: the text form, read strictly; docs/ir.md has the grammar.
 *
 * Recursive descent over a grammar that does not nest, so nothing recurses.  The first error
 * ends it, with line and column.  What operators demand is asked of them, node by node; the
 * verifier has the last word on the whole.
 */
#include "parse.h"

#include <stdarg.h>
#include <string.h>

/* --- shared with the other parts ------------------------------------------------------ */

tlc_status tlc_parse_fail(tlc_parser *p, const char *id, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    const char *what = tlc_arena_vprintf(&p->ctx->arena, fmt, ap);
    va_end(ap);
    tlc_lex_at(&p->lex);
    return tlc_fail(p->ctx, TLC_E_MALFORMED, id, "%s", what);
}

tlc_status tlc_parse_limit(tlc_parser *p, tlb_limit which, int64_t count)
{
    int64_t most = p->ctx->limits.max[which];
    if (count <= most)
        return TLC_OK;
    tlc_lex_at(&p->lex);
    return tlc_fail(p->ctx, TLC_E_LIMIT, "E_LIMIT", "%s: %lld, limit %s is %lld",
                    tlb_limit_name(which), (long long)count, tlb_limit_name(which),
                    (long long)most);
}

tlc_status tlc_parse_origin(tlc_parser *p, const char **out)
{
    bool found;
    size_t len;
    *out = NULL;
    TLC_TRY(tlc_lex_skip(&p->lex, ";", &found));
    if (!found)
        return TLC_OK;
    TLC_TRY(tlc_parse_limit(p, TLB_LIMIT_NAME, (int64_t)p->lex.token.len));
    return tlc_lex_string(&p->lex, out, &len);
}

static tlc_name token_name(const tlc_token *t)
{
    return (tlc_name){ .bytes = t->text, .len = t->len, .is_number = t->is_number };
}

tlc_status tlc_parse_fresh(tlc_parser *p, tlc_name *out)
{
    const tlc_token *t = &p->lex.token;
    if (t->kind != TLC_TOKEN_VALUE)
        return tlc_lex_expected(&p->lex, "a value's name");
    *out = token_name(t);
    if (tlc_scope_find(&p->globals, *out) || tlc_scope_find(&p->locals, *out))
        return tlc_parse_fail(p, "E_DUPLICATE", "value %s is defined twice",
                              tlc_quote(p->ctx, t->text, t->len));
    return TLC_OK;
}

/* --- operands, results ------------------------------------------------------------------ */

static tlc_status parse_ref(tlc_parser *p, tlc_value **out)
{
    const tlc_token *t = &p->lex.token;
    if (t->kind != TLC_TOKEN_VALUE)
        return tlc_lex_expected(&p->lex, "an operand: a value");
    *out = tlc_scope_find(&p->locals, token_name(t));
    if (!*out)
        *out = tlc_scope_find(&p->globals, token_name(t));
    if (!*out)
        return tlc_parse_fail(p, "E_UNDEFINED", "value %s is undefined",
                              tlc_quote(p->ctx, t->text, t->len));
    return tlc_lex(&p->lex);
}

/* One operation while it is read. */
enum { MOST_RESULTS = 3, MOST_OPERANDS = 64 }; /* of any row of ops.def */
typedef struct statement {
    tlc_token place; /* of its operator */
    tlc_op op;
    tlc_name name[MOST_RESULTS];
    tlc_value type[MOST_RESULTS];
    int n_results;
    tlc_value *in[MOST_OPERANDS];
    int n_in;
} statement;

#define TLC_OP(name, NAME, lo, hi, results, traits, meaning)                     \
    _Static_assert((results) <= MOST_RESULTS && (hi) <= MOST_OPERANDS, #name);
#include "ops.def"
#undef TLC_OP

/* `%5 : t =` or `%5, %6 : t, t =`, or nothing. */
static tlc_status parse_results(tlc_parser *p, statement *s)
{
    bool more = p->lex.token.kind == TLC_TOKEN_VALUE;
    while (more) {
        if (s->n_results == MOST_RESULTS)
            return tlc_lex_expected(&p->lex, "no more results");
        TLC_TRY(tlc_parse_fresh(p, &s->name[s->n_results++]));
        TLC_TRY(tlc_lex(&p->lex));
        TLC_TRY(tlc_lex_skip(&p->lex, ",", &more));
    }
    for (int i = 0; i < s->n_results; ++i) {
        TLC_TRY(tlc_lex_take(&p->lex, i ? "," : ":"));
        TLC_TRY(tlc_parse_type(p, &s->type[i]));
    }
    return s->n_results ? tlc_lex_take(&p->lex, "=") : TLC_OK;
}

static tlc_status parse_op(tlc_parser *p, statement *s)
{
    const tlc_token *t = &p->lex.token;
    s->place = *t;
    if (t->kind != TLC_TOKEN_WORD)
        return tlc_lex_expected(&p->lex, "an operation");
    if (!tlc_op_find(t->text, t->len, &s->op))
        return tlc_parse_fail(p, "E_OP", "no operation is called %s",
                              tlc_quote(p->ctx, t->text, t->len));
    if (tlc_ops[s->op].results != s->n_results)
        return tlc_parse_fail(p, "E_OPERANDS", "operation %s has %d results, %d are named",
                              tlc_ops[s->op].name, tlc_ops[s->op].results, s->n_results);
    return tlc_lex(&p->lex);
}

static tlc_status parse_operands(tlc_parser *p, statement *s)
{
    bool more, absent;
    do {
        if (s->n_in == tlc_ops[s->op].most)
            return tlc_parse_fail(p, "E_OPERANDS", "operand %d: %s takes at most %d", s->n_in + 1,
                                  tlc_ops[s->op].name, tlc_ops[s->op].most);
        s->in[s->n_in] = NULL;
        TLC_TRY(tlc_lex_skip(&p->lex, "_", &absent));
        if (!absent)
            TLC_TRY(parse_ref(p, &s->in[s->n_in]));
        ++s->n_in;
        TLC_TRY(tlc_lex_skip(&p->lex, ",", &more));
    } while (more);
    return TLC_OK;
}

/* Is the declared type what the operator gives?  The layout is the text's word alone. */
static tlc_status check_declared(tlc_parser *p, const statement *s, const tlc_node *n, int i)
{
    tlc_value declared = s->type[i];
    tlc_value *out = n->out[i];
    declared.layout = out->layout;
    if (declared.type != out->type || !tlc_shape_equal(&declared.shape, &out->shape))
        return tlc_fail(p->ctx, TLC_E_MALFORMED, "E_TYPE", "declared type is %s, %s gives %s",
                        tlc_type_text(p->ctx, &declared), tlc_ops[n->op].name,
                        tlc_type_text(p->ctx, out));
    out->layout = s->type[i].layout;
    return TLC_OK;
}

static tlc_status parse_statement(tlc_parser *p, tlc_func *f)
{
    statement s = { 0 };
    TLC_TRY(tlc_parse_limit(p, TLB_LIMIT_NODES, ++p->n_nodes));
    TLC_TRY(parse_results(p, &s));
    TLC_TRY(parse_op(p, &s));
    TLC_TRY(parse_operands(p, &s));
    tlc_node *n = tlc_node_add(f, NULL, s.op, NULL, s.in, s.n_in);
    TLC_TRY(tlc_parse_attrs(p, s.op, n->attrs));
    TLC_TRY(tlc_parse_origin(p, &n->name));
    tlc_at(p->ctx, "%d:%d", s.place.line, s.place.column);
    TLC_TRY(tlc_node_infer(p->ctx, n));
    for (int i = 0; i < s.n_results; ++i) {
        TLC_TRY(check_declared(p, &s, n, i));
        if (!tlc_scope_add(&p->locals, s.name[i], n->out[i])) /* `%1, %1 : ...` */
            return tlc_fail(p->ctx, TLC_E_MALFORMED, "E_DUPLICATE", "result %d is named twice", i);
    }
    return TLC_OK;
}

/* --- functions --------------------------------------------------------------------------- */

static tlc_status parse_inputs(tlc_parser *p, tlc_func *f)
{
    bool more;
    TLC_TRY(tlc_lex_take(&p->lex, "("));
    TLC_TRY(tlc_lex_skip(&p->lex, ")", &more));
    if (more)
        return TLC_OK;
    do {
        tlc_name name;
        tlc_value type = { 0 };
        TLC_TRY(tlc_parse_limit(p, TLB_LIMIT_TENSORS, (int64_t)f->n_in + 1));
        TLC_TRY(tlc_parse_fresh(p, &name));
        TLC_TRY(tlc_lex(&p->lex));
        TLC_TRY(tlc_lex_take(&p->lex, ":"));
        TLC_TRY(tlc_parse_type(p, &type));
        tlc_value *v =
            tlc_input_add(f, name.is_number ? NULL : name.bytes, type.type, type.shape);
        v->layout = type.layout;
        tlc_scope_add(&p->locals, name, v);
        TLC_TRY(tlc_lex_skip(&p->lex, ",", &more));
    } while (more);
    return tlc_lex_take(&p->lex, ")");
}

/* Declared result types, as a list of typed values that stand for nothing else. */
typedef struct result_types {
    tlc_value *type;
    size_t n, cap;
} result_types;

static tlc_status parse_result_types(tlc_parser *p, result_types *out)
{
    bool more;
    TLC_TRY(tlc_lex_skip(&p->lex, "->", &more));
    while (more) {
        tlc_value type = { 0 };
        TLC_TRY(tlc_parse_limit(p, TLB_LIMIT_TENSORS, (int64_t)out->n + 1));
        TLC_TRY(tlc_parse_type(p, &type));
        TLC_PUSH(&p->ctx->arena, out->type, out->n, out->cap, type);
        TLC_TRY(tlc_lex_skip(&p->lex, ",", &more));
    }
    return TLC_OK;
}

/* After `return`: as many values as types, each of its type and layout. */
static tlc_status parse_returns(tlc_parser *p, tlc_func *f, const result_types *types)
{
    for (size_t i = 0; i < types->n; ++i) {
        const tlc_value *want = &types->type[i];
        tlc_value *v;
        if (i)
            TLC_TRY(tlc_lex_take(&p->lex, ","));
        tlc_token place = p->lex.token;
        TLC_TRY(parse_ref(p, &v));
        tlc_at(p->ctx, "%d:%d", place.line, place.column);
        if (v->type != want->type || !tlc_shape_equal(&v->shape, &want->shape) ||
            !tlc_layout_equal(&v->layout, &want->layout))
            return tlc_fail(p->ctx, TLC_E_MALFORMED, "E_TYPE",
                            "returned value has type %s, declared is %s",
                            tlc_type_text(p->ctx, v), tlc_type_text(p->ctx, want));
        tlc_return_add(f, v);
    }
    return TLC_OK;
}

static tlc_status parse_func(tlc_parser *p)
{
    const tlc_token *t = &p->lex.token;
    result_types types = { 0 };
    bool at_end;
    if (t->kind != TLC_TOKEN_FUNC)
        return tlc_lex_expected(&p->lex, "a function's name");
    tlc_func *f = tlc_func_add(p->m, tlc_arena_strndup(&p->ctx->arena, t->text, t->len));
    if (!tlc_scope_add(&p->funcs, token_name(t), f))
        return tlc_parse_fail(p, "E_DUPLICATE", "function @%s is defined twice", f->name);
    p->locals = (tlc_scope){ .arena = &p->ctx->arena };
    TLC_TRY(tlc_lex(&p->lex));
    TLC_TRY(parse_inputs(p, f));
    TLC_TRY(parse_result_types(p, &types));
    TLC_TRY(tlc_lex_take(&p->lex, "{"));
    for (;;) {
        TLC_TRY(tlc_lex_skip(&p->lex, "return", &at_end));
        if (at_end)
            break;
        TLC_TRY(parse_statement(p, f));
    }
    TLC_TRY(parse_returns(p, f, &types));
    TLC_TRY(tlc_lex_take(&p->lex, "}"));
    p->locals = (tlc_scope){ .arena = &p->ctx->arena };
    return TLC_OK;
}

/* --- the module ------------------------------------------------------------------------------ */

static tlc_status parse_header(tlc_parser *p)
{
    bool found;
    size_t len;
    TLC_TRY(tlc_lex(&p->lex));
    TLC_TRY(tlc_lex_skip(&p->lex, "module", &found));
    if (!found)
        return TLC_OK;
    TLC_TRY(tlc_parse_limit(p, TLB_LIMIT_NAME, (int64_t)p->lex.token.len));
    return tlc_lex_string(&p->lex, &p->m->name, &len);
}

static tlc_status parse_items(tlc_parser *p)
{
    static const struct { const char *word; tlc_value_kind kind; } globals[] = {
        { "const", TLC_CONST }, { "param", TLC_PARAM }, { "state", TLC_STATE },
    };
    bool found = false;
    while (p->lex.token.kind != TLC_TOKEN_END) {
        for (size_t i = 0; i < 3; ++i) {
            TLC_TRY(tlc_lex_skip(&p->lex, globals[i].word, &found));
            if (found) {
                TLC_TRY(tlc_parse_global(p, globals[i].kind));
                break;
            }
        }
        if (found)
            continue;
        TLC_TRY(tlc_lex_skip(&p->lex, "func", &found));
        if (!found)
            return tlc_lex_expected(&p->lex, "const, param, state or func");
        TLC_TRY(parse_func(p));
    }
    return TLC_OK;
}

static tlc_status parse_all(tlc_parser *p, size_t len)
{
    if ((int64_t)len > p->ctx->limits.max[TLB_LIMIT_TEXT])
        return tlc_fail(p->ctx, TLC_E_LIMIT, "E_LIMIT_TEXT",
                        "text has %zu bytes, limit text is %lld", len,
                        (long long)p->ctx->limits.max[TLB_LIMIT_TEXT]);
    TLC_TRY(parse_header(p));
    TLC_TRY(parse_items(p));
    return tlc_verify_module_as(p->ctx, p->m, TLC_E_MALFORMED);
}

tlc_status tlc_parse_module(tlc_ctx *ctx, const char *text, size_t len, const char *base_dir,
                            tlc_module **out)
{
    tlc_parser p = { .ctx = ctx, .base_dir = base_dir };
    p.lex = tlc_lexer_make(ctx, text, len);
    p.m = tlc_module_make(ctx, "");
    p.globals = p.locals = p.funcs = (tlc_scope){ .arena = &ctx->arena };
    tlc_at(ctx, "%s", "");
    tlc_status status = parse_all(&p, len);
    tlc_at(ctx, "%s", "");
    if (status == TLC_OK)
        *out = p.m;
    return status;
}
