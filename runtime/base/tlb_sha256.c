/* tlb_sha256.c: a thin cover over Nettle, so that one file names the library. */
#include "tlb_sha256.h"

#include <stdint.h>

void tlb_sha256_init(tlb_sha256 *s)
{
    sha256_init(&s->state);
}

void tlb_sha256_update(tlb_sha256 *s, const void *bytes, size_t n)
{
    sha256_update(&s->state, n, bytes);
}

void tlb_sha256_tap(void *self, const void *bytes, size_t n)
{
    tlb_sha256_update(self, bytes, n);
}

void tlb_sha256_hex(tlb_sha256 *s, char hex[TLB_SHA256_HEX_BYTES])
{
    static const char digits[] = "0123456789abcdef";
    uint8_t digest[SHA256_DIGEST_SIZE];
    sha256_digest(&s->state, sizeof digest, digest);
    for (int i = 0; i < SHA256_DIGEST_SIZE; ++i) {
        hex[2 * i] = digits[digest[i] >> 4];
        hex[2 * i + 1] = digits[digest[i] & 15];
    }
    hex[2 * SHA256_DIGEST_SIZE] = '\0';
}

void tlb_sha256_of(const void *bytes, size_t n, char hex[TLB_SHA256_HEX_BYTES])
{
    tlb_sha256 s;
    tlb_sha256_init(&s);
    tlb_sha256_update(&s, bytes, n);
    tlb_sha256_hex(&s, hex);
}
