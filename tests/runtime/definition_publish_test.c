/* Publishing: versions, triggers and notices in one transaction, under the lock of the name. */
#include "definitions_desk.h"
#include "runtime_tests.h"

#include "clock.h"
#include "definition_read.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct published {
    bool told;
    int version;
    bool added;
    struct fault fault;
};

static void on_published(struct workflow *workflow, bool added, const struct fault *fault,
                         void *arg)
{
    struct published *published = arg;
    assert_false(published->told);
    published->told = true;
    published->added = added;
    published->version = workflow ? workflow_version(workflow) : 0;
    if (fault)
        published->fault = *fault;
}

static void publish(struct host *host, const char *text, const struct trigger *triggers,
                    int n_triggers, int base, struct published *published)
{
    struct definition *definition = NULL;
    struct problems problems;
    struct fault fault;
    *published = (struct published){0};
    problems_init(&problems);
    assert_true(definition_read(runtime_sandbox(host_runtime(host)), "test.yaml", text,
                                strlen(text), &definition, &problems));
    problems_done(&problems);
    definition->triggers = (struct trigger *)triggers;
    definition->n_triggers = n_triggers;
    assert_true(runtime_publish_start(host_runtime(host), definition, base, "test", on_published,
                                      published, &fault));
    assert_false(published->told);
}

static void wait_for(struct runtime_fixture *fixture, const struct published *published)
{
    for (int i = 0; i < 6000 && !published->told; i++)
        runtime_fixture_turn(fixture, 5);
    assert_true(published->told);
}

static void publish_now(struct runtime_fixture *fixture, struct host *host, const char *text,
                        const struct trigger *triggers, int n_triggers)
{
    struct published published;
    publish(host, text, triggers, n_triggers, -1, &published);
    wait_for(fixture, &published);
    assert_true(published.added);
}

static void triggers_are_those_of_the_latest_version(void **state)
{
    struct runtime_fixture *fixture = *state;
    static const struct trigger first[] = {
        {.event = "paid"}, {.every_ms = 600000}, {.every_ms = 60000}};
    static const struct trigger second[] = {{.every_ms = 60000}, {.event = "void"}};
    runtime_fixture_tables(fixture, "SELECT 1");
    struct host *host = host_start(fixture, NULL);
    publish_now(fixture, host, definition_text("w", 1), first, 3);
    assert_sql_text(fixture,
                    "SELECT string_agg(concat_ws(' ', version, ordinal, event, every_ms,"
                    " next_at > clock_timestamp()), ', ' ORDER BY ordinal) FROM latchkey.trigger",
                    "1 1 paid, 1 2 600000 t, 1 3 60000 t");
    publish_now(fixture, host, definition_text("w", 2), second, 2);
    assert_sql_text(fixture,
                    "SELECT string_agg(concat_ws(' ', version, ordinal, event, every_ms), ', '"
                    " ORDER BY ordinal) FROM latchkey.trigger",
                    "2 1 60000, 2 2 void");
    host_stop(host);
}

static void a_period_that_stays_keeps_its_next_time(void **state)
{
    struct runtime_fixture *fixture = *state;
    static const struct trigger first[] = {
        {.every_ms = 60000}, {.every_ms = 60000}, {.every_ms = 5000}};
    static const struct trigger second[] = {{.event = "e"},
                                            {.every_ms = 7000},
                                            {.every_ms = 60000},
                                            {.every_ms = 60000},
                                            {.every_ms = 60000}};
    runtime_fixture_tables(fixture, "SELECT 1");
    struct host *host = host_start(fixture, NULL);
    publish_now(fixture, host, definition_text("w", 1), first, 3);
    fixture_exec(fixture->sql, "UPDATE latchkey.trigger SET next_at = '2001-01-01Z'::timestamptz +"
                               " ordinal * interval '1 day'");
    publish_now(fixture, host, definition_text("w", 2), second, 5);
    assert_sql_text(fixture,
                    "SELECT string_agg(CASE WHEN next_at < '2002-01-01' THEN"
                    " extract(day FROM next_at AT TIME ZONE 'UTC')::text ELSE 'new' END, ' '"
                    " ORDER BY ordinal) FROM latchkey.trigger WHERE every_ms IS NOT NULL",
                    "new 2 3 new");
    host_stop(host);
}

