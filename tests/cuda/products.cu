/* products.cu: each product on matrix units beside double, element by element, under the emulation.
 *
 * A format with unit roundoff u (2^-11 for TF32, 2^-8 for bf16) rounds two operands, so a product
 * is off by at most (1 + u)^2 - 1 of its magnitude; k sums in fp32 add k 2^-24.  Where the operands
 * are rounded beforehand u is 0: nothing is rounded twice, and nothing else is.
 *
 * That no lanes meet in a bank of shared memory, as the kernels' comments say, is counted as well.
 *
 * The three products of a layer are one list of triples x, w, y, which say where its planes lie, in
 * NCHW or NHWC; a linear layer is a convolution of one pixel.  Built by test_cuda.py as C++.
 */
#include "tlk_cuda_mma_kernels.h"

#include <vector>

typedef std::vector<float> floats;
enum { X_NHWC = 1, Y_NHWC = 2, NHWC = X_NHWC | Y_NHWC };

struct layer {
    int ic, h, w, oc, kernel, groups, stride, pad;
    int nhwc = 0, pictures = 3;
    constexpr int oh() const { return (h + 2 * pad - kernel) / stride + 1; }
    constexpr int ow() const { return (w + 2 * pad - kernel) / stride + 1; }
    constexpr int x_elems() const { return pictures * ic * h * w; }
    constexpr int w_elems() const { return oc * (ic / groups) * kernel * kernel; }
    constexpr int y_elems() const { return pictures * oc * oh() * ow(); }
};

/* Of channel `c` and pixel `at` of picture `p`. */
static int place(bool nhwc, int channels, int pixels, int p, int c, int at)
{
    return nhwc ? (p * pixels + at) * channels + c : (p * channels + c) * pixels + at;
}

/* use(x, w, y): places of three numbers: each product multiplies two of them into the third. */
template <class Use> static void each_triple(const layer &l, Use use)
{
    int in = l.ic / l.groups, out = l.oc / l.groups;
    for (int p = 0; p < l.pictures; ++p)
        for (int oc = 0; oc < l.oc; ++oc)
            for (int at = 0; at < l.oh() * l.ow(); ++at)
                for (int k = 0; k < in * l.kernel * l.kernel; ++k) {
                    int c = k / (l.kernel * l.kernel), tap = k % (l.kernel * l.kernel);
                    int h = at / l.ow() * l.stride - l.pad + tap / l.kernel;
                    int w = at % l.ow() * l.stride - l.pad + tap % l.kernel;
                    if (h >= 0 && h < l.h && w >= 0 && w < l.w)
                        use(place(l.nhwc & X_NHWC, l.ic, l.h * l.w, p, oc / out * in + c,
                                  h * l.w + w),
                            place(l.nhwc & X_NHWC, in, l.kernel * l.kernel, oc, c, tap),
                            place(l.nhwc & Y_NHWC, l.oc, l.oh() * l.ow(), p, oc, at));
                }
}

/* --- the device's memory ------------------------------------------------------------- */

enum { ROOM = 1 << 18 };
alignas(64) static float memory[6 * ROOM];
static tlk_emu_mark marks[6 * ROOM];
enum { X, W, DY, RESULT, SECOND, THIRD };

static float *at(int place)
{
    return memory + place * ROOM;
}

static tlk_ptr<const float> in(int place, int elems)
{
    return tlk_view((const float *)at(place), elems);
}

static tlk_ptr<float> result(int elems)
{
    return tlk_fresh(at(RESULT), elems);
}

/* --- kernels -------------------------------------------------------------------------- */

template <layer L, class S> static constexpr S conv_literal()
{
    S s = {};
    s.ic = L.ic, s.h = L.h, s.w = L.w, s.oc = L.oc, s.oh = L.oh(), s.ow = L.ow();
    s.kh = s.kw = L.kernel, s.groups = L.groups;
    s.stride_h = s.stride_w = L.stride, s.dilation_h = s.dilation_w = 1;
    s.pad_top = s.pad_left = L.pad;
    s.x_nhwc = L.nhwc & X_NHWC, s.y_nhwc = L.nhwc & Y_NHWC;
    return s;
}

template <class Format, layer L> static void forward(const tlk_cuda_frame f)
{
    constexpr auto s = conv_literal<L, tlk_cuda_conv2d>();
    tlk_cuda_mma<Format>(tlk_cuda_job(s, f, in(X, L.x_elems()), in(W, L.w_elems()), nullptr,
                                      nullptr, result(L.y_elems())));
}

