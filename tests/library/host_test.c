/* A host's life on the loop of a program. */
#include "desk.h"

#include <event2/event.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void options_are_checked(void **state)
{
    static const char *const wrong[][3] = {
        {"colour", "red"},
        {"pool", "1"},
        {"pool", "many"},
        {"queue-after", "50"},
        {"schema", "A b"},
        {"prepared-statements", "no"},
        {"ownership-timeout", "1ms"},
        {"database", NULL},
        {"waiters", "12"},
        {"busy-poll-us", "10001"},
        {"busy-poll-us", "1ms"},
        {"pool", "99999999999999999999"},
    };
    struct desk *desk = *state;
    struct latchkey *host = NULL;
    struct latchkey_fault fault;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_false(latchkey_new(desk->base, wrong[i], &host, &fault));
        assert_int_equal(fault.kind, LATCHKEY_FAULT_INVALID);
        assert_non_null(strstr(fault.text, wrong[i][0]));
    }
    const char *const right[] = {
        "database", desk->conninfo, "pool",         "2", "watchdog", "5s", "schema", "other",
        "look-up",  "100ms",        "busy-poll-us", "0", NULL};
    OK(latchkey_new(desk->base, right, &host, &why));
    latchkey_free(host);
    latchkey_free(NULL);
    assert_string_equal(latchkey_status_name(LATCHKEY_EXPIRED), "expired");
    assert_string_equal(latchkey_status_name((enum latchkey_status)99), "");
}

struct ticker {
    struct event *event;
    int n_ticks;
};

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct ticker *ticker = arg;
    (void)fd;
    (void)what;
    ticker->n_ticks++;
}

static struct ticker *ticker_new(struct desk *desk)
{
    struct timeval every = {.tv_usec = 2000};
    struct ticker *ticker = calloc(1, sizeof *ticker);
    ticker->event = event_new(desk->base, -1, EV_PERSIST, on_tick, ticker);
    event_add(ticker->event, &every);
    return ticker;
}

static void ticker_free(struct ticker *ticker)
{
    event_free(ticker->event);
    free(ticker);
}

/* Another host holds the lock under which the schema is made. */
static void the_loop_turns_while_a_start_waits_for_the_database(void **state)
{
    struct desk *desk = *state;
    struct latchkey *host = desk_host(desk);
    struct ticker *ticker = ticker_new(desk);
    struct word started = {0};
    fixture_exec(desk->sql, "BEGIN; SELECT pg_advisory_xact_lock("
                            "hashtextextended('latchkey migration of latchkey', 0))");
    OK(latchkey_start(host, on_started, &started, &why));
    assert_int_equal(ticker->n_ticks, 0); /* the call itself has not turned the loop */
    for (int i = 0; i < 30000 && ticker->n_ticks < 20; i++)
        desk_turn(desk, 2);
    assert_true(ticker->n_ticks >= 20);
    assert_false(started.told);
    fixture_exec(desk->sql, "ROLLBACK");
    desk_wait(desk, &started.told);
    assert_false(started.failed);
    ticker_free(ticker);
    latchkey_free(host);
}

static void on_stopped(struct latchkey *host, void *arg)
{
    bool *stopped = arg;
    assert_false(*stopped);
    assert_non_null(host);
    *stopped = true;
}

/* In the middle of the migrations, by a stop and by none. */
static void a_start_that_waits_for_the_database_may_be_given_up(void **state)
{
    struct desk *desk = *state;
    fixture_exec(desk->sql, "BEGIN; SELECT pg_advisory_xact_lock("
                            "hashtextextended('latchkey migration of latchkey', 0))");
    for (int i = 0; i < 2; i++) {
        struct latchkey *host = desk_host(desk);
        struct word started = {0};
        struct answer answer = {0};
        OK(latchkey_start(host, on_started, &started, &why));
        OK(latchkey_submit(host, "counting", NULL, NULL, on_answer, &answer, &why));
        for (int j = 0; j < 6000 && !fixture_int(desk->sql, "SELECT count(*) FROM pg_locks WHERE "
                                                            "locktype = 'advisory' AND NOT granted "
                                                            "AND database = (SELECT oid FROM "
                                                            "pg_database WHERE datname = "
                                                            "current_database())");
             j++)
            desk_turn(desk, 10);
        if (i == 0) {
            bool stopped = false;
            OK(latchkey_stop(host, 60000, on_stopped, &stopped, &why));
            desk_wait(desk, &stopped);
            assert_int_equal(answer.status, LATCHKEY_FAILED);
        }
        assert_false(started.told);
        latchkey_free(host);
        assert_true(started.told && answer.told);
        assert_int_equal(started.fault.kind, LATCHKEY_FAULT_CANCELLED);
    }
    fixture_exec(desk->sql, "ROLLBACK");
}

