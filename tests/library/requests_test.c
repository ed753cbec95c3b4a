/* What a program asks of a host, and what it is told. */
#include "desk.h"

#include <event2/event.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const char waiting_twice[] = "workflow: two-steps\n"
                                    "start: first\n"
                                    "activities:\n"
                                    "  first:\n"
                                    "    script: output.step = 1\n"
                                    "    navigation: [{to: second}]\n"
                                    "  second:\n"
                                    "    wait-for: go\n"
                                    "    script: output.payload = event.payload\n";

static void a_workflow_is_published_and_run(void **state)
{
    struct desk *desk = *state;
    struct latchkey *host = desk_start(desk);
    desk_publish(desk, host, counting);
    struct answer answer = desk_run(desk, host, "counting", "{\"id\":7}");
    assert_int_equal(answer.status, LATCHKEY_COMPLETED);
    assert_string_equal(answer.workflow, "counting");
    assert_string_equal(answer.activity, "add");
    assert_string_equal(answer.output, "{\"n\":1}");
    assert_string_equal(answer.reason, "");
    assert_string_equal(answer.path, "counter/7");
    assert_int_equal(answer.n_paths, 1);
    assert_int_equal(answer.version, 1);
    assert_int_equal(strlen(answer.id), 36);
    assert_non_null(strstr(answer.json, "\"status\":\"completed\""));
    assert_non_null(strstr(answer.json, answer.id));
    assert_int_equal(fixture_int(desk->sql, "SELECT n FROM counter WHERE id = 7"), 1);
    latchkey_free(host);
}

/* All at once, before the host was even started, and the definition among them. */
static void requests_wait_for_the_start_and_for_publishings_before_them(void **state)
{
    struct desk *desk = *state;
    struct latchkey *host = desk_host(desk);
    struct answer answers[5] = {0};
    struct word published = {0}, started = {0};
    OK(latchkey_publish(host, "test.yaml", counting, -1, on_published, &published, &why));
    for (int i = 0; i < 5; i++)
        OK(latchkey_submit(host, "counting", "{\"id\":1}", NULL, on_answer, &answers[i], &why));
    desk_turn(desk, 20);
    assert_int_equal(latchkey_n_running(host), 6);
    assert_false(published.told);
    OK(latchkey_start(host, on_started, &started, &why));
    assert_false(started.told);
    for (int i = 0; i < 5; i++) {
        desk_wait(desk, &answers[i].told);
        assert_int_equal(answers[i].status, LATCHKEY_COMPLETED);
    }
    assert_true(started.told && published.told && published.changed);
    assert_int_equal(published.version, 1);
    assert_string_equal(published.workflow, "counting");
    assert_int_equal(latchkey_n_running(host), 0);
    assert_int_equal(fixture_int(desk->sql, "SELECT n FROM counter WHERE id = 1"), 5);
    latchkey_free(host);
}

static void a_file_is_published_once_and_found(void **state)
{
    struct desk *desk = *state;
    struct latchkey *host = desk_start(desk);
    char file[] = "/tmp/latchkey-test-XXXXXX";
    struct word first = {0}, again = {0}, found = {0}, none = {0}, stale = {0};
    int fd = mkstemp(file);
    assert_int_equal(write(fd, counting, strlen(counting)), strlen(counting));
    close(fd);
    OK(latchkey_publish_file(host, file, 0, on_published, &first, &why));
    desk_wait(desk, &first.told);
    assert_true(first.changed);
    OK(latchkey_publish_file(host, file, -1, on_published, &again, &why));
    OK(latchkey_find(host, "counting", on_published, &found, &why));
    OK(latchkey_find(host, "nothing", on_published, &none, &why));
    OK(latchkey_publish(host, "test.yaml", "workflow: counting\nstart: a\nactivities: {a: {}}\n", 0,
                        on_published, &stale, &why));
    desk_wait(desk, &again.told);
    desk_wait(desk, &found.told);
    desk_wait(desk, &none.told);
    desk_wait(desk, &stale.told);
    assert_false(again.failed || again.changed);
    assert_int_equal(found.version, 1);
    assert_int_equal(none.fault.kind, LATCHKEY_FAULT_MISSING);
    assert_int_equal(stale.fault.kind, LATCHKEY_FAULT_CONFLICT);
    unlink(file);
    latchkey_free(host);
}

