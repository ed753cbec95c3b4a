/* Checks across keys: what each key allows alone and not beside another. */
#include "definitions_tests.h"
#include "reading_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const char *printed(struct reading_fixture *fixture, const char *source)
{
    (void)reading_fixture_read(fixture, "w.yaml", source, strlen(source));
    return text_chars(&fixture->printed);
}

/* What is printed about the source has a line that begins so. */
static void tells(struct reading_fixture *fixture, const char *source, const char *line)
{
    const char *all = printed(fixture, source);
    const char *found = strstr(all, line);
    if (!found || (found > all && found[-1] != '\n'))
        fail_msg("not told: %s\n--- source\n%s--- printed\n%s", line, source, all);
}

static void is_silent(struct reading_fixture *fixture, const char *source, const char *words)
{
    const char *all = printed(fixture, source);
    if (strstr(all, words))
        fail_msg("told without need: %s\n--- source\n%s--- printed\n%s", words, source, all);
}

#define ONE "workflow: a\nstart: b\nactivities:\n  b:\n"

static void an_activity_has_a_script_or_an_action(void **state)
{
    tells(*state, ONE "    script: x = 1\n    action: send\n",
          "w.yaml:6:5: error: an activity has a `script` or an `action`, not both");
    is_silent(*state, ONE "    action: send\n", "not both");
}

static void a_lease_ends_with_its_own_commit(void **state)
{
    tells(*state,
          ONE "    enable-exclusive-lock: true\n    lock-context: lock.system\n"
              "    lock-hold: lease\n    auto-commit-changes: false\n",
          "w.yaml:8:5: error: `auto-commit-changes: false` cannot go with `lock-hold: lease`");
    is_silent(*state,
              ONE "    enable-exclusive-lock: true\n    lock-context: lock.system\n"
                  "    lock-hold: lease\n    auto-commit-changes: true\n",
              "cannot go with");
}

static void auto_commit_says_nothing_beside_persist_on_close(void **state)
{
    const char *source = ONE "    enable-exclusive-lock: true\n    lock-context: lock.system\n"
                             "    auto-commit-changes: false\n    persist-on-close: true\n";
    tells(*state, source,
          "w.yaml:7:5: warning: `auto-commit-changes: false` does nothing beside "
          "`persist-on-close: true`");
    is_silent(*state, source, "keeps its lock");
}

static void a_lock_without_auto_commit_or_context_is_warned_about(void **state)
{
    tells(*state,
          ONE "    enable-exclusive-lock: true\n    lock-context: lock.system\n"
              "    auto-commit-changes: false\n",
          "w.yaml:7:5: warning: `b` keeps its lock until a later activity commits");
    tells(*state, ONE "    enable-exclusive-lock: true\n",
          "w.yaml:5:5: warning: `b` has no `lock-context`, so it locks the whole system");
    is_silent(*state, ONE "    auto-commit-changes: false\n", "keeps its lock");
}

static void lock_keys_without_the_switch_are_warned_about(void **state)
{
    tells(*state, ONE "    lock-context: lock.system\n",
          "w.yaml:5:5: warning: `lock-context` does nothing without");
    tells(*state, ONE "    lock-hold: lease\n",
          "w.yaml:5:5: warning: `lock-hold` does nothing without");
    tells(*state, ONE "    enable-exclusive-lock: false\n    acquire-timeout: 5s\n",
          "w.yaml:6:5: warning: `acquire-timeout` does nothing without");
    is_silent(*state, ONE "    waiting-timeout: 5s\n", "does nothing");
}

