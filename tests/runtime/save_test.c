/* How changed rows are saved: merged where nobody can tell, one by one elsewhere, versions checked.
 */
#include "runtime_fixture.h"
#include "runtime_tests.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum {
    N = 16,
};

/* One row of `item`, under a lock of its own (LOCKED) or none (FREE). */
#define ITEM_HEAD(key)                                                                             \
    "workflow: item\n"                                                                             \
    "input:\n"                                                                                     \
    "  id: integer\n"                                                                              \
    "  n?: integer\n"                                                                              \
    "data:\n"                                                                                      \
    "  i:\n"                                                                                       \
    "    table: item\n"                                                                            \
    "    key: { " key " }\n"                                                                       \
    "start: go\n"                                                                                  \
    "activities:\n"                                                                                \
    "  go:\n"
#define LOCK                                                                                       \
    "    enable-exclusive-lock: true\n"                                                            \
    "    lock-context: '{\"item\", input.id}'\n"                                                   \
    "    acquire-timeout: 30s\n"
#define LOCKED(script) ITEM_HEAD("id: input.id") LOCK "    script: |\n      " script "\n"
#define FREE(lines, script) ITEM_HEAD("id: input.id") lines "    script: |\n      " script "\n"

static struct host *start(void **state, const char *tables)
{
    runtime_fixture_tables(*state, tables);
    return host_start(*state, NULL);
}

/* n executions at once, on one row: input.n counts from 1. */
static void run_many(struct host *host, struct runtime_fixture *fixture, const char *yaml, int n,
                     struct outcome *outcomes)
{
    struct workflow *workflow = host_publish(host, yaml);
    for (int i = 0; i < n; i++)
        host_submitf(host, workflow, &outcomes[i], "{\"id\":1,\"n\":%d}", i + 1);
    runtime_fixture_wait(fixture);
}

static void run_well(struct host *host, struct runtime_fixture *fixture, const char *yaml)
{
    struct outcome outcomes[N];
    run_many(host, fixture, yaml, N, outcomes);
    for (int i = 0; i < N; i++)
        assert_outcome(&outcomes[i], STATUS_COMPLETED, "");
}

/* The statistics of a session are complete once it has ended. */
static void assert_n_updates(struct runtime_fixture *fixture, int n)
{
    char sql[128];
    snprintf(sql, sizeof sql,
             "SELECT n_tup_upd = %d FROM pg_stat_user_tables WHERE relname = 'item'", n);
    fixture_eventually_true(fixture->sql, sql, 20 * 1000);
}

static void assert_n_transactions(struct runtime_fixture *fixture, int64_t n)
{
    assert_sql_int(fixture, "SELECT count(*) FROM latchkey.commit_mark WHERE NOT void", n);
}

#define ITEM "CREATE TABLE item (id int PRIMARY KEY, n int NOT NULL DEFAULT 0, "
#define ROWS "INSERT INTO item (id) SELECT generate_series(1, 10);"

/* ---- merging ---- */

static void changes_of_an_ordinary_row_become_one_update(void **state)
{
    struct host *host = start(state, ITEM "b bool, f float8, t text);" ROWS);
    run_well(host, *state,
             LOCKED("data.i.n = data.i.n + 1; data.i.f = (data.i.f or 0) + 0.5; data.i.b = true;"
                    " data.i.t = (data.i.t or '') .. input.n"));
    host_stop(host);
    assert_sql_text(*state, "SELECT concat_ws(' ', n, b, f, t) FROM item WHERE id = 1",
                    "16 t 8 12345678910111213141516");
    assert_n_transactions(*state, 1);
    assert_n_updates(*state, 1);
}

static void a_column_with_a_check_is_updated_once_a_member(void **state)
{
    struct host *host = start(state, ITEM "c int DEFAULT 0 CHECK (c >= 0));" ROWS);
    run_well(host, *state, LOCKED("data.i.c = data.i.c + 1"));
    host_stop(host);
    assert_sql_int(*state, "SELECT c FROM item WHERE id = 1", N);
    assert_n_transactions(*state, 1);
    assert_n_updates(*state, N);
}

static void columns_beside_one_with_a_check_are_saved_too(void **state)
{
    struct host *host = start(state, ITEM "c int DEFAULT 0 CHECK (c >= 0));" ROWS);
    run_well(host, *state,
             LOCKED("if input.n % 2 == 0 then data.i.c = data.i.c + 1 end;"
                    " data.i.n = data.i.n + 1"));
    assert_sql_text(*state, "SELECT concat_ws(' ', n, c) FROM item WHERE id = 1", "16 8");
    host_stop(host);
}

