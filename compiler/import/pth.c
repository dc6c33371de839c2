/* pth.c: what torch.save wrote, in the archive of 1.6 and later and in the row of pickles before.
 *
 * Served is a state_dict, alone or under one of a few keys of a checkpoint.  A whole module is
 * pickled by the names of its classes, which are not served (E_UNSUPPORTED "global").
 */
#include "pickle.h"
#include "pth_zip.h"

#include <inttypes.h>
#include <string.h>

/* --- state_dict ---------------------------------------------------------- */

static bool has_tensor(const tlc_pickle_value *dict)
{
    for (size_t i = 1; i < dict->n; i += 2)
        if (dict->items[i]->kind == TLC_PICKLE_TENSOR)
            return true;
    return false;
}

static tlc_status find_state_dict(tlc_ctx *ctx, const tlc_pickle_value *root,
                                  const tlc_pickle_value **out)
{
    static const char *const keys[] = { "state_dict", "model", "model_state_dict" };
    if (root->kind != TLC_PICKLE_DICT)
        return tlc_fail(ctx, TLC_E_MALFORMED, "E_PTH", "not a state_dict: not a dictionary");
    *out = root;
    for (size_t i = 0; i < sizeof keys / sizeof *keys && !has_tensor(root); ++i) {
        const tlc_pickle_value *v = tlc_pickle_get(root, keys[i]);
        if (!v || v->kind != TLC_PICKLE_DICT)
            continue;
        *out = v;
        return TLC_OK;
    }
    return TLC_OK;
}

static tlc_status add_tensor(tlc_ctx *ctx, const char *name, const tlc_weight *t, tlc_weights *out)
{
    int64_t len = (int64_t)strlen(name);
    if (len > ctx->limits.max[TLB_LIMIT_NAME])
        return tlc_over_limit(ctx, TLB_LIMIT_NAME, len);
    if ((int64_t)out->n >= ctx->limits.max[TLB_LIMIT_TENSORS])
        return tlc_over_limit(ctx, TLB_LIMIT_TENSORS, (int64_t)out->n + 1);
    tlc_weight w = *t;
    w.name = name;
    TLC_PUSH(&ctx->arena, out->tensors, out->n, out->cap, w);
    return TLC_OK;
}

/* The tensors of the state_dict that `root` is or holds. */
static tlc_status collect(tlc_ctx *ctx, const tlc_pickle_value *root, tlc_weights *out)
{
    const tlc_pickle_value *dict = NULL;
    const char *extra = NULL;
    size_t n_extra = 0;
    tlc_at(ctx, "%s", "");
    TLC_TRY(find_state_dict(ctx, root, &dict));
    for (size_t i = 0; i < dict->n; i += 2) {
        const tlc_pickle_value *key = dict->items[i], *v = dict->items[i + 1];
        if (v->kind == TLC_PICKLE_TENSOR && key->kind == TLC_PICKLE_TEXT) {
            TLC_TRY(add_tensor(ctx, key->text, v->tensor, out));
            continue;
        }
        if (!n_extra++)
            extra = key->kind == TLC_PICKLE_TEXT ? key->text : "";
    }
    if (!out->n && n_extra)
        return tlc_fail(ctx, TLC_E_MALFORMED, "E_PTH", "not a state_dict: it holds no tensors");
    if (n_extra)
        tlc_warn(ctx, "W_NO_TENSOR", "%zu values that are no tensors are left out, the first is %s",
                 n_extra, tlc_quote_name(ctx, extra));
    return TLC_OK;
}

/* --- the archive --------------------------------------------------------- */

typedef struct zip_source {
    tlc_ctx *ctx;
    tlc_zip zip;
} zip_source;

/* The claim is held against the entry of that key, which may be longer. */
static tlc_status find_in_zip(void *self, tlc_storage *s)
{
    zip_source *z = self;
    const char *name = tlc_arena_printf(&z->ctx->arena, "data/%s", s->key);
    const tlc_zip_entry *e = tlc_zip_find(&z->zip, name);
    int64_t bytes;
    if (!e)
        return tlc_fail(z->ctx, TLC_E_MALFORMED, "E_PTH", "no entry %s",
                        tlc_quote_name(z->ctx, name));
    if (__builtin_mul_overflow(s->n_elems, (int64_t)s->elem->bytes, &bytes) || bytes > e->n_bytes)
        return tlc_fail(z->ctx, TLC_E_MALFORMED, "E_PTH",
                        "entry %s has %" PRId64 " bytes, %" PRId64 " elements of %d are claimed",
                        tlc_quote_name(z->ctx, name), e->n_bytes, s->n_elems, s->elem->bytes);
    s->bytes = e->bytes;
    return TLC_OK;
}

