#include "lock_path.h"
#include "locks_tests.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct lock_path *path_of(const char *text)
{
    struct lock_path *path = NULL;
    struct fault fault;
    if (!lock_path_parse(text, &path, &fault))
        fail_msg("\"%s\": %s", text, fault.text);
    return path;
}

static bool conflict(const char *a, const char *b)
{
    struct lock_path *path_a = path_of(a), *path_b = path_of(b);
    bool yes = lock_path_conflicts(path_a, path_b);
    assert_int_equal(yes, lock_path_conflicts(path_b, path_a));
    lock_path_free(path_a);
    lock_path_free(path_b);
    return yes;
}

static bool covers(const char *a, const char *b)
{
    struct lock_path *path_a = path_of(a), *path_b = path_of(b);
    bool yes = lock_path_covers(path_a, path_b);
    lock_path_free(path_a);
    lock_path_free(path_b);
    return yes;
}

static void assert_before(const char *a, const char *b)
{
    struct lock_path *path_a = path_of(a), *path_b = path_of(b);
    if (lock_path_compare(path_a, path_b) >= 0 || lock_path_compare(path_b, path_a) <= 0)
        fail_msg("\"%s\" does not come before \"%s\"", a, b);
    lock_path_free(path_a);
    lock_path_free(path_b);
}

static struct lock_segment segment_of(const char *chars)
{
    return (struct lock_segment){chars, strlen(chars)};
}

/* Builds a path of some segments and compares its text. */
static void assert_built(const struct lock_segment *segments, int n_segments, const char *text)
{
    struct lock_path *path = NULL;
    struct fault fault;
    assert_true(lock_path_new(segments, n_segments, &path, &fault));
    assert_string_equal(lock_path_text(path), text);
    assert_int_equal(lock_path_n_segments(path), n_segments);
    struct lock_path *again = path_of(text);
    assert_int_equal(lock_path_compare(path, again), 0);
    assert_int_equal(lock_path_n_segments(again), n_segments);
    lock_path_free(again);
    lock_path_free(path);
}

static void assert_segment_built(const char *bytes, size_t n_bytes, const char *text)
{
    struct lock_segment segment = {bytes, n_bytes};
    assert_built(&segment, 1, text);
}

static void assert_segment_refused(const char *bytes, size_t n_bytes, const char *why)
{
    struct lock_segment segments[2] = {segment_of("message"), {bytes, n_bytes}};
    struct lock_path *path = NULL;
    struct fault fault;
    assert_false(lock_path_new(segments, 2, &path, &fault));
    assert_int_equal(fault.kind, FAULT_INVALID);
    assert_string_equal(fault.text, why);
    assert_null(path);
}

static void assert_refused_at(const char *text, int offset)
{
    struct lock_path *path = NULL;
    struct fault fault;
    char where[32];
    snprintf(where, sizeof where, "byte %d:", offset);
    if (lock_path_parse(text, &path, &fault))
        fail_msg("\"%s\" was accepted", text);
    assert_int_equal(fault.kind, FAULT_INVALID);
    if (!strstr(fault.text, where))
        fail_msg("\"%s\": %s", text, fault.text);
}

static void segments_are_joined_by_slashes(void **state)
{
    (void)state;
    struct lock_segment segments[] = {segment_of("invoice"), segment_of("7"), segment_of("line")};
    assert_built(segments, 3, "invoice/7/line");
    assert_built(segments, 1, "invoice");
    assert_built(NULL, 0, "*");
}

static void bytes_with_a_meaning_are_encoded(void **state)
{
    (void)state;
    assert_segment_built("a/b", 3, "a%2Fb");
    assert_segment_built("*", 1, "%2A");
    assert_segment_built("100%", 4, "100%25");
    assert_segment_built("\0\x1f\x7f", 3, "%00%1F%7F");
    assert_segment_built(" ~.-\"'\\", 7, " ~.-\"'\\");
    assert_segment_built("gr\xc3\xbc\xc3\x9f", 6, "gr\xc3\xbc\xc3\x9f");
}

static void a_dollar_is_encoded_only_where_it_begins_the_path(void **state)
{
    (void)state;
    assert_segment_built("$key", 4, "%24key");
    assert_segment_built("$$", 2, "%24$");
    assert_segment_built("a$", 2, "a$");
    struct lock_segment segments[] = {segment_of("price"), segment_of("$5")};
    assert_built(segments, 2, "price/$5");
    assert_refused_at("a%24", 1);
    assert_refused_at("a/%24", 2);
    assert_refused_at("%24%24", 3);
}

