/* planted.cu: kernels with one mistake each, and one without: what the emulation must find.
 * Built by test_cuda.py as C++; each kernel's finding is compared with what stands beside it. */
#include "tlk_cuda.h"

enum { N = 64 };
alignas(16) static float memory[2 * N];
static tlk_emu_mark marks[2 * N];

#define GLOBAL tlk_view((float *)f.act, N)

/* Mirrors the block's elements, as it should. */
static void right(const tlk_cuda_frame f)
{
    TLK_SHARED(float, part, N);
    part[threadIdx.x] = GLOBAL[threadIdx.x];
    __syncthreads();
    tlk_fresh((float *)f.fix, N)[threadIdx.x] = part[N - 1 - threadIdx.x];
}

static void shared_race(const tlk_cuda_frame f)
{
    TLK_SHARED(float, part, N);
    part[threadIdx.x] = GLOBAL[threadIdx.x];
    tlk_fresh((float *)f.fix, N)[threadIdx.x] = part[threadIdx.x ? threadIdx.x - 1 : 0];
}

/* The second round's writes have no barrier between them and the first round's reads. */
static void missing_second_barrier(const tlk_cuda_frame f)
{
    TLK_SHARED(float, part, N);
    float sum = 0;
    for (int round = 0; round < 2; ++round) {
        part[threadIdx.x] = GLOBAL[threadIdx.x] + (float)round;
        __syncthreads();
        sum += part[N - 1 - threadIdx.x];
    }
    tlk_fresh((float *)f.fix, N)[threadIdx.x] = sum;
}

static void global_race(const tlk_cuda_frame f)
{
    tlk_view((float *)f.fix, N)[0] = GLOBAL[threadIdx.x];
}

static void race_between_blocks(const tlk_cuda_frame f)
{
    if (threadIdx.x == 0)
        tlk_view((float *)f.fix, N)[0] = (float)blockIdx.x;
}

static void shared_overrun(const tlk_cuda_frame)
{
    TLK_SHARED(float, part, N);
    part[threadIdx.x + 1] = 0;
}

static void global_overrun(const tlk_cuda_frame f)
{
    tlk_fresh((float *)f.fix, N)[threadIdx.x] = GLOBAL[threadIdx.x + 1];
}

static void outside(const tlk_cuda_frame f)
{
    tlk_view((float *)f.fix, 2 * N)[threadIdx.x] = 0;
}

static void shared_unwritten(const tlk_cuda_frame f)
{
    TLK_SHARED(float, part, N);
    if (threadIdx.x < N / 2)
        part[threadIdx.x] = 1;
    __syncthreads();
    tlk_fresh((float *)f.fix, N)[threadIdx.x] = part[threadIdx.x];
}

static void global_unwritten(const tlk_cuda_frame f)
{
    tlk_ptr<float> y = tlk_fresh((float *)f.fix, N);
    y[threadIdx.x] = y[(threadIdx.x + 1) % N];
}

static void result_not_whole(const tlk_cuda_frame f)
{
    tlk_ptr<float> y = tlk_fresh((float *)f.fix, N);
    if (threadIdx.x != 7)
        y[threadIdx.x] = 0;
}

static void barrier_not_reached(const tlk_cuda_frame)
{
    if (threadIdx.x < N / 2)
        __syncthreads();
}

static void shuffle_not_reached(const tlk_cuda_frame)
{
    if (threadIdx.x % 2 == 0)
        (void)__shfl_down_sync(0xffffffffu, 1.0f, 1u);
}

static void load_not_aligned(const tlk_cuda_frame f)
{
    float v[4];
    tlk_load4(GLOBAL, threadIdx.x == 3 ? 2 : 4, v);
}

static void write_not_aligned(const tlk_cuda_frame f)
{
    const float v[4] = {};
    if (threadIdx.x == 0)
        tlk_store4(tlk_view((float *)f.fix, N), 6, v);
}

static void store_not_aligned(const tlk_cuda_frame)
{
    TLK_SHARED(uint32_t, part, N);
    const uint32_t word[4] = {};
    if (threadIdx.x == 0)
        tlk_store<4>(part, 6, word);
}

/* --- matrix instructions: ones times ones, so that every element of c is the number of products */

static const uint32_t one_tf32 = 0x3f800000u, one_bf16 = 0x3f803f80u;

/* Mirrored as in `right`: each lane's c[3] says 8 or 16 more than it was. */
static void right_product(const tlk_cuda_frame f)
{
    const uint32_t a[4] = { one_tf32, one_tf32, one_tf32, one_tf32 }, b[2] = { one_tf32, one_tf32 };
    const uint32_t d[4] = { one_bf16, one_bf16, one_bf16, one_bf16 }, e[2] = { one_bf16, one_bf16 };
    float c[4] = { 0, 0, 0, GLOBAL[N - 1 - threadIdx.x] - 24 };
    tlk_mma_tf32(c, a, b);
    tlk_mma_bf16(c, d, e);
    tlk_fresh((float *)f.fix, N)[threadIdx.x] = c[3];
}

