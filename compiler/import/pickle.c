/* pickle.c: a stack machine over a table of 256 opcodes.
 *
 * Rows with a function are served; rows with a name alone are opcodes of Python's that a
 * state_dict does not need; the others are no opcodes.
 */
#include "pickle.h"

#include <inttypes.h>
#include <string.h>

enum { PROTOCOL = 2 };

typedef tlc_pickle_value value;
typedef tlc_status op_fn(tlc_pickle *p);

/* WHERE is the opcode; set only now, since most opcodes do not fail. */
#define FAIL(p, ...) (at_op(p), tlc_fail((p)->ctx, __VA_ARGS__))

static void at_op(tlc_pickle *p)
{
    tlc_at(p->ctx, "%s: offset %zu", p->entry, p->op_at);
}

/* --- bytes --------------------------------------------------------------- */

static tlc_status take(tlc_pickle *p, uint64_t n, const unsigned char **out)
{
    if (n > p->n - p->at)
        return FAIL(p, TLC_E_MALFORMED, "E_PICKLE", "%" PRIu64 " bytes are past end, %zu are there",
                    n, p->n - p->at);
    *out = p->bytes + p->at;
    p->at += (size_t)n;
    return TLC_OK;
}

static tlc_status take_unsigned(tlc_pickle *p, int n, uint64_t *out)
{
    const unsigned char *b = NULL;
    TLC_TRY(take(p, (uint64_t)n, &b));
    *out = 0;
    while (n-- > 0)
        *out = *out << 8 | b[n];
    return TLC_OK;
}

/* A line without its end. */
static tlc_status take_line(tlc_pickle *p, const char **out, size_t *len)
{
    const unsigned char *from = p->bytes + p->at;
    const unsigned char *end = memchr(from, '\n', p->n - p->at);
    if (!end)
        return FAIL(p, TLC_E_MALFORMED, "E_PICKLE", "the line's end is past end");
    *out = (const char *)from;
    *len = (size_t)(end - from);
    p->at += *len + 1;
    return TLC_OK;
}

/* --- stack and memo ------------------------------------------------------ */

static value *make(tlc_pickle *p, tlc_pickle_kind kind)
{
    value *v = TLC_NEW(&p->ctx->arena, value);
    v->kind = kind;
    return v;
}

static tlc_status push(tlc_pickle *p, value *v)
{
    if ((int64_t)p->depth >= p->ctx->limits.max[TLB_LIMIT_PICKLE_STACK]) {
        at_op(p);
        return tlc_over_limit(p->ctx, TLB_LIMIT_PICKLE_STACK, (int64_t)p->depth + 1);
    }
    TLC_PUSH(&p->ctx->arena, p->stack, p->depth, p->stack_cap, v);
    return TLC_OK;
}

static tlc_status push_new(tlc_pickle *p, tlc_pickle_kind kind)
{
    return push(p, make(p, kind));
}

static tlc_status push_int(tlc_pickle *p, tlc_pickle_kind kind, int64_t i)
{
    value *v = make(p, kind);
    v->integer = i;
    return push(p, v);
}

/* The value `below` the top, 0 the top itself; a mark is none. */
static tlc_status peek(tlc_pickle *p, size_t below, value **out)
{
    if (below >= p->depth || p->stack[p->depth - 1 - below]->kind == TLC_PICKLE_MARK)
        return FAIL(p, TLC_E_MALFORMED, "E_PICKLE", "stack is empty, a value is wanted");
    *out = p->stack[p->depth - 1 - below];
    return TLC_OK;
}

static tlc_status pop(tlc_pickle *p, value **out)
{
    TLC_TRY(peek(p, 0, out));
    --p->depth;
    return TLC_OK;
}

