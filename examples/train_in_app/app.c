/* app.c: an application that learns.  Draws 20 pictures, ten moons and ten stars, learns them in a
 * thread of its own, and says what 200 new ones are.
 *
 *     app WEIGHTS STATE [STEPS]     STATE: where what is learned is kept; taken up if it is there
 *                                   STEPS: stop after so many; the next run goes on
 */
#include "draw.h"
#include "shapes.h"
#include "tlr_train.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LEARNED = 20, NEW = 200, EPOCHS = 30, ROOM = 1 << 20 };
static tlr_picture pictures[LEARNED + NEW]; /* moons have even numbers: class 0 */
static unsigned char saved[ROOM];
static float before[2 * NEW], after[2 * NEW];

/* Called after each step and epoch, in the thread that trains; not 0 stops it. */
static int show(void *steps_left, const tlr_learning *now)
{
    if (now->epoch_done && now->epoch % 5 == 0)
        printf("epoch %2d  loss %.4f  %3.0f %%\n", (int)now->epoch, now->loss, 100 * now->accuracy);
    return !now->epoch_done && --*(int *)steps_left == 0;
}

static tlr_status learn(tlr_learner *l, const char *state)
{
    tlr_status st = tlr_learner_load_file(l, state);
    if (st == TLR_E_INPUT) /* none there: this is the first run */
        st = TLR_OK;
    for (int i = 0; st == TLR_OK && i < LEARNED; ++i)
        st = tlr_learner_add(l, &pictures[i], i % 2, TLR_TRAINING);
    if (st == TLR_OK)
        st = tlr_learner_start(l, EPOCHS);
    if (st == TLR_OK) /* here an application draws its window */
        st = tlr_learner_wait(l);
    if (st != TLR_OK && st != TLR_E_STOPPED)
        return st;
    tlr_status kept = tlr_learner_save_file(l, TLR_SAVED_STATE, state);
    return kept == TLR_OK ? st : kept;
}

/* The new pictures with what was learned, and again in another learner that is given it. */
static tlr_status use(tlr_learner *l, const char *weights, int *right, int *same)
{
    size_t n = 0;
    tlr_learner *other = NULL;
    tlr_status st = tlr_learner_classify(l, pictures + LEARNED, NEW, before);
    if (st == TLR_OK)
        st = tlr_learner_save(l, TLR_SAVED_WEIGHTS, saved, ROOM, &n);
    if (st == TLR_OK)
        st = tlr_learner_open_file(&shapes_model, weights, NULL, &other);
    if (st == TLR_OK)
        st = tlr_learner_load(other, saved, n);
    if (st == TLR_OK)
        st = tlr_learner_classify(other, pictures + LEARNED, NEW, after);
    tlr_learner_close(other);
    for (int i = 0; i < NEW; ++i)
        *right += (before[2 * i + 1] > before[2 * i]) == i % 2;
    *same = memcmp(before, after, sizeof before) == 0;
    return st;
}

int main(int argc, char **argv)
{
    int steps_left = argc > 3 ? atoi(argv[3]) : -1, right = 0, same = 0;
    tlr_learner_config config = { .lr = 0.01, .batch = 8, .threads = 2, .max_pictures = LEARNED,
                                  .progress = show, .progress_self = &steps_left };
    tlr_learner *l = NULL;
    if (argc < 3)
        return fprintf(stderr, "usage: app WEIGHTS STATE [STEPS]\n"), 2;
    for (int i = 0; i < LEARNED + NEW; ++i)
        pictures[i] = draw(i % 2);
    tlr_status st = tlr_learner_open_file(&shapes_model, argv[1], &config, &l);
    if (st == TLR_OK)
        st = learn(l, argv[2]);
    if (st == TLR_OK)
        st = use(l, argv[1], &right, &same);
    if (st == TLR_OK)
        printf("%d of %d new pictures right; saved and loaded: %s\n", right, NEW,
               same ? "the same probabilities" : "other probabilities");
    else
        fprintf(stderr, "app: %s\n", l ? tlr_learner_message(l) : tlr_status_text(st));
    tlr_learner_close(l);
    return st;
}
