/* trainer_photos.c: folders of pictures as samples.
 *
 * Before anything is trained every file is read once, by several threads: its content's hash
 * is the key of the feature cache, its header (--bad-images=skip: the whole picture) decides
 * whether it can be a sample.  Errors are reported in the list's order, whichever thread met
 * them.
 */
#define XXH_INLINE_ALL
#define _GNU_SOURCE
#include "trainer_cli.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>

/* --- reading every file once -------------------------------------------------------------- */

typedef struct check {
    const tlb_args *args;
    bool decode;              /* --bad-images=skip */
    bool exif;
    char **paths;
    tlr_content_key *keys;
    tlb_status *status;
    tlr_image_note *notes;
    size_t n;
    atomic_size_t next;
} check;

static tlb_status check_bytes(check *c, size_t i, const uint8_t *bytes, size_t n)
{
    int width, height;
    tlr_rgb rgb;
    XXH128_hash_t h = XXH3_128bits_withSeed(bytes, n, c->exif);
    c->keys[i] = (tlr_content_key){ h.low64, h.high64 };
    const tlb_limits *limits = &c->args->limits;
    if (!c->decode)
        return tlr_image_probe(bytes, n, limits, &width, &height, &c->notes[i]);
    tlb_status status =
        tlr_image_decode(bytes, n, limits, c->exif, &rgb, &c->notes[i]);
    if (status == TLB_OK)
        tlr_rgb_free(&rgb);
    return status;
}

static void check_one(check *c, size_t i)
{
    uint8_t *bytes;
    size_t n;
    c->status[i] = tlr_image_read(c->paths[i], &c->args->limits, &bytes, &n, &c->notes[i]);
    if (c->status[i] != TLB_OK)
        return;
    c->status[i] = check_bytes(c, i, bytes, n);
    free(bytes);
}

static void *check_loop(void *arg)
{
    check *c = arg;
    for (size_t i; (i = atomic_fetch_add(&c->next, 1)) < c->n;)
        check_one(c, i);
    return NULL;
}

/* The caller is one of the threads; fewer than asked for do the same work. */
static void check_all(check *c, int threads)
{
    pthread_t *more = calloc((size_t)threads, sizeof *more);
    int started = 0;
    while (more && started < threads - 1 &&
           pthread_create(&more[started], NULL, check_loop, c) == 0)
        ++started;
    check_loop(c);
    for (int i = 0; i < started; ++i)
        pthread_join(more[i], NULL);
    free(more);
}

/* --- one folder --------------------------------------------------------------------------- */

/* A scanned folder to the end of the list, before it is checked. */
static void append(trainer_list *l, size_t at, tlr_folder *f, bool valid)
{
    for (size_t i = 0; i < f->n_photos; ++i, ++at) {
        l->paths[at] = f->photos[i].path;
        f->photos[i].path = NULL;
        l->labels[at] = f->photos[i].label;
        l->is_valid[at] = valid;
        l->origin[at] = (int64_t)at;
    }
}

static void warn_folder(const trainer_data *d, const char *path, const tlr_folder *f)
{
    if (f->n_other > 0)
        tlb_warning(d->args, "W_FOLDER", path, NULL, "%zu file%s no picture by the name's ending",
                    f->n_other, f->n_other == 1 ? " is" : "s are");
    if (f->n_loops > 0)
        tlb_warning(d->args, "W_LOOP", path, NULL, "%d link%s up again: loop, not entered",
                    f->n_loops, f->n_loops == 1 ? " leads" : "s lead");
}

static tlb_status scan(const trainer_data *d, const char *path, char *const *classes, int n,
                       tlr_folder *out)
{
    char *where = NULL;
    const char *what = NULL;
    tlb_status status =
        tlr_folder_scan(path, classes, n, &d->args->limits, out, &where, &what);
    if (status != TLB_OK)
        tlb_error(d->args, status, status == TLB_E_MALFORMED ? "E_CLASS" : tlr_cli_id(status),
                  where ? where : path, NULL, NULL, "%s", what ? what : "cannot read");
    else
        warn_folder(d, path, out);
    free(where);
    return status;
}

/* PHOTOS/NAME if it is a folder, else NULL; free(). */
static char *sub_folder(const char *photos, const char *name)
{
    struct stat st;
    char *path = NULL;
    if (asprintf(&path, "%s/%s", photos, name) < 0)
        return NULL;
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        return path;
    free(path);
    return NULL;
}

/* --- what is kept ------------------------------------------------------------------------- */

static tlb_status stop_at_first(const trainer_data *d, const check *c)
{
    for (size_t i = 0; i < c->n; ++i)
        if (c->status[i] != TLB_OK)
            return tlr_cli_picture_note(d->args, c->paths[i], c->status[i], &c->notes[i]);
    return TLB_OK;
}

