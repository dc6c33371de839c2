/* onnx_build.h: ONNX files for tests, written in C: a protobuf writer of a page, tensors,
 * nodes, and BASE, the smallest network of hostile-inputs 4.2, to be edited case by case.
 */
#ifndef ONNX_BUILD_H
#define ONNX_BUILD_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* --- protobuf ------------------------------------------------------------ */

typedef struct pb {
    unsigned char *bytes;
    size_t n, cap;
} pb;

static inline void pb_put(pb *p, const void *bytes, size_t n)
{
    if (p->n + n > p->cap) {
        p->cap = 2 * (p->n + n) + 64;
        p->bytes = realloc(p->bytes, p->cap);
        if (!p->bytes)
            abort();
    }
    if (n)
        memcpy(p->bytes + p->n, bytes, n);
    p->n += n;
}

static inline void pb_free(pb *p)
{
    free(p->bytes);
    *p = (pb){ 0 };
}

static inline void pb_varint(pb *p, uint64_t v)
{
    do {
        unsigned char b = (unsigned char)((v & 0x7f) | (v > 0x7f ? 0x80 : 0));
        pb_put(p, &b, 1);
        v >>= 7;
    } while (v);
}

static inline void pb_int(pb *p, unsigned field, int64_t v)
{
    pb_varint(p, (uint64_t)field << 3);
    pb_varint(p, (uint64_t)v);
}

static inline void pb_bytes(pb *p, unsigned field, const void *bytes, size_t n)
{
    pb_varint(p, (uint64_t)field << 3 | 2);
    pb_varint(p, n);
    pb_put(p, bytes, n);
}

static inline void pb_text(pb *p, unsigned field, const char *s)
{
    pb_bytes(p, field, s, strlen(s));
}

static inline void pb_float(pb *p, unsigned field, float x)
{
    pb_varint(p, (uint64_t)field << 3 | 5);
    pb_put(p, &x, sizeof x);
}

/* `inner` as a message of `p`; inner is freed. */
static inline void pb_message(pb *p, unsigned field, pb inner)
{
    pb_bytes(p, field, inner.bytes, inner.n);
    pb_free(&inner);
}

/* --- tensors ------------------------------------------------------------- */

enum {
    ELEM_FLOAT = 1,
    ELEM_INT32 = 6,
    ELEM_INT64 = 7,
    ELEM_BOOL = 9,
    ELEM_HALF = 10,
    ELEM_DOUBLE = 11
};

/* A tensor without data. */
static inline pb tensor_head(const char *name, int type, int rank, const int64_t *dims)
{
    pb t = { 0 };
    for (int i = 0; i < rank; ++i)
        pb_int(&t, 1, dims[i]);
    pb_int(&t, 2, type);
    pb_text(&t, 8, name);
    return t;
}

static inline pb tensor_raw(const char *name, int type, int rank, const int64_t *dims,
                            const void *raw, size_t n)
{
    pb t = tensor_head(name, type, rank, dims);
    pb_bytes(&t, 9, raw, n);
    return t;
}

/* Floats start, start + step, ... as raw data. */
static inline pb tensor_ramp(const char *name, int rank, const int64_t *dims, float start,
                             float step)
{
    size_t n = 1;
    for (int i = 0; i < rank; ++i)
        n *= (size_t)dims[i];
    float *x = calloc(n + 1, sizeof *x);
    for (size_t i = 0; i < n; ++i)
        x[i] = start + step * (float)i;
    pb t = tensor_raw(name, ELEM_FLOAT, rank, dims, x, n * sizeof *x);
    free(x);
    return t;
}

static inline pb tensor_ints(const char *name, int64_t n, const int64_t *v)
{
    return tensor_raw(name, ELEM_INT64, 1, &n, v, (size_t)n * sizeof *v);
}

static inline void tensor_external(pb *t, const char *key, const char *value, size_t value_bytes)
{
    pb e = { 0 };
    pb_text(&e, 1, key);
    pb_bytes(&e, 2, value, value_bytes);
    pb_message(t, 13, e);
}

/* --- nodes --------------------------------------------------------------- */

static inline void put_names(pb *p, unsigned field, const char *names)
{
    while (*names) {
        size_t n = strcspn(names, ",");
        pb_bytes(p, field, names, n);
        names += n + (names[n] == ',');
    }
}

/* Names are separated by commas; an empty one between commas is an absent operand. */
static inline pb node_of(const char *op, const char *name, const char *in, const char *out)
{
    pb n = { 0 };
    put_names(&n, 1, in);
    put_names(&n, 2, out);
    pb_text(&n, 3, name);
    pb_text(&n, 4, op);
    return n;
}

static inline pb attr_head(const char *name, int type)
{
    pb a = { 0 };
    pb_text(&a, 1, name);
    pb_int(&a, 20, type);
    return a;
}

static inline void attr_int(pb *node, const char *name, int64_t v)
{
    pb a = attr_head(name, 2);
    pb_int(&a, 3, v);
    pb_message(node, 5, a);
}

static inline void attr_float(pb *node, const char *name, float v)
{
    pb a = attr_head(name, 1);
    pb_float(&a, 2, v);
    pb_message(node, 5, a);
}

static inline void attr_text(pb *node, const char *name, const char *v)
{
    pb a = attr_head(name, 3);
    pb_text(&a, 4, v);
    pb_message(node, 5, a);
}

static inline void attr_ints(pb *node, const char *name, int n, const int64_t *v)
{
    pb a = attr_head(name, 7);
    for (int i = 0; i < n; ++i)
        pb_int(&a, 8, v[i]);
    pb_message(node, 5, a);
}

static inline void attr_tensor(pb *node, const char *name, pb tensor)
{
    pb a = attr_head(name, 4);
    pb_message(&a, 5, tensor);
    pb_message(node, 5, a);
}