/* libevent refuses to run a loop inside its own callback: what would wait there could not. */
struct inside {
    struct desk *desk;
    struct latchkey *host;
    struct answer answer;
    bool stopped;
};

static void on_inside_stopped(struct latchkey *host, void *arg)
{
    struct inside *inside = arg;
    latchkey_free(host);
    inside->stopped = true;
}

static void on_inside_answer(const struct latchkey_result *result, void *arg)
{
    struct inside *inside = arg;
    on_answer(result, &inside->answer);
    OK(latchkey_stop(inside->host, 10000, on_inside_stopped, inside, &why));
}

static void on_inside_started(struct latchkey *host, const struct latchkey_fault *started,
                              void *arg)
{
    struct inside *inside = arg;
    if (started)
        fail_msg("%s", started->text);
    OK(latchkey_publish(host, "test.yaml", counting, -1, NULL, NULL, &why));
    OK(latchkey_submit(host, "counting", "{\"id\":1}", NULL, on_inside_answer, inside, &why));
}

static void on_inside(evutil_socket_t fd, short what, void *arg)
{
    struct inside *inside = arg;
    (void)fd;
    (void)what;
    inside->host = desk_host(inside->desk);
    OK(latchkey_start(inside->host, on_inside_started, inside, &why));
}

static void a_whole_life_passes_inside_callbacks(void **state)
{
    struct inside inside = {.desk = *state};
    struct timeval now = {0};
    event_base_once(inside.desk->base, -1, EV_TIMEOUT, on_inside, &inside, &now);
    desk_wait(inside.desk, &inside.stopped);
    assert_int_equal(inside.answer.status, LATCHKEY_COMPLETED);
    assert_int_equal(fixture_int(inside.desk->sql, "SELECT count(*) FROM latchkey.host"), 0);
}

static void a_start_that_fails_is_told_with_what_waits_for_it(void **state)
{
    struct desk *desk = *state;
    struct latchkey *host = NULL;
    struct answer answer = {0};
    struct word started = {0}, again = {0}, published = {0};
    struct latchkey_fault fault;
    char database[128];
    const char *const options[] = {"database", desk->conninfo, "schema", "other", NULL};
    fixture_text(desk->sql, "SELECT current_database()", database, sizeof database);
    OK(latchkey_new(desk->base, options, &host, &why));
    /* what a newer program would have left */
    fixture_exec(desk->sql, "CREATE SCHEMA other; CREATE TABLE other.migration (name text PRIMARY "
                            "KEY, applied_at timestamptz DEFAULT now());"
                            "INSERT INTO other.migration VALUES ('9999')");
    OK(latchkey_submit(host, "counting", NULL, NULL, on_answer, &answer, &why));
    OK(latchkey_publish(host, "test.yaml", counting, -1, on_published, &published, &why));
    OK(latchkey_start(host, on_started, &started, &why));
    assert_false(latchkey_start(host, on_started, &again, &fault));
    assert_int_equal(fault.kind, LATCHKEY_FAULT_INVALID);
    desk_wait(desk, &started.told);
    assert_int_equal(started.fault.kind, LATCHKEY_FAULT_DATABASE);
    assert_non_null(strstr(started.fault.text, "newer"));
    assert_true(answer.told && published.told);
    assert_int_equal(answer.status, LATCHKEY_FAILED);
    assert_non_null(strstr(answer.reason, "newer"));
    assert_int_equal(published.fault.kind, LATCHKEY_FAULT_DATABASE);
    fixture_exec(desk->sql, "DROP SCHEMA other CASCADE");
    OK(latchkey_start(host, on_started, &again, &why));
    desk_wait(desk, &again.told);
    assert_false(again.failed);
    assert_int_equal(desk_run(desk, host, "counting", NULL).status, LATCHKEY_MISSING);
    latchkey_free(host);
}

/* On one loop, over one database. */
static void two_hosts_in_one_process_exclude_each_other(void **state)
{
    enum {
        EACH = 50,
    };
    struct desk *desk = *state;
    struct latchkey *hosts[] = {desk_start(desk), desk_start(desk)};
    struct answer answers[2 * EACH] = {0};
    desk_publish(desk, hosts[0], counting);
    for (int i = 0; i < 2 * EACH; i++)
        OK(latchkey_submit(hosts[i % 2], "counting", "{\"id\":1}", NULL, on_answer, &answers[i],
                           &why));
    for (int i = 0; i < 2 * EACH; i++) {
        desk_wait(desk, &answers[i].told);
        assert_int_equal(answers[i].status, LATCHKEY_COMPLETED);
    }
    assert_int_equal(fixture_int(desk->sql, "SELECT n FROM counter WHERE id = 1"), 2 * EACH);
    latchkey_free(hosts[0]);
    assert_int_equal(desk_run(desk, hosts[1], "counting", "{\"id\":2}").status, LATCHKEY_COMPLETED);
    latchkey_free(hosts[1]);
}

