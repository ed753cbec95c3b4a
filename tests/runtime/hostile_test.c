/* What clumsy and hostile scripts and inputs must not spoil for others. */
#include "runtime_fixture.h"
#include "runtime_tests.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum {
    N_RUNS = 20,
};

static const char TABLES[] =
    "CREATE TABLE item (id bigint PRIMARY KEY, n bigint NOT NULL DEFAULT 0);"
    "INSERT INTO item SELECT generate_series(1, 5)";

/* A script over `data.item`; the text is indented by the caller. */
static struct outcome run_script(void **state, const char *script, const char *input)
{
    char yaml[2048];
    runtime_fixture_tables(*state, TABLES);
    struct host *host = host_start(*state, NULL);
    snprintf(yaml, sizeof yaml,
             "workflow: hostile\n"
             "input: { id: integer, s?: string }\n"
             "data:\n"
             "  item: { table: item, key: { id: input.id } }\n"
             "start: go\n"
             "activities:\n"
             "  go:\n"
             "    enable-exclusive-lock: true\n"
             "    lock-context: '{\"item\", input.id}'\n"
             "    acquire-timeout: 2s\n"
             "    waiting-timeout: 2s\n"
             "    script: |\n"
             "      %s\n",
             script);
    struct outcome outcome = host_run(host, yaml, input);
    assert_nothing_held(*state);
    host_stop(host);
    return outcome;
}

/* 300 times two bytes: a reason of fixed size is cut inside a character. */
static void a_long_reason_stays_utf8_and_in_the_history(void **state)
{
    struct outcome outcome = run_script(state, "fail(('\xc3\xbc'):rep(300))", "{\"id\":1}");
    assert_outcome(&outcome, STATUS_FAILED, "\xc3\xbc\xc3\xbc");
    assert_sql_int(*state, "SELECT count(*) FROM latchkey.execution WHERE status = 'failed'", 1);
    outcome = run_script(state, "fail('\\xff!')", "{\"id\":1}");
    assert_outcome(&outcome, STATUS_FAILED, "?!");
    assert_sql_int(*state, "SELECT count(*) FROM latchkey.execution WHERE status = 'failed'", 1);
}

/* A history row that the database refuses is lost alone. */
static void a_refused_history_row_takes_no_other_with_it(void **state)
{
    static struct outcome outcomes[N_RUNS];
    struct runtime_fixture *fixture = *state;
    runtime_fixture_tables(fixture, TABLES);
    struct host *host = host_start(fixture, NULL);
    fixture_exec(fixture->sql, "ALTER TABLE latchkey.execution ADD CONSTRAINT poison"
                               " CHECK (reason NOT LIKE '%poison%')");
    struct workflow *workflow =
        host_publish(host, "workflow: many\ninput: { n: integer }\nstart: go\nactivities:\n"
                           "  go:\n    script: fail(input.n == 3 and 'poison' or 'no')\n");
    for (int i = 0; i < N_RUNS; i++)
        host_submitf(host, workflow, &outcomes[i], "{\"n\":%d}", i);
    runtime_fixture_wait(fixture);
    assert_int_equal(count_outcomes(outcomes, N_RUNS, STATUS_FAILED), N_RUNS);
    assert_sql_int(fixture, "SELECT count(*) FROM latchkey.execution WHERE reason = 'no'",
                   N_RUNS - 1);
    host_stop(host);
    fixture_exec(fixture->sql, "ALTER TABLE latchkey.execution DROP CONSTRAINT poison");
}

static void a_zero_character_is_refused_before_the_lock(void **state)
{
    struct outcome outcome = run_script(state, "data.item.n = 1", "{\"id\":1,\"s\":\"a\\u0000b\"}");
    assert_outcome(&outcome, STATUS_INVALID, "U+0000");
    assert_int_equal(outcome.attempts, 0);
    outcome = run_script(state, "output.x = 'a\\0b'", "{\"id\":1}");
    assert_outcome(&outcome, STATUS_FAILED, "U+0000");
}

static void a_misspelt_list_option_lists_nothing(void **state)
{
    static const char *const calls[] = {
        "objects.list('item', {were = {id = 1}})", "objects.list('item', {where = 'id=1'})",
        "objects.list('item', {order_by = 1})", "objects.list('item', {{id = 1}})"};
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        struct outcome outcome = run_script(state, calls[i], "{\"id\":1}");
        assert_outcome(&outcome, STATUS_FAILED, i == 2 ? "order_by" : "where");
    }
}

/* It is no lost connection: running it again would spend the whole time on the same answer. */
static void a_wrong_number_of_parameters_fails_at_once(void **state)
{
    struct outcome outcome = run_script(state, "sql('select $1::int', 1, 2)", "{\"id\":1}");
    assert_outcome(&outcome, STATUS_FAILED, "");
    assert_int_equal(outcome.attempts, 1);
}

static void what_would_save_nothing_is_an_error(void **state)
{
    struct outcome outcome = run_script(state, "data.item = {n = 5}", "{\"id\":1}");
    assert_outcome(&outcome, STATUS_FAILED, "read-only");
}

static void a_null_input_is_an_absent_one(void **state)
{
    struct outcome outcome =
        run_script(state, "output.absent = input.s == nil", "{\"id\":1,\"s\":null}");
    assert_outcome(&outcome, STATUS_COMPLETED, "");
    assert_string_equal(outcome.output, "{\"absent\":true}");
}

int hostile_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_long_reason_stays_utf8_and_in_the_history),
        cmocka_unit_test(a_refused_history_row_takes_no_other_with_it),
        cmocka_unit_test(a_zero_character_is_refused_before_the_lock),
        cmocka_unit_test(a_misspelt_list_option_lists_nothing),
        cmocka_unit_test(a_wrong_number_of_parameters_fails_at_once),
        cmocka_unit_test(what_would_save_nothing_is_an_error),
        cmocka_unit_test(a_null_input_is_an_absent_one),
    };
    return cmocka_run_group_tests_name("hostile", tests, runtime_fixture_setup,
                                       runtime_fixture_teardown);
}
