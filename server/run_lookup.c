#include "run_lookup.h"

#include "clock.h"
#include "pg_conn.h"
#include "server_sql.h"
#include "text.h"

#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

enum {
    LOOKUP_IDS_MAX = 1000, /* of one statement */
    ANSWER_US = 10 * 1000 * 1000,
    GONE_WAIT_US = 5 * 1000 * 1000,
    GONE_POLL_US = 50 * 1000,
    TEXT_BYTES_MAX = 1 << 20,
};

/* The sessions of a host are named "latchkey TAG", eight digits of its process id. */
static const char SESSIONS[] = "SELECT count(*) FROM pg_catalog.pg_stat_activity"
                               " WHERE pid <> pg_catalog.pg_backend_pid()"
                               " AND application_name ~ '^latchkey [0-9a-f]{8}'"
                               " AND pg_catalog.strpos(pg_catalog.replace($1::text, '-', ''),"
                               " pg_catalog.substr(application_name, 10, 8)) > 0";

static bool ask(const struct run_lookup *lookup, struct pg_conn *conn, const char *text,
                const char *param, struct pg_answer *answer, struct fault *fault)
{
    struct pg_pipeline *pipeline = pg_pipeline_new();
    if (!pipeline)
        return fault_no_memory(fault);
    pg_pipeline_add(pipeline, PG_PREPARED, text, 1, &param);
    bool ok = pg_conn_call(lookup->base, conn, pipeline, ANSWER_US, answer, fault);
    pg_pipeline_free(pipeline);
    return ok;
}

static void sleep_on_loop(const struct run_lookup *lookup, int64_t us)
{
    struct timeval wait = clock_timeval_us(us);
    event_base_loopexit(lookup->base, &wait);
    event_base_dispatch(lookup->base);
}

static bool has_sessions(const struct run_lookup *lookup, struct pg_conn *conn, const char *process)
{
    struct fault fault;
    struct pg_answer answer;
    if (!ask(lookup, conn, SESSIONS, process, &answer, &fault))
        return false;
    bool some = strcmp(PQgetvalue(answer.results[0], 0, 0), "0") != 0;
    pg_answer_done(&answer);
    return some;
}

static void await_end(const struct run_lookup *lookup, struct pg_conn *conn,
                      const char *const *processes)
{
    int64_t deadline_us = clock_monotonic_us() + GONE_WAIT_US;
    for (; *processes; processes++)
        while (has_sessions(lookup, conn, *processes) && clock_monotonic_us() < deadline_us)
            sleep_on_loop(lookup, GONE_POLL_US);
}

static const char LOST[] = "a host process died before it answered";

static void count_answer(const PGresult *rows, int n, struct run_totals *totals)
{
    for (int i = 0; i < n; i++) {
        enum execution_status status;
        if (i < PQntuples(rows) && !PQgetisnull(rows, i, 0) &&
            execution_status_named(PQgetvalue(rows, i, 0), &status))
            run_totals_add(totals, status, /* latency_us= */ -1, NULL);
        else
            run_totals_add(totals, STATUS_UNKNOWN, /* latency_us= */ -1, LOST);
    }
}

/* Asks for the runs from *at on, as many as one statement takes, and moves *at behind them. */
static bool count_some(const struct run_lookup *lookup, struct pg_conn *conn,
                       const struct run_handed **at, struct run_totals *totals, struct fault *fault)
{
    struct text ids;
    struct pg_answer answer;
    const struct run_handed *handed = *at;
    int n = 0;
    text_init(&ids, TEXT_BYTES_MAX);
    for (; handed && n < LOOKUP_IDS_MAX; handed = TAILQ_NEXT(handed, link), n++)
        text_addf(&ids, "%s%s", n ? "," : "{", handed->id);
    text_add_char(&ids, '}');
    bool ok =
        text_ok(&ids, fault) && ask(lookup, conn, SQL_RUN_LOST, text_chars(&ids), &answer, fault);
    if (ok) {
        count_answer(answer.results[0], n, totals);
        pg_answer_done(&answer);
        *at = handed;
    }
    text_done(&ids);
    return ok;
}

void run_lookup(const struct run_lookup *lookup, const char *const *processes,
                const struct run_handed_list *list, struct run_totals *totals)
{
    struct fault fault;
    struct pg_conn *conn = NULL;
    struct pg_conn_options options = {
        .conninfo = lookup->conninfo,
        .schema = lookup->schema,
        .application_name = "latchkey run",
        .connect_timeout_us = ANSWER_US,
        .unnamed_only = true,
    };
    const struct run_handed *handed = TAILQ_FIRST(list);
    bool ok = pg_conn_open_now(lookup->base, &options, &conn, &fault);
    if (ok)
        await_end(lookup, conn, processes);
    while (ok && handed)
        ok = count_some(lookup, conn, &handed, totals, &fault);
    for (; handed; handed = TAILQ_NEXT(handed, link))
        run_totals_add(totals, STATUS_UNKNOWN, /* latency_us= */ -1, LOST);
    pg_conn_close(conn);
}
