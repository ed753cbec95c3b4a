/* Native actions through latchkey.h. */
#include "desk.h"

#include <event2/event.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char native[] = "workflow: native\n"
                             "input: {id: integer}\n"
                             "data:\n"
                             "  row: {table: counter, key: {id: input.id}}\n"
                             "start: add\n"
                             "activities:\n"
                             "  add:\n"
                             "    enable-exclusive-lock: true\n"
                             "    lock-context: '{\"counter\", input.id}'\n"
                             "    waiting-timeout: 2s\n"
                             "    action: add-one\n";

struct bench {
    int n_runs;
    int n_cancelled;
    const char *fails; /* reason; NULL = it does not */
    struct latchkey_action *held;
    bool holds;
};

static bool add_one(struct latchkey_action *action, struct latchkey_fault *fault)
{
    int64_t n;
    char *word;
    if (!latchkey_action_get_integer(action, "row", 0, "n", &n, fault) ||
        !latchkey_action_set_integer(action, "row", 0, "n", n + 1, fault) ||
        !latchkey_action_get(action, "row", 0, "word", &word, fault))
        return false;
    bool was_null = strcmp(word, "null") == 0;
    free(word);
    if (was_null && !latchkey_action_set(action, "row", 0, "word", "\"first\"", fault))
        return false;
    return latchkey_action_set_vars(action, "{\"seen\":true}", fault) &&
           latchkey_action_set_output(action, "{\"by\":\"C\"}", fault);
}

static void check_what_it_knows(struct latchkey_action *action)
{
    char *input = latchkey_action_input(action), *event = latchkey_action_event(action);
    char *vars = latchkey_action_vars(action);
    assert_non_null(strstr(input, "\"id\":"));
    assert_string_equal(event, "null");
    assert_string_equal(vars, "{}");
    free(input);
    free(event);
    free(vars);
    assert_int_equal(strlen(latchkey_action_instance(action)), 36);
    assert_string_equal(latchkey_action_activity(action), "add");
    assert_int_equal(latchkey_action_n_rows(action, "row"), 1);
    assert_int_equal(latchkey_action_n_rows(action, "other"), -1);
    assert_true(latchkey_action_remaining_us(action) > 0);
    assert_int_equal(latchkey_action_token(action), 0);
    assert_false(latchkey_action_is_cancelled(action));
}

static void check_what_it_refuses(struct latchkey_action *action)
{
    struct latchkey_fault fault;
    int64_t n;
    assert_false(latchkey_action_set(action, "row", 0, "n", "null", &fault)); /* NOT NULL */
    assert_int_equal(fault.kind, LATCHKEY_FAULT_SCRIPT);
    assert_false(latchkey_action_set(action, "row", 0, "n", "{", &fault));
    assert_int_equal(fault.kind, LATCHKEY_FAULT_INVALID);
    assert_false(latchkey_action_set(action, "row", 1, "n", "1", &fault));
    assert_false(latchkey_action_get_integer(action, "row", 0, "word", &n, &fault));
    assert_int_equal(fault.kind, LATCHKEY_FAULT_SCRIPT);
    assert_false(latchkey_action_set_output(action, "[]", &fault));
    assert_int_equal(fault.kind, LATCHKEY_FAULT_INVALID);
}

static void on_cancelled(struct latchkey_action *action, void *arg)
{
    struct bench *bench = arg;
    struct latchkey_fault fault;
    assert_true(latchkey_action_is_cancelled(action));
    assert_int_equal(latchkey_action_remaining_us(action), 0);
    assert_false(latchkey_action_set(action, "row", 0, "n", "1", &fault));
    bench->n_cancelled++;
    bench->held = NULL;
    latchkey_action_done(action); /* too late to keep anything */
}

static void run(struct latchkey_action *action, void *arg)
{
    struct bench *bench = arg;
    struct latchkey_fault fault;
    bench->n_runs++;
    check_what_it_knows(action);
    if (bench->holds) {
        bench->held = action;
        latchkey_action_on_cancel(action, on_cancelled, bench);
        return;
    }
    check_what_it_refuses(action);
    if (!add_one(action, &fault))
        latchkey_action_fail(action, fault.text);
    else if (bench->fails)
        latchkey_action_fail(action, bench->fails);
    else
        latchkey_action_done(action);
}

static struct latchkey *with_action(struct desk *desk, struct bench *bench)
{
    struct latchkey *host = desk_host(desk);
    struct latchkey_fault fault;
    OK(latchkey_register_action(host, "add-one", run, bench, &why));
    assert_false(latchkey_register_action(host, "add-one", run, bench, &fault));
    assert_int_equal(fault.kind, LATCHKEY_FAULT_INVALID);
    assert_false(latchkey_register_action(host, "Add One", run, bench, &fault));
    OK(latchkey_start(host, NULL, NULL, &why));
    desk_publish(desk, host, native);
    return host;
}

