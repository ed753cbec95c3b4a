#include "catalogue_glance.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
    COLUMNS_MAX = 1600, /* of a table: MaxHeapAttributeNumber */
};

/* What indexes and constraints make of a column. */
struct mark {
    bool constrained;
    bool unique;
    bool indexed;
    bool perhaps_null;
};

struct glance {
    json_t *document;
    struct mark *marks; /* by the column's number; [0] is the whole row */
    bool cascades;
    bool complete; /* nothing failed for want of memory */
};

/* By their fixed numbers (pg_type.dat), which mean the same in every version. None is a domain or
 * an enum; what is not listed is left to the whole look. */
struct known_type {
    int64_t oid;
    const char *category;
};

static const struct known_type known_types[] = {
    {16, "B"},   /* boolean */
    {17, "U"},   /* bytea */
    {20, "N"},   /* bigint */
    {21, "N"},   /* smallint */
    {23, "N"},   /* integer */
    {25, "S"},   /* text */
    {114, "U"},  /* json */
    {700, "N"},  /* real */
    {701, "N"},  /* double precision */
    {1007, "A"}, /* integer[] */
    {1009, "A"}, /* text[] */
    {1016, "A"}, /* bigint[] */
    {1042, "S"}, /* character */
    {1043, "S"}, /* character varying */
    {1082, "D"}, /* date */
    {1083, "D"}, /* time */
    {1114, "D"}, /* timestamp */
    {1184, "D"}, /* timestamp with time zone */
    {1186, "T"}, /* interval */
    {1266, "D"}, /* time with time zone */
    {1700, "N"}, /* numeric */
    {2950, "U"}, /* uuid */
    {3802, "U"}, /* jsonb */
};

static const struct known_type *find_type(int64_t oid)
{
    for (size_t i = 0; i < sizeof known_types / sizeof *known_types; i++)
        if (known_types[i].oid == oid)
            return &known_types[i];
    return NULL;
}

static bool is_true(const json_t *object, const char *key)
{
    return json_is_true(json_object_get(object, key));
}

