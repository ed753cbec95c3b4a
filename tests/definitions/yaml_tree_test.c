#include "definitions_tests.h"
#include "yaml_tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct yaml_tree_limits limits = {.n_bytes = 1 << 20, .depth = 32, .n_nodes = 10000};

struct tree_fixture {
    struct region region;
    struct problems problems;
    struct text printed;
    struct yaml_tree *root;
};

static struct yaml_tree *read_bytes(struct tree_fixture *fixture, const char *bytes, size_t n_bytes)
{
    region_done(&fixture->region);
    problems_done(&fixture->problems);
    text_clear(&fixture->printed);
    fixture->root = yaml_tree_read(bytes, n_bytes, limits, &fixture->region, &fixture->problems);
    problems_sort(&fixture->problems);
    problems_print(&fixture->problems, "f", &fixture->printed);
    return fixture->root;
}

static struct yaml_tree *read_text(struct tree_fixture *fixture, const char *text)
{
    return read_bytes(fixture, text, strlen(text));
}

static void assert_place(const struct yaml_tree *node, int line, int column)
{
    assert_non_null(node);
    assert_int_equal(node->line, line);
    assert_int_equal(node->column, column);
}

static void assert_text(const struct yaml_tree *node, const char *text, enum yaml_tree_style style)
{
    assert_non_null(node);
    assert_int_equal(node->kind, YAML_TREE_TEXT);
    assert_string_equal(node->text, text);
    assert_int_equal(node->n_bytes, strlen(text));
    assert_int_equal(node->style, style);
}

static void keys_and_values_have_their_places(void **state)
{
    struct tree_fixture *fixture = *state;
    const struct yaml_tree *root = read_text(fixture, "a: 1\nbc:\n  - x\n  - {d: é, e: [1]}\n");
    assert_non_null(root);
    assert_int_equal(root->kind, YAML_TREE_MAPPING);
    assert_int_equal(root->n_children, 2);
    assert_place(yaml_tree_child(root, "a"), 1, 4);
    assert_place(yaml_tree_child(root, "a")->key, 1, 1);
    const struct yaml_tree *list = yaml_tree_child(root, "bc");
    assert_place(list, 3, 3);
    assert_int_equal(list->kind, YAML_TREE_LIST);
    assert_false(list->flow);
    assert_int_equal(list->n_children, 2);
    assert_place(list->children, 3, 5);
    assert_null(list->children->key);
    const struct yaml_tree *inner = list->children->next;
    assert_true(inner->flow);
    assert_place(yaml_tree_child(inner, "d"), 4, 9);
    assert_place(yaml_tree_child(inner, "e"), 4, 15);
    assert_true(yaml_tree_child(inner, "e")->flow);
    assert_null(yaml_tree_child(root, "x"));
    assert_null(yaml_tree_child(list, "x"));
    assert_null(yaml_tree_child(NULL, "x"));
}

static void texts_keep_their_style(void **state)
{
    struct tree_fixture *fixture = *state;
    const struct yaml_tree *root = read_text(
        fixture, "a: no\nb: 'no'\nc: \"n\\x6f\"\nd: |\n  x\n  y\ne: >\n  x\n  y\nf: p\n  q\n");
    assert_text(yaml_tree_child(root, "a"), "no", YAML_TREE_PLAIN);
    assert_text(yaml_tree_child(root, "b"), "no", YAML_TREE_QUOTED);
    assert_text(yaml_tree_child(root, "c"), "no", YAML_TREE_QUOTED);
    assert_text(yaml_tree_child(root, "d"), "x\ny\n", YAML_TREE_LITERAL);
    assert_text(yaml_tree_child(root, "e"), "x y\n", YAML_TREE_FOLDED);
    assert_text(yaml_tree_child(root, "f"), "p q", YAML_TREE_PLAIN);
    assert_place(yaml_tree_child(root, "d"), 4, 4);
    assert_int_equal(yaml_tree_child(root, "f")->line, 10);
    assert_int_equal(yaml_tree_child(root, "f")->end_line, 11);
}

static void only_plain_texts_can_be_nothing(void **state)
{
    struct tree_fixture *fixture = *state;
    const struct yaml_tree *root = read_text(
        fixture,
        "a:\nb: ~\nc: null\nd: Null\ne: NULL\nf: \"\"\ng: '~'\nh: \"null\"\ni: nil\nj: []\n");
    for (const struct yaml_tree *child = root->children; child; child = child->next)
        assert_int_equal(yaml_tree_is_nothing(child), child->key->text[0] <= 'e');
}