template <class Format, layer L> static void by_x(const tlk_cuda_frame f)
{
    constexpr auto s = conv_literal<L, tlk_cuda_conv2d_grad_x>();
    tlk_cuda_mma<Format>(
        tlk_cuda_job(s, f, in(DY, L.y_elems()), in(W, L.w_elems()), result(L.x_elems())));
}

template <class Format, layer L> static void by_w(const tlk_cuda_frame f)
{
    constexpr auto s = conv_literal<L, tlk_cuda_conv2d_grad_w>();
    tlk_cuda_mma<Format>(
        tlk_cuda_job(s, f, in(DY, L.y_elems()), in(X, L.x_elems()), result(L.w_elems())));
}

template <class Format, layer L> static void linear(const tlk_cuda_frame f)
{
    constexpr tlk_cuda_linear s = { 0, L.ic, L.oc, TLK_ACT_NONE, 0, 0 };
    tlk_cuda_mma<Format>(tlk_cuda_job(s, f, in(X, L.x_elems()), in(W, L.w_elems()), nullptr,
                                      result(L.y_elems())));
}

/* dx = dy w: the plain product, w as it lies. */
template <class Format, layer L> static void matmul(const tlk_cuda_frame f)
{
    constexpr tlk_cuda_matmul s = { .batch = 0, .inner = L.oc, .cols = L.ic };
    tlk_cuda_mma<Format>(
        tlk_cuda_job(s, f, in(DY, L.y_elems()), in(W, L.w_elems()), result(L.x_elems())));
}

template <class Format, layer L> static void linear_by_x(const tlk_cuda_frame f)
{
    constexpr tlk_cuda_linear_grad_x s = { .batch = 0, .in = L.ic, .out = L.oc };
    tlk_cuda_mma<Format>(
        tlk_cuda_job(s, f, in(DY, L.y_elems()), in(W, L.w_elems()), result(L.x_elems())));
}

template <class Format, layer L> static void linear_by_w(const tlk_cuda_frame f)
{
    constexpr tlk_cuda_linear_grad_w s = { .batch = 0, .in = L.ic, .out = L.oc };
    tlk_cuda_mma<Format>(
        tlk_cuda_job(s, f, in(DY, L.y_elems()), in(X, L.x_elems()), result(L.w_elems())));
}

/* At rate -1 and from zero the weight becomes its gradient. */
template <class Format, layer L> static void linear_sgd(const tlk_cuda_frame f)
{
    constexpr tlk_cuda_linear_sgd s = { .batch = 0, .in = L.ic, .out = L.oc, .nesterov = false };
    tlk_ptr<float> w = tlk_view(at(RESULT), L.w_elems());
    tlk_cuda_mma<Format>(tlk_cuda_job(s, f, f.step[0], w, nullptr, in(DY, L.y_elems()),
                                      in(X, L.x_elems())));
}

/* The first moment takes the gradient whole where 1 - beta1 is 1. */
template <class Format, layer L> static void linear_adam(const tlk_cuda_frame f)
{
    constexpr tlk_cuda_linear_adam s = { .batch = 0, .in = L.ic, .out = L.oc, .decoupled = false };
    tlk_ptr<float> m = tlk_view(at(RESULT), L.w_elems());
    tlk_ptr<float> w = tlk_view(at(SECOND), L.w_elems()), v = tlk_view(at(THIRD), L.w_elems());
    tlk_cuda_mma<Format>(tlk_cuda_job(s, f, f.step[0], w, m, v, in(DY, L.y_elems()),
                                      in(X, L.x_elems())));
}

/* --- comparison ------------------------------------------------------------------------ */

struct format {
    const char *name;
    double roundoff;
    uint32_t (*round)(float); /* to the bits of a float */
};

static uint32_t round_bf16(float v) { return tlk_round_bf16(v, 0) << 16; }
static const format tf32 = { "tf32", 0x1p-11, tlk_round_tf32 };
static const format bf16 = { "bf16", 0x1p-8, round_bf16 };

static void fill(const format *rounded)
{
    static uint32_t state = 1;
    for (int place = X; place <= DY; ++place)
        for (int i = 0; i < ROOM; ++i) {
            state = state * 1664525u + 1013904223u;
            float v = (float)(int32_t)state * 0x1p-31f;
            at(place)[i] = rounded ? tlk_emu_number(rounded->round(v)) : v;
        }
    memset(at(RESULT), 0, 3 * ROOM * sizeof(float));
}

