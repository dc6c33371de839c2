/* test_plan.c: lifetimes in, offsets out; and the checker must refuse plans that are broken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "plan.h"
#include "text.h"

#include <stdlib.h>
#include <string.h>

enum { COUNT = 5 };

/* --- offsets -------------------------------------------------------------------- */

typedef struct offsets_case {
    const char *what;
    tlc_buffer in[COUNT]; /* ends with bytes 0; offset: as expected */
    int64_t total;
    bool reuse;
} offsets_case;

static const offsets_case cases[] = {
    { "nothing", { { 0 } }, 0, true },
    { "one, rounded up to a line", { { 100, 0, 1, 0 } }, 128, true },
    { "a chain takes turns",
      { { 64, 0, 1, 0 }, { 64, 1, 2, 64 }, { 64, 2, 3, 0 }, { 64, 3, 4, 64 } },
      128,
      true },
    { "the largest lies lowest", { { 64, 0, 1, 256 }, { 256, 1, 2, 0 } }, 320, true },
    { "a gap between two is used",
      { { 256, 0, 1, 0 }, { 128, 0, 9, 256 }, { 64, 2, 3, 0 }, { 64, 2, 3, 64 } },
      384,
      true },
    { "a shortcut lives across",
      { { 64, 0, 9, 0 }, { 64, 1, 2, 64 }, { 64, 2, 3, 128 }, { 64, 3, 9, 64 } },
      192,
      true },
    { "both ends count as alive", { { 64, 0, 2, 0 }, { 64, 2, 3, 64 } }, 128, true },
    { "without reuse each has its own",
      { { 64, 0, 1, 0 }, { 1, 5, 6, 64 }, { 64, 8, 9, 128 } },
      192,
      false },
};

static size_t count_of(const tlc_buffer *b)
{
    size_t n = 0;
    while (n < COUNT && b[n].bytes)
        ++n;
    return n;
}

static void offsets_are_as_expected(void **state)
{
    (void)state;
    tlc_arena arena;
    tlc_arena_init(&arena, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
        tlc_buffer b[COUNT];
        size_t n = count_of(cases[i].in);
        memcpy(b, cases[i].in, sizeof b);
        int64_t total = tlc_plan_offsets(&arena, b, n, cases[i].reuse);
        if (total != cases[i].total)
            fail_msg("%s: total %lld", cases[i].what, (long long)total);
        for (size_t j = 0; j < n; ++j)
            if (b[j].offset != cases[i].in[j].offset)
                fail_msg("%s: buffer %zu at %lld", cases[i].what, j, (long long)b[j].offset);
        assert_true(tlc_plan_check(b, n, total));
    }
    tlc_arena_fini(&arena);
}

/* A fixed stream of numbers: the test is the same everywhere. */
static unsigned next_number(unsigned *x)
{
    *x = *x * 1664525u + 1013904223u;
    return *x >> 8;
}

static int64_t alive_bytes(const tlc_buffer *b, int n, int at)
{
    int64_t sum = 0;
    for (int i = 0; i < n; ++i)
        if (b[i].from <= at && at <= b[i].to)
            sum += (b[i].bytes + 63) / 64 * 64;
    return sum;
}

static void random_plans_hold(void **state)
{
    (void)state;
    enum { N = 60, TIMES = 50, ROUNDS = 200 };
    unsigned x = 1;
    tlc_arena arena;
    tlc_arena_init(&arena, NULL);
    for (int round = 0; round < ROUNDS; ++round) {
        tlc_buffer b[N];
        int64_t sum = 0, worst = 0;
        for (int i = 0; i < N; ++i) {
            int from = (int)(next_number(&x) % TIMES), span = (int)(next_number(&x) % 8);
            b[i] = (tlc_buffer){ .bytes = 1 + next_number(&x) % 5000,
                                 .from = from,
                                 .to = from + span };
            sum += (b[i].bytes + 63) / 64 * 64;
        }
        for (int t = 0; t < TIMES + 8; ++t)
            worst = alive_bytes(b, N, t) > worst ? alive_bytes(b, N, t) : worst;
        int64_t total = tlc_plan_offsets(&arena, b, N, true);
        assert_true(tlc_plan_check(b, N, total));
        assert_true(total >= worst && total <= sum);
    }
    tlc_arena_fini(&arena);
}

