/*
 * How a start goes on, always under the directory's lock:
 *
 *   ask the socket
 *     it answers                      -> done
 *     "starting up", "shutting down"  -> ask again
 *     silent, a postmaster is alive   -> ask again
 *     silent, none is alive           -> end what a dead one left; make the cluster if there is
 *                                        none, in postgres.new-*, renamed once it is complete;
 *                                        launch; ask again
 *
 * Who may connect: authentication is "trust", because the kernel has already decided. The socket is
 * in a directory of mode 0700, so only the server's own user and root get to it, and there is no
 * TCP listener. "peer" would add nothing but need every user's name in a map.
 */
#include "pg_server.h"

#include "clock.h"
#include "pg_server_account.h"
#include "pg_server_dir.h"
#include "pg_server_process.h"
#include "pg_server_programs.h"

#include <errno.h>
#include <fcntl.h>
#include <libpq-fe.h>
#include <locale.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SERVER_ROLE "latchkey"
#define SERVER_DATABASE "latchkey"

enum {
    START_TIMEOUT_S = 180, /* crash recovery included */
    LAUNCHES_MAX = 3,
    STOP_TIMEOUT_S = 30,
    KILL_TIMEOUT_S = 5,
    NAP_MS = 20,
    TAIL_BYTES = 360,
};

static const char cluster_settings[] =
    "\n"
    "# latchkey's. The socket is the only way in; its place is given on the command line.\n"
    "listen_addresses = ''\n"
    "unix_socket_permissions = 0700\n"
    "max_connections = 500\n"
    "timezone = 'UTC'\n"
    "log_timezone = 'UTC'\n";

struct start {
    struct pg_server_dir dir;
    struct pg_server_account account;
    struct pg_server_programs programs;
    int lock_fd;
    int log_fd;
    off_t log_begin; /* what is before was said by earlier starts */
    pid_t launched;  /* 0 = nothing was */
    int n_launches;
};

static void nap(void)
{
    nanosleep(&(struct timespec){.tv_nsec = NAP_MS * 1000000L}, NULL);
}

static int64_t seconds_from_now(int64_t seconds)
{
    return clock_monotonic_us() + seconds * 1000000;
}

/* Adds what the log says to the fault. */
static bool with_log(const struct start *start, struct fault *fault)
{
    char tail[TAIL_BYTES];
    struct fault bare = *fault;
    pg_server_dir_log_tail(&start->dir, start->log_begin, tail, sizeof tail);
    return fault_set(fault, bare.kind, "%.*s; %s ends: %s", 200, bare.text, start->dir.log, tail);
}

static PGPing ping(const struct pg_server_dir *dir)
{
    char port[16];
    snprintf(port, sizeof port, "%d", PG_SERVER_PORT);
    const char *const names[] = {"host",   "hostaddr",        "port", "user",
                                 "dbname", "connect_timeout", NULL};
    const char *const values[] = {dir->run, "", port, SERVER_ROLE, "postgres", "2", NULL};
    return PQpingParams(names, values, 0);
}

/* The live postmaster of this cluster, 0 if there is none. */
static pid_t postmaster(const struct pg_server_dir *dir)
{
    pid_t pid = pg_server_dir_postmaster(dir);
    return pg_server_process_serves(pid, dir->cluster) ? pid : 0;
}

/* C.UTF-8 where the C library has it: sorted by bytes either way, but with upper and lower case. */
static const char *cluster_locale(void)
{
    locale_t found = newlocale(LC_ALL_MASK, "C.UTF-8", (locale_t)0);
    if (!found)
        return "C";
    freelocale(found);
    return "C.UTF-8";
}

static bool write_settings(const char *cluster, struct fault *fault)
{
    char path[PG_SERVER_PATH_BYTES + 64];
    snprintf(path, sizeof path, "%s/postgresql.conf", cluster);
    int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW);
    size_t n_bytes = sizeof cluster_settings - 1;
    bool ok = fd >= 0 && write(fd, cluster_settings, n_bytes) == (ssize_t)n_bytes && fsync(fd) == 0;
    int error = errno;
    if (fd >= 0)
        close(fd);
    return ok || fault_set(fault, FAULT_DATABASE, "cannot write %s: %s", path, strerror(error));
}

