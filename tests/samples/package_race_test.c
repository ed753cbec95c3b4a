/*
 * The interleavings that the sample's README tells of, made to happen: uploads of alpha2 and alpha3
 * when alpha1 is the latest. Each is forced upon a definition without a lock, which it spoils, and
 * upon the one with the lock.
 */
#include "samples_tests.h"

#include "package_changes.h"
#include "program.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define FILES SAMPLES "/package-latest"

static int set_up(void **state)
{
    return sample_database_set_up(state, "package-latest");
}

static void start_upload(struct program *program, const char *file, const char *version)
{
    char input[96];
    snprintf(input, sizeof input, "{\"package_id\":\"Foo\",\"version\":\"%s\"}", version);
    const char *const arguments[] = {"run", file, "--input", input, "--quiet", NULL};
    program_start(program, arguments);
}

static void end(struct program *program)
{
    program_wait(program);
    program_expect(program, 0);
    program_done(program);
}

static void upload(const char *file, const char *version)
{
    struct program program;
    start_upload(&program, file, version);
    end(&program);
}

static void expect_latest(const struct sample_database *database, const char *expected)
{
    char versions[128];
    fixture_text(database->conn,
                 "SELECT string_agg(version, ' ' ORDER BY version)"
                 " FROM package_version WHERE is_latest",
                 versions, sizeof versions);
    assert_string_equal(versions, expected);
    assert_int_equal(package_changes_wrong(database) > 0, strcmp(expected, "1.0.0-alpha3") != 0);
}

/* (a) Both have read {alpha1} and inserted theirs; both stand before clearing the flag of alpha1.
 */
static void both_clear_before_either_marks(const struct sample_database *database, const char *file,
                                           bool locked)
{
    struct program first, second;
    upload(FILES "/upload.yaml", "1.0.0-alpha1");
    sample_database_gate(database, "UPDATE", "package_version", "OLD.version = '1.0.0-alpha1'");
    start_upload(&first, file, "1.0.0-alpha2");
    sample_database_await_gate(database, 1);
    start_upload(&second, file, "1.0.0-alpha3");
    if (locked)
        sample_database_await_locks(database, 1);
    else
        sample_database_await_gate(database, 2);
    sample_database_open_gate(database);
    end(&first);
    end(&second);
}

static void a_without_the_lock_two_are_the_latest(void **state)
{
    both_clear_before_either_marks(*state, FILES "/unlocked.yaml", /* locked= */ false);
    expect_latest(*state, "1.0.0-alpha2 1.0.0-alpha3");
}

static void a_with_the_lock_one_is(void **state)
{
    both_clear_before_either_marks(*state, FILES "/upload.yaml", /* locked= */ true);
    expect_latest(*state, "1.0.0-alpha3");
}

/* (b) The first has read {alpha1} and stands before inserting alpha2; meanwhile the second does all
 * that it can. */
static void the_second_overtakes(const struct sample_database *database, const char *file,
                                 bool locked)
{
    struct program first, second;
    upload(FILES "/upload.yaml", "1.0.0-alpha1");
    sample_database_gate(database, "INSERT", "package_version", "NEW.version = '1.0.0-alpha2'");
    start_upload(&first, file, "1.0.0-alpha2");
    sample_database_await_gate(database, 1);
    start_upload(&second, file, "1.0.0-alpha3");
    if (locked)
        sample_database_await_locks(database, 1);
    else
        end(&second);
    sample_database_open_gate(database);
    end(&first);
    if (locked)
        end(&second);
}

static void b_without_the_lock_the_wrong_one_is_the_latest(void **state)
{
    the_second_overtakes(*state, FILES "/unlocked.yaml", /* locked= */ false);
    expect_latest(*state, "1.0.0-alpha2");
}

static void b_with_the_lock_the_right_one_is(void **state)
{
    the_second_overtakes(*state, FILES "/upload.yaml", /* locked= */ true);
    expect_latest(*state, "1.0.0-alpha3");
}

/* The first two uploads of a package: there is no row whose version both would check. */
static void two_first_ones(const struct sample_database *database, const char *file, bool locked)
{
    struct program first, second;
    sample_database_gate(database, "INSERT", "package_version", "true");
    start_upload(&first, file, "1.0.0-alpha2");
    sample_database_await_gate(database, 1);
    start_upload(&second, file, "1.0.0-alpha3");
    if (locked)
        sample_database_await_locks(database, 1);
    else
        sample_database_await_gate(database, 2);
    sample_database_open_gate(database);
    end(&first);
    end(&second);
}

static void row_versions_alone_do_not_save_a_new_package(void **state)
{
    char path[SAMPLE_PATH_BYTES];
    package_changes_unlock(*state, "upload.yaml", /* on_conflict= */ "", path);
    two_first_ones(*state, path, /* locked= */ false);
    expect_latest(*state, "1.0.0-alpha2 1.0.0-alpha3");
}

static void the_lock_saves_a_new_package(void **state)
{
    two_first_ones(*state, FILES "/upload.yaml", /* locked= */ true);
    expect_latest(*state, "1.0.0-alpha3");
}

int package_race_tests(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, sample_database_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_without_the_lock_two_are_the_latest),
        TEST(a_with_the_lock_one_is),
        TEST(b_without_the_lock_the_wrong_one_is_the_latest),
        TEST(b_with_the_lock_the_right_one_is),
        TEST(row_versions_alone_do_not_save_a_new_package),
        TEST(the_lock_saves_a_new_package),
    };
    return cmocka_run_group_tests_name("package_race", tests, NULL, NULL);
}
