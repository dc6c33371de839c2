/* trainer_main.c: the trainer of a compiled folder: command line, signals, what all commands
 * open. */
#define _GNU_SOURCE
#include "trainer_cli.h"

#include "tlb_escape.h"
#include "tlb_signal.h"
#include "tlr_session.h"

#include <errno.h>
#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* --- signals ------------------------------------------------------------------------------ */

static volatile sig_atomic_t stop_wanted;

static void on_signal(int number)
{
    (void)number;
    stop_wanted = 1;
}

/* The handler is for one signal: the next has its default effect again. */
void trainer_catch_signals(void)
{
    struct sigaction action = { .sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND };
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

bool trainer_stop_wanted(void *unused)
{
    (void)unused;
    if (stop_wanted) { /* either signal, so that one of each kills too */
        signal(SIGINT, SIG_DFL);
        signal(SIGTERM, SIG_DFL);
    }
    return stop_wanted;
}

/* --- texts -------------------------------------------------------------------------------- */

enum { TURNS = 4, TEXT_BYTES = 4096 };

static char *next_buffer(void)
{
    static char buffers[TURNS][TEXT_BYTES];
    static int turn;
    return buffers[turn = (turn + 1) % TURNS];
}

const char *trainer_safe(const char *name)
{
    char *out = next_buffer();
    tlb_escape_name(out, TEXT_BYTES, name, strlen(name));
    return out;
}

const char *trainer_shell(const char *text)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "_./:-+,=@%";
    char *out = next_buffer(), *at = out, *end = out + TEXT_BYTES - 8;
    if (*text && text[strspn(text, plain)] == '\0' && strlen(text) < TEXT_BYTES) {
        strcpy(out, text);
        return out;
    }
    *at++ = '\'';
    for (; *text && at < end; ++text)
        at = *text == '\'' ? stpcpy(at, "'\\''") : (*at = *text, at + 1);
    *at++ = '\'';
    *at = '\0';
    return out;
}

tlb_status trainer_trouble(const trainer *t, const char *run, tlb_status status,
                           const tlr_trouble *trouble)
{
    char *path = NULL;
    if (trouble->file[0] && run)
        if (asprintf(&path, "%s/%s", run, trouble->file) < 0)
            path = NULL;
    const char *file = path ? path : trouble->file[0] ? trouble->file : NULL;
    tlb_error(t->args, status, trouble->id, file, NULL, NULL, "%s", trouble->what);
    free(path);
    return status;
}

int trainer_threads(const tlb_args *a)
{
    return tlb_given(a, TLB_OPT_THREADS) ? (int)tlb_int(a, TLB_OPT_THREADS) : tlr_cpu_count();
}

/* --- the compiled folder ------------------------------------------------------------------ */

tlb_status trainer_no_memory(const tlb_args *a)
{
    return tlb_error(a, TLB_E_LIMIT, "E_MEMORY", NULL, NULL, NULL, "out of memory");
}

static tlb_status open_weights(trainer *t)
{
    int error = 0;
    char *path = tlr_cli_of_model("weights.bin");
    if (!path)
        return trainer_no_memory(t->args);
    tlb_status status = tlb_map_file(path, &t->weights, &error);
    free(path);
    if (status != TLB_OK)
        return tlb_error(t->args, status, "E_INPUT", "weights.bin", NULL, NULL, "cannot read: %s",
                         error ? strerror(error) : "not a regular file");
    tlr_status checked = tlr_weights_check(tlr_the_model, t->weights.bytes, t->weights.n_bytes, 0);
    /* What the checksum read is dropped again: most of it may be places of values drawn later. */
    madvise((void *)(uintptr_t)t->weights.bytes, t->weights.n_bytes, MADV_DONTNEED);
    return checked == TLR_OK ? TLB_OK : tlr_cli_weights_error(t->args, checked, "weights.bin");
}

/* Names of the tensors, by the index that each entry states. */
static tlb_status read_names(trainer *t)
{
    size_t n = (size_t)tlr_the_model->n_tensors, i;
    const json_t *entry;
    t->names = calloc(n + 1, sizeof *t->names);
    if (!t->names)
        return trainer_no_memory(t->args);
    json_array_foreach(json_object_get(t->manifest, "tensors"), i, entry) {
        int64_t index = tlb_json_int(entry, "index", -1);
        if (index >= 0 && (size_t)index < n)
            t->names[index] = tlb_json_text(entry, "name");
    }
    return TLB_OK;
}

static tlb_status open_manifest(trainer *t)
{
    const char *what = "cannot read";
    char *path = tlr_cli_of_model("manifest.json");
    if (!path)
        return trainer_no_memory(t->args);
    tlb_status status = tlb_json_load_file(path, &t->args->limits, &t->manifest, &what);
    free(path);
    if (status != TLB_OK)
        return tlb_error(t->args, status, "E_MANIFEST", "manifest.json", NULL, NULL, "%s", what);
    return read_names(t);
}

tlb_status trainer_open(trainer *t)
{
    tlb_status status = open_weights(t);
    return status == TLB_OK ? open_manifest(t) : status;
}

static void trainer_close(trainer *t)
{
    tlb_unmap(&t->weights);
    json_decref(t->manifest);
    free(t->names);
}

/* --- main --------------------------------------------------------------------------------- */

static tlb_status run_command(trainer *t)
{
    switch (t->args->command) {
    case TLB_CMD_TRAIN: return trainer_train(t);
    case TLB_CMD_EVAL: return trainer_eval(t);
    case TLB_CMD_PREDICT: return trainer_predict(t);
    case TLB_CMD_EXPORT: return trainer_export(t);
    case TLB_CMD_INFO: return trainer_info(t);
    case TLB_CMD_REPORT: return trainer_report(t);
    case TLB_CMD_PREVIEW: return trainer_preview(t);
    default: return TLB_E_INTERNAL;
    }
}

int main(int argc, char **argv)
{
    tlb_args args;
    bool done = false;
    setlocale(LC_CTYPE, "");
    char **typed = calloc((size_t)argc + 1, sizeof *typed); /* the parser sorts argv */
    if (typed)
        memcpy(typed, argv, (size_t)argc * sizeof *typed);
    tlb_status status =
        tlb_args_parse(&args, TLB_PROGRAM_TRAINER, argc, argv, tlr_cli_version("trainer"), &done);
    if (status != TLB_OK || done) {
        status = tlr_cli_end(&args, status);
        tlb_args_free(&args);
        free(typed);
        return status;
    }
    trainer t = { .args = &args, .argc = argc, .argv = typed ? typed : argv };
    tlb_catch_shrunk_files(&args);
    status = tlr_cli_choose_device(&args);
    if (status == TLB_OK)
        status = trainer_open(&t);
    if (status == TLB_OK)
        status = run_command(&t);
    status = tlr_cli_end(&args, status);
    trainer_close(&t);
    tlb_args_free(&args);
    free(typed);
    return status;
}
