/* parse_global.c: types, and const, param and state with their data.
 *
 * Nothing is allocated for what a type claims: a list takes memory only once the text can hold
 * that many numbers, a file is mapped and its range held against the type.
 */
#include "data.h"
#include "parse.h"

#include <string.h>

/* --- types -------------------------------------------------------------------------- */

tlc_status tlc_parse_element_type(tlc_parser *p, tlc_type *out)
{
    for (int i = 0; i < TLC_TYPE_COUNT; ++i)
        if (tlc_lex_is(&p->lex, TLC_TOKEN_WORD, tlc_type_name((tlc_type)i))) {
            *out = (tlc_type)i;
            return tlc_lex(&p->lex);
        }
    return tlc_lex_expected(&p->lex, "an element type");
}

static tlc_status parse_dim(tlc_parser *p, tlc_shape *s)
{
    bool is_n = false;
    int64_t most = p->ctx->limits.max[TLB_LIMIT_RANK];
    if (s->rank >= TLC_MAX_RANK || s->rank >= most) {
        tlc_lex_at(&p->lex);
        return tlc_fail(p->ctx, TLC_E_LIMIT, "E_LIMIT_RANK", "rank over %lld, limit rank is %lld",
                        (long long)s->rank, (long long)most);
    }
    if (s->rank == 0)
        TLC_TRY(tlc_lex_skip(&p->lex, "n", &is_n));
    int64_t *dim = &s->dim[s->rank++];
    *dim = TLC_DIM_N;
    if (is_n)
        return TLC_OK;
    if (p->lex.token.kind == TLC_TOKEN_NUMBER && p->lex.token.text[0] == '-')
        return tlc_parse_fail(p, "E_SHAPE", "dimension %d is negative", s->rank - 1);
    return tlc_lex_int(&p->lex, dim);
}

static tlc_status parse_shape(tlc_parser *p, tlc_shape *s)
{
    bool more;
    tlc_token start = p->lex.token;
    *s = (tlc_shape){ 0 };
    TLC_TRY(tlc_lex_take(&p->lex, "["));
    TLC_TRY(tlc_lex_skip(&p->lex, "]", &more));
    if (more)
        return TLC_OK;
    do {
        TLC_TRY(parse_dim(p, s));
        TLC_TRY(tlc_lex_skip(&p->lex, ",", &more));
    } while (more);
    TLC_TRY(tlc_lex_take(&p->lex, "]"));
    tlc_at(p->ctx, "%d:%d", start.line, start.column);
    return tlc_check_shape(p->ctx, s, "type");
}

static tlc_status parse_halo(tlc_parser *p, int halo[4])
{
    TLC_TRY(tlc_lex_take(&p->lex, "halo"));
    TLC_TRY(tlc_lex_take(&p->lex, "="));
    for (int i = 0; i < 4; ++i) {
        int64_t x;
        TLC_TRY(tlc_lex_take(&p->lex, i ? "," : "["));
        TLC_TRY(tlc_lex_int(&p->lex, &x));
        if (x < 0 || x > TLC_MOST_HALO)
            return tlc_parse_fail(p, "E_LAYOUT", "halo is %lld, 0 to %d", (long long)x,
                                  TLC_MOST_HALO);
        halo[i] = (int)x;
    }
    return tlc_lex_take(&p->lex, "]");
}

static tlc_status parse_layout(tlc_parser *p, tlc_layout *out)
{
    bool more;
    TLC_TRY(tlc_lex_take(&p->lex, "{"));
    int kind = 0;
    while (kind < TLC_LAYOUT_COUNT &&
           !tlc_lex_is(&p->lex, TLC_TOKEN_WORD, tlc_layout_name((tlc_layout_kind)kind)))
        ++kind;
    if (kind == TLC_LAYOUT_COUNT)
        return tlc_lex_expected(&p->lex, "a layout");
    out->kind = (tlc_layout_kind)kind;
    TLC_TRY(tlc_lex(&p->lex));
    TLC_TRY(tlc_lex_skip(&p->lex, ",", &more));
    if (more)
        TLC_TRY(parse_halo(p, out->halo));
    return tlc_lex_take(&p->lex, "}");
}

