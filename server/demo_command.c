#include "demo_command.h"

#include "command.h"
#include "demo_place.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    ANSWER_BYTES_MAX = 1024 * 1024,
};

/* In the forked child. The connection string goes by the environment: other users may read the
 * arguments of a process, and it may hold a password. */
static _Noreturn void become_command(const struct demo_place *place, const char *const *arguments,
                                     int out, int err)
{
    const char *argv[DEMO_COMMAND_ARGUMENTS_MAX + 8] = {"latchkey"};
    int argc = 1;
    for (int i = 0; i < DEMO_COMMAND_ARGUMENTS_MAX && arguments[i]; i++)
        argv[argc++] = arguments[i];
    argv[argc++] = "--json";
    argv[argc++] = "--quiet";
    argv[argc++] = "--schema";
    argv[argc] = place->schema;
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    signal(SIGHUP, SIG_DFL);
    if (dup2(out, STDOUT_FILENO) >= 0 && dup2(err, STDERR_FILENO) >= 0 &&
        setenv("LATCHKEY_DATABASE", text_chars(&place->conninfo), 1) == 0)
        execv("/proc/self/exe", (char *const *)argv);
    fprintf(stderr, "latchkey: cannot start itself: %s\n", strerror(errno));
    _exit(127);
}

static void read_all(int fd, struct text *text)
{
    char bytes[4096];
    ssize_t n;
    while ((n = read(fd, bytes, sizeof bytes)) > 0 || (n < 0 && errno == EINTR))
        if (n > 0)
            text_add(text, bytes, (size_t)n);
}

static int exit_code_of(pid_t pid)
{
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFSIGNALED(status) ? EXIT_SIGNAL + WTERMSIG(status) : WEXITSTATUS(status);
}

static bool run(const struct demo_place *place, const char *const *arguments, int err,
                struct text *out, int *exit_code, struct fault *fault)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return fault_set(fault, FAULT_EXHAUSTED, "no pipe for a command: %s", strerror(errno));
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0)
        become_command(place, arguments, ends[1], err);
    int error = errno;
    close(ends[1]);
    if (pid > 0) {
        read_all(ends[0], out);
        *exit_code = exit_code_of(pid);
    }
    close(ends[0]);
    if (pid < 0)
        return fault_set(fault, FAULT_EXHAUSTED, "cannot start a command: %s", strerror(error));
    return text_ok(out, fault);
}

static void show(FILE *errors)
{
    char line[1024];
    rewind(errors);
    while (fgets(line, sizeof line, errors))
        fputs(line, stderr);
}

bool demo_command_run(const struct demo_place *place, const char *const *arguments,
                      struct demo_answer *answer, struct fault *fault)
{
    struct text out;
    *answer = (struct demo_answer){.json = NULL};
    FILE *errors = tmpfile();
    if (!errors)
        return fault_set(fault, FAULT_EXHAUSTED, "no file for a command: %s", strerror(errno));
    text_init(&out, ANSWER_BYTES_MAX);
    bool ok = run(place, arguments, fileno(errors), &out, &answer->exit_code, fault) &&
              json_read(arguments[0], text_chars(&out), out.length, &answer->json, fault);
    if (!ok)
        show(errors);
    fclose(errors);
    text_done(&out);
    return ok;
}
