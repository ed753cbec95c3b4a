#include "base_tests.h"
#include "clock.h"
#include "uuid.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum {
    MANY = 20000, /* more than a millisecond's counter holds */
};

static int64_t ms_of(const char *uuid)
{
    unsigned high;
    unsigned low;
    assert_int_equal(sscanf(uuid, "%8x-%4x", &high, &low), 2);
    return (int64_t)high << 16 | low;
}

static void an_id_has_the_form_of_version_7(void **state)
{
    struct uuid_source source = {0};
    char id[UUID_TEXT_BYTES];
    (void)state;
    for (int i = 0; i < MANY; i++) {
        uuid_draw(&source, id);
        assert_true(uuid_is_text(id));
        assert_int_equal(id[14], '7');
        assert_non_null(strchr("89ab", id[19]));
        assert_int_equal(strspn(id, "0123456789abcdef-"), UUID_TEXT_BYTES - 1);
    }
}

static void an_id_carries_the_time(void **state)
{
    struct uuid_source source = {0};
    char id[UUID_TEXT_BYTES];
    (void)state;
    int64_t before_ms = clock_wall_us() / 1000;
    uuid_draw(&source, id);
    assert_in_range(ms_of(id), before_ms, clock_wall_us() / 1000);
}

static void ids_of_one_source_grow(void **state)
{
    struct uuid_source source = {0};
    char last[UUID_TEXT_BYTES] = "";
    char id[UUID_TEXT_BYTES];
    (void)state;
    for (int i = 0; i < MANY; i++) {
        uuid_draw(&source, id);
        assert_true(strcmp(last, id) < 0);
        memcpy(last, id, sizeof last);
    }
}

static void ids_grow_when_the_clock_goes_back(void **state)
{
    int64_t ahead_ms = clock_wall_us() / 1000 + 3600000;
    struct uuid_source source = {.last_ms = ahead_ms};
    char last[UUID_TEXT_BYTES];
    char id[UUID_TEXT_BYTES];
    (void)state;
    uuid_draw(&source, last);
    assert_int_equal(ms_of(last), ahead_ms);
    for (int i = 0; i < MANY; i++) {
        uuid_draw(&source, id);
        assert_true(strcmp(last, id) < 0);
        memcpy(last, id, sizeof last);
    }
}

static void two_sources_draw_different_ids(void **state)
{
    struct uuid_source one = {0};
    struct uuid_source two = {0};
    char a[UUID_TEXT_BYTES];
    char b[UUID_TEXT_BYTES];
    (void)state;
    uuid_draw(&one, a);
    uuid_draw(&two, b);
    /* Not only by the time and the counter: by the random part. */
    assert_string_not_equal(a + 19, b + 19);
}

static void only_the_text_form_is_recognised(void **state)
{
    (void)state;
    assert_true(uuid_is_text("01890a5d-ac96-774b-bcce-b302099a8057"));
    assert_true(uuid_is_text("01890A5D-AC96-174B-BCCE-B302099A8057"));
    assert_false(uuid_is_text(""));
    assert_false(uuid_is_text("01890a5d-ac96-774b-bcce-b302099a805"));
    assert_false(uuid_is_text("01890a5d-ac96-774b-bcce-b302099a80577"));
    assert_false(uuid_is_text("01890a5dac96-774b-bcce-b302099a80577-"));
    assert_false(uuid_is_text("01890a5d-ac96-774b-bcce-b302099a805g"));
    assert_false(uuid_is_text("01890a5d-ac96-774b-bcce-b30209\xc3\xa4"
                              "8057"));
    assert_false(uuid_is_text("{1890a5d-ac96-774b-bcce-b302099a805}"));
}

int uuid_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_id_has_the_form_of_version_7),
        cmocka_unit_test(an_id_carries_the_time),
        cmocka_unit_test(ids_of_one_source_grow),
        cmocka_unit_test(ids_grow_when_the_clock_goes_back),
        cmocka_unit_test(two_sources_draw_different_ids),
        cmocka_unit_test(only_the_text_form_is_recognised),
    };
    return cmocka_run_group_tests_name("uuid", tests, NULL, NULL);
}
