#include "batch_jobs.h"

#include "pg_array.h"
#include "runtime_sql.h"
#include "runtime_state.h"

#include <stdio.h>
#include <string.h>

enum {
    IDS_BYTES_MAX = 1 << 20,
};

/* The ids of the jobs of members with that fate. */
static int add_ids(const struct batch *batch, enum member_fate fate, struct text *ids)
{
    int n = 0;
    text_init(ids, IDS_BYTES_MAX);
    pg_array_begin(ids);
    for (const struct member *member = batch->members; member; member = member->next) {
        if (member->fate != fate || !*member->execution->job)
            continue;
        pg_array_add(ids, member->execution->job);
        n++;
    }
    pg_array_end(ids);
    return n;
}

int batch_jobs_add_lock(struct batch *batch)
{
    struct text ids;
    int n = add_ids(batch, FATE_OPEN, &ids);
    const char *params[] = {text_chars(&ids), batch->runtime->process_id};
    int at = n == 0 ? NO_STATEMENT
                    : pg_pipeline_add(batch->pipeline, PG_PREPARED, SQL_JOB_LOCK, 2, params);
    text_done(&ids);
    return at;
}

void batch_jobs_read(struct batch *batch, const PGresult *rows)
{
    for (struct member *member = batch->members; member; member = member->next) {
        if (member->fate != FATE_OPEN || !*member->execution->job)
            continue;
        int row = 0;
        while (row < PQntuples(rows) &&
               strcmp(PQgetvalue(rows, row, 0), member->execution->job) != 0)
            row++;
        if (row < PQntuples(rows))
            continue;
        member->execution->job_lost = true;
        member_drop(member, STATUS_BLOCKED, "the job is another host's");
    }
}

void batch_jobs_add_going_on(struct batch *batch)
{
    const struct execution *execution = batch->members->execution;
    const char *params[] = {execution->job, batch->runtime->process_id};
    if (*execution->job && execution->origin == ORIGIN_START)
        pg_pipeline_add(batch->pipeline, PG_PREPARED, SQL_JOB_GOES_ON, 2, params);
}

bool batch_jobs_add_saves(struct batch *batch, struct fault *fault)
{
    struct text ids;
    char count[24];
    int n = add_ids(batch, FATE_KEPT, &ids);
    snprintf(count, sizeof count, "%d", n);
    const char *params[] = {text_chars(&ids), batch->runtime->process_id, count};
    if (n > 0)
        pg_pipeline_add(batch->pipeline, PG_PREPARED, SQL_JOB_DELETE, 3, params);
    bool ok = text_ok(&ids, fault);
    text_done(&ids);
    return ok;
}
