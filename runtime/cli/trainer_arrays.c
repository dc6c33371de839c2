/* trainer_arrays.c: arrays in NumPy's format as samples (--data X.npy,Y.npy).
 *
 * X: uint8 [n,h,w,3], pictures that go through the network's preprocessing (only normalised if
 * they have the crop's size already); or float32 or float64 in the network's own shape.
 * Y: integers [n].
 */
#define XXH_INLINE_ALL
#include "trainer_cli.h"

#include "tlb_npy.h"
#include "tlr_pixels.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

typedef struct trainer_arrays {
    tlb_map x_map, y_map;
    tlb_npy x, y;
    char *x_path, *y_path;
    int64_t *origin;          /* row of X, by sample */
    void **scratch;           /* by reader; NULL where none is needed */
    int n_scratch;
} trainer_arrays;

static const tlr_io *input_io(void)
{
    const tlr_model *m = tlr_the_model;
    return m->features.run ? &m->features.in[0] : &m->head.in[0];
}

static bool is_pixels(const trainer_arrays *s)
{
    return s->x.type == TLB_NPY_U1;
}

static int64_t row_elems(const trainer_arrays *s)
{
    return s->x.dim[0] > 0 ? s->x.elems / s->x.dim[0] : 0;
}

/* --- opening ------------------------------------------------------------------------------ */

static tlb_status open_array(const tlb_args *a, const char *path, tlb_map *map, tlb_npy *out)
{
    const char *what = "";
    int error = 0;
    tlb_status status = tlb_map_file(path, map, &error);
    if (status != TLB_OK)
        return tlb_error(a, status, "E_INPUT", path, NULL, NULL, "cannot read: %s",
                         error ? strerror(error) : "not a regular file");
    status = tlb_npy_parse(map->bytes, map->n_bytes, out, &what);
    if (status != TLB_OK)
        return tlb_error(a, status, "E_NPY", path, NULL, NULL, "%s", what);
    return TLB_OK;
}

static tlb_status wrong_shape(const trainer_arrays *s, const tlb_args *a, const char *wanted)
{
    return tlb_error(a, TLB_E_MALFORMED, "E_SHAPE", s->x_path, NULL, NULL,
                     "shape does not fit the network; %s", wanted);
}

static tlb_status check_x(const trainer_arrays *s, const tlb_args *a)
{
    const tlr_io *in = input_io();
    const tlb_npy *x = &s->x;
    if (is_pixels(s)) {
        if (tlr_the_model->preprocess.kind != TLR_PREPROCESS_PICTURE)
            return tlb_error(a, TLB_E_USAGE, "E_USAGE", s->x_path, NULL, "float32 arrays",
                             "the network's input is no picture");
        if (x->rank != 4 || x->dim[3] != 3 || x->dim[1] < 1 || x->dim[2] < 1)
            return wrong_shape(s, a, "uint8 is n x height x width x 3");
        for (int i = 1; i < 3; ++i)
            if (x->dim[i] > a->limits.max[TLB_LIMIT_SIDE])
                return tlb_error(a, TLB_E_LIMIT, "E_LIMIT", s->x_path, NULL, "--limit side",
                                 "side of %lld", (long long)x->dim[i]);
        return TLB_OK;
    }
    if (x->type != TLB_NPY_F4 && x->type != TLB_NPY_F8)
        return tlb_error(a, TLB_E_UNSUPPORTED, "E_TYPE", s->x_path, NULL, NULL,
                         "element type is neither uint8 nor float");
    bool fits = x->rank == in->rank;
    for (int i = 1; fits && i < in->rank; ++i)
        fits = x->dim[i] == in->dim[i];
    return fits ? TLB_OK : wrong_shape(s, a, "float is n x the network's input");
}

static int64_t label_at(const tlb_npy *y, int64_t i)
{
    switch (y->type) {
    case TLB_NPY_U1: return ((const uint8_t *)y->data)[i];
    case TLB_NPY_I1: return ((const int8_t *)y->data)[i];
    case TLB_NPY_I4: return ((const int32_t *)y->data)[i];
    default: return ((const int64_t *)y->data)[i];
    }
}

