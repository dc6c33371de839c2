/* tlr.c: the functions of tlr.h: one session over one block of memory.
 *
 * Block: the session itself, the pool, one pixel scratch for each worker, then the frame.
 * Everything a call needs is there, so nothing is allocated after tlr_open.
 */
#define _GNU_SOURCE
#include "tlr.h"

#include "tlr_pixels.h"
#include "tlr_session.h"

#include <fcntl.h>
#include <math.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_THREADS = 1024, MAX_SIDE = 65500 };

typedef void (*app_parallel_for)(void *self, int64_t items,
                                 void (*item)(void *arg, int64_t i, int worker), void *arg);

struct tlr_session {
    alignas(64) const tlr_model *model;
    const void *weights;
    size_t mapped_bytes; /* of weights; 0: not ours */
    int allocated;       /* the block is ours */
    int trained, max_batch;
    tlr_pool *pool;      /* NULL: the application's threads */
    app_parallel_for app_for;
    void *app_self;
    tlr_par app_par;
    char *pixel_scratch;
    size_t pixel_stride; /* bytes between workers */
    tlr_frame frame;
    const char *features, *output; /* results of the last run, in frame.act */
    char *device_block;  /* constants, parameters and the frame; NULL: the processor runs it */
};

/* A checked configuration and how the block is cut. */
typedef struct layout {
    int max_batch, threads, workers;
    size_t pool_at, pixels_at, pixel_stride, frame_at, bytes;
} layout;

static size_t round64(size_t n)
{
    return (n + 63) / 64 * 64;
}

/* --- what a model is ------------------------------------------------------ */

static int is_picture(const tlr_model *m)
{
    return m->preprocess.kind == TLR_PREPROCESS_PICTURE;
}

static const tlr_io *input_of(const tlr_model *m)
{
    return m->features.run ? &m->features.in[0] : &m->head.in[0];
}

static const tlr_io *features_of(const tlr_model *m)
{
    return m->features.run ? &m->features.out[0] : &m->head.in[0];
}

static const tlr_io *output_of(const tlr_model *m)
{
    if (m->head.run)
        return &m->head.out[0];
    /* A network that only names its input anew (a view of it) has no code at all. */
    return m->features.run ? &m->features.out[0] : &m->head.in[0];
}

static size_t io_bytes(const tlr_io *io)
{
    return (size_t)(io->elems * tlr_type_bytes(io->type));
}

void tlr_model_info(const struct tlr_model *m, tlr_info *out)
{
    if (!m || !out)
        return;
    const tlr_io *in = input_of(m);
    *out = (tlr_info){ .name = m->name, .max_batch = m->max_batch, .n_classes = m->n_classes };
    out->input_rank = in->rank - 1;
    for (int i = 1; i < in->rank; ++i)
        out->input_dim[i - 1] = in->dim[i];
    out->input_elems = in->elems;
    out->output_elems = output_of(m)->elems;
    out->feature_elems = features_of(m)->elems;
    out->element_bytes = (int)tlr_type_bytes(in->type);
    out->is_picture = is_picture(m);
}

/* --- opening -------------------------------------------------------------- */

static tlr_status lay_out(const tlr_model *m, const tlr_config *c, layout *out)
{
    static const tlr_config defaults;
    c = c ? c : &defaults;
    layout l = { .max_batch = c->max_batch ? c->max_batch : 1,
                 .threads = c->threads ? c->threads : 1 };
    if (l.max_batch < 1 || l.max_batch > m->max_batch || l.threads < 1 ||
        l.threads > MAX_THREADS || (c->parallel_for && c->workers < 1))
        return TLR_E_USAGE;
    l.workers = c->parallel_for ? c->workers : l.threads;
    l.pixel_stride = is_picture(m) ? round64(tlr_pixels_scratch_max(&m->preprocess)) : 0;
    l.pool_at = round64(sizeof(tlr_session));
    l.pixels_at = l.pool_at + (c->parallel_for ? 0 : tlr_pool_bytes(l.threads));
    l.frame_at = l.pixels_at + l.pixel_stride * (size_t)l.workers;
    l.bytes = l.frame_at + (m->device ? 0 : tlr_frame_bytes(m, l.max_batch, l.workers));
    *out = l;
    return TLR_OK;
}

size_t tlr_session_bytes(const struct tlr_model *model, const tlr_config *config)
{
    layout l;
    return model && lay_out(model, config, &l) == TLR_OK ? l.bytes : 0;
}

