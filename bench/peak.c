/*
 * Runs a command and writes to a file the most resident memory, in KiB, that it had, or the largest
 * of the processes that it waited for.
 *     bench_peak FILE COMMAND...
 *
 * Whoever starts a program hands it his own peak, if he asks wait4() himself: that of the process
 * in which exec() was called counts. Here it is next to nothing.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static void fail(const char *what)
{
    fprintf(stderr, "bench_peak: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void become(char *const *command)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    execvp(command[0], command);
    fail(command[0]);
}

static void write_peak(const char *path, long peak_kib)
{
    FILE *file = fopen(path, "w");
    if (!file || fprintf(file, "%ld\n", peak_kib) < 0 || fclose(file) != 0)
        fail(path);
}

int main(int argc, char **argv)
{
    struct rusage usage;
    int status;
    if (argc < 3) {
        fprintf(stderr, "usage: bench_peak FILE COMMAND...\n");
        return 2;
    }
    pid_t pid = fork();
    if (pid < 0)
        fail("fork");
    if (pid == 0)
        become(argv + 2);
    while (wait4(pid, &status, 0, &usage) < 0)
        if (errno != EINTR)
            fail("wait4");
    write_peak(argv[1], usage.ru_maxrss);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
