#include "http_figures.h"

#include "clock.h"
#include "runtime.h"
#include "server_sql.h"

#include <event2/event.h>
#include <libpq-fe.h>
#include <stdlib.h>

enum {
    LOOK_EVERY_US = 5 * 1000 * 1000,
    WANTED_US = 60 * 1000 * 1000, /* for so long after somebody asked */
};

enum figures_state {
    FIGURES_RESTING,
    FIGURES_LOOKING, /* awaits the answer */
    FIGURES_PAUSED,  /* awaits the timer */
};

struct http_figures {
    struct runtime *runtime;
    struct event *timer;
    enum figures_state state;
    bool freed; /* but for the answer that is to come */
    int64_t wanted_until_us;
    int64_t seen_us; /* 0 = nothing is known */
    struct job_figures jobs;
};

static void pause_or_rest(struct http_figures *figures)
{
    struct timeval pause = clock_timeval_us(LOOK_EVERY_US);
    figures->state = FIGURES_RESTING;
    if (clock_monotonic_us() < figures->wanted_until_us && event_add(figures->timer, &pause) == 0)
        figures->state = FIGURES_PAUSED;
}

static void on_looked(const struct pg_result *rows, const struct fault *fault, void *arg)
{
    struct http_figures *figures = arg;
    (void)fault;
    if (figures->freed) {
        free(figures);
        return;
    }
    figures->seen_us = rows ? clock_monotonic_us() : 0;
    if (rows)
        figures->jobs = (struct job_figures){
            .n_due = strtoll(PQgetvalue(rows, 0, 0), NULL, 10),
            .n_later = strtoll(PQgetvalue(rows, 0, 1), NULL, 10),
            .n_claimed = strtoll(PQgetvalue(rows, 0, 2), NULL, 10),
            .n_dead = strtoll(PQgetvalue(rows, 0, 3), NULL, 10),
            .oldest_due_seconds = strtod(PQgetvalue(rows, 0, 4), NULL),
        };
    pause_or_rest(figures);
}

static void look(struct http_figures *figures)
{
    struct fault fault;
    figures->state = FIGURES_LOOKING;
    if (!runtime_inquire(figures->runtime, SQL_JOB_FIGURES, 0, NULL, on_looked, figures, &fault)) {
        figures->seen_us = 0;
        pause_or_rest(figures);
    }
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    look(arg);
}

bool http_figures_new(struct event_base *base, struct runtime *runtime, struct http_figures **out,
                      struct fault *fault)
{
    struct http_figures *figures = calloc(1, sizeof *figures);
    if (!figures)
        return fault_no_memory(fault);
    figures->runtime = runtime;
    figures->timer = event_new(base, -1, 0, on_timer, figures);
    if (!figures->timer) {
        free(figures);
        return fault_no_memory(fault);
    }
    *out = figures;
    return true;
}

void http_figures_free(struct http_figures *figures)
{
    if (!figures)
        return;
    event_free(figures->timer);
    figures->freed = true;
    if (figures->state != FIGURES_LOOKING)
        free(figures);
}

bool http_figures_read(struct http_figures *figures, struct job_figures *out)
{
    int64_t now_us = clock_monotonic_us();
    figures->wanted_until_us = now_us + WANTED_US;
    if (figures->state == FIGURES_RESTING)
        look(figures);
    *out = figures->jobs;
    out->age_seconds = (double)(now_us - figures->seen_us) / 1e6;
    return figures->seen_us != 0;
}
