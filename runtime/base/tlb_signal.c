/* tlb_signal.c: SIGBUS of a mapped file as one line and an exit code.
 *
 * A file's size is checked when it is mapped; who cuts it afterwards takes pages away that are in
 * use, and the kernel can tell by this signal only.  The line is made beforehand: in a handler
 * nothing but write and _exit may be called.
 */
#define _GNU_SOURCE
#include "tlb_signal.h"

#include "tlb_diag.h"

#include <signal.h>
#include <unistd.h>

static char line[512];
static size_t line_bytes;
static bool ending; /* a thread has said it */

static void on_bus_error(int number, siginfo_t *info, void *context)
{
    (void)context;
    if (info->si_code != BUS_ADRERR) { /* no file: what it would have done without us */
        signal(number, SIG_DFL);
        raise(number);
        return;
    }
    while (__atomic_test_and_set(&ending, __ATOMIC_ACQ_REL))
        pause(); /* until the first of several threads ends the process */
    ssize_t ignored = write(STDERR_FILENO, line, line_bytes);
    (void)ignored;
    _exit(TLB_E_INPUT);
}

static void make_line(const tlb_args *a)
{
    const tlb_diag d = { .severity = TLB_ERROR, .code = TLB_E_INPUT, .id = "E_INPUT",
                         .what = "a mapped file became shorter while it was read" };
    FILE *f = fmemopen(line, sizeof line, "w");
    if (!f)
        return;
    tlb_diag_print(f, tlb_program_name(a->program), &d, a->json_diagnostics, a->color_err);
    long n = ftell(f);
    line_bytes = n > 0 ? (size_t)n : 0;
    fclose(f);
}

void tlb_catch_shrunk_files(const tlb_args *a)
{
    struct sigaction action = { .sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO };
    make_line(a);
    sigemptyset(&action.sa_mask);
    sigaction(SIGBUS, &action, NULL);
}