/* Their locks have nothing to do with each other. */
static void two_hosts_of_different_schemas_know_nothing_of_each_other(void **state)
{
    struct desk *desk = *state;
    struct latchkey *one = desk_start(desk), *two = NULL;
    struct word started = {0};
    const char *const options[] = {"database", desk->conninfo, "schema", "other", NULL};
    OK(latchkey_new(desk->base, options, &two, &why));
    OK(latchkey_start(two, on_started, &started, &why));
    desk_publish(desk, one, counting);
    assert_int_equal(desk_run(desk, two, "counting", "{\"id\":1}").status, LATCHKEY_MISSING);
    desk_publish(desk, two, counting);
    fixture_exec(desk->sql, "BEGIN; SELECT other.lock('counter/1')");
    assert_int_equal(desk_run(desk, one, "counting", "{\"id\":1}").status, LATCHKEY_COMPLETED);
    fixture_exec(desk->sql, "ROLLBACK");
    assert_int_equal(desk_run(desk, two, "counting", "{\"id\":1}").status, LATCHKEY_COMPLETED);
    latchkey_free(one);
    latchkey_free(two);
}

static void an_orderly_stop_lets_finish_what_runs(void **state)
{
    struct desk *desk = *state;
    struct latchkey *host = desk_start(desk);
    struct latchkey_fault fault;
    struct answer answer = {0}, late = {0};
    bool stopped = false;
    desk_publish(desk, host, counting);
    fixture_exec(desk->sql, "BEGIN; SELECT latchkey.lock('counter/1')");
    OK(latchkey_submit(host, "counting", "{\"id\":1}", NULL, on_answer, &answer, &why));
    desk_turn(desk, 100);
    OK(latchkey_stop(host, 60000, on_stopped, &stopped, &why));
    assert_false(latchkey_submit(host, "counting", "{\"id\":1}", NULL, on_answer, &late, &fault));
    assert_int_equal(fault.kind, LATCHKEY_FAULT_CANCELLED);
    assert_false(latchkey_stop(host, 0, on_stopped, &stopped, &fault));
    desk_turn(desk, 100);
    assert_false(stopped || answer.told);
    assert_int_equal(fixture_int(desk->sql, "SELECT count(*) FROM latchkey.host"), 1);
    fixture_exec(desk->sql, "ROLLBACK");
    desk_wait(desk, &stopped);
    assert_int_equal(answer.status, LATCHKEY_COMPLETED);
    assert_int_equal(fixture_int(desk->sql, "SELECT count(*) FROM latchkey.host"), 0);
    latchkey_free(host);
    assert_false(late.told);
}

static void a_stop_waits_no_longer_than_its_patience(void **state)
{
    struct desk *desk = *state;
    struct latchkey *host = desk_start(desk);
    struct answer answer = {0};
    bool stopped = false;
    desk_publish(desk, host, counting);
    fixture_exec(desk->sql, "BEGIN; SELECT latchkey.lock('counter/1')");
    OK(latchkey_submit(host, "counting", "{\"id\":1}", NULL, on_answer, &answer, &why));
    OK(latchkey_stop(host, 50, on_stopped, &stopped, &why));
    desk_wait(desk, &stopped);
    assert_false(answer.told);
    latchkey_free(host);
    assert_true(answer.told);
    assert_int_equal(answer.status, LATCHKEY_FAILED);
    fixture_exec(desk->sql, "ROLLBACK");
    assert_int_equal(fixture_int(desk->sql, "SELECT n FROM counter WHERE id = 1"), 0);
}