/* Without the sync a power failure could lose the new name and keep what is in it. */
static bool move_into_place(const struct start *start, const char *made, struct fault *fault)
{
    bool ok = rename(made, start->dir.cluster) == 0;
    int fd = ok ? open(start->dir.root, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    ok = fd >= 0 && fsync(fd) == 0;
    int error = errno;
    if (fd >= 0)
        close(fd);
    return ok || fault_set(fault, FAULT_DATABASE, "cannot put %s in place: %s", start->dir.cluster,
                           strerror(error));
}

static bool make_cluster(const struct start *start, struct fault *fault)
{
    char made[PG_SERVER_PATH_BYTES + 32];
    snprintf(made, sizeof made, "%s.new-%lld", start->dir.cluster, (long long)clock_wall_us());
    const char *const argv[] = {start->programs.initdb,
                                "--pgdata",
                                made,
                                "--username",
                                SERVER_ROLE,
                                "--auth-local=trust",
                                "--auth-host=reject",
                                "--data-checksums",
                                "--encoding=UTF8",
                                "--locale",
                                cluster_locale(),
                                NULL};
    bool ok = pg_server_account_make_dir(&start->account, made, fault);
    /* initdb has the lock too: if we are killed it lasts until the last of its processes has ended,
     * and none writes any more when the next start tidies up. */
    if (ok && !pg_server_process_run(&start->account, argv, start->log_fd, start->lock_fd, fault))
        ok = with_log(start, fault);
    ok = ok && write_settings(made, fault) && move_into_place(start, made, fault);
    if (!ok)
        pg_server_dir_remove_tree(made);
    return ok;
}

/* Backends outlive a killed postmaster until they notice; a busy one may take long. While one is
 * alive PostgreSQL refuses to start ("pre-existing shared memory block is still in use"). */
static bool end_survivors(const struct pg_server_dir *dir, struct fault *fault)
{
    /* Killing them loses nothing: without a postmaster recovery follows in any case. */
    const struct {
        int signal_number;
        int patience_s;
    } steps[] = {{0, 2}, {SIGQUIT, KILL_TIMEOUT_S}, {SIGKILL, KILL_TIMEOUT_S}};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        pg_server_process_signal_all(dir->cluster, steps[i].signal_number);
        int64_t deadline_us = seconds_from_now(steps[i].patience_s);
        while (clock_monotonic_us() < deadline_us) {
            if (pg_server_process_signal_all(dir->cluster, 0) == 0)
                return true;
            nap();
        }
    }
    return fault_set(fault, FAULT_DATABASE,
                     "processes of an earlier server in %s do not end, even when killed",
                     dir->cluster);
}

/* Whatever there is to do before the first launch, the cluster included. */
static bool prepare(struct start *start, struct fault *fault)
{
    int major = 0;
    if (!pg_server_dir_version(&start->dir, &major, fault) ||
        !pg_server_programs_find(&start->account, major, &start->programs, fault))
        return false;
    return major > 0 || make_cluster(start, fault);
}

static bool launch(struct start *start, struct fault *fault)
{
    char port[16];
    char sockets[PG_SERVER_PATH_BYTES + 64];
    snprintf(port, sizeof port, "%d", PG_SERVER_PORT);
    snprintf(sockets, sizeof sockets, "unix_socket_directories=%s", start->dir.run);
    const char *const argv[] = {
        start->programs.postgres, "-D", start->dir.cluster, "-p", port, "-c", sockets, "-c",
        "listen_addresses=",
        /* the role is called as our schema is: "$user" would put application tables there */
        "-c", "search_path=public", NULL};
    start->n_launches++;
    return pg_server_account_make_dir(&start->account, start->dir.run, fault) &&
           pg_server_process_start(&start->account, argv, start->log_fd, &start->launched, fault);
}

static bool relaunch(struct start *start, struct fault *fault)
{
    if (start->n_launches == LAUNCHES_MAX) {
        fault_set(fault, FAULT_DATABASE, "PostgreSQL ended while it was starting");
        return with_log(start, fault);
    }
    if (!end_survivors(&start->dir, fault))
        return false;
    pg_server_dir_tidy(&start->dir);
    return (start->n_launches > 0 || prepare(start, fault)) && launch(start, fault);
}

static bool bring_up(struct start *start, struct fault *fault)
{
    int64_t deadline_us = seconds_from_now(START_TIMEOUT_S);
    while (clock_monotonic_us() < deadline_us) {
        switch (ping(&start->dir)) {
        case PQPING_OK: return true;
        case PQPING_REJECT: break;
        case PQPING_NO_RESPONSE:
        case PQPING_NO_ATTEMPT:
            if (!pg_server_process_is_alive(start->launched) && !postmaster(&start->dir) &&
                !relaunch(start, fault))
                return false;
            break;
        }
        nap();
    }
    fault_set(fault, FAULT_DATABASE, "PostgreSQL did not take connections within %d s",
              START_TIMEOUT_S);
    return with_log(start, fault);
}

static bool add_conninfo(const struct pg_server_dir *dir, struct text *conninfo,
                         struct fault *fault)
{
    text_addf(conninfo, "host=%s port=%d user=" SERVER_ROLE " dbname=" SERVER_DATABASE, dir->run,
              PG_SERVER_PORT);
    return text_ok(conninfo, fault);
}