static void what_is_wrong_is_told_at_once_or_as_a_result(void **state)
{
    struct desk *desk = *state;
    struct latchkey *host = desk_start(desk);
    struct latchkey_fault fault;
    struct answer answer = {0};
    assert_false(latchkey_publish(host, "bad.yaml", "workflow: a\nstart: b\nactivitys: {}\n", -1,
                                  NULL, NULL, &fault));
    assert_int_equal(fault.kind, LATCHKEY_FAULT_INVALID);
    assert_non_null(strstr(fault.text, "bad.yaml:"));
    assert_false(latchkey_publish_file(host, "/nowhere.yaml", -1, NULL, NULL, &fault));
    assert_non_null(strstr(fault.text, "/nowhere.yaml"));
    assert_false(latchkey_submit(host, "counting", "{\"id\":", NULL, on_answer, &answer, &fault));
    assert_int_equal(fault.kind, LATCHKEY_FAULT_INVALID);
    assert_int_equal(latchkey_n_running(host), 0);

    answer = desk_run(desk, host, "nothing", NULL);
    assert_int_equal(answer.status, LATCHKEY_MISSING);
    assert_string_equal(answer.workflow, "nothing");
    desk_publish(desk, host, counting);
    answer = desk_run(desk, host, "counting", "{\"id\":\"seven\"}");
    assert_int_equal(answer.status, LATCHKEY_INVALID);
    answer = desk_run(desk, host, "counting", "{\"id\":99}");
    assert_int_equal(answer.status, LATCHKEY_MISSING);
    answer = (struct answer){0};
    OK(latchkey_resume(host, "0190a0b0-0000-7000-8000-000000000000", on_answer, &answer, &why));
    desk_wait(desk, &answer.told);
    assert_int_equal(answer.status, LATCHKEY_MISSING);
    latchkey_free(host);
}

static void a_key_is_executed_once(void **state)
{
    struct desk *desk = *state;
    struct latchkey *host = desk_start(desk);
    struct answer one = {0}, two = {0}, three = {0};
    desk_publish(desk, host, counting);
    OK(latchkey_submit(host, "counting", "{\"id\":2}", "order 1", on_answer, &one, &why));
    OK(latchkey_submit(host, "counting", "{\"id\":2}", "order 1", on_answer, &two, &why));
    desk_wait(desk, &one.told);
    desk_wait(desk, &two.told);
    assert_int_equal(one.status, LATCHKEY_COMPLETED);
    assert_int_equal(two.status, LATCHKEY_COMPLETED);
    assert_int_equal(one.replayed + two.replayed, 1);
    assert_string_equal(one.id, two.id);
    OK(latchkey_submit(host, "counting", "{\"id\":3}", "order 1", on_answer, &three, &why));
    desk_wait(desk, &three.told);
    assert_int_equal(three.status, LATCHKEY_INVALID);
    assert_int_equal(fixture_int(desk->sql, "SELECT sum(n) FROM counter"), 1);
    latchkey_free(host);
}

static void an_idle_instance_goes_on_with_its_event(void **state)
{
    struct desk *desk = *state;
    struct latchkey *host = desk_start(desk);
    struct answer wrong = {0}, right = {0};
    desk_publish(desk, host, waiting_twice);
    struct answer first = desk_run(desk, host, "two-steps", NULL);
    assert_int_equal(first.status, LATCHKEY_IDLE);
    OK(latchkey_deliver(host, first.id, "stop", NULL, on_answer, &wrong, &why));
    desk_wait(desk, &wrong.told);
    assert_int_equal(wrong.status, LATCHKEY_BLOCKED);
    OK(latchkey_deliver(host, first.id, "go", "[1,2]", on_answer, &right, &why));
    desk_wait(desk, &right.told);
    assert_int_equal(right.status, LATCHKEY_COMPLETED);
    assert_non_null(strstr(right.output, "[1,2]"));
    latchkey_free(host);
}

static void background_work_is_done_by_a_host_that_was_told_to(void **state)
{
    struct desk *desk = *state;
    struct latchkey *lazy = desk_start(desk), *busy = desk_host(desk);
    struct answer queued = {0};
    desk_publish(desk, lazy, counting);
    OK(latchkey_enqueue(lazy, "counting", "{\"id\":4}", NULL, 5, on_answer, &queued, &why));
    desk_wait(desk, &queued.told);
    assert_int_equal(queued.status, LATCHKEY_QUEUED);
    assert_int_equal(strlen(queued.id), 36);
    desk_turn(desk, 300);
    assert_int_equal(fixture_int(desk->sql, "SELECT n FROM counter WHERE id = 4"), 0);
    OK(latchkey_work(busy, 0, &why));
    OK(latchkey_start(busy, NULL, NULL, &why));
    for (int i = 0; i < 600 && !fixture_int(desk->sql, "SELECT n FROM counter WHERE id = 4"); i++)
        desk_turn(desk, 100);
    assert_int_equal(fixture_int(desk->sql, "SELECT n FROM counter WHERE id = 4"), 1);
    latchkey_free(busy);
    latchkey_free(lazy);
}

