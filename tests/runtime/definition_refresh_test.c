/* Refreshing: overlapping sets exclude each other, disjoint ones do not; hosts read again. */
#include "definitions_desk.h"
#include "runtime_tests.h"

#include "workflow_loader.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct host *start_with_three(struct runtime_fixture *fixture)
{
    runtime_fixture_tables(fixture, "SELECT 1");
    struct host *host = host_start(fixture, NULL);
    host_publish(host, definition_text("a", 1));
    host_publish(host, definition_text("b", 1));
    host_publish(host, definition_text("c", 1));
    return host;
}

static void ids_may_come_in_any_order_twice_and_unknown(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct asked asked;
    struct host *host = start_with_three(fixture);
    ask_refresh(host, &asked, "c", "zz", "a", "c", "", NULL);
    asked_expect(fixture, &asked, "status", "\"refreshed\"");
    asked_expect(fixture, &asked, "refreshed", "[\"a\",\"c\"]");
    asked_expect(fixture, &asked, "not-found", "[\"\",\"zz\"]");
    asked_done(&asked);
    ask_refresh(host, &asked, "", NULL);
    asked_expect(fixture, &asked, "not-found", "[\"\"]");
    asked_done(&asked);
    ask_refresh(host, &asked, NULL);
    asked_expect(fixture, &asked, "refreshed", "[\"a\",\"b\",\"c\"]");
    asked_done(&asked);
    host_stop(host);
}

static bool waits_for_the_row(PGconn *conn)
{
    return fixture_int(conn, "SELECT count(*) FROM pg_locks WHERE NOT granted") > 0;
}

/* {a, b} is held open by a row that somebody else has. */
static void overlapping_sets_exclude_each_other_and_disjoint_ones_do_not(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct asked ab, bc, c, all;
    struct host *host = start_with_three(fixture), *other = host_start(fixture, NULL);
    PGconn *conn = fixture_connect(fixture->conninfo);
    ask_refresh(host, &all, NULL);
    asked_wait(fixture, &all);
    asked_done(&all);
    fixture_exec(fixture->sql, "BEGIN; UPDATE latchkey.definition_state SET file = 'x'"
                               " WHERE workflow = 'a'");
    ask_refresh(host, &ab, "b", "a", NULL);
    for (int i = 0; i < 6000 && !waits_for_the_row(conn); i++)
        runtime_fixture_turn(fixture, 5);
    ask_refresh(other, &bc, "c", "b", NULL);
    asked_expect(fixture, &bc, "status", "\"already-in-progress\"");
    asked_expect(fixture, &bc, "refreshed", "[]");
    asked_done(&bc);
    ask_refresh(other, &all, NULL);
    asked_expect(fixture, &all, "status", "\"already-in-progress\"");
    asked_done(&all);
    ask_refresh(other, &c, "c", NULL);
    asked_expect(fixture, &c, "refreshed", "[\"c\"]");
    asked_done(&c);
    assert_false(ab.told);
    fixture_exec(fixture->sql, "COMMIT");
    asked_expect(fixture, &ab, "refreshed", "[\"a\",\"b\"]");
    asked_done(&ab);
    PQfinish(conn);
    host_stop(host);
    host_stop(other);
}

static void sql_and_refreshes_take_the_same_locks(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct asked a, bc, all;
    struct host *host = start_with_three(fixture);
    fixture_exec(fixture->sql, "BEGIN; SELECT latchkey.lock('$definitions/a')");
    ask_refresh(host, &a, "a", NULL);
    ask_refresh(host, &all, NULL);
    ask_refresh(host, &bc, "b", "c", NULL);
    asked_expect(fixture, &a, "status", "\"already-in-progress\"");
    asked_expect(fixture, &all, "status", "\"already-in-progress\"");
    asked_expect(fixture, &bc, "status", "\"refreshed\"");
    asked_done(&a);
    asked_done(&all);
    asked_done(&bc);
    fixture_exec(fixture->sql, "COMMIT; BEGIN; SELECT latchkey.lock('$definitions')");
    ask_refresh(host, &bc, "b", NULL);
    asked_expect(fixture, &bc, "status", "\"already-in-progress\"");
    asked_done(&bc);
    fixture_exec(fixture->sql, "COMMIT");
    host_stop(host);
}

static void triggers_are_indexed_anew_and_each_is_announced_once(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct asked asked;
    struct host *host = start_with_three(fixture);
    PGconn *listening = fixture_connect(fixture->conninfo);
    fixture_exec(listening, "LISTEN latchkey_definitions");
    fixture_exec(fixture->sql, "INSERT INTO latchkey.trigger VALUES ('a', 1, 1, 'stray'),"
                               " ('b', 1, 1, 'stray')");
    ask_refresh(host, &asked, "a", NULL);
    asked_expect(fixture, &asked, "status", "\"refreshed\"");
    asked_done(&asked);
    assert_sql_text(fixture, "SELECT string_agg(workflow, ' ') FROM latchkey.trigger", "b");
    assert_int_equal(count_notices(listening, NULL), 1);
    ask_refresh(host, &asked, NULL);
    asked_expect(fixture, &asked, "status", "\"refreshed\"");
    asked_done(&asked);
    assert_int_equal(count_notices(listening, NULL), 3);
    PQfinish(listening);
    host_stop(host);
}

static void turn_until_logged(struct runtime_fixture *fixture, struct host *host, const char *part)
{
    for (int i = 0; i < 6000 && !strstr(host_log(host), part); i++)
        runtime_fixture_turn(fixture, 5);
    assert_non_null(strstr(host_log(host), part));
}

static void every_host_reads_the_text_again(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct asked asked;
    struct fault fault;
    struct outcome outcome = {0};
    struct host *host = start_with_three(fixture), *other = host_start(fixture, NULL);
    assert_true(runtime_watch(host_runtime(other), NULL, "test", &fault));
    turn_until_logged(fixture, other, "a 1 is ready");
    struct workflow *before = workflow_loader_find(host_runtime(other), "a", 1);
    assert_non_null(before);
    fixture_exec(fixture->sql, "UPDATE latchkey.definition SET source = replace(source, '= 1',"
                               " '= 7') WHERE workflow = 'a'");
    ask_refresh(host, &asked, "a", NULL);
    asked_wait(fixture, &asked);
    asked_done(&asked);
    for (int i = 0; i < 6000; i++) {
        runtime_fixture_turn(fixture, 5);
        struct workflow *now = workflow_loader_find(host_runtime(other), "a", 1);
        if (now && now != before)
            break;
    }
    host_submit(other, workflow_loader_find(host_runtime(other), "a", 1), "{}", &outcome);
    runtime_fixture_wait(fixture);
    assert_string_equal(outcome.output, "{\"answer\":7}");
    host_submit(other, before, "{}", &outcome);
    runtime_fixture_wait(fixture);
    assert_string_equal(outcome.output, "{\"answer\":1}");
    host_stop(host);
    host_stop(other);
}

int definition_refresh_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_may_come_in_any_order_twice_and_unknown),
        cmocka_unit_test(overlapping_sets_exclude_each_other_and_disjoint_ones_do_not),
        cmocka_unit_test(sql_and_refreshes_take_the_same_locks),
        cmocka_unit_test(triggers_are_indexed_anew_and_each_is_announced_once),
        cmocka_unit_test(every_host_reads_the_text_again),
    };
    return cmocka_run_group_tests_name("definition_refresh", tests, runtime_fixture_setup,
                                       runtime_fixture_teardown);
}