/* --- check ------------------------------------------------------------------------- */

static void corrupted_plans_are_refused(void **state)
{
    (void)state;
    const tlc_buffer good[2] = { { 128, 0, 3, 0 }, { 64, 2, 5, 128 } };
    const tlc_buffer bad[][2] = {
        { { 128, 0, 3, 0 }, { 64, 2, 5, 64 } },    /* overlaps in its last bytes */
        { { 128, 0, 3, 64 }, { 64, 2, 5, 128 } },  /* the other way round */
        { { 128, 0, 3, 0 }, { 64, 3, 5, 0 } },     /* meets at one moment only */
        { { 128, 0, 3, 0 }, { 65, 2, 5, 128 } },   /* one byte past the end */
        { { 128, 0, 3, 0 }, { 64, 2, 5, 192 } },   /* past the end */
        { { 128, 0, 3, 0 }, { 32, 2, 5, 136 } },   /* not on a line */
        { { 128, 0, 3, 0 }, { 64, 4, 5, -64 } },   /* before the start */
        { { 128, 0, 3, 0 }, { 64, 5, 2, 128 } },   /* dies before it is born */
    };
    assert_true(tlc_plan_check(good, 2, 192));
    assert_false(tlc_plan_check(good, 2, 191));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; ++i)
        if (tlc_plan_check(bad[i], 2, 192))
            fail_msg("corrupted plan %zu was accepted", i);
}

/* --- whole modules ------------------------------------------------------------------ */

static const tlc_options ref = { .target = TLC_TARGET_REF, .batch = 4 };

static tlc_plan plan_text(tlc_ctx *ctx, const char *text, const tlc_options *o, tlc_module **out_m)
{
    tlc_plan plan;
    tlc_ctx_init(ctx, NULL);
    assert_int_equal(tlc_parse_module(ctx, text, strlen(text), NULL, out_m), TLC_OK);
    assert_int_equal(tlc_plan_make(ctx, *out_m, o, &plan), TLC_OK);
    return plan;
}

/* Result of the i-th node of @forward; -1: its input. */
static const tlc_place *place_of(const tlc_plan *p, const tlc_module *m, int i)
{
    const tlc_func *f = tlc_func_find(m, "forward");
    const tlc_node *n = f->first;
    if (i < 0)
        return &p->place[f->in[0]->id];
    while (i-- > 0)
        n = n->next;
    return &p->place[n->out[0]->id];
}

static const char chain[] =
    "module \"m\"\n"
    "func @forward(%x: f32[n,16,4,4]) -> f32[n,256] {\n"
    "  %1 : f32[n,16,4,4] = relu %x\n"
    "  %2 : f32[n,16,4,4] = max_pool2d %1 {kernel=[3,3], stride=[1,1], pad=[1,1,1,1]}\n"
    "  %3 : f32[n,16,4,4] = add %2, %2\n"
    "  %4 : f32[n,256] = flatten %3\n"
    "  return %4\n"
    "}\n";

static void values_share_where_they_may(void **state)
{
    (void)state;
    tlc_ctx ctx;
    tlc_module *m;
    tlc_plan p = plan_text(&ctx, chain, &ref, &m);
    assert_int_equal(place_of(&p, m, 0)->offset, place_of(&p, m, -1)->offset); /* relu in place */
    assert_int_not_equal(place_of(&p, m, 1)->offset, place_of(&p, m, 0)->offset);
    assert_int_equal(place_of(&p, m, 2)->offset, place_of(&p, m, 1)->offset); /* add in place */
    assert_int_equal(place_of(&p, m, 3)->offset, place_of(&p, m, 2)->offset); /* a view */
    assert_null(p.kernel[3]);
    assert_int_equal(p.act_infer_bytes, 2 * 1024);
    tlc_ctx_fini(&ctx);
}

