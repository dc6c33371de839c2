/* tlk_cuda_emu.h: the device that CUDA kernels see, in plain C++ on one thread of the CPU.
 *
 * A block's threads are fibers that run in turn, each until a barrier or a shuffle; blocks run one
 * after another.  Every access through tlk_ptr or TLK_SHARED is checked:
 *
 *     bounds         an index outside the value (global) or array (shared)
 *     unwritten      shared memory that no thread of this block wrote; global memory that holds the
 *                    pattern of fresh memory; a result with an element that nobody wrote
 *     races          two threads at one word, one of them writing, with no barrier of their block
 *                    between (never one between blocks)
 *     barriers       a __syncthreads that some thread of the block never reaches; a shuffle or
 *                    matrix instruction that some thread of the warp never reaches
 *     alignment      several numbers at once from an address that is no multiple of their size
 *     operands       a word of a TF32 fragment that was not rounded to TF32
 *
 * The first finding ends the launch; its text names kernel, block and thread.  Races are found
 * whatever the order of execution, as both accesses are compared by barrier, not by time.
 */
#ifndef TLK_CUDA_EMU_H
#define TLK_CUDA_EMU_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#define TLK_DEVICE static inline
#define TLK_METHOD
#define TLK_UNROLL
#define TLK_SHARED(type, name, count) static tlk_emu_shared<type, count> name(#name)
#define __global__
#define __launch_bounds__(threads)

/* Who touched a word last, and when: epochs count barriers and blocks. */
struct tlk_emu_mark {
    uint32_t write_epoch, writer, read_epoch, reader;
};

/* An allocation of the device, with a mark for each of its 4-byte words. */
struct tlk_emu_region {
    char *base;
    size_t bytes;
    tlk_emu_mark *marks;
};

struct tlk_emu_dim {
    unsigned x, y, z;
};

enum {
    TLK_EMU_MAX_THREADS = 1024,
    TLK_EMU_WARP = 32,
    TLK_EMU_STACK = 128 << 10,
    TLK_EMU_MANY = -1, /* as a reader: several threads */
    TLK_EMU_MAX_FRESH = 16
};
static const uint32_t tlk_emu_pattern = 0x7fbadbadu; /* a NaN that no kernel computes */

enum tlk_emu_state {
    TLK_EMU_READY, TLK_EMU_AT_SHUFFLE, TLK_EMU_AT_PRODUCT, TLK_EMU_AT_BARRIER, TLK_EMU_DONE
};

/* What one lane brings to a matrix instruction. */
struct tlk_emu_operands {
    uint32_t a[4], b[2];
};

struct tlk_emu_fiber {
    jmp_buf where;
    ucontext_t first; /* to get onto the stack; from then on by longjmp, which makes no call */
    char *stack;
    bool started;
    tlk_emu_state state;
    unsigned shuffles, products;
};

struct tlk_emu_fresh {
    char *at;
    size_t bytes;
};

struct tlk_emu_machine {
    const tlk_emu_region *regions;
    int n_regions;
    tlk_emu_fiber fibers[TLK_EMU_MAX_THREADS];
    jmp_buf scheduler;
    void (*kernel)(const tlk_cuda_frame);
    const tlk_cuda_frame *frame;
    const char *name;
    uint32_t epoch, block_epoch, launch_epoch;
    int threads, current;
    uint64_t shuffled[2][TLK_EMU_MAX_THREADS];
    tlk_emu_operands operands[2][TLK_EMU_MAX_THREADS];
    tlk_emu_fresh fresh[TLK_EMU_MAX_FRESH];
    int n_fresh;
    char finding[512];
};
static tlk_emu_machine tlk_emu;
static tlk_emu_dim threadIdx, blockIdx, blockDim, gridDim;

/* --- findings ---------------------------------------------------------------------- */

