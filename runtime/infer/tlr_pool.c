/* tlr_pool.c: a pool of POSIX threads that run lists of items.
 *
 * One word, the gate, says which job is open and how many workers are inside it.  A worker
 * enters an open job it has not seen by compare-and-swap, takes items from a shared counter,
 * and leaves; the caller works too, closes the gate when the list is empty, and waits only for
 * those inside.  So a worker that was asleep never holds up a job that is already done, and
 * the job's fields do not change while anyone reads them.
 *
 * Waits spin about 20 us (the gap between two kernels), then sleep on a condition variable.
 */
#define _GNU_SOURCE
#include "tlr_session.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

enum { GATE_OPEN = 1 << 16, GATE_INSIDE = GATE_OPEN - 1, GATE_JOB_SHIFT = 17, SPIN_NS = 20000 };

typedef struct worker {
    tlr_pool *pool;
    pthread_t thread;
    int index;
} worker;

struct tlr_pool {
    alignas(64) atomic_uint_fast64_t gate; /* job << 17 | open << 16 | workers inside */
    alignas(64) atomic_int_fast64_t next;  /* first item not taken */
    int64_t items;
    tlr_item_fn *fn;
    const tlr_frame *frame;
    alignas(64) pthread_mutex_t lock; /* for sleeping alone */
    pthread_cond_t opened, emptied;
    atomic_int sleepers, caller_sleeps, stop;
    int threads; /* with the caller */
    tlr_par par;
    worker workers[]; /* threads - 1 */
};

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int job_to_enter(tlr_pool *p, uint64_t last)
{
    uint64_t g = atomic_load(&p->gate);
    return atomic_load(&p->stop) || ((g & GATE_OPEN) && g >> GATE_JOB_SHIFT != last);
}

static int nobody_inside(tlr_pool *p)
{
    return (atomic_load(&p->gate) & GATE_INSIDE) == 0;
}

static void take_items(tlr_pool *p, int index)
{
    int64_t i;
    while ((i = atomic_fetch_add_explicit(&p->next, 1, memory_order_relaxed)) < p->items)
        p->fn(p->frame, i, index);
}

static void worker_sleep(tlr_pool *p, uint64_t last)
{
    pthread_mutex_lock(&p->lock);
    atomic_fetch_add(&p->sleepers, 1);
    while (!job_to_enter(p, last))
        pthread_cond_wait(&p->opened, &p->lock);
    atomic_fetch_sub(&p->sleepers, 1);
    pthread_mutex_unlock(&p->lock);
}

/* Until there is a job to enter: spin, then sleep. */
static void worker_wait(tlr_pool *p, uint64_t last)
{
    for (int64_t end = now_ns() + SPIN_NS; now_ns() < end; relax())
        if (job_to_enter(p, last))
            return;
    worker_sleep(p, last);
}

/* Count the worker in; false if the gate closed first. */
static int enter(tlr_pool *p, uint64_t *last)
{
    uint_fast64_t g = atomic_load(&p->gate);
    while ((g & GATE_OPEN) && g >> GATE_JOB_SHIFT != *last)
        if (atomic_compare_exchange_weak(&p->gate, &g, g + 1)) {
            *last = g >> GATE_JOB_SHIFT;
            return 1;
        }
    return 0;
}

static void leave(tlr_pool *p)
{
    uint64_t g = atomic_fetch_sub(&p->gate, 1) - 1;
    if ((g & (GATE_OPEN | GATE_INSIDE)) != 0 || !atomic_load(&p->caller_sleeps))
        return;
    pthread_mutex_lock(&p->lock);
    pthread_cond_signal(&p->emptied);
    pthread_mutex_unlock(&p->lock);
}

static void *worker_main(void *arg)
{
    worker *w = arg;
    uint64_t last = 0;
    for (;;) {
        worker_wait(w->pool, last);
        if (atomic_load(&w->pool->stop))
            return NULL;
        if (enter(w->pool, &last)) {
            take_items(w->pool, w->index);
            leave(w->pool);
        }
    }
}

