/* hash.c: the identity of a graph.
 *
 * It covers what code and the places of weights depend on, and nothing that a file's author may
 * choose freely: values count in order of appearance, names do not occur.
 */
#include "graph.h"
#include "op.h"
#include "text.h"

#include <inttypes.h>
#include <nettle/sha2.h>
#include <stdio.h>

typedef struct hasher {
    struct sha256_ctx sha;
    int *number; /* by value id: order of appearance, from 1; 0: not seen */
    int n_seen;
    tlc_cwriter w;
} hasher;

static int number_of(hasher *h, const tlc_value *v)
{
    if (!h->number[v->id])
        h->number[v->id] = ++h->n_seen;
    return h->number[v->id];
}

static void value_text(hasher *h, const tlc_value *v)
{
    tlc_w(&h->w, "%%%d:%d[", number_of(h, v), (int)v->type);
    for (int i = 0; i < v->shape.rank; ++i)
        tlc_w(&h->w, "%" PRId64 ",", v->shape.dim[i]);
    tlc_w(&h->w, "]%d", (int)v->layout.kind);
    for (int i = 0; i < 4; ++i)
        tlc_w(&h->w, ",%d", v->layout.halo[i]);
    if (tlc_is_global(v)) {
        tlc_w(&h->w, " kind %d init %d ", (int)v->kind, (int)v->init);
        tlc_w_double(&h->w, v->init_value);
    }
    tlc_w(&h->w, "\n");
}

static void ints_text(tlc_cwriter *w, const tlc_ints *list)
{
    for (int i = 0; i < list->n; ++i)
        tlc_w(w, "%" PRId64 ",", list->v[i]);
}

static void attr_text(tlc_cwriter *w, const tlc_attr_def *a, const void *attrs)
{
    const char *at = (const char *)attrs + a->offset;
    tlc_w(w, " %s=", a->name);
    switch (a->kind) {
    case TLC_ATTR_INT: tlc_w(w, "%" PRId64, *(const int64_t *)at); break;
    case TLC_ATTR_FLOAT: tlc_w_double(w, *(const double *)at); break;
    case TLC_ATTR_BOOL: tlc_w(w, "%d", *(const bool *)at); break;
    case TLC_ATTR_INTS: ints_text(w, (const tlc_ints *)at); break;
    case TLC_ATTR_WORD: tlc_w(w, "%d", *(const int *)at); break;
    case TLC_ATTR_TYPE: tlc_w(w, "%d", (int)*(const tlc_type *)at); break;
    }
}

static void node_text(hasher *h, const tlc_node *n)
{
    tlc_w(&h->w, "%s", tlc_ops[n->op].name);
    for (int i = 0; i < n->n_in; ++i)
        tlc_w(&h->w, " %d", n->in[i] ? number_of(h, n->in[i]) : 0);
    for (const tlc_attr_def *a = tlc_ops[n->op].def->attrs; a && a->name; ++a)
        attr_text(&h->w, a, n->attrs);
    tlc_w(&h->w, "\n");
    for (int i = 0; i < n->n_out; ++i)
        value_text(h, n->out[i]);
}

/* Hand the text so far to the hash, so that the memory does not grow with the graph. */
static void flush(hasher *h)
{
    sha256_update(&h->sha, h->w.len, (const uint8_t *)h->w.text);
    h->w.len = 0;
}

static void func_text(hasher *h, const tlc_func *f)
{
    tlc_w(&h->w, "func %s\n", f->name);
    for (size_t i = 0; i < f->n_in; ++i)
        value_text(h, f->in[i]);
    for (const tlc_node *n = f->first; n; n = n->next) {
        node_text(h, n);
        flush(h);
    }
    for (size_t i = 0; i < f->n_out; ++i)
        tlc_w(&h->w, "return %d\n", number_of(h, f->out[i]));
    flush(h);
}

static void take_digest(hasher *h, tlc_sha256 *out)
{
    sha256_digest(&h->sha, sizeof out->bytes, out->bytes);
    for (size_t i = 0; i < sizeof out->bytes; ++i)
        snprintf(out->hex + 2 * i, 3, "%02x", out->bytes[i]);
}

tlc_sha256 tlc_module_sha256(const tlc_module *m, const char *more)
{
    tlc_sha256 out;
    hasher h = { .number = TLC_NEW_ARRAY(&m->ctx->arena, int, m->n_values),
                 .w = tlc_cwriter_make(&m->ctx->arena) };
    sha256_init(&h.sha);
    tlc_w(&h.w, "%s\n", more);
    for (size_t i = 0; i < m->n_globals; ++i) {
        value_text(&h, m->globals[i]);
        flush(&h);
    }
    for (const tlc_func *f = m->first_func; f; f = f->next)
        func_text(&h, f);
    take_digest(&h, &out);
    return out;
}
