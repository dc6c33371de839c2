/* onnx_guard.c: an iterative walk over protobuf's wire format.
 *
 * The schema is protobuf-c's own descriptors, so the guard and the parser cannot
 * disagree about a field.  Main invariant: g->at never passes the end of the
 * innermost message, and an inner message never ends after its outer one.
 *
 * Lengths of messages in the reduced copy are not known when they begin; they are
 * written as five-byte varints with leading zero groups and patched at the end.
 * https://protobuf.dev/programming-guides/encoding/
 */
#include "onnx_guard.h"

#include "import_util.h"

#include <inttypes.h>
#include <string.h>

enum {
    WIRE_VARINT = 0,
    WIRE_64 = 1,
    WIRE_BYTES = 2,
    WIRE_32 = 5,
    PATCH_BYTES = 5,
    MOST_FIELD_NUMBER = (1 << 29) - 1,
    /* protobuf-c recurses over what it is handed: a larger --limit depth stops here. */
    MOST_DEPTH = 1024
};

typedef struct frame {
    const ProtobufCMessageDescriptor *type;
    const unsigned char *end;
    uint64_t seen; /* fields that may stand once and were met, by index in the descriptor */
    int64_t elems; /* of lists in it, so far */
    size_t patch;  /* where its length goes in the reduced message */
    bool mute;     /* walked, but not written */
} frame;

typedef struct guard {
    tlc_ctx *ctx;
    const unsigned char *bytes, *at, *field; /* whole file; next byte; tag of the current field */
    frame *stack;
    size_t depth, cap_stack;
    int64_t n_messages, n_nodes, n_tensors;
    unsigned char *out;
    size_t n_out, cap_out;
} guard;

/* --- what is special about a field --------------------------------------- */

typedef enum action {
    KEEP,
    DROP, /* not even looked at: doc strings */
    MUTE, /* walked, not written: the importer never reads it */
    RAW,  /* replaced by its range */
    PLACE /* a string whose message must speak of a location */
} action;

static const struct {
    const ProtobufCMessageDescriptor *type;
    unsigned id;
    action what;
} specials[] = {
    { &onnx__tensor_proto__descriptor, 9, RAW },
    { &onnx__string_string_entry_proto__descriptor, 2, PLACE },
    { &onnx__model_proto__descriptor, 14, MUTE }, /* metadata_props */
    { &onnx__model_proto__descriptor, 20, MUTE }, /* training_info */
    { &onnx__graph_proto__descriptor, 13, MUTE }, /* value_info: what we infer anyway */
    { &onnx__graph_proto__descriptor, 14, MUTE }, /* quantization_annotation */
};

static action action_of(const frame *f, const ProtobufCFieldDescriptor *fd)
{
    if (!strcmp(fd->name, "doc_string"))
        return DROP;
    for (size_t i = 0; i < sizeof specials / sizeof *specials; ++i)
        if (specials[i].type == f->type && specials[i].id == fd->id)
            return specials[i].what;
    return KEEP;
}

/* --- messages ------------------------------------------------------------ */

static void at_offset(guard *g, const unsigned char *p)
{
    tlc_at(g->ctx, "offset %" PRIu64, (uint64_t)(p - g->bytes));
}

#define MALFORMED(g, p, ...)                                                                       \
    (at_offset((g), (p)), tlc_fail((g)->ctx, TLC_E_MALFORMED, "E_ONNX_WIRE", __VA_ARGS__))

static tlc_status over(guard *g, tlb_limit which, int64_t found)
{
    at_offset(g, g->field);
    return tlc_over_limit(g->ctx, which, found);
}

/* --- the reduced message ------------------------------------------------- */

static void put(guard *g, const void *bytes, size_t n)
{
    while (g->cap_out - g->n_out < n)
        g->out = tlc_arena_grow(&g->ctx->arena, g->out, g->n_out, &g->cap_out, 1);
    memcpy(g->out + g->n_out, bytes, n);
    g->n_out += n;
}

static void patch_length(guard *g, const frame *f)
{
    size_t n = g->n_out - f->patch - PATCH_BYTES;
    for (int i = 0; i < PATCH_BYTES; ++i)
        g->out[f->patch + (size_t)i] =
            (unsigned char)((n >> (7 * i) & 0x7f) | (i + 1 < PATCH_BYTES ? 0x80 : 0));
}

/* --- primitives ---------------------------------------------------------- */

