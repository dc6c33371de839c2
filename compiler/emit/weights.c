/* weights.c: weights.bin; tlr_model.h gives its form.
 *
 * Constants and parameters stream from the mapped model through a fixed buffer, each checksummed
 * on the way; the header, which holds the checksums, is written over its place at the end.
 */
#include "emit_parts.h"

#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

typedef struct section {
    tlc_folder_file *file;
    XXH64_state_t hash;
    uint64_t bytes;
} section;

static bool put(void *self, const void *bytes, size_t n)
{
    section *s = self;
    XXH64_update(&s->hash, bytes, n);
    tlc_folder_put(s->file, bytes, n);
    s->bytes += n;
    return s->file->error == 0;
}

/* Zeros that are counted in the checksum but take no room in the file. */
static void put_hole(section *s, uint64_t n)
{
    static const unsigned char zeros[1 << 14];
    for (uint64_t left = n; left > 0;) {
        size_t k = left < sizeof zeros ? (size_t)left : sizeof zeros;
        XXH64_update(&s->hash, zeros, k);
        left -= k;
    }
    tlc_folder_hole(s->file, n);
    s->bytes += n;
}

/* Every global of one kind at its planned offset; `size`: of the whole section. */
static uint64_t write_section(const tlc_emission *e, tlc_folder_file *f, tlc_value_kind kind,
                              int64_t size, uint64_t seed)
{
    section s = { .file = f };
    XXH64_reset(&s.hash, seed);
    for (size_t i = 0; i < e->m->n_globals && !f->error; ++i) {
        const tlc_value *v = e->m->globals[i];
        if (v->kind != kind || !v->data)
            continue;
        put_hole(&s, (uint64_t)e->p->place[v->id].offset - s.bytes);
        tlc_emit_pack(v, put, &s);
    }
    if (!f->error)
        put_hole(&s, (uint64_t)size - s.bytes);
    return XXH64_digest(&s.hash);
}

/* Nothing is left to be given initial values. */
static bool all_params_given(const tlc_emission *e)
{
    for (size_t i = 0; i < e->m->n_globals; ++i)
        if (e->m->globals[i]->kind == TLC_PARAM && !e->m->globals[i]->data)
            return false;
    return true;
}

void tlc_emit_weights(tlc_folder_file *f, const void *emission)
{
    const tlc_emission *e = emission;
    tlr_weights_header h = { .abi = TLR_ABI,
                             .trained = all_params_given(e),
                             .consts_bytes = (uint64_t)e->p->consts_bytes,
                             .params_bytes = (uint64_t)e->p->params_bytes };
    memcpy(h.magic, TLR_WEIGHTS_MAGIC, sizeof h.magic);
    memcpy(h.code_sha256, e->code.bytes, sizeof h.code_sha256);
    tlc_folder_hole(f, TLR_WEIGHTS_CONSTS_AT);
    h.consts_xxh64 = write_section(e, f, TLC_CONST, e->p->consts_bytes, 0);
    tlc_folder_hole(f, tlr_weights_params_at(h.consts_bytes) - f->at);
    /* `trained` seeds the second checksum, so that the header's claim is covered too. */
    h.params_xxh64 = write_section(e, f, TLC_PARAM, e->p->params_bytes, h.trained);
    tlc_folder_patch(f, &h, sizeof h);
}