/* Pop down to the last mark and drop that: *out views n values, valid until the next push. */
static tlc_status pop_to_mark(tlc_pickle *p, value ***out, size_t *n)
{
    size_t from = p->depth;
    while (from > 0 && p->stack[from - 1]->kind != TLC_PICKLE_MARK)
        --from;
    if (from == 0)
        return FAIL(p, TLC_E_MALFORMED, "E_PICKLE", "no mark on the stack");
    *out = p->stack + from;
    *n = p->depth - from;
    p->depth = from - 1;
    return TLC_OK;
}

static tlc_status memo_put(tlc_pickle *p, uint64_t at)
{
    value *v = NULL;
    int64_t most = p->ctx->limits.max[TLB_LIMIT_PICKLE_OPS];
    TLC_TRY(peek(p, 0, &v));
    if ((int64_t)at >= most) {
        at_op(p);
        return tlc_over_limit(p->ctx, TLB_LIMIT_PICKLE_OPS, (int64_t)at);
    }
    if (at >= p->memo_cap) {
        size_t cap = p->memo_cap ? p->memo_cap : 64;
        while (cap <= at)
            cap *= 2;
        value **memo = TLC_NEW_ARRAY(&p->ctx->arena, value *, cap);
        if (p->memo_cap)
            memcpy(memo, p->memo, p->memo_cap * sizeof *memo);
        p->memo = memo;
        p->memo_cap = cap;
    }
    p->memo[at] = v;
    return TLC_OK;
}

static tlc_status memo_get(tlc_pickle *p, uint64_t at)
{
    if (at >= p->memo_cap || !p->memo[at])
        return FAIL(p, TLC_E_MALFORMED, "E_PICKLE", "memo %" PRIu64 " is not set", at);
    return push(p, p->memo[at]);
}

static tlc_status put_n(tlc_pickle *p, int bytes)
{
    uint64_t at = 0;
    TLC_TRY(take_unsigned(p, bytes, &at));
    return memo_put(p, at);
}

static tlc_status get_n(tlc_pickle *p, int bytes)
{
    uint64_t at = 0;
    TLC_TRY(take_unsigned(p, bytes, &at));
    return memo_get(p, at);
}

static tlc_status op_binput(tlc_pickle *p)
{
    return put_n(p, 1);
}

static tlc_status op_long_binput(tlc_pickle *p)
{
    return put_n(p, 4);
}

static tlc_status op_binget(tlc_pickle *p)
{
    return get_n(p, 1);
}

static tlc_status op_long_binget(tlc_pickle *p)
{
    return get_n(p, 4);
}

static tlc_status op_mark(tlc_pickle *p)
{
    return push_new(p, TLC_PICKLE_MARK);
}

/* --- plain values -------------------------------------------------------- */

static tlc_status op_proto(tlc_pickle *p)
{
    uint64_t version = 0;
    TLC_TRY(take_unsigned(p, 1, &version));
    if (version == PROTOCOL)
        return TLC_OK;
    return FAIL(p, TLC_E_UNSUPPORTED, "E_PICKLE", "protocol %" PRIu64 " is not served, %d is",
                version, PROTOCOL);
}

static tlc_status op_none(tlc_pickle *p)
{
    return push_new(p, TLC_PICKLE_NONE);
}

static tlc_status op_true(tlc_pickle *p)
{
    return push_int(p, TLC_PICKLE_BOOL, 1);
}

static tlc_status op_false(tlc_pickle *p)
{
    return push_int(p, TLC_PICKLE_BOOL, 0);
}

/* An integer of n bytes; of 4 and 8 bytes with a sign. */
static tlc_status push_bytes(tlc_pickle *p, int n, bool is_signed)
{
    uint64_t u = 0;
    TLC_TRY(take_unsigned(p, n, &u));
    if (is_signed && n > 0 && n < 8 && u >> (8 * n - 1) & 1)
        u |= UINT64_MAX << (8 * n);
    return push_int(p, TLC_PICKLE_INT, (int64_t)u);
}

static tlc_status op_binint(tlc_pickle *p)
{
    return push_bytes(p, 4, true);
}

