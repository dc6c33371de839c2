/* test_pool.c: every item runs once, by one worker at a time, whatever the number of threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "tlr_session.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MOST_ITEMS = 1000, THREADS = 4 };

typedef struct job { /* the frame first: items get it */
    tlr_frame frame;
    atomic_int ran[MOST_ITEMS];
    atomic_int inside[THREADS]; /* calls a worker is in */
    atomic_int overlaps;
    int slow;
} job;

static void nap(long ns)
{
    nanosleep(&(struct timespec){ 0, ns }, NULL);
}

static void item(const tlr_frame *f, int64_t i, int worker)
{
    job *j = (job *)f;
    if (atomic_fetch_add(&j->inside[worker], 1) != 0)
        atomic_fetch_add(&j->overlaps, 1);
    atomic_fetch_add(&j->ran[i], 1);
    if (j->slow)
        nap(200000);
    atomic_fetch_sub(&j->inside[worker], 1);
}

static tlr_pool *start(int threads)
{
    tlr_pool *p = aligned_alloc(64, tlr_pool_bytes(threads));
    assert_int_equal(tlr_pool_start(p, threads), TLR_OK);
    assert_int_equal(tlr_pool_par(p)->workers, threads);
    return p;
}

static void stop(tlr_pool *p)
{
    tlr_pool_stop(p);
    free(p);
}

static void run(tlr_pool *p, int64_t items, int slow)
{
    job *j = calloc(1, sizeof *j);
    j->frame.par = tlr_pool_par(p);
    j->slow = slow;
    tlr_parallel_for(&j->frame, items, item);
    for (int i = 0; i < MOST_ITEMS; ++i)
        assert_int_equal(atomic_load(&j->ran[i]), i < items);
    assert_int_equal(atomic_load(&j->overlaps), 0);
    free(j);
}

static void each_item_once(void **state)
{
    (void)state;
    static const int64_t items[] = { 0, 1, 2, 3, 5, 64, 999, 1000 };
    for (int threads = 1; threads <= THREADS; ++threads) {
        tlr_pool *p = start(threads);
        for (size_t i = 0; i < sizeof items / sizeof *items; ++i)
            run(p, items[i], 0);
        stop(p);
    }
}

/* Many short jobs one after another, as a step is; with pauses, so that workers fall asleep. */
static void job_after_job(void **state)
{
    (void)state;
    tlr_pool *p = start(3);
    for (int i = 0; i < 2000; ++i) {
        run(p, i % 7, 0);
        if (i % 200 == 0)
            nap(300000);
    }
    stop(p);
}

/* Items longer than the caller spins, so that it sleeps too. */
static void slow_items(void **state)
{
    (void)state;
    tlr_pool *p = start(THREADS);
    for (int i = 0; i < 20; ++i)
        run(p, 5, 1);
    stop(p);
}

static void starts_and_stops(void **state)
{
    (void)state;
    for (int i = 0; i < 50; ++i)
        stop(start(1 + i % THREADS));
    assert_true(tlr_cpu_count() >= 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_item_once),
        cmocka_unit_test(job_after_job),
        cmocka_unit_test(slow_items),
        cmocka_unit_test(starts_and_stops),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
