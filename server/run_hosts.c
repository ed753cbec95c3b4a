#include "run_hosts.h"

#include "clock.h"
#include "interrupt.h"
#include "progress.h"
#include "run_host.h"
#include "run_load.h"
#include "run_lookup.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

struct run_hosts {
    struct run_hosts_options options;
    struct run_totals *totals;
    struct progress progress;
    struct interrupt interrupt;
    struct event *begin; /* who is ready has waited long enough for the others */
    struct event *last;  /* the time for what is under way is over */
    struct uuid_source ids;
    struct run_host *hosts;
    struct run_handed_list lost; /* handed to hosts that died */
    int window;                  /* unanswered runs of one host */
    int64_t n_handed;
    int64_t n_answered;
    int64_t n_lost;
    bool begun;
    bool stopping;
    bool told; /* fault is what the first host said that could not work */
    struct fault fault;
};

static bool has_more(const struct run_hosts *all)
{
    return !all->stopping && all->n_handed < run_plan_count(all->options.plan);
}

/* What a dead host had is done with as well: it is looked up at the end, never run again. */
static bool all_answered(const struct run_hosts *all)
{
    return !has_more(all) && all->n_answered + all->n_lost == all->n_handed;
}

static bool hand(struct run_host *host)
{
    struct run_hosts *all = host->all;
    struct run_handed *handed = calloc(1, sizeof *handed);
    json_t *input = run_plan_input(all->options.plan, all->n_handed);
    char *text = input ? json_write(input) : NULL;
    bool ok = handed && text;
    if (ok) {
        handed->seq = all->n_handed;
        uuid_draw(&all->ids, handed->id);
        ok = evbuffer_add_printf(bufferevent_get_output(host->pipe), "%lld %s %s\n",
                                 (long long)handed->seq, handed->id, text) > 0;
    }
    free(text);
    json_decref(input);
    if (!ok) {
        free(handed);
        return fault_no_memory(&all->fault);
    }
    TAILQ_INSERT_TAIL(&host->handed, handed, link);
    host->n_handed++;
    all->n_handed++;
    return true;
}

static void leave(struct run_host *host)
{
    if (host->state != RUN_HOST_READY && host->state != RUN_HOST_STARTING)
        return;
    host->state = RUN_HOST_LEAVING;
    shutdown(bufferevent_getfd(host->pipe), SHUT_WR);
}

static bool somebody_lives(const struct run_hosts *all)
{
    for (int i = 0; i < all->options.n_hosts; i++)
        if (all->hosts[i].state != RUN_HOST_ENDED)
            return true;
    return false;
}

static bool somebody_starts(const struct run_hosts *all)
{
    for (int i = 0; i < all->options.n_hosts; i++)
        if (all->hosts[i].state == RUN_HOST_STARTING)
            return true;
    return false;
}

/* Hosts that start take the processors of those that work, so the clock starts when all can, once.
 */
static void begin(struct run_hosts *all)
{
    run_totals_start(all->totals);
    all->begun = true;
}

/* Gives work to whoever has room, and sends everybody home when there is none left. */
static void go_on(struct run_hosts *all)
{
    if (!somebody_starts(all))
        begin(all);
    for (int i = 0; all->begun && i < all->options.n_hosts; i++) {
        struct run_host *host = &all->hosts[i];
        while (host->state == RUN_HOST_READY && host->n_handed < all->window && has_more(all))
            if (!hand(host))
                all->stopping = all->told = true;
    }
    if (all_answered(all)) {
        run_totals_stop(all->totals);
        for (int i = 0; i < all->options.n_hosts; i++)
            leave(&all->hosts[i]);
    }
    if (!somebody_lives(all))
        event_base_loopbreak(all->options.base);
}

static struct run_handed *find_handed(struct run_host *host, int64_t seq)
{
    struct run_handed *handed;
    TAILQ_FOREACH(handed, &host->handed, link)
    if (handed->seq == seq)
        return handed;
    return NULL;
}

/* "SEQ STATUS LATENCY_US REASON" */
static void take_answer(struct run_host *host, char *line)
{
    struct run_hosts *all = host->all;
    enum execution_status status;
    char *at = line;
    struct run_handed *handed = find_handed(host, strtoll(strsep(&at, " "), NULL, 10));
    const char *name = at ? strsep(&at, " ") : "";
    int64_t latency_us = at ? strtoll(strsep(&at, " "), NULL, 10) : -1;
    if (!handed || !execution_status_named(name, &status))
        return;
    TAILQ_REMOVE(&host->handed, handed, link);
    free(handed);
    host->n_handed--;
    all->n_answered++;
    run_totals_add(all->totals, status, latency_us, at);
    progress_update(&all->progress, all->n_answered + all->n_lost);
}