static void what_an_action_sets_is_committed(void **state)
{
    struct desk *desk = *state;
    struct bench bench = {0};
    struct latchkey *host = with_action(desk, &bench);
    for (int i = 0; i < 3; i++) {
        struct answer answer = desk_run(desk, host, "native", "{\"id\":1}");
        assert_int_equal(answer.status, LATCHKEY_COMPLETED);
        assert_string_equal(answer.output, "{\"by\":\"C\"}");
        assert_string_equal(answer.path, "counter/1");
    }
    assert_int_equal(bench.n_runs, 3);
    assert_int_equal(fixture_int(desk->sql, "SELECT n FROM counter WHERE id = 1"), 3);
    assert_int_equal(fixture_int(desk->sql, "SELECT count(*) FROM counter WHERE word = 'first'"),
                     1);
    latchkey_free(host);
}

static void nothing_is_kept_of_one_that_fails(void **state)
{
    struct desk *desk = *state;
    struct bench bench = {.fails = "the bank said no"};
    struct latchkey *host = with_action(desk, &bench);
    struct answer answer = desk_run(desk, host, "native", "{\"id\":1}");
    assert_int_equal(answer.status, LATCHKEY_FAILED);
    assert_non_null(strstr(answer.reason, "the bank said no"));
    assert_int_equal(fixture_int(desk->sql, "SELECT n FROM counter WHERE id = 1"), 0);
    latchkey_free(host);
}

static void another_host_has_not_got_it(void **state)
{
    struct desk *desk = *state;
    struct bench bench = {0};
    struct latchkey *host = with_action(desk, &bench), *other = desk_start(desk);
    struct answer answer = desk_run(desk, other, "native", "{\"id\":1}");
    assert_int_equal(answer.status, LATCHKEY_INVALID);
    assert_non_null(strstr(answer.reason, "add-one"));
    latchkey_free(other);
    latchkey_free(host);
}

static void one_ended_later_holds_its_lock_meanwhile(void **state)
{
    struct desk *desk = *state;
    struct bench bench = {.holds = true};
    struct latchkey *host = with_action(desk, &bench);
    struct answer answer = {0};
    OK(latchkey_submit(host, "native", "{\"id\":1}", NULL, on_answer, &answer, &why));
    for (int i = 0; i < 60000 && !bench.held; i++)
        desk_turn(desk, 1);
    assert_non_null(bench.held);
    fixture_exec(desk->sql, "BEGIN; SET LOCAL lock_timeout = '50ms'");
    char sqlstate[6];
    fixture_exec_fails(desk->sql, "SELECT latchkey.lock('counter/1')", sqlstate);
    assert_string_equal(sqlstate, "55P03");
    fixture_exec(desk->sql, "ROLLBACK");
    OK(latchkey_action_set_integer(bench.held, "row", 0, "n", 42, &why));
    latchkey_action_done(bench.held);
    desk_wait(desk, &answer.told);
    assert_int_equal(answer.status, LATCHKEY_COMPLETED);
    assert_int_equal(bench.n_cancelled, 0);
    assert_int_equal(fixture_int(desk->sql, "SELECT n FROM counter WHERE id = 1"), 42);
    latchkey_free(host);
}

static void one_that_is_too_late_or_stopped_is_told(void **state)
{
    struct desk *desk = *state;
    struct bench bench = {.holds = true};
    struct latchkey *host = with_action(desk, &bench);
    struct answer answer = desk_run(desk, host, "native", "{\"id\":1}"), stopped = {0};
    assert_int_equal(answer.status, LATCHKEY_EXPIRED);
    assert_int_equal(bench.n_cancelled, bench.n_runs);
    OK(latchkey_submit(host, "native", "{\"id\":2}", NULL, on_answer, &stopped, &why));
    for (int i = 0; i < 60000 && !bench.held; i++)
        desk_turn(desk, 1);
    int n_before = bench.n_cancelled;
    latchkey_free(host);
    assert_int_equal(bench.n_cancelled, n_before + 1);
    assert_int_equal(stopped.status, LATCHKEY_FAILED);
    assert_int_equal(fixture_int(desk->sql, "SELECT sum(n) FROM counter"), 0);
}

int action_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(what_an_action_sets_is_committed, desk_clear),
        cmocka_unit_test_setup(nothing_is_kept_of_one_that_fails, desk_clear),
        cmocka_unit_test_setup(another_host_has_not_got_it, desk_clear),
        cmocka_unit_test_setup(one_ended_later_holds_its_lock_meanwhile, desk_clear),
        cmocka_unit_test_setup(one_that_is_too_late_or_stopped_is_told, desk_clear),
    };
    return cmocka_run_group_tests_name("action", tests, desk_open, desk_close);
}
