/* Tables with row security: what a policy hides or refuses ends as it would have ended after a
 * load, also for who runs on what it remembers. */
#include "early_desk.h"
#include "runtime_tests.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define GUEST "latchkey_security_guest"

enum {
    N_TOGETHER = 8,
    YAML_BYTES = 1000,
    TABLES_BYTES = 2000,
};

/* A host that remembers row 1, as early_desk.h has it, and one that remembers nothing. Both are the
 * guest, whom the policies are for; the tests' own sessions are not subject to them. */
struct scene {
    struct early_desk desk;
    char conninfo[FIXTURE_CONNINFO_BYTES + 64];
    struct host *plain;
    struct workflow *plain_workflow;
};

#define SECURE "ALTER TABLE counter ENABLE ROW LEVEL SECURITY;"
#define POLICY(more) SECURE "CREATE POLICY p ON counter " more ";"
#define OWN_ROWS POLICY("USING (owner = current_user)")
#define OPEN_ROWS POLICY("USING (NOT EXISTS (SELECT FROM closed c WHERE c.id = counter.id))")
#define SEEN_BUT_CLOSED                                                                            \
    SECURE                                                                                         \
    "CREATE POLICY seen ON counter FOR SELECT USING (true);"                                       \
    "CREATE POLICY p ON counter FOR UPDATE"                                                        \
    " USING (NOT EXISTS (SELECT FROM closed c WHERE c.id = counter.id)) WITH CHECK (true);"

/* more: further lines of the activity. */
#define COUNT_TOLD(more)                                                                           \
    FLOW FLOW_STEP("a", FLOW_CONTEXT, more, "data.row.n = data.row.n + 1; output.n = data.row.n")

static void scene_open(struct scene *scene, void **state, const char *policies, const char *yaml)
{
    char tables[TABLES_BYTES];
    struct runtime_fixture *fixture = *state;
    struct runtime_options options = early_desk_options(state);
    snprintf(tables, sizeof tables,
             FLOW_TABLES "ALTER TABLE counter ADD owner text NOT NULL DEFAULT '" GUEST "';"
                         "CREATE TABLE closed (id integer); %s"
                         "GRANT USAGE ON SCHEMA public TO " GUEST ";"
                         "GRANT ALL ON ALL TABLES IN SCHEMA public TO " GUEST,
             policies);
    snprintf(scene->conninfo, sizeof scene->conninfo, "%s user=" GUEST, fixture->conninfo);
    options.conninfo = scene->conninfo;
    early_desk_open_with(&scene->desk, state, tables, yaml, &options);
    options.row_memory_us = 0;
    scene->plain = host_start(fixture, &options);
    scene->plain_workflow = host_publish(scene->plain, yaml);
}

/* n: of row 1. */
static void scene_close(struct scene *scene, int n)
{
    struct runtime_fixture *fixture = scene->desk.fixture;
    PQfinish(scene->desk.other);
    assert_nothing_held(fixture);
    assert_sql_int(fixture, "SELECT n FROM counter WHERE id = 1", n);
    assert_sql_int(fixture, "SELECT sum(n) FROM counter",
                   fixture_int(fixture->sql, "SELECT count(*) FROM latchkey.instance WHERE status ="
                                             " 'completed'"));
    host_stop(scene->plain);
    host_stop(scene->desk.host);
}

static struct outcome run_plain(struct scene *scene)
{
    struct outcome outcome;
    host_submit(scene->plain, scene->plain_workflow, "{\"id\":1}", &outcome);
    runtime_fixture_wait(scene->desk.fixture);
    return outcome;
}

/* The one that would be early ends so, and so does one that is not; nothing is told of the row. */
static void both_end(struct scene *scene, enum execution_status status, const char *reason)
{
    struct outcome early = early_desk_run(&scene->desk), plain = run_plain(scene);
    assert_outcome(&early, status, reason);
    assert_outcome(&plain, status, reason);
    assert_string_equal(early.reason, plain.reason);
    assert_string_equal(early.output, plain.output);
    assert_int_equal(early.attempts, plain.attempts);
    assert_string_equal(early.output, "");
    assert_int_equal(early_desk_n_early(&scene->desk), 1);
    assert_int_equal(early_desk_n_missed(&scene->desk), 1); /* it was tried */
}