static tlc_status read_varint(guard *g, const unsigned char *end, uint64_t *out)
{
    uint64_t v = 0;
    const unsigned char *start = g->at;
    for (int i = 0; i < 10; ++i) {
        if (g->at == end)
            return MALFORMED(g, start, "truncated varint: no end within %d bytes", i);
        unsigned char b = *g->at++;
        if (i == 9 && b > 1)
            break;
        v |= (uint64_t)(b & 0x7f) << (7 * i);
        if (!(b & 0x80)) {
            *out = v;
            return TLC_OK;
        }
    }
    return MALFORMED(g, start, "varint too long: more than 64 bits");
}

static tlc_status check_length(guard *g, const frame *f, uint64_t n)
{
    uint64_t left = (uint64_t)(f->end - g->at);
    if (n > left)
        return MALFORMED(g, g->field, "length past end: %" PRIu64 " bytes, %" PRIu64 " are there",
                         n, left);
    return TLC_OK;
}

static tlc_status read_length(guard *g, const frame *f, uint64_t *out)
{
    TLC_TRY(read_varint(g, f->end, out));
    return check_length(g, f, *out);
}

/* --- values of a field --------------------------------------------------- */

static unsigned wire_of(ProtobufCType t)
{
    switch (t) {
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_BYTES:
    case PROTOBUF_C_TYPE_MESSAGE:
        return WIRE_BYTES;
    case PROTOBUF_C_TYPE_DOUBLE:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_SFIXED64:
        return WIRE_64;
    case PROTOBUF_C_TYPE_FLOAT:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_SFIXED32:
        return WIRE_32;
    default:
        return WIRE_VARINT;
    }
}

static tlc_status skip_value(guard *g, const frame *f, unsigned wire)
{
    uint64_t n = wire == WIRE_64 ? 8 : 4;
    if (wire == WIRE_VARINT)
        return read_varint(g, f->end, &n);
    TLC_TRY(wire == WIRE_BYTES ? read_length(g, f, &n) : check_length(g, f, n));
    g->at += n;
    return TLC_OK;
}

/* Elements of attributes' lists are counted; a tensor's are held against its dimensions later. */
static tlc_status count_elems(guard *g, frame *f, int64_t n)
{
    f->elems += n;
    if (f->type == &onnx__attribute_proto__descriptor && !f->mute &&
        f->elems > g->ctx->limits.max[TLB_LIMIT_ATTR])
        return over(g, TLB_LIMIT_ATTR, f->elems);
    return TLC_OK;
}

static tlc_status walk_packed(guard *g, frame *f, unsigned wire)
{
    uint64_t n, ignored;
    TLC_TRY(read_length(g, f, &n));
    const unsigned char *end = g->at + n;
    int64_t count = 0;
    if (wire == WIRE_VARINT) {
        for (; g->at < end; ++count)
            TLC_TRY(read_varint(g, end, &ignored));
        return count_elems(g, f, count);
    }
    unsigned size = wire == WIRE_64 ? 8 : 4;
    if (n % size)
        return MALFORMED(g, g->field, "length %" PRIu64 " of a packed list, a multiple of %u", n,
                         size);
    g->at = end;
    return count_elems(g, f, (int64_t)(n / size));
}

static tlc_status check_string(guard *g, const unsigned char *s, size_t n, action what)
{
    const char *noun = what == PLACE ? "location or other value of external_data" : "name";
    if ((int64_t)n > g->ctx->limits.max[TLB_LIMIT_NAME])
        return over(g, TLB_LIMIT_NAME, (int64_t)n);
    if (memchr(s, 0, n))
        return MALFORMED(g, s, "%s holds a NUL byte", noun);
    if (!tlc_is_utf8(s, n))
        return MALFORMED(g, s, "%s is not UTF-8", noun);
    return TLC_OK;
}

static tlc_status walk_bytes(guard *g, frame *f, const ProtobufCFieldDescriptor *fd, action what)
{
    uint64_t n;
    TLC_TRY(read_length(g, f, &n));
    const unsigned char *s = g->at;
    g->at += n;
    if (f->mute)
        return TLC_OK;
    if (fd->type == PROTOBUF_C_TYPE_STRING)
        return check_string(g, s, n, what);
    if (f->type == &onnx__attribute_proto__descriptor &&
        (int64_t)n > g->ctx->limits.max[TLB_LIMIT_ATTR])
        return over(g, TLB_LIMIT_ATTR, (int64_t)n);
    return fd->label == PROTOBUF_C_LABEL_REPEATED ? count_elems(g, f, 1) : TLC_OK;
}

/* --- entering and leaving messages --------------------------------------- */

static tlc_status count_one(guard *g, int64_t *count, tlb_limit which)
{
    if (++*count > g->ctx->limits.max[which])
        return over(g, which, *count);
    return TLC_OK;
}

