/*
 * One host process of `run --hosts` as its parent sees it: its process, its socket, and the runs
 * that were handed to it and are not answered.
 */
#pragma once
#include "fault.h"
#include "log.h"
#include "uuid.h"

#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

struct bufferevent;

/* A run that was handed out. */
struct run_handed {
    int64_t seq;
    char id[UUID_TEXT_BYTES];
    TAILQ_ENTRY(run_handed) link;
};

TAILQ_HEAD(run_handed_list, run_handed);

enum run_host_state {
    RUN_HOST_STARTING, /* awaits "ready" */
    RUN_HOST_READY,    /* has work, or takes it */
    RUN_HOST_LEAVING,  /* was told that there is no more work */
    RUN_HOST_ENDED,
};

struct run_hosts;

struct run_host {
    struct run_hosts *all;
    enum run_host_state state;
    pid_t pid; /* 0 = none */
    struct bufferevent *pipe;
    char process_id[UUID_TEXT_BYTES];
    struct run_handed_list handed;
    int n_handed;
};

/* What a host process is started with. */
struct run_host_command {
    const char *target;
    const char *conninfo; /* "" = the PG* variables */
    const char *schema;
    int pool;
    int busy_poll_us;
    const char *key; /* NULL = none */
    bool queue;
    enum log_form log_form;
};

/* Starts this program again as a worker. *fd, non-blocking, is the parent's end of its socket. */
MUST_CHECK bool run_host_spawn(const struct run_host_command *command, pid_t *pid, int *fd,
                               struct fault *fault);

/* Ends the process at once if it has not ended, and reaps it. */
void run_host_reap(struct run_host *host);
