/* order.c: which sample comes when, from the seed alone (semantics: random numbers). */
#include "tlr_trainer.h"

#include "tlk_philox.h"

#include <math.h>
#include <stdlib.h>

/* Made anew when the epoch changed, so a resumed run needs nothing but the epoch's number. */
void tlr_order_use(tlr_trainer *t)
{
    if (t->order_epoch == t->progress.epoch)
        return;
    tlk_epoch_order(t->config.seed, t->progress.epoch, t->samples.n_train, t->order);
    t->order_epoch = t->progress.epoch;
}

tlb_status tlr_split(uint64_t seed, int64_t n, double share, bool *is_valid)
{
    int64_t *order = malloc((size_t)n * sizeof *order + 1);
    if (!order)
        return TLB_E_LIMIT;
    tlk_split_order(seed, n, order);
    int64_t n_valid = llround((double)n * share);
    for (int64_t i = 0; i < n; ++i)
        is_valid[order[i]] = i < n_valid;
    free(order);
    return TLB_OK;
}
