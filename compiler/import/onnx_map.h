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
/* x [n,..,in] times w [out,in,1,1], plus bias [out] or NULL: a 1x1 convolution between
 * transposes. */
tlc_status tlc_onnx_conv_last(tlc_onnx_node *n, tlc_value *w, tlc_value *bias);
tlc_status tlc_onnx_matmul_map(tlc_onnx_node *n); /* of MatMul: by a matrix */
/* The elements of operand 0 along `axis` that operand 1, evenly spaced indices, names. */
tlc_status tlc_onnx_gather_steps(const tlc_onnx_node *n, int axis);
/* What a Shape wants of `v`, all dimensions. */
tlc_status tlc_onnx_part_of_shape(const tlc_onnx_node *n, tlc_value *v);

#endif
