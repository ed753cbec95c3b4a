/* Several processes and one set of definitions: each change is imported once, announced once, and
 * in use everywhere soon; the death of who was at it leaves nothing behind. */
#include "definitions_desk.h"
#include "peer.h"
#include "runtime_tests.h"

#include "clock.h"
#include "workflow_loader.h"

#include <event2/event.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

enum {
    N_HOSTS = 5,
    N_REQUESTS = 20, /* of each host */
    N_FILES = 6,
    N_CHANGES = 60,
    LAST_ANSWER = 100000,
    SOON_MS = 4000, /* a notice comes at once, but for a busy machine; a look after 5 s */
    PATIENCE_MS = 60 * 1000,
};

struct shared {
    char path[DIRECTORY_BYTES];
    volatile int n_ready;      /* hosts */
    volatile bool changed_all; /* the last file is in its place */
    volatile int n_told[N_HOSTS];
    volatile int n_reloaded[N_HOSTS];
    volatile int n_refused[N_HOSTS];
    volatile int n_failed[N_HOSTS];
    volatile bool imported_all; /* the parent has seen the last versions in the store */
    volatile int expected[N_FILES];
    volatile int n_equal; /* hosts that have all of them, in time */
    volatile int n_late;
};

/* One host. */
struct pod {
    struct peer *peer;
    struct shared *shared;
    int number;
    int n_asked;
};

static void on_report(const json_t *report, const struct fault *fault, void *arg)
{
    struct pod *pod = arg;
    struct shared *shared = pod->shared;
    const char *status = report ? json_string_value(json_object_get(report, "status")) : "";
    shared->n_reloaded[pod->number] += strcmp(status, "reloaded") == 0;
    shared->n_refused[pod->number] += strcmp(status, "already-in-progress") == 0;
    shared->n_failed[pod->number] += fault != NULL;
    if (fault)
        fprintf(stderr, "reload: %s\n", fault->text);
    shared->n_told[pod->number]++;
}

static void ask(struct pod *pod)
{
    struct fault fault;
    pod->n_asked++;
    peer_must(pod->peer,
              runtime_reload(pod->peer->runtime, pod->shared->path, "test", on_report, pod, &fault),
              fault.text);
}

static bool are_all_changed(void *arg)
{
    return ((struct pod *)arg)->shared->changed_all;
}

static bool is_told_all(void *arg)
{
    struct pod *pod = arg;
    return pod->shared->n_told[pod->number] == pod->n_asked;
}

static bool are_all_imported(void *arg)
{
    return ((struct pod *)arg)->shared->imported_all;
}

/* What a new instance would run here: the loader is asked for the latest. */
struct latest {
    bool told;
    int version;
};

static void on_latest(struct workflow *workflow, const struct fault *fault, void *arg)
{
    struct latest *latest = arg;
    (void)fault;
    latest->told = true;
    latest->version = workflow ? workflow_version(workflow) : 0;
}

static bool is_told_latest(void *arg)
{
    return ((struct latest *)arg)->told;
}

static bool has_all(struct pod *pod)
{
    for (int i = 0; i < N_FILES; i++) {
        char name[16];
        struct latest latest = {0};
        struct workflow_load *load;
        struct fault fault;
        snprintf(name, sizeof name, "w%d", i);
        peer_must(
            pod->peer,
            workflow_loader_get(pod->peer->runtime, name, 0, on_latest, &latest, &load, &fault),
            fault.text);
        peer_turn_until(pod->peer, is_told_latest, &latest, PATIENCE_MS);
        if (latest.version != pod->shared->expected[i])
            return false;
    }
    return true;
}

