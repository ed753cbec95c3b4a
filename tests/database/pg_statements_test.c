#include "database_tests.h"
#include "pg_statements.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct pg_statements *make(const char *schema, bool unnamed_only)
{
    struct pg_statements *statements = NULL;
    struct fault fault;
    assert_true(pg_statements_new(schema, unnamed_only, &statements, &fault));
    return statements;
}

static void the_schema_is_put_in_as_identifier_and_as_string(void **state)
{
    static const struct {
        const char *text;
        const char *rendered;
    } cases[] = {
        {"SELECT 1", "SELECT 1"},
        {"", ""},
        {"SELECT * FROM @schema@.t", "SELECT * FROM \"a\"\"b'c\".t"},
        {"SELECT @schema_literal@", "SELECT 'a\"b''c'"},
        {"@schema@@schema_literal@@schema@", "\"a\"\"b'c\"'a\"b''c'\"a\"\"b'c\""},
        {"a @> b @schem @", "a @> b @schem @"},
        {"@schema_literal", "@schema_literal"},
        {"@@schema@", "@\"a\"\"b'c\""},
    };
    struct pg_statements *statements = make("a\"b'c", false);
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *rendered = pg_statements_render(statements, cases[i].text);
        assert_string_equal(rendered, cases[i].rendered);
        free(rendered);
    }
    pg_statements_free(statements);
}

static void the_same_text_has_one_entry(void **state)
{
    struct pg_statements *statements = make("s", false);
    char copy[] = "SELECT 1";
    (void)state;
    struct pg_statement_entry *one = pg_statements_get(statements, "SELECT 1");
    struct pg_statement_entry *other = pg_statements_get(statements, "SELECT 2");
    assert_ptr_equal(pg_statements_get(statements, copy), one);
    assert_ptr_not_equal(other, one);
    assert_string_not_equal(one->name, other->name);
    assert_int_equal(one->state, PG_STATEMENT_NEW);
    assert_string_equal(one->rendered, "SELECT 1");
    pg_statements_free(statements);
}

static void texts_beyond_the_limit_have_no_name(void **state)
{
    struct pg_statements *statements = make("s", false);
    char text[32];
    int n_named = 0;
    (void)state;
    for (int i = 0; i < 1500; i++) {
        snprintf(text, sizeof text, "SELECT %d", i);
        n_named += pg_statements_get(statements, text)->name[0] != '\0';
    }
    assert_int_equal(n_named, 1000);
    assert_true(pg_statements_get(statements, "SELECT 0")->name[0]);
    pg_statements_free(statements);
}

/* Whoever meets a name in a session of another connection meets the statement that it means. */
static void a_name_tells_the_text_and_the_schema(void **state)
{
    struct pg_statements *one = make("s", false), *two = make("s", false),
                         *other = make("t", false);
    const char *a = "SELECT @schema@.f()", *b = "SELECT @schema@.g()";
    char name[PG_STATEMENT_NAME_BYTES];
    (void)state;
    snprintf(name, sizeof name, "%s", pg_statements_get(one, a)->name);
    assert_string_not_equal(pg_statements_get(two, b)->name, name);
    assert_string_equal(pg_statements_get(two, a)->name, name);
    assert_string_not_equal(pg_statements_get(other, a)->name, name);
    pg_statements_free(one);
    pg_statements_free(two);
    pg_statements_free(other);
}

static void names_can_be_given_up(void **state)
{
    struct pg_statements *statements = make("s", false);
    (void)state;
    pg_statements_unname(statements);
    assert_string_equal(pg_statements_get(statements, "SELECT 1")->name, "");
    pg_statements_free(statements);
}

static void unnamed_only_gives_no_names(void **state)
{
    struct pg_statements *statements = make("s", true);
    (void)state;
    assert_string_equal(pg_statements_get(statements, "SELECT @schema@.f()")->name, "");
    assert_string_equal(pg_statements_get(statements, "SELECT @schema@.f()")->rendered,
                        "SELECT \"s\".f()");
    pg_statements_free(statements);
    pg_statements_free(NULL);
}

int pg_statements_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_schema_is_put_in_as_identifier_and_as_string),
        cmocka_unit_test(the_same_text_has_one_entry),
        cmocka_unit_test(texts_beyond_the_limit_have_no_name),
        cmocka_unit_test(a_name_tells_the_text_and_the_schema),
        cmocka_unit_test(names_can_be_given_up),
        cmocka_unit_test(unnamed_only_gives_no_names),
    };
    return cmocka_run_group_tests_name("pg_statements", tests, NULL, NULL);
}
