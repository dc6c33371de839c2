/* gradients.c: clipping of the gradients that @step kept, as torch.nn.utils.clip_grad_norm_.
 *
 * The norm is over all gradients of the step.  They are cut into chunks by their sizes alone; a
 * thread sums the squares of a chunk in double, and the sums are added in the order of chunks: the
 * same bits on any number of threads.  Zeros that pad a layout add nothing.
 */
#include "tlr_trainer.h"

#include <math.h>

enum { CHUNK = 1 << 14 }; /* elements */

/* What the items see; the frame first, for that is what they are given. */
typedef struct sweep {
    tlr_frame frame;
    const tlr_model *model;
    double *squares;          /* by chunk */
    double factor;
} sweep;

static int64_t chunks_of(const tlr_tensor *g)
{
    return tlk_div_up(g->bytes / tlr_type_bytes(g->type), CHUNK);
}

static bool takes_part(const tlr_tensor *g, const tlk_step *step)
{
    return g->kind == TLR_GRADIENT && (!g->backbone || step[TLK_GROUP_BACKBONE].t > 0);
}

static int64_t count_chunks(const tlr_model *m, const tlk_step *step)
{
    int64_t n = 0;
    for (int i = 0; i < m->n_tensors; ++i)
        if (m->tensors[i].kind == TLR_GRADIENT && (!step || takes_part(&m->tensors[i], step)))
            n += chunks_of(&m->tensors[i]);
    return n;
}

size_t tlr_gradients_bytes(const tlr_model *m)
{
    return (size_t)(count_chunks(m, NULL) + 1) * sizeof(double);
}

/* Chunk `item` of those that take part. */
static void *chunk_at(const sweep *s, int64_t item, tlr_type *type, int64_t *n)
{
    const tlr_tensor *g = s->model->tensors;
    for (; !takes_part(g, s->frame.step) || item >= chunks_of(g); ++g)
        item -= takes_part(g, s->frame.step) ? chunks_of(g) : 0;
    int64_t left = g->bytes / tlr_type_bytes(g->type) - item * CHUNK;
    *type = g->type;
    *n = left < CHUNK ? left : CHUNK;
    return s->frame.vars + g->offset + item * CHUNK * tlr_type_bytes(g->type);
}

static void square_item(const tlr_frame *f, int64_t item, int worker)
{
    const sweep *s = (const sweep *)(const void *)f;
    tlr_type type;
    int64_t n;
    const void *g = chunk_at(s, item, &type, &n);
    double sum = 0;
    (void)worker;
    for (int64_t i = 0; i < n; ++i) {
        double x = type == TLR_F64 ? ((const double *)g)[i] : (double)((const float *)g)[i];
        sum += x * x;
    }
    s->squares[item] = sum;
}

static void scale_item(const tlr_frame *f, int64_t item, int worker)
{
    const sweep *s = (const sweep *)(const void *)f;
    tlr_type type;
    int64_t n;
    void *g = chunk_at(s, item, &type, &n);
    (void)worker;
    if (type == TLR_F64)
        for (int64_t i = 0; i < n; ++i)
            ((double *)g)[i] *= s->factor;
    else
        for (int64_t i = 0; i < n; ++i)
            ((float *)g)[i] *= (float)s->factor;
}

void tlr_gradients_clip(tlr_trainer *t)
{
    const double epsilon = 1e-6; /* torch's */
    sweep s = { .frame = t->frame, .model = t->model, .squares = t->squares };
    int64_t chunks = count_chunks(t->model, t->frame.step);
    double sum = 0;
    tlr_parallel_for(&s.frame, chunks, square_item);
    for (int64_t i = 0; i < chunks; ++i)
        sum += s.squares[i];
    s.factor = t->config.clip_norm / (sqrt(sum) + epsilon);
    if (s.factor < 1)
        tlr_parallel_for(&s.frame, chunks, scale_item);
}
