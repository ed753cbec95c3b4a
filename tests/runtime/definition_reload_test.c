/* Reloading a directory: what is imported, and who reads what when several ask. */
#include "definitions_desk.h"
#include "runtime_tests.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* A directory and two hosts, for one test. */
struct two_hosts {
    struct runtime_fixture *fixture;
    char path[DIRECTORY_BYTES];
    struct host *one, *two;
};

static void open_two(struct two_hosts *hosts, struct runtime_fixture *fixture)
{
    *hosts = (struct two_hosts){.fixture = fixture};
    runtime_fixture_tables(fixture, "SELECT 1");
    directory_make(hosts->path);
    hosts->one = host_start(fixture, NULL);
    hosts->two = host_start(fixture, NULL);
}

static void close_two(struct two_hosts *hosts)
{
    host_stop(hosts->one);
    if (hosts->two)
        host_stop(hosts->two);
    directory_remove(hosts->path);
}

static void expect(struct two_hosts *hosts, const char *key, const char *json)
{
    reload_expect(hosts->fixture, hosts->one, hosts->path, key, json);
}

static void only_what_has_changed_is_published(void **state)
{
    struct two_hosts hosts;
    open_two(&hosts, *state);
    directory_put(hosts.path, "a.yaml", "a", 1);
    directory_put(hosts.path, "b.yml", "b", 1);
    directory_write(
        hosts.path, "c.json",
        "{\"workflow\": \"c\", \"start\": \"x\", \"activities\": {\"x\": {\"script\": \"\"}}}");
    directory_put(hosts.path, "notes.txt", "d", 1);
    directory_put(hosts.path, ".hidden.yaml", "e", 1);
    expect(&hosts, "published",
           "[{\"workflow\":\"a\",\"version\":1,\"file\":\"a.yaml\"},"
           "{\"workflow\":\"b\",\"version\":1,\"file\":\"b.yml\"},"
           "{\"workflow\":\"c\",\"version\":1,\"file\":\"c.json\"}]");
    directory_put(hosts.path, "b.yml", "b", 2);
    expect(&hosts, "published", "[{\"workflow\":\"b\",\"version\":2,\"file\":\"b.yml\"}]");
    expect(&hosts, "unchanged", "[\"a\",\"b\",\"c\"]");
    assert_sql_int(hosts.fixture, "SELECT count(*) FROM latchkey.definition", 4);
    directory_delete(hosts.path, ".hidden.yaml");
    close_two(&hosts);
}

static void a_broken_file_is_told_with_its_place_and_stops_no_other(void **state)
{
    struct two_hosts hosts;
    open_two(&hosts, *state);
    directory_write(hosts.path, "a.yaml",
                    "workflow: a\nstart: x\nactivities:\n  x:\n    scrpt: ''\n");
    directory_put(hosts.path, "b.yaml", "b", 1);
    struct asked asked;
    ask_reload(hosts.one, hosts.path, &asked);
    asked_expect(hosts.fixture, &asked, "published",
                 "[{\"workflow\":\"b\",\"version\":1,\"file\":\"b.yaml\"}]");
    const json_t *problem = json_array_get(json_object_get(asked.report, "problems"), 0);
    assert_string_equal(json_string_value(json_object_get(problem, "file")), "a.yaml");
    assert_int_equal(json_integer_value(json_object_get(problem, "line")), 5);
    assert_int_equal(json_integer_value(json_object_get(problem, "column")), 5);
    assert_non_null(strstr(json_string_value(json_object_get(problem, "message")), "scrpt"));
    asked_done(&asked);
    close_two(&hosts);
}

static void a_file_that_is_gone_is_told_and_its_workflow_stays(void **state)
{
    struct two_hosts hosts;
    open_two(&hosts, *state);
    directory_put(hosts.path, "a.yaml", "a", 1);
    directory_put(hosts.path, "b.yaml", "b", 1);
    host_publish(hosts.two, definition_text("other", 1));
    expect(&hosts, "removed", "[]");
    directory_delete(hosts.path, "a.yaml");
    directory_write(hosts.path, "b.yaml", "broken");
    expect(&hosts, "removed", "[{\"workflow\":\"a\",\"file\":\"a.yaml\"}]");
    assert_sql_int(hosts.fixture, "SELECT count(*) FROM latchkey.definition", 3);
    directory_put(hosts.path, "renamed.yaml", "a", 1);
    expect(&hosts, "removed", "[]");
    close_two(&hosts);
}

static void a_workflow_in_two_files_is_imported_from_neither(void **state)
{
    struct two_hosts hosts;
    struct asked asked;
    open_two(&hosts, *state);
    directory_put(hosts.path, "a.yaml", "a", 1);
    expect(&hosts, "files", "1");
    directory_put(hosts.path, "a-copy.yaml", "a", 2);
    ask_reload(hosts.one, hosts.path, &asked);
    asked_expect(hosts.fixture, &asked, "published", "[]");
    assert_int_equal(json_array_size(json_object_get(asked.report, "problems")), 2);
    asked_done(&asked);
    close_two(&hosts);
}

static void a_directory_that_cannot_be_read_is_a_fault(void **state)
{
    struct two_hosts hosts;
    struct asked asked;
    open_two(&hosts, *state);
    ask_reload(hosts.one, "/tmp/there is no such directory", &asked);
    asked_wait(hosts.fixture, &asked);
    assert_null(asked.report);
    assert_int_equal(asked.fault.kind, FAULT_INVALID);
    assert_nothing_held(hosts.fixture);
    close_two(&hosts);
}

