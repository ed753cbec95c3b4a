/*
 * One reading of a definition file: the walk over its tree, by tables of keys, that fills the
 * structs of definition.h and collects every problem.
 *
 * A table row says which function reads the value of a key, and where in the struct it belongs.
 */
#pragma once
#include "definition.h"
#include "problems.h"
#include "yaml_tree.h"

struct reading_schema;

struct reading {
    struct definition *definition;
    struct sandbox *sandbox;
    struct problems *problems;
    const struct reading_schema *const *schemas; /* all, ended by NULL: who knows a stray key */
    int hint_steps;                              /* left for hints: see reading_affords */
};

/* Reads a value, which is not nothing and not refused, into slot, which has the type that the
 * function expects. On a problem the slot keeps its default. */
typedef void reading_fn(struct reading *reading, const struct yaml_tree *value, void *slot);

struct reading_key {
    const char *name;
    reading_fn *read;
    size_t offset; /* of the slot in the target */
    bool needed;
};

struct reading_schema {
    const char *what;               /* "an activity" */
    const char *slip;               /* what to say when it is no mapping at all */
    const struct reading_key *keys; /* ended by a row without a name */
};

void reading_error(struct reading *reading, const struct yaml_tree *at, const char *format, ...)
    FORMAT_ARGS(3, 4);
void reading_warning(struct reading *reading, const struct yaml_tree *at, const char *format, ...)
    FORMAT_ARGS(3, 4);

/* The text before a message about a value: its key, or "value" in a list. Borrowed. */
const char *reading_label(const struct yaml_tree *value);

/* Memory of the definition; NULL, noted, without any left. n of 0 gives something, too. */
void *reading_take(struct reading *reading, size_t n, size_t n_bytes);

/* False, with a problem added, for a value that cannot be read further: refused, or nothing. */
bool reading_usable(struct reading *reading, const struct yaml_tree *value);

/* A text that C can hold; NULL, with a problem added, if it is none. In the definition's memory. */
const char *reading_chars(struct reading *reading, const struct yaml_tree *value);

/* Reads a mapping into target by its schema. False if it is no mapping. */
bool reading_mapping(struct reading *reading, const struct yaml_tree *node,
                     const struct reading_schema *schema, void *target);

/* True if `text` is a name: [a-z][a-z0-9_-]{0,62}. Otherwise a problem was added at `at`. */
bool reading_is_name(struct reading *reading, const struct yaml_tree *at, const char *what,
                     const char *text);

/* The same for names that Lua can use as input.NAME. */
bool reading_is_lua_name(struct reading *reading, const struct yaml_tree *at, const char *what,
                         const char *text);

/* Takes steps from what a file may cost in hints (the likely spelling, names that nobody declared).
 * False when they are spent: without hints a file is read all the same. */
bool reading_affords(struct reading *reading, int n_steps);

/* The steps of looking for the nearest of so many names. */
int reading_spelling_steps(int n_names);

/* Values. The comment tells the slot. */
reading_fn reading_text;    /* const char * */
reading_fn reading_name;    /* const char *, a name */
reading_fn reading_boolean; /* bool */

void reading_integer(struct reading *reading, const struct yaml_tree *value, int least, int most,
                     int *slot);
void reading_duration(struct reading *reading, const struct yaml_tree *value, int64_t least_ms,
                      int64_t most_ms, int64_t *slot);

/* One of names, ended by NULL: its index. False, with a problem added, for another one. */
bool reading_choice(struct reading *reading, const struct yaml_tree *value,
                    const char *const *names, int *slot);