static tlb_status check_y(const trainer_arrays *s, const tlb_args *a)
{
    const tlb_npy *y = &s->y;
    int64_t k = tlr_the_model->n_classes;
    if (y->type == TLB_NPY_F4 || y->type == TLB_NPY_F8)
        return tlb_error(a, TLB_E_UNSUPPORTED, "E_TYPE", s->y_path, NULL, NULL,
                         "element type is no integer");
    if (y->rank != 1)
        return tlb_error(a, TLB_E_MALFORMED, "E_SHAPE", s->y_path, NULL, NULL,
                         "rank %d, labels have 1", y->rank);
    if (s->x.rank < 1 || y->dim[0] != s->x.dim[0] || y->dim[0] < 1)
        return tlb_error(a, TLB_E_MALFORMED, "E_SHAPE", s->y_path, NULL, NULL,
                         "%lld labels, %lld samples", (long long)y->dim[0],
                         (long long)(s->x.rank ? s->x.dim[0] : 0));
    for (int64_t i = 0; i < y->dim[0]; ++i) {
        int64_t label = label_at(y, i);
        if (label < 0 || label >= k)
            return tlb_error(a, label < 0 ? TLB_E_MALFORMED : TLB_E_UNSUPPORTED, "E_CLASS",
                             s->y_path, NULL, NULL,
                             "label %lld is class %lld, the network has %lld classes",
                             (long long)i, (long long)label, (long long)k);
    }
    return TLB_OK;
}

static tlb_status split_spec(const tlb_args *a, const char *spec, trainer_arrays *s)
{
    const char *comma = strchr(spec, ',');
    if (!comma || comma == spec || !comma[1] || strchr(comma + 1, ','))
        return tlb_error(a, TLB_E_USAGE, "E_USAGE", NULL, NULL, NULL,
                         "--data takes two files: X.npy,Y.npy");
    s->x_path = strndup(spec, (size_t)(comma - spec));
    s->y_path = strdup(comma + 1);
    return s->x_path && s->y_path
               ? TLB_OK
               : tlb_error(a, TLB_E_LIMIT, "E_MEMORY", NULL, NULL, NULL, "out of memory");
}

/* --- as samples --------------------------------------------------------------------------- */

static const char *row_at(const trainer_arrays *s, int64_t row, size_t *out_bytes)
{
    *out_bytes = (size_t)row_elems(s) * (size_t)tlb_npy_type_bytes(s->x.type);
    return (const char *)s->x.data + (size_t)row * *out_bytes;
}

static void convert(const trainer_arrays *s, const char *row, tlr_type type, void *input)
{
    int64_t n = row_elems(s);
    for (int64_t i = 0; i < n; ++i) {
        double v = s->x.type == TLB_NPY_F4 ? (double)((const float *)(const void *)row)[i]
                                           : ((const double *)(const void *)row)[i];
        if (type == TLR_F64)
            ((double *)input)[i] = v;
        else
            ((float *)input)[i] = (float)v;
    }
}

static tlb_status read_array(void *self, int64_t sample, int64_t view, int reader, void *input)
{
    (void)view;
    const trainer_data *d = self;
    const trainer_arrays *s = d->arrays;
    const tlr_preprocess *p = &tlr_the_model->preprocess;
    size_t bytes;
    const char *row = row_at(s, s->origin[sample], &bytes);
    tlr_type type = input_io()->type;
    int h = (int)s->x.dim[1], w = (int)s->x.dim[2];
    if (!is_pixels(s)) {
        convert(s, row, type, input);
    } else if (h == p->crop_h && w == p->crop_w) {
        tlr_normalise(p, (const uint8_t *)row, type, input);
    } else {
        tlr_picture pic = { (const uint8_t *)row, w, h, (ptrdiff_t)w * 3, TLR_RGB };
        if (tlr_pixels_to_input(p, &pic, type, input, s->scratch[reader]) != TLR_OK)
            return TLB_E_UNSUPPORTED;
    }
    return TLB_OK;
}

