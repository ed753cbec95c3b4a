/*
 * How much of PostgreSQL's lock table a batch may take. The table is shared by everybody on the
 * server and finite: when it is full, statements fail (53200) and nobody can connect. So the hosts
 * keep to a share of it, stand back when it is full all the same, and warn before.
 */
#pragma once
#include "fault.h"

#include <stdint.h>

struct lock_table;
struct runtime;

MUST_CHECK bool lock_table_new(struct runtime *runtime, struct lock_table **out,
                               struct fault *fault);
void lock_table_start(struct lock_table *table);
void lock_table_free(struct lock_table *table); /* NULL is fine */

/* How many advisory locks a batch of several executions may take now. */
int lock_table_entries_max(const struct lock_table *table);

/* As last seen: entries in use, of about so many, and hosts that live. A size of 0 = never seen. */
void lock_table_read(const struct lock_table *table, int64_t *used, int64_t *size, int *n_hosts);

/* The server had no entry left: halves the limit, which grows back by and by. False if it is as
 * small as it gets: then executions must try alone. */
bool lock_table_shrink(struct lock_table *table);