static tlc_status op_binint1(tlc_pickle *p)
{
    return push_bytes(p, 1, false);
}

static tlc_status op_binint2(tlc_pickle *p)
{
    return push_bytes(p, 2, false);
}

static tlc_status op_long1(tlc_pickle *p)
{
    uint64_t n = 0;
    TLC_TRY(take_unsigned(p, 1, &n));
    if (n > 8)
        return FAIL(p, TLC_E_MALFORMED, "E_PICKLE", "integer of %" PRIu64 " bytes, at most 8", n);
    return push_bytes(p, (int)n, true);
}

static tlc_status op_binfloat(tlc_pickle *p)
{
    const unsigned char *ignored;
    TLC_TRY(take(p, 8, &ignored)); /* learning rates and such: nobody asks */
    return push_new(p, TLC_PICKLE_FLOAT);
}

static tlc_status push_text(tlc_pickle *p, int length_bytes)
{
    uint64_t n = 0;
    const unsigned char *b = NULL;
    TLC_TRY(take_unsigned(p, length_bytes, &n));
    TLC_TRY(take(p, n, &b));
    if (memchr(b, '\0', (size_t)n) || !tlc_is_utf8(b, (size_t)n))
        return FAIL(p, TLC_E_MALFORMED, "E_PICKLE", "text %s is not UTF-8, or holds NUL",
                    tlc_quote(p->ctx, (const char *)b, (size_t)n));
    value *v = make(p, TLC_PICKLE_TEXT);
    v->text = tlc_arena_strndup(&p->ctx->arena, (const char *)b, (size_t)n);
    return push(p, v);
}

static tlc_status op_binunicode(tlc_pickle *p)
{
    return push_text(p, 4);
}

static tlc_status op_short_binstring(tlc_pickle *p)
{
    return push_text(p, 1); /* a name in what Python 2 wrote */
}

/* --- collections --------------------------------------------------------- */

static tlc_status push_tuple(tlc_pickle *p, value **items, size_t n)
{
    value *v = make(p, TLC_PICKLE_TUPLE);
    v->items = TLC_NEW_ARRAY(&p->ctx->arena, value *, n);
    v->n = n;
    if (n)
        memcpy(v->items, items, n * sizeof *items);
    return push(p, v);
}

static tlc_status tuple_n(tlc_pickle *p, size_t n)
{
    value *ignored = NULL;
    for (size_t i = 0; i < n; ++i)
        TLC_TRY(peek(p, i, &ignored));
    p->depth -= n;
    return push_tuple(p, n ? p->stack + p->depth : NULL, n);
}

static tlc_status op_empty_tuple(tlc_pickle *p)
{
    return tuple_n(p, 0);
}

static tlc_status op_tuple1(tlc_pickle *p)
{
    return tuple_n(p, 1);
}

static tlc_status op_tuple2(tlc_pickle *p)
{
    return tuple_n(p, 2);
}

static tlc_status op_tuple3(tlc_pickle *p)
{
    return tuple_n(p, 3);
}

static tlc_status op_tuple(tlc_pickle *p)
{
    value **items = NULL;
    size_t n = 0;
    TLC_TRY(pop_to_mark(p, &items, &n));
    return push_tuple(p, items, n);
}

static tlc_status op_empty_list(tlc_pickle *p)
{
    return push_new(p, TLC_PICKLE_LIST);
}

static tlc_status op_empty_dict(tlc_pickle *p)
{
    return push_new(p, TLC_PICKLE_DICT);
}

static void add_item(tlc_pickle *p, value *to, value *item)
{
    TLC_PUSH(&p->ctx->arena, to->items, to->n, to->cap, item);
}

/* Add `n` items to the list on top. */
static tlc_status append(tlc_pickle *p, value **items, size_t n)
{
    value *to = NULL;
    TLC_TRY(peek(p, 0, &to));
    if (to->kind != TLC_PICKLE_LIST)
        return FAIL(p, TLC_E_MALFORMED, "E_PICKLE", "APPEND to what is no list");
    for (size_t i = 0; i < n; ++i)
        add_item(p, to, items[i]);
    return TLC_OK;
}