static tlb_status get_scratch(trainer_arrays *s, const tlb_args *a, int readers)
{
    if (!is_pixels(s))
        return TLB_OK;
    size_t bytes = tlr_pixels_scratch_bytes(&tlr_the_model->preprocess, (int)s->x.dim[2],
                                            (int)s->x.dim[1]);
    s->scratch = calloc((size_t)readers, sizeof *s->scratch);
    for (; s->scratch && s->n_scratch < readers; ++s->n_scratch) {
        s->scratch[s->n_scratch] = aligned_alloc(64, (bytes + 63) / 64 * 64 + 64);
        if (!s->scratch[s->n_scratch])
            break;
    }
    if (s->n_scratch == readers)
        return TLB_OK;
    return tlb_error(a, TLB_E_LIMIT, "E_MEMORY", NULL, NULL, NULL, "out of memory");
}

/* Classes have no names: their numbers. */
static tlb_status number_classes(trainer_data *d)
{
    int n = tlr_the_model->n_classes;
    d->classes = calloc((size_t)n + 1, sizeof *d->classes);
    for (int i = 0; d->classes && i < n; ++i) {
        char name[16];
        snprintf(name, sizeof name, "%d", i);
        d->classes[i] = strdup(name);
        if (!d->classes[i])
            break;
        d->n_classes = i + 1;
    }
    if (d->n_classes == n)
        return TLB_OK;
    return tlb_error(d->args, TLB_E_LIMIT, "E_MEMORY", NULL, NULL, NULL, "out of memory");
}

static void fill_list(const trainer_arrays *s, trainer_list *l)
{
    /* The shape seeds the hash: the same bytes as another picture are not the same input. */
    uint64_t seed = XXH64(s->x.dim + 1, sizeof s->x.dim - sizeof *s->x.dim, s->x.type);
    for (size_t i = 0; i < l->n; ++i) {
        size_t bytes;
        const char *row = row_at(s, (int64_t)i, &bytes);
        XXH128_hash_t h = XXH3_128bits_withSeed(row, bytes, seed);
        l->keys[i] = (tlr_content_key){ h.low64, h.high64 };
        l->labels[i] = (int32_t)label_at(&s->y, (int64_t)i);
        l->origin[i] = (int64_t)i;
    }
}

tlb_status trainer_arrays_list(trainer_data *d, const char *spec, trainer_list *out)
{
    trainer_arrays *s = calloc(1, sizeof *s);
    if (!s)
        return tlb_error(d->args, TLB_E_LIMIT, "E_MEMORY", NULL, NULL, NULL, "out of memory");
    d->arrays = s;
    d->train_name = spec;
    tlb_status status = split_spec(d->args, spec, s);
    if (status == TLB_OK)
        status = open_array(d->args, s->x_path, &s->x_map, &s->x);
    if (status == TLB_OK)
        status = check_x(s, d->args);
    if (status == TLB_OK)
        status = open_array(d->args, s->y_path, &s->y_map, &s->y);
    if (status == TLB_OK)
        status = check_y(s, d->args);
    if (status == TLB_OK)
        status = get_scratch(s, d->args, trainer_threads(d->args));
    if (status == TLB_OK)
        status = number_classes(d);
    if (status == TLB_OK)
        status = trainer_list_make(d->args, out, (size_t)s->x.dim[0], false);
    if (status != TLB_OK)
        return status;
    fill_list(s, out);
    d->samples.read = read_array;
    return TLB_OK;
}

void trainer_arrays_order(trainer_data *d, int64_t *origin)
{
    d->arrays->origin = origin;
}

void trainer_arrays_close(trainer_data *d)
{
    trainer_arrays *s = d->arrays;
    if (!s)
        return;
    for (int i = 0; i < s->n_scratch; ++i)
        free(s->scratch[i]);
    free(s->scratch);
    free(s->origin);
    free(s->x_path);
    free(s->y_path);
    tlb_unmap(&s->x_map);
    tlb_unmap(&s->y_map);
    free(s);
    d->arrays = NULL;
}