static void wake_workers(tlr_pool *p)
{
    if (atomic_load(&p->sleepers) == 0)
        return;
    pthread_mutex_lock(&p->lock);
    pthread_cond_broadcast(&p->opened);
    pthread_mutex_unlock(&p->lock);
}

static void caller_wait(tlr_pool *p)
{
    for (int64_t end = now_ns() + SPIN_NS; now_ns() < end; relax())
        if (nobody_inside(p))
            return;
    pthread_mutex_lock(&p->lock);
    atomic_store(&p->caller_sleeps, 1);
    while (!nobody_inside(p))
        pthread_cond_wait(&p->emptied, &p->lock);
    atomic_store(&p->caller_sleeps, 0);
    pthread_mutex_unlock(&p->lock);
}

static void pool_run(void *self, int64_t items, tlr_item_fn *fn, const tlr_frame *f)
{
    tlr_pool *p = self;
    if (p->threads == 1 || items <= 1) {
        for (int64_t i = 0; i < items; ++i)
            fn(f, i, 0);
        return;
    }
    p->items = items, p->fn = fn, p->frame = f;
    atomic_store_explicit(&p->next, 0, memory_order_relaxed);
    uint64_t job = (atomic_load(&p->gate) >> GATE_JOB_SHIFT) + 1;
    atomic_store(&p->gate, job << GATE_JOB_SHIFT | GATE_OPEN);
    wake_workers(p);
    take_items(p, 0);
    atomic_fetch_and(&p->gate, ~(uint_fast64_t)GATE_OPEN);
    if (!nobody_inside(p))
        caller_wait(p);
}

size_t tlr_pool_bytes(int threads)
{
    size_t n = sizeof(tlr_pool) + sizeof(worker) * (size_t)(threads > 1 ? threads - 1 : 0);
    return (n + 63) / 64 * 64;
}

/* Signals stay with the application's threads: ours are started with all blocked, except those
 * that a thread brings upon itself, as by weights whose file was cut: blocked, they would end the
 * process past the application's handler. */
static int start_thread(worker *w)
{
    static const int own[] = { SIGBUS, SIGSEGV, SIGFPE, SIGILL };
    sigset_t blocked, before;
    sigfillset(&blocked);
    for (size_t i = 0; i < sizeof own / sizeof *own; ++i)
        sigdelset(&blocked, own[i]);
    if (pthread_sigmask(SIG_SETMASK, &blocked, &before) != 0)
        return 0;
    int failed = pthread_create(&w->thread, NULL, worker_main, w);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return !failed;
}

tlr_status tlr_pool_start(tlr_pool *pool, int threads)
{
    memset(pool, 0, tlr_pool_bytes(threads));
    pool->threads = 1;
    pool->par = (tlr_par){ pool_run, pool, threads };
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->opened, NULL);
    pthread_cond_init(&pool->emptied, NULL);
    for (; pool->threads < threads; ++pool->threads) {
        worker *w = &pool->workers[pool->threads - 1];
        w->pool = pool;
        w->index = pool->threads;
        if (!start_thread(w)) {
            tlr_pool_stop(pool);
            return TLR_E_LIMIT;
        }
    }
    return TLR_OK;
}

void tlr_pool_stop(tlr_pool *pool)
{
    atomic_store(&pool->stop, 1);
    pthread_mutex_lock(&pool->lock);
    pthread_cond_broadcast(&pool->opened);
    pthread_mutex_unlock(&pool->lock);
    for (int i = 0; i < pool->threads - 1; ++i)
        pthread_join(pool->workers[i].thread, NULL);
    pthread_cond_destroy(&pool->emptied);
    pthread_cond_destroy(&pool->opened);
    pthread_mutex_destroy(&pool->lock);
}

const tlr_par *tlr_pool_par(tlr_pool *pool)
{
    return &pool->par;
}

int tlr_cpu_count(void)
{
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    return n < 1 ? 1 : n > 1024 ? 1024 : n;
}
