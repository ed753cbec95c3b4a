/* Who joins the transaction of one that has waited in PostgreSQL for its lock. */
#include "runtime_tests.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "peer.h"

enum {
    SOON_MS = 5000,
};

/* A host with one waiter connection, and two sessions that hold locks. */
struct scene {
    struct stage *stage;
    const char *user; /* of the host; NULL = the tests' own */
    struct peer peer;
    struct workflow *workflow;
    PGconn *first, *second;
};

static PGconn *session_that_holds(const struct scene *scene, const char *path)
{
    PGconn *conn = fixture_connect(scene->stage->conninfo);
    fixture_execf(conn, "BEGIN; SELECT latchkey.lock('%s')", path);
    return conn;
}

/* `first` holds message/1, `second` what is said. */
static void scene_open(struct scene *scene, void **state, const char *held_by_second)
{
    struct runtime_options options = runtime_default_options();
    struct recipe recipe = {.acquire = "60s", .waiting = "30s"};
    char conninfo[FIXTURE_CONNINFO_BYTES + 64];
    options.waiters = 1;
    options.queue_after_us = 5 * 1000;
    scene->stage = *state;
    snprintf(conninfo, sizeof conninfo, "%s%s%s", scene->stage->conninfo,
             scene->user ? " user=" : "", scene->user ? scene->user : "");
    peer_open(&scene->peer, conninfo, &options);
    scene->workflow = peer_publish(&scene->peer, &recipe);
    peer_run(&scene->peer, scene->workflow, "{\"id\":900}"); /* its tables are known now */
    fixture_exec(scene->stage->conn, "TRUNCATE latchkey.commit_mark");
    scene->first = session_that_holds(scene, "message/1");
    scene->second = session_that_holds(scene, held_by_second);
}

static void scene_close(struct scene *scene)
{
    PQfinish(scene->first);
    PQfinish(scene->second);
    peer_close(&scene->peer);
}

static void turn_until_one_waits(struct scene *scene)
{
    peer_turn_until_true(&scene->peer, scene->stage->conn,
                         "SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT"
                         " granted AND database = (SELECT oid FROM pg_database WHERE datname ="
                         " current_database())",
                         SOON_MS);
}

/* Execution 1 waits in PostgreSQL, for seconds yet. */
static void submit_waiter(struct scene *scene, struct ending *ending)
{
    peer_submit(&scene->peer, scene->workflow, ending, NULL, "{\"id\":1}");
    turn_until_one_waits(scene);
}

struct line_length {
    struct peer *peer;
    int n;
};

static bool stand_in_line(void *arg)
{
    const struct line_length *wanted = arg;
    struct runtime_figures figures;
    runtime_read_figures(wanted->peer->runtime, &figures);
    return figures.n_slot == wanted->n;
}

/* `n` were refused for so long that they want the connection on which execution 1 waits. */
static void turn_until_in_line(struct scene *scene, int n)
{
    struct line_length wanted = {&scene->peer, n};
    peer_turn_until(&scene->peer, stand_in_line, &wanted, SOON_MS);
}

static bool is_told(void *ending)
{
    return ((struct ending *)ending)->n_told > 0;
}

static int64_t n_transactions(const struct scene *scene)
{
    return fixture_int(scene->stage->conn,
                       "SELECT count(*) FROM latchkey.commit_mark WHERE NOT void");
}

static int64_t counter(const struct scene *scene, int id)
{
    char sql[64];
    snprintf(sql, sizeof sql, "SELECT value FROM counter WHERE id = %d", id);
    return fixture_int(scene->stage->conn, sql);
}

/* ---- who joins ---- */

static void what_one_holder_let_go_is_taken_together(void **state)
{
    struct scene scene = {0};
    struct ending waiter, beside, behind;
    scene_open(&scene, state, "unused");
    fixture_exec(scene.first, "SELECT latchkey.lock('message/2')");
    submit_waiter(&scene, &waiter);
    peer_submit(&scene.peer, scene.workflow, &beside, NULL, "{\"id\":2}");
    peer_submit(&scene.peer, scene.workflow, &behind, NULL, "{\"id\":2}");
    turn_until_in_line(&scene, 1);
    fixture_exec(scene.first, "COMMIT");
    peer_finish(&scene.peer, SOON_MS);
    assert_int_equal(waiter.status, STATUS_COMPLETED);
    assert_int_equal(beside.status, STATUS_COMPLETED);
    assert_int_equal(behind.status, STATUS_COMPLETED);
    assert_int_equal(n_transactions(&scene), 1);
    assert_int_equal(counter(&scene, 2), 2);
    scene_close(&scene);
}

