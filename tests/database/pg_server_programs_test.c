/* Which of the installed server programs are taken. */
#include "database_tests.h"

#include "pg_server_account.h"
#include "pg_server_dir.h"
#include "pg_server_programs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum {
    PATH_BYTES = PG_SERVER_PROGRAM_BYTES + 16,
};

struct scene {
    char base[64]; /* a fresh directory that every account may enter */
    struct pg_server_account account;
    struct pg_server_programs here; /* those that the other tests use */
    char *said;                     /* the variable as it was, NULL = unset */
};

static void say(const char *directory)
{
    if (directory)
        setenv(PG_SERVER_PROGRAMS_VARIABLE, directory, 1);
    else
        unsetenv(PG_SERVER_PROGRAMS_VARIABLE);
}

static int set_up(void **state)
{
    struct scene *scene = calloc(1, sizeof *scene);
    struct fault fault;
    const char *said = getenv(PG_SERVER_PROGRAMS_VARIABLE);
    if (!scene)
        return -1;
    *state = scene;
    scene->said = said ? strdup(said) : NULL;
    snprintf(scene->base, sizeof scene->base, "/tmp/latchkey-programs-test-XXXXXX");
    bool ok = mkdtemp(scene->base) && chmod(scene->base, 0755) == 0 &&
              pg_server_account_find(&scene->account, &fault) &&
              pg_server_programs_find(&scene->account, /* major= */ 0, &scene->here, &fault);
    return ok ? 0 : -1;
}

static int tear_down(void **state)
{
    struct scene *scene = *state;
    say(scene->said);
    pg_server_dir_remove_tree(scene->base);
    free(scene->said);
    free(scene);
    return 0;
}

static void link_program(const struct scene *scene, const char *name, const char *target)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/%s", scene->base, name);
    assert_int_equal(symlink(target, path), 0);
}

/* A postgres that only says which version it is. */
static void write_postgres(const struct scene *scene, const char *version)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/postgres", scene->base);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fprintf(file, "#!/bin/sh\necho 'postgres (PostgreSQL) %s'\n", version) > 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, 0755), 0);
    link_program(scene, "initdb", path);
}

static void finds(const struct scene *scene, int major, struct pg_server_programs *found)
{
    struct fault fault;
    bool ok = pg_server_programs_find(&scene->account, major, found, &fault);
    if (!ok)
        print_error("%s\n", fault.text);
    assert_true(ok);
}

static void does_not_find(const struct scene *scene, int major, const char *words)
{
    struct pg_server_programs found;
    struct fault fault;
    assert_false(pg_server_programs_find(&scene->account, major, &found, &fault));
    assert_int_equal(fault.kind, FAULT_DATABASE);
    if (strstr(fault.text, words))
        return;
    print_error("\"%s\" does not say \"%s\"\n", fault.text, words);
    fail();
}

static void the_newest_that_is_installed_is_taken(void **state)
{
    struct scene *scene = *state;
    struct pg_server_programs found;
    say(NULL);
    finds(scene, 0, &found);
    assert_true(found.major >= PG_SERVER_MAJOR_MIN);
    does_not_find(scene, 99, "install the package postgresql-99");
}

static void a_directory_that_is_said_is_taken_and_no_other(void **state)
{
    struct scene *scene = *state;
    struct pg_server_programs found;
    char path[PATH_BYTES];
    link_program(scene, "postgres", scene->here.postgres);
    link_program(scene, "initdb", scene->here.initdb);
    say(scene->base);
    finds(scene, 0, &found);
    snprintf(path, sizeof path, "%s/postgres", scene->base);
    assert_string_equal(found.postgres, path);
    assert_int_equal(found.major, scene->here.major);
    finds(scene, scene->here.major, &found);
    assert_string_equal(found.postgres, path);
    does_not_find(scene, 99, "made by PostgreSQL 99, and LATCHKEY_PG_BIN names /tmp/latchkey-");
}

static void an_older_one_that_is_said_outranks_a_newer_one(void **state)
{
    struct scene *scene = *state;
    struct pg_server_programs found;
    write_postgres(scene, "14.0");
    say(scene->base);
    finds(scene, 0, &found);
    assert_int_equal(found.major, 14);
}

static void a_directory_without_a_server_that_will_do_is_told(void **state)
{
    struct scene *scene = *state;
    say(scene->base);
    does_not_find(scene, 0, "LATCHKEY_PG_BIN names /tmp/latchkey-programs-test-");
    say("postgresql/bin"); /* relative: children work in other directories */
    does_not_find(scene, 0, "LATCHKEY_PG_BIN names postgresql/bin");
    write_postgres(scene, "13.9");
    say(scene->base);
    does_not_find(scene, 0, "no PostgreSQL server from version 14 on");
}

#define IN_SCENE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int pg_server_programs_tests(void)
{
    const struct CMUnitTest tests[] = {
        IN_SCENE(the_newest_that_is_installed_is_taken),
        IN_SCENE(a_directory_that_is_said_is_taken_and_no_other),
        IN_SCENE(an_older_one_that_is_said_outranks_a_newer_one),
        IN_SCENE(a_directory_without_a_server_that_will_do_is_told),
    };
    return cmocka_run_group_tests_name("pg_server_programs", tests, NULL, NULL);
}