/* The application's parallel_for knows no frames: both go through its one argument. */
typedef struct app_job {
    tlr_item_fn *fn;
    const tlr_frame *frame;
} app_job;

static void app_item(void *arg, int64_t i, int worker)
{
    const app_job *job = arg;
    job->fn(job->frame, i, worker);
}

static void app_run(void *self, int64_t items, tlr_item_fn *fn, const tlr_frame *f)
{
    tlr_session *s = self;
    app_job job = { fn, f };
    s->app_for(s->app_self, items, app_item, &job);
}

static tlr_status start_workers(tlr_session *s, const tlr_config *c, const layout *l)
{
    if (c && c->parallel_for) {
        s->app_for = c->parallel_for;
        s->app_self = c->parallel_self;
        s->app_par = (tlr_par){ app_run, s, l->workers };
        return TLR_OK;
    }
    tlr_pool *pool = (tlr_pool *)((char *)s + l->pool_at);
    tlr_status st = tlr_pool_start(pool, l->threads);
    s->pool = st == TLR_OK ? pool : NULL;
    return st;
}

/* Constants and parameters are copied to where the device sees them, the frame behind them; the
 * parameters follow the constants as in the file. */
static tlr_status to_device(const tlr_model *m, const void *weights, const layout *l,
                            tlr_session *s)
{
    size_t consts = round64((size_t)m->consts_bytes), params = round64((size_t)m->params_bytes);
    int failed = m->device->open(m->program);
    if (failed)
        return (tlr_status)failed;
    s->device_block = m->device->alloc(m->program, consts + params +
                                                       tlr_frame_bytes(m, l->max_batch, 1));
    if (!s->device_block)
        return TLR_E_LIMIT;
    memcpy(s->device_block, tlr_weights_consts(weights), (size_t)m->consts_bytes);
    memcpy(s->device_block + consts, tlr_weights_params(m, weights), (size_t)m->params_bytes);
    tlr_frame_init(&s->frame, m, s->device_block, s->device_block + consts + params, l->max_batch,
                   s->frame.par);
    return TLR_OK;
}

/* Fill the block; the weights are checked. */
static tlr_status build(const tlr_model *m, const void *weights, const tlr_config *c,
                        const layout *l, tlr_session *s)
{
    memset(s, 0, sizeof *s);
    s->model = m;
    s->weights = weights;
    s->trained = tlr_weights_trained(m, weights);
    s->max_batch = l->max_batch;
    s->pixel_scratch = (char *)s + l->pixels_at;
    s->pixel_stride = l->pixel_stride;
    tlr_status st = start_workers(s, c, l);
    if (st != TLR_OK)
        return st;
    const tlr_par *par = s->pool ? tlr_pool_par(s->pool) : &s->app_par;
    tlr_frame_init(&s->frame, m, tlr_weights_consts(weights), (char *)s + l->frame_at,
                   l->max_batch, par);
    if (m->device && (st = to_device(m, weights, l, s)) != TLR_OK) {
        if (s->pool)
            tlr_pool_stop(s->pool);
        return st;
    }
    s->frame.n = 1;
    if (m->prepare)
        m->prepare(&s->frame);
    return TLR_OK;
}

static tlr_status open_checked(const tlr_model *m, const void *weights, const tlr_config *c,
                               const layout *l, tlr_session **out)
{
    int allocated = !(c && c->memory);
    tlr_session *s = allocated ? aligned_alloc(64, round64(l->bytes)) : c->memory;
    if (!s)
        return TLR_E_LIMIT;
    tlr_status st = build(m, weights, c, l, s);
    s->allocated = allocated;
    if (st == TLR_OK)
        *out = s;
    else if (allocated)
        free(s);
    return st;
}

/* All that can be said before the weights are seen. */
static tlr_status check_config(const tlr_model *m, const tlr_config *c, layout *l)
{
    if (m->abi != TLR_ABI)
        return TLR_E_UNSUPPORTED;
    tlr_status st = lay_out(m, c, l);
    if (st == TLR_OK && c && c->memory && (uintptr_t)c->memory % 64 != 0)
        st = TLR_E_USAGE;
    else if (st == TLR_OK && c && c->memory && c->memory_bytes < l->bytes)
        st = TLR_E_LIMIT;
    return st;
}

