/* onnx_guard.h: the bytes of an ONNX file, walked before protobuf-c sees any.
 *
 * The guard holds nesting, counts, lengths and names against the wire format and
 * the limits, and writes a reduced message: the same model without doc strings,
 * unknown fields and whatever else the importer never reads, in which every
 * raw_data is replaced by a tlc_raw_range.  So protobuf-c allocates in proportion
 * to what it is handed, and weights stay in the mapped file.
 */
#ifndef TLC_ONNX_GUARD_H
#define TLC_ONNX_GUARD_H

#include "ctx.h"

#include "onnx.pb-c.h"

/* What raw_data holds in the reduced message: where the bytes lie in the file. */
typedef struct tlc_raw_range {
    uint64_t offset, n_bytes;
} tlc_raw_range;

/**
 * Walk bytes[n_bytes]; *out is the reduced message in the context's arena.
 * cost    linear; no recursion; at most 5 bytes a message more than the file.
 * fails   E_MALFORMED with the cores of hostile-inputs 4.1; E_LIMIT depth, nodes,
 *         tensors, messages, name, attr.  WHERE is the offset.
 */
TLC_MUST_USE tlc_status tlc_onnx_guard(tlc_ctx *ctx, const unsigned char *bytes, size_t n_bytes,
                                       const unsigned char **out, size_t *out_bytes);

/* Guard, then unpack by protobuf-c into the context's arena. */
TLC_MUST_USE tlc_status tlc_onnx_unpack(tlc_ctx *ctx, const unsigned char *bytes, size_t n_bytes,
                                        Onnx__ModelProto **out);

#endif