static void tlk_emu_note(const char *fmt, va_list args)
{
    int n = snprintf(tlk_emu.finding, sizeof tlk_emu.finding, "kernel %s, block %u %u %u, thread %d: ",
                     tlk_emu.name, blockIdx.x, blockIdx.y, blockIdx.z, tlk_emu.current);
    vsnprintf(tlk_emu.finding + n, sizeof tlk_emu.finding - (size_t)n, fmt, args);
}

/* Note what was found and leave the kernel. */
__attribute__((noreturn, format(printf, 1, 2))) static void tlk_emu_fail(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    tlk_emu_note(fmt, args);
    va_end(args);
    _longjmp(tlk_emu.scheduler, 1);
}

/* May this thread read the word now?  `since`: the epoch from which others' accesses count, the
 * launch's first for global memory and the block's for shared. */
static inline void tlk_emu_read(tlk_emu_mark *m, uint32_t since, const char *what, int64_t i)
{
    uint32_t me = (uint32_t)tlk_emu.current, now = tlk_emu.epoch;
    bool near = m->write_epoch == now && m->writer != me;
    if (near || (m->write_epoch >= since && m->write_epoch < tlk_emu.block_epoch))
        tlk_emu_fail("race: reads %s[%lld], which thread %u of %s block writes without a barrier "
                     "between", what, (long long)i, m->writer, near ? "its" : "another");
    if (m->read_epoch == now && m->reader != me)
        m->reader = (uint32_t)TLK_EMU_MANY;
    else
        m->reader = me;
    m->read_epoch = now;
}

static inline void tlk_emu_write(tlk_emu_mark *m, uint32_t since, const char *what, int64_t i)
{
    uint32_t me = (uint32_t)tlk_emu.current, now = tlk_emu.epoch;
    uint32_t block = tlk_emu.block_epoch;
    bool write = (m->write_epoch == now && m->writer != me) ||
                 (m->write_epoch >= since && m->write_epoch < block);
    bool read = (m->read_epoch == now && m->reader != me) ||
                (m->read_epoch >= since && m->read_epoch < block);
    if (write || read)
        tlk_emu_fail("race: writes %s[%lld], which another thread %s without a barrier between",
                     what, (long long)i, write ? "writes" : "reads");
    m->write_epoch = now;
    m->writer = me;
}

/* --- global memory ------------------------------------------------------------------- */

static inline tlk_emu_mark *tlk_emu_marks(const void *at, size_t bytes)
{
    const char *p = (const char *)at;
    for (int i = 0; i < tlk_emu.n_regions; ++i) {
        const tlk_emu_region *r = &tlk_emu.regions[i];
        if (p >= r->base && p + bytes <= r->base + r->bytes)
            return r->marks + (p - r->base) / 4;
    }
    if (bytes > 0)
        tlk_emu_fail("a value of %zu bytes lies outside every allocation of the device", bytes);
    return NULL;
}

/* Bytes of elements smaller than a word are not told apart, so races there go unseen. */
template <class T> struct tlk_emu_ref {
    T *at;
    tlk_emu_mark *mark;
    int64_t i;

    operator T() const
    {
        if (sizeof(T) >= 4) {
            uint32_t word;
            tlk_emu_read(mark, tlk_emu.launch_epoch, "global ", i);
            memcpy(&word, at, sizeof word);
            if (word == tlk_emu_pattern)
                tlk_emu_fail("reads global [%lld], which nobody wrote", (long long)i);
        }
        return *at;
    }
    const tlk_emu_ref &operator=(T v) const
    {
        if (sizeof(T) >= 4)
            tlk_emu_write(mark, tlk_emu.launch_epoch, "global ", i);
        *at = v;
        return *this;
    }
    const tlk_emu_ref &operator=(const tlk_emu_ref &other) const { return *this = (T)other; }
};

template <class T> struct tlk_emu_bare { typedef T type; };
template <class T> struct tlk_emu_bare<const T> { typedef T type; };

/* More than one byte for what is const. */
template <class T> struct tlk_emu_is_const { char size[1]; };
template <class T> struct tlk_emu_is_const<const T> { char size[2]; };

