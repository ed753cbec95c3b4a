#include "reading_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

void reading_fixture_init(struct reading_fixture *fixture)
{
    struct sandbox_limits limits = sandbox_default_limits();
    struct fault fault;
    *fixture = (struct reading_fixture){0};
    assert_true(sandbox_new(&limits, &fixture->sandbox, &fault));
    problems_init(&fixture->problems);
    text_init(&fixture->printed, 64 << 20);
}

static void forget(struct reading_fixture *fixture)
{
    definition_free(fixture->definition);
    fixture->definition = NULL;
    problems_done(&fixture->problems);
    text_clear(&fixture->printed);
}

void reading_fixture_done(struct reading_fixture *fixture)
{
    forget(fixture);
    text_done(&fixture->printed);
    sandbox_free(fixture->sandbox);
}

bool reading_fixture_read(struct reading_fixture *fixture, const char *file, const char *source,
                          size_t n_bytes)
{
    forget(fixture);
    bool accepted = definition_read(fixture->sandbox, file, source, n_bytes, &fixture->definition,
                                    &fixture->problems);
    problems_print(&fixture->problems, file, &fixture->printed);
    assert_false(fixture->printed.failed);
    assert_int_equal(accepted, fixture->problems.n_errors == 0);
    assert_int_equal(accepted, fixture->definition != NULL);
    return accepted;
}

const struct definition *reading_fixture_accept(struct reading_fixture *fixture, const char *source)
{
    (void)reading_fixture_read(fixture, "w.yaml", source, strlen(source));
    assert_string_equal(text_chars(&fixture->printed), "");
    assert_non_null(fixture->definition);
    return fixture->definition;
}

const char *reading_fixture_refuse(struct reading_fixture *fixture, const char *source)
{
    assert_false(reading_fixture_read(fixture, "w.yaml", source, strlen(source)));
    return text_chars(&fixture->printed);
}
