/* schedule.c: the learning rate of every step, from its number alone, so that a resumed run needs
 * nothing more.  As torch.optim.lr_scheduler:
 *
 *     warm-up   LinearLR(start_factor=1/W, total_iters=W-1), stepped after every step, W steps long
 *     then, counted from the warm-up's end (SequentialLR),
 *     step      StepLR(step_epochs, gamma), stepped after every epoch
 *     cosine    CosineAnnealingLR(T), stepped after every step, T the steps that are left
 */
#include "tlr_engine.h"

#include <math.h>
#include <string.h>

static const char *const names[] = { [TLR_CONSTANT] = "constant", [TLR_STEP] = "step",
                                     [TLR_COSINE] = "cosine" };

bool tlr_schedule_find(const char *name, tlr_schedule_kind *out)
{
    for (int i = 0; i <= TLR_COSINE; ++i)
        if (strcmp(name, names[i]) == 0) {
            *out = (tlr_schedule_kind)i;
            return true;
        }
    return false;
}

/* Epochs from one drop to the next: a third of those after the warm-up, where none are given. */
static int64_t drop_epochs(const tlr_schedule *s, int64_t epochs)
{
    int64_t third = (epochs - s->warmup_epochs) / 3;
    return s->step_epochs > 0 ? s->step_epochs : third > 0 ? third : 1;
}

double tlr_rate_at(const tlr_schedule *s, double lr, int64_t step, int64_t steps_in_epoch,
                   int64_t epochs)
{
    const double pi = 3.14159265358979323846;
    /* Whole numbers all of them, in double because any number of epochs may be asked for. */
    double in_epoch = (double)steps_in_epoch, warm = (double)s->warmup_epochs * in_epoch;
    double t = (double)step - warm, left = (double)epochs * in_epoch - warm;
    if (t < 0)
        return lr * (double)(step + 1) / warm;
    switch (s->kind) {
    case TLR_STEP:
        return lr * pow(s->gamma, floor(floor(t / in_epoch) / (double)drop_epochs(s, epochs)));
    case TLR_COSINE:
        return left > 0 ? lr * (1 + cos(pi * t / left)) / 2 : lr;
    default:
        return lr;
    }
}
