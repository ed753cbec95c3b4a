/* Where PostgreSQL's server programs are installed. */
#pragma once
#include "fault.h"
#include "pg_server_account.h"

#include <stdbool.h>

#define PG_SERVER_PROGRAMS_VARIABLE "LATCHKEY_PG_BIN"

enum {
    PG_SERVER_MAJOR_MIN = 14,
    PG_SERVER_PROGRAM_BYTES = 1024,
};

struct pg_server_programs {
    char postgres[PG_SERVER_PROGRAM_BYTES];
    char initdb[PG_SERVER_PROGRAM_BYTES];
    int major; /* 15 */
};

/* Looks in the directory that the variable LATCHKEY_PG_BIN names and nowhere else, or, where it is
 * unset, in Debian's and the usual directories, where pg_config points and along PATH. major 0
 * means the newest from PG_SERVER_MAJOR_MIN on; otherwise that version and no other, because a
 * cluster is served only by the version that made it. Fails with FAULT_DATABASE and the package to
 * install, or with what is wrong with the directory. */
MUST_CHECK bool pg_server_programs_find(const struct pg_server_account *account, int major,
                                        struct pg_server_programs *out, struct fault *fault);
