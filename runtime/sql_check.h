/*
 * Which SQL a script may run: one statement of a kind that changes or reads rows. Everything that
 * speaks of transactions, settings or roles would take the ground from under the lock.
 */
#pragma once
#include "fault.h"

/* True for one SELECT, INSERT, UPDATE, DELETE, MERGE, VALUES or WITH statement. Fails with
 * FAULT_SCRIPT and the word that is refused. PostgreSQL itself refuses a second statement. */
MUST_CHECK bool sql_check(const char *text, size_t n_bytes, struct fault *fault);
