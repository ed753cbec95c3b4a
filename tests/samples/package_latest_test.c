#include "samples_tests.h"

#include "package_changes.h"
#include "program.h"
#include "sample_database.h"
#include "text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define FILES SAMPLES "/package-latest"

static int set_up(void **state)
{
    return sample_database_set_up(state, "package-latest");
}

/* ---- one after the other ---- */

/* The definitions cannot include a common text, so each has it in full. */
static void the_five_definitions_set_the_flags_alike(void **state)
{
    static const char *const files[] = {"upload.yaml", "unlist.yaml", "relist.yaml",
                                        "soft-delete.yaml", "hard-delete.yaml"};
    char *first = NULL;
    (void)state;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char path[SAMPLE_PATH_BYTES];
        snprintf(path, sizeof path, "%s/%s", FILES, files[i]);
        char *source = sample_database_read(path);
        const char *flags = strstr(source, "      -- The flags anew");
        assert_non_null(flags);
        if (first)
            assert_string_equal(flags, first);
        else
            first = strdup(flags);
        free(source);
    }
    free(first);
}

/* The lowest first. */
static const char *const ladder[] = {
    "0.9.9",
    "1.0.0-0",
    "1.0.0-9",
    "1.0.0-10",
    "1.0.0-99999999999999999998",
    "1.0.0-99999999999999999999",
    "1.0.0--",
    "1.0.0-A",
    "1.0.0-alpha",
    "1.0.0-alpha.1",
    "1.0.0-alpha.1.1",
    "1.0.0-alpha.beta",
    "1.0.0-alpha-beta",
    "1.0.0-beta",
    "1.0.0-beta.2",
    "1.0.0-beta.11",
    "1.0.0-rc.1",
    "1.0.0",
    "1.0.2",
    "1.0.10",
    "1.2.0-rc.1",
    "1.10.0",
    "2.0.0",
    "10.0.0-rc.1",
};

enum {
    RUNGS = sizeof ladder / sizeof *ladder,
};

static json_t *run_totals_of(const struct sample_database *database, const char *file,
                             struct text *inputs)
{
    struct program program;
    struct fault fault;
    char definition[SAMPLE_PATH_BYTES];
    char path[SAMPLE_PATH_BYTES];
    assert_true(text_ok(inputs, &fault));
    snprintf(definition, sizeof definition, "%s/%s", FILES, file);
    sample_database_write(database, "inputs.ndjson", text_chars(inputs), path);
    text_clear(inputs);
    program_run(&program, "run", definition, "--inputs", path, "--json", "--quiet");
    json_t *totals = program_json(&program);
    program_done(&program);
    return totals;
}

static void expect_totals(const struct sample_database *database, const char *file,
                          struct text *inputs, const char *status, int n)
{
    json_t *totals = run_totals_of(database, file, inputs);
    assert_int_equal(json_integer_value(json_object_get(totals, status)), n);
    assert_int_equal(json_integer_value(json_object_get(totals, "count")), n);
    json_decref(totals);
}

static void add_input(struct text *text, const char *version)
{
    text_addf(text, "{\"package_id\":\"Foo\",\"version\":\"%s\"}\n", version);
}

static void expect_latest(const struct sample_database *database, int rung)
{
    char version[64];
    fixture_text(database->conn,
                 "SELECT string_agg(version, ' ') FROM package_version"
                 " WHERE is_latest",
                 version, sizeof version);
    assert_string_equal(version, ladder[rung]);
    while (rung >= 0 && strchr(ladder[rung], '-'))
        rung--;
    const char *stable = rung >= 0 ? ladder[rung] : "none";
    fixture_text(database->conn,
                 "SELECT string_agg(version, ' ') FROM package_version"
                 " WHERE is_latest_stable",
                 version, sizeof version);
    assert_string_equal(version, stable);
}

