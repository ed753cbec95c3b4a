/* Each allocation of reading a definition fails once, libyaml's and Lua's too. */
#include "allocation.h"
#include "definition_read.h"
#include "definitions_tests.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const char whole[] =
    "workflow: message-read\n"
    "title: \"Count the \\u00e9 readers\"\n"
    "input: {message_id: integer, note?: string}\n"
    "data:\n"
    "  message:\n    table: message\n    key: { id: input.message_id }\n"
    "  all:\n    table: t\n    list: true\n    where: {p: input.note}\n    order-by: [x, y desc]\n"
    "start: read\n"
    "activities:\n"
    "  read:\n"
    "    enable-exclusive-lock: true\n"
    "    lock-context: '{\"message\", input.message_id}'\n"
    "    waiting-timeout: 5s\n"
    "    guard: data.message.open\n"
    "    script: |\n"
    "      data.message.read = data.message.read + 1\n";

static const char json_form[] =
    "{\"workflow\": \"a\", \"title\": \"\\uD83D\\uDE00 \\uD83D\\uDE00\", \"start\": \"b\","
    " \"activities\": {\"b\": {\"script\": \"local a = 1\"}}}";

/* Problems of many kinds, so that the words for them are built too. */
static const char faulty[] = "workflow: A\nstart: reed\ninput: {id: int}\n"
                             "data: {d: {table: t, key: {id: inputs.id}}}\n"
                             "activities:\n"
                             "  read:\n    enable-exclusive-lock: yes\n"
                             "    lock-context: {\"message\", input.id}\n"
                             "    guard: x = = 1\n    scripts: |\n      local x\n"
                             "    navigation: [{to: rad, rule: input.ide}]\n";

static const char broken[] = "workflow: \"a\nstart: b\n";

struct reading_case {
    const char *source;
    struct sandbox *sandbox;
    int n_problems; /* with all memory; found by the attempt that must succeed */
    bool is_good;
};

static void try_reading(void *arg, bool must_succeed)
{
    struct reading_case *test = arg;
    struct definition *definition = NULL;
    struct problems problems;
    struct text printed;
    problems_init(&problems);
    text_init(&printed, 1 << 20);
    allocation_resume();
    bool read = definition_read(test->sandbox, "a.yaml", test->source, strlen(test->source),
                                &definition, &problems);
    problems_print(&problems, "a.yaml", &printed);
    allocation_pause();
    if (must_succeed) {
        test->n_problems = problems.n_items;
        test->is_good = read;
    }
    if (read) {
        assert_true(test->is_good);
        assert_int_equal(problems.n_errors, 0);
        assert_string_equal(definition->source, test->source);
    }
    /* What was not found for lack of memory is told as such, and nothing is told that is not so. */
    if (read != test->is_good || problems.n_items < test->n_problems)
        assert_true(problems.n_errors > 0);
    if (problems.n_items > test->n_problems) {
        text_clear(&printed);
        problems_print(&problems, "a.yaml", &printed);
        if (!strstr(text_chars(&printed), "memory"))
            fail_msg("%s", text_chars(&printed));
    }
    assert_int_equal(lua_gettop(sandbox_lua(test->sandbox)), 0);
    text_done(&printed);
    definition_free(definition);
    problems_done(&problems);
}

static void a_definition_without_memory_is_refused_as_such(void **state)
{
    (void)state;
    static const char *const sources[] = {whole, json_form, faulty, broken};
    struct sandbox_limits limits = sandbox_default_limits();
    struct reading_case test = {.source = NULL};
    struct fault fault;
    assert_true(sandbox_new(&limits, &test.sandbox, &fault));
    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++) {
        test.source = sources[i];
        assert_true(allocation_fail_each(try_reading, &test) > 20);
        assert_int_equal(test.is_good, i < 2);
        try_reading(&test, /* must_succeed= */ true);
    }
    sandbox_free(test.sandbox);
}

int memory_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_definition_without_memory_is_refused_as_such),
    };
    return cmocka_run_group_tests_name("memory", tests, NULL, NULL);
}
