/*
 * Internal to pg_conn: the commands of a pipeline in flight, in the order of their answers. Each is
 * a statement of the caller or the Prepare that goes before it.
 */
#pragma once
#include "pg_pipeline.h"
#include "pg_statements.h"

struct pg_slot {
    struct pg_statement_entry *prepares; /* NULL for a statement */
    int statement;
};

struct pg_slots {
    struct pg_slot *items;
    int n;
    int capacity;
    int at; /* being answered; n = the Sync */
};

MUST_CHECK bool pg_slots_reserve(struct pg_slots *slots, int n_statements);
/* The same for an array of results. */
MUST_CHECK bool pg_slots_reserve_results(PGresult ***results, int *capacity, int n_statements);
void pg_slots_done(struct pg_slots *slots);

/* Queues every statement in libpq, then a Sync. Room must have been reserved. False as libpq fails,
 * or without memory. */
MUST_CHECK bool pg_slots_send(struct pg_slots *slots, PGconn *pq, struct pg_statements *statements,
                              const struct pg_pipeline *pipeline);