static void be_a_pod(struct peer *peer, void *arg)
{
    struct shared *shared = arg;
    struct pod pod = {.peer = peer, .shared = shared};
    struct fault fault;
    pod.number = __atomic_fetch_add(&shared->n_ready, 1, __ATOMIC_SEQ_CST);
    peer_must(peer, runtime_watch(peer->runtime, NULL, "test", &fault), fault.text);
    while (shared->n_ready < N_HOSTS)
        peer_turn_for(peer, 1);
    while (pod.n_asked < N_REQUESTS - 1) {
        ask(&pod);
        peer_turn_for(peer, 1 + (int)(clock_jitter() * 8));
    }
    peer_turn_until(peer, are_all_changed, &pod, PATIENCE_MS);
    ask(&pod);
    peer_turn_until(peer, is_told_all, &pod, PATIENCE_MS);
    peer_turn_until(peer, are_all_imported, &pod, PATIENCE_MS);
    int64_t until_us = clock_monotonic_us() + (int64_t)SOON_MS * 1000;
    bool equal = false;
    while (!equal && clock_monotonic_us() < until_us) {
        equal = has_all(&pod);
        peer_turn_for(peer, 5);
    }
    __atomic_fetch_add(equal ? &shared->n_equal : &shared->n_late, 1, __ATOMIC_SEQ_CST);
}

static void change_files(struct shared *shared)
{
    for (int i = 0; i < N_CHANGES; i++) {
        char file[16], name[16];
        snprintf(file, sizeof file, "%d.yaml", i % N_FILES);
        snprintf(name, sizeof name, "w%d", i % N_FILES);
        bool last = i >= N_CHANGES - N_FILES;
        directory_put(shared->path, file, name, last ? LAST_ANSWER + i : i);
        nap_ms(2);
    }
    shared->changed_all = true;
}

static bool is_imported(PGconn *conn)
{
    return fixture_int(conn, "SELECT count(*) FROM (SELECT DISTINCT ON (workflow) source FROM"
                             " latchkey.definition ORDER BY workflow, version DESC) AS d"
                             " WHERE source ~ 'answer = 1000[0-9]{2}'") == N_FILES;
}

static int total(volatile int counts[N_HOSTS])
{
    int sum = 0;
    for (int i = 0; i < N_HOSTS; i++)
        sum += counts[i];
    return sum;
}

/* Each version is announced by one notice of its own. */
static void check_notices(PGconn *listening, PGconn *conn)
{
    PGresult *rows = PQexec(conn, "SELECT workflow || ' ' || version FROM latchkey.definition");
    int n = PQntuples(rows);
    char **heard = calloc((size_t)n + 1, sizeof *heard);
    PGnotify *notice;
    int n_heard = 0;
    assert_non_null(heard);
    fixture_exec(listening, "SELECT 1");
    while ((notice = PQnotifies(listening))) {
        if (n_heard < n)
            heard[n_heard] = strdup(notice->extra);
        n_heard++;
        PQfreemem(notice);
    }
    assert_int_equal(n_heard, n);
    for (int i = 0; i < n; i++) {
        int times = 0;
        for (int j = 0; j < n; j++)
            times += strcmp(heard[j], PQgetvalue(rows, i, 0)) == 0;
        assert_int_equal(times, 1);
    }
    for (int i = 0; i < n; i++)
        free(heard[i]);
    free(heard);
    PQclear(rows);
}