static tlc_status count_message(guard *g, const frame *outer, const ProtobufCFieldDescriptor *fd)
{
    TLC_TRY(count_one(g, &g->n_messages, TLB_LIMIT_MESSAGES));
    if (fd->descriptor == &onnx__node_proto__descriptor)
        return count_one(g, &g->n_nodes, TLB_LIMIT_NODES);
    if (outer->type == &onnx__graph_proto__descriptor &&
        fd->descriptor == &onnx__tensor_proto__descriptor)
        return count_one(g, &g->n_tensors, TLB_LIMIT_TENSORS);
    return TLC_OK;
}

static tlc_status enter(guard *g, const ProtobufCFieldDescriptor *fd, size_t tag_bytes, action what)
{
    const frame outer = g->stack[g->depth - 1];
    uint64_t n;
    TLC_TRY(read_length(g, &outer, &n));
    TLC_TRY(count_message(g, &outer, fd));
    int64_t most = g->ctx->limits.max[TLB_LIMIT_DEPTH];
    if ((int64_t)g->depth >= most || g->depth >= MOST_DEPTH)
        return over(g, TLB_LIMIT_DEPTH, (int64_t)g->depth + 1);
    frame inner = { .type = fd->descriptor, .end = g->at + n, .mute = outer.mute || what == MUTE };
    if (!inner.mute) {
        put(g, g->field, tag_bytes);
        inner.patch = g->n_out;
        put(g, (unsigned char[PATCH_BYTES]){ 0 }, PATCH_BYTES);
    }
    TLC_PUSH(&g->ctx->arena, g->stack, g->depth, g->cap_stack, inner);
    return TLC_OK;
}

static void leave(guard *g)
{
    const frame *f = &g->stack[--g->depth];
    if (!f->mute && g->depth > 0)
        patch_length(g, f);
}

static void put_range(guard *g, size_t tag_bytes, const unsigned char *start)
{
    uint64_t n = 0;
    for (const unsigned char *p = start; p < g->at; ++p) { /* the length's own varint */
        n |= (uint64_t)(*p & 0x7f) << (7 * (p - start));
        if (!(*p & 0x80))
            break;
    }
    tlc_raw_range r = { (uint64_t)(g->at - g->bytes) - n, n };
    put(g, g->field, tag_bytes);
    put(g, (unsigned char[1]){ sizeof r }, 1);
    put(g, &r, sizeof r);
}

/* --- fields -------------------------------------------------------------- */

static tlc_status walk_value(guard *g, frame *f, const ProtobufCFieldDescriptor *fd, unsigned wire,
                             action what)
{
    if (what == DROP)
        return skip_value(g, f, wire);
    if (wire == WIRE_BYTES)
        return wire_of(fd->type) == WIRE_BYTES ? walk_bytes(g, f, fd, what)
                                               : walk_packed(g, f, wire_of(fd->type));
    TLC_TRY(skip_value(g, f, wire));
    return fd->label == PROTOBUF_C_LABEL_REPEATED ? count_elems(g, f, 1) : TLC_OK;
}

static bool fits_wire(const ProtobufCFieldDescriptor *fd, unsigned wire)
{
    unsigned own = wire_of(fd->type);
    return wire == own || (wire == WIRE_BYTES && fd->label == PROTOBUF_C_LABEL_REPEATED);
}

static tlc_status check_once(guard *g, frame *f, const ProtobufCFieldDescriptor *fd)
{
    uint64_t bit = UINT64_C(1) << (fd - f->type->fields);
    if (fd->label == PROTOBUF_C_LABEL_REPEATED)
        return TLC_OK;
    if (f->seen & bit)
        return MALFORMED(g, g->field, "field repeated: %s of %s", fd->name, f->type->short_name);
    f->seen |= bit;
    return TLC_OK;
}

static tlc_status walk_known(guard *g, frame *f, const ProtobufCFieldDescriptor *fd, unsigned wire)
{
    size_t tag_bytes = (size_t)(g->at - g->field);
    const unsigned char *value = g->at;
    if (!fits_wire(fd, wire))
        return MALFORMED(g, g->field, "wire type %u of %s, %u allowed", wire, fd->name,
                         wire_of(fd->type));
    TLC_TRY(check_once(g, f, fd));
    action what = action_of(f, fd);
    if (fd->type == PROTOBUF_C_TYPE_MESSAGE)
        return enter(g, fd, tag_bytes, what);
    TLC_TRY(walk_value(g, f, fd, wire, what));
    if (f->mute || what == DROP)
        return TLC_OK;
    if (what == RAW)
        put_range(g, tag_bytes, value);
    else
        put(g, g->field, (size_t)(g->at - g->field));
    return TLC_OK;
}