static void json_is_read_with_its_surrogate_pairs(void **state)
{
    struct tree_fixture *fixture = *state;
    const struct yaml_tree *root =
        read_text(fixture, "\r\n {\"a\":\"\\uD83D\\uDE00\\ud83d\\ude01\\\\uD83D\\u00e9\\\"\\/\", "
                           "\"b\":[1,true,null],\n"
                           "\"\\uD83D\\uDE00\":\"x\" , \"c\":\"\"}");
    assert_string_equal(text_chars(&fixture->printed), "");
    assert_text(yaml_tree_child(root, "a"), "\xF0\x9F\x98\x80\xF0\x9F\x98\x81\\uD83D\xC3\xA9\"/",
                YAML_TREE_QUOTED);
    assert_text(yaml_tree_child(root, "\xF0\x9F\x98\x80"), "x", YAML_TREE_QUOTED);
    /* Columns are those of the file, though the pairs took fewer characters inside. */
    assert_place(yaml_tree_child(root, "a"), 2, 7);
    assert_place(yaml_tree_child(root, "b")->key, 2, 52);
    assert_place(yaml_tree_child(root, "b")->children->next, 2, 59);
    assert_place(yaml_tree_child(root, "c")->key, 3, 22);
}

static void quotes_that_open_no_json_text_are_left_alone(void **state)
{
    struct tree_fixture *fixture = *state;
    const struct yaml_tree *root = read_text(
        fixture,
        "{a: '\"\\uD83D\\uDE00', # \"it's\n b: 5\", c: \"\\uD83D\\uDE00\", d: 'it''s', e: x}");
    assert_string_equal(text_chars(&fixture->printed), "");
    assert_text(yaml_tree_child(root, "a"), "\"\\uD83D\\uDE00", YAML_TREE_QUOTED);
    assert_text(yaml_tree_child(root, "b"), "5\"", YAML_TREE_PLAIN);
    assert_text(yaml_tree_child(root, "c"), "\xF0\x9F\x98\x80", YAML_TREE_QUOTED);
    assert_text(yaml_tree_child(root, "d"), "it's", YAML_TREE_QUOTED);
    assert_place(yaml_tree_child(root, "e"), 2, 43);
}

static void broken_utf8_is_refused_at_its_place(void **state)
{
    struct tree_fixture *fixture = *state;
    static const char *const cases[] = {"\x80",
                                        "\xC3",
                                        "\xC3(",
                                        "\xC0\x80",
                                        "\xE0\x80\x80",
                                        "\xED\xA0\x80",
                                        "\xE2\x82",
                                        "\xF0\x80\x80\x80",
                                        "\xF4\x90\x80\x80",
                                        "\xF8\x88\x80\x80\x80",
                                        "\xFF",
                                        NULL};
    for (const char *const *each = cases; *each; each++) {
        char text[100] = "a: x\r\nb: é";
        strcat(text, *each);
        assert_null(read_text(fixture, text));
        assert_non_null(strstr(text_chars(&fixture->printed), "f:2:5: error: this is not UTF-8"));
        assert_int_equal(fixture->problems.n_items, 1);
    }
    assert_non_null(read_text(fixture, "a: \xF4\x8F\xBF\xBD\xEE\x80\x80\xC2\xA0"));
}

static void control_characters_are_refused_at_their_place(void **state)
{
    struct tree_fixture *fixture = *state;
    static const char *const cases[] = {"\x01",         "\x1B",         "\x7F", "\xC2\x80",
                                        "\xEF\xBF\xBE", "\xEF\xBB\xBF", NULL};
    for (const char *const *each = cases; *each; each++) {
        char text[100] = "a: x\nb: x";
        strcat(text, *each);
        assert_null(read_text(fixture, text));
        assert_non_null(strstr(text_chars(&fixture->printed), "f:2:5: error: the character U+"));
    }
    assert_null(read_bytes(fixture, "a: b\0c", 6));
    assert_non_null(strstr(text_chars(&fixture->printed), "f:1:5: error: the character U+0000"));
}

/* n times `repeated`, between head and tail. */
static void build(struct text *out, const char *head, const char *repeated, int n, const char *tail)
{
    text_clear(out);
    text_add_chars(out, head);
    for (int i = 0; i < n; i++)
        text_add_chars(out, repeated);
    text_add_chars(out, tail);
    assert_false(out->failed);
}

static void depth_is_limited(void **state)
{
    struct tree_fixture *fixture = *state;
    struct text out;
    text_init(&out, 4 << 20);
    build(&out, "", "[", 32, "");
    text_add_chars(&out, "]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]");
    assert_non_null(read_bytes(fixture, out.bytes, out.length));
    build(&out, "", "[", 33, "]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]");
    assert_null(read_bytes(fixture, out.bytes, out.length));
    assert_string_equal(text_chars(&fixture->printed), "f:1:33: error: nested deeper than 32\n");
    /* 100,000 deep, and a megabyte deep: told at once, at the same place. */
    static const char *const openings[] = {"[", "{\"a\":", "- ", "? ", NULL};
    for (const char *const *opening = openings; *opening; opening++) {
        build(&out, "", *opening, 100000, "");
        assert_null(read_bytes(fixture, out.bytes, out.length));
        assert_non_null(strstr(text_chars(&fixture->printed), "error: nested deeper than 32\n"));
        assert_non_null(strstr(text_chars(&fixture->printed), "f:1:"));
    }
    build(&out, "", "[", 1 << 20, "");
    assert_null(read_bytes(fixture, out.bytes, out.length));
    assert_string_equal(text_chars(&fixture->printed), "f:1:33: error: nested deeper than 32\n");
    text_done(&out);
}

