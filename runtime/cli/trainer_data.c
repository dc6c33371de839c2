/* trainer_data.c: a list of labelled samples, split, in the trainer's order.
 *
 * The source (pictures or arrays) gives a list in its own stable order.  Training samples come
 * first, then validation ones, each in that order; the hash over contents, labels and split
 * says on --resume whether these are the same samples.
 */
#define XXH_INLINE_ALL
#include "trainer_cli.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

tlb_status trainer_list_make(const tlb_args *a, trainer_list *l, size_t n, bool with_paths)
{
    *l = (trainer_list){ .n = n };
    l->paths = with_paths ? calloc(n + 1, sizeof *l->paths) : NULL;
    l->labels = calloc(n + 1, sizeof *l->labels);
    l->keys = calloc(n + 1, sizeof *l->keys);
    l->is_valid = calloc(n + 1, sizeof *l->is_valid);
    l->origin = calloc(n + 1, sizeof *l->origin);
    if ((l->paths || !with_paths) && l->labels && l->keys && l->is_valid && l->origin)
        return TLB_OK;
    trainer_list_free(l);
    return tlb_error(a, TLB_E_LIMIT, "E_MEMORY", NULL, NULL, NULL, "out of memory");
}

void trainer_list_free(trainer_list *l)
{
    for (size_t i = 0; l->paths && i < l->n; ++i)
        free(l->paths[i]);
    free(l->paths);
    free(l->labels);
    free(l->keys);
    free(l->is_valid);
    free(l->origin);
    *l = (trainer_list){ 0 };
}

static void hash_list(trainer_data *d)
{
    XXH3_state_t s;
    const tlr_samples *p = &d->samples;
    size_t n = (size_t)(p->n_train + p->n_valid);
    XXH3_128bits_reset(&s);
    XXH3_128bits_update(&s, &p->n_train, sizeof p->n_train);
    XXH3_128bits_update(&s, d->keys, n * sizeof *d->keys);
    XXH3_128bits_update(&s, d->labels, n * sizeof *d->labels);
    XXH128_hash_t h = XXH3_128bits_digest(&s);
    snprintf(d->hash, sizeof d->hash, "%016llx%016llx", (unsigned long long)h.high64,
             (unsigned long long)h.low64);
}

/* Move the list's entries with is_valid == valid behind the first `at` of the sample order. */
static int64_t move(trainer_data *d, trainer_list *l, int64_t *origin, bool valid, int64_t at)
{
    for (size_t i = 0; i < l->n; ++i) {
        if (l->is_valid[i] != valid)
            continue;
        d->labels[at] = l->labels[i];
        d->keys[at] = l->keys[i];
        origin[at] = l->origin[i];
        if (l->paths) {
            d->paths[at] = l->paths[i];
            l->paths[i] = NULL;
        }
        ++at;
    }
    return at;
}

/* The list in the trainer's order. */
static tlb_status settle(trainer_data *d, trainer_list *l, int64_t *origin)
{
    size_t n = l->n + 1;
    d->labels = calloc(n, sizeof *d->labels);
    d->keys = calloc(n, sizeof *d->keys);
    d->status = calloc(n, sizeof *d->status);
    d->notes = calloc(n, sizeof *d->notes);
    d->paths = l->paths ? calloc(n, sizeof *d->paths) : NULL;
    if (!d->labels || !d->keys || !d->status || !d->notes || (l->paths && !d->paths))
        return tlb_error(d->args, TLB_E_LIMIT, "E_MEMORY", NULL, NULL, NULL, "out of memory");
    d->samples.n_train = move(d, l, origin, false, 0);
    d->samples.n_valid =
        move(d, l, origin, true, d->samples.n_train) - d->samples.n_train;
    d->samples.self = d;
    d->samples.labels = d->labels;
    d->samples.keys = d->keys;
    hash_list(d);
    return TLB_OK;
}

static tlb_status split(trainer_data *d, trainer_list *l, int use)
{
    if (use == DATA_EVAL) {
        memset(l->is_valid, true, l->n * sizeof *l->is_valid);
        return TLB_OK;
    }
    if (d->has_valid) /* the source has marked it */
        return TLB_OK;
    uint64_t seed = (uint64_t)tlb_int(d->args, TLB_OPT_SEED);
    double share = tlb_num(d->args, TLB_OPT_VALID);
    if (tlr_split(seed, (int64_t)l->n, share, l->is_valid) == TLB_OK)
        return TLB_OK;
    return tlb_error(d->args, TLB_E_LIMIT, "E_MEMORY", NULL, NULL, NULL, "out of memory");
}

