#include "package_changes.h"

#include "program.h"
#include "text.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define FILES SAMPLES "/package-latest"

enum {
    KINDS = 5,
    TEXT_BYTES_MAX = 1 << 20,
    JOBS_MS = 300 * 1000,
};

static const char *const kinds[KINDS] = {"upload", "unlist", "relist", "soft-delete",
                                         "hard-delete"};

/* Few, so that changes meet; and of all sorts. */
static const char *const versions[] = {
    "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1", "1.0.0",
    "1.0.1",       "1.1.0-alpha",   "1.1.0",        "1.10.0",        "2.0.0-rc.1", "2.0.0",
};

enum {
    VERSIONS = sizeof versions / sizeof *versions,
};

/* The same numbers in each run. */
static unsigned draw(uint64_t *state, unsigned below)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(*state >> 33) % below;
}

static void add_input(struct text *text, unsigned package, unsigned version, bool upper)
{
    text_addf(text, "{\"package_id\":\"%sackage.%u\",\"version\":\"%s\"}\n", upper ? "P" : "p",
              package, versions[version]);
}

static void write_text(const struct sample_database *database, const char *name, struct text *text,
                       char path[SAMPLE_PATH_BYTES])
{
    struct fault fault;
    assert_true(text_ok(text, &fault));
    sample_database_write(database, name, text_chars(text), path);
    text_done(text);
}

void package_changes_unlock(const struct sample_database *database, const char *file,
                            const char *on_conflict, char path[SAMPLE_PATH_BYTES])
{
    static const char *const lock_keys[] = {
        "enable-exclusive-lock:", "lock-context:", "waiting-timeout:", "acquire-timeout:"};
    struct text text;
    char *source;
    char *at;
    snprintf(path, SAMPLE_PATH_BYTES, "%s/%s", FILES, file);
    source = at = sample_database_read(path);
    text_init(&text, TEXT_BYTES_MAX);
    for (const char *line; (line = strsep(&at, "\n")) && at;) {
        const char *key = line + strspn(line, " ");
        bool dropped = false;
        for (int i = 0; i < 4; i++)
            dropped = dropped || strncmp(key, lock_keys[i], strlen(lock_keys[i])) == 0;
        if (strcmp(key, "script: |") == 0)
            /* The list is loaded and grows old. */
            text_addf(&text, "%s%s\n      sleep(0.02)\n", on_conflict, line);
        else if (!dropped)
            text_addf(&text, "%s\n", line);
    }
    free(source);
    write_text(database, file, &text, path);
}

static void start_kind(const struct sample_database *database,
                       const struct package_changes *changes, const char *kind, const char *inputs,
                       struct program *program)
{
    char hosts[8];
    char file[64];
    char path[SAMPLE_PATH_BYTES];
    snprintf(hosts, sizeof hosts, "%d", PACKAGE_CHANGE_HOSTS);
    snprintf(file, sizeof file, "%s.yaml", kind);
    snprintf(path, sizeof path, "%s/%s", FILES, file);
    if (!changes->locked)
        package_changes_unlock(database, file, "    on-conflict: overwrite\n", path);
    const char *const arguments[] = {"run",
                                     path,
                                     "--inputs",
                                     inputs,
                                     "--hosts",
                                     hosts,
                                     "--concurrency",
                                     "16",
                                     "--pool",
                                     "4",
                                     "--json",
                                     "--quiet",
                                     changes->as_jobs ? "--queue" : NULL,
                                     NULL};
    program_start(program, arguments);
}

static json_int_t number(const json_t *object, const char *key)
{
    assert_true(json_is_integer(json_object_get(object, key)));
    return json_integer_value(json_object_get(object, key));
}

/* Waits for it; returns how many it completed. */
static json_int_t end_kind(const struct package_changes *changes, struct program *program)
{
    program_wait(program);
    json_t *totals = program_json(program);
    json_int_t completed = number(totals, "completed");
    json_int_t others = number(totals, "blocked") + number(totals, "queued");
    if (changes->locked && completed + others != number(totals, "count")) {
        print_error("%s%s", program->out, program->err);
        fail();
    }
    json_decref(totals);
    program_done(program);
    return completed;
}

/* Each package has half of its versions before the changes begin. */
static void upload_first(const struct sample_database *database,
                         const struct package_changes *changes)
{
    struct package_changes first = {.n_packages = changes->n_packages, .locked = true};
    struct program program;
    struct text text;
    char inputs[SAMPLE_PATH_BYTES];
    text_init(&text, TEXT_BYTES_MAX);
    for (unsigned package = 0; package < (unsigned)changes->n_packages; package++)
        for (unsigned version = 0; version < VERSIONS; version += 2)
            add_input(&text, package, version, /* upper= */ false);
    write_text(database, "first.ndjson", &text, inputs);
    start_kind(database, &first, "upload", inputs, &program);
    assert_int_equal(end_kind(&first, &program), changes->n_packages * VERSIONS / 2);
}

static int64_t n_checked(const struct sample_database *database)
{
    return fixture_int(database->conn, "SELECT count(*) FROM package_checked");
}

