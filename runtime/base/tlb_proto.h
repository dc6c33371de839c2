/* tlb_proto.h: write messages in the wire format of protocol buffers.
 *
 * Enough of it for ONNX: varints, 32-bit floats, bytes, messages within messages.  A message is
 * made in memory and then put into the one around it; what is large (weights) is written to the
 * file by the caller behind a tlb_proto_open of its length.
 */
#ifndef TLB_PROTO_H
#define TLB_PROTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct tlb_proto {
    unsigned char *bytes;
    size_t n, cap;
    bool failed;       /* no memory; further calls do nothing */
    /* Memory of `new_cap` bytes that begins with the first `n` of `old`; NULL: realloc. */
    void *(*grow)(void *self, void *old, size_t n, size_t new_cap);
    void *self;
} tlb_proto;

void tlb_proto_int(tlb_proto *p, int field, int64_t value);
void tlb_proto_float(tlb_proto *p, int field, float value);
void tlb_proto_bytes(tlb_proto *p, int field, const void *bytes, size_t n);
void tlb_proto_text(tlb_proto *p, int field, const char *text);
/* `message` as a field of `p`; a failed one fails `p`. */
void tlb_proto_message(tlb_proto *p, int field, const tlb_proto *message);
/* The fields of `message` behind those of `p`; a failed one fails `p`. */
void tlb_proto_append(tlb_proto *p, const tlb_proto *message);
/* Tag and length of a field whose n bytes come next, from elsewhere. */
void tlb_proto_open(tlb_proto *p, int field, uint64_t n);
void tlb_proto_free(tlb_proto *p); /* of memory by realloc; empty again */

#endif