/* Held, being started, found, published, executed: whatever was asked for. */
static void everybody_is_told_when_a_host_is_freed(void **state)
{
    struct desk *desk = *state;
    struct latchkey *host = desk_host(desk);
    struct answer held = {0}, running = {0}, unknown = {0}, delivered = {0};
    struct word started = {0}, published = {0}, found = {0}, reloaded = {0};
    OK(latchkey_start(host, on_started, &started, &why));
    OK(latchkey_submit(host, "counting", NULL, NULL, on_answer, &held, &why));
    latchkey_free(host);
    assert_true(started.told && held.told);
    assert_int_equal(started.fault.kind, LATCHKEY_FAULT_CANCELLED);
    assert_int_equal(held.status, LATCHKEY_FAILED);

    host = desk_start(desk);
    desk_publish(desk, host, counting);
    fixture_exec(desk->sql, "BEGIN; SELECT latchkey.lock('counter/1')");
    OK(latchkey_submit(host, "counting", "{\"id\":1}", NULL, on_answer, &running, &why));
    desk_turn(desk, 100);
    OK(latchkey_submit(host, "nothing", NULL, NULL, on_answer, &unknown, &why));
    OK(latchkey_find(host, "nothing", on_published, &found, &why));
    OK(latchkey_deliver(host, "0190a0b0-0000-7000-8000-000000000000", "go", NULL, on_answer,
                        &delivered, &why));
    OK(latchkey_reload(host, "samples/message-read", on_report, &reloaded, &why));
    OK(latchkey_publish(host, "test.yaml", "workflow: new\nstart: a\nactivities: {a: {}}\n", -1,
                        on_published, &published, &why));
    event_base_loop(desk->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
    latchkey_free(host);
    assert_true(running.told && unknown.told && delivered.told);
    assert_true(found.told && reloaded.told && published.told);
    assert_int_equal(running.status, LATCHKEY_FAILED);
    fixture_exec(desk->sql, "ROLLBACK");
}

static void on_started_free(struct latchkey *host, const struct latchkey_fault *fault, void *arg)
{
    on_started(host, fault, arg);
    latchkey_free(host);
}

static void a_host_may_be_freed_when_its_start_is_told(void **state)
{
    struct desk *desk = *state;
    struct word started = {0}, given_up = {0};
    bool stopped = false;
    struct latchkey *host = desk_host(desk);
    OK(latchkey_start(host, on_started_free, &started, &why));
    desk_wait(desk, &started.told);
    assert_false(started.failed);
    /* and within latchkey_free itself it does no harm */
    host = desk_host(desk);
    OK(latchkey_start(host, on_started_free, &given_up, &why));
    OK(latchkey_stop(host, 0, on_stopped, &stopped, &why));
    desk_wait(desk, &stopped);
    if (!given_up.told)
        latchkey_free(host);
    assert_int_equal(given_up.fault.kind, LATCHKEY_FAULT_CANCELLED);
}

static void a_host_is_silent_unless_it_is_given_a_log(void **state)
{
    struct desk *desk = *state;
    char *text = NULL;
    size_t n_bytes = 0;
    FILE *stream = open_memstream(&text, &n_bytes);
    struct latchkey *host = desk_start(desk);
    const char *logging =
        "workflow: speaks\nstart: a\nactivities:\n  a: {script: log.info('hello')}\n";
    desk_publish(desk, host, logging);
    assert_int_equal(desk_run(desk, host, "speaks", NULL).status, LATCHKEY_COMPLETED);
    latchkey_log_to(host, stream, LATCHKEY_LOG_INFO);
    assert_int_equal(desk_run(desk, host, "speaks", NULL).status, LATCHKEY_COMPLETED);
    latchkey_log_to(host, stream, LATCHKEY_LOG_ERROR);
    assert_int_equal(desk_run(desk, host, "speaks", NULL).status, LATCHKEY_COMPLETED);
    latchkey_free(host);
    fclose(stream);
    const char *first = strstr(text, "hello");
    assert_non_null(first);
    assert_null(strstr(first + 1, "hello"));
    free(text);
}

int host_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(options_are_checked, desk_clear),
        cmocka_unit_test_setup(the_loop_turns_while_a_start_waits_for_the_database, desk_clear),
        cmocka_unit_test_setup(a_start_that_waits_for_the_database_may_be_given_up, desk_clear),
        cmocka_unit_test_setup(a_whole_life_passes_inside_callbacks, desk_clear),
        cmocka_unit_test_setup(a_start_that_fails_is_told_with_what_waits_for_it, desk_clear),
        cmocka_unit_test_setup(two_hosts_in_one_process_exclude_each_other, desk_clear),
        cmocka_unit_test_setup(two_hosts_of_different_schemas_know_nothing_of_each_other,
                               desk_clear),
        cmocka_unit_test_setup(an_orderly_stop_lets_finish_what_runs, desk_clear),
        cmocka_unit_test_setup(a_stop_waits_no_longer_than_its_patience, desk_clear),
        cmocka_unit_test_setup(everybody_is_told_when_a_host_is_freed, desk_clear),
        cmocka_unit_test_setup(a_host_may_be_freed_when_its_start_is_told, desk_clear),
        cmocka_unit_test_setup(a_host_is_silent_unless_it_is_given_a_log, desk_clear),
    };
    return cmocka_run_group_tests_name("host", tests, desk_open, desk_close);
}