tlc_status tlc_parse_type(tlc_parser *p, tlc_value *v)
{
    TLC_TRY(tlc_parse_element_type(p, &v->type));
    TLC_TRY(parse_shape(p, &v->shape));
    v->layout = (tlc_layout){ .kind = TLC_PLAIN };
    /* A brace with a space before it opens a function's body. */
    if (!p->lex.token.touches || !tlc_lex_is(&p->lex, TLC_TOKEN_MARK, "{"))
        return TLC_OK;
    TLC_TRY(parse_layout(p, &v->layout));
    if (!tlc_layout_fits(&v->shape, &v->layout))
        return tlc_parse_fail(p, "E_LAYOUT", "layout does not fit the type %s",
                              tlc_type_text(p->ctx, v));
    return TLC_OK;
}

/* --- data ----------------------------------------------------------------------------- */

static int64_t data_bytes(const tlc_value *v)
{
    return (v->splat ? 1 : tlc_shape_elems(&v->shape)) * tlc_type_bytes(v->data_type);
}

static tlc_status parse_integer(tlc_parser *p, tlc_type type, unsigned char *to)
{
    static const int64_t least[] = { [TLC_I64] = INT64_MIN, [TLC_I32] = INT32_MIN, [TLC_U8] = 0,
                                     [TLC_BOOL] = 0 };
    static const int64_t most[] = { [TLC_I64] = INT64_MAX, [TLC_I32] = INT32_MAX,
                                    [TLC_U8] = UINT8_MAX, [TLC_BOOL] = 1 };
    int64_t x = TLC_DIM_SYMBOL;
    bool is_n = false;
    if (type == TLC_I64)
        TLC_TRY(tlc_lex_skip(&p->lex, "n", &is_n));
    tlc_lex_at(&p->lex);
    if (!is_n)
        TLC_TRY(tlc_lex_int(&p->lex, &x));
    if (x < least[type] || x > most[type])
        return tlc_fail(p->ctx, TLC_E_MALFORMED, "E_RANGE", "number %lld is out of range for %s",
                        (long long)x, tlc_type_name(type));
    memcpy(to, &x, (size_t)tlc_type_bytes(type)); /* little-endian, as all of weights.bin */
    return TLC_OK;
}

static tlc_status parse_element(tlc_parser *p, tlc_type type, unsigned char *to)
{
    float f;
    double d;
    switch (type) {
    case TLC_F32:
        TLC_TRY(tlc_lex_float(&p->lex, &f));
        memcpy(to, &f, sizeof f);
        return TLC_OK;
    case TLC_F64:
        TLC_TRY(tlc_lex_double(&p->lex, &d));
        memcpy(to, &d, sizeof d);
        return TLC_OK;
    default:
        return parse_integer(p, type, to);
    }
}

static tlc_status parse_list(tlc_parser *p, tlc_value *v)
{
    int64_t elems = tlc_shape_elems(&v->shape), size = tlc_type_bytes(v->type);
    TLC_TRY(tlc_lex_take(&p->lex, "["));
    if (elems > p->lex.end - p->lex.text) /* each takes a byte of text at least */
        return tlc_parse_fail(p, "E_DATA", "expected %lld numbers, the text is shorter",
                              (long long)elems);
    unsigned char *bytes = tlc_arena_array(&p->ctx->arena, (size_t)elems, (size_t)size);
    for (int64_t i = 0; i < elems; ++i) {
        if (i)
            TLC_TRY(tlc_lex_take(&p->lex, ","));
        TLC_TRY(parse_element(p, v->type, bytes + i * size));
    }
    v->data = bytes;
    return tlc_lex_take(&p->lex, "]");
}

