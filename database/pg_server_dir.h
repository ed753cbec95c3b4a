/*
 * The directory of the embedded PostgreSQL:
 *
 *   DATA_DIR/lock          held while one process starts or stops the server
 *   DATA_DIR/postgres/     the cluster; renamed into place once it is complete
 *   DATA_DIR/postgres.log  what initdb and the server say
 *   DATA_DIR/run/          the socket, mode 0700: whoever may enter it may connect
 *
 * A socket's address has room for about a hundred bytes. When DATA_DIR is longer, or has characters
 * that a connection string cannot carry, the socket is in /tmp/latchkey-HASH instead, as private.
 */
#pragma once
#include "fault.h"
#include "pg_server_account.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum {
    PG_SERVER_PATH_BYTES = 1024,
    PG_SERVER_PORT = 5432, /* a part of the socket's name only */
};

struct pg_server_dir {
    char root[PG_SERVER_PATH_BYTES]; /* DATA_DIR without symbolic links */
    char cluster[PG_SERVER_PATH_BYTES];
    char run[PG_SERVER_PATH_BYTES];
    char log[PG_SERVER_PATH_BYTES];
    char lock[PG_SERVER_PATH_BYTES];
};

/* Changes nothing. Fails with FAULT_MISSING when the directory does not exist. */
MUST_CHECK bool pg_server_dir_find(const char *data_dir, struct pg_server_dir *out,
                                   struct fault *fault);

/* Makes DATA_DIR with its parents. */
MUST_CHECK bool pg_server_dir_make(const char *data_dir, const struct pg_server_account *account,
                                   struct pg_server_dir *out, struct fault *fault);

/* Waits until no other process starts or stops this server. *fd is yours to close, which unlocks.
 */
MUST_CHECK bool pg_server_dir_lock(const struct pg_server_dir *dir, int *fd, struct fault *fault);

/* Opens the log for appending, after putting a long one aside. *fd is yours to close. */
MUST_CHECK bool pg_server_dir_open_log(const struct pg_server_dir *dir, int *fd,
                                       struct fault *fault);

/* The last lines of the log written since offset, joined by spaces. */
void pg_server_dir_log_tail(const struct pg_server_dir *dir, off_t offset, char *out,
                            size_t out_bytes);

/* The process id in postmaster.pid, 0 if there is none. It may be long dead. */
pid_t pg_server_dir_postmaster(const struct pg_server_dir *dir);

/* The major version of the cluster, 0 when there is no cluster yet. Fails when it is damaged. */
MUST_CHECK bool pg_server_dir_version(const struct pg_server_dir *dir, int *major,
                                      struct fault *fault);

/* Removes what a killed start left: clusters half made and lock files of dead servers. Only when
 * no server runs and the lock is held. */
void pg_server_dir_tidy(const struct pg_server_dir *dir);

/* Removes a directory with all that is in it, as far as possible. */
void pg_server_dir_remove_tree(const char *path);