tlr_status tlr_open_memory(const struct tlr_model *model, const void *weights,
                           size_t weights_bytes, const tlr_config *config, tlr_session **out)
{
    layout l;
    if (!model || !weights || !out || (uintptr_t)weights % 64 != 0)
        return TLR_E_USAGE;
    tlr_status st = check_config(model, config, &l);
    if (st == TLR_OK)
        st = tlr_weights_check(model, weights, weights_bytes, 0);
    return st == TLR_OK ? open_checked(model, weights, config, &l, out) : st;
}

/* Map a regular file; a FIFO must not block, so it is opened without waiting. */
static tlr_status map_file(const char *path, void **out, size_t *out_bytes)
{
    struct stat info;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return TLR_E_INPUT;
    tlr_status st = TLR_E_INPUT;
    if (fstat(fd, &info) == 0 && S_ISREG(info.st_mode)) {
        st = info.st_size == 0 ? TLR_E_MALFORMED : TLR_OK;
        *out_bytes = (size_t)info.st_size;
        *out = st == TLR_OK ? mmap(NULL, *out_bytes, PROT_READ, MAP_PRIVATE, fd, 0) : NULL;
        if (*out == MAP_FAILED)
            st = TLR_E_LIMIT;
    }
    close(fd);
    return st;
}

tlr_status tlr_open_file(const struct tlr_model *model, const char *weights_path,
                         const tlr_config *config, tlr_session **out)
{
    layout l;
    void *weights;
    size_t bytes;
    if (!model || !weights_path || !out)
        return TLR_E_USAGE;
    tlr_status st = check_config(model, config, &l);
    if (st == TLR_OK)
        st = map_file(weights_path, &weights, &bytes);
    if (st != TLR_OK)
        return st;
    st = tlr_weights_check(model, weights, bytes, 0);
    if (st == TLR_OK)
        st = open_checked(model, weights, config, &l, out);
    if (st == TLR_OK)
        (*out)->mapped_bytes = bytes;
    else
        munmap(weights, bytes);
    return st;
}

void tlr_close(tlr_session *s)
{
    if (!s)
        return;
    if (s->pool)
        tlr_pool_stop(s->pool);
    if (s->device_block)
        s->model->device->release(s->model->program, s->device_block);
    if (s->mapped_bytes > 0)
        munmap((void *)s->weights, s->mapped_bytes);
    if (s->allocated)
        free(s);
}

/* --- running -------------------------------------------------------------- */

static char *place(const tlr_session *s, const tlr_io *io)
{
    return s->frame.act + io->offset * s->frame.n;
}

/* The input is in its place. */
static void run_features(tlr_session *s)
{
    if (s->model->features.run)
        s->model->features.run(&s->frame);
    s->features = place(s, features_of(s->model));
    s->output = s->features;
}

void tlr_session_features(tlr_session *s, int n, const void *input)
{
    const tlr_io *in = input_of(s->model);
    s->frame.n = n;
    memcpy(place(s, in), input, io_bytes(in) * (size_t)n);
    run_features(s);
}

void tlr_session_head(tlr_session *s, int n)
{
    const tlr_func *head = &s->model->head;
    if (!head->run)
        return;
    s->frame.n = n;
    memmove(place(s, &head->in[0]), s->features, io_bytes(&head->in[0]) * (size_t)n);
    head->run(&s->frame);
    s->output = place(s, &head->out[0]);
}

const void *tlr_session_features_at(const tlr_session *s)
{
    return s->features;
}

const void *tlr_session_output_at(const tlr_session *s)
{
    return s->output;
}

const tlr_frame *tlr_session_frame(const tlr_session *s)
{
    return &s->frame;
}

int tlr_session_trained(const tlr_session *s)
{
    return s->trained;
}

/* A device's failure makes every result worthless. */
static tlr_status ran(const tlr_session *s)
{
    const tlr_model *m = s->model;
    return m->device && m->device->trouble(m->program) ? TLR_E_UNSUPPORTED : TLR_OK;
}

static int bad_call(const tlr_session *s, int n, const void *in, const void *out)
{
    return !s || !in || !out || n < 1 || n > s->max_batch;
}

tlr_status tlr_run(tlr_session *s, int n, const void *input, void *output)
{
    if (bad_call(s, n, input, output))
        return TLR_E_USAGE;
    if (!s->trained)
        return TLR_E_UNSUPPORTED;
    tlr_session_features(s, n, input);
    tlr_session_head(s, n);
    if (ran(s) != TLR_OK)
        return ran(s);
    memcpy(output, s->output, io_bytes(output_of(s->model)) * (size_t)n);
    return TLR_OK;
}

