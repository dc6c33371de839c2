/* tlk_cuda_mma.h: the product of tlk_cuda_gemm.h on matrix units: operands are rounded to a short
 * format on their way into shared memory, products and sums are fp32.
 *
 * A block makes a tile of Job::mma_rows x (8192 / Job::mma_rows), 64 x 128 or 128 x 64, a warp
 * 32 x 32 of it.  Sixteen 32-bit words of k at a time pass through shared memory, in two halves:
 * the next step's operands are on their way while this one's are multiplied.  A word holds one
 * number in TF32, two neighbours along k in bf16; so one text serves both.  Every 512 of k the sum
 * is put aside, as there.  In which order a device adds up within one instruction is its own
 * affair, but the same in every run on it.
 *
 * Beyond tlk_cuda_gemm.h a job says:
 *     static constexpr int mma_rows;            64 where m is short beside n, else 128
 *     bool a_fours(), b_fours();                four neighbours (along k if by_k, else along the
 *                                               side) lie together, aligned, all in or all out,
 *                                               of the product as of a padded plane
 *     void a_four(tlk_part side, tlk_part along, float v[4]), b_four(...);
 *
 * Banks.  Shared memory has 32 banks of a word.  A row of a tile (one m or n, sixteen words of k)
 * takes TLK_MMA_ROW = 20 words.  A warp's load of fragments takes words (row g, word t), g = 0..7,
 * t = 0..3: banks 20 g + t, which are all different, as 20 g mod 32 runs through the multiples of
 * four.  Stores are laid out below so that they are different too.
 */
#ifndef TLK_CUDA_MMA_H
#define TLK_CUDA_MMA_H

#include "tlk_cuda_gemm.h"

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
#error "matrix units in tf32 and bf16 (--precision) need compute capability 8.0"
#endif

constexpr int TLK_MMA_AREA = 8192;
constexpr int TLK_MMA_WORDS = 16; /* of k, in a step */
constexpr int TLK_MMA_ROW = TLK_MMA_WORDS + 4;
constexpr int TLK_MMA_ASIDE = TLK_GEMM_ASIDE * TLK_GEMM_STEP; /* of k until the sum is put aside */
constexpr int TLK_MMA_WARP_SIDE = 32;
constexpr int TLK_MMA_DOWN = 2, TLK_MMA_ALONG = 4; /* instructions of 16 x 8 in a warp's 32 x 32 */

/* --- the instructions ------------------------------------------------------------- */

/* Fragments are those of the PTX ISA, "Matrix Fragments for mma.m16n8k8" and "... mma.m16n8k16 with
 * floating point type".  With g = lane / 4 and t = lane % 4, in words:
 *     a: (row g, word t), (g + 8, t), (g, t + 4), (g + 8, t + 4)
 *     b: (column g, word t), (g, t + 4)
 *     c: (row g, column 2 t), (g, 2 t + 1), (g + 8, 2 t), (g + 8, 2 t + 1) */

#if defined(__CUDACC__)
/* Nearest, ties away from zero. */
TLK_DEVICE uint32_t tlk_round_tf32(float v)
{
    uint32_t word;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(word) : "f"(v));
    return word;
}

/* Nearest, ties to even; `first` in the lower half. */
TLK_DEVICE uint32_t tlk_round_bf16(float first, float second)
{
    uint32_t word;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(second), "f"(first));
    return word;
}

#define TLK_MMA_INSTRUCTION(shape_and_types, c, a, b)                                        \
    asm volatile("mma.sync.aligned." shape_and_types                                         \
                 " {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"                    \
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])                            \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]))

/* c += a b over eight of k. */
TLK_DEVICE void tlk_mma_tf32(float c[4], const uint32_t a[4], const uint32_t b[2])
{
    TLK_MMA_INSTRUCTION("m16n8k8.row.col.f32.tf32.tf32.f32", c, a, b);
}