/* Bad pictures leave the list, each with a warning; so has what was decoded all the same. */
static void skip_bad(trainer_data *d, trainer_list *l, const check *c)
{
    size_t kept = 0;
    for (size_t i = 0; i < l->n; ++i) {
        if (c->status[i] != TLB_OK) {
            const char *what = c->notes[i].what;
            tlb_warning(d->args, "W_SKIPPED", l->paths[i], NULL, "skipped: %s",
                        what ? what : "cannot decode");
            free(l->paths[i]);
            l->paths[i] = NULL;
            ++d->skipped;
            continue;
        }
        (void)tlr_cli_picture_note(d->args, l->paths[i], TLB_OK, &c->notes[i]);
        char *path = l->paths[i];
        l->paths[i] = NULL;
        l->paths[kept] = path;
        l->labels[kept] = l->labels[i];
        l->keys[kept] = l->keys[i];
        l->is_valid[kept] = l->is_valid[i];
        l->origin[kept] = (int64_t)kept;
        ++kept;
    }
    l->n = kept;
}

/* After skipping, has each class a picture left? */
static tlb_status check_classes(const trainer_data *d, const char *photos, const trainer_list *l)
{
    for (int k = 0; k < d->n_classes; ++k) {
        size_t n = 0;
        for (size_t i = 0; i < l->n; ++i)
            n += l->labels[i] == k;
        if (n == 0)
            return tlb_error(d->args, TLB_E_MALFORMED, "E_CLASS", photos, NULL, NULL,
                             "class \"%s\" holds no picture", trainer_safe(d->classes[k]));
    }
    return TLB_OK;
}

static void warn_exif(const trainer_data *d, const char *photos, const check *c)
{
    size_t turned = 0;
    for (size_t i = 0; i < c->n; ++i)
        turned += c->notes[i].exif_orientation > 1;
    if (turned > 0 && !c->exif)
        tlb_warning(d->args, "W_EXIF", photos, NULL,
                    "%zu picture%s an orientation that is not applied; --exif applies it", turned,
                    turned == 1 ? " has" : "s have");
}

static tlb_status check_list(trainer_data *d, const char *photos, trainer_list *l, int threads)
{
    const char *bad = tlb_text(d->args, TLB_OPT_BAD_IMAGES);
    check c = { .args = d->args, .paths = l->paths, .keys = l->keys, .n = l->n };
    c.decode = strcmp(bad, "skip") == 0;
    c.exif = tlb_flag(d->args, TLB_OPT_EXIF);
    if (!c.decode && strcmp(bad, "stop") != 0)
        return tlb_error(d->args, TLB_E_USAGE, "E_USAGE", NULL, NULL, "stop, skip",
                         "--bad-images \"%s\" is unknown", trainer_safe(bad));
    c.status = calloc(l->n + 1, sizeof *c.status);
    c.notes = calloc(l->n + 1, sizeof *c.notes);
    tlb_status status = TLB_OK;
    if (!c.status || !c.notes) {
        status = tlb_error(d->args, TLB_E_LIMIT, "E_MEMORY", NULL, NULL, NULL, "out of memory");
    } else {
        check_all(&c, threads);
        warn_exif(d, photos, &c);
        if (c.decode)
            skip_bad(d, l, &c);
        else
            status = stop_at_first(d, &c);
        if (status == TLB_OK && d->skipped > 0)
            status = check_classes(d, photos, l);
    }
    free(c.status);
    free(c.notes);
    return status;
}

/* --- one list ----------------------------------------------------------------------------- */

static tlb_status check_head(const trainer_data *d, const char *photos, int n_classes)
{
    if (n_classes == tlr_the_model->n_classes)
        return TLB_OK;
    char hint[64];
    snprintf(hint, sizeof hint, "compile with --replace-head %d", n_classes);
    return tlb_error(d->args, TLB_E_UNSUPPORTED, "E_CLASS", photos, NULL, hint,
                     "%d classes, the network has %d", n_classes, tlr_the_model->n_classes);
}

/* Scan one or two folders; the second is held against the first's classes. */
static tlb_status scan_all(trainer_data *d, const char *const *paths, int n_paths,
                           char *const *classes, int n_classes, tlr_folder *folders)
{
    for (int i = 0; i < n_paths; ++i) {
        char *const *against = i > 0 ? folders[0].classes : classes;
        int n = i > 0 ? folders[0].n_classes : n_classes;
        tlb_status status = scan(d, paths[i], against, n, &folders[i]);
        if (status == TLB_OK && i == 0)
            status = check_head(d, paths[0], folders[0].n_classes);
        if (status != TLB_OK)
            return status;
    }
    return TLB_OK;
}