static bool is_entry(const tlc_zip_entry *e, const char *text)
{
    return e->n_bytes == (int64_t)strlen(text) && memcmp(e->bytes, text, strlen(text)) == 0;
}

static tlc_status big_endian(tlc_ctx *ctx)
{
    return tlc_fail(ctx, TLC_E_UNSUPPORTED, "E_PTH", "big-endian numbers are not served");
}

static tlc_status check_archive(tlc_ctx *ctx, const tlc_zip *zip)
{
    const tlc_zip_entry *order = tlc_zip_find(zip, "byteorder");
    if (tlc_zip_find(zip, "constants.pkl"))
        return tlc_fail(ctx, TLC_E_UNSUPPORTED, "E_PTH",
                        "TorchScript is not served, a state_dict is");
    if (!tlc_zip_find(zip, "data.pkl"))
        return tlc_fail(ctx, TLC_E_MALFORMED, "E_PTH", "no entry data.pkl");
    if (!order || is_entry(order, "little"))
        return TLC_OK;
    if (is_entry(order, "big"))
        return big_endian(ctx);
    return tlc_fail(ctx, TLC_E_MALFORMED, "E_PTH", "byteorder is %s, not little or big",
                    tlc_quote(ctx, (const char *)order->bytes, (size_t)order->n_bytes));
}

tlc_status tlc_read_pth_zip(tlc_ctx *ctx, const tlc_file *file, tlc_weights *out)
{
    zip_source z = { .ctx = ctx };
    tlc_pickle_value *root = NULL;
    TLC_TRY(tlc_zip_read(ctx, file, &z.zip));
    TLC_TRY(check_archive(ctx, &z.zip));
    const tlc_zip_entry *e = tlc_zip_find(&z.zip, "data.pkl");
    tlc_pickle p = { .ctx = ctx,
                     .entry = "data.pkl",
                     .bytes = e->bytes,
                     .n = (size_t)e->n_bytes,
                     .on_storage = find_in_zip,
                     .self = &z };
    TLC_TRY(tlc_pickle_read(&p, &root));
    if (p.at != p.n)
        return tlc_fail(ctx, TLC_E_MALFORMED, "E_PICKLE", "%zu bytes behind STOP", p.n - p.at);
    return collect(ctx, root, out);
}

/* --- before 1.6 ---------------------------------------------------------- */

/* A pickle of the number 0x1950a86a20f9469cfc6c, which is longer than 64 bits. */
static const unsigned char old_magic[] = { 0x80, 2,    0x8a, 10,   0x6c, 0xfc, 0x9c, 0x46,
                                           0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, '.' };

enum { OLD_PROTOCOL = 1001, COUNT_BYTES = 8 };

bool tlc_begins_as_old_pth(const tlc_file *file)
{
    return file->n_bytes >= (int64_t)sizeof old_magic &&
           memcmp(file->bytes, old_magic, sizeof old_magic) == 0;
}

/* Storages by their keys; a storage that several tensors view is met several times. */
typedef struct old_source {
    tlc_ctx *ctx;
    tlc_storage **met;
    size_t n_met, cap_met;
} old_source;

static tlc_status note_storage(void *self, tlc_storage *s)
{
    old_source *o = self;
    TLC_PUSH(&o->ctx->arena, o->met, o->n_met, o->cap_met, s);
    return TLC_OK;
}

static tlc_status read_header(tlc_pickle *p)
{
    tlc_pickle_value *version = NULL, *system = NULL;
    TLC_TRY(tlc_pickle_read(p, &version));
    if (version->kind != TLC_PICKLE_INT || version->integer != OLD_PROTOCOL)
        return tlc_fail(p->ctx, TLC_E_UNSUPPORTED, "E_PTH",
                        "version %" PRId64 " of the format is not served, %d is",
                        version->kind == TLC_PICKLE_INT ? version->integer : 0, OLD_PROTOCOL);
    TLC_TRY(tlc_pickle_read(p, &system));
    const tlc_pickle_value *little =
        system->kind == TLC_PICKLE_DICT ? tlc_pickle_get(system, "little_endian") : NULL;
    if (!little || little->kind != TLC_PICKLE_BOOL)
        return tlc_fail(p->ctx, TLC_E_MALFORMED, "E_PTH", "no little_endian in its header");
    return little->integer ? TLC_OK : big_endian(p->ctx);
}