static void write_inputs(const struct sample_database *database,
                         const struct package_changes *changes,
                         char inputs[KINDS][SAMPLE_PATH_BYTES])
{
    uint64_t state = 4;
    for (int kind = 0; kind < KINDS; kind++) {
        struct text text;
        char name[64];
        text_init(&text, TEXT_BYTES_MAX);
        for (int i = 0; i < PACKAGE_CHANGES / KINDS; i++)
            add_input(&text, draw(&state, (unsigned)changes->n_packages), draw(&state, VERSIONS),
                      draw(&state, 2));
        snprintf(name, sizeof name, "%s.ndjson", kinds[kind]);
        write_text(database, name, &text, inputs[kind]);
    }
}

/* Runs all kinds of changes at once; returns how many were completed. */
static json_int_t run_kinds(const struct sample_database *database,
                            const struct package_changes *changes)
{
    struct program programs[KINDS];
    char inputs[KINDS][SAMPLE_PATH_BYTES];
    json_int_t completed = 0;
    write_inputs(database, changes, inputs);
    for (int kind = 0; kind < KINDS; kind++)
        start_kind(database, changes, kinds[kind], inputs[kind], &programs[kind]);
    for (int kind = 0; kind < KINDS; kind++)
        completed += end_kind(changes, &programs[kind]);
    return completed;
}

/* ---- as jobs ---- */

static void await_hosts_that_wait(const struct sample_database *database)
{
    char sql[512];
    snprintf(sql, sizeof sql,
             "SELECT count(DISTINCT application_name) >= %d FROM pg_locks"
             " JOIN pg_stat_activity USING (pid) WHERE NOT granted AND locktype = 'advisory'"
             " AND objsubid = 1 AND datname = current_database()",
             PACKAGE_JOB_HOSTS);
    fixture_eventually_true(database->conn, sql, JOBS_MS);
}

/* Of the queued changes that came to their end. */
static int64_t n_ended(const struct sample_database *database, const char *what)
{
    char sql[256];
    snprintf(sql, sizeof sql,
             "SELECT count(%s) FROM latchkey.execution e"
             " JOIN queued_package_change q ON q.id = e.instance"
             " WHERE status IN ('completed', 'blocked')",
             what);
    return fixture_int(database->conn, sql);
}

static void expect_jobs_done(const struct sample_database *database, int64_t n_changes)
{
    char reasons[1024];
    fixture_text(database->conn,
                 "SELECT coalesce(string_agg(DISTINCT status || ': ' || coalesce(reason, ''),"
                 " '; '), '') FROM latchkey.execution"
                 " WHERE status NOT IN ('completed', 'blocked', 'locked', 'expired')",
                 reasons, sizeof reasons);
    assert_string_equal(reasons, "");
    assert_int_equal(n_ended(database, "*"), n_changes); /* none of them twice */
    assert_int_equal(n_ended(database, "DISTINCT e.instance"), n_changes);
    assert_true(n_ended(database, "DISTINCT e.process") >= PACKAGE_JOB_HOSTS);
}

/* All packages are locked until every host has a job that wants one, so all begin at once. */
static json_int_t run_jobs(const struct sample_database *database,
                           const struct package_changes *changes)
{
    struct program hosts[PACKAGE_JOB_HOSTS];
    PGconn *holder = fixture_connect(database->conninfo);
    fixture_exec(holder, "BEGIN ISOLATION LEVEL READ COMMITTED;"
                         "SELECT latchkey.lock('package')");
    assert_int_equal(run_kinds(database, changes), 0);
    fixture_exec(database->conn, "CREATE TABLE queued_package_change AS"
                                 " SELECT instance AS id FROM latchkey.job");
    int64_t n_changes = fixture_int(database->conn, "SELECT count(*) FROM queued_package_change");
    assert_int_equal(n_changes, PACKAGE_CHANGES);
    for (int i = 0; i < PACKAGE_JOB_HOSTS; i++)
        program_start(&hosts[i], (const char *const[]){"serve", "--listen", "none", "--workers",
                                                       "16", "--pool", "6", "--quiet", NULL});
    await_hosts_that_wait(database);
    fixture_exec(holder, "COMMIT");
    PQfinish(holder);
    fixture_eventually_true(database->conn, "SELECT count(*) = 0 FROM latchkey.job WHERE NOT dead",
                            JOBS_MS);
    assert_int_equal(fixture_int(database->conn, "SELECT count(*) FROM latchkey.job"), 0);
    for (int i = 0; i < PACKAGE_JOB_HOSTS; i++)
        kill(hosts[i].pid, SIGTERM);
    for (int i = 0; i < PACKAGE_JOB_HOSTS; i++) {
        program_wait(&hosts[i]);
        program_expect(&hosts[i], 0);
        program_done(&hosts[i]);
    }
    expect_jobs_done(database, n_changes);
    return fixture_int(database->conn, "SELECT count(*) FROM latchkey.execution e"
                                       " JOIN queued_package_change q ON q.id = e.instance"
                                       " WHERE status = 'completed'");
}

/* ---- all together ---- */

void package_changes_run(const struct sample_database *database,
                         const struct package_changes *changes)
{
    upload_first(database, changes);
    int64_t checked_before = n_checked(database);
    json_int_t completed =
        changes->as_jobs ? run_jobs(database, changes) : run_kinds(database, changes);
    if (changes->locked) {
        assert_true(completed > 0);
        assert_int_equal(n_checked(database) - checked_before, completed);
    }
}

int64_t package_changes_wrong(const struct sample_database *database)
{
    return fixture_int(database->conn, "SELECT count(*) FROM package_checked WHERE wrong <> '{}'");
}
