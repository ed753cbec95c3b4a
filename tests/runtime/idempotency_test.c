/* The same key, workflow and input is one instance and one answer. */
#include "runtime_fixture.h"
#include "runtime_tests.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char tables[] =
    "CREATE TABLE counter (id integer PRIMARY KEY, n integer NOT NULL DEFAULT 0);"
    "INSERT INTO counter SELECT i FROM generate_series(1, 10) AS i;";

#define COUNTING(more, script)                                                                     \
    "workflow: count\n"                                                                            \
    "input: {id: integer}\n"                                                                       \
    "data: {row: {table: counter, key: {id: input.id}}}\n"                                         \
    "start: add\n"                                                                                 \
    "activities:\n"                                                                                \
    "  add:\n" more "    script: |\n"                                                              \
    "      data.row.n = data.row.n + 1\n"                                                          \
    "      output.n = data.row.n\n"                                                                \
    "      " script "\n"

static struct host *another(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct runtime_options options = runtime_fixture_options(fixture);
    options.ownership_us = 1000 * 1000;
    return host_start(fixture, &options);
}

static struct host *start(void **state)
{
    runtime_fixture_tables(*state, tables);
    return another(state);
}

static void assert_replays(const struct outcome *outcome, const struct outcome *first)
{
    assert_true(outcome->replayed);
    assert_int_equal(outcome->status, first->status);
    assert_string_equal(outcome->id, first->id);
    assert_string_equal(outcome->output, first->output);
    assert_string_equal(outcome->activity, first->activity);
    assert_string_equal(outcome->paths, first->paths);
    assert_int_equal(outcome->attempts, first->attempts);
    assert_int_equal(outcome->held_us, first->held_us);
    assert_int_equal(outcome->waited_us, first->waited_us);
}

static void the_same_key_gives_the_same_answer(void **state)
{
    struct outcome first, second, third;
    struct host *host = start(state), *other = another(state);
    const char yaml[] = COUNTING("    enable-exclusive-lock: true\n"
                                 "    lock-context: '{\"counter\", input.id}'\n",
                                 "");
    struct workflow *workflow = host_publish(host, yaml);
    host_submit_keyed(host, workflow, "{\"id\":1}", "k/1 \xc3\xa4", &first);
    runtime_fixture_wait(*state);
    host_submit_keyed(host, workflow, "{\"id\":1}", "k/1 \xc3\xa4", &second);
    host_submit_keyed(other, host_publish(other, yaml), "{\"id\":1}", "k/1 \xc3\xa4", &third);
    runtime_fixture_wait(*state);
    assert_outcome(&first, STATUS_COMPLETED, "");
    assert_false(first.replayed);
    assert_string_equal(first.paths, "counter/1");
    assert_replays(&second, &first);
    assert_replays(&third, &first);
    assert_sql_int(*state, "SELECT n FROM counter WHERE id = 1", 1);
    assert_sql_int(*state, "SELECT count(*) FROM latchkey.execution", 1);
    host_stop(host);
    host_stop(other);
}

static void another_input_is_invalid(void **state)
{
    struct outcome outcome;
    struct host *host = start(state);
    struct workflow *workflow = host_publish(host, COUNTING("", ""));
    host_submit_keyed(host, workflow, "{\"id\":1}", "k", &outcome);
    runtime_fixture_wait(*state);
    host_submit_keyed(host, workflow, "{\"id\":2}", "k", &outcome);
    runtime_fixture_wait(*state);
    assert_outcome(&outcome, STATUS_INVALID, "with another input");
    assert_sql_int(*state, "SELECT sum(n) FROM counter", 1);
    host_stop(host);
}

static void a_wrong_key_is_invalid(void **state)
{
    struct outcome outcomes[3];
    char long_key[300];
    struct host *host = start(state);
    struct workflow *workflow = host_publish(host, COUNTING("", ""));
    memset(long_key, 'x', sizeof long_key);
    long_key[256] = '\0';
    host_submit_keyed(host, workflow, "{\"id\":1}", "", &outcomes[0]);
    host_submit_keyed(host, workflow, "{\"id\":1}", long_key, &outcomes[1]);
    host_enqueue_keyed(host, workflow, "{\"id\":1}", "\xff", &outcomes[2]);
    runtime_fixture_wait(*state);
    for (int i = 0; i < 3; i++)
        assert_outcome(&outcomes[i], STATUS_INVALID, "idempotency key");
    host_stop(host);
}

