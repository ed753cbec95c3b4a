#include "host.h"

#include "clock.h"
#include "host_definitions.h"
#include "host_http.h"

#include <event2/event.h>
#include <signal.h>

enum {
    LOOK_EVERY_US = 20 * 1000,
};

/* ---- services ---- */

static void drain_runtime(struct host *host)
{
    runtime_drain(host->session.runtime);
}

static bool is_running(const struct host *host)
{
    return runtime_n_running(host->session.runtime) > 0;
}

static bool start_work(struct host *host, struct fault *fault)
{
    struct background_options options = runtime_default_background();
    if (host->workers)
        options.jobs_max = options.jobs_fast_max = (int)host->workers;
    if (host->keep_history_us >= 0)
        options.keep_history_ms = host->keep_history_us / 1000;
    return runtime_work(host->session.runtime, &options, fault);
}

static const struct host_service services[] = {
    {"definitions", host_definitions_start, NULL, host_definitions_is_busy, NULL},
    {"work", start_work, drain_runtime, is_running, NULL},
    {"http", host_http_start, host_http_drain, host_http_is_busy, host_http_stop},
};

enum {
    N_SERVICES = sizeof services / sizeof *services,
};

static bool start_services(struct host *host, struct fault *fault)
{
    for (int i = 0; i < N_SERVICES; i++) {
        host->n_services = i + 1;
        if (!services[i].start(host, fault))
            return fault_prefix(fault, "%s", services[i].name);
    }
    return true;
}

static void stop_services(struct host *host)
{
    while (host->n_services > 0) {
        const struct host_service *service = &services[--host->n_services];
        if (service->stop)
            service->stop(host);
    }
}

static bool is_busy(const struct host *host)
{
    for (int i = 0; i < host->n_services; i++)
        if (services[i].is_busy && services[i].is_busy(host))
            return true;
    return false;
}

/* ---- the end ---- */

static void look_soon(struct host *host)
{
    struct timeval pause = clock_timeval_us(LOOK_EVERY_US);
    event_add(host->look, &pause);
}

static void on_look(evutil_socket_t fd, short what, void *arg)
{
    struct host *host = arg;
    bool busy = is_busy(host);
    (void)fd;
    (void)what;
    if (busy && clock_monotonic_us() < host->drain_until_us) {
        look_soon(host);
        return;
    }
    host->cut_short = busy;
    host->ended = true;
    event_base_loopbreak(host->session.base);
}

static void drain(struct host *host)
{
    host->draining = true;
    host->drain_until_us = clock_monotonic_us() + host->drain_us;
    log_line(&host->session.log, LOG_LEVEL_INFO, "host",
             "stopping: what is under way may take %lld s", (long long)(host->drain_us / 1000000));
    for (int i = 0; i < host->n_services; i++)
        if (services[i].drain)
            services[i].drain(host);
    look_soon(host);
}

static void on_interrupt(int n, void *arg)
{
    struct host *host = arg;
    if (n > 1)
        host->drain_until_us = 0;
    if (!host->draining)
        drain(host);
}

static void on_hangup(evutil_socket_t fd, short what, void *arg)
{
    struct host *host = arg;
    (void)fd;
    (void)what;
    if (!host->draining)
        host_definitions_reload(host);
}

/* ---- life ---- */

static bool listen_to_signals(struct host *host, struct fault *fault)
{
    struct event_base *base = host->session.base;
    if (!interrupt_init(&host->interrupt, base, on_interrupt, host, fault))
        return false;
    host->hangup = evsignal_new(base, SIGHUP, on_hangup, host);
    host->look = event_new(base, -1, 0, on_look, host);
    if (!host->hangup || !host->look || event_add(host->hangup, NULL) != 0)
        return fault_no_memory(fault);
    signal(SIGPIPE, SIG_IGN);
    return true;
}

static void run(struct host *host)
{
    const struct log *log = &host->session.log;
    log_line(log, LOG_LEVEL_INFO, "host", "ready: process %s",
             runtime_process_id(host->session.runtime));
    while (!host->ended) /* a signal may have come while the services started */
        event_base_loop(host->session.base, EVLOOP_ONCE);
    if (host->cut_short)
        log_line(log, LOG_LEVEL_WARNING, "host", "stopped; what was under way is rolled back");
    else
        log_line(log, LOG_LEVEL_INFO, "host", "stopped");
}

bool host_run(struct host *host, struct fault *fault)
{
    bool ok = listen_to_signals(host, fault) && start_services(host, fault);
    if (ok)
        run(host);
    stop_services(host);
    interrupt_done(&host->interrupt);
    if (host->hangup)
        event_free(host->hangup);
    if (host->look)
        event_free(host->look);
    host->hangup = host->look = NULL;
    return ok;
}
