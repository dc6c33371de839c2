/* stepdump.c: one step of a compiled network (fp32, sgd) on a fixed batch, whatever it runs on.
 *
 *     stepdump WEIGHTS N OUT [weighted]       weighted: every class has a weight of its own
 *
 * OUT: losses, logits and every trained or moving tensor after a step at rate 1, in logical order,
 * as floats one after another; two targets' files are compared.
 */
#include "tlr_model.h"
#include "tlr_pack.h"
#include "tlr_session.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern const struct tlr_model *tlr_the_model;

static void run_serially(void *self, int64_t items, tlr_item_fn *fn, const tlr_frame *f)
{
    (void)self;
    for (int64_t i = 0; i < items; ++i)
        fn(f, i, 0);
}

static char *read_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f || fseek(f, 0, SEEK_END) != 0)
        exit(2);
    size_t bytes = (size_t)ftell(f);
    char *data = calloc(1, bytes + 1);
    rewind(f);
    if (!data || fread(data, 1, bytes, f) != bytes)
        exit(2);
    fclose(f);
    return data;
}

/* On a device its fresh memory is left as it comes: what nobody wrote is found there. */
static char *block(const tlr_model *m, int64_t bytes)
{
    size_t n = ((size_t)bytes + 127) / 64 * 64;
    char *p = m->device ? m->device->alloc(m->program, n) : aligned_alloc(64, n);
    if (!p)
        exit(2);
    return m->device ? p : memset(p, 0x5a, n);
}

static void fail_if_trouble(const tlr_model *m)
{
    const char *trouble = m->device ? m->device->trouble(m->program) : NULL;
    if (trouble) {
        fprintf(stderr, "%s\n", trouble);
        exit(5);
    }
}

/* Inputs: a fixed series without equal or almost equal numbers. */
static void place_batch(const tlr_model *m, const tlr_frame *f)
{
    const tlr_io *x = &m->step.in[0], *y = &m->step.in[1];
    float *to = (float *)(f->act + x->offset * f->n);
    int64_t *labels = (int64_t *)(f->act + y->offset * f->n);
    for (int64_t i = 0; i < x->elems * f->n; ++i)
        to[i] = (float)(1.5 * sin(1.0 + 0.731 * (double)i + 1e-4 * (double)(i * i % 97)));
    for (int64_t i = 0; i < f->n; ++i)
        labels[i] = i % m->n_classes;
}

static void make_frame(const tlr_model *m, const char *weights, tlr_frame *f)
{
    f->consts = memcpy(block(m, m->consts_bytes), weights + TLR_WEIGHTS_CONSTS_AT,
                       (size_t)m->consts_bytes);
    f->vars = memset(block(m, m->vars_bytes), 0, (size_t)m->vars_bytes);
    memcpy(f->vars, weights + tlr_weights_params_at((uint64_t)m->consts_bytes),
           (size_t)m->params_bytes);
    f->act = block(m, f->n * m->act_step_bytes);
    f->fix = block(m, m->fix_step_bytes);
    f->scratch = block(m, m->scratch_bytes);
}

/* 0.5, 1.25, 2, ... */
static const double *class_weights(const tlr_model *m)
{
    double *w = calloc((size_t)m->n_classes, sizeof *w);
    if (!w)
        exit(2);
    for (int k = 0; k < m->n_classes; ++k)
        w[k] = 0.5 + 0.75 * k;
    return w;
}

static void write_tensor(const tlr_tensor *t, const char *vars, FILE *out)
{
    size_t bytes = (size_t)(tlr_tensor_elems(t) * tlr_type_bytes(t->type));
    void *logical = malloc(bytes);
    if (!logical)
        exit(2);
    tlr_unpack(t, vars + t->offset, logical);
    fwrite(logical, 1, bytes, out);
    free(logical);
}

int main(int argc, char **argv)
{
    const tlr_model *m = tlr_the_model;
    if (argc != 4 && !(argc == 5 && strcmp(argv[4], "weighted") == 0))
        return 2;
    tlr_par par = { run_serially, NULL, 1 };
    tlk_step step[TLK_GROUPS];
    for (int g = 0; g < TLK_GROUPS; ++g)
        step[g] = (tlk_step){ .seed = 5, .t = 1, .lr = 1, .dampening = 0,
                              .class_weights = argc == 5 ? class_weights(m) : NULL };
    tlr_frame f = { .n = atoi(argv[2]), .par = &par, .step = step };
    if (m->device)
        m->device->open(m->program);
    fail_if_trouble(m);
    make_frame(m, read_file(argv[1]), &f);
    place_batch(m, &f);
    m->step.run(&f);
    fail_if_trouble(m);
    FILE *out = fopen(argv[3], "wb");
    for (int i = 0; out && i < 2; ++i)
        fwrite(f.act + m->step.out[i].offset * f.n, sizeof(float),
               (size_t)(m->step.out[i].elems * f.n), out);
    for (int i = 0; out && i < m->n_tensors; ++i)
        if (m->tensors[i].kind == TLR_PARAM)
            write_tensor(&m->tensors[i], f.vars, out);
    return out && fclose(out) == 0 ? 0 : 2;
}
