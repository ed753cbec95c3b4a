/*
 * How much of PostgreSQL's lock table a batch may take. The table is shared by everybody on the
 * server and finite: when it is full, statements fail (53200) and nobody can connect. So the hosts
 * keep to a share of it, stand back when it is full all the same, and warn before.
 */
#pragma once
#include "fault.h"

struct lock_table;
struct runtime;

MUST_CHECK bool lock_table_new(struct runtime *runtime, struct lock_table **out,
                               struct fault *fault);
void lock_table_start(struct lock_table *table);
void lock_table_free(struct lock_table *table); /* NULL is fine */

/* How many advisory locks a batch of several executions may take now. */
int lock_table_entries_max(const struct lock_table *table);

/* The server had no entry left: halves the limit, which grows back by and by. False if it is as
 * small as it gets: then executions must try alone. */
bool lock_table_shrink(struct lock_table *table);
