#include "pg_server_dir.h"

#include "clock.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    ROOT_BYTES_MAX = 900,      /* leaves room for the names below it */
    SOCKET_DIR_BYTES_MAX = 93, /* 107 of sun_path less "/.s.PGSQL.5432" */
    LOCK_TIMEOUT_S = 240,      /* longer than a start may take */
    NAP_MS = 20,
    LOG_BYTES_MAX = 16 * 1024 * 1024,
    TAIL_BYTES = 4096,
    TAIL_LINES = 4,
};

/* A comma separates hosts in a connection string, and there is no way to escape it. */
static bool fits_socket(const char *path)
{
    return strlen(path) <= SOCKET_DIR_BYTES_MAX && !strpbrk(path, ",\"'\\ \t\n");
}

static uint64_t fnv1a(const char *text)
{
    uint64_t hash = 14695981039346656037u;
    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * 1099511628211u;
    return hash;
}

static void nap(void)
{
    nanosleep(&(struct timespec){.tv_nsec = NAP_MS * 1000000L}, NULL);
}

bool pg_server_dir_find(const char *data_dir, struct pg_server_dir *out, struct fault *fault)
{
    char *root = realpath(data_dir, NULL);
    if (!root)
        return fault_set(fault, FAULT_MISSING, "cannot find the data directory %s: %s", data_dir,
                         strerror(errno));
    if (strlen(root) > ROOT_BYTES_MAX) {
        free(root);
        return fault_set(fault, FAULT_DATABASE, "the path of the data directory is longer than %d",
                         ROOT_BYTES_MAX);
    }
    snprintf(out->root, sizeof out->root, "%s", root);
    snprintf(out->cluster, sizeof out->cluster, "%s/postgres", root);
    snprintf(out->run, sizeof out->run, "%s/run", root);
    snprintf(out->log, sizeof out->log, "%s/postgres.log", root);
    snprintf(out->lock, sizeof out->lock, "%s/lock", root);
    if (!fits_socket(out->run))
        snprintf(out->run, sizeof out->run, "/tmp/latchkey-%016llx",
                 (unsigned long long)fnv1a(root));
    free(root);
    return true;
}

/* As mkdir -p. What root makes, the server's user must be able to pass through. */
static bool make_parents(const char *path, mode_t mode, struct fault *fault)
{
    char part[PG_SERVER_PATH_BYTES];
    size_t length = strlen(path);
    if (length == 0 || length > ROOT_BYTES_MAX)
        return fault_set(fault, FAULT_DATABASE,
                         "the path of the data directory is empty or longer than %d",
                         ROOT_BYTES_MAX);
    for (size_t i = 1; i <= length; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        if (mkdir(part, mode) == 0) {
            if (chmod(part, mode) != 0) /* whatever the umask took away */
                return fault_set(fault, FAULT_DATABASE, "cannot open up %s: %s", part,
                                 strerror(errno));
        } else if (errno != EEXIST && access(part, F_OK) != 0) {
            return fault_set(fault, FAULT_DATABASE, "cannot make the data directory %s: %s", part,
                             strerror(errno));
        }
    }
    return true;
}

bool pg_server_dir_make(const char *data_dir, const struct pg_server_account *account,
                        struct pg_server_dir *out, struct fault *fault)
{
    struct stat info;
    if (!make_parents(data_dir, account->drop ? 0755 : 0700, fault) ||
        !pg_server_dir_find(data_dir, out, fault))
        return false;
    if (stat(out->root, &info) != 0 || !S_ISDIR(info.st_mode))
        return fault_set(fault, FAULT_DATABASE, "%s is not a directory", out->root);
    if (info.st_uid != geteuid() && info.st_uid != account->uid)
        return fault_set(fault, FAULT_DATABASE,
                         "the data directory %s belongs to another user: run as that user",
                         out->root);
    if (access(out->root, W_OK | X_OK) != 0)
        return fault_set(fault, FAULT_DATABASE, "cannot write to the data directory %s: %s",
                         out->root, strerror(errno));
    return pg_server_account_reaches(account, out->root, fault);
}