static tlc_status op_append(tlc_pickle *p)
{
    value *item = NULL;
    TLC_TRY(pop(p, &item));
    return append(p, &item, 1);
}

static tlc_status op_appends(tlc_pickle *p)
{
    value **items = NULL;
    size_t n = 0;
    TLC_TRY(pop_to_mark(p, &items, &n));
    return append(p, items, n);
}

/* Add n/2 pairs to the dictionary on top. */
static tlc_status set_items(tlc_pickle *p, value **items, size_t n)
{
    value *to = NULL;
    TLC_TRY(peek(p, 0, &to));
    if (to->kind != TLC_PICKLE_DICT || n % 2)
        return FAIL(p, TLC_E_MALFORMED, "E_PICKLE", "SETITEM %s",
                    n % 2 ? "of a key without a value" : "on what is no dictionary");
    for (size_t i = 0; i < n; ++i)
        add_item(p, to, items[i]);
    return TLC_OK;
}

static tlc_status op_setitem(tlc_pickle *p)
{
    value *ignored = NULL;
    TLC_TRY(peek(p, 0, &ignored));
    TLC_TRY(peek(p, 1, &ignored));
    p->depth -= 2;
    return set_items(p, p->stack + p->depth, 2);
}

static tlc_status op_setitems(tlc_pickle *p)
{
    value **items = NULL;
    size_t n = 0;
    TLC_TRY(pop_to_mark(p, &items, &n));
    return set_items(p, items, n);
}

/* The state of an OrderedDict is its attribute _metadata: versions of layers, not used here. */
static tlc_status op_build(tlc_pickle *p)
{
    value *state = NULL, *to = NULL;
    TLC_TRY(pop(p, &state));
    TLC_TRY(peek(p, 0, &to));
    if (to->kind == TLC_PICKLE_DICT)
        return TLC_OK;
    return FAIL(p, TLC_E_UNSUPPORTED, "E_PICKLE", "BUILD on what is no dictionary");
}

/* --- names --------------------------------------------------------------- */

typedef tlc_status call_fn(tlc_pickle *p, const value *arguments);

typedef struct tlc_pickle_global {
    const char *module, *name;
    call_fn *call;    /* NULL: not called */
    const char *elem; /* of a storage class; NULL: none */
} tlc_pickle_global;

static call_fn call_ordered_dict, call_tensor, call_parameter;

static const tlc_pickle_global globals[] = {
    { "collections", "OrderedDict", call_ordered_dict, NULL },
    { "torch._utils", "_rebuild_tensor", call_tensor, NULL }, /* PyTorch 0.1 and 0.2 */
    { "torch._utils", "_rebuild_tensor_v2", call_tensor, NULL },
    { "torch._utils", "_rebuild_parameter", call_parameter, NULL },
    { "torch", "DoubleStorage", NULL, "F64" },
    { "torch", "FloatStorage", NULL, "F32" },
    { "torch", "HalfStorage", NULL, "F16" },
    { "torch", "BFloat16Storage", NULL, "BF16" },
    { "torch", "LongStorage", NULL, "I64" },
    { "torch", "IntStorage", NULL, "I32" },
    { "torch", "ShortStorage", NULL, "I16" },
    { "torch", "CharStorage", NULL, "I8" },
    { "torch", "ByteStorage", NULL, "U8" },
    { "torch", "BoolStorage", NULL, "BOOL" },
    { "torch", "ComplexFloatStorage", NULL, "C64" },
    { "torch", "ComplexDoubleStorage", NULL, "C128" },
    { "torch", "QInt8Storage", NULL, "QINT8" },
    { "torch", "QUInt8Storage", NULL, "QUINT8" },
    { "torch", "QInt32Storage", NULL, "QINT32" },
};