/* c += a b over sixteen of k. */
TLK_DEVICE void tlk_mma_bf16(float c[4], const uint32_t a[4], const uint32_t b[2])
{
    TLK_MMA_INSTRUCTION("m16n8k16.row.col.f32.bf16.bf16.f32", c, a, b);
}
#endif

/* A format: how numbers become a word, and the product of words. */
struct tlk_tf32 {
    static constexpr int per_word = 1, step = TLK_MMA_WORDS;
    /* `stride`: from a number to its neighbour along k. */
    TLK_METHOD static uint32_t pack(const float *v, int) { return tlk_round_tf32(v[0]); }
    TLK_METHOD static void multiply(float c[4], const uint32_t a[4], const uint32_t b[2])
    {
        tlk_mma_tf32(c, a, b);
    }
};

struct tlk_bf16 {
    static constexpr int per_word = 2, step = 2 * TLK_MMA_WORDS;
    TLK_METHOD static uint32_t pack(const float *v, int stride)
    {
        return tlk_round_bf16(v[0], v[stride]);
    }
    TLK_METHOD static void multiply(float c[4], const uint32_t a[4], const uint32_t b[2])
    {
        tlk_mma_bf16(c, a, b);
    }
};

/* --- operands on their way to shared memory ------------------------------------------ */

/* The two operands alike: a side (m or n) and k. */
template <class Job> struct tlk_mma_left {
    const Job &job;
    TLK_METHOD bool by_k() const { return job.a_by_k(); }
    TLK_METHOD int sides() const { return job.rows(); }
    TLK_METHOD tlk_part side(int m) const { return job.a_side(m); }
    TLK_METHOD tlk_part along(int k) const { return job.a_along(k); }
    TLK_METHOD float at(tlk_part side, tlk_part along) const { return job.a(side, along); }
    TLK_METHOD bool fours() const { return job.a_fours(); }
    TLK_METHOD void four(tlk_part side, tlk_part along, float *v) const
    {
        job.a_four(side, along, v);
    }
};

template <class Job> struct tlk_mma_right {
    const Job &job;
    TLK_METHOD bool by_k() const { return job.b_by_k(); }
    TLK_METHOD int sides() const { return job.columns(); }
    TLK_METHOD tlk_part side(int n) const { return job.b_side(n); }
    TLK_METHOD tlk_part along(int k) const { return job.b_along(k); }
    TLK_METHOD float at(tlk_part side, tlk_part along) const { return job.b(side, along); }
    TLK_METHOD bool fours() const { return job.b_fours(); }
    TLK_METHOD void four(tlk_part side, tlk_part along, float *v) const
    {
        job.b_four(side, along, v);
    }
};

/* Rows 0, 4, 1, 5, 2, 6, 3, 7: two that follow each other lie 80 words apart, half the banks, so
 * that a store of 32 words, two rows of sixteen, meets every bank once. */
TLK_DEVICE int tlk_mma_spread(int row)
{
    return row / 8 * 8 + row % 2 * 4 + row % 8 / 2;
}

/* A way of bringing a tile: `floats` numbers at once; the q-th such unit of the tile begins at
 * side(q), k(q).  A thread's units are threadIdx.x, threadIdx.x + 256, ..., all at one k; `rows`
 * numbers of k from there on have places of their own. */

/* Four along k.  Eight threads (TF32; sixteen in bf16) store two rows at once. */
template <class Format> struct tlk_mma_k4 {
    static constexpr int floats = 4, rows = 1, a_row = Format::step / floats;
    TLK_METHOD static int side(int q) { return tlk_mma_spread(q / a_row); }
    TLK_METHOD static int k(int q) { return q % a_row * floats; }
    template <class Operand>
    TLK_METHOD static void get(const Operand &o, tlk_part side, const tlk_part *along, int,
                               float *v)
    {
        o.four(side, along[0], v);
    }
    template <class Shared> TLK_METHOD static void put(Shared &to, int at, const float *v)
    {
        constexpr int words = floats / Format::per_word;
        uint32_t word[words];
        TLK_UNROLL
        for (int i = 0; i < words; ++i)
            word[i] = Format::pack(v + i * Format::per_word, 1);
        tlk_store<words>(to, at, word);
    }
};

