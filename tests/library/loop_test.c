/* How the library shares the loop of its program: what takes long gives way, and nothing waits. */
#include "desk.h"

#include <event2/event.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum {
    FILES = 100,
    LINES = 40,
};

/* A timer of the program that is due every millisecond, and what happened between two of its calls
 * at most. Processor time is that of this thread: what others do on the machine does not count. */
struct ticks {
    struct event *timer;
    int64_t at_us;
    int64_t at_cpu_us;
    int64_t begun_cpu_us;
    int64_t worst_us;
    int64_t worst_cpu_us;
};

static int64_t read_clock(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct ticks *ticks = arg;
    const struct timeval pause = {.tv_usec = 1000};
    int64_t now_us = read_clock(CLOCK_MONOTONIC), cpu_us = read_clock(CLOCK_THREAD_CPUTIME_ID);
    (void)fd;
    (void)what;
    if (now_us - ticks->at_us > ticks->worst_us)
        ticks->worst_us = now_us - ticks->at_us;
    if (cpu_us - ticks->at_cpu_us > ticks->worst_cpu_us)
        ticks->worst_cpu_us = cpu_us - ticks->at_cpu_us;
    ticks->at_us = now_us;
    ticks->at_cpu_us = cpu_us;
    event_add(ticks->timer, &pause);
}

static void begin_ticks(struct desk *desk, struct ticks *ticks)
{
    *ticks = (struct ticks){.at_us = read_clock(CLOCK_MONOTONIC),
                            .at_cpu_us = read_clock(CLOCK_THREAD_CPUTIME_ID)};
    ticks->begun_cpu_us = ticks->at_cpu_us;
    ticks->timer = event_new(desk->base, -1, 0, on_tick, ticks);
    assert_non_null(ticks->timer);
    on_tick(-1, 0, ticks);
}

/* Runs the loop until it is told; not by desk_wait, which leaves the loop every millisecond. */
static void wait_in_loop(struct desk *desk, const bool *told)
{
    int64_t until_us = read_clock(CLOCK_MONOTONIC) + INT64_C(60) * 1000000;
    while (!*told && read_clock(CLOCK_MONOTONIC) < until_us)
        event_base_loop(desk->base, EVLOOP_ONCE);
    assert_true(*told);
}

/* No turn did more than that share of the work. */
static void expect_many_turns(struct ticks *ticks, int share)
{
    on_tick(-1, 0, ticks);
    event_free(ticks->timer);
    int64_t all_us = ticks->at_cpu_us - ticks->begun_cpu_us;
    print_message("longest turn: %.1f ms of the processor of %.1f, %.1f ms on the clock\n",
                  (double)ticks->worst_cpu_us / 1000, (double)all_us / 1000,
                  (double)ticks->worst_us / 1000);
    assert_true(ticks->worst_cpu_us < all_us / share);
}

static void write_files(char path[64])
{
    char file[128];
    snprintf(path, 64, "/tmp/latchkey-test-XXXXXX");
    assert_non_null(mkdtemp(path));
    for (int i = 0; i < FILES; i++) {
        snprintf(file, sizeof file, "%s/f%d.yaml", path, i);
        FILE *stream = fopen(file, "w");
        assert_non_null(stream);
        fprintf(stream, "workflow: f%d\nstart: x\nactivities:\n  x:\n    script: |\n", i);
        for (int line = 0; line < LINES; line++)
            fprintf(stream, "      vars.a%d = '%060d'\n", line, i);
        assert_int_equal(fclose(stream), 0);
    }
}

static void remove_files(const char *path)
{
    char command[96];
    snprintf(command, sizeof command, "rm -r %s", path);
    assert_int_equal(system(command), 0);
}

static void a_reload_of_many_files_gives_way(void **state)
{
    struct desk *desk = *state;
    struct latchkey *host = desk_start(desk);
    struct word word = {0};
    struct ticks ticks;
    char path[64];
    write_files(path);
    begin_ticks(desk, &ticks);
    OK(latchkey_reload(host, path, on_report, &word, &why));
    wait_in_loop(desk, &word.told);
    assert_false(word.failed);
    expect_many_turns(&ticks, 3);
    remove_files(path);
    latchkey_free(host);
}

/* What a host logs: a line for each definition that it has loaded. */
struct listener {
    int n_ready;
    bool all_ready;
};

static ssize_t on_log(void *cookie, const char *bytes, size_t n_bytes)
{
    struct listener *listener = cookie;
    listener->n_ready += memmem(bytes, n_bytes, " is ready", 9) != NULL;
    listener->all_ready = listener->n_ready >= FILES;
    return (ssize_t)n_bytes;
}

static void loading_many_definitions_gives_way(void **state)
{
    struct desk *desk = *state;
    struct latchkey *host = desk_start(desk);
    struct word word = {0}, started = {0};
    struct ticks ticks;
    char path[64];
    struct listener listener = {0};
    write_files(path);
    OK(latchkey_reload(host, path, on_report, &word, &why));
    desk_wait(desk, &word.told);
    assert_false(word.failed);
    remove_files(path);
    FILE *stream = fopencookie(&listener, "w", (cookie_io_functions_t){.write = on_log});
    assert_non_null(stream);
    setvbuf(stream, NULL, _IONBF, 0);
    struct latchkey *other = desk_host(desk);
    latchkey_log_to(other, stream, LATCHKEY_LOG_INFO);
    begin_ticks(desk, &ticks);
    OK(latchkey_start(other, on_started, &started, &why));
    wait_in_loop(desk, &listener.all_ready);
    expect_many_turns(&ticks, 6);
    latchkey_free(other);
    fclose(stream);
    latchkey_free(host);
}

int loop_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_reload_of_many_files_gives_way, desk_clear),
        cmocka_unit_test_setup(loading_many_definitions_gives_way, desk_clear),
    };
    return cmocka_run_group_tests_name("loop", tests, desk_open, desk_close);
}