/* As if one after the other: the first is refused, the second never was below zero. */
static void a_value_in_between_is_checked(void **state)
{
    struct outcome outcomes[2];
    struct host *host = start(state, ITEM "c int DEFAULT 0 CHECK (c >= 0));" ROWS);
    run_many(host, *state, LOCKED("data.i.c = input.n == 1 and -1 or 5"), 2, outcomes);
    assert_outcome(&outcomes[0], STATUS_FAILED, "item_c_check");
    assert_outcome(&outcomes[1], STATUS_COMPLETED, "");
    assert_sql_int(*state, "SELECT c FROM item WHERE id = 1", 5);
    host_stop(host);
}

static void a_check_over_two_columns_is_checked_in_between(void **state)
{
    struct outcome outcomes[2];
    struct host *host = start(state, ITEM "low int DEFAULT 0, high int DEFAULT 0,"
                                          " CHECK (low <= high));" ROWS);
    run_many(host, *state, LOCKED("if input.n == 1 then data.i.low = 5 else data.i.high = 5 end"),
             2, outcomes);
    assert_outcome(&outcomes[0], STATUS_FAILED, "item_check");
    assert_outcome(&outcomes[1], STATUS_COMPLETED, "");
    host_stop(host);
}

static void the_range_of_an_integer_is_checked_in_between(void **state)
{
    struct outcome outcomes[3];
    struct host *host = start(state, ITEM "x int);" ROWS);
    run_many(host, *state, LOCKED("data.i.n = ({2147483647, data.i.n + 1, 7})[input.n]"), 3,
             outcomes);
    assert_outcome(&outcomes[0], STATUS_COMPLETED, "");
    assert_outcome(&outcomes[1], STATUS_FAILED, "test.yaml:16: ");
    assert_outcome(&outcomes[2], STATUS_COMPLETED, "");
    assert_sql_int(*state, "SELECT n FROM item WHERE id = 1", 7);
    host_stop(host);
}

static void a_unique_column_is_updated_once_a_member(void **state)
{
    struct host *host = start(state, ITEM "u int UNIQUE);" ROWS);
    run_well(host, *state, LOCKED("data.i.u = input.n; data.i.n = data.i.n + 1"));
    host_stop(host);
    assert_sql_text(*state, "SELECT concat_ws(' ', n, u) FROM item WHERE id = 1", "16 16");
    assert_n_updates(*state, N);
}

static void a_unique_value_in_between_is_refused(void **state)
{
    struct outcome outcomes[2];
    struct host *host =
        start(state, ITEM "u int UNIQUE);" ROWS "UPDATE item SET u = 7 WHERE id = 2");
    run_many(host, *state, LOCKED("data.i.u = input.n == 1 and 7 or 8"), 2, outcomes);
    assert_outcome(&outcomes[0], STATUS_FAILED, "item_u_key");
    assert_outcome(&outcomes[1], STATUS_COMPLETED, "");
    host_stop(host);
}

/* An explicit cast would cut it silently. */
static void a_text_too_long_for_its_column_is_refused(void **state)
{
    static const char *const scripts[] = {
        LOCKED("data.i.v = 'abcd'; data.i.n = 1"), LOCKED("data.i.c = 'abcd'; data.i.n = 1"),
        LOCKED("data.i.b = '1111'; data.i.n = 1"), LOCKED("data.i.d = 'abcd'; data.i.n = 1")};
    struct host *host = start(state, "CREATE DOMAIN short AS varchar(3);" ITEM
                                     "v varchar(3), c char(3), b bit(3), d short);" ROWS);
    for (int i = 0; i < 4; i++) {
        struct outcome outcome = host_run(host, scripts[i], "{\"id\":1}");
        assert_outcome(&outcome, STATUS_FAILED, i == 2 ? "does not match type" : "too long");
    }
    assert_sql_int(*state, "SELECT n FROM item WHERE id = 1", 0);
    host_stop(host);
}

