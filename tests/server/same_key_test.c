/* One idempotency key from many processes at once. */
#include "server_tests.h"

#include "message_database.h"
#include "program.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum {
    PROCESSES_MAX = 50,
    PROCESSES_SHORT = 12,
};

/* Its output is drawn, so equal answers are one answer; it sleeps, so that all arrive meanwhile. */
static const char ONCE[] = "workflow: once\n"
                           "data:\n"
                           "  message: {table: message, key: {id: '7'}}\n"
                           "start: a\n"
                           "activities:\n"
                           "  a:\n"
                           "    script: |\n"
                           "      sleep(0.5)\n"
                           "      vars.drawn = uuid()\n"
                           "    navigation: [{to: b}]\n"
                           "  b:\n"
                           "    script: |\n"
                           "      data.message.read = data.message.read + 1\n"
                           "      output.drawn = vars.drawn\n";

static void one_key_from_many_processes_is_one_execution(void **state)
{
    struct message_database *database = *state;
    struct program programs[PROCESSES_MAX], publish;
    int n = getenv("LATCHKEY_TEST_LONG") ? PROCESSES_MAX : PROCESSES_SHORT, n_first = 0;
    char *file = program_file(ONCE);
    json_t *answer = NULL;
    program_run(&publish, "publish", file);
    program_expect(&publish, 0);
    program_done(&publish);
    for (int i = 0; i < n; i++)
        program_start(&programs[i],
                      (const char *const[]){"run", "once", "--key", "the key", "--json", NULL});
    for (int i = 0; i < n; i++) {
        program_wait(&programs[i]);
        program_expect(&programs[i], 0);
        json_t *result = program_json(&programs[i]);
        n_first += json_is_false(json_object_get(result, "replayed"));
        json_object_del(result, "replayed");
        if (!answer)
            answer = json_incref(result);
        if (!json_equal(answer, result))
            assert_string_equal(programs[i].out, programs[0].out);
        json_decref(result);
        program_done(&programs[i]);
    }
    assert_int_equal(n_first, 1);
    assert_string_equal(program_member(answer, "status"), "completed");
    json_decref(answer);
    assert_int_equal(fixture_int(database->conn, "SELECT read FROM message WHERE id = 7"), 1);
    assert_int_equal(fixture_int(database->conn, "SELECT count(*) FROM latchkey.instance"), 1);
    assert_int_equal(fixture_int(database->conn, "SELECT count(*) FROM latchkey.execution"), 2);
    unlink(file);
    free(file);
}

int same_key_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_key_from_many_processes_is_one_execution,
                                        message_database_set_up, message_database_tear_down),
    };
    return cmocka_run_group_tests_name("same key", tests, NULL, NULL);
}
