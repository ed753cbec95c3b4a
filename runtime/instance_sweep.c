#include "instance_sweep.h"

#include "execution.h"
#include "pg_array.h"
#include "runtime_sql.h"
#include "runtime_state.h"

#include <stdio.h>

enum {
    IDS_BYTES_MAX = 16 << 20,
};

/* Also one that has no row yet: its first commit may be under way. */
static void add_ids(const struct runtime *runtime, struct text *ids)
{
    const struct execution *execution;
    TAILQ_FOREACH(execution, &runtime->executions, by_time)
    {
        if (execution->instance.stored || execution->state == EXECUTION_TAKEN)
            pg_array_add(ids, execution->id);
    }
}

void instance_sweep_add(struct runtime *runtime, struct pg_pipeline *pipeline)
{
    struct text ids;
    struct fault ignored;
    char id[UUID_TEXT_BYTES], silent_ms[24];
    text_init(&ids, IDS_BYTES_MAX);
    pg_array_begin(&ids);
    add_ids(runtime, &ids);
    pg_array_end(&ids);
    uuid_draw(&runtime->uuids, id);
    snprintf(silent_ms, sizeof silent_ms, "%lld",
             (long long)(runtime->options.ownership_us / 1000));
    const char *params[] = {runtime->process_id, text_chars(&ids), id, silent_ms};
    if (text_ok(&ids, &ignored))
        pg_pipeline_add(pipeline, PG_PREPARED, SQL_INSTANCE_FORGOTTEN, 4, params);
    text_done(&ids);
}