static void many_at_once_are_one(void **state)
{
    enum { N = 60 };
    static struct outcome outcomes[N];
    struct host *hosts[] = {start(state), another(state)};
    const char yaml[] = COUNTING("", "");
    struct workflow *workflows[] = {host_publish(hosts[0], yaml), host_publish(hosts[1], yaml)};
    for (int i = 0; i < N; i++)
        host_submit_keyed(hosts[i % 2], workflows[i % 2], "{\"id\":1}", "k", &outcomes[i]);
    runtime_fixture_wait(*state);
    int n_first = 0, first = 0;
    for (int i = 0; i < N; i++) {
        assert_outcome(&outcomes[i], STATUS_COMPLETED, "");
        n_first += !outcomes[i].replayed;
        first = outcomes[i].replayed ? first : i;
    }
    assert_int_equal(n_first, 1);
    for (int i = 0; i < N; i++)
        if (i != first)
            assert_replays(&outcomes[i], &outcomes[first]);
    assert_sql_int(*state, "SELECT n FROM counter WHERE id = 1", 1);
    host_stop(hosts[0]);
    host_stop(hosts[1]);
}

/* What a script does outside of its transaction is not done twice either: the second waits for the
 * lock of the key before it runs anything. */
static void the_second_does_not_even_begin(void **state)
{
    struct outcome first, second;
    struct host *one = start(state), *two = another(state);
    const char yaml[] = "workflow: count\n"
                        "input: {id: integer}\n"
                        "start: add\n"
                        "activities:\n"
                        "  add: {script: \"sql(\\\"select nextval('runs')\\\") sleep(0.5)\"}\n";
    struct workflow *here = host_publish(one, yaml), *there = host_publish(two, yaml);
    fixture_exec(((struct runtime_fixture *)*state)->sql, "CREATE SEQUENCE runs");
    host_submit_keyed(one, here, "{\"id\":1}", "k", &first);
    host_submit_keyed(two, there, "{\"id\":1}", "k", &second);
    runtime_fixture_wait(*state);
    assert_outcome(&first, STATUS_COMPLETED, "");
    assert_outcome(&second, STATUS_COMPLETED, "");
    assert_int_equal(first.replayed + second.replayed, 1);
    assert_sql_int(*state, "SELECT last_value FROM runs", 1);
    host_stop(one);
    host_stop(two);
}

static void what_kept_nothing_is_not_recorded(void **state)
{
    struct outcome outcome;
    struct host *host = start(state);
    struct workflow *workflow = host_publish(host, COUNTING("    guard: data.row.n > 0\n", ""));
    host_submit_keyed(host, workflow, "{\"id\":1}", "k", &outcome);
    runtime_fixture_wait(*state);
    assert_outcome(&outcome, STATUS_BLOCKED, "");
    fixture_exec(((struct runtime_fixture *)*state)->sql, "UPDATE counter SET n = 5");
    host_submit_keyed(host, workflow, "{\"id\":1}", "k", &outcome);
    runtime_fixture_wait(*state);
    assert_outcome(&outcome, STATUS_COMPLETED, "");
    assert_false(outcome.replayed);
    host_stop(host);
}

#define TWO_STEPS                                                                                  \
    COUNTING("    navigation: [{to: more}]\n", "")                                                 \
    "  more:\n"                                                                                    \
    "    guard: data.row.n < 5\n"                                                                  \
    "    script: |\n"                                                                              \
    "      sleep(0.3)\n"                                                                           \
    "      data.row.n = data.row.n + 10\n"