/* Ids 1 to N_TOGETHER at once, so that they share transactions. */
static void run_together(struct scene *scene, struct outcome outcomes[N_TOGETHER])
{
    for (int i = 0; i < N_TOGETHER; i++)
        host_submitf(scene->desk.host, scene->desk.workflow, &outcomes[i], "{\"id\":%d}", i + 1);
    runtime_fixture_wait(scene->desk.fixture);
}

/* Row 1 ends so, and none of the others knows of it. */
static void neighbours_complete(struct scene *scene, enum execution_status status,
                                const char *reason)
{
    struct outcome outcomes[N_TOGETHER];
    run_together(scene, outcomes);
    assert_outcome(&outcomes[0], status, reason);
    assert_string_equal(outcomes[0].output, "");
    assert_int_equal(count_outcomes(outcomes + 1, N_TOGETHER - 1, STATUS_COMPLETED),
                     N_TOGETHER - 1);
    assert_sql_int(scene->desk.fixture, "SELECT count(*) FROM counter WHERE n = 1", N_TOGETHER - 1);
}

/* ---- what the policy allows ---- */

static void a_row_that_its_policy_shows_is_counted_early_too(void **state)
{
    enum { ROUNDS = 10 };
    struct scene scene;
    scene_open(&scene, state, OWN_ROWS, COUNT_TOLD(""));
    for (int i = 0; i < ROUNDS; i++) {
        char wanted[32];
        struct outcome outcome = early_desk_run(&scene.desk);
        assert_outcome(&outcome, STATUS_COMPLETED, "");
        snprintf(wanted, sizeof wanted, "{\"n\":%d}", 4 + i);
        assert_string_equal(outcome.output, wanted);
    }
    assert_int_equal(early_desk_n_early(&scene.desk), 1 + ROUNDS);
    assert_int_equal(early_desk_n_missed(&scene.desk), 0);
    scene_close(&scene, 3 + ROUNDS);
}

static void two_hosts_under_a_policy_lose_no_update(void **state)
{
    enum { ROUNDS = 10 };
    struct scene scene;
    scene_open(&scene, state, OWN_ROWS, COUNT_TOLD(""));
    for (int i = 0; i < ROUNDS; i++) {
        struct outcome early, plain;
        host_submit(scene.desk.host, scene.desk.workflow, "{\"id\":1}", &early);
        if (i % 3)
            runtime_fixture_wait(scene.desk.fixture);
        host_submit(scene.plain, scene.plain_workflow, "{\"id\":1}", &plain);
        runtime_fixture_wait(scene.desk.fixture);
        assert_outcome(&early, STATUS_COMPLETED, "");
        assert_outcome(&plain, STATUS_COMPLETED, "");
    }
    scene_close(&scene, 3 + 2 * ROUNDS);
}

/* Row 1 several times, and rows beside it. */
static void a_batch_under_a_policy_counts_each(void **state)
{
    enum { EACH = 4, N = 4 * EACH };
    struct scene scene;
    struct outcome outcomes[N];
    scene_open(&scene, state, OWN_ROWS, COUNT_TOLD(""));
    fixture_exec(scene.desk.other, "DELETE FROM latchkey.commit_mark");
    for (int i = 0; i < N; i++)
        host_submitf(scene.desk.host, scene.desk.workflow, &outcomes[i], "{\"id\":%d}", 1 + i % 4);
    runtime_fixture_wait(scene.desk.fixture);
    assert_int_equal(count_outcomes(outcomes, N, STATUS_COMPLETED), N);
    assert_true(fixture_int(scene.desk.other, "SELECT count(*) FROM latchkey.commit_mark") < N);
    assert_sql_int(scene.desk.fixture, "SELECT count(*) FROM counter WHERE n = 4", EACH - 1);
    scene_close(&scene, 3 + EACH);
}

/* ---- what is no longer seen ---- */