template <class T> struct tlk_ptr {
    typedef typename tlk_emu_bare<T>::type bare;
    T *first;
    int64_t elems;
    tlk_emu_mark *marks;

    tlk_ptr() : first(NULL), elems(0), marks(NULL) {}
    tlk_ptr(decltype(nullptr)) : tlk_ptr() {}
    tlk_ptr(T *p, int64_t n, tlk_emu_mark *m) : first(p), elems(n), marks(m) {}
    operator tlk_ptr<const T>() const { return tlk_ptr<const T>(first, elems, marks); }
    explicit operator bool() const { return first != NULL; }

    tlk_emu_ref<bare> at(int64_t i) const
    {
        if (i < 0 || i >= elems)
            tlk_emu_fail("index %lld of a global value with %lld elements", (long long)i,
                         (long long)elems);
        return tlk_emu_ref<bare>{ (bare *)first + i, marks + i * (int64_t)sizeof(T) / 4, i };
    }
    /* Reading gives the value itself; what may be written gives a reference that checks. */
    auto operator[](int64_t i) const
    {
        if constexpr (sizeof(tlk_emu_is_const<T>) > 1)
            return (bare)at(i);
        else
            return at(i);
    }
};

template <class T> static inline tlk_ptr<T> tlk_view(T *at, int64_t elems)
{
    return tlk_ptr<T>(at, elems, tlk_emu_marks(at, (size_t)elems * sizeof(T)));
}

/* The block's first thread comes here before any other: it makes the result's memory fresh. */
template <class T> static inline tlk_ptr<T> tlk_fresh(T *at, int64_t elems)
{
    size_t bytes = (size_t)elems * sizeof(T);
    int i = 0;
    while (i < tlk_emu.n_fresh && tlk_emu.fresh[i].at != (char *)at)
        ++i;
    if (sizeof(T) >= 4 && i == tlk_emu.n_fresh && i < TLK_EMU_MAX_FRESH) {
        tlk_emu_marks(at, bytes);
        for (size_t k = 0; k < bytes; k += 4)
            memcpy((char *)at + k, &tlk_emu_pattern, 4);
        tlk_emu.fresh[tlk_emu.n_fresh++] = tlk_emu_fresh{ (char *)at, bytes };
    }
    return tlk_view(at, elems);
}

template <class T> static inline tlk_ptr<T> tlk_writable(const tlk_ptr<const T> &p)
{
    return tlk_ptr<T>((T *)p.first, p.elems, p.marks);
}

static inline void tlk_load4(const tlk_ptr<const float> &p, int64_t i, float *v)
{
    if ((uintptr_t)(p.first + i) % 16 != 0)
        tlk_emu_fail("reads four at global [%lld], which is not aligned", (long long)i);
    for (int j = 0; j < 4; ++j)
        v[j] = p[i + j];
}

static inline void tlk_store4(const tlk_ptr<float> &p, int64_t i, const float *v)
{
    if ((uintptr_t)(p.first + i) % 16 != 0)
        tlk_emu_fail("writes four at global [%lld], which is not aligned", (long long)i);
    for (int j = 0; j < 4; ++j)
        p[i + j] = v[j];
}

/* --- shared memory -------------------------------------------------------------------- */

template <class T, int count> struct tlk_emu_shared {
    T value[count];
    tlk_emu_mark mark[count];
    const char *name;

    explicit tlk_emu_shared(const char *n) : value(), mark(), name(n) {}

    void check(int64_t i) const
    {
        if (i < 0 || i >= count)
            tlk_emu_fail("index %lld of shared %s with %d elements", (long long)i, name, count);
    }

    struct ref {
        tlk_emu_shared *array;
        int64_t i;
        operator T() const { return array->load(i); }
        const ref &operator=(T v) const
        {
            array->check(i);
            tlk_emu_write(&array->mark[i], tlk_emu.block_epoch, array->name, i);
            array->value[i] = v;
            return *this;
        }
        const ref &operator=(const ref &other) const { return *this = (T)other; }
    };

    T load(int64_t i)
    {
        check(i);
        if (mark[i].write_epoch < tlk_emu.block_epoch)
            tlk_emu_fail("reads shared %s[%lld], which nobody wrote", name, (long long)i);
        tlk_emu_read(&mark[i], tlk_emu.block_epoch, name, i);
        return value[i];
    }
    ref operator[](int64_t i) { return ref{ this, i }; }
    T operator[](int64_t i) const { return const_cast<tlk_emu_shared *>(this)->load(i); }
};