static void who_comes_while_it_runs_waits_for_the_answer(void **state)
{
    struct outcome first, second;
    struct host *host = start(state), *other = another(state);
    host_submit_keyed(host, host_publish(host, TWO_STEPS), "{\"id\":1}", "k", &first);
    runtime_fixture_until(*state, "SELECT count(*) FROM latchkey.instance", 1);
    host_submit_keyed(other, host_publish(other, TWO_STEPS), "{\"id\":1}", "k", &second);
    runtime_fixture_wait(*state);
    assert_outcome(&first, STATUS_COMPLETED, "");
    assert_replays(&second, &first);
    assert_sql_int(*state, "SELECT n FROM counter WHERE id = 1", 11);
    host_stop(host);
    host_stop(other);
}

static void an_instance_that_stopped_is_gone_on_with(void **state)
{
    struct outcome first, second, third;
    struct host *host = start(state);
    struct workflow *workflow = host_publish(host, TWO_STEPS);
    fixture_exec(((struct runtime_fixture *)*state)->sql, "UPDATE counter SET n = 7");
    host_submit_keyed(host, workflow, "{\"id\":1}", "k", &first);
    runtime_fixture_wait(*state);
    assert_outcome(&first, STATUS_BLOCKED, "the guard said no");
    fixture_exec(((struct runtime_fixture *)*state)->sql, "UPDATE counter SET n = 0");
    host_submit_keyed(host, workflow, "{\"id\":1}", "k", &second);
    runtime_fixture_wait(*state);
    assert_outcome(&second, STATUS_COMPLETED, "");
    assert_string_equal(second.id, first.id);
    assert_sql_int(*state, "SELECT n FROM counter WHERE id = 1", 10);
    host_submit_keyed(host, workflow, "{\"id\":1}", "k", &third);
    runtime_fixture_wait(*state);
    assert_replays(&third, &second);
    host_stop(host);
}

/* Its host died between two activities, nobody has taken over yet. */
static void the_instance_of_a_dead_host_is_gone_on_with(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct outcome outcome;
    struct host *host = start(state);
    struct workflow *workflow = host_publish(host, TWO_STEPS);
    fixture_exec(
        fixture->sql,
        "INSERT INTO latchkey.instance (id, workflow, version, activity, status, input, "
        "steps, process, key) VALUES ('01234567-89ab-7cde-8f01-000000000001', 'count', 1, "
        "'more', 'running', '{\"id\": 1}', 1, '01234567-89ab-7cde-8f01-23456789abcd', 'k');"
        "INSERT INTO latchkey.idempotency_key (workflow, key, input, instance) VALUES "
        "('count', 'k', '{\"id\": 1}', '01234567-89ab-7cde-8f01-000000000001')");
    host_submit_keyed(host, workflow, "{\"id\":1}", "k", &outcome);
    runtime_fixture_wait(fixture);
    assert_outcome(&outcome, STATUS_COMPLETED, "");
    assert_string_equal(outcome.id, "01234567-89ab-7cde-8f01-000000000001");
    assert_sql_int(fixture, "SELECT n FROM counter WHERE id = 1", 10);
    assert_sql_text(fixture, "SELECT result ->> 'status' FROM latchkey.idempotency_key",
                    "completed");
    host_stop(host);
}

static void a_queued_one_is_queued_once(void **state)
{
    enum { N = 5 };
    struct outcome outcomes[N], after, run;
    struct host *host = start(state);
    struct workflow *workflow = host_publish(host, COUNTING("", ""));
    for (int i = 0; i < N; i++)
        host_enqueue_keyed(host, workflow, "{\"id\":1}", "k", &outcomes[i]);
    runtime_fixture_wait(*state);
    assert_sql_int(*state, "SELECT count(*) FROM latchkey.job", 1);
    for (int i = 0; i < N; i++) {
        assert_outcome(&outcomes[i], STATUS_QUEUED, "");
        assert_string_equal(outcomes[i].id, outcomes[0].id);
    }
    host_enqueue_keyed(host, workflow, "{\"id\":2}", "k", &after);
    runtime_fixture_wait(*state);
    assert_outcome(&after, STATUS_INVALID, "with another input");

    host_submit_keyed(host, workflow, "{\"id\":1}", "k", &run); /* waits for the job */
    host_work(host);
    runtime_fixture_wait(*state);
    assert_outcome(&run, STATUS_COMPLETED, "");
    assert_true(run.replayed);
    assert_string_equal(run.id, outcomes[0].id);
    host_enqueue_keyed(host, workflow, "{\"id\":1}", "k", &after);
    runtime_fixture_wait(*state);
    assert_replays(&after, &run);
    assert_sql_int(*state, "SELECT n FROM counter WHERE id = 1", 1);
    assert_sql_int(*state, "SELECT count(*) FROM latchkey.job", 0);
    host_stop(host);
}

