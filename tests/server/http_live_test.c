/* What goes on, as it is told over HTTP: locks, the stream of events, figures. */
#include "server_tests.h"

#include "http_scene.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum {
    STREAM_BYTES_MAX = 4 << 20,
    N_STREAMS = 51,
};

/* What a stream has sent so far. */
struct stream {
    int fd;
    char *text;
    size_t length;
};

static void open_stream(const struct http_scene *scene, struct stream *stream)
{
    stream->fd = http_connect(scene->port, NULL);
    stream->text = calloc(1, STREAM_BYTES_MAX);
    stream->length = 0;
    assert_true(stream->fd >= 0 && stream->text);
    http_write_chars(stream->fd, "GET /v1/stream HTTP/1.1\r\nHost: localhost\r\n\r\n");
}

static void close_stream(struct stream *stream)
{
    close(stream->fd);
    free(stream->text);
}

/* False at the end of the stream. */
static bool read_more(struct stream *stream)
{
    ssize_t n =
        recv(stream->fd, stream->text + stream->length, STREAM_BYTES_MAX - 1 - stream->length, 0);
    if (n <= 0)
        return false;
    stream->length += (size_t)n;
    stream->text[stream->length] = '\0';
    return true;
}

static void wait_for(struct stream *stream, const char *part)
{
    while (!strstr(stream->text, part))
        if (!read_more(stream))
            fail_msg("the stream ended without \"%s\": %s", part, stream->text);
}

static void a_stream_tells_locks_instances_and_rates(void **state)
{
    struct http_scene *scene = *state;
    struct stream one, other;
    char shown[40];
    PGconn *conn = scene->database->conn;
    open_stream(scene, &one);
    open_stream(scene, &other);
    wait_for(&one, "Content-Type: text/event-stream");
    wait_for(&one, "event: locks\ndata: []");
    fixture_exec(conn, "BEGIN; SELECT latchkey.lock('message/42')");
    fixture_text(conn, "SELECT latchkey.lock_shown(latchkey.lock_key('message/42'))", shown,
                 sizeof shown); /* no host knows the name of a stranger's lock */
    wait_for(&one, shown);
    wait_for(&other, shown);
    fixture_exec(conn, "COMMIT");
    int fd = http_connect(scene->port, NULL);
    http_write_chars(fd, "POST /v1/workflows/slow/instances HTTP/1.1\r\nHost: localhost\r\n"
                         "Content-Length: 0\r\n\r\n");
    wait_for(&one, "\"path\":\"slow\"");
    json_decref(http_scene_run(scene, "wait", "{}", 200));
    wait_for(&one, "\"status\":\"idle\"");
    wait_for(&one, "event: rates");
    close_stream(&other);
    json_decref(http_scene_run(scene, "wait", "{}", 200));
    kill(scene->host.pid, SIGTERM); /* streams end, they keep no host from ending */
    while (read_more(&one))
        ;
    assert_non_null(strstr(one.text, "\r\n0\r\n\r\n"));
    close_stream(&one);
    close(fd);
    http_scene_end(scene, 0);
}

static int64_t commits_of_some_seconds(PGconn *conn)
{
    static const char query[] =
        "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()";
    int64_t before = fixture_int(conn, query);
    sleep(4);
    return fixture_int(conn, query) - before;
}

/* One look at the database a second, for however many; one for each would be 200 more. */
static void all_streams_share_one_poll(void **state)
{
    struct http_scene *scene = *state;
    struct stream streams[N_STREAMS];
    PGconn *conn = scene->database->conn;
    open_stream(scene, &streams[0]);
    wait_for(&streams[0], "event: instances");
    int64_t with_one = commits_of_some_seconds(conn);
    for (int i = 1; i < N_STREAMS; i++)
        open_stream(scene, &streams[i]);
    for (int i = 1; i < N_STREAMS; i++)
        wait_for(&streams[i], "event: instances");
    int64_t with_many = commits_of_some_seconds(conn);
    if (with_many - with_one >= 100)
        fail_msg("%d commits with one stream, %d with many", (int)with_one, (int)with_many);
    for (int i = 0; i < N_STREAMS; i++)
        close_stream(&streams[i]);
}

