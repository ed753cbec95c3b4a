/* The waiting forms: they run the loop until their one request is answered. */
#include "pg_conn.h"

#include <event2/event.h>
#include <string.h>

struct opening {
    struct event_base *base;
    bool told;
    struct fault fault;
};

static void on_up(struct pg_conn *conn, const struct fault *fault, void *arg)
{
    struct opening *opening = arg;
    (void)conn;
    opening->told = true;
    if (fault)
        opening->fault = *fault;
    event_base_loopbreak(opening->base);
}

bool pg_conn_open_now(struct event_base *base, const struct pg_conn_options *options,
                      struct pg_conn **out, struct fault *fault)
{
    struct opening opening = {.base = base};
    struct pg_conn *conn = NULL;
    if (!pg_conn_open(base, options, on_up, &opening, &conn, fault))
        return false;
    while (!opening.told)
        event_base_loop(base, EVLOOP_ONCE);
    if (opening.fault.kind) {
        *fault = opening.fault;
        pg_conn_close(conn);
        return false;
    }
    *out = conn;
    return true;
}

struct calling {
    struct event_base *base;
    bool told;
    struct pg_answer answer;
};

static void on_answer(struct pg_answer *answer, void *arg)
{
    struct calling *calling = arg;
    calling->told = true;
    calling->answer = *answer;
    memset(answer, 0, sizeof *answer); /* its results are kept here now */
    event_base_loopbreak(calling->base);
}

bool pg_conn_call(struct event_base *base, struct pg_conn *conn, const struct pg_pipeline *pipeline,
                  int64_t timeout_us, struct pg_answer *out, struct fault *fault)
{
    struct calling calling = {.base = base};
    if (!pg_conn_send(conn, pipeline, timeout_us, on_answer, &calling, fault))
        return false;
    while (!calling.told)
        event_base_loop(base, EVLOOP_ONCE);
    if (calling.answer.fault.kind || calling.answer.connection_lost) {
        *fault = calling.answer.fault;
        pg_answer_done(&calling.answer);
        return false;
    }
    *out = calling.answer;
    return true;
}