static tlb_status check_not_empty(const trainer_data *d, int use)
{
    if (use != DATA_TRAIN || d->samples.n_train > 0)
        return TLB_OK;
    return tlb_error(d->args, TLB_E_USAGE, "E_USAGE", NULL, NULL, "a smaller --valid",
                     "nothing is left to train on");
}

/* The sources, by what is given. */
static tlb_status list_samples(trainer_data *d, const char *photos, int use, int readers,
                               char *const *classes, int n_classes, trainer_list *l)
{
    const char *spec = tlb_text(d->args, TLB_OPT_DATA);
    if (photos && spec)
        return tlb_error(d->args, TLB_E_USAGE, "E_USAGE", NULL, NULL, NULL,
                         "PHOTOS and --data are both given");
    if (spec)
        return trainer_arrays_list(d, spec, l);
    if (photos)
        return trainer_photos_list(d, photos, use, readers, classes, n_classes, l);
    return tlb_error(d->args, TLB_E_USAGE, "E_USAGE", NULL, NULL,
                     "give a folder of pictures, or --data X.npy,Y.npy", "no input");
}

tlb_status trainer_data_open(trainer_data *d, const tlb_args *a, const char *photos, int use,
                             int readers, char *const *classes, int n_classes)
{
    trainer_list l = { 0 };
    *d = (trainer_data){ .args = a };
    tlb_status status = list_samples(d, photos, use, readers, classes, n_classes, &l);
    if (status == TLB_OK)
        status = split(d, &l, use);
    int64_t *origin = status == TLB_OK ? calloc(l.n + 1, sizeof *origin) : NULL;
    if (status == TLB_OK && !origin)
        status = tlb_error(a, TLB_E_LIMIT, "E_MEMORY", NULL, NULL, NULL, "out of memory");
    if (status == TLB_OK)
        status = settle(d, &l, origin);
    if (status == TLB_OK)
        status = check_not_empty(d, use);
    if (status == TLB_OK && d->paths)
        status = trainer_photos_open(d, readers);
    if (status == TLB_OK && d->arrays)
        trainer_arrays_order(d, origin);
    else
        d->origin = origin;
    trainer_list_free(&l);
    return status;
}

void trainer_data_close(trainer_data *d)
{
    int64_t n = d->samples.n_train + d->samples.n_valid;
    for (int64_t i = 0; d->paths && i < n; ++i)
        free(d->paths[i]);
    for (int i = 0; i < d->n_classes; ++i)
        free(d->classes[i]);
    for (int i = 0; i < d->n_loaders; ++i)
        tlr_loader_free(&d->loaders[i]);
    trainer_arrays_close(d);
    free(d->paths);
    free(d->origin);
    free(d->classes);
    free(d->loaders);
    free(d->labels);
    free(d->keys);
    free(d->notes);
    free(d->status);
    *d = (trainer_data){ 0 };
}

/* Each picture's warning once, in the list's order. */
void trainer_data_warnings(trainer_data *d)
{
    if (strcmp(tlb_text(d->args, TLB_OPT_BAD_IMAGES), "skip") == 0)
        return; /* shown when all were decoded at the start */
    int64_t n = d->samples.n_train + d->samples.n_valid;
    for (int64_t i = 0; d->paths && i < n; ++i)
        if (d->status[i] == TLB_OK && d->notes[i].warning) {
            tlr_cli_picture_note(d->args, d->paths[i], TLB_OK, &d->notes[i]);
            d->notes[i].warning = 0;
        }
}

tlb_status trainer_data_failed(const trainer_data *d, int64_t sample, tlb_status status)
{
    if (d->paths)
        return tlr_cli_picture_note(d->args, d->paths[sample], status, &d->notes[sample]);
    return tlb_error(d->args, status, tlr_cli_id(status), tlb_text(d->args, TLB_OPT_DATA), NULL,
                     NULL, "sample %lld cannot be read", (long long)sample);
}