static void who_is_refused_waits_on_and_loses_no_update(void **state)
{
    struct scene scene = {0};
    struct ending waiter, refused;
    scene_open(&scene, state, "message/2");
    submit_waiter(&scene, &waiter);
    peer_submit(&scene.peer, scene.workflow, &refused, NULL, "{\"id\":2}");
    turn_until_in_line(&scene, 1);
    fixture_exec(scene.first, "COMMIT");
    peer_turn_until(&scene.peer, is_told, &waiter, SOON_MS);
    peer_turn_for(&scene.peer, 100);
    assert_int_equal(refused.n_told, 0);
    fixture_exec(scene.second, "UPDATE counter SET value = 40 WHERE id = 2; COMMIT");
    peer_finish(&scene.peer, SOON_MS);
    assert_int_equal(refused.status, STATUS_COMPLETED);
    assert_int_equal(refused.attempts, 1);
    assert_int_equal(counter(&scene, 2), 41);
    scene_close(&scene);
}

#define GUEST "latchkey_join_guest"

/* A row security policy takes its time over a row. */
static void let_guests_load_slowly(struct stage *stage, int id)
{
    struct peer peer;
    peer_open(&peer, stage->conninfo, NULL); /* makes the schema */
    peer_close(&peer);
    fixture_exec(stage->conn, "DO $$ BEGIN IF to_regrole('" GUEST "') IS NULL THEN"
                              " CREATE ROLE " GUEST " LOGIN; END IF; END $$;"
                              "GRANT ALL ON SCHEMA latchkey, public TO " GUEST ";"
                              "GRANT ALL ON ALL TABLES IN SCHEMA latchkey TO " GUEST ";"
                              "GRANT ALL ON ALL SEQUENCES IN SCHEMA latchkey TO " GUEST ";"
                              "GRANT ALL ON counter TO " GUEST);
    fixture_execf(stage->conn,
                  "CREATE FUNCTION slowly(id bigint) RETURNS boolean LANGUAGE plpgsql AS"
                  " 'BEGIN IF id = %d THEN PERFORM pg_sleep(1); END IF; RETURN true; END';"
                  "CREATE POLICY slowly ON counter USING (slowly(id));"
                  "ALTER TABLE counter ENABLE ROW LEVEL SECURITY",
                  id);
}

/* A load that began before the try would read what the holder has changed since. Loads of row 2
 * take their time, and it is changed meanwhile. */
static void what_one_that_joins_reads_is_loaded_after_its_try(void **state)
{
    struct scene scene = {0};
    struct ending waiter, reader;
    struct recipe recipe = {.name = "reader",
                            .acquire = "60s",
                            .waiting = "30s",
                            .script = "output.seen = data.row.value"};
    PGconn *sql = ((struct stage *)*state)->conn;
    let_guests_load_slowly(*state, 2);
    scene.user = GUEST;
    scene_open(&scene, state, "message/2");
    struct workflow *workflow = peer_publish(&scene.peer, &recipe);
    assert_int_equal(peer_run(&scene.peer, workflow, "{\"id\":900}").status, STATUS_COMPLETED);
    submit_waiter(&scene, &waiter);
    peer_submit(&scene.peer, workflow, &reader, NULL, "{\"id\":2}");
    turn_until_in_line(&scene, 1);
    fixture_exec(scene.first, "COMMIT");
    peer_turn_until_true(&scene.peer, sql,
                         "SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
                         " AND datname = current_database()",
                         SOON_MS);
    fixture_exec(scene.second, "UPDATE counter SET value = 40 WHERE id = 2; COMMIT");
    peer_finish(&scene.peer, 2 * SOON_MS);
    assert_int_equal(reader.status, STATUS_COMPLETED);
    assert_string_equal(reader.output, "{\"seen\": 40}");
    scene_close(&scene);
}

