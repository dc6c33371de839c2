/* predictor_main.c: the program `predictor` of a compiled folder: its table of commands, what
 * they share, and `info`. */
#include "predictor.h"

#include "tlb_signal.h"
#include "tlr_cli.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

tlb_status predictor_no_memory(const tlb_args *a)
{
    return tlb_error(a, TLB_E_LIMIT, "E_LIMIT", NULL, NULL, NULL, "out of memory");
}

int predictor_threads(const tlb_args *a)
{
    return tlb_given(a, TLB_OPT_THREADS) ? (int)tlb_int(a, TLB_OPT_THREADS) : tlr_cpu_count();
}

static tlb_status not_trained(const tlb_args *a, const char *file)
{
    return tlb_error(a, TLB_E_UNSUPPORTED, "E_NOT_TRAINED", file, NULL,
                     "trainer train, trainer export, then --weights of what it wrote",
                     "the head is not trained");
}

tlb_status predictor_open(const tlb_args *a, int max_batch, int need_trained, tlr_session **out)
{
    const char *typed = tlb_text(a, TLB_OPT_WEIGHTS_FILE);
    char *own = typed ? NULL : tlr_cli_of_model("weights.bin");
    if (!typed && !own)
        return predictor_no_memory(a);
    tlr_config config = { .max_batch = max_batch, .threads = predictor_threads(a) };
    tlr_session *s = NULL;
    const char *shown = typed ? typed : "weights.bin";
    errno = 0;
    tlr_status st = tlr_open_file(tlr_the_model, typed ? typed : own, &config, &s);
    tlb_status said = tlr_cli_device_check(a);
    if (said == TLB_OK && st != TLR_OK)
        said = tlr_cli_weights_error(a, (int)st, shown);
    free(own);
    if (said != TLB_OK)
        return said;
    if (need_trained && !tlr_session_trained(s)) {
        tlr_close(s);
        return not_trained(a, shown);
    }
    *out = s;
    return TLB_OK;
}

/* --- info ----------------------------------------------------------------- */

static void print_dims(FILE *out, int rank, const int64_t *dim, const char *between)
{
    for (int i = 0; i < rank; ++i)
        fprintf(out, "%s%" PRId64, i == 0 ? "" : between, dim[i]);
}

static void print_preprocess(const tlr_preprocess *p)
{
    if (p->kind == TLR_PREPROCESS_NONE) {
        printf("pictures  none: the input is no picture\n");
        return;
    }
    if (p->resize_short > 0)
        printf("pictures  resize shorter side to %d (--resize)", p->resize_short);
    else
        printf("pictures  resize to %dx%d (--resize)", p->resize_h, p->resize_w);
    printf(", crop %dx%d (--crop); %s\n", p->crop_h, p->crop_w, p->bgr ? "BGR" : "RGB");
    printf("          mean %g %g %g (--mean), std %g %g %g (--std)\n", (double)p->mean[0],
           (double)p->mean[1], (double)p->mean[2], (double)p->std[0], (double)p->std[1],
           (double)p->std[2]);
}

static void print_info(const tlr_model *m, const tlr_info *info)
{
    char count[32], weights[32], session[32];
    tlr_config one = { .max_batch = 1 };
    printf("network   %s: %s parameters, input ", m->name, tlb_show_count(count, m->params_total));
    print_dims(stdout, info->input_rank, info->input_dim, "x");
    printf("\noutput    %d classes, %" PRId64 " features\n", info->n_classes, info->feature_elems);
    printf("build     tlc %s, target %s, %s, graph %.12s\n", m->version, m->target, m->precision,
           m->graph_sha256);
    printf("memory    batch 1: weights %s + session %s; batch up to %d (--batch)\n",
           tlb_show_bytes(weights, m->consts_bytes + m->params_bytes),
           tlb_show_bytes(session, (int64_t)tlr_session_bytes(m, &one)), m->max_batch);
    print_preprocess(&m->preprocess);
}

static void print_info_json(const tlr_model *m, const tlr_info *info)
{
    const tlr_preprocess *p = &m->preprocess;
    char *name = tlr_cli_json(m->name);
    tlr_config one = { .max_batch = 1 };
    printf("{\"schema\":\"tlc.info/1\",\"name\":%s,\"tlc\":\"%s\",\"target\":\"%s\","
           "\"precision\":\"%s\",\"graph_sha256\":\"%s\",\"input\":[", name ? name : "null",
           m->version, m->target, m->precision, m->graph_sha256);
    free(name);
    print_dims(stdout, info->input_rank, info->input_dim, ",");
    printf("],\"classes\":%d,\"features\":%" PRId64 ",\"parameters\":%" PRId64
           ",\"max_batch\":%d,\"weights_bytes\":%" PRId64 ",\"session_bytes\":%zu",
           info->n_classes, info->feature_elems, m->params_total, m->max_batch,
           m->consts_bytes + m->params_bytes, tlr_session_bytes(m, &one));
    if (p->kind == TLR_PREPROCESS_PICTURE)
        printf(",\"preprocess\":{\"channel_order\":\"%s\",\"resize_short\":%d,\"resize\":[%d,%d],"
               "\"crop\":[%d,%d],\"mean\":[%.9g,%.9g,%.9g],\"std\":[%.9g,%.9g,%.9g]}",
               p->bgr ? "BGR" : "RGB", p->resize_short, p->resize_h, p->resize_w, p->crop_h,
               p->crop_w, (double)p->mean[0], (double)p->mean[1], (double)p->mean[2],
               (double)p->std[0], (double)p->std[1], (double)p->std[2]);
    printf("}\n");
}

tlb_status predictor_info(const tlb_args *a)
{
    tlr_info info;
    tlr_model_info(tlr_the_model, &info);
    if (a->json)
        print_info_json(tlr_the_model, &info);
    else
        print_info(tlr_the_model, &info);
    return TLB_OK;
}

/* --- commands ------------------------------------------------------------- */

static const struct {
    tlb_command command;
    tlb_status (*run)(const tlb_args *a);
} commands[] = {
    { TLB_CMD_INFER, predictor_infer },
    { TLB_CMD_CLASSIFY, predictor_classify },
    { TLB_CMD_BENCH, predictor_bench },
    { TLB_CMD_PREDICTOR_INFO, predictor_info },
};

int main(int argc, char **argv)
{
    tlb_args args;
    bool done = false;
    tlb_status st = tlb_args_parse(&args, TLB_PROGRAM_PREDICTOR, argc, argv,
                                   tlr_cli_version("predictor"), &done);
    if (st == TLB_OK && !done)
        tlb_catch_shrunk_files(&args);
    if (st == TLB_OK && !done)
        st = tlr_cli_choose_device(&args);
    for (size_t i = 0; st == TLB_OK && !done && i < sizeof commands / sizeof *commands; ++i)
        if (commands[i].command == args.command)
            st = commands[i].run(&args);
    if (st != TLB_E_OUTPUT)
        st = tlr_cli_end(&args, st);
    tlb_args_free(&args);
    return (int)st;
}
