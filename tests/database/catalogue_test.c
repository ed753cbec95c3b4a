#include "catalogue.h"
#include "database_sql.h"
#include "database_tests.h"
#include "study.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Nor may the glance, which knows ordinary tables of every schema, describe it. */
static void is_refused_at_a_glance(struct study *study, const char *name)
{
    const struct table *table = NULL;
    struct pg_answer answer;
    struct fault ignored;
    catalogue_ask_glance(study->desk->pipeline, name);
    desk_send(study->desk, study->conn, &answer);
    (void)!catalogue_learn_glance(study->catalogue, name, "own", answer.results[0], &table,
                                  &ignored);
    assert_null(table);
    pg_answer_done(&answer);
}

static void is_refused(struct study *study, const char *name, const char *word)
{
    const struct table *table = NULL;
    struct fault fault;
    is_refused_at_a_glance(study, name);
    assert_false(study_look_up(study, name, &table, &fault));
    assert_int_equal(fault.kind, FAULT_INVALID);
    if (!strstr(fault.text, word))
        fail_msg("'%s' does not say '%s'", fault.text, word);
    assert_null(catalogue_find(study->catalogue, name));
}

static void columns_have_their_kinds_and_types(void **state)
{
    static const struct {
        const char *type;
        enum column_kind kind;
        const char *type_name;
    } cases[] = {
        {"int2", COLUMN_INT2, "smallint"},
        {"int", COLUMN_INT4, "integer"},
        {"bigint", COLUMN_INT8, "bigint"},
        {"real", COLUMN_FLOAT4, "real"},
        {"float8", COLUMN_FLOAT8, "double precision"},
        {"bool", COLUMN_BOOLEAN, "boolean"},
        {"text", COLUMN_TEXT, "text"},
        {"varchar(20)", COLUMN_TEXT, "character varying(20)"},
        {"char(3)", COLUMN_TEXT, "character(3)"},
        {"bpchar", COLUMN_TEXT, "bpchar"},
        {"\"char\"", COLUMN_TEXT, "\"char\""},
        {"name", COLUMN_TEXT, "name"},
        {"uuid", COLUMN_TEXT, "uuid"},
        {"mood", COLUMN_TEXT, "mood"},
        {"numeric(10,2)", COLUMN_NUMERIC, "numeric(10,2)"},
        {"json", COLUMN_JSON, "json"},
        {"jsonb", COLUMN_JSON, "jsonb"},
        {"timestamptz", COLUMN_TIMESTAMP, "timestamp with time zone"},
        {"timestamp(3)", COLUMN_TIMESTAMP, "timestamp(3) without time zone"},
        {"date", COLUMN_TIMESTAMP, "date"},
        {"time", COLUMN_TIMESTAMP, "time without time zone"},
        {"positive", COLUMN_INT4, "positive"},
        {"very_positive", COLUMN_INT4, "very_positive"},
        {"int[]", COLUMN_OTHER, "integer[]"},
        {"bytea", COLUMN_OTHER, "bytea"},
        {"interval", COLUMN_OTHER, "interval"},
        {"inet", COLUMN_OTHER, "inet"},
    };
    struct study *study = *state;
    study_make(study,
               "CREATE TYPE mood AS ENUM ('good', 'bad'); CREATE DOMAIN positive AS int CHECK "
               "(VALUE > 0); CREATE DOMAIN very_positive AS positive; CREATE TABLE kinds ()");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        fixture_execf(study->desk->outsider, "ALTER TABLE kinds ADD c%zu %s", i, cases[i].type);
    const struct table *table = study_learn(study, "kinds");
    assert_int_equal(table->n_columns, sizeof cases / sizeof *cases);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char name[16];
        snprintf(name, sizeof name, "c%zu", i);
        const struct column *column = table_column(table, name);
        assert_non_null(column);
        assert_string_equal(column->type_name, cases[i].type_name);
        assert_int_equal(column->kind, cases[i].kind);
    }
    assert_null(table_column(table, "c99"));
    assert_null(table->primary_key);
    assert_int_equal(table->n_unique_keys, 0);
}

