/* fuzz_learner.c: any bytes to tlr_learner_load: a status and a reason, and what is refused
 * changes nothing; what is taken is saved as it was, and training goes on from it.
 *
 * Input: a byte of mode, then the bytes.  Mode 1 puts the right checksum in, so that what lies
 * behind it is reached too.  Needs tests/unit/tiny_model.h.
 */
#define XXH_INLINE_ALL
#include "tiny_model.h"
#include "tlr_train.h"
#include "tlr_session.h"

#include <stdint.h>
#include <stdlib.h>
#include <xxhash.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

enum { PICTURES = 7, ROOM = 1024, REPORTS = 6 };

static _Alignas(64) char weights[TINY_WEIGHTS_BYTES];
static tlr_model model;
static char fresh[ROOM]; /* the state of a learner that has trained two epochs */
static size_t n_fresh;
static int reports;

static void hold(bool true_of_all)
{
    if (!true_of_all)
        abort();
}

static int stop_soon(void *self, const tlr_learning *now)
{
    (void)self, (void)now;
    return ++reports % REPORTS == 0;
}

static void add_pictures(tlr_learner *l)
{
    uint8_t rgb[TINY_IN];
    for (int i = 0; i < PICTURES; ++i) {
        for (int k = 0; k < TINY_IN; ++k)
            rgb[k] = (uint8_t)(i * 31 + k * 17);
        const tlr_picture picture = { rgb, 2, 1, TINY_IN, TLR_RGB };
        hold(tlr_learner_add(l, &picture, i % TINY_K, i < 5 ? TLR_TRAINING : TLR_VALIDATION) ==
             TLR_OK);
    }
}

static tlr_learner *make(void)
{
    const tlr_learner_config c = { .batch = 2, .progress = stop_soon, .max_pictures = PICTURES };
    tlr_weights_header h;
    tlr_learner *l;
    model = tiny_model;
    model.preprocess = tiny_pictures;
    tiny_weights(weights);
    tlr_weights_header_make(&h, &model, weights + TLR_WEIGHTS_CONSTS_AT,
                            tlr_weights_params(&model, weights), NULL, 0, 0);
    memcpy(weights, &h, sizeof h);
    hold(tlr_learner_open_memory(&model, weights, sizeof weights, &c, &l) == TLR_OK);
    add_pictures(l);
    while (tlr_learner_train(l, 2) == TLR_E_STOPPED)
        ;
    hold(tlr_learner_save(l, TLR_SAVED_STATE, fresh, sizeof fresh, &n_fresh) == TLR_OK);
    return l;
}

/* The checksum is the header's last number, over all with 0 in its place. */
static void seal(char *bytes, size_t n)
{
    size_t header_bytes = n_fresh - TINY_VARS;
    uint64_t sum = 0;
    if (n < header_bytes)
        return;
    memcpy(bytes + header_bytes - sizeof sum, &sum, sizeof sum);
    sum = XXH64(bytes, n, 0);
    memcpy(bytes + header_bytes - sizeof sum, &sum, sizeof sum);
}

static void use(tlr_learner *l, const char *bytes, size_t n)
{
    char saved[ROOM];
    size_t n_saved;
    tlr_result score;
    if (tlr_learner_save(l, TLR_SAVED_STATE, saved, sizeof saved, &n_saved) == TLR_OK &&
        n == n_saved)
        hold(memcmp(saved, bytes, n) == 0);
    hold(tlr_learner_evaluate(l, TLR_VALIDATION, &score) == TLR_OK);
    tlr_learner_train(l, INT64_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    static tlr_learner *l;
    char saved[ROOM];
    size_t n_saved;
    if (!l)
        l = make();
    if (n < 1)
        return 0;
    char *copy = malloc(n - 1 ? n - 1 : 1); /* no byte more, so that reading past it is seen */
    hold(copy != NULL);
    memcpy(copy, bytes + 1, n - 1);
    if (bytes[0] == 1)
        seal(copy, n - 1);
    hold(tlr_learner_load(l, fresh, n_fresh) == TLR_OK);
    if (tlr_learner_load(l, copy, n - 1) == TLR_OK) {
        use(l, copy, n - 1);
    } else {
        hold(tlr_learner_message(l)[0] != 0);
        hold(tlr_learner_save(l, TLR_SAVED_STATE, saved, sizeof saved, &n_saved) == TLR_OK);
        hold(n_saved == n_fresh && memcmp(saved, fresh, n_fresh) == 0);
    }
    free(copy);
    return 0;
}