static void turn_until_true(struct runtime_fixture *fixture, PGconn *conn, const char *sql)
{
    char value[8] = "f";
    for (int i = 0; i < 6000 && strcmp(value, "t") != 0; i++) {
        runtime_fixture_turn(fixture, 5);
        fixture_text(conn, sql, value, sizeof value);
    }
    assert_string_equal(value, "t");
}

/* Host one has read the directory and cannot write yet. */
static void stop_before_writing(struct two_hosts *hosts, struct asked *first)
{
    PGconn *other = fixture_connect(hosts->fixture->conninfo);
    directory_put(hosts->path, "a.yaml", "a", 1);
    fixture_exec(hosts->fixture->sql, "BEGIN; LOCK TABLE latchkey.definition IN SHARE MODE");
    ask_reload(hosts->one, hosts->path, first);
    turn_until_true(hosts->fixture, other,
                    "SELECT count(*) = 1 FROM pg_locks WHERE NOT granted AND"
                    " relation = 'latchkey.definition'::regclass");
    PQfinish(other);
}

static void what_changes_behind_the_reader_is_read_when_somebody_asks(void **state)
{
    struct two_hosts hosts;
    struct asked first, second;
    open_two(&hosts, *state);
    stop_before_writing(&hosts, &first);
    directory_put(hosts.path, "a.yaml", "a", 2);
    ask_reload(hosts.two, hosts.path, &second);
    asked_expect(hosts.fixture, &second, "status", "\"already-in-progress\"");
    asked_done(&second);
    host_stop(hosts.two); /* so that it cannot look after it itself */
    hosts.two = NULL;
    assert_false(first.told);
    fixture_exec(hosts.fixture->sql, "COMMIT");
    asked_expect(hosts.fixture, &first, "published",
                 "[{\"workflow\":\"a\",\"version\":1,\"file\":\"a.yaml\"},"
                 "{\"workflow\":\"a\",\"version\":2,\"file\":\"a.yaml\"}]");
    asked_done(&first);
    assert_sql_int(hosts.fixture, "SELECT coalesce(max(asked - done), -1) FROM latchkey.reload", 0);
    close_two(&hosts);
}

static void nobody_reads_again_when_nobody_asked(void **state)
{
    struct two_hosts hosts;
    struct asked first;
    open_two(&hosts, *state);
    stop_before_writing(&hosts, &first);
    directory_put(hosts.path, "a.yaml", "a", 2);
    fixture_exec(hosts.fixture->sql, "COMMIT");
    asked_expect(hosts.fixture, &first, "published",
                 "[{\"workflow\":\"a\",\"version\":1,\"file\":\"a.yaml\"}]");
    asked_done(&first);
    close_two(&hosts);
}

static void a_reload_refused_by_a_refresh_is_carried_out_after_it(void **state)
{
    struct two_hosts hosts;
    struct asked asked;
    open_two(&hosts, *state);
    directory_put(hosts.path, "a.yaml", "a", 1);
    fixture_exec(hosts.fixture->sql, "BEGIN; SELECT latchkey.lock('$definitions/x')");
    ask_reload(hosts.one, hosts.path, &asked);
    asked_expect(hosts.fixture, &asked, "status", "\"already-in-progress\"");
    asked_done(&asked);
    assert_true(runtime_is_changing_definitions(host_runtime(hosts.one)));
    fixture_exec(hosts.fixture->sql, "COMMIT");
    turn_until_true(hosts.fixture, hosts.fixture->sql,
                    "SELECT count(*) = 1 FROM latchkey.definition");
    close_two(&hosts);
}

static void a_reload_that_nobody_carried_out_is_taken_up_by_a_host_that_watches(void **state)
{
    struct two_hosts hosts;
    struct fault fault;
    open_two(&hosts, *state);
    directory_put(hosts.path, "a.yaml", "a", 1);
    fixture_exec(hosts.fixture->sql, "INSERT INTO latchkey.reload (asked) VALUES (1)");
    assert_true(runtime_watch(host_runtime(hosts.one), hosts.path, "test", &fault));
    turn_until_true(hosts.fixture, hosts.fixture->sql,
                    "SELECT count(*) = 1 FROM latchkey.definition");
    assert_sql_int(hosts.fixture, "SELECT coalesce(max(asked - done), -1) FROM latchkey.reload", 0);
    close_two(&hosts);
}

static void the_end_of_the_host_tells_who_asked(void **state)
{
    struct two_hosts hosts;
    struct asked first;
    open_two(&hosts, *state);
    stop_before_writing(&hosts, &first);
    host_stop(hosts.one);
    assert_true(first.told);
    assert_int_equal(first.fault.kind, FAULT_CANCELLED);
    fixture_exec(hosts.fixture->sql, "COMMIT");
    hosts.one = hosts.two;
    hosts.two = NULL;
    close_two(&hosts);
}

int definition_reload_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_has_changed_is_published),
        cmocka_unit_test(a_broken_file_is_told_with_its_place_and_stops_no_other),
        cmocka_unit_test(a_file_that_is_gone_is_told_and_its_workflow_stays),
        cmocka_unit_test(a_workflow_in_two_files_is_imported_from_neither),
        cmocka_unit_test(a_directory_that_cannot_be_read_is_a_fault),
        cmocka_unit_test(what_changes_behind_the_reader_is_read_when_somebody_asks),
        cmocka_unit_test(nobody_reads_again_when_nobody_asked),
        cmocka_unit_test(a_reload_refused_by_a_refresh_is_carried_out_after_it),
        cmocka_unit_test(a_reload_that_nobody_carried_out_is_taken_up_by_a_host_that_watches),
        cmocka_unit_test(the_end_of_the_host_tells_who_asked),
    };
    return cmocka_run_group_tests_name("definition_reload", tests, runtime_fixture_setup,
                                       runtime_fixture_teardown);
}
