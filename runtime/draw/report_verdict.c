/* report_verdict.c: is it good enough, and what to do next: what can be said from the numbers
 * alone, each sentence only where they support it. */
#include "report_html.h"

#include "tlb_options.h"

#include <math.h>
#include <string.h>

static double share(int64_t a, int64_t b)
{
    return b > 0 ? (double)a / (double)b : 0;
}

void tlr_verdict_title(char *buf, size_t cap, const tlr_record *r)
{
    char percent[32];
    double accuracy = tlr_record_number(r, "result", "accuracy");
    if (isfinite(accuracy))
        snprintf(buf, cap, "%s right", tlb_show_percent(percent, accuracy));
    else if (strcmp(r->state, "done") == 0)
        snprintf(buf, cap, "Trained, not validated");
    else
        snprintf(buf, cap, "%s", strcmp(r->state, "interrupted") == 0 ? "Interrupted"
                               : strcmp(r->state, "failed") == 0      ? "Failed"
                                                                      : "Not finished");
}

static void say_accuracy(FILE *out, const tlr_record *r)
{
    char count[32];
    double low = tlr_record_number(r, "result", "accuracy_low");
    double high = tlr_record_number(r, "result", "accuracy_high");
    if (!r->confusion || !isfinite(low) || !isfinite(high))
        return;
    fprintf(out, "<p>Of %s validation pictures; with other pictures of the same kind it lies "
                 "between %.1f and %.1f %% (95 %% interval).</p>\n",
            tlb_show_count(count, r->valid_n), 100 * low, 100 * high);
}

/* A classifier that has learned nothing can still always say the commonest class. */
static void say_baseline(FILE *out, const tlr_record *r)
{
    size_t common = 0;
    char percent[32];
    if (!r->confusion)
        return;
    for (size_t i = 1; i < r->n_classes; ++i)
        if (tlr_row_sum(r->confusion, r->n_classes, i) >
            tlr_row_sum(r->confusion, r->n_classes, common))
            common = i;
    int64_t n = tlr_row_sum(r->confusion, r->n_classes, common);
    fputs("<p>Always answering <b>", out);
    tlr_html_text(out, r->classes[common]);
    fprintf(out, "</b> would be right for %s.</p>\n",
            tlb_show_percent(percent, share(n, r->valid_n)));
}

static void say_confusion(FILE *out, const tlr_record *r)
{
    tlr_confused top[TLR_MOST_PAIRS];
    char count[2][32];
    if (!r->confusion)
        return;
    if (tlr_find_confused(r->confusion, r->n_classes, top) == 0) {
        fputs("<p>No validation picture is wrong.</p>\n", out);
        return;
    }
    int64_t of = tlr_row_sum(r->confusion, r->n_classes, top[0].label);
    fputs("<p>The commonest mistake: <b>", out);
    tlr_html_text(out, r->classes[top[0].label]);
    fputs("</b> taken for <b>", out);
    tlr_html_text(out, r->classes[top[0].predicted]);
    fprintf(out, "</b>, %s of %s.</p>\n", tlb_show_count(count[0], top[0].count),
            tlb_show_count(count[1], of));
}

static const tlr_epoch_row *row_of(const tlr_record *r, int64_t epoch)
{
    for (size_t i = 0; i < r->n_epochs; ++i)
        if (r->epochs[i].epoch == epoch)
            return &r->epochs[i];
    return NULL;
}

/* Since its best epoch: validation loss up by a tenth while training loss went down. */
static bool overfits(const tlr_epoch_row *best, const tlr_epoch_row *last)
{
    return last->valid_loss > 1.1 * best->valid_loss && last->train_loss < best->train_loss;
}

static void say_epochs(FILE *out, const tlr_record *r)
{
    const tlr_epoch_row *best = row_of(r, r->best_epoch);
    if (!best || !isfinite(best->valid_loss))
        return;
    const tlr_epoch_row *last = &r->epochs[r->n_epochs - 1];
    fprintf(out, "<p>Best epoch: %lld of %lld; its weights are kept.",
            (long long)best->epoch, (long long)last->epoch);
    if (overfits(best, last))
        fputs(" Since then the validation loss rises while the training loss falls: it learns "
              "the training pictures by heart. More pictures help, more epochs do not.", out);
    else if (best == last && r->n_epochs > 1 && best->valid_accuracy < 1)
        fputs(" It was still improving at the end: more epochs may help (--epochs).", out);
    fputs("</p>\n", out);
}

static void say_state(FILE *out, const tlr_record *r)
{
    if (strcmp(r->state, "interrupted") == 0)
        fprintf(out, "<p>Interrupted after %zu whole epoch%s; <code>--resume</code> goes on, and "
                     "ends with the same bits.</p>\n",
                r->n_epochs, r->n_epochs == 1 ? "" : "s");
    else if (strcmp(r->state, "failed") == 0)
        fprintf(out, "<p>Ended by an error after %zu whole epoch%s (exit code %lld).</p>\n",
                r->n_epochs, r->n_epochs == 1 ? "" : "s",
                (long long)tlb_json_int(r->json, "exit_code", 0));
}

void tlr_verdict_print(FILE *out, const tlr_record *r)
{
    say_state(out, r);
    say_accuracy(out, r);
    say_baseline(out, r);
    say_epochs(out, r);
    say_confusion(out, r);
}