static bool is_text(const char *s, const char *bytes, size_t n)
{
    return strlen(s) == n && memcmp(s, bytes, n) == 0;
}

static tlc_status refuse_global(tlc_pickle *p, const char *module, size_t n_module,
                                const char *name, size_t n_name)
{
    char both[512];
    int n = snprintf(both, sizeof both, "%.*s %.*s", (int)(n_module < 200 ? n_module : 200), module,
                     (int)(n_name < 200 ? n_name : 200), name);
    bool quantised = is_text("_rebuild_qtensor", name, n_name);
    (void)FAIL(p, TLC_E_UNSUPPORTED, "E_PICKLE", "global %s%s is not served",
               tlc_quote(p->ctx, both, (size_t)n), quantised ? " of a quantised type" : "");
    return tlc_hint(p->ctx, "torch.save(model.state_dict(), FILE) writes a file that is");
}

static tlc_status op_global(tlc_pickle *p)
{
    const char *module = NULL, *name = NULL;
    size_t n_module = 0, n_name = 0;
    TLC_TRY(take_line(p, &module, &n_module));
    TLC_TRY(take_line(p, &name, &n_name));
    for (size_t i = 0; i < sizeof globals / sizeof *globals; ++i) {
        if (!is_text(globals[i].module, module, n_module) ||
            !is_text(globals[i].name, name, n_name))
            continue;
        value *v = make(p, TLC_PICKLE_GLOBAL);
        v->global = &globals[i];
        return push(p, v);
    }
    return refuse_global(p, module, n_module, name, n_name);
}

/* --- calls --------------------------------------------------------------- */

static tlc_status bad_arguments(tlc_pickle *p, const char *what)
{
    return FAIL(p, TLC_E_MALFORMED, "E_PICKLE", "arguments of the call: %s", what);
}

/* OrderedDict() or, by Python 2, OrderedDict([[key, value], ...]). */
static tlc_status call_ordered_dict(tlc_pickle *p, const value *arguments)
{
    value *dict = make(p, TLC_PICKLE_DICT);
    const value *pairs = arguments->n ? arguments->items[0] : NULL;
    if (arguments->n > 1 || (pairs && pairs->kind != TLC_PICKLE_LIST))
        return bad_arguments(p, "not a list of pairs");
    for (size_t i = 0; pairs && i < pairs->n; ++i) {
        const value *pair = pairs->items[i];
        if ((pair->kind != TLC_PICKLE_LIST && pair->kind != TLC_PICKLE_TUPLE) || pair->n != 2)
            return bad_arguments(p, "not a list of pairs");
        add_item(p, dict, pair->items[0]);
        add_item(p, dict, pair->items[1]);
    }
    return push(p, dict);
}

/* Sizes or strides. */
static tlc_status read_ints(tlc_pickle *p, const value *v, int64_t *to, int *n)
{
    if (v->kind != TLC_PICKLE_TUPLE && v->kind != TLC_PICKLE_LIST)
        return bad_arguments(p, "sizes and strides are tuples");
    int64_t most = p->ctx->limits.max[TLB_LIMIT_RANK];
    if (v->n > TLC_MAX_RANK || (int64_t)v->n > most) {
        at_op(p);
        return tlc_over_limit(p->ctx, TLB_LIMIT_RANK, (int64_t)v->n);
    }
    for (size_t i = 0; i < v->n; ++i) {
        if (v->items[i]->kind != TLC_PICKLE_INT)
            return bad_arguments(p, "sizes and strides are integers");
        to[i] = v->items[i]->integer;
    }
    *n = (int)v->n;
    return TLC_OK;
}

static tlc_status outside(tlc_pickle *p, const char *what, int64_t found, const value *storage)
{
    return FAIL(p, TLC_E_MALFORMED, "E_PICKLE",
                "tensor lies outside its storage of %" PRId64 " elements: %s %" PRId64,
                storage->view_elems, what, found);
}

