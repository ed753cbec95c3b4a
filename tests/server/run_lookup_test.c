#include "server_tests.h"

#include "message_database.h"
#include "program.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "run_lookup.h"
#include "session.h"

#include <event2/event.h>

/* What a dead host left of one run, and what it counts as. */
static const struct {
    const char *name;
    const char *left; /* SQL; id() is the run's */
    enum execution_status status;
} cases[] = {
    {"nothing", "SELECT id()", STATUS_UNKNOWN},
    {"completed",
     "INSERT INTO latchkey.instance (id, workflow, version, activity, status, input)"
     " VALUES (id(), 'w', 1, 'a', 'completed', '{}')",
     STATUS_COMPLETED},
    {"idle",
     "INSERT INTO latchkey.instance (id, workflow, version, activity, status, input, wait_for)"
     " VALUES (id(), 'w', 1, 'a', 'idle', '{}', 'e')",
     STATUS_IDLE},
    {"failed later on",
     "INSERT INTO latchkey.instance (id, workflow, version, activity, status, input)"
     " VALUES (id(), 'w', 1, 'b', 'failed', '{}')",
     STATUS_FAILED},
    {"blocked later on",
     "INSERT INTO latchkey.instance (id, workflow, version, activity, status, input)"
     " VALUES (id(), 'w', 1, 'b', 'blocked', '{}')",
     STATUS_BLOCKED},
    {"in the middle: its first activity's row is no answer",
     "WITH i AS (INSERT INTO latchkey.instance (id, workflow, version, activity, status, input,"
     " process) VALUES (id(), 'w', 1, 'b', 'running', '{}', id()))"
     "INSERT INTO latchkey.execution (instance, workflow, version, activity, status, paths,"
     " waited_ms, held_ms, attempts, process)"
     " VALUES (id(), 'w', 1, 'a', 'completed', '{}', 0, 0, 1, id())",
     STATUS_UNKNOWN},
    {"locked later on, a job goes on",
     "WITH i AS (INSERT INTO latchkey.instance (id, workflow, version, activity, status, input)"
     " VALUES (id(), 'w', 1, 'b', 'running', '{}'))"
     "INSERT INTO latchkey.execution (instance, workflow, version, activity, status, paths,"
     " waited_ms, held_ms, attempts, process)"
     " VALUES (id(), 'w', 1, 'a', 'completed', '{}', 0, 0, 1, id()),"
     " (id(), 'w', 1, 'b', 'locked', '{}', 0, 0, 1, id())",
     STATUS_LOCKED},
    {"taken over: a job goes on",
     "WITH i AS (INSERT INTO latchkey.instance (id, workflow, version, activity, status, input)"
     " VALUES (id(), 'w', 1, 'b', 'running', '{}'))"
     "INSERT INTO latchkey.execution (instance, workflow, version, activity, status, paths,"
     " waited_ms, held_ms, attempts, process)"
     " VALUES (id(), 'w', 1, 'a', 'completed', '{}', 0, 0, 1, id())",
     STATUS_UNKNOWN},
    {"locked at first",
     "INSERT INTO latchkey.execution (instance, workflow, version, activity, status, paths,"
     " waited_ms, held_ms, attempts, process)"
     " VALUES (id(), 'w', 1, 'a', 'locked', '{}', 0, 0, 1, id())",
     STATUS_LOCKED},
    {"queued",
     "INSERT INTO latchkey.job (id, kind, workflow, instance, input)"
     " VALUES (id(), 'start', 'w', id(), '{}')",
     STATUS_QUEUED},
};

static void what_a_dead_host_left_tells_how_its_runs_ended(void **state)
{
    struct message_database *database = *state;
    struct event_base *base = session_new_loop();
    struct run_lookup lookup = {.base = base, .conninfo = database->conninfo, .schema = "latchkey"};
    struct uuid_source ids = {0};
    const char *none = NULL;
    struct program program;
    program_run(&program, "migrate");
    program_expect(&program, 0);
    program_done(&program);
    fixture_exec(database->conn, "CREATE FUNCTION id() RETURNS uuid LANGUAGE sql AS"
                                 " $$SELECT pg_catalog.current_setting('test.id')::uuid$$");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct run_handed handed = {.seq = 1};
        struct run_handed_list list = TAILQ_HEAD_INITIALIZER(list);
        struct run_totals *totals = calloc(1, sizeof *totals);
        assert_non_null(totals);
        uuid_draw(&ids, handed.id);
        TAILQ_INSERT_TAIL(&list, &handed, link);
        fixture_execf(database->conn, "SET test.id = '%s'", handed.id);
        fixture_exec(database->conn, cases[i].left);
        run_lookup(&lookup, &none, &list, totals);
        if (totals->counts[cases[i].status] != 1)
            print_error("%s\n", cases[i].name);
        assert_int_equal(totals->counts[cases[i].status], 1);
        assert_int_equal(run_totals_count(totals), 1);
        free(totals);
    }
    event_base_free(base);
}

int run_lookup_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_a_dead_host_left_tells_how_its_runs_ended,
                                        message_database_set_up, message_database_tear_down),
    };
    return cmocka_run_group_tests_name("run lookup", tests, NULL, NULL);
}