static void segments_that_are_empty_or_too_long_are_refused(void **state)
{
    (void)state;
    char longest[256];
    memset(longest, '*', sizeof longest);
    assert_segment_refused("", 0, "segment 2 is empty");
    assert_segment_refused(longest, 256, "segment 2 is longer than 255 bytes");

    struct lock_segment segments[9];
    for (int i = 0; i < 9; i++)
        segments[i] = (struct lock_segment){longest, 255};
    struct lock_path *path = NULL, *again = NULL;
    struct fault fault;
    assert_false(lock_path_new(segments, 9, &path, &fault));
    assert_string_equal(fault.text, "a path of more than 8 segments");
    assert_true(lock_path_new(segments, 8, &path, &fault));
    assert_int_equal(strlen(lock_path_text(path)), 8 * 765 + 7);
    assert_true(lock_path_parse(lock_path_text(path), &again, &fault));
    assert_int_equal(lock_path_prefix_bytes(again, 8), 8 * 765 + 7);
    lock_path_free(path);
    lock_path_free(again);
}

static void bytes_that_are_not_utf8_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "\x80",             /* a continuation alone */
        "\xc3",             /* cut short */
        "\xe2\x82",         /* cut short */
        "\xf0\x9f\x92",     /* cut short */
        "\xc0\xaf",         /* overlong "/" */
        "\xc1\xbf",         /* overlong */
        "\xe0\x9f\xbf",     /* overlong */
        "\xf0\x8f\xbf\xbf", /* overlong */
        "\xed\xa0\x80",     /* a surrogate */
        "\xed\xbf\xbf",     /* a surrogate */
        "\xf4\x90\x80\x80", /* beyond U+10FFFF */
        "\xf5\x80\x80\x80",
        "\xff",
        "\xe2\x28\xa1",
        "\xf0\x9f\x92\x28",
    };
    static const char *const good[] = {
        "\xc2\x80",     "\xdf\xbf",         "\xe0\xa0\x80",     "\xed\x9f\xbf", "\xee\x80\x80",
        "\xef\xbf\xbf", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf", "\xe2\x82\xac", "\xf0\x9f\x94\x92",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_segment_refused(bad[i], strlen(bad[i]), "segment 2 is not valid UTF-8");
        assert_refused_at(bad[i], 0);
    }
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_segment_built(good[i], strlen(good[i]), good[i]);
}

static void only_the_canonical_text_is_parsed(void **state)
{
    (void)state;
    assert_refused_at("", 0);
    assert_refused_at("/", 0);
    assert_refused_at("a/", 2);
    assert_refused_at("a//b", 2);
    assert_refused_at("/a", 0);
    assert_refused_at("**", 0);
    assert_refused_at("*/a", 0);
    assert_refused_at("a/*", 2);
    assert_refused_at("a%2f", 1);
    assert_refused_at("a%2", 1);
    assert_refused_at("a%", 1);
    assert_refused_at("a%%", 1);
    assert_refused_at("a%41", 1);
    assert_refused_at("a%80", 1);
    assert_refused_at("a%0g", 1);
    assert_refused_at("a\n", 1);
    assert_refused_at("a\x7f", 1);
    assert_refused_at("1/2/3/4/5/6/7/8/9", 15);
    lock_path_free(path_of("1/2/3/4/5/6/7/8"));

    char text[257 + 1] = {0};
    memset(text, 'x', 256);
    assert_refused_at(text, 256);
    text[255] = '\0';
    lock_path_free(path_of(text));
}

