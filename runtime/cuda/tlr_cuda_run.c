/* tlr_cuda_run.c: a function's launches, queued one by one or as one CUDA graph.
 *
 * What a kernel gets is addresses and n, so the launches of a function are the same whenever it
 * runs on the same memory with the same n.  The first time they are queued one by one, which has
 * the driver load each kernel; the second time they are captured into a graph, and from then on
 * the graph is launched.  What changes from step to step lies in memory of the device.  A few
 * graphs are kept: features, head and step, a batch that is whole and an epoch's last one.
 */
#include "tlr_cuda_parts.h"

#include "tlk_cuda_frame.h"
#include "tlr_session.h"

#include <math.h>
#include <pthread.h>
#include <string.h>

enum { THREADS = 256, CAPTURE_THREAD_LOCAL = 1, HOST = -1 };

/* One run at a time: graphs, numbers and the stream are the program's. */
static pthread_mutex_t running = PTHREAD_MUTEX_INITIALIZER;

/* --- numbers of a step ------------------------------------------------------------------ */

/* The numbers that optimizers derive from a step's, as ref/tlk_ref_update.h derives them. */
static tlk_cuda_step step_numbers(const tlk_step *s)
{
    double t = (double)s->t;
    return (tlk_cuda_step){
        .seed = s->seed, .epoch = s->epoch, .position = s->position, .t = s->t,
        .batch = s->batch, .divisor = (float)s->divisor,
        .lr = (float)s->lr, .weight_decay = (float)s->weight_decay,
        .momentum = (float)s->momentum, .share = (float)(1.0 - s->dampening),
        .shrink = (float)(1.0 - s->lr * s->weight_decay),
        .share1 = (float)(1.0 - s->beta1), .beta2 = (float)s->beta2,
        .share2 = (float)(1.0 - s->beta2),
        .correction2 = (float)sqrt(1.0 - pow(s->beta2, t)), .epsilon = (float)s->epsilon,
        .rate = (float)(-s->lr / (1.0 - pow(s->beta1, t))),
    };
}

/* Weights of the classes in the session's scratch, which the device sees; NULL: all 1. */
static const float *place_class_weights(const tlr_cuda_program *p, const tlr_frame *f)
{
    float *weights = (float *)f->scratch;
    if (!f->step->class_weights)
        return NULL;
    for (int k = 0; k < p->n_classes; ++k)
        weights[k] = (float)f->step->class_weights[k];
    return weights;
}

/* The numbers of each group to where kernels read them.  The last run is over, so nothing does now,
 * and this one is waited for, so the copy here lasts. */
static int send_numbers(const tlr_cuda_program *p, const tlr_cuda_driver *d, const tlr_frame *f,
                        tlk_cuda_step numbers[TLK_CUDA_GROUPS])
{
    const float *weights = place_class_weights(p, f);
    for (int g = 0; g < TLK_CUDA_GROUPS; ++g) {
        numbers[g] = step_numbers(&f->step[g]);
        numbers[g].class_weights = weights;
    }
    return d->copy_to_device(p->numbers, numbers, TLK_CUDA_GROUPS * sizeof *numbers, p->stream);
}

/* --- launches ----------------------------------------------------------------------------- */

static int launch(const tlr_cuda_program *p, const tlr_cuda_driver *d, const tlr_cuda_launch *l,
                  tlk_cuda_frame *frame)
{
    void *arguments[] = { frame };
    int64_t blocks = (l->a_picture * frame->n + l->fixed + l->per_block - 1) / l->per_block;
    return d->launch(l->function, (unsigned)blocks, l->y, l->z, THREADS, 1, 1, 0, p->stream,
                     arguments, NULL);
}

/* Queue them all; after an error *at is where. */
static int queue(const tlr_cuda_program *p, const tlr_cuda_driver *d, const tlr_cuda_run_key *key,
                 const tlr_cuda_launch **at)
{
    tlk_cuda_frame frame = { .n = key->n, .consts = key->consts, .vars = key->vars,
                             .act = key->act, .fix = key->fix,
                             .step = key->trains ? (const void *)(uintptr_t)p->numbers : NULL };
    int error = 0;
    for (int i = 0; !error && i < key->table->n; ++i) {
        *at = &key->table->launches[i];
        if (!(*at)->backbone || key->backbone)
            error = launch(p, d, *at, &frame);
    }
    return error;
}

/* Have managed memory move whole, where a kernel or the host would fetch it page by page at the
 * first touch.  A hint: nothing depends on it, its failure no more than its success. */
