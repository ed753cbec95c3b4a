#include "desk.h"

#include "clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
    PATIENCE = 4, /* times what a test allows: the machine may be busy */
};

int desk_open(void **state)
{
    struct desk *desk = calloc(1, sizeof *desk);
    if (!desk || !fixture_database_new(desk->conninfo))
        return 1;
    desk->base = event_base_new();
    desk->pipeline = pg_pipeline_new();
    desk->outsider = fixture_connect(desk->conninfo);
    *state = desk;
    return desk->base && desk->pipeline ? 0 : 1;
}

int desk_close(void **state)
{
    struct desk *desk = *state;
    PQfinish(desk->outsider);
    pg_pipeline_free(desk->pipeline);
    event_base_free(desk->base);
    fixture_database_drop(desk->conninfo);
    free(desk);
    return 0;
}

int desk_clear(void **state)
{
    struct desk *desk = *state;
    pg_pipeline_clear(desk->pipeline);
    return 0;
}

struct pg_conn_options desk_options(const struct desk *desk)
{
    return (struct pg_conn_options){
        .conninfo = desk->conninfo,
        .schema = "latch \"key's",
        .application_name = "desk",
        .connect_timeout_us = 5 * 1000000,
    };
}

struct pg_conn *desk_connect(struct desk *desk)
{
    struct pg_conn_options options = desk_options(desk);
    struct pg_conn *conn = NULL;
    struct fault fault;
    if (!pg_conn_open_now(desk->base, &options, &conn, &fault))
        fail_msg("%s", fault.text);
    return conn;
}

int desk_add(struct desk *desk, const char *text)
{
    return pg_pipeline_add(desk->pipeline, PG_PREPARED, text, 0, NULL);
}

struct waiting {
    struct pg_answer answer;
    bool told;
};

static void on_answer(struct pg_answer *answer, void *arg)
{
    struct waiting *waiting = arg;
    assert_false(waiting->told);
    waiting->told = true;
    waiting->answer = *answer;
    *answer = (struct pg_answer){0};
}

void desk_send_within(struct desk *desk, struct pg_conn *conn, int64_t timeout_us,
                      struct pg_answer *out)
{
    struct waiting waiting = {.told = false};
    struct fault fault;
    assert_true(pg_conn_send(conn, desk->pipeline, timeout_us, on_answer, &waiting, &fault));
    assert_false(waiting.told);
    pg_pipeline_clear(desk->pipeline);
    desk_loop_until(desk, &waiting.told, 20000);
    *out = waiting.answer;
}

void desk_send(struct desk *desk, struct pg_conn *conn, struct pg_answer *out)
{
    desk_send_within(desk, conn, 0, out);
}

void desk_run(struct desk *desk, struct pg_conn *conn, const char *text, char out[64])
{
    struct pg_answer answer;
    desk_add(desk, text);
    desk_send(desk, conn, &answer);
    if (answer.fault.kind || answer.connection_lost)
        fail_msg("%s: %s", text, answer.fault.text);
    if (out && PQntuples(answer.results[0]))
        snprintf(out, 64, "%.63s", PQgetvalue(answer.results[0], 0, 0));
    pg_answer_done(&answer);
}

static void on_time(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg;
}

static void loop_once(struct desk *desk, int64_t most_us)
{
    struct timeval limit = clock_timeval_us(most_us);
    struct event *timer = event_new(desk->base, -1, 0, on_time, NULL);
    assert_non_null(timer);
    event_add(timer, &limit);
    event_base_loop(desk->base, EVLOOP_ONCE);
    event_free(timer);
}

void desk_loop_until(struct desk *desk, const bool *flag, int timeout_ms)
{
    int64_t deadline_us = clock_monotonic_us() + (int64_t)timeout_ms * 1000 * PATIENCE;
    while (!*flag) {
        int64_t left_us = deadline_us - clock_monotonic_us();
        if (left_us <= 0)
            fail_msg("nothing happened within %d ms", timeout_ms);
        loop_once(desk, left_us);
    }
}

void desk_loop_for(struct desk *desk, int ms)
{
    int64_t deadline_us = clock_monotonic_us() + (int64_t)ms * 1000;
    int64_t left_us;
    while ((left_us = deadline_us - clock_monotonic_us()) > 0)
        loop_once(desk, left_us);
}