static void product_not_reached(const tlk_cuda_frame)
{
    const uint32_t a[4] = {}, b[2] = {};
    float c[4] = {};
    if (threadIdx.x != 37)
        tlk_mma_bf16(c, a, b);
}

/* The second half of the tile is never stored. */
static void product_of_unwritten(const tlk_cuda_frame)
{
    TLK_SHARED(uint32_t, tile, 2 * N);
    const uint32_t b[2] = {};
    float c[4] = {};
    tile[threadIdx.x] = one_tf32;
    __syncthreads();
    const uint32_t a[4] = { tile[threadIdx.x], tile[threadIdx.x], tile[N + threadIdx.x], 0 };
    tlk_mma_tf32(c, a, b);
}

/* The fragments are read before the others' stores. */
static void product_without_barrier(const tlk_cuda_frame)
{
    TLK_SHARED(uint32_t, tile, N);
    const uint32_t b[2] = {};
    float c[4] = {};
    tile[threadIdx.x] = one_tf32;
    const uint32_t a[4] = { tile[threadIdx.x / 2], 0, 0, 0 };
    tlk_mma_tf32(c, a, b);
}

static void product_not_rounded(const tlk_cuda_frame)
{
    const uint32_t a[4] = { one_tf32, one_tf32, one_tf32, one_tf32 }, b[2] = { 0, one_tf32 + 1 };
    float c[4] = {};
    tlk_mma_tf32(c, a, b);
}

static const struct {
    const char *name;
    void (*kernel)(const tlk_cuda_frame);
    const char *finding; /* part of it; NULL: none */
} cases[] = {
    { "right", right, NULL },
    { "shared_race", shared_race, "race: reads part[" },
    { "missing_second_barrier", missing_second_barrier, "race: reads part[" },
    { "global_race", global_race, "race: writes global [0]" },
    { "race_between_blocks", race_between_blocks, "race: writes global [0]" },
    { "shared_overrun", shared_overrun, "index 64 of shared part with 64 elements" },
    { "global_overrun", global_overrun, "index 64 of a global value with 64 elements" },
    { "outside", outside, "outside every allocation" },
    { "shared_unwritten", shared_unwritten, "reads shared part[32], which nobody wrote" },
    { "global_unwritten", global_unwritten, "which nobody wrote" },
    { "result_not_whole", result_not_whole, "word 7 of a result was not written" },
    { "barrier_not_reached", barrier_not_reached, "a barrier that not all threads reach" },
    { "shuffle_not_reached", shuffle_not_reached, "a shuffle that not all threads reach" },
    { "load_not_aligned", load_not_aligned, "reads four at global [2], which is not aligned" },
    { "write_not_aligned", write_not_aligned, "writes four at global [6], which is not aligned" },
    { "store_not_aligned", store_not_aligned, "writes 4 at shared part[6], which is not aligned" },
    { "right_product", right_product, NULL },
    { "product_not_reached", product_not_reached, "at a matrix instruction that not all" },
    { "product_of_unwritten", product_of_unwritten, "reads shared tile[64], which nobody wrote" },
    { "product_without_barrier", product_without_barrier, "race: reads tile[" },
    { "product_not_rounded", product_not_rounded, "word 1 of b of a matrix instruction was" },
    { "right again", right, NULL },
};

int main()
{
    int wrong = 0;
    const unsigned grid[3] = { 1, 1, 1 }, two[3] = { 2, 1, 1 };
    const tlk_emu_region region = { (char *)memory, sizeof memory, marks };
    tlk_cuda_frame f = {};
    f.n = 1, f.act = (char *)memory, f.fix = (char *)(memory + N);
    for (const auto &c : cases) {
        for (int i = 0; i < N; ++i)
            memory[i] = (float)i;
        bool blocks = strcmp(c.name, "race_between_blocks") == 0;
        const char *found = tlk_emu_launch(c.kernel, c.name, blocks ? two : grid, N, &f, &region, 1);
        bool fine = c.finding ? found && strstr(found, c.finding) : !found;
        if (!c.finding)
            for (int i = 0; i < N; ++i)
                fine = fine && memory[N + i] == (float)(N - 1 - i);
        printf("%s %s: %s\n", fine ? "ok" : "WRONG", c.name, found ? found : "nothing found");
        wrong += !fine;
    }
    return wrong != 0;
}