static void a_hundred_reloads_import_and_announce_each_change_once(void **state)
{
    struct stage *stage = *state;
    struct shared *shared = share_new(sizeof *shared);
    pid_t pods[N_HOSTS];
    struct peer migrated;
    directory_make(shared->path);
    peer_open(&migrated, stage->conninfo, NULL);
    peer_close(&migrated);
    PGconn *listening = fixture_connect(stage->conninfo);
    fixture_exec(listening, "LISTEN latchkey_definitions");
    for (int i = 0; i < N_HOSTS; i++)
        pods[i] = peer_fork(stage->conninfo, NULL, be_a_pod, shared);
    while (shared->n_ready < N_HOSTS)
        nap_ms(1);
    change_files(shared);
    for (int i = 0; i < PATIENCE_MS / 5 && !is_imported(stage->conn); i++)
        nap_ms(5);
    for (int i = 0; i < N_FILES; i++) {
        char sql[128];
        snprintf(sql, sizeof sql,
                 "SELECT max(version)::bigint FROM latchkey.definition WHERE workflow = 'w%d'", i);
        shared->expected[i] = (int)fixture_int(stage->conn, sql);
    }
    shared->imported_all = true;
    for (int i = 0; i < N_HOSTS; i++)
        peer_join(pods[i]);
    assert_true(is_imported(stage->conn));
    assert_int_equal(total(shared->n_told), N_HOSTS * N_REQUESTS);
    assert_int_equal(total(shared->n_failed), 0);
    assert_int_equal(total(shared->n_reloaded) + total(shared->n_refused), N_HOSTS * N_REQUESTS);
    assert_true(total(shared->n_reloaded) > 0);
    /* no text is there twice, and versions have no gap */
    assert_int_equal(fixture_int(stage->conn, "SELECT count(*) - count(DISTINCT checksum)"
                                              " FROM latchkey.definition"),
                     0);
    assert_int_equal(
        fixture_int(stage->conn,
                    "SELECT count(*) FROM (SELECT max(version) - count(*) AS gap"
                    " FROM latchkey.definition GROUP BY workflow) AS w WHERE gap <> 0"),
        0);
    check_notices(listening, stage->conn);
    assert_int_equal(shared->n_equal, N_HOSTS);
    PQfinish(listening);
    directory_remove(shared->path);
    share_free(shared, sizeof *shared);
}

/* ---- death ---- */

static void reload_once(struct peer *peer, void *arg)
{
    struct shared *shared = arg;
    struct pod pod = {.peer = peer, .shared = shared};
    ask(&pod);
    peer_turn_until(peer, is_told_all, &pod, PATIENCE_MS);
    shared->n_ready++;
}

static void the_next_reload_works_when_the_holder_was_killed(void **state)
{
    struct stage *stage = *state;
    struct shared *shared = share_new(sizeof *shared);
    struct peer peer;
    int status;
    directory_make(shared->path);
    directory_put(shared->path, "a.yaml", "a", 1);
    peer_open(&peer, stage->conninfo, NULL);
    PGconn *blocker = fixture_connect(stage->conninfo);
    fixture_exec(blocker, "BEGIN; LOCK TABLE latchkey.definition IN SHARE MODE");
    pid_t pid = peer_fork(stage->conninfo, NULL, reload_once, shared);
    stage_until_held(stage->conn, "$definitions");
    fixture_eventually_true(stage->conn,
                            "SELECT count(*) = 1 FROM pg_locks WHERE NOT granted AND"
                            " relation = 'latchkey.definition'::regclass",
                            30 * 1000);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    /* the server notices it by itself, though the session is in the middle of a statement */
    fixture_eventually_true(
        stage->conn, "SELECT count(*) = 0 FROM pg_locks WHERE locktype = 'advisory'", 10 * 1000);
    fixture_exec(blocker, "COMMIT");
    PQfinish(blocker);
    reload_once(&peer, shared);
    assert_int_equal(shared->n_reloaded[0], 1);
    assert_int_equal(fixture_int(stage->conn, "SELECT count(*) FROM latchkey.definition"), 1);
    peer_close(&peer);
    directory_remove(shared->path);
    share_free(shared, sizeof *shared);
}

/* ---- work meanwhile ---- */

static struct workflow *latest_of(struct peer *peer, const char *name)
{
    struct workflow *workflow;
    struct fault fault;
    peer_must(peer, runtime_find(peer->runtime, name, &workflow, &fault), fault.text);
    return workflow;
}

struct wanted {
    struct peer *peer;
    int version;
};

static bool has_version(void *arg)
{
    struct wanted *wanted = arg;
    return workflow_loader_find(wanted->peer->runtime, "count", wanted->version) != NULL;
}