/* Every element inside the view of the storage: the last one is. */
static tlc_status check_extent(tlc_pickle *p, const tlc_weight *w, const value *storage)
{
    int64_t last = w->offset, step;
    bool empty = false;
    if (w->offset < 0)
        return outside(p, "offset", w->offset, storage);
    for (int i = 0; i < w->rank; ++i) {
        empty |= w->dim[i] == 0;
        if (w->stride[i] < 0)
            return outside(p, "stride", w->stride[i], storage);
    }
    for (int i = 0; i < w->rank && !empty; ++i)
        if (__builtin_mul_overflow(w->dim[i] - 1, w->stride[i], &step) ||
            __builtin_add_overflow(last, step, &last))
            return outside(p, "stride", w->stride[i], storage);
    if (empty ? last > storage->view_elems : last >= storage->view_elems)
        return outside(p, "last element", last, storage);
    return TLC_OK;
}

/* _rebuild_tensor(storage, offset, size, stride); v2 adds requires_grad, hooks, metadata. */
static tlc_status call_tensor(tlc_pickle *p, const value *arguments)
{
    tlc_weight *w = TLC_NEW(&p->ctx->arena, tlc_weight);
    int n_strides = 0;
    value *const *a = arguments->items;
    if (arguments->n < 4 || a[0]->kind != TLC_PICKLE_STORAGE || a[1]->kind != TLC_PICKLE_INT)
        return bad_arguments(p, "storage, offset, size, stride are wanted");
    w->storage = a[0]->storage;
    w->offset = a[1]->integer;
    TLC_TRY(read_ints(p, a[2], w->dim, &w->rank));
    TLC_TRY(read_ints(p, a[3], w->stride, &n_strides));
    if (n_strides != w->rank)
        return bad_arguments(p, "as many strides as sizes are wanted");
    at_op(p);
    for (int i = 0; i < w->rank; ++i)
        if (w->dim[i] < 0)
            return tlc_fail(p->ctx, TLC_E_MALFORMED, "E_SHAPE",
                            "dimension %d is %" PRId64 ", at least 0", i, w->dim[i]);
    TLC_TRY(check_extent(p, w, a[0]));
    TLC_TRY(tlc_weight_check(p->ctx, w));
    w->offset += a[0]->from; /* inside the storage, as the view is */
    value *v = make(p, TLC_PICKLE_TENSOR);
    v->tensor = w;
    return push(p, v);
}

/* _rebuild_parameter(tensor, requires_grad, hooks) */
static tlc_status call_parameter(tlc_pickle *p, const value *arguments)
{
    if (arguments->n < 1 || arguments->items[0]->kind != TLC_PICKLE_TENSOR)
        return bad_arguments(p, "a tensor is wanted");
    return push(p, arguments->items[0]);
}

static tlc_status op_reduce(tlc_pickle *p)
{
    value *arguments = NULL, *callee = NULL;
    TLC_TRY(pop(p, &arguments));
    TLC_TRY(pop(p, &callee));
    if (callee->kind != TLC_PICKLE_GLOBAL || !callee->global->call)
        return FAIL(p, TLC_E_UNSUPPORTED, "E_PICKLE", "call of %s is not served",
                    callee->kind == TLC_PICKLE_GLOBAL ? callee->global->name : "what is no name");
    if (arguments->kind != TLC_PICKLE_TUPLE)
        return bad_arguments(p, "a tuple is wanted");
    return callee->global->call(p, arguments);
}

/* --- storages ------------------------------------------------------------ */

static tlc_status bad_id(tlc_pickle *p, const char *what)
{
    return FAIL(p, TLC_E_MALFORMED, "E_PICKLE", "persistent id %s", what);
}

