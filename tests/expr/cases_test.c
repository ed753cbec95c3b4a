/* Runs the table of cases in cases.txt: expression, context, answer, blank line. */
#include "expr_tests.h"
#include "lua_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    LINES = 3,
    LINE_BYTES = 1024,
};

static void set_context(struct lua_fixture *fixture, const char *json_text)
{
    json_t *context;
    const char *name;
    json_t *value;
    assert_true(json_read("context", json_text, strlen(json_text), &context, &fixture->fault));
    json_object_foreach(context, name, value)
        assert_true(scope_set_json(fixture->scope, name, value, &fixture->fault));
    json_decref(context);
}

static void run_case(char lines[LINES][LINE_BYTES])
{
    static const char error[] = "error: ";
    void *state;
    lua_fixture_open(&state);
    struct lua_fixture *fixture = state;
    set_context(fixture, lines[1]);
    if (strncmp(lines[2], error, strlen(error)) == 0)
        assert_evaluation_fails(fixture, lines[0], lines[2] + strlen(error));
    else
        assert_evaluates(fixture, lines[0], lines[2]);
    lua_fixture_close(&state);
}

static void each_case_gives_its_answer(void **state)
{
    (void)state;
    char lines[LINES][LINE_BYTES];
    char line[LINE_BYTES];
    int n_lines = 0, n_cases = 0;
    FILE *file = fopen("tests/expr/cases.txt", "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = '\0';
        if (strncmp(line, "# ", 2) == 0)
            continue;
        if (line[0]) {
            assert_true(n_lines < LINES);
            memcpy(lines[n_lines++], line, sizeof line);
        }
        if (n_lines == LINES) {
            run_case(lines);
            n_cases++;
            n_lines = 0;
        }
    }
    assert_int_equal(n_lines, 0);
    assert_true(n_cases > 50);
    fclose(file);
}

int cases_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_case_gives_its_answer),
    };
    return cmocka_run_group_tests_name("cases", tests, NULL, NULL);
}
