/*
 * Nothing to do is the usual case: one round trip, no lock. Otherwise everything happens in one
 * transaction under the lock, and what is recorded is read again there, since another host may
 * have been first.
 */
#include "migration.h"

#include "database_sql.h"

#include <stdio.h>
#include <string.h>

struct run {
    struct event_base *base;
    struct pg_conn *conn;
    const char *schema;
    const struct sql_text *const *lists;
    int n_lists;
    struct pg_pipeline *pipeline;
    PGresult *recorded; /* rows of names; NULL while there is no table of them */
    int n_applied;
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

static bool is_recorded(const struct run *run, const char *name)
{
    for (int i = 0; run->recorded && i < PQntuples(run->recorded); i++)
        if (strcmp(PQgetvalue(run->recorded, i, 0), name) == 0)
            return true;
    return false;
}

static bool is_ours(const struct run *run, const char *name)
{
    for (int i = 0; i < run->n_lists; i++)
        for (const struct sql_text *text = run->lists[i]; text->name; text++)
            if (strcmp(text->name, name) == 0)
                return true;
    return false;
}

static bool is_complete(const struct run *run)
{
    for (int i = 0; i < run->n_lists; i++)
        for (const struct sql_text *text = run->lists[i]; text->name; text++)
            if (!is_recorded(run, text->name))
                return false;
    return run->recorded != NULL;
}

/* A newer program may have changed what this one relies on. */
static bool check_recorded(const struct run *run, struct fault *fault)
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

static void add(struct run *run, enum pg_prepare prepare, const char *text)
{
    pg_pipeline_add(run->pipeline, prepare, text, 0, NULL);
}

/* *answer is the caller's to pg_answer_done. */
static bool call(struct run *run, struct pg_answer *answer, struct fault *fault)
{
    bool ok = pg_conn_call(run->base, run->conn, run->pipeline, /* timeout_us= */ 0, answer, fault);
    pg_pipeline_clear(run->pipeline);
    return ok;
}

static bool call_and_drop(struct run *run, struct fault *fault)
{
    struct pg_answer answer;
    if (!call(run, &answer, fault))
        return false;
    pg_answer_done(&answer);
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
static bool explain(const struct run *run, struct fault *fault)
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

/* One round trip. That there is no table yet is no failure; it is seen by the error, since asking
 * first would be a round trip more each time. */
static bool look(struct run *run, struct fault *fault)
{
    struct pg_answer answer;
    struct fault refusal;
    add(run, PG_PREPARED, SQL_MIGRATION_SERVER);
    add(run, PG_PREPARED, SQL_MIGRATION_LIST);
    if (!call(run, &answer, &refusal)) {
        if (strcmp(refusal.sqlstate, "42P01") == 0)
            return true;
        *fault = refusal;
        return explain(run, fault);
    }
    bool ok = check_server(answer.results[0], fault);
    take_result(&answer, 1, &run->recorded);
    pg_answer_done(&answer);
    return ok && check_recorded(run, fault);
}

/* ---- under the lock ---- */

/* Waiting for another host's migrations may take as long as they do. */
static bool begin(struct run *run, struct fault *fault)
{
    add(run, PG_UNNAMED, "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE");
    add(run, PG_UNNAMED, "SET LOCAL lock_timeout = 0");
    add(run, PG_UNNAMED, "SET LOCAL statement_timeout = 0");
    add(run, PG_UNNAMED, "SET LOCAL idle_in_transaction_session_timeout = 0");
    if (pg_conn_server_version(run->conn) >= 170000)
        add(run, PG_UNNAMED, "SET LOCAL transaction_timeout = 0");
    add(run, PG_PREPARED, SQL_MIGRATION_LOCK);
    return call_and_drop(run, fault);
}

static bool prepare_schema(struct run *run, struct fault *fault)
{
    struct pg_answer answer;
    add(run, PG_PREPARED, SQL_MIGRATION_SERVER);
    if (!call(run, &answer, fault))
        return false;
    bool has_schema = is_true(answer.results[0], 1), has_table = is_true(answer.results[0], 2);
    pg_answer_done(&answer);
    if (!has_schema && !pg_conn_run_script(run->conn, SQL_MIGRATION_SCHEMA, fault))
        return false;
    if (!has_table && !pg_conn_run_script(run->conn, SQL_MIGRATION_TABLE, fault))
        return false;
    add(run, PG_PREPARED, SQL_MIGRATION_LIST);
    if (!call(run, &answer, fault))
        return false;
    take_result(&answer, 0, &run->recorded);
    pg_answer_done(&answer);
    return check_recorded(run, fault);
}

static bool apply(struct run *run, const struct sql_text *text, struct fault *fault)
{
    pg_pipeline_add(run->pipeline, PG_PREPARED, SQL_MIGRATION_RECORD, 1,
                    (const char *const[]){text->name});
    if (!pg_conn_run_script(run->conn, text->text, fault) || !call_and_drop(run, fault)) {
        pg_pipeline_clear(run->pipeline);
        return fault_prefix(fault, "migration %s", text->name);
    }
    run->n_applied++;
    return true;
}

static bool apply_all(struct run *run, struct fault *fault)
{
    for (int i = 0; i < run->n_lists; i++)
        for (const struct sql_text *text = run->lists[i]; text->name; text++)
            if (!is_recorded(run, text->name) && !apply(run, text, fault))
                return false;
    return true;
}

static bool commit(struct run *run, struct fault *fault)
{
    struct pg_answer answer;
    add(run, PG_UNNAMED, "COMMIT");
    if (!call(run, &answer, fault))
        return false;
    bool ok = strcmp(PQcmdStatus(answer.results[0]), "COMMIT") == 0;
    pg_answer_done(&answer);
    return ok ||
           fault_set(fault, FAULT_DATABASE, "the migrations were rolled back at their commit");
}

static void roll_back(struct run *run)
{
    struct fault ignored;
    pg_pipeline_clear(run->pipeline);
    add(run, PG_UNNAMED, "ROLLBACK");
    if (!pg_conn_is_broken(run->conn) && !call_and_drop(run, &ignored))
        return; /* the server does it when the connection ends */
}

/* A standby would refuse already the BEGIN, in words of its own. */
static bool is_primary(struct run *run, struct fault *fault)
{
    struct pg_answer answer;
    add(run, PG_PREPARED, SQL_MIGRATION_SERVER);
    if (!call(run, &answer, fault))
        return false;
    bool ok = check_server(answer.results[0], fault);
    pg_answer_done(&answer);
    return ok;
}

static bool migrate(struct run *run, struct fault *fault)
{
    if (!is_primary(run, fault))
        return false;
    bool ok = begin(run, fault) && prepare_schema(run, fault) && apply_all(run, fault) &&
              commit(run, fault);
    if (ok)
        return true;
    run->n_applied = 0;
    explain(run, fault);
    roll_back(run);
    return false;
}

bool migration_run(struct event_base *base, struct pg_conn *conn, const char *schema,
                   const struct sql_text *const *lists, int n_lists, int *n_applied,
                   struct fault *fault)
{
    struct run run = {
        .base = base, .conn = conn, .schema = schema, .lists = lists, .n_lists = n_lists};
    if (!check_version(pg_conn_server_version(conn), fault))
        return false;
    run.pipeline = pg_pipeline_new();
    if (!run.pipeline)
        return fault_no_memory(fault);
    bool ok = look(&run, fault) && (is_complete(&run) || migrate(&run, fault));
    if (ok && n_applied)
        *n_applied = run.n_applied;
    PQclear(run.recorded);
    pg_pipeline_free(run.pipeline);
    return ok;
}