/* The job of a key came to nothing: the key is free for the next caller, queued or not. */
static void the_key_of_a_job_that_kept_nothing_is_free_again(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct outcome first, second, third;
    struct host *host = start(state);
    struct workflow *workflow = host_publish(host, COUNTING("    guard: data.row.n > 0\n", ""));
    host_enqueue_keyed(host, workflow, "{\"id\":1}", "k", &first);
    runtime_fixture_wait(fixture);
    host_work(host);
    runtime_fixture_until(fixture, "SELECT count(*) FROM latchkey.job", 0);
    assert_sql_int(fixture, "SELECT count(*) FROM latchkey.idempotency_key", 0);
    fixture_exec(fixture->sql, "UPDATE counter SET n = 1");
    host_enqueue_keyed(host, workflow, "{\"id\":1}", "k", &second);
    runtime_fixture_wait(fixture);
    assert_outcome(&second, STATUS_QUEUED, "");
    assert_false(second.replayed);
    runtime_fixture_until(fixture, "SELECT n FROM counter WHERE id = 1", 2);
    host_submit_keyed(host, workflow, "{\"id\":1}", "k", &third);
    runtime_fixture_wait(fixture);
    assert_outcome(&third, STATUS_COMPLETED, "");
    assert_true(third.replayed);
    assert_string_equal(third.id, second.id);
    host_stop(host);
}

/* The job is dead: who brings the key runs it himself, under the id that was told. */
static void the_key_of_a_dead_job_is_gone_on_with(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct outcome queued, run, again;
    struct host *host = start(state);
    struct workflow *workflow = host_publish(host, COUNTING("", ""));
    host_enqueue_keyed(host, workflow, "{\"id\":1}", "k", &queued);
    runtime_fixture_wait(fixture);
    fixture_exec(fixture->sql, "UPDATE latchkey.job SET dead = true");
    host_submit_keyed(host, workflow, "{\"id\":1}", "k", &run);
    runtime_fixture_wait(fixture);
    assert_outcome(&run, STATUS_COMPLETED, "");
    assert_false(run.replayed);
    assert_string_equal(run.id, queued.id);
    /* the job is tried again by hand: its work is done */
    fixture_exec(fixture->sql, "UPDATE latchkey.job SET dead = false");
    host_work(host);
    runtime_fixture_until(fixture, "SELECT count(*) FROM latchkey.job", 0);
    host_submit_keyed(host, workflow, "{\"id\":1}", "k", &again);
    runtime_fixture_wait(fixture);
    assert_replays(&again, &run);
    assert_sql_int(fixture, "SELECT n FROM counter WHERE id = 1", 1);
    host_stop(host);
}

/* The key is queued between the run's look at it and its commit. */
static void a_key_that_is_queued_while_it_runs_is_used_once(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct outcome run, queued;
    struct host *host = start(state), *other = another(state);
    const char yaml[] = COUNTING("", "sleep(0.5)");
    struct workflow *workflow = host_publish(other, yaml);
    host_submit_keyed(host, host_publish(host, yaml), "{\"id\":1}", "k", &run);
    runtime_fixture_turn(fixture, 250);
    host_enqueue_keyed(other, workflow, "{\"id\":1}", "k", &queued);
    runtime_fixture_turn(fixture, 600);
    host_work(other);
    runtime_fixture_wait(fixture);
    assert_outcome(&queued, STATUS_QUEUED, "");
    assert_outcome(&run, STATUS_COMPLETED, "");
    assert_string_equal(run.id, queued.id);
    runtime_fixture_until(fixture, "SELECT count(*) FROM latchkey.job", 0);
    assert_sql_int(fixture, "SELECT n FROM counter WHERE id = 1", 1);
    host_stop(host);
    host_stop(other);
}