static void a_text_of_the_limit_is_kept(void **state)
{
    struct host *host = start(state, ITEM "v varchar(3), c char(3));" ROWS);
    run_well(host, *state, LOCKED("data.i.v = 'abc'; data.i.c = 'abc'; data.i.n = data.i.n + 1"));
    assert_sql_text(*state, "SELECT concat_ws(' ', n, v, c) FROM item WHERE id = 1", "16 abc abc");
    host_stop(host);
}

/* What the database makes of a value is what the next one sees. */
static void a_numeric_is_seen_as_it_was_stored(void **state)
{
    struct host *host = start(state, ITEM "a numeric(10,1) DEFAULT 0);" ROWS);
    run_well(host, *state, LOCKED("data.i.a = data.i.a + 0.16"));
    assert_sql_text(*state, "SELECT a::text FROM item WHERE id = 1", "3.2");
    host_stop(host);
}

static void a_double_stays_itself_over_many_members(void **state)
{
    struct host *host = start(state, ITEM "f float8 DEFAULT 0);" ROWS);
    run_well(host, *state, LOCKED("data.i.f = data.i.f + 0.1"));
    assert_sql_text(*state, "SELECT f::text FROM item WHERE id = 1", "1.6000000000000003");
    host_stop(host);
}

/* ---- triggers ---- */

#define DOUBLING                                                                                   \
    ITEM "x int);" ROWS "CREATE FUNCTION twice() RETURNS trigger LANGUAGE plpgsql AS"              \
         " 'BEGIN NEW.n := NEW.n * 2; RETURN NEW; END';"                                           \
         "CREATE TRIGGER twice BEFORE UPDATE ON item FOR EACH ROW EXECUTE FUNCTION twice()"

static void the_next_member_sees_what_a_trigger_wrote(void **state)
{
    struct outcome outcomes[4];
    struct host *host = start(state, DOUBLING);
    run_many(host, *state, LOCKED("data.i.n = data.i.n + 1"), 4, outcomes);
    assert_int_equal(count_outcomes(outcomes, 4, STATUS_COMPLETED), 4);
    assert_sql_int(*state, "SELECT n FROM item WHERE id = 1", 30);
    host_stop(host);
}

static void without_a_lock_it_sees_it_too(void **state)
{
    struct outcome outcomes[4];
    struct host *host = start(state, DOUBLING);
    run_many(host, *state, FREE("", "data.i.n = data.i.n + 1"), 4, outcomes);
    assert_int_equal(count_outcomes(outcomes, 4, STATUS_COMPLETED), 4);
    assert_sql_int(*state, "SELECT n FROM item WHERE id = 1", 30);
    host_stop(host);
}

static void what_a_trigger_wrote_into_a_neighbours_row_is_not_lost(void **state)
{
    struct outcome outcomes[9];
    struct host *host =
        start(state, ITEM "x int);" ROWS
                          "CREATE FUNCTION next() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN"
                          " UPDATE item SET n = n + 100 WHERE id = OLD.id + 1; RETURN NULL; END';"
                          "CREATE TRIGGER next AFTER UPDATE ON item FOR EACH ROW"
                          " WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION next()");
    struct workflow *workflow = host_publish(host, LOCKED("data.i.n = data.i.n + 1"));
    for (int i = 0; i < 9; i++)
        host_submitf(host, workflow, &outcomes[i], "{\"id\":%d}", i + 1);
    runtime_fixture_wait(*state);
    assert_int_equal(count_outcomes(outcomes, 9, STATUS_COMPLETED), 9);
    assert_sql_text(*state, "SELECT string_agg(n::text, ' ' ORDER BY id) FROM item",
                    "1 101 101 101 101 101 101 101 101 100");
    host_stop(host);
}

static void check_generated(void **state, const char *tables)
{
    struct host *host = start(state, tables);
    run_well(host, *state, LOCKED("data.i.sum = data.i.sum + data.i.g; data.i.n = data.i.n + 1"));
    assert_sql_text(*state, "SELECT concat_ws(' ', n, g, sum) FROM item WHERE id = 1", "16 32 240");
    host_stop(host);
}

static void a_generated_column_is_seen_as_computed(void **state)
{
    struct runtime_fixture *fixture = *state;
    check_generated(state,
                    ITEM "g int GENERATED ALWAYS AS (n * 2) STORED, sum int DEFAULT 0);" ROWS);
    if (PQserverVersion(fixture->sql) >= 180000)
        check_generated(state, ITEM "g int GENERATED ALWAYS AS (n * 2) VIRTUAL,"
                                    " sum int DEFAULT 0);" ROWS);
}