static const struct {
    const char *policies, *change; /* only the first of them writes the row */
} hidings[] = {
    {OWN_ROWS, "UPDATE counter SET owner = 'somebody' WHERE id = 1"},
    {OPEN_ROWS, "INSERT INTO closed VALUES (1)"},
    {OWN_ROWS, "ALTER POLICY p ON counter USING (id > 1)"},
    {OWN_ROWS, "CREATE POLICY q ON counter AS RESTRICTIVE FOR SELECT USING (id > 1)"},
    {OWN_ROWS, "DROP POLICY p ON counter"},
    {/* none */ "", SECURE},
};

static void a_row_that_is_hidden_meanwhile_is_missing(void **state)
{
    for (size_t i = 0; i < sizeof hidings / sizeof *hidings; i++) {
        struct scene scene;
        scene_open(&scene, state, hidings[i].policies, COUNT_TOLD(""));
        fixture_exec(scene.desk.other, hidings[i].change);
        both_end(&scene, STATUS_MISSING, "no such row");
        scene_close(&scene, 3);
    }
}

/* The script has run on the row by then, and its save stands before the table. */
static void a_policy_that_changes_while_the_save_waits_hides_the_row(void **state)
{
    struct scene scene;
    struct outcome outcome;
    scene_open(&scene, state, OWN_ROWS, COUNT_TOLD(""));
    fixture_exec(scene.desk.other, "BEGIN; ALTER POLICY p ON counter USING (id > 1)");
    host_submit(scene.desk.host, scene.desk.workflow, "{\"id\":1}", &outcome);
    early_desk_until_somebody_waits(&scene.desk);
    fixture_exec(scene.desk.other, "COMMIT");
    runtime_fixture_wait(scene.desk.fixture);
    assert_outcome(&outcome, STATUS_MISSING, "no such row");
    assert_string_equal(outcome.output, "");
    assert_int_equal(early_desk_n_early(&scene.desk), 1);
    scene_close(&scene, 3);
}

static void a_row_that_is_shown_again_is_counted_again(void **state)
{
    struct scene scene;
    scene_open(&scene, state, OPEN_ROWS, COUNT_TOLD(""));
    fixture_exec(scene.desk.other, "INSERT INTO closed VALUES (1)");
    both_end(&scene, STATUS_MISSING, "no such row");
    fixture_exec(scene.desk.other, "DELETE FROM closed; UPDATE counter SET n = n WHERE id = 1");
    early_desk_run_well(&scene.desk);
    scene_close(&scene, 4);
}

static void neighbours_of_a_hidden_row_complete(void **state)
{
    struct scene scene;
    scene_open(&scene, state, OPEN_ROWS, COUNT_TOLD(""));
    fixture_exec(scene.desk.other, "INSERT INTO closed VALUES (1)");
    neighbours_complete(&scene, STATUS_MISSING, "no such row");
    scene_close(&scene, 3);
}

/* ---- what is refused ---- */

#define NOT_FOUR POLICY("USING (true) WITH CHECK (n <> 4)")

static void values_that_the_policy_refuses_fail_at_once(void **state)
{
    struct scene scene;
    scene_open(&scene, state, NOT_FOUR, COUNT_TOLD(""));
    both_end(&scene, STATUS_FAILED, "row-level security");
    fixture_exec(scene.desk.other, "ALTER POLICY p ON counter WITH CHECK (true)");
    early_desk_run_well(&scene.desk);
    scene_close(&scene, 4);
}

/* The values leave what may be seen. */
static void a_row_that_would_hide_itself_fails_at_once(void **state)
{
    struct scene scene;
    scene_open(&scene, state,
               SECURE "CREATE POLICY seen ON counter FOR SELECT USING (n <> 4);"
                      "CREATE POLICY p ON counter FOR UPDATE USING (true) WITH CHECK (true);",
               COUNT_TOLD(""));
    both_end(&scene, STATUS_FAILED, "row-level security");
    scene_close(&scene, 3);
}

static void neighbours_of_refused_values_complete(void **state)
{
    struct scene scene;
    scene_open(&scene, state, NOT_FOUR, COUNT_TOLD(""));
    neighbours_complete(&scene, STATUS_FAILED, "row-level security");
    scene_close(&scene, 3);
}

