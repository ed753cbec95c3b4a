#include "catalogue.h"

#include "catalogue_glance.h"
#include "database_sql.h"
#include "json.h"
#include "region.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

enum {
    TABLE_BYTES_MAX = 4 << 20,
};

/* Base types by their fixed numbers in PostgreSQL (pg_type.dat). */
enum {
    OID_BOOL = 16,
    OID_CHAR = 18,
    OID_NAME = 19,
    OID_INT8 = 20,
    OID_INT2 = 21,
    OID_INT4 = 23,
    OID_TEXT = 25,
    OID_JSON = 114,
    OID_FLOAT4 = 700,
    OID_FLOAT8 = 701,
    OID_DATE = 1082,
    OID_TIME = 1083,
    OID_TIMESTAMP = 1114,
    OID_TIMESTAMPTZ = 1184,
    OID_TIMETZ = 1266,
    OID_NUMERIC = 1700,
    OID_UUID = 2950,
    OID_JSONB = 3802,
};

struct known {
    struct table table;
    const char *document; /* what it was read from */
    struct region region; /* holds everything but this struct */
    struct known *next_old;
    UT_hash_handle hh;
};

struct catalogue {
    struct known *by_name;
    struct known *old; /* forgotten, but still borrowed by somebody */
};

bool catalogue_new(struct catalogue **out, struct fault *fault)
{
    *out = calloc(1, sizeof **out);
    return *out || fault_no_memory(fault);
}

static void known_free(struct known *known)
{
    region_done(&known->region);
    free(known);
}

static void retire(struct catalogue *catalogue, struct known *known)
{
    HASH_DEL(catalogue->by_name, known);
    known->next_old = catalogue->old;
    catalogue->old = known;
}

void catalogue_forget(struct catalogue *catalogue)
{
    while (catalogue->by_name)
        retire(catalogue, catalogue->by_name);
}

void catalogue_free(struct catalogue *catalogue)
{
    if (!catalogue)
        return;
    catalogue_forget(catalogue);
    while (catalogue->old) {
        struct known *next = catalogue->old->next_old;
        known_free(catalogue->old);
        catalogue->old = next;
    }
    free(catalogue);
}

static struct known *find(const struct catalogue *catalogue, const char *name)
{
    struct known *known = NULL;
    HASH_FIND_STR(catalogue->by_name, name, known);
    return known;
}

const struct table *catalogue_find(const struct catalogue *catalogue, const char *name)
{
    const struct known *known = find(catalogue, name);
    return known ? &known->table : NULL;
}

int catalogue_ask(struct pg_pipeline *pipeline, const char *name)
{
    return pg_pipeline_add(pipeline, PG_PREPARED, SQL_CATALOGUE_TABLE, 1,
                           (const char *const[]){name});
}

int catalogue_ask_glance(struct pg_pipeline *pipeline, const char *name)
{
    return pg_pipeline_add(pipeline, PG_PREPARED, SQL_CATALOGUE_GLANCE, 1,
                           (const char *const[]){name});
}

/* ---- reading the document ---- */

static bool is_true(const json_t *object, const char *key)
{
    return json_is_true(json_object_get(object, key));
}

static const char *chars_of(const json_t *object, const char *key)
{
    const char *chars = json_string_value(json_object_get(object, key));
    return chars ? chars : "";
}

