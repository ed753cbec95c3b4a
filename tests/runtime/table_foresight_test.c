/* A host that is told beforehand what it will run: it may only be quicker for it. */
#include "definition_read.h"
#include "pg_proxy.h"
#include "runtime_fixture.h"
#include "runtime_tests.h"
#include "table_foresight.h"

#include <event2/event.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define TABLES                                                                                     \
    "CREATE TABLE item (id int PRIMARY KEY, n int NOT NULL DEFAULT 0);"                            \
    "CREATE TABLE thing (id int PRIMARY KEY, n int NOT NULL DEFAULT 0);"                           \
    "INSERT INTO item VALUES (1); INSERT INTO thing VALUES (1);"

static const char YAML[] = "workflow: w\ninput:\n  id: integer\ndata:\n"
                           "  i:\n    table: item\n    key: { id: input.id }\n"
                           "  t:\n    table: thing\n    key: { id: input.id }\n"
                           "start: go\nactivities:\n  go:\n    enable-exclusive-lock: true\n"
                           "    lock-context: '{\"item\", input.id}'\n    script: |\n"
                           "      data.i.n = data.i.n + 1\n      data.t.n = data.t.n + 1\n";

struct expecting {
    struct runtime *runtime;
    struct definition *definition;
    struct result_copy {
        bool told;
        enum execution_status status;
        char reason[256];
    } result;
};

static void read_definition(struct runtime *runtime, const char *yaml, struct definition **out)
{
    struct problems problems;
    problems_init(&problems);
    if (!definition_read(runtime_sandbox(runtime), "test.yaml", yaml, strlen(yaml), out, &problems))
        fail_msg("line %d: %s", problems.items[0].line, problems.items[0].message);
    problems_done(&problems);
}

/* A host that has not entered yet. schema NULL: the fixture's. */
static void open_host_in(struct expecting *host, struct runtime_fixture *fixture,
                         const char *conninfo, const char *schema)
{
    struct runtime_options options = runtime_fixture_options(fixture);
    struct fault fault;
    *host = (struct expecting){.definition = NULL};
    options.conninfo = conninfo;
    if (schema)
        options.schema = schema;
    if (!runtime_new(fixture->base, &options, &host->runtime, &fault))
        fail_msg("%s", fault.text);
    read_definition(host->runtime, YAML, &host->definition);
}

static void open_host(struct expecting *host, struct runtime_fixture *fixture, const char *conninfo)
{
    open_host_in(host, fixture, conninfo, /* schema= */ NULL);
}

static void foresee(struct expecting *host, struct runtime_fixture *fixture)
{
    runtime_expect(host->runtime, host->definition);
    for (int i = 0; i < 1000 && table_foresight_runs(host->runtime); i++)
        runtime_fixture_turn(fixture, 10);
    assert_false(table_foresight_runs(host->runtime));
}

static void enter(struct expecting *host)
{
    struct fault fault;
    if (!runtime_start(host->runtime, 20 * 1000 * 1000, &fault))
        fail_msg("%s", fault.text);
    assert_false(table_foresight_runs(host->runtime));
}

static void on_done(const struct result *result, void *arg)
{
    struct result_copy *copy = arg;
    copy->told = true;
    copy->status = result->status;
    snprintf(copy->reason, sizeof copy->reason, "%s", result->reason);
}

/* Publishes what was expected, runs it once, and ends the host. */
static void run_and_close(struct expecting *host, struct runtime_fixture *fixture)
{
    struct fault fault;
    struct workflow *workflow;
    bool published;
    json_t *input = json_pack("{s:i}", "id", 1);
    assert_non_null(input);
    if (!runtime_publish(host->runtime, host->definition, /* base= */ -1, "test", &workflow,
                         &published, &fault))
        fail_msg("%s", fault.text);
    struct submission submission = {
        .workflow = workflow, .input = input, .done = on_done, .arg = &host->result};
    if (!runtime_submit(host->runtime, &submission, &fault))
        fail_msg("%s", fault.text);
    json_decref(input);
    for (int i = 0; i < 3000 && !host->result.told; i++)
        runtime_fixture_turn(fixture, 10);
    assert_true(host->result.told);
    runtime_free(host->runtime);
}

