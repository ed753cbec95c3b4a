#include "lock_set.h"
#include "locks_tests.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
    N_TEXTS_MAX = 64,
    LIST_BYTES = 8192,
};

static bool try_set_of(const char *const *texts, struct lock_set **out, struct fault *fault)
{
    struct lock_path *paths[N_TEXTS_MAX] = {NULL};
    int n = 0;
    for (; texts[n]; n++)
        assert_true(lock_path_parse(texts[n], &paths[n], fault));
    bool ok = lock_set_new(paths, n, "latchkey", out, fault);
    for (int i = 0; i < n; i++)
        lock_path_free(paths[i]);
    return ok;
}

static struct lock_set *set_of(const char *const *texts)
{
    struct lock_set *set = NULL;
    struct fault fault;
    if (!try_set_of(texts, &set, &fault))
        fail_msg("%s", fault.text);
    return set;
}

#define SET(...) set_of((const char *const[]){__VA_ARGS__, NULL})

/* "paths | entries", entries with S or X before them. Frees the set. */
static void assert_is(struct lock_set *set, const char *expected)
{
    char list[LIST_BYTES];
    size_t used = 0;
    for (int i = 0; i < lock_set_n_paths(set); i++)
        used += (size_t)snprintf(list + used, sizeof list - used, "%s ", lock_set_path(set, i));
    used += (size_t)snprintf(list + used, sizeof list - used, "|");
    for (int i = 0; i < lock_set_n_entries(set); i++) {
        const struct lock_entry *entry = lock_set_entry(set, i);
        used += (size_t)snprintf(list + used, sizeof list - used, " %c:%s",
                                 entry->exclusive ? 'X' : 'S', entry->text);
        assert_int_equal(entry->key, lock_key("latchkey", entry->text, strlen(entry->text)));
    }
    assert_string_equal(list, expected);
    lock_set_free(set);
}

static void a_path_locks_its_prefixes_shared(void **state)
{
    (void)state;
    assert_is(SET("message/42"), "message/42 | S:* S:message X:message/42");
    assert_is(SET("*"), "* | X:*");
    assert_is(SET("a"), "a | S:* X:a");
    assert_is(SET("a/b/c/d"), "a/b/c/d | S:* S:a S:a/b S:a/b/c X:a/b/c/d");
}

static void own_paths_lock_no_system(void **state)
{
    (void)state;
    assert_is(SET("$definitions/a"), "$definitions/a | S:$definitions X:$definitions/a");
    assert_is(SET("$definitions"), "$definitions | X:$definitions");
    assert_is(SET("$instance/1"), "$instance/1 | X:$instance/1");
    assert_is(SET("$key/w/k"), "$key/w/k | X:$key/w/k");
}

static void duplicates_and_covered_paths_are_dropped(void **state)
{
    (void)state;
    assert_is(SET("a/1", "a/1"), "a/1 | S:* S:a X:a/1");
    assert_is(SET("a/1/2", "a", "a/3"), "a | S:* X:a");
    assert_is(SET("a/1", "*", "b"), "* | X:*");
    assert_is(SET("a/1", "a/10", "a-1"), "a/1 a/10 a-1 | S:* S:a X:a/1 X:a/10 X:a-1");
    assert_is(SET("$definitions/a", "$definitions"), "$definitions | X:$definitions");
}

static void the_whole_system_covers_what_sorts_after_own_paths(void **state)
{
    (void)state;
    assert_is(SET("a/1", "$key/w/k", "*", " b"), "* $key/w/k | X:* X:$key/w/k");
}

static void each_prefix_is_taken_once_and_in_order(void **state)
{
    (void)state;
    assert_is(SET("a-b", "a/1"), "a/1 a-b | S:* S:a X:a/1 X:a-b");
    assert_is(SET("a-b", "a"), "a a-b | S:* X:a X:a-b");
    assert_is(SET("b/2/y", "b/1", "b/2/x", "a/1"),
              "a/1 b/1 b/2/x b/2/y | S:* S:a X:a/1 S:b X:b/1 S:b/2 X:b/2/x X:b/2/y");
    assert_is(SET("a/1", "$instance/1", " z"),
              " z $instance/1 a/1 | S:* X: z X:$instance/1 S:a X:a/1");
    assert_is(SET("$definitions/b", "$definitions/a"),
              "$definitions/a $definitions/b | S:$definitions X:$definitions/a X:$definitions/b");
}