static void a_generated_column_cannot_be_assigned(void **state)
{
    struct host *host = start(state, ITEM "g int GENERATED ALWAYS AS (n * 2) STORED);" ROWS);
    struct outcome outcome = host_run(host, LOCKED("data.i.g = 1"), "{\"id\":1}");
    assert_outcome(&outcome, STATUS_FAILED, "generated");
    host_stop(host);
}

/* ---- keys ---- */

static void a_script_may_change_the_key(void **state)
{
    struct outcome outcomes[3];
    struct host *host = start(state, ITEM "x int);" ROWS);
    run_many(host, *state, LOCKED("data.i.id = 50; data.i.n = data.i.n + 1"), 3, outcomes);
    assert_outcome(&outcomes[0], STATUS_COMPLETED, "");
    assert_outcome(&outcomes[1], STATUS_MISSING, "no such row");
    assert_outcome(&outcomes[2], STATUS_MISSING, "no such row");
    assert_sql_text(*state, "SELECT concat_ws(' ', id, n) FROM item WHERE id IN (1, 50)", "50 1");
    host_stop(host);
}

static void a_row_is_found_by_any_unique_key(void **state)
{
    struct host *host =
        start(state, "CREATE TABLE item (slug text NOT NULL, part int NOT NULL, n int DEFAULT 0,"
                     " CONSTRAINT k UNIQUE (slug, part));"
                     "INSERT INTO item VALUES ('a', 1), ('a', 2), ('a', 3)");
    run_well(host, *state,
             ITEM_HEAD("part: input.id, slug: '\"a\"'") LOCK
             "    script: data.i.n = data.i.n + 1\n");
    assert_sql_text(*state, "SELECT string_agg(n::text, ' ' ORDER BY part) FROM item", "16 0 0");
    host_stop(host);
}

static void a_row_of_a_nullable_unique_key_is_found(void **state)
{
    struct host *host = start(state, "CREATE TABLE item (slug text UNIQUE, n int DEFAULT 0);"
                                     "INSERT INTO item VALUES ('a'), ('b'), (NULL)");
    run_well(host, *state, ITEM_HEAD("slug: '\"a\"'") LOCK "    script: data.i.n = data.i.n + 1\n");
    assert_sql_text(*state, "SELECT string_agg(n::text, ' ' ORDER BY slug) FROM item", "16 0 0");
    host_stop(host);
}

static void one_row_under_two_names_is_one_row(void **state)
{
    struct host *host =
        start(state, ITEM "slug text UNIQUE);" ROWS "UPDATE item SET slug = 'a' WHERE id = 1");
    run_well(host, *state,
             "workflow: w\ninput:\n  id: integer\n  n: integer\ndata:\n"
             "  x:\n    table: item\n    key: { id: input.id }\n"
             "  y:\n    table: item\n    key: { slug: '\"a\"' }\n"
             "start: go\nactivities:\n  go:\n" LOCK "    script: |\n"
             "      data.x.n = data.x.n + 1\n      data.y.n = data.y.n + 1\n");
    assert_sql_int(*state, "SELECT n FROM item WHERE id = 1", 2 * N);
    host_stop(host);
}

/* ---- versions ---- */

static void outrun(void **state, struct outcome *outcome, const char *yaml, const char *meanwhile)
{
    struct runtime_fixture *fixture = *state;
    struct host *host = start(state, ITEM "t text DEFAULT '');" ROWS);
    struct workflow *workflow = host_publish(host, yaml);
    host_submit(host, workflow, "{\"id\":1}", outcome);
    runtime_fixture_turn(fixture, 150);
    assert_false(outcome->told);
    fixture_exec(fixture->sql, meanwhile);
    runtime_fixture_wait(fixture);
    host_stop(host);
}

/* The first attempt sleeps while somebody else writes; the second finds another value and does not.
 */
#define SLOWLY "if data.i.n == 0 then sleep(0.3) end; data.i.n = data.i.n + 1"

static void after_a_foreign_change_it_runs_again_on_the_new_value(void **state)
{
    struct outcome outcome;
    outrun(state, &outcome, FREE("", SLOWLY), "UPDATE item SET n = 40 WHERE id = 1");
    assert_outcome(&outcome, STATUS_COMPLETED, "");
    assert_true(outcome.attempts > 1);
    assert_sql_int(*state, "SELECT n FROM item WHERE id = 1", 41);
}

