#include "runtime_fixture.h"

#include "clock.h"
#include "definition_read.h"

#include <event2/event.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
    PATIENCE_US = 60 * 1000 * 1000,
    START_WAIT_US = 10 * 1000 * 1000,
    SQL_TEXT_BYTES = 4096,
    HELD_MS = 4000, /* an answered execution's session ends its transaction at once */
};

struct host {
    struct runtime_fixture *fixture;
    struct runtime *runtime;
    struct log log;
    char *log_text;
    size_t log_bytes;
};

/* What a submission carries until it is told. */
struct waiting {
    struct runtime_fixture *fixture;
    struct outcome *outcome;
};

/* ---- the database and the loop ---- */

/* The role may have the name of latchkey's schema, which would then be the first on the path. */
static bool set_search_path(const char *conninfo)
{
    PGconn *conn = PQconnectdb(conninfo);
    PGresult *result = PQexec(conn, "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path"
                                    " = public', current_database()); END $$");
    bool ok = PQresultStatus(result) == PGRES_COMMAND_OK;
    PQclear(result);
    PQfinish(conn);
    return ok;
}

int runtime_fixture_setup(void **state)
{
    struct runtime_fixture *fixture = calloc(1, sizeof *fixture);
    if (!fixture || !fixture_database_new(fixture->conninfo)) {
        free(fixture);
        return -1;
    }
    *state = fixture;
    fixture->base = event_base_new();
    if (!fixture->base || !set_search_path(fixture->conninfo))
        return -1;
    fixture->sql = PQconnectdb(fixture->conninfo);
    return PQstatus(fixture->sql) == CONNECTION_OK ? 0 : -1;
}

int runtime_fixture_teardown(void **state)
{
    struct runtime_fixture *fixture = *state;
    PQfinish(fixture->sql);
    event_base_free(fixture->base);
    fixture_database_drop(fixture->conninfo);
    free(fixture);
    return 0;
}

static void ignore_notice(void *arg, const PGresult *notice)
{
    (void)arg;
    (void)notice;
}

void runtime_fixture_tables(struct runtime_fixture *fixture, const char *sql)
{
    PQsetNoticeReceiver(fixture->sql, ignore_notice, NULL);
    fixture_exec(fixture->sql, "ROLLBACK; DROP SCHEMA public CASCADE; CREATE SCHEMA public");
    /* Most are empty or nearly so: TRUNCATE would write new files for them all. */
    fixture_exec(fixture->sql,
                 "DO $$ DECLARE t record; BEGIN FOR t IN SELECT tablename FROM pg_tables WHERE"
                 " schemaname = 'latchkey' AND tablename <> 'migration' LOOP"
                 " EXECUTE format('DELETE FROM latchkey.%I', t.tablename); END LOOP; END $$");
    fixture_exec(fixture->sql, sql);
    fixture->n_told = 0;
}

struct runtime_options runtime_fixture_options(const struct runtime_fixture *fixture)
{
    struct runtime_options options = runtime_default_options();
    options.conninfo = fixture->conninfo;
    options.schedstat = "/dev/null";     /* how busy the machine is changes nothing */
    options.batch_share_least = INT_MAX; /* batches at their largest: neighbours meet */
    return options;
}

static void turn_until(struct runtime_fixture *fixture, int64_t until_us)
{
    struct timeval left = clock_timeval_us(until_us - clock_monotonic_us());
    event_base_loopexit(fixture->base, &left);
    event_base_loop(fixture->base, EVLOOP_ONCE);
}

void runtime_fixture_wait(struct runtime_fixture *fixture)
{
    int64_t until_us = clock_monotonic_us() + PATIENCE_US;
    while (fixture->n_waiting > 0) {
        event_base_loop(fixture->base, EVLOOP_ONCE);
        if (clock_monotonic_us() > until_us)
            fail_msg("%d executions were not answered in time", fixture->n_waiting);
    }
}

void runtime_fixture_turn(struct runtime_fixture *fixture, int ms)
{
    int64_t until_us = clock_monotonic_us() + (int64_t)ms * 1000;
    while (clock_monotonic_us() < until_us)
        turn_until(fixture, until_us);
}

/* ---- hosts ---- */

