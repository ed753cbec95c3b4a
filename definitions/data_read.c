#include "data_read.h"

#include "lua_piece.h"

#include <stdlib.h>
#include <string.h>

enum {
    IDENTIFIER_BYTES_MAX = 63, /* PostgreSQL's NAMEDATALEN - 1 */
};

/* False, with a problem, for what no identifier of PostgreSQL can be. */
static bool check_identifier(struct reading *reading, const struct yaml_tree *at, const char *what,
                             const char *start, size_t length)
{
    if (length == 0)
        reading_error(reading, at, "%s: the name of a %s is empty", reading_label(at), what);
    else if (length > IDENTIFIER_BYTES_MAX)
        reading_error(reading, at, "%s: `%.*s` is too long for a %s: %d bytes at most",
                      reading_label(at), (int)length, start, what, IDENTIFIER_BYTES_MAX);
    return length > 0 && length <= IDENTIFIER_BYTES_MAX;
}

/* The type names stand in the order of enum input_type. */
static const char *const type_names[] = {"string", "integer", "number", "boolean",
                                         "object", "array",   NULL};

static bool already_named(const struct definition *definition, const char *name)
{
    for (int i = 0; i < definition->n_inputs; i++) {
        if (strcmp(definition->inputs[i].name, name) == 0)
            return true;
    }
    return false;
}

/* Writes the next field, and counts it: so every counted one has a name. */
static void read_input(struct reading *reading, const struct yaml_tree *value)
{
    struct definition *definition = reading->definition;
    struct input_field *field = &definition->inputs[definition->n_inputs];
    const struct yaml_tree *key = value->key;
    if (key->kind != YAML_TREE_TEXT) {
        reading_error(reading, key, "a name of an input should stand here");
        return;
    }
    char *name = region_copy(&definition->memory, key->text, key->n_bytes);
    if (!name) {
        problems_no_memory(reading->problems);
        return;
    }
    *field = (struct input_field){0};
    size_t length = strlen(name);
    if (length > 1 && name[length - 1] == '?') {
        field->optional = true;
        name[length - 1] = '\0';
    }
    int type = INPUT_STRING;
    if (reading_usable(reading, value) && reading_choice(reading, value, type_names, &type))
        field->type = (enum input_type)type;
    if (!reading_is_lua_name(reading, key, "an input", name))
        return;
    if (already_named(definition, name)) {
        reading_error(reading, key, "the input `%s` is declared twice", name);
        return;
    }
    field->name = name;
    definition->n_inputs++;
}

void data_read_inputs(struct reading *reading, const struct yaml_tree *value, void *slot)
{
    struct definition *definition = slot;
    if (value->kind != YAML_TREE_MAPPING) {
        reading_error(
            reading, value,
            "input: a mapping of names and types should stand here, such as `id: integer`");
        return;
    }
    definition->inputs =
        reading_take(reading, (size_t)value->n_children, sizeof *definition->inputs);
    if (!definition->inputs)
        return;
    for (const struct yaml_tree *child = value->children; child; child = child->next)
        read_input(reading, child);
}

/* `column: Lua expression` pairs of a key or a where. */
static void read_keys(struct reading *reading, const struct yaml_tree *value,
                      struct data_declaration *data, enum lua_piece_kind kind)
{
    if (value->kind != YAML_TREE_MAPPING) {
        reading_error(reading, value,
                      "%s: a mapping of columns and Lua expressions should stand here, such as "
                      "`{ id: input.id }`",
                      reading_label(value));
        return;
    }
    if (value->n_children == 0) {
        reading_error(reading, value, "%s: no column is given", reading_label(value));
        return;
    }
    data->n_keys = 0; /* a wrong file may have both, key and where */
    data->keys = reading_take(reading, (size_t)value->n_children, sizeof *data->keys);
    if (!data->keys)
        return;
    for (const struct yaml_tree *child = value->children; child; child = child->next) {
        const char *column = NULL;
        if (child->key->kind == YAML_TREE_TEXT)
            column = reading_chars(reading, child->key);
        else
            reading_error(reading, child->key, "a column should stand here");
        if (!column || !check_identifier(reading, child->key, "column", column, strlen(column)))
            continue;
        struct data_key *key = &data->keys[data->n_keys++];
        key->column = column;
        lua_piece_read(reading, child, kind, &key->value, /* uses_data= */ NULL);
    }
}

static void read_key(struct reading *reading, const struct yaml_tree *value, void *slot)
{
    read_keys(reading, value, slot, LUA_PIECE_KEY);
}

static void read_where(struct reading *reading, const struct yaml_tree *value, void *slot)
{
    read_keys(reading, value, slot, LUA_PIECE_WHERE);
}

