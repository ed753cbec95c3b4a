/*
 * Runtimes over a real database, on one event loop: what the tests of executions share.
 *
 *   group setup:  runtime_fixture_setup      (a database of the group's own)
 *   test:         runtime_fixture_tables --> host_start --> host_run, or host_publish and
 *                 host_submit ... --> runtime_fixture_wait --> look at the outcomes --> host_stop
 *
 * Every call fails the test by itself when something goes wrong that is not an outcome.
 */
#pragma once
#include "postgres_fixture.h"
#include "runtime.h"

struct event_base;

enum {
    OUTCOME_TEXT_BYTES = 2048,
    OUTCOME_PATHS_BYTES = 1024,
};

/* A copy of one struct result. */
struct outcome {
    bool told;
    int turn; /* how many were told before it, since runtime_fixture_tables */
    char id[UUID_TEXT_BYTES];
    char activity[64];
    enum execution_status status;
    char reason[OUTCOME_TEXT_BYTES];
    char output[OUTCOME_TEXT_BYTES]; /* JSON; "" = none */
    char paths[OUTCOME_PATHS_BYTES]; /* joined by spaces */
    int n_paths;
    int attempts;
    int64_t waited_us;
    int64_t held_us;
    bool replayed;
};

struct runtime_fixture {
    char conninfo[FIXTURE_CONNINFO_BYTES];
    PGconn *sql; /* a plain session beside the hosts */
    struct event_base *base;
    int n_waiting;
    int n_told;
};

/* For cmocka_run_group_tests: *state becomes a struct runtime_fixture. */
int runtime_fixture_setup(void **state);
int runtime_fixture_teardown(void **state);

/* Empties the application's schema and what hosts have persisted, then runs sql. No host may be
 * there. */
void runtime_fixture_tables(struct runtime_fixture *fixture, const char *sql);

/* The defaults of the product, with the fixture's database. */
struct runtime_options runtime_fixture_options(const struct runtime_fixture *fixture);

/* Runs the loop until every submitted execution has been told, or, with the second, for a time. */
void runtime_fixture_wait(struct runtime_fixture *fixture);
void runtime_fixture_turn(struct runtime_fixture *fixture, int ms);

/* One started runtime. Any number may share a fixture's loop and database. */
struct host;

struct host *host_start(struct runtime_fixture *fixture, const struct runtime_options *options);
void host_stop(struct host *host);
struct runtime *host_runtime(struct host *host);

/* What its log holds so far; borrowed until the next call. */
const char *host_log(struct host *host);

/* The file is called "test.yaml" in reasons. */
struct workflow *host_publish(struct host *host, const char *yaml);

/* outcome is filled when it is told; it must live until then. */
void host_submit(struct host *host, struct workflow *workflow, const char *input,
                 struct outcome *outcome);
void host_submitf(struct host *host, struct workflow *workflow, struct outcome *outcome,
                  const char *input_format, ...) FORMAT_ARGS(4, 5);

/* event NULL: resumes. payload is JSON, NULL = none. */
void host_deliver(struct host *host, const char *instance, const char *event, const char *payload,
                  struct outcome *outcome);

/* The same with an idempotency key. */
void host_submit_keyed(struct host *host, struct workflow *workflow, const char *input,
                       const char *key, struct outcome *outcome);

/* Leaves it to the background; outcome is that of the queueing. */
void host_enqueue(struct host *host, struct workflow *workflow, const char *input, int priority,
                  struct outcome *outcome);
void host_enqueue_keyed(struct host *host, struct workflow *workflow, const char *input,
                        const char *key, struct outcome *outcome);

/* The host takes background work from now on, looking after timers and silent hosts often. */
void host_work(struct host *host);

/* Turns the loop until sql's single value is this; fails after a minute. One look decides: what is
 * seen may be over a moment later. */
void runtime_fixture_until(struct runtime_fixture *fixture, const char *sql, int64_t expected);

/* Publishes, submits one and waits. */
struct outcome host_run(struct host *host, const char *yaml, const char *input);

/* Fails with the outcome's own words if it is another. reason: "" or a part of the text. */
void assert_outcome(const struct outcome *outcome, enum execution_status status,
                    const char *reason);

/* The number of outcomes with that status. */
int count_outcomes(const struct outcome *outcomes, int n, enum execution_status status);

/* SQL whose single value must be this. */
void assert_sql_int(struct runtime_fixture *fixture, const char *sql, int64_t expected);
void assert_sql_text(struct runtime_fixture *fixture, const char *sql, const char *expected);

/* No session holds an advisory lock, and no host's session is inside a transaction: now or very
 * soon. */
void assert_nothing_held(struct runtime_fixture *fixture);
