/*
 * The names that a piece of Lua mentions, by its words: outside strings and comments, each with
 * what its neighbours tell about it. Meant for hints: it need not be right about text that does
 * not compile.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>

enum {
    LUA_NAME_BYTES = 64, /* with a NUL; longer names are passed over */
};

struct lua_name {
    char text[LUA_NAME_BYTES];
    char owner[LUA_NAME_BYTES]; /* "input" for the `id` of input.id; "" for no field */
    bool field;                 /* after `.` or `:` */
    bool declared;              /* here: a local, a parameter, a label, a function's name */
    bool set;                   /* before `=`: a field of a table, or an assignment */
    int line;                   /* of the piece, from 0 */
};

enum lua_names_state {
    LUA_NAMES_USE,
    LUA_NAMES_DECLARE,  /* after local, for, goto, `::` */
    LUA_NAMES_FUNCTION, /* after function, up to the `)` of its parameters */
};

/* Zero it and set at to begin. */
struct lua_names {
    const char *at;
    int line;
    char before[LUA_NAME_BYTES]; /* the name just passed, if it is no field */
    bool after_dot;
    enum lua_names_state state;
};

/* The next name that is no keyword. False at the end of the text. */
bool lua_names_next(struct lua_names *names, struct lua_name *out);

bool lua_names_is_keyword(const char *text);