static void assert_told(const struct expecting *host, enum execution_status status,
                        const char *reason)
{
    if (host->result.status != status || !strstr(host->result.reason, reason))
        fail_msg("%s \"%s\"", execution_status_row(host->result.status)->name, host->result.reason);
}

/* ---- tests ---- */

static void the_first_execution_completes_with_it_and_without_it(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct expecting host;
    runtime_fixture_tables(fixture, TABLES);
    for (int expects = 0; expects < 2; expects++) {
        open_host(&host, fixture, fixture->conninfo);
        if (expects)
            runtime_expect(host.runtime, host.definition);
        assert_int_equal(table_foresight_runs(host.runtime), expects);
        enter(&host);
        assert_int_equal(table_foresight_holds(host.runtime), expects);
        run_and_close(&host, fixture);
        assert_told(&host, STATUS_COMPLETED, "");
    }
    assert_sql_int(fixture, "SELECT i.n * 10 + t.n FROM item i, thing t", 22);
}

/* A glance describes item alone: the rest takes a whole look. */
static void tables_that_are_not_ordinary_are_foreseen_too(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct expecting host;
    runtime_fixture_tables(fixture, TABLES "CREATE DOMAIN small AS int CHECK (VALUE < 100);"
                                           "ALTER TABLE thing ALTER n TYPE small");
    open_host(&host, fixture, fixture->conninfo);
    foresee(&host, fixture);
    assert_true(table_foresight_holds(host.runtime));
    enter(&host);
    run_and_close(&host, fixture);
    assert_told(&host, STATUS_COMPLETED, "");
    assert_sql_int(fixture, "SELECT i.n * 10 + t.n FROM item i, thing t", 11);
}

/* What is asked of latchkey's own schema fails there, and is no reason to look again. */
static void tables_are_foreseen_before_there_is_a_schema(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct expecting host;
    runtime_fixture_tables(fixture, TABLES);
    fixture_exec(fixture->sql, "DROP SCHEMA IF EXISTS brand_new CASCADE");
    open_host_in(&host, fixture, fixture->conninfo, "brand_new");
    foresee(&host, fixture);
    assert_true(table_foresight_holds(host.runtime));
    assert_int_equal(table_foresight_take_version(host.runtime, host.definition), 0);
    enter(&host);
    run_and_close(&host, fixture);
    assert_told(&host, STATUS_COMPLETED, "");
    assert_sql_int(fixture, "SELECT n FROM thing", 1);
    fixture_exec(fixture->sql, "DROP SCHEMA brand_new CASCADE");
}

/* Only of the very text, only if it is the latest, and only once: then it is no news any more. */
static void the_version_is_foreseen_where_the_text_is_the_latest(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct expecting hosts[3];
    struct definition *other;
    char text[sizeof YAML + 8];
    runtime_fixture_tables(fixture, TABLES);
    snprintf(text, sizeof text, "%s# other\n", YAML);
    open_host(&hosts[0], fixture, fixture->conninfo);
    foresee(&hosts[0], fixture);
    enter(&hosts[0]);
    run_and_close(&hosts[0], fixture);

    open_host(&hosts[1], fixture, fixture->conninfo);
    read_definition(hosts[1].runtime, text, &other);
    foresee(&hosts[1], fixture);
    assert_int_equal(table_foresight_take_version(hosts[1].runtime, other), 0);
    assert_int_equal(table_foresight_take_version(hosts[1].runtime, hosts[1].definition), 0);
    definition_free(hosts[1].definition);
    hosts[1].definition = other;
    foresee(&hosts[1], fixture); /* version 1 has another text */
    assert_int_equal(table_foresight_take_version(hosts[1].runtime, other), 0);
    enter(&hosts[1]);
    run_and_close(&hosts[1], fixture); /* publishes it */

    open_host(&hosts[2], fixture, fixture->conninfo);
    definition_free(hosts[2].definition);
    read_definition(hosts[2].runtime, text, &hosts[2].definition);
    foresee(&hosts[2], fixture);
    assert_int_equal(table_foresight_take_version(hosts[2].runtime, hosts[2].definition), 2);
    assert_int_equal(table_foresight_take_version(hosts[2].runtime, hosts[2].definition), 0);
    foresee(&hosts[2], fixture);
    enter(&hosts[2]);
    run_and_close(&hosts[2], fixture);
    for (int i = 0; i < 3; i++)
        assert_told(&hosts[i], STATUS_COMPLETED, "");
    assert_sql_int(fixture, "SELECT n FROM thing", 3);
}