/* "TABLE" or "SCHEMA.TABLE", as written; the catalogue knows whether it exists. */
static void read_table(struct reading *reading, const struct yaml_tree *value, void *slot)
{
    const char *table = reading_chars(reading, value);
    if (!table)
        return;
    const char *dot = strchr(table, '.');
    const char *last = dot ? dot + 1 : table;
    if (strchr(last, '.')) {
        reading_error(reading, value, "table: write TABLE or SCHEMA.TABLE");
        return;
    }
    if ((dot && !check_identifier(reading, value, "schema", table, (size_t)(dot - table))) ||
        !check_identifier(reading, value, "table", last, strlen(last)))
        return;
    if (dot && (strncmp(table, "pg_", 3) == 0 || strncmp(table, "information_schema.", 19) == 0)) {
        reading_error(reading, value, "table: `%s` belongs to PostgreSQL itself", table);
        return;
    }
    *(const char **)slot = table;
}

/* "column", "column asc" or "column desc". */
static void read_order(struct reading *reading, const struct yaml_tree *value,
                       struct data_declaration *data)
{
    if (!reading_usable(reading, value))
        return;
    const char *written = reading_chars(reading, value);
    if (!written)
        return;
    size_t length = strcspn(written, " \t");
    const char *direction = written + length + strspn(written + length, " \t");
    bool descending = strcmp(direction, "desc") == 0;
    if (*direction && !descending && strcmp(direction, "asc") != 0) {
        reading_error(reading, value,
                      "order-by: `%s` is no order: write a column, alone or with `asc` or `desc`",
                      written);
        return;
    }
    if (!check_identifier(reading, value, "column", written, length))
        return;
    char *column = region_copy(&reading->definition->memory, written, length);
    if (!column) {
        problems_no_memory(reading->problems);
        return;
    }
    data->order_by[data->n_order_by++] =
        (struct order_column){.column = column, .descending = descending};
}

static void read_order_by(struct reading *reading, const struct yaml_tree *value, void *slot)
{
    struct data_declaration *data = slot;
    if (value->kind == YAML_TREE_MAPPING) {
        reading_error(reading, value,
                      "order-by: write a column such as `sent_at desc`, or a list of them");
        return;
    }
    bool list = value->kind == YAML_TREE_LIST;
    data->order_by =
        reading_take(reading, list ? (size_t)value->n_children : 1, sizeof *data->order_by);
    if (!data->order_by)
        return;
    if (!list) {
        read_order(reading, value, data);
        return;
    }
    if (value->n_children == 0)
        reading_error(reading, value, "order-by: no column is given");
    for (const struct yaml_tree *child = value->children; child; child = child->next)
        read_order(reading, child, data);
}

static const struct reading_key data_keys[] = {
    {"table", read_table, offsetof(struct data_declaration, table), true},
    {"list", reading_boolean, offsetof(struct data_declaration, list), false},
    {"required", reading_boolean, offsetof(struct data_declaration, required), false},
    {"key", read_key, 0, false},
    {"where", read_where, 0, false},
    {"order-by", read_order_by, 0, false},
    {0},
};

const struct reading_schema data_read_schema = {
    .what = "a data declaration",
    .slip = "a mapping should stand here, with `table` and `key` (or `list`)",
    .keys = data_keys,
};

/* Which keys go together: a row is found by `key`, a list by `where`. */
static void check_shape(struct reading *reading, const struct yaml_tree *node,
                        const struct data_declaration *data)
{
    const struct yaml_tree *key = yaml_tree_child(node, "key");
    const struct yaml_tree *where = yaml_tree_child(node, "where");
    const struct yaml_tree *order_by = yaml_tree_child(node, "order-by");
    const struct yaml_tree *required = yaml_tree_child(node, "required");
    if (data->list) {
        if (key)
            reading_error(reading, key->key, "a list is found by `where`, not by `key`");
        if (required)
            reading_error(reading, required->key,
                          "`required` is for a single row: a list may be empty");
        return;
    }
    if (where)
        reading_error(reading, where->key,
                      "a single row is found by `key`: rename `where`, or add `list: true`");
    if (order_by)
        reading_error(reading, order_by->key, "`order-by` is for lists: add `list: true`");
    if (!key && !where)
        reading_error(reading, node->key, "a data declaration lacks `key` (or `list: true`)");
}

static void read_declaration(struct reading *reading, const struct yaml_tree *value)
{
    struct definition *definition = reading->definition;
    const struct yaml_tree *key = value->key;
    const char *name = NULL;
    if (key->kind == YAML_TREE_TEXT)
        name = reading_chars(reading, key);
    else
        reading_error(reading, key, "a name for data should stand here");
    if (!name || !reading_is_lua_name(reading, key, "data", name))
        return;
    struct data_declaration *data = &definition->data[definition->n_data++];
    *data = (struct data_declaration){.name = name, .line = key->line, .required = true};
    if (reading_usable(reading, value) && reading_mapping(reading, value, &data_read_schema, data))
        check_shape(reading, value, data);
}

void data_read_declarations(struct reading *reading, const struct yaml_tree *value, void *slot)
{
    struct definition *definition = slot;
    if (value->kind != YAML_TREE_MAPPING) {
        reading_error(reading, value,
                      "data: a mapping of names should stand here: write `NAME:` with `table` and "
                      "`key` below it");
        return;
    }
    definition->data = reading_take(reading, (size_t)value->n_children, sizeof *definition->data);
    if (!definition->data)
        return;
    for (const struct yaml_tree *child = value->children; child; child = child->next)
        read_declaration(reading, child);
}
