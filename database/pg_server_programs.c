#include "pg_server_programs.h"

#include "pg_server_process.h"

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct search {
    const struct pg_server_account *account;
    int wanted; /* major version, 0 = the newest */
    struct pg_server_programs best;
};

/* The major version that "postgres (PostgreSQL) 15.18 (Debian ...)" names, 0 if it is none. */
static int major_of(const char *version)
{
    const char *word = strstr(version, "(PostgreSQL) ");
    return word ? atoi(word + strlen("(PostgreSQL) ")) : 0;
}

static void consider(struct search *search, const char *directory)
{
    struct pg_server_programs found = {0};
    struct fault ignored;
    char version[256];
    int n = snprintf(found.postgres, sizeof found.postgres, "%s/postgres", directory);
    if (directory[0] != '/' || n < 0 || (size_t)n >= sizeof found.postgres)
        return;
    snprintf(found.initdb, sizeof found.initdb, "%s/initdb", directory);
    if (access(found.postgres, X_OK) != 0 || access(found.initdb, X_OK) != 0)
        return;
    const char *const argv[] = {found.postgres, "--version", NULL};
    if (!pg_server_process_read(search->account, argv, version, sizeof version, &ignored))
        return;
    found.major = major_of(version);
    bool fits = search->wanted ? found.major == search->wanted : found.major >= PG_SERVER_MAJOR_MIN;
    if (fits && found.major > search->best.major)
        search->best = found;
}

static void consider_pattern(struct search *search, const char *pattern)
{
    glob_t found = {0};
    if (glob(pattern, 0, NULL, &found) == 0)
        for (size_t i = 0; i < found.gl_pathc; i++)
            consider(search, found.gl_pathv[i]);
    globfree(&found);
}

static void consider_path_variable(struct search *search)
{
    char directory[PG_SERVER_PROGRAM_BYTES];
    const char *rest = getenv("PATH");
    while (rest && *rest) {
        size_t length = strcspn(rest, ":");
        if (length < sizeof directory) {
            memcpy(directory, rest, length);
            directory[length] = '\0';
            consider(search, directory);
        }
        rest += length + (rest[length] == ':');
    }
}

static void consider_pg_config(struct search *search)
{
    char directory[PG_SERVER_PROGRAM_BYTES];
    struct fault ignored;
    const char *const argv[] = {"/usr/bin/pg_config", "--bindir", NULL};
    if (access(argv[0], X_OK) == 0 &&
        pg_server_process_read(search->account, argv, directory, sizeof directory, &ignored))
        consider(search, directory);
}

/* Said by the user, so nothing else is looked at and what is wrong with it is told. */
static bool find_in(struct search *search, const char *directory, struct fault *fault)
{
    int wanted = search->wanted;
    search->wanted = 0;
    consider(search, directory);
    if (search->best.major == 0)
        return fault_set(fault, FAULT_DATABASE,
                         PG_SERVER_PROGRAMS_VARIABLE " names %s, where no PostgreSQL server from "
                                                     "version %d on was found",
                         directory, PG_SERVER_MAJOR_MIN);
    if (wanted && search->best.major != wanted)
        return fault_set(
            fault, FAULT_DATABASE,
            "this data directory was made by PostgreSQL %d, and " PG_SERVER_PROGRAMS_VARIABLE
            " names %s, where PostgreSQL %d is",
            wanted, directory, search->best.major);
    return true;
}

static bool find_installed(struct search *search, struct fault *fault)
{
    consider_pattern(search, "/usr/lib/postgresql/*/bin");
    consider_pattern(search, "/usr/pgsql-*/bin");
    consider_path_variable(search);
    consider_pg_config(search);
    if (search->best.major == 0 && search->wanted)
        return fault_set(fault, FAULT_DATABASE,
                         "this data directory was made by PostgreSQL %d, whose programs were not "
                         "found: install the package postgresql-%d",
                         search->wanted, search->wanted);
    if (search->best.major == 0)
        return fault_set(fault, FAULT_DATABASE,
                         "no PostgreSQL server from version %d on was found: install the package "
                         "postgresql, or name a database with --database",
                         PG_SERVER_MAJOR_MIN);
    return true;
}

bool pg_server_programs_find(const struct pg_server_account *account, int major,
                             struct pg_server_programs *out, struct fault *fault)
{
    struct search search = {.account = account, .wanted = major};
    const char *said = getenv(PG_SERVER_PROGRAMS_VARIABLE);
    bool ok = said && *said ? find_in(&search, said, fault) : find_installed(&search, fault);
    if (ok)
        *out = search.best;
    return ok;
}
