/* predictor_bench.c: pictures a second, the median of runs of one batch, on made-up input.
 * The head runs whether or not it is trained: its values do not change its time. */
#include "predictor.h"

#include "tlr_cli.h"

#include <stdlib.h>
#include <time.h>

enum { MOST_RUNS = 100000, FEWEST_RUNS = 3 };

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Numbers in [-1, 1) that no kernel can profit from. */
static void make_up(int64_t elems, int element_bytes, void *input)
{
    uint32_t word = 1;
    for (int64_t i = 0; i < elems; ++i) {
        word = word * 1664525u + 1013904223u;
        double x = (double)(word >> 8) / (1 << 23) - 1.0;
        if (element_bytes == 8)
            ((double *)input)[i] = x;
        else
            ((float *)input)[i] = (float)x;
    }
}

static double run_once(tlr_session *s, int batch, const void *input)
{
    double start = now_s();
    tlr_session_features(s, batch, input);
    tlr_session_head(s, batch);
    return now_s() - start;
}

/* Runs for `seconds` after one to warm up; returns how many, their times sorted. */
static int measure(tlr_session *s, int batch, const void *input, double seconds, double *times)
{
    int n = 0;
    run_once(s, batch, input);
    for (double end = now_s() + seconds; n < MOST_RUNS && (n < FEWEST_RUNS || now_s() < end); ++n)
        times[n] = run_once(s, batch, input);
    qsort(times, (size_t)n, sizeof *times, by_value);
    return n;
}

static void report(const tlb_args *a, int batch, int runs, const double *times)
{
    double median = (times[(runs - 1) / 2] + times[runs / 2]) / 2, rate = batch / median;
    int threads = predictor_threads(a);
    const char *name = tlr_the_model->name;
    if (a->json) {
        char *quoted = tlr_cli_json(name);
        printf("{\"schema\":\"tlc.bench/1\",\"model\":%s,\"pictures_per_s\":%.6g,\"runs\":%d,"
               "\"batch\":%d,\"threads\":%d,\"median_s\":%.6g,\"fastest_s\":%.6g}\n",
               quoted ? quoted : "null", rate, runs, batch, threads, median, times[0]);
        free(quoted);
    } else {
        printf("%s: %.*f/s median of %d runs, batch %d, %d thread%s\n", name, rate < 1000 ? 1 : 0,
               rate, runs, batch, threads, threads == 1 ? "" : "s");
    }
}

static tlb_status bench(const tlb_args *a, tlr_session *s, int batch)
{
    tlr_info info;
    tlr_model_info(tlr_the_model, &info);
    int64_t elems = info.input_elems * batch;
    void *input = malloc((size_t)elems * (size_t)info.element_bytes);
    double *times = malloc(MOST_RUNS * sizeof *times);
    tlb_status st = TLB_OK;
    if (input && times) {
        make_up(elems, info.element_bytes, input);
        report(a, batch, measure(s, batch, input, tlb_num(a, TLB_OPT_SECONDS), times), times);
    } else {
        st = predictor_no_memory(a);
    }
    free(input);
    free(times);
    return st;
}

tlb_status predictor_bench(const tlb_args *a)
{
    int64_t batch = tlb_int(a, TLB_OPT_BATCH), most = tlr_the_model->max_batch;
    if (!tlb_given(a, TLB_OPT_BATCH))
        batch = batch < most ? batch : most;
    if (batch > most)
        return tlb_error(a, TLB_E_USAGE, "E_USAGE", NULL, NULL, "compile with a larger --batch",
                         "--batch is %lld, the network was compiled for at most %lld",
                         (long long)batch, (long long)most);
    tlr_session *s;
    tlb_status st = predictor_open(a, (int)batch, 0, &s);
    if (st != TLB_OK)
        return st;
    st = bench(a, s, (int)batch);
    tlr_close(s);
    return st;
}
