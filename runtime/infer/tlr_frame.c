/* tlr_frame.c: the regions of a session in one block: act, fix, scratch. */
#include "tlr_session.h"

static size_t round64(int64_t n)
{
    return ((size_t)n + 63) / 64 * 64;
}

size_t tlr_frame_bytes(const tlr_model *m, int max_batch, int workers)
{
    return round64(m->act_infer_bytes * max_batch) + round64(m->fix_infer_bytes) +
           round64(m->scratch_bytes) * (size_t)workers;
}

void tlr_frame_init(tlr_frame *f, const tlr_model *m, const void *consts, void *block,
                    int max_batch, const tlr_par *par)
{
    *f = (tlr_frame){ .n = 0, .consts = consts, .par = par };
    /* The parameters are read where the file has them, right after the constants. */
    f->vars = (char *)consts + round64(m->consts_bytes);
    f->act = block;
    f->fix = f->act + round64(m->act_infer_bytes * max_batch);
    f->scratch = f->fix + round64(m->fix_infer_bytes); /* last: its end is the block's */
    f->scratch_stride = (int64_t)round64(m->scratch_bytes);
}