#define INTS(...)                                                                                  \
    (sizeof((int64_t[]){ __VA_ARGS__ }) / sizeof(int64_t)), (int64_t[])                            \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }

/* --- models -------------------------------------------------------------- */

/* Dimensions below 0 are the symbol "n". */
static inline pb value_info(const char *name, int type, int rank, const int64_t *dims)
{
    pb shape = { 0 }, tensor = { 0 }, kind = { 0 }, info = { 0 };
    for (int i = 0; i < rank; ++i) {
        pb d = { 0 };
        if (dims[i] < 0)
            pb_text(&d, 2, "n");
        else
            pb_int(&d, 1, dims[i]);
        pb_message(&shape, 1, d);
    }
    pb_int(&tensor, 1, type);
    pb_message(&tensor, 2, shape);
    pb_message(&kind, 1, tensor);
    pb_text(&info, 1, name);
    pb_message(&info, 2, kind);
    return info;
}

enum { NET_MOST = 12 };

typedef struct net {
    int64_t ir_version, opset; /* opset 0: no opset_import */
    const char *domain;        /* of the opset_import; NULL: the default one */
    pb node[NET_MOST], init[NET_MOST], input[NET_MOST], output[NET_MOST];
    int n_node, n_init, n_input, n_output;
    pb more_graph, more_model; /* raw fields, appended */
} net;

static inline void net_node(net *m, pb node)
{
    m->node[m->n_node++] = node;
}
static inline void net_init(net *m, pb tensor)
{
    m->init[m->n_init++] = tensor;
}
static inline void net_input(net *m, pb info)
{
    m->input[m->n_input++] = info;
}
static inline void net_output(net *m, const char *name)
{
    pb info = { 0 };
    pb_text(&info, 1, name);
    m->output[m->n_output++] = info;
}

static inline void net_set(pb *slot, pb with)
{
    pb_free(slot);
    *slot = with;
}

static inline pb net_graph(net *m)
{
    pb g = { 0 };
    for (int i = 0; i < m->n_node; ++i)
        pb_message(&g, 1, m->node[i]);
    pb_text(&g, 2, "base");
    for (int i = 0; i < m->n_init; ++i)
        pb_message(&g, 5, m->init[i]);
    for (int i = 0; i < m->n_input; ++i)
        pb_message(&g, 11, m->input[i]);
    for (int i = 0; i < m->n_output; ++i)
        pb_message(&g, 12, m->output[i]);
    pb_put(&g, m->more_graph.bytes, m->more_graph.n);
    pb_free(&m->more_graph);
    return g;
}

/* The file; `m` is used up. */
static inline pb net_bytes(net *m)
{
    pb f = { 0 }, import = { 0 };
    pb_int(&f, 1, m->ir_version);
    pb_message(&f, 7, net_graph(m));
    if (m->domain)
        pb_text(&import, 1, m->domain);
    if (m->opset) {
        pb_int(&import, 2, m->opset);
        pb_message(&f, 8, import);
    }
    pb_put(&f, m->more_model.bytes, m->more_model.n);
    pb_free(&m->more_model);
    return f;
}

/* --- BASE ---------------------------------------------------------------- */

enum { BASE_CONV, BASE_BN, BASE_RELU, BASE_GAP, BASE_FLATTEN, BASE_GEMM };
enum { BASE_W, BASE_B, BASE_SCALE, BASE_BIAS, BASE_MEAN, BASE_VAR, BASE_FC, BASE_FC_B };

static inline pb base_conv(void)
{
    pb conv = node_of("Conv", "conv", "x,w,b", "c");
    attr_ints(&conv, "pads", INTS(1, 1, 1, 1));
    return conv;
}

static inline pb base_bn(float epsilon)
{
    pb bn = node_of("BatchNormalization", "bn", "c,scale,bias,mean,var", "d");
    attr_float(&bn, "epsilon", epsilon);
    return bn;
}

static inline pb base_gemm(void)
{
    pb gemm = node_of("Gemm", "fc", "g,fc.weight,fc.bias", "y");
    attr_int(&gemm, "transB", 1);
    return gemm;
}

static inline net base_net(void)
{
    net m = { .ir_version = 8, .opset = 17 };
    net_node(&m, base_conv());
    net_node(&m, base_bn(1e-5f));
    net_node(&m, node_of("Relu", "relu", "d", "e"));
    net_node(&m, node_of("GlobalAveragePool", "pool", "e", "f"));
    net_node(&m, node_of("Flatten", "flatten", "f", "g"));
    net_node(&m, base_gemm());
    net_init(&m, tensor_ramp("w", 4, (int64_t[]){ 4, 3, 3, 3 }, -0.5f, 0.01f));
    net_init(&m, tensor_ramp("b", 1, (int64_t[]){ 4 }, 0, 0.1f));
    net_init(&m, tensor_ramp("scale", 1, (int64_t[]){ 4 }, 1, 0.1f));
    net_init(&m, tensor_ramp("bias", 1, (int64_t[]){ 4 }, 0, 0.1f));
    net_init(&m, tensor_ramp("mean", 1, (int64_t[]){ 4 }, 0, 0.1f));
    net_init(&m, tensor_ramp("var", 1, (int64_t[]){ 4 }, 1, 0.1f));
    net_init(&m, tensor_ramp("fc.weight", 2, (int64_t[]){ 10, 4 }, -1, 0.05f));
    net_init(&m, tensor_ramp("fc.bias", 1, (int64_t[]){ 10 }, 0, 0.1f));
    net_input(&m, value_info("x", ELEM_FLOAT, 4, (int64_t[]){ -1, 3, 8, 8 }));
    net_output(&m, "y");
    return m;
}

#endif
