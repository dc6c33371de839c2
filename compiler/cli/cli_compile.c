/* cli_compile.c: `tlc compile`: file to folder, the whole way. */
#include "cli.h"

#include "text.h"

#include <ctype.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

typedef struct watch {
    const char *dump_after; /* NULL: no pass */
    tlc_ctx *ctx;
    tlc_compilation *c;
} watch;

/* What a trained network is given back as: taken where its batch norms stand, and once folded. */
static void keep_graphs(const watch *w, const tlc_pass *p, const tlc_module *m)
{
    if (w->c->options.train && p->run == tlc_pass_freeze)
        w->c->unfolded = tlc_onnx_graph_make(w->ctx, m);
    if (w->c->options.train && p->run == tlc_pass_fold_bn)
        w->c->folded = tlc_onnx_graph_make(w->ctx, m);
}

/* Once a head has been replaced it is known which weights have to be there. */
static tlc_status after_pass(void *self, const tlc_pass *p, const tlc_module *m)
{
    const watch *w = self;
    if (p->run == tlc_pass_replace_head)
        TLC_TRY(tlc_check_weights(w->ctx, m, &w->c->info));
    keep_graphs(w, p, m);
    if (w->c->after)
        TLC_TRY(w->c->after(w->c->after_self, p, m));
    if (!w->dump_after || strcmp(w->dump_after, p->name) != 0)
        return TLC_OK;
    tlc_cwriter text = tlc_cwriter_make(&w->ctx->arena);
    tlc_print_module(&text, m);
    fputs(text.text, stdout);
    return TLC_OK;
}

/* Trained without being asked: a network in IR text with parameters that have no values yet. */
static bool has_initialisers(const tlc_module *m)
{
    for (size_t i = 0; i < m->n_globals; ++i)
        if (m->globals[i]->kind == TLC_PARAM && m->globals[i]->init != TLC_INIT_NONE)
            return true;
    return false;
}

/* Pictures are the one thing that a network reads. */
static tlc_status check_signature(tlc_ctx *ctx, const tlc_func *forward)
{
    if (forward && forward->n_in > 1 && forward->n_out == 1)
        return tlc_fail(ctx, TLC_E_UNSUPPORTED, "E_GRAPH",
                        "%zu inputs, among them %s and %s: a network has one", forward->n_in,
                        tlc_quote_name(ctx, forward->in[0]->name),
                        tlc_quote_name(ctx, forward->in[1]->name));
    if (!forward || forward->n_in != 1 || forward->n_out != 1)
        return tlc_fail(ctx, TLC_E_UNSUPPORTED, "E_GRAPH",
                        "a network has one function @forward with one input and one output");
    return TLC_OK;
}

/* after: pass whose result is printed; NULL: none. */
static tlc_status build(tlc_ctx *ctx, const tlb_args *a, tlc_compilation *c, const char *after)
{
    if (after && !tlc_pass_find(after))
        return tlc_fail(ctx, TLC_E_USAGE, "E_USAGE", "--dump-after: no pass %s",
                        tlc_quote_name(ctx, after));
    c->path = a->inputs[0];
    TLC_TRY(tlc_cli_import(ctx, a, &c->file, &c->module, &c->info));
    c->findings.generalised = c->info.generalised;
    c->findings.n_untied = c->info.n_untied;
    c->options.train = c->options.train || has_initialisers(c->module);
    tlc_func *forward = tlc_func_find(c->module, "forward");
    TLC_TRY(check_signature(ctx, forward));
    TLC_TRY(tlc_cli_preprocess(ctx, a, forward, &c->preprocess));
    tlc_pass_env env = { &c->options, &c->findings, 0 };
    TLC_TRY(tlc_pipeline_run(ctx, c->module, &env, after_pass, &(watch){ after, ctx, c }));
    TLC_TRY(tlc_plan_make(ctx, c->module, &c->options, &c->plan));
    ctx->where[0] = '\0';
    return TLC_OK;
}

tlc_status tlc_cli_build(tlc_ctx *ctx, const tlb_args *a, tlc_compilation *c)
{
    return build(ctx, a, c, NULL);
}