/* What it looks at is the row, which another has changed: that one's values are fine. */
static void values_of_a_row_that_is_another_are_not_refused(void **state)
{
    struct scene scene;
    scene_open(&scene, state, NOT_FOUR, COUNT_TOLD(""));
    fixture_exec(scene.desk.other, "UPDATE counter SET n = 50 WHERE id = 1");
    struct outcome outcome = early_desk_run(&scene.desk);
    assert_outcome(&outcome, STATUS_COMPLETED, "");
    assert_string_equal(outcome.output, "{\"n\":51}");
    fixture_exec(scene.desk.other, "UPDATE counter SET n = n - 47 WHERE id = 1");
    scene_close(&scene, 4);
}

/* A policy that raises does so at the load, or at the save of one that is early. */
static void a_policy_that_raises_is_told(void **state)
{
    struct scene scene;
    scene_open(&scene, state, OPEN_ROWS, COUNT_TOLD(""));
    fixture_exec(scene.desk.other, "CREATE FUNCTION no(integer) RETURNS boolean LANGUAGE plpgsql AS"
                                   " $$BEGIN RAISE EXCEPTION 'not today'; END$$;"
                                   "ALTER POLICY p ON counter USING (no(id))");
    both_end(&scene, STATUS_FAILED, "not today");
    scene_close(&scene, 3);
}

static void who_lost_the_right_to_the_table_fails_at_once(void **state)
{
    struct scene scene;
    scene_open(&scene, state, OWN_ROWS, COUNT_TOLD(""));
    fixture_exec(scene.desk.other, "REVOKE SELECT ON counter FROM " GUEST);
    both_end(&scene, STATUS_FAILED, "permission denied");
    scene_close(&scene, 3);
}

/* ---- what may be seen and not changed ---- */

static void a_row_that_may_only_be_seen_is_a_conflict(void **state)
{
    struct scene scene;
    scene_open(&scene, state, SEEN_BUT_CLOSED, COUNT_TOLD("    on-conflict: fail\n"));
    fixture_exec(scene.desk.other, "INSERT INTO closed VALUES (1)");
    both_end(&scene, STATUS_CONFLICT, "rows changed by somebody else");
    scene_close(&scene, 3);
}

/* Until its time is spent, like any other conflict. */
static void a_row_that_may_only_be_seen_is_tried_again(void **state)
{
    static const char *const kinds[] = {"retry", "overwrite"};
    for (int i = 0; i < 2; i++) {
        struct scene scene;
        struct outcome early, plain;
        char yaml[YAML_BYTES];
        snprintf(yaml, sizeof yaml,
                 COUNT_TOLD("    on-conflict: %s\n    acquire-timeout: 0s\n"
                            "    waiting-timeout: 1500ms\n"),
                 kinds[i]);
        scene_open(&scene, state, SEEN_BUT_CLOSED, yaml);
        fixture_exec(scene.desk.other, "INSERT INTO closed VALUES (1), (2)");
        host_submit(scene.desk.host, scene.desk.workflow, "{\"id\":1}", &early);
        host_submit(scene.plain, scene.plain_workflow, "{\"id\":2}", &plain);
        runtime_fixture_wait(scene.desk.fixture);
        assert_outcome(&early, STATUS_CONFLICT, "rows changed by somebody else");
        assert_outcome(&plain, STATUS_CONFLICT, "rows changed by somebody else");
        assert_true(early.attempts > 1 && plain.attempts > 1);
        assert_int_equal(early_desk_n_missed(&scene.desk), 1);
        scene_close(&scene, 3);
    }
}

static void neighbours_of_a_row_that_may_only_be_seen_complete(void **state)
{
    struct scene scene;
    scene_open(&scene, state, SEEN_BUT_CLOSED, COUNT_TOLD("    on-conflict: fail\n"));
    fixture_exec(scene.desk.other, "INSERT INTO closed VALUES (1)");
    neighbours_complete(&scene, STATUS_CONFLICT, "rows changed by somebody else");
    scene_close(&scene, 3);
}

/* ---- a policy that looks at what the batch changes ---- */

#define BY_GATE                                                                                    \
    "CREATE TABLE gate (id integer PRIMARY KEY, open boolean NOT NULL DEFAULT true);"              \
    "INSERT INTO gate SELECT id FROM counter;" POLICY(                                             \
        "USING (EXISTS (SELECT FROM gate g WHERE g.id = counter.id AND g.open))")