/* A word's numbers, whether neighbours in memory or not. */
template <class Format> struct tlk_mma_one_word {
    static constexpr int floats = Format::per_word, rows = floats;
    template <class Operand>
    TLK_METHOD static void get(const Operand &o, tlk_part side, const tlk_part *along, int left,
                               float *v)
    {
        TLK_UNROLL
        for (int i = 0; i < rows; ++i)
            v[i] = i < left ? o.at(side, along[i]) : 0.0f;
    }
    template <class Shared> TLK_METHOD static void put(Shared &to, int at, const float *v)
    {
        to[at] = Format::pack(v, 1);
    }
};

/* Threads along k: a warp stores two rows. */
template <class Format> struct tlk_mma_k1 : tlk_mma_one_word<Format> {
    TLK_METHOD static int side(int q) { return tlk_mma_spread(q / TLK_MMA_WORDS); }
    TLK_METHOD static int k(int q) { return q % TLK_MMA_WORDS * Format::per_word; }
};

/* Threads along the side: a warp stores eight rows by four words, as fragments are loaded, and
 * reads 32 bytes together. */
template <class Format> struct tlk_mma_side1 : tlk_mma_one_word<Format> {
    TLK_METHOD static int side(int q) { return q / 4 % 8 + q / 128 * 8; }
    TLK_METHOD static int k(int q) { return (q % 4 + q / 32 % 4 * 4) * Format::per_word; }
};

/* Four along the side, a word of each: at one of the four a warp stores sixteen words of two rows
 * that lie 80 words apart. */
template <class Format> struct tlk_mma_side4 {
    static constexpr int floats = 4 * Format::per_word, rows = Format::per_word;
    TLK_METHOD static int side(int q) { return q / TLK_MMA_WORDS * 4; }
    TLK_METHOD static int k(int q) { return q % TLK_MMA_WORDS * Format::per_word; }
    template <class Operand>
    TLK_METHOD static void get(const Operand &o, tlk_part side, const tlk_part *along, int left,
                               float *v)
    {
        TLK_UNROLL
        for (int i = 0; i < rows; ++i)
            if (i < left)
                o.four(side, along[i], v + 4 * i);
            else
                v[4 * i] = v[4 * i + 1] = v[4 * i + 2] = v[4 * i + 3] = 0;
    }
    template <class Shared> TLK_METHOD static void put(Shared &to, int at, const float *v)
    {
        TLK_UNROLL
        for (int j = 0; j < 4; ++j)
            to[at + j * TLK_MMA_ROW] = Format::pack(v + j, 4);
    }
};

/* What the sides of this thread's units have in their places, for all steps. */
template <class Way, int share, class Operand>
TLK_DEVICE void tlk_mma_sides_by(const Operand &o, int side0, tlk_part *sides)
{
TLK_UNROLL
    for (int i = 0; i < share / Way::floats; ++i)
        sides[i] = o.side(side0 + Way::side((int)threadIdx.x + i * TLK_CUDA_THREADS));
}

/* This thread's share of a tile: from memory into v, zeros outside; from v into shared memory. */
template <class Way, int share, class Operand>
TLK_DEVICE void tlk_mma_fetch_by(const Operand &o, const tlk_part *sides, int side0, int k0,
                                 int end, float *v)
{
    const int k = k0 + Way::k((int)threadIdx.x);
    tlk_part along[Way::rows];
TLK_UNROLL
    for (int j = 0; j < Way::rows; ++j)
        along[j] = o.along(k + j);
TLK_UNROLL
    for (int i = 0; i < share / Way::floats; ++i) {
        const int side = side0 + Way::side((int)threadIdx.x + i * TLK_CUDA_THREADS);
        float *to = v + i * Way::floats;
        if (side < o.sides() && k < end)
            Way::get(o, sides[i], along, end - k, to);
        else
TLK_UNROLL
            for (int j = 0; j < Way::floats; ++j)
                to[j] = 0;
    }
}