static void a_foreign_change_of_another_column_counts_too(void **state)
{
    struct outcome outcome;
    outrun(state, &outcome, FREE("", "if data.i.t == '' then sleep(0.3) end; data.i.n = 1"),
           "UPDATE item SET t = 'x' WHERE id = 1");
    assert_outcome(&outcome, STATUS_COMPLETED, "");
    assert_true(outcome.attempts > 1);
    assert_sql_text(*state, "SELECT concat_ws(' ', n, t) FROM item WHERE id = 1", "1 x");
}

static void with_overwrite_the_last_writer_wins(void **state)
{
    struct outcome outcome;
    outrun(state, &outcome, FREE("    on-conflict: overwrite\n", SLOWLY),
           "UPDATE item SET n = 40, t = 'x' WHERE id = 1");
    assert_outcome(&outcome, STATUS_COMPLETED, "");
    assert_sql_text(*state, "SELECT concat_ws(' ', n, t) FROM item WHERE id = 1", "1 x");
}

static void a_row_deleted_meanwhile_is_missing(void **state)
{
    struct outcome outcome;
    outrun(state, &outcome, FREE("", SLOWLY), "DELETE FROM item WHERE id = 1");
    assert_outcome(&outcome, STATUS_MISSING, "no such row");
}

static void a_row_deleted_meanwhile_is_not_overwritten(void **state)
{
    struct outcome outcome;
    outrun(state, &outcome, FREE("    on-conflict: overwrite\n", SLOWLY),
           "DELETE FROM item WHERE id = 1");
    assert_outcome(&outcome, STATUS_MISSING, "no such row");
}

static void a_row_that_was_only_read_may_change(void **state)
{
    struct outcome outcome;
    outrun(state, &outcome, FREE("", "sleep(0.3); output.n = data.i.n"),
           "UPDATE item SET n = 40 WHERE id = 1");
    assert_outcome(&outcome, STATUS_COMPLETED, "");
    assert_int_equal(outcome.attempts, 1);
    assert_string_equal(outcome.output, "{\"n\":0}");
}

static bool somebody_waits(struct runtime_fixture *fixture)
{
    return fixture_int(fixture->sql, "SELECT count(*) FROM pg_stat_activity WHERE datname ="
                                     " current_database() AND wait_event_type = 'Lock'") > 0;
}

/* Two workflows share the row; only one of them may overwrite. Both are in one transaction. */
static void who_may_overwrite_does_not_excuse_a_neighbour(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct outcome first, second;
    struct host *host = start(state, ITEM "t text DEFAULT '');" ROWS);
    struct workflow *careful = host_publish(host, FREE("", "data.i.n = data.i.n + 1"));
    struct workflow *careless = host_publish(
        host, "workflow: careless\ninput:\n  id: integer\ndata:\n  i:\n    table: item\n"
              "    key: { id: input.id }\nstart: go\nactivities:\n  go:\n"
              "    on-conflict: overwrite\n    script: data.i.t = data.i.t .. 'x'\n");
    PGconn *other = fixture_connect(fixture->conninfo);
    host_submit(host, careful, "{\"id\":2}", &first); /* that their tables are known */
    host_submit(host, careless, "{\"id\":2}", &second);
    runtime_fixture_wait(fixture);
    /* The row is read, and cannot be saved until the other one has changed it. */
    fixture_exec(other, "BEGIN; UPDATE item SET n = 40 WHERE id = 1");
    host_submit(host, careful, "{\"id\":1}", &first);
    host_submit(host, careless, "{\"id\":1}", &second);
    for (int n_turns = 0; n_turns < 500 && !somebody_waits(fixture); n_turns++)
        runtime_fixture_turn(fixture, 2);
    fixture_exec(other, "COMMIT");
    runtime_fixture_wait(fixture);
    assert_outcome(&first, STATUS_COMPLETED, "");
    assert_outcome(&second, STATUS_COMPLETED, "");
    assert_sql_text(fixture, "SELECT concat_ws(' ', n, t) FROM item WHERE id = 1", "41 x");
    PQfinish(other);
    host_stop(host);
}

/* ---- expected row counts ---- */