static void the_highest_that_is_left_is_the_latest(void **state)
{
    struct sample_database *database = *state;
    static const char *const ways[] = {"unlist.yaml", "soft-delete.yaml", "hard-delete.yaml"};
    struct text inputs;
    text_init(&inputs, 1 << 16);
    for (int i = 0; i < RUNGS; i++)
        add_input(&inputs, ladder[i * 7 % RUNGS]); /* 7 and 24 have no common divisor */
    expect_totals(database, "upload.yaml", &inputs, "completed", RUNGS);
    for (int rung = RUNGS - 1; rung > 0; rung--) {
        expect_latest(database, rung);
        add_input(&inputs, ladder[rung]);
        expect_totals(database, ways[rung % 3], &inputs, "completed", 1);
    }
    expect_latest(database, 0);
    add_input(&inputs, ladder[0]);
    expect_totals(database, "unlist.yaml", &inputs, "completed", 1);
    assert_int_equal(fixture_int(database->conn, "SELECT count(*) FROM package_version"
                                                 " WHERE is_latest OR is_latest_stable"),
                     0);
    assert_int_equal(package_changes_wrong(database), 0);
    text_done(&inputs);
}

static void a_relisted_version_is_the_latest_again(void **state)
{
    struct sample_database *database = *state;
    struct text inputs;
    text_init(&inputs, 1 << 16);
    add_input(&inputs, ladder[RUNGS - 2]);
    add_input(&inputs, ladder[RUNGS - 1]);
    expect_totals(database, "upload.yaml", &inputs, "completed", 2);
    add_input(&inputs, ladder[RUNGS - 1]);
    expect_totals(database, "unlist.yaml", &inputs, "completed", 1);
    expect_latest(database, RUNGS - 2);
    add_input(&inputs, ladder[RUNGS - 1]);
    expect_totals(database, "relist.yaml", &inputs, "completed", 1);
    expect_latest(database, RUNGS - 1);
    text_done(&inputs);
}

static void what_is_there_is_not_uploaded_again(void **state)
{
    struct sample_database *database = *state;
    struct text inputs;
    text_init(&inputs, 1 << 16);
    add_input(&inputs, "1.0.0");
    expect_totals(database, "upload.yaml", &inputs, "completed", 1);
    add_input(&inputs, "1.0.0");
    add_input(&inputs, "1.0.0+another.build");
    expect_totals(database, "upload.yaml", &inputs, "blocked", 2);
    add_input(&inputs, "1.0.0");
    expect_totals(database, "soft-delete.yaml", &inputs, "completed", 1);
    add_input(&inputs, "1.0.0");
    expect_totals(database, "upload.yaml", &inputs, "blocked", 1);
    add_input(&inputs, "1.0.0");
    expect_totals(database, "relist.yaml", &inputs, "blocked", 1);
    add_input(&inputs, "1.0.0");
    expect_totals(database, "hard-delete.yaml", &inputs, "completed", 1);
    add_input(&inputs, "1.0.0");
    expect_totals(database, "upload.yaml", &inputs, "completed", 1);
    text_done(&inputs);
}

static void what_is_no_semantic_version_is_refused(void **state)
{
    static const char *const wrong[] = {
        "",          "1",           "1.0",    "1.0.0.0",    "v1.0.0",
        "01.0.0",    "1.00.0",      "1.0.x",  "1.0.0-",     "1.0.0-01",
        "1.0.0-a.",  "1.0.0-.a",    "1.0.0+", "1.0.0+a..b", "1.0.0 ",
        "1.0.0-a_b", "1.0.0-a+b+c", "-1.0.0", "1.0.-1",     "9999999999999999999.0.0",
    };
    struct sample_database *database = *state;
    struct text inputs;
    text_init(&inputs, 1 << 16);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        add_input(&inputs, wrong[i]);
    expect_totals(database, "upload.yaml", &inputs, "failed", sizeof wrong / sizeof *wrong);
    assert_int_equal(fixture_int(database->conn, "SELECT count(*) FROM package_version"), 0);
    text_done(&inputs);
}

/* ---- all at once ---- */

static void changes_of_one_package_keep_its_flags_right(void **state)
{
    struct sample_database *database = *state;
    package_changes_run(database, &(struct package_changes){.n_packages = 1, .locked = true});
    assert_int_equal(package_changes_wrong(database), 0);
}

static void changes_of_many_packages_keep_their_flags_right(void **state)
{
    struct sample_database *database = *state;
    package_changes_run(database, &(struct package_changes){.n_packages = 20, .locked = true});
    assert_int_equal(package_changes_wrong(database), 0);
}