template <class Way, class Format, int share, class Shared>
TLK_DEVICE void tlk_mma_store_by(Shared &shared, int first, const float *v)
{
TLK_UNROLL
    for (int i = 0; i < share / Way::floats; ++i) {
        const int q = (int)threadIdx.x + i * TLK_CUDA_THREADS;
        Way::put(shared, first + Way::side(q) * TLK_MMA_ROW + Way::k(q) / Format::per_word,
                 v + i * Way::floats);
    }
}

/* One operand of one block: by_k() and fours() follow from the literal, so one branch is left. */
template <class Format, int side, class Operand> struct tlk_mma_carrier {
    static constexpr int share = side * Format::step / TLK_CUDA_THREADS;
    typedef tlk_mma_k4<Format> k4;
    typedef tlk_mma_k1<Format> k1;
    typedef tlk_mma_side4<Format> side4;
    typedef tlk_mma_side1<Format> side1;
    Operand o;
    int side0, end;
    tlk_part sides[share / Format::per_word];
    float v[share];

    TLK_METHOD tlk_mma_carrier(const Operand &operand, int first, int depth)
        : o(operand), side0(first), end(depth)
    {
        if (o.by_k())
            o.fours() ? tlk_mma_sides_by<k4, share>(o, side0, sides)
                      : tlk_mma_sides_by<k1, share>(o, side0, sides);
        else
            o.fours() ? tlk_mma_sides_by<side4, share>(o, side0, sides)
                      : tlk_mma_sides_by<side1, share>(o, side0, sides);
    }
    TLK_METHOD void fetch(int k)
    {
        if (o.by_k())
            o.fours() ? tlk_mma_fetch_by<k4, share>(o, sides, side0, k, end, v)
                      : tlk_mma_fetch_by<k1, share>(o, sides, side0, k, end, v);
        else
            o.fours() ? tlk_mma_fetch_by<side4, share>(o, sides, side0, k, end, v)
                      : tlk_mma_fetch_by<side1, share>(o, sides, side0, k, end, v);
    }
    template <class Shared> TLK_METHOD void store(Shared &to, int first) const
    {
        if (o.by_k())
            o.fours() ? tlk_mma_store_by<k4, Format, share>(to, first, v)
                      : tlk_mma_store_by<k1, Format, share>(to, first, v);
        else
            o.fours() ? tlk_mma_store_by<side4, Format, share>(to, first, v)
                      : tlk_mma_store_by<side1, Format, share>(to, first, v);
    }
};

/* --- the product ---------------------------------------------------------------------- */

typedef float tlk_mma_sums[TLK_MMA_DOWN][TLK_MMA_ALONG][4];

/* One step of this warp's 32 x 32; `a`, `b`: its first word of each tile, with this lane's place in
 * a fragment. */
template <class Format, class SharedA, class SharedB>
TLK_DEVICE void tlk_mma_multiply(SharedA &a_tile, SharedB &b_tile, int a, int b, tlk_mma_sums &acc)
{
TLK_UNROLL
    for (int word = 0; word < TLK_MMA_WORDS; word += 8) {
        uint32_t x[TLK_MMA_DOWN][4], y[TLK_MMA_ALONG][2];
TLK_UNROLL
        for (int i = 0; i < TLK_MMA_DOWN; ++i)
TLK_UNROLL
            for (int e = 0; e < 4; ++e)
                x[i][e] = a_tile[a + (i * 16 + e % 2 * 8) * TLK_MMA_ROW + word + e / 2 * 4];
TLK_UNROLL
        for (int j = 0; j < TLK_MMA_ALONG; ++j)
TLK_UNROLL
            for (int e = 0; e < 2; ++e)
                y[j][e] = b_tile[b + j * 8 * TLK_MMA_ROW + word + e * 4];
TLK_UNROLL
        for (int i = 0; i < TLK_MMA_DOWN; ++i)
TLK_UNROLL
            for (int j = 0; j < TLK_MMA_ALONG; ++j)
                Format::multiply(acc[i][j], x[i], y[j]);
    }
}