static void no_reuse_gives_each_its_own(void **state)
{
    (void)state;
    tlc_ctx ctx;
    tlc_module *m;
    tlc_options o = ref;
    o.no_reuse = true;
    tlc_plan p = plan_text(&ctx, chain, &o, &m);
    assert_int_equal(p.act_infer_bytes, 4 * 1024); /* x, three results; the view has none */
    tlc_ctx_fini(&ctx);
}

static void kept_values_do_not_overlap(void **state)
{
    (void)state;
    tlc_ctx ctx;
    tlc_module *m;
    tlc_options o = ref;
    o.keep_values = true;
    tlc_plan p = plan_text(&ctx, chain, &o, &m);
    assert_int_equal(p.act_infer_bytes, 4 * 1024);
    assert_int_not_equal(place_of(&p, m, 0)->offset, place_of(&p, m, 2)->offset);
    tlc_ctx_fini(&ctx);
}

static void a_value_read_later_is_not_overwritten(void **state)
{
    (void)state;
    tlc_ctx ctx;
    tlc_module *m;
    tlc_plan p = plan_text(&ctx,
                           "module \"m\"\n"
                           "func @forward(%x: f32[n,16]) -> f32[n,16] {\n"
                           "  %1 : f32[n,16] = relu %x\n"
                           "  %2 : f32[n,16] = add %1, %x\n"
                           "  return %2\n"
                           "}\n",
                           &ref, &m);
    assert_int_not_equal(place_of(&p, m, 0)->offset, place_of(&p, m, -1)->offset);
    assert_int_equal(place_of(&p, m, 1)->offset, place_of(&p, m, 0)->offset);
    assert_int_equal(p.act_infer_bytes, 2 * 64);
    tlc_ctx_fini(&ctx);
}

static void a_view_keeps_its_buffer(void **state)
{
    (void)state;
    tlc_ctx ctx;
    tlc_module *m;
    tlc_plan p = plan_text(&ctx,
                           "module \"m\"\n"
                           "func @forward(%x: f32[n,4,2,2]) -> f32[n,16] {\n"
                           "  %1 : f32[n,4,2,2] = softmax %x {axis=1}\n"
                           "  %2 : f32[n,16] = flatten %1\n"
                           "  %3 : f32[n,4,2,2] = softmax %x {axis=1}\n"
                           "  %4 : f32[n,16] = flatten %3\n"
                           "  %5 : f32[n,16] = softmax %4 {axis=1}\n"
                           "  %6 : f32[n,16] = add %5, %2\n"
                           "  return %6\n"
                           "}\n",
                           &ref, &m);
    for (int i = 2; i < 5; ++i) /* %2 is read at the end, so nobody takes %1's place */
        assert_int_not_equal(place_of(&p, m, i)->offset, place_of(&p, m, 0)->offset);
    tlc_ctx_fini(&ctx);
}

static const char training[] =
    "module \"m\"\n"
    "const %c : f32[3] = [1, 2, 3]\n"
    "param %w : f32[2,3] init uniform fan_in=3\n"
    "param %b : f32[2] init uniform fan_in=3\n"
    "state %w.m : f32[2,3] zero\n"
    "func @head(%x: f32[n,3]) -> f32[n,2] {\n"
    "  %1 : f32[n,3] = mul %x, %c\n"
    "  %2 : f32[n,2] = linear %1, %w, %b\n"
    "  return %2\n"
    "}\n"
    "func @step(%x: f32[n,3], %y: i64[n]) -> f32[n], f32[n,2] {\n"
    "  %1 : f32[n,3] = mul %x, %c\n"
    "  %2 : f32[n,2] = linear %1, %w, %b\n"
    "  %3 : f32[n] = cross_entropy %2, %y\n"
    "  %4 : f32[n,2] = cross_entropy_grad %2, %y\n"
    "  %5 : f32[2,3] = linear_grad_w %4, %1\n"
    "  sgd_update %w, %w.m, %5\n"
    "  return %3, %2\n"
    "}\n";

static const tlc_place *global_place(const tlc_plan *p, const tlc_module *m, const char *name)
{
    return &p->place[tlc_global_find(m, name)->id];
}