#define CLOSE                                                                                      \
    "workflow: close\ninput: {id: integer}\n"                                                      \
    "data:\n  row: {table: gate, key: {id: input.id}}\nstart: a\nactivities:\n" FLOW_STEP(         \
        "a", FLOW_CONTEXT, "", "data.row.open = not data.row.open")

/* Those behind it on its path would share its transaction. */
static void who_comes_after_one_that_hides_the_row_misses_it(void **state)
{
    struct scene scene;
    struct outcome close, early, after, open, last;
    scene_open(&scene, state, BY_GATE, COUNT_TOLD(""));
    struct workflow *gate = host_publish(scene.desk.host, CLOSE);
    for (int i = 0; i < 2; i++) { /* its table is known then */
        host_submit(scene.desk.host, gate, "{\"id\":1}", &close);
        runtime_fixture_wait(scene.desk.fixture);
    }
    host_submit(scene.desk.host, scene.desk.workflow, "{\"id\":1}", &early);
    host_submit(scene.desk.host, gate, "{\"id\":1}", &close);
    host_submit(scene.desk.host, scene.desk.workflow, "{\"id\":1}", &after);
    host_submit(scene.desk.host, gate, "{\"id\":1}", &open);
    host_submit(scene.desk.host, scene.desk.workflow, "{\"id\":1}", &last);
    runtime_fixture_wait(scene.desk.fixture);
    assert_outcome(&early, STATUS_COMPLETED, "");
    assert_outcome(&close, STATUS_COMPLETED, "");
    assert_outcome(&after, STATUS_MISSING, "no such row");
    assert_outcome(&open, STATUS_COMPLETED, "");
    assert_outcome(&last, STATUS_COMPLETED, "");
    fixture_exec(scene.desk.other, "DELETE FROM latchkey.instance WHERE workflow = 'close'");
    scene_close(&scene, 5);
}

/* ---- the group ---- */

static int let_guests_in(void **state)
{
    if (runtime_fixture_setup(state) != 0)
        return -1;
    struct runtime_fixture *fixture = *state;
    host_stop(host_start(fixture, NULL)); /* makes the schema */
    fixture_exec(fixture->sql, "DO $$ BEGIN IF to_regrole('" GUEST "') IS NULL THEN"
                               " CREATE ROLE " GUEST " LOGIN; END IF; END $$;"
                               "GRANT ALL ON SCHEMA latchkey TO " GUEST ";"
                               "GRANT ALL ON ALL TABLES IN SCHEMA latchkey TO " GUEST ";"
                               "GRANT ALL ON ALL SEQUENCES IN SCHEMA latchkey TO " GUEST);
    return 0;
}

int row_security_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_row_that_its_policy_shows_is_counted_early_too),
        cmocka_unit_test(two_hosts_under_a_policy_lose_no_update),
        cmocka_unit_test(a_batch_under_a_policy_counts_each),
        cmocka_unit_test(a_row_that_is_hidden_meanwhile_is_missing),
        cmocka_unit_test(a_policy_that_changes_while_the_save_waits_hides_the_row),
        cmocka_unit_test(a_row_that_is_shown_again_is_counted_again),
        cmocka_unit_test(neighbours_of_a_hidden_row_complete),
        cmocka_unit_test(values_that_the_policy_refuses_fail_at_once),
        cmocka_unit_test(a_row_that_would_hide_itself_fails_at_once),
        cmocka_unit_test(neighbours_of_refused_values_complete),
        cmocka_unit_test(values_of_a_row_that_is_another_are_not_refused),
        cmocka_unit_test(a_policy_that_raises_is_told),
        cmocka_unit_test(who_lost_the_right_to_the_table_fails_at_once),
        cmocka_unit_test(a_row_that_may_only_be_seen_is_a_conflict),
        cmocka_unit_test(a_row_that_may_only_be_seen_is_tried_again),
        cmocka_unit_test(neighbours_of_a_row_that_may_only_be_seen_complete),
        cmocka_unit_test(who_comes_after_one_that_hides_the_row_misses_it),
    };
    return cmocka_run_group_tests_name("row_security", tests, let_guests_in,
                                       runtime_fixture_teardown);
}