static void a_description_tells_names_keys_and_flags(void **state)
{
    struct study *study = *state;
    study_make(study,
               "CREATE TABLE t (gone int, \"Od\"\"d\" int NOT NULL, b text, c bigint GENERATED "
               "ALWAYS AS IDENTITY, d int NOT NULL, PRIMARY KEY (d, \"Od\"\"d\"));"
               "ALTER TABLE t DROP gone; CREATE UNIQUE INDEX ON t (b) INCLUDE (d)");
    const struct table *table = study_learn(study, "t");
    assert_string_equal(table->name, "t");
    assert_string_equal(table->quoted, "\"public\".\"t\"");
    assert_int_equal(table->oid,
                     fixture_int(study->desk->outsider, "SELECT 't'::regclass::oid::int"));
    assert_int_equal(table->n_columns, 4);
    assert_string_equal(table->columns[0].name, "Od\"d");
    assert_string_equal(table->columns[0].quoted, "\"Od\"\"d\"");
    assert_true(table->columns[0].not_null);
    assert_false(table->columns[1].not_null);
    assert_true(table->columns[2].generated);
    assert_false(table->columns[3].generated);
    assert_int_equal(table->n_primary_key, 2);
    assert_int_equal(table->primary_key[0], 3); /* in the key's order */
    assert_int_equal(table->primary_key[1], 0);
    assert_int_equal(table->n_unique_keys, 2);
    assert_true(table_is_key(table, (int[]){0, 3}, 2));
    assert_true(table_is_key(table, (int[]){1}, 1));
    assert_true(table_is_key(table, (int[]){2, 1}, 2));
    assert_false(table_is_key(table, (int[]){0, 2}, 2));
    assert_false(table_is_key(table, NULL, 0));
}

static void names_fold_as_in_sql(void **state)
{
    struct study *study = *state;
    study_make(study, "CREATE TABLE small (a int); CREATE TABLE \"Big One\" (a int);"
                      "CREATE SCHEMA other; CREATE TABLE other.\"a.b\" (a int)");
    assert_string_equal(study_learn(study, "SMALL")->quoted, "\"public\".\"small\"");
    assert_string_equal(study_learn(study, "\"Big One\"")->quoted, "\"public\".\"Big One\"");
    assert_string_equal(study_learn(study, "Public.Small")->quoted, "\"public\".\"small\"");
    assert_string_equal(study_learn(study, "other.\"a.b\"")->quoted, "\"other\".\"a.b\"");
    is_refused(study, "\"SMALL\"", "there is no table");
    is_refused(study, "big one", "there is no table");
}

static void what_is_no_table_is_refused(void **state)
{
    static const char *const odd[] = {
        "",     " ",   ".",        "a.",   ".a",  "a.b.c", "\"a", "a\"",
        "\"\"", "a b", "x.y.z",    "a,b",  "a;b", "(t)",   "'t'", "\"a\".\"b\".\"c\"",
        "a..b", "t t", "\xc3\xa9", "-- t",
    };
    struct study *study = *state;
    study_make(study, "CREATE TABLE t (a int PRIMARY KEY); CREATE SEQUENCE s; CREATE SCHEMA own;"
                      "CREATE TABLE own.instance (a int); CREATE TYPE composite AS (a int)");
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++)
        is_refused(study, odd[i], "there is no table");
    char oid[16]; /* PostgreSQL, from 16 on, finds a table by it */
    fixture_text(study->desk->outsider, "SELECT 't'::regclass::oid", oid, sizeof oid);
    is_refused(study, oid, "there is no table");
    is_refused(study, "s", "not a table");
    is_refused(study, "t_pkey", "not a table");
    is_refused(study, "composite", "not a table");
    is_refused(study, "pg_class", "PostgreSQL's own");
    is_refused(study, "pg_catalog.pg_authid", "PostgreSQL's own");
    is_refused(study, "information_schema.tables", "PostgreSQL's own");
    is_refused(study, "OWN.instance", "not for workflows");
}