static void move(const tlr_cuda_program *p, const tlr_cuda_driver *d, const tlr_cuda_run_key *key,
                 const tlr_io *io, int n_io, int device)
{
    for (int i = 0; d->moves && i < n_io; ++i)
        d->prefetch((uint64_t)(uintptr_t)(key->act + io[i].offset * key->n),
                    (size_t)(io[i].elems * tlr_type_bytes(io[i].type) * key->n), device, p->stream);
}

/* --- graphs ------------------------------------------------------------------------------- */

static int same_key(const tlr_cuda_run_key *a, const tlr_cuda_run_key *b)
{
    return a->table == b->table && a->n == b->n && a->consts == b->consts && a->vars == b->vars &&
           a->act == b->act && a->fix == b->fix && a->trains == b->trains &&
           a->backbone == b->backbone;
}

static void forget(const tlr_cuda_driver *d, tlr_cuda_graph *g)
{
    if (g->exec)
        d->exec_destroy(g->exec);
    memset(g, 0, sizeof *g);
}

/* That of `key`, or the one used longest ago, emptied for it. */
static tlr_cuda_graph *find_graph(tlr_cuda_program *p, const tlr_cuda_driver *d,
                                  const tlr_cuda_run_key *key)
{
    tlr_cuda_graph *oldest = &p->graphs[0];
    for (int i = 0; i < TLR_CUDA_GRAPHS; ++i) {
        tlr_cuda_graph *g = &p->graphs[i];
        if (g->runs > 0 && same_key(&g->key, key))
            return g;
        if (g->used < oldest->used)
            oldest = g;
    }
    forget(d, oldest);
    oldest->key = *key;
    return oldest;
}

/* Without one, as where a driver refuses it, the launches are queued as before. */
static void make_graph(const tlr_cuda_program *p, const tlr_cuda_driver *d, tlr_cuda_graph *g)
{
    const tlr_cuda_launch *at;
    void *graph = NULL;
    if (d->capture_begin(p->stream, CAPTURE_THREAD_LOCAL) != 0)
        return;
    int failed = queue(p, d, &g->key, &at);
    failed |= d->capture_end(p->stream, &graph);
    if (!failed && d->graph_instantiate(&g->exec, graph, 0) != 0)
        g->exec = NULL;
    if (graph)
        d->graph_destroy(graph);
}

void tlr_cuda_forget_graphs(tlr_cuda_program *p)
{
    const char *why;
    const tlr_cuda_driver *d = tlr_cuda_driver_open(&why);
    pthread_mutex_lock(&running);
    for (int i = 0; d && i < TLR_CUDA_GRAPHS; ++i)
        forget(d, &p->graphs[i]);
    pthread_mutex_unlock(&running);
}

/* --- running ------------------------------------------------------------------------------ */

static void run(tlr_cuda_program *p, const tlr_cuda_driver *d, const tlr_cuda_run_key *key,
                const tlr_frame *f)
{
    enum { CAPTURED_AT = 2 };
    tlk_cuda_step numbers[TLK_CUDA_GROUPS];
    const tlr_cuda_launch *at = NULL;
    int error = d->context_set(d->context);
    if (!error && f->step)
        error = send_numbers(p, d, f, numbers);
    tlr_cuda_graph *g = find_graph(p, d, key);
    g->used = ++p->runs;
    if (!error && ++g->runs == CAPTURED_AT)
        make_graph(p, d, g);
    const tlr_func *io = key->table->io;
    if (!error && io)
        move(p, d, key, io->in, io->n_in, d->device);
    if (!error)
        error = g->exec ? d->graph_launch(g->exec, p->stream) : queue(p, d, key, &at);
    if (!error && io)
        move(p, d, key, io->out, io->n_out, HOST);
    if (error && at)
        tlr_cuda_trouble(p, "kernel %s: %s", at->kernel, tlr_cuda_error_text(d, error));
    else if (error || (error = d->stream_wait(p->stream)) != 0)
        tlr_cuda_trouble(p, "a kernel failed: %s", tlr_cuda_error_text(d, error));
}

void tlr_cuda_run(tlr_cuda_program *p, const tlr_frame *f, const tlr_cuda_table *table)
{
    const char *why;
    const tlr_cuda_driver *d = tlr_cuda_driver_open(&why);
    if (!d || !p->opened || p->trouble[0])
        return;
    tlr_cuda_run_key key = { .table = table, .n = f->n, .consts = f->consts, .vars = f->vars,
                             .act = f->act, .fix = f->fix, .trains = f->step != NULL,
                             .backbone = f->step && f->step[TLK_GROUP_BACKBONE].t > 0 };
    pthread_mutex_lock(&running);
    run(p, d, &key, f);
    pthread_mutex_unlock(&running);
}