static void an_update_that_finds_no_row_cannot_commit(void **state)
{
    struct host *host = start(
        state, ITEM "x int);" ROWS "CREATE TABLE other (id int PRIMARY KEY, n int);"
                    "INSERT INTO other VALUES (1, 0);"
                    "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS"
                    " 'BEGIN RETURN NULL; END';"
                    "CREATE TRIGGER no BEFORE UPDATE ON item FOR EACH ROW EXECUTE FUNCTION no()");
    struct outcome outcome = host_run(host,
                                      "workflow: w\ninput:\n  id: integer\ndata:\n"
                                      "  i:\n    table: item\n    key: { id: input.id }\n"
                                      "  o:\n    table: other\n    key: { id: input.id }\n"
                                      "start: go\nactivities:\n  go:\n    on-conflict: fail\n"
                                      "    script: |\n      data.i.n = 1\n      data.o.n = 1\n",
                                      "{\"id\":1}");
    assert_outcome(&outcome, STATUS_CONFLICT, "changed by somebody else");
    assert_sql_int(*state, "SELECT n FROM other", 0);
    assert_sql_int(*state, "SELECT count(*) FROM latchkey.instance", 0);
    assert_n_transactions(*state, 0);
    host_stop(host);
}

static void a_delete_that_finds_no_row_cannot_commit(void **state)
{
    struct host *host = start(
        state, ITEM "x int);" ROWS "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS"
                    " 'BEGIN RETURN NULL; END';"
                    "CREATE TRIGGER no BEFORE DELETE ON item FOR EACH ROW EXECUTE FUNCTION no()");
    struct outcome outcome =
        host_run(host, FREE("    on-conflict: fail\n", "objects.delete(data.i)"), "{\"id\":1}");
    assert_outcome(&outcome, STATUS_CONFLICT, "changed by somebody else");
    assert_n_transactions(*state, 0);
    host_stop(host);
}

/* ---- order ---- */

/* Two hosts save the same rows, named in opposite orders, without a lock. */
static void rows_are_saved_in_one_order(void **state)
{
    enum {
        EACH = 100,
    };
    static struct outcome outcomes[2][EACH];
    static const char yaml[] =
        "workflow: %s\ninput:\n  id: integer\ndata:\n"
        "  x:\n    table: %s\n    key: { id: %d }\n"
        "  y:\n    table: %s\n    key: { id: %d }\n"
        "start: go\nactivities:\n  go:\n    waiting-timeout: 30s\n    script: |\n"
        "      data.x.n = data.x.n + 1\n      data.y.n = data.y.n + 1\n";
    struct runtime_fixture *fixture = *state;
    struct host *hosts[2];
    struct workflow *workflows[2][2];
    hosts[0] = start(state, ITEM "x int);" ROWS "CREATE TABLE thing (LIKE item INCLUDING ALL);"
                                 "INSERT INTO thing SELECT * FROM item");
    hosts[1] = host_start(fixture, NULL);
    for (int h = 0; h < 2; h++) {
        char text[1024];
        snprintf(text, sizeof text, yaml, h ? "ba" : "ab", "item", 1 + h, "item", 2 - h);
        workflows[h][0] = host_publish(hosts[h], text);
        snprintf(text, sizeof text, yaml, h ? "dc" : "cd", h ? "item" : "thing", 1,
                 h ? "thing" : "item", 1);
        workflows[h][1] = host_publish(hosts[h], text);
    }
    for (int i = 0; i < EACH; i++)
        for (int h = 0; h < 2; h++)
            host_submit(hosts[h], workflows[h][i % 2], "{\"id\":1}", &outcomes[h][i]);
    runtime_fixture_wait(fixture);
    for (int h = 0; h < 2; h++)
        for (int i = 0; i < EACH; i++)
            assert_outcome(&outcomes[h][i], STATUS_COMPLETED, "");
    host_stop(hosts[0]);
    host_stop(hosts[1]);
    assert_sql_int(fixture, "SELECT (SELECT sum(n) FROM item) + (SELECT sum(n) FROM thing)",
                   4 * EACH);
    fixture_exec(fixture->sql, "SELECT pg_stat_clear_snapshot()");
    assert_sql_int(fixture,
                   "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()", 0);
}

/* ---- shapes ---- */

