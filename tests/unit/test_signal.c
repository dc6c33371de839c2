/* test_signal.c: a file that is cut while it is mapped ends a program with one line. */
#define _GNU_SOURCE
#include "tlb_file.h"
#include "tlb_signal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SIZE = 1 << 16 };

/* Map a file, cut it, read past its end. */
static void read_cut_file(void)
{
    static const char bytes[SIZE] = { 1 };
    char dir[] = "/tmp/tlc-signal-XXXXXX";
    tlb_map m;
    int error;
    if (!mkdtemp(dir) || chdir(dir) != 0 || tlb_write_file("f", bytes, SIZE, &error) != TLB_OK ||
        tlb_map_file("f", &m, &error) != TLB_OK || truncate("f", 0) != 0)
        _exit(100);
    unlink("f"); /* mapped it goes on, cut */
    rmdir(dir);
    _exit(*(const volatile unsigned char *)(m.bytes + SIZE - 1) ? 101 : 102);
}

static void raise_itself(void)
{
    raise(SIGBUS);
    _exit(103);
}

/* A process with `a` that does `what`: how it ended, and its stderr. */
static int run(const tlb_args *a, void (*what)(void), char text[512])
{
    int way[2], how;
    size_t n = 0;
    ssize_t got;
    assert_int_equal(pipe(way), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
        dup2(way[1], STDERR_FILENO);
        signal(SIGBUS, SIG_DFL); /* cmocka's own */
        tlb_catch_shrunk_files(a);
        what();
    }
    close(way[1]);
    while ((got = read(way[0], text + n, 511 - n)) > 0)
        n += (size_t)got;
    text[n] = '\0';
    close(way[0]);
    assert_int_equal(waitpid(pid, &how, 0), pid);
    return how;
}

static void one_line_and_exit_code(void **state)
{
    (void)state;
    char text[512];
    tlb_args a = { .program = TLB_PROGRAM_TRAINER };
    int how = run(&a, read_cut_file, text);
    assert_true(WIFEXITED(how) && WEXITSTATUS(how) == TLB_E_INPUT);
    assert_string_equal(text, "trainer: error: a mapped file became shorter while it was read\n");
}

static void json_line(void **state)
{
    (void)state;
    char text[512];
    tlb_args a = { .program = TLB_PROGRAM_TLC, .json_diagnostics = true };
    int how = run(&a, read_cut_file, text);
    assert_true(WIFEXITED(how) && WEXITSTATUS(how) == TLB_E_INPUT);
    assert_string_equal(text, "{\"severity\":\"error\",\"code\":3,\"id\":\"E_INPUT\",\"file\":null,"
                              "\"where\":null,\"what\":\"a mapped file became shorter while it was "
                              "read\",\"hint\":null}\n");
}

static void another_bus_error_is_no_file(void **state)
{
    (void)state;
    char text[512];
    tlb_args a = { .program = TLB_PROGRAM_PREDICTOR };
    int how = run(&a, raise_itself, text);
    assert_true(WIFSIGNALED(how) && WTERMSIG(how) == SIGBUS);
    assert_string_equal(text, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_line_and_exit_code),
        cmocka_unit_test(json_line),
        cmocka_unit_test(another_bus_error_is_no_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