tlr_status tlr_run_features(tlr_session *s, int n, const void *input, void *features)
{
    if (bad_call(s, n, input, features))
        return TLR_E_USAGE;
    tlr_session_features(s, n, input);
    if (ran(s) != TLR_OK)
        return ran(s);
    memcpy(features, s->features, io_bytes(features_of(s->model)) * (size_t)n);
    return TLR_OK;
}

/* --- pictures ------------------------------------------------------------- */

/* A frame first, so that an item's frame leads to the pictures. */
typedef struct pixel_job {
    tlr_frame frame;
    tlr_session *session;
    const tlr_picture *pictures;
} pixel_job;

static void pixel_item(const tlr_frame *f, int64_t i, int worker)
{
    const pixel_job *job = (const pixel_job *)f;
    tlr_session *s = job->session;
    const tlr_io *in = input_of(s->model);
    tlr_pixels_to_input(&s->model->preprocess, &job->pictures[i], in->type,
                        place(s, in) + (size_t)i * io_bytes(in),
                        s->pixel_scratch + (size_t)worker * s->pixel_stride);
}

static int pictures_ok(const tlr_picture *p, int n)
{
    for (int i = 0; i < n; ++i)
        if (!p[i].pixels || p[i].width < 1 || p[i].width > MAX_SIDE || p[i].height < 1 ||
            p[i].height > MAX_SIDE || (unsigned)p[i].format > TLR_GRAY)
            return 0;
    return 1;
}

tlr_status tlr_classify(tlr_session *s, const tlr_picture *pictures, int n, float *probabilities)
{
    if (bad_call(s, n, pictures, probabilities) || !pictures_ok(pictures, n))
        return TLR_E_USAGE;
    if (!s->trained || !is_picture(s->model))
        return TLR_E_UNSUPPORTED;
    s->frame.n = n;
    pixel_job job = { s->frame, s, pictures };
    tlr_parallel_for(&job.frame, n, pixel_item);
    run_features(s);
    tlr_session_head(s, n);
    if (ran(s) != TLR_OK)
        return ran(s);
    const tlr_io *out = output_of(s->model);
    tlr_softmax(n, out->elems, out->type, s->output, probabilities);
    return TLR_OK;
}

static double logit(tlr_type type, const void *z, int64_t i)
{
    return type == TLR_F64 ? ((const double *)z)[i] : ((const float *)z)[i];
}

static void softmax_row(int64_t k, tlr_type type, const void *z, float *p)
{
    double top = logit(type, z, 0), sum = 0;
    for (int64_t i = 1; i < k; ++i)
        top = fmax(top, logit(type, z, i));
    for (int64_t i = 0; i < k; ++i)
        sum += exp(logit(type, z, i) - top);
    for (int64_t i = 0; i < k; ++i)
        p[i] = (float)(exp(logit(type, z, i) - top) / sum);
}

void tlr_softmax(int64_t rows, int64_t k, tlr_type type, const void *logits, float *probabilities)
{
    for (int64_t r = 0; r < rows; ++r)
        softmax_row(k, type, (const char *)logits + r * k * tlr_type_bytes(type),
                    probabilities + r * k);
}

/* --- words ---------------------------------------------------------------- */

const char *tlr_label(const tlr_session *s, int i)
{
    if (!s || i < 0 || i >= s->model->n_classes)
        return NULL;
    const char *name = tlr_weights_labels(s->model, s->weights);
    for (; name && i > 0; --i)
        name += strlen(name) + 1;
    return name;
}

const char *tlr_status_text(tlr_status status)
{
    switch (status) {
    case TLR_OK:
        return "done";
    case TLR_E_USAGE:
        return "an argument is missing, misaligned or out of range";
    case TLR_E_INPUT:
        return "the weights file is missing or cannot be read";
    case TLR_E_MALFORMED:
        return "the weights file is cut or damaged";
    case TLR_E_UNSUPPORTED:
        return "the weights are of another model or version, or the head is not trained";
    case TLR_E_LIMIT:
        return "out of memory, or the memory given is too small";
    case TLR_E_OUTPUT:
        return "the file cannot be written";
    case TLR_E_STOPPED:
        return "stopped; training can go on";
    case TLR_E_NUMERIC:
        return "loss or a parameter is NaN or infinite";
    }
    return "unknown status";
}
