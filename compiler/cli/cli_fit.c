/* cli_fit.c: `tlc fit MODEL PHOTOS -o DIR`: compile, build, train, export, with settings that
 * suit a new head on a frozen network.  Every step is a command that is shown before it runs, so
 * that a user can give it himself with other options. */
#define _GNU_SOURCE
#include "cli.h"

#include "tlb_escape.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum { STEPS = 4, MOST_WORDS = 32 };

typedef struct fit {
    tlc_ctx *ctx;
    const tlb_args *a;
    const char *model, *photos, *dir, *run, *app;
    const char *tlc;          /* this program */
    char **classes;
    size_t n_classes, cap_classes;
} fit;

/* --- what is there ------------------------------------------------------------------------- */

static bool is_folder(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

static int by_bytes(const void *x, const void *y)
{
    return strcmp(*(char *const *)x, *(char *const *)y);
}

/* Sub-folders of PHOTOS, or of its train/ where valid/ is beside it. */
static tlc_status find_classes(fit *f)
{
    tlc_arena *arena = &f->ctx->arena;
    const char *train = tlc_arena_printf(arena, "%s/train", f->photos);
    bool split = is_folder(train) && is_folder(tlc_arena_printf(arena, "%s/valid", f->photos));
    const char *from = split ? train : f->photos;
    DIR *d = opendir(from);
    f->ctx->file = from;
    if (!d)
        return tlc_fail(f->ctx, TLC_E_INPUT, "E_INPUT", "cannot read the folder: %s",
                        strerror(errno));
    for (struct dirent *e; (e = readdir(d));) {
        bool self = strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0;
        if (self || !is_folder(tlc_arena_printf(arena, "%s/%s", from, e->d_name)))
            continue;
        char *name = tlc_arena_strdup(arena, e->d_name);
        TLC_PUSH(arena, f->classes, f->n_classes, f->cap_classes, name);
    }
    closedir(d);
    if (f->n_classes > 0)
        qsort(f->classes, f->n_classes, sizeof *f->classes, by_bytes);
    if (f->n_classes >= 2)
        return TLC_OK;
    tlc_fail(f->ctx, TLC_E_MALFORMED, "E_CLASS", "%zu class folders, at least 2", f->n_classes);
    return tlc_hint(f->ctx, "tlc split makes them of a flat folder");
}

static bool in_path(tlc_ctx *ctx, const char *name)
{
    const char *path = getenv("PATH");
    while (path && *path) {
        int n = (int)strcspn(path, ":");
        if (access(tlc_arena_printf(&ctx->arena, "%.*s/%s", n, path, name), X_OK) == 0)
            return true;
        path += n;
        path += *path == ':';
    }
    return false;
}

static tlc_status check_tools(tlc_ctx *ctx)
{
    static const char *const tools[] = { "make", "cc" };
    for (size_t i = 0; i < sizeof tools / sizeof *tools; ++i)
        if (!in_path(ctx, tools[i])) {
            ctx->file = tools[i];
            tlc_fail(ctx, TLC_E_INPUT, "E_TOOL", "not found in PATH");
            return tlc_hint(ctx, "Debian: apt-get install make gcc");
        }
    return TLC_OK;
}

/* DIR-run and DIR-app beside DIR, or the first DIR-run-N, DIR-app-N of which neither is there. */
static void name_results(fit *f)
{
    tlc_arena *arena = &f->ctx->arena;
    for (int n = 1;; ++n) {
        const char *number = n == 1 ? "" : tlc_arena_printf(arena, "-%d", n);
        f->run = tlc_arena_printf(arena, "%s-run%s", f->dir, number);
        f->app = tlc_arena_printf(arena, "%s-app%s", f->dir, number);
        if (access(f->run, F_OK) != 0 && access(f->app, F_OK) != 0)
            return;
    }
}

/* --- running ------------------------------------------------------------------------------- */

static void show(const fit *f, int step, const char *const *words, const char *remark)
{
    static const char plain[] = "-abcdefghijklmnopqrstuvwxyzC0123456789";
    FILE *out = f->a->json ? stderr : stdout;
    if (f->a->quiet)
        return;
    fprintf(out, "%d/%d  $", step, STEPS);
    for (int i = 0; words[i]; ++i) {
        char word[4 * PATH_MAX + 8];
        bool option = words[i][0] == '-' && words[i][strspn(words[i], plain)] == '\0';
        if (!option) /* a path that begins so is quoted as one */
            tlb_shell_quote(word, sizeof word, words[i]);
        fprintf(out, " %s", option ? words[i] : word);
    }
    if (remark)
        fprintf(out, "  # %s", remark);
    fputc('\n', out);
    fflush(out);
}

/* Show and run words[]; the program is `path`, or words[0] as found in PATH. */
static tlc_status run(fit *f, int step, const char *path, const char *const *words,
                      const char *remark)
{
    pid_t child;
    int state = 0;
    show(f, step, words, remark);
    f->ctx->file = words[0];
    int error = posix_spawnp(&child, path ? path : words[0], NULL, NULL,
                             (char *const *)(uintptr_t)words, environ);
    if (error)
        return tlc_fail(f->ctx, TLC_E_INPUT, "E_TOOL", "cannot run: %s", strerror(error));
    while (waitpid(child, &state, 0) < 0 && errno == EINTR)
        continue;
    if (WIFEXITED(state) && WEXITSTATUS(state) == 0)
        return TLC_OK;
    int code = WIFEXITED(state) ? WEXITSTATUS(state) : 0;
    tlc_status status = path && code > 0 && code < 9 ? (tlc_status)code : TLC_E_INTERNAL;
    return code ? tlc_fail(f->ctx, status, "E_STEP", "step %d of %d ended with code %d", step,
                           STEPS, code)
                : tlc_fail(f->ctx, status, "E_STEP", "step %d of %d was ended by signal %d", step,
                           STEPS, WIFSIGNALED(state) ? WTERMSIG(state) : 0);
}

/* "cat, dog": what the comment of the first command says. */
static const char *class_remark(const fit *f)
{
    enum { SHOWN = 6 };
    const char *text = "";
    for (size_t i = 0; i < f->n_classes && i < SHOWN; ++i) {
        char name[TLB_ESCAPED_NAME_BYTES];
        tlb_escape_name(name, sizeof name, f->classes[i], strlen(f->classes[i]));
        text = tlc_arena_printf(&f->ctx->arena, "%s%s%s", text, i ? ", " : "", name);
    }
    return f->n_classes > SHOWN ? tlc_arena_printf(&f->ctx->arena, "%s, ...", text) : text;
}

/* Options of compile that are given, behind the command's own words. */
static void pass_on(const fit *f, const char **words, int n)
{
    static const tlb_option options[] = { TLB_OPT_WEIGHTS,    TLB_OPT_BATCH,  TLB_OPT_OPTIMIZER,
                                          TLB_OPT_PREPROCESS, TLB_OPT_RESIZE, TLB_OPT_CROP,
                                          TLB_OPT_MEAN,       TLB_OPT_STD };
    for (size_t i = 0; i < sizeof options / sizeof *options; ++i) {
        if (!tlb_given(f->a, options[i]))
            continue;
        words[n++] = tlc_arena_printf(&f->ctx->arena, "--%s", tlb_option_name(options[i]));
        words[n++] = tlb_text(f->a, options[i]);
    }
    if (tlb_given(f->a, TLB_OPT_BGR))
        words[n++] = tlb_flag(f->a, TLB_OPT_BGR) ? "--bgr" : "--no-bgr";
}

static tlc_status compile(fit *f)
{
    const char *head = tlc_arena_printf(&f->ctx->arena, "%zu", f->n_classes);
    const char *words[MOST_WORDS] = { "tlc", "compile", f->model, "--replace-head", head,
                                      "--freeze-backbone", "-q", "-o", f->dir };
    pass_on(f, words, 9);
    return run(f, 1, f->tlc, words, class_remark(f));
}

static tlc_status build(fit *f)
{
    const char *jobs = tlc_arena_printf(&f->ctx->arena, "-j%ld", sysconf(_SC_NPROCESSORS_ONLN));
    const char *words[MOST_WORDS] = { "make", "-s", jobs, "-C", f->dir };
    return run(f, 2, NULL, words, NULL);
}

/* A head starts from nothing: a warm-up keeps the first steps small, and the cosine ends with
 * small ones; patience stops what gets no better. */
static tlc_status train(fit *f)
{
    const char *trainer = tlc_arena_printf(&f->ctx->arena, "%s/trainer", f->dir);
    const char *epochs = tlb_given(f->a, TLB_OPT_EPOCHS) ? tlb_text(f->a, TLB_OPT_EPOCHS) : "12";
    bool long_enough = atoll(epochs) > 1;
    const char *words[MOST_WORDS] = { trainer, "train", f->photos, "--epochs", epochs,
                                      "--schedule", "cosine", "--patience", "5", "-o", f->run };
    int n = 11;
    if (long_enough) {
        words[n++] = "--warmup";
        words[n++] = "1";
    }
    if (f->a->quiet)
        words[n++] = "-q";
    if (f->a->json)
        words[n++] = "--json";
    return run(f, 3, trainer, words, NULL);
}

static tlc_status export(fit *f)
{
    const char *trainer = tlc_arena_printf(&f->ctx->arena, "%s/trainer", f->dir);
    const char *words[MOST_WORDS] = { trainer, "export", "--run", f->run, "-o", f->app, "-q" };
    return run(f, 4, trainer, words, NULL);
}

static void report(const fit *f)
{
    char dir[4 * PATH_MAX + 8], shown[4 * PATH_MAX + 8];
    if (f->a->quiet || f->a->json)
        return;
    tlb_shell_quote(dir, sizeof dir, f->dir);
    tlb_shell_quote(shown, sizeof shown, f->app);
    printf("wrote     %s: what an application ships\n", shown);
    tlb_shell_quote(shown, sizeof shown, f->run);
    printf("next      %s/trainer predict --run %s PICTURE...\n", dir, shown);
}

tlc_status tlc_cli_fit(tlc_ctx *ctx, const tlb_args *a)
{
    char self[PATH_MAX] = "";
    const char *out = tlb_text(a, TLB_OPT_OUT);
    if (!out)
        return tlc_fail(ctx, TLC_E_USAGE, "E_USAGE", "fit needs -o DIR");
    size_t n = strlen(out);
    while (n > 1 && out[n - 1] == '/')
        --n;
    fit f = { .ctx = ctx, .a = a, .model = a->inputs[0], .photos = a->inputs[1], .tlc = self,
              .dir = tlc_arena_strndup(&ctx->arena, out, n) };
    if (!strchr(f.dir, '/')) /* the trainer is a path, not a name to be looked for */
        f.dir = tlc_arena_printf(&ctx->arena, "./%s", f.dir);
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    if (length < 0)
        return tlc_fail(ctx, TLC_E_INPUT, "E_INPUT", "/proc is not there");
    TLC_TRY(find_classes(&f));
    TLC_TRY(check_tools(ctx));
    name_results(&f);
    TLC_TRY(compile(&f));
    TLC_TRY(build(&f));
    TLC_TRY(train(&f));
    TLC_TRY(export(&f));
    ctx->file = NULL;
    report(&f);
    return TLC_OK;
}
