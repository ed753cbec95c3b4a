/*
 * A long-lived host: one event loop on which its services run until a signal ends it.
 *
 *   RUNNING --SIGTERM, SIGINT--> DRAINING --nothing under way, or the deadline--> stopped
 *                                    \__a second signal__________________________^
 *
 * A service is a row of the table in host.c. It is started in the order of the table, told to take
 * no more work when the host drains, asked whether it is still at something, and stopped in the
 * opposite order. What is under way when the host stops is rolled back.
 */
#pragma once
#include "http_server.h"
#include "interrupt.h"
#include "session.h"

struct command_line;
struct event;
struct host;

struct host_service {
    const char *name;
    bool (*start)(struct host *host, struct fault *fault);
    void (*drain)(struct host *host);         /* NULL = nothing to do */
    bool (*is_busy)(const struct host *host); /* NULL = never */
    void (*stop)(struct host *host);          /* NULL = nothing to do; also after a failed start */
};

struct host {
    struct session session;
    const char *directory;   /* of definitions; NULL = none. Kept */
    const char *publisher;   /* kept */
    int64_t workers;         /* background executions at a time; 0 = the default */
    int64_t keep_history_us; /* 0 = for ever, below 0 = as by default */
    int64_t drain_us;        /* how long what is under way may take after the first signal */
    bool serves_http;
    struct http_options http;
    struct http_server *http_server; /* NULL = none, or not started */
    struct interrupt interrupt;
    struct event *hangup; /* SIGHUP */
    struct event *look;   /* DRAINING: whether all is done */
    bool draining;
    int64_t drain_until_us;
    bool ended;
    bool cut_short; /* work was under way at the end */
    int n_services; /* started */
};

/* Runs until a signal ends it. session is open, *host otherwise filled by the caller as the kept
 * members say. Fails when a service does not start. */
MUST_CHECK bool host_run(struct host *host, struct fault *fault);
