/* weights_import.c: weights files by their first bytes, and their tensors into a network by name.
 *
 * Each parameter of the network, and each statistic of a batch norm, wants the tensor of its
 * name.  What is missing or does not fit is noted, not refused: a head that is about to be
 * replaced needs no weights.  tlc_check_weights refuses what is noted and still there.
 */
#include "weights.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* --- element types ------------------------------------------------------- */

static const tlc_elem elems[] = {
    { "F64", 8, true },    { "F32", 4, true },   { "F16", 2, true },     { "BF16", 2, true },
    { "I64", 8, false },   { "I32", 4, false },  { "I16", 2, false },    { "I8", 1, false },
    { "U64", 8, false },   { "U32", 4, false },  { "U16", 2, false },    { "U8", 1, false },
    { "BOOL", 1, false },  { "C64", 8, false },  { "C128", 16, false },  { "QINT8", 1, false },
    { "QUINT8", 1, false }, { "QINT32", 4, false },
};

const tlc_elem *tlc_elem_find(const char *name)
{
    for (size_t i = 0; i < sizeof elems / sizeof *elems; ++i)
        if (!strcmp(elems[i].name, name))
            return &elems[i];
    return NULL;
}

/* --- shapes -------------------------------------------------------------- */

void tlc_weight_set_contiguous(tlc_weight *w)
{
    int64_t step = 1;
    for (int i = w->rank; i-- > 0;) {
        w->stride[i] = step;
        step *= w->dim[i] ? w->dim[i] : 1; /* an empty tensor has no elements to step over */
    }
}

static bool is_contiguous(const tlc_weight *w)
{
    int64_t step = 1;
    for (int i = w->rank; i-- > 0;) {
        if (w->dim[i] != 1 && w->stride[i] != step)
            return false;
        step *= w->dim[i];
    }
    return true;
}

static int64_t count_elems(const tlc_weight *w)
{
    int64_t n = 1;
    for (int i = 0; i < w->rank; ++i)
        n *= w->dim[i];
    return n;
}

tlc_status tlc_weight_check(tlc_ctx *ctx, const tlc_weight *w)
{
    const int64_t *most = ctx->limits.max;
    int64_t n = 1;
    bool empty = false;
    for (int i = 0; i < w->rank; ++i) {
        empty |= w->dim[i] == 0;
        /* A 0 must not hide that the others overflow. */
        if (w->dim[i] && __builtin_mul_overflow(n, w->dim[i], &n))
            return tlc_fail(ctx, TLC_E_MALFORMED, "E_SHAPE",
                            "size overflows 64 bits at dimension %d", i);
    }
    for (int i = 0; i < w->rank; ++i)
        if (w->dim[i] > most[TLB_LIMIT_DIM])
            return tlc_over_limit(ctx, TLB_LIMIT_DIM, w->dim[i]);
    if (!empty && n > most[TLB_LIMIT_ELEMENTS])
        return tlc_over_limit(ctx, TLB_LIMIT_ELEMENTS, n);
    return TLC_OK;
}

/* --- elements ------------------------------------------------------------ */

static double element(const tlc_elem *e, const unsigned char *at)
{
    double d;
    float f;
    uint16_t h;
    if (e->bytes == 8) {
        memcpy(&d, at, sizeof d);
        return d;
    }
    if (e->bytes == 4) {
        memcpy(&f, at, sizeof f);
        return f;
    }
    memcpy(&h, at, sizeof h);
    return e->name[0] == 'B' ? tlc_bfloat_to_float(h) : tlc_half_to_float(h);
}

/* Bits, so that a NaN of the file stays that NaN where no conversion is. */
static void put(const tlc_weight *w, int64_t from, tlc_type type, int64_t to, unsigned char *out)
{
    const tlc_elem *e = w->storage->elem;
    const unsigned char *at = w->storage->bytes + from * e->bytes;
    int bytes = tlc_type_bytes(type);
    double d;
    float f;
    if (e->bytes == bytes) {
        memcpy(out + to * bytes, at, (size_t)bytes);
        return;
    }
    d = element(e, at);
    f = (float)d;
    memcpy(out + to * bytes, type == TLC_F64 ? (const void *)&d : (const void *)&f,
           (size_t)bytes);
}

