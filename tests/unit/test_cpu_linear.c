/* test_cpu_linear.c: the packed linear kernels against scalar chains of the same order.
 *
 * Forward, gradient by the input, and the fused updates are checked for equality, as
 * test_cpu_kernels.c does for the others.
 */
#include "cpu_kernel_buffers.h"
#include "tlk_linear.h"
#include "tlk_linear_update.h"

/* --- linear --------------------------- */

typedef struct linear_case {
    int in, out;
    int64_t n;
} linear_case;

/* Sizes with tails; more pictures than one group takes; more inputs than one item of an update. */
static const linear_case linear_cases[] = {
    { 7, 2, 1 }, { 130, 17, 3 }, { 300, 40, 7 }, { 33, 16, 100 }, { 1001, 5, 16 }, { 50, 130, 65 },
};

static buffer pack_linear(const linear_case *k, const float *w)
{
    const int64_t in = k->in;
    buffer b = buffer_make(tlk_blocks(k->out) * TLK_BLOCK * in);
    memset(b.at, 0, sizeof(float) * (size_t)b.elems);
    for (int o = 0; o < k->out; ++o)
        for (int i = 0; i < in; ++i)
            b.at[(o / TLK_BLOCK * in + i) * TLK_BLOCK + o % TLK_BLOCK] = *w++;
    return b;
}

static void linear_check(const linear_case *k, tlk_act act, bool biased)
{
    const tlk_linear_packed s = { .in = k->in, .out = k->out, .act = act, .lo = -1, .hi = 2 };
    float *x = random_floats(k->n * k->in), *w = random_floats((int64_t)k->out * k->in);
    float *b = random_floats(k->out), *want = random_floats(k->n * k->out);
    for (int64_t p = 0; p < k->n; ++p)
        for (int o = 0; o < k->out; ++o) {
            float acc = biased ? b[o] : 0.0f;
            for (int i = 0; i < k->in; ++i)
                acc = fmaf(x[p * k->in + i], w[(int64_t)o * k->in + i], acc);
            want[p * k->out + o] = act_of(act, s.lo, s.hi, acc);
        }
    buffer px = copy_make(k->n * k->in, x), pw = pack_linear(k, w), pb = pack_vector(k->out, b);
    for (int backwards = 0; backwards < 2; ++backwards) {
        buffer y = buffer_make(k->n * k->out);
        const int64_t items = tlk_linear_packed_items(&s, k->n);
        for (int64_t i = 0; i < items; ++i)
            tlk_linear_packed_item(&s, backwards ? items - 1 - i : i, k->n, px.at, pw.at,
                                   biased ? pb.at : NULL, y.at);
        check_equal("linear_packed", &y, want);
        buffer_free(&y);
    }
    buffer_free(&px), buffer_free(&pw), buffer_free(&pb);
    free(x), free(w), free(b), free(want);
}

static void linear_is_its_chain(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof linear_cases / sizeof linear_cases[0]; ++i) {
        linear_check(&linear_cases[i], TLK_ACT_RELU, true);
        linear_check(&linear_cases[i], TLK_ACT_CLIP, false);
        linear_check(&linear_cases[i], TLK_ACT_NONE, true);
    }
}

/* Sixteen chains, lane by lane over the blocks of outputs, then the tree. */
static float grad_x_element(const linear_case *k, const float *dy, const float *w, int64_t p,
                            int i)
{
    float lane[TLK_BLOCK] = { 0 };
    for (int o = 0; o < k->out; ++o)
        lane[o % TLK_BLOCK] = fmaf(dy[p * k->out + o], w[(int64_t)o * k->in + i],
                                   lane[o % TLK_BLOCK]);
    for (int half = 8; half >= 1; half /= 2)
        for (int l = 0; l < half; ++l)
            lane[l] += lane[l + half];
    return lane[0];
}

static void linear_grad_x_is_its_chain(void **state)
{
    (void)state;
    for (size_t c = 0; c < sizeof linear_cases / sizeof linear_cases[0]; ++c) {
        const linear_case *k = &linear_cases[c];
        const tlk_linear_grad_x_packed s = { .in = k->in, .out = k->out };
        float *dy = random_floats(k->n * k->out), *w = random_floats((int64_t)k->out * k->in);
        float *want = random_floats(k->n * k->in);
        for (int64_t p = 0; p < k->n; ++p)
            for (int i = 0; i < k->in; ++i)
                want[p * k->in + i] = grad_x_element(k, dy, w, p, i);
        buffer pd = copy_make(k->n * k->out, dy), pw = pack_linear(k, w);
        for (int backwards = 0; backwards < 2; ++backwards) {
            buffer dx = buffer_make(k->n * k->in);
            const int64_t items = tlk_linear_grad_x_packed_items(&s, k->n);
            for (int64_t i = 0; i < items; ++i)
                tlk_linear_grad_x_packed_item(&s, backwards ? items - 1 - i : i, k->n, pd.at,
                                              pw.at, dx.at);
            check_equal("linear_grad_x_packed", &dx, want);
            buffer_free(&dx);
        }
        buffer_free(&pd), buffer_free(&pw);
        free(dy), free(w), free(want);
    }
}

/* --- updates --------------------------- */

static const tlk_step adam_step = { .t = 3, .lr = 0.01, .weight_decay = 0.05, .beta1 = 0.9,
                                    .beta2 = 0.999, .epsilon = 1e-8 };

static float gradient(const linear_case *k, const float *dy, const float *x, int o, int i)
{
    float g = 0.0f;
    for (int64_t p = 0; p < k->n; ++p)
        g = fmaf(dy[p * k->out + o], x[p * k->in + i], g);
    return g;
}

