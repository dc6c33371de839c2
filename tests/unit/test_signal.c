/* test_signal.c: a file that is cut while it is mapped ends a program with one line. */
#define _GNU_SOURCE
#include "tlb_file.h"
#include "tlb_signal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SIZE = 1 << 16 };

/* A file that was mapped and then cut; it ends a process that reads the last byte. */
static const volatile unsigned char *last_byte_cut(void)
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
    return m.bytes + SIZE - 1;
}

static void read_cut_file(void)
{
    _exit(*last_byte_cut() ? 101 : 102);
}

static pthread_barrier_t together;

static void *read_byte(void *at)
{
    pthread_barrier_wait(&together);
    _exit(*(const volatile unsigned char *)at ? 101 : 102);
}

static void read_by_many(void)
{
    enum { THREADS = 8 };
    pthread_t thread[THREADS];
    const volatile unsigned char *at = last_byte_cut();
    pthread_barrier_init(&together, NULL, THREADS);
    for (int i = 0; i < THREADS; ++i)
        if (pthread_create(&thread[i], NULL, read_byte, (void *)(uintptr_t)at) != 0)
            _exit(104);
    pthread_join(thread[0], NULL);
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

/* Workers meet the cut at the same time. */
static void one_line_of_many_threads(void **state)
{
    (void)state;
    char text[512];
    tlb_args a = { .program = TLB_PROGRAM_TRAINER };
    for (int i = 0; i < 50; ++i) {
        int how = run(&a, read_by_many, text);
        assert_true(WIFEXITED(how) && WEXITSTATUS(how) == TLB_E_INPUT);
        assert_string_equal(text,
                            "trainer: error: a mapped file became shorter while it was read\n");
    }
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
        cmocka_unit_test(one_line_of_many_threads),
        cmocka_unit_test(json_line),
        cmocka_unit_test(another_bus_error_is_no_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