/* Row-major order, like an odometer. */
static void gather(const tlc_weight *w, tlc_type type, unsigned char *out)
{
    int64_t at[TLC_MAX_RANK] = { 0 }, from = w->offset, n = count_elems(w);
    for (int64_t i = 0; i < n; ++i) {
        put(w, from, type, i, out);
        for (int k = w->rank; k-- > 0;) {
            from += w->stride[k];
            if (++at[k] < w->dim[k])
                break;
            from -= w->stride[k] * w->dim[k];
            at[k] = 0;
        }
    }
}

const void *tlc_weight_data(tlc_ctx *ctx, const tlc_weight *w, tlc_type type)
{
    const tlc_elem *e = w->storage->elem;
    int bytes = tlc_type_bytes(type);
    if (!e->is_float)
        return NULL;
    if (is_contiguous(w) && e->bytes == bytes)
        return w->storage->bytes + w->offset * e->bytes;
    void *out = tlc_arena_array(&ctx->arena, (size_t)count_elems(w), (size_t)bytes);
    gather(w, type, out);
    return out;
}

/* --- kinds of files ------------------------------------------------------ */

static bool begins_as_zip(const tlc_file *f)
{
    return f->n_bytes >= 4 && memcmp(f->bytes, "PK\3\4", 4) == 0;
}

/* A length, then JSON. */
static bool begins_as_safetensors(const tlc_file *f)
{
    return f->n_bytes > 8 && f->bytes[8] == '{' && f->bytes[7] == 0 && f->bytes[6] == 0;
}

static bool ends_with(const char *s, const char *ending)
{
    size_t n = strlen(s), k = strlen(ending);
    return n >= k && strcmp(s + n - k, ending) == 0;
}

/* Files that are known, but not read. */
static const struct {
    int64_t at;
    const char *magic;
    const char *what;
} refused[] = {
    { 257, "ustar", "tar archive, PyTorch's format before 0.1.11" },
    { 0, "\x1f\x8b", "gzip" },
    { 0, "version https://git-lfs", "Git LFS pointer: the file itself was not fetched" },
};

static tlc_status refuse(tlc_ctx *ctx, const tlc_file *f)
{
    for (size_t i = 0; i < sizeof refused / sizeof *refused; ++i) {
        int64_t len = (int64_t)strlen(refused[i].magic);
        if (f->n_bytes >= refused[i].at + len &&
            memcmp(f->bytes + refused[i].at, refused[i].magic, (size_t)len) == 0)
            return tlc_fail(ctx, i == 0 ? TLC_E_UNSUPPORTED : TLC_E_MALFORMED, "E_KIND", "%s",
                            refused[i].what);
    }
    return tlc_fail(ctx, TLC_E_MALFORMED, "E_KIND", "neither PyTorch's .pth nor safetensors");
}

static tlc_status read_by_kind(tlc_ctx *ctx, const tlc_file *f, tlc_weights *out)
{
    if (begins_as_zip(f))
        return tlc_read_pth_zip(ctx, f, out);
    if (tlc_begins_as_old_pth(f))
        return tlc_read_pth_old(ctx, f, out);
    if (begins_as_safetensors(f) || ends_with(f->path, ".safetensors"))
        return tlc_read_safetensors(ctx, f, out);
    return f->n_bytes ? refuse(ctx, f) : tlc_fail(ctx, TLC_E_MALFORMED, "E_KIND", "empty file");
}

static void strip_prefix(tlc_weights *w)
{
    static const char prefix[] = "module.";
    for (size_t i = 0; i < w->n; ++i)
        if (strncmp(w->tensors[i].name, prefix, sizeof prefix - 1) != 0)
            return;
    for (size_t i = 0; i < w->n; ++i)
        w->tensors[i].name += sizeof prefix - 1;
}