static void temporary_tables_are_refused(void **state)
{
    struct study *study = *state;
    desk_run(study->desk, study->conn, "CREATE TEMP TABLE fleeting (a int)", NULL);
    is_refused(study, "fleeting", "temporary");
}

static void only_total_immediate_valid_unique_indexes_are_keys(void **state)
{
    struct study *study = *state;
    study_make(study, "CREATE TABLE k (a int NOT NULL, b int NOT NULL, c int, d int, e int);"
                      "CREATE UNIQUE INDEX ON k (a) WHERE b > 0;"
                      "CREATE UNIQUE INDEX ON k ((a + 1));"
                      "ALTER TABLE k ADD UNIQUE (b) DEFERRABLE;"
                      "CREATE INDEX ON k (d);"
                      "CREATE UNIQUE INDEX ON k (c);"
                      "CREATE UNIQUE INDEX ON k (e, a)");
    const struct table *table = study_learn(study, "k");
    assert_int_equal(table->n_unique_keys, 2);
    assert_null(table->primary_key); /* c and e may be null */
    assert_true(table_is_key(table, (int[]){2}, 1));
    assert_true(table_is_key(table, (int[]){0, 4}, 2));
    assert_false(table_is_key(table, (int[]){0, 1, 3}, 3));
    study_make(study, "CREATE UNIQUE INDEX ON k (a, b)");
    table = study_learn(study, "k");
    assert_int_equal(table->n_primary_key, 2); /* stands in for it */
    assert_int_equal(table->primary_key[0], 0);
    study_make(study, "UPDATE pg_index SET indisvalid = false WHERE indrelid = 'k'::regclass");
    assert_int_equal(study_learn(study, "k")->n_unique_keys, 0);
}

/* Nothing keeps 'a' and 'A' apart for who looks for either, though the index does. */
static void an_index_that_is_stricter_than_its_column_is_no_key(void **state)
{
    struct study *study = *state;
    if (!fixture_int(study->desk->outsider, "SELECT count(*) FROM pg_collation WHERE collprovider "
                                            "= 'i'"))
        skip();
    study_make(study, "CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level2', "
                      "deterministic = false);"
                      "CREATE TABLE k (a text COLLATE loose NOT NULL, b text NOT NULL,"
                      " c text COLLATE loose NOT NULL, d int NOT NULL);"
                      "CREATE UNIQUE INDEX ON k (d, a COLLATE \"C\");"
                      "CREATE UNIQUE INDEX ON k (a COLLATE \"C\")");
    const struct table *table = study_learn(study, "k");
    assert_int_equal(table->n_unique_keys, 0);
    assert_null(table->primary_key);
    study_make(study, "CREATE UNIQUE INDEX ON k (b COLLATE \"C\") INCLUDE (a);"
                      "CREATE UNIQUE INDEX ON k (c)");
    table = study_learn(study, "k");
    assert_int_equal(table->n_unique_keys, 2);
    assert_true(table_is_key(table, (int[]){1}, 1));
    assert_true(table_is_key(table, (int[]){2}, 1));
}

static void what_a_key_only_includes_may_be_null(void **state)
{
    struct study *study = *state;
    study_make(study,
               "CREATE TABLE k (a int, b int NOT NULL); CREATE UNIQUE INDEX ON k (b) INCLUDE (a)");
    assert_int_equal(study_learn(study, "k")->n_primary_key, 1);
}

/* Rows that are older than such a constraint may be unknown. */
static void a_not_null_that_is_not_validated_makes_no_primary_key(void **state)
{
    struct study *study = *state;
    if (pg_conn_server_version(study->conn) < 180000)
        skip();
    study_make(study, "CREATE TABLE k (a int, b int NOT NULL, UNIQUE (a), UNIQUE (b));"
                      "INSERT INTO k VALUES (NULL, 1), (NULL, 2);"
                      "ALTER TABLE k ADD CONSTRAINT n NOT NULL a NOT VALID");
    const struct table *table = study_learn(study, "k");
    assert_int_equal(table->n_unique_keys, 2);
    assert_int_equal(table->n_primary_key, 1);
    assert_int_equal(table->primary_key[0], 1);
    assert_true(table->columns[0].not_null); /* no new row may be */
    study_make(study, "DELETE FROM k; ALTER TABLE k VALIDATE CONSTRAINT n");
    assert_int_equal(study_learn(study, "k")->primary_key[0], 0);
}

