/* onnx_out.h: @forward as an ONNX graph without its weights; inside emit/. */
#ifndef TLC_ONNX_OUT_H
#define TLC_ONNX_OUT_H

#include "emit.h"
#include "tlb_proto.h"

/* Numbers of fields in onnx.proto, and of its enums. */
enum {
    ONNX_GRAPH_NODE = 1, ONNX_GRAPH_NAME = 2, ONNX_GRAPH_INITIALIZER = 5, ONNX_GRAPH_INPUT = 11,
    ONNX_GRAPH_OUTPUT = 12,
    ONNX_NODE_INPUT = 1, ONNX_NODE_OUTPUT = 2, ONNX_NODE_NAME = 3, ONNX_NODE_OP_TYPE = 4,
    ONNX_NODE_ATTRIBUTE = 5,
    ONNX_ATTR_NAME = 1, ONNX_ATTR_F = 2, ONNX_ATTR_I = 3, ONNX_ATTR_S = 4, ONNX_ATTR_INTS = 8,
    ONNX_ATTR_TYPE = 20,
    ONNX_ATTR_TYPE_FLOAT = 1, ONNX_ATTR_TYPE_INT = 2, ONNX_ATTR_TYPE_STRING = 3,
    ONNX_ATTR_TYPE_INTS = 7,
    ONNX_TENSOR_DIMS = 1, ONNX_TENSOR_DATA_TYPE = 2, ONNX_TENSOR_NAME = 8,
    ONNX_TENSOR_RAW_DATA = 9,
    ONNX_VALUE_NAME = 1, ONNX_VALUE_TYPE = 2, ONNX_TYPE_TENSOR = 1, ONNX_TENSOR_ELEM_TYPE = 1,
    ONNX_TENSOR_SHAPE = 2, ONNX_SHAPE_DIM = 1, ONNX_DIM_VALUE = 1, ONNX_DIM_PARAM = 2
};

/* One graph being written. */
typedef struct tlc_onnx_out {
    tlc_ctx *ctx;
    tlb_proto graph;
    const char **names;    /* by value id */
    const char **node_names; /* by id of the first result; NULL: none, names are unique */
    int64_t opset;
    tlb_proto node;        /* the one under way */
    const char *node_name; /* of its result: what its own constants are named after */
} tlc_onnx_out;

/* A message whose memory is the arena's. */
tlb_proto tlc_onnx_message(tlc_ctx *ctx);
/* ONNX's number of an element type: onnx.proto, TensorProto.DataType. */
enum { TLC_ONNX_FLOAT = 1, TLC_ONNX_INT64 = 7 };
int tlc_onnx_type_number(tlc_type t);
/* `name`, what is not UTF-8 in it escaped; in the arena. */
const char *tlc_onnx_out_text(tlc_ctx *ctx, const char *name);

/* ONNX's name of an operator; NULL: it has none. */
const char *tlc_onnx_op_type(tlc_op op);
/* Does the operator, with these attributes, have a form in ONNX?  Then *opset is raised to the
 * first version that has it. */
bool tlc_onnx_has(const tlc_node *n, int64_t *opset);
/* Append the node (and constants it reads as operands in ONNX) to the graph. */
void tlc_onnx_write_node(tlc_onnx_out *o, const tlc_node *n);

#endif
