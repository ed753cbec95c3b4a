/*
 * Nothing to do is the usual case: one round trip, no lock. Otherwise everything happens in one
 * transaction under the lock, and what is recorded is read again there, since another host may
 * have been first.
 *
 *   look --> begin --> prepare_schema --> apply --> told
 *     \__complete__\___________any failure____\--> roll_back --> told
 */
#include "migration.h"

#include "database_sql.h"
#include "text.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Quotes a script: no migration may have it in its text. */
#define SCRIPT_QUOTE "$latchkey_migration$"

enum {
    SCRIPT_BYTES_MAX = 1 << 20,
};

struct migration {
    struct pg_conn *conn;
    const char *schema;
    const struct sql_text *const *lists;
    int n_lists;
    struct pg_pipeline *pipeline;
    PGresult *recorded; /* rows of names; NULL while there is no table of them */
    int n_applied;
    struct fault fault; /* why it is rolled back */
    migration_done_fn *done;
    void *arg;
};

static bool check_version(int version, struct fault *fault)
{
    char words[32];
    if (version >= PG_VERSION_MIN)
        return true;
    if (version >= 100000)
        snprintf(words, sizeof words, "%d.%d", version / 10000, version % 10000);
    else
        snprintf(words, sizeof words, "%d.%d.%d", version / 10000, version / 100 % 100,
                 version % 100);
    return fault_set(fault, FAULT_DATABASE, "PostgreSQL %d or newer is needed, this server is %s",
                     PG_VERSION_MIN / 10000, words);
}

/* ---- what is recorded ---- */

static bool is_recorded(const struct migration *run, const char *name)
{
    for (int i = 0; run->recorded && i < PQntuples(run->recorded); i++)
        if (strcmp(PQgetvalue(run->recorded, i, 0), name) == 0)
            return true;
    return false;
}

static bool is_ours(const struct migration *run, const char *name)
{
    for (int i = 0; i < run->n_lists; i++)
        for (const struct sql_text *text = run->lists[i]; text->name; text++)
            if (strcmp(text->name, name) == 0)
                return true;
    return false;
}

static bool is_complete(const struct migration *run)
{
    for (int i = 0; i < run->n_lists; i++)
        for (const struct sql_text *text = run->lists[i]; text->name; text++)
            if (!is_recorded(run, text->name))
                return false;
    return run->recorded != NULL;
}

/* A newer program may have changed what this one relies on. */
static bool check_recorded(const struct migration *run, struct fault *fault)
{
    for (int i = 0; i < PQntuples(run->recorded); i++)
        if (!is_ours(run, PQgetvalue(run->recorded, i, 0)))
            return fault_set(fault, FAULT_DATABASE,
                             "the schema '%s' has the migration '%s', which this program does not "
                             "know: a newer one has been here",
                             run->schema, PQgetvalue(run->recorded, i, 0));
    return true;
}

static void take_result(struct pg_answer *answer, int i, PGresult **out)
{
    PQclear(*out);
    *out = answer->results[i];
    answer->results[i] = NULL;
}

/* ---- asking ---- */

static void add(struct migration *run, enum pg_prepare prepare, const char *text)
{
    pg_pipeline_add(run->pipeline, prepare, text, 0, NULL);
}

/* fault NULL = done. */
static void tell(struct migration *run, const struct fault *fault)
{
    migration_done_fn *done = run->done;
    void *arg = run->arg;
    int n_applied = run->n_applied;
    struct fault copy = {0};
    if (fault)
        copy = *fault;
    migration_cancel(run);
    done(fault ? 0 : n_applied, fault ? &copy : NULL, arg);
}

/* What is in the pipeline. Waiting for another host's migrations may take as long as they do. */
static bool ask(struct migration *run, pg_answer_fn *then, struct fault *fault)
{
    bool ok = pg_conn_send(run->conn, run->pipeline, /* timeout_us= */ 0, then, run, fault);
    pg_pipeline_clear(run->pipeline);
    return ok;
}

static bool has_failed(const struct pg_answer *answer, struct fault *fault)
{
    if (!answer->fault.kind && !answer->connection_lost)
        return false;
    *fault = answer->fault;
    return true;
}

static bool is_true(const PGresult *result, int column)
{
    return PQntuples(result) == 1 && strcmp(PQgetvalue(result, 0, column), "t") == 0;
}

