#include "base_tests.h"
#include "json.h"
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
    assert_non_null(strstr(written(sink), "error server: a\\nb\\u000dc\\u001b[31m\n"));
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

/* The one line written, as JSON; yours. */
static json_t *written_json(struct sink *sink)
{
    struct fault fault;
    json_t *line = NULL;
    const char *text = written(sink);
    if (!json_read("the line", text, sink->n_bytes, &line, &fault))
        fail_msg("%s: %s", fault.text, text);
    return line;
}

static void expect_text(const json_t *line, const char *name, const char *text)
{
    const char *value = json_string_value(json_object_get(line, name));
    assert_non_null(value);
    assert_string_equal(value, text);
}

static const struct log_field some_fields[] = {
    {.name = "request_id", .text = "a b"},
    {.name = "trace_id", .text = ""},
    {.name = "by", .text = NULL},
    {.name = "status", .kind = LOG_FIELD_NUMBER, .number = 200, .in_text = true},
    {.name = "duration_ms", .kind = LOG_FIELD_MS, .number = 1234},
    {.name = "peer", .text = "127.0.0.1"},
};

static void fields_follow_the_text(void **state)
{
    struct sink *sink = *state;
    log_fields(&sink->log, LOG_LEVEL_INFO, "http", some_fields, 6, "GET /x %d", 200);
    assert_non_null(strstr(written(sink), "info http: GET /x 200 request_id=\"a b\" "
                                          "duration_ms=1.234 peer=127.0.0.1\n"));
}

static void a_line_of_json_has_time_level_part_message_and_fields(void **state)
{
    struct sink *sink = *state;
    int year, n_read = 0;
    sink->log.form = LOG_FORM_JSON;
    log_fields(&sink->log, LOG_LEVEL_WARNING, "http", some_fields, 6, "GET /x %d", 200);
    json_t *line = written_json(sink);
    const char *time = json_string_value(json_object_get(line, "time"));
    assert_int_equal(sscanf(time, "%4d-%*2d-%*2dT%*2d:%*2d:%*2d.%*3dZ%n", &year, &n_read), 1);
    assert_int_equal(n_read, strlen(time));
    expect_text(line, "level", "warning");
    expect_text(line, "part", "http");
    expect_text(line, "message", "GET /x 200");
    expect_text(line, "request_id", "a b");
    expect_text(line, "peer", "127.0.0.1");
    assert_int_equal(json_integer_value(json_object_get(line, "status")), 200);
    assert_float_equal(json_real_value(json_object_get(line, "duration_ms")), 1.234, 1e-9);
    assert_null(json_object_get(line, "trace_id"));
    assert_null(json_object_get(line, "by"));
    assert_int_equal(json_object_size(line), 8);
    json_decref(line);
}

/* What others chose: it ends no line, makes no field, moves no terminal, and is valid UTF-8. */
static const char hostile[] = "a\n2026-01-02T03:04:05.678Z error host: \"},{\"x\":1 level=error "
                              "\\u0022 \x1b[31m\x7f \xC2\x9B \xE2\x80\xA8 \xFF\xC0\xAF \xC3\xA9";

static void a_text_cannot_make_a_line_or_a_field(void **state)
{
    struct sink *sink = *state;
    const struct log_field fields[] = {{.name = "by", .text = hostile},
                                       {.name = "end", .kind = LOG_FIELD_NUMBER, .number = 7}};
    log_fields(&sink->log, LOG_LEVEL_INFO, "go", fields, 2, "%s", hostile);
    const char *text = written(sink);
    static const char escaped[] =
        "\"a\\n2026-01-02T03:04:05.678Z error host: \\\"},{\\\"x\\\":1 level=error \\\\u0022 "
        "\\u001b[31m\\u007f \\u009b \\u2028 \xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD \xC3\xA9\"";
    const char *first = strstr(text, escaped);
    assert_non_null(first);
    assert_memory_equal(first - 4, "go: ", 4);
    const char *second = strstr(first + 1, escaped);
    assert_non_null(second);
    assert_memory_equal(second - 4, " by=", 4);
    assert_string_equal(second + strlen(escaped), " end=7\n");
    assert_ptr_equal(strchr(text, '\n'), text + sink->n_bytes - 1);
}

static void a_text_cannot_make_a_member_of_the_json(void **state)
{
    struct sink *sink = *state;
    const struct log_field field = {.name = "by", .text = hostile};
    static const char meant[] = "a\n2026-01-02T03:04:05.678Z error host: \"},{\"x\":1 level=error "
                                "\\u0022 \x1b[31m\x7f \xC2\x9B \xE2\x80\xA8 "
                                "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD \xC3\xA9";
    sink->log.form = LOG_FORM_JSON;
    log_fields(&sink->log, LOG_LEVEL_INFO, "go", &field, 1, "%s", hostile);
    json_t *line = written_json(sink);
    expect_text(line, "message", meant);
    expect_text(line, "by", meant);
    assert_int_equal(json_object_size(line), 5);
    for (const char *c = sink->bytes; *c; c++)
        assert_true(*c == '\n' ? c[1] == '\0' : (unsigned char)*c >= ' ' && *c != 0x7F);
    json_decref(line);
}

/* The worst that fits: everything is escaped to its longest, in every field. */
static void the_longest_line_is_whole(void **state)
{
    struct sink *sink = *state;
    struct log_field fields[LOG_FIELDS_MAX];
    char text[10000], name[LOG_FIELDS_MAX][24];
    memset(text, 1, sizeof text - 1);
    text[sizeof text - 1] = '\0';
    for (int i = 0; i < LOG_FIELDS_MAX; i++) {
        snprintf(name[i], sizeof name[i], "field_%d", i);
        fields[i] = (struct log_field){.name = name[i], .text = text};
    }
    sink->log.form = LOG_FORM_JSON;
    log_fields(&sink->log, LOG_LEVEL_INFO, "go", fields, LOG_FIELDS_MAX, "%s", text);
    json_t *line = written_json(sink);
    assert_int_equal(json_object_size(line), 4 + LOG_FIELDS_MAX);
    const char *message = json_string_value(json_object_get(line, "message"));
    assert_string_equal(message + strlen(message) - 4, "\x01\xE2\x80\xA6");
    json_decref(line);
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
        WITH_SINK(fields_follow_the_text),
        WITH_SINK(a_line_of_json_has_time_level_part_message_and_fields),
        WITH_SINK(a_text_cannot_make_a_line_or_a_field),
        WITH_SINK(a_text_cannot_make_a_member_of_the_json),
        WITH_SINK(the_longest_line_is_whole),
        cmocka_unit_test(without_a_stream_it_is_silent),
        cmocka_unit_test(every_level_has_a_name),
    };
    return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