template <int words, class T, int count>
static inline void tlk_store(tlk_emu_shared<T, count> &to, int64_t at, const T *word)
{
    if (at % words != 0)
        tlk_emu_fail("writes %d at shared %s[%lld], which is not aligned", words, to.name,
                     (long long)at);
    for (int j = 0; j < words; ++j)
        to[at + j] = word[j];
}

/* --- barriers, shuffles ------------------------------------------------------------------ */

/* Leave the fiber until the scheduler lets it go on. */
static void tlk_emu_wait(tlk_emu_state state)
{
    tlk_emu_fiber *f = &tlk_emu.fibers[tlk_emu.current];
    f->state = state;
    if (!_setjmp(f->where))
        _longjmp(tlk_emu.scheduler, 1);
}

static inline void __syncthreads(void)
{
    tlk_emu_wait(TLK_EMU_AT_BARRIER);
}

/* Two buffers in turn: whoever writes to one again knows that all have read it. */
template <class T> static inline T tlk_emu_shuffle(T v, int from)
{
    int me = tlk_emu.current;
    uint64_t *buffer = tlk_emu.shuffled[tlk_emu.fibers[me].shuffles++ % 2];
    memcpy(&buffer[me], &v, sizeof v);
    tlk_emu_wait(TLK_EMU_AT_SHUFFLE);
    memcpy(&v, &buffer[me / TLK_EMU_WARP * TLK_EMU_WARP + from], sizeof v);
    return v;
}

template <class T> static inline T __shfl_down_sync(unsigned, T v, unsigned d)
{
    int lane = tlk_emu.current % TLK_EMU_WARP;
    return tlk_emu_shuffle(v, lane + (int)d < TLK_EMU_WARP ? lane + (int)d : lane);
}

template <class T> static inline T __shfl_xor_sync(unsigned, T v, unsigned d)
{
    return tlk_emu_shuffle(v, tlk_emu.current % TLK_EMU_WARP ^ (int)d);
}

template <class T> static inline T __shfl_sync(unsigned, T v, int lane)
{
    return tlk_emu_shuffle(v, lane % TLK_EMU_WARP);
}

/* --- matrix instructions ------------------------------------------------------------------- */

/* As cvt.rna.tf32.f32: ties away from zero. */
static inline uint32_t tlk_round_tf32(float v)
{
    uint32_t bits, low = (1u << 13) - 1; /* TF32 has ten bits of fraction, float 23 */
    memcpy(&bits, &v, sizeof bits);
    if (v != v)
        return 0x7fffffffu;
    return (bits & 0x7f800000u) == 0x7f800000u ? bits : (bits + (1u << 12)) & ~low;
}

/* As cvt.rn.bf16x2.f32: ties to even. */
static inline uint32_t tlk_emu_round_bf16(float v)
{
    uint32_t bits; /* bf16 is the upper half of a float */
    memcpy(&bits, &v, sizeof bits);
    return v != v ? 0x7fffu : (bits + 0x7fffu + (bits >> 16 & 1)) >> 16;
}

static inline uint32_t tlk_round_bf16(float first, float second)
{
    return tlk_emu_round_bf16(first) | tlk_emu_round_bf16(second) << 16;
}

