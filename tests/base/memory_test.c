/* Each allocation of texts, regions and JSON fails once. */
#include "allocation.h"
#include "base_tests.h"
#include "json.h"
#include "region.h"
#include "text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char document[] =
    "{\"a\": [1, 2.5, 1.1, null, true, \"\\u00e9 some text that is not short at all\", {}],"
    " \"b\": {\"c\": {\"d\": [[[]]]}}, \"e\": -1e300, \"g\": 1234567890123456789, \"f\": "
    "\"a\\u0000b\"}";

/* What was read without all memory is nothing, rather than something else. */
static void try_reading(void *arg, bool must_succeed)
{
    json_t **expected = arg;
    struct fault fault = {.kind = FAULT_NONE};
    json_t *value = NULL;
    allocation_resume();
    bool read = json_read("input", document, strlen(document), &value, &fault);
    allocation_pause();
    assert_true(read || !must_succeed);
    if (!read)
        assert_int_equal(fault.kind, FAULT_EXHAUSTED);
    else if (must_succeed)
        *expected = json_incref(value);
    else
        assert_true(json_equal(value, *expected));
    json_decref(value);
}

/* A text that was written without all memory is none, rather than another one. */
static void try_writing(void *arg, bool must_succeed)
{
    struct fault fault;
    json_t *value = NULL;
    char **expected = arg;
    assert_true(json_read("input", document, strlen(document), &value, &fault));
    allocation_resume();
    char *written = json_write(value);
    allocation_pause();
    assert_true(written || !must_succeed);
    if (must_succeed)
        *expected = strdup(written);
    else if (written)
        assert_string_equal(written, *expected);
    free(written);
    json_decref(value);
}

static void json_without_memory_is_exhausted(void **state)
{
    (void)state;
    char *written = NULL;
    json_t *value = NULL;
    assert_true(allocation_fail_each(try_reading, &value) > 40);
    json_decref(value);
    assert_true(allocation_fail_each(try_writing, &written) > 2);
    free(written);
}

static void try_building(void *arg, bool must_succeed)
{
    (void)arg;
    struct text text;
    struct fault fault = {.kind = FAULT_NONE};
    text_init(&text, 1 << 20);
    allocation_resume();
    for (int i = 0; i < 400; i++)
        text_addf(&text, "%d,", i);
    bool ok = text_ok(&text, &fault);
    allocation_pause();
    assert_true(ok || !must_succeed);
    if (!ok)
        assert_int_equal(fault.kind, FAULT_EXHAUSTED);
    text_clear(&text); /* and it is usable again */
    text_add_chars(&text, "again");
    assert_true(text_ok(&text, &fault));
    allocation_resume();
    char *taken = text_take(&text);
    allocation_pause();
    assert_string_equal(taken, "again");
    free(taken);
    allocation_resume();
    taken = text_take(&text);
    allocation_pause();
    assert_true(taken || !must_succeed);
    free(taken);
}

static void a_text_without_memory_fails_and_can_be_used_again(void **state)
{
    (void)state;
    assert_true(allocation_fail_each(try_building, NULL) > 6);
}

static void try_taking(void *arg, bool must_succeed)
{
    (void)arg;
    struct region region;
    bool all = true;
    region_init(&region, 1 << 20);
    allocation_resume();
    for (int i = 0; i < 20; i++)
        all = region_take(&region, 1000) && all;
    all = region_copy_chars(&region, "text") && all;
    allocation_pause();
    assert_true(all || !must_succeed);
    assert_non_null(region_take(&region, 1000));
    region_done(&region);
}

static void a_region_without_memory_goes_on_when_there_is_some(void **state)
{
    (void)state;
    assert_true(allocation_fail_each(try_taking, NULL) > 6);
}

int memory_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_without_memory_is_exhausted),
        cmocka_unit_test(a_text_without_memory_fails_and_can_be_used_again),
        cmocka_unit_test(a_region_without_memory_goes_on_when_there_is_some),
    };
    return cmocka_run_group_tests_name("memory", tests, NULL, NULL);
}
