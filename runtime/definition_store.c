#include "definition_store.h"

#include "lock_set.h"
#include "locks_sql.h"
#include "pg_array.h"
#include "runtime_sql.h"
#include "text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    LOCK_WAIT_MS = 30 * 1000,
    ANSWER_US = 10 * 1000 * 1000,
};

bool definition_store_read(const PGresult *result, struct stored_definition *out,
                           struct fault *fault)
{
    *out = (struct stored_definition){0};
    if (PQntuples(result) == 0)
        return true;
    out->version = atoi(PQgetvalue(result, 0, 0));
    snprintf(out->checksum, sizeof out->checksum, "%s", PQgetvalue(result, 0, 1));
    out->source = strdup(PQgetvalue(result, 0, 2));
    return out->source ? true : fault_no_memory(fault);
}

bool definition_store_latest(struct event_base *base, struct pg_conn *conn, const char *name,
                             struct stored_definition *out, struct fault *fault)
{
    struct pg_pipeline *pipeline = pg_pipeline_new();
    struct pg_answer answer;
    const char *params[] = {name};
    if (!pipeline)
        return fault_no_memory(fault);
    pg_pipeline_add(pipeline, PG_PREPARED, SQL_DEFINITION_LATEST, 1, params);
    bool ok = pg_conn_call(base, conn, pipeline, ANSWER_US, &answer, fault);
    if (ok) {
        ok = definition_store_read(answer.results[0], out, fault);
        pg_answer_done(&answer);
    }
    pg_pipeline_free(pipeline);
    return ok;
}

/* Adds the wait for $definitions/NAME; returns the statement's index, -1 with *fault. */
static int add_lock(struct pg_pipeline *pipeline, const char *schema, const char *name,
                    struct fault *fault)
{
    struct lock_segment segment = {.bytes = name, .n_bytes = strlen(name)};
    struct lock_path *path = NULL;
    struct lock_set *set = NULL;
    struct text keys, exclusive;
    char budget[16];
    if (!lock_path_new_own("definitions", &segment, 1, &path, fault))
        return -1;
    bool ok = lock_set_new(&path, 1, schema, &set, fault);
    lock_path_free(path);
    if (!ok)
        return -1;
    text_init(&keys, 4096);
    text_init(&exclusive, 4096);
    pg_array_begin(&keys);
    pg_array_begin(&exclusive);
    for (int i = 0; i < lock_set_n_entries(set); i++) {
        pg_array_add_int64(&keys, lock_set_entry(set, i)->key);
        pg_array_add(&exclusive, lock_set_entry(set, i)->exclusive ? "t" : "f");
    }
    pg_array_end(&keys);
    pg_array_end(&exclusive);
    snprintf(budget, sizeof budget, "%d", LOCK_WAIT_MS);
    const char *params[] = {text_chars(&keys), text_chars(&exclusive), budget};
    int at = pg_pipeline_add(pipeline, PG_PREPARED, SQL_LOCK_WAIT, 3, params);
    if (!text_ok(&keys, fault) || !text_ok(&exclusive, fault))
        at = -1;
    text_done(&keys);
    text_done(&exclusive);
    lock_set_free(set);
    return at;
}

/* BEGIN, the lock, and then, by a later statement, the latest version. */
static bool lock_and_look(struct event_base *base, struct pg_conn *conn,
                          struct pg_pipeline *pipeline, const char *schema, const char *name,
                          struct stored_definition *latest, struct fault *fault)
{
    struct pg_answer answer;
    const char *params[] = {name};
    pg_pipeline_clear(pipeline);
    pg_pipeline_add(pipeline, PG_PREPARED, "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE", 0,
                    NULL);
    pg_pipeline_add(pipeline, PG_PREPARED, "SET LOCAL statement_timeout = 0", 0, NULL);
    int at_lock = add_lock(pipeline, schema, name, fault);
    if (at_lock < 0)
        return false;
    int at_latest = pg_pipeline_add(pipeline, PG_PREPARED, SQL_DEFINITION_LATEST, 1, params);
    if (!pg_conn_call(base, conn, pipeline, ANSWER_US + (int64_t)LOCK_WAIT_MS * 1000, &answer,
                      fault))
        return false;
    bool ok = strcmp(PQgetvalue(answer.results[at_lock], 0, 0), "t") == 0
                  ? definition_store_read(answer.results[at_latest], latest, fault)
                  : fault_set(fault, FAULT_CONFLICT,
                              "somebody else is publishing '%s': no lock within %d s", name,
                              LOCK_WAIT_MS / 1000);
    pg_answer_done(&answer);
    return ok;
}