/* One storage: a count, then so many elements. */
static tlc_status read_storage(tlc_pickle *p, const tlc_storage *s, const unsigned char **bytes)
{
    int64_t count = 0, size;
    size_t left = p->n - p->at;
    tlc_at(p->ctx, "storage %s", tlc_quote_name(p->ctx, s->key));
    if (left < COUNT_BYTES)
        return tlc_fail(p->ctx, TLC_E_MALFORMED, "E_PTH", "its count is past end");
    for (int i = COUNT_BYTES; i-- > 0;)
        count = (int64_t)((uint64_t)count << 8 | p->bytes[p->at + (size_t)i]);
    if (count != s->n_elems)
        return tlc_fail(p->ctx, TLC_E_MALFORMED, "E_PTH",
                        "count is %" PRId64 ", %" PRId64 " elements are claimed", count,
                        s->n_elems);
    if (__builtin_mul_overflow(count, (int64_t)s->elem->bytes, &size) ||
        (uint64_t)size > left - COUNT_BYTES)
        return tlc_fail(p->ctx, TLC_E_MALFORMED, "E_PTH",
                        "%" PRId64 " elements are past end, %zu bytes are there", count,
                        left - COUNT_BYTES);
    *bytes = p->bytes + p->at + COUNT_BYTES;
    p->at += COUNT_BYTES + (size_t)size;
    return TLC_OK;
}

/* The storages that were met, in order of their keys, equal ones side by side. */
static void sort_storages(const old_source *o, tlc_names *names)
{
    for (size_t i = 0; i < o->n_met; ++i)
        tlc_names_add(names, o->met[i]->key, o->met[i]);
    (void)tlc_names_seal(names); /* repeats are what is expected */
}

static size_t first_of(const tlc_names *names, const char *key)
{
    size_t lo = 0, hi = names->n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (strcmp(names->rows[mid].name, key) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* All mentions of a storage must claim the same; the first is held against the file. */
static tlc_status give_storage(tlc_pickle *p, const tlc_names *names, const char *key)
{
    const unsigned char *bytes = NULL;
    size_t first = first_of(names, key);
    for (size_t i = first; i < names->n && !strcmp(names->rows[i].name, key); ++i) {
        tlc_storage *s = names->rows[i].item;
        const tlc_storage *as = names->rows[first].item;
        if (s->bytes || s->elem != as->elem || s->n_elems != as->n_elems)
            return tlc_fail(p->ctx, TLC_E_MALFORMED, "E_PTH",
                            "storage %s is there twice, or of two types or sizes",
                            tlc_quote_name(p->ctx, key));
        if (i == first)
            TLC_TRY(read_storage(p, s, &bytes));
        s->bytes = bytes;
    }
    if (!bytes)
        return tlc_fail(p->ctx, TLC_E_MALFORMED, "E_PTH", "storage %s is of no tensor",
                        tlc_quote_name(p->ctx, key));
    return TLC_OK;
}

static tlc_status give_storages(tlc_pickle *p, const old_source *o, const tlc_pickle_value *keys)
{
    tlc_names names = { .arena = &p->ctx->arena };
    tlc_at(p->ctx, "%s", "");
    if (keys->kind != TLC_PICKLE_LIST)
        return tlc_fail(p->ctx, TLC_E_MALFORMED, "E_PTH", "keys of storages are no list");
    sort_storages(o, &names);
    for (size_t i = 0; i < keys->n; ++i) {
        tlc_at(p->ctx, "%s", "");
        if (keys->items[i]->kind != TLC_PICKLE_TEXT)
            return tlc_fail(p->ctx, TLC_E_MALFORMED, "E_PTH", "key of a storage is no text");
        TLC_TRY(give_storage(p, &names, keys->items[i]->text));
    }
    tlc_at(p->ctx, "%s", "");
    for (size_t i = 0; i < o->n_met; ++i)
        if (!o->met[i]->bytes)
            return tlc_fail(p->ctx, TLC_E_MALFORMED, "E_PTH", "data of storage %s is past end",
                            tlc_quote_name(p->ctx, o->met[i]->key));
    return TLC_OK;
}

tlc_status tlc_read_pth_old(tlc_ctx *ctx, const tlc_file *file, tlc_weights *out)
{
    old_source o = { .ctx = ctx };
    tlc_pickle_value *root = NULL, *keys = NULL;
    tlc_pickle p = { .ctx = ctx,
                     .entry = "pickle",
                     .bytes = file->bytes,
                     .n = (size_t)file->n_bytes,
                     .at = sizeof old_magic,
                     .on_storage = note_storage,
                     .self = &o };
    TLC_TRY(read_header(&p));
    TLC_TRY(tlc_pickle_read(&p, &root));
    TLC_TRY(tlc_pickle_read(&p, &keys));
    TLC_TRY(give_storages(&p, &o, keys));
    if (p.at != p.n)
        return tlc_fail(ctx, TLC_E_MALFORMED, "E_PTH", "%zu bytes behind the last storage",
                        p.n - p.at);
    return collect(ctx, root, out);
}