static void check_mergeable(struct study *study, const char *make_it, const char *table_name,
                            bool table_mergeable, const char *columns)
{
    char found[256] = "";
    study_make(study, make_it);
    const struct table *table = study_learn(study, table_name);
    if (table->mergeable != table_mergeable)
        fail_msg("%s: the table is %smergeable", make_it, table->mergeable ? "" : "not ");
    for (int i = 0; i < table->n_columns; i++)
        if (table->columns[i].mergeable)
            strcat(strcat(found, *found ? " " : ""), table->columns[i].name);
    if (strcmp(found, columns) != 0)
        fail_msg("%s: mergeable are '%s', not '%s'", make_it, found, columns);
}

static void columns_of_plain_types_without_ties_are_mergeable(void **state)
{
    struct study *study = *state;
    study_make(study, "CREATE DOMAIN d AS int; CREATE TYPE e AS ENUM ('x')");
    check_mergeable(study,
                    "CREATE TABLE a1 (id int PRIMARY KEY, i2 int2, i4 int4 NOT NULL, i8 int8,"
                    " f8 float8, b bool, t text, f4 float4, v varchar(3), v2 varchar, n numeric,"
                    " d d, e e, j jsonb, u uuid, ts timestamptz, g int GENERATED BY DEFAULT AS"
                    " IDENTITY, ia int[])",
                    "a1", true, "i2 i4 i8 f8 b t");
    check_mergeable(study, "CREATE TABLE a2 (a int, b int, c int, CHECK (a + b > 0))", "a2", true,
                    "c");
    check_mergeable(study, "CREATE TABLE a3 (a int UNIQUE, b int, c int, UNIQUE (b, c), e int)",
                    "a3", true, "e");
    check_mergeable(study,
                    "CREATE TABLE a4 (a int, b int, c int, e int, x int);"
                    "CREATE UNIQUE INDEX ON a4 ((a + 1)) WHERE b > 0;"
                    "CREATE UNIQUE INDEX ON a4 (c) INCLUDE (e)",
                    "a4", true, "x");
    check_mergeable(study,
                    "CREATE TABLE a5 (a int, b int, t text, u text); CREATE INDEX ON a5 (a);"
                    "CREATE INDEX ON a5 ((1 / b)); CREATE INDEX ON a5 (t)",
                    "a5", true, "a u");
    check_mergeable(study,
                    "CREATE TABLE a6 (a int UNIQUE); CREATE TABLE a7 (b int REFERENCES "
                    "a6 (a), c int)",
                    "a7", true, "c");
    check_mergeable(study,
                    "CREATE TABLE a8 (a int, b int, EXCLUDE USING btree (a WITH =) WHERE (b > 0))",
                    "a8", true, "");
    check_mergeable(study, "CREATE TABLE a9 (a int, b int, CHECK (a9 IS NOT NULL))", "a9", false,
                    "");
    check_mergeable(study, "CREATE TABLE a10 (a int, b int, CHECK (random() < 2))", "a10", false,
                    "");
    check_mergeable(study,
                    "CREATE TABLE a11 (a int, b int);"
                    "CREATE FUNCTION whole(a11) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 1';"
                    "CREATE INDEX ON a11 (whole(a11))",
                    "a11", false, "");
    check_mergeable(study, "CREATE UNLOGGED TABLE a12 (a int)", "a12", true, "a");
}