static void nodes_are_limited(void **state)
{
    struct tree_fixture *fixture = *state;
    struct text out;
    text_init(&out, 4 << 20);
    build(&out, "", "- x\n", 9999, "");
    assert_non_null(read_bytes(fixture, out.bytes, out.length));
    build(&out, "", "- x\n", 10000, "");
    assert_null(read_bytes(fixture, out.bytes, out.length));
    assert_string_equal(text_chars(&fixture->printed),
                        "f:10000:3: error: there are more than 10000 keys and values up to here: "
                        "split the workflow\n");
    text_done(&out);
}

static void bytes_are_limited(void **state)
{
    struct tree_fixture *fixture = *state;
    struct text out;
    text_init(&out, 4 << 20);
    build(&out, "a: ", "x", (1 << 20) - 3, "");
    assert_non_null(read_bytes(fixture, out.bytes, out.length));
    text_add_char(&out, 'x');
    assert_null(read_bytes(fixture, out.bytes, out.length));
    assert_string_equal(
        text_chars(&fixture->printed),
        "f:1:1: error: the file has 1048577 bytes, a definition may have 1048576\n");
    text_done(&out);
}

static void an_alias_bomb_is_a_list_of_errors(void **state)
{
    struct tree_fixture *fixture = *state;
    const struct yaml_tree *root =
        read_text(fixture, "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: [*c, *c]\n");
    assert_non_null(root);
    assert_int_equal(fixture->problems.n_errors, 9);
    assert_int_equal(yaml_tree_child(root, "d")->n_children, 2);
    assert_int_equal(yaml_tree_child(root, "d")->children->kind, YAML_TREE_REFUSED);
    struct text out;
    text_init(&out, 4 << 20);
    build(&out, "a: &a x\nb: [", "*a,", 300000, "]\n");
    assert_null(read_bytes(fixture, out.bytes, out.length));
    assert_true(fixture->problems.n_errors <= 10001);
    text_done(&out);
}

static void equal_keys_are_refused_and_the_first_stays(void **state)
{
    struct tree_fixture *fixture = *state;
    const struct yaml_tree *root = read_text(fixture, "a: 1\nb: 2\n\"a\": 3\n");
    assert_string_equal(text_chars(&fixture->printed),
                        "f:3:1: error: `a` was already given on line 1\n");
    assert_text(yaml_tree_child(root, "a"), "1", YAML_TREE_PLAIN);
    assert_int_equal(root->n_children, 2);
}

static void a_merge_key_is_refused_and_a_quoted_one_is_a_text(void **state)
{
    struct tree_fixture *fixture = *state;
    (void)read_text(fixture, "a: 1\n<<: {b: 2}\n");
    assert_string_equal(text_chars(&fixture->printed),
                        "f:2:1: error: merge keys (`<<`) are refused: write the keys out\n");
    assert_non_null(read_text(fixture, "\"<<\": 1\n"));
    assert_int_equal(fixture->problems.n_errors, 0);
}

static void too_little_memory_is_told(void **state)
{
    (void)state;
    for (size_t bytes = 0; bytes < 2000; bytes += 100) {
        struct region region;
        struct problems problems;
        region_init(&region, bytes);
        problems_init(&problems);
        const char text[] = "a: [b, c, d, {e: f}]\ng: |\n  h\n";
        const struct yaml_tree *root =
            yaml_tree_read(text, strlen(text), limits, &region, &problems);
        assert_int_equal(root != NULL, !problems.out_of_memory);
        assert_true(bytes > 100 || problems.out_of_memory);
        problems_done(&problems);
        region_done(&region);
    }
}

static int set_up(void **state)
{
    static struct tree_fixture fixture;
    region_init(&fixture.region, 64 << 20);
    problems_init(&fixture.problems);
    text_init(&fixture.printed, 64 << 20);
    *state = &fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct tree_fixture *fixture = *state;
    region_done(&fixture->region);
    problems_done(&fixture->problems);
    text_done(&fixture->printed);
    return 0;
}

int yaml_tree_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_and_values_have_their_places),
        cmocka_unit_test(texts_keep_their_style),
        cmocka_unit_test(only_plain_texts_can_be_nothing),
        cmocka_unit_test(json_is_read_with_its_surrogate_pairs),
        cmocka_unit_test(quotes_that_open_no_json_text_are_left_alone),
        cmocka_unit_test(broken_utf8_is_refused_at_its_place),
        cmocka_unit_test(control_characters_are_refused_at_their_place),
        cmocka_unit_test(depth_is_limited),
        cmocka_unit_test(nodes_are_limited),
        cmocka_unit_test(bytes_are_limited),
        cmocka_unit_test(an_alias_bomb_is_a_list_of_errors),
        cmocka_unit_test(equal_keys_are_refused_and_the_first_stays),
        cmocka_unit_test(a_merge_key_is_refused_and_a_quoted_one_is_a_text),
        cmocka_unit_test(too_little_memory_is_told),
    };
    return cmocka_run_group_tests_name("yaml_tree", tests, set_up, tear_down);
}
