/* The embedded PostgreSQL, with real processes. initdb is the slow part, so tests that are not
 * about a new directory share one; each of them starts or stops its server first, as it needs it.
 */
#include "database_tests.h"

#include "clock.h"
#include "pg_server.h"
#include "pg_server_account.h"
#include "pg_server_dir.h"
#include "postgres_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum {
    PATH_BYTES = 1024,
    CONNINFO_BYTES = 1024,
};

struct place {
    char base[64]; /* a fresh directory */
    char data[PATH_BYTES];
    char conninfo[CONNINFO_BYTES]; /* of the last start_ok */
};

static void nap_ms(int ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L}, NULL);
}

static int new_place(void **state)
{
    struct place *place = calloc(1, sizeof *place);
    if (!place)
        return -1;
    *state = place;
    snprintf(place->base, sizeof place->base, "/tmp/latchkey-server-test-XXXXXX");
    if (!mkdtemp(place->base) || chmod(place->base, 0755) != 0)
        return -1;
    snprintf(place->data, sizeof place->data, "%s/data", place->base);
    return 0;
}

static int leave_place(void **state)
{
    struct place *place = *state;
    struct fault fault;
    bool ok = pg_server_stop(place->data, NULL, &fault);
    if (!ok)
        print_error("%s\n", fault.text);
    pg_server_dir_remove_tree(place->base);
    free(place);
    return ok ? 0 : -1;
}

static bool start_ok(struct place *place)
{
    struct text conninfo;
    struct fault fault;
    bool started = false;
    text_init(&conninfo, CONNINFO_BYTES - 1);
    bool ok = pg_server_start(place->data, &conninfo, &started, &fault);
    if (!ok)
        print_error("%s\n", fault.text);
    snprintf(place->conninfo, sizeof place->conninfo, "%s", text_chars(&conninfo));
    text_done(&conninfo);
    assert_true(ok);
    return started;
}

static bool stop_ok(struct place *place)
{
    struct fault fault;
    bool stopped = false;
    bool ok = pg_server_stop(place->data, &stopped, &fault);
    if (!ok)
        print_error("%s\n", fault.text);
    assert_true(ok);
    return stopped;
}

static void start_fails(const char *data_dir, struct fault *fault)
{
    struct text conninfo;
    text_init(&conninfo, CONNINFO_BYTES - 1);
    bool ok = pg_server_start(data_dir, &conninfo, NULL, fault);
    text_done(&conninfo);
    assert_false(ok);
    assert_int_equal(fault->kind, FAULT_DATABASE);
}

static void says(const struct fault *fault, const char *words)
{
    if (strstr(fault->text, words))
        return;
    print_error("\"%s\" does not say \"%s\"\n", fault->text, words);
    fail();
}

static void url_is_missing(const struct place *place)
{
    struct text url;
    struct fault fault;
    text_init(&url, CONNINFO_BYTES);
    assert_false(pg_server_url(place->data, &url, &fault));
    assert_int_equal(fault.kind, FAULT_MISSING);
    text_done(&url);
}

static void url_is(const struct place *place, const char *expected)
{
    struct text url;
    struct fault fault;
    text_init(&url, CONNINFO_BYTES);
    assert_true(pg_server_url(place->data, &url, &fault));
    assert_string_equal(text_chars(&url), expected);
    text_done(&url);
}

static pid_t postmaster_of(const struct place *place)
{
    struct pg_server_dir dir;
    struct fault fault;
    assert_true(pg_server_dir_find(place->data, &dir, &fault));
    return pg_server_dir_postmaster(&dir);
}