tlc_status tlc_weights_read(tlc_ctx *ctx, const tlc_file *file, tlc_weights *out)
{
    tlc_weights found = { 0 };
    ctx->file = file->path;
    tlc_at(ctx, "%s", "");
    TLC_TRY(read_by_kind(ctx, file, &found));
    tlc_at(ctx, "%s", "");
    strip_prefix(&found);
    *out = found;
    return TLC_OK;
}

/* --- into the network ---------------------------------------------------- */

typedef struct fitting {
    tlc_ctx *ctx;
    const tlc_file *file;
    tlc_names names; /* to tlc_weight */
    tlc_weight_problem *problems;
    size_t n, cap;
    bool *used;      /* by position in the file */
    const tlc_weights *weights;
} fitting;

static void note(fitting *f, tlc_value *v, const char *id, const char *what)
{
    tlc_weight_problem p = { v, id, what };
    TLC_PUSH(&f->ctx->arena, f->problems, f->n, f->cap, p);
}

static bool same_shape(const tlc_shape *s, const tlc_weight *w)
{
    bool same = s->rank == w->rank;
    for (int i = 0; same && i < s->rank; ++i)
        same = s->dim[i] == w->dim[i];
    return same;
}

static const char *dims_text(tlc_ctx *ctx, const int64_t *dim, int rank)
{
    const char *text = "";
    for (int i = 0; i < rank; ++i)
        text = tlc_arena_printf(&ctx->arena, "%s%s%" PRId64, text, i ? "," : "", dim[i]);
    return tlc_arena_printf(&ctx->arena, "[%s]", text);
}

