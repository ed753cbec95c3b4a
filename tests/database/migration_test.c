#include "database_sql.h"
#include "database_tests.h"
#include "desk.h"
#include "migration.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static const struct sql_text first_list[] = {
    {"one/001_table", "CREATE TABLE @schema@.a (x int); INSERT INTO @schema@.a VALUES (1);"},
    {"one/002_more", "ALTER TABLE @schema@.a ADD y int; UPDATE @schema@.a SET y = 2"},
    {0, 0},
};
static const struct sql_text second_list[] = {
    {"two/001_view", "CREATE VIEW @schema@.v AS SELECT x + y AS z FROM @schema@.a"},
    {0, 0},
};
static const struct sql_text *const both[] = {first_list, second_list};

static int clear(void **state)
{
    struct desk *desk = *state;
    fixture_exec(desk->outsider, "DROP SCHEMA IF EXISTS \"latch \"\"key's\" CASCADE");
    return desk_clear(state);
}

static bool run_with(struct desk *desk, struct pg_conn *conn, const struct sql_text *const *lists,
                     int n_lists, int *n_applied, struct fault *fault)
{
    return migration_run(desk->base, conn, "latch \"key's", lists, n_lists, n_applied, fault);
}

static void runs(struct desk *desk, struct pg_conn *conn, const struct sql_text *const *lists,
                 int n_lists, int expected)
{
    struct fault fault;
    int n_applied = -1;
    if (!run_with(desk, conn, lists, n_lists, &n_applied, &fault))
        fail_msg("%s", fault.text);
    assert_int_equal(n_applied, expected);
    assert_true(pg_conn_is_idle(conn));
}

static int64_t n_recorded(struct desk *desk)
{
    return fixture_int(
        desk->outsider,
        "SELECT count(*) FROM \"latch \"\"key's\".migration WHERE applied_at <= now()");
}

static void migrations_run_once_and_in_order(void **state)
{
    struct desk *desk = *state;
    struct pg_conn *conn = desk_connect(desk);
    runs(desk, conn, both, 2, 3);
    assert_int_equal(n_recorded(desk), 3);
    assert_int_equal(fixture_int(desk->outsider, "SELECT z FROM \"latch \"\"key's\".v"), 3);
    runs(desk, conn, both, 2, 0);
    assert_int_equal(n_recorded(desk), 3);
    pg_conn_close(conn);
}

static void later_migrations_are_added(void **state)
{
    struct desk *desk = *state;
    struct pg_conn *conn = desk_connect(desk);
    runs(desk, conn, both, 1, 2);
    runs(desk, conn, both, 2, 1);
    assert_int_equal(n_recorded(desk), 3);
    pg_conn_close(conn);
}

static void an_existing_empty_schema_is_taken(void **state)
{
    struct desk *desk = *state;
    struct pg_conn *conn = desk_connect(desk);
    struct fault fault;
    fixture_exec(desk->outsider, "CREATE SCHEMA \"latch \"\"key's\"");
    if (!run_with(desk, conn, both, 2, /* n_applied= */ NULL, &fault))
        fail_msg("%s", fault.text);
    pg_conn_close(conn);
}

static void nothing_to_do_takes_no_lock(void **state)
{
    struct desk *desk = *state;
    struct pg_conn *conn = desk_connect(desk);
    runs(desk, conn, both, 2, 3);
    fixture_exec(desk->outsider, "BEGIN; SELECT pg_advisory_xact_lock("
                                 "hashtextextended('latchkey migration of latch \"key''s', 0))");
    runs(desk, conn, both, 2, 0); /* would wait for ever */
    fixture_exec(desk->outsider, "ROLLBACK");
    pg_conn_close(conn);
}

static void a_failing_migration_is_named_and_leaves_nothing(void **state)
{
    static const struct sql_text failing[] = {
        {"two/001_view", "CREATE TABLE @schema@.b (x int); SELECT 1/0"},
        {0, 0},
    };
    static const struct sql_text *const lists[] = {first_list, failing};
    struct desk *desk = *state;
    struct pg_conn *conn = desk_connect(desk);
    struct fault fault;
    int n_applied = 7;
    assert_false(run_with(desk, conn, lists, 2, &n_applied, &fault));
    assert_int_equal(n_applied, 7);
    assert_int_equal(fault.kind, FAULT_DATABASE);
    assert_string_equal(fault.sqlstate, "22012");
    assert_string_equal(fault.text, "migration two/001_view: division by zero");
    assert_true(pg_conn_is_idle(conn));
    assert_int_equal(fixture_int(desk->outsider,
                                 "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'latch%'"),
                     0);
    runs(desk, conn, both, 2, 3);
    pg_conn_close(conn);
}