static bool check_server(const PGresult *server, struct fault *fault)
{
    return !is_true(server, 0) ||
           fault_set(fault, FAULT_DATABASE,
                     "the server is a standby and read only: connect to the primary");
}

/* Puts words to what a database administrator has to do. The sqlstate stays. */
static bool explain(const struct migration *run, struct fault *fault)
{
    char sqlstate[sizeof fault->sqlstate], said[sizeof fault->text];
    memcpy(sqlstate, fault->sqlstate, sizeof sqlstate);
    memcpy(said, fault->text, sizeof said);
    if (strcmp(sqlstate, "25006") == 0)
        fault_set(fault, FAULT_DATABASE, "the server is read only (a standby?): %.300s", said);
    else if (strcmp(sqlstate, "42501") == 0)
        fault_set(fault, FAULT_DATABASE,
                  "this user may not create or use the schema '%.63s' (%.300s): let its owner run "
                  "'latchkey migrate'",
                  run->schema, said);
    memcpy(fault->sqlstate, sqlstate, sizeof sqlstate);
    return false;
}

/* ---- under the lock ---- */

static void on_rolled_back(struct pg_answer *answer, void *arg)
{
    struct migration *run = arg;
    (void)answer; /* the server does it anyway when the connection ends */
    tell(run, &run->fault);
}

static void roll_back(struct migration *run, const struct fault *why)
{
    struct fault ignored;
    run->fault = *why;
    explain(run, &run->fault);
    pg_pipeline_clear(run->pipeline);
    add(run, PG_UNNAMED, "ROLLBACK");
    if (pg_conn_is_broken(run->conn) || !ask(run, on_rolled_back, &ignored))
        tell(run, &run->fault);
}

/* The n-th of those that are not recorded; NULL = there is none. */
static const struct sql_text *missing(const struct migration *run, int n)
{
    for (int i = 0; i < run->n_lists; i++)
        for (const struct sql_text *text = run->lists[i]; text->name; text++)
            if (!is_recorded(run, text->name) && n-- == 0)
                return text;
    return NULL;
}

static void on_applied(struct pg_answer *answer, void *arg)
{
    struct migration *run = arg;
    struct fault fault;
    const struct sql_text *text;
    if (has_failed(answer, &fault)) {
        text = answer->failed >= 0 ? missing(run, answer->failed / 2) : NULL;
        if (text)
            fault_prefix(&fault, "migration %s", text->name);
        roll_back(run, &fault);
    } else if (strcmp(PQcmdStatus(answer->results[answer->n_results - 1]), "COMMIT") != 0) {
        fault_set(&fault, FAULT_DATABASE, "the migrations were rolled back at their commit");
        roll_back(run, &fault);
    } else {
        tell(run, NULL);
    }
}

/* A script is several statements, which the extended protocol does not take: EXECUTE does. */
static bool add_script(struct migration *run, const char *script, struct fault *fault)
{
    struct text text;
    text_init(&text, SCRIPT_BYTES_MAX);
    text_addf(&text, "DO $latchkey$BEGIN EXECUTE %s%s%s; END$latchkey$", SCRIPT_QUOTE, script,
              SCRIPT_QUOTE);
    bool ok = text_ok(&text, fault);
    if (ok)
        add(run, PG_PREPARED, text_chars(&text));
    text_done(&text);
    return ok;
}

static bool apply(struct migration *run, struct fault *fault)
{
    const struct sql_text *text;
    for (run->n_applied = 0; (text = missing(run, run->n_applied)); run->n_applied++) {
        if (!add_script(run, text->text, fault))
            return false;
        pg_pipeline_add(run->pipeline, PG_PREPARED, SQL_MIGRATION_RECORD, 1,
                        (const char *const[]){text->name});
    }
    add(run, PG_UNNAMED, "COMMIT");
    return ask(run, on_applied, fault);
}

static void on_prepared(struct pg_answer *answer, void *arg)
{
    struct migration *run = arg;
    struct fault fault;
    bool ok = !has_failed(answer, &fault);
    if (ok)
        take_result(answer, answer->n_results - 1, &run->recorded);
    if (!ok || !check_recorded(run, &fault) || !apply(run, &fault))
        roll_back(run, &fault);
}