static void take_fault(struct run_hosts *all, char *rest)
{
    int kind = (int)strtol(strsep(&rest, " "), NULL, 10);
    bool known = kind > FAULT_NONE && kind <= FAULT_UNKNOWN;
    if (!all->told)
        fault_set(&all->fault, known ? (enum fault_kind)kind : FAULT_DATABASE, "%s",
                  rest ? rest : "");
    all->told = true;
}

/* From the first that is ready on. */
static void await_others(struct run_hosts *all)
{
    struct timeval wait = clock_timeval_us(RUN_HOSTS_START_WAIT_US);
    if (!all->begun && !event_pending(all->begin, EV_TIMEOUT, NULL))
        event_add(all->begin, &wait);
}

static void take_line(struct run_host *host, char *line)
{
    if (strncmp(line, "ready ", 6) == 0 && host->state == RUN_HOST_STARTING) {
        snprintf(host->process_id, sizeof host->process_id, "%s", line + 6);
        host->state = RUN_HOST_READY;
        await_others(host->all);
    } else if (strncmp(line, "fault ", 6) == 0) {
        take_fault(host->all, line + 6);
    } else {
        take_answer(host, line);
    }
}

static void take_lines(struct run_host *host, struct evbuffer *input)
{
    char *line;
    while ((line = evbuffer_readln(input, NULL, EVBUFFER_EOL_LF))) {
        take_line(host, line);
        free(line);
    }
}

static void on_lines(struct bufferevent *pipe, void *arg)
{
    struct run_host *host = arg;
    take_lines(host, bufferevent_get_input(pipe));
    go_on(host->all);
}

/* A failed write ends the connection before the last answers were read. */
static void take_rest(struct run_host *host)
{
    struct evbuffer *rest = evbuffer_new();
    if (!rest)
        return;
    evbuffer_add_buffer(rest, bufferevent_get_input(host->pipe));
    while (evbuffer_read(rest, bufferevent_getfd(host->pipe), /* howmuch= */ -1) > 0)
        ;
    take_lines(host, rest);
    evbuffer_free(rest);
}

static void on_end(struct bufferevent *pipe, short what, void *arg)
{
    struct run_host *host = arg;
    struct run_hosts *all = host->all;
    (void)what;
    take_rest(host);
    host->state = RUN_HOST_ENDED;
    all->n_lost += host->n_handed;
    if (host->n_handed)
        fprintf(stderr, "latchkey: host process %d died with %d runs unanswered\n", (int)host->pid,
                host->n_handed);
    TAILQ_CONCAT(&all->lost, &host->handed, link);
    host->n_handed = 0;
    bufferevent_free(pipe);
    host->pipe = NULL;
    go_on(all);
}

static bool start_host(struct run_host *host, struct fault *fault)
{
    const struct run_hosts_options *options = &host->all->options;
    int fd;
    struct run_host_command command = {
        .target = options->target,
        .conninfo = options->conninfo,
        .schema = options->schema,
        .pool = options->pool,
        .busy_poll_us = options->busy_poll_us,
        .key = options->key,
        .queue = options->queue,
        .log_form = options->log_form,
    };
    if (!run_host_spawn(&command, &host->pid, &fd, fault))
        return false;
    host->pipe = bufferevent_socket_new(options->base, fd, BEV_OPT_CLOSE_ON_FREE);
    if (!host->pipe) {
        evutil_closesocket(fd);
        return fault_no_memory(fault);
    }
    host->state = RUN_HOST_STARTING;
    bufferevent_setcb(host->pipe, on_lines, NULL, on_end, host);
    bufferevent_enable(host->pipe, EV_READ | EV_WRITE);
    return true;
}

static void on_begin(evutil_socket_t fd, short what, void *arg)
{
    struct run_hosts *all = arg;
    (void)fd;
    (void)what;
    begin(all);
    go_on(all);
}

static void on_last(evutil_socket_t fd, short what, void *arg)
{
    struct run_hosts *all = arg;
    (void)fd;
    (void)what;
    event_base_loopbreak(all->options.base);
}

static void on_interrupt(int n, void *arg)
{
    struct run_hosts *all = arg;
    struct timeval wait = clock_timeval_us(n > 1 ? 0 : RUN_LAST_WAIT_US);
    all->stopping = true;
    event_add(all->last, &wait);
    go_on(all);
}