/* What the result should be, the sum of magnitudes, and how many numbers are in a sum. */
static void expect(const layer &l, int which, std::vector<double> &sum, std::vector<double> &size,
                   std::vector<int> &count)
{
    int elems = which == X ? l.x_elems() : which == W ? l.w_elems() : l.y_elems();
    sum.assign((size_t)elems, 0), size = sum, count.assign((size_t)elems, 0);
    each_triple(l, [&](int x, int w, int y) {
        int to = which == X ? x : which == W ? w : y;
        double p = which == X ? (double)at(DY)[y] * at(W)[w]
                 : which == W ? (double)at(DY)[y] * at(X)[x] : (double)at(X)[x] * at(W)[w];
        sum[(size_t)to] += p, size[(size_t)to] += fabs(p), ++count[(size_t)to];
    });
}

/* The largest error as a share of what is allowed at this roundoff. */
static double worst(const layer &l, int which, double roundoff)
{
    std::vector<double> sum, size;
    std::vector<int> count;
    double most = 0, u = (1 + roundoff) * (1 + roundoff);
    expect(l, which, sum, size, count);
    for (size_t i = 0; i < sum.size(); ++i) {
        double allowed = (u - 1 + u * (count[i] + 1) * 0x1p-24) * size[i];
        double off = fabs(at(RESULT)[i] - sum[i]);
        most = fmax(most, allowed > 0 ? off / allowed : off > 0 ? INFINITY : 0);
    }
    return most;
}

static int wrong;

static void run(const char *name, const format &fmt, const layer &l, int which, int mma_rows,
                int64_t rows, int64_t columns, void (*kernel)(const tlk_cuda_frame))
{
    tlk_cuda_frame f = {};
    const tlk_emu_region region = { (char *)memory, sizeof memory, marks };
    const int64_t width = TLK_MMA_AREA / mma_rows;
    const unsigned grid[3] = { (unsigned)((columns + width - 1) / width),
                               (unsigned)((rows + mma_rows - 1) / mma_rows), (unsigned)l.groups };
    tlk_cuda_step step = {};
    step.lr = -1, step.t = 1, step.share1 = step.correction2 = step.epsilon = 1;
    f.n = l.pictures, f.step = &step;
    double share[2] = { 0, 0 }, at_no_roundoff = 0;
    const char *found = NULL;
    for (int rounded = 0; rounded < 2 && !found; ++rounded) {
        fill(rounded ? &fmt : NULL);
        found = tlk_emu_launch(kernel, name, grid, TLK_CUDA_THREADS, &f, &region, 1);
        share[rounded] = worst(l, which, rounded ? 0 : fmt.roundoff);
        if (!rounded)
            at_no_roundoff = worst(l, which, 0);
    }
    /* Were operands not rounded, both runs would be as exact. */
    bool fine = !found && share[0] <= 1 && share[1] <= 1 && at_no_roundoff > 4 * share[1];
    static const char *const layouts[] = { "", ", x in NHWC", ", y in NHWC", ", NHWC" };
    printf("%s %s %s %dx%dx%d to %d, kernel %d%s: %.2f of the bound, %.2f on rounded operands%s%s\n",
           fine ? "ok" : "WRONG", fmt.name, name, l.ic, l.h, l.w, l.oc, l.kernel, layouts[l.nhwc],
           share[0], share[1], found ? " " : "", found ? found : "");
    wrong += !fine;
}

template <class Format, layer L> static void conv(const format &fmt)
{
    constexpr int in = L.ic / L.groups, out = L.oc / L.groups;
    run("conv2d", fmt, L, DY, 64, out, L.pictures * L.oh() * L.ow(), forward<Format, L>);
    run("conv2d_grad_x", fmt, L, X, 64, in, L.pictures * L.h * L.w, by_x<Format, L>);
    run("conv2d_grad_w", fmt, L, W, 64, out, in * L.kernel * L.kernel, by_w<Format, L>);
}

template <class Format, layer L> static void dense(const format &fmt)
{
    run("linear", fmt, L, DY, 128, L.oc, L.pictures, linear<Format, L>);
    run("matmul", fmt, L, X, 128, L.ic, L.pictures, matmul<Format, L>);
    run("linear_grad_x", fmt, L, X, 128, L.ic, L.pictures, linear_by_x<Format, L>);
    run("linear_grad_w", fmt, L, W, 128, L.oc, L.ic, linear_by_w<Format, L>);
    run("linear_sgd", fmt, L, W, 128, L.oc, L.ic, linear_sgd<Format, L>);
    run("linear_adam", fmt, L, W, 128, L.oc, L.ic, linear_adam<Format, L>);
}