static int64_t integer_of(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

static char letter_of(const json_t *object, const char *key)
{
    const char *chars = json_string_value(json_object_get(object, key));
    return chars ? *chars : '\0';
}

/* One of the letters, or nothing at all. */
static bool is_one_of(char letter, const char *letters)
{
    return letter && strchr(letters, letter);
}

static struct mark *mark_of(const struct glance *glance, const json_t *number)
{
    int64_t at = json_integer_value(number);
    return at >= 0 && at <= COLUMNS_MAX ? &glance->marks[at] : NULL; /* below: a system column */
}

static void put(struct glance *glance, json_t *object, const char *key, json_t *value)
{
    if (json_object_set_new(object, key, value) != 0)
        glance->complete = false;
}

/* ---- is it ordinary? ---- */

static bool has_ordinary_columns(const json_t *document)
{
    size_t i;
    json_t *column;
    json_array_foreach(json_object_get(document, "columns"), i, column)
    {
        if (!find_type(integer_of(column, "type_oid")))
            return false;
    }
    return true;
}

static const json_t *collation_of(const json_t *document, const json_t *number)
{
    size_t i;
    json_t *column;
    json_array_foreach(json_object_get(document, "columns"), i, column)
    {
        if (json_equal(json_object_get(column, "number"), number))
            return json_object_get(column, "collation");
    }
    return NULL;
}

/* That of another collation than its column may be no key. */
static bool is_ordinary_index(const json_t *document, const json_t *index)
{
    const json_t *numbers = json_object_get(index, "columns");
    size_t i;
    json_t *collation; /* there is none for what the index only includes */
    if (is_true(index, "computes"))
        return false;
    if (!is_true(index, "is_unique"))
        return true;
    json_array_foreach(json_object_get(index, "collations"), i, collation)
    {
        if (!json_equal(collation, collation_of(document, json_array_get(numbers, i))))
            return false;
    }
    return true;
}

/* CHECK, foreign key, NOT NULL, primary key, unique: those that name all columns they look at. */
static bool is_ordinary(const json_t *document)
{
    size_t i;
    json_t *one;
    if (letter_of(document, "kind") != 'r' || !has_ordinary_columns(document))
        return false;
    json_array_foreach(json_object_get(document, "indexes"), i, one)
    {
        if (!is_ordinary_index(document, one))
            return false;
    }
    json_array_foreach(json_object_get(document, "constraints"), i, one)
    {
        if (!is_one_of(letter_of(one, "kind"), "cfnpu"))
            return false;
    }
    return true;
}

/* ---- what constraints and indexes say of columns ---- */

static void constrain(const struct glance *glance, const json_t *numbers)
{
    for (size_t i = 0; i < json_array_size(numbers); i++) {
        struct mark *mark = mark_of(glance, json_array_get(numbers, i));
        if (mark)
            mark->constrained = true;
    }
}

/* A NOT NULL that is not validated (from PostgreSQL 18 on) is of new rows. */
static void mark_not_null(const struct glance *glance, const json_t *constraint)
{
    const json_t *numbers = json_object_get(constraint, "columns");
    for (size_t i = 0; i < json_array_size(numbers); i++) {
        struct mark *mark = mark_of(glance, json_array_get(numbers, i));
        if (mark && !is_true(constraint, "validated"))
            mark->perhaps_null = true;
    }
}

/* A CHECK that names no column looks at nobody knows what: at the whole row. */
static void mark_own(const struct glance *glance, const json_t *constraint)
{
    const json_t *numbers = json_object_get(constraint, "columns");
    if (letter_of(constraint, "kind") == 'n')
        mark_not_null(glance, constraint);
    else if (json_is_array(numbers))
        constrain(glance, numbers);
    else
        glance->marks[0].constrained = true;
}

static void mark_by_constraints(struct glance *glance)
{
    size_t i;
    json_t *constraint;
    json_array_foreach(json_object_get(glance->document, "constraints"), i, constraint)
    {
        if (is_true(constraint, "is_own"))
            mark_own(glance, constraint);
        if (!is_true(constraint, "refers"))
            continue;
        constrain(glance, json_object_get(constraint, "referred"));
        if (is_one_of(letter_of(constraint, "on_update"), "cnd") ||
            is_one_of(letter_of(constraint, "on_delete"), "cnd"))
            glance->cascades = true;
    }
}

static void mark_by_columns(struct glance *glance)
{
    size_t i;
    json_t *column;
    json_array_foreach(json_object_get(glance->document, "columns"), i, column)
    {
        struct mark *mark = mark_of(glance, json_object_get(column, "number"));
        if (mark && !is_true(column, "not_null"))
            mark->perhaps_null = true;
    }
}

static void mark_by_indexes(struct glance *glance)
{
    size_t i;
    json_t *index;
    json_array_foreach(json_object_get(glance->document, "indexes"), i, index)
    {
        const json_t *numbers = json_object_get(index, "columns");
        for (size_t k = 0; k < json_array_size(numbers); k++) {
            struct mark *mark = mark_of(glance, json_array_get(numbers, k));
            if (!mark)
                continue;
            mark->indexed = true;
            mark->unique = mark->unique || is_true(index, "is_unique");
        }
    }
}

/* ---- the document ---- */

static void complete_columns(struct glance *glance)
{
    size_t i;
    json_t *column;
    json_array_foreach(json_object_get(glance->document, "columns"), i, column)
    {
        const struct mark *mark = mark_of(glance, json_object_get(column, "number"));
        int64_t type_oid = integer_of(column, "type_oid");
        bool computed = letter_of(column, "formula") != '\0';
        char draws = letter_of(column, "draws");
        put(glance, column, "base_oid", json_integer(type_oid));
        put(glance, column, "base_type", json_string("b"));
        put(glance, column, "base_category", json_string(find_type(type_oid)->category));
        put(glance, column, "limited", json_boolean(integer_of(column, "limit") != -1));
        put(glance, column, "generated", json_boolean(computed || draws == 'a'));
        put(glance, column, "computed", json_boolean(computed));
        put(glance, column, "identity", json_boolean(draws != '\0'));
        put(glance, column, "constrained", json_boolean(mark && mark->constrained));
        put(glance, column, "unique", json_boolean(mark && mark->unique));
        put(glance, column, "indexed", json_boolean(mark && mark->indexed));
        put(glance, column, "in_expression", json_false());
    }
}

static void add_key(struct glance *glance, json_t *keys, const json_t *index)
{
    const json_t *numbers = json_object_get(index, "columns");
    json_t *columns = json_array();
    json_t *key = json_object();
    bool total = true;
    for (size_t i = 0; i < (size_t)integer_of(index, "n_key"); i++) {
        json_t *number = json_array_get(numbers, i);
        const struct mark *mark = mark_of(glance, number);
        total = total && !(mark && mark->perhaps_null);
        if (json_array_append(columns, number) != 0)
            glance->complete = false;
    }
    put(glance, key, "primary", json_boolean(is_true(index, "is_primary")));
    put(glance, key, "total", json_boolean(total));
    put(glance, key, "columns", columns);
    put(glance, key, "collations", json_incref(json_object_get(index, "collations")));
    if (json_array_append_new(keys, key) != 0)
        glance->complete = false;
}

/* The primary key first. */
static void complete_keys(struct glance *glance)
{
    const json_t *indexes = json_object_get(glance->document, "indexes");
    json_t *keys = json_array();
    for (int primary = 1; primary >= 0; primary--) {
        for (size_t i = 0; i < json_array_size(indexes); i++) {
            const json_t *index = json_array_get(indexes, i);
            if (is_true(index, "is_primary") == primary && is_true(index, "is_unique") &&
                is_true(index, "holds"))
                add_key(glance, keys, index);
        }
    }
    put(glance, glance->document, "keys", keys);
}

bool catalogue_glance_complete(json_t *document, bool *ordinary, struct fault *fault)
{
    struct glance glance = {.document = document, .complete = true};
    *ordinary = is_ordinary(document);
    if (!*ordinary)
        return true;
    glance.marks = calloc(COLUMNS_MAX + 1, sizeof *glance.marks);
    if (!glance.marks)
        return fault_no_memory(fault);
    mark_by_columns(&glance);
    mark_by_constraints(&glance);
    mark_by_indexes(&glance);
    complete_columns(&glance);
    complete_keys(&glance);
    put(&glance, document, "temporary", json_boolean(letter_of(document, "persistence") == 't'));
    put(&glance, document, "cascades", json_boolean(glance.cascades));
    put(&glance, document, "hidden", json_boolean(glance.marks[0].constrained));
    free(glance.marks);
    return glance.complete || fault_no_memory(fault);
}
