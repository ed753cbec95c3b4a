#include "session.h"

#include "clock.h"
#include "command_line.h"
#include "log_choice.h"

#include <event2/event.h>
#include <string.h>

#define TOO_MANY_CONNECTIONS "53300"

enum {
    OWNERSHIP_MS_MAX = 24 * 3600 * 1000,
    START_WAIT_US = 5 * 1000 * 1000, /* a server that starts or refuses */
    FULL_WAIT_US = 30 * 1000 * 1000, /* one without a free connection: as for a lock */
};

/* evhttp turns reading off and on for each request: the changes of one turn are told to the kernel
 * together, or not at all where they take each other back. */
struct event_base *session_new_loop(void)
{
    struct event_config *config = event_config_new();
    struct event_base *base = NULL;
    if (config && event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER |
                                                    EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST) == 0)
        base = event_base_new_with_config(config);
    if (config)
        event_config_free(config);
    return base;
}

bool session_prepare(const struct command_line *line, struct session *session, struct fault *fault)
{
    *session = (struct session){.base = NULL};
    if (!log_choose(line, &session->log, fault) || !database_choose(line, &session->choice, fault))
        return false;
    session->base = session_new_loop();
    return session->base || fault_no_memory(fault);
}

static bool start(struct runtime *runtime, struct fault *fault)
{
    int64_t until_us = clock_monotonic_us() + FULL_WAIT_US;
    while (!runtime_start(runtime, START_WAIT_US, fault))
        if (strcmp(fault->sqlstate, TOO_MANY_CONNECTIONS) != 0 || clock_monotonic_us() >= until_us)
            return false;
    return true;
}

bool session_read_options(const struct command_line *line, int *pool, int *busy_poll_us,
                          struct fault *fault)
{
    int64_t n = SESSION_POOL_DEFAULT, us = runtime_default_options().busy_poll_us;
    if (!command_line_integer(line, OPTION_POOL, 2, SESSION_POOL_MAX, &n, fault) ||
        !command_line_integer(line, OPTION_BUSY_POLL, 0, RUNTIME_BUSY_POLL_US_MAX, &us, fault))
        return false;
    *pool = (int)n;
    *busy_poll_us = (int)us;
    return true;
}

bool session_start(const struct command_line *line, struct session *session, int pool_most,
                   struct fault *fault)
{
    struct runtime_options options = runtime_default_options();
    int pool;
    if (!session_read_options(line, &pool, &options.busy_poll_us, fault))
        return false;
    if (!command_line_duration(line, OPTION_OWNERSHIP, 1000, OWNERSHIP_MS_MAX,
                               &options.ownership_us, fault))
        return false;
    options.conninfo = text_chars(&session->choice.conninfo);
    options.schema = session->choice.schema;
    options.log = &session->log;
    options.pool_size =
        pool < pool_most || command_line_has(line, OPTION_WORKER) ? pool : pool_most;
    options.waiters = options.pool_size / 4 ? options.pool_size / 4 : 1;
    if (!runtime_new(session->base, &options, &session->runtime, fault))
        return false;
    if (session->expected)
        runtime_expect(session->runtime, session->expected);
    return start(session->runtime, fault);
}

bool session_open(const struct command_line *line, struct session *session, int pool_most,
                  struct fault *fault)
{
    return session_prepare(line, session, fault) && session_start(line, session, pool_most, fault);
}

void session_close(struct session *session)
{
    /* What is cut short the others take over when this host has been silent for long enough: by
     * then it has rolled back. */
    if (session->runtime && runtime_n_running(session->runtime) == 0)
        runtime_retire(session->runtime);
    runtime_free(session->runtime);
    session->runtime = NULL;
    if (session->base)
        event_base_free(session->base);
    session->base = NULL;
    database_choice_done(&session->choice);
}

void session_add_table(const struct session *session, const char *table, struct text *out)
{
    text_addf(out, "\"%s\".%s", session->choice.schema, table);
}