static void tables_that_react_to_writes_are_not_mergeable(void **state)
{
    static const struct {
        const char *make;
        bool mergeable;
        bool spread;
    } cases[] = {
        {"CREATE TABLE %s (a int)", true, false},
        {"CREATE TABLE %s (a int); CREATE TRIGGER t AFTER UPDATE ON %s FOR EACH ROW EXECUTE "
         "FUNCTION f()",
         false, true},
        {"CREATE TABLE %s (a int); CREATE RULE r AS ON DELETE TO %s DO ALSO NOTHING", false, true},
        {"CREATE TABLE %s (a int); ALTER TABLE %s ENABLE ROW LEVEL SECURITY", false, false},
        {"CREATE TABLE %s (a int) PARTITION BY LIST (a)", false, true},
        {"CREATE TABLE p_%s (a int) PARTITION BY LIST (a); CREATE TABLE %s PARTITION OF p_%s "
         "DEFAULT",
         false, true},
        {"CREATE TABLE p_%s (a int); CREATE TABLE %s () INHERITS (p_%s)", false, true},
        {"CREATE TABLE %s (a int); CREATE TABLE c_%s () INHERITS (%s)", false, true},
        {"CREATE TABLE %s (a int, b int GENERATED ALWAYS AS (a + 1) STORED)", false, true},
        {"CREATE TABLE %s (k int PRIMARY KEY, a int); CREATE TABLE r_%s (k int REFERENCES %s)",
         true, false},
        {"CREATE TABLE %s (k int PRIMARY KEY, a int); CREATE TABLE r_%s (k int REFERENCES %s ON "
         "DELETE CASCADE)",
         true, true},
        {"CREATE TABLE %s (k int PRIMARY KEY, a int); CREATE TABLE r_%s (k int REFERENCES %s ON "
         "UPDATE SET NULL)",
         true, true},
        {"CREATE VIEW %s AS SELECT 1 AS a", false, true},
        {"CREATE MATERIALIZED VIEW %s AS SELECT 1 AS a", false, true},
    };
    struct study *study = *state;
    study_make(study,
               "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char name[16], sql[1024] = "";
        snprintf(name, sizeof name, "b%zu", i);
        for (const char *at = cases[i].make; *at; at++) {
            size_t length = strlen(sql);
            if (strncmp(at, "%s", 2) == 0) {
                snprintf(sql + length, sizeof sql - length, "%s", name);
                at++;
            } else {
                sql[length] = *at;
            }
        }
        study_make(study, sql);
        const struct table *table = study_learn(study, name);
        if (table->mergeable != cases[i].mergeable || table->writes_spread != cases[i].spread)
            fail_msg("%s: mergeable %d, spread %d", sql, table->mergeable, table->writes_spread);
        const struct column *column = table_column(table, "a");
        assert_non_null(column);
        assert_int_equal(column->mergeable, cases[i].mergeable);
        if (strstr(sql, "GENERATED"))
            assert_true(table_column(table, "b")->generated);
    }
}

static void policies_that_ask_more_than_the_row_are_known(void **state)
{
    static const struct {
        const char *policy;
        bool spread;
    } cases[] = {
        {"USING (a > 0 AND current_setting('x.y', true) = current_user)", false},
        {"USING (EXISTS (SELECT FROM q))", true},
        {"USING (a > 0) WITH CHECK (a IN (SELECT a FROM q))", true},
        {"USING (looks(a))", true},
    };
    struct study *study = *state;
    study_make(study, "CREATE TABLE q (a int);"
                      "CREATE FUNCTION looks(int) RETURNS boolean LANGUAGE sql AS 'SELECT true'");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char name[16], sql[300];
        snprintf(name, sizeof name, "s%zu", i);
        snprintf(sql, sizeof sql,
                 "CREATE TABLE %s (a int); ALTER TABLE %s ENABLE ROW LEVEL SECURITY;"
                 "CREATE POLICY p ON %s %s",
                 name, name, name, cases[i].policy);
        study_make(study, sql);
        const struct table *table = study_learn(study, name);
        if (table->reads_spread != cases[i].spread)
            fail_msg("%s: spread %d", sql, table->reads_spread);
    }
}

