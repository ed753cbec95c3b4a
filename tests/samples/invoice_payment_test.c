#include "samples_tests.h"

#include "program.h"
#include "sample_database.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define FILES SAMPLES "/invoice-payment"

enum {
    CALLERS_MAX = 200,
    PAID = 0,
    LOCKED = 3,
    BLOCKED = 4,
};

static int set_up(void **state)
{
    return sample_database_set_up(state, "invoice-payment");
}

static int64_t payments(const struct sample_database *database, int invoice)
{
    char sql[96];
    snprintf(sql, sizeof sql, "SELECT count(*) FROM payment WHERE invoice_id = %d", invoice);
    return fixture_int(database->conn, sql);
}

static void start_caller(struct program *program, const char *file, int invoice)
{
    char input[64];
    snprintf(input, sizeof input, "{\"invoice_id\":%d}", invoice);
    const char *const arguments[] = {"run", file, "--input", input, "--json", "--quiet", NULL};
    program_start(program, arguments);
}

static void expect_status(const struct program *program, int exit_code, const char *status)
{
    program_expect(program, exit_code);
    json_t *result = program_json(program);
    assert_string_equal(json_string_value(json_object_get(result, "status")), status);
    json_decref(result);
}

/* The end of one caller; adds it to those that ended with its exit code. */
static void count_caller(struct program *program, int ended[BLOCKED + 1])
{
    program_wait(program);
    switch (program->exit_code) {
    case LOCKED: expect_status(program, LOCKED, "locked"); break;
    case BLOCKED: expect_status(program, BLOCKED, "blocked"); break;
    default: expect_status(program, PAID, "completed"); break;
    }
    ended[program->exit_code]++;
    program_done(program);
}

static void pay_at_once(const struct sample_database *database, const char *file, int n_callers,
                        int invoice)
{
    static struct program programs[CALLERS_MAX];
    int ended[BLOCKED + 1] = {0};
    for (int i = 0; i < n_callers; i++)
        start_caller(&programs[i], file, invoice);
    for (int i = 0; i < n_callers; i++)
        count_caller(&programs[i], ended);
    assert_int_equal(ended[PAID], 1);
    assert_int_equal(ended[LOCKED] + ended[BLOCKED], n_callers - 1);
    assert_int_equal(payments(database, invoice), 1);
}

/* In the first round the schema is not there yet, and nobody has published the definition. */
static void many_processes_pay_an_invoice_once(void **state)
{
    struct sample_database *database = *state;
    bool is_long = getenv("LATCHKEY_TEST_LONG") != NULL;
    int n_rounds = is_long ? 20 : 5;
    for (int round = 1; round <= n_rounds; round++) {
        pay_at_once(database, FILES "/invoice-payment.yaml", 100, round);
        if (is_long)
            pay_at_once(database, FILES "/invoice-payment.yaml", 200, 100 + round);
    }
}

static void many_processes_that_do_not_wait_pay_it_once_too(void **state)
{
    struct sample_database *database = *state;
    pay_at_once(database, FILES "/try-once.yaml", 30, 1);
}

/* Lets one caller come to the point of paying. */
static void start_first(const struct sample_database *database, struct program *first,
                        const char *file)
{
    sample_database_gate(database, "INSERT", "payment", "true");
    start_caller(first, file, 7);
    sample_database_await_gate(database, 1);
    assert_int_equal(fixture_int(database->conn,
                                 "SELECT count(*) FROM invoice WHERE id = 7 AND status = 'open'"),
                     1);
}

static void a_caller_who_saw_it_open_cannot_pay_it_again(void **state)
{
    struct sample_database *database = *state;
    struct program first, second;
    start_first(database, &first, FILES "/invoice-payment.yaml");
    start_caller(&second, FILES "/invoice-payment.yaml", 7);
    sample_database_await_locks(database, 1);
    sample_database_open_gate(database);
    program_wait(&first);
    program_wait(&second);
    expect_status(&first, PAID, "completed");
    expect_status(&second, BLOCKED, "blocked");
    program_done(&first);
    program_done(&second);
    assert_int_equal(payments(database, 7), 1);
}