static void a_schema_of_a_newer_program_is_refused(void **state)
{
    struct desk *desk = *state;
    struct pg_conn *conn = desk_connect(desk);
    struct fault fault;
    runs(desk, conn, both, 2, 3);
    for (int n = 0; n < 2; n++) {
        assert_false(run_with(desk, conn, both, 1, NULL, &fault));
        assert_int_equal(fault.kind, FAULT_DATABASE);
        assert_non_null(strstr(fault.text, "'two/001_view'"));
        assert_non_null(strstr(fault.text, "newer"));
        /* And where there is something to do as well. */
        fixture_exec(desk->outsider,
                     "DELETE FROM \"latch \"\"key's\".migration WHERE name = 'one/002_more'");
    }
    pg_conn_close(conn);
}

/* Several processes on an empty database at the same moment: all succeed, each migration runs
 * once. */
static void hosts_that_start_at_once_take_turns(void **state)
{
    enum {
        HOSTS = 6,
    };
    struct desk *desk = *state;
    pid_t pids[HOSTS];
    int n_applied_in_all = 0;
    for (int i = 0; i < HOSTS; i++) {
        pids[i] = fork();
        assert_true(pids[i] >= 0);
        if (pids[i] > 0)
            continue;
        struct event_base *base = event_base_new();
        struct pg_conn_options options = desk_options(desk);
        struct pg_conn *conn = NULL;
        struct fault fault;
        int n_applied = 0;
        bool ok = pg_conn_open_now(base, &options, &conn, &fault) &&
                  migration_run(base, conn, options.schema, both, 2, &n_applied, &fault);
        if (!ok)
            fprintf(stderr, "%s\n", fault.text);
        _exit(ok ? n_applied : 100);
    }
    for (int i = 0; i < HOSTS; i++) {
        int status = 0;
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_true(WIFEXITED(status));
        assert_int_not_equal(WEXITSTATUS(status), 100);
        n_applied_in_all += WEXITSTATUS(status);
    }
    assert_int_equal(n_applied_in_all, 3);
    assert_int_equal(n_recorded(desk), 3);
}

static void who_may_not_create_is_told_so(void **state)
{
    struct desk *desk = *state;
    char role[64], conninfo[2 * FIXTURE_CONNINFO_BYTES];
    struct fault fault;
    fixture_text(desk->outsider, "SELECT 'weak_' || current_database()", role, sizeof role);
    fixture_execf(desk->outsider, "CREATE ROLE %s LOGIN PASSWORD 'x'", role);
    snprintf(conninfo, sizeof conninfo, "%s user=%s password=x", desk->conninfo, role);
    struct pg_conn_options options = desk_options(desk);
    struct pg_conn *weak = NULL;
    options.conninfo = conninfo;
    if (!pg_conn_open_now(desk->base, &options, &weak, &fault))
        fail_msg("%s", fault.text);
    assert_false(run_with(desk, weak, both, 2, NULL, &fault)); /* no right to create the schema */
    assert_string_equal(fault.sqlstate, "42501");
    assert_non_null(strstr(fault.text, "may not create or use the schema 'latch \"key's'"));
    assert_true(pg_conn_is_idle(weak));

    struct pg_conn *owner = desk_connect(desk);
    runs(desk, owner, both, 2, 3);
    assert_false(run_with(desk, weak, both, 2, NULL, &fault)); /* none to use it */
    assert_string_equal(fault.sqlstate, "42501");
    fixture_execf(desk->outsider,
                  "GRANT USAGE ON SCHEMA \"latch \"\"key's\" TO %s;"
                  "GRANT SELECT ON \"latch \"\"key's\".migration TO %s",
                  role, role);
    runs(desk, weak, both, 2, 0); /* nothing to create: that is enough */
    pg_conn_close(weak);
    pg_conn_close(owner);
    fixture_execf(desk->outsider, "DROP OWNED BY %s; DROP ROLE %s", role, role);
}

static void a_read_only_default_does_not_matter(void **state)
{
    struct desk *desk = *state;
    struct pg_conn *conn = desk_connect(desk);
    desk_run(desk, conn, "SET default_transaction_read_only = on", NULL);
    desk_run(desk, conn, "SET default_transaction_isolation = 'serializable'", NULL);
    desk_run(desk, conn, "SET search_path = 'nowhere'", NULL);
    runs(desk, conn, both, 2, 3);
    pg_conn_close(conn);
}