static void a_client_that_takes_nothing_is_dropped(void **state)
{
    struct http_scene *scene = *state;
    PGconn *conn = scene->database->conn;
    int small = 4096;
    char sql[200];
    int fd = http_connect(scene->port, NULL);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    json_decref(http_scene_run(scene, "wait", "{}", 200));
    fixture_exec(conn, "INSERT INTO latchkey.instance (id, workflow, version, activity, status,"
                       " wait_for, reason, input) SELECT gen_random_uuid(), 'wait', 1, 'finish',"
                       " 'idle', 'paid', repeat('x', 20000), '{}' FROM generate_series(1, 100)");
    http_write_chars(fd, "GET /v1/stream HTTP/1.1\r\nHost: localhost\r\n\r\n");
    for (int i = 0; i < HTTP_SCENE_PATIENCE_MS / 200; i++) {
        struct http_answer answer;
        snprintf(sql, sizeof sql, "UPDATE latchkey.instance SET steps = %d", i);
        fixture_exec(conn, sql);
        usleep(200 * 1000);
        http_call(scene->port, "GET", "/metrics", NULL, NULL, &answer);
        bool dropped = i > 5 && strstr(answer.body, "latchkey_http_streams 0\n");
        http_answer_done(&answer);
        if (dropped) {
            close(fd);
            return;
        }
    }
    fail_msg("it is still there");
}

static void a_broken_lock_ends_who_holds_it(void **state)
{
    struct http_scene *scene = *state;
    struct http_answer answer;
    json_t *locks = NULL;
    int fd = http_connect(scene->port, NULL);
    json_decref(http_expect(scene->port, "DELETE", "/v1/locks/odd", NULL, NULL, 404));
    json_decref(http_expect(scene->port, "DELETE", "/v1/locks/%25zz", NULL, NULL, 400));
    http_write_chars(fd,
                     "POST /v1/workflows/odd/instances HTTP/1.1\r\nHost: localhost\r\n" HTTP_JSON
                     "Content-Length: 26\r\n\r\n{\"input\":{\"what\":\"sleep\"}}");
    for (int i = 0;; i++) {
        locks = http_expect(scene->port, "GET", "/v1/locks", NULL, NULL, 200);
        char *text = json_dumps(locks, JSON_COMPACT);
        bool found = strstr(text, "\"path\":\"odd\"") != NULL;
        free(text);
        json_decref(locks);
        if (found)
            break;
        assert_true(i < HTTP_SCENE_PATIENCE_MS / 50);
        usleep(50 * 1000);
    }
    json_t *broken = http_expect(scene->port, "DELETE", "/v1/locks/odd", NULL, NULL, 200);
    http_expect_text(broken, "path", "odd");
    assert_true(json_array_size(json_object_get(broken, "met")) > 0);
    json_decref(broken);
    http_read(fd, &answer, true);
    assert_int_equal(answer.status, 504);
    http_answer_done(&answer);
    close(fd);
    assert_int_equal(fixture_int(scene->database->conn, "SELECT count(*) FROM latchkey.lock_break"),
                     1);
}