/* The processor's version of `c`, from the file again: passes change a module where it lies.  What
 * there was to warn of was said the first time. */
static tlc_status build_for_cpu(tlc_ctx *ctx, const tlb_args *a, tlc_compilation *c,
                                tlc_compilation *cpu)
{
    size_t said = ctx->n_diags;
    TLC_TRY(tlc_cli_options(ctx, a, &cpu->options));
    cpu->options.target = TLC_TARGET_CPU;
    cpu->options.precision = TLC_PRECISION_FP32;
    cpu->options.batch = c->options.batch;
    ctx->folded_bytes = ctx->weights_bytes = 0;
    ctx->file = a->inputs[0];
    TLC_TRY(build(ctx, a, cpu, NULL));
    ctx->n_diags = said;
    c->cpu = cpu;
    return TLC_OK;
}

static tlc_status fit_batch(tlc_ctx *ctx, const tlb_args *a, tlc_compilation *c)
{
    if (!tlb_given(a, TLB_OPT_FIT))
        return TLC_OK;
    if (tlb_given(a, TLB_OPT_BATCH))
        return tlc_fail(ctx, TLC_E_USAGE, "E_USAGE", "--fit and --batch exclude each other");
    int64_t most = ctx->limits.max[TLB_LIMIT_BATCH];
    int64_t batch = tlc_plan_fit(&c->plan, tlb_int(a, TLB_OPT_FIT));
    char need[32];
    if (batch < 1)
        return tlc_fail(ctx, TLC_E_LIMIT, "E_FIT", "--fit %s: one picture needs %s",
                        tlb_text(a, TLB_OPT_FIT),
                        tlb_show_bytes(need, tlc_plan_peak(&c->plan, 1, c->plan.trains)));
    c->options.batch = batch < most ? batch : most;
    return TLC_OK;
}

const char *tlc_cli_identifier(tlc_ctx *ctx, const char *path)
{
    size_t len = strlen(path);
    while (len > 1 && path[len - 1] == '/')
        --len;
    size_t from = len;
    while (from > 0 && path[from - 1] != '/')
        --from;
    char *name = tlc_arena_strndup(&ctx->arena, path + from, len - from);
    for (char *p = name; *p; ++p)
        if (!isalnum((unsigned char)*p) || (unsigned char)*p >= 0x80)
            *p = '_';
    return isdigit((unsigned char)*name) ? tlc_arena_printf(&ctx->arena, "m%s", name) : name;
}

static bool is_identifier(const char *s)
{
    size_t len = strlen(s);
    return len >= 1 && len <= 64 && !isdigit((unsigned char)*s) &&
           strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == len;
}

/* The files that the import mapped. */
static const tlc_origin *list_origins(tlc_ctx *ctx, const tlc_file *first, size_t *out_n)
{
    tlc_origin *list = NULL;
    size_t n = 0, cap = 0;
    for (const tlc_file *f = first; f; f = f->next) {
        tlc_origin o = { f->path, f->bytes, (size_t)f->n_bytes };
        if (f->bytes && f->path)
            TLC_PUSH(&ctx->arena, list, n, cap, o);
    }
    *out_n = n;
    return list;
}

static tlc_emit_spec make_spec(tlc_ctx *ctx, const tlc_compilation *c, const char *out_dir,
                               const char *name, const char *command_options)
{
    const char *slash = strrchr(c->path, '/');
    tlc_emit_spec spec = {
        .out_dir = out_dir,
        .name = name,
        .command_options = command_options,
        .preprocess = c->preprocess,
        .options = &c->options,
        .findings = &c->findings,
        .model_file = slash ? slash + 1 : c->path,
        .unfolded = c->unfolded,
        .folded = c->folded,
    };
    spec.origins = list_origins(ctx, &c->file, &spec.n_origins);
    return spec;
}