/* The one that waited has its locks whatever those that join are told. */
static void a_refused_shared_key_takes_nothing_from_the_one_that_waited(void **state)
{
    struct scene scene = {0};
    struct ending waiter, below;
    PGconn *next;
    scene_open(&scene, state, "a");
    next = fixture_connect(scene.stage->conninfo);
    submit_waiter(&scene, &waiter);
    session_send(next, "BEGIN; SELECT latchkey.lock('message/1')");
    stage_until_waiting(scene.stage->conn, 2);
    peer_submit(&scene.peer, scene.workflow, &below, NULL, "{\"id\":2,\"path\":[\"a\",1]}");
    turn_until_in_line(&scene, 1);
    fixture_exec(scene.first, "COMMIT");
    peer_turn_until(&scene.peer, is_told, &waiter, SOON_MS); /* before the session behind it */
    assert_int_equal(waiter.attempts, 1);
    assert_int_equal(below.n_told, 0);
    session_finish(next);
    PQfinish(next);
    fixture_exec(scene.second, "COMMIT");
    peer_finish(&scene.peer, SOON_MS);
    assert_int_equal(below.status, STATUS_COMPLETED);
    scene_close(&scene);
}

/* Several paths are taken together or not at all: refused one, it would keep the other until the
 * transaction ends. The connection for waiting goes to one that is older. */
static void one_with_several_paths_does_not_join(void **state)
{
    struct scene scene = {0};
    struct ending waiter, older, both;
    PGconn *other;
    scene_open(&scene, state, "b");
    fixture_exec(scene.second, "SELECT latchkey.lock('d')");
    other = fixture_connect(scene.stage->conninfo);
    fixture_exec(scene.stage->conn,
                 "CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS"
                 " 'BEGIN PERFORM pg_sleep(1); RETURN NEW; END';"
                 "CREATE TRIGGER slowly BEFORE UPDATE ON counter FOR EACH ROW"
                 " WHEN (NEW.id = 1 AND NEW.value > OLD.value) EXECUTE FUNCTION slowly()");
    submit_waiter(&scene, &waiter);
    peer_submit(&scene.peer, scene.workflow, &older, NULL, "{\"id\":3,\"path\":[[\"c\"],[\"d\"]]}");
    turn_until_in_line(&scene, 1);
    peer_submit(&scene.peer, scene.workflow, &both, NULL, "{\"id\":2,\"path\":[[\"a\"],[\"b\"]]}");
    turn_until_in_line(&scene, 2);
    fixture_exec(scene.first, "COMMIT");
    peer_turn_until_true(&scene.peer, other,
                         "SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
                         " AND datname = current_database()",
                         SOON_MS);
    fixture_exec(other, "SET lock_timeout = '100ms'; BEGIN; SELECT latchkey.lock('a'); ROLLBACK");
    PQfinish(other);
    fixture_exec(scene.second, "COMMIT");
    peer_finish(&scene.peer, SOON_MS);
    assert_int_equal(waiter.status, STATUS_COMPLETED);
    assert_int_equal(older.status, STATUS_COMPLETED);
    assert_int_equal(both.status, STATUS_COMPLETED);
    scene_close(&scene);
}

static void a_lease_in_the_way_of_one_that_joins_is_seen(void **state)
{
    struct scene scene = {0};
    struct ending waiter, leased;
    scene_open(&scene, state, "unused");
    fixture_exec(scene.first,
                 "SELECT latchkey.lock('message/2');"
                 "INSERT INTO latchkey.lease (path, token, holder, process, instance, workflow,"
                 " activity, expires_at) SELECT 'message/2', nextval('latchkey.lease_token'), u, u,"
                 " u, 'x', 'x', clock_timestamp() + interval '1 hour' FROM gen_random_uuid() AS u");
    submit_waiter(&scene, &waiter);
    peer_submit(&scene.peer, scene.workflow, &leased, NULL, "{\"id\":2}");
    turn_until_in_line(&scene, 1);
    fixture_exec(scene.first, "COMMIT");
    peer_turn_until(&scene.peer, is_told, &waiter, SOON_MS);
    peer_turn_for(&scene.peer, 200);
    assert_int_equal(waiter.status, STATUS_COMPLETED);
    assert_int_equal(leased.n_told, 0);
    fixture_exec(scene.stage->conn, "DELETE FROM latchkey.lease; NOTIFY latchkey_lease");
    peer_finish(&scene.peer, SOON_MS);
    assert_int_equal(leased.status, STATUS_COMPLETED);
    scene_close(&scene);
}