struct host *host_start(struct runtime_fixture *fixture, const struct runtime_options *options)
{
    struct fault fault;
    struct host *host = calloc(1, sizeof *host);
    struct runtime_options chosen = options ? *options : runtime_fixture_options(fixture);
    assert_non_null(host);
    host->fixture = fixture;
    host->log = (struct log){.stream = open_memstream(&host->log_text, &host->log_bytes)};
    assert_non_null(host->log.stream);
    chosen.log = &host->log;
    if (!runtime_new(fixture->base, &chosen, &host->runtime, &fault) ||
        !runtime_start(host->runtime, START_WAIT_US, &fault))
        fail_msg("%s", fault.text);
    return host;
}

void host_stop(struct host *host)
{
    runtime_free(host->runtime);
    fclose(host->log.stream);
    free(host->log_text);
    free(host);
}

struct runtime *host_runtime(struct host *host)
{
    return host->runtime;
}

const char *host_log(struct host *host)
{
    fflush(host->log.stream);
    return host->log_text;
}

struct workflow *host_publish(struct host *host, const char *yaml)
{
    struct definition *definition = NULL;
    struct workflow *workflow = NULL;
    struct problems problems;
    struct fault fault;
    bool published;
    problems_init(&problems);
    if (!definition_read(runtime_sandbox(host->runtime), "test.yaml", yaml, strlen(yaml),
                         &definition, &problems))
        fail_msg("line %d: %s", problems.items[0].line, problems.items[0].message);
    problems_done(&problems);
    if (!runtime_publish(host->runtime, definition, /* base= */ -1, "test", &workflow, &published,
                         &fault))
        fail_msg("%s", fault.text);
    return workflow;
}

/* ---- executions ---- */

static void copy_result(struct outcome *out, const struct result *result)
{
    char *output = result->output ? json_write(result->output) : NULL;
    *out = (struct outcome){.told = true,
                            .turn = out->turn,
                            .status = result->status,
                            .n_paths = result->n_paths,
                            .attempts = result->attempts,
                            .waited_us = result->waited_us,
                            .held_us = result->held_us,
                            .replayed = result->replayed};
    snprintf(out->id, sizeof out->id, "%s", result->id);
    snprintf(out->activity, sizeof out->activity, "%s", result->activity);
    snprintf(out->reason, sizeof out->reason, "%s", result->reason);
    snprintf(out->output, sizeof out->output, "%s", output ? output : "");
    for (int i = 0, at = 0; i < result->n_paths && at < (int)sizeof out->paths; i++)
        at += snprintf(out->paths + at, sizeof out->paths - (size_t)at, "%s%s", i ? " " : "",
                       result->paths[i]);
    free(output);
}

static void on_done(const struct result *result, void *arg)
{
    struct waiting *waiting = arg;
    struct outcome *outcome = waiting->outcome;
    assert_false(outcome->told);
    outcome->turn = waiting->fixture->n_told++;
    copy_result(outcome, result);
    waiting->fixture->n_waiting--;
    free(waiting);
}

static void submit(struct host *host, struct workflow *workflow, const char *input, const char *key,
                   bool queued, int priority, struct outcome *outcome)
{
    struct fault fault;
    json_t *value = NULL;
    struct waiting *waiting = malloc(sizeof *waiting);
    assert_non_null(waiting);
    if (!json_read("input", input, strlen(input), &value, &fault))
        fail_msg("%s", fault.text);
    *waiting = (struct waiting){.fixture = host->fixture, .outcome = outcome};
    *outcome = (struct outcome){0};
    host->fixture->n_waiting++;
    struct submission submission = {
        .workflow = workflow, .input = value, .key = key, .done = on_done, .arg = waiting};
    if (queued ? !runtime_enqueue(host->runtime, &submission, priority, &fault)
               : !runtime_submit(host->runtime, &submission, &fault))
        fail_msg("%s", fault.text);
    json_decref(value);
}

void host_submit(struct host *host, struct workflow *workflow, const char *input,
                 struct outcome *outcome)
{
    submit(host, workflow, input, NULL, /* queued= */ false, 0, outcome);
}

void host_submit_keyed(struct host *host, struct workflow *workflow, const char *input,
                       const char *key, struct outcome *outcome)
{
    submit(host, workflow, input, key, /* queued= */ false, 0, outcome);
}

