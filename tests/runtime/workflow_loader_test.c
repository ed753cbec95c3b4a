/* The loader of definition versions: each is read and compiled once in a host, off the loop. */
#include "runtime_fixture.h"
#include "runtime_tests.h"

#include "runtime_state.h"
#include "workflow_loader.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char DEFINITION[] = "workflow: counter\n"
                                 "start: only\n"
                                 "activities:\n"
                                 "  only:\n"
                                 "    script: output.answer = %d\n";

struct loaded {
    bool told;
    struct workflow *workflow;
    struct fault fault;
};

static void on_loaded(struct workflow *workflow, const struct fault *fault, void *arg)
{
    struct loaded *loaded = arg;
    assert_false(loaded->told);
    assert_true((workflow == NULL) == (fault != NULL));
    loaded->told = true;
    loaded->workflow = workflow;
    if (fault)
        loaded->fault = *fault;
}

static struct workflow_load *get(struct host *host, int version, struct loaded *loaded)
{
    struct workflow_load *load = NULL;
    struct fault fault;
    *loaded = (struct loaded){0};
    assert_true(workflow_loader_get(host_runtime(host), "counter", version, on_loaded, loaded,
                                    &load, &fault));
    assert_false(loaded->told);
    return load;
}

static void turn_until_told(struct runtime_fixture *fixture, const struct loaded *loaded)
{
    for (int i = 0; i < 3000 && !loaded->told; i++)
        runtime_fixture_turn(fixture, 10);
    assert_true(loaded->told);
}

/* Versions 1 and 2, published by a host that is gone. */
static void publish_two(struct runtime_fixture *fixture)
{
    runtime_fixture_tables(fixture, "SELECT 1");
    struct host *host = host_start(fixture, NULL);
    for (int version = 1; version <= 2; version++) {
        char text[512];
        snprintf(text, sizeof text, DEFINITION, version);
        assert_int_equal(workflow_version(host_publish(host, text)), version);
    }
    host_stop(host);
}

static void a_version_is_compiled_once_for_all_who_ask(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct loaded one, two, latest, later;
    publish_two(fixture);
    struct host *host = host_start(fixture, NULL);
    get(host, 1, &one);
    get(host, 1, &two);
    get(host, 0, &latest);
    turn_until_told(fixture, &one);
    turn_until_told(fixture, &two);
    turn_until_told(fixture, &latest);
    assert_non_null(one.workflow);
    assert_int_equal(workflow_version(one.workflow), 1);
    assert_ptr_equal(one.workflow, two.workflow);
    assert_int_equal(workflow_version(latest.workflow), 2);
    get(host, 2, &later);
    turn_until_told(fixture, &later);
    assert_ptr_equal(later.workflow, latest.workflow);
    struct outcome outcome = {0};
    host_submit(host, one.workflow, "{}", &outcome);
    runtime_fixture_wait(fixture);
    assert_string_equal(outcome.output, "{\"answer\":1}");
    host_stop(host);
}

static void an_unknown_version_is_missing(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct loaded third;
    publish_two(fixture);
    struct host *host = host_start(fixture, NULL);
    get(host, 3, &third);
    turn_until_told(fixture, &third);
    assert_null(third.workflow);
    assert_int_equal(third.fault.kind, FAULT_MISSING);
    assert_non_null(strstr(third.fault.text, "no version 3"));
    host_stop(host);
}

static void a_version_that_this_program_cannot_read_is_told_with_its_place(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct loaded third, first;
    publish_two(fixture);
    fixture_exec(fixture->sql, "INSERT INTO latchkey.definition VALUES"
                               " ('counter', 3, E'workflow: counter\\nfuture: key\\n', 'x',"
                               " now(), 'a newer program')");
    struct host *host = host_start(fixture, NULL);
    get(host, 3, &third);
    get(host, 1, &first);
    turn_until_told(fixture, &third);
    turn_until_told(fixture, &first);
    assert_null(third.workflow);
    assert_int_equal(third.fault.kind, FAULT_INVALID);
    assert_non_null(strstr(third.fault.text, "version 3, line 1"));
    assert_non_null(first.workflow);
    host_stop(host);
}

static void who_withdraws_is_not_told(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct loaded kept, withdrawn, late;
    publish_two(fixture);
    struct host *host = host_start(fixture, NULL);
    struct workflow_load *load = get(host, 1, &withdrawn);
    get(host, 1, &kept);
    workflow_loader_cancel(load);
    turn_until_told(fixture, &kept);
    assert_false(withdrawn.told);
    workflow_loader_cancel(get(host, 1, &late)); /* of a version that is ready */
    runtime_fixture_turn(fixture, 50);
    assert_false(late.told);
    host_stop(host);
}

static void the_end_of_the_host_tells_who_still_waits(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct loaded waiting;
    publish_two(fixture);
    struct host *host = host_start(fixture, NULL);
    get(host, 1, &waiting);
    host_stop(host);
    assert_true(waiting.told);
    assert_int_equal(waiting.fault.kind, FAULT_CANCELLED);
}

int workflow_loader_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_version_is_compiled_once_for_all_who_ask),
        cmocka_unit_test(an_unknown_version_is_missing),
        cmocka_unit_test(a_version_that_this_program_cannot_read_is_told_with_its_place),
        cmocka_unit_test(who_withdraws_is_not_told),
        cmocka_unit_test(the_end_of_the_host_tells_who_still_waits),
    };
    return cmocka_run_group_tests_name("workflow_loader", tests, runtime_fixture_setup,
                                       runtime_fixture_teardown);
}
