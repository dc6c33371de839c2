/* tlb_sha256.h: SHA-256 of buffers and of files as they are written (Nettle). */
#ifndef TLB_SHA256_H
#define TLB_SHA256_H

#include <nettle/sha2.h>
#include <stddef.h>

enum { TLB_SHA256_HEX_BYTES = 65 }; /* 64 digits and NUL */

typedef struct tlb_sha256 { struct sha256_ctx state; } tlb_sha256;

void tlb_sha256_init(tlb_sha256 *s);
void tlb_sha256_update(tlb_sha256 *s, const void *bytes, size_t n);
/* The same as a tap of tlb_out: `self` is the tlb_sha256. */
void tlb_sha256_tap(void *self, const void *bytes, size_t n);
/* Digest in lower-case hex; the state is as after init again. */
void tlb_sha256_hex(tlb_sha256 *s, char hex[TLB_SHA256_HEX_BYTES]);
void tlb_sha256_of(const void *bytes, size_t n, char hex[TLB_SHA256_HEX_BYTES]);

#endif
