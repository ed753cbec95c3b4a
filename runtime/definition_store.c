#include "definition_store.h"

#include "pg_array.h"
#include "runtime_sql.h"
#include "text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    TRIGGERS_BYTES_MAX = 2 << 20, /* a definition of the greatest length holds fewer */
    NUMBER_BYTES = 16,
};

int definition_store_add_read(struct pg_pipeline *pipeline, const char *name, int version)
{
    char number[NUMBER_BYTES];
    snprintf(number, sizeof number, "%d", version);
    const char *params[] = {name, number};
    return pg_pipeline_add(pipeline, PG_PREPARED, SQL_DEFINITION_READ, 2, params);
}

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

void definition_store_add_notice(struct pg_pipeline *pipeline, const char *name, int version)
{
    char number[NUMBER_BYTES];
    snprintf(number, sizeof number, "%d", version);
    const char *params[] = {name, number};
    pg_pipeline_add(pipeline, PG_PREPARED, SQL_DEFINITION_NOTICE, 2, params);
}

static bool list_triggers(const struct definition *definition, struct text *events,
                          struct text *periods, struct fault *fault)
{
    pg_array_begin(events);
    pg_array_begin(periods);
    for (int i = 0; i < definition->n_triggers; i++) {
        const struct trigger *trigger = &definition->triggers[i];
        pg_array_add(events, trigger->event);
        if (trigger->event)
            pg_array_add(periods, NULL);
        else
            pg_array_add_int64(periods, trigger->every_ms);
    }
    pg_array_end(events);
    pg_array_end(periods);
    return text_ok(events, fault) && text_ok(periods, fault);
}

bool definition_store_add_triggers(struct pg_pipeline *pipeline,
                                   const struct definition *definition, int version,
                                   struct fault *fault)
{
    struct text events, periods;
    char number[NUMBER_BYTES], n_triggers[NUMBER_BYTES];
    snprintf(number, sizeof number, "%d", version);
    snprintf(n_triggers, sizeof n_triggers, "%d", definition->n_triggers);
    text_init(&events, TRIGGERS_BYTES_MAX);
    text_init(&periods, TRIGGERS_BYTES_MAX);
    bool ok = list_triggers(definition, &events, &periods, fault);
    if (ok) {
        const char *put[] = {definition->name, number, text_chars(&events), text_chars(&periods)};
        const char *cut[] = {definition->name, n_triggers};
        pg_pipeline_add(pipeline, PG_PREPARED, SQL_TRIGGER_LOCK, 1, put);
        pg_pipeline_add(pipeline, PG_PREPARED, SQL_TRIGGER_PUT, 4, put);
        pg_pipeline_add(pipeline, PG_PREPARED, SQL_TRIGGER_CUT, 2, cut);
    }
    text_done(&events);
    text_done(&periods);
    return ok;
}

bool definition_store_add_version(struct pg_pipeline *pipeline, const struct definition *definition,
                                  int version, const char *published_by, struct fault *fault)
{
    char number[NUMBER_BYTES];
    snprintf(number, sizeof number, "%d", version);
    const char *params[] = {definition->name, number, definition->source, definition->checksum,
                            published_by};
    pg_pipeline_add(pipeline, PG_PREPARED, SQL_DEFINITION_INSERT, 5, params);
    if (!definition_store_add_triggers(pipeline, definition, version, fault))
        return false;
    definition_store_add_notice(pipeline, definition->name, version);
    return true;
}