/* Whose lock may be held for less long than the limits of the transaction say. */
static void one_with_a_shorter_waiting_timeout_does_not_join(void **state)
{
    struct scene scene = {0};
    struct ending waiter, hasty;
    struct recipe recipe = {.name = "hasty", .acquire = "60s", .waiting = "2s"};
    scene_open(&scene, state, "unused");
    struct workflow *workflow = peer_publish(&scene.peer, &recipe);
    peer_run(&scene.peer, workflow, "{\"id\":900}");
    fixture_exec(scene.stage->conn, "TRUNCATE latchkey.commit_mark");
    fixture_exec(scene.first, "SELECT latchkey.lock('message/2')");
    submit_waiter(&scene, &waiter);
    peer_submit(&scene.peer, workflow, &hasty, NULL, "{\"id\":2}");
    turn_until_in_line(&scene, 1);
    fixture_exec(scene.first, "COMMIT");
    peer_finish(&scene.peer, SOON_MS);
    assert_int_equal(waiter.status, STATUS_COMPLETED);
    assert_int_equal(hasty.status, STATUS_COMPLETED);
    assert_int_equal(n_transactions(&scene), 2);
    scene_close(&scene);
}

/* An error of one that joined counts for nobody: all run again by themselves. */
static void an_error_of_one_that_joined_is_its_own(void **state)
{
    struct scene scene = {0};
    struct ending waiter, bad;
    scene_open(&scene, state, "unused");
    fixture_exec(scene.first, "SELECT latchkey.lock('message/2')");
    fixture_exec(scene.stage->conn,
                 "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
                 " 'BEGIN RAISE EXCEPTION ''not this one''; END';"
                 "CREATE TRIGGER refuse BEFORE UPDATE ON counter FOR EACH ROW WHEN (NEW.id = 2)"
                 " EXECUTE FUNCTION refuse()");
    submit_waiter(&scene, &waiter);
    peer_submit(&scene.peer, scene.workflow, &bad, NULL, "{\"id\":2}");
    turn_until_in_line(&scene, 1);
    fixture_exec(scene.first, "COMMIT");
    peer_turn_until(&scene.peer, is_told, &waiter, SOON_MS);
    assert_int_equal(waiter.status, STATUS_COMPLETED);
    assert_int_equal(counter(&scene, 1), 1);
    fixture_exec(scene.stage->conn, "DROP TRIGGER refuse ON counter");
    peer_finish(&scene.peer, 30 * 1000);
    assert_int_equal(counter(&scene, 2), bad.status == STATUS_COMPLETED);
    scene_close(&scene);
}

/* Who was refused waits in PostgreSQL meanwhile, and not for the end of the transaction that it did
 * not join. */
static void who_is_refused_does_not_await_those_that_were_not(void **state)
{
    struct scene scene = {0};
    struct ending waiter, refused;
    scene_open(&scene, state, "message/2");
    fixture_exec(scene.stage->conn,
                 "CREATE TABLE public.gate AS SELECT 1;"
                 "CREATE FUNCTION at_gate() RETURNS trigger LANGUAGE plpgsql AS"
                 " 'BEGIN WHILE EXISTS (SELECT FROM public.gate) LOOP PERFORM pg_sleep(0.01);"
                 " END LOOP; RETURN NEW; END';"
                 "CREATE TRIGGER at_gate BEFORE UPDATE ON counter FOR EACH ROW WHEN (NEW.id = 1)"
                 " EXECUTE FUNCTION at_gate()");
    submit_waiter(&scene, &waiter);
    peer_submit(&scene.peer, scene.workflow, &refused, NULL, "{\"id\":2}");
    turn_until_in_line(&scene, 1);
    fixture_exec(scene.first, "COMMIT");
    turn_until_one_waits(&scene);
    assert_int_equal(waiter.n_told, 0);
    fixture_exec(scene.stage->conn, "DELETE FROM public.gate");
    fixture_exec(scene.second, "COMMIT");
    peer_finish(&scene.peer, SOON_MS);
    assert_int_equal(waiter.status, STATUS_COMPLETED);
    assert_int_equal(waiter.attempts, 1);
    assert_int_equal(refused.status, STATUS_COMPLETED);
    assert_int_equal(refused.attempts, 1);
    scene_close(&scene);
}

