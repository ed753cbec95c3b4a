#include "peer.h"

#include "clock.h"
#include "definition_read.h"

#include <errno.h>
#include <event2/event.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum {
    TICK_US = 2000,
    PATIENCE = 4, /* times what a test allows: the machine may be busy */
    DEFINITION_BYTES = 4096,
    CHILD_FAILED = 9,
    HELD_BYTES = 512,
};

void nap_ms(int ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L}, NULL);
}

int long_or(int long_value, int short_value)
{
    return getenv("LATCHKEY_TEST_LONG") ? long_value : short_value;
}

/* ---- stage ---- */

void stage_fill(PGconn *conn)
{
    fixture_exec(conn, "CREATE TABLE counter (id bigint PRIMARY KEY, value bigint NOT NULL);"
                       "INSERT INTO counter SELECT n, 0 FROM generate_series(1, 1000) AS n");
}

int stage_open(void **state)
{
    struct stage *stage = calloc(1, sizeof *stage);
    *state = stage;
    return stage && fixture_database_new(stage->conninfo) ? 0 : -1;
}

int stage_reset(void **state)
{
    struct stage *stage = *state;
    char name[128];
    PQfinish(stage->conn);
    stage->conn = fixture_connect(stage->conninfo);
    fixture_text(stage->conn, "SELECT current_database()::text", name, sizeof name);
    fixture_exec(stage->conn, "SET default_transaction_read_only = off");
    fixture_execf(stage->conn, "ALTER DATABASE %s RESET ALL", name);
    PQreset(stage->conn);
    fixture_exec(stage->conn, "SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity WHERE"
                              " backend_type = 'client backend' AND datname = current_database()"
                              " AND pid <> pg_backend_pid()");
    fixture_exec(
        stage->conn,
        "DROP SCHEMA public CASCADE; CREATE SCHEMA public;"
        "DO 'DECLARE t text; BEGIN IF to_regnamespace(''latchkey'') IS NOT NULL THEN"
        " FOREACH t IN ARRAY ARRAY[''definition'', ''instance'', ''execution'', ''commit_mark'',"
        " ''host'', ''trigger'', ''lease'', ''job'', ''definition_state''] LOOP"
        " EXECUTE ''DELETE FROM latchkey.'' || t; END LOOP;"
        " UPDATE latchkey.reload SET asked = 0, done = 0; END IF; END'");
    /* the role may have the name of latchkey's schema, which "$user" would then choose */
    fixture_exec(stage->conn, "SET search_path = public");
    stage_fill(stage->conn);
    return 0;
}

int stage_close(void **state)
{
    struct stage *stage = *state;
    PQfinish(stage->conn);
    fixture_database_drop(stage->conninfo);
    free(stage);
    return 0;
}

int64_t stage_total(const struct stage *stage)
{
    return fixture_int(stage->conn, "SELECT sum(value)::bigint FROM counter");
}

static const char ADVISORY[] = "FROM pg_locks l JOIN pg_database d ON d.oid = l.database"
                               " WHERE l.locktype = 'advisory' AND d.datname = current_database()";

int64_t stage_n_granted(PGconn *conn)
{
    char sql[512];
    snprintf(sql, sizeof sql, "SELECT count(*) %s AND l.granted", ADVISORY);
    return fixture_int(conn, sql);
}

int64_t stage_n_waiting(PGconn *conn)
{
    char sql[512];
    snprintf(sql, sizeof sql, "SELECT count(*) %s AND NOT l.granted", ADVISORY);
    return fixture_int(conn, sql);
}

void stage_until_nothing_held(PGconn *conn)
{
    char sql[512];
    snprintf(sql, sizeof sql, "SELECT count(*) = 0 %s", ADVISORY);
    fixture_eventually_true(conn, sql, 20 * 1000);
}

static void ask_if_held(const char *path, char sql[HELD_BYTES])
{
    snprintf(sql, HELD_BYTES,
             "SELECT count(*) > 0 %s AND l.granted AND l.mode = 'ExclusiveLock'"
             " AND (l.classid::bigint << 32) | l.objid::bigint = latchkey.lock_key('%s')",
             ADVISORY, path);
}

void stage_until_held(PGconn *conn, const char *path)
{
    char sql[HELD_BYTES];
    ask_if_held(path, sql);
    fixture_eventually_true(conn, sql, 20 * 1000);
}

void stage_until_waiting(PGconn *conn, int64_t n)
{
    char sql[512];
    snprintf(sql, sizeof sql, "SELECT count(*) >= %lld %s AND NOT l.granted", (long long)n,
             ADVISORY);
    fixture_eventually_true(conn, sql, 20 * 1000);
}

/* ---- peer ---- */

void peer_must(const struct peer *peer, bool ok, const char *what)
{
    if (ok)
        return;
    if (peer->is_child) {
        fprintf(stderr, "child: %s\n", what);
        _exit(CHILD_FAILED);
    }
    print_error("%s\n", what);
    fail();
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg;
}

