/* Files and inputs made to cost much: an error with a place, soon, in little memory. */
#include "program.h"
#include "server_tests.h"
#include "text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum {
    FILE_BYTES = 1 << 20,
    DEEP = 100000,
    PEAK_KIB = 50 * 1024,
    CPU_SECONDS = 5, /* it takes a tenth of one: a slow machine is no failure */
};

/* A sanitizer's own memory and time say nothing about the program's. */
static void expect_cheap(const struct program *program, const char *what)
{
#if !defined(__SANITIZE_ADDRESS__)
    if (program->peak_kib > PEAK_KIB || program->cpu_seconds > CPU_SECONDS)
        fail_msg("%s cost %ld KiB and %.2f s", what, program->peak_kib, program->cpu_seconds);
#else
    (void)program;
    (void)what;
#endif
}

static void begin(struct text *source)
{
    text_init(source, 4 * FILE_BYTES);
}

static void repeat(struct text *source, const char *part, int n)
{
    for (int i = 0; i < n; i++)
        text_add_chars(source, part);
}

/* Checks the source, which is done with, and what is said about it. */
static void check(struct text *source, int exit_code, const char *words)
{
    struct program program;
    char *file = program_file(text_chars(source));
    program_run(&program, "check", file);
    program_expect(&program, exit_code);
    program_expect_err(&program, words);
    expect_cheap(&program, words);
    program_done(&program);
    unlink(file);
    free(file);
    text_done(source);
}

static void deep_yaml_is_refused_where_it_is_too_deep(void **state)
{
    struct text source;
    (void)state;
    begin(&source);
    repeat(&source, "[", FILE_BYTES);
    check(&source, 1, ":1:33: error: nested deeper than 32\n");
    begin(&source);
    repeat(&source, "- ", FILE_BYTES / 2);
    check(&source, 1, ":1:65: error: nested deeper than 32\n");
    begin(&source);
    repeat(&source, "{", FILE_BYTES);
    check(&source, 1, ":1:33: error: nested deeper than 32\n");
    begin(&source);
    for (int depth = 0; depth < 1400; depth++)
        text_addf(&source, "%*sa:\n", depth, "");
    check(&source, 1, ":33:33: error: nested deeper than 32\n");
}

static void deep_json_is_refused_where_it_is_too_deep(void **state)
{
    struct text source;
    (void)state;
    begin(&source);
    repeat(&source, "{\"a\":", DEEP);
    check(&source, 1, ":1:161: error: nested deeper than 32\n");
    begin(&source);
    text_add_chars(&source, "{\"workflow\":");
    repeat(&source, "[", DEEP);
    repeat(&source, "]", DEEP);
    text_add_chars(&source, "}");
    check(&source, 1, ":1:44: error: nested deeper than 32\n");
}

static void an_alias_bomb_does_not_go_off(void **state)
{
    struct text source;
    (void)state;
    begin(&source);
    text_add_chars(&source, "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for (int i = 1; i < 20; i++) {
        text_addf(&source, "a%d: &a%d [", i, i);
        for (int j = 0; j < 10; j++)
            text_addf(&source, "%s*a%d", j ? ", " : "", i - 1);
        text_add_chars(&source, "]\n");
    }
    check(&source, 1, ":2:10: error: aliases (`*name`) are refused");
}

static void too_much_is_refused_where_it_is_too_much(void **state)
{
    struct text source;
    (void)state;
    begin(&source);
    repeat(&source, "- x\n", FILE_BYTES / 4);
    check(&source, 1, ":10000:3: error: there are more than 10000 keys and values up to here");
    begin(&source);
    repeat(&source, "x", FILE_BYTES + 1);
    check(&source, 1, ":1:1: error: the file has 1048577 bytes, a definition may have 1048576");
}

static void a_flood_of_mistakes_is_told_in_part(void **state)
{
    struct text source;
    (void)state;
    begin(&source);
    text_add_chars(&source, "workflow: a\nstart: b\ndata:\n  d:\n    table: t\n    key:\n");
    for (int i = 0; source.length < FILE_BYTES - 4000; i++) {
        text_addf(&source, "      k%d: \"{", i);
        for (int j = 0; j < 290; j++)
            text_addf(&source, "q%d,", j);
        text_add_chars(&source, "}\"\n");
    }
    text_add_chars(&source, "activities: {b: {}}\n");
    check(&source, 0, ":7:11: warning: k0: `q0` is not a name that expressions know");
    begin(&source);
    text_add_chars(&source, "workflow: a\nstart: b\nactivities:\n  b: {}\n");
    for (int i = 0; i < 4000; i++)
        text_addf(&source, "k%d: 1\n", i);
    check(&source, 1, ": and 3000 more errors, 0 more warnings\n");
}

static void deep_lua_is_refused_in_words(void **state)
{
    struct text source;
    (void)state;
    begin(&source);
    text_add_chars(&source, "workflow: a\nstart: b\nactivities:\n  b:\n    guard: '");
    repeat(&source, "(", FILE_BYTES - 1000);
    text_add_chars(&source, "'\n");
    check(&source, 1, ":5:12: error: guard: it is nested too deeply for Lua");
}

static void a_deep_input_is_refused_where_it_is_too_deep(void **state)
{
    static const char words[] = "--input: line 2, column 65: nested deeper than 64";
    static const char file[] = SAMPLES "/message-read/message-read.yaml";
    struct program program;
    struct text input;
    (void)state;
    begin(&input);
    text_add_chars(&input, "\n");
    repeat(&input, "[", DEEP);
    program_run(&program, "key", file, "read", "--input", text_chars(&input));
    program_expect(&program, 2);
    program_expect_err(&program, words);
    expect_cheap(&program, "key");
    program_done(&program);
    program_run(&program, "run", file, "--input", text_chars(&input), "--database",
                "host=/nowhere");
    program_expect(&program, 2);
    program_expect_err(&program, words);
    expect_cheap(&program, "run");
    program_done(&program);
    text_done(&input);
}

static void a_wide_input_costs_little(void **state)
{
    struct program program;
    struct text input;
    (void)state;
    begin(&input);
    text_add_chars(&input, "{\"message_id\":[1");
    repeat(&input, ",1", 50000);
    text_add_chars(&input, "]}");
    program_run(&program, "key", SAMPLES "/message-read/message-read.yaml", "read", "--input",
                text_chars(&input));
    program_expect(&program, 2);
    program_expect_err(&program, "input.message_id: expected integer, got array");
    expect_cheap(&program, "a wide input");
    program_done(&program);
    text_done(&input);
}

int hostile_file_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(deep_yaml_is_refused_where_it_is_too_deep),
        cmocka_unit_test(deep_json_is_refused_where_it_is_too_deep),
        cmocka_unit_test(an_alias_bomb_does_not_go_off),
        cmocka_unit_test(too_much_is_refused_where_it_is_too_much),
        cmocka_unit_test(a_flood_of_mistakes_is_told_in_part),
        cmocka_unit_test(deep_lua_is_refused_in_words),
        cmocka_unit_test(a_deep_input_is_refused_where_it_is_too_deep),
        cmocka_unit_test(a_wide_input_costs_little),
    };
    return cmocka_run_group_tests_name("hostile_file", tests, NULL, NULL);
}
