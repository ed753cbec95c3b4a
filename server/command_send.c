/* `send` and `resume`: one run of an instance that exists. */
#include "command.h"
#include "command_line.h"
#include "run_report.h"
#include "session.h"

#include <event2/event.h>
#include <string.h>

struct sending {
    struct session session;
    bool as_json;
    bool told;
    int exit_code;
};

static void on_result(const struct result *result, void *arg)
{
    struct sending *sending = arg;
    sending->told = true;
    sending->exit_code = run_report_result(result, sending->as_json);
    event_base_loopbreak(sending->session.base);
}

static bool deliver(struct sending *sending, const struct delivery *delivery, struct fault *fault)
{
    if (!runtime_deliver(sending->session.runtime, delivery, fault))
        return false;
    while (!sending->told)
        event_base_loop(sending->session.base, EVLOOP_ONCE);
    return true;
}

static int run(const struct command_line *line, struct delivery *delivery)
{
    struct fault fault;
    const char *text = command_line_value(line, OPTION_PAYLOAD);
    json_t *payload = NULL;
    struct sending sending = {.as_json = command_line_has(line, OPTION_JSON)};
    delivery->done = on_result;
    delivery->arg = &sending;
    bool ok = !text || json_read("--payload", text, strlen(text), &payload, &fault);
    delivery->payload = payload;
    ok = ok && session_open(line, &sending.session, SESSION_POOL_LONE, &fault) &&
         deliver(&sending, delivery, &fault);
    session_close(&sending.session);
    delivery->arg = NULL;
    delivery->payload = NULL;
    json_decref(payload);
    if (ok)
        return sending.exit_code;
    return run_report_fault(&fault, /* workflow= */ "", /* count= */ 0, sending.as_json,
                            /* told= */ false);
}

int command_send(const struct command_line *line)
{
    struct delivery delivery = {.instance = line->arguments[0], .event = line->arguments[1]};
    return run(line, &delivery);
}

int command_resume(const struct command_line *line)
{
    struct delivery delivery = {.instance = line->arguments[0]};
    return run(line, &delivery);
}