static void on_published(struct workflow *workflow, bool published, const struct fault *fault,
                         void *arg)
{
    bool *told = arg;
    (void)fault;
    *told = true;
    assert_non_null(workflow);
    assert_true(published);
}

/* Then its text is not the latest any more, and is published again. */
static void a_version_that_the_host_has_replaced_itself_is_not_foreseen(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct expecting host;
    struct definition *other;
    struct workflow *workflow;
    struct fault fault;
    char text[sizeof YAML + 8];
    bool told = false, published;
    runtime_fixture_tables(fixture, TABLES);
    snprintf(text, sizeof text, "%s# newer\n", YAML);
    open_host(&host, fixture, fixture->conninfo);
    enter(&host);
    run_and_close(&host, fixture);

    open_host(&host, fixture, fixture->conninfo);
    read_definition(host.runtime, text, &other);
    enter(&host);
    foresee(&host, fixture);
    if (!runtime_publish_start(host.runtime, other, /* base= */ -1, "test", on_published, &told,
                               &fault))
        fail_msg("%s", fault.text);
    for (int i = 0; i < 3000 && !told; i++)
        runtime_fixture_turn(fixture, 10);
    assert_true(told);
    if (!runtime_publish(host.runtime, host.definition, /* base= */ -1, "test", &workflow,
                         &published, &fault))
        fail_msg("%s", fault.text);
    assert_true(published);
    runtime_free(host.runtime);
}

static void a_table_that_is_missing_is_told_by_the_execution(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct expecting hosts[2];
    runtime_fixture_tables(fixture, TABLES "DROP TABLE thing");
    for (int expects = 0; expects < 2; expects++) {
        open_host(&hosts[expects], fixture, fixture->conninfo);
        if (expects)
            runtime_expect(hosts[expects].runtime, hosts[expects].definition);
        enter(&hosts[expects]);
        assert_false(table_foresight_holds(hosts[expects].runtime));
        run_and_close(&hosts[expects], fixture);
        assert_told(&hosts[expects], STATUS_INVALID, "thing");
    }
    assert_string_equal(hosts[0].result.reason, hosts[1].result.reason);
    assert_sql_int(fixture, "SELECT n FROM item", 0);
}

/* It was missing when it was looked for, and is there when it is wanted. */
static void a_table_that_comes_later_is_found(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct expecting host;
    runtime_fixture_tables(fixture, TABLES "ALTER TABLE thing RENAME TO later");
    open_host(&host, fixture, fixture->conninfo);
    runtime_expect(host.runtime, host.definition);
    enter(&host);
    fixture_exec(fixture->sql, "ALTER TABLE later RENAME TO thing");
    run_and_close(&host, fixture);
    assert_told(&host, STATUS_COMPLETED, "");
    assert_sql_int(fixture, "SELECT n FROM thing", 1);
}