static void what_waits_runs_the_version_it_started_with(void **state)
{
    struct stage *stage = *state;
    struct peer peer, other;
    struct ending first, second;
    struct fault fault;
    peer_open(&peer, stage->conninfo, NULL);
    peer_open_beside(&other, &peer, stage->conninfo, NULL);
    struct workflow *one = peer_publish(&other, &(struct recipe){0});
    assert_true(runtime_watch(peer.runtime, NULL, "test", &fault));
    struct wanted wanted = {.peer = &peer, .version = 1};
    peer_turn_until(&peer, has_version, &wanted, PATIENCE_MS);
    one = latest_of(&peer, "count");
    PGconn *holder = fixture_connect(stage->conninfo);
    fixture_exec(holder, "BEGIN; SELECT latchkey.lock('message/1')");
    peer_submit(&peer, one, &first, NULL, "{\"id\": 1}");
    stage_until_held(stage->conn, "message/1");
    peer_publish(&other, &(struct recipe){.script = "data.row.value = data.row.value + 1000"});
    wanted.version = 2;
    peer_turn_until(&peer, has_version, &wanted, PATIENCE_MS);
    assert_int_equal(first.n_told, 0);
    peer_submit(&peer, latest_of(&peer, "count"), &second, NULL, "{\"id\": 2}");
    fixture_exec(holder, "COMMIT");
    PQfinish(holder);
    peer_finish(&peer, PATIENCE_MS);
    assert_int_equal(first.status, STATUS_COMPLETED);
    assert_int_equal(second.status, STATUS_COMPLETED);
    assert_int_equal(fixture_int(stage->conn, "SELECT value FROM counter WHERE id = 1"), 1);
    assert_int_equal(fixture_int(stage->conn, "SELECT value FROM counter WHERE id = 2"), 1000);
    peer_close(&other);
    peer_close(&peer);
}

/* Looks are at least 3.75 s apart, so without notices seven of them take longer. */
static void a_notice_makes_a_host_look_at_once(void **state)
{
    struct stage *stage = *state;
    struct peer peer, other;
    struct fault fault;
    peer_open(&peer, stage->conninfo, NULL);
    peer_open_beside(&other, &peer, stage->conninfo, NULL);
    assert_true(runtime_watch(peer.runtime, NULL, "test", &fault));
    struct wanted wanted = {.peer = &peer};
    int64_t began_us = clock_monotonic_us();
    for (int version = 1; version <= 8; version++) {
        char script[64];
        snprintf(script, sizeof script, "data.row.value = %d", version);
        peer_publish(&other, &(struct recipe){.script = script});
        wanted.version = version;
        peer_turn_until(&peer, has_version, &wanted, PATIENCE_MS);
    }
    assert_true(clock_monotonic_us() - began_us < 20 * 1000 * 1000);
    peer_close(&other);
    peer_close(&peer);
}

static void a_host_that_lost_its_listening_connection_catches_up(void **state)
{
    struct stage *stage = *state;
    struct peer peer, other;
    struct fault fault;
    peer_open(&peer, stage->conninfo, NULL);
    peer_open_beside(&other, &peer, stage->conninfo, NULL);
    peer_publish(&other, &(struct recipe){0});
    assert_true(runtime_watch(peer.runtime, NULL, "test", &fault));
    struct wanted wanted = {.peer = &peer, .version = 1};
    peer_turn_until(&peer, has_version, &wanted, PATIENCE_MS);
    peer_turn_until_true(&peer, stage->conn,
                         "SELECT count(pg_terminate_backend(pid)) = 1 FROM pg_stat_activity"
                         " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                         " AND query ~ '^SELECT coalesce.* FROM .*reload'",
                         PATIENCE_MS);
    peer_publish(&other, &(struct recipe){.script = "data.row.value = 7"});
    wanted.version = 2;
    peer_turn_until(&peer, has_version, &wanted, PATIENCE_MS);
    peer_close(&other);
    peer_close(&peer);
}

int definition_hosts_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_hundred_reloads_import_and_announce_each_change_once, stage_reset),
        cmocka_unit_test_setup(the_next_reload_works_when_the_holder_was_killed, stage_reset),
        cmocka_unit_test_setup(what_waits_runs_the_version_it_started_with, stage_reset),
        cmocka_unit_test_setup(a_notice_makes_a_host_look_at_once, stage_reset),
        cmocka_unit_test_setup(a_host_that_lost_its_listening_connection_catches_up, stage_reset),
    };
    return cmocka_run_group_tests_name("definition_hosts", tests, stage_open, stage_close);
}