static void own_paths_have_their_fixed_forms(void **state)
{
    (void)state;
    static const char *const good[] = {"$definitions", "$definitions/a", "$instance/1",
                                       "$key/w/k$%2F"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        lock_path_free(path_of(good[i]));
    assert_refused_at("$", 0);
    assert_refused_at("$other/1", 0);
    assert_refused_at("$definition", 0);
    assert_refused_at("$definitions/a/b", 14);
    assert_refused_at("$definitions/", 13);
    assert_refused_at("$instance", 9);
    assert_refused_at("$instance/1/2", 11);
    assert_refused_at("$key/w", 6);
    assert_refused_at("$key/w/", 7);
    assert_refused_at("$key/w/k/l", 8);

    struct lock_segment segments[] = {segment_of("w/1"), segment_of("$k"), segment_of("x")};
    struct lock_path *path = NULL;
    struct fault fault;
    assert_true(lock_path_new_own("key", segments, 2, &path, &fault));
    assert_string_equal(lock_path_text(path), "$key/w%2F1/$k");
    assert_true(lock_path_is_own(path));
    assert_true(lock_path_is_flat(path));
    lock_path_free(path);
    assert_true(lock_path_new_own("definitions", NULL, 0, &path, &fault));
    assert_string_equal(lock_path_text(path), "$definitions");
    assert_false(lock_path_is_flat(path));
    lock_path_free(path);
    assert_false(lock_path_new_own("key", segments, 1, &path, &fault));
    assert_false(lock_path_new_own("key", segments, 3, &path, &fault));
    assert_false(lock_path_new_own("instance", NULL, 0, &path, &fault));
    assert_false(lock_path_new_own("other", segments, 1, &path, &fault));
}

static void a_path_excludes_its_ancestors_and_descendants(void **state)
{
    (void)state;
    assert_true(conflict("invoice/7", "invoice/7"));
    assert_true(conflict("invoice/7", "invoice/7/line/3"));
    assert_true(conflict("invoice", "invoice/7/line/3"));
    assert_true(conflict("*", "invoice/7"));
    assert_true(conflict("*", "*"));
    assert_false(conflict("invoice/7", "invoice/8"));
    assert_false(conflict("invoice/7", "invoice/77"));
    assert_false(conflict("invoice/7/line/3", "invoice/7/line/4"));
    assert_true(covers("invoice", "invoice/7"));
    assert_false(covers("invoice/7", "invoice"));
    assert_true(covers("*", "invoice"));
    assert_false(covers("invoice", "*"));
}

static void own_paths_are_not_under_the_whole_system(void **state)
{
    (void)state;
    assert_false(conflict("*", "$definitions"));
    assert_false(conflict("*", "$instance/1"));
    assert_false(conflict("*", "$key/w/k"));
    assert_true(conflict("*", "%24key/w/k"));
    assert_true(conflict("$definitions", "$definitions/a"));
    assert_false(conflict("$definitions/a", "$definitions/b"));
    assert_true(conflict("$key/w/k", "$key/w/k"));
    assert_false(conflict("$key/w/k", "$key/w/l"));
}

static void only_proper_prefixes_that_exist_are_locked_shared(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int first_shared;
        int n_segments;
    } cases[] = {{"*", 0, 0},
                 {"a", 0, 1},
                 {"a/b", 0, 2},
                 {"$definitions", 1, 1},
                 {"$definitions/a", 1, 2},
                 {"$instance/1", 2, 2},
                 {"$key/w/k", 3, 3}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct lock_path *path = path_of(cases[i].text);
        assert_int_equal(lock_path_first_shared(path), cases[i].first_shared);
        assert_int_equal(lock_path_n_segments(path), cases[i].n_segments);
        lock_path_free(path);
    }
    struct lock_path *path = path_of("ab/%2F/c");
    assert_int_equal(lock_path_prefix_bytes(path, 0), 0);
    assert_int_equal(lock_path_prefix_bytes(path, 1), 2);
    assert_int_equal(lock_path_prefix_bytes(path, 2), 6);
    assert_int_equal(lock_path_prefix_bytes(path, 3), 8);
    lock_path_free(path);
}

static void the_order_goes_segment_by_segment(void **state)
{
    (void)state;
    static const char *const ordered[] = {
        "*",
        " /z",
        "$definitions",
        "$definitions/a",
        "$definitions/b",
        "$instance/1",
        "$key/w/k",
        "%24",
        "a",
        "a/1",
        "a/1/2",
        "a/10",
        "a/2",
        "a ",
        "a-b",
        "a-b/c",
        "a.",
        "ab",
        "b",
        "\xc3\xa9",
        "\xf0\x9f\x94\x92",
    };
    for (size_t i = 0; i < sizeof ordered / sizeof ordered[0]; i++)
        for (size_t j = i + 1; j < sizeof ordered / sizeof ordered[0]; j++)
            assert_before(ordered[i], ordered[j]);
}

static void a_key_is_the_head_of_a_sha256(void **state)
{
    (void)state;
    /* printf 'latchkey\0message/42' | sha256sum | cut -c1-16 */
    assert_int_equal(lock_key("latchkey", "*", 1), (int64_t)0x95a2d8ce5a2f7698);
    assert_int_equal(lock_key("latchkey", "message/42", 10), (int64_t)0xfc1e71b7d3ba000b);
    assert_int_equal(lock_key("latchkey", "message/421", 10), (int64_t)0xfc1e71b7d3ba000b);
    assert_int_not_equal(lock_key("latchkeym", "essage/42", 9), (int64_t)0xfc1e71b7d3ba000b);
}

int lock_path_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(segments_are_joined_by_slashes),
        cmocka_unit_test(bytes_with_a_meaning_are_encoded),
        cmocka_unit_test(a_dollar_is_encoded_only_where_it_begins_the_path),
        cmocka_unit_test(segments_that_are_empty_or_too_long_are_refused),
        cmocka_unit_test(bytes_that_are_not_utf8_are_refused),
        cmocka_unit_test(only_the_canonical_text_is_parsed),
        cmocka_unit_test(own_paths_have_their_fixed_forms),
        cmocka_unit_test(a_path_excludes_its_ancestors_and_descendants),
        cmocka_unit_test(own_paths_are_not_under_the_whole_system),
        cmocka_unit_test(only_proper_prefixes_that_exist_are_locked_shared),
        cmocka_unit_test(the_order_goes_segment_by_segment),
        cmocka_unit_test(a_key_is_the_head_of_a_sha256),
    };
    return cmocka_run_group_tests_name("lock_path", tests, NULL, NULL);
}
