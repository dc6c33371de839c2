/* tlb_proto.c: the wire format: (field << 3 | kind) as a varint, then the value. */
#include "tlb_proto.h"

#include <stdlib.h>
#include <string.h>

enum { VARINT = 0, LENGTH = 2, FIXED32 = 5, FIRST_BYTES = 256 };

static bool make_room(tlb_proto *p, size_t n)
{
    if (p->failed || n <= p->cap - p->n)
        return !p->failed;
    size_t cap = p->cap ? p->cap : FIRST_BYTES;
    while (cap - p->n < n && cap <= SIZE_MAX / 2)
        cap *= 2;
    void *bytes = NULL;
    if (cap - p->n >= n)
        bytes = p->grow ? p->grow(p->self, p->bytes, p->n, cap) : realloc(p->bytes, cap);
    p->failed = !bytes;
    if (bytes) {
        p->bytes = bytes;
        p->cap = cap;
    }
    return !p->failed;
}

static void put(tlb_proto *p, const void *bytes, size_t n)
{
    if (n == 0 || !make_room(p, n))
        return;
    memcpy(p->bytes + p->n, bytes, n);
    p->n += n;
}

static void put_varint(tlb_proto *p, uint64_t x)
{
    unsigned char bytes[10];
    size_t n = 0;
    for (; x > 0x7f; x >>= 7)
        bytes[n++] = (unsigned char)(x | 0x80);
    bytes[n++] = (unsigned char)x;
    put(p, bytes, n);
}

static void put_tag(tlb_proto *p, int field, int kind)
{
    put_varint(p, (uint64_t)field << 3 | (uint64_t)kind);
}

void tlb_proto_int(tlb_proto *p, int field, int64_t value)
{
    put_tag(p, field, VARINT);
    put_varint(p, (uint64_t)value);
}

void tlb_proto_float(tlb_proto *p, int field, float value)
{
    put_tag(p, field, FIXED32);
    put(p, &value, sizeof value);
}

void tlb_proto_open(tlb_proto *p, int field, uint64_t n)
{
    put_tag(p, field, LENGTH);
    put_varint(p, n);
}

void tlb_proto_bytes(tlb_proto *p, int field, const void *bytes, size_t n)
{
    tlb_proto_open(p, field, n);
    put(p, bytes, n);
}

void tlb_proto_text(tlb_proto *p, int field, const char *text)
{
    tlb_proto_bytes(p, field, text, strlen(text));
}

void tlb_proto_append(tlb_proto *p, const tlb_proto *message)
{
    p->failed |= message->failed;
    put(p, message->bytes, message->n);
}

void tlb_proto_message(tlb_proto *p, int field, const tlb_proto *message)
{
    tlb_proto_open(p, field, message->n);
    tlb_proto_append(p, message);
}

void tlb_proto_free(tlb_proto *p)
{
    free(p->bytes);
    *p = (tlb_proto){ .bytes = NULL };
}