/* Before PyTorch 0.2 a storage could be a part of another: (key, offset, elements). */
static tlc_status read_view(tlc_pickle *p, const value *view, value *storage)
{
    if (view->kind == TLC_PICKLE_NONE)
        return TLC_OK;
    if (view->kind != TLC_PICKLE_TUPLE || view->n != 3 ||
        view->items[1]->kind != TLC_PICKLE_INT || view->items[2]->kind != TLC_PICKLE_INT)
        return bad_id(p, "has a view that is not key, offset, elements");
    int64_t from = view->items[1]->integer, n = view->items[2]->integer;
    if (from < 0 || n < 0 || from > storage->view_elems || n > storage->view_elems - from)
        return bad_id(p, "has a view outside its storage");
    storage->from = from;
    storage->view_elems = n;
    return TLC_OK;
}

/* ("storage", class, key, place, elements), in the old format a view besides. */
static tlc_status op_binpersid(tlc_pickle *p)
{
    value *id = NULL;
    TLC_TRY(pop(p, &id));
    value *const *a = id->items;
    if (id->kind != TLC_PICKLE_TUPLE || id->n < 5 || id->n > 6)
        return bad_id(p, "is not a tuple of 5 or 6");
    if (a[0]->kind != TLC_PICKLE_TEXT || strcmp(a[0]->text, "storage") != 0)
        return bad_id(p, "is not that of a storage");
    if (a[1]->kind != TLC_PICKLE_GLOBAL || !a[1]->global->elem || a[2]->kind != TLC_PICKLE_TEXT ||
        a[4]->kind != TLC_PICKLE_INT)
        return bad_id(p, "lacks class, key or number of elements");
    if (a[4]->integer < 0)
        return bad_id(p, "has a negative number of elements");
    value *v = make(p, TLC_PICKLE_STORAGE);
    v->storage = TLC_NEW(&p->ctx->arena, tlc_storage);
    *v->storage = (tlc_storage){ .elem = tlc_elem_find(a[1]->global->elem),
                                 .key = a[2]->text,
                                 .n_elems = a[4]->integer };
    v->view_elems = a[4]->integer;
    if (id->n == 6)
        TLC_TRY(read_view(p, a[5], v));
    at_op(p);
    TLC_TRY(p->on_storage(p->self, v->storage));
    return push(p, v);
}

/* --- the machine --------------------------------------------------------- */

enum { OP_STOP = '.' };

