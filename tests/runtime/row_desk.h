/* One row of every kind of column, as the global `row` of a sandbox's state, which also has Lua's
 * own libraries here. */
#pragma once
#include "row_lua.h"
#include "sandbox.h"

enum {
    ID,
    SMALL,
    BIG,
    RATIO,
    SINGLE,
    DONE,
    TITLE,
    PRICE,
    DOC,
    SENT_AT,
    RANGE,
    TOTAL,
    N_COLUMNS,
};

extern const struct column row_desk_columns[N_COLUMNS];

struct row_desk {
    struct sandbox *sandbox;
    lua_State *L;
    struct region region;
    struct table table;
    struct cell cells[N_COLUMNS];
    struct row row;
    struct row_change change;
    struct row_binding binding;
};

/* For cmocka: a desk that is ready. */
int row_desk_set_up(void **state);
int row_desk_tear_down(void **state);

/* The two halves of it: the row, and the Lua state in which it is not yet pushed. */
void row_desk_prepare(struct row_desk *d);
void row_desk_open(struct row_desk *d);
void row_desk_push(struct row_desk *d);

/* Puts PostgreSQL's text into a cell of the row. */
void row_desk_load(struct row_desk *d, int column, const char *text);

void row_desk_run(struct row_desk *d, const char *script);

/* The script must raise exactly this, with its position. */
void row_desk_fails(struct row_desk *d, const char *script, const char *message);

/* False with the message left on the stack. */
bool row_desk_settle(struct row_desk *d);

/* The member's value must be this in PostgreSQL's text form. */
void row_desk_holds(struct row_desk *d, int column, const char *text);
