#include "server_tests.h"

#include "message_database.h"
#include "program.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MESSAGE_READ SAMPLES "/message-read/message-read.yaml"
#define NOBODY "00000000-0000-7000-8000-000000000000"

static void a_queued_run_is_a_job(void **state)
{
    struct message_database *database = *state;
    json_t *result = program_answer(0, "run", MESSAGE_READ, "--input", "{\"message_id\":7}",
                                    "--queue", "--json");
    assert_string_equal(program_member(result, "status"), "queued");
    json_t *jobs = program_answer(0, "jobs", "--json");
    assert_int_equal(json_array_size(jobs), 1);
    const json_t *job = json_array_get(jobs, 0);
    assert_string_equal(program_member(job, "instance"), program_member(result, "id"));
    assert_string_equal(program_member(job, "workflow"), "message-read");
    assert_true(json_is_false(json_object_get(job, "dead")));
    json_decref(jobs);
    json_decref(result);
    assert_int_equal(fixture_int(database->conn, "SELECT read FROM message WHERE id = 7"), 0);
}

static void queued_runs_are_counted(void **state)
{
    struct message_database *database = *state;
    json_t *totals = program_answer(0, "run", MESSAGE_READ, "--vary", "message_id=1..9", "--queue",
                                    "--count", "300", "--json");
    assert_int_equal(json_integer_value(json_object_get(totals, "queued")), 300);
    json_decref(totals);
    totals = program_answer(0, "run", MESSAGE_READ, "--vary", "message_id=1..9", "--queue",
                            "--count", "100", "--hosts", "2", "--json");
    assert_int_equal(json_integer_value(json_object_get(totals, "queued")), 100);
    json_decref(totals);
    assert_int_equal(fixture_int(database->conn, "SELECT count(*) FROM latchkey.job"), 400);
    json_t *jobs = program_answer(0, "jobs", "--json");
    assert_int_equal(json_array_size(jobs), 100); /* the default limit */
    json_decref(jobs);
}

static void bad_input_is_not_queued(void **state)
{
    struct message_database *database = *state;
    json_decref(program_answer(2, "run", MESSAGE_READ, "--input", "{\"message_id\":\"x\"}",
                               "--queue", "--json"));
    json_decref(program_answer(0, "run", MESSAGE_READ, "--input", "{\"message_id\":1}", "--json"));
    assert_int_equal(fixture_int(database->conn, "SELECT count(*) FROM latchkey.job"), 0);
}

static void a_dead_job_is_listed_and_may_run_again(void **state)
{
    struct message_database *database = *state;
    struct program program;
    json_decref(program_answer(0, "run", MESSAGE_READ, "--input", "{\"message_id\":7}", "--queue",
                               "--json"));
    json_decref(program_answer(0, "run", MESSAGE_READ, "--input", "{\"message_id\":8}", "--queue",
                               "--json"));
    fixture_exec(database->conn,
                 "UPDATE latchkey.job SET dead = true, attempts = 5, last_status = 'failed',"
                 " last_error = 'no luck' WHERE input ->> 'message_id' = '7'");
    json_t *jobs = program_answer(0, "jobs", "--dead", "--json");
    assert_int_equal(json_array_size(jobs), 1);
    char id[64];
    strcpy(id, program_member(json_array_get(jobs, 0), "id"));
    json_decref(jobs);
    program_run(&program, "jobs", "--dead");
    program_expect(&program, 0);
    assert_non_null(strstr(program.out, "dead"));
    assert_non_null(strstr(program.out, "no luck"));
    program_done(&program);
    json_t *retried = program_answer(0, "jobs", "--retry", id, "--json");
    assert_string_equal(program_member(retried, "status"), "queued");
    json_decref(retried);
    assert_int_equal(fixture_int(database->conn, "SELECT count(*) FROM latchkey.job"
                                                 " WHERE NOT dead AND attempts = 0"),
                     2);
    json_t *alive = program_answer(4, "jobs", "--retry", id, "--json");
    assert_string_equal(program_member(alive, "status"), "blocked");
    json_decref(alive);
    json_decref(program_answer(5, "jobs", "--retry", NOBODY, "--json"));
    program_run(&program, "jobs", "--retry", "seven");
    program_expect(&program, 2);
    program_expect_err(&program, "--retry wants an id");
    program_done(&program);
}

int command_jobs_tests(void)
{
#define TEST(name)                                                                                 \
    cmocka_unit_test_setup_teardown(name, message_database_set_up, message_database_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_queued_run_is_a_job),
        TEST(queued_runs_are_counted),
        TEST(bad_input_is_not_queued),
        TEST(a_dead_job_is_listed_and_may_run_again),
    };
#undef TEST
    return cmocka_run_group_tests_name("command jobs", tests, NULL, NULL);
}
