#include "base_tests.h"
#include "fault.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void setting_a_fault_returns_false_and_fills_it(void **state)
{
    (void)state;
    struct fault fault;
    memset(&fault, 'x', sizeof fault);
    assert_false(fault_set(&fault, FAULT_INVALID, "activity '%s' has %d types", "read", 2));
    assert_int_equal(fault.kind, FAULT_INVALID);
    assert_string_equal(fault.sqlstate, "");
    assert_string_equal(fault.text, "activity 'read' has 2 types");
}

static void newlines_become_spaces(void **state)
{
    (void)state;
    struct fault fault;
    (void)fault_set(&fault, FAULT_DATABASE, "ERROR: %s", "one\ntwo\r\n");
    assert_string_equal(fault.text, "ERROR: one two  ");
    (void)fault_prefix(&fault, "%s", "a\nb");
    assert_string_equal(fault.text, "a b: ERROR: one two  ");
}

static void a_long_text_is_cut(void **state)
{
    (void)state;
    struct fault fault;
    char text[2 * FAULT_TEXT_BYTES];
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    (void)fault_set(&fault, FAULT_SCRIPT, "%s", text);
    assert_int_equal(strlen(fault.text), FAULT_TEXT_BYTES - 1);
}

static void out_of_memory_is_exhausted(void **state)
{
    (void)state;
    struct fault fault;
    assert_false(fault_no_memory(&fault));
    assert_int_equal(fault.kind, FAULT_EXHAUSTED);
    assert_string_equal(fault.text, "out of memory");
}

static void a_prefix_goes_before_and_keeps_the_rest(void **state)
{
    (void)state;
    struct fault fault;
    (void)fault_set(&fault, FAULT_DATABASE, "refused");
    memcpy(fault.sqlstate, "55P03", sizeof fault.sqlstate);
    assert_false(fault_prefix(&fault, "table '%s'", "message"));
    assert_int_equal(fault.kind, FAULT_DATABASE);
    assert_string_equal(fault.sqlstate, "55P03");
    assert_string_equal(fault.text, "table 'message': refused");
}

static void a_prefix_of_any_length_cuts_within_the_text(void **state)
{
    (void)state;
    char prefix[2 * FAULT_TEXT_BYTES];
    for (size_t length = FAULT_TEXT_BYTES - 12; length < sizeof prefix; length++) {
        struct fault fault;
        (void)fault_set(&fault, FAULT_SCRIPT, "the old text");
        memset(prefix, 'p', length);
        prefix[length] = '\0';
        (void)fault_prefix(&fault, "%s", prefix);
        assert_int_equal(strnlen(fault.text, sizeof fault.text), FAULT_TEXT_BYTES - 1);
        assert_int_equal(fault.text[0], 'p');
    }
}

int fault_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(setting_a_fault_returns_false_and_fills_it),
        cmocka_unit_test(newlines_become_spaces),
        cmocka_unit_test(a_long_text_is_cut),
        cmocka_unit_test(out_of_memory_is_exhausted),
        cmocka_unit_test(a_prefix_goes_before_and_keeps_the_rest),
        cmocka_unit_test(a_prefix_of_any_length_cuts_within_the_text),
    };
    return cmocka_run_group_tests_name("fault", tests, NULL, NULL);
}