static int64_t integer_of(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

static enum column_kind kind_of(const json_t *column)
{
    switch (integer_of(column, "base_oid")) {
    case OID_INT2: return COLUMN_INT2;
    case OID_INT4: return COLUMN_INT4;
    case OID_INT8: return COLUMN_INT8;
    case OID_FLOAT4: return COLUMN_FLOAT4;
    case OID_FLOAT8: return COLUMN_FLOAT8;
    case OID_BOOL: return COLUMN_BOOLEAN;
    case OID_NUMERIC: return COLUMN_NUMERIC;
    case OID_JSON:
    case OID_JSONB: return COLUMN_JSON;
    case OID_DATE:
    case OID_TIME:
    case OID_TIMETZ:
    case OID_TIMESTAMP:
    case OID_TIMESTAMPTZ: return COLUMN_TIMESTAMP;
    case OID_CHAR:
    case OID_NAME:
    case OID_UUID: return COLUMN_TEXT;
    default: break;
    }
    /* varchar, char(n), text, citext and their like; enums. */
    bool is_text = strcmp(chars_of(column, "base_category"), "S") == 0 ||
                   strcmp(chars_of(column, "base_type"), "e") == 0;
    return is_text ? COLUMN_TEXT : COLUMN_OTHER;
}

/* Is the last value all that the column's history leaves behind? Not where a value in between could
 * be refused: by a constraint, a domain, a unique index, an index that computes, or, for a text, by
 * any index, whose entries have a greatest size. */
static bool is_mergeable(const json_t *column)
{
    bool is_free = !is_true(column, "constrained") && !is_true(column, "unique") &&
                   !is_true(column, "in_expression") && !is_true(column, "generated") &&
                   !is_true(column, "identity") && !is_true(column, "limited");
    switch (integer_of(column, "type_oid")) { /* of the type itself: not a domain over it */
    case OID_BOOL:
    case OID_INT2:
    case OID_INT4:
    case OID_INT8:
    case OID_FLOAT8: return is_free;
    case OID_TEXT: return is_free && !is_true(column, "indexed");
    default: return false;
    }
}

/* Double quotes always: no list of reserved words to keep. NULL without memory. */
static const char *quote(struct region *region, const char *name)
{
    char *quoted = region_take(region, 2 * strlen(name) + 3);
    if (!quoted)
        return NULL;
    char *at = quoted;
    *at++ = '"';
    for (; *name; name++) {
        if (*name == '"')
            *at++ = '"';
        *at++ = *name;
    }
    *at++ = '"';
    *at = '\0';
    return quoted;
}

static bool read_columns(struct known *known, const json_t *columns)
{
    struct table *table = &known->table;
    size_t n = json_array_size(columns);
    table->n_columns = (int)n;
    table->columns = region_take(&known->region, (n + 1) * sizeof *table->columns);
    if (!table->columns)
        return false;
    for (size_t i = 0; i < n; i++) {
        const json_t *column = json_array_get(columns, i);
        struct column *out = &table->columns[i];
        *out = (struct column){
            .name = region_copy_chars(&known->region, chars_of(column, "name")),
            .quoted = quote(&known->region, chars_of(column, "name")),
            .type_name = region_copy_chars(&known->region, chars_of(column, "type")),
            .plain_type = region_copy_chars(&known->region, chars_of(column, "plain_type")),
            .kind = kind_of(column),
            .not_null = is_true(column, "not_null"),
            .generated = is_true(column, "generated"),
            .mergeable = table->mergeable && is_mergeable(column),
        };
        if (!out->name || !out->quoted || !out->type_name || !out->plain_type)
            return false;
    }
    return true;
}

/* The index into columns of a column number, which has holes where columns were dropped. */
static int index_of(const json_t *columns, int64_t number)
{
    for (size_t i = 0; i < json_array_size(columns); i++)
        if (integer_of(json_array_get(columns, i), "number") == number)
            return (int)i;
    return -1;
}

/* A loose collation holds texts equal that an index of another may keep apart. */
static bool is_stricter(const json_t *column, const json_t *index_collation)
{
    return is_true(column, "loose") &&
           !json_equal(json_object_get(column, "collation"), index_collation);
}

/* Keys come with the primary one first; without it, the first that lets no row be unknown. */
static bool read_keys(struct known *known, const json_t *document)
{
    struct table *table = &known->table;
    const json_t *columns = json_object_get(document, "columns");
    const json_t *keys = json_object_get(document, "keys");
    size_t n_keys = json_array_size(keys);
    table->unique_keys = region_take(&known->region, (n_keys + 1) * sizeof *table->unique_keys);
    if (!table->unique_keys)
        return false;
    for (size_t i = 0; i < n_keys; i++) {
        const json_t *described = json_array_get(keys, i);
        const json_t *numbers = json_object_get(described, "columns");
        const json_t *collations = json_object_get(described, "collations");
        size_t n = json_array_size(numbers), n_found = 0;
        int *key = region_take(&known->region, (n + 1) * sizeof *key);
        if (!key)
            return false;
        for (; n_found < n; n_found++) {
            int64_t number = json_integer_value(json_array_get(numbers, n_found));
            key[n_found] = index_of(columns, number);
            if (key[n_found] < 0 || /* a system column */
                is_stricter(json_array_get(columns, (size_t)key[n_found]),
                            json_array_get(collations, n_found)))
                break;
        }
        if (n_found < n)
            continue;
        key[n] = -1;
        table->unique_keys[table->n_unique_keys++] = key;
        if (!table->primary_key && is_true(described, "total")) {
            table->primary_key = key;
            table->n_primary_key = (int)n;
        }
    }
    return true;
}

static bool read_document(struct known *known, const char *name, const json_t *document)
{
    struct table *table = &known->table;
    struct region *region = &known->region;
    const json_t *columns = json_object_get(document, "columns");
    const char *schema = quote(region, chars_of(document, "schema"));
    const char *relation = quote(region, chars_of(document, "name"));
    bool ordinary = strcmp(chars_of(document, "kind"), "r") == 0 &&
                    !is_true(document, "triggers") && !is_true(document, "rules") &&
                    !is_true(document, "partition") && !is_true(document, "inherits");
    bool computes = false;
    for (size_t i = 0; i < json_array_size(columns); i++)
        computes = computes || is_true(json_array_get(columns, i), "computed");
    if (!schema || !relation)
        return false;
    size_t quoted_bytes = strlen(schema) + strlen(relation) + 2;
    char *quoted = region_take(region, quoted_bytes);
    if (!quoted)
        return false;
    snprintf(quoted, quoted_bytes, "%s.%s", schema, relation);
    *table = (struct table){
        .name = region_copy_chars(region, name),
        .quoted = quoted,
        .oid = (uint32_t)integer_of(document, "oid"),
        .mergeable = ordinary && !computes && !is_true(document, "row_security") &&
                     !is_true(document, "hidden"),
        .writes_spread = !ordinary || computes || is_true(document, "cascades"),
        .reads_spread = is_true(document, "looks_further"),
    };
    return table->name && read_columns(known, columns) && read_keys(known, document);
}

/* ---- learning ---- */

static bool check_relation(const char *name, const char *own_schema, const json_t *document,
                           struct fault *fault)
{
    const char *schema = chars_of(document, "schema");
    const char *kind = chars_of(document, "kind");
    bool is_system = strncmp(schema, "pg_", strlen("pg_")) == 0 || /* pg_catalog, pg_toast, ... */
                     strcmp(schema, "information_schema") == 0;
    if (is_true(document, "temporary"))
        return fault_set(fault, FAULT_INVALID,
                         "'%s' is a temporary table: other connections do not see it", name);
    if (is_system || strcmp(schema, own_schema) == 0)
        return fault_set(fault, FAULT_INVALID, "'%s' is in the schema '%s', which is %s", name,
                         schema, is_system ? "PostgreSQL's own" : "not for workflows");
    if (!*kind || !strchr("rpvmf", *kind))
        return fault_set(fault, FAULT_INVALID, "'%s' is not a table", name);
    return true;
}

/* A table whose description came out as before is the one that was known before, so that forgetting
 * again and again does not gather descriptions. */
static struct known *take_back(struct catalogue *catalogue, const char *name, const char *document)
{
    for (struct known **at = &catalogue->old; *at; at = &(*at)->next_old) {
        struct known *known = *at;
        if (strcmp(known->table.name, name) == 0 && strcmp(known->document, document) == 0) {
            *at = known->next_old;
            return known;
        }
    }
    return NULL;
}

static struct known *read_new(const char *name, const char *text, const json_t *document)
{
    struct known *known = calloc(1, sizeof *known);
    if (!known)
        return NULL;
    region_init(&known->region, TABLE_BYTES_MAX);
    known->document = region_copy_chars(&known->region, text);
    if (known->document && read_document(known, name, document))
        return known;
    known_free(known);
    return NULL;
}

static bool keep(struct catalogue *catalogue, const char *name, const char *text,
                 const json_t *document, const struct table **out, struct fault *fault)
{
    struct known *before = find(catalogue, name);
    struct known *known = before;
    if (before && strcmp(before->document, text) != 0) {
        retire(catalogue, before);
        before = NULL;
    }
    if (!before) {
        known = take_back(catalogue, name, text);
        if (!known)
            known = read_new(name, text, document);
        if (!known)
            return fault_no_memory(fault);
        HASH_ADD_KEYPTR(hh, catalogue->by_name, known->table.name, strlen(known->table.name),
                        known);
        if (!known->hh.tbl) { /* uthash had no memory; it leaves it out */
            known->next_old = catalogue->old;
            catalogue->old = known;
            return fault_no_memory(fault);
        }
    }
    *out = &known->table;
    return true;
}

bool catalogue_learn(struct catalogue *catalogue, const char *name, const char *own_schema,
                     const PGresult *result, const struct table **out, struct fault *fault)
{
    json_t *document = NULL;
    if (PQresultStatus(result) != PGRES_TUPLES_OK) {
        pg_fault_from_result(result, fault);
        return false;
    }
    if (PQntuples(result) == 0)
        return fault_set(fault, FAULT_INVALID, "there is no table '%s'", name);
    const char *text = PQgetvalue(result, 0, 0);
    if (!json_read("the catalogue's answer", text, strlen(text), &document, fault))
        return false;
    bool ok = check_relation(name, own_schema, document, fault) &&
              keep(catalogue, name, text, document, out, fault);
    json_decref(document);
    return ok;
}

/* No name, but PostgreSQL, from 16 on, finds the table with this OID. */
static bool is_number(const char *name)
{
    return name[strspn(name, "0123456789")] == '\0';
}

bool catalogue_learn_glance(struct catalogue *catalogue, const char *name, const char *own_schema,
                            const PGresult *result, const struct table **out, struct fault *fault)
{
    json_t *document = NULL;
    bool is_ordinary;
    *out = NULL;
    if (PQresultStatus(result) != PGRES_TUPLES_OK) {
        pg_fault_from_result(result, fault);
        return false;
    }
    if (PQntuples(result) == 0 || is_number(name))
        return true;
    const char *text = PQgetvalue(result, 0, 0);
    if (!json_read("the catalogue's answer", text, strlen(text), &document, fault))
        return false;
    bool ok = catalogue_glance_complete(document, &is_ordinary, fault);
    if (ok && is_ordinary)
        ok = check_relation(name, own_schema, document, fault) &&
             keep(catalogue, name, text, document, out, fault);
    json_decref(document);
    return ok;
}

/* ---- asking a table ---- */

const struct column *table_column(const struct table *table, const char *name)
{
    for (int i = 0; i < table->n_columns; i++)
        if (strcmp(table->columns[i].name, name) == 0)
            return &table->columns[i];
    return NULL;
}

static bool contains(const int *columns, int n_columns, int column)
{
    for (int i = 0; i < n_columns; i++)
        if (columns[i] == column)
            return true;
    return false;
}

bool table_is_key(const struct table *table, const int *columns, int n_columns)
{
    for (int i = 0; i < table->n_unique_keys; i++) {
        const int *key = table->unique_keys[i];
        while (*key >= 0 && contains(columns, n_columns, *key))
            key++;
        if (*key < 0)
            return true;
    }
    return false;
}
