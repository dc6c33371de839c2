/* test_schedule.c: the rate of every step against values of torch.optim.lr_scheduler (2.x), and
 * the end of a run that gets no better. */
#include "tlr_engine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <math.h>

typedef struct course {
    tlr_schedule schedule;
    int64_t epochs, steps_in_epoch;
    int n;
    double rate[12];
} course;

/* Made with LinearLR(1/W, total_iters=W-1), then CosineAnnealingLR or StepLR; lr 0.1. */
static const course courses[] = {
    { { TLR_COSINE, 1, 0, 0.1 }, 4, 3, 12,
      { 0.033333333333333333, 0.066666666666666666, 0.10000000000000001, 0.10000000000000001,
        0.09698463103929543, 0.088302222155948892, 0.074999999999999997, 0.058682408883346526,
        0.041317591116653486, 0.025000000000000012, 0.011697777844051105, 0.0030153689607045845 } },
    { { TLR_STEP, 1, 2, 0.1 }, 6, 2, 12,
      { 0.05, 0.1, 0.1, 0.1, 0.1, 0.1, 0.01, 0.01, 0.01, 0.01, 0.001, 0.001 } },
    { { TLR_COSINE, 0, 0, 0.1 }, 2, 4, 8,
      { 0.10000000000000001, 0.096193976625564337, 0.085355339059327379, 0.069134171618254497,
        0.050000000000000003, 0.030865828381745515, 0.014644660940672627,
        0.0038060233744356634 } },
    { { TLR_CONSTANT, 1, 0, 0.1 }, 3, 2, 6, { 0.05, 0.1, 0.1, 0.1, 0.1, 0.1 } },
    { { TLR_STEP, 0, 0, 0.1 }, 6, 1, 6, { 0.1, 0.1, 0.01, 0.01, 0.001, 0.001 } }, /* thirds */
};

static void rates_are_those_of_torch(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof courses / sizeof *courses; ++i) {
        const course *c = &courses[i];
        for (int k = 0; k < c->n; ++k) {
            double r = tlr_rate_at(&c->schedule, 0.1, k, c->steps_in_epoch, c->epochs);
            assert_true(fabs(r - c->rate[k]) <= 1e-15);
        }
    }
}

static void any_number_of_epochs(void **state)
{
    const tlr_schedule cosine = { TLR_COSINE, 1, 0, 0.1 }, warm = { TLR_STEP, INT64_MAX, 0, 0.1 };
    (void)state;
    assert_true(tlr_rate_at(&cosine, 0.1, 12, 3, INT64_MAX) == 0.1);
    assert_true(tlr_rate_at(&warm, 0.1, 12, 3, INT64_MAX) < 1e-17);
}

static void names_are_found(void **state)
{
    (void)state;
    tlr_schedule_kind kind = TLR_CONSTANT;
    assert_true(tlr_schedule_find("cosine", &kind));
    assert_int_equal(kind, TLR_COSINE);
    assert_false(tlr_schedule_find("cos", &kind));
    assert_int_equal(kind, TLR_COSINE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rates_are_those_of_torch), cmocka_unit_test(any_number_of_epochs),
        cmocka_unit_test(names_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