static void adam_scalar(bool decoupled, float g, float *w, float *m, float *v)
{
    const tlk_step *s = &adam_step;
    const float decay = decoupled ? 0.0f : (float)s->weight_decay;
    const float shrink = decoupled ? (float)(1.0 - s->lr * s->weight_decay) : 1.0f;
    g += decay * *w;
    *m = *m + (float)(1.0 - s->beta1) * (g - *m);
    *v = (float)s->beta2 * *v + (float)(1.0 - s->beta2) * g * g;
    const float root = (float)sqrt(1.0 - pow(s->beta2, (double)s->t));
    const float scale = sqrtf(*v) / root + (float)s->epsilon;
    const float rate = (float)(s->lr / (1.0 - pow(s->beta1, (double)s->t)));
    *w = shrink * *w - rate * (*m / scale);
}

static void adam_check(const linear_case *k, bool decoupled, bool backwards)
{
    const tlk_linear_adam_packed s = { .in = k->in, .out = k->out, .decoupled = decoupled };
    const int64_t weights = (int64_t)k->out * k->in;
    float *dy = random_floats(k->n * k->out), *x = random_floats(k->n * k->in);
    float *w = random_floats(weights), *m = random_floats(weights), *v = random_floats(weights);
    for (int64_t i = 0; i < weights; ++i)
        v[i] = v[i] * v[i];
    buffer pw = pack_linear(k, w), pm = pack_linear(k, m), pv = pack_linear(k, v);
    buffer pd = copy_make(k->n * k->out, dy), px = copy_make(k->n * k->in, x);
    const int64_t items = tlk_linear_adam_packed_items(&s, k->n);
    for (int64_t i = 0; i < items; ++i)
        tlk_linear_adam_packed_item(&s, backwards ? items - 1 - i : i, k->n, &adam_step, pw.at,
                                    pm.at, pv.at, pd.at, px.at);
    for (int o = 0; o < k->out; ++o)
        for (int i = 0; i < k->in; ++i) {
            const int64_t at = (int64_t)o * k->in + i;
            adam_scalar(decoupled, gradient(k, dy, x, o, i), &w[at], &m[at], &v[at]);
        }
    buffer qw = pack_linear(k, w), qm = pack_linear(k, m), qv = pack_linear(k, v);
    check_equal("adam w", &pw, qw.at);
    check_equal("adam m", &pm, qm.at);
    check_equal("adam v", &pv, qv.at);
    buffer_free(&pw), buffer_free(&pm), buffer_free(&pv), buffer_free(&pd), buffer_free(&px);
    buffer_free(&qw), buffer_free(&qm), buffer_free(&qv);
    free(dy), free(x), free(w), free(m), free(v);
}

static void adam_is_torchs_formula(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof linear_cases / sizeof linear_cases[0]; ++i) {
        adam_check(&linear_cases[i], false, false);
        adam_check(&linear_cases[i], true, true);
    }
}

static void sgd_scalar(const tlk_step *s, bool nesterov, float g, float *w, float *b)
{
    const float momentum = (float)s->momentum;
    float d;
    g += (float)s->weight_decay * *w;
    d = g;
    if (s->momentum != 0.0) {
        *b = s->t == 1 ? g : momentum * *b + (float)(1.0 - s->dampening) * g;
        d = nesterov ? g + momentum * *b : *b;
    }
    *w -= (float)s->lr * d;
}

static void sgd_check(const linear_case *k, const tlk_step *step, bool nesterov)
{
    const tlk_linear_sgd_packed s = { .in = k->in, .out = k->out, .nesterov = nesterov };
    const int64_t weights = (int64_t)k->out * k->in;
    float *dy = random_floats(k->n * k->out), *x = random_floats(k->n * k->in);
    float *w = random_floats(weights), *b = random_floats(weights);
    buffer pw = pack_linear(k, w), pb = pack_linear(k, b);
    buffer pd = copy_make(k->n * k->out, dy), px = copy_make(k->n * k->in, x);
    for (int64_t i = tlk_linear_sgd_packed_items(&s, k->n); i-- > 0;)
        tlk_linear_sgd_packed_item(&s, i, k->n, step, pw.at, pb.at, pd.at, px.at);
    for (int o = 0; o < k->out; ++o)
        for (int i = 0; i < k->in; ++i) {
            const int64_t at = (int64_t)o * k->in + i;
            sgd_scalar(step, nesterov, gradient(k, dy, x, o, i), &w[at], &b[at]);
        }
    buffer qw = pack_linear(k, w), qb = pack_linear(k, b);
    check_equal("sgd w", &pw, qw.at);
    check_equal("sgd buffer", &pb, qb.at);
    buffer_free(&pw), buffer_free(&pb), buffer_free(&pd), buffer_free(&px);
    buffer_free(&qw), buffer_free(&qb);
    free(dy), free(x), free(w), free(b);
}

static void sgd_is_torchs_formula(void **state)
{
    (void)state;
    static const tlk_step steps[] = {
        { .t = 1, .lr = 0.1, .weight_decay = 0.01, .momentum = 0.9, .dampening = 0.1 },
        { .t = 2, .lr = 0.1, .weight_decay = 0.01, .momentum = 0.9, .dampening = 0.1 },
        { .t = 5, .lr = 0.1, .weight_decay = 0.0, .momentum = 0.0, .dampening = 0.0 },
    };
    for (size_t i = 0; i < sizeof linear_cases / sizeof linear_cases[0]; ++i)
        for (size_t t = 0; t < sizeof steps / sizeof steps[0]; ++t)
            sgd_check(&linear_cases[i], &steps[t], t == 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(linear_is_its_chain),
        cmocka_unit_test(linear_grad_x_is_its_chain),
        cmocka_unit_test(adam_is_torchs_formula),
        cmocka_unit_test(sgd_is_torchs_formula),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
