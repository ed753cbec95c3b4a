/* Lua that never gives way: a C function without an end, as no library of ours should have. */
#include "runtime_tests.h"

#include "clock.h"
#include "peer.h"
#include "runtime_fixture.h"
#include "sandbox.h"
#include "watchdog.h"

#include <event2/event.h>
#include <lauxlib.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum {
    WATCHDOG_US = 400 * 1000,
};

static const char HANGING[] = "workflow: hanging\nstart: go\nactivities:\n  go:\n"
                              "    enable-exclusive-lock: true\n    lock-context: '\"x\"'\n"
                              "    waiting-timeout: 5m\n    script: hang(60)\n";
static const char PLAIN[] = "workflow: plain\nstart: go\nactivities:\n  go:\n"
                            "    enable-exclusive-lock: true\n    lock-context: '\"x\"'\n"
                            "    acquire-timeout: 60s\n    script: output.x = 1\n";

/* hang(seconds of processor time) */
static int hang(lua_State *L)
{
    double seconds = luaL_checknumber(L, 1);
    clock_t start = clock();
    while ((double)(clock() - start) / CLOCKS_PER_SEC < seconds)
        ;
    return 0;
}

static int offer_hang(lua_State *L)
{
    lua_pushcfunction(L, hang);
    lua_setfield(L, -2, "hang");
    return 0;
}

static struct host *start_hangable(struct runtime_fixture *fixture, struct runtime_options *options)
{
    struct fault fault;
    options->watchdog_us = WATCHDOG_US;
    struct host *host = host_start(fixture, options);
    if (!sandbox_offer(runtime_sandbox(host_runtime(host)), offer_hang, &fault))
        fail_msg("%s", fault.text);
    return host;
}

/* A host of its own, which stands still and is aborted. Its log goes to standard error. */
static void run_hanging_child(struct runtime_fixture *parent, int error_fd)
{
    struct rlimit no_core = {0, 0};
    struct log log = {.stream = fdopen(error_fd, "w")};
    struct event_base *base = event_base_new();
    struct runtime_fixture fixture = {.base = base};
    memcpy(fixture.conninfo, parent->conninfo, sizeof fixture.conninfo);
    setrlimit(RLIMIT_CORE, &no_core);
    signal(SIGABRT, SIG_DFL);
    struct runtime_options options = runtime_fixture_options(&fixture);
    struct host *host = start_hangable(&fixture, &options);
    struct fault fault;
    struct watchdog *watchdog;
    /* host_start has a log of its own: a second watchdog with ours, and a shorter limit. */
    if (!watchdog_start(runtime_sandbox(host_runtime(host)), &log, WATCHDOG_US / 2, &watchdog,
                        &fault))
        _exit(3);
    host_run(host, HANGING, "{}");
    _exit(0);
}

static void a_host_that_stands_still_ends_and_its_lock_is_free(void **state)
{
    struct runtime_fixture *fixture = *state;
    char said[1024] = "";
    int pipe_fds[2], status;
    runtime_fixture_tables(fixture, "SELECT 1");
    host_stop(host_start(fixture, NULL)); /* migrates */
    assert_int_equal(pipe(pipe_fds), 0);
    pid_t pid = fork();
    assert_int_not_equal(pid, -1);
    if (pid == 0)
        run_hanging_child(fixture, pipe_fds[1]);
    close(pipe_fds[1]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
    ssize_t n = read(pipe_fds[0], said, sizeof said - 1);
    close(pipe_fds[0]);
    assert_true(n > 0);
    if (!strstr(said, "error watchdog: test.yaml:8: script does not give way for 200 ms"))
        fail_msg("%s", said);
    struct host *host = host_start(fixture, NULL);
    struct outcome outcome = host_run(host, PLAIN, "{}");
    assert_outcome(&outcome, STATUS_COMPLETED, "");
    host_stop(host);
}

/* Short stretches one after the other, and a loop that waits, are no reason. */
static void work_that_gives_way_is_left_alone(void **state)
{
    struct runtime_fixture *fixture = *state;
    runtime_fixture_tables(fixture, "SELECT 1");
    struct runtime_options options = runtime_fixture_options(fixture);
    struct host *host = start_hangable(fixture, &options);
    struct outcome outcome = host_run(
        host,
        "workflow: short\nstart: go\nactivities:\n  go:\n    enable-exclusive-lock: true\n"
        "    waiting-timeout: 5m\n    script: for i = 1, 20 do hang(0.05) sleep(0.001) end\n",
        "{}");
    assert_outcome(&outcome, STATUS_COMPLETED, "");
    runtime_fixture_turn(fixture, 2 * WATCHDOG_US / 1000);
    host_stop(host);
}

int watchdog_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_host_that_stands_still_ends_and_its_lock_is_free),
        cmocka_unit_test(work_that_gives_way_is_left_alone),
    };
    return cmocka_run_group_tests_name("watchdog", tests, runtime_fixture_setup,
                                       runtime_fixture_teardown);
}
