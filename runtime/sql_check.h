/*
 * What a script may send as SQL of its own. Everything that can be told from the text is refused
 * here, before anything is sent:
 *
 *   - all but one SELECT, INSERT, UPDATE, DELETE, MERGE, VALUES or WITH; a second statement
 *   - SELECT INTO, which makes a table
 *   - functions that act on the session, on other sessions, on the server or its files, or that run
 *     a text as SQL; the view pg_settings, whose UPDATE is a SET
 *   - latchkey's own schema
 *
 * An application's own functions and triggers are not looked into. What they may do to the session
 * is undone: the limits and settings are set again after each statement, and session_reset.h.
 */
#pragma once
#include "fault.h"

#include <stddef.h>

/* schema: latchkey's own. Fails with FAULT_SCRIPT. */
MUST_CHECK bool sql_check(const char *text, size_t n_bytes, const char *schema,
                          struct fault *fault);