/* One that has ended already stands behind one that is refused, which keeps its place till then. */
static void one_without_a_key_ends_behind_one_that_is_refused(void **state)
{
    struct scene scene = {0};
    struct ending waiter, refused, bad, last;
    struct recipe recipe = {
        .name = "bad", .acquire = "60s", .waiting = "30s", .key = "input.id // 0"};
    scene_open(&scene, state, "message/2");
    struct workflow *workflow = peer_publish(&scene.peer, &recipe);
    assert_int_equal(peer_run(&scene.peer, workflow, "{\"id\":900}").status, STATUS_INVALID);
    submit_waiter(&scene, &waiter);
    peer_submit(&scene.peer, scene.workflow, &refused, NULL, "{\"id\":2}");
    turn_until_in_line(&scene, 1);
    peer_submit(&scene.peer, workflow, &bad, NULL, "{\"id\":2}");
    peer_submit(&scene.peer, scene.workflow, &last, NULL, "{\"id\":2}");
    fixture_exec(scene.first, "COMMIT");
    peer_turn_until(&scene.peer, is_told, &waiter, SOON_MS);
    peer_turn_until(&scene.peer, is_told, &bad, SOON_MS);
    assert_int_equal(bad.status, STATUS_INVALID);
    assert_int_equal(refused.n_told, 0);
    fixture_exec(scene.second, "COMMIT");
    peer_finish(&scene.peer, SOON_MS);
    assert_int_equal(waiter.status, STATUS_COMPLETED);
    assert_int_equal(refused.status, STATUS_COMPLETED);
    assert_int_equal(last.status, STATUS_COMPLETED);
    assert_int_equal(counter(&scene, 2), 2);
    scene_close(&scene);
}

/* Whose script takes longer than it may beside others goes on by itself, and keeps the lock that it
 * has waited for. */
static void one_whose_script_is_long_keeps_its_lock(void **state)
{
    struct scene scene = {0};
    struct ending waiter, beside;
    struct recipe recipe = {
        .name = "long",
        .acquire = "60s",
        .waiting = "30s",
        .script = "for i = 1, 3e6 do local x = i end data.row.value = data.row.value + 1"};
    scene_open(&scene, state, "unused");
    scene.workflow = peer_publish(&scene.peer, &recipe);
    peer_run(&scene.peer, scene.workflow, "{\"id\":900}");
    fixture_exec(scene.first, "SELECT latchkey.lock('message/2')");
    submit_waiter(&scene, &waiter);
    peer_submit(&scene.peer, scene.workflow, &beside, NULL, "{\"id\":2}");
    turn_until_in_line(&scene, 1);
    fixture_exec(scene.first, "COMMIT");
    peer_finish(&scene.peer, SOON_MS);
    assert_int_equal(waiter.status, STATUS_COMPLETED);
    assert_int_equal(waiter.attempts, 1);
    assert_int_equal(beside.status, STATUS_COMPLETED);
    scene_close(&scene);
}

/* ---- all kinds on popular paths ---- */

enum {
    N_PEERS = 3,
    N_POPULAR = 6,
    N_IN_FLIGHT = 90, /* in all */
    N_KINDS = 6,
};

static const struct recipe kinds[N_KINDS] = {
    {.name = "one"},
    {.name = "two", .lock_context = "{{\"message\", input.id}, {\"message\", input.n}}"},
    {.name = "above", .lock_context = "{\"message\"}"},
    {.name = "leased", .hold = "lease"},
    {.name = "failing", .script = "data.row.value = 7 error(\"not this one\")"},
    {.name = "keyless", .key = "input.id // 0"},
};

/* Of ten six are of the first kind. */
static int draw_kind(unsigned *seed)
{
    int drawn = rand_r(seed) % 50;
    return drawn < 30 ? 0 : drawn < 38 ? 1 : drawn == 38 ? 2 : 3 + drawn % 3;
}

