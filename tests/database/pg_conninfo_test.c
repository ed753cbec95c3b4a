/* Connection strings with another setting. */
#include "database_tests.h"
#include "pg_conninfo.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void a_setting_is_replaced_in_any_form_of_connection_string(void **state)
{
    struct fault fault;
    struct text out;
    (void)state;
    text_init(&out, 1024);
    assert_true(pg_conninfo_with("host=/tmp password='it''s' options=x", "options", "-c a='b'",
                                 &out, &fault) == false);
    text_clear(&out);
    assert_true(pg_conninfo_with("host=/tmp password='a\\'b' options=x", "options", "-c a=\\b",
                                 &out, &fault));
    assert_non_null(strstr(text_chars(&out), "password='a\\'b'"));
    assert_non_null(strstr(text_chars(&out), "host='/tmp'"));
    assert_non_null(strstr(text_chars(&out), "options='-c a=\\\\b'"));
    assert_null(strstr(text_chars(&out), "options='x'"));
    text_clear(&out);
    assert_true(pg_conninfo_with("postgresql://u@h:5433/d", "options", "y", &out, &fault));
    assert_non_null(strstr(text_chars(&out), "port='5433'"));
    assert_non_null(strstr(text_chars(&out), "options='y'"));
    text_done(&out);
}

int pg_conninfo_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_setting_is_replaced_in_any_form_of_connection_string),
    };
    return cmocka_run_group_tests_name("pg_conninfo", tests, NULL, NULL);
}
