/* learner_save.c: a learner's weights and state as one run of bytes.
 *
 *     WEIGHTS          header | params                         in the machine's order
 *     STATE            header | vars | the best epoch's params, where they are kept
 *     NETWORK          weights.bin, as tlr_model.h has it
 *
 * The header says of what network and how far; its checksum covers both.  All that can be wrong
 * with bytes to load is found before the first one is taken.
 */
#define XXH_INLINE_ALL
#include "tlr_learner.h"

#include <errno.h>
#include <string.h>
#include <xxhash.h>

#define MAGIC "tlct\r\n\x1a\n"
enum { VERSION = 2, CODE_BYTES = 64 };

typedef struct header {
    char magic[8];
    uint32_t version, what;
    char code_sha256[CODE_BYTES];
    uint64_t seed, payload_bytes;
    int64_t n_train, epoch, position, step, head_steps, correct, has_best, best_epoch, best_step;
    int64_t keeps_best;       /* 1: the best epoch's parameters follow */
    double loss_sum, best_accuracy, best_loss;
    uint64_t xxh64;           /* of the header with 0 here, then the payload */
} header;

/* The payload may lie in two pieces; the second is then `best`. */
static uint64_t checksum(const header *h, const void *payload, uint64_t bytes, const void *best)
{
    header clean = *h;
    XXH64_state_t s;
    clean.xxh64 = 0;
    XXH64_reset(&s, 0);
    XXH64_update(&s, &clean, sizeof clean);
    XXH64_update(&s, payload, bytes);
    XXH64_update(&s, best, h->payload_bytes - bytes);
    return XXH64_digest(&s);
}

/* Of the first piece. */
static uint64_t vars_bytes(const tlr_model *m, tlr_saved what)
{
    return (uint64_t)(what == TLR_SAVED_STATE ? m->vars_bytes : m->params_bytes);
}

static uint64_t payload_bytes(const tlr_model *m, tlr_saved what, bool keeps_best)
{
    return vars_bytes(m, what) + (keeps_best ? (uint64_t)m->params_bytes : 0);
}

static bool keeps_best(const tlr_learner *l, tlr_saved what)
{
    return what == TLR_SAVED_STATE && l->has_best;
}

static header make_header(const tlr_learner *l, tlr_saved what)
{
    const tlr_trainer *t = l->t;
    const tlr_progress *p = &t->progress;
    header h;
    memset(&h, 0, sizeof h);
    memcpy(h.magic, MAGIC, sizeof h.magic);
    h.version = VERSION;
    h.what = what;
    memcpy(h.code_sha256, t->model->code_sha256, CODE_BYTES);
    h.keeps_best = keeps_best(l, what);
    h.payload_bytes = payload_bytes(t->model, what, keeps_best(l, what));
    if (what == TLR_SAVED_STATE) {
        h.seed = t->config.seed;
        h.n_train = l->epoch_n;
        h.epoch = p->epoch;
        h.position = p->position;
        h.step = p->step;
        h.head_steps = p->head_steps;
        h.correct = p->correct;
        h.loss_sum = p->loss_sum;
        h.has_best = p->has_best;
        h.best_epoch = p->best_epoch;
        h.best_step = p->best_step;
        h.best_accuracy = p->best_accuracy;
        h.best_loss = p->best_loss;
    }
    h.xxh64 = checksum(&h, t->params, vars_bytes(t->model, what), l->best);
    return h;
}

/* --- saving ------------------------------------------------------------------------------- */

/* Bytes go to memory that has room for them, or to a file. */
typedef struct sink {
    char *to;
    tlb_out *file;            /* NULL: memory */
} sink;

static tlb_status put(sink *s, const void *bytes, size_t n)
{
    if (s->file)
        return tlb_out_write(s->file, bytes, n);
    memcpy(s->to, bytes, n);
    s->to += n;
    return TLB_OK;
}

static tlb_status put_zeros(sink *s, size_t n)
{
    static const char zeros[64];
    tlb_status st = TLB_OK;
    for (size_t k; st == TLB_OK && n > 0; n -= k) {
        k = n < sizeof zeros ? n : sizeof zeros;
        st = put(s, zeros, k);
    }
    return st;
}