static void start_runtime(struct peer *peer, const char *conninfo,
                          const struct runtime_options *options)
{
    struct runtime_options own = options ? *options : runtime_default_options();
    struct fault fault;
    peer->log = (struct log){.stream = getenv("LATCHKEY_TEST_LOG") ? stderr : NULL};
    own.conninfo = conninfo;
    own.log = &peer->log;
    peer_must(peer, runtime_new(peer->base, &own, &peer->runtime, &fault), fault.text);
    peer_must(peer, runtime_start(peer->runtime, 20 * 1000 * 1000, &fault), fault.text);
}

static void open_peer(struct peer *peer, const char *conninfo,
                      const struct runtime_options *options, bool is_child)
{
    struct timeval tick = {.tv_usec = TICK_US};
    *peer = (struct peer){.owns_base = true, .is_child = is_child};
    peer->base = event_base_new();
    peer_must(peer, peer->base != NULL, "no event base");
    peer->tick = event_new(peer->base, -1, EV_PERSIST, on_tick, NULL);
    event_add(peer->tick, &tick);
    start_runtime(peer, conninfo, options);
}

void peer_open(struct peer *peer, const char *conninfo, const struct runtime_options *options)
{
    open_peer(peer, conninfo, options, /* is_child= */ false);
}

void peer_open_beside(struct peer *peer, struct peer *other, const char *conninfo,
                      const struct runtime_options *options)
{
    *peer = (struct peer){.base = other->base, .is_child = other->is_child};
    start_runtime(peer, conninfo, options);
}

void peer_close(struct peer *peer)
{
    runtime_free(peer->runtime);
    if (!peer->owns_base)
        return;
    event_free(peer->tick);
    event_base_free(peer->base);
}

/* ---- workflows ---- */

static const char * or (const char *given, const char *otherwise)
{
    return given ? given : otherwise;
}

struct workflow *peer_publish(struct peer *peer, const struct recipe *recipe)
{
    char source[DEFINITION_BYTES];
    const char *name = or (recipe->name, "count");
    const char *context = or (recipe->lock_context, "input.path or {\"message\", input.id}");
    struct definition *definition;
    struct workflow *workflow;
    struct problems problems;
    struct fault fault;
    bool published;
    snprintf(source, sizeof source,
             "workflow: %s\n"
             "input: { id: integer, path?: array, n?: integer }\n"
             "data:\n"
             "  row:\n"
             "    table: counter\n"
             "    key: { id: \"%s\" }\n"
             "start: act\n"
             "activities:\n"
             "  act:\n"
             "    enable-exclusive-lock: true\n"
             "%s%s%s"
             "    waiting-timeout: %s\n"
             "    acquire-timeout: %s\n"
             "    on-conflict: %s\n"
             "    lock-hold: %s\n"
             "    guard: \"%s\"\n"
             "    script: |\n"
             "      %s\n",
             name, or (recipe->key, "input.id"), *context ? "    lock-context: '" : "", context,
             *context ? "'\n" : "", or (recipe->waiting, "5s"), or (recipe->acquire, "10s"),
             or (recipe->on_conflict, "retry"), or (recipe->hold, "transaction"),
             or (recipe->guard, "true"),
             or (recipe->script, "data.row.value = data.row.value + 1"));
    problems_init(&problems);
    bool ok = definition_read(runtime_sandbox(peer->runtime), name, source, strlen(source),
                              &definition, &problems);
    peer_must(peer, ok, problems.n_items ? problems.items[0].message : "not readable");
    problems_done(&problems);
    peer_must(peer,
              runtime_publish(peer->runtime, definition, /* base= */ -1, "test", &workflow,
                              &published, &fault),
              fault.text);
    return workflow;
}

/* ---- executions ---- */

static void on_done(const struct result *result, void *arg)
{
    struct ending *ending = arg;
    char *output = result->output ? json_dumps(result->output, JSON_ENCODE_ANY) : NULL;
    ending->n_told++;
    ending->status = result->status;
    ending->attempts = result->attempts;
    ending->token = result->token;
    ending->waited_us = result->waited_us;
    ending->held_us = result->held_us;
    ending->told_us = clock_monotonic_us();
    snprintf(ending->reason, sizeof ending->reason, "%s", result->reason);
    snprintf(ending->output, sizeof ending->output, "%s", output ? output : "");
    free(output);
    if (ending->n_told_before)
        ending->place = (*ending->n_told_before)++;
}

static void submit(struct peer *peer, struct workflow *workflow, const char *input,
                   runtime_done_fn *done, void *arg)
{
    struct fault fault;
    json_error_t error;
    json_t *object = json_loads(input, 0, &error);
    peer_must(peer, object != NULL, error.text);
    struct submission submission = {
        .workflow = workflow, .input = object, .done = done, .arg = arg};
    peer_must(peer, runtime_submit(peer->runtime, &submission, &fault), fault.text);
    json_decref(object);
}

