/* gradcheck.c: the gradients of a compiled network (--precision fp64, sgd) against central
 * differences of its own loss.
 *
 *     gradcheck WEIGHTS N [SKIPPED TENSOR...]
 *
 * One step at rate 1 moves a parameter by its gradient; steps at rate 0 give the loss with one
 * element moved.  Skipped are running statistics, which move by themselves.  Prints the largest
 * distance, relative to the largest gradient of its tensor.
 */
#include "tlr_model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern const struct tlr_model *tlr_the_model;

static void run_serially(void *self, int64_t items, tlr_item_fn *fn, const tlr_frame *f)
{
    (void)self;
    for (int64_t i = items; i-- > 0;) /* the order must not matter */
        fn(f, i, 0);
}

static char *read_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f || fseek(f, 0, SEEK_END) != 0)
        exit(2);
    long bytes = ftell(f);
    char *data = aligned_alloc(64, ((size_t)bytes + 63) / 64 * 64);
    rewind(f);
    if (!data || fread(data, 1, (size_t)bytes, f) != (size_t)bytes)
        exit(2);
    fclose(f);
    return data;
}

static void *block(int64_t bytes)
{
    void *p = aligned_alloc(64, ((size_t)bytes + 127) / 64 * 64);
    if (!p)
        exit(2);
    memset(p, 0x5a, (size_t)bytes); /* nothing may count on zeros */
    return p;
}

/* Inputs: a fixed series without equal or almost equal numbers. */
static void place_batch(const tlr_model *m, const tlr_frame *f)
{
    const tlr_io *x = &m->step.in[0], *y = &m->step.in[1];
    double *to = (double *)(f->act + x->offset * f->n);
    int64_t *labels = (int64_t *)(f->act + y->offset * f->n);
    for (int64_t i = 0; i < x->elems * f->n; ++i)
        to[i] = 1.5 * sin(1.0 + 0.731 * (double)i + 1e-4 * (double)(i * i % 97));
    for (int64_t i = 0; i < f->n; ++i)
        labels[i] = i % m->n_classes;
}

/* Mean loss of the batch with the parameters `vars`, which a step at `lr` changes. */
static double step(const tlr_model *m, tlr_frame *f, const char *vars, double lr)
{
    const tlk_step one = { .seed = 7, .t = 1, .lr = lr };
    const tlk_step numbers[TLK_GROUPS] = { one, one };
    memcpy(f->vars, vars, (size_t)m->vars_bytes);
    place_batch(m, f);
    f->step = numbers;
    m->step.run(f);
    const double *loss = (const double *)(f->act + m->step.out[0].offset * f->n);
    double sum = 0;
    for (int64_t i = 0; i < f->n; ++i)
        sum += loss[i];
    return sum / (double)f->n;
}

static double difference(const tlr_model *m, tlr_frame *f, char *vars, double *element)
{
    const double kept = *element, h = 1e-5;
    *element = kept + h;
    double up = step(m, f, vars, 0);
    *element = kept - h;
    double down = step(m, f, vars, 0);
    *element = kept;
    return (up - down) / (2 * h);
}

static double check_tensor(const tlr_model *m, tlr_frame *f, char *vars, const char *moved,
                           const tlr_tensor *p)
{
    double worst = 0, largest = 1e-3;
    for (int64_t i = 0; i < p->bytes / 8; ++i) {
        double *element = (double *)(vars + p->offset) + i;
        double gradient = *element - ((const double *)(moved + p->offset))[i];
        double off = fabs(gradient - difference(m, f, vars, element));
        worst = off > worst || isnan(off) ? off : worst;
        largest = fabs(gradient) > largest ? fabs(gradient) : largest;
    }
    return worst / largest;
}

int main(int argc, char **argv)
{
    const tlr_model *m = tlr_the_model;
    static const tlr_par serial = { .run = run_serially, .workers = 1 };
    if (argc < 3)
        return 2;
    char *file = read_file(argv[1]);
    tlr_frame f = { .n = atoi(argv[2]), .par = &serial, .consts = file + TLR_WEIGHTS_CONSTS_AT,
                    .vars = block(m->vars_bytes), .fix = block(m->fix_step_bytes),
                    .scratch = block(m->scratch_bytes) };
    f.act = block(m->act_step_bytes * f.n);
    char *vars = block(m->vars_bytes), *moved = block(m->vars_bytes);
    memset(vars, 0, (size_t)m->vars_bytes);
    memcpy(vars, file + tlr_weights_params_at((uint64_t)m->consts_bytes), (size_t)m->params_bytes);
    step(m, &f, vars, 1);
    memcpy(moved, f.vars, (size_t)m->vars_bytes);
    double worst = 0;
    for (int i = 0; i < m->n_tensors; ++i) {
        bool skipped = m->tensors[i].kind != TLR_PARAM;
        for (int k = 3; k < argc; ++k)
            skipped |= atoi(argv[k]) == i;
        double off = skipped ? 0 : check_tensor(m, &f, vars, moved, &m->tensors[i]);
        worst = off > worst || isnan(off) ? off : worst;
    }
    printf("%.3g\n", worst);
    return 0;
}