/* Every row once, and in order. */
static void locks_come_in_pages(void **state)
{
    struct http_scene *scene = *state;
    PGconn *conn = scene->database->conn;
    PGconn *waiter = fixture_connect(scene->database->conninfo);
    char path[300] = "/v1/locks?limit=3", last[200] = "";
    int n_pages = 0, n_exclusive = 0, n_waiting = 0;
    fixture_exec(conn, "BEGIN; SELECT latchkey.lock(ARRAY['a/1', 'a/2', 'b/1', 'b/2', 'c'])");
    assert_int_equal(PQsendQuery(waiter, "SELECT latchkey.lock('c')"), 1);
    assert_int_equal(PQflush(waiter), 0);
    PGconn *other = fixture_connect(scene->database->conninfo);
    fixture_eventually_true(other, "SELECT EXISTS (SELECT FROM latchkey.locks WHERE NOT granted)",
                            HTTP_SCENE_PATIENCE_MS);
    for (bool more = true; more; n_pages++) {
        size_t i;
        json_t *row, *page = http_expect(scene->port, "GET", path, NULL, NULL, 200);
        const char *next = json_string_value(json_object_get(page, "next"));
        json_t *rows = json_object_get(page, "locks");
        assert_true(json_array_size(rows) <= 3);
        json_array_foreach(rows, i, row)
        {
            const char *text = json_string_value(json_object_get(row, "path"));
            bool exclusive =
                strcmp(json_string_value(json_object_get(row, "mode")), "exclusive") == 0;
            bool granted = json_is_true(json_object_get(row, "granted"));
            assert_true(strcmp(text, last) >= 0);
            n_exclusive += exclusive && granted;
            n_waiting += !granted;
            snprintf(last, sizeof last, "%s", text);
        }
        more = next != NULL;
        if (more)
            snprintf(path, sizeof path, "/v1/locks?limit=3&after=%s", next);
        json_decref(page);
    }
    assert_int_equal(n_exclusive, 5);
    assert_int_equal(n_waiting, 1);
    assert_true(n_pages >= 3);
    static const char *const bad[] = {"x", "0e12345678901234567-123456789abc",
                                      "0e12345678901234567-123456789abc-",
                                      "2e12345678901234567-123456789abc-a", "%ff%fe"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(path, sizeof path, "/v1/locks?after=%s", bad[i]);
        json_decref(http_expect(scene->port, "GET", path, NULL, NULL, 400));
    }
    fixture_exec(conn, "COMMIT");
    PQfinish(waiter);
    PQfinish(other);
}