static const struct {
    op_fn *run;       /* NULL: not served */
    const char *name; /* NULL: no opcode of Python's */
} ops[256] = {
    ['('] = { op_mark, "MARK" },
    [')'] = { op_empty_tuple, "EMPTY_TUPLE" },
    ['G'] = { op_binfloat, "BINFLOAT" },
    ['J'] = { op_binint, "BININT" },
    ['K'] = { op_binint1, "BININT1" },
    ['M'] = { op_binint2, "BININT2" },
    ['N'] = { op_none, "NONE" },
    ['Q'] = { op_binpersid, "BINPERSID" },
    ['R'] = { op_reduce, "REDUCE" },
    ['U'] = { op_short_binstring, "SHORT_BINSTRING" },
    ['X'] = { op_binunicode, "BINUNICODE" },
    [']'] = { op_empty_list, "EMPTY_LIST" },
    ['a'] = { op_append, "APPEND" },
    ['b'] = { op_build, "BUILD" },
    ['c'] = { op_global, "GLOBAL" },
    ['e'] = { op_appends, "APPENDS" },
    ['h'] = { op_binget, "BINGET" },
    ['j'] = { op_long_binget, "LONG_BINGET" },
    ['q'] = { op_binput, "BINPUT" },
    ['r'] = { op_long_binput, "LONG_BINPUT" },
    ['s'] = { op_setitem, "SETITEM" },
    ['t'] = { op_tuple, "TUPLE" },
    ['u'] = { op_setitems, "SETITEMS" },
    ['}'] = { op_empty_dict, "EMPTY_DICT" },
    [0x80] = { op_proto, "PROTO" },
    [0x85] = { op_tuple1, "TUPLE1" },
    [0x86] = { op_tuple2, "TUPLE2" },
    [0x87] = { op_tuple3, "TUPLE3" },
    [0x88] = { op_true, "NEWTRUE" },
    [0x89] = { op_false, "NEWFALSE" },
    [0x8a] = { op_long1, "LONG1" },
    /* what Python knows besides */
    ['0'] = { NULL, "POP" },
    ['1'] = { NULL, "POP_MARK" },
    ['2'] = { NULL, "DUP" },
    ['B'] = { NULL, "BINBYTES" },
    ['C'] = { NULL, "SHORT_BINBYTES" },
    ['F'] = { NULL, "FLOAT" },
    ['I'] = { NULL, "INT" },
    ['L'] = { NULL, "LONG" },
    ['P'] = { NULL, "PERSID" },
    ['S'] = { NULL, "STRING" },
    ['T'] = { NULL, "BINSTRING" },
    ['V'] = { NULL, "UNICODE" },
    ['d'] = { NULL, "DICT" },
    ['g'] = { NULL, "GET" },
    ['i'] = { NULL, "INST" },
    ['l'] = { NULL, "LIST" },
    ['o'] = { NULL, "OBJ" },
    ['p'] = { NULL, "PUT" },
    [0x81] = { NULL, "NEWOBJ" },
    [0x82] = { NULL, "EXT1" },
    [0x83] = { NULL, "EXT2" },
    [0x84] = { NULL, "EXT4" },
    [0x8b] = { NULL, "LONG4" },
    [0x8c] = { NULL, "SHORT_BINUNICODE" },
    [0x8d] = { NULL, "BINUNICODE8" },
    [0x8e] = { NULL, "BINBYTES8" },
    [0x8f] = { NULL, "EMPTY_SET" },
    [0x90] = { NULL, "ADDITEMS" },
    [0x91] = { NULL, "FROZENSET" },
    [0x92] = { NULL, "NEWOBJ_EX" },
    [0x93] = { NULL, "STACK_GLOBAL" },
    [0x94] = { NULL, "MEMOIZE" },
    [0x95] = { NULL, "FRAME" },
    [0x96] = { NULL, "BYTEARRAY8" },
    [0x97] = { NULL, "NEXT_BUFFER" },
    [0x98] = { NULL, "READONLY_BUFFER" },
};

static tlc_status step(tlc_pickle *p, unsigned char op)
{
    if (++p->ops > p->ctx->limits.max[TLB_LIMIT_PICKLE_OPS]) {
        at_op(p);
        return tlc_over_limit(p->ctx, TLB_LIMIT_PICKLE_OPS, p->ops);
    }
    if (ops[op].run)
        return ops[op].run(p);
    if (ops[op].name)
        return FAIL(p, TLC_E_UNSUPPORTED, "E_PICKLE", "opcode %s is not served", ops[op].name);
    return FAIL(p, TLC_E_MALFORMED, "E_PICKLE", "opcode 0x%02x does not exist", op);
}

tlc_status tlc_pickle_read(tlc_pickle *p, tlc_pickle_value **out)
{
    p->stack = p->memo = NULL;
    p->depth = p->stack_cap = p->memo_cap = 0;
    for (;;) {
        p->op_at = p->at;
        if (p->at == p->n)
            return FAIL(p, TLC_E_MALFORMED, "E_PICKLE", "no STOP before the end");
        unsigned char op = p->bytes[p->at++];
        if (op == OP_STOP)
            return pop(p, out);
        TLC_TRY(step(p, op));
    }
}

tlc_pickle_value *tlc_pickle_get(const tlc_pickle_value *dict, const char *key)
{
    for (size_t i = dict->n; i >= 2; i -= 2)
        if (dict->items[i - 2]->kind == TLC_PICKLE_TEXT &&
            strcmp(dict->items[i - 2]->text, key) == 0)
            return dict->items[i - 1];
    return NULL;
}