static void on_locked(struct pg_answer *answer, void *arg)
{
    struct migration *run = arg;
    struct fault fault;
    bool ok = !has_failed(answer, &fault);
    if (ok) {
        const PGresult *server = answer->results[answer->n_results - 1];
        if (!is_true(server, 1))
            add(run, PG_PREPARED, SQL_MIGRATION_SCHEMA);
        if (!is_true(server, 2))
            add(run, PG_PREPARED, SQL_MIGRATION_TABLE);
        add(run, PG_PREPARED, SQL_MIGRATION_LIST);
    }
    if (!ok || !ask(run, on_prepared, &fault))
        roll_back(run, &fault);
}

static bool begin(struct migration *run, struct fault *fault)
{
    add(run, PG_UNNAMED, "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE");
    add(run, PG_UNNAMED, "SET LOCAL lock_timeout = 0");
    add(run, PG_UNNAMED, "SET LOCAL statement_timeout = 0");
    add(run, PG_UNNAMED, "SET LOCAL idle_in_transaction_session_timeout = 0");
    if (pg_conn_server_version(run->conn) >= 170000)
        add(run, PG_UNNAMED, "SET LOCAL transaction_timeout = 0");
    add(run, PG_PREPARED, SQL_MIGRATION_LOCK);
    add(run, PG_PREPARED, SQL_MIGRATION_SERVER); /* a statement later than the lock */
    return ask(run, on_locked, fault);
}

/* ---- the look before ---- */

/* That there is no table yet is no failure; it is seen by the error, since asking first would be a
 * round trip more each time. A standby would refuse already the BEGIN, in words of its own. */
static bool read_look(struct migration *run, struct pg_answer *answer, struct fault *fault)
{
    struct fault refusal;
    bool has_table = !has_failed(answer, &refusal);
    if (!has_table && strcmp(refusal.sqlstate, "42P01") != 0) {
        *fault = refusal;
        return explain(run, fault);
    }
    if (!check_server(answer->results[0], fault))
        return false;
    if (has_table)
        take_result(answer, 1, &run->recorded);
    return !has_table || check_recorded(run, fault);
}

static void on_look(struct pg_answer *answer, void *arg)
{
    struct migration *run = arg;
    struct fault fault;
    if (!read_look(run, answer, &fault))
        tell(run, &fault);
    else if (is_complete(run))
        tell(run, NULL);
    else if (!begin(run, &fault))
        tell(run, &fault);
}

static bool look(struct migration *run, struct fault *fault)
{
    add(run, PG_PREPARED, SQL_MIGRATION_SERVER);
    add(run, PG_PREPARED, SQL_MIGRATION_LIST);
    return ask(run, on_look, fault);
}

/* ---- the request ---- */

void migration_cancel(struct migration *run)
{
    if (!run)
        return;
    PQclear(run->recorded);
    pg_pipeline_free(run->pipeline);
    free(run);
}

bool migration_start(struct pg_conn *conn, const char *schema, const struct sql_text *const *lists,
                     int n_lists, migration_done_fn *done, void *arg, struct migration **out,
                     struct fault *fault)
{
    if (!check_version(pg_conn_server_version(conn), fault))
        return false;
    struct migration *run = calloc(1, sizeof *run);
    if (!run)
        return fault_no_memory(fault);
    *run = (struct migration){.conn = conn,
                              .schema = schema,
                              .lists = lists,
                              .n_lists = n_lists,
                              .pipeline = pg_pipeline_new(),
                              .done = done,
                              .arg = arg};
    if (!run->pipeline || !look(run, fault)) {
        if (!run->pipeline)
            fault_no_memory(fault);
        migration_cancel(run);
        return false;
    }
    *out = run;
    return true;
}

struct waiting {
    bool told;
    int n_applied;
    struct fault fault;
};

static void on_waited(int n_applied, const struct fault *fault, void *arg)
{
    struct waiting *waiting = arg;
    waiting->told = true;
    waiting->n_applied = n_applied;
    if (fault)
        waiting->fault = *fault;
}

bool migration_run(struct event_base *base, struct pg_conn *conn, const char *schema,
                   const struct sql_text *const *lists, int n_lists, int *n_applied,
                   struct fault *fault)
{
    struct waiting waiting = {0};
    struct migration *run;
    if (!migration_start(conn, schema, lists, n_lists, on_waited, &waiting, &run, fault))
        return false;
    while (!waiting.told)
        event_base_loop(base, EVLOOP_ONCE);
    if (waiting.fault.kind) {
        *fault = waiting.fault;
        return false;
    }
    if (n_applied)
        *n_applied = waiting.n_applied;
    return true;
}
