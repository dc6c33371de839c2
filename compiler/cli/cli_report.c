/* cli_report.c: what `tlc compile` tells: each choice with the option that changes it. */
#include "cli.h"

#include "tlb_escape.h"
#include "tlb_json.h"

#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* --- kernels by operator ------------------------------------------------------- */

typedef struct usage {
    const char *op, *kernel;
    char window[16]; /* "3x3" of a convolution, else "" */
    int calls;
    int64_t multiply_adds;
} usage;

static void window_of(const tlc_node *n, char out[16])
{
    out[0] = '\0';
    if (n->op != TLC_OP_CONV2D)
        return;
    /* The plain weight's last two dimensions; Winograd's derived weight is of a 3x3 one. */
    const tlc_shape *w = &n->in[1]->shape;
    if (w->rank == 4)
        snprintf(out, 16, "%lldx%lld", (long long)w->dim[2], (long long)w->dim[3]);
    else
        snprintf(out, 16, "3x3");
}

static usage *find_usage(usage *rows, int count, const usage *like)
{
    for (int i = 0; i < count; ++i)
        if (!strcmp(rows[i].op, like->op) && !strcmp(rows[i].kernel, like->kernel) &&
            !strcmp(rows[i].window, like->window))
            return &rows[i];
    return NULL;
}

static int by_multiply_adds(const void *a, const void *b)
{
    const usage *x = a, *y = b;
    if (x->multiply_adds != y->multiply_adds)
        return x->multiply_adds < y->multiply_adds ? 1 : -1;
    return y->calls - x->calls;
}

/* One row for each operator, window and kernel of the functions that see a picture. */
static int collect_usage(tlc_ctx *ctx, const tlc_compilation *c, usage **out)
{
    static const char *const names[] = { "features", "head", "step", "update" };
    usage *rows = NULL;
    size_t count = 0, cap = 0;
    for (int f = 0; f < 4; ++f) {
        tlc_func *func = tlc_func_find(c->module, names[f]);
        for (tlc_node *n = func ? func->first : NULL; n; n = n->next) {
            const tlc_kernel *k = tlc_kernel_choose(n, &c->options);
            if (!k || (f == 1 && c->plan.trains))
                continue; /* @head again, inside @step */
            usage row = { tlc_ops[n->op].name, k->report, "", 0, 0 };
            window_of(n, row.window);
            usage *at = find_usage(rows, (int)count, &row);
            if (!at) {
                TLC_PUSH(&ctx->arena, rows, count, cap, row);
                at = &rows[count - 1];
            }
            ++at->calls;
            at->multiply_adds += tlc_multiply_adds(n);
        }
    }
    if (count)
        qsort(rows, count, sizeof *rows, by_multiply_adds);
    *out = rows;
    return (int)count;
}

static void show_multiply_adds(char buf[32], int64_t n)
{
    if (n >= 1000000000)
        snprintf(buf, 32, "%.2f G", (double)n / 1e9);
    else
        snprintf(buf, 32, "%.1f M", (double)n / 1e6);
}

static void print_kernels(tlc_ctx *ctx, const tlc_compilation *c)
{
    static const char *const headers[] = { "calls", "operator", "multiply-adds", "share", "kernel" };
    static const bool right[] = { true, false, true, true, false };
    usage *rows;
    int count = collect_usage(ctx, c, &rows);
    int64_t total = 0;
    for (int i = 0; i < count; ++i)
        total += rows[i].multiply_adds;
    tlb_table *t = tlb_table_create(5, headers, right);
    for (int i = 0; i < count; ++i) {
        char calls[16], op[48], macs[32] = "", share[32] = "";
        snprintf(calls, sizeof calls, "%d", rows[i].calls);
        snprintf(op, sizeof op, "%s%s%s", rows[i].op, *rows[i].window ? " " : "", rows[i].window);
        if (rows[i].multiply_adds) {
            show_multiply_adds(macs, rows[i].multiply_adds);
            snprintf(share, sizeof share, "%.0f %%", 100.0 * (double)rows[i].multiply_adds / (double)total);
        }
        tlb_table_row(t, (const char *const[]){ calls, op, macs, share, rows[i].kernel });
    }
    printf("kernels\n");
    tlb_table_print(t, stdout, false);
    tlb_table_destroy(t);
}

