#include "definitions_tests.h"
#include "reading_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const char all_types[] = "workflow: a\nstart: b\ninput:\n"
                                "  name: string\n  whole?: integer\n  real?: number\n"
                                "  flag?: boolean\n  thing?: object\n  items?: array\n"
                                "activities: {b: {}}\n";

static bool check(const struct definition *definition, const char *json, struct fault *fault)
{
    json_t *input = NULL;
    *fault = (struct fault){0};
    assert_true(json_read("input", json, strlen(json), &input, fault));
    bool ok = definition_check_input(definition, input, fault);
    json_decref(input);
    return ok;
}

static void accept(const struct definition *definition, const char *json)
{
    struct fault fault;
    bool ok = check(definition, json, &fault);
    assert_string_equal(fault.text, "");
    assert_true(ok);
}

static void refuse(const struct definition *definition, const char *json, const char *words)
{
    struct fault fault;
    assert_false(check(definition, json, &fault));
    assert_int_equal(fault.kind, FAULT_INVALID);
    assert_string_equal(fault.text, words);
}

static void inputs_of_the_declared_types_are_taken(void **state)
{
    const struct definition *definition = reading_fixture_accept(*state, all_types);
    accept(definition, "{\"name\": \"\"}");
    accept(definition, "{\"name\": \"x\", \"whole\": 3, \"real\": 1.5, \"flag\": false,"
                       " \"thing\": {}, \"items\": []}");
    accept(definition, "{\"name\": \"x\", \"whole\": 3.0}");
    accept(definition, "{\"name\": \"x\", \"whole\": -9223372036854775808}");
    accept(definition, "{\"name\": \"x\", \"real\": 3}");
}

static void an_optional_null_is_an_absence(void **state)
{
    const struct definition *definition = reading_fixture_accept(*state, all_types);
    accept(definition, "{\"name\": \"x\", \"whole\": null, \"thing\": null}");
    refuse(definition, "{\"name\": null}", "input.name: expected string, got null");
}

static void another_type_is_refused_with_what_came(void **state)
{
    const struct definition *definition = reading_fixture_accept(*state, all_types);
    refuse(definition, "{\"name\": 5}", "input.name: expected string, got integer 5");
    refuse(definition, "{\"name\": \"x\", \"whole\": \"x\"}",
           "input.whole: expected integer, got string \"x\"");
    refuse(definition, "{\"name\": \"x\", \"whole\": \"3\"}",
           "input.whole: expected integer, got string \"3\"");
    refuse(definition, "{\"name\": \"x\", \"whole\": 1.5}",
           "input.whole: expected integer, got number 1.5");
    refuse(definition, "{\"name\": \"x\", \"whole\": 9223372036854775808.0}",
           "input.whole: expected integer, got number 9.2233720368547758e+18");
    refuse(definition, "{\"name\": \"x\", \"real\": true}",
           "input.real: expected number, got boolean true");
    refuse(definition, "{\"name\": \"x\", \"flag\": 1}",
           "input.flag: expected boolean, got integer 1");
    refuse(definition, "{\"name\": \"x\", \"thing\": []}",
           "input.thing: expected object, got array");
    refuse(definition, "{\"name\": \"x\", \"items\": {}}",
           "input.items: expected array, got object");
    refuse(definition, "{\"name\": \"x\", \"items\": false}",
           "input.items: expected array, got boolean false");
}

static void a_missing_input_is_refused(void **state)
{
    const struct definition *definition = reading_fixture_accept(*state, all_types);
    struct fault fault;
    refuse(definition, "{}", "input.name: expected string, but it is missing");
    assert_false(definition_check_input(definition, NULL, &fault));
    assert_string_equal(fault.text, "input.name: expected string, but it is missing");
}

static void an_unknown_input_is_refused(void **state)
{
    const struct definition *definition = reading_fixture_accept(*state, all_types);
    refuse(definition, "{\"nmae\": \"x\"}",
           "input.nmae: the workflow takes no such input: did you mean `name`?");
    refuse(definition, "{\"name\": \"x\", \"colour\": null}",
           "input.colour: the workflow takes no such input");
}

static void the_input_must_be_an_object(void **state)
{
    const struct definition *definition = reading_fixture_accept(*state, all_types);
    refuse(definition, "[]", "input: expected object, got array");
    refuse(definition, "null", "input: expected object, got null");
}

static void a_workflow_without_inputs_takes_none(void **state)
{
    const struct definition *definition =
        reading_fixture_accept(*state, "workflow: a\nstart: b\nactivities: {b: {}}\n");
    struct fault fault;
    accept(definition, "{}");
    assert_true(definition_check_input(definition, NULL, &fault));
    refuse(definition, "{\"id\": 1}", "input.id: the workflow takes no such input");
}

static void long_values_are_cut_between_characters(void **state)
{
    const struct definition *definition = reading_fixture_accept(*state, all_types);
    struct text json;
    struct text words;
    text_init(&json, 100000);
    text_init(&words, 1000);
    text_add_chars(&json, "{\"name\": \"x\", \"whole\": \"a");
    text_add_chars(&words, "input.whole: expected integer, got string \"a");
    for (int i = 0; i < 10000; i++)
        text_add_chars(&json, "\xC3\xA9");
    for (int i = 0; i < 29; i++)
        text_add_chars(&words, "\xC3\xA9");
    text_add_chars(&json, "\"}");
    text_add_chars(&words, "...\"");
    refuse(definition, text_chars(&json), text_chars(&words));
    text_done(&json);
    text_done(&words);
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

int definition_input_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(inputs_of_the_declared_types_are_taken),
        cmocka_unit_test(an_optional_null_is_an_absence),
        cmocka_unit_test(another_type_is_refused_with_what_came),
        cmocka_unit_test(a_missing_input_is_refused),
        cmocka_unit_test(an_unknown_input_is_refused),
        cmocka_unit_test(the_input_must_be_an_object),
        cmocka_unit_test(a_workflow_without_inputs_takes_none),
        cmocka_unit_test(long_values_are_cut_between_characters),
    };
    return cmocka_run_group_tests_name("definition_input", tests, set_up, tear_down);
}