/* sum += acc; acc = 0. */
TLK_DEVICE void tlk_mma_put_aside(tlk_mma_sums &sum, tlk_mma_sums &acc)
{
TLK_UNROLL
    for (int i = 0; i < TLK_MMA_DOWN; ++i)
TLK_UNROLL
        for (int j = 0; j < TLK_MMA_ALONG; ++j)
TLK_UNROLL
            for (int e = 0; e < 4; ++e) {
                sum[i][j][e] += acc[i][j][e];
                acc[i][j][e] = 0;
            }
}

/* `row`, `column`: of this lane's first element in the product. */
template <class Job>
TLK_DEVICE void tlk_mma_put(const Job &job, int row, int column, const tlk_mma_sums &sum)
{
    const int rows = job.rows(), columns = job.columns();
TLK_UNROLL
    for (int i = 0; i < TLK_MMA_DOWN; ++i)
TLK_UNROLL
        for (int j = 0; j < TLK_MMA_ALONG; ++j)
TLK_UNROLL
            for (int e = 0; e < 4; ++e) {
                int m = row + i * 16 + e / 2 * 8, n = column + j * 8 + e % 2;
                if (m < rows && n < columns)
                    job.put(m, n, sum[i][j][e]);
            }
}

template <class Format, class Job> TLK_DEVICE void tlk_cuda_mma(const Job &job)
{
    constexpr int ROWS = Job::mma_rows, COLUMNS = TLK_MMA_AREA / ROWS;
    TLK_SHARED(uint32_t, a, 2 * ROWS * TLK_MMA_ROW);
    TLK_SHARED(uint32_t, b, 2 * COLUMNS * TLK_MMA_ROW);
    const int lane = (int)threadIdx.x % TLK_CUDA_WARP, warp = (int)threadIdx.x / TLK_CUDA_WARP;
    const int row = warp % (ROWS / TLK_MMA_WARP_SIDE) * TLK_MMA_WARP_SIDE;
    const int column = warp / (ROWS / TLK_MMA_WARP_SIDE) * TLK_MMA_WARP_SIDE;
    const int m0 = (int)blockIdx.y * ROWS, n0 = (int)blockIdx.x * COLUMNS;
    const int a_word = (row + lane / 4) * TLK_MMA_ROW + lane % 4;
    const int b_word = (column + lane / 4) * TLK_MMA_ROW + lane % 4;
    const int end = job.depth();
    tlk_mma_carrier<Format, ROWS, tlk_mma_left<Job>> left({ job }, m0, end);
    tlk_mma_carrier<Format, COLUMNS, tlk_mma_right<Job>> right({ job }, n0, end);
    tlk_mma_sums sum = {}, acc = {};
    int half = 0;
    left.fetch(0);
    right.fetch(0);
    for (int k = 0; k < end; k += Format::step, half ^= 1) {
        const int a_half = half * ROWS * TLK_MMA_ROW, b_half = half * COLUMNS * TLK_MMA_ROW;
        left.store(a, a_half);
        right.store(b, b_half);
        /* One barrier a step: past it nobody reads the half that is stored to next. */
        __syncthreads();
        if (k + Format::step < end) {
            left.fetch(k + Format::step);
            right.fetch(k + Format::step);
        }
        tlk_mma_multiply<Format>(a, b, a_half + a_word, b_half + b_word, acc);
        if ((k + Format::step) % TLK_MMA_ASIDE == 0)
            tlk_mma_put_aside(sum, acc);
    }
    tlk_mma_put_aside(sum, acc);
    tlk_mma_put(job, m0 + row + lane / 4, n0 + column + lane % 4 * 2, sum);
}

#endif