/* The tick fires while the version is being published: its new time must not be lost. */
static void a_tick_that_fires_meanwhile_is_not_fired_again(void **state)
{
    struct runtime_fixture *fixture = *state;
    static const struct trigger triggers[] = {{.every_ms = 60000}};
    struct published second;
    runtime_fixture_tables(fixture, "SELECT 1");
    struct host *host = host_start(fixture, NULL);
    publish_now(fixture, host, definition_text("w", 1), triggers, 1);
    fixture_exec(fixture->sql, "BEGIN; UPDATE latchkey.trigger SET next_at = '2001-01-01Z'");
    publish(host, definition_text("w", 2), triggers, 1, -1, &second);
    PGconn *other = fixture_connect(fixture->conninfo);
    for (int i = 0; i < 6000; i++) {
        runtime_fixture_turn(fixture, 5);
        if (fixture_int(other, "SELECT count(*) FROM pg_locks WHERE NOT granted") == 1)
            break;
    }
    assert_false(second.told);
    fixture_exec(fixture->sql, "COMMIT");
    wait_for(fixture, &second);
    assert_true(second.added);
    assert_sql_int(fixture, "SELECT count(*) FROM latchkey.trigger WHERE next_at = '2001-01-01Z'",
                   1);
    PQfinish(other);
    host_stop(host);
}

static void of_two_changes_of_one_version_one_wins_and_the_other_is_told(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct published one, two;
    runtime_fixture_tables(fixture, "SELECT 1");
    struct host *host = host_start(fixture, NULL), *other = host_start(fixture, NULL);
    publish_now(fixture, host, definition_text("w", 1), NULL, 0);
    fixture_exec(fixture->sql, "BEGIN; SELECT latchkey.lock('$definitions/w')");
    publish(host, definition_text("w", 2), NULL, 0, 1, &one);
    publish(other, definition_text("w", 3), NULL, 0, 1, &two);
    runtime_fixture_turn(fixture, 300); /* both have seen version 1 and wait */
    assert_false(one.told || two.told);
    fixture_exec(fixture->sql, "COMMIT");
    wait_for(fixture, &one);
    wait_for(fixture, &two);
    assert_int_equal(one.added + two.added, 1);
    assert_int_equal((one.added ? &two : &one)->fault.kind, FAULT_CONFLICT);
    assert_sql_int(fixture, "SELECT count(*) FROM latchkey.definition", 2);
    host_stop(host);
    host_stop(other);
}

static void an_equal_text_takes_no_lock_and_an_old_one_is_a_new_version(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct published published;
    runtime_fixture_tables(fixture, "SELECT 1");
    struct host *host = host_start(fixture, NULL);
    publish_now(fixture, host, definition_text("w", 1), NULL, 0);
    publish_now(fixture, host, definition_text("w", 2), NULL, 0);
    fixture_exec(fixture->sql, "BEGIN; SELECT latchkey.lock('$definitions')");
    publish(host, definition_text("w", 2), NULL, 0, -1, &published);
    wait_for(fixture, &published);
    assert_false(published.added);
    assert_int_equal(published.version, 2);
    fixture_exec(fixture->sql, "COMMIT");
    publish(host, definition_text("w", 1), NULL, 0, 2, &published);
    wait_for(fixture, &published);
    assert_true(published.added);
    assert_int_equal(published.version, 3);
    host_stop(host);
}

static void a_version_is_announced_once(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct published published;
    PGconn *listening = fixture_connect(fixture->conninfo);
    fixture_exec(listening, "LISTEN latchkey_definitions");
    runtime_fixture_tables(fixture, "SELECT 1");
    struct host *host = host_start(fixture, NULL);
    publish_now(fixture, host, definition_text("w", 1), NULL, 0);
    publish_now(fixture, host, definition_text("w", 2), NULL, 0);
    publish(host, definition_text("w", 2), NULL, 0, -1, &published);
    wait_for(fixture, &published);
    publish(host, definition_text("w", 3), NULL, 0, 1, &published);
    wait_for(fixture, &published);
    assert_int_equal(published.fault.kind, FAULT_CONFLICT);
    assert_int_equal(count_notices(listening, "w 2"), 1);
    publish_now(fixture, host, definition_text("w", 3), NULL, 0);
    assert_int_equal(count_notices(listening, NULL), 1);
    PQfinish(listening);
    host_stop(host);
}

int definition_publish_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(triggers_are_those_of_the_latest_version),
        cmocka_unit_test(a_period_that_stays_keeps_its_next_time),
        cmocka_unit_test(a_tick_that_fires_meanwhile_is_not_fired_again),
        cmocka_unit_test(of_two_changes_of_one_version_one_wins_and_the_other_is_told),
        cmocka_unit_test(an_equal_text_takes_no_lock_and_an_old_one_is_a_new_version),
        cmocka_unit_test(a_version_is_announced_once),
    };
    return cmocka_run_group_tests_name("definition_publish", tests, runtime_fixture_setup,
                                       runtime_fixture_teardown);
}