static bool init(struct run_hosts *all, struct fault *fault)
{
    TAILQ_INIT(&all->lost);
    all->hosts = calloc((size_t)all->options.n_hosts, sizeof *all->hosts);
    all->begin = event_new(all->options.base, -1, 0, on_begin, all);
    all->last = event_new(all->options.base, -1, 0, on_last, all);
    if (!all->hosts || !all->begin || !all->last)
        return fault_no_memory(fault);
    for (int i = 0; i < all->options.n_hosts; i++) {
        all->hosts[i] = (struct run_host){.all = all, .state = RUN_HOST_ENDED};
        TAILQ_INIT(&all->hosts[i].handed);
    }
    all->window = all->options.concurrency / all->options.n_hosts;
    if (all->window < 1)
        all->window = 1;
    progress_init(&all->progress, run_plan_count(all->options.plan), all->options.quiet);
    if (!interrupt_init(&all->interrupt, all->options.base, on_interrupt, all, fault))
        return false;
    for (int i = 0; i < all->options.n_hosts; i++)
        if (!start_host(&all->hosts[i], fault))
            return false;
    return true;
}

static void free_list(struct run_handed_list *list)
{
    struct run_handed *handed;
    while ((handed = TAILQ_FIRST(list))) {
        TAILQ_REMOVE(list, handed, link);
        free(handed);
    }
}

/* Hosts that did not end by themselves are killed now; what they had is lost, too. */
static void end_hosts(struct run_hosts *all)
{
    for (int i = 0; all->hosts && i < all->options.n_hosts; i++) {
        struct run_host *host = &all->hosts[i];
        if (host->pipe)
            bufferevent_free(host->pipe);
        host->pipe = NULL;
        run_host_reap(host);
        all->n_lost += host->n_handed;
        TAILQ_CONCAT(&all->lost, &host->handed, link);
    }
}

/* Living hosts have ended by now, so every session of any of them is about to go. */
static void look_up(struct run_hosts *all)
{
    struct run_lookup lookup = {
        .base = all->options.base,
        .conninfo = all->options.conninfo,
        .schema = all->options.schema,
    };
    int n = 0;
    const char **processes = calloc((size_t)all->options.n_hosts + 1, sizeof *processes);
    if (TAILQ_EMPTY(&all->lost)) {
        free(processes);
        return;
    }
    for (int i = 0; processes && i < all->options.n_hosts; i++)
        if (all->hosts[i].process_id[0])
            processes[n++] = all->hosts[i].process_id;
    const char *none = NULL;
    run_lookup(&lookup, processes ? processes : &none, &all->lost, all->totals);
    free(processes);
}

static void done(struct run_hosts *all)
{
    progress_done(&all->progress);
    interrupt_done(&all->interrupt);
    if (all->begin)
        event_free(all->begin);
    if (all->last)
        event_free(all->last);
    free_list(&all->lost);
    free(all->hosts);
}

/* Work that nobody was left to do. What a signal stopped is not counted: it was not to run. */
static void count_rest(struct run_hosts *all)
{
    int64_t rest = run_plan_count(all->options.plan) - all->n_handed;
    if (rest > 0 && !all->interrupt.signal_number)
        run_totals_add_many(all->totals, STATUS_FAILED, (long)rest,
                            all->told ? all->fault.text
                                      : "all host processes died before it was their turn");
    else if (all->told)
        fprintf(stderr, "latchkey: a host process could not work: %s\n", all->fault.text);
}

bool run_hosts(const struct run_hosts_options *options, struct run_totals *totals,
               int *signal_number, struct fault *fault)
{
    struct run_hosts all = {.options = *options, .totals = totals};
    void (*on_pipe)(int) = signal(SIGPIPE, SIG_IGN);
    bool ok = init(&all, fault);
    if (ok) {
        event_base_dispatch(options->base);
        run_totals_start(totals);
        if (!all_answered(&all) || !totals->ended_us)
            run_totals_stop(totals);
    }
    end_hosts(&all);
    *signal_number = 0;
    if (ok && all.n_handed == 0 && all.told) {
        *fault = all.fault;
        ok = false;
    } else if (ok) {
        look_up(&all);
        count_rest(&all);
        if (all.stopping && (all.n_lost || all.n_handed < run_plan_count(options->plan)))
            *signal_number = all.interrupt.signal_number;
    }
    done(&all);
    signal(SIGPIPE, on_pipe);
    return ok;
}
