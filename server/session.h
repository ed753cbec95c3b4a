/*
 * What a command that talks to a database needs: the event loop, the choice of the database, and a
 * runtime that is up.
 */
#pragma once
#include "database_choice.h"
#include "runtime.h"

struct event_base;

struct session {
    struct event_base *base;
    struct database_choice choice;
    struct log log;
    struct runtime *runtime;
    const struct definition *expected; /* what will run first, for session_start; NULL = unknown */
};

enum {
    SESSION_POOL_DEFAULT = 12,
    SESSION_POOL_LONE = 3, /* of a command that does one thing */
    SESSION_POOL_MAX = 400,
};

/* Makes the loop and chooses the database. *session wants session_close, also after a failure. */
MUST_CHECK bool session_prepare(const struct command_line *line, struct session *session,
                                struct fault *fault);

/* What --pool and --busy-poll-us say, or the defaults. */
MUST_CHECK bool session_read_options(const struct command_line *line, int *pool, int *busy_poll_us,
                                     struct fault *fault);

/* Starts the runtime with at most pool_most connections, or what --pool says, if that is fewer. */
MUST_CHECK bool session_start(const struct command_line *line, struct session *session,
                              int pool_most, struct fault *fault);

/* Both. */
MUST_CHECK bool session_open(const struct command_line *line, struct session *session,
                             int pool_most, struct fault *fault);
void session_close(struct session *session);

/* An event loop with timers finer than a millisecond. NULL without memory. */
struct event_base *session_new_loop(void);

/* The schema's table as an SQL identifier, "latchkey".instance. */
void session_add_table(const struct session *session, const char *table, struct text *out);
