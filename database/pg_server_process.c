#include "pg_server_process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    ENVIRONMENT_MAX = 8,
    LINK_BYTES = 1024,
};

/* What a child tells its parent before it becomes the program. */
struct news {
    pid_t pid;  /* of the process started; 0 when failed is set */
    int failed; /* errno */
};

struct child {
    const struct pg_server_account *account;
    const char *const *argv;
    int output_fd;
    int news_fd;
    int kept_fd;  /* stays open in the program; -1 = none */
    pid_t parent; /* dies with it; 0 = outlives it */
    char *environment[ENVIRONMENT_MAX];
    char library_path[LINK_BYTES];
};

/* Nothing of the caller's PG* variables, locale or time zone reaches the server. */
static void set_environment(struct child *child)
{
    int n = 0;
    child->environment[n++] = (char *)"PATH=/usr/sbin:/usr/bin:/sbin:/bin";
    child->environment[n++] = (char *)"LC_ALL=C";
    child->environment[n++] = (char *)"HOME=/";
    const char *libraries = getenv("LD_LIBRARY_PATH");
    if (libraries && strlen(libraries) < LINK_BYTES - sizeof "LD_LIBRARY_PATH=") {
        snprintf(child->library_path, sizeof child->library_path, "LD_LIBRARY_PATH=%s", libraries);
        child->environment[n++] = child->library_path;
    }
    child->environment[n] = NULL;
}

static void close_inherited_at_exec(void)
{
    if (close_range(3, UINT_MAX, CLOSE_RANGE_CLOEXEC) == 0)
        return;
    long limit = sysconf(_SC_OPEN_MAX);
    for (int fd = 3; fd < (limit > 0 && limit < 65536 ? limit : 65536); fd++)
        fcntl(fd, F_SETFD, FD_CLOEXEC);
}

static void reset_signals(void)
{
    sigset_t none;
    sigemptyset(&none);
    for (int number = 1; number < 32; number++)
        signal(number, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static void tell(int fd, struct news news)
{
    /* As small as it is the pipe takes it whole. Nobody there to read it: nothing to do. */
    if (write(fd, &news, sizeof news) < 0)
        return;
}

/* In the child: only calls that are safe after fork in a program with threads. */
static _Noreturn void become_program(const struct child *child)
{
    int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    reset_signals();
    bool ok = null_fd >= 0 && dup2(null_fd, 0) == 0 && dup2(child->output_fd, 1) == 1 &&
              dup2(child->output_fd, 2) == 2 && chdir("/") == 0 &&
              pg_server_account_become(child->account);
    if (ok) {
        umask(077);
        close_inherited_at_exec();
        if (child->kept_fd >= 0)
            fcntl(child->kept_fd, F_SETFD, 0);
        /* After the change of user, which clears it. The parent may have died before it was set. */
        if (child->parent) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            if (getppid() != child->parent)
                _exit(127);
        }
        execve(child->argv[0], (char *const *)child->argv, child->environment);
    }
    tell(child->news_fd, (struct news){.failed = errno});
    _exit(127);
}

/* Reads news until the pipe closes, which exec does. */
static struct news hear(int fd)
{
    struct news all = {0};
    struct news news;
    ssize_t n;
    while ((n = read(fd, &news, sizeof news)) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n != (ssize_t)sizeof news)
            break;
        if (news.pid)
            all.pid = news.pid;
        if (news.failed)
            all.failed = news.failed;
    }
    return all;
}

static bool cannot_run(const char *program, int error, struct fault *fault)
{
    return fault_set(fault, FAULT_DATABASE, "cannot run %s: %s", program, strerror(error));
}

static int wait_for(pid_t pid)
{
    int status = -1;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -1;
    return status;
}

bool pg_server_process_run(const struct pg_server_account *account, const char *const *argv,
                           int output_fd, int kept_fd, struct fault *fault)
{
    int news[2];
    if (pipe2(news, O_CLOEXEC) != 0)
        return cannot_run(argv[0], errno, fault);
    struct child child = {.account = account,
                          .argv = argv,
                          .output_fd = output_fd,
                          .news_fd = news[1],
                          .kept_fd = kept_fd,
                          .parent = getpid()};
    set_environment(&child);
    pid_t pid = fork();
    if (pid == 0)
        become_program(&child);
    int fork_error = pid < 0 ? errno : 0;
    close(news[1]);
    struct news heard = hear(news[0]);
    close(news[0]);
    if (pid < 0)
        return cannot_run(argv[0], fork_error, fault);
    int status = wait_for(pid);
    if (heard.failed)
        return cannot_run(argv[0], heard.failed, fault);
    if (status == -1)
        return fault_set(fault, FAULT_DATABASE, "%s was started but its end was not seen", argv[0]);
    if (WIFSIGNALED(status))
        return fault_set(fault, FAULT_DATABASE, "%s was ended by signal %d", argv[0],
                         WTERMSIG(status));
    if (status != 0)
        return fault_set(fault, FAULT_DATABASE, "%s failed with exit %d", argv[0],
                         WEXITSTATUS(status));
    return true;
}