static void regions_are_those_of_the_runtime(void **state)
{
    (void)state;
    tlc_ctx ctx;
    tlc_module *m;
    tlc_plan p = plan_text(&ctx, training, &ref, &m);
    assert_int_equal(global_place(&p, m, "c")->region, TLC_REGION_CONSTS);
    assert_int_equal(global_place(&p, m, "w")->region, TLC_REGION_VARS);
    assert_int_equal(global_place(&p, m, "b")->offset, 64);
    assert_int_equal(global_place(&p, m, "w.m")->offset, 128); /* state after the parameters */
    assert_int_equal(p.consts_bytes, 64);
    assert_int_equal(p.params_bytes, 128);
    assert_int_equal(p.vars_bytes, 192);
    assert_int_equal(p.fix_infer_bytes, 0);
    assert_int_equal(p.fix_step_bytes, 64); /* the gradient has no n */
    assert_true(p.trains && p.act_step_bytes > p.act_infer_bytes);
    tlc_ctx_fini(&ctx);
}

static void derived_states_come_first_in_fix(void **state)
{
    (void)state;
    tlc_ctx ctx;
    tlc_module *m;
    tlc_ctx_init(&ctx, NULL);
    m = tlc_module_make(&ctx, "m");
    tlc_shape shape = tlc_shape_make(1, (int64_t[]){ 20 }),
              grow = tlc_shape_make(2, (int64_t[]){ -1, 20 });
    tlc_value *w = tlc_global_add(m, TLC_STATE, "w", TLC_F32, shape);
    tlc_value *u = tlc_global_add(m, TLC_STATE, "u", TLC_F32, shape);
    tlc_func *f = tlc_func_add(m, "head"), *prepare = tlc_func_add(m, "prepare");
    tlc_return_add(f, tlc_input_add(f, "x", TLC_F32, grow));
    tlc_value *in[] = { w, w, u };
    tlc_node_add(prepare, NULL, TLC_OP_SGD_UPDATE, NULL, in, 3); /* stands for any writer */
    tlc_node *fixed = tlc_node_add(f, NULL, TLC_OP_RELU, NULL, &u, 1); /* has no n */
    assert_int_equal(tlc_node_infer(&ctx, fixed), TLC_OK);
    tlc_plan p;
    assert_int_equal(tlc_plan_make(&ctx, m, &ref, &p), TLC_OK);
    assert_true(p.derived[w->id]);
    assert_int_equal(p.place[w->id].region, TLC_REGION_FIX);
    assert_int_equal(p.place[u->id].offset, 0); /* @head reads it: first */
    assert_int_equal(p.place[w->id].offset, 128);
    assert_int_equal(p.derived_step_bytes, 128);
    assert_int_equal(p.vars_bytes, 0); /* u counts as derived too */
    assert_int_equal(p.place[fixed->out[0]->id].region, TLC_REGION_FIX);
    assert_int_equal(p.place[fixed->out[0]->id].offset, 256); /* after both */
    assert_int_equal(p.fix_infer_bytes, 384);
    tlc_ctx_fini(&ctx);
}

/* What lives among the first nodes alone is of two pictures; what comes in and goes out is whole
 * through all their rounds. */
static void an_opening_keeps_what_its_rounds_share(void **state)
{
    (void)state;
    static const tlc_options cpu = { .target = TLC_TARGET_CPU, .batch = 16 };
    tlc_ctx ctx;
    tlc_module *m;
    tlc_plan p = plan_text(&ctx,
                           "module \"m\"\n"
                           "param %w : f32[2,802816] init uniform fan_in=3\n"
                           "func @forward(%x: f32[n,64,112,112]) -> f32[n,2] {\n"
                           "  %1 : f32[n,64,112,112] = softmax %x {axis=1}\n"
                           "  %2 : f32[n,64,112,112] = softmax %1 {axis=1}\n"
                           "  %3 : f32[n,64,112,112] = softmax %2 {axis=1}\n"
                           "  %4 : f32[n,802816] = flatten %3\n"
                           "  %5 : f32[n,2] = linear %4, %w\n"
                           "  return %5\n"
                           "}\n",
                           &cpu, &m);
    const int64_t map = 64 * 112 * 112 * 4;
    assert_int_equal(tlc_plan_opening(tlc_func_find(m, "forward"), &cpu), 3);
    assert_int_equal(place_of(&p, m, 0)->region, TLC_REGION_FIX);
    assert_int_equal(place_of(&p, m, 1)->region, TLC_REGION_FIX);
    assert_int_equal(p.fix_infer_bytes, 2 * TLC_FEW * map);
    assert_int_equal(place_of(&p, m, -1)->region, TLC_REGION_ACT);
    assert_int_equal(place_of(&p, m, 2)->region, TLC_REGION_ACT);
    assert_int_not_equal(place_of(&p, m, 2)->offset, place_of(&p, m, -1)->offset);
    tlc_ctx_fini(&ctx);
}

