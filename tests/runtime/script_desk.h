/*
 * Runs single scripts over a few tables: data.i is row 1 of item, data.lines are the lines of item
 * 1 by n. The script's first line is line 22 of test.yaml.
 */
#pragma once
#include "runtime_fixture.h"

/* item(id, n, t, slug, doc, raw) 1 to 3 and line(id, item, n, note) 1 to 4; app_set(), app_lock()
 * and app_unlock() do what a script may not do itself. */
extern const char SCRIPT_DESK_TABLES[];

/* A host over fresh tables. */
struct host *script_desk_start(void **state);
struct outcome script_desk_run(struct host *host, const char *script);

/* On a host of its own: it completes with this output. */
void script_desk_gives(void **state, const char *script, const char *output);

/* It ends so and leaves nothing changed. */
void script_desk_fails(void **state, const char *script, enum execution_status status,
                       const char *reason);