static void who_does_not_own_a_table_learns_the_same(void **state)
{
    struct study *study = *state;
    char role[64], set[128];
    study_make(study, "CREATE TABLE foreign_to_me (a int PRIMARY KEY, b int CHECK (b > 0), c int)");
    fixture_text(study->desk->outsider, "SELECT 'reader_' || current_database()", role,
                 sizeof role);
    fixture_execf(study->desk->outsider, "CREATE ROLE %s", role);
    snprintf(set, sizeof set, "SET ROLE %s", role);
    desk_run(study->desk, study->conn, set, NULL);
    const struct table *table = study_learn(study, "foreign_to_me");
    desk_run(study->desk, study->conn, "RESET ROLE", NULL);
    fixture_execf(study->desk->outsider, "DROP ROLE %s", role);
    assert_int_equal(table->n_primary_key, 1);
    assert_false(table->columns[1].mergeable);
    assert_true(table->columns[2].mergeable);
}

static void what_is_known_stays_valid_when_forgotten(void **state)
{
    struct study *study = *state;
    study_make(study, "CREATE TABLE t (a int)");
    assert_null(catalogue_find(study->catalogue, "t"));
    const struct table *first = study_learn(study, "t");
    assert_ptr_equal(catalogue_find(study->catalogue, "t"), first);
    assert_null(catalogue_find(study->catalogue, "T")); /* by the name as asked for */
    assert_ptr_equal(study_learn(study, "t"), first);
    catalogue_forget(study->catalogue);
    assert_null(catalogue_find(study->catalogue, "t"));
    assert_string_equal(first->columns[0].name, "a");
    assert_ptr_equal(study_learn(study, "t"), first); /* unchanged: nothing is gathered */
    study_make(study, "ALTER TABLE t ADD b int");
    const struct table *second = study_learn(study, "t");
    assert_ptr_not_equal(second, first);
    assert_int_equal(first->n_columns, 1);
    assert_int_equal(second->n_columns, 2);
    assert_ptr_equal(catalogue_find(study->catalogue, "t"), second);
}

static void every_statement_of_the_layer_can_be_prepared(void **state)
{
    struct study *study = *state;
    struct fault fault;
    assert_true(pg_conn_run_script(study->conn,
                                   "CREATE SCHEMA @schema@;"
                                   "CREATE TABLE @schema@.migration (name text, applied_at text)",
                                   &fault));
    for (const struct sql_text *sql = database_statements; sql->name; sql++) {
        struct pg_answer answer;
        pg_pipeline_add(study->desk->pipeline, PG_PREPARED, sql->text, 1,
                        (const char *const[]){NULL});
        desk_send(study->desk, study->conn, &answer);
        /* Too many parameters is said at Bind: the text has been prepared. */
        if (answer.fault.kind && strcmp(answer.fault.sqlstate, "08P01") != 0 &&
            strcmp(answer.fault.sqlstate, "23502") != 0)
            print_message("%s: %s\n", sql->name, answer.fault.text);
        assert_string_not_equal(answer.fault.sqlstate, "42601");
        assert_string_not_equal(answer.fault.sqlstate, "42P01");
        pg_answer_done(&answer);
    }
}

#define TEST(name) cmocka_unit_test_setup(name, study_clear)

int catalogue_tests(void)
{
    const struct CMUnitTest tests[] = {
        TEST(columns_have_their_kinds_and_types),
        TEST(a_description_tells_names_keys_and_flags),
        TEST(names_fold_as_in_sql),
        TEST(what_is_no_table_is_refused),
        TEST(temporary_tables_are_refused),
        TEST(only_total_immediate_valid_unique_indexes_are_keys),
        TEST(an_index_that_is_stricter_than_its_column_is_no_key),
        TEST(what_a_key_only_includes_may_be_null),
        TEST(a_not_null_that_is_not_validated_makes_no_primary_key),
        TEST(columns_of_plain_types_without_ties_are_mergeable),
        TEST(tables_that_react_to_writes_are_not_mergeable),
        TEST(policies_that_ask_more_than_the_row_are_known),
        TEST(who_does_not_own_a_table_learns_the_same),
        TEST(what_is_known_stays_valid_when_forgotten),
        TEST(every_statement_of_the_layer_can_be_prepared),
    };
    return cmocka_run_group_tests_name("catalogue", tests, study_open, study_close);
}