bool pg_server_process_read(const struct pg_server_account *account, const char *const *argv,
                            char *out, size_t out_bytes, struct fault *fault)
{
    int output[2];
    if (pipe2(output, O_CLOEXEC) != 0)
        return cannot_run(argv[0], errno, fault);
    /* One line fits into the pipe, so reading after the end cannot block the program. */
    bool ok = pg_server_process_run(account, argv, output[1], /* kept_fd= */ -1, fault);
    close(output[1]);
    ssize_t n = ok ? read(output[0], out, out_bytes - 1) : 0;
    close(output[0]);
    out[n > 0 ? n : 0] = '\0';
    out[strcspn(out, "\n")] = '\0';
    return ok;
}

bool pg_server_process_start(const struct pg_server_account *account, const char *const *argv,
                             int output_fd, pid_t *pid, struct fault *fault)
{
    int news[2];
    if (pipe2(news, O_CLOEXEC) != 0)
        return cannot_run(argv[0], errno, fault);
    struct child child = {.account = account,
                          .argv = argv,
                          .output_fd = output_fd,
                          .news_fd = news[1],
                          .kept_fd = -1};
    set_environment(&child);
    pid_t between = fork();
    if (between == 0) {
        setsid();
        pid_t server = fork();
        if (server == 0)
            become_program(&child);
        tell(news[1],
             (struct news){.pid = server > 0 ? server : 0, .failed = server > 0 ? 0 : errno});
        _exit(0);
    }
    int fork_error = between < 0 ? errno : 0;
    close(news[1]);
    struct news heard = hear(news[0]);
    close(news[0]);
    if (between < 0)
        return cannot_run(argv[0], fork_error, fault);
    wait_for(between);
    if (heard.failed || !heard.pid)
        return cannot_run(argv[0], heard.failed, fault);
    *pid = heard.pid;
    return true;
}

bool pg_server_process_is_alive(pid_t pid)
{
    if (pid <= 0 || (kill(pid, 0) != 0 && errno == ESRCH))
        return false;
    /* "pid (name) state ...": the name may contain anything, so look behind its last ")". */
    char path[64];
    char stat_line[512];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "re");
    if (!file)
        return access("/proc/self/stat", R_OK) != 0; /* without /proc only the signal is left */
    size_t n = fread(stat_line, 1, sizeof stat_line - 1, file);
    fclose(file);
    stat_line[n] = '\0';
    const char *end = strrchr(stat_line, ')');
    return end && strlen(end) > 2 && end[2] != 'Z' && end[2] != 'X';
}

static bool works_in(const char *pid, const struct stat *cluster)
{
    char path[300];
    char program[LINK_BYTES];
    struct stat info;
    snprintf(path, sizeof path, "/proc/%s/cwd", pid);
    if (stat(path, &info) != 0 || info.st_dev != cluster->st_dev || info.st_ino != cluster->st_ino)
        return false;
    /* A shell that stands in the directory is not the server. */
    snprintf(path, sizeof path, "/proc/%s/exe", pid);
    ssize_t n = readlink(path, program, sizeof program - 1);
    if (n <= 0)
        return false;
    program[n] = '\0';
    const char *name = strrchr(program, '/');
    return name && strncmp(name, "/postgres", strlen("/postgres")) == 0;
}

bool pg_server_process_serves(pid_t pid, const char *cluster)
{
    char text[16];
    struct stat info;
    if (!pg_server_process_is_alive(pid) || stat(cluster, &info) != 0)
        return false;
    if (access("/proc/self/cwd", F_OK) != 0)
        return true;
    snprintf(text, sizeof text, "%d", (int)pid);
    return works_in(text, &info);
}

int pg_server_process_signal_all(const char *cluster, int signal_number)
{
    struct stat info;
    DIR *processes = stat(cluster, &info) == 0 ? opendir("/proc") : NULL;
    if (!processes)
        return 0;
    int n_found = 0;
    for (const struct dirent *entry; (entry = readdir(processes));) {
        int pid = atoi(entry->d_name);
        if (pid <= 0 || !works_in(entry->d_name, &info))
            continue;
        n_found++;
        if (signal_number)
            kill(pid, signal_number);
    }
    closedir(processes);
    return n_found;
}