/* --- the lines ------------------------------------------------------------------ */

static void print_network(tlc_ctx *ctx, const tlc_compilation *c)
{
    char buf[32], text[4 * PATH_MAX + 8];
    const tlc_func *first = tlc_func_find(c->module, "features");
    if (!first)
        first = tlc_func_find(c->module, "head");
    tlb_escape(text, sizeof text, c->path, strlen(c->path));
    printf("network   %s: %s parameters, input %s%s\n", text,
           tlb_show_count(buf, c->findings.params_model), tlc_cli_dims(ctx, &first->in[0]->shape),
           c->findings.generalised ? "; exported for one picture, made for any number" : "");
    if (c->findings.n_untied)
        printf("          %" PRId64 " shared initialisers untied: each layer trains its own\n",
               c->findings.n_untied);
}

static void print_head(tlc_ctx *ctx, const tlc_compilation *c)
{
    const tlc_findings *f = &c->findings;
    if (!f->head_node)
        return;
    const char *spec = c->options.replace_head, *in = tlc_cli_dims(ctx, &f->head_in);
    bool classes = strspn(spec, "0123456789") == strlen(spec);
    printf("head      %s %s -> %s becomes ", f->head_node, in, tlc_cli_dims(ctx, &f->head_out_old));
    if (classes)
        printf("linear %s -> %s (--head)\n", in, spec);
    else
        printf("%s (--head, --replace-head)\n", spec);
}

static void print_trained(const tlc_compilation *c)
{
    static const char *const optimizers[] = { "adam", "adamw", "sgd" };
    const tlc_findings *f = &c->findings;
    char buf[32];
    printf("frozen    %s parameters; %d batch norms folded\n", tlb_show_count(buf, f->params_frozen),
           f->bn_folded);
    if (f->bn_stats || f->bn_train)
        printf("bn        by the batch's statistics: %d trained, %d frozen; by running ones: %d"
               " (--bn)\n", f->bn_train, f->bn_stats, f->bn_frozen);
    if (!c->plan.trains) {
        printf("trained   nothing: inference alone (--replace-head)\n");
        return;
    }
    printf("trained   %s parameters: ", tlb_show_count(buf, f->params_trained));
    enum { NAMED = 4 };
    for (size_t i = 0; i < f->n_trained && i < NAMED; ++i)
        printf("%s%s", i ? ", " : "", f->trained_names[i]);
    if (f->n_trained > NAMED)
        printf(", %zu more", f->n_trained - NAMED);
    printf("; %s (--optimizer)%s\n", optimizers[c->options.optimizer],
           c->options.keep_gradients ? "; gradients kept (--keep-gradients)" : "");
}

static void print_cache(tlc_ctx *ctx, const tlc_compilation *c)
{
    const tlc_func *features = tlc_func_find(c->module, "features");
    char buf[32];
    if (!features || !c->plan.trains)
        return;
    const tlc_shape *s = &features->out[0]->shape;
    printf("cache     %s features a picture", tlb_show_count(buf, tlc_shape_elems(s)));
    if (c->findings.cut_because)
        printf("; %s", c->findings.cut_because);
    printf(" (%s)\n", tlc_cli_dims(ctx, s));
}

static double mib(int64_t bytes)
{
    return (double)bytes / (1024.0 * 1024.0);
}