tlc_status tlc_cli_emit(tlc_ctx *ctx, const tlc_compilation *c, const char *out_dir,
                        const char *name, const char *command_options, int *out_files)
{
    tlc_emit_spec spec = make_spec(ctx, c, out_dir, name, command_options), cpu_spec;
    tlc_emit_cpu cpu;
    if (c->cpu) {
        cpu_spec = make_spec(ctx, c->cpu, out_dir, name, command_options);
        cpu = (tlc_emit_cpu){ c->cpu->module, &c->cpu->plan, &cpu_spec };
        spec.cpu = &cpu;
    }
    sigset_t before;
    tlc_cli_hold_signals(&before);
    tlc_status status = tlc_emit_folder(ctx, c->module, &c->plan, &spec, out_files);
    tlc_cli_release_signals(&before);
    return status;
}

/* The options that change the result, as typed, for the banner of model.c: never paths. */
static const char *banner_options(tlc_ctx *ctx, const tlb_args *a)
{
    static const tlb_option texts[] = { TLB_OPT_REPLACE_HEAD, TLB_OPT_OPTIMIZER, TLB_OPT_BATCH,
                                        TLB_OPT_FIT,          TLB_OPT_TARGET,    TLB_OPT_PRECISION,
                                        TLB_OPT_CLASSES,      TLB_OPT_INPUT_SIZE,
                                        TLB_OPT_BLAS };
    const char *out = "";
    for (size_t i = 0; i < sizeof texts / sizeof *texts; ++i)
        if (tlb_given(a, texts[i]))
            out = tlc_arena_printf(&ctx->arena, "%s --%s %s", out, tlb_option_name(texts[i]),
                                   tlb_text(a, texts[i]));
    if (tlb_flag(a, TLB_OPT_FREEZE_BACKBONE))
        out = tlc_arena_printf(&ctx->arena, "%s --freeze-backbone", out);
    return *out ? out + 1 : out;
}

/* A folder that would swallow its own input is a mistake, not a wish. */
static tlc_status check_input_outside(tlc_ctx *ctx, const char *input, const char *out_dir)
{
    char in_path[PATH_MAX], out_path[PATH_MAX];
    if (!realpath(input, in_path) || !realpath(out_dir, out_path))
        return TLC_OK; /* missing: reported where it is opened, or nothing to replace */
    size_t len = strlen(out_path);
    if (strncmp(in_path, out_path, len) == 0 && in_path[len] == '/')
        return tlc_fail(ctx, TLC_E_USAGE, "E_USAGE", "the input lies inside --out %s, which is replaced",
                        tlc_quote_name(ctx, out_dir));
    return TLC_OK;
}

tlc_status tlc_cli_compile(tlc_ctx *ctx, const tlb_args *a)
{
    const char *out_dir = tlb_text(a, TLB_OPT_OUT), *name = tlb_text(a, TLB_OPT_NAME);
    if (!out_dir && !tlb_given(a, TLB_OPT_DUMP_AFTER))
        return tlc_fail(ctx, TLC_E_USAGE, "E_USAGE", "compile needs -o DIR");
    if (name && !is_identifier(name))
        return tlc_fail(ctx, TLC_E_USAGE, "E_USAGE", "--name is %s, not a C identifier of 64 letters",
                        tlc_quote_name(ctx, name));
    tlc_compilation c = { 0 };
    TLC_TRY(tlc_cli_options(ctx, a, &c.options));
    if (out_dir)
        TLC_TRY(check_input_outside(ctx, a->inputs[0], out_dir));
    tlc_status status = build(ctx, a, &c, tlb_text(a, TLB_OPT_DUMP_AFTER));
    if (!status)
        status = fit_batch(ctx, a, &c);
    tlc_compilation cpu = { 0 };
    if (!status && out_dir && c.options.target == TLC_TARGET_CUDA)
        status = build_for_cpu(ctx, a, &c, &cpu);
    int files = 0;
    if (!status && out_dir) {
        ctx->file = NULL;
        status = tlc_cli_emit(ctx, &c, out_dir, name ? name : tlc_cli_identifier(ctx, out_dir),
                              banner_options(ctx, a), &files);
        if (!status && !a->quiet)
            tlc_cli_report(ctx, a, &c, out_dir, files);
    }
    tlc_file_unmap(&cpu.file);
    tlc_file_unmap(&c.file);
    return status;
}