static void definitions_are_reloaded_and_refreshed(void **state)
{
    struct desk *desk = *state;
    struct latchkey *host = desk_start(desk);
    struct word reloaded = {0}, refreshed = {0}, refused = {0};
    OK(latchkey_reload(host, "samples/message-read", on_report, &reloaded, &why));
    desk_wait(desk, &reloaded.told);
    assert_non_null(strstr(reloaded.report, "\"status\":\"reloaded\""));
    assert_non_null(strstr(reloaded.report, "message-read"));
    OK(latchkey_refresh(host, "message-read", on_report, &refreshed, &why));
    desk_wait(desk, &refreshed.told);
    assert_non_null(strstr(refreshed.report, "\"refreshed\":[\"message-read\"]"));
    OK(latchkey_reload(host, "/nowhere", on_report, &refused, &why));
    desk_wait(desk, &refused.told);
    assert_int_equal(refused.fault.kind, LATCHKEY_FAULT_INVALID);
    latchkey_free(host);
}

static const char rung[] = "workflow: rung\n"
                           "input: {id: integer}\n"
                           "data:\n"
                           "  row: {table: counter, key: {id: input.id}}\n"
                           "start: x\n"
                           "triggers: [{event: bell}]\n"
                           "activities:\n"
                           "  x: {script: data.row.n = data.row.n + 1}\n";

/* Also when it is asked for in one go with the publishing that makes the trigger. */
static void an_event_starts_the_workflows_that_it_triggers(void **state)
{
    struct desk *desk = *state;
    struct latchkey *host = desk_host(desk);
    struct word emitted = {0}, unheard = {0}, wrong = {0}, cut = {0};
    struct latchkey_fault fault;
    OK(latchkey_work(host, 0, &why));
    OK(latchkey_start(host, NULL, NULL, &why));
    OK(latchkey_publish(host, "rung.yaml", rung, -1, NULL, NULL, &why));
    OK(latchkey_emit(host, "bell", "{\"id\":6}", on_report, &emitted, &why));
    assert_int_equal(latchkey_n_running(host), 2);
    desk_wait(desk, &emitted.told);
    assert_non_null(strstr(emitted.report, "{\"started\":[{\"workflow\":\"rung\",\"instance\":\""));
    for (int i = 0; i < 600 && !fixture_int(desk->sql, "SELECT n FROM counter WHERE id = 6"); i++)
        desk_turn(desk, 100);
    assert_int_equal(fixture_int(desk->sql, "SELECT n FROM counter WHERE id = 6"), 1);
    OK(latchkey_emit(host, "gong", NULL, on_report, &unheard, &why));
    desk_wait(desk, &unheard.told);
    assert_string_equal(unheard.report, "{\"started\":[]}");
    OK(latchkey_emit(host, "bell", "[1]", on_report, &wrong, &why));
    desk_wait(desk, &wrong.told);
    assert_int_equal(wrong.fault.kind, LATCHKEY_FAULT_INVALID);
    assert_false(latchkey_emit(host, "bell", "{", on_report, &wrong, &fault));
    assert_int_equal(fault.kind, LATCHKEY_FAULT_INVALID);
    assert_int_equal(latchkey_n_running(host), 0);
    OK(latchkey_emit(host, "bell", "{\"id\":6}", on_report, &cut, &why));
    latchkey_free(host);
    assert_true(cut.told);
    assert_true(cut.failed);
}

int requests_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_workflow_is_published_and_run, desk_clear),
        cmocka_unit_test_setup(requests_wait_for_the_start_and_for_publishings_before_them,
                               desk_clear),
        cmocka_unit_test_setup(a_file_is_published_once_and_found, desk_clear),
        cmocka_unit_test_setup(what_is_wrong_is_told_at_once_or_as_a_result, desk_clear),
        cmocka_unit_test_setup(a_key_is_executed_once, desk_clear),
        cmocka_unit_test_setup(an_idle_instance_goes_on_with_its_event, desk_clear),
        cmocka_unit_test_setup(background_work_is_done_by_a_host_that_was_told_to, desk_clear),
        cmocka_unit_test_setup(definitions_are_reloaded_and_refreshed, desk_clear),
        cmocka_unit_test_setup(an_event_starts_the_workflows_that_it_triggers, desk_clear),
    };
    return cmocka_run_group_tests_name("requests", tests, desk_open, desk_close);
}