/* Of training: the two moments, whose larger one is the peak (tlr_model.h). */
static void print_training_memory(const tlc_compilation *c)
{
    const tlc_plan *p = &c->plan;
    int64_t batch = c->options.batch, always = p->consts_bytes + p->scratch_bytes;
    int64_t features = p->fix_infer_bytes + p->act_features_bytes * batch;
    int64_t steps = p->vars_bytes + p->fix_step_bytes + p->act_step_bytes * batch;
    printf("memory    batch %lld (--batch, --fit), MiB: constants %.2f + scratch %.2f a thread,"
           " and\n", (long long)batch, mib(p->consts_bytes), mib(p->scratch_bytes));
    if (p->prefix)
        printf("          features: activations %.2f + fixed %.2f = %.2f, then\n",
               mib(p->act_features_bytes * batch), mib(p->fix_infer_bytes),
               mib(always + features));
    printf("          steps: trained and optimizer %.2f + activations %.2f + fixed %.2f = %.2f\n"
           "          peak %.2f", mib(p->vars_bytes), mib(p->act_step_bytes * batch),
           mib(p->fix_step_bytes), mib(always + steps), mib(tlc_plan_peak(p, batch, true)));
    if (p->prefix)
        printf("; both at one time with trainer train --no-cache: %.2f",
               mib(tlc_plan_peak_uncached(p, batch)));
    printf("\n");
}

static void print_memory(const tlc_compilation *c)
{
    const tlc_plan *p = &c->plan;
    if (p->trains) {
        print_training_memory(c);
        return;
    }
    printf("memory    batch %lld (--batch, --fit), MiB: weights %.2f + activations %.2f\n"
           "          + fixed %.2f + scratch %.2f = peak %.2f;\n"
           "          %.2f a picture, %.2f a thread\n",
           (long long)c->options.batch, mib(p->consts_bytes + p->params_bytes),
           mib(p->act_infer_bytes * c->options.batch), mib(p->fix_infer_bytes),
           mib(p->scratch_bytes), mib(tlc_plan_peak(p, c->options.batch, false)),
           mib(p->act_infer_bytes), mib(p->scratch_bytes));
}

static void print_json(const tlc_compilation *c, const char *out_dir, int files)
{
    const tlc_findings *f = &c->findings;
    const tlc_plan *p = &c->plan;
    int64_t act = p->trains && p->act_step_bytes > p->act_features_bytes ? p->act_step_bytes
                  : p->trains ? p->act_features_bytes : p->act_infer_bytes;
    json_t *j = json_pack(
        "{s:s, s:o, s:I, s:I, s:I, s:i, s:I, s:I, s:I, s:I, s:I, s:o, s:i}", "schema",
        "tlc.compile/1", "network", tlb_json_string(c->path), "parameters",
        (json_int_t)f->params_model, "frozen", (json_int_t)f->params_frozen, "trained",
        (json_int_t)f->params_trained, "bn_folded",
        f->bn_folded, "batch", (json_int_t)c->options.batch, "weights_bytes",
        (json_int_t)(p->consts_bytes + p->params_bytes), "activation_bytes",
        (json_int_t)(act * c->options.batch),
        "vars_bytes", (json_int_t)p->vars_bytes, "peak_bytes",
        (json_int_t)tlc_plan_peak(p, c->options.batch, p->trains), "out", tlb_json_string(out_dir),
        "files", files);
    char *text = json_dumps(j, JSON_ENSURE_ASCII | JSON_COMPACT);
    printf("%s\n", text ? text : "{}");
    free(text);
    json_decref(j);
}

void tlc_cli_report(tlc_ctx *ctx, const tlb_args *a, const tlc_compilation *c, const char *out_dir,
                    int files)
{
    char shown[4 * PATH_MAX + 8]; /* each byte may take four */
    tlb_escape(shown, sizeof shown, out_dir, strlen(out_dir));
    if (a->json) {
        print_json(c, out_dir, files);
        return;
    }
    print_network(ctx, c);
    print_head(ctx, c);
    print_trained(c);
    print_cache(ctx, c);
    print_memory(c);
    print_kernels(ctx, c);
    printf("wrote     %s: model.c, weights.bin, manifest.json, %d more\n", shown, files - 3);
    tlb_shell_quote(shown, sizeof shown, out_dir);
    if (c->plan.trains)
        printf("next      make -C %s && %s/trainer train PHOTOS\n", shown, shown);
    else
        printf("next      make -C %s && %s/predictor infer --input x.npy --output y.npy\n", shown,
               shown);
}
