/* tlr_weights.c: weights.bin, checked before anything is read from it.
 *
 * Two checksums: one over the const section, one over params and labels with `trained` as its
 * seed, so that no byte that decides a result goes unseen.  Order of the checks: is it ours,
 * is it this model's, is it whole, is it undamaged.
 */
#define XXH_INLINE_ALL
#include "tlr_session.h"

#include <string.h>
#include <xxhash.h>

static uint64_t rest_hash(const void *params, size_t params_bytes, const void *labels,
                          size_t labels_bytes, uint32_t trained)
{
    XXH64_state_t s;
    XXH64_reset(&s, trained);
    if (params_bytes > 0)
        XXH64_update(&s, params, params_bytes);
    if (labels_bytes > 0)
        XXH64_update(&s, labels, labels_bytes);
    return XXH64_digest(&s);
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : 0;
}

static void code_bytes(const tlr_model *m, uint8_t out[8])
{
    for (int i = 0; i < 8; ++i)
        out[i] = (uint8_t)(hex_digit(m->code_sha256[2 * i]) << 4 |
                           hex_digit(m->code_sha256[2 * i + 1]));
}

void tlr_weights_header_make(tlr_weights_header *h, const tlr_model *m, const void *consts,
                             const void *params, const char *labels, size_t labels_bytes,
                             int trained)
{
    memset(h, 0, sizeof *h);
    memcpy(h->magic, TLR_WEIGHTS_MAGIC, sizeof h->magic);
    h->abi = TLR_ABI;
    h->trained = trained != 0;
    h->consts_bytes = (uint64_t)m->consts_bytes;
    h->params_bytes = (uint64_t)m->params_bytes;
    h->labels_bytes = labels_bytes;
    h->consts_xxh64 = XXH64(consts, (size_t)m->consts_bytes, 0);
    h->params_xxh64 = rest_hash(params, (size_t)m->params_bytes, labels, labels_bytes, h->trained);
    code_bytes(m, h->code_sha256);
}

const char *tlr_weights_consts(const void *bytes)
{
    return (const char *)bytes + TLR_WEIGHTS_CONSTS_AT;
}

const char *tlr_weights_params(const tlr_model *m, const void *bytes)
{
    return (const char *)bytes + tlr_weights_params_at((uint64_t)m->consts_bytes);
}

const char *tlr_weights_labels(const tlr_model *m, const void *bytes)
{
    tlr_weights_header h;
    memcpy(&h, bytes, sizeof h);
    return h.labels_bytes > 0 ? tlr_weights_params(m, bytes) + m->params_bytes : NULL;
}

int tlr_model_needs_training(const tlr_model *m)
{
    for (int i = 0; i < m->n_tensors; ++i)
        if (m->tensors[i].kind == TLR_PARAM && m->tensors[i].init != TLR_INIT_NONE)
            return 1;
    return 0;
}

int tlr_weights_trained(const tlr_model *m, const void *bytes)
{
    tlr_weights_header h;
    memcpy(&h, bytes, sizeof h);
    return h.trained || !tlr_model_needs_training(m);
}

/* One name for each class, none empty-handed: as many NULs as classes, the last byte one. */
static int labels_whole(const tlr_model *m, const char *labels, uint64_t n)
{
    int64_t ends = 0;
    if (n == 0)
        return 1;
    for (uint64_t i = 0; i < n; ++i)
        ends += labels[i] == 0;
    return ends == m->n_classes && labels[n - 1] == 0;
}

/* Bytes the sections take; 0: the header's sizes are not the model's, or overflow. */
static uint64_t sections_end(const tlr_model *m, const tlr_weights_header *h)
{
    if (h->consts_bytes != (uint64_t)m->consts_bytes ||
        h->params_bytes != (uint64_t)m->params_bytes || h->labels_bytes > UINT32_MAX)
        return 0;
    uint64_t rest = h->params_bytes + h->labels_bytes;
    return rest == 0 ? TLR_WEIGHTS_CONSTS_AT + h->consts_bytes
                     : tlr_weights_params_at(h->consts_bytes) + rest;
}

static int all_zero(const char *from, const char *to)
{
    for (; from < to; ++from)
        if (*from != 0)
            return 0;
    return 1;
}

/* The header's 64 bytes aside, all that no checksum covers is zero. */
static int padding_clean(const tlr_model *m, const char *bytes, size_t n)
{
    const char *consts_end = tlr_weights_consts(bytes) + m->consts_bytes;
    const char *params = tlr_weights_params(m, bytes);
    return all_zero(bytes + sizeof(tlr_weights_header), tlr_weights_consts(bytes)) &&
           all_zero(consts_end, params < bytes + n ? params : bytes + n);
}

static int sums_right(const tlr_model *m, const tlr_weights_header *h, const void *bytes)
{
    const char *params = tlr_weights_params(m, bytes);
    return XXH64(tlr_weights_consts(bytes), (size_t)h->consts_bytes, 0) == h->consts_xxh64 &&
           rest_hash(params, (size_t)h->params_bytes, params + h->params_bytes,
                     (size_t)h->labels_bytes, h->trained) == h->params_xxh64;
}

tlr_status tlr_weights_check(const tlr_model *m, const void *bytes, size_t n, int need_trained)
{
    tlr_weights_header h;
    uint8_t code[8];
    if (n < TLR_WEIGHTS_CONSTS_AT || memcmp(bytes, TLR_WEIGHTS_MAGIC, sizeof h.magic) != 0)
        return TLR_E_MALFORMED;
    memcpy(&h, bytes, sizeof h);
    code_bytes(m, code);
    if (h.abi != TLR_ABI || memcmp(h.code_sha256, code, sizeof code) != 0)
        return TLR_E_UNSUPPORTED;
    uint64_t end = sections_end(m, &h);
    int padded = end == TLR_WEIGHTS_CONSTS_AT + h.consts_bytes &&
                 n == tlr_weights_params_at(h.consts_bytes);
    if (h.trained > 1 || end == 0 || (n != end && !padded) ||
        !padding_clean(m, bytes, n) || !sums_right(m, &h, bytes) ||
        !labels_whole(m, tlr_weights_params(m, bytes) + h.params_bytes, h.labels_bytes))
        return TLR_E_MALFORMED;
    return need_trained && !tlr_weights_trained(m, bytes) ? TLR_E_UNSUPPORTED : TLR_OK;
}