static tlb_status put_network(const tlr_learner *l, sink *s)
{
    const tlr_trainer *t = l->t;
    const tlr_model *m = t->model;
    const char *consts = tlr_weights_consts(t->weights);
    const char *labels = tlr_weights_labels(m, t->weights);
    tlr_weights_header old, h;
    memcpy(&old, t->weights, sizeof old);
    tlr_weights_header_make(&h, m, consts, t->params, labels, old.labels_bytes, 1);
    size_t end = TLR_WEIGHTS_CONSTS_AT + (size_t)m->consts_bytes;
    tlb_status st = put(s, &h, sizeof h);
    if (st == TLB_OK)
        st = put_zeros(s, TLR_WEIGHTS_CONSTS_AT - sizeof h);
    if (st == TLB_OK)
        st = put(s, consts, (size_t)m->consts_bytes);
    if (st == TLB_OK)
        st = put_zeros(s, tlr_weights_params_at((uint64_t)m->consts_bytes) - end);
    if (st == TLB_OK)
        st = put(s, t->params, (size_t)m->params_bytes);
    if (st == TLB_OK && labels)
        st = put(s, labels, old.labels_bytes);
    return st;
}

static tlb_status put_all(const tlr_learner *l, tlr_saved what, sink *s)
{
    if (what == TLR_SAVED_NETWORK)
        return put_network(l, s);
    header h = make_header(l, what);
    tlb_status st = put(s, &h, sizeof h);
    uint64_t vars = vars_bytes(l->t->model, what);
    if (st == TLB_OK)
        st = put(s, l->t->params, vars);
    return st == TLB_OK && h.keeps_best ? put(s, l->best, h.payload_bytes - vars) : st;
}

static size_t saved_bytes(const tlr_learner *l, tlr_saved what)
{
    const tlr_model *m = l->t->model;
    tlr_weights_header h;
    if (what != TLR_SAVED_NETWORK)
        return sizeof(header) + payload_bytes(m, what, keeps_best(l, what));
    memcpy(&h, l->t->weights, sizeof h);
    return tlr_weights_params_at((uint64_t)m->consts_bytes) + (size_t)m->params_bytes +
           h.labels_bytes;
}

static tlr_status check_save(tlr_learner *l, tlr_saved what)
{
    if (!tlr_learner_usable(l, false))
        return TLR_E_USAGE;
    if ((unsigned)what > TLR_SAVED_NETWORK)
        return tlr_learner_fail(l, TLR_E_USAGE, "no such thing to save: %d", (int)what);
    if (!tlr_params_finite(l->t))
        return tlr_learner_fail(l, TLR_E_NUMERIC, "a parameter is NaN or infinite");
    return TLR_OK;
}

tlr_status tlr_learner_save(tlr_learner *l, tlr_saved what, void *buffer, size_t room,
                            size_t *bytes)
{
    tlr_status st = check_save(l, what);
    if (st != TLR_OK)
        return st;
    size_t n = saved_bytes(l, what);
    if (bytes)
        *bytes = n;
    if (!buffer)
        return bytes ? TLR_OK : tlr_learner_fail(l, TLR_E_USAGE, "neither buffer nor bytes");
    if (room < n)
        return tlr_learner_fail(l, TLR_E_LIMIT, "room for %zu bytes, %zu are needed", room, n);
    return (tlr_status)put_all(l, what, &(sink){ .to = buffer });
}

tlr_status tlr_learner_save_file(tlr_learner *l, tlr_saved what, const char *path)
{
    tlb_out o;
    tlr_status st = check_save(l, what);
    if (st != TLR_OK)
        return st;
    if (!path)
        return tlr_learner_fail(l, TLR_E_USAGE, "no path");
    tlb_status out = tlb_out_open(&o, path);
    if (out == TLB_OK) {
        out = put_all(l, what, &(sink){ .file = &o });
        if (out == TLB_OK)
            out = tlb_out_commit(&o);
        else
            tlb_out_abandon(&o);
    }
    if (out == TLB_OK)
        return TLR_OK;
    return tlr_learner_fail(l, (tlr_status)out, "cannot write %.200s: %s", path,
                            strerror(o.error ? o.error : ENOMEM));
}

/* --- loading ------------------------------------------------------------------------------ */

static tlr_progress progress_of(const header *h)
{
    return (tlr_progress){ .epoch = h->epoch, .position = h->position, .step = h->step,
                           .head_steps = h->head_steps,
                           .loss_sum = h->loss_sum, .correct = h->correct,
                           .has_best = h->has_best != 0, .best_epoch = h->best_epoch,
                           .best_step = h->best_step, .best_accuracy = h->best_accuracy,
                           .best_loss = h->best_loss };
}