static bool insert_and_commit(struct event_base *base, struct pg_conn *conn,
                              struct pg_pipeline *pipeline, const struct definition *definition,
                              int version, const char *published_by, struct fault *fault)
{
    struct pg_answer answer;
    char number[16];
    snprintf(number, sizeof number, "%d", version);
    const char *params[] = {definition->name, number, definition->source, definition->checksum,
                            published_by};
    pg_pipeline_clear(pipeline);
    pg_pipeline_add(pipeline, PG_PREPARED, SQL_DEFINITION_INSERT, 5, params);
    int at_commit = pg_pipeline_add(pipeline, PG_PREPARED, "COMMIT", 0, NULL);
    if (!pg_conn_call(base, conn, pipeline, ANSWER_US, &answer, fault))
        return false;
    bool ok = strcmp(PQcmdStatus(answer.results[at_commit]), "COMMIT") == 0;
    pg_answer_done(&answer);
    return ok || fault_set(fault, FAULT_DATABASE, "publishing was rolled back");
}

static void roll_back(struct event_base *base, struct pg_conn *conn, struct pg_pipeline *pipeline)
{
    struct pg_answer answer;
    struct fault ignored;
    pg_pipeline_clear(pipeline);
    pg_pipeline_add(pipeline, PG_PREPARED, "ROLLBACK", 0, NULL);
    if (pg_conn_call(base, conn, pipeline, ANSWER_US, &answer, &ignored))
        pg_answer_done(&answer);
}

static bool base_is_latest(const struct definition *definition, int base_version,
                           const struct stored_definition *latest, struct fault *fault)
{
    if (base_version < 0 || base_version == latest->version)
        return true;
    return fault_set(
        fault, FAULT_CONFLICT,
        "'%s' was changed meanwhile: the latest version is %d, the change was made from %d",
        definition->name, latest->version, base_version);
}

bool definition_store_publish(struct event_base *base, struct pg_conn *conn, const char *schema,
                              const struct definition *definition, int base_version,
                              const char *published_by, int *version, bool *published,
                              struct fault *fault)
{
    struct stored_definition latest = {0};
    *published = false;
    if (!definition_store_latest(base, conn, definition->name, &latest, fault))
        return false;
    free(latest.source);
    if (!base_is_latest(definition, base_version, &latest, fault))
        return false;
    *version = latest.version;
    if (latest.version && strcmp(latest.checksum, definition->checksum) == 0)
        return true;
    struct pg_pipeline *pipeline = pg_pipeline_new();
    if (!pipeline)
        return fault_no_memory(fault);
    bool ok = lock_and_look(base, conn, pipeline, schema, definition->name, &latest, fault);
    if (ok) {
        free(latest.source);
        ok = base_is_latest(definition, base_version, &latest, fault);
    }
    bool same = ok && latest.version && strcmp(latest.checksum, definition->checksum) == 0;
    if (ok && !same) {
        ok = insert_and_commit(base, conn, pipeline, definition, latest.version + 1, published_by,
                               fault);
        *published = ok;
    } else {
        roll_back(base, conn, pipeline);
    }
    if (ok)
        *version = latest.version + !same;
    pg_pipeline_free(pipeline);
    return ok;
}