void host_enqueue(struct host *host, struct workflow *workflow, const char *input, int priority,
                  struct outcome *outcome)
{
    submit(host, workflow, input, NULL, /* queued= */ true, priority, outcome);
}

void host_enqueue_keyed(struct host *host, struct workflow *workflow, const char *input,
                        const char *key, struct outcome *outcome)
{
    submit(host, workflow, input, key, /* queued= */ true, 0, outcome);
}

void host_deliver(struct host *host, const char *instance, const char *event, const char *payload,
                  struct outcome *outcome)
{
    struct fault fault;
    json_t *value = NULL;
    struct waiting *waiting = malloc(sizeof *waiting);
    assert_non_null(waiting);
    if (payload && !json_read("payload", payload, strlen(payload), &value, &fault))
        fail_msg("%s", fault.text);
    *waiting = (struct waiting){.fixture = host->fixture, .outcome = outcome};
    *outcome = (struct outcome){0};
    host->fixture->n_waiting++;
    struct delivery delivery = {
        .instance = instance, .event = event, .payload = value, .done = on_done, .arg = waiting};
    if (!runtime_deliver(host->runtime, &delivery, &fault))
        fail_msg("%s", fault.text);
    json_decref(value);
}

void host_work(struct host *host)
{
    struct fault fault;
    struct background_options options = runtime_default_background();
    options.care_us = 100 * 1000;
    if (!runtime_work(host->runtime, &options, &fault))
        fail_msg("%s", fault.text);
}

void runtime_fixture_until(struct runtime_fixture *fixture, const char *sql, int64_t expected)
{
    int64_t until_us = clock_monotonic_us() + PATIENCE_US, found;
    while ((found = fixture_int(fixture->sql, sql)) != expected) {
        if (clock_monotonic_us() > until_us)
            fail_msg("%s gave %lld to the end, not %lld", sql, (long long)found,
                     (long long)expected);
        runtime_fixture_turn(fixture, 20);
    }
}

void host_submitf(struct host *host, struct workflow *workflow, struct outcome *outcome,
                  const char *input_format, ...)
{
    char input[SQL_TEXT_BYTES];
    va_list args;
    va_start(args, input_format);
    int n = vsnprintf(input, sizeof input, input_format, args);
    va_end(args);
    assert_in_range(n, 0, sizeof input - 1);
    host_submit(host, workflow, input, outcome);
}

struct outcome host_run(struct host *host, const char *yaml, const char *input)
{
    struct outcome outcome;
    host_submit(host, host_publish(host, yaml), input, &outcome);
    runtime_fixture_wait(host->fixture);
    return outcome;
}

/* ---- assertions ---- */

void assert_outcome(const struct outcome *outcome, enum execution_status status, const char *reason)
{
    if (outcome->told && outcome->status == status && strstr(outcome->reason, reason))
        return;
    fail_msg("%s \"%s\", not %s \"%s\"",
             outcome->told ? execution_status_row(outcome->status)->name : "not told",
             outcome->reason, execution_status_row(status)->name, reason);
}

int count_outcomes(const struct outcome *outcomes, int n, enum execution_status status)
{
    int n_found = 0;
    for (int i = 0; i < n; i++)
        n_found += outcomes[i].told && outcomes[i].status == status;
    return n_found;
}

void assert_sql_int(struct runtime_fixture *fixture, const char *sql, int64_t expected)
{
    int64_t found = fixture_int(fixture->sql, sql);
    if (found != expected)
        fail_msg("%s gave %lld, not %lld", sql, (long long)found, (long long)expected);
}

void assert_sql_text(struct runtime_fixture *fixture, const char *sql, const char *expected)
{
    char found[SQL_TEXT_BYTES];
    fixture_text(fixture->sql, sql, found, sizeof found);
    if (strcmp(found, expected) != 0)
        fail_msg("%s gave \"%s\", not \"%s\"", sql, found, expected);
}

void assert_nothing_held(struct runtime_fixture *fixture)
{
    fixture_eventually_true(fixture->sql,
                            "SELECT NOT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory'"
                            "  AND database = (SELECT oid FROM pg_database"
                            "                  WHERE datname = current_database()))"
                            " AND NOT EXISTS (SELECT FROM pg_stat_activity"
                            "  WHERE datname = current_database()"
                            "  AND application_name LIKE 'latchkey%' AND xact_start IS NOT NULL)",
                            HELD_MS);
}