bool pg_server_dir_lock(const struct pg_server_dir *dir, int *fd, struct fault *fault)
{
    int opened = open(dir->lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (opened < 0)
        return fault_set(fault, FAULT_DATABASE, "cannot open %s: %s", dir->lock, strerror(errno));
    int64_t deadline_us = clock_monotonic_us() + (int64_t)LOCK_TIMEOUT_S * 1000000;
    while (flock(opened, LOCK_EX | LOCK_NB) != 0) {
        if (clock_monotonic_us() > deadline_us || (errno != EWOULDBLOCK && errno != EINTR)) {
            close(opened);
            return fault_set(fault, FAULT_DATABASE,
                             "another process has been starting or stopping the server in %s for "
                             "too long",
                             dir->root);
        }
        nap();
    }
    *fd = opened;
    return true;
}

bool pg_server_dir_open_log(const struct pg_server_dir *dir, int *fd, struct fault *fault)
{
    char older[PG_SERVER_PATH_BYTES + 2];
    struct stat info;
    snprintf(older, sizeof older, "%s.1", dir->log);
    if (stat(dir->log, &info) == 0 && info.st_size > LOG_BYTES_MAX)
        (void)rename(dir->log, older); /* a log that stays long is no reason to fail */
    *fd = open(dir->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (*fd < 0)
        return fault_set(fault, FAULT_DATABASE, "cannot write %s: %s", dir->log, strerror(errno));
    return true;
}

void pg_server_dir_log_tail(const struct pg_server_dir *dir, off_t offset, char *out,
                            size_t out_bytes)
{
    char bytes[TAIL_BYTES + 1];
    out[0] = '\0';
    int fd = open(dir->log, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    off_t end = lseek(fd, 0, SEEK_END);
    off_t begin = end - offset > TAIL_BYTES ? end - TAIL_BYTES : offset;
    ssize_t n = pread(fd, bytes, TAIL_BYTES, begin);
    close(fd);
    while (n > 0 && bytes[n - 1] == '\n')
        n--;
    if (n <= 0)
        return;
    bytes[n] = '\0';
    const char *tail = bytes + n;
    for (int n_lines = 0; tail > bytes; tail--)
        if (tail[-1] == '\n' && ++n_lines == TAIL_LINES)
            break;
    snprintf(out, out_bytes, "%s", tail);
    for (char *c = out; *c; c++)
        if (*c == '\n')
            *c = ' ';
}

static int read_number(const char *directory, const char *name)
{
    char path[PG_SERVER_PATH_BYTES + 32];
    int number = 0;
    snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *file = fopen(path, "re");
    if (!file)
        return 0;
    if (fscanf(file, "%d", &number) != 1)
        number = 0;
    fclose(file);
    return number;
}

pid_t pg_server_dir_postmaster(const struct pg_server_dir *dir)
{
    return read_number(dir->cluster, "postmaster.pid");
}

/* A cluster of ours appears complete or not at all. One without its two root files was left by
 * something else and holds no data: it makes room, but is kept to look at. */
static bool set_aside(const struct pg_server_dir *dir, struct fault *fault)
{
    char aside[PG_SERVER_PATH_BYTES + 40];
    if (rmdir(dir->cluster) == 0 || errno == ENOENT)
        return true;
    snprintf(aside, sizeof aside, "%s.incomplete-%lld", dir->cluster, (long long)clock_wall_us());
    if (rename(dir->cluster, aside) != 0)
        return fault_set(fault, FAULT_DATABASE, "cannot put the incomplete %s aside: %s",
                         dir->cluster, strerror(errno));
    return true;
}

bool pg_server_dir_version(const struct pg_server_dir *dir, int *major, struct fault *fault)
{
    char control[PG_SERVER_PATH_BYTES + 32];
    snprintf(control, sizeof control, "%s/global/pg_control", dir->cluster);
    bool controlled = access(control, F_OK) == 0;
    *major = read_number(dir->cluster, "PG_VERSION");
    if (*major > 0 && controlled)
        return true;
    if (*major > 0 || controlled)
        return fault_set(fault, FAULT_DATABASE, "the cluster in %s is damaged: %s is missing",
                         dir->cluster, controlled ? "PG_VERSION" : "global/pg_control");
    return set_aside(dir, fault);
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *where)
{
    (void)info;
    (void)kind;
    (void)where;
    (void)remove(path); /* what cannot go now is tried again by the next start */
    return 0;
}

void pg_server_dir_remove_tree(const char *path)
{
    nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void remove_half_made(const struct pg_server_dir *dir)
{
    char path[PG_SERVER_PATH_BYTES + 300];
    DIR *entries = opendir(dir->root);
    if (!entries)
        return;
    for (const struct dirent *entry; (entry = readdir(entries));) {
        if (strncmp(entry->d_name, "postgres.new-", strlen("postgres.new-")) != 0)
            continue;
        snprintf(path, sizeof path, "%s/%s", dir->root, entry->d_name);
        pg_server_dir_remove_tree(path);
    }
    closedir(entries);
}

void pg_server_dir_tidy(const struct pg_server_dir *dir)
{
    char path[PG_SERVER_PATH_BYTES + 32];
    remove_half_made(dir);

    /* PostgreSQL believes a lock file whose process id is in use, even by a stranger of the same
     * user or by a zombie. The cluster's own file stays in all other cases: it also names the
     * shared memory that surviving backends may still use. */
    snprintf(path, sizeof path, "%s/.s.PGSQL.%d.lock", dir->run, PG_SERVER_PORT);
    unlink(path);
    pid_t pid = pg_server_dir_postmaster(dir);
    if (pid > 0 && (kill(pid, 0) == 0 || errno == EPERM)) {
        snprintf(path, sizeof path, "%s/postmaster.pid", dir->cluster);
        unlink(path);
    }
}