static void a_timer_cannot_give_what_the_workflow_needs(void **state)
{
    tells(*state,
          "workflow: a\nstart: b\ninput:\n  note?: string\n  id: integer\ntriggers:\n"
          "  - event: paid\n  - every: 10m\nactivities: {b: {}}\n",
          "w.yaml:8:5: error: a timer starts the workflow without input, but `id` is required: "
          "make it optional, `id?`");
    is_silent(*state,
              "workflow: a\nstart: b\ninput: {id?: integer}\ntriggers: [{every: 10m}]\n"
              "activities: {b: {}}\n",
              "a timer");
    is_silent(*state,
              "workflow: a\nstart: b\ninput: {id: integer}\ntriggers: [{event: paid}]\n"
              "activities: {b: {}}\n",
              "a timer");
}

static void the_same_trigger_stands_once(void **state)
{
    tells(*state,
          "workflow: a\nstart: b\ntriggers:\n  - event: x\n  - event: y\n  - event: x\n"
          "activities: {b: {}}\n",
          "w.yaml:6:5: error: the same trigger stands on line 4");
    tells(*state,
          "workflow: a\nstart: b\ntriggers:\n  - every: 1m\n  - every: 60s\n"
          "activities: {b: {}}\n",
          "w.yaml:5:5: error: the same trigger stands on line 4");
    is_silent(*state,
              "workflow: a\nstart: b\ntriggers: [{every: 1m}, {every: 1h}, {event: x}]\n"
              "activities: {b: {}}\n",
              "same trigger");
}

static void a_trigger_is_an_event_or_a_timer(void **state)
{
    tells(*state,
          "workflow: a\nstart: b\ntriggers:\n  - {event: x, every: 5s}\nactivities: {b: {}}\n",
          "w.yaml:4:5: error: a trigger has either `event` or `every`");
    tells(*state, "workflow: a\nstart: b\ntriggers:\n  - {}\nactivities: {b: {}}\n",
          "w.yaml:4:5: error: a trigger has either `event` or `every`");
    tells(*state, "workflow: a\nstart: b\ntriggers:\n  - every: 999ms\nactivities: {b: {}}\n",
          "w.yaml:4:12: error: every: the duration must be from 1s to 365d");
}

static void navigation_goes_to_activities_that_exist(void **state)
{
    tells(*state, ONE "    navigation:\n      - to: c\n",
          "w.yaml:6:13: error: to: there is no activity `c`");
    tells(*state,
          "workflow: a\nstart: pay\nactivities:\n  pay:\n    navigation: [{to: shop}]\n"
          "  ship: {}\n",
          "w.yaml:5:23: error: to: there is no activity `shop`: did you mean `ship`?");
}

static void what_no_navigation_reaches_is_warned_about(void **state)
{
    tells(*state,
          "workflow: a\nstart: b\nactivities:\n  b: {navigation: [{to: c}]}\n  c: {}\n"
          "  d: {navigation: [{to: e}]}\n  e: {}\n",
          "w.yaml:6:3: warning: no navigation leads from `b` to `d`, so it never runs");
    is_silent(*state,
              "workflow: a\nstart: b\nactivities:\n  b: {navigation: [{to: c}]}\n"
              "  c: {navigation: [{to: d}]}\n  d: {}\n",
              "no navigation leads");
}

static void a_round_without_end_is_warned_about(void **state)
{
    static const char *const open[] = {
        "workflow: a\nstart: b\nactivities:\n  b: {navigation: [{to: c}]}\n"
        "  c: {wait-for: more, navigation: [{to: b}]}\n",
        "workflow: a\nstart: b\nactivities:\n  b: {navigation: [{to: c, rule: vars.x}, {to: b}]}\n"
        "  c: {}\n",
        "workflow: a\nstart: b\nactivities:\n  b: {guard: vars.x, navigation: [{to: b}]}\n",
        "workflow: a\nstart: b\nactivities:\n  b: {navigation: [{to: c}]}\n  c: {}\n", NULL};
    tells(*state, ONE "    navigation:\n      - to: b\n",
          "w.yaml:5:5: warning: this leads back to `b` for ever");
    tells(*state,
          "workflow: a\nstart: b\nactivities:\n  b:\n    navigation: [{to: c}]\n"
          "  c:\n    navigation: [{to: d}]\n  d:\n    navigation: [{to: c}]\n",
          "w.yaml:9:5: warning: this leads back to `c` for ever");
    for (const char *const *each = open; *each; each++)
        is_silent(*state, *each, "for ever");
}