static void set_default(void **state, const char *setting)
{
    fixture_execf(((struct runtime_fixture *)*state)->sql,
                  "DO $$ BEGIN EXECUTE format('ALTER DATABASE %%I %s', current_database()); END $$",
                  setting);
}

static void queue_many_keys_from_two_hosts(void **state)
{
    enum { N = 200 };
    static struct outcome here[N], there[N];
    struct host *one = start(state), *two = another(state);
    const char yaml[] = COUNTING("", "");
    struct workflow *first = host_publish(one, yaml), *second = host_publish(two, yaml);
    char key[40];
    for (int i = 0; i < N; i++) {
        snprintf(key, sizeof key, "key %d", i);
        host_enqueue_keyed(one, first, "{\"id\":1}", key, &here[i]);
    }
    for (int i = N - 1; i >= 0; i--) {
        snprintf(key, sizeof key, "key %d", i);
        host_enqueue_keyed(two, second, "{\"id\":1}", key, &there[i]);
    }
    runtime_fixture_wait(*state);
    for (int i = 0; i < N; i++) {
        assert_outcome(&here[i], STATUS_QUEUED, "");
        assert_outcome(&there[i], STATUS_QUEUED, "");
        assert_string_equal(here[i].id, there[i].id);
    }
    assert_sql_int(*state, "SELECT count(*) FROM latchkey.job", N);
    host_stop(one);
    host_stop(two);
}

/* Two transactions bring the same keys in opposite orders. */
static void many_keys_are_queued_from_two_hosts_at_once(void **state)
{
    queue_many_keys_from_two_hosts(state);
    set_default(state, "SET default_transaction_isolation = ''repeatable read''");
    queue_many_keys_from_two_hosts(state);
    set_default(state, "RESET default_transaction_isolation");
}

static void what_is_queued_is_durable(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct outcome outcome;
    struct host *host = start(state); /* makes the tables */
    host_stop(host);
    set_default(state, "SET synchronous_commit = off");
    fixture_exec(fixture->sql, "CREATE TABLE seen (setting text);"
                               "CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
                               "INSERT INTO seen SELECT current_setting('synchronous_commit'); "
                               "RETURN NEW; END $$;"
                               "CREATE TRIGGER see AFTER INSERT ON latchkey.job FOR EACH ROW "
                               "EXECUTE FUNCTION see()");
    host = another(state);
    host_enqueue(host, host_publish(host, COUNTING("", "")), "{\"id\":1}", 0, &outcome);
    runtime_fixture_wait(fixture);
    assert_outcome(&outcome, STATUS_QUEUED, "");
    assert_sql_text(fixture, "SELECT setting FROM seen", "on");
    fixture_exec(fixture->sql, "DROP FUNCTION see CASCADE");
    set_default(state, "RESET synchronous_commit");
    host_stop(host);
}

int idempotency_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_key_gives_the_same_answer),
        cmocka_unit_test(another_input_is_invalid),
        cmocka_unit_test(a_wrong_key_is_invalid),
        cmocka_unit_test(many_at_once_are_one),
        cmocka_unit_test(the_second_does_not_even_begin),
        cmocka_unit_test(what_kept_nothing_is_not_recorded),
        cmocka_unit_test(who_comes_while_it_runs_waits_for_the_answer),
        cmocka_unit_test(an_instance_that_stopped_is_gone_on_with),
        cmocka_unit_test(the_instance_of_a_dead_host_is_gone_on_with),
        cmocka_unit_test(a_queued_one_is_queued_once),
        cmocka_unit_test(the_key_of_a_job_that_kept_nothing_is_free_again),
        cmocka_unit_test(the_key_of_a_dead_job_is_gone_on_with),
        cmocka_unit_test(a_key_that_is_queued_while_it_runs_is_used_once),
        cmocka_unit_test(many_keys_are_queued_from_two_hosts_at_once),
        cmocka_unit_test(what_is_queued_is_durable),
    };
    return cmocka_run_group_tests_name("idempotency", tests, runtime_fixture_setup,
                                       runtime_fixture_teardown);
}
