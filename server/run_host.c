#include "run_host.h"

#include <errno.h>
#include <event2/util.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* In the forked child. The connection string goes by the environment: other users may read the
 * arguments of a process, and it may hold a password. */
static _Noreturn void become_worker(const struct run_host_command *command, int fd)
{
    char pool[16], busy[16];
    sigset_t none;
    const char *form = command->log_form == LOG_FORM_JSON ? "json" : "plain";
    const char *argv[20] = {"latchkey",       "run",    "--worker", "--quiet", "--schema",
                            command->schema,  "--pool", pool,       "--log",   form,
                            "--busy-poll-us", busy};
    int argc = 12;
    snprintf(pool, sizeof pool, "%d", command->pool);
    snprintf(busy, sizeof busy, "%d", command->busy_poll_us);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGTERM, SIG_DFL);
    if (dup2(fd, STDIN_FILENO) < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
        _exit(127);
    if (!*command->conninfo)
        argv[argc++] = "--database=";
    else if (setenv("LATCHKEY_DATABASE", command->conninfo, 1) != 0)
        _exit(127);
    if (command->key) {
        argv[argc++] = "--key";
        argv[argc++] = command->key;
    }
    if (command->queue)
        argv[argc++] = "--queue";
    argv[argc++] = "--";
    argv[argc] = command->target;
    execv("/proc/self/exe", (char *const *)argv);
    fprintf(stderr, "latchkey: cannot start itself: %s\n", strerror(errno));
    _exit(127);
}

bool run_host_spawn(const struct run_host_command *command, pid_t *pid, int *fd,
                    struct fault *fault)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        return fault_set(fault, FAULT_EXHAUSTED, "no socket for a host process: %s",
                         strerror(errno));
    *pid = fork();
    if (*pid == 0)
        become_worker(command, ends[1]);
    int error = errno;
    close(ends[1]);
    if (*pid > 0 && evutil_make_socket_nonblocking(ends[0]) == 0) {
        *fd = ends[0];
        return true;
    }
    close(ends[0]);
    return fault_set(fault, FAULT_EXHAUSTED, "cannot start a host process: %s", strerror(error));
}

void run_host_reap(struct run_host *host)
{
    if (host->pid <= 0)
        return;
    /* Not reaped yet, so the id is still this child's. */
    if (waitpid(host->pid, NULL, WNOHANG) == 0) {
        kill(host->pid, SIGKILL);
        while (waitpid(host->pid, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    host->pid = 0;
}