static void figures_count_what_happened_and_name_no_path(void **state)
{
    struct http_scene *scene = *state;
    struct http_answer answer;
    for (int i = 0; i < 3; i++)
        json_decref(http_scene_run(scene, "read", "{\"id\":77}", 200));
    json_decref(http_scene_run(scene, "odd", "{\"what\":\"guard\"}", 409));
    http_call(scene->port, "GET", "/metrics", NULL, NULL, &answer);
    static const char requests[] = "latchkey_http_requests_total{method=\"POST\","
                                   "route=\"/v1/workflows/{name}/instances\",status=\"200\"} 3\n";
    const char *const lines[] = {
        "latchkey_executions_total{status=\"completed\"} 3\n",
        "latchkey_executions_total{status=\"blocked\"} 1\n",
        "latchkey_lock_wait_seconds_count 4\n",
        "latchkey_batch_members_total 3\n",
        "latchkey_batch_size_bucket{le=\"1\"} 3\n",
        "latchkey_batch_size_count 3\n",
        "latchkey_execution_attempts_total 4\n",
        requests,
        "latchkey_pool_connections_max 12\n",
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        if (!strstr(answer.body, lines[i]))
            fail_msg("no %s in:\n%s", lines[i], answer.body);
    assert_null(strstr(answer.body, "message/"));
    http_answer_done(&answer);
}

/* The value of a line of /metrics that begins so; -1 if there is none. */
static double figure(const struct http_scene *scene, const char *begin)
{
    struct http_answer answer;
    char line[160];
    snprintf(line, sizeof line, "\n%s ", begin);
    http_call(scene->port, "GET", "/metrics", NULL, NULL, &answer);
    assert_int_equal(answer.status, 200);
    const char *found = strstr(answer.body, line);
    double value = found ? strtod(found + strlen(line), NULL) : -1;
    http_answer_done(&answer);
    return value;
}

static void a_host_that_may_not_stays_awake_for_nobody(void **state)
{
    static const char *const arguments[] = {"--busy-poll-us", "0", NULL};
    struct http_scene *scene = *state;
    assert_true(figure(scene, "latchkey_busy_polls_total") >= 0);
    http_scene_stop(scene, 0);
    http_scene_start(scene, arguments);
    for (int i = 0; i < 3; i++)
        json_decref(http_scene_run(scene, "read", "{\"id\":77}", 200));
    assert_int_equal(figure(scene, "latchkey_busy_polls_total"), 0);
}

static void wait_for_figure(const struct http_scene *scene, const char *begin, double least)
{
    double value = -1;
    for (int i = 0; i < HTTP_SCENE_PATIENCE_MS / 20; i++) {
        value = figure(scene, begin);
        if (value >= least)
            return;
        usleep(20 * 1000);
    }
    fail_msg("%s is %g", begin, value);
}

static void figures_tell_the_queue_the_lock_table_and_the_jobs(void **state)
{
    struct http_scene *scene = *state;
    PGconn *conn = scene->database->conn;
    static const char job[] =
        "INSERT INTO latchkey.job (id, kind, workflow, instance, input, dead, run_at)"
        " SELECT gen_random_uuid(), 'start', 'wait', gen_random_uuid(), '{}', %s FROM"
        " generate_series(1, %d)";
    char sql[300];
    snprintf(sql, sizeof sql, job, "true, now()", 3);
    fixture_exec(conn, sql);
    snprintf(sql, sizeof sql, job, "false, now() + interval '1 hour'", 2);
    fixture_exec(conn, sql);
    fixture_exec(conn, "BEGIN; SELECT latchkey.lock('odd')");
    int fd = http_connect(scene->port, NULL);
    http_write_chars(fd,
                     "POST /v1/workflows/odd/instances HTTP/1.1\r\nHost: localhost\r\n" HTTP_JSON
                     "Content-Length: 26\r\n\r\n{\"input\":{\"what\":\"plain\"}}");
    wait_for_figure(scene, "latchkey_jobs{state=\"dead\"}", 3);
    assert_int_equal(figure(scene, "latchkey_jobs{state=\"later\"}"), 2);
    assert_int_equal(figure(scene, "latchkey_jobs{state=\"due\"}"), 0);
    assert_true(figure(scene, "latchkey_jobs_age_seconds") >= 0);
    wait_for_figure(scene, "latchkey_queue_executions{state=\"taken\"}", 1); /* at a waiter */
    wait_for_figure(scene, "latchkey_lock_table_used_entries", 1);
    assert_true(figure(scene, "latchkey_lock_table_size_entries") >= 100);
    wait_for_figure(scene, "latchkey_hosts", 1);
    fixture_exec(conn, "COMMIT");
    close(fd);
    assert_true(figure(scene, "latchkey_loop_lag_seconds") >= 0);
}

/* While the table of jobs cannot be read, every scrape is answered, and they ask once together. */
static void scrapes_share_one_look_and_do_not_wait_for_it(void **state)
{
    struct http_scene *scene = *state;
    PGconn *conn = scene->database->conn;
    static const char n_looks[] = "SELECT count(*) FROM pg_stat_activity WHERE pid <> "
                                  "pg_backend_pid() AND state = 'active' AND query LIKE "
                                  "'%oldest_due%'";
    fixture_exec(conn, "BEGIN; LOCK TABLE latchkey.job IN ACCESS EXCLUSIVE MODE");
    for (int i = 0; i < N_STREAMS; i++)
        assert_true(figure(scene, "latchkey_jobs{state=\"dead\"}") == -1);
    for (int i = 0; i < HTTP_SCENE_PATIENCE_MS / 20 && fixture_int(conn, n_looks) < 1; i++)
        usleep(20 * 1000);
    assert_int_equal(fixture_int(conn, n_looks), 1);
    fixture_exec(conn, "COMMIT");
    wait_for_figure(scene, "latchkey_jobs{state=\"dead\"}", 0);
}

int http_live_tests(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, http_scene_set_up, http_scene_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_stream_tells_locks_instances_and_rates),
        TEST(all_streams_share_one_poll),
        TEST(a_client_that_takes_nothing_is_dropped),
        TEST(a_broken_lock_ends_who_holds_it),
        TEST(locks_come_in_pages),
        TEST(figures_count_what_happened_and_name_no_path),
        TEST(a_host_that_may_not_stays_awake_for_nobody),
        TEST(figures_tell_the_queue_the_lock_table_and_the_jobs),
        TEST(scrapes_share_one_look_and_do_not_wait_for_it),
    };
    return cmocka_run_group_tests_name("http_live", tests, NULL, NULL);
}