static void as_jobs_the_changes_of_one_package_keep_its_flags_right(void **state)
{
    struct sample_database *database = *state;
    package_changes_run(
        database, &(struct package_changes){.n_packages = 1, .locked = true, .as_jobs = true});
    assert_int_equal(package_changes_wrong(database), 0);
}

static void as_jobs_the_changes_of_many_packages_keep_their_flags_right(void **state)
{
    struct sample_database *database = *state;
    package_changes_run(
        database, &(struct package_changes){.n_packages = 20, .locked = true, .as_jobs = true});
    assert_int_equal(package_changes_wrong(database), 0);
}

static void without_locks_the_same_changes_spoil_them(void **state)
{
    struct sample_database *database = *state;
    package_changes_run(database, &(struct package_changes){.n_packages = 1, .locked = false});
    assert_true(package_changes_wrong(database) > 0);
}

/* No row is there that could be locked or have a version. */
static void first_uploads_at_once_keep_the_flags_right(void **state)
{
    struct sample_database *database = *state;
    struct program program;
    struct text inputs;
    struct fault fault;
    char path[SAMPLE_PATH_BYTES];
    text_init(&inputs, 1 << 16);
    for (int package = 0; package < 20; package++)
        for (int version = 0; version < 10; version++)
            text_addf(&inputs, "{\"package_id\":\"%s%d\",\"version\":\"1.%d.0%s\"}\n",
                      version % 2 ? "new." : "New.", package, version * 7 % 10,
                      version % 3 ? "" : "-rc");
    assert_true(text_ok(&inputs, &fault));
    sample_database_write(database, "inputs.ndjson", text_chars(&inputs), path);
    text_done(&inputs);
    program_run(&program, "run", FILES "/upload.yaml", "--inputs", path, "--hosts", "4", "--json",
                "--quiet");
    program_expect(&program, 0);
    program_done(&program);
    assert_int_equal(fixture_int(database->conn, "SELECT count(*) FROM package_version"), 200);
    assert_int_equal(
        fixture_int(database->conn, "SELECT count(DISTINCT package_id) FROM package_version"), 20);
    assert_int_equal(package_changes_wrong(database), 0);
}

static void other_packages_do_not_wait(void **state)
{
    struct sample_database *database = *state;
    struct program slow, other;
    program_run(&other, "migrate", "--quiet");
    program_expect(&other, 0);
    program_done(&other);
    fixture_exec(database->conn, "BEGIN ISOLATION LEVEL READ COMMITTED;"
                                 "SELECT latchkey.lock('package/slow')");
    const char *const arguments[] = {"run",     FILES "/upload.yaml",
                                     "--input", "{\"package_id\":\"Slow\",\"version\":\"1.0.0\"}",
                                     "--quiet", NULL};
    program_start(&slow, arguments);
    sample_database_await_locks(database, 1);
    program_run(&other, "run", FILES "/upload.yaml", "--input",
                "{\"package_id\":\"Other\",\"version\":\"1.0.0\"}", "--quiet");
    program_expect(&other, 0);
    program_done(&other);
    sample_database_await_locks(database, 1); /* the slow one still waits */
    fixture_exec(database->conn, "COMMIT");
    program_wait(&slow);
    program_expect(&slow, 0);
    program_done(&slow);
}

int package_latest_tests(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, sample_database_tear_down)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_five_definitions_set_the_flags_alike),
        TEST(the_highest_that_is_left_is_the_latest),
        TEST(a_relisted_version_is_the_latest_again),
        TEST(what_is_there_is_not_uploaded_again),
        TEST(what_is_no_semantic_version_is_refused),
        TEST(changes_of_one_package_keep_its_flags_right),
        TEST(changes_of_many_packages_keep_their_flags_right),
        TEST(as_jobs_the_changes_of_one_package_keep_its_flags_right),
        TEST(as_jobs_the_changes_of_many_packages_keep_their_flags_right),
        TEST(without_locks_the_same_changes_spoil_them),
        TEST(first_uploads_at_once_keep_the_flags_right),
        TEST(other_packages_do_not_wait),
    };
    return cmocka_run_group_tests_name("package_latest", tests, NULL, NULL);
}