template <class Format> static void all(const format &fmt)
{
    conv<Format, layer{ 6, 9, 7, 140, 3, 2, 2, 1 }>(fmt); /* one word at a time; several tiles */
    conv<Format, layer{ 12, 8, 6, 20, 1, 1, 1, 0 }>(fmt); /* four at a time, every operand */
    conv<Format, layer{ 13, 5, 5, 9, 1, 1, 1, 0 }>(fmt);  /* the same, not even */
    conv<Format, layer{ 80, 3, 4, 8, 3, 1, 1, 1 }>(fmt);  /* sums put aside */
    conv<Format, layer{ 8, 9, 7, 72, 3, 1, 2, 1, NHWC }>(fmt);   /* stride and padding in fours */
    conv<Format, layer{ 24, 7, 5, 16, 1, 1, 1, 0, NHWC, 1 }>(fmt); /* one picture */
    conv<Format, layer{ 16, 5, 6, 24, 3, 2, 1, 1, NHWC }>(fmt);  /* groups */
    conv<Format, layer{ 72, 3, 4, 8, 3, 1, 1, 1, NHWC }>(fmt);   /* sums put aside */
    conv<Format, layer{ 6, 5, 5, 10, 3, 2, 1, 0, NHWC }>(fmt);   /* one word at a time */
    conv<Format, layer{ 3, 9, 8, 16, 3, 1, 2, 1, Y_NHWC }>(fmt); /* a first layer */
    conv<Format, layer{ 8, 6, 5, 9, 3, 1, 1, 1, X_NHWC }>(fmt);  /* a last one */
    dense<Format, layer{ 28, 1, 1, 132, 1, 1, 1, 0 }>(fmt);
    dense<Format, layer{ 7, 1, 1, 5, 1, 1, 1, 0 }>(fmt);
    dense<Format, layer{ 1100, 1, 1, 10, 1, 1, 1, 0 }>(fmt);
}

/* --- banks of shared memory -------------------------------------------------------------- */

enum { BANKS = 32 };

/* Lanes that are served at once, each with `words` words from its address on. */
static bool meet(const int *address, int lanes, int words)
{
    bool taken[BANKS] = {};
    for (int lane = 0; lane < lanes; ++lane)
        for (int i = 0; i < words; ++i) {
            bool &bank = taken[(address[lane] + i) % BANKS];
            if (bank)
                return true;
            bank = true;
        }
    return false;
}

static void say_banks(const char *fmt, const char *what, int conflicts)
{
    printf("%s %s %s: %d accesses in which lanes meet in a bank\n", conflicts ? "WRONG" : "ok", fmt,
           what, conflicts);
    wrong += conflicts != 0;
}

/* A unit is `rows` stores of `words` words; 32 words are served at once. */
template <class Way, class Format> static int stores_that_meet(int words, int rows)
{
    int conflicts = 0, units = 64 * Format::step / Way::floats, lanes = BANKS / words;
    for (int first = 0; first < units; first += lanes)
        for (int j = 0; j < rows; ++j) {
            int address[BANKS];
            for (int lane = 0; lane < lanes; ++lane)
                address[lane] = (Way::side(first + lane) + j) * TLK_MMA_ROW +
                                Way::k(first + lane) / Format::per_word;
            conflicts += meet(address, lanes, words);
        }
    return conflicts;
}

template <class Format> static void banks(const format &fmt)
{
    int address[BANKS];
    for (int lane = 0; lane < BANKS; ++lane)
        address[lane] = lane / 4 * TLK_MMA_ROW + lane % 4;
    say_banks(fmt.name, "fragments", meet(address, BANKS, 1));
    say_banks(fmt.name, "four along k",
              stores_that_meet<tlk_mma_k4<Format>, Format>(4 / Format::per_word, 1));
    say_banks(fmt.name, "a word along k", stores_that_meet<tlk_mma_k1<Format>, Format>(1, 1));
    say_banks(fmt.name, "four along the side",
              stores_that_meet<tlk_mma_side4<Format>, Format>(1, 4));
    say_banks(fmt.name, "a word along the side",
              stores_that_meet<tlk_mma_side1<Format>, Format>(1, 1));
}

int main()
{
    banks<tlk_tf32>(tf32);
    banks<tlk_bf16>(bf16);
    all<tlk_tf32>(tf32);
    all<tlk_bf16>(bf16);
    return wrong != 0;
}
