#include "database_tests.h"
#include "pg_array.h"
#include "postgres_fixture.h"

#include <libpq-fe.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct server {
    char conninfo[FIXTURE_CONNINFO_BYTES];
    PGconn *conn;
};

static int set_up(void **state)
{
    struct server *server = calloc(1, sizeof *server);
    if (!server || !fixture_database_new(server->conninfo)) {
        free(server);
        return -1;
    }
    server->conn = fixture_connect(server->conninfo);
    *state = server;
    return 0;
}

static int tear_down(void **state)
{
    struct server *server = *state;
    PQfinish(server->conn);
    fixture_database_drop(server->conninfo);
    free(server);
    return 0;
}

static void only_what_must_be_is_quoted(void **state)
{
    static const struct {
        const char *elements[4];
        int n;
        const char *text;
    } cases[] = {
        {{NULL}, 0, "{}"},
        {{"1", "-20", "300"}, 3, "{1,-20,300}"},
        {{"a"}, 1, "{\"a\"}"},
        {{""}, 1, "{\"\"}"},
        {{"-"}, 1, "{\"-\"}"},
        {{NULL, "NULL", "null"}, 3, "{NULL,\"NULL\",\"null\"}"},
        {{"\"", "\\", "a\"b\\c"}, 3, "{\"\\\"\",\"\\\\\",\"a\\\"b\\\\c\"}"},
        {{"{", "}", "{}", ","}, 4, "{\"{\",\"}\",\"{}\",\",\"}"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct text text;
        text_init(&text, 1000);
        pg_array_begin(&text);
        for (int j = 0; j < cases[i].n; j++)
            pg_array_add(&text, cases[i].elements[j]);
        pg_array_end(&text);
        assert_string_equal(text_chars(&text), cases[i].text);
        text_done(&text);
    }
}

static void a_limit_that_is_reached_is_a_failure(void **state)
{
    struct text text;
    struct fault fault;
    (void)state;
    text_init(&text, 10);
    pg_array_begin(&text);
    for (int i = 0; i < 20; i++)
        pg_array_add(&text, "x\"y");
    pg_array_add_int64(&text, 5);
    pg_array_end(&text);
    assert_false(text_ok(&text, &fault));
    assert_int_equal(fault.kind, FAULT_EXHAUSTED);
    text_done(&text);
}

/* What PostgreSQL reads out of the array, element by element. */
static PGresult *unnest(struct server *server, const char *type, struct text *text)
{
    char sql[100];
    struct fault fault;
    pg_array_end(text);
    assert_true(text_ok(text, &fault));
    snprintf(sql, sizeof sql,
             "SELECT e FROM unnest($1::%s[]) WITH ORDINALITY AS u(e, n) ORDER BY n", type);
    PGresult *result = PQexecParams(server->conn, sql, 1, NULL,
                                    (const char *const[]){text_chars(text)}, NULL, NULL, 0);
    if (PQresultStatus(result) != PGRES_TUPLES_OK)
        fail_msg("%s", PQresultErrorMessage(result));
    text_done(text);
    return result;
}

static void strings_arrive_as_they_were(void **state)
{
    static const char *const strings[] = {
        "",
        " ",
        "a b",
        " a ",
        "\"",
        "\\",
        "\\\\",
        "\\\"",
        "{",
        "}",
        "{a,b}",
        ",",
        "NULL",
        "null",
        "Null",
        "'",
        "''",
        "$1",
        "\n",
        "\r\n",
        "\t",
        "a\nb",
        "-",
        "--1",
        "1-",
        "-1",
        "0",
        "007",
        "1.5",
        "1e3",
        " 1",
        "\x01",
        "%s",
        "\xC3\xBC",
        "\xF0\x9F\x98\x80",
        "a\"b\\c{d},e'f",
        "\v\f",
        "\"\"",
        "\\n",
        "{\"a\": [1, \"x\"]}",
    };
    enum {
        N = sizeof strings / sizeof *strings,
    };
    struct text text;
    text_init(&text, 10000);
    pg_array_begin(&text);
    for (int i = 0; i < N; i++) {
        pg_array_add(&text, strings[i]);
        pg_array_add(&text, NULL);
    }
    PGresult *result = unnest(*state, "text", &text);
    assert_int_equal(PQntuples(result), 2 * N);
    for (int i = 0; i < N; i++) {
        assert_false(PQgetisnull(result, 2 * i, 0));
        assert_string_equal(PQgetvalue(result, 2 * i, 0), strings[i]);
        assert_true(PQgetisnull(result, 2 * i + 1, 0));
    }
    PQclear(result);
}

static void random_strings_arrive_as_they_were(void **state)
{
    static const char alphabet[] = "\\\"{},' \nNULnul0-9a";
    enum {
        N = 2000,
        LENGTH_MAX = 6,
    };
    static char strings[N][LENGTH_MAX + 1];
    uint32_t seed = 12345;
    struct text text;
    text_init(&text, 1 << 20);
    pg_array_begin(&text);
    for (int i = 0; i < N; i++) {
        for (int j = 0; j < i % (LENGTH_MAX + 1); j++) {
            seed = seed * 1664525 + 1013904223;
            strings[i][j] = alphabet[(seed >> 16) % (sizeof alphabet - 1)];
        }
        pg_array_add(&text, strings[i]);
    }
    PGresult *result = unnest(*state, "text", &text);
    assert_int_equal(PQntuples(result), N);
    for (int i = 0; i < N; i++)
        assert_string_equal(PQgetvalue(result, i, 0), strings[i]);
    PQclear(result);
}

static void integers_arrive_as_they_were(void **state)
{
    static const int64_t integers[] = {0, 1, -1, 10, 99, -100, INT64_MAX, INT64_MIN};
    enum {
        N = sizeof integers / sizeof *integers,
    };
    struct text text;
    text_init(&text, 1000);
    pg_array_begin(&text);
    for (int i = 0; i < N; i++)
        pg_array_add_int64(&text, integers[i]);
    pg_array_add(&text, NULL);
    PGresult *result = unnest(*state, "bigint", &text);
    assert_int_equal(PQntuples(result), N + 1);
    for (int i = 0; i < N; i++)
        assert_true(strtoll(PQgetvalue(result, i, 0), NULL, 10) == integers[i]);
    assert_true(PQgetisnull(result, N, 0));
    PQclear(result);
}

static void an_empty_array_has_no_element(void **state)
{
    struct text text;
    text_init(&text, 1000);
    pg_array_begin(&text);
    PGresult *result = unnest(*state, "text", &text);
    assert_int_equal(PQntuples(result), 0);
    PQclear(result);
}

int pg_array_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_must_be_is_quoted),
        cmocka_unit_test(a_limit_that_is_reached_is_a_failure),
        cmocka_unit_test(strings_arrive_as_they_were),
        cmocka_unit_test(random_strings_arrive_as_they_were),
        cmocka_unit_test(integers_arrive_as_they_were),
        cmocka_unit_test(an_empty_array_has_no_element),
    };
    return cmocka_run_group_tests_name("pg_array", tests, set_up, tear_down);
}
