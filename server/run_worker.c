#include "run_worker.h"

#include "clock.h"
#include "command_line.h"
#include "run_target.h"
#include "session.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct worker {
    struct session session;
    struct workflow *workflow;
    struct bufferevent *pipe;
    const char *key;
    bool queue;
    long n_running;
    bool input_ended;
};

struct worker_run {
    struct worker *worker;
    int64_t seq;
    int64_t submitted_us;
};

static void end_if_done(struct worker *worker)
{
    if (worker->input_ended && worker->n_running == 0 &&
        evbuffer_get_length(bufferevent_get_output(worker->pipe)) == 0)
        event_base_loopbreak(worker->session.base);
}

static void answer(struct worker *worker, int64_t seq, enum execution_status status,
                   int64_t latency_us, const char *reason)
{
    if (!worker->pipe) /* the runtime's end: nobody listens */
        return;
    /* A reason is one sentence; a line feed in it would be a line of its own. */
    size_t length = reason ? strcspn(reason, "\n") : 0;
    evbuffer_add_printf(bufferevent_get_output(worker->pipe), "%lld %s %lld %.*s\n", (long long)seq,
                        execution_status_row(status)->name, (long long)latency_us, (int)length,
                        reason ? reason : "");
}

static void on_done(const struct result *result, void *arg)
{
    struct worker_run *run = arg;
    struct worker *worker = run->worker;
    worker->n_running--;
    answer(worker, run->seq, result->status, clock_monotonic_us() - run->submitted_us,
           result->reason);
    free(run);
}

static bool start(struct worker *worker, struct worker_run *run, const char *id, const char *input,
                  struct fault *fault)
{
    json_t *value = NULL;
    if (!json_read("input", input, strlen(input), &value, fault))
        return false;
    struct submission submission = {
        .workflow = worker->workflow,
        .input = value,
        .id = id,
        .key = worker->key,
        .done = on_done,
        .arg = run,
    };
    run->submitted_us = clock_monotonic_us();
    bool ok = worker->queue
                  ? runtime_enqueue(worker->session.runtime, &submission, /* priority= */ 0, fault)
                  : runtime_submit(worker->session.runtime, &submission, fault);
    json_decref(value);
    return ok;
}

static void take_line(struct worker *worker, char *line)
{
    struct fault fault = {0};
    char *at = line;
    int64_t seq = strtoll(strsep(&at, " "), NULL, 10);
    const char *id = at ? strsep(&at, " ") : "";
    struct worker_run *run = malloc(sizeof *run);
    if (!run)
        fault_no_memory(&fault);
    else
        *run = (struct worker_run){.worker = worker, .seq = seq};
    if (run && start(worker, run, id, at ? at : "", &fault)) {
        worker->n_running++;
        return;
    }
    free(run);
    answer(worker, seq, STATUS_FAILED, 0, fault.text);
}

static void on_input(struct bufferevent *pipe, void *arg)
{
    char *line;
    while ((line = evbuffer_readln(bufferevent_get_input(pipe), NULL, EVBUFFER_EOL_LF))) {
        take_line(arg, line);
        free(line);
    }
}

static void on_written(struct bufferevent *pipe, void *arg)
{
    (void)pipe;
    end_if_done(arg);
}

static void on_end(struct bufferevent *pipe, short what, void *arg)
{
    struct worker *worker = arg;
    (void)pipe;
    worker->input_ended = true;
    if (what & BEV_EVENT_ERROR) /* nobody listens any more */
        event_base_loopbreak(worker->session.base);
    end_if_done(worker);
}

/* Blocking, before the loop or after it. */
static void write_all(const char *text)
{
    size_t length = strlen(text);
    while (length > 0) {
        ssize_t n = write(STDIN_FILENO, text, length);
        if (n <= 0)
            return;
        text += n;
        length -= (size_t)n;
    }
}

static int tell_fault(const struct fault *fault)
{
    char text[FAULT_TEXT_BYTES + 32];
    snprintf(text, sizeof text, "fault %d %s\n", (int)fault->kind, fault->text);
    write_all(text);
    return 1;
}

static bool serve(struct worker *worker, struct fault *fault)
{
    struct session *session = &worker->session;
    if (evutil_make_socket_nonblocking(STDIN_FILENO) != 0)
        return fault_set(fault, FAULT_INVALID, "--worker is for processes that latchkey starts");
    worker->pipe = bufferevent_socket_new(session->base, STDIN_FILENO, 0);
    if (!worker->pipe)
        return fault_no_memory(fault);
    bufferevent_setcb(worker->pipe, on_input, on_written, on_end, worker);
    bufferevent_enable(worker->pipe, EV_READ | EV_WRITE);
    evbuffer_add_printf(bufferevent_get_output(worker->pipe), "ready %s\n",
                        runtime_process_id(session->runtime));
    event_base_dispatch(session->base);
    return true;
}

int run_worker(const struct command_line *line)
{
    struct fault fault;
    struct worker worker = {.key = command_line_value(line, OPTION_KEY),
                            .queue = command_line_has(line, OPTION_QUEUE)};
    struct run_target target = {0};
    bool published;
    signal(SIGPIPE, SIG_IGN);
    signal(SIGINT, SIG_IGN); /* a terminal sends it to all: the starting process decides */
    bool ok =
        session_open(line, &worker.session, SESSION_POOL_DEFAULT, &fault) &&
        run_target_read(&target, line->arguments[0], /* quiet= */ true, &fault) &&
        run_target_open(&target, worker.session.runtime, &worker.workflow, &published, &fault) &&
        serve(&worker, &fault);
    int exit_code = ok ? 0 : tell_fault(&fault);
    if (worker.pipe)
        bufferevent_free(worker.pipe);
    worker.pipe = NULL;
    run_target_done(&target);
    session_close(&worker.session);
    return exit_code;
}
