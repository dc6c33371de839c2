/* onnx_map.h: the functions of the operator table's rows. */
#ifndef TLC_ONNX_MAP_H
#define TLC_ONNX_MAP_H

#include "onnx_attr.h"

typedef struct tlc_onnx_row {
    const char *op;  /* op_type, of the default domain */
    int least, most; /* operands; those from `least` on may be absent */
    /* Attributes that are understood, separated by blanks.  `name<13`: only before opset 13. */
    const char *attrs;
    tlc_status (*map)(tlc_onnx_node *);
} tlc_onnx_row;

#define TLC_ONNX_OP(op, least, most, attrs, function) tlc_status function(tlc_onnx_node *n);
#include "onnx_ops.def"
#undef TLC_ONNX_OP
tlc_status tlc_onnx_matmul_map(tlc_onnx_node *n); /* of MatMul: a map times a matrix */

#endif