/* Asked at each start: whoever made the cluster may have been killed before this step. */
static bool make_database(const struct pg_server_dir *dir, struct fault *fault)
{
    char port[16];
    snprintf(port, sizeof port, "%d", PG_SERVER_PORT);
    const char *const names[] = {"host", "hostaddr", "port", "user", "dbname", NULL};
    const char *const values[] = {dir->run, "", port, SERVER_ROLE, "postgres", NULL};
    PGconn *conn = PQconnectdbParams(names, values, 0);
    PGresult *found =
        PQexec(conn, "SELECT 1 FROM pg_database WHERE datname = '" SERVER_DATABASE "'");
    bool ok = PQresultStatus(found) == PGRES_TUPLES_OK;
    if (ok && PQntuples(found) == 0) {
        PGresult *made = PQexec(conn, "CREATE DATABASE " SERVER_DATABASE);
        ok = PQresultStatus(made) == PGRES_COMMAND_OK;
        PQclear(made);
    }
    if (!ok)
        fault_set(fault, FAULT_DATABASE, "cannot make the database " SERVER_DATABASE ": %s",
                  PQerrorMessage(conn));
    PQclear(found);
    PQfinish(conn);
    return ok;
}

static bool start_locked(struct start *start, struct fault *fault)
{
    if (!pg_server_dir_open_log(&start->dir, &start->log_fd, fault))
        return false;
    start->log_begin = lseek(start->log_fd, 0, SEEK_END);
    return bring_up(start, fault) && make_database(&start->dir, fault);
}

bool pg_server_start(const char *data_dir, struct text *conninfo, bool *started,
                     struct fault *fault)
{
    struct start start = {.lock_fd = -1, .log_fd = -1};
    bool ok = pg_server_account_find(&start.account, fault) &&
              pg_server_dir_make(data_dir, &start.account, &start.dir, fault) &&
              pg_server_dir_lock(&start.dir, &start.lock_fd, fault) &&
              start_locked(&start, fault) && add_conninfo(&start.dir, conninfo, fault);
    if (start.log_fd >= 0)
        close(start.log_fd);
    if (start.lock_fd >= 0)
        close(start.lock_fd);
    if (ok && started)
        *started = start.n_launches > 0;
    return ok;
}

/* SIGCONT too: a frozen server could not follow the request. */
static bool ends_by(pid_t pid, int signal_number, int64_t seconds)
{
    kill(pid, signal_number);
    kill(pid, SIGCONT);
    int64_t deadline_us = seconds_from_now(seconds);
    while (pg_server_process_is_alive(pid)) {
        if (clock_monotonic_us() > deadline_us)
            return false;
        nap();
    }
    return true;
}

static bool stop_locked(const struct pg_server_dir *dir, bool *stopped, struct fault *fault)
{
    pid_t pid = postmaster(dir);
    if (!pid)
        return true;
    if (kill(pid, 0) != 0)
        return fault_set(fault, FAULT_DATABASE, "cannot stop the server in %s: %s", dir->root,
                         strerror(errno));
    if (!ends_by(pid, SIGINT, STOP_TIMEOUT_S) && !ends_by(pid, SIGQUIT, KILL_TIMEOUT_S) &&
        !ends_by(pid, SIGKILL, KILL_TIMEOUT_S))
        return fault_set(fault, FAULT_DATABASE, "the server in %s does not end, even when killed",
                         dir->root);
    if (stopped)
        *stopped = true;
    if (!end_survivors(dir, fault))
        return false;
    if (strncmp(dir->run, dir->root, strlen(dir->root)) != 0)
        rmdir(dir->run);
    return true;
}

bool pg_server_stop(const char *data_dir, bool *stopped, struct fault *fault)
{
    struct pg_server_dir dir;
    int lock_fd = -1;
    if (stopped)
        *stopped = false;
    if (access(data_dir, F_OK) != 0 && errno == ENOENT)
        return true;
    if (!pg_server_dir_find(data_dir, &dir, fault) || !pg_server_dir_lock(&dir, &lock_fd, fault))
        return false;
    bool ok = stop_locked(&dir, stopped, fault);
    close(lock_fd);
    return ok;
}

bool pg_server_url(const char *data_dir, struct text *conninfo, struct fault *fault)
{
    struct pg_server_dir dir;
    if (!pg_server_dir_find(data_dir, &dir, fault))
        return false;
    switch (ping(&dir)) {
    case PQPING_OK: return add_conninfo(&dir, conninfo, fault);
    case PQPING_REJECT:
        return fault_set(fault, FAULT_MISSING, "the server in %s is just starting or stopping",
                         dir.root);
    case PQPING_NO_RESPONSE:
    case PQPING_NO_ATTEMPT: break;
    }
    return fault_set(fault, FAULT_MISSING, "no server runs in %s", dir.root);
}

bool pg_server_default_dir(struct text *out, struct fault *fault)
{
    if (geteuid() == 0) {
        text_add_chars(out, "/var/lib/latchkey");
        return text_ok(out, fault);
    }
    char strings[4096];
    struct passwd entry;
    struct passwd *found = NULL;
    const char *home = getenv("HOME");
    if (!home || home[0] != '/') {
        bool ok = getpwuid_r(geteuid(), &entry, strings, sizeof strings, &found) == 0;
        home = ok && found ? found->pw_dir : NULL;
    }
    if (!home || home[0] != '/')
        return fault_set(fault, FAULT_MISSING, "no home directory: name one with --data-dir");
    text_addf(out, "%s/.local/share/latchkey", home);
    return text_ok(out, fault);
}