/* An element type of the data's own may follow: before the bytes are held against it. */
static tlc_status parse_data_type(tlc_parser *p, tlc_value *v)
{
    v->data_type = v->type;
    for (int i = 0; i < TLC_TYPE_COUNT; ++i)
        if (tlc_lex_is(&p->lex, TLC_TOKEN_WORD, tlc_type_name((tlc_type)i)))
            return tlc_parse_element_type(p, &v->data_type);
    return TLC_OK;
}

static int hex_value(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *at = c ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) : -1;
}

static tlc_status parse_hex(tlc_parser *p, tlc_value *v)
{
    const char *text;
    size_t len;
    TLC_TRY(tlc_lex_string(&p->lex, &text, &len));
    TLC_TRY(parse_data_type(p, v));
    int64_t n = data_bytes(v);
    if ((int64_t)len != 2 * n)
        return tlc_parse_fail(p, "E_DATA", "expected %lld hex digits, found %zu",
                              (long long)(2 * n), len);
    unsigned char *bytes = tlc_arena_alloc(&p->ctx->arena, (size_t)n);
    for (int64_t i = 0; i < n; ++i) {
        int high = hex_value(text[2 * i]), low = hex_value(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return tlc_parse_fail(p, "E_DATA", "expected hex digits at byte %lld", (long long)i);
        bytes[i] = (unsigned char)(high * 16 + low);
    }
    v->data = bytes;
    return TLC_OK;
}

/* After `=`: a list, `splat` and one element, `hex` and the bytes. */
static tlc_status parse_inline(tlc_parser *p, tlc_value *v)
{
    bool found;
    TLC_TRY(tlc_lex_skip(&p->lex, "splat", &v->splat));
    TLC_TRY(tlc_lex_skip(&p->lex, "hex", &found));
    if (found)
        return parse_hex(p, v);
    if (!v->splat)
        return parse_list(p, v);
    unsigned char *bytes = tlc_arena_alloc(&p->ctx->arena, sizeof(double));
    v->data = bytes;
    return parse_element(p, v->type, bytes);
}

/* After `data`: file, offset, perhaps an element type. */
static tlc_status parse_file(tlc_parser *p, tlc_value *v)
{
    const tlc_data_file *file;
    tlc_token location = p->lex.token;
    size_t len;
    TLC_TRY(tlc_lex_string(&p->lex, &v->file, &len));
    tlc_token place = p->lex.token;
    TLC_TRY(tlc_lex_int(&p->lex, &v->file_offset));
    TLC_TRY(parse_data_type(p, v));
    tlc_at(p->ctx, "%d:%d", location.line, location.column);
    TLC_TRY(tlc_data_open(p->ctx, p->base_dir, v->file, len, &file));
    tlc_at(p->ctx, "%d:%d", place.line, place.column);
    int64_t n = data_bytes(v), size = (int64_t)file->n_bytes;
    if (v->file_offset < 0 || v->file_offset > size || n > size - v->file_offset)
        return tlc_fail(p->ctx, TLC_E_MALFORMED, "E_OUTSIDE",
                        "%lld bytes at %lld lie outside of the file of %lld bytes", (long long)n,
                        (long long)v->file_offset, (long long)size);
    v->data = file->bytes + v->file_offset;
    return TLC_OK;
}

static tlc_status parse_init_number(tlc_parser *p, const char *name, tlc_init_kind kind,
                                    tlc_value *v)
{
    v->init = kind;
    if (name) {
        TLC_TRY(tlc_lex_take(&p->lex, name));
        TLC_TRY(tlc_lex_take(&p->lex, "="));
    }
    tlc_lex_at(&p->lex);
    TLC_TRY(tlc_lex_double(&p->lex, &v->init_value));
    bool is_fan = kind == TLC_INIT_UNIFORM_FAN_IN || kind == TLC_INIT_NORMAL_FAN_OUT;
    if (v->init_value - v->init_value != 0 || (is_fan && v->init_value < 1))
        return tlc_fail(p->ctx, TLC_E_MALFORMED, "E_RANGE", "initial value is out of range");
    return TLC_OK;
}

/* After `init`. */
static tlc_status parse_init(tlc_parser *p, tlc_value *v)
{
    bool found;
    TLC_TRY(tlc_lex_skip(&p->lex, "constant", &found));
    if (found)
        return parse_init_number(p, NULL, TLC_INIT_CONSTANT, v);
    TLC_TRY(tlc_lex_skip(&p->lex, "uniform", &found));
    if (found)
        return parse_init_number(p, "fan_in", TLC_INIT_UNIFORM_FAN_IN, v);
    TLC_TRY(tlc_lex_skip(&p->lex, "normal", &found));
    if (!found)
        return tlc_lex_expected(&p->lex, "constant, uniform or normal");
    if (tlc_lex_is(&p->lex, TLC_TOKEN_WORD, "std"))
        return parse_init_number(p, "std", TLC_INIT_NORMAL, v);
    return parse_init_number(p, "fan_out", TLC_INIT_NORMAL_FAN_OUT, v);
}

/* --- globals ---------------------------------------------------------------------------- */

/* What a kind may start as: a const has bytes, a param bytes or an initialiser. */
static tlc_status parse_start(tlc_parser *p, tlc_value *v)
{
    bool found;
    TLC_TRY(tlc_lex_skip(&p->lex, "=", &found));
    if (found)
        return parse_inline(p, v);
    TLC_TRY(tlc_lex_skip(&p->lex, "data", &found));
    if (found)
        return parse_file(p, v);
    if (v->kind == TLC_CONST)
        return tlc_lex_expected(&p->lex, "= or data");
    TLC_TRY(tlc_lex_skip(&p->lex, "init", &found));
    if (found)
        return parse_init(p, v);
    if (v->kind == TLC_PARAM)
        return tlc_lex_expected(&p->lex, "=, data or init");
    return tlc_lex_take(&p->lex, "zero");
}

/* Each use of bytes counts, a splat as if it were written out. */
static tlc_status count_weights(tlc_parser *p, const tlc_value *v)
{
    int64_t bytes = tlc_shape_elems(&v->shape) * tlc_type_bytes(v->type);
    if (v->kind != TLC_STATE &&
        __builtin_add_overflow(p->weight_bytes, bytes, &p->weight_bytes))
        p->weight_bytes = INT64_MAX;
    return tlc_parse_limit(p, TLB_LIMIT_WEIGHTS, p->weight_bytes);
}

tlc_status tlc_parse_global(tlc_parser *p, tlc_value_kind kind)
{
    tlc_name name;
    tlc_value type = { 0 };
    const char *origin;
    TLC_TRY(tlc_parse_fresh(p, &name));
    TLC_TRY(tlc_parse_limit(p, TLB_LIMIT_TENSORS, (int64_t)p->m->n_globals + 1));
    TLC_TRY(tlc_lex(&p->lex));
    TLC_TRY(tlc_lex_take(&p->lex, ":"));
    TLC_TRY(tlc_parse_type(p, &type));
    if (tlc_shape_has_n(&type.shape))
        return tlc_parse_fail(p, "E_TYPE", "type of a global depends on the batch n");
    tlc_value *v = tlc_global_add(p->m, kind, name.is_number ? NULL : name.bytes, type.type,
                                  type.shape);
    v->layout = type.layout;
    TLC_TRY(count_weights(p, v));
    TLC_TRY(parse_start(p, v));
    TLC_TRY(tlc_parse_origin(p, &origin));
    if (origin && !v->name)
        v->name = origin;
    tlc_scope_add(&p->globals, name, v);
    return TLC_OK;
}