/* Small ids are popular. */
static int draw_id(unsigned *seed)
{
    return 1 + rand_r(seed) % (1 + rand_r(seed) % N_POPULAR);
}

static void hosts_with_all_kinds_on_popular_paths_lose_no_update(void **state)
{
    struct stage *stage = *state;
    struct runtime_options options = runtime_default_options();
    struct peer peers[N_PEERS];
    struct workflow *workflows[N_PEERS][N_KINDS];
    int n = long_or(30000, 1500), n_told = 0, wanted[N_POPULAR + 1] = {0};
    struct ending *endings = calloc((size_t)n, sizeof *endings);
    int *picked = calloc((size_t)n, sizeof *picked);
    unsigned seed = (unsigned)getpid();
    print_message("seed %u\n", seed);
    options.waiters = 2;
    options.queue_after_us = 2 * 1000;
    for (int i = 0; i < N_PEERS; i++) {
        if (i == 0)
            peer_open(&peers[i], stage->conninfo, &options);
        else
            peer_open_beside(&peers[i], &peers[0], stage->conninfo, &options);
        for (int k = 0; k < N_KINDS; k++) {
            struct recipe recipe = kinds[k];
            recipe.acquire = recipe.waiting = "60s";
            workflows[i][k] = peer_publish(&peers[i], &recipe);
        }
    }
    fixture_exec(stage->conn,
                 "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
                 " 'BEGIN IF random() < 0.01 THEN RAISE EXCEPTION ''not now''; END IF;"
                 " RETURN NEW; END';"
                 "CREATE TRIGGER refuse BEFORE UPDATE ON counter FOR EACH ROW EXECUTE FUNCTION"
                 " refuse()");
    for (int i = 0; i < n; i++) {
        int peer = rand_r(&seed) % N_PEERS, kind = draw_kind(&seed), id = draw_id(&seed);
        picked[i] = kind << 8 | id;
        peer_submit(&peers[peer], workflows[peer][kind], &endings[i], &n_told,
                    "{\"id\":%d,\"n\":%d}", id, draw_id(&seed));
        while (i + 1 - n_told >= N_IN_FLIGHT)
            peer_turn_for(&peers[0], 1);
    }
    for (int i = 0; i < N_PEERS; i++)
        peer_finish(&peers[i], 120 * 1000);
    for (int i = 0; i < n; i++) {
        int kind = picked[i] >> 8;
        assert_int_equal(endings[i].n_told, 1);
        if (endings[i].status == STATUS_COMPLETED)
            wanted[picked[i] & 255]++;
        else if (kind == N_KINDS - 1)
            assert_int_equal(endings[i].status, STATUS_INVALID);
        else
            assert_int_equal(endings[i].status, STATUS_FAILED);
        assert_true(kind < 4 || endings[i].status != STATUS_COMPLETED);
    }
    for (int id = 1; id <= N_POPULAR; id++) {
        char sql[64];
        snprintf(sql, sizeof sql, "SELECT value FROM counter WHERE id = %d", id);
        assert_int_equal(fixture_int(stage->conn, sql), wanted[id]);
    }
    stage_until_nothing_held(stage->conn);
    for (int i = N_PEERS - 1; i >= 0; i--)
        peer_close(&peers[i]);
    free(picked);
    free(endings);
}

#define TEST(name) cmocka_unit_test_setup(name, stage_reset)

int waiting_join_tests(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_one_holder_let_go_is_taken_together),
        TEST(who_is_refused_waits_on_and_loses_no_update),
        TEST(what_one_that_joins_reads_is_loaded_after_its_try),
        TEST(a_refused_shared_key_takes_nothing_from_the_one_that_waited),
        TEST(one_with_several_paths_does_not_join),
        TEST(a_lease_in_the_way_of_one_that_joins_is_seen),
        TEST(one_with_a_shorter_waiting_timeout_does_not_join),
        TEST(an_error_of_one_that_joined_is_its_own),
        TEST(who_is_refused_does_not_await_those_that_were_not),
        TEST(one_without_a_key_ends_behind_one_that_is_refused),
        TEST(one_whose_script_is_long_keeps_its_lock),
        TEST(hosts_with_all_kinds_on_popular_paths_lose_no_update),
    };
    return cmocka_run_group_tests_name("waiting_join", tests, stage_open, stage_close);
}
