#include "server_tests.h"

#include "program.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "pg_server_dir.h"

#include <stdio.h>
#include <sys/stat.h>

/* A directory for the server of one test. */
struct place {
    char directory[64];
    char data_dir[80];
};

static int set_up(void **state)
{
    struct place *place = calloc(1, sizeof *place);
    if (!place)
        return 1;
    snprintf(place->directory, sizeof place->directory, "/tmp/latchkey-test-XXXXXX");
    if (!mkdtemp(place->directory) || chmod(place->directory, 0711) != 0) {
        free(place);
        return 1;
    }
    snprintf(place->data_dir, sizeof place->data_dir, "%s/data", place->directory);
    *state = place;
    return 0;
}

static int tear_down(void **state)
{
    struct place *place = *state;
    struct program program;
    program_run(&program, "db", "stop", "--data-dir", place->data_dir);
    program_done(&program);
    pg_server_dir_remove_tree(place->directory);
    free(place);
    return 0;
}

static void it_starts_tells_its_url_and_stops(void **state)
{
    struct place *place = *state;
    struct program program;
    char *url;
    program_run(&program, "db", "url", "--data-dir", place->data_dir);
    program_expect(&program, 5);
    assert_string_equal(program.out, "");
    program_done(&program);
    program_run(&program, "db", "start", "--data-dir", place->data_dir);
    program_expect(&program, 0);
    url = strdup(program.out);
    assert_int_equal(strncmp(url, "host=", 5), 0);
    program_done(&program);
    program_run(&program, "db", "start", "--data-dir", place->data_dir, "--quiet");
    program_expect(&program, 0);
    assert_string_equal(program.out, url);
    assert_string_equal(program.err, "");
    program_done(&program);
    program_run(&program, "db", "url", "--data-dir", place->data_dir);
    program_expect(&program, 0);
    assert_string_equal(program.out, url);
    program_done(&program);
    free(url);
    program_run(&program, "db", "psql", "--data-dir", place->data_dir, "--", "-Atc", "select 41+1");
    program_expect(&program, 0);
    assert_string_equal(program.out, "42\n");
    program_done(&program);
    program_run(&program, "db", "stop", "--data-dir", place->data_dir, "--json");
    program_expect(&program, 0);
    assert_string_equal(program.out, "{\"stopped\":true}\n");
    program_done(&program);
    program_run(&program, "db", "stop", "--data-dir", place->data_dir);
    program_expect(&program, 0);
    program_expect_err(&program, "was not running");
    program_done(&program);
}

/* What a fresh clone does first: no database is named, so the embedded one is started, and the
 * tables of the sample are made in it, once. */
static void a_first_run_works_out_of_the_box(void **state)
{
    struct place *place = *state;
    struct program program;
    program_run(&program, "run", SAMPLES "/message-read/message-read.yaml", "--input",
                "{\"message_id\":1}", "--data-dir", place->data_dir, "--json");
    program_expect(&program, 0);
    program_expect_err(&program, "loaded the schema.sql beside");
    json_t *result = program_json(&program);
    assert_string_equal(json_string_value(json_object_get(result, "status")), "completed");
    json_decref(result);
    program_done(&program);
    program_run(&program, "run", SAMPLES "/message-read/message-read.yaml", "--input",
                "{\"message_id\":1}", "--data-dir", place->data_dir);
    program_expect(&program, 0);
    assert_null(strstr(program.err, "loaded"));
    program_done(&program);
    program_run(&program, "db", "psql", "--data-dir", place->data_dir, "--", "-Atc",
                "select read from message where id = 1");
    assert_string_equal(program.out, "2\n");
    program_done(&program);
}

/* The embedded role is called as the schema is, so PostgreSQL's usual search_path would put the
 * application's tables into latchkey's own schema once that exists. */
static void tables_of_the_application_stay_out_of_our_schema(void **state)
{
    struct place *place = *state;
    struct program program;
    program_run(&program, "migrate", "--data-dir", place->data_dir);
    program_expect(&program, 0);
    program_done(&program);
    program_run(&program, "run", SAMPLES "/message-read/message-read.yaml", "--input",
                "{\"message_id\":1}", "--data-dir", place->data_dir);
    program_expect(&program, 0);
    program_done(&program);
}

int command_db_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(it_starts_tells_its_url_and_stops, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_first_run_works_out_of_the_box, set_up, tear_down),
        cmocka_unit_test_setup_teardown(tables_of_the_application_stay_out_of_our_schema, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests_name("command_db", tests, NULL, NULL);
}
