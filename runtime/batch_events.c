#include "batch_events.h"

#include "pg_array.h"
#include "runtime_sql.h"
#include "runtime_state.h"

#include <stdlib.h>

enum {
    EVENTS_BYTES_MAX = 64 << 20,
    EVENT_COLUMNS = 3, /* id, event, payload */
};

/* Those of earlier scripts of the transaction first. */
static int add_events(struct batch *batch, const struct script *script, struct text *columns)
{
    char id[UUID_TEXT_BYTES];
    int n = script_previous(script) ? add_events(batch, script_previous(script), columns) : 0;
    for (const struct script_event *event = script_events(script); event; event = event->next) {
        uuid_draw(&batch->runtime->uuids, id);
        pg_array_add(&columns[0], id);
        pg_array_add(&columns[1], event->name);
        pg_array_add(&columns[2], event->payload);
        n++;
    }
    return n;
}

bool batch_events_add_saves(struct batch *batch, struct fault *fault)
{
    struct text columns[EVENT_COLUMNS];
    const char *params[EVENT_COLUMNS];
    int n = 0;
    for (int i = 0; i < EVENT_COLUMNS; i++) {
        text_init(&columns[i], EVENTS_BYTES_MAX);
        pg_array_begin(&columns[i]);
    }
    for (struct member *member = batch->members; member; member = member->next) {
        if (member->fate != FATE_KEPT || !member->script)
            continue;
        n += add_events(batch, member->script, columns);
    }
    bool ok = true;
    for (int i = 0; i < EVENT_COLUMNS; i++) {
        pg_array_end(&columns[i]);
        params[i] = text_chars(&columns[i]);
        ok = ok && text_ok(&columns[i], fault);
    }
    if (ok && n > 0)
        pg_pipeline_add(batch->pipeline, PG_PREPARED, SQL_EVENT_EMIT, EVENT_COLUMNS, params);
    for (int i = 0; i < EVENT_COLUMNS; i++)
        text_done(&columns[i]);
    return ok;
}
