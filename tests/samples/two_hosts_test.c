/* Every command is a host process of its own, which knows nothing but what the database says. */
#include "samples_tests.h"

#include "program.h"
#include "sample_database.h"
#include "uuid.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define FILES SAMPLES "/two-hosts"

enum {
    CALLERS = 20,
    OK = 0,
    BLOCKED = 4,
};

static int set_up(void **state)
{
    return sample_database_set_up(state, "two-hosts");
}

static void expect_rows(const struct sample_database *database, const char *expected)
{
    char rows[256];
    fixture_text(database->conn,
                 "SELECT status || ':' || coalesce((SELECT string_agg(n || ' ' || text, ', '"
                 " ORDER BY n) FROM ticket_message WHERE ticket_id = 7), '')"
                 " FROM ticket WHERE id = 7",
                 rows, sizeof rows);
    assert_string_equal(rows, expected);
}

static void expect_state_version(const struct sample_database *database, int version)
{
    assert_int_equal(fixture_int(database->conn, "SELECT state_version FROM latchkey.instance"),
                     version);
}

static void open_ticket(char id[UUID_TEXT_BYTES])
{
    json_t *result = program_answer(OK, "run", FILES "/two-hosts.yaml", "--input",
                                    "{\"ticket_id\":7}", "--json", "--quiet");
    assert_string_equal(program_member(result, "status"), "idle");
    snprintf(id, UUID_TEXT_BYTES, "%s", program_member(result, "id"));
    json_decref(result);
}

/* The one that is open, as another process sees it: yours to json_decref. */
static json_t *open_instance(void)
{
    json_t *list = program_answer(OK, "instances", "--json");
    assert_int_equal(json_array_size(list), 1);
    json_t *instance = json_incref(json_array_get(list, 0));
    json_decref(list);
    return instance;
}

static void expect_none_open(void)
{
    json_t *list = program_answer(OK, "instances", "--json");
    assert_int_equal(json_array_size(list), 0);
    json_decref(list);
}

static void start_send(struct program *program, const char *id, const char *payload)
{
    program_start(program, (const char *const[]){"send", id, "message", "--payload", payload,
                                                 "--json", NULL});
}

static void expect_answer(struct program *program, const char *status, const char *reason)
{
    program_expect(program, strcmp(status, "blocked") == 0 ? BLOCKED : OK);
    json_t *result = program_json(program);
    assert_string_equal(program_member(result, "status"), status);
    assert_string_equal(program_member(result, "reason"), reason);
    json_decref(result);
    program_done(program);
}

static void expect_sent(const char *id, const char *payload, const char *status, const char *reason)
{
    struct program program;
    start_send(&program, id, payload);
    program_wait(&program);
    expect_answer(&program, status, reason);
}

#define IT_IS_COMPLETED "the instance does not take event 'message' now: it is completed"

static void each_message_meets_the_true_state(void **state)
{
    struct sample_database *database = *state;
    char id[UUID_TEXT_BYTES];
    /* 1: host one creates it */
    open_ticket(id);
    expect_rows(database, "open:");
    /* 2: host two finds it */
    json_t *seen_by_two = open_instance();
    assert_string_equal(program_member(seen_by_two, "id"), id);
    assert_string_equal(program_member(seen_by_two, "status"), "idle");
    assert_string_equal(program_member(seen_by_two, "wait_for"), "message");
    /* 3: host one sends a message */
    expect_sent(id, "{\"text\":\"first\"}", "idle", "");
    expect_rows(database, "open:1 first");
    json_t *seen_by_one = open_instance();
    assert_int_equal(json_integer_value(json_object_get(seen_by_one, "state_version")),
                     json_integer_value(json_object_get(seen_by_two, "state_version")) + 1);
    /* 4: host two, who has seen it before that message, closes it */
    expect_sent(program_member(seen_by_two, "id"), "{\"text\":\"second\",\"close\":true}",
                "completed", "");
    expect_rows(database, "closed:1 first, 2 second");
    expect_none_open();
    /* 5: host one, who has seen it open, sends another */
    expect_sent(program_member(seen_by_one, "id"), "{\"text\":\"third\"}", "blocked",
                IT_IS_COMPLETED);
    expect_rows(database, "closed:1 first, 2 second");
    expect_state_version(database, 3);
    json_decref(seen_by_two);
    json_decref(seen_by_one);
}

