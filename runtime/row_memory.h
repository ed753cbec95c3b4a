/*
 * Rows that executions by themselves saved a moment ago, as the database gave them back, each with
 * the version that stands there since: for batch_early.h. A copy is never proof of anything; who
 * uses one makes its transaction depend on that version.
 *
 * A fixed number of places; who comes to one that is taken takes it over.
 */
#pragma once
#include "fault.h"

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

struct row_memory;

MUST_CHECK bool row_memory_new(struct row_memory **out, struct fault *fault);
void row_memory_free(struct row_memory *memory);

/* key tells one row of one table from all others. True if it was noted since since_us, and not with
 * a row that is too large to be remembered. */
bool row_memory_noted(const struct row_memory *memory, const char *key, int64_t since_us);

/* A row has been saved, with or without a copy. row NULL = without; otherwise it is the memory's
 * from here on. read_us: when it was last loaded, and not remembered. Without memory to spare, or
 * if it is large, the row is forgotten. */
void row_memory_note(struct row_memory *memory, const char *key, int64_t now_us, PGresult *row,
                     int64_t read_us);

/* The copy, if it was loaded since since_us; lent until the next call. *read_us is when. NULL
 * without one. */
const PGresult *row_memory_find(const struct row_memory *memory, const char *key, int64_t since_us,
                                int64_t *read_us);

void row_memory_forget(struct row_memory *memory, const char *key);
