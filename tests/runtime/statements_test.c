/* Every statement that is embedded in the program is understood by the migrated database. */
#include "runtime_fixture.h"
#include "runtime_tests.h"

#include "locks_sql.h"
#include "runtime_sql.h"
#include "text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void add_rendered(struct text *out, const char *sql)
{
    static const char mark[] = "@schema@";
    for (const char *at; (at = strstr(sql, mark)); sql = at + strlen(mark)) {
        text_add(out, sql, (size_t)(at - sql));
        text_add_chars(out, "latchkey");
    }
    text_add_chars(out, sql);
}

static void prepare_all(PGconn *conn, const struct sql_text *statements)
{
    assert_non_null(statements[0].name);
    for (; statements->name; statements++) {
        struct text sql;
        text_init(&sql, 1 << 16);
        add_rendered(&sql, statements->text);
        PGresult *result = PQprepare(conn, "", text_chars(&sql), 0, NULL);
        bool ok = PQresultStatus(result) == PGRES_COMMAND_OK;
        if (!ok)
            print_error("%s: %s", statements->name, PQerrorMessage(conn));
        PQclear(result);
        text_done(&sql);
        assert_true(ok);
    }
}

static void every_statement_can_be_prepared(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct host *host = host_start(fixture, NULL); /* migrates */
    prepare_all(fixture->sql, runtime_statements);
    prepare_all(fixture->sql, locks_statements);
    host_stop(host);
}

int statements_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_statement_can_be_prepared),
    };
    return cmocka_run_group_tests_name("statements", tests, runtime_fixture_setup,
                                       runtime_fixture_teardown);
}