static inline float tlk_emu_number(uint32_t bits)
{
    float v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

/* The i-th number of a word. */
template <int per_word> static inline float tlk_emu_part(uint32_t word, int i)
{
    return tlk_emu_number(per_word == 1 ? word : i ? word & 0xffff0000u : word << 16);
}

/* The warp's lanes hand over their fragments, then each makes its four elements of c: fragments lie
 * as the PTX ISA draws them, see tlk_cuda_mma.h.  Products are exact, sums fp32 in the order of k;
 * a device may add in another. */
template <int per_word>
static inline void tlk_emu_product(float c[4], const uint32_t a[4], const uint32_t b[2])
{
    int me = tlk_emu.current, lane = me % TLK_EMU_WARP;
    tlk_emu_operands *all = tlk_emu.operands[tlk_emu.fibers[me].products++ % 2];
    memcpy(all[me].a, a, sizeof all[me].a);
    memcpy(all[me].b, b, sizeof all[me].b);
    tlk_emu_wait(TLK_EMU_AT_PRODUCT);
    all += me - lane;
    for (int e = 0; e < 4; ++e) {
        int row = lane / 4 + e / 2 * 8, column = lane % 4 * 2 + e % 2;
        for (int k = 0; k < 8 * per_word; ++k) {
            int word = k / per_word;
            uint32_t x = all[row % 8 * 4 + word % 4].a[row / 8 + word / 4 * 2];
            uint32_t y = all[column * 4 + word % 4].b[word / 4];
            c[e] = fmaf(tlk_emu_part<per_word>(x, k % per_word),
                        tlk_emu_part<per_word>(y, k % per_word), c[e]);
        }
    }
}

static inline void tlk_emu_want_tf32(const char *name, const uint32_t *word, int count)
{
    for (int i = 0; i < count; ++i)
        if (tlk_round_tf32(tlk_emu_number(word[i])) != word[i])
            tlk_emu_fail("word %d of %s of a matrix instruction was not rounded to TF32", i, name);
}

static inline void tlk_mma_tf32(float c[4], const uint32_t a[4], const uint32_t b[2])
{
    tlk_emu_want_tf32("a", a, 4);
    tlk_emu_want_tf32("b", b, 2);
    tlk_emu_product<1>(c, a, b);
}

static inline void tlk_mma_bf16(float c[4], const uint32_t a[4], const uint32_t b[2])
{
    tlk_emu_product<2>(c, a, b);
}

/* --- scheduler --------------------------------------------------------------------------- */

static void tlk_emu_fiber_main(void)
{
    for (;;) {
        tlk_emu.kernel(*tlk_emu.frame);
        tlk_emu_wait(TLK_EMU_DONE);
    }
}

/* Let fiber t run until it waits; false: it found something. */
static bool tlk_emu_resume(int t)
{
    tlk_emu_fiber *f = &tlk_emu.fibers[t];
    tlk_emu.current = t;
    threadIdx = tlk_emu_dim{ (unsigned)t, 0, 0 };
    if (_setjmp(tlk_emu.scheduler))
        return tlk_emu.finding[0] == 0;
    if (f->started)
        _longjmp(f->where, 1);
    f->started = true;
    getcontext(&f->first);
    if (!f->stack)
        f->stack = (char *)malloc(TLK_EMU_STACK);
    f->first.uc_stack.ss_sp = f->stack;
    f->first.uc_stack.ss_size = TLK_EMU_STACK;
    f->first.uc_link = NULL;
    makecontext(&f->first, tlk_emu_fiber_main, 0);
    setcontext(&f->first);
    return false; /* not reached */
}

static int tlk_emu_count(int first, int n, tlk_emu_state state)
{
    int count = 0;
    for (int t = first; t < first + n; ++t)
        count += tlk_emu.fibers[t].state == state;
    return count;
}

/* Let all of `n` threads go on that wait at `state`, if every one of them does. */
static bool tlk_emu_release(int first, int n, tlk_emu_state state)
{
    if (tlk_emu_count(first, n, state) < n)
        return false;
    for (int t = first; t < first + n; ++t)
        tlk_emu.fibers[t].state = TLK_EMU_READY;
    return true;
}

static bool tlk_emu_release_some(void)
{
    bool some = false;
    for (int first = 0; first < tlk_emu.threads; first += TLK_EMU_WARP) {
        int left = tlk_emu.threads - first, n = left < TLK_EMU_WARP ? left : TLK_EMU_WARP;
        some |= tlk_emu_release(first, n, TLK_EMU_AT_SHUFFLE);
        some |= tlk_emu_release(first, n, TLK_EMU_AT_PRODUCT);
    }
    if (tlk_emu_release(0, tlk_emu.threads, TLK_EMU_AT_BARRIER)) {
        ++tlk_emu.epoch;
        some = true;
    }
    return some;
}

/* Some wait, and those they wait for are elsewhere or done. */
static bool tlk_emu_stuck(void)
{
    static const char *const where[] = { "", "shuffle", "matrix instruction", "barrier" };
    int t = 0;
    while (tlk_emu.fibers[t].state == TLK_EMU_READY || tlk_emu.fibers[t].state == TLK_EMU_DONE)
        ++t;
    tlk_emu.current = t;
    snprintf(tlk_emu.finding, sizeof tlk_emu.finding,
             "kernel %s, block %u %u %u, thread %d: waits at a %s that not all threads reach",
             tlk_emu.name, blockIdx.x, blockIdx.y, blockIdx.z, t,
             where[tlk_emu.fibers[t].state]);
    return false;
}

static bool tlk_emu_block(void)
{
    tlk_emu.block_epoch = ++tlk_emu.epoch;
    for (int t = 0; t < tlk_emu.threads; ++t)
        tlk_emu.fibers[t].state = TLK_EMU_READY;
    for (;;) {
        for (int t = 0; t < tlk_emu.threads; ++t)
            if (tlk_emu.fibers[t].state == TLK_EMU_READY && !tlk_emu_resume(t))
                return false;
        if (tlk_emu_count(0, tlk_emu.threads, TLK_EMU_DONE) == tlk_emu.threads)
            return true;
        if (!tlk_emu_release_some())
            return tlk_emu_stuck();
    }
}

/* Was every element of the results written? */
static bool tlk_emu_results_whole(void)
{
    for (int i = 0; i < tlk_emu.n_fresh; ++i)
        for (size_t k = 0; k < tlk_emu.fresh[i].bytes; k += 4)
            if (memcmp(tlk_emu.fresh[i].at + k, &tlk_emu_pattern, 4) == 0) {
                snprintf(tlk_emu.finding, sizeof tlk_emu.finding,
                         "kernel %s: word %zu of a result was not written", tlk_emu.name, k / 4);
                return false;
            }
    return true;
}

/* What a finding left half-way is started anew by the next launch. */
static void tlk_emu_forget(void)
{
    for (int t = 0; t < TLK_EMU_MAX_THREADS; ++t)
        tlk_emu.fibers[t].started = false;
}

/* Run every block.  Returns NULL, or what was found. */
extern "C" __attribute__((visibility("default"))) const char *
tlk_emu_launch(void (*kernel)(const tlk_cuda_frame), const char *name, const unsigned grid[3],
               unsigned threads, const tlk_cuda_frame *frame, const tlk_emu_region *regions,
               int n_regions)
{
    tlk_emu.kernel = kernel, tlk_emu.name = name, tlk_emu.frame = frame;
    tlk_emu.regions = regions, tlk_emu.n_regions = n_regions;
    tlk_emu.threads = (int)threads, tlk_emu.n_fresh = 0, tlk_emu.finding[0] = 0;
    tlk_emu.launch_epoch = tlk_emu.epoch + 1;
    gridDim = tlk_emu_dim{ grid[0], grid[1], grid[2] };
    blockDim = tlk_emu_dim{ threads, 1, 1 };
    bool fine = true;
    for (unsigned z = 0; fine && z < grid[2]; ++z)
        for (unsigned y = 0; fine && y < grid[1]; ++y)
            for (unsigned x = 0; fine && x < grid[0]; ++x) {
                blockIdx = tlk_emu_dim{ x, y, z };
                fine = tlk_emu_block();
            }
    if (!fine)
        tlk_emu_forget();
    return fine && tlk_emu_results_whole() ? NULL : tlk_emu.finding;
}

#endif