static void history_tells_who_did_what(void **state)
{
    static const char *const expected[][2] = {
        {"open", "idle"}, {"take", "idle"}, {"take", "completed"}};
    char id[UUID_TEXT_BYTES];
    (void)state;
    open_ticket(id);
    expect_sent(id, "{\"text\":\"first\"}", "idle", "");
    expect_sent(id, "{\"text\":\"second\",\"close\":true}", "completed", "");
    expect_sent(id, "{\"text\":\"third\"}", "blocked", IT_IS_COMPLETED);
    json_t *history = program_answer(OK, "history", id, "--json");
    assert_int_equal(json_array_size(history), 3); /* the third met nothing that ran */
    for (size_t i = 0; i < 3; i++) {
        const json_t *row = json_array_get(history, i);
        assert_string_equal(program_member(row, "activity"), expected[i][0]);
        assert_string_equal(program_member(row, "status"), expected[i][1]);
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(program_member(row, "process"),
                                    program_member(json_array_get(history, j), "process"));
    }
    json_decref(history);
}

static void an_old_picture_that_is_told_of_is_refused(void **state)
{
    struct sample_database *database = *state;
    char id[UUID_TEXT_BYTES];
    open_ticket(id);
    expect_sent(id, "{\"text\":\"first\"}", "idle", "");
    expect_sent(id, "{\"text\":\"second\",\"close\":true,\"seen\":0}", "blocked",
                "the guard said no");
    expect_rows(database, "open:1 first");
    expect_state_version(database, 2);
    json_t *instance = open_instance(); /* and it can still be closed */
    assert_string_equal(program_member(instance, "status"), "idle");
    json_decref(instance);
    expect_sent(id, "{\"text\":\"second\",\"close\":true,\"seen\":1}", "completed", "");
    expect_rows(database, "closed:1 first, 2 second");
    expect_none_open();
}

/* Step 5 begins while step 4 is in the middle of it: what it meets is what step 4 has left. */
static void a_message_behind_the_one_that_closes_meets_a_closed_ticket(void **state)
{
    struct sample_database *database = *state;
    struct program closing, late;
    char id[UUID_TEXT_BYTES];
    open_ticket(id);
    expect_sent(id, "{\"text\":\"first\"}", "idle", "");
    sample_database_gate(database, "INSERT", "ticket_message", "true");
    start_send(&closing, id, "{\"text\":\"second\",\"close\":true}");
    sample_database_await_gate(database, 1);
    start_send(&late, id, "{\"text\":\"third\"}");
    sample_database_await_locks(database, 1);
    sample_database_open_gate(database);
    program_wait(&closing);
    program_wait(&late);
    expect_answer(&closing, "completed", "");
    expect_answer(&late, "blocked", IT_IS_COMPLETED);
    expect_rows(database, "closed:1 first, 2 second");
    expect_state_version(database, 3);
}

/* The other way round: what closes comes behind a message, and takes nothing of it away. */
static void what_closes_behind_a_message_keeps_it(void **state)
{
    struct sample_database *database = *state;
    struct program first, closing;
    char id[UUID_TEXT_BYTES];
    open_ticket(id);
    sample_database_gate(database, "INSERT", "ticket_message", "true");
    start_send(&first, id, "{\"text\":\"first\"}");
    sample_database_await_gate(database, 1);
    start_send(&closing, id, "{\"text\":\"second\",\"close\":true}");
    sample_database_await_locks(database, 1);
    sample_database_open_gate(database);
    program_wait(&first);
    program_wait(&closing);
    expect_answer(&first, "idle", "");
    expect_answer(&closing, "completed", "");
    expect_rows(database, "closed:1 first, 2 second");
    expect_state_version(database, 3);
    expect_none_open();
}

static void of_many_that_close_it_one_does(void **state)
{
    struct sample_database *database = *state;
    struct program programs[CALLERS];
    char id[UUID_TEXT_BYTES];
    int n_completed = 0;
    open_ticket(id);
    for (int i = 0; i < CALLERS; i++)
        start_send(&programs[i], id, "{\"text\":\"closed\",\"close\":true}");
    for (int i = 0; i < CALLERS; i++) {
        program_wait(&programs[i]);
        bool completed = programs[i].exit_code == OK;
        n_completed += completed;
        expect_answer(&programs[i], completed ? "completed" : "blocked",
                      completed ? "" : IT_IS_COMPLETED);
    }
    assert_int_equal(n_completed, 1);
    expect_rows(database, "closed:1 closed");
    expect_state_version(database, 2);
}

int two_hosts_tests(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, sample_database_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(each_message_meets_the_true_state),
        TEST(history_tells_who_did_what),
        TEST(an_old_picture_that_is_told_of_is_refused),
        TEST(a_message_behind_the_one_that_closes_meets_a_closed_ticket),
        TEST(what_closes_behind_a_message_keeps_it),
        TEST(of_many_that_close_it_one_does),
    };
#undef TEST
    return cmocka_run_group_tests_name("two_hosts", tests, NULL, NULL);
}
