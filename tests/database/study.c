#include "study.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

int study_open(void **state)
{
    static struct study study;
    struct fault fault;
    void *desk = NULL;
    if (desk_open(&desk) != 0 || !catalogue_new(&study.catalogue, &fault))
        return 1;
    study.desk = desk;
    study.conn = desk_connect(desk);
    *state = &study;
    return 0;
}

int study_close(void **state)
{
    struct study *study = *state;
    void *desk = study->desk;
    catalogue_free(study->catalogue);
    catalogue_free(NULL);
    pg_conn_close(study->conn);
    return desk_close(&desk);
}

int study_clear(void **state)
{
    struct study *study = *state;
    fixture_exec(study->desk->outsider,
                 "DROP SCHEMA IF EXISTS public, other, own CASCADE; CREATE SCHEMA public;"
                 "GRANT ALL ON SCHEMA public TO public");
    catalogue_forget(study->catalogue);
    pg_pipeline_clear(study->desk->pipeline);
    return 0;
}

bool study_look_up(struct study *study, const char *name, const struct table **out,
                   struct fault *fault)
{
    struct pg_answer answer;
    assert_int_equal(catalogue_ask(study->desk->pipeline, name), 0);
    desk_send(study->desk, study->conn, &answer);
    if (answer.fault.kind)
        fail_msg("%s: %s", name, answer.fault.text);
    bool ok = catalogue_learn(study->catalogue, name, "own", answer.results[0], out, fault);
    pg_answer_done(&answer);
    return ok;
}

const struct table *study_glance(struct study *study, const char *name,
                                 struct catalogue **catalogue)
{
    const struct table *table = NULL;
    struct pg_answer answer;
    struct fault fault;
    if (!catalogue_new(catalogue, &fault))
        fail_msg("%s", fault.text);
    pg_pipeline_clear(study->desk->pipeline);
    assert_int_equal(catalogue_ask_glance(study->desk->pipeline, name), 0);
    desk_send(study->desk, study->conn, &answer);
    if (answer.fault.kind ||
        !catalogue_learn_glance(*catalogue, name, "own", answer.results[0], &table, &fault))
        fail_msg("%s: %s%s", name, answer.fault.text, fault.text);
    pg_answer_done(&answer);
    pg_pipeline_clear(study->desk->pipeline);
    return table;
}

static void assert_same_columns(const struct table *a, const struct table *b)
{
    assert_int_equal(a->n_columns, b->n_columns);
    for (int i = 0; i < a->n_columns; i++) {
        const struct column *one = &a->columns[i], *other = &b->columns[i];
        assert_string_equal(one->name, other->name);
        assert_string_equal(one->quoted, other->quoted);
        assert_string_equal(one->type_name, other->type_name);
        assert_string_equal(one->plain_type, other->plain_type);
        assert_int_equal(one->kind, other->kind);
        assert_int_equal(one->not_null, other->not_null);
        assert_int_equal(one->generated, other->generated);
        assert_int_equal(one->mergeable, other->mergeable);
    }
}

static void assert_same_key(const int *a, const int *b)
{
    while (*a == *b && *a >= 0) {
        a++;
        b++;
    }
    assert_int_equal(*a, *b);
}

static void assert_same(const struct table *a, const struct table *b)
{
    assert_string_equal(a->name, b->name);
    assert_string_equal(a->quoted, b->quoted);
    assert_int_equal(a->oid, b->oid);
    assert_int_equal(a->mergeable, b->mergeable);
    assert_int_equal(a->writes_spread, b->writes_spread);
    assert_same_columns(a, b);
    assert_int_equal(a->n_unique_keys, b->n_unique_keys);
    for (int i = 0; i < a->n_unique_keys; i++)
        assert_same_key(a->unique_keys[i], b->unique_keys[i]);
    assert_int_equal(a->n_primary_key, b->n_primary_key);
    assert_int_equal(!a->primary_key, !b->primary_key);
    if (a->primary_key)
        assert_same_key(a->primary_key, b->primary_key);
}

const struct table *study_learn(struct study *study, const char *name)
{
    const struct table *table = NULL;
    struct catalogue *glances;
    struct fault fault;
    if (!study_look_up(study, name, &table, &fault))
        fail_msg("%s", fault.text);
    const struct table *glanced = study_glance(study, name, &glances);
    if (glanced)
        assert_same(glanced, table);
    catalogue_free(glances);
    return table;
}

void study_make(struct study *study, const char *sql)
{
    fixture_exec(study->desk->outsider, sql);
}