static void an_operator_without_kernel_is_named(void **state)
{
    (void)state;
    static const char text[] = "module \"m\"\n"
                               "func @forward(%x: f32[n,16]) -> i32[n,16] {\n"
                               "  %1 : i32[n,16] = cast %x {to=i32}\n"
                               "  return %1\n"
                               "}\n";
    tlc_ctx ctx;
    tlc_module *m;
    tlc_plan p;
    tlc_ctx_init(&ctx, NULL);
    assert_int_equal(tlc_parse_module(&ctx, text, strlen(text), NULL, &m), TLC_OK);
    assert_int_equal(tlc_plan_make(&ctx, m, &ref, &p), TLC_E_UNSUPPORTED);
    assert_non_null(strstr(ctx.diags[0].what, "cast"));
    tlc_ctx_fini(&ctx);
}

/* --- sums --------------------------------------------------------------------------- */

static void peak_and_fit_agree(void **state)
{
    (void)state;
    const tlc_plan p = { .consts_bytes = 1000, .params_bytes = 100, .vars_bytes = 300,
                         .act_infer_bytes = 50, .act_features_bytes = 50, .act_step_bytes = 70,
                         .fix_infer_bytes = 10, .fix_step_bytes = 20, .scratch_bytes = 5,
                         .trains = true, .prefix = true };
    const tlc_plan large = { .fix_infer_bytes = 400, .act_features_bytes = 90, .vars_bytes = 20,
                             .act_step_bytes = 10, .trains = true, .prefix = true };
    assert_int_equal(tlc_plan_peak(&p, 2, false), 1000 + 100 + 2 * 50 + 10 + 5);
    assert_int_equal(tlc_plan_peak(&p, 2, true), 1000 + 300 + 2 * 70 + 20 + 5);
    assert_int_equal(tlc_plan_peak_uncached(&p, 2), 1000 + 300 + 2 * 70 + 20 + 10 + 5);
    assert_int_equal(tlc_plan_peak(&large, 2, true), 400 + 2 * 90); /* the features' moment */
    assert_int_equal(tlc_plan_peak_uncached(&large, 2), 400 + 2 * 90 + 20);
    assert_int_equal(tlc_plan_fit(&large, tlc_plan_peak(&large, 3, true)), 3);
    assert_int_equal(tlc_plan_fit(&p, tlc_plan_peak(&p, 7, true)), 7);
    assert_int_equal(tlc_plan_fit(&p, tlc_plan_peak(&p, 7, true) - 1), 6);
    assert_int_equal(tlc_plan_fit(&p, 10), 0);
    assert_true(tlc_plan_peak(&p, INT64_MAX / 2, true) == INT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(offsets_are_as_expected),
        cmocka_unit_test(random_plans_hold),
        cmocka_unit_test(corrupted_plans_are_refused),
        cmocka_unit_test(values_share_where_they_may),
        cmocka_unit_test(no_reuse_gives_each_its_own),
        cmocka_unit_test(kept_values_do_not_overlap),
        cmocka_unit_test(a_value_read_later_is_not_overwritten),
        cmocka_unit_test(a_view_keeps_its_buffer),
        cmocka_unit_test(regions_are_those_of_the_runtime),
        cmocka_unit_test(derived_states_come_first_in_fix),
        cmocka_unit_test(an_opening_keeps_what_its_rounds_share),
        cmocka_unit_test(an_operator_without_kernel_is_named),
        cmocka_unit_test(peak_and_fit_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
