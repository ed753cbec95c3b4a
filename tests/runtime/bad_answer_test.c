/*
 * Each answer of the database fails once: the connection is cut before it, or the statement ends in
 * an error. Whatever becomes of an execution then, it is told once and truly, the counter holds
 * what completed and nothing stays locked.
 */
#include "runtime_tests.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "peer.h"

#include "pg_proxy.h"

enum {
    MEMBERS_MAX = 6,
    HELD_MS = 90, /* past the time after which a refused head joins PostgreSQL's queue */
};

struct harm {
    const char *sqlstate; /* NULL: the connection is cut */
    bool passes;          /* the executions are run again and complete */
};

static const struct harm harms[] = {
    {NULL, true},                      /* */
    {"53200", true},                   /* the lock table is full: wait */
    {"40001", true},  {"57P01", true}, /* the server shuts down */
    {"XX000", false},
};

struct scene {
    struct stage *stage;
    struct pg_proxy *proxy;
    struct peer peer;
    struct workflow *workflow;
    const char *const *inputs;
    int n_members;
    bool waits; /* somebody else holds message/1 at first */
    int64_t expected;
    int counts[STATUS_COUNT];
};

static void strike(struct scene *scene, const struct harm *harm, int skip)
{
    if (harm->sqlstate)
        pg_proxy_fail_statement(scene->proxy, harm->sqlstate, skip);
    else
        pg_proxy_strike(scene->proxy, PG_PROXY_CUT_BEFORE_ANSWER, skip, 1);
}

/* True if the harm was done: there were more than skip occasions. */
static bool play(struct scene *scene, const struct harm *harm, int skip)
{
    struct ending endings[MEMBERS_MAX];
    if (scene->waits)
        fixture_exec(scene->stage->conn, "BEGIN; SELECT latchkey.lock('message/1')");
    strike(scene, harm, skip);
    for (int i = 0; i < scene->n_members; i++)
        peer_submit(&scene->peer, scene->workflow, &endings[i], NULL, "%s", scene->inputs[i]);
    if (scene->waits) {
        peer_turn_for(&scene->peer, HELD_MS);
        fixture_exec(scene->stage->conn, "COMMIT");
    }
    peer_finish(&scene->peer, 60 * 1000);
    bool struck = pg_proxy_n_struck(scene->proxy) > 0;
    pg_proxy_strike(scene->proxy, PG_PROXY_CUT_BEFORE_ANSWER, 0, 0);
    for (int i = 0; i < scene->n_members; i++) {
        const struct ending *ending = &endings[i];
        bool completed = ending->status == STATUS_COMPLETED;
        assert_int_equal(ending->n_told, 1);
        scene->counts[ending->status]++;
        scene->expected += completed;
        if (!completed && (harm->passes || ending->status != STATUS_FAILED))
            fail_msg("%s at %d: execution %d ended %s: %s", harm->sqlstate ? harm->sqlstate : "cut",
                     skip, i, execution_status_row(ending->status)->name, ending->reason);
    }
    int64_t total = stage_total(scene->stage);
    if (total != scene->expected)
        fail_msg("%s at %d: the counter is %lld, not %lld", harm->sqlstate ? harm->sqlstate : "cut",
                 skip, (long long)total, (long long)scene->expected);
    stage_until_nothing_held(scene->stage->conn);
    return struck;
}

/* Every occasion in the long form, otherwise every fourth, from another one for each harm. */
static void play_all(struct scene *scene, const char *script)
{
    struct recipe recipe = {.script = script, .acquire = "30s", .waiting = "20s"};
    struct fault fault;
    assert_true(pg_proxy_start(scene->stage->conninfo, &scene->proxy, &fault));
    peer_open(&scene->peer, pg_proxy_conninfo(scene->proxy), NULL);
    scene->workflow = peer_publish(&scene->peer, &recipe);
    int n_struck = 0;
    for (int i = 0; i < (int)(sizeof harms / sizeof *harms); i++) {
        int skip = long_or(0, i % 4);
        for (; play(scene, &harms[i], skip); skip += long_or(1, 4))
            n_struck++;
        assert_in_range(skip, 6, 1000);
    }
    print_message("%d harms, %d completed, %d failed\n", n_struck, scene->counts[STATUS_COMPLETED],
                  scene->counts[STATUS_FAILED]);
    assert_true(scene->counts[STATUS_COMPLETED] > scene->counts[STATUS_FAILED]);
    peer_close(&scene->peer);
    pg_proxy_stop(scene->proxy);
}

static void a_batch_bears_each_bad_answer(void **state)
{
    static const char *const inputs[] = {
        "{\"id\":1}", "{\"id\":1}", "{\"id\":2}",
        "{\"id\":3}", "{\"id\":2}", "{\"id\":4,\"path\":[[\"message\",4],[\"message\",2]]}"};
    struct scene scene = {.stage = *state, .inputs = inputs, .n_members = 6};
    play_all(&scene, NULL);
}

static void a_script_with_sql_bears_each_bad_answer(void **state)
{
    static const char *const inputs[] = {"{\"id\":1}", "{\"id\":2}"};
    struct scene scene = {.stage = *state, .inputs = inputs, .n_members = 2};
    play_all(&scene, "sql(\"select 1 as n\") data.row.value = data.row.value + 1"
                     " local row = sql(\"select count(*) as n from counter\")[1]"
                     " output.n = row.n");
}

static void a_waiting_execution_bears_each_bad_answer(void **state)
{
    static const char *const inputs[] = {"{\"id\":1}", "{\"id\":1}"};
    struct scene scene = {.stage = *state, .inputs = inputs, .n_members = 2, .waits = true};
    play_all(&scene, NULL);
}

#define TEST(name) cmocka_unit_test_setup(name, stage_reset)

int bad_answer_tests(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_batch_bears_each_bad_answer),
        TEST(a_script_with_sql_bears_each_bad_answer),
        TEST(a_waiting_execution_bears_each_bad_answer),
    };
    return cmocka_run_group_tests_name("bad_answer", tests, stage_open, stage_close);
}