static tlb_status list_folders(trainer_data *d, const char *photos, const char *const *paths,
                               int n_paths, int threads, char *const *classes, int n_classes,
                               trainer_list *out)
{
    tlr_folder folders[2] = { { 0 } };
    tlb_status status = scan_all(d, paths, n_paths, classes, n_classes, folders);
    size_t n = folders[0].n_photos + folders[1].n_photos;
    if (status == TLB_OK)
        status = trainer_list_make(d->args, out, n, true);
    if (status == TLB_OK) {
        append(out, 0, &folders[0], false);
        append(out, folders[0].n_photos, &folders[1], true);
        d->classes = folders[0].classes;
        d->n_classes = folders[0].n_classes;
        folders[0].classes = NULL;
        folders[0].n_classes = 0;
        status = check_list(d, photos, out, threads);
    }
    tlr_folder_free(&folders[0]);
    tlr_folder_free(&folders[1]);
    return status;
}

static bool only_entry_is(const char *photos, const char *name)
{
    tlb_limits limits;
    tlr_folder f = { 0 };
    char *where = NULL, *const given[] = { (char *)(uintptr_t)name };
    const char *what;
    tlb_limits_init(&limits);
    bool only = tlr_folder_scan(photos, given, 1, &limits, &f, &where, &what) == TLB_OK;
    free(where);
    tlr_folder_free(&f);
    return only;
}

tlb_status trainer_photos_list(trainer_data *d, const char *photos, int use, int threads,
                               char *const *classes, int n_classes, trainer_list *out)
{
    if (tlr_the_model->preprocess.kind != TLR_PREPROCESS_PICTURE)
        return tlb_error(d->args, TLB_E_USAGE, "E_USAGE", photos, NULL, "--data X.npy,Y.npy",
                         "the network's input is no picture");
    char *train = sub_folder(photos, "train"), *valid = sub_folder(photos, "valid");
    const char *paths[2] = { photos, valid };
    int n = 1;
    d->train_name = photos;
    if (train && valid) {
        bool eval = use == DATA_EVAL; /* of a whole set, what was not trained on */
        paths[0] = eval ? valid : train;
        n = eval ? 1 : 2;
        d->has_valid = true;
    } else if (train && only_entry_is(photos, "train")) {
        paths[0] = train;
    }
    tlb_status status = list_folders(d, photos, paths, n, threads, classes, n_classes, out);
    free(train);
    free(valid);
    return status;
}

/* --- reading a sample --------------------------------------------------------------------- */

tlb_status trainer_photos_open(trainer_data *d, int readers)
{
    const tlr_model *m = tlr_the_model;
    d->loaders = calloc((size_t)readers, sizeof *d->loaders);
    if (!d->loaders)
        return tlb_error(d->args, TLB_E_LIMIT, "E_MEMORY", NULL, NULL, NULL, "out of memory");
    d->n_loaders = readers;
    for (int i = 0; i < readers; ++i)
        d->loaders[i] = (tlr_loader){ .preprocess = &m->preprocess,
                                      .type = m->features.run ? m->features.in[0].type
                                                              : m->head.in[0].type,
                                      .limits = &d->args->limits,
                                      .exif = tlb_flag(d->args, TLB_OPT_EXIF) };
    d->samples.read = trainer_photos_read;
    return TLB_OK;
}

static bool is_changed(const trainer_data *d, int64_t sample)
{
    return sample < d->samples.n_train && trainer_augment_any(&d->augment);
}

static tlr_content_key view_key(void *self, int64_t sample, int64_t view)
{
    const trainer_data *d = self;
    const trainer_augment *a = &d->augment;
    const uint64_t parts[] = { d->keys[sample].low, d->keys[sample].high, d->seed,
                               (uint64_t)d->origin[sample], (uint64_t)view,
                               (uint64_t)(a->flip + 2 * a->crop + 4 * a->color) };
    XXH128_hash_t h = XXH3_128bits(parts, sizeof parts);
    return (tlr_content_key){ h.low64, h.high64 };
}

tlb_status trainer_photos_augment(trainer_data *d)
{
    const char *list = tlb_text(d->args, TLB_OPT_AUGMENT);
    if (!list)
        return TLB_OK;
    if (!trainer_augment_parse(list, &d->augment))
        return tlb_error(d->args, TLB_E_USAGE, "E_USAGE", NULL, NULL, "flip,crop,color",
                         "--augment \"%s\" is no list of changes", trainer_safe(list));
    d->seed = (uint64_t)tlb_int(d->args, TLB_OPT_SEED);
    d->samples.views = tlb_int(d->args, TLB_OPT_VIEWS);
    d->samples.view_key = view_key;
    return TLB_OK;
}

tlb_status trainer_photos_read(void *self, int64_t sample, int64_t view, int reader, void *input)
{
    trainer_data *d = self;
    tlr_image_note note;
    tlr_loader *l = &d->loaders[reader];
    const char *path = d->paths[sample];
    tlb_status status = is_changed(d, sample)
                            ? trainer_load_view(l, path, &d->augment, d->seed, view,
                                                d->origin[sample], input, &note)
                            : tlr_load_input(l, path, input, &note);
    /* A sample is read by one thread at a time; a warning already shown is not shown again. */
    if (status != TLB_OK || !d->notes[sample].what)
        d->notes[sample] = note;
    d->status[sample] = status;
    return status;
}