/* What is foreseen may be another table by then, as what a workflow has looked up. */
static void a_table_that_is_another_by_then_is_looked_up_again(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct expecting host;
    runtime_fixture_tables(fixture, TABLES);
    open_host(&host, fixture, fixture->conninfo);
    runtime_expect(host.runtime, host.definition);
    enter(&host);
    fixture_exec(fixture->sql, "DROP TABLE thing;"
                               "CREATE TABLE thing (n bigint DEFAULT 0, x text, id bigint PRIMARY"
                               " KEY); INSERT INTO thing (id) VALUES (1)");
    run_and_close(&host, fixture);
    assert_told(&host, STATUS_COMPLETED, "");
    assert_sql_int(fixture, "SELECT n FROM thing", 1);
}

/* Its connection is gone in the middle: the host enters, and looks for itself. */
static void a_connection_that_is_lost_under_it_does_no_harm(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct expecting host;
    struct pg_proxy *proxy;
    struct fault fault;
    if (!pg_proxy_start(fixture->conninfo, &proxy, &fault))
        fail_msg("%s", fault.text);
    runtime_fixture_tables(fixture, TABLES);
    open_host(&host, fixture, pg_proxy_conninfo(proxy));
    pg_proxy_strike(proxy, PG_PROXY_CUT_BEFORE_SYNC, 1, 1); /* the first asks who the server is */
    runtime_expect(host.runtime, host.definition);
    for (int i = 0; i < 1000 && table_foresight_runs(host.runtime); i++)
        runtime_fixture_turn(fixture, 10);
    assert_false(table_foresight_runs(host.runtime));
    assert_false(table_foresight_holds(host.runtime));
    assert_int_equal(pg_proxy_n_struck(proxy), 1);
    enter(&host);
    run_and_close(&host, fixture);
    assert_told(&host, STATUS_COMPLETED, "");
    assert_sql_int(fixture, "SELECT n FROM thing", 1);
    pg_proxy_stop(proxy);
}

/* Wherever it stands: before its connection, with its question on the way. */
static void a_host_may_end_while_it_is_under_way(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct pg_proxy *proxy;
    struct fault fault;
    if (!pg_proxy_start(fixture->conninfo, &proxy, &fault))
        fail_msg("%s", fault.text);
    runtime_fixture_tables(fixture, TABLES);
    for (int asked = 0; asked < 2; asked++) {
        struct expecting host;
        open_host(&host, fixture, pg_proxy_conninfo(proxy));
        pg_proxy_strike(proxy, PG_PROXY_HOLD_BEFORE_SYNC, 0, 1);
        runtime_expect(host.runtime, host.definition);
        for (int i = 0; asked && i < 1000 && !pg_proxy_n_struck(proxy); i++)
            runtime_fixture_turn(fixture, 10);
        assert_int_equal(pg_proxy_n_struck(proxy), asked);
        assert_true(table_foresight_runs(host.runtime));
        runtime_free(host.runtime);
        definition_free(host.definition);
    }
    pg_proxy_stop(proxy);
}

int table_foresight_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_execution_completes_with_it_and_without_it),
        cmocka_unit_test(tables_that_are_not_ordinary_are_foreseen_too),
        cmocka_unit_test(tables_are_foreseen_before_there_is_a_schema),
        cmocka_unit_test(the_version_is_foreseen_where_the_text_is_the_latest),
        cmocka_unit_test(a_version_that_the_host_has_replaced_itself_is_not_foreseen),
        cmocka_unit_test(a_table_that_is_missing_is_told_by_the_execution),
        cmocka_unit_test(a_table_that_comes_later_is_found),
        cmocka_unit_test(a_table_that_is_another_by_then_is_looked_up_again),
        cmocka_unit_test(a_connection_that_is_lost_under_it_does_no_harm),
        cmocka_unit_test(a_host_may_end_while_it_is_under_way),
    };
    return cmocka_run_group_tests_name("table_foresight", tests, runtime_fixture_setup,
                                       runtime_fixture_teardown);
}
