/* tlr_frame.c: the regions of a session in one block: vars (training), act, fix, scratch. */
#include "tlr_session.h"

static size_t round64(int64_t n)
{
    return ((size_t)n + 63) / 64 * 64;
}

static int64_t act_bytes(const tlr_model *m, int train)
{
    return train ? m->act_train_bytes : m->act_infer_bytes;
}

static int64_t fix_bytes(const tlr_model *m, int train)
{
    return train ? m->fix_train_bytes : m->fix_infer_bytes;
}

size_t tlr_frame_bytes(const tlr_model *m, int max_batch, int workers, int train)
{
    return (train ? round64(m->vars_bytes) : 0) + round64(act_bytes(m, train) * max_batch) +
           round64(fix_bytes(m, train)) + round64(m->scratch_bytes) * (size_t)workers;
}

void tlr_frame_init(tlr_frame *f, const tlr_model *m, const void *consts, void *block,
                    int max_batch, int workers, int train, const tlr_par *par)
{
    char *at = block;
    (void)workers; /* scratch is last: its end is the block's */
    *f = (tlr_frame){ .n = 0, .consts = consts, .par = par };
    if (train) {
        f->vars = at;
        at += round64(m->vars_bytes);
    } else {
        /* Inference reads the parameters where the file has them, right after the constants. */
        f->vars = (char *)consts + round64(m->consts_bytes);
    }
    f->act = at;
    f->fix = f->act + round64(act_bytes(m, train) * max_batch);
    f->scratch = f->fix + round64(fix_bytes(m, train));
    f->scratch_stride = (int64_t)round64(m->scratch_bytes);
}