/* One row of one column, 0: no process id was told at the connecting either. */
static const char ANSWER_ZERO[] = "1\0\0\0\4"
                                  "2\0\0\0\4"
                                  "T\0\0\0\x1a\0\1p\0\0\0\0\0\0\0\0\0\0\x17\0\4\xff\xff\xff\xff\0\0"
                                  "D\0\0\0\x0b\0\1\0\0\0\1\x30"
                                  "C\0\0\0\x0dSELECT 1\0"
                                  "Z\0\0\0\5I";

/* A server that says its version, takes the connection, answers whatever is asked first, and no
 * more. */
static pid_t start_old_server(const char *version, int *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(listener, 1), 0);
    getsockname(listener, (struct sockaddr *)&address, &length);
    *port = ntohs(address.sin_port);
    pid_t pid = fork();
    if (pid == 0) {
        unsigned char startup[1024];
        unsigned char answer[256] = {'R', 0, 0, 0, 8, 0, 0, 0, 0, 'S', 0, 0, 0};
        size_t name = sizeof "server_version", said = strlen(version) + 1, at = 14;
        int client = accept(listener, NULL, NULL);
        if (read(client, startup, sizeof startup) <= 0)
            _exit(1);
        answer[13] = (unsigned char)(4 + name + said);
        memcpy(answer + at, "server_version", name);
        memcpy(answer + at + name, version, said);
        at += name + said;
        memcpy(answer + at, "Z\0\0\0\5I", 6);
        if (write(client, answer, at + 6) < 0 || read(client, startup, sizeof startup) <= 0 ||
            write(client, ANSWER_ZERO, sizeof ANSWER_ZERO - 1) < 0)
            _exit(1);
        while (read(client, startup, sizeof startup) > 0)
            continue;
        _exit(0);
    }
    close(listener);
    return pid;
}

static void an_old_server_is_refused_by_its_version(void **state)
{
    static const struct {
        const char *version;
        const char *said;
    } cases[] = {
        {"13.4", "PostgreSQL 14 or newer is needed, this server is 13.4"},
        {"9.6.24", "PostgreSQL 14 or newer is needed, this server is 9.6.24"},
    };
    struct desk *desk = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct pg_conn_options options = desk_options(desk);
        struct pg_conn *conn = NULL;
        struct fault fault;
        char conninfo[128];
        int port = 0;
        pid_t pid = start_old_server(cases[i].version, &port);
        snprintf(conninfo, sizeof conninfo,
                 "host=127.0.0.1 port=%d user=x sslmode=disable gssencmode=disable", port);
        options.conninfo = conninfo;
        if (!pg_conn_open_now(desk->base, &options, &conn, &fault))
            fail_msg("%s", fault.text);
        assert_false(run_with(desk, conn, both, 2, NULL, &fault));
        assert_int_equal(fault.kind, FAULT_DATABASE);
        assert_string_equal(fault.text, cases[i].said);
        pg_conn_close(conn);
        waitpid(pid, NULL, 0);
    }
}

static void a_broken_connection_is_a_fault(void **state)
{
    struct desk *desk = *state;
    struct pg_conn *conn = desk_connect(desk);
    struct fault fault;
    static const struct sql_text suicide[] = {
        {"one/001", "SELECT pg_terminate_backend(pg_backend_pid())"},
        {0, 0},
    };
    static const struct sql_text *const lists[] = {suicide};
    assert_false(run_with(desk, conn, lists, 1, NULL, &fault));
    assert_string_equal(fault.sqlstate, "57P01");
    assert_false(run_with(desk, conn, lists, 1, NULL, &fault));
    pg_conn_close(conn);
}

#define TEST(name) cmocka_unit_test_setup(name, clear)

int migration_tests(void)
{
    const struct CMUnitTest tests[] = {
        TEST(migrations_run_once_and_in_order),
        TEST(later_migrations_are_added),
        TEST(an_existing_empty_schema_is_taken),
        TEST(nothing_to_do_takes_no_lock),
        TEST(a_failing_migration_is_named_and_leaves_nothing),
        TEST(a_schema_of_a_newer_program_is_refused),
        TEST(hosts_that_start_at_once_take_turns),
        TEST(who_may_not_create_is_told_so),
        TEST(a_read_only_default_does_not_matter),
        TEST(an_old_server_is_refused_by_its_version),
        TEST(a_broken_connection_is_a_fault),
    };
    return cmocka_run_group_tests_name("migration", tests, desk_open, desk_close);
}
