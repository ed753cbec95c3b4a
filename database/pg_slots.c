#include "pg_slots.h"

#include <stdlib.h>

bool pg_slots_reserve(struct pg_slots *slots, int n_statements)
{
    int needed = 2 * n_statements; /* each may need a Prepare */
    if (needed > slots->capacity) {
        struct pg_slot *grown = realloc(slots->items, (size_t)needed * sizeof *grown);
        if (!grown)
            return false;
        slots->items = grown;
        slots->capacity = needed;
    }
    return true;
}

bool pg_slots_reserve_results(PGresult ***results, int *capacity, int n_statements)
{
    if (n_statements > *capacity) {
        PGresult **grown = realloc(*results, (size_t)n_statements * sizeof *grown);
        if (!grown)
            return false;
        *results = grown;
        *capacity = n_statements;
    }
    return true;
}

void pg_slots_done(struct pg_slots *slots)
{
    free(slots->items);
    *slots = (struct pg_slots){0};
}

static void add(struct pg_slots *slots, struct pg_statement_entry *prepares, int statement)
{
    slots->items[slots->n++] = (struct pg_slot){.prepares = prepares, .statement = statement};
}

static bool send_one(struct pg_slots *slots, PGconn *pq, struct pg_statements *statements,
                     const struct pg_statement *statement, int i)
{
    struct pg_statement_entry *entry = NULL;
    const char *text = statement->text;
    if (statement->prepare == PG_PREPARED) {
        entry = pg_statements_get(statements, statement->text);
        if (!entry)
            return false;
        text = entry->rendered;
    }
    if (!entry || !entry->name[0]) {
        add(slots, NULL, i);
        return PQsendQueryParams(pq, text, statement->n_params, NULL, statement->params, NULL, NULL,
                                 0) == 1;
    }
    if (entry->state == PG_STATEMENT_NEW) {
        add(slots, entry, i);
        if (PQsendPrepare(pq, entry->name, text, 0, NULL) != 1)
            return false;
        entry->state = PG_STATEMENT_SENT;
    }
    add(slots, NULL, i);
    return PQsendQueryPrepared(pq, entry->name, statement->n_params, statement->params, NULL, NULL,
                               0) == 1;
}

bool pg_slots_send(struct pg_slots *slots, PGconn *pq, struct pg_statements *statements,
                   const struct pg_pipeline *pipeline)
{
    struct pg_statement statement;
    slots->n = 0;
    slots->at = 0;
    for (int i = 0; i < pg_pipeline_length(pipeline); i++) {
        pg_pipeline_read(pipeline, i, &statement);
        if (!send_one(slots, pq, statements, &statement, i))
            return false;
    }
    return PQpipelineSync(pq) == 1;
}
