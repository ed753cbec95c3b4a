/*
 * Processes of the embedded PostgreSQL: started without a shell, with nothing of ours but a log to
 * write to, and recognised later by the directory they work in, because a process id alone may
 * have been given to a stranger since.
 */
#pragma once
#include "fault.h"
#include "pg_server_account.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Runs argv to its end; it dies with the calling thread. Its output goes to output_fd. It and all
 * its descendants hold kept_fd open while they live; -1 = none. Fails when it cannot be started or
 * does not exit with 0. */
MUST_CHECK bool pg_server_process_run(const struct pg_server_account *account,
                                      const char *const *argv, int output_fd, int kept_fd,
                                      struct fault *fault);

/* The same, with the beginning of its output in out, NUL-terminated, without the last newline. */
MUST_CHECK bool pg_server_process_read(const struct pg_server_account *account,
                                       const char *const *argv, char *out, size_t out_bytes,
                                       struct fault *fault);

/* Starts argv in a session of its own, so that it outlives us and no terminal signals it. It is
 * nobody's child here: nothing to wait for. */
MUST_CHECK bool pg_server_process_start(const struct pg_server_account *account,
                                        const char *const *argv, int output_fd, pid_t *pid,
                                        struct fault *fault);

/* False for zombies too. */
bool pg_server_process_is_alive(pid_t pid);

/* True when the process is a live one of PostgreSQL that works in this cluster directory. */
bool pg_server_process_serves(pid_t pid, const char *cluster);

/* Signals every process that serves the cluster (0 = none is sent) and returns how many there are.
 */
int pg_server_process_signal_all(const char *cluster, int signal_number);
