#include "batch_events.h"

#include "pg_array.h"
#include "runtime_sql.h"
#include "runtime_state.h"

#include <stdlib.h>

enum {
    EVENTS_BYTES_MAX = 64 << 20,
    EVENT_COLUMNS = 3, /* id, event, payload */
};

bool batch_events_add_saves(struct batch *batch, struct fault *fault)
{
    struct text columns[EVENT_COLUMNS];
    const char *params[EVENT_COLUMNS];
    char id[UUID_TEXT_BYTES];
    int n = 0;
    for (int i = 0; i < EVENT_COLUMNS; i++) {
        text_init(&columns[i], EVENTS_BYTES_MAX);
        pg_array_begin(&columns[i]);
    }
    for (struct member *member = batch->members; member; member = member->next) {
        if (member->fate != FATE_KEPT || !member->script)
            continue;
        for (const struct script_event *event = script_events(member->script); event;
             event = event->next) {
            uuid_draw(&batch->runtime->uuids, id);
            pg_array_add(&columns[0], id);
            pg_array_add(&columns[1], event->name);
            pg_array_add(&columns[2], event->payload);
            n++;
        }
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
