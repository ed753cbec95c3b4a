#include "base_tests.h"
#include "log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct sink {
    char *bytes;
    size_t n_bytes;
    struct log log;
};

static int open_sink(void **state)
{
    struct sink *sink = calloc(1, sizeof *sink);
    if (!sink)
        return -1;
    sink->log.stream = open_memstream(&sink->bytes, &sink->n_bytes);
    sink->log.least = LOG_LEVEL_INFO;
    *state = sink;
    return sink->log.stream ? 0 : -1;
}

static int close_sink(void **state)
{
    struct sink *sink = *state;
    fclose(sink->log.stream);
    free(sink->bytes);
    free(sink);
    return 0;
}

static const char *written(struct sink *sink)
{
    fflush(sink->log.stream);
    return sink->bytes;
}

static void a_line_has_time_level_part_and_text(void **state)
{
    struct sink *sink = *state;
    int year;
    int n_read = 0;
    log_line(&sink->log, LOG_LEVEL_WARNING, "runtime", "%d members", 3);
    assert_int_equal(sscanf(written(sink), "%4d-%*2d-%*2dT%*2d:%*2d:%*2d.%*3d%n", &year, &n_read),
                     1);
    assert_in_range(year, 2024, 9999);
    assert_int_equal(n_read, strlen("2026-01-02T03:04:05.678"));
    assert_string_equal(sink->bytes + n_read, "Z warning runtime: 3 members\n");
}

static void lines_below_the_least_level_are_dropped(void **state)
{
    struct sink *sink = *state;
    log_line(&sink->log, LOG_LEVEL_DEBUG, "runtime", "not this");
    assert_string_equal(written(sink), "");
    log_line(&sink->log, LOG_LEVEL_INFO, "runtime", "this");
    assert_non_null(strstr(written(sink), "info runtime: this\n"));
}

static void one_call_is_one_line_whatever_the_text(void **state)
{
    struct sink *sink = *state;
    log_line(&sink->log, LOG_LEVEL_ERROR, "server", "a\nb\rc\x1b[31m");
    assert_non_null(strstr(written(sink), "error server: a b c [31m\n"));
    char *newline = strchr(sink->bytes, '\n');
    assert_ptr_equal(newline, sink->bytes + sink->n_bytes - 1);
}

static void a_long_text_is_cut_but_the_line_ends(void **state)
{
    struct sink *sink = *state;
    char text[10000];
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    log_line(&sink->log, LOG_LEVEL_INFO, "server", "%s", text);
    assert_in_range(strlen(written(sink)), 1000, 3000);
    assert_int_equal(sink->bytes[sink->n_bytes - 1], '\n');
}

static void without_a_stream_it_is_silent(void **state)
{
    const struct log silent = {.stream = NULL, .least = LOG_LEVEL_DEBUG};
    (void)state;
    log_line(&silent, LOG_LEVEL_ERROR, "server", "nobody hears this");
}

static void every_level_has_a_name(void **state)
{
    (void)state;
    assert_string_equal(log_level_name(LOG_LEVEL_DEBUG), "debug");
    assert_string_equal(log_level_name(LOG_LEVEL_INFO), "info");
    assert_string_equal(log_level_name(LOG_LEVEL_WARNING), "warning");
    assert_string_equal(log_level_name(LOG_LEVEL_ERROR), "error");
}

#define WITH_SINK(test) cmocka_unit_test_setup_teardown(test, open_sink, close_sink)

int log_tests(void)
{
    const struct CMUnitTest tests[] = {
        WITH_SINK(a_line_has_time_level_part_and_text),
        WITH_SINK(lines_below_the_least_level_are_dropped),
        WITH_SINK(one_call_is_one_line_whatever_the_text),
        WITH_SINK(a_long_text_is_cut_but_the_line_ends),
        cmocka_unit_test(without_a_stream_it_is_silent),
        cmocka_unit_test(every_level_has_a_name),
    };
    return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