void peer_submit(struct peer *peer, struct workflow *workflow, struct ending *ending, int *n_told,
                 const char *input, ...)
{
    char text[512];
    va_list args;
    va_start(args, input);
    vsnprintf(text, sizeof text, input, args);
    va_end(args);
    *ending = (struct ending){.n_told_before = n_told};
    submit(peer, workflow, text, on_done, ending);
}

void peer_turn_until(struct peer *peer, fixture_ask_fn *ask, void *arg, int timeout_ms)
{
    int64_t until_us = clock_monotonic_us() + (int64_t)timeout_ms * 1000 * PATIENCE;
    while (!ask(arg)) {
        peer_must(peer, clock_monotonic_us() < until_us, "it did not come about in time");
        event_base_loop(peer->base, EVLOOP_ONCE);
    }
}

static bool nothing_runs(void *arg)
{
    const struct peer *peer = arg;
    return runtime_n_running(peer->runtime) == 0;
}

void peer_finish(struct peer *peer, int timeout_ms)
{
    peer_turn_until(peer, nothing_runs, peer, timeout_ms);
}

void peer_turn_for(struct peer *peer, int ms)
{
    int64_t until_us = clock_monotonic_us() + (int64_t)ms * 1000;
    while (clock_monotonic_us() < until_us)
        event_base_loop(peer->base, EVLOOP_ONCE);
}

struct question {
    PGconn *conn;
    const char *sql;
};

static bool answers_true(void *arg)
{
    const struct question *question = arg;
    char value[8];
    fixture_text(question->conn, question->sql, value, sizeof value);
    return strcmp(value, "t") == 0;
}

void peer_turn_until_true(struct peer *peer, PGconn *conn, const char *sql, int timeout_ms)
{
    struct question question = {.conn = conn, .sql = sql};
    peer_turn_until(peer, answers_true, &question, timeout_ms);
}

void peer_turn_until_held(struct peer *peer, PGconn *conn, const char *path)
{
    char sql[HELD_BYTES];
    ask_if_held(path, sql);
    peer_turn_until_true(peer, conn, sql, 10 * 1000);
}

struct ending peer_run(struct peer *peer, struct workflow *workflow, const char *input)
{
    struct ending ending;
    peer_submit(peer, workflow, &ending, NULL, "%s", input);
    peer_finish(peer, 30 * 1000);
    return ending;
}

/* ---- load ---- */

struct one {
    struct load *load;
    int64_t since_us;
};

static void load_one(struct load *load);

static void on_load_done(const struct result *result, void *arg)
{
    struct one *one = arg;
    struct load *load = one->load;
    int64_t took_us = clock_monotonic_us() - one->since_us;
    free(one);
    load->counts[result->status]++;
    if (took_us > load->worst_us)
        load->worst_us = took_us;
    if (result->status != STATUS_COMPLETED)
        snprintf(load->reason, sizeof load->reason, "%s", result->reason);
    if (!load->stopped && (!load->n_wanted || load->n_started < load->n_wanted))
        load_one(load);
}

static void load_one(struct load *load)
{
    struct one *one = calloc(1, sizeof *one);
    peer_must(load->peer, one != NULL, "no memory");
    one->load = load;
    one->since_us = clock_monotonic_us();
    const char *input = load->inputs[load->n_started++ % load->n_inputs];
    submit(load->peer, load->workflow, input, on_load_done, one);
}

void load_start(struct load *load)
{
    for (int i = 0; i < load->concurrency && (!load->n_wanted || i < load->n_wanted); i++)
        load_one(load);
}

void load_stop(struct load *load, int timeout_ms)
{
    load->stopped = true;
    peer_finish(load->peer, timeout_ms);
}

/* ---- processes ---- */

void *share_new(size_t n_bytes)
{
    void *shared = mmap(NULL, n_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(shared, MAP_FAILED);
    return shared;
}

void share_free(void *shared, size_t n_bytes)
{
    munmap(shared, n_bytes);
}

pid_t peer_fork(const char *conninfo, const struct runtime_options *options, peer_body_fn *body,
                void *shared)
{
    struct peer peer;
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid > 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    open_peer(&peer, conninfo, options, /* is_child= */ true);
    body(&peer, shared);
    peer_close(&peer);
    _exit(0);
}

void peer_join(pid_t pid)
{
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        print_error("a child ended with the status %#x\n", (unsigned)status);
        fail();
    }
}

/* ---- other sessions ---- */

void session_send(PGconn *conn, const char *sql)
{
    assert_int_equal(PQsendQuery(conn, sql), 1);
}

bool session_is_done(void *arg)
{
    PGconn *conn = arg;
    assert_int_equal(PQconsumeInput(conn), 1);
    return !PQisBusy(conn);
}

void session_finish(PGconn *conn)
{
    PGresult *result;
    while ((result = PQgetResult(conn))) {
        ExecStatusType status = PQresultStatus(result);
        if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
            print_error("%s", PQerrorMessage(conn));
        PQclear(result);
        assert_true(status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK);
    }
}
