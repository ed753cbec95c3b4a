/*
 * A workflow definition: what a designer wrote, checked. Plain values, read-only after reading;
 * all memory belongs to the definition. Reading and its errors: definition_read.h.
 */
#pragma once
#include "expression.h"
#include "json.h"
#include "region.h"

#include <stdbool.h>
#include <stdint.h>

enum input_type {
    INPUT_STRING,
    INPUT_INTEGER,
    INPUT_NUMBER,
    INPUT_BOOLEAN,
    INPUT_OBJECT,
    INPUT_ARRAY,
};

struct input_field {
    const char *name;
    enum input_type type;
    bool optional; /* written `name?` */
};

/* `column: Lua expression` of a data row's key or a list's where. */
struct data_key {
    const char *column;
    struct lua_source value;
};

struct order_column {
    const char *column;
    bool descending;
};

struct data_declaration {
    const char *name;  /* data.NAME in Lua */
    const char *table; /* as written, perhaps with a schema: "shop.invoice" */
    int line;
    bool list;             /* rows by where, in order_by; otherwise one row by keys */
    bool required;         /* a missing row is `missing`; not for lists */
    struct data_key *keys; /* the key, or the where of a list */
    int n_keys;
    struct order_column *order_by;
    int n_order_by;
};

enum lock_hold {
    LOCK_HOLD_TRANSACTION,
    LOCK_HOLD_LEASE,
};

enum on_conflict {
    ON_CONFLICT_RETRY,
    ON_CONFLICT_FAIL,
    ON_CONFLICT_OVERWRITE,
};

struct navigation {
    int to;                 /* index into activities; -1 only while there are errors */
    struct lua_source rule; /* absent = always */
};

struct activity {
    const char *name;
    const char *title; /* NULL if none */
    int line;
    bool exclusive_lock;
    struct lua_source lock_context; /* absent = the whole system */
    bool lock_context_uses_data;    /* so data is loaded before the lock, and again under it */
    int64_t waiting_timeout_ms;     /* how long the lock may last, from the grant */
    int64_t acquire_timeout_ms;     /* how long to wait for it; 0 = try once */
    bool auto_commit;
    struct lua_source guard;
    struct lua_source script;
    const char *action; /* a native action in place of the script; NULL if none */
    int action_line;
    enum lock_hold lock_hold;
    enum on_conflict on_conflict;
    bool persist_on_close;
    const char *wait_for; /* event, NULL if none */
    int retries;
    struct navigation *navigation;
    int n_navigation;
};

struct trigger {
    const char *event; /* NULL for a timer */
    int64_t every_ms;  /* 0 for an event */
};

enum history_kind {
    HISTORY_FULL,
    HISTORY_FAILURES,
    HISTORY_NONE,
};

enum {
    CHECKSUM_TEXT_BYTES = 65, /* SHA-256 in lower-case hex and a NUL */
};

struct definition {
    struct region memory;
    const char *file; /* as the reader was told; names the source in errors */
    const char *source;
    size_t source_bytes;
    char checksum[CHECKSUM_TEXT_BYTES]; /* of source */
    const char *name;
    const char *title;
    const char *description;
    struct input_field *inputs;
    int n_inputs;
    struct data_declaration *data;
    int n_data;
    struct activity *activities;
    int n_activities;
    int start; /* index into activities; -1 only while there are errors */
    struct trigger *triggers;
    int n_triggers;
    enum history_kind history;
    int max_steps;
};

void definition_free(struct definition *definition);

/* NULL if there is none of that name. Borrowed. */
const struct activity *definition_activity(const struct definition *definition, const char *name);

/* Checks an input object against the declared fields: types, missing and unknown names.
 * Fails with FAULT_INVALID naming the field. An integer field takes 3 and 3.0, not "3". */
MUST_CHECK bool definition_check_input(const struct definition *definition, const json_t *input,
                                       struct fault *fault);
