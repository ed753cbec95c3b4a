/*
 * Whom the embedded PostgreSQL runs as: ourselves or, because it refuses to run as root, the system
 * user "postgres" that Debian's package creates.
 */
#pragma once
#include "fault.h"

#include <stdbool.h>
#include <sys/types.h>

struct pg_server_account {
    uid_t uid;
    gid_t gid;
    bool drop; /* we are root: children must become this account */
};

/* Fails with FAULT_DATABASE: we are root and there is no user "postgres". */
MUST_CHECK bool pg_server_account_find(struct pg_server_account *out, struct fault *fault);

/* For a forked child: becomes the account for good. False with errno. */
MUST_CHECK bool pg_server_account_become(const struct pg_server_account *account);

/* Fails, naming the directory, when the account may not search path or one of its parents. */
MUST_CHECK bool pg_server_account_reaches(const struct pg_server_account *account, const char *path,
                                          struct fault *fault);

/* Makes the directory, mode 0700, or takes over the one that is there: it must belong to the
 * account, or to us. Never follows a symbolic link. */
MUST_CHECK bool pg_server_account_make_dir(const struct pg_server_account *account,
                                           const char *path, struct fault *fault);
