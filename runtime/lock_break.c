#include "lock_break.h"

#include "errand.h"
#include "lock_path.h"
#include "runtime_sql.h"
#include "runtime_state.h"

#include <stdlib.h>
#include <string.h>

enum {
    CONNECTION_WAIT_US = 10 * 1000 * 1000,
    ANSWER_US = 10 * 1000 * 1000,
    KEY_DIGITS = 16,
};

/* Columns of lock_break_record.sql. */
enum recorded {
    RECORDED_PID,
    RECORDED_KEY,
    RECORDED_UNTIL,
    RECORDED_SPARED,
    RECORDED_HIDDEN,
    RECORDED_LEASES,
    RECORDED_MET,
    RECORDED_ID,
};

struct lock_break {
    struct runtime *runtime;
    char *path;
    char *by;
    lock_break_fn *done;
    void *arg;
    struct errand *errand;
    PGresult *recorded;
};

void lock_break_cancel(struct lock_break *request)
{
    if (!request)
        return;
    errand_cancel(request->errand);
    PQclear(request->recorded);
    free(request->path);
    free(request->by);
    free(request);
}

static const char *recorded(const struct lock_break *request, enum recorded column)
{
    return PQgetisnull(request->recorded, 0, column) ? NULL
                                                     : PQgetvalue(request->recorded, 0, column);
}

static bool is_true(const struct lock_break *request, enum recorded column)
{
    return strcmp(PQgetvalue(request->recorded, 0, column), "t") == 0;
}

static void tell(struct lock_break *request, const struct fault *fault)
{
    request->done(fault ? NULL : recorded(request, RECORDED_MET), fault, request->arg);
    lock_break_cancel(request);
}

static void refuse_standby(struct lock_break *request)
{
    struct fault fault;
    fault_set(&fault, FAULT_CONFLICT,
              "the holder of %s waits for a synchronous standby: ended now it would have committed "
              "although nobody was told; mend the standby, or take it from "
              "synchronous_standby_names",
              request->path);
    tell(request, &fault);
}

static void on_ended(struct pg_answer *answer, void *arg)
{
    struct lock_break *request = arg;
    request->errand = NULL;
    const PGresult *ended = answer->results ? answer->results[0] : NULL;
    if (answer->fault.kind || answer->connection_lost)
        tell(request, &answer->fault);
    else if (PQntuples(ended) == 1 && strcmp(PQgetvalue(ended, 0, 0), "standby") == 0)
        refuse_standby(request);
    else
        tell(request, NULL); /* ended, or over by itself in the meantime */
}

static bool ask(struct lock_break *request, struct pg_pipeline *pipeline, errand_done_fn *done,
                struct fault *fault)
{
    return errand_start(request->runtime, PG_POOL_RESERVED, pipeline, CONNECTION_WAIT_US, ANSWER_US,
                        done, request, &request->errand, fault);
}

static void end_session(struct lock_break *request)
{
    struct fault fault;
    const char *params[] = {recorded(request, RECORDED_PID), recorded(request, RECORDED_KEY),
                            recorded(request, RECORDED_UNTIL)};
    struct pg_pipeline *pipeline = pg_pipeline_new();
    if (pipeline)
        pg_pipeline_add(pipeline, PG_PREPARED, SQL_LOCK_BREAK_END, 3, params);
    if (!ask(request, pipeline, on_ended, &fault))
        tell(request, &fault);
}

static void on_recorded(struct pg_answer *answer, void *arg)
{
    struct lock_break *request = arg;
    struct fault fault;
    request->errand = NULL;
    if (answer->fault.kind || answer->connection_lost) {
        tell(request, &answer->fault);
        return;
    }
    request->recorded = answer->results[1]; /* after BEGIN */
    answer->results[1] = NULL;
    if (is_true(request, RECORDED_SPARED)) {
        refuse_standby(request);
    } else if (is_true(request, RECORDED_HIDDEN)) {
        fault_set(&fault, FAULT_DATABASE,
                  "the session %s that holds %s belongs to another role: ending it needs that "
                  "role, or pg_signal_backend with pg_read_all_stats",
                  recorded(request, RECORDED_PID), request->path);
        tell(request, &fault);
    } else if (!recorded(request, RECORDED_ID)) {
        fault_set(&fault, FAULT_MISSING, "nobody holds %s", request->path);
        tell(request, &fault);
    } else if (!recorded(request, RECORDED_PID)) {
        tell(request, NULL);
    } else {
        end_session(request);
    }
}

static bool record(struct lock_break *request, struct fault *fault)
{
    const char *params[] = {request->path, request->by};
    struct pg_pipeline *pipeline = errand_pipeline();
    if (pipeline)
        pg_pipeline_add(pipeline, PG_PREPARED, SQL_LOCK_BREAK_RECORD, 2, params);
    return ask(request, pipeline, on_recorded, fault);
}

/* "*" and the digits of a key. */
static bool is_key(const char *path)
{
    return path[0] == '*' && strlen(path) == 1 + KEY_DIGITS &&
           strspn(path + 1, "0123456789abcdef") == KEY_DIGITS;
}

bool lock_break_start(struct runtime *runtime, const char *path, const char *by,
                      lock_break_fn *done, void *arg, struct lock_break **out, struct fault *fault)
{
    struct lock_path *parsed = NULL;
    if (!is_key(path) && !lock_path_parse(path, &parsed, fault))
        return fault_prefix(fault, "'%s' is no lock path", path);
    lock_path_free(parsed);
    struct lock_break *request = calloc(1, sizeof *request);
    if (!request)
        return fault_no_memory(fault);
    request->runtime = runtime;
    request->done = done;
    request->arg = arg;
    request->path = strdup(path);
    request->by = strdup(by);
    bool ok = request->path && request->by;
    if (!ok)
        fault_no_memory(fault);
    if (!ok || !record(request, fault)) {
        lock_break_cancel(request);
        return false;
    }
    *out = request;
    return true;
}
