/* main.c: the command line of tlc; the only place that exits or prints errors. */
#include "cli.h"

#include "tlb_signal.h"

#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

static tlc_status run_help(tlc_ctx *ctx, const tlb_args *a)
{
    (void)ctx;
    (void)a;
    return TLC_OK; /* answered by the parser */
}

static tlc_command_fn *const commands[TLB_CMD_COUNT] = {
    [TLB_CMD_COMPILE] = tlc_cli_compile, [TLB_CMD_INSPECT] = tlc_cli_inspect,
    [TLB_CMD_VERIFY] = tlc_cli_verify,   [TLB_CMD_OPT] = tlc_cli_opt,
    [TLB_CMD_COMPARE] = tlc_cli_compare, [TLB_CMD_SPLIT] = tlc_cli_split,
    [TLB_CMD_FIT] = tlc_cli_fit,         [TLB_CMD_EXPLAIN] = tlc_cli_explain,
    [TLB_CMD_TLC_HELP] = run_help,
};

/* jansson leaves things out where memory fails, and tells of it in few places: so its allocations
 * do not return without memory.  No temporary folder stands where JSON is made. */
static const tlb_args *asked;

static void *json_memory(size_t n)
{
    void *p = malloc(n);
    if (p)
        return p;
    exit(tlb_error(asked, TLC_E_LIMIT, "E_MEMORY", NULL, NULL, NULL, "out of memory"));
}

static void print_diags(const tlc_ctx *ctx, const tlb_args *a)
{
    fflush(stdout);
    for (size_t i = 0; i < ctx->n_diags; ++i) {
        const tlb_diag *d = &ctx->diags[i];
        if (d->severity == TLB_ERROR || !a->quiet)
            tlb_diag_print(stderr, "tlc", d, a->json_diagnostics, a->color_err);
    }
}

static tlc_status run_command(const tlb_args *a)
{
    tlc_ctx ctx;
    jmp_buf exhausted;
    tlc_ctx_init(&ctx, &exhausted);
    ctx.limits = a->limits;
    tlc_status status;
    if (setjmp(exhausted) == 0) {
        status = commands[a->command](&ctx, a);
        print_diags(&ctx, a);
    } else {
        status = tlb_error(a, TLC_E_LIMIT, "E_MEMORY", NULL, NULL, NULL, "out of memory");
    }
    tlc_ctx_fini(&ctx);
    return status;
}

void tlc_cli_hold_signals(sigset_t *before)
{
    sigset_t held;
    sigemptyset(&held);
    sigaddset(&held, SIGINT);
    sigaddset(&held, SIGTERM);
    sigaddset(&held, SIGHUP);
    sigprocmask(SIG_BLOCK, &held, before);
}

void tlc_cli_release_signals(const sigset_t *before)
{
    sigprocmask(SIG_SETMASK, before, NULL);
}

int main(int argc, char **argv)
{
    tlb_args a;
    bool done;
    asked = &a;
    json_set_alloc_funcs(json_memory, free);
    tlc_status status = tlb_args_parse(&a, TLB_PROGRAM_TLC, argc, argv, "tlc " TLC_VERSION, &done);
    if (!status && !done) {
        tlb_catch_shrunk_files(&a);
        status = run_command(&a);
    }
    errno = 0;
    if ((fflush(stdout) || ferror(stdout)) && !status)
        status = tlb_error(&a, TLC_E_OUTPUT, "E_OUTPUT", NULL, NULL, NULL,
                           "cannot write standard output: %s", strerror(errno));
    tlb_args_free(&a);
    return (int)status;
}
