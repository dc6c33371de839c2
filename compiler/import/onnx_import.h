/* onnx_import.h: one import, shared by the files that do it.
 *
 *   onnx.c          model, initialisers, inputs; nodes in order; what becomes `param`
 *   onnx_tensor.c   TensorProto to typed bytes, mostly views
 *   onnx_external.c bytes in files beside the model
 *   onnx_attr.c     attributes and constant operands of a node
 *   onnx_map.c      the table of operators; onnx_map_*.c the function of each row
 *   onnx_lift.c     operators over values whose batch is not in front
 *
 * While it runs every global is a `const`, so that folding sees through weights; the last
 * step makes parameters of those that are.
 */
#ifndef TLC_ONNX_IMPORT_H
#define TLC_ONNX_IMPORT_H

#include "import.h"
#include "import_util.h"

#include "onnx.pb-c.h"

/* What a name of the graph stands for. */
typedef struct tlc_onnx_name {
    tlc_value *value;                /* NULL: not defined yet, or an initialiser not yet used */
    const Onnx__TensorProto *tensor; /* an initialiser; else NULL */
    bool is_output;                  /* of a node */
    bool defined;                    /* its node has been read */
} tlc_onnx_name;

/* Of a value whose batch is not in front, alone (onnx_lift.h): dimension `axis` is
 * outer * n * inner; -1: of a file with one picture. */
typedef struct tlc_onnx_lift {
    bool lifted;
    int axis;
    int64_t outer, inner;
} tlc_onnx_lift;

typedef struct tlc_onnx {
    tlc_ctx *ctx;
    tlc_file *file;
    const char *file_name; /* without folders: what IR text may show */
    tlc_module *module;
    tlc_func *func;
    const Onnx__GraphProto *graph;
    int64_t opset;
    int64_t fixed_batch; /* the input's, which became n; 0: it was symbolic */
    tlc_names names;     /* to tlc_onnx_name */
    int64_t n_dropouts;
    struct tlc_onnx_external *external;
    const tlc_value *flat_picture; /* what as_strided is taken of (onnx_map_shapes.c); NULL */
    const tlc_value **origin; /* by value id, of a floating initialiser or what is made of one: the
                               * value that it is a copy of, or itself; NULL: no weight */
    size_t cap_origin;
    tlc_onnx_lift *lift; /* by value id */
    size_t cap_lift;
    bool *copied; /* by value id: tlc_onnx_copy made one of it */
    size_t cap_copied;
} tlc_onnx;

/* --- onnx_tensor.c ------------------------------------------------------- */

/* A checked tensor: shape, type and where its bytes are. */
typedef struct tlc_onnx_tensor {
    tlc_type type; /* f16 and bf16 become f32 */
    tlc_shape shape;
    const struct tlc_elem_row *elem;
    const unsigned char *raw; /* NULL: in the typed fields of the message */
    const char *file;         /* where `raw` lies */
    int64_t file_offset;
} tlc_onnx_tensor;

/* Check `t` and find its bytes; counts them towards the limit weights.
 * fails   E_MALFORMED element type, dimension, size overflows, bytes, data given twice and
 *         what external data adds; E_UNSUPPORTED element type; E_LIMIT. */
TLC_MUST_USE tlc_status tlc_onnx_tensor_check(tlc_onnx *o, const Onnx__TensorProto *t,
                                              tlc_onnx_tensor *out);
/* The same, then a constant of the module; a view where the bytes can be one. */
TLC_MUST_USE tlc_status tlc_onnx_tensor_make(tlc_onnx *o, const Onnx__TensorProto *t,
                                             const char *name, tlc_value **out);
/* The IR's type for an ONNX element type; E_MALFORMED or E_UNSUPPORTED "element type". */
TLC_MUST_USE tlc_status tlc_onnx_elem_type(tlc_ctx *ctx, int32_t data_type, tlc_type *out);
/* `v`, a constant, as f32. */
TLC_MUST_USE tlc_status tlc_onnx_to_f32(tlc_onnx *o, const tlc_value *v, tlc_value **out);

/* --- onnx_external.c ----------------------------------------------------- */

/* The bytes of a tensor with data_location EXTERNAL, `n_bytes` of them by its dimensions. */
TLC_MUST_USE tlc_status tlc_onnx_external_find(tlc_onnx *o, const Onnx__TensorProto *t,
                                               int64_t n_bytes, tlc_onnx_tensor *out);
/* Warn once if tensors share some of their bytes but not all. */
void tlc_onnx_external_warn(tlc_onnx *o);

/* --- nodes --------------------------------------------------------------- */

/* A node that is being read. */
typedef struct tlc_onnx_node {
    tlc_onnx *o;
    const Onnx__NodeProto *proto;
    const struct tlc_onnx_row *row;
    size_t index;      /* in the graph, from 0 */
    const char *name;  /* NULL: it has none, not even of an output */
    const char *place; /* `node 12 "conv1"` */
    tlc_value **in;    /* its operands; NULL: absent */
    int n_in;
    tlc_onnx_lift lift; /* of its operands, then of its results */
    bool shifted;       /* axes are one further in the graph than in the file */
} tlc_onnx_node;

/* onnx.c: read the nodes' operands and results by name. */
TLC_MUST_USE tlc_status tlc_onnx_read(tlc_onnx *o, const char *name, tlc_value **out);
/* Result `i` of the node is `v`. */
void tlc_onnx_define(const tlc_onnx_node *n, size_t i, tlc_value *v);
/* `v` is a weight; `of` is what it copies, `v` itself if nothing. */
void tlc_onnx_mark_weight(tlc_onnx *o, const tlc_value *v, const tlc_value *of);
/* Counts a constant that no byte of the file stands for towards the limit of folding.  fails  E_LIMIT */
TLC_MUST_USE tlc_status tlc_onnx_count_made(tlc_ctx *ctx, const tlc_shape *shape, tlc_type type);
/* A float constant of this shape, into whose *bytes the caller writes `of` in another form.  A small
 * file could ask for any number: each but the first of a tensor that lies in the file counts
 * towards the limit of folding.  fails  E_LIMIT */
TLC_MUST_USE tlc_status tlc_onnx_copy(tlc_onnx *o, const tlc_value *of, tlc_shape shape,
                                      float **bytes, tlc_value **out);
/* A constant of the same bytes, a weight if `v` is one. */
tlc_value *tlc_onnx_twin(tlc_onnx *o, const tlc_value *v, const char *name);
bool tlc_onnx_is_weight(const tlc_onnx *o, const tlc_value *v);

/* onnx_map.c: read one node, by its row of the table. */
TLC_MUST_USE tlc_status tlc_onnx_map_node(tlc_onnx_node *n);
TLC_MUST_USE tlc_status tlc_onnx_unsupported(const tlc_onnx_node *n, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

#endif