static void a_table_may_have_very_many_columns(void **state)
{
    struct host *host =
        start(state, "DO $$ BEGIN EXECUTE 'CREATE TABLE item (id int PRIMARY KEY, ' ||"
                     " (SELECT string_agg(format('c%s int DEFAULT 0', i), ', ')"
                     "  FROM generate_series(1, 300) i) || ')'; END $$;"
                     "INSERT INTO item (id) VALUES (1), (2)");
    run_well(host, *state, LOCKED("for c = 1, 300 do data.i['c' .. c] = data.i['c' .. c] + c end"));
    assert_sql_text(*state, "SELECT concat_ws(' ', c1, c64, c65, c300) FROM item WHERE id = 1",
                    "16 1024 1040 4800");
    host_stop(host);
}

static void names_are_quoted(void **state)
{
    struct host *host =
        start(state, "CREATE SCHEMA \"My \"\"App\";"
                     "CREATE TABLE \"My \"\"App\".\"Select\" (\"Id\" int PRIMARY KEY,"
                     " \"a b\" int DEFAULT 0, \"x\"\"y\" text);"
                     "INSERT INTO \"My \"\"App\".\"Select\" VALUES (1)");
    run_well(host, *state,
             "workflow: w\ninput:\n  id: integer\n  n: integer\ndata:\n  i:\n"
             "    table: '\"My \"\"App\".\"Select\"'\n    key: { Id: input.id }\n"
             "start: go\nactivities:\n  go:\n" LOCK "    script: |\n"
             "      data.i['a b'] = data.i['a b'] + 1\n      data.i['x\"y'] = 'z'\n");
    assert_sql_text(*state,
                    "SELECT concat_ws(' ', \"a b\", \"x\"\"y\") FROM \"My \"\"App\".\"Select\"",
                    "16 z");
    fixture_exec(((struct runtime_fixture *)*state)->sql, "DROP SCHEMA \"My \"\"App\" CASCADE");
    host_stop(host);
}

int save_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(changes_of_an_ordinary_row_become_one_update),
        cmocka_unit_test(a_column_with_a_check_is_updated_once_a_member),
        cmocka_unit_test(columns_beside_one_with_a_check_are_saved_too),
        cmocka_unit_test(a_value_in_between_is_checked),
        cmocka_unit_test(a_check_over_two_columns_is_checked_in_between),
        cmocka_unit_test(the_range_of_an_integer_is_checked_in_between),
        cmocka_unit_test(a_unique_column_is_updated_once_a_member),
        cmocka_unit_test(a_unique_value_in_between_is_refused),
        cmocka_unit_test(a_text_too_long_for_its_column_is_refused),
        cmocka_unit_test(a_text_of_the_limit_is_kept),
        cmocka_unit_test(a_numeric_is_seen_as_it_was_stored),
        cmocka_unit_test(a_double_stays_itself_over_many_members),
        cmocka_unit_test(the_next_member_sees_what_a_trigger_wrote),
        cmocka_unit_test(without_a_lock_it_sees_it_too),
        cmocka_unit_test(what_a_trigger_wrote_into_a_neighbours_row_is_not_lost),
        cmocka_unit_test(a_generated_column_is_seen_as_computed),
        cmocka_unit_test(a_generated_column_cannot_be_assigned),
        cmocka_unit_test(a_script_may_change_the_key),
        cmocka_unit_test(a_row_is_found_by_any_unique_key),
        cmocka_unit_test(a_row_of_a_nullable_unique_key_is_found),
        cmocka_unit_test(one_row_under_two_names_is_one_row),
        cmocka_unit_test(after_a_foreign_change_it_runs_again_on_the_new_value),
        cmocka_unit_test(a_foreign_change_of_another_column_counts_too),
        cmocka_unit_test(with_overwrite_the_last_writer_wins),
        cmocka_unit_test(a_row_deleted_meanwhile_is_missing),
        cmocka_unit_test(a_row_deleted_meanwhile_is_not_overwritten),
        cmocka_unit_test(a_row_that_was_only_read_may_change),
        cmocka_unit_test(who_may_overwrite_does_not_excuse_a_neighbour),
        cmocka_unit_test(an_update_that_finds_no_row_cannot_commit),
        cmocka_unit_test(a_delete_that_finds_no_row_cannot_commit),
        cmocka_unit_test(rows_are_saved_in_one_order),
        cmocka_unit_test(a_table_may_have_very_many_columns),
        cmocka_unit_test(names_are_quoted),
    };
    return cmocka_run_group_tests_name("save", tests, runtime_fixture_setup,
                                       runtime_fixture_teardown);
}
