/*
 * Every corpus/NAME.yaml is read, and what is printed must be, byte for byte, corpus/NAME.expect:
 * empty for a definition without a flaw. With LATCHKEY_CORPUS_WRITE set, the expectations are
 * written instead of compared; look at the difference before you keep it.
 */
#include "definitions_tests.h"
#include "reading_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <glob.h>

enum {
    CORPUS_LEAST = 130, /* files: an empty folder would pass in silence */
};

static const char folder[] = "tests/definitions/corpus";

static char *read_file(const char *path, size_t *n_bytes)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return NULL;
    char *bytes = malloc(DEFINITION_BYTES_MAX + 1);
    assert_non_null(bytes);
    *n_bytes = fread(bytes, 1, DEFINITION_BYTES_MAX, file);
    bytes[*n_bytes] = '\0';
    fclose(file);
    return bytes;
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
    fclose(file);
}

/* True if the file is read as expected. */
static bool check_file(struct reading_fixture *fixture, const char *path)
{
    char expect_path[4096];
    size_t n_bytes = 0;
    size_t n_expected = 0;
    const char *name = strrchr(path, '/') + 1;
    char *source = read_file(path, &n_bytes);
    assert_non_null(source);
    snprintf(expect_path, sizeof expect_path, "%.*s.expect", (int)(strlen(path) - strlen(".yaml")),
             path);
    (void)reading_fixture_read(fixture, name, source, n_bytes);
    free(source);
    const char *printed = text_chars(&fixture->printed);
    if (getenv("LATCHKEY_CORPUS_WRITE")) {
        write_file(expect_path, printed);
        return true;
    }
    char *expected = read_file(expect_path, &n_expected);
    bool same = expected && strcmp(expected, printed) == 0;
    if (!same)
        print_error("%s\n--- expected\n%s--- printed\n%s", path,
                    expected ? expected : "(no file)\n", printed);
    free(expected);
    return same;
}

static void every_file_of_the_corpus_is_read_as_expected(void **state)
{
    struct reading_fixture *fixture = *state;
    glob_t files;
    char pattern[4096];
    int n_different = 0;
    snprintf(pattern, sizeof pattern, "%s/*.yaml", folder);
    assert_int_equal(glob(pattern, 0, NULL, &files), 0);
    assert_true(files.gl_pathc >= CORPUS_LEAST);
    for (size_t i = 0; i < files.gl_pathc; i++)
        n_different += !check_file(fixture, files.gl_pathv[i]);
    globfree(&files);
    assert_int_equal(n_different, 0);
}

/* Whatever a file looks like after damage, reading ends with an answer and a place. */
static void damaged_files_are_read_without_harm(void **state)
{
    struct reading_fixture *fixture = *state;
    glob_t files;
    char pattern[4096];
    unsigned int seed = 1;
    snprintf(pattern, sizeof pattern, "%s/*.yaml", folder);
    assert_int_equal(glob(pattern, 0, NULL, &files), 0);
    for (size_t i = 0; i < files.gl_pathc; i++) {
        size_t n_bytes = 0;
        char *source = read_file(files.gl_pathv[i], &n_bytes);
        assert_non_null(source);
        for (int round = 0; n_bytes > 0 && round < 20; round++) {
            static const char marks[] = "{}[]:,-|>&*!\"'#%@\t\n \\\xff";
            size_t at = (size_t)rand_r(&seed) % n_bytes;
            char kept = source[at];
            size_t n_kept = round % 2 ? n_bytes : at;
            source[at] = marks[(size_t)rand_r(&seed) % (sizeof marks - 1)];
            (void)reading_fixture_read(fixture, "damaged", source, n_kept);
            for (int j = 0; j < fixture->problems.n_items; j++) {
                assert_true(fixture->problems.items[j].line >= 1);
                assert_true(fixture->problems.items[j].column >= 1);
                assert_true(fixture->problems.items[j].message[0] != '\0');
            }
            source[at] = kept;
        }
        free(source);
    }
    globfree(&files);
}

static int set_up(void **state)
{
    static struct reading_fixture fixture;
    reading_fixture_init(&fixture);
    *state = &fixture;
    return 0;
}

static int tear_down(void **state)
{
    reading_fixture_done(*state);
    return 0;
}

int corpus_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_file_of_the_corpus_is_read_as_expected),
        cmocka_unit_test(damaged_files_are_read_without_harm),
    };
    return cmocka_run_group_tests_name("corpus", tests, set_up, tear_down);
}