/* Is it whole, and ours? */
static tlr_status check_bytes(tlr_learner *l, const void *bytes, size_t n, header *h)
{
    const tlr_model *m = l->t->model;
    if (n < sizeof *h || memcmp(bytes, MAGIC, sizeof h->magic) != 0)
        return tlr_learner_fail(l, TLR_E_MALFORMED, "nothing that tlr_learner_save made");
    memcpy(h, bytes, sizeof *h);
    if (h->version != VERSION)
        return tlr_learner_fail(l, TLR_E_UNSUPPORTED, "saved by another version of tlc");
    if (memcmp(h->code_sha256, m->code_sha256, CODE_BYTES) != 0)
        return tlr_learner_fail(l, TLR_E_UNSUPPORTED, "saved from another network");
    if (h->what > TLR_SAVED_STATE || h->keeps_best < 0 ||
        h->keeps_best > (h->what == TLR_SAVED_STATE) ||
        h->payload_bytes != payload_bytes(m, (tlr_saved)h->what, h->keeps_best) ||
        n - sizeof *h != h->payload_bytes)
        return tlr_learner_fail(l, TLR_E_MALFORMED, "cut, or longer than it was");
    const char *payload = (const char *)bytes + sizeof *h;
    if (checksum(h, payload, h->payload_bytes, payload) != h->xxh64)
        return tlr_learner_fail(l, TLR_E_MALFORMED, "damaged: the checksum differs");
    const tlr_progress p = progress_of(h);
    if ((uint64_t)h->has_best > 1 || !tlr_progress_fine(&p, h->n_train))
        return tlr_learner_fail(l, TLR_E_MALFORMED, "a number of its progress is out of range");
    return TLR_OK;
}

tlr_status tlr_learner_load(tlr_learner *l, const void *bytes, size_t n)
{
    header h;
    if (!tlr_learner_usable(l, true))
        return TLR_E_USAGE;
    if (!bytes)
        return tlr_learner_fail(l, TLR_E_USAGE, "no bytes");
    tlr_status st = check_bytes(l, bytes, n, &h);
    if (st != TLR_OK)
        return st;
    tlr_trainer *t = l->t;
    const char *payload = (const char *)bytes + sizeof h;
    uint64_t vars = vars_bytes(t->model, (tlr_saved)h.what);
    memset(t->params, 0, (size_t)t->model->vars_bytes);
    memcpy(t->params, payload, vars);
    l->has_best = h.keeps_best && l->best;
    if (l->has_best)
        memcpy(l->best, payload + vars, h.payload_bytes - vars);
    t->progress = progress_of(&h);
    l->epoch_n = h.n_train;
    if (h.what == TLR_SAVED_STATE)
        t->config.seed = h.seed;
    return TLR_OK;
}

tlr_status tlr_learner_load_file(tlr_learner *l, const char *path)
{
    tlb_map map;
    int error = 0;
    if (!tlr_learner_usable(l, true))
        return TLR_E_USAGE;
    if (!path)
        return tlr_learner_fail(l, TLR_E_USAGE, "no path");
    tlb_status st = tlb_map_file(path, &map, &error);
    if (st != TLB_OK)
        return tlr_learner_fail(l, (tlr_status)st, "cannot read %.200s: %s", path,
                                error ? strerror(error) : "not a regular file");
    tlr_status loaded = map.bytes ? tlr_learner_load(l, map.bytes, map.n_bytes)
                                  : tlr_learner_fail(l, TLR_E_MALFORMED, "the file is empty");
    tlb_unmap(&map);
    return loaded;
}

tlr_status tlr_learner_take_best(tlr_learner *l)
{
    if (!tlr_learner_usable(l, true))
        return TLR_E_USAGE;
    if (!l->has_best)
        return tlr_learner_fail(l, TLR_E_USAGE, l->best ? "no epoch is done"
                                                        : "config.keep_best was not set");
    tlr_trainer *t = l->t;
    memset(t->params, 0, (size_t)t->model->vars_bytes);
    memcpy(t->params, l->best, (size_t)t->model->params_bytes);
    t->progress = (tlr_progress){ 0 };
    l->epoch_n = 0;
    return TLR_OK;
}