static void event_is_nil_where_none_comes(void **state)
{
    tells(*state, ONE "    guard: event.paid\n",
          "w.yaml:5:5: warning: `guard` uses `event`, which is always nil here");
    tells(*state, ONE "    script: |\n      local x = 1\n      vars.x = event.paid\n",
          "w.yaml:5:5: warning: `script` uses `event`, which is always nil here");
    tells(*state, ONE "    navigation:\n      - to: b\n        rule: event.again\n",
          "w.yaml:5:5: warning: `navigation` uses `event`, which is always nil here");
    tells(*state,
          "workflow: a\nstart: b\ntriggers: [{every: 1h}]\nactivities: {b: {guard: event.x}}\n",
          "w.yaml:4:18: warning: `guard` uses `event`, which is always nil here");
    is_silent(*state, ONE "    wait-for: paid\n    guard: event.paid\n", "always nil");
    is_silent(*state,
              "workflow: a\nstart: b\ntriggers: [{event: x}]\nactivities: {b: {guard: event.x}}\n",
              "always nil");
    is_silent(*state, ONE "    script: local event = {} vars.x = event.y\n", "always nil");
    is_silent(*state, ONE "    script: vars.event = 1 vars.x = \"event\" -- event\n", "always nil");
}

static void names_that_nobody_declared_are_warned_about(void **state)
{
#define DECLARED                                                                                   \
    "workflow: a\nstart: b\ninput: {id: integer}\ndata: {message: {table: t, key: {id: 5}}}\n"     \
    "activities:\n  b:\n"
    tells(*state, DECLARED "    guard: data.mesage.open\n",
          "w.yaml:7:12: warning: guard: data.mesage is not declared under `data`: did you mean "
          "data.message?");
    tells(*state, DECLARED "    script: |\n      local x = 1\n      vars.n = input.ids\n",
          "w.yaml:9:1: warning: script: input.ids is not declared under `input`: did you mean "
          "input.id?");
    tells(*state, DECLARED "    script: data.other.read = 5\n",
          "w.yaml:7:13: warning: script: data.other is not declared under `data`");
    tells(*state, DECLARED "    guard: lock.token > 5\n",
          "w.yaml:7:12: warning: guard: lock.token is nil in a guard: only lock.system");
    is_silent(*state, DECLARED "    script: vars.n = lock.token\n", "lock.token");
    is_silent(*state, DECLARED "    script: data.message.read = input.id\n", "not declared");
    is_silent(*state, DECLARED "    script: local data = {} vars.x = data.other\n", "not declared");
    is_silent(*state, DECLARED "    script: input.more = 5\n", "not declared");
#undef DECLARED
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

int definition_check_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_activity_has_a_script_or_an_action),
        cmocka_unit_test(a_lease_ends_with_its_own_commit),
        cmocka_unit_test(auto_commit_says_nothing_beside_persist_on_close),
        cmocka_unit_test(a_lock_without_auto_commit_or_context_is_warned_about),
        cmocka_unit_test(lock_keys_without_the_switch_are_warned_about),
        cmocka_unit_test(a_timer_cannot_give_what_the_workflow_needs),
        cmocka_unit_test(the_same_trigger_stands_once),
        cmocka_unit_test(a_trigger_is_an_event_or_a_timer),
        cmocka_unit_test(navigation_goes_to_activities_that_exist),
        cmocka_unit_test(what_no_navigation_reaches_is_warned_about),
        cmocka_unit_test(a_round_without_end_is_warned_about),
        cmocka_unit_test(event_is_nil_where_none_comes),
        cmocka_unit_test(names_that_nobody_declared_are_warned_about),
    };
    return cmocka_run_group_tests_name("definition_check", tests, set_up, tear_down);
}
