/* trainer_progress.c: the progress line on stderr and the table of epochs on stdout.
 *
 * On a terminal one line is rewritten at most ten times a second, from half a second on, and
 * erased before anything else is printed.  Elsewhere a plain line each 30 seconds.
 */
#include "trainer_cli.h"

#include "tlk.h"
#include "tlr_session.h"

#include <math.h>
#include <time.h>
#include <unistd.h>

static const double FIRST_S = 0.5, EACH_S = 0.1, PLAIN_EACH_S = 30;
enum { PHASE_NONE, PHASE_FEATURES, PHASE_STEPS, BAR = 10 };

static double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

char *trainer_clock(char buf[32], double seconds)
{
    long long s = llround(seconds);
    if (s < 3600)
        snprintf(buf, 32, "%lld:%02lld", s / 60, s % 60);
    else
        snprintf(buf, 32, "%lld:%02lld:%02lld", s / 3600, s / 60 % 60, s % 60);
    return buf;
}

void trainer_progress_init(trainer_progress *p, const tlb_args *a, int64_t epochs)
{
    *p = (trainer_progress){ .args = a, .epochs = epochs };
    p->lines = !a->quiet && !a->json_diagnostics;
    p->terminal = p->lines && isatty(STDERR_FILENO);
    p->began = p->last = p->phase_began = seconds_now();
}

void trainer_progress_clear(trainer_progress *p)
{
    if (p->shown)
        fputs("\r\x1b[K", stderr);
    p->shown = false;
}

/* Begin a phase; is it time to show something? */
static bool due(trainer_progress *p, int phase, int64_t done)
{
    double now = seconds_now();
    if (p->phase != phase) {
        p->phase = phase;
        p->phase_began = p->last = now;
        p->done_before = done;
    }
    if (!p->lines || now - p->phase_began < FIRST_S ||
        now - p->last < (p->terminal ? EACH_S : PLAIN_EACH_S))
        return false;
    p->last = now;
    return true;
}

static double left(const trainer_progress *p, int64_t done, int64_t total)
{
    double rate = (double)(done - p->done_before) / (p->last - p->phase_began);
    return rate > 0 ? (double)(total - done) / rate : 0;
}

void trainer_on_features(void *self, int64_t done, int64_t total)
{
    trainer_progress *p = self;
    char bar[BAR + 1], counts[2][32], clock[32];
    if (!due(p, PHASE_FEATURES, done) || total == 0)
        return;
    for (int i = 0; i < BAR; ++i)
        bar[i] = i < done * BAR / total ? '#' : '-';
    bar[BAR] = '\0';
    double rate = (double)(done - p->done_before) / (p->last - p->phase_began);
    const char *form = p->terminal ? "\rfeatures  [%s]  %3d %%  %s/%s  %.0f/s  %s left\x1b[K"
                                   : "trainer: features [%s] %d %%, %s/%s, %.0f/s, %s left\n";
    fprintf(stderr, form, bar, (int)(100 * done / total), tlb_show_count(counts[0], done),
            tlb_show_count(counts[1], total), rate, trainer_clock(clock, left(p, done, total)));
    p->shown = p->terminal;
}

void trainer_on_step(void *self, const tlr_step_report *r)
{
    trainer_progress *p = self;
    char clock[32];
    int64_t steps = r->steps_in_epoch * p->epochs;
    if (p->args->json)
        tlr_metrics_step(stdout, r);
    if (!due(p, PHASE_STEPS, r->step))
        return;
    const char *form = p->terminal
                           ? "\repoch %lld/%lld, step %lld/%lld, loss %.4f, %s left\x1b[K"
                           : "trainer: epoch %lld/%lld, step %lld/%lld, loss %.4f, %s left\n";
    fprintf(stderr, form, (long long)r->epoch, (long long)p->epochs,
            (long long)r->step_in_epoch, (long long)r->steps_in_epoch, r->loss,
            trainer_clock(clock, left(p, r->step, steps)));
    p->shown = p->terminal;
}

/* Four digits after the point; one that exploded still fits its column. */
static char *show_loss(char buf[32], double loss)
{
    snprintf(buf, 32, loss < 1e5 ? "%.4f" : "%.3e", loss);
    return buf;
}

void trainer_on_epoch(void *self, const tlr_epoch_report *r)
{
    trainer_progress *p = self;
    char time[32], train[32], valid[32];
    if (p->args->json)
        tlr_metrics_epoch(stdout, r);
    if (p->args->quiet || p->args->json)
        return;
    trainer_progress_clear(p);
    if (!p->header_printed)
        puts(r->valid.n > 0 ? "epoch  train loss  valid loss  valid acc.   time"
                            : "epoch  train loss  train acc.   time");
    p->header_printed = true;
    tlb_show_time(time, r->epoch_seconds);
    show_loss(train, r->train.loss);
    if (r->valid.n > 0)
        printf("%5lld  %10s  %10s  %8.1f %%  %5s%s\n", (long long)r->epoch, train,
               show_loss(valid, r->valid.loss), 100 * r->valid.accuracy, time,
               r->best ? "  best" : "");
    else
        printf("%5lld  %10s  %8.1f %%  %5s\n", (long long)r->epoch, train,
               100 * r->train.accuracy, time);
    fflush(stdout);
}

void trainer_on_note(void *self, const char *id, const char *file, const char *what)
{
    trainer_progress *p = self;
    trainer_progress_clear(p);
    tlb_warning(p->args, id, file, NULL, "%s", what);
}