static void the_given_order_does_not_matter(void **state)
{
    (void)state;
    struct lock_set *a = SET("b", "a/1", "c"), *b = SET("c", "c/1", "b", "a/1");
    assert_true(lock_set_equal(a, b));
    struct lock_set *c = SET("b", "a/1");
    assert_false(lock_set_equal(a, c));
    lock_set_free(a);
    lock_set_free(b);
    lock_set_free(c);
}

static void more_than_32_paths_are_refused(void **state)
{
    (void)state;
    char texts[40][16];
    const char *list[N_TEXTS_MAX] = {0};
    struct lock_set *set = NULL;
    struct fault fault;
    for (int i = 0; i < 33; i++) {
        snprintf(texts[i], sizeof texts[i], "m/%d", i);
        list[i] = texts[i];
    }
    assert_false(try_set_of(list, &set, &fault));
    assert_int_equal(fault.kind, FAULT_INVALID);
    assert_string_equal(fault.text, "more than 32 paths");
    list[32] = "$instance/1";
    list[33] = "$key/w/k";
    assert_true(try_set_of(list, &set, &fault));
    assert_int_equal(lock_set_n_paths(set), 34);
    assert_int_equal(lock_set_n_entries(set), 36);
    lock_set_free(set);
    list[34] = "m/0";
    assert_true(try_set_of(list, &set, &fault));
    lock_set_free(set);
    list[0] = NULL;
    assert_false(try_set_of(list, &set, &fault));
    assert_int_equal(fault.kind, FAULT_INVALID);
}

static bool sets_conflict(struct lock_set *a, struct lock_set *b)
{
    bool yes = lock_set_conflicts(a, b);
    assert_int_equal(yes, lock_set_conflicts(b, a));
    lock_set_free(a);
    lock_set_free(b);
    return yes;
}

static bool set_covers(struct lock_set *held, struct lock_set *wanted)
{
    bool yes = lock_set_covers(held, wanted);
    lock_set_free(held);
    lock_set_free(wanted);
    return yes;
}

static void sets_conflict_by_any_pair_of_paths(void **state)
{
    (void)state;
    assert_true(sets_conflict(SET("a", "b/1"), SET("c", "b/1/x")));
    assert_true(sets_conflict(SET("*"), SET("c", "$key/w/k")));
    assert_false(sets_conflict(SET("*"), SET("$instance/1", "$key/w/k")));
    assert_false(sets_conflict(SET("a/1", "b"), SET("a/2", "a-1")));
}

static void a_set_covers_another_if_it_covers_every_path(void **state)
{
    (void)state;
    assert_true(set_covers(SET("a", "b"), SET("b/1", "a/2/3")));
    assert_false(set_covers(SET("a", "b"), SET("b/1", "c")));
    assert_false(set_covers(SET("a/1"), SET("a")));
    assert_true(set_covers(SET("*"), SET("a", "b/1")));
    assert_false(set_covers(SET("*"), SET("a", "$instance/1")));
}

int lock_set_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_path_locks_its_prefixes_shared),
        cmocka_unit_test(own_paths_lock_no_system),
        cmocka_unit_test(duplicates_and_covered_paths_are_dropped),
        cmocka_unit_test(the_whole_system_covers_what_sorts_after_own_paths),
        cmocka_unit_test(each_prefix_is_taken_once_and_in_order),
        cmocka_unit_test(the_given_order_does_not_matter),
        cmocka_unit_test(more_than_32_paths_are_refused),
        cmocka_unit_test(sets_conflict_by_any_pair_of_paths),
        cmocka_unit_test(a_set_covers_another_if_it_covers_every_path),
    };
    return cmocka_run_group_tests_name("lock_set", tests, NULL, NULL);
}