static void write_file(const char *path, const char *mode, const char *content)
{
    FILE *file = fopen(path, mode);
    assert_non_null(file);
    assert_true(fputs(content, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static int count_paths(const char *pattern)
{
    glob_t found = {0};
    int n = glob(pattern, 0, NULL, &found) == 0 ? (int)found.gl_pathc : 0;
    globfree(&found);
    return n;
}

/* A process of its own that starts the server; exits with 0 (started it), 1 (found it) or 2. */
static pid_t start_elsewhere(const struct place *place)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid > 0)
        return pid;
    struct text conninfo;
    struct fault fault;
    bool started = false;
    setpgid(0, 0);
    text_init(&conninfo, CONNINFO_BYTES);
    bool ok = pg_server_start(place->data, &conninfo, &started, &fault);
    if (!ok)
        fprintf(stderr, "%s\n", fault.text);
    _exit(ok ? !started : 2);
}

static int end_of(pid_t pid)
{
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void a_server_starts_takes_connections_and_stops(void **state)
{
    struct place *place = *state;
    stop_ok(place);
    assert_true(start_ok(place));
    PGconn *conn = fixture_connect(place->conninfo);
    assert_int_equal(fixture_int(conn, "SHOW max_connections"), 500);
    char text[64];
    fixture_text(conn, "SELECT current_database() || ' ' || current_user", text, sizeof text);
    assert_string_equal(text, "latchkey latchkey");
    fixture_text(conn, "SHOW server_encoding", text, sizeof text);
    assert_string_equal(text, "UTF8");
    fixture_text(conn, "SHOW fsync", text, sizeof text);
    assert_string_equal(text, "on");
    fixture_text(conn, "SELECT '<' || current_setting('listen_addresses') || '>'", text,
                 sizeof text);
    assert_string_equal(text, "<>");
    PQfinish(conn);
    url_is(place, place->conninfo);
    assert_true(stop_ok(place));
    url_is_missing(place);
}

static void a_second_start_finds_the_first(void **state)
{
    struct place *place = *state;
    char first[CONNINFO_BYTES];
    start_ok(place);
    snprintf(first, sizeof first, "%s", place->conninfo);
    pid_t pid = postmaster_of(place);
    assert_false(start_ok(place));
    assert_string_equal(place->conninfo, first);
    assert_int_equal(postmaster_of(place), pid);
}

static void another_name_of_the_directory_finds_the_same_server(void **state)
{
    struct place *place = *state;
    struct place other = {0};
    char link[PATH_BYTES];
    start_ok(place);
    snprintf(link, sizeof link, "%s/link", place->base);
    assert_int_equal(symlink(place->data, link), 0);
    snprintf(other.data, sizeof other.data, "%s", link);
    assert_false(start_ok(&other));
    assert_string_equal(other.conninfo, place->conninfo);
}

static void what_never_started_stops_and_has_no_url(void **state)
{
    struct place *place = *state;
    url_is_missing(place);
    assert_false(stop_ok(place));
    assert_int_not_equal(access(place->data, F_OK), 0);
    assert_int_equal(mkdir(place->data, 0755), 0);
    assert_false(stop_ok(place));
    url_is_missing(place);
}

static void of_processes_that_start_at_once_one_starts_and_all_are_served(void **state)
{
    struct place *place = *state;
    enum {
        N = 4,
    };
    pid_t pids[N];
    int n_started = 0;
    for (int i = 0; i < N; i++)
        pids[i] = start_elsewhere(place);
    for (int i = 0; i < N; i++) {
        int end = end_of(pids[i]);
        assert_in_range(end, 0, 1);
        n_started += end == 0;
    }
    assert_int_equal(n_started, 1);
    assert_false(start_ok(place));
}

static void a_killed_postmaster_is_replaced_and_the_data_kept(void **state)
{
    struct place *place = *state;
    start_ok(place);
    PGconn *conn = fixture_connect(place->conninfo);
    fixture_exec(conn, "CREATE TABLE kept(n int); INSERT INTO kept VALUES (42)");
    PQfinish(conn);
    pid_t killed = postmaster_of(place);
    assert_int_equal(kill(killed, SIGKILL), 0);
    assert_true(start_ok(place));
    assert_int_not_equal(postmaster_of(place), killed);
    conn = fixture_connect(place->conninfo);
    assert_int_equal(fixture_int(conn, "SELECT n FROM kept"), 42);
    PQfinish(conn);
}

static void a_backend_that_outlives_its_postmaster_is_ended(void **state)
{
    struct place *place = *state;
    start_ok(place);
    PGconn *busy = fixture_connect(place->conninfo);
    pid_t backend = PQbackendPID(busy);
    assert_int_equal(PQsendQuery(busy, "SELECT count(*) FROM generate_series(1, 100000) a, "
                                       "generate_series(1, 100000) b, generate_series(1, 100000)"),
                     1);
    nap_ms(300);
    assert_int_equal(kill(postmaster_of(place), SIGKILL), 0);
    nap_ms(300);
    assert_int_equal(kill(backend, 0), 0); /* else this test proves nothing */
    assert_true(start_ok(place));
    PQfinish(busy);
}

static void a_stranger_with_the_postmasters_process_id_is_not_believed(void **state)
{
    struct place *place = *state;
    struct pg_server_account account;
    struct fault fault;
    char path[PATH_BYTES + 64];
    char line[32];
    start_ok(place);
    assert_int_equal(kill(postmaster_of(place), SIGKILL), 0);
    nap_ms(300);
    assert_true(pg_server_account_find(&account, &fault));
    pid_t stranger = fork();
    if (stranger == 0) {
        if (pg_server_account_become(&account))
            pause();
        _exit(1);
    }
    nap_ms(50);
    /* Over the first digits of the first line; the rest of the file stays. */
    snprintf(path, sizeof path, "%s/postgres/postmaster.pid", place->data);
    snprintf(line, sizeof line, "%d\n", (int)stranger);
    write_file(path, "r+", line);
    snprintf(path, sizeof path, "%s/run/.s.PGSQL.5432.lock", place->data);
    write_file(path, "r+", line);

    url_is_missing(place);
    assert_false(stop_ok(place));
    assert_true(start_ok(place));
    assert_int_equal(kill(stranger, SIGKILL), 0);
    assert_int_equal(end_of(stranger), -SIGKILL);
}

static void a_killed_initdb_leaves_no_half_cluster(void **state)
{
    struct place *place = *state;
    char pattern[PATH_BYTES + 64];
    pid_t pid = start_elsewhere(place);
    snprintf(pattern, sizeof pattern, "%s/postgres.new-*/base", place->data);
    for (int i = 0; i < 2000 && count_paths(pattern) == 0; i++)
        nap_ms(1);
    nap_ms(50);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(end_of(pid), -SIGKILL);
    snprintf(pattern, sizeof pattern, "%s/postgres.new-*", place->data);
    assert_int_equal(count_paths(pattern), 1); /* else it was not killed in the middle */
    assert_true(start_ok(place));
    assert_int_equal(count_paths(pattern), 0);
}

static void starters_may_be_killed_at_any_moment(void **state)
{
    struct place *place = *state;
    start_ok(place);
    for (int delay_ms = 5; delay_ms <= 125; delay_ms += 20) {
        if (delay_ms % 40 == 5)
            stop_ok(place);
        else
            kill(postmaster_of(place), SIGKILL);
        pid_t pid = start_elsewhere(place);
        nap_ms(delay_ms);
        kill(pid, SIGKILL);
        end_of(pid);
        start_ok(place);
        PGconn *conn = fixture_connect(place->conninfo);
        PQfinish(conn);
    }
}

static void an_incomplete_cluster_is_put_aside(void **state)
{
    struct place *place = *state;
    char path[PATH_BYTES + 64];
    assert_int_equal(mkdir(place->data, 0755), 0);
    snprintf(path, sizeof path, "%s/postgres", place->data);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(path, sizeof path, "%s/postgres/half", place->data);
    write_file(path, "w", "half");
    assert_true(start_ok(place));
    snprintf(path, sizeof path, "%s/postgres.incomplete-*/half", place->data);
    assert_int_equal(count_paths(path), 1);
}

static void a_damaged_cluster_is_refused_and_not_replaced(void **state)
{
    struct place *place = *state;
    struct fault fault;
    char path[PATH_BYTES + 64];
    char moved[PATH_BYTES + 64];
    start_ok(place);
    stop_ok(place);
    snprintf(path, sizeof path, "%s/postgres/PG_VERSION", place->data);
    snprintf(moved, sizeof moved, "%s/elsewhere", place->data);
    assert_int_equal(rename(path, moved), 0);
    start_fails(place->data, &fault);
    says(&fault, "PG_VERSION is missing");
    assert_int_equal(rename(moved, path), 0);
    assert_true(start_ok(place));
}

static void a_cluster_of_another_version_is_refused(void **state)
{
    struct place *place = *state;
    struct fault fault;
    char path[PATH_BYTES + 64];
    assert_int_equal(mkdir(place->data, 0755), 0);
    snprintf(path, sizeof path, "%s/postgres", place->data);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(path, sizeof path, "%s/postgres/PG_VERSION", place->data);
    write_file(path, "w", "99\n");
    snprintf(path, sizeof path, "%s/postgres/global", place->data);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(path, sizeof path, "%s/postgres/global/pg_control", place->data);
    write_file(path, "w", "");
    start_fails(place->data, &fault);
    says(&fault, "made by PostgreSQL 99");
}

static void a_start_that_fails_tells_what_the_log_says(void **state)
{
    struct place *place = *state;
    struct fault fault;
    struct stat before;
    char path[PATH_BYTES + 64];
    start_ok(place);
    stop_ok(place);
    snprintf(path, sizeof path, "%s/postgres/postgresql.conf", place->data);
    assert_int_equal(stat(path, &before), 0);
    write_file(path, "a", "\nno_such_setting = 1\n");
    start_fails(place->data, &fault);
    assert_int_equal(truncate(path, before.st_size), 0);
    says(&fault, "no_such_setting");
    says(&fault, "postgres.log");
}

static void a_place_that_cannot_be_written_gives_a_clear_fault(void **state)
{
    struct place *place = *state;
    struct fault fault;
    char path[PATH_BYTES + 64];
    start_fails("/proc/latchkey/data", &fault);
    says(&fault, "cannot make the data directory /proc/latchkey");
    snprintf(path, sizeof path, "%s/file", place->base);
    write_file(path, "w", "");
    start_fails(path, &fault);
    says(&fault, "is not a directory");
    start_fails("", &fault);
    says(&fault, "is empty");
}

static void root_is_told_which_parent_the_server_may_not_enter(void **state)
{
    struct place *place = *state;
    struct fault fault;
    if (geteuid() != 0)
        skip();
    assert_int_equal(chmod(place->base, 0700), 0);
    start_fails(place->data, &fault);
    says(&fault, "may not enter /tmp/latchkey-server-test-");
}

static void a_very_long_directory_has_its_socket_elsewhere(void **state)
{
    struct place *place = *state;
    struct pg_server_dir dir;
    struct fault fault;
    struct stat info;
    size_t used = strlen(place->data);
    while (used < 300)
        used += (size_t)snprintf(place->data + used, sizeof place->data - used, "/%s",
                                 "a-directory-with-a-long-name");
    assert_true(start_ok(place));
    assert_true(pg_server_dir_find(place->data, &dir, &fault));
    assert_memory_equal(dir.run, "/tmp/latchkey-", strlen("/tmp/latchkey-"));
    assert_int_equal(stat(dir.run, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0700);
    PGconn *conn = fixture_connect(place->conninfo);
    PQfinish(conn);
    assert_true(stop_ok(place));
    assert_int_not_equal(access(dir.run, F_OK), 0);
}

static void a_directory_with_odd_characters_works(void **state)
{
    struct place *place = *state;
    snprintf(place->data, sizeof place->data, "%s/it's a, \"dir\"", place->base);
    assert_true(start_ok(place));
    PGconn *conn = fixture_connect(place->conninfo);
    PQfinish(conn);
}

static void the_server_outlives_its_starter_and_the_terminals_interrupt(void **state)
{
    struct place *place = *state;
    stop_ok(place);
    pid_t starter = start_elsewhere(place);
    assert_int_equal(end_of(starter), 0);
    pid_t server = postmaster_of(place);
    assert_int_equal(kill(server, 0), 0);
    assert_int_not_equal(getsid(server), getsid(0));
    assert_int_not_equal(getpgid(server), starter);
    kill(-starter, SIGINT);
    nap_ms(100);
    assert_false(start_ok(place));
}

static void the_server_keeps_no_descriptor_of_its_starter(void **state)
{
    struct place *place = *state;
    int ends[2];
    stop_ok(place);
    assert_int_equal(pipe(ends), 0);
    assert_true(start_ok(place));
    close(ends[1]);
    struct pollfd end = {.fd = ends[0], .events = POLLIN};
    assert_int_equal(poll(&end, 1, 2000), 1);
    assert_true(end.revents & POLLHUP);
    close(ends[0]);
}

static void nobody_else_may_reach_the_socket(void **state)
{
    struct place *place = *state;
    struct stat info;
    char path[PATH_BYTES + 64];
    start_ok(place);
    snprintf(path, sizeof path, "%s/run", place->data);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0700);
    stop_ok(place);
    assert_int_equal(chmod(path, 0777), 0);
    start_ok(place);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0700);
}

static void the_callers_environment_does_not_reach_the_server(void **state)
{
    struct place *place = *state;
    char bytes[4096];
    char path[64];
    stop_ok(place);
    setenv("PGPORT", "1", 1);
    setenv("LC_ALL", "tr_TR", 1);
    start_ok(place);
    unsetenv("LC_ALL");
    unsetenv("PGPORT");
    PGconn *conn = fixture_connect(place->conninfo);
    PQfinish(conn);
    snprintf(path, sizeof path, "/proc/%d/environ", (int)postmaster_of(place));
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    size_t n = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    assert_null(memmem(bytes, n, "PGPORT", strlen("PGPORT")));
    assert_null(memmem(bytes, n, "tr_TR", strlen("tr_TR")));
    assert_non_null(memmem(bytes, n, "LC_ALL=C", strlen("LC_ALL=C")));
}

static void the_default_directory_depends_on_who_asks(void **state)
{
    struct text path;
    struct fault fault;
    (void)state;
    text_init(&path, PATH_BYTES);
    assert_true(pg_server_default_dir(&path, &fault));
    if (geteuid() == 0)
        assert_string_equal(text_chars(&path), "/var/lib/latchkey");
    else
        assert_non_null(strstr(text_chars(&path), "/.local/share/latchkey"));
    text_done(&path);
}

#define IN_NEW_PLACE(test) cmocka_unit_test_setup_teardown(test, new_place, leave_place)

int pg_server_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_server_starts_takes_connections_and_stops),
        cmocka_unit_test(a_second_start_finds_the_first),
        cmocka_unit_test(another_name_of_the_directory_finds_the_same_server),
        IN_NEW_PLACE(what_never_started_stops_and_has_no_url),
        IN_NEW_PLACE(of_processes_that_start_at_once_one_starts_and_all_are_served),
        cmocka_unit_test(a_killed_postmaster_is_replaced_and_the_data_kept),
        cmocka_unit_test(a_backend_that_outlives_its_postmaster_is_ended),
        cmocka_unit_test(a_stranger_with_the_postmasters_process_id_is_not_believed),
        IN_NEW_PLACE(a_killed_initdb_leaves_no_half_cluster),
        cmocka_unit_test(starters_may_be_killed_at_any_moment),
        IN_NEW_PLACE(an_incomplete_cluster_is_put_aside),
        cmocka_unit_test(a_damaged_cluster_is_refused_and_not_replaced),
        IN_NEW_PLACE(a_cluster_of_another_version_is_refused),
        cmocka_unit_test(a_start_that_fails_tells_what_the_log_says),
        IN_NEW_PLACE(a_place_that_cannot_be_written_gives_a_clear_fault),
        IN_NEW_PLACE(root_is_told_which_parent_the_server_may_not_enter),
        IN_NEW_PLACE(a_very_long_directory_has_its_socket_elsewhere),
        IN_NEW_PLACE(a_directory_with_odd_characters_works),
        cmocka_unit_test(the_server_outlives_its_starter_and_the_terminals_interrupt),
        cmocka_unit_test(the_server_keeps_no_descriptor_of_its_starter),
        cmocka_unit_test(nobody_else_may_reach_the_socket),
        cmocka_unit_test(the_callers_environment_does_not_reach_the_server),
        cmocka_unit_test(the_default_directory_depends_on_who_asks),
    };
    return cmocka_run_group_tests_name("pg_server", tests, new_place, leave_place);
}