static void warn_not_finite(tlc_ctx *ctx, const tlc_value *v)
{
    int64_t n = tlc_shape_elems(&v->shape), bad = 0;
    for (int64_t i = 0; i < n; ++i)
        bad += !isfinite(tlc_data_f64(v, i));
    if (!bad)
        return;
    tlc_at(ctx, "tensor %s", tlc_quote_name(ctx, v->name));
    tlc_warn(ctx, "W_NOT_FINITE", "%" PRId64 " elements are not finite", bad);
    tlc_at(ctx, "%s", "");
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static void give(fitting *f, tlc_value *v, const tlc_weight *w)
{
    tlc_ctx *ctx = f->ctx;
    const char *name = tlc_quote_name(ctx, v->name);
    if (!same_shape(&v->shape, w)) {
        note(f, v, "E_SHAPE",
             tlc_arena_printf(&ctx->arena, "shape %s of tensor %s, the network's is %s",
                              dims_text(ctx, w->dim, w->rank), name,
                              dims_text(ctx, v->shape.dim, v->shape.rank)));
        return;
    }
    const unsigned char *data = tlc_weight_data(ctx, w, v->type);
    if (!data) {
        note(f, v, "E_TYPE",
             tlc_arena_printf(&ctx->arena, "element type %s of tensor %s is not served",
                              w->storage->elem->name, name));
        return;
    }
    v->data = data;
    v->data_type = v->type;
    v->splat = false;
    v->init = TLC_INIT_NONE;
    if (data >= f->file->bytes && data < f->file->bytes + f->file->n_bytes) {
        v->file = base_name(f->file->path);
        v->file_offset = data - f->file->bytes;
    }
    warn_not_finite(ctx, v);
}

enum { BN_MEAN = 3, BN_VARIANCE = 4 }; /* operands of batch_norm */

/* By value id: parameters, and statistics of batch norms. */
static bool *find_wanted(const tlc_module *m)
{
    bool *wanted = TLC_NEW_ARRAY(&m->ctx->arena, bool, m->n_values);
    for (const tlc_func *f = m->first_func; f; f = f->next)
        for (const tlc_node *n = f->first; n; n = n->next)
            if (n->op == TLC_OP_BATCH_NORM)
                wanted[n->in[BN_MEAN]->id] = wanted[n->in[BN_VARIANCE]->id] = true;
    for (size_t i = 0; i < m->n_globals; ++i)
        wanted[m->globals[i]->id] |= m->globals[i]->kind == TLC_PARAM;
    return wanted;
}

static void give_all(fitting *f, const tlc_module *m)
{
    const bool *wanted = find_wanted(m);
    for (size_t i = 0; i < m->n_globals; ++i) {
        tlc_value *v = m->globals[i];
        if (!wanted[v->id] || !tlc_is_global(v) || !tlc_is_float(v->type))
            continue;
        const tlc_weight *w = v->name ? tlc_names_find(&f->names, v->name) : NULL;
        if (w) {
            f->used[w - f->weights->tensors] = true;
            give(f, v, w);
        } else {
            note(f, v, "E_MISSING",
                 tlc_arena_printf(&f->ctx->arena, "tensor %s is missing",
                                  tlc_quote_name(f->ctx, v->name)));
        }
    }
}

/* Counters of PyTorch's batch norms are in every file and tell nothing. */
static void warn_unused(const fitting *f)
{
    const char *first = NULL;
    size_t n = 0;
    for (size_t i = 0; i < f->weights->n; ++i) {
        const char *name = f->weights->tensors[i].name;
        if (f->used[i] || ends_with(name, "num_batches_tracked"))
            continue;
        first = first ? first : name;
        ++n;
    }
    if (n)
        tlc_warn(f->ctx, "W_UNUSED", "%zu tensors are not in the network, the first is %s", n,
                 tlc_quote_name(f->ctx, first));
}

tlc_status tlc_weights_apply(tlc_ctx *ctx, tlc_module *m, const tlc_file *file,
                             tlc_import_info *info)
{
    tlc_weights w = { 0 };
    TLC_TRY(tlc_weights_read(ctx, file, &w));
    fitting f = { .ctx = ctx, .file = file, .names = { .arena = &ctx->arena }, .weights = &w };
    f.used = TLC_NEW_ARRAY(&ctx->arena, bool, w.n);
    for (size_t i = 0; i < w.n; ++i)
        tlc_names_add(&f.names, w.tensors[i].name, &w.tensors[i]);
    const tlc_named *twice = tlc_names_seal(&f.names);
    if (twice)
        return tlc_fail(ctx, TLC_E_MALFORMED, "E_NAME", "tensor %s is there twice",
                        tlc_quote_name(ctx, twice->name));
    give_all(&f, m);
    warn_unused(&f);
    info->weights_path = file->path;
    info->problems = f.problems;
    info->n_problems = f.n;
    return TLC_OK;
}

/* By value id: the globals that are still there. */
static bool *find_present(const tlc_module *m)
{
    bool *present = TLC_NEW_ARRAY(&m->ctx->arena, bool, m->n_values);
    for (size_t i = 0; i < m->n_globals; ++i)
        present[m->globals[i]->id] = true;
    return present;
}

tlc_status tlc_check_weights(tlc_ctx *ctx, const tlc_module *m, const tlc_import_info *info)
{
    const tlc_weight_problem *first = NULL;
    const bool *present = find_present(m);
    size_t more = 0;
    for (size_t i = 0; i < info->n_problems; ++i) {
        if (!present[info->problems[i].value->id])
            continue;
        more += first != NULL;
        first = first ? first : &info->problems[i];
    }
    if (!first)
        return TLC_OK;
    const char *file = ctx->file;
    ctx->file = info->weights_path;
    tlc_at(ctx, "%s", "");
    (void)tlc_fail(ctx, TLC_E_UNSUPPORTED, first->id, "%s", first->what);
    ctx->file = file;
    return more ? tlc_hint(ctx, "%zu more tensors are missing or do not fit", more)
                : TLC_E_UNSUPPORTED;
}