static void a_caller_who_does_not_wait_is_told_so(void **state)
{
    struct sample_database *database = *state;
    struct program first, second;
    start_first(database, &first, FILES "/invoice-payment.yaml");
    start_caller(&second, FILES "/try-once.yaml", 7);
    program_wait(&second);
    expect_status(&second, LOCKED, "locked");
    program_done(&second);
    sample_database_open_gate(database);
    program_wait(&first);
    expect_status(&first, PAID, "completed");
    program_done(&first);
    assert_int_equal(payments(database, 7), 1);
}

static void without_the_lock_it_is_paid_twice(void **state)
{
    struct sample_database *database = *state;
    struct program first, second;
    start_first(database, &first, FILES "/unlocked.yaml");
    start_caller(&second, FILES "/unlocked.yaml", 7);
    sample_database_await_gate(database, 2);
    sample_database_open_gate(database);
    program_wait(&first);
    program_wait(&second);
    expect_status(&first, PAID, "completed");
    expect_status(&second, PAID, "completed");
    program_done(&first);
    program_done(&second);
    assert_int_equal(payments(database, 7), 2);
}

/* One that waits has opened all that it will. */
static void a_lone_run_has_at_most_three_connections(void **state)
{
    struct sample_database *database = *state;
    struct program first, second;
    start_first(database, &first, FILES "/invoice-payment.yaml");
    start_caller(&second, FILES "/invoice-payment.yaml", 7);
    sample_database_await_locks(database, 1);
    int64_t most = fixture_int(database->conn,
                               "SELECT max(n) FROM (SELECT count(*) AS n FROM pg_stat_activity"
                               " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                               " AND backend_type = 'client backend' GROUP BY application_name) s");
    assert_in_range(most, 1, 3);
    sample_database_open_gate(database);
    program_wait(&first);
    program_wait(&second);
    program_done(&first);
    program_done(&second);
}

/* A role that may have few connections: as a server that is full, the server says 53300. Callers
 * want more than there are, so some wait for one before they have any, and others hold one. */
static void a_full_server_is_waited_for_like_a_lock(void **state)
{
    struct sample_database *database = *state;
    char conninfo[2 * FIXTURE_CONNINFO_BYTES], role[64];
    fixture_text(database->conn, "SELECT 'few_' || current_database()", role, sizeof role);
    fixture_execf(
        database->conn,
        "CREATE ROLE %s LOGIN PASSWORD 'x' CONNECTION LIMIT 3;"
        "DO $$ BEGIN EXECUTE 'GRANT CREATE ON DATABASE ' || current_database() || ' TO %s';"
        " END $$; GRANT ALL ON ALL TABLES IN SCHEMA public TO %s;"
        "GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO %s",
        role, role, role, role);
    snprintf(conninfo, sizeof conninfo, "%s user=%s password=x", database->conninfo, role);
    setenv("LATCHKEY_DATABASE", conninfo, 1);
    pay_at_once(database, FILES "/invoice-payment.yaml", 20, 1);
    fixture_execf(database->conn, "DROP OWNED BY %s; DROP ROLE %s", role, role);
}

int invoice_payment_tests(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, sample_database_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(many_processes_pay_an_invoice_once),
        TEST(many_processes_that_do_not_wait_pay_it_once_too),
        TEST(a_caller_who_saw_it_open_cannot_pay_it_again),
        TEST(a_caller_who_does_not_wait_is_told_so),
        TEST(without_the_lock_it_is_paid_twice),
        TEST(a_lone_run_has_at_most_three_connections),
        TEST(a_full_server_is_waited_for_like_a_lock),
    };
    return cmocka_run_group_tests_name("invoice_payment", tests, NULL, NULL);
}