static tlc_status walk_field(guard *g)
{
    frame *f = &g->stack[g->depth - 1];
    uint64_t tag;
    g->field = g->at;
    TLC_TRY(read_varint(g, f->end, &tag));
    unsigned wire = (unsigned)(tag & 7);
    if (tag >> 3 == 0 || tag >> 3 > MOST_FIELD_NUMBER)
        return MALFORMED(g, g->field, "field number %" PRIu64 ", 1 to %d allowed", tag >> 3,
                         (int)MOST_FIELD_NUMBER);
    if (wire == 3 || wire == 4 || wire > WIRE_32)
        return MALFORMED(g, g->field, "wire type %u, allowed are 0, 1, 2 and 5", wire);
    const ProtobufCFieldDescriptor *fd =
        protobuf_c_message_descriptor_get_field(f->type, (unsigned)(tag >> 3));
    return fd ? walk_known(g, f, fd, wire) : skip_value(g, f, wire);
}

/* Files that people confuse with models get a word of their own. */
static tlc_status check_kind(guard *g, size_t n)
{
    static const char lfs[] = "version https://git-lfs";
    if (n >= 2 && g->bytes[0] == 0x1f && g->bytes[1] == 0x8b)
        return MALFORMED(g, g->bytes, "gzip data, not a model");
    if (n >= sizeof lfs - 1 && !memcmp(g->bytes, lfs, sizeof lfs - 1)) {
        (void)MALFORMED(g, g->bytes, "Git LFS pointer, not a model");
        return tlc_hint(g->ctx, "git lfs pull");
    }
    const ProtobufCFieldDescriptor *fd = NULL;
    if (g->bytes[0] < 0x80)
        fd = protobuf_c_message_descriptor_get_field(&onnx__model_proto__descriptor,
                                                     g->bytes[0] >> 3);
    if (!fd || !fits_wire(fd, g->bytes[0] & 7))
        return MALFORMED(g, g->bytes,
                         "not a model: no field of an ONNX model begins with byte 0x%02x",
                         g->bytes[0]);
    return TLC_OK;
}

tlc_status tlc_onnx_guard(tlc_ctx *ctx, const unsigned char *bytes, size_t n_bytes,
                          const unsigned char **out, size_t *out_bytes)
{
    guard g = { .ctx = ctx, .bytes = bytes, .at = bytes, .field = bytes };
    tlc_at(ctx, "%s", "");
    if (n_bytes == 0)
        return tlc_fail(ctx, TLC_E_MALFORMED, "E_ONNX_WIRE", "empty file");
    TLC_TRY(check_kind(&g, n_bytes));
    frame model = { .type = &onnx__model_proto__descriptor, .end = bytes + n_bytes };
    g.n_messages = 1;
    TLC_PUSH(&ctx->arena, g.stack, g.depth, g.cap_stack, model);
    while (g.depth > 0) {
        if (g.at == g.stack[g.depth - 1].end)
            leave(&g);
        else
            TLC_TRY(walk_field(&g));
    }
    tlc_at(ctx, "%s", "");
    *out = g.out;
    *out_bytes = g.n_out;
    return TLC_OK;
}

/* --- protobuf-c ---------------------------------------------------------- */

static void *arena_alloc(void *arena, size_t n)
{
    return tlc_arena_alloc(arena, n);
}

static void arena_free(void *arena, void *p)
{
    (void)arena; /* everything dies with the arena */
    (void)p;
}

tlc_status tlc_onnx_unpack(tlc_ctx *ctx, const unsigned char *bytes, size_t n_bytes,
                           Onnx__ModelProto **out)
{
    const unsigned char *reduced;
    size_t n;
    TLC_TRY(tlc_onnx_guard(ctx, bytes, n_bytes, &reduced, &n));
    if (n > INT32_MAX) /* protobuf-c's own bound */
        return tlc_fail(ctx, TLC_E_LIMIT, "E_LIMIT",
                        "%zu bytes besides raw_data, at most 2147483647", n);
    ProtobufCAllocator allocator = { arena_alloc, arena_free, &ctx->arena };
    Onnx__ModelProto *m = onnx__model_proto__unpack(&allocator, n, reduced);
    if (!m)
        return tlc_fail(ctx, TLC_E_MALFORMED, "E_ONNX_WIRE", "not a model: protobuf-c refuses it");
    *out = m;
    return TLC_OK;
}
