/*
 * Workflow definitions of several activities over the table counter, put together at compile time:
 *
 *     FLOW FLOW_ADD("a", "1", FLOW_TO("b")) FLOW_ADD("b", "10", "")
 *
 * Macros, since only they join string literals. more: further lines of the activity, each whole.
 */
#pragma once

#define FLOW_TABLES                                                                                \
    "CREATE TABLE counter (id integer PRIMARY KEY, n integer NOT NULL DEFAULT 0);"                 \
    "INSERT INTO counter SELECT i FROM generate_series(1, 20) AS i;"

/* With a number that the table refuses. */
#define FLOW_TABLES_CHECKED FLOW_TABLES "ALTER TABLE counter ADD CHECK (n < 1000);"

/* keys: further lines of the workflow; inputs: ", NAME: TYPE"; rows: further lines under data. */
#define FLOW_OF(name, keys, inputs, rows)                                                          \
    "workflow: " name "\n" keys "input: {id: integer" inputs "}\n"                                 \
    "data:\n"                                                                                      \
    "  row: {table: counter, key: {id: input.id}}\n" rows "start: a\n"                             \
    "activities:\n"

#define FLOW FLOW_OF("flow", "", "", "")

#define FLOW_STEP(name, context, more, script)                                                     \
    "  " name ":\n"                                                                                \
    "    enable-exclusive-lock: true\n"                                                            \
    "    lock-context: '" context "'\n"                                                            \
    "    script: |\n"                                                                              \
    "      " script "\n" more

#define FLOW_CONTEXT "{\"counter\", input.id}"

#define FLOW_ADD(name, n, more) FLOW_STEP(name, FLOW_CONTEXT, more, "data.row.n = data.row.n + " n)

#define FLOW_OFF "    auto-commit-changes: false\n"
#define FLOW_LEASE "    lock-hold: lease\n"
#define FLOW_TO(name) "    navigation: [{to: " name "}]\n"
